# shellcheck shell=bash
# Sourced by the other scripts: one way to print messages, and one way to install a missing tool.
# A tool comes from where its language's users get it (cargo, npm) or from the system's packages, and only when it is
# absent. The caller reports clearly what is not available and never skips it silently.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Read by the scripts that source this file.
# shellcheck disable=SC2034
TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}

# cargo installs its tools here; a shell that never ran rustup's profile lines does not have it on its PATH.
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

# say TEXT: the head of a step.
say() { printf '\n== %s\n' "$*"; }

# warn TEXT: something the reader must not miss.
warn() { printf '!! %s\n' "$*" >&2; }

# die TEXT: the end, with the reason.
die() { warn "$*"; exit 1; }

# cargo_tool NAME VERSION: this version of a cargo subcommand, no other, in a folder of its own that goes before the rest
# of the PATH: a version installed for other work is neither used nor replaced. Built with little optimisation: the
# tools run for seconds, and an optimised build of them takes minutes.
cargo_tool() {
    local name=$1 version=$2 root
    root=${XDG_CACHE_HOME:-$HOME/.cache}/fanfare-tools/$name-$version
    if [ ! -x "$root/bin/$name" ]; then
        say "installing $name $version (once)"
        env --unset=CARGO_TARGET_DIR CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off \
            CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false \
            cargo install --quiet --locked --root "$root" "$name" --version "$version" || return 1
    fi
    export PATH="$root/bin:$PATH"
}

# apt_install PACKAGE…: from the system's packages, on Debian, with the rights for it. Returns 1 if that is not possible.
apt_install() {
    local -a as_root=()
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    say "installing $* from the system's packages (once)"
    local -a install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@")
    # The lists are fetched only on failure: they are absent on a new machine and stale on an old one.
    "${install[@]}" >/dev/null 2>&1 || { "${as_root[@]}" apt-get update -qq && "${install[@]}" >/dev/null; }
}
