// SPDX-License-Identifier: GPL-2.0
/*
 * Kicks: when to wake the device, and the readers in the guest that wait for messages.
 *
 * A producer never leaves the guest.  It asks for an irq_work, whose handler
 * (ddebug_work()) looks at what the device wants, and notifies it:
 *
 *   first message after a quiet time, or half a ring unread   at once
 *   others                                                    at the next tick
 *
 * irq_work_queue() has a locked instruction, so a plain flag of this CPU says
 * that work is asked for already.
 *
 * Nothing is left behind
 * ----------------------
 * Claim: for each commit on a CPU that is online, with a transport attached or a
 * reader that listens, the handler runs on that CPU and loads the stream's head,
 * later in program order than the commit.  (All of this happens on one CPU, so that
 * program order is what everybody there sees.)
 *
 *   commit:   C1 store head       handler:  H1 armed = 0
 *             C2 load armed                 H2 load heads
 *             C3 armed = level              H3 full barrier
 *             C4 irq_work_queue()           H4 load want_kick
 *
 *  - C2 finds 0: C4 is reached, for nothing from C2 to C4 can fault.  C4 makes the
 *    work pending, or finds it pending; in both cases the handler begins after
 *    C4: irq_work clears "pending" before it calls the handler.
 *  - C2 finds it set.  Then some C3 has stored it after the last H1.
 *     - Its C4 has been done: the work is pending, since if the handler had begun
 *       after that C4, H1 would have cleared armed.  It begins after this C2.
 *     - Its C4 has not been done: we have interrupted it between C3 and C4.  It
 *       goes on when we return, and its C4 is followed by a handler run.
 *  - The handler is itself interrupted (NMI, or on PREEMPT_RT, where the lazy work
 *    is a thread's, anything).  Before H1: H2 is later than the commit.  After H1:
 *    C2 finds 0, the first case.
 *
 * A CPU that is going down runs pending work after it has been marked offline,
 * and asks for none from then on: nothing would run it.  What it commits after
 * that is looked at when it is dead (ddebug_kick_dead()); what it commits while
 * it comes up, before it is online, when it is (ddebug_kick_online()).
 *
 * The device, for its part, stores want_kick, then looks at head again before it
 * sleeps.  kick:A pairs with device:C: of "head, barrier, want_kick" here and
 * "want_kick, barrier, head" there, at least one load sees the other's store.
 * The heads are loaded before the barrier, since a head that was looked at is not
 * looked at again: one that an NMI stores between H3 and H4 has no barrier behind
 * it yet, and is left to the run of the handler that this NMI has asked for.
 *
 * Readers of trace_pipe are told in the same way, behind the same barrier: see
 * ddebug_pipe.c.
 */
#include <linux/cpu.h>
#include <linux/hardirq.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include "ddebug_kick.h"
#include "ddebug_transport.h"

/* Messages that come after at least this long count as the first ones. */
#define DDEBUG_QUIET_NS		(10 * NSEC_PER_MSEC)

DEFINE_PER_CPU(struct ddebug_cpu, ddebug_cpu);

/*
 * What a reader in the guest wants called after each commit: ddebug_kick_listen().  While
 * it is set the handler runs as it does with a transport.
 */
static void (*ddebug_listener)(void);

/* Has a stream of @c before @i been notified that shares a queue with it? */
static bool ddebug_kick_was_notified(const struct ddebug_cpu *c, unsigned long notified, u8 i)
{
	u8 k;

	for (k = 0; k < i; k++)
		if (notified & BIT(k) && c->ring[k]->stream.queue == c->ring[i]->stream.queue)
			return true;
	return false;
}

/* Which streams have a head that was not looked at yet. */
static unsigned long ddebug_kick_scan(struct ddebug_cpu *c)
{
	unsigned long pending = 0;
	u8 i;

	for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
		struct ddebug_ring *r = c->ring[i];
		u64 head;

		if (!r || !READ_ONCE(r->stream.posted))
			continue;
		head = le64_to_cpu(READ_ONCE(r->hdr->head));
		if (head == r->seen)
			continue;
		r->seen = head;
		pending |= BIT(i);
	}
	return pending;
}

/* Tell the device of @pending, where it wants to be told. */
static void ddebug_kick_notify(struct ddebug_cpu *c, struct ddebug_transport *t, unsigned long pending)
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
 * Nobody else looks at the streams of @c.  Where the listener is found NULL, the commit came
 * before the interrupt of ddebug_kick_listen(), so who listens sees it.
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
		/* kick:A pairs with device:C and pipe:C: head before want_kick, and who waits */
		virt_mb();
		if (t)
			ddebug_kick_notify(c, t, pending);
		if (listener)
			listener();
		barrier();
		WRITE_ONCE(c->own_level, level);
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
 * An NMI may come while the idle loop decides to stop the tick, behind its look for
 * lazy work: that would then wait for the next interrupt, whenever that comes.
 */
static bool ddebug_tick_may_stop(u8 context)
{
	return context == VIRTIO_DDEBUG_CTX_NMI && is_idle_task(current);
}

/* ddebug_kick(), where no work of this CPU is sure to run that is good enough. */
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

/* As if a message had come.  Interrupts are off. */
static void ddebug_work_anyway(void *unused)
{
	struct ddebug_ring *r = this_cpu_ptr(&ddebug_cpu)->ring[VIRTIO_DDEBUG_CTX_TASK];

	if (r)
		r->seen = U64_MAX;
	ddebug_work_here(NULL);
}

/* Messages may come from now on: the device, if it sleeps, learns of it. */
void ddebug_kick_active(void)
{
	smp_call_function_single(get_cpu(), ddebug_work_anyway, NULL, 1);
	put_cpu();
}

/* This CPU has just come online. */
void ddebug_kick_online(void)
{
	struct ddebug_cpu *c = get_cpu_ptr(&ddebug_cpu);

	if (rcu_access_pointer(ddebug_attached) || READ_ONCE(ddebug_listener))
		irq_work_queue(&c->now);
	put_cpu_ptr(&ddebug_cpu);
}

/* @cpu is dead; it comes up only when this has returned. */
void ddebug_kick_dead(unsigned int cpu)
{
	ddebug_work(per_cpu_ptr(&ddebug_cpu, cpu));
}

/**
 * ddebug_kick_dying() - the device is to look now, for it is the last time
 * @r: the stream that has something to tell
 *
 * Whether it wants to be kicked does not matter: a notification too many is none
 * for a kernel that dies.
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
	if (t && READ_ONCE(r->stream.posted))
		t->ops->notify(t, &r->stream);
	rcu_read_unlock();
}

/**
 * ddebug_work_on() - a CPU's handler looks at its streams
 * @cpu: which; one that is offline has nothing to look at
 *
 * Context: Process, with the CPU hotplug lock.  Sleeps.
 */
void ddebug_work_on(unsigned int cpu)
{
	if (cpu_online(cpu))
		smp_call_function_single(cpu, ddebug_work_here, NULL, 1);
}

/**
 * ddebug_work_all() - the handler of each CPU that is online runs once
 *
 * Context: Process.  Sleeps.
 */
void ddebug_work_all(void)
{
	on_each_cpu(ddebug_work_here, NULL, 1);
}

/**
 * ddebug_kick_listen() - set what a reader in the guest wants called after commits
 * @listener: called by the handler after each commit from now on, behind kick:A, in hard
 *	interrupt or in process context with preemption off; NULL: nothing
 *
 * Who looks at the streams afterwards has seen all commits that asked for no work:
 * each CPU has passed an interrupt between such a commit and that look.
 *
 * Context: Process, one task at a time.  Sleeps; takes the CPU hotplug lock, so that
 * a CPU that comes up is either interrupted here or finds the word set.
 */
void ddebug_kick_listen(void (*listener)(void))
{
	cpus_read_lock();
	WRITE_ONCE(ddebug_listener, listener);
	if (listener)
		ddebug_work_all();
	cpus_read_unlock();
}

void ddebug_kick_init(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct ddebug_cpu *c = per_cpu_ptr(&ddebug_cpu, cpu);

		c->now = IRQ_WORK_INIT_HARD(ddebug_work_now);
		c->lazy = __IRQ_WORK_INIT(ddebug_work_lazy, IRQ_WORK_HARD_IRQ | IRQ_WORK_LAZY);
	}
}

/* Nobody asks for work any more; what is asked for is done. */
void ddebug_kick_exit(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		irq_work_sync(&per_cpu_ptr(&ddebug_cpu, cpu)->now);
		irq_work_sync(&per_cpu_ptr(&ddebug_cpu, cpu)->lazy);
	}
}
