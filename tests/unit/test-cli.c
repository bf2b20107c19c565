/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ddebug-host prints for given logs, to the byte, and how it refuses what it cannot do. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "canned.h"
#include "run-tool.h"

#define MS G_GUINT64_CONSTANT (1000000)
#define SECOND (1000 * MS)

typedef LogFolder Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  log_folder_set_up (f, data);
  g_assert_cmpint (chmod (f->dir, 0755), ==, 0);
}

static void
assert_prints (Result r, const char *expected)
{
  g_assert_cmpstr (r.err, ==, "");
  g_assert_cmpstr (r.out, ==, expected);
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
}

/* One line on standard error, that has @text in it; nothing on standard output. */
static void
assert_fails (Result r, int status, const char *text)
{
  g_assert_cmpstr (r.out, ==, "");
  assert_says (r, status, text);
}

/* ---- golden output ---- */

/* Two boots, three streams, a dictionary, losses of several kinds. */
static void
write_golden (const char *path)
{
  g_autoptr (Canned) c = canned_new (6);
  g_autoptr (Producer) task0 = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (Producer) task1 = producer_new (4, 1, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (Producer) irq1 = producer_new (6, 1, VIRTIO_DDEBUG_CTX_HARDIRQ);
  g_autoptr (Producer) next = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);

  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 0);
  canned_event (c, 0, DDEBUG_LOG_EVENT_OPEN, 4711, 0);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (c, 1, 0x1111, 0x11);
  canned_dict (c, 1, 1, 42, "xhci_hcd", "xhci_irq");
  canned_dict (c, 1, 2, 7, "e1000", "e1000_up");

  task1->number = 3;
  producer_say (task1, 5 * SECOND + 123456789, 2, "first of cpu 1", 14);
  canned_take (c, task1, 1, 1);
  producer_say (task0, 5 * SECOND, 1, "first of cpu 0", 14);
  producer_say (task0, 6 * SECOND, 99, "two\nlines", 9);
  canned_take (c, task0, 1, 1);
  irq1->recursed = 2;
  producer_say (irq1, 5 * SECOND + 500 * MS, 1, "irq \x1b[31mred\r", 13);
  canned_take (c, irq1, 1, 1);
  producer_say (task0, 7 * SECOND, 1, "lost", 4);
  producer_turn (task0, 7 * SECOND);
  producer_lap (task0, 4096);
  producer_say (task0, 8 * SECOND, 1, "after the gap", 13);
  canned_take (c, task0, 1, 2);
  canned_event (c, 1, DDEBUG_LOG_EVENT_IO_LOST, 3, 4096);

  canned_segment (c, 2, DDEBUG_LOG_SEG_DICT, 2);
  canned_attach (c, 2, 0x2222, 0x22);
  canned_dict (c, 2, 1, 9, "nfsd", "nfsd_open");
  producer_say (next, SECOND, 1, "second boot", 11);
  canned_take (c, next, 2, 3);
  canned_event (c, 2, DDEBUG_LOG_EVENT_CLOSE, 0, 0);
  canned_state (c, 3);
  canned_write (c, path);
}

static void
test_trace (Fixture *f, gconstpointer data)
{
  static const char all[] =
    "-- 3 chunks (4096 bytes) discarded: the host could not write the log --\n"
    "[    5.000000] first of cpu 0\n"
    "-- 3 messages lost on cpu 1, task: no longer in the log --\n"
    "[    5.123456] first of cpu 1\n"
    "-- 2 messages dropped on cpu 1, hardirq: in the guest, 2 produced while logging --\n"
    "[    5.500000] irq \\x1b[31mred\\x0d\n"
    "[    6.000000] two\n"
    "               lines\n"
    "-- 1 message lost on cpu 0, task: overwritten in the guest before the host read them --\n"
    "[    8.000000] after the gap\n"
    "-- epoch 2: kernel 6.1.0-56-amd64, boot 22222222-2222-2222-2222-222222222222, "
    "2023-11-14 22:16:40 +0000 --\n"
    "[    1.000000] second boot\n";

  (void) data;
  write_golden (f->path);
  assert_prints (tool_run (f->path, NULL), all);
  assert_prints (tool_run ("--trace", f->path, NULL), all);
  assert_prints (tool_run ("-t", "--", f->path, NULL), all);
  assert_prints (tool_run ("--follow", f->path, NULL), all);
  assert_prints (tool_run ("--follow", f->path, NULL), all);
}

static void
test_quiet_and_callsite (Fixture *f, gconstpointer data)
{
  (void) data;
  write_golden (f->path);
  assert_prints (tool_run ("-qC", f->path, NULL),
                 "[    5.000000] xhci_hcd:xhci_irq:42: first of cpu 0\n"
                 "[    5.123456] e1000:e1000_up:7: first of cpu 1\n"
                 "[    5.500000] xhci_hcd:xhci_irq:42: irq \\x1b[31mred\\x0d\n"
                 "[    6.000000] ?:?:?: two\n"
                 "               lines\n"
                 "[    8.000000] xhci_hcd:xhci_irq:42: after the gap\n"
                 "[    1.000000] nfsd:nfsd_open:9: second boot\n");
}

static void
test_pipe (Fixture *f, gconstpointer data)
{
  g_autofree char *cursor = g_strconcat (f->path, ".cursor", NULL);
  Result all, r;

  (void) data;
  write_golden (f->path);
  all = tool_run ("--trace", f->path, NULL);
  r = tool_run ("--pipe", f->path, NULL);
  g_assert_cmpstr (r.out, ==, all.out);
  result_clear (&r);
  /* of what has no stream nothing is recorded */
  assert_prints (tool_run ("--pipe", f->path, NULL),
                 "-- 3 chunks (4096 bytes) discarded: the host could not write the log --\n");
  g_assert_cmpint (g_unlink (cursor), ==, 0);
  r = tool_run ("--pipe", f->path, NULL);
  g_assert_cmpstr (r.out, ==, all.out);
  result_clear (&r);
  result_clear (&all);
}

static void
test_info (Fixture *f, gconstpointer data)
{
  g_autofree char *expected = NULL;

  (void) data;
  write_golden (f->path);
  expected = g_strdup_printf (
    "file:      %s\n"
    "size:      851968 (832.0 KiB)\n"
    "segments:  6 of 128 KiB: 1 data, 2 dictionary, 0 cleared, 3 unused\n"
    "uuid:      5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a\n"
    "vm:        canned\n"
    "writer:    gone, canned 1\n"
    "created:   2023-11-14 22:13:20 +0000\n"
    "opened:    2023-11-14 22:15:00 +0000\n"
    "received:  6\n"
    "lost:      4\n"
    "dropped:   2\n"
    "late:      0\n"
    "damage:    3 chunks that the host could not write\n"
    "\n"
    "epoch 1\n"
    "  boot:         11111111-1111-1111-1111-111111111111\n"
    "  kernel:       6.1.0-56-amd64, 2 cpus\n"
    "  driver:       0.1\n"
    "  attached:     2023-11-14 22:16:40 +0000\n"
    "  instance:     0000000000001111\n"
    "  callsites:    2\n"
    "  messages:     5\n"
    "\n"
    "epoch 2\n"
    "  boot:         22222222-2222-2222-2222-222222222222\n"
    "  kernel:       6.1.0-56-amd64, 2 cpus\n"
    "  driver:       0.1\n"
    "  attached:     2023-11-14 22:16:40 +0000\n"
    "  instance:     0000000000002222\n"
    "  callsites:    1\n"
    "  messages:     1\n"
    "\n"
    "streams of instance 0000000000001111\n"
    "    cpu  context      received         lost      dropped     repeated         late\n"
    "      0  task                3            1            0            0            0\n"
    "      1  task                1            3            0            0            0\n"
    "      1  hardirq             1            0            2            0            0\n"
    "\n"
    "streams of instance 0000000000002222\n"
    "    cpu  context      received         lost      dropped     repeated         late\n"
    "      0  task                1            0            0            0            0\n",
    f->path);
  assert_prints (tool_run ("--info", f->path, NULL), expected);
}

/* What may not be, or is not, on the disk. */
static void
test_synced (Fixture *f, gconstpointer data)
{
  static const struct
  {
    guint64 written, synced, failed;
    const char *info, *damage, *notice;
  } cases[] = {
    { 0, 0, 0, "\nsynced:    chunk 0 of 5, every 5 s\n", "none", NULL },
    { 5, 4, 0, "\nsynced:    chunk 4 of 5, 2023-11-14 22:16:40 +0000, every 5 s\n", "none", NULL },
    { 5, 4, 2, "\nsynced:    chunk 4 of 5, 2023-11-14 22:16:40 +0000, every 5 s, failed 2 times\n", "none", NULL },
    { 8, 4, 0, "\nsynced:    chunk 4 of 8, 2023-11-14 22:16:40 +0000, every 5 s\n", "3 chunks missing that were written",
      "-- 3 chunks missing, which were written: the host lost power, or its disk failed --\n" },
  };

  (void) data;
  for (guint i = 0; i <= G_N_ELEMENTS (cases); i++)
    {
      gboolean none = i == G_N_ELEMENTS (cases);
      g_autoptr (Canned) c = canned_new (4);
      g_autoptr (Producer) p = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
      g_autofree char *trace = NULL, *damage = NULL;
      Result info;

      canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
      canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
      canned_attach (c, 1, 0x1111, 0x11);
      canned_dict (c, 1, 1, 42, "xhci_hcd", "xhci_irq");
      producer_say (p, SECOND, 1, "text", 4);
      canned_take (c, p, 1, 1);
      canned_sync_lost (c, 1, 2, 3, ENOSPC);
      producer_say (p, SECOND, 1, "more", 4);
      canned_take (c, p, 1, 1);
      if (!none)
        canned_sync (c, cases[i].written, cases[i].synced, cases[i].failed);
      canned_write (c, f->path);
      trace = g_strdup_printf ("-- 2 chunks before this may not be on the host's disk: No space left on device --\n"
                               "[    1.000000] text\n[    1.000000] more\n%s",
                               !none && cases[i].notice ? cases[i].notice : "");
      assert_prints (tool_run (f->path, NULL), trace);
      info = tool_run ("--info", f->path, NULL);
      damage = g_strdup_printf ("\ndamage:    2 chunks that the host's disk may not have taken%s%s\n",
                                !none && cases[i].notice ? ", " : "",
                                !none && cases[i].notice ? cases[i].damage : "");
      g_assert_nonnull (strstr (info.out, damage));
      if (none)
        g_assert_null (strstr (info.out, "synced:"));
      else
        g_assert_nonnull (strstr (info.out, cases[i].info));
      result_clear (&info);
    }
}

static void
test_empty_log (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);

  (void) data;
  canned_write (c, f->path);
  assert_prints (tool_run (f->path, NULL), "");
  assert_prints (tool_run ("--follow", f->path, NULL), "");
  assert_prints (tool_run ("--pipe", f->path, NULL), "");
}

/* An epoch without its attach record, which is reported, and one of the same instance, which is not. */
static void
test_epochs (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (8);
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  g_autoptr (Producer) b = producer_new (0, 0, 0);

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (c, 1, 7, 1);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  producer_printf (a, SECOND, "a0");
  canned_take (c, a, 1, 1);
  canned_segment (c, 2, DDEBUG_LOG_SEG_DICT, 2);
  canned_attach (c, 2, 7, 1);
  producer_printf (a, 2 * SECOND, "a1");
  canned_take (c, a, 2, 2);
  producer_printf (b, SECOND, "b0");
  canned_take (c, b, 3, 3);
  canned_write (c, f->path);
  assert_prints (tool_run (f->path, NULL), "[    1.000000] a0\n"
                                           "[    2.000000] a1\n"
                                           "-- epoch 3 --\n"
                                           "[    1.000000] b0\n");
}

/* A guest that names its kernel and its functions as it likes. */
static void
test_hostile_names (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (8);
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  struct ddebug_log_chunk chunk = { .type = GUINT16_TO_LE (DDEBUG_LOG_CHUNK_ATTACH), .epoch = GUINT32_TO_LE (2) };
  struct virtio_ddebug_attach attach = { .instance = 1 };
  Result r;

  (void) data;
  memset (attach.release, 0x1b, sizeof attach.release);
  memset (attach.driver, '\n', sizeof attach.driver);
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 1);
  producer_printf (a, 1, "x");
  canned_take (c, a, 1, 1);
  canned_chunk (c, chunk, &attach, sizeof attach);
  canned_dict (c, 2, 1, 1, "m\n-- x --\n", "\x1b[2J");
  a->number = a->taken = 0;
  g_byte_array_set_size (a->bytes, 0);
  producer_say (a, 1, 1, "y", 1);
  canned_take (c, a, 2, 2);
  memset (c->super.vm_name, 0x9b, sizeof c->super.vm_name);
  memset (c->super.writer, '\r', sizeof c->super.writer);
  canned_super (c, 3);
  canned_write (c, f->path);
  r = tool_run ("--callsite", f->path, NULL);
  for (const char *p = r.out; *p; p++)
    g_assert_true (*p == '\n' || (*p >= 0x20 && *p < 0x7f));
  g_assert_nonnull (strstr (r.out, "\n[    0.000000] m\\x0a-- x --\\x0a:\\x1b[2J:1: y\n"));
  result_clear (&r);
  r = tool_run ("--info", f->path, NULL);
  for (const char *p = r.out; *p; p++)
    g_assert_true (*p == '\n' || (*p >= 0x20 && *p < 0x7f));
  result_clear (&r);
}

/* ---- damage ---- */

static void
test_damage (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (Producer) a = producer_new (0, 0, 0);
  gsize at[4];

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  for (guint i = 0; i < 4; i++)
    {
      producer_printf (a, i, "message %u", i);
      canned_take (c, a, 1, 1);
      at[i] = canned_last (c);
    }
  c->bytes[at[1] + sizeof (struct ddebug_log_chunk) + 40] ^= 1;
  canned_write (c, f->path);
  assert_prints (tool_run (f->path, NULL),
                 "-- log damaged: a chunk of messages at offset 256 of segment 1 --\n"
                 "[    0.000000] message 0\n"
                 "-- 1 message lost on cpu 0, task: the log is damaged here --\n"
                 "[    0.000000] message 2\n"
                 "[    0.000000] message 3\n");
  c->bytes[at[1]] ^= 1;
  canned_write (c, f->path);
  assert_prints (tool_run (f->path, NULL),
                 "-- log damaged: 192 bytes skipped at offset 256 of segment 1 --\n"
                 "[    0.000000] message 0\n"
                 "-- 1 message lost on cpu 0, task: the log is damaged here --\n"
                 "[    0.000000] message 2\n"
                 "[    0.000000] message 3\n");
}

/* Cut at any place: says so, shows what is left, invents nothing. */
static void
test_cut_short (Fixture *f, gconstpointer data)
{
  Result whole;
  struct stat st;

  (void) data;
  write_golden (f->path);
  whole = tool_run ("--quiet", f->path, NULL);
  g_assert_cmpint (stat (f->path, &st), ==, 0);
  for (gsize len = 8192; len < (gsize) st.st_size; len += len > 64000 && len < 67000 ? 211 : 40009)
    {
      Result r;

      write_golden (f->path);
      g_assert_cmpint (truncate (f->path, len), ==, 0);
      r = tool_run ("--quiet", f->path, NULL);
      g_assert_nonnull (strstr (r.err, "was cut short"));
      g_assert_cmpint (r.status, ==, 0);
      for (char *line = strtok (r.out, "\n"); line; line = strtok (NULL, "\n"))
        g_assert_nonnull (strstr (whole.out, line));
      result_clear (&r);
    }
  result_clear (&whole);
  /* whoever changes what is left is told */
  for (guint i = 0; i < 2; i++)
    {
      Result r;

      write_golden (f->path);
      g_assert_cmpint (truncate (f->path, 150000), ==, 0);
      r = tool_run (i ? "--clear" : "--size=2M", f->path, NULL);
      g_assert_nonnull (strstr (r.err, "was cut short: 150000 of "));
      g_assert_nonnull (strstr (r.err, "bytes are left; what is missing is replaced by empty segments\n"));
      g_assert_cmpint (r.status, ==, 0);
      result_clear (&r);
    }
}

/* ---- refusals ---- */

static void
test_usage (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *args[4];
    const char *text;
  } cases[] = {
    { { NULL }, "no SOURCE" },
    { { "--nonsense", "x" }, "--nonsense" },
    { { "--clear", "a", "b" }, "b: --list-boots, --last-words, --size and --clear take one SOURCE" },
    { { "--trace", "--pipe", "x" }, "are mutually exclusive" },
    { { "--info", "--clear", "x" }, "are mutually exclusive" },
    { { "--list", "--attach", "x" }, "are mutually exclusive" },
    { { "--attach", "x", "y" }, "--attach takes one DOMAIN" },
    { { "--detach" }, "--detach takes one DOMAIN" },
    { { "--attach", "x" }, "use --yes" },
    { { "--attach=x" }, "--attach=x: --attach is unknown or takes no value" },
    { { "--attach", "x", "--yes", "--log-size=1K" }, "--log-size=1K: too small" },
    { { "--log-size=1M", "x" }, "--log-size works only with --attach" },
    { { "--plugin=x", "x" }, "--plugin works only with --attach" },
    { { "--yes", "x" }, "--yes works only with --attach and --detach" },
    { { "--all", "x" }, "--all takes no SOURCE" },
    { { "--all", "--size" }, "--all works only with" },
    { { "--list", "x" }, "--list takes no SOURCE" },
    { { "--size=1M", "--pipe", "x" }, "are mutually exclusive" },
    { { "--size", "32M", "x" }, "--size=32M" },
    { { "--size=", "x" }, "--size=: invalid size" },
    { { "--size=M", "x" }, "--size=M: invalid size" },
    { { "--size=-1M", "x" }, "--size=-1M: invalid size" },
    { { "--size=1X", "x" }, "--size=1X: invalid size" },
    { { "--size=1MB", "x" }, "--size=1MB: invalid size" },
    { { "--size= 1M", "x" }, "--size= 1M: invalid size" },
    { { "--size=1.5M", "x" }, "--size=1.5M: invalid size" },
    { { "--size=0", "x" }, "too small; the size must be 1M to 1024G" },
    { { "--size=1048575", "x" }, "too small" },
    { { "--size=1025G", "x" }, "too large" },
    { { "--size=16777216T", "x" }, "invalid size" },
    { { "--size=99999999999999999999", "x" }, "invalid size" },
    { { "--callsite", "--info", "x" }, "--callsite works only with" },
    { { "--quiet", "--clear", "x" }, "--quiet works only with" },
    { { "--wait", "--size=1M", "x" }, "--wait works only with" },
    { { "--trace=x", "x" }, "--trace" },
  };

  (void) data;
  (void) f;
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_fails (tool_run (cases[i].args[0], cases[i].args[1], cases[i].args[2], cases[i].args[3], NULL), 2,
                  cases[i].text);
}

static void
test_bad_files (Fixture *f, gconstpointer data)
{
  static const char *const commands[] = { "--trace", "--follow", "--pipe", "--info", "--size", "--size=2M", "--clear" };
  static const gboolean is_writing[] = { FALSE, FALSE, TRUE, FALSE, FALSE, TRUE, TRUE };
  g_autofree char *link = g_build_filename (f->dir, "link", NULL);
  g_autofree char *fifo = g_build_filename (f->dir, "fifo", NULL);
  g_autofree char *text = g_build_filename (f->dir, "text", NULL);
  g_autofree char *none = g_build_filename (f->dir, "none", NULL);
  g_autofree char *empty = g_build_filename (f->dir, "empty", NULL);
  g_autofree char *newer = g_build_filename (f->dir, "newer", NULL);
  g_autofree char *lost = g_build_filename (f->dir, "lost", "log", NULL);
  g_autoptr (Canned) c = canned_new (4);

  (void) data;
  g_assert_true (g_file_set_contents (text, "A text.\n", -1, NULL));
  g_assert_true (g_file_set_contents (empty, "", 0, NULL));
  g_assert_cmpint (symlink (text, link), ==, 0);
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  canned_write (c, f->path);
  c->super.version = GUINT32_TO_LE (3);
  canned_super (c, 2);
  canned_super (c, 3);
  canned_write (c, newer);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      assert_fails (tool_run (commands[i], none, NULL), 4, "no such file");
      assert_fails (tool_run (commands[i], f->dir, NULL), 4, "is a directory");
      /* what reads follows links, and reads pipes */
      if (is_writing[i])
        {
          assert_fails (tool_run (commands[i], link, NULL), 4, "symbolic link");
          assert_fails (tool_run (commands[i], fifo, NULL), 4, "not a regular file");
        }
      else
        assert_fails (tool_run (commands[i], link, NULL), 3, "not a virtio-ddebug log");
      assert_fails (tool_run (commands[i], "/dev/null", NULL), 4, "not a regular file");
      assert_fails (tool_run (commands[i], text, NULL), 3, "not a virtio-ddebug log");
      assert_fails (tool_run (commands[i], empty, NULL), 3, "is empty");
      assert_fails (tool_run (commands[i], newer, NULL), 3, "log of version 3, but this tool reads version 1");
      g_assert_cmpint (chmod (f->path, 0), ==, 0);
      assert_fails (tool_run_unprivileged (commands[i], f->path, NULL), 4, "permission denied");
      g_assert_cmpint (chmod (f->path, 0644), ==, 0);
    }
  assert_fails (tool_run ("--wait", lost, NULL), 4, "create the directory first");
  {
    g_autofree char *after = NULL;

    g_assert_true (g_file_get_contents (text, &after, NULL, NULL));
    g_assert_cmpstr (after, ==, "A text.\n");
  }
}

/* A shell runs @format, in which $T is the tool. */
static Result G_GNUC_PRINTF (1, 2)
shell (const char *format, ...)
{
  char *argv[] = { (char *) "sh", (char *) "-c", NULL, NULL };
  g_autofree char *script = NULL;
  Result r = { 0 };
  va_list args;
  int status;

  va_start (args, format);
  script = g_strdup_vprintf (format, args);
  va_end (args);
  argv[2] = g_strconcat ("T=$DDEBUG_HOST; ", script, NULL);
  g_assert_true (g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &r.out, &r.err, &status, NULL));
  r.status = WEXITSTATUS (status);
  g_free (argv[2]);
  return r;
}

static void
test_links (Fixture *f, gconstpointer data)
{
  const char *commands[] = { "--trace", "--follow", "--size", "--last-words", "--list-boots" };
  g_autofree char *link = g_build_filename (f->dir, "link", NULL);
  g_autofree char *link2 = g_build_filename (f->dir, "link2", NULL);
  g_autofree char *later = g_build_filename (f->dir, "later", NULL);
  g_autofree char *cursor = g_strconcat (link, ".cursor", NULL);
  g_autofree char *name = g_path_get_basename (f->path);
  Tool *tool;

  (void) data;
  write_golden (f->path);
  g_assert_cmpint (symlink (name, link), ==, 0);
  g_assert_cmpint (symlink (link, link2), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      Result direct = tool_run (commands[i], f->path, NULL);

      assert_prints (tool_run (commands[i], link2, NULL), direct.out);
      result_clear (&direct);
    }
  assert_fails (tool_run ("--pipe", link, NULL), 4, "symbolic link");
  assert_fails (tool_run ("--size=2M", link, NULL), 4, "symbolic link");
  assert_fails (tool_run ("--clear", link, NULL), 4, "symbolic link");
  g_assert_false (g_file_test (cursor, G_FILE_TEST_EXISTS));
  /* the log that a link leads to is waited for where it will be */
  g_assert_cmpint (unlink (link), ==, 0);
  g_assert_cmpint (symlink (later, link), ==, 0);
  assert_fails (tool_run ("--trace", link, NULL), 4, "no such file");
  tool = tool_start ("--trace", "--wait", link, NULL);
  tool_wait_asleep (tool);
  g_assert_cmpint (g_rename (f->path, later), ==, 0);
  g_assert_cmpint (tool_finish (tool), ==, 0);
  g_assert_nonnull (strstr (tool->text->str, "epoch 2"));
  tool_free (tool);
  /* a circle */
  g_assert_cmpint (unlink (link), ==, 0);
  g_assert_cmpint (symlink (link2, link), ==, 0);
  assert_fails (tool_run ("--trace", link, NULL), 4, "symbolic link");
}

/* A log that is not a file: each way in which it can be given, and each command that reads. */
static void
test_pipes (Fixture *f, gconstpointer data)
{
  const char *commands[] = { "--trace", "--follow", "--size", "--list-boots", "-o json" };
  const char *ways[] = {
    "cat %s | $T %s -", "$T %2$s - < %1$s", "cat %s | $T %s /dev/stdin", "mkfifo pipe; cat %s > pipe & $T %s pipe; rm pipe",
    "cp %s gone; { rm gone; $T %s -; } < gone", "gzip -c %s | $T %s -", "gzip -c %s > a.gz; $T %s a.gz",
    "{ head -c 10000 %1$s | gzip -c; tail -c +10001 %1$s | gzip -c; } | $T %2$s -",
    "{ cat %s; head -c 100000 /dev/zero; echo more; } | $T %s -",
  };

  (void) data;
  write_golden (f->path);
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    for (guint j = 0; j < G_N_ELEMENTS (commands); j++)
      {
        g_autofree char *plain = g_strdup_printf ("$T %s %s", commands[j], f->path);
        g_autofree char *way = NULL, *here = NULL;
        Result direct = shell ("%s", plain), r;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        way = g_strdup_printf (ways[i], f->path, commands[j]);
#pragma GCC diagnostic pop
        r = shell ("cd %s; export TMPDIR=%s; %s", f->dir, f->dir, way);
        g_test_message ("%s", way);
        g_assert_cmpstr (r.err, ==, "");
        g_assert_cmpint (r.status, ==, 0);
        if (j == G_N_ELEMENTS (commands) - 1)
          {
            /* a copy is not told by another name */
            g_auto (GStrv) lines = g_strsplit (direct.out, "\n", -1), others = g_strsplit (r.out, "\n", -1);

            g_assert_cmpuint (g_strv_length (lines), ==, g_strv_length (others));
          }
        else
          g_assert_cmpstr (r.out, ==, direct.out);
        result_clear (&direct);
        result_clear (&r);
      }
  /* nothing stays behind but the log and a.gz */
  assert_prints (shell ("ls %s | wc -l", f->dir), "2\n");
}

static void
test_bad_pipes (Fixture *f, gconstpointer data)
{
  const struct
  {
    const char *script;
    int status;
    const char *text;
  } cases[] = {
    { "true | $T -", 3, "-: is empty" },
    { "echo text | $T -", 3, "-: is not a virtio-ddebug log" },
    { "cat /dev/zero | $T -", 3, "-: is empty" },
    { "$T - < /dev/zero", 3, "-: is empty" },
    { "yes | gzip -c | $T -", 3, "-: is not a virtio-ddebug log" },
    { "cat log | TMPDIR=/nowhere $T -", 1, "-: no temporary copy in /nowhere: No such file" },
    { "cat log | (ulimit -f 1; $T -)", 1, "File too large; set TMPDIR" },
    { "printf '\\050\\265\\057\\375xxxx' > z; $T z", 3, "z: is compressed with zstd; use: zstd -dc FILE | ddebug-host -" },
    { "printf '\\3757zXZ\\000x' | $T -", 3, "-: is compressed with xz; use: xz -dc" },
    { "printf 'BZh9' | $T -", 3, "is compressed with bzip2" },
    { "printf '\\004\\042\\115\\030' | $T -", 3, "is compressed with lz4" },
    { "cat log | $T --pipe -", 2, "-: --pipe, --size= and --clear need the log itself" },
    { "cat log | $T --clear -", 2, "need the log itself" },
    { "cat log | $T --size=2M -", 2, "need the log itself" },
  };
  g_autofree char *log = g_build_filename (f->dir, "log", NULL);
  Result r;

  (void) data;
  write_golden (log);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      r = shell ("cd %s; %s", f->dir, cases[i].script);
      g_test_message ("%s: %s", cases[i].script, r.err);
      g_assert_cmpstr (r.out, ==, "");
      assert_says (r, cases[i].status, cases[i].text);
    }
  /* what there is of a log that was cut is read, compressed or not; it is a copy */
  r = shell ("cd %s; head -c 150000 log | $T --info -", f->dir);
  g_assert_nonnull (strstr (r.err, "-: was cut short: 150000 of "));
  g_assert_nonnull (strstr (r.out, "unknown (this is a copy)"));
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
  r = shell ("cd %s; gzip -c log > log.gz; head -c $(($(stat -c %%s log.gz) - 20)) log.gz | $T --info -", f->dir);
  g_assert_nonnull (strstr (r.err, "-: cannot be decompressed to its end"));
  g_assert_nonnull (strstr (r.out, "file:      -\n"));
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
}

/* Reading is allowed, writing is not: neither beside the log nor to it. */
static void
test_read_only (Fixture *f, gconstpointer data)
{
  g_autofree char *before = NULL, *after = NULL;
  gsize before_len, after_len;

  (void) data;
  write_golden (f->path);
  g_assert_cmpint (chmod (f->path, 0444), ==, 0);
  g_assert_cmpint (chmod (f->dir, 0555), ==, 0);
  g_assert_true (g_file_get_contents (f->path, &before, &before_len, NULL));
  {
    Result r = tool_run_unprivileged ("--trace", f->path, NULL);

    g_assert_cmpint (r.status, ==, 0);
    result_clear (&r);
  }
  assert_fails (tool_run_unprivileged ("--pipe", f->path, NULL), 4, ".cursor: Permission denied; --pipe stores its position");
  assert_fails (tool_run_unprivileged ("--size=2M", f->path, NULL), 4, "cannot be changed: Permission denied");
  assert_fails (tool_run_unprivileged ("--clear", f->path, NULL), 4, "cannot be changed: Permission denied");
  g_assert_true (g_file_get_contents (f->path, &after, &after_len, NULL));
  g_assert_cmpmem (before, before_len, after, after_len);
  g_assert_cmpint (chmod (f->dir, 0755), ==, 0);
}

static void
test_full_disk (Fixture *f, gconstpointer data)
{
  g_autofree char *command = NULL;
  g_autofree char *err = NULL;
  g_autofree char *cursor = g_strconcat (f->path, ".cursor", NULL);
  Result all, again;
  int status;

  (void) data;
  write_golden (f->path);
  command = g_strdup_printf ("sh -c '%s --pipe %s > /dev/full'", g_getenv ("DDEBUG_HOST"), f->path);
  g_assert_true (g_spawn_command_line_sync (command, NULL, &err, &status, NULL));
  g_assert_cmpstr (err, ==, "ddebug-host: standard output: No space left on device\n");
  g_assert_false (g_spawn_check_wait_status (status, NULL));
  /* nothing was consumed by it */
  all = tool_run ("--trace", f->path, NULL);
  again = tool_run ("--pipe", f->path, NULL);
  g_assert_cmpstr (all.out, ==, again.out);
  result_clear (&all);
  result_clear (&again);
}

/* Room for the cursor: it is a head of a page, and some lines. */
static void
limit_file_size (gpointer data)
{
  const struct rlimit limit = { 8192 + 10, 8192 + 10 };

  (void) data;
  setrlimit (RLIMIT_FSIZE, &limit);
}

/*
 * An output that takes a part of a write, and then no more: whole lines in that part
 * are consumed, the next consumer begins with the one that was cut.
 */
static void
test_cut_output (Fixture *f, gconstpointer data)
{
  g_autofree char *out_path = g_build_filename (f->dir, "out", NULL);
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (Producer) p = producer_new (0, 0, 0);
  g_autofree char *err = NULL;
  g_autofree char *cut = NULL;
  g_autofree char *joined = NULL;
  char *argv[] = { (char *) "sh", (char *) "-c", NULL, NULL };
  Result all, again;
  char *end;
  int status;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  for (guint i = 0; i < 500; i++)
    producer_printf (p, i, "message %u", i);
  canned_take (c, p, 1, 1);
  canned_write (c, f->path);
  all = tool_run ("--trace", f->path, NULL);
  argv[2] = g_strdup_printf ("exec %s --pipe %s > %s", g_getenv ("DDEBUG_HOST"), f->path, out_path);
  g_assert_true (g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, limit_file_size, NULL, NULL, &err, &status,
                               NULL));
  g_free (argv[2]);
  g_assert_cmpstr (err, ==, "ddebug-host: standard output: File too large\n");
  g_assert_cmpint (WEXITSTATUS (status), ==, 1);
  g_assert_true (g_file_get_contents (out_path, &cut, NULL, NULL));
  g_assert_cmpuint (strlen (cut), ==, 8192 + 10);
  end = strrchr (cut, '\n');
  g_assert_nonnull (end);
  g_assert_cmpstr (end + 1, !=, "");
  end[1] = '\0';
  again = tool_run ("--pipe", f->path, NULL);
  joined = g_strconcat (cut, again.out, NULL);
  g_assert_cmpstr (joined, ==, all.out);
  result_clear (&all);
  result_clear (&again);
}

/* A message that was committed late: marked, and counted. */
static void
test_late (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (Producer) a = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (Producer) b = producer_new (4, 1, VIRTIO_DDEBUG_CTX_TASK);
  Result r;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  for (guint i = 0; i < 4; i++)
    {
      c->monotonic = i * SECOND;
      producer_printf (a, (10 + i) * SECOND, "a%u", i);
      canned_take (c, a, 1, 1 + 2 * i);
    }
  /* it had its time when a0 had; that is given out when a second has passed and two passes */
  producer_printf (b, 10 * SECOND - 1, "b0");
  producer_printf (b, 13 * SECOND, "b1");
  canned_take (c, b, 1, 8);
  canned_write (c, f->path);
  assert_prints (tool_run ("--trace", f->path, NULL),
                 "[   10.000000] a0\n"
                 "[   11.000000] a1\n"
                 "[   12.000000] a2\n"
                 "-- late on cpu 1, task: the next message is 2.000001 s older than one before it --\n"
                 "[    9.999999] b0\n"
                 "[   13.000000] a3\n"
                 "[   13.000000] b1\n");
  assert_prints (tool_run ("--trace", "--quiet", f->path, NULL),
                 "[   10.000000] a0\n"
                 "[   11.000000] a1\n"
                 "[   12.000000] a2\n"
                 "[    9.999999] b0\n"
                 "[   13.000000] a3\n"
                 "[   13.000000] b1\n");
  r = tool_run ("--info", f->path, NULL);
  g_assert_nonnull (strstr (r.out, "\nlate:      1\n"));
  g_assert_nonnull (strstr (r.out, "      1  task                2            0            0            0            1\n"));
  result_clear (&r);
}

/* Another name of a log: it is read, and not changed; a cursor that is one is refused. */
static void
test_hard_links (Fixture *f, gconstpointer data)
{
  g_autofree char *other = g_build_filename (f->dir, "other", NULL);
  g_autofree char *cursor = g_strconcat (f->path, ".cursor", NULL);
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  gsize len, len_after;
  Result a, b;

  (void) data;
  write_golden (f->path);
  g_assert_cmpint (link (f->path, other), ==, 0);
  a = tool_run ("--trace", f->path, NULL);
  b = tool_run ("--trace", other, NULL);
  g_assert_cmpstr (a.out, ==, b.out);
  g_assert_cmpint (b.status, ==, 0);
  result_clear (&a);
  result_clear (&b);
  g_assert_true (g_file_get_contents (f->path, &before, &len, NULL));
  assert_fails (tool_run ("--clear", other, NULL), 4, "link");
  assert_fails (tool_run ("--size=2M", other, NULL), 4, "link");
  /* the log itself, where its cursor should be */
  g_assert_cmpint (link (f->path, cursor), ==, 0);
  assert_fails (tool_run ("--pipe", f->path, NULL), 4, "is not a cursor");
  g_assert_true (g_file_get_contents (f->path, &after, &len_after, NULL));
  g_assert_cmpmem (before, len, after, len_after);
}

/* Descriptors that a caller has closed are not taken for files that are open. */
static void
test_closed_descriptors (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *command;
    int status;
    const char *err;
  } cases[] = {
    { "sh -c '%s --trace %s >&-'", 1, "ddebug-host: standard output is closed\n" },
    { "sh -c '%s --clear --wait %s <&- 2>&-'", 2, "" },
    { "sh -c '%s --pipe %s <&- 2>&- > /dev/full'", 1, "" },
    { "sh -c '%s --trace %s <&- 2>&-'", 0, "" },
  };
  g_autofree char *before = NULL;
  gsize before_len;

  (void) data;
  write_golden (f->path);
  g_assert_true (g_file_get_contents (f->path, &before, &before_len, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *command = NULL;
      g_autofree char *out = NULL;
      g_autofree char *err = NULL;
      g_autofree char *after = NULL;
      gsize after_len;
      int status;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
      command = g_strdup_printf (cases[i].command, g_getenv ("DDEBUG_HOST"), f->path);
#pragma GCC diagnostic pop
      g_assert_true (g_spawn_command_line_sync (command, &out, &err, &status, NULL));
      g_assert_cmpstr (err, ==, cases[i].err);
      g_assert_true ((*out != '\0') == (cases[i].status == 0));
      g_assert_cmpint (WEXITSTATUS (status), ==, cases[i].status);
      g_assert_true (g_file_get_contents (f->path, &after, &after_len, NULL));
      g_assert_cmpmem (before, before_len, after, after_len);
    }
}

/* ---- a dead VM's log ---- */

static void
test_size_of_dead (Fixture *f, gconstpointer data)
{
  static const char *const sizes[] = { "--size=4M", "--size=1M", "--size=1048577", "--size=3m", "--size=2048K" };
  Result whole;

  (void) data;
  write_golden (f->path);
  assert_prints (tool_run ("--size", f->path, NULL), "851968 (832.0 KiB)\n");
  whole = tool_run ("--quiet", f->path, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      Result set = tool_run (sizes[i], f->path, NULL);
      Result got = tool_run ("--size", f->path, NULL);
      struct stat st;

      g_assert_cmpstr (set.err, ==, "");
      g_assert_cmpint (set.status, ==, 0);
      g_assert_cmpstr (set.out, ==, got.out);
      g_assert_cmpint (stat (f->path, &st), ==, 0);
      g_assert_cmpuint (g_ascii_strtoull (got.out, NULL, 10), ==, st.st_size);
      g_assert_cmpuint (st.st_size, <=, 4 << 20);
      g_assert_cmpuint (st.st_size, >=, (1 << 20) - (128 << 10));
      result_clear (&set);
      result_clear (&got);
      /* there is little in it: all of it stays */
      assert_prints (tool_run ("--quiet", f->path, NULL), whole.out);
    }
  result_clear (&whole);
}

static void
test_clear_dead (Fixture *f, gconstpointer data)
{
  (void) data;
  write_golden (f->path);
  assert_prints (tool_run ("--clear", f->path, NULL), "");
  assert_prints (tool_run ("--trace", f->path, NULL), "");
  assert_prints (tool_run ("--pipe", f->path, NULL), "");
}

/* ---- help ---- */

static void
test_help (Fixture *f, gconstpointer data)
{
  static const char *const words[] = {
    "--trace", "--follow", "--pipe", "--info", "--size", "--clear", "--help", "--version", "--wait", "--callsite",
    "--quiet", "FILE.cursor", "Exit status:", "Examples:", "\n 0  ", "\n 1  ", "\n 2  ", "\n 3  ", "\n 4  ", "\n 5  ",
    "130",
  };
  Result r = tool_run ("--help", NULL);

  (void) data;
  (void) f;
  g_assert_cmpint (r.status, ==, 0);
  g_assert_cmpstr (r.err, ==, "");
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (!strstr (r.out, words[i]))
      g_error ("--help does not say %s", words[i]);
  for (char *line = strtok (r.out, "\n"); line; line = strtok (NULL, "\n"))
    g_assert_cmpuint (strlen (line), <=, 100);
  result_clear (&r);
  r = tool_run ("--version", NULL);
  g_assert_cmpint (r.status, ==, 0);
  g_assert_true (g_str_has_prefix (r.out, "ddebug-host (virtio-ddebug) "));
  result_clear (&r);
}

/* The man page and the completion know every option that --help knows, and no other. */
static void
test_options_documented (Fixture *f, gconstpointer data)
{
  g_autofree char *man = NULL, *completion = NULL;
  g_autoptr (GRegex) options = g_regex_new ("--[a-z]+(?:-[a-z]+)*", 0, 0, NULL);
  g_autoptr (GRegex) dashes = g_regex_new ("\\\\-", 0, 0, NULL);
  g_autofree char *plain = NULL;
  Result r = tool_run ("--help", NULL);
  const char *texts[3];

  (void) data;
  (void) f;
  g_assert_true (g_file_get_contents ("../../host-tool/ddebug-host.1", &man, NULL, NULL));
  g_assert_true (g_file_get_contents ("../../host-tool/ddebug-host.bash-completion", &completion, NULL, NULL));
  plain = g_regex_replace_literal (dashes, man, -1, 0, "-", 0, NULL);
  texts[0] = r.out;
  texts[1] = plain;
  texts[2] = completion;
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GMatchInfo) match = NULL;

      g_regex_match (options, texts[i], 0, &match);
      for (; g_match_info_matches (match); g_match_info_next (match, NULL))
        {
          g_autofree char *option = g_match_info_fetch (match, 0);

          for (guint j = 0; j < G_N_ELEMENTS (texts); j++)
            if (!strstr (texts[j], option))
              g_error ("%s is in text %u, not in text %u", option, i, j);
        }
    }
  result_clear (&r);
}

/* ---- what became of the guests ---- */

#define PANIC (DDEBUG_KMSG_F_PAST | DDEBUG_KMSG_F_PANIC)

/* Three boots: one without an attach record, one that oopses and is shut down, one that panics. */
static void
write_deaths (const char *path, gboolean closed)
{
  g_autoptr (Canned) c = canned_new (8);
  g_autoptr (Producer) first = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (Producer) second = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (Producer) cpu0 = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (Producer) cpu1 = producer_new (4, 1, VIRTIO_DDEBUG_CTX_TASK);

  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  producer_printf (first, SECOND, "of a boot that is not known");
  canned_take (c, first, 1, 1);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DICT, 2);
  canned_attach (c, 2, 0x2222, 0x22);
  c->realtime += SECOND;
  producer_printf (second, SECOND, "before the oops");
  canned_take (c, second, 2, 2);
  canned_event (c, 2, DDEBUG_LOG_EVENT_NOTICE, VIRTIO_DDEBUG_NOTICE_OOPS, 0);
  c->realtime += SECOND;
  producer_printf (second, 2 * SECOND, "after the oops");
  canned_take (c, second, 2, 3);
  canned_event (c, 2, DDEBUG_LOG_EVENT_SHUTDOWN, DDEBUG_LOG_SHUTDOWN_GUEST, 0);
  canned_event (c, 2, DDEBUG_LOG_EVENT_CLOSE, 0, 0);

  canned_event (c, 2, DDEBUG_LOG_EVENT_OPEN, 4711, 0);
  canned_attach (c, 3, 0x3333, 0x33);
  c->realtime += SECOND;
  for (guint i = 0; i < 15; i++)
    producer_printf (cpu0, SECOND + i * MS, "number %u", i);
  producer_kmsg (cpu0, 2 * SECOND, DDEBUG_KMSG_F_PAST | DDEBUG_KMSG_F_OOPS, "[    1.900000] an oops before");
  producer_kmsg (cpu0, 3 * SECOND, 0, "said to all");
  producer_kmsg (cpu0, 3 * SECOND, PANIC, "[    2.900000] Kernel panic - not syncing: \x1b");
  producer_kmsg (cpu0, 3 * SECOND, PANIC, "[    2.900001] Call Trace:");
  producer_printf (cpu1, SECOND, "the other one");
  canned_take (c, cpu0, 3, 4);
  canned_take (c, cpu1, 3, 4);
  c->realtime += SECOND;
  canned_event (c, 3, DDEBUG_LOG_EVENT_NOTICE, VIRTIO_DDEBUG_NOTICE_PANIC, 0);
  canned_event (c, 3, DDEBUG_LOG_EVENT_STOP, DDEBUG_LOG_STOP_PANICKED, 0);
  if (closed)
    {
      canned_event (c, 3, DDEBUG_LOG_EVENT_SHUTDOWN, DDEBUG_LOG_SHUTDOWN_PANIC, 0);
      canned_event (c, 3, DDEBUG_LOG_EVENT_STOP, DDEBUG_LOG_STOP_SHUTDOWN, 0);
      canned_event (c, 3, DDEBUG_LOG_EVENT_CLOSE, 0, 0);
    }
  canned_write (c, path);
}

/* Each where it belongs: behind what its CPU said before. */
static void
test_events (Fixture *f, gconstpointer data)
{
  (void) data;
  write_deaths (f->path, TRUE);
  assert_prints (tool_run (f->path, NULL),
                 "[    1.000000] of a boot that is not known\n"
                 "-- epoch 2: kernel 6.1.0-56-amd64, boot 22222222-2222-2222-2222-222222222222, "
                 "2023-11-14 22:16:40 +0000 --\n"
                 "[    1.000000] before the oops\n"
                 "-- 2023-11-14 22:16:41 +0000: the guest's kernel oopsed on cpu 0 --\n"
                 "[    2.000000] after the oops\n"
                 "-- epoch 3: kernel 6.1.0-56-amd64, boot 33333333-3333-3333-3333-333333333333, "
                 "2023-11-14 22:16:42 +0000 --\n"
                 "[    1.000000] number 0\n"
                 "[    1.000000] the other one\n"
                 "[    1.001000] number 1\n[    1.002000] number 2\n[    1.003000] number 3\n"
                 "[    1.004000] number 4\n[    1.005000] number 5\n[    1.006000] number 6\n"
                 "[    1.007000] number 7\n[    1.008000] number 8\n[    1.009000] number 9\n"
                 "[    1.010000] number 10\n[    1.011000] number 11\n[    1.012000] number 12\n"
                 "[    1.013000] number 13\n[    1.014000] number 14\n"
                 "-- the kernel's log before an oops on cpu 0, task --\n"
                 "[    1.900000] an oops before\n"
                 "-- end of the kernel's log --\n"
                 "[    3.000000] said to all\n"
                 "-- the kernel's log before the panic on cpu 0, task --\n"
                 "[    2.900000] Kernel panic - not syncing: \\x1b\n"
                 "[    2.900001] Call Trace:\n"
                 "-- end of the kernel's log --\n"
                 "-- 2023-11-14 22:16:44 +0000: the guest's kernel panicked on cpu 0 --\n"
                 "-- 2023-11-14 22:16:44 +0000: the VM was stopped: pvpanic reported a guest panic --\n");
}

static void
test_list_boots (Fixture *f, gconstpointer data)
{
  (void) data;
  write_deaths (f->path, TRUE);
  assert_prints (tool_run ("--list-boots", f->path, NULL),
                 " IDX BOOT ID                              FIRST MESSAGE             LAST MESSAGE              "
                 "  MESSAGES DEATH        KERNEL\n"
                 "  -2 00000000-0000-0000-0000-000000000000 2023-11-14 22:16:40 +0000 2023-11-14 22:16:40 +0000 "
                 "         1              (attach record not in the log)\n"
                 "  -1 22222222-2222-2222-2222-222222222222 2023-11-14 22:16:41 +0000 2023-11-14 22:16:42 +0000 "
                 "         2 oops         6.1.0-56-amd64\n"
                 "   0 33333333-3333-3333-3333-333333333333 2023-11-14 22:16:43 +0000 2023-11-14 22:16:43 +0000 "
                 "        20 panic        6.1.0-56-amd64\n");
}

/* Ages are those of today. */
static char *
without_ages (const char *text)
{
  g_autoptr (GRegex) age = g_regex_new ("\\d+ days? ago", 0, 0, NULL);

  return g_regex_replace_literal (age, text, -1, 0, "N days ago", 0, NULL);
}

static void
assert_last_words (const char *path, const char *end)
{
  g_autofree char *expected = g_strconcat (
      "name:    canned\n"
      "boot:    33333333-3333-3333-3333-333333333333, kernel 6.1.0-56-amd64\n"
      "kernel:  panicked, N days ago, 2023-11-14 22:16:44 +0000\n",
      end,
      "\nlast messages of cpu 0\n"
      "[    1.005000] number 5\n[    1.006000] number 6\n[    1.007000] number 7\n[    1.008000] number 8\n"
      "[    1.009000] number 9\n[    1.010000] number 10\n[    1.011000] number 11\n[    1.012000] number 12\n"
      "[    1.013000] number 13\n[    1.014000] number 14\n"
      "\nlast messages of cpu 1\n"
      "[    1.000000] the other one\n"
      "\nend of the kernel's log, at the panic\n"
      "[    2.900000] Kernel panic - not syncing: \\x1b\n"
      "[    2.900001] Call Trace:\n", NULL);
  Result r = tool_run ("--last-words", path, NULL);
  g_autofree char *got = without_ages (r.out);

  g_assert_cmpstr (r.err, ==, "");
  g_assert_cmpstr (got, ==, expected);
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
}

static void
test_last_words (Fixture *f, gconstpointer data)
{
  (void) data;
  write_deaths (f->path, TRUE);
  assert_last_words (f->path, "VM:      the guest panicked, which ends this VM, N days ago, 2023-11-14 22:16:44 +0000\n"
                              "QEMU:    exited\n");
  write_deaths (f->path, FALSE);
  assert_last_words (f->path, "VM:      the VM was stopped: pvpanic reported a guest panic, N days ago, "
                              "2023-11-14 22:16:44 +0000\n"
                              "QEMU:    died without closing the log\n");
}

/* A kernel whose log was recorded as it was printed does not copy its end again. */
static void
test_last_words_as_they_were_printed (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (8);
  g_autoptr (Producer) cpu0 = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  Result r;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 2);
  canned_attach (c, 1, 0x2222, 0x22);
  producer_kmsg (cpu0, SECOND, DDEBUG_KMSG_F_PAST, "[    0.500000] before");
  for (guint i = 0; i < 12; i++)
    producer_kmsg (cpu0, 2 * SECOND, 0, "line");
  producer_printf (cpu0, 2 * SECOND, "message");
  producer_kmsg (cpu0, 3 * SECOND, 0, "Kernel panic - not syncing");
  canned_take (c, cpu0, 1, 1);
  canned_event (c, 1, DDEBUG_LOG_EVENT_NOTICE, VIRTIO_DDEBUG_NOTICE_PANIC, 0);
  canned_write (c, f->path);
  r = tool_run ("--last-words", f->path, NULL);
  if (!g_str_has_suffix (r.out, "\nlast messages of cpu 0\n"
                                "[    2.000000] message\n"
                                "\nend of the kernel's log, at the panic\n"
                                "[    2.000000] line\n[    2.000000] line\n[    2.000000] line\n"
                                "[    2.000000] line\n[    2.000000] line\n[    2.000000] line\n"
                                "[    2.000000] line\n[    2.000000] line\n[    2.000000] line\n"
                                "[    2.000000] line\n[    2.000000] line\n[    2.000000] line\n"
                                "[    3.000000] Kernel panic - not syncing\n"))
    g_error ("%s", r.out);
  result_clear (&r);
}

/* An oops of a CPU that logs no more is reported while the others continue. */
static void
test_silent_cpu (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (8);
  g_autoptr (Producer) cpu0 = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (Producer) cpu1 = producer_new (4, 1, VIRTIO_DDEBUG_CTX_TASK);

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 2);
  canned_attach (c, 1, 0x2222, 0x22);
  producer_printf (cpu1, SECOND, "last of cpu 1");
  canned_take (c, cpu1, 1, 1);
  canned_event (c, 1, DDEBUG_LOG_EVENT_NOTICE, VIRTIO_DDEBUG_NOTICE_OOPS, 1);
  for (guint i = 0; i < 5; i++)
    {
      c->realtime += SECOND;
      producer_printf (cpu0, (i + 2) * SECOND, "number %u", i);
      canned_take (c, cpu0, 1, i + 2);
    }
  canned_write (c, f->path);
  assert_prints (tool_run (f->path, NULL),
                 "[    1.000000] last of cpu 1\n"
                 "[    2.000000] number 0\n"
                 "[    3.000000] number 1\n"
                 "-- 2023-11-14 22:16:40 +0000: the guest's kernel oopsed on cpu 1 --\n"
                 "[    4.000000] number 2\n"
                 "[    5.000000] number 3\n"
                 "[    6.000000] number 4\n");
}

/* Its driver was reloaded in between. */
static void
test_last_words_of_a_boot_of_two_epochs (Fixture *f, gconstpointer data)
{
  g_autoptr (Canned) c = canned_new (8);
  g_autoptr (Producer) first = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (Producer) second = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autofree char *got = NULL;
  Result r;

  (void) data;
  canned_segment (c, 0, DDEBUG_LOG_SEG_DICT, 1);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DATA, 2);
  canned_attach (c, 1, 0x11, 0x22);
  producer_printf (first, SECOND, "before");
  canned_take (c, first, 1, 1);
  canned_attach (c, 2, 0x33, 0x22);
  producer_printf (second, 2 * SECOND, "after");
  canned_take (c, second, 2, 2);
  canned_event (c, 2, DDEBUG_LOG_EVENT_NOTICE, VIRTIO_DDEBUG_NOTICE_PANIC, 0);
  canned_write (c, f->path);
  r = tool_run ("--last-words", f->path, NULL);
  got = without_ages (r.out);
  g_assert_cmpint (r.status, ==, 0);
  g_assert_nonnull (strstr (got, "\nkernel:  panicked, N days ago, 2023-11-14 "));
  g_assert_nonnull (strstr (got, "\nlast messages of cpu 0\n[    1.000000] before\n[    2.000000] after\n"));
  result_clear (&r);
}

#define ADD(name, func) g_test_add ("/cli/" name, Fixture, NULL, set_up, func, log_folder_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("a log is printed to the byte", test_trace);
  ADD ("--quiet and --callsite", test_quiet_and_callsite);
  ADD ("--pipe consumes", test_pipe);
  ADD ("--info", test_info);
  ADD ("what the disk has", test_synced);
  ADD ("events are told where they belong", test_events);
  ADD ("--list-boots", test_list_boots);
  ADD ("--last-words", test_last_words);
  ADD ("--last-words of a kernel's log as it was printed", test_last_words_as_they_were_printed);
  ADD ("an oops of a CPU that says nothing more", test_silent_cpu);
  ADD ("--last-words of a boot of two epochs", test_last_words_of_a_boot_of_two_epochs);
  ADD ("a log with nothing in it", test_empty_log);
  ADD ("epochs are told apart by their rings", test_epochs);
  ADD ("names from a guest are made safe", test_hostile_names);
  ADD ("damage is said where it is", test_damage);
  ADD ("a log that was cut short", test_cut_short);
  ADD ("wrong usage", test_usage);
  ADD ("files that are no logs", test_bad_files);
  ADD ("links are followed by what reads", test_links);
  ADD ("logs from pipes, standard input and gzip", test_pipes);
  ADD ("pipes that have no log", test_bad_pipes);
  ADD ("a log and a folder that are read-only", test_read_only);
  ADD ("a full disk behind standard output", test_full_disk);
  ADD ("an output that takes a part", test_cut_output);
  ADD ("a message that comes late is marked and counted", test_late);
  ADD ("hard links are read, and not changed", test_hard_links);
  ADD ("closed descriptors", test_closed_descriptors);
  ADD ("the size of a dead VM's log", test_size_of_dead);
  ADD ("clearing a dead VM's log", test_clear_dead);
  ADD ("--help and --version", test_help);
  ADD ("man page and completion know all options", test_options_documented);
  return g_test_run ();
}
