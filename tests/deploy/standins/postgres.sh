#!/bin/bash
# What compose.yaml uses of the official image's entrypoint: data made once, `initdb.d` run on a server that only a
# Unix socket reaches, then the server. A variable may stand in a file that `…_FILE` names.
set -euo pipefail
export PGDATA=/var/lib/postgresql/18/docker
sockets=(-c unix_socket_directories=/var/run/postgresql)
if [ ! -s $PGDATA/PG_VERSION ]; then
  password=${POSTGRES_PASSWORD:-}
  [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || password=$(<"$POSTGRES_PASSWORD_FILE")
  mkdir -p $PGDATA /var/run/postgresql
  # shellcheck disable=SC2086 # several arguments
  initdb --username=postgres --pwfile=<(printf %s "$password") --auth-host=scram-sha-256 ${POSTGRES_INITDB_ARGS:-}
  echo "host all all all scram-sha-256" >> $PGDATA/pg_hba.conf
  pg_ctl -w -o "-c listen_addresses='' -c unix_socket_directories=/var/run/postgresql" start
  for script in /docker-entrypoint-initdb.d/*; do
    PGHOST=/var/run/postgresql "$script"
  done
  pg_ctl -w -m fast stop
fi
exec "$@" "${sockets[@]}" -c "listen_addresses=*"
