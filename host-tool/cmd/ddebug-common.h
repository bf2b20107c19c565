/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands of ddebug-host share: options, exit statuses, messages, opening a log, output. */
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
  DDEBUG_EXIT_FORMAT = 3,   /* not a log, of another version, or damaged */
  DDEBUG_EXIT_ACCESS = 4,   /* no such file, not a regular file, no permission */
  DDEBUG_EXIT_REFUSED = 5,  /* the device refused or did not answer */
  DDEBUG_EXIT_BOOT = 6,     /* no such boot in the log */
};

/*
 * Minimum time (ns of the log's clock) that messages are held back for guest CPUs that are not
 * running, unless the device is idle.  On a busy host a virtual CPU waits up to some 100 ms to be
 * scheduled.  Reading what is already in the log is not delayed by this.
 */
#define DDEBUG_WINDOW_TRACE (1000 * G_GUINT64_CONSTANT (1000000))
#define DDEBUG_WINDOW_LIVE (100 * G_GUINT64_CONSTANT (1000000))

typedef struct
{
  char **paths;             /* n_paths, at least one unless all is set */
  char **names;             /* for each path its domain's name; NULL: given as a file */
  const int *copies;        /* for each path the descriptor of a copy to be read instead; -1: none; NULL: all -1 */
  guint n_paths;
  gboolean all;             /* all libvirt domains */
  const char *uri;          /* libvirt URI; NULL: libvirt's default */
  gboolean wait;
  gboolean callsite;
  gboolean raw;
  gboolean quiet;
  gboolean json;            /* --output=json */
  gboolean utf8;
  const DdebugFilter *filter; /* NULL: show everything */
} DdebugOptions;

/* Print "ddebug-host: ..." to standard error; return the exit status for @error. */
int ddebug_host_fail (const GError *error);

/* Print a message that does not end the command to standard error. */
void ddebug_host_say (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* Instead of an exit status: the log does not exist yet and is waited for. */
#define DDEBUG_OPEN_LATER (-1)

/**
 * ddebug_host_try_open:
 * @directory: (inout): watch on the log's directory while the log is waited for
 * @file: (out): watch on the log; %NULL if it need not be watched
 * @status: (out): the exit status, whose reason was reported, or %DDEBUG_OPEN_LATER
 *
 * Open a log without waiting.
 *
 * Returns: (transfer full) (nullable): the reader
 */
DdebugReader *ddebug_host_try_open (const DdebugOptions *options, const char *path, DdebugWait *wait,
                                    DdebugWatch **directory, DdebugWatch **file, int *status);

/* Open a log that is read once; wait for it if the options say so. */
DdebugReader *ddebug_host_open (const DdebugOptions *options, const char *path, DdebugWait *wait,
                                int *status);

/* Like ddebug_wait(), but report once if the system's limits force the tool to poll. */
guint ddebug_host_wait (DdebugWait *wait, int timeout_ms);

/* Whether the log may have a writer; @closed: its writer has closed it. */
gboolean ddebug_host_is_live (DdebugReader *reader, gboolean closed);
/* Whether the file is shorter than its log and will stay so; @there: (out): its bytes. */
gboolean ddebug_host_is_cut (DdebugReader *reader, guint64 *there);

/* If the log was cut short, say so: its contents are about to be changed. */
void ddebug_host_warn_before_change (const char *path);

/* A DdebugItemFunc that continues until a signal arrives; @data is not used. */
gboolean ddebug_host_read_on (const DdebugItem *item, gpointer data);

/*
 * Write all of @text to standard output, unless a signal arrives: then the caller cleans up and
 * calls ddebug_wait_die_by_signal().  Return the exit status; errors were reported.
 */
int ddebug_host_print (DdebugWait *wait, const GString *text);

#endif
