/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages that a writer which died left in the rings it shared with a guest.
 *
 * The next writer appends them to the log; until then readers show them.  Both
 * use these functions.  Nobody may be writing the log.  The bytes are the
 * guest's: any value must be expected.
 */
#ifndef DDEBUG_LOG_SHM_H
#define DDEBUG_LOG_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ddebug-log-writer.h"
#include "virtio_ddebug.h"

/* The rules for the geometry of a stream that its descriptor gives. */
static inline bool ddebug_shm_is_geometry(uint8_t context, uint8_t subbuf_shift,
                                          uint32_t ring_size)
{
    if (context >= VIRTIO_DDEBUG_NR_CTX ||
        subbuf_shift < VIRTIO_DDEBUG_SUBBUF_SHIFT_MIN ||
        subbuf_shift > VIRTIO_DDEBUG_SUBBUF_SHIFT_MAX) {
        return false;
    }
    return ring_size % (1u << subbuf_shift) == 0 &&
           ring_size >> subbuf_shift >= VIRTIO_DDEBUG_SUBBUFS_MIN &&
           ring_size <= VIRTIO_DDEBUG_RING_SIZE_MAX;
}

/*
 * How far the newest DATA chunk of the log reaches.  It alone may have been
 * written although the device died before it stored so in the ring.
 */
typedef struct DdebugShmSeen {
    uint32_t epoch;
    uint32_t stream;
    uint64_t end;               /* position behind its last byte; 0: no chunk */
} DdebugShmSeen;

typedef struct DdebugShmRing {
    uint64_t off;               /* of its descriptor, in the area */
    uint32_t ring_size;
    uint64_t reserve;
    uint64_t next;              /* position of the next span */
    uint64_t head;
    const char *broken_rule;    /* why no more can be read from it; or NULL */
    DdebugLogData data;         /* of the last span read, but for its pass */
} DdebugShmRing;

/**
 * ddebug_shm_next_ring: the next ring of @epoch at or behind *@off.
 * @fd: the log
 * @shm_size: super.shm_size
 * @seen: of the log
 * @off: bytes from the start of the area, 0 at first; advanced past the ring
 *
 * Rings do not overlap, so that all of them have no more bytes than the area.
 *
 * Returns: false if there is none
 */
bool ddebug_shm_next_ring(int fd, uint64_t shm_size, uint32_t epoch,
                          const DdebugShmSeen *seen, uint64_t *off,
                          DdebugShmRing *ring);

/**
 * ddebug_shm_next_span: what is left of @ring, as a DATA chunk has it.
 * @buf: DDEBUG_LOG_PAYLOAD_MAX bytes
 *
 * Returns: the bytes in @buf; 0: nothing is left, or @ring->broken_rule is set
 */
size_t ddebug_shm_next_span(int fd, DdebugShmRing *ring, uint8_t *buf);

#endif /* DDEBUG_LOG_SHM_H */
