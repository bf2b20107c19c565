/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeping the messages that led to a guest's death: rule 13 of docs/log-
 * format.md.
 */
#include "ddebug-log-internal.h"

/*
 * The dictionary takes at most half (ddlog_dict_limit()), so that at least a
 * quarter is left for later messages.
 */
static uint64_t frozen_limit(uint64_t nr_segs)
{
    return MAX(nr_segs / 4, 1);
}

/* The number of the first of the newest @n data segments up to @last. */
static uint64_t nth_newest(const DdebugLog *log, uint64_t last, uint64_t n)
{
    g_autoptr(GArray) order = ddlog_newest_first(log, DDEBUG_LOG_SEG_DATA);
    uint64_t first = last;
    guint i;

    for (i = 0; i < order->len && n; i++) {
        uint64_t seq = log->slots[g_array_index(order, uint64_t, i)].seq;

        if (seq <= last) {
            first = seq;
            n--;
        }
    }
    return first;
}

static uint32_t epoch_of(const DdebugLog *log, uint64_t seq)
{
    uint64_t i;

    for (i = 0; i < log->nr_segs; i++) {
        if (ddlog_is_used(&log->slots[i], DDEBUG_LOG_SEG_DATA) &&
            log->slots[i].seq == seq) {
            return log->slots[i].epoch;
        }
    }
    return log->epoch;
}

/*
 * A dying guest may keep logging: called again in the same epoch, extend the
 * range to the present segment if there is room, without giving up its oldest.
 * Return whether the range changes.
 */
static bool choose_frozen(const DdebugLog *log, struct ddebug_log_super *s)
{
    const uint64_t now = log->slots[log->data.slot].seq;
    const uint64_t oldest = nth_newest(log, now, frozen_limit(log->nr_segs));

    if (log->frozen_epoch != log->epoch) {
        s->frozen_first = GUINT64_TO_LE(oldest);
        s->frozen_epoch = GUINT32_TO_LE(epoch_of(log, oldest));
        s->frozen_epoch_last = GUINT32_TO_LE(log->epoch);
    } else if (oldest > GUINT64_FROM_LE(s->frozen_first) ||
               now == GUINT64_FROM_LE(s->frozen_last)) {
        return false;
    }
    s->frozen_last = GUINT64_TO_LE(now);
    return true;
}

/*
 * Keep appending to this segment: later events about the death then need no new
 * one, which a full log does not have.
 */
int ddebug_log_freeze(DdebugLog *log)
{
    struct ddebug_log_super s = log->super;
    int r;

    if (!log->data.open || !choose_frozen(log, &s)) {
        return 0;
    }
    r = ddlog_write_super(log, &s);
    if (!r) {
        log->frozen_epoch = log->epoch;
    }
    return r;
}

/* A forged superblock may freeze everything, for ever: trim the range. */
void ddlog_check_frozen(const DdebugLog *log, struct ddebug_log_super *s)
{
    const uint64_t first = GUINT64_FROM_LE(s->frozen_first);
    const uint64_t last = GUINT64_FROM_LE(s->frozen_last);

    if (first > last || last >= log->next_seq) {
        s->frozen_first = 0;
        s->frozen_last = 0;
    }
    s->frozen_epoch_last =
        GUINT32_TO_LE(MIN(GUINT32_FROM_LE(s->frozen_epoch_last), log->epoch));
    ddlog_thaw_beyond(log, log->nr_segs, s);
}

void ddlog_thaw_beyond(const DdebugLog *log, uint64_t nr_segs,
                       struct ddebug_log_super *s)
{
    const uint64_t last = GUINT64_FROM_LE(s->frozen_last);
    uint64_t first;

    if (!last) {
        return;
    }
    first = nth_newest(log, last, frozen_limit(nr_segs));
    if (first > GUINT64_FROM_LE(s->frozen_first)) {
        s->frozen_first = GUINT64_TO_LE(first);
        s->frozen_epoch = GUINT32_TO_LE(epoch_of(log, first));
    }
}
