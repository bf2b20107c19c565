/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changing the size (rule 7 of docs/log-format.md), and clearing (rule 8). */
#include "ddebug-log-internal.h"

static bool grow(DdebugLog *log, uint64_t nr_segs, GError **error)
{
    const uint64_t had = ddebug_log_size(log);
    const uint64_t size = ddlog_file_size(nr_segs, log->seg_size);
    int r = ddlog_preallocate(log->fd, had, size);

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

static GArray *newest_first(const DdebugLog *log, uint32_t type)
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

/* How many of the dictionary segments hold anything of @epoch or later. */
static guint count_since(const DdebugLog *log, const GArray *dict,
                         uint32_t epoch)
{
    guint n = 0;

    while (n < dict->len &&
           log->slots[g_array_index(dict, uint64_t, n)].last_epoch >= epoch) {
        n++;
    }
    return n;
}

/*
 * Marks the newest data segments that fit into nr_segs together with the
 * dictionary segments of their epochs.  The newest data segment and the newest
 * epoch's dictionary are never given up; an older dictionary is, where it is
 * the newest data segment's alone.  Returns false if not even they fit.
 */
static bool choose_keep(const DdebugLog *log, uint64_t nr_segs, bool *keep)
{
    g_autoptr(GArray) data = newest_first(log, DDEBUG_LOG_SEG_DATA);
    g_autoptr(GArray) dict = newest_first(log, DDEBUG_LOG_SEG_DICT);
    const guint limit = ddlog_dict_limit(nr_segs);
    uint32_t epoch = log->epoch;
    guint nr_data, nr_dict, i;

    nr_dict = count_since(log, dict, epoch);
    if (nr_dict > limit) {
        return false;
    }
    for (nr_data = 0; nr_data < data->len; nr_data++) {
        uint64_t slot = g_array_index(data, uint64_t, nr_data);
        guint need;

        epoch = MIN(epoch, log->slots[slot].epoch);
        need = count_since(log, dict, epoch);
        if (nr_data == 0) {
            need = MIN(need, limit);
        }
        if (need > limit || nr_data + 1 + need > nr_segs) {
            break;
        }
        nr_dict = need;
        keep[slot] = true;
    }
    for (i = 0; i < nr_dict; i++) {
        keep[g_array_index(dict, uint64_t, i)] = true;
    }
    return true;
}

static int drop_rest_of(DdebugLog *log, uint32_t type, const bool *keep)
{
    g_autoptr(GArray) order = newest_first(log, type);
    guint i;
    int r = 0;

    for (i = order->len; i-- > 0 && !r; ) {
        uint64_t slot = g_array_index(order, uint64_t, i);

        if (!keep[slot]) {
            r = ddlog_wipe_slot(log, slot);
        }
    }
    return r;
}

/*
 * Oldest first, and the dictionary after the data, so that whoever dies in
 * here leaves no hole in what is left.
 */
static int drop_rest(DdebugLog *log, const bool *keep)
{
    int r = drop_rest_of(log, DDEBUG_LOG_SEG_DATA, keep);

    return r ? r : drop_rest_of(log, DDEBUG_LOG_SEG_DICT, keep);
}

/* The body first, so that a header never vouches for half a segment. */
static int copy_segment(DdebugLog *log, uint64_t from, uint64_t to, char *buf)
{
    int r = ddlog_read_at(log->fd, buf, log->seg_size,
                          ddlog_slot_off(log, from));

    if (!r) {
        r = ddlog_write_at(log->fd, buf + FIRST_CHUNK,
                           log->seg_size - FIRST_CHUNK,
                           ddlog_slot_off(log, to) + FIRST_CHUNK);
    }
    if (!r) {
        r = ddlog_write_at(log->fd, buf, FIRST_CHUNK, ddlog_slot_off(log, to));
    }
    return r;
}

/*
 * Moves what is kept below nr_segs; to[] is where each slot's segment is.
 * Until the superblock is written a moved segment is in both places.
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
        r = copy_segment(log, from, free_slot, buf);
        if (r) {
            return r;
        }
        keep[free_slot] = true;
        to[from] = free_slot;
    }
    return 0;
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
    uint64_t i;
    int r;

    if (!choose_keep(log, nr_segs, keep)) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_SIZE,
                          "the dictionary of the newest boot in '%s' does not "
                          "fit %" PRIu64 " bytes: ask for a larger size",
                          log->path, ddlog_file_size(nr_segs, log->seg_size));
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
        return ddlog_fail_io(error, log->path, "cannot write", -r);
    }
    take_moved(log, nr_segs, to);
    ddlog_cut(log->fd, ddlog_file_size(nr_segs, log->seg_size));
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
        !ddlog_check_nr_segs(log->path, size, log->seg_size, error) ||
        !ddlog_set_nr_segs(log, ddlog_nr_segs_for(size, log->seg_size),
                           error)) {
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
    struct ddebug_log_super s = log->super;
    uint64_t first, i;
    int r;

    /* what may be overwritten for it is to be hidden anyhow */
    log->mode = DDEBUG_LOG_OVERWRITE;
    r = ddlog_begin_segment(log, DDEBUG_LOG_SEG_DATA);
    log->mode = mode;
    if (!r) {
        first = log->slots[log->data.slot].seq;
        r = ddlog_write_event(log, DDEBUG_LOG_EVENT_CLEAR, 0, 0, 0);
    }
    if (!r) {
        s.first_seg = GUINT64_TO_LE(first);
        r = ddlog_write_super(log, &s);
    }
    if (r) {
        return ddlog_fail_io(error, log->path, "cannot write", -r);
    }
    for (i = 0; i < log->nr_segs; i++) {
        if (ddlog_is_used(&log->slots[i], DDEBUG_LOG_SEG_DATA) &&
            log->slots[i].seq < first) {
            log->slots[i].seq = 0;
        }
    }
    return true;
}
