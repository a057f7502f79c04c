#!/bin/sh
# npy.sh FOLDER: 200 samples of two classes as .npy files: x.npy u8[200,2], y.npy u8[200], and wide.npy
# of no sample's shape. Sample k is of class k mod 2; of many.npy's, k mod 70.
header() { # FILE SHAPE
    printf '\223NUMPY\001\000\166\000' > "$1"
    printf '%-117s\n' "{'descr': '|u1', 'fortran_order': False, 'shape': ($2), }" >> "$1"
}
mkdir -p "$1" && cd "$1" || exit 1
header x.npy '200, 2'
header y.npy '200,'
header wide.npy '200, 3'
header classes.npy '200,'
header many.npy '200,'
k=0
while [ $k -lt 100 ]; do
    printf '\000\377\377\000' >> x.npy
    printf '\000\001' >> y.npy
    printf '\000\002' >> classes.npy
    printf '\000\000\000\000\000\000' >> wide.npy
    printf "\\$(printf %03o $((2 * k % 70)))\\$(printf %03o $(((2 * k + 1) % 70)))" >> many.npy
    k=$((k + 1))
done
head -c 300 x.npy > short.npy
