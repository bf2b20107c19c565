/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decodes what the guest wrote: from the payload of a DATA chunk to messages.
 * Every byte of it may be hostile.
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
  guint32 callsite;         /* id in the dictionary of the epoch; 0: not known, or a line of the kernel's log */
  gboolean is_kmsg;         /* a line of the kernel's log */
  guint32 kmsg;             /* of such a line: DDEBUG_KMSG_F_* */
  guint32 pid;
  const guint8 *text;       /* len bytes of any value, not terminated; points into the payload */
  guint16 len;
  const guint8 *args;       /* of a packed message, whose text is only what stands before; else NULL */
  guint16 args_len;
} DdebugMessage;

/* A walk over one payload.  It is a value: nothing is allocated, nothing to be freed. */
typedef struct
{
  const guint8 *at;         /* next record */
  const guint8 *end;
  guint64 first;            /* number that the sub-buffer's messages count from */
  guint64 base;             /* ns that their time counts from */
  guint64 lost;             /* messages dropped in the guest before the sub-buffer was begun */
  guint64 end_pos;          /* position in the stream behind the span */
  guint64 time;
  gboolean has_time;        /* the next record's time counts from time */
  guint unknown;            /* records that were skipped, not understood */
  const char *damage;       /* why the rest was given up; NULL: not at all */
} DdebugSpan;

/**
 * ddebug_span_init:
 * @chunk: of type DATA; its payload, which may be %NULL if len is 0, must outlive @span
 *
 * If the span as a whole makes no sense, it has no messages and damage is set.
 */
void ddebug_span_init (DdebugSpan *span, const DdebugChunk *chunk);

/**
 * ddebug_span_next:
 *
 * Returns: %TRUE and the next message, or %FALSE at the end, where unknown and
 * damage say what was passed over
 */
gboolean ddebug_span_next (DdebugSpan *span, DdebugMessage *message);

#endif
