// SPDX-License-Identifier: GPL-2.0
/*
 * The attached transport, if any: its lock, its own work, posting streams to it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include "ddebug_transport.h"

/*
 * Serialises attach, detach, and the operations of the transport that run in process
 * context.  Held while the host is waited for: ddebug_ring_swap.c has the order of locks.
 */
static DEFINE_MUTEX(ddebug_transport_mutex);
struct ddebug_transport __rcu *ddebug_attached;

struct task_struct *ddebug_own_task;
u64 ddebug_own_start;
unsigned long ddebug_own_dropped;

/**
 * ddebug_own_disown() - this task does not finish its work, should it have any
 *
 * Context: Task level, with preemption off.
 */
void ddebug_own_disown(void)
{
	if (READ_ONCE(ddebug_own_task) == current)
		WRITE_ONCE(ddebug_own_task, NULL);
}

/**
 * ddebug_transport_lock() - keep the transport from being attached or detached
 *
 * Context: Process.  Sleeps.
 * Return: The attached transport, or NULL.
 */
struct ddebug_transport *ddebug_transport_lock(void)
{
	mutex_lock(&ddebug_transport_mutex);
	return rcu_dereference_protected(ddebug_attached,
					 lockdep_is_held(&ddebug_transport_mutex));
}

/**
 * ddebug_transport_unlock() - end of ddebug_transport_lock()
 *
 * Context: Process.
 */
void ddebug_transport_unlock(void)
{
	mutex_unlock(&ddebug_transport_mutex);
}

/**
 * ddebug_post_stream() - give a stream to the transport, if there is one
 * @t: of ddebug_transport_lock(), or one that is being attached; NULL: none
 * @s: the stream
 *
 * Context: Process, with ddebug_transport_lock().  Sleeps.
 * Return: 0 or -errno.  It is not an error if the device accepts no such stream.
 */
int ddebug_post_stream(struct ddebug_transport *t, struct ddebug_stream *s)
{
	int err;

	if (!t || s->posted)
		return 0;
	err = t->ops->post(t, s);
	if (err == -ERANGE) {
		pr_warn_once("the device accepts no rings of CPU %u and up: their messages stay in the guest\n",
			     s->id / VIRTIO_DDEBUG_NR_CTX);
		return 0;
	}
	/* pairs with the kick handler's loads: what @post has set, @s->queue, comes first */
	if (!err)
		smp_store_release(&s->posted, true);
	return err;
}

/**
 * ddebug_retire_stream() - take a stream back from the transport
 * @t: of ddebug_transport_lock()
 * @s: a stream whose ring has no writer any more
 *
 * Context: Process, with ddebug_transport_lock().  Sleeps.
 * Return: 0: it is ours; or -errno: the device has it until it is reset.
 */
int ddebug_retire_stream(struct ddebug_transport *t, struct ddebug_stream *s)
{
	int err;

	if (!s->posted)
		return 0;
	if (!t)
		return -ENODEV;
	err = t->ops->retire(t, s);
	if (!err)
		WRITE_ONCE(s->posted, false);
	return err;
}
