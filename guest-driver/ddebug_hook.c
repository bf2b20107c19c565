// SPDX-License-Identifier: GPL-2.0
/*
 * The flag 'r' of dynamic debug, on a kernel that does not know it.
 *
 * Means
 * -----
 * lib/ is built without the compiler's entry hooks, so neither ftrace nor
 * livepatch can attach to lib/dynamic_debug.c.  A kprobe at a function's entry
 * can: its handler sets the instruction pointer to a function of ours with the
 * same prototype, which then runs in the caller's own context, with the
 * caller's own arguments.  An empty post_handler keeps the kernel from
 * replacing the breakpoint by a jump, which would ignore the new pointer.
 *
 *   print side    __dynamic_pr_debug(), __dynamic_dev_dbg(),
 *                 __dynamic_netdev_dbg(), __dynamic_ibdev_dbg(),
 *                 print_hex_dump() where ddebug_callsite.c knows the caller,
 *                 _printk(KERN_CONT) where a callsite's line is continued
 *   control side  ddebug_proc_write(), ddebug_proc_show(),
 *                 ddebug_dyndbg_module_param_cb(), param_set_dyndbg_classes()
 *
 * The flag is bit 7 of the callsite's own flags; the invariant, protected by
 * ddebug_lock, is
 *
 *   the callsite's static key is on  <=>  flags & (p | r)
 *
 * Callsites are visited through the control file's own seq_operations: start()
 * takes ddebug_lock, next() yields struct _ddebug, show() prints what only
 * private structures know (the module's name as queries mean it, the class).
 *
 * Locks
 * -----
 * control_lock, then ddebug_lock, then those of static keys; control_lock,
 * then those of kprobes.  control_lock is also held around stock's own changes:
 * otherwise stock could switch a key off between our check of the flags and our
 * switching it on.  Our calls of a stock function pass its probe because the
 * caller has first stored its task in stock_caller (under control_lock) or
 * show_caller (under ddebug_lock).
 *
 * Lifetime of the print probes
 * ----------------------------
 * They are armed only while callsites have 'r', so that 'p' alone costs no more
 * than usual.  No message is affected by that:
 *
 * - Armed before the first callsite gets 'r': enable_kprobe() returns when
 *   every CPU executes the breakpoint, and only then is 'r' set.  A call that
 *   passed the entry before is one of a callsite without 'r'.
 * - Disarmed when no callsite has had 'r' (set_count did not move) since before
 *   a ddebug_quiesce().  A call that went through a static branch while 'r'
 *   held it open has reached the print function by then, and hit the breakpoint.
 *   Later calls come from callsites with 'p'.
 *
 * ddebug_quiesce() waits until every task that was running or preempted in the
 * kernel has voluntarily given up its CPU.  Nothing between a breakpoint and the
 * start of our function, or in our print functions, does that, and between a
 * static branch and a print function only the caller's own arguments can.
 * Our control functions may sleep; they are counted from their first to their
 * last statement (inflight), and what is outside of these is covered by
 * ddebug_quiesce().
 *
 * Modules
 * -------
 * A module's callsites are on the list before its keys are tied to its code, and
 * until after that code is gone.  A stock 6.1 can crash on a write to the control
 * file at such a moment.  Our own changes wait for the right one:
 * ddebug_hook_module_event().
 *
 * Limits
 * ------
 * - A breakpoint hit while its CPU is handling another one is not passed to
 *   us: the stock function runs.  This takes an NMI in the few instructions of
 *   a kprobe handler.  The messages are counted, and printed.
 * - Messages that do not go through these functions (btrfs_debug() and a few
 *   more) are printed when their callsite has 'r'.  The log says so when such a
 *   callsite gets it, and a file in debugfs lists them.
 * - A hex dump whose callsite loses 'r' between its branch and the breakpoint is
 *   printed: the same call may be that of code that checks no flag.
 * - A call whose arguments sleep while they are evaluated may reach the print
 *   function after the probes are gone: its one message is printed.
 * - After "echo 0 > /sys/kernel/debug/kprobes/enabled" nothing is passed to us.
 *   This is noticed within CHECK_PERIOD; until then 'r' prints as 'p' does.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/cpu.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/jump_label.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/percpu.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>
#include "ddebug_callsite.h"
#include "ddebug_cpu.h"
#include "ddebug_dict.h"
#include "ddebug_emit.h"
#include "ddebug_hook.h"
#include "ddebug_kick.h"
#include "ddebug_kmsg.h"
#include "ddebug_query.h"

#define FLAG_P		_DPRINTK_FLAGS_PRINT
#define FLAG_R		DDEBUG_FLAG_R
#define FLAGS_ON	(FLAG_P | FLAG_R)

static_assert(!((_DPRINTK_FLAGS_INCL_ANY | _DPRINTK_FLAGS_PRINT) & FLAG_R),
	      "this kernel uses the flag bit of 'r' itself");

/* The most that the kernel accepts in one write. */
#define WRITE_MAX	4095

/* Longest line of the control file that is parsed, in bytes. */
#define LINE_MAX	4096

/* How long after the last 'r' the print probes are disarmed. */
#define DISARM_DELAY	HZ

/* How often the probes are checked while callsites have 'r'. */
#define CHECK_PERIOD	(5 * HZ)

/* The instruction endbr64, loaded as a word. */
#define ENDBR64		0xfa1e0ff3u

/**
 * struct ddebug_hook - a function of the kernel, and ours that replaces it
 * @kp: the probe at its entry
 * @instead: where to go; a function of the same prototype
 * @fmt_arg: for ddebug_print_hit(): which argument the format is, from 0
 * @stock: the function's own address, once @kp is registered
 * @registered: @kp is registered
 * @wanted: @kp is to be armed
 */
struct ddebug_hook {
	struct kprobe kp;
	unsigned long instead;
	unsigned int fmt_arg;
	void *stock;
	bool registered;
	bool wanted;
};

static DEFINE_MUTEX(control_lock);

/* Protected by control_lock. */
static struct ddebug_walk {
	struct seq_file m;
	unsigned long iter[8];	/* the kernel's struct ddebug_iter has two words */
	loff_t pos;
	void *at;
} walk;
static bool watching;		/* modules that come and go */
static bool stopping;		/* no callsite gets 'r' any more */
static bool probes_lost;	/* armed, but the breakpoints are not there */
static unsigned int nr_r;	/* callsites with 'r', when they were last walked */
static unsigned long set_count;	/* how many times callsites got 'r' */
static struct {
	unsigned int count;	/* callsites that got 'r' and are not recorded */
	bool new;		/* one of them has not been reported yet */
	char first[80];
} uncaptured;			/* what ddebug_say_uncaptured() has to report */
static bool missed_said;

/* Written under control_lock, and under ddebug_lock. */
static struct task_struct *stock_caller;
static struct task_struct *show_caller;

/* Calls inside our functions of the control side; also a wait address. */
static atomic_t inflight = ATOMIC_INIT(0);

static void ddebug_maintain(struct work_struct *work);
static DECLARE_DEFERRABLE_WORK(maintain_work, ddebug_maintain);

/*
 * The print side
 */

/* A format of our own, known by its address: passes the probe. */
static const char pass_fmt[] = "%pV";

/*
 * A console driver of PREEMPT_RT may sleep in the caller's context, so there the
 * calls of print functions are counted like those of the control side.
 */
static __always_inline bool ddebug_enter_print(unsigned int flags)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		atomic_inc(&inflight);
	/* recorded as a message, so not as a line of the kernel's log */
	return (flags & FLAG_R) && ddebug_kmsg_mute();
}

static __always_inline void ddebug_leave_print(bool muted)
{
	if (muted)
		ddebug_kmsg_unmute();
	if (IS_ENABLED(CONFIG_PREEMPT_RT) && atomic_dec_and_test(&inflight))
		wake_up_var(&inflight);
}

/*
 * Flags may change at any time.  The functions below read them once; if 'r' or
 * both have gone since the probe was hit, there is less or nothing to do.
 */
static __always_inline unsigned int ddebug_flags(const struct _ddebug *d)
{
	/* one byte: never torn by a change */
	return data_race((unsigned int)d->flags);
}

/*
 * Lines in pieces
 *
 * pr_cont() continues what its task has printed last.  It does not know by which callsite, so
 * each message with 'r' leaves a note, and whether it has ended its line is looked at when a
 * piece comes.  A piece belongs to it if it comes in the same task, on the same CPU, from nearby
 * code, within a second, and nothing has been recorded there or printed by _printk() in between.
 * Otherwise it is printed: it may be of a line of the kernel's log.
 *
 * Callsite and format are there as long as the note: ddebug_forget_lines().
 */
struct ddebug_line_begun {
	const struct task_struct *task;	/* who has begun it; NULL: none */
	const struct _ddebug *site;
	const char *fmt;
	unsigned long from;		/* return address of its call */
	unsigned long when;		/* in jiffies */
};

static DEFINE_PER_CPU(struct ddebug_line_begun, ddebug_begun);

/* A function of the usual size. */
#define NEARBY	SZ_4K

/* A note's format that is somebody's buffer may be gone: it counts as the end of a line. */
static bool ddebug_is_continued(const struct ddebug_line_begun *b)
{
	size_t len;

	if (time_after(jiffies, b->when + HZ) || !ddebug_dict_is_constant(b->fmt))
		return false;
	len = strlen(b->fmt);
	return !len || b->fmt[len - 1] != '\n';
}

/* Not in interrupts, which come in between. */
static __always_inline void ddebug_note_line(const struct _ddebug *d, const char *fmt,
					     unsigned long from)
{
	if (!in_task())
		return;
	preempt_disable_notrace();
	*this_cpu_ptr(&ddebug_begun) = (struct ddebug_line_begun){
		.task = current, .site = d, .fmt = fmt, .from = from, .when = jiffies,
	};
	preempt_enable_notrace();
}

/* A message that no piece continues. */
static __always_inline void ddebug_note_end(void)
{
	if (in_task())
		this_cpu_write(ddebug_begun.task, NULL);
}

/* Before the descriptors of a module go: its code does not run any more. */
static void ddebug_forget_lines(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		WRITE_ONCE(per_cpu(ddebug_begun, cpu).task, NULL);
	/* a piece is recorded with preemption off */
	synchronize_rcu();
}

static notrace __printf(1, 2)
int ddebug_cont(const char *fmt, ...)
{
	unsigned int flags = FLAG_P;
	struct ddebug_line_begun *b;
	va_list args;
	int rc = 0;

	preempt_disable_notrace();
	b = this_cpu_ptr(&ddebug_begun);
	if (READ_ONCE(b->task) == current) {
		flags = ddebug_flags(b->site);
		if (flags & FLAG_R) {
			va_start(args, fmt);
			ddebug_emit(b->site, DDEBUG_KIND_CONT, NULL, fmt, args);
			va_end(args);
		}
		b->fmt = fmt;
	}
	preempt_enable_notrace();
	/* if it has lost 'r' meanwhile, its line is in the log, and the rest at least here */
	if ((flags & FLAGS_ON) != FLAG_R) {
		bool muted = ddebug_enter_print(flags);

		va_start(args, fmt);
		rc = vprintk(fmt, args);
		va_end(args);
		ddebug_leave_print(muted);
	}
	return rc;
}

static notrace __printf(2, 3)
void ddebug_pr_debug(struct _ddebug *d, const char *fmt, ...)
{
	unsigned int flags = ddebug_flags(d);
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	if (flags & FLAG_R) {
		va_start(args, fmt);
		ddebug_emit(d, DDEBUG_KIND_PR, NULL, fmt, args);
		va_end(args);
	}
	if (flags & FLAG_P) {
		bool muted = ddebug_enter_print(flags);

		va_start(args, fmt);
		vaf.va = &args;
		__dynamic_pr_debug(d, pass_fmt, &vaf);
		va_end(args);
		ddebug_leave_print(muted);
	}
	if (flags & FLAG_R)
		ddebug_note_line(d, fmt, (unsigned long)__builtin_return_address(0));
}

static notrace __printf(3, 4)
void ddebug_dev_dbg(struct _ddebug *d, const struct device *dev,
		    const char *fmt, ...)
{
	unsigned int flags = ddebug_flags(d);
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	if (flags & FLAG_R) {
		va_start(args, fmt);
		ddebug_emit(d, DDEBUG_KIND_DEV, dev, fmt, args);
		va_end(args);
		ddebug_note_end();
	}
	if (flags & FLAG_P) {
		bool muted = ddebug_enter_print(flags);

		va_start(args, fmt);
		vaf.va = &args;
		__dynamic_dev_dbg(d, dev, pass_fmt, &vaf);
		va_end(args);
		ddebug_leave_print(muted);
	}
}

#ifdef CONFIG_NET
static notrace __printf(3, 4)
void ddebug_netdev_dbg(struct _ddebug *d, const struct net_device *dev,
		       const char *fmt, ...)
{
	unsigned int flags = ddebug_flags(d);
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	if (flags & FLAG_R) {
		va_start(args, fmt);
		ddebug_emit(d, DDEBUG_KIND_NETDEV, dev, fmt, args);
		va_end(args);
		ddebug_note_end();
	}
	if (flags & FLAG_P) {
		bool muted = ddebug_enter_print(flags);

		va_start(args, fmt);
		vaf.va = &args;
		__dynamic_netdev_dbg(d, dev, pass_fmt, &vaf);
		va_end(args);
		ddebug_leave_print(muted);
	}
}
#endif

#if IS_ENABLED(CONFIG_INFINIBAND)
static notrace __printf(3, 4)
void ddebug_ibdev_dbg(struct _ddebug *d, const struct ib_device *dev,
		      const char *fmt, ...)
{
	unsigned int flags = ddebug_flags(d);
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	if (flags & FLAG_R) {
		va_start(args, fmt);
		ddebug_emit(d, DDEBUG_KIND_IBDEV, dev, fmt, args);
		va_end(args);
		ddebug_note_end();
	}
	if (flags & FLAG_P) {
		bool muted = ddebug_enter_print(flags);

		va_start(args, fmt);
		vaf.va = &args;
		__dynamic_ibdev_dbg(d, dev, pass_fmt, &vaf);
		va_end(args);
		ddebug_leave_print(muted);
	}
}
#endif

#ifdef DDEBUG_CALLSITE_CODE

/* Levels precede the text; vsnprintf() does not interpret them. */
static __printf(3, 4)
void ddebug_hex_line(const struct _ddebug *d, unsigned int flags,
		     const char *fmt, ...)
{
	va_list args;

	if (flags & FLAG_R) {
		va_start(args, fmt);
		ddebug_emit(d, DDEBUG_KIND_HEX_DUMP, NULL,
			    printk_skip_level(fmt), args);
		va_end(args);
	}
	if (flags & FLAG_P) {
		bool muted = ddebug_enter_print(flags);

		va_start(args, fmt);
		vprintk(fmt, args);
		va_end(args);
		ddebug_leave_print(muted);
	}
}

/*
 * Line by line, as print_hex_dump(): with both flags a line is recorded, then
 * printed.  The callsite was known when the probe was hit; if it no longer is, the
 * dump is printed like any other.
 */
static notrace
void ddebug_hex_dump(const char *level, const char *prefix, int prefix_type,
		     int rowsize, int groupsize, const void *buf, size_t len,
		     bool ascii)
{
	const struct _ddebug *d =
		ddebug_callsite_at((unsigned long)__builtin_return_address(0));
	unsigned int flags = d ? ddebug_flags(d) : FLAG_P;
	char line[32 * 3 + 2 + 32 + 1];	/* as in print_hex_dump() */
	size_t i;

	if (rowsize != 16 && rowsize != 32)
		rowsize = 16;
	for (i = 0; i < len; i += rowsize) {
		hex_dump_to_buffer(buf + i, min_t(size_t, len - i, rowsize),
				   rowsize, groupsize, line, sizeof(line), ascii);
		if (prefix_type == DUMP_PREFIX_ADDRESS)
			ddebug_hex_line(d, flags, KERN_DEBUG "%s%p: %s\n",
					prefix, buf + i, line);
		else if (prefix_type == DUMP_PREFIX_OFFSET)
			ddebug_hex_line(d, flags, KERN_DEBUG "%s%.8x: %s\n",
					prefix, (unsigned int)i, line);
		else
			ddebug_hex_line(d, flags, KERN_DEBUG "%s%s\n",
					prefix, line);
	}
}

#endif

/*
 * The kprobe handlers
 */

/*
 * The kernel calls the handlers of one address beginning with the youngest probe, up to one
 * that changes the instruction pointer.  So the probes that others have registered before
 * ours, by perf or BPF for instance, would miss what ours takes: they are called from
 * here.  Return true if one of them has changed the instruction pointer.
 *
 * The list's head is in a struct kprobe as well, the one that is in the kernel's table.  It
 * leaves that before it is freed, and might be called then, once.
 */
static DEFINE_PER_CPU(bool, ddebug_passing_on);

static bool ddebug_pass_on(struct kprobe *kp, struct pt_regs *regs)
{
	struct kprobe *other = kp;
	bool taken = false;

	if (likely(list_empty(&kp->list)))
		return false;
	__this_cpu_write(ddebug_passing_on, true);
	while (!taken) {
		struct hlist_node **hashed;

		other = list_entry_rcu(other->list.next, struct kprobe, list);
		hashed = READ_ONCE(other->hlist.pprev);
		if (other == kp || (hashed && hashed != LIST_POISON2))
			break;
		if (other->pre_handler && !kprobe_disabled(other))
			taken = other->pre_handler(other, regs);
	}
	__this_cpu_write(ddebug_passing_on, false);
	return taken;
}

/* Go to our function instead. */
static int ddebug_take(struct kprobe *kp, struct pt_regs *regs)
{
	const struct ddebug_hook *h = container_of(kp, struct ddebug_hook, kp);

	if (unlikely(__this_cpu_read(ddebug_passing_on)))
		return 0;
	if (!ddebug_pass_on(kp, regs))
		instruction_pointer_set(regs, h->instead);
	return 1;
}

static int ddebug_print_hit(struct kprobe *kp, struct pt_regs *regs)
{
	const struct ddebug_hook *h = container_of(kp, struct ddebug_hook, kp);
	const struct _ddebug *d = (void *)regs_get_kernel_argument(regs, 0);

	if ((ddebug_flags(d) & FLAGS_ON) == FLAG_P)
		return 0;
	if (regs_get_kernel_argument(regs, h->fmt_arg) == (unsigned long)pass_fmt)
		return 0;
	return ddebug_take(kp, regs);
}

#ifdef DDEBUG_CALLSITE_CODE

/*
 * A callsite's format is the prefix of its dumps, or "hexdump" if that is not a
 * constant.  Anything else comes from other code that the compiler has merged into
 * the same call.
 */
static bool ddebug_is_hex_dump_of(const struct _ddebug *d, const char *level,
				  const char *prefix)
{
	if (printk_get_level(level) != KERN_DEBUG[1])
		return false;
	return prefix == d->format || !strcmp(d->format, "hexdump") ||
	       !strcmp(prefix, d->format);
}

static int ddebug_hex_dump_hit(struct kprobe *kp, struct pt_regs *regs)
{
	const struct _ddebug *d;

	/* at a function's entry the return address is on top of the stack */
	d = ddebug_callsite_at(*(unsigned long *)kernel_stack_pointer(regs));
	if (!d || !(ddebug_flags(d) & FLAG_R))
		return 0;
	if (!ddebug_is_hex_dump_of(d, (void *)regs_get_kernel_argument(regs, 0),
				   (void *)regs_get_kernel_argument(regs, 1)))
		return 0;
	return ddebug_take(kp, regs);
}
NOKPROBE_SYMBOL(ddebug_is_hex_dump_of);
NOKPROBE_SYMBOL(ddebug_hex_dump_hit);

#endif

static int ddebug_control_hit(struct kprobe *kp, struct pt_regs *regs)
{
	if (READ_ONCE(stock_caller) == current)
		return 0;
	return ddebug_take(kp, regs);
}

static int ddebug_show_hit(struct kprobe *kp, struct pt_regs *regs)
{
	const void *p = (void *)regs_get_kernel_argument(regs, 1);

	if (p == SEQ_START_TOKEN || !(((struct _ddebug *)p)->flags & FLAG_R))
		return 0;
	if (READ_ONCE(show_caller) == current)
		return 0;
	return ddebug_take(kp, regs);
}

/*
 * Whatever is printed ends a line that was begun before it.  The handler runs in the context
 * of the call where the probe is the function tracer's; at a breakpoint in_task() is false, and
 * nothing is taken.
 */
static int ddebug_cont_hit(struct kprobe *kp, struct pt_regs *regs)
{
	struct ddebug_line_begun *b = this_cpu_ptr(&ddebug_begun);
	unsigned long from;

	if (likely(READ_ONCE(b->task) != current) || !in_task())
		return 0;
	from = *(unsigned long *)kernel_stack_pointer(regs);
	if (printk_get_level((void *)regs_get_kernel_argument(regs, 0)) != KERN_CONT[1] ||
	    from - b->from + NEARBY > 2 * NEARBY || !ddebug_is_continued(b)) {
		WRITE_ONCE(b->task, NULL);
		return 0;
	}
	return ddebug_take(kp, regs);
}

static void ddebug_after(struct kprobe *kp, struct pt_regs *regs,
			 unsigned long flags)
{
}

NOKPROBE_SYMBOL(ddebug_pass_on);
NOKPROBE_SYMBOL(ddebug_take);
NOKPROBE_SYMBOL(ddebug_print_hit);
NOKPROBE_SYMBOL(ddebug_cont_hit);
NOKPROBE_SYMBOL(ddebug_control_hit);
NOKPROBE_SYMBOL(ddebug_show_hit);
NOKPROBE_SYMBOL(ddebug_after);

static ssize_t ddebug_write(struct file *file, const char __user *ubuf,
			    size_t len, loff_t *offp);
static int ddebug_show(struct seq_file *m, void *p);
static int ddebug_module_param(char *param, char *val, const char *module);
static int ddebug_class_param(const char *val, const struct kernel_param *kp);

#define HOOK(symbol, handler, function, arg) {				\
	.kp = {								\
		.symbol_name = symbol,					\
		.pre_handler = handler,					\
		.post_handler = ddebug_after,				\
	},								\
	.instead = (unsigned long)function,				\
	.fmt_arg = arg,							\
}

static struct ddebug_hook print_hooks[] = {
	HOOK("__dynamic_pr_debug", ddebug_print_hit, ddebug_pr_debug, 1),
	HOOK("__dynamic_dev_dbg", ddebug_print_hit, ddebug_dev_dbg, 2),
#ifdef CONFIG_NET
	HOOK("__dynamic_netdev_dbg", ddebug_print_hit, ddebug_netdev_dbg, 2),
#endif
#if IS_ENABLED(CONFIG_INFINIBAND)
	HOOK("__dynamic_ibdev_dbg", ddebug_print_hit, ddebug_ibdev_dbg, 2),
#endif
#ifdef DDEBUG_CALLSITE_CODE
	HOOK("print_hex_dump", ddebug_hex_dump_hit, ddebug_hex_dump, 0),
#endif
};

/* On its own: what it misses, or if it is missing, is printed as ever. */
static struct ddebug_hook cont_hook = HOOK("_printk", ddebug_cont_hit, ddebug_cont, 0);

enum { CONTROL_WRITE, CONTROL_SHOW, CONTROL_MODULE, CONTROL_CLASS };

static struct ddebug_hook control_hooks[] = {
	[CONTROL_WRITE] = HOOK("ddebug_proc_write", ddebug_control_hit,
			       ddebug_write, 0),
	[CONTROL_SHOW] = HOOK("ddebug_proc_show", ddebug_show_hit,
			      ddebug_show, 0),
	[CONTROL_MODULE] = HOOK("ddebug_dyndbg_module_param_cb",
				ddebug_control_hit, ddebug_module_param, 0),
	[CONTROL_CLASS] = HOOK("param_set_dyndbg_classes", ddebug_control_hit,
			       ddebug_class_param, 0),
};

#undef HOOK

/*
 * Calls of the stock functions
 */

static ssize_t stock_write(struct file *file, const char __user *ubuf,
			   size_t len, loff_t *offp)
{
	typeof(stock_write) *f = control_hooks[CONTROL_WRITE].stock;
	ssize_t rc;

	lockdep_assert_held(&control_lock);
	WRITE_ONCE(stock_caller, current);
	rc = f(file, ubuf, len, offp);
	WRITE_ONCE(stock_caller, NULL);
	return rc;
}

static int stock_module_param(char *param, char *val, const char *module)
{
	typeof(stock_module_param) *f = control_hooks[CONTROL_MODULE].stock;
	int rc;

	lockdep_assert_held(&control_lock);
	WRITE_ONCE(stock_caller, current);
	rc = f(param, val, module);
	WRITE_ONCE(stock_caller, NULL);
	return rc;
}

static int stock_class_param(const char *val, const struct kernel_param *kp)
{
	typeof(stock_class_param) *f = control_hooks[CONTROL_CLASS].stock;
	int rc;

	lockdep_assert_held(&control_lock);
	WRITE_ONCE(stock_caller, current);
	rc = f(val, kp);
	WRITE_ONCE(stock_caller, NULL);
	return rc;
}

/* With ddebug_lock. */
static int stock_show(struct seq_file *m, void *p)
{
	typeof(stock_show) *f = control_hooks[CONTROL_SHOW].stock;
	int rc;

	WRITE_ONCE(show_caller, current);
	rc = f(m, p);
	WRITE_ONCE(show_caller, NULL);
	return rc;
}

/* The kernel's parser takes a text of ours only as a module's parameter. */
static void stock_query(char *query, const char *module)
{
	char param[] = "dyndbg";

	stock_module_param(param, query, module);
}

/*
 * Visiting the callsites: with control_lock, and with ddebug_lock from
 * ddebug_first() to ddebug_done().
 */

static struct _ddebug *ddebug_next(void)
{
	walk.at = walk.m.op->next(&walk.m, walk.at, &walk.pos);
	return walk.at;
}

static struct _ddebug *ddebug_first(void)
{
	lockdep_assert_held(&control_lock);
	memset(walk.iter, 0, sizeof(walk.iter));
	walk.pos = 0;
	walk.at = walk.m.op->start(&walk.m, &walk.pos);
	return walk.at == SEQ_START_TOKEN ? ddebug_next() : walk.at;
}

static void ddebug_done(void)
{
	walk.m.op->stop(&walk.m, walk.at);
}

/**
 * struct ddebug_control_line - a parsed line of the control file
 * @file_len: length of the file's name, which starts the line
 * @module: the module's name
 * @module_len: its length
 * @flags: the flags
 * @flags_len: their number
 * @class_name: the class, or NULL
 * @class_len: its length
 */
struct ddebug_control_line {
	size_t file_len;
	char *module;
	size_t module_len;
	char *flags;
	size_t flags_len;
	char *class_name;
	size_t class_len;
};

/* There may be two lines; the class follows the last '" class:': names have no quotes. */
static void ddebug_find_class(struct ddebug_control_line *l, char *from, char *end)
{
	static const char mark[] = "\" class:";
	const size_t n = sizeof(mark) - 1;
	char *s;

	for (s = strnstr(from, mark, end - from); s;
	     s = strnstr(s + n, mark, end - s - n))
		l->class_name = s + n;
	if (!l->class_name)
		return;
	s = strnchr(l->class_name, end - l->class_name, '\n');
	l->class_len = (s ?: end) - l->class_name;
}

/*
 * Parse what stock_show() has written at @line for @d:
 *
 *   file:line [module]function =flags "format" class:class
 *
 * Return: false if it does not look like this.
 */
static bool ddebug_take_apart(struct ddebug_control_line *l, char *line, size_t len,
			      const struct _ddebug *d)
{
	size_t name_len = strlen(d->filename), n;
	char *end = line + len, *s;
	char mark[16];

	memset(l, 0, sizeof(*l));
	n = scnprintf(mark, sizeof(mark), ":%u [", d->lineno);
	s = strnstr(line, mark, len);
	if (!s)
		return false;
	l->file_len = s - line;
	if (l->file_len > name_len ||
	    memcmp(line, d->filename + name_len - l->file_len, l->file_len))
		return false;

	l->module = s + n;
	s = strnchr(l->module, end - l->module, ']');
	if (!s)
		return false;
	l->module_len = s++ - l->module;

	n = strlen(d->function);
	if (end - s < n + 3 || memcmp(s, d->function, n) ||
	    memcmp(s + n, " =", 2))
		return false;
	l->flags = s + n + 2;
	s = strnchr(l->flags, end - l->flags, ' ');
	if (!s)
		return false;
	l->flags_len = s - l->flags;

	if (d->class_id != _DPRINTK_CLASS_DFLT)
		ddebug_find_class(l, s, end);
	return true;
}

/*
 * Describe @d, the callsite being visited, as far as queries may ask.  The names and
 * the format are valid until the next call.
 */
static void ddebug_describe(struct ddebug_site *site, struct _ddebug *d)
{
	static char format[LINE_MAX];
	struct ddebug_control_line l;
	struct _ddebug shown = *d;

	ddebug_callsite_format(d, format, sizeof(format));
	*site = (struct ddebug_site) {
		.module = d->modname,
		.function = d->function,
		.file = d->filename,
		.shown_file = d->filename,
		.format = format,
		.line = d->lineno,
		.classed = d->class_id != _DPRINTK_CLASS_DFLT,
	};

	/* a format may be gone, so it is not shown */
	shown.format = "";
	walk.m.count = 0;
	if (stock_show(&walk.m, &shown) || seq_has_overflowed(&walk.m) ||
	    !ddebug_take_apart(&l, walk.m.buf, walk.m.count, d))
		return;

	site->shown_file += strlen(d->filename) - l.file_len;
	l.module[l.module_len] = '\0';
	site->module = l.module;
	if (l.class_name) {
		l.class_name[l.class_len] = '\0';
		site->class_name = l.class_name;
	}
}

static bool ddebug_matches(const struct ddebug_query *q, struct _ddebug *d)
{
	struct ddebug_site site;

	ddebug_describe(&site, d);
	return ddebug_query_match(q, &site);
}

/*
 * Flags and keys
 */

#ifdef CONFIG_JUMP_LABEL

/*
 * A module's callsites can be visited before the kernel has tied their keys to
 * the code: a key that is switched on then says on while the code stays off,
 * and switching it off later is a BUG().  So it is left alone until
 * ddebug_hook_module_event().
 */
static void ddebug_set_key(struct _ddebug *d, bool on)
{
	struct static_key_true *key = &d->key.dd_key_true;

	if (!(READ_ONCE(key->key.type) & ~JUMP_TYPE_MASK))
		return;
	if (on)
		static_branch_enable(key);
	else
		static_branch_disable(key);
}

/*
 * A module's callsites can be visited after its code has been freed: patching it
 * then is a WARN().  Only a callsite's own key, and so only a holder of
 * ddebug_lock, uses this tie.
 */
static void ddebug_untie_key(struct _ddebug *d)
{
	d->key.dd_key_true.key.type &= JUMP_TYPE_MASK;
}

#else

static void ddebug_set_key(struct _ddebug *d, bool on)
{
}

static void ddebug_untie_key(struct _ddebug *d)
{
}

#endif

/* Without probes the stock functions would print what has only 'r'. */
static unsigned int ddebug_flags_on(void)
{
	return probes_lost ? FLAG_P : FLAGS_ON;
}

/*
 * The flags are set before the key lets anyone in, so that a message of a
 * callsite that gets 'r' is never mistaken for one that lost it.
 */
static void ddebug_set_flags(struct _ddebug *d, unsigned int flags)
{
	bool was_on = d->flags & ddebug_flags_on();
	bool on = flags & ddebug_flags_on();

	d->flags = flags;
	if (on != was_on)
		ddebug_set_key(d, on);
}

/* A host that knows that messages may come polls by itself. */
static void ddebug_set_nr_r(unsigned int n)
{
	if (!n != !nr_r)
		ddebug_cpu_set_active(DDEBUG_ACTIVE_CALLSITES, n);
	nr_r = n;
}

/* Bring keys in line with the flags, and recount. */
static void ddebug_sync(void)
{
	unsigned int n = 0;
	struct _ddebug *d;

	for (d = ddebug_first(); d; d = ddebug_next()) {
		ddebug_set_key(d, d->flags & ddebug_flags_on());
		n += !!(d->flags & FLAG_R);
	}
	ddebug_done();
	ddebug_set_nr_r(n);
}

static void ddebug_hook_count(void)
{
	unsigned int n = 0;
	struct _ddebug *d;

	for (d = ddebug_first(); d; d = ddebug_next())
		n += !!(d->flags & FLAG_R);
	ddebug_done();
	ddebug_set_nr_r(n);
}

static void ddebug_clear(void)
{
	struct _ddebug *d;

	for (d = ddebug_first(); d; d = ddebug_next())
		if (d->flags & FLAG_R)
			ddebug_set_flags(d, d->flags & ~FLAG_R);
	ddebug_done();
	ddebug_set_nr_r(0);
}

/*
 * The probes
 */

/* A probe can be enabled and yet not be in place: kprobes/enabled. */
static bool ddebug_in_place(const struct ddebug_hook *h)
{
	return READ_ONCE(*h->kp.addr) != h->kp.opcode;
}

static int ddebug_arm(struct ddebug_hook *h)
{
	int rc;

	if (h->wanted && ddebug_in_place(h))
		return 0;
	rc = enable_kprobe(&h->kp);
	if (rc) {
		pr_err("cannot set a kprobe at %s: error %d\n",
		       h->kp.symbol_name, rc);
		return rc;
	}
	h->wanted = true;
	if (!ddebug_in_place(h)) {
		pr_err("kprobes are disabled; enable them: echo 1 > /sys/kernel/debug/kprobes/enabled\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

static void ddebug_disarm(struct ddebug_hook *h)
{
	if (h->wanted)
		disable_kprobe(&h->kp);
	h->wanted = false;
}

/* While callsites have 'r'. */
static void ddebug_watch_cont(bool on)
{
	int err;

	lockdep_assert_held(&control_lock);
	if (on == cont_hook.registered)
		return;
	if (!on) {
		unregister_kprobe(&cont_hook.kp);
		cont_hook.registered = false;
		return;
	}
	/* what the last registration has left there */
	cont_hook.kp.addr = NULL;
	cont_hook.kp.flags = 0;
	err = register_kprobe(&cont_hook.kp);
	cont_hook.registered = !err;
	if (err)
		pr_warn_once("lines that are printed in pieces are recorded without their ends: no kprobe at %s, error %d\n",
			     cont_hook.kp.symbol_name, err);
}

static int ddebug_arm_print(void)
{
	int i, rc;

	lockdep_assert_held(&control_lock);
	for (i = 0; i < ARRAY_SIZE(print_hooks); i++) {
		rc = ddebug_arm(&print_hooks[i]);
		if (rc)
			return rc;
	}
	ddebug_kmsg_watch_suppressed(true);
	ddebug_watch_cont(true);
	return 0;
}

static bool ddebug_hooks_in_place(const struct ddebug_hook *h, int n)
{
	for (; n; n--, h++)
		if (h->wanted && !ddebug_in_place(h))
			return false;
	return true;
}

/* Notice that kprobes were disabled or enabled behind our back. */
static void ddebug_check_probes(void)
{
	bool lost = !ddebug_hooks_in_place(print_hooks, ARRAY_SIZE(print_hooks)) ||
		    !ddebug_hooks_in_place(control_hooks, ARRAY_SIZE(control_hooks));

	lockdep_assert_held(&control_lock);
	if (lost == probes_lost)
		return;
	probes_lost = lost;
	ddebug_sync();
	if (lost)
		pr_warn("kprobes are disabled: nothing is recorded and 'r' is refused; enable them: echo 1 > /sys/kernel/debug/kprobes/enabled\n");
	else
		pr_info("kprobes are enabled again: recording %u callsites\n",
			nr_r);
}

/*
 * Wait for tasks, as explained at the top.  synchronize_rcu_tasks() leaves out the
 * idle tasks, and so does not wait for them.
 */
static void ddebug_quiesce(void)
{
	synchronize_rcu_tasks();
	ddebug_wait_idle();
}

static bool ddebug_print_wanted(void)
{
	return print_hooks[0].wanted;
}

/* How many calls of the print functions were not passed to us. */
static unsigned long ddebug_missed(void)
{
	unsigned long n = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(print_hooks); i++)
		/* counted by the calls that are missed, unordered */
		n += data_race(print_hooks[i].kp.nmissed);
	return n;
}

/* Only once: the message says where they are and what counts them. */
static void ddebug_say_missed(void)
{
	unsigned long n = ddebug_missed();

	lockdep_assert_held(&control_lock);
	if (!n || missed_said)
		return;
	missed_said = true;
	pr_notice("%lu print calls from within a kprobe handler could not be recorded: their messages are in the kernel log; missed_* in dynamic_debug_rb/stats counts further ones\n",
		  n);
}

/* While there is any 'r': check the probes.  Otherwise: disarm those of the print side. */
static void ddebug_maintain(struct work_struct *work)
{
	unsigned long count;
	bool idle;
	int i;

	ddebug_cpu_report(ddebug_missed());
	mutex_lock(&control_lock);
	ddebug_check_probes();
	ddebug_say_missed();
	ddebug_hook_count();
	idle = !nr_r;
	count = set_count;
	if (!idle)
		queue_delayed_work(system_unbound_wq, &maintain_work, CHECK_PERIOD);
	idle = idle && ddebug_print_wanted();
	mutex_unlock(&control_lock);
	if (!idle)
		return;

	ddebug_quiesce();

	mutex_lock(&control_lock);
	if (count == set_count) {
		for (i = 0; i < ARRAY_SIZE(print_hooks); i++)
			ddebug_disarm(&print_hooks[i]);
		ddebug_kmsg_watch_suppressed(false);
		ddebug_watch_cont(false);
	}
	mutex_unlock(&control_lock);
}

/*
 * Callsites that are not recorded
 */

/* Find the hex dump calls of @mod, which is coming, or with NULL: of everything. */
static void ddebug_hook_learn(const struct module *mod)
{
	struct _ddebug *d;

	for (d = ddebug_first(); d; d = ddebug_next())
		if (!mod || within_module((unsigned long)d, mod))
			ddebug_callsite_learn(d, mod);
	ddebug_done();
}

/* Note @d, which gets 'r', if it cannot be recorded.  Called while it is visited. */
static void ddebug_note_uncaptured(struct _ddebug *d)
{
	struct ddebug_site site;

	if (!ddebug_callsite_obstacle(d))
		return;
	uncaptured.new |= ddebug_dict_note(d);
	if (uncaptured.count++)
		return;
	ddebug_describe(&site, d);
	scnprintf(uncaptured.first, sizeof(uncaptured.first), "%s:%u",
		  site.shown_file, site.line);
}

/* Not again for those that have been reported. */
static void ddebug_say_uncaptured(void)
{
	lockdep_assert_held(&control_lock);
	if (uncaptured.new)
		pr_notice("%u of the callsites given 'r' cannot be recorded, their messages go to the kernel log: %s%s; see dynamic_debug_rb/uncaptured in debugfs\n",
			  uncaptured.count, uncaptured.first,
			  uncaptured.count > 1 ? ", ..." : "");
	uncaptured.count = 0;
	uncaptured.new = false;
}

/*
 * Modules come: their keys are tied to code, and may follow their flags.  They
 * become live: their __init text goes.
 * Modules go: their exit function has run, so none of their code is running.
 */
static int ddebug_hook_module_event(struct notifier_block *nb, unsigned long event,
			       void *data)
{
	const struct module *mod = data;
	unsigned int n = 0;
	struct _ddebug *d;

	if (event == MODULE_STATE_LIVE) {
		mutex_lock(&control_lock);
		ddebug_callsite_forget_init(mod);
		mutex_unlock(&control_lock);
	}
	if (event != MODULE_STATE_COMING && event != MODULE_STATE_GOING)
		return NOTIFY_DONE;

	mutex_lock(&control_lock);
	if (event == MODULE_STATE_COMING) {
		ddebug_hook_learn(mod);
	} else {
		ddebug_callsite_forget(mod);
		/* without any 'r' so far there is no note */
		if (set_count)
			ddebug_forget_lines();
	}
	for (d = ddebug_first(); d; d = ddebug_next()) {
		if (within_module((unsigned long)d, mod)) {
			if (event == MODULE_STATE_COMING) {
				if (d->flags & FLAG_R)
					ddebug_note_uncaptured(d);
				ddebug_set_key(d, d->flags & ddebug_flags_on());
			} else {
				ddebug_set_flags(d, d->flags & ~FLAG_R);
				ddebug_untie_key(d);
			}
		}
		n += !!(d->flags & FLAG_R);
	}
	ddebug_done();
	if (nr_r && !n)
		mod_delayed_work(system_unbound_wq, &maintain_work, DISARM_DELAY);
	ddebug_set_nr_r(n);
	ddebug_say_uncaptured();
	mutex_unlock(&control_lock);
	return NOTIFY_OK;
}

/* After that of jump labels (1), and after that of dynamic debug, if it has one (0). */
static struct notifier_block module_nb = {
	.notifier_call = ddebug_hook_module_event,
	.priority = -1,
};

/*
 * Carrying out queries
 */

/* Put every callsite that @q gives 'r' in the dictionary, and announce it to the host. */
static int ddebug_announce(const struct ddebug_query *q)
{
	struct _ddebug *d;
	int rc = 0;

	for (d = ddebug_first(); d; d = ddebug_next()) {
		if (!ddebug_matches(q, d))
			continue;
		rc = ddebug_dict_add(d);
		if (rc < 0)
			break;
	}
	ddebug_done();
	if (rc < 0)
		return rc;
	/* recording does not depend on the device */
	ddebug_dict_announce();
	return 0;
}

/* Callsites that have come since ddebug_announce() are put in the dictionary. */
static int ddebug_set_matching(const struct ddebug_query *q)
{
	unsigned int n = 0;
	struct _ddebug *d;
	int rc = 0, err = 0;

	for (d = ddebug_first(); d; d = ddebug_next()) {
		if (ddebug_matches(q, d)) {
			if (q->set & FLAG_R)
				rc = ddebug_dict_add(d);
			if (rc < 0) {
				err = rc;
			} else {
				if (q->set & FLAG_R)
					ddebug_note_uncaptured(d);
				ddebug_set_flags(d, (d->flags & q->keep) | q->set);
			}
		}
		n += !!(d->flags & FLAG_R);
	}
	ddebug_done();
	ddebug_set_nr_r(n);
	return err;
}

static int ddebug_apply(const struct ddebug_query *q)
{
	int rc;

	lockdep_assert_held(&control_lock);
	if (!(q->set & FLAG_R)) {
		rc = ddebug_set_matching(q);
		if (!nr_r)
			mod_delayed_work(system_unbound_wq, &maintain_work,
					 DISARM_DELAY);
		return rc;
	}

	set_count++;
	rc = ddebug_arm_print();
	if (!rc)
		rc = ddebug_announce(q);
	if (!rc) {
		ddebug_hook_learn(NULL);
		rc = ddebug_set_matching(q);
		ddebug_dict_announce();
	}
	mod_delayed_work(system_unbound_wq, &maintain_work,
			 nr_r ? CHECK_PERIOD : DISARM_DELAY);
	return rc;
}

/*
 * Carry out one query; @copy is another copy of @query.  What is not ours, or is
 * wrong, is left to the kernel's own parser, which also explains it.
 */
static int ddebug_run_one(char *query, char *copy, const char *module)
{
	struct ddebug_query q;
	int rc;

	rc = ddebug_query_parse(&q, copy, module);
	if (!rc && (q.has_r || nr_r))
		return ddebug_apply(&q);
	ddebug_query_drop_r(&q, query);
	stock_query(query, module);
	return rc;
}

/* Carry out all queries of @text, which is cut up.  Return 0, or the last error. */
static int ddebug_run(char *text, const char *module)
{
	char *copy, *query;
	int rc, err = 0;

	copy = kmalloc(strlen(text) + 1, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	while ((query = ddebug_query_next(&text))) {
		strcpy(copy, query);
		rc = ddebug_run_one(query, copy, module);
		if (rc)
			err = rc;
	}
	kfree(copy);
	ddebug_say_uncaptured();
	return err;
}

/* Must we carry out @text?  1, 0 or -ENOMEM. */
static int ddebug_concerns_us(const char *text)
{
	char *copy, *rest, *query;
	struct ddebug_query q;
	int ours = 0;

	lockdep_assert_held(&control_lock);
	if (stopping)
		return 0;
	if (nr_r)
		return 1;
	copy = kstrdup(text, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	rest = copy;
	while (!ours && (query = ddebug_query_next(&rest))) {
		ddebug_query_parse(&q, query, NULL);
		ours = q.has_r;
	}
	kfree(copy);
	return ours;
}

/*
 * The control side
 */

static void ddebug_enter(void)
{
	atomic_inc(&inflight);
}

static void ddebug_leave(void)
{
	if (atomic_dec_and_test(&inflight))
		wake_up_var(&inflight);
}

static ssize_t ddebug_write_text(struct file *file, const char __user *ubuf,
				 size_t len, loff_t *offp)
{
	ssize_t rc = 0;
	char *text = NULL;

	if (len && len <= WRITE_MAX) {
		text = memdup_user_nul(ubuf, len);
		if (IS_ERR(text))
			return PTR_ERR(text);
	}

	mutex_lock(&control_lock);
	if (text)
		rc = ddebug_concerns_us(text);
	if (!rc) {
		rc = stock_write(file, ubuf, len, offp);
	} else if (rc > 0) {
		rc = ddebug_run(text, NULL);
		if (!rc) {
			*offp += len;
			rc = len;
		}
	}
	mutex_unlock(&control_lock);
	kfree(text);
	return rc;
}

/* Replaces ddebug_proc_write(). */
static ssize_t ddebug_write(struct file *file, const char __user *ubuf,
			    size_t len, loff_t *offp)
{
	ssize_t rc;

	ddebug_enter();
	rc = ddebug_write_text(file, ubuf, len, offp);
	ddebug_leave();
	return rc;
}

/* Replaces ddebug_proc_show(), for callsites with 'r'; with ddebug_lock. */
static int ddebug_show(struct seq_file *m, void *p)
{
	size_t from = m->count;
	struct ddebug_control_line l;
	char *end, *at;
	int rc;

	rc = stock_show(m, p);
	if (rc || seq_has_overflowed(m) ||
	    !ddebug_take_apart(&l, m->buf + from, m->count - from, p))
		return rc;

	if (l.flags_len == 1 && *l.flags == '_') {
		*l.flags = 'r';
		return 0;
	}
	if (m->count + 1 >= m->size) {
		m->count = m->size;	/* it did not fit: called again */
		return 0;
	}
	at = l.flags + l.flags_len;
	end = m->buf + m->count;
	memmove(at + 1, at, end - at);
	*at = 'r';
	m->count++;
	return 0;
}

/*
 * "dyndbg", or "dyndbg" of another module: "other.dyndbg".  Return the queries, and
 * the module that they are for unless they say otherwise.
 */
static const char *ddebug_param_queries(const char *param, const char *val,
					const char **module, char **other)
{
	const char *dot = strchr(param, '.');

	*other = NULL;
	if (strcmp(dot ? dot + 1 : param, "dyndbg"))
		return NULL;
	if (dot) {
		*other = kstrndup(param, dot - param, GFP_KERNEL);
		if (!*other)
			return NULL;
		*module = *other;
	}
	return val ?: "+p";
}

static int ddebug_run_param(char *param, char *val, const char *module)
{
	const char *meant = module, *text;
	char *other, *copy;
	int rc = 0;

	text = ddebug_param_queries(param, val, &meant, &other);
	mutex_lock(&control_lock);
	if (text && ddebug_concerns_us(text) > 0) {
		copy = kstrdup(text, GFP_KERNEL);
		if (copy)
			ddebug_run(copy, meant);
		kfree(copy);
	} else {
		rc = stock_module_param(param, val, module);
	}
	mutex_unlock(&control_lock);
	kfree(other);
	return rc;
}

/*
 * Replaces ddebug_dyndbg_module_param_cb(): a parameter that the module does not
 * have.  As there, a bad query does not keep the module from loading.
 */
static int ddebug_module_param(char *param, char *val, const char *module)
{
	int rc;

	ddebug_enter();
	rc = ddebug_run_param(param, val, module);
	ddebug_leave();
	return rc;
}

/*
 * Replaces param_set_dyndbg_classes().  It may have switched off keys of callsites
 * with 'r'; their messages in between are not recorded.
 */
static int ddebug_class_param(const char *val, const struct kernel_param *kp)
{
	int rc;

	ddebug_enter();
	mutex_lock(&control_lock);
	rc = stock_class_param(val, kp);
	if (nr_r)
		ddebug_sync();
	mutex_unlock(&control_lock);
	ddebug_leave();
	return rc;
}

/*
 * Begin and end
 */

/**
 * ddebug_function_start() - get the address of a probed function
 * @kp: a probe at its entry, registered; it may be behind an ENDBR
 *
 * Context: Any.
 */
void *ddebug_function_start(const struct kprobe *kp)
{
	char name[KSYM_SYMBOL_LEN];
	unsigned long offset = 0;
	const char *plus;

	sprint_symbol(name, (unsigned long)kp->addr);
	plus = strrchr(name, '+');
	if (plus)
		sscanf(plus, "+0x%lx/", &offset);
	return (void *)kp->addr - offset;
}

/**
 * ddebug_may_call() - check that a kernel function can be called by its address
 * @start: its start, where no probe is armed
 *
 * Where the CPU tracks indirect branches, the kernel removes the ENDBR from all functions
 * that it calls only by name; calling one through a pointer raises a control protection
 * fault.
 *
 * Context: Any.
 */
bool ddebug_may_call(const void *start)
{
#ifdef CONFIG_X86_KERNEL_IBT
	if (cpu_feature_enabled(X86_FEATURE_IBT))
		return READ_ONCE(*(const u32 *)start) == ENDBR64;
#endif
	return true;
}

/* Only to get addresses; nothing is armed yet. */
static int ddebug_register(struct ddebug_hook *h, int n)
{
	int rc;

	for (; n; n--, h++) {
		h->kp.flags = KPROBE_FLAG_DISABLED;
		rc = register_kprobe(&h->kp);
		if (rc) {
			pr_err("this kernel is not supported: no kprobe at %s, error %d\n",
			       h->kp.symbol_name, rc);
			return -EOPNOTSUPP;
		}
		h->registered = true;
		h->stock = ddebug_function_start(&h->kp);
		if (!ddebug_may_call(h->stock)) {
			pr_err("this CPU tracks indirect branches (IBT) and %s allows none: boot the kernel with ibt=off\n",
			       h->kp.symbol_name);
			return -EOPNOTSUPP;
		}
	}
	return 0;
}

/* All together: one grace period instead of many. */
static void ddebug_unregister(struct ddebug_hook *h, int n)
{
	struct kprobe *kps[ARRAY_SIZE(print_hooks) + ARRAY_SIZE(control_hooks)];
	int nr = 0;

	for (; n; n--, h++) {
		if (h->registered)
			kps[nr++] = &h->kp;
		h->registered = false;
		h->wanted = false;
	}
	unregister_kprobes(kps, nr);
}

/* The functions that read the control file are found by opening it. */
static int ddebug_find_seq_operations(void)
{
	static const char * const paths[] = {
		"/proc/dynamic_debug/control",
		"/sys/kernel/debug/dynamic_debug/control",
	};
	struct file *file;
	struct seq_file *m;
	int i;

	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		file = filp_open(paths[i], O_RDONLY, 0);
		if (IS_ERR(file))
			continue;
		m = file->private_data;
		walk.m.op = m->op;
		filp_close(file, NULL);
		return 0;
	}
	pr_err("cannot open %s or %s: mount /proc\n",
	       paths[0], paths[1]);
	return -EOPNOTSUPP;
}

/* Is this kernel what we expect? */
static int ddebug_check_kernel(void)
{
	unsigned int used = 0, n = 0;
	struct _ddebug *d;

	if ((void *)walk.m.op->show != control_hooks[CONTROL_SHOW].stock) {
		pr_err("this kernel is not supported: its control file is shown by %ps\n",
		       walk.m.op->show);
		return -EOPNOTSUPP;
	}

	for (d = ddebug_first(); d; d = ddebug_next()) {
		used |= d->flags;
		n++;
	}
	ddebug_done();
	if (used & FLAG_R) {
		pr_err("flag bit %d of a callsite is in use: does another module add a flag 'r'?\n",
		       ilog2(FLAG_R));
		return -EBUSY;
	}
	if (!n) {
		pr_err("this kernel is not supported: it has no callsites\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int ddebug_probe_kernel(void)
{
	int rc;

	rc = ddebug_find_seq_operations();
	if (!rc)
		rc = ddebug_register(print_hooks, ARRAY_SIZE(print_hooks));
	if (!rc)
		rc = ddebug_register(control_hooks, ARRAY_SIZE(control_hooks));
	if (!rc)
		rc = ddebug_check_kernel();
	return rc;
}

/* Modules are watched before the first callsite can get 'r'. */
static int ddebug_arm_control(void)
{
	int i, rc;

	rc = register_module_notifier(&module_nb);
	if (rc)
		return rc;
	watching = true;
	mutex_lock(&control_lock);
	for (i = 0; !rc && i < ARRAY_SIZE(control_hooks); i++)
		rc = ddebug_arm(&control_hooks[i]);
	/* a task that hit an armed probe, and waits for the lock, must not set 'r' */
	stopping = rc;
	mutex_unlock(&control_lock);
	return rc;
}

/**
 * ddebug_hook_start() - add the flag 'r' to the kernel
 *
 * Context: Process.  Sleeps.
 * Return: 0; -EOPNOTSUPP if this kernel is not supported, -EBUSY if the flag's bit
 * is in use, -ENOMEM.  The log says more.  On an error nothing has changed.
 */
int ddebug_hook_start(void)
{
	int rc;

	walk.m.private = walk.iter;
	walk.m.size = LINE_MAX;
	walk.m.buf = kmalloc(LINE_MAX, GFP_KERNEL);
	if (!walk.m.buf)
		return -ENOMEM;

	mutex_lock(&control_lock);
	rc = ddebug_probe_kernel();
	mutex_unlock(&control_lock);
	if (!rc)
		rc = ddebug_arm_control();
	if (rc)
		ddebug_hook_stop();
	return rc;
}

/**
 * ddebug_hook_stop() - remove the flag 'r' from the kernel
 *
 * Afterwards no callsite has 'r', keys match flags, and no code of this file is
 * running or can be entered.
 *
 * Context: Process.  Sleeps until every task has given up its CPU once.
 */
void ddebug_hook_stop(void)
{
	/* 'r' can no longer be set ... */
	mutex_lock(&control_lock);
	stopping = true;
	if (control_hooks[CONTROL_SHOW].wanted)
		ddebug_clear();
	/* While modules that go are noticed, and before calls are waited for. */
	ddebug_watch_cont(false);
	ddebug_forget_lines();
	/* Modules that go are not noticed any more. */
	ddebug_callsite_forget(NULL);
	mutex_unlock(&control_lock);
	if (watching)
		unregister_module_notifier(&module_nb);
	watching = false;
	cancel_delayed_work_sync(&maintain_work);
	ddebug_cpu_report(ddebug_missed());

	/* ... so stock's functions may change flags alongside ours. */
	ddebug_unregister(control_hooks, ARRAY_SIZE(control_hooks));

	/*
	 * A task that hit a control probe is counted; one that 'r' let in has reached a
	 * print probe ...
	 */
	ddebug_quiesce();
	wait_var_event(&inflight, !atomic_read(&inflight));

	/* ... and then left what is behind it. */
	ddebug_unregister(print_hooks, ARRAY_SIZE(print_hooks));
	ddebug_kmsg_watch_suppressed(false);
	ddebug_quiesce();

	kfree(walk.m.buf);
	walk.m.buf = NULL;
}

static unsigned int ddebug_count_uncaptured(void)
{
	unsigned int n = 0;
	struct _ddebug *d;

	for (d = ddebug_first(); d; d = ddebug_next())
		n += (d->flags & FLAG_R) && ddebug_callsite_obstacle(d);
	ddebug_done();
	return n;
}

static void ddebug_missed_stats(struct seq_file *m, const struct ddebug_hook *h,
				int n)
{
	/* counted by the calls that are missed, unordered */
	for (; n; n--, h++)
		seq_printf(m, "missed_%s: %lu\n", h->kp.symbol_name,
			   data_race(h->kp.nmissed));
}

/**
 * ddebug_hook_stats() - print the hook's lines of the stats file
 * @m: the file
 *
 *   callsites_r         callsites with 'r'
 *   print_probes_armed  1 while messages are passed to us
 *   kprobes_disabled    1 while kprobes are disabled, which prevents that
 *   missed_FUNCTION     calls of it that were not passed to us: from inside a
 *                       kprobe handler, or from an NMI that hit one
 *   callsites_r_uncaptured  of those with 'r', the ones that print to the kernel
 *                       log instead of being recorded
 *
 * Context: Process.  Sleeps.
 */
void ddebug_hook_stats(struct seq_file *m)
{
	ddebug_cpu_report(ddebug_missed());
	mutex_lock(&control_lock);
	ddebug_check_probes();
	ddebug_say_missed();
	ddebug_hook_count();
	seq_printf(m, "callsites_r: %u\n", nr_r);
	seq_printf(m, "callsites_r_uncaptured: %u\n", ddebug_count_uncaptured());
	seq_printf(m, "print_probes_armed: %d\n", ddebug_print_wanted());
	seq_printf(m, "kprobes_disabled: %d\n", probes_lost);
	ddebug_missed_stats(m, print_hooks, ARRAY_SIZE(print_hooks));
	ddebug_missed_stats(m, control_hooks, ARRAY_SIZE(control_hooks));
	mutex_unlock(&control_lock);
}

/**
 * ddebug_hook_uncaptured() - list the callsites that 'r' cannot record
 * @m: where to write lines "file:line [module]function reason"
 *
 * Context: Process.  Sleeps.
 */
void ddebug_hook_uncaptured(struct seq_file *m)
{
	struct ddebug_site site;
	const char *obstacle;
	struct _ddebug *d;

	mutex_lock(&control_lock);
	ddebug_hook_learn(NULL);
	for (d = ddebug_first(); d; d = ddebug_next()) {
		obstacle = ddebug_callsite_obstacle(d);
		if (!obstacle)
			continue;
		ddebug_describe(&site, d);
		seq_printf(m, "%s:%u [%s]%s %s\n", site.shown_file, site.line,
			   site.module, site.function, obstacle);
	}
	ddebug_done();
	mutex_unlock(&control_lock);
}
