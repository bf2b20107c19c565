/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * producer:E / device:E.
 *
 * A device that sees the notice, and then loads head, sees a head above everything
 * that was logged before the notice.
 *
 * -DNO_E  store notice without release
 * -DNO_e  load notice without acquire
 */
#define MESSAGES 2
#define LOCS 2
#define DEPTH (2 * MESSAGES)

#define HEAD 0
#define NOTICE 1

#include "memory.pml"

/* Two oopses: a message each, and then a notice. */
active proctype Producer()
{
	byte pos;

	do
	:: pos < MESSAGES ->
		pos++;
		STORE_RELEASE(0, HEAD, pos);
#ifndef NO_E
		STORE_RELEASE(0, NOTICE, pos)
#else
		STORE(0, NOTICE, pos)
#endif
	:: else -> break
	od
}

active proctype Device()
{
	byte looks, notice, head;

	do
	:: looks < 2 ->
		looks++;
#ifndef NO_e
		LOAD_ACQUIRE(1, NOTICE, notice);
#else
		LOAD(1, NOTICE, notice);
#endif
		LOAD_ACQUIRE(1, HEAD, head);
		assert(head >= notice)
	:: else -> break
	od
}
