/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of docs/log-format.md about bytes. */
#include "ddebug-log-format.h"

#include <glib.h>
#include <isa-l/crc.h>
#include <string.h>

#include "ddebug_record.h"

/* ISA-L takes an int; the longest piece summed is a segment of 1 MiB. */
uint32_t ddebug_crc32c(const void *data, size_t len)
{
    return ~crc32_iscsi((unsigned char *)data, (int)len, ~0u);
}

static uint32_t stored_crc(const void *structure, size_t size)
{
    uint32_t crc;

    memcpy(&crc, (const char *)structure + size - sizeof(crc), sizeof(crc));
    return GUINT32_FROM_LE(crc);
}

void ddebug_log_seal(void *structure, size_t size)
{
    const size_t at = size - sizeof(uint32_t);
    const uint32_t crc = GUINT32_TO_LE(ddebug_crc32c(structure, at));

    memcpy((char *)structure + at, &crc, sizeof(crc));
}

bool ddebug_log_is_sealed(const void *structure, size_t size)
{
    return stored_crc(structure, size) ==
           ddebug_crc32c(structure, size - sizeof(uint32_t));
}

bool ddebug_log_is_zero(const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* Geometry */

uint32_t ddebug_log_seg_size_for(uint64_t size)
{
    return size < 8ull << 20 ? 128u << 10 :
           size < 64ull << 20 ? 256u << 10 : 1u << 20;
}

uint64_t ddebug_log_nr_segs_for(uint64_t size, uint32_t seg_size,
                                uint64_t shm_size)
{
    const uint64_t begin = DDEBUG_LOG_SEGS_OFF + shm_size;

    return size < begin ? 0 : (size - begin) / seg_size;
}

uint64_t ddebug_log_file_size(uint64_t nr_segs, uint32_t seg_size,
                              uint64_t shm_size)
{
    return DDEBUG_LOG_SEGS_OFF + shm_size + nr_segs * seg_size;
}

bool ddebug_log_is_shm_size(uint64_t bytes)
{
    return bytes >= DDEBUG_LOG_SHM_SIZE_MIN &&
           bytes <= DDEBUG_LOG_SHM_SIZE_MAX && (bytes & (bytes - 1)) == 0;
}

/* Superblock */

static void super_from_disk(const struct ddebug_log_super *disk,
                            DdebugSuper *super)
{
    *super = (DdebugSuper) {
        .version = GUINT32_FROM_LE(disk->version),
        .incompat = GUINT32_FROM_LE(disk->incompat),
        .compat = GUINT32_FROM_LE(disk->compat),
        .seg_size = GUINT32_FROM_LE(disk->seg_size),
        .generation = GUINT64_FROM_LE(disk->generation),
        .size = GUINT64_FROM_LE(disk->size),
        .nr_segs = GUINT64_FROM_LE(disk->nr_segs),
        .first_seg = GUINT64_FROM_LE(disk->first_seg),
        .shm_size = GUINT64_FROM_LE(disk->shm_size),
        .created = GUINT64_FROM_LE(disk->created),
        .opened = GUINT64_FROM_LE(disk->opened),
        .writer_pid = GUINT32_FROM_LE(disk->writer_pid),
        .is_named = disk->named_at && disk->named_at == disk->opened,
        .file_dev = GUINT64_FROM_LE(disk->file_dev),
        .file_ino = GUINT64_FROM_LE(disk->file_ino),
        .file_fs = GUINT32_FROM_LE(disk->file_fs),
    };
    memcpy(super->uuid, disk->uuid, sizeof(super->uuid));
    memcpy(super->vm_name, disk->vm_name, sizeof(disk->vm_name));
    memcpy(super->vm_uuid, disk->vm_uuid, sizeof(super->vm_uuid));
    memcpy(super->writer, disk->writer, sizeof(disk->writer));
    memcpy(super->host_boot, disk->host_boot, sizeof(super->host_boot));
}

/* The sizes are checked before they are multiplied: nothing overflows. */
static bool super_in_bounds(const DdebugSuper *s)
{
    const bool has_shm = s->incompat & DDEBUG_LOG_INCOMPAT_SHM;

    return has_shm == (s->shm_size != 0) &&
           (!has_shm || ddebug_log_is_shm_size(s->shm_size)) &&
           s->seg_size >= DDEBUG_LOG_SEG_SIZE_MIN &&
           s->seg_size <= DDEBUG_LOG_SEG_SIZE_MAX &&
           (s->seg_size & (s->seg_size - 1)) == 0 &&
           s->nr_segs >= DDEBUG_LOG_NR_SEGS_MIN &&
           s->nr_segs <= ddebug_log_nr_segs_for(DDEBUG_LOG_SIZE_MAX,
                                                s->seg_size, s->shm_size) &&
           s->size == ddebug_log_file_size(s->nr_segs, s->seg_size,
                                           s->shm_size);
}

/* @bytes: a copy, of which the file has @len bytes */
static DdebugSuperState check_copy(const void *bytes, size_t len,
                                   DdebugSuper *super)
{
    struct ddebug_log_super disk;
    bool sealed;

    if (ddebug_log_is_zero(bytes, len)) {
        return DDEBUG_SUPER_NOTHING;
    }
    if (len < sizeof(disk.magic) ||
        memcmp(bytes, DDEBUG_LOG_MAGIC, sizeof(disk.magic))) {
        return DDEBUG_SUPER_FOREIGN;
    }
    if (len < sizeof(disk)) {
        return DDEBUG_SUPER_DAMAGED;
    }
    memcpy(&disk, bytes, sizeof(disk));
    sealed = ddebug_log_is_sealed(&disk, sizeof(disk));
    super_from_disk(&disk, super);
    /* magic, version and crc are where they are in all versions */
    if (super->version != DDEBUG_LOG_VERSION) {
        return sealed ? DDEBUG_SUPER_VERSION : DDEBUG_SUPER_OTHER;
    }
    if (!sealed) {
        return DDEBUG_SUPER_DAMAGED;
    }
    /*
     * An unknown incompat bit may change what the bounds mean: do not check
     * them, or an older copy would count, which a writer would then go on with.
     */
    if (super->incompat & ~DDEBUG_LOG_INCOMPAT_KNOWN) {
        return DDEBUG_SUPER_FEATURES;
    }
    return super_in_bounds(super) ? DDEBUG_SUPER_GOOD : DDEBUG_SUPER_DAMAGED;
}

static bool has_generation(DdebugSuperState state)
{
    return state == DDEBUG_SUPER_FEATURES || state == DDEBUG_SUPER_GOOD;
}

DdebugSuperState ddebug_log_choose_super(const void *bytes, size_t len,
                                         DdebugSuper *super, int *copy)
{
    const size_t size = sizeof(struct ddebug_log_super);
    DdebugSuper found[2];
    DdebugSuperState state[2];
    int i, best;

    for (i = 0; i < 2; i++) {
        const size_t at = DDEBUG_LOG_SUPER_OFF(i);

        state[i] = check_copy((const char *)bytes + at,
                              len > at ? MIN(len - at, size) : 0, &found[i]);
    }
    if (has_generation(state[0]) && has_generation(state[1])) {
        best = found[1].generation > found[0].generation;
    } else {
        best = state[1] > state[0];
    }
    if (state[best] > DDEBUG_SUPER_DAMAGED) {
        *super = found[best];
    }
    *copy = best;
    return state[best];
}

bool ddebug_log_may_write(const DdebugSuper *super)
{
    return !(super->compat & ~DDEBUG_LOG_COMPAT_KNOWN);
}

/* Segments */

DdebugSegState ddebug_log_parse_seg(const struct ddebug_log_seg *disk,
                                    DdebugLogSeg *seg)
{
    if (ddebug_log_is_zero(disk, sizeof(*disk))) {
        return DDEBUG_SEG_UNUSED;
    }
    if (GUINT32_FROM_LE(disk->magic) != DDEBUG_LOG_SEG_MAGIC ||
        !ddebug_log_is_sealed(disk, sizeof(*disk))) {
        return DDEBUG_SEG_DAMAGED;
    }
    if (!disk->seq) {
        return DDEBUG_SEG_UNUSED;
    }
    *seg = (DdebugLogSeg) {
        .seq = GUINT64_FROM_LE(disk->seq),
        .type = GUINT32_FROM_LE(disk->type),
        .epoch = GUINT32_FROM_LE(disk->epoch),
        .tag = GUINT32_FROM_LE(disk->tag),
    };
    return DDEBUG_SEG_VALID;
}

/*
 * Whether @chunk, @at bytes behind the damaged header @disk, tells its segment.
 */
static bool tells_segment(const struct ddebug_log_seg *disk, size_t at,
                          const DdebugChunk *chunk)
{
    if (chunk->off != at || !chunk->seg_seq) {
        return false;
    }
    if (at > DDEBUG_LOG_FIRST_CHUNK) {
        return chunk->seg_seq == GUINT64_FROM_LE(disk->seq) &&
               chunk->tag == GUINT32_FROM_LE(disk->tag);
    }
    return chunk->seg_seq == GUINT64_FROM_LE(disk->seq) ||
           (disk->crc && GUINT32_FROM_LE(disk->magic) == DDEBUG_LOG_SEG_MAGIC);
}

bool ddebug_log_find_headless(const void *slot, size_t len, DdebugLogSeg *seg)
{
    const char *bytes = slot;
    struct ddebug_log_seg disk;
    DdebugChunk chunk;
    uint32_t crc;
    size_t at;

    if (len < sizeof(disk)) {
        return false;
    }
    memcpy(&disk, bytes, sizeof(disk));
    for (at = DDEBUG_LOG_FIRST_CHUNK; at < len; at += DDEBUG_LOG_CHUNK_ALIGN) {
        if (!ddebug_log_parse_chunk(bytes + at, len - at, &chunk, &crc) ||
            !tells_segment(&disk, at, &chunk)) {
            continue;
        }
        *seg = (DdebugLogSeg) {
            .seq = chunk.seg_seq,
            .type = chunk.type == DDEBUG_LOG_CHUNK_ATTACH ||
                    chunk.type == DDEBUG_LOG_CHUNK_DICT ?
                    DDEBUG_LOG_SEG_DICT : DDEBUG_LOG_SEG_DATA,
            .epoch = chunk.epoch,
            .tag = chunk.tag,
            .headless = true,
        };
        return true;
    }
    return false;
}

/* Chunks */

static void chunk_from_disk(const struct ddebug_log_chunk *disk,
                            DdebugChunk *chunk)
{
    *chunk = (DdebugChunk) {
        .type = GUINT16_FROM_LE(disk->type),
        .seg_seq = GUINT64_FROM_LE(disk->seg_seq),
        .off = GUINT32_FROM_LE(disk->off),
        .len = GUINT32_FROM_LE(disk->len),
        .chunk_seq = GUINT64_FROM_LE(disk->chunk_seq),
        .realtime = GUINT64_FROM_LE(disk->realtime),
        .monotonic = GUINT64_FROM_LE(disk->monotonic),
        .epoch = GUINT32_FROM_LE(disk->epoch),
        .stream = GUINT32_FROM_LE(disk->stream),
        .generation = GUINT32_FROM_LE(disk->generation),
        .cpu = GUINT32_FROM_LE(disk->cpu),
        .context = disk->context,
        .subbuf_shift = disk->subbuf_shift,
        .pass = GUINT64_FROM_LE(disk->pass),
        .pos = GUINT64_FROM_LE(disk->pos),
        .produced = GUINT64_FROM_LE(disk->produced),
        .recursed = GUINT64_FROM_LE(disk->recursed),
        .torn = GUINT64_FROM_LE(disk->torn),
        .clamped = GUINT64_FROM_LE(disk->clamped),
        .tag = GUINT32_FROM_LE(disk->tag),
    };
}

bool ddebug_log_parse_chunk(const void *bytes, size_t avail,
                            DdebugChunk *chunk, uint32_t *payload_crc)
{
    struct ddebug_log_chunk disk;

    if (avail < sizeof(disk)) {
        return false;
    }
    /* searched for at each multiple of eight: most places end here */
    memcpy(&disk.magic, bytes, sizeof(disk.magic));
    if (GUINT32_FROM_LE(disk.magic) != DDEBUG_LOG_CHUNK_MAGIC) {
        return false;
    }
    memcpy(&disk, bytes, sizeof(disk));
    if (!ddebug_log_is_sealed(&disk, sizeof(disk))) {
        return false;
    }
    chunk_from_disk(&disk, chunk);
    *payload_crc = GUINT32_FROM_LE(disk.payload_crc);
    return true;
}

bool ddebug_log_parse_chunk_at(const void *bytes, size_t avail,
                               uint32_t seg_size, uint64_t seg_seq,
                               uint32_t tag, uint32_t off, DdebugChunk *chunk,
                               uint32_t *payload_crc)
{
    const uint32_t header = sizeof(struct ddebug_log_chunk);

    return off <= seg_size - header &&
           ddebug_log_parse_chunk(bytes, avail, chunk, payload_crc) &&
           chunk->seg_seq == seg_seq && chunk->off == off &&
           (!tag || chunk->tag == tag) &&
           chunk->len <= seg_size - header - off;
}

bool ddebug_log_are_remains(const struct ddebug_log_chunk *disk,
                            uint64_t seg_seq, uint32_t off)
{
    return (GUINT32_FROM_LE(disk->magic) == DDEBUG_LOG_CHUNK_MAGIC) +
           (GUINT64_FROM_LE(disk->seg_seq) == seg_seq) +
           (GUINT32_FROM_LE(disk->off) == off) >= 2 &&
           !ddebug_log_is_sealed(disk, sizeof(*disk));
}

/*
 * Bytes of the chunk at @off, whose header is damaged, if they are more than
 * @least, and length and payload are not damaged; else 0.
 */
static uint32_t whole_span(const void *seg, uint32_t seg_size, uint64_t seg_seq,
                           uint32_t off, uint32_t least, uint32_t *doubts)
{
    const char *at = (const char *)seg + off;
    struct ddebug_log_chunk disk;
    uint32_t len;

    /* a valid chunk is behind it, so a header fits */
    memcpy(&disk, at, sizeof(disk));
    len = GUINT32_FROM_LE(disk.len);
    if (!ddebug_log_are_remains(&disk, seg_seq, off) ||
        len > seg_size - sizeof(disk) - off || len > *doubts ||
        ddebug_log_chunk_size(len) <= least) {
        return 0;
    }
    *doubts -= len;
    return ddebug_crc32c(at + sizeof(disk), len) ==
           GUINT32_FROM_LE(disk.payload_crc) ? ddebug_log_chunk_size(len) : 0;
}

uint32_t ddebug_log_skip_damage(const void *seg, uint32_t seg_size,
                                uint64_t seg_seq, uint32_t tag, uint32_t off,
                                uint32_t *doubts)
{
    const char *bytes = seg;
    DdebugChunk chunk;
    uint32_t at, span, crc;

    for (at = off + DDEBUG_LOG_CHUNK_ALIGN; at < seg_size;
         at += DDEBUG_LOG_CHUNK_ALIGN) {
        if (ddebug_log_parse_chunk_at(bytes + at, seg_size - at, seg_size,
                                      seg_seq, tag, at, &chunk, &crc)) {
            span = whole_span(bytes, seg_size, seg_seq, off, at - off, doubts);
            return span ? off + span : at;
        }
    }
    return 0;
}

uint64_t ddebug_log_data_end(uint64_t pos, uint32_t len, uint8_t subbuf_shift)
{
    const uint64_t subbuf = 1ull << (subbuf_shift & 31);
    const uint32_t header = sizeof(struct ddebug_subbuf_hdr);

    return pos + len - (pos % subbuf ? MIN(header, len) : 0);
}

/* State, request, reply */

bool ddebug_log_parse_state(const struct ddebug_log_state *disk,
                            DdebugState *state)
{
    if (GUINT32_FROM_LE(disk->magic) != DDEBUG_LOG_STATE_MAGIC ||
        !ddebug_log_is_sealed(disk, sizeof(*disk))) {
        return false;
    }
    *state = (DdebugState) {
        .settled_pass = GUINT64_FROM_LE(disk->settled_pass),
        .seg_seq = GUINT64_FROM_LE(disk->seg_seq),
        .io_lost = GUINT64_FROM_LE(disk->io_lost),
    };
    return true;
}

bool ddebug_log_parse_sync(const struct ddebug_log_sync *disk,
                           DdebugSync *sync)
{
    if (GUINT32_FROM_LE(disk->magic) != DDEBUG_LOG_SYNC_MAGIC ||
        !ddebug_log_is_sealed(disk, sizeof(*disk))) {
        return false;
    }
    *sync = (DdebugSync) {
        .interval = GUINT32_FROM_LE(disk->interval),
        .written = GUINT64_FROM_LE(disk->written),
        .synced = GUINT64_FROM_LE(disk->synced),
        .realtime = GUINT64_FROM_LE(disk->realtime),
        .failed = GUINT64_FROM_LE(disk->failed),
    };
    return true;
}

bool ddebug_log_parse_request(const struct ddebug_log_request *disk,
                              DdebugLogRequest *request)
{
    if (GUINT32_FROM_LE(disk->magic) != DDEBUG_LOG_REQUEST_MAGIC ||
        !ddebug_log_is_sealed(disk, sizeof(*disk))) {
        return false;
    }
    *request = (DdebugLogRequest) {
        .type = GUINT32_FROM_LE(disk->type),
        .id = GUINT64_FROM_LE(disk->id),
        .arg = GUINT64_FROM_LE(disk->arg),
    };
    return true;
}

bool ddebug_log_parse_reply(const struct ddebug_log_reply *disk,
                            DdebugLogReply *reply)
{
    if (GUINT32_FROM_LE(disk->magic) != DDEBUG_LOG_REPLY_MAGIC ||
        !ddebug_log_is_sealed(disk, sizeof(*disk))) {
        return false;
    }
    *reply = (DdebugLogReply) {
        .error = GUINT32_FROM_LE(disk->error),
        .id = GUINT64_FROM_LE(disk->id),
        .value = GUINT64_FROM_LE(disk->value),
    };
    return true;
}
