/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding again what a former writer left: rule 3 of docs/log-format.md. */
#include "ddebug-log-internal.h"

static bool seg_usable(const struct ddebug_log_seg *seg)
{
    uint32_t type = GUINT32_FROM_LE(seg->type);

    return GUINT32_FROM_LE(seg->magic) == DDEBUG_LOG_SEG_MAGIC && sealed(seg) &&
           (type == DDEBUG_LOG_SEG_DATA || type == DDEBUG_LOG_SEG_DICT) &&
           seg->seq != 0;
}

bool ddlog_next_chunk(const DdebugLog *log, const char *buf, uint64_t seq,
                      uint32_t *off, struct ddebug_log_chunk *c,
                      const char **payload)
{
    const char *at = buf + *off;
    uint32_t len;

    if (*off + sizeof(*c) > log->seg_size) {
        return false;
    }
    memcpy(c, at, sizeof(*c));
    len = GUINT32_FROM_LE(c->len);
    if (GUINT32_FROM_LE(c->magic) != DDEBUG_LOG_CHUNK_MAGIC || !sealed(c) ||
        GUINT64_FROM_LE(c->seg_seq) != seq ||
        GUINT32_FROM_LE(c->off) != *off ||
        len > log->seg_size - *off - sizeof(*c)) {
        return false;
    }
    *payload = at + sizeof(*c);
    *off += ddlog_chunk_size(len);
    return true;
}

/*
 * Takes the numbers that the chunks of a segment have used.  Returns how many
 * chunks it saw of those that count for the type: a data segment may hold
 * nothing but events, which have no pass.
 */
static unsigned scan_segment(DdebugLog *log, uint64_t slot, char *buf)
{
    const uint64_t seq = log->slots[slot].seq;
    struct ddebug_log_chunk c;
    uint32_t off = FIRST_CHUNK;
    const char *payload;
    unsigned seen = 0;

    if (ddlog_read_at(log->fd, buf, log->seg_size, ddlog_slot_off(log, slot))) {
        return 0;
    }
    while (ddlog_next_chunk(log, buf, seq, &off, &c, &payload)) {
        log->next_chunk = MAX(log->next_chunk,
                              GUINT64_FROM_LE(c.chunk_seq) + 1);
        log->epoch = MAX(log->epoch, GUINT32_FROM_LE(c.epoch));
        if (GUINT16_FROM_LE(c.type) == DDEBUG_LOG_CHUNK_DATA) {
            log->last_pass = MAX(log->last_pass, GUINT64_FROM_LE(c.pass));
            /* of a write that was cut short the ring has what the chunk lacks */
            if (log->shm_size &&
                ddebug_crc32c(payload, GUINT32_FROM_LE(c.len)) ==
                GUINT32_FROM_LE(c.payload_crc)) {
                log->last_data = (DdebugShmSeen) {
                    .epoch = GUINT32_FROM_LE(c.epoch),
                    .stream = GUINT32_FROM_LE(c.stream),
                    .end = ddebug_shm_end(GUINT64_FROM_LE(c.pos),
                                          GUINT32_FROM_LE(c.len),
                                          c.subbuf_shift),
                };
            }
        }
        if (log->slots[slot].type == DDEBUG_LOG_SEG_DICT ||
            GUINT16_FROM_LE(c.type) == DDEBUG_LOG_CHUNK_DATA) {
            seen++;
        }
    }
    return seen;
}

/*
 * Numbers only grow, so the highest are in the newest segment of either type
 * that holds any.
 */
static void scan_newest(DdebugLog *log, GArray *order)
{
    g_autofree char *buf = g_malloc(log->seg_size);
    bool want[] = {
        [DDEBUG_LOG_SEG_DATA] = true,
        [DDEBUG_LOG_SEG_DICT] = true,
    };
    guint i;

    for (i = 0; i < order->len; i++) {
        uint64_t slot = g_array_index(order, uint64_t, i);
        uint32_t type = log->slots[slot].type;

        if (want[type] && scan_segment(log, slot, buf)) {
            want[type] = false;
        }
    }
}

/* Does the segment begin with its epoch? */
static bool begins_epoch(const DdebugLog *log, uint64_t slot)
{
    struct ddebug_log_chunk c;

    return ddlog_read_at(log->fd, &c, sizeof(c),
                         ddlog_slot_off(log, slot) + FIRST_CHUNK) == 0 &&
           GUINT32_FROM_LE(c.magic) == DDEBUG_LOG_CHUNK_MAGIC && sealed(&c) &&
           GUINT64_FROM_LE(c.seg_seq) == log->slots[slot].seq &&
           GUINT16_FROM_LE(c.type) == DDEBUG_LOG_CHUNK_ATTACH;
}

/*
 * Nothing was put into a dictionary segment once the next one was begun.  So
 * the headers bound its epochs, and the other segments need not be read.
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

/* Rule 3; and what rule 7 says may be there twice is made single again. */
bool ddlog_load_slots(DdebugLog *log, GError **error)
{
    g_autoptr(GArray) order = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    struct ddebug_log_seg seg;
    uint64_t slot;
    guint i;
    int r;

    log->slots = g_renew(DdebugLogSlot, log->slots, log->nr_segs);
    memset(log->slots, 0, log->nr_segs * sizeof(log->slots[0]));
    for (slot = 0; slot < log->nr_segs; slot++) {
        r = ddlog_read_at(log->fd, &seg, sizeof(seg),
                          ddlog_slot_off(log, slot));
        if (r) {
            return ddlog_fail_io(error, log->path, "cannot read", -r);
        }
        if (!seg_usable(&seg)) {
            continue;
        }
        log->slots[slot].seq = GUINT64_FROM_LE(seg.seq);
        log->slots[slot].type = GUINT32_FROM_LE(seg.type);
        log->slots[slot].epoch = GUINT32_FROM_LE(seg.epoch);
        log->next_seq = MAX(log->next_seq, log->slots[slot].seq + 1);
        log->epoch = MAX(log->epoch, log->slots[slot].epoch);
        g_array_append_val(order, slot);
    }
    ddlog_sort_desc_by_seq(log, order);
    scan_newest(log, order);
    find_last_epochs(log, order);
    for (i = 0; i < order->len; i++) {
        DdebugLogSlot *s = &log->slots[g_array_index(order, uint64_t, i)];
        bool twice = i && s->seq ==
            log->slots[g_array_index(order, uint64_t, i - 1)].seq;
        bool cleared = s->type == DDEBUG_LOG_SEG_DATA &&
                       s->seq < GUINT64_FROM_LE(log->super.first_seg);

        if (twice) {
            r = ddlog_wipe_slot(log, g_array_index(order, uint64_t, i));
            if (r) {
                return ddlog_fail_io(error, log->path, "cannot write", -r);
            }
            /* the next one is compared with the one that stays */
            g_array_index(order, uint64_t, i) =
                g_array_index(order, uint64_t, i - 1);
        } else if (cleared) {
            s->seq = 0;
        }
    }
    return true;
}

/* Rule 3: passes go on too.  A state page that is damaged says nothing. */
void ddlog_load_state(DdebugLog *log)
{
    struct ddebug_log_state s;

    if (!ddlog_read_at(log->fd, &s, sizeof(s), DDEBUG_LOG_STATE_OFF) &&
        GUINT32_FROM_LE(s.magic) == DDEBUG_LOG_STATE_MAGIC && sealed(&s)) {
        log->last_pass = MAX(log->last_pass, GUINT64_FROM_LE(s.settled_pass));
    }
}
