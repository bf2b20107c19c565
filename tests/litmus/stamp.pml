/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ddebug_ring.c, "Time": the time stamps of one CPU.  A task, an interrupt and NMIs take
 * stamps, each possibly in the middle of the others', while the clock stands still,
 * advances, and steps back.  All on one CPU, so it is program order that is put to the
 * test.
 *
 * Claim: no two messages have one stamp, and a message that begins after another has
 * ended has the greater one.
 *
 * -DNO_CMPXCHG  the stamp is stored without looking whether it is still the one loaded
 * -DNO_RAISE    the stamp is the clock's, if that has not stepped back
 */
#define MESSAGES 2
#define NMIS 2
#define CLOCK_MAX 2
#define STAMP_MAX 12

byte clock;
byte stamp;		/* ddebug_cpu.stamp */
byte newest;		/* of the messages that have ended */
bool given[STAMP_MAX];
bool busy;		/* the task is interrupted */

active proctype Clock()
{
end:	do
	:: atomic { clock < CLOCK_MAX -> clock++ }
	:: atomic { clock > 0 -> clock-- }
	:: break
	od
}

inline Raise(now, last, mine)
{
#ifndef NO_RAISE
	mine = (now > last -> now : last + 1)
#else
	mine = (now > last -> now : (last > 0 -> last : 1))
#endif
}

inline Ended(mine, floor)
{
	assert(mine > floor);
	assert(!given[mine]);
	given[mine] = true;
	newest = (mine > newest -> mine : newest)
}

/* @runs: nothing interrupts this context just now */
inline Message(runs)
{
	atomic { runs -> floor = newest; last = stamp };
	atomic { runs -> now = clock };
	do
	:: atomic { runs -> Raise(now, last, mine) };
#ifndef NO_CMPXCHG
	   atomic {
		runs ->
		if
		:: stamp == last -> stamp = mine; break
		:: else -> last = stamp
		fi
	   }
#else
	   atomic { runs -> stamp = mine; break }
#endif
	od;
	atomic { runs -> Ended(mine, floor) }
}

active proctype Task()
{
	byte i, last, now, mine, floor;

	do
	:: i < MESSAGES -> Message(!busy); i++
	:: else -> break
	od
}

active proctype Interrupt()
{
	byte last, now, mine, floor;

	busy = true;
	Message(true);
	busy = false
}

/* Nothing else runs between the steps of an NMI. */
active proctype Nmi()
{
	byte i, mine;

	do
	:: i < NMIS ->
		d_step {
			Raise(clock, stamp, mine);
			Ended(mine, newest);
			stamp = mine;
			i++
		}
	:: else -> break
	od
}
