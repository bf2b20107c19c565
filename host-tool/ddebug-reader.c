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
 * more than once after each copy of data, and only where chunk_seq has a gap.
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
 *                                         chunk of this segment lies behind it.
 */
#define _GNU_SOURCE
#include "ddebug-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ddebug-crc.h"

/* A copy begins small, since most waits end with one short chunk, and grows with success. */
#define COPY_MIN 8192u
#define COPY_MAX (256u << 10)

#define CHUNK_HEADER ((guint32) sizeof (struct ddebug_log_chunk))

typedef struct
{
  guint64 seq;              /* 0: unused, or its header is not valid */
  guint32 type;
  guint32 epoch;
} Slot;

typedef struct
{
  guint32 type;             /* DDEBUG_LOG_SEG_* */
  guint64 seq;              /* segment that is read; 0: between two */
  guint64 last_seq;         /* segment that was left or entered last */
  guint64 slot;
  guint32 off;              /* of the next chunk in the segment */
  guint8 *copy;             /* bytes [copy_off, copy_off + copy_len) of the segment */
  guint32 copy_off;
  guint32 copy_len;
  guint32 copy_want;
  gboolean fresh;           /* the copy was made at off, and nothing taken from it yet */
  gboolean complete;        /* the segment was known complete before the copy was made */
  gboolean exhausted;       /* nothing is behind off, and nothing ever will be */
  gboolean peeked;
  DdebugRead result;
  DdebugChunk chunk;
} Walk;

struct DdebugReader
{
  int fd;
  char *path;
  DdebugSuper super;
  Slot *slots;
  guint64 nr_slots;
  guint64 missing;
  gboolean slots_fresh;     /* read after the last copy of data */
  gboolean live;
  gboolean other;
  gboolean snapshot;
  guint64 segments_left;
  gboolean look_at_dict;    /* a copy of data was made since the dictionary ended */
  guint64 chunk_seq;        /* of the chunk that was given out last */
  Walk data;
  Walk dict;
};

/* ---- opening ---- */

static int
open_log (const char *path, GError **error)
{
  /* O_NONBLOCK: opening a FIFO must not wait for its other end. */
  int fd = open (path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat st;
  int code;

  if (fd >= 0 && fstat (fd, &st) == 0 && S_ISREG (st.st_mode))
    return fd;
  if (fd >= 0)
    {
      close (fd);
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_A_FILE,
                   "%s: is %s; name the log file itself (property file= of the device)", path,
                   S_ISDIR (st.st_mode) ? "a directory" : "not a regular file");
      return -1;
    }
  switch (errno)
    {
    case ENOENT:
    case ENOTDIR:
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_FOUND,
                   "%s: no such file; has the VM been started? --wait waits for it", path);
      return -1;
    case ELOOP:
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_A_FILE,
                   "%s: is a symbolic link; name the file that it points to", path);
      return -1;
    case ENXIO:
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_A_FILE,
                   "%s: is not a regular file; name the log file itself (property file= of the device)",
                   path);
      return -1;
    case EACCES:
    case EPERM:
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_ACCESS,
                   "%s: permission denied; run as the user that owns the log, or as root", path);
      return -1;
    default:
      code = errno;
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_IO, "%s: cannot be opened: %s", path,
                   g_strerror (code));
      return -1;
    }
}

/* ---- superblock ---- */

static void
super_from_disk (const struct ddebug_log_super *disk, DdebugSuper *super)
{
  memset (super, 0, sizeof *super);
  super->seg_size = GUINT32_FROM_LE (disk->seg_size);
  super->generation = GUINT64_FROM_LE (disk->generation);
  memcpy (super->uuid, disk->uuid, sizeof super->uuid);
  super->size = GUINT64_FROM_LE (disk->size);
  super->nr_segs = GUINT64_FROM_LE (disk->nr_segs);
  super->first_seg = GUINT64_FROM_LE (disk->first_seg);
  super->created = GUINT64_FROM_LE (disk->created);
  super->opened = GUINT64_FROM_LE (disk->opened);
  super->writer_pid = GUINT32_FROM_LE (disk->writer_pid);
  memcpy (super->vm_name, disk->vm_name, sizeof disk->vm_name);
  memcpy (super->vm_uuid, disk->vm_uuid, sizeof super->vm_uuid);
  memcpy (super->writer, disk->writer, sizeof disk->writer);
}

static gboolean
super_is_sound (const DdebugSuper *super)
{
  return super->seg_size >= DDEBUG_LOG_SEG_SIZE_MIN && super->seg_size <= DDEBUG_LOG_SEG_SIZE_MAX
         && (super->seg_size & (super->seg_size - 1)) == 0 && super->nr_segs >= DDEBUG_LOG_NR_SEGS_MIN
         && super->nr_segs <= DDEBUG_LOG_SIZE_MAX / super->seg_size
         && super->size == DDEBUG_LOG_SEGS_OFF + super->nr_segs * super->seg_size;
}

typedef enum
{
  COPY_NOTHING,             /* zeros, or behind the end of the file */
  COPY_FOREIGN,
  COPY_DAMAGED,
  COPY_NEWER,
  COPY_FEATURES,
  COPY_GOOD,
} CopyState;

static gboolean
is_zero (const void *bytes, gsize len)
{
  const guint8 *p = bytes;

  return len == 0 || (p[0] == 0 && memcmp (p, p + 1, len - 1) == 0);
}

/* @detail: the version or the flags that are not known, for COPY_NEWER and COPY_FEATURES. */
static CopyState
read_super_copy (int fd, int copy, DdebugSuper *super, guint32 *detail)
{
  struct ddebug_log_super disk;
  gssize n = pread (fd, &disk, sizeof disk, DDEBUG_LOG_SUPER_OFF (copy));

  if (n <= 0 || is_zero (&disk, n))
    return COPY_NOTHING;
  if (n < (gssize) sizeof disk.magic || memcmp (disk.magic, DDEBUG_LOG_MAGIC, sizeof disk.magic) != 0)
    return COPY_FOREIGN;
  if (n != sizeof disk)
    return COPY_DAMAGED;
  /* Another version may have its checksum elsewhere. */
  *detail = GUINT32_FROM_LE (disk.version);
  if (*detail != DDEBUG_LOG_VERSION)
    return COPY_NEWER;
  if (ddebug_crc32c (&disk, offsetof (struct ddebug_log_super, crc)) != GUINT32_FROM_LE (disk.crc))
    return COPY_DAMAGED;
  *detail = GUINT32_FROM_LE (disk.incompat) & ~DDEBUG_LOG_INCOMPAT_KNOWN;
  if (*detail)
    return COPY_FEATURES;
  super_from_disk (&disk, super);
  return super_is_sound (super) ? COPY_GOOD : COPY_DAMAGED;
}

static void
set_super_error (GError **error, const char *path, CopyState state, guint32 detail)
{
  switch (state)
    {
    case COPY_NOTHING:
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_EMPTY,
                   "%s: is empty, no QEMU has opened it as a log yet; --wait waits for one", path);
      break;
    case COPY_NEWER:
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_VERSION,
                   "%s: is a log of version %u, this tool reads version %u; "
                   "use the ddebug-host that belongs to the device that wrote it",
                   path, detail, DDEBUG_LOG_VERSION);
      break;
    case COPY_FEATURES:
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_VERSION,
                   "%s: uses features 0x%x that this tool does not know; "
                   "use the ddebug-host that belongs to the device that wrote it",
                   path, detail);
      break;
    case COPY_DAMAGED:
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_DAMAGED,
                   "%s: both superblocks are damaged; restore the file from a copy, or remove it", path);
      break;
    case COPY_FOREIGN:
    default:
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_FORMAT,
                   "%s: is not a log of virtio-ddebug; name the file given to the device as file=", path);
      break;
    }
}

/* The better one of the two copies; COPY_GOOD if there is one. */
static CopyState
read_super (int fd, DdebugSuper *super, guint32 *detail)
{
  DdebugSuper found[2];
  guint32 details[2] = { 0, 0 };
  CopyState state[2];
  int best;

  for (int copy = 0; copy < 2; copy++)
    state[copy] = read_super_copy (fd, copy, &found[copy], &details[copy]);
  if (state[0] == COPY_GOOD && state[1] == COPY_GOOD)
    best = found[1].generation > found[0].generation;
  else
    best = state[1] > state[0];
  *detail = details[best];
  if (state[best] == COPY_GOOD)
    *super = found[best];
  return state[best];
}

/* ---- slots ---- */

static guint64
slot_offset (DdebugReader *reader, guint64 slot)
{
  return DDEBUG_LOG_SEGS_OFF + slot * reader->super.seg_size;
}

/* FALSE if the file ends before the slot's header does. */
static gboolean
read_slot (DdebugReader *reader, guint64 slot)
{
  struct ddebug_log_seg seg;
  gssize n = pread (reader->fd, &seg, sizeof seg, slot_offset (reader, slot));

  reader->slots[slot].seq = 0;
  if (n != sizeof seg)
    return FALSE;
  if (GUINT32_FROM_LE (seg.magic) == DDEBUG_LOG_SEG_MAGIC
      && ddebug_crc32c (&seg, offsetof (struct ddebug_log_seg, crc)) == GUINT32_FROM_LE (seg.crc))
    {
      reader->slots[slot].seq = GUINT64_FROM_LE (seg.seq);
      reader->slots[slot].type = GUINT32_FROM_LE (seg.type);
      reader->slots[slot].epoch = GUINT32_FROM_LE (seg.epoch);
    }
  return TRUE;
}

/* Reads the geometry and the headers of all slots anew. */
static void
read_slots (DdebugReader *reader)
{
  DdebugSuper super;
  guint32 detail;

  /* While one copy is written the other is good; if neither is, the file was cut or overwritten. */
  if (read_super (reader->fd, &super, &detail) == COPY_GOOD)
    {
      if (memcmp (super.uuid, reader->super.uuid, sizeof super.uuid) != 0
          || super.seg_size != reader->super.seg_size)
        reader->other = TRUE;
      else
        reader->super = super;
    }
  if (reader->nr_slots != reader->super.nr_segs)
    {
      reader->nr_slots = reader->super.nr_segs;
      reader->slots = g_renew (Slot, reader->slots, reader->nr_slots);
    }
  reader->missing = 0;
  for (guint64 slot = 0; slot < reader->nr_slots; slot++)
    reader->missing += !read_slot (reader, slot);
  reader->slots_fresh = TRUE;
}

static gboolean
slot_counts (DdebugReader *reader, const Slot *slot, guint32 type)
{
  return slot->seq != 0 && slot->type == type
         && (type != DDEBUG_LOG_SEG_DATA || slot->seq >= reader->super.first_seg);
}

/* The slot of segment @seq, or nr_slots. */
static guint64
find_segment (DdebugReader *reader, guint32 type, guint64 seq)
{
  guint64 i;

  for (i = 0; i < reader->nr_slots; i++)
    if (reader->slots[i].seq == seq && slot_counts (reader, &reader->slots[i], type))
      break;
  return i;
}

/* The slot of the oldest segment after @seq, or nr_slots. */
static guint64
find_segment_after (DdebugReader *reader, guint32 type, guint64 seq)
{
  guint64 best = reader->nr_slots;

  for (guint64 i = 0; i < reader->nr_slots; i++)
    if (reader->slots[i].seq > seq && slot_counts (reader, &reader->slots[i], type)
        && (best == reader->nr_slots || reader->slots[i].seq < reader->slots[best].seq))
      best = i;
  return best;
}

/* ---- chunks ---- */

static void
chunk_from_disk (const struct ddebug_log_chunk *disk, DdebugChunk *chunk)
{
  chunk->type = GUINT16_FROM_LE (disk->type);
  chunk->seg_seq = GUINT64_FROM_LE (disk->seg_seq);
  chunk->off = GUINT32_FROM_LE (disk->off);
  chunk->len = GUINT32_FROM_LE (disk->len);
  chunk->chunk_seq = GUINT64_FROM_LE (disk->chunk_seq);
  chunk->realtime = GUINT64_FROM_LE (disk->realtime);
  chunk->monotonic = GUINT64_FROM_LE (disk->monotonic);
  chunk->epoch = GUINT32_FROM_LE (disk->epoch);
  chunk->stream = GUINT32_FROM_LE (disk->stream);
  chunk->generation = GUINT32_FROM_LE (disk->generation);
  chunk->cpu = GUINT32_FROM_LE (disk->cpu);
  chunk->context = disk->context;
  chunk->subbuf_shift = disk->subbuf_shift;
  chunk->pass = GUINT64_FROM_LE (disk->pass);
  chunk->pos = GUINT64_FROM_LE (disk->pos);
  chunk->produced = GUINT64_FROM_LE (disk->produced);
  chunk->recursed = GUINT64_FROM_LE (disk->recursed);
  chunk->torn = GUINT64_FROM_LE (disk->torn);
  chunk->clamped = GUINT64_FROM_LE (disk->clamped);
  chunk->payload = NULL;
}

/* Bytes from the begin of a chunk to the next; len was checked against the segment. */
static guint32
chunk_span (const DdebugChunk *chunk)
{
  return CHUNK_HEADER + ((chunk->len + 7) & ~7u);
}

/* Whether @p, with @avail bytes behind it, is a header that belongs at @off of the segment. */
static gboolean
parse_header (DdebugReader *reader, Walk *walk, const guint8 *p, guint32 avail, guint32 off,
              DdebugChunk *chunk, guint32 *payload_crc)
{
  struct ddebug_log_chunk disk;

  if (avail < sizeof disk)
    return FALSE;
  memcpy (&disk.magic, p, sizeof disk.magic);
  if (GUINT32_FROM_LE (disk.magic) != DDEBUG_LOG_CHUNK_MAGIC)
    return FALSE;
  memcpy (&disk, p, sizeof disk);
  if (ddebug_crc32c (&disk, offsetof (struct ddebug_log_chunk, crc)) != GUINT32_FROM_LE (disk.crc))
    return FALSE;
  chunk_from_disk (&disk, chunk);
  *payload_crc = GUINT32_FROM_LE (disk.payload_crc);
  return chunk->seg_seq == walk->seq && chunk->off == off && off <= reader->super.seg_size - CHUNK_HEADER
         && chunk->len <= reader->super.seg_size - off - CHUNK_HEADER
         && chunk_span (chunk) <= reader->super.seg_size - off;
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

      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_IO, "%s: cannot be read: %s", reader->path,
                   g_strerror (code));
      return FALSE;
    }
  walk->copy_off = walk->off;
  walk->copy_len = n;
  walk->fresh = TRUE;
  if (walk->type == DDEBUG_LOG_SEG_DATA)
    {
      reader->look_at_dict = TRUE;
      reader->slots_fresh = FALSE;
    }
  return TRUE;
}

static void
enter_segment (DdebugReader *reader, Walk *walk, guint64 slot)
{
  walk->seq = walk->last_seq = reader->slots[slot].seq;
  walk->slot = slot;
  walk->off = sizeof (struct ddebug_log_seg);
  walk->copy_off = walk->off;
  walk->copy_len = 0;
  walk->fresh = FALSE;
  walk->complete = FALSE;
  walk->exhausted = FALSE;
  if (walk->type == DDEBUG_LOG_SEG_DATA && reader->segments_left > 0)
    reader->segments_left--;
}

/*
 * The next valid chunk of this segment behind off, as the number of bytes to
 * skip; 0 if there is none.  A guest could have put the likeness of a chunk
 * into its text; it would have to know the segment and the offset beforehand,
 * and could deceive only about its own log.
 */
static guint32
find_chunk_behind (DdebugReader *reader, Walk *walk)
{
  DdebugChunk chunk;
  guint32 crc;

  for (guint32 at = 8; at + CHUNK_HEADER <= walk->copy_len; at += 8)
    if (parse_header (reader, walk, walk->copy + at, walk->copy_len - at, walk->off + at, &chunk, &crc))
      return at;
  return 0;
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
  return STEP_REPORT;
}

/* Whether the slot that is read belongs to the same segment still. */
static gboolean
is_in_slot (DdebugReader *reader, Walk *walk)
{
  /* A log that was shrunk may not have the slot any more. */
  return walk->slot < reader->nr_slots && read_slot (reader, walk->slot)
         && reader->slots[walk->slot].seq == walk->seq;
}

static Step
step_over_damage (DdebugReader *reader, Walk *walk, guint32 skip)
{
  /* The search made a copy of its own, and the writer may have come to it by then. */
  if (!is_in_slot (reader, walk))
    {
      walk->fresh = FALSE;
      return STEP_AGAIN;
    }
  memset (&walk->chunk, 0, sizeof walk->chunk);
  walk->chunk.seg_seq = walk->seq;
  walk->chunk.off = walk->off;
  walk->chunk.len = skip;
  return report (walk, DDEBUG_READ_DAMAGE);
}

/* No valid chunk at off, in a copy made when the segment was complete, which is still in its slot. */
static Step
step_at_complete_end (DdebugReader *reader, Walk *walk, Parse parse, GError **error)
{
  guint32 skip;

  if (parse == PARSE_NO_PAYLOAD || parse == PARSE_CUT_PAYLOAD)
    return report (walk, DDEBUG_READ_CHUNK);
  skip = find_chunk_behind (reader, walk);
  if (!skip && walk->copy_len < reader->super.seg_size - walk->off)
    {
      walk->copy_want = reader->super.seg_size;
      if (!copy_on (reader, walk, error))
        return report (walk, DDEBUG_READ_ERROR);
      skip = find_chunk_behind (reader, walk);
    }
  walk->copy_want = COPY_MIN;
  if (skip)
    return step_over_damage (reader, walk, skip);
  /* Its writer has gone on to the next segment, or is gone: the next writer begins one of its own. */
  walk->exhausted = TRUE;
  return STEP_AGAIN;
}

/* A fresh copy holds no valid chunk at off: which of the cases above is it? */
static Step
step_at_end (DdebugReader *reader, Walk *walk, Parse parse, GError **error)
{
  guint64 slot;

  if (walk->complete && is_in_slot (reader, walk))
    return step_at_complete_end (reader, walk, parse, error);
  if (walk->complete || !reader->slots_fresh)
    read_slots (reader);
  if (reader->other)
    return report (walk, DDEBUG_READ_OTHER);
  slot = find_segment (reader, walk->type, walk->seq);
  if (slot == reader->nr_slots)
    {
      /* It is in no slot any more: it was overwritten, or cleared. */
      walk->seq = 0;
      return report (walk, DDEBUG_READ_LAPPED);
    }
  if (slot == walk->slot && reader->live
      && find_segment_after (reader, walk->type, walk->seq) == reader->nr_slots)
    {
      walk->copy_want = COPY_MIN;
      return report (walk, DDEBUG_READ_END);
    }
  walk->complete = slot == walk->slot;
  walk->slot = slot;
  walk->fresh = FALSE;
  return STEP_AGAIN;
}

/* Whether segments between @before and @seq, of any type, are not there any more. */
static gboolean
is_gap (DdebugReader *reader, guint64 before, guint64 seq)
{
  guint64 there = 0;

  for (guint64 i = 0; i < reader->nr_slots; i++)
    there += reader->slots[i].seq > before && reader->slots[i].seq < seq;
  return there < seq - before - 1;
}

static Step
step_to_next_segment (DdebugReader *reader, Walk *walk)
{
  guint64 before = walk->last_seq;
  guint64 slot;

  if (!reader->slots_fresh)
    read_slots (reader);
  if (reader->other)
    return report (walk, DDEBUG_READ_OTHER);
  if (walk->type == DDEBUG_LOG_SEG_DATA && reader->snapshot && reader->segments_left == 0)
    return report (walk, DDEBUG_READ_END);
  slot = find_segment_after (reader, walk->type, walk->last_seq);
  if (slot == reader->nr_slots)
    return report (walk, DDEBUG_READ_END);
  enter_segment (reader, walk, slot);
  return before && is_gap (reader, before, walk->seq) ? report (walk, DDEBUG_READ_LAPPED) : STEP_AGAIN;
}

static Step
step (DdebugReader *reader, Walk *walk, GError **error)
{
  Parse parse;

  if (walk->seq == 0 || walk->exhausted)
    return step_to_next_segment (reader, walk);
  parse = walk->off >= walk->copy_off && walk->off - walk->copy_off <= walk->copy_len
              ? parse_chunk (reader, walk) : PARSE_CUT_HEADER;
  if (parse == PARSE_CHUNK)
    return report (walk, DDEBUG_READ_CHUNK);
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
        reader->slots_fresh = FALSE;
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
  if (walk->result == DDEBUG_READ_CHUNK)
    walk->off += chunk_span (chunk);
  else if (walk->result == DDEBUG_READ_DAMAGE)
    walk->off += chunk->len;
  walk->peeked = FALSE;
  walk->fresh = FALSE;
}

/* ---- interface ---- */

DdebugReader *
ddebug_reader_open (const char *path, GError **error)
{
  g_autoptr (DdebugReader) reader = g_new0 (DdebugReader, 1);
  CopyState state;
  guint32 detail;

  reader->fd = open_log (path, error);
  if (reader->fd < 0)
    return NULL;
  reader->path = g_strdup (path);
  state = read_super (reader->fd, &reader->super, &detail);
  if (state != COPY_GOOD)
    {
      set_super_error (error, path, state, detail);
      return NULL;
    }
  reader->live = TRUE;
  reader->look_at_dict = TRUE;
  reader->data.type = DDEBUG_LOG_SEG_DATA;
  reader->dict.type = DDEBUG_LOG_SEG_DICT;
  reader->data.copy = g_malloc (reader->super.seg_size);
  reader->dict.copy = g_malloc (reader->super.seg_size);
  /* The slots are read when the first chunk is asked for: who watches the file does so before. */
  reader->data.copy_want = reader->dict.copy_want = COPY_MIN;
  return g_steal_pointer (&reader);
}

void
ddebug_reader_free (DdebugReader *reader)
{
  if (!reader)
    return;
  if (reader->fd >= 0)
    close (reader->fd);
  g_free (reader->path);
  g_free (reader->slots);
  g_free (reader->data.copy);
  g_free (reader->dict.copy);
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
        reader->chunk_seq = chunk->chunk_seq;
      /* That a dictionary went with the last data of its epoch is as it should be. */
      if (walk == &reader->data || result != DDEBUG_READ_LAPPED)
        return result;
    }
}

void
ddebug_reader_set_live (DdebugReader *reader, gboolean live)
{
  reader->live = live;
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

  if (pread (reader->fd, &disk, sizeof disk, DDEBUG_LOG_STATE_OFF) != sizeof disk
      || GUINT32_FROM_LE (disk.magic) != DDEBUG_LOG_STATE_MAGIC
      || ddebug_crc32c (&disk, offsetof (struct ddebug_log_state, crc)) != GUINT32_FROM_LE (disk.crc))
    return FALSE;
  state->settled_pass = GUINT64_FROM_LE (disk.settled_pass);
  state->seg_seq = GUINT64_FROM_LE (disk.seg_seq);
  state->io_lost = GUINT64_FROM_LE (disk.io_lost);
  return TRUE;
}

void
ddebug_reader_usage (DdebugReader *reader, DdebugUsage *usage)
{
  memset (usage, 0, sizeof *usage);
  for (guint64 i = 0; i < reader->nr_slots; i++)
    {
      const Slot *slot = &reader->slots[i];

      if (slot_counts (reader, slot, DDEBUG_LOG_SEG_DATA))
        usage->data++;
      else if (slot_counts (reader, slot, DDEBUG_LOG_SEG_DICT))
        usage->dict++;
      else if (slot->seq != 0 && slot->type == DDEBUG_LOG_SEG_DATA)
        usage->cleared++;
      else
        usage->unused++;
    }
  usage->missing = reader->missing;
  usage->unused -= reader->missing;
}

guint32
ddebug_reader_oldest_epoch (DdebugReader *reader)
{
  guint64 slot = find_segment_after (reader, DDEBUG_LOG_SEG_DATA, 0);

  return slot == reader->nr_slots ? 0 : reader->slots[slot].epoch;
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
