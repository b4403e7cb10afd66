/*
 * retry.h
 *	  Retry policies: reading, storing whole, deciding.
 */
#ifndef STENT_RETRY_H
#define STENT_RETRY_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef struct RetryPolicy
{
	int max_attempts; /* including the first */
	int64 initial_delay_us;
	int64 max_delay_us;
	double backoff_factor;
	double jitter;
	int n_retry_for; /* -1 = everything */
	char **retry_for;
	int n_no_retry_for;
	char **no_retry_for;
} RetryPolicy;

extern const RetryPolicy retry_defaults;

extern RetryPolicy *retry_parse(Jsonb *given, const RetryPolicy *base);
extern Jsonb *retry_to_jsonb(const RetryPolicy *policy);
extern bool retry_allowed(const RetryPolicy *policy, const char *code);
extern bool retry_code_matches(const char *entry, const char *code);
extern int64 retry_delay_us(const RetryPolicy *policy, int attempt);

#endif
