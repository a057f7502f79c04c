#!/bin/sh
# interrupt.sh FOLDER COMMAND…: starts the command, sends SIGINT once its first checkpoint lies in FOLDER,
# and prints its exit code.
folder=$1
shift
env --default-signal=INT "$@" & # a shell has it ignored behind an `&`
child=$!
checkpointed() { for f in "$folder"/*.kdck; do test -e "$f" && return; done; return 1; }
while ! checkpointed && kill -0 $child 2>/dev/null; do sleep 0.01; done
kill -INT $child 2>/dev/null
wait $child
echo "exit code $?"
