/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rounds of a log that --follow and --pipe show, one by one: what the tool's own loop leaves to chance. */
#include <glib/gstdio.h>

#include "canned.h"
#include "ddebug-source.h"

typedef LogFolder Fixture;

/* ---- what ddebug-common.c has ---- */

int
ddebug_host_fail (const GError *error)
{
  g_error ("%s", error->message);
}

void
ddebug_host_say (const char *format, ...)
{
  (void) format;
}

gboolean
ddebug_host_is_live (DdebugReader *reader, gboolean closed)
{
  (void) closed;
  return ddebug_reader_writer (reader) == DDEBUG_WRITER_ALIVE;
}

DdebugReader *
ddebug_host_try_open (const DdebugOptions *options, const char *path, DdebugWait *wait, DdebugWatch **directory,
                      DdebugWatch **file, int *status)
{
  (void) options;
  (void) wait;
  (void) directory;
  (void) file;
  *status = DDEBUG_OPEN_LATER;
  return ddebug_reader_open (path, NULL);
}

/* ---- consumers ---- */

/* A round, as ddebug-show.c makes it; no message is in @seen, to which it is added.  Returns the items. */
static guint
make_round (DdebugSource *source, GHashTable *seen)
{
  guint items = 0;

  g_assert_true (ddebug_source_start (source));
  while (ddebug_source_next (source))
    {
      DdebugMergerStream *stream = source->item.stream;
      DdebugPlace place;

      items++;
      if (source->item.type == DDEBUG_ITEM_MESSAGE)
        g_assert_true (g_hash_table_add (seen, GUINT_TO_POINTER (source->item.message.number + 1)));
      if (!stream)
        continue;
      place = (DdebugPlace){ stream->next, stream->recursed, stream->torn, 0, 0 };
      ddebug_cursor_set (source->cursor, stream, &place);
    }
  ddebug_source_end (source);
  return items;
}

/* Begins a segment with each 1000 messages. */
static void
add_messages (Canned *c, Producer *p, guint n, guint64 *slot)
{
  for (guint i = 0; i < n; i++)
    {
      if (i % 1000 == 0)
        {
          canned_take (c, p, 1, 1);
          canned_segment (c, (*slot)++, DDEBUG_LOG_SEG_DATA, 1);
        }
      producer_printf (p, p->number, "%u", (guint) p->number);
    }
  canned_take (c, p, 1, 1);
}

/*
 * An event is the last item of a round that ends before its log does.  The message behind it
 * was taken: another consumer, who has the cursor next, is not to print it, too.
 */
static void
test_event_ends_round (Fixture *f, gconstpointer data)
{
  enum { ROUND = 20000, MORE = 1000 };
  const DdebugOptions options = { .n_paths = 1 };
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  g_autoptr (Canned) c = canned_new (ROUND / 1000 + 4);
  DdebugWait *wait = ddebug_wait_new (-1);
  DdebugSource *first, *second;
  guint64 slot = 1;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (c, 1, 1, 1);
  add_messages (c, p, ROUND - 1, &slot);
  c->realtime += G_USEC_PER_SEC;
  canned_event (c, 1, DDEBUG_LOG_EVENT_NOTICE, 1, 0);
  c->realtime += G_USEC_PER_SEC;
  add_messages (c, p, MORE, &slot);
  canned_write (c, f->path);
  first = ddebug_source_new (&options, DDEBUG_SHOW_PIPE, wait, f->path, NULL);
  second = ddebug_source_new (&options, DDEBUG_SHOW_PIPE, wait, f->path, NULL);
  g_assert_cmpuint (make_round (first, seen), >=, ROUND);
  g_assert_cmpuint (g_hash_table_size (seen), <, ROUND + MORE - 1);
  make_round (second, seen);
  g_assert_cmpuint (g_hash_table_size (seen), ==, ROUND + MORE - 1);
  make_round (first, seen);
  ddebug_source_free (first);
  ddebug_source_free (second);
  ddebug_wait_free (wait);
}

/* The log of a VM that is off is removed: the one that its next start makes is shown, all of it. */
static void
test_removed (Fixture *f, gconstpointer data)
{
  const DdebugOptions options = { .n_paths = 1 };
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  g_autoptr (Canned) c = canned_new (4);
  DdebugWait *wait = ddebug_wait_new (-1);
  DdebugSource *source;
  guint64 slot = 1;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (c, 1, 1, 1);
  add_messages (c, p, 10, &slot);
  canned_write (c, f->path);
  source = ddebug_source_new (&options, DDEBUG_SHOW_PIPE, wait, f->path, NULL);
  source->stays = TRUE;
  g_assert_cmpuint (make_round (source, seen), ==, 10);
  g_assert_cmpint (g_unlink (f->path), ==, 0);
  source->due = TRUE;
  g_assert_cmpuint (make_round (source, seen), ==, 0);
  g_assert_false (source->ended);
  g_assert_cmpint (ddebug_source_timeout (source), ==, 0);
  g_assert_false (ddebug_source_start (source));
  g_assert_false (source->ended);
  c->super.uuid[0] ^= 1;
  canned_super (c, 1);
  canned_write (c, f->path);
  source->due = TRUE;
  g_hash_table_remove_all (seen);
  g_assert_cmpuint (make_round (source, seen), ==, 10);
  g_assert_false (source->ended);
  ddebug_source_free (source);
  ddebug_wait_free (wait);
}

#define ADD(name, func) g_test_add ("/source/" name, Fixture, NULL, log_folder_set_up, func, log_folder_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("a round does not end between an event and the message behind it", test_event_ends_round);
  ADD ("a log that is removed makes room for the next one", test_removed);
  return g_test_run ();
}
