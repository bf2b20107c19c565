/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of the device, shared by its files. */
#ifndef VIRTIO_DDEBUG_STATE_H
#define VIRTIO_DDEBUG_STATE_H

#include "hw/virtio/virtio.h"
#include "qemu/bitmap.h"
#include "qemu/notify.h"
#include "qom/object.h"
#include "ddebug-drain.h"

#define TYPE_VIRTIO_DDEBUG "virtio-ddebug-device"
OBJECT_DECLARE_SIMPLE_TYPE(VirtIODDebug, VIRTIO_DDEBUG)

struct VirtIODDebug {
    VirtIODevice parent_obj;

    /* properties */
    char *file;
    uint64_t size;              /* bytes; see virtio_ddebug_open_log() */
    char *file_mode;
    char *file_group;
    DdebugLogMode mode;
    uint64_t rate_limit;        /* bytes/s; 0: no limit */
    bool kmsg;
    bool notice;
    bool log_id;
    bool freeze_on_panic;
    uint32_t sync_interval;     /* seconds; 0: the log is not synced */
    bool shm_on;
    uint64_t shm_size;          /* bytes; 0: by the number of CPUs */
    uint64_t guest_size_max;    /* bytes; 0: the guest may not resize the log */

    uint16_t num_ring_queues;
    uint32_t max_streams;
    VirtQueue *control_vq;

    DdebugShm *shm;             /* rings in the log file; NULL: shm=off */
    MemoryRegion shm_bar;       /* what the guest sees of it: */
    MemoryRegion shm_mr;        /* the same, once the log is open */
    DdebugDrain *drain;
    DdebugLogSync *sync;        /* of the log; NULL: sync-interval=0 */
    bool driver_ok;             /* the drain may touch the guest's memory */
    bool attach_seen;           /* since the last reset */
    bool failure_told;          /* that the log could not be opened */
    QEMUBH *bh;                 /* answers, and the rest of the queues */
    GQueue given_up;            /* elements whose memory is still mapped */
    DECLARE_BITMAP(pending, VIRTIO_QUEUE_MAX); /* queues with more to take */
    unsigned turn;              /* the queue that is served next, if pending */
    unsigned errors;            /* of the guest, reported so far */
    GHashTable *requests;       /* by id: elements of the control queue */
    uint64_t next_request;
    uint64_t config_size;       /* log_size in the configuration space */
    uint64_t config_id;         /* log_id there */
    uint64_t kicks;             /* notifications of ring queues */

    VMChangeStateEntry *vmstate;
    Notifier exit_notifier;
    Notifier shutdown_notifier;
};

#endif /* VIRTIO_DDEBUG_STATE_H */
