#!/bin/sh
# Installs what the tests of the MongoDB source run against, for this user only:
#   secantusdb 0.7.0b3   by pip into a virtual environment of its own: a stand-in that speaks MongoDB's wire protocol as a replica
#                        set of one member, with change streams. It is no MongoDB: docs/sources/mongodb.md says where it differs.
# It is GPL-2.0: always a process of its own, never linked. PyMongo comes with it and is the second opinion on BSON.
# Everything goes to ${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}. What is there already is left alone; run it again at any time.
# Needs python3 with venv.
set -eu

tools="${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}"
mkdir -p "$tools"

secantus_version=0.7.0b3
pymongo_version=4.20.0

# Two runs at a time would install into one place: the second waits.
exec 9>"$tools/secantus.lock"
flock 9

if [ ! -e "$tools/secantus-$secantus_version" ]; then
    echo "installing secantusdb $secantus_version (pip)"
    python3 -m venv "$tools/secantus"
    "$tools/secantus/bin/pip" install --quiet --disable-pip-version-check \
        "secantusdb==$secantus_version" "pymongo==$pymongo_version"
    touch "$tools/secantus-$secantus_version"
fi

echo "secantusdb is in $tools/secantus"
