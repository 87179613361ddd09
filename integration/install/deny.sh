#!/bin/sh
# Checks every dependency by .deny.toml: licences, bans, sources, and advisories as far as a database of them is there.
#
# The advisory database is a copy of the one of RustSec, laid out here without a network: a folder, or an archive (.tar.gz) of
# one. It is looked for at TIDEMARK_ADVISORY_DB, a folder or an archive, then in the folder ../shared/advisory-db beside the
# clone. It ages, so its date is printed. Without one advisories are not checked, and that is said.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
tools="${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}"
laid="${TIDEMARK_CACHE:-$HOME/.cache/tidemark}/advisory-db"
# The folder's name is the one that cargo-deny gives to RustSec's database.
database="$laid/advisory-db-3157b0e258782691"

# The newest of what there is; nothing where there is nothing.
found() {
    given="${TIDEMARK_ADVISORY_DB:-$root/../shared/advisory-db}"
    if [ -d "$given/crates" ] || [ -f "$given" ]; then
        echo "$given"
    elif [ -n "${TIDEMARK_ADVISORY_DB:-}" ] && [ ! -e "$given" ]; then
        echo "TIDEMARK_ADVISORY_DB names $given, which does not exist" >&2
        exit 1
    else
        find "$given" -maxdepth 1 -name '*.tar.gz' 2>/dev/null | sort | tail -n 1
    fi
}

# cargo-deny takes a clone of git, which was fetched; of this one only the files matter.
lay_out() {
    rm -rf "$laid"
    mkdir -p "$database"
    git -C "$database" -c init.defaultBranch=main init --quiet
    touch "$database/.git/FETCH_HEAD"
    if [ -d "$1" ]; then cp -a "$1/crates" "$1/rust" "$database/"; else tar -xzf "$1" -C "$database"; fi
    ls "$database"/crates/*/*.md >/dev/null
}

deny() {
    (cd "$root" && TIDEMARK_ADVISORIES="$laid" "$tools/cargo-deny/bin/cargo-deny" --locked --offline --config .deny.toml \
        check "$@")
}

cd "$root"
cargo fetch --quiet --locked --target x86_64-unknown-linux-gnu
source=$(found)
if [ -n "$source" ]; then
    lay_out "$source"
    date=$(find "$database/crates" -name '*.md' -printf '%TY-%Tm-%Td\n' | sort | tail -n 1)
    echo "advisories: RustSec's database as of $date, $(find "$database/crates" -name '*.md' | wc -l) advisories"
    deny advisories bans licenses sources
else
    deny bans licenses sources
    echo "**********************************************************************************************"
    echo "* ADVISORIES WERE NOT CHECKED: there is no advisory database (see integration/install/deny.sh) *"
    echo "**********************************************************************************************"
fi
