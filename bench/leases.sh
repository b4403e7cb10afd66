# shellcheck shell=bash disable=SC2154
# The parts of bench/run about leases: tasks that sessions claim and complete by SQL,
# and that a worker runs; what workers cost those who dispatch; peers of npm that do the
# same work (bench/peers), where npm can install them. Sourced by bench/run.

LEASE_CLIENTS=(1 4 16)

# <tasks a claim>:<claimers>:<transactions each>
LEASE_GRID=(1:1:400 1:4:200 1:16:80 20:1:250 20:4:100 20:16:40 100:1:150 100:4:60 100:16:20 1000:1:20 1000:4:8 1000:16:3)

write_lease_scripts() {
    local batch
    printf '%s\n' '\set n random(1, 1000000)' \
        "SELECT stent.dispatch('leased', jsonb_build_object('n', :n::integer, 'text', repeat('x', 68)));" >dispatch_leased
    printf '%s\n' '\set n random(1, 1000000)' \
        "INSERT INTO effect (id) SELECT stent.dispatch('leased', jsonb_build_object('n', :n::integer, 'text', repeat('x', 68)));" \
        '\set pause random(10, 30)' '\sleep :pause ms' >leased_paced
    printf '%s\n' "SELECT graphile_worker.add_job('trivial', json_build_object('at', extract(epoch FROM clock_timestamp()) * 1000));" \
        '\set pause random(10, 30)' '\sleep :pause ms' >peer_paced
    echo "SELECT count(*) FROM stent.dispatch_many('leased', (SELECT payloads FROM batch WHERE size = 1000));" >dispatch_many_leased
    # a worker that asks to be woken and takes nothing, a hundred times a second
    printf '%s\n' 'LISTEN stent_work;' 'SELECT stent.worker_wait();' '\sleep 10 ms' >wait_loop
    # two statements, two commits; the results are what stent.run() keeps of such a task
    for batch in 1 20 100 1000; do
        cat >"lease_$batch" <<SQL
SELECT count(*) AS n, array_agg(task_id) AS ids, array_agg(token) AS tokens,
    array_agg(jsonb_build_object('n', (args ->> 'n')::integer + 1)) AS results
FROM stent.claim('bench', $batch)
\gset
\if :n
SELECT stent.complete_many(:ids::bigint[], :tokens::bigint[], :results::jsonb[]);
\endif
SQL
    done
}

make_lease_database() { # <name>
    make_database "$1"
    set_executors 0
    query "SELECT stent.register('leased')"
}

LEASE_LIVE="stent.task, stent.ready, stent.due, stent.lease"

# Claims and completes what is ready, until nothing is; leases of what aborted would stay.
drain_leased() {
    while [[ $(query "SELECT EXISTS (SELECT FROM stent.ready)") == t ]]; do
        drive lease_1000 1 20
    done
    check "$(count stent.task)" 0 "tasks left" "$@"
}

# ---- claimed and completed by SQL ----------------------------------------

measure_leases() { # <tasks a claim>
    local batch=$1 total=0 config size clients each first keys=()
    for config in "${LEASE_GRID[@]}"; do
        IFS=: read -r size clients each <<<"$config"
        ((size != batch)) || total=$((total + size * clients * each * SCALE))
    done
    first=$(last_id)
    query "TRUNCATE two_step"
    load_tasks $total leased
    load_table two_step $total
    query CHECKPOINT
    for config in "${LEASE_GRID[@]}"; do
        IFS=: read -r size clients each <<<"$config"
        ((size == batch)) || continue
        keys+=("lease $size $clients")
        measure_drain "lease $size $clients" "lease_$size" stent.task "$clients" $((each * SCALE)) "$LEASE_LIVE"
        measure_drain "lease two $size $clients" "two_step_$size" two_step "$clients" $((each * SCALE))
        check "$(query "SELECT count(*) FROM two_step WHERE claimed")" 0 "claimed rows left" "lease two $size $clients"
    done
    drain_leased "${keys[@]}"
    check_archive "$first" $total "${keys[@]}"
}

# Bytes of WAL a task, with one setting of full_page_writes.
measure_lease_wal() { # <setting> <n>
    local on=$1 n=$2 first
    query "ALTER SYSTEM SET full_page_writes = $on"
    query "SELECT pg_reload_conf()" >/dev/null
    sleep 0.5
    query "TRUNCATE one_step, two_step"
    query "VACUUM $LEASE_LIVE"
    first=$(last_id)
    measure_wal "lease wal $on dispatch" dispatch_leased "$n" "$n"
    measure_wal "lease wal $on insert" insert "$n" "$n"
    query "INSERT INTO two_step (payload) SELECT payload FROM one_step"
    measure_wal "lease wal $on lease" lease_100 $((n / 100 + 1)) "$n"
    measure_wal "lease wal $on two" two_step_100 $((n / 100)) "$n"
    measure_wal "lease wal $on many" dispatch_many_leased $((n / 1000)) "$n"
    measure_wal "lease wal $on lease again" lease_100 $((n / 100 + 1)) "$n"
    check "$(count stent.task)" 0 "tasks left" "lease wal $on lease"
    check_archive "$first" $((2 * n)) "lease wal $on lease"
    check "$(count two_step)" 0 "rows left" "lease wal $on two"
    add "lease wal $on task" "lease wal $on dispatch" "lease wal $on lease"
    add "lease wal $on task many" "lease wal $on many" "lease wal $on lease again"
    add "lease wal $on row" "lease wal $on insert" "lease wal $on two"
}

part_leases() {
    local round batch clients on
    use_cluster served
    make_lease_database leases
    for ((round = 1; round <= ROUNDS; round++)); do
        for batch in 1 20 100 1000; do
            progress "leases, round $round of $ROUNDS, $batch a claim"
            measure_leases $batch
        done
    done
    progress "leases, WAL"
    for on in off on; do
        measure_lease_wal $on $((5000 * SCALE))
    done
    query "ALTER SYSTEM RESET full_page_writes"
    query "SELECT pg_reload_conf()" >/dev/null
    row "Tasks claimed and completed/s from SQL, two commits a batch, result and archive kept; yardstick: drain in two steps, nothing kept"
    for batch in 1 20 100 1000; do
        for clients in "${LEASE_CLIENTS[@]}"; do
            row "$batch a claim, $clients claimer(s)" "lease $batch $clients" "lease two $batch $clients" "$( ((batch != 100)) || echo ">= 1.00")"
        done
    done
    row "WAL bytes a leased task, 100 a claim, without full-page images; yardstick: insert, drain in two steps"
    row "dispatch + claim + complete" "lease wal off task" "lease wal off row" "<= 1200"
    row "claim + complete" "lease wal off lease" "lease wal off two"
    row "dispatch_many of 1,000 + claim + complete" "lease wal off task many"
    row "The same with the full-page images after a checkpoint before each step"
    row "dispatch + claim + complete" "lease wal on task" "lease wal on row"
    set_executors "$EXECUTORS"
    dropdb leases
    use_cluster plain
}

# ---- a worker ------------------------------------------------------------

write_configuration() { # <name> <slots> <most tasks a claim> <function as JSON>
    cat >"$WORK/$1.json" <<JSON
{"name": "bench", "slots": $2, "claim_batch": $3, "log_level": "warn", "functions": {"leased": $4}}
JSON
}

begin_worker() { # <configuration>
    "$STENT_WORKER" worker --config "$WORK/$1.json" -d "$database" >"$WORK/worker.log" 2>&1 &
    WORKER=$!
}

wait_ready() {
    wait_until "SELECT EXISTS (SELECT FROM stent.workers WHERE live AND state = 'ready')" "no worker: $(cat "$WORK/worker.log")"
}

# For an exit: what would look for its server for ever.
end_helpers() {
    local pid
    for pid in ${WORKER:-} ${PEER:-}; do
        kill -KILL "$pid" 2>/dev/null || true
    done
}

# It must drain and say so.
end_worker() {
    local status=0
    kill -TERM "$WORKER"
    wait "$WORKER" || status=$?
    WORKER=
    ((status == 0)) || { tail -n 20 "$WORK/worker.log"; die "the worker ended with status $status"; }
}

# Until the worker has finished all. The table is looked at seldom: that takes what is measured.
wait_tasks() {
    local deadline=$((SECONDS + 180))
    until [[ $(query "SELECT NOT EXISTS (SELECT FROM stent.task)") == t ]]; do
        ((SECONDS < deadline)) || { tail -n 20 "$WORK/worker.log"; die "the worker does not finish what is there"; }
        sleep 0.2
    done
}

# Tasks a second that a worker reaches on what waits for it when it comes.
measure_worker() { # <key> <configuration> <n>
    local first before
    settle stent.task "$LEASE_LIVE" >/dev/null
    first=$(last_id)
    load_tasks "$3" leased
    settle stent.task "$LEASE_LIVE" >/dev/null
    before=$(ticks)
    begin_worker "$2"
    wait_tasks
    # while its sessions are there: what they used is counted
    record_cost "$1" "$before" "$3"
    end_worker
    check "$(query "SELECT count(*) FROM stent.tasks WHERE id > $first AND state = 'completed'")" "$3" "tasks completed" "$1"
    record "$1" "$(query "SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at)) FROM stent.archive WHERE id > $first")"
}

# The same by sessions.
measure_claimers() { # <key> <claimers> <n>
    load_tasks "$3" leased
    measure_drain "$1" lease_100 stent.task "$2" $(($3 / 100 / $2)) "$LEASE_LIVE"
    drain_leased "$1"
}

# How many programs the machine starts a second, as many at a time as the worker's slots.
measure_spawn() { # <key> <n> <at a time>
    local begin
    begin=$(date +%s.%N)
    seq "$2" | xargs -P "$3" -n 1 /bin/true
    record "$1" "$(awk -v n="$2" -v b="$begin" -v e="$(date +%s.%N)" 'BEGIN { print n / (e - b) }')"
}

# ---- peers ---------------------------------------------------------------

# Installs the peers, as bench/peers/package-lock.json says; false where npm cannot.
install_peers() {
    PEERS=$WORK/peers
    [[ ! -d $PEERS/node_modules ]] || return 0
    command -v npm >/dev/null || { say "There is no npm: peers are left out."; return 1; }
    mkdir -p "$PEERS"
    cp "$ROOT"/bench/peers/{package.json,package-lock.json,.npmrc,*.mjs} "$PEERS"
    say "Installing peers by npm."
    if ! npm --prefix "$PEERS" ci >"$WORK/npm.log" 2>&1 || ! "$PEERS/node_modules/.bin/node" --version >>"$WORK/npm.log" 2>&1; then
        say "npm could not install the peers ($WORK/npm.log): they are left out."
        rm -rf "$PEERS/node_modules"
        return 1
    fi
    say "peers        $(sed -n 's/^ *"\(graphile-worker\|pg-boss\|node\)": "\([0-9.]*\)",*$/\1 \2/p' "$PEERS/package.json" | paste -sd,)"
}

peer() { # <peer> <command> [<n>]
    PGDATABASE=$database "$PEERS/node_modules/.bin/node" "$PEERS/$1.mjs" "${@:2}" 2>>"$WORK/peers.log" ||
        { tail -n 20 "$WORK/peers.log" >&2; die "$1 failed"; }
}

# Its table of jobs, and how many are to be done.
declare -A peer_table=([graphile-worker]=graphile_worker._private_jobs [pg-boss]=pgboss.job)
declare -A peer_waiting=([graphile-worker]="SELECT count(*) FROM graphile_worker._private_jobs"
    [pg-boss]="SELECT count(*) FROM pgboss.job WHERE state <> 'completed'")

# Until sessions of the database have ended: the server knows what they used only then.
wait_gone() {
    local postmaster deadline=$((SECONDS + 60))
    postmaster=$(head -n 1 "$PGDATA/postmaster.pid")
    while pgrep -f -P "$postmaster" " $database \[local\]" >/dev/null; do
        ((SECONDS < deadline)) || die "sessions of $database do not end"
        sleep 0.05
    done
}

measure_peer() { # <peer> <n>
    local seconds before
    query "TRUNCATE ${peer_table[$1]} CASCADE"
    peer "$1" load "$2"
    query "VACUUM ANALYZE ${peer_table[$1]}"
    check "$(query "${peer_waiting[$1]}")" "$2" "jobs of $1" "peer $1"
    before=$(ticks)
    seconds=$(peer "$1" drain "$2")
    wait_gone
    record_cost "peer $1" "$before" "$2"
    record "peer $1" "$(awk -v n="$2" -v s="$seconds" 'BEGIN { print n / s }')"
    check "$(query "${peer_waiting[$1]}")" 0 "jobs left of $1" "peer $1"
}

make_peers() {
    local name
    createdb peers
    database=peers
    query "CREATE FUNCTION public.payload(n bigint) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
           \$\$ SELECT jsonb_build_object('n', n, 'text', repeat('x', 68)) \$\$"
    for name in "${!peer_table[@]}"; do
        peer "$name" prepare
    done
}

# ---- latency with a worker -----------------------------------------------

# Dispatches by one client, a pause after each, to a worker that waits; from dispatching
# to starting, as record_latency has it. A program tells its start by itself: its result.
worker_latency() { # <key> <configuration> <seconds>
    local first p keys=("$1 call 50" "$1 commit 50" "$1 call 99" "$1 commit 99")
    settle effect "effect, $LEASE_LIVE" >/dev/null
    begin_worker "$2"
    wait_ready
    first=$(last_id)
    new_log noise
    new_log latency
    (drive_log noise nothing 1 -T "$3" -R 50) &
    drive_log latency leased_paced 1 -T "$3"
    wait $!
    wait_tasks
    end_worker
    check "$(query "SELECT count(*) FROM stent.tasks WHERE id > $first AND state = 'completed'")" \
        "$(query "SELECT count(*) FROM effect WHERE id > $first")" "tasks completed" "${keys[@]}"
    record_latency "$1" "$first"
    for p in 50 99; do
        record "$1 noise $p" "$(percentile noise 7 $p)"
        [[ $2 != clock ]] ||
            record "$1 start $p" "$(query "SELECT percentile_disc(0.$p) WITHIN GROUP (ORDER BY result::text::numeric - extract(epoch FROM created_at)) * 1000
                                           FROM stent.archive WHERE id > $first")"
    done
}

# The same by graphile-worker: from add_job to the start of its handler.
peer_latency() { # <jobs>
    local p
    query "TRUNCATE ${peer_table[graphile-worker]} CASCADE"
    PGDATABASE=$database "$PEERS/node_modules/.bin/node" "$PEERS/graphile-worker.mjs" latency "$1" \
        >"$WORK/peer_latency" 2>>"$WORK/peers.log" &
    PEER=$!
    wait_until "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'peers' AND query ILIKE 'listen%jobs:insert%' AND state = 'idle')" \
        "graphile-worker does not listen"
    new_log peer
    drive_log peer peer_paced 1 -t "$1"
    wait "$PEER" || { tail -n 20 "$WORK/peers.log" >&2; die "graphile-worker failed"; }
    PEER=
    for p in 50 99; do
        record "peer latency $p" "$(sort -n "$WORK/peer_latency" | awk -v p=$p '{ v[NR] = $1 } END { i = int(NR * p / 100); print v[i < 1 ? 1 : i] }')"
    done
}

# ---- what a worker costs who dispatches ----------------------------------

# Dispatches a second by 16 clients: nobody waits, somebody waits all the time, a worker
# runs what comes.
measure_dispatch_beside() { # <nobody, waiter or worker>
    local each=$((SCALE * 150))
    settle stent.task "$LEASE_LIVE" >/dev/null
    case $1 in
        waiter) begin_loop wait_loop 1 ;;
        worker)
            begin_worker noop
            wait_ready
            ;;
    esac
    drive dispatch_leased 16 "$each"
    record "beside $1" "$(rate $((each * 16)))"
    case $1 in
        waiter) end_loop ;;
        worker)
            wait_tasks
            end_worker
            ;;
    esac
    drain_leased "beside $1"
}

part_worker() {
    local round n=$((SCALE * 20000)) p length=$((2 + 2 * SCALE)) side has_peers=
    build_worker
    use_cluster served
    ! install_peers || has_peers=1
    [[ -z $has_peers ]] || make_peers
    make_lease_database worker
    write_configuration noop 1000 100 '{"noop": {}}'
    write_configuration noop_1000 1000 1000 '{"noop": {}}'
    write_configuration true 4 100 '{"command": ["/bin/true"], "stdin": "none", "result": "none"}'
    write_configuration clock 4 100 '{"command": ["date", "+%s.%N"], "stdin": "none"}'
    for ((round = 1; round <= ROUNDS; round++)); do
        progress "worker, round $round of $ROUNDS"
        query CHECKPOINT
        measure_worker "worker noop" noop "$n"
        measure_worker "worker noop 1000" noop_1000 "$n"
        measure_claimers "worker claimers 1" 1 "$n"
        measure_claimers "worker claimers 4" 4 "$n"
        if [[ -n $has_peers ]]; then
            database=peers
            # more of them: node compiles as it goes
            measure_peer graphile-worker $((2 * n))
            measure_peer pg-boss $((2 * n))
            database=worker
        fi
        measure_worker "worker true" true $((SCALE * 750))
        measure_spawn "worker spawn" $((SCALE * 750)) 4
        progress "worker, round $round of $ROUNDS: latency"
        PGOPTIONS="-c synchronous_commit=on" worker_latency "worker on" noop "$length"
        PGOPTIONS="-c synchronous_commit=off" worker_latency "worker off" noop "$length"
        PGOPTIONS="-c synchronous_commit=off" worker_latency "worker clock" clock "$length"
        if [[ -n $has_peers ]]; then
            database=peers
            PGOPTIONS="-c synchronous_commit=off" peer_latency $((SCALE * 100))
            database=worker
        fi
        progress "worker, round $round of $ROUNDS: dispatch beside it"
        for side in $( ((round % 2)) && echo nobody waiter worker || echo worker waiter nobody); do
            measure_dispatch_beside "$side"
        done
    done
    row "Tasks/s by one worker whose handler does nothing, 100 a claim; yardsticks: claimers in SQL, 100 a claim; peers"
    row "worker, against 1 claimer" "worker noop" "worker claimers 1" ">= 0.80"
    row "worker, against 4 claimers" "worker noop" "worker claimers 4"
    row "worker, 1,000 a claim, against 4 claimers" "worker noop 1000" "worker claimers 4" ">= 0.80"
    if [[ -n $has_peers ]]; then
        row "worker, against graphile-worker" "worker noop" "peer graphile-worker" ">= 1.00"
        row "worker, 1,000 a claim, against the same" "worker noop 1000" "peer graphile-worker"
        row "worker, 1,000 a claim, against pg-boss" "worker noop 1000" "peer pg-boss"
        row "Processor time of the server a task, microseconds" "" "" lower
        row "worker, against graphile-worker" "worker noop cost" "peer graphile-worker cost"
        row "worker, against pg-boss" "worker noop cost" "peer pg-boss cost"
    fi
    row "Programs/s, 4 at a time; yardstick: xargs -P 4 without a server"
    row "/bin/true by the worker" "worker true" "worker spawn"
    row "Dispatch to claim in ms, a worker that waits; yardstick: how late a timer wakes a process meanwhile" "" "" lower
    for p in 50 99; do
        row "p$p from the call" "worker on call $p" "worker on noise $p"
        row "p$p from the commit record" "worker on commit $p" "worker on noise $p" "<= $((p == 50 ? 2 : 7))"
        row "p$p from the call, synchronous_commit = off" "worker off call $p" "worker off noise $p" "<= $((p == 50 ? 2 : 7))"
        row "p$p to the program's own clock, = off" "worker clock start $p" "worker clock noise $p"
        [[ -z $has_peers ]] ||
            row "p$p to graphile-worker's handler, = off" "peer latency $p" "worker off noise $p"
    done
    row "Dispatches/s by 16 clients, one a commit; yardstick: nobody waits"
    row "a session that asks to be woken, 100 times/s" "beside waiter" "beside nobody" ">= 0.90"
    row "a worker runs what comes" "beside worker" "beside nobody"
    set_executors "$EXECUTORS"
    dropdb worker
    [[ -z $has_peers ]] || dropdb peers
    use_cluster plain
}
