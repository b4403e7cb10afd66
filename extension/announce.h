/*
 * announce.h
 *	  What a transaction does to the board, told to others when it ends.
 *
 * Whoever inserts or takes an entry notes it here. At the commit, when the rows
 * are visible, heads are lowered, counts changed, and whoever waits for the
 * work or for a result is woken. At an abort the entries that were taken are
 * claimable again, and that is told. Without preload nothing happens.
 */
#ifndef STENT_ANNOUNCE_H
#define STENT_ANNOUNCE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "board.h"

/* n ready entries from position on; queue: theirs if workers run them, NULL: executors do */
extern void announce_ready(Oid role, int64 bucket, int64 position, int n, const char *queue);
extern void announce_taken(Oid role, int64 bucket, int64 position, const char *queue);
/* due entries of a kind (due.h): scheduled and waiting tasks are counted */
extern void announce_due(Oid role, int64 bucket, Timestamp due_at, char kind);
extern void announce_due_taken(Oid role, int64 bucket, Timestamp due_at, char kind);
/* a task is blocked by others of its key; one is so no more: it was taken, or made ready */
extern void announce_blocked(Oid role, int64 bucket);
extern void announce_unblocked(Oid role, int64 bucket, int64 position);
/* the due entry just announced is not to wait for anything */
extern void announce_nudge(Oid role, int64 bucket);
/* a task reached its end: who waits for it is woken at the commit */
extern void announce_finished(int64 task_id, bool failed);
/* the launcher and the scheduler shall look at this database again */
extern void announce_database(void);
/* a leased task was cancelled, or timed out: workers shall ask what they still hold */
extern void announce_lease_cancelled(void);
/* something was paused or resumed: all roles of this database look again */
extern void announce_pauses(void);
/* whatever claimers of this database passed over, they look again, at once */
extern void announce_look_again(void);
/* whoever waits for a task of this database shall look */
extern void announce_to_waiters(void);
/* tasks of the role, or of workers (no role), are passed over, for want of a place */
extern void announce_held_back(Oid role);
/* whoever was held back shall look, but not this role; true if that one was */
extern bool announce_places_free(Oid but);
/* tasks of the role, or of workers (no role), are passed over, until a rate limit lets one start at that time */
extern void announce_token_at(Oid role, Timestamp at);
/* roles whose time has come look; returns when the next one's comes, DT_NOEND: never */
extern Timestamp announce_tokens(Timestamp now);
/* who runs what was announced is known from the registry as it was then */
extern uint32 announce_registrations(void);
extern void announce_as_of(uint32 registrations);
/* functions or limits changed: once this is committed, whoever was passed over shall look */
extern void announce_limits(void);
/* the launcher shall look which databases there are */
extern void announce_databases(void);
/* rows were added to the table of tallies */
extern void announce_tallies(int n);
/* rows were added to the table of counters */
extern void announce_counters(int n);

/* add this transaction's own entries, which others cannot see yet, to a look */
extern int announce_own(Oid role, BoardLook **looks, int n);
extern int announce_own_roles(Oid **roles, int n);

extern void announce_init(void);

#endif
