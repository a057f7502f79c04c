"""Writes small .npy files into a folder: values of a type and a shape."""
import os
import struct
import sys


def write(name, descr, code, shape, values):
    head = "{'descr': '%s', 'fortran_order': False, 'shape': %r, }" % (descr, shape)
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open(os.path.join(sys.argv[1], name), "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
        f.write(struct.pack("<%d%s" % (len(values), code), *values))


write("x.npy", "<f4", "f", (2, 3), [1.5, -2, 0.25, 4, 8, -16])
write("turned.npy", "<f4", "f", (3, 2), [1.5, -2, 0.25, 4, 8, -16])
write("index.npy", "<i4", "i", (2,), [2, 0])
write("beyond.npy", "<i4", "i", (2,), [2, 100000000])
write("rows.npy", "|u1", "B", (3, 2), [1, 2, 3, 4, 255, 0])
write("flags.npy", "|u1", "B", (3,), [0, 1, 7])
