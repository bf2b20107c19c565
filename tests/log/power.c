/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host loses power at a random moment, and what docs/log-format.md ("Syncing")
 * promises holds.
 *
 * The device's writer and its syncing thread run in this process.  Their system calls
 * are wrapped at link time, and kept in a model of the disk: an image that has all
 * that was synced, and the changes since.  When the power is lost, the disk has got
 * some of these, in any order, in units of 512 bytes (of 4096 for a superblock): each
 * unit is what it was after any number of the changes that touched it.  Then the tool
 * reads the log, and the next writer continues it.
 *
 * A message that was on the disk, and was in the log as the page cache had it, was not
 * due to go: it must be there, whatever mixture of the two the disk has.
 *
 * The syncing thread takes its time, so a seed does not repeat a run exactly.  The
 * images of a failure are kept instead.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../unit/canned.h"
#include "../unit/raw-log.h"
#include "ddebug-log-writer.h"
#include "said.h"

#define MIB (1ull << 20)
#define NR_STREAMS 2
#define SIZE_MAX_MIB 3
#define UNIT 512
#define UNIT_SUPER 4096

static const char *path;        /* of the log */
static const char *before_path; /* what is on the disk when the power is lost */
static const char *after_path;  /* what was in the page cache */
static const char *sabotage = "";
static const char *volatile doing = "nothing";
static uint64_t life;

void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    printf("FAILED: ");
    vprintf(format, args);
    printf(" (in %s, life %" PRIu64 ")\n", doing, life);
    va_end(args);
    fflush(stdout);
    _exit(3);
}

/* ---- the disk ---- */

/* What a system call changes: bytes, or, without these, the size of the file. */
typedef struct Change {
    uint64_t off, len;
    uint8_t *bytes;
    uint64_t chunk_seq;         /* of a chunk that is appended; else 0 */
} Change;

static struct {
    GMutex lock;
    volatile bool on;           /* the power */
    bool modelled;              /* calls are of the log */
    GByteArray *synced;
    GPtrArray *changes;         /* of Change, since it was synced */
    uint64_t nr_synced;         /* changes before these */
    uint64_t calls;
    uint64_t lost_at;           /* the call during which the power is lost */
    const char *doing;          /* then */
    GRand *rand;                /* of the syncing thread */
    volatile bool hangs;        /* its syncs do not return */
} disk;

static void change_free(gpointer data)
{
    Change *c = data;

    g_free(c->bytes);
    g_free(c);
}

static void resize_image(GByteArray *image, uint64_t size)
{
    const guint had = image->len;

    g_byte_array_set_size(image, size);
    if (size > had) {
        memset(image->data + had, 0, size - had);
    }
}

static void apply(GByteArray *image, const Change *c)
{
    if (!c->bytes) {
        resize_image(image, c->off);
        return;
    }
    if (c->off + c->len > image->len) {
        resize_image(image, c->off + c->len);
    }
    memcpy(image->data + c->off, c->bytes, c->len);
}

/* Called with the lock held. */
static void note(uint64_t off, const void *bytes, uint64_t len, uint64_t chunk_seq)
{
    Change *c;

    if (!disk.modelled || !disk.on) {
        return;
    }
    c = g_new0(Change, 1);
    *c = (Change) { off, len, bytes ? g_memdup2(bytes, len) : NULL, chunk_seq };
    g_ptr_array_add(disk.changes, c);
    if (++disk.calls == disk.lost_at) {
        disk.on = false;
        disk.doing = doing;
    }
}

ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t off);
int __real_ftruncate(int fd, off_t len);
int __real_fallocate(int fd, int mode, off_t off, off_t len);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off);
int __wrap_ftruncate(int fd, off_t len);
int __wrap_fallocate(int fd, int mode, off_t off, off_t len);
int __wrap_fdatasync(int fd);

static ssize_t write_noted(int fd, const void *buf, size_t len, off_t off, uint64_t chunk_seq)
{
    ssize_t n;

    g_mutex_lock(&disk.lock);
    note(off, buf, len, chunk_seq);
    n = __real_pwrite(fd, buf, len, off);
    g_mutex_unlock(&disk.lock);
    return n;
}

ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off)
{
    return write_noted(fd, buf, len, off, 0);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    const struct ddebug_log_chunk *h = iov[0].iov_base;
    g_autoptr(GByteArray) all = g_byte_array_new();

    g_assert_cmpuint(iov[0].iov_len, ==, sizeof(*h));
    for (int i = 0; i < n; i++) {
        g_byte_array_append(all, iov[i].iov_base, iov[i].iov_len);
    }
    return write_noted(fd, all->data, all->len, off, GUINT64_FROM_LE(h->chunk_seq));
}

int __wrap_ftruncate(int fd, off_t len)
{
    int r;

    g_mutex_lock(&disk.lock);
    note(len, NULL, 0, 0);
    r = __real_ftruncate(fd, len);
    g_mutex_unlock(&disk.lock);
    return r;
}

int __wrap_fallocate(int fd, int mode, off_t off, off_t len)
{
    int r;

    g_mutex_lock(&disk.lock);
    note(off + len, NULL, 0, 0);
    r = __real_fallocate(fd, mode, off, len);
    g_mutex_unlock(&disk.lock);
    return r;
}

/* What was written before it is on the disk after it; nothing is said of what is between. */
int __wrap_fdatasync(int fd)
{
    uint64_t until;

    (void)fd;
    if (strcmp(sabotage, "no-sync") == 0 || (strcmp(sabotage, "shrink") == 0 && strcmp(doing, "shrink") == 0)) {
        return 0;
    }
    g_mutex_lock(&disk.lock);
    until = disk.nr_synced + disk.changes->len;
    if (strcmp(doing, "shrink") && disk.modelled) {
        do {
            const gulong wait_us = g_rand_int_range(disk.rand, 0, 2000);

            g_mutex_unlock(&disk.lock);
            g_usleep(wait_us);
            g_mutex_lock(&disk.lock);
        } while (disk.hangs && disk.on);
    }
    if (disk.modelled && disk.on && until > disk.nr_synced) {
        const guint n = until - disk.nr_synced;

        for (guint i = 0; i < n; i++) {
            apply(disk.synced, g_ptr_array_index(disk.changes, i));
        }
        g_ptr_array_remove_range(disk.changes, 0, n);
        disk.nr_synced = until;
    }
    g_mutex_unlock(&disk.lock);
    return 0;
}

static GByteArray *read_image(const char *from)
{
    char *bytes;
    gsize len;

    g_assert_true(g_file_get_contents(from, &bytes, &len, NULL));
    return g_byte_array_new_take((guint8 *)bytes, len);
}

static void write_image(const char *to, const GByteArray *image)
{
    g_assert_true(g_file_set_contents(to, (char *)image->data, image->len, NULL));
}

/* All of the file is on the disk. */
static void power_on(uint64_t lost_at, bool hangs)
{
    disk.hangs = hangs;
    g_clear_pointer(&disk.synced, g_byte_array_unref);
    disk.synced = read_image(path);
    g_clear_pointer(&disk.changes, g_ptr_array_unref);
    disk.changes = g_ptr_array_new_with_free_func(change_free);
    disk.nr_synced = 0;
    disk.calls = 0;
    disk.lost_at = lost_at;
    disk.on = true;
    disk.modelled = true;
}

/* What the page cache had when the power was lost. */
static GByteArray *cached(void)
{
    GByteArray *image = g_byte_array_new();

    g_byte_array_append(image, disk.synced->data, disk.synced->len);
    for (guint i = 0; i < disk.changes->len; i++) {
        apply(image, g_ptr_array_index(disk.changes, i));
    }
    return image;
}

/* ---- what is left of the changes ---- */

static uint64_t unit_of(uint64_t off)
{
    return off < 2 * UNIT_SUPER ? off / UNIT_SUPER * (UNIT_SUPER / UNIT) : off / UNIT;
}

/* Ways in which a disk may take changes. */
typedef enum Taste {
    UNITS,                      /* each unit by itself */
    CHANGES,                    /* whole changes */
    PAGES,                      /* each page by itself: what is read together is written together */
    PREFIX,                     /* all up to some time, and a few others */
    HEADERS,                    /* small changes only: superblocks, headers, events */
    BODIES,                     /* large ones only */
    SUPERS,                     /* the superblocks only */
    NR_TASTES
} Taste;

static bool is_taken(GRand *rand, Taste taste, double part, guint i, guint n, const Change *c, uint64_t unit)
{
    switch (taste) {
    case CHANGES:
        return mix(i * 1000003ull + (uint64_t)(part * 1e9)) % 1000 < part * 1000;
    case PAGES:
        return mix(unit / 8 * 1000003 + (uint64_t)(part * 1e9)) % 1000 < part * 1000;
    case PREFIX:
        return i < n * part || g_rand_int_range(rand, 0, 50) == 0;
    case HEADERS:
        return c->len <= UNIT_SUPER;
    case BODIES:
        return c->len > UNIT_SUPER;
    case SUPERS:
        return c->off < 2 * UNIT_SUPER;
    case UNITS:
    default:
        return g_rand_double(rand) < part;
    }
}

/* Apply change number @i to the units that took it or a later one, as @last says. */
static void apply_part(GByteArray *image, const Change *c, guint i, GHashTable *last)
{
    for (uint64_t at = c->off; at < c->off + c->len; ) {
        const uint64_t unit = unit_of(at);
        const uint64_t unit_end = unit < 2 * UNIT_SUPER / UNIT ? (at / UNIT_SUPER + 1) * UNIT_SUPER :
                                                                 (at / UNIT + 1) * UNIT;
        const uint64_t end = MIN(unit_end, c->off + c->len);

        if (GPOINTER_TO_UINT(g_hash_table_lookup(last, GSIZE_TO_POINTER(unit))) > i) {
            if (end > image->len) {
                resize_image(image, end);
            }
            memcpy(image->data + at, c->bytes + (at - c->off), end - at);
        }
        at = end;
    }
}

static GByteArray *left(GRand *rand)
{
    g_autoptr(GHashTable) last = g_hash_table_new(NULL, NULL);
    GByteArray *image = g_byte_array_new();
    const Taste taste = g_rand_int_range(rand, 0, NR_TASTES);
    static const double parts[] = { 0.02, 0.2, 0.5, 0.8, 0.98 };
    const double part = taste == PREFIX ? g_rand_double(rand) : parts[g_rand_int_range(rand, 0, 5)];
    const guint n = disk.changes->len;
    guint nr_sizes = 0, sizes;
    uint64_t size;

    g_byte_array_append(image, disk.synced->data, disk.synced->len);
    size = image->len;
    /* the last change that each unit has taken, and with it all before */
    for (guint i = 0; i < n; i++) {
        const Change *c = g_ptr_array_index(disk.changes, i);

        nr_sizes += !c->bytes;
        for (uint64_t at = c->off; c->bytes && at < c->off + c->len; at++) {
            const uint64_t unit = unit_of(at);

            if (is_taken(rand, taste, part, i, n, c, unit)) {
                g_hash_table_insert(last, GSIZE_TO_POINTER(unit), GUINT_TO_POINTER(i + 1));
            }
            at = (unit < 2 * UNIT_SUPER / UNIT ? (at / UNIT_SUPER + 1) * UNIT_SUPER : (at / UNIT + 1) * UNIT) - 1;
        }
    }
    for (guint i = 0; i < n; i++) {
        const Change *c = g_ptr_array_index(disk.changes, i);

        if (c->bytes) {
            apply_part(image, c, i, last);
        }
    }
    /* sizes are changed in their order */
    sizes = nr_sizes ? g_rand_int_range(rand, 0, nr_sizes + 1) : 0;
    for (guint i = 0; i < n && sizes; i++) {
        const Change *c = g_ptr_array_index(disk.changes, i);

        if (!c->bytes) {
            size = c->off;
            sizes--;
        }
    }
    resize_image(image, size);
    return image;
}

/* ---- the writer ---- */

typedef struct Writer {
    DdebugLog *log;
    DdebugLogSync *sync;
    GThread *thread;
    GRand *rand;
    Producer *streams[NR_STREAMS];
    GString *text;
    GByteArray *payload;
    uint64_t pass;
    Said newest;                /* the last that was acknowledged; life 0: none since a clear */
} Writer;

static gpointer run_sync(gpointer sync)
{
    ddebug_log_sync_run(sync);
    return NULL;
}

static void must(int r, const char *what)
{
    if (r && r != -EXFULL) {
        fail("%s: %s", what, g_strerror(-r));
    }
}

static void attach(Writer *w)
{
    struct virtio_ddebug_attach intro = {
        .abi_version = GUINT32_TO_LE(VIRTIO_DDEBUG_ABI_VERSION),
        .nr_cpus = GUINT32_TO_LE(NR_STREAMS),
        .instance = GUINT64_TO_LE(life),
    };

    doing = "attach";
    must(ddebug_log_append_attach(w->log, &intro, sizeof(intro)), "attach");
}

static void say(Writer *w)
{
    const uint32_t stream = g_rand_int_range(w->rand, 0, NR_STREAMS);
    Producer *p = w->streams[stream];
    uint64_t taken = p->number;
    struct ddebug_log_chunk chunk;

    doing = "append";
    for (int i = g_rand_int_range(w->rand, 1, 12); i > 0; i--) {
        said_text(w->text, &(Said) { life, stream, p->number });
        producer_say(p, ++w->pass, 1, w->text->str, w->text->len);
    }
    while (producer_take(p, &chunk, w->payload)) {
        struct ddebug_subbuf_hdr hdr;
        DdebugLogData d = {
            .epoch = ddebug_log_epoch(w->log), .stream = stream, .cpu = stream,
            .subbuf_shift = chunk.subbuf_shift, .pass = w->pass, .pos = GUINT64_FROM_LE(chunk.pos),
            .produced = p->number,
        };
        const bool was_on = disk.on;
        int r;

        if (p->taken < p->bytes->len) {
            memcpy(&hdr, p->bytes->data + p->taken, sizeof(hdr));
            d.produced = GUINT64_FROM_LE(hdr.seq);
        }
        r = ddebug_log_append_data(w->log, &d, w->payload->data, w->payload->len);
        must(r, "append");
        if (!r && was_on && disk.on && d.produced > taken) {
            w->newest = (Said) { life, stream, d.produced - 1 };
        }
        taken = d.produced;
    }
}

static void resize_to(Writer *w, uint64_t size)
{
    g_autoptr(GError) error = NULL;

    doing = size > ddebug_log_size(w->log) ? "grow" : "shrink";
    if (!ddebug_log_resize(w->log, size, &error) &&
        !g_error_matches(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SIZE)) {
        fail("resize: %s", error->message);
    }
}

static void resize(Writer *w)
{
    resize_to(w, MIB + g_rand_int(w->rand) % ((SIZE_MAX_MIB - 1) * MIB));
}

static void clear(Writer *w)
{
    g_autoptr(GError) error = NULL;

    doing = "clear";
    if (disk.on) {
        w->newest.life = 0;
    }
    if (!ddebug_log_clear(w->log, &error)) {
        fail("clear: %s", error->message);
    }
}

static void one(Writer *w)
{
    const int what = g_rand_int_range(w->rand, 0, 100);

    if (what < 84) {
        say(w);
    } else if (what < 85) {
        ddebug_log_set_mode(w->log, g_rand_boolean(w->rand) ? DDEBUG_LOG_DROP : DDEBUG_LOG_OVERWRITE);
    } else if (what < 88) {
        doing = "event";
        must(ddebug_log_append_event(w->log, DDEBUG_LOG_EVENT_CONT, 0, 0, 0), "event");
    } else if (what < 90) {
        doing = "state";
        must(ddebug_log_write_state(w->log, w->pass), "state");
    } else if (what < 91) {
        attach(w);
    } else if (what < 92) {
        doing = "freeze";
        must(ddebug_log_freeze(w->log), "freeze");
    } else if (what < 96) {
        resize(w);
    } else {
        clear(w);
    }
}

static void open_writer(Writer *w)
{
    g_autoptr(GError) error = NULL;

    doing = "open";
    w->log = ddebug_log_open(path, 0, NULL, 0, &error);
    if (!w->log) {
        fail("the next writer cannot open the log: %s", error->message);
    }
    w->sync = ddebug_log_sync_new(w->log, DDEBUG_LOG_SYNC_INTERVAL_MAX);
    w->thread = g_thread_new("sync", run_sync, w->sync);
    w->pass = ddebug_log_last_pass(w->log);
    for (uint32_t i = 0; i < NR_STREAMS; i++) {
        w->streams[i] = producer_new(i, i, 0);
        w->streams[i]->shift = 14;
    }
    must(ddebug_log_append_event(w->log, DDEBUG_LOG_EVENT_OPEN, 0, 0, 0), "open event");
    attach(w);
}

static void close_writer(Writer *w)
{
    doing = "close";
    disk.hangs = false;
    must(ddebug_log_append_event(w->log, DDEBUG_LOG_EVENT_CLOSE, 0, 0, 0), "close event");
    ddebug_log_close(w->log);
    g_thread_join(w->thread);
    ddebug_log_sync_unref(w->sync);
    for (uint32_t i = 0; i < NR_STREAMS; i++) {
        producer_free(w->streams[i]);
    }
}

/* ---- what must hold ---- */

static bool record_of(const GByteArray *image, struct ddebug_log_sync *s)
{
    memcpy(s, image->data + DDEBUG_LOG_SYNC_OFF, sizeof(*s));
    return GUINT32_FROM_LE(s->magic) == DDEBUG_LOG_SYNC_MAGIC &&
           GUINT32_FROM_LE(s->crc) == crc(s, sizeof(*s) - 4);
}

/* The writer says that chunks are synced only if they are. */
static void check_claim(const GByteArray *image)
{
    struct ddebug_log_sync s;

    /* that one breaks it, and what follows from it is to be found */
    if (strcmp(sabotage, "shrink") == 0 || !record_of(image, &s)) {
        return;
    }
    for (guint i = 0; i < disk.changes->len; i++) {
        const Change *c = g_ptr_array_index(disk.changes, i);

        if (c->chunk_seq && c->chunk_seq <= GUINT64_FROM_LE(s.synced)) {
            fail("chunk %" PRIu64 " is said to be synced, and is not", c->chunk_seq);
        }
    }
}

/* The highest number of a whole chunk behind a whole header, wherever it is. */
static uint64_t newest_chunk(const GByteArray *image)
{
    struct ddebug_log_super super[2];
    uint64_t newest = 0;
    uint32_t seg_size;

    memcpy(super, image->data, sizeof(super));
    seg_size = super[super[1].seg_size ? 1 : 0].seg_size;
    for (uint64_t slot = DDEBUG_LOG_SEGS_OFF; slot + seg_size <= image->len; slot += seg_size) {
        struct ddebug_log_seg seg;

        memcpy(&seg, image->data + slot, sizeof(seg));
        if (seg.magic != DDEBUG_LOG_SEG_MAGIC || seg.crc != crc(&seg, sizeof(seg) - 4)) {
            continue;
        }
        for (uint32_t off = sizeof(seg); off + sizeof(struct ddebug_log_chunk) <= seg_size; off += 8) {
            struct ddebug_log_chunk h;

            memcpy(&h, image->data + slot + off, sizeof(h));
            if (h.magic == DDEBUG_LOG_CHUNK_MAGIC && h.off == off && h.seg_seq == seg.seq && h.tag == seg.tag &&
                h.crc == crc(&h, sizeof(h) - 4)) {
                newest = MAX(newest, h.chunk_seq);
            }
        }
    }
    return newest;
}

typedef struct Statistics {
    uint64_t lives, losses, must, kept, gone, told;
    GHashTable *lost_in;        /* by what was done: how often */
} Statistics;

static void check(Statistics *stat, const Writer *w, GRand *rand)
{
    g_autoptr(Found) before = found_new(true), after = found_new(true), now = found_new(true);
    g_autoptr(GByteArray) cache = cached();
    g_autoptr(GByteArray) image = left(rand);
    struct ddebug_log_sync record;
    GHashTableIter iter;
    gpointer said;

    doing = disk.doing;
    write_image(before_path, disk.synced);
    write_image(after_path, cache);
    write_image(path, image);
    check_claim(cache);
    found_read(before, before_path);
    found_read(after, after_path);
    found_read(now, path);
    if (w->newest.life && !g_hash_table_contains(after->said, &w->newest)) {
        fail("message %" PRIu64 " of stream %u is acknowledged, the newest, and hidden", w->newest.number,
             w->newest.stream);
    }
    g_hash_table_iter_init(&iter, before->said);
    while (g_hash_table_iter_next(&iter, &said, NULL)) {
        const Said *s = said;

        if (!g_hash_table_contains(after->said, s)) {
            continue;
        }
        stat->must++;
        if (!g_hash_table_contains(now->said, s)) {
            fail("message %" PRIu64 " of stream %u of life %" PRIu64 " was synced, and is lost", s->number, s->stream,
                 s->life);
        }
    }
    if (record_of(image, &record)) {
        const uint64_t written = GUINT64_FROM_LE(record.written), newest = newest_chunk(image);

        if (written > newest && now->missing_to != written) {
            fail("chunks up to %" PRIu64 " are missing, and that is not told", written);
        }
        stat->told += written > newest;
    }
    stat->kept += now->messages;
    stat->gone += after->messages - MIN(after->messages, now->messages);
}

static Writer writer_new(GRand *rand)
{
    life++;
    return (Writer) {
        .rand = g_rand_new_with_seed(g_rand_int(rand)), .text = g_string_new(NULL), .payload = g_byte_array_new(),
    };
}

/* The writer ends, if with the power or without it. */
static void end(Writer *w, Statistics *stat, GRand *rand)
{
    close_writer(w);
    stat->lives++;
    disk.modelled = false;
    if (!disk.on) {
        const char *what = disk.doing;
        const guint n = GPOINTER_TO_UINT(g_hash_table_lookup(stat->lost_in, what));

        g_hash_table_insert(stat->lost_in, (gpointer)what, GUINT_TO_POINTER(n + 1));
        stat->losses++;
        check(stat, w, rand);
    }
    g_rand_free(w->rand);
    g_string_free(w->text, TRUE);
    g_byte_array_unref(w->payload);
}

/* One writer, until the power is lost or it ends. */
static void live(Statistics *stat, GRand *rand)
{
    Writer w = writer_new(rand);

    power_on(g_rand_int_range(rand, 1, 400), g_rand_int_range(rand, 0, 3) == 0);
    open_writer(&w);
    for (int i = 0; i < 120 && disk.on; i++) {
        one(&w);
    }
    end(&w, stat, rand);
}

static void make_log(uint64_t size)
{
    g_autoptr(GError) error = NULL;
    DdebugLog *log;

    unlink(path);
    log = ddebug_log_open(path, size, NULL, DDEBUG_LOG_OPEN_CREATE, &error);
    g_assert_no_error(error);
    ddebug_log_close(log);
}

/* The power is lost in each system call of a shrink that moves segments, gives up others, and cuts. */
static void in_a_shrink(Statistics *stat, GRand *rand)
{
    g_autoptr(GByteArray) full = NULL;
    bool lost = true;

    make_log(SIZE_MAX_MIB * MIB);
    for (uint64_t at = 1; lost; at++) {
        Writer w = writer_new(rand);

        if (full) {
            write_image(path, full);
        }
        power_on(UINT64_MAX, false);
        open_writer(&w);
        for (int i = 0; i < 250 && !full; i++) {
            say(&w);
        }
        if (full) {
            say(&w);
            g_mutex_lock(&disk.lock);
            disk.lost_at = disk.calls + at;
            g_mutex_unlock(&disk.lock);
            resize_to(&w, MIB);
            lost = !disk.on;
            /* the rest is the other test's */
            disk.lost_at = UINT64_MAX;
        }
        end(&w, stat, rand);
        if (!full) {
            full = read_image(path);
        }
    }
}

int main(int argc, char **argv)
{
    gint losses = 300, shrinks = 1, seed = 1;
    g_autofree char *folder = NULL, *how = NULL;
    GOptionEntry options[] = {
        { "losses", 0, 0, G_OPTION_ARG_INT, &losses, "of power, at random", "N" },
        { "shrinks", 0, 0, G_OPTION_ARG_INT, &shrinks, "in each call of which it is lost", "N" },
        { "seed", 0, 0, G_OPTION_ARG_INT, &seed, "of the random numbers", "N" },
        { "sabotage", 0, 0, G_OPTION_ARG_STRING, &how, "what is to be found", "no-sync|shrink" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GRand) rand = NULL;
    g_autoptr(GError) error = NULL;
    Statistics stat = { .lost_in = g_hash_table_new(g_str_hash, g_str_equal) };
    GHashTableIter iter;
    gpointer what, n;

    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 2;
    }
    sabotage = how ? how : "";
    rand = g_rand_new_with_seed(seed);
    disk.rand = g_rand_new_with_seed(seed);
    folder = g_dir_make_tmp("ddebug-power-XXXXXX", NULL);
    path = g_build_filename(folder, "log", NULL);
    before_path = g_build_filename(folder, "synced", NULL);
    after_path = g_build_filename(folder, "cached", NULL);
    for (gint i = 0; i < shrinks; i++) {
        in_a_shrink(&stat, rand);
    }
    /* a log that grows old, and a new one now and then */
    for (const uint64_t until = stat.losses + losses, had = stat.losses; stat.losses < until; ) {
        if ((stat.losses - had) % 16 == 0) {
            make_log(2 * MIB);
        }
        live(&stat, rand);
    }
    printf("# %" PRIu64 " writers, %" PRIu64 " losses of power: %" PRIu64 " messages that had to be there, %" PRIu64
           " read, %" PRIu64 " gone; missing at the end was told %" PRIu64 " times\n", stat.lives, stat.losses, stat.must,
           stat.kept, stat.gone, stat.told);
    printf("# lost in:");
    g_hash_table_iter_init(&iter, stat.lost_in);
    while (g_hash_table_iter_next(&iter, &what, &n)) {
        printf(" %s %u", (char *)what, GPOINTER_TO_UINT(n));
    }
    printf("\n");
    g_hash_table_unref(stat.lost_in);
    unlink(path);
    unlink(before_path);
    unlink(after_path);
    rmdir(folder);
    return 0;
}
