// SPDX-License-Identifier: GPL-2.0
/*
 * The streams: byte rings that any context writes to, and that a device reads
 * while they are being written.
 *
 * Data structure
 * --------------
 * Each CPU has four streams, one per context level: task, softirq, hardirq, NMI.
 * A stream is a sequence of bytes addressed by 64-bit positions that only grow;
 * its last ->size bytes are retained, byte p at offset p % size.  It is divided
 * into sub-buffers; each starts with a header (struct ddebug_subbuf_hdr) and
 * holds whole records (ddebug_record.h).
 *
 *                      head      reserve
 *                       |          |
 *   ...==================+~~~~~~~~~~+ - - - - - - - - - - -
 *      committed records   being       the oldest sub-buffers,
 *                          written     starting at reserve - size
 *
 * head     everything before it is committed: whole records
 * reserve  nothing at or beyond it was ever touched, so everything in
 *          [reserve - size, head) is present and intact
 *
 * On PREEMPT_RT softirqs run in threads: interrupt_context_level() is 0 there and
 * they write to the task stream.
 *
 * Why there is no lock and no atomic instruction
 * ----------------------------------------------
 * A writer runs with preemption disabled, so it has its CPU to itself, except for
 * contexts that interrupt it.  Those of a higher level write to another stream.
 * Code of the same level can only run between two instructions of the writer, and
 * has finished, or died, before the writer continues:
 *
 *  - an exception (a fault inside vsnprintf()) that logs: a recursion.  It finds
 *    the stream claimed, counts itself in ->recursed, and drops its message.
 *  - if that exception kills the task (an oops), the writer never continues, and
 *    the stream would stay claimed forever.
 *
 * So the claim records who made it (struct ddebug_owner).  A writer that finds
 * the stream claimed checks whether that writer can still be alive:
 *
 *  - another task: the writer is dead.  In the task stream, because a writer has
 *    preemption disabled and cannot have been switched out.  In the others,
 *    because the task they interrupted only continues when they are done.  Task
 *    structures are reused; pairs of structure and start time are not.
 *  - the same task, now exiting but not when it claimed: dead.  do_exit() does
 *    not return.
 *  - the same task, in the task stream, closer to the bottom of its stack than
 *    the writer's frame was: dead, that frame is gone.  (x86 rewinds the stack of
 *    a task that has oopsed before it calls do_exit().)
 *  - otherwise: alive; this is a recursion.  Softirqs, hardirqs and NMIs run on
 *    stacks of their own, where depths cannot be compared.  An oops there is a
 *    panic.
 *
 * A dead writer has left arbitrary bytes between head and reserve.  The next
 * writer counts it in ->torn, covers [head, reserve) with PAD records, and
 * continues at reserve.  Since reserve never decreases, nothing that a dead writer
 * may have touched, or might still touch should the above ever be wrong, is used
 * for a record.
 *
 * The words of the claim cannot be stored at once.  Storing the task, which comes
 * first, makes the claim.  Until the others are in place (->known), the same task
 * counts as alive: nothing between these stores faults, so they can only be
 * interrupted (an NMI by a machine check, for example).
 *
 * Writing
 * -------
 * ddebug_slot_begin()   claim; read the clock; publish reserve; start the
 *                       sub-buffer if head is at its first byte
 *    the caller formats its text, or packs its arguments, in place, in the room
 *    that is left
 * ddebug_slot_next()    if it did not fit: cover the rest with a PAD record and
 *                       advance to the next sub-buffer, where any message fits
 * ddebug_slot_commit()  fill in the record's header; store head; unclaim
 *
 * Reserve is published before the length of the text is known, so it runs ahead
 * of head by up to the longest record.  Everything between the old and the new
 * head (PAD, sub-buffer header, TIME, TEXT) is committed by one store.  Until
 * then the writer's own copies (->head, ->sub, ->base, ->seq) stay unchanged, so
 * the death of a writer needs no repair of them.
 *
 * Example: sub-buffers of 4 KiB, head 4000, a message of 120 bytes.
 *
 *   reserve = 4096               (the longest record would cross: the end)
 *   format at 4016, room 80      does not fit
 *   PAD at 4000, 96 bytes
 *   reserve = 4096 + 1088
 *   header at 4096; format at 4144, room 4048: fits
 *   TEXT at 4128, len 136
 *   head = 4264
 *
 * Time
 * ----
 * Readers sort messages of different streams by their time stamps, so the order of a CPU's
 * messages is that of their stamps, over all four contexts, whatever the clock does: it
 * may stand still (without a usable TSC, for a tick), and step back (over suspend, or after
 * a migration of the VM).  A stamp is the clock's if that is above the CPU's last one, and
 * one ns above that one otherwise.
 *
 *   load last; load clock; stamp = max(clock, last + 1); cmpxchg last -> stamp, or again
 *
 * The exchange is one instruction, so an interrupt comes before or after it, and needs
 * no LOCK prefix.  If another context took a stamp after the load, the exchange fails
 * and the message, which is later than that one, gets a greater stamp.  So stamps are
 * unique within a CPU, and a message that begins after another has ended has the greater
 * one.  tests/litmus/stamp.pml is a model of it.
 *
 * ->clamped counts messages that find the clock behind where one of their CPU found it
 * before: it has stepped back.  A clock that stands still is not counted.
 *
 * Reading (the device, and the guest's own readers: ddebug_view.c)
 * ----------------------------------------------------------------
 *   head = load-acquire; copy [pos, head); rmb; load reserve; anything below
 *   reserve - size may have been overwritten during the copy: drop it and continue
 *   at the next intact sub-buffer.
 *
 * Example: size 16384, pos 0, head 16000, reserve 16384: everything is present.
 * During the copy the writer moves reserve to 17472 and writes up to 17000.  The
 * device finds 17472 - 16384 = 1088: bytes below 1088 are suspect, so it discards
 * sub-buffer 0 and uses the copy from 4096 on.
 *
 * Barriers
 * --------
 *   label       what                                       pairs with
 *   producer:A  virt_wmb() between the store of reserve    device:B, rmb between
 *               and the stores of data                     copy and load of reserve;
 *                                                          device:D, load-acquire
 *                                                          of reserve before a load
 *                                                          of head
 *   producer:B  store-release of head, after the stores    device:A, load-acquire
 *               of data                                    of head
 *   producer:C  compiler barriers around the claim, 1 to   an interrupting writer
 *               4, and around a swap of rings, 5 and 6     on the same CPU
 *   producer:E  store-release of notice, after the         device:E, load-acquire
 *               store of head                              of notice before a load
 *                                                          of head
 *   kick:A      virt_mb() between the store of head and    device:C, full barrier
 *               the loads of want_kick and of the wait     between the store of
 *               queue (ddebug_kick.c)                      want_kick and the next
 *                                                          load of head; pipe:C, the
 *                                                          same with the wait queue
 *                                                          (ddebug_pipe.c)
 *
 * producer:A / device:B.  If the device has copied a data byte of position q in
 * place of one of position q - size, the writer had stored a reserve above q
 * before that byte (A).  The device loads reserve after the copy (B), so it sees
 * at least that value and drops everything up to q - size.
 *
 * producer:A / device:D.  The device treats a reserve that is too far ahead of head
 * as a protocol violation.  The store of reserve may become visible before stores of
 * head that precede it (a release does not hold back later stores), but not before
 * those that precede the last store of reserve: its producer:A orders them.  So a
 * head loaded after reserve (D) lags it by at most what two reserves were published
 * for: by less than the smallest sub-buffer.
 *
 * producer:B / device:A.  If the device sees a head (A), it sees all data before it
 * (B); the bytes that it copies are the committed ones, or later ones, which the
 * first pair detects.
 *
 * producer:E / device:E.  If the device sees a notice (E), it sees the head after
 * the last words that preceded it, so it has copied these when it reports that the
 * kernel has died.
 *
 * producer:C.  One CPU sees its own accesses in program order; only the compiler
 * must not move accesses to the stream out of the claim.  It keeps volatile ones
 * (->task, ->known) in order by itself; the barriers are for the others.
 *
 * Where this says device:A and device:B, a reader in the guest does the same.
 *
 * tests/litmus/ has a model of each pair, in which it holds, on x86 and on weaker
 * machines, and fails if either side is removed.  tests/ring/ runs this very file
 * against the device's reader.
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

/* The most that one message takes in one sub-buffer; reserve runs ahead by this much. */
#define DDEBUG_MESSAGE_MAX						\
	(sizeof(struct ddebug_subbuf_hdr) + sizeof(struct ddebug_rec_time) + \
	 DDEBUG_RECORD_MAX)

/* So at most one call of ddebug_slot_next() is needed. */
static_assert(DDEBUG_MESSAGE_MAX <= 1u << VIRTIO_DDEBUG_SUBBUF_SHIFT_MIN);
static_assert(DDEBUG_MESSAGE_MAX % DDEBUG_REC_ALIGN == 0);
/* What two reserves are published for, one of them at the end of a sub-buffer (device:D). */
static_assert(3 * DDEBUG_MESSAGE_MAX <= 1u << VIRTIO_DDEBUG_SUBBUF_SHIFT_MIN);
static_assert(sizeof(struct ddebug_rec_text) + DDEBUG_TEXT_MAX <= DDEBUG_REC_LEN_MASK);

/* Not a task, so never current. */
#define DDEBUG_OWNER_DEAD	((struct task_struct *)1)

/* A counter has one writer at a time; the device only reads it. */
static void ddebug_ring_count(__le64 *counter)
{
	WRITE_ONCE(*counter, cpu_to_le64(le64_to_cpu(*counter) + 1));
}

/*
 * Is the writer that has claimed @r dead?  Called at the level of the stream, on
 * its CPU; @sp is an address in the caller's frame, taken like the owner's.  The
 * proof is at the top of this file.
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
	/* the tail of an interrupt is at task level already, on a stack of its own */
	return object_is_on_stack((const void *)sp) && sp > o->sp;
}

static void ddebug_claim(struct ddebug_ring *r, unsigned long sp)
{
	struct ddebug_owner *o = &r->owner;

	WRITE_ONCE(o->known, false);	/* set if the last owner died */
	WRITE_ONCE(o->task, current);
	barrier();	/* producer:C1: the claim comes before the rest is filled in */
	o->start = current->start_time;
	o->sp = sp;
	o->exiting = current->flags & PF_EXITING;
	barrier();	/* producer:C2: it is never judged by half of it */
	WRITE_ONCE(o->known, true);
	barrier();	/* producer:C3: a writer that dies from here on is known */
}

static void ddebug_unclaim(struct ddebug_ring *r)
{
	barrier();	/* producer:C4: the stream is consistent */
	WRITE_ONCE(r->owner.known, false);
	WRITE_ONCE(r->owner.task, NULL);
}

/*
 * The time stamp of a message in @r, which this writer has claimed: see "Time" at the top.
 * @c is this CPU's.
 */
static __always_inline u64 ddebug_time(struct ddebug_cpu *c, struct ddebug_ring *r)
{
	/* loaded before the clock: what an interrupt stores from here on is no step back */
	u64 clock = READ_ONCE(c->clock);
	u64 last = READ_ONCE(c->stamp);
	u64 now = local_clock();
	u64 stamp, was;

	if (unlikely(now < clock))
		ddebug_ring_count(&r->hdr->clamped);
	else
		WRITE_ONCE(c->clock, now);
	for (;;) {
		stamp = likely(now > last) ? now : last + 1;
		was = this_cpu_cmpxchg(ddebug_cpu.stamp, last, stamp);
		if (likely(was == last))
			return stamp;
		last = was;	/* of an interrupt, which came before this message */
	}
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

/* Cover what a dead writer has left: [head, reserve) becomes padding. */
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

/* Has the device at least half of the ring still to copy, if what it says is true? */
static bool ddebug_half_full(const struct ddebug_ring *r, u64 pos)
{
	return pos - le64_to_cpu(READ_ONCE(r->stream.status->consumed)) >= r->size / 2;
}

/*
 * Prepare what precedes the text at slot->start: reserve, the header of the
 * sub-buffer, a TIME record.  Sets ->rec, ->text and ->room.
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
 * @r was retired between loading its address and claiming it: on this CPU, by code
 * that interrupted us and has put another ring in its place.  Only if we have
 * interrupted that very swap (an NMI) there is no new ring yet.
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

/*
 * Whoever is at work here counts what was dropped in its stream when it is done: the count
 * becomes visible with a record, and would not be until then.
 */
static noinline void ddebug_count_own(const struct ddebug_cpu *c, u8 level)
{
	this_cpu_inc(ddebug_cpu.own);
	if (READ_ONCE(c->own_level) == level + 1)
		this_cpu_inc(ddebug_cpu.own_dropped);
	else
		ddebug_own_dropped++;	/* by one task only */
}

/**
 * ddebug_slot_begin() - claim this context's stream for one message
 * @slot: filled in
 * @sp: an address in the stack frame of the function that emits the message;
 *	always the same function, so that depths compare
 *
 * Context: Any, NMI included, with preemption off until ddebug_slot_commit().
 * Return: false if the message must be dropped; it has been counted then.
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
		ddebug_count_own(c, level);
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
	slot->time = ddebug_time(c, r);
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
 * ddebug_slot_next() - skip the rest of this sub-buffer, take the next one
 * @slot: of a message whose text did not fit slot->room; afterwards it fits
 *
 * Context: As ddebug_slot_begin().
 */
void ddebug_slot_next(struct ddebug_slot *slot)
{
	struct ddebug_ring *r = slot->ring;
	u64 end = round_up(slot->start, r->subbuf);

	/* start is behind a header and before the end: otherwise it would have fitted */
	ddebug_write_rec_hdr(ddebug_at(r, slot->sub, slot->start), DDEBUG_REC_PAD,
			     sizeof(struct ddebug_rec_hdr), 0, end - slot->start);
	slot->start = end;
	slot->sub = ddebug_next_sub(r, slot->sub);
	ddebug_slot_open(slot);
}

/* The writer's own copies follow to @end, where the records of @slot end. */
static __always_inline void ddebug_slot_advance(const struct ddebug_slot *slot, u64 end)
{
	struct ddebug_ring *r = slot->ring;

	r->base = slot->base;
	r->sub = end & (r->subbuf - 1) ? slot->sub : ddebug_next_sub(r, slot->sub);
}

/**
 * ddebug_slot_commit() - commit a message
 * @slot: whose record is complete but for its header
 * @type: DDEBUG_REC_TEXT, DDEBUG_REC_KMSG or DDEBUG_REC_PACKED
 * @len: bytes of the record, header included; not beyond ddebug_slot_end()
 *
 * Ends what ddebug_slot_begin() started.
 */
void ddebug_slot_commit(struct ddebug_slot *slot, u16 type, size_t len)
{
	struct ddebug_ring *r = slot->ring;
	u64 end = ALIGN(slot->rec_pos + len, DDEBUG_REC_ALIGN);

	ddebug_write_rec_hdr(&slot->rec->hdr, type, len, r->seq, slot->delta);
	ddebug_slot_advance(slot, end);
	r->seq++;
	ddebug_publish_head(r, end);
	/* after head: never more than is committed */
	WRITE_ONCE(r->hdr->seq, cpu_to_le64(r->seq));
	ddebug_unclaim(r);

	ddebug_kick(slot->cpu, r->context, slot->time, slot->half);
}

/**
 * ddebug_ring_drop() - count messages of this context as dropped, and show that to readers
 * @n: how many; they were produced while logging
 *
 * The device reads the counters of a stream with what it copies of it, so a record is
 * committed: one without a message.  Nobody is notified.
 *
 * Context: Any, with preemption off, where a message could be recorded.
 * Return: false if there is no stream, or it is being written: nothing was counted.
 */
bool ddebug_ring_drop(unsigned long n)
{
	struct ddebug_cpu *c = this_cpu_ptr(&ddebug_cpu);
	struct ddebug_ring *r = c->ring[interrupt_context_level()];
	struct ddebug_slot slot;
	u64 end;

	if (!r || READ_ONCE(r->owner.task) ||
	    !ddebug_slot_begin(&slot, (unsigned long)__builtin_frame_address(0)))
		return false;
	r = slot.ring;
	WRITE_ONCE(r->hdr->recursed, cpu_to_le64(le64_to_cpu(r->hdr->recursed) + n));
	/* a record is aligned, and does not end a sub-buffer: there is room for its header */
	end = slot.start + sizeof(struct ddebug_rec_hdr);
	ddebug_write_rec_hdr(ddebug_at(r, slot.sub, slot.start), DDEBUG_REC_PAD,
			     sizeof(struct ddebug_rec_hdr), 0, sizeof(struct ddebug_rec_hdr));
	ddebug_slot_advance(&slot, end);
	ddebug_publish_head(r, end);
	ddebug_unclaim(r);
	return true;
}

/**
 * ddebug_ring_loss() - tell readers what no stream has recorded
 * @nostream: messages that had no stream, of all CPUs, so far
 * @missed: calls of print functions that did not reach us, so far
 * @grown: one of them has grown since it was last written; if not, it is written again only
 *	if this stream has none in the sub-buffer at work or the one before it
 *
 * Context: Any, with preemption off.
 * Return: false if this context has no stream, or it is being written: call again.
 */
bool ddebug_ring_loss(u64 nostream, u64 missed, bool grown)
{
	struct ddebug_cpu *c = this_cpu_ptr(&ddebug_cpu);
	struct ddebug_ring *r = c->ring[interrupt_context_level()];
	struct ddebug_rec_loss *rec;
	struct ddebug_slot slot;

	if (!r || READ_ONCE(r->owner.task))
		return false;
	if (!grown && r->loss && r->head - r->loss < 2 * r->subbuf)
		return true;
	if (!ddebug_slot_begin(&slot, (unsigned long)__builtin_frame_address(0)))
		return false;
	r = slot.ring;
	if (ddebug_slot_size(&slot) < sizeof(*rec))
		ddebug_slot_next(&slot);
	rec = (struct ddebug_rec_loss *)slot.rec;
	ddebug_write_rec_hdr(&rec->hdr, DDEBUG_REC_LOSS, sizeof(*rec), 0, 0);
	rec->nostream = cpu_to_le64(nostream);
	rec->missed = cpu_to_le64(missed);
	r->loss = slot.rec_pos + sizeof(*rec);
	ddebug_slot_advance(&slot, r->loss);
	ddebug_publish_head(r, r->loss);
	ddebug_unclaim(r);
	ddebug_kick(slot.cpu, r->context, slot.time, slot.half);
	return true;
}

/**
 * ddebug_ring_is_left() - check that no writer is in a retired ring
 * @old: the ring; it is no longer claimed.  What a dead writer left is padded
 *
 * Context: On the stream's CPU with interrupts off, or while that CPU is offline.
 * Return: true if its head is final; false if a writer is inside.
 */
bool ddebug_ring_is_left(struct ddebug_ring *old)
{
	const struct ddebug_owner *o = &old->owner;

	if (!READ_ONCE(o->task))
		return true;
	/* our own task may be the writer, interrupted by this call */
	if (READ_ONCE(o->task) == current &&
	    !(READ_ONCE(o->known) && o->start != current->start_time))
		return false;
	ddebug_pad_torn(old, READ_ONCE(per_cpu(ddebug_cpu, old->cpu).stamp));
	ddebug_unclaim(old);
	return true;
}

/**
 * ddebug_ring_disown() - declare the writer of this context dead
 *
 * For a dying kernel: its last words may come from inside a message, by the same
 * task and deeper in the stack, which looks like a recursion.  Afterwards the
 * interrupted message counts as torn.
 *
 * Context: Any, NMI included, with preemption off; where nothing below this
 * caller in the same context will run again.
 * Return: The stream of this context; NULL if there is none.
 */
struct ddebug_ring *ddebug_ring_disown(void)
{
	struct ddebug_cpu *c = this_cpu_ptr(&ddebug_cpu);
	u8 level = interrupt_context_level();
	struct ddebug_ring *r = c->ring[level];

	/* if the transport's own work died here, it does not continue either */
	if (READ_ONCE(c->own_level) == level + 1)
		WRITE_ONCE(c->own_level, 0);
	if (!level)
		ddebug_own_disown();
	/* and whoever muted this context will not unmute it */
	c->muted &= ~BIT(level);
	if (r && READ_ONCE(r->owner.task))
		WRITE_ONCE(r->owner.task, DDEBUG_OWNER_DEAD);
	return r;
}

/**
 * ddebug_ring_notice() - report the state of this kernel to the device
 * @r: the stream of this context
 * @kind: VIRTIO_DDEBUG_NOTICE_*; the worst one so far is retained
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
 * ddebug_ring_host_lagging() - check whether a host has half of this CPU's ring to read
 *
 * Context: Process; the answer may be outdated at once.
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
