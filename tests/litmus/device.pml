/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device, for models in which a producer, thread 0, notifies it: it drains,
 * asks for notifications, loads head again, and sleeps until it is notified.  A
 * model sets MESSAGES and DEPTH, includes this file, and uses NOTIFY.
 *
 * A notification orders memory: the device, when woken, sees what was stored before
 * it was sent (on any machine it is an exit from the guest, and an eventfd).
 *
 * -DNO_C  without the full barrier between want_kick and head
 */
#define LOCS 2

#define HEAD 0
#define WANT 1

#include "memory.pml"

bool notified;		/* a notification is in flight */
byte consumed;
bool sent, asleep;	/* sent: the producer has finished */

#ifdef TSO
#define NOTIFY	atomic { (buffer[0].n == 0) -> notified = true }
#define WOKEN	atomic { notified -> notified = false; asleep = false }
#else
View at_notify;
#define NOTIFY	d_step { JOIN(at_notify, now[0]); notified = true }
#define WOKEN	d_step { notified -> notified = false; asleep = false; JOIN(now[1], at_notify) }
#endif

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
