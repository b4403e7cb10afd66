/*
 * notes.h
 *	  What handlers change in the counters and the context of their execution,
 *	  until the commit.
 */
#ifndef STENT_NOTES_H
#define STENT_NOTES_H

#include "postgres.h"

#include "task.h"

typedef enum NoteKind
{
	NOTE_COUNTER,   /* value: numeric, to be added */
	NOTE_OVERWRITE, /* value: jsonb */
	NOTE_PRESERVE   /* the same, but only where the key is absent */
} NoteKind;

/* There is one a kind of thing, execution, name and subtransaction, or nearly so. */
typedef struct Note
{
	int64 execution_id; /* NO_ID: was merged into another */
	uint64 number;      /* in the order of the calls */
	NoteKind kind;
	SubTransactionId subid;
	uint32 hash;
	char *name;
	struct varlena *value;
} Note;

extern void notes_add(NoteKind kind, int64 execution_id, const char *name, Datum value);
extern const Note *notes_next(const Note *after, bool counter, int64 execution_id,
							  const char *name);
extern char *notes_check_name(FunctionCallInfo fcinfo, int arg, const char *what);
extern void notes_check_length(const char *what, int len);
extern const Task *notes_task(const char *function, const char *hint);
extern void notes_init(void);

#endif
