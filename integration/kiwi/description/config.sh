#!/bin/bash
# Run by KIWI inside the image's root.
set -ex
systemctl enable live-report.service systemd-networkd.service systemd-resolved.service
# Nothing waits for the network: a test without one must not end up degraded after two minutes.
systemctl disable systemd-networkd-wait-online.service
echo 'root:live' | chpasswd
# No message of the day in the middle of the report.
touch /root/.hushlogin
# debootstrap put the building machine's name here; the name is to come from DHCP.
rm -f /etc/hostname
# What the build script put into the bootstrap archive.
rm -f /etc/apt/apt.conf.d/90build-host /etc/dpkg/dpkg.cfg.d/90build-host
