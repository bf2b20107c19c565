// SPDX-License-Identifier: GPL-2.0
/*
 * The dictionary: what the callsite id in a record stands for.
 *
 * Entries are keyed by content and live until this module is unloaded: a module
 * that is loaded again finds its ids.  They hold the bytes that are announced to
 * the host, and no pointer into the module that they describe.
 *
 * Maps lead from the address of a descriptor to an entry.  A producer looks one
 * up in any context, NMI included, and even where RCU is not watching (the idle
 * loop logs as well).  So the memory of a map is freed only when no producer can be
 * left at all; until then it is reused for other maps.  A reader that RCU does not
 * protect may then find no map, or be led into another chain and find none there:
 * id 0, "not known", for one message.
 *
 * Addresses are reused by other modules.  ddebug_dict_add(), which is called before
 * any callsite gets 'r', compares contents, not addresses.
 *
 * Packed records
 * --------------
 * An entry whose format can be packed has a program (ddebug_pack.h).  The format
 * that a callsite prints with is only known when it prints: pr_fmt() is not in its
 * descriptor.  So a map has the address of a format, at first that of the descriptor,
 * and its program; a message is packed if it comes with that address.  If the first one
 * comes with another (ddebug_dict_learn_ask()), work finds or makes the entry of that
 * format, which differs from the first entry in the format of packed records, puts
 * both into the map, and announces the entry; until the host has it, messages are text.
 * If a callsite changes its format again, the map keeps that one.
 *
 * The address identifies the format as long as what is there cannot change: it is in
 * memory that the kernel or a module has mapped read-only, and when a module goes,
 * all maps forget what was in it before anything else can be there.
 *
 * A map's format and program belong together, also for a reader that RCU does not
 * protect:
 *
 *   label    what                                   pairs with
 *   dict:A   smp_wmb() between the store of no      dict:B, smp_rmb() between the load of
 *            program and that of the format         the format and the second load of
 *                                                   the program
 *   dict:C   store-release of the program, after    dict:D, load-acquire of the program
 *            descriptor and format                  before the loads of these
 *
 * The reader loads the program, the format, and the program again.  If the format is
 * the new one, B sees what was stored before A: no longer the old program, unless that
 * is the new one as well.  If the format is the old one, so is the program: a new one
 * would have been seen together with the format stored before it (C, D).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/hash.h>
#include <linux/hashtable.h>
#include <linux/irq_work.h>
#include <linux/jhash.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/ratelimit.h>
#include <linux/rculist.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#ifdef CONFIG_X86_64
#include <asm/pgtable.h>
#endif
#include "ddebug_callsite.h"
#include "ddebug_dict.h"
#include "ddebug_pack.h"
#include "ddebug_record.h"
#include "ddebug_transport.h"

/* At most some thousand callsites have 'r': short chains in 32 KiB each. */
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
	bool noted;			/* ddebug_dict_note() */
	struct ddebug_program *program;	/* NULL: its messages are text */
	struct ddebug_callsite wire;	/* with its strings */
};

struct ddebug_map {
	struct hlist_node node;		/* ddebug_maps, or ddebug_free_maps */
	struct list_head gone;		/* while it moves from the former to the latter */
	const struct _ddebug *d;
	struct ddebug_entry *entry;
	u32 id;				/* entry->id, for the reader */
	const char *fmt;		/* the format of program */
	const struct ddebug_program *program;
	const char *seen;		/* the first other format that a message came with */
};

/*
 * Protects everything here; nests inside ddebug_lock and the transport's mutex.
 * ddebug_announced is protected by the latter.
 */
static DEFINE_MUTEX(ddebug_dict_mutex);
static DEFINE_HASHTABLE(ddebug_entries, DDEBUG_DICT_BITS);
static DEFINE_HASHTABLE(ddebug_maps, DDEBUG_DICT_BITS);
static HLIST_HEAD(ddebug_free_maps);
static LIST_HEAD(ddebug_entry_list);
static DEFINE_XARRAY(ddebug_entries_by_id);	/* read without the mutex */
static u32 ddebug_last_id;
static u32 ddebug_announced;		/* the host has the entries up to this id */

/*
 * Entries are announced by work, which waits for the host as long as the transport
 * does; who sets 'r' waits for the work, but not long, and only once: not again before
 * the host has answered.
 */
#define DDEBUG_ANNOUNCE_WAIT	HZ
static DECLARE_WAIT_QUEUE_HEAD(ddebug_announce_wait);
static bool ddebug_host_slow;

static bool ddebug_packed = true;
module_param_named(packed, ddebug_packed, bool, 0644);
MODULE_PARM_DESC(packed,
		 "record a message as its arguments where the host can format it identically (default Y)");

/* The strings of a callsite, cut to what an entry takes. */
enum {
	DDEBUG_MODULE,
	DDEBUG_FUNCTION,
	DDEBUG_FILE,
	DDEBUG_FORMAT,
	DDEBUG_PACKED_FORMAT,
	DDEBUG_NR_STRINGS,
};

struct ddebug_strings {
	const char *s[DDEBUG_NR_STRINGS];
	u16 len[DDEBUG_NR_STRINGS];
	u16 flags;
};

/*
 * @fmt: what messages come with; NULL: the descriptor's own format.  Return false if the
 * latter is gone; it counts as "".  Valid as long as the mutex is held.
 */
static bool ddebug_strings_get(struct ddebug_strings *st, const struct _ddebug *d, const char *fmt)
{
	static const u16 max[DDEBUG_NR_STRINGS] = {
		[DDEBUG_MODULE] = DDEBUG_MODULE_MAX,
		[DDEBUG_FUNCTION] = DDEBUG_FUNCTION_MAX,
		[DDEBUG_FILE] = DDEBUG_FILE_MAX,
	};
	static char format[DDEBUG_CALLSITE_MAX];
	size_t left = DDEBUG_CALLSITE_MAX - sizeof(struct ddebug_callsite);
	bool found = ddebug_callsite_format(d, format, sizeof(format));
	unsigned int i;

	lockdep_assert_held(&ddebug_dict_mutex);
	st->s[DDEBUG_MODULE] = d->modname;
	st->s[DDEBUG_FUNCTION] = d->function;
	st->s[DDEBUG_FILE] = d->filename;
	st->s[DDEBUG_FORMAT] = format;
	st->s[DDEBUG_PACKED_FORMAT] = fmt && strcmp(fmt, format) ? fmt : "";
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
	return found;
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
	    le16_to_cpu(w->module_len) != st->len[DDEBUG_MODULE] ||
	    le16_to_cpu(w->function_len) != st->len[DDEBUG_FUNCTION] ||
	    le16_to_cpu(w->file_len) != st->len[DDEBUG_FILE] ||
	    le16_to_cpu(w->format_len) != st->len[DDEBUG_FORMAT] ||
	    le16_to_cpu(w->packed_len) != st->len[DDEBUG_PACKED_FORMAT])
		return false;
	for (i = 0; i < ARRAY_SIZE(st->s); i++) {
		if (memcmp(p, st->s[i], st->len[i]))
			return false;
		p += st->len[i];
	}
	return true;
}

/* Without a program, messages are recorded as text; not an error. */
static void ddebug_entry_program(struct ddebug_entry *e, const struct ddebug_strings *st)
{
	unsigned int i = st->len[DDEBUG_PACKED_FORMAT] ? DDEBUG_PACKED_FORMAT : DDEBUG_FORMAT;

	if (st->flags & DDEBUG_CALLSITE_F_CUT)
		return;
	e->program = ddebug_program_new(st->s[i], st->len[i]);
	if (e->program)
		e->program->id = e->id;
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
	e->wire.len = cpu_to_le32(len);
	e->wire.id = cpu_to_le32(e->id);
	e->wire.line = cpu_to_le32(line);
	e->wire.flags = cpu_to_le16(st->flags);
	e->wire.module_len = cpu_to_le16(st->len[DDEBUG_MODULE]);
	e->wire.function_len = cpu_to_le16(st->len[DDEBUG_FUNCTION]);
	e->wire.file_len = cpu_to_le16(st->len[DDEBUG_FILE]);
	e->wire.format_len = cpu_to_le16(st->len[DDEBUG_FORMAT]);
	e->wire.packed_len = cpu_to_le16(st->len[DDEBUG_PACKED_FORMAT]);
	p = e->wire.strings;
	for (i = 0; i < ARRAY_SIZE(st->s); i++) {
		memcpy(p, st->s[i], st->len[i]);
		p += st->len[i];
	}
	if (xa_err(xa_store(&ddebug_entries_by_id, e->id, e, GFP_KERNEL))) {
		kfree(e);
		return NULL;
	}
	WRITE_ONCE(ddebug_last_id, e->id);
	ddebug_entry_program(e, st);
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

/* Pack messages that come with @fmt by @program; NULL: pack none. */
static void ddebug_map_pack(struct ddebug_map *m, const char *fmt,
			    const struct ddebug_program *program)
{
	WRITE_ONCE(m->program, NULL);
	smp_wmb();	/* dict:A pairs with dict:B */
	WRITE_ONCE(m->fmt, fmt);
	/* dict:C pairs with dict:D */
	smp_store_release(&m->program, program);
}

/**
 * ddebug_dict_is_constant() - is a format constant until its module goes?
 * @fmt: its address; nothing is read from there
 *
 * What is read-only in the kernel's image and in modules is: constants are there.  Anywhere
 * else, a format is somebody's buffer.
 *
 * Context: Any.
 */
bool ddebug_dict_is_constant(const char *fmt)
{
#ifdef CONFIG_X86_64
	unsigned long address = (unsigned long)fmt;
	unsigned int level;
	pte_t *pte;

	if (address < __START_KERNEL_map || address >= MODULES_END)
		return false;
	pte = lookup_address(address, &level);
	return pte && pte_present(*pte) && !pte_write(*pte);
#else
	return false;
#endif
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
		/* not hlist_del(), whose poison that reader would follow */
		hlist_del_init(&m->node);
	}
	/* it may be reused while a reader still has it */
	ddebug_map_pack(m, NULL, NULL);
	WRITE_ONCE(m->seen, NULL);
	WRITE_ONCE(m->d, d);
	return m;
}

/* Until a message comes with another one, its format is that of the descriptor. */
static void ddebug_map_pack_own(struct ddebug_map *m, const struct _ddebug *d)
{
	bool constant = ddebug_dict_is_constant(d->format);

	ddebug_map_pack(m, constant ? d->format : NULL, constant ? m->entry->program : NULL);
}

/**
 * ddebug_dict_add() - give a callsite an id
 * @d: a callsite that is about to get the flag 'r'
 *
 * Does nothing if it has one.  ddebug_dict_announce() informs the host.
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

	mutex_lock(&ddebug_dict_mutex);
	m = ddebug_map_find(d);
	/* a format that is gone is not a new one */
	if (!ddebug_strings_get(&st, d, NULL) && m)
		goto out;
	if (m && ddebug_entry_is(m->entry, &st, d->lineno))
		goto out;

	err = -ENOMEM;
	e = ddebug_entry_get(&st, d->lineno);
	if (!e)
		goto out;
	if (m) {
		m->entry = e;
		WRITE_ONCE(m->id, e->id);
		WRITE_ONCE(m->seen, NULL);
		ddebug_map_pack_own(m, d);
	} else {
		m = ddebug_map_new(d);
		if (!m)
			goto out;
		m->entry = e;
		WRITE_ONCE(m->id, e->id);
		ddebug_map_pack_own(m, d);
		hash_add_rcu(ddebug_maps, &m->node, (unsigned long)d);
	}
	err = 0;
out:
	mutex_unlock(&ddebug_dict_mutex);
	return err;
}

/**
 * ddebug_dict_note() - note a callsite as one that cannot be recorded
 * @d: a callsite with 'r'
 *
 * Context: Process, with ddebug_lock held.  Sleeps.
 * Return: Whether it was not noted before, also with another load of its module.
 */
bool ddebug_dict_note(const struct _ddebug *d)
{
	struct ddebug_map *m;
	bool first = false;

	mutex_lock(&ddebug_dict_mutex);
	m = ddebug_map_find(d);
	if (m) {
		first = !m->entry->noted;
		m->entry->noted = true;
	}
	mutex_unlock(&ddebug_dict_mutex);
	return first;
}

/**
 * ddebug_dict_packed_format() - get the format of packed records
 * @id: of their callsite
 * @len: set to its length in bytes
 *
 * Context: Any.
 * Return: The format, not zero-terminated, valid until this module goes; NULL if there
 * is no such entry.
 */
const char *ddebug_dict_packed_format(u32 id, size_t *len)
{
	const struct ddebug_entry *e = xa_load(&ddebug_entries_by_id, id);
	const struct ddebug_callsite *w;
	const u8 *format;

	if (!e)
		return NULL;
	w = &e->wire;
	format = w->strings + le16_to_cpu(w->module_len) + le16_to_cpu(w->function_len) +
		 le16_to_cpu(w->file_len);
	*len = le16_to_cpu(w->format_len);
	if (w->packed_len) {
		format += *len;
		*len = le16_to_cpu(w->packed_len);
	}
	return (const char *)format;
}

/**
 * ddebug_dict_has_function() - does a function have a callsite that has, or has had, 'r'?
 * @name: its name
 *
 * Takes time in proportion to the callsites: not for each message.
 *
 * Context: Any.
 */
bool ddebug_dict_has_function(const char *name)
{
	const size_t len = strlen(name);
	const struct ddebug_entry *e;
	unsigned long id;

	xa_for_each(&ddebug_entries_by_id, id, e)
		if (le16_to_cpu(e->wire.function_len) == len &&
		    !memcmp(e->wire.strings + le16_to_cpu(e->wire.module_len), name, len))
			return true;
	return false;
}

/*
 * Learning what callsites print by
 */

/* Some map has something in ->seen. */
static void ddebug_dict_learn(struct work_struct *work);
static void ddebug_dict_announce_new(struct ddebug_transport *t);
static DECLARE_WORK(ddebug_dict_learn_work, ddebug_dict_learn);

static void ddebug_learn_soon(struct irq_work *work)
{
	queue_work(system_unbound_wq, &ddebug_dict_learn_work);
}

static struct irq_work ddebug_learn_irq_work = IRQ_WORK_INIT_HARD(ddebug_learn_soon);

/*
 * Once for each callsite, but for a harmless race; not on a CPU that goes offline,
 * which may not get to do the work: the next message asks again.
 */
static noinline void ddebug_dict_learn_ask(struct ddebug_map *m, const char *fmt)
{
	if (!cpu_online(raw_smp_processor_id()))
		return;
	WRITE_ONCE(m->seen, fmt);
	irq_work_queue(&ddebug_learn_irq_work);
}

/*
 * Its message came with m->seen.  What that points to stays as long as the mutex is
 * held: its module would have removed it from here first.
 */
static void ddebug_learn_map(struct ddebug_map *m)
{
	const char *fmt = READ_ONCE(m->seen);
	struct ddebug_strings st;
	struct ddebug_entry *e;

	if (!fmt || fmt == m->fmt || !ddebug_dict_is_constant(fmt))
		return;
	if (!ddebug_can_pack(fmt, strlen(fmt))) {
		/* no message asks again, and there is nothing to announce */
		ddebug_map_pack(m, fmt, NULL);
		return;
	}
	ddebug_strings_get(&st, m->d, fmt);
	e = ddebug_entry_get(&st, m->d->lineno);
	/* without memory it stays text */
	if (e)
		ddebug_map_pack(m, fmt, e->program);
}

/* Learn, and announce what is new. */
static void ddebug_dict_learn(struct work_struct *work)
{
	struct ddebug_transport *t;
	struct ddebug_map *m;
	unsigned int i;

	mutex_lock(&ddebug_dict_mutex);
	hash_for_each(ddebug_maps, i, m, node)
		ddebug_learn_map(m);
	mutex_unlock(&ddebug_dict_mutex);
	/* if the host fails, messages are recorded as text */
	t = ddebug_transport_lock();
	if (t)
		ddebug_dict_announce_new(t);
	ddebug_transport_unlock();
}

/*
 * Forget the formats in @mod; with @init: those that went with its __init sections.  The
 * code that used them no longer runs.
 */
static void ddebug_forget_formats(const struct module *mod, bool init)
{
	struct ddebug_map *m;
	unsigned int i;

	hash_for_each(ddebug_maps, i, m, node) {
		unsigned long fmt = (unsigned long)m->fmt, seen = (unsigned long)READ_ONCE(m->seen);

		if (init ? within_module_init(fmt, mod) : within_module(fmt, mod))
			ddebug_map_pack(m, NULL, NULL);
		if (init ? within_module_init(seen, mod) : within_module(seen, mod))
			WRITE_ONCE(m->seen, NULL);
	}
}

/**
 * ddebug_dict_find() - decide how to record a message
 * @d: the callsite
 * @fmt: the format that it came with; NULL: do not pack it
 * @id: set to the callsite's id, 0 if it has none
 *
 * Context: Any, NMI included, with preemption off.
 * Return: A program to pack it by, of a callsite that the host knows; or NULL: record
 * it as text.
 */
const struct ddebug_program *ddebug_dict_find(const struct _ddebug *d, const char *fmt, u32 *id)
{
	const struct ddebug_program *program;
	struct ddebug_map *m;

	*id = 0;
	hash_for_each_possible_rcu_notrace(ddebug_maps, m, node, (unsigned long)d) {
		const char *known;

		/* dict:D pairs with dict:C */
		program = smp_load_acquire(&m->program);
		if (READ_ONCE(m->d) != d)
			continue;
		*id = READ_ONCE(m->id);
		if (!fmt || !READ_ONCE(ddebug_packed))
			return NULL;
		known = READ_ONCE(m->fmt);
		smp_rmb();	/* dict:B pairs with dict:A */
		if (unlikely(known != fmt)) {
			if (!READ_ONCE(m->seen))
				ddebug_dict_learn_ask(m, fmt);
			return NULL;
		}
		if (!program || READ_ONCE(m->program) != program || !READ_ONCE(program->announced))
			return NULL;
		return program;
	}
	return NULL;
}

/* Fill in as many entries after @after as fit in @len bytes; *last is the last one's id. */
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

/* The host has all entries after @after up to @last. */
static void ddebug_dict_mark_announced(u32 after, u32 last)
{
	struct ddebug_entry *e;

	mutex_lock(&ddebug_dict_mutex);
	list_for_each_entry_reverse(e, &ddebug_entry_list, list) {
		if (e->id <= after)
			break;
		if (e->id <= last && e->program)
			WRITE_ONCE(e->program->announced, true);
	}
	mutex_unlock(&ddebug_dict_mutex);
}

/**
 * ddebug_dict_unannounce() - no host knows any callsite any more
 *
 * From now on messages are text, except for those that are just being written.
 *
 * Context: Process, with ddebug_transport_lock().  Sleeps.
 */
void ddebug_dict_unannounce(void)
{
	struct ddebug_entry *e;

	mutex_lock(&ddebug_dict_mutex);
	list_for_each_entry(e, &ddebug_entry_list, list)
		if (e->program)
			WRITE_ONCE(e->program->announced, false);
	mutex_unlock(&ddebug_dict_mutex);
}

/*
 * Announce to @t what it does not have yet.  An entry that the host has no room for is
 * not offered again: its messages carry their text anyway.  With ddebug_transport_lock().
 */
static void ddebug_dict_announce_new(struct ddebug_transport *t)
{
	void *buf = kvmalloc(t->max_announce, GFP_KERNEL);
	u32 last = ddebug_announced;
	int err = -ENOMEM;
	size_t len = 0;

	while (buf && (len = ddebug_dict_fill(buf, t->max_announce, ddebug_announced, &last))) {
		err = t->ops->announce(t, buf, len);
		if (err == -ENOSPC)
			pr_warn_ratelimited("the host has no room for more callsites: their messages will lack module, file and line\n");
		else if (err)
			break;
		else
			ddebug_dict_mark_announced(ddebug_announced, last);
		WRITE_ONCE(ddebug_announced, last);
	}
	WRITE_ONCE(ddebug_host_slow, !buf || len);
	wake_up_all(&ddebug_announce_wait);
	/* a device that was reset by somebody else is told all when it is attached again */
	if ((!buf || len) && err != -ENODEV)
		pr_warn_ratelimited("cannot announce new callsites to the host: error %d; will retry %s\n",
				    err, err == -ETIMEDOUT ? "when it answers" : "with the next ones");
	kvfree(buf);
}

/**
 * ddebug_dict_announce_all() - announce everything to a new transport
 * @t: the transport
 *
 * A host that does not answer is logged; its messages are text until it does.
 *
 * Context: Process, with ddebug_transport_lock().  Sleeps.
 */
void ddebug_dict_announce_all(struct ddebug_transport *t)
{
	WRITE_ONCE(ddebug_announced, 0);
	ddebug_dict_announce_new(t);
}

/**
 * ddebug_dict_announce_soon() - have work announce what the host does not have yet
 *
 * Context: Any but NMI.
 */
void ddebug_dict_announce_soon(void)
{
	queue_work(system_unbound_wq, &ddebug_dict_learn_work);
}

/* Is there nothing to wait for? */
static bool ddebug_dict_is_announced(void)
{
	return READ_ONCE(ddebug_announced) >= READ_ONCE(ddebug_last_id) ||
	       READ_ONCE(ddebug_host_slow) || !rcu_access_pointer(ddebug_attached);
}

/**
 * ddebug_dict_announce() - announce all callsites added so far to the host
 *
 * Waits until the host has them, for a second at most; the messages of those that it
 * does not have are text.
 *
 * Context: Process.  Sleeps.
 */
void ddebug_dict_announce(void)
{
	if (READ_ONCE(ddebug_announced) >= READ_ONCE(ddebug_last_id))
		return;
	ddebug_dict_announce_soon();
	if (!wait_event_timeout(ddebug_announce_wait, ddebug_dict_is_announced(),
				DDEBUG_ANNOUNCE_WAIT))
		WRITE_ONCE(ddebug_host_slow, true);
}

/* When a module goes, its descriptors and formats go. */
static int ddebug_dict_module_event(struct notifier_block *nb, unsigned long event, void *data)
{
	struct module *mod = data;
	struct hlist_node *tmp;
	struct ddebug_map *m;
	unsigned int i;
	LIST_HEAD(gone);

	if (event != MODULE_STATE_GOING && event != MODULE_STATE_LIVE)
		return NOTIFY_DONE;

	mutex_lock(&ddebug_dict_mutex);
	ddebug_forget_formats(mod, event == MODULE_STATE_LIVE);
	if (event == MODULE_STATE_LIVE)
		goto out;
	hash_for_each_safe(ddebug_maps, i, tmp, m, node) {
		if (within_module((unsigned long)m->d, mod)) {
			hash_del_rcu(&m->node);
			list_add(&m->gone, &gone);
		}
	}
out:
	mutex_unlock(&ddebug_dict_mutex);
	if (list_empty(&gone))
		return NOTIFY_DONE;

	/* wait for readers that stand on one of them and must find their way on */
	synchronize_rcu();
	mutex_lock(&ddebug_dict_mutex);
	list_for_each_entry(m, &gone, gone)
		hlist_add_head(&m->node, &ddebug_free_maps);
	mutex_unlock(&ddebug_dict_mutex);
	return NOTIFY_DONE;
}

static struct notifier_block ddebug_module_nb = {
	.notifier_call = ddebug_dict_module_event,
};

/**
 * ddebug_dict_stats() - print the dictionary's lines of the stats file
 * @m: the file
 */
void ddebug_dict_stats(struct seq_file *m)
{
	u32 announced = rcu_access_pointer(ddebug_attached) ? READ_ONCE(ddebug_announced) : 0;

	seq_printf(m, "callsites_known: %u\ncallsites_announced: %u\n",
		   READ_ONCE(ddebug_last_id), announced);
}

/**
 * ddebug_dict_init() - start watching modules that go
 *
 * Context: Process.  Sleeps.
 * Return: 0 or -errno.
 */
int __init ddebug_dict_init(void)
{
	return register_module_notifier(&ddebug_module_nb);
}

/**
 * ddebug_dict_exit() - free the dictionary
 *
 * Context: Process.  Nobody is in ddebug_dict_find() any more.  Sleeps.
 */
void ddebug_dict_exit(void)
{
	struct ddebug_entry *e, *etmp;
	struct hlist_node *tmp;
	struct ddebug_map *m;
	unsigned int i;

	irq_work_sync(&ddebug_learn_irq_work);
	cancel_work_sync(&ddebug_dict_learn_work);
	unregister_module_notifier(&ddebug_module_nb);
	hash_for_each_safe(ddebug_maps, i, tmp, m, node)
		kfree(m);
	hlist_for_each_entry_safe(m, tmp, &ddebug_free_maps, node)
		kfree(m);
	xa_destroy(&ddebug_entries_by_id);
	list_for_each_entry_safe(e, etmp, &ddebug_entry_list, list) {
		kfree(e->program);
		kfree(e);
	}
}
