/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ddebug_kick.c, "Nothing is left behind": after each commit the handler
 * loads the stream's head once more, on whichever interleaving of a task's
 * messages, an NMI's, and the handler itself.  All on one CPU, so it is program
 * order that is put to the test.
 *
 * -DCOMMIT_LATE  C2 before C1: checks whether work is armed, then commits
 * -DARM_LATE     C4 before C3: queues work, then marks it as armed
 * -DCLEAR_LATE   H1 after H2: loads head, then marks work as not armed
 */
#define MESSAGES 3
#define NMIS 2

byte head;		/* C1 */
bool armed;		/* C3, H1 */
bool pending;		/* C4: irq_work_queue() */
byte looked;		/* H2: the head it found */
bool in_handler;	/* the task is interrupted */

active proctype Task()
{
	byte i;
	bool was;

	do
	:: i < MESSAGES ->
#ifndef COMMIT_LATE
		atomic { !in_handler -> head++ };		/* C1 */
		atomic { !in_handler -> was = armed };		/* C2 */
#else
		atomic { !in_handler -> was = armed };
		atomic { !in_handler -> head++ };
#endif
		if
		:: was
		:: else ->
#ifndef ARM_LATE
			atomic { !in_handler -> armed = true };	/* C3 */
			atomic { !in_handler -> pending = true }	/* C4 */
#else
			atomic { !in_handler -> pending = true };
			atomic { !in_handler -> armed = true }
#endif
		fi;
		i++
	:: else -> break
	od
}

/* Nothing else runs between the steps of an NMI. */
active proctype Nmi()
{
	byte i;

	do
	:: i < NMIS ->
		d_step {
			head++;
			if
			:: !armed -> armed = true; pending = true
			:: else
			fi;
			i++
		}
	:: else -> break
	od
}

active proctype Handler()
{
	byte found;
end:
	do
	:: atomic { pending -> pending = false; in_handler = true };
#ifndef CLEAR_LATE
		armed = false;		/* H1 */
		found = head;		/* H2 */
#else
		found = head;
		armed = false;
#endif
		looked = found;
		in_handler = false
	od
}

active proctype Monitor()
{
	timeout;
	assert(looked == MESSAGES + NMIS)
}
