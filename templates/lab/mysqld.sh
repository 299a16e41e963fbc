#!/bin/sh
# Stands for the bundled server of a PMP home.
exec "{{server}}/bin/mysqld" "$@"
