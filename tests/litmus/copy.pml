/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * producer:A / device:B and producer:B / device:A.
 *
 * While the producer laps the device, what the device returns is exactly what was
 * committed at that position.  A ring of two sub-buffers; a sub-buffer is one record
 * of two words, which hold 1 + its position.  The device copies LOOKS times.
 *
 * -DNO_A  without the wmb between reserve and the data
 * -DNO_B  store head without release
 * -DNO_a  load head without acquire
 * -DNO_b  without the rmb between the copy and reserve
 */
#define LOCS 6
#define DEPTH RECORDS
#ifdef TSO
/* stores that may be in flight: all */
#undef DEPTH
#define DEPTH (4 * RECORDS)
#endif
#define RECORDS 5
#define LOOKS 3
#define SIZE 2

#define RESERVE 0
#define HEAD 1
#define WORD(pos, i) (2 + 2 * ((pos) % SIZE) + (i))

#include "memory.pml"

active proctype Producer()
{
	byte pos;

	do
	:: pos < RECORDS ->
		STORE(0, RESERVE, pos + 1);
#ifndef NO_A
		WMB(0);
#endif
		STORE(0, WORD(pos, 0), pos + 1);
		STORE(0, WORD(pos, 1), pos + 1);
#ifndef NO_B
		STORE_RELEASE(0, HEAD, pos + 1);
#else
		STORE(0, HEAD, pos + 1);
#endif
		pos++
	:: else -> break
	od
}

active proctype Device()
{
	byte consumed, looks, head, reserve, pos, w0, w1;

	do
	:: looks < LOOKS ->
		looks++;
#ifndef NO_a
		LOAD_ACQUIRE(1, HEAD, head);
#else
		LOAD(1, HEAD, head);
#endif
		LOAD_ACQUIRE(1, RESERVE, reserve);
		/* checked by load_positions(); depends on device:A as well */
		assert(reserve >= head);
		pos = consumed;
		do
		:: pos < head ->
			LOAD(1, WORD(pos, 0), w0);
			LOAD(1, WORD(pos, 1), w1);
#ifndef NO_b
			RMB(1);
#endif
			LOAD(1, RESERVE, reserve);
			if
			:: reserve <= pos + SIZE -> assert(w0 == pos + 1 && w1 == pos + 1)
			:: else		/* lapped: dropped */
			fi;
			pos++
		:: else -> break
		od;
		skip;	/* jumping into a d_step is not allowed */
		d_step { consumed = pos; w0 = 0; w1 = 0; head = 0; reserve = 0; pos = 0 }
	:: else -> break
	od
}
