/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The flag 'r' itself: kprobes on the kernel's print functions and on its control file.
 */
#ifndef _DDEBUG_HOOK_H
#define _DDEBUG_HOOK_H

#include <linux/types.h>

struct kprobe;
struct seq_file;

/*
 * ddebug_hook_start() returns 0 or -errno; on an error it has undone what it did.  After
 * ddebug_hook_stop() no caller is, or will be, in ddebug_emit(), ddebug_dict_add() or
 * ddebug_dict_announce().  Both sleep.
 */
int ddebug_hook_start(void);
void ddebug_hook_stop(void);
void ddebug_hook_stats(struct seq_file *m);
void ddebug_hook_uncaptured(struct seq_file *m);

void *ddebug_function_start(const struct kprobe *kp);
bool ddebug_may_call(const void *start);

#endif /* _DDEBUG_HOOK_H */
