# Recomputes a study's table from its rows: means, and the paired t statistic of each point.
import csv
import math
import sys

rows = list(csv.DictReader(open(sys.argv[1])))
table = open(sys.argv[2], encoding="utf-8").read().splitlines()
T = 4.302653  # 95 %, two degrees of freedom
base = {r["seed"]: float(r["test_error"]) for r in rows if r["sigma"] == ""}


def interval(x):
    mean = sum(x) / len(x)
    return mean, T * math.sqrt(sum((v - mean) ** 2 for v in x) / (len(x) - 1) / len(x))


for sigma in ("", "0.5", "1"):
    here = [r for r in rows if r["sigma"] == sigma]
    name = f"sigma {sigma}" if sigma else "baseline"
    line = next(l for l in table if l.startswith(name))
    mean, half = interval([float(r["test_error"]) for r in here])
    assert f"{100 * mean:.2f} ± {100 * half:.2f} %" in " ".join(line.split()), line
    if sigma:
        mean, half = interval([float(r["test_error"]) - base[r["seed"]] for r in here])
        assert f"{100 * mean:+.2f} ± {100 * half:.2f} %" in " ".join(line.split()), line
