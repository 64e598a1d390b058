#!/usr/bin/env bash
# Forbidden patterns in committed texts, and broken links in the documents.
# Each rule: the reason, a pattern, the files. Patterns are written so that this file does not match itself.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

# A longer Rust file says why in its head.
MAX_RUST_LINES=600
HEAD_LINES=30

status=0
wrong() { warn "$*"; status=1; }

# Committed files and new ones, without vendored code, fuzzer inputs and Cargo.lock.
mapfile -t files < <(git ls-files --cached --others --exclude-standard | grep -Ev '(^|/)(vendor|corpus)/|(^|/)Cargo\.lock$' |
    while read -r file; do [ ! -f "$file" ] || echo "$file"; done)
[ ${#files[@]} -gt 0 ] || die "no files: is this a git checkout?"
mapfile -t rust < <(printf '%s\n' "${files[@]}" | grep '\.rs$' || true)
mapfile -t documents < <(printf '%s\n' "${files[@]}" | grep '\.md$' || true)

# forbid WHY PATTERN FILE…
forbid() {
    local why=$1 pattern=$2
    shift 2
    [ $# -gt 0 ] || return 0
    local hits
    hits=$(grep -nIHE -e "$pattern" -- "$@" || true)
    [ -z "$hits" ] || wrong "$why"$'\n'"$hits"
}

forbid "absolute path of a build machine" '(^|[^[:alnum:]_./-])/(work|root|home|Users)/[[:alnum:]._-]' "${files[@]}"
forbid "host of a package registry (name the package, its client knows the host)" \
    '(crates\.io|registry\.npmjs|npmjs\.com|pypi\.org|files\.pythonhosted|proxy\.golang|repo1?\.maven)' "${files[@]}"
forbid "left-over mark" '\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b' "${files[@]}"
forbid "a test that never runs" '#!?\[(ignore|cfg_attr\(.*ignore)' "${rust[@]}"

for file in "${rust[@]}"; do
    lines=$(wc -l <"$file")
    if [ "$lines" -gt "$MAX_RUST_LINES" ] && ! head -n "$HEAD_LINES" "$file" | grep -q 'Longer than'; then
        wrong "$file has $lines lines: split it, or say in its head \"Longer than … because …\""
    fi
done

# anchors FILE: the names its headings get on a forge: lower case, no punctuation, hyphens for spaces.
anchors() {
    awk '/^```/ { fenced = !fenced } !fenced && /^#+ / { sub(/^#+ +/, ""); print tolower($0) }' "$1" |
        sed -e 's/[^[:alnum:] _-]//g' -e 's/ /-/g'
}

# links FILE: the targets of its inline links, outside code.
links() {
    awk '/^ *```/ { fenced = !fenced } !fenced { gsub(/`[^`]*`/, ""); print }' "$1" |
        grep -oE '\]\([^)[:space:]]+\)' | sed -e 's/^](//' -e 's/)$//' || true
}

count=0
for document in "${documents[@]}"; do
    folder=$(dirname "$document")
    while read -r link; do
        case $link in http://* | https://* | mailto:*) continue ;; esac
        count=$((count + 1))
        path=${link%%#*}
        target=$document
        [ -z "$path" ] || target=$folder/$path
        if [ ! -e "$target" ]; then
            wrong "$document: link to $link, which does not exist"
        elif [[ $link == *#* && $target == *.md ]] && ! anchors "$target" | grep -qxF "${link#*#}"; then
            wrong "$document: link to $link, but $target has no such heading"
        fi
    done < <(links "$document")
done

[ "$status" -ne 0 ] || echo "${#files[@]} files, $count links: clean"
exit "$status"
