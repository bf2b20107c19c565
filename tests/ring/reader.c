/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's side of the stress test: readers, each with streams of its own over
 * the same rings, that copy with qemu-device/ddebug-stream.c and decode with
 * host-tool/lib/ddebug-codec.c and ddebug-render.c.  Whatever a reader gets must be what the guest said,
 * byte for byte, in order, each message once; and what it did not get must match the
 * numbers.
 *
 *   sleeper  acts like the device: copies everything, asks for notifications, and
 *            sleeps until one arrives
 *   laggard  reads only occasionally, and is lapped
 *   racer    copies all the time, so that it catches the writer while it writes
 *   edger    restarts each time at the oldest sub-buffer that may still be intact,
 *            which the writer will overwrite next
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "ddebug-codec.h"
#include "ddebug-render.h"
#include "ddebug-stream.h"
#include "stress.h"

enum { SLEEPER, LAGGARD, RACER, EDGER, READERS };

static const char *const names[READERS] = { "sleeper", "laggard", "racer", "edger" };

typedef struct Track {
    DdebugStream stream;
    struct virtio_ddebug_status status;     /* not used for the sleeper */
    uint64_t start;         /* of this ring */
    uint64_t next;          /* number of the next message */
    uint64_t index;         /* the guest's index of the last one, plus one */
    uint64_t time;
    uint64_t received, lost;
    uint64_t packed;        /* of those received */
    uint64_t spans, laps;   /* spans that began where the last did not end */
} Track;

typedef struct Reader {
    unsigned kind;
    pthread_t thread;
    pthread_mutex_t lock;       /* of the streams, while they are read or swapped */
    uint64_t random;
    unsigned count;
    Track tracks[STRESS_STREAMS_MAX];
    uint8_t buf[DDEBUG_STREAM_SPAN_MAX];
} Reader;

static Reader readers[READERS];
static bool stop;
static int kick_fd, check_fd, rested_fd;

static void fail(const Reader *r, const Track *t, const char *what, uint64_t a, uint64_t b)
{
    stress_fail("%s, stream %u, read up to %" G_GUINT64_FORMAT ": %s (%" G_GUINT64_FORMAT
                ", %" G_GUINT64_FORMAT ")", names[r->kind], t->stream.id, t->stream.consumed,
                what, a, b);
}

static void check_message(const Reader *r, Track *t, const DdebugMessage *m)
{
    static const DdebugCallsite site = {
        .packed = (const guint8 *)STRESS_FORMAT, .packed_len = sizeof(STRESS_FORMAT) - 1,
    };
    guint8 rendered[DDEBUG_TEXT_MAX];
    const char *text = (const char *)(m->args ? rendered : m->text);
    const int len = m->args ? ddebug_render_packed(m, &site, rendered) : m->len;
    uint64_t index;

    if (len < 0) {
        fail(r, t, "a packed record that cannot be read", m->number, m->args_len);
    }
    t->packed += m->args != NULL;
    index = stress_index(text, len, t->stream.cpu, t->stream.context);
    if (index == UINT64_MAX) {
        fail(r, t, "a text that was not said there", m->number, m->len);
    }
    if (m->callsite % STRESS_WIDE != STRESS_CALLSITE((unsigned)t->stream.context)) {
        fail(r, t, "another callsite's", m->number, m->callsite);
    }
    /* committed messages have a number; the others only an index */
    if (index < m->number) {
        fail(r, t, "a number that was not given yet", m->number, index);
    }
    if (r->kind == EDGER) {
        t->received++;
        return;
    }
    if (m->number < t->next) {
        fail(r, t, "a message comes again", m->number, t->next);
    }
    if (index < t->index) {
        fail(r, t, "a message of before", index, t->index);
    }
    if (m->time < t->time) {
        fail(r, t, "time goes back", m->time, t->time);
    }
    t->lost += m->number - t->next;
    t->received++;
    t->next = m->number + 1;
    t->index = index + 1;
    t->time = m->time;
}

/* Return true if there was anything. */
static bool read_span(Reader *r, Track *t, uint64_t limit)
{
    const uint64_t from = t->stream.consumed;
    DdebugMessage message;
    DdebugLogData data;
    DdebugChunk chunk = { .type = DDEBUG_LOG_CHUNK_DATA };
    DdebugSpan span;
    size_t len;

    len = ddebug_stream_copy(&t->stream, limit, r->buf, &data);
    if (t->stream.stopped) {
        fail(r, t, t->stream.broken_rule, t->stream.broken_value, 0);
    }
    if (!len) {
        return false;
    }
    chunk.subbuf_shift = data.subbuf_shift;
    chunk.pos = data.pos;
    chunk.len = len;
    chunk.payload = r->buf;
    t->spans++;
    t->laps += data.pos != from;
    ddebug_span_init(&span, &chunk);
    while (ddebug_span_next(&span, &message)) {
        check_message(r, t, &message);
    }
    if (span.damage) {
        fail(r, t, span.damage, data.pos, len);
    }
    if (span.unknown) {
        fail(r, t, "a record of unknown type", data.pos, len);
    }
    return true;
}

static bool read_all(Reader *r)
{
    bool found = false;
    unsigned i;

    for (i = 0; i < r->count; i++) {
        const uint64_t limit = ddebug_stream_head(&r->tracks[i].stream);

        while (read_span(r, &r->tracks[i], limit)) {
            found = true;
        }
    }
    return found;
}

static void signal_fd(int fd)
{
    const uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) != sizeof(one)) {
        stress_fail("an eventfd does not take a one");
    }
}

static bool take_fd(int fd)
{
    uint64_t count;

    return read(fd, &count, sizeof(count)) == sizeof(count);
}

void reader_notify(void)
{
    signal_fd(kick_fd);
}

/* Nobody is notified of a record without a message (ddebug_ring_drop()). */
static void check_no_message(Reader *r, Track *t)
{
    const uint64_t head = ddebug_stream_head(&t->stream);
    const uint64_t next = t->next;

    while (read_span(r, t, head)) {
    }
    if (t->next != next) {
        fail(r, t, "asleep, and not notified of committed messages", head, next);
    }
}

static void *sleeper(void *opaque)
{
    Reader *r = opaque;
    DdebugStream *streams[STRESS_STREAMS_MAX];
    struct pollfd fds[] = {
        { .fd = kick_fd, .events = POLLIN }, { .fd = check_fd, .events = POLLIN },
    };
    bool end;
    unsigned i;

    for (i = 0; i < r->count; i++) {
        streams[i] = &r->tracks[i].stream;
    }
    for (;;) {
        bool awake;

        pthread_mutex_lock(&r->lock);
        awake = read_all(r);
        if (awake) {
            for (i = 0; i < r->count; i++) {
                ddebug_stream_want_kick(streams[i], false);
            }
        } else {
            awake = !ddebug_streams_ask_for_kicks(streams, r->count);
        }
        pthread_mutex_unlock(&r->lock);
        if (awake) {
            continue;
        }
        while (poll(fds, 2, -1) < 0 && errno == EINTR) {
        }
        if (fds[0].revents) {
            take_fd(kick_fd);
            continue;
        }
        take_fd(check_fd);
        pthread_mutex_lock(&r->lock);
        for (i = 0; i < r->count; i++) {
            check_no_message(r, &r->tracks[i]);
        }
        pthread_mutex_unlock(&r->lock);
        /* as it was when the question was asked */
        end = __atomic_load_n(&stop, __ATOMIC_ACQUIRE);
        signal_fd(rested_fd);
        if (end) {
            return NULL;
        }
    }
}

void reader_check_rest(void)
{
    signal_fd(check_fd);
    while (!take_fd(rested_fd)) {
    }
}

static void *laggard(void *opaque)
{
    Reader *r = opaque;

    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        Track *t = &r->tracks[stress_random(&r->random) % r->count];
        unsigned spans = stress_random(&r->random) % 8;

        pthread_mutex_lock(&r->lock);
        while (spans-- && read_span(r, t, UINT64_MAX)) {
        }
        pthread_mutex_unlock(&r->lock);
        usleep(stress_random(&r->random) % 5000);
    }
    read_all(r);
    return NULL;
}

static void *racer(void *opaque)
{
    Reader *r = opaque;

    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        pthread_mutex_lock(&r->lock);
        read_all(r);
        pthread_mutex_unlock(&r->lock);
    }
    read_all(r);
    return NULL;
}

static void *edger(void *opaque)
{
    Reader *r = opaque;

    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        Track *t = &r->tracks[stress_random(&r->random) % r->count];
        DdebugStream *st = &t->stream;
        uint64_t head;

        pthread_mutex_lock(&r->lock);
        head = ddebug_stream_head(st);
        if (head > t->start + st->ring_size) {
            st->consumed = (head - st->ring_size) >> st->subbuf_shift << st->subbuf_shift;
            read_span(r, t, UINT64_MAX);
        }
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

static DdebugStream stream_of(const StressStream *s, Reader *r, Track *t)
{
    return (DdebugStream) {
        .id = s->id,
        .cpu = s->cpu,
        .context = s->context,
        .subbuf_shift = s->subbuf_shift,
        .ring_size = s->ring_size,
        .hdr = s->hdr,
        .status = r->kind == SLEEPER ? s->status : &t->status,
        .ring = s->ring,
        .nr_pieces = s->nr_pieces,
    };
}

void reader_swap(const StressStream *s, uint64_t start)
{
    unsigned i, k;

    for (k = 0; k < READERS; k++) {
        Reader *r = &readers[k];

        pthread_mutex_lock(&r->lock);
        for (i = 0; i < r->count; i++) {
            Track *t = &r->tracks[i];

            if (t->stream.id != s->id) {
                continue;
            }
            while (read_span(r, t, ddebug_stream_head(&t->stream))) {
            }
            t->stream = stream_of(s, r, t);
            t->stream.consumed = t->start = start;
        }
        pthread_mutex_unlock(&r->lock);
    }
    /* as the device is when a ring comes: awake */
    reader_notify();
}

void reader_init(const StressStream *streams, unsigned count, uint64_t seed)
{
    static void *(*const threads[READERS])(void *) = { sleeper, laggard, racer, edger };
    unsigned i, k;

    kick_fd = eventfd(0, EFD_NONBLOCK);
    check_fd = eventfd(0, EFD_NONBLOCK);
    rested_fd = eventfd(0, 0);
    for (k = 0; k < READERS; k++) {
        Reader *r = &readers[k];

        r->kind = k;
        pthread_mutex_init(&r->lock, NULL);
        r->random = seed * READERS + k + 1;
        r->count = count;
        for (i = 0; i < count; i++) {
            r->tracks[i].stream = stream_of(&streams[i], r, &r->tracks[i]);
        }
        if (pthread_create(&r->thread, NULL, threads[k], r)) {
            stress_fail("no thread for a reader");
        }
    }
}

static void check_count(const Reader *r, const Track *t)
{
    const StressCount count = writer_count(t->stream.cpu, t->stream.context);

    if (t->received + t->lost != count.committed) {
        fail(r, t, "received and lost are not what was committed",
             t->received + t->lost, count.committed);
    }
}

void reader_end(void)
{
    unsigned i, k;

    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    reader_check_rest();
    for (k = 0; k < READERS; k++) {
        const Reader *r = &readers[k];
        uint64_t received = 0, packed = 0, lost = 0, spans = 0, laps = 0;

        pthread_join(r->thread, NULL);
        for (i = 0; i < r->count; i++) {
            if (k != EDGER) {
                check_count(r, &r->tracks[i]);
            }
            received += r->tracks[i].received;
            packed += r->tracks[i].packed;
            lost += r->tracks[i].lost;
            spans += r->tracks[i].spans;
            laps += r->tracks[i].laps;
        }
        printf("# %s: %" G_GUINT64_FORMAT " messages in %" G_GUINT64_FORMAT " spans, "
               "%" G_GUINT64_FORMAT " of them packed, %" G_GUINT64_FORMAT " lost in %"
               G_GUINT64_FORMAT " laps\n", names[k], received, spans, packed, lost, laps);
        if (k == SLEEPER && !packed) {
            stress_fail("%s has met no packed record", names[k]);
        }
    }
}
