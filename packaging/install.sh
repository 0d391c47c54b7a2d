#!/bin/sh
# Installs or uninstalls the files that packaging/files lists: install.sh install, or install.sh
# uninstall. DESTDIR and PREFIX are as in the Makefile. With DESTDIR this host is left alone.
# PROGRAMS is the directory of the programs, and TAKER who takes the files, as the list says.
set -eu
umask 022
cd "$(dirname "$0")/.."
: "${PREFIX:=/usr/local}" "${DESTDIR:=}" "${PROGRAMS:=bin}" "${TAKER:=make}"

place() {
	case $1 in
	/*) echo "$DESTDIR$1" ;;
	*) echo "$DESTDIR$PREFIX/$1" ;;
	esac
}

# list_files prints mode, file and place of each file.
list_files() {
	grep -v -e '^#' -e '^$' packaging/files | while read -r mode file path takers; do
		case " ${takers:-$TAKER} " in *" $TAKER "*) ;; *) continue ;; esac
		case $file in
		*/) [ ! -d "$file" ] || find "$file" -type f | while read -r f; do echo "$mode $f $path${f#"$file"}"; done ;;
		*) echo "$mode $file $path" ;;
		esac
	done
}

# Each file is put into place by a rename. Programs may run meanwhile, and none is ever half there.
install_files() {
	list_files | while read -r mode file path; do
		to=$(place "$path")
		case $path in
		/etc/vxlan/*)
			[ ! -e "$to" ] || continue # it is the administrator's
			[ -d "${to%/*}" ] || install -d -m 700 "${to%/*}"
			;;
		*) mkdir -p "${to%/*}" ;;
		esac
		case $file in
		bin/share/* | docs/*) cp "$file" "$to.new" ;;
		bin/*) cp "$PROGRAMS/${file#bin/}" "$to.new" ;;
		*) sed "s|/usr/local/|$PREFIX/|g" "$file" >"$to.new" ;;
		esac
		chmod "$mode" "$to.new"
		mv -f "$to.new" "$to"
	done
}

# is_packaged: a package is installed besides, and has some files below /etc too.
is_packaged() { [ "$PREFIX" != /usr ] && [ -e "$DESTDIR/usr/libexec/netavark/vxlan" ]; }

remove_files() {
	list_files | while read -r _ file path; do
		to=$(place "$path")
		case $path in /etc/vxlan/* | /etc/ufw/*) ! is_packaged || continue ;; esac
		case $path in /etc/vxlan/*) cmp -s "$file" "$to" || continue ;; esac # what was changed stays
		rm -f "$to"
	done
	list_files | while read -r _ _ path; do remove_empty "$path"; done
}

# remove_empty removes directories of a path that have no file below them, but none that a system
# without the driver has. Where a program such as NetworkManager is installed, its directories below
# /etc are its own, even empty ones.
remove_empty() {
	case $1 in
	bin/*) return ;;
	/etc/*) depth=3 ;;
	share/man/*) depth=3 ;;
	*) depth=2 ;;
	esac
	top=$(place "$(echo "$1" | cut -d/ -f "1-$depth")")
	[ ! -d "$top" ] || find "$top" ! -type d | grep -q . || find "$top" -depth -type d -exec rmdir {} +
}

reload_systemd() {
	[ -d /run/systemd/system ] || return 0
	systemctl daemon-reload
	journalctl --update-catalog || true # it explains log messages, no more
}

# An agent that runs is still the old program, and the rules are the old ones.
refresh_host() {
	reload_systemd
	if [ -S /run/vxlan/vxland.sock ]; then "$(place bin/vxlanctl)" reload; fi
}

# The installed tool refuses, and so nothing is removed, while containers use the networks.
clean_host() {
	tool=$(place bin/vxlanctl)
	[ -x "$tool" ] || tool=bin/vxlanctl
	"$tool" cleanup $([ -z "${FORCE:-}" ] || echo --force)
	rm -rf /sys/fs/bpf/vxlan-driver # of an agent that was killed
	# Of an agent in a host that is a container.
	rmdir /sys/fs/cgroup/vxland /sys/fs/cgroup/unified/vxland 2>/dev/null || true
	rm -f /var/lib/vxlan/host-id /var/lib/vxlan/host-id.* /var/lib/vxlan/joining /var/lib/vxlan/key-rotation
	rm -rf /var/lib/vxlan/tokens /var/lib/vxlan/wireguard
	if [ -d /run/wireguard ]; then rmdir --ignore-fail-on-non-empty /run/wireguard; fi # other programs' WireGuard may use it
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
	[ -n "$DESTDIR" ] || reload_systemd
	;;
*)
	echo "usage: install.sh install|uninstall" >&2
	exit 2
	;;
esac
