/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a log file: from bytes to chunks.  The rules are docs/log-format.md,
 * "Rules for readers"; what a payload means is not known here.
 */
#ifndef DDEBUG_READER_H
#define DDEBUG_READER_H

#include <glib.h>
#include <sys/types.h>

#include "ddebug-log-error.h"
#include "ddebug-log-format.h"

typedef enum
{
  DDEBUG_READ_CHUNK,        /* a chunk; its payload is NULL if only the header was whole */
  /*
   * chunk.len bytes at chunk.off of segment chunk.seg_seq were skipped; if that
   * is 0, the segment in slot chunk.pos, which cannot be told any more
   */
  DDEBUG_READ_DAMAGE,
  DDEBUG_READ_LAPPED,       /* segments were overwritten or cleared before they were read */
  DDEBUG_READ_END,          /* nothing more now */
  DDEBUG_READ_OTHER,        /* another log was formatted in this file: open it anew */
  DDEBUG_READ_ERROR,        /* a GError is set */
} DdebugRead;

typedef enum
{
  DDEBUG_WRITER_GONE,
  DDEBUG_WRITER_ALIVE,
  DDEBUG_WRITER_UNKNOWN,    /* the file system knows no such locks */
} DdebugWriter;

/* How the slots of the file are used. */
typedef struct
{
  guint64 data;
  guint64 dict;
  guint64 cleared;
  guint64 unused;
  guint64 missing;          /* behind the end of a file that was cut short */
} DdebugUsage;

typedef struct DdebugReader DdebugReader;

/**
 * ddebug_reader_open:
 * @path: a log file; a symbolic link is refused
 *
 * Opens the log for reading.  No lock is taken, nothing is ever written.  All
 * that is in the log when ddebug_reader_next() is called first will be read.
 *
 * Returns: (transfer full): a reader that stands before the oldest chunk, or
 * %NULL with @error set (%DDEBUG_LOG_ERROR)
 */
DdebugReader *ddebug_reader_open (const char *path, GError **error);
/**
 * ddebug_reader_again:
 *
 * Returns: (transfer full): another reader of the same file, wherever it is now, that stands
 * before the oldest chunk, or %NULL with @error set; independent of @reader
 */
DdebugReader *ddebug_reader_again (DdebugReader *reader, GError **error);
void ddebug_reader_free (DdebugReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugReader, ddebug_reader_free)

/**
 * ddebug_reader_next:
 * @chunk: (out caller-allocates): valid until the next call
 *
 * Chunks come in the order in which they were written, over both types of
 * segments: a callsite is announced before the first record that names it.
 * After %DDEBUG_READ_END it may be called again when the file has changed.
 *
 * Behind the last chunk of a log without a writer comes what that has left in the
 * shared rings, once: spans that are given out as DATA chunks of one more pass.
 */
DdebugRead ddebug_reader_next (DdebugReader *reader, DdebugChunk *chunk, GError **error);

/*
 * Whether somebody may be writing a chunk right now.  While it may be so, an
 * unreadable chunk at the very end is taken for one that is being written.
 */
void ddebug_reader_set_live (DdebugReader *reader, gboolean live);

/*
 * Whether a writer has, or had, the log since ddebug_reader_set_live() was told that there is none:
 * what was read since may not be all that the one before has left.
 */
gboolean ddebug_reader_was_taken (DdebugReader *reader);

/*
 * Ends the log after one file full of segments from here, so that reading what
 * there is ends also where the writer is faster than the reader.
 */
void ddebug_reader_set_snapshot (DdebugReader *reader);

const DdebugSuper *ddebug_reader_super (DdebugReader *reader);
DdebugWriter ddebug_reader_writer (DdebugReader *reader);
/* FALSE if there is no valid state. */
gboolean ddebug_reader_state (DdebugReader *reader, DdebugState *state);
void ddebug_reader_usage (DdebugReader *reader, DdebugUsage *usage);
/* No chunk of an epoch below this one is left; 0 if nothing is known. */
guint32 ddebug_reader_oldest_epoch (DdebugReader *reader);
/* Bytes that the file has now. */
guint64 ddebug_reader_file_size (DdebugReader *reader);
/* Whether @path still names the file that is open. */
gboolean ddebug_reader_is_at (DdebugReader *reader, const char *path);
/* Whether @fd is open on the same file, and the file has no other name. */
gboolean ddebug_reader_is_sole_file (DdebugReader *reader, int fd);
/* The user that the file belongs to. */
uid_t ddebug_reader_owner (DdebugReader *reader);

#endif
