/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Appending chunks, and accounting for lost ones: rules 4, 6, 9 and 10. */
#include "ddebug-log-internal.h"
#include <sys/uio.h>

#define EVENT_SIZE ddebug_log_chunk_size(sizeof(struct ddebug_log_event))

static const uint32_t loss_events[DDEBUG_LOG_NR_LOSSES] = {
    [DDEBUG_LOG_LOSS_IO] = DDEBUG_LOG_EVENT_IO_LOST,
    [DDEBUG_LOG_LOSS_FULL] = DDEBUG_LOG_EVENT_FULL_LOST,
    [DDEBUG_LOG_LOSS_RATE] = DDEBUG_LOG_EVENT_RATE_LOST,
};

static void count_lost(DdebugLog *log, DdebugLogLoss why, uint64_t chunks,
                       uint64_t bytes)
{
    log->lost[why].bytes += bytes;
    log->lost[why].unreported_chunks += chunks;
    log->lost[why].unreported_bytes += bytes;
}

/* What says that a sync has failed is not worth another one. */
static bool is_change(const struct ddebug_log_chunk *c, const void *payload)
{
    const struct ddebug_log_event *e = payload;

    return GUINT16_FROM_LE(c->type) != DDEBUG_LOG_CHUNK_EVENT ||
           GUINT32_FROM_LE(e->event) != DDEBUG_LOG_EVENT_SYNC_LOST;
}

/* For the next @need bytes, at most what a segment holds. */
static int make_room(DdebugLog *log, uint32_t seg_type, size_t need)
{
    const DdebugLogCursor *cur = ddlog_cursor_of(log, seg_type);

    if (cur->open && cur->off + need <= log->seg_size) {
        return 0;
    }
    return ddlog_begin_segment(log, seg_type);
}

/*
 * A write that failed has left part of a chunk, and the next one starts at the
 * same place.  Behind that, a guest's bytes would be left.  Zero them, but for the
 * header: if it is whole, it says how long the remains are, should we die here.
 */
static int wipe_remains(DdebugLog *log, DdebugLogCursor *cur)
{
    const uint32_t from = cur->off + sizeof(struct ddebug_log_chunk);
    int r = 0;

    if (cur->remains_end > from) {
        r = ddlog_zero(log, ddlog_slot_off(log, cur->slot) + from,
                       cur->remains_end - from);
    }
    if (!r) {
        cur->remains_end = 0;
    }
    return r;
}

int ddlog_write_chunk(DdebugLog *log, uint32_t seg_type,
                      struct ddebug_log_chunk *c, const void *payload,
                      size_t len)
{
    static const char zeros[DDEBUG_LOG_CHUNK_ALIGN];
    DdebugLogCursor *cur = ddlog_cursor_of(log, seg_type);
    const size_t pad = -len % DDEBUG_LOG_CHUNK_ALIGN;
    const size_t total = ddebug_log_chunk_size(len);
    struct iovec iov[] = {
        { c, sizeof(*c) },
        { (void *)payload, len },
        { (void *)zeros, pad },
    };
    ssize_t n;
    int r;

    r = make_room(log, seg_type, total);
    if (!r) {
        r = wipe_remains(log, cur);
    }
    if (r) {
        return r;
    }
    c->magic = GUINT32_TO_LE(DDEBUG_LOG_CHUNK_MAGIC);
    c->seg_seq = GUINT64_TO_LE(log->slots[cur->slot].seq);
    c->tag = GUINT32_TO_LE(log->slots[cur->slot].tag);
    c->off = GUINT32_TO_LE(cur->off);
    c->len = GUINT32_TO_LE(len);
    c->chunk_seq = GUINT64_TO_LE(log->next_chunk);
    c->realtime = GUINT64_TO_LE(ddlog_clock_ns(CLOCK_REALTIME));
    c->monotonic = GUINT64_TO_LE(ddlog_clock_ns(CLOCK_MONOTONIC));
    c->payload_crc = GUINT32_TO_LE(ddebug_crc32c(payload, len));
    ddebug_log_seal(c, sizeof(*c));
    do {
        n = pwritev(log->fd, iov, G_N_ELEMENTS(iov),
                    ddlog_slot_off(log, cur->slot) + cur->off);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)total) {
        r = n < 0 ? -errno : -ENOSPC;
        cur->remains_end = cur->off + total;
        return r;
    }
    cur->off += total;
    ddlog_charge(log, total);
    log->slots[cur->slot].last_epoch = log->epoch;
    log->next_chunk++;
    ddlog_note_chunk(log, is_change(c, payload));
    return 0;
}

int ddlog_write_event(DdebugLog *log, uint32_t event, uint64_t arg0,
                      uint64_t arg1, uint64_t arg2)
{
    struct ddebug_log_chunk c = {
        .type = GUINT16_TO_LE(DDEBUG_LOG_CHUNK_EVENT),
        .epoch = GUINT32_TO_LE(log->epoch),
    };
    struct ddebug_log_event e = {
        .event = GUINT32_TO_LE(event),
        .arg = {
            GUINT64_TO_LE(arg0), GUINT64_TO_LE(arg1), GUINT64_TO_LE(arg2),
        },
    };

    return ddlog_write_chunk(log, DDEBUG_LOG_SEG_DATA, &c, &e, sizeof(e));
}

/* Rule 9 */
static int report_lost(DdebugLog *log, DdebugLogLoss why)
{
    int r;

    if (!log->lost[why].unreported_chunks) {
        return 0;
    }
    r = ddlog_write_event(log, loss_events[why],
                          log->lost[why].unreported_chunks,
                          log->lost[why].unreported_bytes, 0);
    if (!r) {
        log->lost[why].unreported_chunks = 0;
        log->lost[why].unreported_bytes = 0;
    }
    return r;
}

/* Rule 15 */
static int report_unsynced(DdebugLog *log)
{
    DdebugLogUnsynced u;
    int r = 0;

    if (!ddlog_get_unsynced(log, &u)) {
        return 0;
    }
    if (u.error && u.failures != log->sync_failures) {
        r = ddlog_rewrite_headers(log);
        if (!r) {
            log->sync_failures = u.failures;
            log->sync_error = u.error;
        }
    }
    if (!r && u.first) {
        r = ddlog_write_event(log, DDEBUG_LOG_EVENT_SYNC_LOST, u.first, u.last,
                              u.error);
    }
    if (!r) {
        ddlog_unsynced_reported(log, &u);
    }
    return r;
}

/*
 * Called before each chunk; without room for the events, they are left for
 * later.  A full log has room for few: FULL losses are reported before the
 * next data and when the log is closed (@all) only.
 */
static int report_all_lost(DdebugLog *log, bool all)
{
    int why, r;

    r = report_unsynced(log);
    for (why = 0; why < DDEBUG_LOG_NR_LOSSES && !r; why++) {
        if (why != DDEBUG_LOG_LOSS_FULL || !log->full || all) {
            r = report_lost(log, why);
        }
    }
    return r == -EXFULL ? 0 : r;
}

/*
 * Data must leave room for the losses reported before them and, in DROP mode,
 * for events after them.  Once there was none, data continue only in a new
 * segment: otherwise small chunks would slip in between larger ones that are
 * dropped.
 */
static int make_room_for_data(DdebugLog *log, size_t len)
{
    size_t need = ddebug_log_chunk_size(len);
    DdebugLogUnsynced u;
    int why;

    if (log->mode == DDEBUG_LOG_DROP && log->full) {
        return ddlog_begin_segment(log, DDEBUG_LOG_SEG_DATA);
    }
    if (log->mode == DDEBUG_LOG_DROP) {
        need += EVENT_RESERVE;
    }
    for (why = 0; why < DDEBUG_LOG_NR_LOSSES; why++) {
        need += log->lost[why].unreported_chunks ? EVENT_SIZE : 0;
    }
    need += ddlog_get_unsynced(log, &u) ? EVENT_SIZE : 0;
    return make_room(log, DDEBUG_LOG_SEG_DATA, need);
}

static int write_attach_record(DdebugLog *log)
{
    struct ddebug_log_chunk c = {
        .type = GUINT16_TO_LE(DDEBUG_LOG_CHUNK_ATTACH),
        .epoch = GUINT32_TO_LE(log->epoch),
    };
    int r;

    if (!log->attach_record) {
        return 0;
    }
    r = ddlog_write_chunk(log, DDEBUG_LOG_SEG_DICT, &c, log->attach_record,
                          log->attach_record_len);
    if (!r) {
        g_clear_pointer(&log->attach_record, g_free);
    }
    return r;
}

/* Account for an append of data; report the first FULL loss immediately. */
static void note_data(DdebugLog *log, int r, DdebugLogLoss why, size_t len)
{
    if (r) {
        count_lost(log, why, 1, len);
    }
    if (r && why == DDEBUG_LOG_LOSS_FULL && !log->full) {
        log->full = true;
        report_lost(log, DDEBUG_LOG_LOSS_FULL);
    } else if (!r) {
        log->full = false;
    }
}

int ddebug_log_append_data(DdebugLog *log, const DdebugLogData *data,
                           const void *payload, size_t len)
{
    struct ddebug_log_chunk c = {
        .type = GUINT16_TO_LE(DDEBUG_LOG_CHUNK_DATA),
        .epoch = GUINT32_TO_LE(data->epoch),
        .stream = GUINT32_TO_LE(data->stream),
        .generation = GUINT32_TO_LE(data->generation),
        .cpu = GUINT32_TO_LE(data->cpu),
        .context = data->context,
        .subbuf_shift = data->subbuf_shift,
        .pass = GUINT64_TO_LE(data->pass),
        .pos = GUINT64_TO_LE(data->pos),
        .produced = GUINT64_TO_LE(data->produced),
        .recursed = GUINT64_TO_LE(data->recursed),
        .torn = GUINT64_TO_LE(data->torn),
        .clamped = GUINT64_TO_LE(data->clamped),
    };
    DdebugLogLoss why = DDEBUG_LOG_LOSS_IO;
    int r;

    g_return_val_if_fail(len <= DDEBUG_LOG_PAYLOAD_MAX, -EINVAL);
    if (ddlog_is_overdrawn(log)) {
        why = DDEBUG_LOG_LOSS_RATE;
        r = -EXFULL;
    } else {
        r = make_room_for_data(log, len);
        if (!r) {
            r = write_attach_record(log);
        }
        if (!r) {
            r = report_all_lost(log, true);
        }
        if (!r) {
            r = ddlog_write_chunk(log, DDEBUG_LOG_SEG_DATA, &c, payload, len);
        }
        if (r == -EXFULL) {
            why = DDEBUG_LOG_LOSS_FULL;
        }
    }
    note_data(log, r, why, len);
    return r;
}

static int append_to_dict(DdebugLog *log, uint16_t type, const void *payload,
                          size_t len)
{
    struct ddebug_log_chunk c = {
        .type = GUINT16_TO_LE(type),
        .epoch = GUINT32_TO_LE(log->epoch),
    };
    int r;

    g_return_val_if_fail(len <= DDEBUG_LOG_PAYLOAD_MAX, -EINVAL);
    if (ddlog_is_overdrawn(log)) {
        return -EXFULL;
    }
    r = write_attach_record(log);
    if (!r) {
        r = report_all_lost(log, false);
    }
    if (!r) {
        r = ddlog_write_chunk(log, DDEBUG_LOG_SEG_DICT, &c, payload, len);
    }
    if (r && r != -EXFULL) {
        count_lost(log, DDEBUG_LOG_LOSS_IO, 1, len);
    }
    return r;
}

/* A new epoch's data are not frozen with an older one's, if there is a slot. */
static void leave_frozen(DdebugLog *log)
{
    if (log->data.open &&
        ddlog_is_frozen(log, &log->slots[log->data.slot])) {
        ddlog_begin_segment(log, DDEBUG_LOG_SEG_DATA);
    }
}

int ddebug_log_append_attach(DdebugLog *log, const void *payload, size_t len)
{
    int r, r_event;

    if (log->epoch == UINT32_MAX) {
        log->attached = false;
        return -EOVERFLOW;
    }
    log->epoch++;
    log->attached = true;
    g_clear_pointer(&log->attach_record, g_free);
    r = append_to_dict(log, DDEBUG_LOG_CHUNK_ATTACH, payload, len);
    if (r == -EXFULL) {
        log->attach_record = g_malloc(len);
        log->attach_record_len = len;
        memcpy(log->attach_record, payload, len);
        r = 0;
    }
    leave_frozen(log);
    r_event = ddebug_log_append_event(log, DDEBUG_LOG_EVENT_ATTACH, log->epoch,
                                      0, 0);
    return r || r_event == -EXFULL ? r : r_event;
}

int ddebug_log_append_dict(DdebugLog *log, const void *payload, size_t len)
{
    if (!log->attached) {
        return -EINVAL;
    }
    return append_to_dict(log, DDEBUG_LOG_CHUNK_DICT, payload, len);
}

int ddebug_log_append_event(DdebugLog *log, uint32_t event,
                            uint64_t arg0, uint64_t arg1, uint64_t arg2)
{
    int r;

    if (ddlog_is_overdrawn(log)) {
        return -EXFULL;
    }
    r = report_all_lost(log, event == DDEBUG_LOG_EVENT_CLOSE);
    if (!r) {
        r = ddlog_write_event(log, event, arg0, arg1, arg2);
    }
    if (r && r != -EXFULL) {
        count_lost(log, DDEBUG_LOG_LOSS_IO, 1, sizeof(struct ddebug_log_event));
    }
    return r;
}

void ddebug_log_append_lost(DdebugLog *log, DdebugLogLoss why, uint64_t chunks,
                            uint64_t bytes)
{
    count_lost(log, why, chunks, bytes);
}

uint64_t ddebug_log_lost(const DdebugLog *log, DdebugLogLoss why)
{
    return log->lost[why].bytes;
}

int ddebug_log_sync_error(DdebugLog *log)
{
    int error;

    report_unsynced(log);
    error = log->sync_error;
    log->sync_error = 0;
    return error;
}

int ddebug_log_write_state(DdebugLog *log, uint64_t settled_pass)
{
    struct ddebug_log_state s = {
        .magic = GUINT32_TO_LE(DDEBUG_LOG_STATE_MAGIC),
        .settled_pass = GUINT64_TO_LE(settled_pass),
        .io_lost = GUINT64_TO_LE(log->lost[DDEBUG_LOG_LOSS_IO].bytes),
        .full_lost = GUINT64_TO_LE(log->lost[DDEBUG_LOG_LOSS_FULL].bytes),
        .rate_lost = GUINT64_TO_LE(log->lost[DDEBUG_LOG_LOSS_RATE].bytes),
    };

    if (log->data.open) {
        s.seg_seq = GUINT64_TO_LE(log->slots[log->data.slot].seq);
    }
    ddebug_log_seal(&s, sizeof(s));
    return ddlog_write_at(log->fd, &s, sizeof(s), DDEBUG_LOG_STATE_OFF);
}
