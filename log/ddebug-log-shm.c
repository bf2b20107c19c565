/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared rings: docs/log-format.md, "Shared rings".
 *
 * The words beside a ring tell what is left in it: the guest's (head, reserve)
 * and the device's (drained).  They were stored to pages of the file in CPU
 * order, so they are as they were when the process was killed; reading them
 * needs no barrier, since nobody stores any more.  The guest may have stored
 * anything: a position becomes an offset only modulo the ring's size, which
 * was checked.
 */
#include "ddebug-log-internal.h"
#include <sys/mman.h>
#include "ddebug_record.h"
#include "virtio_ddebug.h"

/* To a power of two. */
#define ROUND_DOWN(n, to) ((n) & ~((uint64_t)(to) - 1))
#define ROUND_UP(n, to) ROUND_DOWN((n) + (to) - 1, to)

#define SUBBUF_HDR ((uint64_t)sizeof(struct ddebug_subbuf_hdr))

G_STATIC_ASSERT((1u << VIRTIO_DDEBUG_SUBBUF_SHIFT_MAX) <=
                DDEBUG_LOG_PAYLOAD_MAX);
G_STATIC_ASSERT(VIRTIO_DDEBUG_SHM_RING_OFF % VIRTIO_DDEBUG_SHM_ALIGN == 0);

/* What lies before the ring. */
typedef struct DdebugShmPage {
    struct virtio_ddebug_stream_desc desc;
    struct virtio_ddebug_stream_hdr hdr;
    uint8_t zeros[VIRTIO_DDEBUG_SHM_STATUS_OFF - 128];
    struct virtio_ddebug_shm_status status;
} DdebugShmPage;

G_STATIC_ASSERT(offsetof(DdebugShmPage, hdr) == VIRTIO_DDEBUG_SHM_HDR_OFF);
G_STATIC_ASSERT(offsetof(DdebugShmPage, status) ==
                VIRTIO_DDEBUG_SHM_STATUS_OFF);

/* What is left */

static bool is_ring(const struct virtio_ddebug_stream_desc *d, uint32_t epoch,
                    uint64_t off, uint64_t shm_size)
{
    const uint32_t ring_size = GUINT32_FROM_LE(d->ring_size);
    const uint64_t room = shm_size - off - VIRTIO_DDEBUG_SHM_RING_OFF;

    return GUINT32_FROM_LE(d->magic) == VIRTIO_DDEBUG_STREAM_MAGIC &&
           GUINT32_FROM_LE(d->flags) & VIRTIO_DDEBUG_STREAM_F_SHM &&
           GUINT32_FROM_LE(d->epoch) == epoch &&
           GUINT64_FROM_LE(d->shm_offset) == off &&
           ddebug_shm_is_geometry(d->context, d->subbuf_shift, ring_size) &&
           ring_size <= room;
}

/*
 * The rule that is broken, by those the device holds a running guest to; or
 * NULL.
 */
static const char *broken_rule(const DdebugShmRing *r, uint64_t subbuf)
{
    if (r->head > INT64_MAX || r->head % DDEBUG_REC_ALIGN) {
        return "its head is not a valid position";
    }
    if (r->reserve < r->head) {
        return "its reserve is behind its head";
    }
    if (r->reserve - r->head > r->ring_size - subbuf) {
        return "its reserve is too far ahead";
    }
    if (r->next > r->head || r->next % DDEBUG_REC_ALIGN ||
        (r->next % subbuf && r->next % subbuf < SUBBUF_HDR)) {
        return "it does not start at a valid position";
    }
    return NULL;
}

static void take_ring(DdebugShmRing *r, const DdebugShmPage *page,
                      const DdebugShmSeen *seen, uint64_t off)
{
    const struct virtio_ddebug_stream_desc *d = &page->desc;
    const uint64_t subbuf = 1ull << d->subbuf_shift;
    const uint64_t drained = GUINT64_FROM_LE(page->status.drained);

    *r = (DdebugShmRing) {
        .off = off,
        .ring_size = GUINT32_FROM_LE(d->ring_size),
        .reserve = GUINT64_FROM_LE(page->hdr.reserve),
        .head = GUINT64_FROM_LE(page->hdr.head),
        .next = GUINT64_FROM_LE(d->start),
        .data = {
            .epoch = GUINT32_FROM_LE(d->epoch),
            .stream = GUINT32_FROM_LE(d->stream),
            .generation = GUINT32_FROM_LE(d->generation),
            .cpu = GUINT32_FROM_LE(d->cpu),
            .context = d->context,
            .subbuf_shift = d->subbuf_shift,
            .produced = GUINT64_FROM_LE(page->hdr.seq),
            .recursed = GUINT64_FROM_LE(page->hdr.recursed),
            .torn = GUINT64_FROM_LE(page->hdr.torn),
            .clamped = GUINT64_FROM_LE(page->hdr.clamped),
        },
    };
    r->next = MAX(r->next, drained);
    if (seen->epoch == r->data.epoch && seen->stream == r->data.stream &&
        seen->end <= r->head) {
        r->next = MAX(r->next, seen->end);
    }
    r->broken_rule = broken_rule(r, subbuf);
    if (r->broken_rule) {
        r->next = r->head;
    } else if (r->reserve > r->ring_size &&
               ROUND_DOWN(r->next, subbuf) < r->reserve - r->ring_size) {
        /* partly overwritten: start at the oldest whole sub-buffer */
        r->next = ROUND_UP(r->reserve - r->ring_size, subbuf);
    }
}

bool ddebug_shm_next_ring(int fd, uint64_t shm_size, uint32_t epoch,
                          const DdebugShmSeen *seen, uint64_t *off,
                          DdebugShmRing *ring)
{
    DdebugShmPage page;

    for (; shm_size >= VIRTIO_DDEBUG_SHM_RING_OFF &&
           *off <= shm_size - VIRTIO_DDEBUG_SHM_RING_OFF;
         *off += VIRTIO_DDEBUG_SHM_ALIGN) {
        const uint64_t at = DDEBUG_LOG_SHM_OFF + *off;

        if (ddlog_read_at(fd, &page.desc, sizeof(page.desc), at)) {
            return false;
        }
        if (!is_ring(&page.desc, epoch, *off, shm_size)) {
            continue;
        }
        if (ddlog_read_at(fd, &page.hdr, sizeof(page) - sizeof(page.desc),
                          at + sizeof(page.desc))) {
            return false;
        }
        take_ring(ring, &page, seen, *off);
        *off += VIRTIO_DDEBUG_SHM_RING_OFF +
                ROUND_UP(ring->ring_size, VIRTIO_DDEBUG_SHM_ALIGN);
        return true;
    }
    return false;
}

static bool read_ring(int fd, const DdebugShmRing *r, uint64_t pos, void *buf,
                      size_t len)
{
    return !ddlog_read_at(fd, buf, len, DDEBUG_LOG_SHM_OFF + r->off +
                          VIRTIO_DDEBUG_SHM_RING_OFF + pos % r->ring_size);
}

size_t ddebug_shm_next_span(int fd, DdebugShmRing *r, uint8_t *buf)
{
    const uint64_t subbuf = 1ull << r->data.subbuf_shift;
    const uint64_t pos = r->next, begin = ROUND_DOWN(pos, subbuf);
    const size_t extra = pos == begin ? 0 : SUBBUF_HDR;
    uint64_t end;

    if (pos >= r->head) {
        return 0;
    }
    end = MIN(begin + subbuf, r->head);
    if ((extra && !read_ring(fd, r, begin, buf, extra)) ||
        !read_ring(fd, r, pos, buf + extra, end - pos)) {
        r->broken_rule = "it cannot be read";
        r->next = r->head;
        return 0;
    }
    r->data.pos = pos;
    r->next = end;
    return extra + (end - pos);
}

/* The next writer */

/*
 * Note in the file that everything before @pos is in the log, or was given up.
 */
static void write_drained(DdebugLog *log, const DdebugShmRing *r, uint64_t pos)
{
    const uint64_t word = GUINT64_TO_LE(pos);

    ddlog_write_at(log->fd, &word, sizeof(word),
                   DDEBUG_LOG_SHM_OFF + r->off + VIRTIO_DDEBUG_SHM_STATUS_OFF);
}

uint64_t ddebug_log_recover(DdebugLog *log)
{
    static const struct virtio_ddebug_stream_desc none;
    g_autofree uint8_t *buf = g_malloc(DDEBUG_LOG_PAYLOAD_MAX);
    const uint64_t pass = log->last_pass + 1;
    uint64_t off = 0, chunks = 0, bytes = 0;
    DdebugShmRing ring;
    size_t len;

    while (ddebug_shm_next_ring(log->fd, log->shm_size, log->epoch,
                                &log->last_data, &off, &ring)) {
        while ((len = ddebug_shm_next_span(log->fd, &ring, buf))) {
            ring.data.pass = pass;
            ddebug_log_append_data(log, &ring.data, buf, len);
            /* if we die here, the next writer does not append it twice */
            write_drained(log, &ring, ring.next);
            log->last_pass = pass;
            chunks++;
            bytes += len;
        }
        if (ring.broken_rule) {
            /* how many bytes is unknown */
            ddebug_log_append_lost(log, DDEBUG_LOG_LOSS_IO, 1, 0);
        }
    }
    if (chunks) {
        ddebug_log_append_event(log, DDEBUG_LOG_EVENT_RECOVERED, chunks, bytes,
                                0);
    }
    for (off = 0; ddebug_shm_next_ring(log->fd, log->shm_size, log->epoch,
                                       &log->last_data, &off, &ring); ) {
        ddlog_write_at(log->fd, &none, sizeof(none),
                       DDEBUG_LOG_SHM_OFF + ring.off);
    }
    return chunks;
}

/* The mapping; counted by hand, since g_atomic_rc_box_*() needs GLib 2.58 */

DdebugShm *ddebug_shm_ref(DdebugShm *shm)
{
    g_atomic_int_inc(&shm->refs);
    return shm;
}

void ddebug_shm_unref(DdebugShm *shm)
{
    if (shm && g_atomic_int_dec_and_test(&shm->refs)) {
        munmap(shm->base, shm->size);
        g_free(shm);
    }
}

/*
 * Check that stores and pwrite() see each other at once.  File systems that
 * cache pages by themselves (FUSE, network) need not.
 *
 * The word is one that no ring uses.  Its page is written first, so that a store
 * finds it within the file, and room for it.
 */
static int check_coherent(DdebugLog *log, const DdebugShm *shm)
{
    const size_t off = offsetof(DdebugShmPage, zeros);
    const uint64_t at = DDEBUG_LOG_SHM_OFF + off;
    volatile uint64_t *word = (volatile uint64_t *)(shm->base + off);
    const uint64_t back = 0x3f3f445245414853u;
    uint8_t page[sizeof(DdebugShmPage)];
    uint64_t there;
    int r;

    r = ddlog_read_at(log->fd, page, sizeof(page), DDEBUG_LOG_SHM_OFF);
    if (!r) {
        r = ddlog_write_at(log->fd, page, sizeof(page), DDEBUG_LOG_SHM_OFF);
    }
    if (r) {
        return r;
    }
    *word = 0x5348415245443f3fu;
    r = ddlog_read_at(log->fd, &there, sizeof(there), at);
    if (!r && there != *word) {
        r = -EBADE;
    }
    if (!r) {
        r = ddlog_write_at(log->fd, &back, sizeof(back), at);
    }
    if (!r && *word != back) {
        r = -EBADE;
    }
    *word = 0;
    return r;
}

/*
 * Do not show a guest what another one left in the area.  Write zeros, so that
 * a full file system is an error here rather than a signal later.
 */
bool ddebug_log_wipe_shm(DdebugLog *log, GError **error)
{
    int r = ddlog_zero(log, DDEBUG_LOG_SHM_OFF, log->shm_size);

    return !r || ddlog_fail_io(error, log->path,
                               "cannot use the shared rings of", -r);
}

/* ENOMEM and EAGAIN are of limits, not of the file. */
static void fail_map(const DdebugLog *log, int err, GError **error)
{
    if (err == ENOMEM || err == EAGAIN) {
        ddlog_fail(error, DDEBUG_LOG_ERROR_SHM,
                   "%" PRIu64 " bytes of '%s' cannot be mapped into memory: "
                   "%s; raise the limits on this process's memory (RLIMIT_AS, "
                   "RLIMIT_MEMLOCK), or use a smaller shm-size",
                   log->shm_size, log->path, g_strerror(err));
    } else {
        ddlog_fail(error, DDEBUG_LOG_ERROR_SHM,
                   "'%s' cannot be mapped into memory, which shm=on requires: "
                   "%s; put it on a local file system (tmpfs, ext4, XFS), or "
                   "set shm=off", log->path, g_strerror(err));
    }
}

DdebugShm *ddebug_log_map_shm(DdebugLog *log, GError **error)
{
    DdebugShm *shm;
    void *base = mmap(NULL, log->shm_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                      log->fd, DDEBUG_LOG_SHM_OFF);
    int r;

    if (base == MAP_FAILED) {
        fail_map(log, errno, error);
        return NULL;
    }
    /*
     * Pages that are in use stay in memory: the device reads them while others
     * wait.  RLIMIT_MEMLOCK may not allow it; then they may be evicted.
     */
    mlock2(base, log->shm_size, MLOCK_ONFAULT);
    shm = g_new(DdebugShm, 1);
    *shm = (DdebugShm) { .base = base, .size = log->shm_size, .refs = 1 };
    r = check_coherent(log, shm);
    if (r == -EBADE) {
        ddlog_fail(error, DDEBUG_LOG_ERROR_SHM,
                   "the file system of '%s' does not make stores to a mapped "
                   "file visible at once, which shm=on requires: use another "
                   "one (tmpfs, ext4, XFS), or set shm=off",
                   log->path);
    } else if (r) {
        ddlog_fail_io(error, log->path, "cannot use the shared rings of", -r);
    }
    if (r) {
        ddebug_shm_unref(shm);
        return NULL;
    }
    return shm;
}
