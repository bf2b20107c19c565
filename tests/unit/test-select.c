/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What --boot and its kin select: the languages by themselves, and what the tool then shows, consumes and says. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "canned.h"
#include "ddebug-boots.h"
#include "ddebug-log.h"
#include "run-tool.h"

#define MS G_GUINT64_CONSTANT (1000000)
#define SECOND (1000 * MS)

#define ID1 "11111111111111111111111111111111"
#define ID2 "22222222222222222222222222222222"
#define UUID2 "22222222-2222-2222-2222-222222222222"
#define ID3 "33333333333333333333333333333333"

typedef LogFolder Fixture;

/* ---- the log ---- */

/*
 * Three boots.  The first begins at 22:16:40, and has two CPUs; 2 messages of cpu 1 are
 * lost at 22:16:50.  The second, at 22:17:40, has two epochs, and oopses; QEMU is killed.
 * The third, of another QEMU, is at 22:18:40.
 */
static void
write_log (const char *path)
{
  g_autoptr (Canned) c = canned_new (8);
  g_autoptr (Producer) a0 = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (Producer) a1 = producer_new (4, 1, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (Producer) b0 = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (Producer) b2 = producer_new (8, 2, VIRTIO_DDEBUG_CTX_HARDIRQ);
  g_autoptr (Producer) c0 = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  guint64 begin = c->realtime;

  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 0);
  canned_event (c, 0, DDEBUG_LOG_EVENT_OPEN, 4711, 0);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (c, 1, 0x1111, 0x11);
  canned_dict (c, 1, 1, 42, "xhci_hcd", "xhci_irq");
  canned_dict (c, 1, 2, 15, "nfsd", "svc_open");
  producer_say (a0, 5 * SECOND, 1, "a0 Ding dong", 12);
  canned_take (c, a0, 1, 1);
  producer_say (a1, 6 * SECOND, 2, "a1 read", 7);
  canned_take (c, a1, 1, 1);
  a1->number += 2;
  producer_turn (a1, 15 * SECOND);
  producer_say (a1, 15 * SECOND, 2, "a1 read again", 13);
  c->realtime = begin + 10 * SECOND;
  canned_take (c, a1, 1, 2);
  canned_event (c, 1, DDEBUG_LOG_EVENT_IO_LOST, 3, 4096);
  canned_event (c, 1, DDEBUG_LOG_EVENT_RESET, 0, 0);
  canned_event (c, 1, DDEBUG_LOG_EVENT_MACHINE_RESET, 0, 0);

  c->realtime = begin + 60 * SECOND;
  canned_attach (c, 2, 0x2222, 0x22);
  canned_dict (c, 2, 1, 9, "nfsd", "svc_open");
  producer_say (b0, 5 * SECOND, 1, "b0 one", 6);
  canned_take (c, b0, 2, 3);
  canned_attach (c, 3, 0x2223, 0x22);
  producer_say (b2, 6 * SECOND, 1, "b2 two", 6);
  canned_take (c, b2, 3, 4);
  c->realtime += SECOND;
  canned_event (c, 3, DDEBUG_LOG_EVENT_NOTICE, VIRTIO_DDEBUG_NOTICE_OOPS, 2);

  c->realtime = begin + 120 * SECOND;
  canned_event (c, 3, DDEBUG_LOG_EVENT_OPEN, 4712, 0);
  canned_event (c, 3, DDEBUG_LOG_EVENT_MACHINE_RESET, 0, 0);
  canned_attach (c, 4, 0x3333, 0x33);
  producer_say (c0, SECOND, 0, "c0 newest", 9);
  canned_take (c, c0, 4, 5);
  canned_event (c, 4, DDEBUG_LOG_EVENT_CLOSE, 0, 0);
  canned_state (c, 5);
  canned_write (c, path);
}

#define ALL "a0 Ding dong|a1 read|a1 read again|b0 one|b2 two|c0 newest|"

/* Runs the tool as a shell would, on @path; returns the messages, each with a bar behind it. */
static char *
messages (const char *path, const char *options)
{
  g_autoptr (GRegex) stamp = g_regex_new ("^\\[ *\\d+\\.\\d+\\] ", G_REGEX_MULTILINE, 0, NULL);
  g_autofree char *line = g_strdup_printf ("\"$0\" --quiet %s \"$1\"", options);
  g_autofree char *text = NULL, *errors = NULL, *plain = NULL;
  char *argv[] = { "bash", "-c", line, (char *) g_getenv ("DDEBUG_HOST"), (char *) path, NULL };
  g_autoptr (GError) error = NULL;
  int status;

  g_test_message ("%s", options);
  g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &text, &errors, &status, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (errors, ==, "");
  g_assert_cmpint (status, ==, 0);
  plain = g_regex_replace_literal (stamp, text, -1, 0, "", 0, NULL);
  return g_strdelimit (g_steal_pointer (&plain), "\n", '|');
}

typedef struct
{
  const char *options;
  const char *messages;
} Case;

static void
check_cases (const char *path, const Case *cases, gsize n)
{
  for (gsize i = 0; i < n; i++)
    {
      g_autofree char *got = messages (path, cases[i].options);

      g_assert_cmpstr (got, ==, cases[i].messages);
    }
}

/* One line on standard error that has @text in it. */
static void
assert_says (Result r, int status, const char *text)
{
  g_assert_true (g_str_has_prefix (r.err, "ddebug-host: "));
  if (!strstr (r.err, text))
    g_error ("\"%s\" is not in: %s", text, r.err);
  g_assert_true (status == 2 || strchr (r.err, '\n') == r.err + strlen (r.err) - 1);
  g_assert_cmpint (r.status, ==, status);
  result_clear (&r);
}

/* ---- boots ---- */

static void
test_boot_names (void)
{
  static const struct
  {
    const char *text;
    gboolean by_id;
    gint64 offset;
  } good[] = {
    { "0", FALSE, 0 }, { "-0", FALSE, 0 }, { "+1", FALSE, 1 }, { "1", FALSE, 1 }, { "-2147483648", FALSE, G_MININT32 },
    { ID2, TRUE, 0 }, { UUID2, TRUE, 0 }, { ID2 "-1", TRUE, -1 }, { UUID2 "+12", TRUE, 12 }, { ID2 "-0", TRUE, 0 },
  };
  static const char *const bad[] = {
    "", " 1", "1 ", "1x", "x", "-", "+", "--1", "1.5", "2147483648", "-2147483649", "99999999999999999999",
    "2222222222222222222222222222222", ID2 "2", ID2 "1", ID2 "-", ID2 "+x", UUID2 "2", UUID2 "-", "-" ID2,
    "22222222-222222222222222222222222", "2222222-22222-2222-2222-222222222222", "g2222222222222222222222222222222",
  };
  DdebugBootName name;

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_test_message ("%s", good[i].text);
      g_assert_true (ddebug_boot_name_parse (good[i].text, &name));
      g_assert_cmpint (name.by_id, ==, good[i].by_id);
      g_assert_cmpint (name.offset, ==, good[i].offset);
      for (guint k = 0; good[i].by_id && k < sizeof name.id; k++)
        g_assert_cmphex (name.id[k], ==, 0x22);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_test_message ("%s", bad[i]);
      g_assert_false (ddebug_boot_name_parse (bad[i], &name));
    }
  g_assert_true (ddebug_boot_name_parse ("0123456789abcdefFEDCBA9876543210", &name));
  g_assert_cmpmem (name.id, 16, "\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10", 16);
}

#define A "a0 Ding dong|a1 read|a1 read again|"
#define B "b0 one|b2 two|"
#define C "c0 newest|"

static void
test_boots (Fixture *f, gconstpointer data)
{
  static const Case cases[] = {
    { "", ALL }, { "-b all", ALL }, { "--boot=all", ALL }, { "-b -1 --boot=all", ALL },
    { "-b", C }, { "-b 0", C }, { "-b0", C }, { "--boot", C }, { "--boot=0", C }, { "--boot 0", C }, { "-b -0", C },
    { "-tb", C }, { "-tb0", C }, { "-cqb", "?:?:?: c0 newest|" }, { "-b -t", C }, { "-b --", C }, { "-b 3", C },
    { "-b -1", B }, { "-b-1", B }, { "-tb-1", B }, { "-tb -1", B }, { "--boot=-1", B }, { "--boot -1", B }, { "-b 2", B },
    { "-b " ID2, B }, { "-b" UUID2, B }, { "--boot=" ID3 "-1", B }, { "--boot " ID1 "+1", B }, { "-b " UUID2 "+0", B },
    { "-b 1", A }, { "-b+1", A }, { "-b -2", A }, { "-b " ID1, A }, { "-b " ID3 "-2", A },
    { "-b 1 -b 2", B }, { "--follow -b", C }, { "--follow -b -1", B },
  };

  (void) data;
  write_log (f->path);
  check_cases (f->path, cases, G_N_ELEMENTS (cases));
}

static void
test_no_such_boot (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *boot;
    const char *text;
  } cases[] = {
    { "--boot=-3", "boot -3 is not in the log, which has 3: from -2 to 0, the newest, or from 1, the oldest, to 3" },
    { "--boot=4", "boot 4 is not in the log, which has 3" },
    { "--boot=" ID3 "+1", "boot " ID3 "+1 is not in the log, which has 3" },
    { "--boot=" ID1 "-1", "boot " ID1 "-1 is not in the log, which has 3" },
    { "--boot=12345678123456781234567812345678", "is not in the log; --list-boots names those that are" },
  };
  g_autoptr (Canned) empty = canned_new (4);
  Result r;

  (void) data;
  write_log (f->path);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      assert_says (tool_run (cases[i].boot, f->path, NULL), 6, cases[i].text);
      assert_says (tool_run ("--last-words", cases[i].boot, f->path, NULL), 6, cases[i].text);
      assert_says (tool_run ("--follow", cases[i].boot, f->path, NULL), 6, cases[i].text);
    }
  assert_says (tool_run ("--boot=x", f->path, NULL), 2, "--boot=x: not a boot; give 0 for the newest, -1 for");
  assert_says (tool_run ("--boot=", f->path, NULL), 2, "--boot=: not a boot");
  assert_says (tool_run ("-bx", f->path, NULL), 2, "--boot=x: not a boot");
  assert_says (tool_run ("--info", "-b", f->path, NULL), 2, "--boot goes with --trace");
  assert_says (tool_run ("-b", "1", NULL), 2, "no FILE");
  canned_write (empty, f->path);
  assert_says (tool_run ("-b", f->path, NULL), 6, "no boot is in the log yet");
  assert_says (tool_run ("--follow", "-b", "-1", f->path, NULL), 6, "no boot is in the log yet");
  r = tool_run ("--follow", "-b", f->path, NULL);
  g_assert_cmpstr (r.err, ==, "");
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
}

/* What is older is consumed; what is younger must not be. */
static void
test_pipe_of_a_boot (Fixture *f, gconstpointer data)
{
  g_autofree char *first = NULL, *second = NULL;

  (void) data;
  write_log (f->path);
  assert_says (tool_run ("--pipe", "-b", "-1", f->path, NULL), 6,
               "boot -1 is not the newest, and --pipe would consume unseen what came after it");
  first = messages (f->path, "--pipe -b");
  g_assert_cmpstr (first, ==, C);
  second = messages (f->path, "--pipe");
  g_assert_cmpstr (second, ==, "");
}

/* One has the boot, the other has not: it is said, and the one is shown. */
static void
test_boot_of_several_logs (Fixture *f, gconstpointer data)
{
  g_autofree char *other = g_build_filename (f->dir, "other", NULL);
  g_autoptr (Canned) empty = canned_new (4);
  Result r;

  (void) data;
  write_log (f->path);
  canned_write (empty, other);
  r = tool_run ("-q", "-b", other, f->path, NULL);
  g_assert_nonnull (strstr (r.err, "other: no boot is in the log yet"));
  g_assert_true (g_str_has_suffix (r.out, ": [    1.000000] c0 newest\n"));
  g_assert_true (strchr (r.out, '\n') == r.out + strlen (r.out) - 1);
  g_assert_cmpint (r.status, ==, 6);
  result_clear (&r);
}

static void
assert_last_words (const char *path, const char *boot, const char *end)
{
  g_autoptr (GRegex) age = g_regex_new ("\\d+ days? ago", 0, 0, NULL);
  Result r = tool_run ("--last-words", "--boot", boot, path, NULL);
  g_autofree char *got = g_regex_replace_literal (age, r.out, -1, 0, "N days ago", 0, NULL);

  g_assert_cmpstr (r.err, ==, "");
  g_assert_cmpstr (got, ==, end);
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
}

/* What became of the VM after each: reset, killed, ended. */
static void
test_last_words_of_a_boot (Fixture *f, gconstpointer data)
{
  (void) data;
  write_log (f->path);
  assert_last_words (f->path, "1",
                     "name:    canned\nboot:    11111111-1111-1111-1111-111111111111, kernel 6.1.0-56-amd64\n"
                     "VM:      the machine was reset or switched on, N days ago, 2023-11-14 22:16:50 +0000\n"
                     "QEMU:    went on with another boot\n"
                     "\nlast messages of cpu 0\n[    5.000000] a0 Ding dong\n"
                     "\nlast messages of cpu 1\n[    6.000000] a1 read\n[   15.000000] a1 read again\n");
  assert_last_words (f->path, "2",
                     "name:    canned\nboot:    " UUID2 ", kernel 6.1.0-56-amd64\n"
                     "kernel:  oopsed, N days ago, 2023-11-14 22:17:41 +0000\n"
                     "VM:      the guest's kernel oopsed on cpu 2, N days ago, 2023-11-14 22:17:41 +0000\n"
                     "QEMU:    died: its end is not in the log\n"
                     "\nlast messages of cpu 0\n[    5.000000] b0 one\n"
                     "\nlast messages of cpu 2\n[    6.000000] b2 two\n");
  assert_last_words (f->path, "0",
                     "name:    canned\nboot:    33333333-3333-3333-3333-333333333333, kernel 6.1.0-56-amd64\n"
                     "VM:      the machine was reset or switched on, N days ago, 2023-11-14 22:18:40 +0000\n"
                     "QEMU:    has ended\n"
                     "\nlast messages of cpu 0\n[    1.000000] c0 newest\n");
}

/* Gaps and events of the boot are shown, those of others are not; what concerns the log as a whole always is. */
static void
test_notices_of_a_boot (Fixture *f, gconstpointer data)
{
  static const char io[] = "-- 3 chunks (4096 bytes) given up: the host could not write the log --\n";
  g_autofree char *first = g_strconcat (io, "[    5.000000] a0 Ding dong\n[    6.000000] a1 read\n"
                                        "-- 2 messages lost on cpu 1, task: in records that cannot be read --\n"
                                        "[   15.000000] a1 read again\n", NULL);
  g_autofree char *second = g_strconcat (io, "[    5.000000] b0 one\n"
                                         "-- epoch 3: kernel 6.1.0-56-amd64, boot " UUID2 ", 2023-11-14 22:17:40 +0000 --\n"
                                         "[    6.000000] b2 two\n"
                                         "-- 2023-11-14 22:17:41 +0000: the guest's kernel oopsed on cpu 2 --\n", NULL);
  g_autofree char *third = g_strconcat (io, "[    1.000000] c0 newest\n", NULL);
  const char *const expected[] = { first, second, third };

  (void) data;
  write_log (f->path);
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *boot = g_strdup_printf ("--boot=%u", i + 1);
      Result r = tool_run (boot, f->path, NULL);

      g_assert_cmpstr (r.out, ==, expected[i]);
      result_clear (&r);
    }
}

static void
append_boot (DdebugLog *log, guint8 id)
{
  struct virtio_ddebug_attach attach = { .instance = GUINT64_TO_LE (id) };

  memset (attach.boot_id, id, sizeof attach.boot_id);
  g_assert_cmpint (ddebug_log_append_attach (log, &attach, sizeof attach), ==, 0);
}

static void
append_message (DdebugLog *log, const char *text)
{
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  g_autoptr (Producer) p = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  struct ddebug_log_chunk chunk;
  DdebugLogData data = { .epoch = ddebug_log_epoch (log), .subbuf_shift = p->shift, .pass = ddebug_log_last_pass (log) + 1 };

  producer_say (p, SECOND, 0, text, strlen (text));
  g_assert_true (producer_take (p, &chunk, payload));
  data.pos = GUINT64_FROM_LE (chunk.pos);
  g_assert_cmpint (ddebug_log_append_data (log, &data, payload->data, payload->len), ==, 0);
  g_assert_cmpint (ddebug_log_write_state (log, data.pass), ==, 0);
}

/* The newest boot goes on with those that come; an older one has ended. */
static void
test_follow_boots (Fixture *f, gconstpointer data)
{
  const DdebugLogInfo info = { .vm_name = "test", .writer = "test-select" };
  g_autoptr (GError) error = NULL;
  DdebugLog *log = ddebug_log_open (f->path, DDEBUG_LOG_SIZE_MIN, &info, DDEBUG_LOG_OPEN_CREATE, &error);
  Tool *newest, *older, *pipe, *first;

  (void) data;
  g_assert_no_error (error);
  first = tool_start ("--follow", "-b", f->path, NULL);
  tool_wait_asleep (first);
  append_boot (log, 0x11);
  append_message (log, "one");
  append_boot (log, 0x22);
  append_message (log, "two");
  newest = tool_start ("--follow", "-b", f->path, NULL);
  older = tool_start ("--follow", "-b", "1", f->path, NULL);
  pipe = tool_start ("--pipe", "-b", f->path, NULL);
  tool_expect (newest, "two");
  tool_expect (older, "one");
  tool_expect (pipe, "two");
  append_boot (log, 0x33);
  append_message (log, "three");
  tool_expect (newest, "three");
  tool_expect (pipe, "three");
  tool_expect (first, "three");
  ddebug_log_append_event (log, DDEBUG_LOG_EVENT_CLOSE, 0, 0, 0);
  ddebug_log_close (log);
  g_assert_cmpint (tool_finish (newest), ==, 0);
  g_assert_cmpint (tool_finish (older), ==, 0);
  g_assert_cmpint (tool_finish (pipe), ==, 0);
  g_assert_cmpint (tool_finish (first), ==, 0);
  g_assert_null (strstr (newest->text->str, "one"));
  g_assert_null (strstr (pipe->text->str, "one"));
  g_assert_nonnull (strstr (first->text->str, "one"));
  g_assert_null (strstr (older->text->str, "two"));
  g_assert_null (strstr (older->text->str, "three"));
  tool_free (newest);
  tool_free (older);
  tool_free (pipe);
  tool_free (first);
}

#define ADD(name, func) g_test_add ("/select/" name, Fixture, NULL, log_folder_set_up, func, log_folder_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/select/names of boots", test_boot_names);
  ADD ("a boot", test_boots);
  ADD ("a boot that is not there", test_no_such_boot);
  ADD ("--pipe of a boot", test_pipe_of_a_boot);
  ADD ("a boot of several logs", test_boot_of_several_logs);
  ADD ("--last-words of a boot", test_last_words_of_a_boot);
  ADD ("notices of a boot", test_notices_of_a_boot);
  ADD ("--follow and boots that come", test_follow_boots);
  return g_test_run ();
}
