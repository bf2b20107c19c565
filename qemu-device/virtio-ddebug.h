/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-ddebug: drains the dynamic debug messages of a guest from rings that
 * it shares with the guest to a bounded log file.
 */
#ifndef HW_VIRTIO_DDEBUG_H
#define HW_VIRTIO_DDEBUG_H

#include "virtio-ddebug-state.h"

#ifdef DDEBUG_LOADABLE
/* Register the types: virtio-ddebug.c, virtio-ddebug-pci.c */
void virtio_ddebug_register(void);
void virtio_ddebug_pci_register(void);
#endif

#endif /* HW_VIRTIO_DDEBUG_H */
