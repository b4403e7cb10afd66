/*
 * heads.pml
 *	  Heads lose nothing: no claimable entry lies below the head of its bucket.
 *
 * Modelled: one bucket with its head, epoch and low[]; entries under MVCC, where
 * what a transaction inserts or deletes counts from its end, and its callback
 * runs only some time after that; claimers that look, take a snapshot, walk, raise as
 * often as they like and stop when they like; inserters whose positions were
 * drawn before others committed and used up theirs.
 *
 *	  look()    board_look        extension/board.c, under the lock
 *	  raise()   board_raise
 *	  lower()   board_lower, called by the transaction callbacks of
 *	            extension/announce.c: xact_ended, subxact_aborted
 *	  claimer   claim_begin, claim_peek, claim_take, claim_skip
 *	            extension/claim.c
 *
 * Simplifications: inserted entries are in the table from the start, invisible,
 * and an insert that aborts is one that never commits; subtransactions
 * are transactions; prepared transactions, which reach no callback, are left to
 * DatabaseSlot.prepared; an entry once deleted is passed over whether or not the
 * snapshot shows that, so snapshots hold inserts only; what a handler dispatches
 * is inserted by somebody else; epochs do not wrap; locks order memory. The second
 * claimer looks after the first has, for they are alike.
 *
 * Each macro drops one rule, and the model must fail:
 *
 *	  LOWER_BEFORE_VISIBLE   the callback runs when the rows are visible
 *	  LOOK_AFTER_SNAPSHOT    a claimer looks before it takes its snapshot
 *	  RAISE_IGNORES_LOW      a raise stops at what was lowered since the look
 *	  RAISE_PAST_SKIPPED     nor does it pass an entry that nobody has taken
 *	  ABORT_TELLS_NOBODY     an abort lowers the head to what it had taken
 *	  RING_OVERFLOWS         a look that is EPOCHS looks old raises nothing
 *
 * HEAD_STAYS drops none: it claims that no head rises over an entry that
 * is yet to be committed, and must fail, or the rest says little.
 */
/* -DSMALL: fewer entries, more batches; all of both are too many states */
#ifdef SMALL
#define ENTRIES 2
#define FIRST   2 /* batches of the first claimer */
#define SECOND  2
#else
#define ENTRIES 3
#define FIRST   1
#define SECOND  1
#endif
#define END     ENTRIES /* head of a bucket in which nothing is claimable */
#define EPOCHS  2       /* of the ring */
#define RAISES  1       /* of a batch, at any time */

/* sets of entries */
#define AT(position)    (1 << (position))
#define BELOW(position) (AT(position) - 1)

byte visible = AT(1); /* inserted and committed */
byte told = AT(1);    /* and the callback has run */
byte taken[2];        /* deleted by a claimer that has not ended */
byte undone[2];       /* taken, and put back by an abort whose callback has not run */
byte gone;            /* deleted and committed */

/* the bucket on the board */
byte head;
byte epoch;
byte low[EPOCHS] = END;

#define CLAIMABLE (visible & ~(taken[0] | taken[1] | gone))
#define LOST      (CLAIMABLE & told & ~(undone[0] | undone[1]) & BELOW(head))

inline lower(position)
{
	if
	:: position < low[epoch % EPOCHS] -> low[epoch % EPOCHS] = position
	:: else
	fi;
	if
	:: position < head -> head = position
	:: else
	fi
}

inline look()
{
	epoch++;
	low[epoch % EPOCHS] = END;
	my_epoch = epoch;
	at = head;
	to = head;
	lowest = END;
	raises = RAISES
}

/* Everything below to was examined, and is somebody's or was not visible. */
inline raise()
{
	raises--;
	x = to;
#ifndef RAISE_IGNORES_LOW
	e = my_epoch;
	do
	:: e <= epoch ->
		if
		:: low[e % EPOCHS] < x -> x = low[e % EPOCHS]
		:: else
		fi;
		e++
	:: else -> break
	od;
#endif
	if
#ifdef RING_OVERFLOWS
	:: x > head -> head = x
#else
	:: x > head && epoch - my_epoch < EPOCHS -> head = x
#endif
	:: else
	fi;
	x = 0;
	e = 0
}

/* Its entries are in the table; it commits when it likes. */
proctype inserter(byte entries; byte lowest)
{
#ifdef LOWER_BEFORE_VISIBLE
	atomic { lower(lowest) };
	atomic { visible = visible | entries; told = told | entries }
#else
	visible = visible | entries;
	atomic { lower(lowest); told = told | entries }
#endif
}

proctype claimer(byte me)
{
	byte batch, snapshot, my_epoch;
	byte at;     /* the next entry to examine */
	byte to;     /* how far it may raise the head */
	byte lowest; /* taken */
	byte raises;
	byte x, e;

	me == 0 || epoch > 0;
	do
	:: batch < (me == 0 -> FIRST : SECOND) ->
#ifdef LOOK_AFTER_SNAPSHOT
		snapshot = visible;
		atomic { look() };
#else
		atomic { look() };
		snapshot = visible;
#endif
		do
		:: atomic { to > head && raises -> raise() }
		:: at < END ->
			atomic {
				if
				:: !(snapshot & CLAIMABLE & AT(at)) -> /* not visible, or passed over: somebody's */
					to = (to == at -> at + 1 : to)
				:: snapshot & CLAIMABLE & AT(at) ->
					taken[me] = taken[me] | AT(at);
					lowest = (at < lowest -> at : lowest);
					to = (to == at -> at + 1 : to)
				:: snapshot & CLAIMABLE & AT(at) -> /* left to others: it must run alone */
#ifdef RAISE_PAST_SKIPPED
					to = (to == at -> at + 1 : to);
#endif
					skip
				fi;
				at++
			}
		:: atomic { gone = gone | taken[me]; taken[me] = 0; break } /* commit */
		:: atomic { undone[me] = taken[me]; taken[me] = 0; break } /* abort */
		od;
		/* the transaction is over, its callback has not run */
		if
		:: atomic { to > head && raises -> raise() }
		:: true
		fi;
		atomic {
#ifndef ABORT_TELLS_NOBODY
			if
			:: undone[me] -> lower(lowest)
			:: else
			fi;
#endif
			undone[me] = 0;
			batch++;
			snapshot = 0; my_epoch = 0; at = 0; to = 0; lowest = 0; raises = 0
		}
	:: else -> break
	od
}

/* Moves only when something went wrong, so it watches every state. */
active proctype monitor()
{
end:
	if
	:: atomic { LOST -> assert(false) }
#ifdef HEAD_STAYS
	:: atomic { head == END && !(visible & AT(0)) -> assert(false) }
#endif
	fi
}

init
{
	atomic {
		run inserter(AT(0), 0); /* drew its position first */
#if ENTRIES > 2
		run inserter(AT(2), 2);
#endif
		run claimer(0);
		run claimer(1)
	}
}
