// SPDX-License-Identifier: GPL-2.0
/*
 * Test module: CPUs that the driver has to wait for.
 *
 * <debugfs>/ddebug_busy/run takes one of
 *
 *   idle    for five seconds CPU 1's idle task stays where RCU does not watch it, and logs
 *           "idle <number>", from 0, a millisecond apart
 *   spin    a SCHED_FIFO task takes CPU 1 and does not give it up
 *   leave   end of that
 *
 * The parameter inside is Y while CPU 1 is in there, and said counts the messages.  A task
 * that may run on CPU 1 waits until then: boot with isolcpus=1.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpuidle.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dynamic_debug.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#define BUSY_CPU	1
#define REQUEST_MAX	16

static DEFINE_MUTEX(busy_lock);
static struct dentry *dir;
static struct task_struct *spinner;
static bool wanted;		/* CPU 1's idle task is to stay once */

static bool inside;
module_param(inside, bool, 0444);
static unsigned int said;
module_param(said, uint, 0444);

/*
 * idle: as a driver whose state takes long, with interrupts on
 */

static int busy_enter(struct cpuidle_device *dev, struct cpuidle_driver *drv, int index)
{
	if (dev->cpu == BUSY_CPU && READ_ONCE(wanted)) {
		const u64 end = local_clock() + 5 * NSEC_PER_SEC;
		u64 next = local_clock();

		WRITE_ONCE(wanted, false);
		WRITE_ONCE(inside, true);
		raw_local_irq_enable();
		while (next < end) {
			pr_debug("idle %u\n", said++);
			next += NSEC_PER_MSEC;
			while (local_clock() < next)
				cpu_relax();
		}
		raw_local_irq_disable();
		WRITE_ONCE(inside, false);
	} else {
		raw_safe_halt();
		raw_local_irq_disable();
	}
	return index;
}

static void busy_nothing(void *unused)
{
}

static struct cpuidle_driver busy_driver = {
	.name = KBUILD_MODNAME,
	.owner = THIS_MODULE,
	.states[0] = {
		.enter = busy_enter,
		.exit_latency = 1,
		.target_residency = 1,
		.name = "busy",
		.desc = "halts",
	},
	.state_count = 1,
};

/*
 * spin
 */

static int busy_spin(void *unused)
{
	sched_set_fifo(current);
	WRITE_ONCE(inside, true);
	while (!kthread_should_stop()) {
		cpu_relax();
		/* as a task that schedules, and is always the next one */
		cond_resched_tasks_rcu_qs();
	}
	WRITE_ONCE(inside, false);
	return 0;
}

static void busy_leave(void)
{
	if (spinner)
		kthread_stop(spinner);
	spinner = NULL;
	while (READ_ONCE(inside))
		msleep(1);
}

static int busy_request(const char *request)
{
	busy_leave();
	if (!strcmp(request, "leave"))
		return 0;
	if (!strcmp(request, "idle")) {
		WRITE_ONCE(wanted, true);
		/* interrupted, it enters anew */
		smp_call_function_single(BUSY_CPU, busy_nothing, NULL, 1);
	} else if (!strcmp(request, "spin")) {
		spinner = kthread_create(busy_spin, NULL, "ddebug_busy");
		if (IS_ERR(spinner)) {
			int err = PTR_ERR(spinner);

			spinner = NULL;
			return err;
		}
		kthread_bind(spinner, BUSY_CPU);
		wake_up_process(spinner);
	} else {
		return -EINVAL;
	}
	while (!READ_ONCE(inside))
		msleep(1);
	return 0;
}

static ssize_t busy_write(struct file *file, const char __user *ubuf, size_t len, loff_t *off)
{
	char request[REQUEST_MAX] = "";
	int rc;

	if (len >= sizeof(request))
		return -EINVAL;
	if (copy_from_user(request, ubuf, len))
		return -EFAULT;
	mutex_lock(&busy_lock);
	rc = busy_request(strim(request));
	mutex_unlock(&busy_lock);
	return rc ?: len;
}

static const struct file_operations busy_fops = {
	.owner = THIS_MODULE,
	.write = busy_write,
	.llseek = noop_llseek,
};

static int __init busy_init(void)
{
	int err = cpuidle_register(&busy_driver, NULL);

	if (err) {
		pr_err("the kernel has another idle driver: error %d\n", err);
		return err;
	}
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("run", 0200, dir, NULL, &busy_fops);
	return 0;
}

static void __exit busy_exit(void)
{
	debugfs_remove(dir);
	busy_leave();
	cpuidle_unregister(&busy_driver);
}

module_init(busy_init);
module_exit(busy_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("CPUs that others wait for, on request");
