/*
 * waiter.pml
 *	  A session that waits for a task's end is woken by it.
 *
 * Modelled: two sessions in wait_for, each for a task of its own, and who finishes
 * those tasks, one transaction each. A write stays in the writer's store
 * buffer until it is flushed, which a memory barrier waits for.
 *
 *	  waiter()     extension/wait.c: publishes StentProc.waits_for, looks with a
 *	               new snapshot, waits for its latch
 *	  finisher()   wake_waiters, called by the commit callback of
 *	               extension/announce.c
 *
 * Simplifications: the number of sessions that wait (StentShared.waiting) is an
 * atomic, whose changes are barriers; setting a latch is one, too.
 *
 * Checked: everybody who waits sees the end. Nothing wakes them later, so who
 * has missed it is found asleep when nothing moves any more.
 *
 * Each macro drops one rule, and the model must fail:
 *
 *	  LOOK_FIRST        a session publishes what it waits for before it looks
 *	  NO_BARRIER        and everybody can see that when it looks
 *	  WAKE_EARLY        the callback runs when the rows are visible
 *	  RESET_LATE        the latch is reset before the look
 *	  COUNT_LATE        the count rises before the look
 *	  STOP_AT_COUNT     all sessions are asked; the count only says whether any
 */
#define TASKS 2
#define NONE  TASKS

bool ended[TASKS]; /* rows that say so are visible */

/* of each session; session i waits for task i */
byte waits_for[TASKS] = NONE;
bool buffered[TASKS]; /* what it published is still in its store buffer */
bool latch[TASKS];
byte waiting;

inline barrier()
{
	!buffered[me]
}

/* Writes waits_for, which others see now or later. */
inline publish()
{
	buffered[me] = true
}

proctype store_buffer(byte me)
{
end:
	do
	:: atomic { buffered[me] -> waits_for[me] = me; buffered[me] = false }
	od
}

proctype waiter(byte me)
{
	bool seen;

#ifdef LOOK_FIRST
	seen = ended[me];
#endif
#ifndef COUNT_LATE
	waiting++;
#endif
	publish();
#ifndef NO_BARRIER
	barrier();
#endif
#ifdef LOOK_FIRST
	if
	:: seen -> goto over
	:: else
	fi;
	latch[me];
#endif
look:
#ifndef RESET_LATE
	latch[me] = false;
#endif
	seen = ended[me]; /* a new snapshot */
#ifdef RESET_LATE
	latch[me] = false;
#endif
	if
	:: seen
	:: !seen ->
#ifdef COUNT_LATE
		waiting = (waiting < TASKS -> waiting + 1 : waiting);
#endif
		latch[me];
		goto look
	fi;
over:
	barrier();
	waits_for[me] = NONE;
#ifndef COUNT_LATE
	waiting--
#endif
}

proctype finisher(byte task)
{
	byte i, left;

#ifndef WAKE_EARLY
	ended[task] = true; /* the commit */
#endif
	left = waiting;
	if
	:: left == 0
	:: else ->
		do
#ifdef STOP_AT_COUNT
		:: i < TASKS && left > 0 ->
#else
		:: i < TASKS ->
#endif
			atomic {
				left = (waits_for[i] != NONE && left > 0 -> left - 1 : left);
				if
				:: waits_for[i] == task -> latch[i] = true
				:: else
				fi;
				i++
			}
		:: else -> break
		od
	fi;
#ifdef WAKE_EARLY
	ended[task] = true
#endif
}

init
{
	atomic {
		run store_buffer(0);
		run store_buffer(1);
		run waiter(0);
		run waiter(1);
		run finisher(0);
		run finisher(1)
	}
}
