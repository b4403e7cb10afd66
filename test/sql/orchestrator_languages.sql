-- Orchestrators in PL/Perl and PL/Python: as in PL/pgSQL where nothing is caught, and ST018 where all is.
-- Where neither is installed there is nothing to test (orchestrator_languages_1.out).
SELECT count(*) < 2 AS missing FROM pg_available_extensions WHERE name IN ('plperl', 'plpython3u') \gset
\if :missing
\quit
\endif
\set VERBOSITY terse
SET stent.clock = '2026-01-01 00:00:00';
SET stent.batch_time = '60s';
CREATE EXTENSION plperl;
CREATE EXTENSION plpython3u;
CREATE FUNCTION lan_leaf(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n < 0 THEN RAISE EXCEPTION 'negative' USING ERRCODE = 'XX123'; END IF; RETURN n * 10; END $$;
CREATE PROCEDURE lan_run() LANGUAGE plpgsql AS $$ BEGIN WHILE stent.run() > 0 LOOP COMMIT; END LOOP; END $$;
CREATE FUNCTION lan_perl(n int) RETURNS text LANGUAGE plperl AS $$
    my ($n) = @_;
    my @seen;
    for my $i (1 .. 3) {
        my $rv = spi_exec_query("SELECT stent.call('lan_leaf', jsonb_build_object('n', $n + $i)) AS x");
        push @seen, $rv->{rows}[0]{x};
    }
    return join ',', @seen;
$$;
CREATE FUNCTION lan_perl_eval(n int) RETURNS text LANGUAGE plperl AS $$
    my ($n) = @_;
    my $rv = eval { spi_exec_query("SELECT stent.call('lan_leaf', jsonb_build_object('n', $n)) AS x") };
    return $rv ? $rv->{rows}[0]{x} : "caught";
$$;
CREATE FUNCTION lan_python(n int) RETURNS text LANGUAGE plpython3u AS $$
    return ','.join(str(plpy.execute("SELECT stent.call('lan_leaf', jsonb_build_object('n', %d)) AS x" % (n + i))[0]['x']) for i in (1, 2, 3))
$$;
CREATE FUNCTION lan_python_error(n int) RETURNS text LANGUAGE plpython3u AS $$
    try:
        return plpy.execute("SELECT stent.call('lan_leaf', jsonb_build_object('n', %d)) AS x" % n)[0]['x']
    except plpy.spiexceptions.QueryCanceled:
        raise
    except plpy.SPIError as e:
        return 'caught ' + str(e)
$$;
CREATE FUNCTION lan_python_except(n int) RETURNS text LANGUAGE plpython3u AS $$
    try:
        return plpy.execute("SELECT stent.call('lan_leaf', jsonb_build_object('n', %d)) AS x" % n)[0]['x']
    except Exception as e:
        return 'caught'
$$;
SELECT stent.register('lan_leaf', 'lan_leaf(int)', retry => '{"max_attempts": 1}'),
       count(stent.register('lan_' || n, ('lan_' || n || '(int)')::regprocedure, retry => '{"max_attempts": 1}')) FROM unnest(ARRAY['perl', 'perl_eval', 'python', 'python_error', 'python_except']) n;
SELECT count(stent.dispatch('lan_' || f, jsonb_build_object('n', n))) FROM unnest(ARRAY['perl', 'perl_eval', 'python', 'python_error', 'python_except']) f, unnest(ARRAY[1, -1]) n;
CALL lan_run();
SELECT function, args -> 'n' AS n, state, result, error ->> 'code' AS code FROM stent.tasks WHERE function LIKE 'lan\_p%' ORDER BY function, id;
SELECT sum(stent.discard_many('lan_' || n)) > 0 AS dead FROM unnest(ARRAY['leaf', 'perl', 'perl_eval', 'python', 'python_error', 'python_except']) n;
SELECT count(*) AS live FROM stent.task;
SELECT count(stent.unregister('lan_' || n)) FROM unnest(ARRAY['leaf', 'perl', 'perl_eval', 'python', 'python_error', 'python_except']) n;
DROP PROCEDURE lan_run;
DROP FUNCTION lan_leaf, lan_perl, lan_perl_eval, lan_python, lan_python_error, lan_python_except;
DROP EXTENSION plperl;
DROP EXTENSION plpython3u;
