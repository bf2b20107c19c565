// SPDX-License-Identifier: GPL-2.0
/*
 * Attaching and detaching a transport: the only file that knows all that goes to a host,
 * the dictionary, the streams and the kernel's log.
 */
#include <linux/cpu.h>
#include <linux/export.h>
#include <linux/list.h>
#include <linux/preempt.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/string.h>
#include "ddebug_attach.h"
#include "ddebug_cpu.h"
#include "ddebug_dict.h"
#include "ddebug_kick.h"
#include "ddebug_kmsg.h"
#include "ddebug_record.h"
#include "ddebug_ring.h"
#include "ddebug_ring_swap.h"

static u64 ddebug_instance;

/**
 * ddebug_rb_instance() - identify this instance of the streams
 *
 * Context: Any.
 * Return: A random number, constant while ddebug_rb is loaded.
 */
u64 ddebug_rb_instance(void)
{
	return ddebug_instance;
}
EXPORT_SYMBOL_GPL(ddebug_rb_instance);

/* Called before any transport can attach. */
void ddebug_attach_init(void)
{
	ddebug_instance = get_random_u64();
}

/**
 * ddebug_transport_attach() - start using a transport
 * @t: the transport, ready to post, announce and notify
 *
 * Announces all callsites and posts all streams.  On failure the streams that were
 * posted still belong to the device: reset it, then call ddebug_stream_returned()
 * for each.
 *
 * Context: Process.  Sleeps.
 * Return: 0; -EBUSY if a transport is already attached; or an error of @t->ops->post.
 */
int ddebug_transport_attach(struct ddebug_transport *t)
{
	struct ddebug_transport *old;
	LIST_HEAD(gone);
	unsigned int cpu;
	int err;

	ddebug_rings_lock();
	old = ddebug_transport_lock();
	err = old ? -EBUSY : 0;
	/* before any stream: it may hold older packed records, which need the dictionary */
	if (!err)
		ddebug_dict_announce_all(t);
	for_each_possible_cpu(cpu) {
		if (err)
			break;
		err = ddebug_cpu_post(t, cpu);
	}
	if (!err)
		ddebug_rings_share(t, &gone);
	/* the streams of a CPU that comes up are posted by work that waits for the locks */
	if (!err)
		rcu_assign_pointer(ddebug_attached, t);
	else if (!old)
		ddebug_dict_unannounce();
	ddebug_transport_unlock();
	ddebug_rings_free_gone(&gone);
	ddebug_rings_unlock();
	if (err)
		return err;

	/*
	 * Commits that did not see the transport queued no work, and the device may have
	 * read before them.  So each CPU runs the handler once.
	 */
	ddebug_work_all();
	ddebug_kmsg_for_host(t->kmsg, t->log_id);
	return 0;
}
EXPORT_SYMBOL_GPL(ddebug_transport_attach);

/**
 * ddebug_transport_detach() - stop using a transport
 * @t: the transport; may be one that failed to attach
 *
 * When this returns, none of @t's operations runs or will be called.  Streams that
 * were posted stay with the device until it is reset.
 *
 * Context: Process.  Sleeps.
 */
void ddebug_transport_detach(struct ddebug_transport *t)
{
	struct ddebug_transport *old;
	LIST_HEAD(gone);

	ddebug_kmsg_for_host(false, 0);
	ddebug_rings_lock();
	old = ddebug_transport_lock();
	if (old == t) {
		RCU_INIT_POINTER(ddebug_attached, NULL);
		ddebug_dict_unannounce();
	}
	ddebug_rings_unshare(t, &gone);
	ddebug_transport_unlock();
	ddebug_rings_unlock();
	/* wait for handlers that have seen it, and for who finds a ring of the device's retired */
	synchronize_rcu();
	ddebug_wait_idle();
	ddebug_rings_free_gone(&gone);
}
EXPORT_SYMBOL_GPL(ddebug_transport_detach);

/**
 * ddebug_stream_returned() - the device no longer has a stream
 * @s: a stream that was posted, of a device that has been reset
 *
 * The next device continues where this one stopped.
 *
 * Context: Process, after ddebug_transport_detach().  Sleeps.
 */
void ddebug_stream_returned(struct ddebug_stream *s)
{
	u64 start, consumed, head;

	ddebug_transport_lock();
	/* it was retired, and the device had not returned it */
	if (ddebug_ring_returned(s))
		goto out;
	start = le64_to_cpu(s->shared->desc.start);
	consumed = le64_to_cpu(READ_ONCE(s->status->consumed));
	/* it stays in use, so it is not in shared memory */
	head = le64_to_cpu(READ_ONCE(s->shared->hdr.head));

	/* reported by the device: ignored if impossible */
	if (consumed >= start && consumed <= head && IS_ALIGNED(consumed, DDEBUG_REC_ALIGN))
		s->shared->desc.start = cpu_to_le64(consumed);
	memset(s->status, 0, sizeof(*s->status));
	s->status->consumed = s->shared->desc.start;
	WRITE_ONCE(s->posted, false);
out:
	ddebug_transport_unlock();
}
EXPORT_SYMBOL_GPL(ddebug_stream_returned);

/**
 * ddebug_stream_retired() - the device has returned a stream, after @ops->retire gave up
 * @s: a stream whose retire failed with -ETIMEDOUT
 *
 * Context: Process, while the transport exists.  Sleeps.
 */
void ddebug_stream_retired(struct ddebug_stream *s)
{
	LIST_HEAD(gone);

	ddebug_transport_lock();
	ddebug_ring_returned_late(s, &gone);
	ddebug_transport_unlock();
	ddebug_rings_free_gone(&gone);
}
EXPORT_SYMBOL_GPL(ddebug_stream_retired);

/**
 * ddebug_transport_answers() - the host answers again, after it did not in time
 *
 * What it was not told, or given, meanwhile it is now, by work.
 *
 * Context: Process.
 */
void ddebug_transport_answers(void)
{
	ddebug_dict_announce_soon();
	ddebug_cpu_post_soon();
}
EXPORT_SYMBOL_GPL(ddebug_transport_answers);

/**
 * ddebug_own_begin() - start of the transport's own work in this task
 *
 * Until ddebug_own_end(), messages of this task are counted and dropped: otherwise
 * the transport would record its own work.  The caller serialises: one task at a time.
 *
 * Context: Process.
 */
void ddebug_own_begin(void)
{
	ddebug_own_start = current->start_time;
	WRITE_ONCE(ddebug_own_task, current);
	barrier();	/* only this task compares it with itself */
}
EXPORT_SYMBOL_GPL(ddebug_own_begin);

/**
 * ddebug_own_end() - end of what ddebug_own_begin() started
 *
 * Tells the host what was dropped.
 *
 * Context: Process.
 */
void ddebug_own_end(void)
{
	barrier();
	WRITE_ONCE(ddebug_own_task, NULL);
	preempt_disable();
	if (ddebug_own_dropped && ddebug_ring_drop(ddebug_own_dropped))
		ddebug_own_dropped = 0;
	preempt_enable();
}
EXPORT_SYMBOL_GPL(ddebug_own_end);
