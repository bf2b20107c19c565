/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cursor keeps places exactly, for one consumer at a time, and for its own log only. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "canned.h"
#include "ddebug-cursor.h"
#include "ddebug-error.h"

typedef struct
{
  char *dir;
  char *log;
  char *path;
  guint8 uuid[16];
  DdebugInstance instance;
  DdebugMergerStream stream;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  (void) data;
  f->dir = scratch_new ();
  f->log = g_build_filename (f->dir, "log", NULL);
  f->path = g_strconcat (f->log, ".cursor", NULL);
  memset (f->uuid, 0xab, sizeof f->uuid);
  f->instance.name = (char *) "instance 0123456789abcdef";
  f->instance.epoch = 3;
  f->stream.instance = &f->instance;
  f->stream.id = 5;
}

static DdebugAccess mine;   /* of a log of the user who runs the tests */

/* An errno with which pread() and pwrite() fail; 0: they do not. */
static int failing_read, failing_write;

ssize_t
pread (int fd, void *bytes, size_t n, off_t at)
{
  errno = failing_read;
  return failing_read ? -1 : syscall (SYS_pread64, fd, bytes, n, at);
}

ssize_t
pwrite (int fd, const void *bytes, size_t n, off_t at)
{
  errno = failing_write;
  return failing_write ? -1 : syscall (SYS_pwrite64, fd, bytes, n, at);
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
  DdebugCursor *cursor = ddebug_cursor_new (f->log, f->uuid, &mine);
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
  DdebugPlace place = { .next = next, .recursed = 2, .torn = 1, .nostream = 7, .missed = 3 };

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
  g_assert_cmpuint (place.nostream, ==, 7);
  g_assert_cmpuint (place.missed, ==, 3);
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

/* ---- the file, by docs/log-format.md ---- */

/* The number of @key in the head. */
static guint64
head_number (const char *contents, const char *key)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();

  g_assert_true (g_key_file_load_from_data (file, contents, 4096, G_KEY_FILE_NONE, NULL));
  return g_key_file_get_uint64 (file, "places", key, NULL);
}

static void
test_format (Fixture *f, gconstpointer data)
{
  g_autoptr (DdebugCursor) cursor = lock_new (f);

  (void) data;
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr (GKeyFile) head = g_key_file_new ();
      g_autoptr (GKeyFile) places = g_key_file_new ();
      g_autofree char *contents = NULL;
      g_autofree char *uuid = NULL;
      guint64 off, len;
      gsize size;

      set_place (f, cursor, 4711 + i);
      if (i % 2)
        {
          unlock (cursor, 0);
          g_assert_cmpint (ddebug_cursor_lock (cursor, NULL), ==, DDEBUG_CURSOR_LOCKED);
        }
      else
        g_assert_true (ddebug_cursor_save (cursor, NULL));
      g_assert_true (g_file_get_contents (f->path, &contents, &size, NULL));
      g_assert_true (g_key_file_load_from_data (head, contents, 4096, G_KEY_FILE_NONE, NULL));
      uuid = g_key_file_get_string (head, "log", "uuid", NULL);
      g_assert_cmpstr (uuid, ==, "abababab-abab-abab-abab-abababababab");
      off = head_number (contents, "offset");
      len = head_number (contents, "length");
      g_assert_cmpuint (head_number (contents, "generation"), ==, i + 1);
      g_assert_cmpuint (off, >=, 4096);
      g_assert_cmpuint (off + len, <=, size);
      g_assert_cmpuint (head_number (contents, "crc"), ==, canned_crc (contents + off, len));
      g_assert_true (g_key_file_load_from_data (places, contents + off, len, G_KEY_FILE_NONE, NULL));
      g_assert_cmpuint (g_key_file_get_uint64 (places, f->instance.name, "stream 5", NULL), ==, 4711 + i);
      g_assert_cmpuint (g_key_file_get_uint64 (places, f->instance.name, "epoch", NULL), ==, 3);
      g_assert_cmpuint (g_key_file_get_uint64 (places, f->instance.name, "recursed 5", NULL), ==, 2);
      g_assert_cmpuint (g_key_file_get_uint64 (places, f->instance.name, "torn 5", NULL), ==, 1);
      /* two generations of places fit, whatever is written */
      g_assert_cmpuint (size, <=, 4096 + 2 * len + 64);
    }
  unlock (cursor, 0);
}

/*
 * A process that is killed in a write has written a part of it, from its begin.
 * However much of places and head it was, what was saved before counts, or all of it.
 */
static void
test_killed_in_write (Fixture *f, gconstpointer data)
{
  enum { STREAMS = 500 };
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  gsize size_before, size_after, heads = 0;
  guint64 off, len;

  (void) data;
  for (guint round = 1; round <= 2; round++)
    {
      g_autoptr (DdebugCursor) cursor = lock_new (f);

      for (f->stream.id = 0; f->stream.id < STREAMS; f->stream.id++)
        set_place (f, cursor, round == 1 ? 1 : 1000000007);
      unlock (cursor, 0);
      g_assert_true (round == 1 ? g_file_get_contents (f->path, &before, &size_before, NULL)
                                : g_file_get_contents (f->path, &after, &size_after, NULL));
    }
  off = head_number (after, "offset");
  len = head_number (after, "length");
  g_assert_cmpuint (len, >, 3 * 4096);
  g_assert_cmpuint (off, !=, head_number (before, "offset"));
  for (guint64 step = 0; step <= len / 97 + 2; step++)
    {
      g_autoptr (DdebugCursor) cursor = NULL;
      guint64 part = MIN (step * 97, len);
      gboolean with_head = step == len / 97 + 2;
      g_autofree char *torn = g_malloc0 (size_after);

      memcpy (torn, before, size_before);
      memcpy (torn + off, after + off, part);
      if (with_head)
        memcpy (torn, after, 4096);
      heads += with_head;
      g_assert_true (g_file_set_contents (f->path, torn, with_head ? size_after : MAX (size_before, off + part), NULL));
      cursor = lock_new (f);
      for (f->stream.id = 0; f->stream.id < STREAMS; f->stream.id++)
        assert_place (f, cursor, with_head ? 1000000007 : 1);
      unlock (cursor, 0);
    }
  g_assert_cmpuint (heads, ==, 1);
  /* killed before the first head was there: nothing was consumed */
  memset (after, 0, 4096);
  g_assert_true (g_file_set_contents (f->path, after, size_after, NULL));
  {
    g_autoptr (DdebugCursor) cursor = lock_new (f);
    DdebugPlace place;

    g_assert_false (ddebug_cursor_get (cursor, &f->stream, &place));
    set_place (f, cursor, 5);
    unlock (cursor, 0);
  }
}

static void
test_shared (Fixture *f, gconstpointer data)
{
  g_autoptr (DdebugCursor) a = lock_new (f);
  g_autoptr (DdebugCursor) b = ddebug_cursor_new (f->log, f->uuid, &mine);

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
  f->instance.epoch = 4;
  ddebug_cursor_touch (a, &f->instance);
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
  g_autoptr (DdebugCursor) cursor = ddebug_cursor_new (f->log, f->uuid, &mine);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (ddebug_cursor_lock (cursor, &error), ==, DDEBUG_CURSOR_ERROR);
  g_assert_error (error, DDEBUG_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, f->path));
}

/* A file with this head, and these places, whose checksum is right. */
static void
write_cursor (Fixture *f, const char *head, const char *places)
{
  g_autoptr (GString) text = g_string_new (NULL);

  g_string_append_printf (text, "[log]\nuuid=abababab-abab-abab-abab-abababababab\n[places]\n%s\n", head);
  if (!head)
    {
      g_string_truncate (text, 0);
      g_string_append_printf (text,
                              "[log]\nuuid=abababab-abab-abab-abab-abababababab\n[places]\ngeneration=1\n"
                              "offset=4096\nlength=%u\ncrc=%u\n",
                              (guint) strlen (places), canned_crc (places, strlen (places)));
    }
  while (text->len < 4096)
    g_string_append_c (text, '\n');
  g_string_append (text, places);
  g_assert_true (g_file_set_contents (f->path, text->str, text->len, NULL));
}

static void
assert_damaged (Fixture *f)
{
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  gsize size, size_after;

  g_assert_true (g_file_get_contents (f->path, &before, &size, NULL));
  assert_refused (f, DDEBUG_ERROR_DAMAGED);
  g_assert_true (g_file_get_contents (f->path, &after, &size_after, NULL));
  g_assert_cmpmem (after, size_after, before, size);
}

static void
test_refusals (Fixture *f, gconstpointer data)
{
  static const char *const rubbish[] = {
    "rubbish",
    "[log]\n",
    "[log]\nuuid=abababab-abab-abab-abab-abababababab\n",
    "[log]\nuuid=abababab-abab-abab-abab-abababababab\n[x]\nstream 0=1\n",
  };
  static const char *const heads[] = {
    "generation=1\noffset=4096\nlength=0",
    "generation=1\noffset=4096\ncrc=0",
    "generation=1\noffset=0\nlength=4\ncrc=0",
    "generation=1\noffset=4095\nlength=1\ncrc=0",
    "generation=1\noffset=4097\nlength=4\ncrc=0",
    "generation=1\noffset=4096\nlength=5\ncrc=0",
    "generation=1\noffset=4096\nlength=4\ncrc=0",
    "generation=1\noffset=18446744073709551615\nlength=4\ncrc=0",
    "generation=1\noffset=4096\nlength=18446744073709551615\ncrc=0",
    "generation=1\noffset=4100\nlength=18446744073709551612\ncrc=0",
    "generation=-1\noffset=4096\nlength=4\ncrc=0",
    "generation=x\noffset=4096\nlength=4\ncrc=0",
  };
  static const char *const places[] = {
    "rubbish",
    "[x]\nstream 0=a\n",
    "[x]\nstream 0=-1\n",
    "[x]\nstream=1\n",
    "[x]\nstream 99999999999=1\n",
    "[x]\nother 0=1\n",
    "[x]\nstream 0=18446744073709551616\n",
  };
  g_autofree char *there = g_build_filename (f->dir, "there", NULL);

  (void) data;
  for (guint i = 0; i < G_N_ELEMENTS (rubbish); i++)
    {
      g_assert_true (g_file_set_contents (f->path, rubbish[i], -1, NULL));
      assert_damaged (f);
    }
  for (guint i = 0; i < G_N_ELEMENTS (heads); i++)
    {
      write_cursor (f, heads[i], "[x]\n");
      assert_damaged (f);
    }
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      write_cursor (f, NULL, places[i]);
      assert_damaged (f);
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
  g_rmdir (f->path);
  g_assert_cmpint (symlink ("/dev/null", f->path), ==, 0);
  assert_refused (f, DDEBUG_ERROR_NOT_A_FILE);
  g_unlink (f->path);
  /* one that is all hole, far larger than any cursor */
  g_assert_true (g_file_set_contents (f->path, "", 0, NULL));
  g_assert_cmpint (truncate (f->path, (off_t) 1 << 40), ==, 0);
  assert_refused (f, DDEBUG_ERROR_NOT_A_FILE);
  g_unlink (f->path);
  if (geteuid () == 0 && mknod (f->path, S_IFCHR | 0600, makedev (1, 3)) == 0)
    {
      assert_refused (f, DDEBUG_ERROR_NOT_A_FILE);
      g_unlink (f->path);
    }
}

/* A cursor of somebody who has nothing to do with the log, put there for us to find. */
static void
test_owners (Fixture *f, gconstpointer data)
{
  const struct
  {
    uid_t log, cursor;
    gboolean taken;
  } cases[] = {
    { 1000, 1000, TRUE }, { 1000, 0, TRUE }, { 1000, 1001, FALSE }, { 0, 1000, FALSE }, { 0, 0, TRUE },
  };

  (void) data;
  if (geteuid () != 0)
    {
      g_test_skip ("only root can give files to others");
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const DdebugAccess log = { cases[i].log, 0, 0600 };
      g_autoptr (DdebugCursor) cursor = ddebug_cursor_new (f->log, f->uuid, &log);
      g_autoptr (GError) error = NULL;

      g_assert_true (g_file_set_contents (f->path, "", 0, NULL));
      g_assert_cmpint (chown (f->path, cases[i].cursor, 0), ==, 0);
      if (cases[i].taken)
        {
          g_assert_cmpint (ddebug_cursor_lock (cursor, &error), ==, DDEBUG_CURSOR_LOCKED);
          unlock (cursor, 0);
          continue;
        }
      g_assert_cmpint (ddebug_cursor_lock (cursor, &error), ==, DDEBUG_CURSOR_ERROR);
      g_assert_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_A_FILE);
      g_assert_nonnull (strstr (error->message, "belongs to user"));
    }
}

/* What the kernel says is said, with the cursor's name. */
static void
test_io_errors (Fixture *f, gconstpointer data)
{
  DdebugCursor *cursor = lock_new (f);
  const DdebugPlace place = { .next = 1 };
  g_autofree char *full = g_strconcat (f->path, ": No space left on device", NULL);
  g_autofree char *broken = g_strconcat (f->path, ": Input/output error", NULL);
  g_autoptr (GError) error = NULL;

  (void) data;
  ddebug_cursor_set (cursor, &f->stream, &place);
  failing_write = ENOSPC;
  g_assert_false (ddebug_cursor_save (cursor, &error));
  failing_write = 0;
  g_assert_error (error, DDEBUG_ERROR, DDEBUG_ERROR_IO);
  g_assert_cmpstr (error->message, ==, full);
  g_clear_error (&error);
  unlock (cursor, 0);
  ddebug_cursor_free (cursor);
  cursor = ddebug_cursor_new (f->log, f->uuid, &mine);
  failing_read = EIO;
  g_assert_cmpint (ddebug_cursor_lock (cursor, &error), ==, DDEBUG_CURSOR_ERROR);
  failing_read = 0;
  g_assert_error (error, DDEBUG_ERROR, DDEBUG_ERROR_IO);
  g_assert_cmpstr (error->message, ==, broken);
  ddebug_cursor_free (cursor);
}

/* A cursor that root creates is for those who may use the log. */
static void
test_given_away (Fixture *f, gconstpointer data)
{
  const struct
  {
    mode_t log, cursor;
  } cases[] = { { 0600, 0600 }, { 0640, 0640 }, { 0664, 0664 }, { 04755, 0644 }, { 0440, 0640 } };
  struct stat st;

  (void) data;
  if (geteuid () != 0)
    {
      g_test_skip ("only root can give files to others");
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const DdebugAccess log = { 1000, 1001, cases[i].log };
      g_autoptr (DdebugCursor) cursor = ddebug_cursor_new (f->log, f->uuid, &log);

      g_assert_cmpint (ddebug_cursor_lock (cursor, NULL), ==, DDEBUG_CURSOR_LOCKED);
      unlock (cursor, 0);
      g_assert_cmpint (stat (f->path, &st), ==, 0);
      g_assert_cmpint (st.st_uid, ==, 1000);
      g_assert_cmpint (st.st_gid, ==, 1001);
      g_assert_cmphex (st.st_mode & 07777, ==, cases[i].cursor);
      g_unlink (f->path);
    }
  /* one that is there is left as it is */
  g_assert_true (g_file_set_contents (f->path, "", 0, NULL));
  g_assert_cmpint (chmod (f->path, 0600), ==, 0);
  {
    const DdebugAccess log = { 1000, 1001, 0644 };
    g_autoptr (DdebugCursor) cursor = ddebug_cursor_new (f->log, f->uuid, &log);

    g_assert_cmpint (ddebug_cursor_lock (cursor, NULL), ==, DDEBUG_CURSOR_LOCKED);
    unlock (cursor, 0);
    g_assert_cmpint (stat (f->path, &st), ==, 0);
    g_assert_cmpint (st.st_uid, ==, 0);
    g_assert_cmphex (st.st_mode & 07777, ==, 0600);
  }
}

/* "Remove it to consume the log from its oldest message": also while others wait for it. */
static void
test_removed (Fixture *f, gconstpointer data)
{
  g_autoptr (DdebugCursor) a = lock_new (f);
  g_autoptr (DdebugCursor) b = ddebug_cursor_new (f->log, f->uuid, &mine);

  (void) data;
  g_assert_cmpint (ddebug_cursor_lock (b, NULL), ==, DDEBUG_CURSOR_BUSY);
  g_unlink (f->path);
  g_assert_cmpint (ddebug_cursor_lock (b, NULL), ==, DDEBUG_CURSOR_LOCKED);
  unlock (b, 0);
  unlock (a, 0);
}

#define ADD(name, func) g_test_add ("/cursor/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  mine = (DdebugAccess){ getuid (), getgid (), 0600 };
  ADD ("errors of the kernel are told", test_io_errors);
  ADD ("a cursor that root creates belongs to the log's owner", test_given_away);
  ADD ("places are kept", test_keeps);
  ADD ("the file is as documented", test_format);
  ADD ("a write that is cut by a kill leaves the old places or the new", test_killed_in_write);
  ADD ("another user's cursor is refused", test_owners);
  ADD ("a cursor removed while it is waited for is made anew", test_removed);
  ADD ("consumers take turns", test_shared);
  ADD ("a consumer that dies leaves lock and place", test_dies);
  ADD ("another log begins anew", test_other_log);
  ADD ("instances that are not in the log are forgotten", test_forgets);
  ADD ("what is no cursor is refused and left alone", test_refusals);
  return g_test_run ();
}
