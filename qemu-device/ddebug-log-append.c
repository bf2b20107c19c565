/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chunks, and the account of those that are lost: rules 4, 6, 9 and 10. */
#include "ddebug-log-internal.h"
#include <sys/uio.h>

static void count_lost(DdebugLog *log, uint64_t chunks, uint64_t bytes)
{
    log->io_lost += bytes;
    log->untold_chunks += chunks;
    log->untold_bytes += bytes;
}

/*
 * A write that was cut short left no whole chunk: the next one begins at the
 * same place.  Where a file's write is cut short, the disk is full.
 */
static int write_chunk(DdebugLog *log, uint32_t seg_type,
                       struct ddebug_log_chunk *c, const void *payload,
                       size_t len)
{
    static const char zeros[CHUNK_ALIGN];
    DdebugLogCursor *cur = ddlog_cursor_of(log, seg_type);
    const size_t pad = -len % CHUNK_ALIGN;
    const size_t total = sizeof(*c) + len + pad;
    struct iovec iov[] = {
        { c, sizeof(*c) },
        { (void *)payload, len },
        { (void *)zeros, pad },
    };
    ssize_t n;
    int r;

    if (!cur->open || cur->off + total > log->seg_size) {
        r = ddlog_begin_segment(log, seg_type);
        if (r) {
            return r;
        }
    }
    c->magic = GUINT32_TO_LE(DDEBUG_LOG_CHUNK_MAGIC);
    c->seg_seq = GUINT64_TO_LE(log->slots[cur->slot].seq);
    c->off = GUINT32_TO_LE(cur->off);
    c->len = GUINT32_TO_LE(len);
    c->chunk_seq = GUINT64_TO_LE(log->next_chunk);
    c->realtime = GUINT64_TO_LE(ddlog_clock_ns(CLOCK_REALTIME));
    c->monotonic = GUINT64_TO_LE(ddlog_clock_ns(CLOCK_MONOTONIC));
    c->payload_crc = GUINT32_TO_LE(ddebug_crc32c(payload, len));
    seal(c);
    do {
        n = pwritev(log->fd, iov, G_N_ELEMENTS(iov),
                    ddlog_slot_off(log, cur->slot) + cur->off);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)total) {
        return n < 0 ? -errno : -ENOSPC;
    }
    cur->off += total;
    log->slots[cur->slot].last_epoch = log->epoch;
    log->next_chunk++;
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

    return write_chunk(log, DDEBUG_LOG_SEG_DATA, &c, &e, sizeof(e));
}

/* Rule 9 */
static int tell_lost(DdebugLog *log)
{
    int r;

    if (!log->untold_chunks) {
        return 0;
    }
    r = ddlog_write_event(log, DDEBUG_LOG_EVENT_IO_LOST, log->untold_chunks,
                          log->untold_bytes, 0);
    if (!r) {
        log->untold_chunks = 0;
        log->untold_bytes = 0;
    }
    return r;
}

static int append(DdebugLog *log, uint32_t seg_type, struct ddebug_log_chunk *c,
                  const void *payload, size_t len)
{
    int r;

    g_return_val_if_fail(len <= DDEBUG_LOG_PAYLOAD_MAX, -EINVAL);
    r = tell_lost(log);
    if (!r) {
        r = write_chunk(log, seg_type, c, payload, len);
    }
    if (r && r != -EXFULL) {
        count_lost(log, 1, len);
    }
    return r;
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

    return append(log, DDEBUG_LOG_SEG_DATA, &c, payload, len);
}

static int append_to_dict(DdebugLog *log, uint16_t type, const void *payload,
                          size_t len)
{
    struct ddebug_log_chunk c = {
        .type = GUINT16_TO_LE(type),
        .epoch = GUINT32_TO_LE(log->epoch),
    };

    return append(log, DDEBUG_LOG_SEG_DICT, &c, payload, len);
}

int ddebug_log_append_attach(DdebugLog *log, const void *payload, size_t len)
{
    int r, r_event;

    log->epoch++;
    log->attached = true;
    r = append_to_dict(log, DDEBUG_LOG_CHUNK_ATTACH, payload, len);
    r_event = ddebug_log_append_event(log, DDEBUG_LOG_EVENT_ATTACH, log->epoch,
                                      0, 0);
    return r ? r : r_event;
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
    int r = tell_lost(log);

    if (!r) {
        r = ddlog_write_event(log, event, arg0, arg1, arg2);
    }
    if (r) {
        count_lost(log, 1, sizeof(struct ddebug_log_event));
    }
    return r;
}

void ddebug_log_append_lost(DdebugLog *log, uint64_t chunks, uint64_t bytes)
{
    count_lost(log, chunks, bytes);
}

int ddebug_log_write_state(DdebugLog *log, uint64_t settled_pass)
{
    struct ddebug_log_state s = {
        .magic = GUINT32_TO_LE(DDEBUG_LOG_STATE_MAGIC),
        .settled_pass = GUINT64_TO_LE(settled_pass),
        .io_lost = GUINT64_TO_LE(log->io_lost),
    };

    if (log->data.open) {
        s.seg_seq = GUINT64_TO_LE(log->slots[log->data.slot].seq);
    }
    seal(&s);
    return ddlog_write_at(log->fd, &s, sizeof(s), DDEBUG_LOG_STATE_OFF);
}
