/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs: what a packed record takes of a message's arguments.  They are made
 * when a callsite gets 'r', and carried out for each message.
 */
#ifndef _DDEBUG_PACK_H
#define _DDEBUG_PACK_H

#include <linux/stdarg.h>
#include <linux/types.h>

/**
 * struct ddebug_op - one step of a program
 * @kind: which
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
 * @told: the host has that entry
 * @fixed: bytes of the arguments, without the bytes of strings
 * @text: no text of it is longer, without strings and what asterisks add
 * @ops: the steps; behind the last one the conversions of pointers
 *
 * Constant from when it is published but for @told, and freed when the module goes.
 */
struct ddebug_program {
	u32 id;
	bool told;
	u16 fixed;
	u16 text;
	struct ddebug_op ops[];
};

/**
 * enum ddebug_packed - what became of an attempt
 * @DDEBUG_PACKED: the arguments are there
 * @DDEBUG_PACKED_NO_ROOM: they do not fit; where a whole message fits they might
 * @DDEBUG_PACKED_NOT: these arguments make a text that is not for a packed record
 */
enum ddebug_packed {
	DDEBUG_PACKED,
	DDEBUG_PACKED_NO_ROOM,
	DDEBUG_PACKED_NOT,
};

bool ddebug_can_pack(const char *fmt, size_t len);
struct ddebug_program *ddebug_program_new(const char *fmt, size_t len);
enum ddebug_packed ddebug_pack(const struct ddebug_program *p, u8 **at, const u8 *end,
			       size_t text, va_list args);

#endif /* _DDEBUG_PACK_H */
