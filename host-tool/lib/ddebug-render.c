/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Render packed records as text.
 *
 * Bounds: arguments are read at at only after checking what is left before end, and text is written at
 * out only after checking what is left before limit.  If there is not enough, bad is set, the argument
 * reads as zero, nothing is written, and the rest of the format is ignored.
 *
 * Widths and precisions are at most DDEBUG_PACKED_TEXT_MAX, so that sums of a few of them cannot
 * overflow and loops over them are short.
 */
#include "ddebug-render.h"

#include <string.h>

#include "ddebug_packed.h"

/* Octal digits of 64 bits. */
#define DIGITS_MAX 22

typedef struct
{
  const guint8 *at;
  const guint8 *end;
  guint8 *out;
  const guint8 *limit;
  gboolean bad;
} Render;

/* Take @size bytes of the arguments; NULL if there are fewer. */
static const guint8 *
take (Render *r, gsize size)
{
  const guint8 *p = r->at;

  if (size > (gsize) (r->end - p))
    {
      r->bad = TRUE;
      return NULL;
    }
  r->at += size;
  return p;
}

/* Take a little-endian number of @size bytes; 0 if there are fewer. */
static guint64
take_number (Render *r, gsize size)
{
  const guint8 *p = take (r, size);
  guint64 value = 0;

  if (p)
    memcpy (&value, p, size);
  return GUINT64_FROM_LE (value);
}

static void
put (Render *r, const guint8 *text, gsize len)
{
  if (len > (gsize) (r->limit - r->out))
    {
      r->bad = TRUE;
      return;
    }
  memcpy (r->out, text, len);
  r->out += len;
}

/* Put @c @count times; nothing if that is negative. */
static void
fill (Render *r, guint8 c, int count)
{
  if (count <= 0)
    return;
  if (count > r->limit - r->out)
    {
      r->bad = TRUE;
      return;
    }
  memset (r->out, c, count);
  r->out += count;
}

/* The value of a width or precision; for an asterisk, take it from the arguments. */
static int
take_field (Render *r, int field)
{
  gint32 value;

  if (field != DDEBUG_CONV_ASTERISK)
    return field;
  value = (guint32) take_number (r, 4);
  if (value > DDEBUG_PACKED_TEXT_MAX || value < -DDEBUG_PACKED_TEXT_MAX)
    {
      r->bad = TRUE;
      return 0;
    }
  return value;
}

/* Replace the asterisks of @conv by their values. */
static void
take_fields (Render *r, struct ddebug_conv *conv)
{
  gboolean is_argument = conv->precision == DDEBUG_CONV_ASTERISK;
  int value;

  if (conv->width == DDEBUG_CONV_ASTERISK)
    {
      value = take_field (r, conv->width);
      if (value < 0)
        conv->flags |= DDEBUG_CONV_LEFT;
      conv->width = ABS (value);
    }
  value = take_field (r, conv->precision);
  conv->precision = is_argument ? MAX (value, 0) : value;
}

static void
put_padded (Render *r, const struct ddebug_conv *conv, const guint8 *text, int len)
{
  gboolean left = (conv->flags & DDEBUG_CONV_LEFT) != 0;

  if (!left)
    fill (r, ' ', conv->width - len);
  put (r, text, len);
  if (left)
    fill (r, ' ', conv->width - len);
}

/* Take a string; return its length, 0 and NULL in *text if it is not complete. */
static int
take_string (Render *r, const guint8 **text)
{
  gsize len = take_number (r, 2);

  *text = take (r, len);
  return *text ? len : 0;
}

static void
put_string (Render *r, const struct ddebug_conv *conv)
{
  const guint8 *text;
  int len = take_string (r, &text);

  if (!text)
    return;
  if (conv->precision >= 0)
    len = MIN (len, conv->precision);
  put_padded (r, conv, text, len);
}

/* Store the digits at the end of @digits; return their number. */
static int
make_digits (guint8 digits[DIGITS_MAX], guint64 value, guint base, gboolean upper)
{
  const char *figures = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  int n = 0;

  if (base == 10)
    do
      digits[DIGITS_MAX - ++n] = '0' + value % 10;
    while (value /= 10);
  else
    do
      digits[DIGITS_MAX - ++n] = figures[value % base];
    while (value /= base);
  return n;
}

/* The prefix of the digits: a sign or that of a base; its length in *len. */
static const char *
sign_of (const struct ddebug_conv *conv, gboolean negative, gboolean zero, int *len)
{
  const char *sign = "";

  if (conv->flags & DDEBUG_CONV_SIGNED)
    {
      if (negative)
        sign = "-";
      else if (conv->flags & DDEBUG_CONV_PLUS)
        sign = "+";
      else if (conv->flags & DDEBUG_CONV_SPACE)
        sign = " ";
    }
  else if (conv->flags & DDEBUG_CONV_PREFIX)
    {
      if (conv->base == 16)
        sign = conv->flags & DDEBUG_CONV_UPPER ? "0X" : "0x";
      else if (conv->base == 8 && !zero)
        sign = "0";
    }
  *len = strlen (sign);
  return sign;
}

/* Truncate @value to @size bytes and extend it again, with or without its sign. */
static guint64
narrow (guint64 value, guint size, gboolean is_signed)
{
  guint shift = 64 - 8 * size;

  value <<= shift;
  return is_signed ? (guint64) ((gint64) value >> shift) : value >> shift;
}

static void
put_integer (Render *r, const struct ddebug_conv *conv, guint64 value)
{
  gboolean left = (conv->flags & DDEBUG_CONV_LEFT) != 0;
  gboolean zeros = (conv->flags & DDEBUG_CONV_ZEROS) != 0 && !left;
  gboolean negative;
  guint8 digits[DIGITS_MAX];
  int count, precision, sign_len, pad;
  const char *sign;

  value = narrow (value, conv->size, (conv->flags & DDEBUG_CONV_SIGNED) != 0);
  negative = (conv->flags & DDEBUG_CONV_SIGNED) && value >> 63;
  sign = sign_of (conv, negative, value == 0, &sign_len);
  count = make_digits (digits, negative ? -value : value, conv->base, (conv->flags & DDEBUG_CONV_UPPER) != 0);
  precision = MAX (conv->precision, count);
  pad = conv->width - sign_len - precision;
  if (!left && !zeros)
    fill (r, ' ', pad);
  put (r, (const guint8 *) sign, sign_len);
  if (zeros)
    fill (r, '0', pad);
  fill (r, '0', precision - count);
  put (r, digits + DIGITS_MAX - count, count);
  if (left)
    fill (r, ' ', pad);
}

static void
put_conversion (Render *r, struct ddebug_conv *conv)
{
  const guint8 *text;
  guint64 value;
  guint8 byte;

  if (conv->arg == DDEBUG_ARG_POINTER)
    {
      int len = take_string (r, &text);

      if (text)
        put (r, text, len);
      return;
    }
  take_fields (r, conv);
  switch (conv->arg)
    {
    case DDEBUG_ARG_NONE:
      put (r, (const guint8 *) "%", 1);
      break;
    case DDEBUG_ARG_STRING:
      put_string (r, conv);
      break;
    default:
      value = take_number (r, conv->arg == DDEBUG_ARG_LONG ? 8 : 4);
      byte = value;
      if (conv->base == 0)
        put_padded (r, conv, &byte, 1);
      else
        put_integer (r, conv, value);
      break;
    }
}

static void
put_format (Render *r, const char *format, gsize len)
{
  struct ddebug_conv conv;

  while (len > 0 && !r->bad)
    {
      const char *mark = memchr (format, '%', len);
      gsize n = mark ? (gsize) (mark - format) : len;

      put (r, (const guint8 *) format, n);
      format += n;
      len -= n;
      if (len == 0)
        break;
      n = ddebug_conv_parse (format, len, &conv);
      if (n == 0)
        r->bad = TRUE;
      else
        put_conversion (r, &conv);
      format += n;
      len -= n;
    }
}

/* Bytes of the log levels at the start of a line, two bytes each: KERN_SOH and the level. */
static gsize
levels (const guint8 *text, gsize len)
{
  gsize n = 0;

  while (len - n >= 2 && text[n] == 1 && ((text[n + 1] >= '0' && text[n + 1] <= '7') || text[n + 1] == 'c'))
    n += 2;
  return n;
}

int
ddebug_render_packed (const DdebugMessage *message, const DdebugCallsite *callsite, guint8 *text)
{
  Render r = {
    .at = message->args,
    .end = message->args + message->args_len,
    .out = text,
    .limit = text + DDEBUG_PACKED_TEXT_MAX,
  };
  gsize len, skip;

  G_STATIC_ASSERT (DDEBUG_PACKED_TEXT_MAX <= DDEBUG_TEXT_MAX);
  put (&r, message->text, message->len);
  put_format (&r, (const char *) callsite->packed, callsite->packed_len);
  if (r.bad || r.at != r.end)
    return -1;
  len = r.out - text;
  if (len > 0 && text[len - 1] == '\n')
    len--;
  skip = levels (text, len);
  memmove (text, text + skip, len - skip);
  return len - skip;
}
