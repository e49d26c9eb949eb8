#!/bin/sh
# Applies ../../terraform with customers.tfvars. It works on a copy, since what is mounted can't be written to; state and providers stay in
# state/terraform.
set -eu
umask 077
VAULT_TOKEN="$(cat /keys/root-token)"
export VAULT_TOKEN TF_DATA_DIR=/state/data TF_IN_AUTOMATION=true

rm -rf /state/work
mkdir -p /state/work
cp -R /postern/terraform /postern/vault-policies /state/work/
cd /state/work/terraform
# The versions of the providers that the first run took.
[ ! -f /state/lock.hcl ] || cp /state/lock.hcl .terraform.lock.hcl
terraform init -input=false -no-color >/state/init.log 2>&1 || { cat /state/init.log; exit 1; }
cp .terraform.lock.hcl /state/lock.hcl
terraform apply -input=false -no-color -auto-approve -compact-warnings -state=/state/terraform.tfstate -var-file=/config/customers.tfvars
