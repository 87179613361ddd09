#!/bin/sh
# Compares the features with which other people's crates are built for each of our packages alone and for all together: where
# they differ, `cargo test -p` of one package would build most dependencies once more. Ends with 1 where they do, and says which
# line of gateway/features/Cargo.toml is missing.
set -eu
cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# Each command by itself, so that one that fails ends the script and is not taken for an empty list.
list() {
    file=$1
    shift
    cargo tree --locked --offline --format '{p}|{f}' --prefix none "$@" >"$dir/tree"
    sed 's/ (\*)$//' "$dir/tree" | grep -v '^tidemark-' | sort -u >"$file"
    [ -s "$file" ]
}
list "$dir/whole" --workspace --edges normal,build,dev
status=0
compare() {
    list "$dir/part" "$@"
    other=$(comm -23 "$dir/part" "$dir/whole")
    [ -z "$other" ] || { status=1; echo "built otherwise for $*:"; echo "$other" | sed 's/^/  /'; }
}
compare --workspace --edges normal,build
cargo metadata --locked --offline --no-deps --format-version 1 >"$dir/metadata"
packages=$(python3 -c 'import json, sys
print(*[p["name"] for p in json.load(sys.stdin)["packages"]
        if "tidemark-features" in [d["name"] for d in p["dependencies"]]])' <"$dir/metadata")
[ -n "$packages" ]
for package in $packages; do
    compare --package "$package" --edges normal,build,dev
done
exit $status
