// SPDX-License-Identifier: GPL-2.0
/*
 * Test module: a load of numbered debug messages of several shapes from every
 * context, on request.  It only uses pr_debug() and its kin, so it makes the same
 * messages for 'p', for 'r' and for both.
 *
 * Files in <debugfs>/ddebug_test/
 * -------------------------------
 * run     write: starts a run, or carries out a command.  -EBUSY during a run,
 *         -EINVAL with an explanation in the log if a word is wrong.
 *
 *           threads=N   1 to 64; default 1
 *           count=N     messages per thread, 1 to 1000000000; default 1000
 *           rate=N      messages per second of all threads together, up to
 *                       1000000000; 0, the default: as fast as possible
 *           context=C   task, softirq, hardirq, nmi (x86), or all in turn;
 *                       default task
 *           target=T    which CPU is interrupted: own, the thread's, between
 *                       two of its messages; or any, all in turn, whatever they
 *                       are doing, including other messages, and then 256 messages
 *                       are made at a time; default own
 *           shape=S     static, int3, str16, str200, mac, dev, netdev, ibdev,
 *                       or mixed: all in turn; default int3
 *
 *         or one of
 *
 *           solitary    one message
 *           classes     one message each of the classes TEST_ONE and TEST_TWO
 *           oops        a thread oopses inside a message, on a wild %s, and
 *                       logs again while it dies
 *           spin        every CPU logs one last message, then spins forever
 *                       with interrupts off
 *
 * status  read: progress of the run; poll: readable when there is none.
 * wait    read: the same, once there is no run any more.
 * stop    write: ends the run; returns when it is over.
 *
 * Messages
 * --------
 * Each contains "ddebug_test: t<thread> n<number> ", and starts with it except
 * for dev, netdev and ibdev, where the kernel puts the device's name first.
 * Numbers are consecutive per thread, from 0 in each run; a thread makes a message
 * after the one before is complete, whatever the contexts.
 *
 * With 'p', the kernel's dev_printk_emit() takes a lock that NMIs may not take.
 * With target=own a thread waits for its NMI with interrupts off, so none comes
 * while this CPU has the lock; target=any does not work with NMIs and 'p'.
 *
 * The commands' threads are 900 for solitary and 902 for classes (their numbers
 * continue from one to the next), 901 for oops (0 before, 1 is the message that is
 * never finished, 2 while dying), and 1000 + CPU for spin.
 *
 * The module's parameter classes sets 'p' as DRM's debug would: bit 0 for
 * TEST_ONE, bit 1 for TEST_TWO.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/dynamic_debug.h>
#include <linux/etherdevice.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/percpu.h>
#include <linux/platform_device.h>
#include <linux/poison.h>
#include <linux/poll.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#ifdef CONFIG_X86
#include <asm/apic.h>
#include <asm/nmi.h>
#endif

#define THREADS_MAX	64
#define COUNT_MAX	1000000000u
#define RATE_MAX	1000000000u

/* Room for any valid request. */
#define REQUEST_MAX	256

#define THREAD_SOLITARY	900
#define THREAD_OOPS	901
#define THREAD_CLASSES	902
#define THREAD_SPIN	1000

/* Messages that a thread makes before it lets others run. */
#define BATCH		64

/*
 * With target=any: messages at a time in one context, more than the ring for NMIs
 * holds, and no work of the CPU can notify the device meanwhile.
 */
#define BURST		256

/* How long an interrupt that we send ourselves may take. */
#define INTERRUPT_TIMEOUT	(5 * NSEC_PER_SEC)

enum test_context {
	CONTEXT_TASK,
	CONTEXT_SOFTIRQ,
	CONTEXT_HARDIRQ,
	CONTEXT_NMI,
	CONTEXT_ALL,
	NR_CONTEXTS = CONTEXT_ALL,
};

static const char * const context_names[] = {
	"task", "softirq", "hardirq", "nmi", "all",
};

enum test_target {
	TARGET_OWN,
	TARGET_ANY,
	NR_TARGETS,
};

static const char * const target_names[] = {
	"own", "any",
};

enum test_shape {
	SHAPE_STATIC,
	SHAPE_INT3,
	SHAPE_STR16,
	SHAPE_STR200,
	SHAPE_MAC,
	SHAPE_DEV,
	SHAPE_NETDEV,
	SHAPE_IBDEV,
	SHAPE_MIXED,
};

/* What mixed mixes: ibdev, the last, only where there is InfiniBand. */
#define NR_SHAPES	(SHAPE_MIXED - !IS_ENABLED(CONFIG_INFINIBAND))

static const char * const shape_names[] = {
	"static", "int3", "str16", "str200", "mac", "dev", "netdev", "ibdev",
	"mixed",
};

/**
 * struct test_params - a run
 * @threads: number of threads
 * @count: messages of each
 * @rate: messages per second of all threads, 0 for no limit
 * @context: where from, enum test_context
 * @target: which CPU is interrupted, enum test_target
 * @shape: which, enum test_shape
 */
struct test_params {
	unsigned int threads;
	unsigned int count;
	unsigned int rate;
	unsigned int context;
	unsigned int target;
	unsigned int shape;
};

/**
 * struct test_thread - a thread that makes messages
 * @task: its task; we hold a reference
 * @nr: its number
 * @next: number of its next message: advances when a message is complete
 * @cpu: with target=any: the CPU that was interrupted last
 * @tasklet: to get into softirq context
 * @irq_work: to get into hardirq context
 * @raise: to have @tasklet run on another CPU
 */
struct test_thread {
	struct task_struct *task;
	unsigned int nr;
	unsigned int next;
	unsigned int cpu;
	struct tasklet_struct tasklet;
	struct irq_work irq_work;
	struct irq_work raise;
};

enum test_state { STATE_IDLE, STATE_RUNNING, STATE_DONE, STATE_STOPPED, STATE_FAILED };

static const char * const state_names[] = {
	"idle", "running", "done", "stopped", "failed",
};

static DEFINE_MUTEX(test_lock);		/* one request at a time */
static DECLARE_WAIT_QUEUE_HEAD(test_wait);
static struct test_params params;	/* of the present or last run */
static struct test_thread *threads;
static unsigned int nr_threads;		/* that were begun */
static atomic_t nr_running;
static bool run_failed;			/* a thread has given up */
static enum test_state state;
static u64 began, ended;		/* ns */

static struct dentry *dir;
static struct platform_device *pdev;
static struct net_device *netdev;
static const char text16[] = "sixteen letters.";
static char text200[201];
static u8 mac[ETH_ALEN] = { 0x02, 0x00, 0x5e, 0x10, 0x20, 0x30 };

/*
 * Making a message
 */

static void test_say_shape(unsigned int t, unsigned int n, unsigned int shape)
{
	switch (shape) {
	case SHAPE_STATIC:
		pr_debug("t%u n%u nothing else to fill in\n", t, n);
		break;
	case SHAPE_INT3:
		pr_debug("t%u n%u urb %d len %d status %d\n", t, n,
			 n & 0xffff, n % 1500, -(int)(n % 133));
		break;
	case SHAPE_STR16:
		pr_debug("t%u n%u name %s\n", t, n, text16);
		break;
	case SHAPE_STR200:
		pr_debug("t%u n%u name %s\n", t, n, text200);
		break;
	case SHAPE_MAC:
		pr_debug("t%u n%u mac %pM\n", t, n, mac);
		break;
	case SHAPE_DEV:
		dev_dbg(&pdev->dev, pr_fmt("t%u n%u of a device\n"), t, n);
		break;
	case SHAPE_NETDEV:
		netdev_dbg(netdev, pr_fmt("t%u n%u of a network device\n"), t, n);
		break;
#if IS_ENABLED(CONFIG_INFINIBAND)
	case SHAPE_IBDEV:
		dynamic_ibdev_dbg((struct ib_device *)NULL,
				  pr_fmt("t%u n%u of an ib device\n"), t, n);
		break;
#endif
	}
}

/* Messages that a CPU is making, one inside the other; and how many started inside. */
static DEFINE_PER_CPU(unsigned int, saying);
static DEFINE_PER_CPU(unsigned long, nested);

/* A task must stay on the CPU whose message it is. */
static void test_say_counted(unsigned int t, unsigned int n, unsigned int shape)
{
	preempt_disable();
	if (this_cpu_inc_return(saying) > 1)
		this_cpu_inc(nested);
	test_say_shape(t, n, shape);
	this_cpu_dec(saying);
	preempt_enable();
}

/* End of the messages of one context that start with @n. */
static unsigned int test_end(unsigned int n)
{
	return params.target == TARGET_ANY ? min(n + BURST, params.count) : n + 1;
}

/* In any context; the thread itself waits for @next to reach the end. */
static void test_say(struct test_thread *t)
{
	unsigned int n = t->next, end = test_end(n);

	for (; n < end; n++) {
		unsigned int shape = params.shape == SHAPE_MIXED ?
				     n % NR_SHAPES : params.shape;

		if (params.target == TARGET_ANY)
			test_say_counted(t->nr, n, shape);
		else
			test_say_shape(t->nr, n, shape);
		/* A: pairs with test_said:B; the message is made before n counts. */
		smp_store_release(&t->next, n + 1);
	}
}

static bool test_said(struct test_thread *t, unsigned int end)
{
	/* B: pairs with test_say:A */
	return smp_load_acquire(&t->next) == end;
}

static void test_softirq(struct tasklet_struct *tasklet)
{
	test_say(container_of(tasklet, struct test_thread, tasklet));
}

static void test_hardirq(struct irq_work *work)
{
	test_say(container_of(work, struct test_thread, irq_work));
}

static void test_raise(struct irq_work *work)
{
	tasklet_schedule(&container_of(work, struct test_thread, raise)->tasklet);
}

/* The next CPU, or this one if that is the only one.  CPUs stay as they are. */
static unsigned int test_next_cpu(struct test_thread *t)
{
	t->cpu = cpumask_next(t->cpu, cpu_online_mask);
	if (t->cpu >= nr_cpu_ids)
		t->cpu = cpumask_first(cpu_online_mask);
	return t->cpu;
}

static void test_queue(void *work)
{
	irq_work_queue(work);
}

/* Returns when it has run. */
static void test_interrupt(struct test_thread *t, struct irq_work *work)
{
	if (params.target == TARGET_ANY) {
		cpus_read_lock();
		smp_call_function_single(test_next_cpu(t), test_queue, work, true);
		cpus_read_unlock();
	} else {
		irq_work_queue(work);
	}
	irq_work_sync(work);
}

/* Enabling bottom halves runs the tasklet, unless ksoftirqd is running it. */
static void test_in_softirq(struct test_thread *t, unsigned int end)
{
	if (params.target == TARGET_ANY) {
		test_interrupt(t, &t->raise);
	} else {
		local_bh_disable();
		tasklet_schedule(&t->tasklet);
		local_bh_enable();
	}
	while (!test_said(t, end))
		usleep_range(20, 100);
}

#ifdef CONFIG_X86

/* Who has sent this CPU an NMI. */
static DEFINE_PER_CPU(struct test_thread *, nmi_thread);

static int test_nmi(unsigned int type, struct pt_regs *regs)
{
	struct test_thread *t = this_cpu_xchg(nmi_thread, NULL);

	if (!t)
		return NMI_DONE;
	test_say(t);
	return NMI_HANDLED;
}

/* Return false if the NMI does not come: then nobody makes the message. */
static bool test_in_own_nmi(struct test_thread *t, unsigned int end)
{
	u64 deadline = ktime_get_ns() + INTERRUPT_TIMEOUT;
	unsigned long flags;
	bool said = true;

	local_irq_save(flags);
	this_cpu_write(nmi_thread, t);
	apic->send_IPI(smp_processor_id(), NMI_VECTOR);
	while (!test_said(t, end)) {
		cpu_relax();
		if (ktime_get_ns() > deadline) {
			said = !this_cpu_xchg(nmi_thread, NULL);
			break;
		}
	}
	local_irq_restore(flags);
	return said;
}

/*
 * As test_in_own_nmi(), on any CPU, to which other threads may send an NMI as well.
 * A CPU keeps one that comes while it handles another, so none is lost.
 */
static bool test_in_any_nmi(struct test_thread *t, unsigned int end)
{
	u64 deadline = ktime_get_ns() + INTERRUPT_TIMEOUT;
	struct test_thread **of;
	bool said = true;
	unsigned int cpu;

	cpus_read_lock();
	do {
		cpu = test_next_cpu(t);
		of = per_cpu_ptr(&nmi_thread, cpu);
		cond_resched();
	} while (cmpxchg(of, NULL, t));
	apic->send_IPI(cpu, NMI_VECTOR);
	while (!test_said(t, end)) {
		cond_resched();
		if (ktime_get_ns() > deadline && cmpxchg(of, t, NULL) == t) {
			said = false;
			break;
		}
	}
	cpus_read_unlock();
	return said;
}

static bool test_in_nmi(struct test_thread *t, unsigned int end)
{
	return params.target == TARGET_ANY ? test_in_any_nmi(t, end) :
					     test_in_own_nmi(t, end);
}

static int test_nmi_init(void)
{
	return register_nmi_handler(NMI_LOCAL, test_nmi, 0, KBUILD_MODNAME);
}

static void test_nmi_exit(void)
{
	unregister_nmi_handler(NMI_LOCAL, KBUILD_MODNAME);
}

#else

static bool test_in_nmi(struct test_thread *t, unsigned int end)
{
	return false;
}

static int test_nmi_init(void)
{
	return 0;
}

static void test_nmi_exit(void)
{
}

#endif

/* With context=all, in the order of the contexts. */
static unsigned int test_context(unsigned int n)
{
	if (params.target == TARGET_ANY)
		n /= BURST;
	return params.context == CONTEXT_ALL ? n % NR_CONTEXTS : params.context;
}

static bool test_make(struct test_thread *t)
{
	unsigned int n = t->next, end = test_end(n);

	switch (test_context(n)) {
	case CONTEXT_SOFTIRQ:
		test_in_softirq(t, end);
		return true;
	case CONTEXT_HARDIRQ:
		test_interrupt(t, &t->irq_work);
		return true;
	case CONTEXT_NMI:
		return test_in_nmi(t, end);
	default:
		test_say(t);
		return true;
	}
}

/*
 * A run
 */

/* When the message numbered @n of a thread is due, in ns. */
static u64 test_due(unsigned int n)
{
	return began + mul_u64_u32_div(mul_u32_u32(n, params.threads),
				       NSEC_PER_SEC, params.rate);
}

/* A thread that is late makes its messages at once, until it has caught up. */
static void test_pace(struct test_thread *t)
{
	u64 due = params.rate ? test_due(t->next) : 0;
	ktime_t until = ns_to_ktime(due);

	if (due > ktime_get_ns()) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!kthread_should_stop())
			schedule_hrtimeout(&until, HRTIMER_MODE_ABS);
		__set_current_state(TASK_RUNNING);
	} else if (t->next % BATCH == 0) {
		/* Those who wait for tasks to give up their CPU wait for us, too. */
		cond_resched_tasks_rcu_qs();
	}
}

static void test_finish(enum test_state to)
{
	ended = ktime_get_ns();
	/* C: pairs with test_running:D; the report is complete before. */
	smp_store_release(&state, to);
	wake_up_all(&test_wait);
}

static bool test_running(void)
{
	/* D: pairs with test_finish:C */
	return smp_load_acquire(&state) == STATE_RUNNING;
}

static int test_thread(void *data)
{
	struct test_thread *t = data;
	bool ok = true;

	while (ok && t->next < params.count && !kthread_should_stop()) {
		test_pace(t);
		if (!kthread_should_stop())
			ok = test_make(t);
	}
	if (!ok) {
		pr_err("thread %u: the interrupt for message %u did not come\n",
		       t->nr, t->next);
		WRITE_ONCE(run_failed, true);
	}
	if ((!ok || t->next == params.count) && atomic_dec_and_test(&nr_running))
		test_finish(READ_ONCE(run_failed) ? STATE_FAILED : STATE_DONE);

	/* Whoever stops us may still use our task. */
	set_current_state(TASK_INTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

/* With test_lock: no thread is left.  A run that is not done is over. */
static void test_reap(enum test_state to)
{
	unsigned int i;

	for (i = 0; i < nr_threads; i++) {
		kthread_stop(threads[i].task);
		tasklet_kill(&threads[i].tasklet);
		irq_work_sync(&threads[i].irq_work);
		irq_work_sync(&threads[i].raise);
	}
	nr_threads = 0;
	if (test_running())
		test_finish(to);
}

static int test_start_thread(unsigned int i)
{
	struct test_thread *t = &threads[i];

	t->nr = i;
	tasklet_setup(&t->tasklet, test_softirq);
	t->irq_work = IRQ_WORK_INIT_HARD(test_hardirq);
	t->raise = IRQ_WORK_INIT_HARD(test_raise);
	t->task = kthread_create(test_thread, t, "ddebug_test/%u", i);
	return PTR_ERR_OR_ZERO(t->task);
}

static int test_start(const struct test_params *p)
{
	unsigned int i, cpu;
	int rc = 0;

	test_reap(STATE_STOPPED);
	kfree(threads);
	threads = kcalloc(p->threads, sizeof(*threads), GFP_KERNEL);
	if (!threads)
		return -ENOMEM;

	params = *p;
	run_failed = false;
	for_each_possible_cpu(cpu)
		per_cpu(nested, cpu) = 0;
	atomic_set(&nr_running, p->threads);
	for (i = 0; i < p->threads && !rc; i++) {
		rc = test_start_thread(i);
		if (!rc)
			nr_threads++;
	}
	began = ktime_get_ns();
	WRITE_ONCE(state, STATE_RUNNING);
	if (rc) {
		test_reap(STATE_FAILED);
		return rc;
	}
	for (i = 0; i < nr_threads; i++)
		wake_up_process(threads[i].task);
	return 0;
}

/*
 * solitary
 */

static void test_solitary(void)
{
	static unsigned int n;

	pr_debug("t%u n%u solitary\n", THREAD_SOLITARY, n++);
}

/*
 * classes
 */

enum { CLASS_ONE, CLASS_TWO };

DECLARE_DYNDBG_CLASSMAP(test_classmap, DD_CLASS_TYPE_DISJOINT_BITS, CLASS_ONE,
			"TEST_ONE", "TEST_TWO");

static unsigned long class_bits;

static struct ddebug_class_param class_param = {
	.bits = &class_bits,
	.flags = "p",
	.map = &test_classmap,
};
module_param_cb(classes, &param_ops_dyndbg_classes, &class_param, 0600);
MODULE_PARM_DESC(classes, "Classes whose messages are printed: 1 TEST_ONE, 2 TEST_TWO");

static void test_classes(void)
{
	static unsigned int n;

	__pr_debug_cls(CLASS_ONE, "t%u n%u of class one\n", THREAD_CLASSES, n++);
	__pr_debug_cls(CLASS_TWO, "t%u n%u of class two\n", THREAD_CLASSES, n++);
}

/*
 * oops
 *
 * The tracepoint in do_exit() is where the dying task logs once more.
 */

static struct tracepoint *exit_tracepoint;
static struct task_struct *oops_task;
static DECLARE_COMPLETION(oops_dying);

static void test_find_exit(struct tracepoint *tp, void *unused)
{
	if (!strcmp(tp->name, "sched_process_exit"))
		exit_tracepoint = tp;
}

static void test_exit_probe(void *unused, struct task_struct *task)
{
	if (task != READ_ONCE(oops_task))
		return;
	pr_debug("t%u n2 the task that oopsed dies\n", THREAD_OOPS);
	complete(&oops_dying);
}

static int test_oops_thread(void *unused)
{
	pr_debug("t%u n0 a wild string follows\n", THREAD_OOPS);
	pr_debug("t%u n1 %s\n", THREAD_OOPS, (const char *)LIST_POISON1);
	pr_err("the wild string was not met: is the callsite enabled?\n");
	complete(&oops_dying);
	return 0;
}

static int test_oops(void)
{
	struct task_struct *task;
	int rc;

	for_each_kernel_tracepoint(test_find_exit, NULL);
	if (!exit_tracepoint)
		return -EOPNOTSUPP;
	task = kthread_create(test_oops_thread, NULL, "ddebug_test/oops");
	if (IS_ERR(task))
		return PTR_ERR(task);
	reinit_completion(&oops_dying);
	WRITE_ONCE(oops_task, task);
	rc = tracepoint_probe_register(exit_tracepoint, test_exit_probe, NULL);
	if (rc) {
		kthread_stop(task);
		return rc;
	}
	wake_up_process(task);
	wait_for_completion(&oops_dying);
	tracepoint_probe_unregister(exit_tracepoint, test_exit_probe, NULL);
	tracepoint_synchronize_unregister();
	return 0;
}

/*
 * spin
 */

static atomic_t spin_here, spin_alone, spin_off;
static unsigned int spin_cpus;

/*
 * All threads meet three times.  First with preemption on, since the others are
 * still to be created and woken.  Then with preemption off and interrupts on: until
 * then another CPU may run a task that waits, unable to sleep, for this one to
 * answer an IPI (a TLB flush).  Last with interrupts off, so that each CPU makes its
 * last message when no CPU takes interrupts any more.
 */
static int test_spin_thread(void *unused)
{
	atomic_inc(&spin_here);
	while (atomic_read(&spin_here) < spin_cpus)
		cond_resched();
	preempt_disable();
	atomic_inc(&spin_alone);
	while (atomic_read(&spin_alone) < spin_cpus)
		cpu_relax();
	local_irq_disable();
	atomic_inc(&spin_off);
	while (atomic_read(&spin_off) < spin_cpus)
		cpu_relax();
	pr_debug("t%u n0 the last message of this CPU\n",
		 THREAD_SPIN + smp_processor_id());
	for (;;)
		cpu_relax();
}

static int test_spin(void)
{
	struct task_struct *task;
	unsigned int cpu;

	cpus_read_lock();
	spin_cpus = num_online_cpus();
	for_each_online_cpu(cpu) {
		task = kthread_create(test_spin_thread, NULL,
				      "ddebug_test/spin%u", cpu);
		/* The earlier ones wait forever, as the whole guest soon would. */
		if (WARN_ON(IS_ERR(task)))
			break;
		kthread_bind(task, cpu);
		wake_up_process(task);
	}
	cpus_read_unlock();
	return 0;
}

/*
 * Requests
 */

static int test_number(const char *name, const char *value, unsigned int min,
		       unsigned int max, unsigned int *to)
{
	if (!kstrtouint(value, 0, to) && *to >= min && *to <= max)
		return 0;
	pr_err("%s=%s: give a number from %u to %u\n", name, value, min, max);
	return -EINVAL;
}

static int test_choice(const char *name, const char *value,
		       const char * const *choices, unsigned int n,
		       unsigned int *to)
{
	char all[80] = "";
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (!strcmp(value, choices[i])) {
			*to = i;
			return 0;
		}
		strlcat(all, i ? ", " : "", sizeof(all));
		strlcat(all, choices[i], sizeof(all));
	}
	pr_err("%s=%s: give one of %s\n", name, value, all);
	return -EINVAL;
}

static int test_parse_word(struct test_params *p, char *word)
{
	char *value = strchr(word, '=');

	if (!value) {
		pr_err("%s: give NAME=VALUE words, or solitary, classes, oops or spin alone\n",
		       word);
		return -EINVAL;
	}
	*value++ = '\0';
	if (!strcmp(word, "threads"))
		return test_number(word, value, 1, THREADS_MAX, &p->threads);
	if (!strcmp(word, "count"))
		return test_number(word, value, 1, COUNT_MAX, &p->count);
	if (!strcmp(word, "rate"))
		return test_number(word, value, 0, RATE_MAX, &p->rate);
	if (!strcmp(word, "context"))
		return test_choice(word, value, context_names,
				   ARRAY_SIZE(context_names), &p->context);
	if (!strcmp(word, "target"))
		return test_choice(word, value, target_names, NR_TARGETS,
				   &p->target);
	if (!strcmp(word, "shape"))
		return test_choice(word, value, shape_names,
				   ARRAY_SIZE(shape_names), &p->shape);
	pr_err("%s: no such parameter: give threads, count, rate, context, target or shape\n",
	       word);
	return -EINVAL;
}

static int test_parse(struct test_params *p, char *text)
{
	char *word;
	int rc;

	*p = (struct test_params) {
		.threads = 1,
		.count = 1000,
		.context = CONTEXT_TASK,
		.target = TARGET_OWN,
		.shape = SHAPE_INT3,
	};
	while ((word = strsep(&text, " \t\n"))) {
		if (!*word)
			continue;
		rc = test_parse_word(p, word);
		if (rc)
			return rc;
	}
	if (!IS_ENABLED(CONFIG_INFINIBAND) && p->shape == SHAPE_IBDEV) {
		pr_err("shape=ibdev: this kernel has no InfiniBand: give another shape\n");
		return -EINVAL;
	}
	if (!IS_ENABLED(CONFIG_X86) &&
	    (p->context == CONTEXT_NMI || p->context == CONTEXT_ALL)) {
		pr_err("context=%s: NMIs are sent on x86 only: give task, softirq or hardirq\n",
		       context_names[p->context]);
		return -EINVAL;
	}
	return 0;
}

/* With test_lock. */
static int test_request(char *text)
{
	struct test_params p;
	int rc;

	if (test_running()) {
		pr_err("a run is on: read wait, or write to stop\n");
		return -EBUSY;
	}
	text = strim(text);
	if (!strcmp(text, "solitary")) {
		test_solitary();
		return 0;
	}
	if (!strcmp(text, "classes")) {
		test_classes();
		return 0;
	}
	if (!strcmp(text, "oops"))
		return test_oops();
	if (!strcmp(text, "spin"))
		return test_spin();
	rc = test_parse(&p, text);
	return rc ?: test_start(&p);
}

static ssize_t test_run_write(struct file *file, const char __user *ubuf,
			      size_t len, loff_t *off)
{
	char *text;
	int rc;

	if (len > REQUEST_MAX) {
		pr_err("%zu bytes are too long a request: give %u or less\n",
		       len, REQUEST_MAX);
		return -EINVAL;
	}
	text = memdup_user_nul(ubuf, len);
	if (IS_ERR(text))
		return PTR_ERR(text);
	mutex_lock(&test_lock);
	rc = test_request(text);
	mutex_unlock(&test_lock);
	kfree(text);
	return rc ?: len;
}

static ssize_t test_stop_write(struct file *file, const char __user *ubuf,
			       size_t len, loff_t *off)
{
	mutex_lock(&test_lock);
	test_reap(STATE_STOPPED);
	mutex_unlock(&test_lock);
	return len;
}

/*
 * Reports
 */

static void test_report(struct seq_file *m)
{
	enum test_state is = smp_load_acquire(&state);	/* test_finish:C */
	u64 took = 0, produced = 0;
	unsigned long inside = 0;
	unsigned int i, cpu;

	for (i = 0; i < params.threads && threads; i++)
		produced += READ_ONCE(threads[i].next);
	for_each_possible_cpu(cpu)
		inside += READ_ONCE(per_cpu(nested, cpu));
	if (is == STATE_RUNNING)
		took = ktime_get_ns() - began;
	else if (is != STATE_IDLE)
		took = ended - began;

	seq_printf(m,
		   "state: %s\nthreads: %u\ncount: %u\nrate: %u\ncontext: %s\ntarget: %s\nshape: %s\n"
		   "produced: %llu\nnested: %lu\nelapsed_us: %llu\n",
		   state_names[is], params.threads, params.count, params.rate,
		   context_names[params.context], target_names[params.target],
		   shape_names[params.shape], produced, inside,
		   div_u64(took, NSEC_PER_USEC));
	for (i = 0; i < params.threads && threads; i++)
		seq_printf(m, "t%u: %u\n", i, READ_ONCE(threads[i].next));
}

/* One report per open file, however many reads it takes: the numbers grow meanwhile. */
static int test_status_show(struct seq_file *m, void *unused)
{
	mutex_lock(&test_lock);
	test_report(m);
	mutex_unlock(&test_lock);
	return 0;
}

static int test_status_open(struct inode *inode, struct file *file)
{
	return single_open(file, test_status_show, NULL);
}

static ssize_t test_wait_read(struct file *file, char __user *ubuf,
			      size_t len, loff_t *off)
{
	if (wait_event_interruptible(test_wait, !test_running()))
		return -ERESTARTSYS;
	return seq_read(file, ubuf, len, off);
}

static __poll_t test_status_poll(struct file *file, poll_table *pt)
{
	poll_wait(file, &test_wait, pt);
	return test_running() ? 0 : EPOLLIN | EPOLLRDNORM;
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.write = test_run_write,
	.llseek = noop_llseek,
};

static const struct file_operations stop_fops = {
	.owner = THIS_MODULE,
	.write = test_stop_write,
	.llseek = noop_llseek,
};

static const struct file_operations status_fops = {
	.owner = THIS_MODULE,
	.open = test_status_open,
	.read = seq_read,
	.poll = test_status_poll,
	.llseek = seq_lseek,
	.release = single_release,
};

static const struct file_operations wait_fops = {
	.owner = THIS_MODULE,
	.open = test_status_open,
	.read = test_wait_read,
	.llseek = seq_lseek,
	.release = single_release,
};

static int test_make_devices(void)
{
	pdev = platform_device_register_simple(KBUILD_MODNAME,
					       PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	/* Not registered: only its name matters. */
	netdev = alloc_netdev(0, "ddtest", NET_NAME_UNKNOWN, ether_setup);
	if (!netdev) {
		platform_device_unregister(pdev);
		return -ENOMEM;
	}
	SET_NETDEV_DEV(netdev, &pdev->dev);
	return 0;
}

static void test_remove_devices(void)
{
	free_netdev(netdev);
	platform_device_unregister(pdev);
}

static int __init test_init(void)
{
	int rc;

	memset(text200, 'x', sizeof(text200) - 1);
	rc = test_make_devices();
	if (rc)
		return rc;
	rc = test_nmi_init();
	if (rc) {
		test_remove_devices();
		return rc;
	}
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("run", 0200, dir, NULL, &run_fops);
	debugfs_create_file("stop", 0200, dir, NULL, &stop_fops);
	debugfs_create_file("status", 0400, dir, NULL, &status_fops);
	debugfs_create_file("wait", 0400, dir, NULL, &wait_fops);
	return 0;
}

static void __exit test_exit(void)
{
	/* An open file holds the module: nobody is in here, but threads may be. */
	debugfs_remove(dir);
	test_reap(STATE_STOPPED);
	kfree(threads);
	test_nmi_exit();
	test_remove_devices();
}

module_init(test_init);
module_exit(test_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Numbered debug messages from every context, on request");
