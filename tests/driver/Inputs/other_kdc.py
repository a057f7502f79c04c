"""other_kdc.py FROM TO: the same program but for a letter of a message, with the same size and time."""
import os
import shutil
import sys

source, target = sys.argv[1:]
shutil.copy2(source, target)
program = open(source, "rb").read()
message = b"the path is too long"
assert message in program
with open(target, "r+b") as file:
    file.write(program.replace(message, message.upper()))
time = os.stat(source)
os.utime(target, ns=(time.st_atime_ns, time.st_mtime_ns))
