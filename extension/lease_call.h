/*
 * lease_call.h
 *	  One call of a worker about tasks it leases: arguments, snapshot, tidying up.
 */
#ifndef STENT_LEASE_CALL_H
#define STENT_LEASE_CALL_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"

#include "lease.h"

#define LEASE_CALL_ERROR_HINT \
	"Give an object such as {\"code\": \"ValueError\", \"message\": \"no such file\"}."

typedef struct LeaseCall
{
	Store *store;
	LeaseBook book;
	bool wait; /* for others that are at the same task */
} LeaseCall;

extern void lease_call_begin(LeaseCall *call, const char *command, bool wait);
extern void lease_call_look_again(LeaseCall *call);
extern LeaseOutcome lease_call_lock(LeaseCall *call, Lease *lease);
extern void lease_call_settle(LeaseCall *call, bool rewrite);
extern void lease_call_end(LeaseCall *call);
extern const char *lease_call_word(LeaseOutcome outcome);
extern int64 lease_call_id(FunctionCallInfo fcinfo, int arg, const char *what);
extern int lease_call_ids(FunctionCallInfo fcinfo, int64 **task_ids, int64 **tokens);
extern Jsonb **lease_call_json(FunctionCallInfo fcinfo, int arg, const char *what, int n);
extern void lease_call_check_error(Jsonb *error);
extern char *lease_call_error_code(Jsonb *error);
extern Datum lease_call_words(const char **words, int n);
extern int64 lease_call_duration(FunctionCallInfo fcinfo, int arg);

#endif
