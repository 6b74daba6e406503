#!/bin/sh
# Puts PXELINUX, with the configuration of KIWI's documentation, into the folder of the TFTP server. Debian packages: pxelinux, syslinux-common.
set -eu
cd "$(dirname "$0")"
mkdir -p /srv/tftpboot/pxelinux.cfg
cp /usr/lib/PXELINUX/pxelinux.0 /usr/lib/syslinux/modules/bios/ldlinux.c32 /srv/tftpboot/
cp pxelinux.cfg/default /srv/tftpboot/pxelinux.cfg/
