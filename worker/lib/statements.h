/*
 * statements.h
 *	  Every SQL text the library sends, by name.
 */
#ifndef STENT_STATEMENTS_H
#define STENT_STATEMENTS_H

#include <stdint.h>

#include "params.h"

typedef enum StatementId
{
	STATEMENT_CLAIM,
	STATEMENT_CLAIM_CHUNKS,
	STATEMENT_COMPLETE,
	STATEMENT_FAIL,
	STATEMENT_RELEASE,
	STATEMENT_HEARTBEAT,
	STATEMENT_LEASE_STEPS,
	STATEMENT_SUSPEND,
	STATEMENT_OUTPUT,
	STATEMENT_WORKER_START,
	STATEMENT_WORKER_HEARTBEAT,
	STATEMENT_WORKER_STOP,
	STATEMENT_WORKER_WAIT,
	STATEMENT_LISTEN,
	STATEMENT_DISPATCH,
	STATEMENT_DISPATCH_MANY,
	STATEMENT_WATCH,
	STATEMENT_WAIT,
	STATEMENT_STATE,
	STATEMENT_SIGNAL,
	STATEMENT_CANCEL,
	STATEMENT_LIST,
	STATEMENT_NEWEST,
	STATEMENT_OUTPUT_OF,
	STATEMENT_PROGRESS_OF,
	STATEMENT_WHY,
	STATEMENT_EXPLAIN,
	N_STATEMENTS
} StatementId;

/* What the rows of an answer are. */
typedef enum AnswerKind
{
	ANSWER_NOTHING,
	ANSWER_TASKS,
	ANSWER_OUTCOMES, /* one text[] */
	ANSWER_JSON,     /* one jsonb */
	ANSWER_ROWS,     /* a jsonb a row */
	ANSWER_NUMBER,   /* one bigint */
	ANSWER_NUMBERS,  /* a bigint a row */
	ANSWER_TRUTH,    /* one boolean */
	ANSWER_SECONDS   /* one double precision */
} AnswerKind;

typedef struct Statement
{
	const char *name;
	const char *sql;
	AnswerKind answer;
	int n_params;
	uint32_t types[PARAMS_MAX];
} Statement;

extern const Statement *statement_of(StatementId id);

#endif
