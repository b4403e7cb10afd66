/*
 * notes.c
 *	  What handlers change in the counters and the context of their execution,
 *	  until the commit.
 *
 * Nothing is written while a handler runs. Its changes are collected in memory, by
 * subtransaction: what a failed attempt or an exception block undoes is dropped, and
 * the tasks of a batch that add to one counter make one row of it. They are written
 * when the transaction is about to commit, by the callback; the locks that takes
 * last no longer than the commit.
 *
 * Rows of the context are locked in the same order by everybody, so no two commits
 * wait for each other. What a note means is left to counter.c and context.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "announce.h"
#include "attempt.h"
#include "context.h"
#include "counter.h"
#include "fault.h"
#include "notes.h"
#include "registry.h"
#include "store.h"

/* A handler comes back to few names, mostly: look only so far back for one. */
#define NOTES_BACK 32

/* In this order of subtransactions: those of an inner one are last. */
static Note *notes;
static int n_notes;
static int max_notes;
static uint64 next_number;
static MemoryContext notes_cxt; /* of all of it */

static void
forget_notes(void)
{
	n_notes = max_notes = 0;
	notes = NULL;
	MemoryContextReset(notes_cxt);
}

static bool
is_about(const Note *note, bool counter, int64 execution_id, const char *name, uint32 hash)
{
	return note->execution_id == execution_id && note->hash == hash &&
		   (note->kind == NOTE_COUNTER) == counter && strcmp(note->name, name) == 0;
}

/* Make note mean what it does followed by the later change; nothing has changed if this fails. */
static void
follow(Note *note, NoteKind kind, Datum value)
{
	MemoryContext old = MemoryContextSwitchTo(notes_cxt);
	struct varlena *before = note->value;

	if (kind == NOTE_COUNTER)
		note->value = (struct varlena *) DatumGetPointer(
			DirectFunctionCall2(numeric_add, PointerGetDatum(before), value));
	else if (kind == NOTE_OVERWRITE)
	{
		note->value = PG_DETOAST_DATUM_COPY(value);
		note->kind = NOTE_OVERWRITE;
	}
	/* with NOTE_PRESERVE the key is there already, by the note if not before */
	if (note->value != before)
		pfree(before);
	MemoryContextSwitchTo(old);
}

static int
compare_notes(const void *a, const void *b)
{
	const Note *x = a;
	const Note *y = b;
	int order;

	if (x->subid != y->subid)
		return x->subid < y->subid ? -1 : 1;
	if ((x->kind == NOTE_COUNTER) != (y->kind == NOTE_COUNTER))
		return x->kind == NOTE_COUNTER ? -1 : 1;
	if (x->execution_id != y->execution_id)
		return x->execution_id < y->execution_id ? -1 : 1;
	order = strcmp(x->name, y->name);
	if (order != 0)
		return order;
	return x->number < y->number ? -1 : 1;
}

static void
remove_merged(void)
{
	int n = 0;

	for (int i = 0; i < n_notes; i++)
		if (notes[i].execution_id != NO_ID)
			notes[n++] = notes[i];
	n_notes = n;
}

/* Sort the notes, and make one of those that a subtransaction has about one thing. */
static void
merge_notes(void)
{
	Note *first = notes;

	remove_merged();
	qsort(notes, n_notes, sizeof(Note), compare_notes);
	for (int i = 1; i < n_notes; i++)
	{
		Note *note = &notes[i];

		if (first->subid != note->subid || !is_about(note, first->kind == NOTE_COUNTER,
													 first->execution_id, first->name, first->hash))
		{
			first = note;
			continue;
		}
		follow(first, note->kind, PointerGetDatum(note->value));
		/* one by one, so that an error in between leaves nothing counted twice */
		note->execution_id = NO_ID;
		pfree(note->name);
		pfree(note->value);
	}
	remove_merged();
}

static void
make_room(void)
{
	if (notes_cxt == NULL)
		notes_cxt = AllocSetContextCreate(TopMemoryContext, "stent notes", ALLOCSET_DEFAULT_SIZES);
	if (notes == NULL)
	{
		notes = MemoryContextAlloc(notes_cxt, 64 * sizeof(Note));
		max_notes = 64;
	}
	if (n_notes < max_notes)
		return;
	merge_notes();
	if (n_notes > max_notes / 2)
	{
		notes = repalloc_huge(notes, 2 * max_notes * sizeof(Note));
		max_notes *= 2;
	}
}

/* The task's execution gets this change with the commit. */
void
notes_add(NoteKind kind, int64 execution_id, const char *name, Datum value)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	uint32 hash = hash_bytes((const unsigned char *) name, strlen(name));
	MemoryContext old;
	Note note;

	for (int i = n_notes - 1; i >= 0 && i >= n_notes - NOTES_BACK && notes[i].subid == subid; i--)
		if (is_about(&notes[i], kind == NOTE_COUNTER, execution_id, name, hash))
		{
			follow(&notes[i], kind, value);
			return;
		}
	make_room();
	old = MemoryContextSwitchTo(notes_cxt);
	note = (Note){.execution_id = execution_id,
				  .number = next_number++,
				  .kind = kind,
				  .subid = subid,
				  .hash = hash,
				  .name = pstrdup(name),
				  .value = PG_DETOAST_DATUM_COPY(value)};
	MemoryContextSwitchTo(old);
	notes[n_notes++] = note;
}

/* The notes about one thing in the order of the calls; NULL begins and ends. */
const Note *
notes_next(const Note *after, bool counter, int64 execution_id, const char *name)
{
	uint32 hash = hash_bytes((const unsigned char *) name, strlen(name));

	for (int i = after == NULL ? 0 : after - notes + 1; i < n_notes; i++)
		if (is_about(&notes[i], counter, execution_id, name, hash))
			return &notes[i];
	return NULL;
}

void
notes_check_length(const char *what, int len)
{
	if (len == 0 || len > MAX_NAME_LENGTH)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must have 1 to %d bytes, not %d", what, MAX_NAME_LENGTH, len),
						errhint("Use short, stable names.")));
}

/* An argument that is a name of this kind. */
char *
notes_check_name(FunctionCallInfo fcinfo, int arg, const char *what)
{
	char *name;

	if (PG_ARGISNULL(arg))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s must not be null", what), errhint("Use short, stable names.")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	notes_check_length(what, strlen(name));
	return name;
}

/* The task whose handler calls this function; else an error with the hint. */
const Task *
notes_task(const char *function, const char *hint)
{
	const Task *task = attempt_task();

	if (task == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s belongs in a handler", function), errhint("%s", hint)));
	return task;
}

static void
write_notes(void)
{
	Store *store;
	int n_counters = 0;

	/* an extension that was dropped meanwhile */
	if (!store_has_relation("counter"))
	{
		forget_notes();
		return;
	}
	merge_notes();
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	store = store_open("stent's counters and context");
	/* counters sort before the context: here they take no lock that anybody waits for */
	for (; n_counters < n_notes && notes[n_counters].kind == NOTE_COUNTER; n_counters++)
		counter_insert(store, notes[n_counters].execution_id, notes[n_counters].name,
					   (Numeric) notes[n_counters].value);
	STENT_FAULT("notes_after_counters");
	if (n_counters < n_notes)
		context_write(store, notes + n_counters, n_notes - n_counters);
	store_close(store);
	PopActiveSnapshot();
	forget_notes();
	announce_counters(n_counters);
}

static void
xact_ended(XactEvent event, void *arg)
{
	if (n_notes == 0)
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		write_notes();
	else if (event == XACT_EVENT_ABORT)
		forget_notes();
}

static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		for (; n_notes > 0 && notes[n_notes - 1].subid >= mine; n_notes--)
		{
			Note *note = &notes[n_notes - 1];

			if (note->execution_id == NO_ID)
				continue;
			pfree(note->name);
			pfree(note->value);
		}
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = n_notes - 1; i >= 0 && notes[i].subid >= mine; i--)
			notes[i].subid = parent;
	}
}

void
notes_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
}
