#!/bin/bash
# A background process with nothing but curl and sed. The secret goes in by a file descriptor, not by the command line, which
# everybody on the machine can read.
#
#   POSTERN_ISSUER=https://tokens.example.com POSTERN_CLIENT_ID=... POSTERN_CLIENT_SECRET=... \
#       POSTERN_AUDIENCE=https://orders.example.com ./workload.sh https://orders.example.com/orders
set -euo pipefail
: "${1:?the address to call is missing}"

# A refusal says why.
answer=$(curl --silent --show-error --fail-with-body --max-time 10 \
  --config <(printf 'user = "%s:%s"\n' "$POSTERN_CLIENT_ID" "$POSTERN_CLIENT_SECRET") \
  --data-urlencode grant_type=client_credentials \
  --data-urlencode audience="$POSTERN_AUDIENCE" \
  "${POSTERN_ISSUER%/}/oauth/token") || { printf '%s\n' "$answer" >&2; exit 1; }
token=$(printf '%s' "$answer" | sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p')

curl --silent --show-error --fail-with-body --max-time 10 \
  --config <(printf 'header = "Authorization: Bearer %s"\n' "$token") \
  "$1"
