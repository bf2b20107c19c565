/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Read a log file: from bytes to chunks.  Follows docs/log-format.md, "Rules for readers".  Does not
 * interpret payloads.
 */
#ifndef DDEBUG_READER_H
#define DDEBUG_READER_H

#include <glib.h>
#include <sys/types.h>

#include "ddebug-log-error.h"
#include "ddebug-log-format.h"

typedef enum
{
  DDEBUG_READ_CHUNK,        /* a chunk; its payload is NULL if only the header is valid */
  /*
   * chunk.len bytes at chunk.off of segment chunk.seg_seq were skipped; if seg_seq is 0, the
   * unidentifiable segment in slot chunk.pos
   */
  DDEBUG_READ_DAMAGE,
  DDEBUG_READ_LAPPED,       /* segments were overwritten or cleared before they were read */
  DDEBUG_READ_END,          /* nothing more now */
  DDEBUG_READ_OTHER,        /* another log was formatted in this file: reopen it */
  DDEBUG_READ_ERROR,        /* a GError is set */
} DdebugRead;

typedef enum
{
  DDEBUG_WRITER_GONE,
  DDEBUG_WRITER_ALIVE,
  DDEBUG_WRITER_COPY,       /* nobody writes this file, a copy: how the writer of the other ended is unknown */
  DDEBUG_WRITER_UNKNOWN,    /* there may be one whose lock is not seen: ddebug_reader_hidden_by() */
} DdebugWriter;

/* Number of slots by use. */
typedef struct
{
  guint64 data;
  guint64 dict;
  guint64 cleared;
  guint64 unused;
  guint64 missing;          /* beyond the end of a truncated file */
} DdebugUsage;

/* Who may use a file. */
typedef struct
{
  uid_t owner;
  gid_t group;
  mode_t mode;              /* the permission bits */
} DdebugAccess;

typedef struct DdebugReader DdebugReader;

/**
 * ddebug_reader_open:
 * @path: a log file; a symbolic link is refused
 *
 * Open the log for reading.  Takes no lock and never writes.  Everything in the log at the first call of
 * ddebug_reader_next() will be read.
 *
 * Returns: (transfer full): a reader positioned before the oldest chunk, or %NULL with @error set
 * (%DDEBUG_LOG_ERROR)
 */
DdebugReader *ddebug_reader_open (const char *path, GError **error);
/*
 * Open a copy of the log @path that this process has made, of which @fd is a descriptor that stays the
 * caller's.  It has no writer.
 */
DdebugReader *ddebug_reader_open_copy (int fd, const char *path, GError **error);
/**
 * ddebug_reader_again:
 *
 * Returns: (transfer full): an independent reader of the same file, even if that was moved, positioned
 * before the oldest chunk, or %NULL with @error set
 */
DdebugReader *ddebug_reader_again (DdebugReader *reader, GError **error);
void ddebug_reader_free (DdebugReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugReader, ddebug_reader_free)

/**
 * ddebug_reader_next:
 * @chunk: (out caller-allocates): valid until the next call
 *
 * Return the next chunk, in the order of writing over both types of segments: a callsite's dictionary
 * entry precedes the first record that refers to it.  After %DDEBUG_READ_END, call again when the file
 * has changed.
 *
 * The last chunk of a log without a writer is followed, once, by what the writer left in the shared
 * rings: spans that are returned as DATA chunks of one more pass.
 */
DdebugRead ddebug_reader_next (DdebugReader *reader, DdebugChunk *chunk, GError **error);

/*
 * Set whether there may be a writer.  If so, an unreadable chunk at the very end is assumed to be in the
 * middle of being written.
 */
void ddebug_reader_set_live (DdebugReader *reader, gboolean live);

/*
 * Whether a writer has opened the log since ddebug_reader_set_live() was called with FALSE: what was
 * read since may not be everything that the previous writer left.
 */
gboolean ddebug_reader_was_taken (DdebugReader *reader);

/*
 * End the log after one file full of segments from here, so that reading ends even if the writer is
 * faster than the reader.
 */
void ddebug_reader_set_snapshot (DdebugReader *reader);

const DdebugSuper *ddebug_reader_super (DdebugReader *reader);
DdebugWriter ddebug_reader_writer (DdebugReader *reader);
/*
 * The file system because of which locks and requests may not reach a writer of this log on the other side:
 * do not change the log.  %NULL: they do.
 */
const char *ddebug_reader_hidden_by (DdebugReader *reader);
/* FALSE if there is no valid state. */
gboolean ddebug_reader_state (DdebugReader *reader, DdebugState *state);
/* FALSE if no writer ever synced the log. */
gboolean ddebug_reader_sync (DdebugReader *reader, DdebugSync *sync);
/* Number of the newest chunk returned; 0: none yet. */
guint64 ddebug_reader_chunk_seq (DdebugReader *reader);
void ddebug_reader_usage (DdebugReader *reader, DdebugUsage *usage);
/* The oldest epoch of which chunks are left; 0 if unknown. */
guint32 ddebug_reader_oldest_epoch (DdebugReader *reader);
/* Current size of the file in bytes. */
guint64 ddebug_reader_file_size (DdebugReader *reader);
/* Whether @path names the open file; a copy of ddebug_reader_open_copy() needs no name. */
gboolean ddebug_reader_is_at (DdebugReader *reader, const char *path);
/* Whether @fd is open on the same file and that has no other name. */
gboolean ddebug_reader_is_sole_file (DdebugReader *reader, int fd);
void ddebug_reader_access (DdebugReader *reader, DdebugAccess *access);

#endif
