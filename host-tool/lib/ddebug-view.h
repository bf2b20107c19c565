/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A log as its user sees it: the messages of all epochs in order, and what is missing.  Combines
 * reader, dictionary and merger.
 */
#ifndef DDEBUG_VIEW_H
#define DDEBUG_VIEW_H

#include <glib.h>

#include "ddebug-dict.h"
#include "ddebug-merge.h"
#include "ddebug-reader.h"

/* Counted since the view was opened. */
typedef struct
{
  guint64 chunks;
  guint64 bad_chunks;       /* headers with a damaged payload */
  guint64 bad_bytes;        /* bytes between chunks that are not chunks */
  guint64 bad_spans;        /* malformed payloads from the guest */
  guint64 unknown_chunks;   /* of types unknown to this tool */
  guint64 unknown_records;
  guint64 laps;
  guint64 io_errors;        /* chunks that the device could not write */
  guint64 fulls;            /* chunks discarded because the log was full */
  guint64 unsynced;         /* chunks that the disk may not have taken */
  guint64 missing;          /* chunks that were written, and are not in the file */
  guint64 rates;            /* gaps because the guest exceeded the rate limit */
  guint64 received;
  guint64 lost;
  guint64 dropped;
  guint64 nostream;         /* not recorded: in the guest, without a ring */
  guint64 missed;           /* not recorded: passed by the driver, in the guest's kernel log only */
  guint64 late;             /* of those received: returned after a younger one */
  guint64 unchecked;        /* of those received: from shared rings, since QEMU died */
} DdebugTotals;

typedef enum
{
  DDEBUG_VIEW_ITEM,
  DDEBUG_VIEW_END,          /* nothing more now */
  DDEBUG_VIEW_OTHER,        /* another log was formatted in this file */
  DDEBUG_VIEW_ERROR,
} DdebugViewResult;

typedef struct DdebugView DdebugView;

/* @reader: (transfer full) */
DdebugView *ddebug_view_new (DdebugReader *reader);
void ddebug_view_free (DdebugView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugView, ddebug_view_free)

/**
 * ddebug_view_start:
 * @live: the log may have a writer
 *
 * Start a round, that is, calls of ddebug_view_next() up to %DDEBUG_VIEW_END.
 */
void ddebug_view_start (DdebugView *view, gboolean live);

/**
 * ddebug_view_next:
 * @item: (out caller-allocates): valid until the next call
 */
DdebugViewResult ddebug_view_next (DdebugView *view, DdebugItem *item, GError **error);

/*
 * Whether the next item was already taken from its stream, whose position is after it.  The caller must
 * fetch it before it saves positions.
 */
gboolean ddebug_view_has_taken (DdebugView *view);

/* Called with each item; return FALSE to stop. */
typedef gboolean (*DdebugItemFunc) (const DdebugItem *item, gpointer data);

/**
 * ddebug_view_read_all:
 * @live: the log may have a writer
 *
 * Read the whole log once, instead of using ddebug_view_start() and ddebug_view_next().
 *
 * Returns: %FALSE with @error set if it cannot be read
 */
gboolean ddebug_view_read_all (DdebugView *view, gboolean live, DdebugItemFunc func, gpointer data,
                               GError **error);

/*
 * Make everything due that is held back for ordering, and read no more: what the writer has written in
 * the meantime would be late.
 */
void ddebug_view_release (DdebugView *view);

/* The writer has gone: make everything due, including what is missing at the end. */
void ddebug_view_finish (DdebugView *view);

/* The last event of the VM (DDEBUG_LOG_EVENT_*); 0: none in the log.  @realtime: ns since 1970. */
guint32 ddebug_view_last_event (DdebugView *view, guint64 *arg, guint64 *realtime);

/* Whether the writer has closed the log. */
gboolean ddebug_view_is_closed (DdebugView *view);

/* The number of times that a QEMU opened the log, according to the log. */
guint ddebug_view_opens (DdebugView *view);

DdebugReader *ddebug_view_reader (DdebugView *view);
DdebugDict *ddebug_view_dict (DdebugView *view);
DdebugMerger *ddebug_view_merger (DdebugView *view);
const DdebugTotals *ddebug_view_totals (DdebugView *view);

#endif
