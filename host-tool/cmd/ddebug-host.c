/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ddebug-host: main() and the small commands. */
#include <fcntl.h>
#include <locale.h>
#include <unistd.h>

#include "ddebug-attach.h"
#include "ddebug-boots-report.h"
#include "ddebug-common.h"
#include "ddebug-domains.h"
#include "ddebug-format.h"
#include "ddebug-help.h"
#include "ddebug-info.h"
#include "ddebug-input.h"
#include "ddebug-options.h"
#include "ddebug-request.h"
#include "ddebug-show.h"
#include "ddebug_version.h"

/* ---- small commands ---- */

static int
print (DdebugWait *wait, const GString *text)
{
  int status = ddebug_host_print (wait, text);

  if (ddebug_wait_signal ())
    ddebug_wait_die_by_signal ();
  return status;
}

static int
print_size (DdebugWait *wait, guint64 size)
{
  g_autoptr (GString) text = g_string_new (NULL);

  g_string_append_printf (text, "%" G_GUINT64_FORMAT " (", size);
  ddebug_format_size (text, size);
  g_string_append (text, ")\n");
  return print (wait, text);
}

static int
show_size (const DdebugOptions *options, DdebugWait *wait)
{
  int status;
  g_autoptr (DdebugReader) reader = ddebug_host_open (options, options->paths[0], wait, &status);

  if (!reader && ddebug_wait_signal ())
    ddebug_wait_die_by_signal ();
  return reader ? print_size (wait, ddebug_reader_super (reader)->size) : status;
}

static int
finish_request (gboolean was_done, const GError *error)
{
  if (!was_done && error)
    return ddebug_host_fail (error);
  if (ddebug_wait_signal ())
    ddebug_wait_die_by_signal ();
  return DDEBUG_EXIT_OK;
}

static int
set_size (const DdebugOptions *options, DdebugWait *wait, guint64 size)
{
  g_autoptr (GError) error = NULL;
  guint64 now;

  ddebug_host_warn_before_change (options->paths[0]);
  if (!ddebug_request_size (wait, options->paths[0], size, &now, &error))
    return finish_request (FALSE, error);
  return print_size (wait, now);
}

static int
clear_log (const DdebugOptions *options, DdebugWait *wait)
{
  g_autoptr (GError) error = NULL;
  gboolean was_done;

  ddebug_host_warn_before_change (options->paths[0]);
  was_done = ddebug_request_clear (wait, options->paths[0], &error);
  return finish_request (was_done, error);
}

static int
change_domain (const DdebugArguments *a, DdebugWait *wait, guint64 size)
{
  const DdebugAttach attach = {
    .domain = a->files[0],
    .uri = a->connect,
    .log = a->log,
    .plugin = a->plugin,
    .size = size,
    .detach = a->detach,
    .yes = a->yes,
    .utf8 = g_get_charset (NULL),
  };

  return ddebug_host_attach (&attach, wait);
}

static int
run (const DdebugArguments *a, DdebugWait *wait, guint64 size, const DdebugFilter *filter)
{
  g_auto (DdebugLogPaths) sources = { 0 };
  g_autoptr (GArray) copies = NULL;
  DdebugOptions options = {
    .all = a->all,
    .uri = a->connect,
    .wait = a->wait,
    .callsite = a->callsite,
    .raw = a->raw,
    .quiet = a->quiet,
    .json = ddebug_arguments_is_json (a),
    .utf8 = g_get_charset (NULL),
    .filter = filter,
  };
  int status;

  if (a->attach || a->detach)
    return change_domain (a, wait, size);
  if (a->list)
    return ddebug_host_list_domains (&options, wait);
  status = ddebug_host_resolve (a->connect, a->wait, a->files, &sources);
  if (status != DDEBUG_EXIT_OK)
    return status;
  /* What changes a log, or stores a position beside it, takes the log itself. */
  if (!a->pipe && !a->size && !a->clear)
    status = ddebug_host_prepare (&sources, &copies);
  if (status != DDEBUG_EXIT_OK)
    return status;
  options.copies = copies ? (const int *) copies->data : NULL;
  options.paths = (char **) sources.paths->pdata;
  options.names = (char **) sources.names->pdata;
  options.n_paths = sources.paths->len;
  if (a->info)
    return ddebug_host_info (&options, wait);
  if (a->list_boots)
    return ddebug_host_list_boots (&options, wait);
  if (a->last_words)
    return ddebug_host_last_words (&options, wait);
  if (a->show_size)
    return show_size (&options, wait);
  if (a->size)
    return set_size (&options, wait, size);
  if (a->clear)
    return clear_log (&options, wait);
  return ddebug_host_show (&options,
                           a->pipe     ? DDEBUG_SHOW_PIPE
                           : a->follow ? DDEBUG_SHOW_FOLLOW
                                       : DDEBUG_SHOW_TRACE,
                           wait);
}

static int
print_about (const DdebugArguments *a, DdebugWait *wait)
{
  g_autoptr (GString) text = g_string_new (NULL);

  if (a->help)
    ddebug_help_append (text);
  else
    g_string_append (text, "ddebug-host (virtio-ddebug) " DDEBUG_VERSION "\n");
  return print (wait, text);
}

/*
 * Open the standard descriptors that are closed.  Otherwise a file could get the number of standard
 * error, and error messages would be written into it.  FALSE if standard output was closed.
 */
static gboolean
fill_descriptors (void)
{
  gboolean has_output = fcntl (STDOUT_FILENO, F_GETFD) >= 0;
  int fd;

  do
    fd = open ("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0)
    close (fd);
  return has_output;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DdebugWait) wait = NULL;
  g_autoptr (DdebugFilter) filter = NULL;
  g_auto (DdebugArguments) a = { 0 };
  guint64 size = 0;
  int status;

  (void) argc;
  setlocale (LC_ALL, "");
  if (!fill_descriptors ())
    {
      ddebug_host_say ("standard output is closed");
      return DDEBUG_EXIT_IO;
    }
  status = ddebug_arguments_parse (argv, &a);
  if (status != DDEBUG_EXIT_OK)
    return status;
  if (!ddebug_wait_catch_signals (&error))
    return ddebug_host_fail (error);
  wait = ddebug_wait_new (STDOUT_FILENO);
  if (a.help || a.version)
    return print_about (&a, wait);
  status = ddebug_arguments_check (&a, &size);
  if (status == DDEBUG_EXIT_OK)
    status = ddebug_arguments_make_filter (&a, &filter);
  return status == DDEBUG_EXIT_OK ? run (&a, wait, size, filter) : status;
}
