/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A log as its user sees it: reader, dictionary and merger combined.
 *
 * Epochs do not mix: a chunk of another epoch waits until all messages of the previous one are out.
 *
 * The state is read before the chunks of a round.  Passes that it calls settled were in the file by
 * then, so all of them have been read when the round ends.
 */
#include "ddebug-view.h"

#include <string.h>

#include "virtio_ddebug.h"

/* Maximum events that wait for the messages before them; no genuine guest dies that often. */
#define EVENTS_MAX 64
/* ns that a notice waits for messages of its CPU. */
#define NOTICE_SLACK G_GUINT64_CONSTANT (2000000000)

struct DdebugView
{
  DdebugReader *reader;
  DdebugDict *dict;
  DdebugMerger *merger;
  DdebugMarks marks;
  DdebugTotals totals;
  DdebugEpoch *epoch;       /* of the messages that are merged */
  DdebugInstance *instance;
  DdebugChunk waiting;      /* of the next epoch */
  gboolean is_waiting;
  gboolean released;        /* read no more */
  guint64 written;          /* number of the last chunk that the writer says it wrote; 0: unknown */
  guint64 missing_told;     /* written, when chunks were last reported as missing */
  gboolean finished;        /* all of the log was read, if written is not 0 then without a writer */
  gboolean closed;
  guint opens;
  guint64 settled_pass;
  char where[128];          /* text of an item */
  GArray *events;           /* of DdebugItem: not returned yet */
  DdebugItem after;         /* to return next, after an event that was returned before it */
  gboolean has_after;
  DdebugItem last_event;    /* of the VM; event 0: none */
};

DdebugView *
ddebug_view_new (DdebugReader *reader)
{
  DdebugView *view = g_new0 (DdebugView, 1);

  view->reader = reader;
  view->dict = ddebug_dict_new (ddebug_merger_stream_free);
  view->merger = ddebug_merger_new ();
  view->events = g_array_new (FALSE, TRUE, sizeof (DdebugItem));
  return view;
}

void
ddebug_view_free (DdebugView *view)
{
  if (!view)
    return;
  g_array_unref (view->events);
  ddebug_merger_free (view->merger);
  ddebug_dict_free (view->dict);
  ddebug_reader_free (view->reader);
  g_free (view);
}

void
ddebug_view_start (DdebugView *view, gboolean live)
{
  DdebugState state;
  DdebugSync sync;

  ddebug_reader_set_live (view->reader, live);
  view->settled_pass = ddebug_reader_state (view->reader, &state) ? state.settled_pass : 0;
  view->written = ddebug_reader_sync (view->reader, &sync) ? sync.written : 0;
  view->finished = FALSE;
}

static gboolean
make_bad_chunk (DdebugView *view, DdebugItem *item, const char *what, const DdebugChunk *chunk, guint64 bytes)
{
  view->marks.damages++;
  memset (item, 0, sizeof *item);
  item->type = DDEBUG_ITEM_BAD_CHUNK;
  item->count = bytes;
  if (chunk->from_ring)
    g_snprintf (view->where, sizeof view->where, "the shared ring of stream %u: %s", chunk->stream,
                chunk->broken_rule);
  else if (chunk->seg_seq)
    g_snprintf (view->where, sizeof view->where, "%s at offset %u of segment %" G_GUINT64_FORMAT, what,
                chunk->off, chunk->seg_seq);
  else
    g_snprintf (view->where, sizeof view->where, "an unidentifiable segment in slot %" G_GUINT64_FORMAT,
                chunk->pos);
  item->text = view->where;
  return TRUE;
}

static gboolean
make_bad_bytes (DdebugView *view, DdebugItem *item, const DdebugChunk *chunk)
{
  char what[32];

  g_snprintf (what, sizeof what, "%u bytes skipped", chunk->len);
  return make_bad_chunk (view, item, what, chunk, chunk->len);
}

static gboolean
take_lost (const struct ddebug_log_event *event, DdebugItem *item, DdebugLostReason reason, guint *mark,
           guint64 *total)
{
  memset (item, 0, sizeof *item);
  item->type = DDEBUG_ITEM_IO_LOST;
  item->reason = reason;
  item->count = GUINT64_FROM_LE (event->arg[0]);
  item->bytes = GUINT64_FROM_LE (event->arg[1]);
  ++*mark;
  *total += item->count;
  return TRUE;
}

static void
make_unsynced (DdebugView *view, DdebugItem *item, guint64 first, guint64 last, int error)
{
  view->marks.io_errors++;
  memset (item, 0, sizeof *item);
  item->type = DDEBUG_ITEM_UNSYNCED;
  item->args[0] = first;
  item->args[1] = last;
  item->count = last >= first ? last - first + 1 : 0;
  item->error = error;
  *(error ? &view->totals.unsynced : &view->totals.missing) += item->count;
}

static gboolean
take_unsynced (DdebugView *view, const struct ddebug_log_event *event, DdebugItem *item)
{
  const guint64 error = GUINT64_FROM_LE (event->arg[2]);

  make_unsynced (view, item, GUINT64_FROM_LE (event->arg[0]), GUINT64_FROM_LE (event->arg[1]),
                 MIN (error, G_MAXINT));
  return TRUE;
}

/* The log was read to its end, and nobody writes it: TRUE if it lacks chunks that were written. */
static gboolean
find_missing (DdebugView *view, DdebugItem *item)
{
  const guint64 last = ddebug_reader_chunk_seq (view->reader);

  if (!view->finished || view->written <= MAX (last, view->missing_told))
    return FALSE;
  make_unsynced (view, item, last + 1, view->written, 0);
  view->missing_told = view->written;
  return TRUE;
}

/* Whether an event is shown among the messages. */
static gboolean
is_notable (const DdebugItem *item)
{
  if (item->event == DDEBUG_LOG_EVENT_NOTICE)
    return TRUE;
  return item->event == DDEBUG_LOG_EVENT_STOP
         && (item->args[0] == DDEBUG_LOG_STOP_PANICKED || item->args[0] == DDEBUG_LOG_STOP_WATCHDOG
             || item->args[0] == DDEBUG_LOG_STOP_IO_ERROR || item->args[0] == DDEBUG_LOG_STOP_INTERNAL_ERROR);
}

/* Whether an event concerns the VM rather than the file. */
static gboolean
is_of_vm (guint32 event)
{
  switch (event)
    {
    case DDEBUG_LOG_EVENT_SIZE:
    case DDEBUG_LOG_EVENT_CLEAR:
    case DDEBUG_LOG_EVENT_IO_LOST:
    case DDEBUG_LOG_EVENT_FULL_LOST:
    case DDEBUG_LOG_EVENT_RATE_LOST:
    case DDEBUG_LOG_EVENT_RECOVERED:
    case DDEBUG_LOG_EVENT_SYNC_LOST:
    case DDEBUG_LOG_EVENT_CLOSE:
      return FALSE;
    default:
      return TRUE;
    }
}

/*
 * Whether an event tells how the VM ended.  The stop at a shutdown does not: the shutdown event has
 * the reason.
 */
static gboolean
is_end (const DdebugItem *item)
{
  return is_of_vm (item->event)
         && !(item->event == DDEBUG_LOG_EVENT_STOP && item->args[0] == DDEBUG_LOG_STOP_SHUTDOWN);
}

/* Record events up to the next driver in @epoch, but not those of another QEMU. */
static void
note_end (DdebugEpoch *epoch, const DdebugItem *event)
{
  if (event->event == DDEBUG_LOG_EVENT_OPEN)
    epoch->left = TRUE;
  if (epoch->left)
    return;
  if (event->event == DDEBUG_LOG_EVENT_CLOSE)
    epoch->closed = TRUE;
  if (!is_end (event))
    return;
  epoch->event = event->event;
  memcpy (epoch->args, event->args, sizeof epoch->args);
  epoch->happened = event->realtime;
}

/* Record an event; if it is shown, queue it: the messages before it may be held back.  See return_event(). */
static void
record_event (DdebugView *view, const DdebugChunk *chunk, const struct ddebug_log_event *event)
{
  DdebugEpoch *epoch = chunk->epoch ? ddebug_dict_epoch (view->dict, chunk->epoch) : NULL;
  DdebugItem item = {
    .type = DDEBUG_ITEM_EVENT,
    .event = GUINT32_FROM_LE (event->event),
    .args = { GUINT64_FROM_LE (event->arg[0]), GUINT64_FROM_LE (event->arg[1]) },
    .realtime = chunk->realtime,
    .epoch = epoch,
  };

  if (epoch && item.event == DDEBUG_LOG_EVENT_NOTICE && item.args[0] > epoch->notice)
    {
      epoch->notice = MIN (item.args[0], VIRTIO_DDEBUG_NOTICE_KIND);
      epoch->noticed = chunk->realtime;
    }
  if (epoch)
    note_end (epoch, &item);
  if (is_end (&item))
    view->last_event = item;
  if (is_notable (&item))
    g_array_append_val (view->events, item);
}

static void
return_event (DdebugView *view, DdebugItem *item)
{
  *item = g_array_index (view->events, DdebugItem, 0);
  g_array_remove_index (view->events, 0);
}

/*
 * Whether the host wrote @event before @item.  A CPU's notice is compared with messages of that CPU,
 * because the times are in message order only within a stream.  That CPU may log nothing more, so other
 * messages count as well, after some slack.
 */
static gboolean
was_before (const DdebugItem *event, const DdebugItem *item)
{
  guint64 slack = 0;

  if (event->event == DDEBUG_LOG_EVENT_NOTICE && (!item->stream || item->stream->cpu != event->args[1]))
    slack = NOTICE_SLACK;
  return event->realtime < item->realtime && item->realtime - event->realtime > slack;
}

/* @item is due: if an event precedes it, return that first. */
static void
insert_event (DdebugView *view, DdebugItem *item)
{
  if (view->events->len == 0 || !was_before (&g_array_index (view->events, DdebugItem, 0), item))
    return;
  view->after = *item;
  view->has_after = TRUE;
  return_event (view, item);
}

static gboolean
take_event (DdebugView *view, const DdebugChunk *chunk, DdebugItem *item)
{
  struct ddebug_log_event event;

  if (chunk->len < sizeof event)
    return FALSE;
  memcpy (&event, chunk->payload, sizeof event);
  record_event (view, chunk, &event);
  switch (GUINT32_FROM_LE (event.event))
    {
    case DDEBUG_LOG_EVENT_OPEN:
      view->closed = FALSE;
      view->opens++;
      return FALSE;
    case DDEBUG_LOG_EVENT_CLOSE:
      view->closed = TRUE;
      return FALSE;
    case DDEBUG_LOG_EVENT_IO_LOST:
      return take_lost (&event, item, DDEBUG_LOST_IO, &view->marks.io_errors, &view->totals.io_errors);
    case DDEBUG_LOG_EVENT_FULL_LOST:
      return take_lost (&event, item, DDEBUG_LOST_FULL, &view->marks.fulls, &view->totals.fulls);
    case DDEBUG_LOG_EVENT_SYNC_LOST:
      return take_unsynced (view, &event, item);
    case DDEBUG_LOG_EVENT_RATE_LOST:
      return take_lost (&event, item, DDEBUG_LOST_RATE, &view->marks.rates, &view->totals.rates);
    default:
      return FALSE;
    }
}

/* Switch to @chunk's epoch; FALSE if messages of the previous one must be returned first. */
static gboolean
change_epoch (DdebugView *view, const DdebugChunk *chunk)
{
  DdebugEpoch *epoch = ddebug_dict_epoch (view->dict, chunk->epoch);
  DdebugInstance *instance = ddebug_dict_instance (view->dict, epoch);

  if (epoch == view->epoch)
    return TRUE;
  if (view->instance)
    {
      ddebug_merger_release (view->merger, G_MAXUINT64);
      if (instance != view->instance)
        ddebug_merger_end_instance (view->merger);
      view->instance = NULL;
      return FALSE;
    }
  view->epoch = epoch;
  view->instance = instance;
  ddebug_dict_forget_before (view->dict, epoch->number);
  return TRUE;
}

static gboolean
take_data (DdebugView *view, const DdebugChunk *chunk, DdebugItem *item)
{
  if (!change_epoch (view, chunk))
    {
      view->waiting = *chunk;
      view->is_waiting = TRUE;
      return FALSE;
    }
  ddebug_epoch_note_data (view->epoch, chunk);
  ddebug_merger_push (view->merger, chunk, view->epoch, view->instance, &view->marks);
  if (chunk->payload)
    return FALSE;
  view->totals.bad_chunks++;
  return make_bad_chunk (view, item, "a chunk of messages", chunk, chunk->len);
}

/* Process a chunk; TRUE if it yields an item immediately. */
static gboolean
take_chunk (DdebugView *view, const DdebugChunk *chunk, DdebugItem *item)
{
  if (chunk->type == DDEBUG_LOG_CHUNK_DATA)
    return take_data (view, chunk, item);
  if (!chunk->payload)
    {
      view->totals.bad_chunks++;
      return make_bad_chunk (view, item, "a chunk", chunk, chunk->len);
    }
  switch (chunk->type)
    {
    case DDEBUG_LOG_CHUNK_ATTACH:
      if (ddebug_dict_attach (view->dict, chunk))
        return FALSE;
      view->totals.bad_spans++;
      return make_bad_chunk (view, item, "an attach record", chunk, chunk->len);
    case DDEBUG_LOG_CHUNK_DICT:
      if (ddebug_dict_add (view->dict, chunk))
        return FALSE;
      view->totals.bad_spans++;
      return make_bad_chunk (view, item, "a dictionary chunk", chunk, chunk->len);
    case DDEBUG_LOG_CHUNK_EVENT:
      return take_event (view, chunk, item);
    default:
      view->totals.unknown_chunks++;
      return FALSE;
    }
}

static void
count_item (DdebugView *view, const DdebugItem *item)
{
  switch (item->type)
    {
    case DDEBUG_ITEM_MESSAGE:
      view->totals.received++;
      view->totals.late += item->late != 0;
      view->totals.unchecked += item->unchecked;
      break;
    case DDEBUG_ITEM_LOST:
      view->totals.lost += item->count;
      break;
    case DDEBUG_ITEM_DROPPED:
      view->totals.dropped += item->count;
      break;
    case DDEBUG_ITEM_UNRECORDED:
      view->totals.nostream += item->nostream;
      view->totals.missed += item->missed;
      break;
    case DDEBUG_ITEM_UNKNOWN:
      view->totals.unknown_records += item->count;
      break;
    case DDEBUG_ITEM_BAD_SPAN:
      view->totals.bad_spans++;
      break;
    default:
      break;
    }
}

/* Read one chunk; TRUE if it yields an item immediately.  *@result: changed at the end. */
static gboolean
read_on (DdebugView *view, DdebugItem *item, DdebugViewResult *result, GError **error)
{
  DdebugChunk chunk;

  if (view->is_waiting)
    {
      view->is_waiting = FALSE;
      return take_data (view, &view->waiting, item);
    }
  if (view->released)
    {
      *result = DDEBUG_VIEW_END;
      return FALSE;
    }
  switch (ddebug_reader_next (view->reader, &chunk, error))
    {
    case DDEBUG_READ_CHUNK:
      view->totals.chunks++;
      return take_chunk (view, &chunk, item);
    case DDEBUG_READ_DAMAGE:
      view->totals.bad_bytes += chunk.len;
      return make_bad_bytes (view, item, &chunk);
    case DDEBUG_READ_LAPPED:
      view->marks.laps++;
      view->totals.laps++;
      return FALSE;
    case DDEBUG_READ_END:
      *result = DDEBUG_VIEW_END;
      return FALSE;
    case DDEBUG_READ_OTHER:
      *result = DDEBUG_VIEW_OTHER;
      return FALSE;
    case DDEBUG_READ_ERROR:
    default:
      *result = DDEBUG_VIEW_ERROR;
      return FALSE;
    }
}

DdebugViewResult
ddebug_view_next (DdebugView *view, DdebugItem *item, GError **error)
{
  DdebugViewResult result = DDEBUG_VIEW_ITEM;

  if (view->has_after)
    *item = view->after;
  while (!view->has_after && !ddebug_merger_next (view->merger, item))
    {
      if (view->events->len > (ddebug_merger_is_holding (view->merger) ? EVENTS_MAX : 0))
        {
          return_event (view, item);
          return DDEBUG_VIEW_ITEM;
        }
      if (result == DDEBUG_VIEW_END && find_missing (view, item))
        return DDEBUG_VIEW_ITEM;
      if (result != DDEBUG_VIEW_ITEM)
        return result;
      if (read_on (view, item, &result, error))
        break;
      if (result == DDEBUG_VIEW_END)
        ddebug_merger_release (view->merger, view->settled_pass);
      else if (result == DDEBUG_VIEW_OTHER)
        ddebug_view_finish (view);
    }
  view->has_after = FALSE;
  insert_event (view, item);
  if (!view->has_after)
    count_item (view, item);
  return DDEBUG_VIEW_ITEM;
}

gboolean
ddebug_view_has_taken (DdebugView *view)
{
  return view->has_after;
}

void
ddebug_view_release (DdebugView *view)
{
  view->released = TRUE;
  ddebug_merger_release (view->merger, G_MAXUINT64);
}

void
ddebug_view_finish (DdebugView *view)
{
  ddebug_merger_release (view->merger, G_MAXUINT64);
  ddebug_merger_end_instance (view->merger);
  view->finished = TRUE;
}

/* Read to the end of a round; *@more: set to FALSE if @func stopped it. */
static gboolean
read_round (DdebugView *view, DdebugItemFunc func, gpointer data, gboolean *more, GError **error)
{
  DdebugViewResult found;
  DdebugItem item;

  while ((found = ddebug_view_next (view, &item, error)) == DDEBUG_VIEW_ITEM)
    if (!func (&item, data))
      {
        *more = FALSE;
        return TRUE;
      }
  return found != DDEBUG_VIEW_ERROR;
}

gboolean
ddebug_view_read_all (DdebugView *view, gboolean live, DdebugItemFunc func, gpointer data, GError **error)
{
  gboolean more = TRUE;

  ddebug_reader_set_snapshot (view->reader);
  ddebug_view_start (view, live);
  if (!read_round (view, func, data, &more, error))
    return FALSE;
  if (!more)
    return TRUE;
  if (live || ddebug_reader_was_taken (view->reader))
    ddebug_view_release (view);
  else
    ddebug_view_finish (view);
  return read_round (view, func, data, &more, error);
}


guint32
ddebug_view_last_event (DdebugView *view, guint64 *arg, guint64 *realtime)
{
  *arg = view->last_event.args[0];
  *realtime = view->last_event.realtime;
  return view->last_event.event;
}

gboolean
ddebug_view_is_closed (DdebugView *view)
{
  return view->closed;
}

guint
ddebug_view_opens (DdebugView *view)
{
  return view->opens;
}

DdebugReader *
ddebug_view_reader (DdebugView *view)
{
  return view->reader;
}

DdebugDict *
ddebug_view_dict (DdebugView *view)
{
  return view->dict;
}

DdebugMerger *
ddebug_view_merger (DdebugView *view)
{
  return view->merger;
}

const DdebugTotals *
ddebug_view_totals (DdebugView *view)
{
  return &view->totals;
}
