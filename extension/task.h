/*
 * task.h
 *	  A task in memory, and the moves between its states.
 */
#ifndef STENT_TASK_H
#define STENT_TASK_H

#include "postgres.h"

#include "storage/itemptr.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "store.h"

/* As stored; names in sql/parts/75_views.sql. */
typedef enum TaskState
{
	TASK_NEW = '\0', /* not stored yet, or taken out of the dead letters */
	TASK_SCHEDULED = 's',
	TASK_BLOCKED = 'b',
	TASK_READY = 'r',
	TASK_RUNNING = 'u',
	TASK_WAITING = 'w',
	TASK_COMPLETED = 'c',
	TASK_FAILED = 'f',
	TASK_TIMED_OUT = 't',
	TASK_CANCELLED = 'x'
} TaskState;

/* What is no part of a map, and what is one. */
#define NO_CHUNK (-2)
#define A_MAP (-1)

typedef struct Task
{
	int64 id;
	int64 execution_id;
	int64 parent_id;     /* NO_ID for a root */
	int64 parent_bucket; /* where its nudges go; 0: not known (yet) */
	Timestamp created_at;
	Timestamp due_at; /* NO_TIME: ready at once; of a waiting one: its wait runs out, or DT_NOEND */
	Timestamp deadline; /* NO_TIME: none */
	int64 position;     /* in the ready table; NO_ID: its id */
	Interval *timeout;  /* of one attempt; NULL: none */
	int32 function_id;
	int32 lane_id;
	int32 policy_id;
	int attempt; /* begun so far */
	int replays;
	int lost;
	int crashed;
	int priority;
	TaskState state;
	Jsonb *args; /* NULL when args_ref holds them */
	int64 args_ref;
	Jsonb *headers;
	char *dedup_key;
	char *concurrency_key;
	int chunk; /* NO_CHUNK; A_MAP; else which chunk of its parent, a map */

	ItemPointerData tid;          /* of the live row, if it has one */
	bool changed;                 /* differs from that row: giving the task back writes it */
	bool leased;                  /* a worker had it: its row is its lock, and it may hold places */
	bool holds_no_places;         /* of a leased one: that is known */
	const struct Task *on_behalf; /* runs as a call of that one, which is who is seen to run */
	bool row_taken;               /* the live row is deleted already, by whom moves it on */

	/* of a finished task */
	Timestamp started_at;
	Timestamp finished_at;
	Jsonb *result;
	int64 result_ref;
	Jsonb *error;
} Task;

extern Task *task_from_slot(TupleTableSlot *slot);
extern Task *task_from_dead_letter(TupleTableSlot *slot);
extern void task_live_values(const Task *task, Datum *values, bool *nulls);
extern void task_archive_values(const Task *task, Datum *values, bool *nulls);
extern Task *task_find_live(Store *store, int64 id);
extern Task *task_find_live_at(Store *store, int64 id, ItemPointer hint);
extern int64 task_execution_at(Store *store, int64 id, ItemPointer hint);
extern int64 task_position(const Task *task);
extern bool task_is_terminal(TaskState state);
extern const char *task_state_name(TaskState state);
extern void task_move(Store *store, Task *task, TaskState to);
extern void task_change_lane(Store *store, Task *task, int32 lane_id, int priority);
extern TM_Result task_try_take(Store *store, const Task *task, TransactionId *holder);
extern bool task_is_taken(Store *store, const Task *task);
extern TM_Result task_try_end(Store *store, Task *task, TransactionId *holder);

#endif
