/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

void
fuzz_fail (const char *file, int line, const char *condition)
{
  fprintf (stderr, "%s:%d: does not hold: %s\n", file, line, condition);
  abort ();
}

guint64
fuzz_le (const guint8 *p, guint bytes)
{
  guint64 value = 0;

  while (bytes--)
    value = value << 8 | p[bytes];
  return value;
}

/* Characters that are UTF-8, and neither visible nor harmless. */
static gboolean
is_hidden (gunichar c)
{
  return (c >= 0x80 && c < 0xa0) || c == 0xad || c == 0x034f || c == 0x061c || c == 0x115f || c == 0x1160
         || c == 0x17b4 || c == 0x17b5 || (c >= 0x180b && c <= 0x180f) || (c >= 0x200b && c <= 0x200f)
         || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0x3164
         || (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff || c == 0xffa0 || (c >= 0xfff0 && c <= 0xfffb)
         || (c >= 0xe0000 && c <= 0xe0fff);
}

void
fuzz_check_safe (const char *text, gsize len)
{
  const char *end = text + len;

  FUZZ_CHECK (g_utf8_validate_len (text, len, NULL));
  for (; text < end; text = g_utf8_next_char (text))
    {
      gunichar c = g_utf8_get_char (text);

      FUZZ_CHECK ((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t');
      FUZZ_CHECK (!is_hidden (c));
    }
}
