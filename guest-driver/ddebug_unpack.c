// SPDX-License-Identifier: GPL-2.0
/*
 * From packed records back to text, for the readers in the guest: docs/log-format.md,
 * "Packed records".  Conversions are left to the kernel's own snprintf(), which would
 * have made them when the message was written.
 *
 * Formats come from the dictionary.  Arguments are checked against the end of their
 * record, since the memory of a ring is not trusted more than necessary (ddebug_view.c).
 */
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/types.h>
#include "ddebug_compat.h"
#include "ddebug_dict.h"
#include "ddebug_packed.h"
#include "ddebug_unpack.h"
#include "ddebug_view.h"

/* "%", five flags, "*", ".*", "ll", the conversion, a zero */
#define DDEBUG_SPEC_MAX	16

/**
 * struct ddebug_unpacking - a text in the making
 * @args: the arguments not read yet
 * @args_end: their end
 * @text: room for the text
 * @size: its bytes
 * @len: bytes of text so far, less than @size
 */
struct ddebug_unpacking {
	const u8 *args;
	const u8 *args_end;
	char *text;
	size_t size;
	size_t len;
};

/* The next @n bytes of the arguments, or NULL if there are fewer. */
static const u8 *ddebug_take(struct ddebug_unpacking *u, size_t n)
{
	const u8 *at = u->args;

	if (u->args_end - at < n)
		return NULL;
	u->args += n;
	return at;
}

static bool ddebug_take_int(struct ddebug_unpacking *u, int *value)
{
	const u8 *at = ddebug_take(u, sizeof(__le32));

	if (at)
		*value = get_unaligned_le32(at);
	return at;
}

/* A le16 length, and that many bytes. */
static const char *ddebug_take_string(struct ddebug_unpacking *u, size_t *len)
{
	const u8 *at = ddebug_take(u, sizeof(__le16));

	if (!at)
		return NULL;
	*len = get_unaligned_le16(at);
	return (const char *)ddebug_take(u, *len);
}

static void ddebug_put_bytes(struct ddebug_unpacking *u, const char *bytes, size_t len)
{
	len = min(len, u->size - 1 - u->len);
	memcpy(u->text + u->len, bytes, len);
	u->len += len;
}

/*
 * A width or a precision: its value, or the argument that it stands for, which is
 * checked because snprintf() warns about large ones.
 */
static bool ddebug_unpack_field(struct ddebug_unpacking *u, short field, int *value)
{
	*value = field;
	return field != DDEBUG_CONV_ASTERISK ||
	       (ddebug_take_int(u, value) && *value >= -DDEBUG_PACKED_TEXT_MAX &&
		*value <= DDEBUG_PACKED_TEXT_MAX);
}

/* Write the conversion with asterisks for its numbers; return where its letter goes. */
static char *ddebug_spec(char *p, const struct ddebug_conv *c, bool precise)
{
	static const struct {
		u8 flag;
		char letter;
	} flags[] = {
		{ DDEBUG_CONV_LEFT, '-' }, { DDEBUG_CONV_PLUS, '+' }, { DDEBUG_CONV_SPACE, ' ' },
		{ DDEBUG_CONV_PREFIX, '#' }, { DDEBUG_CONV_ZEROS, '0' },
	};
	unsigned int i;

	*p++ = '%';
	for (i = 0; i < ARRAY_SIZE(flags); i++)
		if (c->flags & flags[i].flag)
			*p++ = flags[i].letter;
	*p++ = '*';
	if (precise) {
		*p++ = '.';
		*p++ = '*';
	}
	return p;
}

static char ddebug_spec_letter(const struct ddebug_conv *c)
{
	if (!c->base)
		return 'c';
	if (c->base == 8)
		return 'o';
	if (c->base == 16)
		return c->flags & DDEBUG_CONV_UPPER ? 'X' : 'x';
	return c->flags & DDEBUG_CONV_SIGNED ? 'd' : 'u';
}

static bool ddebug_unpack_number(struct ddebug_unpacking *u, const struct ddebug_conv *c,
				 int width, int precision)
{
	bool is_long = c->arg == DDEBUG_ARG_LONG, precise = c->precision != DDEBUG_CONV_NO_NUMBER;
	const u8 *at = ddebug_take(u, is_long ? sizeof(__le64) : sizeof(__le32));
	size_t room = u->size - u->len;
	char spec[DDEBUG_SPEC_MAX];
	char *to = u->text + u->len;
	char *p = ddebug_spec(spec, c, precise);

	if (!at)
		return false;
	/* a character is one whatever its size */
	if (c->base && c->size != sizeof(int)) {
		char size = is_long ? 'l' : 'h';

		*p++ = size;
		if (c->size != sizeof(short))
			*p++ = size;
	}
	*p++ = ddebug_spec_letter(c);
	*p = '\0';
	if (is_long && precise)
		u->len += scnprintf(to, room, spec, width, precision, get_unaligned_le64(at));
	else if (is_long)
		u->len += scnprintf(to, room, spec, width, get_unaligned_le64(at));
	else if (precise)
		u->len += scnprintf(to, room, spec, width, precision, get_unaligned_le32(at));
	else
		u->len += scnprintf(to, room, spec, width, get_unaligned_le32(at));
	return true;
}

/* It was cut to the precision when it was packed. */
static bool ddebug_unpack_string(struct ddebug_unpacking *u, const struct ddebug_conv *c, int width)
{
	size_t len, blanks = abs(width);
	const char *bytes = ddebug_take_string(u, &len);
	bool left = width < 0 || (c->flags & DDEBUG_CONV_LEFT);

	if (!bytes)
		return false;
	blanks = blanks > len ? blanks - len : 0;
	if (!left)
		u->len += scnprintf(u->text + u->len, u->size - u->len, "%*s", (int)blanks, "");
	ddebug_put_bytes(u, bytes, len);
	if (left)
		u->len += scnprintf(u->text + u->len, u->size - u->len, "%*s", (int)blanks, "");
	return true;
}

static bool ddebug_unpack_conversion(struct ddebug_unpacking *u, const struct ddebug_conv *c)
{
	const char *bytes;
	int width, precision;
	size_t len;

	if (c->arg == DDEBUG_ARG_POINTER) {
		bytes = ddebug_take_string(u, &len);
		if (bytes)
			ddebug_put_bytes(u, bytes, len);
		return bytes;
	}
	if (!ddebug_unpack_field(u, c->width, &width) ||
	    !ddebug_unpack_field(u, c->precision, &precision))
		return false;
	if (c->width == DDEBUG_CONV_NO_NUMBER)
		width = 0;
	switch (c->arg) {
	case DDEBUG_ARG_NONE:
		ddebug_put_bytes(u, "%", 1);
		return true;
	case DDEBUG_ARG_STRING:
		return ddebug_unpack_string(u, c, width);
	default:
		return ddebug_unpack_number(u, c, width, precision);
	}
}

/* Format the arguments by @fmt; false: they do not match it. */
static bool ddebug_unpack_format(struct ddebug_unpacking *u, const char *fmt, size_t len)
{
	struct ddebug_conv c;

	while (len) {
		const char *mark = memchr(fmt, '%', len);
		size_t n = mark ? mark - fmt : len;

		ddebug_put_bytes(u, fmt, n);
		fmt += n;
		len -= n;
		if (!len)
			break;
		n = ddebug_conv_parse(fmt, len, &c);
		if (!n || !ddebug_unpack_conversion(u, &c))
			return false;
		fmt += n;
		len -= n;
	}
	return u->args == u->args_end;
}

/* Cut as printk() does: return the start of what is left, *@len bytes. */
static const char *ddebug_unpack_cut(const char *text, size_t *len)
{
	const char *end = text + *len;

	if (end > text && end[-1] == '\n')
		end--;
	while (end - text >= 2 && text[0] == '\001' &&
	       ((text[1] >= '0' && text[1] <= '7') || text[1] == 'c'))
		text += 2;
	*len = end - text;
	return text;
}

/**
 * ddebug_unpack() - get the text of a packed record
 * @m: a message of type DDEBUG_REC_PACKED
 * @buf: room for it
 * @size: bytes of @buf; DDEBUG_TEXT_MAX + 1 are enough for any
 * @len: set to the length of the text in bytes
 *
 * Context: Any.
 * Return: The text, in @buf, not zero-terminated; NULL if the record is invalid.
 */
const char *ddebug_unpack(const struct ddebug_message *m, char *buf, size_t size, size_t *len)
{
	const struct ddebug_rec_packed_wide *wide = &m->rec.packed_wide;
	const struct ddebug_rec_packed *rec = &m->rec.packed;
	struct ddebug_unpacking u = {
		.args = rec->args, .args_end = m->rec.bytes + m->len, .text = buf, .size = size,
	};
	u32 id = le16_to_cpu(rec->callsite);
	const char *fmt;
	size_t fmt_len;

	if (!id) {
		size_t head = le16_to_cpu(wide->head_len);

		if (m->len < sizeof(*wide) + head)
			return NULL;
		id = le32_to_cpu(wide->callsite);
		ddebug_put_bytes(&u, (const char *)wide->bytes, head);
		u.args = wide->bytes + head;
	}
	fmt = ddebug_dict_packed_format(id, &fmt_len);
	if (!fmt || !ddebug_unpack_format(&u, fmt, fmt_len))
		return NULL;
	*len = u.len;
	return ddebug_unpack_cut(buf, len);
}
