# shellcheck shell=bash disable=SC2154
# The parts of bench/run about what is made of several tasks: orchestrators with calls,
# local steps and many children, from a signal to what is done about it, what finished
# steps cost when a function runs again; maps beside a plain table. Sourced by bench/run.

STEP_CLIENTS=(1 4)

# What an orchestrator does ten times: name, function, called function ("": a local step).
ORCHESTRATORS=("calls:ten_calls:trivial" "limited:ten_calls:limited" "behind:ten_calls:later" "steps:ten_steps:")

CHILDREN=1000
RESUMED=100
RECORDED=500

MAP_ITEMS=(30000 300000)
MAP_CHUNKS=(1000 5000 10000)
MAP_LIVE="stent.task, stent.ready, stent.due, stent.child, stent.step, stent.map, stent.chunk, stent.payload"

write_orchestrator_scripts() {
    local i
    cat >signal_paced <<'SQL'
SELECT nextval('waiting_turn') AS turn
\gset
SELECT id FROM waiting WHERE n = :turn
\gset
BEGIN;
INSERT INTO effect (id) VALUES (:id);
SELECT stent.signal(:id, 'go', to_jsonb(extract(epoch FROM clock_timestamp())));
COMMIT;
\set pause random(10, 30)
\sleep :pause ms
SQL
    # one session until all is done: how long it took, and the most memory it had. The
    # scheduler promotes as well: a run that finds nothing may have come just before.
    {
        echo "SELECT status('RssAnon') - status('VmSize') AS base, extract(epoch FROM clock_timestamp()) AS begin \\gset"
        for ((i = 0; i < 10000; i++)); do
            printf '%s\n' 'SELECT stent.run(100) = 0 AND NOT EXISTS (SELECT FROM stent.task) AS done \gset' '\if :done' \
                "SELECT extract(epoch FROM clock_timestamp()) - :begin, (:base + status('VmPeak')) / 1024.0;" '\q' '\endif'
        done
    } >run_out
    # the same of one statement
    cat >do_one <<'SQL'
SELECT status('RssAnon') - status('VmSize') AS base, extract(epoch FROM clock_timestamp()) AS begin \gset
:statement \gset
SELECT extract(epoch FROM clock_timestamp()) - :begin, (:base + status('VmPeak')) / 1024.0;
SQL
}

# Payloads are written out: public.payload(), by itself, is planned at each call.
orchestrator_schema() {
    query "
CREATE FUNCTION public.ten_calls(jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
DECLARE
    n bigint := \$1 ->> 'n';
BEGIN
    FOR i IN 1..10 LOOP
        n := stent.call(\$1 ->> 'function', jsonb_build_object('n', n, 'text', repeat('x', 68))) ->> 'n';
    END LOOP;
    RETURN jsonb_build_object('n', n);
END \$\$;
CREATE FUNCTION public.ten_steps(jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
DECLARE
    n bigint := \$1 ->> 'n';
BEGIN
    FOR i IN 1..10 LOOP
        n := stent.step('step', 'trivial', jsonb_build_object('n', n, 'text', repeat('x', 68))) ->> 'n';
    END LOOP;
    RETURN jsonb_build_object('n', n);
END \$\$;
CREATE FUNCTION public.fan_in(jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
DECLARE
    ids bigint[] := ARRAY(SELECT stent.spawn('trivial', jsonb_build_object('n', i, 'text', repeat('x', 68))) FROM generate_series(1, (\$1 ->> 'children')::integer) i);
BEGIN
    RETURN jsonb_build_object('n', jsonb_array_length(stent.await_all(ids)));
END \$\$;
CREATE FUNCTION public.resumed(jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
    FOR i IN 1..(\$1 ->> 'recorded')::integer LOOP
        PERFORM stent.record('step ' || i, to_jsonb(i));
    END LOOP;
    FOR i IN 1..(\$1 ->> 'resumed')::integer LOOP
        PERFORM stent.call('later', '{\"n\": 1}');
    END LOOP;
    RETURN '{}';
END \$\$;
CREATE FUNCTION public.waits(jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
DECLARE
    call jsonb := stent.await_signal('go');
BEGIN
    RETURN jsonb_build_object('call', call, 'seen', extract(epoch FROM clock_timestamp()));
END \$\$;
SELECT stent.register('limited', 'public.trivial(jsonb)', max_concurrent => 1000);
SELECT stent.register('ten_calls', 'public.ten_calls(jsonb)');
SELECT stent.register('ten_steps', 'public.ten_steps(jsonb)');
SELECT stent.register('fan_in', 'public.fan_in(jsonb)', timeout => '10min');
SELECT stent.register('resumed', 'public.resumed(jsonb)');
SELECT stent.register('waits', 'public.waits(jsonb)');
CREATE TABLE public.waiting (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id bigint NOT NULL);
CREATE SEQUENCE public.waiting_turn;" >/dev/null
    memory_schema
}

# What the kernel says of the session: a line of its status, in kB.
memory_schema() {
    query "CREATE FUNCTION public.status(line text) RETURNS bigint LANGUAGE sql AS
           \$\$ SELECT (regexp_match(pg_read_file('/proc/self/status'), line || ':\s+(\d+)'))[1]::bigint \$\$"
}

# ---- many sessions -------------------------------------------------------

# Sessions run what is there, until no task lives; leaves in SECONDS_TAKEN how long, from
# when they were connected to when the last task ended.
run_beside() { # <sessions> <tasks after this id>
    local begin deadline=$((SECONDS + 300))
    begin_loop run_loop "$1"
    wait_until "SELECT count(*) = $1 FROM pg_stat_activity WHERE application_name = 'bench loop'" "sessions do not come"
    begin=$(query "SELECT extract(epoch FROM max(backend_start)) FROM pg_stat_activity WHERE application_name = 'bench loop'")
    # seldom: that takes what is measured
    until [[ $(query "SELECT NOT EXISTS (SELECT FROM stent.task)") == t ]]; do
        ((SECONDS < deadline)) || die "sessions do not finish what is there"
        sleep 0.2
    done
    end_loop
    SECONDS_TAKEN=$(query "SELECT extract(epoch FROM max(finished_at)) - $begin FROM stent.archive WHERE id > $2")
}

# Orchestrators that do something ten times.
measure_ten() { # <key> <sessions> <function> <called function> <executions>
    local first
    settle stent.task "$LIVE, stent.child, stent.step" >/dev/null
    first=$(last_id)
    query "SELECT count(*) FROM stent.dispatch_many('$3', ARRAY(SELECT jsonb_build_object('n', i, 'function', '$4') FROM generate_series(1, $5) i))" >/dev/null
    run_beside "$2" "$first"
    record "$1 executions" "$(rate "$5")"
    record "$1" "$(rate $((10 * $5)))"
    check "$(query "SELECT count(*), sum((result ->> 'n')::bigint - (args ->> 'n')::bigint)
                    FROM stent.tasks WHERE id > $first AND function = '$3' AND state = 'completed'")" \
        "$5|$((10 * $5))" "executions, results" "$1" "$1 executions"
    check "$(query "SELECT count(*) FROM stent.tasks WHERE id > $first AND function <> '$3' AND state = 'completed'")" \
        "$([[ -z $4 ]] && echo 0 || echo $((10 * $5)))" "children" "$1" "$1 executions"
}

measure_trivial() { # <key> <sessions> <tasks>
    local first
    settle stent.task "$LIVE" >/dev/null
    first=$(last_id)
    load_tasks "$3"
    run_beside "$2" "$first"
    record "$1" "$(rate "$3")"
    check_archive "$first" "$3" "$1"
}

measure_fan_in() { # <key> <sessions> <executions>
    local first
    settle stent.task "$LIVE, stent.child, stent.step" >/dev/null
    first=$(last_id)
    query "SELECT count(*) FROM stent.dispatch_many('fan_in', array_fill('{\"children\": $CHILDREN}'::jsonb, ARRAY[$3]))" >/dev/null
    run_beside "$2" "$first"
    record "$1 executions" "$(rate "$3")"
    record "$1" "$(rate $((CHILDREN * $3)))"
    check "$(query "SELECT count(*) FILTER (WHERE function = 'fan_in'), sum((result ->> 'n')::bigint) FILTER (WHERE function = 'fan_in'),
                    count(*) FILTER (WHERE function = 'trivial') FROM stent.tasks WHERE id > $first AND state = 'completed'")" \
        "$3|$((CHILDREN * $3))|$((CHILDREN * $3))" "executions, results, children" "$1" "$1 executions"
}

# ---- one session ---------------------------------------------------------

# Runs one of the scripts that tell time and memory: SECONDS_TAKEN, MEMORY_TAKEN in MB.
take() { # <script> [<statement>]
    local answer
    answer=$(psql -XqAt -F ' ' -v ON_ERROR_STOP=1 -v statement="${2:-}" -d "$database" -f "$WORK/scripts/$1" 2>"$WORK/take.log") ||
        { cat "$WORK/take.log"; die "$1 failed"; }
    read -r SECONDS_TAKEN MEMORY_TAKEN <<<"$answer"
    [[ -n ${MEMORY_TAKEN:-} ]] || die "$1 did not come to its end"
}

# What one finished step costs when its function runs again, in microseconds: the same
# waits with such steps before them and without.
measure_replay() { # <executions>
    local recorded with=0 without=0
    for recorded in 0 $RECORDED; do
        settle stent.task "$LIVE, stent.child, stent.step" >/dev/null
        query "SELECT count(*) FROM stent.dispatch_many('resumed',
                   array_fill('{\"recorded\": $recorded, \"resumed\": $RESUMED}'::jsonb, ARRAY[$1]))" >/dev/null
        take run_out
        ((recorded)) && with=$SECONDS_TAKEN || without=$SECONDS_TAKEN
        check "$(count stent.task)" 0 "tasks left" "replay step" "replay resumption"
    done
    record "replay step" "$(awk -v a="$with" -v b="$without" -v n=$(($1 * RESUMED * RECORDED)) 'BEGIN { print (a - b) / n * 1000000 }')"
    record "replay resumption" "$(awk -v b="$without" -v n=$(($1 * RESUMED)) 'BEGIN { print b / n * 1000000 }')"
}

# ---- signals -------------------------------------------------------------

# From signal() to what the orchestrator does then, in ms; executors idle between.
measure_signals() { # <key> <signals>
    local first p moment keys=()
    first=$(last_id)
    query "TRUNCATE waiting RESTART IDENTITY"
    query "ALTER SEQUENCE waiting_turn RESTART"
    query "INSERT INTO waiting (id) SELECT stent.dispatch_many('waits', array_fill('{}'::jsonb, ARRAY[$2]))"
    wait_until "SELECT count(*) = $2 FROM stent.tasks WHERE id > $first AND state = 'waiting'" "orchestrators do not come to their wait"
    query "VACUUM ANALYZE effect, $LIVE, stent.step"
    warm_up
    new_log noise
    new_log signals
    (drive_log noise nothing 1 -T "$(($2 / 50 + 1))" -R 50) &
    drive_log signals signal_paced 1 -t "$2"
    wait $!
    wait_until "SELECT NOT EXISTS (SELECT FROM stent.task)" "orchestrators do not get their signals"
    for p in 50 99; do
        for moment in call commit; do
            keys+=("$1 $moment $p")
            record "$1 $moment $p" "$(query "
                SELECT percentile_disc(0.$p) WITHIN GROUP (ORDER BY (a.result ->> 'seen')::numeric - CASE '$moment'
                    WHEN 'call' THEN (a.result ->> 'call')::numeric ELSE extract(epoch FROM pg_xact_commit_timestamp(e.xmin)) END) * 1000
                FROM stent.archive a JOIN effect e USING (id) WHERE a.id > $first")"
        done
        record "$1 noise $p" "$(percentile noise 7 $p)"
    done
    check "$(query "SELECT count(*) FROM stent.tasks JOIN effect USING (id) WHERE id > $first AND state = 'completed' AND function = 'waits'")" \
        "$2" "signals that came" "${keys[@]}"
}

part_orchestrators() {
    local round clients entry name function called flush p n=$((SCALE * 1000))
    use_cluster served
    make_database orchestrators
    set_executors 0
    orchestrator_schema
    for ((round = 1; round <= ROUNDS; round++)); do
        for clients in "${STEP_CLIENTS[@]}"; do
            progress "orchestrators, round $round of $ROUNDS, $clients session(s)"
            query CHECKPOINT
            for entry in "${ORCHESTRATORS[@]}"; do
                IFS=: read -r name function called <<<"$entry"
                # by turns beside what each is compared with
                [[ $name == limited || $name == behind ]] ||
                    measure_trivial "ten trivial $name $clients" "$clients" $((SCALE * 20000))
                measure_ten "ten $name $clients" "$clients" "$function" "$called" "$n"
            done
            measure_fan_in "fan in $clients" "$clients" $((SCALE * 10))
        done
        progress "orchestrators, round $round of $ROUNDS, resumed"
        measure_replay $((SCALE * 4))
    done
    set_executors "$EXECUTORS"
    warm_up
    for ((round = 1; round <= ROUNDS; round++)); do
        for flush in on off; do
            progress "signals, round $round of $ROUNDS"
            PGOPTIONS="-c synchronous_commit=$flush" measure_signals "signal $flush" $((SCALE * 150))
        done
    done
    row "Ten calls, or ten local steps, one after the other; yardstick: trivial tasks/s"
    for clients in "${STEP_CLIENTS[@]}"; do
        row "calls/s, $clients session(s)" "ten calls $clients" "ten trivial calls $clients" ">= 0.15"
        row "executions/s" "ten calls $clients executions"
        row "calls/s, of a limited function: each is waited for" "ten limited $clients" "ten trivial calls $clients"
        row "executions/s" "ten limited $clients executions"
        row "calls/s, of lower priority: each is waited for" "ten behind $clients" "ten trivial calls $clients"
        row "executions/s" "ten behind $clients executions"
        row "local steps/s, $clients session(s)" "ten steps $clients" "ten trivial steps $clients" ">= 0.30"
        row "executions/s" "ten steps $clients executions"
    done
    row "$CHILDREN children by spawn and await_all; yardstick: trivial tasks/s"
    for clients in "${STEP_CLIENTS[@]}"; do
        row "children/s, $clients session(s)" "fan in $clients" "ten trivial calls $clients"
        row "executions/s" "fan in $clients executions"
    done
    row "An orchestrator that runs again $RESUMED times, microseconds" "" "" lower
    row "each of $RECORDED finished steps" "replay step" "" "<= 20"
    row "each call waited for, without such steps" "replay resumption"
    row "Signal to what the orchestrator does then in ms, idle executors; yardstick: how late a timer wakes a process meanwhile" "" "" lower
    for p in 50 99; do
        for flush in on off; do
            row "p$p from the call, synchronous_commit = $flush" "signal $flush call $p" "signal $flush noise $p"
            row "p$p from the commit record, = $flush" "signal $flush commit $p" "signal $flush noise $p"
        done
    done
    dropdb orchestrators
    use_cluster plain
}

# ---- maps ----------------------------------------------------------------

map_schema() {
    memory_schema
    query "
CREATE FUNCTION public.item(jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$ BEGIN RETURN \$1; END \$\$;
-- as long as public.payload(), but a thousand of them cannot be compressed to nothing
CREATE TABLE public.source (n bigint PRIMARY KEY, item jsonb NOT NULL);
INSERT INTO source SELECT i, jsonb_build_object('n', i, 'text', md5(i::text) || md5('b' || i) || 'text')
    FROM generate_series(1, ${MAP_ITEMS[1]}) i;
CREATE TABLE public.items (n integer PRIMARY KEY, items jsonb NOT NULL);
INSERT INTO items SELECT ${MAP_ITEMS[0]}, jsonb_agg(item ORDER BY n) FROM source WHERE n <= ${MAP_ITEMS[0]};
CREATE FUNCTION public.maps(jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
DECLARE
    given jsonb := (SELECT items FROM items WHERE n = (\$1 ->> 'n')::integer);
BEGIN
    RETURN jsonb_array_length(stent.map('item', given, chunk_size => (\$1 ->> 'size')::integer));
END \$\$;
SELECT stent.register('item', 'public.item(jsonb)');
SELECT stent.register('maps', 'public.maps(jsonb)', timeout => '10min');" >/dev/null
    query "VACUUM ANALYZE source"
}

# Rows that were written to stent's tables so far, of any kind of writing.
rows_written() { query "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_all_tables WHERE schemaname = 'stent'"; }

wal_position() { query "SELECT pg_current_wal_insert_lsn()"; }

# One map, made by one session and run by another.
measure_map() { # <key> <query or handler> <items> <items a chunk>
    local key=$1 items=$3 first rows wal made statement chunks=$((($3 + $4 - 1) / $4))
    case $2 in
        query) statement="SELECT stent.map_query('item', \$\$SELECT item FROM source WHERE n <= $items ORDER BY n\$\$, chunk_size => $4)" ;;
        handler) statement="SELECT stent.dispatch('maps', '{\"n\": $items, \"size\": $4}')" ;;
    esac
    settle stent.task "$MAP_LIVE" >/dev/null
    query CHECKPOINT
    first=$(last_id)
    rows=$(rows_written)
    wal=$(wal_position)
    take do_one "$statement"
    made=$SECONDS_TAKEN
    record "$key made memory" "$MEMORY_TAKEN"
    take run_out
    record "$key run memory" "$MEMORY_TAKEN"
    record "$key" "$(awk -v a="$made" -v b="$SECONDS_TAKEN" 'BEGIN { print a + b }')"
    record "$key rate" "$(awk -v n="$items" -v a="$made" -v b="$SECONDS_TAKEN" 'BEGIN { print n / (a + b) }')"
    record "$key made part" "$made"
    record "$key wal" "$(query "SELECT (pg_current_wal_insert_lsn() - '$wal') / $items.0")"
    record "$key rows" "$(query "SELECT ($(rows_written) - $rows) / $items.0")"
    record "$key progress" "$(query "SELECT count(*) / $chunks.0 FROM stent.chunk WHERE map_id > $first")"
    check "$(query "SELECT count(*) FROM stent.task")" 0 "tasks left" "$key" "$key rate"
    # each in its place
    check "$(query "SELECT count(*) FROM stent.tasks t, stent.map_results(t.id) r JOIN source ON source.n = r.index + 1
                    WHERE t.id > $first AND t.function = 'item' AND t.state = 'completed' AND t.args ? 'chunk_size'
                        AND r.result = source.item")" "$items" "results" "$key" "$key rate"
}

# The plain table: all rows by one statement, drained in two steps, 1,000 a batch.
measure_table() { # <key> <rows> <sessions>
    local made wal
    query "TRUNCATE two_step"
    query CHECKPOINT
    wal=$(wal_position)
    take do_one "WITH made AS (INSERT INTO two_step (payload) SELECT item FROM source WHERE n <= $2 ORDER BY n RETURNING 1) SELECT count(*) FROM made"
    made=$SECONDS_TAKEN
    query "ANALYZE two_step"
    drive two_step_1000 1 $(($2 / 1000))
    record "$1" "$(awk -v a="$made" -v b="$SECONDS_TAKEN" 'BEGIN { print a + b }')"
    record "$1 rate" "$(awk -v n="$2" -v a="$made" -v b="$SECONDS_TAKEN" 'BEGIN { print n / (a + b) }')"
    record "$1 wal" "$(query "SELECT (pg_current_wal_insert_lsn() - '$wal') / $2.0")"
    check "$(count two_step)" 0 "rows left" "$1" "$1 rate"
}

part_maps() {
    local round items size few=${MAP_ITEMS[0]} many=${MAP_ITEMS[1]} moment
    use_cluster served
    make_database maps
    set_executors 0
    map_schema
    for ((round = 1; round <= ROUNDS; round++)); do
        for size in "${MAP_CHUNKS[@]}"; do
            progress "maps, round $round of $ROUNDS, $size a chunk"
            for items in "${MAP_ITEMS[@]}"; do
                measure_table "table $items $size" "$items"
                measure_map "map $items $size" query "$items" "$size"
            done
            measure_map "map handler $size" handler "$few" "$size"
        done
    done
    row "Maps of trivial items by one session, made and run, in seconds; yardstick: a plain table, inserted at once, drained in two steps, 1,000 a batch" "" "" lower
    for size in "${MAP_CHUNKS[@]}"; do
        row "map_query of $many, $size a chunk" "map $many $size" "table $many $size" "<= 0.40 x"
        row "of that, making it" "map $many $size made part"
        row "map_query of $few, $size a chunk" "map $few $size" "table $few $size"
        row "map of $few in a handler, $size a chunk" "map handler $size" "table $few $size"
    done
    row "Items/s; yardstick: rows/s"
    for size in "${MAP_CHUNKS[@]}"; do
        row "map_query of $many, $size a chunk" "map $many $size rate" "table $many $size rate"
        row "map_query of $few, $size a chunk" "map $few $size rate" "table $few $size rate"
        row "map of $few in a handler, $size a chunk" "map handler $size rate" "table $few $size rate"
    done
    row "The most memory of its own a session had, in MB; yardstick: the same for $few items" "" "" lower
    for size in "${MAP_CHUNKS[@]}"; do
        for moment in made run; do
            row "map_query of $many, $size a chunk, who $moment it" "map $many $size $moment memory" "map $few $size $moment memory" "<= 1.10 x"
        done
        row "map of $few in a handler, $size a chunk, who run it" "map handler $size run memory"
    done
    row "Written an item" "" "" lower
    for size in "${MAP_CHUNKS[@]}"; do
        row "bytes of WAL, $size a chunk; yardstick: the plain table" "map $many $size wal" "table $many $size wal"
        row "rows of all tables, $size a chunk" "map $many $size rows"
        row "rows of progress a chunk, $size a chunk" "map $many $size progress" "" "<= 1"
    done
    set_executors "$EXECUTORS"
    dropdb maps
    use_cluster plain
}
