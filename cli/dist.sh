#!/usr/bin/env bash
# Builds the command line as it is given to people: one static file, optimised as a whole. It starts in two thirds of the time of
# an ordinary release build, because nothing is linked then and fewer pages are touched, but it takes minutes to build.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static -C relocation-model=static" \
    cargo build --profile dist -p minirt-cli --target "$target" "$@"
echo "target/$target/dist/minirt"
