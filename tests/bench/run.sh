#!/bin/sh
# ./dev bench: the benchmark program of the Release build. Arguments go to it; see --threads there.
set -eu
cd "$(dirname "$0")/../.."
exec build/tests/kd-bench "$@"
