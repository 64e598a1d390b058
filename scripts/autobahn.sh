#!/usr/bin/env bash
# Runs the Autobahn test suite against the codec's echo example and compares with autobahn/expected-results.json.
#
#   scripts/autobahn.sh [quick|full|accept]
#
# quick   framing, UTF-8 and close cases with a sample of sizes and compression: every change (about a minute)
# full    every case of the suite: before a release
# accept  runs everything and writes the outcome as the new expectation; review its diff
#
# The suite is Python 2.7 only. Its environment is made once, under ${XDG_CACHE_HOME:-~/.cache}/fanfare-autobahn.
# Ends with 0 when all is as expected, 1 on a difference, 77 when no Python 2.7 can be had.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:-quick}
case $mode in
    quick) cases='"1.*","2.*","3.*","4.*","5.*","6.*","7.*","10.*","9.1.1","9.3.1","9.5.1","9.7.1","12.1.1","12.2.5","12.3.10","12.5.3","13.1.1","13.3.1","13.5.1","13.7.1"' ;;
    full | accept) cases='"*"' ;;
    *) echo "usage: scripts/autobahn.sh [quick|full|accept]" >&2; exit 2 ;;
esac

cache=${XDG_CACHE_HOME:-$HOME/.cache}/fanfare-autobahn
wstest=$cache/ab27/bin/wstest

# Finds a Python 2.7: $PYTHON27, pyenv's 2.7.18, or one on the path.
python27() {
    local candidate
    for candidate in "${PYTHON27:-}" "$(pyenv prefix 2.7.18 2>/dev/null || true)/bin/python" "$(command -v python2.7 || true)"; do
        if [[ -x $candidate ]] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

if [[ ! -x $wstest ]] || ! cmp --silent autobahn/requirements.txt "$cache/as-locked"; then
    if ! python=$(python27); then
        echo "autobahn: no Python 2.7, which the suite needs. Install one with 'pyenv install 2.7.18', or name one in PYTHON27." >&2
        exit 77
    fi
    echo "autobahn: making the suite's environment in $cache (once, about two minutes, needs a C compiler)"
    rm -rf "$cache"
    mkdir -p "$cache"
    if ! { python3 -m venv "$cache/ab" \
        && "$cache/ab/bin/pip" install --quiet --requirement autobahn/requirements-virtualenv.txt \
        && "$cache/ab/bin/virtualenv" --quiet -p "$python" "$cache/ab27" \
        && "$cache/ab27/bin/pip" install --quiet --requirement autobahn/requirements.txt \
        && cp autobahn/requirements.txt "$cache/as-locked"; } >"$cache/setup.log" 2>&1; then
        echo "autobahn: the suite could not be installed; the end of $cache/setup.log:" >&2
        tail -5 "$cache/setup.log" >&2
        exit 77
    fi
fi

cargo build --quiet --release -p fanfare-ws --example echo
echo_server=${CARGO_TARGET_DIR:-target}/release/examples/echo

work=autobahn/work
rm -rf "$work"
mkdir -p "$work"
coproc SERVER { exec "$echo_server" 127.0.0.1:0 2>"$work/server.log"; }
server=$SERVER_PID
trap 'kill "$server" 2>/dev/null || true' EXIT
read -r -t 10 address <&"${SERVER[0]}"

cat >"$work/fuzzingclient.json" <<JSON
{"outdir": "$work/reports", "servers": [{"agent": "fanfare", "url": "ws://$address"}],
 "cases": [$cases], "exclude-cases": [], "exclude-agent-cases": {}}
JSON
echo "autobahn: $mode run against $address"
if ! timeout 3600 "$wstest" -m fuzzingclient -s "$work/fuzzingclient.json" >"$work/wstest.log" 2>&1; then
    echo "autobahn: the suite itself failed; the end of $work/wstest.log:" >&2
    tail -5 "$work/wstest.log" >&2
    exit 1
fi
python3 autobahn/compare.py "$mode" "$work/reports/index.json" autobahn/expected-results.json
