/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Items as JSON.
 *
 * A guest's text becomes a JSON string only if it is UTF-8 without NUL, and otherwise an array of its
 * bytes, as in journalctl.  A string can still contain what a terminal would execute or hide; such
 * characters are written as \uXXXX, which is equivalent for a JSON parser.
 */
#include "ddebug-json.h"

#include <string.h>

#include "ddebug-format.h"
#include "virtio_ddebug.h"

/* The largest integer up to which a double, and so JavaScript and jq, represents every one exactly. */
#define NUMBER_MAX ((G_GUINT64_CONSTANT (1) << 53) - 1)

/* KERN_DEBUG, the level of all pr_debug() and dev_dbg(). */
#define LEVEL_DEBUG 7

/* ---- members ---- */

static void
add_bytes (JsonBuilder *builder, const char *name, const guint8 *bytes, gsize len)
{
  json_builder_set_member_name (builder, name);
  if (len == 0)
    json_builder_add_string_value (builder, "");
  else if (g_utf8_validate_len ((const char *) bytes, len, NULL))
    {
      g_autofree char *text = g_strndup ((const char *) bytes, len);

      json_builder_add_string_value (builder, text);
    }
  else
    {
      json_builder_begin_array (builder);
      for (gsize i = 0; i < len; i++)
        json_builder_add_int_value (builder, bytes[i]);
      json_builder_end_array (builder);
    }
}

void
ddebug_json_add_string (JsonBuilder *builder, const char *name, const char *value)
{
  add_bytes (builder, name, (const guint8 *) value, strlen (value));
}

void
ddebug_json_add_number (JsonBuilder *builder, const char *name, guint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, MIN (value, NUMBER_MAX));
}

void
ddebug_json_add_true (JsonBuilder *builder, const char *name)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_boolean_value (builder, TRUE);
}

void
ddebug_json_add_time (JsonBuilder *builder, const char *name, guint64 ns)
{
  char text[32];

  g_snprintf (text, sizeof text, "%" G_GUINT64_FORMAT ".%09u", ns / 1000000000, (guint) (ns % 1000000000));
  ddebug_json_add_string (builder, name, text);
}

static void
add_uuid (JsonBuilder *builder, const char *name, const guint8 uuid[16])
{
  g_autoptr (GString) text = g_string_new (NULL);

  ddebug_format_uuid (text, uuid);
  ddebug_json_add_string (builder, name, text->str);
}

/* ---- lines ---- */

static void
append_unit (GString *out, guint unit)
{
  g_string_append_printf (out, "\\u%04x", unit);
}

/* Append @c as its one or two UTF-16 units. */
static void
append_escaped (GString *out, gunichar c)
{
  if (c < 0x10000)
    {
      append_unit (out, c);
      return;
    }
  append_unit (out, 0xd800 + ((c - 0x10000) >> 10));
  append_unit (out, 0xdc00 + ((c - 0x10000) & 0x3ff));
}

void
ddebug_json_finish (JsonBuilder *builder, gboolean utf8, GString *out)
{
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  g_autoptr (GString) line = g_string_new (NULL);
  const char *p;

  json_generator_set_root (generator, root);
  json_generator_to_gstring (generator, line);
  /* Only strings contain non-ASCII characters, and nothing outside of them is a control character. */
  for (p = line->str; *p; p = g_utf8_next_char (p))
    if (*p >= 0x20 && *p < 0x7f)
      g_string_append_c (out, *p);
    else if (utf8 && ddebug_format_printable ((const guint8 *) p, line->str + line->len - p))
      g_string_append_len (out, p, g_utf8_next_char (p) - p);
    else
      append_escaped (out, g_utf8_get_char (p));
  g_string_append_c (out, '\n');
}

/* Start an object with the members that all have. */
static JsonBuilder *
start_object (const DdebugJson *json, const DdebugSuper *super, const char *type)
{
  static const guint8 none[16];
  JsonBuilder *builder = json_builder_new ();
  const char *vm = json->vm ? json->vm : super->vm_name;

  json_builder_begin_object (builder);
  ddebug_json_add_string (builder, "type", type);
  if (*vm)
    ddebug_json_add_string (builder, "vm", vm);
  if (memcmp (super->vm_uuid, none, sizeof none) != 0)
    add_uuid (builder, "vm_uuid", super->vm_uuid);
  ddebug_json_add_string (builder, "log", json->log);
  return builder;
}

static void
end_object (const DdebugJson *json, JsonBuilder *builder, GString *out)
{
  json_builder_end_object (builder);
  ddebug_json_finish (builder, json->utf8, out);
}

/* ---- items ---- */

static void
add_epoch (JsonBuilder *builder, const DdebugEpoch *epoch)
{
  if (!epoch)
    return;
  if (epoch->attached)
    add_uuid (builder, "boot", epoch->boot_id);
  ddebug_json_add_number (builder, "epoch", epoch->number);
}

static void
add_stream (JsonBuilder *builder, const DdebugMergerStream *stream)
{
  char buf[16];

  if (!stream)
    return;
  ddebug_json_add_number (builder, "cpu", stream->cpu);
  ddebug_json_add_string (builder, "context", ddebug_format_context (stream->context, buf, sizeof buf));
}

static void
add_callsite (JsonBuilder *builder, const DdebugCallsite *callsite)
{
  add_bytes (builder, "module", callsite->module, callsite->module_len);
  add_bytes (builder, "function", callsite->function, callsite->function_len);
  add_bytes (builder, "file", callsite->file, callsite->file_len);
  ddebug_json_add_number (builder, "line", callsite->line);
}

/* A line that was copied from the kernel log has the time stamp that it had there, "[    1.234567] ". */
static void
add_own_stamp (JsonBuilder *builder, const guint8 *text, guint len)
{
  const char *digits = (const char *) text + 1;
  g_autofree char *stamp = NULL;

  while (*digits == ' ')
    digits++;
  stamp = g_strndup (digits, text + len - 2 - (const guint8 *) digits);
  ddebug_json_add_string (builder, "guest_time", stamp);
}

static void
add_kernel_log (JsonBuilder *builder, const DdebugMessage *message)
{
  if (!(message->kmsg & DDEBUG_KMSG_F_PAST))
    return;
  ddebug_json_add_string (builder, "taken",
                          message->kmsg & DDEBUG_KMSG_F_PANIC  ? "panic"
                          : message->kmsg & DDEBUG_KMSG_F_OOPS ? "oops"
                                                               : "start");
}

/* Add the text after its own time stamp of @own bytes.  @callsite: NULL if it is not in the log. */
static void
add_text (JsonBuilder *builder, const DdebugMessage *message, const DdebugCallsite *callsite, guint own)
{
  guint8 packed[DDEBUG_FORMAT_PACKED_MAX];

  if (message->args)
    add_bytes (builder, "message", packed, ddebug_format_packed (message, callsite, packed));
  else
    add_bytes (builder, "message", message->text + own, message->len - own);
}

static void
add_message (JsonBuilder *builder, const DdebugItem *item)
{
  const DdebugMessage *message = &item->message;
  guint own = ddebug_format_own_stamp (message);
  const DdebugCallsite *callsite = NULL;
  DdebugCallsite found;

  if (!message->is_kmsg && ddebug_dict_lookup (item->epoch, message->callsite, &found))
    callsite = &found;
  if (own)
    add_own_stamp (builder, message->text, own);
  else
    ddebug_json_add_time (builder, "guest_time", message->time);
  if (item->late)
    ddebug_json_add_time (builder, "late", item->late);
  ddebug_json_add_number (builder, "pid", message->pid);
  if (message->is_kmsg)
    add_kernel_log (builder, message);
  else
    {
      ddebug_json_add_number (builder, "level", LEVEL_DEBUG);
      if (callsite)
        add_callsite (builder, callsite);
    }
  add_text (builder, message, callsite, own);
}

static const char *
word_of (const char *const *words, guint n, guint64 value)
{
  return words[value < n ? value : 0];
}

static const char *
event_reason (const DdebugItem *item)
{
  static const char *const notices[] = {
    [VIRTIO_DDEBUG_NOTICE_NONE] = "other",
    [VIRTIO_DDEBUG_NOTICE_OOPS] = "oops",
    [VIRTIO_DDEBUG_NOTICE_PANIC] = "panic",
    [VIRTIO_DDEBUG_NOTICE_KDUMP] = "kdump",
  };
  static const char *const stops[] = {
    [DDEBUG_LOG_STOP_OTHER] = "other",
    [DDEBUG_LOG_STOP_PAUSED] = "paused",
    [DDEBUG_LOG_STOP_SHUTDOWN] = "shutdown",
    [DDEBUG_LOG_STOP_PANICKED] = "panicked",
    [DDEBUG_LOG_STOP_WATCHDOG] = "watchdog",
    [DDEBUG_LOG_STOP_IO_ERROR] = "io-error",
    [DDEBUG_LOG_STOP_INTERNAL_ERROR] = "internal-error",
    [DDEBUG_LOG_STOP_SUSPENDED] = "suspended",
    [DDEBUG_LOG_STOP_SAVED] = "saved",
    [DDEBUG_LOG_STOP_DEBUG] = "debug",
  };

  if (item->event == DDEBUG_LOG_EVENT_NOTICE)
    return word_of (notices, G_N_ELEMENTS (notices), item->args[0]);
  return word_of (stops, G_N_ELEMENTS (stops), item->args[0]);
}

static void
add_event (JsonBuilder *builder, const DdebugItem *item)
{
  g_autoptr (GString) text = g_string_new (NULL);

  ddebug_format_event (text, item->event, item->args);
  /* ddebug-view.c returns no others */
  ddebug_json_add_string (builder, "event", item->event == DDEBUG_LOG_EVENT_NOTICE ? "notice" : "stop");
  ddebug_json_add_string (builder, "reason", event_reason (item));
  if (item->event == DDEBUG_LOG_EVENT_NOTICE)
    ddebug_json_add_number (builder, "cpu", item->args[1]);
  ddebug_json_add_string (builder, "text", text->str);
}

static void
add_reason (JsonBuilder *builder, DdebugLostReason reason)
{
  static const char *const words[] = {
    [DDEBUG_LOST_OLDEST] = "oldest",
    [DDEBUG_LOST_OVERTAKEN] = "overtaken",
    [DDEBUG_LOST_DAMAGED] = "damaged",
    [DDEBUG_LOST_IO] = "io",
    [DDEBUG_LOST_RING] = "ring",
    [DDEBUG_LOST_RECORDS] = "records",
    [DDEBUG_LOST_TAIL] = "tail",
    [DDEBUG_LOST_FULL] = "full",
    [DDEBUG_LOST_RATE] = "rate",
  };

  ddebug_json_add_string (builder, "reason", words[reason]);
  ddebug_json_add_string (builder, "text", ddebug_format_reason (reason));
}

static void
add_details (JsonBuilder *builder, const DdebugItem *item)
{
  switch (item->type)
    {
    case DDEBUG_ITEM_MESSAGE:
      add_message (builder, item);
      break;
    case DDEBUG_ITEM_EVENT:
      add_event (builder, item);
      break;
    case DDEBUG_ITEM_LOST:
      ddebug_json_add_number (builder, "count", item->count);
      add_reason (builder, item->reason);
      break;
    case DDEBUG_ITEM_DROPPED:
      ddebug_json_add_number (builder, "count", item->count);
      ddebug_json_add_number (builder, "recursed", item->recursed);
      ddebug_json_add_number (builder, "torn", item->torn);
      break;
    case DDEBUG_ITEM_UNRECORDED:
      ddebug_json_add_number (builder, "count", item->count);
      ddebug_json_add_number (builder, "nostream", item->nostream);
      ddebug_json_add_number (builder, "missed", item->missed);
      break;
    case DDEBUG_ITEM_UNKNOWN:
      ddebug_json_add_number (builder, "count", item->count);
      break;
    case DDEBUG_ITEM_IO_LOST:
      ddebug_json_add_number (builder, "count", item->count);
      ddebug_json_add_number (builder, "bytes", item->bytes);
      add_reason (builder, item->reason);
      break;
    case DDEBUG_ITEM_UNSYNCED:
      ddebug_json_add_number (builder, "count", item->count);
      ddebug_json_add_number (builder, "first", item->args[0]);
      ddebug_json_add_number (builder, "last", item->args[1]);
      if (item->error)
        ddebug_json_add_number (builder, "error", item->error);
      break;
    case DDEBUG_ITEM_BAD_CHUNK:
      ddebug_json_add_number (builder, "bytes", item->count);
      ddebug_json_add_string (builder, "text", item->text);
      break;
    case DDEBUG_ITEM_BAD_SPAN:
    default:
      ddebug_json_add_string (builder, "text", item->text);
      break;
    }
}

static const char *
type_word (const DdebugItem *item)
{
  static const char *const words[] = {
    [DDEBUG_ITEM_MESSAGE] = "message",
    [DDEBUG_ITEM_LOST] = "lost",
    [DDEBUG_ITEM_DROPPED] = "dropped",
    [DDEBUG_ITEM_UNRECORDED] = "unrecorded",
    [DDEBUG_ITEM_UNKNOWN] = "unknown",
    [DDEBUG_ITEM_BAD_SPAN] = "bad-records",
    [DDEBUG_ITEM_BAD_CHUNK] = "damage",
    [DDEBUG_ITEM_EVENT] = "event",
    [DDEBUG_ITEM_IO_LOST] = "given-up",
    [DDEBUG_ITEM_UNSYNCED] = "unsynced",
  };

  return item->type == DDEBUG_ITEM_MESSAGE && item->message.is_kmsg ? "kernel-log" : words[item->type];
}

static void
append_epoch (DdebugJson *json, const DdebugSuper *super, const DdebugEpoch *epoch, GString *out)
{
  g_autoptr (JsonBuilder) builder = start_object (json, super, "epoch");

  add_epoch (builder, epoch);
  if (epoch->attached)
    {
      ddebug_json_add_time (builder, "host_time", epoch->realtime);
      ddebug_json_add_string (builder, "kernel", epoch->release);
      ddebug_json_add_string (builder, "driver", epoch->driver);
      ddebug_json_add_number (builder, "cpus", epoch->nr_cpus);
    }
  end_object (json, builder, out);
}

void
ddebug_json_item (DdebugJson *json, const DdebugSuper *super, const DdebugItem *item, GString *out)
{
  g_autoptr (JsonBuilder) builder = NULL;

  if (json->quiet && item->type != DDEBUG_ITEM_MESSAGE)
    return;
  if (item->epoch && item->epoch != json->epoch && !json->quiet)
    append_epoch (json, super, item->epoch, out);
  json->epoch = item->epoch ? item->epoch : json->epoch;
  builder = start_object (json, super, type_word (item));
  if (item->realtime && !item->unchecked)
    ddebug_json_add_time (builder, "host_time", item->realtime);
  if (item->unchecked)
    ddebug_json_add_true (builder, "unchecked");
  add_epoch (builder, item->epoch);
  /* it may have been on any CPU */
  if (item->type != DDEBUG_ITEM_UNRECORDED)
    add_stream (builder, item->stream);
  add_details (builder, item);
  end_object (json, builder, out);
}

void
ddebug_json_boot (const DdebugJson *json, const DdebugSuper *super, const DdebugBoot *boot, int index,
                  GString *out)
{
  static const char *const deaths[] = {
    [VIRTIO_DDEBUG_NOTICE_OOPS] = "oops",
    [VIRTIO_DDEBUG_NOTICE_PANIC] = "panic",
    [VIRTIO_DDEBUG_NOTICE_KDUMP] = "kdump",
  };
  g_autoptr (JsonBuilder) builder = start_object (json, super, "boot");

  json_builder_set_member_name (builder, "index");
  json_builder_add_int_value (builder, index);
  if (boot->epoch->attached)
    {
      add_uuid (builder, "boot", boot->epoch->boot_id);
      ddebug_json_add_string (builder, "kernel", boot->epoch->release);
    }
  if (boot->first)
    ddebug_json_add_time (builder, "first", boot->first);
  if (boot->last)
    ddebug_json_add_time (builder, "last", boot->last);
  if (boot->unchecked)
    ddebug_json_add_true (builder, "unchecked");
  ddebug_json_add_number (builder, "messages", boot->messages);
  if (boot->notice)
    {
      ddebug_json_add_string (builder, "death", deaths[MIN (boot->notice, VIRTIO_DDEBUG_NOTICE_KDUMP)]);
      ddebug_json_add_time (builder, "died", boot->noticed);
    }
  end_object (json, builder, out);
}
