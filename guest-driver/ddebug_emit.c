// SPDX-License-Identifier: GPL-2.0
/*
 * From a message to a record: the text is, to the byte, what the kernel would have
 * printed with 'p', as dmesg shows it without stamp and level.  A packed record has
 * what that text is made of (ddebug_pack.c).
 *
 * The text, by the function that prints:
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
 *   _printk(KERN_CONT)      text
 *
 * PREFIX comes from the flags m, f, s, l, t.  Then printk() cuts the line, strips one
 * newline at its end, and levels (KERN_*) at its start.
 */
#include <linux/device.h>
#include <linux/err.h>
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
#include "ddebug_dict.h"
#include "ddebug_emit.h"
#include "ddebug_pack.h"
#include "ddebug_packed.h"
#include "ddebug_ring.h"

static_assert(DDEBUG_LINE_SIZE - 1 <= DDEBUG_TEXT_MAX);

/* A level is an ASCII SOH and a letter. */
#define DDEBUG_LEVEL_LEN	2

/*
 * Text that grows like snprintf()'s: @len keeps counting when @size is used up.
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

/* Add the flags' part at the start of @t; it is cut separately. */
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
 * Add what precedes the caller's own text.  Without a device to name, the kernel omits
 * the flags' part as well.
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
	case DDEBUG_KIND_CONT:
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
 * Which kernel function the text goes to: printk(KERN_DEBUG ...), whose level is part
 * of the line until it is cut (true), or dev_printk_emit(), whose level is an argument.
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

/* Bytes of levels at the start of @text, which is zero-terminated. */
static size_t ddebug_levels(const char *text)
{
	size_t n = 0;

	while (text[n] == KERN_SOH_ASCII &&
	       ((text[n + 1] >= '0' && text[n + 1] <= '7') || text[n + 1] == 'c'))
		n += DDEBUG_LEVEL_LEN;
	return n;
}

/*
 * Do what printk() does with a line of @len bytes: return the bytes that are left of
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
 * Write the text to @slot.  Return false if there is not enough room: then less has
 * been written than printk() would keep.
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

/**
 * enum ddebug_packed - the result of an attempt to pack
 * @DDEBUG_PACKED: the arguments are in place
 * @DDEBUG_PACKED_NO_ROOM: they do not fit; they may where any message fits
 * @DDEBUG_PACKED_NOT: the text of these arguments is not for a packed record
 */
enum ddebug_packed {
	DDEBUG_PACKED,
	DDEBUG_PACKED_NO_ROOM,
	DDEBUG_PACKED_NOT,
};

static bool ddebug_is_bad_field(int field)
{
	return field > DDEBUG_PACKED_TEXT_MAX || field < -DDEBUG_PACKED_TEXT_MAX;
}

/*
 * Copy a string to @to, which has @room bytes; at most @limit bytes of it, and no byte
 * beyond these is read, as in printf().  Each byte is read once, since it may change:
 * the length always matches the copy.  Return the length, or -1 if there is more.
 */
static int ddebug_copy_string(u8 *to, size_t room, const char *s, size_t limit)
{
	size_t n = 0;

	/* what the kernel prints for invalid pointers */
	if (unlikely((unsigned long)s < PAGE_SIZE || IS_ERR_VALUE(s)))
		s = s ? "(efault)" : "(null)";
	/* it reads words, but no page that the string does not reach */
	if (likely(limit == DDEBUG_PACK_WHOLE)) {
		ssize_t len = strscpy((char *)to, s, room);

		return len < 0 ? -1 : len;
	}
	while (n < limit) {
		char c = READ_ONCE(s[n]);

		if (!c)
			return n;
		if (unlikely(n == room))
			return -1;
		to[n++] = c;
	}
	return n;
}

/* Copy what the kernel makes of a %p..., as ddebug_copy_string(). */
static noinline int ddebug_render_pointer(u8 *to, size_t room, const char *fmt,
					  const int fields[2], unsigned int nr_fields,
					  const void *pointer)
{
	int n;

	/* the formats are those that the kernel itself would have got */
	if (nr_fields == 0)
		n = snprintf((char *)to, room, fmt, pointer);
	else if (nr_fields == 1)
		n = snprintf((char *)to, room, fmt, fields[0], pointer);
	else
		n = snprintf((char *)to, room, fmt, fields[0], fields[1], pointer);
	return n < room ? n : -1;
}

/*
 * Write the arguments of a message to *@at, and advance that.  @end: of the room there;
 * @text: length of the text that precedes.  May fault where the kernel's own formatting
 * would, on strings and pointers.
 */
static __always_inline
enum ddebug_packed ddebug_pack(const struct ddebug_program *p, u8 **at, const u8 *end,
			       size_t text, va_list args)
{
	size_t limit = DDEBUG_PACK_WHOLE, room;
	const struct ddebug_op *op;
	int fields[2] __ddebug_uninitialized, field, n;
	const void *pointer;
	unsigned int i;
	u8 *w = *at;

	if (end - w < p->fixed)
		return DDEBUG_PACKED_NO_ROOM;
	/* for the bytes of strings; the rest needs no further check */
	room = end - w - p->fixed;
	text += p->text;

	for (op = p->ops; op->kind != DDEBUG_OP_END; op++) {
		if (likely(op->kind == DDEBUG_OP_INT)) {
			put_unaligned_le32(va_arg(args, u32), w);
			w += sizeof(__le32);
			continue;
		}
		switch (op->kind) {
		case DDEBUG_OP_LONG:
			put_unaligned_le64(va_arg(args, u64), w);
			w += sizeof(__le64);
			continue;
		case DDEBUG_OP_WIDTH:
		case DDEBUG_OP_LIMIT:
			field = va_arg(args, int);
			if (ddebug_is_bad_field(field))
				return DDEBUG_PACKED_NOT;
			if (op->kind == DDEBUG_OP_WIDTH)
				text += abs(field) + 2;	/* a precision is never negative */
			limit = max(field, 0);
			put_unaligned_le32(field, w);
			w += sizeof(__le32);
			continue;
		case DDEBUG_OP_STRING:
			limit = op->arg;
			fallthrough;
		case DDEBUG_OP_STRING_LIMIT:
			pointer = va_arg(args, const char *);
			n = ddebug_copy_string(w + sizeof(__le16),
					       min_t(size_t, room, DDEBUG_PACKED_TEXT_MAX),
					       pointer, limit);
			break;
		default:
			for (i = 0; i < op->nr_fields; i++)
				fields[i] = va_arg(args, int);
			pointer = va_arg(args, const void *);
			n = ddebug_render_pointer(w + sizeof(__le16),
						  min_t(size_t, room, DDEBUG_PACKED_TEXT_MAX),
						  (const char *)p + op->arg, fields, op->nr_fields,
						  pointer);
			break;
		}
		if (n < 0)
			return room < DDEBUG_PACKED_TEXT_MAX ? DDEBUG_PACKED_NO_ROOM :
							       DDEBUG_PACKED_NOT;
		put_unaligned_le16(n, w);
		w += sizeof(__le16) + n;
		room -= n;
		text += n;
	}
	if (text > DDEBUG_PACKED_TEXT_MAX)
		return DDEBUG_PACKED_NOT;
	*at = w;
	return DDEBUG_PACKED;
}

/*
 * Write what precedes the caller's text to @at; in a packed record it is text.  Return
 * its length, which is @size or more if it does not fit.
 */
static noinline size_t ddebug_pack_head(u8 *at, size_t size, const struct _ddebug *d,
					enum ddebug_kind kind, const void *obj)
{
	struct ddebug_text t = { .buf = (char *)at, .size = size };

	ddebug_add_head(&t, d, kind, obj, ddebug_by_printk(kind, obj));
	return t.len;
}

/* Write a packed record to @slot; set *len to its length.  Consumes @args. */
static __always_inline
enum ddebug_packed ddebug_pack_message(struct ddebug_slot *slot, const struct _ddebug *d,
				       enum ddebug_kind kind, const void *obj,
				       const struct ddebug_program *program, va_list args,
				       size_t *len)
{
	/* one byte, which may change at any time */
	bool plain = kind == DDEBUG_KIND_PR &&
		     !(data_race((unsigned int)d->flags) & _DPRINTK_FLAGS_INCL_ANY);
	struct ddebug_rec_packed_wide *wide = (void *)slot->rec;
	struct ddebug_rec_packed *rec = (void *)slot->rec;
	const u8 *end = ddebug_slot_end(slot);
	u32 pid = task_pid_nr(current);
	enum ddebug_packed result;
	size_t head = 0;
	u8 *at;

	if (end - (u8 *)slot->rec < (ptrdiff_t)sizeof(*wide))
		return DDEBUG_PACKED_NO_ROOM;
	if (likely(plain && pid <= U16_MAX && program->id <= U16_MAX)) {
		rec->callsite = cpu_to_le16(program->id);
		rec->pid = cpu_to_le16(pid);
		at = rec->args;
	} else {
		at = wide->bytes;
		if (!plain) {
			size_t size = min_t(size_t, end - at, DDEBUG_PACKED_TEXT_MAX);

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
	result = ddebug_pack(program, &at, end, head, args);
	*len = at - (u8 *)slot->rec;
	return result;
}

static __printf(5, 0) void ddebug_emit_text(struct ddebug_slot *slot, const struct _ddebug *d,
					    enum ddebug_kind kind, const void *obj,
					    const char *fmt, va_list args, u32 id)
{
	size_t len;

	/* at most twice: the longest line fits in a fresh sub-buffer */
	while (!ddebug_format(slot, d, kind, obj, fmt, args, &len))
		ddebug_slot_next(slot);
	ddebug_slot_commit_text(slot, DDEBUG_REC_TEXT, id, task_pid_nr(current), len);
}

/**
 * ddebug_emit() - record a message
 * @d: the callsite
 * @kind: the function that it called
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
	enum ddebug_packed result;
	struct ddebug_slot slot __ddebug_uninitialized;
	va_list copy __ddebug_uninitialized;
	size_t len;
	u32 id;

	preempt_disable_notrace();
	/* the format of a hex dump's lines, or of a piece, is not the callsite's */
	program = ddebug_dict_find(d, kind >= DDEBUG_KIND_HEX_DUMP ? NULL : fmt, &id);
	if (!ddebug_slot_begin(&slot, (unsigned long)__builtin_frame_address(0)))
		goto out;
	while (program) {
		va_copy(copy, args);
		result = ddebug_pack_message(&slot, d, kind, obj, program, copy, &len);
		va_end(copy);
		if (likely(result == DDEBUG_PACKED)) {
			ddebug_slot_commit(&slot, DDEBUG_REC_PACKED, len);
			goto out;
		}
		if (result == DDEBUG_PACKED_NOT || ddebug_slot_is_ample(&slot))
			break;
		/* at most once: the next one is ample */
		ddebug_slot_next(&slot);
	}
	ddebug_emit_text(&slot, d, kind, obj, fmt, args, id);
out:
	preempt_enable_notrace();
}
