# spoil_data.py FOLDER: small data sets below it, each wrong in one way, for errors/data.test.
import gzip, io, os, struct, sys, tarfile, zipfile

def path(kind, name):
    folder = os.path.join(sys.argv[1], kind)
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, name)

def cifar(kind, batch):
    with tarfile.open(path(kind, "cifar-10-binary.tar.gz"), "w:gz") as tar:
        for name in ["data_batch_%d.bin" % k for k in range(1, 6)] + ["test_batch.bin"]:
            data = batch if name == "data_batch_3.bin" else 10 * (b"\x01" + bytes(3072))
            info = tarfile.TarInfo("cifar-10-batches-bin/" + name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

cifar("record", 2 * bytes(3073) + bytes(100))
cifar("label", bytes(3073) + b"\x0a" + bytes(3072))

def letters(kind, labels, images):
    for part in ("train", "test"):
        with gzip.open(path(kind, "emnist-letters-%s-images-idx3-ubyte.gz" % part), "wb") as f:
            f.write(struct.pack(">IIII", 0x803, images, 28, 28) + bytes(784 * images))
        with gzip.open(path(kind, "emnist-letters-%s-labels-idx1-ubyte.gz" % part), "wb") as f:
            f.write(struct.pack(">II", 0x801, len(labels)) + bytes(labels))

letters("below", [1, 2, 0, 3], 4)
letters("above", [1, 2, 27, 3], 4)
letters("count", [1, 2, 3], 4)

for kind, cell in (("nan", "nan"), ("inf", "1e999"), ("class", "0.5"), ("short", None)):
    rows = ["0.5,0.25,1"] * 120
    rows[99] = "0.5,0.25" if cell is None else "0.5,0.25," + cell if kind == "class" else "0.5,%s,1" % cell
    with gzip.open(path(kind, "points.csv.gz"), "wt") as f:
        f.write("first,second,which\n" + "\n".join(rows) + "\n")

# An archive without labels, and one of its files beside it.
x = "{'descr': '<f4', 'fortran_order': False, 'shape': (200, 2), }".ljust(117) + "\n"
x = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(x)) + x.encode() + bytes(1600)
with zipfile.ZipFile(path("npz", "points.npz"), "w") as z:
    z.writestr("x_train.npy", x)
with open(path("npz", "x_train.npy"), "wb") as f:
    f.write(x)
