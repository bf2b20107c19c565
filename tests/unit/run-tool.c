/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include "run-tool.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT (30 * G_USEC_PER_SEC)
#define NOBODY 65534

void
result_clear (Result *result)
{
  g_clear_pointer (&result->out, g_free);
  g_clear_pointer (&result->err, g_free);
}

void
assert_says (Result r, int status, const char *text)
{
  g_assert_true (g_str_has_prefix (r.err, "ddebug-host: "));
  if (!strstr (r.err, text))
    g_error ("\"%s\" is not in: %s", text, r.err);
  g_assert_true (status == 2 || strchr (r.err, '\n') == r.err + strlen (r.err) - 1);
  g_assert_cmpint (r.status, ==, status);
  result_clear (&r);
}

static char **
make_argv (const char *first, va_list args)
{
  GPtrArray *argv = g_ptr_array_new ();
  const char *program = g_getenv ("DDEBUG_HOST");

  g_assert_nonnull (program);
  g_ptr_array_add (argv, (char *) program);
  for (const char *arg = first; arg; arg = va_arg (args, const char *))
    g_ptr_array_add (argv, (char *) arg);
  g_ptr_array_add (argv, NULL);
  return (char **) g_ptr_array_free (argv, FALSE);
}

static int
shell_status (int wait_status)
{
  return WIFEXITED (wait_status) ? WEXITSTATUS (wait_status) : 128 + WTERMSIG (wait_status);
}

/* A shell starts background jobs with SIGINT ignored, which the tool inherits. */
static void
take_signals (gpointer data)
{
  (void) data;
  signal (SIGINT, SIG_DFL);
  signal (SIGTERM, SIG_DFL);
  signal (SIGHUP, SIG_DFL);
  signal (SIGPIPE, SIG_DFL);
}

static void
become_nobody (gpointer data)
{
  take_signals (data);
  if (geteuid () == 0 && (setgid (NOBODY) != 0 || setuid (NOBODY) != 0))
    _exit (99);
}

/*
 * A copy of the tool that other users can access, unlike one built in root's home.
 * Remove it with remove_copy().
 */
static char *
copy_for_all (const char *program)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("ddebug-tool-XXXXXX", &error);
  g_autofree char *contents = NULL;
  char *copy;
  gsize len;

  g_assert_no_error (error);
  g_assert_cmpint (g_chmod (folder, 0755), ==, 0);
  copy = g_build_filename (folder, "ddebug-host", NULL);
  g_file_get_contents (program, &contents, &len, &error);
  g_assert_no_error (error);
  g_file_set_contents (copy, contents, len, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_chmod (copy, 0755), ==, 0);
  return copy;
}

static void
remove_copy (char *copy)
{
  g_autofree char *folder = g_path_get_dirname (copy);

  g_assert_cmpint (g_unlink (copy), ==, 0);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
  g_free (copy);
}

static Result
run (char **argv, GSpawnChildSetupFunc setup)
{
  g_autoptr (GError) error = NULL;
  Result result = { 0 };
  int status;

  g_spawn_sync (NULL, argv, NULL, G_SPAWN_DEFAULT, setup, NULL, &result.out, &result.err, &status, &error);
  g_assert_no_error (error);
  result.status = shell_status (status);
  return result;
}

Result
tool_run (const char *first, ...)
{
  g_autofree char **argv = NULL;
  va_list args;

  va_start (args, first);
  argv = make_argv (first, args);
  va_end (args);
  return run (argv, take_signals);
}

Result
tool_run_unprivileged (const char *first, ...)
{
  g_autofree char **argv = NULL;
  va_list args;
  Result result;

  va_start (args, first);
  argv = make_argv (first, args);
  va_end (args);
  argv[0] = copy_for_all (argv[0]);
  result = run (argv, become_nobody);
  remove_copy (argv[0]);
  return result;
}

static Tool *
start (char **argv, GSpawnChildSetupFunc setup, gpointer data)
{
  Tool *tool = g_new0 (Tool, 1);
  g_autoptr (GError) error = NULL;

  g_spawn_async_with_pipes (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, setup, data, &tool->pid, NULL, &tool->out,
                            &tool->err, &error);
  g_assert_no_error (error);
  tool->text = g_string_new (NULL);
  return tool;
}

Tool *
tool_start (const char *first, ...)
{
  g_autofree char **argv = NULL;
  va_list args;

  va_start (args, first);
  argv = make_argv (first, args);
  va_end (args);
  return start (argv, take_signals, NULL);
}

static void
set_up_child (gpointer data)
{
  GSpawnChildSetupFunc const *setup = data;

  take_signals (NULL);
  if (*setup)
    (*setup) (NULL);
}

Tool *
tool_start_setup (GSpawnChildSetupFunc setup, const char *one, const char *two, char **paths, guint n)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();

  g_assert_nonnull (g_getenv ("DDEBUG_HOST"));
  g_ptr_array_add (argv, (char *) g_getenv ("DDEBUG_HOST"));
  g_ptr_array_add (argv, (char *) one);
  g_ptr_array_add (argv, (char *) two);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (argv, paths[i]);
  g_ptr_array_add (argv, NULL);
  return start ((char **) argv->pdata, set_up_child, &setup);
}

Tool *
tool_start_paths (const char *one, const char *two, char **paths, guint n)
{
  return tool_start_setup (NULL, one, two, paths, n);
}

/* Read what is available, waiting until @end; FALSE at the end of the output. */
static gboolean
read_some (Tool *tool, gint64 end)
{
  struct pollfd fd = { .fd = tool->out, .events = POLLIN };
  int left = MAX ((end - g_get_monotonic_time ()) / 1000, 0);
  char buf[65536];
  gssize n;

  if (poll (&fd, 1, left) <= 0)
    {
      g_test_message ("output so far: %s", tool->text->str);
      g_error ("the tool printed nothing for too long");
    }
  n = read (tool->out, buf, sizeof buf);
  g_assert_cmpint (n, >=, 0);
  g_string_append_len (tool->text, buf, n);
  return n > 0;
}

void
tool_take (Tool *tool)
{
  struct pollfd fd = { .fd = tool->out, .events = POLLIN };

  while (poll (&fd, 1, 0) > 0 && read_some (tool, g_get_monotonic_time () + LIMIT))
    ;
}

void
tool_expect (Tool *tool, const char *text)
{
  gint64 end = g_get_monotonic_time () + LIMIT;

  while (!strstr (tool->text->str, text))
    if (!read_some (tool, end))
      g_error ("the tool ended without printing \"%s\", but: %s", text, tool->text->str);
}

int
tool_finish (Tool *tool)
{
  /* Generous: sanitizers, load from other tests, and much to read. */
  gint64 end = g_get_monotonic_time () + 6 * LIMIT;

  while (read_some (tool, end))
    ;
  return tool_wait (tool);
}

void
tool_drain (Tool **tools, guint n)
{
  g_autofree struct pollfd *fds = g_new0 (struct pollfd, n);
  gint64 end = g_get_monotonic_time () + 6 * LIMIT;
  guint open = n;

  for (guint i = 0; i < n; i++)
    fds[i] = (struct pollfd){ .fd = tools[i]->out, .events = POLLIN };
  while (open > 0)
    {
      if (g_get_monotonic_time () > end || poll (fds, n, LIMIT / 1000) <= 0)
        g_error ("the tools do not end");
      for (guint i = 0; i < n; i++)
        if (fds[i].revents && !read_some (tools[i], end))
          {
            fds[i].fd = -1;
            open--;
          }
    }
}

int
tool_wait (Tool *tool)
{
  gint64 end = g_get_monotonic_time () + LIMIT;
  int status;
  pid_t pid;

  while ((pid = waitpid (tool->pid, &status, WNOHANG)) == 0)
    {
      if (g_get_monotonic_time () > end)
        g_error ("the tool does not end");
      g_usleep (1000);
    }
  g_assert_cmpint (pid, ==, tool->pid);
  tool->pid = 0;
  return shell_status (status);
}

char *
tool_errors (Tool *tool)
{
  GString *text = g_string_new (NULL);
  char buf[4096];
  gssize n;

  while ((n = read (tool->err, buf, sizeof buf)) > 0)
    g_string_append_len (text, buf, n);
  return g_string_free (text, FALSE);
}

void
tool_free (Tool *tool)
{
  if (tool->pid)
    {
      kill (tool->pid, SIGKILL);
      tool_wait (tool);
    }
  if (tool->out >= 0)
    close (tool->out);
  close (tool->err);
  g_string_free (tool->text, TRUE);
  g_free (tool);
}

static char *
read_proc (Tool *tool, const char *name)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", tool->pid, name);
  char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return text;
}

void
tool_wait_asleep (Tool *tool)
{
  gint64 end = g_get_monotonic_time () + LIMIT;

  /* syscall 7 is poll on x86-64; other machines have ppoll */
  for (;;)
    {
      g_autofree char *call = read_proc (tool, "syscall");

      if (g_str_has_prefix (call, "7 ") || g_str_has_prefix (call, "73 ") || g_str_has_prefix (call, "271 "))
        return;
      if (g_get_monotonic_time () > end)
        g_error ("the tool does not wait: %s", call);
      g_usleep (1000);
    }
}

guint64
tool_switches (Tool *tool)
{
  g_autofree char *status = read_proc (tool, "status");
  const char *line = strstr (status, "\nvoluntary_ctxt_switches:");

  g_assert_nonnull (line);
  return g_ascii_strtoull (strchr (line, ':') + 2, NULL, 10);
}
