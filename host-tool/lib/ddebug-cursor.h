/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FILE.cursor: the position of ddebug-host --pipe.  docs/log-format.md, "The cursor", describes the
 * file.
 */
#ifndef DDEBUG_CURSOR_H
#define DDEBUG_CURSOR_H

#include <glib.h>
#include <sys/types.h>

#include "ddebug-merge.h"
#include "ddebug-reader.h"

/* The position in one stream. */
typedef struct
{
  guint64 next;             /* number of the next message */
  guint64 recursed;         /* drops reported so far */
  guint64 torn;
  guint64 nostream;         /* of the whole instance */
  guint64 missed;
} DdebugPlace;

typedef struct DdebugCursor DdebugCursor;

/*
 * @uuid, @log: of the log @log_path.  Nothing is opened yet.  Only a cursor that belongs to the log's owner,
 * the user of this process or root is accepted.  A new one gets the log's owner, group and mode, as far as
 * this process may give them.
 */
DdebugCursor *ddebug_cursor_new (const char *log_path, const guint8 uuid[16], const DdebugAccess *log);
void ddebug_cursor_free (DdebugCursor *cursor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugCursor, ddebug_cursor_free)

const char *ddebug_cursor_path (DdebugCursor *cursor);

typedef enum
{
  DDEBUG_CURSOR_LOCKED,
  DDEBUG_CURSOR_BUSY,       /* another consumer has locked it */
  DDEBUG_CURSOR_ERROR,
} DdebugCursorResult;

/**
 * ddebug_cursor_lock:
 *
 * Open the cursor, creating it if it does not exist, lock it and read it.  Never waits: after
 * %DDEBUG_CURSOR_BUSY, wait for the file to be closed and call again.
 */
DdebugCursorResult ddebug_cursor_lock (DdebugCursor *cursor, GError **error);

/**
 * ddebug_cursor_save:
 *
 * Write changes without unlocking.  A process that is killed at any time leaves the positions as they
 * were last saved.
 *
 * Returns: %FALSE with @error set; what was saved before is still valid
 */
gboolean ddebug_cursor_save (DdebugCursor *cursor, GError **error);

/**
 * ddebug_cursor_unlock:
 * @oldest_epoch: positions of driver instances whose last epoch is below are removed
 *
 * Write changes, unlock and close.
 */
gboolean ddebug_cursor_unlock (DdebugCursor *cursor, guint32 oldest_epoch, GError **error);

/* Record the last epoch of @instance, if it has positions. */
void ddebug_cursor_touch (DdebugCursor *cursor, const DdebugInstance *instance);

/* FALSE if nothing of the stream's instance was consumed yet; zeros: nothing of the stream. */
gboolean ddebug_cursor_get (DdebugCursor *cursor, const DdebugMergerStream *stream, DdebugPlace *place);
void ddebug_cursor_set (DdebugCursor *cursor, const DdebugMergerStream *stream, const DdebugPlace *place);

#endif
