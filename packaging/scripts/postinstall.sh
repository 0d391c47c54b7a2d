#!/bin/sh
# Runs when the files are in place, after a first installation or an upgrade. dpkg calls it with
# "configure" and the old version, rpm with the number of installed versions, pacman with the new
# version and the old one.
set -e

is_upgrade() {
	case "$1" in
	1) false ;;
	[2-9]) true ;;
	*) [ -n "$2" ] ;;
	esac
}

is_active() { systemctl --quiet is-active "$1"; }

# Of these, systemd-udevd reads its files again by itself.
reload_managers() {
	if is_active systemd-networkd; then networkctl reload || true; fi
	if is_active NetworkManager; then systemctl reload NetworkManager || true; fi
}

case "$1" in abort-*) exit 0 ;; esac

if ! is_upgrade "$1" "$2" && command -v systemctl >/dev/null; then
	systemctl --no-reload preset vxlan-reload@firewalld.service vxlan-reload@nftables.service >/dev/null 2>&1 || true
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	reload_managers
fi
# Only rpm has this file.
contexts=/usr/share/selinux/packages/vxlan-driver.cil
if [ -e $contexts ] && command -v selinuxenabled >/dev/null && selinuxenabled; then
	semodule -i $contexts && restorecon -RF /usr/libexec/vxlan /usr/libexec/netavark /etc/vxlan || true
fi
# What `make install` has put there comes first, for Podman and for systemd.
if [ -e /usr/local/libexec/netavark/vxlan ]; then
	echo "vxlan-driver: warning: the programs below /usr/local, of \`make install\`, are used instead of this package's;" \
		"type \`make uninstall DESTDIR=/\` in the checkout, then \`systemctl daemon-reload; systemctl restart vxland.service\`" >&2
fi
# The rules and the agent are those of the old version. Containers keep running meanwhile.
if [ -d /run/vxlan ]; then
	/usr/bin/vxlanctl reload || true
fi
