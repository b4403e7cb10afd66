/*
 * registry.h
 *	  Registered functions as the engine sees them.
 */
#ifndef STENT_REGISTRY_H
#define STENT_REGISTRY_H

#include "postgres.h"

#include "utils/array.h"
#include "utils/timestamp.h"

#include "handler.h"
#include "store.h"

#define MAX_NAME_LENGTH 200
#define MAX_TAGS 16
#define PRIORITY_MIN (-100)
#define PRIORITY_MAX 100

typedef struct Function
{
	int32 id; /* hash key */
	char *name;
	char *handler_name; /* NULL = external */
	char *queue;
	int priority;
	ArrayType *tags;
	int32 policy_id;
	Interval *timeout;      /* NULL = none */
	Interval *max_duration; /* NULL = none */
	bool registered;
	char *version;      /* NULL = none */
	int max_concurrent; /* 0 = no limit */
	int max_per_key;    /* running of one concurrency key */
	int rate_limit;     /* in rate_us; 0 = no limit */
	int64 rate_us;
	int rate_burst;
	bool cached;
	bool idempotent;
	Interval *cache_ttl; /* NULL = as long as retention keeps the task */
	Handler *handler;    /* once resolved */
	uint32 as_of;        /* what announce_registrations() said before it was read */
} Function;

extern Function *function_by_name(Store *store, const char *name);
extern Function *function_ever_registered(Store *store, const char *name);
extern Function *function_by_id(Store *store, int32 id);
extern int function_max_per_key(Store *store, int32 id);
extern Handler *function_handler(Function *function);
extern void function_caches_quiet(void);
extern void function_caches_stale(void);
extern void registry_init(void);

extern char *check_name(text *value, const char *what);
extern ArrayType *check_tags(ArrayType *tags);
extern int check_priority(int priority);

#endif
