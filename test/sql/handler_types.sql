-- A parameter's type that is renamed between dispatch and run: a clean failed attempt, and the task runs once it is back.
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
\pset format unaligned
\pset tuples_only on

CREATE TYPE types_pair AS (a int, b int);
CREATE FUNCTION types_f(p types_pair) RETURNS int LANGUAGE sql AS 'SELECT p.a';
SELECT stent.register('types_f', 'types_f(types_pair)', retry => '{"max_attempts": 3, "initial_delay": "0s"}');
SELECT stent.dispatch('types_f', '{"p": {"a": 1, "b": 2}}') AS id \gset
ALTER TYPE types_pair RENAME TO types_other;
SELECT stent.run();
SELECT state, attempt, error ->> 'code', error ->> 'message', error ->> 'hint' FROM stent.tasks WHERE id = :id;
SELECT stent.dispatch('types_f', '{"p": {"a": 1, "b": 2}}');
ALTER TYPE types_other RENAME TO types_pair;
-- another shape of the same type: args are cast to what it is now
ALTER TYPE types_pair DROP ATTRIBUTE b;
ALTER TYPE types_pair ADD ATTRIBUTE c text;
SELECT stent.run();
SELECT state, attempt, result FROM stent.tasks WHERE id = :id;
SELECT stent.unregister('types_f');
DROP FUNCTION types_f;
DROP TYPE types_pair;
