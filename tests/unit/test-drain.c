/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's drain without QEMU and without a guest: qemu-device/ddebug-drain.c
 * and ddebug-stream.c as they are, on threads of GLib, with rings that are filled
 * here and a log in a temporary folder.  What is proved: which of its calls copy
 * rings while QEMU's big lock is held, and how much; that nothing is lost or
 * reordered between ring, queue and log; that a stream that was taken back is not
 * touched any more; and that the device does not sleep over a message.
 *
 * The drain's thread is held in a write where an order of events must be certain:
 * pwritev() of the log writer is replaced.
 */
#include "qemu/osdep.h"
#include <sys/uio.h>
#include "qemu/error-report.h"
#include "ddebug-drain.h"
#include "ddebug-open.h"
#include "ddebug_record.h"
#include "raw-log.h"

#define MIB (1ull << 20)
#define SUBBUF_SHIFT 12
#define SUBBUF (1u << SUBBUF_SHIFT)
#define PATIENCE_US (60 * G_USEC_PER_SEC)

/* In place of ddebug-open.c, which is about QEMU's descriptors and signals. */
int ddebug_thread_create(const char *name, void *(*run)(void *opaque),
                         void *opaque)
{
    g_thread_unref(g_thread_new(name, run, opaque));
    return 0;
}

/* The disk */

static GMutex disk_lock;
static GCond disk_cond;
static bool disk_holds;         /* the next write waits */
static bool disk_is_held;       /* one does */
static int disk_error;          /* what writes fail with */

ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t off);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off);

ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    int error;

    g_mutex_lock(&disk_lock);
    while (disk_holds) {
        disk_is_held = true;
        g_cond_broadcast(&disk_cond);
        g_cond_wait(&disk_cond, &disk_lock);
    }
    disk_is_held = false;
    error = disk_error;
    g_mutex_unlock(&disk_lock);
    if (error) {
        errno = error;
        return -1;
    }
    return __real_pwritev(fd, iov, n, off);
}

static void disk_wait(void)
{
    g_mutex_lock(&disk_lock);
    while (!disk_is_held) {
        g_assert_true(g_cond_wait_until(&disk_cond, &disk_lock,
                                        g_get_monotonic_time() + PATIENCE_US));
    }
    g_mutex_unlock(&disk_lock);
}

static void disk_set(bool holds, int error)
{
    g_mutex_lock(&disk_lock);
    disk_holds = holds;
    disk_error = error;
    g_cond_broadcast(&disk_cond);
    g_mutex_unlock(&disk_lock);
}

/* The processor of the device */

#define STORES_MAX 16

/* Stores that others do not see yet, and what happens at each load. */
static _Thread_local bool delays;
static _Thread_local void (*at_load)(void);
static _Thread_local unsigned nr_stores;
static _Thread_local struct {
    void *p;
    uint64_t value;
    size_t size;
} stores[STORES_MAX];

static void show(void *p, uint64_t value, size_t size)
{
    if (size == sizeof(uint32_t)) {
        __atomic_store_n((uint32_t *)p, value, __ATOMIC_RELAXED);
    } else {
        g_assert_cmpuint(size, ==, sizeof(uint64_t));
        __atomic_store_n((uint64_t *)p, value, __ATOMIC_RELAXED);
    }
}

void user_store(void *p, uint64_t value, size_t size)
{
    if (!delays) {
        show(p, value, size);
        return;
    }
    g_assert_cmpuint(nr_stores, <, STORES_MAX);
    stores[nr_stores].p = p;
    stores[nr_stores].value = value;
    stores[nr_stores++].size = size;
}

void user_full_barrier(void)
{
    unsigned i;

    for (i = 0; i < nr_stores; i++) {
        show(stores[i].p, stores[i].value, stores[i].size);
    }
    nr_stores = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void user_loaded(void)
{
    if (at_load) {
        at_load();
    }
}

static GMutex report_lock;
static GString *reports;

void warn_report(const char *fmt, ...)
{
    va_list args;

    g_mutex_lock(&report_lock);
    va_start(args, fmt);
    g_string_append_vprintf(reports, fmt, args);
    va_end(args);
    g_mutex_unlock(&report_lock);
}

/* Reports come after the lock was dropped. */
static void wait_report(const char *words)
{
    const int64_t deadline = g_get_monotonic_time() + PATIENCE_US;
    bool found = false;

    while (!found) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_mutex_lock(&report_lock);
        found = strstr(reports->str, words);
        g_mutex_unlock(&report_lock);
        g_usleep(100);
    }
}

/* A ring, and its producer */

typedef struct Ring {
    DdebugStream *st;           /* NULL: nobody has it */
    struct virtio_ddebug_stream_hdr hdr;
    struct virtio_ddebug_status status;
    uint8_t *data;
    uint32_t size;
    uint64_t pos;
    uint64_t seq;
} Ring;

static Ring *ring_new(unsigned id, uint32_t size)
{
    Ring *r = g_new0(Ring, 1);
    DdebugStream *st = g_new0(DdebugStream, 1);

    r->data = g_malloc0(size);
    r->size = size;
    r->st = st;
    st->id = id;
    st->queue = 2 + id;
    st->context = id % VIRTIO_DDEBUG_NR_CTX;
    st->subbuf_shift = SUBBUF_SHIFT;
    st->ring_size = size;
    st->hdr = &r->hdr;
    st->status = &r->status;
    st->ring = g_new0(struct iovec, 1);
    st->ring[0] = (struct iovec) { .iov_base = r->data, .iov_len = size };
    st->nr_pieces = 1;
    return r;
}

/* ASan then reports whoever still uses it. */
static void ring_free(Ring *r)
{
    if (r->st) {
        ddebug_stream_free(r->st);
    }
    g_free(r->data);
    g_free(r);
}

static void ring_publish(Ring *r)
{
    __atomic_store_n(&r->hdr.reserve, cpu_to_le64(r->pos), __ATOMIC_RELAXED);
    __atomic_store_n(&r->hdr.seq, cpu_to_le64(r->seq), __ATOMIC_RELEASE);
    __atomic_store_n(&r->hdr.head, cpu_to_le64(r->pos), __ATOMIC_RELEASE);
}

/* A sub-buffer with one record: the device does not look inside. */
static void ring_say(Ring *r)
{
    struct ddebug_subbuf_hdr *h = (void *)(r->data + r->pos % r->size);

    h->pos = cpu_to_le64(r->pos);
    h->seq = cpu_to_le64(r->seq++);
    memset(h + 1, 'a' + r->st->id, SUBBUF - sizeof(*h));
    r->pos += SUBBUF;
    ring_publish(r);
}

/* As much as the rules allow, without a byte of it. */
static void ring_fill(Ring *r)
{
    r->pos += r->size - SUBBUF;
    ring_publish(r);
}

static uint64_t consumed(const Ring *r)
{
    return __atomic_load_n(&r->status.consumed, __ATOMIC_ACQUIRE);
}

static void wait_consumed(const Ring *r)
{
    const int64_t deadline = g_get_monotonic_time() + PATIENCE_US;

    while (consumed(r) != r->pos) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_usleep(100);
    }
}

/* A device, its driver, and a log */

#define NR_RINGS 3

typedef struct Fixture {
    char *dir, *path;
    DdebugDrain *d;
    Ring *rings[NR_RINGS];
    uint64_t requests;
} Fixture;

static void notified(void *opaque)
{
}

static void wait_answer(Fixture *f, DdebugAnswer *answer)
{
    const int64_t deadline = g_get_monotonic_time() + PATIENCE_US;

    while (!ddebug_drain_next_answer(f->d, answer)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_usleep(100);
    }
}

static void attach(Fixture *f)
{
    struct virtio_ddebug_attach a = { .nr_cpus = cpu_to_le32(1) };
    DdebugAnswer answer;

    ddebug_drain_permit(f->d);
    g_assert_true(ddebug_drain_request(f->d, VIRTIO_DDEBUG_REQ_ATTACH,
                                       g_memdup2(&a, sizeof(a)), sizeof(a),
                                       ++f->requests));
    wait_answer(f, &answer);
    g_assert_cmpuint(answer.id, ==, f->requests);
    g_assert_cmpuint(answer.status, ==, VIRTIO_DDEBUG_S_OK);
    g_assert_null(answer.stream);
}

static void set_up_with(Fixture *f, uint32_t ring_size, uint64_t log_size)
{
    static const DdebugLogInfo info = { .vm_name = "vm", .writer = "test" };
    g_autoptr(GError) error = NULL;
    DdebugLog *log;
    unsigned i;

    disk_set(false, 0);
    f->dir = g_dir_make_tmp("ddebug-drain-XXXXXX", &error);
    g_assert_no_error(error);
    f->path = g_build_filename(f->dir, "vm.ddl", NULL);
    log = ddebug_log_begin(f->path, log_size, &info, DDEBUG_LOG_OPEN_CREATE,
                           &error);
    g_assert_no_error(error);
    f->d = ddebug_drain_start(log, NULL, false, notified, NULL, NULL);
    ddebug_drain_wait_open(f->d);
    g_assert_cmpint(ddebug_drain_file_state(f->d, NULL), ==, DDEBUG_FILE_OPEN);
    attach(f);
    for (i = 0; i < NR_RINGS; i++) {
        f->rings[i] = ring_new(i, ring_size);
        g_assert_true(ddebug_drain_add(f->d, f->rings[i]->st));
    }
}

static void set_up(Fixture *f, gconstpointer data)
{
    set_up_with(f, 16 * SUBBUF, 4 * MIB);
}

static void set_up_large(Fixture *f, gconstpointer data)
{
    set_up_with(f, 32 * MIB, 64 * MIB);
}

static DdebugCounters counters(Fixture *f)
{
    DdebugCounters c;

    ddebug_drain_counters(f->d, &c);
    return c;
}

/* The device is gone: close the log, which is whole. */
static View *end(Fixture *f)
{
    if (f->d) {
        g_autoptr(GPtrArray) gone = ddebug_drain_forget(f->d, DDEBUG_DRAIN_ALL);

        ddebug_drain_end_session(f->d);
        ddebug_drain_stop(g_steal_pointer(&f->d), PATIENCE_US / 1000);
    }
    return view(f->path);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    unsigned i;

    view_free(end(f));
    for (i = 0; i < NR_RINGS; i++) {
        if (f->rings[i]) {
            ring_free(f->rings[i]);
        }
    }
    unlink(f->path);
    rmdir(f->dir);
    g_free(f->path);
    g_free(f->dir);
    g_string_truncate(reports, 0);
}

/* What the log holds from the first DATA on: "0" is stream 0's, "S" is STOP. */
static char *story(View *v)
{
    static const char letters[] = {
        [DDEBUG_LOG_EVENT_RESET] = 'R', [DDEBUG_LOG_EVENT_STOP] = 'S',
        [DDEBUG_LOG_EVENT_CONT] = 'C', [DDEBUG_LOG_EVENT_CLOSE] = 'X',
        [DDEBUG_LOG_EVENT_NOTICE] = 'N', [DDEBUG_LOG_EVENT_IO_LOST] = 'L',
        [DDEBUG_LOG_EVENT_MACHINE_RESET] = 'M',
    };
    GString *s = g_string_new(NULL);
    guint i;

    for (i = 0; i < v->chunks->len; i++) {
        const Chunk *c = &g_array_index(v->chunks, Chunk, i);

        if (le16_to_cpu(c->h.type) == DDEBUG_LOG_CHUNK_DATA) {
            g_string_append_c(s, '0' + le32_to_cpu(c->h.stream));
        } else if (le16_to_cpu(c->h.type) == DDEBUG_LOG_CHUNK_EVENT && s->len) {
            const struct ddebug_log_event *e = (const void *)c->payload;

            g_assert_cmpuint(le32_to_cpu(e->event), <, sizeof(letters));
            g_string_append_c(s, letters[le32_to_cpu(e->event)]);
        }
    }
    return g_string_free(s, FALSE);
}

static void assert_story(Fixture *f, const char *expected)
{
    g_autoptr(View) v = end(f);
    g_autofree char *found = story(v);

    g_assert_cmpstr(found, ==, expected);
}

/* The thread is in a write, of one sub-buffer of ring 0, until disk_set(). */
static void hold(Fixture *f)
{
    disk_set(true, 0);
    ring_say(f->rings[0]);
    ddebug_drain_kick(f->d);
    disk_wait();
    g_assert_cmpuint(consumed(f->rings[0]), ==, f->rings[0]->pos);
}

/* The driver takes back what it has given. */
static void take_back(Fixture *f, DdebugStream *st)
{
    unsigned i;

    for (i = 0; i < NR_RINGS; i++) {
        if (f->rings[i] && f->rings[i]->st == st) {
            ring_free(g_steal_pointer(&f->rings[i]));
            return;
        }
    }
    g_assert_not_reached();
}

static void take_all_back(Fixture *f, GPtrArray *gone, unsigned count)
{
    guint i;

    g_assert_cmpuint(gone->len, ==, count);
    for (i = 0; i < gone->len; i++) {
        take_back(f, g_ptr_array_index(gone, i));
    }
    g_ptr_array_unref(gone);
}

/* A stream is scanned once a pass, and each pass that found something is another one. */
static void assert_passes_grow(View *v)
{
    uint64_t last[NR_RINGS] = { 0 };
    guint i;

    for (i = 0; i < v->chunks->len; i++) {
        const Chunk *c = &g_array_index(v->chunks, Chunk, i);

        if (le16_to_cpu(c->h.type) == DDEBUG_LOG_CHUNK_DATA) {
            uint64_t *of_stream = &last[le32_to_cpu(c->h.stream)];

            g_assert_cmpuint(le64_to_cpu(c->h.pass), >, *of_stream);
            *of_stream = le64_to_cpu(c->h.pass);
        }
    }
}

static void test_written(Fixture *f, gconstpointer data)
{
    unsigned i;

    for (i = 0; i < 100; i++) {
        Ring *r = f->rings[i % NR_RINGS];

        ring_say(r);
        ddebug_drain_kick(f->d);
        wait_consumed(r);
    }
    g_autoptr(View) v = end(f);
    g_assert_cmpuint(count(v, DDEBUG_LOG_CHUNK_DATA), ==, 100);
    assert_passes_grow(v);
}

/* One stream of an id, whichever it is, and one that is to replace it. */
static void test_added_once(Fixture *f, gconstpointer data)
{
    unsigned i;

    for (i = 0; i < NR_RINGS; i++) {
        Ring *same = ring_new(i, 16 * SUBBUF);

        g_assert_false(ddebug_drain_add(f->d, same->st));
        ring_free(same);
    }
    g_assert_cmpuint(counters(f).streams, ==, NR_RINGS);
}

/* Nothing of it depends on the disk: the thread is held. */
static void test_stop_copies_nothing(Fixture *f, gconstpointer data)
{
    hold(f);
    ring_say(f->rings[0]);
    ring_say(f->rings[1]);
    ring_say(f->rings[2]);
    ddebug_drain_vm_stopped(f->d, DDEBUG_LOG_STOP_PAUSED);
    g_assert_cmpuint(consumed(f->rings[1]), ==, 0);
    g_assert_cmpuint(consumed(f->rings[2]), ==, 0);
    g_assert_cmpuint(counters(f).bql_bytes, ==, 0);
    disk_set(false, 0);
    /* the VM is stopped, and the thread goes on */
    wait_consumed(f->rings[0]);
    wait_consumed(f->rings[1]);
    wait_consumed(f->rings[2]);
    ddebug_drain_vm_runs(f->d);
    g_assert_cmpuint(counters(f).bql_bytes, ==, 0);
    assert_story(f, "0120SCRX");
}

/* What was committed before precedes the event, whoever copies it. */
static void test_stop_and_reset(Fixture *f, gconstpointer data)
{
    hold(f);
    ring_say(f->rings[1]);
    ring_say(f->rings[2]);
    ddebug_drain_vm_stopped(f->d, DDEBUG_LOG_STOP_PAUSED);
    ddebug_drain_event(f->d, DDEBUG_LOG_EVENT_MACHINE_RESET, 0);
    g_assert_cmpuint(counters(f).bql_bytes, ==, 2 * SUBBUF);
    ddebug_drain_withdraw(f->d);
    take_all_back(f, ddebug_drain_forget(f->d, DDEBUG_DRAIN_ALL), 3);
    disk_set(false, 0);
    assert_story(f, "012SMRX");
}

static void test_stops_in_a_row(Fixture *f, gconstpointer data)
{
    hold(f);
    ddebug_drain_vm_stopped(f->d, DDEBUG_LOG_STOP_PAUSED);
    ddebug_drain_vm_runs(f->d);
    ring_say(f->rings[1]);
    ddebug_drain_vm_stopped(f->d, DDEBUG_LOG_STOP_PAUSED);
    disk_set(false, 0);
    wait_consumed(f->rings[1]);
    ddebug_drain_vm_runs(f->d);
    /* there was nothing between the first two when the thread came to it */
    assert_story(f, "01SCSCRX");
}

static void test_notice_precedes_stop(Fixture *f, gconstpointer data)
{
    hold(f);
    ring_say(f->rings[1]);
    __atomic_store_n(&f->rings[1]->hdr.notice,
                     cpu_to_le32(VIRTIO_DDEBUG_NOTICE_PANIC), __ATOMIC_RELEASE);
    ddebug_drain_vm_stopped(f->d, DDEBUG_LOG_STOP_PANICKED);
    disk_set(false, 0);
    assert_story(f, "01NSRX");
}

static void test_retire_copies_nothing(Fixture *f, gconstpointer data)
{
    DdebugAnswer answer;

    hold(f);
    ring_say(f->rings[0]);
    ring_say(f->rings[1]);
    ring_say(f->rings[1]);
    ring_say(f->rings[2]);
    g_assert_true(ddebug_drain_retire(f->d, 1, 0, 77));
    g_assert_cmpuint(consumed(f->rings[1]), ==, 0);
    g_assert_cmpuint(consumed(f->rings[2]), ==, 0);
    g_assert_cmpuint(counters(f).bql_bytes, ==, 0);
    /* not twice */
    g_assert_false(ddebug_drain_retire(f->d, 1, 0, 78));
    g_assert_false(ddebug_drain_next_answer(f->d, &answer));
    disk_set(false, 0);
    wait_answer(f, &answer);
    g_assert_cmpuint(answer.id, ==, 77);
    g_assert_cmpuint(answer.status, ==, VIRTIO_DDEBUG_S_OK);
    g_assert_true(answer.stream == f->rings[1]->st);
    g_assert_cmpuint(consumed(f->rings[1]), ==, 2 * SUBBUF);
    g_assert_cmpuint(counters(f).streams, ==, 2);
    take_back(f, answer.stream);
    g_assert_false(ddebug_drain_next_answer(f->d, &answer));
    g_assert_cmpuint(counters(f).bql_bytes, ==, 0);
    wait_consumed(f->rings[0]);
    wait_consumed(f->rings[2]);
}

static void assert_retired(Fixture *f, unsigned id, uint32_t status)
{
    DdebugAnswer answer;

    g_assert_true(ddebug_drain_retire(f->d, id, 0, ++f->requests));
    disk_set(false, disk_error);
    wait_answer(f, &answer);
    g_assert_cmpuint(answer.id, ==, f->requests);
    g_assert_cmpuint(answer.status, ==, status);
    take_back(f, answer.stream);
}

static void test_retire_says_what_was_given_up(Fixture *f, gconstpointer data)
{
    hold(f);
    ring_say(f->rings[1]);
    disk_error = EIO;
    assert_retired(f, 1, VIRTIO_DDEBUG_S_IOERR);
    disk_set(false, 0);
    /* breaks the rules: its head is not the position of a record */
    f->rings[2]->pos = 12;
    ring_publish(f->rings[2]);
    assert_retired(f, 2, VIRTIO_DDEBUG_S_IOERR);
    wait_report("head is not a multiple of 8");
    assert_retired(f, 0, VIRTIO_DDEBUG_S_OK);
}

/* At each moment between request and answer. */
static void test_forgotten_while_retired(Fixture *f, gconstpointer data)
{
    DdebugAnswer answer;

    /* before the thread has seen the request */
    hold(f);
    g_assert_true(ddebug_drain_retire(f->d, 1, 0, 1));
    take_all_back(f, ddebug_drain_forget(f->d, 2 + 1), 1);
    disk_set(false, 0);
    while (counters(f).chunks < 1) {
        g_usleep(100);
    }
    /* in the write of what it held */
    disk_set(true, 0);
    ring_say(f->rings[2]);
    g_assert_true(ddebug_drain_retire(f->d, 2, 0, 2));
    disk_wait();
    ring_say(f->rings[2]);
    take_all_back(f, ddebug_drain_forget_retiring(f->d), 1);
    disk_set(false, 0);
    /* when it was answered, but the answer was not fetched */
    g_assert_true(ddebug_drain_retire(f->d, 0, 0, 3));
    while (counters(f).streams) {
        g_usleep(100);
    }
    take_all_back(f, ddebug_drain_forget(f->d, DDEBUG_DRAIN_ALL), 1);
    wait_answer(f, &answer);
    g_assert_cmpuint(answer.id, ==, 3);
    g_assert_null(answer.stream);
    g_assert_false(ddebug_drain_next_answer(f->d, &answer));
    assert_story(f, "02RX");
}

/* Not those of other queues. */
static void test_queue_reset(Fixture *f, gconstpointer data)
{
    hold(f);
    ring_say(f->rings[1]);
    ring_say(f->rings[2]);
    take_all_back(f, ddebug_drain_forget(f->d, 2 + 1), 1);
    g_assert_cmpuint(counters(f).bql_bytes, ==, SUBBUF);
    g_assert_cmpuint(consumed(f->rings[2]), ==, 0);
    disk_set(false, 0);
    wait_consumed(f->rings[2]);
    assert_story(f, "012RX");
}

/* 96 MiB in the rings: what is not copied is counted. */
static void test_reset_is_bounded(Fixture *f, gconstpointer data)
{
    uint64_t in_rings = 0, bql_bytes, lost = 0, written = 0;
    guint i;

    hold(f);
    for (i = 0; i < NR_RINGS; i++) {
        ring_fill(f->rings[i]);
        in_rings += f->rings[i]->size - SUBBUF;
    }
    ddebug_drain_withdraw(f->d);
    bql_bytes = counters(f).bql_bytes;
    g_assert_cmpuint(bql_bytes, >, 31 * MIB);
    g_assert_cmpuint(bql_bytes, <=, 32 * MIB);
    /* all the rest of a reset copies nothing */
    take_all_back(f, ddebug_drain_forget(f->d, DDEBUG_DRAIN_ALL), 3);
    ddebug_drain_end_session(f->d);
    g_assert_cmpuint(counters(f).bql_bytes, ==, bql_bytes);
    disk_set(false, 0);
    g_autoptr(View) v = end(f);
    for (i = 0; i < v->chunks->len; i++) {
        const Chunk *c = &g_array_index(v->chunks, Chunk, i);
        const struct ddebug_log_event *e = (const void *)c->payload;

        if (le16_to_cpu(c->h.type) == DDEBUG_LOG_CHUNK_DATA) {
            written += le32_to_cpu(c->h.len);
        } else if (le16_to_cpu(c->h.type) == DDEBUG_LOG_CHUNK_EVENT &&
                   le32_to_cpu(e->event) == DDEBUG_LOG_EVENT_IO_LOST) {
            lost += le64_to_cpu(e->arg[1]);
        }
    }
    g_assert_cmpuint(written, ==, SUBBUF + bql_bytes);
    g_assert_cmpuint(written + lost, ==, SUBBUF + in_rings);
}

/*
 * device:C.  The device's stores stay in its buffer for as long as the machine
 * allows.  At the n-th of its loads a producer commits a message and, behind its
 * own full barrier (kick:A), looks whether the device wants to be kicked.
 */
static struct {
    Ring *ring;
    int loads_left;
    bool kicked;
} producer;

static void produce(void)
{
    if (producer.loads_left-- == 0) {
        ring_say(producer.ring);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        producer.kicked = __atomic_load_n(&producer.ring->status.want_kick,
                                          __ATOMIC_RELAXED);
    }
}

static void test_does_not_sleep_over_a_message(void)
{
    unsigned n, k, i;

    for (n = 0; n < NR_RINGS; n++) {
        for (k = 0; k < NR_RINGS; k++) {
            Ring *rings[NR_RINGS];
            DdebugStream *streams[NR_RINGS];
            bool sleeps;

            for (i = 0; i < NR_RINGS; i++) {
                rings[i] = ring_new(i, 4 * SUBBUF);
                streams[i] = rings[i]->st;
            }
            producer.ring = rings[k];
            producer.loads_left = n;
            producer.kicked = false;
            at_load = produce;
            delays = true;
            sleeps = ddebug_streams_ask_for_kicks(streams, NR_RINGS);
            delays = false;
            at_load = NULL;
            user_full_barrier();
            g_assert_cmpint(producer.loads_left, <, 0);
            g_assert_true(!sleeps || producer.kicked);
            for (i = 0; i < NR_RINGS; i++) {
                ring_free(rings[i]);
            }
        }
    }
}

#define ADD(name, set, function) \
    g_test_add("/drain/" name, Fixture, NULL, set, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    reports = g_string_new(NULL);
    ADD("what is committed is written", set_up, test_written);
    ADD("a stream is added once", set_up, test_added_once);
    ADD("a stop copies nothing under the big lock", set_up,
        test_stop_copies_nothing);
    ADD("what precedes a stop stays before it, also across a reset", set_up,
        test_stop_and_reset);
    ADD("stops that the disk does not keep up with", set_up,
        test_stops_in_a_row);
    ADD("a notice of death precedes the stop", set_up,
        test_notice_precedes_stop);
    ADD("RETIRE copies nothing under the big lock", set_up,
        test_retire_copies_nothing);
    ADD("RETIRE is not answered OK if something was given up", set_up,
        test_retire_says_what_was_given_up);
    ADD("a stream that is forgotten while it is retired is left alone", set_up,
        test_forgotten_while_retired);
    ADD("the reset of a queue copies that queue's rings only", set_up,
        test_queue_reset);
    ADD("a reset copies 32 MiB at most, and counts the rest", set_up_large,
        test_reset_is_bounded);
    g_test_add_func("/drain/the device does not sleep over a message (device:C)",
                    test_does_not_sleep_over_a_message);
    return g_test_run();
}
