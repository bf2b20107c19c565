/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Another ring for a stream: another size, or in another memory.
 */
#ifndef _DDEBUG_RING_SWAP_H
#define _DDEBUG_RING_SWAP_H

#include <linux/types.h>
#include "ddebug_rb.h"

void ddebug_swap_lock(void);
void ddebug_swap_unlock(void);
void ddebug_rings_lock(void);
void ddebug_rings_unlock(void);
void ddebug_rings_share(struct ddebug_transport *t, struct list_head *gone);
void ddebug_rings_unshare(struct ddebug_transport *t, struct list_head *gone);
void ddebug_rings_free_gone(struct list_head *gone);
bool ddebug_ring_returned(struct ddebug_stream *s);
void ddebug_ring_returned_late(struct ddebug_stream *s, struct list_head *gone);
int ddebug_ring_resize(unsigned int kb);

#endif /* _DDEBUG_RING_SWAP_H */
