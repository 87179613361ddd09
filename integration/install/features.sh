#!/bin/sh
# Compares the features with which other people's crates are built for each of our packages alone and for all together: where
# they differ, `cargo test -p` of one package would build most dependencies once more. Ends with 1 where they do, and says which
# line of gateway/features/Cargo.toml is missing.
set -eu
cd "$(dirname "$0")/../.."
list() {
    cargo tree --locked --offline --format '{p}|{f}' --prefix none "$@" | sed 's/ (\*)$//' | grep -v '^tidemark-' | sort -u
}
whole=$(mktemp)
trap 'rm -f "$whole"' EXIT
list --workspace --edges normal,build,dev >"$whole"
status=0
compare() {
    other=$(list "$@" | comm -23 - "$whole")
    [ -z "$other" ] || { status=1; echo "built otherwise for $*:"; echo "$other" | sed 's/^/  /'; }
}
compare --workspace --edges normal,build
for package in $(cargo metadata --locked --offline --no-deps --format-version 1 |
    python3 -c 'import json,sys; print(*[p["name"] for p in json.load(sys.stdin)["packages"]
        if "tidemark-features" in [d["name"] for d in p["dependencies"]]])'); do
    compare --package "$package" --edges normal,build,dev
done
exit $status
