/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A packed record becomes the text that the kernel would have made, and no bytes of a guest make it anything else. */
#include <stdarg.h>
#include <string.h>

#include "canned.h"
#include "ddebug-format.h"
#include "ddebug-render.h"
#include "ddebug_packed.h"

/* ---- arguments, as a guest packs them ---- */

static void
add (GByteArray *out, guint64 value, guint size)
{
  value = GUINT64_TO_LE (value);
  g_byte_array_append (out, (void *) &value, size);
}

static void
add_string (GByteArray *out, const char *text, gsize len)
{
  add (out, len, 2);
  g_byte_array_append (out, (const void *) text, len);
}

/*
 * By a layout of its own: i: 4 bytes, l: 8 bytes, s: a string, in the order of the
 * arguments.
 */
static GByteArray *
pack (const char *layout, va_list args)
{
  GByteArray *out = g_byte_array_new ();

  for (; *layout; layout++)
    if (*layout == 'i')
      add (out, va_arg (args, int), 4);
    else if (*layout == 'l')
      add (out, va_arg (args, gint64), 8);
    else
      {
        const char *text = va_arg (args, const char *);

        add_string (out, text, strlen (text));
      }
  return out;
}

/* Both in allocations of their own size, so that the sanitizer sees a byte too far. */
static int
render (const char *head, const void *format, gsize format_len, const void *args, gsize args_len, guint8 *text)
{
  g_autofree guint8 *own_args = g_malloc (args_len + 1), *own_format = g_memdup2 (format, format_len);
  g_autofree guint8 *out = g_malloc (DDEBUG_TEXT_MAX);
  guint8 *place = g_malloc (args_len ? args_len : 1);
  DdebugMessage message = { .text = (const guint8 *) head, .len = strlen (head), .args = place, .args_len = args_len };
  DdebugCallsite callsite = { .packed = own_format, .packed_len = format_len };
  int len;

  if (args_len)
    memcpy (place, args, args_len);
  len = ddebug_render_packed (&message, &callsite, out);
  if (len > 0)
    memcpy (text, out, len);
  g_free (place);
  return len;
}

static void
check (const char *expected, const char *format, const char *layout, ...)
{
  g_autoptr (GByteArray) args = NULL;
  guint8 text[DDEBUG_TEXT_MAX];
  va_list list;
  int len;

  va_start (list, layout);
  args = pack (layout, list);
  va_end (list);
  len = render ("", format, strlen (format), args->data, args->len, text);
  if (len < 0)
    g_error ("%s is not rendered", format);
  if ((gsize) len != strlen (expected) || memcmp (text, expected, len))
    g_error ("%s makes \"%.*s\", not \"%s\"", format, len, text, expected);
}

/* ---- what conversions make ---- */

static void
test_integers (void)
{
  check ("urb 1 len 2 status -3", "urb %d len %d status %d\n", "iii", 1, 2, -3);
  check ("-1 4294967295 37777777777 ffffffff FFFFFFFF -1", "%d %u %o %x %X %i", "iiiiii", -1, -1, -1, -1, -1, -1);
  check ("0|0|0|0", "%d|%u|%o|%x", "iiii", 0, 0, 0, 0);
  /* sizes */
  check ("-1 255 ff", "%hhd %hhu %hhx", "iii", 0x1ff, 0x1ff, 0x1ff);
  check ("-1 65535 ffff 127", "%hd %hu %hx %hhd", "iiii", 0x1ffff, 0x1ffff, 0x1ffff, 0x17f);
  check ("-9223372036854775808 9223372036854775808", "%lld %llu", "ll", G_MININT64, G_MININT64);
  check ("-5 18446744073709551611 -5 -5 -5", "%ld %lu %zd %td %Ld", "lllll", (gint64) -5, (gint64) -5, (gint64) -5,
         (gint64) -5, (gint64) -5);
  check ("1777777777777777777777", "%llo", "l", (gint64) -1);
  check ("123456789abcdef0 1234567890123456789", "%zx %tu", "ll", (gint64) 0x123456789abcdef0,
         (gint64) 1234567890123456789);
  /* signs and prefixes */
  check ("+5| 5|+5|-5|-5|5|5", "%+d|% d|%+ d|%+d|% d|%+u|% x", "iiiiiii", 5, 5, 5, -5, -5, 5, 5);
  check ("0x0|0X0|0|0x1f|0X1F|037|5", "%#x|%#X|%#o|%#x|%#X|%#o|%#d", "iiiiiii", 0, 0, 0, 31, 31, 31, 5);
  /* widths and precisions */
  check ("    5|5    |00005|5    |-0005|   -5", "%5d|%-5d|%05d|%-05d|%05d|%5d", "iiiiii", 5, 5, 5, 5, -5, -5);
  check ("  0x1f|0x001f|0x1f  |  0037", "%#6x|%#06x|%#-6x|%6.4o", "iiii", 31, 31, 31, 31);
  check ("0|0|00|005|0x005|-005", "%.0d|%.1d|%.2d|%.3d|%#.3x|%.3d", "iiiiii", 0, 0, 0, 5, 5, -5);
  check ("  005|000005|005   |  +05", "%5.3d|%06.3d|%-6.3d|%+5.2d", "iiii", 5, 5, 5, 5);
  check ("12345|12345", "%3d|%.3d", "ii", 12345, 12345);
  /* asterisks */
  check ("    5|5    |  005|  005", "%*d|%*d|%*.*d|%*.3d", "iiiiiiiii", 5, 5, -5, 5, 5, 3, 5, 5, 5);
  check ("5|5|00005", "%.*d|%.*d|%0*d", "iiiiii", -1, 5, -960, 5, 5, 5);
}

static void
test_texts (void)
{
  check ("a static message", "a static message\n", "");
  check ("", "", "");
  check ("name abc, x", "name %s, %c", "si", "abc", 'x');
  check ("  abc|abc  |abc|ab|   ab|ab   |||   |", "%5s|%-5s|%2s|%.2s|%5.2s|%-5.2s|%.0s|%s|%3s|", "sssssssss", "abc", "abc",
         "abc", "abc", "abc", "abc", "abc", "", "");
  check ("  abc|abc  |ab|", "%*s|%*s|%.*s|%.*s", "isisisis", 5, "abc", -5, "abc", 2, "abc", -2, "abc");
  check ("  abc|abc", "%05s|%#s", "ss", "abc", "abc");
  check ("    x|x    |x|x", "%5c|%-5c|%c|%hhc", "iiii", 'x', 'x', 0x178, 'x');
  check ("    x|x", "%*c|%.*c", "iiii", 5, 'x', 3, 'x');
  check ("wide abc x", "wide %ls %lc", "si", "abc", 'x');
  check ("100%|%|%|7", "100%%|%5%|%*.*%|%d", "iii", 3, 4, 7);
  /* the guest has made these, with all that stands in the conversion */
  check ("02:00:5e|  (____ptrval____)|00 01-|8", "%pM|%*p|%*.*phN-|%d", "sssi", "02:00:5e", "  (____ptrval____)", "00 01",
         8);
  check ("deviced next", "%pd next", "s", "deviced");
  check ("\xc3\xa4 \xff", "\xc3\xa4 %s", "s", "\xff");
}

/* As printk() leaves a line: without one newline at the end, and without levels at the begin. */
static void
test_lines (void)
{
  static const char zeros[] = { 'a', 0, 'b', '|', 0 };
  guint8 args[6] = { 1, 0, 0 }, text[DDEBUG_TEXT_MAX];

  check ("a\nb\n", "a\nb\n\n", "");
  check ("", "\n", "");
  check ("text", "\0016text\n", "");
  check ("text", "\0016\001ctext", "");
  check ("\0018text", "\0018text", "");
  check ("\001", "\001", "");
  check ("", "%c%c", "ii", 1, '4');
  check ("x\0014", "x%c%c", "ii", 1, '4');
  check ("4", "%s4", "s", "\0013");
  check ("\001", "%c\n", "i", 1);
  /* bytes of any value */
  args[0] = 3;
  memcpy (args + 2, zeros, 3);
  g_assert_cmpint (render ("", "%s|%c", 5, args, 5, text), ==, -1);
  g_assert_cmpint (render ("", "%s", 2, args, 5, text), ==, 3);
  g_assert_cmpmem (text, 3, zeros, 3);
  /* what stands before counts as the line's begin */
  g_assert_cmpint (render ("xhci 0000:00: ", "\0016%c\n", 5, "a\0\0\0", 4, text), ==, 17);
  g_assert_cmpmem (text, 17, "xhci 0000:00: \0016a", 17);
  g_assert_cmpint (render ("\0017[12] ", "x", 1, "", 0, text), ==, 6);
  g_assert_cmpmem (text, 6, "[12] x", 6);
}

/* Against another implementation, where it means the same. */
static void
test_random_integers (void)
{
  static const char *const kinds[] = { "d", "u", "o", "x", "X", "lld", "llu", "llo", "llx", "llX", "hd", "hhu", "hx", "zd", "tx" };
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);

  for (guint round = 0; round < 200000; round++)
    {
      const char *kind = kinds[g_rand_int_range (rand, 0, G_N_ELEMENTS (kinds))];
      gboolean wide = *kind == 'l' || *kind == 'z' || *kind == 't';
      guint64 value = ((guint64) g_rand_int (rand) << 32 | g_rand_int (rand)) >> g_rand_int_range (rand, 0, 64);
      int precision = g_rand_int_range (rand, -1, 26);
      gboolean is_hex = strchr (kind, 'x') || strchr (kind, 'X'), is_octal = strchr (kind, 'o') != NULL;
      g_autoptr (GString) format = g_string_new ("%");
      g_autoptr (GByteArray) args = g_byte_array_new ();
      guint8 text[DDEBUG_TEXT_MAX];
      char expected[128];
      int len;

      if (g_rand_boolean (rand))
        value = -value;
      for (const char *flag = "-+ 0#"; *flag; flag++)
        if (g_rand_int_range (rand, 0, 4) == 0
            /* C takes a precision for the end of zeros, 0 for no number of hex, and octal zeros for digits */
            && !(*flag == '0' && precision >= 0) && !(*flag == '#' && ((is_hex && value << 32 == 0) || is_octal || *kind == 'h')))
          g_string_append_c (format, *flag);
      if (g_rand_boolean (rand))
        g_string_append_printf (format, "%d", g_rand_int_range (rand, 1, 30));
      /* of 0 C makes no digit with it */
      if (precision > 0)
        g_string_append_printf (format, ".%d", precision);
      g_string_append (format, kind);
      add (args, value, wide ? 8 : 4);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
      if (wide)
        g_snprintf (expected, sizeof expected, format->str, value);
      else
        g_snprintf (expected, sizeof expected, format->str, (int) value);
#pragma GCC diagnostic pop
      len = render ("", format->str, format->len, args->data, args->len, text);
      if (len < 0 || (gsize) len != strlen (expected) || memcmp (text, expected, len))
        g_error ("%s of %" G_GINT64_MODIFIER "x makes \"%.*s\", not \"%s\"", format->str, value, len, text, expected);
    }
}

/* ---- what is not a packed record ---- */

static void
refuse (const char *format, const char *layout, ...)
{
  g_autoptr (GByteArray) args = NULL;
  guint8 text[DDEBUG_TEXT_MAX];
  va_list list;

  va_start (list, layout);
  args = pack (layout, list);
  va_end (list);
  if (render ("", format, strlen (format), args->data, args->len, text) != -1)
    g_error ("%s is rendered", format);
}

static void
test_refused (void)
{
  /* formats */
  refuse ("%", "");
  refuse ("a %d %", "i", 1);
  refuse ("%5", "i", 1);
  refuse ("%.5", "i", 1);
  refuse ("%ll", "l", (gint64) 1);
  refuse ("%h", "i", 1);
  refuse ("%-", "i", 1);
  refuse ("%*", "i", 1);
  refuse ("%n", "l", (gint64) 1);
  refuse ("%f", "l", (gint64) 1);
  refuse ("%.d", "i", 1);
  refuse ("%.-5d", "i", 1);
  refuse ("%5-d", "i", 1);
  refuse ("%llld", "l", (gint64) 1);
  refuse ("%lhd", "i", 1);
  refuse ("%LLd", "l", (gint64) 1);
  refuse ("%zzd", "l", (gint64) 1);
  refuse ("%hhhd", "i", 1);
  refuse ("%qd", "l", (gint64) 1);
  refuse ("%1$d", "i", 1);
  refuse ("%961d", "i", 1);
  refuse ("%.961d", "i", 1);
  refuse ("%99999999999999999999d", "i", 1);
  refuse ("%4294967297d", "i", 1);
  refuse ("%p\xe4", "s", "text");
  /* arguments */
  refuse ("%d", "");
  refuse ("%d %d", "i", 1);
  refuse ("%d", "ii", 1, 2);
  refuse ("text", "i", 1);
  refuse ("%lld", "i", 1);
  refuse ("%d", "l", (gint64) 1);
  refuse ("%s", "");
  refuse ("%s", "i", 100);
  refuse ("%s%s", "s", "one");
  refuse ("%pM", "");
  refuse ("%pM", "i", 3);
  refuse ("%*d", "i", 1);
  refuse ("%*d", "ii", 961, 1);
  refuse ("%*d", "ii", -961, 1);
  refuse ("%*d", "ii", G_MININT, 1);
  refuse ("%.*d", "ii", 961, 1);
  refuse ("%.*d", "ii", G_MININT, 1);
  refuse ("%c", "");
  refuse ("%*c", "i", 5);
  refuse ("%*%", "");
  /* lengths */
  refuse ("%960d|", "i", 1);
  refuse ("%-960d|", "i", 1);
  refuse ("|%0960d", "i", 1);
  refuse ("|%.960d", "i", 1);
  refuse ("|%960s", "s", "");
  refuse ("%960c%c", "ii", 'a', 'b');
}

/* A string that is longer than the rest of the record, by up to all that 16 bits say. */
static void
test_short_strings (void)
{
  guint8 args[] = { 0, 0, 'a', 'b', 'c' }, text[DDEBUG_TEXT_MAX];

  for (guint len = 0; len <= G_MAXUINT16; len++)
    {
      args[0] = len & 0xff;
      args[1] = len >> 8;
      g_assert_cmpint (render ("", "%s", 2, args, sizeof args, text), ==, len == 3 ? 3 : -1);
      g_assert_cmpint (render ("", "%p", 2, args, sizeof args, text), ==, len == 3 ? 3 : -1);
    }
  g_assert_cmpint (render ("", "%s", 2, args, 1, text), ==, -1);
}

static void
test_longest (void)
{
  g_autofree char *head = g_strnfill (DDEBUG_PACKED_TEXT_MAX, 'h');
  guint8 text[DDEBUG_TEXT_MAX];

  g_assert_cmpint (render (head, "", 0, "", 0, text), ==, DDEBUG_PACKED_TEXT_MAX);
  g_assert_cmpint (render (head, "x", 1, "", 0, text), ==, -1);
  g_assert_cmpint (render (head + 1, "%c", 2, "x\0\0\0", 4, text), ==, DDEBUG_PACKED_TEXT_MAX);
  g_assert_cmpint (render ("", "%960c", 5, "x\0\0\0", 4, text), ==, DDEBUG_PACKED_TEXT_MAX);
}

/* Formats and arguments that have nothing to do with each other, mostly of what formats are made of. */
static void
test_random (void)
{
  static const char alphabet[] = "%%%%%%%%dsxcp*.0123456789-+ #hlzLtuoXiMn\xe4\n\001a";
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  guint good = 0;

  for (guint round = 0; round < 300000; round++)
    {
      guint8 format[24], args[40], text[DDEBUG_TEXT_MAX];
      gsize format_len = g_rand_int_range (rand, 0, sizeof format + 1), args_len = g_rand_int_range (rand, 0, sizeof args + 1);
      int len;

      for (gsize i = 0; i < format_len; i++)
        format[i] = alphabet[g_rand_int_range (rand, 0, sizeof alphabet - 1)];
      for (gsize i = 0; i < args_len; i++)
        args[i] = g_rand_int_range (rand, 0, 4) ? 0 : g_rand_int (rand);
      len = render ("", format, format_len, args, args_len, text);
      g_assert_cmpint (len, <=, DDEBUG_PACKED_TEXT_MAX);
      g_assert_cmpint (len, >=, -1);
      good += len >= 0;
    }
  g_assert_cmpuint (good, >, 1000);
}

/* ---- in a line ---- */

static void
assert_line (DdebugFormat *format, DdebugItem *item, const char *expected)
{
  g_autoptr (GString) out = g_string_new (NULL);

  ddebug_format_item (format, item, out);
  g_assert_cmpstr (out->str, ==, expected);
}

/* By the dictionary: with a packed format of its own or without; what cannot be read is said. */
static void
test_shown (void)
{
  DdebugDict *dict = ddebug_dict_new (NULL);
  DdebugFormat plain = { 0 }, with_callsite = { .callsite = TRUE };
  guint8 args[4] = { 42, 0, 0, 0 };
  DdebugItem item = { .type = DDEBUG_ITEM_MESSAGE,
                      .epoch = ddebug_dict_epoch (dict, 1),
                      .message = { .callsite = 1, .text = args, .args = args, .args_len = 4 } };

  for (guint own = 0; own < 2; own++)
    {
      struct ddebug_callsite site = { .len = GUINT32_TO_LE (sizeof site + 16), .id = GUINT32_TO_LE (own + 1),
                                      .line = GUINT32_TO_LE (7), .module_len = GUINT16_TO_LE (1),
                                      .function_len = GUINT16_TO_LE (1), .format_len = GUINT16_TO_LE (5),
                                      .packed_len = GUINT16_TO_LE (own ? 8 : 0) };
      guint8 entry[sizeof site + 16] = { 0 };
      DdebugChunk chunk = { .epoch = 1, .len = sizeof entry, .payload = entry };

      memcpy (entry, &site, sizeof site);
      memcpy (entry + sizeof site, "mfis %d" "mod: %x\n", 15);
      g_assert_true (ddebug_dict_add (dict, &chunk));
    }
  assert_line (&plain, &item, "[    0.000000] is 42\n");
  assert_line (&with_callsite, &item, "[    0.000000] m:f:7: is 42\n");
  item.message.callsite = 2;
  assert_line (&plain, &item, "[    0.000000] mod: 2a\n");
  item.message.args_len = 3;
  assert_line (&plain, &item,
               "[    0.000000] (unreadable: 3 argument bytes that do not match the format of callsite 2)\n");
  item.message.callsite = 3;
  item.message.text = (const guint8 *) "usb \033";
  item.message.len = 5;
  assert_line (&plain, &item,
               "[    0.000000] usb \\x1b(unreadable: 3 argument bytes of callsite 3, which is not in the log)\n");
  assert_line (&with_callsite, &item, "[    0.000000] ?:?:?: usb \\x1b(unreadable: 3 argument bytes of callsite 3, "
                                      "which is not in the log)\n");
  ddebug_dict_free (dict);
}

#ifdef COUNTS_ALLOCATIONS
static void
test_no_allocation (void)
{
  guint8 args[12] = { 1, 0, 0, 0, 2, 0, 0, 0, 3 }, text[DDEBUG_TEXT_MAX];
  DdebugMessage message = { .text = args, .args = args, .args_len = sizeof args };
  DdebugCallsite callsite = { .packed = (const guint8 *) "urb %d len %5d status %#x\n", .packed_len = 26 };
  guint64 before = allocations ();

  g_assert_cmpint (ddebug_render_packed (&message, &callsite, text), ==, 26);
  g_assert_cmpuint (allocations (), ==, before);
}
#endif

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/packed/integers", test_integers);
  g_test_add_func ("/packed/strings, characters, pointers", test_texts);
  g_test_add_func ("/packed/newlines and levels", test_lines);
  g_test_add_func ("/packed/random integers are as printf() has them", test_random_integers);
  g_test_add_func ("/packed/what does not fit is refused", test_refused);
  g_test_add_func ("/packed/strings end within their record", test_short_strings);
  g_test_add_func ("/packed/the longest text", test_longest);
  g_test_add_func ("/packed/random formats and arguments stay within bounds", test_random);
  g_test_add_func ("/packed/lines of messages", test_shown);
#ifdef COUNTS_ALLOCATIONS
  g_test_add_func ("/packed/nothing is allocated", test_no_allocation);
#endif
  return g_test_run ();
}
