/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Getting the log to the disk: docs/log-format.md, "Syncing".
 *
 * Two threads share a DdebugLogSync: the writer's, which notes what it has
 * written, and one that syncs the file.  The lock protects a few words and is
 * never held over a system call that may wait for the disk, so the writer does
 * not wait for a sync.  The record of what is on disk is written by both, with
 * another lock, which the writer takes when it closes the log only.  The syncing
 * thread uses a duplicate of the writer's descriptor: Linux reports a failed
 * writeback once for each open file description, which both share, and the
 * writer may close or replace its own at any time.
 */
#include "ddebug-log-internal.h"

#define US_PER_S ((gint64)G_USEC_PER_SEC)
#define US_PER_MS 1000

struct DdebugLogSync {
    gint refs;
    gint failed;                /* atomic: there is an unreported failure */
    uint32_t interval_s;

    GMutex record_lock;         /* held while the record is written */
    GMutex lock;                /* taken after it; protects all below */
    GCond work;                 /* there is something to do for the thread */
    GCond ended_cond;
    int fd;                     /* the writer's; ours once it is closed */
    const DdebugLogOpener *opener;  /* fd is its, and lent to us; or NULL */
    int folder_fd;              /* of a new file, until it is synced; or -1 */
    int notify_fd;              /* an eventfd, written after a failure; or -1 */
    bool closed;                /* by the writer */
    bool ended;                 /* so is the thread */
    bool urgent;                /* do not wait for the interval */
    uint64_t changes;           /* of the file, that are to be synced */
    uint64_t begun;             /* of these, covered by the last sync */
    gint64 since_us;            /* when the first of the others was made */
    uint64_t written;           /* chunk_seq of the last chunk */
    uint64_t synced;            /* of the last one that is on disk */
    uint64_t decided;           /* of the last one that is, or may not be */
    uint64_t realtime;          /* when the last good sync began */
    DdebugLogSyncCounters counters;
    DdebugLogUnsynced unsynced; /* unreported */
};

DdebugLogSync *ddebug_log_sync_new(DdebugLog *log, uint32_t interval_s)
{
    DdebugLogSync *s = g_new0(DdebugLogSync, 1);

    s->refs = 2;
    s->interval_s = interval_s;
    g_mutex_init(&s->record_lock);
    g_mutex_init(&s->lock);
    g_cond_init(&s->work);
    g_cond_init(&s->ended_cond);
    s->fd = log->fd;
    s->opener = log->lent ? log->opener : NULL;
    s->folder_fd = log->folder_fd;
    log->folder_fd = -1;
    s->notify_fd = -1;
    log->sync = s;
    ddlog_note_opened(log);
    return s;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

DdebugLogSync *ddebug_log_sync_ref(DdebugLogSync *s)
{
    g_atomic_int_inc(&s->refs);
    return s;
}

void ddebug_log_sync_unref(DdebugLogSync *s)
{
    if (!s || !g_atomic_int_dec_and_test(&s->refs)) {
        return;
    }
    if (s->closed) {
        ddlog_close_fd(s->fd, s->opener);
    }
    close_fd(&s->folder_fd);
    close_fd(&s->notify_fd);
    g_cond_clear(&s->ended_cond);
    g_cond_clear(&s->work);
    g_mutex_clear(&s->lock);
    g_mutex_clear(&s->record_lock);
    g_free(s);
}

/* Called with the lock held. */
static void note_change(DdebugLogSync *s)
{
    if (s->changes++ == s->begun) {
        s->since_us = g_get_monotonic_time();
        g_cond_signal(&s->work);
    }
}

/*
 * While a log is being opened, what an earlier writer recorded must not be
 * overwritten before ddlog_load_sync() has read it.
 */
static DdebugLogSync *active_sync(DdebugLog *log)
{
    return log->opening.pending ? NULL : log->sync;
}

void ddlog_note_opened(DdebugLog *log)
{
    DdebugLogSync *s = active_sync(log);

    if (!s) {
        return;
    }
    g_mutex_lock(&s->lock);
    s->written = log->next_chunk - 1;
    s->synced = log->synced_before;
    /* what is missing is reported apart */
    s->decided = MAX(s->synced, log->missing.last);
    /* the superblock was written */
    note_change(s);
    g_mutex_unlock(&s->lock);
}

void ddlog_note_chunk(DdebugLog *log, bool is_change)
{
    DdebugLogSync *s = active_sync(log);

    if (!s) {
        return;
    }
    g_mutex_lock(&s->lock);
    s->written = log->next_chunk - 1;
    if (is_change) {
        note_change(s);
    }
    g_mutex_unlock(&s->lock);
}

void ddlog_note_super(DdebugLog *log)
{
    DdebugLogSync *s = active_sync(log);

    if (s) {
        g_mutex_lock(&s->lock);
        note_change(s);
        g_mutex_unlock(&s->lock);
    }
}

void ddlog_note_full_segment(DdebugLog *log)
{
    DdebugLogSync *s = active_sync(log);

    if (!s) {
        return;
    }
    g_mutex_lock(&s->lock);
    s->urgent = s->changes != s->begun;
    g_cond_signal(&s->work);
    g_mutex_unlock(&s->lock);
}

void ddlog_note_replaced(DdebugLog *log)
{
    DdebugLogSync *s = log->sync;

    if (!s) {
        return;
    }
    g_mutex_lock(&s->lock);
    s->fd = log->fd;
    s->opener = log->lent ? log->opener : NULL;
    close_fd(&s->folder_fd);
    s->folder_fd = log->folder_fd;
    log->folder_fd = -1;
    s->written = log->next_chunk - 1;
    note_change(s);
    g_mutex_unlock(&s->lock);
}

/*
 * Called with the lock held, after a sync that began when @written was the last
 * chunk; @r: 0 or a negative errno.  Linux has marked the pages that it could
 * not write as clean, so a later sync that succeeds says nothing about them.
 */
static void take_result(DdebugLogSync *s, uint64_t written, uint64_t realtime,
                        int r)
{
    const uint64_t wake = 1;

    s->counters.syncs++;
    if (!r) {
        s->synced = MAX(s->synced, written);
        s->decided = MAX(s->decided, written);
        s->realtime = realtime;
        return;
    }
    s->counters.errors++;
    s->unsynced.error = -r;
    if (written > s->decided) {
        if (!s->unsynced.first) {
            s->unsynced.first = s->decided + 1;
        }
        s->unsynced.last = written;
    }
    s->decided = MAX(s->decided, written);
    g_atomic_int_set(&s->failed, 1);
    if (s->notify_fd >= 0 &&
        write(s->notify_fd, &wake, sizeof(wake)) < 0) {
        /* EAGAIN: the counter is full, so its reader will wake up anyway */
    }
}

/*
 * Called with record_lock held.  If it cannot be written, the tool knows less,
 * but no message is lost by it.
 */
static void write_record(DdebugLogSync *s, int fd, uint64_t written)
{
    struct ddebug_log_sync disk = {
        .magic = GUINT32_TO_LE(DDEBUG_LOG_SYNC_MAGIC),
        .interval = GUINT32_TO_LE(s->interval_s),
        .written = GUINT64_TO_LE(written),
    };

    g_mutex_lock(&s->lock);
    disk.synced = GUINT64_TO_LE(s->synced);
    disk.realtime = GUINT64_TO_LE(s->realtime);
    disk.failed = GUINT64_TO_LE(s->counters.errors);
    g_mutex_unlock(&s->lock);
    ddebug_log_seal(&disk, sizeof(disk));
    ddlog_write_at(fd, &disk, sizeof(disk), DDEBUG_LOG_SYNC_OFF);
}

/*
 * By the syncing thread.  Once the log is closed, the file is another writer's,
 * or nobody's.
 */
static void write_record_unless_closed(DdebugLogSync *s, int fd,
                                       uint64_t written)
{
    bool closed;

    g_mutex_lock(&s->record_lock);
    g_mutex_lock(&s->lock);
    closed = s->closed;
    g_mutex_unlock(&s->lock);
    if (!closed) {
        write_record(s, fd, written);
    }
    g_mutex_unlock(&s->record_lock);
}

static int sync_file(int fd)
{
    int r;

    do {
        r = fdatasync(fd);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

/* So that a new file has a name after a power loss. */
static int sync_folder(int fd)
{
    if (fd < 0 || fsync(fd) == 0) {
        return 0;
    }
    /* not every file system syncs folders by themselves */
    return errno == EINVAL || errno == ENOTSUP ? 0 : -errno;
}

/*
 * Sync everything that was written until now.  Called with the lock held; drops
 * it for the system calls.
 */
static void sync_once(DdebugLogSync *s)
{
    const uint64_t realtime = ddlog_clock_ns(CLOCK_REALTIME);
    const uint64_t written = s->written;
    const bool ours = s->closed;
    const int fd = ours ? s->fd : fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
    int folder_fd = s->folder_fd;
    int r;

    if (fd < 0) {
        /* no descriptor is free: nothing was tried, and nothing is lost */
        s->since_us = g_get_monotonic_time();
        s->urgent = false;
        return;
    }
    s->begun = s->changes;
    s->urgent = false;
    s->folder_fd = -1;
    g_mutex_unlock(&s->lock);
    write_record_unless_closed(s, fd, written);
    r = sync_file(fd);
    if (!r) {
        r = sync_folder(folder_fd);
    }
    g_mutex_lock(&s->lock);
    take_result(s, written, realtime, r);
    if (r && s->folder_fd < 0) {
        s->folder_fd = folder_fd;
        folder_fd = -1;
    }
    g_mutex_unlock(&s->lock);
    close_fd(&folder_fd);
    write_record_unless_closed(s, fd, written);
    if (!ours) {
        /* network file systems write back what is left when a file is closed */
        close(fd);
    }
    g_mutex_lock(&s->lock);
}

void ddebug_log_sync_run(DdebugLogSync *s)
{
    g_mutex_lock(&s->lock);
    for (;;) {
        while (!s->closed && s->changes == s->begun) {
            g_cond_wait(&s->work, &s->lock);
        }
        while (!s->closed && !s->urgent) {
            if (!g_cond_wait_until(&s->work, &s->lock,
                                   s->since_us + s->interval_s * US_PER_S)) {
                break;
            }
        }
        if (s->changes == s->begun) {
            break;
        }
        sync_once(s);
    }
    s->ended = true;
    g_cond_broadcast(&s->ended_cond);
    g_mutex_unlock(&s->lock);
}

bool ddebug_log_sync_wait(DdebugLogSync *s, int timeout_ms)
{
    const gint64 deadline = g_get_monotonic_time() +
                            (gint64)timeout_ms * US_PER_MS;
    bool ended;

    g_mutex_lock(&s->lock);
    while (!s->ended &&
           g_cond_wait_until(&s->ended_cond, &s->lock, deadline)) {
        /* woken: look again */
    }
    ended = s->ended;
    g_mutex_unlock(&s->lock);
    return ended;
}

void ddebug_log_sync_notify(DdebugLogSync *s, int eventfd)
{
    g_mutex_lock(&s->lock);
    close_fd(&s->notify_fd);
    s->notify_fd = fcntl(eventfd, F_DUPFD_CLOEXEC, 0);
    g_mutex_unlock(&s->lock);
}

void ddebug_log_sync_counters(DdebugLogSync *s, DdebugLogSyncCounters *counters)
{
    g_mutex_lock(&s->lock);
    *counters = s->counters;
    g_mutex_unlock(&s->lock);
}

/* The writer */

int ddlog_sync_now(DdebugLog *log)
{
    const uint64_t realtime = ddlog_clock_ns(CLOCK_REALTIME);
    const int r = sync_file(log->fd);
    DdebugLogSync *s = active_sync(log);

    if (s) {
        g_mutex_lock(&s->lock);
        take_result(s, log->next_chunk - 1, realtime, r);
        g_mutex_unlock(&s->lock);
    }
    return r;
}

bool ddlog_get_unsynced(DdebugLog *log, DdebugLogUnsynced *u)
{
    DdebugLogSync *s = log->sync;

    if (log->missing.first) {
        *u = log->missing;
        return true;
    }
    if (!s || !g_atomic_int_get(&s->failed)) {
        return false;
    }
    g_mutex_lock(&s->lock);
    *u = s->unsynced;
    u->failures = s->counters.errors;
    g_mutex_unlock(&s->lock);
    return true;
}

void ddlog_unsynced_reported(DdebugLog *log, const DdebugLogUnsynced *u)
{
    DdebugLogSync *s = log->sync;

    if (log->missing.first) {
        log->missing.first = 0;
        return;
    }
    g_mutex_lock(&s->lock);
    if (s->unsynced.last > u->last) {
        /* another one has failed meanwhile */
        s->unsynced.first = MAX(s->unsynced.first, u->last + 1);
    } else {
        s->unsynced = (DdebugLogUnsynced) { 0 };
        g_atomic_int_set(&s->failed, 0);
    }
    g_mutex_unlock(&s->lock);
}

void ddlog_end_sync(DdebugLog *log)
{
    DdebugLogSync *s = log->sync;

    if (!s) {
        return;
    }
    g_mutex_lock(&s->record_lock);
    if (!log->opening.pending) {
        write_record(s, log->fd, log->next_chunk - 1);
    }
    g_mutex_lock(&s->lock);
    s->closed = true;
    g_cond_signal(&s->work);
    g_mutex_unlock(&s->lock);
    g_mutex_unlock(&s->record_lock);
}

void ddlog_load_sync(DdebugLog *log)
{
    struct ddebug_log_sync disk;
    DdebugSync sync;

    if (ddlog_read_at(log->fd, &disk, sizeof(disk), DDEBUG_LOG_SYNC_OFF) ||
        !ddebug_log_parse_sync(&disk, &sync) ||
        sync.written > INT64_MAX) {
        return;
    }
    log->synced_before = MIN(sync.synced, log->next_chunk - 1);
    if (sync.written < log->next_chunk) {
        return;
    }
    log->missing = (DdebugLogUnsynced) {
        .first = log->next_chunk,
        .last = sync.written,
    };
    log->next_chunk = sync.written + 1;
}
