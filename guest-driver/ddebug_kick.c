// SPDX-License-Identifier: GPL-2.0
/*
 * Kicks: when to wake the device, and readers in the guest that wait for messages.
 *
 * A producer never leaves the guest.  It queues an irq_work, whose handler
 * (ddebug_work()) checks what the device wants and notifies it:
 *
 *   first message after a quiet time, or half a ring unread   at once
 *   others                                                    at the next tick
 *
 * irq_work_queue() has a locked instruction, so a plain flag of this CPU records
 * that work is queued already.
 *
 * Nothing is left behind
 * ----------------------
 * Claim: for each commit on a CPU that is online, with a transport attached or a
 * listener set, the handler runs on that CPU and loads the stream's head, later in
 * program order than the commit.  (All of this happens on one CPU, so program
 * order is what all code there sees.)
 *
 *   commit:   C1 store head       handler:  H1 armed = 0
 *             C2 load armed                 H2 load heads
 *             C3 armed = level              H3 full barrier
 *             C4 irq_work_queue()           H4 load want_kick
 *
 *  - C2 finds 0: C4 is reached, since nothing from C2 to C4 can fault.  C4 makes the
 *    work pending, or finds it pending; in both cases the handler starts after
 *    C4: irq_work clears "pending" before it calls the handler.
 *  - C2 finds it set.  Then some C3 has stored it after the last H1.
 *     - Its C4 is done: the work is pending, because if the handler had started
 *       after that C4, H1 would have cleared armed.  It starts after this C2.
 *     - Its C4 is not done: we have interrupted it between C3 and C4.  It
 *       continues when we return, and its C4 is followed by a handler run.
 *  - The handler itself is interrupted (by an NMI, or on PREEMPT_RT, where the lazy
 *    work runs in a thread, by anything).  Before H1: H2 is later than the commit.
 *    After H1: C2 finds 0, the first case.
 *
 * A CPU that is going down runs pending work after it has been marked offline, and
 * queues none from then on: nothing would run it.  What it commits after that is
 * handled when it is dead (ddebug_kick_dead()); what it commits while coming up,
 * before it is online, is handled when it is (ddebug_kick_online()).
 *
 * The device, for its part, stores want_kick, then loads head again before it
 * sleeps.  kick:A pairs with device:C: of "head, barrier, want_kick" here and
 * "want_kick, barrier, head" there, at least one load sees the other's store.
 * The heads are loaded before the barrier because a head that was scanned is not
 * scanned again: one that an NMI stores between H3 and H4 has no barrier after it
 * yet, and is left to the handler run that this NMI has requested.
 *
 * Readers of trace_pipe are woken in the same way, after the same barrier: see
 * ddebug_pipe.c.
 */
#include <linux/cpu.h>
#include <linux/hardirq.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/stop_machine.h>
#include "ddebug_kick.h"
#include "ddebug_transport.h"

/* A message that comes after at least this long counts as the first one. */
#define DDEBUG_QUIET_NS		(10 * NSEC_PER_MSEC)

DEFINE_PER_CPU(struct ddebug_cpu, ddebug_cpu);

/*
 * Called after each commit for a reader in the guest: ddebug_kick_listen().  While it
 * is set, the handler runs as it does with a transport.
 */
static void (*ddebug_listener)(void);

/* Counts messages as dropped: ddebug_ring_drop(), which is built on this file. */
static bool (*ddebug_drop)(unsigned long n);

/* Has a stream of @c before @i that shares a queue with it been notified? */
static bool ddebug_kick_was_notified(const struct ddebug_cpu *c, unsigned long notified, u8 i)
{
	u8 k;

	for (k = 0; k < i; k++)
		if (notified & BIT(k) && c->ring[k]->stream.queue == c->ring[i]->stream.queue)
			return true;
	return false;
}

/* Return the streams whose head has not been seen yet, as a mask. */
static unsigned long ddebug_kick_scan(struct ddebug_cpu *c)
{
	unsigned long pending = 0;
	u8 i;

	for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
		struct ddebug_ring *r = c->ring[i];
		u64 head;

		/* pairs with ddebug_post_stream(): then ->queue is set */
		if (!r || !smp_load_acquire(&r->stream.posted))
			continue;
		head = le64_to_cpu(READ_ONCE(r->hdr->head));
		if (head == r->seen)
			continue;
		r->seen = head;
		pending |= BIT(i);
	}
	return pending;
}

/* Notify the device of the streams in @pending, where it wants that. */
static void ddebug_kick_notify(struct ddebug_cpu *c, struct ddebug_transport *t,
			       unsigned long pending)
{
	unsigned long notified = 0;
	u8 i;

	for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
		struct ddebug_ring *r = c->ring[i];

		if (!(pending & BIT(i)) || !READ_ONCE(r->stream.status->want_kick))
			continue;
		if (!ddebug_kick_was_notified(c, notified, i)) {
			t->ops->notify(t, &r->stream);
			WRITE_ONCE(c->kicks, c->kicks + 1);
		}
		notified |= BIT(i);
	}
}

/*
 * Count what the handler has dropped in this context's stream.  That requests no work, or
 * it would never end; the device finds it while it is awake, or when it wakes next.
 */
static void ddebug_work_dropped(void)
{
	unsigned long n;

	if (likely(!this_cpu_read(ddebug_cpu.own_dropped)))
		return;
	n = this_cpu_xchg(ddebug_cpu.own_dropped, 0);
	if (!ddebug_drop(n))
		this_cpu_add(ddebug_cpu.own_dropped, n);
}

/*
 * The kick handler.  Nobody else scans the streams of @c.  If it finds no listener, the
 * commits that it follows precede the interrupt of the next ddebug_kick_listen() on this
 * CPU, so whoever sets that listener sees them when it reads.
 */
static void ddebug_work(struct ddebug_cpu *c)
{
	struct ddebug_transport *t;
	void (*listener)(void);

	preempt_disable();
	rcu_read_lock();
	WRITE_ONCE(c->armed, DDEBUG_ARMED_NOT);
	t = rcu_dereference(ddebug_attached);
	listener = READ_ONCE(ddebug_listener);
	if (t || listener) {
		u8 level = c->own_level;
		unsigned long pending;

		WRITE_ONCE(c->own_level, interrupt_context_level() + 1);
		barrier();
		pending = t ? ddebug_kick_scan(c) : 0;
		/* kick:A pairs with device:C and pipe:C: head before want_kick, wait queue */
		virt_mb();
		if (t)
			ddebug_kick_notify(c, t, pending);
		if (listener)
			listener();
		barrier();
		WRITE_ONCE(c->own_level, level);
		ddebug_work_dropped();
	}
	rcu_read_unlock();
	preempt_enable();
}

static void ddebug_work_here(void *unused)
{
	ddebug_work(this_cpu_ptr(&ddebug_cpu));
}

static void ddebug_work_now(struct irq_work *work)
{
	ddebug_work(container_of(work, struct ddebug_cpu, now));
}

static void ddebug_work_lazy(struct irq_work *work)
{
	ddebug_work(container_of(work, struct ddebug_cpu, lazy));
}

/*
 * An NMI may hit the idle loop while that decides to stop the tick, after its check for
 * lazy work: the work would then wait for the next interrupt, whenever that comes.
 */
static bool ddebug_tick_may_stop(u8 context)
{
	return context == VIRTIO_DDEBUG_CTX_NMI && is_idle_task(current);
}

/**
 * ddebug_kick_arm() - queue work for a commit: the slow path of ddebug_kick()
 * @c: this CPU's
 * @context: of the stream
 * @time: ns; of the message
 * @half: the device has half a ring still to copy
 *
 * Context: Any, NMI included, with preemption off.
 */
void ddebug_kick_arm(struct ddebug_cpu *c, u8 context, u64 time, bool half)
{
	if (!rcu_access_pointer(ddebug_attached) && !READ_ONCE(ddebug_listener))
		return;
	if (!cpu_online(raw_smp_processor_id()))
		return;
	if (half || time - READ_ONCE(c->last_kick) >= DDEBUG_QUIET_NS ||
	    ddebug_tick_may_stop(context)) {
		WRITE_ONCE(c->armed, DDEBUG_ARMED_NOW);
		this_cpu_inc(ddebug_cpu.works_now);
		WRITE_ONCE(c->last_kick, time);
		irq_work_queue(&c->now);
	} else {
		WRITE_ONCE(c->armed, DDEBUG_ARMED_LAZY);
		this_cpu_inc(ddebug_cpu.works_lazy);
		WRITE_ONCE(c->last_kick, time);
		irq_work_queue(&c->lazy);
	}
}

/* As if a message had been committed.  Interrupts are off. */
static void ddebug_work_anyway(void *unused)
{
	struct ddebug_ring *r = this_cpu_ptr(&ddebug_cpu)->ring[VIRTIO_DDEBUG_CTX_TASK];

	if (r)
		r->seen = U64_MAX;
	ddebug_work_here(NULL);
}

/**
 * ddebug_kick_active() - tell the device, which may sleep, that messages may come
 *
 * Context: Process.  Sleeps.
 */
void ddebug_kick_active(void)
{
	smp_call_function_single(get_cpu(), ddebug_work_anyway, NULL, 1);
	put_cpu();
}

/**
 * ddebug_kick_online() - handle what a CPU has committed before it came online
 *
 * Context: Process, on that CPU, in a CPU hotplug callback.
 */
void ddebug_kick_online(void)
{
	struct ddebug_cpu *c = get_cpu_ptr(&ddebug_cpu);

	if (rcu_access_pointer(ddebug_attached) || READ_ONCE(ddebug_listener))
		irq_work_queue(&c->now);
	put_cpu_ptr(&ddebug_cpu);
}

/**
 * ddebug_kick_dead() - handle what a CPU has committed while going down
 * @cpu: which; it is dead, and comes up only after this has returned
 *
 * Context: Process, in a CPU hotplug callback.
 */
void ddebug_kick_dead(unsigned int cpu)
{
	ddebug_work(per_cpu_ptr(&ddebug_cpu, cpu));
}

/**
 * ddebug_kick_dying() - have the device read now, for the last time
 * @r: the stream with the notice
 *
 * Notifies even if the device does not want kicks: one too many does no harm in a
 * dying kernel.
 *
 * Context: Any, NMI included, with preemption off.
 */
void ddebug_kick_dying(struct ddebug_ring *r)
{
	struct ddebug_transport *t;

	/* a device that sees the notification sees what was stored before it */
	virt_mb();
	rcu_read_lock();
	t = rcu_dereference(ddebug_attached);
	/* pairs with ddebug_post_stream() */
	if (t && smp_load_acquire(&r->stream.posted))
		t->ops->notify(t, &r->stream);
	rcu_read_unlock();
}

/**
 * ddebug_work_on() - run the kick handler of a CPU
 * @cpu: which; one that is offline has nothing to scan
 *
 * Context: Process, with the CPU hotplug lock.  Sleeps.
 */
void ddebug_work_on(unsigned int cpu)
{
	if (cpu_online(cpu))
		smp_call_function_single(cpu, ddebug_work_here, NULL, 1);
}

/**
 * ddebug_work_all() - run the kick handler of each online CPU once
 *
 * Context: Process.  Sleeps.
 */
void ddebug_work_all(void)
{
	on_each_cpu(ddebug_work_here, NULL, 1);
}

/**
 * ddebug_kick_listen() - set the listener of a reader in the guest
 * @listener: called by the handler after each commit from now on, after kick:A, in hard
 *	interrupt or in process context with preemption off; NULL: none.  A handler that
 *	runs may still call the previous one, until ddebug_kick_exit()
 *
 * A reader of the streams afterwards sees all commits that queued no work: each CPU
 * has taken an interrupt between such a commit and that read.
 *
 * Context: Process, one task at a time.  Sleeps; takes the CPU hotplug lock, so that
 * a CPU that comes up is either interrupted here or finds the listener set.
 */
void ddebug_kick_listen(void (*listener)(void))
{
	cpus_read_lock();
	WRITE_ONCE(ddebug_listener, listener);
	if (listener)
		ddebug_work_all();
	cpus_read_unlock();
}

static int ddebug_nothing(void *unused)
{
	return 0;
}

/**
 * ddebug_wait_idle() - wait until the idle tasks have left what they are in
 *
 * What runs with preemption off is over when synchronize_rcu() returns, except for an
 * idle task that RCU does not watch.  That gives up its CPU for the one task that precedes
 * all others, also those that never give up theirs (SCHED_FIFO).
 *
 * Context: Process.  Sleeps; takes the CPU hotplug lock, so that CPUs that are going down
 * are down before it returns.
 */
void ddebug_wait_idle(void)
{
	stop_machine(ddebug_nothing, NULL, NULL);
}

/**
 * ddebug_kick_init() - prepare the work of all CPUs
 * @drop: ddebug_ring_drop()
 *
 * Context: Process, before any message.
 */
void ddebug_kick_init(bool (*drop)(unsigned long n))
{
	unsigned int cpu;

	ddebug_drop = drop;
	for_each_possible_cpu(cpu) {
		struct ddebug_cpu *c = per_cpu_ptr(&ddebug_cpu, cpu);

		c->now = IRQ_WORK_INIT_HARD(ddebug_work_now);
		c->lazy = __IRQ_WORK_INIT(ddebug_work_lazy, IRQ_WORK_HARD_IRQ | IRQ_WORK_LAZY);
	}
}

/**
 * ddebug_kick_exit() - wait for queued work; no more is queued
 *
 * Context: Process.  Sleeps.
 */
void ddebug_kick_exit(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		irq_work_sync(&per_cpu_ptr(&ddebug_cpu, cpu)->now);
		irq_work_sync(&per_cpu_ptr(&ddebug_cpu, cpu)->lazy);
	}
}
