/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-ddebug: takes the dynamic debug messages of a guest out of rings that
 * it shares with the guest, and keeps them in a bounded log file.
 */
#ifndef HW_VIRTIO_DDEBUG_H
#define HW_VIRTIO_DDEBUG_H

#include "hw/virtio/virtio.h"
#include "qemu/notify.h"
#include "qom/object.h"
#include "ddebug-drain.h"

#define TYPE_VIRTIO_DDEBUG "virtio-ddebug-device"
OBJECT_DECLARE_SIMPLE_TYPE(VirtIODDebug, VIRTIO_DDEBUG)

struct VirtIODDebug {
    VirtIODevice parent_obj;

    /* properties */
    char *file;
    uint64_t size;
    char *file_mode;
    char *file_group;
    DdebugLogMode mode;
    uint64_t rate_limit;        /* bytes/s; 0: none */
    bool kmsg;
    bool freeze_on_panic;
    bool shm_on;
    uint64_t shm_size;          /* bytes; 0: by the number of CPUs */
    uint64_t guest_size_max;    /* bytes; 0: the guest has no say in the size */

    uint16_t num_ring_queues;
    uint32_t max_streams;
    VirtQueue *control_vq;

    DdebugShm *shm;             /* rings in the log file; NULL: shm=off */
    MemoryRegion shm_mr;        /* the same, as the guest sees it */
    DdebugDrain *drain;
    bool running;               /* the drain is not paused */
    bool attach_seen;           /* since the last reset */
    bool stop_told;             /* a STOP event is not followed by CONT yet */
    QEMUBH *bh;                 /* fetches the drain's answers */
    GHashTable *requests;       /* by id: elements of the control queue */
    GHashTable *retiring;       /* by id of the request: streams to be returned */
    uint64_t next_request;
    uint64_t told_size;         /* of the log, as the driver may know it */
    uint64_t kicks;             /* notifications of ring queues */

    VMChangeStateEntry *vmstate;
    Notifier exit_notifier;
    Notifier shutdown_notifier;
    Error *migration_blocker;
};

/*
 * The properties that are not qdev's, for a transport that wants them too;
 * NULL-terminated.
 */
extern const char *const virtio_ddebug_property_names[];

#ifdef DDEBUG_LOADABLE
void virtio_ddebug_register(void);
void virtio_ddebug_pci_register(void);
#endif

#endif /* HW_VIRTIO_DDEBUG_H */
