/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kick:A / device:C, where a head that was scanned is not scanned again
 * (ddebug_kick.c, H2 to H4), and NMIs commit on the CPU that scans.
 *
 * armed.pml proves that the handler runs after each commit.  Entering or leaving an
 * NMI is not assumed to be a barrier: on arm64 it is not.
 *
 * -DNO_A    without the full barrier between head and want_kick
 * -DLATE    with the barrier before the load of head: an NMI commits between them,
 *           and its head counts as seen
 * -DNO_C    in device.pml
 */
#define MESSAGES 3
#define DEPTH 8

#include "device.pml"

bool pending;		/* the handler is queued */

/* Nothing else runs on its CPU between the steps of an NMI. */
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

/* In the final state. */
active proctype Monitor()
{
	timeout;
	assert(sent && consumed == MESSAGES)
}
