# shellcheck shell=bash
# What the scripts share: packages, the server to use, a user who may run it,
# a copy of the server to install into, a cluster. Sourced, not run.
#
# Nothing here writes outside .build/, /tmp, /var/tmp and, through apt, the
# packages asked for.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SCRIPT=$(basename "$0")
# What the worker and its library are built with.
# shellcheck disable=SC2034
WORKER_PACKAGES=(libevent-dev libjansson-dev libpq-dev pkg-config)

# The caller's PGHOST, PGOPTIONS and so on belong to another server. Messages
# are parsed, so they have to be English.
for variable in "${!PG@}"; do
    [[ $variable == PG_CONFIG ]] || unset "$variable"
done
export LC_ALL=C.UTF-8

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "$SCRIPT" "$*" >&2; exit 1; }

# Runs a command as root: directly, or through sudo.
as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# Installs those of the named Debian packages that are missing. With none
# missing it needs no rights; where there is no dpkg the tools have to be there.
install_packages() {
    local package log missing=()
    command -v dpkg-query >/dev/null || return 0
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed* ]] ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || command -v sudo >/dev/null ||
        die "packages are missing and there is no sudo; as root: apt-get install ${missing[*]}"
    say "Installing ${missing[*]}"
    # One unreachable source among several must not stop what the others have.
    as_root apt-get update -qq || say "apt-get update failed; using the package lists there are"
    log=$(mktemp)
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
        { tail -n 30 "$log"; die "apt-get install failed"; }
    rm "$log"
}

# Sets PG_CONFIG to the server to build for: the caller's, or Debian's 15.
# Debian's is installed if it is missing, a server of the caller's choice is not.
find_server() { # <further packages>
    local packages=(make gcc libc6-dev procps "$@")
    [[ -n ${PG_CONFIG:-} ]] || packages+=(postgresql-15 postgresql-server-dev-15)
    install_packages "${packages[@]}"
    if [[ -z ${PG_CONFIG:-} ]]; then
        PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
        [[ -x $PG_CONFIG ]] || PG_CONFIG=pg_config
    fi
    PG_CONFIG=$(command -v "$PG_CONFIG") || die "no pg_config; set PG_CONFIG to the one of your server"
    [[ -r $("$PG_CONFIG" --pgxs) ]] || die "$PG_CONFIG has no PGXS: its server development files are missing"
    export PG_CONFIG
}

# Copies the tree; what was built in it is for `make clean` in the copy.
copy_tree() { # <directory>
    mkdir -p "$1"
    tar -C "$ROOT" -cf - --exclude=./.git --exclude=./.build . | tar -C "$1" -xf - --no-same-owner
}

# PostgreSQL refuses to run as root. For root this runs the script again as
# user postgres on a copy of the tree and exits with its status; for others it
# returns.
leave_root() { # <arguments of the script>
    ((EUID == 0)) || return 0
    local script status=0
    script=$(realpath --relative-to="$ROOT" "$0")
    id postgres >/dev/null 2>&1 || die "PostgreSQL does not run as root and there is no user postgres; run this as another user"
    COPY=$(mktemp -d /var/tmp/stent.XXXXXX)
    trap 'rm -rf "$COPY"' EXIT
    copy_tree "$COPY/stent"
    chown -R postgres: "$COPY"
    cd "$COPY"
    # Not runuser or su: they stay in between and kill the script before it has
    # cleaned up.
    setpriv --reuid=postgres --regid=postgres --init-groups -- \
        env -u TMPDIR HOME="$COPY" "$COPY/stent/$script" "$@" || status=$?
    exit "$status"
}

# Sets WORK, a directory of the script's own under .build/, empty. What a run
# leaves there stays for reading until the next one.
make_work() {
    WORK=$ROOT/.build/$SCRIPT
    mkdir -p "$WORK" || die "cannot write to $ROOT"
    exec 9>"$WORK.lock"
    flock -n 9 || die "another run is using $WORK"
    rm -rf "$WORK"
    mkdir -p "$WORK"
}

# Builds the extension in $WORK/tree and installs it into a private copy of the
# server, $WORK/pg; from then on PG_CONFIG and BIN mean that copy.
#
# A program of PostgreSQL finds share/ and lib/ from where it lies itself, as
# long as the paths keep their shape, and pg_config prints what it finds. So
# programs are copied, the rest are links, and no right to /usr is needed.
build_private() { # <make variables>
    local bin share lib include directory
    copy_tree "$WORK/tree"
    mapfile -t directory < <("$PG_CONFIG" --bindir --sharedir --pkglibdir --includedir)
    bin=${directory[0]} share=${directory[1]} lib=${directory[2]} include=${directory[3]}
    mkdir -p "$WORK/pg$bin" "$WORK/pg$share" "$WORK/pg$lib" "$(dirname "$WORK/pg$include")"
    cp -L "$bin"/* "$WORK/pg$bin"
    cp -rs "$share/." "$WORK/pg$share"
    cp -rs "$lib/." "$WORK/pg$lib"
    ln -s "$include" "$WORK/pg$include"

    BIN=$WORK/pg$bin
    export PG_CONFIG=$BIN/pg_config PATH=$BIN:$PATH
    [[ $("$PG_CONFIG" --pkglibdir) == "$WORK/pg$lib" ]] || die "$bin cannot be copied: its pg_config does not follow"
    make -C "$WORK/tree" -s clean
    make -C "$WORK/tree" -s -j"$(nproc)" "$@"
    make -C "$WORK/tree" -s "$@" install
}

# Builds the worker in $WORK/tree; sets STENT_WORKER to the program.
build_worker() {
    make -C "$WORK/tree/worker" -s -j"$(nproc)"
    export STENT_WORKER=$WORK/tree/worker/build/stent
}

# Makes a cluster and points psql at it: no TCP, a socket of its own. Lines
# of configuration come from standard input.
create_cluster() { # <data directory>
    export PGDATA=$1 PGUSER=postgres PGDATABASE=postgres PGHOST
    PGHOST=$(mktemp -d /tmp/stent.XXXXXX)
    initdb -A trust -U postgres -E UTF8 --no-locale >"$PGDATA.initdb" 2>&1 || { cat "$PGDATA.initdb"; die "initdb failed"; }
    {
        cat
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$PGHOST'"
        echo "log_line_prefix = '%m [%p] %q%a '"
    } >>"$PGDATA/postgresql.conf"
}

# Configuration for a cluster whose tests call stent.run() themselves: the
# library is preloaded, but no executor starts.
serve_nothing() {
    echo "shared_preload_libraries = 'stent'"
    echo "stent.databases = ''"
}

# The server is a child of the script, not of init: in a container whose init
# does not reap, a killed postmaster would seem alive to the next one. False if
# it does not start.
try_cluster() { # [program in place of postgres]
    local server
    "${1:-postgres}" >>"$PGDATA.log" 2>&1 &
    server=$!
    disown
    until pg_isready -q; do
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.1
    done
}

start_cluster() { # [program in place of postgres]
    try_cluster "$@" || { tail -n 20 "$PGDATA.log"; die "the server does not start"; }
}

# Ends a server at once. The file may be left from a killed server and its
# number be somebody else's by now; a postmaster's directory is its data.
stop_server() { # <data directory>
    local pid
    pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) || return 0
    [[ $(readlink "/proc/$pid/cwd") == "$(realpath "$1")" ]] || return 0
    pg_ctl -w -s -m immediate -D "$1" stop >/dev/null 2>&1 || true
}

# Ends the cluster, whatever state it is in; safe to call twice.
drop_cluster() {
    [[ -n ${PGDATA:-} ]] || return 0
    stop_server "$PGDATA"
    rm -rf "$PGDATA" "$PGHOST"
    unset PGDATA PGHOST
}

# For an exit: ends the cluster and servers of tests that were cut short.
drop_servers() {
    local file
    drop_cluster
    find "$WORK" -name postmaster.pid | while read -r file; do
        stop_server "$(dirname "$file")"
    done
}
