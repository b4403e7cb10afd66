-- Holding tasks back, and moving those that wait.

CREATE FUNCTION stent.pause(queue text DEFAULT NULL, function text DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_pause';
COMMENT ON FUNCTION stent.pause(text, text) IS
  'no task of the queue, of the function, of the function in that queue, or, with nothing given, no task at all is started any more; false if that was paused already. In force for claims that begin after the commit; running tasks end by themselves, dispatch goes on. 42704 for an unknown function, 22023 for a queue name that is too long or empty';

CREATE FUNCTION stent.resume(queue text DEFAULT NULL, function text DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_resume';
COMMENT ON FUNCTION stent.resume(text, text) IS
  'lifts the pause that the same arguments made, and no other: what a task is still held by tells why(); false if there was none. 42704 for an unknown function';

CREATE FUNCTION stent.reschedule(
    id bigint,
    queue text DEFAULT NULL,
    priority integer DEFAULT NULL,
    delay interval DEFAULT NULL,
    run_at timestamp DEFAULT NULL,
    tags text[] DEFAULT NULL)
RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_reschedule';
COMMENT ON FUNCTION stent.reschedule(bigint, text, integer, interval, timestamp, text[]) IS
  'gives a queued task, which may wait for a retry, another queue, priority, tag set or time (UTC); false if it is running, taken or finished. A ready task that stays ready keeps its age; delay 0 or a run_at that has passed makes a scheduled one ready. The deadline stays. An admin may move anybody''s. P0002 for an unknown id, 22004 for NULL, 22023 for delay with run_at, a negative delay, or nothing to change, 54000 for more than 16 tags';

-- What holds a task of this lane back.
CREATE FUNCTION stent._pauses(queue text, function_id integer) RETURNS SETOF stent.pause
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT p.* FROM stent.pause p WHERE p.queue IN ('', $1) AND p.function_id IN (0, $2)
ORDER BY p.queue, p.function_id
$$;
COMMENT ON FUNCTION stent._pauses(text, integer) IS 'private: the pauses that hold a lane';

CREATE FUNCTION stent._pause_text(pause stent.pause) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
SELECT format('%s is paused since %s UTC by %s: stent.resume(%s) lifts that',
              CASE WHEN ($1).queue = '' AND ($1).function_id = 0 THEN 'everything'
                   ELSE concat_ws(' in ', 'function "' || f.name || '"', CASE WHEN ($1).queue <> '' THEN format('queue "%s"', ($1).queue) END) END,
              date_trunc('second', ($1).paused_at), ($1).paused_by,
              concat_ws(', ', CASE WHEN ($1).queue <> '' THEN quote_literal(($1).queue) END, 'function => ' || quote_literal(f.name)))
FROM (SELECT) one LEFT JOIN stent.function f ON f.id = ($1).function_id
$$;
COMMENT ON FUNCTION stent._pause_text(stent.pause) IS 'private: a pause in words';
