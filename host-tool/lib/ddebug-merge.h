/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sort the messages of all streams by time, and report what is missing between them.
 */
#ifndef DDEBUG_MERGE_H
#define DDEBUG_MERGE_H

#include <glib.h>

#include "ddebug-codec.h"
#include "ddebug-dict.h"

/* One context of one CPU of a driver instance. */
typedef struct
{
  DdebugInstance *instance;
  DdebugEpoch *epoch;       /* of its last chunk */
  guint32 id;
  guint32 cpu;
  guint8 context;           /* VIRTIO_DDEBUG_CTX_* or unknown */
  guint64 next;             /* number of the next expected message */
  guint64 consumed;         /* messages below were consumed by --pipe before: no repetitions */
  guint64 produced;         /* messages committed, according to the log */
  guint64 recursed;         /* chunk counters, as far as they were reported */
  guint64 torn;
  guint64 clamped;
  guint64 realtime;         /* ns since 1970: when the host wrote the last message returned; 0: none */
  /* since the reader was opened */
  guint64 received;
  guint64 lost;
  guint64 dropped;
  guint64 repeated;         /* messages that the log has twice, shown once */
  guint64 late;             /* of those received: see DdebugItem */
} DdebugMergerStream;

typedef enum
{
  DDEBUG_ITEM_MESSAGE,
  DDEBUG_ITEM_LOST,         /* count messages of stream are missing here; see reason */
  DDEBUG_ITEM_DROPPED,      /* recursed + torn messages of stream were dropped in the guest */
  DDEBUG_ITEM_UNRECORDED,   /* nostream + missed messages of the instance are in no stream */
  DDEBUG_ITEM_UNKNOWN,      /* count records of stream are of unknown type */
  DDEBUG_ITEM_BAD_SPAN,     /* the rest of a span of stream was discarded; text: why */
  DDEBUG_ITEM_BAD_CHUNK,    /* a chunk or count bytes of the file are damaged; text: where */
  DDEBUG_ITEM_EVENT,        /* something happened to the VM; see event; stream is NULL */
  DDEBUG_ITEM_IO_LOST,      /* the device discarded count chunks of bytes bytes; reason: IO, FULL or RATE */
  DDEBUG_ITEM_UNSYNCED,     /* count chunks of the file, args[0] to args[1], may not be on disk; see error */
} DdebugItemType;

typedef enum
{
  DDEBUG_LOST_OLDEST,       /* before the first message of the stream that the log still has */
  DDEBUG_LOST_OVERTAKEN,    /* the writer overtook this reader */
  DDEBUG_LOST_DAMAGED,      /* chunks in between are damaged */
  DDEBUG_LOST_IO,           /* the device could not write */
  DDEBUG_LOST_RING,         /* the guest overtook the device */
  DDEBUG_LOST_RECORDS,      /* records in between are damaged or of unknown type */
  DDEBUG_LOST_TAIL,         /* committed but never written */
  DDEBUG_LOST_FULL,         /* the log was full and retained its oldest messages */
  DDEBUG_LOST_RATE,         /* the guest logged faster than the rate limit */
} DdebugLostReason;

typedef struct
{
  DdebugItemType type;
  DdebugMergerStream *stream; /* NULL for BAD_CHUNK, IO_LOST and UNSYNCED */
  DdebugEpoch *epoch;       /* likewise */
  DdebugMessage message;    /* its text is valid until the merger is used again */
  gboolean unchecked;       /* from the shared ring of a QEMU that died: without a checksum */
  guint64 late;             /* ns by which the message is older than one returned before; 0: in order */
  guint64 realtime;         /* ns since 1970, when its chunk was written; 0: unknown; a lower limit if unchecked */
  guint32 event;            /* DDEBUG_LOG_EVENT_* */
  guint64 args[2];          /* of the event */
  guint64 count;
  guint64 bytes;
  guint64 recursed;
  guint64 torn;
  guint64 nostream;
  guint64 missed;
  DdebugLostReason reason;
  int error;                /* errno of the sync that failed; 0: the chunks are missing from the file */
  const char *text;
} DdebugItem;

/* How often each of these has happened to the reader so far; shows why messages are missing. */
typedef struct
{
  guint laps;
  guint damages;
  guint io_errors;
  guint fulls;
  guint rates;
} DdebugMarks;

typedef struct DdebugMerger DdebugMerger;

/* Bytes.  The device's staging area limits a genuine pass to far less. */
#define DDEBUG_MERGER_HELD_MAX ((gsize) 64 << 20)

/*
 * Called for each new stream before its first message; may set its position (next, consumed,
 * recursed, torn) and its instance's nostream and missed.
 */
typedef void (*DdebugMergerStreamFunc) (DdebugMergerStream *stream, gpointer data);

DdebugMerger *ddebug_merger_new (void);
void ddebug_merger_free (DdebugMerger *merger);
/* Minimum time, by the device's clock, that spans are held for CPUs that are not running.  Initially 0. */
void ddebug_merger_set_window (DdebugMerger *merger, guint64 window_ns);
/* Maximum bytes to hold; beyond them, everything becomes due.  Initially %DDEBUG_MERGER_HELD_MAX. */
void ddebug_merger_set_held_max (DdebugMerger *merger, gsize bytes);
void ddebug_merger_set_stream_func (DdebugMerger *merger, DdebugMergerStreamFunc func, gpointer data);

/* For ddebug_dict_new(). */
void ddebug_merger_stream_free (gpointer stream);

/**
 * ddebug_merger_push:
 * @chunk: of type DATA; copied; without a payload only its counters are used
 * @epoch, @instance: to which it belongs
 *
 * Add a chunk.  Its messages become due (ddebug_merger_next()) two passes and a window later, see
 * docs/log-format.md, "Rules for readers", 4.  Epochs must not be mixed: drain one before pushing
 * another.
 */
void ddebug_merger_push (DdebugMerger *merger, const DdebugChunk *chunk, DdebugEpoch *epoch,
                         DdebugInstance *instance, const DdebugMarks *marks);

/* Make everything of passes up to @pass due; G_MAXUINT64: everything. */
void ddebug_merger_release (DdebugMerger *merger, guint64 pass);

/**
 * ddebug_merger_release_old:
 * @now: the caller's clock, in any unit; what was pushed since the last call counts as arrived now
 * @limit: maximum time to hold anything, in that unit
 *
 * Make everything due that arrived @limit ago or earlier, regardless of the log.
 *
 * Returns: the time until the next span becomes due, or -1 if nothing is held
 */
gint64 ddebug_merger_release_old (DdebugMerger *merger, gint64 now, gint64 limit);

/* The instance that was pushed has ended: what is missing at the ends of its streams becomes due. */
void ddebug_merger_end_instance (DdebugMerger *merger);

/* Whether ddebug_merger_next() may have an item now. */
gboolean ddebug_merger_is_due (DdebugMerger *merger);

/* Whether messages are held back for ordering. */
gboolean ddebug_merger_is_holding (DdebugMerger *merger);

/*
 * Returns: %TRUE and the next item in @item, or %FALSE if none is due.  Messages of an instance are
 * sorted by time, except those whose @late is not 0.
 */
gboolean ddebug_merger_next (DdebugMerger *merger, DdebugItem *item);

#endif
