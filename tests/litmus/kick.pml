/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kick:A / device:C.
 *
 * The device never sleeps while there is a message that it will not be woken for.
 * The producer commits and, each time, checks whether a notification is wanted; the
 * device drains, asks for notifications, loads head again, and sleeps.  In the final
 * state everything must have been consumed.
 *
 * -DNO_A  without the full barrier between head and want_kick
 * -DNO_C  in device.pml
 */
#define MESSAGES 3
#define DEPTH 8

#include "device.pml"

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

/* In the final state. */
active proctype Monitor()
{
	timeout;
	assert(sent && consumed == MESSAGES)
}
