#!/bin/sh
# interrupt.sh FOLDER COMMAND…: starts the command, sends SIGINT once its first checkpoint lies in FOLDER,
# and prints its exit code.
folder=$1
shift
env --default-signal=INT "$@" & # a shell has it ignored behind an `&`
child=$!
while ! ls "$folder"/*.kdck >/dev/null 2>&1 && kill -0 $child 2>/dev/null; do sleep 0.05; done
kill -INT $child 2>/dev/null
wait $child
echo "exit code $?"
