/*
 * query_items.h
 *	  The rows of a query as the items of a map, some at a time.
 */
#ifndef STENT_QUERY_ITEMS_H
#define STENT_QUERY_ITEMS_H

#include "postgres.h"

#include "json_array.h"

typedef struct QueryItems QueryItems;

extern QueryItems *query_items_open(const char *query);
extern bool query_items_read(QueryItems *items, JsonArray *array, int max);
extern void query_items_close(QueryItems *items);

#endif
