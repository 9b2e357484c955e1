#!/bin/sh
# Draw what compose.production.yaml reads as files; what is there stays. Needs openssl.
#   SMTP_URL=smtps://user:password@mail.example.com deploy/compose/draw-secrets.sh [folder]
# The folder is open to its owner alone. The files in it can be read by whoever gets there, since in a container a file
# keeps the owner and the mode that it has here, and what reads it there is another user.
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
keep() { # name, content
  [ -e "$folder/$1" ] || { printf %s "$2" > "$folder/$1" && chmod 444 "$folder/$1"; }
}
draw() { openssl rand -hex 32; }
keep postgres_password "$(draw)"
keep owner_password "$(draw)"
keep service_password "$(draw)"
keep redis_password "$(draw)"
keep jwt_secret "$(draw)"
keep grafana_password "$(draw)"
keep metrics_token "$(draw)"
keep database_url "postgresql://carteira_app:$(cat "$folder/service_password")@database:5432/carteira"
keep migration_database_url "postgresql://carteira:$(cat "$folder/owner_password")@database:5432/carteira"
keep redis_url "redis://:$(cat "$folder/redis_password")@valkey:6379/0"
keep smtp_url "${SMTP_URL:?it is to be your mail server}"
echo "$folder"
