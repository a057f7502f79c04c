# signals.py FOLDER SIGNAL… -- COMMAND…: starts the command, sends it the first signal once it catches signals and its
# manifest (or $AWAITED) lies in FOLDER, the second once it no longer catches them, and prints what it said and how it ended. A signal
# written as !SIGNAL is ignored when the command starts, and sent before the others.
import os, signal, subprocess, sys, time

at = sys.argv.index("--")
folder, command = sys.argv[1], sys.argv[at + 1:]
ignored = [name[1:] for name in sys.argv[2:at] if name[0] == "!"]
names = [name for name in sys.argv[2:at] if name[0] != "!"]

def reset(): # who started us may ignore them
    for name in names + ignored:
        signal.signal(getattr(signal, name), signal.SIG_IGN if name in ignored else signal.SIG_DFL)

child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=reset)

def catches():
    with open("/proc/%d/status" % child.pid) as status:
        caught = next(line for line in status if line.startswith("SigCgt"))
    return int(caught.split()[1], 16) >> (getattr(signal, names[0]) - 1) & 1

awaited = os.path.join(folder, os.environ.get("AWAITED", "manifest.json"))
while not (os.path.exists(awaited) and catches()):
    time.sleep(0.01)
for name in ignored:
    child.send_signal(getattr(signal, name))
time.sleep(0.3) # a step is under way
for name in names:
    child.send_signal(getattr(signal, name))
    while len(names) > 1 and catches():
        pass
said, _ = child.communicate()
sys.stdout.write(said.decode())
print("exit code %d" % child.returncode if child.returncode >= 0 else "killed by %d" % -child.returncode)
