#!/bin/sh
# Makes a system extension (systemd-sysext) of the deb package, for hosts whose /usr is read-only:
#
#   sysext.sh vxlan-driver_VERSION_ARCH.deb vxlan-driver        # a directory
#   sysext.sh vxlan-driver_VERSION_ARCH.deb vxlan-driver.raw    # an image; needs mksquashfs
#
# Put the result into /var/lib/extensions on the host, and type `systemd-sysext merge`. With
# systemd-sysext.service enabled it is merged at each boot. systemd then reads the units of the driver;
# an old one, which does not know EXTENSION_RELOAD_MANAGER, needs `systemctl daemon-reload`.
set -eu
package=$1
result=$2
case $result in *.raw) tree=$(mktemp -d) ;; *) tree=$result ;; esac

mkdir -p "$tree"
dpkg-deb --fsys-tarfile "$package" | tar -C "$tree" -x ./usr
# Any distribution: the programs need none of its libraries. systemd is to read the units.
mkdir -p "$tree/usr/lib/extension-release.d"
printf 'ID=_any\nEXTENSION_RELOAD_MANAGER=1\n' >"$tree/usr/lib/extension-release.d/extension-release.vxlan-driver"
# What the package's script enables below /etc.
for service in nftables firewalld; do
	wants=$tree/usr/lib/systemd/system/$service.service.wants
	mkdir -p "$wants"
	ln -sf "../vxlan-reload@.service" "$wants/vxlan-reload@$service.service"
done

case $result in
*.raw)
	mksquashfs "$tree" "$result" -all-root -noappend -quiet
	rm -r "$tree"
	;;
esac
