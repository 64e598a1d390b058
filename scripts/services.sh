# shellcheck shell=bash
# Sourced by tests that need a process beside them: started here, in a temporary folder, on loopback, and stopped again
# by its own id whatever way the script ends. Flow: services_begin, service_start …, service_await …, (end of script).
# What must hold: nothing outlives the script, nothing is written outside SERVICES_DIR, nobody waits by sleeping alone.
# A database or a broker that tests need later gets a function here that calls service_start with its own command line,
# binds port 0 or a port it asked the kernel for, and exports the address that the tests read.

# Where every service has its folder; set by services_begin.
SERVICES_DIR=
# The shell that cleans up. A child that is told to end before it has become the service still has this shell's traps.
SERVICES_OWNER=
# Name → process id of what runs.
declare -A SERVICE_PID=()

# services_begin: the folder, and the promise that all is stopped and removed at the end.
services_begin() {
    SERVICES_DIR=$(mktemp -d)
    SERVICES_OWNER=$BASHPID
    trap services_end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# service_start NAME COMMAND…: in the background, its output in SERVICES_DIR/NAME.log.
service_start() {
    local name=$1
    shift
    "$@" >"$SERVICES_DIR/$name.log" 2>&1 </dev/null &
    SERVICE_PID[$name]=$!
}

# service_await NAME SECONDS CONDITION…: until the command CONDITION is true. 1 and the log's end on standard error when
# the service ends before or the time is up.
service_await() {
    local name=$1 deadline=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ! kill -0 "${SERVICE_PID[$name]}" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            printf '%s is not there (%s):\n' "$name" "$*" >&2
            tail -n 20 "$SERVICES_DIR/$name.log" >&2
            return 1
        fi
        sleep 0.05
    done
}

# service_stop NAME [SECONDS]: asks it to end, waits (10 s), then makes it. Its exit status is the result.
service_stop() {
    local name=$1 pid=${SERVICE_PID[$1]} deadline=$((SECONDS + ${2:-10})) status=0
    unset "SERVICE_PID[$name]"
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            kill -KILL "$pid" 2>/dev/null || true
            break
        fi
        sleep 0.05
    done
    wait "$pid" || status=$?
    return "$status"
}

# postgres_bin: the folder of PostgreSQL's own programs, newest first; Debian keeps them off the PATH. 1 when there is none.
postgres_bin() {
    local found
    found=$(command -v initdb || find /usr/lib/postgresql -maxdepth 3 -name initdb 2>/dev/null | sort -Vr | head -n 1)
    [ -n "$found" ] || return 1
    dirname "$(readlink -f "$found")"
}

# free_port: a loopback port nobody listens on. Whoever binds it may still come second: callers try again.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 40000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# service_postgres NAME [SETTING=VALUE…]: a PostgreSQL with an empty database in SERVICES_DIR/NAME, reached over loopback
# by anybody; POSTGRES_URL is its address. It refuses to run as root, so root starts it as the user postgres.
service_postgres() {
    local name=$1 bin dir port attempt
    shift
    bin=$(postgres_bin) || { echo "PostgreSQL is not installed" >&2; return 1; }
    dir=$SERVICES_DIR/$name
    mkdir "$dir"
    local -a as=() settings=(-c listen_addresses=127.0.0.1 -c max_connections=100 -k "$dir")
    for attempt in "$@"; do settings+=(-c "$attempt"); done
    if [ "$(id -u)" -eq 0 ]; then
        chmod 711 "$SERVICES_DIR"
        chown postgres: "$dir"
        as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    fi
    (cd "$dir" && "${as[@]}" "$bin/initdb" -D "$dir/data" -U fanfare -A trust -E UTF8 --no-sync --locale=C.UTF-8) \
        >"$SERVICES_DIR/$name.initdb.log" 2>&1 || { cat "$SERVICES_DIR/$name.initdb.log" >&2; return 1; }
    for attempt in 1 2 3; do
        port=$(free_port)
        service_start "$name" "${as[@]}" "$bin/postgres" -D "$dir/data" -p "$port" "${settings[@]}"
        if service_await "$name" 30 "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; then
            # Read by the script that sources this file.
            # shellcheck disable=SC2034
            POSTGRES_URL=postgres://fanfare@127.0.0.1:$port/postgres
            return 0
        fi
        service_stop "$name" 5 || true
    done
    return 1
}

# services_end: all that still runs, then the folder.
services_end() {
    [ "$BASHPID" = "$SERVICES_OWNER" ] || return 0
    local name
    for name in "${!SERVICE_PID[@]}"; do service_stop "$name" || true; done
    [ -z "$SERVICES_DIR" ] || rm -rf "$SERVICES_DIR"
}
