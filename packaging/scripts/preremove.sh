#!/bin/sh
# Runs before the files go. dpkg calls it with "remove", or "upgrade" and the like; rpm with the number
# of versions that stay installed; pacman with the version, and only for a removal.
set -e
case "$1" in upgrade | failed-upgrade | deconfigure | [1-9]) exit 0 ;; esac

# This refuses while containers use VXLAN networks, and so nothing is removed. Without the directory
# no container was started since the boot. In a chroot the directory is not the host's.
if [ -d /run/vxlan ]; then
	/usr/bin/vxlanctl cleanup
	rm -rf /sys/fs/bpf/vxlan-driver # of an agent that was killed
	rmdir /run/wireguard 2>/dev/null || true # other programs' WireGuard may use it
fi
if command -v systemctl >/dev/null; then
	systemctl --no-reload disable vxland.socket vxland.service vxlan-reload@firewalld.service vxlan-reload@nftables.service >/dev/null 2>&1 || true
fi
