/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FILE.cursor: how far ddebug-host --pipe has come.  docs/log-format.md, "The
 * cursor", describes the file.
 */
#ifndef DDEBUG_CURSOR_H
#define DDEBUG_CURSOR_H

#include <glib.h>
#include <sys/types.h>

#include "ddebug-merge.h"

/* How far one stream was consumed. */
typedef struct
{
  guint64 next;             /* number of the next message */
  guint64 recursed;         /* drops that were reported */
  guint64 torn;
} DdebugPlace;

typedef struct DdebugCursor DdebugCursor;

/*
 * @uuid, @log_owner: of the log @log_path.  Nothing is opened yet.  A cursor is
 * taken that belongs to the log's owner, to the user of this process or to root.
 */
DdebugCursor *ddebug_cursor_new (const char *log_path, const guint8 uuid[16], uid_t log_owner);
void ddebug_cursor_free (DdebugCursor *cursor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugCursor, ddebug_cursor_free)

const char *ddebug_cursor_path (DdebugCursor *cursor);

typedef enum
{
  DDEBUG_CURSOR_LOCKED,
  DDEBUG_CURSOR_BUSY,       /* another consumer has it */
  DDEBUG_CURSOR_ERROR,
} DdebugCursorResult;

/**
 * ddebug_cursor_lock:
 *
 * Opens the cursor, makes it if it is missing, locks it and reads it.  Never
 * waits: after %DDEBUG_CURSOR_BUSY wait for the file to be closed, and call again.
 */
DdebugCursorResult ddebug_cursor_lock (DdebugCursor *cursor, GError **error);

/**
 * ddebug_cursor_save:
 *
 * Writes what was changed, and keeps the lock.  A process that is killed at any
 * time leaves the places as they were saved last.
 *
 * Returns: %FALSE with @error set; then what was saved before counts still
 */
gboolean ddebug_cursor_save (DdebugCursor *cursor, GError **error);

/**
 * ddebug_cursor_unlock:
 * @oldest_epoch: instances that ended in an epoch below are forgotten
 *
 * Writes what was changed, unlocks and closes.
 */
gboolean ddebug_cursor_unlock (DdebugCursor *cursor, guint32 oldest_epoch, GError **error);

/* Tells that @instance went on in the epoch that it names now. */
void ddebug_cursor_touch (DdebugCursor *cursor, const DdebugInstance *instance);

/* FALSE if nothing of the stream was consumed yet. */
gboolean ddebug_cursor_get (DdebugCursor *cursor, const DdebugMergerStream *stream, DdebugPlace *place);
void ddebug_cursor_set (DdebugCursor *cursor, const DdebugMergerStream *stream, const DdebugPlace *place);

#endif
