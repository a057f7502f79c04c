"""What the peers of ./dev bench --predict share: arguments, images, weights, and the talk.

As in common.py, but SECONDS is what stands between the network's definition and its first result, a
fourth word of "ready" is the bytes of the model's file, and the answer to "run SECONDS" is the
milliseconds of a call and the mean square of the logits, which must be everyone's."""
import json
import sys
import time

import numpy as np

import common


def arguments(*flags):
    return common.arguments(*flags, weights=str)


def images(network, rows):
    """f32 [rows, channels, height, width] in 0 ... 1."""
    bytes_, _ = common.data(network, rows)
    return np.ascontiguousarray(bytes_.astype(np.float32).transpose(0, 3, 1, 2)) / 255


def weights(path):
    """The tensors of a safetensors file by name."""
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    return {name: np.frombuffer(data[slice(*t["data_offsets"])], np.float32).reshape(t["shape"])
            for name, t in header.items() if name != "__metadata__"}


def serve(version, prepare, call, values, size=0):
    start = time.perf_counter()
    ready = prepare()
    logits = values(call(ready))
    seconds = time.perf_counter() - start
    check = float(np.mean(np.square(logits, dtype=np.float64)))
    for _ in range(20):
        call(ready)
    print(f"ready {seconds:.6f} 0 {version} {size}", flush=True)
    for line in sys.stdin:
        limit, calls, start = float(line.split()[1]), 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - start < limit:
            for _ in range(8):
                call(ready)
            calls += 8
        print(1e3 * (time.perf_counter() - start) / calls, check, flush=True)
