// SPDX-License-Identifier: GPL-2.0
/*
 * From a message to a record: the text is what the kernel would have printed
 * with 'p', to the byte, as dmesg shows it without stamp and level.  A packed
 * record has what that text is made of (ddebug_pack.c).
 *
 * What that is, by the function that prints:
 *
 *   __dynamic_pr_debug      PREFIX text
 *   __dynamic_dev_dbg       PREFIX driver device: text
 *                           (NULL device *): text
 *   __dynamic_netdev_dbg    PREFIX driver parent netdev STATE: text
 *                           netdev STATE: text             no parent
 *                           (NULL net_device): text
 *   __dynamic_ibdev_dbg     PREFIX driver parent ibdev: text
 *                           ibdev: text                    no parent
 *                           (NULL ib_device): text
 *   print_hex_dump          text
 *
 * PREFIX is of the flags m, f, s, l, t.  After that printk() cuts the line, takes off
 * one newline at its end, and levels (KERN_*) at its begin.
 */
#include <linux/device.h>
#include <linux/kernel.h>
#include <linux/kern_levels.h>
#include <linux/netdevice.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/string.h>
#if IS_ENABLED(CONFIG_INFINIBAND)
#include <rdma/ib_verbs.h>
#endif
#include "ddebug_compat.h"
#include "ddebug_pack.h"
#include "ddebug_packed.h"
#include "ddebug_rb.h"
#include "ddebug_ring.h"

static_assert(DDEBUG_LINE_SIZE - 1 <= DDEBUG_TEXT_MAX);

/* A level is an ASCII SOH and a letter. */
#define DDEBUG_LEVEL_LEN	2

/*
 * Text that grows as snprintf()'s: @len goes on counting when @size is used up.
 */
struct ddebug_text {
	char *buf;
	size_t size;
	size_t len;
};

static __printf(2, 0) void ddebug_vadd(struct ddebug_text *t, const char *fmt, va_list args)
{
	size_t room = t->len < t->size ? t->size - t->len : 0;

	t->len += vsnprintf(room ? t->buf + t->len : NULL, room, fmt, args);
}

static __printf(2, 3) void ddebug_add(struct ddebug_text *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	ddebug_vadd(t, fmt, args);
	va_end(args);
}

/* The flags' part, at the begin of @t; it is cut by itself. */
static noinline void ddebug_add_prefix(struct ddebug_text *t, const struct _ddebug *d,
				       unsigned int flags)
{
	struct ddebug_text p = {
		.buf = t->buf,
		.size = min_t(size_t, t->size, DDEBUG_PREFIX_SIZE),
	};
	size_t behind_tid;

	if (flags & _DPRINTK_FLAGS_INCL_TID) {
		if (in_interrupt())
			ddebug_add(&p, "<intr> ");
		else
			ddebug_add(&p, "[%d] ", task_pid_vnr(current));
	}
	behind_tid = p.len;
	if (flags & _DPRINTK_FLAGS_INCL_MODNAME)
		ddebug_add(&p, "%s:", d->modname);
	if (flags & _DPRINTK_FLAGS_INCL_FUNCNAME)
		ddebug_add(&p, "%s:", d->function);
#ifdef _DPRINTK_FLAGS_INCL_SOURCENAME
	if (flags & _DPRINTK_FLAGS_INCL_SOURCENAME)
		ddebug_add(&p, "%s:", d->filename);
#endif
	if (flags & _DPRINTK_FLAGS_INCL_LINENO)
		ddebug_add(&p, "%d:", d->lineno);
	if (p.len > behind_tid)
		ddebug_add(&p, " ");
	t->len = min_t(size_t, p.len, DDEBUG_PREFIX_SIZE - 1);
}

static void ddebug_add_dev(struct ddebug_text *t, const struct device *dev, const char *end)
{
	ddebug_add(t, "%s %s%s", dev_driver_string(dev), dev_name(dev), end);
}

/*
 * What stands before the caller's own text.  Where there is no device to name, the
 * kernel leaves the flags' part away as well.
 */
static void ddebug_add_head(struct ddebug_text *t, const struct _ddebug *d,
			    enum ddebug_kind kind, const void *obj, bool bare)
{
	/* one byte, which may change at any time */
	unsigned int flags = data_race((unsigned int)d->flags);

	if (unlikely(flags & _DPRINTK_FLAGS_INCL_ANY) && (kind == DDEBUG_KIND_PR || !bare))
		ddebug_add_prefix(t, d, flags);

	switch (kind) {
	case DDEBUG_KIND_PR:
	case DDEBUG_KIND_HEX_DUMP:
		break;
	case DDEBUG_KIND_DEV:
		if (obj)
			ddebug_add_dev(t, obj, ": ");
		else
			ddebug_add(t, "(NULL device *): ");
		break;
	case DDEBUG_KIND_NETDEV: {
#ifdef CONFIG_NET
		const struct net_device *net = obj;

		if (!net) {
			ddebug_add(t, "(NULL net_device): ");
			break;
		}
		if (!bare)
			ddebug_add_dev(t, net->dev.parent, " ");
		ddebug_add(t, "%s%s: ", netdev_name(net), netdev_reg_state(net));
#endif
		break;
	}
	case DDEBUG_KIND_IBDEV: {
#if IS_ENABLED(CONFIG_INFINIBAND)
		const struct ib_device *ib = obj;

		if (!ib) {
			ddebug_add(t, "(NULL ib_device): ");
			break;
		}
		if (!bare)
			ddebug_add_dev(t, ib->dev.parent, " ");
		ddebug_add(t, "%s: ", dev_name(&ib->dev));
#endif
		break;
	}
	}
}

/*
 * Which of the kernel's functions takes it from there: printk(KERN_DEBUG ...), whose
 * level is part of the line until it is cut, or dev_printk_emit(), whose level is
 * an argument.
 */
static bool ddebug_by_printk(enum ddebug_kind kind, const void *obj)
{
	switch (kind) {
	case DDEBUG_KIND_DEV:
		return !obj;
#ifdef CONFIG_NET
	case DDEBUG_KIND_NETDEV:
		return !obj || !((const struct net_device *)obj)->dev.parent;
#endif
#if IS_ENABLED(CONFIG_INFINIBAND)
	case DDEBUG_KIND_IBDEV:
		return !obj || !((const struct ib_device *)obj)->dev.parent;
#endif
	default:
		return true;
	}
}

/* Bytes of levels at the begin of @text; @text ends with a zero. */
static size_t ddebug_levels(const char *text)
{
	size_t n = 0;

	while (text[n] == KERN_SOH_ASCII &&
	       ((text[n + 1] >= '0' && text[n + 1] <= '7') || text[n + 1] == 'c'))
		n += DDEBUG_LEVEL_LEN;
	return n;
}

/*
 * What printk() makes of a line of @len bytes: returns the bytes that are left of
 * it.  @size is what printk() has reserved for it.
 */
static size_t ddebug_trim(char *text, size_t len, size_t size)
{
	size_t levels;

	if (!size)
		return 0;
	if (len >= size)
		len = size - 1;
	text[len] = '\0';
	if (len && text[len - 1] == '\n')
		len--;
	levels = ddebug_levels(text);
	if (levels)
		memmove(text, text + levels, len - levels);
	return len - levels;
}

/*
 * Writes the text to @slot.  Returns false if there is not enough room: then as
 * much of it as printk() would keep has not been written.
 */
static __printf(5, 0) bool ddebug_format(struct ddebug_slot *slot, const struct _ddebug *d,
					 enum ddebug_kind kind, const void *obj,
					 const char *fmt, va_list args, size_t *len)
{
	bool bare = ddebug_by_printk(kind, obj);
	size_t level = bare ? DDEBUG_LEVEL_LEN : 0;
	struct ddebug_text t = {
		.buf = slot->text,
		.size = min_t(size_t, slot->room, DDEBUG_LINE_SIZE - level),
	};
	va_list copy;
	u16 size;

	if (!slot->room)
		return false;
	ddebug_add_head(&t, d, kind, obj, bare);
	va_copy(copy, args);
	ddebug_vadd(&t, fmt, copy);
	va_end(copy);

	/* printk() measures a line in 16 bits: very long ones wrap */
	size = level + t.len + 1;
	size = min_t(u16, size, DDEBUG_LINE_SIZE);
	size = size > level ? size - level : 0;
	if (size > slot->room)
		return false;
	*len = ddebug_trim(t.buf, t.len, size);
	return true;
}

/*
 * What stands before the caller's text, at @at, is a part of a packed record as the
 * text that it is.  Returns its length, which is @size or more if it does not fit.
 */
static noinline size_t ddebug_pack_head(u8 *at, size_t size, const struct _ddebug *d,
					enum ddebug_kind kind, const void *obj)
{
	struct ddebug_text t = { .buf = (char *)at, .size = size };

	ddebug_add_head(&t, d, kind, obj, ddebug_by_printk(kind, obj));
	return t.len;
}

/* Writes a packed record to @slot; *len is set to its length. */
static enum ddebug_packed ddebug_pack_message(struct ddebug_slot *slot, const struct _ddebug *d,
					      enum ddebug_kind kind, const void *obj,
					      const struct ddebug_program *program,
					      va_list args, size_t *len)
{
	/* one byte, which may change at any time */
	bool plain = kind == DDEBUG_KIND_PR &&
		     !(data_race((unsigned int)d->flags) & _DPRINTK_FLAGS_INCL_ANY);
	struct ddebug_rec_packed_wide *wide = (void *)slot->rec;
	struct ddebug_rec_packed *rec = (void *)slot->rec;
	u32 pid = task_pid_nr(current);
	enum ddebug_packed result;
	size_t head = 0;
	va_list copy;
	u8 *at;

	if (slot->end - (u8 *)slot->rec < (ptrdiff_t)sizeof(*wide))
		return DDEBUG_PACKED_NO_ROOM;
	if (likely(plain && pid <= U16_MAX && program->id <= U16_MAX)) {
		rec->callsite = cpu_to_le16(program->id);
		rec->pid = cpu_to_le16(pid);
		at = rec->args;
	} else {
		at = wide->bytes;
		if (!plain) {
			size_t size = min_t(size_t, slot->end - at, DDEBUG_PACKED_TEXT_MAX);

			head = ddebug_pack_head(at, size, d, kind, obj);
			if (head >= size)
				return DDEBUG_PACKED_NO_ROOM;
			at += head;
		}
		wide->zero = 0;
		wide->head_len = cpu_to_le16(head);
		wide->callsite = cpu_to_le32(program->id);
		wide->pid = cpu_to_le32(pid);
	}
	va_copy(copy, args);
	result = ddebug_pack(program, &at, slot->end, head, copy);
	va_end(copy);
	*len = at - (u8 *)slot->rec;
	return result;
}

/*
 * Returns false if the message is not for a packed record; then @slot is as it was, or
 * a fresh one.
 */
static bool ddebug_emit_packed(struct ddebug_slot *slot, const struct _ddebug *d,
			       enum ddebug_kind kind, const void *obj,
			       const struct ddebug_program *program, va_list args)
{
	enum ddebug_packed result;
	size_t len;

	result = ddebug_pack_message(slot, d, kind, obj, program, args, &len);
	if (unlikely(result == DDEBUG_PACKED_NO_ROOM) && !ddebug_slot_is_ample(slot)) {
		ddebug_slot_next(slot);
		result = ddebug_pack_message(slot, d, kind, obj, program, args, &len);
	}
	if (result != DDEBUG_PACKED)
		return false;
	ddebug_slot_commit(slot, DDEBUG_REC_PACKED, len);
	return true;
}

static __printf(5, 0) void ddebug_emit_text(struct ddebug_slot *slot, const struct _ddebug *d,
					    enum ddebug_kind kind, const void *obj,
					    const char *fmt, va_list args, u32 id)
{
	size_t len;

	/* twice at most: the longest line fits a fresh sub-buffer */
	while (!ddebug_format(slot, d, kind, obj, fmt, args, &len))
		ddebug_slot_next(slot);
	ddebug_slot_commit_text(slot, DDEBUG_REC_TEXT, id, task_pid_nr(current), len);
}

/**
 * ddebug_emit() - record a message
 * @d: the callsite
 * @kind: which function it called
 * @obj: the device, or NULL; see &enum ddebug_kind
 * @fmt: as in printf()
 * @args: as in vprintf(); unchanged
 *
 * Context: Any, NMI included.  Does not wait, lock or allocate.
 */
void ddebug_emit(const struct _ddebug *d, enum ddebug_kind kind, const void *obj,
		 const char *fmt, va_list args)
{
	const struct ddebug_program *program;
	struct ddebug_slot slot;
	u32 id;

	preempt_disable_notrace();
	/* the format of a hex dump's lines is ours, not the callsite's */
	program = ddebug_dict_find(d, kind == DDEBUG_KIND_HEX_DUMP ? NULL : fmt, &id);
	if (ddebug_slot_begin(&slot, (unsigned long)__builtin_frame_address(0)) &&
	    !(program && ddebug_emit_packed(&slot, d, kind, obj, program, args)))
		ddebug_emit_text(&slot, d, kind, obj, fmt, args, id);
	preempt_enable_notrace();
}
