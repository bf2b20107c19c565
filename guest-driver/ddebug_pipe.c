// SPDX-License-Identifier: GPL-2.0
/*
 * <debugfs>/dynamic_debug/trace_pipe: shows messages and consumes them.
 *
 * What is consumed
 * ----------------
 * All readers share one view of what has not been consumed (consumed): each message
 * is taken by one of them.  It belongs to the guest; the host's device has positions
 * of its own and is not affected.  The file trace also starts at this view, and
 * clearing moves it to what is committed now.
 *
 * A reader takes one message at a time with consumed_mutex held, which covers copying
 * it out of its ring and nothing else: no formatting, user memory, or waiting.  The
 * text goes to a buffer of the open file, from where it is read in pieces of any size;
 * what user memory does not take stays there.
 *
 * Waiting
 * -------
 * No producer wakes anybody.  While the file is open somewhere, the handler that
 * follows each commit (ddebug_kick.c) checks for waiters, and leaves waking them to
 * an irq_work of its own, since the handler is a hard interrupt even where wait
 * queues sleep (PREEMPT_RT).
 *
 *   commit, handler                        reader
 *     store head                             enter the wait queue
 *     kick:A, virt_mb()                      pipe:C, full barrier
 *     load wait queue: any waiter?           load heads: anything new?
 *
 * pairs with: kick:A / pipe:C.  At least one of the loads sees the other's store: a
 * reader does not sleep through a message.  For read(), pipe:C is the barrier of
 * set_current_state(), which wait_event_interruptible() executes after entering the
 * wait queue; for poll() it is explicit.  Before it reads, a reader has opened the file,
 * which makes all handlers follow their commits (ddebug_kick_listen()).
 * tests/litmus/pipe.pml is the pair.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/irq_work.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include "ddebug_compat.h"
#include "ddebug_kick.h"
#include "ddebug_line.h"
#include "ddebug_pipe.h"
#include "ddebug_view.h"

/* The view of what was not consumed; the mutex protects moving and copying it. */
static DEFINE_MUTEX(consumed_mutex);
static struct ddebug_view *consumed;

/* How many times the file is open. */
static DEFINE_MUTEX(readers_mutex);
static unsigned int readers;

static DECLARE_WAIT_QUEUE_HEAD(waiting);

/**
 * struct ddebug_pipe - an open file
 * @lock: protects the rest.  Not held while waiting
 * @at: bytes of @buf that were read
 * @len: bytes of @buf
 * @message: the last one taken
 * @buf: its lines
 */
struct ddebug_pipe {
	struct mutex lock;	/* one reader of this file at a time */
	size_t at;
	size_t len;
	struct ddebug_message message;
	char buf[DDEBUG_LINES_MAX];
};

static void ddebug_pipe_wake(struct irq_work *work)
{
	wake_up_interruptible_poll(&waiting, EPOLLIN | EPOLLRDNORM);
}

static struct irq_work wake_work = IRQ_WORK_INIT(ddebug_pipe_wake);

/**
 * ddebug_pipe_committed() - wake readers that wait for a commit
 *
 * Context: Hard interrupt, or process with preemption off; after kick:A.
 */
static void ddebug_pipe_committed(void)
{
	/*
	 * After the barrier that it needs, kick:A.  A CPU that goes offline may not get to
	 * do the work any more; ddebug_kick_dead() does it instead.
	 */
	if (waitqueue_active(&waiting) && cpu_online(raw_smp_processor_id()))
		irq_work_queue(&wake_work);
}

/**
 * ddebug_pipe_copy() - start where the consumers are
 * @v: a view; set to what is there now and was not consumed
 *
 * Context: Process.  Sleeps.
 */
void ddebug_pipe_copy(struct ddebug_view *v)
{
	mutex_lock(&consumed_mutex);
	ddebug_view_copy(v, consumed);
	mutex_unlock(&consumed_mutex);
	ddebug_view_to_now(v);
}

/**
 * ddebug_pipe_clear() - consume what is there now
 *
 * Context: Process.  Sleeps.
 */
void ddebug_pipe_clear(void)
{
	mutex_lock(&consumed_mutex);
	ddebug_view_skip(consumed);
	mutex_unlock(&consumed_mutex);
}

/* Take the next message; return 1, 0 if there is none, or -ERESTARTSYS. */
static int ddebug_pipe_take(struct ddebug_message *m)
{
	int got;

	if (mutex_lock_interruptible(&consumed_mutex))
		return -ERESTARTSYS;
	got = ddebug_view_next(consumed, m);
	if (!got) {
		ddebug_view_to_now(consumed);
		got = ddebug_view_next(consumed, m);
	}
	mutex_unlock(&consumed_mutex);
	return got;
}

/* Return the bytes of messages copied; 0 if there are none; or -errno. */
static ssize_t ddebug_pipe_some(struct ddebug_pipe *p, struct iov_iter *to)
{
	size_t done = 0;
	int got = 1;

	while (iov_iter_count(to)) {
		size_t n;

		if (p->at == p->len) {
			got = signal_pending(current) && done ? 0 : ddebug_pipe_take(&p->message);
			if (got <= 0)
				break;
			p->len = ddebug_lines(p->buf, &p->message);
			p->at = 0;
			cond_resched();
		}
		n = copy_to_iter(p->buf + p->at, p->len - p->at, to);
		p->at += n;
		done += n;
		if (p->at < p->len && iov_iter_count(to)) {
			got = -EFAULT;
			break;
		}
	}
	return done ? done : got;
}

/* What one reader of a file leaves of a message is there for other readers of that file. */
static bool ddebug_pipe_is_rest(const struct ddebug_pipe *p)
{
	/* racy read: rechecked under the lock, or the reader is woken */
	return data_race(READ_ONCE(p->at) != READ_ONCE(p->len));
}

static bool ddebug_pipe_is_pending(const struct ddebug_pipe *p)
{
	return ddebug_pipe_is_rest(p) || ddebug_view_is_behind(consumed);
}

static ssize_t ddebug_pipe_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *file = iocb->ki_filp;
	struct ddebug_pipe *p = file->private_data;
	ssize_t got;

	if (!iov_iter_count(to))
		return 0;
	for (;;) {
		if (mutex_lock_interruptible(&p->lock))
			return -ERESTARTSYS;
		got = ddebug_pipe_some(p, to);
		mutex_unlock(&p->lock);
		if (got) {
			if (ddebug_pipe_is_rest(p) && wq_has_sleeper(&waiting))
				wake_up_interruptible_poll(&waiting, EPOLLIN | EPOLLRDNORM);
			return got;
		}
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		/* pipe:C pairs with kick:A: wait queue before heads */
		got = wait_event_interruptible(waiting, ddebug_pipe_is_pending(p));
		if (got)
			return got;
	}
}

/* SPLICE_F_NONBLOCK is for both ends. */
static ssize_t ddebug_pipe_splice_read(struct file *file, loff_t *pos, struct pipe_inode_info *pipe,
				       size_t len, unsigned int flags)
{
	if ((flags & SPLICE_F_NONBLOCK) && !ddebug_pipe_is_pending(file->private_data))
		return -EAGAIN;
	return copy_splice_read(file, pos, pipe, len, flags);
}

static __poll_t ddebug_pipe_poll(struct file *file, struct poll_table_struct *wait)
{
	const struct ddebug_pipe *p = file->private_data;

	poll_wait(file, &waiting, wait);
	/* pipe:C pairs with kick:A: wait queue before heads */
	smp_mb();
	return ddebug_pipe_is_pending(p) ? EPOLLIN | EPOLLRDNORM : 0;
}

static int ddebug_pipe_open(struct inode *inode, struct file *file)
{
	struct ddebug_pipe *p;

	if (!(file->f_mode & FMODE_READ))
		return -EINVAL;
	p = kvzalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	mutex_init(&p->lock);
	file->private_data = p;
	mutex_lock(&readers_mutex);
	if (!readers++)
		ddebug_kick_listen(ddebug_pipe_committed);
	mutex_unlock(&readers_mutex);
	return stream_open(inode, file);
}

static int ddebug_pipe_release(struct inode *inode, struct file *file)
{
	mutex_lock(&readers_mutex);
	if (!--readers)
		ddebug_kick_listen(NULL);
	mutex_unlock(&readers_mutex);
	kvfree(file->private_data);
	return 0;
}

const struct file_operations ddebug_pipe_fops = {
	.owner = THIS_MODULE,
	.open = ddebug_pipe_open,
	.read_iter = ddebug_pipe_read_iter,
	.splice_read = ddebug_pipe_splice_read,
	.poll = ddebug_pipe_poll,
	.release = ddebug_pipe_release,
};

/**
 * ddebug_pipe_init() - make the view of what was not consumed
 *
 * Context: Process.  Sleeps.
 * Return: 0 or -ENOMEM.
 */
int __init ddebug_pipe_init(void)
{
	consumed = ddebug_view_new();
	return consumed ? 0 : -ENOMEM;
}

/**
 * ddebug_pipe_exit() - free the view
 *
 * Context: Process.  The files are gone, and no CPU runs the handler any more.  Sleeps.
 */
void ddebug_pipe_exit(void)
{
	irq_work_sync(&wake_work);
	ddebug_view_free(consumed);
}
