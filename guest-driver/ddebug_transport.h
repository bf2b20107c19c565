/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between ddebug_rb.ko, which has the streams and the dictionary, and a module
 * that carries them to a host.
 */
#ifndef _DDEBUG_TRANSPORT_H
#define _DDEBUG_TRANSPORT_H

#include <linux/build_bug.h>
#include <linux/types.h>
#include "virtio_ddebug.h"

struct ddebug_stream;
struct ddebug_transport;
struct page;
struct task_struct;

/**
 * struct ddebug_stream_shared - what the device reads besides the ring
 * @desc: constant while the stream is posted
 * @hdr: written by the producer at any time
 *
 * One physically contiguous piece, aligned to 64 bytes.
 */
struct ddebug_stream_shared {
	struct virtio_ddebug_stream_desc desc;
	struct virtio_ddebug_stream_hdr hdr;
} __aligned(64);

static_assert(sizeof(struct ddebug_stream_shared) == 128);

/**
 * struct ddebug_piece - a physically contiguous piece of a ring
 * @page: its first page, in the direct map
 * @len: bytes
 */
struct ddebug_piece {
	struct page *page;
	unsigned int len;
};

/**
 * struct ddebug_stream - what a transport sees of a stream
 * @shared: readable by the device; its @hdr is in use only if there are pieces
 * @status: writable by the device; 64 bytes, aligned, in a page apart
 * @pieces: the ring, readable by the device
 * @nr_pieces: number of pieces, up to VIRTIO_DDEBUG_RING_PIECES_MAX; 0: header and
 *	ring lie in the transport's shared memory, at @shared->desc.shm_offset
 * @id: below 4 * nr_cpu_ids; the same as @shared->desc.stream
 * @queue: the transport's: streams of equal @queue are notified by one call
 * @posted: ddebug_rb's: the device has the stream
 *
 * A stream lives as long as ddebug_rb is loaded, which is longer than any
 * transport is; or until it is retired, when its memory is another's.
 */
struct ddebug_stream {
	struct ddebug_stream_shared *shared;
	struct virtio_ddebug_status *status;
	struct ddebug_piece *pieces;
	unsigned int nr_pieces;
	u32 id;
	unsigned int queue;
	bool posted;
};

/**
 * struct ddebug_transport_ops - what ddebug_rb asks of a transport
 * @post: give a stream to the device, for good.  Process context; sleeps.
 *	Returns 0, -ERANGE if the device takes no stream of this id, or another
 *	-errno.
 * @retire: have the device read a stream to its end and give it back, within a
 *	bounded time; then its memory is ours.  Process context; sleeps.  Returns
 *	0 or -errno; on an error the device keeps it until it is reset.
 * @announce: send callsites (struct ddebug_callsite, one or more, @len bytes,
 *	at most @max_announce) and wait until the device has them, for a bounded
 *	time.  Process context; sleeps.  Returns 0 or -errno; -ENOSPC if the host
 *	has no room for them and asking again is of no use.
 * @notify: wake the device.  Hard interrupt, interrupts off; or process
 *	context with preemption off.
 * @log_size: bytes that the host's log takes; 0 if the host does not tell.
 *	Process context; sleeps.
 * @set_log_size: ask the host for a log of so many bytes, and wait until it has
 *	answered, for a bounded time.  Process context; sleeps.  Returns 0, -EPERM
 *	if the host does not let us ask, -EINVAL if the size is out of its bounds,
 *	-ENOSPC if its disk is full, or another -errno.
 * @shm_alloc: memory that the host keeps should it die, for a ring: @len bytes,
 *	aligned to VIRTIO_DDEBUG_SHM_ALIGN, whatever they hold; *@offset is for
 *	virtio_ddebug_stream_desc.shm_offset.  Returns NULL if there is no room.
 *	Any number of tasks; of a transport with @shm only.
 * @shm_free: give such memory back
 *
 * @post, @retire, @announce, @log_size and @set_log_size are never called by two
 * tasks at once.
 */
struct ddebug_transport_ops {
	int (*post)(struct ddebug_transport *t, struct ddebug_stream *s);
	int (*retire)(struct ddebug_transport *t, struct ddebug_stream *s);
	int (*announce)(struct ddebug_transport *t, const void *buf, size_t len);
	void (*notify)(struct ddebug_transport *t, struct ddebug_stream *s);
	u64 (*log_size)(struct ddebug_transport *t);
	int (*set_log_size)(struct ddebug_transport *t, u64 bytes);
	void *(*shm_alloc)(struct ddebug_transport *t, size_t len, u64 *offset);
	void (*shm_free)(struct ddebug_transport *t, void *mem, size_t len);
};

/**
 * struct ddebug_transport - a way to a host
 * @ops: its operations
 * @max_announce: bytes that one @ops->announce takes; at least
 *	DDEBUG_CALLSITE_MAX
 * @kmsg: the host wants the kernel's log, too
 * @shm: the host offers memory that it keeps
 * @epoch: what the device has answered to ATTACH; for shared memory
 */
struct ddebug_transport {
	const struct ddebug_transport_ops *ops;
	size_t max_announce;
	bool kmsg;
	bool shm;
	u32 epoch;
};

void ddebug_own_begin(void);
void ddebug_own_end(void);

/*
 * Inside ddebug_rb.ko.
 *
 * The attached transport: changed with ddebug_transport_lock(); after synchronize_rcu()
 * nobody is in the old one's operations but who has that lock.
 */
extern struct ddebug_transport __rcu *ddebug_attached;

struct ddebug_transport *ddebug_transport_lock(void);
void ddebug_transport_unlock(void);
int ddebug_post_stream(struct ddebug_transport *t, struct ddebug_stream *s);
int ddebug_retire_stream(struct ddebug_transport *t, struct ddebug_stream *s);
void ddebug_own_disown(void);

/* The task that does the transport's work; its start time makes it unique. */
extern struct task_struct *ddebug_own_task;
extern u64 ddebug_own_start;

#endif /* _DDEBUG_TRANSPORT_H */
