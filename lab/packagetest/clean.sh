#!/bin/sh
# Installs and purges the packages in a tree that has only Debian's base system, as when an image is
# built: clean.sh SUITE DIRECTORY-WITH-PACKAGES. apt must bring what the package needs. In the tree no
# systemd runs. The rpm and the Arch package are then installed there by rpm and pacman. What they
# depend on comes from packages that have nothing but a name and a version. At last the example for
# Ansible is played twice.
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
mkdir "$root/root/packages"
cp "$packages"/vxlan-driver_*_"$arch".deb "$root/root/packages"
cp -r "$(dirname "$0")/../../examples/ansible" "$root/root/ansible"
# rpm wants its root to be a mount.
enter='mount --bind "$0" "$0" && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
isolated sh -c "$enter" "$root" \
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive sh -eu <<'IN'
fail() { echo "FAIL: $1" >&2; exit 1; }

# What packages and their scripts may leave behind. Of apt, dpkg, pacman, rpm and semodule the databases stay. The
# directory of licences is part of every system with rpm.
list_files() { find /usr /etc /var -xdev ! -path '/var/lib/dpkg*' ! -path '/var/lib/apt*' ! -path '/var/cache/*' ! -path '/var/log/*' \
	! -path '/var/lib/systemd/*' ! -path /usr/share/licenses ! -path '/var/lib/pacman*' ! -path '/var/lib/selinux*' ! -path '*/.rpm*' ! -path '/var/lib/rpm*' | sort; }
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

# ansible-core and python3-apt are for the end, where the tree has no network any more.
apt-get -qq -y --no-install-recommends install rpm rpm2cpio pacman-package-manager policycoreutils selinux-policy-default selinux-utils ansible-core python3-apt iproute2 >/tmp/apt 2>&1 ||
	{ cat /tmp/apt; fail "apt cannot install what the test needs"; }
list_files >/tmp/before
echo "== deb again"
apt-get -qq -y install /root/driver.deb >/dev/null 2>&1
check_installed deb
apt-get -qq -y purge vxlan-driver >/dev/null 2>&1
check_gone deb

# make_rpm makes a package that has nothing: make_rpm NAME VERSION [CAPABILITY].
make_rpm() {
	printf 'Name: %s\nVersion: %s\nRelease: 1\nSummary: none\nLicense: none\nBuildArch: noarch\n%s\n%%description\n%%files\n' \
		"$1" "$2" "${3:+Provides: $3}" >/tmp/"$1".spec
	rpmbuild --quiet --define '_rpmdir /root/rpms' -bb /tmp/"$1".spec >/tmp/rpmbuild 2>&1 || { cat /tmp/rpmbuild; fail "rpmbuild: $1"; }
}
# must_refuse runs a command that must fail with a message: must_refuse MESSAGE COMMAND…
must_refuse() {
	message=$1; shift
	if "$@" >/tmp/refused 2>&1; then fail "$* succeeds"; fi
	grep -q "$message" /tmp/refused || { cat /tmp/refused; fail "$* does not say \"$message\""; }
}

echo "== rpm"
make_rpm base 1 /bin/sh # a script needs it, and to rpm nothing is installed here
make_rpm nftables 1.0
rpm -i /root/rpms/noarch/base-1-1.noarch.rpm
must_refuse 'nftables is needed by vxlan-driver' rpm -i /root/driver.rpm
rpm -i /root/rpms/noarch/nftables-1.0-1.noarch.rpm
make_rpm netavark 1.5
rpm -i /root/rpms/noarch/netavark-1.5-1.noarch.rpm
must_refuse 'netavark >= 1.6 is needed by vxlan-driver' rpm -i /root/driver.rpm
make_rpm netavark 1.6
rpm -U /root/rpms/noarch/netavark-1.6-1.noarch.rpm
rpm -i /root/driver.rpm
check_installed rpm
rpm -V vxlan-driver || fail "rpm: files differ from the package's"
must_refuse 'netavark >= 1.6 is needed by (installed) vxlan-driver' rpm -e netavark
echo 'log_level = "info"' >>/etc/vxlan/vxland.toml
rpm -U --force /root/driver.rpm
grep -q '^log_level' /etc/vxlan/vxland.toml || fail "rpm: an upgrade has replaced the configuration"
check_installed rpm
rpm -e vxlan-driver
[ -e /etc/vxlan/vxland.toml.rpmsave ] || fail "rpm: the configuration is lost"
rm -r /etc/vxlan
check_gone rpm

# As on a host with SELinux: the scripts ask whether it is enabled. The kernel needs none, as the policy
# is only compiled.
echo "== SELinux"
printf 'SELINUX=permissive\nSELINUXTYPE=default\n' >/etc/selinux/config
mv /usr/sbin/selinuxenabled /root/selinuxenabled
ln -s ../bin/true /usr/sbin/selinuxenabled
rpm -i /root/driver.rpm
semodule -l | grep -qx vxlan-driver || fail "the rpm has not installed its SELinux module"
contexts=/etc/selinux/default/contexts/files/file_contexts
while read -r path want; do
	got=$(matchpathcon -n -f $contexts "$path")
	[ "$got" = "system_u:object_r:$want:s0" ] || fail "SELinux: $path is $got, not $want"
	grep -q "^$(dirname "$path" | sed 's,/netavark$,/netavark/vxlan,')" $contexts || fail "SELinux: $path is not from our module"
done <<PATHS
/usr/libexec/netavark/vxlan bin_t
/usr/libexec/vxlan/vxland bin_t
/etc/vxlan/key etc_t
/var/lib/vxlan/host-id var_lib_t
/run/vxlan/lock var_run_t
PATHS
rpm -e vxlan-driver
if semodule -l | grep -qx vxlan-driver; then fail "the rpm has left its SELinux module"; fi
mv /root/selinuxenabled /usr/sbin/selinuxenabled
rm -rf /etc/vxlan
check_gone SELinux

# make_pacman makes a package that has nothing: make_pacman NAME VERSION.
make_pacman() {
	mkdir -p /tmp/empty
	printf 'pkgname = %s\npkgver = %s-1\narch = any\nsize = 0\nbuilddate = 0\npkgdesc = none\npackager = none\n' "$1" "$2" >/tmp/empty/.PKGINFO
	tar -C /tmp/empty -cf "/root/$1-$2.pkg.tar" .PKGINFO
}
echo "== pacman"
ln -sf bash /bin/sh # as on Arch Linux
mkdir -p /var/lib/pacman
# As on Arch Linux, where a file that is given by name needs no signature.
printf '[options]\nArchitecture = auto\nLocalFileSigLevel = Optional\n' >/tmp/pacman.conf
pacman() { command pacman --config /tmp/pacman.conf --noconfirm "$@"; }
add_pacman() { pacman -U --noprogressbar "/root/$1" >/tmp/pacman 2>&1 || { cat /tmp/pacman; fail "pacman cannot install $1"; }; }
make_pacman nftables 1.0
make_pacman netavark 1.5
make_pacman netavark 1.6
add_pacman nftables-1.0.pkg.tar
add_pacman netavark-1.5.pkg.tar
must_refuse "unable to satisfy dependency 'netavark>=1.6' required by vxlan-driver" pacman -U /root/driver.pkg.tar.zst
add_pacman netavark-1.6.pkg.tar
add_pacman driver.pkg.tar.zst
check_installed pacman
pacman -Qkk vxlan-driver >/tmp/pacman 2>&1 || { cat /tmp/pacman; fail "pacman: files differ from the package's"; }
add_pacman driver.pkg.tar.zst
pacman -R vxlan-driver >/dev/null 2>&1 || fail "pacman: cannot be removed"
check_gone pacman

# The example for Ansible: the tree is host-a of the inventory. A second run changes nothing.
echo "== Ansible"
cat >/tmp/host-a <<'HOST'
# Podman looks at its control group.
mount -t sysfs none /sys
mount -t cgroup2 none /sys/fs/cgroup
ip link set lo up
ip link add eth0 type veth peer name cable
ip link set eth0 up
ip link set cable up
ip addr add 192.168.1.10/24 dev eth0
ip route add default via 192.168.1.1
cd /root/ansible
(umask 077; head -c 32 /dev/urandom | base64 >vxlan.key)
export ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=0 STORAGE_DRIVER=vfs
play() {
	ansible-playbook -i hosts.ini --limit host-a -e ansible_connection=local -e packages=/root/packages \
		-e ansible_python_interpreter=/usr/bin/python3 site.yaml >/tmp/play 2>&1 || { cat /tmp/play; exit 1; }
	sed -n 's/^host-a  *: //p' /tmp/play
}
play
play
HOST
plays=$(unshare --net --mount sh -eu /tmp/host-a) || { echo "$plays"; fail "the example for Ansible fails"; }
echo "$plays"
echo "$plays" | sed -n 2p | grep -q ' changed=0 .* failed=0 ' || fail "a second run of the example changes something"
check_installed Ansible
cmp /root/ansible/vxlan.key /etc/vxlan/key && [ "$(stat -c %a /etc/vxlan/key)" = 600 ] || fail "Ansible: the key is not there"
vxlanctl config check
grep -qx 'key_file = "/etc/vxlan/key"' /etc/vxlan/vxland.toml || fail "Ansible: the key is not used"
grep -q '"driver": "vxlan"' /etc/containers/networks/mynet.json || fail "Ansible: there is no network"
IN
echo "== $suite: ok"
