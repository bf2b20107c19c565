/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many logs at once: each message of each log once, with its log's name, in the order
 * of the host's time, while VMs come and go; one bad log stops no other; the system's
 * limits of inotify stop none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "canned.h"
#include "ddebug-log-writer.h"
#include "run-tool.h"

enum { LOGS = 100, MESSAGES = 60 };

typedef struct
{
  char *dir;
  char *path[LOGS];
  DdebugLog *log[LOGS];         /* NULL: its VM is not there */
  Producer *producer[LOGS];
  guint64 pass[LOGS];
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  (void) data;
  f->dir = scratch_new ();
  for (guint i = 0; i < LOGS; i++)
    {
      g_autofree char *name = g_strdup_printf ("vm%02u", i);

      f->path[i] = g_build_filename (f->dir, name, NULL);
    }
}

static void
stop_vm (Fixture *f, guint i)
{
  if (!f->log[i])
    return;
  ddebug_log_append_event (f->log[i], DDEBUG_LOG_EVENT_CLOSE, 0, 0, 0);
  ddebug_log_close (f->log[i]);
  producer_free (f->producer[i]);
  f->log[i] = NULL;
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  (void) data;
  for (guint i = 0; i < LOGS; i++)
    {
      stop_vm (f, i);
      g_free (f->path[i]);
    }
  scratch_free (f->dir);
}

static void
start_vm (Fixture *f, guint i)
{
  const DdebugLogInfo info = { .vm_name = "test", .writer = "test-many" };
  struct virtio_ddebug_attach attach = { .instance = GUINT64_TO_LE (i + 1) };
  g_autoptr (GError) error = NULL;

  f->log[i] = ddebug_log_open (f->path[i], DDEBUG_LOG_SIZE_MIN, &info, DDEBUG_LOG_OPEN_CREATE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (ddebug_log_append_event (f->log[i], DDEBUG_LOG_EVENT_OPEN, getpid (), 0, 0), ==, 0);
  g_assert_cmpint (ddebug_log_append_attach (f->log[i], &attach, sizeof attach), ==, 0);
  f->producer[i] = producer_new (0, 0, 0);
  f->pass[i] = ddebug_log_last_pass (f->log[i]);
}

static void
say (Fixture *f, guint i)
{
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  Producer *p = f->producer[i];
  struct ddebug_log_chunk chunk;

  producer_printf (p, 1000000 * (p->number + 1), "vm%u number%u;", i, (guint) p->number);
  f->pass[i]++;
  while (producer_take (p, &chunk, payload))
    {
      DdebugLogData data = {
        .epoch = ddebug_log_epoch (f->log[i]),
        .subbuf_shift = p->shift,
        .pass = f->pass[i],
        .pos = GUINT64_FROM_LE (chunk.pos),
        .produced = p->number,
      };

      g_assert_cmpint (ddebug_log_append_data (f->log[i], &data, payload->data, payload->len), ==, 0);
    }
  g_assert_cmpint (ddebug_log_write_state (f->log[i], f->pass[i]), ==, 0);
}

/* The command line of a tool for all logs. */
static Tool *
start_tool (Fixture *f, const char *command)
{
  return tool_start_paths (command, "--wait", f->path, LOGS);
}

/* Goes over the lines of one log in @text; it went on from @next. */
static void
account (Fixture *f, const char *text, guint64 next[LOGS])
{
  for (const char *end; (end = strchr (text, '\n')); text = end + 1)
    {
      g_autofree char *line = g_strndup (text, end - text);
      const char *stamp = strstr (line, ": [");
      guint vm, number;

      if (!stamp || sscanf (strchr (stamp, ']'), "] vm%u number%u;", &vm, &number) != 2)
        g_error ("what is this line: %s", line);
      g_assert_cmpuint (vm, <, LOGS);
      g_assert_cmpmem (line, stamp - line, f->path[vm], strlen (f->path[vm]));
      g_assert_cmpuint (number, ==, next[vm]);
      next[vm]++;
    }
}

static guint
count_descriptors (Tool *tool)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", tool->pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  g_assert_nonnull (dir);
  while (g_dir_read_name (dir))
    n++;
  return n;
}

/* VMs come one after the other, while others speak and go. */
static void
test_come_and_go (Fixture *f, gconstpointer data)
{
  Tool *tools[2] = { start_tool (f, "--follow"), start_tool (f, "--pipe") };
  guint most = 0;

  (void) data;
  tool_wait_asleep (tools[0]);
  tool_wait_asleep (tools[1]);
  for (guint step = 0; step < LOGS + MESSAGES; step++)
    {
      if (step < LOGS)
        start_vm (f, step);
      for (guint i = 0; i < LOGS; i++)
        if (f->log[i])
          say (f, i);
      most = MAX (most, count_descriptors (tools[0]));
      for (guint t = 0; t < 2; t++)
        tool_take (tools[t]);
      /* this VM has said all; a tool that has never seen it would wait for another */
      if (step + 1 >= MESSAGES && step + 1 - MESSAGES < LOGS)
        {
          g_autofree char *last = g_strdup_printf ("vm%u number%u;", step + 1 - MESSAGES, MESSAGES - 1);

          tool_expect (tools[0], last);
          tool_expect (tools[1], last);
          stop_vm (f, step + 1 - MESSAGES);
        }
    }
  tool_drain (tools, 2);
  for (guint t = 0; t < 2; t++)
    {
      g_autofree char *errors = NULL;
      guint64 next[LOGS] = { 0 };

      g_assert_cmpint (tool_wait (tools[t]), ==, 0);
      errors = tool_errors (tools[t]);
      g_assert_cmpstr (errors, ==, "");
      account (f, tools[t]->text->str, next);
      for (guint i = 0; i < LOGS; i++)
        g_assert_cmpuint (next[i], ==, MESSAGES);
      tool_free (tools[t]);
    }
  /* one a log, and a handful: standard ones, signals, inotify */
  g_assert_cmpuint (most, >, 10);
  g_assert_cmpuint (most, <=, LOGS + 10);
}

/* All at once, also those that nobody writes; and each shared by two consumers. */
static void
test_all_at_once (Fixture *f, gconstpointer data)
{
  g_autofree char *both = NULL;
  guint64 next[LOGS] = { 0 }, seen = 0;
  Tool *tools[3];

  (void) data;
  for (guint i = 0; i < LOGS; i++)
    start_vm (f, i);
  for (guint n = 0; n < MESSAGES; n++)
    for (guint i = 0; i < LOGS; i++)
      say (f, i);
  for (guint i = 0; i < LOGS; i += 2)
    stop_vm (f, i);
  tools[0] = start_tool (f, "--trace");
  tools[1] = start_tool (f, "--pipe");
  tools[2] = start_tool (f, "--pipe");
  g_assert_cmpint (tool_finish (tools[0]), ==, 0);
  account (f, tools[0]->text->str, next);
  for (guint i = 0; i < LOGS; i++)
    {
      g_assert_cmpuint (next[i], ==, MESSAGES);
      stop_vm (f, i);
    }
  /* without a VM that is there, or was, a log is waited for: until somebody says enough */
  for (guint end = 0; seen < LOGS * MESSAGES && end < 600; end++)
    {
      tool_take (tools[1]);
      tool_take (tools[2]);
      seen = 0;
      for (guint t = 1; t <= 2; t++)
        for (const char *p = tools[t]->text->str; (p = strchr (p, '\n')); p++)
          seen++;
      g_usleep (50000);
    }
  for (guint t = 1; t <= 2; t++)
    {
      kill (tools[t]->pid, SIGTERM);
      g_assert_cmpint (tool_finish (tools[t]), ==, 128 + SIGTERM);
    }
  both = g_strconcat (tools[1]->text->str, tools[2]->text->str, NULL);
  {
    g_auto (GStrv) lines = g_strsplit (both, "\n", -1);
    g_autoptr (GHashTable) once = g_hash_table_new (g_str_hash, g_str_equal);

    for (char **line = lines; *line; line++)
      if (**line)
        g_assert_true (g_hash_table_add (once, *line));
    g_assert_cmpuint (g_hash_table_size (once), ==, LOGS * MESSAGES);
  }
  for (guint t = 0; t < 3; t++)
    tool_free (tools[t]);
}

/* ---- a few ---- */

static void
write_canned (const char *path, guint which, guint messages)
{
  g_autoptr (Canned) c = canned_new (4);
  g_autoptr (Producer) p = producer_new (0, 0, 0);

  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
  for (guint i = 0; i < messages; i++)
    {
      /* the guests' clocks have nothing to do with each other */
      c->realtime = 1700000000ull * 1000000000 + i * 10 + which;
      producer_printf (p, (100 - which) * G_GUINT64_CONSTANT (1000000000) + i, "%c%u", 'a' + which, i);
      canned_take (c, p, 1, i + 1);
    }
  canned_state (c, messages);
  canned_write (c, path);
}

/* By the host's clock; a name that could be a control is escaped, every line has it. */
static void
test_order (Fixture *f, gconstpointer data)
{
  g_autofree char *expected = NULL;
  g_autofree char *evil = g_build_filename (f->dir, "x\n\x1b[2J", NULL);
  Result r;

  (void) data;
  for (guint i = 0; i < 3; i++)
    write_canned (f->path[i], i, 2);
  expected = g_strdup_printf ("%s: [  100.000000] a0\n%s: [   99.000000] b0\n%s: [   98.000000] c0\n"
                              "%s: [  100.000000] a1\n%s: [   99.000000] b1\n%s: [   98.000000] c1\n",
                              f->path[0], f->path[1], f->path[2], f->path[0], f->path[1], f->path[2]);
  r = tool_run (f->path[2], f->path[0], f->path[1], NULL);
  g_assert_cmpstr (r.out, ==, expected);
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
  {
    g_autoptr (Canned) c = canned_new (4);
    g_autoptr (Producer) p = producer_new (0, 0, 0);

    canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 1);
    p->number = 2;
    producer_printf (p, 1, "two\nlines");
    canned_take (c, p, 1, 1);
    canned_write (c, evil);
  }
  r = tool_run (evil, f->path[3], NULL);
  g_assert_cmpint (r.status, ==, 4);
  for (const char *line = r.out, *end; (end = strchr (line, '\n')); line = end + 1)
    g_assert_true (g_str_has_prefix (line, f->dir) && strstr (line, "/x\\x0a\\x1b[2J: ") < end);
  g_assert_nonnull (strstr (r.out, "x\\x0a\\x1b[2J: -- 2 messages lost"));
  g_assert_nonnull (strstr (r.out, "x\\x0a\\x1b[2J:                lines\n"));
  result_clear (&r);
  g_assert_cmpint (unlink (evil), ==, 0);
}

/* What is wrong with one log is said; the others are shown, and the exit status tells. */
static void
test_bad_one (Fixture *f, gconstpointer data)
{
  static const char *const commands[] = { "--trace", "--follow", "--pipe", "--info" };

  (void) data;
  write_canned (f->path[0], 0, 1);
  write_canned (f->path[2], 2, 1);
  g_assert_true (g_file_set_contents (f->path[3], "no log", -1, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      Result r = tool_run (commands[i], f->path[0], f->path[1], f->path[2], f->path[3], NULL);

      g_assert_nonnull (strstr (r.out, i == 3 ? f->path[0] : "a0\n"));
      g_assert_nonnull (strstr (r.out, i == 3 ? f->path[2] : "c0\n"));
      g_assert_nonnull (strstr (r.err, "vm01: no such file"));
      g_assert_nonnull (strstr (r.err, "vm03: is not a virtio-ddebug log"));
      g_assert_cmpint (r.status, ==, 4);
      result_clear (&r);
    }
}

/* One VM that floods keeps no other waiting. */
static void
test_flood (Fixture *f, gconstpointer data)
{
  Tool *tool;
  guint n = 0;

  (void) data;
  start_vm (f, 0);
  start_vm (f, 1);
  say (f, 0);
  say (f, 1);
  tool = tool_start ("--follow", f->path[0], f->path[1], NULL);
  tool_expect (tool, "vm1 number0;");
  /* nobody reads: the tool is behind by more than what one round takes */
  for (; n < 30000; n++)
    say (f, 0);
  say (f, 1);
  while (!strstr (tool->text->str, "vm1 number1;"))
    {
      say (f, 0);
      tool_take (tool);
      g_assert_cmpuint (n++, <, 3000000);
    }
  tool_free (tool);
}

/* ---- limits ---- */

/* A user namespace of its own, in which nobody may have what @name counts. */
static void
forbid (const char *name)
{
  g_autofree char *path = g_strconcat ("/proc/sys/user/", name, NULL);
  int fd;

  if (unshare (CLONE_NEWUSER) != 0 || (fd = open (path, O_WRONLY)) < 0 || write (fd, "0", 1) != 1)
    _exit (99);
  close (fd);
}

static void
forbid_instances (gpointer data)
{
  (void) data;
  forbid ("max_inotify_instances");
}

static void
forbid_watches (gpointer data)
{
  (void) data;
  forbid ("max_inotify_watches");
}

static gboolean
can_forbid (void)
{
  int status;
  pid_t pid = fork ();

  if (pid == 0)
    {
      forbid ("max_inotify_instances");
      _exit (0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  return status == 0;
}

/* No inotify: said once, and the world is looked at instead. */
static void
test_no_inotify (Fixture *f, gconstpointer data)
{
  GSpawnChildSetupFunc const limits[] = { forbid_instances, forbid_watches };

  (void) data;
  if (!can_forbid ())
    {
      g_test_skip ("the system allows no user namespace, in which inotify could be forbidden");
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (limits); i++)
    {
      g_autofree char *errors = NULL;
      char *paths[] = { f->path[2 * i], f->path[2 * i + 1] };
      Tool *tool = tool_start_setup (limits[i], "--follow", "--wait", paths, 2);

      for (guint vm = 2 * i; vm < 2 * i + 2; vm++)
        for (guint n = 0; n < 2; n++)
          {
            g_autofree char *text = g_strdup_printf ("vm%u number%u;", vm, n);

            if (n == 0)
              start_vm (f, vm);
            say (f, vm);
            tool_expect (tool, text);
          }
      stop_vm (f, 2 * i);
      stop_vm (f, 2 * i + 1);
      g_assert_cmpint (tool_finish (tool), ==, 0);
      errors = tool_errors (tool);
      g_assert_nonnull (strstr (errors, "cannot watch all files"));
      g_assert_true (strchr (errors, '\n') == errors + strlen (errors) - 1);
      tool_free (tool);
    }
}

#define ADD(name, func) g_test_add ("/many/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  signal (SIGPIPE, SIG_IGN);
  g_test_init (&argc, &argv, NULL);
  ADD ("a hundred VMs come and go", test_come_and_go);
  ADD ("a hundred logs at once, and two consumers of all", test_all_at_once);
  ADD ("lines come by the host's clock, with their log's name", test_order);
  ADD ("one that is no log stops no other", test_bad_one);
  ADD ("one that never rests stops no other", test_flood);
  ADD ("without inotify the logs are looked at again and again", test_no_inotify);
  return g_test_run ();
}
