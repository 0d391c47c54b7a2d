#!/bin/sh
# Installs what the build, the tests and the lab need and this machine lacks, with apt. Go is
# installed only where the system's own is new enough; another is the user's choice.
set -eu

# From 1.21 on, the go command fetches the toolchain that go.mod names by itself.
min_go=21

fail() {
	echo "deps: $1" >&2
	exit 1
}

# go_minor prints 24 for Go 1.24, and nothing without Go.
go_minor() {
	# Not in this directory, since Go before 1.21 does not understand the go.mod here.
	(cd / && GOTOOLCHAIN=local go version 2>/dev/null) | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p'
}

has_go() {
	minor=$(go_minor)
	[ -n "$minor" ] && [ "$minor" -ge "$min_go" ]
}

no_go() {
	fail "Go 1.$min_go or newer is needed${1:+, $1}; see https://go.dev/doc/install, and put its bin directory into PATH"
}

missing=""
need() {
	command -v "$1" >/dev/null && return
	case "$missing " in *" $2 "*) ;; *) missing="$missing $2" ;; esac
}
need ip iproute2
need bridge iproute2
need nft nftables
need ping iputils-ping
need nsenter util-linux
need tcpdump tcpdump
need iptables-nft iptables # writes the rules that tests read
# Tests without these are skipped. The packages of the first two start a server, which not everybody
# wants.
if [ "${CI:-}" = true ]; then
	need promtool prometheus
	need etcd etcd-server
	need etcdctl etcd-client
	need openssl openssl # makes certificates as docs/user/etcd.md says
	need groff groff-base
	need clang-14 clang-14 # the fast path's programs are compared with what it makes of them
	need llvm-strip-14 llvm-14
	need chromium chromium
fi
if [ -z "$missing" ] && has_go; then
	exit 0
fi

if ! command -v apt-get >/dev/null; then
	[ -z "$missing" ] || fail "missing:$missing; install them with this system's package manager"
	no_go
fi
if [ "$(id -u)" != 0 ]; then
	[ -z "$missing" ] || fail "missing:$missing; install them, or run this as root"
	no_go "or run this as root to install the system's"
fi

export DEBIAN_FRONTEND=noninteractive

# apt_options are given to apt in addition.
apt_options=""

# install installs packages. The package lists may be old or not there yet.
# shellcheck disable=SC2086 # a list of options
install() {
	echo "deps: installing $*"
	apt-get $apt_options install -qq -y --no-install-recommends "$@" >/dev/null 2>&1 || {
		apt-get $apt_options update -qq
		apt-get $apt_options install -qq -y --no-install-recommends "$@" >/dev/null
	}
}

# candidate prints 24 if apt would install Go 1.24.
# shellcheck disable=SC2086
candidate() {
	apt-cache $apt_options policy golang-go | sed -n 's/^ *Candidate: \([0-9]*:\)\{0,1\}1\.\([0-9]*\).*/\2/p'
}

new_enough() { [ -n "$1" ] && [ "$1" -ge "$min_go" ]; }

# go_packages are Go, and what it needs to fetch a toolchain.
go_packages="golang-go"
[ -e /etc/ssl/certs/ca-certificates.crt ] || go_packages="$go_packages ca-certificates"

# install_backport installs Go from Debian's backports, on the mirror that apt uses for the release
# itself. The source is not added to the system's configuration.
install_backport() {
	backports="$VERSION_CODENAME-backports"
	mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Identifier: Packages' |
		sed -n "s/^$VERSION_CODENAME //p" | head -n 1)
	[ -n "$mirror" ] || no_go
	parts=$(mktemp -d)
	trap 'rm -rf "$parts"' EXIT
	cp -r /etc/apt/sources.list.d/. "$parts"
	echo "deb $mirror $backports main" >"$parts/vxlan-driver-backports.list"
	apt_options="-o Dir::Etc::SourceParts=$parts"
	# shellcheck disable=SC2086
	apt-get $apt_options update -qq
	apt_options="$apt_options -t $backports"
	new_enough "$(candidate)" || no_go
	install $go_packages
}

# shellcheck disable=SC2086 # a list of packages
install_go() {
	VERSION_CODENAME=""
	ID=""
	. /etc/os-release
	if [ -z "$(candidate)" ]; then
		apt-get update -qq
	fi
	if new_enough "$(candidate)"; then
		install $go_packages
	elif [ "$ID" = debian ] && [ -n "$VERSION_CODENAME" ]; then
		install_backport
	else
		no_go "and this system has none"
	fi
	has_go || no_go "but PATH finds $(command -v go), which is older"
}

if [ -n "$missing" ]; then
	# shellcheck disable=SC2086 # a list of packages
	install $missing
fi
has_go || install_go
