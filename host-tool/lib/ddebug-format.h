/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Format items as lines.  Everything that a guest can choose passes through here and becomes text that
 * is safe for a terminal, unless raw is set.
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
   * Printable ASCII and, with this flag, printable UTF-8 is unchanged.  Everything else becomes \xHH,
   * byte by byte: C0, DEL, C1, bidirectional and other invisible controls, line separators, unassigned
   * characters, invalid UTF-8.  A backslash becomes \x5c if the text itself has \xHH there, so that the
   * original can be restored from the output.
   */
  DDEBUG_ESCAPE_UTF8 = 1 << 0,
  /* Tabs and newlines are unchanged; text after a newline is indented, a final newline is dropped. */
  DDEBUG_ESCAPE_LINES = 1 << 1,
} DdebugEscape;

/* Append @len bytes of @text to @out, escaped; indent lines after the first by @indent blanks. */
void ddebug_escape (GString *out, const void *text, gsize len, DdebugEscape flags, guint indent);

/* Bytes of the UTF-8 character at @p if it can be printed unchanged; otherwise 0. */
gsize ddebug_format_printable (const guint8 *p, gsize len);

typedef struct
{
  gboolean utf8;            /* the output supports UTF-8 */
  gboolean raw;             /* texts and names as the guest wrote them: never for a terminal */
  gboolean callsite;        /* module:function:line: before the text */
  gboolean quiet;           /* messages only */
  /* state of ddebug_format_item() */
  const DdebugEpoch *epoch; /* of the last line */
  guint32 past;             /* DDEBUG_KMSG_F_* of the last line */
  gboolean unchecked;       /* the notice about lines without a checksum was printed for this epoch */
} DdebugFormat;

/**
 * ddebug_format_item:
 *
 * Append the lines of @item to @out: a message in the format of dmesg, a notice as "-- text --".  A
 * notice precedes the first message of another boot or driver instance, a late message, and the first
 * message of an epoch without a checksum.  No line of a message can be mistaken for a notice, unless
 * raw is set: it starts with a bracket or a blank.
 */
void ddebug_format_item (DdebugFormat *format, const DdebugItem *item, GString *out);

/*
 * Bytes of the time stamp, "[%5lu.%06lu] ", at the start of a line that was copied from the kernel log;
 * 0: it has none.
 */
guint ddebug_format_own_stamp (const DdebugMessage *message);

/* "task", "softirq", ... or "context N" */
const char *ddebug_format_context (guint8 context, char *buf, gsize size);

/* Append the text of an event, without its time: "the guest's kernel panicked on cpu 1". */
void ddebug_format_event (GString *out, guint32 event, const guint64 args[2]);

/* The reason why messages are missing, as text. */
const char *ddebug_format_reason (DdebugLostReason reason);

/*
 * Store the text of a packed message in @text, of DDEBUG_FORMAT_PACKED_MAX bytes, or the reason if it
 * cannot be rendered.  @callsite: its entry, or NULL if the log has none.  Return the number of bytes.
 * Allocates nothing.
 */
#define DDEBUG_FORMAT_PACKED_MAX (DDEBUG_REC_LEN_MASK + 128)
gsize ddebug_format_packed (const DdebugMessage *message, const DdebugCallsite *callsite, guint8 *text);

/* Append a UUID from its 16 bytes. */
void ddebug_format_uuid (GString *out, const guint8 uuid[16]);

/* Append a time, ns since 1970, in the local time zone, to the second. */
void ddebug_format_time (GString *out, guint64 ns);

/* Append the age of a time, ns since 1970: "3 minutes". */
void ddebug_format_age (GString *out, guint64 since);

/* Append a size in IEC units: "16 MiB". */
void ddebug_format_size (GString *out, guint64 bytes);

#endif
