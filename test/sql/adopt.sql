-- adopt() replaces whatever row says who runs this database; private to the admin grant.
-- What is preloaded makes no difference here.
SET client_min_messages = warning; -- without preloading it says so
\set VERBOSITY terse
INSERT INTO stent.adopted (system_identifier, mark, database_id, adopted_at) VALUES ('1', 'theirs', 1, '2026-01-01'), ('2', 'theirs', 1, '2026-01-01');
SELECT r ->> 'adopted' AS adopted, (r ->> 'why') ~ '^stent.adopted has 2 rows' AS why FROM stent._identity_report() r;
DELETE FROM stent.adopted WHERE system_identifier = '1';
SELECT r ->> 'adopted' AS adopted, (r ->> 'why') ~ '^system identifier 2 adopted this database' AS why FROM stent._identity_report() r;
SELECT stent.adopt();
SELECT count(*) FROM stent.adopted WHERE mark = 'theirs';
SELECT stent.adopt();
-- read-only
BEGIN READ ONLY;
SELECT stent.adopt();
ROLLBACK;
-- undone with the transaction
DELETE FROM stent.adopted;
INSERT INTO stent.adopted (system_identifier, mark, database_id, adopted_at) VALUES ('1', 'theirs', 1, '2026-01-01');
BEGIN;
SELECT stent.adopt();
ROLLBACK;
SELECT system_identifier, mark, database_id FROM stent.adopted;
-- privileges
CREATE ROLE adopt_app;
CREATE ROLE adopt_admin;
SELECT stent.grant_usage('adopt_app'), stent.grant_usage('adopt_admin', 'admin');
SET ROLE adopt_app;
SELECT stent.adopt();
SELECT stent._identity_report();
SELECT FROM stent.adopted;
SET ROLE adopt_admin;
SELECT FROM stent.adopted;
SELECT stent.adopt();
RESET ROLE;
SELECT count(*) FROM stent.adopted WHERE mark = 'theirs';
-- a hostile search_path changes nothing
CREATE SCHEMA adopt_evil;
CREATE TABLE adopt_evil.adopted AS SELECT * FROM stent.adopted WITH NO DATA;
SET search_path = adopt_evil, stent, pg_catalog;
SELECT adopt();
RESET search_path;
DELETE FROM stent.adopted;
DROP SCHEMA adopt_evil CASCADE;
DROP OWNED BY adopt_app, adopt_admin;
DROP ROLE adopt_app, adopt_admin;
