# tensors.py [--near X] FILE FILE...: do all safetensors files hold what the first one holds, by name, shape
# and bit (or within X of the largest)? Says how many tensors, and exits with 1 where not.
import array, json, struct, sys

def read(path):
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    entries = json.loads(data[8:8 + length])
    entries.pop("__metadata__", None)
    return {name: (e["dtype"], e["shape"], data[8 + length:][slice(*e["data_offsets"])])
            for name, e in entries.items()}

args = sys.argv[1:]
near = float(args[1]) if args[0] == "--near" else None
files = [read(path) for path in (args if near is None else args[2:])]
wrong = 0
for other in files[1:]:
    wrong += files[0].keys() != other.keys()
    for name, (dtype, shape, bits) in files[0].items():
        if (dtype, shape) != other[name][:2]:
            wrong += 1
        elif near is None or dtype != "F32":
            wrong += bits != other[name][2]
        else:
            x, y = array.array("f", bits), array.array("f", other[name][2])
            wrong += not max(abs(a - b) for a, b in zip(x, y)) <= near * max(map(abs, x), default=0)
print(len(files[0]), "tensors,", wrong, "differ")
sys.exit(wrong > 0)
