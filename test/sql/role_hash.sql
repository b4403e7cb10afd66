-- Ready entries are found by a hash of the role's name: two roles that share one do not share tasks.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';

CREATE FUNCTION role_hash_f() RETURNS name LANGUAGE sql AS 'SELECT current_user';
SELECT stent.register('role_hash_f', 'role_hash_f()');
-- the hash of ready.c: hash_bytes, as hashtext, to 23 bits
SELECT min(n) AS one, max(n) AS other FROM (SELECT 'role_hash_' || i AS n FROM generate_series(1, 20000) i) names
GROUP BY hashtext(n) & 8388607 HAVING count(*) = 2 ORDER BY 1 LIMIT 1 \gset
CREATE ROLE :one LOGIN;
CREATE ROLE :other LOGIN;
SELECT stent.grant_usage(:'one'), stent.grant_usage(:'other');
SET SESSION AUTHORIZATION :one;
SELECT stent.dispatch('role_hash_f') AS id \gset
SET SESSION AUTHORIZATION :other;
SELECT stent.dispatch('role_hash_f', delay => '1 hour') > 0 AS dispatched;
SELECT stent.run();
RESET SESSION AUTHORIZATION;
SELECT count(DISTINCT bucket >> 40) AS hashes FROM (SELECT task_id, bucket FROM stent.ready UNION ALL SELECT task_id, bucket FROM stent.due) b
WHERE task_id IN (SELECT id FROM stent.tasks WHERE function = 'role_hash_f');
SET stent.clock = '2026-01-01 01:00:00';
SET SESSION AUTHORIZATION :one;
SELECT stent.run();
SELECT stent.run();
SELECT stent.result_of(:id) #>> '{}' = :'one' AS own;
SET SESSION AUTHORIZATION :other;
SELECT stent.run();
SELECT stent.run();
RESET SESSION AUTHORIZATION;
SELECT role = :'one' AS first, result #>> '{}' = role AS own FROM stent.tasks WHERE function = 'role_hash_f' ORDER BY id;

SELECT stent.unregister('role_hash_f');
DROP FUNCTION role_hash_f;
DROP OWNED BY :one, :other;
DROP ROLE :one, :other;
