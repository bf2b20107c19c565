/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Turns items into lines.  Everything that a guest can choose goes through
 * here, and leaves as text that is safe for a terminal, unless raw was asked for.
 */
#ifndef DDEBUG_FORMAT_H
#define DDEBUG_FORMAT_H

#include <glib.h>

#include "ddebug-dict.h"
#include "ddebug-merge.h"
#include "ddebug_record.h"

typedef enum
{
  /*
   * What may stay is printable ASCII and, if utf8 is set, printable UTF-8.  All
   * else becomes \xHH, byte by byte: C0, DEL, C1, bidirectional and other
   * invisible controls, line separators, unassigned characters, broken UTF-8.
   * A backslash becomes \x5c where \xHH would otherwise stand in the text
   * itself, so that what was there can be told from the output.
   */
  DDEBUG_ESCAPE_UTF8 = 1 << 0,
  /* Tabs and newlines stay; what follows a newline is indented, a final one is swallowed. */
  DDEBUG_ESCAPE_LINES = 1 << 1,
} DdebugEscape;

/* Appends @len bytes of @text to @out, made safe; lines after the first begin with @indent blanks. */
void ddebug_escape (GString *out, const void *text, gsize len, DdebugEscape flags, guint indent);

/* Bytes of the character of UTF-8 at @p that may be shown as it is; 0 if there is none. */
gsize ddebug_format_printable (const guint8 *p, gsize len);

typedef struct
{
  gboolean utf8;            /* the output understands UTF-8 */
  gboolean raw;             /* texts and names as the guest wrote them: never for a terminal */
  gboolean callsite;        /* module:function:line: before the text */
  gboolean quiet;           /* messages only */
  const DdebugEpoch *epoch; /* of the last line; kept by ddebug_format_item(), as are the next */
  guint32 past;             /* DDEBUG_KMSG_F_* of the last line */
  gboolean unchecked;       /* a line of this epoch was one that no checksum covers, and that was said */
} DdebugFormat;

/**
 * ddebug_format_item:
 *
 * Appends the lines of @item to @out: a message as dmesg shows it, a notice as
 * "-- text --".  A message that begins another epoch, with other rings, gets a
 * notice before it, as one that is late does, and the first of an epoch that no
 * checksum covers.  No line of a message can be taken for a notice, unless it is
 * raw: it begins with a bracket, or with a blank.
 */
void ddebug_format_item (DdebugFormat *format, const DdebugItem *item, GString *out);

/*
 * Bytes of the stamp that a line of the kernel's log begins with, "[%5lu.%06lu] ", if it
 * was taken from there; 0: it has none.
 */
guint ddebug_format_own_stamp (const DdebugMessage *message);

/* "task", "softirq", ... or "context N" */
const char *ddebug_format_context (guint8 context, char *buf, gsize size);

/* Appends what an event says, without its time: "the guest's kernel panicked on cpu 1". */
void ddebug_format_event (GString *out, guint32 event, const guint64 args[2]);

/* Why messages are missing, in words. */
const char *ddebug_format_reason (DdebugLostReason reason);

/*
 * The text of a packed message into @text, of DDEBUG_FORMAT_PACKED_MAX bytes, or the
 * words that stand for it if it cannot be made; @callsite: its entry, or NULL if the log
 * has none.  Returns the bytes of it.  Allocates nothing.
 */
#define DDEBUG_FORMAT_PACKED_MAX (DDEBUG_REC_LEN_MASK + 128)
gsize ddebug_format_packed (const DdebugMessage *message, const DdebugCallsite *callsite, guint8 *text);

/* Appends a UUID from its 16 bytes. */
void ddebug_format_uuid (GString *out, const guint8 uuid[16]);

/* Appends a time in the local time zone, to the second. */
void ddebug_format_time (GString *out, guint64 ns);

/* Appends how long ago a time, ns since 1970, is: "3 minutes". */
void ddebug_format_age (GString *out, guint64 since);

/* Appends "16 MiB" and the like. */
void ddebug_format_size (GString *out, guint64 bytes);

#endif
