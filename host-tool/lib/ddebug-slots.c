/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The slots of a log file: which segment each of them holds, in tables.
 *
 * The cost of reading is proportional to the bytes that the file has on disk, whatever it claims: the
 * headers of all slots are read into tables sorted by number, holes are skipped, and the tables are read
 * again only if a writer may have changed what they contain.
 */
#define _GNU_SOURCE
#include "ddebug-reader-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

DdebugSuperState
ddebug_slots_read_super (int fd, DdebugSuper *super)
{
  struct ddebug_log_super copies[2] = { 0 };
  gsize len = 0;
  int copy, code = 0;

  /* One by one: an I/O error in one copy must not hide the other. */
  for (int i = 0; i < 2; i++)
    {
      gssize n = pread (fd, &copies[i], sizeof copies[i], DDEBUG_LOG_SUPER_OFF (i));

      if (n > 0)
        len = DDEBUG_LOG_SUPER_OFF (i) + n;
      else if (n < 0)
        code = errno;
    }
  /* For a caller to whom no copy is good. */
  errno = code;
  return ddebug_log_choose_super (copies, len, super, &copy);
}

guint64
ddebug_slots_offset (DdebugReader *reader, guint64 slot)
{
  return ddebug_log_file_size (slot, reader->super.seg_size, reader->super.shm_size);
}

/* The offset of the first slot. */
static guint64
slots_start (DdebugReader *reader)
{
  return ddebug_slots_offset (reader, 0);
}

static gboolean
read_segment_header (DdebugReader *reader, guint64 slot, struct ddebug_log_seg *seg)
{
  return pread (reader->fd, seg, sizeof *seg, ddebug_slots_offset (reader, slot)) == sizeof *seg;
}

static guint32
table_of (guint32 type)
{
  return type < N_TABLES ? type : 0;
}

/* Identify a segment by a chunk in the first @len bytes of @slot. */
static gboolean
recognize_within (DdebugReader *reader, guint64 slot, gsize len, DdebugLogSeg *seg)
{
  g_autofree guint8 *bytes = g_malloc (len);
  gssize n = pread (reader->fd, bytes, len, ddebug_slots_offset (reader, slot));

  return n > 0 && ddebug_log_find_headless (bytes, n, seg);
}

/* The first chunk, right after the header, is nearly always enough. */
static gboolean
recognize_headless (DdebugReader *reader, guint64 slot, DdebugLogSeg *seg)
{
  return recognize_within (reader, slot, COPY_MIN, seg)
         || recognize_within (reader, slot, DDEBUG_LOG_HEADLESS_MAX, seg);
}

typedef enum
{
  SLOT_UNUSED,
  SLOT_SEGMENT,
  SLOT_LOST,                /* something that cannot be identified */
} SlotState;

static SlotState
read_slot (DdebugReader *reader, guint64 slot, DdebugSegment *segment)
{
  struct ddebug_log_seg disk, again;
  DdebugSegState state;
  DdebugLogSeg seg;

  *segment = (DdebugSegment){ .slot = slot };
  errno = 0;
  if (!read_segment_header (reader, slot, &disk))
    return errno ? SLOT_LOST : SLOT_UNUSED;
  state = ddebug_log_parse_seg (&disk, &seg);
  if (state == DDEBUG_SEG_UNUSED)
    return SLOT_UNUSED;
  if (state == DDEBUG_SEG_DAMAGED)
    {
      /* The writer may have been in the middle of writing it. */
      if (!read_segment_header (reader, slot, &again) || memcmp (&disk, &again, sizeof disk) != 0)
        return SLOT_UNUSED;
      if (!recognize_headless (reader, slot, &seg))
        return SLOT_LOST;
      segment->sum = ddebug_crc32c (&disk, sizeof disk);
    }
  segment->seq = seg.seq;
  segment->type = seg.type;
  segment->epoch = seg.epoch;
  segment->tag = seg.tag;
  segment->headless = seg.headless;
  return SLOT_SEGMENT;
}

/* The slot after @slot, which is unused, and after any hole that contains it. */
static guint64
next_slot (DdebugReader *reader, guint64 slot)
{
  gint64 data = lseek (reader->fd, ddebug_slots_offset (reader, slot), SEEK_DATA);
  guint64 next = slot + 1;

  if (data < 0)
    return errno == ENXIO ? reader->nr_slots : next;
  return MAX (next, ((guint64) data - slots_start (reader)) / reader->super.seg_size);
}

static int
compare_segments (gconstpointer a, gconstpointer b)
{
  const DdebugSegment *x = a, *y = b;

  if (x->seq != y->seq)
    return x->seq < y->seq ? -1 : 1;
  if (x->headless != y->headless)
    return x->headless ? 1 : -1;
  return x->slot < y->slot ? -1 : 1;
}

/*
 * Sort, and drop duplicates.  While segments are moved, one can exist twice, with equal contents.  Not so
 * if one of them is headless: it can be the remains of an aborted move, after which the segment grew, that
 * reappear when a writer dies while writing another header over them.  compare_segments() puts it last.
 */
static void
sort_table (GArray *table)
{
  guint n = 0;

  g_array_sort (table, compare_segments);
  for (guint i = 0; i < table->len; i++)
    if (n == 0 || g_array_index (table, DdebugSegment, n - 1).seq != g_array_index (table, DdebugSegment,
                                                                                    i).seq)
      g_array_index (table, DdebugSegment, n++) = g_array_index (table, DdebugSegment, i);
  g_array_set_size (table, n);
}

/* Update the geometry. */
static void
read_geometry (DdebugReader *reader)
{
  DdebugSuper super;
  guint64 there;

  /* While one copy is written, the other is valid.  If neither is, the file was truncated or overwritten. */
  if (ddebug_slots_read_super (reader->fd, &super) == DDEBUG_SUPER_GOOD)
    {
      if (memcmp (super.uuid, reader->super.uuid, sizeof super.uuid) != 0
          || super.seg_size != reader->super.seg_size || super.shm_size != reader->super.shm_size)
        reader->other = TRUE;
      else
        reader->super = super;
    }
  there = ddebug_reader_file_size (reader);
  reader->nr_slots = there < slots_start (reader) + SEGMENT_HEADER
                         ? 0 : (there - slots_start (reader) - SEGMENT_HEADER) / reader->super.seg_size + 1;
  reader->nr_slots = MIN (reader->nr_slots, reader->super.nr_segs);
}

void
ddebug_slots_read (DdebugReader *reader)
{
  guint64 slot = 0;

  read_geometry (reader);
  for (guint i = 0; i < N_TABLES; i++)
    g_array_set_size (reader->tables[i], 0);
  g_array_set_size (reader->lost_slots, 0);
  while (slot < reader->nr_slots)
    {
      DdebugSegment segment;
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

gboolean
ddebug_slots_are_old (DdebugReader *reader)
{
  return reader->live ? !reader->tables_fresh : !reader->tables_read;
}

guint
ddebug_slots_index_after (GArray *table, guint64 seq)
{
  guint low = 0, high = table->len;

  while (low < high)
    {
      guint middle = low + (high - low) / 2;

      if (g_array_index (table, DdebugSegment, middle).seq > seq)
        high = middle;
      else
        low = middle + 1;
    }
  return low;
}

const DdebugSegment *
ddebug_slots_find_after (DdebugReader *reader, guint32 type, guint64 seq)
{
  GArray *table = reader->tables[type];
  guint i;

  if (type == DDEBUG_LOG_SEG_DATA && reader->super.first_seg > 0)
    seq = MAX (seq, reader->super.first_seg - 1);
  i = ddebug_slots_index_after (table, seq);
  return i < table->len ? &g_array_index (table, DdebugSegment, i) : NULL;
}

const DdebugSegment *
ddebug_slots_find (DdebugReader *reader, guint32 type, guint64 seq)
{
  const DdebugSegment *segment = ddebug_slots_find_after (reader, type, seq - 1);

  return segment && segment->seq == seq ? segment : NULL;
}

gboolean
ddebug_slots_is_gap (DdebugReader *reader, guint64 before, guint64 seq)
{
  guint64 there = 0;

  for (guint i = 0; i < N_TABLES; i++)
    there += ddebug_slots_index_after (reader->tables[i],
                                       seq - 1) - ddebug_slots_index_after (reader->tables[i], before);
  return there < seq - before - 1;
}

gboolean
ddebug_slots_still_hold (DdebugReader *reader, guint64 slot, guint64 seq, guint32 sum)
{
  struct ddebug_log_seg seg;
  DdebugSegment segment;

  /* The log may have been shrunk. */
  if (slot >= reader->nr_slots)
    return FALSE;
  /* Identifying it again by a chunk each time would cost too much: compare the header's checksum. */
  if (sum)
    return read_segment_header (reader, slot, &seg) && ddebug_crc32c (&seg, sizeof seg) == sum;
  return read_slot (reader, slot, &segment) == SLOT_SEGMENT && segment.seq == seq;
}

guint64
ddebug_reader_file_size (DdebugReader *reader)
{
  struct stat st;

  return fstat (reader->fd, &st) == 0 ? (guint64) st.st_size : 0;
}

/* Whether somebody holds the writer's lock; FALSE with @error set to an errno if that cannot be asked. */
static gboolean
is_locked (DdebugReader *reader, int *error)
{
  struct flock lock = {
    .l_type = F_WRLCK,
    .l_whence = SEEK_SET,
    .l_start = DDEBUG_LOG_LOCK_WRITER,
    .l_len = 1,
  };

  *error = fcntl (reader->fd, F_OFD_GETLK, &lock) == 0 ? 0 : errno;
  return *error == 0 && lock.l_type != F_UNLCK;
}

/*
 * The superblock that says which file the writer has: a writer that opened the log since the geometry was
 * read may be another one.
 */
static DdebugOrigin
compare_origin (DdebugReader *reader, const char **hidden)
{
  DdebugSuper super;

  if (ddebug_slots_read_super (reader->fd, &super) != DDEBUG_SUPER_GOOD)
    super = reader->super;
  return ddebug_origin_compare (&super, reader->fd, hidden);
}

DdebugWriter
ddebug_reader_writer (DdebugReader *reader)
{
  int error;

  if (reader->is_spooled)
    return DDEBUG_WRITER_COPY;
  if (is_locked (reader, &error))
    return DDEBUG_WRITER_ALIVE;
  if (error)
    return DDEBUG_WRITER_UNKNOWN;
  switch (compare_origin (reader, NULL))
    {
    case DDEBUG_ORIGIN_SAME:
      return DDEBUG_WRITER_GONE;
    case DDEBUG_ORIGIN_COPY:
      return DDEBUG_WRITER_COPY;
    case DDEBUG_ORIGIN_UNKNOWN:
    default:
      return DDEBUG_WRITER_UNKNOWN;
    }
}

const char *
ddebug_reader_hidden_by (DdebugReader *reader)
{
  const char *hidden = NULL;
  gboolean locked;
  int error;

  locked = is_locked (reader, &error);
  if (error)
    return "one without locks";
  compare_origin (reader, &hidden);
  /* The lock is seen, and an older writer does not say which file it has: believe the lock. */
  return locked && !reader->super.is_named ? NULL : hidden;
}
