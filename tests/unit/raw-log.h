/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An independent reader of the log file: it shares nothing with the writer but
 * the header.  Its checksum is computed from the definition, and it checks every
 * rule of docs/log-format.md that it can see; what breaks one fails the test.
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
    uint64_t slot;
    uint32_t end;               /* of its last chunk; 0 where they were not looked at */
} Seg;

typedef struct View {
    uint8_t *file;
    gsize len;
    struct ddebug_log_super super;
    GArray *all;                /* Seg, by seq, also those that are there twice */
    GArray *segs;               /* Seg, by seq, each once */
    GArray *chunks;             /* Chunk, by seq of segment, then by place */
    unsigned twice;             /* segments that were there twice */
} View;

/* CRC32C, bit by bit; and a byte at a time, or the tests would take minutes. */
uint32_t crc_slow(const void *data, size_t len);
uint32_t crc(const void *data, size_t len);

/* @live: every epoch of which there are data has its dictionary. */
View *view_load(const char *path, bool live);
/* One that no writer died over. */
View *view(const char *path);
void view_free(View *v);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(View, view_free)

/* Rule 5: nothing is left of what a slot had before.  Not where a write was cut short. */
void view_check_rest(View *v);

/* Chunks of @type. */
unsigned count(View *v, unsigned type);
/* The event that is the @from_end-th before the last. */
struct ddebug_log_event event_at(View *v, int from_end);

/* Numbers that look random and follow from @x. */
static inline uint32_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    return x;
}

#endif
