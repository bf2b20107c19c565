/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nothing that a guest, a log or a file's name can hold reaches a terminal or a pipe as a control; --raw never reaches a terminal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "canned.h"
#include "run-tool.h"

typedef struct
{
  char *dir;
  char *path;
  GPtrArray *texts;         /* of GString: the messages that are in the log */
} Fixture;

/* ---- what is hostile ---- */

static const char *const sequences[] = {
  "\x1b[2J\x1b[H\x1b[31m",                              /* CSI: clear, home, red */
  "\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x1b\\",           /* OSC: title, clipboard */
  "\x1bP$q\"p\x1b\\\x1b_G\x1b\\\x1b^x\x1b\\",           /* DCS, APC, PM */
  "\xc2\x9b" "31m\xc2\x90q\xc2\x9c\xc2\x9d" "0;t\xc2\x9c", /* the same in C1, as UTF-8 */
  "\x9b" "31m\x90q\x9c",                                /* and as bytes */
  "[    0.000001] genuine\r[    9.999999] forged",
  "first\r\n-- 7 messages lost --\n\n[    1.000000] third",
  "back\x08\x08\x08\x08space\x7f\x7f",
  "\xff\xfe\xc0\x80\xc1\xbf\xe0\x80\x80\xed\xa0\x80\xf4\x90\x80\x80\xf8\x88\x80\x80\x80", /* no UTF-8 */
  "\xe2\x80", "\xf0\x9f\x98", "\xc2",                   /* cut */
  "\\x1b[31m \\ \\x5c",                                 /* looks escaped */
};

/* Bidirectional and other controls, separators, what takes no room. */
static const gunichar characters[] = {
  0x00ad, 0x034f, 0x061c, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x180e, 0x200b, 0x200c, 0x200d, 0x200e, 0x200f,
  0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2060, 0x2061, 0x2062, 0x2063, 0x2064, 0x2066,
  0x2067, 0x2068, 0x2069, 0x206a, 0x206f, 0x3164, 0xfe00, 0xfe0f, 0xfeff, 0xffa0, 0xfff9, 0xfffa, 0xfffb,
  0xfffe, 0xffff, 0xe0001, 0xe0020, 0xe007f, 0xe0100, 0x10ffff,
};

static void
add_text (Fixture *f, const char *bytes, gsize len)
{
  g_ptr_array_add (f->texts, g_string_new_len (bytes, len));
}

static void
add_character (Fixture *f, gunichar c)
{
  char text[16] = "a";
  int n = 1 + g_unichar_to_utf8 (c, text + 1);

  text[n] = 'b';
  add_text (f, text, n + 1);
}

static void
make_texts (Fixture *f)
{
  /* the longest that a record can carry */
  const gsize longest = DDEBUG_REC_LEN_MASK - sizeof (struct ddebug_rec_text);
  static const char fillings[] = "x\n\r\t\x1b\x9b\\ ";

  for (guint c = 0; c < 256; c++)
    add_text (f, (char[]){ 'a', c, 'b' }, 3);
  for (guint c = 0; c < 256; c++)
    add_text (f, (char[]){ c }, 1);
  for (gunichar c = 0x80; c < 0xa0; c++)
    add_character (f, c);
  for (guint i = 0; i < G_N_ELEMENTS (characters); i++)
    add_character (f, characters[i]);
  for (guint i = 0; i < G_N_ELEMENTS (sequences); i++)
    add_text (f, sequences[i], strlen (sequences[i]));
  for (guint i = 0; i < sizeof fillings - 1; i++)
    {
      g_autofree char *text = g_strnfill (longest, fillings[i]);

      add_text (f, text, longest);
    }
}

/* ---- a log of it ---- */

/* A callsite whose names are @text, as much of it as an entry takes. */
static void
add_callsite (Canned *c, guint32 id, const GString *text)
{
  struct ddebug_log_chunk chunk = { .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_DICT), .epoch = GUINT32_TO_LE (1) };
  gsize n = MIN (text->len, 500), names = 4 * n;
  guint len = (sizeof (struct ddebug_callsite) + names + 7) & ~7u;
  g_autofree guint8 *entry = g_malloc0 (len);
  struct ddebug_callsite site = {
    .len = GUINT32_TO_LE (len),
    .id = GUINT32_TO_LE (id),
    .module_len = GUINT16_TO_LE (n),
    .function_len = GUINT16_TO_LE (n),
    .file_len = GUINT16_TO_LE (n),
    .format_len = GUINT16_TO_LE (n),
  };

  memcpy (entry, &site, sizeof site);
  for (guint i = 0; i < 4; i++)
    memcpy (entry + sizeof site + i * n, text->str, n);
  canned_chunk (c, chunk, entry, len);
}

static void
add_attach (Canned *c, guint32 epoch)
{
  struct ddebug_log_chunk chunk = { .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_ATTACH), .epoch = GUINT32_TO_LE (epoch) };
  struct virtio_ddebug_attach attach = { .instance = GUINT64_TO_LE (epoch) };

  memcpy (attach.release, "\x1b[31m\r\n\x9b\xe2\x80\xae\xff", 13);
  memset (attach.driver, 0x1b, sizeof attach.driver);
  canned_chunk (c, chunk, &attach, sizeof attach);
}

static void
write_log (Fixture *f)
{
  g_autoptr (Canned) c = canned_new (12);
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  guint slot = 3;

  memcpy (c->super.vm_name, "\x1b]0;vm\x07\r\xc2\x9b\xe2\x80\xae", 13);
  memset (c->super.writer, 0x9b, sizeof c->super.writer);
  canned_super (c, 2);
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  add_attach (c, 1);
  for (guint i = 0; i < f->texts->len; i++)
    {
      if (c->off[DDEBUG_LOG_SEG_DICT] > c->seg_size - 4096)
        canned_segment (c, 1, DDEBUG_LOG_SEG_DICT, 1);
      add_callsite (c, i + 1, g_ptr_array_index (f->texts, i));
    }
  p->shift = 14;
  canned_segment (c, 2, DDEBUG_LOG_SEG_DATA, 1);
  for (guint i = 0; i < f->texts->len; i++)
    {
      const GString *text = g_ptr_array_index (f->texts, i);

      producer_say (p, 1000 * i, i + 1, text->str, text->len);
      if (c->off[DDEBUG_LOG_SEG_DATA] > c->seg_size - 4 * 16384)
        canned_segment (c, slot++, DDEBUG_LOG_SEG_DATA, 1);
      canned_take (c, p, 1, 1);
    }
  canned_state (c, 1);
  canned_write (c, f->path);
}

static void
free_text (gpointer text)
{
  g_string_free (text, TRUE);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  (void) data;
  f->dir = scratch_new ();
  f->path = g_build_filename (f->dir, "log", NULL);
  f->texts = g_ptr_array_new_with_free_func (free_text);
  make_texts (f);
  write_log (f);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  (void) data;
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
  g_ptr_array_unref (f->texts);
  g_free (f->path);
  scratch_free (f->dir);
}

/* ---- what comes out ---- */

/* By the tables of Unicode, not by what the tool takes for safe. */
static gboolean
is_safe (gunichar c, gboolean utf8)
{
  if (c < 0x80)
    return (c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t';
  if (!utf8 || c < 0xa0)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (characters); i++)
    if (c == characters[i])
      return FALSE;
  return g_unichar_isgraph (c) || g_unichar_type (c) == G_UNICODE_SPACE_SEPARATOR;
}

static void
assert_safe (const char *text, gsize len, gboolean utf8)
{
  g_assert_true (g_utf8_validate_len (text, len, NULL));
  for (const char *p = text; p < text + len; p = g_utf8_next_char (p))
    if (!is_safe (g_utf8_get_char (p), utf8))
      g_error ("U+%04X is in the output: %.60s", g_utf8_get_char (p), MAX (text, p - 30));
}

static guint
count_messages (const char *text)
{
  guint n = g_str_has_prefix (text, "[");

  while ((text = strstr (text, "\n[")))
    {
      n++;
      text++;
    }
  return n;
}

/* What the tool prints on a terminal that translates nothing; standard error goes there, too. */
static GString *
run_on_terminal (int *status, const char *option, const char *path)
{
  const char *argv[] = { g_getenv ("DDEBUG_HOST"), option, path, NULL };
  GString *out = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  struct termios mode;
  int master, slave, code;
  char buf[4096];
  gssize n;
  GPid pid;

  g_assert_cmpint (openpty (&master, &slave, NULL, NULL, NULL), ==, 0);
  g_assert_cmpint (tcgetattr (slave, &mode), ==, 0);
  cfmakeraw (&mode);
  g_assert_cmpint (tcsetattr (slave, TCSANOW, &mode), ==, 0);
  g_assert_cmpint (fcntl (master, F_SETFD, FD_CLOEXEC), ==, 0);
  g_spawn_async_with_fds (NULL, (char **) argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, -1, slave, slave,
                          &error);
  g_assert_no_error (error);
  close (slave);
  /* EIO: nobody has the other side any more */
  while ((n = read (master, buf, sizeof buf)) > 0)
    g_string_append_len (out, buf, n);
  close (master);
  g_assert_cmpint (waitpid (pid, &code, 0), ==, pid);
  *status = WIFEXITED (code) ? WEXITSTATUS (code) : 128 + WTERMSIG (code);
  return out;
}

static void
check_option (Fixture *f, const char *option, gboolean utf8)
{
  Result piped = tool_run (option, f->path, NULL);
  g_autoptr (GString) shown = NULL;
  int status;

  g_assert_cmpint (piped.status, ==, 0);
  g_assert_cmpstr (piped.err, ==, "");
  assert_safe (piped.out, strlen (piped.out), utf8);
  if (strcmp (option, "--info") != 0)
    g_assert_cmpuint (count_messages (piped.out), ==, f->texts->len);
  /* --pipe consumes */
  if (strcmp (option, "--pipe") != 0)
    {
      shown = run_on_terminal (&status, option, f->path);
      g_assert_cmpint (status, ==, 0);
      g_assert_cmpmem (shown->str, shown->len, piped.out, strlen (piped.out));
    }
  result_clear (&piped);
}

static void
test_options (Fixture *f, gconstpointer data)
{
  static const char *const options[] = { "--trace", "--callsite", "--quiet", "--follow", "--info", "--pipe" };

  (void) data;
  for (guint i = 0; i < G_N_ELEMENTS (options); i++)
    check_option (f, options[i], TRUE);
}

/* Where the terminal understands no UTF-8, nothing but ASCII. */
static void
test_ascii (Fixture *f, gconstpointer data)
{
  (void) data;
  g_setenv ("LC_ALL", "C", TRUE);
  check_option (f, "--trace", FALSE);
  check_option (f, "--callsite", FALSE);
  check_option (f, "--info", FALSE);
}

static void
test_consumed_on_terminal (Fixture *f, gconstpointer data)
{
  g_autoptr (GString) shown = NULL;
  int status;

  (void) data;
  shown = run_on_terminal (&status, "--pipe", f->path);
  g_assert_cmpint (status, ==, 0);
  assert_safe (shown->str, shown->len, TRUE);
  g_assert_cmpuint (count_messages (shown->str), ==, f->texts->len);
}

/* Names of files, and options, are said in errors. */
static void
test_errors (Fixture *f, gconstpointer data)
{
  (void) data;
  for (guint i = 0; i < G_N_ELEMENTS (sequences); i++)
    {
      g_autofree char *path = g_build_filename (f->dir, sequences[i], NULL);
      g_autofree char *option = g_strconcat ("--", sequences[i], NULL);
      g_autofree char *size = g_strconcat ("--size=", sequences[i], NULL);
      const char *options[] = { "--trace", "--info", option, size };

      for (guint j = 0; j < G_N_ELEMENTS (options); j++)
        {
          g_autoptr (GString) shown = NULL;
          int status;

          shown = run_on_terminal (&status, options[j], path);
          g_assert_cmpint (status, !=, 0);
          g_assert_cmpuint (shown->len, >, 0);
          assert_safe (shown->str, shown->len, TRUE);
        }
    }
}

/* Two boots of a guest, and damage: what makes notices. */
static void
write_eventful_log (const char *path)
{
  g_autoptr (Canned) c = canned_new (8);

  memcpy (c->super.vm_name, "\x1b]0;vm\x07\r\xc2\x9b\xe2\x80\xae", 13);
  canned_super (c, 2);
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  for (guint32 epoch = 1; epoch <= 2; epoch++)
    {
      g_autoptr (Producer) p = producer_new (0, 0, 200);

      p->recursed = 3;
      add_attach (c, epoch);
      for (guint i = 0; i < 3; i++)
        {
          producer_say (p, 1000 * i, 9, "\x1b[31m", 5);
          canned_take (c, p, epoch, epoch);
        }
      canned_event (c, epoch, DDEBUG_LOG_EVENT_IO_LOST, 7, 700);
    }
  c->bytes[canned_last (c) - 1000] ^= 1;
  canned_write (c, path);
}

/* A terminal, where the tool succeeds or says why not, in one line that has @text in it. */
static void
check_shown (const char *option, const char *path, int wanted, const char *text)
{
  g_autoptr (GString) shown = NULL;
  int status;

  shown = run_on_terminal (&status, option, path);
  g_assert_cmpint (status, ==, wanted);
  assert_safe (shown->str, shown->len, TRUE);
  if (!strstr (shown->str, text))
    g_error ("\"%s\" is not in: %s", text, shown->str);
}

/* A log whose name is hostile: all that is said of it, what is in it and what is wrong with it. */
static void
check_path (Fixture *f, const char *name)
{
  g_autofree char *path = g_build_filename (f->dir, name, NULL);
  g_autofree char *cursor = g_strconcat (path, ".cursor", NULL);
  g_autofree char *within = g_build_filename (path, "log", NULL);
  g_autofree char *missing = g_build_filename (f->dir, "none", name, NULL);

  write_eventful_log (path);
  check_shown ("--trace", path, 0, "-- epoch 2: kernel \\x1b[31m");
  check_shown ("--trace", path, 0, "log damaged");
  check_shown ("--follow", path, 0, "-- epoch 2: kernel \\x1b[31m");
  check_shown ("--info", path, 0, "\nvm:        \\x1b]0;vm\\x07\\x0d");
  check_shown ("--pipe", path, 0, "-- 7 chunks (700 bytes)");
  check_shown ("--size", path, 0, "(1.1 MiB)");
  g_assert_true (g_file_set_contents (cursor, "\x1b[2J\r", -1, NULL));
  check_shown ("--pipe", path, 3, ".cursor: ");
  check_shown ("--size=2M", path, 0, "MiB)");
  check_shown ("--clear", path, 0, "");
  g_assert_cmpint (truncate (path, 70000), ==, 0);
  check_shown ("--trace", path, 0, "was cut short");
  check_shown ("--info", path, 0, "cut short to 70000");
  g_assert_true (g_file_set_contents (path, "\x1b[2J\r", -1, NULL));
  check_shown ("--trace", path, 3, "is not a virtio-ddebug log");
  check_shown ("--clear", path, 3, ": ");
  check_shown ("-w", within, 4, ": ");
  check_shown ("-w", missing, 4, "cannot watch for");
  check_shown ("--size=2M", missing, 4, ": ");
  g_assert_cmpint (unlink (path), ==, 0);
  g_assert_cmpint (symlink ("\x1b[2J", path), ==, 0);
  check_shown ("--trace", path, 4, "no such file");
  g_assert_cmpint (unlink (path), ==, 0);
  g_assert_cmpint (unlink (cursor), ==, 0);
}

static void
test_paths (Fixture *f, gconstpointer data)
{
  (void) data;
  for (guint i = 0; i < G_N_ELEMENTS (sequences); i++)
    check_path (f, sequences[i]);
}

static void
test_raw (Fixture *f, gconstpointer data)
{
  g_autofree char *out = g_build_filename (f->dir, "out", NULL);
  g_autofree char *quoted = g_shell_quote (f->path);
  g_autofree char *command = g_strdup_printf ("\"$DDEBUG_HOST\" --raw %s | cat >%s", quoted, out);
  const char *argv[] = { "/bin/sh", "-c", command, NULL };
  g_autoptr (GString) expected = g_string_new (NULL);
  g_autofree char *got = NULL;
  gsize len;
  int status;

  (void) data;
  g_assert_true (g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status, NULL));
  g_assert_cmpint (status, ==, 0);
  for (guint i = 0; i < f->texts->len; i++)
    {
      const GString *text = g_ptr_array_index (f->texts, i);

      g_string_append_printf (expected, "[    0.%06u] ", i);
      g_string_append_len (expected, text->str, text->len);
      g_string_append_c (expected, '\n');
    }
  g_assert_true (g_file_get_contents (out, &got, &len, NULL));
  g_assert_cmpmem (got, len, expected->str, expected->len);
}

static void
test_raw_refused (Fixture *f, gconstpointer data)
{
  g_autoptr (GString) shown = NULL;
  Result result;
  int status;

  (void) data;
  shown = run_on_terminal (&status, "--raw", f->path);
  g_assert_cmpint (status, ==, 2);
  g_assert_nonnull (strstr (shown->str, "--raw: standard output is a terminal"));
  g_assert_nonnull (strstr (shown->str, "redirect it"));
  g_assert_cmpuint (count_messages (shown->str), ==, 0);
  assert_safe (shown->str, shown->len, TRUE);
  result = tool_run ("--raw", "--info", f->path, NULL);
  g_assert_cmpint (result.status, ==, 2);
  g_assert_nonnull (strstr (result.err, "--raw works only with --trace, --follow and --pipe"));
  g_assert_cmpstr (result.out, ==, "");
  result_clear (&result);
}

#define ADD(name, func) g_test_add ("/safety/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("messages, names and VMs, on a pipe and on a terminal", test_options);
  ADD ("nothing but ASCII where the locale has no UTF-8", test_ascii);
  ADD ("what is consumed on a terminal", test_consumed_on_terminal);
  ADD ("errors that name files and options", test_errors);
  ADD ("logs with hostile names, notices, and what can be wrong", test_paths);
  ADD ("--raw is the guest's bytes", test_raw);
  ADD ("--raw refuses a terminal", test_raw_refused);
  return g_test_run ();
}
