# Prints all that a network driver could leave on a host, a line each, in an order and a form in which two equal states
# print equal texts. Arguments: names of network namespaces (ip netns) to print besides the host's own.
# Left out is what the kernel counts or decides by itself and by time: interface numbers, random MACs, carrier, timers,
# learned forwarding entries, link-local IPv6 addresses, which come some time after their link is up.
set -eu

# Waits, for 1.5 s at most, until the kernel routes all global IPv6 addresses of links that are up. It
# adds those routes after setup has ended: when it handles the event that the link has a carrier
# (linkwatch, then addrconf).
await_ipv6() {
	for try in $(seq 30); do
		routed=$(ip "$@" -6 route show table local)
		missing=$(ip "$@" -6 -o addr show up scope global | awk '{sub("/.*", "", $4); print $4}' |
			while read -r address; do case "$routed " in *"local $address "*) ;; *) echo "$address" ;; esac; done)
		[ -n "$missing" ] || return 0
		sleep 0.05
	done
}

links() {
	await_ipv6 "$@"
	ip "$@" -d -o link | sed -E \
		-e 's/^[0-9]+: //' -e 's/@if[0-9]+:/:/' -e 's/ link-netns[^ ]* [^ \\]+//' -e 's/<[^>]*[<,]UP[,>][^>]*>/up/; s/<UP>/up/; s/<[^>]*>/down/' \
		-e 's/ state [A-Z]+//' -e 's/state (forwarding|disabled|listening|learning|blocking)//' \
		-e 's/ (hello|tcn|topology_change|gc|hold|message_age|forward_delay)_timer +[0-9.]+//g' -e 's/ fdb_n_learned [0-9]+//' \
		-e '/^(veth|vxlan|vx-|v[0-9a-f]{12})/s/link\/ether [0-9a-f:]+//' \
		-e 's/(designated_(root|bridge)|bridge_id|root_id) [^ ]+//g; s/port_(id|no) 0x[0-9]+//g; s/designated_port [0-9]+//' | sort
	ip "$@" -o addr | grep -v ' fe80:' | sed -E -e 's/^[0-9]+: //' | sort
	for family in -4 -6; do
		ip "$@" "$family" route show table all | grep -v -e fe80: -e '^multicast ff00' -e '^ff00' | sed -E 's/ expires [0-9]+sec//; s/ linkdown//' | sort
		ip "$@" "$family" rule
	done
	ip "$@" neigh show nud permanent | sort
}

echo "# host"
links
bridge fdb show | grep -e '^00:00:00:00:00:00' -e static | sort || true
nft list ruleset | sed -E 's/counter packets [0-9]+ bytes [0-9]+/counter/'
for ns; do
	echo "# namespace $ns"
	links -n "$ns"
	# Not ip netns exec, which mounts a sysfs each time and waits for the kernel to unmount it.
	nsenter --net="/run/netns/$ns" sh -c 'nft list ruleset
		grep -rsH "" /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf | grep -v stable_secret | sort'
done
echo "# kernel parameters"
# conntrack's counter, and cookies and tables that the kernel sizes and fills itself.
grep -rsH "" /proc/sys/net | grep -v -e nf_conntrack_count -e stable_secret -e tcp_fastopen_key | sort
echo "# namespaces, mounts"
ls /run/netns 2>/dev/null || true
# The number of a mount is the next free one, and those of netns carry inodes.
awk '$4 !~ /^net:/ {$1 = $2 = $3 = ""; print} $4 ~ /^net:/ {print "netns", $5}' /proc/self/mountinfo | sort
echo "# files"
find /run /etc/sysctl.d /etc/containers /var/lib/containers -xdev ! -path '/run/netns/*' ! -path '/run/lab/*' ! -path '/run/vxlan/lock' \
	! -path '/run/crun*' ! -path '*/storage/*' -printf '%p %y %m\n' 2>/dev/null | sort
find /run/vxlan /run/sysctl.d -type f ! -name lock 2>/dev/null | sort | xargs -r grep -H "" | sed -E 's/"SetUp":[0-9]+/"SetUp":0/'
echo "# processes, netlink and Unix sockets"
# Not this script's own, which are below the shell that runs it. ps would read each process's memory, and wait for it.
cat /proc/[0-9]*/stat 2>/dev/null | sed -E 's/^([0-9]+) \((.*)\) . ([0-9]+) .*/\1 \3 \2/' | sort -n |
	awk -v me=$$ '$1 == me || $2 == me || above[$2] {above[$1] = 1; next} {$1 = $2 = ""; print}' | sort
awk 'NR > 1 {print "netlink protocol", $2}' /proc/net/netlink | sort | uniq -c
ss -xlH | awk '{print $5}' | sort
