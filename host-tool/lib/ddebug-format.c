/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Format items as lines, and escape what a guest wrote. */
#include "ddebug-format.h"

#include <string.h>

#include "ddebug-render.h"
#include "virtio_ddebug.h"

/* ---- escaping ---- */

static gboolean
is_plain (guint8 c)
{
  return c >= 0x20 && c < 0x7f && c != '\\';
}

#define BYTES(b) (G_GUINT64_CONSTANT (0x0101010101010101) * (b))

/*
 * Whether all of eight bytes are plain.  The high bit of each byte of a term is set if that byte is
 * below 0x20, DEL, a backslash (zero after the xor), or not ASCII.  A borrow or carry from the byte
 * below can set an additional bit, which only takes the slower path, but cannot clear one of these.
 */
static gboolean
are_plain (const guint8 *p)
{
  guint64 x, y;

  memcpy (&x, p, sizeof x);
  y = x ^ BYTES ('\\');
  return (((x - BYTES (0x20)) | (x + BYTES (1)) | (y - BYTES (1)) | x) & BYTES (0x80)) == 0;
}

static void
append_hex (GString *out, guint8 c)
{
  static const char digits[] = "0123456789abcdef";
  char text[4] = { '\\', 'x', digits[c >> 4], digits[c & 15] };

  g_string_append_len (out, text, sizeof text);
}

/* Characters that are Default_Ignorable_Code_Point in Unicode but printable for GLib: they are invisible. */
static gboolean
is_invisible (gunichar c)
{
  static const struct
  {
    gunichar first, last;
  } ranges[] = {
    { 0x034f, 0x034f },     /* combining grapheme joiner */
    { 0x115f, 0x1160 },     /* Hangul fillers */
    { 0x17b4, 0x17b5 },     /* Khmer inherent vowels */
    { 0x180b, 0x180f },     /* Mongolian selectors */
    { 0x3164, 0x3164 },     /* Hangul filler */
    { 0xfe00, 0xfe0f },     /* variation selectors */
    { 0xffa0, 0xffa0 },     /* halfwidth Hangul filler */
    { 0xe0000, 0xe0fff },   /* tags, more variation selectors */
  };

  for (guint i = 0; i < G_N_ELEMENTS (ranges); i++)
    if (c >= ranges[i].first && c <= ranges[i].last)
      return TRUE;
  return FALSE;
}

/*
 * g_unichar_isprint() excludes controls, format characters (including all bidirectional ones),
 * surrogates and unassigned characters.
 */
gsize
ddebug_format_printable (const guint8 *p, gsize len)
{
  gunichar c = g_utf8_get_char_validated ((const char *) p, len);
  GUnicodeType type;

  if (c == (gunichar) -1 || c == (gunichar) -2 || !g_unichar_isprint (c))
    return 0;
  type = g_unichar_type (c);
  if (type == G_UNICODE_LINE_SEPARATOR || type == G_UNICODE_PARAGRAPH_SEPARATOR || is_invisible (c))
    return 0;
  return g_utf8_skip[*p];
}

/* Whether the backslash at @p looks like the start of an escape. */
static gboolean
looks_escaped (const guint8 *p, gsize len)
{
  return len >= 4 && p[1] == 'x' && g_ascii_isxdigit (p[2]) && g_ascii_isxdigit (p[3]);
}

/* Without printf(), which would allocate: called for each line of a message. */
static void
append_new_line (GString *out, guint indent)
{
  gsize len = out->len + 1;

  g_string_append_c (out, '\n');
  g_string_set_size (out, len + indent);
  memset (out->str + len, ' ', indent);
}

/* Append one character that is not plain; return the number of bytes consumed. */
static gsize
escape_one (GString *out, const guint8 *p, gsize len, DdebugEscape flags, guint indent)
{
  gsize n;

  if (*p == '\\')
    {
      if (looks_escaped (p, len))
        append_hex (out, *p);
      else
        g_string_append_c (out, '\\');
      return 1;
    }
  if ((flags & DDEBUG_ESCAPE_LINES) && *p == '\t')
    {
      g_string_append_c (out, '\t');
      return 1;
    }
  if ((flags & DDEBUG_ESCAPE_LINES) && *p == '\n')
    {
      if (len > 1)
        append_new_line (out, indent);
      return 1;
    }
  n = *p >= 0x80 && (flags & DDEBUG_ESCAPE_UTF8) ? ddebug_format_printable (p, len) : 0;
  if (n == 0)
    {
      append_hex (out, *p);
      return 1;
    }
  g_string_append_len (out, (const char *) p, n);
  return n;
}

void
ddebug_escape (GString *out, const void *text, gsize len, DdebugEscape flags, guint indent)
{
  const guint8 *p = text, *end;

  /* @text may be NULL then, and adding to NULL is undefined. */
  if (len == 0)
    return;
  end = p + len;
  while (p < end)
    {
      const guint8 *run = p;

      while (end - p >= 8 && are_plain (p))
        p += 8;
      while (p < end && is_plain (*p))
        p++;
      g_string_append_len (out, (const char *) run, p - run);
      if (p < end)
        p += escape_one (out, p, end - p, flags, indent);
    }
}

/* ---- small things ---- */

const char *
ddebug_format_context (guint8 context, char *buf, gsize size)
{
  static const char *const names[VIRTIO_DDEBUG_NR_CTX] = {
    [VIRTIO_DDEBUG_CTX_TASK] = "task",
    [VIRTIO_DDEBUG_CTX_SOFTIRQ] = "softirq",
    [VIRTIO_DDEBUG_CTX_HARDIRQ] = "hardirq",
    [VIRTIO_DDEBUG_CTX_NMI] = "nmi",
  };

  if (context < VIRTIO_DDEBUG_NR_CTX)
    return names[context];
  g_snprintf (buf, size, "context %u", context);
  return buf;
}

const char *
ddebug_format_reason (DdebugLostReason reason)
{
  static const char *const reasons[] = {
    [DDEBUG_LOST_OLDEST] = "no longer in the log",
    [DDEBUG_LOST_OVERTAKEN] = "overwritten in the log before they were read",
    [DDEBUG_LOST_DAMAGED] = "the log is damaged here",
    [DDEBUG_LOST_IO] = "the host could not write them",
    [DDEBUG_LOST_FULL] = "the log was full (mode=drop)",
    [DDEBUG_LOST_RATE] = "the log's rate limit was exceeded",
    [DDEBUG_LOST_RING] = "overwritten in the guest before the host read them",
    [DDEBUG_LOST_RECORDS] = "in unreadable records",
    [DDEBUG_LOST_TAIL] = "not written by the end of the log",
  };

  return reasons[reason];
}

void
ddebug_format_uuid (GString *out, const guint8 uuid[16])
{
  for (guint i = 0; i < 16; i++)
    g_string_append_printf (out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

void
ddebug_format_time (GString *out, guint64 ns)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_local (ns / G_GUINT64_CONSTANT (1000000000));
  g_autofree char *text = time ? g_date_time_format (time, "%Y-%m-%d %H:%M:%S %z") : NULL;

  g_string_append (out, text ? text : "?");
}

void
ddebug_format_size (GString *out, guint64 bytes)
{
  g_autofree char *text = g_format_size_full (bytes, G_FORMAT_SIZE_IEC_UNITS);

  /* GLib puts a no-break space before the unit; use a blank, which any terminal can print. */
  for (const char *p = text; *p; p = g_utf8_next_char (p))
    g_string_append_c (out, g_utf8_get_char (p) == 0xa0 ? ' ' : *p);
}

void
ddebug_format_age (GString *out, guint64 since)
{
  static const struct
  {
    guint64 seconds;
    const char *name;
  } units[] = { { 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" } };
  guint64 now = (guint64) g_get_real_time () * 1000, age = now > since ? (now - since) / 1000000000 : 0;

  for (guint i = 0; i < G_N_ELEMENTS (units); i++)
    if (age >= units[i].seconds || i + 1 == G_N_ELEMENTS (units))
      {
        guint64 n = age / units[i].seconds;

        g_string_append_printf (out, "%" G_GUINT64_FORMAT " %s%s", n, units[i].name, n == 1 ? "" : "s");
        return;
      }
}

/* ---- lines ---- */

static DdebugEscape
word_flags (const DdebugFormat *format)
{
  return format->utf8 ? DDEBUG_ESCAPE_UTF8 : 0;
}

/* Append text that a guest wrote: of a message or a callsite's name. */
static void
append_text (DdebugFormat *format, GString *out, const guint8 *text, gsize len, DdebugEscape flags,
             guint indent)
{
  if (format->raw)
    g_string_append_len (out, (const char *) text, len);
  else
    ddebug_escape (out, text, len, word_flags (format) | flags, indent);
}

/* Without printf(), which would allocate: called for each message. */
static void
append_number (GString *out, guint32 number)
{
  char text[10], *p = text + sizeof text;

  do
    *--p = '0' + number % 10;
  while (number /= 10);
  g_string_append_len (out, p, text + sizeof text - p);
}

/* @callsite is NULL if the log does not have it. */
static void
append_callsite (DdebugFormat *format, const DdebugCallsite *callsite, GString *out)
{
  if (!callsite)
    {
      g_string_append (out, "?:?:?: ");
      return;
    }
  append_text (format, out, callsite->module, callsite->module_len, 0, 0);
  g_string_append_c (out, ':');
  append_text (format, out, callsite->function, callsite->function_len, 0, 0);
  g_string_append_c (out, ':');
  append_number (out, callsite->line);
  g_string_append_len (out, ": ", 2);
}

/* Append "[%5lu.%06lu] ", like the kernel, truncated to microseconds; return its width. */
static guint
append_stamp (GString *out, guint64 ns)
{
  guint64 seconds = ns / 1000000000;
  guint micros = ns % 1000000000 / 1000;
  char text[32], *p = text + sizeof text, *end = p;

  *--p = ' ';
  *--p = ']';
  for (int i = 0; i < 6; i++, micros /= 10)
    *--p = '0' + micros % 10;
  *--p = '.';
  for (int i = 0; i < 5 || seconds; i++, seconds /= 10)
    *--p = i == 0 || seconds ? '0' + seconds % 10 : ' ';
  *--p = '[';
  g_string_append_len (out, p, end - p);
  return end - p;
}

guint
ddebug_format_own_stamp (const DdebugMessage *message)
{
  const guint8 *text = message->text;
  guint i = 1, digits = 0;

  if (!message->is_kmsg || !(message->kmsg & DDEBUG_KMSG_F_PAST) || message->len < 2 || text[0] != '[')
    return 0;
  while (i < message->len && i < 5 && text[i] == ' ')
    i++;
  for (; i < message->len && g_ascii_isdigit (text[i]); i++)
    digits++;
  if (digits == 0 || digits > 20 || i + 9 > message->len || text[i] != '.')
    return 0;
  for (digits = 1; digits <= 6; digits++)
    if (!g_ascii_isdigit (text[i + digits]))
      return 0;
  return text[i + 7] == ']' && text[i + 8] == ' ' ? i + 9 : 0;
}

gsize
ddebug_format_packed (const DdebugMessage *message, const DdebugCallsite *callsite, guint8 *text)
{
  int len = callsite ? ddebug_render_packed (message, callsite, text) : -1;

  if (len >= 0)
    return len;
  memcpy (text, message->text, message->len);
  return message->len
         + g_snprintf ((char *) text + message->len, DDEBUG_FORMAT_PACKED_MAX - message->len,
                       callsite ? "(unreadable: %u argument bytes that do not match the format of callsite %u)"
                                : "(unreadable: %u argument bytes of callsite %u, which is not in the log)",
                       (guint) message->args_len, (guint) message->callsite);
}

static void
append_message (DdebugFormat *format, const DdebugItem *item, GString *out)
{
  const DdebugMessage *message = &item->message;
  guint own = ddebug_format_own_stamp (message), indent = own;
  const DdebugCallsite *callsite = NULL;
  guint8 packed[DDEBUG_FORMAT_PACKED_MAX];
  DdebugCallsite found;

  if (own)
    g_string_append_len (out, (const char *) message->text, own);
  else
    indent = append_stamp (out, message->time);
  if ((format->callsite || message->args) && !message->is_kmsg
      && ddebug_dict_lookup (item->epoch, message->callsite, &found))
    callsite = &found;
  if (format->callsite && message->is_kmsg)
    g_string_append (out, "kernel log: ");
  else if (format->callsite)
    append_callsite (format, callsite, out);
  if (message->args)
    append_text (format, out, packed, ddebug_format_packed (message, callsite, packed), DDEBUG_ESCAPE_LINES,
                 indent);
  else
    append_text (format, out, own ? message->text + own : message->text, message->len - own,
                 DDEBUG_ESCAPE_LINES, indent);
  g_string_append_c (out, '\n');
}

/* ---- notices ---- */

static void
append_count (GString *out, guint64 count, const char *noun)
{
  g_string_append_printf (out, "%" G_GUINT64_FORMAT " %s%s", count, noun, count == 1 ? "" : "s");
}

static void
append_where (GString *out, const DdebugMergerStream *stream)
{
  char buf[16];

  g_string_append_printf (out, " on cpu %u, %s", stream->cpu,
                          ddebug_format_context (stream->context, buf, sizeof buf));
}

static void
append_dropped (const DdebugItem *item, GString *out)
{
  append_count (out, item->count, "message");
  g_string_append (out, " dropped");
  append_where (out, item->stream);
  g_string_append (out, ": in the guest,");
  if (item->recursed)
    g_string_append_printf (out, " %" G_GUINT64_FORMAT " produced while logging", item->recursed);
  if (item->torn)
    g_string_append_printf (out, "%s %" G_GUINT64_FORMAT " torn by a crash", item->recursed ? "," : "",
                            item->torn);
}

static void
append_unrecorded (const DdebugItem *item, GString *out)
{
  append_count (out, item->count, "message");
  g_string_append (out, " not recorded: in the guest,");
  if (item->nostream)
    g_string_append_printf (out, " %" G_GUINT64_FORMAT " on a cpu without a ring", item->nostream);
  if (item->missed)
    g_string_append_printf (out, "%s %" G_GUINT64_FORMAT " in its own kernel log only", item->nostream ? "," : "",
                            item->missed);
}

/* Append the notice for a late message, a line of its own. */
static void
append_late (const DdebugItem *item, GString *out)
{
  guint64 micros = item->late / 1000 + (item->late % 1000 != 0);

  g_string_append (out, "-- late");
  append_where (out, item->stream);
  g_string_append_printf (out, ": the next message is %" G_GUINT64_FORMAT ".%06u s older than one before it --\n",
                          micros / 1000000, (guint) (micros % 1000000));
}

/*
 * Print the notice once for each QEMU that died, that is once per epoch, which never has two.  Sorting by
 * time puts messages with a checksum in between.
 */
static void
start_unchecked (DdebugFormat *format, GString *out)
{
  if (format->unchecked)
    return;
  format->unchecked = TRUE;
  g_string_append (out, "-- the following was still in the guest's rings, not copied by QEMU, and has no checksum --\n");
}

static const char *
stop_words (guint64 why)
{
  static const char *const words[] = {
    [DDEBUG_LOG_STOP_OTHER] = "the VM was stopped",
    [DDEBUG_LOG_STOP_PAUSED] = "the VM was paused",
    [DDEBUG_LOG_STOP_SHUTDOWN] = "the VM was stopped: it is shutting down",
    [DDEBUG_LOG_STOP_PANICKED] = "the VM was stopped: pvpanic reported a guest panic",
    [DDEBUG_LOG_STOP_WATCHDOG] = "the VM was stopped by its watchdog",
    [DDEBUG_LOG_STOP_IO_ERROR] = "the VM was stopped: a disk failed or was full",
    [DDEBUG_LOG_STOP_INTERNAL_ERROR] = "the VM was stopped: internal error in QEMU or KVM",
    [DDEBUG_LOG_STOP_SUSPENDED] = "the guest suspended itself",
    [DDEBUG_LOG_STOP_SAVED] = "the VM was stopped for saving or migration",
    [DDEBUG_LOG_STOP_DEBUG] = "the VM was stopped by a debugger",
  };

  return words[why < G_N_ELEMENTS (words) ? why : DDEBUG_LOG_STOP_OTHER];
}

static const char *
shutdown_words (guint64 why)
{
  static const char *const words[] = {
    [DDEBUG_LOG_SHUTDOWN_OTHER] = "the VM ended",
    [DDEBUG_LOG_SHUTDOWN_QUIT] = "the VM was terminated from QEMU's monitor",
    [DDEBUG_LOG_SHUTDOWN_SIGNAL] = "the VM was terminated by a signal to QEMU",
    [DDEBUG_LOG_SHUTDOWN_UI] = "the VM was terminated by closing its window",
    [DDEBUG_LOG_SHUTDOWN_GUEST] = "the guest powered off",
    [DDEBUG_LOG_SHUTDOWN_RESET] = "the guest was reset, which ends this VM",
    [DDEBUG_LOG_SHUTDOWN_PANIC] = "the guest panicked, which ends this VM",
    [DDEBUG_LOG_SHUTDOWN_ERROR] = "the VM was terminated by a host error",
  };

  return words[why < G_N_ELEMENTS (words) ? why : DDEBUG_LOG_SHUTDOWN_OTHER];
}

static void
append_own_notice (GString *out, const guint64 args[2])
{
  const char *after = "";

  switch (args[0])
    {
    case VIRTIO_DDEBUG_NOTICE_OOPS:
      g_string_append (out, "the guest's kernel oopsed");
      break;
    case VIRTIO_DDEBUG_NOTICE_PANIC:
      g_string_append (out, "the guest's kernel panicked");
      break;
    case VIRTIO_DDEBUG_NOTICE_KDUMP:
      g_string_append (out, "the guest's kernel panicked");
      after = ", its kdump kernel takes over";
      break;
    default:
      g_string_append_printf (out, "the guest's kernel sent unknown notice %" G_GUINT64_FORMAT, args[0]);
      break;
    }
  g_string_append_printf (out, " on cpu %" G_GUINT64_FORMAT "%s", args[1], after);
}

void
ddebug_format_event (GString *out, guint32 event, const guint64 args[2])
{
  switch (event)
    {
    case DDEBUG_LOG_EVENT_OPEN:
      g_string_append_printf (out, "QEMU (pid %" G_GUINT64_FORMAT ") opened the log", args[0]);
      break;
    case DDEBUG_LOG_EVENT_ATTACH:
      g_string_append (out, "the guest's driver attached");
      break;
    case DDEBUG_LOG_EVENT_RESET:
      g_string_append (out, "the guest's driver detached or was reset");
      break;
    case DDEBUG_LOG_EVENT_STOP:
      g_string_append (out, stop_words (args[0]));
      break;
    case DDEBUG_LOG_EVENT_CONT:
      g_string_append (out, "the VM resumed");
      break;
    case DDEBUG_LOG_EVENT_CLOSE:
      g_string_append (out, "QEMU closed the log");
      break;
    case DDEBUG_LOG_EVENT_NOTICE:
      append_own_notice (out, args);
      break;
    case DDEBUG_LOG_EVENT_MACHINE_RESET:
      g_string_append (out, "the machine was reset or powered on");
      break;
    case DDEBUG_LOG_EVENT_SHUTDOWN:
      g_string_append (out, shutdown_words (args[0]));
      break;
    default:
      g_string_append_printf (out, "unknown event %u", event);
      break;
    }
}

static void
append_unsynced (const DdebugItem *item, GString *out)
{
  append_count (out, item->count, "chunk");
  if (item->error)
    g_string_append_printf (out, " before this may not be on the host's disk: %s",
                            g_strerror (item->error));
  else
    g_string_append (out, " missing, which were written: the host lost power, or its disk failed");
}

static void
append_notice (const DdebugItem *item, GString *out)
{
  g_string_append (out, "-- ");
  switch (item->type)
    {
    case DDEBUG_ITEM_LOST:
      append_count (out, item->count, "message");
      g_string_append (out, " lost");
      append_where (out, item->stream);
      g_string_append_printf (out, ": %s", ddebug_format_reason (item->reason));
      break;
    case DDEBUG_ITEM_DROPPED:
      append_dropped (item, out);
      break;
    case DDEBUG_ITEM_UNRECORDED:
      append_unrecorded (item, out);
      break;
    case DDEBUG_ITEM_UNKNOWN:
      append_count (out, item->count, "record");
      g_string_append (out, " not understood");
      append_where (out, item->stream);
      g_string_append (out, ": the guest's driver is newer than this tool");
      break;
    case DDEBUG_ITEM_BAD_SPAN:
      g_string_append (out, "records discarded");
      append_where (out, item->stream);
      g_string_append_printf (out, ": %s", item->text);
      break;
    case DDEBUG_ITEM_EVENT:
      ddebug_format_time (out, item->realtime);
      g_string_append (out, ": ");
      ddebug_format_event (out, item->event, item->args);
      break;
    case DDEBUG_ITEM_IO_LOST:
      append_count (out, item->count, item->reason == DDEBUG_LOST_RATE ? "gap" : "chunk");
      g_string_append_printf (out, " (%" G_GUINT64_FORMAT " bytes) discarded: %s", item->bytes,
                              item->reason == DDEBUG_LOST_FULL || item->reason == DDEBUG_LOST_RATE
                                  ? ddebug_format_reason (item->reason) : "the host could not write the log");
      break;
    case DDEBUG_ITEM_UNSYNCED:
      append_unsynced (item, out);
      break;
    case DDEBUG_ITEM_BAD_CHUNK:
    default:
      g_string_append_printf (out, "log damaged: %s", item->text);
      break;
    }
  g_string_append (out, " --\n");
}

/* Whether a change from @a to @b must be visible in the output. */
static gboolean
is_other_boot (const DdebugEpoch *a, const DdebugEpoch *b)
{
  return !a->attached || !b->attached || a->instance_id != b->instance_id
         || memcmp (a->boot_id, b->boot_id, sizeof a->boot_id) != 0;
}

static void
append_epoch (DdebugFormat *format, const DdebugEpoch *epoch, GString *out)
{
  g_string_append_printf (out, "-- epoch %u", epoch->number);
  if (epoch->attached)
    {
      g_string_append (out, ": kernel ");
      ddebug_escape (out, epoch->release, strlen (epoch->release), word_flags (format), 0);
      g_string_append (out, ", boot ");
      ddebug_format_uuid (out, epoch->boot_id);
      g_string_append (out, ", ");
      ddebug_format_time (out, epoch->realtime);
    }
  g_string_append (out, " --\n");
}

static void
start_epoch (DdebugFormat *format, const DdebugEpoch *epoch, GString *out)
{
  if (format->epoch && format->epoch != epoch && is_other_boot (format->epoch, epoch) && !format->quiet)
    append_epoch (format, epoch, out);
  format->unchecked &= format->epoch == epoch;
  format->epoch = epoch;
}

/* Put lines that were copied from the kernel log between two notices, and events outside of them. */
static void
start_past (DdebugFormat *format, const DdebugItem *item, GString *out)
{
  guint32 past = 0;

  if (item->type == DDEBUG_ITEM_MESSAGE && item->message.is_kmsg && item->message.kmsg & DDEBUG_KMSG_F_PAST)
    past = item->message.kmsg;
  if (past == format->past)
    return;
  if (format->past && !format->quiet)
    g_string_append (out, "-- end of the kernel's log --\n");
  format->past = past;
  if (!past || format->quiet)
    return;
  if (past & (DDEBUG_KMSG_F_PANIC | DDEBUG_KMSG_F_OOPS))
    {
      g_string_append_printf (out, "-- the kernel's log before %s",
                              past & DDEBUG_KMSG_F_PANIC ? "the panic" : "an oops");
      append_where (out, item->stream);
      g_string_append (out, " --\n");
    }
  else
    g_string_append (out, "-- the kernel's log up to here --\n");
}

void
ddebug_format_item (DdebugFormat *format, const DdebugItem *item, GString *out)
{
  if (item->epoch)
    start_epoch (format, item->epoch, out);
  if (item->type == DDEBUG_ITEM_MESSAGE && item->unchecked && !format->quiet)
    start_unchecked (format, out);
  if (item->late && !format->quiet)
    append_late (item, out);
  if (item->type == DDEBUG_ITEM_MESSAGE || item->type == DDEBUG_ITEM_EVENT)
    start_past (format, item, out);
  if (item->type == DDEBUG_ITEM_MESSAGE)
    append_message (format, item, out);
  else if (!format->quiet)
    append_notice (item, out);
}
