/*
 * dispatch.h
 *	  What dispatch() shares with spawn(): the options of a new task.
 */
#ifndef STENT_DISPATCH_H
#define STENT_DISPATCH_H

#include "postgres.h"

#include "fmgr.h"

#include "registry.h"
#include "task.h"

/* The options of a dispatch, read and checked. NULL or NO_TIME: not given. */
typedef struct Options
{
	Function *function;
	char *queue;
	int priority;
	ArrayType *tags;
	Timestamp now;
	Timestamp due_at;
	Timestamp deadline;
	Interval *timeout;
	int32 policy_id;
	int32 lane_id;
	int64 bucket;
	Jsonb *headers;
	char role[NAMEDATALEN];
} Options;

/* Which argument holds which option; -1 where the function lacks it. */
typedef struct OptionArgs
{
	int queue;
	int priority;
	int tags;
	int delay;
	int run_at;
	int max_duration;
	int timeout;
	int retry;
	int headers;
} OptionArgs;

extern void dispatch_read_options(FunctionCallInfo fcinfo, Store *store, const OptionArgs *at,
								  Options *options);
extern char *dispatch_key_option(FunctionCallInfo fcinfo, int arg, const char *what);
extern void dispatch_check_args(Function *function, Handler *handler, Jsonb *args);
extern void dispatch_new_task(const Options *options, Task *task);

#endif
