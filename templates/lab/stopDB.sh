#!/bin/sh
# stopDB.sh PORT USER TMPDIR [PASSWORD]: stops the bundled database.
BIN=$(cd "$(dirname "$0")" && pwd)
PID_FILE=$BIN/../mysql/data/mysql.pid
[ -r "$PID_FILE" ] || exit 0
PID=$(cat "$PID_FILE")
kill -TERM "$PID" 2>/dev/null || exit 0
N=0
while kill -0 "$PID" 2>/dev/null && [ $N -lt 600 ]; do
    sleep 0.1
    N=$((N + 1))
done
