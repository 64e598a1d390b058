# shellcheck shell=bash
# Sourced by tests that need a process beside them: started here, in a temporary folder, on loopback, and stopped again
# by its own id however the script ends. Flow: services_begin, service_start …, service_await …, (end of script).
# Invariants: nothing outlives the script, nothing is written outside SERVICES_DIR, every wait has a condition.
# A database or a broker that tests need gets a function here that calls service_start with its own command line,
# binds port 0 or a free port, and exports the address that the tests read.

# Where every service has its folder; set by services_begin.
SERVICES_DIR=
# The shell that cleans up. A child that is stopped before it has become the service still has this shell's traps.
SERVICES_OWNER=
# Name → process id of each running service.
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

# free_port: a port below the range that clients are given, so that none takes it while the broker restarts.
free_port() {
    local port
    while :; do
        port=$((12000 + (RANDOM << 15 | RANDOM) % 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return 0; }
    done
}

# service_postgres NAME [SETTING=VALUE…]: a PostgreSQL with an empty database in SERVICES_DIR/NAME, reached over loopback
# by any user; POSTGRES_URL is its address. It refuses to run as root, so root starts it as the user postgres.
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
        POSTGRES_COMMAND=("${as[@]}" "$bin/postgres" -D "$dir/data" -p "$port" "${settings[@]}")
        service_start "$name" "${POSTGRES_COMMAND[@]}"
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

# service_postgres_kill NAME: ends the server of the last service_postgres as a crash would.
service_postgres_kill() {
    kill -KILL "${SERVICE_PID[$1]}"
    wait "${SERVICE_PID[$1]}" 2>/dev/null || true
}

# service_postgres_again NAME: starts it again on its data and its port. Processes of the killed one may hold its memory for a moment.
service_postgres_again() {
    local attempt bin
    bin=$(postgres_bin)
    for attempt in {1..50}; do
        service_start "$1" "${POSTGRES_COMMAND[@]}"
        if service_await "$1" 30 "$bin/pg_isready" -q -d "$POSTGRES_URL" 2>/dev/null; then return 0; fi
        sleep 0.1
    done
    return 1
}

# service_pgbouncer NAME ADDRESS MODE: a PgBouncer in pool mode MODE before the database at ADDRESS (postgres://USER@HOST:PORT/NAME
# as service_postgres gives it), reached over loopback; PGBOUNCER_URL is its address. 1 when it is not installed.
service_pgbouncer() {
    local name=$1 mode=$3 dir=$SERVICES_DIR/$1 bin user host port database attempt
    bin=$(command -v pgbouncer || command -v /usr/sbin/pgbouncer) || { echo "PgBouncer is not installed" >&2; return 1; }
    [[ $2 =~ ^postgres(ql)?://([^:@/]+)@([^:/]+):([0-9]+)/([^?]+) ]] || { echo "PgBouncer: $2 is no address it can use" >&2; return 1; }
    user=${BASH_REMATCH[2]} host=${BASH_REMATCH[3]} database=${BASH_REMATCH[5]}
    mkdir "$dir"
    printf '"%s" ""\n' "$user" >"$dir/users.txt"
    local -a as=()
    if [ "$(id -u)" -eq 0 ]; then
        chmod 711 "$SERVICES_DIR"
        as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    fi
    local upstream=${BASH_REMATCH[4]}
    for attempt in 1 2 3; do
        port=$(free_port)
        cat >"$dir/pgbouncer.ini" <<INI
[databases]
$database = host=$host port=$upstream dbname=$database user=$user
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $dir/users.txt
pool_mode = $mode
default_pool_size = 20
INI
        if [ "$(id -u)" -eq 0 ]; then chown -R postgres: "$dir"; fi
        service_start "$name" "${as[@]}" "$bin" "$dir/pgbouncer.ini"
        if service_await "$name" 20 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"; then
            # Read by the script that sources this file.
            # shellcheck disable=SC2034
            PGBOUNCER_URL=postgres://$user@127.0.0.1:$port/$database
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

# --- Apache Kafka ---------------------------------------------------------------------------------------------------

# The broker of the tests and of `make demo-kafka`: the real one, one node in KRaft mode, from its published jars.
KAFKA_VERSION=4.1.1
KAFKA_JARS=${KAFKA_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/fanfare-kafka/$KAFKA_VERSION}

# kafka_prepare: the jars (43 MB, once) and what runs them. 1 when they cannot be had here.
kafka_prepare() {
    local work java
    java=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    if [ "${java:-0}" -lt 17 ]; then
        apt_install openjdk-17-jre-headless || { echo "Kafka needs Java 17 or newer, which cannot be installed here"; return 1; }
    fi
    [ ! -f "$KAFKA_JARS/complete" ] || return 0
    command -v mvn >/dev/null || apt_install maven || { echo "Kafka's jars come through Maven, which cannot be installed here"; return 1; }
    work=$(mktemp -d)
    cat >"$work/pom.xml" <<POM
<project>
  <modelVersion>4.0.0</modelVersion><groupId>fanfare</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
    say "fetching Apache Kafka $KAFKA_VERSION (43 MB, once)"
    if ! mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$KAFKA_JARS" >"$work/log" 2>&1; then
        tail -n 5 "$work/log" >&2
        rm -rf "$work"
        echo "Maven cannot fetch Kafka's jars here"
        return 1
    fi
    rm -rf "$work"
    touch "$KAFKA_JARS/complete"
}

# kafka_run DIR: runs the broker, and again whenever it dies. Its process id is in DIR/pid, for tests that kill it. At the
# end it is killed: its data is not needed, and an orderly end takes longer than the script waits on a busy machine.
kafka_run() {
    local dir=$1 pid=
    trap 'kill -KILL $pid 2>/dev/null; wait $pid 2>/dev/null; exit 0' TERM
    while :; do
        java -Xmx512m -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$KAFKA_JARS/*" kafka.Kafka "$dir/server.properties" &
        pid=$!
        echo "$pid" >"$dir/pid"
        wait "$pid" || true
        sleep 0.2
    done
}

# kafka_id: 16 bytes from standard input as an id of a cluster. Base 64 begins with `-` once in 64 times, which a command line
# would take for an option: the first character is an `A` instead.
kafka_id() {
    printf 'A%s\n' "$(base64 | tr '+/' '-_' | cut -c 2-22)"
}

# kafka_start: starts a broker in SERVICES_DIR and waits for it; exports TEST_KAFKA_BROKERS and TEST_KAFKA_PID_FILE.
kafka_start() {
    local dir=$SERVICES_DIR/kafka.d port controller id
    mkdir -p "$dir"
    port=$(free_port)
    controller=$(free_port)
    cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
controller.listener.names=CONTROLLER
log.dirs=$dir/data
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
PROPERTIES
    id=$(head -c 16 /dev/urandom | kafka_id)
    java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$KAFKA_JARS/*" kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
        { tail -n 5 "$dir/format.log" >&2; return 1; }
    service_start kafka kafka_run "$dir"
    service_await kafka 180 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" || return 1
    export TEST_KAFKA_BROKERS=127.0.0.1:$port TEST_KAFKA_PID_FILE=$dir/pid
}
