/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What --boot and its kin select: the languages by themselves, and what the tool then shows, consumes and says. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "canned.h"
#include "ddebug-boots.h"
#include "ddebug-filter.h"
#include "ddebug-log-writer.h"
#include "ddebug-time.h"
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
  canned_dict (c, 3, 1, 9, "nfsd", "svc_open");
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
    { "-tb", C }, { "-tb0", C }, { "-Cqb", "?:?:?: c0 newest|" }, { "-b -t", C }, { "-b --", C }, { "-b 3", C },
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
    { "--boot=-3", "boot -3 is not in the log, which has 3: -2 to 0 (the newest), or 1 (the oldest) to 3" },
    { "--boot=4", "boot 4 is not in the log, which has 3" },
    { "--boot=" ID3 "+1", "boot " ID3 "+1 is not in the log, which has 3" },
    { "--boot=" ID1 "-1", "boot " ID1 "-1 is not in the log, which has 3" },
    { "--boot=12345678123456781234567812345678", "is not in the log; --list-boots lists those that are" },
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
  assert_says (tool_run ("--boot=x", f->path, NULL), 2, "--boot=x: invalid boot; use 0 for the newest, -1 for");
  assert_says (tool_run ("--boot=", f->path, NULL), 2, "--boot=: invalid boot");
  assert_says (tool_run ("-bx", f->path, NULL), 2, "--boot=x: invalid boot");
  assert_says (tool_run ("--info", "-b", f->path, NULL), 2, "--boot works only with --trace");
  assert_says (tool_run ("-b", "1", NULL), 2, "no SOURCE");
  canned_write (empty, f->path);
  assert_says (tool_run ("-b", f->path, NULL), 6, "the log has no boots yet");
  assert_says (tool_run ("--follow", "-b", "-1", f->path, NULL), 6, "the log has no boots yet");
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
               "boot -1 is not the newest, and --pipe would consume later boots unseen");
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
  g_assert_nonnull (strstr (r.err, "other: the log has no boots yet"));
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
                     "VM:      the machine was reset or powered on, N days ago, 2023-11-14 22:16:50 +0000\n"
                     "QEMU:    continued with another boot\n"
                     "\nlast messages of cpu 0\n[    5.000000] a0 Ding dong\n"
                     "\nlast messages of cpu 1\n[    6.000000] a1 read\n[   15.000000] a1 read again\n");
  assert_last_words (f->path, "2",
                     "name:    canned\nboot:    " UUID2 ", kernel 6.1.0-56-amd64\n"
                     "kernel:  oopsed, N days ago, 2023-11-14 22:17:41 +0000\n"
                     "VM:      the guest's kernel oopsed on cpu 2, N days ago, 2023-11-14 22:17:41 +0000\n"
                     "QEMU:    died without closing the log\n"
                     "\nlast messages of cpu 0\n[    5.000000] b0 one\n"
                     "\nlast messages of cpu 2\n[    6.000000] b2 two\n");
  assert_last_words (f->path, "0",
                     "name:    canned\nboot:    33333333-3333-3333-3333-333333333333, kernel 6.1.0-56-amd64\n"
                     "VM:      the machine was reset or powered on, N days ago, 2023-11-14 22:18:40 +0000\n"
                     "QEMU:    exited\n"
                     "\nlast messages of cpu 0\n[    1.000000] c0 newest\n");
}

/* Gaps and events of the boot are shown, those of others are not; what concerns the log as a whole always is. */
static void
test_notices_of_a_boot (Fixture *f, gconstpointer data)
{
  static const char io[] = "-- 3 chunks (4096 bytes) discarded: the host could not write the log --\n";
  g_autofree char *first = g_strconcat (io, "[    5.000000] a0 Ding dong\n[    6.000000] a1 read\n"
                                        "-- 2 messages lost on cpu 1, task: in unreadable records --\n"
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

/* --boot knows the boots that --list-boots tells of, whatever has become of the log. */
static void
test_boots_of_damaged_logs (Fixture *f, gconstpointer data)
{
  g_autofree char *whole = NULL;
  gsize len;

  (void) data;
  write_log (f->path);
  g_assert_true (g_file_get_contents (f->path, &whole, &len, NULL));
  /* both segments' chunks lie within their first 2 KiB */
  for (guint i = 0; i < 120; i++)
    {
      gsize at = DDEBUG_LOG_SEGS_OFF + i % 2 * DDEBUG_LOG_SEG_SIZE_MIN + i / 2 * 33;
      g_autofree char *expected = NULL;
      guint boots = 0;
      Result r;

      whole[at] ^= 0x10;
      g_assert_true (g_file_set_contents (f->path, whole, len, NULL));
      whole[at] ^= 0x10;
      r = tool_run ("--list-boots", f->path, NULL);
      g_assert_cmpint (r.status, ==, 0);
      for (const char *line = strchr (r.out, '\n') + 1; *line; line = strchr (line, '\n') + 1)
        boots++;
      result_clear (&r);
      expected = g_strdup_printf ("boot 1000 is not in the log, which has %u:", boots);
      assert_says (tool_run ("--boot=1000", f->path, NULL), 6, expected);
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

static void
assert_end (const char *path, const char *end)
{
  Result r = tool_run ("--last-words", path, NULL);

  g_assert_nonnull (strstr (r.out, end));
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
}

/* That a QEMU died is said where the log shows that one was there, and not that it ended. */
static void
test_last_words_of_qemu (Fixture *f, gconstpointer data)
{
  const DdebugLogInfo info = { .vm_name = "test", .writer = "test-select" };
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (Producer) p = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (GError) error = NULL;
  DdebugLog *log = ddebug_log_open (f->path, DDEBUG_LOG_SIZE_MIN, &info, DDEBUG_LOG_OPEN_CREATE, &error);
  Result r;

  (void) data;
  g_assert_no_error (error);
  ddebug_log_append_event (log, DDEBUG_LOG_EVENT_OPEN, 4711, 0, 0);
  append_boot (log, 0x11);
  append_message (log, "one");
  assert_end (f->path, "QEMU:    running\n");
  ddebug_log_append_event (log, DDEBUG_LOG_EVENT_CLOSE, 0, 0, 0);
  assert_end (f->path, "QEMU:    running\n");
  ddebug_log_close (log);
  assert_end (f->path, "QEMU:    exited\n");
  /* what it said at its end is hidden, too */
  r = tool_run ("--clear", f->path, NULL);
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
  assert_end (f->path, "QEMU:    gone; the log does not say how it ended\n");
  r = tool_run ("--size=2M", f->path, NULL);
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
  assert_end (f->path, "QEMU:    gone; the log does not say how it ended\n");

  /* that it came is not in the log any more */
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  producer_printf (p, SECOND, "x");
  canned_take (c, p, 1, 1);
  canned_write (c, f->path);
  assert_end (f->path, "QEMU:    died without closing the log\n");
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

/* ---- times ---- */

#define US G_GINT64_CONSTANT (1000000)
/* Tuesday, 2026-11-24 10:30:15.25 UTC; and midnight. */
#define NOW (G_GINT64_CONSTANT (1795516215) * US + 250000)
#define TODAY (G_GINT64_CONSTANT (1795478400) * US)
#define DAY (86400 * US)

static void
assert_time (const char *text, GTimeZone *zone, gint64 expected)
{
  gint64 us;

  g_test_message ("%s", text);
  g_assert_true (ddebug_time_parse (text, NOW, zone, FALSE, &us));
  g_assert_cmpint (us, ==, expected);
}

static void
test_times (void)
{
  static const struct
  {
    const char *text;
    gint64 us;
  } cases[] = {
    { "now", NOW }, { "today", TODAY }, { "yesterday", TODAY - DAY }, { "tomorrow", TODAY + DAY }, { " \tnow ", NOW },
    { "-1h", NOW - 3600 * US }, { "- 1 h", NOW - 3600 * US }, { "+3h30min", NOW + 12600 * US }, { "-90", NOW - 90 * US },
    { "5min ago", NOW - 300 * US }, { "1h 30min 2s ago", NOW - 5402 * US }, { "1.5h ago", NOW - 5400 * US },
    { "30 ago", NOW - 30 * US }, { "1h 30  ago", NOW - 3630 * US },
    { "-0.000001s", NOW - 1 }, { "-0.0000019s", NOW - 1 }, { "-1us", NOW - 1 }, { "-1µs", NOW - 1 }, { "-2msec", NOW - 2000 },
    { "-1 hour", NOW - 3600 * US }, { "2 hours ago", NOW - 7200 * US }, { "-1hr", NOW - 3600 * US }, { "-1m", NOW - 60 * US },
    { "-2 minutes", NOW - 120 * US }, { "-3seconds", NOW - 3 * US }, { "-1d", NOW - DAY }, { "2 days ago", NOW - 2 * DAY },
    { "-1w", NOW - 7 * DAY }, { "-1M", NOW - 2629800 * US }, { "-1month", NOW - 2629800 * US },
    { "-1y", NOW - 31557600 * US }, { "2years ago", NOW - 63115200 * US }, { "-1 2s", NOW - 3 * US }, { "-100y", NOW - 3155760000 * US },
    { "@0", 0 }, { "@1700000000", 1700000000 * US }, { "@1700000000.25", 1700000000 * US + 250000 }, { "@1.0000019", US + 1 },
    { "2026-11-24", TODAY }, { "2026-11-24 10:00", TODAY + 36000 * US }, { "2026-11-24 10:00:05", TODAY + 36005 * US },
    { "2026-11-24 10:00:05.123", TODAY + 36005 * US + 123000 }, { "2026-11-24  10:00:05.000001", TODAY + 36005 * US + 1 },
    { "2026-11-24T10:00:05.9999999Z", TODAY + 36005 * US + 999999 }, { "2026-11-24T10:00", TODAY + 36000 * US },
    { "2026-11-24 10:00:05 +0000", TODAY + 36005 * US }, { "2026-11-24T10:00:05+01:30", TODAY + 30605 * US },
    { "2026-11-24T10:00:05-01", TODAY + 39605 * US }, { "2026-11-24T10:00:05 UTC", TODAY + 36005 * US },
    { "2026-11-24 10:00 Europe/Berlin", TODAY + 32400 * US }, { "2026-07-01 10:00 Europe/Berlin", 1782892800 * US },
    { "2026-11-24 UTC", TODAY }, { "10:00", TODAY + 36000 * US }, { "10:00:05.5", TODAY + 36005 * US + 500000 },
    { "00:00+01:00", TODAY - 3600 * US }, { "23:59:59", TODAY + DAY - US }, { "1969-12-31 23:59:59", -US },
    { "2024-02-29", 1709164800 * US },
    { "Tue 2026-11-24 10:00:05 UTC", TODAY + 36005 * US }, { "Tue 2026-11-24", TODAY }, { "Sun 2026-11-22", TODAY - 2 * DAY },
  };
  static const char *const bad[] = {
    "", " ", "then", "Now", "-", "+", "--1h", "-1x", "-1.h", "-.5h", "-1..5h", "-h", "-1h-", "1h", "90", "ago", " ago", "1 fortnight ago",
    "-1h ago", "1hago", "@", "@x", "@1x", "@-1", "@1.", "-99999999999999999999y", "-300000y", "@99999999999999999", "2026-13-01",
    "2026-02-29", "2026-11-31", "2026-11", "26-11-24", "2026-11-24T", "2026-11-2410:00", "2026-11-24+0100", "24:00", "10:60", "10:00:60x",
    "10", "1:00", "10:00:5", "10:00.5", "10:00:05.", "10:00:05,5", "10:00 CET", "10:00 Nowhere/Else", "10:00 +1", "UTC", "+0100 10:00",
    "2026-11-24 2026-11-24", "Mon 2026-11-24", "Tue 10:00", "Tue", "tue 2026-11-24", "Tue2026-11-24", "10:00:60.5:1",
    "10:00 10:00", "10:00\n10:00", "2026-11-24 10:00 utc", "\xff", "2026-11-24\xff",
  };
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc (), berlin = g_time_zone_new_identifier ("Europe/Berlin");
  gint64 us;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_time (cases[i].text, utc, cases[i].us);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *printable = g_strescape (bad[i], NULL);

      g_test_message ("%s", printable);
      g_assert_false (ddebug_time_parse (bad[i], NOW, utc, FALSE, &us));
    }
  /* the days and times of another zone, also where its day is another */
  g_assert_nonnull (berlin);
  assert_time ("today", berlin, TODAY - 3600 * US);
  assert_time ("10:00", berlin, TODAY + 32400 * US);
  assert_time ("10:00 Asia/Tokyo", berlin, TODAY + 3600 * US);
  assert_time ("2026-11-24 10:00Z", berlin, TODAY + 36000 * US);
  assert_time ("2026-07-01", berlin, 1782856800 * US);
  assert_time ("Tue 2026-11-24 10:00 CET", berlin, TODAY + 32400 * US);
  assert_time ("2026-07-01 00:00 CEST", berlin, 1782856800 * US);
  g_assert_false (ddebug_time_parse ("2026-07-01 00:00 CET", NOW, berlin, FALSE, &us));
  g_assert_false (ddebug_time_parse ("2026-11-24 10:00 EST", NOW, berlin, FALSE, &us));
}

/* Where the clocks are put back and forward. */
static void
test_clock_changes (void)
{
  static const struct
  {
    const char *text;
    gint64 first, last;     /* s; 0: refused */
  } cases[] = {
    /* 02:00 to 03:00 twice, at 00:00Z and at 01:00Z */
    { "2026-10-25 01:59:59", 1792886399, 1792886399 }, { "2026-10-25 02:00", 1792886400, 1792890000 },
    { "2026-10-25 02:30", 1792888200, 1792891800 }, { "2026-10-25 02:30 CEST", 1792888200, 1792888200 },
    { "2026-10-25 02:30 CET", 1792891800, 1792891800 }, { "2026-10-25 02:59:59", 1792889999, 1792893599 },
    { "2026-10-25 03:00", 1792893600, 1792893600 }, { "2026-10-25 03:00 CEST", 0, 0 },
    { "2026-10-25 02:30 Europe/Berlin", 1792888200, 1792891800 }, { "2026-10-25 02:30 +02:00", 1792888200, 1792888200 },
    { "2026-10-25 00:30 UTC", 1792888200, 1792888200 }, { "Sun 2026-10-25 02:30 CET", 1792891800, 1792891800 },
    { "2026-10-25", 1792879200, 1792879200 }, { "2026-10-26", 1792969200, 1792969200 },
    /* from 02:00 to 03:00 at 01:00Z */
    { "2026-03-29 01:59:59", 1774745999, 1774745999 }, { "2026-03-29 02:00", 1774746000, 1774746000 },
    { "2026-03-29 02:30", 1774746000, 1774746000 }, { "2026-03-29 02:59:59", 1774746000, 1774746000 },
    { "2026-03-29 03:00", 1774746000, 1774746000 }, { "2026-03-29 03:30", 1774747800, 1774747800 },
    { "2026-03-29 02:30 CET", 0, 0 }, { "2026-03-29 02:30 CEST", 0, 0 },
    /* half an hour; midnight skipped, and twice; a day that is skipped, by an offset across the date line */
    { "2026-04-05 01:45 Australia/Lord_Howe", 1775313900, 1775315700 },
    { "2017-10-15 America/Sao_Paulo", 1508036400, 1508036400 }, { "2018-02-17 23:30 America/Sao_Paulo", 1518917400, 1518921000 },
  };
  g_autoptr (GTimeZone) berlin = g_time_zone_new_identifier ("Europe/Berlin");
  gint64 us;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    for (gboolean last = FALSE; last <= TRUE; last++)
      {
        gint64 expected = last ? cases[i].last : cases[i].first;

        g_test_message ("%s %d", cases[i].text, last);
        g_assert_cmpint (ddebug_time_parse (cases[i].text, NOW, berlin, last, &us), ==, expected != 0);
        if (expected)
          g_assert_cmpint (us, ==, expected * US);
      }
}

/* The end of time, in 64 bits of ns. */
static void
test_end_of_time (void)
{
  static const struct
  {
    const char *text;
    guint64 until;
  } cases[] = {
    { "@0", 999 }, { "@18446744073.709550", G_GUINT64_CONSTANT (18446744073709550999) },
    { "@18446744073.709551", G_MAXUINT64 }, { "@18446744073.709552", G_MAXUINT64 }, { "@18446744074", G_MAXUINT64 },
    { "1969-12-31 23:59:59Z", 0 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (DdebugFilter) filter = ddebug_filter_new ();

      g_test_message ("%s", cases[i].text);
      g_assert_true (ddebug_filter_set_until (filter, cases[i].text, NOW, NULL));
      g_assert_cmpuint (ddebug_filter_until (filter), ==, cases[i].until);
      /* what is written at the very end is shown up to the end only */
      g_assert_cmpint (ddebug_filter_overlaps (filter, G_MAXUINT64, G_MAXUINT64), ==, cases[i].until == G_MAXUINT64);
      g_assert_true (ddebug_filter_set_since (filter, cases[i].text, NOW, NULL));
      g_assert_true (ddebug_filter_is_possible (filter));
    }
}

/* Whatever comes is refused or a time. */
static void
test_random_times (void)
{
  static const char *const words[] = {
    "now", "-", "+", "1", "99999999", ".5", "h", "min", "ago", " ", "@", "2026-11-24", "T", "10:00", ":05", "Z", "+01", "Europe/", "µ", "\xb5",
  };
  g_autoptr (GRand) rand = g_rand_new_with_seed (4711);
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();

  for (int i = 0; i < 20000; i++)
    {
      g_autoptr (GString) text = g_string_new (NULL);
      gint64 us = 0;

      for (int n = g_rand_int_range (rand, 0, 8); n; n--)
        g_string_append (text, words[g_rand_int_range (rand, 0, G_N_ELEMENTS (words))]);
      if (ddebug_time_parse (text->str, NOW, utc, FALSE, &us))
        g_assert_cmpint (us, <, G_MAXINT64 / 2);
    }
}

static void
test_since_until (Fixture *f, gconstpointer data)
{
  static const Case cases[] = {
    { "--since=2023-11-14", ALL }, { "--since=yesterday", "" }, { "--until=now", ALL }, { "--since=-1h", "" },
    { "-S '2023-11-14 22:17:40'", B C }, { "-S'2023-11-14 22:17:40.000001'", C }, { "-qS '2023-11-14 22:18'", C },
    { "-U '2023-11-14 22:16:40'", "a0 Ding dong|a1 read|" }, { "--until '2023-11-14 22:16:39.999999'", "" },
    { "--until=@1700000250", A }, { "--since @1700000210 --until @1700000260", "a1 read again|" B },
    { "--since=2023-11-14T23:17:00+01:00", B C }, { "--until=1970-01-02", "" }, { "--since=1960-01-01", ALL },
    { "--until=9999-12-31", ALL }, { "--since=9999-12-31", "" }, { "-b 2 -S @1700000260", B }, { "-b 1 -S @1700000260", "" },
    { "--follow --since=@1700000260 --until=@1700000261", B }, { "--follow -S @1700000260", B C },
  };
  g_autofree char *first = NULL, *second = NULL;

  (void) data;
  write_log (f->path);
  check_cases (f->path, cases, G_N_ELEMENTS (cases));
  /* what is left out is consumed */
  first = messages (f->path, "--pipe -S @1700000260");
  g_assert_cmpstr (first, ==, B C);
  second = messages (f->path, "--pipe");
  g_assert_cmpstr (second, ==, "");
  assert_says (tool_run ("--since=\xff", f->path, NULL), 2, "--since=\\xff: invalid time; use");
  assert_says (tool_run ("--since=then", f->path, NULL), 2, "--since=then: invalid time; use");
  assert_says (tool_run ("--until", "-1x", f->path, NULL), 2, "--until=-1x: invalid time");
  assert_says (tool_run ("-S", "now", "-U", "yesterday", f->path, NULL), 2, "--since=now is after --until=yesterday");
  assert_says (tool_run ("--pipe", "-U", "now", f->path, NULL), 2, "--until cannot be used with --pipe");
  assert_says (tool_run ("--info", "-S", "now", f->path, NULL), 2, "--since works only with");
  assert_says (tool_run ("--last-words", "-U", "now", f->path, NULL), 2, "--until works only with");
}

/* A gap is shown where what is missing may be of the time asked for. */
static void
test_gaps_and_times (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *option;
    gboolean is_shown;
  } cases[] = {
    { "--since=@1700000200", TRUE }, { "--since=@1700000205", TRUE }, { "--since=@1700000210", TRUE },
    { "--since=@1700000210.000001", FALSE }, { "--until=@1700000205", TRUE }, { "--until=@1700000200", TRUE },
    { "--until=@1700000199.999999", FALSE },
  };

  (void) data;
  write_log (f->path);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Result r = tool_run (cases[i].option, f->path, NULL);

      g_test_message ("%s", cases[i].option);
      g_assert_cmpint (strstr (r.out, "-- 2 messages lost on cpu 1") != NULL, ==, cases[i].is_shown);
      /* the log as a whole */
      g_assert_nonnull (strstr (r.out, "-- 3 chunks (4096 bytes) discarded"));
      result_clear (&r);
    }
}

static guint
count_lines (const char *text)
{
  guint n = 0;

  for (; *text; text++)
    n += *text == '\n';
  return n;
}

/* Their numbers stay what they are. */
static void
test_list_boots_of_a_time (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *option;
    const char *shown;          /* the numbers */
  } cases[] = {
    { "--since=@1700000200", "-2-10" }, { "--since=@1700000210.1", "-10" }, { "--until=@1700000250", "-2" },
    { "--since=@1700000210", "-2-10" }, { "--since=@1700000330", "" },
  };

  (void) data;
  write_log (f->path);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Result r = tool_run ("--list-boots", cases[i].option, f->path, NULL);
      g_autoptr (GString) shown = g_string_new (NULL);

      g_test_message ("%s", cases[i].option);
      for (const char *line = strchr (r.out, '\n') + 1; *line; line = strchr (line, '\n') + 1)
        g_string_append_printf (shown, "%d", atoi (line));
      g_assert_cmpstr (shown->str, ==, cases[i].shown);
      g_assert_cmpuint (count_lines (r.out), >=, 1);
      result_clear (&r);
    }
}

static gboolean
has_ended (Tool *tool)
{
  siginfo_t info = { .si_pid = 0 };

  return waitid (P_PID, tool->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

/* --follow ends a second after the time is over, also while the log is waited for, or never rests. */
static void
test_follow_until (Fixture *f, gconstpointer data)
{
  const DdebugLogInfo info = { .vm_name = "test", .writer = "test-select" };
  g_autofree char *none = g_build_filename (f->dir, "none", NULL);
  g_autoptr (GError) error = NULL;
  DdebugLog *log = ddebug_log_open (f->path, DDEBUG_LOG_SIZE_MIN, &info, DDEBUG_LOG_OPEN_CREATE, &error);
  gint64 until = g_get_real_time () + 2 * US;
  g_autofree char *option
      = g_strdup_printf ("--until=@%" G_GINT64_FORMAT ".%06" G_GINT64_FORMAT, until / US, until % US);
  Tool *follow, *waiting;

  (void) data;
  g_assert_no_error (error);
  append_boot (log, 0x11);
  append_message (log, "before");
  follow = tool_start ("--follow", option, f->path, NULL);
  waiting = tool_start ("--follow", "--wait", option, none, NULL);
  tool_expect (follow, "before");
  while (g_get_real_time () < until + US / 10)
    g_usleep (US / 100);
  append_boot (log, 0x22);
  while (!has_ended (follow) && g_get_real_time () < until + 30 * US)
    append_message (log, "after");
  g_assert_cmpint (g_get_real_time (), >=, until + US);
  g_assert_cmpint (tool_wait (follow), ==, 0);
  g_assert_cmpint (tool_wait (waiting), ==, 0);
  tool_take (follow);
  g_assert_null (strstr (follow->text->str, "after"));
  tool_free (follow);
  tool_free (waiting);
  ddebug_log_close (log);
}

/* ---- CPUs, texts, callsites ---- */

static void
test_cpus (Fixture *f, gconstpointer data)
{
  static const Case cases[] = {
    { "--cpu=0", "a0 Ding dong|b0 one|c0 newest|" }, { "--cpu 1", "a1 read|a1 read again|" }, { "--cpu=1,2", "a1 read|a1 read again|b2 two|" },
    { "--cpu=0-4294967295", ALL }, { "--cpu=2-3,1-1", "a1 read|a1 read again|b2 two|" }, { "--cpu=3-9", "" }, { "--cpu=0 --cpu=2", "b2 two|" },
  };
  static const char *const bad[] = {
    "", ",", "1,", ",1", "1,,2", "x", "1-", "-1", "1-2-3", "3-2", "1 2", " 1", "1x", "4294967296", "+1", "0x1",
  };
  Result r;

  (void) data;
  write_log (f->path);
  check_cases (f->path, cases, G_N_ELEMENTS (cases));
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *option = g_strconcat ("--cpu=", bad[i], NULL);
      g_autofree char *says = g_strconcat (option, ": invalid CPU list; use numbers and ranges, for example 0-3,7", NULL);

      assert_says (tool_run (option, f->path, NULL), 2, says);
    }
  /* what another CPU has lost is not of those asked for; what the VM went through is of all */
  r = tool_run ("--cpu=0", f->path, NULL);
  g_assert_null (strstr (r.out, "lost on cpu 1"));
  g_assert_nonnull (strstr (r.out, "oopsed on cpu 2"));
  result_clear (&r);
  r = tool_run ("--cpu=1", f->path, NULL);
  g_assert_nonnull (strstr (r.out, "-- 2 messages lost on cpu 1"));
  result_clear (&r);
}

static void
test_grep (Fixture *f, gconstpointer data)
{
  static const Case cases[] = {
    { "--grep=read", "a1 read|a1 read again|" }, { "-g read", "a1 read|a1 read again|" }, { "-gagain", "a1 read again|" },
    { "--grep=read$", "a1 read|" }, { "--grep '^b'", B }, { "--grep='one|two'", B }, { "--grep=", ALL }, { "-g ''", ALL },
    { "--grep=ding", "a0 Ding dong|" }, { "--grep=Ding", "a0 Ding dong|" }, { "--grep=DING", "" }, { "--grep=dinG", "" },
    { "--grep=DING --case-sensitive=no", "a0 Ding dong|" }, { "--grep=ding --case-sensitive", "" },
    { "--grep=ding --case-sensitive=yes", "" }, { "--grep=ding --case-sensitive --case-sensitive=no", "a0 Ding dong|" },
    { "--grep='(?i)DING'", "a0 Ding dong|" }, { "--grep=' D.*d'", "a0 Ding dong|" }, { "--grep=0 --grep=-", "" },
    { "--grep='-'", "" }, { "--grep -1", "" }, { "-qg -b", "" }, { "-b 1 -g a1", "a1 read|a1 read again|" },
    { "--cpu=1 --grep=a -U @1700000205", "a1 read|" },
  };
  g_autofree char *first = NULL, *second = NULL;

  (void) data;
  write_log (f->path);
  check_cases (f->path, cases, G_N_ELEMENTS (cases));
  assert_says (tool_run ("--grep=a(", f->path, NULL), 2, "--grep: Error while compiling regular expression");
  assert_says (tool_run ("--grep=(*UTF)a", f->path, NULL), 2, "--grep=(*UTF)a: a pattern must not start with an option");
  assert_says (tool_run ("--grep=a", "--case-sensitive=maybe", f->path, NULL), 2, "--case-sensitive=maybe: use yes or no");
  assert_says (tool_run ("--case-sensitive", f->path, NULL), 2, "--case-sensitive works only with --grep");
  assert_says (tool_run ("--grep", NULL), 2, "--grep");
  assert_says (tool_run ("--last-words", "--grep=a", f->path, NULL), 2, "--grep works only with");
  first = messages (f->path, "--pipe --grep=one");
  g_assert_cmpstr (first, ==, "b0 one|");
  second = messages (f->path, "--pipe");
  g_assert_cmpstr (second, ==, "");
}

/* A filter of texts hides no gap, and makes none. */
static void
test_gaps_and_texts (Fixture *f, gconstpointer data)
{
  static const char *const options[] = { "--grep=one", "--query=func xhci*" };

  (void) data;
  write_log (f->path);
  for (gsize i = 0; i < G_N_ELEMENTS (options); i++)
    {
      Result r = tool_run (options[i], f->path, NULL);
      const char *lost = strstr (r.out, " lost on ");

      g_assert_nonnull (strstr (r.out, "-- 2 messages lost on cpu 1, task:"));
      g_assert_null (strstr (lost + 1, " lost on "));
      result_clear (&r);
    }
}

/* A packed message is what its arguments make; what cannot be read may be anything. */
static void
test_grep_packed (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (Producer) p = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  Result r;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (c, 1, 0x1111, 0x11);
  canned_dict (c, 1, 7, 42, "m", "f");
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  producer_packed (p, SECOND, 7, NULL, "\x2a\0\0", 4);
  producer_packed (p, SECOND, 7, "head ", "\x2b\0\0", 4);
  producer_packed (p, SECOND, 7, "short ", "", 0);
  producer_packed (p, SECOND, 8, "unknown ", "", 0);
  canned_take (c, p, 1, 1);
  canned_write (c, f->path);
#define NOT_READABLE "[    1.000000] short (unreadable: 0 argument bytes that do not match the format of callsite 7)\n" \
                     "[    1.000000] unknown (unreadable: 0 argument bytes of callsite 8, which is not in the log)\n"
  r = tool_run ("--grep=^42$", f->path, NULL);
  g_assert_cmpstr (r.out, ==, "[    1.000000] 42\n" NOT_READABLE);
  result_clear (&r);
  r = tool_run ("--grep=head 4", f->path, NULL);
  g_assert_cmpstr (r.out, ==, "[    1.000000] head 43\n" NOT_READABLE);
  result_clear (&r);
  r = tool_run ("--output=json", "--quiet", f->path, NULL);
  g_assert_nonnull (strstr (r.out, "\"message\":\"42\""));
  g_assert_nonnull (strstr (r.out, "\"message\":\"head 43\""));
  g_assert_nonnull (strstr (r.out, "\"message\":\"short (unreadable: "));
  result_clear (&r);
}

/*
 * Bytes that are no UTF-8 are bytes; a text that would keep the pattern busy for ever
 * is shown, and that is said once.
 */
static void
test_hostile_texts (Fixture *f, gconstpointer data)
{
  static const char broken[] = "\xff\xfe needle \xc3";
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (Producer) p = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autofree char *as = g_strnfill (1000, 'a'), *text = g_strconcat (as, "b", NULL);
  gint64 begin;
  Result r;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  canned_attach (c, 1, 0x1111, 0x11);
  producer_say (p, SECOND, 0, broken, sizeof broken - 1);
  producer_say (p, SECOND, 0, "", 0);
  producer_say (p, SECOND, 0, "n\0needle", 8);
  producer_say (p, SECOND, 0, "Ünö", strlen ("Ünö"));
  for (guint i = 0; i < 8; i++)
    producer_say (p, 2 * SECOND, 0, text, strlen (text));
  canned_take (c, p, 1, 1);
  canned_write (c, f->path);
  r = tool_run ("--grep=needle", f->path, NULL);
  g_assert_cmpstr (r.out, ==, "[    1.000000] \\xff\\xfe needle \\xc3\n[    1.000000] n\\x00needle\n");
  result_clear (&r);
  r = tool_run ("--grep=\xfe needle \xc3$", f->path, NULL);
  g_assert_cmpuint (count_lines (r.out), ==, 1);
  result_clear (&r);
  assert_says (tool_run ("--grep=\xfe(", f->path, NULL), 2, "\\xfe(");
  r = tool_run ("--grep=^.needle", f->path, NULL);
  g_assert_cmpstr (r.out, ==, "");
  result_clear (&r);
  r = tool_run ("--grep=nö", f->path, NULL);
  g_assert_cmpstr (r.out, ==, "[    1.000000] Ünö\n");
  result_clear (&r);
  r = tool_run ("--grep=^$", f->path, NULL);
  g_assert_cmpstr (r.out, ==, "[    1.000000] \n");
  result_clear (&r);

  begin = g_get_monotonic_time ();
  r = tool_run ("--grep=^(a+)+$", f->path, NULL);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 10 * US);
  g_assert_cmpuint (count_lines (r.out), ==, 8);
  g_assert_cmpuint (count_lines (r.err), ==, 1);
  g_assert_nonnull (strstr (r.err, "--grep takes too long on some messages, which are shown anyway; simplify the pattern"));
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
}

static void
test_queries (Fixture *f, gconstpointer data)
{
  static const Case cases[] = {
    { "--query='module nfsd'", "a1 read|a1 read again|" B C }, { "--query='module xhci_hcd'", "a0 Ding dong|" C },
    { "--query='func svc_* line 10-20'", "a1 read|a1 read again|" C }, { "--query='line 9; line 42'", "a0 Ding dong|" B C },
    { "--query='line 9' --query 'line 42'", "a0 Ding dong|" B C }, { "--query='module nobody'", C }, { "--query='file a.c'", ALL },
    { "--query='format \"%d\" file ?.c'", ALL }, { "--query='format ^x'", C }, { "-b 1 --query='module nfsd' -g again", "a1 read again|" },
  };
  g_autofree char *first = NULL, *second = NULL;

  (void) data;
  write_log (f->path);
  /* the last message has no callsite in the log: it may be of any */
  check_cases (f->path, cases, G_N_ELEMENTS (cases));
  assert_says (tool_run ("--query=module nfsd +p", f->path, NULL), 2, "--query=module nfsd +p: +p: flags apply to the guest");
  assert_says (tool_run ("--query=\xff", f->path, NULL), 2, "--query=\\xff: \\xff: value missing");
  assert_says (tool_run ("--query=", f->path, NULL), 2, "--query=: empty query");
  assert_says (tool_run ("--query", "modul nfsd", f->path, NULL), 2, "--query=modul nfsd: modul: unknown keyword");
  assert_says (tool_run ("--list-boots", "--query=line 1", f->path, NULL), 2, "--query works only with");
  first = messages (f->path, "--pipe --query='module nfsd'");
  g_assert_cmpstr (first, ==, "a1 read|a1 read again|" B C);
  second = messages (f->path, "--pipe");
  g_assert_cmpstr (second, ==, "");
}

/* A line of the kernel's log is of no callsite. */
static void
test_kernel_log (Fixture *f, gconstpointer data)
{
  static const Case cases[] = {
    { "--query='file a.c'", "said|" }, { "--grep=printed", "printed|" }, { "--cpu=0", "printed|taken|[here]|said|" },
    { "--cpu=1", "" }, { "--grep='^taken$'", "taken|" }, { "--grep='^\\['", "[here]|" }, { "--grep=0.25", "" },
  };
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (Producer) p = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  canned_attach (c, 1, 0x1111, 0x11);
  canned_dict (c, 1, 1, 42, "m", "f");
  producer_kmsg (p, SECOND, 0, "printed");
  producer_kmsg (p, SECOND, DDEBUG_KMSG_F_PAST, "[    0.250000] taken");
  /* without stamps in the guest's log */
  producer_kmsg (p, SECOND, DDEBUG_KMSG_F_PAST, "[here]");
  producer_say (p, SECOND, 1, "said", 4);
  canned_take (c, p, 1, 1);
  canned_write (c, f->path);
  check_cases (f->path, cases, G_N_ELEMENTS (cases));
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
  ADD ("boots of damaged logs", test_boots_of_damaged_logs);
  ADD ("--last-words of QEMU", test_last_words_of_qemu);
  ADD ("--follow and boots that come", test_follow_boots);
  g_test_add_func ("/select/times", test_times);
  g_test_add_func ("/select/times: anything", test_random_times);
  g_test_add_func ("/select/times that come twice or never", test_clock_changes);
  g_test_add_func ("/select/the end of time", test_end_of_time);
  ADD ("--since and --until", test_since_until);
  ADD ("gaps and times", test_gaps_and_times);
  ADD ("--list-boots of a time", test_list_boots_of_a_time);
  ADD ("--follow ends with the time", test_follow_until);
  ADD ("--cpu", test_cpus);
  ADD ("--grep", test_grep);
  ADD ("--grep of packed messages", test_grep_packed);
  ADD ("gaps and texts", test_gaps_and_texts);
  ADD ("texts that a guest chose", test_hostile_texts);
  ADD ("--query", test_queries);
  ADD ("lines of the kernel's log", test_kernel_log);
  return g_test_run ();
}
