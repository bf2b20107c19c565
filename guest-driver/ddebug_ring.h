/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The streams, seen by the files of ddebug_rb.ko that write records, send
 * kicks and count.  How they work: ddebug_ring.c.
 */
#ifndef _DDEBUG_RING_H
#define _DDEBUG_RING_H

#include <linux/irq_work.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/types.h>
#include "ddebug_record.h"
#include "ddebug_transport.h"

#ifndef CONFIG_64BIT
#error "positions are read and written as single 64-bit words: a 64-bit kernel is needed"
#endif

struct task_struct;

/**
 * struct ddebug_owner - who has claimed a stream
 * @task: the writer runs as this task, or has interrupted it; NULL: nobody has
 * @known: the rest is filled in
 * @exiting: the task was on its way out already
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
 * @sub: offset in @data of the sub-buffer that @head lies in
 * @data: the ring, mapped in one piece
 * @begin: position of the first byte that was, or will be, written to this ring
 * @hdr: what the device sees
 * @head: position behind the last committed record
 * @reserve: position behind everything ever touched
 * @seq: messages committed
 * @base: ns; of the sub-buffer that @head lies in, if it has been begun
 * @last: ns; the last message's time
 * @owner: the writer that is inside
 * @retired: another ring has taken its place; nobody begins a message in it
 * @kept: the device has not given it back, though asked
 * @seen: the head that the kick handler has acted on last
 * @stream: what the transport sees
 * @shm: where the stream lies in shared memory; NULL: in memory of our own
 * @home: whose shared memory that is
 * @gone: in the list of rings that come or go with a change of size
 *
 * The producer reads its own copies only, never back from @hdr, which is
 * shared with a device that need not be well-behaved.
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
	u64 last;
	struct ddebug_owner owner;
	bool retired;
	bool kept;

	u64 seen;

	struct ddebug_stream stream;
	void *shm;
	struct ddebug_transport *home;
	struct list_head gone;
};

/**
 * enum ddebug_armed - what work of this CPU is sure to run after now
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
 * struct ddebug_cpu - what a CPU has
 * @ring: its streams, by context; NULL if there was no memory, or as long as
 *	the CPU was never online.  Changed on this CPU, or while it is offline,
 *	and with ddebug_transport_lock(); freed after synchronize_rcu()
 * @made: streams were made for it, or tried to be
 * @armed: enum ddebug_armed
 * @own_level: 1 + the context level in which this CPU is inside a kick
 * @muted: a bit for each context level in which what is printed is not to be
 *	recorded: ddebug_kmsg_mute()
 * @last_kick: ns; when work was asked for last
 * @now: runs the kick handler at once
 * @lazy: runs the kick handler at the next tick, or at once without a tick
 * @own: messages dropped: produced by the transport's own work
 * @nostream: messages dropped: no stream
 * @works_now: times that @now was asked for
 * @works_lazy: times that @lazy was asked for
 * @kicks: notifications sent
 */
struct ddebug_cpu {
	struct ddebug_ring *ring[VIRTIO_DDEBUG_NR_CTX];
	bool made;

	u8 armed;
	u8 own_level;
	u8 muted;
	u64 last_kick;
	struct irq_work now;
	struct irq_work lazy;

	unsigned long own;
	unsigned long nostream;
	unsigned long works_now;
	unsigned long works_lazy;
	unsigned long kicks;
};

DECLARE_PER_CPU(struct ddebug_cpu, ddebug_cpu);

/**
 * struct ddebug_slot - a message that is being written
 * @text: where its text goes
 * @room: bytes there, a terminating zero included; 0 if none is left in this
 *	sub-buffer
 * @ring: the stream
 * @cpu: this CPU
 * @start: position where the records of this message begin
 * @rec: the record, in the ring, as one of text
 * @rec_pos: its position
 * @base: ns; of the sub-buffer
 * @delta: ns; what the record is to say
 * @time: ns; of the message
 * @sub: offset of the sub-buffer in the ring
 * @half: the device is half a ring behind
 */
struct ddebug_slot {
	char *text;
	size_t room;

	struct ddebug_ring *ring;
	struct ddebug_cpu *cpu;
	u64 start;
	struct ddebug_rec_text *rec;
	u64 rec_pos;
	u64 base;
	u64 time;
	u32 delta;
	u32 sub;
	bool half;
};

/* Bytes of the longest record: a text, the zero behind it included. */
#define DDEBUG_RECORD_MAX	\
	(sizeof(struct ddebug_rec_text) + ALIGN(DDEBUG_TEXT_MAX + 1, DDEBUG_REC_ALIGN))

bool ddebug_slot_begin(struct ddebug_slot *slot, unsigned long sp);
void ddebug_slot_next(struct ddebug_slot *slot);
void ddebug_slot_commit(struct ddebug_slot *slot, u16 type, size_t len);

/* Bytes that the record in @slot may take: what reserve was published for, and no more. */
static inline size_t ddebug_slot_size(const struct ddebug_slot *slot)
{
	return slot->room ? min_t(size_t, sizeof(*slot->rec) + slot->room, DDEBUG_RECORD_MAX) : 0;
}

/* Where it ends at the latest. */
static inline const u8 *ddebug_slot_end(const struct ddebug_slot *slot)
{
	return (const u8 *)slot->rec + ddebug_slot_size(slot);
}

/* Has @slot room for any record?  If not, the next sub-buffer has. */
static inline bool ddebug_slot_is_ample(const struct ddebug_slot *slot)
{
	return ddebug_slot_size(slot) == DDEBUG_RECORD_MAX;
}

/*
 * ddebug_slot_commit_text() - the text is whole
 * @slot: whose text is in place
 * @type: DDEBUG_REC_TEXT or DDEBUG_REC_KMSG
 * @word: of TEXT: id in the dictionary, or 0; of KMSG: DDEBUG_KMSG_F_*
 * @pid: of the task that runs, or is interrupted
 * @len: bytes of text; below slot->room, at most DDEBUG_TEXT_MAX
 */
static inline void ddebug_slot_commit_text(struct ddebug_slot *slot, u16 type, u32 word, u32 pid,
					   size_t len)
{
	slot->rec->callsite = cpu_to_le32(word);
	slot->rec->pid = cpu_to_le32(pid);
	ddebug_slot_commit(slot, type, sizeof(*slot->rec) + len);
}

struct ddebug_ring *ddebug_ring_disown(void);
void ddebug_ring_notice(struct ddebug_ring *r, u8 kind);
bool ddebug_ring_crowded(void);
bool ddebug_ring_given_back(struct ddebug_stream *s);
void ddebug_rings_lock(void);
void ddebug_rings_unlock(void);
void ddebug_rings_share(struct ddebug_transport *t, struct list_head *gone);
void ddebug_rings_take_home(struct ddebug_transport *t, struct list_head *gone);
void ddebug_rings_free(struct list_head *gone);

/* ddebug_transport.c */
void ddebug_kick_init(void);
void ddebug_kick_exit(void);
void ddebug_kick_arm(struct ddebug_cpu *c, u8 context, u64 time, bool half);
void ddebug_kick_active(void);
void ddebug_kick_online(void);
void ddebug_kick_dead(unsigned int cpu);
void ddebug_kick_dying(struct ddebug_ring *r);
void ddebug_kick_listen(bool listen);
void ddebug_post_cpu(unsigned int cpu);
void ddebug_work_on(unsigned int cpu);
void ddebug_own_disown(void);
int ddebug_post_ring(struct ddebug_transport *t, struct ddebug_ring *r);
int ddebug_retire_ring(struct ddebug_transport *t, struct ddebug_ring *r);
struct ddebug_transport *ddebug_transport_lock(void);
void ddebug_transport_unlock(void);

/* The task that does the transport's work; its start time makes it unique. */
extern struct task_struct *ddebug_own_task;
extern u64 ddebug_own_start;

/*
 * Is this context inside the transport's work?  @c is this CPU's, @level the
 * context level.  What interrupts such work is not part of it.
 */
static inline bool ddebug_in_own_path(const struct ddebug_cpu *c, u8 level)
{
	if (READ_ONCE(c->own_level) == level + 1)
		return true;
	return !level && READ_ONCE(ddebug_own_task) == current &&
	       ddebug_own_start == current->start_time;
}

/**
 * ddebug_kick() - see to it that the device hears of a commit
 * @c: this CPU's
 * @context: of the stream
 * @time: ns; of the message
 * @half: the device has half a ring still to copy
 *
 * Context: Any, NMI included, with preemption off.
 */
static inline void ddebug_kick(struct ddebug_cpu *c, u8 context, u64 time, bool half)
{
	u8 armed = READ_ONCE(c->armed);

	if (unlikely(!armed || (half && armed != DDEBUG_ARMED_NOW)))
		ddebug_kick_arm(c, context, time, half);
}

/* ddebug_pipe.c */
void ddebug_pipe_look(void);

#endif /* _DDEBUG_RING_H */
