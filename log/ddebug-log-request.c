/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests from tools: docs/log-format.md, "Requests". */
#include "ddebug-log-internal.h"

/*
 * Do not serve a request that was written to an earlier writer: its tool has
 * given up.  While a tool holds the request lock, the request may be meant for
 * us: keep it.
 */
int ddlog_drop_stale_request(DdebugLog *log)
{
    static const struct ddebug_log_request none;
    struct ddebug_log_reply disk;
    DdebugLogReply reply;
    int r;

    r = ddlog_read_at(log->fd, &disk, sizeof(disk), DDEBUG_LOG_REPLY_OFF);
    if (r) {
        return r;
    }
    if (ddebug_log_parse_reply(&disk, &reply)) {
        log->answered = reply.id;
    }
    if (ddlog_lock_byte(log->fd, DDEBUG_LOG_LOCK_REQUEST, F_WRLCK)) {
        r = ddlog_write_at(log->fd, &none, sizeof(none),
                           DDEBUG_LOG_REQUEST_OFF);
        ddlog_lock_byte(log->fd, DDEBUG_LOG_LOCK_REQUEST, F_UNLCK);
    }
    return r;
}

bool ddebug_log_poll_request(DdebugLog *log, DdebugLogRequest *request)
{
    struct ddebug_log_request disk;

    return !ddlog_read_at(log->fd, &disk, sizeof(disk),
                          DDEBUG_LOG_REQUEST_OFF) &&
           ddebug_log_parse_request(&disk, request) &&
           request->id != log->answered;
}

static int error_to_errno(const GError *error)
{
    switch (error->code) {
    case DDEBUG_LOG_ERROR_SIZE:
        return EINVAL;
    case DDEBUG_LOG_ERROR_SPACE:
        return ENOSPC;
    case DDEBUG_LOG_ERROR_LIMIT:
        return EFBIG;
    default:
        return EIO;
    }
}

void ddebug_log_serve_request(DdebugLog *log, const DdebugLogRequest *request)
{
    g_autoptr(GError) error = NULL;
    struct ddebug_log_reply reply = {
        .magic = GUINT32_TO_LE(DDEBUG_LOG_REPLY_MAGIC),
        .id = GUINT64_TO_LE(request->id),
    };
    int err = 0;

    switch (request->type) {
    case DDEBUG_LOG_REQUEST_SIZE:
        if (!ddebug_log_resize(log, request->arg, &error)) {
            err = error_to_errno(error);
        }
        reply.value = GUINT64_TO_LE(ddebug_log_size(log));
        break;
    case DDEBUG_LOG_REQUEST_CLEAR:
        if (!ddebug_log_clear(log, &error)) {
            err = error_to_errno(error);
        }
        break;
    default:
        err = EOPNOTSUPP;
        break;
    }
    reply.error = GUINT32_TO_LE(err);
    ddebug_log_seal(&reply, sizeof(reply));
    log->answered = request->id;
    /* If the reply cannot be written, the tool times out. */
    ddlog_write_at(log->fd, &reply, sizeof(reply), DDEBUG_LOG_REPLY_OFF);
}
