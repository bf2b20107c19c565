// SPDX-License-Identifier: GPL-2.0
/*
 * Reading the streams from inside the guest, while they are written.
 *
 * A reader does what the device does (ddebug_ring.c, "Reading"): it copies, then checks
 * whether the copied bytes may have been overwritten meanwhile.  It takes no lock that a
 * producer or the device knows of, and writes nothing that they read: it can delay
 * neither, and what it has read is still there for the host.
 *
 * A place in a stream is a cursor; a view has one for each possible stream, with the
 * end that it may read up to.  Views are cheap because they hold no records: what is
 * overwritten before it is read is lost to this reader, which gets the number of lost
 * messages in their place.
 *
 * Order
 * -----
 * Within a stream, messages are in order of time.  A view returns the oldest of the
 * next messages of its streams.  So all of it is in order, as far as the clocks of the
 * CPUs agree.
 *
 * Heads cannot be loaded all at once: of two messages that a CPU commits in two streams
 * in turn, the second could be seen without the first, if the first one's head was loaded
 * earlier.  So the heads are loaded twice, one pass after the other.  A view returns what
 * is below the heads of the first pass and, of what is below those of the second, whatever
 * is older than any of that.  What is returned was stamped before the first pass ended, so
 * everything that was committed before it was stamped is below the heads of the second
 * pass and, being older, is returned before it.  The only exception is a message that is
 * still being written, though its time is older than the last ones in other streams; it
 * comes with the next view.
 *
 * Which bytes count
 * -----------------
 * A record can be read by itself, given the header of its sub-buffer.  The header is
 * copied when a cursor enters the sub-buffer, and retained, since the ring may overwrite
 * it before the cursor reaches the end of the sub-buffer.
 *
 * A ring that replaces another one continues after it: positions below ->begin are not in
 * it.  The old ring's memory stays until synchronize_rcu(), and its head no longer moves;
 * so within one rcu_read_lock() a ring may be one that was replaced, which is as if we
 * had come a moment earlier.
 *
 * Barriers: those of the device, with the same pairs.
 *
 *   device:A  load-acquire of head; here in ddebug_view_to_now(), and what is below this
 *             head is copied later
 *   device:B  read barrier between a copy and the load of reserve: ddebug_copy()
 *
 * The records were written by this kernel.  But a torn one is covered only when its
 * stream is written again, and memory that a device can reach is not trusted more than
 * necessary: no length leads out of its sub-buffer, and each step goes forward.
 */
#include <linux/compiler.h>
#include <linux/cpumask.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include "ddebug_kick.h"
#include "ddebug_rb.h"
#include "ddebug_view.h"

/* The start of no sub-buffer. */
#define DDEBUG_NO_SUB	U64_MAX

/**
 * struct ddebug_cursor - a place in a stream
 * @pos: position of what comes next
 * @due: everything below is returned
 * @end: what is below is returned if it is older than something that is due
 * @next: number of the next message if none is missing
 * @seq_end: at least so many messages are below @due
 * @reported: drops (recursed and torn) that were reported
 * @drops: at least so many drops up to @pos
 * @drops_end: drops when @due was loaded
 * @sub: position of the sub-buffer that the next two belong to, or DDEBUG_NO_SUB
 * @seq: number of its first message
 * @base: ns; its base
 * @from: ns; what the delta of the next record is relative to
 * @found: @pos is at a message, and the rest is valid:
 * @time: ns; its time
 * @number: its number
 * @len: bytes of its record
 * @type: its type
 */
struct ddebug_cursor {
	u64 pos;
	u64 due;
	u64 end;
	u64 next;
	u64 seq_end;
	u64 reported;
	u64 drops;
	u64 drops_end;
	u64 sub;
	u64 seq;
	u64 base;
	u64 from;
	bool found;
	u64 time;
	u64 number;
	u16 len;
	u8 type;
};

/**
 * struct ddebug_view - a place in all streams
 * @nr: number of @cursors; stream i is of CPU i / VIRTIO_DDEBUG_NR_CTX
 * @cursors: one for each possible stream
 */
struct ddebug_view {
	unsigned int nr;
	struct ddebug_cursor cursors[];
};

/* Return the stream's current ring, or NULL.  Within rcu_read_lock(). */
static const struct ddebug_ring *ddebug_view_ring(unsigned int i)
{
	unsigned int cpu = i / VIRTIO_DDEBUG_NR_CTX;

	if (!cpu_possible(cpu))
		return NULL;
	/* pairs with the releases in ddebug_cpu_prepare() and ddebug_ring_swap() */
	return smp_load_acquire(&per_cpu(ddebug_cpu, cpu).ring[i % VIRTIO_DDEBUG_NR_CTX]);
}

/*
 * Copy @len bytes at @pos, which are below a head that was loaded and within one
 * sub-buffer.  Return false if they have been overwritten.
 */
static bool ddebug_copy(const struct ddebug_ring *r, u64 pos, void *to, size_t len)
{
	if (pos < r->begin)
		return false;
	/* what a producer writes meanwhile is detected below */
	data_race(memcpy(to, r->data + pos % r->size, len));
	/* device:B pairs with producer:A: the copy before reserve */
	smp_rmb();
	/* reserve is not below a head that was seen */
	return le64_to_cpu(READ_ONCE(r->hdr->reserve)) - pos <= r->size;
}

/* Move @c to the start of the next sub-buffer. */
static void ddebug_cursor_leave(struct ddebug_cursor *c, const struct ddebug_ring *r)
{
	c->pos = round_down(c->pos, r->subbuf) + r->subbuf;
	c->found = false;
}

/*
 * What @c is at has been overwritten: move it to the oldest intact sub-buffer.  That
 * is after @pos, so this terminates however fast the ring is written.
 */
static void ddebug_cursor_lapped(struct ddebug_cursor *c, const struct ddebug_ring *r)
{
	u64 reserve = le64_to_cpu(READ_ONCE(r->hdr->reserve));

	ddebug_cursor_leave(c, r);
	if (reserve > r->size)
		c->pos = max(c->pos, round_up(reserve - r->size, r->subbuf));
	c->pos = max(c->pos, r->begin);
}

/* Load the header of the sub-buffer that @c is in; false: @c was moved to another one. */
static bool ddebug_cursor_enter(struct ddebug_cursor *c, const struct ddebug_ring *r)
{
	u64 sub = round_down(c->pos, r->subbuf);
	struct ddebug_subbuf_hdr h;

	if (c->sub == sub)
		return true;
	if (!ddebug_copy(r, sub, &h, sizeof(h))) {
		ddebug_cursor_lapped(c, r);
		return false;
	}
	if (le64_to_cpu(h.pos) != sub) {
		ddebug_cursor_leave(c, r);
		return false;
	}
	c->sub = sub;
	c->seq = le64_to_cpu(h.seq);
	c->base = le64_to_cpu(h.base);
	c->from = c->base;
	c->drops = max(c->drops, le64_to_cpu(h.lost));
	if (c->pos == sub)
		c->pos += sizeof(h);
	return true;
}

/* As many bytes of a record as are needed to tell what it is. */
union ddebug_rec_begin {
	struct ddebug_rec_hdr hdr;
	struct ddebug_rec_time time;
};

/* Does ddebug_lines() show it? */
static bool ddebug_is_message(u16 type, u16 len)
{
	if (type == DDEBUG_REC_PACKED)
		return len >= sizeof(struct ddebug_rec_packed);
	return (type == DDEBUG_REC_TEXT || type == DDEBUG_REC_KMSG) &&
	       len >= sizeof(struct ddebug_rec_text) &&
	       len <= sizeof(struct ddebug_rec_text) + DDEBUG_TEXT_MAX;
}

/* @c is at the record @rec, a message of @len bytes: note it as found. */
static void ddebug_cursor_found(struct ddebug_cursor *c, const union ddebug_rec_begin *rec,
				u16 type, u16 len)
{
	u16 seq = le16_to_cpu(rec->hdr.seq);

	c->found = true;
	c->type = type;
	c->len = len;
	/* the only number with these 16 bits that is at least seq, and by less than 65536 */
	c->number = c->seq + (u16)(seq - (u16)c->seq);
	c->time = c->from + le32_to_cpu(rec->hdr.delta);
}

/* Bytes to the next record, if the one at c->pos is not a message; 0: it is invalid. */
static u64 ddebug_cursor_step(struct ddebug_cursor *c, const union ddebug_rec_begin *rec,
			      u16 type, u16 len)
{
	if (type == DDEBUG_REC_NONE || len < sizeof(rec->hdr))
		return 0;
	if (type == DDEBUG_REC_PAD)
		return le32_to_cpu(rec->hdr.delta);
	c->from = type == DDEBUG_REC_TIME && len == sizeof(rec->time) ?
		  le64_to_cpu(rec->time.time) : c->base;
	return ALIGN(len, DDEBUG_REC_ALIGN);
}

/* Scan one record of the sub-buffer that @c is in: note a message, pass over others. */
static void ddebug_cursor_scan(struct ddebug_cursor *c, const struct ddebug_ring *r)
{
	u64 left = c->sub + r->subbuf - c->pos;
	union ddebug_rec_begin rec = {};
	u16 type_len, type, len;
	u64 step;

	if (!ddebug_copy(r, c->pos, &rec, min_t(u64, sizeof(rec), left))) {
		ddebug_cursor_lapped(c, r);
		return;
	}
	type_len = le16_to_cpu(rec.hdr.type_len);
	type = type_len >> DDEBUG_REC_TYPE_SHIFT;
	len = type_len & DDEBUG_REC_LEN_MASK;
	if (ddebug_is_message(type, len) && ALIGN(len, DDEBUG_REC_ALIGN) <= left) {
		ddebug_cursor_found(c, &rec, type, len);
		return;
	}
	step = ddebug_cursor_step(c, &rec, type, len);
	if (!step || step > left || !IS_ALIGNED(step, DDEBUG_REC_ALIGN))
		step = left;
	c->pos += step;
}

/* Find the next message; false: there is none up to the end.  Within rcu_read_lock(). */
static bool ddebug_cursor_find(struct ddebug_cursor *c, const struct ddebug_ring *r)
{
	while (!c->found && c->pos < c->end)
		if (ddebug_cursor_enter(c, r) && c->pos < c->end)
			ddebug_cursor_scan(c, r);
	return c->found;
}

/* Move @c past the message that it has found. */
static void ddebug_cursor_pass(struct ddebug_cursor *c)
{
	c->next = c->number + 1;
	c->pos += ALIGN(c->len, DDEBUG_REC_ALIGN);
	c->from = c->base;
	c->found = false;
}

/* Copy the message that @c has found; false: it has been overwritten. */
static bool ddebug_cursor_take(struct ddebug_cursor *c, const struct ddebug_ring *r,
			       struct ddebug_message *m)
{
	if (!ddebug_copy(r, c->pos, &m->rec, c->len)) {
		ddebug_cursor_lapped(c, r);
		return false;
	}
	m->type = c->type;
	m->len = c->len;
	m->time = c->time;
	m->lost = c->number > c->next ? c->number - c->next : 0;
	m->dropped = c->drops - c->reported;
	c->reported = c->drops;
	ddebug_cursor_pass(c);
	return true;
}

/* At the end of @c: what is missing, with no message after it to be reported with. */
static bool ddebug_cursor_rest(struct ddebug_cursor *c, struct ddebug_message *m)
{
	c->drops = max(c->drops, c->drops_end);
	m->type = DDEBUG_REC_NONE;
	m->len = 0;
	m->lost = c->seq_end > c->next ? c->seq_end - c->next : 0;
	m->dropped = c->drops - c->reported;
	c->reported = c->drops;
	c->next += m->lost;
	return m->lost || m->dropped;
}

/**
 * ddebug_view_new() - allocate an empty view
 *
 * Context: Process.  Sleeps.
 * Return: The view, at the start of all streams and ending there, to be freed by
 * ddebug_view_free(); NULL if there is no memory.
 */
struct ddebug_view *ddebug_view_new(void)
{
	unsigned int i, nr = nr_cpu_ids * VIRTIO_DDEBUG_NR_CTX;
	struct ddebug_view *v = kvzalloc(struct_size(v, cursors, nr), GFP_KERNEL);

	if (!v)
		return NULL;
	v->nr = nr;
	for (i = 0; i < nr; i++)
		v->cursors[i].sub = DDEBUG_NO_SUB;
	return v;
}

/**
 * ddebug_view_free() - free a view
 * @v: the view, or NULL
 *
 * Context: Process.  Sleeps.
 */
void ddebug_view_free(struct ddebug_view *v)
{
	kvfree(v);
}

/**
 * ddebug_view_copy() - move a view to where another one is
 * @v: the view that changes
 * @from: the other one, which the caller keeps from changing
 */
void ddebug_view_copy(struct ddebug_view *v, const struct ddebug_view *from)
{
	memcpy(v->cursors, from->cursors, array_size(v->nr, sizeof(v->cursors[0])));
}

/**
 * ddebug_view_to_now() - extend a view up to what is committed now
 * @v: the view
 */
void ddebug_view_to_now(struct ddebug_view *v)
{
	unsigned int i;

	rcu_read_lock();
	for (i = 0; i < v->nr; i++) {
		const struct ddebug_ring *r = ddebug_view_ring(i);
		struct ddebug_cursor *c = &v->cursors[i];

		if (!r)
			continue;
		/* seq is stored after head: at least so many are below the head loaded next */
		c->seq_end = le64_to_cpu(smp_load_acquire(&r->hdr->seq));
		c->drops_end = le64_to_cpu(READ_ONCE(r->hdr->recursed)) +
			       le64_to_cpu(READ_ONCE(r->hdr->torn));
		/* an acquire: no head of the second pass is loaded before it */
		c->due = le64_to_cpu(smp_load_acquire(&r->hdr->head));
	}
	for (i = 0; i < v->nr; i++) {
		const struct ddebug_ring *r = ddebug_view_ring(i);

		if (!r)
			continue;
		/* device:A pairs with producer:B: head before data */
		v->cursors[i].end = le64_to_cpu(smp_load_acquire(&r->hdr->head));
	}
	rcu_read_unlock();
}

/*
 * The ring is gone, because there was no guest memory for another one when the device
 * with the shared memory was detached: everything up to the end is missing.
 */
static void ddebug_cursor_strand(struct ddebug_cursor *c)
{
	c->found = false;
	c->pos = c->end;
}

/* Return the stream whose next message is the oldest; v->nr if nothing is due any more. */
static unsigned int ddebug_view_oldest(struct ddebug_view *v)
{
	unsigned int i, oldest = v->nr;
	bool due = false;

	for (i = 0; i < v->nr; i++) {
		struct ddebug_cursor *c = &v->cursors[i];
		const struct ddebug_ring *r;

		if (!c->found && c->pos >= c->end)
			continue;
		rcu_read_lock();
		r = ddebug_view_ring(i);
		if (!r) {
			ddebug_cursor_strand(c);
			rcu_read_unlock();
			continue;
		}
		if (ddebug_cursor_find(c, r) &&
		    (oldest == v->nr || c->time < v->cursors[oldest].time))
			oldest = i;
		due |= c->pos < c->due;
		rcu_read_unlock();
	}
	return due ? oldest : v->nr;
}

/* Everything due was returned: report what is missing at the end of each stream. */
static bool ddebug_view_rest(struct ddebug_view *v, struct ddebug_message *m)
{
	unsigned int i;

	for (i = 0; i < v->nr; i++) {
		if (!ddebug_cursor_rest(&v->cursors[i], m))
			continue;
		m->cpu = i / VIRTIO_DDEBUG_NR_CTX;
		m->context = i % VIRTIO_DDEBUG_NR_CTX;
		return true;
	}
	return false;
}

/**
 * ddebug_view_next() - get the next message of a view
 * @v: the view
 * @m: filled in
 *
 * Context: Process, one task at a time.
 * Return: false at the end.
 */
bool ddebug_view_next(struct ddebug_view *v, struct ddebug_message *m)
{
	const struct ddebug_ring *r;
	unsigned int i;
	bool taken;

	do {
		i = ddebug_view_oldest(v);
		if (i == v->nr)
			return ddebug_view_rest(v, m);
		rcu_read_lock();
		r = ddebug_view_ring(i);
		taken = r && ddebug_cursor_take(&v->cursors[i], r, m);
		rcu_read_unlock();
	} while (!taken);
	m->cpu = i / VIRTIO_DDEBUG_NR_CTX;
	m->context = i % VIRTIO_DDEBUG_NR_CTX;
	return true;
}

/*
 * Move @c to its end.  The number of the message there follows from those before it in
 * the last sub-buffer; if these are overwritten meanwhile, it may be off by the one that
 * was being committed when the end was loaded.
 */
static void ddebug_cursor_skip(struct ddebug_cursor *c, const struct ddebug_ring *r)
{
	u64 last;

	if (r) {
		last = round_down(c->end - 1, r->subbuf);
		if (c->pos < last) {
			c->pos = last;
			c->found = false;
		}
		while (ddebug_cursor_find(c, r))
			ddebug_cursor_pass(c);
	} else {
		ddebug_cursor_strand(c);
	}
	c->pos = max(c->pos, c->end);
	c->next = max(c->next, c->seq_end);
	c->drops = max(c->drops, c->drops_end);
	c->reported = c->drops;
}

/**
 * ddebug_view_skip() - move a view to what is committed now
 * @v: the view; what it skips is not counted as lost
 *
 * Context: Process, one task at a time.
 */
void ddebug_view_skip(struct ddebug_view *v)
{
	unsigned int i;

	ddebug_view_to_now(v);
	for (i = 0; i < v->nr; i++) {
		struct ddebug_cursor *c = &v->cursors[i];

		rcu_read_lock();
		if (c->end)
			ddebug_cursor_skip(c, ddebug_view_ring(i));
		rcu_read_unlock();
	}
}

/**
 * ddebug_view_is_behind() - check whether anything is committed beyond a view
 * @v: a view; if another task moves it, the answer is of before or after that
 *
 * Context: Any.
 */
bool ddebug_view_is_behind(const struct ddebug_view *v)
{
	bool behind = false;
	unsigned int i;

	rcu_read_lock();
	for (i = 0; i < v->nr && !behind; i++) {
		const struct ddebug_ring *r = ddebug_view_ring(i);
		/* a task that moves it will check the same afterwards */
		u64 pos = data_race(READ_ONCE(v->cursors[i].pos));

		behind = r && le64_to_cpu(READ_ONCE(r->hdr->head)) > max(pos, r->begin);
	}
	rcu_read_unlock();
	return behind;
}
