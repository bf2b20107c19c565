/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands of ddebug-host share. */
#ifndef DDEBUG_HOST_H
#define DDEBUG_HOST_H

#include <glib.h>

#include "ddebug-reader.h"
#include "ddebug-wait.h"

enum
{
  DDEBUG_EXIT_OK = 0,
  DDEBUG_EXIT_IO = 1,       /* reading or writing failed */
  DDEBUG_EXIT_USAGE = 2,
  DDEBUG_EXIT_FORMAT = 3,   /* not a log, one of another version, or a damaged one */
  DDEBUG_EXIT_ACCESS = 4,   /* no such file, no regular file, no permission */
  DDEBUG_EXIT_REFUSED = 5,  /* the device refused, or did not answer */
};

typedef enum
{
  DDEBUG_SHOW_TRACE,
  DDEBUG_SHOW_FOLLOW,
  DDEBUG_SHOW_PIPE,
} DdebugShow;

typedef struct
{
  const char *path;
  gboolean wait;
  gboolean callsite;
  gboolean raw;
  gboolean quiet;
  gboolean utf8;
} DdebugOptions;

/* Says "ddebug-host: ..." on standard error; returns the exit status for @error. */
int ddebug_host_fail (const GError *error);

/* Says something on standard error that does not end the command. */
void ddebug_host_say (const char *format, ...) G_GNUC_PRINTF (1, 2);

/**
 * ddebug_host_open:
 *
 * Opens the log, waits for it to be there if that was asked for, and watches it.
 *
 * Returns: (transfer full): the reader; %NULL with *@status set to what to exit with
 */
DdebugReader *ddebug_host_open (const DdebugOptions *options, DdebugWait *wait, int *status);

/* Whether somebody may be writing; @closed: the log says that its writer is done. */
gboolean ddebug_host_is_live (DdebugReader *reader, gboolean closed);
/* Whether the file is shorter than its log, and will stay so; @there: what it has. */
gboolean ddebug_host_is_cut (DdebugReader *reader, guint64 *there);

/* The commands; each returns the exit status, or does not return because of a signal. */
int ddebug_host_show (const DdebugOptions *options, DdebugShow show, DdebugWait *wait);
int ddebug_host_info (const DdebugOptions *options, DdebugWait *wait);

#endif
