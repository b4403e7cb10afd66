/*
 * stranger.pml
 *	  Who waits for what does not know it is woken: no signal, and no end of a task of
 *	  others, is missed.
 *
 * Modelled: an execution that takes a signal, and then a newer one; two senders, of whom
 * the first sends twice; two sessions that run the execution and act on nudges; a wait may
 * run out. With FOREIGN it waits for one task that is no child of it, which a sender ends. A
 * dirty look sees what is written and not yet committed, everything else when its
 * transaction commits. Any transaction may abort.
 *
 *	  sender()   put, waiting_tell_signal in extension/signal.c; waiting_tell when a task ends
 *	  run        extension/run.c; await_signal, signal_read; settle_suspended, waiting_begin
 *	  look       waiting_nudged, decide, signal_may_be_newer, look_at_row
 *	  run_out    waiting_ran_out, waiting_over
 *
 * Simplifications: a transaction has one of these; a nudge that is dropped is so at one
 * step, wake.pml has those in detail; a signal's value is the number of the send; who
 * left a nudge lying comes back to it.
 *
 * Checked: no wait takes what another has had, and what one takes is the latest; when nobody
 * has anything left to do, the execution has ended, or waits and has had the latest.
 *
 * Each macro drops one rule, and the model must fail:
 *
 *	  LOOK_FIRST        the waiting one writes its row, then looks,
 *	  LOOK_CLEAN        also at what is not committed,
 *	  LOOK_OPEN         or was after its snapshot,
 *	  LOOK_SILENTLY     and leaves itself a nudge
 *	  SEND_LOOKS_FIRST  so does who sends or ends: it writes that, then looks for rows,
 *	  SEND_CLEAN        also for those that are not committed,
 *	  SEND_SKIPS        or are being deleted
 *	  SEND_SILENTLY     and leaves nudges
 *	  DROP_OPEN         a nudge stays while what the execution waits for is being written,
 *	  DECIDE_OLD        or has been since the snapshot that decides
 *	  DROP_HELD         and while somebody has the execution
 *	  NUMBER_EARLY      numbers are drawn where the signal is locked
 *	  SAME_AGAIN        a second wait is for a higher number
 *	  VALUE_EARLY       the value is read when the handler takes it
 */
#define NOBODY   9
#define READY    0
#define WAITING  1
#define ENDED    2

#ifdef FOREIGN
#define WAITS 1
#else
#define WAITS 2
#endif
#define SELF 8 /* the nudge the execution leaves for itself; those of sends are 1, 2, 4 */

/* as committed */
byte state = READY;
byte waits;     /* that are over */
byte after;     /* number that was taken last, */
byte had = 255; /* and its value */
byte number;    /* of the signal, */
byte value = 255;
bool row;       /* in stent.waiter */
byte nudges;
#ifdef VALUE_EARLY
byte early;
#endif

/* by transactions that are open */
byte holder = NOBODY; /* of the execution's entry */
byte writer = NOBODY; /* of the signal's row */
bool row_new;
bool row_deleted;

byte numbers; /* drawn */
byte sends;   /* begun */
bool can_run_out;

#define NEWER (number > had_number)

proctype sender(byte me; byte times)
{
	byte mine, my_value, nudge;

	do
	:: times > 0 ->
		atomic { my_value = sends; sends++; times-- };
#ifdef NUMBER_EARLY
		atomic { numbers++; mine = numbers };
#endif
#ifdef SEND_LOOKS_FIRST
		atomic { nudge = (row || row_new -> 1 << my_value : 0) };
#endif
		/* who sends at the same time is waited for */
		atomic { writer == NOBODY ->
			writer = me;
#ifndef NUMBER_EARLY
			numbers++;
			mine = numbers
#endif
		};
#ifndef SEND_LOOKS_FIRST
		atomic {
#ifdef SEND_CLEAN
			nudge = (row -> 1 << my_value : 0)
#elif defined(SEND_SKIPS)
			nudge = (row && !row_deleted || row_new -> 1 << my_value : 0)
#elif defined(SEND_SILENTLY)
			nudge = 0
#else
			nudge = (row || row_new -> 1 << my_value : 0)
#endif
		};
#endif
		if
		:: atomic { true -> /* commit */
			number = mine;
			value = my_value;
			nudges = nudges | nudge;
			writer = NOBODY;
			mine = 0; my_value = 0; nudge = 0 }
#ifdef FOREIGN
			break
#endif
		:: atomic { true -> writer = NOBODY; mine = 0; my_value = 0; nudge = 0 } /* abort */
		fi
	:: else -> break
	od
}

proctype session(byte me)
{
	byte n, to, seen, seen_value, had_number, had_value, had_waits;
	bool self;

end:
	do
	/* run the execution */
	:: atomic { state == READY && holder == NOBODY ->
		holder = me;
		had_number = after;
		had_value = had;
		had_waits = waits
	   };
wait:
		atomic {
			seen = number;
			seen_value = value;
#ifdef VALUE_EARLY
			seen_value = (early && had_waits == 0 -> early - 1 : value);
#endif
			if
#ifdef SAME_AGAIN
			:: seen > 0 ->
#else
			:: seen > had_number ->
#endif
				assert(seen_value != had_value);
				assert(seen_value == value);
				had_number = seen;
				had_value = seen_value;
				had_waits++;
				if
				:: had_waits == WAITS -> to = ENDED; goto finish
				:: else -> goto wait
				fi
			:: else -> to = WAITING
			fi
		};
#ifdef LOOK_FIRST
		atomic { self = (writer != NOBODY || NEWER) };
#endif
		atomic { row_new = true };
#ifndef LOOK_FIRST
		atomic {
#ifdef LOOK_CLEAN
			self = NEWER
#elif defined(LOOK_OPEN)
			self = (writer != NOBODY)
#elif defined(LOOK_SILENTLY)
			self = false
#else
			self = (writer != NOBODY || NEWER)
#endif
		};
#endif
		goto finish

	/* a wait runs out */
	:: atomic { state == WAITING && holder == NOBODY && can_run_out ->
		can_run_out = false;
		holder = me;
		had_number = after; had_value = had; had_waits = waits;
		row_deleted = true;
		to = READY
	   };
		goto finish

	/* a nudge */
	:: atomic { nudges ->
		if
		:: nudges & 1 -> n = 1
		:: nudges & 2 -> n = 2
		:: nudges & 4 -> n = 4
		:: nudges & SELF -> n = SELF
		fi;
		if
		:: state == WAITING && holder == NOBODY ->
			holder = me;
			had_number = after; had_value = had; had_waits = waits
#ifdef DROP_HELD
		:: state != WAITING || holder != NOBODY -> nudges = nudges & ~n; n = 0; goto end
#else
		:: state != WAITING && holder == NOBODY -> nudges = nudges & ~n; n = 0; goto end
		:: holder != NOBODY && state != ENDED -> n = 0; goto end
#endif
		fi
	   };
		atomic {
			seen = number;
#ifdef VALUE_EARLY
			early = value + 1;
#endif
			to = (seen > had_number -> READY : WAITING)
		};
		atomic {
			if
			:: to == READY -> row_deleted = true
#ifndef DROP_OPEN
			:: to == WAITING && writer != NOBODY -> n = 0 /* it stays */
#endif
#ifndef DECIDE_OLD
			:: to == WAITING && NEWER -> n = 0
#endif
			:: else
			fi
		};
finish:
		if
		:: atomic { true -> /* commit */
			state = to;
			after = had_number; had = had_value; waits = had_waits;
			row = (row && !row_deleted || row_new);
			nudges = (nudges & ~n | (self -> SELF : 0)) }
		:: atomic { true -> skip } /* abort */
		fi;
		atomic {
			row_new = false; row_deleted = false;
			holder = NOBODY;
			n = 0; to = 0; seen = 0; seen_value = 0; had_number = 0; had_value = 0; had_waits = 0;
			self = false
		}
	od
}

active proctype monitor()
{
end:
	atomic { timeout -> assert(state == ENDED || state == WAITING && had == value) }
}

init
{
	atomic {
		if
		:: can_run_out = true
		:: can_run_out = false
		fi;
#ifdef FOREIGN
		run sender(0, 2);
#else
		run sender(0, 2);
		run sender(1, 1);
#endif
		run session(2);
		run session(3)
	}
}
