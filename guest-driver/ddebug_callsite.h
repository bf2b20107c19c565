/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ddebug_callsite.c, called by the hook.
 */
#ifndef _DDEBUG_CALLSITE_H
#define _DDEBUG_CALLSITE_H

#include <linux/dynamic_debug.h>

struct module;

#if defined(CONFIG_X86_64) && defined(CONFIG_JUMP_LABEL) && defined(CONFIG_PRINTK)
#define DDEBUG_CALLSITE_CODE

void ddebug_callsite_learn(const struct _ddebug *d, bool init);
void ddebug_callsite_forget(const struct module *mod);
void ddebug_callsite_forget_init(const struct module *mod);
const struct _ddebug *ddebug_callsite_at(unsigned long address);
const char *ddebug_callsite_obstacle(const struct _ddebug *d);

#else

static inline void ddebug_callsite_learn(const struct _ddebug *d, bool init) { }
static inline void ddebug_callsite_forget(const struct module *mod) { }
static inline void ddebug_callsite_forget_init(const struct module *mod) { }
static inline const char *ddebug_callsite_obstacle(const struct _ddebug *d)
{
	return NULL;
}

#endif

bool ddebug_callsite_format(const struct _ddebug *d, char *buf, size_t size);

#endif /* _DDEBUG_CALLSITE_H */
