/*
 * notify.pml
 *	  A worker that waits for work is told of it by the scheduler.
 *
 * Modelled: two workers of one queue, and who commits a task to it; or, with QUEUES, one
 * worker of a queue and one who waits for any but has use for another queue's work only,
 * and who commits a task to each, one transaction each; and the scheduler of the
 * database, which may be killed once, with another one in its place, and may leave.
 * Every block marked "lock" is one critical section under stent_shared->lock.
 *
 *	  worker()      a client: LISTEN, worker_wait, claim, sleep (docs/waking-workers.md);
 *	                its mark is set by stent_worker_wait of extension/wake.c
 *	  tell()        wake_queue of extension/wake.c
 *	  committer()   the callback of extension/announce.c: tell_board, workers_look
 *	  scheduler()   extension/scheduler.c, with wake_tell, wake_again and
 *	                wake_before_leaving of extension/wake.c
 *
 * Simplifications: a claim takes what it sees in one step; one claim is undone, with the
 * connection of its worker, which does not come back; a notification reaches all who
 * listen at once; who was told to look by himself does so when there is something.
 *
 * Checked: nothing stops before all work is done. Nothing but notifications wakes a
 * worker that was told to wait for them, and the scheduler has no timer, so what was missed
 * stays undone.
 *
 * Each macro drops one rule, and the model must fail:
 *
 *	  LISTEN_LATE        a worker listens before it asks to be woken
 *	  CLAIM_FIRST        and asks before it claims
 *	  DISCARD_LATE       a notification that comes while it claims counts
 *	  TELL_EARLY         work is announced when it is visible
 *	  ABORT_SILENTLY     a claim that is undone announces what it gives back
 *	  MARKS_SHARED       a mark is one queue's: who takes it away tells that queue
 *	  ANY_IGNORED        work of each queue is told if somebody waits for any
 *	  RESET_LATE         the scheduler resets its latch before it looks what to tell
 *	  RESTART_SILENTLY   everybody is told when a scheduler comes, for the one before it
 *	                     may have taken a mark away and told nobody
 *	  LEAVE_SILENTLY     a scheduler that leaves tells those who wait
 *	  LEAVE_EARLY        after it has said that nobody is served any more
 */
#define A 1
#define B 2
#define ANY 4 /* as a mark: any queue; as a notification: everybody looks */
#define WORKERS 3

#ifdef QUEUES
#define ALL_WORK (A + B)
#else
#define ALL_WORK A
#endif

byte visible; /* work that is committed and not taken, by its queue */
byte done;

bool served;  /* shared memory: a scheduler is there, */
byte marks;   /* queues that are waited for, */
byte tells;   /* what the scheduler is to tell, */
bool latch;   /* its latch */

bool listens[WORKERS];
bool told[WORKERS];
byte waits[WORKERS];

bool may_abort = true, may_die = true;

/* Under the lock: work of the queue is there. */
inline tell(queue)
{
	if
#ifdef ANY_IGNORED
	:: marks & (queue) ->
#else
	:: marks & (queue | ANY) ->
#endif
#ifdef MARKS_SHARED
		marks = 0;
#else
		marks = marks & ~(queue | ANY);
#endif
		tells = tells | queue;
		latch = true
	:: else
	fi
}

/* NOTIFY: who listens gets it, and looks if it concerns him. */
inline notify(what)
{
	d_step {
		told[0] = told[0] || (listens[0] && (what & (waits[0] | ANY)));
		told[1] = told[1] || (listens[1] && (what & (waits[1] | ANY)));
		told[2] = told[2] || (listens[2] && what)
	}
}

proctype committer(byte queue)
{
#ifdef TELL_EARLY
	d_step { tell(queue) }; /* lock */
	visible = visible | queue
#else
	visible = visible | queue;
	d_step { tell(queue) } /* lock */
#endif
}

/* Take what is there; one claim may be undone. */
inline claim()
{
	mine = visible & serves;
	visible = visible & ~mine
}

proctype worker(byte me; byte serves)
{
	byte mine;
	bool long_wait;

look:
#ifdef CLAIM_FIRST
	atomic { claim(); done = done | mine };
#endif
	atomic { /* lock: stent_worker_wait */
		long_wait = served;
		marks = (served -> marks | waits[me] : marks)
	};
#ifdef LISTEN_LATE
	listens[me] = true;
#endif
#ifndef CLAIM_FIRST
	atomic {
		claim();
		if
		:: mine && me == 0 && may_abort -> may_abort = false; goto undone
		:: mine -> done = done | mine; mine = 0; told[me] = false; goto look
		:: !mine
		fi
	};
#endif
#ifdef DISCARD_LATE
	told[me] = false;
#endif
end:
	atomic {
		if
		:: told[me]
		:: !long_wait && (visible & serves) /* a second later */
		fi;
		told[me] = false;
		goto look
	};
undone:
	atomic { visible = visible | mine; mine = 0; listens[me] = false };
#ifndef ABORT_SILENTLY
	d_step { tell(A) } /* lock */
#endif
}

active proctype scheduler()
{
	byte mine;
	bool leaves;

	if
	:: leaves = true
	:: true
	fi;
start:
	atomic { /* lock: wake_again */
		served = true;
#ifndef RESTART_SILENTLY
		marks = 0;
		tells = ANY
#endif
	};
loop:
#ifndef RESET_LATE
	latch = false;
#endif
	atomic { mine = tells; tells = 0 }; /* lock: take */
	if
	:: may_die -> may_die = false; mine = 0; goto start
	:: true
	fi;
	notify(mine);
	mine = 0;
#ifdef RESET_LATE
	latch = false;
#endif
end:
	if
	:: latch -> goto loop
	:: leaves
	fi;

leave:
#ifdef LEAVE_EARLY
	notify(ANY);
	d_step { served = false; marks = 0; tells = 0 } /* lock */
#else
	served = false; /* lock */
#ifndef LEAVE_SILENTLY
	d_step { marks = 0; tells = 0 }; /* lock: wake_everybody, take */
	notify(ANY)
#endif
#endif
}

active proctype monitor()
{
end:
	atomic { timeout -> assert(done == ALL_WORK) } /* nobody can do anything any more */
}

init
{
	atomic {
#ifndef LISTEN_LATE
		listens[0] = true;
		listens[1] = true;
		listens[2] = true;
#endif
		waits[0] = A;
		waits[1] = A;
		waits[2] = ANY;
		run worker(0, A);
		run committer(A);
#ifdef QUEUES
		may_abort = false;
		run worker(2, B);
		run committer(B)
#else
		run worker(1, A)
#endif
	}
}
