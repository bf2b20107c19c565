/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records.  Input: subbuf_shift (1 byte), what the span's position is above the
 * begin of its sub-buffer, in units of eight (2 bytes), the payload.
 *
 * A second decoder, written from docs/log-format.md and nothing else, goes over
 * the same bytes: both must say the same, message by message.
 */
#include "fuzz.h"

#include "ddebug-codec.h"

typedef struct
{
  const guint8 *payload;
  gsize at;                 /* from the begin of the payload */
  gsize end;
  guint64 time;             /* of a TIME record that is the record before */
  gboolean timed;
  guint unknown;
  guint64 nostream, missed; /* the highest of LOSS records */
  gboolean damaged;
} Model;

/* "Records": where the first record is, and whether the span can be one at all. */
static void
model_begin (Model *model, const guint8 *payload, gsize size, guint shift, guint64 pos)
{
  guint64 subbuf, above, bytes;

  *model = (Model){ .payload = payload, .damaged = TRUE };
  if (shift < 12 || shift > 16 || pos % 8 || size < 32)
    return;
  subbuf = pos - pos % (1ull << shift);
  above = pos - subbuf;
  bytes = above ? size - 32 : size;
  if (bytes % 8 || above + bytes > 1ull << shift || fuzz_le (payload, 8) != subbuf)
    return;
  model->at = 32;
  model->end = size;
  model->damaged = FALSE;
}

static gboolean
model_is_damage (const Model *model, guint type, guint len, guint64 step)
{
  static const guint8 least[] = { 8, 8, 16, 16, 12, 16, 24 };

  return type == 0 || len < (type < G_N_ELEMENTS (least) ? least[type] : 8) || step == 0 || step % 8
         || step > model->end - model->at;
}

/* A packed record of @len bytes; FALSE if its head does not fit it. */
static gboolean
model_packed (const guint8 *p, guint len, DdebugMessage *m)
{
  guint id = fuzz_le (p + 8, 2), head = 0, begin = 12;

  m->callsite = id;
  m->pid = fuzz_le (p + 10, 2);
  if (id == 0)
    {
      begin = 20;
      if (len < begin)
        return FALSE;
      head = fuzz_le (p + 10, 2);
      m->callsite = fuzz_le (p + 12, 4);
      m->pid = fuzz_le (p + 16, 4);
    }
  if (head > len - begin)
    return FALSE;
  m->text = p + begin;
  m->len = head;
  m->args = m->text + head;
  m->args_len = len - begin - head;
  return TRUE;
}

/* The next message, or FALSE. */
static gboolean
model_next (Model *model, DdebugMessage *m)
{
  while (!model->damaged && model->at < model->end)
    {
      const guint8 *p = model->payload + model->at;
      guint type = fuzz_le (p, 2) >> 12, len = fuzz_le (p, 2) % 4096;
      guint64 step = type == 1 ? fuzz_le (p + 4, 4) : (len + 7u) / 8 * 8;
      guint64 first = fuzz_le (model->payload + 8, 8), number = first;
      guint64 from = model->timed ? model->time : fuzz_le (model->payload + 16, 8);

      if (model_is_damage (model, type, len, step))
        {
          model->damaged = TRUE;
          return FALSE;
        }
      model->at += step;
      model->timed = type == 2;
      if (type == 2)
        model->time = fuzz_le (p + 8, 8);
      if (type == 6)
        {
          model->nostream = MAX (model->nostream, fuzz_le (p + 8, 8));
          model->missed = MAX (model->missed, fuzz_le (p + 16, 8));
        }
      if (type > 6)
        model->unknown++;
      if (type < 3 || type > 5)
        continue;
      /* The only x in [first, first + 65536) with these low bits. */
      number = (first & ~0xffffull) + fuzz_le (p + 2, 2);
      if (number < first)
        number += 65536;
      if (type == 4)
        {
          *m = (DdebugMessage){ .time = from + fuzz_le (p + 4, 4), .number = number };
          model->damaged = !model_packed (p, len, m);
          return !model->damaged;
        }
      *m = (DdebugMessage){ .time = from + fuzz_le (p + 4, 4), .number = number, .is_kmsg = type == 5,
                            .callsite = type == 3 ? fuzz_le (p + 8, 4) : 0,
                            .kmsg = type == 5 ? fuzz_le (p + 8, 4) : 0,
                            .pid = fuzz_le (p + 12, 4), .text = p + 16, .len = len - 16 };
      return TRUE;
    }
  return FALSE;
}

static void
check_same (const DdebugMessage *a, const DdebugMessage *b)
{
  FUZZ_CHECK (a->time == b->time);
  FUZZ_CHECK (a->number == b->number);
  FUZZ_CHECK (a->callsite == b->callsite);
  FUZZ_CHECK (a->is_kmsg == b->is_kmsg && a->kmsg == b->kmsg);
  FUZZ_CHECK (a->pid == b->pid);
  FUZZ_CHECK (a->text == b->text);
  FUZZ_CHECK (a->len == b->len);
  FUZZ_CHECK (a->args == b->args);
  FUZZ_CHECK (a->args_len == b->args_len);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  DdebugChunk chunk = { .type = DDEBUG_LOG_CHUNK_DATA };
  DdebugMessage got, expected;
  volatile guint8 last;
  DdebugSpan span;
  Model model;

  if (size < 3)
    return 0;
  chunk.subbuf_shift = data[0];
  chunk.len = size - 3;
  chunk.payload = chunk.len ? data + 3 : NULL;
  /* The header in the payload is the guest's, the position the device's: mostly they fit. */
  chunk.pos = 8 * fuzz_le (data + 1, 2);
  if (chunk.len >= 8)
    chunk.pos += fuzz_le (chunk.payload, 8);
  model_begin (&model, chunk.payload, chunk.len, chunk.subbuf_shift, chunk.pos);
  ddebug_span_init (&span, &chunk);
  while (ddebug_span_next (&span, &got))
    {
      FUZZ_CHECK (model_next (&model, &expected));
      check_same (&got, &expected);
      FUZZ_CHECK (got.text >= chunk.payload && got.text + got.len <= chunk.payload + chunk.len);
      /* The sanitizer looks at the ends. */
      if (got.len)
        last = got.text[0], last = got.text[got.len - 1];
      FUZZ_CHECK (!got.args || (got.args >= chunk.payload && got.args + got.args_len <= chunk.payload + chunk.len));
      if (got.args_len)
        last = got.args[0], last = got.args[got.args_len - 1];
    }
  (void) last;
  FUZZ_CHECK (!model_next (&model, &expected));
  FUZZ_CHECK ((span.damage != NULL) == model.damaged);
  FUZZ_CHECK (span.unknown == model.unknown);
  FUZZ_CHECK (span.nostream == model.nostream && span.missed == model.missed);
  FUZZ_CHECK (!ddebug_span_next (&span, &got));
  return 0;
}
