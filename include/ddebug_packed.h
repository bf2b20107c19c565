/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * How the format of a callsite is split into conversions, and what a packed record
 * contains for each: the rules of docs/log-format.md, "Packed records".  The guest
 * packs by them and the tool unpacks by them, so they are here once.
 *
 * A format that does not follow these rules is never packed; its messages are text.
 */
#ifndef _DDEBUG_PACKED_H
#define _DDEBUG_PACKED_H

/* What a packed record contains for a conversion, besides its asterisks. */
#define DDEBUG_ARG_NONE		0	/* %%: nothing */
#define DDEBUG_ARG_INT		1	/* %c, %d, %hx ...: 4 bytes */
#define DDEBUG_ARG_LONG		2	/* %ld, %llx, %zu, %td: 8 bytes */
#define DDEBUG_ARG_STRING	3	/* %s: le16 length, that many bytes */
#define DDEBUG_ARG_POINTER	4	/* %p...: the same, of its text; no asterisks */

#define DDEBUG_CONV_LEFT	0x01	/* - */
#define DDEBUG_CONV_PLUS	0x02	/* + */
#define DDEBUG_CONV_SPACE	0x04	/* a blank */
#define DDEBUG_CONV_PREFIX	0x08	/* # */
#define DDEBUG_CONV_ZEROS	0x10	/* 0 */
#define DDEBUG_CONV_SIGNED	0x20	/* d, i */
#define DDEBUG_CONV_UPPER	0x40	/* X */

/* Of a width or a precision. */
#define DDEBUG_CONV_NO_NUMBER	(-1)
#define DDEBUG_CONV_ASTERISK	(-2)	/* an argument of 4 bytes, before the conversion's own */

/* Limit of the text of a packed record, and of any width or precision. */
#define DDEBUG_PACKED_TEXT_MAX	960

struct ddebug_conv {
	unsigned char arg;		/* DDEBUG_ARG_* */
	unsigned char flags;		/* DDEBUG_CONV_* */
	unsigned char base;		/* of an integer: 8, 10, 16; of %c: 0 */
	unsigned char size;		/* of an integer: 1, 2, 4, 8 bytes of it count */
	short width;			/* DDEBUG_CONV_NO_NUMBER, _ASTERISK, or a number */
	short precision;		/* likewise */
};

/* A number of digits at @fmt + *@at; DDEBUG_PACKED_TEXT_MAX + 1 if it is too large. */
static inline int ddebug_conv_number(const char *fmt, unsigned int len, unsigned int *at)
{
	int n = 0;

	for (; *at < len && fmt[*at] >= '0' && fmt[*at] <= '9'; ++*at)
		if (n <= DDEBUG_PACKED_TEXT_MAX)
			n = 10 * n + (fmt[*at] - '0');
	return n <= DDEBUG_PACKED_TEXT_MAX ? n : DDEBUG_PACKED_TEXT_MAX + 1;
}

/* A width, or what follows a point: digits, an asterisk, or neither. */
static inline int ddebug_conv_field(const char *fmt, unsigned int len, unsigned int *at)
{
	if (*at < len && fmt[*at] == '*') {
		++*at;
		return DDEBUG_CONV_ASTERISK;
	}
	if (*at < len && fmt[*at] >= '0' && fmt[*at] <= '9')
		return ddebug_conv_number(fmt, len, at);
	return DDEBUG_CONV_NO_NUMBER;
}

static inline unsigned char ddebug_conv_flag(char c)
{
	switch (c) {
	case '-':
		return DDEBUG_CONV_LEFT;
	case '+':
		return DDEBUG_CONV_PLUS;
	case ' ':
		return DDEBUG_CONV_SPACE;
	case '#':
		return DDEBUG_CONV_PREFIX;
	case '0':
		return DDEBUG_CONV_ZEROS;
	default:
		return 0;
	}
}

/* hh, h, l, ll, L, z, t, or nothing: bytes of the integer. */
static inline unsigned char ddebug_conv_size(const char *fmt, unsigned int len, unsigned int *at)
{
	char c = *at < len ? fmt[*at] : '\0';

	if (c != 'h' && c != 'l' && c != 'L' && c != 'z' && c != 't')
		return 4;
	++*at;
	if (c == 'h' && *at < len && fmt[*at] == 'h') {
		++*at;
		return 1;
	}
	if (c == 'l' && *at < len && fmt[*at] == 'l')
		++*at;
	return c == 'h' ? 2 : 8;
}

/*
 * ddebug_conv_parse() - parse the conversion at @fmt, which is a '%'
 * @fmt: need not be terminated
 * @len: bytes there; 1 or more
 * @conv: the result
 *
 * Returns the bytes that it takes; 0: it is not allowed in a packed record.
 */
static inline unsigned int ddebug_conv_parse(const char *fmt, unsigned int len,
					     struct ddebug_conv *conv)
{
	unsigned char flag;
	unsigned int at = 1;

	conv->flags = 0;
	conv->base = 10;
	for (; at < len && (flag = ddebug_conv_flag(fmt[at])); at++)
		conv->flags |= flag;
	conv->width = ddebug_conv_field(fmt, len, &at);
	conv->precision = DDEBUG_CONV_NO_NUMBER;
	if (at < len && fmt[at] == '.') {
		at++;
		conv->precision = ddebug_conv_field(fmt, len, &at);
		if (conv->precision == DDEBUG_CONV_NO_NUMBER)
			return 0;
	}
	if (conv->width > DDEBUG_PACKED_TEXT_MAX || conv->precision > DDEBUG_PACKED_TEXT_MAX)
		return 0;
	conv->size = ddebug_conv_size(fmt, len, &at);
	conv->arg = conv->size == 8 ? DDEBUG_ARG_LONG : DDEBUG_ARG_INT;
	if (at == len)
		return 0;

	switch (fmt[at++]) {
	case 'd':
	case 'i':
		conv->flags |= DDEBUG_CONV_SIGNED;
		return at;
	case 'u':
		return at;
	case 'o':
		conv->base = 8;
		return at;
	case 'X':
		conv->flags |= DDEBUG_CONV_UPPER;
		conv->base = 16;
		return at;
	case 'x':
		conv->base = 16;
		return at;
	case 'c':
		conv->arg = DDEBUG_ARG_INT;
		conv->base = 0;
		return at;
	case 's':
		conv->arg = DDEBUG_ARG_STRING;
		return at;
	case '%':
		conv->arg = DDEBUG_ARG_NONE;
		return at;
	case 'p':
		conv->arg = DDEBUG_ARG_POINTER;
		while (at < len && ((fmt[at] >= '0' && fmt[at] <= '9') ||
				    ((fmt[at] | 0x20) >= 'a' && (fmt[at] | 0x20) <= 'z')))
			at++;
		/* the kernel accepts some bytes beyond ASCII as letters as well */
		return at < len && (fmt[at] & 0x80) ? 0 : at;
	default:
		return 0;
	}
}

#endif /* _DDEBUG_PACKED_H */
