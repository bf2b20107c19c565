// SPDX-License-Identifier: GPL-2.0
/*
 * Reporting the guest's death: when the kernel oopses or panics, the tail of its log
 * goes into the stream of the dying CPU, followed by a notice in that stream's header,
 * and the device is notified at once.
 *
 * When
 * ----
 *   oops    the kernel hands its log to dumpers once the oops is complete
 *           (kmsg_dump() in oops_exit()).
 *   panic   panic() prints the reason and the stack, calls __crash_kexec(), then
 *           its notifiers, then the dumpers.  If a capture kernel is loaded,
 *           __crash_kexec() does not return.  If there is a pvpanic device, its
 *           driver's notifier may have the VM stopped for good.  So the place is
 *           the entry of __crash_kexec(), which a kprobe redirects to us.  With
 *           crash_kexec_post_notifiers it is called later: then the first of the
 *           notifiers is the place, as it is if a probe is missed (a panic inside a
 *           kprobe handler); should others have come before, the dumpers.
 *
 * The first of these reports, once for each oops and once for the panic.  A writer
 * interrupted in a message on this CPU in this context never continues, because the task is
 * killed or the kernel stops: ddebug_ring_disown().
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/irqflags.h>
#include <linux/kexec.h>
#include <linux/kmsg_dump.h>
#include <linux/kprobes.h>
#include <linux/limits.h>
#include <linux/notifier.h>
#include <linux/panic_notifier.h>
#include <linux/preempt.h>
#include <linux/ptrace.h>
#include "ddebug_compat.h"
#include "ddebug_death.h"
#include "ddebug_hook.h"
#include "ddebug_kick.h"
#include "ddebug_kmsg.h"
#include "ddebug_ring.h"

static atomic_t panic_reported = ATOMIC_INIT(0);
static bool kexec_probed;

static void ddebug_die(u8 kind, u32 why)
{
	struct ddebug_ring *r;
	unsigned long flags;

	preempt_disable();
	r = ddebug_ring_disown();
	if (r) {
		ddebug_kmsg_tail(r, why);
		/* it may have been replaced meanwhile, or be gone */
		local_irq_save(flags);
		r = this_cpu_ptr(&ddebug_cpu)->ring[r->context];
		if (r) {
			ddebug_ring_notice(r, kind);
			ddebug_kick_dying(r);
		}
		local_irq_restore(flags);
	}
	preempt_enable();
}

static void ddebug_die_of_panic(void)
{
	if (!atomic_xchg(&panic_reported, 1))
		ddebug_die(kexec_crash_loaded() ? VIRTIO_DDEBUG_NOTICE_KDUMP :
						  VIRTIO_DDEBUG_NOTICE_PANIC,
			   DDEBUG_KMSG_F_PANIC);
}

static int ddebug_panic_notified(struct notifier_block *nb, unsigned long event, void *data)
{
	ddebug_die_of_panic();
	return NOTIFY_DONE;
}

static struct notifier_block panic_nb = {
	.notifier_call = ddebug_panic_notified,
	.priority = INT_MAX,
};

static void ddebug_dump(struct kmsg_dumper *dumper, enum kmsg_dump_reason reason)
{
	if (reason == KMSG_DUMP_OOPS)
		ddebug_die(VIRTIO_DDEBUG_NOTICE_OOPS, DDEBUG_KMSG_F_OOPS);
	else if (reason == KMSG_DUMP_PANIC)
		ddebug_die_of_panic();
}
DDEBUG_KMSG_DUMP(ddebug_dumper, ddebug_dump, KMSG_DUMP_OOPS);

/*
 * Runs instead of __crash_kexec(), in the context of the dying CPU: the handler of a
 * kprobe would count as an NMI.
 */
static void ddebug_crash_kexec(struct pt_regs *regs);

static void (*stock_crash_kexec)(struct pt_regs *regs);

/*
 * panic() has no registers to pass on.  An oops that will become a panic has, and
 * returns if there is no capture kernel: then panic() has yet to print why.
 */
static int ddebug_crash_kexec_hit(struct kprobe *kp, struct pt_regs *regs)
{
	if (atomic_read(&panic_reported) || !READ_ONCE(stock_crash_kexec) ||
	    (regs_get_kernel_argument(regs, 0) && !kexec_crash_loaded()))
		return 0;
	instruction_pointer_set(regs, (unsigned long)ddebug_crash_kexec);
	return 1;
}
NOKPROBE_SYMBOL(ddebug_crash_kexec_hit);

/* Keeps the breakpoint from being replaced by a jump, which ignores the new pointer. */
static void ddebug_crash_kexec_after(struct kprobe *kp, struct pt_regs *regs, unsigned long flags)
{
}
NOKPROBE_SYMBOL(ddebug_crash_kexec_after);

static struct kprobe crash_kexec_kp = {
	.symbol_name = "__crash_kexec",
	.pre_handler = ddebug_crash_kexec_hit,
	.post_handler = ddebug_crash_kexec_after,
};

static notrace void ddebug_crash_kexec(struct pt_regs *regs)
{
	ddebug_die_of_panic();
	stock_crash_kexec(regs);
}

/**
 * ddebug_death_init() - start reporting oopses and the panic
 *
 * Nothing missing here affects the flag 'r', so failures are logged but are not errors.
 *
 * Context: Process, once there are streams.
 */
void ddebug_death_init(void)
{
	int err;

	err = kmsg_dump_register(&ddebug_dumper);
	if (err)
		pr_warn("cannot report oopses to the host: error %d\n", err);
	atomic_notifier_chain_register(&panic_notifier_list, &panic_nb);
	err = register_kprobe(&crash_kexec_kp);
	kexec_probed = !err;
	if (!err && !ddebug_may_call(ddebug_function_start(&crash_kexec_kp))) {
		unregister_kprobe(&crash_kexec_kp);
		kexec_probed = false;
		err = -EOPNOTSUPP;
	}
	if (err)
		pr_warn("cannot report a panic before other panic handlers and a capture kernel run: no kprobe at %s, error %d\n",
			crash_kexec_kp.symbol_name, err);
	else
		WRITE_ONCE(stock_crash_kexec, ddebug_function_start(&crash_kexec_kp));
}

/**
 * ddebug_death_exit() - stop reporting oopses and the panic
 *
 * Context: Process.  When this returns, no code of this file is running: a task that enters
 * it through a probe does not leave it alive.
 */
void ddebug_death_exit(void)
{
	if (kexec_probed)
		unregister_kprobe(&crash_kexec_kp);
	atomic_notifier_chain_unregister(&panic_notifier_list, &panic_nb);
	kmsg_dump_unregister(&ddebug_dumper);
}
