/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An independent reader of the log file, which shares nothing with the writer but the
 * header.  It computes the checksum from the definition, and checks every rule of
 * docs/log-format.md that can be checked in a file; a violation fails the test.
 */
#ifndef RAW_LOG_H
#define RAW_LOG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ddebug_log.h"

typedef struct Chunk {
    struct ddebug_log_chunk h;
    const uint8_t *payload;
    uint32_t seg_type;
    uint32_t seg_epoch;
} Chunk;

typedef struct Seg {
    uint64_t seq;
    uint32_t type;
    uint32_t epoch;
    uint32_t tag;
    uint64_t slot;
    uint32_t end;               /* of its last chunk; 0 if the chunks were not read */
} Seg;

typedef struct View {
    uint8_t *file;
    gsize len;
    struct ddebug_log_super super;
    GArray *all;                /* Seg, by seq, including duplicates */
    GArray *segs;               /* Seg, by seq, without duplicates */
    GArray *chunks;             /* Chunk, by seq of segment, then by offset */
    unsigned twice;             /* segments with a duplicate */
} View;

/* CRC32C, bit by bit; and by byte, without which the tests would take minutes. */
uint32_t crc_slow(const void *data, size_t len);
uint32_t crc(const void *data, size_t len);

/* @live: every epoch that has data has its dictionary. */
View *view_load(const char *path, bool live);
/* A log that no writer died writing. */
View *view(const char *path);
void view_free(View *v);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(View, view_free)

/* Rule 5: nothing is left of a slot's old content.  Does not hold after a torn write. */
void view_check_rest(View *v);

/* Chunks of @type. */
unsigned count(View *v, unsigned type);
/* The event that is the @from_end-th before the last. */
struct ddebug_log_event event_at(View *v, int from_end);

/* A pseudo-random number derived from @x. */
static inline uint32_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    return x;
}

#endif
