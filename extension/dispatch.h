/*
 * dispatch.h
 *	  What dispatch() shares with spawn(): the options of a new task.
 */
#ifndef STENT_DISPATCH_H
#define STENT_DISPATCH_H

#include "postgres.h"

#include "fmgr.h"

#include "memo.h"
#include "registry.h"
#include "task.h"

/* What was given for a new task. NULL: nothing. */
typedef struct GivenOptions
{
	text *function;
	text *queue;
	const int32 *priority;
	ArrayType *tags;
	Interval *delay;
	const Timestamp *run_at;
	Interval *max_duration;
	Interval *timeout;
	Jsonb *retry;
	Jsonb *headers;
} GivenOptions;

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
extern void dispatch_check_options(Store *store, const GivenOptions *given, Options *options);
extern char *dispatch_check_key(char *key, const char *what);
extern char *dispatch_key_option(FunctionCallInfo fcinfo, int arg, const char *what);
extern void dispatch_check_utf8(Jsonb *json, const char *what);
extern void dispatch_check_args(Function *function, Handler *handler, Jsonb *args);
extern void dispatch_task(Store *store, Task *task, const Memo *memo);
extern void dispatch_new_task(const Options *options, Task *task);

#endif
