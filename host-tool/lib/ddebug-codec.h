/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decode the payload of a DATA chunk, which the guest wrote, to messages.  Every byte of it may be
 * hostile.
 */
#ifndef DDEBUG_CODEC_H
#define DDEBUG_CODEC_H

#include <glib.h>

#include "ddebug-reader.h"
#include "ddebug_record.h"

typedef struct
{
  guint64 time;             /* ns of the guest's clock */
  guint64 number;           /* in its stream, from 0 */
  guint32 callsite;         /* id in the dictionary of the epoch; 0: unknown, or a line of the kernel log */
  gboolean is_kmsg;         /* a line of the kernel log */
  guint32 kmsg;             /* of such a line: DDEBUG_KMSG_F_* */
  guint32 pid;
  const guint8 *text;       /* len bytes of any value, not terminated; points into the payload */
  guint16 len;
  const guint8 *args;       /* of a packed message, whose text is only the prefix; otherwise NULL */
  guint16 args_len;
} DdebugMessage;

/* An iterator over one payload.  A plain value: nothing is allocated. */
typedef struct
{
  const guint8 *at;         /* next record */
  const guint8 *end;
  guint64 first;            /* number of the sub-buffer's first message */
  guint64 base;             /* base of their times, ns */
  guint64 lost;             /* messages dropped in the guest before the sub-buffer was started */
  guint64 end_pos;          /* position in the stream after the span */
  guint64 time;
  gboolean has_time;        /* the next record's time is relative to time */
  guint64 nostream;         /* the highest of its LOSS records so far; 0: none */
  guint64 missed;
  guint unknown;            /* skipped records of unknown type */
  const char *damage;       /* why the rest was discarded; NULL: it was not */
} DdebugSpan;

/**
 * ddebug_span_init:
 * @chunk: of type DATA; its payload, which may be %NULL if len is 0, must outlive @span
 *
 * If the span as a whole is invalid, it has no messages and damage is set.
 */
void ddebug_span_init (DdebugSpan *span, const DdebugChunk *chunk);

/**
 * ddebug_span_next:
 *
 * Returns: %TRUE and the next message, or %FALSE at the end; unknown and damage then say what was
 * skipped
 */
gboolean ddebug_span_next (DdebugSpan *span, DdebugMessage *message);

#endif
