#!/bin/sh
# Installs and purges the packages in a tree that has only Debian's base system, as when an image is
# built: clean.sh SUITE DIRECTORY-WITH-PACKAGES. apt must bring what the package needs. In the tree no
# systemd runs. The rpm and the Arch package are then installed there by rpm and pacman, which run the
# scripts but know no dependencies on Debian.
set -eu
suite=$1
packages=$(realpath "$2")
arch=$(dpkg --print-architecture)
machine=$(uname -m)
command -v debootstrap >/dev/null || apt-get install -qq -y --no-install-recommends debootstrap
mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SITE)' | sed -n 's/^Debian|Debian|//p' | head -n 1)
root=$(mktemp -d /var/tmp/vxlan-driver-clean.XXXXXX)
trap 'rm -rf --one-file-system "$root" "$root.log"' EXIT
trap 'exit 1' INT TERM

# isolated runs a command whose mounts and processes end with it.
isolated() { unshare --mount --pid --fork --kill-child --mount-proc "$@"; }

echo "== $suite: bootstrapping"
isolated debootstrap --variant=minbase "$suite" "$root" "$mirror" /usr/share/debootstrap/scripts/sid >"$root.log" 2>&1 || { tail "$root.log"; exit 1; }
cp "$packages"/vxlan-driver_*_"$arch".deb "$root/root/driver.deb"
cp "$packages"/vxlan-driver-*."$machine".rpm "$root/root/driver.rpm"
cp "$packages"/vxlan-driver-*-"$machine".pkg.tar.zst "$root/root/driver.pkg.tar.zst"
# rpm wants its root to be a mount.
enter='mount --bind "$0" "$0" && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
isolated sh -c "$enter" "$root" \
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive sh -eu <<'IN'
fail() { echo "FAIL: $1" >&2; exit 1; }

# What packages and their scripts may leave behind. Of apt, dpkg, pacman and rpm the databases stay. The
# directory of licences is part of every system with rpm.
list_files() { find /usr /etc /var -xdev ! -path '/var/lib/dpkg*' ! -path '/var/lib/apt*' ! -path '/var/cache/*' ! -path '/var/log/*' \
	! -path '/var/lib/systemd/*' ! -path /usr/share/licenses ! -path '/var/lib/pacman*' ! -path '*/.rpm*' ! -path '/var/lib/rpm*' | sort; }
check_installed() {
	/usr/bin/vxlanctl --version >/dev/null || fail "$1: vxlanctl does not run"
	/usr/libexec/netavark/vxlan info >/dev/null || fail "$1: the plugin does not run"
	[ "$(stat -c %a /etc/vxlan)" = 700 ] || fail "$1: /etc/vxlan has mode $(stat -c %a /etc/vxlan)"
	for service in nftables firewalld; do
		[ -L /etc/systemd/system/$service.service.wants/vxlan-reload@$service.service ] || fail "$1: no unit is enabled for $service"
	done
}
check_gone() {
	list_files >/tmp/after
	diff /tmp/before /tmp/after || fail "$1: files are left, or missing"
}

# A mirror that is a snapshot has release files of the past.
apt-get -qq -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false update
echo "== apt install"
apt-get -qq -y install /root/driver.deb >/tmp/apt 2>&1 || { cat /tmp/apt; fail "apt cannot install the package"; }
for needed in netavark nft podman; do
	command -v $needed >/dev/null || [ -x /usr/lib/podman/$needed ] || fail "apt did not bring $needed"
done
check_installed deb
dpkg --verify vxlan-driver
apt-get -qq -y purge vxlan-driver >/dev/null 2>&1
[ ! -e /etc/vxlan ] && [ ! -e /usr/libexec/vxlan ] && [ ! -e /etc/systemd/system/nftables.service.wants ] || fail "deb: files are left"

apt-get -qq -y install rpm pacman-package-manager >/dev/null 2>&1
list_files >/tmp/before
echo "== deb again"
apt-get -qq -y install /root/driver.deb >/dev/null 2>&1
check_installed deb
apt-get -qq -y purge vxlan-driver >/dev/null 2>&1
check_gone deb

echo "== rpm"
rpm --nodeps --noverify -i /root/driver.rpm
check_installed rpm
rpm -V --nodeps vxlan-driver || fail "rpm: files differ from the package's"
echo 'log_level = "info"' >>/etc/vxlan/vxland.toml
rpm --nodeps -U --force /root/driver.rpm
grep -q '^log_level' /etc/vxlan/vxland.toml || fail "rpm: an upgrade has replaced the configuration"
check_installed rpm
rpm -e vxlan-driver
[ -e /etc/vxlan/vxland.toml.rpmsave ] || fail "rpm: the configuration is lost"
rm -r /etc/vxlan
check_gone rpm

echo "== pacman"
ln -sf bash /bin/sh # as on Arch Linux
mkdir -p /var/lib/pacman
# As on Arch Linux, where a file that is given by name needs no signature.
printf '[options]\nArchitecture = auto\nLocalFileSigLevel = Optional\n' >/tmp/pacman.conf
pacman() { command pacman --config /tmp/pacman.conf "$@"; }
pacman -Udd --noconfirm --noprogressbar /root/driver.pkg.tar.zst >/tmp/pacman 2>&1 || { cat /tmp/pacman; fail "pacman cannot install the package"; }
check_installed pacman
pacman -Qkk vxlan-driver >/tmp/pacman 2>&1 || { cat /tmp/pacman; fail "pacman: files differ from the package's"; }
pacman -Udd --noconfirm --noprogressbar /root/driver.pkg.tar.zst >/dev/null 2>&1 || fail "pacman: cannot be installed again"
pacman -Rdd --noconfirm --noprogressbar vxlan-driver >/dev/null 2>&1 || fail "pacman: cannot be removed"
check_gone pacman
IN
echo "== $suite: ok"
