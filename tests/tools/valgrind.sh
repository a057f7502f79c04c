#!/bin/sh
# Memcheck on build/kdc and on unit tests of what reads and rewrites. Valgrind 3.19 knows no
# AVX-512: inside it a processor has AVX2 at most, which code compiled there keeps to.
set -eu
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export XDG_CACHE_HOME="$folder/cache"

memcheck() {
    valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
        --suppressions=tests/tools/valgrind.supp \
        "$@" >"$folder/log" 2>&1 && return
    cat "$folder/log" >&2
    echo "valgrind: $*" >&2
    exit 1
}

kdc=build/kdc
script=tests/driver/Inputs/small.lua
memcheck $kdc $script
memcheck $kdc $script --run noisy --emit=kir -o "$folder/noisy.kir"
memcheck $kdc opt "$folder/noisy.kir" --passes=canonicalize,fuse,plan-memory -o "$folder/plan.kir"
memcheck $kdc $script --run noisy --emit=obj -o "$folder/noisy.o" --target x86_64-linux-gnu \
    --cpu x86-64-v3
memcheck $kdc run "$folder/noisy.kir" --fn student --interpret
for name in arrays checkpoint formats rewrite safetensors text verify; do
    memcheck build/tests/unit/unit-$name
done
if [ -d /usr/share/datasets/fashion-mnist ]; then
    memcheck $kdc $script --jit --run noisy --epochs 1 --limit 96 --threads 2 --out "$folder/out"
fi
