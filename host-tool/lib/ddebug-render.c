/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounds.  Arguments are taken from at, after a look at how much is left before
 * end; text is put to out, after a look at how much is left before limit.  Who
 * wants more than there is sets bad, gets zeros, puts nothing, and the rest of the
 * format is left alone.
 *
 * Widths and precisions are at most DDEBUG_PACKED_TEXT_MAX, so that no sum of a few
 * of them overflows, and none of them makes a loop long.
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

/* @size bytes of the arguments; NULL: they are not there. */
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

/* A little-endian number of @size bytes; 0 where it is not there. */
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

/* @count of @c; none if it is negative. */
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

/* The number of a width or a precision; that of an asterisk is an argument. */
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

/* The asterisks of @conv become what they stand for. */
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

/* The length of a string, which is at *text; 0 where there is none. */
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

/* Into the end of @digits; returns how many. */
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

/* What stands before the digits: a sign, or the mark of a base; its length is in *len. */
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

/* @value as C takes it that has @size bytes, and a sign or none. */
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

/* Bytes of levels, a byte 1 and another one each, that a line begins with. */
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
