#!/bin/sh
# Installs the readers of Parquet that tests ask for a second opinion, for this user only:
#   duckdb, pyarrow      by pip into a virtual environment of their own, ${TIDEMARK_TOOLS}/readers
# Everything goes to ${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}. What is there already is left alone; run it again at
# any time. Needs python3 with venv.
set -eu

tools="${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}"
mkdir -p "$tools"

duckdb_version=1.5.6
pyarrow_version=25.0.1

# Two runs at a time would install into one place: the second waits.
exec 9>"$tools/readers.lock"
flock 9

complete="$tools/readers-duckdb-$duckdb_version-pyarrow-$pyarrow_version"
if [ ! -e "$complete" ]; then
    echo "installing duckdb $duckdb_version and pyarrow $pyarrow_version (pip, about 200 MB)"
    python3 -m venv --clear "$tools/readers"
    "$tools/readers/bin/pip" install --quiet --disable-pip-version-check \
        "duckdb==$duckdb_version" "pyarrow==$pyarrow_version"
    touch "$complete"
fi
echo "readers are in $tools/readers"
