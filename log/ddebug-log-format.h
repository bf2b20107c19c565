/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of docs/log-format.md about bytes: what counts as a superblock, a
 * segment and a chunk, and how large things are.
 *
 * Writer and readers both decide by these functions, so that no log is valid
 * for one and damaged for the other.  They take bytes that the caller has read,
 * do no I/O, allocate nothing, keep no state and may be called by any thread.
 * Every bit pattern is allowed as input; none needs alignment but where a
 * structure is named.
 */
#ifndef DDEBUG_LOG_FORMAT_H
#define DDEBUG_LOG_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ddebug_log.h"

/* CRC32C (initial value and final xor 0xffffffff) of at most INT_MAX bytes. */
uint32_t ddebug_crc32c(const void *data, size_t len);

/*
 * Each structure of the file ends in the checksum of the bytes before it.
 * @size: of the structure, in bytes
 */
void ddebug_log_seal(void *structure, size_t size);
bool ddebug_log_is_sealed(const void *structure, size_t size);

/* Whether @len bytes are all zero; true if @len is 0. */
bool ddebug_log_is_zero(const void *bytes, size_t len);

/* Geometry.  All sizes are in bytes. */

/* The segment size of a new file of @size, its shared rings not counted. */
uint32_t ddebug_log_seg_size_for(uint64_t size);
/* How many segments fit a file of @size; 0 if none does. */
uint64_t ddebug_log_nr_segs_for(uint64_t size, uint32_t seg_size,
                                uint64_t shm_size);
/* The size of a file, which is also where segment @nr_segs would begin. */
uint64_t ddebug_log_file_size(uint64_t nr_segs, uint32_t seg_size,
                              uint64_t shm_size);
/* Whether a log may have @bytes of shared rings: a power of two in bounds. */
bool ddebug_log_is_shm_size(uint64_t bytes);

/* Superblock */

/* struct ddebug_log_super in host order; strings terminated, not escaped. */
typedef struct DdebugSuper {
    uint32_t version;
    uint32_t incompat;
    uint32_t compat;
    uint32_t seg_size;
    uint64_t generation;
    uint8_t uuid[16];
    uint64_t size;
    uint64_t nr_segs;
    uint64_t first_seg;
    uint64_t shm_size;
    uint64_t created;
    uint64_t opened;
    uint32_t writer_pid;
    char vm_name[65];
    uint8_t vm_uuid[16];
    char writer[65];
    bool is_named;              /* the last writer said which file it had: */
    uint64_t file_dev;
    uint64_t file_ino;
    uint8_t host_boot[16];      /* zero: not known */
    uint32_t file_fs;           /* 0: not known */
} DdebugSuper;

/*
 * What a superblock is.  Of two copies with no generation to compare, the state
 * that comes later in this list counts.
 */
typedef enum DdebugSuperState {
    DDEBUG_SUPER_NOTHING,       /* zeros, or beyond the end of the file */
    DDEBUG_SUPER_FOREIGN,       /* no magic */
    DDEBUG_SUPER_DAMAGED,       /* cut short, wrong checksum or out of bounds */
    DDEBUG_SUPER_OTHER,         /* another version with a wrong checksum */
    DDEBUG_SUPER_FEATURES,      /* unknown incompat bits: do not read */
    DDEBUG_SUPER_GOOD,
    DDEBUG_SUPER_VERSION,       /* another version: do not read */
} DdebugSuperState;

/* Both copies are in the first bytes of the file, of which this many count. */
#define DDEBUG_LOG_SUPERS_SIZE (2 * sizeof(struct ddebug_log_super))

/**
 * ddebug_log_choose_super: finds the superblock that counts.
 * @bytes: the begin of the file: DDEBUG_LOG_SUPERS_SIZE bytes
 * @len: how many of them the file has; the others are not looked at
 * @super: set to the copy that counts if the state is FEATURES or GOOD; its
 *         version is set if the state is OTHER or VERSION
 * @copy: set to which copy it was, 0 or 1, in any state
 *
 * A writer must also refuse a GOOD one with unknown compat bits:
 * ddebug_log_may_write().
 *
 * Returns: the state of the log
 */
DdebugSuperState ddebug_log_choose_super(const void *bytes, size_t len,
                                         DdebugSuper *super, int *copy);

/* Whether a writer knows all flags of a GOOD superblock. */
bool ddebug_log_may_write(const DdebugSuper *super);

/* Segments */

/* struct ddebug_log_seg in host order. */
typedef struct DdebugLogSeg {
    uint64_t seq;               /* never 0 */
    uint32_t type;              /* DDEBUG_LOG_SEG_*, or unknown */
    uint32_t epoch;
    uint32_t tag;               /* of its chunks; 0: any */
    bool headless;              /* known by a chunk; its header is damaged */
} DdebugLogSeg;

typedef enum DdebugSegState {
    DDEBUG_SEG_UNUSED,          /* zeros, or valid with number 0 */
    DDEBUG_SEG_VALID,
    DDEBUG_SEG_DAMAGED,         /* see ddebug_log_find_headless() */
} DdebugSegState;

/* @seg: set if the header is valid */
DdebugSegState ddebug_log_parse_seg(const struct ddebug_log_seg *disk,
                                    DdebugLogSeg *seg);

/*
 * How far from the begin of a slot ddebug_log_find_headless() need look: no
 * chunk is longer than the smallest segment, so that a chunk begins within it
 * unless more than one is damaged.
 */
#define DDEBUG_LOG_HEADLESS_MAX DDEBUG_LOG_SEG_SIZE_MIN

/**
 * ddebug_log_find_headless: identifies a segment whose header is damaged.
 * @slot: the first @len bytes of the slot, header included
 * @seg: set if it is identified
 *
 * The first chunk tells if the header still has its magic or its number.  A
 * slot that was given up has neither, so its chunks stay hidden.  They do as
 * well if a writer died while it wrote the next header there: the crc, which
 * comes last, is zero then, and the number another.  If the first chunk is
 * damaged too, a later one with the number and the tag of the header tells; what
 * an earlier use of the slot left has another number, and what a guest wrote
 * another tag.
 *
 * Returns: false if nothing tells
 */
bool ddebug_log_find_headless(const void *slot, size_t len, DdebugLogSeg *seg);

/* Chunks */

#define DDEBUG_LOG_CHUNK_ALIGN 8u

/* Where the first chunk of a segment begins. */
#define DDEBUG_LOG_FIRST_CHUNK ((uint32_t)sizeof(struct ddebug_log_seg))

/* struct ddebug_log_chunk in host order. */
typedef struct DdebugChunk {
    uint16_t type;              /* DDEBUG_LOG_CHUNK_*, or unknown */
    uint64_t seg_seq;
    uint32_t tag;
    uint32_t off;
    uint32_t len;
    uint64_t chunk_seq;
    uint64_t realtime;
    uint64_t monotonic;
    uint32_t epoch;
    uint32_t stream;
    uint32_t generation;
    uint32_t cpu;
    uint8_t context;
    uint8_t subbuf_shift;
    uint64_t pass;
    uint64_t pos;
    uint64_t produced;
    uint64_t recursed;
    uint64_t torn;
    uint64_t clamped;
    const uint8_t *payload;     /* len bytes, checked; NULL: damaged */
    /*
     * A span that a writer which died had left in a shared ring: not in a chunk
     * of the file, covered by no checksum.  Its host's times are unknown; these
     * are the newest chunk's, which the device's could not precede.
     */
    bool from_ring;
    const char *broken_rule;    /* why a ring cannot be read; payload is NULL */
} DdebugChunk;

/* Bytes from the begin of a chunk with a payload of @len to the next one. */
static inline size_t ddebug_log_chunk_size(size_t len)
{
    return sizeof(struct ddebug_log_chunk) + len +
           -len % DDEBUG_LOG_CHUNK_ALIGN;
}

/**
 * ddebug_log_parse_chunk: reads a chunk header, wherever it is.
 * @avail: bytes at @bytes; too few for a header is not an error
 * @chunk: set, without a payload, if the header is valid; undefined otherwise
 * @payload_crc: likewise
 *
 * Returns: whether magic and checksum fit
 */
bool ddebug_log_parse_chunk(const void *bytes, size_t avail,
                            DdebugChunk *chunk, uint32_t *payload_crc);

/**
 * ddebug_log_parse_chunk_at: as ddebug_log_parse_chunk(), for a known place.
 * @seg_size: of the segment
 * @seg_seq, @tag: of the segment
 * @off: of the header in the segment, a multiple of eight; may be beyond the
 *       last one that fits
 *
 * Returns: whether the header is valid, belongs there, and its payload ends
 * within the segment; then the padding does as well
 */
bool ddebug_log_parse_chunk_at(const void *bytes, size_t avail,
                               uint32_t seg_size, uint64_t seg_seq,
                               uint32_t tag, uint32_t off, DdebugChunk *chunk,
                               uint32_t *payload_crc);

/*
 * Whether a header that is not valid is what damage left of a chunk of this
 * place: two of magic, seg_seq and off fit.  What an earlier use of the slot
 * left there is of another segment.
 */
bool ddebug_log_are_remains(const struct ddebug_log_chunk *disk,
                            uint64_t seg_seq, uint32_t off);

/**
 * ddebug_log_skip_damage: where to go on behind a place without a valid chunk.
 * @seg: the whole segment, @seg_size bytes
 * @off: of the place, a multiple of eight, at most @seg_size
 * @doubts: bytes of payloads of damaged chunks that may still be checked in
 * this
 *          segment, @seg_size at first: bounds what forged lengths can cost
 *
 * The length in a damaged header may be what is damaged, so it is not followed,
 * with one exception: if it leads farther than the next valid chunk, and the
 * checksum of the payload shows that it is right, that chunk is a guest's text.
 * That is for segments without a tag: there a guest that knows segment and
 * offset beforehand can forge a chunk.
 *
 * Returns: the offset of the next valid chunk, or of the end of such a payload;
 * 0 if no valid chunk is behind @off
 */
uint32_t ddebug_log_skip_damage(const void *seg, uint32_t seg_size,
                                uint64_t seg_seq, uint32_t tag, uint32_t off,
                                uint32_t *doubts);

/*
 * The position in its stream behind a DATA chunk of @len bytes at @pos: where
 * @pos is within a sub-buffer, a copy of its header precedes the span.
 */
uint64_t ddebug_log_data_end(uint64_t pos, uint32_t len, uint8_t subbuf_shift);

/* State, request, reply */

/* struct ddebug_log_state in host order. */
typedef struct DdebugState {
    uint64_t settled_pass;
    uint64_t seg_seq;
    uint64_t io_lost;
} DdebugState;

/* struct ddebug_log_sync in host order. */
typedef struct DdebugSync {
    uint32_t interval;          /* seconds */
    uint64_t written;
    uint64_t synced;
    uint64_t realtime;
    uint64_t failed;
} DdebugSync;

/* struct ddebug_log_request in host order. */
typedef struct DdebugLogRequest {
    uint32_t type;              /* DDEBUG_LOG_REQUEST_*, or unknown */
    uint64_t id;
    uint64_t arg;
} DdebugLogRequest;

/* struct ddebug_log_reply in host order. */
typedef struct DdebugLogReply {
    uint32_t error;             /* 0, or a Linux errno */
    uint64_t id;
    uint64_t value;
} DdebugLogReply;

/* These return false, and set nothing, if magic or checksum do not fit. */
bool ddebug_log_parse_state(const struct ddebug_log_state *disk,
                            DdebugState *state);
bool ddebug_log_parse_sync(const struct ddebug_log_sync *disk,
                           DdebugSync *sync);
bool ddebug_log_parse_request(const struct ddebug_log_request *disk,
                              DdebugLogRequest *request);
bool ddebug_log_parse_reply(const struct ddebug_log_reply *disk,
                            DdebugLogReply *reply);

#endif /* DDEBUG_LOG_FORMAT_H */
