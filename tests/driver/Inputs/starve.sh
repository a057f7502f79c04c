#!/bin/sh
# starve.sh STEP: each STEP-th allocation of every kind of command fails once, in a folder of its own.
set -eu
step=$1
build=$(realpath build)
driver=$(realpath tests/driver/Inputs)
folder=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) # in memory: nothing waits for fsync
trap 'rm -rf "$folder"' EXIT
export OPENBLAS_NUM_THREADS=1
python3 "$driver/make_data.py" "$folder/data"

# starve [--after-script] ARGUMENT…: what reads a script is the same in all its commands.
starve() {
    after=
    [ "$1" != --after-script ] || { after=$1; shift; }
    echo "kdc $*"
    "$build/tests/kd-starve" --step "$step" $after "$folder/starve" "$@" || failed=1
}

failed=0
points="$driver/formats.lua --set set=4 --data $folder/data"
starve "$driver/small.lua"
starve $points
starve --after-script "$driver/small.lua" --run distilled --emit=kir -o small.kir
starve --after-script "$driver/small.lua" --run distilled --emit=obj -o small.o
starve --after-script "$driver/small.lua" --run distilled --emit=lib --entry=predict,epoch,evaluate -o small.a
starve --after-script $points --set distill=1 --jit --quiet --out out --threads 1
starve --after-script $points --jit --quiet --out out --threads 2
for set in 1 3 5 8; do
    starve --after-script "$driver/formats.lua" --data "$folder/data" --jit --quiet --out out --threads 1 --set "set=$set"
done
exit $failed
