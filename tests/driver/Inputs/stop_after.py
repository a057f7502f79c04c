# stop_after.py FOLDER N COMMAND…: kills the command, without warning, once N checkpoints lie in FOLDER. There may be one more
# then: a new one is there before the oldest goes.
import glob, subprocess, sys, time

folder, n, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
while child.poll() is None and len(glob.glob(folder + "/ckpt-*.kdck")) < n:
    time.sleep(0.001)
child.kill()
status, there = child.wait(), len(glob.glob(folder + "/ckpt-*.kdck"))
assert there >= n, f"{there} checkpoints lie there in place of {n}; the command's status is {status}"
