/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio-ddebug device: queues, requests, and when streams come and go.
 * Implements docs/spec/virtio-ddebug.md.
 *
 * Everything here runs with the BQL held.  Work that needs the disk is handed
 * to the drain (ddebug-drain.c), whose answers arrive in a bottom half.
 */
#include "qemu/osdep.h"
#include "hw/boards.h"
#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-pci.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/error-report.h"
#include "qemu/iov.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "standard-headers/linux/virtio_ids.h"
#include "trace.h"
#include "ddebug-compat.h"
#include "ddebug-sync.h"
#include "virtio-ddebug.h"
#include "virtio-ddebug-props.h"
#include "virtio-ddebug-streams.h"

/* A request is answered once it is written: a few in flight are plenty. */
#define CONTROL_QUEUE_SIZE 16
#define EVENT_QUEUE_SIZE 16
/* An element uses one descriptor; the rest are in an indirect table. */
#define RING_QUEUE_SIZE VIRTQUEUE_MAX_SIZE

#define REQUEST_MAX (64u << 10)
QEMU_BUILD_BUG_ON(REQUEST_MAX < VIRTIO_DDEBUG_REQ_LEN_MIN);
QEMU_BUILD_BUG_ON(REQUEST_MAX - sizeof(struct virtio_ddebug_req_hdr) >
                  DDEBUG_LOG_PAYLOAD_MAX);

/* How long QEMU waits on exit for a disk that hangs. */
#define STOP_TIMEOUT_MS 5000

/*
 * The guest can refill a queue as fast as the device empties it, and the main
 * loop waits meanwhile.  So work is done in portions, and a bottom half goes on
 * with the rest.  The unit is the time to map or unmap a piece of an element,
 * or to copy 1 KiB, which is well below a microsecond; an element has 1024
 * pieces at most.
 */
#define PORTION 1024
/* An element without its pieces, including the interrupt. */
#define ELEMENT_COST 16

/* So that a guest that keeps breaking the rules cannot flood our stderr. */
#define ERRORS_MAX 16

/* What ddebug_stream_write_last_status() has written of an element. */
#define STATUS_WRITTEN (offsetof(struct virtio_ddebug_status, want_kick) + \
                        sizeof(((struct virtio_ddebug_status *)0)->want_kick))

static int virtio_ddebug_cost(const VirtQueueElement *elem)
{
    return ELEMENT_COST + elem->out_num + elem->in_num;
}

/* virtio_error(), which a guest can cause again after each reset. */
static void G_GNUC_PRINTF(2, 3) virtio_ddebug_error(VirtIODDebug *s,
                                                    const char *fmt, ...)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    g_autofree char *what = NULL;
    va_list ap;

    va_start(ap, fmt);
    what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (s->errors < ERRORS_MAX) {
        s->errors++;
        virtio_error(vdev, "virtio-ddebug: %s%s", what,
                     s->errors == ERRORS_MAX ?
                     "; further errors of the guest are not reported" : "");
        return;
    }
    /* the same without a word */
    vdev->broken = true;
    if (virtio_vdev_has_feature(vdev, VIRTIO_F_VERSION_1)) {
        vdev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        virtio_notify_config(vdev);
    }
}

/* May elements be taken and answered? */
static bool virtio_ddebug_is_ready(VirtIODDebug *s)
{
    return s->drain && s->driver_ok && VIRTIO_DEVICE(s)->vm_running;
}

static void virtio_ddebug_schedule(void *opaque)
{
    VirtIODDebug *s = opaque;

    qemu_bh_schedule(s->bh);
}

/* Elements that are given up */

/*
 * The queue gets the element back now, for this may be a reset; its memory is
 * unmapped later, since there may be a full queue of them.  @written: bytes of
 * it that the device has written.
 */
static void virtio_ddebug_give_up(VirtIODDebug *s, VirtQueue *vq,
                                  VirtQueueElement *elem, unsigned written)
{
    const unsigned in_num = elem->in_num, out_num = elem->out_num;

    elem->in_num = elem->out_num = 0;
    virtqueue_detach_element(vq, elem, 0);
    elem->in_num = in_num;
    elem->out_num = out_num;
    elem->ndescs = 0;
    elem->len = written;
    g_queue_push_tail(&s->given_up, elem);
    virtio_ddebug_schedule(s);
}

/*
 * Return true if nothing is left to unmap.  Nothing is taken from the queues
 * before that, so that there is never more than the queues can hold.
 */
static bool virtio_ddebug_unmap(VirtIODDebug *s, int *portion)
{
    while (*portion > 0) {
        VirtQueueElement *elem = g_queue_pop_head(&s->given_up);

        if (!elem) {
            return true;
        }
        *portion -= virtio_ddebug_cost(elem);
        /* any queue does: the element has no descriptors of it any more */
        virtqueue_detach_element(s->control_vq, elem, elem->len);
        g_free(elem);
    }
    return false;
}

/* Requests */

/* Answer a request; frees @elem. */
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

/* Return the element to the driver; frees the stream. */
static void virtio_ddebug_return_stream(VirtIODDebug *s, DdebugStream *st)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    VirtQueue *vq = virtio_get_queue(vdev, st->queue);

    virtqueue_push(vq, st->element,
                   ddebug_stream_write_last_status(st) ? STATUS_WRITTEN : 0);
    virtio_notify(vdev, vq);
    g_free(st->element);
    ddebug_stream_free(st);
}

/*
 * Show the guest the shared memory, once what an earlier guest left there is in
 * the log.  A driver uses it after the ATTACH is answered, which is later.
 */
static void virtio_ddebug_show_shm(VirtIODDebug *s)
{
    if (s->shm && !s->shm_mr.enabled &&
        ddebug_drain_file_state(s->drain, NULL) == DDEBUG_FILE_OPEN) {
        memory_region_set_enabled(&s->shm_mr, true);
    }
}

static void virtio_ddebug_tell_failure(VirtIODDebug *s)
{
    g_autofree char *why = NULL;

    if (!s->failure_told &&
        ddebug_drain_file_state(s->drain, &why) == DDEBUG_FILE_FAILED) {
        s->failure_told = true;
        error_report("virtio-ddebug: file: %s; unplug the device (device_del) "
                     "before you try again", why);
    }
}

/* Return true if there is no answer left. */
static bool virtio_ddebug_fetch_answers(VirtIODDebug *s, int *portion)
{
    DdebugAnswer answer;

    while (*portion > 0) {
        VirtQueueElement *elem;

        if (!ddebug_drain_next_answer(s->drain, &answer)) {
            return true;
        }
        elem = g_hash_table_lookup(s->requests, &answer.id);
        *portion -= ELEMENT_COST;
        if (answer.stream) {
            *portion -= virtio_ddebug_cost(answer.stream->element);
            virtio_ddebug_return_stream(s, answer.stream);
        }
        /* not found: a reset has taken the element back */
        if (elem) {
            *portion -= virtio_ddebug_cost(elem);
            g_hash_table_remove(s->requests, &answer.id);
            virtio_ddebug_respond(s, elem, answer.status, answer.value);
        }
    }
    return false;
}

static void virtio_ddebug_note_size(VirtIODDebug *s)
{
    DdebugCounters counters;

    ddebug_drain_counters(s->drain, &counters);
    if (counters.log_size != s->config_size ||
        counters.log_id != s->config_id) {
        trace_virtio_ddebug_log_size(s, s->config_size, counters.log_size);
        s->config_size = counters.log_size;
        s->config_id = counters.log_id;
        virtio_notify_config(VIRTIO_DEVICE(s));
    }
}

/*
 * Enforce the upper bound, so that the guest cannot fill the host's disk; the
 * drain enforces the lower one.  @payload is a copy, not guest memory, so what
 * is checked here is what the drain uses.
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

/* The driver replaced the ring of this stream, or dropped it. */
static uint32_t virtio_ddebug_retire(VirtIODDebug *s, const void *payload,
                                     size_t len, uint64_t id)
{
    struct virtio_ddebug_retire retire;
    uint32_t stream, generation;

    if (!s->attach_seen || len != sizeof(retire)) {
        return VIRTIO_DDEBUG_S_INVAL;
    }
    memcpy(&retire, payload, sizeof(retire));
    stream = le32_to_cpu(retire.stream);
    generation = le32_to_cpu(retire.generation);
    if (!ddebug_drain_retire(s->drain, stream, generation, id)) {
        return VIRTIO_DDEBUG_S_INVAL;
    }
    trace_virtio_ddebug_stream_retire(s, stream, generation);
    return VIRTIO_DDEBUG_S_OK;
}

/* Frees @payload. */
static uint32_t virtio_ddebug_queue_request(VirtIODDebug *s, uint16_t type,
                                            void *payload, size_t len,
                                            uint64_t id)
{
    const uint32_t status = virtio_ddebug_check_request(s, type, payload, len);

    if (status != VIRTIO_DDEBUG_S_OK) {
        g_free(payload);
        return status;
    }
    if (!ddebug_drain_request(s->drain, type, payload, len, id)) {
        return VIRTIO_DDEBUG_S_IOERR;
    }
    s->attach_seen = true;
    return VIRTIO_DDEBUG_S_OK;
}

/* Answer the request now, or keep the element until the drain does. */
static void virtio_ddebug_request(VirtIODDebug *s, VirtQueueElement *elem,
                                  uint16_t type, size_t len)
{
    g_autofree void *payload = g_malloc(len);
    const uint64_t id = s->next_request++;
    uint32_t status;

    trace_virtio_ddebug_request(s, id, type, len);
    iov_to_buf(elem->out_sg, elem->out_num,
               sizeof(struct virtio_ddebug_req_hdr), payload, len);
    if (type == VIRTIO_DDEBUG_REQ_RETIRE) {
        status = virtio_ddebug_retire(s, payload, len, id);
    } else {
        status = virtio_ddebug_queue_request(s, type,
                                             g_steal_pointer(&payload), len,
                                             id);
    }
    if (status == VIRTIO_DDEBUG_S_OK) {
        g_hash_table_insert(s->requests, g_memdup2(&id, sizeof(id)), elem);
    } else {
        virtio_ddebug_respond(s, elem, status, 0);
    }
}

/* Return true if there is no request left. */
static bool virtio_ddebug_serve_control(VirtIODDebug *s, int *portion)
{
    VirtQueue *vq = s->control_vq;
    struct virtio_ddebug_req_hdr hdr;

    while (*portion > 0) {
        VirtQueueElement *elem = virtqueue_pop(vq, sizeof(*elem));
        size_t out, in;

        if (!elem) {
            return true;
        }
        *portion -= virtio_ddebug_cost(elem);
        out = iov_size(elem->out_sg, elem->out_num);
        in = iov_size(elem->in_sg, elem->in_num);
        if (out < sizeof(hdr) || in < sizeof(struct virtio_ddebug_resp)) {
            virtio_ddebug_error(s, "request too short: %zu bytes, and %zu for "
                                "the response", out, in);
            virtqueue_detach_element(vq, elem, 0);
            g_free(elem);
            return true;
        }
        iov_to_buf(elem->out_sg, elem->out_num, 0, &hdr, sizeof(hdr));
        if (le32_to_cpu(hdr.len) != out - sizeof(hdr)) {
            virtio_ddebug_error(s, "request has a payload of %zu bytes, but "
                                "its len is %u", out - sizeof(hdr),
                                le32_to_cpu(hdr.len));
            virtqueue_detach_element(vq, elem, 0);
            g_free(elem);
            return true;
        }
        if (out > REQUEST_MAX) {
            virtio_ddebug_respond(s, elem, VIRTIO_DDEBUG_S_INVAL, 0);
            continue;
        }
        *portion -= out / KiB;
        virtio_ddebug_request(s, elem, le16_to_cpu(hdr.type),
                              out - sizeof(hdr));
    }
    return false;
}

/* Streams */

/* Return true if there is no element left. */
static bool virtio_ddebug_serve_ring(VirtIODDebug *s, unsigned queue,
                                     int *portion)
{
    VirtQueue *vq = virtio_get_queue(VIRTIO_DEVICE(s), queue);
    g_autofree char *why = NULL;

    while (*portion > 0) {
        VirtQueueElement *elem = virtqueue_pop(vq, sizeof(*elem));

        if (!elem) {
            return true;
        }
        *portion -= virtio_ddebug_cost(elem);
        if (!virtio_ddebug_new_stream(s, queue, elem, &why)) {
            trace_virtio_ddebug_stream_refuse(s, queue, why);
            virtio_ddebug_error(s, "invalid stream: %s", why);
            virtqueue_detach_element(vq, elem, 0);
            g_free(elem);
            return true;
        }
    }
    return false;
}

static void virtio_ddebug_detach_stream(VirtIODDebug *s, DdebugStream *st)
{
    virtio_ddebug_give_up(s, virtio_get_queue(VIRTIO_DEVICE(s), st->queue),
                          st->element, STATUS_WRITTEN);
    ddebug_stream_free(st);
}

/* Drop streams that the drain has forgotten; frees the array. */
static void virtio_ddebug_detach_streams(VirtIODDebug *s, GPtrArray *gone)
{
    guint i;

    trace_virtio_ddebug_streams_forget(s, gone->len);
    for (i = 0; i < gone->len; i++) {
        virtio_ddebug_detach_stream(s, g_ptr_array_index(gone, i));
    }
    g_ptr_array_unref(gone);
}

/*
 * After this returns nothing touches the guest's memory, except that the drain
 * still stores its progress (shm_status.drained) in shared memory.
 */
static void virtio_ddebug_forget_streams(VirtIODDebug *s, unsigned queue)
{
    virtio_ddebug_detach_streams(s, ddebug_drain_forget(s->drain, queue));
}

static void virtio_ddebug_forget_requests(VirtIODDebug *s)
{
    GHashTableIter iter;
    gpointer elem;

    g_hash_table_iter_init(&iter, s->requests);
    while (g_hash_table_iter_next(&iter, NULL, &elem)) {
        virtio_ddebug_give_up(s, s->control_vq, elem, 0);
        g_hash_table_iter_remove(&iter);
    }
}

/* Queues */

/* Serve a queue that is pending; it stays so if there is more. */
static void virtio_ddebug_serve(VirtIODDebug *s, unsigned queue, int *portion)
{
    if (queue == VIRTIO_DDEBUG_VQ_CONTROL ?
        virtio_ddebug_serve_control(s, portion) :
        virtio_ddebug_serve_ring(s, queue, portion)) {
        clear_bit(queue, s->pending);
    } else {
        trace_virtio_ddebug_portion(s, queue);
        virtio_ddebug_schedule(s);
    }
}

/*
 * If the device is not ready, this goes on when it is:
 * virtio_ddebug_set_status().
 */
static void virtio_ddebug_notified(VirtIODDebug *s, unsigned queue)
{
    int portion = PORTION;

    set_bit(queue, s->pending);
    if (virtio_ddebug_is_ready(s) && virtio_ddebug_unmap(s, &portion)) {
        virtio_ddebug_serve(s, queue, &portion);
    }
}

static void virtio_ddebug_handle_control(VirtIODevice *vdev, VirtQueue *vq)
{
    virtio_ddebug_notified(VIRTIO_DDEBUG(vdev), VIRTIO_DDEBUG_VQ_CONTROL);
}

static void virtio_ddebug_handle_ring(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(vdev);
    const unsigned queue = virtio_get_queue_index(vq);

    s->kicks++;
    trace_virtio_ddebug_kick(s, queue);
    virtio_ddebug_notified(s, queue);
    if (virtio_ddebug_is_ready(s)) {
        ddebug_drain_kick(s->drain);
    }
}

/* This version sends no events; the driver's buffers stay queued. */
static void virtio_ddebug_handle_event(VirtIODevice *vdev, VirtQueue *vq)
{
}

/* The next queue that is pending, in turn; VIRTIO_QUEUE_MAX: none is. */
static unsigned virtio_ddebug_next_pending(const VirtIODDebug *s)
{
    const unsigned queue = find_next_bit(s->pending, VIRTIO_QUEUE_MAX, s->turn);

    return queue < VIRTIO_QUEUE_MAX ? queue :
           find_first_bit(s->pending, VIRTIO_QUEUE_MAX);
}

/*
 * The bottom half: what was given up, answers of the drain, then what is left in
 * the queues.
 */
static void virtio_ddebug_work(void *opaque)
{
    VirtIODDebug *s = opaque;
    int portion = PORTION;
    unsigned queue;

    if (!virtio_ddebug_unmap(s, &portion)) {
        virtio_ddebug_schedule(s);
    }
    if (s->drain) {
        virtio_ddebug_show_shm(s);
        virtio_ddebug_tell_failure(s);
    }
    /* do not write to the memory of a stopped VM: answers wait */
    if (!s->drain || !VIRTIO_DEVICE(s)->vm_running) {
        return;
    }
    if (!virtio_ddebug_fetch_answers(s, &portion)) {
        virtio_ddebug_schedule(s);
    }
    virtio_ddebug_note_size(s);
    while (portion > 0 && virtio_ddebug_is_ready(s) &&
           (queue = virtio_ddebug_next_pending(s)) < VIRTIO_QUEUE_MAX) {
        virtio_ddebug_serve(s, queue, &portion);
        s->turn = queue + 1;
    }
    if (virtio_ddebug_is_ready(s) &&
        virtio_ddebug_next_pending(s) < VIRTIO_QUEUE_MAX) {
        virtio_ddebug_schedule(s);
    }
}

/* State changes of the driver and the VM */

/* Called for a change of DRIVER_OK, too, when bus mastering is disabled. */
static void virtio_ddebug_set_status(VirtIODevice *vdev, uint8_t status)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(vdev);
    const bool driver_ok = status & VIRTIO_CONFIG_S_DRIVER_OK;

    if (!s->drain || driver_ok == s->driver_ok) {
        return;
    }
    if (driver_ok && !virtio_vdev_has_feature(vdev, VIRTIO_F_VERSION_1)) {
        if (!(vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
            virtio_ddebug_error(s, "the driver has not accepted "
                                "VIRTIO_F_VERSION_1");
        }
        return;
    }
    trace_virtio_ddebug_set_driver_ok(s, driver_ok);
    s->driver_ok = driver_ok;
    if (driver_ok) {
        ddebug_drain_permit(s->drain);
        /* what has waited for it */
        virtio_ddebug_schedule(s);
        return;
    }
    ddebug_drain_withdraw(s->drain);
    /* answering would write to memory that the driver may have reused */
    virtio_ddebug_detach_streams(s, ddebug_drain_forget_retiring(s->drain));
    virtio_ddebug_forget_requests(s);
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
        bitmap_zero(s->pending, VIRTIO_QUEUE_MAX);
    }
}

static void virtio_ddebug_queue_reset(VirtIODevice *vdev, uint32_t queue_index)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(vdev);

    if (!s->drain) {
        return;
    }
    clear_bit(queue_index, s->pending);
    if (queue_index == VIRTIO_DDEBUG_VQ_CONTROL) {
        virtio_ddebug_forget_requests(s);
    } else if (queue_index >= VIRTIO_DDEBUG_VQ_RING) {
        virtio_ddebug_forget_streams(s, queue_index);
    }
}

/* RunState as the log has it: QEMU's numbers may change. */
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
        ddebug_drain_vm_stopped(s->drain, virtio_ddebug_stop_reason(state));
        return;
    }
    /* answers may have been waiting for this */
    virtio_ddebug_schedule(s);
    ddebug_drain_vm_runs(s->drain);
}

/*
 * Reset of the whole machine, including the one at startup;
 * virtio_ddebug_reset() is the device's own.
 */
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

/*
 * QEMU exits, or the device is unplugged.  Only at exit wait for the log to be
 * synced: the VM runs on otherwise, and so does the syncing thread.
 */
static void virtio_ddebug_end(VirtIODDebug *s, bool exiting)
{
    const int64_t deadline = g_get_monotonic_time() / 1000 + STOP_TIMEOUT_MS;
    int portion = INT_MAX;
    int64_t left_ms;

    if (!s->drain) {
        return;
    }
    virtio_ddebug_forget_streams(s, DDEBUG_DRAIN_ALL);
    virtio_ddebug_forget_requests(s);
    virtio_ddebug_unmap(s, &portion);
    ddebug_drain_stop(g_steal_pointer(&s->drain), STOP_TIMEOUT_MS);
    left_ms = deadline - g_get_monotonic_time() / 1000;
    if (exiting && s->sync && left_ms > 0 &&
        !ddebug_log_sync_wait(s->sync, left_ms)) {
        warn_report("virtio-ddebug: '%s' could not be synced within %d ms: if "
                    "the host loses power now, its newest messages may be lost",
                    s->file, STOP_TIMEOUT_MS);
    }
    g_clear_pointer(&s->sync, ddebug_log_sync_unref);
}

static void virtio_ddebug_exit(Notifier *notifier, void *data)
{
    virtio_ddebug_end(container_of(notifier, VirtIODDebug, exit_notifier),
                      true);
}

/* Features and configuration */

static uint64_t virtio_ddebug_get_features(VirtIODevice *vdev,
                                           uint64_t features, Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(vdev);

    if (s->notice) {
        virtio_add_feature(&features, VIRTIO_DDEBUG_F_NOTICE);
    }
    if (s->log_id) {
        virtio_add_feature(&features, VIRTIO_DDEBUG_F_LOG_ID);
    }
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
        .log_size = cpu_to_le64(s->config_size),
        .log_id = cpu_to_le64(s->config_id),
    };

    memcpy(config, &c, sizeof(c));
}

/* Realize and unrealize */

/* Where the device could not keep its promises, say so before the VM runs. */
static bool virtio_ddebug_check_host(VirtIODDebug *s, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    Object *bus = OBJECT(qdev_get_parent_bus(DEVICE(s)));

    if (!object_dynamic_cast(bus, TYPE_VIRTIO_PCI_BUS)) {
        error_setg(errp, "virtio-ddebug: the device does not work on a bus of "
                   "type %s: use virtio-ddebug-pci, in a machine with PCI",
                   object_get_typename(bus));
    } else if (MACHINE(qdev_get_machine())->cgs) {
        error_setg(errp, "virtio-ddebug: the memory of a confidential guest "
                   "cannot be read, and so neither can its rings: remove the "
                   "device, or the machine's confidential-guest-support");
    } else if (virtio_host_has_feature(vdev, VIRTIO_F_IOMMU_PLATFORM)) {
        error_setg(errp, "virtio-ddebug: iommu_platform=on is not supported, "
                   "since the device would use rings that the guest has "
                   "unmapped from its IOMMU: remove it; the device does not "
                   "use the IOMMU then");
    } else if (virtio_host_has_feature(vdev, VIRTIO_F_IN_ORDER)) {
        error_setg(errp, "virtio-ddebug: in_order=on is not supported, since "
                   "the device holds the rings while it answers requests: "
                   "remove it");
    } else if (replay_mode != REPLAY_MODE_NONE) {
        error_setg(errp, "virtio-ddebug: an execution cannot be recorded or "
                   "replayed, since the device polls the guest's memory from a "
                   "thread of its own: remove the device, or icount's rr");
    } else {
        return true;
    }
    return false;
}

#ifdef DDEBUG_LOADABLE
/*
 * virtio_init() and x-query-virtio-status look the id up in tables built into
 * QEMU and abort if it is missing, as the device's own is.  So a loaded device
 * passes one that is in them, has neither a specification nor a driver, and is
 * never seen by a guest: the only bus it accepts is PCI, whose id
 * virtio_ddebug_pci_realize() sets.
 */
static void virtio_ddebug_init_id(VirtIODevice *vdev)
{
    virtio_init(vdev, VIRTIO_ID_DMABUF, sizeof(struct virtio_ddebug_config));
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

static void virtio_ddebug_init_shm(VirtIODDebug *s)
{
    if (!s->shm) {
        return;
    }
    memory_region_init(&s->shm_bar, OBJECT(s), "virtio-ddebug-shm-bar",
                       s->shm->size);
    memory_region_init_ram_ptr(&s->shm_mr, OBJECT(s), "virtio-ddebug-shm",
                               s->shm->size, s->shm->base);
    memory_region_set_enabled(&s->shm_mr, false);
    memory_region_add_subregion(&s->shm_bar, 0, &s->shm_mr);
    virtio_ddebug_show_shm(s);
}

/*
 * Before the VM runs, wait for all that the disk has to do: nobody is held up,
 * and its errors are those of the command line.  A VM that runs cannot wait.
 */
static bool virtio_ddebug_wait_open(VirtIODDebug *s, Error **errp)
{
    g_autofree char *why = NULL;

    if (DEVICE(s)->hotplugged) {
        return true;
    }
    ddebug_drain_wait_open(s->drain);
    if (ddebug_drain_file_state(s->drain, &why) != DDEBUG_FILE_FAILED) {
        return true;
    }
    error_setg(errp, "virtio-ddebug: file: %s", why);
    ddebug_drain_stop(g_steal_pointer(&s->drain), STOP_TIMEOUT_MS);
    return false;
}

static void virtio_ddebug_realize(DeviceState *dev, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtIODDebug *s = VIRTIO_DDEBUG(dev);
    DdebugLog *log;

    if (!virtio_ddebug_check_host(s, errp)) {
        return;
    }
    log = virtio_ddebug_open_log(s, errp);
    if (!log) {
        return;
    }
    s->config_size = ddebug_log_planned_size(log);
    s->config_id = ddebug_log_id(log);
    if (s->sync_interval) {
        s->sync = ddebug_sync_start(log, s->sync_interval, errp);
        if (!s->sync) {
            ddebug_log_close(log);
            g_clear_pointer(&s->shm, ddebug_shm_unref);
            return;
        }
    }
    s->bh = virtio_bh_new_guarded(dev, virtio_ddebug_work, s);
    s->drain = ddebug_drain_start(log, s->shm, s->freeze_on_panic,
                                  virtio_ddebug_schedule, s, errp);
    if (!s->drain) {
        ddebug_log_close(log);
    }
    if (!s->drain || !virtio_ddebug_wait_open(s, errp)) {
        g_clear_pointer(&s->sync, ddebug_log_sync_unref);
        g_clear_pointer(&s->shm, ddebug_shm_unref);
        qemu_bh_delete(s->bh);
        return;
    }
    if (s->sync) {
        ddebug_drain_watch_sync(s->drain, s->sync);
    }
    ddebug_drain_set_policy(s->drain, s->mode, s->rate_limit);
    virtio_ddebug_init_shm(s);
    s->requests = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        NULL);
    g_queue_init(&s->given_up);
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
    virtio_ddebug_end(s, false);
    if (s->shm) {
        /* it holds a reference to the device */
        memory_region_del_subregion(&s->shm_bar, &s->shm_mr);
    }
    qemu_unregister_reset(virtio_ddebug_machine_reset, s);
    notifier_remove(&s->shutdown_notifier);
    qemu_remove_exit_notifier(&s->exit_notifier);
    qemu_del_vm_change_state_handler(s->vmstate);
    qemu_bh_delete(s->bh);
    g_hash_table_unref(s->requests);
    for (i = 0; i < VIRTIO_DDEBUG_VQ_RING + s->num_ring_queues; i++) {
        virtio_del_queue(vdev, i);
    }
    virtio_cleanup(vdev);
}

/* The rings in the guest's memory are in use at any time. */
static const VMStateDescription virtio_ddebug_vmstate = {
    .name = "virtio-ddebug",
    .unmigratable = 1,
};

static void virtio_ddebug_init(Object *obj)
{
    virtio_ddebug_init_properties(VIRTIO_DDEBUG(obj));
}

/* Every mapping of the memory region holds a reference to the device. */
static void virtio_ddebug_finalize(Object *obj)
{
    ddebug_shm_unref(VIRTIO_DDEBUG(obj)->shm);
}

static void virtio_ddebug_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioDeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);

    virtio_ddebug_add_properties(klass);
    dc->desc = "drains the guest's dynamic debug messages to a log file";
    dc->vmsd = &virtio_ddebug_vmstate;
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
