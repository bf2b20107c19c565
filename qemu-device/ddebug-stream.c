/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a stream while the guest writes it, by the rules of
 * docs/spec/virtio-ddebug.md ("Stream header", "Status").  The writer's side,
 * with the same labels, is guest-driver/ddebug_ring.c.
 *
 * The guest may break any of the rules.  A word of the guest that a bound
 * depends on is loaded once, so that the value checked is the value used; a
 * position becomes an address only modulo ring_size, and a length is bounded by
 * a sub-buffer.  So the worst a guest can do is to have wrong bytes copied from
 * its own ring.
 *
 * Pages that are gone
 * -------------------
 * The memory is a mapping.  If the page behind an address was truncated from its
 * file, cannot be read from the disk, or has been found to have an error, an
 * access to it is SIGBUS, which QEMU's threads block, so that it would end QEMU.
 * A handler would have to be shared with QEMU's own, and a copy by system call
 * turns an error that nobody has found yet from the end of a process into one
 * of the host.  So the kernel is asked first, which brings the page in as an
 * access would, but answers with an error.  A page that goes between that and
 * the access, and a new error, are still the end.
 *
 * Barriers
 * --------
 *   label     what                                 pairs with, in the guest
 *   device:A  load-acquire of head, before the     producer:B, store-release
 *             copy                                 of head behind the data
 *   device:B  rmb between the copy and the         producer:A, wmb between
 *             second load of reserve               reserve and the data
 *   device:C  full barrier between the stores of   kick:A, full barrier between
 *             want_kick and the next load of head  head and want_kick
 *   device:D  load-acquire of reserve, before the  producer:A, wmb behind
 *             second load of head                  reserve
 *   device:E  load-acquire of notice, before the   producer:E, store-release
 *             load of head                         of notice behind head
 *
 * A and B: the bytes copied are those that were committed, unless the second
 * reserve says that they were being overwritten.  C: either the device sees the
 * new head, or the driver sees want_kick, so that no message waits while the
 * thread sleeps.  D: the second head is recent enough that a producer that
 * keeps the rules never seems to break them.  E: a reader of the notice of a
 * death sees all that was logged before it.  tests/litmus/ has a model of each
 * pair.
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "ddebug-stream.h"

/*
 * A producer that keeps lapping the copy is faster than memcpy(): give up, so
 * that the other streams get their turn.
 */
#define DDEBUG_LAPS_MAX 4

#define SUBBUF_HDR sizeof(struct ddebug_subbuf_hdr)

/*
 * Enough even for a span preceded by a sub-buffer's header: it starts inside
 * the sub-buffer, and so is shorter by at least that header.
 */
QEMU_BUILD_BUG_ON((1u << VIRTIO_DDEBUG_SUBBUF_SHIFT_MAX) >
                  DDEBUG_LOG_PAYLOAD_MAX);

void ddebug_stream_free(DdebugStream *st)
{
    g_free(st->ring);
    g_free(st);
}

static uint64_t load_word(const __le64 *p)
{
    return le64_to_cpu(qatomic_read((const uint64_t *)p));
}

bool ddebug_stream_is_there(const void *from, size_t len, bool write)
{
    const uintptr_t page = sysconf(_SC_PAGESIZE);
    const uintptr_t start = ROUND_DOWN((uintptr_t)from, page);

    /* EINVAL: Linux before 5.14, or a mapping that the kernel does not know */
    return madvise((void *)start, (uintptr_t)from + len - start,
                   write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0 ||
           (errno != EFAULT && errno != EHWPOISON);
}

static bool gone(DdebugStream *st)
{
    st->gone = st->stopped = true;
    return false;
}

bool ddebug_stream_probe(DdebugStream *st)
{
    if (st->gone) {
        return false;
    }
    if (!ddebug_stream_is_there(st->hdr, sizeof(*st->hdr), false) ||
        !ddebug_stream_is_there(st->status, sizeof(*st->status), true)) {
        return gone(st);
    }
    return true;
}

uint64_t ddebug_stream_head(const DdebugStream *st)
{
    return st->gone ? st->consumed : load_word(&st->hdr->head);
}

bool ddebug_stream_is_active(const DdebugStream *st)
{
    return !st->stopped && qatomic_read((const uint32_t *)&st->hdr->active);
}

uint32_t ddebug_stream_notice(const DdebugStream *st)
{
    if (st->gone) {
        return st->notice;
    }
    /* device:E pairs with producer:E: the messages before the notice */
    return le32_to_cpu(
        qatomic_load_acquire((const uint32_t *)&st->hdr->notice));
}

static void store_consumed(DdebugStream *st)
{
    qatomic_set((uint64_t *)&st->status->consumed, cpu_to_le64(st->consumed));
    st->status_written = true;
}

void ddebug_stream_want_kick(DdebugStream *st, bool want)
{
    if (st->wants_kick == want || st->gone) {
        return;
    }
    st->wants_kick = want;
    qatomic_set((uint32_t *)&st->status->want_kick, cpu_to_le32(want));
    st->status_written = true;
}

bool ddebug_stream_write_last_status(DdebugStream *st)
{
    if (!ddebug_stream_probe(st)) {
        return false;
    }
    store_consumed(st);
    qatomic_set((uint32_t *)&st->status->want_kick, 0);
    return true;
}

bool ddebug_streams_ask_for_kicks(DdebugStream *const *streams, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        ddebug_stream_want_kick(streams[i], true);
    }
    /* device:C pairs with kick:A: want_kick before head */
    smp_mb();
    for (i = 0; i < count; i++) {
        const DdebugStream *st = streams[i];

        if (!st->stopped && ddebug_stream_head(st) != st->consumed) {
            return false;
        }
    }
    return true;
}

static bool broken(DdebugStream *st, const char *rule, uint64_t value)
{
    st->stopped = true;
    st->broken_rule = rule;
    st->broken_value = value;
    return false;
}

/*
 * Load head and reserve, and check what rules can be checked.
 *
 * The producer runs meanwhile, so the two are not a snapshot: reserve, loaded
 * second, may be any number of messages ahead of head.  But a head loaded after
 * it (device:D) lags behind it by no more than what that reserve was published
 * for, plus, on machines where its store may pass earlier stores of head, what
 * the previous reserve was published for: the wmb after that one ordered
 * everything before it.  A reserve is published for less than 1.1 KiB, twice as
 * much if a message ends a sub-buffer, so that both together are less than the
 * smallest sub-buffer.
 */
static bool load_positions(DdebugStream *st, uint64_t *head, uint64_t *reserve)
{
    uint64_t later_head;

    /* device:A pairs with producer:B: data, and reserve, before head */
    *head = le64_to_cpu(
        qatomic_load_acquire((const uint64_t *)&st->hdr->head));
    /* device:D pairs with producer:A: the heads before reserve */
    *reserve = le64_to_cpu(
        qatomic_load_acquire((const uint64_t *)&st->hdr->reserve));
    later_head = ddebug_stream_head(st);
    if (*head < st->consumed) {
        return broken(st, "head moved backwards", *head);
    }
    /* never reached in practice; below it sums of positions cannot wrap */
    if (*head > INT64_MAX) {
        return broken(st, "head is beyond 2^63", *head);
    }
    if (*head % DDEBUG_REC_ALIGN) {
        return broken(st, "head is not a multiple of 8", *head);
    }
    if (*reserve < *head) {
        return broken(st, "reserve is below head", *reserve);
    }
    /* so a sub-buffer's worth below head is intact: copies make progress */
    if (*reserve > later_head &&
        *reserve - later_head > st->ring_size - (1u << st->subbuf_shift)) {
        return broken(st, "reserve is too far ahead", *reserve);
    }
    return true;
}

/*
 * Return @from if nothing from there on was overwritten; otherwise the oldest
 * position that is intact together with its sub-buffer's header, which is the
 * start of a sub-buffer.
 */
static uint64_t oldest_whole(const DdebugStream *st, uint64_t from,
                             uint64_t reserve)
{
    const uint64_t subbuf = 1ull << st->subbuf_shift;

    if (reserve <= st->ring_size || from >= reserve - st->ring_size) {
        return from;
    }
    return ROUND_UP(reserve - st->ring_size, subbuf);
}

/*
 * The only place that loads bytes which may be stored concurrently, with only
 * the words of the header in between: a data race as C defines it, on purpose.
 *
 * It is harmless: the device never looks at the bytes, and ddebug_stream_copy()
 * returns a span only if it was still intact after the copy.  Suppose that a
 * byte of it is not the one committed at its position p.  It is not older: the
 * head loaded first (device:A) is above p, so the committed byte was visible.
 * So it belongs to p + k * ring_size, k > 0, and before it was stored the
 * producer had stored a reserve above p + ring_size, which the load after
 * device:B sees.  Then oldest_whole() is above p, and the span is dropped.  The
 * compiler may split or repeat the loads, since none of this depends on how
 * often, or in what order, the bytes are loaded; it may not move them across
 * device:A or device:B.
 *
 * So ThreadSanitizer is told to ignore it, here only.  It checks memcpy()
 * in every caller, hence the loop.
 */
static void __attribute__((no_sanitize("thread")))
copy_racing(void *to, const void *from, size_t len)
{
#ifdef __SANITIZE_THREAD__
    const volatile uint8_t *bytes = from;
    size_t i;

    for (i = 0; i < len; i++) {
        ((uint8_t *)to)[i] = bytes[i];
    }
#else
    memcpy(to, from, len);
#endif
}

/*
 * [@pos, @pos + @len) is inside a sub-buffer, so it does not wrap.  Return false
 * if a page of it is gone.
 */
static bool copy_ring(DdebugStream *st, uint64_t pos, uint8_t *buf, size_t len)
{
    size_t off = pos % st->ring_size;
    unsigned i;

    for (i = 0; len && i < st->nr_pieces; i++) {
        const struct iovec *piece = &st->ring[i];
        const uint8_t *from;
        size_t n;

        if (off >= piece->iov_len) {
            off -= piece->iov_len;
            continue;
        }
        n = MIN(piece->iov_len - off, len);
        from = (const uint8_t *)piece->iov_base + off;
        if (!ddebug_stream_is_there(from, n, false)) {
            return gone(st);
        }
        copy_racing(buf, from, n);
        buf += n;
        len -= n;
        off = 0;
    }
    return true;
}

size_t ddebug_stream_copy(DdebugStream *st, uint64_t limit, uint8_t *buf,
                          DdebugLogData *data)
{
    const uint64_t subbuf = 1ull << st->subbuf_shift;
    uint64_t head, reserve, pos, begin, end;
    size_t extra;
    int laps;

    if (st->stopped || !ddebug_stream_probe(st) ||
        !load_positions(st, &head, &reserve)) {
        return 0;
    }
    limit = MIN(limit, head);
    pos = st->consumed;
    for (laps = 0; laps < DDEBUG_LAPS_MAX; laps++) {
        begin = ROUND_DOWN(pos, subbuf);
        if (oldest_whole(st, begin, reserve) != begin) {
            pos = begin = oldest_whole(st, begin, reserve);
        }
        if (pos >= limit) {
            return 0;
        }
        end = MIN(begin + subbuf, limit);
        extra = pos == begin ? 0 : SUBBUF_HDR;
        if (extra && pos - begin < SUBBUF_HDR) {
            broken(st, "position is inside a sub-buffer's header", pos);
            return 0;
        }
        if ((extra && !copy_ring(st, begin, buf, extra)) ||
            !copy_ring(st, pos, buf + extra, end - pos)) {
            return 0;
        }
        /* device:B pairs with producer:A: reserve before data */
        smp_rmb();
        reserve = load_word(&st->hdr->reserve);
        if (oldest_whole(st, begin, reserve) == begin) {
            break;
        }
    }
    if (laps == DDEBUG_LAPS_MAX) {
        return 0;
    }
    *data = (DdebugLogData) {
        .stream = st->id,
        .generation = st->generation,
        .cpu = st->cpu,
        .context = st->context,
        .subbuf_shift = st->subbuf_shift,
        .pos = pos,
        .produced = load_word(&st->hdr->seq),
        .recursed = load_word(&st->hdr->recursed),
        .torn = load_word(&st->hdr->torn),
        .clamped = load_word(&st->hdr->clamped),
    };
    st->consumed = end;
    store_consumed(st);
    return extra + (end - pos);
}
