#!/bin/sh
# Runs the tests of packages on a kernel of Debian, in a virtual machine without acceleration:
# run.sh SUITE PACKAGE... The machine's root is the lab's tree of trixie, which it cannot change. A
# kernel is downloaded once, and stays beside the trees. The machine ends after TIMEOUT at the latest.
# FLAGS are given to the tests, as "-test.run TestSent", and MACHINE to the machine. CONSOLE=FILE keeps what the
# kernel has said. What passed is not printed, unless VERBOSE is set.
set -eu
suite=$1
shift
: "${TIMEOUT:=40m}" "${GO:=go}"
cache=${VXLAN_LAB_CACHE:-/var/cache/vxlan-lab}
tree=$cache/trixie/root
here=$(realpath "$(dirname "$0")")

missing=""
for tool in qemu-system-x86_64:qemu-system-x86 depmod:kmod xz:xz-utils cpio:cpio; do
	command -v "${tool%:*}" >/dev/null || missing="$missing ${tool#*:}"
done
# shellcheck disable=SC2086 # a list of packages
[ -z "$missing" ] || apt-get install -qq -y --no-install-recommends $missing >/dev/null

work=$(mktemp -d /var/tmp/vxlan-driver-kernel.XXXXXX)
trap '[ -z "${CONSOLE:-}" ] || cp "$work/console" "$CONSOLE"; rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' INT TERM

# debian calls one of apt's programs, which then knows the suite alone, whatever this machine has.
mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/apt/parts"
touch "$work/apt/status"
mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SITE)' | sed -n 's/^Debian|Debian|//p' | head -n 1)
[ -n "$mirror" ] || { echo "download a kernel of Debian $suite: this machine's apt knows no mirror of Debian" >&2; exit 1; }
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/apt/sources.list"
debian() {
	program=$1
	shift
	"$program" -qq -o Dir::State="$work/apt" -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt" \
		-o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts="$work/apt/parts" \
		-o APT::Architecture=amd64 -o APT::Sandbox::User=root -o Acquire::Languages=none \
		-o Acquire::Check-Valid-Until=false "$@"
}

# download unpacks a kernel into a directory, with the modules for networks and for the machine. Up to
# 6.12 it is one package, with the kernel itself in /boot. Modules are uncompressed, as busybox loads
# them in the machine.
download() {
	# shellcheck disable=SC2086 # a list of packages
	(cd "$work" && debian apt-get download $packages >/dev/null)
	for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/unpacked"; done
	modules=$work/kernel/lib/modules/$version
	mkdir -p "$work/kernel/lib/modules"
	mv "$(find "$work/unpacked" -path "*/lib/modules/$version" -type d)" "$modules"
	find "$work/unpacked/boot" "$work/kernel" -name 'vmlinuz*' -exec mv {} "$work/kernel/vmlinuz" \; 2>/dev/null || true
	(cd "$modules/kernel" && find . -name '*.ko*' \
		! -path './net/*' ! -path './lib/*' ! -path './crypto/*' ! -path './arch/*' ! -path './drivers/virtio/*' ! -path './drivers/net/*' \
		! -path './fs/overlayfs/*' ! -path './fs/9p/*' ! -path './fs/netfs/*' ! -path './fs/fscache/*' -delete)
	rm -rf "$modules/kernel/drivers/net/ethernet" "$modules/kernel/drivers/net/wireless"
	find "$work/kernel" -name '*.ko.xz' -exec xz -d {} +
	depmod -b "$work/kernel" "$version"
	mkdir -p "${1%/*}"
	mv "$work/kernel" "$1"
	rm -rf "$work/unpacked" "$work"/*.deb
}
debian apt-get update
packages=$(debian apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces linux-image-amd64 |
	grep -E '^linux-(image|binary|modules|base)-[0-9]')
version=$(echo "$packages" | sed -n 's/^linux-image-//p')
kernel=$cache/kernels/$version
echo "== $suite: Linux $version"
[ -e "$kernel" ] || download "$kernel"

# The first root has what it takes to mount the other one.
mkdir -p "$work/boot/bin" "$work/boot/modules" "$work/tests"
cp "$tree/usr/bin/busybox" "$work/boot/bin/busybox"
ln -s busybox "$work/boot/bin/sh"
modprobe -d "$kernel" -S "$version" -a --show-depends virtio_pci 9pnet_virtio 9p overlay |
	sed -n 's/^insmod //p' | awk '!seen[$1]++ { print $1 }' >"$work/needed"
while read -r module; do
	cp "$module" "$work/boot/modules/"
	echo "${module##*/}" >>"$work/boot/modules/order"
done <"$work/needed"
cp "$here/init.sh" "$work/boot/init"
(cd "$work/boot" && find . | cpio -o -H newc --quiet | gzip -1 >"$work/initrd")

cp "$here/guest.sh" "$work/tests/"
echo "${FLAGS:-}" >"$work/tests/flags"
for package in "$@"; do
	name=$(basename "$package")
	CGO_ENABLED=0 "$GO" test -c -trimpath -vet=off -o "$work/tests/$name.test" "$package"
	echo "$name" >>"$work/tests/names"
done

# share is a directory of this machine that the other one mounts by its tag.
share() { echo "local,path=$1,mount_tag=$2,security_model=none,multidevs=remap${3:+,$3}"; }
# shellcheck disable=SC2086 # a list of flags
timeout --foreground "$TIMEOUT" nice -n 10 qemu-system-x86_64 -accel tcg ${MACHINE:-} -cpu max -smp 1 -m 1024 \
	-nographic -nodefaults -serial "file:$work/console" -no-reboot -kernel "$kernel/vmlinuz" -initrd "$work/initrd" \
	-append 'console=ttyS0 quiet panic=-1 mitigations=off' \
	-virtfs "$(share "$tree" tree readonly=on)" -virtfs "$(share "$kernel/lib/modules" modules readonly=on)" \
	-virtfs "$(share "$work/tests" tests)" </dev/null || { echo "the machine did not end within $TIMEOUT"; tail -n 20 "$work/console"; }

# What each package's tests say: why some were skipped, all of a package that has failed, and a last
# line, which counts subtests too.
failed=0
while read -r name; do
	said=$work/tests/$name.out
	[ -e "$said" ] || echo "it did not begin" >"$said"
	count() { grep -c "^ *--- $1: " "$said" || true; }
	if [ "$(cat "$work/tests/$name.result" 2>/dev/null)" = 0 ]; then
		result=ok
		[ -z "${VERBOSE:-}" ] || cat "$said"
	else
		result=FAIL
		failed=1
		cat "$said"
	fi
	awk '/^=== RUN/ { name = $3 } /^ *[a-z_]*\.go:[0-9]*: / { sub(/^ *[^ ]* /, ""); why[name] = $0 }
		/^ *--- SKIP: / { print "skipped: " why[$3] }' "$said" | sort | uniq -c
	echo "$result $name: $(count PASS) passed, $(count SKIP) skipped, $(count FAIL) failed, $(cat "$work/tests/$name.time" 2>/dev/null || echo -) s"
done <"$work/tests/names"
exit $failed
