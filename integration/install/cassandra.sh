#!/bin/sh
# Copies the jars of Cassandra into the cache, once for each version. Needs a JDK 17 and Maven.
#
# Usage: install/cassandra.sh CACHE VERSION...    for example: install/cassandra.sh ~/.cache/tidemark 5.0.9
#
# The jars go into a directory of another name first and are renamed when all are there: an interrupted run leaves
# nothing that looks complete.
set -eu
cache=$1
shift
here=$(cd "$(dirname "$0")/.." && pwd)
partial=
trap '[ -z "$partial" ] || rm -rf "$partial"' EXIT
for version; do
  target=$cache/cassandra/$version
  [ -d "$target" ] && continue
  echo "installing the jars of Cassandra $version (50 to 70 MB) into $target"
  mkdir -p "$cache/cassandra"
  partial=$(mktemp -d "$cache/cassandra/partial-XXXXXX")
  mvn -q -B -f "$here/cassandra/pom.xml" dependency:copy-dependencies -Dcassandra.version="$version" \
    -DoutputDirectory="$partial" -DincludeScope=runtime
  ls "$partial/cassandra-all-$version.jar" >/dev/null
  chmod 755 "$partial"
  mv "$partial" "$target"
  partial=
done
