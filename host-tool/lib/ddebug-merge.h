/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Puts the messages of all streams into the order of time, and says what is
 * missing between them.
 */
#ifndef DDEBUG_MERGE_H
#define DDEBUG_MERGE_H

#include <glib.h>

#include "ddebug-codec.h"
#include "ddebug-dict.h"

/* One context of one CPU in one instance. */
typedef struct
{
  DdebugInstance *instance;
  DdebugEpoch *epoch;       /* in which it was seen last */
  guint32 id;
  guint32 cpu;
  guint8 context;           /* VIRTIO_DDEBUG_CTX_* or unknown */
  guint64 next;             /* number of the message expected next */
  guint64 consumed;         /* messages below were taken by --pipe before, not an error */
  guint64 produced;         /* messages committed, as far as the log says */
  guint64 recursed;         /* of the chunks' counters: as far as they were reported */
  guint64 torn;
  guint64 clamped;
  guint64 realtime;         /* ns since 1970 when the host wrote the last message that was given out; 0: none */
  /* since the reader was opened */
  guint64 received;
  guint64 lost;
  guint64 dropped;
  guint64 repeated;         /* messages that were there twice, shown once */
  guint64 late;             /* of those received: see DdebugItem */
} DdebugMergerStream;

typedef enum
{
  DDEBUG_ITEM_MESSAGE,
  DDEBUG_ITEM_LOST,         /* count messages of stream are missing here, why: reason */
  DDEBUG_ITEM_DROPPED,      /* recursed + torn messages of stream were dropped in the guest */
  DDEBUG_ITEM_UNKNOWN,      /* count records of stream were not understood */
  DDEBUG_ITEM_BAD_SPAN,     /* a span of stream was given up, why: text */
  DDEBUG_ITEM_BAD_CHUNK,    /* a chunk or count bytes of the file were damaged, where: text */
  DDEBUG_ITEM_EVENT,        /* something happened to the VM, see event; stream is NULL */
  DDEBUG_ITEM_IO_LOST,      /* the device gave up count chunks of bytes bytes, why: reason IO, FULL or RATE */
} DdebugItemType;

typedef enum
{
  DDEBUG_LOST_OLDEST,       /* before the first message of the stream that is left */
  DDEBUG_LOST_OVERTAKEN,    /* the writer overtook this reader */
  DDEBUG_LOST_DAMAGED,      /* chunks in between are damaged */
  DDEBUG_LOST_IO,           /* the device could not write */
  DDEBUG_LOST_RING,         /* the guest overtook the device */
  DDEBUG_LOST_RECORDS,      /* records in between are damaged or not understood */
  DDEBUG_LOST_TAIL,         /* committed, and never written */
  DDEBUG_LOST_FULL,         /* the log was full, and kept its oldest */
  DDEBUG_LOST_RATE,         /* the guest logged more than the device may write in that time */
} DdebugLostReason;

typedef struct
{
  DdebugItemType type;
  DdebugMergerStream *stream; /* NULL for BAD_CHUNK and IO_LOST */
  DdebugEpoch *epoch;       /* likewise */
  DdebugMessage message;    /* its text is valid until the merger is used again */
  gboolean unchecked;       /* it is of a shared ring whose QEMU died: no checksum covers it */
  guint64 late;             /* ns by which the message is older than one given out before it; 0: in order */
  guint64 realtime;         /* ns since 1970 when the host wrote its chunk; if unchecked, then or later; 0: not known */
  guint32 event;            /* DDEBUG_LOG_EVENT_* */
  guint64 args[2];          /* of the event */
  guint64 count;
  guint64 bytes;
  guint64 recursed;
  guint64 torn;
  DdebugLostReason reason;
  const char *text;
} DdebugItem;

/* How often each of these has happened to the reader so far; tells why messages are missing. */
typedef struct
{
  guint laps;
  guint damages;
  guint io_errors;
  guint fulls;
  guint rates;
} DdebugMarks;

typedef struct DdebugMerger DdebugMerger;

/* An honest pass is bounded by the device's staging, far below it. */
#define DDEBUG_MERGER_HELD_MAX ((gsize) 64 << 20)

/* Called for each stream that is met first, before its first message: may set consumed and the like. */
typedef void (*DdebugMergerStreamFunc) (DdebugMergerStream *stream, gpointer data);

DdebugMerger *ddebug_merger_new (void);
void ddebug_merger_free (DdebugMerger *merger);
/* How long, by the clock of the device, spans are held at least: for CPUs that do not run.  At first 0. */
void ddebug_merger_set_window (DdebugMerger *merger, guint64 window_ns);
/* Bytes to be held at most; beyond, all is made due.  At first %DDEBUG_MERGER_HELD_MAX. */
void ddebug_merger_set_held_max (DdebugMerger *merger, gsize bytes);
void ddebug_merger_set_stream_func (DdebugMerger *merger, DdebugMergerStreamFunc func, gpointer data);

/* For ddebug_dict_new(). */
void ddebug_merger_stream_free (gpointer stream);

/**
 * ddebug_merger_push:
 * @chunk: of type DATA; copied; without a payload only its counters are taken
 * @epoch, @instance: which it belongs to
 *
 * Messages become due (ddebug_merger_next()) two passes and a window later, see
 * "Rules for readers", 4.  Epochs must not be mixed: drain one before another is pushed.
 */
void ddebug_merger_push (DdebugMerger *merger, const DdebugChunk *chunk, DdebugEpoch *epoch,
                         DdebugInstance *instance, const DdebugMarks *marks);

/* Makes all of passes up to @pass due; G_MAXUINT64: all there is. */
void ddebug_merger_release (DdebugMerger *merger, guint64 pass);

/**
 * ddebug_merger_release_old:
 * @now: the caller's clock, in any unit; what was pushed since the last call came at this time
 * @limit: how long anything is held at most, in that unit
 *
 * Makes due what came @limit ago or more, whatever the log says.
 *
 * Returns: how long until the next is, or -1 if nothing is held
 */
gint64 ddebug_merger_release_old (DdebugMerger *merger, gint64 now, gint64 limit);

/* No more comes of the instance that was pushed: what is known to be missing at its streams' ends becomes due. */
void ddebug_merger_end_instance (DdebugMerger *merger);

/* Whether something may be given out by ddebug_merger_next() right now. */
gboolean ddebug_merger_is_due (DdebugMerger *merger);

/* Whether messages are held back for their order. */
gboolean ddebug_merger_is_holding (DdebugMerger *merger);

/*
 * Returns: %TRUE and the next item in @item, or %FALSE if none is due.  Messages of
 * an instance come in the order of time, but for those whose @late is not 0.
 */
gboolean ddebug_merger_next (DdebugMerger *merger, DdebugItem *item);

#endif
