#!/bin/sh
# starve.sh STEP: each STEP-th allocation of every kind of command fails once, in a folder of its own.
set -eu
step=$1
build=$(realpath build)
driver=$(realpath tests/driver/Inputs)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OPENBLAS_NUM_THREADS=1
python3 "$driver/make_data.py" "$folder/data"

starve() {
    echo "kdc $*"
    "$build/tests/kd-starve" --step "$step" "$folder/starve" "$@" || failed=1
}

failed=0
starve "$driver/small.lua"
starve "$driver/small.lua" --run distilled --emit=obj -o small.o
starve "$driver/small.lua" --run distilled --emit=kir -o small.kir
starve "$driver/small.lua" --jit --quiet --epochs 1 --limit 640 --out out
for set in 1 3 4 5; do
    starve "$driver/formats.lua" --data "$folder/data" --jit --quiet --out out --set "set=$set"
done
exit $failed
