/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One poll() waits for everything.  A signal writes to a pipe that is polled,
 * so that it cannot fall between a look at a flag and the wait.
 */
#define _GNU_SOURCE
#include "ddebug-wait.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "ddebug-error.h"

/* IN_ATTRIB tells of a change of the link count, that is of removal. */
#define FILE_MASK (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF)
#define DIRECTORY_MASK (IN_CREATE | IN_MOVED_TO | IN_MODIFY | IN_ATTRIB | IN_ONLYDIR)

struct DdebugWait
{
  int inotify;
  int file;                 /* watches; -1: none */
  int cursor;
  int directory;
  int output;
};

static int signal_pipe[2] = { -1, -1 };
static volatile sig_atomic_t signal_seen;

static void
on_signal (int number)
{
  int saved = errno;

  if (!signal_seen)
    signal_seen = number;
  /* The pipe does not block; if it is full, it wakes already. */
  if (write (signal_pipe[1], "", 1) < 0)
    errno = saved;
  errno = saved;
}

gboolean
ddebug_wait_catch_signals (GError **error)
{
  static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
  struct sigaction action = { .sa_handler = on_signal };
  struct sigaction old;

  if (pipe2 (signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
    {
      int code = errno;

      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_IO, "no pipe can be made: %s", g_strerror (code));
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    /* What was ignored from the start stays so: nohup. */
    if (sigaction (signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
      sigaction (signals[i], &action, NULL);
  /* A write to a closed pipe fails with EPIPE instead, so that the cursor can be kept. */
  signal (SIGPIPE, SIG_IGN);
  return TRUE;
}

int
ddebug_wait_signal (void)
{
  return signal_seen;
}

void
ddebug_wait_die_by_signal (void)
{
  int number = signal_seen;

  signal (number, SIG_DFL);
  raise (number);
  _exit (128 + number);
}

DdebugWait *
ddebug_wait_new (int output, GError **error)
{
  DdebugWait *wait = g_new0 (DdebugWait, 1);

  wait->file = wait->cursor = wait->directory = -1;
  wait->output = output;
  wait->inotify = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  if (wait->inotify < 0)
    {
      int code = errno;

      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_IO,
                   "inotify is not to be had: %s; see /proc/sys/fs/inotify/max_user_instances",
                   g_strerror (code));
      g_free (wait);
      return NULL;
    }
  return wait;
}

void
ddebug_wait_free (DdebugWait *wait)
{
  if (!wait)
    return;
  close (wait->inotify);
  g_free (wait);
}

static gboolean
watch (DdebugWait *wait, int *wd, const char *path, guint32 mask)
{
  if (*wd >= 0)
    inotify_rm_watch (wait->inotify, *wd);
  *wd = inotify_add_watch (wait->inotify, path, mask);
  return *wd >= 0;
}

static void
unwatch (DdebugWait *wait, int *wd)
{
  if (*wd >= 0)
    inotify_rm_watch (wait->inotify, *wd);
  *wd = -1;
}

gboolean
ddebug_wait_watch_file (DdebugWait *wait, const char *path)
{
  return watch (wait, &wait->file, path, FILE_MASK);
}

gboolean
ddebug_wait_watch_cursor (DdebugWait *wait, const char *path)
{
  return watch (wait, &wait->cursor, path, IN_CLOSE_WRITE);
}

void
ddebug_wait_unwatch_cursor (DdebugWait *wait)
{
  unwatch (wait, &wait->cursor);
}

gboolean
ddebug_wait_watch_directory (DdebugWait *wait, const char *path)
{
  return watch (wait, &wait->directory, path, DIRECTORY_MASK);
}

void
ddebug_wait_unwatch_directory (DdebugWait *wait)
{
  unwatch (wait, &wait->directory);
}

static guint
wake_of (DdebugWait *wait, const struct inotify_event *event)
{
  if (event->mask & IN_Q_OVERFLOW)
    return DDEBUG_WAKE_FILE | DDEBUG_WAKE_CLOSED | DDEBUG_WAKE_MOVED | DDEBUG_WAKE_CURSOR;
  if (event->wd == wait->cursor)
    return DDEBUG_WAKE_CURSOR;
  if (event->wd == wait->directory)
    return DDEBUG_WAKE_FILE;
  if (event->wd != wait->file)
    return 0;
  return (event->mask & IN_MODIFY ? DDEBUG_WAKE_FILE : 0)
         | (event->mask & IN_CLOSE_WRITE ? DDEBUG_WAKE_CLOSED : 0)
         | (event->mask & (IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF) ? DDEBUG_WAKE_MOVED : 0);
}

static guint
take_events (DdebugWait *wait)
{
  _Alignas (struct inotify_event) char buf[4096 + NAME_MAX + 1];
  guint wake = 0;
  gssize n;

  while ((n = read (wait->inotify, buf, sizeof buf)) > 0)
    for (gssize at = 0; at < n;)
      {
        const struct inotify_event *event = (const void *) (buf + at);

        wake |= wake_of (wait, event);
        at += sizeof *event + event->len;
      }
  return wake;
}

enum
{
  POLL_SIGNAL,
  POLL_OUTPUT,
  POLL_INOTIFY,
  N_POLL,
};

static guint
poll_all (DdebugWait *wait, short output_events, gboolean with_inotify, int timeout_ms)
{
  struct pollfd fds[N_POLL] = {
    [POLL_SIGNAL] = { .fd = signal_pipe[0], .events = POLLIN },
    [POLL_OUTPUT] = { .fd = wait->output, .events = output_events },
    [POLL_INOTIFY] = { .fd = with_inotify ? wait->inotify : -1, .events = POLLIN },
  };
  int n = poll (fds, N_POLL, timeout_ms);
  guint wake = 0;

  if (signal_seen)
    return DDEBUG_WAKE_SIGNAL;
  if (n == 0)
    return DDEBUG_WAKE_TIMEOUT;
  if (n < 0)
    return 0;
  if (fds[POLL_OUTPUT].revents & (POLLERR | POLLHUP | POLLNVAL))
    wake |= DDEBUG_WAKE_OUTPUT;
  if (fds[POLL_OUTPUT].revents & POLLOUT)
    wake |= DDEBUG_WAKE_ROOM;
  if (fds[POLL_INOTIFY].revents & POLLIN)
    wake |= take_events (wait);
  return wake;
}

/* What wakes for nothing (an event of a watch that was removed) is not worth a round. */
static guint
poll_until (DdebugWait *wait, short output_events, gboolean with_inotify, int timeout_ms)
{
  gint64 end = g_get_monotonic_time () + timeout_ms * G_GINT64_CONSTANT (1000);
  guint wake;

  while ((wake = poll_all (wait, output_events, with_inotify, timeout_ms)) == 0 && timeout_ms != 0)
    if (timeout_ms > 0)
      timeout_ms = MAX ((end - g_get_monotonic_time ()) / 1000, 0);
  return wake;
}

guint
ddebug_wait (DdebugWait *wait, int timeout_ms)
{
  return poll_until (wait, 0, TRUE, timeout_ms);
}

guint
ddebug_wait_for_room (DdebugWait *wait)
{
  return poll_until (wait, POLLOUT, FALSE, -1);
}
