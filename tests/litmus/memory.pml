/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared memory of two threads, for two kinds of machines.  A model sets LOCS
 * (locations) and DEPTH (stores to one of them, or in flight), includes this file,
 * and uses
 *
 *   STORE(t, x, v)  STORE_RELEASE(t, x, v)  LOAD(t, x, r)  LOAD_ACQUIRE(t, x, r)
 *   WMB(t)  RMB(t)  MB(t)
 *
 * where t is the thread, 0 or 1, and r one of its variables.  All start at 0.
 *
 * -DTSO, x86: each thread has a FIFO store buffer, from which stores reach memory
 * some time later.  A thread reads its own buffer first.  WMB, RMB, release and
 * acquire affect the compiler only; MB waits until the buffer is empty.
 *
 * -DWEAK, arm64 and weaker: a location is the list of all values ever stored to
 * it.  Each thread has a view: for each location, the oldest value it may still
 * read.  So loads pass loads, stores pass stores and loads, and two threads may see
 * stores to two locations in different orders.  What orders them:
 *   - a release store, or a store after WMB, carries the view that its thread had
 *     (at the WMB);
 *   - an acquire load adopts the view that the value carries; RMB does so for all
 *     loads before it;
 *   - MB does both, and adopts and updates the view of a global order of MBs.
 * Each location is stored to by one thread only, as in the rings, so a list needs
 * no order among writers.  These are the rules of the "promising" model (Kang et
 * al., POPL 2017) without promises: a load never sees a store that comes after the
 * loading thread's own later stores.  In our pairs no store relies on coming after a
 * load, so nothing that arm64 does is missing; conversely it allows more than arm64
 * does (two readers that disagree).
 */
#ifdef TSO

byte mem[LOCS];
typedef Buffer {
	byte loc[DEPTH];
	byte val[DEPTH];
	byte n
}
Buffer buffer[2];

#define STORE(t, x, v)	d_step {					\
		assert(buffer[t].n < DEPTH);				\
		buffer[t].loc[buffer[t].n] = x;				\
		buffer[t].val[buffer[t].n] = v;				\
		buffer[t].n++						\
	}
#define STORE_RELEASE(t, x, v)	STORE(t, x, v)

#define LOAD(t, x, r)	d_step {					\
		r = mem[x];						\
		scan = 0;						\
		do							\
		:: scan < buffer[t].n ->				\
			if						\
			:: buffer[t].loc[scan] == (x) -> r = buffer[t].val[scan] \
			:: else						\
			fi;						\
			scan++						\
		:: else -> break					\
		od;							\
		scan = 0						\
	}
#define LOAD_ACQUIRE(t, x, r)	LOAD(t, x, r)

#define WMB(t)	skip
#define RMB(t)	skip
#define MB(t)	(buffer[t].n == 0)

byte scan;

active proctype Memory()
{
	byte i;
end:
	do
	:: d_step {
		buffer[0].n > 0 ->
		mem[buffer[0].loc[0]] = buffer[0].val[0];
		buffer[0].n--;
		for (i : 0 .. DEPTH - 2) {
			buffer[0].loc[i] = buffer[0].loc[i + 1];
			buffer[0].val[i] = buffer[0].val[i + 1]
		}
		buffer[0].loc[DEPTH - 1] = 0;
		buffer[0].val[DEPTH - 1] = 0;
		i = 0
	}
	:: d_step {
		buffer[1].n > 0 ->
		mem[buffer[1].loc[0]] = buffer[1].val[0];
		buffer[1].n--;
		for (i : 0 .. DEPTH - 2) {
			buffer[1].loc[i] = buffer[1].loc[i + 1];
			buffer[1].val[i] = buffer[1].val[i + 1]
		}
		buffer[1].loc[DEPTH - 1] = 0;
		buffer[1].val[DEPTH - 1] = 0;
		i = 0
	}
	od
}

#else

typedef View {
	byte at[LOCS]
}
typedef Value {
	byte val;
	View view
}
typedef Location {
	Value list[DEPTH + 1];	/* list[0] is the initial value, 0 */
	byte last
}
Location location[LOCS];
View now[2];		/* the thread's view */
View loaded[2];		/* views of all values it has loaded, for RMB */
View fenced[2];		/* its view at its last WMB */
View all;		/* of the global order of MBs */

byte scan, pick;

#define JOIN(a, b)							\
		scan = 0;						\
		do							\
		:: scan < LOCS ->					\
			if						\
			:: b.at[scan] > a.at[scan] -> a.at[scan] = b.at[scan] \
			:: else						\
			fi;						\
			scan++						\
		:: else -> break					\
		od;							\
		scan = 0

#define APPEND(t, x, v, carried)	d_step {			\
		assert(location[x].last < DEPTH);			\
		location[x].last++;					\
		now[t].at[x] = location[x].last;			\
		location[x].list[location[x].last].val = v;		\
		JOIN(location[x].list[location[x].last].view, carried);	\
		location[x].list[location[x].last].view.at[x] = location[x].last \
	}
#define STORE(t, x, v)		APPEND(t, x, v, fenced[t])
#define STORE_RELEASE(t, x, v)	APPEND(t, x, v, now[t])

#define PICK(t, x, r)							\
		pick = now[t].at[x];					\
		do							\
		:: pick < location[x].last -> pick++			\
		:: break						\
		od;							\
		r = location[x].list[pick].val;				\
		now[t].at[x] = pick;					\
		JOIN(loaded[t], location[x].list[pick].view)
#define LOAD(t, x, r)		atomic { PICK(t, x, r); pick = 0 }
#define LOAD_ACQUIRE(t, x, r)	atomic {				\
		PICK(t, x, r);						\
		JOIN(now[t], location[x].list[pick].view);		\
		pick = 0						\
	}

#define WMB(t)	d_step { JOIN(fenced[t], now[t]) }
#define RMB(t)	d_step { JOIN(now[t], loaded[t]) }
#define MB(t)	d_step {						\
		JOIN(now[t], loaded[t]);				\
		JOIN(now[t], all);					\
		JOIN(all, now[t]);					\
		JOIN(fenced[t], now[t])					\
	}

#endif
