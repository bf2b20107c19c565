/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decode the records of a payload.
 *
 * Bounds: at and end lie within the payload, a multiple of eight bytes apart: a span whose length is
 * not a multiple of eight is rejected, and records advance by multiples of eight that are checked
 * against end - at.  So a record header can be read whenever at < end.  All arithmetic on numbers and
 * times from the guest is unsigned and may wrap.
 */
#include "ddebug-codec.h"

#include <string.h>

#include "virtio_ddebug.h"

static void
discard_rest (DdebugSpan *span, const char *why)
{
  span->damage = why;
  span->at = span->end;
}

void
ddebug_span_init (DdebugSpan *span, const DdebugChunk *chunk)
{
  const guint32 hdr_len = sizeof (struct ddebug_subbuf_hdr);
  struct ddebug_subbuf_hdr hdr;
  guint64 begin, len;

  /* No records until the span is known to have some: an empty payload may be NULL. */
  memset (span, 0, sizeof *span);
  span->end_pos = chunk->pos;
  if (chunk->subbuf_shift < VIRTIO_DDEBUG_SUBBUF_SHIFT_MIN
      || chunk->subbuf_shift > VIRTIO_DDEBUG_SUBBUF_SHIFT_MAX || chunk->pos % DDEBUG_REC_ALIGN != 0)
    {
      span->damage = "invalid stream geometry";
      return;
    }
  begin = chunk->pos >> chunk->subbuf_shift << chunk->subbuf_shift;
  len = chunk->len - (chunk->pos == begin ? 0 : hdr_len);
  if (chunk->len < hdr_len || len % DDEBUG_REC_ALIGN != 0
      || chunk->pos - begin + len > G_GUINT64_CONSTANT (1) << chunk->subbuf_shift)
    {
      span->damage = "a span that does not fit its sub-buffer";
      return;
    }
  span->end_pos = chunk->pos + len;
  memcpy (&hdr, chunk->payload, sizeof hdr);
  if (GUINT64_FROM_LE (hdr.pos) != begin)
    {
      span->damage = "a sub-buffer header of another position";
      return;
    }
  span->first = GUINT64_FROM_LE (hdr.seq);
  span->base = GUINT64_FROM_LE (hdr.base);
  span->lost = GUINT64_FROM_LE (hdr.lost);
  span->at = chunk->payload + hdr_len;
  span->end = chunk->payload + chunk->len;
}

static gboolean
is_message (guint type)
{
  return type == DDEBUG_REC_TEXT || type == DDEBUG_REC_KMSG || type == DDEBUG_REC_PACKED;
}

/* Bytes of the shortest record of @type. */
static gsize
minimum_size (guint type)
{
  switch (type)
    {
    case DDEBUG_REC_TIME:
      return sizeof (struct ddebug_rec_time);
    case DDEBUG_REC_TEXT:
    case DDEBUG_REC_KMSG:
      return sizeof (struct ddebug_rec_text);
    case DDEBUG_REC_PACKED:
      return sizeof (struct ddebug_rec_packed);
    case DDEBUG_REC_LOSS:
      return sizeof (struct ddebug_rec_loss);
    default:
      return sizeof (struct ddebug_rec_hdr);
    }
}

static void
read_head (DdebugSpan *span, const struct ddebug_rec_hdr *hdr, DdebugMessage *message)
{
  message->time = (span->has_time ? span->time : span->base) + GUINT32_FROM_LE (hdr->delta);
  message->number = span->first + ((GUINT16_FROM_LE (hdr->seq) - span->first) & 0xffff);
}

/* Decode the text or kmsg record at span->at, whose @len bytes are within the span. */
static void
read_text (DdebugSpan *span, const struct ddebug_rec_hdr *hdr, guint type, guint len, DdebugMessage *message)
{
  struct ddebug_rec_text text;

  G_STATIC_ASSERT (sizeof text == sizeof (struct ddebug_rec_kmsg));
  memcpy (&text, span->at, sizeof text);
  read_head (span, hdr, message);
  message->is_kmsg = type == DDEBUG_REC_KMSG;
  message->callsite = message->is_kmsg ? 0 : GUINT32_FROM_LE (text.callsite);
  message->kmsg = message->is_kmsg ? GUINT32_FROM_LE (text.callsite) : 0;
  message->pid = GUINT32_FROM_LE (text.pid);
  message->text = span->at + sizeof text;
  message->len = len - sizeof text;
  message->args = NULL;
  message->args_len = 0;
}

/* Decode the packed record at span->at, whose @len bytes are within the span; FALSE with damage set. */
static gboolean
read_packed (DdebugSpan *span, const struct ddebug_rec_hdr *hdr, guint len, DdebugMessage *message)
{
  struct ddebug_rec_packed packed;
  struct ddebug_rec_packed_wide wide = { 0 };
  gsize size = sizeof packed;

  memcpy (&packed, span->at, sizeof packed);
  wide.callsite = GUINT32_TO_LE (GUINT16_FROM_LE (packed.callsite));
  wide.pid = GUINT32_TO_LE (GUINT16_FROM_LE (packed.pid));
  if (packed.callsite == 0)
    {
      size = sizeof wide;
      if (len >= size)
        memcpy (&wide, span->at, size);
      if (len < size || GUINT16_FROM_LE (wide.head_len) > len - size)
        {
          discard_rest (span, "a packed record of invalid length");
          return FALSE;
        }
    }
  read_head (span, hdr, message);
  message->is_kmsg = FALSE;
  message->kmsg = 0;
  message->callsite = GUINT32_FROM_LE (wide.callsite);
  message->pid = GUINT32_FROM_LE (wide.pid);
  message->text = span->at + size;
  message->len = GUINT16_FROM_LE (wide.head_len);
  message->args = message->text + message->len;
  message->args_len = len - size - message->len;
  return TRUE;
}

static void
read_time (DdebugSpan *span)
{
  struct ddebug_rec_time rec;

  memcpy (&rec, span->at, sizeof rec);
  span->time = GUINT64_FROM_LE (rec.time);
}

static void
read_loss (DdebugSpan *span)
{
  struct ddebug_rec_loss rec;

  memcpy (&rec, span->at, sizeof rec);
  span->nostream = MAX (span->nostream, GUINT64_FROM_LE (rec.nostream));
  span->missed = MAX (span->missed, GUINT64_FROM_LE (rec.missed));
}

/* Bytes that the record at span->at takes, or 0 with damage set. */
static gsize
record_size (DdebugSpan *span, const struct ddebug_rec_hdr *hdr, guint type, guint len)
{
  gsize size = type == DDEBUG_REC_PAD ? GUINT32_FROM_LE (hdr->delta)
                                      : ((gsize) len + DDEBUG_REC_ALIGN - 1) & ~(gsize) (DDEBUG_REC_ALIGN - 1);

  if (type == DDEBUG_REC_NONE)
    discard_rest (span, "a record without a type");
  else if (len < minimum_size (type) || size < sizeof *hdr || size % DDEBUG_REC_ALIGN != 0)
    discard_rest (span, "a record of invalid length");
  else if (size > (gsize) (span->end - span->at))
    discard_rest (span, "a record that exceeds its span");
  return span->damage ? 0 : size;
}

gboolean
ddebug_span_next (DdebugSpan *span, DdebugMessage *message)
{
  while (span->at < span->end)
    {
      struct ddebug_rec_hdr hdr;
      guint type, len;
      gsize size;

      memcpy (&hdr, span->at, sizeof hdr);
      type = GUINT16_FROM_LE (hdr.type_len) >> DDEBUG_REC_TYPE_SHIFT;
      len = GUINT16_FROM_LE (hdr.type_len) & DDEBUG_REC_LEN_MASK;
      size = record_size (span, &hdr, type, len);
      if (size == 0)
        return FALSE;
      if (type == DDEBUG_REC_PACKED)
        {
          if (!read_packed (span, &hdr, len, message))
            return FALSE;
        }
      else if (is_message (type))
        read_text (span, &hdr, type, len, message);
      else if (type == DDEBUG_REC_TIME)
        read_time (span);
      else if (type == DDEBUG_REC_LOSS)
        read_loss (span);
      else if (type != DDEBUG_REC_PAD)
        span->unknown++;
      span->has_time = type == DDEBUG_REC_TIME;
      span->at += size;
      if (is_message (type))
        return TRUE;
    }
  return FALSE;
}
