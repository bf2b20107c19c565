/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log writer is killed at every possible point, and nothing that it had
 * acknowledged is lost, unless it was due to be overwritten.
 *
 * A child writes numbered messages with the device's own writer, and records in
 * shared memory what was acknowledged.  It is killed from outside at a random time,
 * or kills itself before, during, or after one of its system calls, which are
 * wrapped at link time.  Then the parent checks the file with a reader that shares
 * nothing with the writer (tests/unit/raw-log.h) and with the tool's library, and
 * the next child continues the log.
 *
 * What may be overwritten: the wrappers see which segment's header each write puts
 * into which slot, and report one that rule 5, 7 or 8 of docs/log-format.md does not
 * allow.  So whatever they have not seen overwritten must be in the file.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/canned.h"
#include "../unit/raw-log.h"
#include "ddebug-log-writer.h"
#include "said.h"

#define MIB (1ull << 20)
#define SLOTS_MAX 64
#define ACKS_MAX 65536
#define NR_STREAMS 2
#define SIZE_MAX_MIB 4
#define TOUR (-1)            /* as a number of things to do: tour() */

typedef enum Op { OPEN, ATTACH, APPEND, EVENT, DICT, STATE, GROW, SHRINK, CLEAR, CLOSE, NR_OPS } Op;

static const char *const op_names[NR_OPS] = {
    "open", "attach", "append", "event", "dict", "state", "grow", "shrink", "clear", "close",
};

/* How the child dies at its system call number die_at. */
typedef enum How { NOT, BEFORE, TORN, AFTER } How;

typedef struct Slot {
    uint64_t seq;               /* 0: unused */
    uint32_t type;
    uint32_t epoch;
    bool unsure;                /* its header is being written, or its writer died during that */
    bool blank;                 /* being reused by another segment, and filled with zeros for that */
} Slot;

/* A chunk that was acknowledged: some messages of one stream. */
typedef struct Ack {
    uint64_t seg_seq;
    uint64_t life;
    uint32_t stream;
    uint64_t first, end;        /* numbers in the stream */
} Ack;

/* Shared by child and parent; written by the child, which may die at any time. */
typedef struct Shared {
    volatile Op op;
    volatile bool busy;         /* the call is in progress */
    unsigned wiped[3];          /* segments that it has wiped, by type */
    volatile uint64_t calls;
    volatile uint64_t turns;    /* segments started, resizes, clears */
    volatile uint64_t resizes;
    volatile uint64_t clears;
    uint64_t die_at;
    How how;
    uint64_t seg_size;
    uint64_t nr_segs;
    uint64_t first_seg;
    bool super_unsure;
    uint64_t next_first_seg;    /* while it is unsure */
    Slot slots[SLOTS_MAX];
    uint64_t last_seg_seq;      /* of the last chunk written */
    bool drop;
    uint64_t life;              /* of the child */
    /* numbers below are acknowledged or reported lost; those of the current call are above */
    volatile uint64_t produced[NR_STREAMS];
    volatile uint64_t asked[NR_STREAMS];
    volatile uint32_t nr_acks;
    Ack acks[ACKS_MAX];
} Shared;

static Shared *shared;
static const char *sabotage = "";
static const char *path;
static pid_t victim;            /* the parent's own pid except in the child */

void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    printf("FAILED: ");
    vprintf(format, args);
    printf(" (in %s, life %" PRIu64 ")\n", op_names[shared->op], shared->life);
    va_end(args);
    fflush(stdout);
    _exit(3);
}

/* ---- the wrapped system calls ---- */

ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t off);
ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t off);
int __real_ftruncate(int fd, off_t len);
int __real_fallocate(int fd, int mode, off_t off, off_t len);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off);
int __wrap_ftruncate(int fd, off_t len);
int __wrap_fallocate(int fd, int mode, off_t off, off_t len);

static bool in_child(void)
{
    return victim == 0;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    pause();
}

static How next_call(void)
{
    if (!in_child() || ++shared->calls != shared->die_at) {
        return NOT;
    }
    if (shared->how == BEFORE) {
        die();
    }
    return shared->how;
}

static void call_done(How how)
{
    if (how == AFTER) {
        die();
    }
}

static bool is_cleared(const Slot *s)
{
    return s->type == DDEBUG_LOG_SEG_DATA && s->seq < shared->first_seg;
}

static bool is_used(const Slot *s)
{
    return s->seq && !s->unsure && !is_cleared(s);
}

static unsigned nr_of(uint32_t type)
{
    unsigned n = 0;

    for (uint64_t i = 0; i < shared->nr_segs; i++) {
        n += is_used(&shared->slots[i]) && shared->slots[i].type == type;
    }
    return n;
}

/* The slot with the lowest number of its type, or nr_segs. */
static uint64_t oldest_of(uint32_t type)
{
    uint64_t oldest = shared->nr_segs;

    for (uint64_t i = 0; i < shared->nr_segs; i++) {
        const Slot *s = &shared->slots[i];

        if (is_used(s) && s->type == type &&
            (oldest == shared->nr_segs || s->seq < shared->slots[oldest].seq)) {
            oldest = i;
        }
    }
    return oldest;
}

static bool is_elsewhere(uint64_t slot, uint64_t seq)
{
    for (uint64_t i = 0; i < shared->nr_segs; i++) {
        if (i != slot && shared->slots[i].seq == seq) {
            return true;
        }
    }
    return false;
}

static bool dict_is_full(void)
{
    return nr_of(DDEBUG_LOG_SEG_DICT) >= shared->nr_segs / 2;
}

/* May the segment in @slot be removed, for @header or for none? */
static void check_victim(uint64_t slot, const struct ddebug_log_seg *header)
{
    const Slot *s = &shared->slots[slot];
    const bool wipe = header->magic != DDEBUG_LOG_SEG_MAGIC;
    uint64_t unused = 0;

    if (!is_used(s) || is_elsewhere(slot, s->seq)) {
        return;
    }
    if (!wipe && header->seq == s->seq) {
        fail("segment %" PRIu64 " is begun twice", s->seq);
    }
    if (slot != oldest_of(s->type)) {
        fail("segment %" PRIu64 " in slot %" PRIu64 " goes, and it is not the oldest of its type", s->seq, slot);
    }
    if (wipe) {
        if (shared->op != SHRINK && !dict_is_full()) {
            fail("segment %" PRIu64 " is wiped for nothing", s->seq);
        }
        shared->wiped[s->type]++;
        return;
    }
    for (uint64_t i = 0; i < shared->nr_segs; i++) {
        unused += !is_used(&shared->slots[i]);
    }
    if (s->type == DDEBUG_LOG_SEG_DATA) {
        if (unused) {
            fail("segment %" PRIu64 " is overwritten, and %" PRIu64 " slots are unused", s->seq, unused);
        }
        if (shared->drop && shared->op != CLEAR) {
            fail("segment %" PRIu64 " is overwritten in a log that keeps its oldest", s->seq);
        }
    } else {
        uint64_t data = oldest_of(DDEBUG_LOG_SEG_DATA);

        if (!dict_is_full() && data < shared->nr_segs && shared->slots[data].epoch <= s->epoch) {
            fail("the dictionary segment %" PRIu64 " is overwritten, and data of epoch %u are there", s->seq,
                 shared->slots[data].epoch);
        }
    }
}

/*
 * The first zeros over a slot, including its header.  Whether its segment was allowed
 * to go is decided by the header that follows.
 */
static void zeros_begin(const void *buf, size_t len, off_t off)
{
    const uint8_t *bytes = buf;
    const off_t at = off - (off_t)DDEBUG_LOG_SEGS_OFF;

    if (len <= sizeof(struct ddebug_log_seg) || at < 0 || at % shared->seg_size ||
        at / shared->seg_size >= shared->nr_segs || bytes[0] || memcmp(bytes, bytes + 1, len - 1)) {
        return;
    }
    shared->slots[at / shared->seg_size].blank = true;
}

static void header_begins(uint64_t slot, const struct ddebug_log_seg *header)
{
    if (slot >= SLOTS_MAX) {
        fail("slot %" PRIu64 " is out of bounds", slot);
    }
    check_victim(slot, header);
    shared->slots[slot].unsure = true;
}

static void header_ends(uint64_t slot, const struct ddebug_log_seg *header)
{
    const bool wipe = header->magic != DDEBUG_LOG_SEG_MAGIC;

    shared->slots[slot] = (Slot) {
        .seq = wipe ? 0 : header->seq,
        .type = wipe ? 0 : header->type,
        .epoch = wipe ? 0 : header->epoch,
    };
    shared->turns += !wipe;
}

/*
 * Shrinking keeps everything that fits: one more data segment, with the dictionary
 * that was removed with it, would have been too much.
 */
static void check_kept(uint64_t nr_segs)
{
    const unsigned dict = nr_of(DDEBUG_LOG_SEG_DICT) + shared->wiped[DDEBUG_LOG_SEG_DICT];
    g_autoptr(GHashTable) kept = g_hash_table_new(NULL, NULL);

    for (uint64_t i = 0; i < shared->nr_segs; i++) {
        if (is_used(&shared->slots[i])) {
            g_hash_table_add(kept, GSIZE_TO_POINTER(shared->slots[i].seq));
        }
    }
    if (shared->wiped[DDEBUG_LOG_SEG_DATA] && dict <= nr_segs / 2 &&
        g_hash_table_size(kept) + 1 + shared->wiped[DDEBUG_LOG_SEG_DICT] <= nr_segs) {
        fail("%u data segments are wiped, and of %" PRIu64 " slots %u are used", shared->wiped[DDEBUG_LOG_SEG_DATA],
             nr_segs, g_hash_table_size(kept));
    }
}

/* Everything beyond the new end must have a copy before it. */
static void super_begins(const struct ddebug_log_super *s)
{
    for (uint64_t i = s->nr_segs; i < shared->nr_segs; i++) {
        const Slot *slot = &shared->slots[i];
        bool found = false;

        for (uint64_t k = 0; k < s->nr_segs; k++) {
            found |= shared->slots[k].seq == slot->seq;
        }
        if (is_used(slot) && !found) {
            fail("segment %" PRIu64 " in slot %" PRIu64 " is cut off", slot->seq, i);
        }
    }
    if (shared->op == SHRINK) {
        check_kept(s->nr_segs);
    }
    shared->next_first_seg = s->first_seg;
    shared->super_unsure = true;
}

static void super_ends(const struct ddebug_log_super *s)
{
    for (uint64_t i = s->nr_segs; i < SLOTS_MAX; i++) {
        shared->slots[i] = (Slot) { 0 };
    }
    shared->seg_size = s->seg_size;
    shared->nr_segs = s->nr_segs;
    shared->first_seg = s->first_seg;
    shared->super_unsure = false;
}

static bool slot_at(off_t off, size_t len, uint64_t *slot)
{
    if (len != sizeof(struct ddebug_log_seg) || off < (off_t)DDEBUG_LOG_SEGS_OFF ||
        (off - DDEBUG_LOG_SEGS_OFF) % shared->seg_size) {
        return false;
    }
    *slot = (off - DDEBUG_LOG_SEGS_OFF) / shared->seg_size;
    return true;
}

static size_t torn_len(size_t len)
{
    return len > 1 ? 1 + (shared->calls * 2654435761u + len) % (len - 1) : 0;
}

static bool sabotaged(const char *what)
{
    return in_child() && strcmp(sabotage, what) == 0;
}

ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off)
{
    const bool is_super = len == sizeof(struct ddebug_log_super) && off < (off_t)DDEBUG_LOG_REQUEST_OFF;
    const How how = next_call();
    uint64_t slot = 0;
    bool is_header = in_child() && slot_at(off, len, &slot);
    ssize_t n;

    if (is_header && sabotaged("victim") && shared->turns % 16 == 15) {
        /* not the slot that the writer takes it for */
        off += shared->seg_size * (slot + 1 < shared->nr_segs ? 1 : -1);
    }
    if (is_header && sabotaged("early-cut") && shared->op == SHRINK) {
        __real_ftruncate(fd, DDEBUG_LOG_SEGS_OFF + (shared->nr_segs - 1) * shared->seg_size);
    }
    if (is_header) {
        header_begins(slot, buf);
    } else if (in_child()) {
        zeros_begin(buf, len, off);
    }
    if (in_child() && is_super) {
        super_begins(buf);
    }
    if (how == TORN) {
        len = torn_len(len);
    }
    n = __real_pwrite(fd, buf, len, off);
    if (how == TORN) {
        die();
    }
    if (n != (ssize_t)len) {
        fail("pwrite: %s", n < 0 ? g_strerror(errno) : "cut short");
    }
    if (is_header) {
        header_ends(slot, buf);
    }
    if (in_child() && is_super) {
        super_ends(buf);
    }
    call_done(how);
    return n;
}

/* Another text, with the right checksums. */
static void falsify(struct ddebug_log_chunk *c, uint8_t *payload)
{
    payload[c->len - 1 - 8] ^= 1;
    c->payload_crc = GUINT32_TO_LE(crc(payload, c->len));
    c->crc = GUINT32_TO_LE(crc(c, sizeof(*c) - 4));
}

ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    struct ddebug_log_chunk *c = iov[0].iov_base;
    g_autofree uint8_t *bytes = NULL;
    const How how = next_call();
    size_t len = 0;

    for (int i = 0; i < n; i++) {
        len += iov[i].iov_len;
    }
    if (iov[0].iov_len != sizeof(*c) || c->magic != DDEBUG_LOG_CHUNK_MAGIC) {
        fail("a pwritev() of something else than a chunk");
    }
    bytes = g_malloc(len);
    for (int i = 0, at = 0; i < n; at += iov[i++].iov_len) {
        memcpy(bytes + at, iov[i].iov_base, iov[i].iov_len);
    }
    if (c->type == DDEBUG_LOG_CHUNK_DATA && shared->calls % 64 == 63 && sabotaged("lose")) {
        bytes[0] = 0;
    }
    if (c->type == DDEBUG_LOG_CHUNK_DATA && shared->calls % 64 == 63 && sabotaged("falsify")) {
        falsify((void *)bytes, bytes + sizeof(*c));
    }
    /* a pwrite() has the same effect on the file as the pwritev(), and can be torn */
    if (how == TORN) {
        __real_pwrite(fd, bytes, torn_len(len), off);
        die();
    }
    if (__real_pwrite(fd, bytes, len, off) != (ssize_t)len) {
        fail("pwritev: %s", g_strerror(errno));
    }
    shared->last_seg_seq = c->seg_seq;
    call_done(how);
    return len;
}

int __wrap_ftruncate(int fd, off_t len)
{
    const How how = next_call();
    int r = __real_ftruncate(fd, len);

    if (how == TORN) {
        die();
    }
    call_done(how);
    return r;
}

int __wrap_fallocate(int fd, int mode, off_t off, off_t len)
{
    const How how = next_call();
    int r;

    if (how == TORN) {
        __real_fallocate(fd, mode, off, torn_len(len));
        die();
    }
    r = __real_fallocate(fd, mode, off, len);
    call_done(how);
    return r;
}

/* ---- the child ---- */

typedef struct Child {
    DdebugLog *log;
    GRand *rand;
    Producer *streams[NR_STREAMS];
    GString *text;
    GByteArray *payload;
    uint64_t pass;
} Child;

static void begin(Op op)
{
    shared->op = op;
    memset(shared->wiped, 0, sizeof(shared->wiped));
    shared->busy = true;
}

static void end(void)
{
    shared->busy = false;
}

static void must(int r, const char *what)
{
    if (r && r != -EXFULL) {
        fail("%s: %s", what, g_strerror(-r));
    }
}

static void attach(Child *c)
{
    struct virtio_ddebug_attach intro = {
        .abi_version = GUINT32_TO_LE(VIRTIO_DDEBUG_ABI_VERSION),
        .nr_cpus = GUINT32_TO_LE(NR_STREAMS),
        .instance = GUINT64_TO_LE(shared->life),
    };

    begin(ATTACH);
    must(ddebug_log_append_attach(c->log, &intro, sizeof(intro)), "attach");
    end();
}

static void announce(Child *c)
{
    struct {
        struct ddebug_callsite site;
        char strings[32];
    } entry = {
        .site = {
            .len = GUINT32_TO_LE(sizeof(entry)),
            .id = GUINT32_TO_LE(g_rand_int_range(c->rand, 1, 9)),
            .module_len = GUINT16_TO_LE(6),
        },
        .strings = "module",
    };

    begin(DICT);
    must(ddebug_log_append_dict(c->log, &entry, sizeof(entry)), "dict");
    end();
}

static void say(Child *c)
{
    const uint32_t stream = g_rand_int_range(c->rand, 0, NR_STREAMS);
    const uint64_t n = 1 + g_rand_int_range(c->rand, 0, 4);
    Producer *p = c->streams[stream];
    const uint64_t first = p->number;
    struct ddebug_log_chunk chunk;
    uint64_t taken = first;

    for (uint64_t i = 0; i < n; i++) {
        said_text(c->text, &(Said) { shared->life, stream, p->number });
        producer_say(p, ++c->pass, 1, c->text->str, c->text->len);
    }
    /* a span for each sub-buffer started; the last one has the rest */
    while (producer_take(p, &chunk, c->payload)) {
        struct ddebug_subbuf_hdr hdr;
        DdebugLogData d = {
            .epoch = ddebug_log_epoch(c->log), .stream = stream, .cpu = stream,
            .subbuf_shift = chunk.subbuf_shift, .pass = c->pass, .pos = GUINT64_FROM_LE(chunk.pos),
        };
        uint64_t until = p->number;
        int r;

        if (p->taken < p->bytes->len) {
            memcpy(&hdr, p->bytes->data + p->taken, sizeof(hdr));
            until = GUINT64_FROM_LE(hdr.seq);
        }
        d.produced = until;
        begin(APPEND);
        shared->asked[stream] = until;
        r = ddebug_log_append_data(c->log, &d, c->payload->data, c->payload->len);
        must(r, "append");
        if (!r && until > taken) {
            if (shared->nr_acks == ACKS_MAX) {
                fail("too many chunks for one child");
            }
            shared->acks[shared->nr_acks] = (Ack) {
                shared->last_seg_seq, shared->life, stream, taken, until,
            };
            __atomic_store_n(&shared->nr_acks, shared->nr_acks + 1, __ATOMIC_RELEASE);
        }
        shared->produced[stream] = until;
        taken = until;
        end();
    }
}

static void resize_to(Child *c, uint64_t size)
{
    g_autoptr(GError) error = NULL;

    begin(size > ddebug_log_size(c->log) ? GROW : SHRINK);
    if (!ddebug_log_resize(c->log, size, &error) &&
        !g_error_matches(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SIZE)) {
        fail("resize: %s", error->message);
    }
    end();
    shared->resizes++;
}

static void resize(Child *c)
{
    resize_to(c, MIB + g_rand_int(c->rand) % ((SIZE_MAX_MIB - 1) * MIB));
}

static void clear(Child *c)
{
    g_autoptr(GError) error = NULL;

    begin(CLEAR);
    if (!ddebug_log_clear(c->log, &error)) {
        fail("clear: %s", error->message);
    }
    end();
    shared->clears++;
}

static void one(Child *c)
{
    int what = g_rand_int_range(c->rand, 0, 200);

    if (what < 160) {
        say(c);
    } else if (what < 168) {
        begin(EVENT);
        must(ddebug_log_append_event(c->log, DDEBUG_LOG_EVENT_CONT, 0, 0, 0), "event");
        end();
    } else if (what < 176) {
        begin(STATE);
        must(ddebug_log_write_state(c->log, c->pass), "state");
        end();
    } else if (what < 180) {
        announce(c);
    } else if (what < 182) {
        attach(c);
    } else if (what < 184) {
        shared->drop = !shared->drop;
        ddebug_log_set_mode(c->log, shared->drop ? DDEBUG_LOG_DROP : DDEBUG_LOG_OVERWRITE);
    } else if (what < 198) {
        resize(c);
    } else {
        clear(c);
    }
}

/* Everything that changes more than one place of the file, and some of the rest. */
static void tour(Child *c)
{
    for (int i = 0; i < 30; i++) {
        say(c);
    }
    resize_to(c, MIB);
    say(c);
    resize_to(c, SIZE_MAX_MIB * MIB);
    say(c);
    clear(c);
    say(c);
    resize_to(c, 2 * MIB);
    attach(c);
    say(c);
}

static void child_main(uint32_t seed, int ops)
{
    g_autoptr(GError) error = NULL;
    Child c = {
        .rand = g_rand_new_with_seed(seed), .text = g_string_new(NULL), .payload = g_byte_array_new(),
    };

    for (uint32_t i = 0; i < NR_STREAMS; i++) {
        c.streams[i] = producer_new(i, i, 0);
        c.streams[i]->shift = 14;
    }
    begin(OPEN);
    c.log = ddebug_log_open(path, 0, NULL, 0, &error);
    if (!c.log) {
        fail("the next writer cannot open the log: %s", error->message);
    }
    c.pass = ddebug_log_last_pass(c.log);
    must(ddebug_log_append_event(c.log, DDEBUG_LOG_EVENT_OPEN, getpid(), 0, 0), "open event");
    end();
    attach(&c);
    announce(&c);
    if (ops == TOUR) {
        tour(&c);
    }
    for (int i = 0; i < ops; i++) {
        one(&c);
    }
    begin(CLOSE);
    must(ddebug_log_append_event(c.log, DDEBUG_LOG_EVENT_CLOSE, 0, 0, 0), "close event");
    ddebug_log_close(c.log);
    end();
    _exit(0);
}

/* ---- the parent ---- */

/* Must, may or must not messages of this segment be there? */
typedef enum Fate { GONE, MAYBE, THERE } Fate;

static Fate fate_of(uint64_t seg_seq)
{
    bool may_be_cleared = shared->super_unsure && seg_seq < shared->next_first_seg;
    Fate fate = GONE;

    if (seg_seq < shared->first_seg) {
        return GONE;
    }
    for (uint64_t i = 0; i < shared->nr_segs; i++) {
        const Slot *s = &shared->slots[i];

        if (s->seq != seg_seq) {
            continue;
        }
        fate = MAX(fate, s->unsure || s->blank || may_be_cleared ? MAYBE : THERE);
    }
    return fate;
}

/* Was this message part of the interrupted call? */
static bool is_in_flight(const Said *key)
{
    return key->life == shared->life && key->stream < NR_STREAMS &&
           key->number >= shared->produced[key->stream] && key->number < shared->asked[key->stream];
}

/* All acknowledged messages that must be there are, and no others. */
static void compare(Found *found)
{
    g_autoptr(GHashTable) allowed = g_hash_table_new_full(said_hash, said_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer key;

    for (uint32_t i = 0; i < shared->nr_acks; i++) {
        const Ack *ack = &shared->acks[i];
        const Fate fate = fate_of(ack->seg_seq);

        for (uint64_t n = ack->first; n < ack->end && fate != GONE; n++) {
            const Said want = { ack->life, ack->stream, n };

            if (fate == THERE && !g_hash_table_contains(found->said, &want)) {
                fail("message %" PRIu64 " of stream %u of life %" PRIu64 ", acknowledged in segment %" PRIu64
                     ", is lost", n, ack->stream, ack->life, ack->seg_seq);
            }
            g_hash_table_add(allowed, g_memdup2(&want, sizeof(want)));
        }
    }
    g_hash_table_iter_init(&iter, found->said);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const Said *k = key;

        if (!g_hash_table_contains(allowed, k) && !is_in_flight(k)) {
            fail("message %" PRIu64 " of stream %u of life %" PRIu64 " is there, and is overwritten, cleared, "
                 "or was given up", k->number, k->stream, k->life);
        }
    }
}

/* The next child starts with the current state of the file. */
static void take_over(View *v)
{
    const Chunk *last = NULL;
    uint32_t kept = 0;

    /*
     * A torn header, or what an interrupted wipe has left of one: what follows it may
     * be hidden, and reappear when another writer dies while writing the same header.
     */
    for (uint64_t i = 0; i < SLOTS_MAX; i++) {
        if (!shared->slots[i].unsure || i >= v->super.nr_segs) {
            shared->slots[i] = (Slot) { 0 };
        }
    }
    shared->seg_size = v->super.seg_size;
    shared->nr_segs = v->super.nr_segs;
    shared->first_seg = v->super.first_seg;
    shared->super_unsure = false;
    for (guint i = 0; i < v->all->len; i++) {
        const Seg *s = &g_array_index(v->all, Seg, i);

        shared->slots[s->slot] = (Slot) { s->seq, s->type, s->epoch, false, false };
    }
    for (guint i = 0; i < v->chunks->len; i++) {
        const Chunk *c = &g_array_index(v->chunks, Chunk, i);

        if (c->h.type == DDEBUG_LOG_CHUNK_DATA && (!last || c->h.chunk_seq > last->h.chunk_seq)) {
            last = c;
        }
    }
    /* messages of the interrupted call count as acknowledged if they reached the file */
    if (last && shared->busy && shared->op == APPEND && shared->nr_acks < ACKS_MAX &&
        last->h.produced > shared->produced[last->h.stream] &&
        last->h.produced == shared->asked[last->h.stream]) {
        const uint32_t stream = last->h.stream;

        shared->acks[shared->nr_acks++] = (Ack) {
            last->h.seg_seq, shared->life, stream, shared->produced[stream], shared->asked[stream],
        };
    }
    for (uint32_t i = 0; i < shared->nr_acks; i++) {
        if (fate_of(shared->acks[i].seg_seq) != GONE) {
            shared->acks[kept++] = shared->acks[i];
        }
    }
    shared->nr_acks = kept;
}

typedef struct Statistics {
    uint64_t kills, ends, checked, lost;
    uint64_t killed_in[NR_OPS];
    uint64_t killed[AFTER + 1];
} Statistics;

static void check(Statistics *stat)
{
    g_autoptr(Found) found = found_new(false);
    g_autoptr(View) v = NULL;

    found_read(found, path);
    compare(found);
    /* dying during a write leaves at most one torn chunk */
    if (found->torn > stat->killed[NOT] + stat->killed[TORN]) {
        fail("%" PRIu64 " chunks are damaged, and only %" PRIu64 " writers died in a write", found->torn,
             stat->killed[NOT] + stat->killed[TORN]);
    }
    v = view_load(path, false);
    take_over(v);
    stat->checked += found->messages;
    stat->lost += found->lost;
}

/* Run one child and check the result; return true if it was killed. */
static bool run(uint32_t seed, uint64_t die_at, How how, int ops, int64_t kill_us, Statistics *stat)
{
    int status;

    shared->life++;
    shared->calls = 0;
    shared->die_at = die_at;
    shared->how = how;
    shared->drop = false;
    for (int i = 0; i < NR_STREAMS; i++) {
        shared->produced[i] = shared->asked[i] = 0;
    }
    fflush(stdout);
    victim = fork();
    g_assert_cmpint(victim, >=, 0);
    if (victim == 0) {
        child_main(seed, ops);
    }
    if (kill_us >= 0) {
        g_usleep(kill_us);
        kill(victim, SIGKILL);
    }
    g_assert_cmpint(waitpid(victim, &status, 0), ==, victim);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        stat->kills++;
        stat->killed[how]++;
        stat->killed_in[shared->op]++;
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        stat->ends++;
    } else {
        printf("FAILED: the writer ended with status %#x\n", status);
        exit(1);
    }
    check(stat);
    return WIFSIGNALED(status);
}

/* A separate log for each of the two modes. */
static void make_log(void)
{
    g_autoptr(GError) error = NULL;
    DdebugLog *log;

    unlink(path);
    log = ddebug_log_open(path, 2 * MIB, NULL, DDEBUG_LOG_OPEN_CREATE, &error);
    g_assert_no_error(error);
    ddebug_log_close(log);
    shared->nr_acks = 0;
    shared->life = 0;
    take_over(view_load(path, false));
}

/* At random: by the clock, or by the count of system calls. */
static void at_random(uint64_t kills, GRand *rand, Statistics *stat)
{
    make_log();
    while (stat->kills < kills) {
        const uint32_t seed = g_rand_int(rand);

        if (g_rand_boolean(rand)) {
            run(seed, 0, NOT, 3000, g_rand_int_range(rand, 0, 20000), stat);
        } else {
            run(seed, g_rand_int_range(rand, 1, 300), g_rand_int_range(rand, BEFORE, AFTER + 1), 3000, -1, stat);
        }
    }
}

/* A snapshot of the file and of what is known about it. */
typedef struct Memory {
    char *bytes;
    gsize len;
    Shared shared;
} Memory;

static Memory *remember(void)
{
    Memory *m = g_new(Memory, 1);

    g_assert_true(g_file_get_contents(path, &m->bytes, &m->len, NULL));
    memcpy(&m->shared, shared, sizeof(Shared));
    return m;
}

static void recall(const Memory *m)
{
    memcpy(shared, &m->shared, sizeof(Shared));
    g_assert_true(g_file_set_contents(path, m->bytes, m->len, NULL));
}

static void forget(Memory *m)
{
    g_free(m->bytes);
    g_free(m);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Memory, forget)

/* The next writer dies as well, at every call with which it repairs what the last one left. */
static void while_mending(uint32_t seed, Statistics *stat)
{
    g_autoptr(Memory) left = remember();

    for (How how = BEFORE; how <= AFTER; how++) {
        uint64_t at = 1;

        do {
            recall(left);
        } while (run(seed, at++, how, 0, -1, stat) && shared->op == OPEN);
    }
}

/*
 * Die at every system call of a child, in each of the ways, always starting from the
 * same file, so that what happens before is the same each time.
 */
static void at_every_call(uint32_t seed, Statistics *stat)
{
    g_autoptr(Memory) before = NULL;

    make_log();
    run(seed, 0, NOT, 300, -1, stat);
    before = remember();
    for (How how = BEFORE; how <= AFTER; how++) {
        uint64_t at = 1;

        for (;;) {
            recall(before);
            if (!run(seed, at++, how, TOUR, -1, stat)) {
                break;
            }
            if (shared->op == GROW || shared->op == SHRINK || shared->op == CLEAR) {
                while_mending(seed, stat);
            }
        }
    }
    /* and once more, to check that the log can be continued */
    run(seed + 1, 0, NOT, 300, -1, stat);
}

static void report(const char *what, const Statistics *s)
{
    if (!s->kills) {
        return;
    }
    printf("# %s: %" PRIu64 " kills (%" PRIu64 " by the clock, %" PRIu64 " before a call, %" PRIu64
           " in it, %" PRIu64 " after it), %" PRIu64 " messages read and checked, %" PRIu64 " told to be missing\n",
           what, s->kills, s->killed[NOT], s->killed[BEFORE], s->killed[TORN], s->killed[AFTER], s->checked, s->lost);
    printf("# killed in:");
    for (int op = 0; op < NR_OPS; op++) {
        printf(" %s %" PRIu64, op_names[op], s->killed_in[op]);
    }
    printf("; %" PRIu64 " resizes, %" PRIu64 " clears, %" PRIu64 " segments\n", shared->resizes, shared->clears,
           shared->turns);
}

int main(int argc, char **argv)
{
    gint kills = 300, seed = 1, every = 1;
    g_autofree char *folder = NULL, *how = NULL;
    GOptionEntry options[] = {
        { "kills", 0, 0, G_OPTION_ARG_INT, &kills, "at random", "N" },
        { "every-call", 0, 0, G_OPTION_ARG_INT, &every, "tours of which every call is the last", "N" },
        { "seed", 0, 0, G_OPTION_ARG_INT, &seed, "of the random numbers", "N" },
        { "sabotage", 0, 0, G_OPTION_ARG_STRING, &how, "what is to be found", "lose|falsify|victim|early-cut" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GRand) rand = NULL;
    g_autoptr(GError) error = NULL;
    Statistics random = { 0 }, calls = { 0 };

    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 2;
    }
    sabotage = how ? how : "";
    victim = -1;
    rand = g_rand_new_with_seed(seed);
    folder = g_dir_make_tmp("ddebug-crash-XXXXXX", NULL);
    path = g_build_filename(folder, "log", NULL);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(shared != MAP_FAILED);

    for (gint i = 0; i < every; i++) {
        at_every_call(g_rand_int(rand), &calls);
    }
    report("at every call", &calls);
    at_random(kills, rand, &random);
    report("at random", &random);
    unlink(path);
    rmdir(folder);
    return 0;
}
