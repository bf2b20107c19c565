// SPDX-License-Identifier: GPL-2.0
/*
 * Real faults, one of each kind that a debug kernel reports, on request: so that
 * a test knows that it would see the report of one.
 *
 * <debugfs>/ddebug_bug/run takes one of
 *
 *   use-after-free  reads memory that was freed
 *   out-of-bounds   reads behind an array on its stack
 *   leak            loses the last pointer to some memory
 *   circular        takes two locks in one order, then in the other
 *   recursive       takes a lock while it has another one of the same class
 *   inconsistent    takes a lock with interrupts on that a hardirq takes too
 *   sleep           sleeps with preemption off
 *   preemptible     asks for its CPU while it can be moved to another
 *   object          frees a timer that is pending
 *   list            deletes an entry from a list twice
 *   refcount        takes a reference to what has none left
 *   shift           shifts by more than there are bits
 *   warning         a WARN()
 *   race            two threads change a word for a second, without any order
 *   race-interrupt  a hardirq does, of the thread that it interrupts
 *
 * No locking is in order and no memory is safe after that: the guest is done.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/irq_work.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/uaccess.h>

#define REQUEST_MAX	32

static struct dentry *dir;
static unsigned long sink;	/* so that nothing is without use */
static DEFINE_SPINLOCK(lock_a);
static DEFINE_SPINLOCK(lock_b);
static DEFINE_RAW_SPINLOCK(lock_irq);
static unsigned long word;

static void bug_use_after_free(void)
{
	unsigned long *p = kmalloc(64, GFP_KERNEL);

	if (!p)
		return;
	OPTIMIZER_HIDE_VAR(p);
	kfree(p);
	WRITE_ONCE(sink, READ_ONCE(*p));
}

static void bug_out_of_bounds(void)
{
	u8 array[8] = { 1 };
	u8 *p = array;

	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(sink, READ_ONCE(p[ARRAY_SIZE(array)]));
}

static void bug_leak(void)
{
	unsigned long *p = kmalloc(4000, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(sink, !p);
}

static void bug_circular(void)
{
	spin_lock(&lock_a);
	spin_lock(&lock_b);
	spin_unlock(&lock_b);
	spin_unlock(&lock_a);

	spin_lock(&lock_b);
	spin_lock(&lock_a);
	spin_unlock(&lock_a);
	spin_unlock(&lock_b);
}

static void bug_recursive(void)
{
	static struct mutex locks[2];
	int i;

	/* one place that makes them: one class */
	for (i = 0; i < ARRAY_SIZE(locks); i++)
		mutex_init(&locks[i]);
	mutex_lock(&locks[0]);
	mutex_lock(&locks[1]);
	mutex_unlock(&locks[1]);
	mutex_unlock(&locks[0]);
}

static void bug_lock_in_hardirq(struct irq_work *work)
{
	raw_spin_lock(&lock_irq);
	raw_spin_unlock(&lock_irq);
}

static void bug_inconsistent(void)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(bug_lock_in_hardirq);

	irq_work_queue(&work);
	irq_work_sync(&work);
	raw_spin_lock(&lock_irq);
	raw_spin_unlock(&lock_irq);
}

static void bug_sleep(void)
{
	preempt_disable();
	/* asks whether it may, which is enough */
	might_sleep();
	preempt_enable();
}

static void bug_preemptible(void)
{
	WRITE_ONCE(sink, smp_processor_id());
}

static void bug_timer(struct timer_list *timer)
{
}

static void bug_object(void)
{
	struct timer_list *timer = kmalloc(sizeof(*timer), GFP_KERNEL);

	if (!timer)
		return;
	timer_setup(timer, bug_timer, 0);
	mod_timer(timer, jiffies + 100 * HZ);
	kfree(timer);
}

static void bug_list(void)
{
	LIST_HEAD(list);
	struct list_head entry;

	list_add(&entry, &list);
	list_del(&entry);
	list_del(&entry);
}

static void bug_refcount(void)
{
	refcount_t count = REFCOUNT_INIT(0);

	refcount_inc(&count);
}

static void bug_shift(void)
{
	int bits = 8 * sizeof(int);

	OPTIMIZER_HIDE_VAR(bits);
	WRITE_ONCE(sink, 1 << bits);
}

static void bug_warning(void)
{
	WARN(1, "a warning\n");
}

static int bug_racer(void *unused)
{
	while (!kthread_should_stop()) {
		word++;
		cond_resched();
	}
	return 0;
}

static void bug_race(void)
{
	struct task_struct *tasks[2];
	int i;

	for (i = 0; i < ARRAY_SIZE(tasks); i++)
		tasks[i] = kthread_run(bug_racer, NULL, "ddebug_bug/%d", i);
	msleep(1000);
	for (i = 0; i < ARRAY_SIZE(tasks); i++)
		if (!IS_ERR(tasks[i]))
			kthread_stop(tasks[i]);
}

static void bug_race_ipi(void *unused)
{
	word++;
}

static void bug_race_interrupt(void)
{
	unsigned long end = jiffies + HZ;
	unsigned int cpu;
	struct task_struct *task;

	task = kthread_create(bug_racer, NULL, "ddebug_bug/irq");
	if (IS_ERR(task))
		return;
	cpu = cpumask_first(cpu_online_mask);
	kthread_bind(task, cpu);
	wake_up_process(task);
	while (time_before(jiffies, end)) {
		smp_call_function_single(cpu, bug_race_ipi, NULL, 1);
		usleep_range(50, 100);
	}
	kthread_stop(task);
}

static const struct {
	const char *name;
	void (*make)(void);
} bugs[] = {
	{ "use-after-free", bug_use_after_free },
	{ "out-of-bounds", bug_out_of_bounds },
	{ "leak", bug_leak },
	{ "circular", bug_circular },
	{ "recursive", bug_recursive },
	{ "inconsistent", bug_inconsistent },
	{ "sleep", bug_sleep },
	{ "preemptible", bug_preemptible },
	{ "object", bug_object },
	{ "list", bug_list },
	{ "refcount", bug_refcount },
	{ "shift", bug_shift },
	{ "warning", bug_warning },
	{ "race", bug_race },
	{ "race-interrupt", bug_race_interrupt },
};

static ssize_t bug_write(struct file *file, const char __user *ubuf, size_t len,
			 loff_t *off)
{
	char request[REQUEST_MAX] = "";
	int i;

	if (len >= sizeof(request))
		return -EINVAL;
	if (copy_from_user(request, ubuf, len))
		return -EFAULT;
	for (i = 0; i < ARRAY_SIZE(bugs); i++) {
		if (!strcmp(strim(request), bugs[i].name)) {
			bugs[i].make();
			return len;
		}
	}
	return -EINVAL;
}

static const struct file_operations bug_fops = {
	.owner = THIS_MODULE,
	.write = bug_write,
	.llseek = noop_llseek,
};

static int __init bug_init(void)
{
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("run", 0200, dir, NULL, &bug_fops);
	return 0;
}

static void __exit bug_exit(void)
{
	debugfs_remove(dir);
}

module_init(bug_init);
module_exit(bug_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Faults of every kind, on request");
