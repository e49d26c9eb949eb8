#!/bin/sh
# Gives the brokers and the customer acme what their Agents log in with. What is there already stays: to replace it, delete the file.
set -eu
umask 077
VAULT_TOKEN="$(cat /keys/root-token)"
export VAULT_TOKEN

issue() { # mount, role, folder
  vault read -field=role_id "auth/$1/role/$2/role-id" >"$3/role-id.new"
  mv "$3/role-id.new" "$3/role-id"
  [ -s "$3/secret-id" ] && return
  # First whole, then under its name: an Agent must not read half of it.
  vault write -f -field=secret_id "auth/$1/role/$2/secret-id" >"$3/secret-id.new"
  mv "$3/secret-id.new" "$3/secret-id"
  echo "a secret_id for $2 was issued"
}

issue approle-broker broker /broker
issue approle acme /acme
