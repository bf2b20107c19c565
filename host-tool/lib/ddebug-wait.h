/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Wait without polling: for changes of the log and the cursor, for a signal, for the reader of our
 * output to go away.
 */
#ifndef DDEBUG_WAIT_H
#define DDEBUG_WAIT_H

#include <glib.h>

/* Why ddebug_wait() returned; a combination. */
#define DDEBUG_WAKE_FILE    0x01u   /* the log or its directory changed */
#define DDEBUG_WAKE_CLOSED  0x02u   /* a descriptor open for writing the log was closed */
#define DDEBUG_WAKE_MOVED   0x04u   /* the log was renamed, removed or linked */
#define DDEBUG_WAKE_CURSOR  0x08u   /* a descriptor open for writing the cursor was closed */
#define DDEBUG_WAKE_TIMEOUT 0x10u
#define DDEBUG_WAKE_OUTPUT  0x20u   /* the reader of standard output has gone */
#define DDEBUG_WAKE_SIGNAL  0x40u   /* see ddebug_wait_signal() */
#define DDEBUG_WAKE_ROOM    0x80u   /* standard output is writable: ddebug_wait_for_room() */
#define DDEBUG_WAKE_COUNTER 0x100u  /* see ddebug_wait_set_counter() */

typedef struct DdebugWait DdebugWait;

/* @output: descriptor whose other end is watched; -1: none */
DdebugWait *ddebug_wait_new (int output);
void ddebug_wait_free (DdebugWait *wait);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugWait, ddebug_wait_free)

typedef enum
{
  DDEBUG_WATCH_FILE,        /* a log: FILE, CLOSED, MOVED */
  DDEBUG_WATCH_CURSOR,      /* CURSOR */
  DDEBUG_WATCH_DIRECTORY,   /* of a log that does not exist yet: FILE */
} DdebugWatchKind;

typedef struct DdebugWatch DdebugWatch;

/**
 * ddebug_wait_watch:
 *
 * Watch @path from now on.  Any number of paths can be watched, each any number of times.  If the
 * system's limits are reached, @path is polled several times a second instead:
 * ddebug_wait_why_polling().
 *
 * Returns: (transfer full): the watch, to be freed before @wait; %NULL with errno set if @path cannot
 * be watched
 */
DdebugWatch *ddebug_wait_watch (DdebugWait *wait, DdebugWatchKind kind, const char *path);
void ddebug_watch_free (DdebugWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugWatch, ddebug_watch_free)

/* Also wait for a non-blocking eventfd, and read it; it belongs to the caller; -1: none. */
void ddebug_wait_set_counter (DdebugWait *wait, int fd);

/* The DDEBUG_WAKE_* of this watch since the last call; @watch may be %NULL. */
guint ddebug_watch_take (DdebugWatch *watch);

/* The errno because of which something is polled; 0: nothing is. */
int ddebug_wait_why_polling (DdebugWait *wait);

/**
 * ddebug_wait:
 * @timeout_ms: -1: forever; 0: only check
 *
 * Wait and take all pending events, so that the files, if read afterwards, show what caused them.  See
 * ddebug_watch_take() for the events of each watch.
 *
 * Returns: DDEBUG_WAKE_*, at least one unless @timeout_ms is 0
 */
guint ddebug_wait (DdebugWait *wait, int timeout_ms);

/* Like ddebug_wait(), but only for output, signal and room, without a timeout. */
guint ddebug_wait_for_room (DdebugWait *wait);

/* From now on, record SIGINT, SIGTERM and SIGHUP, and ignore SIGPIPE and SIGXFSZ. */
gboolean ddebug_wait_catch_signals (GError **error);
/*
 * While on, a signal ends the process immediately: for library calls that may block, when nothing is
 * half done.
 */
void ddebug_wait_let_signals_kill (gboolean on);
/* The signal that arrived; 0: none. */
int ddebug_wait_signal (void);
/* End the process as the signal that arrived would have done. */
void ddebug_wait_die_by_signal (void) G_GNUC_NORETURN;

#endif
