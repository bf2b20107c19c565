// SPDX-License-Identifier: GPL-2.0
/*
 * The streams: byte rings that any context writes to, and that a device reads
 * while they are written.
 *
 * Data structure
 * --------------
 * Each CPU has four streams, one for each context level: task, softirq,
 * hardirq, NMI.  A stream is a sequence of bytes counted by 64-bit positions
 * that only grow; the last ->size bytes of it are kept, byte p at offset
 * p % size.  It is cut into sub-buffers; each begins with a header (struct
 * ddebug_subbuf_hdr) and holds whole records (ddebug_record.h).
 *
 *                      head      reserve
 *                       |          |
 *   ...==================+~~~~~~~~~~+ - - - - - - - - - - -
 *      committed records   being       the oldest sub-buffers,
 *                          written     reserve - size is their begin
 *
 * head     everything before it is committed: whole records
 * reserve  nothing at or behind it was ever touched, so that everything in
 *          [reserve - size, head) is there and whole
 *
 * On PREEMPT_RT softirqs are threads: interrupt_context_level() is 0 there and
 * they write to the task stream.
 *
 * Why there is no lock and no atomic instruction
 * ----------------------------------------------
 * A writer has preemption off, so its CPU is its own, except for contexts that
 * interrupt it.  Those of a higher level write to another stream.  What comes
 * at the same level comes between two instructions of the writer, and is done,
 * or dead, before the writer goes on:
 *
 *  - an exception (a fault inside vsnprintf()) that logs: a recursion.  It finds
 *    the stream claimed, counts itself in ->recursed, and drops its message.
 *  - if that exception kills the task (an oops), the writer never goes on, and
 *    the stream stays claimed for ever, unless somebody finds out.
 *
 * So the claim tells who made it (struct ddebug_owner).  Whoever finds the
 * stream claimed asks whether that writer can still be there:
 *
 *  - another task: the writer is dead.  In the task stream, since it has
 *    preemption off and could not have been switched away from.  In the others,
 *    since the task they interrupted runs on only when they are done.  Task
 *    structures are reused, pairs of structure and start time are not.
 *  - the same task, now exiting and not so when it claimed: dead.  do_exit() does
 *    not return.
 *  - the same task, in the task stream, nearer to the bottom of its stack than
 *    the writer's frame was: dead, its frame is gone.  (x86 rewinds the stack of
 *    a task that has oopsed before it calls do_exit().)
 *  - else: alive; this is a recursion.  In softirq, hardirq and NMI, which run on
 *    stacks of their own, depths cannot be compared.  An oops there is a panic.
 *
 * A dead writer has left bytes of any value between head and reserve.  The next
 * one counts it in ->torn, covers [head, reserve) by PAD records, and goes on at
 * reserve.  Since reserve never decreases, nothing that a dead writer may have
 * touched, or may still be about to touch if the above should be wrong one day,
 * is ever used for a record.
 *
 * The words of the claim cannot be stored at once.  The task, which comes first,
 * makes the claim.  Until the others are there (->known) the same task counts as
 * alive: nothing faults between these stores, so that it can only be interrupted
 * (an NMI by a machine check, for one).
 *
 * Writing
 * -------
 * ddebug_slot_begin()   claim; take the time; publish reserve; begin the
 *                       sub-buffer if head is at the begin of one
 *    the caller formats its text, or packs its arguments, in place, with the room
 *    that is left
 * ddebug_slot_next()    if it did not fit: cover the rest by a PAD record, and
 *                       go to the next sub-buffer, where each message fits
 * ddebug_slot_commit()  fill in the record's header; store head; unclaim
 *
 * Reserve is published before the length of the text is known, so it runs ahead
 * of head by up to the longest record.  Everything between the old and the new
 * head (PAD, sub-buffer header, TIME, TEXT) is committed by one store.  Until
 * then the writer's own copies (->head, ->sub, ->base, ->seq) stay as they are,
 * so that a writer's death needs no repair of them.
 *
 * An example: sub-buffers of 4 KiB, head 4000, a message of 120 bytes.
 *
 *   reserve = 4096               (the longest record would cross: the end)
 *   format at 4016, room 80      does not fit
 *   PAD at 4000, 96 bytes
 *   reserve = 4096 + 1088
 *   header at 4096; format at 4144, room 4048: fits
 *   TEXT at 4128, len 136
 *   head = 4264
 *
 * Reading (the device, and the guest's own readers: ddebug_view.c)
 * ----------------------------------------------------------------
 *   head = load-acquire; copy [pos, head); rmb; load reserve; what lies below
 *   reserve - size may have been overwritten while it was copied: drop it, go on
 *   at the next sub-buffer that is whole.
 *
 * An example: size 16384, pos 0, head 16000, reserve 16384: all of it is there.
 * While it is copied, the writer moves reserve to 17472, and writes up to 17000.
 * The device finds 17472 - 16384 = 1088: bytes below 1088 are doubtful, so
 * sub-buffer 0 is given up, and the copy counts from 4096 on.
 *
 * Barriers
 * --------
 *   label       what                                       pairs with
 *   producer:A  virt_wmb() between the store of reserve    device:B, rmb between
 *               and the stores of data                     copy and load of reserve;
 *                                                          device:D, load-acquire
 *                                                          of reserve before a load
 *                                                          of head
 *   producer:B  store-release of head, behind the stores   device:A, load-acquire
 *               of data                                    of head
 *   producer:C  compiler barriers round the claim, 1 to 4  an interrupting writer
 *               and round a change of rings, 5 and 6       on the same CPU
 *   producer:E  store-release of notice, behind the        device:E, load-acquire
 *               store of head                              of notice before a load
 *                                                          of head
 *   kick:A      virt_mb() between the store of head and    device:C, full barrier
 *               the load of want_kick (ddebug_transport.c) between the store of
 *               and of who is in the wait queue            want_kick and the next
 *                                                          load of head; pipe:C, the
 *                                                          same with the wait queue
 *                                                          (ddebug_pipe.c)
 *
 * producer:A / device:B.  If the device has copied a byte of data of position q
 * in the place of a byte of position q - size, the writer had stored a reserve
 * above q before that byte (A).  The device loads reserve after the copy (B), so
 * it sees at least that, and drops everything up to q - size.
 *
 * producer:A / device:D.  The device takes a reserve that is too far ahead of head
 * for a breach of the rules.  The store of reserve may be seen before stores of head
 * that came before it (a release does not hold back what follows), but not before
 * those that came before the last store of reserve: its producer:A orders them.  So
 * a head loaded after reserve (D) is behind it by what two reserves were published
 * for, at most: by less than the smallest sub-buffer.
 *
 * producer:B / device:A.  If the device sees a head (A), it sees all data before
 * it (B); of these bytes those that it copies are the committed ones, or later
 * ones, which the pair above finds.
 *
 * producer:E / device:E.  If the device sees a notice (E), it sees the head behind
 * the last words that came before it, so it has copied these when it says that the
 * kernel has died.
 *
 * producer:C.  On one CPU everything is seen in program order; the compiler alone
 * must not move accesses of the stream out of the claim.  It keeps volatile ones
 * (->task, ->known) in order by itself; the barriers are for the others.
 *
 * Where the text says device:A and device:B, a reader in the guest does the same.
 *
 * tests/litmus/ has a model of each pair, in which it holds, on x86 and on weaker
 * machines, and fails if either side is taken away.  tests/ring/ runs this very
 * file against the device's reader.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/hardirq.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>
#include "ddebug_rb.h"
#include "ddebug_ring.h"

/* What one message takes at most in one sub-buffer; reserve runs ahead by it. */
#define DDEBUG_MESSAGE_MAX						\
	(sizeof(struct ddebug_subbuf_hdr) + sizeof(struct ddebug_rec_time) + \
	 DDEBUG_RECORD_MAX)

/* So ddebug_slot_next() needs to be called once at most. */
static_assert(DDEBUG_MESSAGE_MAX <= 1u << VIRTIO_DDEBUG_SUBBUF_SHIFT_MIN);
static_assert(DDEBUG_MESSAGE_MAX % DDEBUG_REC_ALIGN == 0);
/* What two reserves are published for, one of them at the end of a sub-buffer. */
static_assert(3 * DDEBUG_MESSAGE_MAX <= 1u << VIRTIO_DDEBUG_SUBBUF_SHIFT_MIN);
static_assert(sizeof(struct ddebug_rec_text) + DDEBUG_TEXT_MAX <= DDEBUG_REC_LEN_MASK);

#define DDEBUG_PIECE_ORDER	get_order(SZ_64K)

#define DDEBUG_RB_SIZE_KB	256
#define DDEBUG_RB_SIZE_KB_MIN	32
/* If all pieces are of 64 KiB, as many as an element of a virtqueue holds. */
#define DDEBUG_RB_SIZE_KB_MAX	(VIRTIO_DDEBUG_RING_PIECES_MAX * 64u)

static_assert(DDEBUG_RB_SIZE_KB_MAX * 1024 <= VIRTIO_DDEBUG_RING_SIZE_MAX);

static unsigned int rb_size_kb = DDEBUG_RB_SIZE_KB;
module_param(rb_size_kb, uint, 0444);
MODULE_PARM_DESC(rb_size_kb,
		 "KiB of each CPU's ring for task context, rounded up to 16; 32 to 65408 (default 256)");

static const struct {
	const char *name;
	u8 subbuf_shift;
	u8 nr_subbufs;
} ddebug_contexts[VIRTIO_DDEBUG_NR_CTX] = {
	[VIRTIO_DDEBUG_CTX_TASK] = { "task", 14, 0 },	/* rb_size_kb */
	[VIRTIO_DDEBUG_CTX_SOFTIRQ] = { "softirq", 14, 4 },
	[VIRTIO_DDEBUG_CTX_HARDIRQ] = { "hardirq", 14, 4 },
	[VIRTIO_DDEBUG_CTX_NMI] = { "nmi", 12, 4 },
};

/* Not a task, so never current. */
#define DDEBUG_OWNER_DEAD	((struct task_struct *)1)

DEFINE_PER_CPU(struct ddebug_cpu, ddebug_cpu);

/*
 * Do callsites write to the streams?  The mutex is for those that are made
 * meanwhile.  It is the innermost one.
 */
static DEFINE_MUTEX(ddebug_active_mutex);
static unsigned int ddebug_active;	/* DDEBUG_ACTIVE_* */

/* One change of sizes at a time.  Taken outside of the CPU hotplug lock. */
static DEFINE_MUTEX(ddebug_resize_mutex);

static enum cpuhp_state ddebug_prepare_state;
static enum cpuhp_state ddebug_online_state;

/* The counters have one writer at a time; the device only reads them. */
static void ddebug_count(__le64 *counter)
{
	WRITE_ONCE(*counter, cpu_to_le64(le64_to_cpu(*counter) + 1));
}

/*
 * Is the writer that has claimed @r dead?  Called at the level of the stream,
 * on its CPU; @sp is an address in the caller's frame, taken as the owner's was.
 * The proof is at the top of this file.
 */
static bool ddebug_owner_died(const struct ddebug_ring *r, unsigned long sp)
{
	const struct ddebug_owner *o = &r->owner;

	if (READ_ONCE(o->task) != current)
		return true;
	if (!READ_ONCE(o->known))
		return false;
	if (o->start != current->start_time)
		return true;
	if (r->context != VIRTIO_DDEBUG_CTX_TASK)
		return false;
	if ((current->flags & PF_EXITING) && !o->exiting)
		return true;
	/* the end of an interrupt is of task level already, and on a stack of its own */
	return object_is_on_stack((const void *)sp) && sp > o->sp;
}

static void ddebug_claim(struct ddebug_ring *r, unsigned long sp)
{
	struct ddebug_owner *o = &r->owner;

	WRITE_ONCE(o->known, false);	/* set, if the last owner died */
	WRITE_ONCE(o->task, current);
	barrier();	/* producer:C1: nobody else fills in the rest */
	o->start = current->start_time;
	o->sp = sp;
	o->exiting = current->flags & PF_EXITING;
	barrier();	/* producer:C2: nobody judges by half of it */
	WRITE_ONCE(o->known, true);
	barrier();	/* producer:C3: who dies from here on is known */
}

static void ddebug_unclaim(struct ddebug_ring *r)
{
	barrier();	/* producer:C4: the stream is as it should be */
	WRITE_ONCE(r->owner.known, false);
	WRITE_ONCE(r->owner.task, NULL);
}

/* local_clock() may step back over suspend, or after a migration of the VM. */
static u64 ddebug_time(struct ddebug_ring *r)
{
	u64 now = local_clock();

	if (unlikely(now < r->last)) {
		now = r->last;
		ddebug_count(&r->hdr->clamped);
	}
	r->last = now;
	return now;
}

/* Nothing below @to may be touched before this. */
static void ddebug_publish_reserve(struct ddebug_ring *r, u64 to)
{
	if (to <= r->reserve)
		return;
	r->reserve = to;
	WRITE_ONCE(r->hdr->reserve, cpu_to_le64(to));
	/* producer:A pairs with device:B: reserve before data */
	virt_wmb();
}

/* Everything below @pos is written. */
static void ddebug_publish_head(struct ddebug_ring *r, u64 pos)
{
	r->head = pos;
	/* producer:B pairs with device:A: data before head */
	virt_store_release(&r->hdr->head, cpu_to_le64(pos));
}

static u32 ddebug_next_sub(const struct ddebug_ring *r, u32 sub)
{
	sub += r->subbuf;
	return sub == r->size ? 0 : sub;
}

static void *ddebug_at(const struct ddebug_ring *r, u32 sub, u64 pos)
{
	return r->data + sub + (pos & (r->subbuf - 1));
}

static void ddebug_write_subbuf_hdr(struct ddebug_ring *r, u32 sub, u64 pos, u64 base)
{
	struct ddebug_subbuf_hdr *h = ddebug_at(r, sub, pos);

	h->pos = cpu_to_le64(pos);
	h->seq = cpu_to_le64(r->seq);
	h->base = cpu_to_le64(base);
	h->lost = cpu_to_le64(le64_to_cpu(r->hdr->recursed) + le64_to_cpu(r->hdr->torn));
}

static void ddebug_write_rec_hdr(struct ddebug_rec_hdr *h, u16 type, u16 len, u16 seq, u32 delta)
{
	h->type_len = cpu_to_le16(type << DDEBUG_REC_TYPE_SHIFT | len);
	h->seq = cpu_to_le16(seq);
	h->delta = cpu_to_le32(delta);
}

/* The remains of a writer that died: [head, reserve) becomes padding. */
static void ddebug_pad_torn(struct ddebug_ring *r, u64 time)
{
	u64 pos = r->head;

	ddebug_count(&r->hdr->torn);
	while (pos < r->reserve) {
		u64 begin = round_down(pos, r->subbuf);
		u64 end = min(begin + r->subbuf, r->reserve);

		if (pos == begin) {
			ddebug_write_subbuf_hdr(r, r->sub, pos, time);
			r->base = time;
			pos += sizeof(struct ddebug_subbuf_hdr);
		}
		if (pos < end)
			ddebug_write_rec_hdr(ddebug_at(r, r->sub, pos), DDEBUG_REC_PAD,
					     sizeof(struct ddebug_rec_hdr), 0, end - pos);
		pos = end;
		if (pos == begin + r->subbuf)
			r->sub = ddebug_next_sub(r, r->sub);
	}
	ddebug_publish_head(r, pos);
}

/* The device has at least half of the ring still to copy, if it says the truth. */
static bool ddebug_half_full(const struct ddebug_ring *r, u64 pos)
{
	return pos - le64_to_cpu(READ_ONCE(r->stream.status->consumed)) >= r->size / 2;
}

/*
 * Make ready what comes before the text at slot->start: reserve, the sub-buffer's
 * header, a TIME record.  Sets ->rec, ->text and ->room.
 */
static __always_inline void ddebug_slot_open(struct ddebug_slot *slot)
{
	struct ddebug_ring *r = slot->ring;
	u64 begin = round_down(slot->start, r->subbuf);
	u64 end = begin + r->subbuf;
	u64 pos, delta;

	ddebug_publish_reserve(r, min(end, slot->start + DDEBUG_MESSAGE_MAX));
	if (slot->start == begin) {
		ddebug_write_subbuf_hdr(r, slot->sub, begin, slot->time);
		slot->base = slot->time;
		slot->start += sizeof(struct ddebug_subbuf_hdr);
		slot->half = ddebug_half_full(r, begin);
	}

	pos = slot->start;
	delta = slot->time - slot->base;
	if (unlikely(delta > U32_MAX)) {
		struct ddebug_rec_time *t = ddebug_at(r, slot->sub, pos);

		pos += sizeof(*t);
		if (pos < end) {
			ddebug_write_rec_hdr(&t->hdr, DDEBUG_REC_TIME, sizeof(*t), 0, 0);
			t->time = cpu_to_le64(slot->time);
		}
		delta = 0;
	}
	slot->delta = delta;
	slot->rec_pos = pos;
	pos += sizeof(struct ddebug_rec_text);
	slot->room = pos < end ? end - pos : 0;
	slot->rec = slot->room ? ddebug_at(r, slot->sub, slot->rec_pos) : NULL;
	slot->text = slot->room ? (char *)slot->rec->text : NULL;
}

/*
 * @r was retired between our load of its address and our claim: on this CPU, by
 * what has interrupted us, which has left another ring in its place.  Only where
 * we have interrupted that very change ourselves (an NMI) there is none yet.
 */
static noinline bool ddebug_slot_begin_anew(struct ddebug_slot *slot, struct ddebug_cpu *c,
					    struct ddebug_ring *r, unsigned long sp)
{
	ddebug_unclaim(r);
	if (READ_ONCE(c->ring[r->context]) == r) {
		this_cpu_inc(ddebug_cpu.nostream);
		return false;
	}
	return ddebug_slot_begin(slot, sp);
}

/**
 * ddebug_slot_begin() - claim this context's stream for one message
 * @slot: filled in
 * @sp: an address in the stack frame of the function that emits the message;
 *	always the same function, so that depths compare
 *
 * Context: Any, NMI included, with preemption off until ddebug_slot_commit().
 * Return: false if the message is to be dropped; it has been counted then.
 */
bool ddebug_slot_begin(struct ddebug_slot *slot, unsigned long sp)
{
	struct ddebug_cpu *c = this_cpu_ptr(&ddebug_cpu);
	u8 level = interrupt_context_level();
	struct ddebug_ring *r = c->ring[level];
	bool torn = false;

	if (unlikely(!r)) {
		this_cpu_inc(ddebug_cpu.nostream);
		return false;
	}
	if (unlikely(ddebug_in_own_path(c, level))) {
		this_cpu_inc(ddebug_cpu.own);
		return false;
	}
	if (unlikely(READ_ONCE(r->owner.task))) {
		if (!ddebug_owner_died(r, sp)) {
			ddebug_count(&r->hdr->recursed);
			return false;
		}
		torn = true;
	}
	ddebug_claim(r, sp);
	if (unlikely(READ_ONCE(r->retired)))
		return ddebug_slot_begin_anew(slot, c, r, sp);

	slot->ring = r;
	slot->cpu = c;
	slot->time = ddebug_time(r);
	if (unlikely(torn))
		ddebug_pad_torn(r, slot->time);
	slot->start = r->head;
	slot->sub = r->sub;
	slot->base = r->base;
	slot->half = false;
	ddebug_slot_open(slot);
	return true;
}

/**
 * ddebug_slot_next() - leave the rest of this sub-buffer, take the next one
 * @slot: of a message whose text did not fit slot->room; it fits afterwards
 *
 * Context: as ddebug_slot_begin().
 */
void ddebug_slot_next(struct ddebug_slot *slot)
{
	struct ddebug_ring *r = slot->ring;
	u64 end = round_up(slot->start, r->subbuf);

	/* start is behind a header, and before end: else it would have fitted */
	ddebug_write_rec_hdr(ddebug_at(r, slot->sub, slot->start), DDEBUG_REC_PAD,
			     sizeof(struct ddebug_rec_hdr), 0, end - slot->start);
	slot->start = end;
	slot->sub = ddebug_next_sub(r, slot->sub);
	ddebug_slot_open(slot);
}

/**
 * ddebug_slot_commit() - the message is whole
 * @slot: whose record is in place, but for its header
 * @type: DDEBUG_REC_TEXT, DDEBUG_REC_KMSG or DDEBUG_REC_PACKED
 * @len: bytes of the record, header included; not beyond ddebug_slot_end()
 *
 * Ends what ddebug_slot_begin() began.
 */
void ddebug_slot_commit(struct ddebug_slot *slot, u16 type, size_t len)
{
	struct ddebug_ring *r = slot->ring;
	u64 end = ALIGN(slot->rec_pos + len, DDEBUG_REC_ALIGN);

	ddebug_write_rec_hdr(&slot->rec->hdr, type, len, r->seq, slot->delta);
	r->base = slot->base;
	r->sub = end & (r->subbuf - 1) ? slot->sub : ddebug_next_sub(r, slot->sub);
	r->seq++;
	ddebug_publish_head(r, end);
	/* behind head: never more than is committed */
	WRITE_ONCE(r->hdr->seq, cpu_to_le64(r->seq));
	ddebug_unclaim(r);

	ddebug_kick(slot->cpu, r->context, slot->time, slot->half);
}

/**
 * ddebug_ring_disown() - whoever was writing in this context does not go on
 *
 * For a kernel that dies: what it has to say at the end may come from inside of a
 * message, by the same task and at a greater depth, which looks like a message
 * within a message.  Afterwards the message that was interrupted counts as torn.
 *
 * Context: Any, NMI included, with preemption off; where nothing below this
 * caller in the same context will run again.
 * Return: the stream of this context; NULL if there is none.
 */
struct ddebug_ring *ddebug_ring_disown(void)
{
	struct ddebug_cpu *c = this_cpu_ptr(&ddebug_cpu);
	u8 level = interrupt_context_level();
	struct ddebug_ring *r = c->ring[level];

	/* nor does the transport's own work, if that is where it died */
	if (READ_ONCE(c->own_level) == level + 1)
		WRITE_ONCE(c->own_level, 0);
	if (!level)
		ddebug_own_disown();
	/* nor comes back whoever has muted this context */
	c->muted &= ~BIT(level);
	if (r && READ_ONCE(r->owner.task))
		WRITE_ONCE(r->owner.task, DDEBUG_OWNER_DEAD);
	return r;
}

/**
 * ddebug_ring_notice() - say what has become of this kernel
 * @r: the stream of this context
 * @kind: VIRTIO_DDEBUG_NOTICE_*; the worst that was said stays
 *
 * Context: Any, NMI included, with preemption off.
 */
void ddebug_ring_notice(struct ddebug_ring *r, u8 kind)
{
	u32 was = le32_to_cpu(READ_ONCE(r->hdr->notice));
	u32 count = (was & VIRTIO_DDEBUG_NOTICE_COUNT) + VIRTIO_DDEBUG_NOTICE_KIND + 1;
	u32 worst = max_t(u32, was & VIRTIO_DDEBUG_NOTICE_KIND, kind);

	/* producer:E pairs with device:E: the last words before the notice */
	virt_store_release(&r->hdr->notice, cpu_to_le32(count | worst));
}

/**
 * ddebug_ring_crowded() - is there a host that has half of this CPU's ring to read?
 *
 * Context: Process; the answer is as old as it is.
 */
bool ddebug_ring_crowded(void)
{
	struct ddebug_ring *r;
	bool crowded;

	rcu_read_lock();
	r = READ_ONCE(raw_cpu_ptr(&ddebug_cpu)->ring[VIRTIO_DDEBUG_CTX_TASK]);
	crowded = r && READ_ONCE(r->stream.posted) &&
		  ddebug_half_full(r, le64_to_cpu(READ_ONCE(r->hdr->head)));
	rcu_read_unlock();
	return crowded;
}

static size_t ddebug_shm_len(const struct ddebug_ring *r)
{
	return VIRTIO_DDEBUG_SHM_RING_OFF + r->size;
}

static void ddebug_ring_free(struct ddebug_ring *r)
{
	struct ddebug_stream *s = &r->stream;
	unsigned int i;

	if (r->shm)
		r->home->ops->shm_free(r->home, r->shm, ddebug_shm_len(r));
	else
		vunmap(r->data);
	for (i = 0; i < s->nr_pieces; i++) {
		unsigned int n = DIV_ROUND_UP(s->pieces[i].len, PAGE_SIZE);

		while (n--)
			__free_page(nth_page(s->pieces[i].page, n));
	}
	kvfree(s->pieces);
	free_page((unsigned long)s->shared);
	kfree(r);
}

/*
 * Pages for the ring: large pieces while there are some, single pages after that.
 * Nothing is to be killed for them.
 */
static int ddebug_ring_alloc_pieces(struct ddebug_ring *r, struct page **pages, int node)
{
	const gfp_t single = GFP_KERNEL | __GFP_ZERO | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
	const gfp_t large = GFP_KERNEL | __GFP_ZERO | __GFP_NORETRY | __GFP_NOWARN;
	struct ddebug_stream *s = &r->stream;
	unsigned int order = DDEBUG_PIECE_ORDER;
	u32 left = r->size;

	while (left) {
		struct page *page;
		unsigned int i;

		while (order && PAGE_SIZE << order > PAGE_ALIGN(left))
			order--;
		if (s->nr_pieces == VIRTIO_DDEBUG_RING_PIECES_MAX)
			return -ENOMEM;
		page = alloc_pages_node(node, order ? large : single, order);
		if (!page) {
			if (!order)
				return -ENOMEM;
			order = 0;
			continue;
		}
		if (order)
			split_page(page, order);
		for (i = 0; i < 1u << order; i++)
			*pages++ = nth_page(page, i);
		s->pieces[s->nr_pieces].page = page;
		s->pieces[s->nr_pieces].len = min_t(u32, left, PAGE_SIZE << order);
		left -= s->pieces[s->nr_pieces++].len;
	}
	return 0;
}

static int ddebug_ring_alloc(struct ddebug_ring *r, int node)
{
	unsigned int nr_pages = DIV_ROUND_UP(r->size, PAGE_SIZE);
	unsigned int max_pieces = min_t(unsigned int, nr_pages, VIRTIO_DDEBUG_RING_PIECES_MAX);
	struct page **pages;
	int err = -ENOMEM;

	pages = kvmalloc_array(nr_pages, sizeof(*pages), GFP_KERNEL);
	r->stream.pieces = kvmalloc_node(array_size(max_pieces, sizeof(*r->stream.pieces)),
					 GFP_KERNEL, node);
	if (pages && r->stream.pieces)
		err = ddebug_ring_alloc_pieces(r, pages, node);
	if (!err) {
		/*
		 * Mapped in one piece for the producer.  The kernel's page tables
		 * reach all CPUs before this returns, also one in NMI.
		 */
		r->data = vmap(pages, nr_pages, VM_MAP, PAGE_KERNEL);
		if (!r->data)
			err = -ENOMEM;
	}
	kvfree(pages);
	if (err)
		ddebug_ring_free(r);
	return err;
}

/* Returns -ENOMEM where the host has no room left. */
static int ddebug_ring_alloc_shared(struct ddebug_ring *r, struct ddebug_transport *t)
{
	struct virtio_ddebug_stream_desc *desc = &r->stream.shared->desc;
	u64 offset;

	r->shm = t->ops->shm_alloc(t, ddebug_shm_len(r), &offset);
	if (!r->shm) {
		ddebug_ring_free(r);
		return -ENOMEM;
	}
	r->home = t;
	/* an empty stream, and no descriptor yet; of the ring nothing counts but what is written */
	memset(r->shm, 0, VIRTIO_DDEBUG_SHM_RING_OFF);
	r->hdr = r->shm + VIRTIO_DDEBUG_SHM_HDR_OFF;
	r->data = r->shm + VIRTIO_DDEBUG_SHM_RING_OFF;
	desc->flags = cpu_to_le32(VIRTIO_DDEBUG_STREAM_F_SHM);
	desc->epoch = cpu_to_le32(t->epoch);
	desc->shm_offset = cpu_to_le64(offset);
	return 0;
}

/*
 * The stream is as it should be, before anything is written to it: from now on it is
 * found, by its descriptor, should the host die.  The magic comes last.  The host dies
 * between two instructions of this CPU, and finds what was stored by those before.
 */
static void ddebug_ring_show(struct ddebug_ring *r)
{
	struct virtio_ddebug_stream_desc *desc = r->shm;
	struct virtio_ddebug_stream_desc whole = r->stream.shared->desc;

	if (!desc)
		return;
	whole.magic = 0;
	*desc = whole;
	barrier();
	WRITE_ONCE(desc->magic, r->stream.shared->desc.magic);
}

/*
 * All of it is in the log: the memory may become another's in this epoch.  (Of a
 * device that was reset it may not yet, and that is the end of the epoch.)
 */
static void ddebug_ring_hide(struct ddebug_ring *r)
{
	struct virtio_ddebug_stream_desc *desc = r->shm;

	if (desc)
		WRITE_ONCE(desc->magic, 0);
}

static u32 ddebug_ring_bytes(u8 context)
{
	u32 subbuf = 1u << ddebug_contexts[context].subbuf_shift;

	if (context == VIRTIO_DDEBUG_CTX_TASK)
		return round_up(rb_size_kb * 1024, subbuf);
	return ddebug_contexts[context].nr_subbufs * subbuf;
}

/*
 * What the device reads of a stream besides the ring and, apart from it so that
 * neither writer takes the other's cache line, what it writes.
 */
struct ddebug_stream_page {
	struct ddebug_stream_shared shared;
	struct virtio_ddebug_status status __aligned(SZ_2K);
};

static_assert(sizeof(struct ddebug_stream_page) <= PAGE_SIZE);
/* ddebug_ring_free() frees the page by it. */
static_assert(offsetof(struct ddebug_stream_page, shared) == 0);

/* @home: in whose shared memory it is to be; NULL: in ours.  Returns NULL if there is no memory. */
static struct ddebug_ring *ddebug_ring_new(unsigned int cpu, u8 context,
					   struct ddebug_transport *home)
{
	int node = cpu_to_node(cpu);
	struct ddebug_ring *r = kzalloc_node(sizeof(*r), GFP_KERNEL, node);
	struct page *page = alloc_pages_node(node, GFP_KERNEL | __GFP_ZERO, 0);
	struct virtio_ddebug_stream_desc *desc;
	struct ddebug_stream_page *p;

	if (!r || !page) {
		kfree(r);
		if (page)
			__free_page(page);
		return NULL;
	}
	p = page_address(page);
	r->cpu = cpu;
	r->context = context;
	r->subbuf = 1u << ddebug_contexts[context].subbuf_shift;
	r->size = ddebug_ring_bytes(context);
	r->hdr = &p->shared.hdr;
	r->stream.shared = &p->shared;
	r->stream.status = &p->status;
	r->stream.id = cpu * VIRTIO_DDEBUG_NR_CTX + context;

	desc = &p->shared.desc;
	desc->magic = cpu_to_le32(VIRTIO_DDEBUG_STREAM_MAGIC);
	desc->stream = cpu_to_le32(r->stream.id);
	desc->cpu = cpu_to_le32(cpu);
	desc->context = context;
	desc->subbuf_shift = ddebug_contexts[context].subbuf_shift;
	desc->ring_size = cpu_to_le32(r->size);
	if (home ? ddebug_ring_alloc_shared(r, home) : ddebug_ring_alloc(r, node))
		return NULL;
	return r;
}

static void ddebug_cpu_free(struct ddebug_cpu *c)
{
	u8 i;

	for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
		if (c->ring[i])
			ddebug_ring_free(c->ring[i]);
		c->ring[i] = NULL;
	}
}

/*
 * Another ring for a stream
 * -------------------------
 * The change is made on the stream's own CPU with interrupts off (or while it is
 * offline), so that only contexts above a hardirq come in between: NMIs, each of
 * which is over before we go on.
 *
 *   old->retired = true; is old claimed?  no: ring = new       yes: try again later
 *
 * A writer claims, and then looks at ->retired: on one CPU either it finds it set,
 * and begins anew, or we find the claim.  So when the new ring is in place nobody is
 * in the old one or will be, its head is final, and the positions and numbers of
 * the new one go on from it.  The device gets the new ring, and gives the old one
 * back when it has read it to its head.
 */

/**
 * struct ddebug_swap - for ddebug_ring_swap()
 * @cpu: whose stream it is
 * @context: of the stream
 * @new: the ring that comes; NULL: none, and messages are counted as lost
 * @old: the one that goes; set if it went
 */
struct ddebug_swap {
	unsigned int cpu;
	u8 context;
	struct ddebug_ring *new;
	struct ddebug_ring *old;
};

/* Nobody claims @old any more; is whoever has claimed it gone? */
static bool ddebug_ring_is_left(struct ddebug_ring *old)
{
	const struct ddebug_owner *o = &old->owner;

	if (!READ_ONCE(o->task))
		return true;
	/* our own task may be inside, where we have interrupted it */
	if (READ_ONCE(o->task) == current && !(READ_ONCE(o->known) && o->start != current->start_time))
		return false;
	ddebug_pad_torn(old, old->last);
	ddebug_unclaim(old);
	return true;
}

/* The new ring goes on where the old one ends, at the begin of a sub-buffer. */
static void ddebug_ring_go_on(struct ddebug_ring *new, const struct ddebug_ring *old)
{
	struct virtio_ddebug_stream_desc *desc = &new->stream.shared->desc;
	u64 pos = round_up(old->head, max(old->subbuf, new->subbuf));
	u32 generation = le32_to_cpu(old->stream.shared->desc.generation) + 1;

	new->begin = pos;
	new->head = pos;
	new->reserve = pos;
	new->sub = pos % new->size;
	new->seq = old->seq;
	new->last = old->last;
	*new->hdr = *old->hdr;
	new->hdr->head = cpu_to_le64(pos);
	new->hdr->reserve = cpu_to_le64(pos);
	desc->start = cpu_to_le64(pos);
	desc->generation = cpu_to_le32(generation);
	new->stream.status->consumed = cpu_to_le64(pos);
	ddebug_ring_show(new);
}

static void ddebug_ring_swap(void *data)
{
	struct ddebug_swap *swap = data;
	struct ddebug_ring *new = swap->new;
	struct ddebug_cpu *c = per_cpu_ptr(&ddebug_cpu, swap->cpu);
	struct ddebug_ring *old = c->ring[swap->context];

	WRITE_ONCE(old->retired, true);
	barrier();	/* producer:C5: who claims it from now on finds it retired */
	if (!ddebug_ring_is_left(old)) {
		WRITE_ONCE(old->retired, false);
		return;
	}
	if (new)
		ddebug_ring_go_on(new, old);
	/* producer:C6: the new ring is whole when it is found, by ddebug_ring_stats() on another CPU too */
	smp_store_release(&c->ring[swap->context], new);
	swap->old = old;
}

/* With the CPU hotplug lock.  Puts @new in its place; returns the old ring, which nobody writes to any more. */
static struct ddebug_ring *ddebug_ring_replace(unsigned int cpu, u8 context, struct ddebug_ring *new)
{
	struct ddebug_swap swap = { .cpu = cpu, .context = context, .new = new };

	for (;;) {
		if (cpu_online(cpu))
			smp_call_function_single(cpu, ddebug_ring_swap, &swap, 1);
		else
			ddebug_ring_swap(&swap);
		if (swap.old)
			return swap.old;
		/* a message takes microseconds, a task that oopses in one a while */
		usleep_range(50, 500);
	}
}

/*
 * Rings that were replaced and that a device has not given back.  No third ring of a
 * stream may come to them, so while there are any, no size is changed.  With the
 * transport's lock, which is held from the change to the device's answer: who has
 * it finds a ring in its place, or kept, or gone.
 */
static unsigned int ddebug_rings_kept;

/*
 * A stream gets the ring @new; its old one goes to @gone, with 0, or is kept by the
 * device, with -errno.  With the lock of @t.
 */
static int ddebug_ring_exchange(struct ddebug_transport *t, struct ddebug_ring *new,
				struct list_head *gone)
{
	struct ddebug_ring *old;
	int err, post_err;

	if (ddebug_rings_kept) {
		ddebug_ring_free(new);
		return -EBUSY;
	}
	old = ddebug_ring_replace(new->cpu, new->context, new);
	post_err = ddebug_post_ring(t, new);
	err = ddebug_retire_ring(t, old);
	if (err == -ENODEV) {
		/* the device is being reset: ddebug_ring_given_back() */
		err = 0;
	} else if (err) {
		/* the device may still read it, until it is reset */
		old->kept = true;
		ddebug_rings_kept++;
		pr_warn("the host keeps the old ring of CPU %u until it is reset: error %d\n", new->cpu, err);
	} else {
		ddebug_ring_hide(old);
		list_add(&old->gone, gone);
		if (post_err)
			post_err = ddebug_post_ring(t, new);	/* there is room now */
	}
	if (post_err)
		pr_warn("the new ring of CPU %u cannot be given to the host: error %d\n", new->cpu, post_err);
	/* a commit between its posting and ->posted was not told of */
	ddebug_work_on(new->cpu);
	return err;
}

/* All or none: returns 0 or -ENOMEM. */
static int ddebug_ring_make_all(struct list_head *made)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct ddebug_ring *r = per_cpu(ddebug_cpu, cpu).ring[VIRTIO_DDEBUG_CTX_TASK];

		if (!r || r->size == ddebug_ring_bytes(VIRTIO_DDEBUG_CTX_TASK))
			continue;
		/* where it was */
		r = ddebug_ring_new(cpu, VIRTIO_DDEBUG_CTX_TASK, r->home);
		if (!r)
			return -ENOMEM;
		list_add_tail(&r->gone, made);
	}
	return 0;
}

static void ddebug_ring_free_all(struct list_head *rings)
{
	struct ddebug_ring *r, *next;

	list_for_each_entry_safe(r, next, rings, gone)
		ddebug_ring_free(r);
}

/*
 * Shared memory
 * -------------
 * A host may offer memory that outlives it.  While such a transport is attached, the
 * streams' rings are there, as far as there is room; else they are ours.  They go from
 * one to the other as from one size to another.
 */

/**
 * ddebug_rings_lock() - no stream gets another ring by somebody else
 *
 * Context: Process, without ddebug_transport_lock(), which may be taken inside.  Sleeps.
 */
void ddebug_rings_lock(void)
{
	mutex_lock(&ddebug_resize_mutex);
	cpus_read_lock();
}

/**
 * ddebug_rings_unlock() - end of ddebug_rings_lock()
 */
void ddebug_rings_unlock(void)
{
	cpus_read_unlock();
	mutex_unlock(&ddebug_resize_mutex);
}

static int ddebug_ring_share(struct ddebug_transport *t, struct ddebug_ring *r, struct list_head *gone)
{
	struct ddebug_ring *new;

	/* one that the host does not take it would not find, either */
	if (!r || r->home || !r->stream.posted)
		return 0;
	new = ddebug_ring_new(r->cpu, r->context, t);
	if (!new) {
		pr_warn("no room in the host's shared memory for the streams of CPU %u and up: they stay in the guest's; a larger shm-size helps\n",
			r->cpu);
		return -ENOMEM;
	}
	return ddebug_ring_exchange(t, new, gone);
}

/**
 * ddebug_rings_share() - the streams go over to the host's shared memory
 * @t: the transport, to which they were posted
 * @gone: those that went, for ddebug_rings_free()
 *
 * As many as there is room for; the others stay where they are, and are as good as
 * long as the host lives.
 *
 * Context: Process, with ddebug_rings_lock() and ddebug_transport_lock().  Sleeps.
 */
void ddebug_rings_share(struct ddebug_transport *t, struct list_head *gone)
{
	unsigned int cpu;
	u8 i;

	if (!t->shm)
		return;
	for_each_possible_cpu(cpu)
		for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++)
			if (ddebug_ring_share(t, per_cpu(ddebug_cpu, cpu).ring[i], gone))
				return;
}

static void ddebug_ring_take_home(struct ddebug_ring *old, struct list_head *gone)
{
	struct ddebug_ring *new = ddebug_ring_new(old->cpu, old->context, NULL);

	if (!new)
		pr_warn("no memory for the streams of CPU %u: its messages will be lost\n", old->cpu);
	ddebug_ring_replace(old->cpu, old->context, new);
	/* else it is freed when the device, which reads it to its head, is reset */
	if (!old->stream.posted)
		list_add(&old->gone, gone);
}

/**
 * ddebug_rings_take_home() - no stream is in the shared memory of @t any more
 * @t: a transport that is being detached
 * @gone: those that went, for ddebug_rings_free(); the others are the device's until
 *	it is reset
 *
 * Context: Process, with ddebug_rings_lock() and ddebug_transport_lock().  Sleeps.
 */
void ddebug_rings_take_home(struct ddebug_transport *t, struct list_head *gone)
{
	unsigned int cpu;
	u8 i;

	for_each_possible_cpu(cpu) {
		for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
			struct ddebug_ring *r = per_cpu(ddebug_cpu, cpu).ring[i];

			if (r && r->home == t)
				ddebug_ring_take_home(r, gone);
		}
	}
}

/**
 * ddebug_rings_free() - free rings that were replaced
 * @gone: which; nobody has them any more
 *
 * Context: Process.  Sleeps.
 */
void ddebug_rings_free(struct list_head *gone)
{
	if (list_empty(gone))
		return;
	/* nobody looks at what was in a CPU's place before */
	synchronize_rcu();
	ddebug_ring_free_all(gone);
}

/**
 * ddebug_ring_resize() - change the size of the task streams' rings
 * @kb: KiB of each, rounded up to a whole number of sub-buffers
 *
 * While messages are written and a device reads them: none is lost that was not
 * already.  Without a device, what the old rings hold is gone.
 *
 * Context: Process.  Sleeps.
 * Return: 0; -EINVAL if @kb is out of range, -ENOMEM, or -EBUSY if a device keeps a
 * ring from an earlier change, and then all is as before; or what kept a device from
 * giving a ring back, and then some CPUs have their new rings.
 */
int ddebug_ring_resize(unsigned int kb)
{
	struct ddebug_ring *r, *next;
	unsigned int was;
	LIST_HEAD(made);
	LIST_HEAD(gone);
	int err;

	if (kb < DDEBUG_RB_SIZE_KB_MIN || kb > DDEBUG_RB_SIZE_KB_MAX)
		return -EINVAL;
	ddebug_rings_lock();
	was = rb_size_kb;
	rb_size_kb = kb;
	err = ddebug_ring_make_all(&made);
	if (err) {
		rb_size_kb = was;
		ddebug_ring_free_all(&made);
	} else {
		list_for_each_entry_safe(r, next, &made, gone) {
			if (err) {
				ddebug_ring_free(r);
				continue;
			}
			err = ddebug_ring_exchange(ddebug_transport_lock(), r, &gone);
			ddebug_transport_unlock();
		}
		if (err == -EBUSY)
			rb_size_kb = was;
	}
	cpus_read_unlock();
	/* before the shared memory that they may lie in can go */
	ddebug_rings_free(&gone);
	mutex_unlock(&ddebug_resize_mutex);
	return err;
}

/**
 * ddebug_ring_size_kb() - KiB of each CPU's ring for task context
 *
 * Context: Any.
 */
unsigned int ddebug_ring_size_kb(void)
{
	return ddebug_ring_bytes(VIRTIO_DDEBUG_CTX_TASK) / 1024;
}

/**
 * ddebug_ring_given_back() - the device has given back a ring after all
 * @s: a stream of a device that was reset
 *
 * Context: Process, with ddebug_transport_lock().  Sleeps.
 * Return: whether it was one that was to go, and is gone now.
 */
bool ddebug_ring_given_back(struct ddebug_stream *s)
{
	struct ddebug_ring *r = container_of(s, struct ddebug_ring, stream);

	if (!r->retired)
		return false;
	ddebug_rings_kept -= r->kept;
	/* nobody looks at what was in a CPU's place before */
	synchronize_rcu();
	ddebug_ring_free(r);
	return true;
}

/*
 * Streams for @cpu, which is coming up, or is up already when the module is being
 * loaded.  A CPU must not stay offline for want of them: its messages are
 * counted as lost.
 */
static int ddebug_cpu_prepare(unsigned int cpu)
{
	struct ddebug_cpu *c = per_cpu_ptr(&ddebug_cpu, cpu);
	struct ddebug_transport *home;
	u8 i;

	if (c->made)
		return 0;
	c->made = true;
	/* it stays attached: to be detached it takes the CPU hotplug lock */
	home = ddebug_transport_lock();
	ddebug_transport_unlock();
	for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
		struct ddebug_ring *r = NULL;

		if (home && home->shm)
			r = ddebug_ring_new(cpu, i, home);
		if (!r)
			r = ddebug_ring_new(cpu, i, NULL);
		if (!r) {
			pr_warn("no memory for the streams of CPU %u: its messages will be lost; a smaller rb_size_kb helps\n",
				cpu);
			break;
		}
		/* nobody writes yet: that CPU is not up, or the hook not started */
		mutex_lock(&ddebug_active_mutex);
		r->hdr->active = cpu_to_le32(!!ddebug_active);
		ddebug_ring_show(r);
		/* whole for who finds it: pairs with READ_ONCE() in ddebug_ring_stats() */
		smp_store_release(&c->ring[i], r);
		mutex_unlock(&ddebug_active_mutex);
	}
	ddebug_post_cpu(cpu);
	return 0;
}

static int ddebug_cpu_dead(unsigned int cpu)
{
	ddebug_kick_dead(cpu);
	return 0;
}

static int ddebug_cpu_online(unsigned int cpu)
{
	ddebug_kick_online();
	return 0;
}

/**
 * ddebug_ring_set_active() - tell the host whether messages may come
 * @why: DDEBUG_ACTIVE_*: the one of whom @active is said
 * @active: it writes to the streams
 *
 * While they do, it looks at the streams now and then without being kicked, so
 * that it finds the last words of a guest that cannot kick any more.
 *
 * Context: Process.  Sleeps.
 */
void ddebug_ring_set_active(unsigned int why, bool active)
{
	unsigned int cpu, was;
	u8 i;

	/* a ring that takes another's place takes over what is said there */
	mutex_lock(&ddebug_resize_mutex);
	mutex_lock(&ddebug_active_mutex);
	was = ddebug_active;
	ddebug_active = active ? was | why : was & ~why;
	active = ddebug_active;
	for_each_possible_cpu(cpu) {
		for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
			struct ddebug_ring *r = per_cpu(ddebug_cpu, cpu).ring[i];

			if (r)
				WRITE_ONCE(r->hdr->active, cpu_to_le32(active));
		}
	}
	mutex_unlock(&ddebug_active_mutex);
	mutex_unlock(&ddebug_resize_mutex);
	/* it may be asleep, and the first message may be the last */
	if (active && !was)
		ddebug_kick_active();
}

/**
 * ddebug_ring_stats() - the streams' lines of the stats file
 * @m: the file
 */
void ddebug_ring_stats(struct seq_file *m)
{
	unsigned int cpu, streams = 0, shared = 0;
	u8 i;

	rcu_read_lock();
	for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
		u64 committed = 0, bytes = 0, recursed = 0, torn = 0, clamped = 0;

		for_each_possible_cpu(cpu) {
			struct ddebug_ring *r = READ_ONCE(per_cpu(ddebug_cpu, cpu).ring[i]);

			if (!r)
				continue;
			streams++;
			shared += !!r->home;
			committed += le64_to_cpu(READ_ONCE(r->hdr->seq));
			bytes += le64_to_cpu(READ_ONCE(r->hdr->head));
			recursed += le64_to_cpu(READ_ONCE(r->hdr->recursed));
			torn += le64_to_cpu(READ_ONCE(r->hdr->torn));
			clamped += le64_to_cpu(READ_ONCE(r->hdr->clamped));
		}
		seq_printf(m, "%s_committed: %llu\n%s_bytes: %llu\n",
			   ddebug_contexts[i].name, committed, ddebug_contexts[i].name, bytes);
		seq_printf(m, "%s_recursed: %llu\n%s_torn: %llu\n%s_clamped: %llu\n",
			   ddebug_contexts[i].name, recursed, ddebug_contexts[i].name, torn,
			   ddebug_contexts[i].name, clamped);
	}
	rcu_read_unlock();
	seq_printf(m, "streams: %u\nshared: %u\nrb_size_kb: %u\n", streams, shared,
		   ddebug_ring_size_kb());
}

/**
 * ddebug_ring_init() - make the streams of the CPUs that are online
 *
 * Return: 0 or -errno.  A CPU without memory for its streams is no error.
 */
int __init ddebug_ring_init(void)
{
	unsigned int cpu;
	int err;

	if (rb_size_kb < DDEBUG_RB_SIZE_KB_MIN || rb_size_kb > DDEBUG_RB_SIZE_KB_MAX) {
		pr_err("rb_size_kb=%u is out of range: take %u to %u\n",
		       rb_size_kb, DDEBUG_RB_SIZE_KB_MIN, DDEBUG_RB_SIZE_KB_MAX);
		return -EINVAL;
	}
	ddebug_kick_init();
	err = cpuhp_setup_state(CPUHP_BP_PREPARE_DYN, "ddebug_rb:prepare",
				ddebug_cpu_prepare, ddebug_cpu_dead);
	if (err < 0)
		return err;
	ddebug_prepare_state = err;
	err = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "ddebug_rb:online",
					ddebug_cpu_online, NULL);
	if (err < 0) {
		cpuhp_remove_state_nocalls(ddebug_prepare_state);
		for_each_possible_cpu(cpu)
			ddebug_cpu_free(per_cpu_ptr(&ddebug_cpu, cpu));
		return err;
	}
	ddebug_online_state = err;
	return 0;
}

/**
 * ddebug_ring_exit() - give the streams' memory back
 *
 * No producer and no transport may be there any more.
 */
void ddebug_ring_exit(void)
{
	unsigned int cpu;

	cpuhp_remove_state_nocalls(ddebug_online_state);
	cpuhp_remove_state_nocalls(ddebug_prepare_state);
	ddebug_kick_exit();
	for_each_possible_cpu(cpu)
		ddebug_cpu_free(per_cpu_ptr(&ddebug_cpu, cpu));
}
