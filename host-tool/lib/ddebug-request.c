/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Change a log through its device or directly: docs/log-format.md, "Requests".
 *
 * Two descriptors are used: one holds the lock until the reply arrives; the other writes the request
 * and is closed, which wakes the device.
 *
 * A writer can come and go at any time.  If there is one, we send it a request, and make the change
 * ourselves if it goes away first.  If there is none, we take the writer's lock, and send a request if
 * another process was faster.
 */
#define _GNU_SOURCE
#include "ddebug-request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ddebug-error.h"
#include "ddebug-log-error.h"
#include "ddebug-log-format.h"
#include "ddebug-log-writer.h"
#include "ddebug-reader.h"

typedef struct
{
  DdebugWait *wait;
  const char *path;
  DdebugReader *reader;     /* of the log at path */
  guint32 type;
  guint64 arg;
  guint64 value;
} Request;

typedef enum
{
  DONE,
  FAILED,                   /* @error is set, or a signal came */
  AGAIN,                    /* the writer came or went: try again */
} Outcome;

/* Those who may not write there are told EACCES, not EROFS. */
static gboolean
is_read_only (const char *path)
{
  struct statvfs fs;

  return statvfs (path, &fs) == 0 && (fs.f_flag & ST_RDONLY) != 0;
}

static Outcome
fail_errno (const Request *request, int code, GError **error)
{
  gboolean is_denied = code == EACCES || code == EPERM;

  if (code == EROFS || (is_denied && is_read_only (request->path)))
    g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_PERMISSION,
                 "%s: cannot be changed: its file system is read-only; remount it for writing, "
                 "or change a copy of the log", request->path);
  else if (is_denied)
    g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_PERMISSION,
                 "%s: cannot be changed: %s; run as the user that owns the log, or as root", request->path,
                 g_strerror (code));
  else if (code == EMLINK)
    g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_LINKED,
                 "%s: not changed: it was just replaced, or has another name (hard link); remove that name",
                 request->path);
  else
    g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO, "%s: cannot be changed: %s", request->path,
                 g_strerror (code));
  return FAILED;
}

/*
 * Whether our lock and our request reach a VM that may be using the log; otherwise @error is set.  Without
 * that, we would change the log under it.
 */
static gboolean
is_within_reach (const Request *request, GError **error)
{
  const char *hidden = ddebug_reader_hidden_by (request->reader);

  if (!hidden)
    return TRUE;
  g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_REFUSED,
               "%s: not changed: a VM may be using it, which a file system (%s) hides; "
               "run this on the VM's host, with the path that the VM uses", request->path, hidden);
  return FALSE;
}

/*
 * Open the path for writing and compare it with the log that was read, so that somebody who can change
 * the directory cannot make us write to another file.
 */
static int
open_for_writing (const Request *request)
{
  int fd = open (request->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

  if (fd < 0 || ddebug_reader_is_sole_file (request->reader, fd))
    return fd;
  close (fd);
  errno = EMLINK;
  return -1;
}

/* ---- without a writer ---- */

/* @why: taken over */
static Outcome
fail_writer (const Request *request, GError *why, GError **error)
{
  if (!g_error_matches (why, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_PERMISSION))
    {
      g_propagate_error (error, why);
      return FAILED;
    }
  g_error_free (why);
  return fail_errno (request, EACCES, error);
}

static Outcome
change_log (Request *request, GError **error)
{
  g_autoptr (GError) why = NULL;
  DdebugLog *log = ddebug_log_open (request->path, 0, NULL, 0, &why);
  bool done;

  if (!log && g_error_matches (why, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_BUSY))
    return AGAIN;
  if (!log)
    return fail_writer (request, g_steal_pointer (&why), error);
  if (request->type == DDEBUG_LOG_REQUEST_SIZE)
    done = ddebug_log_resize (log, request->arg, &why);
  else
    {
      /* also clear what is left in shared rings */
      ddebug_log_recover (log);
      done = ddebug_log_clear (log, &why);
    }
  request->value = ddebug_log_size (log);
  ddebug_log_close (log);
  return done ? DONE : fail_writer (request, g_steal_pointer (&why), error);
}

/* ---- through the device ---- */

static Outcome
lock_requests (const Request *request, int fd, gint64 end, GError **error)
{
  struct flock lock = {
    .l_type = F_WRLCK,
    .l_whence = SEEK_SET,
    .l_start = DDEBUG_LOG_LOCK_REQUEST,
    .l_len = 1,
  };

  while (fcntl (fd, F_OFD_SETLK, &lock) != 0)
    {
      int left = MAX ((end - g_get_monotonic_time ()) / 1000, 0);

      if (errno != EAGAIN && errno != EACCES)
        return fail_errno (request, errno, error);
      /* Another request is in progress.  Its sender closes the file shortly before that unlocks it. */
      if (ddebug_wait (request->wait, left) & DDEBUG_WAKE_CLOSED)
        ddebug_wait (request->wait, 10);
      if (ddebug_wait_signal ())
        return FAILED;
      if (left == 0)
        {
          g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_REFUSED,
                       "%s: another ddebug-host has been changing the log for %d s; stop it and try again",
                       request->path, DDEBUG_REQUEST_TIMEOUT);
          return FAILED;
        }
    }
  return DONE;
}

static gboolean
post (const Request *request, guint64 id)
{
  struct ddebug_log_request disk = {
    .magic = GUINT32_TO_LE (DDEBUG_LOG_REQUEST_MAGIC),
    .type = GUINT32_TO_LE (request->type),
    .id = GUINT64_TO_LE (id),
    .arg = GUINT64_TO_LE (request->arg),
  };
  int fd = open_for_writing (request);
  gssize n;
  int code;

  if (fd < 0)
    return FALSE;
  ddebug_log_seal (&disk, sizeof disk);
  n = pwrite (fd, &disk, sizeof disk, DDEBUG_LOG_REQUEST_OFF);
  code = n < 0 ? errno : EIO;
  close (fd);
  errno = code;
  return n == sizeof disk;
}

static gboolean
read_reply (int fd, guint64 id, DdebugLogReply *reply)
{
  struct ddebug_log_reply disk;

  return pread (fd, &disk, sizeof disk, DDEBUG_LOG_REPLY_OFF) == sizeof disk
         && ddebug_log_parse_reply (&disk, reply) && reply->id == id;
}

static Outcome
take_reply (Request *request, const DdebugLogReply *reply, GError **error)
{
  int code = reply->error;

  request->value = reply->value;
  if (code == 0)
    return DONE;
  g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_REFUSED, "%s: the device refused: %s%s", request->path,
               g_strerror (code),
               code == ENOSPC ? "; free disk space or use a smaller --size" :
               code == EFBIG ? "; raise QEMU's limit on the size of files (RLIMIT_FSIZE) or use a smaller --size" : "");
  return FAILED;
}

static Outcome
wait_for_reply (Request *request, int fd, guint64 id, gint64 end, GError **error)
{
  DdebugLogReply reply;

  while (!read_reply (fd, id, &reply))
    {
      int left = MAX ((end - g_get_monotonic_time ()) / 1000, 0);
      guint wake;

      if (ddebug_reader_writer (request->reader) != DDEBUG_WRITER_ALIVE)
        return read_reply (fd, id, &reply) ? take_reply (request, &reply, error) : AGAIN;
      if (left == 0)
        {
          g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_REFUSED,
                       "%s: the device has not answered for %d s; is QEMU (pid %u) stopped?", request->path,
                       DDEBUG_REQUEST_TIMEOUT, ddebug_reader_super (request->reader)->writer_pid);
          return FAILED;
        }
      wake = ddebug_wait (request->wait, left);
      if (wake & DDEBUG_WAKE_SIGNAL)
        return FAILED;
      /* The close is seen shortly before the unlock. */
      if (wake & DDEBUG_WAKE_CLOSED)
        ddebug_wait (request->wait, 10);
    }
  return take_reply (request, &reply, error);
}

static Outcome
ask (Request *request, GError **error)
{
  gint64 end = g_get_monotonic_time () + DDEBUG_REQUEST_TIMEOUT * G_USEC_PER_SEC;
  guint64 id = (guint64) g_random_int () << 32 | g_random_int ();
  int fd = open_for_writing (request);
  Outcome outcome;

  if (fd < 0)
    return fail_errno (request, errno, error);
  outcome = lock_requests (request, fd, end, error);
  if (outcome == DONE && !post (request, id))
    outcome = fail_errno (request, errno, error);
  if (outcome == DONE)
    outcome = wait_for_reply (request, fd, id, end, error);
  close (fd);
  return outcome;
}

static gboolean
carry_out (Request *request, GError **error)
{
  g_autoptr (DdebugReader) reader = ddebug_reader_open (request->path, error);
  g_autoptr (DdebugWatch) watch = NULL;
  Outcome outcome;

  if (!reader)
    return FALSE;
  request->reader = reader;
  watch = ddebug_wait_watch (request->wait, DDEBUG_WATCH_FILE, request->path);
  if (!watch)
    return fail_errno (request, errno, error) == DONE;
  do
    if (!is_within_reach (request, error))
      outcome = FAILED;
    else if (ddebug_reader_writer (reader) == DDEBUG_WRITER_ALIVE)
      outcome = ask (request, error);
    else
      outcome = change_log (request, error);
  while (outcome == AGAIN && !ddebug_wait_signal ());
  return outcome == DONE;
}

gboolean
ddebug_request_size (DdebugWait *wait, const char *path, guint64 size, guint64 *now, GError **error)
{
  Request request = { .wait = wait, .path = path, .type = DDEBUG_LOG_REQUEST_SIZE, .arg = size };
  gboolean done = carry_out (&request, error);

  *now = request.value;
  return done;
}

gboolean
ddebug_request_clear (DdebugWait *wait, const char *path, GError **error)
{
  Request request = { .wait = wait, .path = path, .type = DDEBUG_LOG_REQUEST_CLEAR };

  return carry_out (&request, error);
}
