#!/bin/bash
# Train on two machines that see the same files; on each of them:  two-nodes.sh FIRST-HOST PROCESSES RECIPE RUN FILE...
#
# PROCESSES is the number of GPUs of a machine. If a process fails, all are started again and go on from the checkpoint.
# PORT (29500) must be free on the first host.
set -euo pipefail

first=$1 processes=$2 recipe=$3 run=$4
shift 4

resume=()
if [ -e "$run/identity.json" ]; then resume=(--resume); fi

exec torchrun --nnodes 2 --nproc-per-node "$processes" --max-restarts 3 \
    --rdzv-backend c10d --rdzv-endpoint "$first:${PORT:-29500}" --rdzv-id caloforge \
    -m caloforge train "$recipe" --train "$@" -o "$run" "${resume[@]}"
