/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --trace, --follow and --pipe.
 *
 * A round reads to the end of the log and prints.  --trace is one round.  The
 * others make one each time the log changes.
 *
 * --pipe takes each round under the lock of the cursor.  A place in a stream is
 * recorded only for lines that standard output has taken whole; where a write
 * ends in the middle of a line, that line is not recorded.
 */
#include <string.h>
#include <unistd.h>

#include "ddebug-cursor.h"
#include "ddebug-format.h"
#include "ddebug-host.h"
#include "ddebug-output.h"
#include "ddebug-view.h"

/* As much as is formatted before it is written: amortizes write(), and bounds memory. */
#define BATCH (64u << 10)

/*
 * Messages are held back until the writer has come round or says that it is
 * done.  If it says nothing for this long (ms) it is stopped: show them.
 */
#define HOLD 1000

/*
 * How long (ns) messages are held at least for CPUs of the guest that do not run,
 * unless the device is idle.  A virtual CPU waits for its turn for up to some
 * 100 ms on a busy host.  What is there already costs no one a delay.
 */
#define WINDOW_TRACE (1000 * G_GUINT64_CONSTANT (1000000))
#define WINDOW_LIVE (100 * G_GUINT64_CONSTANT (1000000))

/* The close of a dying writer comes before its unlock: look again after these, ms. */
static const int rechecks[] = { 10, 100, 1000 };

/* A line in the batch, up to where it reaches, and the place behind it. */
typedef struct
{
  gsize end;
  DdebugStream *stream;
  DdebugPlace place;
} Line;

typedef enum
{
  SHOW_ON,
  SHOW_DONE,                /* exit with status */
  SHOW_REOPEN,              /* another log was formatted in the file */
} ShowResult;

typedef struct
{
  const DdebugOptions *options;
  DdebugShow show;
  DdebugWait *wait;
  DdebugView *view;
  DdebugReader *reader;     /* of the view */
  DdebugCursor *cursor;     /* NULL unless --pipe */
  DdebugFormat format;
  GString *text;
  GArray *lines;
  int status;
  gboolean had_writer;
  gboolean is_live;
  gboolean first_round_done;
  guint opens;              /* when the first round was done */
  gboolean said_moved;
  guint rechecks_left;
  gboolean release;         /* messages have been held back long enough */
} Show;

static ShowResult
done (Show *show, int status)
{
  show->status = status;
  return SHOW_DONE;
}

static ShowResult
fail (Show *show, const GError *error)
{
  return done (show, ddebug_host_fail (error));
}

/* ---- a batch ---- */

static void
record_lines (Show *show, gsize written)
{
  for (guint i = 0; i < show->lines->len; i++)
    {
      const Line *line = &g_array_index (show->lines, Line, i);

      if (line->end > written)
        break;
      ddebug_cursor_set (show->cursor, line->stream, &line->place);
    }
  g_array_set_size (show->lines, 0);
}

static ShowResult
write_batch (Show *show)
{
  g_autoptr (GError) error = NULL;
  gsize written;
  DdebugOutputResult result
      = ddebug_output_write (show->wait, STDOUT_FILENO, show->text->str, show->text->len, &written, &error);

  record_lines (show, written);
  g_string_truncate (show->text, 0);
  switch (result)
    {
    case DDEBUG_OUTPUT_OK:
      return SHOW_ON;
    case DDEBUG_OUTPUT_ERROR:
      return fail (show, error);
    case DDEBUG_OUTPUT_GONE:
    case DDEBUG_OUTPUT_SIGNAL:
    default:
      return done (show, DDEBUG_EXIT_OK);
    }
}

static void
add_item (Show *show, const DdebugItem *item)
{
  ddebug_format_item (&show->format, item, show->text);
  if (show->cursor && item->stream)
    {
      Line line = {
        .end = show->text->len,
        .stream = item->stream,
        .place = { item->stream->next, item->stream->recursed, item->stream->torn },
      };

      g_array_append_val (show->lines, line);
    }
}

/* ---- what happens to the log ---- */

/*
 * Whether somebody may be writing, and whether there has been a VM, after whose
 * end nothing more is waited for.  To be asked before the log is read: what a
 * writer wrote that is gone by then is in the log.
 */
static void
look_for_writer (Show *show)
{
  show->is_live = ddebug_host_is_live (show->reader, ddebug_view_is_closed (show->view));
  if (!show->first_round_done)
    show->had_writer |= show->is_live;
  else if (ddebug_view_opens (show->view) != show->opens)
    show->had_writer = TRUE;
}

static void
look_where_file_is (Show *show)
{
  const char *path = show->options->path;

  if (show->said_moved || ddebug_reader_is_at (show->reader, path))
    return;
  show->said_moved = TRUE;
  ddebug_host_say ("%s: was %s; reading on from the file that was there before", path,
                   g_file_test (path, G_FILE_TEST_EXISTS) ? "replaced" : "removed");
}

/* What happened to the log, for the time after the next round. */
static void
take_wake (Show *show, guint wake)
{
  if (wake & DDEBUG_WAKE_CLOSED)
    show->rechecks_left = G_N_ELEMENTS (rechecks);
  if (wake & DDEBUG_WAKE_MOVED)
    look_where_file_is (show);
}

/* ---- a round ---- */

static ShowResult
print_to_end (Show *show)
{
  g_autoptr (GError) error = NULL;
  ShowResult result = SHOW_ON;
  DdebugViewResult found;
  DdebugItem item;

  while (result == SHOW_ON && (found = ddebug_view_next (show->view, &item, &error)) == DDEBUG_VIEW_ITEM)
    {
      add_item (show, &item);
      if (ddebug_wait_signal ())
        return done (show, DDEBUG_EXIT_OK);
      if (show->text->len >= BATCH)
        result = write_batch (show);
    }
  if (result == SHOW_ON)
    result = write_batch (show);
  if (result != SHOW_ON || found == DDEBUG_VIEW_END)
    return result;
  return found == DDEBUG_VIEW_OTHER ? SHOW_REOPEN : fail (show, error);
}

static ShowResult
print_round (Show *show)
{
  ShowResult result;

  look_for_writer (show);
  ddebug_view_begin (show->view, show->is_live);
  result = print_to_end (show);
  if (result != SHOW_ON)
    return result;
  if (!show->is_live)
    ddebug_view_finish (show->view);
  else if (show->release || show->show == DDEBUG_SHOW_TRACE)
    ddebug_view_release (show->view);
  else
    return SHOW_ON;
  return print_to_end (show);
}

/* ---- the cursor ---- */

static void
take_place (DdebugStream *stream, gpointer data)
{
  Show *show = data;
  DdebugPlace place;

  if (!ddebug_cursor_get (show->cursor, stream, &place))
    return;
  stream->next = MAX (stream->next, place.next);
  stream->consumed = MAX (stream->consumed, place.next);
  stream->recursed = MAX (stream->recursed, place.recursed);
  stream->torn = MAX (stream->torn, place.torn);
}

/* Others may have consumed since. */
static void
take_places (Show *show)
{
  GPtrArray *lives = ddebug_dict_lives (ddebug_view_dict (show->view));

  for (guint i = 0; i < lives->len; i++)
    {
      DdebugLife *life = g_ptr_array_index (lives, i);
      GHashTableIter iter;
      gpointer stream;

      g_hash_table_iter_init (&iter, life->streams);
      while (g_hash_table_iter_next (&iter, NULL, &stream))
        take_place (stream, show);
    }
}

/* Waits while another consumer has the cursor. */
static ShowResult
lock_cursor (Show *show)
{
  g_autoptr (GError) error = NULL;
  DdebugCursorResult result;
  guint tries = 0;
  guint wake;

  while ((result = ddebug_cursor_lock (show->cursor, &error)) == DDEBUG_CURSOR_BUSY)
    {
      int timeout = tries > 0 && tries <= G_N_ELEMENTS (rechecks) ? rechecks[tries - 1] : -1;

      /* Only after the watch is there does a close wake; look once more before waiting. */
      if (tries == 0)
        timeout = ddebug_wait_watch_cursor (show->wait, ddebug_cursor_path (show->cursor)) ? 0 : rechecks[0];
      wake = ddebug_wait (show->wait, timeout);
      if (wake & (DDEBUG_WAKE_SIGNAL | DDEBUG_WAKE_OUTPUT))
        return done (show, DDEBUG_EXIT_OK);
      take_wake (show, wake);
      tries = wake & DDEBUG_WAKE_CURSOR ? 1 : tries + 1;
    }
  ddebug_wait_unwatch_cursor (show->wait);
  if (result == DDEBUG_CURSOR_ERROR)
    return fail (show, error);
  take_places (show);
  return SHOW_ON;
}

/* @complete: all of the log was read, so lives that are not in it any more are known. */
static ShowResult
unlock_cursor (Show *show, gboolean complete)
{
  GPtrArray *lives = ddebug_dict_lives (ddebug_view_dict (show->view));
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < lives->len; i++)
    ddebug_cursor_touch (show->cursor, g_ptr_array_index (lives, i));
  if (ddebug_cursor_unlock (show->cursor, complete ? ddebug_reader_oldest_epoch (show->reader) : 0, &error))
    return SHOW_ON;
  return fail (show, error);
}

static ShowResult
round_once (Show *show)
{
  ShowResult result, unlocked;

  if (!show->cursor)
    return print_round (show);
  result = lock_cursor (show);
  if (result != SHOW_ON)
    return result;
  result = print_round (show);
  unlocked = unlock_cursor (show, result == SHOW_ON);
  return result == SHOW_ON ? unlocked : result;
}

/* ---- rounds ---- */

static void
note_first_round (Show *show)
{
  if (show->first_round_done)
    return;
  /* A VM that came during the round may be among the ones counted. */
  show->had_writer |= ddebug_host_is_live (show->reader, ddebug_view_is_closed (show->view));
  show->opens = ddebug_view_opens (show->view);
  show->first_round_done = TRUE;
}

static int
choose_timeout (Show *show)
{
  int timeout = -1;

  if (show->is_live && ddebug_view_is_holding (show->view))
    timeout = HOLD;
  if (show->rechecks_left > 0)
    timeout = rechecks[G_N_ELEMENTS (rechecks) - show->rechecks_left];
  return timeout;
}

static ShowResult
wait_for_more (Show *show)
{
  int timeout = choose_timeout (show);
  guint wake = ddebug_wait (show->wait, timeout);

  show->release = FALSE;
  if (wake & (DDEBUG_WAKE_SIGNAL | DDEBUG_WAKE_OUTPUT))
    return done (show, DDEBUG_EXIT_OK);
  if (wake & DDEBUG_WAKE_TIMEOUT)
    {
      show->release = timeout == HOLD;
      if (show->rechecks_left > 0)
        show->rechecks_left--;
    }
  take_wake (show, wake);
  return SHOW_ON;
}

static ShowResult
show_live (Show *show)
{
  ShowResult result;

  for (;;)
    {
      result = round_once (show);
      if (result != SHOW_ON)
        return result;
      note_first_round (show);
      if (!show->is_live && (show->had_writer || !show->options->wait))
        return done (show, DDEBUG_EXIT_OK);
      result = wait_for_more (show);
      if (result != SHOW_ON)
        return result;
    }
}

static ShowResult
show_once (Show *show)
{
  ShowResult result;

  ddebug_reader_set_snapshot (show->reader);
  result = round_once (show);
  return result == SHOW_ON ? done (show, DDEBUG_EXIT_OK) : result;
}

static ShowResult
show_log (Show *show, DdebugReader *reader)
{
  ShowResult result;

  show->reader = reader;
  show->view = ddebug_view_new (reader);
  ddebug_merger_set_window (ddebug_view_merger (show->view),
                            show->show == DDEBUG_SHOW_TRACE ? WINDOW_TRACE : WINDOW_LIVE);
  show->format = (DdebugFormat){
    .utf8 = show->options->utf8,
    .callsite = show->options->callsite,
    .raw = show->options->raw,
    .quiet = show->options->quiet,
  };
  if (show->show == DDEBUG_SHOW_PIPE)
    {
      show->cursor = ddebug_cursor_new (show->options->path, ddebug_reader_super (reader)->uuid,
                                        ddebug_reader_owner (reader));
      ddebug_merger_set_stream_func (ddebug_view_merger (show->view), take_place, show);
    }
  result = show->show == DDEBUG_SHOW_TRACE ? show_once (show) : show_live (show);
  g_clear_pointer (&show->cursor, ddebug_cursor_free);
  g_clear_pointer (&show->view, ddebug_view_free);
  return result;
}

int
ddebug_host_show (const DdebugOptions *options, DdebugShow kind, DdebugWait *wait)
{
  ShowResult result;
  int status = DDEBUG_EXIT_OK;

  do
    {
      DdebugReader *reader = ddebug_host_open (options, wait, &status);
      Show show = { .options = options, .show = kind, .wait = wait };

      if (!reader)
        break;
      show.text = g_string_sized_new (BATCH);
      show.lines = g_array_new (FALSE, FALSE, sizeof (Line));
      result = show_log (&show, reader);
      g_string_free (show.text, TRUE);
      g_array_unref (show.lines);
      status = show.status;
      if (result == SHOW_REOPEN)
        ddebug_host_say ("%s: was formatted anew; going on with the new log", options->path);
    }
  while (result == SHOW_REOPEN);
  if (ddebug_wait_signal ())
    ddebug_wait_die_by_signal ();
  return status;
}
