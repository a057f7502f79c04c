# block.py NET.h FILE.safetensors BLOCK: writes the block of weights that the header describes.
import json, re, struct, sys

header, weights = open(sys.argv[1]).read(), open(sys.argv[2], "rb").read()
length = struct.unpack("<Q", weights[:8])[0]
entries, data = json.loads(weights[8:8 + length]), weights[8 + length:]
block = bytearray(int(re.search(r"_WEIGHT_BYTES (\d+)", header)[1]))
for offset, name in re.findall(r"_OFFSET_\w+ (\d+) /\* ([\w.]+),", header):
    begin, end = entries[name]["data_offsets"]
    block[int(offset):int(offset) + end - begin] = data[begin:end]
open(sys.argv[3], "wb").write(block)
