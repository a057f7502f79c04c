# damage.py newest|all FOLDER: flips one bit in the middle of the newest checkpoint, or of each.
import glob, os, sys

files = sorted(glob.glob(sys.argv[2] + "/ckpt-*.kdck"), key=lambda f: int(f.rsplit("-", 1)[1][:-5]))
for file in files[-1:] if sys.argv[1] == "newest" else files:
    with open(file, "r+b") as f:
        f.seek(os.path.getsize(file) // 2)
        byte = f.read(1)[0]
        f.seek(-1, 1)
        f.write(bytes([byte ^ 4]))
