#!/bin/sh
# Puts iPXE and its script into the folder of the servers, and makes an initrd of the files in the folder site. Debian packages: ipxe, cpio.
set -eu
cd "$(dirname "$0")"
mkdir -p /srv/tftpboot/boot
cp /usr/lib/ipxe/undionly.kpxe /usr/lib/ipxe/ipxe.efi boot.ipxe /srv/tftpboot/
(cd site && find . | cpio --quiet -o -H newc -R 0:0) | gzip > /srv/tftpboot/boot/site
