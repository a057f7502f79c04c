"""plot.py ALL.json OUT.svg: how many times faster than the best peer each contestant of ./dev bench
trains, a panel per thread count, batch size and optimiser; or, of a sweep, time against size."""
import json
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402  after its backend


def bars(axes, cases):
    labels = list(dict.fromkeys(r["contestant"] for c in cases for r in c["results"]))
    width = 0.8 / len(labels)
    for k, label in enumerate(labels):
        at, height = [], []
        for j, case in enumerate(cases):
            for r in case["results"]:
                if r["contestant"] == label and r.get("ms_per_step"):
                    best = case["results"][0]["ms_per_step"] if "best_peer" not in case else None
                    at.append(j + (k - (len(labels) - 1) / 2) * width)
                    height.append(best / r["ms_per_step"] if best
                                  else r["times_faster_than_best_peer"])
        axes.bar(at, height, width, label=label)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks(range(len(cases)), [c["network"] for c in cases])
    axes.set_ylabel("speed, best peer = 1" if "best_peer" in cases[0] else "speed, kdc = 1")


def lines(axes, cases, key):
    for label in dict.fromkeys(r["contestant"] for c in cases for r in c["results"]):
        points = [(c[key], r["ms_per_step"]) for c in cases for r in c["results"]
                  if r["contestant"] == label and r.get("ms_per_step")]
        axes.loglog(*zip(*points), marker="o", label=label)
    axes.set_xlabel(key)
    axes.set_ylabel("ms/step")


def panels(cases):
    """(title, cases, what varies): a network seen at many sizes is a sweep."""
    groups = {}
    for c in cases:
        for key in ("batch", "width"):
            same = [d for d in cases if all(d[k] == c[k] for k in ("network", "threads", "optimizer",
                                            "width" if key == "batch" else "batch"))]
            if len({d[key] for d in same}) > 3:
                groups[f"{c['network']}, {c['threads']} thread(s)", key] = same
    if groups:
        return [(title, group, key) for (title, key), group in groups.items()]
    for c in cases:
        title = f"{c['threads']} thread(s), batch {c['batch']}, {c['optimizer']}"
        groups.setdefault(title, []).append(c)
    return [(title, group, None) for title, group in groups.items()]


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        found = panels(json.load(f)["cases"])
    figure, axes = plt.subplots(len(found), 1, figsize=(10, 3.5 * len(found)), squeeze=False)
    for axis, (title, cases, key) in zip(axes[:, 0], found):
        lines(axis, cases, key) if key else bars(axis, cases)
        axis.set_title(title)
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(sys.argv[2])


main()
