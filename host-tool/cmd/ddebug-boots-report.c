/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --list-boots and --last-words: how the boots in a log ended.  Both read the whole log.
 */
#include "ddebug-boots-report.h"

#include <string.h>

#include "ddebug-boots.h"
#include "ddebug-format.h"
#include "ddebug-json.h"
#include "ddebug-view.h"
#include "virtio_ddebug.h"

/* The number of last messages shown for each CPU. */
#define WORDS 10
/*
 * Maximum bytes of one of them, and of the end of the kernel log.  A driver records 32 KiB of the
 * latter, but the log may be hostile.
 */
#define LINE_BYTES 4096
#define TAIL_BYTES (1u << 20)

/* ---- boots ---- */

static void
add_when (GString *out, guint64 ns)
{
  if (ns)
    ddebug_format_time (out, ns);
  else
    g_string_append_printf (out, "%-25s", "-");
}

static const char *
notice_word (guint32 notice)
{
  switch (notice)
    {
    case VIRTIO_DDEBUG_NOTICE_NONE:
      return "";
    case VIRTIO_DDEBUG_NOTICE_OOPS:
      return "oops";
    case VIRTIO_DDEBUG_NOTICE_KDUMP:
      return "panic, kdump";
    case VIRTIO_DDEBUG_NOTICE_PANIC:
    default:
      return "panic";
    }
}

/*
 * Whether @boot overlaps the filter's time.  Without messages, its time is that of its attach
 * record, if known.
 */
static gboolean
is_in_time (const DdebugFilter *filter, const DdebugBoot *boot)
{
  guint64 first = boot->first ? boot->first : boot->epoch->realtime;
  guint64 last = boot->last ? boot->last : boot->epoch->realtime;

  return !filter || ddebug_filter_overlaps (filter, first, last && !boot->unchecked ? last : G_MAXUINT64);
}

static void
add_boot (const DdebugOptions *options, const DdebugBoot *boot, int index, GString *out)
{
  const char *release = boot->epoch->attached ? boot->epoch->release : "(attach record not in the log)";

  g_string_append_printf (out, "%4d ", index);
  ddebug_format_uuid (out, boot->epoch->boot_id);
  g_string_append_c (out, ' ');
  add_when (out, boot->first);
  g_string_append_c (out, ' ');
  add_when (out, boot->last);
  g_string_append_printf (out, "%c%10" G_GUINT64_FORMAT " %-12s ", boot->unchecked ? '+' : ' ',
                          boot->messages, notice_word (boot->notice));
  ddebug_escape (out, release, strlen (release), options->utf8 ? DDEBUG_ESCAPE_UTF8 : 0, 0);
  g_string_append_c (out, '\n');
}

/* Append one line per boot; 0 is the newest, -1 the one before it, as in journalctl. */
static void
add_boots (const DdebugOptions *options, DdebugView *view, GString *out)
{
  g_autoptr (GArray) boots = ddebug_boots_find (ddebug_view_dict (view));
  const DdebugSuper *super = ddebug_reader_super (ddebug_view_reader (view));
  const DdebugJson json = { .log = options->paths[0], .vm = options->names[0], .utf8 = options->utf8 };

  if (!options->json)
    g_string_append_printf (out, "%4s %-36s %-25s %-25s %10s %-12s %s\n", "IDX", "BOOT ID", "FIRST MESSAGE",
                            "LAST MESSAGE",
                          "MESSAGES", "DEATH", "KERNEL");
  for (guint i = 0; i < boots->len; i++)
    {
      const DdebugBoot *boot = &g_array_index (boots, DdebugBoot, i);
      int index = (int) i - (int) boots->len + 1;

      if (!is_in_time (options->filter, boot))
        continue;
      if (options->json)
        ddebug_json_boot (&json, super, boot, index, out);
      else
        add_boot (options, boot, index, out);
    }
}

/* ---- last words ---- */

typedef struct
{
  DdebugFormat format;
  const DdebugFilter *filter; /* NULL: none */
  DdebugFilterPlace place;
  const DdebugEpoch *epoch; /* of the boot that is reported */
  GPtrArray *cpus;          /* by CPU: GQueue of char *, or NULL */
  GPtrArray *debug;         /* the same without lines of the kernel log */
  GString *lines;           /* end of the kernel log, as it was printed */
  GString *tail;            /* the same, as it was copied at the guest's death */
  guint32 tail_flags;       /* DDEBUG_KMSG_F_OOPS or _PANIC */
  gboolean in_tail;         /* the last item was part of it */
  guint64 unchecked;        /* messages of the boot without a checksum */
} Words;

static void
free_queue (gpointer queue)
{
  if (queue)
    g_queue_free_full (queue, g_free);
}

static void
forget_words (Words *words, const DdebugEpoch *epoch)
{
  g_ptr_array_set_size (words->cpus, 0);
  g_ptr_array_set_size (words->debug, 0);
  g_string_truncate (words->lines, 0);
  g_string_truncate (words->tail, 0);
  words->tail_flags = 0;
  words->in_tail = FALSE;
  words->unchecked = 0;
  words->epoch = epoch;
}

/* Append a line of the kernel log, and retain its end. */
static void
retain_log (Words *words, const DdebugItem *item, GString *log)
{
  ddebug_format_item (&words->format, item, log);
  if (log->len > 2 * TAIL_BYTES)
    {
      const char *begin = log->str, *from = begin + log->len - TAIL_BYTES;
      const char *line = strchr (from, '\n');

      g_string_erase (log, 0, (line ? line + 1 : from) - begin);
    }
}

/* Retain the end of the kernel log at the panic, or at the last oops. */
static void
retain_tail (Words *words, const DdebugItem *item)
{
  guint32 flags = item->message.kmsg & (DDEBUG_KMSG_F_OOPS | DDEBUG_KMSG_F_PANIC);

  if (!words->in_tail || flags != words->tail_flags)
    g_string_truncate (words->tail, 0);
  words->in_tail = TRUE;
  words->tail_flags = flags;
  retain_log (words, item, words->tail);
}

static void
retain_line (GPtrArray *cpus, guint cpu, const char *line)
{
  GQueue *queue;

  if (cpus->len <= cpu)
    g_ptr_array_set_size (cpus, cpu + 1);
  queue = g_ptr_array_index (cpus, cpu);
  if (!queue)
    g_ptr_array_index (cpus, cpu) = queue = g_queue_new ();
  g_queue_push_tail (queue, g_strdup (line));
  if (queue->length > WORDS)
    g_free (g_queue_pop_head (queue));
}

static void
retain_message (Words *words, const DdebugItem *item)
{
  guint cpu = MIN (item->stream->cpu, 4095);
  g_autoptr (GString) line = g_string_new (NULL);

  ddebug_format_item (&words->format, item, line);
  if (line->len > LINE_BYTES)
    {
      gsize len = LINE_BYTES;

      while ((line->str[len] & 0xc0) == 0x80)
        len--;
      g_string_append (g_string_truncate (line, len), "...\n");
    }
  retain_line (words->cpus, cpu, line->str);
  if (item->message.is_kmsg)
    retain_log (words, item, words->lines);
  else
    retain_line (words->debug, cpu, line->str);
  words->in_tail = FALSE;
}

static gboolean
take_words (const DdebugItem *item, gpointer data)
{
  Words *words = data;

  if (item->type == DDEBUG_ITEM_MESSAGE
      && (!words->filter || ddebug_filter_passes (words->filter, &words->place, item)))
    {
      if (item->epoch != words->epoch && !(words->epoch && ddebug_boots_are_one (item->epoch, words->epoch)))
        forget_words (words, item->epoch);
      words->unchecked += item->unchecked;
      if (!item->message.is_kmsg || !(item->message.kmsg & DDEBUG_KMSG_F_PAST))
        retain_message (words, item);
      else if (item->message.kmsg & (DDEBUG_KMSG_F_OOPS | DDEBUG_KMSG_F_PANIC))
        retain_tail (words, item);
    }
  return ddebug_wait_signal () == 0;
}

static void
add_dated (GString *out, guint64 when)
{
  g_string_append (out, ", ");
  ddebug_format_age (out, when);
  g_string_append (out, " ago, ");
  ddebug_format_time (out, when);
  g_string_append_c (out, '\n');
}

static void
add_event (GString *out, guint32 event, const guint64 args[2], guint64 when)
{
  if (!event)
    return;
  g_string_append (out, "VM:      ");
  ddebug_format_event (out, event, args);
  add_dated (out, when);
}

/*
 * Append what happened to the VM and QEMU after the newest boot.  @writer: from before the log was
 * read, so that all that a writer which had gone by then wrote was read.
 */
static void
add_present (DdebugView *view, DdebugWriter writer, GString *out)
{
  guint64 args[2] = { 0 }, when;
  guint32 event = ddebug_view_last_event (view, &args[0], &when);

  add_event (out, event, args, when);
  if (writer == DDEBUG_WRITER_ALIVE)
    g_string_append (out, "QEMU:    running\n");
  else if (ddebug_view_is_closed (view))
    g_string_append (out, "QEMU:    exited\n");
  else if (writer == DDEBUG_WRITER_UNKNOWN)
    g_string_append (out, "QEMU:    running or dead: a file system hides it; look on the VM's host\n");
  else if (writer == DDEBUG_WRITER_COPY)
    g_string_append (out, "QEMU:    unknown: this is a copy of its log, which does not say\n");
  else if (event || ddebug_view_totals (view)->received)
    g_string_append (out, "QEMU:    died without closing the log\n");
  else
    /* for example, --clear hides the end with the rest */
    g_string_append (out, "QEMU:    gone; the log does not say how it ended\n");
}

/* The same for a boot that is not the newest. */
static void
add_past (const DdebugEpoch *epoch, GString *out)
{
  add_event (out, epoch->event, epoch->args, epoch->happened);
  if (epoch->closed)
    g_string_append (out, "QEMU:    exited\n");
  else if (epoch->left)
    g_string_append (out, "QEMU:    died without closing the log\n");
  else
    g_string_append (out, "QEMU:    continued with another boot\n");
}

/* Append how the guest and the VM ended; @boot: NULL if the log has none. */
static void
add_end (DdebugView *view, DdebugWriter writer, const DdebugBoot *boot, gboolean is_newest, GString *out)
{
  if (boot && boot->notice)
    {
      g_string_append_printf (out, "kernel:  %s",
                              boot->notice == VIRTIO_DDEBUG_NOTICE_OOPS ? "oopsed" : "panicked");
      add_dated (out, boot->noticed);
    }
  if (is_newest)
    add_present (view, writer, out);
  else
    add_past (boot->epoch, out);
}

/* Append the last messages of each CPU; without lines of the kernel log if that is printed separately. */
static void
add_cpus (const Words *words, gboolean with_log, GString *out)
{
  GPtrArray *cpus = with_log ? words->debug : words->cpus;

  for (guint i = 0; i < cpus->len; i++)
    {
      GQueue *queue = g_ptr_array_index (cpus, i);

      if (!queue)
        continue;
      g_string_append_printf (out, "\nlast messages of cpu %u\n", i);
      for (GList *line = queue->head; line; line = line->next)
        g_string_append (out, line->data);
    }
}

static void
add_words (const DdebugOptions *options, DdebugView *view, DdebugWriter writer, const Words *words,
           GString *out)
{
  const DdebugSuper *super = ddebug_reader_super (ddebug_view_reader (view));
  DdebugEscape flags = options->utf8 ? DDEBUG_ESCAPE_UTF8 : 0;
  g_autoptr (GArray) boots = ddebug_boots_find (ddebug_view_dict (view));
  const DdebugBoot *boot = NULL;
  gboolean panicked, with_log;
  gboolean was_chosen = options->filter && ddebug_filter_has_boot (options->filter);

  if (was_chosen)
    boot = ddebug_boots_of (boots, words->place.from);
  else if (words->epoch)
    boot = ddebug_boots_of (boots, words->epoch->number);
  g_string_append (out, "name:    ");
  ddebug_escape (out, super->vm_name[0] ? super->vm_name : "(no name)",
                 super->vm_name[0] ? strlen (super->vm_name) : 9, flags, 0);
  g_string_append_c (out, '\n');
  if (boot && boot->epoch->attached)
    {
      g_string_append (out, "boot:    ");
      ddebug_format_uuid (out, boot->epoch->boot_id);
      g_string_append (out, ", kernel ");
      ddebug_escape (out, boot->epoch->release, strlen (boot->epoch->release), flags, 0);
      g_string_append_c (out, '\n');
    }
  /* without --boot it is the VM's end, even if the newest boot has no messages */
  add_end (view, writer, boot, !was_chosen || !boot
           || boot == &g_array_index (boots, DdebugBoot, boots->len - 1), out);
  if (!words->epoch)
    {
      g_string_append_printf (out, "no messages%s in the log\n", was_chosen ? " of this boot" : "");
      return;
    }
  if (words->unchecked)
    g_string_append_printf (out, "rings:   %" G_GUINT64_FORMAT " of the messages were still in the rings "
                            "and have no checksum\n", words->unchecked);
  /* lines that were recorded as they were printed are not copied again at the end */
  panicked = boot && boot->notice > VIRTIO_DDEBUG_NOTICE_OOPS;
  with_log = words->tail->len || (panicked && words->lines->len);
  add_cpus (words, with_log, out);
  if (words->tail->len)
    {
      g_string_append_printf (out, "\nend of the kernel's log, at %s\n",
                              words->tail_flags & DDEBUG_KMSG_F_PANIC ? "the panic" : "an oops");
      g_string_append_len (out, words->tail->str, words->tail->len);
    }
  else if (with_log)
    {
      g_string_append (out, "\nend of the kernel's log, at the panic\n");
      g_string_append_len (out, words->lines->str, words->lines->len);
    }
}

/* ---- the commands ---- */

static int
report (const DdebugOptions *options, DdebugWait *wait, gboolean last_words)
{
  const char *path = options->paths[0];
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (DdebugView) view = NULL;
  g_autoptr (GError) error = NULL;
  int status = DDEBUG_EXIT_OK;
  Words words = {
    .format = { .utf8 = options->utf8, .callsite = options->callsite, .quiet = TRUE },
    .cpus = g_ptr_array_new_with_free_func (free_queue),
    .debug = g_ptr_array_new_with_free_func (free_queue),
    .lines = g_string_new (NULL),
    .tail = g_string_new (NULL),
    .filter = options->filter,
  };
  DdebugReader *reader = ddebug_host_open (options, path, wait, &status);
  DdebugWriter writer;
  gboolean live;

  if (reader)
    {
      view = ddebug_view_new (reader);
      writer = ddebug_reader_writer (reader);
      live = writer == DDEBUG_WRITER_ALIVE || writer == DDEBUG_WRITER_UNKNOWN;
      ddebug_merger_set_window (ddebug_view_merger (view), DDEBUG_WINDOW_TRACE);
      if ((options->filter
           && !ddebug_filter_start (options->filter, reader, live, DDEBUG_FILTER_BOOT_ALONE, path,
                                    &words.place, &error))
          || !ddebug_view_read_all (view, live, last_words ? take_words : ddebug_host_read_on, &words,
                                    &error))
        status = ddebug_host_fail (error);
      else if (last_words)
        add_words (options, view, writer, &words, text);
      else
        add_boots (options, view, text);
    }
  if (status == DDEBUG_EXIT_OK)
    status = ddebug_host_print (wait, text);
  g_ptr_array_unref (words.cpus);
  g_ptr_array_unref (words.debug);
  g_string_free (words.lines, TRUE);
  g_string_free (words.tail, TRUE);
  if (ddebug_wait_signal ())
    ddebug_wait_die_by_signal ();
  return status;
}

int
ddebug_host_list_boots (const DdebugOptions *options, DdebugWait *wait)
{
  return report (options, wait, FALSE);
}

int
ddebug_host_last_words (const DdebugOptions *options, DdebugWait *wait)
{
  return report (options, wait, TRUE);
}
