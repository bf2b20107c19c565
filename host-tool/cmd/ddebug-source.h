/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One of the logs that --trace, --follow and --pipe show: from waiting for it to its end, in rounds.
 * A round reads what the log has.
 */
#ifndef DDEBUG_SOURCE_H
#define DDEBUG_SOURCE_H

#include <glib.h>

#include "ddebug-common.h"
#include "ddebug-cursor.h"
#include "ddebug-format.h"
#include "ddebug-json.h"
#include "ddebug-view.h"

typedef enum
{
  DDEBUG_SHOW_TRACE,
  DDEBUG_SHOW_FOLLOW,
  DDEBUG_SHOW_PIPE,
} DdebugShow;

typedef struct
{
  /* public, read-only except stays */
  char *path;
  char *name;               /* in the output: the domain's name or the path */
  DdebugItem item;          /* of this round: see ddebug_source_next() */
  guint64 key;              /* host's time of item, ns since 1970; never decreases */
  DdebugFormat format;
  DdebugJson json;          /* the same for --output=json */
  const DdebugFilter *filter; /* NULL: show everything */
  DdebugCursor *cursor;     /* NULL unless --pipe and open */
  int status;               /* exit status of this log */
  gboolean ended;           /* it yields nothing more */
  gboolean stays;           /* do not end with the VM, which may be started again; may be set by the caller */

  /* private */
  const DdebugOptions *options;
  DdebugShow show;
  DdebugWait *wait;
  DdebugView *view;         /* NULL: not open */
  DdebugReader *reader;     /* of the view */
  DdebugFilterPlace place;
  DdebugWatch *file;
  DdebugWatch *directory;   /* while the log is waited for */
  DdebugWatch *cursor_file; /* while another consumer has the cursor's lock */
  gboolean locked;          /* we hold the cursor's lock */
  guint budget;             /* items left in this round */
  gboolean flushed;         /* the end was reached, and what was due of the held back messages released */
  gboolean complete;        /* the round reached the end of the log */
  gboolean reopen;          /* another log was formatted in the file */
  gboolean failed;
  gboolean had_writer;
  gboolean is_live;
  gboolean first_round_done;
  guint opens;              /* ddebug_view_opens() after the first round */
  gboolean reported_move;
  gboolean reported_give_up;
  gboolean past;            /* --until has passed: the log ends once it is read to its end */
  /* when a round is due: now, or at one of these times (us, monotonic; 0: never) */
  gboolean due;
  gint64 hold_at;           /* messages were held back long enough */
  gint64 recheck_at;        /* check whether the writer has gone */
  guint rechecks;           /* since the log was closed */
  gint64 lock_at;           /* check whether the cursor is free */
  guint lock_tries;
} DdebugSource;

/*
 * Initially a round is due.  @options and @wait must outlive the source.
 * @name: (nullable): the domain's name
 */
DdebugSource *ddebug_source_new (const DdebugOptions *options, DdebugShow show, DdebugWait *wait,
                                 const char *path, const char *name);
void ddebug_source_free (DdebugSource *source);

/**
 * ddebug_source_start:
 *
 * Start a round if one is due: open the log and lock the cursor.  Never waits.
 *
 * Returns: %TRUE if a round was started, to be ended by ddebug_source_end()
 */
gboolean ddebug_source_start (DdebugSource *source);

/* Store the next item of the round in source->item, valid until the next call; FALSE: none in this round. */
gboolean ddebug_source_next (DdebugSource *source);

/* Whether the item passes the filter, which must not be NULL.  Call once per item. */
gboolean ddebug_source_is_shown (DdebugSource *source);

/* End a round: save and unlock the cursor.  What its items refer to may be gone. */
void ddebug_source_end (DdebugSource *source);

/* Check what has happened to the log.  Call after each ddebug_host_wait(). */
void ddebug_source_wake (DdebugSource *source);

/* Its domain was dropped: end once the whole log was read and no VM uses it. */
void ddebug_source_leave (DdebugSource *source);

/* The ms until a round is due at the latest; -1: only when something happens. */
int ddebug_source_timeout (DdebugSource *source);

#endif
