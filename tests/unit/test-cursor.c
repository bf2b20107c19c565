/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cursor keeps places exactly, for one consumer at a time, and for its own log only. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "canned.h"
#include "ddebug-cursor.h"

typedef struct
{
  char *dir;
  char *log;
  char *path;
  guint8 uuid[16];
  DdebugLife life;
  DdebugStream stream;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  (void) data;
  f->dir = scratch_new ();
  f->log = g_build_filename (f->dir, "log", NULL);
  f->path = g_strconcat (f->log, ".cursor", NULL);
  memset (f->uuid, 0xab, sizeof f->uuid);
  f->life.name = (char *) "instance 0123456789abcdef";
  f->life.epoch = 3;
  f->stream.life = &f->life;
  f->stream.id = 5;
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  (void) data;
  g_free (f->path);
  g_free (f->log);
  scratch_free (f->dir);
}

static DdebugCursor *
lock_new (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  DdebugCursor *cursor = ddebug_cursor_new (f->log, f->uuid);
  DdebugCursorResult result = ddebug_cursor_lock (cursor, &error);

  g_assert_no_error (error);
  g_assert_cmpint (result, ==, DDEBUG_CURSOR_LOCKED);
  return cursor;
}

static void
unlock (DdebugCursor *cursor, guint32 oldest_epoch)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (ddebug_cursor_unlock (cursor, oldest_epoch, &error));
  g_assert_no_error (error);
}

static void
set_place (Fixture *f, DdebugCursor *cursor, guint64 next)
{
  DdebugPlace place = { .next = next, .recursed = 2, .torn = 1 };

  ddebug_cursor_set (cursor, &f->stream, &place);
}

static void
assert_place (Fixture *f, DdebugCursor *cursor, guint64 next)
{
  DdebugPlace place;

  g_assert_true (ddebug_cursor_get (cursor, &f->stream, &place));
  g_assert_cmpuint (place.next, ==, next);
  g_assert_cmpuint (place.recursed, ==, 2);
  g_assert_cmpuint (place.torn, ==, 1);
}

static void
test_keeps (Fixture *f, gconstpointer data)
{
  static const guint64 places[] = { 1, 9, 10, 4711, G_MAXUINT64, 0 };

  (void) data;
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      g_autoptr (DdebugCursor) cursor = lock_new (f);
      struct stat st;

      if (i > 0)
        assert_place (f, cursor, places[i - 1]);
      set_place (f, cursor, places[i]);
      unlock (cursor, 0);
      g_assert_cmpint (stat (f->path, &st), ==, 0);
      g_assert_cmpint (st.st_mode & 07777, ==, 0600);
    }
}

/* The file is what docs/log-format.md says. */
static void
test_format (Fixture *f, gconstpointer data)
{
  g_autoptr (DdebugCursor) cursor = lock_new (f);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autofree char *uuid = NULL;

  (void) data;
  set_place (f, cursor, 4711);
  unlock (cursor, 0);
  g_assert_true (g_key_file_load_from_file (file, f->path, G_KEY_FILE_NONE, NULL));
  uuid = g_key_file_get_string (file, "log", "uuid", NULL);
  g_assert_cmpstr (uuid, ==, "abababab-abab-abab-abab-abababababab");
  g_assert_cmpuint (g_key_file_get_uint64 (file, f->life.name, "stream 5", NULL), ==, 4711);
  g_assert_cmpuint (g_key_file_get_uint64 (file, f->life.name, "epoch", NULL), ==, 3);
  g_assert_cmpuint (g_key_file_get_uint64 (file, f->life.name, "recursed 5", NULL), ==, 2);
  g_assert_cmpuint (g_key_file_get_uint64 (file, f->life.name, "torn 5", NULL), ==, 1);
}

static void
test_shared (Fixture *f, gconstpointer data)
{
  g_autoptr (DdebugCursor) a = lock_new (f);
  g_autoptr (DdebugCursor) b = ddebug_cursor_new (f->log, f->uuid);

  (void) data;
  g_assert_cmpint (ddebug_cursor_lock (b, NULL), ==, DDEBUG_CURSOR_BUSY);
  g_assert_cmpint (ddebug_cursor_lock (b, NULL), ==, DDEBUG_CURSOR_BUSY);
  set_place (f, a, 10);
  unlock (a, 0);
  g_assert_cmpint (ddebug_cursor_lock (b, NULL), ==, DDEBUG_CURSOR_LOCKED);
  assert_place (f, b, 10);
  set_place (f, b, 20);
  g_assert_cmpint (ddebug_cursor_lock (a, NULL), ==, DDEBUG_CURSOR_BUSY);
  unlock (b, 0);
  g_assert_cmpint (ddebug_cursor_lock (a, NULL), ==, DDEBUG_CURSOR_LOCKED);
  assert_place (f, a, 20);
  unlock (a, 0);
}

/* A consumer that goes away without a word leaves the lock, and the last place that was written. */
static void
test_dies (Fixture *f, gconstpointer data)
{
  g_autoptr (DdebugCursor) b = NULL;
  DdebugCursor *a = lock_new (f);

  (void) data;
  set_place (f, a, 10);
  unlock (a, 0);
  g_assert_cmpint (ddebug_cursor_lock (a, NULL), ==, DDEBUG_CURSOR_LOCKED);
  set_place (f, a, 11);
  ddebug_cursor_free (a);
  b = lock_new (f);
  assert_place (f, b, 10);
}

static void
test_other_log (Fixture *f, gconstpointer data)
{
  g_autoptr (DdebugCursor) a = lock_new (f);
  g_autoptr (DdebugCursor) b = NULL;
  g_autoptr (GError) error = NULL;
  DdebugPlace place;

  (void) data;
  set_place (f, a, 10);
  unlock (a, 0);
  f->uuid[0] = 0;
  b = lock_new (f);
  /* it begins anew for the other log */
  g_assert_false (ddebug_cursor_get (b, &f->stream, &place));
  set_place (f, b, 3);
  unlock (b, 0);
  /* and is not taken back by who had it before */
  g_assert_cmpint (ddebug_cursor_lock (a, &error), ==, DDEBUG_CURSOR_ERROR);
  g_assert_error (error, DDEBUG_ERROR, DDEBUG_ERROR_REFUSED);
  g_assert_cmpint (ddebug_cursor_lock (b, NULL), ==, DDEBUG_CURSOR_LOCKED);
  assert_place (f, b, 3);
}

static void
test_forgets (Fixture *f, gconstpointer data)
{
  g_autoptr (DdebugCursor) a = lock_new (f);
  g_autoptr (DdebugCursor) b = NULL;
  DdebugPlace place;

  (void) data;
  set_place (f, a, 10);
  unlock (a, 3);
  g_assert_cmpint (ddebug_cursor_lock (a, NULL), ==, DDEBUG_CURSOR_LOCKED);
  /* the rings went on in epoch 4 */
  f->life.epoch = 4;
  ddebug_cursor_touch (a, &f->life);
  unlock (a, 4);
  b = lock_new (f);
  assert_place (f, b, 10);
  set_place (f, b, 11);
  unlock (b, 5);
  g_assert_cmpint (ddebug_cursor_lock (a, NULL), ==, DDEBUG_CURSOR_LOCKED);
  g_assert_false (ddebug_cursor_get (a, &f->stream, &place));
}

static void
assert_refused (Fixture *f, DdebugError code)
{
  g_autoptr (DdebugCursor) cursor = ddebug_cursor_new (f->log, f->uuid);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (ddebug_cursor_lock (cursor, &error), ==, DDEBUG_CURSOR_ERROR);
  g_assert_error (error, DDEBUG_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, f->path));
}

static void
test_refusals (Fixture *f, gconstpointer data)
{
  static const char *const rubbish[] = {
    "rubbish",
    "[log]\n",
    "[log]\nuuid=abababab-abab-abab-abab-abababababab\n[x]\nstream 0=a\n",
    "[log]\nuuid=abababab-abab-abab-abab-abababababab\n[x]\nstream 0=-1\n",
    "[log]\nuuid=abababab-abab-abab-abab-abababababab\n[x]\nstream=1\n",
    "[log]\nuuid=abababab-abab-abab-abab-abababababab\n[x]\nstream 99999999999=1\n",
    "[log]\nuuid=abababab-abab-abab-abab-abababababab\n[x]\nother 0=1\n",
    "[log]\nuuid=abababab-abab-abab-abab-abababababab\n[x]\nstream 0=18446744073709551616\n",
  };
  g_autofree char *there = g_build_filename (f->dir, "there", NULL);

  (void) data;
  for (guint i = 0; i < G_N_ELEMENTS (rubbish); i++)
    {
      g_autofree char *after = NULL;

      g_assert_true (g_file_set_contents (f->path, rubbish[i], -1, NULL));
      assert_refused (f, DDEBUG_ERROR_DAMAGED);
      g_assert_true (g_file_get_contents (f->path, &after, NULL, NULL));
      g_assert_cmpstr (after, ==, rubbish[i]);
    }
  g_unlink (f->path);
  g_assert_true (g_file_set_contents (there, "precious", -1, NULL));
  g_assert_cmpint (symlink (there, f->path), ==, 0);
  assert_refused (f, DDEBUG_ERROR_NOT_A_FILE);
  g_unlink (f->path);
  g_assert_cmpint (link (there, f->path), ==, 0);
  assert_refused (f, DDEBUG_ERROR_NOT_A_FILE);
  g_unlink (f->path);
  g_assert_cmpint (mkfifo (f->path, 0600), ==, 0);
  assert_refused (f, DDEBUG_ERROR_NOT_A_FILE);
  g_unlink (f->path);
  g_assert_cmpint (g_mkdir (f->path, 0700), ==, 0);
  assert_refused (f, DDEBUG_ERROR_NOT_A_FILE);
}

#define ADD(name, func) g_test_add ("/cursor/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("places are kept", test_keeps);
  ADD ("the file is as documented", test_format);
  ADD ("consumers take turns", test_shared);
  ADD ("a consumer that dies leaves lock and place", test_dies);
  ADD ("another log begins anew", test_other_log);
  ADD ("lives that are not in the log are forgotten", test_forgets);
  ADD ("what is no cursor is refused and left alone", test_refusals);
  return g_test_run ();
}
