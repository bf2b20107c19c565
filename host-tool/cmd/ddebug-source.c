/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One of the logs that are shown, in rounds: when one is due, its reader, its cursor, its end. */
#include "ddebug-source.h"

#include <string.h>

/*
 * Messages are held back until the writer has polled all streams or says that it is done, but at most
 * this long (us) after the log was read to its end: the writer may be stopped.  Not before the end: a
 * tool that is behind because its output is slow may still have older messages to read.
 */
#define HOLD G_USEC_PER_SEC

/*
 * Maximum number of items in a round, except for --trace: a guest that never stops logging must not
 * keep other logs waiting, or other consumers from the cursor.
 */
#define ROUND 20000u

/*
 * What the device stamped by some time is in the log this long (us) after it, unless the disk hangs:
 * a chunk is stamped when it is written.
 */
#define UNTIL_SLACK G_USEC_PER_SEC

/* Maximum wait (us) for a time of the host's clock, which may be set in the meantime. */
#define UNTIL_RECHECK (60 * G_USEC_PER_SEC)

/* Bytes that each of many logs can hold back at least; together they share DDEBUG_MERGER_HELD_MAX. */
#define HELD_MIN ((gsize) 2 << 20)

/* A dying process closes a file before it unlocks it: check again after these delays (us). */
static const gint64 rechecks[] = { 10000, 100000, 1000000 };

DdebugSource *
ddebug_source_new (const DdebugOptions *options, DdebugShow show, DdebugWait *wait, const char *path,
                   const char *name)
{
  DdebugSource *source = g_new0 (DdebugSource, 1);

  source->options = options;
  source->filter = options->filter;
  source->show = show;
  source->wait = wait;
  source->path = g_strdup (path);
  source->name = g_strdup (name ? name : path);
  source->due = TRUE;
  return source;
}

static void
close_log (DdebugSource *source)
{
  g_clear_pointer (&source->file, ddebug_watch_free);
  g_clear_pointer (&source->directory, ddebug_watch_free);
  g_clear_pointer (&source->cursor_file, ddebug_watch_free);
  g_clear_pointer (&source->cursor, ddebug_cursor_free);
  g_clear_pointer (&source->view, ddebug_view_free);
  source->reader = NULL;
  source->locked = FALSE;
}

void
ddebug_source_free (DdebugSource *source)
{
  if (!source)
    return;
  close_log (source);
  g_free (source->path);
  g_free (source->name);
  g_free (source);
}

static void
end_log (DdebugSource *source, int status)
{
  source->status = source->status ? source->status : status;
  source->ended = TRUE;
  close_log (source);
}

static void
fail (DdebugSource *source, const GError *error)
{
  source->failed = TRUE;
  source->status = source->status ? source->status : ddebug_host_fail (error);
}

/* Another log is in the file or at its path: start over. */
static void
restart (DdebugSource *source)
{
  close_log (source);
  source->due = TRUE;
  source->reopen = source->had_writer = source->first_round_done = source->reported_move = FALSE;
  source->past = FALSE;
  source->hold_at = source->recheck_at = source->lock_at = 0;
  source->lock_tries = 0;
}

/* Whether the log now at the path has a writer. */
static gboolean
is_path_in_use (const DdebugSource *source)
{
  g_autoptr (DdebugReader) reader = ddebug_reader_open (source->path, NULL);

  return reader && ddebug_reader_writer (reader) == DDEBUG_WRITER_ALIVE;
}

/*
 * Whether the file was removed or replaced, has no writer any more, and another log is at its path or
 * is to be waited for: the device continues there, or the next one will.
 */
static gboolean
is_left_behind (const DdebugSource *source)
{
  if (source->show == DDEBUG_SHOW_TRACE || source->past || ddebug_reader_is_at (source->reader, source->path)
      || ddebug_host_is_live (source->reader, ddebug_view_is_closed (source->view)))
    return FALSE;
  return source->stays || (source->options->wait && !source->had_writer) || is_path_in_use (source);
}

static void
leave_behind (DdebugSource *source)
{
  ddebug_host_say ("%s: the previous file has no writer any more; "
                   "continuing with the new one, now or when it appears", source->path);
  restart (source);
}

/* ---- the cursor ---- */

static void
take_place (DdebugMergerStream *stream, gpointer data)
{
  DdebugSource *source = data;
  DdebugPlace place;

  if (!ddebug_cursor_get (source->cursor, stream, &place))
    return;
  stream->next = MAX (stream->next, place.next);
  stream->consumed = MAX (stream->consumed, place.next);
  stream->recursed = MAX (stream->recursed, place.recursed);
  stream->torn = MAX (stream->torn, place.torn);
  stream->instance->nostream = MAX (stream->instance->nostream, place.nostream);
  stream->instance->missed = MAX (stream->instance->missed, place.missed);
}

/* Load all positions from the cursor: others may have consumed since. */
static void
take_places (DdebugSource *source)
{
  GPtrArray *instances = ddebug_dict_instances (ddebug_view_dict (source->view));

  for (guint i = 0; i < instances->len; i++)
    {
      DdebugInstance *instance = g_ptr_array_index (instances, i);
      GHashTableIter iter;
      gpointer stream;

      g_hash_table_iter_init (&iter, instance->streams);
      while (g_hash_table_iter_next (&iter, NULL, &stream))
        take_place (stream, source);
    }
}

/* Another consumer has the cursor's lock: try again when it closes the file, or soon. */
static void
wait_for_cursor (DdebugSource *source)
{
  if (source->lock_at)
    return;
  if (source->lock_tries < G_N_ELEMENTS (rechecks))
    source->lock_at = g_get_monotonic_time () + rechecks[source->lock_tries++];
  else if (!source->cursor_file)
    source->lock_at = g_get_monotonic_time () + rechecks[G_N_ELEMENTS (rechecks) - 1];
}

static gboolean
lock_cursor (DdebugSource *source)
{
  g_autoptr (GError) error = NULL;
  DdebugCursorResult result = ddebug_cursor_lock (source->cursor, &error);

  if (result == DDEBUG_CURSOR_BUSY && !source->cursor_file)
    {
      source->cursor_file = ddebug_wait_watch (source->wait, DDEBUG_WATCH_CURSOR,
                                               ddebug_cursor_path (source->cursor));
      /* The consumer may have closed the file before the watch was in place: try once more. */
      result = ddebug_cursor_lock (source->cursor, &error);
    }
  switch (result)
    {
    case DDEBUG_CURSOR_LOCKED:
      g_clear_pointer (&source->cursor_file, ddebug_watch_free);
      source->lock_at = 0;
      source->lock_tries = 0;
      source->locked = TRUE;
      take_places (source);
      return TRUE;
    case DDEBUG_CURSOR_BUSY:
      wait_for_cursor (source);
      return FALSE;
    case DDEBUG_CURSOR_ERROR:
    default:
      /* Another consumer has read all of this log and moved on to the next one. */
      if (g_error_matches (error, DDEBUG_ERROR, DDEBUG_ERROR_REFUSED) && is_left_behind (source))
        {
          leave_behind (source);
          return FALSE;
        }
      end_log (source, ddebug_host_fail (error));
      return FALSE;
    }
}

static void
unlock_cursor (DdebugSource *source)
{
  GPtrArray *instances = ddebug_dict_instances (ddebug_view_dict (source->view));
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < instances->len; i++)
    ddebug_cursor_touch (source->cursor, g_ptr_array_index (instances, i));
  source->locked = FALSE;
  /* Which instances are no longer in the log is known only after reading all of it. */
  if (!ddebug_cursor_unlock (source->cursor,
                             source->complete ? ddebug_reader_oldest_epoch (source->reader) : 0, &error))
    fail (source, error);
}

/* ---- the log and its writer ---- */

/* FALSE: the log does not have the boot that is asked for, and was ended. */
static gboolean
start_filter (DdebugSource *source)
{
  static const DdebugFilterBoot how[] = {
    [DDEBUG_SHOW_TRACE] = DDEBUG_FILTER_BOOT_ALONE,
    [DDEBUG_SHOW_FOLLOW] = DDEBUG_FILTER_BOOT_ON,
    [DDEBUG_SHOW_PIPE] = DDEBUG_FILTER_BOOT_NEWEST,
  };
  g_autoptr (GError) error = NULL;

  if (!source->filter
      || ddebug_filter_start (source->filter, source->reader, ddebug_host_is_live (source->reader, FALSE),
                              how[source->show], source->path, &source->place, &error))
    return TRUE;
  end_log (source, ddebug_host_fail (error));
  return FALSE;
}

static gboolean
open_log (DdebugSource *source)
{
  DdebugMerger *merger;
  DdebugAccess access;
  int status;

  source->reader = ddebug_host_try_open (source->options, source->path, source->wait, &source->directory,
                                         source->show == DDEBUG_SHOW_TRACE ? NULL : &source->file, &status);
  if (!source->reader)
    {
      if (status != DDEBUG_OPEN_LATER)
        end_log (source, status);
      return FALSE;
    }
  source->view = ddebug_view_new (source->reader);
  if (!start_filter (source))
    return FALSE;
  merger = ddebug_view_merger (source->view);
  ddebug_merger_set_window (merger,
                            source->show == DDEBUG_SHOW_TRACE ? DDEBUG_WINDOW_TRACE : DDEBUG_WINDOW_LIVE);
  ddebug_merger_set_held_max (merger, MAX (DDEBUG_MERGER_HELD_MAX / source->options->n_paths, HELD_MIN));
  source->format = (DdebugFormat){
    .utf8 = source->options->utf8,
    .callsite = source->options->callsite,
    .raw = source->options->raw,
    .quiet = source->options->quiet,
  };
  source->json = (DdebugJson){
    .log = source->path,
    .vm = strcmp (source->name, source->path) != 0 ? source->name : NULL,
    .utf8 = source->options->utf8,
    .quiet = source->options->quiet,
  };
  if (source->show == DDEBUG_SHOW_TRACE)
    ddebug_reader_set_snapshot (source->reader);
  if (source->show == DDEBUG_SHOW_PIPE)
    {
      ddebug_reader_access (source->reader, &access);
      source->cursor = ddebug_cursor_new (source->path, ddebug_reader_super (source->reader)->uuid, &access);
      ddebug_merger_set_stream_func (merger, take_place, source);
    }
  return TRUE;
}

/*
 * Note whether there may be a writer, and whether there has been one: the log ends with it.  Called
 * before the log is read, so that all that a writer which has gone by then wrote is read.
 */
static void
check_writer (DdebugSource *source)
{
  source->is_live = ddebug_host_is_live (source->reader, ddebug_view_is_closed (source->view));
  if (!source->first_round_done)
    source->had_writer |= source->is_live;
  else if (ddebug_view_opens (source->view) != source->opens)
    source->had_writer = TRUE;
}

/*
 * Whether a writer has appeared since then, even if it has gone again: with a slow output, a round can
 * take long.  It has moved what was left in shared rings to the log, and may have written more.
 */
static gboolean
has_writer_come (DdebugSource *source)
{
  gboolean has_come;

  if (source->is_live)
    return FALSE;
  source->is_live = ddebug_host_is_live (source->reader, ddebug_view_is_closed (source->view));
  has_come = source->is_live || ddebug_reader_was_taken (source->reader);
  /* remember it: it may have gone by the end of the round */
  source->had_writer |= has_come;
  return has_come;
}

static void
note_first_round (DdebugSource *source)
{
  if (source->first_round_done)
    return;
  /* The opens may already include a VM that was started during the round. */
  source->had_writer |= ddebug_host_is_live (source->reader, ddebug_view_is_closed (source->view));
  source->opens = ddebug_view_opens (source->view);
  source->first_round_done = TRUE;
}

static void
check_path (DdebugSource *source)
{
  if (source->reported_move || ddebug_reader_is_at (source->reader, source->path))
    return;
  source->reported_move = TRUE;
  ddebug_host_say ("%s: was %s; still reading the previous file", source->path,
                   g_file_test (source->path, G_FILE_TEST_EXISTS) ? "replaced" : "removed");
}

/* The us until no new message can match --until any more; G_MAXINT64: no limit. */
static gint64
until_left (const DdebugSource *source)
{
  guint64 until = source->filter ? ddebug_filter_until (source->filter) : G_MAXUINT64;

  if (source->show == DDEBUG_SHOW_TRACE || until == G_MAXUINT64)
    return G_MAXINT64;
  return MAX ((gint64) (until / 1000) + UNTIL_SLACK - g_get_real_time (), 0);
}

/* ---- rounds ---- */

gboolean
ddebug_source_start (DdebugSource *source)
{
  gboolean past;

  if (source->ended || !source->due)
    return FALSE;
  source->due = FALSE;
  past = source->past || until_left (source) == 0;
  if (!source->view && !open_log (source))
    {
      if (past && !source->ended)
        end_log (source, DDEBUG_EXIT_OK);
      return FALSE;
    }
  /* The log may be written faster than it is read. */
  if (past && !source->past)
    ddebug_reader_set_snapshot (source->reader);
  source->past = past;
  if (source->cursor && !lock_cursor (source))
    return FALSE;
  source->flushed = source->complete = FALSE;
  source->budget = source->show == DDEBUG_SHOW_TRACE ? G_MAXUINT : ROUND;
  check_writer (source);
  ddebug_view_start (source->view, source->is_live);
  return TRUE;
}

/* The end of the log was reached: release what was held back long enough; TRUE if anything is due. */
static gboolean
flush (DdebugSource *source)
{
  DdebugMerger *merger = ddebug_view_merger (source->view);
  gint64 now, left;

  source->flushed = TRUE;
  source->hold_at = 0;
  if (!source->is_live)
    {
      ddebug_view_finish (source->view);
      return TRUE;
    }
  if (source->show == DDEBUG_SHOW_TRACE || source->past)
    {
      ddebug_view_release (source->view);
      return TRUE;
    }
  now = g_get_monotonic_time ();
  left = ddebug_merger_release_old (merger, now, HOLD);
  if (left >= 0)
    source->hold_at = now + left;
  return ddebug_merger_is_due (merger);
}

gboolean
ddebug_source_next (DdebugSource *source)
{
  g_autoptr (GError) error = NULL;

  /* Not while the view holds an item that was already taken from its stream: the cursor would skip it. */
  if (source->budget == 0 && !ddebug_view_has_taken (source->view))
    {
      source->due = TRUE;
      return FALSE;
    }
  for (;;)
    switch (ddebug_view_next (source->view, &source->item, &error))
      {
      case DDEBUG_VIEW_ITEM:
        source->key = MAX (source->key, source->item.realtime);
        source->budget -= source->budget > 0;
        return TRUE;
      case DDEBUG_VIEW_END:
        if (has_writer_come (source))
          {
            source->flushed = FALSE;
            ddebug_view_start (source->view, source->is_live);
            break;
          }
        if (!source->flushed && flush (source))
          break;
        source->complete = TRUE;
        return FALSE;
      case DDEBUG_VIEW_OTHER:
        source->reopen = TRUE;
        return FALSE;
      case DDEBUG_VIEW_ERROR:
      default:
        fail (source, error);
        return FALSE;
      }
}

gboolean
ddebug_source_is_shown (DdebugSource *source)
{
  gboolean passes = ddebug_filter_passes (source->filter, &source->place, &source->item);

  if (source->place.gave_up && !source->reported_give_up)
    {
      source->reported_give_up = TRUE;
      ddebug_host_say ("%s: --grep takes too long on some messages, which are shown anyway; "
                       "simplify the pattern", source->path);
    }
  return passes;
}

/* Whether a log that was read completely yields nothing more. */
static gboolean
is_over (DdebugSource *source)
{
  if (source->show == DDEBUG_SHOW_TRACE || source->past)
    return TRUE;
  if (source->is_live || source->stays || (source->options->wait && !source->had_writer))
    return FALSE;
  source->due = has_writer_come (source);
  return !source->due;
}

void
ddebug_source_end (DdebugSource *source)
{
  if (source->locked)
    unlock_cursor (source);
  if (source->complete)
    note_first_round (source);
  if (source->failed)
    end_log (source, source->status);
  else if (source->reopen)
    {
      ddebug_host_say ("%s: was reformatted; continuing with the new log", source->path);
      restart (source);
    }
  else if (source->complete && !source->is_live && is_left_behind (source))
    leave_behind (source);
  else if (source->complete && is_over (source))
    end_log (source, DDEBUG_EXIT_OK);
}

/* ---- between rounds ---- */

void
ddebug_source_leave (DdebugSource *source)
{
  source->stays = FALSE;
  source->had_writer = TRUE;
  source->due = TRUE;
  if (!source->view && !source->ended)
    end_log (source, DDEBUG_EXIT_OK);
}

static gboolean
is_time (gint64 *at, gint64 now)
{
  if (*at == 0 || *at > now)
    return FALSE;
  *at = 0;
  return TRUE;
}

static void
recheck (DdebugSource *source, gint64 now)
{
  source->recheck_at = source->rechecks < G_N_ELEMENTS (rechecks) ? now + rechecks[source->rechecks++] : 0;
}

void
ddebug_source_wake (DdebugSource *source)
{
  gint64 now = g_get_monotonic_time ();
  guint cursor = ddebug_watch_take (source->cursor_file);
  guint wake = cursor | ddebug_watch_take (source->file) | ddebug_watch_take (source->directory);

  if (source->ended)
    return;
  if (wake & DDEBUG_WAKE_MOVED)
    check_path (source);
  if (cursor)
    {
      source->lock_at = 0;
      source->lock_tries = 0;
    }
  if (is_time (&source->recheck_at, now))
    {
      wake = wake ? wake : DDEBUG_WAKE_TIMEOUT;
      recheck (source, now);
    }
  if (wake & DDEBUG_WAKE_CLOSED)
    {
      source->rechecks = 0;
      recheck (source, now);
    }
  source->due |= wake != 0;
  source->due |= is_time (&source->hold_at, now);
  source->due |= is_time (&source->lock_at, now);
  source->due |= until_left (source) == 0;
}

static gint64
sooner (gint64 a, gint64 b)
{
  return a == 0 || (b != 0 && b < a) ? b : a;
}

int
ddebug_source_timeout (DdebugSource *source)
{
  gint64 at = sooner (sooner (source->hold_at, source->recheck_at), source->lock_at);
  gint64 left = until_left (source);

  if (source->ended)
    return -1;
  if (left != G_MAXINT64)
    at = sooner (at, g_get_monotonic_time () + MIN (left, UNTIL_RECHECK));
  if (source->due)
    return 0;
  /* Round up, so as not to wake too early. */
  return at == 0 ? -1 : (int) MAX ((at - g_get_monotonic_time () + 999) / 1000, 0);
}
