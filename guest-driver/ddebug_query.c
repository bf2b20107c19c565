// SPDX-License-Identifier: GPL-2.0
/*
 * The query language of dynamic_debug/control, with the flag 'r'.
 *
 *   text   := query { (';' | newline) query }
 *   query  := { keyword value } op letters      at most nine words
 *   word   := text between spaces, or between two " or two '
 *   op     := '+' | '-' | '='
 *
 * A word that starts with '#' ends the query.  Whether a query is refused, and
 * what an accepted one does, must not differ from the kernel's own parser: a
 * refused query is passed to that parser for its explanation, and an accepted
 * one is carried out instead of it.
 *
 * So every check is in the kernel's order, oddities included: line 0 is "any line"
 * and may be overridden, a quote may be followed by a word without a space, a
 * separator inside quotes separates.
 */
#ifdef __KERNEL__
#include <linux/ctype.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/parser.h>
#include <linux/string.h>
#include <linux/string_helpers.h>
#endif
#include "ddebug_query.h"

static const struct {
	char letter;
	unsigned char flag;
} ddebug_letters[] = {
	{ 'p', _DPRINTK_FLAGS_PRINT },
	{ 'm', _DPRINTK_FLAGS_INCL_MODNAME },
	{ 'f', _DPRINTK_FLAGS_INCL_FUNCNAME },
	{ 'l', _DPRINTK_FLAGS_INCL_LINENO },
	{ 't', _DPRINTK_FLAGS_INCL_TID },
#ifdef _DPRINTK_FLAGS_INCL_SOURCENAME
	{ 's', _DPRINTK_FLAGS_INCL_SOURCENAME },
#endif
#ifdef _DPRINTK_FLAGS_INCL_STACK
	{ 'd', _DPRINTK_FLAGS_INCL_STACK },
#endif
	{ 'r', DDEBUG_FLAG_R },
	{ '_', 0 },
};

/**
 * ddebug_query_next() - get the next query of a text
 * @text: where to continue; afterwards past the query that is returned, NULL
 *	once the text is used up
 *
 * Skips empty queries and comments.  The text is cut up.
 *
 * Return: The query, or NULL if there is none left.
 */
char *ddebug_query_next(char **text)
{
	while (*text) {
		char *query = *text;
		char *end = strpbrk(query, ";\n");

		if (end)
			*end++ = '\0';
		*text = end;
		query = skip_spaces(query);
		if (*query && *query != '#')
			return query;
	}
	return NULL;
}

/* Return the number of words, or -EINVAL. */
static int ddebug_split(char *text, char *words[DDEBUG_QUERY_WORDS])
{
	int n = 0;

	for (text = skip_spaces(text); *text && *text != '#';
	     text = skip_spaces(text)) {
		char *end;

		if (*text == '"' || *text == '\'') {
			end = strchr(text + 1, *text);
			if (!end)
				return -EINVAL;
			text++;
		} else {
			for (end = text; *end && !isspace(*end); end++)
				;
		}
		if (n == DDEBUG_QUERY_WORDS)
			return -EINVAL;
		words[n++] = text;
		if (*end)
			*end++ = '\0';
		text = end;
	}
	return n;
}

static int ddebug_letter_flag(char letter)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ddebug_letters); i++)
		if (ddebug_letters[i].letter == letter)
			return ddebug_letters[i].flag;
	return -EINVAL;
}

static int ddebug_parse_letters(struct ddebug_query *q, const char *word)
{
	unsigned int flags = 0;
	int rc = 0;
	char op = *word;

	if (op != '+' && op != '-' && op != '=')
		return -EINVAL;

	q->has_r = strchr(word, 'r');
	while (*++word && rc >= 0) {
		rc = ddebug_letter_flag(*word);
		if (rc > 0)
			flags |= rc;
	}
	if (rc < 0)
		return rc;

	q->set = op == '-' ? 0 : flags;
	q->keep = op == '=' ? 0 : op == '+' ? ~0u : ~flags;
	return 0;
}

static int ddebug_set_once(const char **field, const char *value)
{
	if (*field)
		return -EINVAL;
	*field = value;
	return 0;
}

/* The empty string is 0, which is "any". */
static int ddebug_parse_line(const char *word, unsigned int *line)
{
	*line = 0;
	if (!*word)
		return 0;
	return kstrtouint(word, 10, line) ? -EINVAL : 0;
}

/* "10", "10-", "-20" or "10-20" */
static int ddebug_parse_lines(struct ddebug_query *q, char *word)
{
	char *last = strchr(word, '-');

	if (q->first_line || q->last_line)
		return -EINVAL;
	if (last)
		*last++ = '\0';
	if (ddebug_parse_line(word, &q->first_line))
		return -EINVAL;
	if (!last) {
		q->last_line = q->first_line;
		return 0;
	}
	if (ddebug_parse_line(last, &q->last_line))
		return -EINVAL;
	if (!q->last_line)
		q->last_line = UINT_MAX;
	return q->last_line < q->first_line ? -EINVAL : 0;
}

/* "file", "file:function" or "file:lines" */
static int ddebug_parse_file(struct ddebug_query *q, char *word)
{
	char *colon = strchr(word, ':');

	if (ddebug_set_once(&q->file, word))
		return -EINVAL;
	if (!colon)
		return 0;
	*colon++ = '\0';
	if (isalpha(*colon) || *colon == '*' || *colon == '?')
		return ddebug_set_once(&q->function, colon);
	return ddebug_parse_lines(q, colon);
}

static int ddebug_parse_pair(struct ddebug_query *q, const char *keyword,
			     char *value)
{
	if (!strcmp(keyword, "func"))
		return ddebug_set_once(&q->function, value);
	if (!strcmp(keyword, "file"))
		return ddebug_parse_file(q, value);
	if (!strcmp(keyword, "module"))
		return ddebug_set_once(&q->module, value);
	if (!strcmp(keyword, "line"))
		return ddebug_parse_lines(q, value);
	if (!strcmp(keyword, "class"))
		return ddebug_set_once(&q->class_name, value);
	if (!strcmp(keyword, "format")) {
		string_unescape_inplace(value, UNESCAPE_SPACE | UNESCAPE_OCTAL |
					UNESCAPE_SPECIAL);
		return ddebug_set_once(&q->format, value);
	}
	return -EINVAL;
}

/**
 * ddebug_query_parse() - parse one query
 * @q: the result; even if the query is refused, @q->has_r is valid, and with it
 *	@q->flags_at and @q->flags_len
 * @text: the query; it is cut up, and must live as long as @q
 * @module: the module that applies if the query does not name one, or NULL
 *
 * Return: 0, or -EINVAL if the kernel, had it a flag 'r', would refuse it.
 */
int ddebug_query_parse(struct ddebug_query *q, char *text, const char *module)
{
	char *words[DDEBUG_QUERY_WORDS];
	int n, i;

	memset(q, 0, sizeof(*q));
	n = ddebug_split(text, words);
	if (n <= 0)
		return -EINVAL;

	n--;
	q->flags_at = words[n] - text;
	q->flags_len = strlen(words[n]);
	if (ddebug_parse_letters(q, words[n]) || n % 2)
		return -EINVAL;

	for (i = 0; i < n; i += 2)
		if (ddebug_parse_pair(q, words[i], words[i + 1]))
			return -EINVAL;
	if (!q->module)
		q->module = module;
	return 0;
}

/**
 * ddebug_query_drop_r() - remove the letter 'r' from a query's flags
 * @q: the result of ddebug_query_parse() for another copy of @text
 * @text: the query, complete
 *
 * What is left means the same except for 'r', or is refused for the same reason.
 */
void ddebug_query_drop_r(const struct ddebug_query *q, char *text)
{
	char *from = text + q->flags_at, *end = from + q->flags_len;
	char *to = from;

	if (!q->has_r)
		return;
	for (; from < end; from++)
		if (*from != 'r')
			*to++ = *from;
	memmove(to, end, strlen(end) + 1);
}

static bool ddebug_match_file(const char *pattern,
			      const struct ddebug_site *site)
{
	return match_wildcard(pattern, site->file) ||
	       match_wildcard(pattern, kbasename(site->file)) ||
	       match_wildcard(pattern, site->shown_file);
}

static bool ddebug_match_format(const char *text, const char *format)
{
	if (*text == '^')
		return !strncmp(format, text + 1, strlen(text + 1));
	return strstr(format, text);
}

/* A query without a class does not match callsites with one. */
static bool ddebug_match_class(const char *name, const struct ddebug_site *site)
{
	if (!name)
		return !site->classed;
	return site->classed && site->class_name &&
	       !strcmp(name, site->class_name);
}

/**
 * ddebug_query_match() - check whether a query matches a callsite
 * @q: the query
 * @site: the callsite
 *
 * Return: true if it does.
 */
bool ddebug_query_match(const struct ddebug_query *q,
			const struct ddebug_site *site)
{
	if (q->first_line && site->line < q->first_line)
		return false;
	if (q->last_line && site->line > q->last_line)
		return false;
	if (q->module && !match_wildcard(q->module, site->module))
		return false;
	if (q->function && !match_wildcard(q->function, site->function))
		return false;
	if (q->file && !ddebug_match_file(q->file, site))
		return false;
	if (q->format && !ddebug_match_format(q->format, site->format))
		return false;
	return ddebug_match_class(q->class_name, site);
}
