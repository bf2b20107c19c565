// SPDX-License-Identifier: GPL-2.0
/*
 * Which function does a callsite print through?
 *
 * Most callsites pass their descriptor to what they call, so the print probes know
 * the caller.  A few (docs/callsites.md) have nothing but the branch:
 *
 *   if (static_branch_unlikely(&descriptor.key))
 *           print_hex_dump(KERN_DEBUG, ...);
 *
 * Telling them apart
 * ------------------
 * The key knows its jump entries, one for each copy of the callsite that the compiler
 * made, and these know where the branch leads.  Code that passes a descriptor contains
 * its address:
 *
 *   48 c7 c7 imm32	mov $descriptor,%rdi
 *
 * mostly within 60 bytes, at most 4 KiB, after the target of the branch; where the
 * compiler has moved the call to a function of its own, within 20 KiB.  This holds for
 * all callsites of Debian's kernels 6.1 and 6.12 (tests/tools/callsites.py checks them
 * by other means).  If no address is found, the callsite counts as one that cannot be
 * recorded: a false alarm warns of messages that arrive all the same, a missing alarm
 * lets the user wait forever.  The opposite error, six matching bytes by
 * chance, does not happen.
 *
 * Text in __init sections is examined when its module comes, for hex dumps, and never
 * after: once it is freed, anything may be there.  It no longer prints, whatever its
 * flags are.
 *
 * print_hex_dump()
 * ----------------
 * is identified by its return address.  The call that follows the target of the branch,
 * in the same straight piece of code, is the callsite's own, so its return address
 * stands for the descriptor.  All callsites are examined, with 'r' or without, since
 * the compiler may merge the calls of several: such an address stands for none.
 * print_hex_dump() takes two arguments on the stack, so no code gets there by a jump
 * and returns to its caller's caller.
 *
 * The return addresses are in a hash table with open addressing.  It is changed
 * with the hook's control_lock, and read from any context without a lock:
 *
 * - A caller that looks an address up has it on its stack.  The address's module
 *   cannot be gone, nor its __init text, so its slot is neither emptied nor used
 *   for another address meanwhile.
 * - A slot's descriptor is stored before its address (A, below), and a slot
 *   never becomes empty again, so no chain is cut.
 *
 * Architectures other than x86-64 have other instructions: there, no callsite is
 * reported as one that cannot be recorded, and hex dumps are not recorded.
 *
 * Everything but ddebug_callsite_at() and ddebug_callsite_format() is called with
 * control_lock.
 */
#include <linux/hash.h>
#include <linux/jump_label.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "ddebug_callsite.h"

/* Bytes of a format that are copied at a time; divides the size of a page. */
#define FORMAT_PIECE	64

#ifdef DDEBUG_CALLSITE_CODE

/* Where to search for a reference: first after the target of the branch ... */
#define REF_NEAR	4096
/* ... then on both sides of the branch, and of its target. */
#define REF_FAR		(32 * 1024)

/* The call of print_hex_dump() is at most 60 bytes away in Debian's kernels. */
#define CALL_NEAR	128

/*
 * With call depth tracking the kernel makes calls go to the padding before the
 * function, which is at most this long.
 */
#define PADDING_MAX	16

#define MOV_LEN		6	/* c7 /0 imm32; the prefix is not checked */
#define CALL_LEN	5

/* Twice the slots that may be used: short chains, and always an empty slot. */
#define RETURN_BITS	10
#define RETURN_MAX	(1 << (RETURN_BITS - 1))

/* The address in a slot that is free, but inside chains. */
#define RETURN_FREE	1ul

/**
 * struct ddebug_return - who prints through the call that returns to an address
 * @address: the address; 0: the slot was never used; RETURN_FREE
 * @d: the callsite; NULL: several
 */
struct ddebug_return {
	unsigned long address;
	const struct _ddebug *d;
};

static struct ddebug_return returns[1 << RETURN_BITS];
static unsigned int nr_returns;		/* slots that are not empty */

/**
 * struct ddebug_copy - one copy of a callsite
 * @code: the branch
 * @target: where it leads when taken
 * @body: start of the code that the key enables
 * @body_max: its greatest length
 */
struct ddebug_copy {
	unsigned long code;
	unsigned long target;
	unsigned long body;
	size_t body_max;
};

static u8 text[PAGE_SIZE + MOV_LEN];	/* a buffer for the kernel's code */

static u32 ddebug_text32(size_t i)
{
	u32 v;

	memcpy(&v, text + i, sizeof(v));
	return v;
}

/*
 * The copies of @d, from @at on; unless @init, without those in __init text.  Return
 * where to continue, or NULL.  The entries of a key are adjacent; what follows the last
 * table is read with care, and belongs to no key.
 */
static const struct jump_entry *ddebug_next_copy(const struct _ddebug *d,
						 const struct jump_entry *at,
						 struct ddebug_copy *copy,
						 bool init)
{
	const struct static_key *key = &d->key.dd_key_true.key;
	struct jump_entry e;

	for (; !copy_from_kernel_nofault(&e, at, sizeof(e)); at++) {
		if ((unsigned long)&at->key + (e.key & ~3l) != (unsigned long)key)
			break;
		if (!init && (e.key & 2))	/* see jump_entry_is_init() */
			continue;
		copy->code = (unsigned long)&at->code + e.code;
		copy->target = (unsigned long)&at->target + e.target;
		copy->body = copy->target;
		copy->body_max = SIZE_MAX;
		if (e.key & 1) {	/* see jump_entry_is_branch() */
			copy->body = copy->code;
			if (copy->target > copy->code)
				copy->body_max = copy->target - copy->code;
		}
		return at + 1;
	}
	return NULL;
}

/* NULL: the key is not tied to code yet, or no longer is. */
static const struct jump_entry *ddebug_first_entry(const struct _ddebug *d)
{
	unsigned long type = READ_ONCE(d->key.dd_key_true.key.type);

	if (type & JUMP_TYPE_LINKED)
		return NULL;
	return (void *)(type & ~JUMP_TYPE_MASK);
}

#define for_each_copy(d, at, copy, init)				\
	for (at = ddebug_first_entry(d);				\
	     at && (at = ddebug_next_copy(d, at, copy, init)); )

/* Is the address of @d moved to a register in the text at @from? */
static bool ddebug_refers(const struct _ddebug *d, unsigned long from, size_t len)
{
	size_t kept = 0, n, i;

	for (; len; from += n, len -= n) {
		n = min_t(size_t, len, PAGE_SIZE - offset_in_page(from));
		if (copy_from_kernel_nofault(text + kept, (void *)from, n)) {
			kept = 0;
			continue;
		}
		n += kept;
		for (i = 0; i + MOV_LEN <= n; i++)
			if (text[i] == 0xc7 && (text[i + 1] & 0xf8) == 0xc0 &&
			    ddebug_text32(i + 2) == (u32)(unsigned long)d)
				return true;
		i = min_t(size_t, n, MOV_LEN - 1);
		memmove(text, text + n - i, i);
		n -= kept;
		kept = i;
	}
	return false;
}

static bool ddebug_refers_around(const struct _ddebug *d, unsigned long at)
{
	return ddebug_refers(d, at - REF_FAR, 2 * REF_FAR);
}

/* Return address of the call of print_hex_dump() in @copy; 0: there is none. */
static unsigned long ddebug_hex_dump_return(const struct ddebug_copy *copy)
{
	size_t n = min_t(size_t, copy->body_max, CALL_NEAR), i;
	unsigned long next;

	if (copy_from_kernel_nofault(text, (void *)copy->body, n)) {
		n = min_t(size_t, n, PAGE_SIZE - offset_in_page(copy->body));
		if (copy_from_kernel_nofault(text, (void *)copy->body, n))
			return 0;
	}
	for (i = 0; i + CALL_LEN <= n; i++) {
		if (text[i] != 0xe8)
			continue;
		next = copy->body + i + CALL_LEN;
		next += (s32)ddebug_text32(i + 1);
		if ((unsigned long)print_hex_dump - next <= PADDING_MAX)
			return copy->body + i + CALL_LEN;
	}
	return 0;
}

static bool ddebug_passes_descriptor(const struct _ddebug *d, bool init)
{
	const struct jump_entry *at;
	struct ddebug_copy copy;
	bool any = false;

	for_each_copy(d, at, &copy, init) {
		if (ddebug_refers(d, copy.body, REF_NEAR))
			return true;
		any = true;
	}
	for_each_copy(d, at, &copy, init) {
		if (ddebug_refers_around(d, copy.target) ||
		    ddebug_refers_around(d, copy.code))
			return true;
	}
	return !any;
}

static struct ddebug_return *ddebug_find_return(unsigned long address)
{
	unsigned int i = hash_long(address, RETURN_BITS);
	unsigned long found;

	for (;; i = (i + 1) % ARRAY_SIZE(returns)) {
		/* B: pairs with ddebug_add_return:A: the address before the descriptor */
		found = smp_load_acquire(&returns[i].address);
		if (found == address)
			return &returns[i];
		if (!found)
			return NULL;
	}
}

static void ddebug_add_return(unsigned long address, const struct _ddebug *d)
{
	unsigned int i = hash_long(address, RETURN_BITS);
	struct ddebug_return *r = ddebug_find_return(address);

	if (r) {
		if (r->d != d)
			WRITE_ONCE(r->d, NULL);
		return;
	}
	if (nr_returns == RETURN_MAX)
		return;		/* not recorded then, and reported */
	while (returns[i].address > RETURN_FREE)
		i = (i + 1) % ARRAY_SIZE(returns);
	if (!returns[i].address)
		nr_returns++;
	WRITE_ONCE(returns[i].d, d);
	/* A: pairs with ddebug_find_return:B: the descriptor before the address */
	smp_store_release(&returns[i].address, address);
}

/**
 * ddebug_callsite_learn() - find the hex dump calls of a callsite
 * @d: the callsite
 * @init: its module is coming: its __init text is there
 */
void ddebug_callsite_learn(const struct _ddebug *d, bool init)
{
	const struct jump_entry *at;
	unsigned long address;
	struct ddebug_copy copy;
	bool hex_dumps = false;

	/* Few are followed by such a call, so that is checked first. */
	for_each_copy(d, at, &copy, init)
		hex_dumps |= !!ddebug_hex_dump_return(&copy);
	if (!hex_dumps || ddebug_passes_descriptor(d, init))
		return;
	for_each_copy(d, at, &copy, init) {
		address = ddebug_hex_dump_return(&copy);
		if (address)
			ddebug_add_return(address, d);
	}
}

/**
 * ddebug_callsite_forget() - forget the hex dump calls of a module
 * @mod: the module, none of whose code is running; NULL: all, and no callsite has 'r'
 */
void ddebug_callsite_forget(const struct module *mod)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(returns); i++)
		if (returns[i].address > RETURN_FREE &&
		    (!mod || within_module(returns[i].address, mod)))
			WRITE_ONCE(returns[i].address, RETURN_FREE);
}

/**
 * ddebug_callsite_forget_init() - forget the hex dump calls in a module's __init text
 * @mod: the module, initialised; its __init text is not running, but still there
 */
void ddebug_callsite_forget_init(const struct module *mod)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(returns); i++)
		if (returns[i].address > RETURN_FREE &&
		    within_module_init(returns[i].address, mod))
			WRITE_ONCE(returns[i].address, RETURN_FREE);
}

/**
 * ddebug_callsite_at() - find whose call of print_hex_dump() returns to an address
 * @address: the return address of a call that has not returned
 *
 * Context: Any.
 * Return: The callsite, or NULL if it is not known, or not unique.
 */
const struct _ddebug *ddebug_callsite_at(unsigned long address)
{
	const struct ddebug_return *r = ddebug_find_return(address);

	return r ? READ_ONCE(r->d) : NULL;
}
NOKPROBE_SYMBOL(ddebug_callsite_at);
NOKPROBE_SYMBOL(ddebug_find_return);

/**
 * ddebug_callsite_obstacle() - check whether the messages of a callsite can be recorded
 * @d: the callsite; ddebug_callsite_learn() has seen all of its module
 *
 * Return: NULL if they can, otherwise the reason why not.
 */
const char *ddebug_callsite_obstacle(const struct _ddebug *d)
{
	const struct ddebug_return *r;
	const struct jump_entry *at;
	unsigned long address;
	struct ddebug_copy copy;

	/*
	 * DRM's functions may take the descriptor and yet print by themselves.  Classes
	 * are DRM's, except for those of a test of dynamic debug.
	 */
	if (IS_ENABLED(CONFIG_DRM_USE_DYNAMIC_DEBUG) &&
	    d->class_id != _DPRINTK_CLASS_DFLT)
		return "it prints through functions of DRM";
	if (ddebug_passes_descriptor(d, false))
		return NULL;
	for_each_copy(d, at, &copy, false) {
		address = ddebug_hex_dump_return(&copy);
		if (!address)
			return "it prints through functions that do not know its descriptor";
		r = ddebug_find_return(address);
		if (!r)
			return "too many callsites print hex dumps";
		if (!r->d)
			return "its call of print_hex_dump is also another callsite's";
	}
	return NULL;
}

#endif /* DDEBUG_CALLSITE_CODE */

/**
 * ddebug_callsite_format() - copy the format of a callsite, if it is still there
 * @d: the callsite
 * @buf: zero-terminated afterwards
 * @size: of @buf; what is longer is cut
 *
 * A format may have gone before its callsite: with the __init data of its module, or as
 * the buffer that it was in.
 *
 * Context: Process.
 * Return: false if there is none; @buf is "" then.
 */
bool ddebug_callsite_format(const struct _ddebug *d, char *buf, size_t size)
{
	const char *from = d->format;
	size_t at = 0, n;

	while (at < size - 1) {
		/* its last page may be followed by none */
		n = min_t(size_t, size - 1 - at, FORMAT_PIECE - (unsigned long)from % FORMAT_PIECE);
		if (copy_from_kernel_nofault(buf + at, from, n)) {
			buf[0] = '\0';
			return false;
		}
		if (memchr(buf + at, '\0', n))
			return true;
		from += n;
		at += n;
	}
	buf[at] = '\0';
	return true;
}
