/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many readers of a log that is written continuously: each sees an unbroken sequence or
 * an exact gap, consumers share without duplicates or losses, and one that is killed at a
 * random point loses nothing and repeats at most one batch.
 *
 * DDEBUG_HOST is the tool's path; READERS_PASSES and READERS_KILLS set the duration.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "canned.h"
#include "flood.h"

/* ddebug-host(1), "--pipe": fewer than this, and one message more; ours are of less than 100 bytes. */
#define BATCH (65536u + 100)

/* A reader that gets nothing for this long (ms) hangs; generous, as machines are noisy. */
#define LIMIT 120000
#define LIMIT_US (LIMIT * G_GINT64_CONSTANT (1000))

static guint
amount (const char *name, guint otherwise)
{
  const char *value = g_getenv (name);

  return value ? strtoul (value, NULL, 10) : otherwise;
}

/* ---- a reader ---- */

typedef struct
{
  const char *command;
  pid_t pid;
  int out;
  GString *rest;                /* an incomplete line */
  guint64 received;
  guint64 lost;
  guint64 bytes;
  guint runs;
  guint64 next[FLOOD_CPUS];     /* of each CPU, unless shared with others */
} Reader;

static void
start (Reader *r, const char *command, const char *path)
{
  const char *program = g_getenv ("DDEBUG_HOST");
  int ends[2];

  g_assert_nonnull (program);
  g_assert_cmpint (pipe2 (ends, O_CLOEXEC), ==, 0);
  r->command = command;
  r->pid = fork ();
  if (r->pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (dup2 (ends[1], STDOUT_FILENO) == STDOUT_FILENO)
        execl (program, program, command, path, NULL);
      _exit (127);
    }
  close (ends[1]);
  r->out = ends[0];
  r->runs++;
  if (!r->rest)
    r->rest = g_string_new (NULL);
  g_string_truncate (r->rest, 0);
  memset (r->next, 0, sizeof r->next);
}

static int
reap (Reader *r)
{
  int status;

  close (r->out);
  r->out = -1;
  g_assert_cmpint (waitpid (r->pid, &status, 0), ==, r->pid);
  r->pid = 0;
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

typedef void (*LineFunc) (Reader *r, const char *line, gpointer data);

/* Pass complete lines to @func.  Return FALSE at the end of the output. */
static gboolean
read_lines (Reader *r, gsize most, LineFunc func, gpointer data)
{
  char buf[65536];
  gssize n = read (r->out, buf, MIN (most, sizeof buf));
  char *line, *newline;

  g_assert_cmpint (n, >=, 0);
  r->bytes += n;
  g_string_append_len (r->rest, buf, n);
  for (line = r->rest->str; (newline = strchr (line, '\n')); line = newline + 1)
    {
      *newline = '\0';
      func (r, line, data);
    }
  g_string_erase (r->rest, 0, line - r->rest->str);
  return n > 0;
}

/* ---- readers of a flood ---- */

/* Each message is the next of its CPU, or follows as many as a notice right there reports lost. */
static void
account_alone (Reader *r, const char *line, gpointer data)
{
  guint64 value;
  guint cpu;

  (void) data;
  switch (flood_parse (line, &cpu, &value))
    {
    case FLOOD_MESSAGE:
      if (value != r->next[cpu])
        g_error ("%s: %s: not number %" G_GUINT64_FORMAT, r->command, line, r->next[cpu]);
      r->next[cpu]++;
      r->received++;
      break;
    case FLOOD_LOST:
      r->next[cpu] += value;
      r->lost += value;
      break;
    default:
      g_error ("%s: what is this line: %s", r->command, line);
    }
}

/* Output of all consumers. */
typedef struct
{
  GByteArray *seen[FLOOD_CPUS]; /* count, by number */
  guint64 messages;
  guint64 lost[FLOOD_CPUS];
  guint64 repeated;             /* bytes of lines that were printed before */
} Shared;

static void
shared_init (Shared *shared)
{
  memset (shared, 0, sizeof *shared);
  for (guint cpu = 0; cpu < FLOOD_CPUS; cpu++)
    shared->seen[cpu] = g_byte_array_new ();
}

static void
shared_clear (Shared *shared)
{
  for (guint cpu = 0; cpu < FLOOD_CPUS; cpu++)
    g_byte_array_unref (shared->seen[cpu]);
}

static void
account_shared (Reader *r, const char *line, gpointer data)
{
  Shared *shared = data;
  guint64 value;
  guint cpu;

  switch (flood_parse (line, &cpu, &value))
    {
    case FLOOD_MESSAGE:
      {
        GByteArray *seen = shared->seen[cpu];
        guint len = seen->len;

        if (value >= len)
          {
            g_byte_array_set_size (seen, value + 1);
            memset (seen->data + len, 0, value + 1 - len);
          }
        if (seen->data[value])
          shared->repeated += strlen (line) + 1;
        else
          shared->messages++;
        seen->data[value] = 1;
        r->received++;
        break;
      }
    case FLOOD_LOST:
      shared->lost[cpu] += value;
      r->lost += value;
      break;
    default:
      g_error ("%s: what is this line: %s", r->command, line);
    }
}

typedef struct
{
  guint64 number[FLOOD_CPUS];
} Result;

static void
write_flood (const char *path, guint passes, int result)
{
  Flood flood;
  Result r;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  flood_start (&flood, path, 4 << 20);
  g_assert_cmpint (write (result, "", 1), ==, 1);
  for (guint pass = 0; pass < passes; pass++)
    {
      flood_pass (&flood, 1 + g_random_int_range (0, 300), g_random_int_range (0, 400) == 0);
      if (pass % 64 == 0)
        flood_settle (&flood);
      /* so that readers are alternately lapped and catch up */
      if (pass % 512 == 0)
        g_usleep (30000);
    }
  flood_settle (&flood);
  memcpy (r.number, flood.number, sizeof r.number);
  flood_stop (&flood);
  g_assert_cmpint (write (result, &r, sizeof r), ==, sizeof r);
  _exit (0);
}

static void
test_flood (void)
{
  enum { READERS = 8, SLOW = 2 };
  static const char *const commands[READERS] = {
    "--follow", "--follow", "--follow", "--trace", "--trace", "--trace", "--pipe", "--pipe",
  };
  char *dir = scratch_new ();
  g_autofree char *path = g_build_filename (dir, "log", NULL);
  Reader readers[READERS] = { 0 };
  guint64 shared_received = 0;
  guint traces = 0, open = READERS;
  gboolean ended = FALSE;
  Shared shared;
  Result result;
  int ends[2];
  char byte;
  pid_t writer;

  shared_init (&shared);
  g_assert_cmpint (pipe2 (ends, O_CLOEXEC), ==, 0);
  writer = fork ();
  if (writer == 0)
    write_flood (path, amount ("READERS_PASSES", 3000), ends[1]);
  close (ends[1]);
  g_assert_cmpint (read (ends[0], &byte, 1), ==, 1);
  for (guint i = 0; i < READERS; i++)
    start (&readers[i], commands[i], path);
  while (open > 0)
    {
      struct pollfd fds[READERS + 1];

      for (guint i = 0; i < READERS; i++)
        fds[i] = (struct pollfd){ .fd = readers[i].out, .events = POLLIN };
      fds[READERS] = (struct pollfd){ .fd = ended ? -1 : ends[0], .events = POLLIN };
      g_assert_cmpint (poll (fds, READERS + 1, LIMIT), >, 0);
      if (fds[READERS].revents)
        {
          g_assert_cmpint (read (ends[0], &result, sizeof result), ==, sizeof result);
          ended = TRUE;
        }
      for (guint i = 0; i < READERS; i++)
        {
          Reader *r = &readers[i];
          gboolean pipe = strcmp (r->command, "--pipe") == 0;
          gboolean trace = strcmp (r->command, "--trace") == 0;

          /* a slow reader, lapped by the writer */
          if (!fds[i].revents || (i == SLOW && g_random_int_range (0, 20) != 0))
            continue;
          if (read_lines (r, 65536, pipe ? account_shared : account_alone, &shared))
            continue;
          g_assert_cmpstr (r->rest->str, ==, "");
          g_assert_cmpint (reap (r), ==, 0);
          traces += trace;
          if (trace && !ended)
            {
              r->received = r->lost = 0;
              start (r, r->command, path);
            }
          else
            open--;
        }
    }
  g_assert_cmpint (waitpid (writer, NULL, 0), ==, writer);
  for (guint i = 0; i < READERS; i++)
    {
      Reader *r = &readers[i];

      g_test_message ("%s: received %" G_GUINT64_FORMAT ", lost %" G_GUINT64_FORMAT ", runs %u", r->command,
                      r->received, r->lost, r->runs);
      g_string_free (r->rest, TRUE);
      if (strcmp (r->command, "--pipe") == 0)
        {
          shared_received += r->received;
          continue;
        }
      /* one that was started before the end has seen less */
      if (strcmp (r->command, "--follow") == 0)
        for (guint cpu = 0; cpu < FLOOD_CPUS; cpu++)
          g_assert_cmpuint (r->next[cpu], ==, result.number[cpu]);
      g_assert_cmpuint (r->received, >, 0);
    }
  g_assert_cmpuint (shared.repeated, ==, 0);
  g_assert_cmpuint (shared.messages, ==, shared_received);
  for (guint cpu = 0; cpu < FLOOD_CPUS; cpu++)
    {
      guint64 seen = 0;

      for (guint i = 0; i < shared.seen[cpu]->len; i++)
        seen += shared.seen[cpu]->data[i];
      g_assert_cmpuint (seen + shared.lost[cpu], ==, result.number[cpu]);
    }
  g_test_message ("traces: %u", traces);
  g_assert_cmpuint (readers[SLOW].lost, >, 0);
  close (ends[0]);
  shared_clear (&shared);
  scratch_free (dir);
}

/* ---- killed consumers ---- */

typedef struct
{
  Flood flood;
  Shared shared;
  char *path;
  guint kills;
  guint mid_output;             /* of those: after some output, but not all */
  guint mid_line;
  guint mid_save;               /* a complete batch was printed, and then repeated */
} Kills;

static guint64
produced (const Flood *flood)
{
  guint64 sum = 0;

  for (guint cpu = 0; cpu < FLOOD_CPUS; cpu++)
    sum += flood->number[cpu];
  return sum;
}

/* Read until @end (us, monotonic) or @bytes, then kill. */
static void
kill_somewhere (Reader *r, Shared *shared, gint64 end, guint64 bytes)
{
  while (r->bytes < bytes)
    {
      struct pollfd fd = { .fd = r->out, .events = POLLIN };
      gint64 left = end - g_get_monotonic_time ();

      if (left <= 0)
        break;
      if (poll (&fd, 1, (left + 999) / 1000) > 0 && !read_lines (r, bytes - r->bytes, account_shared, shared))
        g_error ("--pipe ended by itself: status %d", reap (r));
    }
  g_assert_cmpint (kill (r->pid, SIGKILL), ==, 0);
}

/* One or two consumers, killed after a random time or after a random number of bytes. */
static void
kill_once (Kills *k, GRand *rand)
{
  guint consumers = g_rand_int_range (rand, 0, 4) == 0 ? 2 : 1;
  guint64 backlog = produced (&k->flood) - k->shared.messages;
  guint64 repeated = k->shared.repeated;
  Reader readers[2] = { 0 };

  /* no more than fits into the log, so that nothing is overwritten */
  while (backlog < 20000)
    {
      guint messages = g_rand_int_range (rand, 1, 300);

      flood_pass (&k->flood, messages, FALSE);
      backlog += FLOOD_CPUS * messages;
    }
  if (g_rand_boolean (rand))
    flood_settle (&k->flood);
  for (guint i = 0; i < consumers; i++)
    start (&readers[i], "--pipe", k->path);
  for (guint i = 0; i < consumers; i++)
    {
      Reader *r = &readers[i];
      /* by time it may be before the first byte; by bytes it is within the output, of 600,000 bytes */
      gboolean by_time = consumers == 1 && g_rand_int_range (rand, 0, 3) == 0;
      guint64 bytes = by_time ? G_MAXUINT64 : (guint64) g_rand_int_range (rand, 1, 400000 / consumers);
      gint64 limit = by_time ? g_rand_int_range (rand, 0, 30000) : LIMIT_US;

      /* one of two may hold the cursor while it waits for us to read its output */
      if (i + 1 < consumers)
        limit = g_rand_int_range (rand, 0, 100000);
      kill_somewhere (r, &k->shared, g_get_monotonic_time () + limit, bytes);
      while (read_lines (r, 65536, account_shared, &k->shared))
        ;
      k->mid_line += r->rest->len > 0;
      k->mid_output += r->received > 0 && k->shared.messages < produced (&k->flood);
      g_assert_cmpint (reap (r), ==, 128 + SIGKILL);
      g_string_free (r->rest, TRUE);
    }
  k->kills += consumers;
  /* Output that those of the last round, and with two the first of this one, had not recorded. */
  repeated = k->shared.repeated - repeated;
  k->mid_save += repeated > 0;
  g_assert_cmpuint (repeated, <=, (consumers + 1) * BATCH);
}

static void
test_kills (void)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (g_test_rand_int ());
  guint kills = amount ("READERS_KILLS", 200);
  char *dir = scratch_new ();
  Kills k = { .path = g_build_filename (dir, "log", NULL) };
  Reader last = { 0 };

  shared_init (&k.shared);
  flood_start (&k.flood, k.path, 4 << 20);
  while (k.kills < kills)
    kill_once (&k, rand);
  flood_settle (&k.flood);
  flood_stop (&k.flood);
  start (&last, "--pipe", k.path);
  while (read_lines (&last, 65536, account_shared, &k.shared))
    ;
  g_assert_cmpstr (last.rest->str, ==, "");
  g_assert_cmpint (reap (&last), ==, 0);
  g_string_free (last.rest, TRUE);
  g_test_message ("%u kills, %u while printing, %u in a line; %u times something came again, %" G_GUINT64_FORMAT
                  " bytes a kill; %" G_GUINT64_FORMAT " messages",
                  k.kills, k.mid_output, k.mid_line, k.mid_save, k.shared.repeated / k.kills, k.shared.messages);
  for (guint cpu = 0; cpu < FLOOD_CPUS; cpu++)
    {
      g_assert_cmpuint (k.shared.lost[cpu], ==, 0);
      g_assert_cmpuint (k.shared.seen[cpu]->len, ==, k.flood.number[cpu]);
    }
  g_assert_cmpuint (k.shared.messages, ==, produced (&k.flood));
  /* kills happened where it matters */
  g_assert_cmpuint (k.mid_output, >, k.kills / 2);
  g_assert_cmpuint (k.mid_save, >, k.kills / 10);
  shared_clear (&k.shared);
  g_free (k.path);
  scratch_free (dir);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/readers/eight of a flooded log see no gap that is not said", test_flood);
  g_test_add_func ("/readers/a killed consumer loses nothing and repeats one batch at most", test_kills);
  return g_test_run ();
}
