/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The data structures that the files of ddebug_rb.ko share: streams and CPUs.  How
 * streams work: ddebug_ring.c.
 */
#ifndef _DDEBUG_RB_H
#define _DDEBUG_RB_H

#include <linux/irq_work.h>
#include <linux/list.h>
#include <linux/types.h>
#include "ddebug_transport.h"

#ifndef CONFIG_64BIT
#error "positions are read and written as single 64-bit words: a 64-bit kernel is needed"
#endif

struct task_struct;

/**
 * struct ddebug_owner - who has claimed a stream
 * @task: the writer runs as this task, or has interrupted it; NULL: unclaimed
 * @known: the other members are valid
 * @exiting: the task was already exiting
 * @start: the task's start time: with @task never the same for two tasks
 * @sp: an address in the writer's stack frame: its depth
 */
struct ddebug_owner {
	struct task_struct *task;
	bool known;
	bool exiting;
	u64 start;
	unsigned long sp;
};

/**
 * struct ddebug_ring - a stream, the producer's side
 * @context: VIRTIO_DDEBUG_CTX_*
 * @cpu: the only CPU that writes to it
 * @subbuf: bytes of a sub-buffer, a power of two
 * @size: bytes of the ring
 * @sub: offset in @data of the sub-buffer that contains @head
 * @data: the ring, mapped contiguously
 * @begin: position of the first byte that was, or will be, written to this ring
 * @hdr: what the device sees
 * @head: position after the last committed record
 * @reserve: position after everything ever touched
 * @seq: messages committed
 * @base: ns; of the sub-buffer that contains @head, if it has been started
 * @loss: position behind the last LOSS record; 0: there is none
 * @owner: the writer inside
 * @retired: replaced by another ring; no message may be started in it
 * @retained: the device was asked to return it and has not
 * @seen: the head that the kick handler acted on last
 * @stream: what the transport sees
 * @shm: where the stream lies in shared memory; NULL: in this kernel's memory
 * @home: the transport that @shm belongs to; NULL: none
 * @gone: entry in a list of rings that are being added or removed
 *
 * The producer reads only its own copies, never back from @hdr, which is shared
 * with a device that may misbehave.
 */
struct ddebug_ring {
	u8 context;
	unsigned int cpu;
	u32 subbuf;
	u32 size;
	u32 sub;
	u8 *data;
	u64 begin;
	struct virtio_ddebug_stream_hdr *hdr;
	u64 head;
	u64 reserve;
	u64 seq;
	u64 base;
	u64 loss;
	struct ddebug_owner owner;
	bool retired;
	bool retained;

	u64 seen;

	struct ddebug_stream stream;
	void *shm;
	struct ddebug_transport *home;
	struct list_head gone;
};

/**
 * enum ddebug_armed - which work of this CPU is certain to run from now on
 * @DDEBUG_ARMED_NOT: none
 * @DDEBUG_ARMED_LAZY: the lazy one, at the next tick
 * @DDEBUG_ARMED_NOW: the immediate one
 */
enum ddebug_armed {
	DDEBUG_ARMED_NOT,
	DDEBUG_ARMED_LAZY,
	DDEBUG_ARMED_NOW,
};

/**
 * struct ddebug_cpu - per-CPU data
 * @ring: its streams, by context; NULL if there was no memory, or as long as
 *	the CPU was never online.  Changed on this CPU, or while it is offline,
 *	and with ddebug_transport_lock(); freed after synchronize_rcu()
 * @made: allocation of its streams has been attempted
 * @armed: enum ddebug_armed
 * @own_level: 1 + the context level in which this CPU is inside a kick
 * @muted: a bit for each context level whose printed text must not be
 *	recorded: ddebug_kmsg_mute()
 * @stamp: ns; time of the last message, of any context; only grows
 * @clock: ns; the clock when a message last read it, unless it had stepped back
 * @last_kick: ns; when work was last requested
 * @now: runs the kick handler at once
 * @lazy: runs the kick handler at the next tick, or at once without a tick
 * @own: messages dropped: produced by the transport's own work
 * @own_dropped: those of the kick handler that no stream counts yet
 * @nostream: messages dropped: no stream
 * @works_now: times that @now was requested
 * @works_lazy: times that @lazy was requested
 * @kicks: notifications sent
 */
struct ddebug_cpu {
	struct ddebug_ring *ring[VIRTIO_DDEBUG_NR_CTX];
	bool made;

	u8 armed;
	u8 own_level;
	u8 muted;
	u64 stamp;
	u64 clock;
	u64 last_kick;
	struct irq_work now;
	struct irq_work lazy;

	unsigned long own;
	unsigned long own_dropped;
	unsigned long nostream;
	unsigned long works_now;
	unsigned long works_lazy;
	unsigned long kicks;
};

#endif /* _DDEBUG_RB_H */
