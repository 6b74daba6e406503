#!/bin/sh
# Makes a certification authority for the site, once, and a certificate that it signs for the server, in /srv/ca. Debian package: openssl.
set -eu
mkdir -p /srv/ca
cd /srv/ca
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc"
[ -e ca.pem ] || openssl req -x509 $key -days 3650 -subj "/CN=Boot server authority" -keyout ca.key -out ca.pem
openssl req -x509 $key -days 365 -subj "/CN=192.0.2.1" -keyout server.key -out server.pem -CA ca.pem -CAkey ca.key \
	-addext subjectAltName=IP:192.0.2.1 -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth
