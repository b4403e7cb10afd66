/*
 * cancel.pml
 *	  A cancellation reaches the running task, that task only, and ends.
 *
 * Modelled: a runner that takes two tasks in batches, and for each task a session that
 * cancels it, commits or aborts, or gives up waiting. A deleted entry is held
 * by its taker to the end of the transaction; a signal arrives any time
 * after it was sent.
 *
 *	  runner()      extension/run.c: run_next, run_task; extension/claim.c:
 *	                claim_take; shmem_being_cancelled; complete_give_back. It sleeps as
 *	                extension/executor.c does (wakeup.pml)
 *	  canceller()   extension/cancel.c: publishes StentProc.cancels, takes the
 *	                entry, or asks its runner (StentProc.interrupt_task, SIGINT)
 *	                and waits for that transaction
 *
 * Simplifications: handlers do nothing else; one runner; locks order memory.
 * Two kinds of handlers: those that end whenever they like, and stubborn ones, which
 * once they are being cancelled end only when interrupted.
 *
 * Checked: a task ends once; cancel returns true if and only if it has cancelled
 * it; only a task that somebody asked for is interrupted; nobody waits for
 * ever; every task ends, also one whose cancellation was undone.
 *
 * Each macro drops one rule, and the model must fail:
 *
 *	  NO_SKIP             a runner passes over a task that is being cancelled
 *	  NO_SECOND_LOOK      it looks for that again when its task_id is published
 *	  LATE_SIGNAL_COUNTS  a signal counts only for the task it was meant for
 *	  REQUEST_UNLOCKED    who asks makes sure, under the lock, that the task runs
 *	  ABORT_WAKES_NOBODY  a canceller that goes wakes the role
 *	  WAKE_TOO_EARLY      after it has withdrawn what it cancels
 *	  FINISHED_TAKEN      a canceller does not take what an open batch has finished
 */
#define TASKS 2
#define NONE  TASKS

mtype = { nobody, runner_, canceller_ }
mtype = { live, completed, cancelled }

mtype holder[TASKS] = nobody; /* who has deleted the entry, and not ended */
mtype ended[TASKS] = live;    /* as committed */
bool stubborn;

/* shared memory */
bool cancels[TASKS];
byte task_id = NONE; /* of the runner */
byte interrupt_task = NONE;
bool changed; /* board: something became claimable since the runner looked */

bool signalled;
bool waits[TASKS]; /* for the end of the runner's transaction */
bool asked[TASKS]; /* by its canceller */
bool over[TASKS];

inline end_transaction(state)
{
	t = 0;
	do
	:: t < TASKS ->
		if
		:: holder[t] == runner_ ->
			holder[t] = nobody;
			if
			:: (finished & (1 << t)) && state == completed -> assert(ended[t] == live); ended[t] = completed
			:: else -> back = true
			fi
		:: else
		fi;
		waits[t] = false;
		t++
	:: else -> t = 0; break
	od
}

active proctype runner()
{
	byte t;
	byte tried;    /* tasks of the batch: examined */
	byte finished; /* and completed */
	bool back;     /* something was put back */
	bool may_fail = true;

	do
	:: atomic { changed = false; tried = 0; finished = 0; back = false };
		do
		:: atomic { !(tried & 1) -> t = 0; tried = tried | 1 };
			goto examine
		:: atomic { !(tried & 2) -> t = 1; tried = tried | 2 };
examine:
			if
#ifndef NO_SKIP
			:: cancels[t] -> goto next
			:: !cancels[t]
#else
			:: true
#endif
			fi;
			if
			:: atomic { holder[t] == nobody && ended[t] == live -> holder[t] = runner_ }
			:: atomic { !(holder[t] == nobody && ended[t] == live) -> goto next }
			fi;
			task_id = t;
#ifndef NO_SECOND_LOOK
			if
			:: atomic { cancels[t] -> task_id = NONE; break } /* give it back, end the batch */
			:: !cancels[t]
			fi;
#endif
			/* the handler */
			do
			:: atomic { signalled ->
				signalled = false;
				if
#ifdef LATE_SIGNAL_COUNTS
				:: true ->
#else
				:: interrupt_task == task_id ->
#endif
					assert(asked[task_id]);
					task_id = NONE;
					goto end_batch
				:: interrupt_task != task_id
				fi
			   }
			:: atomic { !(stubborn && cancels[t]) -> task_id = NONE; finished = finished | (1 << t); break }
			od;
next:
			skip
		:: finished || tried == 3 -> break
		od;
end_batch:
		if
		:: atomic { end_transaction(completed) }
		:: atomic { may_fail && finished -> may_fail = false; end_transaction(live) }
		fi;
		/* the callback; what it gave back is announced like an insert */
		atomic { changed = changed || back || finished };
end:		changed
	od
}

proctype canceller(byte t)
{
	bool result, patient;

	if
	:: patient = true
	:: skip
	fi;
	cancels[t] = true;
	do
	:: atomic {
		if
		:: ended[t] == completed -> break
		:: ended[t] == live && holder[t] == nobody -> holder[t] = canceller_; result = true; break
#ifdef FINISHED_TAKEN
		:: holder[t] == runner_ && task_id != t -> result = true; break
#endif
		:: holder[t] == runner_ -> waits[t] = true
		fi
	   };
#ifdef REQUEST_UNLOCKED
		if
		:: task_id == t -> atomic { interrupt_task = t; asked[t] = true; signalled = true }
		:: task_id != t
		fi;
#else
		atomic { /* lock */
			if
			:: task_id == t -> interrupt_task = t; asked[t] = true; signalled = true
			:: else
			fi
		};
#endif
		if
		:: !waits[t]
		:: atomic { !patient -> waits[t] = false; break } /* gives up */
		fi
	od;
	if
	:: atomic { result -> /* commit */
		ended[t] = cancelled; holder[t] = (holder[t] == canceller_ -> nobody : holder[t]) }
	:: atomic { result -> holder[t] = nobody; result = false } /* abort */
	:: !result
	fi;
	/* the callback */
#ifdef WAKE_TOO_EARLY
	changed = true;
	cancels[t] = false;
#else
	cancels[t] = false;
#ifndef ABORT_WAKES_NOBODY
	changed = true;
#endif
#endif
	atomic { assert(result == (ended[t] == cancelled)); over[t] = true }
}

active proctype monitor()
{
end:
	atomic { timeout -> assert(over[0] && over[1] && ended[0] != live && ended[1] != live) }
}

init
{
	atomic {
		if
		:: stubborn = true
		:: skip
		fi;
		run canceller(0);
		run canceller(1)
	}
}

ltl cancellers_end { <> (over[0] && over[1]) }
