/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams out of posted elements. */
#ifndef VIRTIO_DDEBUG_STREAMS_H
#define VIRTIO_DDEBUG_STREAMS_H

#include "virtio-ddebug-state.h"

/* Bytes the device writes to an element. */
#define VIRTIO_DDEBUG_STATUS_SIZE sizeof(struct virtio_ddebug_status)

/**
 * virtio_ddebug_new_stream: check a posted element and hand its stream to the
 * drain
 * @queue: index of the queue that @elem was popped from
 * @elem: becomes the stream's, unless NULL is returned
 * @why: NULL at first; on failure set to the rule that @elem breaks, to be
 *       freed with g_free()
 *
 * Returns: the stream, owned by the drain; or NULL
 */
DdebugStream *virtio_ddebug_new_stream(VirtIODDebug *s, unsigned queue,
                                       VirtQueueElement *elem, char **why);

#endif /* VIRTIO_DDEBUG_STREAMS_H */
