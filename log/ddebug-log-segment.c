/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Choosing the slot of the next segment: rule 5 of docs/log-format.md. */
#include "ddebug-log-internal.h"
#include <sys/random.h>

/* By number; of equal ones the copy that counts comes first. */
static gint by_seq_desc(gconstpointer a, gconstpointer b, gpointer slots)
{
    const uint64_t i = *(const uint64_t *)a, j = *(const uint64_t *)b;
    const DdebugLogSlot *x = (DdebugLogSlot *)slots + i;
    const DdebugLogSlot *y = (DdebugLogSlot *)slots + j;

    if (x->seq != y->seq) {
        return x->seq < y->seq ? 1 : -1;
    }
    if (x->type != y->type) {
        return x->type < y->type ? -1 : 1;
    }
    if (x->headless != y->headless) {
        return x->headless ? 1 : -1;
    }
    return i < j ? -1 : i > j;
}

void ddlog_sort_desc_by_seq(const DdebugLog *log, GArray *order)
{
    g_array_sort_with_data(order, by_seq_desc, log->slots);
}

GArray *ddlog_newest_first(const DdebugLog *log, uint32_t type)
{
    GArray *order = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    uint64_t i;

    for (i = 0; i < log->nr_segs; i++) {
        if (ddlog_is_used(&log->slots[i], type)) {
            g_array_append_val(order, i);
        }
    }
    ddlog_sort_desc_by_seq(log, order);
    return order;
}

bool ddlog_is_used(const DdebugLogSlot *s, uint32_t type)
{
    return s->seq && s->type == type;
}

/* Of an unknown type, too: where nothing is overwritten it would stay for ever. */
bool ddlog_is_cleared(const DdebugLogSlot *s, uint64_t first_seg)
{
    return s->type != DDEBUG_LOG_SEG_DICT && s->seq < first_seg;
}

bool ddlog_is_frozen(const DdebugLog *log, const DdebugLogSlot *s)
{
    return ddlog_is_used(s, DDEBUG_LOG_SEG_DATA) &&
           s->seq >= GUINT64_FROM_LE(log->super.frozen_first) &&
           s->seq <= GUINT64_FROM_LE(log->super.frozen_last);
}

bool ddlog_frozen_needs(const DdebugLog *log, const DdebugLogSlot *dict)
{
    const struct ddebug_log_super *s = &log->super;

    return s->frozen_last &&
           dict->epoch <= GUINT32_FROM_LE(s->frozen_epoch_last) &&
           dict->last_epoch >= GUINT32_FROM_LE(s->frozen_epoch);
}

int ddlog_thaw(DdebugLog *log)
{
    struct ddebug_log_super s = log->super;

    if (!s.frozen_last) {
        return 0;
    }
    s.frozen_first = 0;
    s.frozen_last = 0;
    return ddlog_write_super(log, &s);
}

static void leave(DdebugLogCursor *cur, uint64_t slot)
{
    if (cur->open && cur->slot == slot) {
        cur->open = false;
    }
}

/*
 * Close the cursor if it is in @slot: the dictionary of an epoch that has ended
 * may be wiped before the next epoch's attach record found room.
 */
int ddlog_wipe_slot(DdebugLog *log, uint64_t slot)
{
    static const struct ddebug_log_seg none;

    leave(&log->data, slot);
    leave(&log->dict, slot);
    log->slots[slot].seq = 0;
    return ddlog_write_at(log->fd, &none, sizeof(none),
                          ddlog_slot_off(log, slot));
}

/* A summary of the slots.  A slot of nr_segs means: none. */
typedef struct DdebugLogCensus {
    uint64_t unused;
    uint64_t nr_unused;
    uint64_t oldest_data;       /* not frozen; unknown types included */
    uint64_t oldest_dict;       /* not needed by frozen data */
    uint64_t nr_dict;
    uint32_t data_epoch;        /* the lowest of data that are not frozen */
} DdebugLogCensus;

static void take_older(const DdebugLog *log, uint64_t *oldest, uint64_t slot)
{
    if (*oldest == log->nr_segs ||
        log->slots[slot].seq < log->slots[*oldest].seq) {
        *oldest = slot;
    }
}

static void take_census(const DdebugLog *log, DdebugLogCensus *c)
{
    uint64_t i;

    *c = (DdebugLogCensus) {
        .unused = log->nr_segs,
        .oldest_data = log->nr_segs,
        .oldest_dict = log->nr_segs,
        .data_epoch = log->epoch,
    };
    for (i = log->nr_segs; i-- > 0; ) {
        const DdebugLogSlot *s = &log->slots[i];

        if (!s->seq) {
            c->unused = i;
            c->nr_unused++;
        } else if (s->type == DDEBUG_LOG_SEG_DICT) {
            c->nr_dict++;
            if (!ddlog_frozen_needs(log, s)) {
                take_older(log, &c->oldest_dict, i);
            }
        } else if (!ddlog_is_frozen(log, s)) {
            take_older(log, &c->oldest_data, i);
            c->data_epoch = MIN(c->data_epoch, s->epoch);
        }
    }
}

/* Whether no data refer to the oldest dictionary segment. */
static bool dict_is_dead(const DdebugLog *log, const DdebugLogCensus *c)
{
    return c->oldest_dict < log->nr_segs &&
           log->slots[c->oldest_dict].last_epoch < c->data_epoch;
}

/*
 * The dictionary has its half of the slots: free its oldest segment, and
 * before it the data that refer to it, but for the segment that data are being
 * written to, whose oldest messages lose their callsites.  The newest epoch's
 * dictionary is kept: if nothing else is left, there is no slot, -EXFULL.
 */
static int free_oldest_dict(DdebugLog *log, const DdebugLogCensus *c)
{
    g_autoptr(GArray) data = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    uint32_t epoch;
    uint64_t i;
    int r = 0;

    if (c->oldest_dict == log->nr_segs) {
        return -EXFULL;
    }
    epoch = log->slots[c->oldest_dict].last_epoch;
    if (epoch >= log->epoch) {
        return -EXFULL;
    }
    for (i = 0; i < log->nr_segs; i++) {
        DdebugLogSlot *s = &log->slots[i];

        if (ddlog_is_used(s, DDEBUG_LOG_SEG_DATA) && s->epoch <= epoch &&
            !ddlog_is_frozen(log, s) &&
            !(log->data.open && log->data.slot == i)) {
            g_array_append_val(data, i);
        }
    }
    /* oldest first: a death in here leaves no hole */
    ddlog_sort_desc_by_seq(log, data);
    for (i = data->len; i-- > 0 && !r; ) {
        r = ddlog_wipe_slot(log, g_array_index(data, uint64_t, i));
    }
    return r;
}

/*
 * In DROP mode data leave an eighth of the slots to the dictionary, so that
 * later attach records and callsites find room.
 */
static uint64_t kept_for_dict(const DdebugLog *log, const DdebugLogCensus *c)
{
    const uint64_t share = MAX(log->nr_segs / 8, 1);

    return share > c->nr_dict ? share - c->nr_dict : 0;
}

/* pick_slot() for DROP mode. */
static int pick_unused_slot(DdebugLog *log, uint32_t type, uint64_t *slot)
{
    DdebugLogCensus c;
    bool may_take;

    take_census(log, &c);
    if (type == DDEBUG_LOG_SEG_DICT) {
        may_take = c.nr_unused && c.nr_dict < ddlog_dict_limit(log->nr_segs);
    } else {
        may_take = c.nr_unused > kept_for_dict(log, &c);
    }
    if (may_take) {
        *slot = c.unused;
        return 0;
    }
    if (dict_is_dead(log, &c)) {
        *slot = c.oldest_dict;
        return 0;
    }
    return -EXFULL;
}

/* Whether frozen data of earlier epochs need all of the dictionary's half. */
static bool is_starved(const DdebugLog *log, const DdebugLogCensus *c)
{
    return c->oldest_dict == log->nr_segs &&
           GUINT32_FROM_LE(log->super.frozen_epoch_last) < log->epoch;
}

static int pick_slot(DdebugLog *log, uint32_t type, uint64_t *slot)
{
    DdebugLogCensus c;
    int r;

    if (log->mode == DDEBUG_LOG_DROP) {
        return pick_unused_slot(log, type, slot);
    }
    take_census(log, &c);
    if (type == DDEBUG_LOG_SEG_DICT &&
        c.nr_dict >= ddlog_dict_limit(log->nr_segs)) {
        /*
         * without an attach record all messages of the running guest are lost
         */
        if (is_starved(log, &c)) {
            r = ddlog_thaw(log);
            if (r) {
                return r;
            }
            take_census(log, &c);
        }
        if (!dict_is_dead(log, &c)) {
            r = free_oldest_dict(log, &c);
            if (r) {
                return r;
            }
        }
        *slot = c.oldest_dict;
    } else if (c.unused < log->nr_segs) {
        *slot = c.unused;
    } else if (dict_is_dead(log, &c)) {
        *slot = c.oldest_dict;
    } else if (c.oldest_data < log->nr_segs) {
        *slot = c.oldest_data;
    } else {
        return -EXFULL;
    }
    return 0;
}

DdebugLogCursor *ddlog_cursor_of(DdebugLog *log, uint32_t type)
{
    return type == DDEBUG_LOG_SEG_DATA ? &log->data : &log->dict;
}

/*
 * A number that nobody but the writer knows, and not 0.  Its generator is the
 * kernel's: that of GLib can be computed from some of its numbers, which a guest
 * may get from elsewhere.
 */
static uint32_t new_tag(void)
{
    uint32_t tag = 0;

    /* fails in a process that may not call it only */
    if (getrandom(&tag, sizeof(tag), 0) != sizeof(tag) || !tag) {
        tag = g_random_int() | 1;
    }
    return tag;
}

static int write_header(DdebugLog *log, uint64_t slot, const DdebugLogSlot *s)
{
    struct ddebug_log_seg seg = {
        .magic = GUINT32_TO_LE(DDEBUG_LOG_SEG_MAGIC),
        .type = GUINT32_TO_LE(s->type),
        .seq = GUINT64_TO_LE(s->seq),
        .epoch = GUINT32_TO_LE(s->epoch),
        .tag = GUINT32_TO_LE(s->tag),
    };

    ddebug_log_seal(&seg, sizeof(seg));
    return ddlog_write_at(log->fd, &seg, sizeof(seg),
                          ddlog_slot_off(log, slot));
}

/*
 * If a write fails, nobody knows what reached the disk: the number is used up
 * and the slot is unused all the same.
 *
 * Zero the slot first: what a guest has left there must not be taken for
 * anything.  Should the host lose power before the zeros are on the disk, the tag
 * is not that of any chunk which a guest has made up.
 */
int ddlog_begin_segment(DdebugLog *log, uint32_t type)
{
    DdebugLogCursor *cur = ddlog_cursor_of(log, type);
    const DdebugLogSlot begun = {
        .seq = log->next_seq,
        .type = type,
        .epoch = log->epoch,
        .tag = new_tag(),
        .last_epoch = log->epoch,
    };
    uint64_t slot;
    int r;

    r = pick_slot(log, type, &slot);
    if (r) {
        return r;
    }
    if (cur->open) {
        ddlog_note_full_segment(log);
    }
    cur->open = false;
    ddlog_charge(log, sizeof(struct ddebug_log_seg));
    log->slots[slot].seq = 0;
    log->next_seq++;
    r = ddlog_zero(log, ddlog_slot_off(log, slot), log->seg_size);
    if (!r) {
        r = write_header(log, slot, &begun);
    }
    if (r) {
        return r;
    }
    log->slots[slot] = begun;
    *cur = (DdebugLogCursor) {
        .open = true,
        .slot = slot,
        .off = DDEBUG_LOG_FIRST_CHUNK,
    };
    return 0;
}

static int rewrite_header(DdebugLog *log, const DdebugLogCursor *cur)
{
    return cur->open ? write_header(log, cur->slot, &log->slots[cur->slot]) : 0;
}

int ddlog_rewrite_headers(DdebugLog *log)
{
    int r = rewrite_header(log, &log->data);

    return r ? r : rewrite_header(log, &log->dict);
}

void ddebug_log_set_mode(DdebugLog *log, DdebugLogMode mode)
{
    log->mode = mode;
}
