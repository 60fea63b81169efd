#!/bin/bash
# Start a training with one process per GPU of this machine, or continue it:  train.sh RECIPE RUN PROCESSES FILE...
set -euo pipefail

recipe=$1 run=$2 processes=$3
shift 3

resume=()
if [ -e "$run/identity.json" ]; then resume=(--resume); fi

exec torchrun --standalone --nproc-per-node "$processes" -m caloforge train "$recipe" --train "$@" -o "$run" "${resume[@]}"
