/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inside ddebug_rb.ko: what the hook, the rings and the dictionary call of
 * each other.
 */
#ifndef _DDEBUG_RB_H
#define _DDEBUG_RB_H

#include <linux/dynamic_debug.h>
#include <linux/stdarg.h>
#include <linux/types.h>

struct ddebug_program;
struct ddebug_ring;
struct ddebug_transport;
struct kprobe;
struct seq_file;

/* Why messages may come at any time: ddebug_ring_set_active(). */
#define DDEBUG_ACTIVE_CALLSITES	0x1u
#define DDEBUG_ACTIVE_KMSG	0x2u

/**
 * enum ddebug_kind - which of the kernel's print functions a message is for
 * @DDEBUG_KIND_PR: __dynamic_pr_debug(); there is no object
 * @DDEBUG_KIND_DEV: __dynamic_dev_dbg(); the object is a struct device or NULL
 * @DDEBUG_KIND_NETDEV: __dynamic_netdev_dbg(); a struct net_device or NULL
 * @DDEBUG_KIND_IBDEV: __dynamic_ibdev_dbg(); a struct ib_device or NULL
 * @DDEBUG_KIND_HEX_DUMP: a line of print_hex_dump(); there is no object
 */
enum ddebug_kind {
	DDEBUG_KIND_PR,
	DDEBUG_KIND_DEV,
	DDEBUG_KIND_NETDEV,
	DDEBUG_KIND_IBDEV,
	DDEBUG_KIND_HEX_DUMP,
};

/* ddebug_record.c, called by the hook */
__printf(4, 0)
void ddebug_emit(const struct _ddebug *d, enum ddebug_kind kind,
		 const void *obj, const char *fmt, va_list args);

/* ddebug_dict.c, called by the hook */
int ddebug_dict_add(const struct _ddebug *d);
int ddebug_dict_announce(void);

/* ddebug_dict.c, called by the other files of the module */
int ddebug_dict_init(void);
void ddebug_dict_exit(void);
const struct ddebug_program *ddebug_dict_find(const struct _ddebug *d, const char *fmt, u32 *id);
const char *ddebug_dict_packed_format(u32 id, size_t *len);
void ddebug_dict_untold(void);
int ddebug_dict_announce_all(struct ddebug_transport *t);
int ddebug_dict_announce_new(struct ddebug_transport *t);
void ddebug_dict_stats(struct seq_file *m);

/* ddebug_ring.c, called by ddebug_main.c */
int ddebug_ring_init(void);
void ddebug_ring_exit(void);
void ddebug_ring_set_active(unsigned int why, bool active);
void ddebug_ring_stats(struct seq_file *m);
int ddebug_ring_resize(unsigned int kb);
unsigned int ddebug_ring_size_kb(void);

/*
 * ddebug_hook.c, called by ddebug_main.c.
 *
 * ddebug_hook_start() returns 0 or -errno, and has undone what it did in the
 * latter case.  After ddebug_hook_stop() nobody is, or will be, in
 * ddebug_emit(), ddebug_dict_add() or ddebug_dict_announce().  Both sleep.
 * ddebug_hook_stats() adds the hook's "name: value" lines,
 * ddebug_hook_uncaptured() a line for each callsite that cannot be recorded.
 */
int ddebug_hook_start(void);
void ddebug_hook_stop(void);
void ddebug_hook_stats(struct seq_file *m);
void ddebug_hook_uncaptured(struct seq_file *m);

/* ddebug_hook.c, called by ddebug_death.c */
void *ddebug_function_start(const struct kprobe *kp);
bool ddebug_may_call(const void *start);

/* ddebug_kmsg.c, called by the hook */
bool ddebug_kmsg_mute(void);
void ddebug_kmsg_unmute(void);

/* ddebug_kmsg.c, called by the other files of the module */
void ddebug_kmsg_init(void);
void ddebug_kmsg_exit(void);
void ddebug_kmsg_for_host(bool wanted);
void ddebug_kmsg_tail(const struct ddebug_ring *r, u32 flags);

/* ddebug_death.c, called by ddebug_main.c */
void ddebug_death_init(void);
void ddebug_death_exit(void);

#endif /* _DDEBUG_RB_H */
