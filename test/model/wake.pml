/*
 * wake.pml
 *	  No parent waits for ever for children that have finished, and nobody runs it twice.
 *
 * Modelled: a parent of two children that it has spawned. Two sessions work in batches of
 * up to OPS steps in one transaction: they end children, look at nudges, run the parent.
 * A run that does not find both finished suspends the parent, which then waits for one or
 * for both. With WORKER the parent is an external task: a worker claims it, suspends it
 * and gives it back, in transactions of its own. A canceller may end the parent, or think
 * better of it; a parent that has ended may be revived; a wait may run out. Any transaction may abort.
 * Others see what it did when it commits; nobody waits, except a worker for the row of its
 * task.
 *
 *	  end_child    task_move to an end: waiting_tell, in extension/waiting.c
 *	  run_parent   extension/run.c, step.c: the entry, the snapshot at the first step;
 *	               settle.c: the waiting task and its entry
 *	  look         due_promote, waiting_nudged
 *	  run_out      waiting_ran_out; replay with revive_parent
 *	  worker()     extension/lease_claim.c, suspend(), release()
 *	  canceller()  extension/cancel.c, task_try_end
 *
 * Simplifications: a parent that fails is ready again at once; a nudge is named by the
 * child that was ended when it was left; a snapshot is what is committed at one step, and
 * what its transaction has done; all sessions serve the parent's role.
 *
 * Checked: who has taken the parent finds it as it took it, and there is one who runs it;
 * when nobody has anything left to do, the parent has ended.
 *
 * Each macro drops one rule, and the model must fail:
 *
 *	  NUDGE_APART       the nudge comes with the child's end
 *	  NUDGE_ONCE        one nudge a transaction does, unless that was acted on meanwhile,
 *	  NUDGE_UNDONE      or rolled back with a savepoint
 *	  SNAPSHOT_BEFORE   a run looks with a snapshot taken after the parent's entry was,
 *	  SUSPEND_UNLOCKED  a worker's suspend() with one taken after it has changed the row
 *	  DELETE_LATER      who acts on nudges deletes those only that its snapshot has
 *	  DROP_WAITING      a nudge stays while somebody has the waiting parent's entry,
 *	  DROP_READY        or the ready one's,
 *	  DROP_LEASED       or the row of a parent that a worker leases,
 *	  DROP_ENDED        or revives one that has ended,
 *	  DROP_CHANGED      and when the parent is no longer what it was when it was read
 *	  DROP_OWN          and while what it is about is not committed, unless the parent is taken
 *	  TAKE_STALE        an entry is taken only if it is the one that was read
 *	  REVIVE_WAITING    a finished parent that is revived is ready, and looks for itself
 *	  END_SILENTLY      who had the parent tells, when it is over, that nudges may have been left
 */
#define ALL      3 /* children, as a set */
#ifdef WORKER
#define OPS      2
#else
#define OPS      3
#endif
#define WORKS    2 /* the worker's number */
#define CANCELS  3
#define NOBODY   9

/* of the parent */
#define READY    0
#define WAITING  1
#define LEASED   2
#define ENDED    3
#define UNTOUCHED 4

/* as committed */
byte state = READY;
byte want;   /* what a waiting parent waits for */
byte done;
byte nudges; /* by child */

/* by transactions that are open */
byte holder = NOBODY; /* of the parent's entry, or its row */
byte ending;          /* children */
byte taken;           /* nudges */

bool fresh[4];       /* what a session has read of the parent is the newest */
byte owner = NOBODY; /* who runs the parent */
bool told;           /* somebody is to look at nudges */
bool can_run_out;
bool can_revive;

#define VIEW (holder == me -> to : state)

/* Read the parent. */
inline read()
{
	at = VIEW;
	fresh[me] = true
}

/* The parent is written. */
inline write(new_state, new_want)
{
	assert(state == from);
	state = new_state;
	want = (new_state == WAITING -> new_want : 0);
	fresh[0] = false; fresh[1] = false; fresh[2] = false; fresh[3] = false
}

/* Whoever held the parent does no more. */
inline let_go()
{
	holder = NOBODY;
#ifndef END_SILENTLY
	told = true;
#endif
	from = UNTOUCHED
}

#ifdef TAKE_STALE
#define CAN_TAKE (holder == me || holder == NOBODY)
#else
#define CAN_TAKE (holder == me || holder == NOBODY && fresh[me])
#endif

inline take()
{
	if
	:: holder == me
	:: else -> holder = me; from = at; to = at; to_want = want
	fi
}

inline own(who)
{
	assert(owner == NOBODY);
	owner = who
}

/* Something that is missing in the set of what was seen. */
inline choose_want(set)
{
	if
	:: !(set & 1) -> to_want = 1
	:: !(set & 2) -> to_want = 2
	:: to_want = ALL
	fi
}

inline end_child(c)
{
	ending = ending | c;
	ended = ended | c;
	if
	:: !nudged -> left = left | c; nudged = true
	:: nudged
#ifdef NUDGE_UNDONE
	:: !nudged -> nudged = true; ending = ending & ~c; ended = ended & ~c
#endif
	fi
}

/* The nudges that are visible, but for those that this look has passed over. */
#define VISIBLE ((nudges & ~gone | left) & ~passed)

/*
 * What this transaction left is about what others do not see yet: a parent that it has
 * not taken may be run meanwhile.
 */
#ifdef DROP_OWN
#define MAY_DROP true
#else
#define MAY_DROP (holder == me || !(left & n))
#endif

/* Delete these nudges, unless somebody else does. */
inline drop(set)
{
	gone = gone | (set & nudges & ~taken);
	taken = taken | (set & nudges);
	left = left & ~(set);
#ifndef NUDGE_ONCE
	nudged = (left != 0);
#endif
	passed = passed | (set)
}

/* The transaction is over. */
inline forget()
{
	ending = ending & ~ended;
	taken = taken & ~gone;
	ended = 0; left = 0; gone = 0; ops = 0;
	nudged = false;
	if
	:: holder == me ->
		owner = (owner == me -> NOBODY : owner);
		let_go()
	:: else
	fi;
	at = 0; to = UNTOUCHED; to_want = 0; seen = 0; seen_nudges = 0; fresh[me] = false
}

proctype session(byte me)
{
	byte ops, at, from = UNTOUCHED, to = UNTOUCHED, to_want;
	byte ended, left, gone; /* children; nudges that were inserted, deleted */
	byte n, passed, seen, seen_nudges;
	bool nudged;

end:
	do
	:: atomic { ops < OPS && !((done | ending) & 1) -> end_child(1); ops++ }
	:: atomic { ops < OPS && !((done | ending) & 2) -> end_child(2); ops++ }

#ifdef NUDGE_APART
	/* a nudge before what it is about */
	:: atomic { ops == 0 && ended == 0 && !(done & 1) && !(nudges & 1) && !told -> nudges = nudges | 1; told = true }
#endif

	/* run the parent */
#ifndef WORKER
	:: atomic { ops < OPS && VIEW == READY && (holder == me || holder == NOBODY) ->
		ops++;
		read();
#ifdef SNAPSHOT_BEFORE
		seen = done | ended
#endif
	   };
		atomic {
			if
			:: CAN_TAKE -> take(); own(me)
			:: else -> goto next
			fi
		};
		atomic {
#ifndef SNAPSHOT_BEFORE
			seen = done | ended;
#endif
			owner = NOBODY;
			if
			:: seen == ALL -> to = ENDED
			:: seen != ALL -> to = WAITING; choose_want(seen)
			:: to = READY /* failed, to be retried */
			fi
		}
#endif

	/* a wait runs out */
	:: atomic { ops < OPS && can_run_out && VIEW == WAITING && (holder == me || holder == NOBODY) ->
		ops++;
		read();
		can_run_out = false;
		take();
		to = READY
	   }

	/* revive the parent */
	:: atomic { ops < OPS && can_revive && state == ENDED && holder == NOBODY ->
		ops++;
		read();
		can_revive = false;
		take();
#ifdef REVIVE_WAITING
		to = WAITING;
		to_want = ALL
#else
		to = READY
#endif
	   }

	/* look at nudges */
	:: atomic { ops < OPS && told && (nudges & ~gone | left) ->
		ops++;
		told = false;
		passed = 0
	   };
again:
		atomic {
			if
			:: VISIBLE & 1 -> n = 1
			:: VISIBLE & 2 -> n = 2
			:: !VISIBLE -> goto next
			fi;
			read()
		};
		atomic {
			if
#ifdef DROP_ENDED
			:: at == ENDED && !CAN_TAKE && fresh[me] -> drop(n); goto again
#endif
#ifdef DROP_CHANGED
			:: !fresh[me] -> drop(n); goto again
#else
			:: !CAN_TAKE && !fresh[me] -> passed = passed | n; goto again
#endif
#ifdef DROP_WAITING
			:: at == WAITING && !CAN_TAKE && fresh[me] -> drop(n); goto again
#endif
#ifdef DROP_READY
			:: at == READY && !CAN_TAKE && fresh[me] -> drop(n); goto again
#endif
#ifdef DROP_LEASED
			:: at == LEASED && !CAN_TAKE && fresh[me] -> drop(n); goto again
#endif
			:: !CAN_TAKE && fresh[me] -> passed = passed | n; goto again
			:: at != WAITING && CAN_TAKE && MAY_DROP -> drop(n); goto again
			:: at != WAITING && CAN_TAKE && !MAY_DROP -> passed = passed | n; goto again
			:: at == WAITING && CAN_TAKE -> take()
			fi
		};
		atomic {
			seen = done | ended;
			seen_nudges = nudges | left
		};
		atomic {
#ifdef DELETE_LATER
			seen_nudges = nudges | left;
#endif
			if
			:: drop(n)
			:: drop(seen_nudges | n)
			fi;
			if
			:: !(to_want & ~seen) -> to = READY
			:: else /* the entry is put back */
			fi;
			goto again
		}

	/* the transaction ends */
	:: atomic { ops -> /* commit */
		if
		:: holder == me -> write(to, to_want)
		:: else
		fi;
		done = done | ended;
#ifdef NUDGE_APART
		left = left & ~1;
#endif
		told = told || left;
		nudges = nudges & ~gone | left;
		forget()
	   }
	:: atomic { ops -> forget() } /* abort */
	od;
next:
	atomic { passed = 0; n = 0; seen = 0; seen_nudges = 0; at = 0; fresh[me] = false; goto end }
}

proctype worker(byte me)
{
	byte at, from = UNTOUCHED, to = UNTOUCHED, to_want, seen;

end:
	do
	/* claim: the entry goes, the row stays */
	:: atomic { state == READY && holder == NOBODY -> read(); take(); own(me); to = LEASED }
		goto finish

	/* give back, or lose the lease */
	:: atomic { state == LEASED && holder == NOBODY -> read(); take(); to = READY };
		goto finish

	/* suspend */
	:: atomic { state == LEASED -> read() };
#ifdef SUSPEND_UNLOCKED
		atomic { seen = done };
#endif
		atomic { holder == NOBODY ->
			if
			:: CAN_TAKE -> take()
			:: else -> at = 0; seen = 0; goto end
			fi
		};
		atomic {
#ifndef SUSPEND_UNLOCKED
			seen = done;
#endif
			if
			:: seen == ALL -> to = ENDED /* it goes on, and completes */
			:: else -> to = WAITING; choose_want(seen)
			fi
		};
finish:
		if
		:: atomic { true -> write(to, to_want); owner = (to == LEASED -> me : NOBODY) }
		:: atomic { true -> owner = (from == LEASED -> me : NOBODY) } /* abort */
		fi;
		atomic { let_go(); at = 0; to = UNTOUCHED; to_want = 0; seen = 0; fresh[me] = false }
	od
}

proctype canceller(byte me)
{
	byte at, from = UNTOUCHED, to, to_want;

	if
	:: atomic { state != ENDED && holder == NOBODY -> read(); take(); to = ENDED };
		if
		:: atomic { true -> write(to, to_want); owner = NOBODY; let_go() }
		:: atomic { true -> let_go() } /* abort */
		fi
	:: true
	fi
}

active proctype monitor()
{
end:
	atomic { timeout -> assert(state == ENDED) }
}

init
{
	atomic {
#ifndef WORKER
		if
		:: can_run_out = true
		:: can_revive = true
		:: true
		fi;
#endif
		run session(0);
		run session(1);
#ifdef WORKER
		run worker(WORKS);
#endif
		run canceller(CANCELS)
	}
}
