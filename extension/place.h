/*
 * place.h
 *	  Places: the right to run one more of something, until the transaction ends.
 */
#ifndef STENT_PLACE_H
#define STENT_PLACE_H

#include "postgres.h"

/* So many places are enough for one transaction: each is a lock of the server's table. */
#define PLACES_MANY 100

typedef enum PlaceKind
{
	PLACE_FUNCTION, /* to run tasks of a function; what: its id */
	PLACE_LINE,     /* to run a task of a concurrency key; what: its line */
	PLACE_DECISION, /* to decide who is next in a line; what: the line */
	PLACE_RATE      /* to make the row of a rate that has lost its own; what: its function */
} PlaceKind;

extern bool place_take(PlaceKind kind, int64 what, int n, Oid role, bool *fresh);
extern void place_give_back(PlaceKind kind, int64 what);
extern bool place_is_held(PlaceKind kind, int64 what);
extern int place_count(void);
extern void place_init(void);

#endif
