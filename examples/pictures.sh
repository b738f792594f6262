#!/usr/bin/env bash
# Draws the pictures that the documents show. A test compares them with what this would draw
# (`cargo test -p minirt-cli --test pictures`).
#
#     examples/pictures.sh [MINIRT]
set -euo pipefail
cd "$(dirname "$0")/.."
minirt=${1:-target/release/minirt}
out=${OUT:-examples/pictures}
"$minirt" show --no-times --no-cache --runs 2 --invoke run --svg "$out/life.svg" cli/tests/guests/writers.wat
