#!/bin/sh
# Runs a command and notes the minutes it took.
#
# Usage: timed.sh FILE AREA COMMAND [ARGUMENT...]    appends "minutes area" to FILE; ends as the command ends.
set -eu
file=$1 area=$2
shift 2
mkdir -p "$(dirname "$file")"
start=$(date +%s)
status=0
"$@" || status=$?
end=$(date +%s)
awk -v area="$area" -v seconds="$((end - start))" 'BEGIN { printf "%6.1f  %s\n", seconds / 60, area }' >>"$file"
exit "$status"
