#!/bin/sh
# Builds this machine's Debian package of an older commit: older.sh COMMIT DIRECTORY. It is older.deb
# there, with a version that every later one is an upgrade of. A clone may lack the commit.
set -eu
commit=$1
out=$2
git="git -c safe.directory=$(pwd)"
if ! date=$($git log -1 --format=%ct "$commit" 2>/dev/null); then
	echo "older.sh: this clone has no commit $commit: fetch the whole history, or name another with OLDER=COMMIT" >&2
	exit 1
fi
dir=$(mktemp -d /var/tmp/vxlan-driver-older.XXXXXX)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
$git archive "$commit" | tar -x -C "$dir"
make -s -C "$dir" packages VERSION=v0.0.1 SOURCE_DATE_EPOCH="$date" ARCHS="$(go env GOARCH)" FORMATS=deb PACKAGES=bin/packages
mkdir -p "$out"
mv "$dir"/bin/packages/*.deb "$out/older.deb"
