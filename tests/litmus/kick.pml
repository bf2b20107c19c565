/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kick:A / device:C.
 *
 * The device never sleeps over a message that nobody will wake it for.  The
 * producer commits and, each time, looks whether a notification is wanted; the
 * device drains, asks for notifications, looks again, and sleeps.  When nothing
 * moves any more, all must have been consumed.
 *
 * A notification is more than memory: who is woken by it sees what was stored
 * before it was sent (on any machine an exit from the guest, and an eventfd).
 *
 * -DNO_A  without the full barrier between head and want_kick
 * -DNO_C  without the full barrier between want_kick and head
 */
#define MESSAGES 3
#define LOCS 2
#define DEPTH 8

#define HEAD 0
#define WANT 1

#include "memory.pml"

bool told;		/* a notification is under way */
byte consumed;
bool sent, asleep;

#ifdef TSO
#define NOTIFY	atomic { (buffer[0].n == 0) -> told = true }
#define WOKEN	atomic { told -> told = false; asleep = false }
#else
View at_notify;
#define NOTIFY	d_step { JOIN(at_notify, now[0]); told = true }
#define WOKEN	d_step { told -> told = false; asleep = false; JOIN(now[1], at_notify) }
#endif

active proctype Producer()
{
	byte i, want;

	do
	:: i < MESSAGES ->
		i++;
		STORE_RELEASE(0, HEAD, i);
#ifndef NO_A
		MB(0);
#endif
		LOAD(0, WANT, want);
		if
		:: want -> NOTIFY
		:: else
		fi
	:: else -> break
	od;
	sent = true
}

active proctype Device()
{
	byte head;
	bool wants;

	do
	:: LOAD_ACQUIRE(1, HEAD, head);
		if
		:: head > consumed ->
			consumed = head;
			if
			:: wants -> wants = false; STORE(1, WANT, 0)
			:: else
			fi
		:: else ->
			if
			:: !wants -> wants = true; STORE(1, WANT, 1)
			:: else
			fi;
#ifndef NO_C
			MB(1);
#endif
			LOAD(1, HEAD, head);
			if
			:: head > consumed
			:: else -> asleep = true; WOKEN
			fi
		fi;
		if
		:: consumed == MESSAGES -> break
		:: else
		fi
	od
}

/* Once everything stands still. */
active proctype Monitor()
{
	timeout;
	assert(sent && consumed == MESSAGES)
}
