/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kick:A / pipe:C.
 *
 * A reader of trace_pipe never sleeps over a message that nobody will wake it for.  The
 * producer commits and, each time, its handler looks whether somebody is in the wait
 * queue, and wakes who is; the reader goes into the wait queue, looks whether there is
 * anything new, and sleeps, or comes out and reads.  When nothing moves any more, all
 * must have been read.
 *
 * Unlike the device (kick.pml) the reader comes out of the queue each time, and who wakes
 * it takes it out: that is done under the queue's lock, so a waker that has seen the
 * reader there finds it as it is, asleep or on its way.
 *
 * -DNO_A  without the full barrier between head and the wait queue
 * -DNO_C  without the full barrier between the wait queue and head
 */
#define MESSAGES 3
#define DEPTH 16
#define LOCS 2

#define HEAD 0
#define QUEUED 1

#include "memory.pml"

bool woken;		/* under the queue's lock, which orders it */
byte consumed;
bool sent;

#ifdef TSO
#define WAKE	atomic { (buffer[0].n == 0) -> woken = true }
#define SLEEP	atomic { woken -> woken = false }
#else
View at_wake;
#define WAKE	d_step { JOIN(at_wake, now[0]); woken = true }
#define SLEEP	d_step { woken -> woken = false; JOIN(now[1], at_wake) }
#endif

active proctype Producer()
{
	byte i, queued;

	do
	:: i < MESSAGES ->
		i++;
		STORE_RELEASE(0, HEAD, i);
#ifndef NO_A
		MB(0);
#endif
		LOAD(0, QUEUED, queued);
		if
		:: queued -> WAKE
		:: else
		fi
	:: else -> break
	od;
	sent = true
}

active proctype Reader()
{
	byte head;

	do
	:: consumed < MESSAGES ->
		woken = false;
		STORE(1, QUEUED, 1);
#ifndef NO_C
		MB(1);
#endif
		LOAD(1, HEAD, head);
		if
		:: head > consumed
		:: else -> SLEEP; LOAD_ACQUIRE(1, HEAD, head)
		fi;
		STORE(1, QUEUED, 0);
		consumed = head
	:: else -> break
	od
}

/* Once everything stands still. */
active proctype Monitor()
{
	timeout;
	assert(sent && consumed == MESSAGES)
}
