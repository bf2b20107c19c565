// SPDX-License-Identifier: GPL-2.0
/*
 * The dictionary: what a record's callsite id stands for.
 *
 * Entries are keyed by content and live until the module is unloaded: a module
 * that is loaded again finds its ids.  They hold the bytes that are announced to
 * the host, and no pointer into the module that they tell of.
 *
 * Maps lead from the address of a descriptor to an entry.  A producer looks one
 * up in any context, NMI included, and also where RCU is not watching (the idle
 * loop logs, too).  So the memory of a map is given back only when no producer
 * can be there any more at all; until then it is used for other maps.  The reader
 * that RCU does not protect may then find no map, or be led into another chain
 * and find none there: id 0, "not known", on one message.
 *
 * Addresses are used again by other modules.  ddebug_dict_add(), which comes
 * before each callsite gets 'r', compares contents, not addresses.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/hash.h>
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/ratelimit.h>
#include <linux/rculist.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "ddebug_rb.h"
#include "ddebug_ring.h"

/* Some thousand callsites have 'r' at the most: short chains in 32 KiB each. */
#define DDEBUG_DICT_BITS	12

/* Longest strings; the format gets what is left of DDEBUG_CALLSITE_MAX. */
#define DDEBUG_MODULE_MAX	256
#define DDEBUG_FUNCTION_MAX	512
#define DDEBUG_FILE_MAX		1024

struct ddebug_entry {
	struct hlist_node node;		/* ddebug_entries */
	struct list_head list;		/* ddebug_entry_list, by id */
	u32 hash;
	u32 id;
	struct ddebug_callsite wire;	/* with its strings */
};

struct ddebug_map {
	struct hlist_node node;		/* ddebug_maps, or ddebug_free_maps */
	struct list_head gone;		/* on its way from the former to the latter */
	const struct _ddebug *d;
	struct ddebug_entry *entry;
	u32 id;				/* entry->id, for the reader */
};

/*
 * Covers everything here; taken inside ddebug_lock and the transport's mutex.
 * ddebug_announced is covered by the latter.
 */
static DEFINE_MUTEX(ddebug_dict_mutex);
static DEFINE_HASHTABLE(ddebug_entries, DDEBUG_DICT_BITS);
static DEFINE_HASHTABLE(ddebug_maps, DDEBUG_DICT_BITS);
static HLIST_HEAD(ddebug_free_maps);
static LIST_HEAD(ddebug_entry_list);
static u32 ddebug_last_id;
static u32 ddebug_announced;		/* entries up to this id are the host's */

/* The strings of a callsite, cut to what an entry takes. */
struct ddebug_strings {
	const char *s[4];
	u16 len[4];
	u16 flags;
};

static void ddebug_strings_get(struct ddebug_strings *st, const struct _ddebug *d)
{
	static const u16 max[4] = { DDEBUG_MODULE_MAX, DDEBUG_FUNCTION_MAX, DDEBUG_FILE_MAX, 0 };
	size_t left = DDEBUG_CALLSITE_MAX - sizeof(struct ddebug_callsite);
	unsigned int i;

	st->s[0] = d->modname;
	st->s[1] = d->function;
	st->s[2] = d->filename;
	st->s[3] = d->format;
	st->flags = 0;
	for (i = 0; i < ARRAY_SIZE(st->s); i++) {
		size_t limit = max[i] ? max[i] : left;
		size_t len = strnlen(st->s[i], limit + 1);

		if (len > limit) {
			len = limit;
			st->flags = DDEBUG_CALLSITE_F_CUT;
		}
		st->len[i] = len;
		left -= len;
	}
}

static u32 ddebug_strings_hash(const struct ddebug_strings *st, u32 line)
{
	u32 hash = line;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(st->s); i++)
		hash = jhash(st->s[i], st->len[i], hash);
	return hash;
}

static bool ddebug_entry_is(const struct ddebug_entry *e, const struct ddebug_strings *st, u32 line)
{
	const struct ddebug_callsite *w = &e->wire;
	const u8 *p = w->strings;
	unsigned int i;

	if (le32_to_cpu(w->line) != line || le16_to_cpu(w->flags) != st->flags ||
	    le16_to_cpu(w->module_len) != st->len[0] ||
	    le16_to_cpu(w->function_len) != st->len[1] ||
	    le16_to_cpu(w->file_len) != st->len[2] ||
	    le16_to_cpu(w->format_len) != st->len[3])
		return false;
	for (i = 0; i < ARRAY_SIZE(st->s); i++) {
		if (memcmp(p, st->s[i], st->len[i]))
			return false;
		p += st->len[i];
	}
	return true;
}

static struct ddebug_entry *ddebug_entry_new(const struct ddebug_strings *st, u32 line, u32 hash)
{
	size_t len = sizeof(struct ddebug_callsite);
	struct ddebug_entry *e;
	unsigned int i;
	u8 *p;

	for (i = 0; i < ARRAY_SIZE(st->s); i++)
		len += st->len[i];
	len = ALIGN(len, 8);
	e = kzalloc(offsetof(struct ddebug_entry, wire) + len, GFP_KERNEL);
	if (!e)
		return NULL;

	e->hash = hash;
	e->id = ddebug_last_id + 1;
	WRITE_ONCE(ddebug_last_id, e->id);
	e->wire.len = cpu_to_le32(len);
	e->wire.id = cpu_to_le32(e->id);
	e->wire.line = cpu_to_le32(line);
	e->wire.flags = cpu_to_le16(st->flags);
	e->wire.module_len = cpu_to_le16(st->len[0]);
	e->wire.function_len = cpu_to_le16(st->len[1]);
	e->wire.file_len = cpu_to_le16(st->len[2]);
	e->wire.format_len = cpu_to_le16(st->len[3]);
	p = e->wire.strings;
	for (i = 0; i < ARRAY_SIZE(st->s); i++) {
		memcpy(p, st->s[i], st->len[i]);
		p += st->len[i];
	}
	hash_add(ddebug_entries, &e->node, hash);
	list_add_tail(&e->list, &ddebug_entry_list);
	return e;
}

static struct ddebug_entry *ddebug_entry_get(const struct ddebug_strings *st, u32 line)
{
	u32 hash = ddebug_strings_hash(st, line);
	struct ddebug_entry *e;

	hash_for_each_possible(ddebug_entries, e, node, hash)
		if (e->hash == hash && ddebug_entry_is(e, st, line))
			return e;
	return ddebug_entry_new(st, line, hash);
}

static struct ddebug_map *ddebug_map_find(const struct _ddebug *d)
{
	struct ddebug_map *m;

	hash_for_each_possible(ddebug_maps, m, node, (unsigned long)d)
		if (m->d == d)
			return m;
	return NULL;
}

static struct ddebug_map *ddebug_map_new(const struct _ddebug *d)
{
	struct ddebug_map *m;

	if (hlist_empty(&ddebug_free_maps)) {
		m = kzalloc(sizeof(*m), GFP_KERNEL);
		if (!m)
			return NULL;
	} else {
		m = hlist_entry(ddebug_free_maps.first, struct ddebug_map, node);
		hlist_del(&m->node);
	}
	/* it may be used again, and a reader still be at it */
	WRITE_ONCE(m->d, d);
	return m;
}

/**
 * ddebug_dict_add() - give a callsite an id
 * @d: a callsite that is about to get the flag 'r'
 *
 * Has no effect on one that has an id.  ddebug_dict_announce() tells the host.
 *
 * Context: Process, with ddebug_lock held, so that @d stays.  Sleeps.
 * Return: 0 or -ENOMEM.
 */
int ddebug_dict_add(const struct _ddebug *d)
{
	struct ddebug_strings st;
	struct ddebug_entry *e;
	struct ddebug_map *m;
	int err = 0;

	ddebug_strings_get(&st, d);
	mutex_lock(&ddebug_dict_mutex);
	m = ddebug_map_find(d);
	if (m && ddebug_entry_is(m->entry, &st, d->lineno))
		goto out;

	err = -ENOMEM;
	e = ddebug_entry_get(&st, d->lineno);
	if (!e)
		goto out;
	if (m) {
		m->entry = e;
		WRITE_ONCE(m->id, e->id);
	} else {
		m = ddebug_map_new(d);
		if (!m)
			goto out;
		m->entry = e;
		WRITE_ONCE(m->id, e->id);
		hash_add_rcu(ddebug_maps, &m->node, (unsigned long)d);
	}
	err = 0;
out:
	mutex_unlock(&ddebug_dict_mutex);
	return err;
}

/**
 * ddebug_dict_id() - the id of a callsite
 * @d: the callsite
 *
 * Context: Any, NMI included, with preemption off.
 * Return: its id, or 0 if it has none.
 */
u32 ddebug_dict_id(const struct _ddebug *d)
{
	struct ddebug_map *m;

	hash_for_each_possible_rcu_notrace(ddebug_maps, m, node, (unsigned long)d)
		if (READ_ONCE(m->d) == d)
			return READ_ONCE(m->id);
	return 0;
}

/* As many entries behind @after as fit @len bytes; *last is the last one's id. */
static size_t ddebug_dict_fill(void *buf, size_t len, u32 after, u32 *last)
{
	struct ddebug_entry *e;
	size_t used = 0;

	mutex_lock(&ddebug_dict_mutex);
	/* new ones are at the end */
	list_for_each_entry_reverse(e, &ddebug_entry_list, list)
		if (e->id <= after)
			break;
	list_for_each_entry_continue(e, &ddebug_entry_list, list) {
		size_t n = le32_to_cpu(e->wire.len);

		if (n > len - used)
			break;
		memcpy(buf + used, &e->wire, n);
		used += n;
		*last = e->id;
	}
	mutex_unlock(&ddebug_dict_mutex);
	return used;
}

/**
 * ddebug_dict_announce_new() - tell a transport what it has not been told yet
 * @t: the transport
 *
 * An entry that the host has no room for is not offered again: its messages
 * carry their text all the same.
 *
 * Context: Process, with the transport locked.  Sleeps.
 * Return: 0 or -ENOMEM; a host that does not answer is no error, but is said.
 */
int ddebug_dict_announce_new(struct ddebug_transport *t)
{
	u32 last = ddebug_announced;
	size_t len;
	void *buf;
	int err;

	buf = kvmalloc(t->max_announce, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	while ((len = ddebug_dict_fill(buf, t->max_announce, ddebug_announced, &last))) {
		err = t->ops->announce(t, buf, len);
		if (err == -ENOSPC)
			pr_warn_ratelimited("the host has no room for more callsites; their messages will be shown without file and line\n");
		else if (err)
			break;
		ddebug_announced = last;
	}
	if (len)
		pr_warn_ratelimited("the host was not told of new callsites: error %d; it is tried again with the next ones\n",
				    err);
	kvfree(buf);
	return 0;
}

/**
 * ddebug_dict_announce_all() - tell a new transport everything
 * @t: the transport
 *
 * Context: Process, with the transport locked.  Sleeps.
 * Return: as ddebug_dict_announce_new().
 */
int ddebug_dict_announce_all(struct ddebug_transport *t)
{
	ddebug_announced = 0;
	return ddebug_dict_announce_new(t);
}

/**
 * ddebug_dict_announce() - tell the host of all callsites added so far
 *
 * Waits until the host has them, some seconds at most.
 *
 * Context: Process; ddebug_lock may be held.  Sleeps.
 * Return: 0, also without a transport and if the host did not answer; or
 * -ENOMEM.
 */
int ddebug_dict_announce(void)
{
	struct ddebug_transport *t = ddebug_transport_lock();
	int err = 0;

	if (t)
		err = ddebug_dict_announce_new(t);
	ddebug_transport_unlock();
	return err;
}

/* The descriptors of a module that goes are nobody's. */
static int ddebug_module_event(struct notifier_block *nb, unsigned long event, void *data)
{
	struct module *mod = data;
	struct hlist_node *tmp;
	struct ddebug_map *m;
	unsigned int i;
	LIST_HEAD(gone);

	if (event != MODULE_STATE_GOING)
		return NOTIFY_DONE;

	mutex_lock(&ddebug_dict_mutex);
	hash_for_each_safe(ddebug_maps, i, tmp, m, node) {
		if (within_module((unsigned long)m->d, mod)) {
			hash_del_rcu(&m->node);
			list_add(&m->gone, &gone);
		}
	}
	mutex_unlock(&ddebug_dict_mutex);
	if (list_empty(&gone))
		return NOTIFY_DONE;

	/* a reader may stand on one of them, and is to find its way on */
	synchronize_rcu();
	mutex_lock(&ddebug_dict_mutex);
	list_for_each_entry(m, &gone, gone)
		hlist_add_head(&m->node, &ddebug_free_maps);
	mutex_unlock(&ddebug_dict_mutex);
	return NOTIFY_DONE;
}

static struct notifier_block ddebug_module_nb = {
	.notifier_call = ddebug_module_event,
};

/**
 * ddebug_dict_stats() - the dictionary's lines of the stats file
 * @m: the file
 */
void ddebug_dict_stats(struct seq_file *m)
{
	u32 announced;

	announced = ddebug_transport_lock() ? ddebug_announced : 0;
	ddebug_transport_unlock();
	seq_printf(m, "callsites_known: %u\ncallsites_announced: %u\n",
		   READ_ONCE(ddebug_last_id), announced);
}

int __init ddebug_dict_init(void)
{
	return register_module_notifier(&ddebug_module_nb);
}

/* Nobody is in ddebug_dict_id() any more. */
void ddebug_dict_exit(void)
{
	struct ddebug_entry *e, *etmp;
	struct hlist_node *tmp;
	struct ddebug_map *m;
	unsigned int i;

	unregister_module_notifier(&ddebug_module_nb);
	hash_for_each_safe(ddebug_maps, i, tmp, m, node)
		kfree(m);
	hlist_for_each_entry_safe(m, tmp, &ddebug_free_maps, node)
		kfree(m);
	list_for_each_entry_safe(e, etmp, &ddebug_entry_list, list)
		kfree(e);
}
