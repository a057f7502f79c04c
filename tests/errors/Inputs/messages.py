"""messages.py KDC FILE [--update]: what kdc says of small faulty texts, and that it exits with 1.

FILE is a list of cases:

    --- lua NAME                        or kir: a script that is checked, or IR text read by kdc opt
    its lines; in a script `kd` and `data`, a data set of images, are at hand
    => 1: error: what is said           the first line of it, without the file's name

--update writes what is said now."""
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import tempfile

PRELUDE = 'local kd = require "kd" local data = kd.data.fashion_mnist() '  # no line of its own

kdc, file = sys.argv[1:3]
update = "--update" in sys.argv
head, *cases = re.split(r"(?m)^--- ", pathlib.Path(file).read_text())


def run(case, folder):
    """The case with what kdc says of it."""
    title, body = case.split("\n", 1)
    language, name = title.split()
    body = re.sub(r"(?m)^=> .*\n?", "", body).rstrip("\n") + "\n"
    path = pathlib.Path(folder) / f"{name}.{language}"
    path.write_text((PRELUDE if language == "lua" else "") + body)
    command = [kdc, path] if language == "lua" else [kdc, "opt", path]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    said = (done.stderr.splitlines() or ["nothing"])[0].replace(f"{path}:", "").strip()
    if done.returncode != 1:
        said = f"exit code {done.returncode}: {said}"
    return f"{title}\n{body}=> {said}\n"


with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
    now = list(pool.map(lambda case: run(case, folder), cases))
wrong = [(c, n) for c, n in zip(cases, now) if c.rstrip("\n") + "\n" != n]
if update:
    pathlib.Path(file).write_text(head + "\n".join("--- " + n for n in now))
for case, said in wrong if not update else []:
    print(f"expected:\n{case}found:\n{said}")
print(f"{len(cases)} messages, {len(wrong)} differ")
sys.exit(1 if (wrong and not update) or not cases else 0)
