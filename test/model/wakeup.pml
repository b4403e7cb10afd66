/*
 * wakeup.pml
 *	  No wake-up is lost between who commits work and who runs it.
 *
 * Modelled: the executors of one role, sessions that commit work for it, the
 * scheduler of the database, and another role that has one of the slots for a while. Every
 * block marked "lock" is one critical section under stent_shared->lock.
 *
 *	  committer()   the callback of extension/announce.c: tell_board,
 *	                something_claimable
 *	  executor()    extension/executor.c, with slots_loop, slots_go_idle,
 *	                slots_woken, slots_should_leave, slots_end of extension/slots.c
 *	  scheduler()   extension/scheduler.c, with slots_take
 *	  notice()      slots_notice of extension/slots.c
 *	  free_slot()   release of extension/slots.c
 *
 * Simplifications: work is a set, of which a batch takes some; a batch
 * aborts at most once, an executor is asked to leave at most once, after a batch
 * or when idle, a start fails at most once; patience and retry delays are a timer that may fire at any time.
 *
 * Checked: no state has claimable work that has been announced while nobody
 * is going to look for it; nothing stops before all work is done; nothing goes on
 * for ever.
 *
 * Each macro drops one rule, and the model must fail:
 *
 *	  RESET_LATE             an executor resets its latch before it looks at changes
 *	  SCHEDULER_RESET_LATE   the scheduler resets its latch before it looks at demand
 *	  IDLE_UNCHECKED         an executor goes idle only if changes is as it was
 *	  LEAVE_SILENTLY         who leaves with work about gives notice of it
 *	  LEAVE_UNCHECKED        also who found none, but was made busy while it was going
 *	  LEAVE_TO_SCHEDULER     to an idle executor, if there is one: the slot may go to
 *	                         another role, and then the scheduler can do nothing
 *	  TIMEOUT_UNCHECKED      after its time an executor looks whether it was made busy
 *	  START_FAILS_SILENTLY   a start that failed leaves the demand
 *	  FREE_SILENTLY          who gives a slot back tells the scheduler that waits for one
 *	  NOTICE_EARLY           work is announced when it is visible
 */
#define SLOTS 2

mtype = { free, starting, busy, idle }
mtype state[SLOTS] = free;
bool latch[SLOTS];
bool waits[SLOTS]; /* for its latch */
byte used = 1;
byte others = 1; /* of them, slots of another role */

byte changes;
bool demand;

bool scheduler_latch, scheduler_asleep, timer;

byte visible;   /* work that is committed and not done */
byte announced; /* what was told to the board */
byte held;      /* of it, what a batch has taken */
byte done;

bool may_abort = true, may_leave = true, may_fail = true;

/* A slot is free again: others may be waiting for it. */
inline free_slot()
{
	used--;
#ifndef FREE_SILENTLY
	if
	:: demand -> scheduler_latch = true
	:: else
	fi
#endif
}

/* Under the lock: somebody should look for work. */
inline notice()
{
	if
	:: state[0] == idle -> state[0] = busy; latch[0] = true
	:: state[1] == idle -> state[1] = busy; latch[1] = true
	:: state[0] != idle && state[1] != idle && !demand -> demand = true; scheduler_latch = true
	:: state[0] != idle && state[1] != idle && demand
	fi
}

proctype committer(byte work)
{
#ifdef NOTICE_EARLY
	atomic { changes++; notice(); announced = announced | work };
	visible = visible | work
#else
	visible = visible | work;
	atomic { changes++; notice(); announced = announced | work } /* lock */
#endif
}

proctype executor(byte me)
{
	byte seen, snapshot, mine;
	bool found, timed_out;

end:
	state[me] == starting;
	if
	:: may_fail ->
		may_fail = false;
		atomic { /* lock: slots_start_failed */
			state[me] = free;
			used--;
#ifndef START_FAILS_SILENTLY
			notice();
			timer = true
#endif
		};
		goto end
	:: state[me] = busy /* lock: slots_begin */
	fi;

loop:
#ifndef RESET_LATE
	latch[me] = false;
#endif
	atomic { seen = changes; demand = false }; /* lock: slots_loop */
	snapshot = visible;
	atomic { /* one by one, in fact */
		mine = snapshot & visible & ~held;
		if
		:: mine == 3 -> mine = 1 /* a batch need not take all it sees */
		:: true
		fi;
		held = held | mine;
		found = (mine != 0);
		snapshot = 0
	};
	if
	:: mine && may_abort -> /* the batch fails: what it had is claimable again */
		may_abort = false;
		atomic { held = held & ~mine; announced = announced & ~mine };
		atomic { changes++; notice(); announced = announced | mine }; /* lock */
	:: mine ->
		atomic { visible = visible & ~mine; held = held & ~mine; done = done | mine }
	:: !mine
	fi;
	mine = 0;
	if
	:: may_leave -> /* its slot is wanted for another role */
		may_leave = false;
		goto leave
	:: found -> goto loop
	:: !found
	fi;
	atomic { /* lock: slots_go_idle */
		if
#ifdef IDLE_UNCHECKED
		:: state[me] = idle
#else
		:: changes == seen -> state[me] = idle
		:: changes != seen -> goto loop
#endif
		fi
	};
#ifdef RESET_LATE
	latch[me] = false;
#endif
	waits[me] = true;
	if
	:: latch[me]
	:: timed_out = true
	fi;
	waits[me] = false;
	atomic { /* lock: slots_woken */
		if
#ifdef TIMEOUT_UNCHECKED
		:: !timed_out -> goto loop
		:: timed_out
#else
		:: !(timed_out && state[me] == idle) -> timed_out = false; goto loop
		:: timed_out && state[me] == idle
#endif
		:: state[me] == idle && may_leave -> may_leave = false; timed_out = false; goto leave
		fi;
		timed_out = false;
		state[me] = free;
		seen = 0;
		latch[me] = false;
		free_slot();
		goto end
	};

leave:
	skip; /* somebody may still make it busy */
	atomic { /* lock: slots_end */
		state[me] = free;
		latch[me] = false;
		if
#ifdef LEAVE_SILENTLY
		:: true
#else
#ifdef LEAVE_UNCHECKED
		:: !found
		:: found ->
#else
		:: !found && changes == seen
		:: found || changes != seen ->
#endif
#ifdef LEAVE_TO_SCHEDULER
			demand = true; scheduler_latch = true
#else
			notice()
#endif
#endif
		fi;
		found = false;
		seen = 0;
		free_slot();
		goto end
	}
}

/* A slot freed goes to whoever comes first; another role may come once. */
proctype other_role()
{
	bool again = true;

	do
	:: atomic { others--; free_slot() }; /* lock */
		if
		:: atomic { again && used < SLOTS -> used++; others++; again = false } /* lock: slots_take */
		:: break
		fi
	od
}

active proctype scheduler()
{
	do
	::
#ifndef SCHEDULER_RESET_LATE
		scheduler_latch = false;
#endif
		atomic { /* lock: slots_take */
			if
			:: demand && used < SLOTS ->
				demand = false;
				used++;
				if
				:: state[0] == free -> state[0] = starting
				:: else -> state[1] = starting
				fi
			:: else
			fi
		};
#ifdef SCHEDULER_RESET_LATE
		scheduler_latch = false;
#endif
		scheduler_asleep = true;
end:	atomic { scheduler_latch -> scheduler_asleep = false }
	od
}

active proctype clock()
{
end:
	do
	:: atomic { timer -> timer = false; scheduler_latch = true }
	od
}

/* What will look for work without being woken by anything new. */
#define ACTS(i)        (state[i] != free && (!waits[i] || latch[i]))
#define SCHEDULER_ACTS (!scheduler_asleep || scheduler_latch || timer)
/* all slots are somebody else's, who will give them back */
#define IN_TURN        (demand && others == SLOTS)

active proctype monitor()
{
end:
	if
	:: atomic { (visible & announced & ~held) && !ACTS(0) && !ACTS(1) && !SCHEDULER_ACTS && !IN_TURN -> assert(false) }
	:: atomic { timeout -> assert(done == 3) } /* nobody can do anything any more */
	fi
}

init
{
	atomic {
		run committer(1);
		run committer(2);
		run executor(0);
		run executor(1);
		run other_role()
	}
}
