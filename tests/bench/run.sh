#!/bin/sh
# ./dev bench: finds or makes a Python with the peers, then runs the benchmark program of the Release
# build. $KD_PYTHON, where set, is used as it is; else build/venv, which pip fills once, and once more
# for --predict.
set -eu
cd "$(dirname "$0")/../.."

case ${1-} in -h | --help) exec build/tests/kd-bench --help ;; esac

# can PYTHON MODULE…: whether it imports all of them.
can() {
    python=$1
    shift
    command -v "$python" >/dev/null 2>&1 || return 1
    for module in "$@"; do "$python" -c "import $module" 2>/dev/null || return 1; done
}

venv=build/venv/bin/python
if [ -n "${KD_PYTHON-}" ]; then
    venv=$KD_PYTHON
elif ! can $venv torch jax && [ ! -f build/venv/tried ]; then
    echo "bench: fetching PyTorch and JAX into build/venv, once; see build/venv.log" >&2
    {
        [ -x $venv ] || python3 -m venv --system-site-packages build/venv
        $venv -m pip install torch==2.13.0 || can $venv torch || $venv -m pip install torch
        can $venv torch || [ "$(id -u)" != 0 ] || apt-get install -y -qq python3-torch
        $venv -m pip install jax
        $venv -m pip install matplotlib
        touch build/venv/tried
    } >build/venv.log 2>&1 || true
fi
case " $* " in *" --predict "*)
    if [ -z "${KD_PYTHON-}" ] && [ ! -f build/venv/tried-onnx ]; then
        echo "bench: fetching ONNX Runtime into build/venv, once; see build/venv-onnx.log" >&2
        {
            $venv -m pip install onnxruntime onnx onnxscript
            touch build/venv/tried-onnx
        } >build/venv-onnx.log 2>&1 || true
    fi
    ;;
esac
for python in "$venv" python3; do
    if can "$python" torch || can "$python" jax; then
        KD_BENCH_PYTHON=$python
        export KD_BENCH_PYTHON
        break
    fi
done
[ -n "${KD_BENCH_PYTHON-}" ] || echo "bench: no Python with torch or jax; kdc runs alone" >&2

KD_BENCH_CACHE=$(mktemp -d)
export KD_BENCH_CACHE
trap 'rm -rf "$KD_BENCH_CACHE"' EXIT INT TERM
plot= json= previous=
for argument in "$@"; do # --plot=FILE.svg is for the picture's script, which reads the JSON
    shift
    [ "$previous" != --json ] || json=$argument
    previous=$argument
    case $argument in
    --plot=*) plot=${argument#--plot=} && continue ;;
    --json=*) json=${argument#--json=} ;;
    esac
    set -- "$@" "$argument"
done
if [ -n "$plot" ] && [ -z "$json" ]; then
    json=$KD_BENCH_CACHE/all.json
    set -- "$@" --json "$json"
fi
build/tests/kd-bench "$@"
[ -z "$plot" ] || "${KD_BENCH_PYTHON-python3}" tests/bench/plot.py "$json" "$plot"
