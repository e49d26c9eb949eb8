#!/bin/sh
# Initializes Vault where it is new, and opens it whenever it is sealed. With "once" it ends when Vault is open for the first time.
# One key share, which lies on the disk beside the data that it opens: whoever has this disk has all.
set -eu
umask 077
key=/keys/unseal-key

# 0: it is; 2: it is not; anything else: Vault does not answer yet.
initialized() { vault operator init -status >/dev/null 2>&1; }

# 0: open; 2: sealed; anything else: Vault does not answer.
open() { vault status >/dev/null 2>&1; }

waited=0
until state=0; initialized || state=$?; [ "$state" -eq 0 ] || [ "$state" -eq 2 ]; do
  sleep 0.2
  waited=$((waited + 1))
  [ $((waited % 100)) -ne 0 ] || vault operator init -status >&2 || true
done

if [ "$state" -eq 2 ]; then
  echo "Vault is new: initializing it"
  vault operator init -key-shares=1 -key-threshold=1 -format=json >/keys/init.json
fi
if [ -s /keys/init.json ]; then
  sed -n '/"unseal_keys_b64"/{n;s/[^"]*"\([^"]*\)".*/\1/p;}' /keys/init.json | tr -d '\n' >"$key"
  sed -n 's/.*"root_token": *"\([^"]*\)".*/\1/p' /keys/init.json | tr -d '\n' >/keys/root-token
  rm /keys/init.json
fi
if [ ! -s "$key" ]; then
  echo "Vault is initialized, and its unseal key is not in state/keys: unseal it by hand, or start anew with an empty state folder" >&2
  [ "${1:-}" != once ] || exit 1
fi

while :; do
  state=0; open || state=$?
  if [ "$state" -eq 2 ] && [ -s "$key" ]; then
    # A file, so that the key is no argument, which everybody on the machine could read.
    if vault write -format=json sys/unseal key=@"$key" >/dev/null; then echo "Vault was sealed, and is open now"; else sleep 1; fi
  elif [ "$state" -eq 0 ] && [ "${1:-}" = once ]; then
    exit 0
  else
    sleep 1
  fi
done
