# shellcheck shell=bash disable=SC2034
# The parts of bench/run about executors: a second cluster that preloads the
# library, latency, end-to-end rates, idleness, a held snapshot, what preload
# costs. Sourced by bench/run.
EXECUTORS=4

# Databases that are served, so that the scheduler knows their tasks.
SERVED="latency, executors, idle, snapshot_held, snapshot_free, preload, controls, hot, full, versions, leases, worker, orchestrators, maps"

served_configuration() {
    cat <<CONF
shared_preload_libraries = 'stent'
stent.databases = '$SERVED'
stent.max_executors = $EXECUTORS
stent.idle_timeout = '10min'
track_commit_timestamp = on
CONF
}

# ---- helpers -------------------------------------------------------------

set_executors() { # <n>
    query "ALTER SYSTEM SET stent.max_executors = $1"
    query "SELECT pg_reload_conf()" >/dev/null
    # an executor is told between batches; those of other databases go as well
    (($1 > 0)) || wait_until "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'stent executor')" \
        "executors are still there"
}

wait_until() { # <query for a boolean> <complaint> [<seconds>]
    local deadline=$((SECONDS + ${3:-60}))
    until [[ $(query "$1") == t ]]; do
        ((SECONDS < deadline)) || { tail -n 20 "$PGDATA.log"; die "$2"; }
        sleep 0.05
    done
}

# Until executors have finished what is ready. The table is looked at only when
# they idle: reading past its dead rows would take what is measured.
wait_empty() {
    local complaint="executors do not finish what is ready"
    local deadline=$((SECONDS + 120))
    while wait_until "SELECT count(*) > 0 AND bool_and(state = 'idle') FROM pg_stat_activity
                      WHERE backend_type = 'stent executor' AND datname = current_database()" "$complaint" 120 &&
        [[ $(query "SELECT EXISTS (SELECT FROM stent.ready)") == t ]]; do
        ((SECONDS < deadline)) || die "$complaint"
    done
}

wait_for_sessions() {
    wait_until "SELECT NOT EXISTS (SELECT FROM stent.ready)" "sessions do not finish what is ready" 120
}

# An executor of this database that has run tasks and idles.
warm_up() {
    local n=${1:-1}
    query "SELECT stent.dispatch('trivial', '{\"n\": 1}')" >/dev/null
    wait_empty
    wait_until "SELECT count(*) >= $n FROM pg_stat_activity
                WHERE backend_type = 'stent executor' AND datname = current_database()" "no executor"
}

new_log() { # <name>
    mkdir -p "$WORK/log"
    rm -f "$WORK/log/$1".*
}

# Runs a script; adds each transaction's time to $WORK/log/<name>.*
drive_log() { # <name> <script> <clients> <options of pgbench>
    local name=$1 script=$2 clients=$3
    shift 3
    pgbench -n -M prepared -f "$WORK/scripts/$script" -c "$clients" -j $((clients > 1 ? 2 : 1)) \
        -l --log-prefix="$WORK/log/$name" "$@" "$database" >"$WORK/log/$name.out" 2>&1 ||
        { tail -n 20 "$WORK/log/$name.out" "$PGDATA.log"; die "pgbench $script failed"; }
}

# Runs a script over and over beside what follows, until end_loop.
begin_loop() { # <script> <clients>
    PGAPPNAME="bench loop" pgbench -n -M prepared -f "$WORK/scripts/$1" -c "$2" -j 1 -T 3600 "$database" >"$WORK/loop.out" 2>&1 &
    LOOP=$!
}

end_loop() {
    kill -0 $LOOP 2>/dev/null || { tail -n 20 "$WORK/loop.out" "$PGDATA.log"; die "pgbench ended early"; }
    query "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bench loop'" >/dev/null
    wait $LOOP || true # it complains
}

# A percentile of a column of those logs, in ms: 3 what a transaction took, 7 by
# how much it began too late.
percentile() { # <name> <column> <percent>
    cat "$WORK/log/$1".[0-9]* | awk -v c="$2" '{ print $c }' | sort -n |
        awk -v p="$3" '{ v[NR] = $1 } END { i = int(NR * p / 100); print v[i < 1 ? 1 : i] / 1000 }'
}

write_served_scripts() {
    local n
    # what dispatches also writes a row of its own, which tells when it committed
    printf '%s\n' '\set n random(1, 1000000)' \
        "INSERT INTO effect (id) SELECT stent.dispatch('trivial', jsonb_build_object('n', :n::integer, 'text', repeat('x', 68)));" >dispatch_effect
    { cat dispatch_effect; printf '%s\n' '\set pause random(10, 30)' '\sleep :pause ms'; } >dispatch_paced
    echo '\set n 1' >nothing
    for n in 20 100; do
        echo "SELECT count(*) FROM stent.dispatch_many('trivial', (SELECT payloads FROM batch WHERE size = $n));" >"dispatch_$n"
        echo "INSERT INTO one_step (payload) SELECT unnest(payloads) FROM batch WHERE size = $n;" >"insert_$n"
    done
    # who finds nothing rests a moment, as any worker that polls
    printf '%s\n' 'SELECT stent.run(100) AS n' '\gset' '\if :n = 0' '\sleep 1 ms' '\endif' >run_loop
    # like one_step_20, in a form that no plan for an empty table can spoil
    for n in 20 100; do
        cat >"plain_$n" <<SQL
WITH gone AS (
    DELETE FROM one_step
    WHERE id = ANY (ARRAY(SELECT id FROM one_step ORDER BY id LIMIT $n FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) AS n FROM gone
\gset
SQL
    done
}

# Processor time that the server has used so far, in clock ticks of 10 ms.
ticks() {
    local postmaster sum pid more
    postmaster=$(head -n 1 "$PGDATA/postmaster.pid")
    sum=$(awk '{ sub(/.*\) /, ""); print $12 + $13 + $14 + $15 }' "/proc/$postmaster/stat")
    for pid in $(pgrep -P "$postmaster"); do
        more=$(awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat" 2>/dev/null) || more=0
        sum=$((sum + ${more:-0}))
    done
    echo "$sum"
}

# Processor time of the server a task, in microseconds.
record_cost() { # <key> <ticks before> <tasks>
    record "$1 cost" "$(awk -v t=$(($(ticks) - $2)) -v n="$3" 'BEGIN { print t * 10000 / n }')"
}

# ---- latency -------------------------------------------------------------

# From dispatching to starting, in ms. The call is when the task was made, before
# anything was written; the commit is when its record was, before the disk was
# waited for.
record_latency() { # <key> <after id>
    local p moment values
    for p in 50 99; do
        for moment in call commit; do
            values=$(query "SELECT percentile_disc(0.$p) WITHIN GROUP (ORDER BY a.started_at - CASE '$moment'
                                WHEN 'call' THEN a.created_at ELSE pg_xact_commit_timestamp(e.xmin) AT TIME ZONE 'UTC' END)
                            FROM stent.archive a JOIN effect e USING (id) WHERE a.id > $2")
            record "$1 $moment $p" "$(query "SELECT extract(epoch FROM interval '$values') * 1000")"
        done
    done
}

latency_round() { # <key> <script> <clients> <seconds> [<options of pgbench>]
    local key=$1 first p keys=("$1 call 50" "$1 commit 50" "$1 call 99" "$1 commit 99")
    shift
    settle effect "effect, $LIVE" >/dev/null
    first=$(last_id)
    new_log noise
    new_log latency
    (drive_log noise nothing 1 -T "$3" -R 50) &
    drive_log latency "$1" "$2" -T "${@:3}"
    wait $!
    wait_empty
    check_archive "$first" "$(query "SELECT count(*) FROM effect WHERE id > $first")" "${keys[@]}"
    record_latency "$key" "$first"
    for p in 50 99; do
        record "$key noise $p" "$(percentile noise 7 $p)"
    done
}

part_latency() {
    local round rate length=$((2 + 2 * SCALE)) flush p
    use_cluster served
    make_database latency
    set_executors $EXECUTORS
    warm_up
    for ((round = 1; round <= ROUNDS; round++)); do
        progress "latency, round $round of $ROUNDS"
        query CHECKPOINT
        for flush in on off; do
            warm_up
            PGOPTIONS="-c synchronous_commit=$flush" latency_round "latency $flush" dispatch_paced 1 "$length"
        done
        # what four sessions dispatch and the executors finish at the same time, and half of it
        warm_up
        measure_end_to_end "latency capacity" dispatch_effect 2 1
        rate=$(tail -n 1 "$WORK/values" | cut -f2)
        latency_round "latency half" dispatch_effect 4 "$length" -R "$(awk -v r="$rate" 'BEGIN { print int(r / 2) + 1 }')"
    done
    row "Dispatch to start in ms, warm idle executor; yardstick: how late a timer wakes a process meanwhile" "" "" lower
    for p in 50 99; do
        row "p$p from the call" "latency on call $p" "latency on noise $p"
        row "p$p from the commit record" "latency on commit $p" "latency on noise $p"
        row "p$p from the call, synchronous_commit = off" "latency off call $p" "latency off noise $p" "<= $((p == 50 ? 1 : 5))"
        row "p$p from its commit" "latency off commit $p" "latency off noise $p" "<= $((p == 50 ? 1 : 5))"
    done
    row "Tasks/s that 4 dispatching clients and the executors reach"
    row "one a dispatch" "latency capacity"
    row "Dispatch to start in ms at half that rate; yardstick as above" "" "" lower
    for p in 50 99; do
        row "p$p from the call" "latency half call $p" "latency half noise $p"
        row "p$p from the commit record" "latency half commit $p" "latency half noise $p"
    done
    dropdb latency
    use_cluster plain
}

# ---- executors -----------------------------------------------------------

# Tasks finished a second while four clients dispatch; all are finished at the end.
measure_end_to_end() { # <key> <script> <seconds> <tasks a dispatch> [<who waits for the rest>]
    local key=$1 script=$2 length=$3 size=$4 wait=${5:-wait_empty} first dispatched before
    first=$(last_id)
    before=$(ticks)
    new_log dispatching
    drive_log dispatching "$script" 4 -T "$length"
    dispatched=$(($(cat "$WORK/log/dispatching".[0-9]* | wc -l) * size))
    $wait
    record_cost "$key" "$before" "$dispatched"
    check_archive "$first" "$dispatched" "$key" "$key cost"
    record "$key dispatched" "$(query "SELECT count(*) / extract(epoch FROM max(created_at) - min(created_at))
                                       FROM stent.archive WHERE id > $first")"
    record "$key" "$(query "WITH dispatching AS (SELECT min(created_at) AS a, max(created_at) AS b FROM stent.archive WHERE id > $first)
                            SELECT count(*) FILTER (WHERE finished_at BETWEEN a AND b) / extract(epoch FROM max(b) - max(a))
                            FROM stent.archive, dispatching WHERE id > $first")"
}

# The same by executors, or by as many sessions that call stent.run(100).
measure_side() { # <executors or sessions> <key> <script> <tasks a dispatch>
    settle stent.task "$LIVE" >/dev/null
    if [[ $1 == executors ]]; then
        set_executors $EXECUTORS
        warm_up
        measure_end_to_end "$2" "$3" "$((SCALE * 2))" "$4"
    else
        set_executors 0
        begin_loop run_loop $EXECUTORS
        measure_end_to_end "$2" "$3" "$((SCALE * 2))" "$4" wait_for_sessions
        end_loop
    fi
}

part_executors() {
    local round size script sides
    use_cluster served
    make_database executors
    for ((round = 1; round <= ROUNDS; round++)); do
        progress "executors, round $round of $ROUNDS"
        query CHECKPOINT
        sides="executors sessions"
        ((round % 2)) || sides="sessions executors"
        for size in 1 100; do
            script=dispatch_$size
            ((size > 1)) || script=dispatch
            for side in $sides; do
                measure_side "$side" "end $side $size" "$script" $size
            done
        done
    done
    row "Tasks finished/s while 4 clients dispatch, $EXECUTORS executors; yardstick: as many sessions calling stent.run(100)"
    for size in 1 100; do
        row "$size a dispatch" "end executors $size" "end sessions $size" ">= 0.80"
        row "$size a dispatch: dispatched/s meanwhile" "end executors $size dispatched" "end sessions $size dispatched"
        row "$size a dispatch: processor time a task, microseconds" "end executors $size cost" "end sessions $size cost"
    done
    set_executors $EXECUTORS
    dropdb executors
    use_cluster plain
}

# ---- idle ----------------------------------------------------------------

# Reads the counters of the served database from another one, so that reading
# them is not counted.
idle_counter() { # <query>
    psql -XqAt -v ON_ERROR_STOP=1 -d postgres -c "SELECT pg_stat_clear_snapshot()" -c "$1" | tail -n 1
}

# How often processes of a kind gave up the processor.
switches() { # <kind>
    local pid sum=0
    for pid in $(idle_counter "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE backend_type = 'stent $1'"); do
        sum=$((sum + $(awk '/ctxt_switches/ { s += $2 } END { print s }' "/proc/$pid/status")))
    done
    echo $sum
}

idle_values() {
    local kind
    idle_counter "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'idle'"
    idle_counter "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE dbid IN (0, (SELECT oid FROM pg_database WHERE datname = 'idle'))"
    for kind in launcher scheduler executor; do
        switches $kind
    done
}

part_idle() {
    local length=60 from to i keys=(transactions queries launcher scheduler executor)
    [[ -z $QUICK ]] || length=15
    use_cluster served
    progress "idle"
    query "ALTER SYSTEM SET shared_preload_libraries = stent, pg_stat_statements"
    restart_cluster
    query "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"
    make_database idle
    set_executors $EXECUTORS
    # executors that have worked, and tasks whose time has not come
    load_tasks 1000 trivial ", delay => '1 day'"
    load_tasks 20000
    wait_empty
    warm_up
    database=postgres
    sleep 5
    mapfile -t from < <(idle_values)
    sleep $length
    mapfile -t to < <(idle_values)
    for i in "${!keys[@]}"; do
        record "idle ${keys[i]}" "$(awk -v n=$((to[i] - from[i])) -v s=$length 'BEGIN { print n * 60 / s }')"
    done
    record "idle executors" "$(query "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stent executor' AND datname = 'idle'")"
    row "An idle minute"
    row "executors there" "idle executors"
    row "transactions" "idle transactions" "" "<= 0"
    row "queries" "idle queries" "" "<= 0"
    row "wake-ups of the executors" "idle executor" "" "<= 0"
    row "wake-ups of the scheduler" "idle scheduler" "" "<= 0"
    row "wake-ups of the launcher" "idle launcher" "" "<= 0"
    dropdb idle
    query "DROP EXTENSION pg_stat_statements"
    query "ALTER SYSTEM RESET shared_preload_libraries"
    restart_cluster
    use_cluster plain
}

# ---- snapshot ------------------------------------------------------------

# Tasks a second that executors reach on what waits for them when they come.
drain_by_executors() { # <key> <n>
    local first before
    set_executors 0
    settle stent.task "$LIVE" >/dev/null
    first=$(last_id)
    load_tasks "$2"
    before=$(ticks)
    set_executors $EXECUTORS
    wait_empty
    record_cost "$1" "$before" "$2"
    check_archive "$first" "$2" "$1"
    record "$1" "$(query "SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at)) FROM stent.archive WHERE id > $first")"
}

# The same by sessions, and by the plain table's; no executors.
drain_by_sessions() { # <key> <n>
    settle stent.task "$LIVE" >/dev/null
    load_tasks "$2"
    measure_drain "$1" run_100 stent.task 2 $(($2 / 250)) "$LIVE"
    drain 2
}

drain_plain() { # <key>
    local before
    load_table one_step 20000
    before=$(settle one_step)
    drive plain_100 2 50
    record "$1" "$(rate $((before - $(count one_step))))"
}

# What taking and finishing 20 rows takes, in ms, with and without the snapshot
# by turns; nothing waits for the disk.
probe() { # <key> <script> <table> <transactions>
    local place turn before p
    for place in held free; do
        new_log "probe_$place"
    done
    for turn in 1 2 3 4 5; do
        for place in held free; do
            database=snapshot_$place
            before=$(count "$3")
            PGOPTIONS="-c synchronous_commit=off" drive_log "probe_$place" "$2" 1 -t $(($4 / 5))
            # a session's first batch may be smaller
            check $(((before - $(count "$3") + 19) / 20)) $(($4 / 5)) "batches" "$1 $place 50" "$1 $place 99"
        done
    done
    for place in held free; do
        database=snapshot_$place
        drain 2
        for p in 50 99; do
            record "$1 $place $p" "$(percentile "probe_$place" 3 $p)"
        done
    done
}

part_snapshot() {
    local length=300 round n=$((30000 * SCALE)) probes=$((SCALE * 500)) place holder horizon first fed p
    local held="FROM pg_stat_activity WHERE application_name = 'bench snapshot'"
    [[ -z $QUICK ]] || length=40
    use_cluster served
    for place in free held; do
        make_database snapshot_$place
    done
    set_executors $EXECUTORS
    database=snapshot_held
    warm_up
    progress "snapshot, $length seconds at 1,000 tasks/s"
    PGAPPNAME="bench snapshot" psql -XqAt -d "$database" -c "BEGIN ISOLATION LEVEL REPEATABLE READ" \
        -c "SELECT count(*) FROM stent.ready" -c "SELECT pg_sleep(3600)" >/dev/null 2>&1 &
    holder=$!
    wait_until "SELECT EXISTS (SELECT $held AND query LIKE '%sleep%' AND backend_xmin IS NOT NULL)" "no snapshot is held"
    horizon=$(query "SELECT backend_xmin $held")
    first=$(last_id)
    new_log feed
    drive_log feed dispatch_20 1 -T "$length" -R 50
    fed=$(($(cat "$WORK/log/feed".[0-9]* | wc -l) * 20))
    record "snapshot behind" "$(count stent.ready)"
    wait_empty
    check_archive "$first" "$fed" "snapshot behind"
    # as many dead rows for the plain table, at once: working it off at that rate
    # would soon take a processor from the others
    load_table one_step "$fed"
    query "DELETE FROM one_step"
    for p in 50 99; do
        record "snapshot start $p" "$(latency_of_tenth "$first" $p 9)"
        record "snapshot start first $p" "$(latency_of_tenth "$first" $p 0)"
    done
    for ((round = 1; round <= ROUNDS; round++)); do
        progress "snapshot, round $round of $ROUNDS"
        query CHECKPOINT
        for place in held free; do
            database=snapshot_$place
            drain_by_executors "snapshot executors $place" "$n"
        done
        set_executors 0
        for place in held free; do
            database=snapshot_$place
            drain_by_sessions "snapshot sessions $place" "$n"
            drain_plain "snapshot plain $place"
            load_tasks $((20 * probes))
        done
        probe "snapshot probe" run_20 stent.task "$probes"
        probe "snapshot probe plain" plain_20 one_step 100
    done
    database=snapshot_held
    check "$(query "SELECT backend_xmin $held")" "$horizon" "horizon of the held snapshot" \
        "snapshot executors held" "snapshot sessions held" "snapshot probe held 99"
    query "SELECT pg_terminate_backend(pid) $held" >/dev/null
    wait $holder || true
    row "$length seconds at 1,000 tasks/s under a held snapshot: tasks/s then; yardstick: a database without the snapshot"
    row "$EXECUTORS executors" "snapshot executors held" "snapshot executors free" ">= 0.90"
    row "$EXECUTORS executors: processor time a task, microseconds" "snapshot executors held cost" "snapshot executors free cost"
    row "2 sessions calling stent.run(100), no executors" "snapshot sessions held" "snapshot sessions free" ">= 0.90"
    row "plain table, 100 a commit, 2 clients" "snapshot plain held" "snapshot plain free"
    row "The same: ms to take and finish 20 tasks, 1 client" "" "" lower
    for p in 50 99; do
        row "stent.run(20), p$p" "snapshot probe held $p" "snapshot probe free $p" "$( ((p == 50)) || echo "<= 2.00 x")"
        row "plain table, p$p" "snapshot probe plain held $p" "snapshot probe plain free $p"
    done
    row "Meanwhile: ms from dispatch to start in the last tenth; yardstick: in the first tenth" "" "" lower
    for p in 50 99; do
        row "p$p" "snapshot start $p" "snapshot start first $p"
    done
    row "tasks left over at the end" "snapshot behind"
    set_executors $EXECUTORS
    for place in free held; do
        dropdb snapshot_$place
    done
    use_cluster plain
}

latency_of_tenth() { # <after id> <percent> <tenth, from 0>
    query "SELECT extract(epoch FROM percentile_disc(0.$2) WITHIN GROUP (ORDER BY started_at - created_at)) * 1000
           FROM (SELECT started_at, created_at, ntile(10) OVER (ORDER BY id) AS tenth FROM stent.archive WHERE id > $1) t
           WHERE tenth = $3 + 1"
}

# ---- preload -------------------------------------------------------------

part_preload() {
    local round cluster slices=$((ROUNDS * 2)) before n=$((SCALE * 30000)) suffix
    for cluster in served plain; do
        use_cluster $cluster
        [[ $cluster == plain ]] || set_executors 0
        make_database preload
    done
    for ((round = 1; round <= slices; round++)); do
        ((round % 2)) || progress "preload, slice $round of $slices"
        for cluster in $( ((round % 2)) && echo served plain || echo plain served); do
            use_cluster $cluster
            database=preload
            suffix=
            [[ $cluster == served ]] || suffix=" without"
            measure_insert "preload dispatch 1$suffix" dispatch stent.task 1 $((SCALE * 400)) 1
            before=$(ticks)
            measure_insert "preload dispatch 4$suffix" dispatch stent.task 4 $((SCALE * 1000)) 1
            record_cost "preload dispatch$suffix" "$before" $((SCALE * 4000))
            drain 2
            load_tasks "$n"
            settle stent.task "$LIVE" >/dev/null
            before=$(ticks)
            measure_drain "preload run$suffix" run_100 stent.task 2 $((n / 250)) stent.function
            record_cost "preload run$suffix" "$before" $((n / 250 * 200))
            drain 2
        done
    done
    row "With preload, no executors; yardstick: without preload"
    row "dispatches/s, 1 client" "preload dispatch 1" "preload dispatch 1 without" ">= 0.98"
    row "dispatches/s, 4 clients" "preload dispatch 4" "preload dispatch 4 without" ">= 0.98"
    row "tasks/s by stent.run(100), 2 clients" "preload run" "preload run without" ">= 0.98"
    row "Processor time of the server, microseconds" "" "" lower
    row "a dispatch, 4 clients" "preload dispatch cost" "preload dispatch without cost" "<= 1.02 x"
    row "a task by stent.run(100), 2 clients" "preload run cost" "preload run without cost" "<= 1.02 x"
    for cluster in served plain; do
        use_cluster $cluster
        dropdb preload
    done
    use_cluster served
    set_executors $EXECUTORS
    use_cluster plain
}
