/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FILEs that are no plain files: symbolic links, standard input, pipes, compressed logs.
 *
 * Links are followed here, once, and nowhere else: whatever opens a log later refuses them, so nobody can
 * put one there afterwards.
 */
#define _GNU_SOURCE
#include "ddebug-input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ddebug-error.h"
#include "ddebug-spool.h"

/* As many links as the kernel follows. */
#define LINKS_MAX 40

static gboolean
is_link (const char *path)
{
  struct stat st;

  return lstat (path, &st) == 0 && S_ISLNK (st.st_mode);
}

/* The path that @path leads to, which need not exist: --wait can wait for it. */
static char *
follow_links (const char *path)
{
  char *found = realpath (path, NULL);

  if (found)
    return found;
  found = g_strdup (path);
  for (int i = 0; i < LINKS_MAX && is_link (found); i++)
    {
      g_autofree char *target = g_file_read_link (found, NULL);
      g_autofree char *folder = g_path_get_dirname (found);

      if (!target)
        break;
      g_free (found);
      found = g_path_is_absolute (target) ? g_steal_pointer (&target) : g_build_filename (folder, target, NULL);
    }
  return found;
}

/* The path of standard input if it is a file that has one; otherwise NULL. */
static char *
find_stdin (void)
{
  char *path = realpath ("/proc/self/fd/0", NULL);
  struct stat mine, there;

  if (path && fstat (STDIN_FILENO, &mine) == 0 && S_ISREG (mine.st_mode) && stat (path, &there) == 0
      && mine.st_dev == there.st_dev && mine.st_ino == there.st_ino
      /* whoever has opened it may have been allowed more */
      && faccessat (AT_FDCWD, path, R_OK, AT_EACCESS) == 0)
    return path;
  free (path);
  return NULL;
}

static gboolean
is_compressed (const char *path)
{
  int fd = open (path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  guint8 bytes[DDEBUG_SPOOL_MAGIC];
  gssize n;

  if (fd < 0)
    return FALSE;
  n = pread (fd, bytes, sizeof bytes, 0);
  close (fd);
  return n > 0 && ddebug_spool_compression (bytes, n);
}

/* Open a pipe and wait for somebody to write to it: opening it without O_NONBLOCK could not be refused. */
static int
open_pipe (const char *path)
{
  int fd = open (path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  struct pollfd ready = { .fd = fd, .events = POLLIN };
  struct stat st;

  if (fd < 0)
    return -1;
  if (fstat (fd, &st) == 0 && S_ISFIFO (st.st_mode))
    {
      poll (&ready, 1, -1);
      fcntl (fd, F_SETFL, 0);
    }
  return fd;
}

/* Copy what is read from @in, which is closed; -1 with @error set. */
static int
make_copy (int in, const char *path, GError **error)
{
  g_autofree char *warning = NULL;
  int code = errno, copy;

  if (in < 0)
    {
      g_set_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_PERMISSION, "%s: cannot be opened: %s", path,
                   g_strerror (code));
      return -1;
    }
  copy = ddebug_spool (in, path, &warning, error);
  close (in);
  if (copy >= 0 && warning)
    ddebug_host_say ("%s: cannot be decompressed to its end: %s; reading what precedes", path, warning);
  return copy;
}

static int
copy_stdin (GError **error)
{
  if (isatty (STDIN_FILENO))
    {
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_A_FILE,
                   "-: standard input is a terminal; redirect a log to it, or give its file");
      return -1;
    }
  return make_copy (fcntl (STDIN_FILENO, F_DUPFD_CLOEXEC, 0), DDEBUG_INPUT_STDIN, error);
}

/* @path: (inout): see ddebug_host_prepare(); *@copy stays -1 if none is needed. */
static gboolean
prepare (char **path, int *copy, GError **error)
{
  char *found = strcmp (*path, DDEBUG_INPUT_STDIN) == 0 ? find_stdin () : NULL;
  struct stat st;

  if (!found && strcmp (*path, DDEBUG_INPUT_STDIN) == 0)
    return (*copy = copy_stdin (error)) >= 0;
  if (!found && stat (*path, &st) == 0 && S_ISFIFO (st.st_mode))
    return (*copy = make_copy (open_pipe (*path), *path, error)) >= 0;
  if (!found && is_link (*path))
    found = follow_links (*path);
  if (found)
    {
      g_free (*path);
      *path = found;
    }
  if (!is_compressed (*path))
    return TRUE;
  *copy = make_copy (open (*path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), *path, error);
  return *copy >= 0;
}

int
ddebug_host_prepare (DdebugLogPaths *logs, GArray **copies)
{
  int status = DDEBUG_EXIT_OK;

  *copies = g_array_new (FALSE, FALSE, sizeof (int));
  /* The copies have no names: nothing is left of them. */
  ddebug_wait_let_signals_kill (TRUE);
  for (guint i = 0; i < logs->paths->len && status == DDEBUG_EXIT_OK; i++)
    {
      g_autoptr (GError) error = NULL;
      int copy = -1;

      if (!g_ptr_array_index (logs->names, i)
          && !prepare ((char **) &g_ptr_array_index (logs->paths, i), &copy, &error))
        status = ddebug_host_fail (error);
      g_array_append_val (*copies, copy);
    }
  ddebug_wait_let_signals_kill (FALSE);
  return status;
}
