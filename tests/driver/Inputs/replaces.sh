#!/bin/sh
# A compiler whose linker writes another file and renames it, as lld and mold do.
cc "$@" || exit
while [ "$1" != -o ]; do shift; done
cp "$2" "$2.new" && mv "$2.new" "$2"
