/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One of the logs that --trace, --follow and --pipe show: from the time it is
 * waited for to its end, in rounds.  A round reads what there is.
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
  /* what the outside may read */
  char *path;
  char *name;               /* as it is called in the output: of its domain, or the path */
  DdebugItem item;          /* the next of this round: ddebug_source_next() */
  guint64 key;              /* host's time of item, ns since 1970; never goes back */
  DdebugFormat format;
  DdebugJson json;          /* the same for --output=json */
  const DdebugFilter *filter; /* NULL: all is shown */
  DdebugCursor *cursor;     /* NULL unless --pipe, and open */
  int status;               /* what to exit with, as far as this log goes */
  gboolean ended;           /* nothing more comes of it */
  gboolean stays;           /* it does not end with its VM, which may be started again; may be set */

  const DdebugOptions *options;
  DdebugShow show;
  DdebugWait *wait;
  DdebugView *view;         /* NULL: not open */
  DdebugReader *reader;     /* of the view */
  DdebugFilterPlace place;
  DdebugWatch *file;
  DdebugWatch *directory;   /* while the log is waited for */
  DdebugWatch *cursor_file; /* while another consumer has the cursor */
  gboolean locked;          /* we have it */
  guint budget;             /* items that are left of this round */
  gboolean flushed;         /* the end was met, and what was held back looked at */
  gboolean complete;        /* the round has come to the end of the log */
  gboolean reopen;          /* another log was formatted in the file */
  gboolean failed;
  gboolean had_writer;
  gboolean is_live;
  gboolean first_round_done;
  guint opens;              /* when the first round was done */
  gboolean said_moved;
  gboolean said_gave_up;
  gboolean past;            /* the time of --until is over: the log ends where it is read to its end */
  /* when a round is to be made: at once, or at these times; us, monotonic; 0: not */
  gboolean due;
  gint64 hold_at;           /* messages were held back long enough */
  gint64 recheck_at;        /* whether the writer has gone */
  guint rechecks;           /* made since the log was closed */
  gint64 lock_at;           /* whether the cursor is free */
  guint lock_tries;
} DdebugSource;

/* A round is due at first.  @options and @wait must outlive it.  @name: (nullable): of its domain */
DdebugSource *ddebug_source_new (const DdebugOptions *options, DdebugShow show, DdebugWait *wait, const char *path,
                                 const char *name);
void ddebug_source_free (DdebugSource *source);

/**
 * ddebug_source_begin:
 *
 * Begins a round, if one is due: opens the log, takes the cursor.  Never waits.
 *
 * Returns: %TRUE if a round has begun, to be ended by ddebug_source_end()
 */
gboolean ddebug_source_begin (DdebugSource *source);

/* The next item of the round in source->item, valid until the next call; %FALSE: none, in this round. */
gboolean ddebug_source_next (DdebugSource *source);

/* Whether the filter, which is not NULL, lets that item pass; to be asked once for each. */
gboolean ddebug_source_is_shown (DdebugSource *source);

/*
 * Ends a round: what its items referred to may be gone, the cursor is written and
 * given back.
 */
void ddebug_source_end (DdebugSource *source);

/* Looks what has happened to the log since; to be called after each ddebug_host_wait(). */
void ddebug_source_wake (DdebugSource *source);

/* Its domain is no more: it ends as soon as all that the log has was read, and no VM has it. */
void ddebug_source_leave (DdebugSource *source);

/* In how many ms a round is due, whatever happens; -1: when something happens. */
int ddebug_source_timeout (DdebugSource *source);

#endif
