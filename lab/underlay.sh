# Turns the process that runs it into the holder of a lab's underlay: the network namespace with the bridge that joins
# the hosts, and the mount namespace with the tmpfs that keeps their files. Embedded in the lab package (underlay.go).
#   LAB_DATA  empty directory on which the tmpfs is mounted
# "ready" on descriptor 3 says that both are there.
set -eu
umask 022
# Slave, not private: this namespace holds a copy of every mount of the machine, and what is unmounted there (a USB
# disk, say) must go here too.
mount --make-rslave /
mount -t tmpfs -o mode=755 vxlan-lab "$LAB_DATA"

# Frames of the underlay must never meet a packet filter, which br_netfilter would otherwise consult in each namespace.
for hook in arptables iptables ip6tables; do
	[ ! -e /proc/sys/net/bridge/bridge-nf-call-$hook ] || echo 0 >/proc/sys/net/bridge/bridge-nf-call-$hook
done
[ ! -e /proc/sys/net/ipv6/conf/default/disable_ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6

# Without a querier on it the bridge would lose multicast groups after some minutes: flood instead.
ip link add underlay type bridge mcast_snooping 0
ip link set underlay up

echo ready >&3
exec 3>&-
exec env -i sleep infinity
