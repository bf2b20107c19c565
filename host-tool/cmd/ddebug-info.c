/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --info: read the whole log and print what it contains, except the messages. */
#include "ddebug-info.h"

#include <string.h>

#include "ddebug-format.h"
#include "ddebug-view.h"

typedef struct
{
  const DdebugOptions *options;
  const char *path;
  DdebugView *view;
  DdebugReader *reader;
  DdebugWriter writer;
  GString *text;
} Info;

static void
add_name (GString *out, const char *name)
{
  g_string_append_printf (out, "%-11s", name);
}

static void
add_number (GString *out, const char *name, guint64 value)
{
  add_name (out, name);
  g_string_append_printf (out, "%" G_GUINT64_FORMAT "\n", value);
}

static void
add_bytes (GString *out, guint64 bytes)
{
  g_string_append_printf (out, "%" G_GUINT64_FORMAT " (", bytes);
  ddebug_format_size (out, bytes);
  g_string_append_c (out, ')');
}

static void
add_word (const Info *info, const char *word)
{
  ddebug_escape (info->text, word, strlen (word), info->options->utf8 ? DDEBUG_ESCAPE_UTF8 : 0, 0);
}

/* ---- the file ---- */

static void
add_size (const Info *info)
{
  const DdebugSuper *super = ddebug_reader_super (info->reader);
  DdebugUsage usage;
  guint64 there;

  add_name (info->text, "size:");
  add_bytes (info->text, super->size);
  if (ddebug_host_is_cut (info->reader, &there))
    g_string_append_printf (info->text, ", cut short to %" G_GUINT64_FORMAT, there);
  ddebug_reader_usage (info->reader, &usage);
  g_string_append_c (info->text, '\n');
  if (super->shm_size)
    {
      add_name (info->text, "rings:");
      add_bytes (info->text, super->shm_size);
      g_string_append (info->text, " of it, shared with the guest\n");
    }
  add_name (info->text, "segments:");
  g_string_append_printf (info->text,
                          "%" G_GUINT64_FORMAT " of %u KiB: %" G_GUINT64_FORMAT " data, %" G_GUINT64_FORMAT
                          " dictionary, %" G_GUINT64_FORMAT " cleared, %" G_GUINT64_FORMAT " unused",
                          super->nr_segs, super->seg_size / 1024, usage.data, usage.dict, usage.cleared,
                          usage.unused);
  if (usage.missing)
    g_string_append_printf (info->text, ", %" G_GUINT64_FORMAT " cut off", usage.missing);
  g_string_append_c (info->text, '\n');
}

static void
add_vm (const Info *info)
{
  static const guint8 none[16];
  const DdebugSuper *super = ddebug_reader_super (info->reader);

  add_name (info->text, "vm:");
  add_word (info, super->vm_name[0] ? super->vm_name : "(no name)");
  if (memcmp (super->vm_uuid, none, sizeof none) != 0)
    {
      g_string_append (info->text, ", ");
      ddebug_format_uuid (info->text, super->vm_uuid);
    }
  g_string_append_c (info->text, '\n');
}

static void
add_writer (const Info *info)
{
  const DdebugSuper *super = ddebug_reader_super (info->reader);
  const char *hidden;

  add_name (info->text, "writer:");
  switch (info->writer)
    {
    case DDEBUG_WRITER_ALIVE:
      g_string_append_printf (info->text, "alive, pid %u, ", super->writer_pid);
      break;
    case DDEBUG_WRITER_GONE:
      g_string_append (info->text, "gone, ");
      break;
    case DDEBUG_WRITER_COPY:
      g_string_append_printf (info->text, "unknown (this is a copy), last pid %u, ", super->writer_pid);
      break;
    case DDEBUG_WRITER_UNKNOWN:
    default:
      hidden = ddebug_reader_hidden_by (info->reader);
      g_string_append_printf (info->text, "unknown (a file system hides it: %s), last pid %u, ",
                              hidden ? hidden : "no longer", super->writer_pid);
      break;
    }
  add_word (info, super->writer[0] ? super->writer : "(no name)");
  g_string_append_c (info->text, '\n');
}

/* What the disk is known to have. */
static void
add_sync (const Info *info)
{
  DdebugSync sync;

  if (!ddebug_reader_sync (info->reader, &sync))
    return;
  add_name (info->text, "synced:");
  g_string_append_printf (info->text, "chunk %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT, sync.synced,
                          MAX (sync.written, ddebug_reader_chunk_seq (info->reader)));
  if (sync.realtime)
    {
      g_string_append (info->text, ", ");
      ddebug_format_time (info->text, sync.realtime);
    }
  g_string_append_printf (info->text, ", every %u s", sync.interval);
  if (sync.failed)
    g_string_append_printf (info->text, ", failed %" G_GUINT64_FORMAT " times", sync.failed);
  g_string_append_c (info->text, '\n');
}

static void
add_file (const Info *info)
{
  const DdebugSuper *super = ddebug_reader_super (info->reader);

  add_name (info->text, "file:");
  add_word (info, info->path);
  g_string_append_c (info->text, '\n');
  add_size (info);
  add_name (info->text, "uuid:");
  ddebug_format_uuid (info->text, super->uuid);
  g_string_append_c (info->text, '\n');
  add_vm (info);
  add_writer (info);
  add_name (info->text, "created:");
  ddebug_format_time (info->text, super->created);
  g_string_append_c (info->text, '\n');
  add_name (info->text, "opened:");
  ddebug_format_time (info->text, super->opened);
  g_string_append_c (info->text, '\n');
  add_sync (info);
}

/* ---- the contents ---- */

static void
add_totals (const Info *info)
{
  const DdebugTotals *totals = ddebug_view_totals (info->view);

  add_number (info->text, "received:", totals->received);
  add_number (info->text, "lost:", totals->lost);
  add_number (info->text, "dropped:", totals->dropped);
  if (totals->nostream || totals->missed)
    {
      add_name (info->text, "unrecorded: ");
      g_string_append_printf (info->text,
                              "%" G_GUINT64_FORMAT ": %" G_GUINT64_FORMAT " on a cpu without a ring, %"
                              G_GUINT64_FORMAT " in the guest's own kernel log only\n",
                              totals->nostream + totals->missed, totals->nostream, totals->missed);
    }
  add_number (info->text, "late:", totals->late);
  if (totals->unchecked)
    {
      add_name (info->text, "in rings:");
      g_string_append_printf (info->text,
                              "%" G_GUINT64_FORMAT " of those received, without a checksum: not copied by QEMU\n",
                              totals->unchecked);
    }
}

static void
add_damage (const Info *info)
{
  const DdebugTotals *totals = ddebug_view_totals (info->view);
  const struct
  {
    guint64 count;
    const char *what;
  } found[] = {
    { totals->bad_chunks, "chunks damaged" },
    { totals->bad_bytes, "bytes that are not chunks" },
    { totals->bad_spans, "unreadable payloads from the guest" },
    { totals->unknown_chunks, "chunks not understood" },
    { totals->unknown_records, "records not understood" },
    { totals->io_errors, "chunks that the host could not write" },
    { totals->unsynced, "chunks that the host's disk may not have taken" },
    { totals->missing, "chunks missing that were written" },
  };
  const char *separator = "";

  add_name (info->text, "damage:");
  for (guint i = 0; i < G_N_ELEMENTS (found); i++)
    if (found[i].count)
      {
        g_string_append_printf (info->text, "%s%" G_GUINT64_FORMAT " %s", separator, found[i].count,
                                found[i].what);
        separator = ", ";
      }
  g_string_append (info->text, *separator ? "\n" : "none\n");
  if (totals->fulls || totals->rates)
    {
      add_name (info->text, "discarded:");
      g_string_append_printf (info->text,
                              "%" G_GUINT64_FORMAT " chunks while the log was full, %" G_GUINT64_FORMAT
                              " gaps by the rate limit\n", totals->fulls, totals->rates);
    }
}

static void
add_epoch (const Info *info, const DdebugEpoch *epoch)
{
  g_string_append_printf (info->text, "\nepoch %u\n", epoch->number);
  if (epoch->attached)
    {
      g_string_append (info->text, "  boot:         ");
      ddebug_format_uuid (info->text, epoch->boot_id);
      g_string_append (info->text, "\n  kernel:       ");
      add_word (info, epoch->release);
      g_string_append_printf (info->text, ", %u cpus\n  driver:       ", epoch->nr_cpus);
      add_word (info, epoch->driver);
      g_string_append (info->text, "\n  attached:     ");
      ddebug_format_time (info->text, epoch->realtime);
      g_string_append_printf (info->text, "\n  instance:     %016" G_GINT64_MODIFIER "x\n",
                              epoch->instance_id);
    }
  else
    g_string_append (info->text, "  attached:     not in the log\n");
  g_string_append_printf (info->text, "  callsites:    %u\n  messages:     %" G_GUINT64_FORMAT "\n",
                          epoch->callsites, epoch->messages);
}

static int
compare_streams (gconstpointer a, gconstpointer b)
{
  const DdebugMergerStream *x = *(DdebugMergerStream *const *) a, *y = *(DdebugMergerStream *const *) b;

  if (x->cpu != y->cpu)
    return x->cpu < y->cpu ? -1 : 1;
  if (x->context != y->context)
    return x->context < y->context ? -1 : 1;
  return (x->id > y->id) - (x->id < y->id);
}

static void
add_stream (const Info *info, const DdebugMergerStream *stream)
{
  char buf[16];

  g_string_append_printf (info->text,
                          "  %5u  %-8s %12" G_GUINT64_FORMAT " %12" G_GUINT64_FORMAT " %12" G_GUINT64_FORMAT
                          " %12" G_GUINT64_FORMAT " %12" G_GUINT64_FORMAT "\n",
                          stream->cpu, ddebug_format_context (stream->context, buf, sizeof buf),
                          stream->received, stream->lost, stream->dropped, stream->repeated, stream->late);
}

static void
add_instance (const Info *info, DdebugInstance *instance)
{
  g_autoptr (GPtrArray) streams = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer stream;

  g_hash_table_iter_init (&iter, instance->streams);
  while (g_hash_table_iter_next (&iter, NULL, &stream))
    g_ptr_array_add (streams, stream);
  g_ptr_array_sort (streams, compare_streams);
  g_string_append_printf (info->text,
                          "\nstreams of %s\n"
                          "    cpu  context      received         lost      dropped     repeated         late\n",
                          instance->name);
  for (guint i = 0; i < streams->len; i++)
    add_stream (info, g_ptr_array_index (streams, i));
}

static void
add_contents (const Info *info)
{
  DdebugDict *dict = ddebug_view_dict (info->view);
  g_autoptr (GPtrArray) epochs = ddebug_dict_epochs (dict);
  GPtrArray *instances = ddebug_dict_instances (dict);

  add_totals (info);
  add_damage (info);
  for (guint i = 0; i < epochs->len; i++)
    add_epoch (info, g_ptr_array_index (epochs, i));
  for (guint i = 0; i < instances->len; i++)
    add_instance (info, g_ptr_array_index (instances, i));
}

/* ---- the command ---- */

static gboolean
read_all (Info *info, GError **error)
{
  gboolean live = ddebug_host_is_live (info->reader, FALSE);

  info->writer = ddebug_reader_writer (info->reader);
  return ddebug_view_read_all (info->view, live, ddebug_host_read_on, NULL, error);
}

static int
print_log (const DdebugOptions *options, const char *path, DdebugWait *wait, gboolean *printed)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) text = g_string_new (*printed ? "\n" : NULL);
  g_autoptr (DdebugView) view = NULL;
  int status = DDEBUG_EXIT_OK;
  Info info = { .options = options, .path = path, .text = text };

  info.reader = ddebug_host_open (options, path, wait, &status);
  if (!info.reader)
    return status;
  info.view = view = ddebug_view_new (info.reader);
  /* Count as late what --trace would mark as late. */
  ddebug_merger_set_window (ddebug_view_merger (view), DDEBUG_WINDOW_TRACE);
  if (!read_all (&info, &error))
    return ddebug_host_fail (error);
  add_file (&info);
  add_contents (&info);
  *printed = TRUE;
  return ddebug_host_print (wait, text);
}

int
ddebug_host_info (const DdebugOptions *options, DdebugWait *wait)
{
  int status = DDEBUG_EXIT_OK;
  gboolean printed = FALSE;

  for (guint i = 0; i < options->n_paths && !ddebug_wait_signal (); i++)
    {
      int one = print_log (options, options->paths[i], wait, &printed);

      status = status ? status : one;
    }
  if (ddebug_wait_signal ())
    ddebug_wait_die_by_signal ();
  return status;
}
