/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A log that comes from a pipe, or is compressed: as a temporary file. */
#ifndef DDEBUG_SPOOL_H
#define DDEBUG_SPOOL_H

#include <glib.h>

/* Bytes from the start of a file that ddebug_spool_compression() needs. */
#define DDEBUG_SPOOL_MAGIC 6

/* The program that compressed what starts with @bytes; NULL: none that is known. */
const char *ddebug_spool_compression (const guint8 *bytes, gsize len);

/**
 * ddebug_spool:
 * @in: read from where it is to its end, or to the end of the log
 * @path: for messages
 * @warning: (out): why the log is not complete; %NULL: no reason is known
 *
 * Copy a log, decompressed if it was compressed by gzip, to a file without a name in TMPDIR.  It takes as
 * much disk space as the log has data, and is not checked.  Blocks until @in has an end.
 *
 * Returns: the file's descriptor; -1 with @error set
 */
int ddebug_spool (int in, const char *path, char **warning, GError **error);

#endif
