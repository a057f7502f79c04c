#!/bin/sh
# two.sh FOLDER RUN COMMAND…: starts the command, which works in FOLDER, and once a checkpoint of RUN lies there, and
# it cannot end, a second one; kills the first without warning, and lets a third go on at once.
folder=$1 run=$2
shift 2
"$@" --out "$folder" >/dev/null &
first=$!
checkpointed() { for f in "$folder/$run"/*.kdck; do test -e "$f" && return; done; return 1; }
while ! checkpointed && kill -0 $first 2>/dev/null; do sleep 0.01; done
kill -STOP $first
"$@" --out "$folder" --force
echo "exit code $?"
kill -KILL $first
"$@" --out "$folder" --resume || exit 1
