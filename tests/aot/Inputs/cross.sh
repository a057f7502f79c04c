#!/bin/sh
# cross.sh MACHINE FOLDER: libkdrt for a machine of Debian's cross compilers, installed in FOLDER/MACHINE.
set -eu
source=$(dirname "$0")/../../../runtime
cmake -S "$source" -B "$2/build-$1" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="${1%%-*}" \
    -DCMAKE_C_COMPILER="$1-gcc" -DCMAKE_INSTALL_PREFIX="$2/$1" >"$2/$1.log"
cmake --build "$2/build-$1" >>"$2/$1.log" 2>&1 || { cat "$2/$1.log" >&2; exit 1; }
cmake --install "$2/build-$1" >>"$2/$1.log"
