/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands of ddebug-host share: messages, opening and watching a log, output. */
#include "ddebug-common.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ddebug-format.h"
#include "ddebug-output.h"

/* ---- messages ---- */

/* File names, like guests' texts, can contain anything: escape them. */
void
ddebug_host_say (const char *format, ...)
{
  g_autoptr (GString) safe = g_string_new (NULL);
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  ddebug_escape (safe, text, strlen (text), g_get_charset (NULL) ? DDEBUG_ESCAPE_UTF8 : 0, 0);
  fprintf (stderr, "ddebug-host: %s\n", safe->str);
}

static int
exit_of_log (DdebugLogError code)
{
  switch (code)
    {
    case DDEBUG_LOG_ERROR_NOT_FOUND:
    case DDEBUG_LOG_ERROR_PERMISSION:
    case DDEBUG_LOG_ERROR_NOT_A_FILE:
    case DDEBUG_LOG_ERROR_LINKED:
      return DDEBUG_EXIT_ACCESS;
    case DDEBUG_LOG_ERROR_EMPTY:
    case DDEBUG_LOG_ERROR_FORMAT:
    case DDEBUG_LOG_ERROR_VERSION:
    case DDEBUG_LOG_ERROR_DAMAGED:
      return DDEBUG_EXIT_FORMAT;
    case DDEBUG_LOG_ERROR_OWNER:
    case DDEBUG_LOG_ERROR_BUSY:
    case DDEBUG_LOG_ERROR_SIZE:
    case DDEBUG_LOG_ERROR_SHM:
    case DDEBUG_LOG_ERROR_SPACE:
    case DDEBUG_LOG_ERROR_LIMIT:
    case DDEBUG_LOG_ERROR_IO:
    default:
      return DDEBUG_EXIT_IO;
    }
}

int
ddebug_host_fail (const GError *error)
{
  ddebug_host_say ("%s", error->message);
  if (error->domain == DDEBUG_LOG_ERROR)
    return exit_of_log (error->code);
  if (error->domain != DDEBUG_ERROR)
    return DDEBUG_EXIT_IO;
  switch ((DdebugError) error->code)
    {
    case DDEBUG_ERROR_NOT_FOUND:
    case DDEBUG_ERROR_ACCESS:
    case DDEBUG_ERROR_NOT_A_FILE:
      return DDEBUG_EXIT_ACCESS;
    case DDEBUG_ERROR_FORMAT:
    case DDEBUG_ERROR_DAMAGED:
      return DDEBUG_EXIT_FORMAT;
    case DDEBUG_ERROR_REFUSED:
      return DDEBUG_EXIT_REFUSED;
    case DDEBUG_ERROR_BOOT:
      return DDEBUG_EXIT_BOOT;
    case DDEBUG_ERROR_IO:
    case DDEBUG_ERROR_LIBVIRT:
    default:
      return DDEBUG_EXIT_IO;
    }
}

/* ---- opening ---- */

gboolean
ddebug_host_is_live (DdebugReader *reader, gboolean closed)
{
  DdebugWriter writer = ddebug_reader_writer (reader);

  return writer == DDEBUG_WRITER_ALIVE || (writer == DDEBUG_WRITER_UNKNOWN && !closed);
}

guint
ddebug_host_wait (DdebugWait *wait, int timeout_ms)
{
  static gboolean reported;
  int why = ddebug_wait_why_polling (wait);

  if (why && !reported)
    ddebug_host_say ("cannot watch all files: %s; polling several times a second instead; "
                     "raise /proc/sys/fs/inotify/max_user_instances or max_user_watches", g_strerror (why));
  reported |= why != 0;
  return ddebug_wait (wait, timeout_ms);
}

/* Watch the directory in which the log will be created; NULL with @error set. */
static DdebugWatch *
watch_for (const char *path, DdebugWait *wait, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (path);
  DdebugWatch *watch = ddebug_wait_watch (wait, DDEBUG_WATCH_DIRECTORY, directory);

  if (!watch)
    g_set_error (error, DDEBUG_ERROR, errno == EACCES ? DDEBUG_ERROR_ACCESS : DDEBUG_ERROR_NOT_FOUND,
                 "%s: cannot watch for %s: %s; create the directory first", directory, path,
                 g_strerror (errno));
  return watch;
}

static gboolean
may_come (const DdebugOptions *options, const GError *why)
{
  return options->wait
         && (g_error_matches (why, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_NOT_FOUND)
             || g_error_matches (why, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_EMPTY));
}

/*
 * A writer stores the superblock before it extends the file, so a log that is in use can be short
 * for a moment.  Check for a writer first: without one, the size is final.
 */
gboolean
ddebug_host_is_cut (DdebugReader *reader, guint64 *there)
{
  if (ddebug_reader_writer (reader) == DDEBUG_WRITER_ALIVE)
    return FALSE;
  *there = ddebug_reader_file_size (reader);
  return *there < ddebug_reader_super (reader)->size;
}

static void
warn_if_cut (const char *path, DdebugReader *reader, const char *what)
{
  guint64 size = ddebug_reader_super (reader)->size;
  guint64 there;

  if (ddebug_host_is_cut (reader, &there))
    ddebug_host_say ("%s: was cut short: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " bytes are left; %s",
                     path, there, size, what);
}

void
ddebug_host_warn_before_change (const char *path)
{
  g_autoptr (DdebugReader) reader = ddebug_reader_open (path, NULL);

  if (reader)
    warn_if_cut (path, reader, "what is missing is replaced by empty segments");
}

/*
 * FALSE with @error set if it cannot be watched.  That the file has just gone is no error: the
 * caller retries.
 */
static gboolean
watch_file (const char *path, DdebugWait *wait, DdebugWatch **file, GError **error)
{
  *file = ddebug_wait_watch (wait, DDEBUG_WATCH_FILE, path);
  if (*file || errno == ENOENT)
    return TRUE;
  g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_IO, "%s: cannot watch: %s", path, g_strerror (errno));
  return FALSE;
}

/* The descriptor of the copy that is to be read instead of @path; -1: none. */
static int
find_copy (const DdebugOptions *options, const char *path)
{
  for (guint i = 0; options->copies && i < options->n_paths; i++)
    if (options->copies[i] >= 0 && strcmp (options->paths[i], path) == 0)
      return options->copies[i];
  return -1;
}

/*
 * Open the file that @path names once the watch is in place; NULL with @error set.  A copy never changes and
 * is not watched.
 */
static DdebugReader *
open_watched (const DdebugOptions *options, const char *path, DdebugWait *wait, DdebugWatch **file,
              GError **error)
{
  int copy = find_copy (options, path);

  if (copy >= 0)
    return ddebug_reader_open_copy (copy, path, error);
  for (;;)
    {
      g_autoptr (DdebugReader) reader = ddebug_reader_open (path, error);

      if (!reader || !file)
        return g_steal_pointer (&reader);
      if (!watch_file (path, wait, file, error))
        return NULL;
      if (*file && ddebug_reader_is_at (reader, path))
        return g_steal_pointer (&reader);
      /* Replaced between open and watch: use the new one. */
      g_clear_pointer (file, ddebug_watch_free);
    }
}

DdebugReader *
ddebug_host_try_open (const DdebugOptions *options, const char *path, DdebugWait *wait,
                      DdebugWatch **directory, DdebugWatch **file, int *status)
{
  for (;;)
    {
      g_autoptr (GError) error = NULL;
      DdebugReader *reader = open_watched (options, path, wait, file, &error);

      if (reader)
        {
          g_clear_pointer (directory, ddebug_watch_free);
          warn_if_cut (path, reader, "reading those");
          return reader;
        }
      if (may_come (options, error))
        {
          *status = DDEBUG_OPEN_LATER;
          if (*directory)
            return NULL;
          /* It may have been created before the watch was in place: try once more. */
          g_clear_error (&error);
          *directory = watch_for (path, wait, &error);
          if (*directory)
            continue;
        }
      *status = ddebug_host_fail (error);
      return NULL;
    }
}

DdebugReader *
ddebug_host_open (const DdebugOptions *options, const char *path, DdebugWait *wait, int *status)
{
  g_autoptr (DdebugWatch) directory = NULL;
  DdebugReader *reader;

  while (!(reader = ddebug_host_try_open (options, path, wait, &directory, NULL, status))
         && *status == DDEBUG_OPEN_LATER)
    if (ddebug_host_wait (wait, -1) & (DDEBUG_WAKE_SIGNAL | DDEBUG_WAKE_OUTPUT))
      {
        *status = DDEBUG_EXIT_OK;
        return NULL;
      }
  return reader;
}

gboolean
ddebug_host_read_on (const DdebugItem *item, gpointer data)
{
  (void) item;
  (void) data;
  return ddebug_wait_signal () == 0;
}

int
ddebug_host_print (DdebugWait *wait, const GString *text)
{
  g_autoptr (GError) error = NULL;
  gsize written;

  if (!ddebug_wait_signal ()
      && ddebug_output_write (wait, STDOUT_FILENO, text->str, text->len, &written, &error)
             == DDEBUG_OUTPUT_ERROR)
    return ddebug_host_fail (error);
  return DDEBUG_EXIT_OK;
}
