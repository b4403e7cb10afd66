/*
 * memo.h
 *	  Calls that need not be made again.
 *
 *	  if (memo_prepare(&memo, function, role, own_key, args) &&
 *	      (id = memo_claim(store, &memo, new_id)) != new_id)
 *	      the task id serves: nothing is to be made
 *	  else
 *	      make task new_id in this transaction, as completed if memo.done is its
 *	      result; if another one comes to do its work instead, memo_move
 */
#ifndef STENT_MEMO_H
#define STENT_MEMO_H

#include "postgres.h"

#include "storage/itemptr.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "ending.h"
#include "registry.h"
#include "store.h"

typedef struct Memo
{
	bytea *key;
	Interval *ttl;       /* NULL: as long as retention keeps the task */
	ItemPointerData tid; /* of the row, once claimed */
	Jsonb *done;         /* what is claimed was done as an item of a map: its result */
} Memo;

/* A call that was made: by a task, or as an item of a chunk's. */
typedef struct MemoHit
{
	int64 task_id;
	int item; /* -1: the task itself */
	Ending ending;
} MemoHit;

extern bool memo_prepare(Memo *memo, const Function *function, const char *role,
						 const char *own_key, Jsonb *args);
extern void memo_prepare_item(Memo *memo, const Function *function, const char *role, Jsonb *item,
							  bool star);
extern int64 memo_claim(Store *store, Memo *memo, int64 new_id);
extern void memo_move(Store *store, Memo *memo, int64 task_id);
extern bool memo_look(Store *store, const Memo *memo, MemoHit *hit);
extern void memo_remember(Store *store, Memo *memo, int64 task_id, int item);
extern void memo_forget(Store *store, int64 task_id);

#endif
