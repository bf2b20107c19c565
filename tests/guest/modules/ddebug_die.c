// SPDX-License-Identifier: GPL-2.0
/*
 * Test module: ways to die, on request, while all CPUs log numbered messages; and a
 * record (the witness) of the last of them, which is read from the guest's memory
 * afterwards.
 *
 * Write to <debugfs>/ddebug_die/run one of
 *
 *   log            starts logging, as fast as possible; can be followed by the others
 *   log-slowly     the same with a pause of a millisecond after each message
 *   panic-task     a panic of a task, a hard interrupt, an NMI
 *   panic-hardirq
 *   panic-nmi
 *   triple-fault   the machine is reset, and the kernel logs nothing
 *   hang           every CPU spins with interrupts off, forever
 *   hang-telling   the same, after a second of silence, and the last messages come with
 *                  interrupts off: the device is asleep, and cannot be notified of them
 *   oops           a task is killed, the kernel continues
 *   tell-shutdown  from now on a message is made when this module's device is shut down,
 *                  and another one after all devices, by the core
 *
 * Each CPU's thread makes "ddebug_die: c<cpu> n<number> of a load" messages, numbered from
 * 0.  After each one its number + 1 and the time are stored in the witness: a page of
 * memory that starts with three words by which it can be found in a dump.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/cpu.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/panic.h>
#include <linux/platform_device.h>
#include <linux/preempt.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/syscore_ops.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#ifdef CONFIG_X86
#include <asm/apic.h>
#include <asm/desc.h>
#include <asm/nmi.h>
#endif

#define REQUEST_MAX	32
#define CPUS_MAX	64

/* Messages that a thread makes before it lets others run. */
#define BATCH		64

/* Messages that a thread makes when it knows that they are the last. */
#define LAST_WORDS	8

/*
 * The device goes to sleep 47 ms after the last message (the sum of backoff_ms in
 * qemu-device/ddebug-drain.c), until a second is over.  The threads rest for longer
 * than that, so that it sleeps, and for a random time more, so that they hit any
 * point of its second.
 */
#define REST_MS_MIN	200
#define REST_MS_RANDOM	1000

/*
 * @one is random, @two its complement, @three differs from it by WITNESS: no file
 * and no code has these three in a row.
 */
#define WITNESS		0x7769746e65737321ull

struct die_witness {
	u64 one;
	u64 two;
	u64 three;
	u64 made;		/* ns since 1970: the newest counts */
	u64 nr_cpus;
	u64 next[CPUS_MAX];	/* of each CPU */
	u64 when[CPUS_MAX];	/* ns of local_clock(): next was stored */
	u64 hung[CPUS_MAX];	/* 1: it spins forever */
};

static DEFINE_MUTEX(die_lock);
static struct dentry *dir;
static struct die_witness *witness;
static struct task_struct *threads[CPUS_MAX];

/* What the threads do; numbering continues when it changes. */
enum die_load {
	DIE_FLAT_OUT,
	DIE_SLOWLY,
	DIE_REST,
	DIE_TELL,		/* log what is left with interrupts off, and then nothing */
};

static enum die_load load;

/* Threads that have not started their last messages yet. */
static atomic_t to_come;

/*
 * The load
 */

static void die_message(unsigned int cpu, u64 n)
{
	pr_debug("c%u n%llu of a load\n", cpu, n);
	/* compiler only: it is read when this CPU no longer runs */
	barrier();
	WRITE_ONCE(witness->next[cpu], n + 1);
	WRITE_ONCE(witness->when[cpu], local_clock());
}

static void die_spin(void *unused)
{
	local_irq_disable();
	WRITE_ONCE(witness->hung[smp_processor_id()], 1);
	for (;;)
		cpu_relax();
}

/*
 * All CPUs go together.  One that went alone could keep another from following:
 * that one may be waiting, unable to sleep, for the first to answer an IPI (a TLB
 * flush).  Each answers until all have come, and one that has come starts nothing new.
 */
static void die_tell(unsigned int cpu, u64 n)
{
	u64 end = n + LAST_WORDS;

	preempt_disable();
	atomic_dec(&to_come);
	while (atomic_read(&to_come))
		cpu_relax();
	local_irq_disable();
	for (; n < end; n++)
		die_message(cpu, n);
	die_spin(NULL);
}

static int die_thread(void *unused)
{
	unsigned int cpu = smp_processor_id();
	u64 n = witness->next[cpu];

	while (!kthread_should_stop()) {
		switch (READ_ONCE(load)) {
		case DIE_REST:
			usleep_range(1000, 1100);
			break;
		case DIE_TELL:
			die_tell(cpu, n);
			break;
		case DIE_SLOWLY:
			die_message(cpu, n++);
			usleep_range(1000, 1100);
			break;
		case DIE_FLAT_OUT:
			die_message(cpu, n++);
			if (n % BATCH == 0)
				cond_resched_tasks_rcu_qs();
			break;
		}
	}
	return 0;
}

static void die_stop(void)
{
	unsigned int cpu;

	for (cpu = 0; cpu < CPUS_MAX; cpu++) {
		if (threads[cpu])
			kthread_stop(threads[cpu]);
		threads[cpu] = NULL;
	}
}

static int die_log(enum die_load how)
{
	struct task_struct *task;
	unsigned int cpu;
	int rc = 0;

	die_stop();
	atomic_set(&to_come, 0);
	WRITE_ONCE(load, how);
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		if (cpu >= CPUS_MAX)
			break;
		task = kthread_create(die_thread, NULL, "ddebug_die/%u", cpu);
		rc = PTR_ERR_OR_ZERO(task);
		if (rc)
			break;
		kthread_bind(task, cpu);
		threads[cpu] = task;
		atomic_inc(&to_come);
	}
	for (cpu = 0; cpu < CPUS_MAX && !rc; cpu++)
		if (threads[cpu])
			wake_up_process(threads[cpu]);
	cpus_read_unlock();
	if (rc)
		die_stop();
	return rc;
}

static int die_log_flat_out(void)
{
	return die_log(DIE_FLAT_OUT);
}

static int die_log_slowly(void)
{
	return die_log(DIE_SLOWLY);
}

/*
 * Deaths
 */

static void die_in_hardirq(struct irq_work *work)
{
	panic("ddebug_die: in a hard interrupt");
}

static int die_panic_hardirq(void)
{
	static struct irq_work work = IRQ_WORK_INIT_HARD(die_in_hardirq);

	irq_work_queue(&work);
	irq_work_sync(&work);
	return -EIO;
}

static int die_panic_task(void)
{
	panic("ddebug_die: in a task");
}

static int die_hang(void)
{
	on_each_cpu(die_spin, NULL, 0);
	return -EIO;
}

static int die_hang_telling(void)
{
	WRITE_ONCE(load, DIE_REST);
	msleep(REST_MS_MIN + get_random_u32() % REST_MS_RANDOM);
	WRITE_ONCE(load, DIE_TELL);
	return 0;
}

static int die_oops_thread(void *unused)
{
	*(volatile int *)NULL = 0;
	return 0;
}

static int die_oops(void)
{
	return PTR_ERR_OR_ZERO(kthread_run(die_oops_thread, NULL, "ddebug_die/oops"));
}

#ifdef CONFIG_X86

static bool nmi_is_ours;

static int die_nmi(unsigned int type, struct pt_regs *regs)
{
	if (!READ_ONCE(nmi_is_ours))
		return NMI_DONE;
	panic("ddebug_die: in an NMI");
}

static int die_panic_nmi(void)
{
	int rc = register_nmi_handler(NMI_LOCAL, die_nmi, 0, KBUILD_MODNAME);

	if (rc)
		return rc;
	WRITE_ONCE(nmi_is_ours, true);
	apic->send_IPI(get_cpu(), NMI_VECTOR);
	for (;;)
		cpu_relax();
}

/* Without handlers an exception becomes a fault, a double fault, and the end. */
static int die_triple_fault(void)
{
	const struct desc_ptr none = { };

	local_irq_disable();
	asm volatile("lidt %0; int3" : : "m" (none));
	return -EIO;
}

#else

static int die_panic_nmi(void)
{
	return -EOPNOTSUPP;
}

static int die_triple_fault(void)
{
	return -EOPNOTSUPP;
}

#endif

/*
 * Not a death: an orderly shutdown
 */

static bool tells_shutdown;

static int die_tell_shutdown(void)
{
	WRITE_ONCE(tells_shutdown, true);
	return 0;
}

static void die_device_shutdown(struct platform_device *dev)
{
	if (READ_ONCE(tells_shutdown))
		pr_debug("a device is shut down\n");
}

static struct platform_driver die_driver = {
	.driver.name = KBUILD_MODNAME,
	.shutdown = die_device_shutdown,
};

static struct platform_device *die_device;

static void die_core_shutdown(void)
{
	if (READ_ONCE(tells_shutdown))
		pr_debug("the core is shut down\n");
}

static struct syscore_ops die_core = {
	.shutdown = die_core_shutdown,
};

static int die_shutdown_init(void)
{
	int err = platform_driver_register(&die_driver);

	if (err)
		return err;
	die_device = platform_device_register_simple(KBUILD_MODNAME, PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(die_device)) {
		platform_driver_unregister(&die_driver);
		return PTR_ERR(die_device);
	}
	register_syscore_ops(&die_core);
	return 0;
}

static void die_shutdown_exit(void)
{
	unregister_syscore_ops(&die_core);
	platform_device_unregister(die_device);
	platform_driver_unregister(&die_driver);
}

static const struct {
	const char *name;
	int (*carry_out)(void);
} requests[] = {
	{ "log", die_log_flat_out },
	{ "log-slowly", die_log_slowly },
	{ "panic-task", die_panic_task },
	{ "panic-hardirq", die_panic_hardirq },
	{ "panic-nmi", die_panic_nmi },
	{ "triple-fault", die_triple_fault },
	{ "hang", die_hang },
	{ "hang-telling", die_hang_telling },
	{ "oops", die_oops },
	{ "tell-shutdown", die_tell_shutdown },
};

static ssize_t die_write(struct file *file, const char __user *ubuf, size_t len, loff_t *off)
{
	char request[REQUEST_MAX] = "";
	int i, rc = -EINVAL;

	if (len >= sizeof(request))
		return -EINVAL;
	if (copy_from_user(request, ubuf, len))
		return -EFAULT;
	mutex_lock(&die_lock);
	for (i = 0; i < ARRAY_SIZE(requests); i++)
		if (!strcmp(strim(request), requests[i].name))
			rc = requests[i].carry_out();
	mutex_unlock(&die_lock);
	return rc ?: len;
}

static const struct file_operations die_fops = {
	.owner = THIS_MODULE,
	.write = die_write,
	.llseek = noop_llseek,
};

static int __init die_init(void)
{
	int err;

	BUILD_BUG_ON(sizeof(*witness) > PAGE_SIZE);
	witness = (void *)get_zeroed_page(GFP_KERNEL);
	if (!witness)
		return -ENOMEM;
	err = die_shutdown_init();
	if (err) {
		free_page((unsigned long)witness);
		return err;
	}
	witness->one = get_random_u64();
	witness->two = ~witness->one;
	witness->three = witness->one ^ WITNESS;
	witness->made = ktime_get_real_ns();
	witness->nr_cpus = nr_cpu_ids;
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("run", 0200, dir, NULL, &die_fops);
	return 0;
}

static void __exit die_exit(void)
{
	debugfs_remove(dir);
	die_stop();
	die_shutdown_exit();
	free_page((unsigned long)witness);
}

module_init(die_init);
module_exit(die_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Ways to die while debug messages are logged, on request");
