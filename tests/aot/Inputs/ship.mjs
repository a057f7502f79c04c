// What ship.c does with all samples at once, for a network compiled to WebAssembly:
// node ship.mjs net.wasm net.h
import { readFileSync } from "node:fs";

const header = readFileSync(process.argv[3], "utf8");
const macro = (name) => Number(header.match(new RegExp(`define MY_NET_${name} (\\d+)`))[1]);
const samples = 37, inputs = macro("INPUTS"), classes = macro("CLASSES"), align = macro("ALIGN");
let bytes;
const env = {
  memcpy: (to, from, n) => (bytes().copyWithin(to, from, from + n), to),
  memset: (to, value, n) => (bytes().fill(value, to, to + n), to),
};
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), { env });
const { memory, my_net_predict: predict, __heap_base: heap } = instance.exports;
bytes = () => new Uint8Array(memory.buffer);

const up = (n) => Math.ceil(n / align) * align;
const x = up(heap.value), y = up(x + 4 * samples * inputs), scratch = up(y + 4 * samples * classes);
const end = scratch + macro("SCRATCH_BYTES");
memory.grow(Math.max(0, Math.ceil((end - memory.buffer.byteLength) / 65536)));
const input = new Float32Array(memory.buffer, x, samples * inputs);
for (let k = 0; k < input.length; k++) input[k] = ((k * 7919) % 1009) / 1009;
if (predict(x, samples, y, 0, scratch) !== macro("OK")) throw new Error("predict failed");
if (predict(x, -1, y, 0, scratch) !== macro("BAD_ARGUMENT")) throw new Error("n = -1 was taken");
for (const logit of new Float32Array(memory.buffer, y, samples * classes)) console.log(logit.toFixed(6));
