#!/bin/sh
# small-disk.sh FOLDER FILE COMMAND…: for the command FOLDER is a disk with room for what FILE takes. By unshare -rm.
set -eu
mount -t tmpfs -o size=$(((($(wc -c < "$2") + 4095) / 4096) * 4))k tmpfs "$1"
shift 2
exec "$@"
