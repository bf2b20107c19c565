/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's log in the streams.
 */
#ifndef _DDEBUG_KMSG_H
#define _DDEBUG_KMSG_H

#include <linux/types.h>

struct ddebug_ring;

void ddebug_kmsg_init(void);
void ddebug_kmsg_exit(void);
void ddebug_kmsg_for_host(bool wanted, u64 log_id);
void ddebug_kmsg_tail(const struct ddebug_ring *r, u32 flags);
bool ddebug_kmsg_mute(void);
void ddebug_kmsg_unmute(void);
void ddebug_kmsg_watch_suppressed(bool on);

#endif /* _DDEBUG_KMSG_H */
