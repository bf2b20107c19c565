// SPDX-License-Identifier: GPL-2.0
/*
 * Packed records: the arguments of a message as they are, instead of its text.
 *
 * What they look like is said in docs/log-format.md, "Packed records", and
 * ddebug_packed.h.  A format is read once, by ddebug_program_new(); a message
 * costs no more than going over its arguments, except for what %p means, which
 * is made a text here and now.
 *
 * The host cannot know where this kernel's printk() would cut a line.  So what
 * might be longer than DDEBUG_PACKED_TEXT_MAX, which is less than in any of them,
 * is not packed: the sum of what each conversion makes at most is counted along.
 */
#include <linux/align.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "ddebug_compat.h"
#include "ddebug_pack.h"
#include "ddebug_packed.h"

/* No prefix flags, no level: DDEBUG_LINE_SIZE has room for either and a zero. */
static_assert(DDEBUG_PACKED_TEXT_MAX + 8 <= DDEBUG_LINE_SIZE);

/* Of a string: no precision. */
#define DDEBUG_PACK_WHOLE	U16_MAX

/* Digits of 64 bits, octal, and two of a sign or prefix. */
#define DDEBUG_PACK_NUMBER_MAX	24

/* More than any pr_debug() has; a program is small. */
#define DDEBUG_PACK_OPS_MAX	64

enum ddebug_op_kind {
	DDEBUG_OP_END,
	DDEBUG_OP_INT,		/* 4 bytes */
	DDEBUG_OP_LONG,		/* 8 bytes */
	DDEBUG_OP_WIDTH,	/* 4 bytes: an asterisk that adds to the text */
	DDEBUG_OP_LIMIT,	/* 4 bytes: the precision of the string that follows */
	DDEBUG_OP_STRING,
	DDEBUG_OP_STRING_LIMIT,	/* after DDEBUG_OP_LIMIT */
	DDEBUG_OP_POINTER,
};

/*
 * A program that is being made: first without @p, to learn its size.
 */
struct ddebug_making {
	struct ddebug_program *p;
	unsigned int nr_ops;
	unsigned int nr_ops_max;
	size_t copied;		/* bytes of conversions of pointers */
	size_t fixed;
	size_t text;
};

static void ddebug_make_op(struct ddebug_making *m, u8 kind, u8 nr_fields, u16 arg)
{
	if (m->p)
		m->p->ops[m->nr_ops] = (struct ddebug_op){ kind, nr_fields, arg };
	m->nr_ops++;
}

static void ddebug_make_pointer(struct ddebug_making *m, const struct ddebug_conv *c,
				const char *fmt, size_t len)
{
	size_t at = offsetof(struct ddebug_program, ops) +
		    m->nr_ops_max * sizeof(struct ddebug_op) + m->copied;

	ddebug_make_op(m, DDEBUG_OP_POINTER, (c->width == DDEBUG_CONV_ASTERISK) +
		       (c->precision == DDEBUG_CONV_ASTERISK), at);
	if (m->p) {
		memcpy((char *)m->p + at, fmt, len);
		((char *)m->p)[at + len] = '\0';
	}
	m->copied += len + 1;
	m->fixed += sizeof(__le16);
}

static void ddebug_make_fields(struct ddebug_making *m, const struct ddebug_conv *c)
{
	if (c->width == DDEBUG_CONV_ASTERISK) {
		ddebug_make_op(m, DDEBUG_OP_WIDTH, 0, 0);
		m->fixed += sizeof(__le32);
	}
	if (c->precision == DDEBUG_CONV_ASTERISK) {
		ddebug_make_op(m, c->arg == DDEBUG_ARG_STRING ? DDEBUG_OP_LIMIT : DDEBUG_OP_WIDTH,
			       0, 0);
		m->fixed += sizeof(__le32);
	}
}

static void ddebug_make_string(struct ddebug_making *m, const struct ddebug_conv *c)
{
	if (c->precision == DDEBUG_CONV_ASTERISK)
		ddebug_make_op(m, DDEBUG_OP_STRING_LIMIT, 0, 0);
	else
		ddebug_make_op(m, DDEBUG_OP_STRING, 0, c->precision == DDEBUG_CONV_NO_NUMBER ?
			       DDEBUG_PACK_WHOLE : c->precision);
	m->fixed += sizeof(__le16);
}

static void ddebug_make_conversion(struct ddebug_making *m, const struct ddebug_conv *c,
				   const char *fmt, size_t len)
{
	size_t most = 1;	/* of % and %c */

	if (c->arg == DDEBUG_ARG_POINTER) {
		ddebug_make_pointer(m, c, fmt, len);
		return;
	}
	ddebug_make_fields(m, c);
	switch (c->arg) {
	case DDEBUG_ARG_NONE:
		break;
	case DDEBUG_ARG_STRING:
		ddebug_make_string(m, c);
		most = 0;
		break;
	default:
		if (c->base)
			most = max_t(int, DDEBUG_PACK_NUMBER_MAX, c->precision + 2);
		ddebug_make_op(m, c->arg == DDEBUG_ARG_LONG ? DDEBUG_OP_LONG : DDEBUG_OP_INT, 0, 0);
		m->fixed += c->arg == DDEBUG_ARG_LONG ? sizeof(__le64) : sizeof(__le32);
		break;
	}
	m->text += max_t(int, most, c->width);
}

/* Returns false if the format is not for packed records. */
static bool ddebug_make(struct ddebug_making *m, const char *fmt, size_t len)
{
	struct ddebug_conv c;

	while (len) {
		const char *mark = memchr(fmt, '%', len);
		size_t n = mark ? mark - fmt : len;

		m->text += n;
		fmt += n;
		len -= n;
		if (!len)
			break;
		n = ddebug_conv_parse(fmt, len, &c);
		if (!n)
			return false;
		ddebug_make_conversion(m, &c, fmt, n);
		fmt += n;
		len -= n;
	}
	ddebug_make_op(m, DDEBUG_OP_END, 0, 0);
	return m->nr_ops <= DDEBUG_PACK_OPS_MAX && m->text <= DDEBUG_PACKED_TEXT_MAX;
}

/**
 * ddebug_can_pack() - are there packed records of a format?
 * @fmt: the format
 * @len: its length
 *
 * Context: Any.
 */
bool ddebug_can_pack(const char *fmt, size_t len)
{
	struct ddebug_making m = {};

	return ddebug_make(&m, fmt, len);
}

/**
 * ddebug_program_new() - how messages of a format are packed
 * @fmt: the format
 * @len: its length
 *
 * Context: Process.  Sleeps.
 * Return: a program, to be freed by kfree(); NULL if it cannot be packed, or
 * without memory.
 */
struct ddebug_program *ddebug_program_new(const char *fmt, size_t len)
{
	struct ddebug_making m = {};
	size_t size;

	if (!ddebug_make(&m, fmt, len))
		return NULL;
	size = offsetof(struct ddebug_program, ops) + m.nr_ops * sizeof(struct ddebug_op) + m.copied;
	if (size > U16_MAX)
		return NULL;
	m.p = kzalloc(size, GFP_KERNEL);
	if (!m.p)
		return NULL;
	m.p->fixed = m.fixed;
	m.p->text = m.text;
	m.nr_ops_max = m.nr_ops;
	m.nr_ops = 0;
	m.copied = 0;
	ddebug_make(&m, fmt, len);
	return m.p;
}

static bool ddebug_is_bad_field(int field)
{
	return field > DDEBUG_PACKED_TEXT_MAX || field < -DDEBUG_PACKED_TEXT_MAX;
}

/*
 * A string goes to @to, where @room bytes are; at most @limit of it, and not a byte
 * beyond these is read, as printf() has it.  Each byte is read once, since it may
 * change: the length and what is there fit each other.  Returns the length, or
 * -1 if there is more.
 */
static int ddebug_copy_string(u8 *to, size_t room, const char *s, size_t limit)
{
	size_t n = 0;

	/* what the kernel prints for pointers that are not */
	if (unlikely((unsigned long)s < PAGE_SIZE || IS_ERR_VALUE(s)))
		s = s ? "(efault)" : "(null)";
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

/* What the kernel makes of a %p..., as ddebug_copy_string(). */
static noinline int ddebug_render_pointer(u8 *to, size_t room, const char *fmt,
					  const int fields[2], unsigned int nr_fields,
					  const void *pointer)
{
	int n;

	/* the formats are those that the kernel itself would have had */
	if (nr_fields == 0)
		n = snprintf((char *)to, room, fmt, pointer);
	else if (nr_fields == 1)
		n = snprintf((char *)to, room, fmt, fields[0], pointer);
	else
		n = snprintf((char *)to, room, fmt, fields[0], fields[1], pointer);
	return n < room ? n : -1;
}

/**
 * ddebug_pack() - write the arguments of a message
 * @p: the program of its format
 * @at: where they go; moved behind them
 * @end: end of the room there
 * @text: length of the text that stands before
 * @args: the arguments; used up
 *
 * Context: Any, NMI included, with preemption off.  May fault where the kernel's
 * own formatting would, on strings and pointers.
 * Return: enum ddebug_packed; unless it is DDEBUG_PACKED @at is as it was.
 */
enum ddebug_packed ddebug_pack(const struct ddebug_program *p, u8 **at, const u8 *end,
			       size_t text, va_list args)
{
	size_t limit = DDEBUG_PACK_WHOLE, room;
	const struct ddebug_op *op;
	int fields[2], field, n;
	const void *pointer;
	unsigned int i;
	u8 *w = *at;

	if (end - w < p->fixed)
		return DDEBUG_PACKED_NO_ROOM;
	/* for the bytes of strings; the rest needs no further look */
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
				text += abs(field) + 2;	/* a precision has no sign in it */
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
