/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Kicks: the handler that follows commits, and how to request it.  ddebug_kick.c has
 * the proof that no commit is left behind.
 */
#ifndef _DDEBUG_KICK_H
#define _DDEBUG_KICK_H

#include <linux/compiler.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/types.h>
#include "ddebug_rb.h"
#include "ddebug_transport.h"

DECLARE_PER_CPU(struct ddebug_cpu, ddebug_cpu);

void ddebug_kick_init(bool (*drop)(unsigned long n));
void ddebug_kick_exit(void);
void ddebug_kick_arm(struct ddebug_cpu *c, u8 context, u64 time, bool half);
void ddebug_kick_active(void);
void ddebug_kick_online(void);
void ddebug_kick_dead(unsigned int cpu);
void ddebug_kick_dying(struct ddebug_ring *r);
void ddebug_kick_listen(void (*listener)(void));
void ddebug_work_on(unsigned int cpu);
void ddebug_work_all(void);
void ddebug_wait_idle(void);

/*
 * Is this context inside the transport's work?  @c is this CPU's, @level the
 * context level.  Code that interrupts such work is not part of it.
 */
static inline bool ddebug_in_own_path(const struct ddebug_cpu *c, u8 level)
{
	if (READ_ONCE(c->own_level) == level + 1)
		return true;
	return !level && READ_ONCE(ddebug_own_task) == current &&
	       ddebug_own_start == current->start_time;
}

/**
 * ddebug_kick() - make sure that the device learns of a commit
 * @c: this CPU's
 * @context: of the stream
 * @time: ns; of the message
 * @half: the device has half a ring still to copy
 *
 * Context: Any, NMI included, with preemption off.
 */
static inline void ddebug_kick(struct ddebug_cpu *c, u8 context, u64 time, bool half)
{
	u8 armed = READ_ONCE(c->armed);

	if (unlikely(!armed || (half && armed != DDEBUG_ARMED_NOW)))
		ddebug_kick_arm(c, context, time, half);
}

#endif /* _DDEBUG_KICK_H */
