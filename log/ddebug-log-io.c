/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Input and output of the log writer. */
#include "ddebug-log-internal.h"

int ddlog_read_at(int fd, void *buf, size_t len, uint64_t off)
{
    while (len) {
        ssize_t n = pread(fd, buf, len, off);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            /* Beyond the end of the file, read zeros as in a hole. */
            memset(buf, 0, len);
            return 0;
        }
        buf = (char *)buf + n;
        off += n;
        len -= n;
    }
    return 0;
}

int ddlog_write_at(int fd, const void *buf, size_t len, uint64_t off)
{
    while (len) {
        ssize_t n = pwrite(fd, buf, len, off);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        buf = (const char *)buf + n;
        off += n;
        len -= n;
    }
    return 0;
}

void ddlog_cut(int fd, uint64_t size)
{
    int r;

    do {
        r = ftruncate(fd, size);
    } while (r < 0 && errno == EINTR);
    /*
     * If it fails, the tail is not part of the log, which the superblock
     * bounds; the next writer tries again.
     */
}

bool ddlog_lock_byte(int fd, uint64_t byte, short type)
{
    struct flock lock = {
        .l_type = type,
        .l_whence = SEEK_SET,
        .l_start = byte,
        .l_len = 1,
    };

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

void ddlog_close_fd(int fd, const DdebugLogOpener *opener)
{
    if (opener) {
        opener->close(fd);
    } else {
        close(fd);
    }
}

char *ddlog_fd_name(int fd)
{
    return g_strdup_printf("/proc/self/fd/%d", fd);
}

uint64_t ddlog_clock_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}
