# rows.py N IMAGES LABELS: the first N training images and labels of Fashion-MNIST, as plain IDX files.
import gzip, struct, sys

n = int(sys.argv[1])
for name, path, rank in ("images-idx3", sys.argv[2], 3), ("labels-idx1", sys.argv[3], 1):
    with gzip.open("/usr/share/datasets/fashion-mnist/train-%s-ubyte.gz" % name) as whole, open(path, "wb") as part:
        magic, count = struct.unpack(">II", whole.read(8))
        shape = whole.read(4 * (rank - 1))
        size = 1
        for extent in struct.unpack(">%dI" % (rank - 1), shape):
            size *= extent
        part.write(struct.pack(">II", magic, n) + shape + whole.read(n * size))
