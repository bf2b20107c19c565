/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory for streams: created, freed, made known to readers after the host has died.
 */
#ifndef _DDEBUG_RING_MEM_H
#define _DDEBUG_RING_MEM_H

#include <linux/init.h>
#include <linux/types.h>
#include "ddebug_rb.h"

struct ddebug_ring *ddebug_ring_new(unsigned int cpu, u8 context, struct ddebug_transport *home);
void ddebug_ring_free(struct ddebug_ring *r);
void ddebug_ring_show(struct ddebug_ring *r);
void ddebug_ring_hide(struct ddebug_ring *r);
u32 ddebug_ring_bytes(u8 context);

unsigned int ddebug_ring_size_kb(void);
bool ddebug_ring_is_size_kb(unsigned int kb);
unsigned int ddebug_ring_set_size_kb(unsigned int kb);
int ddebug_ring_check_param(void);

#endif /* _DDEBUG_RING_MEM_H */
