# Upgrades from every released version, with the new library all along.
#
# A database updated to the present version must have exactly the objects of one
# that was created with it: column order too, for the engine numbers columns. What
# was there before must work after: tasks in every state, results, dead letters,
# keys, grants, partitions. A database still at an old version must either work
# or tell to ALTER EXTENSION stent UPDATE, and lose nothing.
#
# test/upgrade/<version>.sql is a database of that version, see its head.
use strict;
use warnings;
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'stent'\nstent.databases = ''\nstent.retention = 'off'");
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE stent_app LOGIN; CREATE ROLE stent_ops LOGIN');

# Everything that belongs to the extension or lies in its schema: what it is
# called, which property, its value. Partitions made at run time do neither.
my $catalogue = q{
	-- pg_attver, where a server has it, counts the changes of a column
	WITH extension AS (SELECT * FROM pg_extension WHERE extname = 'stent'),
	member AS (SELECT d.classid, d.objid FROM pg_depend d, extension e
		WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'),
	rel AS (SELECT c.*, 'relation ' || c.oid::regclass AS label FROM pg_class c
		WHERE (c.relnamespace = 'stent'::regnamespace OR c.oid IN (SELECT objid FROM member WHERE classid = 'pg_class'::regclass))
			AND c.relkind NOT IN ('i', 'I', 't') AND NOT c.relispartition),
	col AS (SELECT a.*, label FROM rel JOIN pg_attribute a ON a.attrelid = rel.oid AND a.attnum > 0),
	func AS (SELECT p.*, 'function ' || p.oid::regprocedure AS label FROM pg_proc p
		WHERE p.pronamespace = 'stent'::regnamespace OR p.oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)),
	typ AS (SELECT t.*, 'type ' || t.oid::regtype AS label FROM pg_type t
		WHERE t.typrelid = 0 AND t.typelem = 0
			AND (t.typnamespace = 'stent'::regnamespace OR t.oid IN (SELECT objid FROM member WHERE classid = 'pg_type'::regclass))),
	sub AS (SELECT 'pg_constraint'::regclass AS classid, k.oid AS objid,
			COALESCE(rel.label, typ.label) || ' constraint ' || conname AS label
		FROM pg_constraint k LEFT JOIN rel ON rel.oid = conrelid LEFT JOIN typ ON typ.oid = contypid
		WHERE rel.oid IS NOT NULL OR typ.oid IS NOT NULL
		UNION ALL SELECT 'pg_trigger'::regclass, g.oid, label || ' trigger ' || tgname
		FROM rel JOIN pg_trigger g ON tgrelid = rel.oid WHERE NOT tgisinternal
		UNION ALL SELECT 'pg_rewrite'::regclass, w.oid, label || ' rule ' || rulename FROM rel JOIN pg_rewrite w ON ev_class = rel.oid
		UNION ALL SELECT 'pg_policy'::regclass, l.oid, label || ' policy ' || polname FROM rel JOIN pg_policy l ON polrelid = rel.oid
		UNION ALL SELECT 'pg_class'::regclass, indexrelid, label || ' index ' || indexrelid::regclass FROM rel JOIN pg_index i ON indrelid = rel.oid
		UNION ALL SELECT 'pg_statistic_ext'::regclass, s.oid, label || ' statistics ' || stxname FROM rel JOIN pg_statistic_ext s ON stxrelid = rel.oid),
	-- whose privileges, comment and initial privileges count
	object AS (
		SELECT 'pg_class'::regclass AS classid, oid AS objid, 0 AS subid, label, relowner AS owner, relacl AS acl,
			CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char" AS kind FROM rel WHERE relkind <> 'c'
		UNION ALL SELECT 'pg_class'::regclass, col.attrelid, attnum, col.label || '.' || attname, relowner, attacl, 'c' FROM col JOIN rel ON rel.oid = attrelid
		UNION ALL SELECT 'pg_proc'::regclass, oid, 0, label, proowner, proacl, 'f' FROM func
		UNION ALL SELECT 'pg_type'::regclass, oid, 0, label, typowner, typacl, 'T' FROM typ
		UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, 'schema ' || nspname, nspowner, nspacl, 'n' FROM pg_namespace WHERE nspname = 'stent'
		UNION ALL SELECT 'pg_extension'::regclass, oid, 0, 'extension', extowner, NULL, NULL FROM extension
		UNION ALL SELECT classid, objid, 0, label, NULL, NULL, NULL FROM sub),
	line (label, property, value) AS (
		SELECT 'extension', x.property, x.value FROM extension, LATERAL (VALUES
			('version', extversion), ('schema', extnamespace::regnamespace::text), ('relocatable', extrelocatable::text)) x (property, value)
		UNION ALL SELECT 'extension', 'member', i.type || ' ' || i.identity
		FROM member, LATERAL pg_identify_object(classid, objid, 0) i
		UNION ALL SELECT 'extension', 'dumps ' || c.oid::regclass, COALESCE('where ' || NULLIF(c.condition, ''), 'whole')
		FROM extension, unnest(extconfig, extcondition) c (oid, condition)
		UNION ALL SELECT label, x.property, x.value FROM rel LEFT JOIN pg_am m ON m.oid = relam, LATERAL (VALUES
			('kind', relkind::text), ('persistence', relpersistence::text), ('access method', amname::text),
			('options', array_to_string(ARRAY(SELECT unnest(reloptions) ORDER BY 1), ', ')), ('replica identity', relreplident::text),
			('row security', concat_ws(' ', relrowsecurity, relforcerowsecurity)), ('partitioned', pg_get_partkeydef(rel.oid)),
			('definition', CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(rel.oid) END)) x (property, value)
		UNION ALL SELECT label, 'column ' || to_char(attnum, 'FM00'), concat_ws(', ', attname, format_type(atttypid, atttypmod),
			CASE WHEN attnotnull THEN 'not null' END, 'default ' || pg_get_expr(adbin, adrelid),
			'generated ' || NULLIF(concat(attgenerated, attidentity), ''), 'storage ' || concat(attstorage, attcompression),
			'collation ' || NULLIF(attcollation, 0)::regcollation::text, CASE WHEN attisdropped THEN 'dropped' END,
			'options ' || NULLIF(array_to_string(ARRAY(SELECT o FROM unnest(attoptions) o WHERE o !~ '^pg_attver='), ' '), ''))
		FROM col LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
		UNION ALL SELECT label, 'definition', CASE classid
			WHEN 'pg_constraint'::regclass THEN pg_get_constraintdef(objid) WHEN 'pg_trigger'::regclass THEN pg_get_triggerdef(objid)
			WHEN 'pg_rewrite'::regclass THEN pg_get_ruledef(objid) WHEN 'pg_class'::regclass THEN pg_get_indexdef(objid)
			WHEN 'pg_statistic_ext'::regclass THEN pg_get_statisticsobjdef(objid)
			ELSE (SELECT concat_ws('; ', polcmd, polpermissive, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
				FROM pg_policy WHERE oid = objid) END
		FROM sub
		UNION ALL SELECT label, 'state', concat_ws(' ', indisvalid, indisreplident, indisclustered) FROM sub JOIN pg_index ON indexrelid = objid
		UNION ALL SELECT label, 'enabled', tgenabled::text FROM sub JOIN pg_trigger g ON classid = 'pg_trigger'::regclass AND g.oid = objid
		UNION ALL SELECT label, 'sequence', concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle)
		FROM rel JOIN pg_sequence ON seqrelid = rel.oid
		UNION ALL SELECT label, x.property, x.value FROM func JOIN pg_language g ON g.oid = prolang, LATERAL (VALUES
			('kind', prokind::text), ('arguments', pg_get_function_arguments(func.oid)), ('result', pg_get_function_result(func.oid)),
			('language', lanname::text), ('volatility', provolatile::text), ('parallel', proparallel::text), ('strict', proisstrict::text),
			('security definer', prosecdef::text), ('leakproof', proleakproof::text), ('settings', array_to_string(proconfig, ', ')),
			('cost, rows', concat_ws(', ', procost, prorows)), ('support', NULLIF(prosupport, 0)::regproc::text), ('library', probin),
			('source', COALESCE(pg_get_function_sqlbody(func.oid), prosrc))) x (property, value)
		UNION ALL SELECT label, x.property, x.value FROM typ, LATERAL (VALUES ('kind', typtype::text), ('base', NULLIF(typbasetype, 0)::regtype::text),
			('not null', typnotnull::text), ('default', typdefault),
			('labels', (SELECT string_agg(enumlabel, ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = typ.oid))) x (property, value)
		UNION ALL SELECT label, 'owner', owner::regrole::text FROM object WHERE owner IS NOT NULL AND kind IS DISTINCT FROM 'c'
		UNION ALL SELECT label, 'comment', d.description FROM object o
			JOIN pg_description d ON d.classoid = o.classid AND d.objoid = o.objid AND d.objsubid = subid
		UNION ALL SELECT label, p.property || COALESCE(NULLIF(x.grantee, 0)::regrole::text, 'PUBLIC'),
			string_agg(x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END, ', ' ORDER BY x.privilege_type)
		FROM object o LEFT JOIN pg_init_privs i ON i.classoid = o.classid AND i.objoid = o.objid AND i.objsubid = subid,
			LATERAL (VALUES ('granted to ', o.acl), ('initially granted to ', i.initprivs)) p (property, acl),
			LATERAL aclexplode(COALESCE(p.acl, acldefault(kind, owner))) x
		WHERE kind IS NOT NULL
		GROUP BY 1, 2)
	SELECT concat(label, ', ', property, ': ', replace(rtrim(value, E'\n'), E'\n', E'\n        | ')) FROM line WHERE value <> ''
	ORDER BY label COLLATE "C", property COLLATE "C", value COLLATE "C"};

sub catalogue
{
	my ($database, $wanted, $before) = @_;

	return join("\n", grep { !$wanted || /$wanted/ } split(/\n/, $node->safe_psql($database, ($before // '') . $catalogue))) . "\n";
}

# Passes when both texts are the same; else shows where they differ.
sub same
{
	my ($have, $wanted, $name) = @_;
	my @files = map { $node->basedir . "/$_" } 'fresh', 'upgraded';

	return pass($name) if $have eq $wanted;
	append_to_file($_->[0], $_->[1]) for [ $files[0], $wanted ], [ $files[1], $have ];
	fail($name);
	diag(scalar(`diff -U 1 --label 'fresh: -' --label 'upgraded: +' $files[0] $files[1]`));
	unlink @files;
}

sub as
{
	my ($role, $database, $sql) = @_;

	return $node->safe_psql($database, $sql, extra_params => [ '-U', $role ]);
}

# One line of SQL of an app in a database of an old version.
my $hint = qr/HINT:  .*ALTER EXTENSION stent UPDATE/;
sub works_or_says
{
	my ($role, $database, $sql, $name) = @_;
	my ($out, $err);
	my $status = $node->psql($database, $sql, stdout => \$out, stderr => \$err, extra_params => [ '-U', $role ]);

	ok($status == 0 || $err =~ $hint, "$name: works or tells to update") or diag($err);
	return $status == 0 ? $out : undef;
}

# Tasks, results and errors as text; the columns are those of the first release.
my $holds = q{
	SELECT 'task', id, concat_ws(' ', execution_id, function, queue, state, priority, tags, role, attempt, max_attempts, replays, created_at,
		due_at, started_at, finished_at, deadline, timeout, args, result, error, headers, dedup_key, retry, external) FROM stent.tasks
	UNION ALL SELECT 'state', id, (SELECT jsonb_object_agg(k, s -> k) FROM unnest('{state,attempts,counters,context,result,error}'::text[]) k)::text
		FROM stent.tasks, LATERAL (SELECT stent.state_of(id) AS s) s
	UNION ALL SELECT 'dead', id, concat_ws(' ', function, reason, error_code, attempt, replays, role, args, died_at) FROM stent.dead_letters
	UNION ALL SELECT 'function', 0, concat_ws(' ', name, handler, kind, queue, priority, tags, retry, timeout, max_duration, version) FROM stent.functions
	ORDER BY 1, 2, 3};

# Tasks that neither ended nor wait for a worker or for a time to come, and
# completed ones whose effect is not there once.
my $astray = q{
	SELECT id, state, args ->> 'n', (SELECT count(*) FROM effect WHERE task_id = id) FROM stent.tasks
	WHERE (finished_at IS NULL AND function <> 'abroad' AND (due_at IS NULL OR due_at <= stent.now()))
		OR (state = 'completed') <> ((SELECT count(*) FROM effect WHERE task_id = id) = 1)};

# Restores the database of an old version; its clock is two days on.
sub restore
{
	my ($version, $database) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', File::Spec->devnull, '-d', $node->connstr($database),
			'-f', "test/upgrade/$version.sql" ], "$database: restored");
	$node->safe_psql('postgres', "ALTER DATABASE $database SET stent.clock = '2026-11-22 12:00'");
}

# What the databases must come to, whenever their tasks are run: id, state,
# attempts, effects. Each is that of the version before, updated.
my $ends = join("\n", (map { "$_|completed|1|1" } 1, 3, 4), '6|completed|2|1', '7|completed|1|1', '10|completed|1|1',
		'11|timed_out|0|0', '17|failed|1|0', '18|completed|1|1', '20|completed|1|1', (map { "$_|completed|1|1" } 22, 24 .. 27),
		'28|ready|0|0', '29|timed_out|0|0', (map { "$_|completed|1|1" } 30 .. 32), '33|completed|2|1', '34|completed|1|1', '35|completed|1|1');
my %ends = map { $_ => $ends } '0.1.0', '0.2.0', '0.3.0', '0.4.0';

# Uses all that the old database brought; then its tasks must have ended as they
# should. 8 is discarded, 7 and 34 are cured and replayed.
sub use_it
{
	my ($version, $database, $drained) = @_;
	my $partition = q{
		SELECT string_agg(replace(l, c.relname, 'PARTITION'), E'\n' ORDER BY l) FROM pg_class c, LATERAL (
			SELECT concat_ws(' ', attnum, attname, format_type(atttypid, atttypmod), attnotnull, attstorage, attisdropped)
			FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0
			UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = c.oid
			UNION ALL SELECT conname || pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE conrelid = c.oid
			UNION ALL SELECT concat_ws(' ', relowner::regrole, reloptions, relpersistence, relreplident)
			UNION ALL SELECT concat_ws(' ', NULLIF(grantee, 0)::regrole, privilege_type) FROM aclexplode(COALESCE(relacl, acldefault('r', relowner)))) x (l)
		WHERE c.relnamespace = 'stent'::regnamespace AND c.relname = };

	is(as('stent_app', $database, q{
		SELECT id, attempt, replays FROM stent.dead_letters WHERE id < 30 ORDER BY id}), "7|2|0\n8|2|0\n17|1|1", "$database: dead letters are there");
	if (!$drained)
	{
		is(as('stent_app', $database, q{SELECT stent.dispatch('work', '{"n": 0}', dedup_key => 'ready'), stent.dispatch('work', '{"n": 0}', dedup_key => 'scheduled'),
				stent.dispatch('doomed', '{"n": 0}', dedup_key => 'retried')}), '24|25|34', "$database: live dedup keys are joined");
	}
	as('stent_app', $database, 'CALL drain()');
	as('stent_ops', $database, 'CALL drain()');
	is(as('stent_app', $database, q{SELECT id, attempt FROM stent.dead_letters ORDER BY id}), "7|2\n8|2\n17|1\n34|2", "$database: the retried one is dead, too");
	$node->safe_psql($database, 'INSERT INTO cure VALUES (5), (41)');
	is(as('stent_app', $database, q{SELECT stent.replay(7), stent.discard(8)}), '7|t', "$database: a dead letter is replayed, one discarded");
	is(as('stent_ops', $database, q{SELECT stent.replay_many(error_code => '22012')}), '2', "$database: the rest by code");
	as('stent_app', $database, 'CALL drain()');
	is($node->safe_psql($database, q{
		SELECT id, state, attempt, (SELECT count(*) FROM effect WHERE task_id = id AND n = (args ->> 'n')::int)
		FROM stent.tasks WHERE id <> 8 AND id <= 35 ORDER BY id}), $ends{$version}, "$database: all end as they should, each effect once");
	is(as('stent_app', $database, q{
		SELECT stent.result_of(1), length(stent.result_of(3) #>> '{}'), stent.result_of(4), stent.result_of(6), stent.result_of(7),
			length(stent.result_of(22) #>> '{}'), stent.result_of(33)}), '"r"|2000|"rrr"|4|5|21|40', "$database: results");
	for my $ended ([ 17, '22012', 'never' ], [ 11, 'ST002', 'max_duration' ], [ 28, 'ST001', 'not finished' ])
	{
		my ($id, $code, $message) = @$ended;
		my $err;
		$node->psql($database, "\\set VERBOSITY verbose\nSELECT stent.result_of($id)", stderr => \$err);
		like($err, qr/ERROR:  $code: .*$message/, "$database: result_of($id) raises $code");
	}
	is(as('stent_app', $database, q{SELECT stent.state_of(20) -> 'counters', stent.state_of(20) -> 'context', stent.state_of(33) #>> '{attempts,0,error,message}'}),
		'{"c": 3}|{"x": [2]}|not yet', "$database: counters, context, failed attempts");
	is(as('stent_app', $database, q{SELECT stent.dispatch('work', '{"n": 1}', dedup_key => 'ready') > 35}), 't', "$database: new ids, and a key that is free again");
	as('stent_app', $database, 'CALL drain()');

	# what runs late makes partitions beside the old ones
	my @made = map { $node->safe_psql($database, "$partition '$_'") } 'archive_p20261120', 'archive_p20261124';
	same("$made[0]\n", "$made[1]\n", "$database: partitions of before and after are alike");
	isnt($made[0], '', "$database: they are there");
	is($node->safe_psql($database, q{SELECT count(*) FROM pg_depend WHERE deptype = 'e' AND objid IN
			(SELECT inhrelid FROM pg_inherits WHERE inhparent = 'stent.archive'::regclass)}), 0, "$database: no members of the extension");

	$node->safe_psql('postgres', "ALTER DATABASE $database SET stent.clock = '2026-12-30 12:00'");
	$node->safe_psql($database, q{SELECT stent.cleanup('1d'), stent.purge_dead_letters('1d')});
	is($node->safe_psql($database, q{
		SELECT (SELECT string_agg(state, ',') FROM stent.tasks), (SELECT count(*) FROM stent.payload), (SELECT count(*) FROM stent.attempt),
			(SELECT count(*) FROM stent.counter), (SELECT count(*) FROM stent.context)}), 'ready|0|0|0|0', "$database: cleanup leaves what lives");
	$node->safe_psql($database, 'DROP EXTENSION stent');
	is($node->safe_psql($database, q{SELECT count(*) FROM pg_class WHERE relname ~ '^archive'}), 0, "$database: DROP EXTENSION takes all");
}

$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION stent');
my $fresh = catalogue('fresh');
my $present = $node->safe_psql('fresh', q{SELECT extversion FROM pg_extension WHERE extname = 'stent'});
cmp_ok($fresh =~ tr/\n//, '>', 1000, "the catalogue of $present has substance");

# the comparison has eyes: each of these changes it
for my $change (
	'ALTER EXTENSION stent DROP TABLE stent.step',
	q{UPDATE pg_extension SET extcondition[1] = 'WHERE true' WHERE extname = 'stent'},
	'ALTER TABLE stent.task ADD n int',
	'ALTER TABLE stent.step DROP error, ADD error jsonb',
	'ALTER TABLE stent.task ALTER created_at DROP NOT NULL',
	'ALTER TABLE stent.task ALTER attempt SET DEFAULT 0',
	'ALTER TABLE stent.task RESET (autovacuum_vacuum_threshold)',
	'ALTER TABLE stent.task DROP CONSTRAINT task_state_is_live',
	'CREATE INDEX ON stent.task (due_at)',
	'COMMENT ON COLUMN stent.tasks.attempt IS NULL',
	'GRANT SELECT ON stent.task TO stent_app',
	'GRANT USAGE ON SCHEMA stent TO PUBLIC',
	'GRANT EXECUTE ON FUNCTION stent.now() TO PUBLIC',
	'ALTER SEQUENCE stent.id_seq CACHE 2',
	'ALTER FUNCTION stent.now() STABLE',
	'ALTER FUNCTION stent.cleanup(interval) RESET ALL',
	'ALTER FUNCTION stent.cleanup(interval) SECURITY INVOKER',
	'ALTER VIEW stent.tasks RESET (security_barrier)',
	'CREATE TYPE stent.mood AS ENUM ()',
	q{UPDATE pg_proc SET prosrc = prosrc || ' ' WHERE proname = 'cleanup'},
	q{DELETE FROM pg_init_privs WHERE objoid = 'stent.now()'::regprocedure},)
{
	isnt(catalogue('fresh', undef, "BEGIN; $change;"), $fresh, "seen: $change");
}

my @versions = split(/\n/, $node->safe_psql('postgres', qq{
	SELECT version FROM pg_available_extension_versions WHERE name = 'stent' AND version <> '$present' ORDER BY version}));
is_deeply(\@versions, [ sort keys %ends ], 'each released version has a database to start from');
for my $version (@versions)
{
	my $v = $version =~ s/\W/_/gr;
	my ($empty, $straight, $mixed, $served) = map { "${_}_$v" } 'empty', 'straight', 'mixed', 'served';

	# nothing in it
	$node->safe_psql('postgres', "CREATE DATABASE $empty");
	$node->safe_psql($empty, "CREATE EXTENSION stent VERSION '$version'");
	$node->safe_psql($empty, 'ALTER EXTENSION stent UPDATE');
	same(catalogue($empty), $fresh, "$empty: fresh equals upgraded");

	# children with any args, run by the new library: there are no maps that they could be items of
	if ($version ge '0.4.0')
	{
		$node->safe_psql('postgres', "CREATE DATABASE children_$v");
		$node->safe_psql("children_$v", "CREATE EXTENSION stent VERSION '$version'; ALTER DATABASE children_$v SET stent.clock = '2026-11-22 12:00'");
		is($node->safe_psql("children_$v", q{
			CREATE FUNCTION child(args jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT args';
			CREATE FUNCTION parent() RETURNS bigint LANGUAGE sql AS $$ SELECT stent.spawn('child', '[1, 2]') $$;
			DO $$ BEGIN PERFORM stent.register('child', 'child(jsonb)'), stent.register('parent', 'parent()'), stent.dispatch('parent'); END $$;
			DO $$ BEGIN WHILE stent.run() > 0 LOOP END LOOP; END $$;
			SELECT state, result FROM stent.tasks WHERE function = 'child'}), 'completed|[1, 2]', "children_$v: a child ends");
	}

	# updated at once
	restore($version, $straight);
	my $before = $node->safe_psql($straight, $holds);
	my @granted = grep { /granted to stent_/ } split(/\n/, catalogue($straight));
	cmp_ok(scalar(@granted), '>', 10, "$straight: grants of before");
	$node->safe_psql($straight, 'ALTER EXTENSION stent UPDATE');
	is($node->safe_psql($straight, $holds), $before, "$straight: all is there");
	my $after = catalogue($straight);
	# a public function may have got more arguments, a private one may be gone
	my ($names, @named) = map { s/(?<=\w)\([^\n]*\)(?=, granted to)//gr } $after, @granted;
	is(join("\n", grep { !/function stent\._/ && index($names, "$_\n") < 0 } @named), '', "$straight: grants of before are there");
	same(join("\n", grep { !/granted to stent_/ || /initially/ } split(/\n/, $after)) . "\n", $fresh,
		"$straight: fresh equals upgraded, but for the grants, which pg_dump takes for the user's");
	use_it($version, $straight);

	# used with the new library before
	restore($version, $mixed);
	is($node->psql($mixed, q{
		SELECT fmgr_c_validator(p.oid) FROM pg_proc p JOIN pg_language l ON l.oid = prolang
		WHERE lanname = 'c' AND pronamespace = 'stent'::regnamespace}), 0, "$mixed: the library has every function that $version calls");
	my $session = $node->background_psql($mixed, on_error_stop => 0, extra_params => [ '-U', 'stent_app' ]);
	$session->query(q{PREPARE dispatch AS SELECT stent.dispatch('work', '{"n": 60}', queue => 'crossing')});
	$session->query('EXECUTE dispatch');
	$session->query('SELECT stent.run(1)');
	$session->query('BEGIN; SELECT stent.run(1); ROLLBACK');
	my %made = map { $_ => 1 } split(/\n/, as('stent_app', $mixed, 'SELECT id FROM stent.tasks'));
	for my $sql (q{SELECT stent.dispatch('work', '{"n": 61}')}, q{SELECT stent.dispatch('work', '{"n": 62}', dedup_key => 'ready')},
		q{SELECT stent.dispatch('work', '{"n": 63}', delay => '1h', max_duration => '2h', queue => 'q', tags => '{c}')},
		q{SELECT stent.dispatch_many('work', '{"{\"n\": 64}", "{\"n\": 65}"}')})
	{
		$made{$_} = 1 for split(/\n/, works_or_says('stent_app', $mixed, $sql, "$mixed: $sql") // '');
	}
	works_or_says('stent_app', $mixed, $_, "$mixed: $_")
	  for 'SELECT stent.run(2)', 'SELECT stent.run()', 'SELECT stent.run(1, \'{first}\')', 'SELECT stent.result_of(3)', 'SELECT stent.state_of(7)',
	  'SELECT * FROM stent.tasks', 'SELECT * FROM stent.dead_letters', 'SELECT stent.replay(17)', 'SELECT stent.run()';
	works_or_says('stent_ops', $mixed, q{SELECT stent.dispatch('later', '{"n": 66}')}, "$mixed: dispatched what was registered now")
	  if defined works_or_says('stent_ops', $mixed, q{SELECT stent.register('later', 'work(int, text)')}, "$mixed: register");
	works_or_says('stent_ops', $mixed, $_, "$mixed: $_") for 'SELECT stent.run()', q{SELECT stent.cleanup('1y')};
	$node->safe_psql($mixed, 'ALTER EXTENSION stent UPDATE');
	is(join(',', grep { $node->safe_psql($mixed, "SELECT count(*) FROM stent.tasks WHERE id = $_") ne '1' } sort keys %made), '',
		"$mixed: what was acknowledged is there");
	$session->{stderr} = '';
	$session->query('EXECUTE dispatch');
	$session->query('SELECT stent.run(1)') for 1 .. 3;
	is($session->{stderr}, '', "$mixed: a session that saw the update goes on");
	$session->quit;
	as($_, $mixed, 'CALL drain()') for 'stent_app', 'stent_ops';
	is($node->safe_psql($mixed, $astray), '', "$mixed: nothing is stuck, no effect lost or doubled");

	# served by executors, before the update and after
  SKIP:
	{
		skip 'no executors', 3 if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_settings WHERE name = 'stent.databases'}) eq '0';
		restore($version, $served);
		$node->adjust_conf('postgresql.conf', 'stent.databases', "'$served'");
		$node->restart;
		$node->safe_psql($served, 'ALTER EXTENSION stent UPDATE');
		# from 0.2.0 on a database knows that it is a copy
		is($node->safe_psql($served, 'SELECT stent.adopt()'), 't', "$served: adopted") if $version ne '0.1.0';
		ok($node->poll_query_until($served, q{SELECT NOT EXISTS (SELECT FROM stent.tasks WHERE finished_at IS NULL AND function <> 'abroad')}),
			"$served: executors run what was there");
		is($node->safe_psql($served, $astray), '', "$served: no effect lost or doubled");
		$node->adjust_conf('postgresql.conf', 'stent.databases', "''");
		$node->restart;
	}
}

done_testing();
