/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a stream while the guest writes it.
 *
 * Nothing in here knows of threads, of the log's file or of the emulator: the
 * drain (ddebug-drain.c) calls it in QEMU, tests/ring/ outside of it.  A
 * DdebugStream belongs to one caller at a time.
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
 * A posted element.  Who makes one fills in all from id to consumed, checked,
 * and sees to it that the memory stays mapped until the stream is forgotten.
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
    struct virtio_ddebug_shm_status *shm_status; /* NULL: not in shared memory */
    struct iovec *ring;         /* the pieces, ring_size bytes in all; owned */
    unsigned nr_pieces;
    uint64_t consumed;          /* copied up to here; the start at first */

    uint32_t notice;            /* what the caller knows of ddebug_stream_notice() */

    bool wants_kick;            /* what status->want_kick is */
    bool status_written;        /* since the caller cleared this */
    bool stopped;               /* broke the rules: not read any more */
    const char *broken_rule;    /* which one */
    uint64_t broken_value;

    /* the device's */
    struct MemoryRegion *status_mr; /* where status lies, to mark it dirty */
    uint64_t status_off;
    unsigned queue;             /* it was posted on */
    void *element;
} DdebugStream;

/* Bytes that ddebug_stream_copy() may need: a header and a sub-buffer. */
#define DDEBUG_STREAM_SPAN_MAX (sizeof(struct ddebug_subbuf_hdr) + \
                                (1u << VIRTIO_DDEBUG_SUBBUF_SHIFT_MAX))

/**
 * ddebug_stream_copy: copies the next span below @limit, with a copy of its
 * sub-buffer's header before it where it does not begin with one.
 * @buf: DDEBUG_STREAM_SPAN_MAX bytes
 * @data: describes the span; epoch and pass are the caller's to fill in
 *
 * Returns: the bytes in @buf; 0: nothing is there, or the producer laps every
 * copy, or the stream breaks the rules (@st->stopped)
 */
size_t ddebug_stream_copy(DdebugStream *st, uint64_t limit, uint8_t *buf,
                          DdebugLogData *data);

/* The position behind what is committed now; it may be any, and go back. */
uint64_t ddebug_stream_head(const DdebugStream *st);

/* May the guest log something that it can no longer kick for? */
bool ddebug_stream_is_active(const DdebugStream *st);

/**
 * ddebug_stream_notice: what the guest says has become of it, virtio_ddebug_stream_hdr.notice
 *
 * What is copied up to a ddebug_stream_head() after this has its last words.
 */
uint32_t ddebug_stream_notice(const DdebugStream *st);

/* Tells the guest whether to kick; to be told not to, it need not hurry. */
void ddebug_stream_want_kick(DdebugStream *st, bool want);

/**
 * ddebug_streams_ask_for_kicks: tells the guest to kick for any of @streams.
 *
 * Returns: true if it will kick for whatever is not copied yet, so that the
 * caller may sleep until it does; false if there is something new already
 */
bool ddebug_streams_ask_for_kicks(DdebugStream *const *streams, size_t count);

void ddebug_stream_free(DdebugStream *st);

#endif /* DDEBUG_STREAM_H */
