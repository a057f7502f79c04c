"""damaged.py FOLDER: files of arrays and weights that are wrong in one way each."""
import json
import pathlib
import struct
import sys

folder = pathlib.Path(sys.argv[1])


def npy(name, header, data=b"\0" * 16, magic=b"\x93NUMPY", version=1):
    text = header.ljust(117).encode() + b"\n"
    (folder / f"{name}.npy").write_bytes(magic + bytes([version, 0]) + struct.pack("<H", len(text)) + text + data)


def array(descr="<f4", order=False, shape="(4,)"):
    return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"


npy("magic", array(), magic=b"\x93NUMPI")
npy("version", array(), version=9)
npy("fortran", array(order=True, shape="(2, 2)"))
npy("half", array("<f2"))
npy("short", array(), b"\0" * 12)
npy("range", array("<f8"), struct.pack("<4d", 1, 1e300, 1, 1))
npy("shape", array(shape="(5,)"), b"\0" * 20)


def weights(name, header, data=b"\0" * 8, size=None):
    text = header if isinstance(header, str) else json.dumps(header)
    (folder / f"{name}.safetensors").write_bytes(struct.pack("<Q", size or len(text)) + text.encode() + data)


def tensor(begin, end, shape=(1,)):
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}


weights("length", {"a": tensor(0, 4)}, size=1 << 40)
weights("json", "{'a'")
weights("offsets", {"a": tensor(0, 400)})
weights("bytes", {"a": tensor(0, 8, (3,))})
weights("twice", '{"a": %s, "a": %s}' % (json.dumps(tensor(0, 4)), json.dumps(tensor(4, 8))))
weights("metadata", {"__metadata__": [], "a": tensor(0, 8, (2,))})
weights("left", {"a": tensor(0, 4)})
weights("control", {"__metadata__": {"x": "\x1b[2J"}, "\x1b]0;a\x07": tensor(0, 4), "b": tensor(4, 8)})
weights("obeyed", {"\x1b]0;a\x07": tensor(0, 400)})
