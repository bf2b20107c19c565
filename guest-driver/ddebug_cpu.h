/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The streams of all CPUs, which come and go.
 */
#ifndef _DDEBUG_CPU_H
#define _DDEBUG_CPU_H

#include <linux/types.h>

struct ddebug_transport;
struct seq_file;

/* Sources of messages: ddebug_cpu_set_active(). */
#define DDEBUG_ACTIVE_CALLSITES	0x1u
#define DDEBUG_ACTIVE_KMSG	0x2u

int ddebug_cpu_init(void);
void ddebug_cpu_exit(void);
int ddebug_cpu_post(struct ddebug_transport *t, unsigned int cpu);
void ddebug_cpu_post_soon(void);
void ddebug_cpu_set_active(unsigned int why, bool active);
bool ddebug_cpu_progress(u64 *consumed);
void ddebug_cpu_stats(struct seq_file *m);
unsigned long ddebug_cpu_nostream(void);
void ddebug_cpu_report(unsigned long missed);

#endif /* _DDEBUG_CPU_H */
