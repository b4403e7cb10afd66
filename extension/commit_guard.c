/*
 * commit_guard.c
 *	  Which task made a commit fail.
 *
 * Tasks that share a commit share its failure. The session remembers the tasks
 * of the open transaction; when its commit fails, they become suspects, and a
 * suspect runs alone. A task that is alone when the commit fails again is guilty:
 * its next turn does not call the handler but records the failed attempt. What
 * rolls back for any other reason (ROLLBACK, an error of the caller, a crash)
 * makes nobody a suspect. A task that met a deadlock or a serialization failure is
 * a suspect as well; how often it was given back for that is counted here.
 *
 * The memory is the session's own; a session that ends forgets it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/elog.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "commit_guard.h"
#include "errors.h"
#include "fault.h"

#define MESSAGE_LENGTH 512
#define MAX_SUSPECTS 10000
#define MAX_CONFLICTS 10

typedef struct Suspect
{
	int64 task_id; /* hash key */
	int replays;   /* the attempt it is about */
	int attempt;
	int conflicts; /* how often it was given back for one */
	bool guilty;
	int code;
	char message[MESSAGE_LENGTH];
} Suspect;

/* a task of the open transaction */
typedef struct Member
{
	int64 task_id;
	int replays;
	int attempt;            /* before this one */
	SubTransactionId subid; /* in which it ended */
} Member;

static Member *members;
static int n_members;
static int max_members;
static bool committing;
static HTAB *suspects;

/* the last error while committing */
static int commit_code;
static char commit_message[MESSAGE_LENGTH];
static ErrorContextCallback commit_context;

/* A task whose end is about to be committed with this transaction. */
void
commit_guard_add(int64 task_id, int replays, int attempt)
{
	if (n_members == max_members)
	{
		int max = Max(2 * max_members, 128);

		if (members == NULL)
			members = MemoryContextAlloc(TopMemoryContext, max * sizeof(Member));
		else
			members = repalloc_huge(members, max * sizeof(Member));
		max_members = max;
	}
	members[n_members++] = (Member){task_id, replays, attempt, GetCurrentSubTransactionId()};
}

static Suspect *
enter(int64 task_id, int replays, int attempt)
{
	Suspect *suspect;
	bool found;

	/* tasks that others finished stay: begin anew before they are many */
	if (suspects != NULL && hash_get_num_entries(suspects) >= MAX_SUSPECTS)
	{
		hash_destroy(suspects);
		suspects = NULL;
	}
	if (suspects == NULL)
	{
		HASHCTL ctl = {
			.keysize = sizeof(int64), .entrysize = sizeof(Suspect), .hcxt = TopMemoryContext};

		suspects = hash_create("stent suspects", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	suspect = hash_search(suspects, &task_id, HASH_ENTER, &found);
	if (!found || suspect->replays != replays || suspect->attempt != attempt)
	{
		suspect->replays = replays;
		suspect->attempt = attempt;
		suspect->conflicts = 0;
		suspect->guilty = false;
		suspect->code = STENT_ERR_COMMIT_FAILED;
		strlcpy(suspect->message, "the commit failed", MESSAGE_LENGTH);
	}
	return suspect;
}

/*
 * The attempt ended in a conflict with another transaction. True if it may try again,
 * alone; false if it has done so often enough.
 */
bool
commit_guard_conflict(int64 task_id, int replays, int attempt)
{
	Suspect *suspect = enter(task_id, replays, attempt);

	if (suspect->conflicts == MAX_CONFLICTS)
		return false;
	suspect->conflicts++;
	return true;
}

bool
commit_guard_is_suspect(int64 task_id)
{
	return suspects != NULL && hash_search(suspects, &task_id, HASH_FIND, NULL) != NULL;
}

/* The error a task guilty of this very attempt is charged with, or NULL. */
ErrorData *
commit_guard_charge(int64 task_id, int replays, int attempt)
{
	Suspect *suspect;
	ErrorData *error;

	if (suspects == NULL)
		return NULL;
	suspect = hash_search(suspects, &task_id, HASH_FIND, NULL);
	if (suspect == NULL || !suspect->guilty || suspect->replays != replays ||
		suspect->attempt != attempt)
		return NULL;
	error = palloc0_object(ErrorData);
	error->elevel = ERROR;
	error->sqlerrcode = suspect->code;
	error->message = pstrdup(suspect->message);
	error->detail = pstrdup("The attempt was undone because its transaction could not commit.");
	return error;
}

static void
failed_to_commit(void)
{
	for (int i = 0; i < n_members; i++)
	{
		Suspect *suspect = enter(members[i].task_id, members[i].replays, members[i].attempt);

		if (n_members > 1)
			continue;
		suspect->guilty = true;
		if (commit_code != 0)
		{
			suspect->code = commit_code;
			strlcpy(suspect->message, commit_message, MESSAGE_LENGTH);
		}
	}
}

static void
acquit(void)
{
	if (suspects == NULL)
		return;
	for (int i = 0; i < n_members; i++)
		(void) hash_search(suspects, &members[i].task_id, HASH_REMOVE, NULL);
}

/* Sees every error on its way, also where a procedure's COMMIT fails. */
static void
note_error(void *arg)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	ErrorData *error = CopyErrorData();

	if (error->elevel >= ERROR)
	{
		commit_code = error->sqlerrcode;
		strlcpy(commit_message, error->message ? error->message : "", MESSAGE_LENGTH);
	}
	FreeErrorData(error);
	MemoryContextSwitchTo(old);
}

static void
watch_errors(bool watch)
{
	if (watch)
	{
		commit_context.callback = note_error;
		commit_context.previous = error_context_stack;
		error_context_stack = &commit_context;
	}
	else if (error_context_stack == &commit_context)
		error_context_stack = commit_context.previous;
}

static void
xact_ended(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			committing = n_members > 0;
			commit_code = 0;
			if (committing)
				watch_errors(true);
			STENT_FAULT("before_commit");
			break;
		case XACT_EVENT_COMMIT:
			watch_errors(false);
			STENT_FAULT("after_commit");
			acquit();
			n_members = 0;
			committing = false;
			break;
		case XACT_EVENT_ABORT:
			watch_errors(false);
			if (committing)
				failed_to_commit();
			n_members = 0;
			committing = false;
			break;
		case XACT_EVENT_PREPARE:
			acquit();
			n_members = 0;
			committing = false;
			break;
		default:
			break;
	}
}

/* What a subtransaction undid is not of the commit; later ones have higher ids. */
static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (n_members > 0 && members[n_members - 1].subid >= mine)
			n_members--;
}

void
commit_guard_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
}
