/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changing the size (rule 7 of docs/log-format.md), and clearing (rule 8). */
#include "ddebug-log-internal.h"

static bool grow(DdebugLog *log, uint64_t nr_segs, GError **error)
{
    const uint64_t had = ddebug_log_size(log);
    const uint64_t size = ddlog_size_with(log, nr_segs);
    int r = ddlog_preallocate(log, had, size);

    if (r) {
        ddlog_cut(log->fd, had);
        return ddlog_fail_space(error, log->path, size, r);
    }
    r = ddlog_write_geometry(log, nr_segs);
    if (r) {
        ddlog_cut(log->fd, had);
        return ddlog_fail_io(error, log->path, "cannot write", -r);
    }
    log->slots = g_renew(DdebugLogSlot, log->slots, nr_segs);
    memset(log->slots + log->nr_segs, 0,
           (nr_segs - log->nr_segs) * sizeof(log->slots[0]));
    log->nr_segs = nr_segs;
    return true;
}

/*
 * Which data need a dictionary segment: those of @epoch and later, and frozen
 * ones.
 */
typedef struct DdebugLogNeed {
    uint32_t epoch;
    bool frozen;
} DdebugLogNeed;

static bool is_needed(const DdebugLog *log, const DdebugLogSlot *dict,
                      const DdebugLogNeed *need)
{
    return dict->last_epoch >= need->epoch ||
           (need->frozen && ddlog_frozen_needs(log, dict));
}

static guint count_needed(const DdebugLog *log, const GArray *dict,
                          const DdebugLogNeed *need)
{
    guint i, n = 0;

    for (i = 0; i < dict->len; i++) {
        n += is_needed(log, &log->slots[g_array_index(dict, uint64_t, i)],
                       need);
    }
    return n;
}

/*
 * Data segments in the order in which they are chosen: the one being written,
 * the frozen ones, the others.
 */
static GArray *order_to_keep(const DdebugLog *log)
{
    GArray *order = ddlog_newest_first(log, DDEBUG_LOG_SEG_DATA);
    guint i, at = 1;

    for (i = 1; i < order->len; i++) {
        uint64_t slot = g_array_index(order, uint64_t, i);

        if (ddlog_is_frozen(log, &log->slots[slot])) {
            g_array_remove_index(order, i);
            g_array_insert_val(order, at, slot);
            at++;
        }
    }
    return order;
}

/*
 * Mark the newest data segments that fit in nr_segs together with the
 * dictionary segments of their epochs.  The newest data segment and the newest
 * epoch's dictionary are always kept; an older dictionary that only the newest
 * data segment needs is not.  Return false if not even these fit.
 */
static bool choose_keep(const DdebugLog *log, uint64_t nr_segs, bool *keep)
{
    g_autoptr(GArray) data = order_to_keep(log);
    g_autoptr(GArray) dict = ddlog_newest_first(log, DDEBUG_LOG_SEG_DICT);
    const guint limit = ddlog_dict_limit(nr_segs);
    DdebugLogNeed need = { .epoch = log->epoch };
    guint nr_data = 0, i;

    if (count_needed(log, dict, &need) > limit) {
        return false;
    }
    for (i = 0; i < data->len; i++) {
        const uint64_t slot = g_array_index(data, uint64_t, i);
        const DdebugLogSlot *s = &log->slots[slot];
        DdebugLogNeed with = need;
        guint nr_dict;

        if (i && ddlog_is_frozen(log, s)) {
            with.frozen = true;
        } else {
            with.epoch = MIN(with.epoch, s->epoch);
        }
        nr_dict = count_needed(log, dict, &with);
        if (i == 0 && nr_dict > limit) {
            with = need;
            nr_dict = count_needed(log, dict, &with);
        }
        if (nr_dict > limit || nr_data + 1 + nr_dict > nr_segs) {
            if (with.frozen && !need.frozen) {
                continue;
            }
            break;
        }
        need = with;
        keep[slot] = true;
        nr_data++;
    }
    for (i = 0; i < dict->len; i++) {
        const uint64_t slot = g_array_index(dict, uint64_t, i);

        keep[slot] = is_needed(log, &log->slots[slot], &need);
    }
    return true;
}

static int drop_rest_of(DdebugLog *log, bool dict, const bool *keep)
{
    g_autoptr(GArray) order = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    uint64_t slot;
    guint i;
    int r = 0;

    for (slot = 0; slot < log->nr_segs; slot++) {
        const DdebugLogSlot *s = &log->slots[slot];

        if (s->seq && !keep[slot] && dict == (s->type == DDEBUG_LOG_SEG_DICT)) {
            g_array_append_val(order, slot);
        }
    }
    ddlog_sort_desc_by_seq(log, order);
    for (i = order->len; i-- > 0 && !r; ) {
        r = ddlog_wipe_slot(log, g_array_index(order, uint64_t, i));
    }
    return r;
}

/*
 * Oldest first, and the dictionary after the data, so that a death in here
 * leaves no hole.  Segments of unknown types are dropped with the data.
 */
static int drop_rest(DdebugLog *log, const bool *keep)
{
    int r = drop_rest_of(log, false, keep);

    return r ? r : drop_rest_of(log, true, keep);
}

/* Copy bytes [@begin, @end) of a segment. */
static int copy_part(DdebugLog *log, uint64_t from, uint64_t to, uint32_t begin,
                     uint32_t end, char *buf)
{
    int r = ddlog_read_at(log->fd, buf, end - begin,
                          ddlog_slot_off(log, from) + begin);

    if (!r) {
        r = ddlog_write_at(log->fd, buf, end - begin,
                           ddlog_slot_off(log, to) + begin);
    }
    ddlog_charge_upkeep(log, end - begin);
    return r;
}

/*
 * Move the segments to be kept below nr_segs; to[] is where each slot's segment
 * is.  Until the superblock is written, a moved segment is in both places.
 *
 * Write the bodies first: a header never vouches for half a segment.  That must
 * hold after a power loss as well, since readers prefer the copy.
 */
static int move_down(DdebugLog *log, uint64_t nr_segs, bool *keep, uint64_t *to)
{
    g_autofree char *buf = g_malloc(log->seg_size);
    uint64_t from, free_slot = 0;
    int r;

    for (from = nr_segs; from < log->nr_segs; from++) {
        if (!keep[from]) {
            continue;
        }
        while (keep[free_slot]) {
            free_slot++;
        }
        r = copy_part(log, from, free_slot, DDEBUG_LOG_FIRST_CHUNK,
                      log->seg_size, buf);
        if (r) {
            return r;
        }
        keep[free_slot] = true;
        to[from] = free_slot;
    }
    r = ddlog_sync_now(log);
    for (from = nr_segs; from < log->nr_segs && !r; from++) {
        if (to[from] != from) {
            r = copy_part(log, from, to[from], 0, DDEBUG_LOG_FIRST_CHUNK, buf);
        }
    }
    return r ? r : ddlog_sync_now(log);
}

static void undo_move_down(DdebugLog *log, uint64_t nr_segs, const uint64_t *to)
{
    uint64_t from;

    for (from = nr_segs; from < log->nr_segs; from++) {
        if (to[from] != from) {
            ddlog_wipe_slot(log, to[from]);
        }
    }
}

static void follow(DdebugLogCursor *cur, const uint64_t *to)
{
    if (cur->open) {
        cur->slot = to[cur->slot];
    }
}

static void take_moved(DdebugLog *log, uint64_t nr_segs, const uint64_t *to)
{
    uint64_t i;

    follow(&log->data, to);
    follow(&log->dict, to);
    for (i = nr_segs; i < log->nr_segs; i++) {
        if (to[i] != i) {
            log->slots[to[i]] = log->slots[i];
        }
    }
    log->nr_segs = nr_segs;
    log->slots = g_renew(DdebugLogSlot, log->slots, nr_segs);
}

static bool shrink(DdebugLog *log, uint64_t nr_segs, GError **error)
{
    g_autofree bool *keep = g_new0(bool, log->nr_segs);
    g_autofree uint64_t *to = g_new(uint64_t, log->nr_segs);
    const struct ddebug_log_super was = log->super;
    uint64_t i;
    int r;

    ddlog_thaw_beyond(log, nr_segs, &log->super);
    if (!choose_keep(log, nr_segs, keep)) {
        log->super = was;
        return ddlog_fail(error, DDEBUG_LOG_ERROR_SIZE,
                          "the dictionary of the newest boot in '%s' does not "
                          "fit in %" PRIu64 " bytes: use a larger size",
                          log->path, ddlog_size_with(log, nr_segs));
    }
    for (i = 0; i < log->nr_segs; i++) {
        to[i] = i;
    }
    r = drop_rest(log, keep);
    if (!r) {
        r = move_down(log, nr_segs, keep, to);
    }
    if (!r) {
        r = ddlog_write_geometry(log, nr_segs);
    }
    if (r) {
        undo_move_down(log, nr_segs, to);
        log->super = was;
        return ddlog_fail_io(error, log->path, "cannot write", -r);
    }
    take_moved(log, nr_segs, to);
    /*
     * If the host lost power now, the disk might have the cut, but not this
     * superblock.  If the sync fails, leave the tail to the next writer.
     */
    if (ddlog_sync_now(log) == 0) {
        ddlog_cut(log->fd, ddlog_size_with(log, nr_segs));
    }
    return true;
}

bool ddlog_set_nr_segs(DdebugLog *log, uint64_t nr_segs, GError **error)
{
    if (nr_segs == log->nr_segs) {
        return true;
    }
    return nr_segs > log->nr_segs ? grow(log, nr_segs, error) :
                                    shrink(log, nr_segs, error);
}

bool ddebug_log_resize(DdebugLog *log, uint64_t size, GError **error)
{
    const uint64_t had = ddebug_log_size(log);

    if (!ddebug_log_check_size(size, error) ||
        !ddlog_check_nr_segs(log->path, size, log->seg_size, log->shm_size,
                             error) ||
        !ddlog_set_nr_segs(log, ddebug_log_nr_segs_for(size, log->seg_size,
                                                  log->shm_size), error)) {
        return false;
    }
    if (ddebug_log_size(log) != had) {
        ddebug_log_append_event(log, DDEBUG_LOG_EVENT_SIZE, had,
                                ddebug_log_size(log), 0);
    }
    return true;
}

/* Rule 8 */
bool ddebug_log_clear(DdebugLog *log, GError **error)
{
    const DdebugLogMode mode = log->mode;
    struct ddebug_log_super s;
    uint64_t first, i;
    int r;

    /* whatever this overwrites was to be hidden anyway */
    r = ddlog_thaw(log);
    if (!r) {
        log->mode = DDEBUG_LOG_OVERWRITE;
        r = ddlog_begin_segment(log, DDEBUG_LOG_SEG_DATA);
        log->mode = mode;
    }
    if (!r) {
        first = log->slots[log->data.slot].seq;
        r = ddlog_write_event(log, DDEBUG_LOG_EVENT_CLEAR, 0, 0, 0);
    }
    if (!r) {
        s = log->super;
        s.first_seg = GUINT64_TO_LE(first);
        r = ddlog_write_super(log, &s);
    }
    if (r) {
        return ddlog_fail_io(error, log->path, "cannot write", -r);
    }
    for (i = 0; i < log->nr_segs; i++) {
        if (ddlog_is_cleared(&log->slots[i], first)) {
            log->slots[i].seq = 0;
        }
    }
    return true;
}
