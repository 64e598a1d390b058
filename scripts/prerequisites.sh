#!/usr/bin/env bash
# Reports exactly what is missing for a build and how to install it, before cargo fails with a less clear message.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

missing=0
# lacks WHAT HOW
lacks() {
    warn "missing: $1"
    printf '   %s\n' "$2" >&2
    missing=1
}

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
if ! command -v cargo >/dev/null; then
    lacks "cargo, the Rust toolchain ($wanted or newer)" \
        "install it from https://rustup.rs, then open a new shell (or: source ~/.cargo/env)"
else
    found=$(cd "$ROOT" && cargo --version | cut -d' ' -f2)
    if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n1)" != "$wanted" ]; then
        lacks "Rust $wanted or newer (cargo says $found)" "update it: rustup update stable"
    fi
fi
if ! command -v cc >/dev/null; then
    lacks "a C compiler and linker (cc)" \
        "Debian, Ubuntu: apt install build-essential · Fedora: dnf install gcc · macOS: xcode-select --install"
fi
if ! command -v c++ >/dev/null; then
    lacks "a C++ compiler (c++), which Kafka's library is built with" \
        "Debian, Ubuntu: apt install build-essential · Fedora: dnf install gcc-c++ · macOS: xcode-select --install"
fi
exit "$missing"
