/*
 * statements.c
 *	  Every SQL text the library sends, by name.
 *
 * Values are parameters, never text. Names are qualified, so a search_path means nothing.
 * Functions and views of the extension only: the shapes of its tables are its own.
 * Intervals are seconds on our side.
 */
#include "statements.h"

#include "types.h"

static const Statement statements[N_STATEMENTS] = {
	[STATEMENT_CLAIM] =
		{
			"claim",
			"SELECT c.task_id, c.token, c.execution_id, c.function, c.queue, c.priority, c.attempt,"
			" c.args, c.headers, c.version, c.role,"
			" pg_catalog.date_part('epoch', c.timeout),"
			" pg_catalog.date_part('epoch', c.time_left),"
			" pg_catalog.date_part('epoch', c.lease_for)"
			" FROM stent.claim(worker => $1, max => $2, functions => $3, queues => $4, tags => $5,"
			" lease => pg_catalog.make_interval(secs => $6)) c",
			ANSWER_TASKS,
			6,
			{TYPE_TEXT, TYPE_INT4, TYPE_TEXT_ARRAY, TYPE_TEXT_ARRAY, TYPE_TEXT_ARRAY, TYPE_FLOAT8},
		},
	/* Before 0.5 the function knows neither chunks nor items. */
	[STATEMENT_CLAIM_CHUNKS] =
		{
			"claim_chunks",
			"SELECT c.task_id, c.token, c.execution_id, c.function, c.queue, c.priority, c.attempt,"
			" c.args, c.headers, c.version, c.role,"
			" pg_catalog.date_part('epoch', c.timeout),"
			" pg_catalog.date_part('epoch', c.time_left),"
			" pg_catalog.date_part('epoch', c.lease_for), c.items"
			" FROM stent.claim(worker => $1, max => $2, functions => $3, queues => $4, tags => $5,"
			" lease => pg_catalog.make_interval(secs => $6), chunks => true) c",
			ANSWER_TASKS,
			6,
			{TYPE_TEXT, TYPE_INT4, TYPE_TEXT_ARRAY, TYPE_TEXT_ARRAY, TYPE_TEXT_ARRAY, TYPE_FLOAT8},
		},
	[STATEMENT_COMPLETE] =
		{
			"complete",
			"SELECT stent.complete_many($1, $2, $3, $4)",
			ANSWER_OUTCOMES,
			4,
			{TYPE_INT8_ARRAY, TYPE_INT8_ARRAY, TYPE_JSONB_ARRAY, TYPE_JSONB_ARRAY},
		},
	[STATEMENT_FAIL] =
		{
			"fail",
			"SELECT stent.fail_many($1, $2, $3)",
			ANSWER_OUTCOMES,
			3,
			{TYPE_INT8_ARRAY, TYPE_INT8_ARRAY, TYPE_JSONB_ARRAY},
		},
	[STATEMENT_RELEASE] =
		{
			"release",
			"SELECT stent.release_many($1, $2)",
			ANSWER_OUTCOMES,
			2,
			{TYPE_INT8_ARRAY, TYPE_INT8_ARRAY},
		},
	[STATEMENT_HEARTBEAT] =
		{
			"heartbeat",
			"SELECT stent.heartbeat_many($1, $2, pg_catalog.make_interval(secs => $3))",
			ANSWER_OUTCOMES,
			3,
			{TYPE_INT8_ARRAY, TYPE_INT8_ARRAY, TYPE_FLOAT8},
		},
	[STATEMENT_LEASE_STEPS] =
		{
			"lease_steps",
			"SELECT pg_catalog.to_jsonb(s) FROM stent.lease_steps($1, $2) s ORDER BY s.position",
			ANSWER_ROWS,
			2,
			{TYPE_INT8, TYPE_INT8},
		},
	[STATEMENT_SUSPEND] =
		{
			"suspend",
			"SELECT ARRAY[stent.suspend(task_id => $1, token => $2, steps => $3, counters => $4,"
			" context => $5, shared => $6, progress => $7)]",
			ANSWER_OUTCOMES,
			7,
			{TYPE_INT8, TYPE_INT8, TYPE_JSONB, TYPE_JSONB, TYPE_JSONB, TYPE_JSONB, TYPE_JSONB},
		},
	[STATEMENT_OUTPUT] =
		{
			"output",
			"SELECT stent.append_output_many($1, $2, $3, $4, $5)",
			ANSWER_NOTHING,
			5,
			{TYPE_INT8, TYPE_INT8, TYPE_TEXT_ARRAY, TYPE_BYTEA_ARRAY, TYPE_INT8},
		},
	[STATEMENT_WORKER_START] =
		{
			"worker_start",
			"SELECT stent.worker_start(worker => $1, protocol => $2, functions => $3, queues => $4,"
			" tags => $5, slots => $6, info => COALESCE($7, '{}'),"
			" alive_for => COALESCE(pg_catalog.make_interval(secs => $8), '1 minute'))",
			ANSWER_JSON,
			8,
			{TYPE_TEXT, TYPE_INT4, TYPE_TEXT_ARRAY, TYPE_TEXT_ARRAY, TYPE_TEXT_ARRAY, TYPE_INT4,
			 TYPE_JSONB, TYPE_FLOAT8},
		},
	[STATEMENT_WORKER_HEARTBEAT] =
		{
			"worker_heartbeat",
			"SELECT stent.worker_heartbeat(worker => $1, state => $2, busy => $3)",
			ANSWER_TRUTH,
			3,
			{TYPE_TEXT, TYPE_TEXT, TYPE_INT4},
		},
	[STATEMENT_WORKER_STOP] =
		{
			"worker_stop",
			"SELECT stent.worker_stop($1)",
			ANSWER_TRUTH,
			1,
			{TYPE_TEXT},
		},
	[STATEMENT_WORKER_WAIT] =
		{
			"worker_wait",
			"SELECT pg_catalog.date_part('epoch', stent.worker_wait($1))",
			ANSWER_SECONDS,
			1,
			{TYPE_TEXT_ARRAY},
		},
	[STATEMENT_LISTEN] =
		{
			"listen",
			"LISTEN stent_work",
			ANSWER_NOTHING,
			0,
			{0},
		},
	[STATEMENT_DISPATCH] =
		{
			"dispatch",
			"SELECT stent.dispatch(function => $1, args => COALESCE($2, '{}'), queue => $3,"
			" priority => $4, tags => $5,"
			" delay => CASE WHEN $6 IS NOT NULL THEN stent.duration($6) END, run_at => $7,"
			" max_duration => CASE WHEN $8 IS NOT NULL THEN stent.duration($8) END,"
			" timeout => CASE WHEN $9 IS NOT NULL THEN stent.duration($9) END,"
			" retry => $10, dedup_key => $11, on_duplicate => COALESCE($12, 'join'),"
			" idempotency_key => $13, concurrency_key => $14, headers => $15)",
			ANSWER_NUMBER,
			15,
			{TYPE_TEXT, TYPE_JSONB, TYPE_TEXT, TYPE_INT4, TYPE_TEXT_ARRAY, TYPE_TEXT,
			 TYPE_TIMESTAMP, TYPE_TEXT, TYPE_TEXT, TYPE_JSONB, TYPE_TEXT, TYPE_TEXT, TYPE_TEXT,
			 TYPE_TEXT, TYPE_JSONB},
		},
	[STATEMENT_DISPATCH_MANY] =
		{
			"dispatch_many",
			"SELECT d FROM stent.dispatch_many(function => $1, args => $2, queue => $3,"
			" priority => $4, tags => $5,"
			" delay => CASE WHEN $6 IS NOT NULL THEN stent.duration($6) END, run_at => $7,"
			" max_duration => CASE WHEN $8 IS NOT NULL THEN stent.duration($8) END,"
			" timeout => CASE WHEN $9 IS NOT NULL THEN stent.duration($9) END,"
			" retry => $10, headers => $11) d",
			ANSWER_NUMBERS,
			11,
			{TYPE_TEXT, TYPE_JSONB_ARRAY, TYPE_TEXT, TYPE_INT4, TYPE_TEXT_ARRAY, TYPE_TEXT,
			 TYPE_TIMESTAMP, TYPE_TEXT, TYPE_TEXT, TYPE_JSONB, TYPE_JSONB},
		},
	/* So that a wait whose client has gone does not go on. */
	[STATEMENT_WATCH] =
		{
			"watch",
			"SET client_connection_check_interval = '5s'",
			ANSWER_NOTHING,
			0,
			{0},
		},
	[STATEMENT_WAIT] =
		{
			"wait",
			"SELECT stent.wait_for($1, pg_catalog.make_interval(secs => $2))",
			ANSWER_JSON,
			2,
			{TYPE_INT8, TYPE_FLOAT8},
		},
	[STATEMENT_STATE] =
		{
			"state",
			"SELECT stent.state_of($1)",
			ANSWER_JSON,
			1,
			{TYPE_INT8},
		},
	[STATEMENT_SIGNAL] =
		{
			"signal",
			"SELECT stent.signal($1, $2, COALESCE($3, 'null'))",
			ANSWER_NOTHING,
			3,
			{TYPE_INT8, TYPE_TEXT, TYPE_JSONB},
		},
	[STATEMENT_CANCEL] =
		{
			"cancel",
			"SELECT stent.cancel($1)",
			ANSWER_TRUTH,
			1,
			{TYPE_INT8},
		},
	[STATEMENT_LIST] =
		{
			"list",
			/* inside: only what is asked for becomes JSON */
			"SELECT pg_catalog.to_jsonb(n) FROM (SELECT * FROM stent.executions e"
			" WHERE ($1 IS NULL OR e.state OPERATOR(pg_catalog.=) $1)"
			" AND ($2 IS NULL OR e.function OPERATOR(pg_catalog.=) $2)"
			" AND ($3 IS NULL OR e.queue OPERATOR(pg_catalog.=) $3)"
			" ORDER BY e.id DESC LIMIT $4) n ORDER BY n.id DESC",
			ANSWER_ROWS,
			4,
			{TYPE_TEXT, TYPE_TEXT, TYPE_TEXT, TYPE_INT8},
		},
	[STATEMENT_NEWEST] =
		{
			"newest",
			"SELECT pg_catalog.to_jsonb(e) FROM stent.executions e"
			" WHERE e.id OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT n.id FROM stent.newest("
			"state => $1, function => $2, queue => $3, max_rows => $4) n(id)))"
			" ORDER BY e.id DESC",
			ANSWER_ROWS,
			4,
			{TYPE_TEXT, TYPE_TEXT, TYPE_TEXT, TYPE_INT4},
		},
	[STATEMENT_OUTPUT_OF] =
		{
			"output_of",
			"SELECT pg_catalog.jsonb_build_object('attempt', o.attempt, 'number', o.number,"
			" 'stream', o.stream, 'written_at', o.written_at, 'text', o.text,"
			" 'hex', CASE WHEN o.text IS NULL THEN pg_catalog.encode(o.data, 'hex') END)"
			" FROM stent.output_of($1, $2) o ORDER BY o.attempt, o.number",
			ANSWER_ROWS,
			2,
			{TYPE_INT8, TYPE_INT4},
		},
	[STATEMENT_PROGRESS_OF] =
		{
			"progress_of",
			"SELECT pg_catalog.to_jsonb(p) FROM stent.progress p"
			" WHERE p.execution_id OPERATOR(pg_catalog.=) $1 ORDER BY p.at, p.id",
			ANSWER_ROWS,
			1,
			{TYPE_INT8},
		},
	[STATEMENT_WHY] =
		{
			"why",
			"SELECT pg_catalog.to_jsonb(stent.why($1))",
			ANSWER_JSON,
			1,
			{TYPE_INT8},
		},
	[STATEMENT_EXPLAIN] =
		{
			"explain",
			"SELECT pg_catalog.to_jsonb(e) FROM stent.explain($1) e",
			ANSWER_ROWS,
			1,
			{TYPE_INT8},
		},
};

/* The statement of a name. */
const Statement *
statement_of(StatementId id)
{
	return &statements[id];
}
