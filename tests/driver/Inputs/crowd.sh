#!/bin/sh
# crowd.sh N FOLDER COMMAND…: runs the command N times at once, each with an output folder of its
# own below FOLDER; prints how often each different output came. A run that fails is named.
n=$1 folder=$2
shift 2
k=0
while [ "$k" -lt "$n" ]; do
    k=$((k + 1))
    ("$@" --out "$folder/$k" > "$folder/$k.text" 2>&1 || echo "run $k failed: $(cat "$folder/$k.text")") &
done
wait
grep -h fingerprint "$folder"/*.text | sort | uniq -c
