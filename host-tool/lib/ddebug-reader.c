/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copy, then check.
 *
 * The writer may overwrite, at any time, what is being read.  Nothing is ever
 * used in place: bytes are copied with pread(), and a chunk counts only if the
 * copy carries both checksums and names the place where it stood (segment
 * number and offset).  What was copied whole stays good whatever the writer
 * does afterwards.
 *
 * Two walks go over the file, one over the data segments and one over the
 * dictionary segments, each in the order of the segments' numbers.  Their
 * chunks are joined by chunk_seq.  A dictionary chunk is written before any
 * record refers to it, so all that precede the chunks in a copy of data were
 * in the file when that copy was made: the dictionary need not be looked at
 * more than once after each copy of data, or after the first of a segment that
 * is complete, and only where chunk_seq has a gap.
 *
 * At a place that holds no valid chunk a walk must tell four cases apart:
 *
 *   slot now belongs to another segment   lapped: go on at the oldest one left
 *   (or moved: resizing copies segments)  go on in the copy
 *   no younger segment, writer alive      not written yet: wait
 *   a younger segment, or writer gone     the segment is complete.  The place is
 *                                         read again, since it may have been
 *                                         written after it was read first; then it
 *                                         is the segment's end, or damage if a valid
 *                                         chunk of this segment lies behind it, or if
 *                                         most of a header that belongs there is left.
 *
 * A writer begins a chunk when the one before is whole.  So also in a segment
 * that is still written, a place with a valid chunk behind it is damaged if it
 * is unreadable when it is read again.
 *
 * The shared rings are read when there is no writer.  One may come at any time, and a
 * guest writes to them then; but before that it writes the superblock.  So they are
 * read as all is: what was copied counts if the superblock is the same afterwards.
 *
 * What reading costs grows with the bytes that the file has on disk, and with
 * nothing that it says of itself: the headers of all slots are read into tables
 * sorted by number, holes are skipped, and the tables are read again only where
 * a writer can have changed what they say.
 */
#define _GNU_SOURCE
#include "ddebug-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ddebug-log-format.h"
#include "ddebug-log-shm.h"

/* A copy begins small, since most waits end with one short chunk, and grows with success. */
#define COPY_MIN 8192u
#define COPY_MAX (256u << 10)

#define CHUNK_HEADER ((guint32) sizeof (struct ddebug_log_chunk))
#define CHUNK_ALIGN DDEBUG_LOG_CHUNK_ALIGN

#define SEGMENT_HEADER DDEBUG_LOG_FIRST_CHUNK

/* A slot that holds a segment. */
typedef struct
{
  guint64 seq;              /* not 0 */
  guint64 slot;
  guint32 type;
  guint32 epoch;
  gboolean headless;        /* its header is damaged: known from a chunk */
  guint32 sum;              /* of the header, if it is damaged */
} Segment;

/* By type: DDEBUG_LOG_SEG_DATA, DDEBUG_LOG_SEG_DICT; 0: of types not known. */
#define N_TABLES 3

typedef struct
{
  guint32 type;             /* DDEBUG_LOG_SEG_* */
  guint64 seq;              /* segment that is read; 0: between two */
  guint32 sum;              /* of its header, if that is damaged */
  guint64 last_seq;         /* segment that was left or entered last */
  guint64 slot;
  guint32 off;              /* of the next chunk in the segment */
  guint8 *copy;             /* bytes [copy_off, copy_off + copy_len) of the segment */
  guint32 copy_off;
  guint32 copy_len;
  guint32 copy_want;
  gboolean fresh;           /* the copy was made at off, and nothing taken from it yet */
  gboolean complete;        /* the segment was known complete before the copy was made */
  gboolean newly_complete;  /* nothing was copied of it since */
  gboolean passed;          /* the chunk at off was, since one behind it was there */
  guint32 doubts;           /* bytes of this segment that is_payload_whole() may still look at */
  gboolean exhausted;       /* nothing is behind off, and nothing ever will be */
  gboolean peeked;
  DdebugRead result;
  DdebugChunk chunk;
  guint32 next_off;         /* where off goes when the result is taken */
} Walk;

/* What a writer that died left in the shared rings. */
typedef struct
{
  guint64 generation;       /* of the superblock for which they were read; 0: not yet */
  gboolean done;
  guint64 off;              /* where the next ring is looked for */
  DdebugShmRing ring;
  guint8 *copy;             /* DDEBUG_LOG_PAYLOAD_MAX bytes; NULL until they are needed */
  DdebugShmSeen seen;       /* of the newest chunk of messages */
  DdebugChunk newest;       /* that was given out; its payload is gone */
  guint64 pass;             /* the highest one */
  guint32 epoch;            /* likewise */
} Rings;

struct DdebugReader
{
  int fd;
  char *path;
  DdebugSuper super;
  GArray *tables[N_TABLES]; /* of Segment, sorted by seq, each seq once */
  guint64 nr_slots;         /* whose headers are in the file */
  GArray *lost_slots;       /* of guint64: slots whose segment cannot be told */
  guint lost_told;          /* how many of them were reported */
  gboolean tables_read;     /* since the end of data was met */
  gboolean tables_fresh;    /* since the last copy of data */
  gboolean live;
  guint64 generation;       /* of the superblock when the caller said that there is no writer */
  gboolean other;
  gboolean snapshot;
  guint64 segments_left;
  gboolean look_at_dict;    /* a copy of data was made since the dictionary ended */
  guint64 chunk_seq;        /* of the chunk that was given out last */
  Rings rings;
  Walk data;
  Walk dict;
};

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
                   "%s: is %s; name the log file itself (property file= of the device)", path,
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
                   "%s: is a symbolic link; name the file that it points to", path);
      return -1;
    case ENXIO:
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_NOT_A_FILE,
                   "%s: is not a regular file; name the log file itself (property file= of the device)",
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

/* The superblock that counts. */
static DdebugSuperState
read_super (int fd, DdebugSuper *super)
{
  struct ddebug_log_super copies[2];
  gssize n = pread (fd, copies, sizeof copies, DDEBUG_LOG_SUPER_OFF (0));
  int copy;

  return ddebug_log_choose_super (copies, MAX (n, 0), super, &copy);
}

static void
set_super_error (GError **error, const char *path, DdebugSuperState state, const DdebugSuper *super)
{
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
                   "%s: is not a log of virtio-ddebug; name the file given to the device as file=", path);
      break;
    }
}

/* ---- slots ---- */

/* Where the first slot is. */
static guint64
slots_begin (DdebugReader *reader)
{
  return ddebug_log_file_size (0, reader->super.seg_size, reader->super.shm_size);
}

static guint64
slot_offset (DdebugReader *reader, guint64 slot)
{
  return ddebug_log_file_size (slot, reader->super.seg_size, reader->super.shm_size);
}

static gboolean
read_segment_header (DdebugReader *reader, guint64 slot, struct ddebug_log_seg *seg)
{
  return pread (reader->fd, seg, sizeof *seg, slot_offset (reader, slot)) == sizeof *seg;
}

static guint32
table_of (guint32 type)
{
  return type < N_TABLES ? type : 0;
}

/* By a chunk in the first @len bytes of @slot. */
static gboolean
recognize_within (DdebugReader *reader, guint64 slot, gsize len, DdebugLogSeg *seg)
{
  g_autofree guint8 *bytes = g_malloc (len);
  gssize n = pread (reader->fd, bytes, len, slot_offset (reader, slot));

  return n > 0 && ddebug_log_find_headless (bytes, n, seg);
}

/* The first chunk, which lies beside the header, nearly always tells. */
static gboolean
recognize_headless (DdebugReader *reader, guint64 slot, DdebugLogSeg *seg)
{
  return recognize_within (reader, slot, COPY_MIN, seg) || recognize_within (reader, slot, DDEBUG_LOG_HEADLESS_MAX, seg);
}

typedef enum
{
  SLOT_UNUSED,
  SLOT_SEGMENT,
  SLOT_LOST,                /* something was there, what cannot be told */
} SlotState;

static SlotState
read_slot (DdebugReader *reader, guint64 slot, Segment *segment)
{
  struct ddebug_log_seg disk, again;
  DdebugSegState state;
  DdebugLogSeg seg;

  *segment = (Segment){ .slot = slot };
  if (!read_segment_header (reader, slot, &disk))
    return SLOT_UNUSED;
  state = ddebug_log_parse_seg (&disk, &seg);
  if (state == DDEBUG_SEG_UNUSED)
    return SLOT_UNUSED;
  if (state == DDEBUG_SEG_DAMAGED)
    {
      /* The writer may have been in the midst of it. */
      if (!read_segment_header (reader, slot, &again) || memcmp (&disk, &again, sizeof disk) != 0)
        return SLOT_UNUSED;
      if (!recognize_headless (reader, slot, &seg))
        return SLOT_LOST;
      segment->sum = ddebug_crc32c (&disk, sizeof disk);
    }
  segment->seq = seg.seq;
  segment->type = seg.type;
  segment->epoch = seg.epoch;
  segment->headless = seg.headless;
  return SLOT_SEGMENT;
}

/* The slot after @slot, which is unused, and after the hole that it may lie in. */
static guint64
next_slot (DdebugReader *reader, guint64 slot)
{
  gint64 data = lseek (reader->fd, slot_offset (reader, slot), SEEK_DATA);
  guint64 next = slot + 1;

  if (data < 0)
    return errno == ENXIO ? reader->nr_slots : next;
  return MAX (next, ((guint64) data - slots_begin (reader)) / reader->super.seg_size);
}

static int
compare_segments (gconstpointer a, gconstpointer b)
{
  const Segment *x = a, *y = b;

  if (x->seq != y->seq)
    return x->seq < y->seq ? -1 : 1;
  if (x->headless != y->headless)
    return x->headless ? 1 : -1;
  return x->slot < y->slot ? -1 : 1;
}

/*
 * While segments are moved one may be there twice: both are the same.  Not so
 * where one has no header: it may be what a move that was given up has left, which
 * the segment has grown since, and which comes to light when a writer dies while
 * it writes another header there.
 */
static void
sort_table (GArray *table)
{
  guint n = 0;

  g_array_sort (table, compare_segments);
  for (guint i = 0; i < table->len; i++)
    if (n == 0 || g_array_index (table, Segment, n - 1).seq != g_array_index (table, Segment, i).seq)
      g_array_index (table, Segment, n++) = g_array_index (table, Segment, i);
  g_array_set_size (table, n);
}

/* Takes over the geometry, if it has changed. */
static void
read_geometry (DdebugReader *reader)
{
  DdebugSuper super;
  guint64 there;

  /* While one copy is written the other is good; if neither is, the file was cut or overwritten. */
  if (read_super (reader->fd, &super) == DDEBUG_SUPER_GOOD)
    {
      if (memcmp (super.uuid, reader->super.uuid, sizeof super.uuid) != 0
          || super.seg_size != reader->super.seg_size || super.shm_size != reader->super.shm_size)
        reader->other = TRUE;
      else
        reader->super = super;
    }
  there = ddebug_reader_file_size (reader);
  reader->nr_slots = there < slots_begin (reader) + SEGMENT_HEADER
                         ? 0 : (there - slots_begin (reader) - SEGMENT_HEADER) / reader->super.seg_size + 1;
  reader->nr_slots = MIN (reader->nr_slots, reader->super.nr_segs);
}

/* Reads the geometry and the headers of all slots anew. */
static void
read_tables (DdebugReader *reader)
{
  guint64 slot = 0;

  read_geometry (reader);
  for (guint i = 0; i < N_TABLES; i++)
    g_array_set_size (reader->tables[i], 0);
  g_array_set_size (reader->lost_slots, 0);
  while (slot < reader->nr_slots)
    {
      Segment segment;
      SlotState state = read_slot (reader, slot, &segment);

      if (state == SLOT_SEGMENT)
        g_array_append_val (reader->tables[table_of (segment.type)], segment);
      else if (state == SLOT_LOST)
        g_array_append_val (reader->lost_slots, slot);
      slot = state == SLOT_UNUSED ? next_slot (reader, slot) : slot + 1;
    }
  for (guint i = 0; i < N_TABLES; i++)
    sort_table (reader->tables[i]);
  reader->tables_read = TRUE;
  reader->tables_fresh = TRUE;
}

/* Whether what the tables say may have changed, other than by what every use of them looks at again. */
static gboolean
are_tables_old (DdebugReader *reader)
{
  return reader->live ? !reader->tables_fresh : !reader->tables_read;
}

/* Index of the first segment after @seq in @table. */
static guint
table_after (GArray *table, guint64 seq)
{
  guint low = 0, high = table->len;

  while (low < high)
    {
      guint middle = low + (high - low) / 2;

      if (g_array_index (table, Segment, middle).seq > seq)
        high = middle;
      else
        low = middle + 1;
    }
  return low;
}

/* The oldest segment after @seq that is not cleared, or NULL. */
static const Segment *
find_segment_after (DdebugReader *reader, guint32 type, guint64 seq)
{
  GArray *table = reader->tables[type];
  guint i;

  if (type == DDEBUG_LOG_SEG_DATA && reader->super.first_seg > 0)
    seq = MAX (seq, reader->super.first_seg - 1);
  i = table_after (table, seq);
  return i < table->len ? &g_array_index (table, Segment, i) : NULL;
}

static const Segment *
find_segment (DdebugReader *reader, guint32 type, guint64 seq)
{
  const Segment *segment = find_segment_after (reader, type, seq - 1);

  return segment && segment->seq == seq ? segment : NULL;
}

/* Whether segments between @before and @seq, of any type, are not in the tables. */
static gboolean
is_gap (DdebugReader *reader, guint64 before, guint64 seq)
{
  guint64 there = 0;

  for (guint i = 0; i < N_TABLES; i++)
    there += table_after (reader->tables[i], seq - 1) - table_after (reader->tables[i], before);
  return there < seq - before - 1;
}

/* ---- chunks ---- */

/* Bytes from the begin of a chunk to the next; len was checked against the segment. */
static guint32
chunk_span (const DdebugChunk *chunk)
{
  return ddebug_log_chunk_size (chunk->len);
}

/* Whether @p, with @avail bytes behind it in the segment, is a header that belongs at @off of it. */
static gboolean
parse_header (DdebugReader *reader, Walk *walk, const guint8 *p, guint32 avail, guint32 off,
              DdebugChunk *chunk, guint32 *payload_crc)
{
  return ddebug_log_parse_chunk_at (p, avail, reader->super.seg_size, walk->seq, off, chunk, payload_crc);
}

typedef enum
{
  PARSE_CHUNK,
  PARSE_NO_PAYLOAD,         /* the header is good, the payload is not */
  PARSE_CUT_HEADER,         /* the copy ends within the header */
  PARSE_CUT_PAYLOAD,        /* the header is good, the copy ends within the payload */
  PARSE_NOTHING,
} Parse;

static Parse
parse_chunk (DdebugReader *reader, Walk *walk)
{
  guint32 at = walk->off - walk->copy_off;
  guint32 avail = walk->copy_len - at;
  const guint8 *p = walk->copy + at;
  DdebugChunk *chunk = &walk->chunk;
  guint32 payload_crc;

  if (!parse_header (reader, walk, p, avail, walk->off, chunk, &payload_crc))
    return avail < CHUNK_HEADER ? PARSE_CUT_HEADER : PARSE_NOTHING;
  if (avail < CHUNK_HEADER + chunk->len)
    return PARSE_CUT_PAYLOAD;
  p += CHUNK_HEADER;
  if (ddebug_crc32c (p, chunk->len) != payload_crc)
    return PARSE_NO_PAYLOAD;
  chunk->payload = p;
  return PARSE_CHUNK;
}

/* Copies from the next chunk on, as much as fits or as the file has. */
static gboolean
copy_on (DdebugReader *reader, Walk *walk, GError **error)
{
  guint32 want = MIN (walk->copy_want, reader->super.seg_size - walk->off);
  gssize n = pread (reader->fd, walk->copy, want, slot_offset (reader, walk->slot) + walk->off);

  if (n < 0)
    {
      int code = errno;

      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO, "%s: cannot be read: %s", reader->path,
                   g_strerror (code));
      return FALSE;
    }
  walk->copy_off = walk->off;
  walk->copy_len = n;
  walk->fresh = TRUE;
  if (walk->type == DDEBUG_LOG_SEG_DATA)
    {
      /* What a complete segment refers to was all there when it was first known to be complete. */
      reader->look_at_dict |= !walk->complete || walk->newly_complete;
      walk->newly_complete = FALSE;
      reader->tables_fresh = FALSE;
    }
  return TRUE;
}

/* In the place of a segment's header: it is damaged, and has to be reported. */
#define OFF_HEADLESS 0

static void
enter_segment (DdebugReader *reader, Walk *walk, const Segment *segment)
{
  walk->seq = walk->last_seq = segment->seq;
  walk->slot = segment->slot;
  walk->sum = segment->sum;
  walk->off = segment->headless ? OFF_HEADLESS : SEGMENT_HEADER;
  walk->copy_off = walk->off;
  walk->copy_len = 0;
  walk->fresh = FALSE;
  /* A younger one was there before anything of this one is copied. */
  walk->complete = find_segment_after (reader, walk->type, segment->seq) != NULL;
  walk->newly_complete = walk->complete;
  walk->passed = FALSE;
  walk->doubts = reader->super.seg_size;
  walk->exhausted = FALSE;
  if (walk->type == DDEBUG_LOG_SEG_DATA && reader->segments_left > 0)
    reader->segments_left--;
}

/*
 * Whether most of what tells a chunk of this place is there, @at bytes behind
 * off, although it is no valid header.  What an earlier use of the slot has left
 * there is of another segment.
 */
static gboolean
are_remains (Walk *walk, guint32 at, struct ddebug_log_chunk *disk)
{
  if (walk->copy_len < CHUNK_HEADER || at > walk->copy_len - CHUNK_HEADER)
    return FALSE;
  memcpy (disk, walk->copy + at, sizeof *disk);
  return ddebug_log_are_remains (disk, walk->seq, walk->off + at);
}

/* Bytes that the damaged chunk @at bytes behind off says it takes; the rest of the segment if it says more. */
static guint32
claimed_span (DdebugReader *reader, Walk *walk, guint32 at, const struct ddebug_log_chunk *disk)
{
  guint32 rest = reader->super.seg_size - walk->off - at;
  guint32 len = GUINT32_FROM_LE (disk->len);

  return len <= rest - CHUNK_HEADER ? ddebug_log_chunk_size (len) : rest;
}

/* The first valid chunk of this segment in the copy that is @from bytes behind off, or more; 0 if there is none. */
static guint32
find_chunk (DdebugReader *reader, Walk *walk, guint32 from)
{
  DdebugChunk chunk;
  guint32 crc;

  for (guint32 at = from; at < walk->copy_len; at += CHUNK_ALIGN)
    if (parse_header (reader, walk, walk->copy + at, walk->copy_len - at, walk->off + at, &chunk, &crc))
      return at;
  return 0;
}

/* How far what is left of damaged headers reaches behind off, in a copy without a valid one. */
static guint32
end_of_remains (DdebugReader *reader, Walk *walk)
{
  struct ddebug_log_chunk disk;
  guint32 end = 0;

  for (guint32 at = 0; at < walk->copy_len; at += CHUNK_ALIGN)
    if (are_remains (walk, at, &disk))
      end = MAX (end, at + claimed_span (reader, walk, at, &disk));
  return end;
}

typedef enum
{
  STEP_AGAIN,
  STEP_REPORT,
} Step;

static Step
report (Walk *walk, DdebugRead result)
{
  walk->result = result;
  walk->next_off = walk->off;
  return STEP_REPORT;
}

static Step
report_chunk (Walk *walk)
{
  report (walk, DDEBUG_READ_CHUNK);
  walk->next_off = walk->off + chunk_span (&walk->chunk);
  return STEP_REPORT;
}

static Step
report_damage (Walk *walk, guint32 skip)
{
  report (walk, DDEBUG_READ_DAMAGE);
  memset (&walk->chunk, 0, sizeof walk->chunk);
  walk->chunk.seg_seq = walk->seq;
  walk->chunk.off = walk->off;
  walk->chunk.len = skip;
  walk->next_off = walk->off + skip;
  return STEP_REPORT;
}

/* A slot whose segment cannot be told; where its chunks are missing is not known. */
static Step
report_lost_slot (DdebugReader *reader, Walk *walk)
{
  report (walk, DDEBUG_READ_DAMAGE);
  memset (&walk->chunk, 0, sizeof walk->chunk);
  walk->chunk.pos = g_array_index (reader->lost_slots, guint64, reader->lost_told++);
  walk->chunk.len = reader->super.seg_size;
  return STEP_REPORT;
}

/* Whether @slot belongs to segment @seq still; @sum: of its header, if that was damaged. */
static gboolean
is_in_slot (DdebugReader *reader, guint64 slot, guint64 seq, guint32 sum)
{
  struct ddebug_log_seg seg;
  Segment segment;

  /* A log that was shrunk may not have the slot any more. */
  if (slot >= reader->nr_slots)
    return FALSE;
  /* To recognize it anew each time would cost more than what is looked for. */
  if (sum)
    return read_segment_header (reader, slot, &seg) && ddebug_crc32c (&seg, sizeof seg) == sum;
  return read_slot (reader, slot, &segment) == SLOT_SEGMENT && segment.seq == seq;
}

/*
 * Whether the chunk at off, whose header @disk is damaged, has a length and a
 * payload that are not.  walk->doubts bounds what a segment can cost by headers
 * that claim too much.
 */
static gboolean
is_payload_whole (DdebugReader *reader, Walk *walk, const struct ddebug_log_chunk *disk)
{
  guint32 len = GUINT32_FROM_LE (disk->len);

  if (len > reader->super.seg_size - walk->off - CHUNK_HEADER || len > walk->doubts)
    return FALSE;
  walk->doubts -= len;
  if (walk->copy_len < CHUNK_HEADER + len)
    {
      walk->copy_want = CHUNK_HEADER + len;
      if (!copy_on (reader, walk, NULL) || walk->copy_len < CHUNK_HEADER + len)
        return FALSE;
    }
  return ddebug_crc32c (walk->copy + CHUNK_HEADER, len) == GUINT32_FROM_LE (disk->payload_crc);
}

/*
 * The next valid chunk of this segment behind off, as the number of bytes to
 * skip; 0 if there is none, -1 with @error set.  The copy grows by doubling: what
 * is read and looked at grows with what is skipped.
 */
static gint64
search_behind (DdebugReader *reader, Walk *walk, GError **error)
{
  guint32 rest = reader->super.seg_size - walk->off;
  guint32 from = CHUNK_ALIGN, skip;

  while (!(skip = find_chunk (reader, walk, from)) && walk->copy_len == MIN (walk->copy_want, rest)
         && walk->copy_len < rest)
    {
      /* A header that the copy has cut is looked at again. */
      from = (walk->copy_len - CHUNK_HEADER) & ~(CHUNK_ALIGN - 1);
      walk->copy_want = MIN (walk->copy_len * 2, rest);
      if (!copy_on (reader, walk, error))
        return -1;
    }
  return skip;
}

/*
 * How much to skip at a damaged place, in a segment that is complete up to there
 * and farther; 0 if it is no damage but the end, -1 with @error set.
 *
 * The length in a damaged header may be what is damaged, so it is not followed:
 * the first place that holds a valid header counts.  But within a payload a
 * guest could have put the likeness of a chunk into its text (it would have to
 * know segment and offset beforehand, and could deceive only about its own log).
 * So where the length leads behind that place, and the checksum of the payload
 * shows that it is right, it is followed after all.
 */
static gint64
damaged_span (DdebugReader *reader, Walk *walk, GError **error)
{
  gint64 skip = search_behind (reader, walk, error);
  struct ddebug_log_chunk disk;

  if (skip < 0 || !are_remains (walk, 0, &disk))
    return skip;
  /* Nothing that is valid is behind it: all that is left of damaged chunks is one. */
  if (skip == 0)
    return walk->complete ? end_of_remains (reader, walk) : 0;
  if (claimed_span (reader, walk, 0, &disk) > skip && is_payload_whole (reader, walk, &disk))
    return claimed_span (reader, walk, 0, &disk);
  return skip;
}

/* No valid chunk at off, in a copy made when what is there was complete; it is still in its slot. */
static Step
step_at_complete_end (DdebugReader *reader, Walk *walk, Parse parse, GError **error)
{
  gint64 skip;

  if (parse == PARSE_NO_PAYLOAD || parse == PARSE_CUT_PAYLOAD)
    return report_chunk (walk);
  skip = damaged_span (reader, walk, error);
  walk->copy_want = COPY_MIN;
  if (skip < 0)
    return report (walk, DDEBUG_READ_ERROR);
  /* The search made a copy of its own, and the writer may have come to it by then. */
  if (skip > 0 && is_in_slot (reader, walk->slot, walk->seq, walk->sum))
    return report_damage (walk, skip);
  /* Its writer has gone on to the next segment, or is gone: the next writer begins one of its own. */
  walk->exhausted = walk->complete && skip == 0;
  walk->passed = FALSE;
  walk->fresh = FALSE;
  return STEP_AGAIN;
}

/* Whether a valid chunk is @skip bytes behind off, in the file. */
static gboolean
is_chunk_in_file (DdebugReader *reader, Walk *walk, guint32 skip)
{
  guint8 bytes[sizeof (struct ddebug_log_chunk)];
  guint64 at = slot_offset (reader, walk->slot) + walk->off + skip;
  DdebugChunk chunk;
  guint32 crc;

  return walk->off + skip <= reader->super.seg_size - CHUNK_HEADER
         && pread (reader->fd, bytes, sizeof bytes, at) == sizeof bytes
         && parse_header (reader, walk, bytes, sizeof bytes, walk->off + skip, &chunk, &crc);
}

/*
 * Whether the writer has passed off, where a copy holds no valid chunk, in a
 * segment that is not complete.  All of the segment is searched only where a
 * damaged header is: waiting for the next chunk costs no more than the copy.
 */
static gboolean
is_passed (DdebugReader *reader, Walk *walk, Parse parse)
{
  struct ddebug_log_chunk disk;

  if (parse == PARSE_NO_PAYLOAD || parse == PARSE_CUT_PAYLOAD)
    return is_chunk_in_file (reader, walk, chunk_span (&walk->chunk))
           || find_chunk (reader, walk, chunk_span (&walk->chunk));
  return find_chunk (reader, walk, CHUNK_ALIGN)
         || (are_remains (walk, 0, &disk) && search_behind (reader, walk, NULL) > 0);
}

/*
 * Whether there is no writer.  It is asked of each segment anew, after that was found: a writer that
 * came since the caller looked goes on with none that it found, but may have begun this one.
 */
static gboolean
is_left (DdebugReader *reader)
{
  reader->live |= ddebug_reader_writer (reader) == DDEBUG_WRITER_ALIVE;
  return !reader->live;
}

/* A fresh copy holds no valid chunk at off: which of the cases above is it? */
static Step
step_at_end (DdebugReader *reader, Walk *walk, Parse parse, GError **error)
{
  const Segment *segment;
  gboolean left;

  if (is_in_slot (reader, walk->slot, walk->seq, walk->sum))
    {
      if (walk->complete || walk->passed)
        return step_at_complete_end (reader, walk, parse, error);
      /* Not for the tables to say: they would be read once for each damage. */
      walk->passed = is_passed (reader, walk, parse);
      if (walk->passed)
        {
          walk->fresh = FALSE;
          return STEP_AGAIN;
        }
    }
  left = is_left (reader);
  if (walk->complete || walk->passed || are_tables_old (reader))
    read_tables (reader);
  if (reader->other)
    return report (walk, DDEBUG_READ_OTHER);
  segment = find_segment (reader, walk->type, walk->seq);
  if (!segment)
    {
      /* It is in no slot any more: it was overwritten, or cleared. */
      walk->seq = 0;
      return report (walk, DDEBUG_READ_LAPPED);
    }
  walk->complete = segment->slot == walk->slot
                   && (left || find_segment_after (reader, walk->type, walk->seq));
  walk->newly_complete = walk->complete;
  walk->passed = FALSE;
  if (segment->slot == walk->slot && !walk->complete)
    {
      walk->copy_want = COPY_MIN;
      return report (walk, DDEBUG_READ_END);
    }
  walk->slot = segment->slot;
  walk->sum = segment->sum;
  walk->fresh = FALSE;
  return STEP_AGAIN;
}

/* The segment that comes next, which is where the tables say; NULL if there is none. */
static const Segment *
choose_segment (DdebugReader *reader, Walk *walk)
{
  const Segment *next = find_segment_after (reader, walk->type, walk->last_seq);

  /* Nothing can have come between two that follow each other. */
  if (are_tables_old (reader) && (!next || walk->last_seq == 0 || is_gap (reader, walk->last_seq, next->seq)))
    {
      read_tables (reader);
      next = find_segment_after (reader, walk->type, walk->last_seq);
    }
  while (next && !reader->tables_fresh && !is_in_slot (reader, next->slot, next->seq, next->sum))
    {
      read_tables (reader);
      next = find_segment_after (reader, walk->type, walk->last_seq);
    }
  return next;
}

static Step
step_to_next_segment (DdebugReader *reader, Walk *walk)
{
  guint64 before = walk->last_seq;
  const Segment *next = choose_segment (reader, walk);
  gboolean gap;

  if (reader->other)
    return report (walk, DDEBUG_READ_OTHER);
  if (walk->type == DDEBUG_LOG_SEG_DATA && reader->snapshot && reader->segments_left == 0)
    return report (walk, DDEBUG_READ_END);
  gap = next && before && is_gap (reader, before, next->seq);
  if (walk->type == DDEBUG_LOG_SEG_DATA && (gap || !next) && reader->lost_told < reader->lost_slots->len)
    return report_lost_slot (reader, walk);
  if (!next)
    return report (walk, DDEBUG_READ_END);
  enter_segment (reader, walk, next);
  return gap ? report (walk, DDEBUG_READ_LAPPED) : STEP_AGAIN;
}

static Step
step (DdebugReader *reader, Walk *walk, GError **error)
{
  Parse parse;

  if (walk->seq == 0 || walk->exhausted)
    return step_to_next_segment (reader, walk);
  if (walk->off == OFF_HEADLESS)
    return report_damage (walk, SEGMENT_HEADER);
  parse = walk->off >= walk->copy_off && walk->off - walk->copy_off <= walk->copy_len
              ? parse_chunk (reader, walk) : PARSE_CUT_HEADER;
  if (parse == PARSE_CHUNK)
    return report_chunk (walk);
  if (!walk->fresh)
    {
      walk->copy_want = MIN (walk->copy_want * 2, COPY_MAX);
      return copy_on (reader, walk, error) ? STEP_AGAIN : report (walk, DDEBUG_READ_ERROR);
    }
  if ((parse == PARSE_CUT_HEADER || parse == PARSE_CUT_PAYLOAD) && walk->copy_len == walk->copy_want
      && walk->copy_want < reader->super.seg_size - walk->off)
    {
      walk->copy_want *= 2;
      return copy_on (reader, walk, error) ? STEP_AGAIN : report (walk, DDEBUG_READ_ERROR);
    }
  return step_at_end (reader, walk, parse, error);
}

/* Finds what comes next on @walk, and keeps it until it is taken. */
static DdebugRead
peek (DdebugReader *reader, Walk *walk, GError **error)
{
  if (walk->peeked)
    return walk->result;
  /* What was read before the end was met says nothing about now. */
  if (walk->result == DDEBUG_READ_END)
    {
      walk->fresh = FALSE;
      if (walk->type == DDEBUG_LOG_SEG_DATA)
        reader->tables_read = reader->tables_fresh = FALSE;
    }
  while (step (reader, walk, error) == STEP_AGAIN)
    ;
  walk->peeked = walk->result == DDEBUG_READ_CHUNK || walk->result == DDEBUG_READ_DAMAGE
                 || walk->result == DDEBUG_READ_LAPPED;
  return walk->result;
}

static void
take (Walk *walk, DdebugChunk *chunk)
{
  *chunk = walk->chunk;
  walk->off = walk->next_off;
  walk->peeked = FALSE;
  walk->fresh = FALSE;
  walk->passed = FALSE;
}

/* ---- shared rings ---- */

static void
note_chunk (DdebugReader *reader, const DdebugChunk *chunk)
{
  Rings *rings = &reader->rings;

  rings->newest = *chunk;
  rings->epoch = MAX (rings->epoch, chunk->epoch);
  if (chunk->type != DDEBUG_LOG_CHUNK_DATA)
    return;
  rings->pass = MAX (rings->pass, chunk->pass);
  /* of a write that was cut short the ring has what the chunk lacks */
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

  return read_super (reader->fd, &super) == DDEBUG_SUPER_GOOD ? super.generation : 0;
}

/* The newest epoch in the log: a segment may have been begun for one and no chunk written yet. */
static guint32
newest_epoch (DdebugReader *reader)
{
  guint32 epoch = reader->rings.epoch;

  for (guint type = 0; type < N_TABLES; type++)
    for (guint i = 0; i < reader->tables[type]->len; i++)
      epoch = MAX (epoch, g_array_index (reader->tables[type], Segment, i).epoch);
  return epoch;
}

/* Whether there are rings to be read: nobody has the log, and they were not read since somebody had. */
static gboolean
begin_rings (DdebugReader *reader)
{
  Rings *rings = &reader->rings;
  guint64 generation;

  if (reader->live || reader->super.shm_size == 0)
    return FALSE;
  /*
   * The generation first: whoever takes the log afterwards changes it.  Who did so since the chunks
   * were begun has put into chunks what was in the rings then.
   */
  generation = generation_now (reader);
  if (generation == 0 || generation != reader->generation || ddebug_reader_writer (reader) != DDEBUG_WRITER_GONE)
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
chunk_from_ring (const Rings *rings, gsize len, DdebugChunk *chunk)
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

/* The next span that is left in a ring; FALSE if there is none. */
static gboolean
next_of_rings (DdebugReader *reader, DdebugChunk *chunk)
{
  Rings *rings = &reader->rings;
  gsize len = 0;

  if (!begin_rings (reader))
    return FALSE;
  while ((len = ddebug_shm_next_span (reader->fd, &rings->ring, rings->copy)) == 0 && !rings->ring.broken_rule)
    if (!ddebug_shm_next_ring (reader->fd, reader->super.shm_size, rings->epoch, &rings->seen, &rings->off,
                               &rings->ring))
      {
        rings->done = TRUE;
        return FALSE;
      }
  /* A writer has come: what was copied may be its guest's, and it puts what was left into the log. */
  if (generation_now (reader) != rings->generation)
    return FALSE;
  chunk_from_ring (rings, len, chunk);
  rings->ring.broken_rule = NULL;
  return TRUE;
}

/* ---- interface ---- */

/* @fd: taken over */
static DdebugReader *
reader_new (int fd, const char *path, GError **error)
{
  g_autoptr (DdebugReader) reader = g_new0 (DdebugReader, 1);
  DdebugSuperState state;

  reader->fd = fd;
  reader->path = g_strdup (path);
  state = read_super (reader->fd, &reader->super);
  if (state != DDEBUG_SUPER_GOOD)
    {
      set_super_error (error, path, state, &reader->super);
      return NULL;
    }
  reader->live = TRUE;
  reader->look_at_dict = TRUE;
  reader->data.type = DDEBUG_LOG_SEG_DATA;
  reader->dict.type = DDEBUG_LOG_SEG_DICT;
  for (guint i = 0; i < N_TABLES; i++)
    reader->tables[i] = g_array_new (FALSE, FALSE, sizeof (Segment));
  reader->lost_slots = g_array_new (FALSE, FALSE, sizeof (guint64));
  reader->data.copy = g_malloc (reader->super.seg_size);
  reader->dict.copy = g_malloc (reader->super.seg_size);
  /* The slots are read when the first chunk is asked for: who watches the file does so before. */
  reader->data.copy_want = reader->dict.copy_want = COPY_MIN;
  return g_steal_pointer (&reader);
}

DdebugReader *
ddebug_reader_open (const char *path, GError **error)
{
  int fd = open_log (path, error);

  return fd < 0 ? NULL : reader_new (fd, path, error);
}

/* The two share an open file, which has nothing that reading changes: all is read by pread(). */
DdebugReader *
ddebug_reader_again (DdebugReader *reader, GError **error)
{
  int fd = fcntl (reader->fd, F_DUPFD_CLOEXEC, 0);
  int code = errno;

  if (fd >= 0)
    return reader_new (fd, reader->path, error);
  g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO, "%s: cannot be read twice: %s", reader->path, g_strerror (code));
  return NULL;
}

void
ddebug_reader_free (DdebugReader *reader)
{
  if (!reader)
    return;
  if (reader->fd >= 0)
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

/* Which walk goes on: the one whose chunk was written first, what is no chunk at once. */
static Walk *
choose_walk (DdebugReader *reader)
{
  Walk *data = &reader->data, *dict = &reader->dict;

  if (!dict->peeked)
    return data;
  if (!data->peeked || dict->result != DDEBUG_READ_CHUNK)
    return dict;
  return data->result == DDEBUG_READ_CHUNK && dict->chunk.chunk_seq < data->chunk.chunk_seq ? dict : data;
}

/* Whether no other chunk was written between the one given out last and the next of data. */
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
      DdebugRead result = peek (reader, &reader->data, error);
      Walk *walk;

      if (result == DDEBUG_READ_ERROR || result == DDEBUG_READ_OTHER)
        return result;
      if (result == DDEBUG_READ_END || (reader->look_at_dict && !is_next_chunk (reader)))
        {
          DdebugRead dict = peek (reader, &reader->dict, error);

          if (dict == DDEBUG_READ_ERROR || dict == DDEBUG_READ_OTHER)
            return dict;
          reader->look_at_dict = dict != DDEBUG_READ_END;
        }
      walk = choose_walk (reader);
      result = walk->result;
      if (walk->peeked)
        take (walk, chunk);
      if (result == DDEBUG_READ_CHUNK)
        {
          reader->chunk_seq = chunk->chunk_seq;
          note_chunk (reader, chunk);
        }
      if (result == DDEBUG_READ_END && next_of_rings (reader, chunk))
        return DDEBUG_READ_CHUNK;
      /* That a dictionary went with the last data of its epoch is as it should be. */
      if (walk == &reader->data || result != DDEBUG_READ_LAPPED)
        return result;
    }
}

/* That a segment is complete was said because there was no writer: it is said anew. */
static void
forget_end (Walk *walk)
{
  walk->complete = FALSE;
  walk->exhausted = FALSE;
}

void
ddebug_reader_set_live (DdebugReader *reader, gboolean live)
{
  /* Where locks cannot be asked for, one may have written on since. */
  if (live && !reader->live)
    {
      forget_end (&reader->data);
      forget_end (&reader->dict);
    }
  if (!live)
    reader->generation = generation_now (reader);
  reader->live = live;
  reader->tables_read = FALSE;
}

gboolean
ddebug_reader_was_taken (DdebugReader *reader)
{
  return ddebug_reader_writer (reader) == DDEBUG_WRITER_ALIVE || generation_now (reader) != reader->generation;
}

void
ddebug_reader_set_snapshot (DdebugReader *reader)
{
  reader->snapshot = TRUE;
  /* One more than there are: the writer may be in the midst of one. */
  reader->segments_left = reader->super.nr_segs + 1;
}

const DdebugSuper *
ddebug_reader_super (DdebugReader *reader)
{
  return &reader->super;
}

DdebugWriter
ddebug_reader_writer (DdebugReader *reader)
{
  struct flock lock = {
    .l_type = F_WRLCK,
    .l_whence = SEEK_SET,
    .l_start = DDEBUG_LOG_LOCK_WRITER,
    .l_len = 1,
  };

  if (fcntl (reader->fd, F_OFD_GETLK, &lock) != 0)
    return DDEBUG_WRITER_UNKNOWN;
  return lock.l_type == F_UNLCK ? DDEBUG_WRITER_GONE : DDEBUG_WRITER_ALIVE;
}

gboolean
ddebug_reader_state (DdebugReader *reader, DdebugState *state)
{
  struct ddebug_log_state disk;

  return pread (reader->fd, &disk, sizeof disk, DDEBUG_LOG_STATE_OFF) == sizeof disk
         && ddebug_log_parse_state (&disk, state);
}

void
ddebug_reader_usage (DdebugReader *reader, DdebugUsage *usage)
{
  GArray *data = reader->tables[DDEBUG_LOG_SEG_DATA];

  memset (usage, 0, sizeof *usage);
  usage->dict = reader->tables[DDEBUG_LOG_SEG_DICT]->len;
  usage->cleared = reader->super.first_seg ? table_after (data, reader->super.first_seg - 1) : 0;
  usage->data = data->len - usage->cleared;
  usage->unused = reader->nr_slots - data->len - usage->dict;
  usage->missing = reader->super.nr_segs - reader->nr_slots;
}

guint32
ddebug_reader_oldest_epoch (DdebugReader *reader)
{
  const Segment *oldest = find_segment_after (reader, DDEBUG_LOG_SEG_DATA, 0);

  return oldest ? oldest->epoch : 0;
}

guint64
ddebug_reader_file_size (DdebugReader *reader)
{
  struct stat st;

  return fstat (reader->fd, &st) == 0 ? (guint64) st.st_size : 0;
}

gboolean
ddebug_reader_is_at (DdebugReader *reader, const char *path)
{
  struct stat mine, there;

  return fstat (reader->fd, &mine) == 0 && lstat (path, &there) == 0 && mine.st_dev == there.st_dev
         && mine.st_ino == there.st_ino;
}

gboolean
ddebug_reader_is_sole_file (DdebugReader *reader, int fd)
{
  struct stat mine, other;

  return fstat (reader->fd, &mine) == 0 && fstat (fd, &other) == 0 && mine.st_dev == other.st_dev
         && mine.st_ino == other.st_ino && other.st_nlink <= 1;
}

uid_t
ddebug_reader_owner (DdebugReader *reader)
{
  struct stat st;

  /* Of a file that is open it cannot fail; root is trusted anyway. */
  return fstat (reader->fd, &st) == 0 ? st.st_uid : 0;
}
