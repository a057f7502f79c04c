#!/bin/sh
# seeds.sh FOLDER: first inputs for each fuzz target: the project's own files, and small ones of each format.
set -eu
mkdir -p "$1"
out=$(realpath "$1")
cd "$(dirname "$0")/../.."
for target in kir script idx npy csv archive mat safetensors checkpoint weights; do mkdir -p "$out/$target"; done
for f in $(git ls-files 'tests/*.kir'); do cp "$f" "$out/kir/$(echo "$f" | tr / -)"; done
for f in $(git ls-files 'tests/*.lua' 'models/*.lua'); do cp "$f" "$out/script/$(echo "$f" | tr / -)"; done
# Two by three bytes in each format; NumPy's header ends at byte 64.
printf '\000\000\010\002\000\000\000\002\000\000\000\003abcdef' >"$out/idx/plain"
gzip -nc "$out/idx/plain" >"$out/idx/gzipped"
printf '\223NUMPY\001\000\066\000%-53s\nabcdef' \
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2,3), }" >"$out/npy/u1"
printf '\223NUMPY\001\000\066\000%-53s\nabcdefgh' \
    "{'descr': '<f8', 'fortran_order': False, 'shape': (), }" >"$out/npy/f8"
printf '\100\000\000\000\000\000\000\000%-64sabcdefgh' \
    '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' >"$out/safetensors/w"
printf '\220\000\000\000\000\000\000\000%-144sabcdefghijklmnopqrst' \
    '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"v":{"dtype":"F32","shape":[3,1],"data_offsets":[8,20]}}' >"$out/weights/wv"
printf 'kdcheck\n\001\000\000\000\001\000\000\000\057\000\000\000\000\000\000\000\001\000\000\000a\002\000\000\000\000\000\000\000xy' \
    >"$out/checkpoint/one"
printf 'a,b,c\n0.5,2,-1e3\n7,0,.25\n' >"$out/csv/named"
printf '1,1,1\n' | gzip -nc >"$out/csv/gzipped"
# MATLAB, level 5: X [2,1,3,1] and y [1,1], bytes both.
mat_x() {
    printf '\016\000\000\000\100\000\000\000\006\000\000\000\010\000\000\000\011\000\000\000\000\000\000\000'
    printf '\005\000\000\000\020\000\000\000\002\000\000\000\001\000\000\000\003\000\000\000\001\000\000\000'
    printf '\001\000\001\000X\000\000\000\002\000\000\000\006\000\000\000abcdef\000\000'
}
mat_y() {
    printf '\016\000\000\000\060\000\000\000\006\000\000\000\010\000\000\000\011\000\000\000\000\000\000\000'
    printf '\005\000\000\000\010\000\000\000\001\000\000\000\001\000\000\000'
    printf '\001\000\001\000y\000\000\000\002\000\001\000\003\000\000\000'
}
mat_header() { printf '%-124s\000\001IM' 'MATLAB 5.0 MAT-file'; }
{ mat_header && mat_x && mat_y; } >"$out/mat/pair"
# The same in zlib's stored blocks, which may be changed without making the whole unreadable.
{
    mat_header
    printf '\017\000\000\000\123\000\000\000\170\001\001\110\000\267\377' && mat_x && printf '\063\150\003\071'
    printf '\017\000\000\000\103\000\000\000\170\001\001\070\000\307\377' && mat_y && printf '\030\210\000\346'
} >"$out/mat/deflated"
printf '\000abcdef\002ghijkl' >"$out/archive/train.bin"
printf '\001abcdef' >"$out/archive/test.bin"
tar -C "$out/archive" -cf "$out/archive/plain" train.bin test.bin
tar -C "$out/archive" -czf "$out/archive/gzipped" train.bin test.bin
