#!/bin/sh
# Installs the object stores that the integration tests run against, for this user only:
#   versitygw 1.8.0      by `go install`, a good store: conditions, multipart, several processes on one directory
#   moto[server] 5.2.5   by pip into a virtual environment of its own, a second opinion
#   s3mock 5.2.0         by Maven, a bad store: two creators of one name can both win, so the preflight must refuse it
# Everything goes to ${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}. What is there already is left alone; run it again at
# any time. Needs go, python3 with venv, mvn and java.
set -eu

tools="${TIDEMARK_TOOLS:-$HOME/.cache/tidemark-tools}"
mkdir -p "$tools/bin"

versitygw_version=1.8.0
moto_version=5.2.5
s3mock_version=5.2.0

# Two runs at a time would install into one place: the second waits.
exec 9>"$tools/stores.lock"
flock 9

if [ ! -e "$tools/versitygw-$versitygw_version" ]; then
    echo "installing versitygw $versitygw_version (go install, about 2 minutes)"
    GOBIN="$tools/bin" go install "github.com/versity/versitygw/cmd/versitygw@v$versitygw_version"
    touch "$tools/versitygw-$versitygw_version"
fi

if [ ! -e "$tools/moto-$moto_version" ]; then
    echo "installing moto[server] $moto_version (pip)"
    python3 -m venv "$tools/moto"
    "$tools/moto/bin/pip" install --quiet --disable-pip-version-check "moto[server]==$moto_version"
    touch "$tools/moto-$moto_version"
fi

if [ ! -e "$tools/s3mock-$s3mock_version.jar" ]; then
    echo "installing s3mock $s3mock_version (mvn dependency:copy)"
    artifact="com.adobe.testing:s3mock:$s3mock_version:jar:exec"
    mvn --batch-mode --quiet dependency:copy -Dartifact="$artifact" -DoutputDirectory="$tools/s3mock"
    mv "$tools/s3mock/s3mock-$s3mock_version-exec.jar" "$tools/s3mock-$s3mock_version.jar"
fi

echo "stores are in $tools"
