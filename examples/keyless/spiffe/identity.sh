#!/usr/bin/env bash
# Prints this workload's JWT-SVID. SPIRE's server has `jwt_issuer` set, and its OIDC discovery provider serves the keys there.
set -euo pipefail
spire-agent api fetch jwt -audience https://tokens.example.com/acme -output json | sed -n 's/.*"svid" *: *"\([^"]*\)".*/\1/p' | head -n 1
