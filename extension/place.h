/*
 * place.h
 *	  Places: the right to run one more of something, until the transaction ends.
 */
#ifndef STENT_PLACE_H
#define STENT_PLACE_H

#include "postgres.h"

#include "nodes/bitmapset.h"

#include "store.h"

/* So many places are enough for one transaction: each is a lock of the server's table. */
#define PLACES_MANY 100

typedef enum PlaceKind
{
	PLACE_FUNCTION, /* to run tasks of a function; what: its id */
	PLACE_LINE,     /* to run a task of a concurrency key; what: its line */
	PLACE_DECISION, /* to decide who is next in a line; what: the line */
	PLACE_RATE      /* to make the row of a rate that has lost its own; what: its function */
} PlaceKind;

/* Places of one thing, looked for by one claim. */
typedef struct PlaceSearch
{
	PlaceKind kind;
	int64 what;
	int n;
	bool begun;
	int rows;         /* places held by rows, at any number */
	Bitmapset *taken; /* their numbers, below n */
	int mine;         /* taken by this search */
} PlaceSearch;

extern bool place_take(Store *store, PlaceKind kind, int64 what, int n, Oid role, bool *fresh);
extern int place_claim(Store *store, PlaceSearch *search);
extern void place_unclaim(PlaceSearch *search, int number);
extern void place_keep(Store *store, PlaceKind kind, int64 what, int number, int64 task_id);
extern void place_leave(Store *store, int64 task_id);
extern void place_give_back(PlaceKind kind, int64 what);
extern bool place_is_held(PlaceKind kind, int64 what);
extern int place_count(void);
extern void place_init(void);

#endif
