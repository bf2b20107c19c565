/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A walk: the chunks of all segments of one type, in order.
 *
 * Where there is no valid chunk, a walk must distinguish these cases:
 *
 *   slot holds another segment now        lapped: continue at the oldest segment left
 *   (or moved: resizing copies segments)  continue in the copy
 *   no younger segment, writer alive      not written yet: wait
 *   a younger segment, or writer gone     the segment is complete.  Read the place
 *                                         again, since it may have been written after
 *                                         the first read.  Then it is the end of the
 *                                         segment, or damage if a valid chunk of this
 *                                         segment follows, or if most of a header that
 *                                         belongs there is left.
 *
 * A writer starts a chunk only after the previous one is complete.  So even in a segment that is still
 * being written, a place that is followed by a valid chunk is damaged if it is unreadable when read again.
 */
#include "ddebug-reader-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Whether @p, of @avail bytes, starts with a valid header for offset @off of the segment. */
static gboolean
parse_header (DdebugReader *reader, DdebugWalk *walk, const guint8 *p, guint32 avail, guint32 off,
              DdebugChunk *chunk, guint32 *payload_crc)
{
  return ddebug_log_parse_chunk_at (p, avail, reader->super.seg_size, walk->seq, walk->tag, off, chunk,
                                    payload_crc);
}

typedef enum
{
  PARSE_CHUNK,
  PARSE_NO_PAYLOAD,         /* the header is valid, the payload is not */
  PARSE_CUT_HEADER,         /* the copy ends within the header */
  PARSE_CUT_PAYLOAD,        /* the header is valid, the copy ends within the payload */
  PARSE_NOTHING,
} Parse;

static Parse
parse_chunk (DdebugReader *reader, DdebugWalk *walk)
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

/* Copy from the next chunk on: copy_want bytes, or as much as the segment or the file has. */
static gboolean
copy_on (DdebugReader *reader, DdebugWalk *walk, GError **error)
{
  guint32 want = MIN (walk->copy_want, reader->super.seg_size - walk->off);
  gssize n = pread (reader->fd, walk->copy, want, ddebug_slots_offset (reader, walk->slot) + walk->off);

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
      /* All that a complete segment refers to existed when it was first known to be complete. */
      reader->check_dict |= !walk->complete || walk->newly_complete;
      walk->newly_complete = FALSE;
      reader->tables_fresh = FALSE;
    }
  return TRUE;
}

/* The offset of a segment's header: it is damaged and must be reported. */
#define OFF_HEADLESS 0

static void
enter_segment (DdebugReader *reader, DdebugWalk *walk, const DdebugSegment *segment)
{
  walk->seq = walk->last_seq = segment->seq;
  walk->tag = segment->tag;
  walk->slot = segment->slot;
  walk->sum = segment->sum;
  walk->off = segment->headless ? OFF_HEADLESS : SEGMENT_HEADER;
  walk->copy_off = walk->off;
  walk->copy_len = 0;
  walk->fresh = FALSE;
  /* Complete if a younger segment exists: nothing of this one has been copied yet. */
  walk->complete = ddebug_slots_find_after (reader, walk->type, segment->seq) != NULL;
  walk->newly_complete = walk->complete;
  walk->passed = FALSE;
  walk->probe_budget = reader->super.seg_size;
  walk->exhausted = FALSE;
  if (walk->type == DDEBUG_LOG_SEG_DATA && reader->segments_left > 0)
    reader->segments_left--;
}

/*
 * Whether there is a damaged header @at bytes after off: an invalid one that still has most of what
 * identifies a chunk of this place.  Remains of an earlier use of the slot are of another segment.
 */
static gboolean
is_damaged_header (DdebugWalk *walk, guint32 at, struct ddebug_log_chunk *disk)
{
  if (walk->copy_len < CHUNK_HEADER || at > walk->copy_len - CHUNK_HEADER)
    return FALSE;
  memcpy (disk, walk->copy + at, sizeof *disk);
  return ddebug_log_are_remains (disk, walk->seq, walk->off + at);
}

/* The span that the damaged header @at bytes after off claims, at most the rest of the segment. */
static guint32
claimed_span (DdebugReader *reader, DdebugWalk *walk, guint32 at, const struct ddebug_log_chunk *disk)
{
  guint32 rest = reader->super.seg_size - walk->off - at;
  guint32 len = GUINT32_FROM_LE (disk->len);

  return len <= rest - CHUNK_HEADER ? ddebug_log_chunk_size (len) : rest;
}

/* Bytes from off to the first valid chunk of this segment in the copy, at least @from; 0 if there is none. */
static guint32
find_chunk (DdebugReader *reader, DdebugWalk *walk, guint32 from)
{
  DdebugChunk chunk;
  guint32 crc;

  for (guint32 at = from; at < walk->copy_len; at += CHUNK_ALIGN)
    if (parse_header (reader, walk, walk->copy + at, walk->copy_len - at, walk->off + at, &chunk, &crc))
      return at;
  return 0;
}

/* Bytes from off to the end of the last damaged chunk, in a copy without a valid one. */
static guint32
end_of_damage (DdebugReader *reader, DdebugWalk *walk)
{
  struct ddebug_log_chunk disk;
  guint32 end = 0;

  for (guint32 at = 0; at < walk->copy_len; at += CHUNK_ALIGN)
    if (is_damaged_header (walk, at, &disk))
      end = MAX (end, at + claimed_span (reader, walk, at, &disk));
  return end;
}

typedef enum
{
  STEP_AGAIN,
  STEP_REPORT,
} Step;

static Step
report (DdebugWalk *walk, DdebugRead result)
{
  walk->result = result;
  walk->next_off = walk->off;
  return STEP_REPORT;
}

static Step
report_chunk (DdebugWalk *walk)
{
  report (walk, DDEBUG_READ_CHUNK);
  walk->next_off = walk->off + ddebug_log_chunk_size (walk->chunk.len);
  return STEP_REPORT;
}

static Step
report_damage (DdebugWalk *walk, guint32 skip)
{
  report (walk, DDEBUG_READ_DAMAGE);
  memset (&walk->chunk, 0, sizeof walk->chunk);
  walk->chunk.seg_seq = walk->seq;
  walk->chunk.off = walk->off;
  walk->chunk.len = skip;
  walk->next_off = walk->off + skip;
  return STEP_REPORT;
}

/* Report a slot with an unidentifiable segment; where its chunks are missing is unknown. */
static Step
report_lost_slot (DdebugReader *reader, DdebugWalk *walk)
{
  report (walk, DDEBUG_READ_DAMAGE);
  memset (&walk->chunk, 0, sizeof walk->chunk);
  walk->chunk.pos = g_array_index (reader->lost_slots, guint64, reader->lost_reported++);
  walk->chunk.len = reader->super.seg_size;
  return STEP_REPORT;
}

/*
 * Whether the length and the payload of the chunk at off, whose header @disk is damaged, are intact.
 * walk->probe_budget limits the cost of headers that claim too much, per segment.
 */
static gboolean
is_payload_whole (DdebugReader *reader, DdebugWalk *walk, const struct ddebug_log_chunk *disk)
{
  guint32 len = GUINT32_FROM_LE (disk->len);

  if (len > reader->super.seg_size - walk->off - CHUNK_HEADER || len > walk->probe_budget)
    return FALSE;
  walk->probe_budget -= len;
  if (walk->copy_len < CHUNK_HEADER + len)
    {
      walk->copy_want = CHUNK_HEADER + len;
      if (!copy_on (reader, walk, NULL) || walk->copy_len < CHUNK_HEADER + len)
        return FALSE;
    }
  return ddebug_crc32c (walk->copy + CHUNK_HEADER, len) == GUINT32_FROM_LE (disk->payload_crc);
}

/*
 * Bytes to skip from off to the next valid chunk of this segment; 0 if there is none, -1 with @error set.
 * The copy is doubled each time, so the cost is proportional to what is skipped.
 */
static gint64
search_behind (DdebugReader *reader, DdebugWalk *walk, GError **error)
{
  guint32 rest = reader->super.seg_size - walk->off;
  guint32 from = CHUNK_ALIGN, skip;

  while (!(skip = find_chunk (reader, walk, from)) && walk->copy_len == MIN (walk->copy_want, rest)
         && walk->copy_len < rest)
    {
      /* Check a header again that was cut by the end of the copy. */
      from = (walk->copy_len - CHUNK_HEADER) & ~(CHUNK_ALIGN - 1);
      walk->copy_want = MIN (walk->copy_len * 2, rest);
      if (!copy_on (reader, walk, error))
        return -1;
    }
  return skip;
}

/*
 * Bytes to skip at a damaged place, in a segment that is complete at least up to there; 0 if it is not
 * damage but the end, -1 with @error set.
 *
 * The length in a damaged header may itself be damaged, so it is not used: skip to the first valid
 * header.  However, in a segment without a tag, a guest could have put a forged chunk into a payload (it
 * would have to know segment and offset beforehand).  So if the length leads beyond that header and the
 * payload's checksum confirms it, use it after all.
 */
static gint64
damaged_span (DdebugReader *reader, DdebugWalk *walk, GError **error)
{
  gint64 skip = search_behind (reader, walk, error);
  struct ddebug_log_chunk disk;

  if (skip < 0 || !is_damaged_header (walk, 0, &disk))
    return skip;
  /* No valid chunk follows: report all damaged remains as one. */
  if (skip == 0)
    return walk->complete ? end_of_damage (reader, walk) : 0;
  if (claimed_span (reader, walk, 0, &disk) > skip && is_payload_whole (reader, walk, &disk))
    return claimed_span (reader, walk, 0, &disk);
  return skip;
}

/*
 * There is no valid chunk at off, in a copy made when that place was complete; the segment is still
 * in its slot.
 */
static Step
step_at_complete_end (DdebugReader *reader, DdebugWalk *walk, Parse parse, GError **error)
{
  gint64 skip;

  if (parse == PARSE_NO_PAYLOAD || parse == PARSE_CUT_PAYLOAD)
    return report_chunk (walk);
  skip = damaged_span (reader, walk, error);
  walk->copy_want = COPY_MIN;
  if (skip < 0)
    return report (walk, DDEBUG_READ_ERROR);
  /* The search made its own copy, and the writer may have reused the slot by then. */
  if (skip > 0 && ddebug_slots_still_hold (reader, walk->slot, walk->seq, walk->sum))
    return report_damage (walk, skip);
  /* Its writer continues in the next segment, or has gone; the next writer starts a segment of its own. */
  walk->exhausted = walk->complete && skip == 0;
  walk->passed = FALSE;
  walk->fresh = FALSE;
  return STEP_AGAIN;
}

/* Whether the file has a valid chunk @skip bytes after off. */
static gboolean
is_chunk_in_file (DdebugReader *reader, DdebugWalk *walk, guint32 skip)
{
  guint8 bytes[sizeof (struct ddebug_log_chunk)];
  guint64 at = ddebug_slots_offset (reader, walk->slot) + walk->off + skip;
  DdebugChunk chunk;
  guint32 crc;

  return walk->off + skip <= reader->super.seg_size - CHUNK_HEADER
         && pread (reader->fd, bytes, sizeof bytes, at) == sizeof bytes
         && parse_header (reader, walk, bytes, sizeof bytes, walk->off + skip, &chunk, &crc);
}

/*
 * Whether the writer has passed off, where the copy has no valid chunk, in a segment that is not complete.
 * The whole segment is searched only if there is a damaged header, so waiting for the next chunk costs no
 * more than the copy.
 */
static gboolean
is_passed (DdebugReader *reader, DdebugWalk *walk, Parse parse)
{
  struct ddebug_log_chunk disk;

  if (parse == PARSE_NO_PAYLOAD || parse == PARSE_CUT_PAYLOAD)
    return is_chunk_in_file (reader, walk, ddebug_log_chunk_size (walk->chunk.len))
           || find_chunk (reader, walk, ddebug_log_chunk_size (walk->chunk.len));
  return find_chunk (reader, walk, CHUNK_ALIGN)
         || (is_damaged_header (walk, 0, &disk) && search_behind (reader, walk, NULL) > 0);
}

/*
 * Return TRUE if no writer holds the log.  Ask again for each segment after finding it: a new writer never
 * continues an old segment, but may have started this one.
 */
static gboolean
has_no_writer (DdebugReader *reader)
{
  reader->live |= ddebug_reader_writer (reader) == DDEBUG_WRITER_ALIVE;
  return !reader->live;
}

/* A fresh copy has no valid chunk at off: distinguish the cases above. */
static Step
step_at_end (DdebugReader *reader, DdebugWalk *walk, Parse parse, GError **error)
{
  const DdebugSegment *segment;
  gboolean no_writer;

  if (ddebug_slots_still_hold (reader, walk->slot, walk->seq, walk->sum))
    {
      if (walk->complete || walk->passed)
        return step_at_complete_end (reader, walk, parse, error);
      /* Not by the tables, which would be read once per damaged place. */
      walk->passed = is_passed (reader, walk, parse);
      if (walk->passed)
        {
          walk->fresh = FALSE;
          return STEP_AGAIN;
        }
    }
  no_writer = has_no_writer (reader);
  if (walk->complete || walk->passed || ddebug_slots_are_old (reader))
    ddebug_slots_read (reader);
  if (reader->other)
    return report (walk, DDEBUG_READ_OTHER);
  segment = ddebug_slots_find (reader, walk->type, walk->seq);
  if (!segment)
    {
      /* It is no longer in any slot: it was overwritten or cleared. */
      walk->seq = 0;
      return report (walk, DDEBUG_READ_LAPPED);
    }
  walk->complete = segment->slot == walk->slot
                   && (no_writer || ddebug_slots_find_after (reader, walk->type, walk->seq));
  walk->newly_complete = walk->complete;
  walk->passed = FALSE;
  if (segment->slot == walk->slot && !walk->complete)
    {
      walk->copy_want = COPY_MIN;
      return report (walk, DDEBUG_READ_END);
    }
  walk->tag = segment->tag;
  walk->slot = segment->slot;
  walk->sum = segment->sum;
  walk->fresh = FALSE;
  return STEP_AGAIN;
}

/* The next segment, checked to be still in its slot; NULL if there is none. */
static const DdebugSegment *
choose_segment (DdebugReader *reader, DdebugWalk *walk)
{
  const DdebugSegment *next = ddebug_slots_find_after (reader, walk->type, walk->last_seq);

  /* Nothing can have been inserted between two consecutive segments. */
  if (ddebug_slots_are_old (reader) && (!next || walk->last_seq == 0
                                        || ddebug_slots_is_gap (reader, walk->last_seq, next->seq)))
    {
      ddebug_slots_read (reader);
      next = ddebug_slots_find_after (reader, walk->type, walk->last_seq);
    }
  while (next && !reader->tables_fresh && !ddebug_slots_still_hold (reader, next->slot, next->seq, next->sum))
    {
      ddebug_slots_read (reader);
      next = ddebug_slots_find_after (reader, walk->type, walk->last_seq);
    }
  return next;
}

static Step
step_to_next_segment (DdebugReader *reader, DdebugWalk *walk)
{
  guint64 before = walk->last_seq;
  const DdebugSegment *next = choose_segment (reader, walk);
  gboolean gap;

  if (reader->other)
    return report (walk, DDEBUG_READ_OTHER);
  if (walk->type == DDEBUG_LOG_SEG_DATA && reader->snapshot && reader->segments_left == 0)
    return report (walk, DDEBUG_READ_END);
  gap = next && before && ddebug_slots_is_gap (reader, before, next->seq);
  if (walk->type == DDEBUG_LOG_SEG_DATA && (gap || !next) && reader->lost_reported < reader->lost_slots->len)
    return report_lost_slot (reader, walk);
  if (!next)
    return report (walk, DDEBUG_READ_END);
  enter_segment (reader, walk, next);
  return gap ? report (walk, DDEBUG_READ_LAPPED) : STEP_AGAIN;
}

static Step
step (DdebugReader *reader, DdebugWalk *walk, GError **error)
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

DdebugRead
ddebug_walk_peek (DdebugReader *reader, DdebugWalk *walk, GError **error)
{
  if (walk->peeked)
    return walk->result;
  /* The end was reached before: what was read then may be out of date. */
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

void
ddebug_walk_take (DdebugWalk *walk, DdebugChunk *chunk)
{
  *chunk = walk->chunk;
  walk->off = walk->next_off;
  walk->peeked = FALSE;
  walk->fresh = FALSE;
  walk->passed = FALSE;
}

void
ddebug_walk_forget_end (DdebugWalk *walk)
{
  walk->complete = FALSE;
  walk->exhausted = FALSE;
}
