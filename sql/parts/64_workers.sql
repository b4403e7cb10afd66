-- What workers tell of themselves, and what their programs write. They are of the grant
-- 'worker'; output_of() is of 'app'.

CREATE FUNCTION stent.worker_start(
    worker text,
    protocol integer DEFAULT 1,
    functions text[] DEFAULT NULL,
    queues text[] DEFAULT NULL,
    tags text[] DEFAULT NULL,
    slots integer DEFAULT NULL,
    info jsonb DEFAULT '{}',
    alive_for interval DEFAULT '1 minute')
RETURNS jsonb
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_worker_start';
COMMENT ON FUNCTION stent.worker_start(text, integer, text[], text[], text[], integer, jsonb, interval) IS
  'tells that a worker has started, what it serves (NULL: all) and how many tasks at a time; shown by the view workers and used by why(), claims do not need it. The worker is starting until its first worker_heartbeat, and taken for lost once it was silent for alive_for (1 second to 1 day). A name that is there already is that of a worker which was restarted. Returns {"protocol", "version", "lease_seconds", "chunks"}: whether claim() takes chunks => true. ST013 for a protocol that this version does not speak (the hint names those it does), 55000 in a copy of a database, until stent.adopt(), 22004 for NULL, 22023 for a value out of range, 54000 for more than 1000 names or an info over 8000 bytes';

CREATE FUNCTION stent.worker_heartbeat(
    worker text,
    state text DEFAULT 'ready',
    busy integer DEFAULT NULL,
    alive_for interval DEFAULT NULL)
RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_worker_heartbeat';
COMMENT ON FUNCTION stent.worker_heartbeat(text, text, integer, interval) IS
  'tells that a worker is alive, its state (starting, ready, draining), and how many of its slots are busy; NULL leaves busy and alive_for as they were. False for a worker that is not known or has stopped: start it again. Leases are renewed by heartbeat(), not by this. 22004 for NULL, 22023 for another state or a value out of range';

CREATE FUNCTION stent.worker_stop(worker text) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_worker_stop';
COMMENT ON FUNCTION stent.worker_stop(text) IS
  'tells that a worker has ended; false if it is not known or has stopped already. What it has leased stays leased: it releases that before';

CREATE FUNCTION stent._forget_workers() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DELETE FROM stent.worker
WHERE name IN (SELECT w.name FROM stent.worker w
               WHERE COALESCE(w.stopped_at, w.alive_until)
                     < stent.now() - greatest(stent._retention(), interval '1 day')
               FOR UPDATE SKIP LOCKED)
$$;
COMMENT ON FUNCTION stent._forget_workers() IS
  'private: removes workers that stopped or fell silent before retention, and at least a day ago; where retention is off, a day';

CREATE FUNCTION stent.append_output(task_id bigint, token bigint, stream text, data bytea, number bigint DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_append_output';
COMMENT ON FUNCTION stent.append_output(bigint, bigint, text, bytea, bigint) IS
  'stores what the program of a leased task wrote to stdout, stderr or any stream of a name of 1 to 63 bytes. Rows are numbered from 1 after each claim: number NULL takes the next; a number that is there already is left as it is, so that a call may be repeated. ST012 if the token does not hold the task any more, 22004 for NULL, 22023 for a bad stream or number, 54000 for more than 1 MB of data';

CREATE FUNCTION stent.append_output_many(task_id bigint, token bigint, streams text[], data bytea[], first_number bigint DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_append_output_many';
COMMENT ON FUNCTION stent.append_output_many(bigint, bigint, text[], bytea[], bigint) IS
  'the same for 1 to 1000 rows, numbered from first_number on; all or nothing';

CREATE FUNCTION stent.output_of(id bigint, attempt integer DEFAULT NULL)
RETURNS TABLE (attempt integer, number bigint, stream text, written_at timestamp, data bytea, text text)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'stent_output_of';
COMMENT ON FUNCTION stent.output_of(bigint, integer) IS
  'what the program of an external task wrote, in order: of all attempts, those before a replay first, or of one attempt since the latest replay. text is data as UTF-8, NULL where it is not. P0002 for an unknown id, 22004 for NULL';
