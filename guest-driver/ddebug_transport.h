/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between ddebug_rb.ko, which has the streams and the dictionary, and a module that
 * passes them to a host.
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
 * @status: writable by the device; 64 bytes, aligned, on cache lines of its own
 * @pieces: the ring, readable by the device
 * @nr_pieces: number of pieces, up to VIRTIO_DDEBUG_RING_PIECES_MAX; 0: header and
 *	ring lie in the transport's shared memory, at @shared->desc.shm_offset
 * @id: below 4 * nr_cpu_ids; the same as @shared->desc.stream
 * @queue: for the transport: streams of equal @queue are notified by one call
 * @posted: for ddebug_rb: the device has the stream
 *
 * A stream lives as long as ddebug_rb is loaded, which is longer than any transport
 * lives; or until it is retired, when its memory is reused.
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
 * struct ddebug_transport_ops - operations of a transport
 * @post: give a stream to the device, for good.  Process context; sleeps.
 *	Returns 0, -ERANGE if the device accepts no stream of this id, or another
 *	-errno.
 * @retire: have the device read a stream to its end and return it, within a
 *	bounded time; then its memory is ours.  Process context; sleeps.  Returns
 *	0 or -errno.  After -ETIMEDOUT the device still has it, and the transport
 *	calls ddebug_stream_retired() when it no longer does; on other errors it has
 *	it until it is reset.
 * @announce: send callsites (struct ddebug_callsite, one or more, @len bytes,
 *	at most @max_announce) and wait until the device has them, for a bounded
 *	time.  Process context; sleeps.  Returns 0 or -errno; -ENOSPC if the host
 *	has no room for them and retrying is of no use.
 * @notify: wake the device.  Hard interrupt, interrupts off; or process
 *	context with preemption off.
 * @log_size: size of the host's log in bytes; 0 if the host does not report it.
 *	Process context; sleeps.
 * @set_log_size: request a log of this size in bytes from the host, and wait for the
 *	answer, for a bounded time.  Process context; sleeps.  Returns 0, -EPERM
 *	if the host does not permit it, -EINVAL if the size is out of its bounds,
 *	-ENOSPC if its disk is full, or another -errno.
 * @shm_alloc: allocate memory for a ring that outlives the host: @len bytes,
 *	aligned to VIRTIO_DDEBUG_SHM_ALIGN, not initialised; *@offset is for
 *	virtio_ddebug_stream_desc.shm_offset.  Returns NULL if there is no room.
 *	Any number of tasks; only for a transport with @shm.
 * @shm_free: free such memory
 *
 * ddebug_rb never calls @post, @retire, @announce, @log_size and @set_log_size in two
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
 * @kmsg: the host wants the kernel's log as well
 * @shm: the host offers memory that outlives it
 * @epoch: the device's answer to ATTACH; for shared memory
 * @log_id: identifies the host's log, while attached; 0: unknown
 */
struct ddebug_transport {
	const struct ddebug_transport_ops *ops;
	size_t max_announce;
	bool kmsg;
	bool shm;
	u32 epoch;
	u64 log_id;
};


/*
 * Inside ddebug_rb.ko only.
 *
 * The attached transport.  Changed with ddebug_transport_lock(); used with that lock, or
 * within rcu_read_lock().
 */
extern struct ddebug_transport __rcu *ddebug_attached;

struct ddebug_transport *ddebug_transport_lock(void);
void ddebug_transport_unlock(void);
int ddebug_post_stream(struct ddebug_transport *t, struct ddebug_stream *s);
int ddebug_retire_stream(struct ddebug_transport *t, struct ddebug_stream *s);
void ddebug_own_disown(void);

/* The task that does the transport's work; with its start time it is unique. */
extern struct task_struct *ddebug_own_task;
extern u64 ddebug_own_start;
/* Messages of its work that no stream counts yet. */
extern unsigned long ddebug_own_dropped;

#endif /* _DDEBUG_TRANSPORT_H */
