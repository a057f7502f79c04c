# stop_after.py FOLDER N COMMAND…: kills the command, without warning, once N checkpoints lie in FOLDER.
import glob, subprocess, sys, time

folder, n, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
while child.poll() is None and len(glob.glob(folder + "/ckpt-*.kdck")) < n:
    time.sleep(0.001)
child.kill()
child.wait()
assert len(glob.glob(folder + "/ckpt-*.kdck")) == n, "it ended before that"
