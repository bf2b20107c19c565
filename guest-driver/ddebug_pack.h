/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs: what a packed record takes of a message's arguments.  They are made
 * when a callsite gets 'r', and carried out for each message.
 */
#ifndef _DDEBUG_PACK_H
#define _DDEBUG_PACK_H

#include <linux/limits.h>
#include <linux/types.h>

/* Of a string: no precision. */
#define DDEBUG_PACK_WHOLE	U16_MAX

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

/**
 * struct ddebug_op - one step of a program
 * @kind: enum ddebug_op_kind
 * @nr_fields: of a pointer: how many asterisks it has
 * @arg: of a string: its precision, or DDEBUG_PACK_WHOLE; of a pointer: where in
 *	the program its conversion stands
 */
struct ddebug_op {
	u8 kind;
	u8 nr_fields;
	u16 arg;
};

/**
 * struct ddebug_program - a format, ready to be packed
 * @id: of the callsite's entry in the dictionary that has this format
 * @announced: the host has that entry
 * @fixed: bytes of the arguments, without the bytes of strings
 * @text: no text of it is longer, without strings and what asterisks add
 * @ops: the steps; behind the last one the conversions of pointers
 *
 * Constant from when it is published but for @announced, and freed when the module goes.
 */
struct ddebug_program {
	u32 id;
	bool announced;
	u16 fixed;
	u16 text;
	struct ddebug_op ops[];
};

bool ddebug_can_pack(const char *fmt, size_t len);
struct ddebug_program *ddebug_program_new(const char *fmt, size_t len);

#endif /* _DDEBUG_PACK_H */
