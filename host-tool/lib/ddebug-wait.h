/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waiting for the world without asking it again and again: for the log, for
 * the cursor, for a signal, for the reader of our output to go away.
 */
#ifndef DDEBUG_WAIT_H
#define DDEBUG_WAIT_H

#include <glib.h>

/* Why ddebug_wait() returned; several may be true. */
#define DDEBUG_WAKE_FILE    0x01u   /* the log, or what is in its directory, changed */
#define DDEBUG_WAKE_CLOSED  0x02u   /* somebody who could write the log closed it */
#define DDEBUG_WAKE_MOVED   0x04u   /* the log was renamed, removed or linked */
#define DDEBUG_WAKE_CURSOR  0x08u   /* somebody who could write the cursor closed it */
#define DDEBUG_WAKE_TIMEOUT 0x10u
#define DDEBUG_WAKE_OUTPUT  0x20u   /* nobody reads standard output any more */
#define DDEBUG_WAKE_SIGNAL  0x40u   /* see ddebug_wait_signal() */
#define DDEBUG_WAKE_ROOM    0x80u   /* standard output takes bytes: ddebug_wait_for_room() */
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
  DDEBUG_WATCH_DIRECTORY,   /* of a log that is not there yet: FILE */
} DdebugWatchKind;

typedef struct DdebugWatch DdebugWatch;

/**
 * ddebug_wait_watch:
 *
 * Watches @path from now on.  Any number may be watched, each any number of times.
 * Where the system gives no watch, since its limits are reached, the world is looked
 * at several times a second instead: ddebug_wait_why_polling().
 *
 * Returns: (transfer full): the watch, to be freed before @wait; %NULL with errno set
 * if @path cannot be watched
 */
DdebugWatch *ddebug_wait_watch (DdebugWait *wait, DdebugWatchKind kind, const char *path);
void ddebug_watch_free (DdebugWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugWatch, ddebug_watch_free)

/* An eventfd that does not block, which is waited for as well, and read; it belongs to the caller; -1: none. */
void ddebug_wait_set_counter (DdebugWait *wait, int fd);

/* What of DDEBUG_WAKE_* has happened to it since it was asked last; @watch may be %NULL. */
guint ddebug_watch_take (DdebugWatch *watch);

/* 0, or the errno for which something has to be looked at again and again. */
int ddebug_wait_why_polling (DdebugWait *wait);

/**
 * ddebug_wait:
 * @timeout_ms: -1: for ever; 0: look only
 *
 * All events that have come are taken, so whoever looks at the files afterwards
 * sees what they told of.  What came to which: ddebug_watch_take().
 *
 * Returns: DDEBUG_WAKE_*, at least one unless @timeout_ms is 0
 */
guint ddebug_wait (DdebugWait *wait, int timeout_ms);

/* As ddebug_wait(), for output, signal and room only; -1 as timeout. */
guint ddebug_wait_for_room (DdebugWait *wait);

/* SIGINT, SIGTERM and SIGHUP are kept from now on, SIGPIPE and SIGXFSZ are ignored. */
gboolean ddebug_wait_catch_signals (GError **error);
/*
 * While it is on, a signal ends the process at once: for calls into libraries that may
 * wait for others, where nothing is half done.
 */
void ddebug_wait_let_signals_kill (gboolean on);
/* The signal that came; 0: none. */
int ddebug_wait_signal (void);
/* Ends the process as the signal that came would have done. */
void ddebug_wait_die_by_signal (void) G_GNUC_NORETURN;

#endif
