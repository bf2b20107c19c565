/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * faultfs DIRECTORY CONTROL MOUNTPOINT: a file system that mirrors the files of
 * DIRECTORY and fails as requested by CONTROL, a file with one word: "ok", "eio",
 * "edquot", "erofs", "enospc", or "block", which blocks writes until the word changes.
 *
 * FUSE rather than a preloaded library: real system calls fail, and one that blocks
 * does so in the kernel, where no other thread of QEMU can end it.
 * dm-error and dm-delay could do the same for whole disks, but need device mapper,
 * which is not available on every test machine.
 */
#define FUSE_USE_VERSION 31
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int folder;
static const char *control;

/* Called by everything that changes a file.  Returns 0 or a negative errno. */
static int fault(void)
{
    static const struct {
        const char *word;
        int error;
    } faults[] = {
        { "eio", EIO }, { "edquot", EDQUOT }, { "erofs", EROFS }, { "enospc", ENOSPC },
    };
    char word[16];

    for (;;) {
        int fd = open(control, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, word, sizeof(word) - 1);

        if (fd >= 0) {
            close(fd);
        }
        word[n < 0 ? 0 : n] = 0;
        word[strcspn(word, "\n")] = 0;
        if (strcmp(word, "block")) {
            break;
        }
        usleep(20000);
    }
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        if (!strcmp(word, faults[i].word)) {
            return -faults[i].error;
        }
    }
    return 0;
}

static int result(long r)
{
    return r < 0 ? -errno : r;
}

static const char *name(const char *path)
{
    return path[1] ? path + 1 : ".";
}

static int fault_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    return result(fi ? fstat(fi->fh, st) : fstatat(folder, name(path), st, AT_SYMLINK_NOFOLLOW));
}

static int open_file(const char *path, int flags, mode_t mode, struct fuse_file_info *fi)
{
    int fd = openat(folder, name(path), flags | O_CLOEXEC, mode);

    if (fd < 0) {
        return -errno;
    }
    fi->fh = fd;
    return 0;
}

static int fault_open(const char *path, struct fuse_file_info *fi)
{
    return open_file(path, fi->flags, 0, fi);
}

static int fault_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
    int r = fault();

    return r ? r : open_file(path, fi->flags | O_CREAT, mode, fi);
}

static int fault_release(const char *path, struct fuse_file_info *fi)
{
    (void)path;
    return result(close(fi->fh));
}

static int fault_read(const char *path, char *buf, size_t len, off_t off, struct fuse_file_info *fi)
{
    (void)path;
    return result(pread(fi->fh, buf, len, off));
}

static int fault_write(const char *path, const char *buf, size_t len, off_t off, struct fuse_file_info *fi)
{
    int r = fault();

    (void)path;
    return r ? r : result(pwrite(fi->fh, buf, len, off));
}

static int fault_truncate(const char *path, off_t len, struct fuse_file_info *fi)
{
    int r = fault(), fd;

    if (r || fi) {
        return r ? r : result(ftruncate(fi->fh, len));
    }
    fd = openat(folder, name(path), O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    r = result(ftruncate(fd, len));
    close(fd);
    return r;
}

static int fault_fallocate(const char *path, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
    int r = fault();

    (void)path;
    return r ? r : result(fallocate(fi->fh, mode, off, len));
}

static int fault_unlink(const char *path)
{
    int r = fault();

    return r ? r : result(unlinkat(folder, name(path), 0));
}

static int fault_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
    return result(fi ? fchmod(fi->fh, mode) : fchmodat(folder, name(path), mode, 0));
}

static int fault_statfs(const char *path, struct statvfs *st)
{
    (void)path;
    return result(fstatvfs(folder, st));
}

/* A file that is open is removed, as on other file systems, not renamed. */
static void *fault_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    (void)connection;
    config->hard_remove = 1;
    return NULL;
}

static const struct fuse_operations operations = {
    .init = fault_init,
    .getattr = fault_getattr,
    .open = fault_open,
    .create = fault_create,
    .release = fault_release,
    .read = fault_read,
    .write = fault_write,
    .truncate = fault_truncate,
    .fallocate = fault_fallocate,
    .unlink = fault_unlink,
    .chmod = fault_chmod,
    .statfs = fault_statfs,
};

int main(int argc, char **argv)
{
    char foreground[] = "-f";
    char *args[] = { argv[0], foreground, argc == 4 ? argv[3] : NULL };

    if (argc != 4) {
        fprintf(stderr, "usage: faultfs FOLDER CONTROL MOUNTPOINT\n");
        return 2;
    }
    control = argv[2];
    folder = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        perror(argv[1]);
        return 1;
    }
    umask(0);
    return fuse_main(3, args, &operations, NULL);
}
