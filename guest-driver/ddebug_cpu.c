// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs that come and go, and operations on the streams of all of them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/export.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/workqueue.h>
#include "ddebug_cpu.h"
#include "ddebug_kick.h"
#include "ddebug_ring.h"
#include "ddebug_ring_mem.h"
#include "ddebug_ring_swap.h"
#include "ddebug_transport.h"

/*
 * May messages come?  The mutex is for streams that are made meanwhile; it is the
 * innermost one.
 */
static DEFINE_MUTEX(ddebug_active_mutex);
static unsigned int ddebug_active;	/* DDEBUG_ACTIVE_* */

static enum cpuhp_state ddebug_prepare_state;
static enum cpuhp_state ddebug_online_state;

static const char * const ddebug_stats_names[VIRTIO_DDEBUG_NR_CTX] = {
	[VIRTIO_DDEBUG_CTX_TASK] = "task",
	[VIRTIO_DDEBUG_CTX_SOFTIRQ] = "softirq",
	[VIRTIO_DDEBUG_CTX_HARDIRQ] = "hardirq",
	[VIRTIO_DDEBUG_CTX_NMI] = "nmi",
};

static void ddebug_cpu_free(struct ddebug_cpu *c)
{
	u8 i;

	for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
		if (c->ring[i])
			ddebug_ring_free(c->ring[i]);
		c->ring[i] = NULL;
	}
}

/**
 * ddebug_cpu_post() - give the streams of a CPU to a transport
 * @t: of ddebug_transport_lock(), or one that is being attached; NULL: none
 * @cpu: the CPU
 *
 * Context: Process, with ddebug_transport_lock().  Sleeps.
 * Return: 0, or what @t->ops->post returned.
 */
int ddebug_cpu_post(struct ddebug_transport *t, unsigned int cpu)
{
	struct ddebug_cpu *c = per_cpu_ptr(&ddebug_cpu, cpu);
	int err = 0;
	u8 i;

	for (i = 0; i < VIRTIO_DDEBUG_NR_CTX && !err; i++) {
		/* pairs with ddebug_cpu_prepare() */
		struct ddebug_ring *r = smp_load_acquire(&c->ring[i]);

		if (r)
			err = ddebug_post_stream(t, &r->stream);
	}
	return err;
}

/*
 * What the transport does not have yet.  Not in ddebug_cpu_prepare(): a host that is
 * waited for must not keep a CPU from coming up.
 */
static void ddebug_cpu_post_all(struct work_struct *work)
{
	struct ddebug_transport *t;
	unsigned int cpu;
	LIST_HEAD(gone);

	ddebug_rings_lock();
	t = ddebug_transport_lock();
	for_each_possible_cpu(cpu) {
		int err = ddebug_cpu_post(t, cpu);

		if (err)
			pr_warn("cannot pass the rings of CPU %u to the host: error %d\n", cpu, err);
	}
	if (t)
		ddebug_rings_share(t, &gone);
	ddebug_transport_unlock();
	/* before the transport can go */
	ddebug_rings_free_gone(&gone);
	ddebug_rings_unlock();
	/* a commit before ->posted sent no notification */
	ddebug_work_all();
}

static DECLARE_WORK(ddebug_cpu_post_work, ddebug_cpu_post_all);

/**
 * ddebug_cpu_post_soon() - give the transport, if there is one, the streams it does not have
 *
 * Context: Any but NMI.
 */
void ddebug_cpu_post_soon(void)
{
	queue_work(system_unbound_wq, &ddebug_cpu_post_work);
}

/*
 * Make the streams of @cpu, which is coming up, or is up when the module is loaded.
 * A lack of memory must not keep a CPU offline: its messages are counted as lost.
 */
static int ddebug_cpu_prepare(unsigned int cpu)
{
	struct ddebug_cpu *c = per_cpu_ptr(&ddebug_cpu, cpu);
	u8 i;

	if (c->made)
		return 0;
	c->made = true;
	for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
		struct ddebug_ring *r = ddebug_ring_new(cpu, i, NULL);

		if (!r) {
			pr_warn("no memory for the rings of CPU %u: its messages will be lost; try a smaller rb_size_kb\n",
				cpu);
			break;
		}
		/* no writer yet: that CPU is not up, or the hook not started */
		mutex_lock(&ddebug_active_mutex);
		r->hdr->active = cpu_to_le32(!!ddebug_active);
		/*
		 * complete when found: pairs with ddebug_cpu_post(), ddebug_view_ring() and
		 * ddebug_cpu_stats()
		 */
		smp_store_release(&c->ring[i], r);
		mutex_unlock(&ddebug_active_mutex);
	}
	ddebug_cpu_post_soon();
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
 * ddebug_cpu_set_active() - tell the host whether messages may come
 * @why: DDEBUG_ACTIVE_*: the source that @active applies to
 * @active: it writes to the streams
 *
 * While any source is active, the host polls the streams now and then without being
 * kicked, so that it finds the last words of a guest that cannot kick any more.
 *
 * Context: Process.  Sleeps.
 */
void ddebug_cpu_set_active(unsigned int why, bool active)
{
	unsigned int cpu, was;
	u8 i;

	/* a ring that replaces another one takes over its ->active */
	ddebug_swap_lock();
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
	ddebug_swap_unlock();
	/* it may be asleep, and the first message may be the last */
	if (active && !was)
		ddebug_kick_active();
}

/**
 * ddebug_cpu_progress() - find out how far the host has read
 * @consumed: set to the sum of the positions up to which it has read the streams it has
 *
 * Context: Any.
 * Return: Whether there is something that it has not read.
 */
bool ddebug_cpu_progress(u64 *consumed)
{
	bool unread = false;
	unsigned int cpu;
	u8 i;

	*consumed = 0;
	rcu_read_lock();
	for_each_possible_cpu(cpu) {
		for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
			struct ddebug_ring *r = READ_ONCE(per_cpu(ddebug_cpu, cpu).ring[i]);
			u64 at;

			if (!r || !READ_ONCE(r->stream.posted))
				continue;
			at = le64_to_cpu(READ_ONCE(r->stream.status->consumed));
			unread |= at < le64_to_cpu(READ_ONCE(r->hdr->head));
			*consumed += at;
		}
	}
	rcu_read_unlock();
	return unread;
}
EXPORT_SYMBOL_GPL(ddebug_cpu_progress);

/**
 * ddebug_cpu_stats() - print the streams' lines of the stats file
 * @m: the file
 */
void ddebug_cpu_stats(struct seq_file *m)
{
	unsigned int cpu, streams = 0, shared = 0;
	u8 i;

	rcu_read_lock();
	for (i = 0; i < VIRTIO_DDEBUG_NR_CTX; i++) {
		u64 committed = 0, bytes = 0, recursed = 0, torn = 0, clamped = 0;
		const char *name = ddebug_stats_names[i];

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
		seq_printf(m, "%s_committed: %llu\n%s_bytes: %llu\n", name, committed, name, bytes);
		seq_printf(m, "%s_recursed: %llu\n%s_torn: %llu\n%s_clamped: %llu\n",
			   name, recursed, name, torn, name, clamped);
	}
	rcu_read_unlock();
	seq_printf(m, "streams: %u\nshared: %u\nrb_size_kb: %u\n", streams, shared,
		   ddebug_ring_size_kb());
}

/**
 * ddebug_cpu_nostream() - count the messages that had no stream
 *
 * Return: how many there were so far, of all CPUs.
 */
unsigned long ddebug_cpu_nostream(void)
{
	unsigned long n = 0;
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		n += READ_ONCE(per_cpu(ddebug_cpu, cpu).nostream);
	return n;
}

/**
 * struct ddebug_loss - argument of ddebug_cpu_report_here()
 * @nostream: messages that had no stream
 * @missed: calls that did not reach us
 * @grown: they have grown since they were last recorded
 * @done: they are recorded
 */
struct ddebug_loss {
	unsigned long nostream;
	unsigned long missed;
	bool grown;
	bool done;
};

static void ddebug_cpu_report_here(void *data)
{
	struct ddebug_loss *loss = data;

	loss->done = ddebug_ring_loss(loss->nostream, loss->missed, loss->grown);
}

/**
 * ddebug_cpu_report() - record what could not be recorded
 * @missed: calls of print functions that did not reach us, so far; only grows
 *
 * In a stream of the first CPU that has one.  Does nothing before the first loss.
 *
 * Context: Process.  Sleeps; takes the CPU hotplug lock.
 */
void ddebug_cpu_report(unsigned long missed)
{
	static unsigned long nostream_told, missed_told;
	static DEFINE_MUTEX(lock);
	struct ddebug_loss loss;
	unsigned int cpu;

	mutex_lock(&lock);
	/* @missed was read before the lock was taken */
	loss = (struct ddebug_loss){
		.nostream = ddebug_cpu_nostream(), .missed = max(missed, missed_told),
	};
	loss.grown = loss.nostream != nostream_told || loss.missed != missed_told;
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		if (!loss.nostream && !loss.missed)
			break;
		smp_call_function_single(cpu, ddebug_cpu_report_here, &loss, 1);
		if (loss.done)
			break;
	}
	cpus_read_unlock();
	if (loss.done) {
		nostream_told = loss.nostream;
		missed_told = loss.missed;
	}
	mutex_unlock(&lock);
}

/**
 * ddebug_cpu_init() - make the streams of the online CPUs
 *
 * Return: 0 or -errno.  A CPU without memory for its streams is not an error.
 */
int __init ddebug_cpu_init(void)
{
	unsigned int cpu;
	int err;

	err = ddebug_ring_check_param();
	if (err)
		return err;
	ddebug_kick_init(ddebug_ring_drop);
	err = cpuhp_setup_state(CPUHP_BP_PREPARE_DYN, "ddebug_rb:prepare",
				ddebug_cpu_prepare, ddebug_cpu_dead);
	if (err < 0)
		return err;
	ddebug_prepare_state = err;
	err = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "ddebug_rb:online",
					ddebug_cpu_online, NULL);
	if (err < 0) {
		cpuhp_remove_state_nocalls(ddebug_prepare_state);
		cancel_work_sync(&ddebug_cpu_post_work);
		for_each_possible_cpu(cpu)
			ddebug_cpu_free(per_cpu_ptr(&ddebug_cpu, cpu));
		return err;
	}
	ddebug_online_state = err;
	return 0;
}

/**
 * ddebug_cpu_exit() - free the streams
 *
 * No producer and no transport may be left.
 */
void ddebug_cpu_exit(void)
{
	unsigned int cpu;

	cpuhp_remove_state_nocalls(ddebug_online_state);
	cpuhp_remove_state_nocalls(ddebug_prepare_state);
	cancel_work_sync(&ddebug_cpu_post_work);
	ddebug_kick_exit();
	for_each_possible_cpu(cpu)
		ddebug_cpu_free(per_cpu_ptr(&ddebug_cpu, cpu));
}
