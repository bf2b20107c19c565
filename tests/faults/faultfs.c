/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * faultfs DIRECTORY CONTROL MOUNTPOINT [DURABLE]: a file system that mirrors the files of
 * DIRECTORY and fails as requested by CONTROL, a file with one of
 *
 *   ok
 *   eio, edquot, erofs, enospc         whatever changes a file fails
 *   block                              it blocks until the word changes
 *   read-eio                           reads fail
 *   sync-eio, sync-enospc, sync-edquot syncs fail, and what was not synced is lost
 *   sync-block                         syncs block until the word changes
 *   off SEED                           the power is lost: see below
 *
 * With DURABLE, it is a disk with a cache.  DIRECTORY has what was written, DURABLE what
 * has been synced: a file's contents by fsync(), its name by fsync() of the folder.  When
 * the power is lost, which the next call of any kind brings about, each block that was not
 * synced gets to DURABLE or does not, at random, and so does the length of a file; from then
 * on everything fails.
 *
 * FUSE rather than a preloaded library: real system calls fail, and one that blocks
 * does so in the kernel, where no other thread of QEMU can end it.
 * dm-error, dm-delay and dm-log-writes could do the same for whole disks, but need device
 * mapper, which is not available on every test machine.
 */
#define FUSE_USE_VERSION 31
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define BLOCK 512
/* A disk writes this much of the begin of a file in pages, which are not torn. */
#define SUPERBLOCKS 8192
#define PAGE 4096
/* A file whose name is not synced. */
#define UNNAMED "%s.unnamed"

static int folder;
static int durable = -1;
static const char *control;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_off;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- what was synced ---- */

static bool is_named(const char *name)
{
    return faccessat(durable, name, F_OK, 0) == 0;
}

static int open_durable(const char *name, int flags)
{
    char unnamed[NAME_MAX + 16];
    int fd;

    snprintf(unnamed, sizeof(unnamed), UNNAMED, name);
    fd = openat(durable, is_named(name) ? name : unnamed, flags | O_CLOEXEC, 0600);
    if (fd < 0) {
        die(name);
    }
    return fd;
}

/*
 * Copy what differs between the files, in blocks of which @survives says whether to; and the
 * length.
 */
static void copy_blocks(int from, int to, bool (*survives)(void))
{
    char ours[PAGE], theirs[PAGE];
    struct stat is, was;

    if (fstat(from, &is) || fstat(to, &was)) {
        die("fstat");
    }
    if (is.st_size != was.st_size && survives() && ftruncate(to, is.st_size)) {
        die("ftruncate");
    }
    for (off_t at = 0; at < is.st_size; ) {
        const size_t unit = at < SUPERBLOCKS ? PAGE : BLOCK;
        const ssize_t n = pread(from, ours, unit, at), had = pread(to, theirs, unit, at);

        if (n < 0 || had < 0) {
            die("pread");
        }
        if (n > 0 && (n != had || memcmp(ours, theirs, n)) && survives() && pwrite(to, ours, n, at) != n) {
            die("pwrite");
        }
        at += unit;
    }
}

static bool always(void)
{
    return true;
}

/* How many of 64 blocks survive: chosen for each power loss. */
static unsigned share;

static bool by_chance(void)
{
    return (unsigned)(random() >> 8) % 64 < share;
}

static void each_file(void (*func)(const char *name))
{
    DIR *dir = fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct dirent *entry;

    if (!dir) {
        die("fdopendir");
    }
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] != '.') {
            func(entry->d_name);
        }
    }
    closedir(dir);
}

static void lose(const char *name)
{
    char unnamed[NAME_MAX + 16];
    int from, to;

    snprintf(unnamed, sizeof(unnamed), UNNAMED, name);
    unlinkat(durable, unnamed, 0);
    if (!is_named(name)) {
        return;
    }
    from = openat(folder, name, O_RDONLY | O_CLOEXEC);
    to = open_durable(name, O_RDWR);
    copy_blocks(from, to, by_chance);
    close(from);
    close(to);
}

static void lose_power(unsigned seed)
{
    pthread_mutex_lock(&lock);
    if (!is_off) {
        srandom(seed);
        share = (unsigned)(random() >> 8) % 65;
        each_file(lose);
        is_off = true;
    }
    pthread_mutex_unlock(&lock);
}

/* ---- faults ---- */

static void read_word(char *word, size_t size)
{
    int fd = open(control, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, word, size - 1);

    if (fd >= 0) {
        close(fd);
    }
    word[n < 0 ? 0 : n] = 0;
    word[strcspn(word, "\n")] = 0;
}

/*
 * Called by everything.  The fault is of calls of a @kind: "" for those that change a file,
 * or the prefix of the words.  Returns 0 or a negative errno.
 */
static int fault_of(const char *kind)
{
    static const struct {
        const char *word;
        int error;
    } faults[] = {
        { "eio", EIO }, { "edquot", EDQUOT }, { "erofs", EROFS }, { "enospc", ENOSPC },
    };
    const size_t prefix = strlen(kind);
    char word[32];

    for (;;) {
        read_word(word, sizeof(word));
        if (strncmp(word, "off ", 4) == 0 && durable >= 0) {
            lose_power(atoi(word + 4));
            return -EIO;
        }
        if (strncmp(word, kind, prefix) || strcmp(word + prefix, "block")) {
            break;
        }
        usleep(20000);
    }
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        if (strncmp(word, kind, prefix) == 0 && !strcmp(word + prefix, faults[i].word)) {
            return -faults[i].error;
        }
    }
    return 0;
}

/* By what changes a file. */
static int fault(void)
{
    return fault_of("");
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
    /* fails without power only */
    int r = fault_of("stat-");

    return r ? r : result(fi ? fstat(fi->fh, st) : fstatat(folder, name(path), st, AT_SYMLINK_NOFOLLOW));
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
    int r = fault_of("read-");

    (void)path;
    return r ? r : result(pread(fi->fh, buf, len, off));
}

/* A sync that fails loses what was not synced, as Linux does: the pages count as clean. */
static int fault_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
    int r = fault_of("sync-"), fd;
    struct stat st;

    (void)datasync;
    if (durable < 0 || is_off) {
        return r;
    }
    pthread_mutex_lock(&lock);
    fd = open_durable(name(path), O_RDWR | O_CREAT);
    if (r) {
        /* the length is metadata, which is not lost; what was never synced is zeros */
        if (fstat(fi->fh, &st) || ftruncate(fd, st.st_size)) {
            die(path);
        }
        copy_blocks(fd, fi->fh, always);
    } else {
        copy_blocks(fi->fh, fd, always);
    }
    close(fd);
    pthread_mutex_unlock(&lock);
    return r;
}

static void name_file(const char *name)
{
    char unnamed[NAME_MAX + 16];

    snprintf(unnamed, sizeof(unnamed), UNNAMED, name);
    if (!is_named(name) && renameat(durable, unnamed, durable, name) < 0) {
        close(openat(durable, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
}

static int fault_fsyncdir(const char *path, int datasync, struct fuse_file_info *fi)
{
    int r = fault_of("sync-");

    (void)path;
    (void)datasync;
    (void)fi;
    if (!r && durable >= 0) {
        pthread_mutex_lock(&lock);
        each_file(name_file);
        pthread_mutex_unlock(&lock);
    }
    return r;
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
    .fsync = fault_fsync,
    .fsyncdir = fault_fsyncdir,
    .truncate = fault_truncate,
    .fallocate = fault_fallocate,
    .unlink = fault_unlink,
    .chmod = fault_chmod,
    .statfs = fault_statfs,
};

int main(int argc, char **argv)
{
    char foreground[] = "-f";
    char *args[] = { argv[0], foreground, argc >= 4 ? argv[3] : NULL };

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: faultfs FOLDER CONTROL MOUNTPOINT [DURABLE]\n");
        return 2;
    }
    control = argv[2];
    folder = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        perror(argv[1]);
        return 1;
    }
    if (argc == 5) {
        durable = open(argv[4], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (durable < 0) {
            die(argv[4]);
        }
    }
    umask(0);
    return fuse_main(3, args, &operations, NULL);
}
