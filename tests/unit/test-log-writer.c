/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the log writer leaves on disk is what docs/log-format.md says, whatever
 * it is asked to do, whatever is in its way, and wherever it is killed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ddebug-log-internal.h"
#include "raw-log.h"

#define MIB (1ull << 20)

/* numbered data */

static char *tmp_dir;

static char *tmp_path(const char *name)
{
    char *path = g_build_filename(tmp_dir, name, NULL);

    unlink(path);
    return path;
}

static size_t number_len(uint64_t n)
{
    return 32 + mix(n) % 6000;
}

static void number_fill(uint8_t *buf, uint64_t n)
{
    size_t len = number_len(n);

    memcpy(buf, &n, 8);
    for (size_t i = 8; i < len; i++) {
        buf[i] = n * 31 + i;
    }
}

static int put(DdebugLog *log, uint64_t n)
{
    uint8_t buf[8192];
    DdebugLogData d = {
        .epoch = ddebug_log_epoch(log), .stream = n % 7, .generation = 2,
        .cpu = n % 3, .context = n % 4, .subbuf_shift = 14, .pass = n + 1,
        .pos = n * 8, .produced = n, .recursed = 5, .torn = 6, .clamped = 7,
    };

    number_fill(buf, n);
    return ddebug_log_append_data(log, &d, buf, number_len(n));
}

static void put_range(DdebugLog *log, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        g_assert_cmpint(put(log, n), ==, 0);
    }
}

static void attach(DdebugLog *log)
{
    char intro[160];
    uint32_t before = ddebug_log_epoch(log);

    memset(intro, 'a' + before % 26, sizeof(intro));
    g_assert_cmpint(ddebug_log_append_attach(log, intro, sizeof(intro)), ==, 0);
    g_assert_cmpuint(ddebug_log_epoch(log), ==, before + 1);
}

/* All numbers that are there, whole and without a gap; how many. */
static uint64_t check_numbers(View *v, uint64_t *first, uint64_t *last)
{
    uint64_t expect = 0, found = 0;
    uint8_t want[8192];

    for (guint i = 0; i < v->chunks->len; i++) {
        Chunk *c = &g_array_index(v->chunks, Chunk, i);
        uint64_t n;

        if (c->h.type != DDEBUG_LOG_CHUNK_DATA) {
            continue;
        }
        memcpy(&n, c->payload, 8);
        if (found++) {
            g_assert_cmpuint(n, ==, expect);
        } else {
            *first = n;
        }
        g_assert_cmpuint(c->h.len, ==, number_len(n));
        number_fill(want, n);
        g_assert_true(memcmp(c->payload, want, c->h.len) == 0);
        g_assert_cmpuint(c->h.pos, ==, n * 8);
        g_assert_cmpuint(c->h.stream, ==, n % 7);
        expect = n + 1;
    }
    *last = expect - 1;
    return found;
}

static DdebugLog *must_open(const char *path, uint64_t size)
{
    static const uint8_t uuid[16] = "0123456789abcde";
    const DdebugLogInfo info = {
        .vm_name = "vm", .vm_uuid = uuid, .writer = "test 1.0",
    };
    g_autoptr(GError) error = NULL;
    DdebugLog *log;

    log = ddebug_log_open(path, size, &info, DDEBUG_LOG_OPEN_CREATE, &error);
    g_assert_no_error(error);
    g_assert_nonnull(log);
    return log;
}

static void must_fail(const char *path, uint64_t size, int code,
                      const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(ddebug_log_open(path, size, NULL, DDEBUG_LOG_OPEN_CREATE,
                                  &error));
    g_assert_error(error, DDEBUG_LOG_ERROR, code);
    if (!strstr(error->message, words)) {
        g_error("'%s' does not say '%s'", error->message, words);
    }
}

/* the tests */

static void test_crc(void)
{
    g_assert_cmphex(crc_slow("123456789", 9), ==, 0xe3069283);
    g_assert_cmphex(crc("123456789", 9), ==, 0xe3069283);
}

/* RFC 4122: a random UUID says that it is one; all other bits are random. */
static void test_uuid(void)
{
    uint8_t ones[16] = { 0 }, zeros[16] = { 0 };

    for (guint i = 0; i < 64; i++) {
        g_autofree char *path = tmp_path("uuid");
        DdebugLog *log = must_open(path, MIB);
        g_autoptr(View) v = view(path);

        g_assert_cmphex(v->super.uuid[6] >> 4, ==, 4);
        g_assert_cmphex(v->super.uuid[8] >> 6, ==, 2);
        for (guint j = 0; j < 16; j++) {
            ones[j] |= v->super.uuid[j];
            zeros[j] |= ~v->super.uuid[j];
        }
        ddebug_log_close(log);
        unlink(path);
    }
    for (guint j = 0; j < 16; j++) {
        g_assert_cmphex(ones[j], ==, j == 6 ? 0x4f : j == 8 ? 0xbf : 0xff);
        g_assert_cmphex(zeros[j], ==, j == 6 ? 0xbf : j == 8 ? 0x7f : 0xff);
    }
}

/* What a reader compares its file with; a tool that has a log is no writer. */
static void test_names_its_file(void)
{
    g_autofree char *path = tmp_path("named");
    g_autofree char *copy = tmp_path("named-copy");
    g_autofree char *command = g_strdup_printf("cp '%s' '%s'", path, copy);
    const uint8_t unknown[16] = { 0 };
    g_autofree char *boot = NULL;
    DdebugLog *log = must_open(path, MIB);
    uint64_t opened;
    struct stat st;

    ddebug_log_close(log);
    g_assert_cmpint(stat(path, &st), ==, 0);
    {
        g_autoptr(View) v = view(path);
        g_autoptr(GString) text = g_string_new(NULL);

        g_assert_cmpuint(v->super.named_at, ==, v->super.opened);
        g_assert_cmpuint(v->super.file_dev, ==, st.st_dev);
        g_assert_cmpuint(v->super.file_ino, ==, st.st_ino);
        g_assert_cmphex(v->super.file_fs, !=, 0);
        g_assert_cmpint(memcmp(v->super.host_boot, unknown, 16), !=, 0);
        g_assert_true(g_file_get_contents("/proc/sys/kernel/random/boot_id",
                                          &boot, NULL, NULL));
        for (guint i = 0; i < 16; i++) {
            g_string_append_printf(text, "%s%02x",
                                   i >= 4 && i <= 10 && i % 2 == 0 ? "-" : "",
                                   v->super.host_boot[i]);
        }
        g_assert_cmpstr(text->str, ==, g_strstrip(boot));
        opened = v->super.opened;
    }
    g_assert_cmpint(system(command), ==, 0);
    log = ddebug_log_open(copy, 0, NULL, 0, NULL);
    g_assert_nonnull(log);
    ddebug_log_close(log);
    {
        g_autoptr(View) v = view(copy);

        g_assert_cmpuint(v->super.opened, >, opened);
        g_assert_cmpuint(v->super.named_at, ==, v->super.opened);
        g_assert_cmpuint(v->super.file_ino, ==, st.st_ino);
    }
    log = must_open(copy, 0);
    ddebug_log_close(log);
    g_assert_cmpint(stat(copy, &st), ==, 0);
    {
        g_autoptr(View) v = view(copy);

        g_assert_cmpuint(v->super.named_at, ==, v->super.opened);
        g_assert_cmpuint(v->super.file_ino, ==, st.st_ino);
    }
    unlink(path);
    unlink(copy);
}

static void test_format(void)
{
    static const struct {
        uint64_t size;
        uint32_t seg_size;
    } sizes[] = {
        { 1 * MIB, 128 << 10 }, { 8 * MIB - 1, 128 << 10 },
        { 8 * MIB, 256 << 10 }, { 16 * MIB, 256 << 10 },
        { 64 * MIB - 1, 256 << 10 }, { 64 * MIB, 1 << 20 },
    };

    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *path = tmp_path("format");
        DdebugLog *log = must_open(path, sizes[i].size);
        g_autoptr(View) v = view(path);
        struct stat st;

        g_assert_cmpuint(v->super.seg_size, ==, sizes[i].seg_size);
        g_assert_cmpuint(v->len, <=, sizes[i].size);
        g_assert_cmpuint(v->len + v->super.seg_size, >, sizes[i].size);
        g_assert_cmpuint(ddebug_log_size(log), ==, v->len);
        g_assert_cmpint(v->super.writer_pid, ==, getpid());
        g_assert_cmpstr((char *)v->super.vm_name, ==, "vm");
        g_assert_cmpstr((char *)v->super.vm_uuid, ==, "0123456789abcde");
        g_assert_cmpstr((char *)v->super.writer, ==, "test 1.0");
        g_assert_cmpuint(v->segs->len, ==, 0);
        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
        g_assert_cmpuint(st.st_blocks * 512, >=, st.st_size);
        ddebug_log_close(log);
        unlink(path);
    }
}

static void test_empty_file_is_formatted(void)
{
    g_autofree char *path = tmp_path("empty");
    g_autoptr(View) v = NULL;

    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    ddebug_log_close(must_open(path, MIB));
    v = view(path);
    g_assert_cmpuint(v->super.nr_segs, ==, 7);
}

static void test_append(void)
{
    g_autofree char *path = tmp_path("append");
    DdebugLog *log = must_open(path, 2 * MIB);
    g_autoptr(View) v = NULL;
    uint64_t first, last;
    Chunk *c;

    g_assert_cmpint(ddebug_log_append_dict(log, "x", 1), ==, -EINVAL);
    g_assert_cmpint(ddebug_log_append_event(log, DDEBUG_LOG_EVENT_OPEN, 1, 2,
                                            3), ==, 0);
    attach(log);
    g_assert_cmpint(ddebug_log_append_dict(log, "dict", 4), ==, 0);
    put_range(log, 0, 20);
    g_assert_cmpint(ddebug_log_write_state(log, 20), ==, 0);
    v = view(path);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_ATTACH), ==, 1);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_DICT), ==, 1);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_EVENT), ==, 2);
    g_assert_cmpuint(check_numbers(v, &first, &last), ==, 20);
    g_assert_cmpuint(v->segs->len, ==, 2);
    c = &g_array_index(v->chunks, Chunk, v->chunks->len - 1);
    while (c->h.type != DDEBUG_LOG_CHUNK_DATA) {
        c--;
    }
    g_assert_cmpuint(c->h.epoch, ==, 1);
    g_assert_cmpuint(c->h.generation, ==, 2);
    g_assert_cmpuint(c->h.cpu, ==, 19 % 3);
    g_assert_cmpuint(c->h.context, ==, 19 % 4);
    g_assert_cmpuint(c->h.subbuf_shift, ==, 14);
    g_assert_cmpuint(c->h.pass, ==, 20);
    g_assert_cmpuint(c->h.produced, ==, 19);
    g_assert_cmpuint(c->h.recursed, ==, 5);
    g_assert_cmpuint(c->h.torn, ==, 6);
    g_assert_cmpuint(c->h.clamped, ==, 7);
    g_assert_cmpuint(c->h.realtime / 1000000000, >=, time(NULL) - 60);
    g_assert_cmpuint(c->h.realtime / 1000000000, <=, time(NULL));
    g_assert_cmpuint(event_at(v, 0).event, ==, DDEBUG_LOG_EVENT_ATTACH);
    g_assert_cmpuint(event_at(v, 0).arg[0], ==, 1);
    g_assert_cmpuint(event_at(v, 1).event, ==, DDEBUG_LOG_EVENT_OPEN);
    g_assert_cmpuint(event_at(v, 1).arg[2], ==, 3);
    ddebug_log_close(log);
}

/* The largest chunk fits the smallest segment, and only one does. */
static void test_largest_chunk(void)
{
    g_autofree char *path = tmp_path("largest");
    g_autofree uint8_t *buf = g_malloc0(DDEBUG_LOG_PAYLOAD_MAX);
    DdebugLog *log = must_open(path, MIB);
    DdebugLogData d = { .epoch = 1 };
    g_autoptr(View) v = NULL;

    attach(log);
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(ddebug_log_append_data(log, &d, buf,
                                               DDEBUG_LOG_PAYLOAD_MAX), ==, 0);
    }
    g_assert_cmpint(ddebug_log_append_dict(log, buf, DDEBUG_LOG_PAYLOAD_MAX),
                    ==, 0);
    v = view(path);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_DATA), ==, 3);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_DICT), ==, 1);
    ddebug_log_close(log);
}

static void test_wrap(void)
{
    g_autofree char *path = tmp_path("wrap");
    DdebugLog *log = must_open(path, MIB);
    uint64_t first, last, found;

    attach(log);
    for (uint64_t n = 0; n < 3000; n += 100) {
        g_autoptr(View) v = NULL;

        put_range(log, n, n + 100);
        v = view(path);
        view_check_rest(v);
        found = check_numbers(v, &first, &last);
        g_assert_cmpuint(last, ==, n + 99);
        g_assert_cmpuint(found, ==, last - first + 1);
        if (first > 0) {
            /* one segment of seven is the dictionary's, one may be new */
            g_assert_cmpuint(v->segs->len, ==, 7);
            g_assert_cmpuint(found * 3200, >, 5 * 100 * 1024);
        }
    }
    g_assert_cmpuint(first, >, 0);
    ddebug_log_close(log);
}

static void test_reopen(void)
{
    g_autofree char *path = tmp_path("reopen");
    uint64_t first, last, n = 0;
    uint8_t uuid[16];
    uint64_t chunk_seq = 0, segs = 0;

    for (int round = 0; round < 5; round++) {
        DdebugLog *log = must_open(path, 4 * MIB);
        g_autoptr(View) v = NULL;

        g_assert_cmpuint(ddebug_log_epoch(log), ==, round);
        g_assert_cmpuint(ddebug_log_last_pass(log), ==, n);
        attach(log);
        put_range(log, n, n + 10);
        n += 10;
        v = view(path);
        view_check_rest(v);
        if (round) {
            g_assert_true(memcmp(uuid, v->super.uuid, 16) == 0);
        }
        memcpy(uuid, v->super.uuid, 16);
        g_assert_cmpuint(check_numbers(v, &first, &last), ==, n);
        g_assert_cmpuint(v->segs->len, ==, segs + 2);
        segs = v->segs->len;
        for (guint i = 0; i < v->chunks->len; i++) {
            chunk_seq = MAX(chunk_seq,
                            g_array_index(v->chunks, Chunk, i).h.chunk_seq);
        }
        /* ATTACH, its event, ten data: no number is used twice or left out */
        g_assert_cmpuint(chunk_seq, ==, 12 * (round + 1));
        ddebug_log_close(log);
    }
}

/* Numbers go on although the newest segments hold no chunk that has them. */
static void test_reopen_after_bare_segments(void)
{
    g_autofree char *path = tmp_path("bare");
    DdebugLog *log = must_open(path, 2 * MIB);

    attach(log);
    put_range(log, 0, 5);
    ddebug_log_close(log);
    for (int i = 0; i < 3; i++) {
        log = must_open(path, 2 * MIB);
        g_assert_cmpuint(ddebug_log_last_pass(log), ==, 5);
        g_assert_cmpuint(ddebug_log_epoch(log), ==, 1);
        ddebug_log_append_event(log, DDEBUG_LOG_EVENT_OPEN, 0, 0, 0);
        ddebug_log_close(log);
    }
    log = must_open(path, 2 * MIB);
    g_assert_cmpint(ddebug_log_write_state(log, 77), ==, 0);
    ddebug_log_close(log);
    log = must_open(path, 2 * MIB);
    g_assert_cmpuint(ddebug_log_last_pass(log), ==, 77);
    ddebug_log_close(log);
}

static unsigned epochs_with_data(View *v, uint32_t *oldest)
{
    unsigned n = 0;
    uint32_t last = UINT32_MAX;

    *oldest = UINT32_MAX;
    for (guint i = 0; i < v->chunks->len; i++) {
        Chunk *c = &g_array_index(v->chunks, Chunk, i);

        if (c->h.type == DDEBUG_LOG_CHUNK_DATA) {
            n += c->h.epoch != last;
            last = c->h.epoch;
            *oldest = MIN(*oldest, c->h.epoch);
        }
    }
    return n;
}

/* Rule 5: a dictionary lives as long as data of its epoch, and no longer. */
static void test_dict_life(void)
{
    g_autofree char *path = tmp_path("dict-life");
    DdebugLog *log = must_open(path, 2 * MIB);     /* 15 slots */
    uint64_t n = 0, first, last;
    uint32_t oldest;

    for (int epoch = 1; epoch < 60; epoch++) {
        g_autoptr(View) v = NULL;
        unsigned dicts = 0, with_data;

        attach(log);
        g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, 0);
        put_range(log, n, n + mix(epoch) % 200 + 1);
        n += mix(epoch) % 200 + 1;
        v = view(path);
        view_check_rest(v);
        check_numbers(v, &first, &last);
        g_assert_cmpuint(last, ==, n - 1);
        with_data = epochs_with_data(v, &oldest);
        dicts = count(v, DDEBUG_LOG_CHUNK_ATTACH);
        /* at most one that waits for its slot to be wanted, and its kin */
        g_assert_cmpuint(dicts, >=, with_data);
    }
    ddebug_log_close(log);
}

/* Many boots that say little: the newest are there, with their dictionaries. */
static void test_many_short_boots(void)
{
    g_autofree char *path = tmp_path("short-boots");
    uint64_t first, last;
    uint32_t oldest;

    for (int boot = 0; boot < 100; boot++) {
        DdebugLog *log = must_open(path, MIB);     /* 7 slots */
        g_autoptr(View) v = NULL;

        ddebug_log_append_event(log, DDEBUG_LOG_EVENT_OPEN, 0, 0, 0);
        attach(log);
        g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, 0);
        put_range(log, boot, boot + 1);
        ddebug_log_close(log);
        v = view(path);
        view_check_rest(v);
        check_numbers(v, &first, &last);
        g_assert_cmpuint(last, ==, boot);
        g_assert_cmpuint(epochs_with_data(v, &oldest), >=, MIN(boot + 1, 2));
    }
}

/* A hundred loads of the driver in one run: all are there. */
static void test_many_epochs(void)
{
    g_autofree char *path = tmp_path("epochs");
    DdebugLog *log = must_open(path, MIB);
    g_autoptr(View) v = NULL;
    uint64_t first, last;
    uint32_t oldest;

    for (int i = 0; i < 100; i++) {
        attach(log);
        g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, 0);
        put_range(log, i, i + 1);
    }
    v = view(path);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_ATTACH), ==, 100);
    g_assert_cmpuint(check_numbers(v, &first, &last), ==, 100);
    g_assert_cmpuint(epochs_with_data(v, &oldest), ==, 100);
    ddebug_log_close(log);
}

/* Epochs do not wrap: after the last one no driver is accepted, in this run or a later one. */
static void test_last_epoch(void)
{
    g_autofree char *path = tmp_path("last-epoch");
    DdebugLog *log = must_open(path, MIB);
    g_autoptr(View) v = NULL;
    char intro[160] = "";

    log->epoch = UINT32_MAX - 1;
    attach(log);
    g_assert_cmpuint(ddebug_log_epoch(log), ==, UINT32_MAX);
    g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, 0);
    put_range(log, 0, 10);
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(ddebug_log_append_attach(log, intro, sizeof(intro)), ==, -EOVERFLOW);
        g_assert_cmpuint(ddebug_log_epoch(log), ==, UINT32_MAX);
        g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, -EINVAL);
        ddebug_log_close(log);
        log = must_open(path, MIB);
    }
    ddebug_log_close(log);
    v = view(path);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_ATTACH), ==, 1);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_DICT), ==, 1);
}

static void test_dict_full(void)
{
    g_autofree char *path = tmp_path("dict-full");
    g_autofree uint8_t *buf = g_malloc0(60000);
    DdebugLog *log = must_open(path, MIB);
    unsigned taken = 0;
    uint64_t first, last;
    g_autoptr(View) v = NULL;
    int r;

    attach(log);
    while ((r = ddebug_log_append_dict(log, buf, 60000)) == 0) {
        g_assert_cmpuint(++taken, <, 100);
        put_range(log, taken * 10, taken * 10 + 10);
    }
    g_assert_cmpint(r, ==, -EXFULL);
    g_assert_cmpuint(taken, ==, 3 * 2);     /* 3 segments, 2 chunks each */
    g_assert_cmpuint(ddebug_log_lost(log, DDEBUG_LOG_LOSS_IO), ==, 0);
    put_range(log, 70, 300);
    v = view(path);
    view_check_rest(v);
    check_numbers(v, &first, &last);
    g_assert_cmpuint(last, ==, 299);
    /* the next boot has the room; only then data are without their callsites */
    attach(log);
    g_assert_cmpint(ddebug_log_append_dict(log, buf, 60000), ==, 0);
    put_range(log, 300, 310);
    view_free(view_load(path, false));
    put_range(log, 310, 600);
    view_free(view(path));
    for (taken = 1; ddebug_log_append_dict(log, buf, 60000) == 0; taken++) {
        g_assert_cmpuint(taken, <, 100);
    }
    g_assert_cmpuint(taken, >=, 2 * 2);
    g_assert_cmpuint(taken, <=, 3 * 2);
    ddebug_log_close(log);
}

static uint64_t resized(DdebugLog *log, const char *path, uint64_t size,
                        uint64_t *first, uint64_t *last)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(View) v = NULL;
    uint64_t had = ddebug_log_size(log), n;

    g_assert_true(ddebug_log_resize(log, size, &error));
    g_assert_no_error(error);
    v = view(path);
    g_assert_cmpuint(v->len, <=, size);
    g_assert_cmpuint(v->len + v->super.seg_size, >, size);
    g_assert_cmpuint(v->len, ==, ddebug_log_size(log));
    n = check_numbers(v, first, last);
    if (had != v->len) {
        g_assert_cmpuint(event_at(v, 0).event, ==, DDEBUG_LOG_EVENT_SIZE);
        g_assert_cmpuint(event_at(v, 0).arg[0], ==, had);
        g_assert_cmpuint(event_at(v, 0).arg[1], ==, v->len);
    }
    return n;
}

static void test_resize(void)
{
    g_autofree char *path = tmp_path("resize");
    DdebugLog *log = must_open(path, 4 * MIB);
    uint64_t first, last, before, n = 0;

    attach(log);
    put_range(log, n, n + 2000);
    n += 2000;
    /* growing keeps all, and room is used */
    before = resized(log, path, 6 * MIB, &first, &last);
    g_assert_cmpuint(last, ==, n - 1);
    put_range(log, n, n + 600);
    n += 600;
    g_assert_cmpuint(resized(log, path, 6 * MIB, &first, &last), ==,
                     before + 600);
    /* shrinking keeps the newest that fit: all slots but the dictionary's */
    resized(log, path, 2 * MIB, &first, &last);
    g_assert_cmpuint(last, ==, n - 1);
    g_assert_cmpuint((last - first + 1) * 3032, >, 12 * 128 * 1024);
    put_range(log, n, n + 3);
    n += 3;
    resized(log, path, MIB, &first, &last);
    g_assert_cmpuint(last, ==, n - 1);
    g_assert_cmpuint((last - first + 1) * 3032, >, 5 * 100 * 1024);
    /* it goes on, in the segment that was moved */
    put_range(log, n, n + 1000);
    n += 1000;
    resized(log, path, 3 * MIB, &first, &last);
    put_range(log, n, n + 1000);
    n += 1000;
    resized(log, path, 3 * MIB, &first, &last);
    g_assert_cmpuint(last, ==, n - 1);
    ddebug_log_close(log);
}

/* As above, with epochs and at random; also through close and open. */
static void test_resize_at_random(void)
{
    g_autofree char *path = tmp_path("resize-random");
    DdebugLog *log = must_open(path, MIB);
    uint64_t first, last, n = 0;

    for (int i = 0; i < 120; i++) {
        uint64_t size = MIB + g_test_rand_int_range(0, 7 * MIB);

        if (i == 0 || g_test_rand_int_range(0, 3) == 0) {
            attach(log);
            g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, 0);
        }
        put_range(log, n, n + 1 + g_test_rand_int_range(0, 150));
        n = MAX(n, 1);
        {
            g_autoptr(View) v = view(path);

            check_numbers(v, &first, &last);
            n = last + 1;
        }
        if (g_test_rand_bit()) {
            resized(log, path, size, &first, &last);
        } else {
            g_autoptr(View) v = NULL;

            ddebug_log_close(log);
            log = must_open(path, size);
            v = view(path);
            view_check_rest(v);
            g_assert_cmpuint(v->len, <=, size);
            check_numbers(v, &first, &last);
            /* the dictionary of this epoch belongs to the former writer */
            attach(log);
        }
        g_assert_cmpuint(last, ==, n - 1);
    }
    ddebug_log_close(log);
}

static void test_resize_refused(void)
{
    g_autofree char *path = tmp_path("resize-refused");
    g_autofree uint8_t *buf = g_malloc0(60000);
    DdebugLog *log = must_open(path, 2 * MIB);
    uint64_t size = ddebug_log_size(log), first, last;
    uint64_t bad[] = { 0, 1, MIB - 1, (1ull << 40) + 1, UINT64_MAX };
    g_autoptr(View) v = NULL;

    attach(log);
    put_range(log, 0, 100);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(ddebug_log_resize(log, bad[i], &error));
        g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SIZE);
    }
    /* a dictionary of five segments does not fit half of seven slots */
    for (int i = 0; i < 9; i++) {
        g_assert_cmpint(ddebug_log_append_dict(log, buf, 60000), ==, 0);
    }
    for (int i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(ddebug_log_resize(log, MIB, &error));
        g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SIZE);
        g_assert_nonnull(strstr(error->message, "dictionary"));
    }
    g_assert_cmpuint(ddebug_log_size(log), ==, size);
    v = view(path);
    g_assert_cmpuint(check_numbers(v, &first, &last), ==, 100);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_DICT), ==, 9);
    ddebug_log_close(log);

    unlink(path);
    ddebug_log_close(must_open(path, 64 * MIB));
    must_fail(path, MIB, DDEBUG_LOG_ERROR_SIZE, "4259840");
    unlink(path);
}

static void test_clear(void)
{
    g_autofree char *path = tmp_path("clear");
    DdebugLog *log = must_open(path, MIB);
    uint64_t first, last;
    g_autoptr(GError) error = NULL;

    attach(log);
    put_range(log, 0, 500);
    for (int i = 0; i < 20; i++) {
        g_autoptr(View) v = NULL;
        g_autoptr(View) later = NULL;

        g_assert_true(ddebug_log_clear(log, &error));
        v = view(path);
        view_check_rest(v);
        g_assert_cmpuint(check_numbers(v, &first, &last), ==, 0);
        g_assert_cmpuint(event_at(v, 0).event, ==, DDEBUG_LOG_EVENT_CLEAR);
        for (int i = 0; i < 3; i++) {
            g_assert_cmpuint(event_at(v, 0).arg[i], ==, 0);
        }
        g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_EVENT), ==, 1);
        /* the running guest's dictionary stays */
        g_assert_cmpuint(ddebug_log_epoch(log), ==,
                         g_array_index(v->chunks, Chunk,
                                       v->chunks->len - 1).h.epoch);
        g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_ATTACH), >=, 1);
        put_range(log, 1000 * i, 1000 * i + 100);
        later = view(path);
        view_check_rest(later);
        g_assert_cmpuint(check_numbers(later, &first, &last), ==, 100);
        if (i % 2) {
            ddebug_log_close(log);
            log = must_open(path, MIB);
            attach(log);
            view_free(view(path));
        }
    }
    ddebug_log_close(log);
}

/* freezing */

/* How many of the numbers from @from to below @to are there. */
static unsigned count_range(const char *path, uint64_t from, uint64_t to)
{
    g_autoptr(View) v = view(path);
    unsigned found = 0;

    for (guint i = 0; i < v->chunks->len; i++) {
        Chunk *c = &g_array_index(v->chunks, Chunk, i);
        uint64_t n;

        if (c->h.type == DDEBUG_LOG_CHUNK_DATA) {
            memcpy(&n, c->payload, 8);
            found += n >= from && n < to;
        }
    }
    return found;
}

static uint64_t frozen_bytes(const char *path)
{
    g_autoptr(View) v = view(path);
    uint64_t segs = 0;

    for (guint i = 0; i < v->segs->len; i++) {
        const Seg *s = &g_array_index(v->segs, Seg, i);

        segs += s->type == DDEBUG_LOG_SEG_DATA &&
                s->seq >= v->super.frozen_first &&
                s->seq <= v->super.frozen_last;
    }
    return segs * v->super.seg_size;
}

static void test_freeze(void)
{
    g_autofree char *path = tmp_path("freeze");
    DdebugLog *log = must_open(path, 4 * MIB);
    unsigned kept, newest;

    attach(log);
    put_range(log, 0, 5000);
    g_assert_cmpint(ddebug_log_freeze(log), ==, 0);
    put_range(log, 5000, 5010);     /* words after the last ones */
    g_assert_cmpint(ddebug_log_freeze(log), ==, 0);
    g_assert_cmpuint(frozen_bytes(path), >=, MIB - (256 << 10));
    g_assert_cmpuint(frozen_bytes(path), <=, MIB);

    /* many boots, each with more than the file holds, and a restart of QEMU */
    for (int boot = 0; boot < 300; boot++) {
        attach(log);
        for (int i = 0; i < 3; i++) {
            char entry[4000] = "";

            g_assert_cmpint(ddebug_log_append_dict(log, entry, sizeof(entry)),
                            ==, 0);
        }
        put_range(log, 10000 * (boot + 1), 10000 * (boot + 1) + 50);
        if (boot % 100 == 99) {
            put_range(log, 10000 * (boot + 1) + 50, 10000 * (boot + 2));
            ddebug_log_close(log);
            log = must_open(path, 4 * MIB);
        }
    }
    kept = count_range(path, 0, 5010);
    newest = count_range(path, 10000, 10000000);
    g_assert_cmpuint(kept, >, 150);
    g_assert_cmpuint(count_range(path, 4850, 5000), ==, 150);
    g_assert_cmpuint(newest, >, kept);

    /* smaller: still the newest of it, and the newest of all */
    {
        g_autoptr(GError) error = NULL;

        g_assert_true(ddebug_log_resize(log, 2 * MIB, &error));
        g_assert_cmpuint(frozen_bytes(path), <=, MIB / 2);
        g_assert_cmpuint(count_range(path, 4950, 5000), ==, 50);
        g_assert_cmpuint(count_range(path, 3009990, 3010000), ==, 10);
        g_assert_true(ddebug_log_resize(log, 4 * MIB, &error));
        put_range(log, 4000000, 4003000);
        g_assert_cmpuint(count_range(path, 4950, 5000), ==, 50);
    }

    /* another death takes its place */
    attach(log);
    put_range(log, 5000000, 5002000);
    g_assert_cmpint(ddebug_log_freeze(log), ==, 0);
    put_range(log, 6000000, 6005000);
    g_assert_cmpuint(count_range(path, 0, 5010), ==, 0);
    g_assert_cmpuint(count_range(path, 5001850, 5002000), ==, 150);

    /* cleared, nothing is kept */
    {
        g_autoptr(GError) error = NULL;

        g_assert_true(ddebug_log_clear(log, &error));
        g_assert_cmpuint(frozen_bytes(path), ==, 0);
        put_range(log, 7000000, 7005000);
        g_assert_cmpuint(count_range(path, 0, 7000000), ==, 0);
    }
    ddebug_log_close(log);
}

/* The callsites of what is frozen stay, those of boots in between go. */
static void test_freeze_dict(void)
{
    g_autofree char *path = tmp_path("freeze-dict");
    DdebugLog *log = must_open(path, 2 * MIB);
    char entry[4000] = "";
    unsigned of_first = 0;

    attach(log);
    for (int i = 0; i < 3; i++) {
        memset(entry, 'f', sizeof(entry));
        g_assert_cmpint(ddebug_log_append_dict(log, entry, sizeof(entry)), ==,
                        0);
    }
    put_range(log, 0, 10);
    g_assert_cmpint(ddebug_log_freeze(log), ==, 0);
    for (int boot = 0; boot < 200; boot++) {
        attach(log);
        memset(entry, 'b', sizeof(entry));
        for (int i = 0; i < 5; i++) {
            g_assert_cmpint(ddebug_log_append_dict(log, entry, sizeof(entry)),
                            ==, 0);
        }
        put_range(log, 1000 * (boot + 1), 1000 * (boot + 1) + 20);
    }
    {
        g_autoptr(View) v = view(path);

        for (guint i = 0; i < v->chunks->len; i++) {
            Chunk *c = &g_array_index(v->chunks, Chunk, i);

            of_first += c->h.type == DDEBUG_LOG_CHUNK_DICT &&
                        c->payload[0] == 'f';
        }
    }
    g_assert_cmpuint(of_first, ==, 3);
    g_assert_cmpuint(count_range(path, 0, 10), ==, 10);
    ddebug_log_close(log);
}

/* A dead guest with as many callsites as fit does not silence those after it. */
static void test_freeze_dict_full(void)
{
    g_autofree char *path = tmp_path("freeze-dict-full");
    g_autofree uint8_t *buf = g_malloc0(60000);
    DdebugLog *log = must_open(path, MIB);

    attach(log);
    put_range(log, 0, 10);
    while (ddebug_log_append_dict(log, buf, 60000) == 0) {
        continue;
    }
    g_assert_cmpint(ddebug_log_freeze(log), ==, 0);
    /* not for the dying guest itself */
    g_assert_cmpint(ddebug_log_append_dict(log, buf, 60000), ==, -EXFULL);
    g_assert_cmpuint(frozen_bytes(path), >, 0);
    ddebug_log_close(log);
    log = must_open(path, MIB);
    attach(log);
    g_assert_cmpint(ddebug_log_append_dict(log, buf, 60000), ==, 0);
    put_range(log, 1000, 1010);
    g_assert_cmpuint(count_range(path, 1000, 1010), ==, 10);
    g_assert_cmpuint(frozen_bytes(path), ==, 0);
    ddebug_log_close(log);
}

/* Writes the superblocks of a closed log anew. */
static void set_frozen(const char *path, uint64_t first, uint64_t last,
                       uint32_t epoch, uint32_t epoch_last)
{
    struct ddebug_log_super s;
    int fd = open(path, O_RDWR);

    for (int i = 0; i < 2; i++) {
        const off_t off = DDEBUG_LOG_SUPER_OFF(i);

        g_assert_cmpint(pread(fd, &s, sizeof(s), off), ==, sizeof(s));
        s.frozen_first = first;
        s.frozen_last = last;
        s.frozen_epoch = epoch;
        s.frozen_epoch_last = epoch_last;
        s.crc = crc(&s, sizeof(s) - 4);
        g_assert_cmpint(pwrite(fd, &s, sizeof(s), off), ==, sizeof(s));
    }
    close(fd);
}

/* Whatever range a file has, it can be written, and cleared. */
static void test_freeze_bad_range(void)
{
    static const struct {
        uint64_t first, last, kept;
    } ranges[] = {
        { 1, UINT64_MAX, 0 }, { 5, 4, 0 }, { 1, 1000, 0 }, { 1, 16, 3 },
    };

    for (guint i = 0; i < G_N_ELEMENTS(ranges); i++) {
        g_autofree char *path = tmp_path("freeze-bad-range");
        DdebugLog *log = must_open(path, 2 * MIB);      /* 15 slots */
        uint64_t first, last;

        attach(log);
        put_range(log, 0, 600);
        {
            g_autoptr(View) v = view(path);

            /* 1 is the dictionary's, and the last of them is in the log */
            g_assert_cmpuint(g_array_index(v->segs, Seg, v->segs->len - 1).seq,
                             >=, 16);
            g_assert_cmpuint(g_array_index(v->segs, Seg, v->segs->len - 1).seq,
                             <, 1000);
        }
        ddebug_log_close(log);
        set_frozen(path, ranges[i].first, ranges[i].last, 0, UINT32_MAX);
        log = must_open(path, 2 * MIB);
        g_assert_cmpuint(frozen_bytes(path), ==, ranges[i].kept * 131072);
        if (!ranges[i].kept) {
            g_autofree char *bytes = NULL;
            const struct ddebug_log_super *s;
            gsize len;

            /* nothing is frozen: both ends are zero */
            g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
            for (int copy = 0; copy < 2; copy++) {
                s = (const void *)(bytes + DDEBUG_LOG_SUPER_OFF(copy));
                g_assert_cmpuint(s->frozen_last ? 0 : s->frozen_first, ==, 0);
            }
        }
        /* more boots than there may be dictionary segments */
        for (uint64_t boot = 1; boot < 20; boot++) {
            attach(log);
            put_range(log, boot * 1000, boot * 1000 + 10);
            ddebug_log_close(log);
            log = must_open(path, 2 * MIB);
        }
        g_assert_true(ddebug_log_clear(log, NULL));
        g_assert_cmpuint(frozen_bytes(path), ==, 0);
        attach(log);
        put_range(log, 50000, 50010);
        {
            g_autoptr(View) v = view(path);

            g_assert_cmpuint(check_numbers(v, &first, &last), ==, 10);
        }
        ddebug_log_close(log);
    }
}

/* With the last data of an epoch its dictionary is not kept any more. */
static void test_freeze_thawed_epoch(void)
{
    g_autofree char *path = tmp_path("freeze-thawed-epoch");
    DdebugLog *log = must_open(path, 4 * MIB);      /* 31 slots, 7 frozen */

    attach(log);
    put_range(log, 0, 200);
    attach(log);
    put_range(log, 200, 340);       /* three segments and a part */
    g_assert_cmpint(ddebug_log_freeze(log), ==, 0);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(v->super.frozen_epoch, ==, 1);
        g_assert_cmpuint(v->super.frozen_epoch_last, ==, 2);
    }
    g_assert_true(ddebug_log_resize(log, 2 * MIB, NULL));
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(frozen_bytes(path), ==, 3 * 131072);
        g_assert_cmpuint(v->super.frozen_epoch, ==, 2);
        g_assert_cmpuint(v->super.frozen_epoch_last, ==, 2);
    }
    ddebug_log_close(log);
}

static uint64_t data_segs(const char *path)
{
    g_autoptr(View) v = view(path);
    uint64_t n = 0;

    for (guint i = 0; i < v->segs->len; i++) {
        n += g_array_index(v->segs, Seg, i).type == DDEBUG_LOG_SEG_DATA;
    }
    return n;
}

static void freeze_after_event(DdebugLog *log, uint32_t event)
{
    g_assert_cmpint(ddebug_log_append_event(log, event, 0, 0, 0), ==, 0);
    g_assert_cmpint(ddebug_log_freeze(log), ==, 0);
}

/* What is said after a death takes no segment of its own; the next boot does. */
static void test_freeze_goes_on(void)
{
    g_autofree char *path = tmp_path("freeze-goes-on");
    DdebugLog *log = must_open(path, 2 * MIB);
    uint64_t generation;

    attach(log);
    put_range(log, 0, 5);
    freeze_after_event(log, DDEBUG_LOG_EVENT_NOTICE);
    {
        g_autoptr(View) v = view(path);

        generation = v->super.generation;
    }
    freeze_after_event(log, DDEBUG_LOG_EVENT_STOP);
    freeze_after_event(log, DDEBUG_LOG_EVENT_RESET);
    g_assert_cmpuint(data_segs(path), ==, 1);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(v->super.generation, ==, generation);
    }
    /* what fills the segment is taken in with the next */
    put_range(log, 5, 60);
    freeze_after_event(log, DDEBUG_LOG_EVENT_STOP);
    g_assert_cmpuint(data_segs(path), ==, 2);
    g_assert_cmpuint(frozen_bytes(path), ==, 2 * 131072);
    attach(log);
    put_range(log, 1000, 1005);
    g_assert_cmpuint(data_segs(path), ==, 3);
    g_assert_cmpuint(frozen_bytes(path), ==, 2 * 131072);
    ddebug_log_close(log);
}

/* A full log has room for what becomes of a dead guest, and for who comes next. */
static void test_freeze_full(void)
{
    g_autofree char *path = tmp_path("freeze-full");
    DdebugLog *log = must_open(path, MIB);

    ddebug_log_set_mode(log, DDEBUG_LOG_DROP);
    attach(log);
    for (uint64_t n = 0; put(log, n) == 0; n++) {
        continue;
    }
    freeze_after_event(log, DDEBUG_LOG_EVENT_NOTICE);
    freeze_after_event(log, DDEBUG_LOG_EVENT_STOP);
    freeze_after_event(log, DDEBUG_LOG_EVENT_RESET);
    attach(log);
    g_assert_cmpint(put(log, 1000), ==, -EXFULL);
    g_assert_cmpint(ddebug_log_append_event(log, DDEBUG_LOG_EVENT_CLOSE, 0, 0,
                                            0), ==, 0);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(event_at(v, 0).event, ==, DDEBUG_LOG_EVENT_CLOSE);
    }
    ddebug_log_close(log);
}

/* requests */

static void request(const char *path, uint32_t type, uint64_t id, uint64_t arg,
                    uint32_t crc_xor)
{
    struct ddebug_log_request q = {
        .magic = DDEBUG_LOG_REQUEST_MAGIC, .type = type, .id = id, .arg = arg,
    };
    int fd = open(path, O_WRONLY);

    q.crc = crc(&q, 60) ^ crc_xor;
    g_assert_cmpint(pwrite(fd, &q, 64, 8192), ==, 64);
    close(fd);
}

static struct ddebug_log_reply reply_of(const char *path)
{
    struct ddebug_log_reply r;
    int fd = open(path, O_RDONLY);

    g_assert_cmpint(pread(fd, &r, 64, 12288), ==, 64);
    close(fd);
    g_assert_cmpuint(r.magic, ==, DDEBUG_LOG_REPLY_MAGIC);
    g_assert_cmpuint(r.crc, ==, crc(&r, 60));
    return r;
}

static void serve(DdebugLog *log, const char *path, uint32_t type, uint64_t id,
                  uint64_t arg, uint32_t error, uint64_t value)
{
    DdebugLogRequest q = { 0 };
    struct ddebug_log_reply r;

    request(path, type, id, arg, 0);
    g_assert_true(ddebug_log_poll_request(log, &q));
    g_assert_cmpuint(q.type, ==, type);
    g_assert_cmpuint(q.id, ==, id);
    g_assert_cmpuint(q.arg, ==, arg);
    ddebug_log_serve_request(log, &q);
    g_assert_false(ddebug_log_poll_request(log, &q));
    r = reply_of(path);
    g_assert_cmpuint(r.id, ==, id);
    g_assert_cmpuint(r.error, ==, error);
    g_assert_cmpuint(r.value, ==, value);
}

static bool try_lock(int fd, uint64_t byte, short type)
{
    struct flock l = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1,
    };

    return fcntl(fd, F_OFD_SETLK, &l) == 0;
}

static void test_requests(void)
{
    g_autofree char *path = tmp_path("requests");
    DdebugLog *log = must_open(path, 2 * MIB);
    DdebugLogRequest q;
    uint64_t first, last;
    int fd;

    attach(log);
    put_range(log, 0, 100);
    g_assert_false(ddebug_log_poll_request(log, &q));
    request(path, DDEBUG_LOG_REQUEST_CLEAR, 1, 0, 1);       /* damaged */
    g_assert_false(ddebug_log_poll_request(log, &q));
    serve(log, path, DDEBUG_LOG_REQUEST_SIZE, 10, MIB, 0,
          65536 + 7 * 131072);
    serve(log, path, DDEBUG_LOG_REQUEST_SIZE, 11, 5, EINVAL,
          65536 + 7 * 131072);
    serve(log, path, 99, 12, 0, EOPNOTSUPP, 0);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(check_numbers(v, &first, &last), ==, 100);
    }
    serve(log, path, DDEBUG_LOG_REQUEST_CLEAR, 13, 0, 0, 0);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(check_numbers(v, &first, &last), ==, 0);
    }

    /* the tool has given up: not served by the next writer */
    request(path, DDEBUG_LOG_REQUEST_CLEAR, 14, 0, 0);
    ddebug_log_close(log);
    log = must_open(path, MIB);
    g_assert_false(ddebug_log_poll_request(log, &q));
    ddebug_log_close(log);

    /* the tool waits: served by the next writer, and by that one only */
    fd = open(path, O_RDWR);
    g_assert_true(try_lock(fd, DDEBUG_LOG_LOCK_REQUEST, F_WRLCK));
    request(path, DDEBUG_LOG_REQUEST_CLEAR, 15, 0, 0);
    log = must_open(path, MIB);
    g_assert_true(ddebug_log_poll_request(log, &q));
    ddebug_log_serve_request(log, &q);
    ddebug_log_close(log);
    log = must_open(path, MIB);
    g_assert_false(ddebug_log_poll_request(log, &q));
    ddebug_log_close(log);
    close(fd);
}

static void test_state(void)
{
    g_autofree char *path = tmp_path("state");
    DdebugLog *log = must_open(path, MIB);
    struct ddebug_log_state s;
    g_autofree char *all = NULL;

    attach(log);
    put_range(log, 0, 1);
    g_assert_cmpint(ddebug_log_write_state(log, 42), ==, 0);
    g_assert_true(g_file_get_contents(path, &all, NULL, NULL));
    memcpy(&s, all + 16384, sizeof(s));
    g_assert_cmpuint(s.magic, ==, DDEBUG_LOG_STATE_MAGIC);
    g_assert_cmpuint(s.crc, ==, crc(&s, 60));
    g_assert_cmpuint(s.settled_pass, ==, 42);
    g_assert_cmpuint(s.seg_seq, ==, 2);
    g_assert_cmpuint(s.io_lost, ==, 0);
    ddebug_log_close(log);
}

/* what is in the way */

static void test_not_a_file(void)
{
    g_autofree char *file = tmp_path("target");
    g_autofree char *path = tmp_path("name");
    g_autofree char *deep = g_build_filename(tmp_dir, "no", "such", NULL);
    g_autoptr(GError) error = NULL;

    must_fail(tmp_dir, MIB, DDEBUG_LOG_ERROR_NOT_A_FILE, "directory");
    must_fail("/dev/null", MIB, DDEBUG_LOG_ERROR_NOT_A_FILE, "character");
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    must_fail(path, MIB, DDEBUG_LOG_ERROR_NOT_A_FILE, "FIFO");
    unlink(path);
    ddebug_log_close(must_open(file, MIB));
    g_assert_cmpint(symlink(file, path), ==, 0);
    must_fail(path, MIB, DDEBUG_LOG_ERROR_NOT_A_FILE, "symbolic link");
    unlink(path);
    g_assert_cmpint(symlink("nowhere", path), ==, 0);
    must_fail(path, MIB, DDEBUG_LOG_ERROR_NOT_A_FILE, "symbolic link");
    unlink(path);
    g_assert_cmpint(link(file, path), ==, 0);
    must_fail(path, MIB, DDEBUG_LOG_ERROR_LINKED, "hard links");
    unlink(path);
    must_fail(deep, MIB, DDEBUG_LOG_ERROR_NOT_FOUND, "no directory");
    g_assert_null(ddebug_log_open(path, MIB, NULL, 0, &error));
    g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_NOT_FOUND);
    g_assert_cmpint(access(path, F_OK), <, 0);
}

static void test_no_permission(void)
{
    g_autofree char *path = tmp_path("secret");
    int status;
    pid_t pid;

    ddebug_log_close(must_open(path, MIB));
    g_assert_cmpint(chmod(path, 0400), ==, 0);
    g_assert_cmpint(chmod(tmp_dir, 0755), ==, 0);
    pid = fork();
    if (pid == 0) {
        g_autofree char *other = g_build_filename(tmp_dir, "other", NULL);

        /* root may write anything: be somebody who may not */
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0) {
            _exit(2);
        }
        must_fail(path, MIB, DDEBUG_LOG_ERROR_PERMISSION, "write access");
        if (getuid() == 65534) {
            must_fail(other, MIB, DDEBUG_LOG_ERROR_PERMISSION, "write access");
        }
        _exit(0);
    }
    waitpid(pid, &status, 0);
    g_assert_cmpint(status, ==, 0);
}

static void test_other_format(void)
{
    g_autofree char *path = tmp_path("other");
    g_autofree char *zeros = g_malloc0(100000);
    static const char text[] = "a shopping list";
    const size_t lens[] = { 1, 15, 100000 };

    for (guint i = 0; i < G_N_ELEMENTS(lens); i++) {
        g_autofree char *now = NULL;
        gsize len;

        memcpy(zeros, text, sizeof(text));
        g_assert_true(g_file_set_contents(path, zeros, lens[i], NULL));
        must_fail(path, MIB, DDEBUG_LOG_ERROR_FORMAT, "not a virtio-ddebug");
        g_assert_true(g_file_get_contents(path, &now, &len, NULL));
        g_assert_cmpmem(now, len, zeros, lens[i]);
    }
}

/* In so many copies of the superblock. */
static void poke_super(const char *path, size_t off, uint32_t value,
                       bool reseal, int copies)
{
    int fd = open(path, O_RDWR);

    for (int i = 0; i < copies; i++) {
        uint8_t s[4096];
        uint32_t c;

        g_assert_cmpint(pread(fd, s, 4096, i * 4096), ==, 4096);
        memcpy(s + off, &value, 4);
        c = crc(s, 4092);
        if (reseal) {
            memcpy(s + 4092, &c, 4);
        }
        g_assert_cmpint(pwrite(fd, s, 4096, i * 4096), ==, 4096);
    }
    close(fd);
}

static void test_other_version(void)
{
    static const struct {
        size_t off;
        uint32_t value;
        bool reseal;
        int code;
        const char *words;
    } cases[] = {
        { 8, 0, true, DDEBUG_LOG_ERROR_VERSION, "version 0" },
        { 8, 2, true, DDEBUG_LOG_ERROR_VERSION, "version 2" },
        { 8, 7, false, DDEBUG_LOG_ERROR_VERSION, "version 7" },
        { 12, 2, true, DDEBUG_LOG_ERROR_VERSION, "incompat 0x2" },
        { 16, 0x80, true, DDEBUG_LOG_ERROR_VERSION, "compat 0x80" },
        { 240, 1, false, DDEBUG_LOG_ERROR_DAMAGED, "damaged" },
        { 20, 4096, true, DDEBUG_LOG_ERROR_DAMAGED, "damaged" },
        { 20, 0x30000, true, DDEBUG_LOG_ERROR_DAMAGED, "damaged" },
        { 56, 3, true, DDEBUG_LOG_ERROR_DAMAGED, "damaged" },
        { 60, 0x80000000, true, DDEBUG_LOG_ERROR_DAMAGED, "damaged" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = tmp_path("version");
        g_autofree char *before = NULL, *after = NULL;
        gsize len_before, len_after;

        ddebug_log_close(must_open(path, MIB));
        /* magic in both copies, as after the first generations */
        ddebug_log_close(must_open(path, MIB));
        poke_super(path, cases[i].off, cases[i].value, cases[i].reseal,
                   2);
        g_file_get_contents(path, &before, &len_before, NULL);
        must_fail(path, MIB, cases[i].code, cases[i].words);
        g_file_get_contents(path, &after, &len_after, NULL);
        g_assert_cmpmem(before, len_before, after, len_after);
    }
}

/* One copy is enough, if the checksum vouches for it; if not, the other one is. */
static void test_other_version_of_a_copy(void)
{
    g_autofree char *path = tmp_path("version-copy");

    for (uint32_t version = 0; version <= 2; version += 2) {
        unlink(path);
        ddebug_log_close(must_open(path, MIB));
        ddebug_log_close(must_open(path, MIB));
        poke_super(path, 8, version, false, 1);
        ddebug_log_close(must_open(path, MIB));
        ddebug_log_close(must_open(path, MIB));
        poke_super(path, 8, version, true, 1);
        must_fail(path, MIB, DDEBUG_LOG_ERROR_VERSION, "log of version");
    }
}

/*
 * The younger copy has an incompat bit that is not known, and bounds that are
 * impossible without it; the older copy is one of ours.  Nothing is written.
 */
static void test_unknown_incompat_in_younger_copy(void)
{
    static const struct {
        size_t off;
        uint64_t value;
    } bounds[] = {
        { offsetof(struct ddebug_log_super, incompat), 1u << 20 },
        { offsetof(struct ddebug_log_super, seg_size), 4096 },
        { offsetof(struct ddebug_log_super, seg_size), 0x30000 },
        { offsetof(struct ddebug_log_super, size), 3 * MIB + 4096 },
        { offsetof(struct ddebug_log_super, nr_segs), 1 },
        { offsetof(struct ddebug_log_super, nr_segs), UINT64_MAX },
        { offsetof(struct ddebug_log_super, shm_size), 12345 },
    };

    for (guint i = 0; i < G_N_ELEMENTS(bounds); i++) {
        for (int generations = 1; generations <= 2; generations++) {
            g_autofree char *path = tmp_path("younger");
            g_autofree char *before = NULL, *after = NULL;
            gsize len_before, len_after;
            struct ddebug_log_super s[2], *young;
            int fd;

            for (int n = 0; n <= generations; n++) {
                ddebug_log_close(must_open(path, MIB));
            }
            fd = open(path, O_RDWR);
            for (int n = 0; n < 2; n++) {
                g_assert_cmpint(pread(fd, &s[n], sizeof(s[n]),
                                      DDEBUG_LOG_SUPER_OFF(n)),
                                ==, sizeof(s[n]));
            }
            young = GUINT64_FROM_LE(s[0].generation) >
                    GUINT64_FROM_LE(s[1].generation) ? &s[0] : &s[1];
            young->generation =
                GUINT64_TO_LE(GUINT64_FROM_LE(young->generation) + 1);
            memcpy((char *)young + bounds[i].off, &bounds[i].value,
                   bounds[i].off >= offsetof(struct ddebug_log_super, uuid) ?
                   8 : 4);
            young->incompat |= GUINT32_TO_LE(1u << 20);
            young->crc = GUINT32_TO_LE(crc(young, sizeof(*young) - 4));
            g_assert_cmpint(
                pwrite(fd, young, sizeof(*young),
                       DDEBUG_LOG_SUPER_OFF(GUINT64_FROM_LE(young->generation)
                                            % 2)), ==, sizeof(*young));
            close(fd);
            g_file_get_contents(path, &before, &len_before, NULL);
            must_fail(path, MIB, DDEBUG_LOG_ERROR_VERSION, "0x100000");
            must_fail(path, 0, DDEBUG_LOG_ERROR_VERSION, "0x100000");
            g_file_get_contents(path, &after, &len_after, NULL);
            g_assert_cmpmem(before, len_before, after, len_after);
            unlink(path);
        }
    }
}

static void test_in_use(void)
{
    g_autofree char *path = tmp_path("in-use");
    g_autofree char *pid = g_strdup_printf("process %d", getpid());
    DdebugLog *log = must_open(path, MIB);
    uint64_t first, last;
    g_autoptr(View) v = NULL;

    attach(log);
    put_range(log, 0, 10);
    must_fail(path, 2 * MIB, DDEBUG_LOG_ERROR_BUSY, pid);
    put_range(log, 10, 20);
    v = view(path);
    g_assert_cmpuint(check_numbers(v, &first, &last), ==, 20);
    ddebug_log_close(log);
    ddebug_log_close(must_open(path, 2 * MIB));
}

static void test_bad_sizes(void)
{
    g_autofree char *path = tmp_path("sizes");

    must_fail(path, 1, DDEBUG_LOG_ERROR_SIZE, "too small");
    must_fail(path, MIB - 1, DDEBUG_LOG_ERROR_SIZE, "1M");
    must_fail(path, (1ull << 40) + 1, DDEBUG_LOG_ERROR_SIZE, "too large");
    must_fail(path, UINT64_MAX, DDEBUG_LOG_ERROR_SIZE, "1T");
    g_assert_cmpint(access(path, F_OK), <, 0);
}

/* ---- the disk ---- */

/* What fallocate() says; 0: it works; -1: it claims so. */
static int allocate_error;
/* Bytes that it has allocated, and at most at once. */
static uint64_t allocated, allocated_at_once;

/* In place of libc's. */
int fallocate(int fd, int mode, off_t from, off_t len)
{
    if (allocate_error > 0) {
        errno = allocate_error;
        return -1;
    }
    allocated += len;
    allocated_at_once = MAX(allocated_at_once, (uint64_t)len);
    return allocate_error ? 0 : syscall(SYS_fallocate, fd, mode, from, len);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit r;

    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &r), ==, 0);
    r.rlim_cur = MIN(bytes, r.rlim_max);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &r), ==, 0);
}

static void test_no_space(void)
{
    static const int errors[] = { ENOSPC, EDQUOT };
    struct stat st;
    uint64_t size, first, last;

    for (size_t i = 0; i < G_N_ELEMENTS(errors); i++) {
        g_autofree char *path = tmp_path("space");
        g_autoptr(GError) error = NULL;
        g_autoptr(View) v = NULL;
        DdebugLog *log;

        allocate_error = errors[i];
        must_fail(path, 2 * MIB, DDEBUG_LOG_ERROR_SPACE, "no room");
        g_assert_cmpint(access(path, F_OK), <, 0);
        g_assert_true(g_file_set_contents(path, "", 0, NULL));
        must_fail(path, 2 * MIB, DDEBUG_LOG_ERROR_SPACE, g_strerror(errors[i]));
        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpint(st.st_size, ==, 0);

        allocate_error = 0;
        log = must_open(path, MIB);
        size = ddebug_log_size(log);
        attach(log);
        put_range(log, 0, 50);
        allocate_error = errors[i];
        g_assert_false(ddebug_log_resize(log, 2 * MIB, &error));
        g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SPACE);
        g_assert_cmpuint(ddebug_log_size(log), ==, size);
        put_range(log, 50, 60);
        ddebug_log_close(log);
        must_fail(path, 2 * MIB, DDEBUG_LOG_ERROR_SPACE, "no room");
        allocate_error = 0;
        v = view(path);
        g_assert_cmpuint(check_numbers(v, &first, &last), ==, 60);
    }
}

/*
 * What exceeds the process's limit on the size of files is refused for that
 * reason, and not even tried: SIGXFSZ would end this process.
 */
static void test_size_limit(void)
{
    g_autofree char *path = tmp_path("limit");
    g_autoptr(GError) error = NULL;
    g_autoptr(View) v = NULL;
    uint64_t size, first, last;
    DdebugLog *log;

    signal(SIGXFSZ, SIG_DFL);
    limit_files(3 * MIB / 2);
    must_fail(path, 2 * MIB, DDEBUG_LOG_ERROR_LIMIT, "RLIMIT_FSIZE");
    must_fail(path, 2 * MIB, DDEBUG_LOG_ERROR_LIMIT, "at most 1572864 bytes");
    g_assert_cmpint(access(path, F_OK), <, 0);

    log = must_open(path, MIB);
    size = ddebug_log_size(log);
    attach(log);
    put_range(log, 0, 50);
    g_assert_false(ddebug_log_resize(log, 2 * MIB, &error));
    g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_LIMIT);
    g_assert_cmpuint(ddebug_log_size(log), ==, size);
    serve(log, path, DDEBUG_LOG_REQUEST_SIZE, 1, 2 * MIB, EFBIG, size);
    put_range(log, 50, 60);
    ddebug_log_close(log);
    must_fail(path, 2 * MIB, DDEBUG_LOG_ERROR_LIMIT, "RLIMIT_FSIZE");

    /* a log that exceeds it already, even to make it smaller; or was cut short */
    limit_files(RLIM_INFINITY);
    ddebug_log_close(must_open(path, 2 * MIB));
    limit_files(3 * MIB / 2);
    must_fail(path, 0, DDEBUG_LOG_ERROR_LIMIT, "RLIMIT_FSIZE");
    must_fail(path, MIB, DDEBUG_LOG_ERROR_LIMIT, "RLIMIT_FSIZE");
    g_assert_cmpint(truncate(path, size), ==, 0);
    must_fail(path, 0, DDEBUG_LOG_ERROR_LIMIT, "RLIMIT_FSIZE");
    limit_files(RLIM_INFINITY);
    /* a file system has limits as well */
    allocate_error = EFBIG;
    must_fail(path, 0, DDEBUG_LOG_ERROR_LIMIT, "file system");
    allocate_error = 0;
    ddebug_log_close(must_open(path, 0));
    v = view(path);
    g_assert_cmpuint(check_numbers(v, &first, &last), ==, 60);
}

/*
 * Rule 9: a write that is cut short leaves bytes of a guest behind the next chunk.
 * Here they are a chunk of that place, which says that the guest's kernel panicked;
 * only the tag of the segment is not known.
 */
static void test_short_write(void)
{
    g_autofree char *path = tmp_path("short-write");
    DdebugLog *log = must_open(path, 4 * MIB);
    static uint8_t big[16384], small[64];
    struct ddebug_log_chunk *forged;
    struct ddebug_log_event *event;
    DdebugLogData d = { .epoch = 1, .subbuf_shift = 14, .pass = 1000 };
    g_autoptr(View) v = NULL;
    /* the event IO_LOST, and a small chunk */
    const size_t at = 128 + 32 + 128 + sizeof(small);
    uint64_t slot_off;
    Seg seg;

    attach(log);
    put_range(log, 0, 5);
    v = view(path);
    seg = g_array_index(v->segs, Seg, v->segs->len - 1);
    g_assert_cmpuint(seg.type, ==, DDEBUG_LOG_SEG_DATA);
    slot_off = 65536 + seg.slot * v->super.seg_size;

    forged = (void *)(big + at - 128);
    event = (void *)(forged + 1);
    *event = (struct ddebug_log_event) {
        .event = DDEBUG_LOG_EVENT_NOTICE, .arg = { 2 },
    };
    *forged = (struct ddebug_log_chunk) {
        .magic = DDEBUG_LOG_CHUNK_MAGIC, .type = DDEBUG_LOG_CHUNK_EVENT,
        .seg_seq = seg.seq, .off = seg.end + at, .len = sizeof(*event),
        .chunk_seq = 1000, .epoch = 1,
        .payload_crc = crc(event, sizeof(*event)),
    };
    forged->crc = crc(forged, 124);

    limit_files(slot_off + seg.end + 4096);
    g_assert_cmpint(ddebug_log_append_data(log, &d, big, sizeof(big)), ==,
                    -ENOSPC);
    limit_files(RLIM_INFINITY);
    g_assert_cmpint(ddebug_log_append_data(log, &d, small, sizeof(small)), ==,
                    0);
    ddebug_log_close(log);
    view_free(v);
    v = view(path);
    g_assert_cmpuint(g_array_index(v->segs, Seg, v->segs->len - 1).end, ==,
                     seg.end + at);
    view_check_rest(v);
    g_assert_cmpuint(event_at(v, 0).event, ==, DDEBUG_LOG_EVENT_IO_LOST);
}

/* A signal that interrupts an allocation sets it back by a step, no more. */
static void test_allocation_in_steps(void)
{
    g_autofree char *path = tmp_path("steps");

    allocated = allocated_at_once = 0;
    allocate_error = -1;
    ddebug_log_close(must_open(path, 300 * MIB));
    allocate_error = 0;
    g_assert_cmpuint(allocated, >, 299 * MIB);
    g_assert_cmpuint(allocated_at_once, ==, 256 * MIB);
    unlink(path);
}

/*
 * The two parts of opening: what can be known at once is refused by the first,
 * which allocates nothing.
 */
static void test_begin_and_finish(void)
{
    const DdebugLogInfo info = { .shm_size = MIB };
    g_autofree char *path = tmp_path("begin");
    g_autoptr(GError) error = NULL;
    g_autoptr(View) v = NULL;
    uint64_t first, last;
    struct stat st;
    DdebugShm *shm;
    DdebugLog *log;

    /* a new one, which is removed if it is given up */
    for (int finished = 0; finished < 2; finished++) {
        allocated = 0;
        log = ddebug_log_begin(path, 4 * MIB, &info, DDEBUG_LOG_OPEN_CREATE,
                               &error);
        g_assert_no_error(error);
        g_assert_cmpuint(allocated, ==, 0);
        g_assert_cmpuint(ddebug_log_planned_size(log), >, 3 * MIB);
        must_fail(path, MIB, DDEBUG_LOG_ERROR_BUSY, "in use");
        shm = ddebug_log_map_shm(log, &error);
        g_assert_no_error(error);
        ddebug_shm_unref(shm);
        if (finished) {
            g_assert_true(ddebug_log_finish(log, &error));
            g_assert_cmpuint(allocated, ==, ddebug_log_size(log));
            g_assert_cmpuint(allocated, ==, ddebug_log_planned_size(log));
        }
        ddebug_log_close(log);
        g_assert_cmpint(access(path, F_OK) == 0, ==, finished);
    }
    unlink(path);
    log = must_open(path, 4 * MIB);
    attach(log);
    put_range(log, 0, 50);
    ddebug_log_close(log);

    /* one that is there is as it was, and one that was cut short stays so */
    g_assert_cmpint(truncate(path, 3 * MIB), ==, 0);
    allocated = 0;
    log = ddebug_log_begin(path, 8 * MIB, NULL, 0, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(ddebug_log_planned_size(log), >, 7 * MIB);
    ddebug_log_close(log);
    g_assert_cmpuint(allocated, ==, 0);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_size, ==, 3 * MIB);
    log = ddebug_log_begin(path, 8 * MIB, NULL, 0, &error);
    g_assert_no_error(error);
    allocate_error = ENOSPC;
    g_assert_false(ddebug_log_finish(log, &error));
    g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SPACE);
    allocate_error = 0;
    ddebug_log_close(log);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_size, ==, 3 * MIB);
    ddebug_log_close(must_open(path, 0));
    v = view(path);
    g_assert_cmpuint(check_numbers(v, &first, &last), ==, 50);
}

/* Rule 9 */
static void test_io_error(void)
{
    g_autofree char *path = tmp_path("io-error");
    DdebugLog *log = must_open(path, 4 * MIB);
    uint64_t lost = 0, first, last;
    g_autoptr(View) v = NULL;
    struct ddebug_log_event e;

    attach(log);
    put_range(log, 0, 10);
    /* as the device's thread has it */
    signal(SIGXFSZ, SIG_IGN);
    limit_files(65536);
    for (uint64_t n = 10; n < 15; n++) {
        g_assert_cmpint(put(log, n), ==, -EFBIG);
        lost += number_len(n);
    }
    g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, -EFBIG);
    lost += 1;
    ddebug_log_append_lost(log, DDEBUG_LOG_LOSS_IO, 3, 300);
    lost += 300;
    g_assert_cmpuint(ddebug_log_lost(log, DDEBUG_LOG_LOSS_IO), ==, lost);
    limit_files(RLIM_INFINITY);
    g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, 0);
    g_assert_cmpint(put(log, 10), ==, 0);
    g_assert_cmpuint(ddebug_log_lost(log, DDEBUG_LOG_LOSS_IO), ==, lost);
    v = view(path);
    g_assert_cmpuint(check_numbers(v, &first, &last), ==, 11);
    e = event_at(v, 0);
    g_assert_cmpuint(e.event, ==, DDEBUG_LOG_EVENT_IO_LOST);
    g_assert_cmpuint(e.arg[0], ==, 5 + 1 + 3);
    g_assert_cmpuint(e.arg[1], ==, lost);
    ddebug_log_close(log);
}

/* Errors while segments are begun cost nothing but what is counted. */
static void test_io_error_at_segment(void)
{
    g_autofree char *path = tmp_path("io-error-seg");
    DdebugLog *log = must_open(path, MIB);
    g_autofree uint8_t *buf = g_malloc0(DDEBUG_LOG_PAYLOAD_MAX);
    DdebugLogData d = { .epoch = 1 };
    g_autoptr(View) v = NULL;
    uint64_t first, last;

    attach(log);
    put_range(log, 0, 400);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(65536);
    for (int i = 0; i < 30; i++) {
        g_assert_cmpint(ddebug_log_append_data(log, &d, buf,
                                               DDEBUG_LOG_PAYLOAD_MAX), <, 0);
    }
    limit_files(RLIM_INFINITY);
    put_range(log, 400, 500);
    v = view(path);
    /* no more went than the new ones needed room */
    g_assert_cmpuint(check_numbers(v, &first, &last) * 3200, >,
                     5 * 100 * 1024);
    g_assert_cmpuint(last, ==, 499);
    ddebug_log_close(log);
}

/*
 * The dictionary of an epoch that has ended goes while its cursor is open, since
 * the next epoch could not introduce itself: what is written then goes elsewhere.
 */
static void test_dict_goes_before_its_heir(void)
{
    g_autofree char *path = tmp_path("heir");
    DdebugLog *log = must_open(path, 4 * MIB);
    char intro[160] = "heir";
    g_autoptr(GError) error = NULL;
    g_autoptr(View) v = NULL;
    uint64_t first, last;

    attach(log);
    put_range(log, 0, 50);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(65536);
    g_assert_cmpint(ddebug_log_append_attach(log, intro, sizeof(intro)), <, 0);
    limit_files(RLIM_INFINITY);
    g_assert_true(ddebug_log_clear(log, &error));
    g_assert_true(ddebug_log_resize(log, 2 * MIB, &error));
    g_assert_no_error(error);
    attach(log);
    put_range(log, 50, 60);
    v = view(path);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_ATTACH), ==, 1);
    g_assert_cmpuint(check_numbers(v, &first, &last), ==, 10);
    ddebug_log_close(log);
}

static void test_cut_short(void)
{
    g_autofree char *path = tmp_path("cut");
    const uint64_t whole = 65536 + 15 * 131072;

    for (uint64_t len = 8192; len < whole; len += 77777) {
        g_autoptr(View) v = NULL, later = NULL;
        DdebugLog *log;
        uint64_t first = 0, last;

        unlink(path);
        log = must_open(path, 2 * MIB);
        attach(log);
        put_range(log, 0, 300);
        ddebug_log_close(log);
        g_assert_cmpint(truncate(path, len), ==, 0);
        log = must_open(path, 2 * MIB);
        v = view_load(path, false);
        g_assert_cmpuint(v->len, ==, whole);
        if (check_numbers(v, &first, &last)) {
            g_assert_cmpuint(first, ==, 0);
            g_assert_cmpuint(last, >=, len > 65536 + 2 * 131072 ?
                             (len - 65536 - 2 * 131072) / 6200 : 0);
        }
        attach(log);
        put_range(log, 1000, 1010);
        later = view_load(path, false);
        g_assert_cmpuint(later->len, ==, whole);
        g_assert_cmpuint(count(later, DDEBUG_LOG_CHUNK_DATA), ==,
                         count(v, DDEBUG_LOG_CHUNK_DATA) + 10);
        ddebug_log_close(log);
    }
    /* one superblock is cut, the other is gone */
    g_assert_cmpint(truncate(path, 4000), ==, 0);
    must_fail(path, 2 * MIB, DDEBUG_LOG_ERROR_DAMAGED, "damaged");
}

/* A longer file: whoever was shrinking it died before the cut. */
static void test_too_long(void)
{
    g_autofree char *path = tmp_path("long");

    ddebug_log_close(must_open(path, 2 * MIB));
    g_assert_cmpint(truncate(path, 3 * MIB), ==, 0);
    ddebug_log_close(must_open(path, 2 * MIB));
    view_free(view(path));
}

static void test_cut_while_open(void)
{
    g_autofree char *path = tmp_path("check");
    DdebugLog *log = must_open(path, 2 * MIB);
    g_autoptr(GError) error = NULL;
    g_autoptr(View) v = NULL;
    uint64_t first, last;

    attach(log);
    put_range(log, 0, 300);
    g_assert_true(ddebug_log_check(log, NULL));
    g_assert_cmpint(truncate(path, 500000), ==, 0);
    g_assert_false(ddebug_log_check(log, &error));
    g_assert_nonnull(strstr(error->message, "cut short"));
    g_assert_true(ddebug_log_check(log, NULL));
    g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, 0);
    put_range(log, 300, 310);
    v = view_load(path, false);
    g_assert_cmpuint(v->len, ==, v->super.size);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_DATA), >, 10 + 50);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_DICT), ==, 1);

    g_assert_cmpint(truncate(path, 0), ==, 0);
    g_assert_false(ddebug_log_check(log, NULL));
    put_range(log, 310, 320);
    {
        g_autoptr(View) w = view_load(path, false);

        g_assert_cmpuint(w->len, ==, w->super.size);
        g_assert_cmpuint(check_numbers(w, &first, &last), ==, 10);
    }

    ddebug_log_close(log);
}

/* mode=drop: the oldest are kept, it is said at once, and it goes on when there is room. */
static void test_drop(void)
{
    g_autofree char *path = tmp_path("drop");
    DdebugLog *log = must_open(path, MIB);
    uint64_t first, last, kept = 0, n = 0;
    struct ddebug_log_event e;

    ddebug_log_set_mode(log, DDEBUG_LOG_DROP);
    attach(log);
    while (put(log, n) == 0) {
        n++;
    }
    g_assert_cmpint(put(log, n), ==, -EXFULL);
    kept = n;
    /* small ones do not slip in either */
    for (uint64_t i = 1; i < 100; i++) {
        g_assert_cmpint(put(log, n + i), ==, -EXFULL);
    }
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(check_numbers(v, &first, &last), ==, kept);
        g_assert_cmpuint(first, ==, 0);
        e = event_at(v, 0);
        g_assert_cmpuint(e.event, ==, DDEBUG_LOG_EVENT_FULL_LOST);
        g_assert_cmpuint(e.arg[0], ==, 1);
        g_assert_cmpuint(e.arg[1], ==, number_len(kept));
    }
    /* a driver that comes now is taken down, and so are its callsites and events */
    attach(log);
    g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, 0);
    g_assert_cmpint(ddebug_log_append_event(log, DDEBUG_LOG_EVENT_STOP, 0, 0, 0), ==, 0);
    g_assert_cmpint(ddebug_log_append_event(log, DDEBUG_LOG_EVENT_CLOSE, 0, 0, 0), ==, 0);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(check_numbers(v, &first, &last), ==, kept);
        g_assert_cmpuint(event_at(v, 0).event, ==, DDEBUG_LOG_EVENT_CLOSE);
        e = event_at(v, 1);
        g_assert_cmpuint(e.event, ==, DDEBUG_LOG_EVENT_FULL_LOST);
        g_assert_cmpuint(e.arg[0], ==, 100);
        g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_ATTACH), ==, 2);
    }
    g_assert_true(ddebug_log_resize(log, 2 * MIB, NULL));
    g_assert_cmpint(put(log, kept), ==, 0);
    g_assert_true(ddebug_log_clear(log, NULL));
    put_range(log, kept + 1, kept + 11);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(check_numbers(v, &first, &last), ==, 10);
    }
    ddebug_log_close(log);
}

/* Where not even an introduction finds room, it comes before the first data that do. */
static void test_drop_introduction(void)
{
    g_autofree char *path = tmp_path("introduction");
    DdebugLog *log = must_open(path, MIB);
    uint64_t first, last;

    ddebug_log_set_mode(log, DDEBUG_LOG_DROP);
    attach(log);
    for (uint64_t n = 0; put(log, n) == 0; n++) {
        continue;
    }
    ddebug_log_close(log);
    log = must_open(path, 0);
    ddebug_log_set_mode(log, DDEBUG_LOG_DROP);
    /* an event for which there is no room either keeps nothing from being tried */
    ddebug_log_append_lost(log, DDEBUG_LOG_LOSS_RATE, 2, 77);
    attach(log);
    g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, -EXFULL);
    g_assert_cmpint(put(log, 1000), ==, -EXFULL);
    g_assert_true(ddebug_log_clear(log, NULL));
    put_range(log, 1000, 1010);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(check_numbers(v, &first, &last), ==, 10);
        g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_ATTACH), ==, 2);
        for (guint i = 0, n = 0; i < v->chunks->len; i++) {
            Chunk *c = &g_array_index(v->chunks, Chunk, i);

            if (c->h.type == DDEBUG_LOG_CHUNK_ATTACH) {
                g_assert_cmpuint(c->h.len, ==, 160);
                g_assert_cmpint(c->payload[0], ==, 'a' + n);
                g_assert_cmpint(c->payload[159], ==, 'a' + n++);
            }
        }
    }
    ddebug_log_close(log);
}

/* Both superblocks name the VM and the program. */
static void test_names(void)
{
    g_autofree char *path = tmp_path("names");
    g_autofree char *bytes = NULL;
    DdebugLog *log = must_open(path, MIB);
    DdebugSuper super;
    gsize len;
    int copy;

    attach(log);
    g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
    g_assert_cmpint(ddebug_log_choose_super(bytes, DDEBUG_LOG_SUPERS_SIZE, &super, &copy), ==,
                    DDEBUG_SUPER_GOOD);
    g_assert_cmpstr((char *)super.vm_name, ==, "vm");
    g_assert_cmpmem(super.vm_uuid, 16, "0123456789abcde", 16);
    g_assert_cmpstr((char *)super.writer, ==, "test 1.0");
    g_assert_cmpuint(super.writer_pid, ==, getpid());
    /* of a random UUID, version 4 */
    g_assert_cmpuint(super.uuid[6] >> 4, ==, 4);
    g_assert_cmpuint(super.uuid[8] >> 6, ==, 2);
    ddebug_log_close(log);
}

/* Two of magic, segment and place are enough to be the remains of a chunk; a sealed header is none. */
static void test_remains(void)
{
    const struct ddebug_log_chunk whole = {
        .magic = GUINT32_TO_LE(DDEBUG_LOG_CHUNK_MAGIC), .seg_seq = GUINT64_TO_LE(7), .off = GUINT32_TO_LE(128),
    };
    struct ddebug_log_chunk c = whole;

    g_assert_true(ddebug_log_are_remains(&c, 7, 128));
    g_assert_true(ddebug_log_are_remains(&c, 8, 128));
    g_assert_true(ddebug_log_are_remains(&c, 7, 136));
    g_assert_false(ddebug_log_are_remains(&c, 8, 136));
    c.magic++;
    g_assert_true(ddebug_log_are_remains(&c, 7, 128));
    g_assert_false(ddebug_log_are_remains(&c, 8, 128));
    g_assert_false(ddebug_log_are_remains(&c, 7, 136));
    c = whole;
    ddebug_log_seal(&c, sizeof(c));
    g_assert_false(ddebug_log_are_remains(&c, 7, 128));
}

/*
 * One that is so slow that the time which a test takes adds nothing: what is
 * written before data have to wait is one burst, and what the last chunk took.
 */
static void test_rate(void)
{
    g_autofree char *path = tmp_path("rate");
    DdebugLog *log = must_open(path, 4 * MIB);
    const uint64_t segment = 128 << 10, per_segment = segment / 30128;
    g_autofree uint8_t *buf = g_malloc0(DDEBUG_LOG_PAYLOAD_MAX);
    DdebugLogData d = { .epoch = 1 };
    uint64_t chunks = 0, credit = 0, lost = 0;
    int wait;

    attach(log);
    g_assert_cmpint(ddebug_log_rate_wait(log), ==, 0);
    ddebug_log_set_rate(log, 1);
    while (ddebug_log_rate_wait(log) == 0) {
        g_assert_cmpint(ddebug_log_append_data(log, &d, buf, 30000), ==, 0);
        chunks++;
    }
    /* a segment is zeroed before it is used: half a burst, and the first one */
    g_assert_cmpuint(chunks, ==, 2 * per_segment - 3);
    /* half a burst, and what was taken too much, a byte a second */
    wait = ddebug_log_rate_wait(log);
    g_assert_cmpint(wait, >=, (int)DDEBUG_LOG_BURST_MIN / 2 * 1000 - 60000);
    /* what cannot wait is written on credit, zeros not counted, and given up beyond it */
    while (ddebug_log_append_data(log, &d, buf, 30000) == 0) {
        credit += 30128;
    }
    lost = 30000;
    g_assert_cmpuint(credit, >, DDEBUG_LOG_DEBT_MAX - 2 * 30128);
    g_assert_cmpuint(credit, <, DDEBUG_LOG_DEBT_MAX + segment + 2 * 30128);
    g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, -EXFULL);
    g_assert_cmpint(ddebug_log_append_event(log, DDEBUG_LOG_EVENT_STOP, 0, 0, 0), ==, -EXFULL);
    g_assert_cmpuint(ddebug_log_lost(log, DDEBUG_LOG_LOSS_RATE), ==, lost);
    ddebug_log_append_lost(log, DDEBUG_LOG_LOSS_RATE, 2, 77);
    ddebug_log_set_rate(log, 0);
    g_assert_cmpint(ddebug_log_append_data(log, &d, buf, 100), ==, 0);
    {
        g_autoptr(View) v = view(path);
        struct ddebug_log_event e = event_at(v, 0);

        g_assert_cmpuint(e.event, ==, DDEBUG_LOG_EVENT_RATE_LOST);
        g_assert_cmpuint(e.arg[0], ==, 3);
        g_assert_cmpuint(e.arg[1], ==, lost + 77);
    }
    /* the greatest rate does not overflow */
    ddebug_log_set_rate(log, DDEBUG_LOG_RATE_MAX);
    g_assert_cmpint(ddebug_log_rate_wait(log), ==, 0);
    ddebug_log_close(log);
}

/* Bytes that data have to wait for, a byte a second, apart from half a burst. */
static int64_t debt(DdebugLog *log)
{
    return ((int64_t)ddebug_log_rate_wait(log) + 999) / 1000 -
           (int64_t)DDEBUG_LOG_BURST_MIN / 2;
}

/*
 * Data wait for what resizes write: zeros where the file system does not
 * allocate by itself, and segments that move.  Events do not.
 */
static void test_rate_resize(void)
{
    g_autofree char *path = tmp_path("rate-resize");
    DdebugLog *log = must_open(path, 2 * MIB);
    int64_t grown;

    attach(log);
    ddebug_log_set_rate(log, 1);
    g_assert_true(ddebug_log_resize(log, 4 * MIB, NULL));
    g_assert_cmpint(ddebug_log_rate_wait(log), ==, 0);
    allocate_error = EOPNOTSUPP;
    g_assert_true(ddebug_log_resize(log, 5 * MIB, NULL));
    allocate_error = 0;
    grown = debt(log);
    g_assert_cmpint(grown, >, (int64_t)(MIB - DDEBUG_LOG_BURST_MIN));
    g_assert_cmpint(grown, <, (int64_t)(MIB + DDEBUG_LOG_BURST_MIN));
    g_assert_cmpint(ddebug_log_append_dict(log, "d", 1), ==, 0);
    g_assert_cmpint(ddebug_log_append_event(log, DDEBUG_LOG_EVENT_STOP, 0, 0, 0), ==, 0);
    g_assert_cmpuint(ddebug_log_lost(log, DDEBUG_LOG_LOSS_RATE), ==, 0);

    /* all of it used, so that the newest segments lie at its end */
    ddebug_log_set_rate(log, 0);
    for (uint64_t n = 0; n < 3000; n++) {
        g_assert_cmpint(put(log, n), ==, 0);
    }
    ddebug_log_set_rate(log, 1);
    g_assert_true(ddebug_log_resize(log, 3 * MIB, NULL));
    g_assert_cmpint(debt(log), >, 0);
    ddebug_log_close(log);
}

/* To the byte: what was charged, and what has come back since. */
static void test_rate_exact(void)
{
    g_autofree char *path = tmp_path("rate-exact");
    /* a segment: its zeros, its header, and the event with which it begins */
    const int64_t cleared = (128 << 10) + 64 + 128 + 32;
    const int64_t owed = DDEBUG_LOG_BURST_MIN / 2 - (DDEBUG_LOG_BURST_MIN - 3 * cleared);
    DdebugLog *log = must_open(path, MIB);
    int64_t before, begun, asked;
    int first, last;

    attach(log);
    ddebug_log_set_rate(log, 1);
    for (int i = 0; i < 3; i++) {
        g_assert_true(ddebug_log_clear(log, NULL));
    }
    first = ddebug_log_rate_wait(log);
    /* whole seconds may have passed */
    g_assert_cmpint(first % 1000, ==, 1);
    g_assert_cmpint(first, <=, owed * 1000 + 1);
    g_assert_cmpint(first, >, owed * 1000 - 60000);

    /* a byte a millisecond, asked for more often than that */
    before = g_get_monotonic_time();
    ddebug_log_set_rate(log, 1000);
    for (int i = 0; i < 3; i++) {
        g_assert_true(ddebug_log_clear(log, NULL));
    }
    first = ddebug_log_rate_wait(log);
    begun = g_get_monotonic_time();
    do {
        asked = g_get_monotonic_time();
        last = ddebug_log_rate_wait(log);
    } while (asked < begun + 50000);
    g_assert_cmpint(first - last, >=, 49);
    g_assert_cmpint(first - last, <=, (g_get_monotonic_time() - before) / 1000 + 1);
    ddebug_log_close(log);
}

/* A file that was created for nothing is gone, whatever its descriptor. */
static void test_created_as_descriptor_0(void)
{
    g_autofree char *path = tmp_path("descriptor-0");
    const DdebugLogInfo info = { .shm_size = MIB };
    const int stdin_fd = dup(0);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(stdin_fd, >, 0);
    close(0);
    g_assert_null(ddebug_log_open(path, MIB, &info, DDEBUG_LOG_OPEN_CREATE, &error));
    g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SIZE);
    /* it had that one */
    g_assert_cmpint(open("/dev/null", O_RDONLY), ==, 0);
    g_assert_cmpint(dup2(stdin_fd, 0), ==, 0);
    close(stdin_fd);
    g_assert_cmpint(access(path, F_OK), ==, -1);
    g_assert_cmpint(errno, ==, ENOENT);
}

static void test_access(void)
{
    g_autofree char *path = tmp_path("access");
    const gid_t group = geteuid() == 0 ? 4 : getegid();
    DdebugLogInfo info = { .writer = "test", .file_mode = 0640, .file_group = &group };
    g_autoptr(GError) error = NULL;
    struct stat st;

    for (int i = 0; i < 2; i++) {
        DdebugLog *log = ddebug_log_open(path, MIB, &info, DDEBUG_LOG_OPEN_CREATE, &error);

        g_assert_no_error(error);
        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 07777, ==, info.file_mode);
        g_assert_cmpuint(st.st_gid, ==, group);
        ddebug_log_close(log);
        info.file_mode = 0660;
    }
    /* each bit counts */
    info.file_mode = 0600;
    for (int bit = 0; bit < 12; bit++) {
        if (geteuid() != 0 && 1 << bit & 0600) {
            continue;
        }
        g_assert_cmpint(chmod(path, 0600 ^ 1 << bit), ==, 0);
        ddebug_log_close(ddebug_log_open(path, 0, &info, 0, &error));
        g_assert_no_error(error);
        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
    }
    g_assert_cmpint(chmod(path, 0660), ==, 0);
    info.file_mode = 0660;
    /* who says nothing about it leaves it as it is */
    ddebug_log_close(must_open(path, 0));
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0660);
    /* and what is not a log is not given to anybody */
    g_assert_true(g_file_set_contents(path, "text", 4, NULL));
    g_assert_cmpint(chmod(path, 0600), ==, 0);
    g_assert_null(ddebug_log_open(path, MIB, &info, DDEBUG_LOG_OPEN_CREATE, &error));
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
}

static void test_other_owner(void)
{
    g_autofree char *path = tmp_path("owner");
    g_autoptr(GError) error = NULL;

    if (geteuid() != 0) {
        g_test_skip("giving a file to another user takes root");
        return;
    }
    ddebug_log_close(must_open(path, MIB));
    g_assert_cmpint(chown(path, 65534, 65534), ==, 0);
    g_assert_null(ddebug_log_open(path, 0, NULL, DDEBUG_LOG_OPEN_OWNED, &error));
    g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_OWNER);
    /* the tool, run by root, may */
    ddebug_log_close(must_open(path, 0));
}

/* A removed file is begun anew, once its name is free, with the dictionary and the numbers. */
static void test_begun_anew(void)
{
    g_autofree char *path = tmp_path("anew");
    DdebugLog *log = must_open(path, 2 * MIB);
    g_autoptr(GError) error = NULL;
    uint64_t first, last, chunk_seq;

    attach(log);
    attach(log);
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(ddebug_log_append_dict(log, "entry", 5), ==, 0);
    }
    put_range(log, 0, 30);
    {
        g_autoptr(View) v = view(path);

        chunk_seq = g_array_index(v->chunks, Chunk, v->chunks->len - 1).h.chunk_seq;
    }
    g_assert_cmpint(chmod(path, 0640), ==, 0);
    unlink(path);
    g_assert_true(g_file_set_contents(path, "text", 4, NULL));
    g_assert_false(ddebug_log_check(log, &error));
    g_assert_nonnull(strstr(error->message, "replaced"));
    g_assert_true(ddebug_log_check(log, NULL));     /* said once */
    put_range(log, 30, 40);
    unlink(path);
    g_clear_error(&error);
    g_assert_false(ddebug_log_check(log, &error));
    g_assert_nonnull(strstr(error->message, "a new log was created"));
    g_assert_true(ddebug_log_check(log, NULL));
    put_range(log, 40, 60);
    {
        g_autoptr(View) v = view(path);
        struct stat st;

        g_assert_cmpuint(check_numbers(v, &first, &last), ==, 20);
        g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_ATTACH), ==, 1);
        g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_DICT), ==, 3);
        g_assert_cmpuint(g_array_index(v->chunks, Chunk, 0).h.epoch, ==, 2);
        g_assert_cmpuint(g_array_index(v->chunks, Chunk, 0).h.chunk_seq, >, chunk_seq);
        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 07777, ==, 0640);
    }
    /* it is locked as the other was */
    must_fail(path, 0, DDEBUG_LOG_ERROR_BUSY, "in use");
    ddebug_log_close(log);
}

/* The new log of a size has larger segments than the old one, which came to that size. */
static void test_begun_anew_larger(void)
{
    g_autofree char *path = tmp_path("anew-larger");
    DdebugLog *log = must_open(path, 2 * MIB);
    const unsigned entries = 3000;
    g_autoptr(GError) error = NULL;

    attach(log);
    for (unsigned i = 0; i < entries; i++) {
        g_assert_cmpint(ddebug_log_append_dict(log, "entry", 5), ==, 0);
    }
    g_assert_true(ddebug_log_resize(log, 64 * MIB, NULL));
    unlink(path);
    g_assert_false(ddebug_log_check(log, &error));
    g_assert_nonnull(strstr(error->message, "a new log was created"));
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_ATTACH), ==, 1);
        g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_DICT), ==, entries);
    }
    ddebug_log_close(log);
}

/* ---- files that were passed ---- */

/* The descriptor passed as "/passed/1"; -1: none. */
static int passed = -1;
/* Those that were lent and not yet given back. */
static int lent;

static bool is_passed(const char *path)
{
    return g_str_has_prefix(path, "/passed/");
}

static int open_passed(const char *path, int flags)
{
    int fd;

    g_assert_cmpint(flags & O_ACCMODE, ==, O_RDWR);
    if (passed < 0 || strcmp(path, "/passed/1")) {
        errno = ENOENT;
        return -1;
    }
    if ((fcntl(passed, F_GETFL) & O_ACCMODE) != O_RDWR) {
        errno = EACCES;
        return -1;
    }
    fd = fcntl(passed, F_DUPFD_CLOEXEC, 0);
    g_assert_cmpint(fd, >=, 0);
    lent++;
    return fd;
}

static void close_passed(int fd)
{
    g_assert_cmpint(close(fd), ==, 0);
    lent--;
}

static const DdebugLogOpener opener = { is_passed, open_passed, close_passed };
static const DdebugLogInfo info_passed = { .opener = &opener };

static DdebugLog *must_open_passed(uint64_t size)
{
    g_autoptr(GError) error = NULL;
    DdebugLog *log = ddebug_log_open("/passed/1", size, &info_passed,
                                     DDEBUG_LOG_OPEN_OWNED, &error);

    g_assert_no_error(error);
    return log;
}

static void must_fail_passed(int fd, int code, const char *words)
{
    g_autoptr(GError) error = NULL;

    passed = fd;
    g_assert_null(ddebug_log_open("/passed/1", MIB, &info_passed, 0, &error));
    g_assert_error(error, DDEBUG_LOG_ERROR, code);
    if (!strstr(error->message, words) || !strstr(error->message, "/passed/1")) {
        g_error("'%s' does not say '%s' or the name", error->message, words);
    }
    g_assert_cmpint(lent, ==, 0);
}

static int pass(const char *path, int flags)
{
    passed = open(path, flags | O_CLOEXEC | O_CREAT, 0600);
    g_assert_cmpint(passed, >=, 0);
    return passed;
}

static void test_passed(void)
{
    g_autofree char *path = tmp_path("passed"), *other = tmp_path("other");
    g_autoptr(GError) error = NULL;
    int fds[2], fd = pass(path, O_RDWR | O_APPEND);
    DdebugLog *log = must_open_passed(MIB);
    DdebugLogRequest q;
    uint64_t first, last;

    /* opened anew, so that it is locked on its own account, and O_APPEND is not in the way */
    g_assert_cmpint(lent, ==, 0);
    attach(log);
    put_range(log, 0, 20);
    must_fail(path, 0, DDEBUG_LOG_ERROR_BUSY, "in use");
    must_fail_passed(fd, DDEBUG_LOG_ERROR_BUSY, "in use");
    request(path, DDEBUG_LOG_REQUEST_CLEAR, 1, 0, 0);
    g_assert_true(ddebug_log_poll_request(log, &q));
    ddebug_log_serve_request(log, &q);
    g_assert_cmpuint(reply_of(path).error, ==, 0);
    put_range(log, 0, 20);
    ddebug_log_close(log);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(check_numbers(v, &first, &last), ==, 20);
    }
    log = must_open_passed(0);
    attach(log);
    put_range(log, 20, 30);

    /* removed: it goes on in an empty file that is passed, and in no other */
    unlink(path);
    g_assert_false(ddebug_log_check(log, &error));
    g_assert_nonnull(strstr(error->message, "'/passed/1' was removed; messages are lost until"));
    g_assert_nonnull(strstr(error->message, "pass one of another file"));
    g_assert_true(ddebug_log_check(log, NULL));     /* said once */
    close(fd);
    ddebug_log_close(must_open(other, MIB));
    fd = pass(other, O_RDWR);
    g_assert_true(ddebug_log_check(log, NULL));
    put_range(log, 30, 35);
    {
        g_autoptr(View) v = view(other);

        g_assert_cmpuint(check_numbers(v, &first, &last), ==, 0);
    }
    g_assert_cmpint(ftruncate(fd, 0), ==, 0);
    g_clear_error(&error);
    g_assert_false(ddebug_log_check(log, &error));
    g_assert_nonnull(strstr(error->message, "a new log was created"));
    put_range(log, 35, 40);
    ddebug_log_close(log);
    {
        g_autoptr(View) v = view(other);

        g_assert_cmpuint(check_numbers(v, &first, &last), ==, 5);
        g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_ATTACH), ==, 1);
    }
    close(fd);

    /* what cannot be a log */
    must_fail_passed(-1, DDEBUG_LOG_ERROR_NOT_FOUND, "pass a file descriptor");
    fd = pass(other, O_RDONLY);
    must_fail_passed(fd, DDEBUG_LOG_ERROR_PERMISSION, "reading and writing");
    close(fd);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    must_fail_passed(fds[0], DDEBUG_LOG_ERROR_NOT_A_FILE, "a socket");
    close(fds[0]);
    close(fds[1]);
    fd = pass(other, O_RDWR);
    unlink(other);
    must_fail_passed(fd, DDEBUG_LOG_ERROR_NOT_FOUND, "was removed");
    close(fd);
}

/* Where a file cannot be opened anew, the descriptor is used as it is. */
static void test_passed_by_another_user(void)
{
    g_autofree char *path = tmp_path("lent");
    uint64_t first, last;
    DdebugLog *log;
    int fd;

    if (geteuid() != 0) {
        g_test_skip("needs root");
        return;
    }
    fd = pass(path, O_RDWR);
    g_assert_cmpint(seteuid(65534), ==, 0);
    log = must_open_passed(MIB);
    g_assert_cmpint(lent, ==, 1);
    attach(log);
    put_range(log, 0, 20);
    /* one lock for all who have the description, so ours are told apart */
    {
        g_autoptr(GError) error = NULL;

        g_assert_null(ddebug_log_open("/passed/1", 0, &info_passed, 0, &error));
        g_assert_error(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_BUSY);
        g_assert_cmpint(lent, ==, 1);
    }
    g_assert_cmpint(seteuid(0), ==, 0);
    must_fail(path, 0, DDEBUG_LOG_ERROR_BUSY, "in use");
    ddebug_log_close(log);
    g_assert_cmpint(lent, ==, 0);
    ddebug_log_close(must_open(path, 0));
    g_assert_cmpint(seteuid(65534), ==, 0);
    ddebug_log_close(must_open_passed(0));
    g_assert_cmpint(fcntl(fd, F_SETFL, O_APPEND), ==, 0);
    must_fail_passed(fd, DDEBUG_LOG_ERROR_PERMISSION, "O_APPEND");
    g_assert_cmpint(seteuid(0), ==, 0);
    close(fd);
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(check_numbers(v, &first, &last), ==, 20);
    }
}

/* A segment that is there twice counts once, and once only is left. */
/* Where nothing is overwritten, clearing frees the slots of unknown types, too. */
static void test_clear_of_unknown_types(void)
{
    g_autofree char *path = tmp_path("clear-unknown");
    DdebugLog *log = must_open(path, MIB);
    uint64_t n = 0, kept = 0;
    int fd;

    ddebug_log_set_mode(log, DDEBUG_LOG_DROP);
    attach(log);
    while (put(log, n) == 0) {
        n++;
    }
    ddebug_log_close(log);
    fd = open(path, O_RDWR);
    for (int slot = 0; slot < 7; slot++) {
        const off_t at = DDEBUG_LOG_SEGS_OFF + slot * 131072;
        struct ddebug_log_seg seg;

        g_assert_cmpint(pread(fd, &seg, sizeof(seg), at), ==, sizeof(seg));
        if (GUINT32_FROM_LE(seg.type) == DDEBUG_LOG_SEG_DATA) {
            seg.type = GUINT32_TO_LE(9);
            seg.crc = GUINT32_TO_LE(crc(&seg, sizeof(seg) - 4));
            g_assert_cmpint(pwrite(fd, &seg, sizeof(seg), at), ==, sizeof(seg));
        }
    }
    close(fd);
    log = must_open(path, 0);
    ddebug_log_set_mode(log, DDEBUG_LOG_DROP);
    g_assert_cmpint(put(log, 0), ==, -EXFULL);
    for (int i = 0; i < 2; i++) {
        g_assert_true(ddebug_log_clear(log, NULL));
        /* the slots are as unused for the next writer */
        ddebug_log_close(log);
        log = must_open(path, 0);
        ddebug_log_set_mode(log, DDEBUG_LOG_DROP);
        for (kept = 0; put(log, kept) == 0; kept++) {
        }
        g_assert_cmpuint(kept, >=, n / 2);
    }
    ddebug_log_close(log);
}

static void test_segment_twice(void)
{
    g_autofree char *path = tmp_path("twice");
    DdebugLog *log = must_open(path, 2 * MIB);
    g_autofree uint8_t *seg = g_malloc(131072);
    uint64_t first, last;
    int fd;

    attach(log);
    put_range(log, 0, 100);
    ddebug_log_close(log);
    fd = open(path, O_RDWR);
    for (int slot = 8; slot < 12; slot++) {
        g_assert_cmpint(pread(fd, seg, 131072, 65536), ==, 131072);
        g_assert_cmpint(pwrite(fd, seg, 131072, 65536 + slot * 131072), ==,
                        131072);
    }
    close(fd);
    {
        g_autoptr(View) v = view_load(path, true);

        g_assert_cmpuint(v->twice, ==, 4);
    }
    ddebug_log_close(must_open(path, 2 * MIB));
    {
        g_autoptr(View) v = view(path);

        g_assert_cmpuint(check_numbers(v, &first, &last), ==, 100);
    }
}

static bool is_begun(const char *path, uint64_t slot)
{
    struct ddebug_log_seg seg;
    const int fd = open(path, O_RDONLY);

    g_assert_cmpint(pread(fd, &seg, sizeof(seg), 65536 + slot * 131072), ==, sizeof(seg));
    close(fd);
    return seg.magic == DDEBUG_LOG_SEG_MAGIC;
}

/* Copies are those of one type, whatever else has their number. */
static void test_segment_twice_and_another_type(void)
{
    g_autofree char *path = tmp_path("twice-and-another");
    DdebugLog *log = must_open(path, 2 * MIB);
    struct ddebug_log_seg seg;
    int fd;

    put_range(log, 0, 10);
    ddebug_log_close(log);
    fd = open(path, O_RDWR);
    g_assert_cmpint(pread(fd, &seg, sizeof(seg), 65536), ==, sizeof(seg));
    g_assert_cmpuint(seg.type, ==, DDEBUG_LOG_SEG_DATA);
    for (int slot = 8; slot < 12; slot += 2) {
        g_assert_cmpint(pwrite(fd, &seg, sizeof(seg), 65536 + slot * 131072), ==, sizeof(seg));
    }
    seg.type = DDEBUG_LOG_SEG_DICT;
    seg.crc = crc(&seg, sizeof(seg) - 4);
    g_assert_cmpint(pwrite(fd, &seg, sizeof(seg), 65536 + 9 * 131072), ==, sizeof(seg));
    close(fd);
    ddebug_log_close(must_open(path, 0));
    g_assert_true(is_begun(path, 0));
    g_assert_false(is_begun(path, 8));
    g_assert_true(is_begun(path, 9));
    g_assert_false(is_begun(path, 10));
}

/* SIGKILL */

typedef struct Progress {
    volatile uint64_t written;      /* numbers below are on disk */
    volatile uint64_t resizes;
} Progress;

static void victim(const char *path, Progress *p, uint32_t seed)
{
    DdebugLog *log = must_open(path, 0);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    uint64_t n = p->written;

    for (;;) {
        attach(log);
        for (int i = 0; i < 3; i++) {
            for (int k = 0; k < 100; k++) {
                g_assert_cmpint(put(log, n), ==, 0);
                p->written = ++n;
            }
            g_assert_true(ddebug_log_resize(log, MIB + g_rand_int(rand) %
                                            (5 * MIB), NULL));
            p->resizes++;
        }
    }
}

static void test_kill(void)
{
    g_autofree char *path = tmp_path("kill");
    Progress *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const int rounds = g_test_quick() ? 60 : 2000;

    g_assert_true(p != MAP_FAILED);
    ddebug_log_close(must_open(path, 2 * MIB));
    for (int round = 0; round < rounds; round++) {
        uint64_t first, last = 0, resizes = p->resizes;
        uint32_t seed = g_test_rand_int();
        g_autoptr(View) v = NULL;
        pid_t pid = fork();
        int status;

        if (pid == 0) {
            victim(path, p, seed);
        }
        /* at least one resize, so that the kill may hit one of the next */
        while (p->resizes == resizes) {
            g_assert_cmpint(waitpid(pid, &status, WNOHANG), ==, 0);
            g_usleep(100);
        }
        g_usleep(seed % 20000);
        kill(pid, SIGKILL);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        v = view_load(path, true);
        g_assert_cmpuint(check_numbers(v, &first, &last), >, 0);
        /* all that was said to be written; perhaps the one in flight too */
        g_assert_cmpuint(last + 1, >=, p->written);
        g_assert_cmpuint(last, <=, p->written);
        p->written = last + 1;
        ddebug_log_close(must_open(path, 0));
        {
            g_autoptr(View) again = view(path);
            uint64_t n = check_numbers(v, &first, &last);

            g_assert_cmpuint(check_numbers(again, &first, &last), ==, n);
        }
    }
    munmap(p, 4096);
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
    tmp_dir = g_dir_make_tmp("ddebug-log-XXXXXX", NULL);
    g_assert_nonnull(tmp_dir);
#define TEST(path, fn) g_test_add_func("/log-writer/" path, fn)
    TEST("crc", test_crc);
    TEST("format", test_format);
    TEST("uuid", test_uuid);
    TEST("names-its-file", test_names_its_file);
    TEST("format/empty-file", test_empty_file_is_formatted);
    TEST("append", test_append);
    TEST("append/largest-chunk", test_largest_chunk);
    TEST("begin-and-finish", test_begin_and_finish);
    TEST("allocation-in-steps", test_allocation_in_steps);
    TEST("passed", test_passed);
    TEST("passed/by-another-user", test_passed_by_another_user);
    TEST("wrap", test_wrap);
    TEST("reopen", test_reopen);
    TEST("reopen/bare-segments", test_reopen_after_bare_segments);
    TEST("dict/life", test_dict_life);
    TEST("dict/many-short-boots", test_many_short_boots);
    TEST("dict/many-epochs", test_many_epochs);
    TEST("dict/last-epoch", test_last_epoch);
    TEST("dict/full", test_dict_full);
    TEST("dict/goes-before-its-heir", test_dict_goes_before_its_heir);
    TEST("resize", test_resize);
    TEST("resize/random", test_resize_at_random);
    TEST("resize/refused", test_resize_refused);
    TEST("clear", test_clear);
    TEST("clear/unknown-types", test_clear_of_unknown_types);
    TEST("freeze", test_freeze);
    TEST("freeze/goes-on", test_freeze_goes_on);
    TEST("freeze/full", test_freeze_full);
    TEST("freeze/bad-range", test_freeze_bad_range);
    TEST("freeze/thawed-epoch", test_freeze_thawed_epoch);
    TEST("freeze/dict", test_freeze_dict);
    TEST("freeze/dict-full", test_freeze_dict_full);
    TEST("requests", test_requests);
    TEST("state", test_state);
    TEST("bad/not-a-file", test_not_a_file);
    TEST("bad/no-permission", test_no_permission);
    TEST("bad/other-format", test_other_format);
    TEST("bad/other-version", test_other_version);
    TEST("bad/other-version-of-a-copy", test_other_version_of_a_copy);
    TEST("bad/unknown-incompat-in-younger-copy",
         test_unknown_incompat_in_younger_copy);
    TEST("bad/in-use", test_in_use);
    TEST("bad/sizes", test_bad_sizes);
    TEST("bad/no-space", test_no_space);
    TEST("bad/short-write", test_short_write);
    TEST("bad/size-limit", test_size_limit);
    TEST("bad/io-error", test_io_error);
    TEST("bad/io-error-at-segment", test_io_error_at_segment);
    TEST("bad/cut-short", test_cut_short);
    TEST("bad/too-long", test_too_long);
    TEST("bad/cut-while-open", test_cut_while_open);
    TEST("bad/segment-twice", test_segment_twice);
    TEST("bad/segment-twice-and-another-type", test_segment_twice_and_another_type);
    TEST("drop", test_drop);
    TEST("drop/introduction", test_drop_introduction);
    TEST("names", test_names);
    TEST("remains", test_remains);
    TEST("rate", test_rate);
    TEST("rate/resize", test_rate_resize);
    TEST("rate/exact", test_rate_exact);
    TEST("access", test_access);
    TEST("access/descriptor-0", test_created_as_descriptor_0);
    TEST("bad/other-owner", test_other_owner);
    TEST("bad/begun-anew", test_begun_anew);
    TEST("bad/begun-anew-larger", test_begun_anew_larger);
    TEST("kill", test_kill);
    r = g_test_run();
    remove_tmp_dir();
    g_free(tmp_dir);
    return r;
}
