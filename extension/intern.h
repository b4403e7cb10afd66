/*
 * intern.h
 *	  Immutable shared rows found by content: lanes and retry policies.
 */
#ifndef STENT_INTERN_H
#define STENT_INTERN_H

#include "postgres.h"

#include "utils/array.h"
#include "utils/jsonb.h"

#include "retry.h"
#include "store.h"

typedef struct Lane
{
	int32 id; /* hash key */
	int32 function_id;
	char role[NAMEDATALEN];
	char *queue;
	ArrayType *tags;
	bool chunks;  /* of maps */
	Oid role_oid; /* see lane_role */
	uint64 role_generation;
} Lane;

extern int32 lane_intern(Store *store, const char *role, int32 function_id, const char *queue,
						 ArrayType *tags);
extern int32 lane_intern_like(Store *store, const Lane *like);
extern int32 lane_for_chunks(Store *store, int32 id);
extern int32 lane_for_tasks(Store *store, int32 id);
extern const Lane *lane_find(Store *store, int32 id);
extern const Lane *lane_get(Store *store, int32 id);
extern Oid lane_role(const Lane *lane);
extern int32 policy_intern(Store *store, Jsonb *policy);
extern const RetryPolicy *policy_get(Store *store, int32 id);
extern Jsonb *policy_jsonb(Store *store, int32 id);
extern void intern_init(void);

#endif
