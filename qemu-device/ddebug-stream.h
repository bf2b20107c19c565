/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a stream while the guest writes it.
 *
 * Knows nothing of threads, the log file or the emulator: called by the drain
 * (ddebug-drain.c) in QEMU and by tests/ring/ outside of it.  The caller
 * serializes calls for a DdebugStream.
 */
#ifndef DDEBUG_STREAM_H
#define DDEBUG_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ddebug-log-writer.h"
#include "ddebug_record.h"
#include "virtio_ddebug.h"

/*
 * A posted element.  Its creator checks and fills in everything from id to
 * consumed, and keeps the memory mapped for as long as the stream is read.
 */
typedef struct DdebugStream {
    uint32_t id;
    uint32_t generation;
    uint32_t cpu;
    uint8_t context;
    uint8_t subbuf_shift;
    uint32_t ring_size;
    const struct virtio_ddebug_stream_hdr *hdr;
    struct virtio_ddebug_status *status;
    /* NULL: not in shared memory */
    struct virtio_ddebug_shm_status *shm_status;
    struct iovec *ring;         /* pieces, ring_size bytes in all; owned */
    unsigned nr_pieces;
    uint64_t consumed;          /* copied up to here; initially the start */

    uint32_t notice;            /* last ddebug_stream_notice(), by the caller */

    bool wants_kick;            /* value of status->want_kick */
    bool status_written;        /* since the caller cleared this */
    bool stopped;               /* broke the rules, or gone: no longer read */
    bool gone;                  /* a page of it is: no longer touched at all */
    const char *broken_rule;    /* which one, as "head moved backwards" */
    uint64_t broken_value;

    /* used by the device only */
    struct MemoryRegion *status_mr; /* contains status, to mark it dirty */
    uint64_t status_off;
    unsigned queue;             /* that it was posted on */
    bool retiring;
    uint64_t request;           /* that retires it: its id, and the answer */
    uint32_t retire_status;
    void *element;
} DdebugStream;

/* The most that ddebug_stream_copy() returns: a header and a sub-buffer. */
#define DDEBUG_STREAM_SPAN_MAX (sizeof(struct ddebug_subbuf_hdr) + \
                                (1u << VIRTIO_DDEBUG_SUBBUF_SHIFT_MAX))

/**
 * ddebug_stream_is_there: can these bytes be accessed without a signal?
 * @write: also be written to
 *
 * Not if their file was truncated or cannot be read, or the memory has a known
 * error: SIGBUS would end QEMU.  That may change right after the answer.
 */
bool ddebug_stream_is_there(const void *from, size_t len, bool write);

/**
 * ddebug_stream_probe: check that header and status are there
 *
 * To be called before a stream is touched after some time.  If they are not, it
 * is @st->gone, for good: no function touches its memory any more, and it looks
 * empty.
 *
 * Returns: !@st->gone
 */
bool ddebug_stream_probe(DdebugStream *st);

/**
 * ddebug_stream_copy: probe the stream, and copy the next span below position
 * @limit
 * @buf: DDEBUG_STREAM_SPAN_MAX bytes
 * @data: set to describe the span, except epoch and pass
 *
 * A span that does not start with its sub-buffer's header is preceded by a copy
 * of it.
 *
 * Returns: the bytes in @buf; 0 if there is nothing to copy, the producer laps
 * every copy, the stream breaks the rules (@st->stopped), or it is @st->gone
 */
size_t ddebug_stream_copy(DdebugStream *st, uint64_t limit, uint8_t *buf,
                          DdebugLogData *data);

/*
 * The position after what is committed now.  Unchecked: a guest may store any
 * value, and move it backwards.
 */
uint64_t ddebug_stream_head(const DdebugStream *st);

/* Are callsites active, so that a guest that cannot kick may have logged? */
bool ddebug_stream_is_active(const DdebugStream *st);

/**
 * ddebug_stream_notice: the guest's notice of an oops or a panic,
 * virtio_ddebug_stream_hdr.notice
 *
 * All that the guest logged before the notice is below a ddebug_stream_head()
 * that is loaded after it.
 */
uint32_t ddebug_stream_notice(const DdebugStream *st);

/*
 * Tell the guest whether to kick.  Not ordered, which is enough to stop kicks;
 * to ask for them use ddebug_streams_ask_for_kicks().
 */
void ddebug_stream_want_kick(DdebugStream *st, bool want);

/*
 * Before the element of a stream that is no longer read goes back to the guest:
 * write consumed and want_kick, which is 0, even if they are unchanged.  Return
 * false if the stream is gone.
 */
bool ddebug_stream_write_last_status(DdebugStream *st);

/**
 * ddebug_streams_ask_for_kicks: tell the guest to kick for any of @streams
 *
 * Returns: true if the guest will kick for anything not copied yet, so that the
 * caller may sleep until then; false if there is something new already
 */
bool ddebug_streams_ask_for_kicks(DdebugStream *const *streams, size_t count);

void ddebug_stream_free(DdebugStream *st);

#endif /* DDEBUG_STREAM_H */
