#!/bin/sh
# Runs the tests in the machine, as its first process.
export PATH=/usr/sbin:/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
ln -sf busybox /usr/bin/modprobe
echo /usr/bin/modprobe >/proc/sys/kernel/modprobe
modprobe tun # makes /dev/net/tun, which systemd makes of static nodes
ip link set lo up
uptime() { cut -d. -f1 /proc/uptime; }
echo "tests begin after $(uptime) s"
while read -r name; do
	began=$(uptime)
	mkdir "/tmp/$name"
	cd "/tmp/$name"
	# shellcheck disable=SC2046 # a list of flags
	"/tests/$name.test" -test.v -test.timeout 30m $(cat /tests/flags) >"/tests/$name.out" 2>&1 </dev/null
	echo $? >"/tests/$name.result"
	echo $(($(uptime) - began)) >"/tests/$name.time"
done </tests/names
busybox poweroff -f
