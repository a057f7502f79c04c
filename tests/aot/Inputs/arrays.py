# arrays.py FOLDER: x.npy and y.npy, 400 rows of 7 floats and labels below 300; and of the first 360, that
# train, plain arrays x, y, mean and rate (one over the standard deviation).
import os, random, struct, sys

TRAIN = 360
random.seed(1)
rows = [[random.gauss(k, 0.5 + k) for k in range(7)] for _ in range(400)]
rows = [struct.unpack("<7f", struct.pack("<7f", *row)) for row in rows]
labels = [int(40 * (abs(row[0]) + abs(row[1]))) % 300 for row in rows]

def write(name, data):
    with open(os.path.join(sys.argv[1], name), "wb") as f:
        f.write(data)

def npy(descr, shape, data):
    header = ("{'descr': '%s', 'fortran_order': False, 'shape': %r, }" % (descr, shape)).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data

def floats(numbers):
    return struct.pack("<%df" % len(numbers), *numbers)

x, y = b"".join(map(floats, rows)), struct.pack("<400i", *labels)
columns = list(zip(*rows[:TRAIN]))
mean = [sum(c) / TRAIN for c in columns]
rate = [(sum((v - m) ** 2 for v in c) / TRAIN) ** -0.5 for c, m in zip(columns, mean)]
write("x.npy", npy("<f4", (400, 7), x))
write("y.npy", npy("<i4", (400,), y))
write("x", x[:TRAIN * 28])
write("y", y[:TRAIN * 4])
write("mean", floats(mean))
write("rate", floats(rate))
