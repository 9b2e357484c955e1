#!/bin/sh
# Edit the secrets of an environment, which lie encrypted in deploy/kubernetes/<environment>/secrets.yaml and may be
# committed: `make secrets-edit ENV=staging`. Needs sops and age. The first time, a key of yours is made if you have
# none, the environment is encrypted to it, and the file begins as secrets.example.yaml.
set -eu
here=$(dirname "$0")
folder=$here/${1:?the environment, staging or production}
[ -d "$folder" ] || { echo "There is no environment $1 in $here" >&2; exit 1; }
export SOPS_AGE_KEY_FILE="${SOPS_AGE_KEY_FILE:-$HOME/.config/sops/age/keys.txt}"
if [ ! -e "$SOPS_AGE_KEY_FILE" ]; then
  umask 077
  mkdir -p "$(dirname "$SOPS_AGE_KEY_FILE")"
  age-keygen -o "$SOPS_AGE_KEY_FILE"
fi
if [ ! -e "$folder/.sops.yaml" ]; then
  printf 'creation_rules:\n  - encrypted_regex: ^(data|stringData)$\n    age: %s\n' \
    "$(age-keygen -y "$SOPS_AGE_KEY_FILE")" > "$folder/.sops.yaml"
fi
if [ ! -e "$folder/secrets.yaml" ]; then
  # Encrypted before it has its name: in clear it is never there.
  sops --config "$folder/.sops.yaml" encrypt --filename-override "$folder/secrets.yaml" "$here/secrets.example.yaml" \
    > "$folder/secrets.yaml.new"
  mv "$folder/secrets.yaml.new" "$folder/secrets.yaml"
fi
exec sops --config "$folder/.sops.yaml" edit "$folder/secrets.yaml"
