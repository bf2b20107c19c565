/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tool beside a device that writes: it shows all, at once, in order or with
 * an exact gap, waits without polling, and ends well.
 *
 * The device is the real log writer, in this process or in one of its own; the
 * guest is a set of producers, one for each CPU.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "canned.h"
#include "ddebug-log-writer.h"
#include "run-tool.h"

enum { CPUS = 3 };

typedef struct
{
  char *dir;
  char *path;
  DdebugLog *log;           /* NULL: no VM */
  Producer *cpu[CPUS];
  guint64 time;
  guint64 pass;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  (void) data;
  f->dir = scratch_new ();
  f->path = g_build_filename (f->dir, "vm.log", NULL);
}

static void
stop_vm (Fixture *f)
{
  if (!f->log)
    return;
  ddebug_log_append_event (f->log, DDEBUG_LOG_EVENT_CLOSE, 0, 0, 0);
  ddebug_log_close (f->log);
  f->log = NULL;
  for (guint i = 0; i < CPUS; i++)
    producer_free (f->cpu[i]);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  (void) data;
  stop_vm (f);
  g_free (f->path);
  scratch_free (f->dir);
}

/* A QEMU opens the log. */
static void
open_log (Fixture *f, guint64 size)
{
  const DdebugLogInfo info = { .vm_name = "test", .writer = "test-live" };
  g_autoptr (GError) error = NULL;

  f->log = ddebug_log_open (f->path, size, &info, DDEBUG_LOG_OPEN_CREATE, &error);
  g_assert_no_error (error);
}

/* A guest boots, its driver attaches. */
static void
boot (Fixture *f, guint64 instance)
{
  struct virtio_ddebug_attach attach = { .instance = GUINT64_TO_LE (instance) };

  memset (attach.boot_id, (int) instance, sizeof attach.boot_id);
  strcpy ((char *) attach.release, "6.1.0-test");
  g_assert_cmpint (ddebug_log_append_event (f->log, DDEBUG_LOG_EVENT_OPEN, getpid (), 0, 0), ==, 0);
  g_assert_cmpint (ddebug_log_append_attach (f->log, &attach, sizeof attach), ==, 0);
  f->pass = ddebug_log_last_pass (f->log);
  for (guint i = 0; i < CPUS; i++)
    f->cpu[i] = producer_new (i * VIRTIO_DDEBUG_NR_CTX, i, VIRTIO_DDEBUG_CTX_TASK);
}

static void
start_vm (Fixture *f, guint64 size, guint64 instance)
{
  open_log (f, size);
  boot (f, instance);
}

static void
say (Fixture *f, guint cpu)
{
  f->time += 1000000;
  producer_printf (f->cpu[cpu], f->time, "cpu%u number%u;", cpu, (guint) f->cpu[cpu]->number);
}

static void
drain_cpu (Fixture *f, Producer *p)
{
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  struct ddebug_log_chunk chunk;

  while (producer_take (p, &chunk, payload))
    {
      DdebugLogData data = {
        .epoch = ddebug_log_epoch (f->log),
        .stream = p->id,
        .cpu = p->cpu,
        .context = p->context,
        .subbuf_shift = p->shift,
        .pass = f->pass,
        .pos = GUINT64_FROM_LE (chunk.pos),
        .produced = p->number,
        .recursed = p->recursed,
        .torn = p->torn,
      };

      g_assert_cmpint (ddebug_log_append_data (f->log, &data, payload->data, payload->len), ==, 0);
    }
}

/* The device looks at all streams. */
static void
drain (Fixture *f)
{
  f->pass++;
  for (guint i = 0; i < CPUS; i++)
    drain_cpu (f, f->cpu[i]);
}

/* And finds nothing the next time. */
static void
settle (Fixture *f)
{
  g_assert_cmpint (ddebug_log_write_state (f->log, f->pass), ==, 0);
}

static void
say_and_settle (Fixture *f, guint cpu)
{
  say (f, cpu);
  drain (f);
  settle (f);
}

/* ---- what was printed ---- */

typedef struct
{
  guint64 next[CPUS];
  guint64 received;
  guint64 lost;
} Account;

/*
 * Goes over the lines in @text: each message is the next of its CPU, or the
 * next after as many as a notice right there says.  A last line that is cut is
 * left out.
 */
static void
account (Account *a, const char *text)
{
  for (const char *end; (end = strchr (text, '\n')); text = end + 1)
    {
      g_autofree char *line = g_strndup (text, end - text);
      guint64 count;
      guint cpu, number;
      char more[16];

      if (sscanf (line, "-- %" G_GUINT64_FORMAT " message%15s lost on cpu %u, task:", &count, more, &cpu) == 3
          || sscanf (line, "-- %" G_GUINT64_FORMAT " message lost on cpu %u, task:", &count, &cpu) == 2)
        {
          g_assert_cmpuint (cpu, <, CPUS);
          a->next[cpu] += count;
          a->lost += count;
          continue;
        }
      if (sscanf (strchr (line, ']') ? strchr (line, ']') : "", "] cpu%u number%u;", &cpu, &number) != 2)
        g_error ("what is this line: %s", line);
      g_assert_cmpuint (cpu, <, CPUS);
      g_assert_cmpuint (number, ==, a->next[cpu]);
      a->next[cpu]++;
      a->received++;
    }
}

/* ---- following ---- */

static void
test_follow (Fixture *f, gconstpointer data)
{
  Account a = { 0 };
  Tool *tool;

  (void) data;
  start_vm (f, 0, 1);
  say_and_settle (f, 0);
  tool = tool_start ("--follow", f->path, NULL);
  tool_expect (tool, "cpu0 number0;\n");
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *text = g_strdup_printf ("cpu1 number%u;\n", i);

      say_and_settle (f, 1);
      tool_expect (tool, text);
    }
  say (f, 2);
  drain (f);
  stop_vm (f);
  g_assert_cmpint (tool_finish (tool), ==, 0);
  account (&a, tool->text->str);
  g_assert_cmpuint (a.received, ==, 52);
  tool_free (tool);
}

/* What is not settled is held back for a second at most. */
static void
test_stopped_writer (Fixture *f, gconstpointer data)
{
  gint64 begin;
  Tool *tool;

  (void) data;
  start_vm (f, 0, 1);
  tool = tool_start ("--follow", f->path, NULL);
  tool_wait_asleep (tool);
  begin = g_get_monotonic_time ();
  say (f, 0);
  drain (f);
  tool_expect (tool, "number0;");
  g_assert_cmpint (g_get_monotonic_time () - begin, >, 900000);
  tool_free (tool);
}

static void
test_no_polling (Fixture *f, gconstpointer data)
{
  const char *commands[] = { "--follow", "--pipe" };

  (void) data;
  start_vm (f, 0, 1);
  say_and_settle (f, 0);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      Tool *tool = tool_start (commands[i], f->path, NULL);
      guint64 before;

      tool_expect (tool, "number0;");
      tool_wait_asleep (tool);
      g_usleep (50000);
      before = tool_switches (tool);
      g_usleep (2 * G_USEC_PER_SEC);
      g_assert_cmpuint (tool_switches (tool), ==, before);
      tool_free (tool);
    }
}

static void
test_wait_for_file (Fixture *f, gconstpointer data)
{
  Tool *tool = tool_start ("--follow", "--wait", f->path, NULL);
  guint64 before;

  (void) data;
  tool_wait_asleep (tool);
  before = tool_switches (tool);
  g_usleep (G_USEC_PER_SEC);
  g_assert_cmpuint (tool_switches (tool), ==, before);
  /* an empty file, as QEMU makes it first */
  g_assert_true (g_file_set_contents_full (f->path, "", 0, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
  g_usleep (100000);
  start_vm (f, 0, 1);
  say_and_settle (f, 0);
  tool_expect (tool, "number0;");
  stop_vm (f);
  g_assert_cmpint (tool_finish (tool), ==, 0);
  tool_free (tool);
}

/* Its writer has come as far as the superblock when the tool opens it: that is no damage. */
static void
test_being_made (Fixture *f, gconstpointer data)
{
  g_autofree char *errors = NULL;
  Tool *tool;
  Result r;

  (void) data;
  open_log (f, 0);
  g_assert_cmpint (truncate (f->path, 8192), ==, 0);
  tool = tool_start ("--follow", f->path, NULL);
  tool_wait_asleep (tool);
  r = tool_run ("--info", f->path, NULL);
  g_assert_cmpint (r.status, ==, 0);
  g_assert_null (strstr (r.out, "cut short"));
  result_clear (&r);
  g_assert_cmpint (truncate (f->path, ddebug_log_size (f->log)), ==, 0);
  boot (f, 1);
  say_and_settle (f, 0);
  tool_expect (tool, "number0;");
  stop_vm (f);
  g_assert_cmpint (tool_finish (tool), ==, 0);
  errors = tool_errors (tool);
  g_assert_cmpstr (errors, ==, "");
  tool_free (tool);
}

/* A log whose VM is gone: with --wait the next one is waited for, without it is not. */
static void
test_wait_for_vm (Fixture *f, gconstpointer data)
{
  Tool *tool;
  Result r;

  (void) data;
  start_vm (f, 0, 1);
  say_and_settle (f, 0);
  stop_vm (f);
  r = tool_run ("--follow", f->path, NULL);
  g_assert_cmpint (r.status, ==, 0);
  g_assert_nonnull (strstr (r.out, "cpu0 number0;"));
  result_clear (&r);
  tool = tool_start ("--follow", "--wait", f->path, NULL);
  tool_expect (tool, "cpu0 number0;");
  tool_wait_asleep (tool);
  /* somebody changes its size: that is no VM */
  r = tool_run ("--size=2M", f->path, NULL);
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
  g_usleep (1500000);
  tool_wait_asleep (tool);
  start_vm (f, 0, 2);
  say_and_settle (f, 1);
  tool_expect (tool, "cpu1 number0;");
  g_assert_nonnull (strstr (tool->text->str, "-- epoch 2: kernel 6.1.0-test, boot 02020202-"));
  stop_vm (f);
  g_assert_cmpint (tool_finish (tool), ==, 0);
  tool_free (tool);
}

/* The VM is killed: what it wrote is shown, and the tool ends. */
static void
test_killed_vm (Fixture *f, gconstpointer data)
{
  Account a = { 0 };
  int ready[2];
  char byte;
  Tool *tool;
  pid_t pid;

  (void) data;
  g_assert_cmpint (pipe (ready), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      start_vm (f, 0, 1);
      for (guint i = 0; i < 1000; i++)
        say (f, i % CPUS);
      drain (f);
      if (write (ready[1], "", 1) == 1)
        pause ();
      _exit (1);
    }
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  tool = tool_start ("--follow", f->path, NULL);
  tool_expect (tool, "number0;");
  tool_wait_asleep (tool);
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  g_assert_cmpint (tool_finish (tool), ==, 0);
  account (&a, tool->text->str);
  g_assert_cmpuint (a.received, ==, 1000);
  tool_free (tool);
  close (ready[0]);
  close (ready[1]);
}

static void
test_removed (Fixture *f, gconstpointer data)
{
  g_autofree char *moved = g_strconcat (f->path, ".old", NULL);
  g_autofree char *removed_says = NULL;
  g_autofree char *replaced_says = NULL;
  Tool *removed, *replaced;

  (void) data;
  start_vm (f, 0, 1);
  replaced = tool_start ("--follow", f->path, NULL);
  tool_wait_asleep (replaced);
  g_assert_cmpint (g_rename (f->path, moved), ==, 0);
  g_assert_true (g_file_set_contents_full (f->path, "", 0, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
  g_usleep (100000);
  removed = tool_start ("--follow", moved, NULL);
  tool_wait_asleep (removed);
  g_assert_cmpint (g_unlink (moved), ==, 0);
  g_usleep (100000);
  say_and_settle (f, 0);
  tool_expect (removed, "number0;");
  tool_expect (replaced, "number0;");
  stop_vm (f);
  g_assert_cmpint (tool_finish (removed), ==, 0);
  g_assert_cmpint (tool_finish (replaced), ==, 0);
  removed_says = tool_errors (removed);
  replaced_says = tool_errors (replaced);
  g_assert_nonnull (strstr (removed_says, "was removed"));
  g_assert_nonnull (strstr (replaced_says, "was re"));
  tool_free (removed);
  tool_free (replaced);
}

/* --follow --wait has shown a VM's log to its end, and goes on with another VM's; what it said of that. */
static char *
follow_next_log (Fixture *f, void (*make_room) (const char *path))
{
  char *errors;
  Tool *tool;

  start_vm (f, 0, 1);
  say_and_settle (f, 0);
  stop_vm (f);
  tool = tool_start ("--follow", "--wait", f->path, NULL);
  tool_expect (tool, "cpu0 number0;");
  tool_wait_asleep (tool);
  make_room (f->path);
  start_vm (f, 0, 2);
  say_and_settle (f, 1);
  tool_expect (tool, "cpu1 number0;");
  stop_vm (f);
  g_assert_cmpint (tool_finish (tool), ==, 0);
  errors = tool_errors (tool);
  tool_free (tool);
  return errors;
}

static void
remove_log (const char *path)
{
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_usleep (100000);
}

static void
empty_log (const char *path)
{
  g_assert_cmpint (truncate (path, 0), ==, 0);
}

/* Nobody has the file that was removed: what comes in its place is waited for. */
static void
test_removed_before_start (Fixture *f, gconstpointer data)
{
  g_autofree char *errors = follow_next_log (f, remove_log);

  (void) data;
  g_assert_nonnull (strstr (errors, "was removed"));
  g_assert_nonnull (strstr (errors, "continuing with the new one"));
}

/*
 * The device begins a new file: all who read the old one go on there.  One consumer does so
 * when another has made the cursor that of the new log already.
 */
static void
test_removed_running (Fixture *f, gconstpointer data)
{
  const char *commands[] = { "--follow", "--pipe", "--pipe" };
  Tool *tool[G_N_ELEMENTS (commands)];

  (void) data;
  start_vm (f, 0, 1);
  say_and_settle (f, 0);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      tool[i] = tool_start (commands[i], f->path, NULL);
      if (i < 2)
        tool_expect (tool[i], "cpu0 number0;");
      tool_wait_asleep (tool[i]);
    }
  kill (tool[2]->pid, SIGSTOP);
  g_assert_cmpint (g_unlink (f->path), ==, 0);
  g_assert_false (ddebug_log_check (f->log, NULL));
  say_and_settle (f, 1);
  for (guint i = 0; i < 2; i++)
    {
      tool_expect (tool[i], "cpu1 number0;");
      tool_wait_asleep (tool[i]);
    }
  kill (tool[1]->pid, SIGSTOP);
  kill (tool[2]->pid, SIGCONT);
  g_usleep (100000);
  say_and_settle (f, 2);
  tool_expect (tool[2], "cpu2 number0;");
  kill (tool[1]->pid, SIGCONT);
  stop_vm (f);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      g_assert_cmpint (tool_finish (tool[i]), ==, 0);
      g_assert_true ((strstr (tool[i]->text->str, "cpu1 number0;") != NULL) == (i != 2));
      tool_free (tool[i]);
    }
}

/* ---- consuming ---- */

static void
test_pipe (Fixture *f, gconstpointer data)
{
  Account a = { 0 };
  Tool *tool;

  (void) data;
  start_vm (f, 0, 1);
  for (guint round = 0; round < 4; round++)
    {
      g_autofree char *text = g_strdup_printf ("cpu0 number%u;\n", round * 10 + 9);

      tool = tool_start ("--pipe", f->path, NULL);
      for (guint i = 0; i < 10; i++)
        say_and_settle (f, 0);
      tool_expect (tool, text);
      tool_wait_asleep (tool);
      kill (tool->pid, SIGINT);
      g_assert_cmpint (tool_finish (tool), ==, 128 + SIGINT);
      account (&a, tool->text->str);
      g_assert_cmpuint (a.received, ==, (round + 1) * 10);
      tool_free (tool);
    }
  g_assert_cmpuint (a.lost, ==, 0);
}

/* "| head": the reader goes while the tool has nothing to print. */
static void
test_output_gone_waiting (Fixture *f, gconstpointer data)
{
  const char *commands[] = { "--follow", "--pipe" };

  (void) data;
  start_vm (f, 0, 1);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      Tool *tool = tool_start (commands[i], f->path, NULL);
      g_autofree char *errors = NULL;

      tool_wait_asleep (tool);
      close (tool->out);
      tool->out = -1;
      g_assert_cmpint (tool_wait (tool), ==, 0);
      errors = tool_errors (tool);
      g_assert_cmpstr (errors, ==, "");
      tool_free (tool);
    }
}

/* "| head": the reader goes in the midst of much to print. */
static void
test_output_gone_writing (Fixture *f, gconstpointer data)
{
  const char *commands[] = { "--trace", "--follow", "--pipe" };

  (void) data;
  start_vm (f, 0, 1);
  for (guint i = 0; i < 10000; i++)
    say (f, i % CPUS);
  drain (f);
  settle (f);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      Tool *tool = tool_start (commands[i], f->path, NULL);
      g_autofree char *errors = NULL;

      tool_expect (tool, "number0;");
      close (tool->out);
      tool->out = -1;
      g_assert_cmpint (tool_wait (tool), ==, 0);
      errors = tool_errors (tool);
      g_assert_cmpstr (errors, ==, "");
      tool_free (tool);
    }
}

/*
 * A QEMU was killed.  The next one comes while the tool's output takes no more, and puts into the log what
 * was left in the shared rings.
 */
static void
test_next_while_writing (Fixture *f, gconstpointer data)
{
  enum { MESSAGES = 9999, LEFT = 30 };
  Account a = { 0 };
  char *next;
  Tool *tool;

  (void) data;
  start_vm (f, 0, 1);
  for (guint i = 0; i < MESSAGES; i++)
    {
      say (f, i % CPUS);
      if (i % 100 == 0)
        drain (f);
      /* what is before need not be held for order when what comes now is read */
      if (i == MESSAGES - 1000)
        g_usleep (200000);
    }
  for (guint i = 0; i < CPUS; i++)
    f->cpu[i]->number += LEFT / CPUS;
  drain (f);
  for (guint i = 0; i < CPUS; i++)
    f->cpu[i]->number -= LEFT / CPUS;
  ddebug_log_close (f->log);
  tool = tool_start ("--pipe", "--wait", f->path, NULL);
  tool_expect (tool, "number0;");
  tool_wait_asleep (tool);
  open_log (f, 0);
  for (guint i = 0; i < LEFT; i++)
    say (f, i % CPUS);
  drain (f);
  g_assert_cmpint (ddebug_log_append_event (f->log, DDEBUG_LOG_EVENT_RECOVERED, 0, 0, 0), ==, 0);
  for (guint i = 0; i < CPUS; i++)
    producer_free (f->cpu[i]);
  boot (f, 2);
  say_and_settle (f, 1);
  tool_expect (tool, "-- epoch 2:");
  say_and_settle (f, 2);
  tool_expect (tool, "cpu2 number0;\n");
  stop_vm (f);
  g_assert_cmpint (tool_finish (tool), ==, 0);
  next = strstr (tool->text->str, "-- epoch 2:");
  *next = '\0';
  account (&a, tool->text->str);
  g_assert_cmpuint (a.received, ==, MESSAGES + LEFT);
  tool_free (tool);
}

/*
 * Ctrl-C while the output takes no more: what was written whole is consumed,
 * the rest comes the next time, nothing twice.
 */
static void
test_interrupted_write (Fixture *f, gconstpointer data)
{
  Account a = { 0 };

  (void) data;
  start_vm (f, 0, 1);
  for (guint i = 0; i < 30000; i++)
    say (f, i % CPUS);
  drain (f);
  settle (f);
  for (guint round = 0; a.received < 30000; round++)
    {
      Tool *tool = tool_start ("--pipe", f->path, NULL);

      g_assert_cmpuint (round, <, 200);
      /* the pipe fills up, the tool waits for room */
      g_usleep (20000);
      tool_wait_asleep (tool);
      kill (tool->pid, SIGTERM);
      g_assert_cmpint (tool_finish (tool), ==, 128 + SIGTERM);
      account (&a, tool->text->str);
      tool_free (tool);
    }
  g_assert_cmpuint (a.received, ==, 30000);
  g_assert_cmpuint (a.lost, ==, 0);
}

static int
compare_lines (gconstpointer x, gconstpointer y)
{
  return strcmp (*(char *const *) x, *(char *const *) y);
}

/* Several consumers at once, one of which is killed: each message is printed by one of them. */
static void
test_shared (Fixture *f, gconstpointer data)
{
  enum { TOOLS = 3, MESSAGES = 3000 };
  g_autoptr (GString) all = g_string_new (NULL);
  g_auto (GStrv) lines = NULL;
  Tool *tool[TOOLS];
  guint n;

  (void) data;
  start_vm (f, 0, 1);
  for (guint i = 0; i < TOOLS; i++)
    tool[i] = tool_start ("--pipe", f->path, NULL);
  for (guint i = 0; i < MESSAGES; i++)
    {
      say (f, i % CPUS);
      if (i % 7 == 0)
        drain (f);
      if (i % 21 == 0)
        settle (f);
      if (i % 100 == 0)
        g_usleep (2000);
      if (i == MESSAGES / 2)
        {
          tool_wait_asleep (tool[0]);
          kill (tool[0]->pid, SIGINT);
        }
    }
  drain (f);
  stop_vm (f);
  tool_drain (tool, TOOLS);
  for (guint i = 0; i < TOOLS; i++)
    {
      g_assert_cmpint (tool_wait (tool[i]), ==, i == 0 ? 128 + SIGINT : 0);
      g_string_append (all, tool[i]->text->str);
      tool_free (tool[i]);
    }
  lines = g_strsplit (all->str, "\n", -1);
  n = g_strv_length (lines);
  qsort (lines, n, sizeof *lines, compare_lines);
  g_assert_cmpstr (lines[0], ==, "");
  g_assert_cmpuint (n - 1, ==, MESSAGES);
  for (guint i = 1; i < n; i++)
    {
      g_assert_cmpstr (lines[i], !=, lines[i - 1]);
      g_assert_true (g_str_has_prefix (lines[i], "["));
    }
}

/* What the tool formats before it writes; it may end with a message more. */
#define BATCH (65536 + 128)

/*
 * What a consumer printed after one that was killed: per CPU it goes on where that
 * was, or earlier, and then unbroken.  Returns how many bytes were there before.
 */
static gsize
account_after (Account *a, const char *text)
{
  gboolean met[CPUS] = { FALSE };
  guint64 next[CPUS] = { 0 };
  gsize repeated = 0;

  for (const char *end; (end = strchr (text, '\n')); text = end + 1)
    {
      guint cpu, number;

      g_assert_cmpint (sscanf (strchr (text, ']'), "] cpu%u number%u;", &cpu, &number), ==, 2);
      g_assert_cmpuint (cpu, <, CPUS);
      if (met[cpu])
        g_assert_cmpuint (number, ==, next[cpu]);
      met[cpu] = TRUE;
      next[cpu] = number + 1;
      g_assert_cmpuint (number, <=, a->next[cpu]);
      if (number < a->next[cpu])
        {
          repeated += end + 1 - text;
          continue;
        }
      a->next[cpu]++;
      a->received++;
    }
  return repeated;
}

/* A consumer that cannot get rid of its output holds the others up, not more: they end when told to. */
static void
test_held_up (Fixture *f, gconstpointer data)
{
  Account a = { 0 };
  Tool *first, *second;

  (void) data;
  start_vm (f, 0, 1);
  for (guint i = 0; i < 10000; i++)
    say (f, i % CPUS);
  drain (f);
  settle (f);
  first = tool_start ("--pipe", f->path, NULL);
  tool_expect (first, "number0;");
  second = tool_start ("--pipe", f->path, NULL);
  g_usleep (1500000);
  tool_wait_asleep (second);
  kill (first->pid, SIGKILL);
  g_assert_cmpint (tool_finish (first), ==, 128 + SIGKILL);
  account (&a, first->text->str);
  g_assert_cmpuint (a.received, >, 1000);
  g_assert_cmpuint (a.received, <, 9000);
  /* what it had written and not recorded, a batch, comes again */
  tool_expect (second, "number3000;");
  stop_vm (f);
  g_assert_cmpint (tool_finish (second), ==, 0);
  g_assert_cmpuint (account_after (&a, second->text->str), <=, BATCH);
  g_assert_cmpuint (a.received, ==, 10000);
  tool_free (first);
  tool_free (second);
}

/* ---- overwriting ---- */

/* A guest that never rests, on a log that holds little. */
static void
run_busy_vm (Fixture *f, int ready, guint messages)
{
  start_vm (f, DDEBUG_LOG_SIZE_MIN, 1);
  if (write (ready, "", 1) != 1)
    _exit (1);
  for (guint i = 0; i < messages; i++)
    {
      guint cpu = g_random_int_range (0, CPUS);

      say (f, cpu);
      if (i % 50 == 0)
        drain (f);
      /* the guest laps the device */
      if (i % 9973 == 0)
        {
          for (guint n = 0; n < 300; n++)
            say (f, cpu);
          producer_lap (f->cpu[cpu], f->cpu[cpu]->bytes->len & ~4095ull);
        }
      /* the device has a rest */
      if (i % 20011 == 0)
        {
          drain (f);
          settle (f);
          g_usleep (3000);
        }
    }
  for (guint cpu = 0; cpu < CPUS; cpu++)
    say (f, cpu);
  drain (f);
  settle (f);
  for (guint cpu = 0; cpu < CPUS; cpu++)
    if (write (ready, &f->cpu[cpu]->number, sizeof (guint64)) != sizeof (guint64))
      _exit (1);
  stop_vm (f);
  _exit (0);
}

/*
 * Readers of every kind, a quick one and ones that take a rest: each sees an
 * unbroken sequence, or a gap of exactly what is missing.
 */
static void
test_overwriting (Fixture *f, gconstpointer data)
{
  enum { MESSAGES = 300000 };
  struct
  {
    Tool *tool;
    guint rest;             /* us after each reading */
  } reader[4] = { 0 };
  guint64 produced[CPUS], total = 0;
  int ready[2], status;
  char byte;
  pid_t pid;

  (void) data;
  g_assert_cmpint (pipe (ready), ==, 0);
  pid = fork ();
  if (pid == 0)
    run_busy_vm (f, ready[1], MESSAGES);
  close (ready[1]);
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  for (guint i = 0; i < G_N_ELEMENTS (reader); i++)
    reader[i].tool = tool_start (i == 1 ? "--pipe" : "--follow", f->path, NULL);
  reader[2].rest = 20000;
  reader[3].rest = 200000;
  for (guint open = G_N_ELEMENTS (reader); open > 0;)
    {
      struct pollfd fds[G_N_ELEMENTS (reader)];
      static gint64 resting[G_N_ELEMENTS (reader)];
      gint64 now = g_get_monotonic_time ();

      for (guint i = 0; i < G_N_ELEMENTS (reader); i++)
        fds[i] = (struct pollfd){ .fd = resting[i] > now ? -1 : reader[i].tool->out, .events = POLLIN };
      g_assert_cmpint (poll (fds, G_N_ELEMENTS (reader), 10), >=, 0);
      for (guint i = 0; i < G_N_ELEMENTS (reader); i++)
        {
          char buf[65536];
          gssize n;

          if (!fds[i].revents)
            continue;
          n = read (fds[i].fd, buf, sizeof buf);
          g_assert_cmpint (n, >=, 0);
          g_string_append_len (reader[i].tool->text, buf, n);
          resting[i] = now + reader[i].rest;
          if (n == 0)
            {
              close (reader[i].tool->out);
              reader[i].tool->out = -1;
              open--;
            }
        }
    }
  for (guint cpu = 0; cpu < CPUS; cpu++)
    {
      g_assert_cmpint (read (ready[0], &produced[cpu], sizeof produced[cpu]), ==, sizeof produced[cpu]);
      total += produced[cpu];
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpuint (total, >, MESSAGES);
  for (guint i = 0; i < G_N_ELEMENTS (reader); i++)
    {
      Account a = { 0 };

      g_assert_cmpint (tool_wait (reader[i].tool), ==, 0);
      account (&a, reader[i].tool->text->str);
      g_test_message ("reader %u: received %" G_GUINT64_FORMAT ", lost %" G_GUINT64_FORMAT, i, a.received, a.lost);
      for (guint cpu = 0; cpu < CPUS; cpu++)
        g_assert_cmpuint (a.next[cpu], ==, produced[cpu]);
      g_assert_cmpuint (a.received + a.lost, ==, total);
      g_assert_cmpuint (a.lost, >, 0);
      g_assert_nonnull (strstr (reader[i].tool->text->str, "overwritten in the guest before"));
      /* the other one that rests may keep up with a writer whose machine is busy */
      if (i == 3)
        g_assert_nonnull (strstr (reader[i].tool->text->str, "overwritten in the log before"));
      g_assert_cmpuint (a.received, >, 1000);
      tool_free (reader[i].tool);
    }
  close (ready[0]);
}

/* ---- requests ---- */

/* A device that serves requests until it is told to end. */
static pid_t
start_serving_vm (Fixture *f, int ready)
{
  pid_t pid = fork ();

  if (pid != 0)
    return pid;
  start_vm (f, 4 << 20, 1);
  for (guint i = 0; i < 30000; i++)
    say (f, i % CPUS);
  drain (f);
  settle (f);
  if (write (ready, "", 1) != 1)
    _exit (1);
  for (;;)
    {
      DdebugLogRequest request;

      if (ddebug_log_poll_request (f->log, &request))
        ddebug_log_serve_request (f->log, &request);
      g_usleep (5000);
    }
}

static void
test_requests (Fixture *f, gconstpointer data)
{
  g_autofree char *other = g_strconcat (f->path, ".other", NULL);
  Account a = { 0 }, b = { 0 };
  int ready[2];
  char byte;
  pid_t pid;
  Result r;

  (void) data;
  g_assert_cmpint (pipe (ready), ==, 0);
  pid = start_serving_vm (f, ready[1]);
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  r = tool_run ("--size", f->path, NULL);
  g_assert_cmpstr (r.out, ==, "4128768 (3.9 MiB)\n");
  result_clear (&r);
  /* a file with another name is not written to, whoever has it */
  g_assert_cmpint (link (f->path, other), ==, 0);
  r = tool_run ("--size=16M", other, NULL);
  g_assert_cmpint (r.status, ==, 4);
  g_assert_nonnull (strstr (r.err, "has another name (hard link)"));
  result_clear (&r);
  g_assert_cmpint (unlink (other), ==, 0);
  r = tool_run ("--size=16M", f->path, NULL);
  g_assert_cmpstr (r.err, ==, "");
  g_assert_cmpint (r.status, ==, 0);
  g_assert_true (g_str_has_suffix (r.out, " MiB)\n"));
  result_clear (&r);
  r = tool_run ("--trace", f->path, NULL);
  account (&a, r.out);
  g_assert_cmpuint (a.received, ==, 30000);
  result_clear (&r);
  r = tool_run ("--size=1M", f->path, NULL);
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
  r = tool_run ("--trace", f->path, NULL);
  account (&b, r.out);
  g_assert_cmpuint (b.received, >, 1000);
  g_assert_cmpuint (b.lost, >, 1000);
  g_assert_cmpuint (b.received + b.lost, ==, 30000);
  result_clear (&r);
  r = tool_run ("--clear", f->path, NULL);
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
  r = tool_run ("--trace", f->path, NULL);
  g_assert_cmpstr (r.out, ==, "");
  g_assert_cmpint (r.status, ==, 0);
  result_clear (&r);
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  close (ready[0]);
  close (ready[1]);
}

/* The device is stopped when it is asked, then dies: the tool does it itself. */
static void
test_heir (Fixture *f, gconstpointer data)
{
  g_autofree char *size = NULL;
  int ready[2];
  char byte;
  Tool *tool;
  pid_t pid;

  (void) data;
  g_assert_cmpint (pipe (ready), ==, 0);
  pid = start_serving_vm (f, ready[1]);
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  kill (pid, SIGSTOP);
  tool = tool_start ("--size=2M", f->path, NULL);
  tool_wait_asleep (tool);
  g_usleep (100000);
  g_assert_cmpint (kill (tool->pid, 0), ==, 0);
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  g_assert_cmpint (tool_finish (tool), ==, 0);
  g_assert_cmpstr (tool->text->str, ==, "2031616 (1.9 MiB)\n");
  tool_free (tool);
  close (ready[0]);
  close (ready[1]);
}

/* Shrinking and growing while others read: an unbroken sequence, or an exact gap. */
static void
test_resize_while_read (Fixture *f, gconstpointer data)
{
  Account a[2] = { 0 };
  Tool *tool[2];
  g_autoptr (GError) error = NULL;

  (void) data;
  start_vm (f, 8 << 20, 1);
  tool[0] = tool_start ("--follow", f->path, NULL);
  tool[1] = tool_start ("--pipe", f->path, NULL);
  for (guint i = 0; i < 40000; i++)
    {
      say (f, i % CPUS);
      if (i % 40 == 0)
        drain (f);
      if (i % 4000 == 0)
        {
          g_assert_true (ddebug_log_resize (f->log, i % 8000 ? 2 << 20 : 8 << 20, &error));
          g_assert_no_error (error);
        }
      if (i % 200 == 0)
        for (guint t = 0; t < 2; t++)
          {
            struct pollfd fd = { .fd = tool[t]->out, .events = POLLIN };
            char buf[65536];

            if (poll (&fd, 1, 1) > 0)
              g_string_append_len (tool[t]->text, buf, read (fd.fd, buf, sizeof buf));
          }
    }
  drain (f);
  stop_vm (f);
  tool_drain (tool, 2);
  for (guint t = 0; t < 2; t++)
    {
      g_assert_cmpint (tool_wait (tool[t]), ==, 0);
      account (&a[t], tool[t]->text->str);
      g_assert_cmpuint (a[t].received + a[t].lost, ==, 40000);
      g_assert_cmpuint (a[t].received, >, 5000);
      tool_free (tool[t]);
    }
}

static void
test_formatted_anew (Fixture *f, gconstpointer data)
{
  g_autofree char *errors = follow_next_log (f, empty_log);

  (void) data;
  g_assert_nonnull (strstr (errors, "was reformatted"));
}

#define ADD(name, func) g_test_add ("/live/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  signal (SIGPIPE, SIG_IGN);
  g_test_init (&argc, &argv, NULL);
  ADD ("--follow shows what comes, and ends with the VM", test_follow);
  ADD ("what a stopped VM has not settled is shown after a second", test_stopped_writer);
  ADD ("waiting makes no system calls", test_no_polling);
  ADD ("--wait waits for the file", test_wait_for_file);
  ADD ("a log that is just being made is whole", test_being_made);
  ADD ("--wait waits for a VM", test_wait_for_vm);
  ADD ("a killed VM's messages are all shown", test_killed_vm);
  ADD ("a file that is moved, replaced or removed is read on and said", test_removed);
  ADD ("a file that was removed is not waited for when its VM starts", test_removed_before_start);
  ADD ("a file that was removed is left when its device has left it", test_removed_running);
  ADD ("a log formatted anew is read on", test_formatted_anew);
  ADD ("--pipe goes on where it was interrupted", test_pipe);
  ADD ("the output's end is noticed while waiting", test_output_gone_waiting);
  ADD ("the output's end is noticed while writing", test_output_gone_writing);
  ADD ("the next QEMU comes while the output takes no more", test_next_while_writing);
  ADD ("--pipe interrupted in a write repeats and loses nothing", test_interrupted_write);
  ADD ("several --pipe share the messages", test_shared);
  ADD ("a --pipe that hangs holds up others only until it ends", test_held_up);
  ADD ("readers of a log that is overwritten see no gap that is not said", test_overwriting);
  ADD ("size and clear on a running VM", test_requests);
  ADD ("size of a VM that dies while asked", test_heir);
  ADD ("resizing while others read", test_resize_while_read);
  return g_test_run ();
}
