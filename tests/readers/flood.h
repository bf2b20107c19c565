/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulates a guest and a device that write as fast as they can: the real log writer,
 * and messages that identify themselves.  Keeps no record of what was written, so it
 * can run forever.
 */
#ifndef FLOOD_H
#define FLOOD_H

#include <glib.h>

#include "ddebug-log-writer.h"

enum { FLOOD_CPUS = 4 };

typedef struct
{
  DdebugLog *log;
  guint64 number[FLOOD_CPUS];   /* of the next message */
  guint64 subbuf[FLOOD_CPUS];   /* of the next sub-buffer */
  guint64 pass;
  guint64 time;
} Flood;

/* A QEMU opens the log at @path, and a guest boots. */
void flood_start (Flood *flood, const char *path, guint64 size);
/* One pass over all streams, with up to @messages of each; the newest of one may be lost. */
void flood_pass (Flood *flood, guint messages, gboolean lose);
/* The device finds nothing more. */
void flood_settle (Flood *flood);
/* The VM ends. */
void flood_stop (Flood *flood);

/* ---- output of a tool ---- */

typedef enum
{
  FLOOD_MESSAGE,                /* cpu, number */
  FLOOD_LOST,                   /* cpu, count */
  FLOOD_OTHER,                  /* neither */
} FloodLine;

/* Parse @line, which ends with a newline. */
FloodLine flood_parse (const char *line, guint *cpu, guint64 *value);

#endif
