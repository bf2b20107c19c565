// SPDX-License-Identifier: GPL-2.0
/*
 * The transport that is attached, if one is, and what is asked of it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include "ddebug_transport.h"

/*
 * Serialises attach, detach, and what is asked of the transport in process
 * context.  Taken inside ddebug_lock and inside the CPU hotplug lock, so neither
 * may be taken inside it.
 */
static DEFINE_MUTEX(ddebug_transport_mutex);
struct ddebug_transport __rcu *ddebug_attached;

struct task_struct *ddebug_own_task;
u64 ddebug_own_start;

/**
 * ddebug_own_begin() - what this task logs from now on is the transport's own
 *
 * Such messages are counted and dropped: the transport would record its own
 * work.  One task at a time; the caller sees to that.
 *
 * Context: Process.
 */
void ddebug_own_begin(void)
{
	ddebug_own_start = current->start_time;
	WRITE_ONCE(ddebug_own_task, current);
	barrier();	/* this task alone asks who it is */
}
EXPORT_SYMBOL_GPL(ddebug_own_begin);

/**
 * ddebug_own_end() - end of ddebug_own_begin()
 *
 * Context: Process.
 */
void ddebug_own_end(void)
{
	barrier();
	WRITE_ONCE(ddebug_own_task, NULL);
}
EXPORT_SYMBOL_GPL(ddebug_own_end);

/**
 * ddebug_own_disown() - this task does not come to the end of its work
 *
 * Context: Task level, with preemption off.
 */
void ddebug_own_disown(void)
{
	if (READ_ONCE(ddebug_own_task) == current)
		WRITE_ONCE(ddebug_own_task, NULL);
}

/* Returns the transport, which stays until the unlock, or NULL. */
struct ddebug_transport *ddebug_transport_lock(void)
{
	mutex_lock(&ddebug_transport_mutex);
	return rcu_dereference_protected(ddebug_attached,
					 lockdep_is_held(&ddebug_transport_mutex));
}

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
 * Return: 0 or -errno.  A stream that the host does not take is no error.
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
	if (!err)
		WRITE_ONCE(s->posted, true);
	return err;
}

/**
 * ddebug_retire_stream() - take a stream back from the transport
 * @t: of ddebug_transport_lock()
 * @s: a stream whose ring nobody writes to any more
 *
 * Context: Process, with ddebug_transport_lock().  Sleeps.
 * Return: 0: it is ours; or -errno: it is the device's until that is reset.
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
