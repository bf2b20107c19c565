/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Properties and counters, and the log that the properties name. */
#ifndef VIRTIO_DDEBUG_PROPS_H
#define VIRTIO_DDEBUG_PROPS_H

#include "virtio-ddebug-state.h"

/* For instance_init: the defaults that differ from zero. */
void virtio_ddebug_init_properties(VirtIODDebug *s);

/* For class_init. */
void virtio_ddebug_add_properties(ObjectClass *klass);

/**
 * virtio_ddebug_alias_properties: give @proxy, a transport, the properties of
 * @s that are not qdev's
 *
 * Skips those that @proxy has: newer versions of QEMU alias them themselves.
 */
void virtio_ddebug_alias_properties(Object *proxy, VirtIODDebug *s);

/**
 * virtio_ddebug_open_log: check the properties and begin to open the log by them
 *
 * Sets @s->size to the size that the log will have, and with shm=on @s->shm.
 *
 * Returns: the log, for ddebug_drain_start(); or NULL with @errp set
 */
DdebugLog *virtio_ddebug_open_log(VirtIODDebug *s, Error **errp);

#endif /* VIRTIO_DDEBUG_PROPS_H */
