#!/bin/sh
# Run by PostgreSQL's image once, when its data is made: the owner of the tables, who migrates, and the role that
# serves. A password stands in an environment variable, or, where secrets are files, in the file of that name; psql reads
# it from its environment, since a list of processes shows arguments.
set -eu
password() { if [ -r "/run/secrets/$2" ]; then cat "/run/secrets/$2"; else printf %s "$1"; fi; }
OWNER_PASSWORD=$(password "${OWNER_PASSWORD:-}" owner_password)
SERVICE_PASSWORD=$(password "${SERVICE_PASSWORD:-}" service_password)
export OWNER_PASSWORD SERVICE_PASSWORD
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres --dbname postgres << 'SQL'
\getenv owner OWNER_PASSWORD
\getenv service SERVICE_PASSWORD
CREATE ROLE carteira LOGIN PASSWORD :'owner';
CREATE ROLE carteira_app LOGIN PASSWORD :'service';
CREATE DATABASE carteira OWNER carteira ENCODING UTF8 TEMPLATE template0;
SQL
