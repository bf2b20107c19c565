/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A log as its user sees it: messages of all epochs in order, and what is
 * missing.  It joins reader, dictionary and merger.
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
  guint64 bad_chunks;       /* headers whose payload was damaged */
  guint64 bad_bytes;        /* bytes that are not chunks, between chunks */
  guint64 bad_spans;        /* payloads the guest filled with something else */
  guint64 unknown_chunks;   /* of types not known to this tool */
  guint64 unknown_records;
  guint64 laps;
  guint64 io_errors;        /* chunks that the device could not write, */
  guint64 fulls;            /* that a full log did not take, */
  guint64 rates;            /* and gaps where the guest logged too fast */
  guint64 received;
  guint64 lost;
  guint64 dropped;
  guint64 late;             /* of those received: given out after a younger one */
  guint64 unchecked;        /* of those received: they were in shared rings when a QEMU died */
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
 * ddebug_view_begin:
 * @live: somebody may be writing the log
 *
 * Begins a round, that is calls of ddebug_view_next() up to %DDEBUG_VIEW_END.
 */
void ddebug_view_begin (DdebugView *view, gboolean live);

/**
 * ddebug_view_next:
 * @item: (out caller-allocates): valid until the next call
 */
DdebugViewResult ddebug_view_next (DdebugView *view, DdebugItem *item, GError **error);

/*
 * Whether what ddebug_view_next() gives next was taken from its stream already, whose place is behind it:
 * not to be left to whoever reads the log meanwhile.
 */
gboolean ddebug_view_has_taken (DdebugView *view);

/* Called with each item; FALSE: no more. */
typedef gboolean (*DdebugItemFunc) (const DdebugItem *item, gpointer data);

/**
 * ddebug_view_read_all:
 * @live: somebody may be writing the log
 *
 * All that is in the log, once: in place of ddebug_view_begin() and what follows.
 *
 * Returns: %FALSE with @error set if it could not be read
 */
gboolean ddebug_view_read_all (DdebugView *view, gboolean live, DdebugItemFunc func, gpointer data, GError **error);

/*
 * Gives out what is held back for order without waiting any longer, and reads no
 * more: what the writer has written meanwhile would be late.
 */
void ddebug_view_release (DdebugView *view);

/* Nothing more will come from this writer: gives out all, and what is missing at the end. */
void ddebug_view_finish (DdebugView *view);

/* Whether messages are held back for their order. */
gboolean ddebug_view_is_holding (DdebugView *view);

/* The last event that says what became of the VM; 0: none is in the log. */
guint32 ddebug_view_last_event (DdebugView *view, guint64 *arg, guint64 *realtime);

/* Whether the writer said that it is done with the log. */
gboolean ddebug_view_is_closed (DdebugView *view);

/* How often a QEMU opened the log, as far as the log says. */
guint ddebug_view_opens (DdebugView *view);

DdebugReader *ddebug_view_reader (DdebugView *view);
DdebugDict *ddebug_view_dict (DdebugView *view);
DdebugMerger *ddebug_view_merger (DdebugView *view);
const DdebugTotals *ddebug_view_totals (DdebugView *view);

#endif
