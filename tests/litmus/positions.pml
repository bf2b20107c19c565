/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * producer:A / device:D.
 *
 * A producer that keeps the rules is never taken for one that breaks them: what
 * load_positions() finds is in order, and reserve is ahead of a head that is
 * loaded after it by what it was published for, and the reserve before it, at
 * most.  Each message moves head by one, and reserve runs one ahead.
 *
 * -DNO_A    without the wmb behind reserve
 * -DNO_D    reserve is loaded without acquire
 * -DBOUND=1 without "and the reserve before it", which WEAK needs, TSO does not
 */
#define MESSAGES 5
#define LOCS 2
#define DEPTH MESSAGES
#ifdef TSO
#undef DEPTH
#define DEPTH (2 * MESSAGES)
#endif
#ifndef BOUND
#define BOUND 2
#endif

#define RESERVE 0
#define HEAD 1

#include "memory.pml"

active proctype Producer()
{
	byte pos;

	do
	:: pos < MESSAGES ->
		STORE(0, RESERVE, pos + 1);
#ifndef NO_A
		WMB(0);
#endif
		STORE_RELEASE(0, HEAD, pos + 1);
		pos++
	:: else -> break
	od
}

active proctype Device()
{
	byte looks, consumed, head, reserve, later_head;

	do
	:: looks < 2 ->
		looks++;
		LOAD_ACQUIRE(1, HEAD, head);
#ifndef NO_D
		LOAD_ACQUIRE(1, RESERVE, reserve);
#else
		LOAD(1, RESERVE, reserve);
#endif
		LOAD(1, HEAD, later_head);
		assert(head >= consumed);
		assert(reserve >= head);
		assert(reserve <= later_head + BOUND);
		consumed = head
	:: else -> break
	od
}
