# shellcheck shell=bash disable=SC2154
# The parts of bench/run about controls: what each costs a trivial task, a limited
# function among others, one counter and one key that everybody uses; and how the
# same work went in an earlier version. Sourced by bench/run.

CONTROL_CLIENTS=2

# What a control does to a trivial task: name, function, further arguments.
controls=(
    "limited:limited:"
    "rated:rated:"
    "keyed:trivial:concurrency_key => i::text"
    "own key:trivial:idempotency_key => i::text"
    "idempotent:idempotent:"
    "counting:counting:"
    "context:setting:"
    "sharing:sharing:"
    "progress:telling:"
)

control_schema() {
    query "
CREATE FUNCTION public.counting(jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM stent.counter_add('done', 1);
    RETURN jsonb_build_object('n', (\$1 ->> 'n')::integer + 1);
END \$\$;
CREATE FUNCTION public.setting(jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM stent.context_set('last', \$1 -> 'n');
    RETURN jsonb_build_object('n', (\$1 ->> 'n')::integer + 1);
END \$\$;
CREATE FUNCTION public.sharing(jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM stent.shared_add_int('key ' || (\$1 ->> 'n')::integer % 1000, 1);
    RETURN jsonb_build_object('n', (\$1 ->> 'n')::integer + 1);
END \$\$;
CREATE FUNCTION public.telling(jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM stent.progress('half way');
    RETURN jsonb_build_object('n', (\$1 ->> 'n')::integer + 1);
END \$\$;
CREATE FUNCTION public.fan_out(jsonb) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM stent.spawn('counting', public.payload(i)) FROM generate_series(1, (\$1 ->> 'n')::integer) i;
END \$\$;
SELECT stent.shared_set('key ' || i, '0') FROM generate_series(0, 999) i;
SELECT stent.register('limited', 'public.trivial(jsonb)', max_concurrent => 16);
SELECT stent.register('rated', 'public.trivial(jsonb)', rate_limit => 100000000);
SELECT stent.register('single', 'public.trivial(jsonb)', max_concurrent => 1, priority => 10);
SELECT stent.register('free', 'public.trivial(jsonb)', priority => 10);
SELECT stent.register('idempotent', 'public.trivial(jsonb)', idempotent => true, version => '1');
SELECT stent.register('counting', 'public.counting(jsonb)');
SELECT stent.register('setting', 'public.setting(jsonb)');
SELECT stent.register('sharing', 'public.sharing(jsonb)');
SELECT stent.register('telling', 'public.telling(jsonb)');
SELECT stent.register('fan_out', 'public.fan_out(jsonb)', timeout => '10min');
CREATE TABLE public.one_row (id integer PRIMARY KEY, n bigint NOT NULL);
INSERT INTO public.one_row VALUES (1, 0);" >/dev/null
    printf '%s\n' 'UPDATE one_row SET n = n + 1 WHERE id = 1;' >"$WORK/scripts/one_row"
}

# Dispatch one by one, with an option that dispatch_many lacks.
load_each() { # <n> <function> <further arguments>
    query "SELECT count(stent.dispatch('$2', public.payload(i)${3:+, $3})) FROM generate_series(1, $1) i" >/dev/null
}

# One measurement: tasks with a control, drained.
measure_control() { # <key> <function> <further arguments> <transactions a client>
    local n=$(($4 * CONTROL_CLIENTS * 100)) first
    first=$(last_id)
    if [[ $2 == idempotent ]]; then
        # the same arguments again would be the same call
        query "SELECT count(stent.dispatch('idempotent', public.payload(i))) FROM generate_series($first, $first + $n - 1) i" >/dev/null
    else
        load_each "$n" "$2" "${3//i::text/"($first + i)::text"}"
    fi
    query CHECKPOINT
    measure_drain "$1" run_100 stent.task "$CONTROL_CLIENTS" "$4" "$LIVE, stent.line"
    drain 1
    check "$(count stent.task)" 0 "tasks left" "$1"
    check "$(query "SELECT count(*) FROM stent.tasks WHERE id > $first AND state = 'completed'")" "$n" "tasks completed" "$1"
}

part_controls() {
    local round control name function arguments each=$((SCALE * 60))
    use_cluster served
    make_database controls
    set_executors 0
    control_schema
    for ((round = 1; round <= ROUNDS; round++)); do
        progress "controls, round $round of $ROUNDS"
        for control in "trivial:trivial:" "${controls[@]}"; do
            IFS=: read -r name function arguments <<<"$control"
            measure_control "control $name" "$function" "$arguments" "$each"
        done
    done
    row "Tasks/s with a control, 100 a commit, $CONTROL_CLIENTS clients; yardstick: without"
    for control in "${controls[@]}"; do
        IFS=: read -r name function arguments <<<"$control"
        case $name in
            limited) row "function with max_concurrent" "control limited" "control trivial" ;;
            rated) row "function with rate_limit" "control rated" "control trivial" ;;
            keyed) row "concurrency_key, all different" "control keyed" "control trivial" ;;
            'own key') row "idempotency_key" "control own key" "control trivial" ;;
            idempotent) row "idempotent function" "control idempotent" "control trivial" ;;
            counting) row "counter_add" "control counting" "control trivial" ;;
            context) row "context_set" "control context" "control trivial" ;;
            sharing) row "shared_add_int, 1,000 keys" "control sharing" "control trivial" ;;
            progress) row "progress" "control progress" "control trivial" ;;
        esac
    done
    set_executors $EXECUTORS
    dropdb controls
    use_cluster plain
}

# ---- one for all ---------------------------------------------------------

# Tasks of one execution that all add to one counter.
measure_hot_counter() { # <key> <transactions a client>
    local n=$(($2 * 4 * 100)) id
    id=$(query "SELECT stent.dispatch('fan_out', '{\"n\": $n}')")
    query "SELECT stent.run(1)" >/dev/null
    measure_drain "$1" run_100 stent.task 4 "$2" "$LIVE, stent.child"
    drain 1
    check "$(query "SELECT stent.state_of($id) #>> '{counters,done}'")" "$n" "sum of the counter" "$1"
}

# Tasks of one concurrency key.
measure_hot_key() { # <key> <n>
    local begin first
    first=$(last_id)
    load_each "$2" trivial "concurrency_key => 'one'"
    query "VACUUM $LIVE, stent.line"
    begin=$(date +%s.%N)
    begin_loop run_loop 4
    wait_until "SELECT NOT EXISTS (SELECT FROM stent.line)" "sessions do not finish what is in line" 120
    record "$1" "$(awk -v n="$2" -v b="$begin" -v e="$(date +%s.%N)" 'BEGIN { print n / (e - b) }')"
    end_loop
    check "$(query "SELECT count(*) FROM stent.tasks WHERE id > $first AND state = 'completed'")" "$2" "tasks completed" "$1"
}

measure_one_row() { # <key> <transactions a client>
    query "VACUUM one_row"
    query "UPDATE one_row SET n = 0"
    drive one_row 4 "$2"
    record "$1" "$(rate $((4 * $2)))"
    check "$(query "SELECT n FROM one_row")" $((4 * $2)) "updates" "$1"
}

part_hot() {
    local round
    use_cluster served
    make_database hot
    set_executors 0
    control_schema
    for ((round = 1; round <= ROUNDS; round++)); do
        progress "hot, round $round of $ROUNDS"
        query CHECKPOINT
        measure_one_row "hot row" $((SCALE * 300))
        measure_hot_counter "hot counter" $((SCALE * 30))
        measure_hot_key "hot key" $((SCALE * 2000))
    done
    row "From 4 sessions; yardstick: updates of one row, each its commit"
    row "tasks that add to one counter, 100 a commit" "hot counter" "hot row" ">= 10"
    row "tasks of one concurrency key" "hot key" "hot row"
    set_executors $EXECUTORS
    dropdb hot
    use_cluster plain
}

# ---- a full function among others ----------------------------------------

# A transaction that stays open until end_loop.
begin_holder() { # <what it does first>
    PGAPPNAME="bench loop" psql -Xq -d "$database" -c "BEGIN" -c "$1" -c "SELECT pg_sleep(3600)" >"$WORK/loop.out" 2>&1 &
    LOOP=$!
    wait_until "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'bench loop' AND wait_event = 'PgSleep')" "no holder"
}

# Others beside a function of higher priority whose only place is taken.
measure_others() { # <key> <what holds> <transactions a client>
    local n=$(($3 * CONTROL_CLIENTS * 100))
    load_tasks "$n"
    begin_holder "$2"
    measure_drain "$1" run_100 stent.task "$CONTROL_CLIENTS" "$3" "$LIVE"
    end_loop
    drive run_100 1 $((CONTROL_CLIENTS + 2))
}

part_full() {
    local round each=$((SCALE * 100))
    use_cluster served
    make_database full
    set_executors 0
    control_schema
    for ((round = 1; round <= ROUNDS; round++)); do
        progress "full, round $round of $ROUNDS"
        query CHECKPOINT
        measure_others "full not" "SELECT pg_current_xact_id()" "$each"
        load_tasks 10000 single
        measure_others "full" "SELECT stent.run(1)" "$each"
        drain 1
        check "$(count stent.task)" 0 "tasks left" full "full not"
        # the same work, of which a part may only be done by one at a time
        for side in single free; do
            load_tasks $((SCALE * 4000)) $side
            load_tasks $((each * CONTROL_CLIENTS * 100))
            measure_drain "mixed $side" run_100 stent.task "$CONTROL_CLIENTS" "$each" "$LIVE"
            drain 1
        done
    done
    row "Tasks/s of others, 100 a commit, $CONTROL_CLIENTS clients, beside a function with max_concurrent 1; yardstick: without"
    row "10,000 of it waiting before them, its place taken" "full" "full not" ">= 0.95"
    row "it and others together; yardstick: unlimited" "mixed single" "mixed free" ">= 0.95"
    set_executors $EXECUTORS
    dropdb full
    use_cluster plain
}

# ---- before --------------------------------------------------------------

# Switches psql, PGDATA and the programs to the cluster of a version.
use_version() { # <before or now>
    if [[ $1 == before ]]; then
        PATH=$BEFORE_BIN:$NOW_PATH
        use_cluster before
    else
        PATH=$NOW_PATH
        use_cluster served
    fi
    database=versions
}

# BEFORE=<directory of another version's tree> bench/run before
part_before() {
    local round version used each=$((SCALE * 200))
    [[ -n ${BEFORE:-} ]] || die "part before needs BEFORE=<directory of another version's tree>"
    NOW_PATH=$PATH
    say "Building stent of $BEFORE."
    mkdir -p "$WORK/other"
    (
        # shellcheck disable=SC2030
        ROOT=$BEFORE WORK=$WORK/other
        build_private
        echo "$BIN" >"$WORK/bin"
    )
    BEFORE_BIN=$(<"$WORK/other/bin")
    for version in now before; do
        use_version $version
        database=postgres
        make_database versions
        set_executors 0
    done
    # what one server wrote must not slow down the other
    for ((round = 1; round <= 2 * ROUNDS; round++)); do
        progress "before, round $round of $((2 * ROUNDS))"
        for version in $( ((round % 2)) && echo now before || echo before now); do
            use_version $version
            query CHECKPOINT
            used=$(ticks)
            measure_insert "$version dispatch" dispatch stent.task 4 $((SCALE * 500)) 1
            record_cost "$version dispatch" "$used" $((SCALE * 2000))
            measure_insert "$version many" dispatch_many stent.task 1 $((SCALE * 30)) 1000
            drain 2
            load_tasks $((each * 200))
            query "VACUUM $LIVE"
            query CHECKPOINT
            used=$(ticks)
            measure_drain "$version run" run_100 stent.task 2 "$each" "$LIVE"
            record_cost "$version run" "$used" $((each * 200))
            drain 1
            check "$(count stent.task)" 0 "tasks left" "$version run"
        done
    done
    row "Tasks/s without controls; yardstick: the tree in $(basename "$BEFORE")"
    row "run, 100 a commit, 2 clients" "now run" "before run" ">= 0.95"
    row "dispatch, one a commit, 4 clients" "now dispatch" "before dispatch" ">= 0.95"
    row "dispatch_many of 1,000, 1 client" "now many" "before many" ">= 0.95"
    row "Processor time of the server a task, microseconds" "" "" lower
    row "run" "now run cost" "before run cost" "<= 1.05 x"
    row "dispatch" "now dispatch cost" "before dispatch cost" "<= 1.05 x"
    use_version now
    set_executors $EXECUTORS
    use_cluster plain
}
