/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kick:A / pipe:C.
 *
 * A reader of trace_pipe never sleeps while there is a message that it will not be woken
 * for.  The producer commits and, each time, its handler checks the wait queue and wakes
 * the reader if it is there; the reader enters the wait queue, checks for messages, and
 * sleeps, or leaves the queue and reads.  In the final state everything must have been
 * read.
 *
 * Unlike the device (kick.pml) the reader leaves the queue each time, or is removed by the
 * waker.  Both happen under the queue's lock, so a waker that has seen the reader in the
 * queue finds its current state, asleep or about to be.
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

bool woken;		/* protected, and ordered, by the queue's lock */
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

/* In the final state. */
active proctype Monitor()
{
	timeout;
	assert(sent && consumed == MESSAGES)
}
