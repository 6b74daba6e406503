#!/bin/sh
# Puts GRUB's images for the network and its menu into the folder of the TFTP server. Debian packages: grub-common, grub-pc-bin,
# grub-efi-amd64-bin.
set -eu
cd "$(dirname "$0")"
grub-mknetdir --net-directory=/srv/tftpboot --subdir=grub
cp grub.cfg /srv/tftpboot/grub/
