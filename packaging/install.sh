#!/bin/sh
# Installs or uninstalls the files that packaging/files lists: install.sh install, or install.sh
# uninstall. DESTDIR and PREFIX are as in the Makefile. With DESTDIR this host is left alone.
set -eu
cd "$(dirname "$0")/.."
: "${PREFIX:=/usr/local}" "${DESTDIR:=}"

place() {
	case $1 in
	/*) echo "$DESTDIR$1" ;;
	*) echo "$DESTDIR$PREFIX/$1" ;;
	esac
}

# Each file is put into place by a rename. Programs may run meanwhile, and none is ever half there.
install_files() {
	grep -v '^#' packaging/files | while read -r mode file path; do
		to=$(place "$path")
		mkdir -p "$(dirname "$to")"
		case $file in
		bin/*) cp "$file" "$to.new" ;;
		*) sed "s|/usr/local/|$PREFIX/|" "$file" >"$to.new" ;;
		esac
		chmod "$mode" "$to.new"
		mv -f "$to.new" "$to"
	done
}

remove_files() {
	grep -v '^#' packaging/files | while read -r _ _ path; do
		rm -f "$(place "$path")"
	done
	remove_empty libexec/vxlan libexec/netavark lib/systemd/system lib/systemd/network lib/systemd
	# Where NetworkManager is installed, its directory for files is its own, even an empty one.
	[ -e "$(place /etc/NetworkManager/NetworkManager.conf)" ] || remove_empty /etc/NetworkManager/conf.d /etc/NetworkManager
}

remove_empty() {
	for dir; do rmdir --ignore-fail-on-non-empty "$(place "$dir")" 2>/dev/null || true; done
}

has_systemd() { [ -d /run/systemd/system ]; }

# An agent that runs is still the old program, and the rules are the old ones.
refresh_host() {
	if has_systemd; then systemctl daemon-reload; fi
	if [ -S /run/vxlan/vxland.sock ]; then "$(place bin/vxlanctl)" reload; fi
}

# The installed tool refuses, and so nothing is removed, while containers use the networks.
clean_host() {
	tool=$(place bin/vxlanctl)
	[ -x "$tool" ] || tool=bin/vxlanctl
	"$tool" cleanup $([ -z "${FORCE:-}" ] || echo --force)
	# Of an agent in a host that is a container.
	rmdir /sys/fs/cgroup/vxland /sys/fs/cgroup/unified/vxland 2>/dev/null || true
	rm -f /var/lib/vxlan/host-id /var/lib/vxlan/host-id.*
	if [ -d /var/lib/vxlan ]; then rmdir --ignore-fail-on-non-empty /var/lib/vxlan; fi
	for link in /etc/systemd/system/*.wants/vxlan-reload@*.service /etc/systemd/system/*.wants/vxland.*; do
		[ -L "$link" ] || continue
		rm "$link"
		rmdir --ignore-fail-on-non-empty "${link%/*}"
	done
}

case $1 in
install)
	install_files
	[ -n "$DESTDIR" ] || refresh_host
	;;
uninstall)
	[ -n "$DESTDIR" ] || clean_host
	remove_files
	if [ -z "$DESTDIR" ] && has_systemd; then systemctl daemon-reload; fi
	;;
*)
	echo "usage: install.sh install|uninstall" >&2
	exit 2
	;;
esac
