// SPDX-License-Identifier: GPL-2.0
/*
 * ddebug_rb: the dynamic debug flag 'r', which records a message in a ring
 * instead of, or in addition to, printing it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include "ddebug_attach.h"
#include "ddebug_cpu.h"
#include "ddebug_death.h"
#include "ddebug_dict.h"
#include "ddebug_files.h"
#include "ddebug_hook.h"
#include "ddebug_kick.h"
#include "ddebug_kmsg.h"
#include "ddebug_pipe.h"
#include "ddebug_version.h"

static struct dentry *ddebug_dir;

static int ddebug_stats_show(struct seq_file *m, void *v)
{
	unsigned long own = 0, now = 0, lazy = 0, kicks = 0;
	unsigned int cpu;
	bool attached;

	for_each_possible_cpu(cpu) {
		const struct ddebug_cpu *c = per_cpu_ptr(&ddebug_cpu, cpu);

		own += READ_ONCE(c->own);
		now += READ_ONCE(c->works_now);
		lazy += READ_ONCE(c->works_lazy);
		kicks += READ_ONCE(c->kicks);
	}
	attached = rcu_access_pointer(ddebug_attached);

	ddebug_cpu_stats(m);
	seq_printf(m, "own: %lu\nnostream: %lu\n", own, ddebug_cpu_nostream());
	seq_printf(m, "attached: %d\nkicks: %lu\n", attached, kicks);
	seq_printf(m, "irq_works_now: %lu\nirq_works_lazy: %lu\n", now, lazy);
	ddebug_dict_stats(m);
	ddebug_hook_stats(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(ddebug_stats);

static int ddebug_uncaptured_show(struct seq_file *m, void *v)
{
	ddebug_hook_uncaptured(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(ddebug_uncaptured);

static int __init ddebug_init(void)
{
	int err;

	ddebug_attach_init();
	err = ddebug_dict_init();
	if (err)
		return err;
	err = ddebug_pipe_init();
	if (err)
		goto err_dict;
	err = ddebug_cpu_init();
	if (err)
		goto err_pipe;
	err = ddebug_hook_start();
	if (err)
		goto err_ring;

	ddebug_death_init();
	ddebug_kmsg_init();

	/* for information only: errors of debugfs are ignored */
	ddebug_dir = debugfs_create_dir("dynamic_debug_rb", NULL);
	debugfs_create_file("stats", 0440, ddebug_dir, NULL, &ddebug_stats_fops);
	debugfs_create_file("uncaptured", 0440, ddebug_dir, NULL,
			    &ddebug_uncaptured_fops);
	ddebug_files_init();
	return 0;

err_ring:
	ddebug_cpu_exit();
err_pipe:
	ddebug_pipe_exit();
err_dict:
	ddebug_dict_exit();
	return err;
}

static void __exit ddebug_exit(void)
{
	ddebug_files_exit();
	debugfs_remove(ddebug_dir);
	ddebug_kmsg_exit();
	ddebug_death_exit();
	ddebug_hook_stop();
	ddebug_cpu_exit();
	ddebug_pipe_exit();
	ddebug_dict_exit();
}

module_init(ddebug_init);
module_exit(ddebug_exit);

MODULE_DESCRIPTION("Dynamic debug flag 'r': record messages in per-CPU rings");
MODULE_VERSION(DDEBUG_VERSION);
MODULE_LICENSE("GPL");
