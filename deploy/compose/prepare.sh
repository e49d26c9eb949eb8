#!/bin/sh
# Makes what must be there before the first `docker compose up`: folders, certificates of a CA of one's own, and .env with the user that
# containers run as. Run it again whenever you like: it keeps what is there, and renews certificates in their last 30 days.
#
#   POSTERN_HOST=tokens.example.com POSTERN_PORT=443 ./prepare.sh
set -eu
umask 077
cd "$(dirname "$0")"

say() { echo "prepare.sh: $*" >&2; }
command -v openssl >/dev/null || { say "openssl is missing: it makes the certificates"; exit 1; }

# What a former run was told.
was() { [ ! -f .env ] || sed -n "s/^$1=//p" .env; }
host=${POSTERN_HOST:-$(was POSTERN_HOST)}
host=$(printf %s "${host:-postern.localhost}" | tr '[:upper:]' '[:lower:]')
port=${POSTERN_PORT:-$(was POSTERN_PORT)}
port=${port:-8443}
case $host in
  *[!A-Za-z0-9.-]* | .* | -* | *. | *..* | '') say "POSTERN_HOST must be the name of a host, such as tokens.example.com"; exit 1 ;;
esac
case $port in
  *[!0-9]* | '' | 0*) say "POSTERN_PORT must be a number from 1 to 65535"; exit 1 ;;
esac
# In a certificate an address is something else, and containers wouldn't find the proxy by it.
case $host in
  *[!0-9.]*) ;;
  *) say "POSTERN_HOST must be the name of a host, not an address"; exit 1 ;;
esac
# In a container it would be the container itself.
[ "$host" != localhost ] || { say "POSTERN_HOST must be a name that leads here from containers too, such as postern.localhost"; exit 1; }
[ "$port" -ge 1 ] && [ "$port" -le 65535 ] || { say "POSTERN_PORT must be from 1 to 65535"; exit 1; }

# As clients compare it: without the port that https has anyway.
issuer=https://$host:$port/
[ "$port" -ne 443 ] || issuer=https://$host/

# Containers run as whoever prepared, so that files which only their owner may read can be mounted.
user=$(id -u) group=$(id -g)
if [ "$user" -eq 0 ]; then
  user=65532 group=65532
elif docker info --format '{{.SecurityOptions}}' 2>/dev/null | grep -q rootless; then
  # In a rootless engine root is whoever started it, and has no more rights.
  user=0 group=0
fi

mkdir -p state/tls state/vault state/keys state/terraform state/broker state/acme
tls=state/tls

# A key and a request, or with -x509 a certificate, of the extensions on stdin. No option of its own that older openssl or LibreSSL lacks.
request() { # name, subject, more arguments of openssl req
  name=$1 subject=$2
  shift 2
  { printf '[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=%s\n[ext]\n' "$subject"; cat; } >"$tls/$name.cnf"
  openssl ecparam -name prime256v1 -genkey -noout -out "$tls/$name.key.new"
  openssl req -new -sha256 -config "$tls/$name.cnf" -key "$tls/$name.key.new" "$@"
}

if [ ! -s $tls/ca.key ]; then
  request ca "Postern Compose CA" -x509 -days 3650 -extensions ext -out $tls/ca.crt <<'EXTENSIONS'
basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
EXTENSIONS
  mv $tls/ca.key.new $tls/ca.key
  rm $tls/ca.cnf
  say "made a CA: $tls/ca.crt is what clients must trust"
fi

certificate() { # name, subject alternative names
  if [ -s "$tls/$1.crt" ] && openssl x509 -in "$tls/$1.crt" -noout -checkend 2592000 >/dev/null &&
    [ "$(cat "$tls/$1.names" 2>/dev/null)" = "$2" ]; then
    return
  fi
  request "$1" "$1" -out "$tls/$1.csr" <<EXTENSIONS
subjectAltName=$2
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
EXTENSIONS
  openssl x509 -req -in "$tls/$1.csr" -CA $tls/ca.crt -CAkey $tls/ca.key -set_serial "0x$(openssl rand -hex 16)" -sha256 -days 397 \
    -extfile "$tls/$1.cnf" -extensions ext -out "$tls/$1.crt.new" 2>/dev/null
  # In place: a file that is mounted is found by its inode.
  cat "$tls/$1.key.new" >"$tls/$1.key"
  cat "$tls/$1.crt.new" >"$tls/$1.crt"
  printf '%s' "$2" >"$tls/$1.names"
  rm "$tls/$1.key.new" "$tls/$1.crt.new" "$tls/$1.csr" "$tls/$1.cnf"
  say "made a certificate of $1 for $2; where it runs already: docker compose restart $1"
}
certificate vault DNS:vault,DNS:localhost,IP:127.0.0.1
certificate nginx "DNS:$host,DNS:localhost,IP:127.0.0.1"
printf 'listen %s ssl;\n' "$port" >$tls/listen.conf

{
  # What else somebody has set stays.
  [ ! -f .env ] || grep -Ev '^(POSTERN_(USER|OWNER|HOST|PORT|ISSUER)=|# Of prepare.sh)' .env || true
  echo "# Of prepare.sh; anything else in this file is yours."
  echo "POSTERN_USER=$user:$group"
  echo "POSTERN_OWNER=uid=$user,gid=$group"
  echo "POSTERN_HOST=$host"
  echo "POSTERN_PORT=$port"
  echo "POSTERN_ISSUER=$issuer"
} >.env.new
mv .env.new .env

if [ "$(id -u)" -eq 0 ]; then
  chown -R "$user:$group" state
  # The CA's key is needed here alone.
  chown 0:0 $tls/ca.key
fi
# Containers read these, whatever the umask of the checkout; where they run as you they may already.
if [ "$(id -u)" -eq 0 ]; then
  chmod a+rX vault agent terraform vault/* agent/* terraform/* nginx.conf customers.tfvars
  find ../../terraform ../../vault-policies \( -type d -o -name '*.tf' -o -name '*.hcl' -o -name '*.js' \) -exec chmod a+rX {} +
fi
say "ready: docker compose up --detach"
