/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the absence of a lock proves that a log has no writer.
 *
 * A lock is seen by those who have the same file open through the same mount on the same host.  So the
 * writer stores which file it has open, and a reader compares: docs/log-format.md, "Rules for readers".
 */
#ifndef DDEBUG_ORIGIN_H
#define DDEBUG_ORIGIN_H

#include <glib.h>

#include "ddebug-log-format.h"

typedef enum
{
  DDEBUG_ORIGIN_SAME,       /* a writer's lock would be seen */
  DDEBUG_ORIGIN_COPY,       /* not the file of the last writer, and no writer can have this one */
  DDEBUG_ORIGIN_UNKNOWN,    /* it may be that file, seen where its lock is not */
} DdebugOrigin;

/* @hidden: (out) (optional): if %DDEBUG_ORIGIN_UNKNOWN, the file system that is the reason */
DdebugOrigin ddebug_origin_compare (const DdebugSuper *super, int fd, const char **hidden);

/*
 * The name of the file system of @path if it does not show locks and changes of others, for example on
 * other hosts; otherwise %NULL.
 */
const char *ddebug_origin_hides (const char *path);

#endif
