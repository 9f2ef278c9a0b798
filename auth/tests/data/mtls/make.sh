#!/usr/bin/env bash
# Makes the certificates of this folder with openssl, as a second implementation beside rcgen.
set -euo pipefail
cd "$(dirname "$0")"
keys=$(mktemp -d)
trap 'rm -r "$keys"' EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$keys/ca.key" -out "$keys/ca.pem" \
  -days 36500 -subj "/CN=ca" 2>/dev/null

# Usage: issue NAME SUBJECT EXTENSION…
issue() {
  local name=$1 subject=$2
  shift 2
  printf '%s\n' "$@" >"$keys/extensions"
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$keys/leaf.key" -out "$keys/leaf.csr" \
    -subj "$subject" 2>/dev/null
  openssl x509 -req -in "$keys/leaf.csr" -CA "$keys/ca.pem" -CAkey "$keys/ca.key" -CAcreateserial -days 36500 \
    -extfile "$keys/extensions" -outform der -out "$name.der" 2>/dev/null
}

usage="keyUsage=critical,digitalSignature"
id="URI:spiffe://prod.example/billing/api"
issue good / "$usage" "extendedKeyUsage=serverAuth,clientAuth" "basicConstraints=critical,CA:FALSE" \
  "subjectAltName=$id,DNS:billing.example,IP:192.0.2.1,email:a@billing.example"
issue dns "/CN=other.example" "subjectAltName=DNS:Backup.Example"
issue two_uris / "$usage" "subjectAltName=$id,URI:spiffe://prod.example/other"
issue common_name "/CN=backup.example" "$usage"
issue ca / "keyUsage=critical,digitalSignature,keyCertSign" "basicConstraints=critical,CA:TRUE" "subjectAltName=$id"
issue no_usage / "subjectAltName=$id"
issue usage_not_critical / "keyUsage=digitalSignature" "subjectAltName=$id"
issue server_only / "$usage" "extendedKeyUsage=serverAuth" "subjectAltName=$id"
issue other_domain / "$usage" "subjectAltName=URI:spiffe://dev.example/billing"
