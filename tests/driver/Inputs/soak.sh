#!/bin/sh
# soak.sh KILLS: the main job as a whole, and killed that often; both must end with the same bits.
set -eu
cd "$(dirname "$0")/../../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
train="build/kdc models/student.lua --jit --quiet --fingerprint"
XDG_CACHE_HOME="$work/one" $train --out "$work/whole" | grep fingerprint >"$work/wanted"
XDG_CACHE_HOME="$work/two" tests/driver/Inputs/kill.sh "$1" "$work/killed" 8 \
    $train --checkpoint-every=1s >"$work/said" || { cat "$work/said"; exit 1; }
tail -n 1 "$work/said"
grep fingerprint "$work/said" | diff - "$work/wanted"
cat "$work/wanted"
echo "the same bits"
