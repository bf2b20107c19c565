/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio-ddebug device: queues, requests, and the life of the streams.
 * docs/spec/virtio-ddebug.md is what it follows.
 *
 * Everything in here runs with the BQL held.  What needs the disk is handed
 * over to the drain (ddebug-drain.c); its answers come back by a bottom half.
 */
#include "qemu/osdep.h"
#include <grp.h>
#include "hw/boards.h"
#include "hw/virtio/virtio.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/iov.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/uuid.h"
#include "standard-headers/linux/virtio_ids.h"
#include "trace.h"
#include "ddebug-compat.h"
#include "ddebug_version.h"
#include "virtio-ddebug.h"

/* A request is answered when the disk has it: a few on their way are plenty. */
#define CONTROL_QUEUE_SIZE 16
#define EVENT_QUEUE_SIZE 16
/* One descriptor an element, the others are in an indirect table. */
#define RING_QUEUE_SIZE VIRTQUEUE_MAX_SIZE

#define REQUEST_MAX (64u << 10)
QEMU_BUILD_BUG_ON(REQUEST_MAX < VIRTIO_DDEBUG_REQ_LEN_MIN);
QEMU_BUILD_BUG_ON(REQUEST_MAX - sizeof(struct virtio_ddebug_req_hdr) >
                  DDEBUG_LOG_PAYLOAD_MAX);

/* Of the property: nobody has named a size.  No limit, nor what -1 becomes. */
#define SIZE_UNSET ((1ull << 63) + 1)

/* How long QEMU waits at its end for a disk that hangs. */
#define STOP_TIMEOUT_MS 5000

#define DESC_SIZE sizeof(struct virtio_ddebug_stream_desc)
#define HDR_SIZE sizeof(struct virtio_ddebug_stream_hdr)
#define STATUS_SIZE sizeof(struct virtio_ddebug_status)
/* Descriptor, header and status are aligned to it. */
#define ALIGNMENT 64

/* Requests */

/* Answers a request; frees @elem. */
static void virtio_ddebug_respond(VirtIODDebug *s, VirtQueueElement *elem,
                                  uint32_t status, uint64_t value)
{
    const struct virtio_ddebug_resp resp = {
        .status = cpu_to_le32(status),
        .value = cpu_to_le64(value),
    };

    iov_from_buf(elem->in_sg, elem->in_num, 0, &resp, sizeof(resp));
    trace_virtio_ddebug_respond(s, status, value);
    virtqueue_push(s->control_vq, elem, sizeof(resp));
    virtio_notify(VIRTIO_DEVICE(s), s->control_vq);
    g_free(elem);
}

/* The driver gets the element back, the stream is gone. */
static void virtio_ddebug_return_stream(VirtIODDebug *s, DdebugStream *st)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    VirtQueue *vq = virtio_get_queue(vdev, st->queue);

    virtqueue_push(vq, st->element, STATUS_SIZE);
    virtio_notify(vdev, vq);
    g_free(st->element);
    ddebug_stream_free(st);
}

static void virtio_ddebug_fetch_answers(void *opaque)
{
    VirtIODDebug *s = opaque;
    DdebugCounters counters;
    DdebugAnswer answer;

    /* the memory of a VM that is stopped stays as it is: they wait */
    if (!s->drain || !VIRTIO_DEVICE(s)->vm_running) {
        return;
    }
    while (ddebug_drain_next_answer(s->drain, &answer)) {
        gpointer elem = g_hash_table_lookup(s->requests, &answer.id);
        DdebugStream *st = g_hash_table_lookup(s->retiring, &answer.id);

        if (st) {
            g_hash_table_remove(s->retiring, &answer.id);
            virtio_ddebug_return_stream(s, st);
        }
        /* a reset has taken the element: nobody waits for the answer */
        if (elem) {
            g_hash_table_remove(s->requests, &answer.id);
            virtio_ddebug_respond(s, elem, answer.status, answer.value);
        }
    }
    ddebug_drain_counters(s->drain, &counters);
    if (counters.log_size != s->told_size) {
        trace_virtio_ddebug_log_size(s, s->told_size, counters.log_size);
        s->told_size = counters.log_size;
        virtio_notify_config(VIRTIO_DEVICE(s));
    }
}

static void virtio_ddebug_schedule(void *opaque)
{
    VirtIODDebug *s = opaque;

    qemu_bh_schedule(s->bh);
}

/*
 * The guest may not fill the host's disk; nor take from the host what it has set
 * up, which the drain sees to.  The payload is the drain's next, and no memory of
 * the guest's any more.
 */
static uint32_t virtio_ddebug_check_size(VirtIODDebug *s, const void *payload,
                                         size_t len)
{
    struct virtio_ddebug_log_size wanted;

    if (!virtio_vdev_has_feature(VIRTIO_DEVICE(s), VIRTIO_DDEBUG_F_LOG_SIZE)) {
        return VIRTIO_DDEBUG_S_UNSUPP;
    }
    if (!s->attach_seen || len != sizeof(wanted)) {
        return VIRTIO_DDEBUG_S_INVAL;
    }
    memcpy(&wanted, payload, sizeof(wanted));
    return le64_to_cpu(wanted.size) <= s->guest_size_max ?
           VIRTIO_DDEBUG_S_OK : VIRTIO_DDEBUG_S_INVAL;
}

static uint32_t virtio_ddebug_check_request(VirtIODDebug *s, uint16_t type,
                                            const void *payload, size_t len)
{
    struct virtio_ddebug_attach attach;

    switch (type) {
    case VIRTIO_DDEBUG_REQ_ATTACH:
        if (s->attach_seen || len != sizeof(attach)) {
            return VIRTIO_DDEBUG_S_INVAL;
        }
        memcpy(&attach, payload, sizeof(attach));
        if (le32_to_cpu(attach.abi_version) != VIRTIO_DDEBUG_ABI_VERSION) {
            return VIRTIO_DDEBUG_S_INVAL;
        }
        return VIRTIO_DDEBUG_S_OK;
    case VIRTIO_DDEBUG_REQ_DICT:
        return s->attach_seen && len ? VIRTIO_DDEBUG_S_OK :
                                       VIRTIO_DDEBUG_S_INVAL;
    case VIRTIO_DDEBUG_REQ_LOG_SIZE:
        return virtio_ddebug_check_size(s, payload, len);
    default:
        return VIRTIO_DDEBUG_S_UNSUPP;
    }
}

/*
 * The driver has another ring for this stream, or none any more.  *@later: the
 * answer comes from the drain.
 */
static uint32_t virtio_ddebug_retire(VirtIODDebug *s, const void *payload,
                                     size_t len, uint64_t id, bool *later)
{
    struct virtio_ddebug_retire retire;
    DdebugStream *st;

    if (!s->attach_seen || len != sizeof(retire)) {
        return VIRTIO_DDEBUG_S_INVAL;
    }
    memcpy(&retire, payload, sizeof(retire));
    st = ddebug_drain_retire(s->drain, le32_to_cpu(retire.stream),
                             le32_to_cpu(retire.generation), id);
    if (!st) {
        return VIRTIO_DDEBUG_S_INVAL;
    }
    trace_virtio_ddebug_stream_retire(s, st->id, st->generation,
                                      st->consumed);
    *later = st->shm_status != NULL;
    if (*later) {
        g_hash_table_insert(s->retiring, g_memdup2(&id, sizeof(id)), st);
    } else {
        virtio_ddebug_return_stream(s, st);
    }
    return VIRTIO_DDEBUG_S_OK;
}

/* The element becomes the drain's, or is answered at once. */
static void virtio_ddebug_request(VirtIODDebug *s, VirtQueueElement *elem,
                                  uint16_t type, size_t len)
{
    g_autofree void *payload = g_malloc(len);
    const uint64_t id = s->next_request++;
    bool later = false;
    uint32_t status;

    trace_virtio_ddebug_request(s, id, type, len);
    iov_to_buf(elem->out_sg, elem->out_num,
               sizeof(struct virtio_ddebug_req_hdr), payload, len);
    if (type == VIRTIO_DDEBUG_REQ_RETIRE) {
        if (!ddebug_drain_may_retire(s->drain)) {
            virtio_error(VIRTIO_DEVICE(s), "virtio-ddebug: more streams are "
                         "retired than queues can hold requests for");
            virtqueue_detach_element(s->control_vq, elem, 0);
            g_free(elem);
            return;
        }
        status = virtio_ddebug_retire(s, payload, len, id, &later);
        if (later) {
            g_hash_table_insert(s->requests, g_memdup2(&id, sizeof(id)), elem);
        } else {
            virtio_ddebug_respond(s, elem, status, 0);
        }
        return;
    }
    status = virtio_ddebug_check_request(s, type, payload, len);
    if (status == VIRTIO_DDEBUG_S_OK &&
        !ddebug_drain_request(s->drain, type, g_steal_pointer(&payload), len,
                              id)) {
        status = VIRTIO_DDEBUG_S_IOERR;
    }
    if (status == VIRTIO_DDEBUG_S_OK) {
        s->attach_seen = true;
        g_hash_table_insert(s->requests, g_memdup2(&id, sizeof(id)), elem);
    } else {
        virtio_ddebug_respond(s, elem, status, 0);
    }
}

static void virtio_ddebug_handle_control(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(vdev);
    struct virtio_ddebug_req_hdr hdr;
    VirtQueueElement *elem;

    while (s->drain && (elem = virtqueue_pop(vq, sizeof(*elem)))) {
        size_t out = iov_size(elem->out_sg, elem->out_num);
        size_t in = iov_size(elem->in_sg, elem->in_num);

        if (out < sizeof(hdr) || in < sizeof(struct virtio_ddebug_resp)) {
            virtio_error(vdev, "virtio-ddebug: a request of %zu bytes with "
                         "%zu for the response", out, in);
            virtqueue_detach_element(vq, elem, 0);
            g_free(elem);
            return;
        }
        iov_to_buf(elem->out_sg, elem->out_num, 0, &hdr, sizeof(hdr));
        if (le32_to_cpu(hdr.len) != out - sizeof(hdr)) {
            virtio_error(vdev, "virtio-ddebug: a request of %zu bytes says "
                         "that it has %u", out - sizeof(hdr),
                         le32_to_cpu(hdr.len));
            virtqueue_detach_element(vq, elem, 0);
            g_free(elem);
            return;
        }
        if (out > REQUEST_MAX) {
            virtio_ddebug_respond(s, elem, VIRTIO_DDEBUG_S_INVAL, 0);
            continue;
        }
        virtio_ddebug_request(s, elem, le16_to_cpu(hdr.type),
                              out - sizeof(hdr));
    }
}

/* Nothing is sent to the driver in this version; its buffers wait. */
static void virtio_ddebug_handle_event(VirtIODevice *vdev, VirtQueue *vq)
{
}

/* Streams */

static void G_GNUC_PRINTF(2, 3) virtio_ddebug_note(char **why, const char *fmt,
                                                   ...)
{
    va_list ap;

    va_start(ap, fmt);
    *why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
}

/*
 * Everything has to be the guest's RAM: what is not is mapped by QEMU as a
 * copy, which the guest does not see until it is given back.  That goes for
 * what we do not write to as well: QEMU may have one copy alone, for all
 * devices, and an element is held.
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
        virtio_ddebug_note(why, "its descriptor is not %zu aligned bytes in "
                           "one piece", DESC_SIZE);
    } else if (!elem->in_num || elem->in_sg[0].iov_len < STATUS_SIZE ||
               (uintptr_t)elem->in_sg[0].iov_base % ALIGNMENT) {
        virtio_ddebug_note(why, "its status is not %zu aligned bytes in one "
                           "piece", STATUS_SIZE);
    } else if (!virtio_ddebug_is_ram(elem->out_sg, elem->out_num) ||
               !virtio_ddebug_is_ram(elem->in_sg, elem->in_num)) {
        virtio_ddebug_note(why, "it is not in RAM");
    }
    return !*why;
}

static bool virtio_ddebug_check_desc(const VirtIODDebug *s,
                                     const DdebugStream *st, uint32_t magic,
                                     char **why)
{
    const uint32_t subbuf = 1u << (st->subbuf_shift & 31);

    if (magic != VIRTIO_DDEBUG_STREAM_MAGIC) {
        virtio_ddebug_note(why, "its magic is %#x", magic);
    } else if (st->id >= s->max_streams) {
        virtio_ddebug_note(why, "its id %u is not below %u", st->id,
                           s->max_streams);
    } else if (st->id % s->num_ring_queues !=
               st->queue - VIRTIO_DDEBUG_VQ_RING) {
        virtio_ddebug_note(why, "id %u does not belong on queue %u", st->id,
                           st->queue);
    } else if (st->context >= VIRTIO_DDEBUG_NR_CTX) {
        virtio_ddebug_note(why, "its context is %u", st->context);
    } else if (st->subbuf_shift < VIRTIO_DDEBUG_SUBBUF_SHIFT_MIN ||
               st->subbuf_shift > VIRTIO_DDEBUG_SUBBUF_SHIFT_MAX) {
        virtio_ddebug_note(why, "its sub-buffers have 2^%u bytes",
                           st->subbuf_shift);
    } else if (st->ring_size % subbuf ||
               st->ring_size / subbuf < VIRTIO_DDEBUG_SUBBUFS_MIN ||
               st->ring_size > VIRTIO_DDEBUG_RING_SIZE_MAX) {
        virtio_ddebug_note(why, "its ring has %u bytes", st->ring_size);
    } else if (st->consumed % DDEBUG_REC_ALIGN ||
               (st->consumed % subbuf &&
                st->consumed % subbuf < sizeof(struct ddebug_subbuf_hdr))) {
        virtio_ddebug_note(why, "it starts at %" PRIu64, st->consumed);
    }
    return !*why;
}

static bool virtio_ddebug_check_start(const DdebugStream *st, char **why)
{
    const uint64_t head = ddebug_stream_head(st);

    if (st->consumed > head) {
        virtio_ddebug_note(why, "it starts at %" PRIu64 ", behind its head, %"
                           PRIu64, st->consumed, head);
    }
    return !*why;
}

/* A ring in the guest's memory: pieces, and the header before the first one. */
static bool virtio_ddebug_take_ring(DdebugStream *st,
                                    const VirtQueueElement *elem, char **why)
{
    if (elem->out_sg[0].iov_len < DESC_SIZE + HDR_SIZE) {
        virtio_ddebug_note(why, "its descriptor and header are not %zu aligned "
                           "bytes in one piece", DESC_SIZE + HDR_SIZE);
        return false;
    }
    st->hdr = elem->out_sg[0].iov_base + DESC_SIZE;
    st->ring = g_new(struct iovec, elem->out_num);
    st->nr_pieces = iov_copy(st->ring, elem->out_num, elem->out_sg,
                             elem->out_num, DESC_SIZE + HDR_SIZE, SIZE_MAX);
    if (iov_size(st->ring, st->nr_pieces) != st->ring_size) {
        virtio_ddebug_note(why, "its ring has %zu bytes in pieces, not %u",
                           iov_size(st->ring, st->nr_pieces), st->ring_size);
    }
    return !*why;
}

/* A ring in shared memory, which the element says nothing of but where it is. */
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
                           "negotiated");
        return false;
    }
    if (readable != DESC_SIZE) {
        virtio_ddebug_note(why, "it is in shared memory, and %zu bytes of it "
                           "are not", readable - DESC_SIZE);
        return false;
    }
    if (off % VIRTIO_DDEBUG_SHM_ALIGN || off >= s->shm->size ||
        s->shm->size - off <
        VIRTIO_DDEBUG_SHM_RING_OFF + (uint64_t)st->ring_size) {
        virtio_ddebug_note(why, "its ring of %u bytes is at %#" PRIx64 " of "
                           "%#" PRIx64 " bytes of shared memory",
                           st->ring_size, off, s->shm->size);
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

    if (flags & ~VIRTIO_DDEBUG_STREAM_F_SHM) {
        virtio_ddebug_note(why, "its flags are %#x", flags);
        return false;
    }
    return flags ? virtio_ddebug_take_shm_ring(s, st, elem,
                                               le64_to_cpu(d->shm_offset), why) :
                   virtio_ddebug_take_ring(st, elem, why);
}

static DdebugStream *virtio_ddebug_new_stream(VirtIODDebug *s, unsigned queue,
                                              VirtQueueElement *elem,
                                              char **why)
{
    struct virtio_ddebug_stream_desc desc;
    DdebugStream *st;
    ram_addr_t offset;

    if (!virtio_ddebug_check_layout(elem, why)) {
        return NULL;
    }
    /* once: what is checked is what is used */
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
        /* what a driver says that attaches anew is no news */
        st->notice = ddebug_stream_notice(st);
        if (!ddebug_drain_add(s->drain, st)) {
            virtio_ddebug_note(why, "stream %u is posted already", st->id);
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

static void virtio_ddebug_handle_ring(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(vdev);
    g_autofree char *why = NULL;
    VirtQueueElement *elem;

    if (!s->drain) {
        return;
    }
    s->kicks++;
    trace_virtio_ddebug_kick(s, virtio_get_queue_index(vq));
    while ((elem = virtqueue_pop(vq, sizeof(*elem)))) {
        if (!virtio_ddebug_new_stream(s, virtio_get_queue_index(vq), elem,
                                      &why)) {
            trace_virtio_ddebug_stream_refuse(s, virtio_get_queue_index(vq),
                                              why);
            virtio_error(vdev, "virtio-ddebug: a stream that cannot be: %s",
                         why);
            virtqueue_detach_element(vq, elem, 0);
            g_free(elem);
            return;
        }
    }
    ddebug_drain_kick(s->drain);
}

static void virtio_ddebug_detach_stream(VirtIODDebug *s, DdebugStream *st)
{
    virtqueue_detach_element(virtio_get_queue(VIRTIO_DEVICE(s), st->queue),
                             st->element, STATUS_SIZE);
    g_free(st->element);
    ddebug_stream_free(st);
}

/* Streams that are to be returned with the answers to their RETIRE. */
static void virtio_ddebug_forget_retiring(VirtIODDebug *s, unsigned queue)
{
    GHashTableIter iter;
    gpointer st;

    g_hash_table_iter_init(&iter, s->retiring);
    while (g_hash_table_iter_next(&iter, NULL, &st)) {
        if (queue == DDEBUG_DRAIN_ALL ||
            queue == ((DdebugStream *)st)->queue) {
            virtio_ddebug_detach_stream(s, st);
            g_hash_table_iter_remove(&iter);
        }
    }
}

/*
 * The guest's memory is not touched any more when this returns; of shared memory
 * only where the drain stores how far it has come.
 */
static void virtio_ddebug_forget_streams(VirtIODDebug *s, unsigned queue)
{
    g_autoptr(GPtrArray) gone = ddebug_drain_forget(s->drain, queue);
    guint i;

    trace_virtio_ddebug_streams_forget(s, gone->len);
    for (i = 0; i < gone->len; i++) {
        virtio_ddebug_detach_stream(s, g_ptr_array_index(gone, i));
    }
    virtio_ddebug_forget_retiring(s, queue);
}

static void virtio_ddebug_forget_requests(VirtIODDebug *s)
{
    GHashTableIter iter;
    gpointer elem;

    g_hash_table_iter_init(&iter, s->requests);
    while (g_hash_table_iter_next(&iter, NULL, &elem)) {
        virtqueue_detach_element(s->control_vq, elem, 0);
        g_free(elem);
        g_hash_table_iter_remove(&iter);
    }
}

/* Life */

static void virtio_ddebug_set_running(VirtIODDebug *s, bool running,
                                      bool driver_gone)
{
    if (running == s->running && !driver_gone) {
        return;
    }
    trace_virtio_ddebug_set_running(s, running, driver_gone);
    s->running = running;
    if (running) {
        ddebug_drain_resume(s->drain);
    } else {
        ddebug_drain_pause(s->drain, driver_gone);
    }
}

static void virtio_ddebug_set_status(VirtIODevice *vdev, uint8_t status)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(vdev);
    bool driver_ok = status & VIRTIO_CONFIG_S_DRIVER_OK;
    bool driver_gone = !driver_ok && vdev->status & VIRTIO_CONFIG_S_DRIVER_OK;

    if (!s->drain) {
        return;
    }
    virtio_ddebug_set_running(s, driver_ok && vdev->vm_running, driver_gone);
    if (!driver_ok) {
        /* the answers would be written to memory that is not ours any more */
        virtio_ddebug_forget_retiring(s, DDEBUG_DRAIN_ALL);
        virtio_ddebug_forget_requests(s);
    }
}

static void virtio_ddebug_reset(VirtIODevice *vdev)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(vdev);

    trace_virtio_ddebug_reset(s);
    if (s->drain) {
        virtio_ddebug_forget_streams(s, DDEBUG_DRAIN_ALL);
        virtio_ddebug_forget_requests(s);
        ddebug_drain_end_session(s->drain);
        s->attach_seen = false;
    }
}

static void virtio_ddebug_queue_reset(VirtIODevice *vdev, uint32_t queue_index)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(vdev);

    if (!s->drain) {
        return;
    }
    if (queue_index == VIRTIO_DDEBUG_VQ_CONTROL) {
        virtio_ddebug_forget_requests(s);
    } else if (queue_index >= VIRTIO_DDEBUG_VQ_RING) {
        virtio_ddebug_forget_streams(s, queue_index);
    }
}

/* The log's words for QEMU's, which may get other numbers. */
static uint64_t virtio_ddebug_stop_reason(RunState state)
{
    switch (state) {
    case RUN_STATE_PAUSED:
        return DDEBUG_LOG_STOP_PAUSED;
    case RUN_STATE_SHUTDOWN:
        return DDEBUG_LOG_STOP_SHUTDOWN;
    case RUN_STATE_GUEST_PANICKED:
        return DDEBUG_LOG_STOP_PANICKED;
    case RUN_STATE_WATCHDOG:
        return DDEBUG_LOG_STOP_WATCHDOG;
    case RUN_STATE_IO_ERROR:
        return DDEBUG_LOG_STOP_IO_ERROR;
    case RUN_STATE_INTERNAL_ERROR:
        return DDEBUG_LOG_STOP_INTERNAL_ERROR;
    case RUN_STATE_SUSPENDED:
        return DDEBUG_LOG_STOP_SUSPENDED;
    case RUN_STATE_SAVE_VM:
    case RUN_STATE_FINISH_MIGRATE:
    case RUN_STATE_POSTMIGRATE:
        return DDEBUG_LOG_STOP_SAVED;
    case RUN_STATE_DEBUG:
        return DDEBUG_LOG_STOP_DEBUG;
    default:
        return DDEBUG_LOG_STOP_OTHER;
    }
}

static uint64_t virtio_ddebug_shutdown_reason(ShutdownCause cause)
{
    switch (cause) {
    case SHUTDOWN_CAUSE_HOST_QMP_QUIT:
        return DDEBUG_LOG_SHUTDOWN_QUIT;
    case SHUTDOWN_CAUSE_HOST_SIGNAL:
        return DDEBUG_LOG_SHUTDOWN_SIGNAL;
    case SHUTDOWN_CAUSE_HOST_UI:
        return DDEBUG_LOG_SHUTDOWN_UI;
    case SHUTDOWN_CAUSE_GUEST_SHUTDOWN:
        return DDEBUG_LOG_SHUTDOWN_GUEST;
    case SHUTDOWN_CAUSE_GUEST_RESET:
    case SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET:
    case SHUTDOWN_CAUSE_SUBSYSTEM_RESET:
        return DDEBUG_LOG_SHUTDOWN_RESET;
    case SHUTDOWN_CAUSE_GUEST_PANIC:
        return DDEBUG_LOG_SHUTDOWN_PANIC;
    case SHUTDOWN_CAUSE_HOST_ERROR:
        return DDEBUG_LOG_SHUTDOWN_ERROR;
    default:
        return DDEBUG_LOG_SHUTDOWN_OTHER;
    }
}

static void virtio_ddebug_vm_state_change(void *opaque, bool running,
                                          RunState state)
{
    VirtIODDebug *s = opaque;

    if (!s->drain) {
        return;
    }
    if (!running) {
        /* what was produced before comes before the event */
        virtio_ddebug_set_running(s, false, false);
        ddebug_drain_event(s->drain, DDEBUG_LOG_EVENT_STOP,
                           virtio_ddebug_stop_reason(state));
        s->stop_told = true;
        return;
    }
    /* answers may have waited for it */
    virtio_ddebug_schedule(s);
    if (s->stop_told) {
        ddebug_drain_event(s->drain, DDEBUG_LOG_EVENT_CONT, 0);
        s->stop_told = false;
    }
}

/* Of the whole machine, the first at its start included; the device's own comes apart. */
static void virtio_ddebug_machine_reset(void *opaque)
{
    VirtIODDebug *s = opaque;

    if (s->drain) {
        ddebug_drain_event(s->drain, DDEBUG_LOG_EVENT_MACHINE_RESET, 0);
    }
}

static void virtio_ddebug_shutdown(Notifier *notifier, void *data)
{
    VirtIODDebug *s = container_of(notifier, VirtIODDebug, shutdown_notifier);
    const ShutdownCause *cause = data;

    if (s->drain) {
        ddebug_drain_event(s->drain, DDEBUG_LOG_EVENT_SHUTDOWN,
                           virtio_ddebug_shutdown_reason(*cause));
    }
}

/* The last thing that happens: at the end of QEMU, or of the device. */
static void virtio_ddebug_end(VirtIODDebug *s)
{
    if (!s->drain) {
        return;
    }
    virtio_ddebug_forget_streams(s, DDEBUG_DRAIN_ALL);
    virtio_ddebug_forget_requests(s);
    ddebug_drain_stop(g_steal_pointer(&s->drain), STOP_TIMEOUT_MS);
}

static void virtio_ddebug_exit(Notifier *notifier, void *data)
{
    virtio_ddebug_end(container_of(notifier, VirtIODDebug, exit_notifier));
}

/* Features and configuration */

static uint64_t virtio_ddebug_get_features(VirtIODevice *vdev,
                                           uint64_t features, Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(vdev);

    virtio_add_feature(&features, VIRTIO_DDEBUG_F_NOTICE);
    if (s->kmsg) {
        virtio_add_feature(&features, VIRTIO_DDEBUG_F_KMSG);
    }
    if (s->shm) {
        virtio_add_feature(&features, VIRTIO_DDEBUG_F_SHM);
    }
    if (s->guest_size_max) {
        virtio_add_feature(&features, VIRTIO_DDEBUG_F_LOG_SIZE);
    }
    return features;
}

static void virtio_ddebug_get_config(VirtIODevice *vdev, uint8_t *config)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(vdev);
    const struct virtio_ddebug_config c = {
        .abi_version = cpu_to_le32(VIRTIO_DDEBUG_ABI_VERSION),
        .num_ring_queues = cpu_to_le16(s->num_ring_queues),
        .max_streams = cpu_to_le32(s->max_streams),
        .max_request_len = cpu_to_le32(REQUEST_MAX),
        .log_size = cpu_to_le64(s->told_size),
    };

    memcpy(config, &c, sizeof(c));
}

/* Realize and unrealize */

/* What may be given to others: to read, and to the group to write. */
#define FILE_MODE_OWNER 0600
#define FILE_MODE_OTHERS 0064

static bool virtio_ddebug_parse_mode(const char *word, mode_t *mode,
                                     Error **errp)
{
    unsigned value;

    if (qemu_strtoui(word, NULL, 8, &value) < 0 ||
        (value & ~FILE_MODE_OTHERS) != FILE_MODE_OWNER) {
        error_setg(errp, "virtio-ddebug: file-mode=%s: give an octal number "
                   "with which the owner may read and write, and others at "
                   "most read, or, the group alone, write: 0600 to 0664", word);
        return false;
    }
    *mode = value;
    return true;
}

static bool virtio_ddebug_parse_group(const char *word, gid_t *gid,
                                      Error **errp)
{
    const struct group *group = getgrnam(word);
    unsigned value;

    if (group) {
        *gid = group->gr_gid;
    } else if (qemu_strtoui(word, NULL, 10, &value) == 0 &&
               value != (gid_t)-1) {
        *gid = value;
    } else {
        error_setg(errp, "virtio-ddebug: file-group=%s: there is no such "
                   "group: give the name of one, or its number", word);
        return false;
    }
    return true;
}

/* What rings of the usual sizes take of a CPU, and a fifth on top. */
#define SHM_SIZE_CPU (512u << 10)

/* Bytes for shared rings; 0 if there are none, or, with @errp set, cannot be. */
static uint64_t virtio_ddebug_shm_size(const VirtIODDebug *s, Error **errp)
{
    const uint64_t cpus = MACHINE(qdev_get_machine())->smp.max_cpus;

    if (!s->shm_on && s->shm_size) {
        error_setg(errp, "virtio-ddebug: shm-size is of use with shm=on only: "
                   "say that, too, or leave shm-size out");
        return 0;
    }
    if (s->shm_size && !ddebug_log_is_shm_size(s->shm_size)) {
        error_setg(errp, "virtio-ddebug: shm-size=%" PRIu64 ": give a power of "
                   "two, from 1M to 1G", s->shm_size);
        return 0;
    }
    if (!s->shm_on || s->shm_size) {
        return s->shm_size;
    }
    return MIN(MAX(pow2ceil(cpus * SHM_SIZE_CPU), DDEBUG_LOG_SHM_SIZE_MIN),
               DDEBUG_LOG_SHM_SIZE_MAX);
}

static DdebugLog *virtio_ddebug_open_log(VirtIODDebug *s, Error **errp)
{
    ERRP_GUARD();
    gid_t gid;
    DdebugLogInfo info = {
        .vm_name = qemu_get_vm_name(),
        .vm_uuid = qemu_uuid_set ? qemu_uuid.data : NULL,
        .writer = "virtio-ddebug " DDEBUG_VERSION ", QEMU " QEMU_VERSION,
        .file_group = s->file_group ? &gid : NULL,
        .shm_size = virtio_ddebug_shm_size(s, errp),
        .shm_exact = s->shm_size != 0,
    };
    const uint64_t size = s->size == SIZE_UNSET ? 0 : s->size;
    g_autoptr(GError) error = NULL;
    DdebugLog *log;

    if (*errp) {
        return NULL;
    }
    if (!s->file || !*s->file) {
        error_setg(errp, "virtio-ddebug: the property 'file' is not set: name "
                   "the log file, as in file=/var/log/vm.ddebug");
        return NULL;
    }
    if (s->size == 0) {
        error_setg(errp, "virtio-ddebug: size=0: a log takes at least 1M");
        return NULL;
    }
    if ((s->file_mode &&
         !virtio_ddebug_parse_mode(s->file_mode, &info.file_mode, errp)) ||
        (s->file_group &&
         !virtio_ddebug_parse_group(s->file_group, &gid, errp))) {
        return NULL;
    }
    if (s->guest_size_max && !ddebug_log_check_size(s->guest_size_max, &error)) {
        error_setg(errp, "virtio-ddebug: guest-size-max: %s", error->message);
        return NULL;
    }
    log = ddebug_log_open(s->file, size, &info,
                          DDEBUG_LOG_OPEN_CREATE | DDEBUG_LOG_OPEN_OWNED,
                          &error);
    if (!log) {
        error_setg(errp, "virtio-ddebug: file: %s", error->message);
        return NULL;
    }
    if (s->guest_size_max && s->guest_size_max < ddebug_log_size(log)) {
        error_setg(errp, "virtio-ddebug: guest-size-max=%" PRIu64 " is below "
                   "the log's size, %" PRIu64 ": the guest may ask for no less "
                   "than that; give a greater one, or a smaller size",
                   s->guest_size_max, ddebug_log_size(log));
        ddebug_log_close(log);
        return NULL;
    }
    ddebug_log_set_mode(log, s->mode);
    ddebug_log_recover(log);
    ddebug_log_set_rate(log, s->rate_limit);
    if (s->shm_on) {
        s->shm = ddebug_log_map_shm(log, &error);
        if (!s->shm) {
            error_setg(errp, "virtio-ddebug: shm: %s", error->message);
            ddebug_log_close(log);
            return NULL;
        }
    }
    s->size = ddebug_log_size(log);
    return log;
}

static bool virtio_ddebug_block_migration(VirtIODDebug *s, Error **errp)
{
    error_setg(&s->migration_blocker, "virtio-ddebug: the device reads rings "
               "in the guest's memory and cannot be moved: unplug it before "
               "(device_del), and plug it in again afterwards");
    return migrate_add_blocker(&s->migration_blocker, errp) == 0;
}

#ifdef DDEBUG_LOADABLE
/*
 * virtio_init() and the introspection of virtio devices look the id up in
 * tables inside QEMU and abort if it is not there.  So a device that is loaded
 * into it bears an id that QEMU knows and treats in no special way.
 */
static void virtio_ddebug_init_id(VirtIODevice *vdev)
{
    virtio_init(vdev, VIRTIO_ID_CLOCK, sizeof(struct virtio_ddebug_config));
    vdev->name = "virtio-ddebug";
}
#else
static void virtio_ddebug_init_id(VirtIODevice *vdev)
{
    virtio_init(vdev, VIRTIO_ID_DDEBUG, sizeof(struct virtio_ddebug_config));
}
#endif

static void virtio_ddebug_add_queues(VirtIODDebug *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    MachineState *machine = MACHINE(qdev_get_machine());
    unsigned i;

    s->max_streams = VIRTIO_DDEBUG_NR_CTX * machine->smp.max_cpus;
    s->num_ring_queues = MIN(DIV_ROUND_UP(s->max_streams, RING_QUEUE_SIZE),
                             VIRTIO_QUEUE_MAX - VIRTIO_DDEBUG_VQ_RING);
    s->control_vq = virtio_add_queue(vdev, CONTROL_QUEUE_SIZE,
                                     virtio_ddebug_handle_control);
    virtio_add_queue(vdev, EVENT_QUEUE_SIZE, virtio_ddebug_handle_event);
    for (i = 0; i < s->num_ring_queues; i++) {
        virtio_add_queue(vdev, RING_QUEUE_SIZE, virtio_ddebug_handle_ring);
    }
}

static void virtio_ddebug_realize(DeviceState *dev, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtIODDebug *s = VIRTIO_DDEBUG(dev);
    DdebugLog *log;

    if (!virtio_ddebug_block_migration(s, errp)) {
        return;
    }
    log = virtio_ddebug_open_log(s, errp);
    if (!log) {
        migrate_del_blocker(&s->migration_blocker);
        return;
    }
    s->told_size = ddebug_log_size(log);
    s->bh = virtio_bh_new_guarded(dev, virtio_ddebug_fetch_answers, s);
    s->drain = ddebug_drain_start(log, s->shm, s->freeze_on_panic,
                                  virtio_ddebug_schedule, s, errp);
    if (!s->drain) {
        qemu_bh_delete(s->bh);
        ddebug_log_close(log);
        migrate_del_blocker(&s->migration_blocker);
        return;
    }
    if (s->shm) {
        memory_region_init_ram_ptr(&s->shm_mr, OBJECT(s), "virtio-ddebug-shm",
                                   s->shm->size, s->shm->base);
    }
    s->requests = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        NULL);
    s->retiring = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        NULL);
    virtio_ddebug_init_id(vdev);
    virtio_ddebug_add_queues(s);
    s->vmstate = qdev_add_vm_change_state_handler(
        dev, virtio_ddebug_vm_state_change, s);
    s->exit_notifier.notify = virtio_ddebug_exit;
    qemu_add_exit_notifier(&s->exit_notifier);
    s->shutdown_notifier.notify = virtio_ddebug_shutdown;
    qemu_register_shutdown_notifier(&s->shutdown_notifier);
    qemu_register_reset(virtio_ddebug_machine_reset, s);
    trace_virtio_ddebug_realize(s, s->file, s->size, s->num_ring_queues,
                                s->max_streams);
}

static void virtio_ddebug_unrealize(DeviceState *dev)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtIODDebug *s = VIRTIO_DDEBUG(dev);
    unsigned i;

    trace_virtio_ddebug_unrealize(s);
    virtio_ddebug_end(s);
    qemu_unregister_reset(virtio_ddebug_machine_reset, s);
    notifier_remove(&s->shutdown_notifier);
    qemu_remove_exit_notifier(&s->exit_notifier);
    qemu_del_vm_change_state_handler(s->vmstate);
    qemu_bh_delete(s->bh);
    g_hash_table_unref(s->requests);
    g_hash_table_unref(s->retiring);
    for (i = 0; i < VIRTIO_DDEBUG_VQ_RING + s->num_ring_queues; i++) {
        virtio_del_queue(vdev, i);
    }
    virtio_cleanup(vdev);
    migrate_del_blocker(&s->migration_blocker);
}

/* Properties */

static const Property virtio_ddebug_properties[] = {
    DEFINE_PROP_STRING("file", VirtIODDebug, file),
    /* no default: a log keeps its size, which ddebug-host may have changed */
    DEFINE_PROP_UNSIGNED_NODEFAULT("size", VirtIODDebug, size, qdev_prop_size,
                                   uint64_t),
    DEFINE_PROP_STRING("file-mode", VirtIODDebug, file_mode),
    DEFINE_PROP_STRING("file-group", VirtIODDebug, file_group),
    DEFINE_PROP_BOOL("kmsg", VirtIODDebug, kmsg, false),
    DEFINE_PROP_BOOL("freeze-on-panic", VirtIODDebug, freeze_on_panic, true),
    DEFINE_PROP_BOOL("shm", VirtIODDebug, shm_on, false),
    DEFINE_PROP_SIZE("shm-size", VirtIODDebug, shm_size, 0),
    DEFINE_PROP_SIZE("guest-size-max", VirtIODDebug, guest_size_max, 0),
};

/*
 * Those below may be set while the VM runs; the drain's thread takes them from
 * there, so that none of it waits for the disk.
 */

static const char *const virtio_ddebug_modes[] = {
    [DDEBUG_LOG_OVERWRITE] = "overwrite",
    [DDEBUG_LOG_DROP] = "drop",
};

static const QEnumLookup virtio_ddebug_mode_lookup = {
    .array = virtio_ddebug_modes,
    .size = ARRAY_SIZE(virtio_ddebug_modes),
};

static void virtio_ddebug_tell_policy(VirtIODDebug *s)
{
    if (s->drain) {
        ddebug_drain_set_policy(s->drain, s->mode, s->rate_limit);
    }
}

static int virtio_ddebug_get_mode(Object *obj, Error **errp)
{
    return VIRTIO_DDEBUG(obj)->mode;
}

static void virtio_ddebug_set_mode(Object *obj, int mode, Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(obj);

    s->mode = mode;
    virtio_ddebug_tell_policy(s);
}

static void virtio_ddebug_get_rate_limit(Object *obj, Visitor *v,
                                         const char *name, void *opaque,
                                         Error **errp)
{
    uint64_t value = VIRTIO_DDEBUG(obj)->rate_limit;

    visit_type_size(v, name, &value, errp);
}

static void virtio_ddebug_set_rate_limit(Object *obj, Visitor *v,
                                         const char *name, void *opaque,
                                         Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(obj);
    uint64_t value;

    if (!visit_type_size(v, name, &value, errp)) {
        return;
    }
    if (value > DDEBUG_LOG_RATE_MAX) {
        error_setg(errp, "virtio-ddebug: rate-limit=%" PRIu64 ": bytes per "
                   "second, at most 1T; 0 is no limit", value);
        return;
    }
    s->rate_limit = value;
    virtio_ddebug_tell_policy(s);
}

static void virtio_ddebug_get_log_size(Object *obj, Visitor *v,
                                       const char *name, void *opaque,
                                       Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(obj);
    DdebugCounters counters = { 0 };

    if (s->drain) {
        ddebug_drain_counters(s->drain, &counters);
    }
    visit_type_size(v, name, &counters.log_size, errp);
}

static void virtio_ddebug_set_log_size(Object *obj, Visitor *v,
                                       const char *name, void *opaque,
                                       Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(obj);
    g_autoptr(GError) error = NULL;
    uint64_t value;

    if (!visit_type_size(v, name, &value, errp)) {
        return;
    }
    if (!s->drain) {
        error_setg(errp, "virtio-ddebug: log-size can be set while the device "
                   "has its log: before, set size");
        return;
    }
    if (!ddebug_log_check_size(value, &error)) {
        error_setg(errp, "virtio-ddebug: log-size: %s", error->message);
        return;
    }
    ddebug_drain_resize(s->drain, value);
}

static char *virtio_ddebug_get_resize_status(Object *obj, Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(obj);

    return s->drain ? ddebug_drain_resize_status(s->drain) : g_strdup("none");
}

static void virtio_ddebug_add_settings(ObjectClass *klass)
{
    object_class_property_add_enum(klass, "mode", "VirtIODDebugMode",
                                   &virtio_ddebug_mode_lookup,
                                   virtio_ddebug_get_mode,
                                   virtio_ddebug_set_mode);
    object_class_property_set_description(
        klass, "mode",
        "what becomes of messages that the log is full for: overwrite (the "
        "oldest; default), drop (they are lost, and the oldest are kept)");
    object_class_property_add(klass, "rate-limit", "size",
                              virtio_ddebug_get_rate_limit,
                              virtio_ddebug_set_rate_limit, NULL, NULL);
    object_class_property_set_description(
        klass, "rate-limit",
        "bytes per second that may be written to the log, in bursts of a "
        "second's, 256K at least (default: 0, no limit)");
    object_class_property_add(klass, "log-size", "size",
                              virtio_ddebug_get_log_size,
                              virtio_ddebug_set_log_size, NULL, NULL);
    object_class_property_set_description(
        klass, "log-size",
        "bytes of the log file; set while the VM runs to change them, see "
        "resize-status");
    object_class_property_add_str(klass, "resize-status",
                                  virtio_ddebug_get_resize_status, NULL);
    object_class_property_set_description(
        klass, "resize-status",
        "read-only: what came of setting log-size: none, pending, done, "
        "failed: WHY");
}

typedef struct VirtIODDebugCounter {
    const char *name;
    size_t offset;
    const char *description;
} VirtIODDebugCounter;

#define COUNTER(name, field, description) \
    { name, offsetof(DdebugCounters, field), "read-only: " description }

static const VirtIODDebugCounter virtio_ddebug_counters[] = {
    COUNTER("wakeups", wakeups, "times the drain thread has woken up"),
    COUNTER("passes", passes, "looks at all streams that found something"),
    COUNTER("chunks", chunks, "chunks of messages written to the log"),
    COUNTER("bytes", bytes, "bytes of messages written to the log"),
    COUNTER("io-lost", io_lost, "bytes that could not be written to the log"),
    COUNTER("full-lost", full_lost,
            "bytes that a full log did not take (mode=drop)"),
    COUNTER("rate-lost", rate_lost, "bytes that exceeded rate-limit"),
    COUNTER("streams", streams, "streams that the driver has posted"),
};

const char *const virtio_ddebug_property_names[] = {
    "mode", "rate-limit", "log-size", "resize-status", "kicks", "wakeups",
    "passes", "chunks", "bytes", "io-lost", "full-lost", "rate-lost", "streams",
    NULL
};

static void virtio_ddebug_get_counter(Object *obj, Visitor *v,
                                      const char *name, void *opaque,
                                      Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(obj);
    const VirtIODDebugCounter *counter = opaque;
    DdebugCounters counters = { 0 };
    uint64_t value;

    if (s->drain) {
        ddebug_drain_counters(s->drain, &counters);
    }
    value = *(uint64_t *)((char *)&counters + counter->offset);
    visit_type_uint64(v, name, &value, errp);
}

static void virtio_ddebug_get_kicks(Object *obj, Visitor *v, const char *name,
                                    void *opaque, Error **errp)
{
    uint64_t value = VIRTIO_DDEBUG(obj)->kicks;

    visit_type_uint64(v, name, &value, errp);
}

static void virtio_ddebug_add_counters(ObjectClass *klass)
{
    size_t i;

    object_class_property_add(klass, "kicks", "uint64",
                              virtio_ddebug_get_kicks, NULL, NULL, NULL);
    object_class_property_set_description(
        klass, "kicks",
        "read-only: notifications of the driver for its streams");
    for (i = 0; i < ARRAY_SIZE(virtio_ddebug_counters); i++) {
        const VirtIODDebugCounter *counter = &virtio_ddebug_counters[i];

        object_class_property_add(klass, counter->name, "uint64",
                                  virtio_ddebug_get_counter, NULL, NULL,
                                  (void *)counter);
        object_class_property_set_description(klass, counter->name,
                                              counter->description);
    }
}

static void virtio_ddebug_init(Object *obj)
{
    VIRTIO_DDEBUG(obj)->size = SIZE_UNSET;
}

/* Whoever has mapped the memory region has a reference to the device. */
static void virtio_ddebug_finalize(Object *obj)
{
    ddebug_shm_unref(VIRTIO_DDEBUG(obj)->shm);
}

static void virtio_ddebug_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioDeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);

    device_class_set_props(dc, virtio_ddebug_properties);
    object_class_property_set_description(
        klass, "file", "the log file; made if it is missing (required)");
    object_class_property_set_description(
        klass, "size",
        "bytes the log file may take, 1M to 1T (default: as it is; 16M if new)");
    object_class_property_set_description(
        klass, "file-mode",
        "permissions of the log file, 0600 to 0664 (default: as they are; 0600 "
        "if new)");
    object_class_property_set_description(
        klass, "file-group",
        "group of the log file, by name or number (default: as it is)");
    object_class_property_set_description(
        klass, "freeze-on-panic",
        "keep what led to a panic, up to a quarter of the log, from being "
        "overwritten (default: on)");
    object_class_property_set_description(
        klass, "kmsg",
        "record the guest's kernel log as well, in order with the messages "
        "(default: off)");
    object_class_property_set_description(
        klass, "shm",
        "on: the guest's rings are a part of the log file, so that even a QEMU "
        "that is killed loses nothing (default: off)");
    object_class_property_set_description(
        klass, "shm-size",
        "bytes of the log file for them, a power of two, 1M to 1G (default: as "
        "in the file; 512K for each CPU there may be if new)");
    object_class_property_set_description(
        klass, "guest-size-max",
        "the guest may change the size of its log, from what it was given up "
        "to so many bytes (default: 0, it may not)");
    virtio_ddebug_add_settings(klass);
    virtio_ddebug_add_counters(klass);
    dc->desc = "takes the guest's dynamic debug messages into a log file";
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    vdc->realize = virtio_ddebug_realize;
    vdc->unrealize = virtio_ddebug_unrealize;
    vdc->get_features = virtio_ddebug_get_features;
    vdc->get_config = virtio_ddebug_get_config;
    vdc->set_status = virtio_ddebug_set_status;
    vdc->reset = virtio_ddebug_reset;
    vdc->queue_reset = virtio_ddebug_queue_reset;
}

static const TypeInfo virtio_ddebug_info = {
    .name = TYPE_VIRTIO_DDEBUG,
    .parent = TYPE_VIRTIO_DEVICE,
    .instance_size = sizeof(VirtIODDebug),
    .instance_init = virtio_ddebug_init,
    .instance_finalize = virtio_ddebug_finalize,
    .class_init = virtio_ddebug_class_init,
};

static void virtio_ddebug_register_types(void)
{
    type_register_static(&virtio_ddebug_info);
}

#ifdef DDEBUG_LOADABLE
void virtio_ddebug_register(void)
{
    virtio_ddebug_register_types();
}
#else
type_init(virtio_ddebug_register_types)
#endif
