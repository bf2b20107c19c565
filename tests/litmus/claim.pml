/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * producer:C, the compiler barriers of ddebug_claim() and ddebug_unclaim().
 *
 * A writer, and messages of the same task in the same stream that interrupt it
 * between any two of its accesses (an exception that logs).  All run on one CPU,
 * which sees its own accesses in program order, so what matters is the order in
 * which the compiler emits them:
 *
 *   - volatile accesses (READ_ONCE, WRITE_ONCE) stay in order among themselves;
 *   - an access stays after those whose data it depends on;
 *   - a barrier keeps all accesses before it before all accesses after it;
 *   - otherwise any order is possible, and all are tried here.
 *
 * Claim: an interrupting message never writes where the writer writes, and never
 * takes a live writer for a dead one; and if the writer dies while it works, the
 * only part that can fault, the task's next message notices.
 *
 * -DNO_C1 to -DNO_C4: without that barrier.
 */
#define OUTER_SP 5	/* stacks grow down: an interrupting message has a lower one */
#define STALE_SP 1	/* left by a writer that was deeply nested */

#define C1 1
#define C2 1
#define C3 1
#define C4 1
#ifdef NO_C1
#undef C1
#define C1 0
#endif
#ifdef NO_C2
#undef C2
#define C2 0
#endif
#ifdef NO_C3
#undef C3
#define C3 0
#endif
#ifdef NO_C4
#undef C4
#define C4 0
#endif

/* the stream */
bool task, known;
byte sp = STALE_SP;
byte head;

/* the writer's accesses, done or not */
bool set_task, set_rest, set_known, got_head, worked, set_head, clear_known, clear_task;
byte start;
bool dead;

active proctype Writer()
{
	do
	:: atomic { !set_task -> task = true; set_task = true }
		/* barrier C1 */
	:: atomic { !set_rest && (set_task || !C1) -> sp = OUTER_SP; set_rest = true }
		/* barrier C2 */
	:: atomic { !set_known && set_task && (set_rest || !C2) -> known = true; set_known = true }
		/* barrier C3 */
	:: atomic {
		!got_head && (set_known || !C3) && (set_rest || !C2) && (set_task || !C1) ->
		start = head;
		got_head = true
	}
	:: atomic { !worked && got_head -> worked = true }
	:: atomic { !worked && got_head -> dead = true; break }
	:: atomic {
		!set_head && worked ->
		/* nothing else has written here meanwhile */
		assert(head == start);
		head++;
		set_head = true
	}
		/* barrier C4 */
	:: atomic {
		!clear_known && set_known && (set_head || !C4) && (worked || !C4) &&
		(set_rest || !(C2 || C3 || C4)) ->
		known = false;
		clear_known = true
	}
	:: atomic { !clear_task && clear_known -> task = false; clear_task = true }
	:: atomic { set_head && clear_task && set_rest -> break }
	od
}

/* A complete message, at depth my_sp; it leaves the interrupted code as it was. */
inline Message(my_sp)
{
	if
	:: !task ->
		sp = my_sp;
		head++
	:: task && !known	/* alive: dropped */
	:: task && known && my_sp > sp ->
		assert(dead);
		found = true
	:: else			/* alive: dropped */
	fi
}

active proctype Interrupts()
{
	bool found;

	/* at any time, or never, at depths of their own */
end1:	atomic { !dead -> Message(3) };
end2:	atomic { !dead -> Message(4) }
}

active proctype Next()
{
	bool found;

	/* the task logs again, with less on its stack (do_exit()) */
end:	atomic { dead -> Message(OUTER_SP + 1); assert(found) }
}
