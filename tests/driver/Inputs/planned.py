# Compares planned bytes of each function with those that live at once, as kdc prints them.
import re
import sys

BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
count = 0
for path in sys.argv[1:]:
    for line in open(path, encoding="utf-8"):
        for name, planned, unit, live, live_unit in re.findall(r"(\w+) ([\d.]+) (\w+) \(live at once ([\d.]+) (\w+)\)", line):
            ratio = float(planned) * BYTES[unit] / max(1, float(live) * BYTES[live_unit])
            if ratio > 1.005:
                sys.exit(f"{line.split()[1]}: {name}: {ratio:.3f} times what lives at once")
            count += 1
print(f"within 0.5 %: {count} functions")
