/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking space in the file. */
#include "ddebug-log-internal.h"
#include <sys/resource.h>

/* Bytes of zeros that are written at once. */
#define ZEROS (64u << 10)

/*
 * Bytes that are allocated at once: a signal that interrupts it makes the file
 * system begin anew, so a timer could keep it from ever allocating all.
 */
#define ALLOCATED_AT_ONCE (256ull << 20)

/*
 * Write zeros: with FALLOC_FL_ZERO_RANGE, file systems wait for the disk to
 * take the data that is being discarded.
 */
int ddlog_zero(DdebugLog *log, uint64_t off, uint64_t len)
{
    static const char zeros[ZEROS];
    int r = 0;

    while (len && !r) {
        const size_t n = MIN(len, ZEROS);

        r = ddlog_write_at(log->fd, zeros, n, off);
        ddlog_charge_upkeep(log, n);
        off += n;
        len -= n;
    }
    return r;
}

/*
 * What exceeds the free space is refused at once: some file systems would
 * allocate all they have before they fail, and others could not write
 * meanwhile.  What exceeds the limit of the process must not even be tried: it
 * raises SIGXFSZ, which ends a process that did not expect it.
 */
int ddlog_check_room(int fd, uint64_t from, uint64_t to)
{
    struct rlimit limit;
    struct statvfs fs;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && to > limit.rlim_cur) {
        return EFBIG;
    }
    /* a file system that does not know its size says 0 */
    if (to > from && fstatvfs(fd, &fs) == 0 && fs.f_blocks && fs.f_frsize &&
        (to - from) / fs.f_frsize > fs.f_bfree) {
        return ENOSPC;
    }
    return 0;
}

/* Without fallocate() in the file system, zeros take the space. */
int ddlog_preallocate(DdebugLog *log, uint64_t from, uint64_t to)
{
    int err = ddlog_check_room(log->fd, from, to);

    while (!err && from < to) {
        const uint64_t len = MIN(to - from, ALLOCATED_AT_ONCE);

        if (fallocate(log->fd, 0, from, len) == 0) {
            from += len;
        } else if (errno == EOPNOTSUPP) {
            return -ddlog_zero(log, from, to - from);
        } else if (errno != EINTR) {
            err = errno;
        }
    }
    return err;
}
