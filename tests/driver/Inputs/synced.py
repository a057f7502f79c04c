"""synced.py LOG: each file that is renamed was synced just before, and its folder is synced next. Prints how many checkpoints,
weights and others there were."""
import os
import sys

lines = [line.split(" ", 1) for line in open(sys.argv[1]).read().splitlines()]
count = {"kdck": 0, "safetensors": 0, "other": 0}
for k, (what, path) in enumerate(lines):
    if what != "rename":
        continue
    assert ["file", path] in lines[:k], path + " is not synced before it is renamed"
    assert lines[k + 1] == ["folder", os.path.dirname(path)], "the folder of " + path + " is not synced next"
    kind = os.path.basename(path).split(".tmp-")[0].rsplit(".", 1)[-1]
    count[kind if kind in count else "other"] += 1
print(", ".join(f"{count[kind]} {kind}" for kind in count))
