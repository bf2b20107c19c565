/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Read a log: two walks joined, the shared rings, the interface.
 *
 * Copy, then check.  The writer may overwrite at any time what is being read, so nothing is used in
 * place: bytes are copied with pread(), and a chunk is valid only if both checksums of the copy are and
 * it names the place where it was found (segment number and offset).  A valid copy remains valid whatever
 * the writer does afterwards.
 *
 * Two walks go over the file, one over the data segments and one over the dictionary segments, each in
 * order of the segments' numbers.  Their chunks are joined by chunk_seq.  A dictionary chunk is written
 * before any record refers to it, so all dictionary chunks that precede the chunks in a copy of data were
 * in the file when that copy was made.  So the dictionary needs to be checked at most once after each
 * copy of data, or after the first copy of a complete segment, and only if chunk_seq has a gap.
 *
 * The shared rings are read when there is no writer.  A writer can appear at any time, and then a guest
 * writes to them; but the writer stores the superblock before that.  So the same rule applies: a copy is
 * valid if the superblock is unchanged afterwards.
 */
#define _GNU_SOURCE
#include "ddebug-reader-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ---- */

static int
open_log (const char *path, GError **error)
{
  /* O_NONBLOCK: opening a FIFO must not wait for its other end. */
  int fd = open (path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  struct stat st;
  int code;

  if (fd >= 0 && fstat (fd, &st) == 0 && S_ISREG (st.st_mode))
    return fd;
  if (fd >= 0)
    {
      close (fd);
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_NOT_A_FILE,
                   "%s: is %s; give the log file itself (the device's file= property)", path,
                   S_ISDIR (st.st_mode) ? "a directory" : "not a regular file");
      return -1;
    }
  switch (errno)
    {
    case ENOENT:
    case ENOTDIR:
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_NOT_FOUND,
                   "%s: no such file; has the VM been started? --wait waits for it", path);
      return -1;
    case ELOOP:
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_NOT_A_FILE,
                   "%s: is a symbolic link; give the file that it points to", path);
      return -1;
    case ENXIO:
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_NOT_A_FILE,
                   "%s: is not a regular file; give the log file itself (the device's file= property)",
                   path);
      return -1;
    case EACCES:
    case EPERM:
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_PERMISSION,
                   "%s: permission denied; run as the user that owns the log, or as root", path);
      return -1;
    default:
      code = errno;
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO, "%s: cannot be opened: %s", path,
                   g_strerror (code));
      return -1;
    }
}

/* ---- superblock ---- */

static void
set_super_error (GError **error, const char *path, DdebugSuperState state, const DdebugSuper *super, int code)
{
  if (code)
    {
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO, "%s: cannot be read: %s", path,
                   g_strerror (code));
      return;
    }
  switch (state)
    {
    case DDEBUG_SUPER_NOTHING:
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_EMPTY,
                   "%s: is empty: no QEMU has opened it as a log yet; --wait waits for that", path);
      break;
    case DDEBUG_SUPER_OTHER:
    case DDEBUG_SUPER_VERSION:
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_VERSION,
                   "%s: is a log of version %u, but this tool reads version %u; "
                   "use the ddebug-host that came with the device that wrote it",
                   path, super->version, DDEBUG_LOG_VERSION);
      break;
    case DDEBUG_SUPER_FEATURES:
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_VERSION,
                   "%s: uses features 0x%x that this tool does not know; "
                   "use the ddebug-host that came with the device that wrote it",
                   path, super->incompat & ~DDEBUG_LOG_INCOMPAT_KNOWN);
      break;
    case DDEBUG_SUPER_DAMAGED:
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_DAMAGED,
                   "%s: both superblocks are damaged; restore the file from a copy, or remove it", path);
      break;
    case DDEBUG_SUPER_FOREIGN:
    default:
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_FORMAT,
                   "%s: is not a virtio-ddebug log; give the file named by the device's file= property",
                   path);
      break;
    }
}

/* ---- shared rings ---- */

static void
note_chunk (DdebugReader *reader, const DdebugChunk *chunk)
{
  DdebugRings *rings = &reader->rings;

  rings->newest = *chunk;
  rings->epoch = MAX (rings->epoch, chunk->epoch);
  if (chunk->type != DDEBUG_LOG_CHUNK_DATA)
    return;
  rings->pass = MAX (rings->pass, chunk->pass);
  /* if its write was cut short, the ring still has the payload */
  if (!chunk->payload)
    return;
  rings->seen = (DdebugShmSeen){
    .epoch = chunk->epoch,
    .stream = chunk->stream,
    .end = ddebug_log_data_end (chunk->pos, chunk->len, chunk->subbuf_shift),
  };
}

static guint64
generation_now (DdebugReader *reader)
{
  DdebugSuper super;

  return ddebug_slots_read_super (reader->fd, &super) == DDEBUG_SUPER_GOOD ? super.generation : 0;
}

/* The newest epoch in the log: a segment may have been started for one and no chunk written yet. */
static guint32
newest_epoch (DdebugReader *reader)
{
  guint32 epoch = reader->rings.epoch;

  for (guint type = 0; type < N_TABLES; type++)
    for (guint i = 0; i < reader->tables[type]->len; i++)
      epoch = MAX (epoch, g_array_index (reader->tables[type], DdebugSegment, i).epoch);
  return epoch;
}

/* Whether there are rings to read: the log has no writer, and they were not read since it last had one. */
static gboolean
start_rings (DdebugReader *reader)
{
  DdebugRings *rings = &reader->rings;
  DdebugWriter writer;
  guint64 generation;

  if (reader->live || reader->super.shm_size == 0)
    return FALSE;
  /*
   * Read the generation first: a writer that opens the log afterwards changes it.  If one did so since
   * reading of the chunks started, it has moved what was in the rings to chunks.
   */
  generation = generation_now (reader);
  if (generation == 0 || generation != reader->generation)
    return FALSE;
  writer = ddebug_reader_writer (reader);
  if (writer != DDEBUG_WRITER_GONE && writer != DDEBUG_WRITER_COPY)
    return FALSE;
  if (generation != rings->generation)
    {
      if (!rings->copy)
        rings->copy = g_malloc (DDEBUG_LOG_PAYLOAD_MAX);
      rings->generation = generation;
      rings->done = FALSE;
      rings->off = 0;
      memset (&rings->ring, 0, sizeof rings->ring);
      rings->epoch = newest_epoch (reader);
    }
  return !rings->done;
}

static void
chunk_from_ring (const DdebugRings *rings, gsize len, DdebugChunk *chunk)
{
  const DdebugLogData *data = &rings->ring.data;

  *chunk = (DdebugChunk){
    .type = DDEBUG_LOG_CHUNK_DATA,
    .len = len,
    .chunk_seq = rings->newest.chunk_seq,
    .realtime = rings->newest.realtime,
    .monotonic = rings->newest.monotonic,
    .epoch = data->epoch,
    .stream = data->stream,
    .generation = data->generation,
    .cpu = data->cpu,
    .context = data->context,
    .subbuf_shift = data->subbuf_shift,
    .pass = rings->pass + 1,
    .pos = data->pos,
    .produced = data->produced,
    .recursed = data->recursed,
    .torn = data->torn,
    .clamped = data->clamped,
    .payload = len ? rings->copy : NULL,
    .from_ring = TRUE,
    .broken_rule = rings->ring.broken_rule,
  };
}

/* Return the next span that is left in a ring; FALSE if there is none. */
static gboolean
next_of_rings (DdebugReader *reader, DdebugChunk *chunk)
{
  DdebugRings *rings = &reader->rings;
  gsize len = 0;

  if (!start_rings (reader))
    return FALSE;
  while ((len = ddebug_shm_next_span (reader->fd, &rings->ring, rings->copy)) == 0
         && !rings->ring.broken_rule)
    if (!ddebug_shm_next_ring (reader->fd, reader->super.shm_size, rings->epoch, &rings->seen, &rings->off,
                               &rings->ring))
      {
        rings->done = TRUE;
        return FALSE;
      }
  /* A writer has appeared: the copy may be of its guest, and it moves what was left to the log. */
  if (generation_now (reader) != rings->generation)
    return FALSE;
  chunk_from_ring (rings, len, chunk);
  rings->ring.broken_rule = NULL;
  return TRUE;
}

/* ---- interface ---- */

/* Takes ownership of @fd. */
static DdebugReader *
reader_new (int fd, const char *path, GError **error)
{
  g_autoptr (DdebugReader) reader = g_new0 (DdebugReader, 1);
  DdebugSuperState state;

  reader->fd = fd;
  reader->path = g_strdup (path);
  state = ddebug_slots_read_super (reader->fd, &reader->super);
  if (state != DDEBUG_SUPER_GOOD)
    {
      set_super_error (error, path, state, &reader->super, errno);
      return NULL;
    }
  reader->live = TRUE;
  reader->check_dict = TRUE;
  reader->data.type = DDEBUG_LOG_SEG_DATA;
  reader->dict.type = DDEBUG_LOG_SEG_DICT;
  for (guint i = 0; i < N_TABLES; i++)
    reader->tables[i] = g_array_new (FALSE, FALSE, sizeof (DdebugSegment));
  reader->lost_slots = g_array_new (FALSE, FALSE, sizeof (guint64));
  reader->data.copy = g_malloc (reader->super.seg_size);
  reader->dict.copy = g_malloc (reader->super.seg_size);
  /* The slots are read on the first ddebug_reader_next(), after the caller has set up its watch. */
  reader->data.copy_want = reader->dict.copy_want = COPY_MIN;
  return g_steal_pointer (&reader);
}

/* Called at once after the error. */
static DdebugReader *
fail_reopen (const char *path, GError **error)
{
  int code = errno;

  g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO, "%s: cannot reopen: %s", path, g_strerror (code));
  return NULL;
}

DdebugReader *
ddebug_reader_open (const char *path, GError **error)
{
  int fd = open_log (path, error);

  return fd < 0 ? NULL : reader_new (fd, path, error);
}

DdebugReader *
ddebug_reader_open_copy (int fd, const char *path, GError **error)
{
  int copy = fcntl (fd, F_DUPFD_CLOEXEC, 0);
  DdebugReader *reader = copy < 0 ? fail_reopen (path, error) : reader_new (copy, path, error);

  if (reader)
    reader->is_spooled = TRUE;
  return reader;
}

/* Sharing the open file description is safe: all reads are pread(). */
DdebugReader *
ddebug_reader_again (DdebugReader *reader, GError **error)
{
  int fd = fcntl (reader->fd, F_DUPFD_CLOEXEC, 0);
  DdebugReader *again = fd < 0 ? fail_reopen (reader->path, error) : reader_new (fd, reader->path, error);

  if (again)
    again->is_spooled = reader->is_spooled;
  return again;
}

void
ddebug_reader_free (DdebugReader *reader)
{
  if (!reader)
    return;
  close (reader->fd);
  g_free (reader->path);
  for (guint i = 0; i < N_TABLES; i++)
    g_clear_pointer (&reader->tables[i], g_array_unref);
  g_clear_pointer (&reader->lost_slots, g_array_unref);
  g_free (reader->data.copy);
  g_free (reader->dict.copy);
  g_free (reader->rings.copy);
  g_free (reader);
}

/* Choose the walk to advance: gaps and damage immediately, otherwise the older chunk. */
static DdebugWalk *
choose_walk (DdebugReader *reader)
{
  DdebugWalk *data = &reader->data, *dict = &reader->dict;

  if (!dict->peeked)
    return data;
  if (!data->peeked || dict->result != DDEBUG_READ_CHUNK)
    return dict;
  return data->result == DDEBUG_READ_CHUNK && dict->chunk.chunk_seq < data->chunk.chunk_seq ? dict : data;
}

/* Whether no other chunk was written between the last one returned and the next one of data. */
static gboolean
is_next_chunk (DdebugReader *reader)
{
  return reader->data.result == DDEBUG_READ_CHUNK && reader->data.chunk.chunk_seq == reader->chunk_seq + 1;
}

DdebugRead
ddebug_reader_next (DdebugReader *reader, DdebugChunk *chunk, GError **error)
{
  for (;;)
    {
      DdebugRead result = ddebug_walk_peek (reader, &reader->data, error);
      DdebugWalk *walk;

      if (result == DDEBUG_READ_ERROR || result == DDEBUG_READ_OTHER)
        return result;
      if (result == DDEBUG_READ_END || (reader->check_dict && !is_next_chunk (reader)))
        {
          DdebugRead dict = ddebug_walk_peek (reader, &reader->dict, error);

          if (dict == DDEBUG_READ_ERROR || dict == DDEBUG_READ_OTHER)
            return dict;
          reader->check_dict = dict != DDEBUG_READ_END;
        }
      walk = choose_walk (reader);
      result = walk->result;
      if (walk->peeked)
        ddebug_walk_take (walk, chunk);
      if (result == DDEBUG_READ_CHUNK)
        {
          reader->chunk_seq = chunk->chunk_seq;
          note_chunk (reader, chunk);
        }
      if (result == DDEBUG_READ_END && next_of_rings (reader, chunk))
        return DDEBUG_READ_CHUNK;
      /* A missing dictionary segment is normal: it is freed with the last data of its epoch. */
      if (walk == &reader->data || result != DDEBUG_READ_LAPPED)
        return result;
    }
}

void
ddebug_reader_set_live (DdebugReader *reader, gboolean live)
{
  /* Without lock support, a writer may have continued in the meantime. */
  if (live && !reader->live)
    {
      ddebug_walk_forget_end (&reader->data);
      ddebug_walk_forget_end (&reader->dict);
    }
  if (!live)
    reader->generation = generation_now (reader);
  reader->live = live;
  reader->tables_read = FALSE;
}

gboolean
ddebug_reader_was_taken (DdebugReader *reader)
{
  return ddebug_reader_writer (reader) == DDEBUG_WRITER_ALIVE
         || generation_now (reader) != reader->generation;
}

void
ddebug_reader_set_snapshot (DdebugReader *reader)
{
  reader->snapshot = TRUE;
  /* One more than the file has: the writer may be in the middle of one. */
  reader->segments_left = reader->super.nr_segs + 1;
}

const DdebugSuper *
ddebug_reader_super (DdebugReader *reader)
{
  return &reader->super;
}

gboolean
ddebug_reader_state (DdebugReader *reader, DdebugState *state)
{
  struct ddebug_log_state disk;

  return pread (reader->fd, &disk, sizeof disk, DDEBUG_LOG_STATE_OFF) == sizeof disk
         && ddebug_log_parse_state (&disk, state);
}

gboolean
ddebug_reader_sync (DdebugReader *reader, DdebugSync *sync)
{
  struct ddebug_log_sync disk;

  return pread (reader->fd, &disk, sizeof disk, DDEBUG_LOG_SYNC_OFF) == sizeof disk
         && ddebug_log_parse_sync (&disk, sync);
}

guint64
ddebug_reader_chunk_seq (DdebugReader *reader)
{
  return reader->chunk_seq;
}

void
ddebug_reader_usage (DdebugReader *reader, DdebugUsage *usage)
{
  GArray *data = reader->tables[DDEBUG_LOG_SEG_DATA];

  memset (usage, 0, sizeof *usage);
  usage->dict = reader->tables[DDEBUG_LOG_SEG_DICT]->len;
  usage->cleared = reader->super.first_seg ? ddebug_slots_index_after (data, reader->super.first_seg - 1) : 0;
  usage->data = data->len - usage->cleared;
  usage->unused = reader->nr_slots - data->len - usage->dict;
  usage->missing = reader->super.nr_segs - reader->nr_slots;
}

guint32
ddebug_reader_oldest_epoch (DdebugReader *reader)
{
  const DdebugSegment *oldest = ddebug_slots_find_after (reader, DDEBUG_LOG_SEG_DATA, 0);

  return oldest ? oldest->epoch : 0;
}

static gboolean
is_same_file (const struct stat *a, const struct stat *b)
{
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

gboolean
ddebug_reader_is_at (DdebugReader *reader, const char *path)
{
  struct stat mine, there;

  return reader->is_spooled
         || (fstat (reader->fd, &mine) == 0 && lstat (path, &there) == 0 && is_same_file (&mine, &there));
}

gboolean
ddebug_reader_is_sole_file (DdebugReader *reader, int fd)
{
  struct stat mine, other;

  return fstat (reader->fd, &mine) == 0 && fstat (fd, &other) == 0 && is_same_file (&mine, &other)
         && other.st_nlink <= 1;
}

void
ddebug_reader_access (DdebugReader *reader, DdebugAccess *access)
{
  struct stat st;

  /* fstat() cannot fail on an open file; root is trusted anyway. */
  *access = fstat (reader->fd, &st) == 0 ? (DdebugAccess){ st.st_uid, st.st_gid, st.st_mode & 07777 }
                                         : (DdebugAccess){ .mode = 0600 };
}
