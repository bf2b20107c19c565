/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The formatter.  Input: flags and indent (1 byte each), the text.  What comes
 * out is safe for a terminal, and tells what went in.
 */
#include "fuzz.h"

#include <string.h>

#include "ddebug-format.h"

/* The rule of the man page: each \xHH is a byte. */
static void
check_reads_back (const GString *out, const guint8 *text, gsize len)
{
  const char *p = out->str;
  gsize n = 0;

  while (p < out->str + out->len)
    {
      int high = p[0] == '\\' && p[1] == 'x' ? g_ascii_xdigit_value (p[2]) : -1;
      int low = high >= 0 ? g_ascii_xdigit_value (p[3]) : -1;

      FUZZ_CHECK (n < len);
      FUZZ_CHECK (text[n++] == (guint8) (low >= 0 ? high << 4 | low : *p));
      p += low >= 0 ? 4 : 1;
    }
  FUZZ_CHECK (n == len);
}

static void
check_words (const guint8 *text, gsize len, DdebugEscape utf8)
{
  g_autoptr (GString) out = g_string_new (NULL);

  ddebug_escape (out, text, len, utf8, 0);
  fuzz_check_safe (out->str, out->len);
  FUZZ_CHECK (!memchr (out->str, '\n', out->len) && !memchr (out->str, '\t', out->len));
  FUZZ_CHECK (out->len <= 4 * len);
  check_reads_back (out, text, len);
}

/* A message is one line and others that begin with blanks, and ends with a newline. */
static void
check_message (const guint8 *text, gsize len, guint64 time, gboolean utf8)
{
  DdebugEpoch epoch = { .number = 1 };
  DdebugFormat format = { .utf8 = utf8 };
  DdebugItem item = { .type = DDEBUG_ITEM_MESSAGE,
                      .epoch = &epoch,
                      .message = { .time = time, .text = text, .len = MIN (len, G_MAXUINT16) } };
  g_autoptr (GString) out = g_string_new (NULL);

  ddebug_format_item (&format, &item, out);
  fuzz_check_safe (out->str, out->len);
  FUZZ_CHECK (out->str[0] == '[' && out->str[out->len - 1] == '\n');
  for (const char *p = out->str; (p = strchr (p, '\n')) && p[1]; p++)
    FUZZ_CHECK (strspn (p + 1, " ") >= strlen ("[    0.000000] "));
  if (!utf8)
    for (gsize i = 0; i < out->len; i++)
      FUZZ_CHECK ((guint8) out->str[i] < 0x80);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree guint8 *text = NULL;
  gsize len;

  if (size < 2)
    return 0;
  len = size - 2;
  text = g_memdup2 (data + 2, len);
  check_words (text, len, data[0] & 1 ? DDEBUG_ESCAPE_UTF8 : 0);
  check_message (text, len, (guint64) data[1] << 4 * (data[0] >> 4), data[0] & 1);
  return 0;
}
