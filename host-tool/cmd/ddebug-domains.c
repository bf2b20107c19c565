/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SOURCEs that are libvirt domains, and --list.
 *
 * A name with a slash is a file.  A name without one is a file if that exists, and may be a domain
 * otherwise.  So reading files never waits for libvirt, and a VM can be named from any directory.
 */
#include "ddebug-domains.h"

#include <string.h>

#include "ddebug-boots.h"
#include "ddebug-format.h"
#include "ddebug-json.h"
#include "ddebug-libvirt.h"

/* ---- finding the log ---- */

void
ddebug_log_paths_clear (DdebugLogPaths *sources)
{
  g_clear_pointer (&sources->paths, g_ptr_array_unref);
  g_clear_pointer (&sources->names, g_ptr_array_unref);
}

static void
add_source (DdebugLogPaths *sources, const char *path, const char *name)
{
  g_ptr_array_add (sources->paths, g_strdup (path));
  g_ptr_array_add (sources->names, g_strdup (name));
}

/* Whether @source, which has no prefix, may be a domain. */
static gboolean
may_be_domain (const char *source)
{
  return !strchr (source, '/') && strcmp (source, "-") != 0 && !g_file_test (source, G_FILE_TEST_EXISTS)
         && !g_file_test (source, G_FILE_TEST_IS_SYMLINK);
}

/* Add the log of @vm; FALSE with @error set. */
static gboolean
add_domain (DdebugLogPaths *sources, const DdebugVm *vm, GError **error)
{
  if (vm->log && g_str_has_prefix (vm->log, "/dev/"))
    g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_A_FILE,
                 "%s: QEMU was passed its log as %s, which has no name outside QEMU; give the log file instead",
                 vm->name, vm->log);
  else if (!vm->log)
    g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_FOUND,
                 "%s: this domain has no virtio-ddebug device with a log; add one with ddebug-host --attach",
                 vm->name);
  else
    {
      add_source (sources, vm->log, vm->name);
      return TRUE;
    }
  return FALSE;
}

/* @quiet: do not report that it is not a domain: it may be a file that is waited for. */
static gboolean
resolve (const char *uri, const char *source, gboolean quiet, DdebugLibvirt **libvirt,
         DdebugLogPaths *sources, GError **error)
{
  gboolean forced = g_str_has_prefix (source, DDEBUG_DOMAIN_PREFIX);
  const char *name = forced ? source + strlen (DDEBUG_DOMAIN_PREFIX) : source;
  g_autoptr (DdebugVm) vm = NULL;
  g_autoptr (GError) why = NULL;

  if (!forced && !may_be_domain (source))
    {
      add_source (sources, source, NULL);
      return TRUE;
    }
  if (!*libvirt)
    *libvirt = ddebug_libvirt_open (uri, DDEBUG_LIBVIRT_READ, &why);
  if (*libvirt)
    vm = ddebug_libvirt_find (*libvirt, name, &why);
  if (vm)
    return add_domain (sources, vm, error);
  /* libvirt was not asked for explicitly, so its failure is not an error. */
  if (!forced && (!uri || g_error_matches (why, DDEBUG_ERROR, DDEBUG_ERROR_NOT_FOUND)))
    {
      if (*libvirt && !quiet)
        ddebug_host_say ("%s", why->message);
      add_source (sources, source, NULL);
      return TRUE;
    }
  g_propagate_error (error, g_steal_pointer (&why));
  return FALSE;
}

int
ddebug_host_resolve (const char *uri, gboolean wait, char **names, DdebugLogPaths *sources)
{
  g_autoptr (DdebugLibvirt) libvirt = NULL;
  g_autoptr (GError) error = NULL;

  sources->paths = g_ptr_array_new_with_free_func (g_free);
  sources->names = g_ptr_array_new_with_free_func (g_free);
  ddebug_wait_let_signals_kill (TRUE);
  for (char **name = names; name && *name; name++)
    if (!resolve (uri, *name, wait, &libvirt, sources, &error))
      return ddebug_host_fail (error);
  ddebug_wait_let_signals_kill (FALSE);
  return DDEBUG_EXIT_OK;
}

/* ---- --list ---- */

typedef struct
{
  const DdebugVm *vm;
  gboolean is_there;        /* the log was read; otherwise what follows is zero */
  guint64 size;
  guint boots;
  guint64 last;             /* ns since 1970: when the host read the newest message; 0: none */
  gboolean unchecked;       /* a newer one is in the shared rings of a QEMU that died */
} Row;

/* Read all headers of the log. */
static gboolean
read_log (Row *row, GError **error)
{
  g_autoptr (DdebugReader) reader = ddebug_reader_open (row->vm->log, error);
  g_autoptr (DdebugDict) dict = ddebug_dict_new (NULL);
  g_autoptr (GArray) boots = NULL;

  if (!reader || !ddebug_boots_scan (reader, ddebug_host_is_live (reader, FALSE), dict, error))
    return FALSE;
  boots = ddebug_boots_find (dict);
  row->is_there = TRUE;
  row->size = ddebug_reader_super (reader)->size;
  row->boots = boots->len;
  for (guint i = 0; i < boots->len; i++)
    {
      row->last = MAX (row->last, g_array_index (boots, DdebugBoot, i).last);
      row->unchecked |= g_array_index (boots, DdebugBoot, i).unchecked;
    }
  return TRUE;
}

/* Return the exit status.  A log that does not exist, since its VM was never started, is not an error. */
static int
fill_row (Row *row)
{
  g_autoptr (GError) error = NULL;

  if (read_log (row, &error) || g_error_matches (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_NOT_FOUND)
      || g_error_matches (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_EMPTY))
    return DDEBUG_EXIT_OK;
  return ddebug_host_fail (error);
}

static void
add_json (const DdebugOptions *options, const Row *row, GString *out)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  ddebug_json_add_string (builder, "type", "domain");
  ddebug_json_add_string (builder, "vm", row->vm->name);
  ddebug_json_add_string (builder, "vm_uuid", row->vm->uuid);
  ddebug_json_add_string (builder, "log", row->vm->log);
  ddebug_json_add_string (builder, "state", row->vm->state);
  if (row->is_there)
    {
      ddebug_json_add_number (builder, "size", row->size);
      ddebug_json_add_number (builder, "boots", row->boots);
    }
  if (row->last)
    ddebug_json_add_time (builder, "last", row->last);
  if (row->unchecked)
    ddebug_json_add_true (builder, "unchecked");
  json_builder_end_object (builder);
  ddebug_json_finish (builder, options->utf8, out);
}

/* Append @cell, which may contain any characters, escaped and padded to @width. */
static void
add_cell (const DdebugOptions *options, GString *out, const char *cell, int width)
{
  g_autoptr (GString) safe = g_string_new (NULL);

  ddebug_escape (safe, cell, strlen (cell), options->utf8 ? DDEBUG_ESCAPE_UTF8 : 0, 0);
  g_string_append (out, safe->str);
  for (int blanks = MAX (width - (int) g_utf8_strlen (safe->str, -1), 0) + 1; blanks > 0; blanks--)
    g_string_append_c (out, ' ');
}

static void
add_text (const DdebugOptions *options, const Row *row, int width, GString *out)
{
  g_autoptr (GString) size = g_string_new (NULL), boots = g_string_new (NULL), age = g_string_new (NULL);

  if (row->is_there)
    {
      ddebug_format_size (size, row->size);
      g_string_append_printf (boots, "%u", row->boots);
    }
  if (row->last)
    {
      if (row->unchecked)
        g_string_append (age, "< ");
      ddebug_format_age (age, row->last);
      g_string_append (age, " ago");
    }
  add_cell (options, out, row->vm->name, width);
  add_cell (options, out, row->vm->state, 11);
  add_cell (options, out, size->len ? size->str : "-", 10);
  add_cell (options, out, boots->len ? boots->str : "-", 5);
  add_cell (options, out, age->len ? age->str : "-", 14);
  ddebug_escape (out, row->vm->log, strlen (row->vm->log), options->utf8 ? DDEBUG_ESCAPE_UTF8 : 0, 0);
  g_string_append_c (out, '\n');
}

static GPtrArray *
list_vms (const DdebugOptions *options, char **uri, GError **error)
{
  g_autoptr (DdebugLibvirt) libvirt = ddebug_libvirt_open (options->uri, DDEBUG_LIBVIRT_READ, error);

  *uri = libvirt ? g_strdup (ddebug_libvirt_uri (libvirt)) : NULL;
  return libvirt ? ddebug_libvirt_list (libvirt, error) : NULL;
}

int
ddebug_host_list_domains (const DdebugOptions *options, DdebugWait *wait)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GPtrArray) vms = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *uri = NULL;
  int status = DDEBUG_EXIT_OK, width = strlen ("NAME"), printed;
  guint shown = 0;

  ddebug_wait_let_signals_kill (TRUE);
  vms = list_vms (options, &uri, &error);
  if (!vms)
    return ddebug_host_fail (error);
  for (guint i = 0; i < vms->len; i++)
    width = MAX (width, (int) g_utf8_strlen (((DdebugVm *) vms->pdata[i])->name, -1));
  if (!options->json)
    g_string_append_printf (text, "%-*s %-11s %-10s %-5s %-14s %s\n", width, "NAME", "STATE", "SIZE", "BOOTS",
                            "LAST MESSAGE",
                            "LOG");
  for (guint i = 0; i < vms->len; i++)
    {
      Row row = { .vm = vms->pdata[i] };
      int one;

      if (!row.vm->log)
        continue;
      shown++;
      one = fill_row (&row);
      status = status ? status : one;
      if (options->json)
        add_json (options, &row, text);
      else
        add_text (options, &row, width, text);
    }
  if (shown == 0)
    {
      ddebug_host_say ("no domain at %s has a virtio-ddebug device; add one with ddebug-host --attach", uri);
      return status;
    }
  printed = ddebug_host_print (wait, text);
  return status ? status : printed;
}
