/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs: what a packed record takes of a message's arguments.  They are made
 * when a callsite gets 'r', and executed for each message.
 */
#ifndef _DDEBUG_PACK_H
#define _DDEBUG_PACK_H

#include <linux/limits.h>
#include <linux/types.h>

/* Precision of a string that has none. */
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
 * @nr_fields: of a pointer: its number of asterisks
 * @arg: of a string: its precision, or DDEBUG_PACK_WHOLE; of a pointer: offset of its
 *	conversion in the program
 */
struct ddebug_op {
	u8 kind;
	u8 nr_fields;
	u16 arg;
};

/**
 * struct ddebug_program - a format, ready for packing
 * @id: of the callsite's entry in the dictionary that has this format
 * @announced: the host has that entry
 * @fixed: bytes of the arguments, without the bytes of strings
 * @text: maximum length of the text, without strings and what asterisks add
 * @ops: the steps; after the last one, the conversions of pointers
 *
 * Constant once published, except for @announced; freed when the module goes.
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
