# Compares the metrics of two folders, whatever their order and seconds: losses and errors to the last digit. Without
# a second folder, prints how many of the runs of the first ended at each epoch.
import collections
import json
import sys


def read(folder):
    rows = {}
    for line in open(folder + "/metrics.jsonl"):
        row = json.loads(line)
        if row["run"] == "teacher":
            continue  # it may have been trained before
        rows[row["run"], row["epoch"]] = (row["step"], row["loss"], row["val_error"])
    return rows


one = read(sys.argv[1])
if len(sys.argv) > 2:
    assert one == read(sys.argv[2])
else:
    last = {run: max(e for r, e in one if r == run) for run, _ in one}
    print(len(collections.Counter(last.values())), "different ends")
