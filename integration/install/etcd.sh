#!/bin/sh
# Puts etcd and etcdctl, on which clusters of daemons are tested, into ${TIDEMARK_TOOLS}/etcd, for this user only: out of Debian's
# packages, which are unpacked and not installed, so that no service is started.
# Everything goes to ${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}. What is there already is left alone; run it again at any time.
# Needs apt-get and dpkg-deb. Building needs none of it: the messages of etcd are compiled without protoc.
set -eu

tools="${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}"
mkdir -p "$tools"

# Two runs at a time would unpack into one place: the second waits.
exec 9>"$tools/etcd.lock"
flock 9

etcd="$tools/etcd/etcd"
if [ ! -x "$etcd" ] || [ ! -x "$tools/etcd/etcdctl" ]; then
    echo "fetching etcd and etcdctl (apt, Debian's etcd-server and etcd-client, 13 MB)"
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    [ -n "$(apt-cache policy etcd-server 2>/dev/null | grep Candidate)" ] || apt-get update -qq
    (cd "$dir" && apt-get download -qq -o APT::Sandbox::User=root etcd-server etcd-client)
    for package in "$dir"/*.deb; do
        dpkg-deb -x "$package" "$dir/unpacked"
    done
    mkdir -p "$tools/etcd"
    mv "$dir/unpacked/usr/bin/etcdctl" "$tools/etcd/etcdctl"
    mv "$dir/unpacked/usr/bin/etcd" "$etcd"
fi
"$etcd" --version | head -1
