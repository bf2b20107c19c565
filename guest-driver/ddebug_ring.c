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
 *               the load of want_kick (ddebug_kick.c) between the store of
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
#include <linux/hardirq.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/task_stack.h>
#include "ddebug_kick.h"
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

/* Not a task, so never current. */
#define DDEBUG_OWNER_DEAD	((struct task_struct *)1)

/* The counters have one writer at a time; the device only reads them. */
static void ddebug_ring_count(__le64 *counter)
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
		ddebug_ring_count(&r->hdr->clamped);
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

	ddebug_ring_count(&r->hdr->torn);
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
			ddebug_ring_count(&r->hdr->recursed);
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
 * ddebug_ring_is_left() - has the writer left a ring that was retired?
 * @old: the ring; nobody claims it any more.  What a dead writer has left is covered
 *
 * Context: On the stream's CPU with interrupts off, or while that is offline.
 * Return: whether its head is final; false if a writer is inside.
 */
bool ddebug_ring_is_left(struct ddebug_ring *old)
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
 * ddebug_ring_host_lagging() - is there a host that has half of this CPU's ring to read?
 *
 * Context: Process; the answer is as old as it is.
 */
bool ddebug_ring_host_lagging(void)
{
	struct ddebug_ring *r;
	bool lagging;

	rcu_read_lock();
	r = READ_ONCE(raw_cpu_ptr(&ddebug_cpu)->ring[VIRTIO_DDEBUG_CTX_TASK]);
	lagging = r && READ_ONCE(r->stream.posted) &&
		  ddebug_half_full(r, le64_to_cpu(READ_ONCE(r->hdr->head)));
	rcu_read_unlock();
	return lagging;
}
