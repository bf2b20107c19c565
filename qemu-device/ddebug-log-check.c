/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What somebody else has done to the file meanwhile. */
#include "ddebug-log-internal.h"

/* Both copies: which of them was cut off does not matter then. */
static bool mend_cut(DdebugLog *log, uint64_t have, GError **error)
{
    const uint64_t size = ddebug_log_size(log);
    struct ddebug_log_super s = log->super;
    int r;

    log->data.open = false;
    log->dict.open = false;
    r = ddlog_preallocate(log->fd, have, size);
    if (r) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_SPACE,
                          "'%s' was cut short to %" PRIu64 " bytes and cannot "
                          "be made whole: %s; make room on its file system",
                          log->path, have, g_strerror(r));
    }
    r = ddlog_write_super(log, &s);
    if (!r) {
        r = ddlog_write_super(log, &s);
    }
    if (r) {
        return ddlog_fail_io(error, log->path, "cannot write", -r);
    }
    if (!ddlog_load_slots(log, error)) {
        return false;
    }
    return ddlog_fail(error, DDEBUG_LOG_ERROR_IO,
                      "'%s' was cut short to %" PRIu64 " bytes by somebody; it "
                      "is whole again, what was cut off is lost: use "
                      "ddebug-host to resize or clear a log", log->path, have);
}

bool ddebug_log_check(DdebugLog *log, GError **error)
{
    struct stat st;

    if (fstat(log->fd, &st) < 0) {
        return true;
    }
    if ((uint64_t)st.st_size < ddebug_log_size(log)) {
        return mend_cut(log, st.st_size, error);
    }
    if (st.st_nlink == 0 && !log->removal_told) {
        log->removal_told = true;
        return ddlog_fail(error, DDEBUG_LOG_ERROR_NOT_FOUND,
                          "'%s' was removed; what is written to it now is gone "
                          "when this program ends: unplug the device and plug "
                          "it in again to begin a new file", log->path);
    }
    return true;
}
