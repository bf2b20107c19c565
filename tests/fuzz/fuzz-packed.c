/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed messages.  Input: lengths of the head and of the format (1 byte each), head,
 * format, and as arguments what is left.
 *
 * A second renderer, written from docs/log-format.md and nothing else, goes over the
 * same bytes: both must make the same text, or none.
 */
#include "fuzz.h"

#include <string.h>

#include "ddebug-render.h"

/* "A text is not longer than 960 bytes before it is cut." */
#define TEXT_MAX 960

typedef struct
{
  const guint8 *args;
  gsize left;
  const char *format;
  gsize format_left;
  gboolean failed;
} Model;

static guint64
model_take (Model *model, guint bytes)
{
  guint64 value;

  if (model->failed || bytes > model->left)
    {
      model->failed = TRUE;
      return 0;
    }
  value = fuzz_le (model->args, bytes);
  model->args += bytes;
  model->left -= bytes;
  return value;
}

/* (transfer full): no bytes where there is no string. */
static GString *
model_string (Model *model)
{
  gsize len = model_take (model, 2);
  GString *text;

  if (model->failed || len > model->left)
    {
      model->failed = TRUE;
      return g_string_new (NULL);
    }
  text = g_string_new_len ((const char *) model->args, len);
  model->args += len;
  model->left -= len;
  return text;
}

static char
peek (const Model *model)
{
  return model->format_left ? *model->format : 0;
}

static char
next (Model *model)
{
  char c = peek (model);

  if (model->format_left == 0)
    model->failed = TRUE;
  else
    {
      model->format++;
      model->format_left--;
    }
  return c;
}

/* Digits or an asterisk: *is_star; -1 for none of both. */
static gint64
model_field (Model *model, gboolean *is_star)
{
  gint64 value = -1;

  *is_star = model->format_left && peek (model) == '*';
  if (*is_star)
    {
      next (model);
      return 0;
    }
  while (model->format_left && g_ascii_isdigit (peek (model)))
    {
      value = 10 * MAX (value, 0) + g_ascii_digit_value (next (model));
      value = MIN (value, 100000);
    }
  return value;
}

static gint64
model_star (Model *model)
{
  gint32 value = (guint32) model_take (model, 4);

  if (value >= -960 && value <= 960)
    return value;
  model->failed = TRUE;
  return 0;
}

static void
model_pad (GString *text, gint64 width, gboolean left)
{
  while ((gint64) text->len < width && text->len <= TEXT_MAX)
    g_string_insert_c (text, left ? -1 : 0, ' ');
}

/* The text of an integer of @bytes bytes, but for blanks around it. */
static void
model_integer (GString *text, const char *flags, guint64 value, guint bytes, char kind, gint64 width, gint64 precision)
{
  g_autoptr (GString) digits = g_string_new (NULL);
  gboolean is_signed = kind == 'd' || kind == 'i', negative;
  guint base = kind == 'o' ? 8 : kind == 'x' || kind == 'X' ? 16 : 10;
  const char *sign = "";

  if (bytes < 8)
    value %= G_GUINT64_CONSTANT (1) << 8 * bytes;
  negative = is_signed && value >> (8 * bytes - 1);
  if (negative)
    value = bytes < 8 ? (G_GUINT64_CONSTANT (1) << 8 * bytes) - value : ~value + 1;
  if (negative)
    sign = "-";
  else if (is_signed && strchr (flags, '+'))
    sign = "+";
  else if (is_signed && strchr (flags, ' '))
    sign = " ";
  else if (strchr (flags, '#') && base == 16)
    sign = kind == 'x' ? "0x" : "0X";
  else if (strchr (flags, '#') && base == 8 && value)
    sign = "0";
  do
    g_string_prepend_c (digits, (kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[value % base]);
  while (value /= base);
  if (strchr (flags, '0') && !strchr (flags, '-'))
    precision = MAX (precision, width - (gint64) strlen (sign));
  while ((gint64) digits->len < precision)
    g_string_prepend_c (digits, '0');
  g_string_append (text, sign);
  g_string_append_len (text, digits->str, digits->len);
}

/* What follows a '%'. */
static void
model_conversion (Model *model, GString *out)
{
  g_autoptr (GString) flags = g_string_new (NULL), text = g_string_new (NULL);
  gboolean star_width, star_precision = FALSE, has_point;
  gint64 width, precision = -1;
  guint bytes = 4;
  char kind;

  while (model->format_left && peek (model) && strchr ("-+ #0", peek (model)))
    g_string_append_c (flags, next (model));
  width = model_field (model, &star_width);
  has_point = peek (model) == '.';
  if (has_point)
    {
      next (model);
      precision = model_field (model, &star_precision);
      model->failed |= precision < 0;
    }
  model->failed |= width > 960 || precision > 960;
  kind = next (model);
  if (kind == 'h')
    {
      bytes = 2;
      kind = next (model);
      if (kind == 'h')
        {
          bytes = 1;
          kind = next (model);
        }
    }
  else if (kind == 'l' || kind == 'L' || kind == 'z' || kind == 't')
    {
      gboolean twice = kind == 'l' && peek (model) == 'l';

      bytes = 8;
      kind = next (model);
      if (twice)
        kind = next (model);
    }
  if (model->failed || !kind || !strchr ("diuoxXcsp%", kind))
    {
      model->failed = TRUE;
      return;
    }
  if (kind == 'p')
    {
      g_autoptr (GString) pointer = NULL;

      while (g_ascii_isalnum (peek (model)))
        next (model);
      model->failed |= (guint8) peek (model) >= 128;
      pointer = model_string (model);
      g_string_append_len (out, pointer->str, pointer->len);
      return;
    }
  if (star_width)
    width = model_star (model);
  if (width < 0 && star_width)
    {
      g_string_append_c (flags, '-');
      width = -width;
    }
  if (star_precision)
    {
      precision = model_star (model);
      precision = MAX (precision, 0);
    }
  if (kind == '%')
    {
      g_string_append_c (out, '%');
      return;
    }
  if (kind == 's')
    {
      g_autoptr (GString) string = model_string (model);

      g_string_append_len (text, string->str, precision >= 0 ? MIN (precision, (gint64) string->len) : (gint64) string->len);
    }
  else if (kind == 'c')
    g_string_append_c (text, model_take (model, 4));
  else
    model_integer (text, flags->str, model_take (model, bytes == 8 ? 8 : 4), bytes, kind, width, precision);
  model_pad (text, width, strchr (flags->str, '-') != NULL);
  g_string_append_len (out, text->str, text->len);
}

/* (transfer full): NULL if there is none. */
static GString *
model_render (Model *model, const guint8 *head, gsize head_len)
{
  GString *out = g_string_new_len ((const char *) head, head_len);

  while (!model->failed && model->format_left && out->len <= TEXT_MAX)
    {
      char c = next (model);

      if (c == '%')
        model_conversion (model, out);
      else
        g_string_append_c (out, c);
    }
  if (model->failed || model->left || out->len > TEXT_MAX)
    {
      g_string_free (out, TRUE);
      return NULL;
    }
  if (out->len && out->str[out->len - 1] == '\n')
    g_string_truncate (out, out->len - 1);
  while (out->len >= 2 && out->str[0] == 1 && out->str[1] && strchr ("01234567c", out->str[1]))
    g_string_erase (out, 0, 2);
  return out;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  guint8 text[DDEBUG_TEXT_MAX];
  g_autoptr (GString) expected = NULL;
  DdebugMessage message = { 0 };
  DdebugCallsite callsite = { 0 };
  Model model;
  int len;

  if (size < 2 || size > G_MAXUINT16 || 2 + (size_t) data[0] + data[1] > size)
    return 0;
  message.text = data + 2;
  message.len = data[0];
  callsite.packed = message.text + message.len;
  callsite.packed_len = data[1];
  message.args = callsite.packed + callsite.packed_len;
  message.args_len = data + size - message.args;
  model = (Model){ .args = message.args, .left = message.args_len, .format = (const char *) callsite.packed,
                   .format_left = callsite.packed_len };
  expected = model_render (&model, message.text, message.len);
  len = ddebug_render_packed (&message, &callsite, text);
  FUZZ_CHECK (len <= TEXT_MAX && len >= -1);
  FUZZ_CHECK ((len >= 0) == (expected != NULL));
  FUZZ_CHECK (!expected || ((gsize) len == expected->len && memcmp (text, expected->str, len) == 0));
  return 0;
}
