/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kick:A / device:C, where a head that was looked at is not looked at again
 * (ddebug_kick.c, H2 to H4), and NMIs commit on the CPU that looks.
 *
 * That the handler runs after each commit is what armed.pml proves.  Neither the
 * begin nor the end of an NMI is taken for a barrier: on arm64 it is none.
 *
 * -DNO_A    without the full barrier between head and want_kick
 * -DLATE    the barrier before the load of head: an NMI commits between them, and
 *           its head counts as looked at
 * -DNO_C    in device.pml
 */
#define MESSAGES 3
#define DEPTH 8

#include "device.pml"

bool pending;		/* the handler is asked for */

/* Nothing of its CPU comes between the steps of an NMI. */
active proctype Nmi()
{
	byte i;

	do
	:: i < MESSAGES ->
		atomic {
			i++;
			STORE_RELEASE(0, HEAD, i);
			pending = true
		}
	:: else -> break
	od;
	sent = true
}

active proctype Handler()
{
	byte head, seen, want;
end:
	do
	:: pending ->
		pending = false;
#ifdef LATE
		MB(0);
#endif
		LOAD(0, HEAD, head);
		if
		:: head != seen ->
			seen = head;
#if !defined(LATE) && !defined(NO_A)
			MB(0);
#endif
			LOAD(0, WANT, want);
			if
			:: want -> NOTIFY
			:: else
			fi
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
