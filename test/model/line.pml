/*
 * line.pml
 *	  No task of a concurrency key is forgotten, and no more than N run.
 *
 * Modelled: three tasks of one key. The first is there; each of the others is dispatched by
 * a transaction of its own. Two runners claim, run and commit or abort, and act
 * on nudges before they claim; a user cancels the second task, or thinks better of it.
 * A step of a transaction is atomic; others see what it did when it commits.
 *
 *	  dispatcher()  extension/line.c: enter
 *	  runner()      extension/run.c: run_next; line_place, line_allows, line_demote,
 *	                hand_over, decide; due_promote and line_nudged before
 *	  canceller()   extension/cancel.c; line_try_take, hand_over
 *
 * Simplifications: a task runs once; the nudge of a task is one bit, of which there
 * is one for each transaction that may leave it; positions are the tasks' numbers; a
 * snapshot is what is committed at one step. Heads of lines are not modelled.
 *
 * Checked: no more than N run at a time (of what has not ended yet); when nobody has
 * anything left to do, all tasks have ended.
 *
 * N is 1, or 2 with TWO. Each other macro drops one rule, and the model must fail:
 *
 *	  NO_DISPATCH_NUDGE   a dispatcher that blocks its task leaves a nudge
 *	  LOOK_UNLOCKED       who ends a task holds the decision to its commit, or nudges
 *	  SNAPSHOT_BEFORE     it looks with a snapshot taken under the lock
 *	  NUDGE_UNLOCKED      a nudge is acted on under the lock only
 *	  NUDGE_ANYWAY        a nudge stays while somebody holds one who is next
 *	  UNLOCK_EARLY        the decision is held until what it wrote is visible
 *	  DEMOTE_SILENTLY     who blocks a task that it took leaves a nudge
 *	  CANCEL_SILENTLY     who cancels a task leaves a nudge
 *	  NO_PLACE            who runs a task has a place
 */
#define TASKS 3
#ifdef TWO
#define N 2
#else
#define N 1
#endif
#define NOBODY 9

/* as committed */
bool in_line[TASKS];
bool blocked[TASKS];
bool nudges[6]; /* by who left it: dispatchers 0 1, runners 2 3, canceller 4 */

byte holder[TASKS] = NOBODY;   /* who has taken, or is changing, its entry or row */
byte decision = NOBODY;        /* the lock */
byte places;
byte running;                  /* handlers at work */
byte ended;
byte dispatched;
bool over;                     /* the user has made up his mind */

/* how many older ones a snapshot taken now shows; not those that who looks has ended */
#define OLDER(t, gone) ((t > 0 && in_line[0] && gone != 0) + (t > 1 && in_line[1] && gone != 1))

proctype dispatcher(byte me; byte task)
{
	bool is_blocked;

	/* the look, and the insert that nobody sees yet */
	atomic { is_blocked = (OLDER(task, NOBODY) >= N) };
	atomic { /* commit */
		in_line[task] = true;
		blocked[task] = is_blocked;
#ifndef NO_DISPATCH_NUDGE
		nudges[me] = is_blocked;
#endif
		dispatched++
	}
}

/* Who would be made ready by a look now: the first N of the line that are blocked. */
#define NEXT(t, gone) (in_line[t] && gone != t && blocked[t] && OLDER(t, gone) < N)

/* Have those who are next for this transaction; sets missed where another holds one. */
inline decide(me, gone)
{
	t = 0;
	do
	:: t < TASKS ->
		if
		:: NEXT(t, gone) && holder[t] == NOBODY -> holder[t] = me; made[t] = true
		:: NEXT(t, gone) && holder[t] != NOBODY && holder[t] != me -> missed = true
		:: else
		fi;
		t++
	:: else -> t = 0; break
	od
}

inline finish(me, committed)
{
	t = 0;
	do
	:: t < TASKS ->
		if
		:: made[t] ->
			if
			:: committed -> blocked[t] = false
			:: else
			fi;
			made[t] = false;
			holder[t] = NOBODY
		:: else
		fi;
		t++
	:: else -> t = 0; break
	od;
	missed = false
}

/* A transaction that acts on one nudge. */
inline act_on_nudge(me)
{
	atomic { nudges[0] || nudges[1] || nudges[2] || nudges[3] || nudges[4] ->
#ifndef NUDGE_UNLOCKED
		if
		:: decision != NOBODY -> goto next /* left for later */
		:: else -> decision = me
		fi;
#endif
		/* one left again meanwhile is another one */
		left = 0;
		do
		:: left < 5 && !nudges[left] -> left++
		:: else -> nudges[left] = false; break
		od
	};
	atomic { decide(me, NOBODY) };
	atomic { /* commit */
#ifdef NUDGE_ANYWAY
		missed = false;
#endif
		if
		:: missed -> nudges[left] = true
		:: else
		fi;
		finish(me, true);
		if
		:: decision == me -> decision = NOBODY
		:: else
		fi
	}
}

proctype runner(byte me)
{
	bool made[TASKS];
	byte t, task, left;
	bool missed, nudge;
	bool may_fail = true;

	do
	:: act_on_nudge(me);
next:	skip
	:: atomic { /* look, take a place, look again, take the entry */
		if
		:: in_line[0] && !blocked[0] && holder[0] == NOBODY -> task = 0
		:: in_line[1] && !blocked[1] && holder[1] == NOBODY -> task = 1
		:: in_line[2] && !blocked[2] && holder[2] == NOBODY -> task = 2
		fi;
#ifndef NO_PLACE
		if
		:: places == N -> goto next
		:: else
		fi;
#endif
		places++
	   };
		atomic { /* a snapshot after the place */
			if
			:: !(in_line[task] && !blocked[task] && holder[task] == NOBODY) -> places--; goto next
			:: else -> holder[task] = me
			fi;
			if
			:: OLDER(task, NOBODY) >= N -> goto demote
			:: else -> running++; assert(running <= N)
			fi
		};
		/* the handler has ended; who is next? */
#ifdef SNAPSHOT_BEFORE
		atomic { decide(me, task) };
#endif
		atomic {
			if
			:: decision == NOBODY -> decision = me; nudge = false
			:: else -> nudge = true
			fi
		};
		atomic {
#ifndef SNAPSHOT_BEFORE
			if
			:: !nudge -> decide(me, task)
			:: nudge
			fi;
#endif
			nudge = nudge || missed;
#ifdef LOOK_UNLOCKED
			/* sees nobody blocked, so goes without the lock */
			if
			:: decision == me && !made[0] && !made[1] && !made[2] && !missed -> decision = NOBODY
			:: else
			fi;
#endif
#ifdef UNLOCK_EARLY
			if
			:: decision == me -> decision = NOBODY
			:: else
			fi;
#endif
		};
		if
		:: atomic { /* commit */
			running--;
			in_line[task] = false;
			holder[task] = NOBODY;
			ended++;
			nudges[me] = nudges[me] || nudge;
			finish(me, true) }
		:: atomic { may_fail -> /* abort */
			may_fail = false;
			running--;
			holder[task] = NOBODY;
			finish(me, false) }
		fi;
		atomic { /* places and locks are given up after that */
			places--;
			if
			:: decision == me -> decision = NOBODY
			:: else
			fi
		};
		goto next;
demote:
		atomic { /* commit */
			blocked[task] = true;
			holder[task] = NOBODY;
			places--;
#ifndef DEMOTE_SILENTLY
			nudges[me] = true
#endif
		}
	:: ended == TASKS && !(nudges[0] || nudges[1] || nudges[2] || nudges[3] || nudges[4]) -> break
	od
}

/* Cancels the second task, whether it is ready or blocked, if nobody has it. */
proctype canceller(byte me)
{
	bool took;

	if
	:: atomic { in_line[1] && holder[1] == NOBODY -> holder[1] = me; took = true }
	:: true
	fi;
	if
	:: atomic { took -> /* commit */
		in_line[1] = false;
		holder[1] = NOBODY;
		ended++;
#ifndef CANCEL_SILENTLY
		nudges[me] = true
#endif
	   }
	:: atomic { took -> holder[1] = NOBODY } /* abort */
	:: !took
	fi;
	over = true
}

active proctype monitor()
{
end:
	atomic { timeout -> assert(ended == TASKS) }
}

init
{
	atomic {
		in_line[0] = true;
		run dispatcher(0, 1);
		run dispatcher(1, 2);
		run runner(2);
		run runner(3);
		run canceller(4)
	}
}
