/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest and its device that write as fast as they can, without a guest: the real
 * log writer, and messages that say which they are.  It remembers nothing of what it
 * wrote, so it may go on for ever.
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

/* A QEMU takes the log at @path, a guest boots. */
void flood_start (Flood *flood, const char *path, guint64 size);
/* One look of the device over all streams, that finds up to @messages of each; the newest of one may be lost. */
void flood_pass (Flood *flood, guint messages, gboolean lose);
/* The device has found nothing more. */
void flood_settle (Flood *flood);
/* The VM ends. */
void flood_stop (Flood *flood);

/* ---- what a tool has printed ---- */

typedef enum
{
  FLOOD_MESSAGE,                /* cpu, number */
  FLOOD_LOST,                   /* cpu, count */
  FLOOD_OTHER,                  /* neither */
} FloodLine;

/* What @line, which ends with a newline, says. */
FloodLine flood_parse (const char *line, guint *cpu, guint64 *value);

#endif
