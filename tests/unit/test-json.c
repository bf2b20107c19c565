/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --output=json: each line is an object that a parser takes, with no byte in it that a
 * terminal obeys; nothing of a text is lost; members are what docs/json-output.md says, and no others.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "canned.h"
#include "ddebug-format.h"
#include "ddebug-json.h"
#include "run-tool.h"

#define SECOND G_GUINT64_CONSTANT (1000000000)
#define DOCUMENT "../../docs/json-output.md"

typedef LogFolder Fixture;

static const DdebugSuper super = { .vm_name = "a vm" };

/* Each member is named in the document. */
static void
assert_documented (JsonObject *object)
{
  g_autoptr (GList) members = json_object_get_members (object);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  g_file_get_contents (DOCUMENT, &text, NULL, &error);
  g_assert_no_error (error);
  for (GList *member = members; member; member = member->next)
    {
      g_autofree char *quoted = g_strdup_printf ("`%s`", (char *) member->data);

      if (!strstr (text, quoted))
        g_error ("%s is not in %s", quoted, DOCUMENT);
    }
  if (strcmp (json_object_get_string_member (object, "type"), "domain") != 0)
    {
      g_autofree char *type = g_strdup_printf ("`%s`", json_object_get_string_member (object, "type"));

      g_assert_nonnull (strstr (text, type));
    }
}

/* The objects of @text; frees nothing of it. */
static GPtrArray *
parse_lines (const char *text)
{
  GPtrArray *objects = g_ptr_array_new_with_free_func ((GDestroyNotify) json_object_unref);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  guint n = g_strv_length (lines);

  g_assert_cmpuint (n, >, 0);
  g_assert_cmpstr (lines[n - 1], ==, "");
  for (guint i = 0; i + 1 < n; i++)
    {
      g_autoptr (JsonNode) node = NULL;
      g_autoptr (GError) error = NULL;

      for (const char *p = lines[i]; *p; p++)
        g_assert_true ((guchar) *p >= 0x20 && *p != 0x7f);
      node = json_from_string (lines[i], &error);
      g_assert_no_error (error);
      g_assert_true (JSON_NODE_HOLDS_OBJECT (node));
      g_ptr_array_add (objects, json_node_dup_object (node));
      assert_documented (objects->pdata[i]);
    }
  return objects;
}

/* The only object of @item. */
static JsonObject *
object_of (const DdebugItem *item, gboolean utf8)
{
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (GPtrArray) objects = NULL;
  DdebugJson json = { .log = "/a/log", .utf8 = utf8, .epoch = item->epoch };

  ddebug_json_item (&json, &super, item, out);
  if (!utf8)
    for (gsize i = 0; i < out->len; i++)
      g_assert_true ((guchar) out->str[i] < 0x80);
  objects = parse_lines (out->str);
  g_assert_cmpuint (objects->len, ==, 1);
  return json_object_ref (objects->pdata[0]);
}

static const char *
string_of (JsonObject *object, const char *name)
{
  return json_object_get_string_member_with_default (object, name, NULL);
}

/* The bytes of a member, whether string or array. */
static GBytes *
bytes_of (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);
  GByteArray *bytes = g_byte_array_new ();

  g_assert_nonnull (node);
  if (JSON_NODE_HOLDS_ARRAY (node))
    {
      JsonArray *array = json_node_get_array (node);

      for (guint i = 0; i < json_array_get_length (array); i++)
        {
          gint64 value = json_array_get_int_element (array, i);
          guint8 byte = value;

          g_assert_true (value >= 0 && value <= 255);
          g_byte_array_append (bytes, &byte, 1);
        }
    }
  else
    g_byte_array_append (bytes, (const guint8 *) json_node_get_string (node), strlen (json_node_get_string (node)));
  return g_byte_array_free_to_bytes (bytes);
}

static void
assert_text_kept (const void *text, gsize len, gboolean is_string)
{
  DdebugItem item = { .type = DDEBUG_ITEM_MESSAGE, .message = { .text = text, .len = len, .is_kmsg = TRUE } };

  for (int utf8 = 0; utf8 <= 1; utf8++)
    {
      g_autoptr (JsonObject) object = object_of (&item, utf8);
      g_autoptr (GBytes) bytes = bytes_of (object, "message");
      gsize n;
      const guint8 *got = g_bytes_get_data (bytes, &n);

      g_assert_cmpmem (got, n, text, len);
      g_assert_cmpint (JSON_NODE_HOLDS_VALUE (json_object_get_member (object, "message")), ==, is_string);
    }
}

/* ---- texts ---- */

static void
test_all_bytes (void)
{
  for (guint i = 0; i < 256; i++)
    {
      const char text[] = { 'a', i, 'b' };

      assert_text_kept (text, sizeof text, i > 0 && i < 0x80);
    }
  assert_text_kept ("", 0, TRUE);
  assert_text_kept ("{\"a\": \\u0041}\\", 14, TRUE);
  assert_text_kept ("two\nlines\t", 10, TRUE);
  assert_text_kept ("\xed\xa0\x80", 3, FALSE); /* a surrogate */
  assert_text_kept ("cut \xe2\x82", 6, FALSE);
}

/* Every character comes back; what formatter escapes in text is an escape here, too. */
static void
test_all_characters (void)
{
  for (gunichar c = 1; c <= 0x10ffff; c += c < 0x3000 ? 1 : 61)
    {
      char text[8];
      gsize n = g_unichar_to_utf8 (c, text);
      g_autoptr (GString) out = g_string_new (NULL);
      DdebugItem item = { .type = DDEBUG_ITEM_MESSAGE,
                          .message = { .text = (const guint8 *) text, .len = n, .is_kmsg = TRUE } };
      DdebugJson json = { .log = "l", .utf8 = TRUE };
      g_autoptr (GPtrArray) objects = NULL;

      if (!g_unichar_validate (c))
        continue;
      ddebug_json_item (&json, &super, &item, out);
      if (c >= 0x7f)
        g_assert_cmpint (ddebug_format_printable ((const guint8 *) text, n) > 0, ==,
                         g_strstr_len (out->str, out->len, "\\u") == NULL);
      if (c % 16 == 0)
        assert_text_kept (text, n, TRUE);
    }
}

/* A callsite's names are a guest's, too. */
static void
test_names (void)
{
  DdebugDict *dict = ddebug_dict_new (NULL);
  struct ddebug_callsite site = { .len = GUINT32_TO_LE (sizeof site + 8), .id = GUINT32_TO_LE (1),
                                  .line = GUINT32_TO_LE (G_MAXUINT32), .module_len = GUINT16_TO_LE (2),
                                  .function_len = GUINT16_TO_LE (2), .file_len = GUINT16_TO_LE (3) };
  guint8 entry[sizeof site + 8] = { 0 };
  DdebugChunk chunk = { .epoch = 1, .len = sizeof entry, .payload = entry };
  DdebugItem item = { .type = DDEBUG_ITEM_MESSAGE, .epoch = ddebug_dict_epoch (dict, 1),
                      .message = { .text = (void *) "x", .len = 1, .callsite = 1 } };
  g_autoptr (JsonObject) object = NULL;
  g_autoptr (GBytes) module = NULL;

  memcpy (entry, &site, sizeof site);
  memcpy (entry + sizeof site, "m\xff" "\x1b[a.c", 7);
  g_assert_true (ddebug_dict_add (dict, &chunk));
  object = object_of (&item, TRUE);
  module = bytes_of (object, "module");
  g_assert_cmpmem (g_bytes_get_data (module, NULL), g_bytes_get_size (module), "m\xff", 2);
  g_assert_cmpstr (string_of (object, "function"), ==, "\x1b[");
  g_assert_cmpstr (string_of (object, "file"), ==, "a.c");
  g_assert_cmpint (json_object_get_int_member (object, "line"), ==, G_MAXUINT32);
  ddebug_dict_free (dict);
}

/* ---- numbers and times ---- */

static void
test_numbers (void)
{
  DdebugMergerStream stream = { .cpu = G_MAXUINT32, .context = 200 };
  DdebugItem item = { .type = DDEBUG_ITEM_LOST, .stream = &stream, .count = G_MAXUINT64, .realtime = G_MAXUINT64 };
  g_autoptr (JsonObject) object = object_of (&item, TRUE);

  g_assert_cmpint (json_object_get_int_member (object, "count"), ==, (G_GINT64_CONSTANT (1) << 53) - 1);
  g_assert_cmpint (json_object_get_int_member (object, "cpu"), ==, G_MAXUINT32);
  g_assert_cmpstr (string_of (object, "context"), ==, "context 200");
  g_assert_cmpstr (string_of (object, "host_time"), ==, "18446744073.709551615");
}

static void
test_kernel_log (void)
{
  static const char text[] = "[   12.345678] oops";
  DdebugItem item = {
    .type = DDEBUG_ITEM_MESSAGE,
    .message = { .text = (const guint8 *) text, .len = strlen (text), .is_kmsg = TRUE, .time = 99 * SECOND,
                 .kmsg = DDEBUG_KMSG_F_PAST | DDEBUG_KMSG_F_OOPS },
  };
  g_autoptr (JsonObject) past = object_of (&item, TRUE), now = NULL;

  g_assert_cmpstr (string_of (past, "type"), ==, "kernel-log");
  g_assert_cmpstr (string_of (past, "guest_time"), ==, "12.345678");
  g_assert_cmpstr (string_of (past, "taken"), ==, "oops");
  g_assert_cmpstr (string_of (past, "message"), ==, "oops");
  g_assert_false (json_object_has_member (past, "level"));
  item.message.kmsg = 0;
  now = object_of (&item, TRUE);
  g_assert_cmpstr (string_of (now, "guest_time"), ==, "99.000000000");
  g_assert_cmpstr (string_of (now, "message"), ==, text);
  g_assert_false (json_object_has_member (now, "taken"));
}

/* ---- gaps and events ---- */

static void
assert_item (DdebugItem item, const char *type, const char *reason)
{
  g_autoptr (JsonObject) object = object_of (&item, TRUE);
  DdebugJson quiet = { .log = "l", .quiet = TRUE };
  g_autoptr (GString) out = g_string_new (NULL);

  g_assert_cmpstr (string_of (object, "type"), ==, type);
  g_assert_cmpstr (string_of (object, "reason"), ==, reason);
  ddebug_json_item (&quiet, &super, &item, out);
  g_assert_cmpstr (out->str, ==, "");
}

/* The object before the first of an epoch; of one whose attach record is not in the log, its number only. */
static void
test_epochs (void)
{
  DdebugEpoch one = {
    .number = 7, .attached = TRUE, .realtime = 5 * SECOND + 1, .nr_cpus = 3, .release = "6.1", .driver = "0.2",
  };
  DdebugEpoch two = { .number = 8, .release = "unset", .driver = "unset" };
  DdebugItem item = { .type = DDEBUG_ITEM_BAD_CHUNK, .count = 5, .text = "where", .epoch = &one };
  DdebugJson json = { .log = "l" };
  g_autoptr (GString) out = g_string_new (NULL);
  g_auto (GStrv) lines = NULL;
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *object;

  memset (one.boot_id, 0x22, sizeof one.boot_id);
  ddebug_json_item (&json, &super, &item, out);
  ddebug_json_item (&json, &super, &item, out);
  item.epoch = NULL;
  ddebug_json_item (&json, &super, &item, out);
  item.epoch = &one;
  ddebug_json_item (&json, &super, &item, out);
  item.epoch = &two;
  ddebug_json_item (&json, &super, &item, out);
  lines = g_strsplit (out->str, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 8);
  for (guint i = 0; i < 7; i++)
    g_assert_cmpint (strstr (lines[i], "\"type\":\"epoch\"") != NULL, ==, i == 0 || i == 5);
  g_assert_true (json_parser_load_from_data (parser, lines[0], -1, NULL));
  object = json_node_get_object (json_parser_get_root (parser));
  g_assert_cmpint (json_object_get_int_member (object, "epoch"), ==, 7);
  g_assert_cmpstr (string_of (object, "boot"), ==, "22222222-2222-2222-2222-222222222222");
  g_assert_cmpstr (string_of (object, "host_time"), ==, "5.000000001");
  g_assert_cmpstr (string_of (object, "driver"), ==, "0.2");
  g_assert_cmpstr (string_of (object, "kernel"), ==, "6.1");
  g_assert_cmpint (json_object_get_int_member (object, "cpus"), ==, 3);
  g_assert_true (json_parser_load_from_data (parser, lines[5], -1, NULL));
  object = json_node_get_object (json_parser_get_root (parser));
  g_assert_cmpint (json_object_get_int_member (object, "epoch"), ==, 8);
  g_assert_false (json_object_has_member (object, "boot"));
  g_assert_false (json_object_has_member (object, "kernel"));
  g_assert_false (json_object_has_member (object, "driver"));
  g_assert_false (json_object_has_member (object, "cpus"));
  g_assert_false (json_object_has_member (object, "host_time"));
}

static void
test_gaps (void)
{
  static const char *const reasons[] = { "oldest", "overtaken", "damaged", "io", "ring", "records", "tail", "full", "rate" };
  static const char *const stops[] = { "other", "paused", "shutdown", "panicked", "watchdog", "io-error", "internal-error",
                                       "suspended", "saved", "debug", "other" };
  static const char *const notices[] = { "other", "oops", "panic", "kdump", "other" };
  DdebugMergerStream stream = { .cpu = 3, .context = VIRTIO_DDEBUG_CTX_HARDIRQ };

  for (guint i = 0; i < G_N_ELEMENTS (reasons); i++)
    assert_item ((DdebugItem){ .type = DDEBUG_ITEM_LOST, .stream = &stream, .count = 7, .reason = i }, "lost", reasons[i]);
  for (guint i = 0; i < G_N_ELEMENTS (stops); i++)
    assert_item ((DdebugItem){ .type = DDEBUG_ITEM_EVENT, .event = DDEBUG_LOG_EVENT_STOP, .args = { i } }, "event", stops[i]);
  for (guint i = 0; i < G_N_ELEMENTS (notices); i++)
    assert_item ((DdebugItem){ .type = DDEBUG_ITEM_EVENT, .event = DDEBUG_LOG_EVENT_NOTICE, .args = { i, 2 } }, "event",
                 notices[i]);
  assert_item ((DdebugItem){ .type = DDEBUG_ITEM_DROPPED, .stream = &stream, .count = 5, .recursed = 3, .torn = 2 },
               "dropped", NULL);
  assert_item ((DdebugItem){ .type = DDEBUG_ITEM_UNRECORDED, .stream = &stream, .count = 5, .nostream = 2, .missed = 3 },
               "unrecorded", NULL);
  assert_item ((DdebugItem){ .type = DDEBUG_ITEM_UNKNOWN, .stream = &stream, .count = 5 }, "unknown", NULL);
  assert_item ((DdebugItem){ .type = DDEBUG_ITEM_BAD_SPAN, .stream = &stream, .text = "why" }, "bad-records", NULL);
  assert_item ((DdebugItem){ .type = DDEBUG_ITEM_BAD_CHUNK, .count = 5, .text = "where" }, "damage", NULL);
  assert_item ((DdebugItem){ .type = DDEBUG_ITEM_IO_LOST, .count = 5, .bytes = 9, .reason = DDEBUG_LOST_RATE }, "given-up",
               "rate");
  assert_item ((DdebugItem){ .type = DDEBUG_ITEM_UNSYNCED, .count = 5, .args = { 3, 7 }, .error = ENOSPC }, "unsynced", NULL);
  assert_item ((DdebugItem){ .type = DDEBUG_ITEM_UNSYNCED, .count = 5, .args = { 3, 7 } }, "unsynced", NULL);
}

/* ---- the tool ---- */

static void
write_log (const char *path)
{
  g_autoptr (Canned) c = canned_new (8);
  g_autoptr (Producer) a = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  g_autoptr (Producer) b = producer_new (8, 2, VIRTIO_DDEBUG_CTX_HARDIRQ);

  memset (c->super.vm_uuid, 0xab, sizeof c->super.vm_uuid);
  canned_super (c, 2);
  canned_segment (c, 0, DDEBUG_LOG_SEG_DATA, 0);
  canned_segment (c, 1, DDEBUG_LOG_SEG_DICT, 1);
  canned_attach (c, 1, 0x1111, 0x11);
  canned_dict (c, 1, 1, 42, "xhci_hcd", "xhci_irq");
  producer_say (a, 5 * SECOND + 1, 1, "ding \"dong\"", 11);
  a->number += 2;
  producer_turn (a, 6 * SECOND);
  producer_say (a, 6 * SECOND, 0, "bell \x07\xff", 7);
  canned_take (c, a, 1, 1);
  canned_event (c, 1, DDEBUG_LOG_EVENT_NOTICE, VIRTIO_DDEBUG_NOTICE_PANIC, 1);
  c->realtime += 60 * SECOND;
  canned_attach (c, 2, 0x2222, 0x22);
  producer_say (b, SECOND, 0, "after", 5);
  canned_take (c, b, 2, 2);
  canned_event (c, 2, DDEBUG_LOG_EVENT_CLOSE, 0, 0);
  canned_state (c, 2);
  canned_write (c, path);
}

/* The types of the objects of @text, each with a bar behind it. */
static char *
types_of (GPtrArray *objects)
{
  GString *types = g_string_new (NULL);

  for (guint i = 0; i < objects->len; i++)
    g_string_append_printf (types, "%s|", string_of (objects->pdata[i], "type"));
  return g_string_free (types, FALSE);
}

static void
assert_types (const char *text, const char *expected)
{
  g_autoptr (GPtrArray) objects = parse_lines (text);
  g_autofree char *types = types_of (objects);

  g_assert_cmpstr (types, ==, expected);
}

#define TYPES "epoch|message|lost|message|event|epoch|message|"

static void
test_trace (Fixture *f, gconstpointer data)
{
  g_autoptr (GPtrArray) objects = NULL;
  JsonObject *object;
  Result r;

  (void) data;
  write_log (f->path);
  r = tool_run ("--output=json", f->path, NULL);
  g_assert_cmpstr (r.err, ==, "");
  g_assert_cmpint (r.status, ==, 0);
  assert_types (r.out, TYPES);
  objects = parse_lines (r.out);
  for (guint i = 0; i < objects->len; i++)
    {
      g_assert_cmpstr (string_of (objects->pdata[i], "vm"), ==, "canned");
      g_assert_cmpstr (string_of (objects->pdata[i], "vm_uuid"), ==, "abababab-abab-abab-abab-abababababab");
      g_assert_cmpstr (string_of (objects->pdata[i], "log"), ==, f->path);
    }
  object = objects->pdata[0];
  g_assert_cmpint (json_object_get_int_member (object, "epoch"), ==, 1);
  g_assert_cmpstr (string_of (object, "boot"), ==, "11111111-1111-1111-1111-111111111111");
  g_assert_cmpstr (string_of (object, "kernel"), ==, "6.1.0-56-amd64");
  g_assert_cmpstr (string_of (object, "driver"), ==, "0.1");
  g_assert_cmpint (json_object_get_int_member (object, "cpus"), ==, 2);
  g_assert_nonnull (string_of (object, "host_time"));
  g_assert_false (json_object_has_member (object, "cpu"));
  object = objects->pdata[1];
  g_assert_cmpstr (string_of (object, "guest_time"), ==, "5.000000001");
  g_assert_cmpstr (string_of (object, "boot"), ==, "11111111-1111-1111-1111-111111111111");
  g_assert_cmpstr (string_of (object, "context"), ==, "task");
  g_assert_cmpstr (string_of (object, "module"), ==, "xhci_hcd");
  g_assert_cmpstr (string_of (object, "function"), ==, "xhci_irq");
  g_assert_cmpstr (string_of (object, "file"), ==, "a.c");
  g_assert_cmpstr (string_of (object, "message"), ==, "ding \"dong\"");
  g_assert_cmpint (json_object_get_int_member (object, "line"), ==, 42);
  g_assert_cmpint (json_object_get_int_member (object, "level"), ==, 7);
  g_assert_cmpint (json_object_get_int_member (object, "epoch"), ==, 1);
  g_assert_true (json_object_has_member (object, "pid"));
  g_assert_nonnull (string_of (object, "host_time"));
  g_assert_cmpint (json_object_get_int_member (objects->pdata[2], "count"), ==, 2);
  g_assert_false (json_object_has_member (objects->pdata[3], "module"));
  g_assert_cmpstr (string_of (objects->pdata[4], "reason"), ==, "panic");
  g_assert_cmpstr (string_of (objects->pdata[5], "kernel"), ==, "6.1.0-56-amd64");
  result_clear (&r);
}

static void
test_other_commands (Fixture *f, gconstpointer data)
{
  g_autofree char *copy = g_strconcat (f->path, ".2", NULL);
  Result r;

  (void) data;
  write_log (f->path);
  write_log (copy);
  r = tool_run ("-ojson", "--follow", f->path, NULL);
  assert_types (r.out, TYPES);
  result_clear (&r);
  r = tool_run ("-o", "json", "--quiet", "--pipe", f->path, NULL);
  assert_types (r.out, "message|message|message|");
  result_clear (&r);
  r = tool_run ("--output=json", "--quiet", "--pipe", f->path, NULL);
  g_assert_cmpstr (r.out, ==, "");
  result_clear (&r);
  /* no name before the lines: each object has it */
  r = tool_run ("--output=json", "--quiet", f->path, copy, NULL);
  assert_types (r.out, "message|message|message|message|message|message|");
  result_clear (&r);
  r = tool_run ("--output=json", "--cpu=2", "--quiet", f->path, NULL);
  assert_types (r.out, "message|");
  result_clear (&r);
  r = tool_run ("--output=text", "--quiet", "--cpu=2", f->path, NULL);
  g_assert_cmpstr (r.out, ==, "[    1.000000] after\n");
  result_clear (&r);
}

static void
test_boots (Fixture *f, gconstpointer data)
{
  g_autoptr (GPtrArray) boots = NULL;
  Result r;

  (void) data;
  write_log (f->path);
  r = tool_run ("--output=json", "--list-boots", f->path, NULL);
  assert_types (r.out, "boot|boot|");
  boots = parse_lines (r.out);
  g_assert_cmpint (json_object_get_int_member (boots->pdata[0], "index"), ==, -1);
  g_assert_cmpint (json_object_get_int_member (boots->pdata[0], "messages"), ==, 2);
  g_assert_cmpstr (string_of (boots->pdata[0], "death"), ==, "panic");
  g_assert_cmpint (json_object_get_int_member (boots->pdata[1], "index"), ==, 0);
  g_assert_false (json_object_has_member (boots->pdata[1], "death"));
  result_clear (&r);
}

static void
test_errors (Fixture *f, gconstpointer data)
{
  static const char *const bad[][2] = {
    { "--output=xml", "--output=xml: unknown format; use text or json" },
    { "--info", "--output=json works only with" },
    { "--last-words", "--output=json works only with" },
    { "--size", "--output=json works only with" },
    { "--raw", "--raw cannot be used with --output=json" },
  };

  (void) data;
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      Result r = tool_run ("--output=json", bad[i][0], f->path, NULL);

      g_assert_cmpint (r.status, ==, 2);
      g_assert_nonnull (strstr (r.err, bad[i][1]));
      result_clear (&r);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/json/all 256 bytes are kept, and none harms", test_all_bytes);
  g_test_add_func ("/json/every character of Unicode", test_all_characters);
  g_test_add_func ("/json/names of callsites", test_names);
  g_test_add_func ("/json/wild numbers and times", test_numbers);
  g_test_add_func ("/json/the kernel's log", test_kernel_log);
  g_test_add_func ("/json/each gap and event is an object of its kind", test_gaps);
  g_test_add_func ("/json/epochs", test_epochs);
#define TOOL_TEST(name, func) g_test_add (name, Fixture, NULL, log_folder_set_up, func, log_folder_tear_down)
  TOOL_TEST ("/json/tool/what a log has", test_trace);
  TOOL_TEST ("/json/tool/--follow, --pipe, several logs, filters", test_other_commands);
  TOOL_TEST ("/json/tool/--list-boots", test_boots);
  TOOL_TEST ("/json/tool/what does not go with it is said", test_errors);
  return g_test_run ();
}
