/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's drain without QEMU: the object files that the device is linked
 * from, reading rings that are filled here.
 *
 *   bench-drain fill LOG MESSAGES KIND
 *       Fill two rings with MESSAGES messages, then let the drain thread copy them
 *       to LOG.  KIND is opaque (24 bytes per message, which the device copies like
 *       anything else) or text (the three-int message).
 *
 *   bench-drain ping LOG ROUNDS COMMAND...
 *       COMMAND is a tool that follows LOG.  Print two columns per round, in ns:
 *       from a message's commit to its output line; and the minimum of that path,
 *       an eventfd that wakes a thread that writes to a pipe.
 *
 * What the drain needs of QEMU (threads, locks) is implemented here with pthreads;
 * the checksum is ISA-L's.
 */
#include "qemu/osdep.h"
#include <poll.h>
#include <sys/eventfd.h>
#include "exec/memory.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "ddebug-drain.h"
#include "ddebug_record.h"

#define NR_STREAMS 2
#define SUBBUF_SHIFT 14
#define SUBBUF (1u << SUBBUF_SHIFT)
#define OPAQUE_LEN 24
#define CALLSITE 1
#define SETTLE_US 60000     /* the drain's backoff has ended by then */

/* -- replacements for QEMU's functions --------------------------------------- */

static void bench_lock(QemuMutex *mutex, const char *file, const int line)
{
    pthread_mutex_lock(&mutex->lock);
}

static bool bench_timedwait(QemuCond *cond, QemuMutex *mutex, int ms,
                            const char *file, const int line)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000 + 1;
    return pthread_cond_timedwait(&cond->cond, &mutex->lock, &until) == 0;
}

QemuMutexLockFunc qemu_mutex_lock_func = bench_lock;
QemuCondTimedWaitFunc qemu_cond_timedwait_func = bench_timedwait;

void qemu_mutex_init(QemuMutex *mutex)
{
    pthread_mutex_init(&mutex->lock, NULL);
}

void qemu_mutex_destroy(QemuMutex *mutex)
{
    pthread_mutex_destroy(&mutex->lock);
}

void qemu_mutex_unlock_impl(QemuMutex *mutex, const char *file, const int line)
{
    pthread_mutex_unlock(&mutex->lock);
}

void qemu_cond_init(QemuCond *cond)
{
    pthread_cond_init(&cond->cond, NULL);
}

void qemu_cond_destroy(QemuCond *cond)
{
    pthread_cond_destroy(&cond->cond);
}

void qemu_cond_signal(QemuCond *cond)
{
    pthread_cond_signal(&cond->cond);
}

void qemu_thread_create(QemuThread *thread, const char *name,
                        void *(*start_routine)(void *), void *arg, int mode)
{
    g_assert(pthread_create(&thread->thread, NULL, start_routine, arg) == 0);
    pthread_detach(thread->thread);
}

void rcu_register_thread(void)
{
}

void rcu_unregister_thread(void)
{
}

void memory_region_set_dirty(MemoryRegion *mr, hwaddr addr, hwaddr size)
{
}

void warn_report(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

void error_setg_errno_internal(Error **errp, const char *src, int line,
                               const char *func, int os_errno,
                               const char *fmt, ...)
{
    g_error("%s: %s", func, strerror(os_errno));
}

/* -- rings ------------------------------------------------------------------ */

typedef struct Ring {
    DdebugStream *stream;
    struct virtio_ddebug_stream_hdr hdr;
    struct virtio_ddebug_status status;
    uint8_t *data;
    uint32_t size;
    uint64_t pos;       /* head, until it is published */
    uint64_t seq;
    uint64_t base;
} Ring;

static Ring rings[NR_STREAMS];

static void ring_init(Ring *r, unsigned id, uint32_t size)
{
    DdebugStream *st = g_new0(DdebugStream, 1);

    r->size = size;
    r->data = g_malloc0(size);
    st->id = id * VIRTIO_DDEBUG_NR_CTX;
    st->cpu = id;
    st->subbuf_shift = SUBBUF_SHIFT;
    st->ring_size = size;
    st->hdr = &r->hdr;
    st->status = &r->status;
    st->ring = g_new0(struct iovec, 1);
    st->ring[0] = (struct iovec) { .iov_base = r->data, .iov_len = size };
    st->nr_pieces = 1;
    r->stream = st;
}

/* Make room for a record of @len bytes, in a new sub-buffer if necessary. */
static void *ring_room(Ring *r, unsigned len, uint64_t time)
{
    const unsigned in = r->pos % SUBBUF;

    if (in && in + len > SUBBUF) {
        struct ddebug_rec_hdr *pad = (void *)(r->data + r->pos % r->size);

        pad->type_len = cpu_to_le16(DDEBUG_REC_PAD << DDEBUG_REC_TYPE_SHIFT |
                                    sizeof(*pad));
        pad->seq = 0;
        pad->delta = cpu_to_le32(SUBBUF - in);
        r->pos += SUBBUF - in;
    }
    if (r->pos % SUBBUF == 0) {
        struct ddebug_subbuf_hdr *h = (void *)(r->data + r->pos % r->size);

        h->pos = cpu_to_le64(r->pos);
        h->seq = cpu_to_le64(r->seq);
        h->base = cpu_to_le64(time);
        h->lost = 0;
        r->base = time;
        r->pos += sizeof(*h);
    }
    return r->data + r->pos % r->size;
}

static void ring_opaque(Ring *r, uint64_t time)
{
    memset(ring_room(r, OPAQUE_LEN, time), 0x5a, OPAQUE_LEN);
    r->pos += OPAQUE_LEN;
    r->seq++;
}

static void ring_text(Ring *r, uint64_t time, const char *text, unsigned len)
{
    const unsigned size = sizeof(struct ddebug_rec_text) + len;
    const unsigned padded = ROUND_UP(size, DDEBUG_REC_ALIGN);
    struct ddebug_rec_text *rec = ring_room(r, padded, time);

    rec->hdr.type_len = cpu_to_le16(DDEBUG_REC_TEXT << DDEBUG_REC_TYPE_SHIFT |
                                    size);
    rec->hdr.seq = cpu_to_le16(r->seq);
    rec->hdr.delta = cpu_to_le32(time - r->base);
    rec->callsite = cpu_to_le32(CALLSITE);
    rec->pid = cpu_to_le32(1);
    memcpy(rec->text, text, len);
    r->pos += padded;
    r->seq++;
}

static void ring_publish(Ring *r)
{
    r->hdr.reserve = cpu_to_le64(r->pos);
    smp_wmb();
    qatomic_set(&r->hdr.seq, cpu_to_le64(r->seq));
    qatomic_store_release(&r->hdr.head, cpu_to_le64(r->pos));
}

/* -- a driver's session ----------------------------------------------------- */

static void notified(void *opaque)
{
}

static void request(DdebugDrain *d, uint16_t type, const void *payload,
                    size_t len)
{
    DdebugAnswer answer;

    g_assert(ddebug_drain_request(d, type, g_memdup2(payload, len), len, 1));
    while (!ddebug_drain_next_answer(d, &answer)) {
        g_usleep(1000);
    }
    g_assert(answer.status == VIRTIO_DDEBUG_S_OK);
}

static DdebugDrain *session_begin(const char *path, uint64_t size)
{
    static const char strings[] = "bench" "say" "bench.c"
                                  "urb %d len %d status %d";
    struct virtio_ddebug_attach attach = {
        .nr_cpus = cpu_to_le32(NR_STREAMS), .release = "bench",
        .driver = "bench", .instance = cpu_to_le64(1),
    };
    uint8_t entry[ROUND_UP(sizeof(struct ddebug_callsite) +
                           sizeof(strings) - 1, 8)] = { 0 };
    struct ddebug_callsite *site = (void *)entry;
    DdebugLogInfo info = { .vm_name = "bench", .writer = "bench" };
    g_autoptr(GError) error = NULL;
    DdebugLog *log;
    DdebugDrain *d;

    log = ddebug_log_open(path, size, &info, DDEBUG_LOG_OPEN_CREATE, &error);
    if (!log) {
        g_error("%s", error->message);
    }
    d = ddebug_drain_start(log, NULL, false, notified, NULL, NULL);
    ddebug_drain_permit(d);
    request(d, VIRTIO_DDEBUG_REQ_ATTACH, &attach, sizeof(attach));
    site->len = cpu_to_le32(sizeof(entry));
    site->id = cpu_to_le32(CALLSITE);
    site->line = cpu_to_le32(42);
    site->module_len = cpu_to_le16(5);
    site->function_len = cpu_to_le16(3);
    site->file_len = cpu_to_le16(7);
    site->format_len = cpu_to_le16(sizeof(strings) - 1 - 15);
    memcpy(site->strings, strings, sizeof(strings) - 1);
    request(d, VIRTIO_DDEBUG_REQ_DICT, entry, sizeof(entry));
    return d;
}

static void session_end(DdebugDrain *d)
{
    GPtrArray *gone;

    ddebug_drain_withdraw(d);
    gone = ddebug_drain_forget(d, DDEBUG_DRAIN_ALL);
    g_ptr_array_unref(gone);
    ddebug_drain_stop(d, 60000);
}

static int fill(const char *path, unsigned messages, bool text)
{
    const unsigned longest = 64;
    const uint32_t size = ROUND_UP((uint64_t)messages / NR_STREAMS * longest +
                                   4 * SUBBUF, SUBBUF);
    DdebugCounters counters;
    DdebugDrain *d;
    uint64_t bytes = 0;
    unsigned i, k;

    for (k = 0; k < NR_STREAMS; k++) {
        ring_init(&rings[k], k, size);
    }
    for (i = 0; i < messages; i++) {
        Ring *r = &rings[i % NR_STREAMS];
        const uint64_t time = 1000000000ull + 3000ull * i;

        if (text) {
            char buf[64];
            int len = snprintf(buf, sizeof(buf), "urb %d len %d status %d",
                               i & 0xffff, i % 1500, -(int)(i % 133));

            ring_text(r, time, buf, len);
        } else {
            ring_opaque(r, time);
        }
    }
    d = session_begin(path, 256 << 20);
    for (k = 0; k < NR_STREAMS; k++) {
        bytes += rings[k].pos;
        ring_publish(&rings[k]);
        ddebug_drain_add(d, rings[k].stream);
    }
    do {
        g_usleep(10000);
        ddebug_drain_counters(d, &counters);
    } while (counters.bytes < bytes);
    printf("messages: %u\nbytes: %" PRIu64 "\nchunks: %" PRIu64 "\n",
           messages, counters.bytes, counters.chunks);
    session_end(d);
    return 0;
}

/* -- ping ------------------------------------------------------------------- */

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void read_line(int fd)
{
    char c;

    do {
        if (read(fd, &c, 1) != 1) {
            g_error("the tool's output has ended");
        }
    } while (c != '\n');
}

typedef struct Bare {
    int event;
    int pipe[2];
} Bare;

static void *bare_thread(void *opaque)
{
    Bare *bare = opaque;
    uint64_t count;

    for (;;) {
        if (read(bare->event, &count, sizeof(count)) != sizeof(count) ||
            write(bare->pipe[1], "\n", 1) != 1) {
            return NULL;
        }
    }
}

static int64_t ping_bare(Bare *bare)
{
    const uint64_t one = 1;
    int64_t begin = now_ns();

    g_assert(write(bare->event, &one, sizeof(one)) == sizeof(one));
    read_line(bare->pipe[0]);
    return now_ns() - begin;
}

/* Wait until the drain thread sleeps and wants a kick. */
static void wait_asleep(const Ring *r)
{
    g_usleep(SETTLE_US);
    while (!qatomic_read(&r->status.want_kick)) {
        g_usleep(1000);
    }
}

static int64_t ping_message(DdebugDrain *d, int out)
{
    Ring *r = &rings[0];
    int64_t begin = now_ns();

    ring_text(r, begin, "urb 1 len 3 status -1", 21);
    ring_publish(r);
    ddebug_drain_kick(d);
    read_line(out);
    return now_ns() - begin;
}

static int ping(const char *path, unsigned count, char **command)
{
    DdebugDrain *d = session_begin(path, 16 << 20);
    g_autoptr(GError) error = NULL;
    pthread_t thread;
    Bare bare;
    unsigned i;
    GPid pid;
    int out;

    ring_init(&rings[0], 0, 64 * SUBBUF);
    ddebug_drain_add(d, rings[0].stream);
    if (!g_spawn_async_with_pipes(NULL, command, NULL,
                                  G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid,
                                  NULL, &out, NULL, &error)) {
        g_error("%s", error->message);
    }
    bare.event = eventfd(0, 0);
    g_assert(pipe(bare.pipe) == 0);
    g_assert(pthread_create(&thread, NULL, bare_thread, &bare) == 0);
    g_usleep(500000);
    for (i = 0; i < count; i++) {
        int64_t message, bare_ns;

        wait_asleep(&rings[0]);
        message = ping_message(d, out);
        g_usleep(SETTLE_US);
        bare_ns = ping_bare(&bare);
        printf("%" PRId64 " %" PRId64 "\n", message, bare_ns);
    }
    kill(pid, SIGTERM);
    session_end(d);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "fill")) {
        return fill(argv[2], atoi(argv[3]), !strcmp(argv[4], "text"));
    }
    if (argc >= 5 && !strcmp(argv[1], "ping")) {
        return ping(argv[2], atoi(argv[3]), argv + 4);
    }
    fprintf(stderr, "usage: bench-drain fill LOG MESSAGES opaque|text\n"
                    "       bench-drain ping LOG ROUNDS COMMAND...\n");
    return 2;
}
