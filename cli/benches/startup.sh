#!/usr/bin/env bash
# Whole processes: how long `minirt run` takes from its start to its end, and how much memory it needs, beside
# `wasmtime run` if that is there.
#
#   cargo build --release -p minirt-cli
#   cli/benches/startup.sh [ROUNDS]
#
# MINIRT and WASMTIME name other programs than target/release/minirt and the wasmtime on the path. All contenders take
# turns, and medians are printed. Memory is what /usr/bin/time says,
# where it is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-51}
minirt=${MINIRT:-target/release/minirt}
wasmtime=${WASMTIME:-$(command -v wasmtime || true)}
guests=cli/tests/guests
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME=$scratch/cache HOME=$scratch
mkdir -p "$scratch/cache"

"$minirt" compile "$guests/hello.wat" -o "$scratch/hello.cwasm"
names=(); commands=()
add() { names+=("$1"); commands+=("$2"); }
add "native: true" "/bin/true"
add "minirt, text" "$minirt run --no-cache $guests/hello.wat"
add "minirt, from the cache" "$minirt run $guests/hello.wat"
add "minirt, artifact" "$minirt run --allow-precompiled $scratch/hello.cwasm"
if [ -n "$wasmtime" ]; then
    "$wasmtime" compile "$guests/hello.wat" -o "$scratch/hello.wt.cwasm"
    add "wasmtime, text" "$wasmtime run -C cache=n $guests/hello.wat"
    add "wasmtime, from the cache" "$wasmtime run -C cache=y $guests/hello.wat"
    add "wasmtime, artifact" "$wasmtime run --allow-precompiled $scratch/hello.wt.cwasm"
fi

for ((round = -2; round < rounds; round++)); do
    for i in "${!commands[@]}"; do
        begin=${EPOCHREALTIME/./}
        # Words of the commands are separated by spaces.
        ${commands[$i]} >/dev/null
        end=${EPOCHREALTIME/./}
        if ((round >= 0)); then echo $((end - begin)) >>"$scratch/$i"; fi
    done
done
printf '%-28s %10s %10s %12s\n' "" "median us" "least us" "peak KiB"
for i in "${!commands[@]}"; do
    median=$(sort -n "$scratch/$i" | sed -n "$(((rounds + 1) / 2))p")
    least=$(sort -n "$scratch/$i" | head -1)
    peak=-
    if [ -x /usr/bin/time ]; then peak=$(/usr/bin/time -f %M ${commands[$i]} 2>&1 >/dev/null | tail -1); fi
    printf '%-28s %10s %10s %12s\n' "${names[$i]}" "$median" "$least" "$peak"
done

echo
echo "1 GiB from standard input to standard output, seconds:"
for program in "$minirt" $wasmtime; do
    begin=${EPOCHREALTIME/./}
    head -c 1G /dev/zero | "$program" run "$guests/copy.wat" | cat >/dev/null
    end=${EPOCHREALTIME/./}
    printf '%-28s %10s\n' "$(basename "$program")" "$(((end - begin) / 1000))e-3"
done
