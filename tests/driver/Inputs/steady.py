# steady.py STEPS FOLDER KDC SCRIPT: trains for that many steps and fails when memory grows: the last
# third of the time behind the first epoch against the second, by the median of samples. Prints both,
# and how speed went.
import json
import os
import statistics
import subprocess
import sys
import time

steps, folder = int(sys.argv[1]), sys.argv[2]
LIMIT, BATCH = 4096, 16
epochs = max(6, steps // (LIMIT // BATCH))
run = subprocess.Popen(sys.argv[3:] + ["--jit", "--quiet", "--force", "--threads", "1", "--limit", str(LIMIT),
                                       "--epochs", str(epochs), "--out", folder], stdout=subprocess.DEVNULL)
samples, metrics = [], f"{folder}/metrics.jsonl"
while run.poll() is None:
    time.sleep(0.01)
    if not os.path.exists(metrics):
        continue  # it compiles, or is in its first epoch
    try:
        rss = [l for l in open(f"/proc/{run.pid}/status") if l.startswith("VmRSS")]
        samples += [int(l.split()[1]) for l in rss]
    except OSError:
        break
if run.wait() != 0:
    sys.exit("the run failed")
third = len(samples) // 3
middle, end = statistics.median(samples[third:-third]), statistics.median(samples[-third:])
ends = [json.loads(l)["seconds"] for l in open(metrics)]
seconds = [b - a for a, b in zip(ends, ends[1:])]
cut = len(seconds) // 3
early, late = statistics.median(seconds[cut:-cut]), statistics.median(seconds[-cut:])
print(f"{len(ends) * (LIMIT // BATCH)} steps, {len(samples)} samples")
print(f"resident: {middle:.0f} KiB in the second third, {end:.0f} in the last")
print(f"an epoch: {late / early:.3f} times as long in the last third as in the second")
if end > middle * 1.01:
    sys.exit("memory grows")
