#!/bin/sh
# startDB.sh PORT TMPDIR: starts the bundled database in the background.
BIN=$(cd "$(dirname "$0")" && pwd)
DB_HOME=$(cd "$BIN/../mysql" && pwd)
PORT=$1
TMP=${2:-$DB_HOME/tmp}
"$DB_HOME/bin/mysqld" --no-defaults --basedir="$DB_HOME" --datadir="$DB_HOME/data" --tmpdir="$TMP" --port="$PORT" --socket="$TMP/mysql.sock" --pid-file="$DB_HOME/data/mysql.pid" --log-error="$DB_HOME/data/$(uname -n).err" --user={{user}} --bind-address=127.0.0.1 {{options}} &
exit 0
