/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the log writer does to the disk: in which order it gives things up, when it
 * syncs and what becomes of a sync that fails, what it makes of read errors, and what
 * it takes a power loss for.  The system calls are wrapped at link time.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ddebug-log-writer.h"
#include "raw-log.h"

#define MIB (1ull << 20)
#define LEN 60000               /* of a chunk: two in a segment of 128 KiB */

static char *tmp_dir;
static uint8_t text[LEN];

/* ---- the wrapped system calls ---- */

static struct {
    GMutex lock;
    GCond changed;
    bool hold;                  /* fdatasync() does not return */
    int error;                  /* with which it fails; 0: it does not */
    unsigned begun, ended;      /* calls of it */
    int64_t read_error_from;    /* offset from which pread() fails; -1: it does not */
    int64_t read_error_to;
    bool takes_nothing;         /* pwrite() takes no byte, and fails not */
    GArray *wiped;              /* of int64_t: where headers were overwritten with zeros */
} disk = { .read_error_from = -1 };

int __real_fdatasync(int fd);
ssize_t __real_pread(int fd, void *buf, size_t len, off_t off);
ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t off);
int __wrap_fdatasync(int fd);
ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t off);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off);

int __wrap_fdatasync(int fd)
{
    int error;

    g_assert_cmpint(__real_fdatasync(fd), ==, 0);
    g_mutex_lock(&disk.lock);
    disk.begun++;
    g_cond_broadcast(&disk.changed);
    while (disk.hold) {
        g_cond_wait(&disk.changed, &disk.lock);
    }
    error = disk.error;
    disk.ended++;
    g_cond_broadcast(&disk.changed);
    g_mutex_unlock(&disk.lock);
    /* which a call that succeeds may change */
    errno = error ? error : EDOM;
    return error ? -1 : 0;
}

ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t off)
{
    if (disk.read_error_from >= 0 && off < disk.read_error_to &&
        off + (off_t)len > disk.read_error_from) {
        errno = EIO;
        return -1;
    }
    return __real_pread(fd, buf, len, off);
}

ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off)
{
    static const struct ddebug_log_seg none;

    if (disk.wiped && len == sizeof(none) && !memcmp(buf, &none, len) &&
        off >= (off_t)DDEBUG_LOG_SEGS_OFF) {
        const int64_t at = off;

        g_array_append_val(disk.wiped, at);
    }
    if (disk.takes_nothing) {
        return 0;
    }
    return __real_pwrite(fd, buf, len, off);
}

static void set_disk(bool hold, int error)
{
    g_mutex_lock(&disk.lock);
    disk.hold = hold;
    disk.error = error;
    g_cond_broadcast(&disk.changed);
    g_mutex_unlock(&disk.lock);
}

static unsigned syncs_begun(void)
{
    unsigned n;

    g_mutex_lock(&disk.lock);
    n = disk.begun;
    g_mutex_unlock(&disk.lock);
    return n;
}

/* Wait for the sync number @n, since the program began, to be under way. */
static void wait_begun(unsigned n)
{
    g_mutex_lock(&disk.lock);
    while (disk.begun < n) {
        g_cond_wait(&disk.changed, &disk.lock);
    }
    g_mutex_unlock(&disk.lock);
}

/* ---- logs ---- */

static char *tmp_path(const char *name)
{
    char *path = g_build_filename(tmp_dir, name, NULL);

    unlink(path);
    return path;
}

static DdebugLog *must_open(const char *path, uint64_t size)
{
    g_autoptr(GError) error = NULL;
    DdebugLog *log = ddebug_log_open(path, size, NULL, DDEBUG_LOG_OPEN_CREATE, &error);

    g_assert_no_error(error);
    return log;
}

static int put_len(DdebugLog *log, uint64_t n, size_t len)
{
    const DdebugLogData d = {
        .epoch = ddebug_log_epoch(log), .subbuf_shift = 16, .pass = n + 1, .pos = n * 65536, .produced = n,
    };

    return ddebug_log_append_data(log, &d, text, len);
}

static int put(DdebugLog *log, uint64_t n)
{
    return put_len(log, n, LEN);
}

static void attach(DdebugLog *log)
{
    g_assert_cmpint(ddebug_log_append_attach(log, text, 160), ==, 0);
}

static void event(DdebugLog *log, uint32_t what)
{
    g_assert_cmpint(ddebug_log_append_event(log, what, 0, 0, 0), ==, 0);
}

static struct ddebug_log_sync record_of(const char *path)
{
    struct ddebug_log_sync s;
    int fd = open(path, O_RDONLY);

    g_assert_cmpint(__real_pread(fd, &s, sizeof(s), DDEBUG_LOG_SYNC_OFF), ==, sizeof(s));
    close(fd);
    return s;
}

static void assert_sync_lost(const char *path, uint64_t first, uint64_t last, int error)
{
    g_autoptr(View) v = view_load(path, false);
    unsigned found = 0;

    for (guint i = 0; i < v->chunks->len; i++) {
        const Chunk *c = &g_array_index(v->chunks, Chunk, i);
        struct ddebug_log_event e;

        if (c->h.type != DDEBUG_LOG_CHUNK_EVENT) {
            continue;
        }
        memcpy(&e, c->payload, sizeof(e));
        if (e.event == DDEBUG_LOG_EVENT_SYNC_LOST && e.arg[0] == first) {
            g_assert_cmpuint(e.arg[1], ==, last);
            g_assert_cmpuint(e.arg[2], ==, error);
            found++;
        }
    }
    g_assert_cmpuint(found, ==, 1);
}

/* From the first chunk on, by one event or by several. */
static void assert_all_sync_lost(const char *path, int error)
{
    g_autoptr(View) v = view_load(path, false);
    uint64_t next = 1;

    for (guint i = 0; i < v->chunks->len; i++) {
        const Chunk *c = &g_array_index(v->chunks, Chunk, i);
        struct ddebug_log_event e;

        if (c->h.type != DDEBUG_LOG_CHUNK_EVENT) {
            continue;
        }
        memcpy(&e, c->payload, sizeof(e));
        if (e.event == DDEBUG_LOG_EVENT_SYNC_LOST) {
            g_assert_cmpuint(e.arg[0], ==, next);
            g_assert_cmpuint(e.arg[2], ==, error);
            next = e.arg[1] + 1;
        }
    }
    g_assert_cmpuint(next, >, 1);
}

static uint64_t newest_chunk(const char *path)
{
    g_autoptr(View) v = view_load(path, false);
    uint64_t newest = 0;

    for (guint i = 0; i < v->chunks->len; i++) {
        newest = MAX(newest, g_array_index(v->chunks, Chunk, i).h.chunk_seq);
    }
    return newest;
}

/* ---- syncs ---- */

typedef struct Synced {
    DdebugLog *log;
    DdebugLogSync *sync;
    GThread *thread;
} Synced;

static gpointer run_sync(gpointer sync)
{
    ddebug_log_sync_run(sync);
    return NULL;
}

static void synced_open(Synced *s, const char *path, uint32_t interval)
{
    s->log = must_open(path, MIB);
    s->sync = ddebug_log_sync_new(s->log, interval);
    s->thread = g_thread_new("sync", run_sync, s->sync);
}

static void synced_close(Synced *s)
{
    ddebug_log_close(s->log);
    g_thread_join(s->thread);
    g_assert_true(ddebug_log_sync_wait(s->sync, 0));
    ddebug_log_sync_unref(s->sync);
}

/* A segment that is full is synced at once, and the writer does not wait. */
static void test_sync_of_full_segment(void)
{
    g_autofree char *path = tmp_path("full");
    const unsigned before = syncs_begun();
    struct ddebug_log_sync record;
    Synced s;

    set_disk(true, 0);
    synced_open(&s, path, DDEBUG_LOG_SYNC_INTERVAL_MAX);
    attach(s.log);
    for (uint64_t n = 0; n < 3; n++) {
        g_assert_cmpint(put(s.log, n), ==, 0);
    }
    wait_begun(before + 1);
    /* while the disk hangs, the log is written over and over */
    for (uint64_t n = 3; n < 100; n++) {
        g_assert_cmpint(put(s.log, n), ==, 0);
    }
    record = record_of(path);
    g_assert_cmpuint(record.magic, ==, DDEBUG_LOG_SYNC_MAGIC);
    g_assert_cmpuint(record.crc, ==, crc(&record, sizeof(record) - 4));
    g_assert_cmpuint(record.interval, ==, DDEBUG_LOG_SYNC_INTERVAL_MAX);
    g_assert_cmpuint(record.synced, ==, 0);
    g_assert_cmpuint(record.written, >=, 3);
    set_disk(false, 0);
    wait_begun(before + 2);
    event(s.log, DDEBUG_LOG_EVENT_CLOSE);
    synced_close(&s);
    record = record_of(path);
    g_assert_cmpuint(record.written, ==, newest_chunk(path));
    g_assert_cmpuint(record.failed, ==, 0);
}

/* A change is synced after the interval, and what did not change is not. */
static void test_sync_after_interval(void)
{
    g_autofree char *path = tmp_path("interval");
    const unsigned before = syncs_begun();
    DdebugLogSyncCounters counters;
    Synced s;

    synced_open(&s, path, 1);
    attach(s.log);
    wait_begun(before + 1);
    do {
        ddebug_log_sync_counters(s.sync, &counters);
    } while (!counters.syncs);
    event(s.log, DDEBUG_LOG_EVENT_CONT);
    wait_begun(before + 2);
    do {
        ddebug_log_sync_counters(s.sync, &counters);
    } while (counters.syncs < 2);
    g_assert_cmpuint(counters.errors, ==, 0);
    synced_close(&s);
    g_assert_cmpuint(syncs_begun(), ==, before + 2);
}

/* A failed sync is reported in the log, once, and that alone is not synced. */
static void test_sync_fails(void)
{
    static const int errors[] = { EIO, ENOSPC, EDQUOT };
    g_autofree char *path = tmp_path("fails");
    const int wake = eventfd(0, EFD_CLOEXEC);
    const unsigned before = syncs_begun();
    DdebugLogSyncCounters counters;
    struct ddebug_log_sync record;
    uint64_t first = 1, n;
    Synced s;

    synced_open(&s, path, 1);
    ddebug_log_sync_notify(s.sync, wake);
    g_assert_cmpint(ddebug_log_sync_error(s.log), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(errors); i++) {
        uint64_t last;

        set_disk(false, errors[i]);
        event(s.log, DDEBUG_LOG_EVENT_CONT);
        last = newest_chunk(path);
        g_assert_cmpint(read(wake, &n, sizeof(n)), ==, sizeof(n));
        g_assert_cmpint(ddebug_log_sync_error(s.log), ==, errors[i]);
        g_assert_cmpint(ddebug_log_sync_error(s.log), ==, 0);
        assert_sync_lost(path, first, last, errors[i]);
        first = last + 1;
    }
    ddebug_log_sync_counters(s.sync, &counters);
    g_assert_cmpuint(counters.errors, ==, G_N_ELEMENTS(errors));
    g_assert_cmpuint(counters.syncs, ==, G_N_ELEMENTS(errors));
    set_disk(false, 0);
    synced_close(&s);
    g_assert_cmpuint(syncs_begun(), ==, before + G_N_ELEMENTS(errors));
    record = record_of(path);
    g_assert_cmpuint(record.failed, ==, G_N_ELEMENTS(errors));
    g_assert_cmpuint(record.synced, ==, 0);
    g_assert_cmpuint(record.written, ==, newest_chunk(path));
    close(wake);
}

/*
 * What another chunk has reported is still an error for who asks, once; and what an
 * earlier writer has written is not lost by it.
 */
static void test_sync_error_is_kept(void)
{
    g_autofree char *path = tmp_path("kept");
    const int wake = eventfd(0, EFD_CLOEXEC);
    uint64_t n, had;
    Synced s;

    s.log = must_open(path, MIB);
    attach(s.log);
    ddebug_log_close(s.log);
    had = newest_chunk(path);
    set_disk(false, EIO);
    synced_open(&s, path, 1);
    ddebug_log_sync_notify(s.sync, wake);
    event(s.log, DDEBUG_LOG_EVENT_CONT);
    g_assert_cmpint(read(wake, &n, sizeof(n)), ==, sizeof(n));
    event(s.log, DDEBUG_LOG_EVENT_CONT);
    event(s.log, DDEBUG_LOG_EVENT_CONT);
    /* nobody has synced what the writer before has written */
    assert_sync_lost(path, 1, had + 1, EIO);
    g_assert_cmpint(ddebug_log_sync_error(s.log), ==, EIO);
    g_assert_cmpint(ddebug_log_sync_error(s.log), ==, 0);
    set_disk(false, 0);
    synced_close(&s);
    close(wake);
}

/* A disk that takes no byte and says no error has failed. */
static void test_write_of_nothing(void)
{
    g_autofree char *path = tmp_path("nothing");
    DdebugLog *log = must_open(path, MIB);

    disk.takes_nothing = true;
    g_assert_cmpint(ddebug_log_write_state(log, 1), ==, -EIO);
    disk.takes_nothing = false;
    g_assert_cmpint(ddebug_log_write_state(log, 1), ==, 0);
    ddebug_log_close(log);
}

/* If the failure took a segment's header with it, what follows is found all the same. */
static void test_sync_loses_header(void)
{
    static const struct ddebug_log_seg none;
    g_autofree char *path = tmp_path("header");
    const int wake = eventfd(0, EFD_CLOEXEC);
    uint64_t n, had;
    Synced s;
    int fd;

    set_disk(false, EIO);
    synced_open(&s, path, 1);
    ddebug_log_sync_notify(s.sync, wake);
    attach(s.log);
    had = newest_chunk(path);
    g_assert_cmpint(read(wake, &n, sizeof(n)), ==, sizeof(n));
    fd = open(path, O_RDWR);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(v->segs->len, ==, 2);
        for (guint i = 0; i < v->segs->len; i++) {
            const Seg *seg = &g_array_index(v->segs, Seg, i);

            g_assert_cmpint(__real_pwrite(fd, &none, sizeof(none), DDEBUG_LOG_SEGS_OFF +
                                          seg->slot * v->super.seg_size), ==, sizeof(none));
        }
    }
    close(fd);
    g_assert_cmpuint(newest_chunk(path), ==, 0);
    g_assert_cmpint(put(s.log, 0), ==, 0);
    g_assert_cmpuint(newest_chunk(path), ==, had + 2);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(v->segs->len, ==, 2);
    }
    set_disk(false, 0);
    synced_close(&s);
    close(wake);
}

/* Without room the event comes later, with all that failed meanwhile. */
static void test_sync_fails_in_a_full_log(void)
{
    g_autofree char *path = tmp_path("fails-full");
    const int wake = eventfd(0, EFD_CLOEXEC);
    uint64_t n, last;
    Synced s;

    synced_open(&s, path, 1);
    ddebug_log_sync_notify(s.sync, wake);
    ddebug_log_set_mode(s.log, DDEBUG_LOG_DROP);
    attach(s.log);
    for (n = 0; put(s.log, n) == 0; n++) {
        continue;
    }
    while (ddebug_log_append_event(s.log, DDEBUG_LOG_EVENT_CONT, 0, 0, 0) == 0) {
        continue;
    }
    set_disk(false, EIO);
    g_assert_true(ddebug_log_freeze(s.log) == 0);
    last = newest_chunk(path);
    do {
        g_assert_cmpint(read(wake, &n, sizeof(n)), ==, sizeof(n));
    } while (record_of(path).written < last);
    /* whoever asks is told at once */
    g_assert_cmpint(ddebug_log_sync_error(s.log), ==, EIO);
    set_disk(false, 0);
    g_assert_true(ddebug_log_resize(s.log, 2 * MIB, NULL));
    ddebug_log_sync_error(s.log);
    assert_all_sync_lost(path, EIO);
    synced_close(&s);
    close(wake);
}

/* A file that replaces a removed one is synced in its place. */
static void test_sync_of_replaced_file(void)
{
    g_autofree char *path = tmp_path("replaced");
    const unsigned before = syncs_begun();
    g_autoptr(GError) error = NULL;
    struct ddebug_log_sync record;
    Synced s;

    set_disk(true, 0);
    synced_open(&s, path, 1);
    attach(s.log);
    wait_begun(before + 1);
    unlink(path);
    g_assert_false(ddebug_log_check(s.log, &error));
    if (!strstr(error->message, "a new log was created")) {
        g_error("%s", error->message);
    }
    set_disk(false, 0);
    event(s.log, DDEBUG_LOG_EVENT_CLOSE);
    synced_close(&s);
    record = record_of(path);
    g_assert_cmpuint(record.written, ==, newest_chunk(path));
}

/* A log that is closed while the disk hangs is synced, and not written any more. */
static void test_closed_while_disk_hangs(void)
{
    g_autofree char *path = tmp_path("hangs");
    const unsigned before = syncs_begun();
    g_autofree char *then = NULL, *now = NULL;
    DdebugLog *next;
    gsize len;
    Synced s;

    set_disk(true, 0);
    synced_open(&s, path, 1);
    wait_begun(before + 1);
    event(s.log, DDEBUG_LOG_EVENT_CLOSE);
    ddebug_log_close(s.log);
    g_assert_false(ddebug_log_sync_wait(s.sync, 10));
    /* the next writer can have it */
    next = must_open(path, 0);
    g_assert_true(g_file_get_contents(path, &then, &len, NULL));
    set_disk(false, 0);
    g_thread_join(s.thread);
    ddebug_log_sync_unref(s.sync);
    g_assert_cmpuint(syncs_begun(), ==, before + 2);
    g_assert_true(g_file_get_contents(path, &now, &len, NULL));
    g_assert_true(memcmp(then, now, len) == 0);
    ddebug_log_close(next);
}

/* What was written and is not in the file is reported by the next writer. */
static void test_missing_at_the_end(void)
{
    static const uint8_t zeros[100000];
    g_autofree char *path = tmp_path("missing");
    uint64_t left, written;
    DdebugLog *log;
    Synced s;
    int fd;

    synced_open(&s, path, 1);
    attach(s.log);
    g_assert_cmpint(put(s.log, 0), ==, 0);
    left = newest_chunk(path);
    g_assert_cmpint(put(s.log, 1), ==, 0);
    event(s.log, DDEBUG_LOG_EVENT_CLOSE);
    synced_close(&s);
    written = newest_chunk(path);
    g_assert_cmpuint(written, ==, left + 2);
    ddebug_log_close(must_open(path, 0));
    g_assert_cmpuint(newest_chunk(path), ==, written);
    /* the disk has lost them: the data segment is in the last slot but one */
    fd = open(path, O_RDWR);
    {
        g_autoptr(View) v = view_load(path, false);
        const Seg *seg = &g_array_index(v->segs, Seg, v->segs->len - 1);
        const off_t end = DDEBUG_LOG_SEGS_OFF + seg->slot * v->super.seg_size + seg->end;

        g_assert_cmpint(__real_pwrite(fd, zeros, LEN + 128 + 160, end - (LEN + 128 + 160)), ==, LEN + 128 + 160);
    }
    close(fd);
    g_assert_cmpuint(newest_chunk(path), ==, left);
    log = must_open(path, 0);
    event(log, DDEBUG_LOG_EVENT_OPEN);
    assert_sync_lost(path, left + 1, written, 0);
    g_assert_cmpuint(newest_chunk(path), ==, written + 2);
    ddebug_log_close(log);
}

/*
 * A power loss may take the segment that a clear has started, and some before it, and
 * leave the superblock.  What is written afterwards is not cleared.
 */
static void test_clear_without_its_segment(void)
{
    static const struct ddebug_log_seg none;
    g_autofree char *path = tmp_path("lost-clear");
    DdebugLog *log = must_open(path, MIB);
    uint64_t first;
    int fd;

    attach(log);
    for (uint64_t n = 0; n < 6; n++) {
        g_assert_cmpint(put(log, n), ==, 0);
    }
    g_assert_true(ddebug_log_clear(log, NULL));
    ddebug_log_close(log);
    fd = open(path, O_RDWR);
    {
        g_autoptr(View) v = view(path);

        first = v->super.first_seg;
        for (guint i = 0; i < v->segs->len; i++) {
            const Seg *seg = &g_array_index(v->segs, Seg, i);

            if (seg->type == DDEBUG_LOG_SEG_DATA && seg->seq + 2 >= first) {
                g_assert_cmpint(__real_pwrite(fd, &none, sizeof(none), DDEBUG_LOG_SEGS_OFF +
                                              seg->slot * v->super.seg_size), ==, sizeof(none));
            }
        }
    }
    close(fd);
    log = must_open(path, 0);
    attach(log);
    g_assert_cmpint(put(log, 7), ==, 0);
    ddebug_log_close(log);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_DATA), ==, 1);
        g_assert_cmpuint(g_array_index(v->segs, Seg, v->segs->len - 1).seq, >=, first);
    }
}

/* ---- in which order ---- */

static uint64_t seq_at(const View *v, int64_t off)
{
    for (guint i = 0; i < v->segs->len; i++) {
        const Seg *seg = &g_array_index(v->segs, Seg, i);

        if ((int64_t)(DDEBUG_LOG_SEGS_OFF + seg->slot * v->super.seg_size) == off) {
            return seg->seq;
        }
    }
    return 0;
}

/*
 * A writer that dies while it makes a log smaller leaves no message without its
 * dictionary, and no hole: it gives up data before dictionary, each from the oldest.
 */
static void test_shrink_order(void)
{
    g_autofree char *path = tmp_path("shrink");
    DdebugLog *log = must_open(path, 4 * MIB);
    uint64_t last[3] = { 0 };
    unsigned wiped[3] = { 0 };

    for (uint64_t boot = 0; boot < 4; boot++) {
        attach(log);
        for (int i = 0; i < 4; i++) {
            g_assert_cmpint(ddebug_log_append_dict(log, text, LEN), ==, 0);
        }
        for (uint64_t n = 0; n < 6; n++) {
            g_assert_cmpint(put(log, boot * 6 + n), ==, 0);
        }
    }
    {
        g_autoptr(View) v = view(path);

        disk.wiped = g_array_new(FALSE, FALSE, sizeof(int64_t));
        g_assert_true(ddebug_log_resize(log, MIB, NULL));
        for (guint i = 0; i < disk.wiped->len; i++) {
            const uint64_t seq = seq_at(v, g_array_index(disk.wiped, int64_t, i));
            uint32_t type = 0;

            for (guint k = 0; k < v->segs->len; k++) {
                if (g_array_index(v->segs, Seg, k).seq == seq) {
                    type = g_array_index(v->segs, Seg, k).type;
                }
            }
            g_assert_cmpuint(seq, >, last[type]);
            g_assert_true(type == DDEBUG_LOG_SEG_DICT || !wiped[DDEBUG_LOG_SEG_DICT]);
            last[type] = seq;
            wiped[type]++;
        }
        g_clear_pointer(&disk.wiped, g_array_unref);
    }
    g_assert_cmpuint(wiped[DDEBUG_LOG_SEG_DATA], >=, 3);
    g_assert_cmpuint(wiped[DDEBUG_LOG_SEG_DICT], >=, 3);
    view_free(view(path));
    ddebug_log_close(log);
}

/*
 * Where the frozen segments do not fit because of the dictionary that they need, the
 * newest others are kept instead.
 */
static void test_shrink_without_frozen(void)
{
    g_autofree char *path = tmp_path("shrink-frozen");
    DdebugLog *log = must_open(path, 4 * MIB);
    unsigned kept = 0;

    attach(log);
    for (int i = 0; i < 5; i++) {
        g_assert_cmpint(ddebug_log_append_dict(log, text, LEN), ==, 0);
    }
    g_assert_cmpint(put(log, 1000), ==, 0);
    g_assert_cmpint(ddebug_log_freeze(log), ==, 0);
    attach(log);
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(ddebug_log_append_dict(log, text, LEN), ==, 0);
    }
    for (uint64_t n = 0; n < 16; n++) {
        g_assert_cmpint(put(log, n), ==, 0);
    }
    /* 7 slots, 3 at most for the dictionary, which the frozen segment needs alone */
    g_assert_true(ddebug_log_resize(log, MIB, NULL));
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(v->super.nr_segs, ==, 7);
        for (guint i = 0; i < v->chunks->len; i++) {
            const Chunk *c = &g_array_index(v->chunks, Chunk, i);

            if (c->h.type == DDEBUG_LOG_CHUNK_DATA) {
                g_assert_cmpuint(c->h.produced, <, 16);
                kept++;
            }
        }
        g_assert_cmpuint(kept, >=, 8);
    }
    ddebug_log_close(log);
}

/* ---- mode=drop in larger logs ---- */

/*
 * Of n slots data leave an eighth to the dictionary, less what it has taken, and the
 * dictionary takes no more than its half.
 */
static void test_drop_reserves(void)
{
    static const struct {
        uint64_t nr_segs;
        unsigned reserve;
    } logs[] = { { 7, 1 }, { 15, 1 }, { 16, 2 }, { 24, 3 }, { 31, 3 }, { 40, 5 } };

    for (guint i = 0; i < G_N_ELEMENTS(logs); i++) {
        const uint64_t size = DDEBUG_LOG_SEGS_OFF + logs[i].nr_segs * DDEBUG_LOG_SEG_SIZE_MIN;
        g_autofree char *path = tmp_path("reserves");
        DdebugLog *log = must_open(path, MAX(size, DDEBUG_LOG_SIZE_MIN));
        unsigned dict = 0, data = 0, more = 0;

        ddebug_log_set_mode(log, DDEBUG_LOG_DROP);
        attach(log);
        for (uint64_t n = 0; put(log, n) == 0; n++) {
            continue;
        }
        {
            g_autoptr(View) v = view(path);

            g_assert_cmpuint(v->super.nr_segs, ==, logs[i].nr_segs);
            for (guint k = 0; k < v->segs->len; k++) {
                *(g_array_index(v->segs, Seg, k).type == DDEBUG_LOG_SEG_DICT ? &dict : &data) += 1;
            }
        }
        g_assert_cmpuint(dict, ==, 1);
        g_assert_cmpuint(data, ==, logs[i].nr_segs - logs[i].reserve);
        /* what was left is the dictionary's */
        while (ddebug_log_append_dict(log, text, LEN) == 0) {
            more++;
        }
        g_assert_cmpuint(more, ==, 2 * logs[i].reserve);
        g_assert_cmpint(put(log, 0), ==, -EXFULL);
        ddebug_log_close(log);
    }
}

/* Data still find their slots when the dictionary has more than its eighth. */
static void test_drop_large_dictionary(void)
{
    g_autofree char *path = tmp_path("drop-dict");
    DdebugLog *log = must_open(path, DDEBUG_LOG_SEGS_OFF + 16 * DDEBUG_LOG_SEG_SIZE_MIN);
    unsigned dict = 0;
    uint64_t n;

    ddebug_log_set_mode(log, DDEBUG_LOG_DROP);
    attach(log);
    while (ddebug_log_append_dict(log, text, LEN) == 0) {
        dict++;
    }
    g_assert_cmpuint(dict, ==, 8 * 2);
    for (n = 0; put(log, n) == 0; n++) {
        continue;
    }
    g_assert_cmpuint(n, ==, 8 * 2);
    ddebug_log_close(log);
}

/* ---- read errors ---- */

static void set_read_error(int64_t from, int64_t to)
{
    disk.read_error_from = from;
    disk.read_error_to = to;
}

/* A log that cannot be read is refused, with the reason, and not changed. */
static void test_read_errors_at_open(void)
{
    static const struct {
        int64_t from, to;
    } places[] = {
        { 0, 1 }, { 4096, 4097 },                       /* superblocks */
        { DDEBUG_LOG_REPLY_OFF, DDEBUG_LOG_REPLY_OFF + 1 },
        { DDEBUG_LOG_SEGS_OFF, DDEBUG_LOG_SEGS_OFF + 1 },       /* the header of an old segment */
        { INT64_MAX, INT64_MAX },                       /* the newest data */
        { INT64_MIN, INT64_MIN },                       /* the newest dictionary */
    };
    g_autofree char *path = tmp_path("read-error");
    DdebugLog *log = must_open(path, MIB);
    int64_t newest[3] = { 0 };

    attach(log);
    for (uint64_t n = 0; n < 30; n++) {
        g_assert_cmpint(put(log, n), ==, 0);
    }
    ddebug_log_close(log);
    {
        g_autoptr(View) v = view(path);

        for (guint i = 0; i < v->segs->len; i++) {
            const Seg *seg = &g_array_index(v->segs, Seg, i);

            newest[seg->type] = DDEBUG_LOG_SEGS_OFF + seg->slot * v->super.seg_size;
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *then = NULL, *now = NULL;
        g_autoptr(GError) error = NULL;
        int64_t from = places[i].from, to = places[i].to;
        gsize len;

        if (from == INT64_MAX || from == INT64_MIN) {
            from = newest[from == INT64_MAX ? DDEBUG_LOG_SEG_DATA : DDEBUG_LOG_SEG_DICT] + 1000;
            to = from + 1;
        }
        g_assert_true(g_file_get_contents(path, &then, &len, NULL));
        set_read_error(from, to);
        g_assert_null(ddebug_log_open(path, 0, NULL, 0, &error));
        set_read_error(-1, -1);
        g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO);
        g_assert_nonnull(strstr(error->message, "Input/output error"));
        g_assert_nonnull(strstr(error->message, path));
        g_assert_true(g_file_get_contents(path, &now, &len, NULL));
        g_assert_true(memcmp(then, now, len) == 0);
    }
    /* a state that cannot be read says nothing, like a damaged one */
    set_read_error(DDEBUG_LOG_STATE_OFF, DDEBUG_LOG_STATE_OFF + 1024);
    ddebug_log_close(must_open(path, 0));
    set_read_error(-1, -1);
}

/* A log that cannot be read is not made smaller, and goes on. */
static void test_read_error_at_shrink(void)
{
    g_autofree char *path = tmp_path("read-shrink");
    DdebugLog *log = must_open(path, 4 * MIB);
    const uint64_t size = ddebug_log_size(log);
    g_autoptr(GError) error = NULL;
    DdebugLogRequest request;

    attach(log);
    for (uint64_t n = 0; n < 100; n++) {
        g_assert_cmpint(put(log, n), ==, 0);
    }
    set_read_error(2 * MIB, 4 * MIB);
    g_assert_false(ddebug_log_resize(log, 2 * MIB, &error));
    g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO);
    g_assert_cmpuint(ddebug_log_size(log), ==, size);
    set_read_error(0, 4 * MIB);
    g_assert_false(ddebug_log_poll_request(log, &request));
    set_read_error(-1, -1);
    view_free(view(path));
    for (uint64_t n = 100; n < 110; n++) {
        g_assert_cmpint(put(log, n), ==, 0);
    }
    g_assert_true(ddebug_log_resize(log, 2 * MIB, NULL));
    view_free(view(path));
    ddebug_log_close(log);
}

static uint64_t frozen_first(const char *path)
{
    g_autoptr(View) v = view_load(path, false);

    return v->super.frozen_first;
}

/*
 * A smaller log has less room for what is frozen; one that stays as large as it is has
 * not, whatever kept it.
 */
static void test_failed_shrink_and_frozen(void)
{
    g_autofree char *path = tmp_path("shrink-fails");
    DdebugLog *log = must_open(path, 4 * MIB);
    g_autoptr(GError) error = NULL;
    uint64_t first;

    attach(log);
    for (uint64_t n = 0; n < 14; n++) {
        g_assert_cmpint(put(log, n), ==, 0);
    }
    g_assert_cmpint(ddebug_log_freeze(log), ==, 0);
    first = frozen_first(path);
    g_assert_cmpuint(first, >, 0);
    for (uint64_t n = 14; n < 40; n++) {
        g_assert_cmpint(put(log, n), ==, 0);
    }
    set_read_error(DDEBUG_LOG_SEGS_OFF, 4 * MIB);
    g_assert_false(ddebug_log_resize(log, MIB, &error));
    set_read_error(-1, -1);
    g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_IO);
    g_clear_error(&error);
    g_assert_true(ddebug_log_resize(log, 5 * MIB, NULL));
    g_assert_cmpuint(frozen_first(path), ==, first);
    attach(log);
    for (int i = 0; i < 10; i++) {
        g_assert_cmpint(ddebug_log_append_dict(log, text, LEN), ==, 0);
    }
    g_assert_false(ddebug_log_resize(log, MIB, &error));
    g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SIZE);
    g_assert_true(ddebug_log_resize(log, 6 * MIB, NULL));
    g_assert_cmpuint(frozen_first(path), ==, first);
    ddebug_log_close(log);
}

/* ---- owners ---- */

/* Who opens the log of root, or of somebody else, without being root. */
static void test_owner(void)
{
    g_autofree char *path = tmp_path("owner");
    int status;
    pid_t pid;

    if (geteuid() != 0) {
        g_test_skip("becoming another user takes root");
        return;
    }
    ddebug_log_close(must_open(path, MIB));
    g_assert_cmpint(chmod(path, 0666), ==, 0);
    g_assert_cmpint(chmod(tmp_dir, 0755), ==, 0);
    for (int other = 0; other < 2; other++) {
        g_assert_cmpint(chown(path, other ? 12345 : 0, -1), ==, 0);
        pid = fork();
        if (pid == 0) {
            /* a mode that it has already takes no permission */
            const DdebugLogInfo info = { .file_mode = 0666 };
            g_autoptr(GError) error = NULL;
            DdebugLog *log;

            if (setgid(65534) || setuid(65534)) {
                _exit(2);
            }
            log = ddebug_log_open(path, 0, &info, DDEBUG_LOG_OPEN_OWNED, &error);
            _exit(other ? !g_error_matches(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_OWNER) : !log);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    }
}

static void remove_tmp_dir(void)
{
    GDir *dir = g_dir_open(tmp_dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(tmp_dir, name, NULL);

        unlink(path);
    }
    g_dir_close(dir);
    rmdir(tmp_dir);
}

int main(int argc, char **argv)
{
    int r;

    g_test_init(&argc, &argv, NULL);
    tmp_dir = g_dir_make_tmp("ddebug-disk-XXXXXX", NULL);
    g_assert_nonnull(tmp_dir);
    memset(text, 't', sizeof(text));
#define TEST(path, fn) g_test_add_func("/disk/" path, fn)
    TEST("sync/a full segment at once, and the writer does not wait", test_sync_of_full_segment);
    TEST("sync/a change after the interval, and nothing without one", test_sync_after_interval);
    TEST("sync/a failure is reported once and not synced itself", test_sync_fails);
    TEST("sync/a failure is kept for who asks for it", test_sync_error_is_kept);
    TEST("sync/a write that takes nothing has failed", test_write_of_nothing);
    TEST("sync/a failure that loses the header of a segment", test_sync_loses_header);
    TEST("sync/a failure while the log is full is reported later", test_sync_fails_in_a_full_log);
    TEST("sync/a file that replaces a removed one", test_sync_of_replaced_file);
    TEST("sync/a log that is closed while the disk hangs", test_closed_while_disk_hangs);
    TEST("sync/what is missing at the end is reported by the next writer", test_missing_at_the_end);
    TEST("sync/a clear whose segment is lost hides nothing that follows", test_clear_without_its_segment);
    TEST("order/shrinking gives up data before dictionary, the oldest first", test_shrink_order);
    TEST("shrink/frozen segments whose dictionary does not fit", test_shrink_without_frozen);
    TEST("drop/reserves by the number of slots", test_drop_reserves);
    TEST("drop/a large dictionary leaves data their slots", test_drop_large_dictionary);
    TEST("read-errors/a log that cannot be read is refused", test_read_errors_at_open);
    TEST("read-errors/a log that cannot be read is not made smaller", test_read_error_at_shrink);
    TEST("shrink/one that fails leaves what is frozen", test_failed_shrink_and_frozen);
    TEST("owner/root's log, and somebody else's", test_owner);
    r = g_test_run();
    remove_tmp_dir();
    g_free(tmp_dir);
    return r;
}
