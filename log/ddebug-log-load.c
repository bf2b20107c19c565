/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading the state an earlier writer left: rule 3 of docs/log-format.md. */
#include "ddebug-log-internal.h"

bool ddlog_next_chunk(const DdebugLog *log, const char *buf,
                      const DdebugLogSlot *slot, DdebugLogPlace *place,
                      DdebugChunk *c)
{
    const uint32_t seg_size = log->seg_size;
    uint32_t crc;

    while (!ddebug_log_parse_chunk_at(buf + place->off, seg_size - place->off,
                                      seg_size, slot->seq, slot->tag,
                                      place->off, c, &crc)) {
        place->off = ddebug_log_skip_damage(buf, seg_size, slot->seq, slot->tag,
                                            place->off, &place->doubts);
        if (!place->off) {
            place->off = seg_size;
            return false;
        }
    }
    c->payload = (const uint8_t *)buf + place->off +
                 sizeof(struct ddebug_log_chunk);
    if (ddebug_crc32c(c->payload, c->len) != crc) {
        c->payload = NULL;
    }
    place->off += ddebug_log_chunk_size(c->len);
    return true;
}

/*
 * Take over the numbers that the chunks of a segment have used.  Set @seen to
 * how many chunks matter for its type: a data segment may hold only events,
 * which have no pass.  Returns 0 or a negative errno: numbers that cannot be
 * read would be used again.
 */
static int scan_segment(DdebugLog *log, uint64_t slot, char *buf,
                        unsigned *seen)
{
    const DdebugLogSlot *s = &log->slots[slot];
    DdebugLogPlace place = ddlog_first_place(log);
    DdebugChunk c;
    const int r = ddlog_read_at(log->fd, buf, log->seg_size,
                                ddlog_slot_off(log, slot));

    *seen = 0;
    if (r) {
        return r;
    }
    while (ddlog_next_chunk(log, buf, s, &place, &c)) {
        log->next_chunk = MAX(log->next_chunk, c.chunk_seq + 1);
        log->epoch = MAX(log->epoch, c.epoch);
        if (c.type == DDEBUG_LOG_CHUNK_DATA) {
            log->last_pass = MAX(log->last_pass, c.pass);
            /* if its write was cut short, the ring has what the chunk lacks */
            if (log->shm_size && c.payload && s->type == DDEBUG_LOG_SEG_DATA) {
                log->last_data = (DdebugShmSeen) {
                    .epoch = c.epoch,
                    .stream = c.stream,
                    .end = ddebug_log_data_end(c.pos, c.len, c.subbuf_shift),
                };
            }
        }
        if (s->type != DDEBUG_LOG_SEG_DATA || c.type == DDEBUG_LOG_CHUNK_DATA) {
            (*seen)++;
        }
    }
    return 0;
}

/*
 * Numbers only grow, so the highest are in the newest segment of each type that
 * has any.  All unknown types count as one.
 */
static int scan_newest(DdebugLog *log, GArray *order)
{
    g_autofree char *buf = g_malloc(log->seg_size);
    bool done[] = {
        [0] = false,
        [DDEBUG_LOG_SEG_DATA] = false,
        [DDEBUG_LOG_SEG_DICT] = false,
    };
    unsigned seen;
    int r = 0;
    guint i;

    for (i = 0; i < order->len && !r; i++) {
        uint64_t slot = g_array_index(order, uint64_t, i);
        uint32_t type = log->slots[slot].type;

        type = type < G_N_ELEMENTS(done) ? type : 0;
        if (!done[type]) {
            r = scan_segment(log, slot, buf, &seen);
            done[type] = seen > 0;
        }
    }
    return r;
}

/* Whether the segment starts with the attach record of its epoch. */
static bool begins_epoch(const DdebugLog *log, uint64_t slot)
{
    const uint32_t off = DDEBUG_LOG_FIRST_CHUNK;
    struct ddebug_log_chunk disk;
    DdebugChunk c;
    uint32_t crc;

    return ddlog_read_at(log->fd, &disk, sizeof(disk),
                         ddlog_slot_off(log, slot) + off) == 0 &&
           ddebug_log_parse_chunk_at(&disk, sizeof(disk), log->seg_size,
                                     log->slots[slot].seq,
                                     log->slots[slot].tag, off, &c, &crc) &&
           c.type == DDEBUG_LOG_CHUNK_ATTACH;
}

/*
 * Nothing is appended to a dictionary segment once the next one was begun.  So
 * the headers bound their epochs, and other segments need not be read.
 */
static void find_last_epochs(DdebugLog *log, GArray *order)
{
    uint32_t last = log->epoch;
    guint i;

    for (i = 0; i < order->len; i++) {
        DdebugLogSlot *s = &log->slots[g_array_index(order, uint64_t, i)];

        if (s->type == DDEBUG_LOG_SEG_DICT) {
            uint64_t slot = g_array_index(order, uint64_t, i);

            s->last_epoch = MAX(last, s->epoch);
            last = s->epoch - (s->epoch && begins_epoch(log, slot));
        }
    }
}

/*
 * Bytes from @at on that may tell a segment: in a hole no chunk is.  So a sparse
 * file, whatever it claims, costs no more than its bytes on disk.
 */
static size_t headless_len(const DdebugLog *log, uint64_t at)
{
    const off_t end = at + DDEBUG_LOG_HEADLESS_MAX;
    const off_t hole = lseek(log->fd, at, SEEK_HOLE);
    off_t data;

    if (hole < 0 || hole >= end) {
        return DDEBUG_LOG_HEADLESS_MAX;
    }
    data = lseek(log->fd, hole, SEEK_DATA);
    return data < 0 ? (errno == ENXIO ? hole - at : DDEBUG_LOG_HEADLESS_MAX) :
           data < end ? DDEBUG_LOG_HEADLESS_MAX : hole - at;
}

/* Read the header of @slot.  If its segment cannot be identified, it is unused. */
static int load_slot(DdebugLog *log, uint64_t slot)
{
    const uint64_t at = ddlog_slot_off(log, slot);
    struct ddebug_log_seg disk;
    DdebugLogSeg seg;
    int r;

    r = ddlog_read_at(log->fd, &disk, sizeof(disk), at);
    if (r) {
        return r;
    }
    switch (ddebug_log_parse_seg(&disk, &seg)) {
    case DDEBUG_SEG_DAMAGED: {
        const size_t len = headless_len(log, at);
        g_autofree char *buf = g_malloc(len);

        r = ddlog_read_at(log->fd, buf, len, at);
        if (r || !ddebug_log_find_headless(buf, len, &seg)) {
            return r;
        }
        break;
    }
    case DDEBUG_SEG_VALID:
        break;
    case DDEBUG_SEG_UNUSED:
    default:
        return 0;
    }
    log->slots[slot] = (DdebugLogSlot) {
        .seq = seg.seq,
        .type = seg.type,
        .epoch = seg.epoch,
        .tag = seg.tag,
        .headless = seg.headless,
    };
    return 0;
}

/* Whether @a and @b are one segment, which rule 7 left twice. */
static bool is_same_segment(const DdebugLogSlot *a, const DdebugLogSlot *b)
{
    return a->seq == b->seq && a->type == b->type;
}

/* Rule 3.  Of a segment that rule 7 left twice, wipe one copy. */
bool ddlog_load_slots(DdebugLog *log, GError **error)
{
    g_autoptr(GArray) order = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    const DdebugLogSlot *last = NULL;
    uint64_t slot;
    guint i;
    int r;

    log->slots = g_renew(DdebugLogSlot, log->slots, log->nr_segs);
    memset(log->slots, 0, log->nr_segs * sizeof(log->slots[0]));
    for (slot = 0; slot < log->nr_segs; slot++) {
        const DdebugLogSlot *s = &log->slots[slot];

        r = load_slot(log, slot);
        if (r) {
            return ddlog_fail_io(error, log->path, "cannot read", -r);
        }
        if (s->seq) {
            log->next_seq = MAX(log->next_seq, s->seq + 1);
            log->epoch = MAX(log->epoch, s->epoch);
            g_array_append_val(order, slot);
        }
    }
    /* a power loss may have taken the segment of a clear: what follows is not */
    log->next_seq = MAX(log->next_seq, GUINT64_FROM_LE(log->super.first_seg));
    ddlog_sort_desc_by_seq(log, order);
    r = scan_newest(log, order);
    if (r) {
        return ddlog_fail_io(error, log->path, "cannot read", -r);
    }
    find_last_epochs(log, order);
    for (i = 0; i < order->len; i++) {
        DdebugLogSlot *s = &log->slots[g_array_index(order, uint64_t, i)];

        if (last && is_same_segment(s, last)) {
            r = ddlog_wipe_slot(log, g_array_index(order, uint64_t, i));
            if (r) {
                return ddlog_fail_io(error, log->path, "cannot write", -r);
            }
        } else {
            last = s;
        }
    }
    for (slot = 0; slot < log->nr_segs; slot++) {
        DdebugLogSlot *s = &log->slots[slot];

        if (ddlog_is_cleared(s, GUINT64_FROM_LE(log->super.first_seg))) {
            s->seq = 0;
        }
    }
    return true;
}

/* Rule 3: passes go on as well.  A damaged state page says nothing. */
void ddlog_load_state(DdebugLog *log)
{
    struct ddebug_log_state disk;
    DdebugState state;

    if (!ddlog_read_at(log->fd, &disk, sizeof(disk), DDEBUG_LOG_STATE_OFF) &&
        ddebug_log_parse_state(&disk, &state)) {
        log->last_pass = MAX(log->last_pass, state.settled_pass);
    }
}
