/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dict:A / dict:B and dict:C / dict:D (ddebug_dict.c).
 *
 * A map changes from one format to the next while a message reads it without a lock.
 * The message is packed by the program of its own format.  Formats, and their
 * programs, are 1, 2, ...
 *
 * -DNO_A  without the wmb between no program and the format
 * -DNO_B  without the rmb between the format and the second load of the program
 * -DNO_C  store the program without release
 * -DNO_D  load the program without acquire
 */
#define LOCS 2
#define FORMATS 3
#define DEPTH (2 * FORMATS)
#ifdef TSO
/* stores that may be in flight: all */
#undef DEPTH
#define DEPTH (3 * FORMATS)
#endif

#define PROGRAM 0
#define FORMAT 1

#include "memory.pml"

active proctype Dictionary()
{
	byte i = 1;

	do
	:: i <= FORMATS ->
		STORE(0, PROGRAM, 0);
#ifndef NO_A
		WMB(0);
#endif
		STORE(0, FORMAT, i);
#ifndef NO_C
		STORE_RELEASE(0, PROGRAM, i);
#else
		STORE(0, PROGRAM, i);
#endif
		i++
	:: else -> break
	od
}

active proctype Message()
{
	byte first, second, known;

#ifndef NO_D
	LOAD_ACQUIRE(1, PROGRAM, first);
#else
	LOAD(1, PROGRAM, first);
#endif
	LOAD(1, FORMAT, known);
#ifndef NO_B
	RMB(1);
#endif
	LOAD(1, PROGRAM, second);
	/* any format: the message is packed if it is the known one */
	assert(first == 0 || first != second || first == known)
}
