/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Wait without polling: inotify, signals, standard output.
 *
 * One poll() waits for everything.  A signal writes to a pipe that is polled, so that it cannot be missed
 * between checking a flag and waiting.
 */
#define _GNU_SOURCE
#include "ddebug-wait.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "ddebug-error.h"
#include "ddebug-origin.h"

/* IN_ATTRIB reports a change of the link count, that is, removal. */
#define FILE_MASK (IN_DONT_FOLLOW | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF)
#define DIRECTORY_MASK (IN_CREATE | IN_MOVED_TO | IN_MODIFY | IN_ATTRIB | IN_ONLYDIR)

/* How often (ms) what cannot be watched is polled. */
#define POLL_INTERVAL 200

struct DdebugWatch
{
  DdebugWait *wait;
  DdebugWatchKind kind;
  int wd;                   /* shared by all watches of the same inode; NOT_WATCHED, GONE */
  gboolean polled;          /* also, or because it is not watched */
  guint wake;               /* DDEBUG_WAKE_* not taken yet */
};

enum
{
  NOT_WATCHED = -1,         /* polled instead */
  GONE = -2,                /* the inode was deleted */
};

struct DdebugWait
{
  int inotify;              /* -1: not opened yet, or not available */
  int why;                  /* errno because of which something is polled; 0: nothing is */
  int output;
  int counter;              /* eventfd; -1: none */
  GHashTable *watches;      /* wd -> GPtrArray of DdebugWatch, not owned */
  GPtrArray *polled;        /* of DdebugWatch, not owned */
  gint64 next_poll;         /* us, monotonic */
};

static int signal_pipe[2] = { -1, -1 };
static volatile sig_atomic_t signal_seen;
static volatile sig_atomic_t signals_kill;

static void
on_signal (int number)
{
  int saved = errno;

  if (signals_kill)
    {
      signal (number, SIG_DFL);
      raise (number);
    }
  if (!signal_seen)
    signal_seen = number;
  /* The pipe does not block; if it is full, it is readable anyway. */
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

      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_IO, "cannot create a pipe: %s", g_strerror (code));
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    /* A signal that was ignored from the start stays ignored: nohup. */
    if (sigaction (signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
      sigaction (signals[i], &action, NULL);
  /*
   * Make a write fail with EPIPE, or with EFBIG beyond the file size limit, so that the cursor can
   * be saved.
   */
  signal (SIGPIPE, SIG_IGN);
  signal (SIGXFSZ, SIG_IGN);
  return TRUE;
}

void
ddebug_wait_let_signals_kill (gboolean on)
{
  signals_kill = on;
  /* Do not miss one that arrived before, in case the following call does not return. */
  if (on && signal_seen)
    ddebug_wait_die_by_signal ();
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
ddebug_wait_new (int output)
{
  DdebugWait *wait = g_new0 (DdebugWait, 1);

  wait->output = output;
  wait->inotify = -1;
  wait->counter = -1;
  wait->watches = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) g_ptr_array_unref);
  wait->polled = g_ptr_array_new ();
  return wait;
}

void
ddebug_wait_free (DdebugWait *wait)
{
  if (!wait)
    return;
  if (wait->inotify >= 0)
    close (wait->inotify);
  g_hash_table_unref (wait->watches);
  g_ptr_array_unref (wait->polled);
  g_free (wait);
}

void
ddebug_wait_set_counter (DdebugWait *wait, int fd)
{
  wait->counter = fd;
}

/* ---- watches ---- */

static const guint32 masks[] = {
  [DDEBUG_WATCH_FILE] = FILE_MASK,
  [DDEBUG_WATCH_CURSOR] = IN_DONT_FOLLOW | IN_CLOSE_WRITE,
  [DDEBUG_WATCH_DIRECTORY] = DIRECTORY_MASK,
};

/* The wd of @path; NOT_WATCHED if limits are reached; GONE with errno set if it cannot be watched. */
static int
add_watch (DdebugWait *wait, DdebugWatchKind kind, const char *path)
{
  int wd = -1;

  /* Only when needed: the number of instances is limited. */
  if (wait->inotify < 0)
    wait->inotify = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  if (wait->inotify >= 0)
    wd = inotify_add_watch (wait->inotify, path, masks[kind] | IN_MASK_ADD);
  if (wd >= 0)
    return wd;
  if (errno != EMFILE && errno != ENFILE && errno != ENOSPC && errno != ENOMEM)
    return GONE;
  wait->why = errno;
  if (access (path, F_OK) != 0)
    return GONE;
  return NOT_WATCHED;
}

DdebugWatch *
ddebug_wait_watch (DdebugWait *wait, DdebugWatchKind kind, const char *path)
{
  int wd = add_watch (wait, kind, path);
  DdebugWatch *watch;
  GPtrArray *all;

  if (wd == GONE)
    return NULL;
  watch = g_new0 (DdebugWatch, 1);
  watch->wait = wait;
  watch->kind = kind;
  watch->wd = wd;
  /* inotify does not report what another host, or another mount, does. */
  watch->polled = wd == NOT_WATCHED || ddebug_origin_hides (path);
  if (watch->polled)
    g_ptr_array_add (wait->polled, watch);
  if (wd == NOT_WATCHED)
    return watch;
  all = g_hash_table_lookup (wait->watches, GINT_TO_POINTER (wd));
  if (!all)
    g_hash_table_insert (wait->watches, GINT_TO_POINTER (wd), all = g_ptr_array_new ());
  g_ptr_array_add (all, watch);
  return watch;
}

void
ddebug_watch_free (DdebugWatch *watch)
{
  GPtrArray *all;

  if (!watch)
    return;
  if (watch->polled)
    g_ptr_array_remove_fast (watch->wait->polled, watch);
  if (watch->wd >= 0)
    {
      all = g_hash_table_lookup (watch->wait->watches, GINT_TO_POINTER (watch->wd));
      g_ptr_array_remove_fast (all, watch);
      if (all->len == 0)
        {
          inotify_rm_watch (watch->wait->inotify, watch->wd);
          g_hash_table_remove (watch->wait->watches, GINT_TO_POINTER (watch->wd));
        }
    }
  g_free (watch);
}

guint
ddebug_watch_take (DdebugWatch *watch)
{
  guint wake = watch ? watch->wake : 0;

  if (watch)
    watch->wake = 0;
  return wake;
}

int
ddebug_wait_why_polling (DdebugWait *wait)
{
  return wait->polled->len > 0 ? wait->why : 0;
}

/* All events that a watch of this kind can have. */
static guint
wake_of_kind (DdebugWatchKind kind)
{
  switch (kind)
    {
    case DDEBUG_WATCH_FILE:
      return DDEBUG_WAKE_FILE | DDEBUG_WAKE_CLOSED | DDEBUG_WAKE_MOVED;
    case DDEBUG_WATCH_CURSOR:
      return DDEBUG_WAKE_CURSOR;
    case DDEBUG_WATCH_DIRECTORY:
    default:
      return DDEBUG_WAKE_FILE;
    }
}

static guint
wake_of (const DdebugWatch *watch, guint32 mask)
{
  if (watch->kind == DDEBUG_WATCH_DIRECTORY)
    return mask & (DIRECTORY_MASK & ~IN_ONLYDIR) ? DDEBUG_WAKE_FILE : 0;
  if (watch->kind == DDEBUG_WATCH_CURSOR)
    return mask & IN_CLOSE_WRITE ? DDEBUG_WAKE_CURSOR : 0;
  return (mask & IN_MODIFY ? DDEBUG_WAKE_FILE : 0)
         | (mask & IN_CLOSE_WRITE ? DDEBUG_WAKE_CLOSED : 0)
         | (mask & (IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF) ? DDEBUG_WAKE_MOVED : 0);
}

/* The event queue overflowed: anything may have happened to any watch. */
static guint
wake_everybody (DdebugWait *wait)
{
  GHashTableIter iter;
  GPtrArray *all;
  guint wake = 0;

  g_hash_table_iter_init (&iter, wait->watches);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &all))
    for (guint i = 0; i < all->len; i++)
      {
        DdebugWatch *watch = g_ptr_array_index (all, i);

        watch->wake |= wake_of_kind (watch->kind);
        wake |= watch->wake;
      }
  return wake;
}

static guint
take_event (DdebugWait *wait, const struct inotify_event *event)
{
  GPtrArray *all = g_hash_table_lookup (wait->watches, GINT_TO_POINTER (event->wd));
  guint wake = 0;

  if (event->mask & IN_Q_OVERFLOW)
    return wake_everybody (wait);
  for (guint i = 0; all && i < all->len; i++)
    {
      DdebugWatch *watch = g_ptr_array_index (all, i);
      guint seen = wake_of (watch, event->mask);

      watch->wake |= seen;
      wake |= seen;
      if (event->mask & IN_IGNORED)
        watch->wd = GONE;
    }
  if (all && (event->mask & IN_IGNORED))
    g_hash_table_remove (wait->watches, GINT_TO_POINTER (event->wd));
  return wake;
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

        wake |= take_event (wait, event);
        at += sizeof *event + event->len;
      }
  return wake;
}

/* ---- waiting ---- */

enum
{
  POLL_SIGNAL,
  POLL_OUTPUT,
  POLL_INOTIFY,
  POLL_COUNTER,
  N_POLL,
};

static guint
poll_all (DdebugWait *wait, short output_events, gboolean with_files, int timeout_ms)
{
  struct pollfd fds[N_POLL] = {
    [POLL_SIGNAL] = { .fd = signal_pipe[0], .events = POLLIN },
    [POLL_OUTPUT] = { .fd = wait->output, .events = output_events },
    [POLL_INOTIFY] = { .fd = with_files ? wait->inotify : -1, .events = POLLIN },
    [POLL_COUNTER] = { .fd = with_files ? wait->counter : -1, .events = POLLIN },
  };
  eventfd_t count;
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
  if ((fds[POLL_COUNTER].revents & POLLIN) && eventfd_read (wait->counter, &count) == 0)
    wake |= DDEBUG_WAKE_COUNTER;
  return wake;
}

/* Ignore wake-ups without a reason, such as an event of a watch that was removed. */
static guint
poll_until (DdebugWait *wait, short output_events, gboolean with_files, int timeout_ms)
{
  gint64 end = g_get_monotonic_time () + timeout_ms * G_GINT64_CONSTANT (1000);
  guint wake;

  while ((wake = poll_all (wait, output_events, with_files, timeout_ms)) == 0 && timeout_ms != 0)
    if (timeout_ms > 0)
      timeout_ms = MAX ((end - g_get_monotonic_time ()) / 1000, 0);
  return wake;
}

/* Assume that something happened to everything that cannot be watched. */
static guint
poll_again (DdebugWait *wait)
{
  guint wake = 0;

  for (guint i = 0; i < wait->polled->len; i++)
    {
      DdebugWatch *watch = g_ptr_array_index (wait->polled, i);

      watch->wake |= wake_of_kind (watch->kind);
      wake |= watch->wake;
    }
  wait->next_poll = g_get_monotonic_time () + POLL_INTERVAL * G_GINT64_CONSTANT (1000);
  return wake;
}

guint
ddebug_wait (DdebugWait *wait, int timeout_ms)
{
  gint64 left;
  guint wake;

  if (wait->polled->len == 0)
    return poll_until (wait, 0, TRUE, timeout_ms);
  left = CLAMP ((wait->next_poll - g_get_monotonic_time () + 999) / 1000, 0, POLL_INTERVAL);
  if (timeout_ms >= 0 && timeout_ms < left)
    return poll_until (wait, 0, TRUE, timeout_ms);
  wake = poll_until (wait, 0, TRUE, left);
  if (left == 0 || (wake & DDEBUG_WAKE_TIMEOUT))
    wake = (wake & ~DDEBUG_WAKE_TIMEOUT) | poll_again (wait);
  return wake;
}

guint
ddebug_wait_for_room (DdebugWait *wait)
{
  return poll_until (wait, POLLOUT, FALSE, -1);
}
