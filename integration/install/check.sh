#!/bin/sh
# Clippy and unit tests of our packages with files that changed.
#
# Usage: check.sh COMMIT    since that commit, whether committed or not; tests against servers are left to `make servers`
set -eu
cd "$(dirname "$0")/../.."
changed=$({ git diff --name-only "$1"; git ls-files --others --exclude-standard; } | sort -u)
# The innermost package of each changed file.
packages=$(cargo metadata --locked --offline --no-deps --format-version 1 | CHANGED="$changed" python3 -c '
import json, os, sys
root = os.getcwd()
homes = {os.path.relpath(os.path.dirname(p["manifest_path"]), root): p["name"] for p in json.load(sys.stdin)["packages"]}
inside = lambda file: [home for home in homes if file.startswith(home + "/")]
found = {homes[max(inside(file), key=len)] for file in os.environ["CHANGED"].splitlines() if inside(file)}
print(*sorted(found))')
if [ -z "$packages" ]; then
    echo "no package changed since $1"
    exit 0
fi
echo "changed: $packages"
selected=$(for package in $packages; do printf ' -p %s' "$package"; done)
cargo clippy --locked --quiet $selected --all-targets -- -D warnings
case " $packages " in *" tidemark-integration "*) targets="--lib" ;; *) targets="--lib --bins --tests" ;; esac
cargo test --locked --quiet $selected $targets
