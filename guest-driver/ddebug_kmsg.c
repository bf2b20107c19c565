// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's own log in the streams: as it is printed, if requested, and its tail
 * when the kernel dies.
 *
 * As it is printed
 * ----------------
 * A printing task or interrupt hits the tracepoint "console", in its own context, before
 * the line is visible anywhere else, and whether or not a console will show it.  So the
 * line becomes a record of that context's stream like any message, in order with them,
 * and what a kernel prints just before it hangs is recorded as well.  A message that has
 * both 'p' and 'r' is recorded once: ddebug_kmsg_mute().
 *
 * What was printed before is copied from the kernel's log when recording starts:
 * since boot, or, if the host's log is the one that has had the lines before
 * (kmsg_log), from where recording stopped (kmsg_seq).  A line that is printed at
 * the moment of starting or stopping may be recorded twice.
 *
 * What is suppressed
 * ------------------
 * Callsites may limit their rate (pr_debug_ratelimited() and such).  What that suppresses is
 * counted in one line of the kernel's log, "FUNCTION: 12 callbacks suppressed", by a function
 * that prints little else.  Without that line recorded messages would seem to be complete.
 * So while callsites have 'r' a kprobe at that function recognises it, if FUNCTION has one of
 * them, or is net_ratelimit(), which the network's share; all others are no matter of the
 * recorded messages.
 *
 * The tail
 * --------
 * A dying kernel's last lines may have been printed before recording started, or may
 * not be wanted otherwise.  So they are copied from its log once they are complete:
 * ddebug_death.c explains when that is.  If all of the log has been recorded as it was
 * printed, it is not copied again; one line that was missed is reason enough to copy.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/kallsyms.h>
#include <linux/kern_levels.h>
#include <linux/kmsg_dump.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include "ddebug_cpu.h"
#include "ddebug_dict.h"
#include "ddebug_kick.h"
#include "ddebug_kmsg.h"
#include "ddebug_ring.h"

/* A quarter of the ring, so that records of short lines take at most half of it. */
#define DDEBUG_TAIL_SHARE	4
#define DDEBUG_TAIL_MAX		SZ_32K

/* A line of the kernel's log with its stamp, as text; longer ones are cut. */
#define DDEBUG_PAST_LINE_MAX	SZ_4K

/* How long copying the existing log waits, in all, for a host that does not read: ms. */
#define DDEBUG_PAST_PATIENCE	2000
#define DDEBUG_PAST_NAP		5

static bool kmsg_param;
module_param_named(kmsg, kmsg_param, bool, 0444);
MODULE_PARM_DESC(kmsg, "record the kernel's log even if the host does not ask for it (default N)");

/* Serialises starting and stopping. */
static DEFINE_MUTEX(kmsg_mutex);
static bool kmsg_host;		/* the host wants it */
static bool kmsg_on;		/* lines are recorded as they are printed */
static struct tracepoint *printed_tp;

/* Lines by their sequence numbers in the kernel's log. */
static u64 kmsg_log;		/* id of the host's log that has those below kmsg_seq; 0: none */
static u64 kmsg_seq;
static u64 kmsg_host_log;	/* id of the log that lines go to now; 0: unknown */

/* While kmsg_on: all is recorded that was printed before, and not all that is printed. */
static bool kmsg_past_done;
static bool kmsg_missed;

static char tail_buf[DDEBUG_TAIL_MAX];
static atomic_t tail_busy = ATOMIC_INIT(0);

/* Return whether it was recorded; if not, it has been counted as dropped. */
static noinline bool ddebug_emit_kmsg(u32 flags, const char *text, size_t len)
{
	struct ddebug_slot slot;
	bool ours;

	len = min_t(size_t, len, DDEBUG_TEXT_MAX);
	preempt_disable_notrace();
	ours = ddebug_slot_begin(&slot, (unsigned long)__builtin_frame_address(0));
	if (ours) {
		if (slot.room <= len)
			ddebug_slot_next(&slot);
		memcpy(slot.text, text, len);
		ddebug_slot_commit_text(&slot, DDEBUG_REC_KMSG, flags, task_pid_nr(current), len);
	}
	preempt_enable_notrace();
	return ours;
}

/* Record lines as the kernel's log has them, each with its own stamp. */
static void ddebug_emit_lines(u32 flags, const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end) {
		const char *newline = memchr(text, '\n', end - text);
		size_t n = (newline ?: end) - text;

		ddebug_emit_kmsg(flags | DDEBUG_KMSG_F_PAST, text, n);
		text += n + 1;
	}
}

/*
 * As it is printed
 */

/**
 * ddebug_kmsg_mute() - do not record what this context prints from now on
 *
 * The caller records it itself.  Lasts until ddebug_kmsg_unmute(), and only in this
 * context of this CPU.
 *
 * Context: Any.  Preemption is off if it returns true.
 * Return: Whether ddebug_kmsg_unmute() must be called.
 */
bool ddebug_kmsg_mute(void)
{
	/* With PREEMPT_RT a console may sleep in there: better recorded twice than that. */
	if (!READ_ONCE(kmsg_on) || IS_ENABLED(CONFIG_PREEMPT_RT))
		return false;
	preempt_disable();
	this_cpu_ptr(&ddebug_cpu)->muted |= BIT(interrupt_context_level());
	barrier();	/* whoever interrupts us has a bit of its own, and clears it again */
	return true;
}

/**
 * ddebug_kmsg_unmute() - end of ddebug_kmsg_mute(), if that returned true
 */
void ddebug_kmsg_unmute(void)
{
	barrier();
	this_cpu_ptr(&ddebug_cpu)->muted &= ~BIT(interrupt_context_level());
	preempt_enable();
}

/* The number that the next line of the kernel's log gets, or one before. */
static u64 ddebug_kmsg_next(void)
{
	struct kmsg_dump_iter iter;

	kmsg_dump_rewind(&iter);
	return iter.next_seq;
}

/* Called with preemption off, in the printing context; @text does not end in a newline. */
static void ddebug_kmsg_printed(void *unused, const char *text, size_t len)
{
	if (this_cpu_ptr(&ddebug_cpu)->muted & BIT(interrupt_context_level()))
		return;
	if (!ddebug_emit_kmsg(0, text, len))
		WRITE_ONCE(kmsg_missed, true);
}

/*
 * What is suppressed
 */

/* A function's name and a number. */
#define DDEBUG_SUPPRESSED_MAX	(KSYM_NAME_LEN + 64)

static const char suppressed_format[] = KERN_WARNING "%s: %d callbacks suppressed\n";
static bool suppressed_watched;	/* the probe is registered */

static int ddebug_suppressed_hit(struct kprobe *kp, struct pt_regs *regs)
{
	char text[DDEBUG_SUPPRESSED_MAX];
	const char *function;
	size_t len;

	/* otherwise recorded when it is printed */
	if (READ_ONCE(kmsg_on) ||
	    strcmp((const char *)regs_get_kernel_argument(regs, 0), suppressed_format))
		return 0;
	function = (const char *)regs_get_kernel_argument(regs, 1);
	/* the network's callsites share a limit, which does not know their names */
	if (strcmp(function, "net_ratelimit") && !ddebug_dict_has_function(function))
		return 0;
	len = scnprintf(text, sizeof(text), suppressed_format + strlen(KERN_WARNING), function,
			(int)regs_get_kernel_argument(regs, 2));
	ddebug_emit_kmsg(0, text, len - 1);
	return 0;
}

static struct kprobe suppressed_probe;

/**
 * ddebug_kmsg_watch_suppressed() - record how many messages rate limits suppress, or not
 * @on: there are callsites with 'r'
 *
 * Context: Process, one task at a time.  Sleeps.
 */
void ddebug_kmsg_watch_suppressed(bool on)
{
	int err;

	if (on == suppressed_watched)
		return;
	suppressed_watched = on;
	if (!on) {
		unregister_kprobe(&suppressed_probe);
		return;
	}
	suppressed_probe = (struct kprobe) {
		.symbol_name = "_printk_deferred",
		.pre_handler = ddebug_suppressed_hit,
	};
	err = register_kprobe(&suppressed_probe);
	if (err) {
		suppressed_watched = false;
		pr_warn_once("cannot record how many messages rate limits suppress: no kprobe at %s, error %d\n",
			     "_printk_deferred", err);
	}
}

/*
 * Record what the kernel's log has already, from the line @seq on.  The rings are smaller than
 * that, so the host gets time to read; if it does not, the oldest lines are lost.
 */
static void ddebug_kmsg_past(u64 seq)
{
	unsigned int patience = DDEBUG_PAST_PATIENCE / DDEBUG_PAST_NAP;
	char *line = kmalloc(DDEBUG_PAST_LINE_MAX, GFP_KERNEL);
	struct kmsg_dump_iter iter;
	size_t len;

	if (!line) {
		pr_warn("no memory to record the existing kernel log\n");
		return;
	}
	kmsg_dump_rewind(&iter);
	iter.cur_seq = max(iter.cur_seq, seq);
	while (iter.cur_seq < iter.next_seq &&
	       kmsg_dump_get_line(&iter, false, line, DDEBUG_PAST_LINE_MAX, &len)) {
		while (patience && ddebug_ring_host_lagging()) {
			msleep(DDEBUG_PAST_NAP);
			patience--;
		}
		ddebug_emit_lines(0, line, len);
	}
	kfree(line);
	WRITE_ONCE(kmsg_past_done, true);
}

/* Not exported by all kernels, but it can be found by its name. */
static void ddebug_kmsg_find(struct tracepoint *tp, void *found)
{
	if (!strcmp(tp->name, "console"))
		*(struct tracepoint **)found = tp;
}

static int ddebug_kmsg_hook(void)
{
	if (!printed_tp)
		for_each_kernel_tracepoint(ddebug_kmsg_find, &printed_tp);
	if (!printed_tp)
		return -ENOENT;
	return tracepoint_probe_register(printed_tp, ddebug_kmsg_printed, NULL);
}

static void ddebug_kmsg_update(void)
{
	bool on = kmsg_param || kmsg_host;
	int err;

	lockdep_assert_held(&kmsg_mutex);
	if (on == kmsg_on)
		return;
	if (on) {
		kmsg_past_done = false;
		kmsg_missed = false;
		err = ddebug_kmsg_hook();
		if (err) {
			pr_warn("cannot record the kernel's log: no tracepoint, error %d\n",
				err);
			return;
		}
		WRITE_ONCE(kmsg_on, true);
		ddebug_cpu_set_active(DDEBUG_ACTIVE_KMSG, true);
		ddebug_kmsg_past(kmsg_host_log && kmsg_host_log == kmsg_log ? kmsg_seq : 0);
	} else {
		/* first: what is printed meanwhile had better be recorded twice than not */
		kmsg_seq = ddebug_kmsg_next();
		kmsg_log = kmsg_host_log;
		WRITE_ONCE(kmsg_on, false);
		tracepoint_probe_unregister(printed_tp, ddebug_kmsg_printed, NULL);
		tracepoint_synchronize_unregister();
		ddebug_cpu_set_active(DDEBUG_ACTIVE_KMSG, false);
	}
}

/**
 * ddebug_kmsg_for_host() - set whether the host wants the kernel's log
 * @wanted: it does
 * @log_id: identifies its log; 0: unknown
 *
 * Context: Process.  Sleeps; for at most two seconds if the host does not read.
 */
void ddebug_kmsg_for_host(bool wanted, u64 log_id)
{
	mutex_lock(&kmsg_mutex);
	kmsg_host = wanted;
	/* when stopping, it is still the one that has the lines */
	if (wanted)
		kmsg_host_log = log_id;
	ddebug_kmsg_update();
	mutex_unlock(&kmsg_mutex);
}

/**
 * ddebug_kmsg_init() - record the kernel's log, if the module's parameter says so
 *
 * Context: Process, once there are streams.
 */
void ddebug_kmsg_init(void)
{
	mutex_lock(&kmsg_mutex);
	ddebug_kmsg_update();
	mutex_unlock(&kmsg_mutex);
}

/**
 * ddebug_kmsg_exit() - stop recording the kernel's log
 *
 * Context: Process.  ddebug_kmsg_printed() is not running when this returns.
 */
void ddebug_kmsg_exit(void)
{
	mutex_lock(&kmsg_mutex);
	kmsg_param = false;
	kmsg_host = false;
	ddebug_kmsg_update();
	mutex_unlock(&kmsg_mutex);
}

/*
 * The tail
 */

/**
 * ddebug_kmsg_tail() - record the last lines of the kernel's log
 * @r: the stream of this context, which is ours (ddebug_ring_disown())
 * @flags: why: DDEBUG_KMSG_F_OOPS or _PANIC
 *
 * As many as fit in half of the stream's ring; none if all have been recorded as they
 * were printed.  If two CPUs oops at once, one of them
 * records: it is the same log.  A panic always does, once: an oops that was about to
 * record does not have these lines yet, and its own may come out garbled.
 *
 * Context: Any, NMI included, with preemption off.
 */
void ddebug_kmsg_tail(const struct ddebug_ring *r, u32 flags)
{
	struct kmsg_dump_iter iter;
	size_t len;

	if (READ_ONCE(kmsg_on) && READ_ONCE(kmsg_past_done) && !READ_ONCE(kmsg_missed))
		return;
	if (atomic_xchg(&tail_busy, 1) && !(flags & DDEBUG_KMSG_F_PANIC))
		return;
	kmsg_dump_rewind(&iter);
	if (kmsg_dump_get_buffer(&iter, false, tail_buf,
				 min_t(size_t, sizeof(tail_buf), r->size / DDEBUG_TAIL_SHARE),
				 &len))
		ddebug_emit_lines(flags, tail_buf, len);
	atomic_set(&tail_busy, 0);
}
