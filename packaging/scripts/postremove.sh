#!/bin/sh
# Runs when the files are gone. dpkg calls it with "remove", "purge", or "upgrade" and the like; rpm
# with the number of versions that stay installed; pacman with the version.
set -e
case "$1" in upgrade | failed-upgrade | abort-* | disappear | [1-9]) exit 0 ;; esac
if [ "$1" = purge ]; then
	rm -rf /etc/vxlan /var/lib/vxlan
fi
if [ "$1" = 0 ] && command -v selinuxenabled >/dev/null && selinuxenabled; then
	semodule -r vxlan-driver || true
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
