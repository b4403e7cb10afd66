/*
 * lease.pml
 *	  A task is done once, whoever claimed it, hung, died or came back too late.
 *
 * Modelled: two tasks, two sessions of workers that claim them, complete, fail, release and
 * heartbeat, and take over what has expired, and one session that cancels. A session uses
 * any token that was ever given out, at any time: its own, that of a worker that goes on
 * though it lost its lease, and never again that of one that was killed. Any transaction
 * may abort instead of committing. A step of a transaction is atomic; others see what it
 * did when it commits.
 *
 *	  claim      takes ready entries, writes the lease, leaves the task row alone
 *	  a write    (complete, fail, release) reads lease and task row in one snapshot, then
 *	             writes that version of the row without waiting, then the lease row: a release
 *	             waits for it, others drop it if it is free and holds nothing any more
 *	  heartbeat  locks the lease row, then looks; splits it if a part is named
 *	  takeover   acts on the due entry of a lease: locks the lease row without waiting, then
 *	             looks, writes the rows of members still at their mark, makes them ready
 *	  cancel     takes the ready entry, if there is one, and deletes the row
 *
 * Simplifications: a task has two attempts; what is retried is ready at once; a mark is the
 * attempt; finding an entry and taking it is one step, for whoever makes a task ready or
 * ends it writes that entry; a heartbeat names tasks of one row of its lease; the clock
 * passes the end of a lease whenever it likes.
 *
 * Checked: a token writes only what it holds, so that a task ends once; each task is over,
 * or has one ready entry, or is a member, at its mark, of one lease row with a due entry,
 * so that none is lost and none claimed twice; nobody takes over a task that was renewed,
 * no heartbeat keeps a task it does not name; nobody waits for ever.
 *
 * Each macro drops one rule, and the model must fail:
 *
 *	  NO_FENCE              who writes with a token looks for the task in its lease
 *	  NO_MARK               with the mark of the row as it is now
 *	  TWO_SNAPSHOTS         lease and row are read in one snapshot
 *	  NO_VERSION            the version that was read is the one that is written
 *	  FAIL_KEEPS_MARK       a retry changes the mark
 *	  RELEASE_KEEPS_MEMBER  a release, which does not, takes the member out of the lease,
 *	  RELEASE_LOOKS_ONCE    from where it is once the row is its own
 *	  RELEASE_LEAVES_ROW    and writes the row
 *	  TAKE_LEAVES_ROW       so does a takeover
 *	  TAKE_NO_MARK          which also compares marks
 *	  TAKE_FORGETS          and keeps members that somebody is at,
 *	  TAKE_DROPS_DUE        and the due entry of a lease row that somebody is at,
 *	  TAKE_LOOKS_FIRST      and reads the lease row when it has locked it
 *	  TAKE_EARLY            and leaves a lease that was renewed
 *	  RENEW_ALL             a heartbeat of a part leaves the rest in a row of its own
 *	  SPLIT_NO_DUE          each part has a due entry
 *	  HEARTBEAT_LOOKS_FIRST a heartbeat looks when it has locked the lease row
 *	  TIDY_EARLY            a lease row goes when none of its members is held by it
 *
 * NEVER_REFUSED drops none: it claims that no token is ever too late, and must fail, or the
 * rest says little.
 */
#define ALL      3 /* tasks, as a set */
#define TOKENS   2
#define ROWS     4 /* lease rows: two parts a token */
#define SESSIONS 2
#define NOBODY   TOKENS

#define AT(x) (1 << (x))

/* as committed */
byte live = ALL;    /* task rows */
byte attempt;       /* the second, of which */
byte ready = ALL;   /* ready entries */
byte members[ROWS]; /* row 2 * token + part */
byte marks[TOKENS]; /* attempts when it was claimed */
byte due;           /* rows with a due entry */
byte late;          /* rows whose time is over */
byte tokens;        /* given out */

/* by transactions that are open */
byte taken;   /* ready entries */
byte written; /* task rows */
byte locked;  /* lease rows */

/* the row versions of a session's snapshot that are still the newest */
byte fresh[SESSIONS];

/* what is true, for the checks */
byte holder[2] = NOBODY; /* token */
byte overdue;            /* tasks not renewed in time */

#define SAME(token) (~(marks[token] ^ attempt))
#define HELD(row)   (members[row] & live & SAME((row) / 2))

/* Whether its time is over does not matter to a lease that holds nothing. */
inline settle()
{
	late = late & ~((!HELD(0)) | (!HELD(1)) << 1 | (!HELD(2)) << 2 | (!HELD(3)) << 3)
}

/* New versions of these rows. */
inline write_rows(rows)
{
	fresh[0] = fresh[0] & ~(rows);
	fresh[1] = fresh[1] & ~(rows)
}

/* Nobody holds these, whom token did. */
inline end_hold(rows, token)
{
	assert(!(rows & 1) || holder[0] == token);
	assert(!(rows & 2) || holder[1] == token);
	holder[0] = (rows & 1 -> NOBODY : holder[0]);
	holder[1] = (rows & 2 -> NOBODY : holder[1]);
	overdue = overdue & ~(rows)
}

inline make_ready(rows)
{
	assert(!(ready & (rows)));
	ready = ready | (rows)
}

inline set_members(row, rows)
{
	members[row] = rows;
	due = (members[row] -> due : due & ~AT(row));
	late = (members[row] -> late : late & ~AT(row))
}

inline forget()
{
	written = written & ~got;
	locked = locked & ~locks;
	fresh[me] = 0;
	settle();
	t = 0; row = 0; set = 0; got = 0; locks = 0; releases = false
}

/* Writes the row that was read, if it is still the newest and nobody is at it. */
inline try_row(k)
{
	atomic {
#ifdef TAKE_WAITS
		!(locks && (set & written & AT(k)));
#endif
		if
#ifdef NO_VERSION
		:: (set & AT(k)) && (live & AT(k)) && !(written & AT(k)) ->
#else
		:: (set & AT(k)) && (fresh[me] & AT(k)) && !(written & AT(k)) ->
#endif
			written = written | AT(k);
			got = got | AT(k)
		:: else
		fi
	}
}

inline choose_part(rows)
{
	if
	:: (rows) & 1 -> set = 1
	:: (rows) & 2 -> set = 2
	:: (rows) == ALL -> set = ALL
	fi
}

proctype session(byte me)
{
	byte t, row, set, got, locks;
	bool releases;

end:
	do
	/* claim */
	:: atomic { tokens < TOKENS && (ready & ~taken) ->
		choose_part(ready & ~taken);
		taken = taken | set
	   };
		if
		:: atomic { tokens < TOKENS ->
			taken = taken & ~set;
			ready = ready & ~set;
			members[2 * tokens] = set;
			marks[tokens] = attempt & set;
			due = due | AT(2 * tokens);
			assert(!(set & 1) || holder[0] == NOBODY);
			assert(!(set & 2) || holder[1] == NOBODY);
			holder[0] = (set & 1 -> tokens : holder[0]);
			holder[1] = (set & 2 -> tokens : holder[1]);
			tokens++;
			set = 0 }
		:: atomic { true -> taken = taken & ~set; set = 0 } /* abort */
		fi

	/* complete, fail, release */
	:: atomic { tokens > 0 && live ->
		if
		:: t = 0
		:: tokens > 1 -> t = 1
		fi;
		choose_part(live);
		/* the snapshot */
#ifndef NO_FENCE
		set = set & (members[2 * t] | members[2 * t + 1]);
#endif
#ifndef TWO_SNAPSHOTS
#ifndef NO_MARK
		set = set & SAME(t);
#endif
		fresh[me] = set;
#endif
#ifdef RELEASE_LOOKS_ONCE
		row = (set & members[2 * t] -> 2 * t : 2 * t + 1);
#endif
#ifdef NEVER_REFUSED
		assert(set);
#endif
		if
		:: !set -> forget(); goto end
		:: else
		fi
	   };
#ifdef TWO_SNAPSHOTS
		atomic { set = set & live & SAME(t); fresh[me] = set };
#endif
		try_row(0);
		try_row(1);
		atomic {
			set = 0;
			if
			:: !got -> forget(); goto end
			:: else
			fi
		};
		if
		:: releases = true
		:: skip
		fi;
		/* the lease rows: to take members out of them, or to tidy up if they are free */
		if
#ifdef RELEASE_LOOKS_ONCE
		:: atomic { releases && !(locked & AT(row)) -> locks = AT(row); locked = locked | locks }
#else
		:: atomic { releases && (!(members[2 * t] & got) || !(locked & AT(2 * t))) ->
			locks = (members[2 * t] & got -> AT(2 * t) : 0);
			locked = locked | locks };
			atomic { !(members[2 * t + 1] & got) || !(locked & AT(2 * t + 1)) ->
				locks = (members[2 * t + 1] & got -> locks | AT(2 * t + 1) : locks);
				locked = locked | locks }
#endif
		:: atomic { !releases ->
			locks = (AT(2 * t) | AT(2 * t + 1)) & ~locked;
			locked = locked | locks }
		fi;
		if
		:: atomic { true ->
			end_hold(got, t);
			if
			:: !releases -> live = live & ~got /* completed */
			:: !releases -> /* failed */
				live = live & ~(got & attempt);
				make_ready(got & ~attempt);
#ifndef FAIL_KEEPS_MARK
				attempt = attempt | got
#endif
			:: releases -> make_ready(got)
			fi;
#ifdef RELEASE_LEAVES_ROW
			if
			:: !releases -> write_rows(got)
			:: else
			fi;
#else
			write_rows(got);
#endif
			row = 2 * t;
			do
			:: row < 2 * t + 2 ->
				if
#ifndef RELEASE_KEEPS_MEMBER
				:: releases && (locks & AT(row)) -> set_members(row, members[row] & ~got)
#endif
#ifdef TIDY_EARLY
				:: !releases && (locks & AT(row)) -> set_members(row, 0)
#else
				:: !releases && (locks & AT(row)) && !HELD(row) -> set_members(row, 0)
#endif
				:: else
				fi;
				row++
			:: else -> break
			od;
			forget() }
		:: atomic { true -> forget() } /* abort */
		fi

	/* heartbeat */
	:: atomic {
		if
		:: HELD(0) -> row = 0
		:: HELD(1) -> row = 1
		:: HELD(2) -> row = 2
		:: HELD(3) -> row = 3
		fi;
		choose_part(HELD(row));
#ifdef HEARTBEAT_LOOKS_FIRST
	   };
		atomic { !(locked & AT(row)) ->
			locks = AT(row);
			locked = locked | locks };
#else
		if
		:: locked & AT(row) -> forget(); goto end /* waits */
		:: else -> locks = AT(row); locked = locked | locks
		fi
	   };
#endif
		if
		:: atomic { true ->
			overdue = overdue & ~(set & HELD(row)); /* not one that was ended and claimed again */
#ifdef RENEW_ALL
			late = late & ~AT(row);
#else
			if
			:: members[row] & ~set ->
				assert(!members[row | 1]);
				members[row | 1] = set;
				set_members(row, members[row] & ~set);
#ifndef SPLIT_NO_DUE
				due = due | AT(row | 1)
#endif
			:: else -> late = late & ~AT(row)
			fi;
#endif
			forget() }
		:: atomic { true -> forget() } /* abort */
		fi

	/* takeover */
	:: atomic {
		if
		:: due & AT(0) -> row = 0
		:: due & AT(1) -> row = 1
		:: due & AT(2) -> row = 2
		:: due & AT(3) -> row = 3
		fi;
		if
		:: locked & AT(row) -> /* left for later */
#ifdef TAKE_DROPS_DUE
			due = due & ~AT(row);
#endif
			forget();
			goto end
		:: else
		fi;
#ifndef TAKE_LOOKS_FIRST
		locks = AT(row);
		locked = locked | locks;
#endif
#ifndef TAKE_EARLY
		if
		:: !(late & AT(row)) && HELD(row) -> /* the due entry moves to the end of the lease */
			assert(!(HELD(row) & overdue));
			forget();
			goto end
		:: else
		fi;
#endif
#ifdef TAKE_NO_MARK
		set = members[row] & live;
#else
		set = HELD(row);
#endif
		fresh[me] = set
	   };
#ifdef TAKE_LOOKS_FIRST
		atomic { !(locked & AT(row)) -> locks = AT(row); locked = locked | locks };
#endif
		try_row(0);
		try_row(1);
		if
		:: atomic { true ->
			assert(!(got & ~overdue));
			end_hold(got, row / 2);
			make_ready(got);
#ifndef TAKE_LEAVES_ROW
			write_rows(got);
#endif
#ifdef TAKE_FORGETS
			set_members(row, 0);
#else
			set_members(row, set & ~got);
#endif
			forget() }
		:: atomic { true -> forget() } /* abort */
		fi
	od
}

proctype canceller()
{
	byte set;

end:
	do
	:: atomic {
		if
		:: live & 1 & ~written & ~(ready & taken) -> set = 1
		:: live & 2 & ~written & ~(ready & taken) -> set = 2
		fi;
		written = written | set;
		taken = taken | (set & ready)
	   };
		if
		:: atomic { true ->
			live = live & ~set;
			taken = taken & ~(set & ready);
			ready = ready & ~set;
			holder[0] = (set & 1 -> NOBODY : holder[0]);
			holder[1] = (set & 2 -> NOBODY : holder[1]);
			overdue = overdue & ~set;
			write_rows(set);
			written = written & ~set;
			settle();
			set = 0 }
		:: atomic { true -> taken = taken & ~(set & ready); written = written & ~set; set = 0 } /* abort */
		fi
	od
}

/* Time passes the end of a lease. */
active proctype clock()
{
	byte row;

end:
	do
	:: atomic {
		if
		:: HELD(0) && !(late & AT(0)) -> row = 0
		:: HELD(1) && !(late & AT(1)) -> row = 1
		:: HELD(2) && !(late & AT(2)) -> row = 2
		:: HELD(3) && !(late & AT(3)) -> row = 3
		fi;
		late = late | AT(row);
		overdue = overdue | HELD(row);
		row = 0
	   }
	od
}

#define IN(row, k) ((HELD(row) >> (k)) & 1)
#define PLACES(k)  (((ready >> (k)) & 1) + IN(0, k) + IN(1, k) + IN(2, k) + IN(3, k))

/* Moves only when something went wrong, so it watches every state. */
active proctype monitor()
{
	bool one_place = true, has_due = true;

end:
	if
	:: atomic { PLACES(0) != (live & 1) || PLACES(1) != live >> 1 -> one_place = false; assert(one_place) }
	:: atomic { HELD(0) && !(due & 1) || HELD(1) && !(due & 2) || HELD(2) && !(due & 4) || HELD(3) && !(due & 8) ->
		has_due = false; assert(has_due) }
	fi
}

init
{
	atomic {
		run session(0);
		run session(1);
		run canceller()
	}
}
