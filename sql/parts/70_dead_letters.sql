CREATE FUNCTION stent.replay(id bigint, queue text DEFAULT NULL, reset_retries boolean DEFAULT true, revive_parent boolean DEFAULT false)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_replay';
COMMENT ON FUNCTION stent.replay(bigint, text, boolean, boolean) IS
  'makes a dead letter a ready task again, under the same id, and returns that id. With reset_retries its attempts count from 1, else they go on counting; it has at least one. The time it was dead does not count towards max_duration. A parent that waits for it goes on when it completes; with revive_parent so does one that has failed because of it, and that one''s parent likewise: they wait again. P0002 for an id that is not a dead letter of yours; ST011 if the parent to be revived has ended otherwise, 55000 if it failed for another reason';

CREATE FUNCTION stent.discard(id bigint) RETURNS boolean
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_discard';
COMMENT ON FUNCTION stent.discard(bigint) IS
  'gives up a dead letter: it becomes history with state failed and goes with retention. false for a known task that is no dead letter, P0002 for an unknown id';

CREATE FUNCTION stent.replay_many(
    function text DEFAULT NULL,
    error_code text DEFAULT NULL,
    older_than interval DEFAULT NULL,
    queue text DEFAULT NULL,
    reset_retries boolean DEFAULT true,
    max_tasks integer DEFAULT 1000,
    revive_parent boolean DEFAULT false)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_replay_many';
COMMENT ON FUNCTION stent.replay_many(text, text, interval, text, boolean, integer, boolean) IS
  'replays dead letters by function, error code (SQLSTATE, 2-character class or error name) and age, oldest first; returns how many. Dead letters locked by others, and those whose dedup key is in use, are passed over; with revive_parent also those whose parents cannot be brought back';

CREATE FUNCTION stent.discard_many(
    function text DEFAULT NULL,
    error_code text DEFAULT NULL,
    older_than interval DEFAULT NULL,
    max_tasks integer DEFAULT 1000)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_discard_many';
COMMENT ON FUNCTION stent.discard_many(text, text, interval, integer) IS
  'discards dead letters by function, error code and age, oldest first; returns how many';

CREATE FUNCTION stent.purge_dead_letters(
    older_than interval,
    function text DEFAULT NULL,
    error_code text DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'stent_purge_dead_letters';
COMMENT ON FUNCTION stent.purge_dead_letters(interval, text, text) IS
  'removes dead letters that died longer ago than older_than, with their history of attempts; returns how many. Nothing of them is kept';
