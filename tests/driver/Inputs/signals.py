# signals.py FOLDER SIGNAL… -- COMMAND…: starts the command, sends it the first signal once it catches signals and its
# manifest lies in FOLDER, the second once it no longer catches them, and prints what it said and how it ended.
import os, signal, subprocess, sys, time

at = sys.argv.index("--")
folder, names, command = sys.argv[1], sys.argv[2:at], sys.argv[at + 1:]

def reset(): # who started us may ignore them
    for name in names:
        signal.signal(getattr(signal, name), signal.SIG_DFL)

child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=reset)

def catches():
    with open("/proc/%d/status" % child.pid) as status:
        caught = next(line for line in status if line.startswith("SigCgt"))
    return int(caught.split()[1], 16) >> (signal.SIGINT - 1) & 1

while not (os.path.exists(folder + "/manifest.json") and catches()):
    time.sleep(0.01)
time.sleep(0.3) # a step is under way
for name in names:
    child.send_signal(getattr(signal, name))
    while len(names) > 1 and catches():
        pass
said, _ = child.communicate()
sys.stdout.write(said.decode())
print("exit code %d" % child.returncode if child.returncode >= 0 else "killed by %d" % -child.returncode)
