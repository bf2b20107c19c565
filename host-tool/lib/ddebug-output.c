/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing to standard output without blocking in write(). */
#include "ddebug-output.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ddebug-error.h"

/*
 * A pipe that polls writable accepts PIPE_BUF bytes without blocking, so a signal never finds the
 * process sleeping in write().  A regular file never blocks.
 */
static gsize
piece (int fd, gsize len)
{
  struct stat st;

  if (fstat (fd, &st) == 0 && S_ISREG (st.st_mode))
    return len;
  return MIN (len, PIPE_BUF);
}

DdebugOutputResult
ddebug_output_write (DdebugWait *wait, int fd, const char *text, gsize len, gsize *done, GError **error)
{
  gsize most = piece (fd, len);
  gssize n;

  for (*done = 0; *done < len; *done += n)
    {
      guint wake = ddebug_wait_for_room (wait);

      if (wake & DDEBUG_WAKE_SIGNAL)
        return DDEBUG_OUTPUT_SIGNAL;
      if ((wake & DDEBUG_WAKE_OUTPUT) && !(wake & DDEBUG_WAKE_ROOM))
        return DDEBUG_OUTPUT_GONE;
      n = write (fd, text + *done, MIN (most, len - *done));
      if (n < 0 && (errno == EINTR || errno == EAGAIN))
        n = 0;
      else if (n < 0 && errno == EPIPE)
        return DDEBUG_OUTPUT_GONE;
      else if (n < 0)
        {
          int code = errno;

          g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_IO, "standard output: %s", g_strerror (code));
          return DDEBUG_OUTPUT_ERROR;
        }
    }
  return DDEBUG_OUTPUT_OK;
}
