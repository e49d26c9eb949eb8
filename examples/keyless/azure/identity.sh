#!/usr/bin/env bash
# Prints the JWT of this machine's managed identity, for an application of the customer's own that stands for Postern (its Application ID URI).
set -euo pipefail
curl --silent --show-error --fail --max-time 10 --header 'Metadata: true' --get \
  --data-urlencode api-version=2018-02-01 --data-urlencode resource=api://postern \
  "http://${AZURE_METADATA_HOST:-169.254.169.254}/metadata/identity/oauth2/token" | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p'
