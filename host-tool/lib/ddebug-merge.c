/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sort the messages of all streams by time: a merge of queues.
 *
 * Each stream has a queue of spans in order of arrival.  Its head is its next item: a message, or a
 * notice, which gets the time of the message before it (that of the sub-buffer if it is the first).  A
 * heap contains the streams that have a head, the earliest on top.  Within a stream nothing is ever
 * reordered, whatever times the guest wrote.
 *
 * Held or due.  In the log, a span found in pass p can be followed by older messages of another stream
 * that were found in pass p + 1, but not by older ones of pass p + 2: those were committed after pass p
 * had ended.  So once a span of pass p + 2 is seen, all of pass p are due.  Heads are taken from the
 * heap as long as any span is due, that is, up to the last due message, including messages of spans
 * that are not yet due but earlier in time.
 *
 * This holds while the guest's CPUs run.  A virtual CPU that the host has descheduled can have read the
 * clock for a message without having written it yet, while passes continue.  So a window can be set:
 * spans are held for at least that long by the device's clock.
 *
 * A message that arrives even later is returned where it arrives and marked late: a younger one was
 * returned before it.  This also happens if a guest's clock goes backwards within a stream.
 *
 * Memory: holding ends early if a log puts too much into one pass, see ddebug_merger_set_held_max(),
 * or after a time by the caller's clock, see ddebug_merger_release_old().
 */
#include "ddebug-merge.h"

#include <string.h>

#define NOT_STAMPED G_MININT64

typedef struct
{
  DdebugChunk chunk;        /* its payload follows this struct */
  DdebugSpan span;
  DdebugEpoch *epoch;
  DdebugMarks marks;
  guint64 order;
  gint64 arrived;           /* by the caller's clock; NOT_STAMPED: since ddebug_merger_release_old() */
  gboolean due;
  gboolean started;         /* a message of it was taken */
  GList *held;              /* link in the list of spans that are not due */
} Span;

typedef enum
{
  HEAD_NONE,
  HEAD_DROPPED_BEFORE,
  HEAD_MESSAGE,
  HEAD_BAD_SPAN,
  HEAD_UNKNOWN,
  HEAD_DROPPED_AFTER,
  HEAD_UNRECORDED,
} Head;

typedef struct
{
  DdebugMergerStream stream; /* the public part; must be first */
  GQueue spans;             /* of Span, without the one being read */
  Span *span;               /* being read; NULL: none */
  Head head;
  DdebugMessage message;    /* for HEAD_MESSAGE */
  guint64 time;             /* of the head */
  gboolean has_begun;       /* a message was seen */
  gboolean in_instance;     /* in the list in_instance of the merger */
  DdebugMarks marks;        /* of the span of the last message */
  guint64 end_pos;          /* position after the last span read */
} Stream;

struct DdebugMerger
{
  GPtrArray *heap;          /* of Stream, not owned */
  Stream *taken;            /* on top of the heap; its head was returned */
  GQueue held;              /* of Span, in order of arrival */
  guint n_due;
  guint64 max_pass;
  guint64 window;           /* ns of the device's clock */
  gsize held_bytes;
  gsize held_max;
  guint64 order;
  const DdebugInstance *newest_instance;
  guint64 newest;           /* time of its youngest message that was returned */
  GQueue in_instance;       /* of Stream, those with chunks since an instance last ended */
  GQueue tails;             /* of Stream, those whose ends are to be checked */
  DdebugMergerStreamFunc stream_func;
  gpointer stream_data;
};

/* ---- heap ---- */

static gboolean
is_before (const Stream *a, const Stream *b)
{
  return a->time != b->time ? a->time < b->time : a->span->order < b->span->order;
}

static void
heap_down (GPtrArray *heap)
{
  guint i = 0, child;
  gpointer *p = heap->pdata;

  while ((child = 2 * i + 1) < heap->len)
    {
      gpointer swap = p[i];

      if (child + 1 < heap->len && is_before (p[child + 1], p[child]))
        child++;
      if (!is_before (p[child], p[i]))
        return;
      p[i] = p[child];
      p[child] = swap;
      i = child;
    }
}

static void
heap_push (GPtrArray *heap, Stream *stream)
{
  guint i = heap->len;

  g_ptr_array_add (heap, stream);
  while (i > 0 && is_before (stream, heap->pdata[(i - 1) / 2]))
    {
      heap->pdata[i] = heap->pdata[(i - 1) / 2];
      i = (i - 1) / 2;
      heap->pdata[i] = stream;
    }
}

static void
heap_pop (GPtrArray *heap)
{
  heap->pdata[0] = heap->pdata[heap->len - 1];
  g_ptr_array_set_size (heap, heap->len - 1);
  heap_down (heap);
}

/* ---- spans ---- */

static void
span_set_due (DdebugMerger *merger, Span *span)
{
  span->due = TRUE;
  g_queue_delete_link (&merger->held, span->held);
  merger->n_due++;
}

static void
span_free (DdebugMerger *merger, Span *span)
{
  if (span->due)
    merger->n_due--;
  else
    g_queue_delete_link (&merger->held, span->held);
  merger->held_bytes -= sizeof *span + span->chunk.len;
  g_free (span);
}

static Span *
span_new (DdebugMerger *merger, const DdebugChunk *chunk, DdebugEpoch *epoch, const DdebugMarks *marks)
{
  Span *span = g_malloc0 (sizeof *span + chunk->len);
  guint8 *payload = (guint8 *) (span + 1);

  memcpy (payload, chunk->payload, chunk->len);
  span->chunk = *chunk;
  span->chunk.payload = payload;
  span->epoch = epoch;
  span->marks = *marks;
  span->order = merger->order++;
  span->arrived = NOT_STAMPED;
  ddebug_span_init (&span->span, &span->chunk);
  g_queue_push_tail (&merger->held, span);
  span->held = merger->held.tail;
  merger->held_bytes += sizeof *span + chunk->len;
  return span;
}

/* ---- heads ---- */

/* Drops that were counted when the sub-buffer was started come before its messages, later ones after. */
static gboolean
dropped_before (const Span *span)
{
  return !span->span.damage && span->chunk.recursed + span->chunk.torn <= span->span.lost;
}

static gboolean
has_drops (const Stream *stream, const Span *span)
{
  return span->chunk.recursed > stream->stream.recursed || span->chunk.torn > stream->stream.torn;
}

static gboolean
has_unrecorded (const Stream *stream, const Span *span)
{
  const DdebugInstance *instance = stream->stream.instance;

  return span->span.nostream > instance->nostream || span->span.missed > instance->missed;
}

/* Whether the stream has @head; set its time. */
static gboolean
try_head (Stream *stream, Head head)
{
  Span *span = stream->span;

  switch (head)
    {
    case HEAD_DROPPED_BEFORE:
      stream->time = MAX (stream->time, span->span.base);
      return dropped_before (span) && has_drops (stream, span);
    case HEAD_MESSAGE:
      if (!ddebug_span_next (&span->span, &stream->message))
        return FALSE;
      stream->time = stream->message.time;
      return TRUE;
    case HEAD_BAD_SPAN:
      return span->span.damage != NULL;
    case HEAD_UNKNOWN:
      return span->span.unknown != 0;
    case HEAD_DROPPED_AFTER:
      return has_drops (stream, span);
    case HEAD_UNRECORDED:
      return has_unrecorded (stream, span);
    default:
      return FALSE;
    }
}

/* Advance to the next head of @stream; FALSE if there is none. */
static gboolean
advance (DdebugMerger *merger, Stream *stream)
{
  for (;;)
    {
      Head head = stream->head == HEAD_MESSAGE ? HEAD_MESSAGE : stream->head + 1;

      if (!stream->span)
        {
          stream->span = g_queue_pop_head (&stream->spans);
          head = HEAD_DROPPED_BEFORE;
        }
      stream->head = HEAD_NONE;
      if (!stream->span)
        return FALSE;
      for (; head <= HEAD_UNRECORDED; head++)
        if (try_head (stream, head))
          {
            stream->head = head;
            return TRUE;
          }
      stream->end_pos = stream->span->span.end_pos;
      span_free (merger, stream->span);
      stream->span = NULL;
    }
}

/* ---- items ---- */

static DdebugLostReason
lost_reason (const Stream *stream)
{
  const Span *span = stream->span;

  if (!stream->has_begun)
    return DDEBUG_LOST_OLDEST;
  if (span->started)
    return DDEBUG_LOST_RECORDS;
  if (span->marks.damages != stream->marks.damages)
    return DDEBUG_LOST_DAMAGED;
  if (span->marks.laps != stream->marks.laps)
    return DDEBUG_LOST_OVERTAKEN;
  if (span->marks.io_errors != stream->marks.io_errors)
    return DDEBUG_LOST_IO;
  if (span->marks.fulls != stream->marks.fulls)
    return DDEBUG_LOST_FULL;
  if (span->marks.rates != stream->marks.rates)
    return DDEBUG_LOST_RATE;
  return span->chunk.pos > stream->end_pos ? DDEBUG_LOST_RING : DDEBUG_LOST_RECORDS;
}

static void
make_item (DdebugItem *item, DdebugItemType type, Stream *stream, DdebugEpoch *epoch)
{
  memset (item, 0, sizeof *item);
  item->type = type;
  item->stream = &stream->stream;
  item->epoch = epoch;
  /* what is missing at the end of a stream has no span */
  item->realtime = stream->span ? stream->span->chunk.realtime : 0;
  item->unchecked = stream->span && stream->span->chunk.from_ring;
}

static void
make_lost (DdebugItem *item, Stream *stream, DdebugEpoch *epoch, guint64 next, DdebugLostReason reason)
{
  make_item (item, DDEBUG_ITEM_LOST, stream, epoch);
  item->count = next - stream->stream.next;
  item->reason = reason;
  stream->stream.lost += item->count;
  stream->stream.next = next;
}

/* Note that @stream's message is returned; return by how much it is older than one returned before. */
static guint64
note_time (DdebugMerger *merger, const Stream *stream)
{
  guint64 time = stream->message.time;

  /* The clocks of two instances cannot be compared. */
  if (merger->newest_instance != stream->stream.instance)
    merger->newest = 0;
  merger->newest_instance = stream->stream.instance;
  if (time < merger->newest)
    return merger->newest - time;
  merger->newest = time;
  return 0;
}

/* The head is a message: return it or the gap before it; FALSE if it is a repetition. */
static gboolean
take_message (DdebugMerger *merger, Stream *stream, DdebugItem *item)
{
  guint64 number = stream->message.number;
  DdebugMergerStream *s = &stream->stream;

  if (number > s->next)
    {
      make_lost (item, stream, stream->span->epoch, number, lost_reason (stream));
      return TRUE;
    }
  merger->taken = stream;
  stream->has_begun = TRUE;
  stream->marks = stream->span->marks;
  stream->span->started = TRUE;
  if (number < s->next)
    {
      s->repeated += number >= s->consumed;
      return FALSE;
    }
  s->next++;
  s->received++;
  stream->span->epoch->messages++;
  make_item (item, DDEBUG_ITEM_MESSAGE, stream, stream->span->epoch);
  s->realtime = item->realtime;
  item->message = stream->message;
  item->late = note_time (merger, stream);
  s->late += item->late != 0;
  return TRUE;
}

static gboolean
take_drops (Stream *stream, DdebugItem *item)
{
  const DdebugChunk *chunk = &stream->span->chunk;
  DdebugMergerStream *s = &stream->stream;

  /* Another consumer may have reported them in the meantime: see ddebug-cursor. */
  if (!has_drops (stream, stream->span))
    return FALSE;
  make_item (item, DDEBUG_ITEM_DROPPED, stream, stream->span->epoch);
  item->recursed = chunk->recursed > s->recursed ? chunk->recursed - s->recursed : 0;
  item->torn = chunk->torn > s->torn ? chunk->torn - s->torn : 0;
  item->count = item->recursed + item->torn;
  s->recursed = MAX (s->recursed, chunk->recursed);
  s->torn = MAX (s->torn, chunk->torn);
  s->dropped += item->count;
  return TRUE;
}

static gboolean
take_unrecorded (Stream *stream, DdebugItem *item)
{
  const DdebugSpan *span = &stream->span->span;
  DdebugInstance *instance = stream->stream.instance;

  /* Another stream of the instance, or another consumer, may have reported them in the meantime. */
  if (!has_unrecorded (stream, stream->span))
    return FALSE;
  make_item (item, DDEBUG_ITEM_UNRECORDED, stream, stream->span->epoch);
  item->nostream = span->nostream > instance->nostream ? span->nostream - instance->nostream : 0;
  item->missed = span->missed > instance->missed ? span->missed - instance->missed : 0;
  item->count = item->nostream + item->missed;
  instance->nostream = MAX (instance->nostream, span->nostream);
  instance->missed = MAX (instance->missed, span->missed);
  return TRUE;
}

static gboolean
take_head (DdebugMerger *merger, Stream *stream, DdebugItem *item)
{
  if (stream->head == HEAD_MESSAGE)
    return take_message (merger, stream, item);
  merger->taken = stream;
  switch (stream->head)
    {
    case HEAD_BAD_SPAN:
      make_item (item, DDEBUG_ITEM_BAD_SPAN, stream, stream->span->epoch);
      item->text = stream->span->span.damage;
      return TRUE;
    case HEAD_UNKNOWN:
      make_item (item, DDEBUG_ITEM_UNKNOWN, stream, stream->span->epoch);
      item->count = stream->span->span.unknown;
      return TRUE;
    case HEAD_UNRECORDED:
      return take_unrecorded (stream, item);
    default:
      return take_drops (stream, item);
    }
}

/* Advance past the item that was returned last, whose message is no longer needed. */
static void
settle_taken (DdebugMerger *merger)
{
  Stream *stream = merger->taken;

  merger->taken = NULL;
  if (!stream)
    return;
  if (advance (merger, stream))
    heap_down (merger->heap);
  else
    heap_pop (merger->heap);
}

static gboolean
next_tail (DdebugMerger *merger, DdebugItem *item)
{
  Stream *stream;

  while ((stream = g_queue_pop_head (&merger->tails)))
    if (stream->stream.produced > stream->stream.next)
      {
        make_lost (item, stream, stream->stream.epoch, stream->stream.produced, DDEBUG_LOST_TAIL);
        return TRUE;
      }
  return FALSE;
}

/* ---- interface ---- */

DdebugMerger *
ddebug_merger_new (void)
{
  DdebugMerger *merger = g_new0 (DdebugMerger, 1);

  merger->held_max = DDEBUG_MERGER_HELD_MAX;
  merger->heap = g_ptr_array_new ();
  g_queue_init (&merger->held);
  g_queue_init (&merger->in_instance);
  g_queue_init (&merger->tails);
  return merger;
}

void
ddebug_merger_free (DdebugMerger *merger)
{
  if (!merger)
    return;
  g_ptr_array_unref (merger->heap);
  g_queue_clear (&merger->held);
  g_queue_clear (&merger->in_instance);
  g_queue_clear (&merger->tails);
  g_free (merger);
}

void
ddebug_merger_set_window (DdebugMerger *merger, guint64 window_ns)
{
  merger->window = window_ns;
}

void
ddebug_merger_set_held_max (DdebugMerger *merger, gsize bytes)
{
  merger->held_max = bytes;
}

void
ddebug_merger_set_stream_func (DdebugMerger *merger, DdebugMergerStreamFunc func, gpointer data)
{
  merger->stream_func = func;
  merger->stream_data = data;
}

void
ddebug_merger_stream_free (gpointer data)
{
  Stream *stream = data;

  g_queue_clear_full (&stream->spans, g_free);
  g_free (stream->span);
  g_free (stream);
}

static Stream *
find_stream (DdebugMerger *merger, const DdebugChunk *chunk, DdebugInstance *instance)
{
  Stream *stream = g_hash_table_lookup (instance->streams, GUINT_TO_POINTER (chunk->stream));

  if (stream)
    return stream;
  stream = g_new0 (Stream, 1);
  g_queue_init (&stream->spans);
  stream->stream.instance = instance;
  stream->stream.id = chunk->stream;
  g_hash_table_insert (instance->streams, GUINT_TO_POINTER (chunk->stream), stream);
  if (merger->stream_func)
    merger->stream_func (&stream->stream, merger->stream_data);
  return stream;
}

/* @now: when the newest chunk was written.  If that clock went backwards, the host was rebooted. */
static void
release_old (DdebugMerger *merger, guint64 now)
{
  Span *span;

  while ((span = g_queue_peek_head (&merger->held)) && span->chunk.pass + 2 <= merger->max_pass
         && (now < span->chunk.monotonic || now - span->chunk.monotonic >= merger->window))
    span_set_due (merger, span);
}

void
ddebug_merger_push (DdebugMerger *merger, const DdebugChunk *chunk, DdebugEpoch *epoch,
                    DdebugInstance *instance, const DdebugMarks *marks)
{
  Stream *stream = find_stream (merger, chunk, instance);
  Span *span;

  /* The heap is valid only after advancing past the item that was returned from its top. */
  settle_taken (merger);
  if (!stream->in_instance)
    g_queue_push_tail (&merger->in_instance, stream);
  stream->in_instance = TRUE;
  stream->stream.epoch = epoch;
  stream->stream.cpu = chunk->cpu;
  stream->stream.context = chunk->context;
  stream->stream.produced = MAX (stream->stream.produced, chunk->produced);
  stream->stream.clamped = MAX (stream->stream.clamped, chunk->clamped);
  if (chunk->payload)
    {
      span = span_new (merger, chunk, epoch, marks);
      g_queue_push_tail (&stream->spans, span);
      if (!stream->span && advance (merger, stream))
        heap_push (merger->heap, stream);
    }
  merger->max_pass = MAX (merger->max_pass, chunk->pass);
  release_old (merger, chunk->monotonic);
  if (merger->held_bytes > merger->held_max)
    ddebug_merger_release (merger, G_MAXUINT64);
}

void
ddebug_merger_release (DdebugMerger *merger, guint64 pass)
{
  Span *span;

  while ((span = g_queue_peek_head (&merger->held)) && span->chunk.pass <= pass)
    span_set_due (merger, span);
}

gint64
ddebug_merger_release_old (DdebugMerger *merger, gint64 now, gint64 limit)
{
  Span *span;

  for (GList *link = merger->held.tail; link
       && ((Span *) link->data)->arrived == NOT_STAMPED; link = link->prev)
    ((Span *) link->data)->arrived = now;
  while ((span = g_queue_peek_head (&merger->held)))
    {
      if (now - span->arrived < limit)
        return limit - (now - span->arrived);
      span_set_due (merger, span);
    }
  return -1;
}

void
ddebug_merger_end_instance (DdebugMerger *merger)
{
  Stream *stream;

  /* Only streams with chunks since the last call: a log can alternate between instances with many streams. */
  while ((stream = g_queue_pop_head (&merger->in_instance)))
    {
      stream->in_instance = FALSE;
      g_queue_push_tail (&merger->tails, stream);
    }
}

gboolean
ddebug_merger_is_due (DdebugMerger *merger)
{
  return merger->n_due > 0;
}

gboolean
ddebug_merger_is_holding (DdebugMerger *merger)
{
  return merger->held.length > 0;
}

gboolean
ddebug_merger_next (DdebugMerger *merger, DdebugItem *item)
{
  settle_taken (merger);
  while (merger->n_due > 0)
    {
      Stream *stream = g_ptr_array_index (merger->heap, 0);

      if (take_head (merger, stream, item))
        return TRUE;
      settle_taken (merger);
    }
  return next_tail (merger, item);
}
