"""spans.py TRACE.json: is it a trace of two runs, whose spans nest on each thread?"""
import collections
import json
import sys

events = json.load(open(sys.argv[1]))["traceEvents"]
spans = [e for e in events if e["ph"] == "X"]
assert {e["pid"] for e in spans} == {1, 2}
assert all(e["dur"] >= 0 and e["args"]["bytes"] > 0 and e["args"]["GFLOP/s"] >= 0 for e in spans)
names = {(e["pid"], e.get("tid")) for e in events if e["ph"] == "M"}
tracks = collections.defaultdict(list)
for e in spans:
    tracks[e["pid"], e["tid"]].append((e["ts"], e["ts"] + e["dur"]))
for track, times in tracks.items():
    assert track in names, f"{track} has no name"
    open_until = []
    for start, end in sorted(times, key=lambda t: (t[0], -t[1])):
        while open_until and open_until[-1] <= start + 0.001:  # times are whole nanoseconds
            open_until.pop()
        assert not open_until or end <= open_until[-1] + 0.002, f"{track} at {start}"
        open_until.append(end)
print(sum(e["name"] == "step.student.fc1.weight.m.next" for e in spans) >= 10)
