// SPDX-License-Identifier: GPL-2.0
/*
 * Packed records: the raw arguments of a message instead of its text.
 *
 * docs/log-format.md, "Packed records", and ddebug_packed.h describe them.  A format
 * is parsed once, into a program; a message then only costs a walk over its arguments
 * (ddebug_emit.c), except for %p, which is formatted right there.
 *
 * The host cannot know where this kernel's printk() would cut a line.  So a message
 * that might be longer than DDEBUG_PACKED_TEXT_MAX, which is less than the limit of any
 * kernel, is not packed: the maximum lengths of its conversions are added up on the way.
 */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "ddebug_compat.h"
#include "ddebug_pack.h"
#include "ddebug_packed.h"

/* With a level of two bytes and a zero, printk() does not cut the longest text. */
static_assert(DDEBUG_PACKED_TEXT_MAX + 8 <= DDEBUG_LINE_SIZE);

/* Octal digits of 64 bits, and two of a sign or prefix. */
#define DDEBUG_PACK_NUMBER_MAX	24

/* More than any pr_debug() has; a program is small. */
#define DDEBUG_PACK_OPS_MAX	64

/*
 * A program in the making: first without @p, to learn its size.
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

/* Return false if the format cannot be packed. */
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
 * ddebug_can_pack() - check whether a format can be packed
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
 * ddebug_program_new() - make the program that packs the messages of a format
 * @fmt: the format
 * @len: its length
 *
 * Context: Process.  Sleeps.
 * Return: A program, to be freed by kfree(); NULL if the format cannot be packed, or
 * without memory.
 */
struct ddebug_program *ddebug_program_new(const char *fmt, size_t len)
{
	struct ddebug_making m = {};
	size_t size;

	if (!ddebug_make(&m, fmt, len))
		return NULL;
	size = offsetof(struct ddebug_program, ops) + m.nr_ops * sizeof(struct ddebug_op) +
	       m.copied;
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
