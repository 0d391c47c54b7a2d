#!/bin/sh
# Runs the programs of the arm64 packages on this machine, whatever it is, under emulation:
# emulated.sh DIRECTORY-WITH-PACKAGES. The emulator has no netlink of nftables, so no network is
# built; what a network is made of is computed, and the host's interfaces are looked at.
set -eu
packages=$(realpath "$1")
command -v qemu-aarch64 >/dev/null || apt-get install -qq -y --no-install-recommends qemu-user >/dev/null
command -v rpm2cpio >/dev/null || apt-get install -qq -y --no-install-recommends rpm2cpio >/dev/null
command -v cpio >/dev/null || apt-get install -qq -y --no-install-recommends cpio >/dev/null
dir=$(mktemp -d /var/tmp/vxlan-driver-arm64.XXXXXX)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
fail() {
	echo "FAIL: $1" >&2
	exit 1
}

mkdir "$dir/deb" "$dir/rpm" "$dir/pacman"
dpkg-deb -x "$packages"/vxlan-driver_*_arm64.deb "$dir/deb"
(cd "$dir/rpm" && rpm2cpio "$packages"/vxlan-driver-*.aarch64.rpm | cpio -id --quiet)
tar -C "$dir/pacman" -xf "$packages"/vxlan-driver-*-aarch64.pkg.tar.zst
for program in usr/libexec/netavark/vxlan usr/libexec/vxlan/vxland usr/bin/vxlanctl; do
	for format in rpm pacman; do
		cmp "$dir/deb/$program" "$dir/$format/$program" || fail "$program of $format is another one"
	done
	# The machine's number in the ELF header: 183 is AArch64.
	[ "$(od -An -tu2 -j18 -N2 "$dir/deb/$program" | tr -d ' ')" = 183 ] || fail "$program is not for arm64"
done

# In a network namespace that looks like a host with one interface.
unshare --net --mount sh -eu -s "$dir/deb" <<'IN'
root=$1
fail() { echo "FAIL: $1" >&2; exit 1; }
run() { program=$1; shift; qemu-aarch64 "$root/usr/$program" "$@"; }
mount -t tmpfs none /run
ip link add eth0 type veth peer name cable
ip link set eth0 up
ip link set cable up
ip addr add 192.168.1.10/24 dev eth0
ip route add default via 192.168.1.1

version=$(run bin/vxlanctl --version)
[ "$(run libexec/vxlan/vxland --version | cut -d' ' -f2)" = "${version#* }" ] || fail "agent and tool differ"
run libexec/netavark/vxlan info | grep -q '"api_version":"' || fail "the plugin does not say what it is"
run libexec/vxlan/vxland --check-config --config "$root/etc/vxlan/vxland.toml" | grep -q 'is valid' || fail "the agent refuses its configuration"
run bin/vxlanctl explain VX0302 | grep -q '^VX0302: ' || fail "the tool does not explain"
request='{"name":"net","id":"0123456789012345678901234567890123456789012345678901234567890123","driver":"vxlan","dns_enabled":true,
	"internal":false,"ipv6_enabled":false,"subnets":[{"subnet":"10.0.0.0/24"}],"ipam_options":{"driver":"host-local"},
	"options":{"vni":"100","local_ip":"auto","remote_ips":"192.168.1.10,192.168.1.11","physical_interface":"auto"}}'
answer=$(echo "$request" | run libexec/netavark/vxlan create)
case $answer in
*'"network_interface":"br-vxlan-net"'*'"lease_range":{"end_ip":"10.0.0.126","start_ip":"10.0.0.2"}'*) ;;
*) fail "create answers $answer" ;;
esac
answer=$(echo "$request" | sed 's/"vni":"100"/"vni":"0"/' | run libexec/netavark/vxlan create) && fail "create takes the VNI 0"
case $answer in '{"error":"'*) ;; *) fail "a refusal is $answer" ;; esac
IN
echo "== arm64: ok"
