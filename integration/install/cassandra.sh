#!/bin/sh
# Copies the jars of Cassandra 5.0.9 into the cache, once. Needs a JDK 17 and Maven.
#
# Usage: install/cassandra.sh [CACHE]    CACHE is $HOME/.cache/tidemark by default.
#
# The jars go into a directory of another name first and are renamed when all are there: an interrupted run leaves
# nothing that looks complete.
set -eu
cache=${1:-${TIDEMARK_CACHE:-$HOME/.cache/tidemark}}
here=$(cd "$(dirname "$0")/.." && pwd)
target=$cache/cassandra/5.0.9
[ -d "$target" ] && exit 0
echo "installing the jars of Cassandra 5.0.9 (about 70 MB) into $target"
mkdir -p "$cache/cassandra"
partial=$(mktemp -d "$cache/cassandra/partial-XXXXXX")
trap 'rm -rf "$partial"' EXIT
mvn -q -B -f "$here/cassandra/pom.xml" dependency:copy-dependencies -DoutputDirectory="$partial" -DincludeScope=runtime
ls "$partial"/cassandra-all-5.0.9.jar >/dev/null
chmod 755 "$partial"
mv "$partial" "$target"
