#!/bin/sh
# Puts Debian's signed shim and GRUB, and GRUB's menu, into the folder of the TFTP server. Debian packages: shim-signed,
# grub-efi-amd64-signed.
set -eu
cd "$(dirname "$0")"
mkdir -p /srv/tftpboot/grub
cp /usr/lib/shim/shimx64.efi.signed /srv/tftpboot/shimx64.efi
cp /usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed /srv/tftpboot/grubx64.efi # the name that shim asks for
cp ../grub/grub.cfg /srv/tftpboot/grub/
