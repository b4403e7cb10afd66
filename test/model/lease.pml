/*
 * lease.pml
 *	  A task is done once, whoever claimed it, hung, died or came back too late.
 *
 * Modelled: two tasks, two sessions of workers that claim them, complete, fail, release and
 * heartbeat, and take over what has expired, and one session that cancels. A session uses
 * any token that was ever given out, at any time: its own, that of a worker that goes on
 * though it lost its lease, and never again that of one that was killed. Any transaction
 * may abort instead of committing. A step of a transaction is atomic; others see what it
 * did when it commits. Nobody waits: who finds a row changed or taken does without.
 *
 *	  claim        extension/lease_claim.c: takes ready entries, writes the lease and its
 *	               due entry, leaves the task rows alone
 *	  write        complete_one, fail_one, release_one of extension/lease_end.c: the snapshot
 *	               (lease_find_task), the lease row of what is released (lease_call_lock),
 *	               the task rows (lease_delete_task, lease_lock_task)
 *	  heartbeat    renew_row of extension/lease_renew.c
 *	  takeover     lease_due, expire_row, lose_member there
 *	  canceller()  lease_try_end; and the ready entry, if there is one
 *
 * Simplifications: a task has two attempts; what is retried is ready at once; a mark is the
 * attempt; finding an entry and taking it is one step, for whoever makes a task ready or
 * ends it writes that entry; a heartbeat names tasks of one row of its lease; the clock
 * passes the end of a lease whenever it likes; a lease row that holds nothing goes at once,
 * and the due entry with the last one, which the code leaves to whoever sees it.
 *
 * Checked: a token writes only what it holds, so that a task ends once; each task is over,
 * or has one ready entry, or is a member, at its mark, of one lease row, whose token has a
 * due entry, so that none is lost and none claimed twice; nobody takes over a task that was
 * renewed, no heartbeat keeps a task it does not name.
 *
 * Each macro drops one rule, and the model must fail:
 *
 *	  NO_FENCE              who writes with a token looks for the task in its lease,
 *	  NO_MARK               at the mark the row has,
 *	  TWO_SNAPSHOTS         with one snapshot,
 *	  NO_VERSION            and writes that version of the row
 *	  FAIL_KEEPS_MARK       a retry changes the mark
 *	  RELEASE_KEEPS_MEMBER  a release, which does not, takes the member out of the lease row,
 *	  RELEASE_STALE         which is as it was read,
 *	  RELEASE_LEAVES_ROW    and writes the task's row
 *	  TAKE_LEAVES_ROW       so does a takeover,
 *	  TAKE_NO_MARK          which compares marks, too,
 *	  TAKE_STALE            and leaves a lease row that is not as it was read,
 *	  TAKE_EARLY            one that was renewed,
 *	  TAKE_FORGETS          members that somebody is at,
 *	  TAKE_DROPS_DUE        and the due entry of what it leaves
 *	  RENEW_ALL             a heartbeat of a part leaves the rest in another row
 *	  HEARTBEAT_STALE       it writes a lease row only if it is as it was read
 *	  TIDY_EARLY            a lease row goes when none of its members is held by it,
 *	  TIDY_DUE              and the due entry with the last one
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
byte due;           /* tokens with a due entry */
byte late;          /* lease rows whose time is over */
byte tokens;        /* given out */

/* by transactions that are open */
byte taken;     /* ready entries */
byte written;   /* task rows */
byte locked;    /* lease rows */
byte due_taken; /* due entries */

/* which versions of a session's snapshot are still the newest: task rows, lease rows */
byte fresh[SESSIONS];
byte current[SESSIONS];

/* what is true, for the checks */
byte holder[2] = NOBODY; /* token */
byte overdue;            /* tasks not renewed in time */

#define SAME(token) (~(marks[token] ^ attempt))
#define HELD(row)   (members[row] & live & SAME((row) / 2))
#define BOOK(token) ((members[2 * (token)] != 0 -> AT(2 * (token)) : 0) | (members[2 * (token) + 1] != 0 -> AT(2 * (token) + 1) : 0))

/* New versions of these rows. */
inline write_rows(rows)
{
	fresh[0] = fresh[0] & ~(rows);
	fresh[1] = fresh[1] & ~(rows)
}

inline write_leases(rows)
{
	current[0] = current[0] & ~(rows);
	current[1] = current[1] & ~(rows)
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

/* A lease row that holds nothing goes, and the due entry of a token without rows. */
inline sweep_row(r)
{
	if
	:: members[r] && !HELD(r) -> members[r] = 0; late = late & ~AT(r); write_leases(AT(r))
	:: else
	fi
}

inline sweep()
{
	sweep_row(0);
	sweep_row(1);
	sweep_row(2);
	sweep_row(3);
	due = (BOOK(0) -> due : due & ~1);
	due = (BOOK(1) -> due : due & ~2)
}

/* The transaction is over. */
inline forget()
{
	written = written & ~got;
	locked = locked & ~locks;
	due_taken = (takes_due -> due_taken & ~AT(t) : due_taken);
	sweep();
	fresh[me] = 0; current[me] = 0;
	t = 0; row = 0; set = 0; got = 0; busy = 0; book = 0; locks = 0;
	releases = false; takes_due = false; left = false
}

/* Writes the row that was read, if it is still the newest and nobody is at it. */
inline try_row(k)
{
	if
#ifdef NO_VERSION
	:: (set & AT(k)) && (live & AT(k)) && !(written & AT(k)) ->
#else
	:: (set & AT(k)) && (fresh[me] & AT(k)) && !(written & AT(k)) ->
#endif
		written = written | AT(k);
		got = got | AT(k)
	:: (set & AT(k)) && (fresh[me] & AT(k)) && (written & AT(k)) -> busy = busy | AT(k)
	:: else
	fi
}

inline try_rows()
{
	try_row(0);
	try_row(1);
	set = 0;
	fresh[me] = 0
}

inline choose_part(rows)
{
	if
	:: (rows) & 1 -> set = 1
	:: (rows) & 2 -> set = 2
	:: (rows) == ALL -> set = ALL
	fi
}

inline lock(r)
{
	locks = locks | AT(r);
	locked = locked | AT(r)
}

/* Have the row to take what is released out of it. */
inline lock_released(r)
{
	if
	:: (current[me] & AT(r)) && (members[r] & set) && !(locked & AT(r)) -> lock(r); book_set = book_set | members[r]
	:: else
	fi
}

/* Take over a row, if its time is over. */
inline lock_expired(r)
{
	if
	:: !(book & AT(r))
#ifndef TAKE_EARLY
	:: (book & AT(r)) && HELD(r) && !(late & AT(r)) -> /* the due entry moves to its end */
		assert(!(HELD(r) & overdue));
		left = true
	:: (book & AT(r)) && !(HELD(r) && !(late & AT(r))) ->
#else
	:: book & AT(r) ->
#endif
		if
#ifdef TAKE_STALE
		:: !(locked & AT(r)) -> lock(r); book_set = ALL
#else
		:: (current[me] & AT(r)) && !(locked & AT(r)) -> lock(r); book_set = book_set | members[r]
#endif
		:: else -> left = true
		fi
	fi
}

inline keep_members(r, rows)
{
	if
	:: locks & AT(r) -> members[r] = rows
	:: else
	fi
}

proctype session(byte me)
{
	byte t, row, set, got, busy, book, book_set, locks;
	bool releases, takes_due, left;

end:
	do
	/* claim */
	:: atomic { tokens < TOKENS && (ready & ~taken) ->
		choose_part(ready & ~taken);
		taken = taken | set
	   };
		if
		:: atomic { tokens < TOKENS -> /* commit */
			taken = taken & ~set;
			ready = ready & ~set;
			members[2 * tokens] = set;
			marks[tokens] = attempt & set;
			due = due | AT(tokens);
			assert(!(set & 1) || holder[0] == NOBODY);
			assert(!(set & 2) || holder[1] == NOBODY);
			holder[0] = (set & 1 -> tokens : holder[0]);
			holder[1] = (set & 2 -> tokens : holder[1]);
			tokens++;
			set = 0 }
		:: atomic { true -> taken = taken & ~set; set = 0 } /* abort */
		fi

	/* complete, fail, release: the snapshot */
	:: atomic { tokens > 0 && live ->
		if
		:: t = 0
		:: tokens > 1 -> t = 1
		fi;
		choose_part(live);
#ifndef NO_FENCE
		set = set & (members[2 * t] | members[2 * t + 1]);
#endif
#ifndef TWO_SNAPSHOTS
#ifndef NO_MARK
		set = set & SAME(t);
#endif
		fresh[me] = set;
#endif
#ifdef NEVER_REFUSED
		assert(set);
#endif
		if
		:: !set -> forget(); goto end
		:: set && live
		:: set && live -> releases = true; current[me] = BOOK(t)
		fi
	   };
#ifdef TWO_SNAPSHOTS
		atomic { set = set & live & SAME(t); fresh[me] = set };
#endif
		if
		:: !releases
		:: atomic { releases ->
#ifdef RELEASE_STALE
			row = (set & members[2 * t] -> 2 * t : 2 * t + 1) };
			atomic {
			if
			:: locked & AT(row) -> set = 0
			:: else -> lock(row)
			fi }
#else
			lock_released(2 * t);
			lock_released(2 * t + 1);
			set = set & book_set;
			book_set = 0;
			current[me] = 0 }
#endif
		fi;
		atomic {
			try_rows();
			busy = 0;
			if
			:: !got -> forget(); goto end
			:: else
			fi
		};
		if
		:: atomic { true -> /* commit */
			end_hold(got, t);
			if
			:: releases -> make_ready(got)
			:: !releases -> live = live & ~got /* completed */
			:: !releases -> /* failed */
				live = live & ~(got & attempt);
				make_ready(got & ~attempt);
#ifndef FAIL_KEEPS_MARK
				attempt = attempt | got
#endif
			fi;
#ifdef RELEASE_LEAVES_ROW
			if
			:: !releases -> write_rows(got)
			:: else
			fi;
#else
			write_rows(got);
#endif
#ifndef RELEASE_KEEPS_MEMBER
			if
			:: releases ->
				keep_members(2 * t, members[2 * t] & ~got);
				keep_members(2 * t + 1, members[2 * t + 1] & ~got)
			:: else
			fi;
#endif
#ifdef TIDY_EARLY
			members[2 * t] = (members[2 * t] & got -> 0 : members[2 * t]);
			members[2 * t + 1] = (members[2 * t + 1] & got -> 0 : members[2 * t + 1]);
#endif
			write_leases(locks);
#ifdef TIDY_DUE
			due = due & ~AT(t);
#endif
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
		current[me] = AT(row)
	   };
		atomic {
			if
#ifdef HEARTBEAT_STALE
			:: !(locked & AT(row)) -> lock(row)
#else
			:: (current[me] & AT(row)) && !(locked & AT(row)) -> lock(row)
#endif
			:: else -> forget(); goto end
			fi;
			current[me] = 0
		};
		if
		:: atomic { true -> /* commit */
			overdue = overdue & ~(set & HELD(row)); /* not one that was ended and claimed again */
#ifdef RENEW_ALL
			late = late & ~AT(row);
#else
			if
			:: HELD(row) & ~set -> /* they keep the row, and their time */
				members[row | 1] = set;
				members[row] = members[row] & ~set
			:: else -> late = late & ~AT(row)
			fi;
#endif
			write_leases(locks);
			forget() }
		:: atomic { true -> forget() } /* abort */
		fi

	/* takeover */
	:: atomic {
		if
		:: due & ~due_taken & 1 -> t = 0
		:: due & ~due_taken & 2 -> t = 1
		fi;
		takes_due = true;
		due_taken = due_taken | AT(t);
		book = BOOK(t);
		current[me] = book;
#ifdef TAKE_NO_MARK
		set = (members[2 * t] | members[2 * t + 1]) & live;
#else
		set = HELD(2 * t) | HELD(2 * t + 1);
#endif
		fresh[me] = set
	   };
		atomic {
			lock_expired(2 * t);
			lock_expired(2 * t + 1);
			set = set & book_set;
			book = 0; book_set = 0; current[me] = 0
		};
		atomic { try_rows() };
		if
		:: atomic { true -> /* commit */
			assert(!(got & ~overdue));
			end_hold(got, t);
			make_ready(got);
#ifndef TAKE_LEAVES_ROW
			write_rows(got);
#endif
#ifdef TAKE_FORGETS
			busy = 0;
#endif
			keep_members(2 * t, members[2 * t] & busy);
			keep_members(2 * t + 1, members[2 * t + 1] & busy);
			write_leases(locks);
#ifdef TAKE_DROPS_DUE
			due = due & ~AT(t);
#else
			due = (left || busy -> due : due & ~AT(t));
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
		:: atomic { true -> /* commit */
			live = live & ~set;
			taken = taken & ~(set & ready);
			ready = ready & ~set;
			holder[0] = (set & 1 -> NOBODY : holder[0]);
			holder[1] = (set & 2 -> NOBODY : holder[1]);
			overdue = overdue & ~set;
			write_rows(set);
			written = written & ~set;
			sweep();
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
	:: atomic { (HELD(0) | HELD(1)) && !(due & 1) || (HELD(2) | HELD(3)) && !(due & 2) ->
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
