"""What the peers of ./dev bench share: their command line, the data, and the talk with kd-bench.

A peer prints "ready SECONDS 0 VERSION" once it has trained a step, SECONDS being what the first step
cost more than a later one; then it answers each line "run SECONDS" with "MILLISECONDS LOSS", per step
and the mean over the last epoch."""
import argparse
import sys
import time

import numpy as np

SIGMA, ALPHA, MOMENTUM, CLASSES = 0.6, 0.5, 0.9, 10
RATE = {"sgd": 1e-5, "adam": 1e-4}


def arguments(*flags, **options):
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", required=True)
    parser.add_argument("--optimizer", choices=RATE, default="sgd")
    for name, value in dict(threads=1, batch=128, rows=5120, steps=40, width=800).items():
        parser.add_argument("--" + name, type=int, default=value)
    for name, kind in options.items():
        parser.add_argument("--" + name, type=kind)
    for name in flags:
        parser.add_argument("--" + name, action="store_true")
    return parser.parse_args()


def word(count, salt):
    """The integer formula of tests/numeric/formula.h."""
    h = (np.arange(count, dtype=np.uint32) + np.uint32(salt * 7919)) * np.uint32(2654435761)
    h ^= h >> np.uint32(15)
    h *= np.uint32(2246822519)
    return h ^ h >> np.uint32(13)


def data(network, rows):
    """u8 images [rows, height, width, channels] and the teacher's logits f32 [rows, classes]."""
    shape = (28, 28, 1) if network in ("student", "mlp30", "mlp800", "lenet") else (32, 32, 3)
    images = (word(rows * int(np.prod(shape)), 100) >> np.uint32(24)).astype(np.uint8)
    logits = (word(rows * CLASSES, 101) >> np.uint32(8)).astype(np.float32) * 2.0**-21 - 4
    return images.reshape(rows, *shape), logits.reshape(rows, CLASSES)


def serve(version, a, train):
    """train(steps) trains that many steps and returns the mean loss."""
    def timed(steps):
        start = time.perf_counter()
        loss = train(steps)
        return time.perf_counter() - start, loss

    first, _ = timed(a.steps)
    second, _ = timed(a.steps)
    print(f"ready {max(first - second, 0):.6f} 0 {version}", flush=True)
    for line in sys.stdin:
        seconds = float(line.split()[1])
        steps, start = 0, time.perf_counter()
        while steps == 0 or time.perf_counter() - start < seconds:
            loss = train(a.steps)
            steps += a.steps
        print(1e3 * (time.perf_counter() - start) / steps, loss, flush=True)
