/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands of ddebug-host share. */
#ifndef DDEBUG_COMMON_H
#define DDEBUG_COMMON_H

#include <glib.h>

#include "ddebug-filter.h"
#include "ddebug-merge.h"
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
  DDEBUG_EXIT_BOOT = 6,     /* the log has no such boot */
};

/*
 * How long (ns of the log's clock) messages are held at least for CPUs of the guest
 * that do not run, unless the device is idle.  A virtual CPU waits for its turn for
 * up to some 100 ms on a busy host.  What is there already costs no one a delay.
 */
#define DDEBUG_WINDOW_TRACE (1000 * G_GUINT64_CONSTANT (1000000))
#define DDEBUG_WINDOW_LIVE (100 * G_GUINT64_CONSTANT (1000000))

typedef struct
{
  char **paths;             /* n_paths, at least one, unless all is set */
  char **names;             /* of each path its domain's, or NULL: none was named */
  guint n_paths;
  gboolean all;             /* all domains of libvirt */
  const char *uri;          /* of libvirt; NULL: its default */
  gboolean wait;
  gboolean callsite;
  gboolean raw;
  gboolean quiet;
  gboolean json;            /* --output=json */
  gboolean utf8;
  const DdebugFilter *filter; /* NULL: all is shown */
} DdebugOptions;

/* Says "ddebug-host: ..." on standard error; returns the exit status for @error. */
int ddebug_host_fail (const GError *error);

/* Says something on standard error that does not end the command. */
void ddebug_host_say (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* In place of an exit status: the log is not there yet, and waited for. */
#define DDEBUG_OPEN_LATER (-1)

/**
 * ddebug_host_try_open:
 * @directory: (inout): watches where the log will be, while it is waited for
 * @file: (out): watches the log; %NULL if it need not be watched
 * @status: (out): what to exit with, the reason was said; or %DDEBUG_OPEN_LATER
 *
 * Never waits.
 *
 * Returns: (transfer full) (nullable): the reader
 */
DdebugReader *ddebug_host_try_open (const DdebugOptions *options, const char *path, DdebugWait *wait,
                                    DdebugWatch **directory, DdebugWatch **file, int *status);

/* The same for a log that is read once: waits for it, if that was asked for. */
DdebugReader *ddebug_host_open (const DdebugOptions *options, const char *path, DdebugWait *wait, int *status);

/* As ddebug_wait(); says once if the system's limits make the tool look again and again. */
guint ddebug_host_wait (DdebugWait *wait, int timeout_ms);

/* Whether somebody may be writing; @closed: the log says that its writer is done. */
gboolean ddebug_host_is_live (DdebugReader *reader, gboolean closed);
/* Whether the file is shorter than its log, and will stay so; @there: what it has. */
gboolean ddebug_host_is_cut (DdebugReader *reader, guint64 *there);

/* A DdebugItemFunc that only reads on, until a signal comes; @data is not used. */
gboolean ddebug_host_read_on (const DdebugItem *item, gpointer data);

/*
 * Writes @text to standard output, whole, unless a signal comes: the caller dies by
 * it (ddebug_wait_die_by_signal()) when it has cleaned up.  Returns the exit status;
 * what went wrong was said.
 */
int ddebug_host_print (DdebugWait *wait, const GString *text);

#endif
