#!/bin/sh
# Puts promtool, which tests alerting rules and scrapes, into ${TIDEMARK_TOOLS}/prometheus, for this user only: out of Debian's
# package of Prometheus, which is unpacked and not installed, so that no service is started.
# Everything goes to ${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}. What is there already is left alone; run it again at any time.
# Needs apt-get and dpkg-deb.
set -eu

tools="${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}"
mkdir -p "$tools"

# Two runs at a time would unpack into one place: the second waits.
exec 9>"$tools/prometheus.lock"
flock 9

promtool="$tools/prometheus/promtool"
if [ ! -x "$promtool" ]; then
    echo "fetching promtool (apt, Debian's prometheus, about 40 MB)"
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    [ -n "$(apt-cache policy prometheus 2>/dev/null | grep Candidate)" ] || apt-get update -qq
    (cd "$dir" && apt-get download -qq -o APT::Sandbox::User=root prometheus)
    dpkg-deb -x "$dir"/prometheus_*.deb "$dir/unpacked"
    mkdir -p "$tools/prometheus"
    mv "$dir/unpacked/usr/bin/promtool" "$promtool"
fi
"$promtool" --version 2>&1 | head -1
