/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors of the log writer, and how they are worded. */
#include "ddebug-log-internal.h"
#include <sys/resource.h>

G_DEFINE_QUARK(ddebug-log-error-quark, ddebug_log_error)

bool ddlog_fail(GError **error, DdebugLogError code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (error) {
        *error = g_error_new_valist(DDEBUG_LOG_ERROR, code, fmt, ap);
    }
    va_end(ap);
    return false;
}

bool ddlog_fail_io(GError **error, const char *path, const char *what,
                   int err)
{
    return ddlog_fail(error, DDEBUG_LOG_ERROR_IO, "%s '%s': %s", what, path,
                      g_strerror(err));
}

/* EFBIG: the limit is that of the process, or else of the file system. */
static bool fail_limit(GError **error, const char *path, uint64_t size)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && size > limit.rlim_cur) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_LIMIT,
                          "'%s' cannot have %" PRIu64 " bytes: this process "
                          "may write files of at most %ju bytes "
                          "(RLIMIT_FSIZE); raise that limit (ulimit -f, "
                          "LimitFSIZE= of systemd), or use a smaller size",
                          path, size, (uintmax_t)limit.rlim_cur);
    }
    return ddlog_fail(error, DDEBUG_LOG_ERROR_LIMIT,
                      "'%s' cannot have %" PRIu64 " bytes: its file system "
                      "allows no file of that size; use a smaller size, or "
                      "another file system", path, size);
}

bool ddlog_fail_space(GError **error, const char *path, uint64_t size,
                      int err)
{
    if (err == EFBIG) {
        return fail_limit(error, path, size);
    }
    return ddlog_fail(error, DDEBUG_LOG_ERROR_SPACE,
                      "no room for '%s' to take %" PRIu64 " bytes: %s; free "
                      "space on its file system, or use a smaller size",
                      path, size, g_strerror(err));
}
