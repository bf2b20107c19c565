/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One source for several versions of QEMU.
 *
 * The device is written for QEMU 10.0; this header makes older versions look
 * like it.  It is compiled with 7.2 and 10.0; changes in between are attributed
 * to versions as far as they are known.  No other file checks the version,
 * which comes from the generated config-host.h.
 *
 * Include after "qemu/osdep.h".
 */
#ifndef HW_VIRTIO_DDEBUG_COMPAT_H
#define HW_VIRTIO_DDEBUG_COMPAT_H

#define DDEBUG_QEMU_AT_LEAST(major, minor) \
    (QEMU_VERSION_MAJOR > (major) || \
     (QEMU_VERSION_MAJOR == (major) && QEMU_VERSION_MINOR >= (minor)))

#if !DDEBUG_QEMU_AT_LEAST(7, 2) || DDEBUG_QEMU_AT_LEAST(10, 1)
#error "virtio-ddebug supports QEMU 7.2 to 10.0"
#endif

#include "hw/qdev-properties.h"
#include "qapi/error.h"
#if DDEBUG_QEMU_AT_LEAST(10, 0)
#include "system/replay.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "system/system.h"
#else
#include "sysemu/replay.h"
#include "sysemu/reset.h"
#include "sysemu/runstate.h"
#include "sysemu/sysemu.h"
#endif

#if !DDEBUG_QEMU_AT_LEAST(10, 0)
/* Arrays ended with an empty property; now they are const, the size passed. */
#define device_class_set_props(dc, props) \
    do { \
        static Property props_ended_[ARRAY_SIZE(props) + 1]; \
        memcpy(props_ended_, props, sizeof(props)); \
        (device_class_set_props)(dc, props_ended_); \
    } while (0)
#endif

#if !DDEBUG_QEMU_AT_LEAST(9, 2)
/* It was static, and for 32-bit capabilities only. */
#include "hw/virtio/virtio-pci.h"
#include "standard-headers/linux/virtio_pci.h"

static inline int virtio_pci_add_shm_cap(VirtIOPCIProxy *proxy, uint8_t bar,
                                         uint64_t offset, uint64_t length,
                                         uint8_t id)
{
    const struct virtio_pci_cap64 cap = {
        .cap.cap_len = sizeof(cap),
        .cap.cfg_type = VIRTIO_PCI_CAP_SHARED_MEMORY_CFG,
        .cap.bar = bar,
        .cap.id = id,
        .cap.offset = cpu_to_le32(offset),
        .cap.length = cpu_to_le32(length),
        .offset_hi = cpu_to_le32(offset >> 32),
        .length_hi = cpu_to_le32(length >> 32),
    };
    int at = pci_add_capability(&proxy->pci_dev, PCI_CAP_ID_VNDR, 0,
                                sizeof(cap), &error_abort);

    /* the bytes before cap_len belong to PCI */
    memcpy(proxy->pci_dev.config + at + PCI_CAP_FLAGS, &cap.cap.cap_len,
           sizeof(cap) - PCI_CAP_FLAGS);
    return at;
}
#endif

#endif /* HW_VIRTIO_DDEBUG_COMPAT_H */
