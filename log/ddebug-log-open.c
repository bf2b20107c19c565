/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening or creating a log, and closing it. */
#include "ddebug-log-internal.h"

#define OPEN_FLAGS (O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode) ? "a directory" :
           S_ISLNK(mode) ? "a symbolic link" :
           S_ISFIFO(mode) ? "a FIFO" :
           S_ISSOCK(mode) ? "a socket" :
           S_ISBLK(mode) ? "a block device" :
           S_ISCHR(mode) ? "a character device" : "not a regular file";
}

static bool check_kind(const char *path, const struct stat *st, unsigned flags,
                       GError **error)
{
    const uid_t uid = geteuid();

    if (!S_ISREG(st->st_mode)) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_NOT_A_FILE,
                          "'%s' is %s: use a regular file, or a path that does "
                          "not exist yet", path, kind_of(st->st_mode));
    }
    if (st->st_nlink > 1) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_LINKED,
                          "'%s' has %ju hard links: use a file with only one "
                          "name", path, (uintmax_t)st->st_nlink);
    }
    if (flags & DDEBUG_LOG_OPEN_OWNED && st->st_uid != uid && st->st_uid != 0) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_OWNER,
                          "'%s' belongs to the user with id %u, who could "
                          "modify it at any time: change its owner to the user "
                          "with id %u, which runs this program, or to root, or "
                          "use another file",
                          path, st->st_uid, uid);
    }
    return true;
}

static int open_again(const char *path, int flags)
{
    int fd;

    do {
        fd = open(path, flags, 0600);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static bool set_open_error(GError **error, const char *path, int err)
{
    switch (err) {
    case ENOENT:
        return ddlog_fail(error, DDEBUG_LOG_ERROR_NOT_FOUND,
                          "'%s' does not exist, or there is no directory for "
                          "it: check the path", path);
    case ELOOP:
        return ddlog_fail(error, DDEBUG_LOG_ERROR_NOT_A_FILE,
                          "'%s' is %s: use a regular file, or a path that does "
                          "not exist yet", path, kind_of(S_IFLNK));
    case EROFS:
        return ddlog_fail(error, DDEBUG_LOG_ERROR_PERMISSION,
                          "'%s' cannot be opened for writing: its file system "
                          "is read-only: use a file elsewhere, or remount it",
                          path);
    case EACCES:
    case EPERM:
        return ddlog_fail(error, DDEBUG_LOG_ERROR_PERMISSION,
                          "'%s' cannot be opened for writing: %s; give the "
                          "user with id %u write access to it and its "
                          "directory, or use another file", path,
                          g_strerror(err), geteuid());
    case ENOSPC:
    case EDQUOT:
        return ddlog_fail_space(error, path, 0, err);
    default:
        return ddlog_fail_io(error, path, "cannot open", err);
    }
}

/*
 * The check before opening is for devices and FIFOs, which merely opening may
 * affect; the one after it is what counts.
 */
static bool open_name(DdebugLog *log, struct stat *st, GError **error)
{
    if (lstat(log->path, st) == 0) {
        if (!check_kind(log->path, st, log->flags, error)) {
            return false;
        }
        log->fd = open_again(log->path, OPEN_FLAGS | O_NOFOLLOW);
    } else if (errno == ENOENT && log->flags & DDEBUG_LOG_OPEN_CREATE) {
        log->fd = open_again(log->path,
                             OPEN_FLAGS | O_NOFOLLOW | O_CREAT | O_EXCL);
        log->opening.created = log->fd >= 0;
    }
    return log->fd >= 0 || set_open_error(error, log->path, errno);
}

static bool set_opener_error(GError **error, const char *path, int err)
{
    switch (err) {
    case ENOENT:
        return ddlog_fail(error, DDEBUG_LOG_ERROR_NOT_FOUND,
                          "there is no '%s': pass a file descriptor under that "
                          "number first", path);
    case EACCES:
        return ddlog_fail(error, DDEBUG_LOG_ERROR_PERMISSION,
                          "'%s' has no file descriptor that was opened for "
                          "reading and writing: pass one", path);
    default:
        return ddlog_fail_io(error, path, "cannot open", err);
    }
}

/*
 * A descriptor that was passed to us shares its open file description, and with
 * that its lock, with whoever else has it.  So open the file anew, by the
 * kernel's name of the descriptor.  Where that is denied, which may be why the
 * descriptor was passed, or where there is no /proc, use it as it is.
 */
static bool open_passed(DdebugLog *log, struct stat *st, GError **error)
{
    g_autofree char *name = NULL;
    int own;

    log->fd = log->opener->open(log->path, OPEN_FLAGS);
    if (log->fd < 0) {
        return set_opener_error(error, log->path, errno);
    }
    log->lent = true;
    if (fstat(log->fd, st) < 0) {
        return ddlog_fail_io(error, log->path, "cannot stat", errno);
    }
    if (st->st_nlink == 0) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_NOT_FOUND,
                          "the file of '%s' was removed: remove its file "
                          "descriptor, and pass one of another file under that "
                          "number", log->path);
    }
    /* as above: before it is opened */
    if (!check_kind(log->path, st, log->flags, error)) {
        return false;
    }
    name = ddlog_fd_name(log->fd);
    own = open_again(name, OPEN_FLAGS);
    if (own >= 0) {
        log->opener->close(log->fd);
        log->fd = own;
        log->lent = false;
    } else if (fcntl(log->fd, F_GETFL) & (O_APPEND | O_DIRECT)) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_PERMISSION,
                          "'%s' was opened with O_APPEND or O_DIRECT: pass a "
                          "file descriptor that was not", log->path);
    }
    return true;
}

static bool open_file(DdebugLog *log, struct stat *st, GError **error)
{
    if (!(log->opener ? open_passed(log, st, error) :
                        open_name(log, st, error))) {
        return false;
    }
    if (fstat(log->fd, st) < 0) {
        return ddlog_fail_io(error, log->path, "cannot stat", errno);
    }
    return check_kind(log->path, st, log->flags, error);
}

/*
 * The files of this process that are locked by a descriptor which is lent: the
 * lock belongs to all who share the description, so it does not keep two logs
 * of this process apart.
 */
static GMutex lent_lock;
static GSList *lent_files;          /* struct stat */

static bool take_lent(DdebugLog *log, bool take)
{
    struct stat st;
    GSList *i;
    bool found = false;

    if (!log->lent || fstat(log->fd, &st) < 0) {
        return true;
    }
    g_mutex_lock(&lent_lock);
    for (i = lent_files; i && !found; i = found ? i : i->next) {
        const struct stat *other = i->data;

        found = other->st_dev == st.st_dev && other->st_ino == st.st_ino;
    }
    if (take && !found) {
        lent_files = g_slist_prepend(lent_files, g_memdup2(&st, sizeof(st)));
    } else if (!take && found) {
        g_free(i->data);
        lent_files = g_slist_delete_link(lent_files, i);
    }
    g_mutex_unlock(&lent_lock);
    return !take || !found;
}

static bool lock_file(DdebugLog *log)
{
    if (!take_lent(log, true)) {
        errno = EAGAIN;
        return false;
    }
    log->locked = ddlog_lock_byte(log->fd, DDEBUG_LOG_LOCK_WRITER, F_WRLCK);
    if (!log->locked) {
        const int err = errno;

        take_lent(log, false);
        errno = err;
    }
    return log->locked;
}

static bool take_lock(DdebugLog *log, GError **error)
{
    int err;

    if (lock_file(log)) {
        return true;
    }
    err = errno;
    if (err != EAGAIN && err != EACCES) {
        return ddlog_fail_io(error, log->path, "cannot lock", err);
    }
    return ddlog_fail(error, DDEBUG_LOG_ERROR_BUSY,
                      "'%s' is in use, by the process %u according to its "
                      "superblock: use another file, or end that process "
                      "first",
                      log->path, ddlog_writer_pid(log));
}

/* Called only once it is known to be a log: a refused file stays as it was. */
static bool give_access(DdebugLog *log, const DdebugLogInfo *info,
                        GError **error)
{
    struct stat st;

    if (!info || (!info->file_mode && !info->file_group)) {
        return true;
    }
    if (fstat(log->fd, &st) < 0) {
        return ddlog_fail_io(error, log->path, "cannot stat", errno);
    }
    if (info->file_group && st.st_gid != *info->file_group &&
        fchown(log->fd, -1, *info->file_group) < 0) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_PERMISSION,
                          "the group of '%s' cannot be changed to %u: %s; the "
                          "user with id %u must own the file and be a member "
                          "of that group", log->path, *info->file_group,
                          g_strerror(errno), geteuid());
    }
    /* after the group, since changing that may clear bits */
    if (info->file_mode && (st.st_mode & 07777) != info->file_mode &&
        fchmod(log->fd, info->file_mode) < 0) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_PERMISSION,
                          "the mode of '%s' cannot be changed to %#o: %s; the "
                          "user with id %u must own the file", log->path,
                          info->file_mode, g_strerror(errno), geteuid());
    }
    return true;
}

static void new_uuid(uint8_t uuid[16])
{
    int i;

    for (i = 0; i < 16; i += 4) {
        uint32_t word = g_random_int();

        memcpy(uuid + i, &word, 4);
    }
    /* version 4, variant 1 of RFC 4122 */
    uuid[6] = (uuid[6] & 0x0f) | 0x40;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

/*
 * Write the superblock; the space is allocated later.  A death in between leaves
 * a log that is cut short, which can be opened.
 */
static bool format(DdebugLog *log, uint64_t size, const DdebugLogInfo *info,
                   GError **error)
{
    struct ddebug_log_super s = {
        .version = GUINT32_TO_LE(DDEBUG_LOG_VERSION),
    };
    int r;

    log->shm_size = info ? info->shm_size : 0;
    if (!size) {
        size = DDEBUG_LOG_SIZE_DEFAULT + log->shm_size;
    }
    log->seg_size = ddebug_log_seg_size_for(size - MIN(size, log->shm_size));
    if (!ddlog_check_nr_segs(log->path, size, log->seg_size, log->shm_size,
                             error)) {
        return false;
    }
    log->nr_segs = ddebug_log_nr_segs_for(size, log->seg_size, log->shm_size);
    size = ddlog_size_with(log, log->nr_segs);
    r = ddlog_check_room(log->fd, 0, size);
    if (r) {
        return ddlog_fail_space(error, log->path, size, r);
    }
    memcpy(s.magic, DDEBUG_LOG_MAGIC, sizeof(s.magic));
    s.seg_size = GUINT32_TO_LE(log->seg_size);
    s.nr_segs = GUINT64_TO_LE(log->nr_segs);
    s.size = GUINT64_TO_LE(size);
    if (log->shm_size) {
        s.incompat = GUINT32_TO_LE(DDEBUG_LOG_INCOMPAT_SHM);
        s.shm_size = GUINT64_TO_LE(log->shm_size);
    }
    s.created = GUINT64_TO_LE(ddlog_clock_ns(CLOCK_REALTIME));
    new_uuid(s.uuid);
    ddlog_super_fields(log, &s, info);
    r = ddlog_write_super(log, &s);
    if (r == -ENOSPC || r == -EDQUOT) {
        return ddlog_fail_space(error, log->path, size, -r);
    }
    if (r) {
        return ddlog_fail_io(error, log->path, "cannot write", -r);
    }
    log->opening.nr_segs = log->nr_segs;
    return true;
}

static bool finish_format(DdebugLog *log, GError **error)
{
    const uint64_t size = ddebug_log_size(log);
    int r = ddlog_preallocate(log, 0, size);

    if (r) {
        return ddlog_fail_space(error, log->path, size, r);
    }
    log->slots = g_new0(DdebugLogSlot, log->nr_segs);
    return true;
}

/*
 * Only a new log gets an area: in an existing one all segments would have to
 * move.
 */
static bool check_shm(const DdebugLog *log, const DdebugLogInfo *info,
                      GError **error)
{
    if (!info || !info->shm_size) {
        return true;
    }
    if (!log->shm_size) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_SHM,
                          "'%s' was created without shared rings (shm=on): use "
                          "another file, remove this one to create a new log, "
                          "or set shm=off", log->path);
    }
    if (info->shm_exact && info->shm_size != log->shm_size) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_SHM,
                          "'%s' has %" PRIu64 " bytes for shared rings, not "
                          "%" PRIu64 " (shm-size): omit shm-size, or remove "
                          "the file to create a new log", log->path,
                          log->shm_size, info->shm_size);
    }
    return true;
}

/* Whether the log may have the size that it is to have, as far as is known. */
static bool check_room(const DdebugLog *log, GError **error)
{
    const uint64_t now = ddebug_log_size(log);
    const uint64_t size = MAX(now, ddlog_size_with(log, log->opening.nr_segs));
    int r = ddlog_check_room(log->fd, MIN(log->opening.have, size), size);

    return !r || ddlog_fail_space(error, log->path, size, r);
}

static bool reopen(DdebugLog *log, uint64_t size, const DdebugLogInfo *info,
                   GError **error)
{
    DdebugLogOpening *o = &log->opening;

    if (!ddlog_read_super(log, error) || !check_shm(log, info, error) ||
        (size && !ddlog_check_nr_segs(log->path, size, log->seg_size,
                                      log->shm_size, error))) {
        return false;
    }
    o->nr_segs = size ? ddebug_log_nr_segs_for(size, log->seg_size,
                                               log->shm_size) : log->nr_segs;
    if (!check_room(log, error)) {
        return false;
    }
    o->super = log->super;
    ddlog_super_fields(log, &o->super, info);
    return true;
}

static bool finish_reopen(DdebugLog *log, GError **error)
{
    const uint64_t have = log->opening.have, want = ddebug_log_size(log);
    struct ddebug_log_super s = log->opening.super;
    int r;

    if (have < want) {
        r = ddlog_preallocate(log, have, want);
        if (r) {
            ddlog_cut(log->fd, have);
            return ddlog_fail_space(error, log->path, want, r);
        }
    }
    if (!ddlog_load_slots(log, error)) {
        return false;
    }
    ddlog_load_state(log);
    ddlog_load_sync(log);
    if (have > want) {
        ddlog_cut(log->fd, want);
    }
    r = ddlog_drop_stale_request(log);
    if (!r) {
        ddlog_check_frozen(log, &s);
        r = ddlog_write_super(log, &s);
    }
    if (r) {
        return ddlog_fail_io(error, log->path, "cannot write", -r);
    }
    return ddlog_set_nr_segs(log, log->opening.nr_segs, error);
}

/* The folder of a new file, whose entry is to be synced as well; or -1. */
static int open_folder(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);

    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A file that was refused is as it was; one that was created is gone. */
static void undo_opening(DdebugLog *log)
{
    if (log->opening.is_new) {
        ddlog_cut(log->fd, 0);
    }
    if (log->opening.created) {
        unlink(log->where);
    }
}

DdebugLog *ddebug_log_begin(const char *path, uint64_t size,
                            const DdebugLogInfo *info, unsigned flags,
                            GError **error)
{
    const DdebugLogOpener *opener = info ? info->opener : NULL;
    g_autofree char *cwd = g_get_current_dir();
    DdebugLog *log;
    struct stat st;
    bool ok;

    if (size && !ddebug_log_check_size(size, error)) {
        return NULL;
    }
    log = g_new0(DdebugLog, 1);
    log->path = g_strdup(path);
    log->where = g_path_is_absolute(path) ? g_strdup(path) :
                                            g_build_filename(cwd, path, NULL);
    log->opener = opener && opener->handles(path) ? opener : NULL;
    /* whoever passed a descriptor answers for its file */
    log->flags = log->opener ? flags & ~DDEBUG_LOG_OPEN_OWNED : flags;
    log->fd = -1;
    log->folder_fd = -1;
    log->next_seq = 1;
    log->next_chunk = 1;
    ok = open_file(log, &st, error) && take_lock(log, error);
    /* Only now is its length settled: another writer may just have gone. */
    if (ok && fstat(log->fd, &st) < 0) {
        ok = ddlog_fail_io(error, path, "cannot stat", errno);
    }
    if (ok) {
        log->opening.pending = true;
        log->opening.is_new = st.st_size == 0;
        log->opening.have = st.st_size;
        ok = (log->opening.is_new ? format(log, size, info, error) :
                                    reopen(log, size, info, error)) &&
             give_access(log, info, error);
    }
    if (ok && log->opening.created) {
        log->folder_fd = open_folder(log->where);
    }
    if (!ok) {
        ddebug_log_close(log);
        return NULL;
    }
    return log;
}

bool ddebug_log_finish(DdebugLog *log, GError **error)
{
    if (!(log->opening.is_new ? finish_format(log, error) :
                                finish_reopen(log, error))) {
        return false;
    }
    log->opening = (DdebugLogOpening) { 0 };
    ddlog_note_opened(log);
    return true;
}

DdebugLog *ddebug_log_open(const char *path, uint64_t size,
                           const DdebugLogInfo *info, unsigned flags,
                           GError **error)
{
    DdebugLog *log = ddebug_log_begin(path, size, info, flags, error);

    if (log && !ddebug_log_finish(log, error)) {
        ddebug_log_close(log);
        return NULL;
    }
    return log;
}

void ddebug_log_close(DdebugLog *log)
{
    if (!log) {
        return;
    }
    if (log->locked) {
        undo_opening(log);
        ddlog_end_sync(log);
        /*
         * a mapping of the rings and a sync in progress keep the file open, and
         * with it the lock
         */
        ddlog_lock_byte(log->fd, DDEBUG_LOG_LOCK_WRITER, F_UNLCK);
        take_lent(log, false);
    }
    if (log->fd >= 0 && !log->sync) {
        ddlog_close_fd(log->fd, log->lent ? log->opener : NULL);
    }
    if (log->folder_fd >= 0) {
        close(log->folder_fd);
    }
    ddebug_log_sync_unref(log->sync);
    g_free(log->attach_record);
    g_free(log->slots);
    g_free(log->path);
    g_free(log->where);
    g_free(log);
}

uint64_t ddebug_log_planned_size(const DdebugLog *log)
{
    return log->opening.pending ? ddlog_size_with(log, log->opening.nr_segs) :
                                  ddebug_log_size(log);
}

char *ddebug_log_watch_path(const DdebugLog *log, bool *follow)
{
    *follow = log->opener != NULL;
    return log->opener ? ddlog_fd_name(log->fd) : g_strdup(log->where);
}

uint64_t ddebug_log_shm_size(const DdebugLog *log)
{
    return log->shm_size;
}

const char *ddebug_log_path(const DdebugLog *log)
{
    return log->where;
}

uint32_t ddebug_log_epoch(const DdebugLog *log)
{
    return log->epoch;
}

uint64_t ddebug_log_last_pass(const DdebugLog *log)
{
    return log->last_pass;
}
