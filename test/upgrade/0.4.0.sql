-- A database of stent 0.4.0 with a task in every place, as pg_dump wrote it: that of
-- 0.3.0, updated, with a leased task whose worker has told of itself and written output, a
-- task with a live child, and a step of before steps had numbers, adopted by a server that
-- is not here. Never edited: test/t/008_upgrade.pl restores it and updates it to the
-- present version. Its clock stood at 2026-11-20 10:00.
--
--   archived: 1 (in archive_kept) 3 4 6 10 18 43 completed, 11 timed_out, 38 cancelled
--   dead letters: 7 8 17 (replayed once)
--   ready: 20 (with a step) 22 24 27 30 31 32 40, 35 (of stent_ops), 44 (child of 43)
--   leased: 28 (external)
--   blocked: 41
--   scheduled: 25 26 29 (out of time before it runs), 42, after a failed attempt 33 34
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE EXTENSION stent VERSION '0.4.0';
COMMENT ON EXTENSION stent IS 'durable tasks: crash-safe, retried, in your own transactions';
CREATE FUNCTION public.doomed(n integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO public.effect (task_id, n) VALUES (stent.task_id(), n);
    IF NOT EXISTS (SELECT FROM public.cure c WHERE c.n = doomed.n) THEN
        RAISE EXCEPTION 'never' USING ERRCODE = '22012';
    END IF;
    RETURN n;
END $$;
CREATE PROCEDURE public.drain()
    LANGUAGE plpgsql
    AS $$
BEGIN
    FOR i IN 1 .. 40 LOOP
        PERFORM stent.run();
        COMMIT;
    END LOOP;
END $$;
CREATE FUNCTION public.family(n integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$ BEGIN PERFORM stent.spawn('work', jsonb_build_object('n', n + 1)); INSERT INTO effect VALUES (stent.task_id(), n); RETURN n; END $$;
CREATE FUNCTION public.flaky(n integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO public.effect (task_id, n) VALUES (stent.task_id(), n);
    IF stent.attempt() = 1 THEN
        RAISE EXCEPTION 'not yet';
    END IF;
    RETURN n;
END $$;
CREATE FUNCTION public.work(n integer, pad text DEFAULT ''::text) RETURNS text
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO public.effect (task_id, n) VALUES (stent.task_id(), n);
    RETURN repeat('r', n);
END $$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.cure (
    n integer
);
CREATE TABLE public.effect (
    task_id bigint NOT NULL,
    n integer NOT NULL
);
CREATE TABLE stent.archive_p20261119 (
    id bigint NOT NULL,
    execution_id bigint NOT NULL,
    created_at timestamp without time zone NOT NULL,
    finished_at timestamp without time zone NOT NULL,
    function_id integer NOT NULL,
    lane_id integer NOT NULL,
    policy_id integer NOT NULL,
    attempt smallint NOT NULL,
    replays smallint NOT NULL,
    lost smallint NOT NULL,
    crashed smallint NOT NULL,
    priority smallint NOT NULL,
    state "char" NOT NULL,
    parent_id bigint,
    due_at timestamp without time zone,
    started_at timestamp without time zone,
    deadline timestamp without time zone,
    timeout interval,
    args jsonb,
    args_ref bigint,
    headers jsonb,
    dedup_key text,
    result jsonb,
    result_ref bigint,
    error jsonb,
    concurrency_key text
);
CREATE TABLE stent.archive_p20261120 (
    id bigint NOT NULL,
    execution_id bigint NOT NULL,
    created_at timestamp without time zone NOT NULL,
    finished_at timestamp without time zone NOT NULL,
    function_id integer NOT NULL,
    lane_id integer NOT NULL,
    policy_id integer NOT NULL,
    attempt smallint NOT NULL,
    replays smallint NOT NULL,
    lost smallint NOT NULL,
    crashed smallint NOT NULL,
    priority smallint NOT NULL,
    state "char" NOT NULL,
    parent_id bigint,
    due_at timestamp without time zone,
    started_at timestamp without time zone,
    deadline timestamp without time zone,
    timeout interval,
    args jsonb,
    args_ref bigint,
    headers jsonb,
    dedup_key text,
    result jsonb,
    result_ref bigint,
    error jsonb,
    concurrency_key text
);
CREATE TABLE stent.archive_p20261121 (
    id bigint NOT NULL,
    execution_id bigint NOT NULL,
    created_at timestamp without time zone NOT NULL,
    finished_at timestamp without time zone NOT NULL,
    function_id integer NOT NULL,
    lane_id integer NOT NULL,
    policy_id integer NOT NULL,
    attempt smallint NOT NULL,
    replays smallint NOT NULL,
    lost smallint NOT NULL,
    crashed smallint NOT NULL,
    priority smallint NOT NULL,
    state "char" NOT NULL,
    parent_id bigint,
    due_at timestamp without time zone,
    started_at timestamp without time zone,
    deadline timestamp without time zone,
    timeout interval,
    args jsonb,
    args_ref bigint,
    headers jsonb,
    dedup_key text,
    result jsonb,
    result_ref bigint,
    error jsonb,
    concurrency_key text
);
CREATE TABLE stent.archive_p20261122 (
    id bigint NOT NULL,
    execution_id bigint NOT NULL,
    created_at timestamp without time zone NOT NULL,
    finished_at timestamp without time zone NOT NULL,
    function_id integer NOT NULL,
    lane_id integer NOT NULL,
    policy_id integer NOT NULL,
    attempt smallint NOT NULL,
    replays smallint NOT NULL,
    lost smallint NOT NULL,
    crashed smallint NOT NULL,
    priority smallint NOT NULL,
    state "char" NOT NULL,
    parent_id bigint,
    due_at timestamp without time zone,
    started_at timestamp without time zone,
    deadline timestamp without time zone,
    timeout interval,
    args jsonb,
    args_ref bigint,
    headers jsonb,
    dedup_key text,
    result jsonb,
    result_ref bigint,
    error jsonb,
    concurrency_key text
);
ALTER TABLE ONLY stent.archive ATTACH PARTITION stent.archive_p20261119 FOR VALUES FROM ('2026-11-19 00:00:00') TO ('2026-11-20 00:00:00');
ALTER TABLE ONLY stent.archive ATTACH PARTITION stent.archive_p20261120 FOR VALUES FROM ('2026-11-20 00:00:00') TO ('2026-11-21 00:00:00');
ALTER TABLE ONLY stent.archive ATTACH PARTITION stent.archive_p20261121 FOR VALUES FROM ('2026-11-21 00:00:00') TO ('2026-11-22 00:00:00');
ALTER TABLE ONLY stent.archive ATTACH PARTITION stent.archive_p20261122 FOR VALUES FROM ('2026-11-22 00:00:00') TO ('2026-11-23 00:00:00');
COPY public.cure (n) FROM stdin;
\.
COPY public.effect (task_id, n) FROM stdin;
1	1
3	2000
4	3
6	4
10	7
18	10
43	50
\.
COPY stent.adopted (system_identifier, mark, database_id, adopted_at) FROM stdin;
7710679406377671423	5fc59bab4835130f20f662ff65c2ded3	16607	2026-11-20 10:00:00
\.
COPY stent.archive_kept (id, execution_id, created_at, finished_at, function_id, lane_id, policy_id, attempt, replays, lost, crashed, priority, state, parent_id, due_at, started_at, deadline, timeout, args, args_ref, headers, dedup_key, result, result_ref, error, concurrency_key) FROM stdin;
1	1	2026-11-19 10:00:00	2026-11-19 10:00:00	2	9	1	1	0	0	0	0	c	\N	\N	2026-11-19 10:00:00	\N	00:01:00	{"n": 1}	\N	{"h": 1}	\N	"r"	\N	\N	\N
\.
COPY stent.archive_p20261119 (id, execution_id, created_at, finished_at, function_id, lane_id, policy_id, attempt, replays, lost, crashed, priority, state, parent_id, due_at, started_at, deadline, timeout, args, args_ref, headers, dedup_key, result, result_ref, error, concurrency_key) FROM stdin;
3	3	2026-11-19 10:00:00	2026-11-19 10:00:00	2	9	1	1	0	0	0	0	c	\N	\N	2026-11-19 10:00:00	\N	00:01:00	{"n": 2000}	\N	\N	\N	\N	12	\N	\N
4	4	2026-11-19 10:00:00	2026-11-19 10:00:00	2	9	1	1	0	0	0	0	c	\N	\N	2026-11-19 10:00:00	\N	00:01:00	\N	5	\N	done	"rrr"	\N	\N	\N
\.
COPY stent.archive_p20261120 (id, execution_id, created_at, finished_at, function_id, lane_id, policy_id, attempt, replays, lost, crashed, priority, state, parent_id, due_at, started_at, deadline, timeout, args, args_ref, headers, dedup_key, result, result_ref, error, concurrency_key) FROM stdin;
11	11	2026-11-19 10:00:00	2026-11-20 10:00:00	8	13	1	0	0	0	0	-7	t	\N	\N	\N	2026-11-19 11:00:00	\N	{"n": 8}	\N	\N	\N	\N	\N	{"code": "ST002", "message": "execution exceeded its max_duration", "retryable": false}	\N
6	6	2026-11-19 10:00:00	2026-11-20 10:00:00	4	10	3	2	0	0	0	0	c	\N	2026-11-19 10:01:00	2026-11-20 10:00:00	\N	\N	{"n": 4}	\N	{"h": "retried"}	\N	4	\N	\N	\N
10	10	2026-11-19 10:00:00	2026-11-20 10:00:00	2	9	1	1	0	0	0	0	c	\N	2026-11-20 10:00:00	2026-11-20 10:00:00	2026-11-20 11:00:00	00:01:00	{"n": 7}	\N	\N	\N	"rrrrrrr"	\N	\N	\N
18	18	2026-11-20 10:00:00	2026-11-20 10:00:00	2	9	1	1	0	0	0	0	c	\N	\N	2026-11-20 10:00:00	\N	00:01:00	{"n": 10}	\N	\N	\N	"rrrrrrrrrr"	\N	\N	\N
38	38	2026-11-20 10:00:00	2026-11-20 10:00:00	2	9	1	0	0	0	0	0	x	\N	\N	\N	\N	00:01:00	{"n": 70}	\N	\N	\N	\N	\N	{"code": "ST004", "message": "cancelled by stent_app", "retryable": false}	\N
43	43	2026-11-20 10:00:00	2026-11-20 10:00:00	23	24	1	1	0	0	0	0	c	\N	\N	2026-11-20 10:00:00	\N	\N	{"n": 50}	\N	\N	\N	50	\N	\N	\N
\.
COPY stent.archive_p20261121 (id, execution_id, created_at, finished_at, function_id, lane_id, policy_id, attempt, replays, lost, crashed, priority, state, parent_id, due_at, started_at, deadline, timeout, args, args_ref, headers, dedup_key, result, result_ref, error, concurrency_key) FROM stdin;
\.
COPY stent.archive_p20261122 (id, execution_id, created_at, finished_at, function_id, lane_id, policy_id, attempt, replays, lost, crashed, priority, state, parent_id, due_at, started_at, deadline, timeout, args, args_ref, headers, dedup_key, result, result_ref, error, concurrency_key) FROM stdin;
\.
COPY stent.attempt (task_id, replay, attempt, started_at, finished_at, error) FROM stdin;
6	0	1	2026-11-19 10:00:00	2026-11-19 10:00:00	{"code": "P0001", "context": "PL/pgSQL function flaky(integer) line 5 at RAISE", "message": "not yet", "retryable": true}
7	0	1	2026-11-19 10:00:00	2026-11-19 10:00:00	{"code": "22012", "context": "PL/pgSQL function doomed(integer) line 5 at RAISE", "message": "never", "retryable": true}
8	0	1	2026-11-19 10:00:00	2026-11-19 10:00:00	{"code": "22012", "context": "PL/pgSQL function doomed(integer) line 5 at RAISE", "message": "never", "retryable": true}
7	0	2	2026-11-20 10:00:00	2026-11-20 10:00:00	{"code": "22012", "context": "PL/pgSQL function doomed(integer) line 5 at RAISE", "message": "never", "retryable": true}
8	0	2	2026-11-20 10:00:00	2026-11-20 10:00:00	{"code": "22012", "context": "PL/pgSQL function doomed(integer) line 5 at RAISE", "message": "never", "retryable": true}
17	0	1	2026-11-20 10:00:00	2026-11-20 10:00:00	{"code": "22012", "context": "PL/pgSQL function doomed(integer) line 5 at RAISE", "message": "never", "retryable": true}
17	1	1	2026-11-20 10:00:00	2026-11-20 10:00:00	{"code": "22012", "context": "PL/pgSQL function doomed(integer) line 5 at RAISE", "message": "never", "retryable": true}
33	0	1	2026-11-20 10:00:00	2026-11-20 10:00:00	{"code": "P0001", "context": "PL/pgSQL function flaky(integer) line 5 at RAISE", "message": "not yet", "retryable": true}
34	0	1	2026-11-20 10:00:00	2026-11-20 10:00:00	{"code": "22012", "context": "PL/pgSQL function doomed(integer) line 5 at RAISE", "message": "never", "retryable": true}
\.
COPY stent.child (execution_id, parent_id, task_id) FROM stdin;
43	43	44
\.
COPY stent.context (execution_id, key, value) FROM stdin;
1	x	[1]
20	x	[2]
\.
COPY stent.counter (id, execution_id, name, delta) FROM stdin;
2	1	c	1
9	8	c	6
21	20	c	3
\.
COPY stent.dead_letter (id, execution_id, created_at, finished_at, function_id, lane_id, policy_id, attempt, replays, lost, crashed, priority, state, parent_id, due_at, started_at, deadline, timeout, args, args_ref, headers, dedup_key, result, result_ref, error, concurrency_key) FROM stdin;
7	7	2026-11-19 10:00:00	2026-11-20 10:00:00	6	11	5	2	0	0	0	0	f	\N	2026-11-19 10:01:00	2026-11-20 10:00:00	\N	\N	{"n": 5}	\N	\N	dead	\N	\N	{"code": "22012", "context": "PL/pgSQL function doomed(integer) line 5 at RAISE", "message": "never", "retryable": true}	\N
8	8	2026-11-19 10:00:00	2026-11-20 10:00:00	6	12	5	2	0	0	0	0	f	\N	2026-11-19 10:01:00	2026-11-20 10:00:00	\N	\N	{"n": 6}	\N	\N	\N	\N	\N	{"code": "22012", "context": "PL/pgSQL function doomed(integer) line 5 at RAISE", "message": "never", "retryable": true}	\N
17	17	2026-11-20 10:00:00	2026-11-20 10:00:00	6	11	14	1	1	0	0	0	f	\N	\N	2026-11-20 10:00:00	\N	\N	{"n": 9}	\N	\N	\N	\N	\N	{"code": "22012", "context": "PL/pgSQL function doomed(integer) line 5 at RAISE", "message": "never", "retryable": true}	\N
\.
COPY stent.dedup (role, function_id, key, task_id) FROM stdin;
stent_app	2	ready	24
stent_app	2	scheduled	25
stent_app	6	retried	34
\.
COPY stent.due (role_key, due_at, task_id, kind, bucket, line) FROM stdin;
2092220	2026-11-20 12:00:00	25	r	2300420647362232329	\N
2092220	2026-12-20 12:00:00	25	d	2300420647362232329	\N
2092220	2026-11-20 13:00:00	26	r	2300421076858961929	\N
2092220	2026-11-20 12:00:00	29	r	2300420647362232338	\N
2092220	2026-11-20 13:00:00	29	d	2300420647362232338	\N
2092220	2026-11-20 10:01:00	33	r	2300420647362232340	\N
2092220	2026-11-20 10:01:00	34	r	2300420647362232341	\N
2092220	2026-11-20 11:00:00	42	r	2300420647362232329	\N
2092220	2026-11-20 11:00:00	1275818785453587	l	2300420677427003405	\N
\.
COPY stent.function (id, name, handler, queue, priority, tags, policy_id, timeout, max_duration, version, registered, registered_at, max_concurrent, max_per_key, rate_limit, rate_interval, rate_burst, cached, cache_ttl, idempotent) FROM stdin;
2	work	public.work(integer,pg_catalog.text)	default	0	{a,b}	1	00:01:00	\N	7	t	2026-11-19 10:00:00	\N	1	\N	\N	\N	f	\N	f
4	flaky	public.flaky(integer)	default	0	{}	3	\N	\N	\N	t	2026-11-19 10:00:00	\N	1	\N	\N	\N	f	\N	f
6	doomed	public.doomed(integer)	default	0	{}	5	\N	\N	\N	t	2026-11-19 10:00:00	\N	1	\N	\N	\N	f	\N	f
8	abroad	\N	far	-7	{}	1	\N	\N	\N	t	2026-11-19 10:00:00	\N	1	\N	\N	\N	f	\N	f
7	gone	public.work(integer,pg_catalog.text)	old	0	{}	1	\N	\N	\N	f	2026-11-19 10:00:00	\N	1	\N	\N	\N	f	\N	f
23	family	public.family(integer)	fam	0	{}	1	\N	\N	\N	t	2026-11-20 10:00:00	\N	1	\N	\N	\N	f	\N	f
\.
COPY stent.lane (id, digest, role, function_id, queue, tags) FROM stdin;
9	6665749630313456273	stent_app	2	default	{a,b}
10	834581255024198771	stent_app	4	default	{}
11	872613362228970609	stent_app	6	default	{}
12	6627294196594559577	stent_app	6	q	{}
13	2236392634422760428	stent_app	8	far	{}
15	391617691927607161	stent_app	2	q	{a,b}
16	-8612776379127345440	stent_app	2	default	{c}
17	5670427502486955995	stent_app	7	old	{}
18	1235956837498997992	stent_app	2	late	{a,b}
19	118030288368040636	stent_app	2	many	{a,b}
20	-2908111288709093957	stent_app	4	first	{}
21	-3015346657766087239	stent_app	6	first	{}
22	-8179042840412626653	stent_ops	2	q	{a,b}
24	3518541880347930204	stent_app	23	fam	{}
\.
COPY stent.lease (token, part, worker, claimed_at, expires_at, due_at, bucket, places, task_ids, marks) FROM stdin;
1275818785453587	0	w1	2026-11-20 10:00:00	2026-11-20 11:00:00	2026-11-20 11:00:00	2300420677427003405	f	{28}	{0}
\.
COPY stent.line (line, "position", task_id, blocked, bucket) FROM stdin;
3036255778692983763	40	40	f	2300420647362232329
3036255778692983763	41	41	t	2300420647362232329
\.
COPY stent.memo (key, task_id, ttl) FROM stdin;
\\xc1c67b31b4bafe79fb24a4bb35417b3ee3e68bf1983c83272c1eea5122a62b43	40	\N
\.
COPY stent.output (task_id, replay, attempt, claimed_at, number, stream, written_at, data) FROM stdin;
28	0	1	2026-11-20 10:00:00	1	stdout	2026-11-20 10:00:00	\\x68656c6c6f
\.
COPY stent.pause (queue, function_id, paused_at, paused_by) FROM stdin;
\.
COPY stent.payload (id, value) FROM stdin;
5	{"n": 3, "pad": "pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"}
12	"rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr"
23	{"n": 21, "pad": "pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"}
\.
COPY stent.place (kind, what, number, task_id) FROM stdin;
\.
COPY stent.progress_entry (execution_id, id, task_id, lane_id, attempt, step, detail, at) FROM stdin;
\.
COPY stent.rate (function_id, part, full_at) FROM stdin;
\.
COPY stent.ready (bucket, "position", task_id, task_tid, line) FROM stdin;
2300420647362232329	20	20	(0,19)	\N
2300420608707526671	22	22	(0,20)	\N
2300420647362232336	24	24	(0,21)	\N
2300420647362232337	27	27	(0,24)	\N
2300420625887395859	30	30	(0,27)	\N
2300420625887395859	31	31	(0,28)	\N
2300420625887395859	32	32	(0,29)	\N
3554435649073315862	35	35	(0,34)	\N
2300420647362232329	40	40	(0,15)	3036255778692983763
2300420647362232329	44	44	(0,19)	\N
\.
COPY stent.retry_policy (id, digest, policy) FROM stdin;
1	-6018661613539025863	{"jitter": 0.1, "max_delay": "1m", "retry_for": null, "max_attempts": 3, "no_retry_for": [], "initial_delay": "1s", "backoff_factor": 2}
3	-1283864838395826973	{"jitter": 0, "max_delay": "1m", "retry_for": ["P0001"], "max_attempts": 4, "no_retry_for": [], "initial_delay": "5m", "backoff_factor": 2}
5	5041639273974021944	{"jitter": 0, "max_delay": "1m", "retry_for": null, "max_attempts": 2, "no_retry_for": [], "initial_delay": "5m", "backoff_factor": 2}
14	-2036573555057265381	{"jitter": 0, "max_delay": "1m", "retry_for": null, "max_attempts": 1, "no_retry_for": [], "initial_delay": "5m", "backoff_factor": 2}
\.
COPY stent.shared_value (key, value) FROM stdin;
total	41
\.
COPY stent.signal (execution_id, name, number, payload, sent_at, sent_by) FROM stdin;
\.
COPY stent.step (task_id, "position", name, kind, function_id, args_digest, state, child_id, created_at, finished_at, result, result_ref, error) FROM stdin;
20	1	\N	record	\N	\N	c	\N	2026-11-20 10:00:00	2026-11-20 10:00:00	1	\N	\N
\.
COPY stent.tally (id, lane_id, completed, failed, timed_out, cancelled, retried, dead, run_us, last_at) FROM stdin;
36	11	0	0	0	0	0	2	0	\N
37	12	0	0	0	0	0	1	0	\N
39	9	0	0	0	1	0	0	0	2026-11-20 10:00:00
45	24	1	0	0	0	0	0	0	2026-11-20 10:00:00
\.
COPY stent.task (id, execution_id, created_at, function_id, lane_id, policy_id, attempt, replays, lost, crashed, priority, state, parent_id, due_at, deadline, "position", timeout, args, args_ref, headers, dedup_key, concurrency_key) FROM stdin;
20	20	2026-11-20 10:00:00	2	9	1	0	0	0	0	0	r	\N	\N	\N	\N	00:01:00	{"n": 20}	\N	{"h": 20}	\N	\N
22	22	2026-11-20 10:00:00	2	15	1	0	0	0	0	9	r	\N	\N	\N	\N	00:01:00	\N	23	\N	\N	\N
24	24	2026-11-20 10:00:00	2	16	1	0	0	0	0	0	r	\N	\N	\N	\N	00:01:00	{"n": 22}	\N	\N	ready	\N
25	25	2026-11-20 10:00:00	2	9	1	0	0	0	0	0	s	\N	2026-11-20 12:00:00	2026-12-20 12:00:00	\N	00:01:00	{"n": 23}	\N	\N	scheduled	\N
26	26	2026-11-20 10:00:00	2	9	1	0	0	0	0	-100	s	\N	2026-11-20 13:00:00	\N	\N	00:01:00	{"n": 24}	\N	\N	\N	\N
27	27	2026-11-20 10:00:00	7	17	1	0	0	0	0	0	r	\N	\N	\N	\N	\N	{"n": 25}	\N	\N	\N	\N
28	28	2026-11-20 10:00:00	8	13	1	0	0	0	0	-7	r	\N	\N	\N	\N	\N	{"n": 26}	\N	\N	\N	\N
29	29	2026-11-20 10:00:00	2	18	1	0	0	0	0	0	s	\N	2026-11-20 12:00:00	2026-11-20 13:00:00	\N	00:01:00	{"n": 27}	\N	\N	\N	\N
30	30	2026-11-20 10:00:00	2	19	1	0	0	0	0	5	r	\N	\N	\N	\N	00:01:00	{"n": 30}	\N	\N	\N	\N
31	31	2026-11-20 10:00:00	2	19	1	0	0	0	0	5	r	\N	\N	\N	\N	00:01:00	{"n": 31}	\N	\N	\N	\N
32	32	2026-11-20 10:00:00	2	19	1	0	0	0	0	5	r	\N	\N	\N	\N	00:01:00	{"n": 32}	\N	\N	\N	\N
33	33	2026-11-20 10:00:00	4	20	3	1	0	0	0	0	s	\N	2026-11-20 10:01:00	\N	\N	\N	{"n": 40}	\N	\N	\N	\N
34	34	2026-11-20 10:00:00	6	21	5	1	0	0	0	0	s	\N	2026-11-20 10:01:00	\N	\N	\N	{"n": 41}	\N	\N	retried	\N
35	35	2026-11-20 10:00:00	2	22	1	0	0	0	0	0	r	\N	\N	\N	\N	00:01:00	{"n": 50}	\N	\N	\N	\N
40	40	2026-11-20 10:00:00	2	9	1	0	0	0	0	0	r	\N	\N	\N	\N	00:01:00	{"n": 7}	\N	\N	\N	k
41	41	2026-11-20 10:00:00	2	9	1	0	0	0	0	0	b	\N	\N	\N	\N	00:01:00	{"n": 8}	\N	\N	\N	k
42	42	2026-11-20 10:00:00	2	9	1	0	0	0	0	0	s	\N	2026-11-20 11:00:00	\N	\N	00:01:00	{"n": 9}	\N	\N	\N	k
44	43	2026-11-20 10:00:00	2	9	1	0	0	0	0	0	r	43	\N	\N	\N	00:01:00	{"n": 51}	\N	\N	\N	\N
\.
COPY stent.worker (name, state, protocol, functions, queues, tags, slots, busy, info, role, started_at, seen_at, alive_for, alive_until, stopped_at) FROM stdin;
\.
SELECT pg_catalog.setval('stent.id_seq', 45, true);
SELECT pg_catalog.setval('stent.small_id_seq', 24, true);
ALTER TABLE ONLY stent.archive_p20261119
    ADD CONSTRAINT archive_p20261119_pkey PRIMARY KEY (id);
ALTER TABLE ONLY stent.archive_p20261120
    ADD CONSTRAINT archive_p20261120_pkey PRIMARY KEY (id);
ALTER TABLE ONLY stent.archive_p20261121
    ADD CONSTRAINT archive_p20261121_pkey PRIMARY KEY (id);
ALTER TABLE ONLY stent.archive_p20261122
    ADD CONSTRAINT archive_p20261122_pkey PRIMARY KEY (id);
GRANT USAGE ON SCHEMA stent TO stent_app;
GRANT USAGE ON SCHEMA stent TO stent_ops;
GRANT ALL ON PROCEDURE public.drain() TO stent_app;
GRANT ALL ON FUNCTION stent._board_now(OUT role oid, OUT lane_id integer, OUT priority integer, OUT ready bigint, OUT scheduled bigint, OUT exact boolean, OUT blocked bigint) TO stent_app;
GRANT ALL ON FUNCTION stent._board_now(OUT role oid, OUT lane_id integer, OUT priority integer, OUT ready bigint, OUT scheduled bigint, OUT exact boolean, OUT blocked bigint) TO stent_ops;
GRANT ALL ON FUNCTION stent._bucket(role text, priority integer, lane_id integer) TO stent_app;
GRANT ALL ON FUNCTION stent._bucket(role text, priority integer, lane_id integer) TO stent_ops;
GRANT ALL ON FUNCTION stent._is_admin() TO stent_app;
GRANT ALL ON FUNCTION stent._is_admin() TO stent_ops;
GRANT ALL ON FUNCTION stent._is_running(task_id bigint) TO stent_app;
GRANT ALL ON FUNCTION stent._is_running(task_id bigint) TO stent_ops;
GRANT ALL ON FUNCTION stent._leased_now(OUT task_id bigint, OUT execution_id bigint, OUT worker text, OUT claimed_at timestamp without time zone, OUT expires_at timestamp without time zone, OUT attempt integer, OUT lane_id integer, OUT function_id integer) TO stent_app;
GRANT ALL ON FUNCTION stent._leased_now(OUT task_id bigint, OUT execution_id bigint, OUT worker text, OUT claimed_at timestamp without time zone, OUT expires_at timestamp without time zone, OUT attempt integer, OUT lane_id integer, OUT function_id integer) TO stent_ops;
GRANT ALL ON FUNCTION stent._leases(OUT worker text, OUT leased bigint, OUT expired bigint, OUT expires_at timestamp without time zone) TO stent_app;
GRANT ALL ON FUNCTION stent._leases(OUT worker text, OUT leased bigint, OUT expired bigint, OUT expires_at timestamp without time zone) TO stent_ops;
GRANT ALL ON FUNCTION stent._oldest_ready(OUT lane_id integer, OUT function_id integer, OUT task_id bigint, OUT ready_at timestamp without time zone, OUT external boolean) TO stent_app;
GRANT ALL ON FUNCTION stent._oldest_ready(OUT lane_id integer, OUT function_id integer, OUT task_id bigint, OUT ready_at timestamp without time zone, OUT external boolean) TO stent_ops;
GRANT ALL ON FUNCTION stent._running_now(OUT task_id bigint, OUT execution_id bigint, OUT pid integer, OUT started_at timestamp without time zone, OUT attempt integer, OUT executor boolean, OUT lane_id integer, OUT function_id integer, OUT step text) TO stent_app;
GRANT ALL ON FUNCTION stent._running_now(OUT task_id bigint, OUT execution_id bigint, OUT pid integer, OUT started_at timestamp without time zone, OUT attempt integer, OUT executor boolean, OUT lane_id integer, OUT function_id integer, OUT step text) TO stent_ops;
GRANT ALL ON FUNCTION stent._state_name(state "char") TO stent_app;
GRANT ALL ON FUNCTION stent._state_name(state "char") TO stent_ops;
GRANT ALL ON FUNCTION stent.adopt() TO stent_ops;
GRANT ALL ON FUNCTION stent.append_output(task_id bigint, token bigint, stream text, data bytea, number bigint) TO stent_ops;
GRANT ALL ON FUNCTION stent.append_output_many(task_id bigint, token bigint, streams text[], data bytea[], first_number bigint) TO stent_ops;
GRANT ALL ON FUNCTION stent.attempt() TO stent_app;
GRANT ALL ON FUNCTION stent.attempt() TO stent_ops;
GRANT ALL ON FUNCTION stent.cancel(id bigint) TO stent_app;
GRANT ALL ON FUNCTION stent.cancel(id bigint) TO stent_ops;
GRANT ALL ON FUNCTION stent.canonical(json jsonb) TO stent_app;
GRANT ALL ON FUNCTION stent.canonical(json jsonb) TO stent_ops;
GRANT ALL ON FUNCTION stent.claim(worker text, max integer, functions text[], queues text[], tags text[], lease interval, OUT task_id bigint, OUT token bigint, OUT execution_id bigint, OUT function text, OUT queue text, OUT priority integer, OUT attempt integer, OUT args jsonb, OUT headers jsonb, OUT version text, OUT role text, OUT timeout interval, OUT time_left interval, OUT lease_for interval) TO stent_ops;
GRANT ALL ON FUNCTION stent.cleanup(older_than interval) TO stent_ops;
GRANT ALL ON FUNCTION stent.complete(task_id bigint, token bigint, result jsonb, counters jsonb, context jsonb, shared jsonb, progress jsonb) TO stent_ops;
GRANT ALL ON FUNCTION stent.complete_many(task_ids bigint[], tokens bigint[], results jsonb[], effects jsonb[]) TO stent_ops;
GRANT ALL ON FUNCTION stent.context_get(key text) TO stent_app;
GRANT ALL ON FUNCTION stent.context_get(key text) TO stent_ops;
GRANT ALL ON FUNCTION stent.context_set(key text, value jsonb, strategy text) TO stent_app;
GRANT ALL ON FUNCTION stent.context_set(key text, value jsonb, strategy text) TO stent_ops;
GRANT ALL ON FUNCTION stent.counter(name text) TO stent_app;
GRANT ALL ON FUNCTION stent.counter(name text) TO stent_ops;
GRANT ALL ON FUNCTION stent.counter_add(name text, delta numeric) TO stent_app;
GRANT ALL ON FUNCTION stent.counter_add(name text, delta numeric) TO stent_ops;
GRANT ALL ON FUNCTION stent.discard(id bigint) TO stent_app;
GRANT ALL ON FUNCTION stent.discard(id bigint) TO stent_ops;
GRANT ALL ON FUNCTION stent.discard_many(function text, error_code text, older_than interval, max_tasks integer) TO stent_app;
GRANT ALL ON FUNCTION stent.discard_many(function text, error_code text, older_than interval, max_tasks integer) TO stent_ops;
GRANT ALL ON FUNCTION stent.dispatch(function text, args jsonb, queue text, priority integer, tags text[], delay interval, run_at timestamp without time zone, max_duration interval, timeout interval, retry jsonb, dedup_key text, on_duplicate text, idempotency_key text, concurrency_key text, headers jsonb, counters jsonb, context jsonb) TO stent_app;
GRANT ALL ON FUNCTION stent.dispatch(function text, args jsonb, queue text, priority integer, tags text[], delay interval, run_at timestamp without time zone, max_duration interval, timeout interval, retry jsonb, dedup_key text, on_duplicate text, idempotency_key text, concurrency_key text, headers jsonb, counters jsonb, context jsonb) TO stent_ops;
GRANT ALL ON FUNCTION stent.dispatch_many(function text, args jsonb[], queue text, priority integer, tags text[], delay interval, run_at timestamp without time zone, max_duration interval, timeout interval, retry jsonb, headers jsonb) TO stent_app;
GRANT ALL ON FUNCTION stent.dispatch_many(function text, args jsonb[], queue text, priority integer, tags text[], delay interval, run_at timestamp without time zone, max_duration interval, timeout interval, retry jsonb, headers jsonb) TO stent_ops;
GRANT ALL ON FUNCTION stent.duration(value text) TO stent_app;
GRANT ALL ON FUNCTION stent.duration(value text) TO stent_ops;
GRANT ALL ON FUNCTION stent.execution_id() TO stent_app;
GRANT ALL ON FUNCTION stent.execution_id() TO stent_ops;
GRANT ALL ON FUNCTION stent.fail(task_id bigint, token bigint, error jsonb) TO stent_ops;
GRANT ALL ON FUNCTION stent.fail_many(task_ids bigint[], tokens bigint[], errors jsonb[]) TO stent_ops;
GRANT ALL ON FUNCTION stent.get_task_pool_size() TO stent_app;
GRANT ALL ON FUNCTION stent.get_task_pool_size() TO stent_ops;
GRANT ALL ON FUNCTION stent.headers() TO stent_app;
GRANT ALL ON FUNCTION stent.headers() TO stent_ops;
GRANT ALL ON FUNCTION stent.health() TO stent_ops;
GRANT ALL ON FUNCTION stent.heartbeat(task_id bigint, token bigint, lease interval) TO stent_ops;
GRANT ALL ON FUNCTION stent.heartbeat_many(task_ids bigint[], tokens bigint[], lease interval) TO stent_ops;
GRANT ALL ON FUNCTION stent.now() TO stent_app;
GRANT ALL ON FUNCTION stent.now() TO stent_ops;
GRANT ALL ON FUNCTION stent.output_of(id bigint, attempt integer) TO stent_app;
GRANT ALL ON FUNCTION stent.output_of(id bigint, attempt integer) TO stent_ops;
GRANT ALL ON FUNCTION stent.pause(queue text, function text) TO stent_ops;
GRANT ALL ON FUNCTION stent.progress(step text, detail jsonb) TO stent_app;
GRANT ALL ON FUNCTION stent.progress(step text, detail jsonb) TO stent_ops;
GRANT ALL ON FUNCTION stent.purge_dead_letters(older_than interval, function text, error_code text) TO stent_app;
GRANT ALL ON FUNCTION stent.purge_dead_letters(older_than interval, function text, error_code text) TO stent_ops;
GRANT ALL ON FUNCTION stent.register(name text, handler regprocedure, queue text, priority integer, tags text[], max_concurrent integer, rate_limit integer, rate_interval interval, retry jsonb, timeout interval, max_duration interval, cached boolean, cache_ttl interval, idempotent boolean, version text, rate_burst integer, max_per_key integer) TO stent_ops;
GRANT ALL ON FUNCTION stent.release(task_id bigint, token bigint) TO stent_ops;
GRANT ALL ON FUNCTION stent.release_many(task_ids bigint[], tokens bigint[]) TO stent_ops;
GRANT ALL ON FUNCTION stent.replay(id bigint, queue text, reset_retries boolean) TO stent_app;
GRANT ALL ON FUNCTION stent.replay(id bigint, queue text, reset_retries boolean) TO stent_ops;
GRANT ALL ON FUNCTION stent.replay_many(function text, error_code text, older_than interval, queue text, reset_retries boolean, max_tasks integer) TO stent_app;
GRANT ALL ON FUNCTION stent.replay_many(function text, error_code text, older_than interval, queue text, reset_retries boolean, max_tasks integer) TO stent_ops;
GRANT ALL ON FUNCTION stent.reschedule(id bigint, queue text, priority integer, delay interval, run_at timestamp without time zone, tags text[]) TO stent_app;
GRANT ALL ON FUNCTION stent.reschedule(id bigint, queue text, priority integer, delay interval, run_at timestamp without time zone, tags text[]) TO stent_ops;
GRANT ALL ON FUNCTION stent.result_of(id bigint) TO stent_app;
GRANT ALL ON FUNCTION stent.result_of(id bigint) TO stent_ops;
GRANT ALL ON FUNCTION stent.resume(queue text, function text) TO stent_ops;
GRANT ALL ON FUNCTION stent.run(max_tasks integer, queues text[]) TO stent_app;
GRANT ALL ON FUNCTION stent.run(max_tasks integer, queues text[]) TO stent_ops;
GRANT ALL ON FUNCTION stent.set_task_pool_size(size integer) TO stent_app;
GRANT ALL ON FUNCTION stent.set_task_pool_size(size integer) TO stent_ops;
GRANT ALL ON FUNCTION stent.shared_add_int(key text, delta bigint) TO stent_app;
GRANT ALL ON FUNCTION stent.shared_add_int(key text, delta bigint) TO stent_ops;
GRANT ALL ON FUNCTION stent.shared_delete(key text) TO stent_app;
GRANT ALL ON FUNCTION stent.shared_delete(key text) TO stent_ops;
GRANT ALL ON FUNCTION stent.shared_get(key text) TO stent_app;
GRANT ALL ON FUNCTION stent.shared_get(key text) TO stent_ops;
GRANT ALL ON FUNCTION stent.shared_has(key text) TO stent_app;
GRANT ALL ON FUNCTION stent.shared_has(key text) TO stent_ops;
GRANT ALL ON FUNCTION stent.shared_set(key text, value jsonb) TO stent_app;
GRANT ALL ON FUNCTION stent.shared_set(key text, value jsonb) TO stent_ops;
GRANT ALL ON FUNCTION stent.signal(execution bigint, name text, payload jsonb) TO stent_app;
GRANT ALL ON FUNCTION stent.signal(execution bigint, name text, payload jsonb) TO stent_ops;
GRANT ALL ON FUNCTION stent.spawn(function text, args jsonb, queue text, priority integer, tags text[], delay interval, run_at timestamp without time zone, timeout interval, retry jsonb, concurrency_key text, headers jsonb) TO stent_app;
GRANT ALL ON FUNCTION stent.spawn(function text, args jsonb, queue text, priority integer, tags text[], delay interval, run_at timestamp without time zone, timeout interval, retry jsonb, concurrency_key text, headers jsonb) TO stent_ops;
GRANT ALL ON FUNCTION stent.start(executors integer) TO stent_app;
GRANT ALL ON FUNCTION stent.start(executors integer) TO stent_ops;
GRANT ALL ON FUNCTION stent.state_of(id bigint) TO stent_app;
GRANT ALL ON FUNCTION stent.state_of(id bigint) TO stent_ops;
GRANT ALL ON FUNCTION stent.stop() TO stent_app;
GRANT ALL ON FUNCTION stent.stop() TO stent_ops;
GRANT ALL ON FUNCTION stent.task_id() TO stent_app;
GRANT ALL ON FUNCTION stent.task_id() TO stent_ops;
GRANT ALL ON FUNCTION stent.unregister(name text) TO stent_ops;
GRANT ALL ON FUNCTION stent.wait_for(id bigint, timeout interval) TO stent_app;
GRANT ALL ON FUNCTION stent.wait_for(id bigint, timeout interval) TO stent_ops;
GRANT ALL ON PROCEDURE stent.wait_until_done(IN id bigint, IN timeout interval, INOUT result jsonb) TO stent_app;
GRANT ALL ON PROCEDURE stent.wait_until_done(IN id bigint, IN timeout interval, INOUT result jsonb) TO stent_ops;
GRANT ALL ON FUNCTION stent.why(id bigint) TO stent_app;
GRANT ALL ON FUNCTION stent.why(id bigint) TO stent_ops;
GRANT ALL ON FUNCTION stent.worker_heartbeat(worker text, state text, busy integer, alive_for interval) TO stent_ops;
GRANT ALL ON FUNCTION stent.worker_start(worker text, protocol integer, functions text[], queues text[], tags text[], slots integer, info jsonb, alive_for interval) TO stent_ops;
GRANT ALL ON FUNCTION stent.worker_stop(worker text) TO stent_ops;
GRANT ALL ON FUNCTION stent.worker_wait(queues text[]) TO stent_ops;
GRANT SELECT ON TABLE public.cure TO stent_app;
GRANT SELECT ON TABLE public.cure TO stent_ops;
GRANT SELECT,INSERT ON TABLE public.effect TO stent_app;
GRANT SELECT,INSERT ON TABLE public.effect TO stent_ops;
GRANT SELECT ON TABLE stent.dead_letters TO stent_app;
GRANT SELECT ON TABLE stent.dead_letters TO stent_ops;
GRANT SELECT ON TABLE stent.tasks TO stent_app;
GRANT SELECT ON TABLE stent.tasks TO stent_ops;
GRANT SELECT ON TABLE stent.executions TO stent_app;
GRANT SELECT ON TABLE stent.executions TO stent_ops;
GRANT SELECT ON TABLE stent.functions TO stent_app;
GRANT SELECT ON TABLE stent.functions TO stent_ops;
GRANT SELECT ON TABLE stent.progress TO stent_app;
GRANT SELECT ON TABLE stent.progress TO stent_ops;
GRANT SELECT ON TABLE stent.queues TO stent_app;
GRANT SELECT ON TABLE stent.queues TO stent_ops;
GRANT SELECT ON TABLE stent.running TO stent_app;
GRANT SELECT ON TABLE stent.running TO stent_ops;
GRANT SELECT ON TABLE stent.stats TO stent_app;
GRANT SELECT ON TABLE stent.stats TO stent_ops;
GRANT SELECT ON TABLE stent.workers TO stent_app;
GRANT SELECT ON TABLE stent.workers TO stent_ops;
