#!/bin/sh
# Installs what the tests and the lab need and this machine lacks, with its own
# package manager. Go is not installed: which one is the user's choice.
set -eu

if ! command -v go >/dev/null; then
	echo "deps: Go 1.26 or newer is needed and not there; see https://go.dev/doc/install" >&2
	exit 1
fi

missing=""
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need ip iproute2
need bridge iproute2
need nft nftables
need ping iputils-ping
need nsenter util-linux
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "deps: missing:$missing; install them, or run this as root" >&2
	exit 1
fi
if ! command -v apt-get >/dev/null; then
	echo "deps: missing:$missing; install them with this system's package manager" >&2
	exit 1
fi
echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of packages
apt-get install -qq -y --no-install-recommends $missing >/dev/null || {
	# The package lists may be old or not there yet.
	apt-get update -qq
	apt-get install -qq -y --no-install-recommends $missing >/dev/null
}
