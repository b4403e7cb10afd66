/*
 * slots.h
 *	  Executor slots: who gets one, who waits, who leaves.
 *
 * A slot is the right to run one executor. There are stent.max_executors of
 * them for all databases and roles of the server.
 */
#ifndef STENT_SLOTS_H
#define STENT_SLOTS_H

#include "postgres.h"

#include "board.h"
#include "shmem.h"

/* work that came while all executors of the role were busy waits this long for one of them */
#define DEMAND_PATIENCE_MS 10
/* how long an executor may stay though other roles wait */
#define SLOT_TURN_MS 100
/* no background worker could be had: how long until another try, should none end */
#define CAPACITY_LASTS_MS 1000
/* how long an idle executor keeps its slot though a role with an executor could use another */
#define SLOT_KEEP_MS 1000

/* How an executor ended. */
typedef enum SlotEnd
{
	SLOT_GIVEN_BACK,
	SLOT_KILLED, /* by somebody, before its first batch was over; perhaps by its task */
	SLOT_FAILED  /* the next one is started only after a while, longer each time */
} SlotEnd;

/* under the lock, held by the caller */
extern int slots_notice(DatabaseSlot *database, BoardRole *role);
extern bool slots_wants_executor(const BoardRole *role, TimestampTz now, TimestampTz *again);
extern int slots_used(void);

/* these take it */
extern int slots_take(Oid database, Oid role, uint32 *generation);
extern void slots_start_failed(int slot, uint32 generation, const char *problem);
extern void slots_no_worker(int slot, uint32 generation);
extern void slots_worker_ended(void);
extern bool slots_begin(int slot, uint32 generation);
extern void slots_end(int slot, SlotEnd end, bool work_left);
extern uint64 slots_loop(int slot);
extern bool slots_go_idle(int slot, uint64 seen);
extern bool slots_woken(int slot, bool timed_out);
extern void slots_healthy(int slot);
extern void slots_want_help(Oid role);
extern void slots_answer_overdue(Oid database);
extern void slots_look_again(Oid role);
extern bool slots_should_leave(int slot);
extern void slots_ask_to_leave(Oid database, bool all_states);

#endif
