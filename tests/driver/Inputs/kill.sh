#!/bin/sh
# kill.sh KILLS FOLDER SECONDS COMMAND…: runs the training COMMAND with --resume into FOLDER, killing it without
# warning KILLS times at random moments within SECONDS of its start, and then lets it end.
set -eu
kills=$1 folder=$2 seconds=$3
shift 3
rm -rf "$folder"
done=0 attempts=0
while [ $done -lt "$kills" ] && [ $attempts -lt $((4 * kills + 20)) ]; do
    attempts=$((attempts + 1))
    # a run that ended is begun anew, its teacher too: its last kills were too late
    [ -f "$folder/summary.json" ] && [ -f "$folder/ended" ] &&
        rm -rf "$folder" "${XDG_CACHE_HOME:?}/kdc/teachers"
    if [ -f "$folder/manifest.json" ]; then again=--resume; else again=--force; fi
    "$@" $again --out "$folder" >"$folder.said" 2>&1 &
    child=$!
    sleep "$(awk -v s="$seconds" -v n="$$$attempts" 'BEGIN { srand(n); print s * rand() }')"
    kill -9 $child 2>/dev/null || true
    status=0
    wait $child 2>/dev/null || status=$?
    [ $status -eq 137 ] && done=$((done + 1))
    if [ $status -ne 137 ] && [ $status -ne 0 ]; then
        cat "$folder.said"
        echo "exit code $status after $done kills"
        exit 1
    fi
    [ $status -eq 0 ] && touch "$folder/ended"
done
if [ -f "$folder/ended" ]; then
    cat "$folder.said"
else
    if [ -f "$folder/manifest.json" ]; then again=--resume; else again=--force; fi
    "$@" $again --out "$folder" || exit 1
fi
echo "$done kills"
