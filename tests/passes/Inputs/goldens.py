"""goldens.py TESTS OPS PASSES: every pass ends the pipeline of a golden, every op stands in one."""
import pathlib
import re
import sys

tests, ops, passes = (pathlib.Path(a) for a in sys.argv[1:])
goldens = [p.read_text() for folder in ("ir", "passes") for p in sorted((tests / folder).glob("*.kir"))]
named = re.findall(r'^KD_OP\(\w+,\s*"([^"]+)"', ops.read_text(), re.M)
known = re.findall(r'^\s*KD_PASS\(\w+,\s*"([^"]+)"', passes.read_text(), re.M)
missing = [f"op {n}" for n in named
           if not any(re.search(rf"= {re.escape(n)}[ {{]", g) for g in goldens)]
missing += [f"pass {n}" for n in known
            if not any(re.search(rf"RUN:.*--passes=(\S+,)?{n}(\{{\S*\}})?\s.*FileCheck", g) for g in goldens)]
print(f"{len(named)} ops, {len(known)} passes; without a golden: {', '.join(missing) or 'none'}")
sys.exit(1 if missing or not named or not known else 0)
