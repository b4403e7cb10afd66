/*
 * tally.c
 *	  Durable totals: how many tasks of a lane ended, and how.
 *
 * Totals are appended, never updated: each commit adds one row for each lane it
 * ended tasks of, so no two transactions ever wait for each other's row.
 * stent._fold_tallies() makes one row of many, now and then.
 *
 * Notes are collected in memory and written when the transaction is about to
 * commit, by the callback, so that nobody who ends tasks has to think of it. What a
 * subtransaction undoes is dropped with it. Writing may fail as a commit does (under
 * SERIALIZABLE): then it is one that fails, see commit_guard.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "announce.h"
#include "clock.h"
#include "store.h"
#include "tally.h"

/* Tasks come by lane, mostly: look only so far back for the lane's note. */
#define NOTES_BACK 16

typedef struct Note
{
	int32 lane_id;
	SubTransactionId subid;
	int64 counts[TALLY_KINDS];
	int64 run_us;
} Note;

static Note *notes;
static int n_notes;
static int max_notes;

static Note *
note_for(int32 lane_id)
{
	SubTransactionId subid = GetCurrentSubTransactionId();

	for (int i = n_notes - 1; i >= 0 && i >= n_notes - NOTES_BACK; i--)
		if (notes[i].lane_id == lane_id && notes[i].subid == subid)
			return &notes[i];
	if (n_notes == max_notes)
	{
		int max = Max(2 * max_notes, 64);

		if (notes == NULL)
			notes = MemoryContextAlloc(TopMemoryContext, max * sizeof(Note));
		else
			notes = repalloc_huge(notes, max * sizeof(Note));
		max_notes = max;
	}
	memset(&notes[n_notes], 0, sizeof(Note));
	notes[n_notes].lane_id = lane_id;
	notes[n_notes].subid = subid;
	return &notes[n_notes++];
}

/* A task, or an attempt, ended; its handler took run_us. */
void
tally_note(int32 lane_id, TallyKind kind, int64 run_us)
{
	Note *note = note_for(lane_id);

	note->counts[kind]++;
	note->run_us += Max(run_us, 0);
}

/* There are so many dead letters more, or less. */
void
tally_dead_letter(int32 lane_id, int change)
{
	note_for(lane_id)->counts[TALLY_DEAD] += change;
}

static int
compare_notes(const void *a, const void *b)
{
	int32 x = ((const Note *) a)->lane_id;
	int32 y = ((const Note *) b)->lane_id;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* One note a lane. */
static void
merge_notes(void)
{
	int n = 0;

	qsort(notes, n_notes, sizeof(Note), compare_notes);
	for (int i = 0; i < n_notes; i++)
	{
		if (n == 0 || notes[n - 1].lane_id != notes[i].lane_id)
		{
			notes[n++] = notes[i];
			continue;
		}
		for (int kind = 0; kind < TALLY_KINDS; kind++)
			notes[n - 1].counts[kind] += notes[i].counts[kind];
		notes[n - 1].run_us += notes[i].run_us;
	}
	n_notes = n;
}

/* False where there is nothing to tell. */
static bool
write_note(Store *store, const Note *note, Timestamp now)
{
	Datum values[TALLY_COLUMNS];
	bool nulls[TALLY_COLUMNS] = {0};
	bool ended = false;

	for (int kind = 0; kind < TALLY_DEAD; kind++)
		ended |= note->counts[kind] != 0;
	if (!ended && note->counts[TALLY_DEAD] == 0)
		return false;
	values[TALLY_COLUMN_ID - 1] = Int64GetDatum(store_next_id());
	values[TALLY_COLUMN_LANE_ID - 1] = Int32GetDatum(note->lane_id);
	for (int kind = 0; kind < TALLY_KINDS; kind++)
		values[TALLY_COLUMN_COMPLETED - 1 + kind] = Int64GetDatum(note->counts[kind]);
	values[TALLY_COLUMN_RUN_US - 1] = Int64GetDatum(note->run_us);
	values[TALLY_COLUMN_LAST_AT - 1] = TimestampGetDatum(now);
	nulls[TALLY_COLUMN_LAST_AT - 1] = !ended;
	store_insert(store, store_table(store, STORE_TALLY), values, nulls);
	return true;
}

static void
write_notes(void)
{
	Timestamp now = clock_now();
	Store *store;
	int n = 0;

	/* an extension that was dropped meanwhile, or one of an older version */
	if (!store_has_relation("tally"))
	{
		n_notes = 0;
		return;
	}
	merge_notes();
	PushActiveSnapshot(GetTransactionSnapshot());
	store = store_open("stent's totals");
	for (int i = 0; i < n_notes; i++)
		n += write_note(store, &notes[i], now);
	store_close(store);
	PopActiveSnapshot();
	n_notes = 0;
	announce_tallies(n);
}

static void
xact_ended(XactEvent event, void *arg)
{
	if (n_notes == 0)
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		write_notes();
	else if (event == XACT_EVENT_ABORT)
		n_notes = 0;
}

static void
subxact_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (n_notes > 0 && notes[n_notes - 1].subid >= mine)
			n_notes--;
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = n_notes - 1; i >= 0 && notes[i].subid >= mine; i--)
			notes[i].subid = parent;
	}
}

void
tally_init(void)
{
	RegisterXactCallback(xact_ended, NULL);
	RegisterSubXactCallback(subxact_ended, NULL);
}
