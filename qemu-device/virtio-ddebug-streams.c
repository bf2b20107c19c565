/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks of an element that the driver posts on a ring queue, and the stream
 * made of it.  Runs with the BQL held.
 */
#include "qemu/osdep.h"
#include "exec/memory.h"
#include "qemu/iov.h"
#include "trace.h"
#include "ddebug-log-shm.h"
#include "virtio-ddebug-streams.h"

#define DESC_SIZE sizeof(struct virtio_ddebug_stream_desc)
#define HDR_SIZE sizeof(struct virtio_ddebug_stream_hdr)
/* of descriptor, header and status */
#define ALIGNMENT 64

static void G_GNUC_PRINTF(2, 3) virtio_ddebug_note(char **why, const char *fmt,
                                                   ...)
{
    va_list ap;

    va_start(ap, fmt);
    *why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
}

/*
 * The whole element must be RAM: QEMU maps anything else through a bounce
 * buffer, whose content reaches the guest only when the element is returned.
 * That goes for read-only parts too: there may be a single bounce buffer for
 * all devices, and a posted element would keep it.
 */
static bool virtio_ddebug_is_ram(const struct iovec *iov, unsigned num)
{
    ram_addr_t offset;
    unsigned i;

    for (i = 0; i < num; i++) {
        if (!memory_region_from_host(iov[i].iov_base, &offset)) {
            return false;
        }
    }
    return true;
}

static bool virtio_ddebug_check_layout(const VirtQueueElement *elem, char **why)
{
    if (!elem->out_num || elem->out_sg[0].iov_len < DESC_SIZE ||
        (uintptr_t)elem->out_sg[0].iov_base % ALIGNMENT) {
        virtio_ddebug_note(why, "descriptor is not %zu contiguous, aligned "
                           "bytes", DESC_SIZE);
    } else if (!elem->in_num ||
               elem->in_sg[0].iov_len < VIRTIO_DDEBUG_STATUS_SIZE ||
               (uintptr_t)elem->in_sg[0].iov_base % ALIGNMENT) {
        virtio_ddebug_note(why, "status is not %zu contiguous, aligned bytes",
                           VIRTIO_DDEBUG_STATUS_SIZE);
    } else if (!virtio_ddebug_is_ram(elem->out_sg, elem->out_num) ||
               !virtio_ddebug_is_ram(elem->in_sg, elem->in_num)) {
        virtio_ddebug_note(why, "not in RAM");
    } else if (!ddebug_stream_is_there(elem->out_sg[0].iov_base, DESC_SIZE,
                                       false)) {
        virtio_ddebug_note(why, "the page of its descriptor cannot be read");
    }
    return !*why;
}

static bool virtio_ddebug_check_desc(const VirtIODDebug *s,
                                     const DdebugStream *st, uint32_t magic,
                                     char **why)
{
    const uint32_t subbuf = 1u << (st->subbuf_shift & 31);

    if (magic != VIRTIO_DDEBUG_STREAM_MAGIC) {
        virtio_ddebug_note(why, "magic is %#x", magic);
    } else if (st->id >= s->max_streams) {
        virtio_ddebug_note(why, "id %u is not below %u", st->id,
                           s->max_streams);
    } else if (st->id % s->num_ring_queues !=
               st->queue - VIRTIO_DDEBUG_VQ_RING) {
        virtio_ddebug_note(why, "id %u does not belong on queue %u", st->id,
                           st->queue);
    } else if (!ddebug_shm_is_geometry(st->context, st->subbuf_shift,
                                       st->ring_size)) {
        virtio_ddebug_note(why, "invalid geometry: context %u, sub-buffers of "
                           "2^%u bytes, ring of %u bytes", st->context,
                           st->subbuf_shift, st->ring_size);
    } else if (st->consumed % DDEBUG_REC_ALIGN ||
               (st->consumed % subbuf &&
                st->consumed % subbuf < sizeof(struct ddebug_subbuf_hdr))) {
        virtio_ddebug_note(why, "start is %" PRIu64 ", which is no record's "
                           "position", st->consumed);
    }
    return !*why;
}

static bool virtio_ddebug_check_start(DdebugStream *st, char **why)
{
    const uint64_t head = ddebug_stream_probe(st) ? ddebug_stream_head(st) : 0;

    if (st->gone) {
        virtio_ddebug_note(why, "a page of it cannot be accessed");
    } else if (st->consumed > head) {
        virtio_ddebug_note(why, "start is %" PRIu64 ", beyond head, %" PRIu64,
                           st->consumed, head);
    }
    return !*why;
}

/* A ring in guest memory: pieces, with the header before the first one. */
static bool virtio_ddebug_take_ring(DdebugStream *st,
                                    const VirtQueueElement *elem, char **why)
{
    if (elem->out_sg[0].iov_len < DESC_SIZE + HDR_SIZE) {
        virtio_ddebug_note(why, "descriptor and header are not %zu contiguous, "
                           "aligned bytes", DESC_SIZE + HDR_SIZE);
        return false;
    }
    st->hdr = elem->out_sg[0].iov_base + DESC_SIZE;
    st->ring = g_new(struct iovec, elem->out_num);
    st->nr_pieces = iov_copy(st->ring, elem->out_num, elem->out_sg,
                             elem->out_num, DESC_SIZE + HDR_SIZE, SIZE_MAX);
    if (iov_size(st->ring, st->nr_pieces) != st->ring_size) {
        virtio_ddebug_note(why, "the pieces of the ring have %zu bytes, not "
                           "%u", iov_size(st->ring, st->nr_pieces),
                           st->ring_size);
    }
    return !*why;
}

/* A ring in shared memory, of which the element gives only the offset. */
static bool virtio_ddebug_take_shm_ring(VirtIODDebug *s, DdebugStream *st,
                                        const VirtQueueElement *elem,
                                        uint64_t off, char **why)
{
    const bool negotiated = virtio_vdev_has_feature(VIRTIO_DEVICE(s),
                                                    VIRTIO_DDEBUG_F_SHM);
    const size_t readable = iov_size(elem->out_sg, elem->out_num);
    uint8_t *base;

    if (!s->shm || !negotiated) {
        virtio_ddebug_note(why, "it is in shared memory, which was not "
                           "negotiated (VIRTIO_DDEBUG_F_SHM)");
        return false;
    }
    if (readable != DESC_SIZE) {
        virtio_ddebug_note(why, "it is in shared memory, but %zu bytes follow "
                           "the descriptor", readable - DESC_SIZE);
        return false;
    }
    if (off % VIRTIO_DDEBUG_SHM_ALIGN || off >= s->shm->size ||
        s->shm->size - off <
        VIRTIO_DDEBUG_SHM_RING_OFF + (uint64_t)st->ring_size) {
        virtio_ddebug_note(why, "a ring of %u bytes at offset %#" PRIx64 " "
                           "is misaligned, or exceeds the %#" PRIx64 " bytes "
                           "of shared memory", st->ring_size, off,
                           s->shm->size);
        return false;
    }
    base = s->shm->base + off;
    st->hdr = (const void *)(base + VIRTIO_DDEBUG_SHM_HDR_OFF);
    st->shm_status = (void *)(base + VIRTIO_DDEBUG_SHM_STATUS_OFF);
    st->nr_pieces = 1;
    st->ring = g_new(struct iovec, 1);
    st->ring[0] = (struct iovec) {
        .iov_base = base + VIRTIO_DDEBUG_SHM_RING_OFF,
        .iov_len = st->ring_size,
    };
    return true;
}

static bool virtio_ddebug_find_ring(VirtIODDebug *s, DdebugStream *st,
                                    const struct virtio_ddebug_stream_desc *d,
                                    const VirtQueueElement *elem, char **why)
{
    const uint32_t flags = le32_to_cpu(d->flags);
    const uint64_t off = le64_to_cpu(d->shm_offset);

    if (flags & ~VIRTIO_DDEBUG_STREAM_F_SHM) {
        virtio_ddebug_note(why, "flags are %#x", flags);
        return false;
    }
    return flags ? virtio_ddebug_take_shm_ring(s, st, elem, off, why) :
                   virtio_ddebug_take_ring(st, elem, why);
}

DdebugStream *virtio_ddebug_new_stream(VirtIODDebug *s, unsigned queue,
                                       VirtQueueElement *elem, char **why)
{
    struct virtio_ddebug_stream_desc desc;
    DdebugStream *st;
    ram_addr_t offset;

    if (!virtio_ddebug_check_layout(elem, why)) {
        return NULL;
    }
    /* read once: what is checked is what is used */
    memcpy(&desc, elem->out_sg[0].iov_base, sizeof(desc));
    st = g_new0(DdebugStream, 1);
    st->id = le32_to_cpu(desc.stream);
    st->generation = le32_to_cpu(desc.generation);
    st->cpu = le32_to_cpu(desc.cpu);
    st->context = desc.context;
    st->subbuf_shift = desc.subbuf_shift;
    st->ring_size = le32_to_cpu(desc.ring_size);
    st->consumed = le64_to_cpu(desc.start);
    st->queue = queue;
    st->element = elem;
    st->status = elem->in_sg[0].iov_base;
    st->status_mr = memory_region_from_host(st->status, &offset);
    st->status_off = offset;
    if (virtio_ddebug_check_desc(s, st, le32_to_cpu(desc.magic), why) &&
        virtio_ddebug_find_ring(s, st, &desc, elem, why) &&
        virtio_ddebug_check_start(st, why)) {
        /* a notice already set at attach is not a new one */
        st->notice = ddebug_stream_notice(st);
        if (!ddebug_drain_add(s->drain, st)) {
            virtio_ddebug_note(why, "stream %u is already posted", st->id);
        }
    }
    if (*why) {
        ddebug_stream_free(st);
        return NULL;
    }
    trace_virtio_ddebug_stream_post(s, st->id, st->generation, st->cpu,
                                    st->context, st->ring_size,
                                    le64_to_cpu(desc.start));
    return st;
}
