#!/usr/bin/env bash
# All checks that do not run the product. All steps run, then the failed ones are listed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

failed=()
# step NAME COMMAND…
step() {
    local name=$1
    shift
    say "$name"
    "$@" || failed+=("$name")
}

# rustup's minimal profile leaves these two out.
needs_component() {
    cargo "$1" --version >/dev/null 2>&1 || rustup component add "$2"
}

documentation() { RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --quiet --workspace --no-deps --locked; }

supply_chain() {
    cargo_tool cargo-deny 0.20.2 || return 1
    cargo deny --locked check bans licenses sources
}

# The advisory database is a git repository of its own, out of reach on a machine that has only the package
# registries; and a new advisory is no fault of the change at hand. So: where it can be had, it is asked.
advisories() {
    local database=https://github.com/RustSec/advisory-db
    if GIT_TERMINAL_PROMPT=0 timeout 10 git ls-remote --quiet --exit-code "$database" HEAD >/dev/null 2>&1; then
        cargo deny --locked check advisories
    else
        warn "left out: the advisory database is out of reach from here"
    fi
}

shell_scripts() {
    local -a scripts
    mapfile -t scripts < <(find scripts .ci -type f \( -name '*.sh' -o -path .ci/run \))
    local script
    for script in "${scripts[@]}"; do bash -n "$script" || return 1; done
    if command -v shellcheck >/dev/null; then
        shellcheck --external-sources --source-path=SCRIPTDIR "${scripts[@]}"
    else
        warn "left out: shellcheck is not installed (only the syntax of ${#scripts[@]} scripts was checked)"
    fi
}

# Bytes whose base 64 begins with `-` after the exchange of its two special characters.
kafka_ids() {
    local id
    id=$(source scripts/services.sh && printf '\370%.0s' {1..16} | kafka_id)
    [[ $id =~ ^A[A-Za-z0-9_-]{21}$ ]] || { warn "an id of a Kafka cluster would be $id"; return 1; }
}

needs_component fmt rustfmt
needs_component clippy clippy
step "format" cargo fmt --all --check
step "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
step "documentation" documentation
step "dependencies: licences, bans, sources" supply_chain
step "dependencies: advisories" advisories
step "dependency directions" scripts/check-arrows.sh
step "JSON of strangers" scripts/check-json.sh
step "texts" scripts/check-text.sh
step "shell scripts" shell_scripts
step "ids of Kafka clusters" kafka_ids

if [ ${#failed[@]} -gt 0 ]; then
    printf '\n'
    for name in "${failed[@]}"; do warn "lint failed: $name"; done
    exit 1
fi
say "lint: all clean"
