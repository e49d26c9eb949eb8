#!/usr/bin/env bash
# Prints the JWT of this machine's service account, from the metadata server: Compute Engine, GKE, Cloud Run.
set -euo pipefail
exec curl --silent --show-error --fail --max-time 10 --header 'Metadata-Flavor: Google' --get \
  --data-urlencode audience=https://tokens.example.com/acme --data-urlencode format=full \
  "http://${GCE_METADATA_HOST:-metadata.google.internal}/computeMetadata/v1/instance/service-accounts/default/identity"
