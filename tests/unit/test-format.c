/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No byte of a guest reaches the output as a control character, and what was there can be told from the output. */
#include <errno.h>
#include <string.h>

#include "canned.h"
#include "ddebug-format.h"

static char *
escape (const void *text, gsize len, DdebugEscape flags)
{
  GString *out = g_string_new (NULL);

  ddebug_escape (out, text, len, flags, 4);
  return g_string_free (out, FALSE);
}

static void
assert_escapes (const char *text, DdebugEscape flags, const char *expected)
{
  g_autofree char *got = escape (text, strlen (text), flags);

  g_assert_cmpstr (got, ==, expected);
}

/* What an escaped text was: the rule that the man page gives. */
static GByteArray *
unescape (const char *text)
{
  GByteArray *out = g_byte_array_new ();

  while (*text)
    {
      guint8 c = *text++;

      if (c == '\\' && text[0] == 'x' && g_ascii_isxdigit (text[1]) && g_ascii_isxdigit (text[2]))
        {
          c = g_ascii_xdigit_value (text[1]) << 4 | g_ascii_xdigit_value (text[2]);
          text += 3;
        }
      g_byte_array_append (out, &c, 1);
    }
  return out;
}

/* Nothing but printable ASCII, and UTF-8 that is neither control nor format, is in @text. */
static void
assert_safe (const char *text)
{
  g_assert_true (g_utf8_validate (text, -1, NULL));
  for (; *text; text = g_utf8_next_char (text))
    {
      gunichar c = g_utf8_get_char (text);

      g_assert_true (c >= 0x20 && c != 0x7f && !(c >= 0x80 && c < 0xa0));
      g_assert_true (c != 0x061c && c != 0x200e && c != 0x200f && !(c >= 0x202a && c <= 0x202e)
                     && !(c >= 0x2066 && c <= 0x2069) && c != 0x2028 && c != 0x2029 && c != 0xfeff);
    }
}

static void
test_all_bytes (void)
{
  for (guint c = 0; c < 256; c++)
    for (guint utf8 = 0; utf8 < 2; utf8++)
      {
        char text[3] = { 'a', c, 'b' };
        g_autofree char *got = escape (text, 3, utf8 ? DDEBUG_ESCAPE_UTF8 : 0);
        g_autofree char *hex = g_strdup_printf ("a\\x%02xb", c);
        char plain[4] = { 'a', c, 'b', 0 };

        g_assert_cmpstr (got, ==, c >= 0x20 && c < 0x7f ? plain : hex);
      }
}

static void
test_lines (void)
{
  assert_escapes ("a\nb", DDEBUG_ESCAPE_LINES, "a\n    b");
  assert_escapes ("a\n\nb", DDEBUG_ESCAPE_LINES, "a\n    \n    b");
  assert_escapes ("a\n", DDEBUG_ESCAPE_LINES, "a");
  assert_escapes ("\n", DDEBUG_ESCAPE_LINES, "");
  assert_escapes ("a\tb", DDEBUG_ESCAPE_LINES, "a\tb");
  assert_escapes ("a\r\nb", DDEBUG_ESCAPE_LINES, "a\\x0d\n    b");
  assert_escapes ("a\nb\t", 0, "a\\x0ab\\x09");
}

/* All of Unicode, and surrogates and what is above it, in UTF-8 and cut at every byte. */
static void
test_all_characters (void)
{
  for (gunichar c = 0x80; c < 0x120000; c++)
    {
      char text[8];
      int n = g_unichar_to_utf8 (c, text);
      g_autofree char *got = escape (text, n, DDEBUG_ESCAPE_UTF8);
      g_autofree char *ascii = escape (text, n, 0);
      g_autoptr (GByteArray) back = unescape (got);
      g_autoptr (GByteArray) ascii_back = unescape (ascii);

      assert_safe (got);
      g_assert_cmpmem (back->data, back->len, text, n);
      g_assert_cmpuint (strlen (ascii), ==, 4 * n);
      g_assert_cmpmem (ascii_back->data, ascii_back->len, text, n);
      if (c % 0x101 == 0 && c < 0x110000)
        for (int cut = 1; cut < n; cut++)
          {
            g_autofree char *broken = escape (text, cut, DDEBUG_ESCAPE_UTF8);

            g_assert_cmpuint (strlen (broken), ==, 4 * cut);
          }
    }
}

static void
test_controls (void)
{
  assert_escapes ("\xc2\x80\xc2\x9b" "31m", DDEBUG_ESCAPE_UTF8, "\\xc2\\x80\\xc2\\x9b31m");
  assert_escapes ("\x1b[31m", DDEBUG_ESCAPE_UTF8, "\\x1b[31m");
  assert_escapes ("\x9b" "31m", DDEBUG_ESCAPE_UTF8, "\\x9b31m");
  assert_escapes ("a\u202e\u2066", DDEBUG_ESCAPE_UTF8, "a\\xe2\\x80\\xae\\xe2\\x81\\xa6");
  assert_escapes ("\u061c\u200e\u200f", DDEBUG_ESCAPE_UTF8, "\\xd8\\x9c\\xe2\\x80\\x8e\\xe2\\x80\\x8f");
  assert_escapes ("\u2028\u2029", DDEBUG_ESCAPE_UTF8, "\\xe2\\x80\\xa8\\xe2\\x80\\xa9");
  assert_escapes ("\u00b5s \u00e4 \U0001f600", DDEBUG_ESCAPE_UTF8, "\u00b5s \u00e4 \U0001f600");
  assert_escapes ("\u00b5", 0, "\\xc2\\xb5");
}

static void
test_broken_utf8 (void)
{
  assert_escapes ("\xc0\x80", DDEBUG_ESCAPE_UTF8, "\\xc0\\x80");
  assert_escapes ("\xc1\xbf", DDEBUG_ESCAPE_UTF8, "\\xc1\\xbf");
  assert_escapes ("\xe0\x80\x9b", DDEBUG_ESCAPE_UTF8, "\\xe0\\x80\\x9b");
  assert_escapes ("\xed\xa0\x80", DDEBUG_ESCAPE_UTF8, "\\xed\\xa0\\x80");
  assert_escapes ("\xf5\x80\x80\x80", DDEBUG_ESCAPE_UTF8, "\\xf5\\x80\\x80\\x80");
  assert_escapes ("\xe2\x80", DDEBUG_ESCAPE_UTF8, "\\xe2\\x80");
  assert_escapes ("\xe2(\xa1", DDEBUG_ESCAPE_UTF8, "\\xe2(\\xa1");
  assert_escapes ("\xf0\x9f\x98 x", DDEBUG_ESCAPE_UTF8, "\\xf0\\x9f\\x98 x");
}

static void
test_backslash (void)
{
  assert_escapes ("\\\\server\\share", 0, "\\\\server\\share");
  assert_escapes ("\\", 0, "\\");
  assert_escapes ("\\x", 0, "\\x");
  assert_escapes ("\\x1", 0, "\\x1");
  assert_escapes ("\\x1b", 0, "\\x5cx1b");
  assert_escapes ("\\X1b\\x1B\\xgg", 0, "\\X1b\\x5cx1B\\xgg");
  assert_escapes ("\\\x1b", 0, "\\\\x1b");
}

/* Random texts rich in what escapes are made of come back as they were. */
static void
test_unambiguous (void)
{
  static const char alphabet[] = "\\x015bcB\x1b\n\xc3\xa4\x80";
  g_autoptr (GRand) rand = g_rand_new_with_seed (4);

  for (int round = 0; round < 200000; round++)
    {
      char text[12];
      gsize len = g_rand_int_range (rand, 0, sizeof text + 1);
      g_autofree char *got = NULL;
      g_autoptr (GByteArray) back = NULL;

      for (gsize i = 0; i < len; i++)
        text[i] = alphabet[g_rand_int_range (rand, 0, sizeof alphabet - 1)];
      got = escape (text, len, round % 2 ? DDEBUG_ESCAPE_UTF8 : 0);
      back = unescape (got);
      assert_safe (got);
      g_assert_cmpmem (back->data, back->len, text, len);
    }
}

static void
assert_stamp (guint64 time, const char *expected)
{
  DdebugFormat format = { 0 };
  DdebugEpoch epoch = { .number = 1 };
  DdebugItem item = { .type = DDEBUG_ITEM_MESSAGE, .epoch = &epoch, .message = { .time = time, .text = (void *) "x", .len = 1 } };
  g_autoptr (GString) out = g_string_new (NULL);
  g_autofree char *line = g_strdup_printf ("%s x\n", expected);

  ddebug_format_item (&format, &item, out);
  g_assert_cmpstr (out->str, ==, line);
}

static void
test_stamps (void)
{
  assert_stamp (0, "[    0.000000]");
  assert_stamp (999, "[    0.000000]");
  assert_stamp (1000, "[    0.000001]");
  assert_stamp (5123456999, "[    5.123456]");
  assert_stamp (999999999999999, "[999999.999999]");
  assert_stamp (12345000000000, "[12345.000000]");
  assert_stamp (10000000000, "[   10.000000]");
  assert_stamp (G_MAXUINT64, "[18446744073.709551]");
}

/* The continuation of a message is indented as far as the stamp reaches: as util-linux's dmesg does. */
static void
test_continuation (void)
{
  DdebugFormat format = { 0 };
  DdebugEpoch epoch = { .number = 1 };
  DdebugItem item = {
    .type = DDEBUG_ITEM_MESSAGE,
    .epoch = &epoch,
    .message = { .time = 1, .text = (void *) "a\n-- 5 messages lost --\n", .len = 24 },
  };
  g_autoptr (GString) out = g_string_new (NULL);

  ddebug_format_item (&format, &item, out);
  g_assert_cmpstr (out->str, ==, "[    0.000000] a\n               -- 5 messages lost --\n");
}

/* A line as printf() would have it, known or not. */
static void
test_callsites (void)
{
  static const guint32 lines[] = { 0, 9, 10, 4711, G_MAXUINT32 };
  DdebugDict *dict = ddebug_dict_new (NULL);
  DdebugFormat format = { .callsite = TRUE };
  DdebugItem item = { .type = DDEBUG_ITEM_MESSAGE, .epoch = ddebug_dict_epoch (dict, 1),
                      .message = { .text = (void *) "x", .len = 1 } };
  g_autoptr (GString) out = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    {
      struct ddebug_callsite site = { .len = GUINT32_TO_LE (sizeof site + 8), .id = GUINT32_TO_LE (i + 1),
                                      .line = GUINT32_TO_LE (lines[i]), .module_len = GUINT16_TO_LE (3),
                                      .function_len = GUINT16_TO_LE (2) };
      guint8 entry[sizeof site + 8] = { 0 };
      DdebugChunk chunk = { .epoch = 1, .len = sizeof entry, .payload = entry };
      g_autofree char *expected = g_strdup_printf ("[    0.000000] m\\x1bd:f\\x0a:%u: x\n", lines[i]);

      memcpy (entry, &site, sizeof site);
      memcpy (entry + sizeof site, "m\x1b" "df\n", 5);
      g_assert_true (ddebug_dict_add (dict, &chunk));
      item.message.callsite = i + 1;
      g_string_truncate (out, 0);
      ddebug_format_item (&format, &item, out);
      g_assert_cmpstr (out->str, ==, expected);
    }
  item.message.callsite = 77;
  g_string_truncate (out, 0);
  ddebug_format_item (&format, &item, out);
  g_assert_cmpstr (out->str, ==, "[    0.000000] ?:?:?: x\n");
  ddebug_dict_free (dict);
}

static void
test_notices (void)
{
  DdebugMergerStream stream = { .cpu = 3, .context = VIRTIO_DDEBUG_CTX_HARDIRQ };
  DdebugFormat format = { 0 };
  DdebugItem item = { .type = DDEBUG_ITEM_LOST, .stream = &stream, .count = 1, .reason = DDEBUG_LOST_RING };
  g_autoptr (GString) out = g_string_new (NULL);

  ddebug_format_item (&format, &item, out);
  g_assert_cmpstr (out->str, ==,
                   "-- 1 message lost on cpu 3, hardirq: overwritten in the guest before the host read them --\n");
  g_string_truncate (out, 0);
  stream.context = 200;
  item = (DdebugItem){ .type = DDEBUG_ITEM_DROPPED, .stream = &stream, .count = 5, .recursed = 3, .torn = 2 };
  ddebug_format_item (&format, &item, out);
  g_assert_cmpstr (out->str, ==,
                   "-- 5 messages dropped on cpu 3, context 200: in the guest, 3 produced while logging, "
                   "2 torn by a crash --\n");
  format.quiet = TRUE;
  g_string_truncate (out, 0);
  ddebug_format_item (&format, &item, out);
  g_assert_cmpstr (out->str, ==, "");
}

static void
assert_item (DdebugFormat *format, DdebugItem item, const char *expected)
{
  g_autoptr (GString) out = g_string_new (NULL);

  ddebug_format_item (format, &item, out);
  g_assert_cmpstr (out->str, ==, expected);
}

/* A message that is late has its mark in a line before it, which is never less than a microsecond. */
static void
test_late (void)
{
  static const struct
  {
    guint64 late;
    const char *notice;
  } cases[] = {
    { 1, "-- late on cpu 3, hardirq: the next message is 0.000001 s older than one before it --\n" },
    { 1000, "-- late on cpu 3, hardirq: the next message is 0.000001 s older than one before it --\n" },
    { 1001, "-- late on cpu 3, hardirq: the next message is 0.000002 s older than one before it --\n" },
    { 1500000000, "-- late on cpu 3, hardirq: the next message is 1.500000 s older than one before it --\n" },
    { G_MAXUINT64,
      "-- late on cpu 3, hardirq: the next message is 18446744073.709552 s older than one before it --\n" },
  };
  DdebugMergerStream stream = { .cpu = 3, .context = VIRTIO_DDEBUG_CTX_HARDIRQ };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      DdebugItem item = {
        .type = DDEBUG_ITEM_MESSAGE,
        .stream = &stream,
        .message = { .text = (const guint8 *) "x", .len = 1 },
        .late = cases[i].late,
      };
      g_autofree char *expected = g_strconcat (cases[i].notice, "[    0.000000] x\n", NULL);
      DdebugFormat format = { 0 };
      g_autoptr (GString) out = g_string_new (NULL);

      ddebug_format_item (&format, &item, out);
      g_assert_cmpstr (out->str, ==, expected);
      g_string_truncate (out, 0);
      format.quiet = TRUE;
      ddebug_format_item (&format, &item, out);
      g_assert_cmpstr (out->str, ==, "[    0.000000] x\n");
    }
}

/* That no checksum covers what follows is said once for each QEMU that died, also of one log. */
static void
test_unchecked (void)
{
  static const char notice[] = "-- the following was still in the guest's rings, not copied by QEMU, and has no checksum "
                               "--\n[    0.000000] x\n";
  DdebugEpoch first = { .number = 1 }, second = { .number = 2 };
  DdebugItem checked = { .type = DDEBUG_ITEM_MESSAGE, .epoch = &first, .message = { .text = (void *) "x", .len = 1 } };
  DdebugItem item = checked;
  DdebugFormat format = { 0 }, other = { 0 }, quiet = { .quiet = TRUE };

  item.unchecked = TRUE;
  assert_item (&format, checked, "[    0.000000] x\n");
  assert_item (&format, item, notice);
  /* in the order of time there may be checked ones between them */
  assert_item (&format, checked, "[    0.000000] x\n");
  assert_item (&format, item, "[    0.000000] x\n");
  assert_item (&other, item, notice);
  assert_item (&quiet, item, "[    0.000000] x\n");
  item.epoch = checked.epoch = &second;
  assert_item (&format, checked, "-- epoch 2 --\n[    0.000000] x\n");
  assert_item (&format, item, notice);
}

/* Each kind of notice, with each reason: one line, that begins and ends as no message does. */
static void
test_all_notices (void)
{
  static const struct
  {
    guint8 context;
    const char *name;
  } contexts[] = { { VIRTIO_DDEBUG_CTX_TASK, "task" }, { VIRTIO_DDEBUG_CTX_SOFTIRQ, "softirq" },
                   { VIRTIO_DDEBUG_CTX_HARDIRQ, "hardirq" }, { VIRTIO_DDEBUG_CTX_NMI, "nmi" } };
  DdebugMergerStream stream = { .cpu = 7 };
  DdebugFormat format = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (contexts); i++)
    for (guint reason = DDEBUG_LOST_OLDEST; reason <= DDEBUG_LOST_TAIL; reason++)
      {
        g_autofree char *expected = g_strdup_printf ("-- 2 messages lost on cpu 7, %s: %s --\n", contexts[i].name,
                                                     ddebug_format_reason (reason));

        stream.context = contexts[i].context;
        assert_item (&format, (DdebugItem){ .type = DDEBUG_ITEM_LOST, .stream = &stream, .count = 2,
                                            .reason = reason }, expected);
      }
  assert_item (&format, (DdebugItem){ .type = DDEBUG_ITEM_DROPPED, .stream = &stream, .count = 1, .torn = 1 },
               "-- 1 message dropped on cpu 7, nmi: in the guest, 1 torn by a crash --\n");
  assert_item (&format, (DdebugItem){ .type = DDEBUG_ITEM_DROPPED, .stream = &stream, .count = 4, .recursed = 4 },
               "-- 4 messages dropped on cpu 7, nmi: in the guest, 4 produced while logging --\n");
  assert_item (&format, (DdebugItem){ .type = DDEBUG_ITEM_UNRECORDED, .stream = &stream, .count = 1, .nostream = 1 },
               "-- 1 message not recorded: in the guest, 1 on a cpu without a ring --\n");
  assert_item (&format, (DdebugItem){ .type = DDEBUG_ITEM_UNRECORDED, .stream = &stream, .count = 5, .nostream = 2,
                                      .missed = 3 },
               "-- 5 messages not recorded: in the guest, 2 on a cpu without a ring, "
               "3 in its own kernel log only --\n");
  assert_item (&format, (DdebugItem){ .type = DDEBUG_ITEM_UNKNOWN, .stream = &stream, .count = 1 },
               "-- 1 record not understood on cpu 7, nmi: the guest's driver is newer than this tool --\n");
  assert_item (&format, (DdebugItem){ .type = DDEBUG_ITEM_BAD_SPAN, .stream = &stream, .text = "why" },
               "-- records discarded on cpu 7, nmi: why --\n");
  assert_item (&format, (DdebugItem){ .type = DDEBUG_ITEM_IO_LOST, .count = 2, .bytes = 300 },
               "-- 2 chunks (300 bytes) discarded: the host could not write the log --\n");
  assert_item (&format, (DdebugItem){ .type = DDEBUG_ITEM_UNSYNCED, .count = 1, .error = ENOSPC },
               "-- 1 chunk before this may not be on the host's disk: No space left on device --\n");
  assert_item (&format, (DdebugItem){ .type = DDEBUG_ITEM_UNSYNCED, .count = 3 },
               "-- 3 chunks missing, which were written: the host lost power, or its disk failed --\n");
  assert_item (&format, (DdebugItem){ .type = DDEBUG_ITEM_BAD_CHUNK, .text = "where" }, "-- log damaged: where --\n");
}

/* Every event, with every argument that has a name and one that has none. */
static void
test_all_events (void)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  static const struct
  {
    guint32 event;
    guint64 first, last;
  } events[] = {
    { DDEBUG_LOG_EVENT_OPEN, 4711, 4711 },       { DDEBUG_LOG_EVENT_ATTACH, 1, 1 },
    { DDEBUG_LOG_EVENT_RESET, 0, 0 },            { DDEBUG_LOG_EVENT_STOP, 0, DDEBUG_LOG_STOP_DEBUG },
    { DDEBUG_LOG_EVENT_CONT, 0, 0 },             { DDEBUG_LOG_EVENT_CLOSE, 0, 0 },
    { DDEBUG_LOG_EVENT_NOTICE, 0, 4 },           { DDEBUG_LOG_EVENT_MACHINE_RESET, 0, 0 },
    { DDEBUG_LOG_EVENT_SHUTDOWN, 0, DDEBUG_LOG_SHUTDOWN_ERROR }, { 99, 0, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (events); i++)
    for (guint64 arg = events[i].first; arg <= events[i].last; arg++)
      {
        GString *out = g_string_new (NULL);
        const guint64 args[2] = { arg, 3 };

        ddebug_format_event (out, events[i].event, args);
        g_assert_cmpuint (out->len, >, 5);
        /* no two say the same */
        g_assert_true (g_hash_table_add (seen, g_string_free (out, FALSE)));
      }
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GString) out = g_string_new (NULL);
      const guint64 args[2] = { G_MAXUINT64, 0 };

      ddebug_format_event (out, i ? DDEBUG_LOG_EVENT_STOP : DDEBUG_LOG_EVENT_SHUTDOWN, args);
      g_assert_cmpstr (out->str, ==, i ? "the VM was stopped" : "the VM ended");
    }
}

/* What comes between two epochs, of which one or both are attached, the same rings or others. */
static void
test_epochs (void)
{
  static const char other[] = "-- epoch 2: kernel r\\x1b, boot 01020000-0000-0000-0000-000000000000, "
                              "1970-01-01 00:00:05 +0000 --\n[    0.000000] x\n";
  const DdebugEpoch known = { .number = 2, .attached = TRUE, .instance_id = 9, .boot_id = { 1, 2 },
                              .realtime = G_GUINT64_CONSTANT (5000000000), .release = "r\x1b" };
  const DdebugEpoch unknown = { .number = 2 };
  DdebugEpoch before = { .number = 1, .attached = TRUE, .instance_id = 9, .boot_id = { 1, 2 } };
  const struct
  {
    const DdebugEpoch *next;
    gboolean attached;
    guint instance, boot;
    gboolean quiet;
    const char *expected;
  } cases[] = {
    { &known, TRUE, 9, 1, FALSE, "[    0.000000] x\n" },
    { &known, TRUE, 8, 1, FALSE, other },
    { &known, TRUE, 9, 7, FALSE, other },
    { &known, FALSE, 0, 0, FALSE, other },
    { &known, FALSE, 0, 0, TRUE, "[    0.000000] x\n" },
    { &unknown, TRUE, 9, 1, FALSE, "-- epoch 2 --\n[    0.000000] x\n" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      DdebugFormat format = { .quiet = cases[i].quiet };
      DdebugItem item = { .type = DDEBUG_ITEM_MESSAGE, .epoch = &before,
                          .message = { .text = (void *) "x", .len = 1 } };

      before.attached = cases[i].attached;
      before.instance_id = cases[i].instance;
      before.boot_id[0] = cases[i].boot;
      assert_item (&format, item, "[    0.000000] x\n");
      assert_item (&format, item, "[    0.000000] x\n");
      item.epoch = (DdebugEpoch *) cases[i].next;
      assert_item (&format, item, cases[i].expected);
    }
}

/* With --raw a message is what the guest wrote, also one without text. */
static void
test_raw (void)
{
  DdebugEpoch epoch = { .number = 1 };
  DdebugFormat format = { .raw = TRUE };
  DdebugItem item = { .type = DDEBUG_ITEM_MESSAGE, .epoch = &epoch,
                      .message = { .text = (void *) "\x1b\n\r\x9b", .len = 4 } };

  assert_item (&format, item, "[    0.000000] \x1b\n\r\x9b\n");
  item.message.text = NULL;
  item.message.len = 0;
  assert_item (&format, item, "[    0.000000] \n");
  format.raw = FALSE;
  assert_item (&format, item, "[    0.000000] \n");
}

/* Sizes are plain ASCII, whatever space GLib puts in. */
static void
test_sizes (void)
{
  g_autoptr (GString) out = g_string_new (NULL);

  ddebug_format_size (out, 16 << 20);
  g_assert_cmpstr (out->str, ==, "16.0 MiB");
}

/* A line of the kernel's log, formatted behind what was formatted before. */
static void
add_kmsg (DdebugFormat *format, GString *out, guint32 flags, const char *text)
{
  static DdebugMergerStream stream = { .cpu = 3, .context = VIRTIO_DDEBUG_CTX_NMI };
  DdebugItem item = { .type = DDEBUG_ITEM_MESSAGE,
                      .stream = &stream,
                      .message = { .time = 9000000000, .is_kmsg = TRUE, .kmsg = flags,
                                   .text = (const guint8 *) text, .len = strlen (text) } };

  ddebug_format_item (format, &item, out);
}

static void
test_kernel_log (void)
{
  DdebugFormat format = { .callsite = TRUE };
  g_autoptr (GString) out = g_string_new (NULL);

  add_kmsg (&format, out, 0, "[    1.000000] as it was printed");
  add_kmsg (&format, out, DDEBUG_KMSG_F_PAST, "[    1.000000] Linux version");
  add_kmsg (&format, out, DDEBUG_KMSG_F_PAST, "[123456789.654321] a\x1b");
  add_kmsg (&format, out, DDEBUG_KMSG_F_PAST | DDEBUG_KMSG_F_OOPS, "[    2.000000] Oops");
  add_kmsg (&format, out, DDEBUG_KMSG_F_PAST | DDEBUG_KMSG_F_PANIC, "[    3.000000] Kernel panic");
  add_kmsg (&format, out, 0, "Rebooting in 1 seconds..");
  g_assert_cmpstr (out->str, ==,
                   "[    9.000000] kernel log: [    1.000000] as it was printed\n"
                   "-- the kernel's log up to here --\n"
                   "[    1.000000] kernel log: Linux version\n"
                   "[123456789.654321] kernel log: a\\x1b\n"
                   "-- end of the kernel's log --\n"
                   "-- the kernel's log before an oops on cpu 3, nmi --\n"
                   "[    2.000000] kernel log: Oops\n"
                   "-- end of the kernel's log --\n"
                   "-- the kernel's log before the panic on cpu 3, nmi --\n"
                   "[    3.000000] kernel log: Kernel panic\n"
                   "-- end of the kernel's log --\n"
                   "[    9.000000] kernel log: Rebooting in 1 seconds..\n");
}

/* What only nearly is a stamp of the kernel's is text, behind a stamp of ours. */
static void
test_kernel_log_without_stamps (void)
{
  static const char *const texts[] = {
    "",           "[",          "[    1.000000]",        "[    1.00000] ",      "[    1.0000000] ", "[    .000000] ",
    "[1.000000)", "(1.000000] ", "[111111111111111111111.000000] ", "[    1.00000a] ", "no stamp",
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      DdebugFormat format = { .quiet = TRUE };
      g_autoptr (GString) out = g_string_new (NULL);
      g_autofree char *expected = g_strdup_printf ("[    9.000000] %s\n", texts[i]);

      add_kmsg (&format, out, DDEBUG_KMSG_F_PAST, texts[i]);
      g_assert_cmpstr (out->str, ==, expected);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/format/all 256 bytes", test_all_bytes);
  g_test_add_func ("/format/newlines and tabs", test_lines);
  g_test_add_func ("/format/every character of Unicode, whole and cut", test_all_characters);
  g_test_add_func ("/format/C1, bidirectional and separator characters are escaped", test_controls);
  g_test_add_func ("/format/broken UTF-8 is escaped byte by byte", test_broken_utf8);
  g_test_add_func ("/format/a backslash is escaped only where it would mislead", test_backslash);
  g_test_add_func ("/format/what was there can be told from the output", test_unambiguous);
  g_test_add_func ("/format/stamps are dmesg's", test_stamps);
  g_test_add_func ("/format/no line of a message looks like a notice", test_continuation);
  g_test_add_func ("/format/callsites", test_callsites);
  g_test_add_func ("/format/notices", test_notices);
  g_test_add_func ("/format/a late message is marked", test_late);
  g_test_add_func ("/format/what no checksum covers", test_unchecked);
  g_test_add_func ("/format/every notice", test_all_notices);
  g_test_add_func ("/format/epochs are told apart", test_epochs);
  g_test_add_func ("/format/raw messages", test_raw);
  g_test_add_func ("/format/sizes", test_sizes);
  g_test_add_func ("/format/events", test_all_events);
  g_test_add_func ("/format/kernel-log", test_kernel_log);
  g_test_add_func ("/format/kernel-log-without-stamps", test_kernel_log_without_stamps);
  return g_test_run ();
}
