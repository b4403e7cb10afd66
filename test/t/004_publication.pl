# Everything works while a FOR ALL TABLES publication covers the tables.
#
# PostgreSQL refuses UPDATE and DELETE on a published table without a replica
# identity; all tables and partitions need a primary key. What direct access
# writes must be decoded like any other change.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('publisher');
$node->init(allows_streaming => 'logical');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION stent;
	CREATE FUNCTION work(n int, pad text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		IF n = 0 AND stent.attempt() = 1 THEN RAISE EXCEPTION 'not yet'; END IF;
		IF n < 0 THEN RAISE EXCEPTION 'never'; END IF;
		RETURN repeat('r', n);
	END $$;
	SELECT stent.register('work', 'work(int, text)', retry => '{"initial_delay": "0s", "max_attempts": 2}');
	CREATE PUBLICATION everything FOR ALL TABLES;
	SELECT pg_create_logical_replication_slot('changes', 'pgoutput');
});

my $drain = q{DO $$ BEGIN LOOP PERFORM stent.run(); COMMIT; EXIT WHEN NOT EXISTS (SELECT FROM stent.task); END LOOP; END $$};
my $states = q{SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM stent.tasks GROUP BY 1) s};

$node->safe_psql('postgres', q{
	SELECT stent.dispatch('work', '{"n": 1}', counters => '{"c": 1}', context => '{"x": 1}', headers => '{"h": 1}');
	SELECT stent.dispatch('work', '{"n": 0}', dedup_key => 'k');
	SELECT stent.dispatch('work', '{"n": -1}');
	SELECT stent.dispatch('work', jsonb_build_object('n', 3000, 'pad', repeat('x', 3000)), delay => '1 microsecond', max_duration => '1h');
	SELECT stent.dispatch('work', '{"n": 1}', max_duration => '1 microsecond');
	SELECT stent.dispatch('work', '{"n": 2}', dedup_key => 'r', delay => '1h');
	SELECT stent.dispatch('work', '{"n": 3}', dedup_key => 'r', on_duplicate => 'replace');
	SELECT count(*) FROM stent.dispatch_many('work', array_fill('{"n": 4}'::jsonb, ARRAY[600]));
});
$node->safe_psql('postgres', $drain);
is($node->safe_psql('postgres', $states), 'completed 604, failed 1, timed_out 1', 'dispatch, run, retry, deadline, replace');

$node->safe_psql('postgres', q{SELECT stent.replay(id) FROM stent.dead_letters});
$node->safe_psql('postgres', $drain);
$node->safe_psql('postgres', q{SELECT stent.replay_many()});
$node->safe_psql('postgres', $drain);
is($node->safe_psql('postgres', q{SELECT attempt, replays FROM stent.tasks WHERE state = 'failed'}), '2|2', 'replay');
is($node->safe_psql('postgres', q{SELECT stent.discard(id) FROM stent.dead_letters}), 't', 'discard');

$node->safe_psql('postgres', q{SELECT stent.register('work', 'work(int, text)', queue => 'other'); SELECT stent.unregister('work')});
$node->safe_psql('postgres', q{SELECT stent.cleanup('0')});
is($node->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM stent.tasks), (SELECT count(*) FROM stent.payload), (SELECT count(*) FROM stent.attempt),
		(SELECT count(*) FROM stent.counter), (SELECT count(*) FROM stent.context)}), '0|0|0|0|0', 'cleanup row by row');
$node->safe_psql('postgres', q{SET stent.clock = '+30d'; SELECT stent.cleanup('1d')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'stent.archive'::regclass AND
	right(inhrelid::regclass::text, 8) <= to_char(stent.now(), 'YYYYMMDD')}), 0, 'cleanup by partition');

# I, U, D are the first bytes of pgoutput's messages about rows
is($node->safe_psql('postgres', q{
	SELECT string_agg(kind, '' ORDER BY kind) FROM (
		SELECT DISTINCT chr(get_byte(data, 0)) AS kind
		FROM pg_logical_slot_get_binary_changes('changes', NULL, NULL, 'proto_version', '1', 'publication_names', 'everything')) k
	WHERE kind IN ('I', 'U', 'D')}), 'DIU', 'inserts, updates and deletes are decoded');
is($node->safe_psql('postgres', q{
	SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'stent'::regnamespace AND c.relkind = 'r'
		AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)}), '', 'every table has a primary key');

done_testing();
