/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The query language of dynamic_debug/control, with the flag 'r'.
 *
 * Takes strings and numbers only, no kernel objects, so that it also builds as an
 * ordinary program, given what it needs of the kernel.
 */
#ifndef _DDEBUG_QUERY_H
#define _DDEBUG_QUERY_H

#ifdef __KERNEL__
#include <linux/bits.h>
#include <linux/dynamic_debug.h>
#include <linux/types.h>
#endif

/*
 * The bit of 'r' in struct _ddebug's eight flag bits.  6.1 uses bits 0 to 4,
 * 6.12 also 5, 7.2 also 6.
 */
#define DDEBUG_FLAG_R		BIT(7)

/* The most words that a query may have: four pairs and the flags. */
#define DDEBUG_QUERY_WORDS	9

/**
 * struct ddebug_query - a parsed query
 * @module: pattern for the module's name, or NULL
 * @function: pattern for the function's name, or NULL
 * @file: pattern for the source file, or NULL
 * @format: text to find in the format (after '^': at its start), or NULL
 * @class_name: the class, exactly, or NULL
 * @first_line: first line, 0 for any
 * @last_line: last line, 0 for any
 * @set: flags to set in a matching callsite
 * @keep: flags to keep in a matching callsite; others are cleared
 * @has_r: the flags mention 'r'; valid even if the query was refused
 * @flags_at: offset of the flags in the text, if @has_r
 * @flags_len: length of the flags, if @has_r
 *
 * The strings point into the parsed text and live as long as it does.
 */
struct ddebug_query {
	const char *module;
	const char *function;
	const char *file;
	const char *format;
	const char *class_name;
	unsigned int first_line;
	unsigned int last_line;
	unsigned int set;
	unsigned int keep;
	bool has_r;
	size_t flags_at;
	size_t flags_len;
};

/**
 * struct ddebug_site - the properties of a callsite that a query can match
 * @module: the module's name
 * @function: the function's name
 * @file: the source file, as compiled
 * @shown_file: the source file, as the control file shows it
 * @format: the format
 * @class_name: name of the class; NULL if @classed and the class has none
 * @line: the line
 * @classed: the callsite belongs to a class
 */
struct ddebug_site {
	const char *module;
	const char *function;
	const char *file;
	const char *shown_file;
	const char *format;
	const char *class_name;
	unsigned int line;
	bool classed;
};

char *ddebug_query_next(char **text);
int ddebug_query_parse(struct ddebug_query *q, char *text, const char *module);
void ddebug_query_drop_r(const struct ddebug_query *q, char *text);
bool ddebug_query_match(const struct ddebug_query *q,
			const struct ddebug_site *site);

#endif /* _DDEBUG_QUERY_H */
