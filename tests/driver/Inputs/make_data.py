# Writes small data sets in the formats of the well-known ones below the folder given: CIFAR-10 and CIFAR-100
# in a tar.gz, SVHN's .mat (compressed), EMNIST's IDX, .npz, CSV with gzip, HIGGS' too. Python's own library
# is all it needs.
import gzip, io, os, random, struct, sys, tarfile, zipfile, zlib

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
random.seed(1)
path = lambda name: os.path.join(folder, name)

# CIFAR-10: label, 3x32x32 bytes
with tarfile.open(path("cifar-10-binary.tar.gz"), "w:gz") as tar:
    for name, n in [("data_batch_%d.bin" % k, 10) for k in range(1, 6)] + [("test_batch.bin", 20)]:
        data = b"".join(bytes([k % 10]) + bytes([20 * (k % 10)]) * 3072 for k in range(n))
        info = tarfile.TarInfo("cifar-10-batches-bin/" + name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))

# EMNIST's letters: labels from 1, images transposed. Letter k has a bright row k, which here is a column
for name, n in (("train", 130), ("test", 52)):
    def image(k):
        return bytes(255 if i % 28 == k % 26 else 0 for i in range(784))
    with gzip.open(path("emnist-letters-%s-images-idx3-ubyte.gz" % name), "wb") as f:
        f.write(struct.pack(">IIII", 0x803, n, 28, 28) + b"".join(image(k) for k in range(n)))
    with gzip.open(path("emnist-letters-%s-labels-idx1-ubyte.gz" % name), "wb") as f:
        f.write(struct.pack(">II", 0x801, n) + bytes(k % 26 + 1 for k in range(n)))

# HIGGS: the class and 28 features
with gzip.open(path("HIGGS.csv.gz"), "wt") as f:
    for k in range(300):
        f.write(",".join(["%.18e" % (k % 2)] + ["%.18e" % random.gauss(k % 2, 1) for _ in range(28)]) + "\n")

# CIFAR-100: coarse label, fine label, 3x32x32 bytes; brighter images have higher labels
with tarfile.open(path("cifar-100-binary.tar.gz"), "w:gz") as tar:
    for name, n in (("train.bin", 50), ("test.bin", 20)):
        data = b"".join(bytes([k % 20, k % 100]) + bytes([5 * (k % 20)]) * 3072 for k in range(n))
        info = tarfile.TarInfo("cifar-100-binary/" + name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))

# MATLAB level 5: elements of type, size, data; each variable deflated
def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

def variable(name, kind, element_kind, dims, data):
    body = (element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<%di" % len(dims), *dims))
            + element(1, name.encode()) + element(element_kind, data))
    packed = zlib.compress(element(14, body))
    return struct.pack("<II", 15, len(packed)) + packed

for name, n in (("train_32x32.mat", 40), ("test_32x32.mat", 20), ("extra_32x32.mat", 30)):
    images = b"".join(bytes([20 * (k % 10)]) * 3072 for k in range(n))
    labels = struct.pack("<%dd" % n, *(k % 10 + 1 for k in range(n)))
    with open(path(name), "wb") as f:
        f.write(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM")
        f.write(variable("X", 9, 2, (32, 32, 3, n), images))
        f.write(variable("y", 6, 9, (n, 1), labels))

# NumPy
def npy(descr, shape, data):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': %r, }" % (descr, shape)
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data

rows = [(random.random(), random.random()) for _ in range(200)]
label = lambda row: int(row[0] > row[1])
with zipfile.ZipFile(path("points.npz"), "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("x_train.npy", npy("<f8", (200, 2), b"".join(struct.pack("<2d", *r) for r in rows)))
    z.writestr("y_train.npy", npy("<i8", (200,), b"".join(struct.pack("<q", label(r)) for r in rows)))

with gzip.open(path("points.csv.gz"), "wt") as f:
    f.write("first,second,which\n")
    for row in rows:
        f.write("%.6f,%.6f,%d\n" % (*row, label(row)))
