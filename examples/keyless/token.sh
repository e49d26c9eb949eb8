#!/usr/bin/env bash
# Reads the JWT that a workload has from standard input, and prints the access token that Postern gives for it. Neither is ever an
# argument, which everybody on the machine can read, nor an environment variable of another process.
#
#   POSTERN_ISSUER=https://tokens.example.com POSTERN_AUDIENCE=https://orders.example.com ./token.sh < /path/to/jwt
set -euo pipefail
: "${POSTERN_ISSUER:?the address of Postern is missing}" "${POSTERN_AUDIENCE:?the API is missing}"

# A refusal says why, and holds no token.
answer=$(tr -d '\r\n' | curl --silent --show-error --fail-with-body --max-time 10 \
  --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer \
  --data-urlencode assertion@- \
  --data-urlencode audience="$POSTERN_AUDIENCE" \
  ${POSTERN_SCOPE:+--data-urlencode scope="$POSTERN_SCOPE"} \
  "${POSTERN_ISSUER%/}/oauth/token") || { printf '%s\n' "$answer" >&2; exit 1; }
printf '%s' "$answer" | sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p'
