// SPDX-License-Identifier: GPL-2.0
/*
 * From a message to the lines that show it: to the byte those that ddebug-host prints
 * in the C locale.
 *
 *   [  123.456789] usb 1-1: new high-speed USB device
 *
 * A text may come from anybody (the name of a USB stick, or of a wireless network) and
 * goes to a terminal: anything but a printable ASCII character or a tab is shown as
 * \xNN.  Further lines of a text are indented, so that none looks like a message.
 */
#include <linux/ctype.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/string.h>
#include <linux/time64.h>
#include "ddebug_line.h"
#include "ddebug_record.h"
#include "ddebug_unpack.h"
#include "ddebug_view.h"
#include "virtio_ddebug.h"

/* "[" blanks and digits "." six digits "] " */
#define DDEBUG_STAMP_BLANKS	4
#define DDEBUG_STAMP_DIGITS	20
static_assert(DDEBUG_STAMP_MAX == 1 + DDEBUG_STAMP_BLANKS + DDEBUG_STAMP_DIGITS + 1 + 6 + 2);
/* An escape is not longer than a newline with its indentation. */
static_assert(sizeof("\\xNN") - 1 <= 1 + DDEBUG_STAMP_MAX);

static const char * const ddebug_context_names[VIRTIO_DDEBUG_NR_CTX] = {
	[VIRTIO_DDEBUG_CTX_TASK] = "task",
	[VIRTIO_DDEBUG_CTX_SOFTIRQ] = "softirq",
	[VIRTIO_DDEBUG_CTX_HARDIRQ] = "hardirq",
	[VIRTIO_DDEBUG_CTX_NMI] = "nmi",
};

static char *ddebug_put_notice(char *p, const struct ddebug_message *m, u64 count,
			       const char *what, const char *why)
{
	return p + scnprintf(p, DDEBUG_NOTICE_MAX, "-- %llu message%s %s on cpu %u, %s: %s --\n",
			     count, count == 1 ? "" : "s", what, m->cpu,
			     ddebug_context_names[m->context], why);
}

/* As in dmesg: truncated to microseconds. */
static char *ddebug_put_stamp(char *p, u64 ns)
{
	u32 rest;
	u64 seconds = div_u64_rem(ns, NSEC_PER_SEC, &rest);

	return p + scnprintf(p, DDEBUG_STAMP_MAX + 1, "[%5llu.%06u] ", seconds, rest / 1000);
}

/*
 * Bytes of the stamp that a line from the kernel's log already has; 0: none, so that it
 * gets ours.
 */
static size_t ddebug_own_stamp(const char *text, size_t len)
{
	size_t i = 1, digits = 0;

	if (len < 2 || text[0] != '[')
		return 0;
	while (i < len && i <= DDEBUG_STAMP_BLANKS && text[i] == ' ')
		i++;
	for (; i < len && isdigit(text[i]); i++)
		digits++;
	if (!digits || digits > DDEBUG_STAMP_DIGITS || i + 9 > len || text[i] != '.')
		return 0;
	for (digits = 1; digits <= 6; digits++)
		if (!isdigit(text[i + digits]))
			return 0;
	return text[i + 7] == ']' && text[i + 8] == ' ' ? i + 9 : 0;
}

/* Would the backslash that @text starts with be read as the start of an escape? */
static bool ddebug_looks_escaped(const char *text, size_t len)
{
	return len >= 4 && text[1] == 'x' && isxdigit(text[2]) && isxdigit(text[3]);
}

/* Does a terminal show it as it is?  isprint() would accept Latin-1 as well. */
static bool ddebug_is_plain(char c)
{
	return c == '\t' || (isascii(c) && isprint(c));
}

static char *ddebug_put_text(char *p, const char *text, size_t len, size_t indent)
{
	const char *end = text + len;

	for (; text < end; text++) {
		if (*text == '\n') {
			/* the last one ends the message */
			if (text + 1 == end)
				break;
			*p++ = '\n';
			memset(p, ' ', indent);
			p += indent;
		} else if (ddebug_is_plain(*text) &&
			   !(*text == '\\' && ddebug_looks_escaped(text, end - text))) {
			*p++ = *text;
		} else {
			*p++ = '\\';
			*p++ = 'x';
			p = hex_byte_pack(p, *text);
		}
	}
	return p;
}

/* With the stamp that it has, of @own bytes; 0: with that of @time. */
static char *ddebug_put_line(char *p, u64 time, const char *text, size_t len, size_t own)
{
	char *begin = p;

	if (own) {
		memcpy(p, text, own);
		p += own;
	} else {
		p = ddebug_put_stamp(p, time);
	}
	p = ddebug_put_text(p, text + own, len - own, p - begin);
	*p++ = '\n';
	return p;
}

/* For a record that no producer of ours has written: a ring's memory was modified. */
static const char ddebug_unreadable[] = "(not readable: arguments that do not fit their format)";

static char *ddebug_put_packed(char *p, const struct ddebug_message *m)
{
	char text[DDEBUG_TEXT_MAX + 1];
	size_t len;
	const char *begin = ddebug_unpack(m, text, sizeof(text), &len);

	if (!begin) {
		begin = ddebug_unreadable;
		len = sizeof(ddebug_unreadable) - 1;
	}
	return ddebug_put_line(p, m->time, begin, len, 0);
}

/**
 * ddebug_lines() - format a message
 * @buf: room for DDEBUG_LINES_MAX bytes; not zero-terminated
 * @m: the message
 *
 * Before it, writes a line for each kind of loss that precedes it.
 *
 * Context: Any.
 * Return: The bytes written, newlines included.
 */
size_t ddebug_lines(char *buf, const struct ddebug_message *m)
{
	size_t len, own = 0;
	const char *text;
	char *p = buf;

	if (m->lost)
		p = ddebug_put_notice(p, m, m->lost, "lost", "no longer in the ring");
	if (m->dropped)
		p = ddebug_put_notice(p, m, m->dropped, "dropped",
				      "produced while logging, or torn by a crash");
	switch (m->type) {
	case DDEBUG_REC_TEXT:
		text = (const char *)m->rec.text.text;
		len = m->len - sizeof(m->rec.text);
		p = ddebug_put_line(p, m->time, text, len, 0);
		break;
	case DDEBUG_REC_PACKED:
		p = ddebug_put_packed(p, m);
		break;
	case DDEBUG_REC_KMSG:
		text = (const char *)m->rec.kmsg.text;
		len = m->len - sizeof(m->rec.kmsg);
		if (le32_to_cpu(m->rec.kmsg.flags) & DDEBUG_KMSG_F_PAST)
			own = ddebug_own_stamp(text, len);
		p = ddebug_put_line(p, m->time, text, len, own);
		break;
	}
	return p - buf;
}
