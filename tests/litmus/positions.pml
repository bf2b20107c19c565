/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * producer:A / device:D.
 *
 * A producer that keeps the rules never seems to break them: the positions that
 * load_positions() loads are in order, and reserve is ahead of a head loaded after it
 * by at most what it, and the previous reserve, were published for.  Each message
 * moves head by one, and reserve runs one ahead.
 *
 * -DNO_A    without the wmb after reserve
 * -DNO_D    load reserve without acquire
 * -DBOUND=1 without "and the previous reserve", which WEAK needs but TSO does not
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
