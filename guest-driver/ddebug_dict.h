/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The dictionary: what the ids in records stand for.
 */
#ifndef _DDEBUG_DICT_H
#define _DDEBUG_DICT_H

#include <linux/dynamic_debug.h>
#include <linux/types.h>

struct ddebug_program;
struct ddebug_transport;
struct seq_file;

int ddebug_dict_init(void);
void ddebug_dict_exit(void);
int ddebug_dict_add(const struct _ddebug *d);
bool ddebug_dict_note(const struct _ddebug *d);
void ddebug_dict_announce(void);
void ddebug_dict_announce_soon(void);
void ddebug_dict_announce_all(struct ddebug_transport *t);
void ddebug_dict_unannounce(void);
const struct ddebug_program *ddebug_dict_find(const struct _ddebug *d, const char *fmt, u32 *id);
const char *ddebug_dict_packed_format(u32 id, size_t *len);
bool ddebug_dict_is_constant(const char *fmt);
bool ddebug_dict_has_function(const char *name);
void ddebug_dict_stats(struct seq_file *m);

#endif /* _DDEBUG_DICT_H */
