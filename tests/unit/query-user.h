/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What ddebug_query.c takes from the kernel, for building it as an ordinary
 * program: each function does what the kernel's of the same name does.
 */
#ifndef _DDEBUG_QUERY_USER_H
#define _DDEBUG_QUERY_USER_H

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define BIT(n)				(1ul << (n))

#define _DPRINTK_FLAGS_PRINT		BIT(0)
#define _DPRINTK_FLAGS_INCL_MODNAME	BIT(1)
#define _DPRINTK_FLAGS_INCL_FUNCNAME	BIT(2)
#define _DPRINTK_FLAGS_INCL_LINENO	BIT(3)
#define _DPRINTK_FLAGS_INCL_TID		BIT(4)

#define ARRAY_SIZE(a)			(sizeof(a) / sizeof((a)[0]))
#define UNESCAPE_SPACE			1u
#define UNESCAPE_OCTAL			2u
#define UNESCAPE_SPECIAL		8u

/* The kernel takes 0xa0, Latin-1's no-break space, for a space. */
static inline bool kernel_isspace(char c)
{
	return isspace((unsigned char)c) || (unsigned char)c == 0xa0;
}

/* The kernel's letters are Latin-1's. */
static inline bool kernel_isalpha(char c)
{
	unsigned char u = c;

	return isalpha(u) || (u >= 0xc0 && u != 0xd7 && u != 0xf7);
}

#undef isspace
#define isspace(c)	kernel_isspace(c)
#undef isalpha
#define isalpha(c)	kernel_isalpha(c)

static inline char *skip_spaces(const char *s)
{
	while (isspace(*s))
		s++;
	return (char *)s;
}

static inline const char *kbasename(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Decimal only: digits, a '+' before and a newline behind are allowed. */
static inline int kstrtouint(const char *s, unsigned int base, unsigned int *res)
{
	unsigned long long v = 0;

	(void)base;
	if (*s == '+')
		s++;
	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		v = v * 10 + (unsigned int)(*s - '0');
		if (v > UINT_MAX)
			return -ERANGE;
	}
	if (*s == '\n')
		s++;
	if (*s)
		return -EINVAL;
	*res = v;
	return 0;
}

/* '*' is any text, '?' any one character. */
static inline bool match_wildcard(const char *pattern, const char *text)
{
	const char *retry_pattern = NULL, *retry_text = NULL;

	while (*text) {
		if (*pattern == '*') {
			retry_pattern = ++pattern;
			retry_text = text;
		} else if (*pattern == '?' || *pattern == *text) {
			pattern++;
			text++;
		} else if (retry_pattern) {
			pattern = retry_pattern;
			text = ++retry_text;
		} else {
			return false;
		}
	}
	if (*pattern == '*')	/* one only, as the kernel */
		pattern++;
	return !*pattern;
}

/* One escape behind a backslash at *s: its character, or -1 and *s unmoved. */
static inline int unescape_one(const char **s)
{
	static const char from[] = "nrtvf\"\\ae";
	static const char to[] = "\n\r\t\v\f\"\\\a\033";
	const char *c = *s, *known = *c ? strchr(from, *c) : NULL;
	unsigned int v = 0;

	if (known) {
		++*s;
		return to[known - from];
	}
	while (*c >= '0' && *c <= '7' && c - *s < 3 && v < 32)
		v = v * 8 + (unsigned int)(*c++ - '0');
	if (c == *s)
		return -1;
	*s = c;
	return (unsigned char)v;
}

static inline int string_unescape_inplace(char *buf, unsigned int flags)
{
	const char *s = buf;
	char *out = buf;

	(void)flags;
	while (*s) {
		if (s[0] == '\\' && s[1]) {
			int c;

			s++;
			c = unescape_one(&s);
			if (c >= 0) {
				*out++ = c;
				continue;
			}
			*out++ = '\\';
		}
		*out++ = *s++;
	}
	*out = '\0';
	return out - buf;
}

#endif /* _DDEBUG_QUERY_USER_H */
