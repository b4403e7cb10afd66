/*
 * waiting_decide.c
 *	  Whether a waiting task may go on: what has become of what it waits for.
 *
 * Asked for a task whose entry is taken, with a snapshot younger than that (waiting.c).
 * What other transactions are doing at this moment is seen by dirty looks.
 */
#include "postgres.h"

#include "access/transam.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "child.h"
#include "signals.h"
#include "waiting_decide.h"

/*
 * Where a wait for many tasks stood when it was looked at last, in this session: that
 * one lived.
 */
#define STANDS 256

typedef struct Stand
{
	int64 task_id;
	int position; /* of its step */
	int at;       /* those before had ended */
} Stand;

static Stand stands[STANDS];

/* What had ended by a transaction that is undone may not have. */
void
waiting_decide_forget(void)
{
	memset(stands, 0, sizeof(stands));
}

/*
 * Whether the row of a live task is being changed; where version is given, also whether it
 * has been changed since that was read.
 */
Look
waiting_look(Store *store, int64 id, ItemPointer version)
{
	StoreRel *table = store_table(store, STORE_TASK);
	SnapshotData dirty;
	Look look = LOOK_GONE;

	InitDirtySnapshot(dirty);
	if (store_find_id(table, &dirty, id))
		look = TransactionIdIsValid(dirty.xmin) || TransactionIdIsValid(dirty.xmax) ||
					   (version != NULL && !ItemPointerEquals(&table->out->tts_tid, version))
				   ? LOOK_IN_HANDS
				   : LOOK_SETTLED;
	ExecClearTuple(table->out);
	return look;
}

/* The ids of an array in the detail of a step. */
int
waiting_ids(const Jsonb *detail, const char *key, int64 **ids)
{
	JsonbValue buf;
	JsonbValue *array;
	JsonbValue element;
	JsonbIterator *it;
	JsonbIteratorToken token;
	int n = 0;

	*ids = NULL;
	if (detail == NULL)
		return 0;
	array = getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &detail->root), key,
										 strlen(key), &buf);
	if (array == NULL || array->type != jbvBinary)
		return 0;
	*ids = palloc_array(int64, JsonContainerSize(array->val.binary.data));
	it = JsonbIteratorInit(array->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		if (token == WJB_ELEM && element.type == jbvNumeric)
			(*ids)[n++] = DatumGetInt64(
				DirectFunctionCall1(numeric_int8, NumericGetDatum(element.val.numeric)));
	return n;
}

/* Whether a task that is waited for has ended. */
static Verdict
has_ended(Store *store, const Task *task, int64 id, bool stranger)
{
	Look look;

	if (!stranger)
		return child_lives(store, task->execution_id, task->id, id) ? WAIT_ON : GO_ON;
	look = waiting_look(store, id, NULL);
	return look == LOOK_GONE ? GO_ON : look == LOOK_IN_HANDS ? UNSETTLED : WAIT_ON;
}

/* Whether all tasks of a step have ended; those known to have are not looked at again. */
static Verdict
have_all_ended(Store *store, const Task *task, const Step *step)
{
	Stand *stand = &stands[(uint64) task->id % STANDS];
	int64 *ids;
	int64 *strangers;
	int n = waiting_ids(step->detail, "ids", &ids);
	int n_strangers = waiting_ids(step->detail, "strangers", &strangers);

	if (stand->task_id != task->id || stand->position != step->position)
		*stand = (Stand){task->id, step->position, 0};
	for (; stand->at < n; stand->at++)
	{
		bool stranger = false;
		Verdict verdict;

		for (int i = 0; i < n_strangers && !stranger; i++)
			stranger = strangers[i] == ids[stand->at];
		verdict = has_ended(store, task, ids[stand->at], stranger);
		if (verdict != GO_ON)
			return verdict;
	}
	/* a replayed one may live again when it is asked the next time */
	stand->task_id = NO_ID;
	return GO_ON;
}

/*
 * Whether a transaction in progress is at a task that is no child and waited for. A
 * handler that looked now would be suspended again, and so on until that is over.
 */
static bool
any_in_hands(Store *store, const Step *step)
{
	int64 *strangers;
	int n = waiting_ids(step->detail, "strangers", &strangers);

	for (int i = 0; i < n; i++)
		if (waiting_look(store, strangers[i], NULL) == LOOK_IN_HANDS)
			return true;
	return false;
}

/* By a snapshot younger than the hold on the task: what it waits for. */
Verdict
waiting_decide(Store *store, const Task *task, const Step *step, bool failed)
{
	int64 *strangers;
	Verdict verdict;

	if (step == NULL || step->state != STEP_WAITING)
		return GO_ON;
	switch (step->kind)
	{
		case STEP_CALL:
		case STEP_AWAIT:
		case STEP_MAP:
			return has_ended(store, task, step->child_id,
							 waiting_ids(step->detail, "strangers", &strangers) > 0);
		case STEP_AWAIT_ALL:
			verdict = have_all_ended(store, task, step);
			if (!failed || verdict == GO_ON)
				return verdict;
			/* a failure may end it before all have ended: the handler looks */
			return any_in_hands(store, step) ? UNSETTLED : GO_ON;
		case STEP_SIGNAL:
			return signal_is_newer(store, task->execution_id, step->detail)       ? GO_ON
				   : signal_may_be_newer(store, task->execution_id, step->detail) ? UNSETTLED
																				  : WAIT_ON;
		default:
			return WAIT_ON; /* only its time wakes it */
	}
}
