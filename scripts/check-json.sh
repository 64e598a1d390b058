#!/usr/bin/env bash
# Checks that untrusted JSON is harmless (docs/adr/0019-raw-json-without-raw-value.md): no build of the product or of its fuzzers enables a
# feature of serde_json with which the text of a member has a meaning or nesting has no bound, and no source lifts that bound.
# Programs that only stand in for foreign clients (tests/peers) are not checked.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

FEATURES='raw_value|arbitrary_precision|unbounded_depth'
WORKSPACES=(Cargo.toml fuzz/Cargo.toml)

# offending: of lines "serde_json v1.2.3 feature,feature" those with such a feature.
offending() { grep -E "^serde_json v[^ ]+ (/[^ ]* )?([^ ]*,)?($FEATURES)(,|$)" | sort -u || true; }

# The check is tested first: it must find known offenders.
self_test() {
    local feature
    for feature in raw_value default,raw_value,std alloc,arbitrary_precision unbounded_depth,std; do
        [ -n "$(offending <<<"serde_json v1.0.0 $feature")" ] || die "the check does not find $feature"
    done
    [ -z "$(offending <<<'serde_json v1.0.0 alloc,default,preserve_order,std')" ] || die "the check sees what is not there"
}
self_test

status=0
wrong() { warn "$*"; status=1; }

for workspace in "${WORKSPACES[@]}"; do
    built=$(cargo tree --locked --manifest-path "$workspace" --workspace --all-features --edges normal,build,dev \
        --prefix none --format '{p} {f}' | grep '^serde_json ' || true)
    [ -n "$built" ] || die "$workspace: serde_json was not found among the dependencies"
    found=$(offending <<<"$built")
    [ -z "$found" ] || wrong "$workspace: no build may turn this on (cargo tree -e features -i serde_json names who does): $found"
done

lifted=$(git grep -nE 'disable_recursion_limit|\bserde_stacker\b' -- '*.rs' '*Cargo.toml' || true)
[ -z "$lifted" ] || wrong "the depth of serde_json is a bound against strangers:"$'\n'"$lifted"

[ "$status" -ne 0 ] || echo "serde_json has no meaning for names and a bound for depth in: ${WORKSPACES[*]}"
exit "$status"
