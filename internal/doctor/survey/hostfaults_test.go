package survey_test

import (
	"maps"
	"os"
	"strings"
	"testing"
)

// hostFault is a way to break a host that needs no Podman. What is printed mends it.
type hostFault struct {
	name, inject, code, says string
	after                    string // takes off the host what the fault needed and what does no harm
	quick                    bool   // it is tried without FAULTS=all too
}

// The container of the other host, and the port of this host's.
const (
	remoteMAC = "02:1f:0a:00:01:0b"
	ownPort   = "$(ls /sys/class/net/br-vxlan-net/brif | grep -v vxlan)"
	inside    = "ip netns exec net-b "
	talk      = inside + "ip neigh flush all; " + inside + "ping -c 1 -W 2 10.0.1.11"
)

// hostFaults are tried on host-b, whose container net-b has talked to net-a on host-a. No agent runs.
var hostFaults = []hostFault{
	{name: "route that lets packets fall through", inject: "ip route add throw 198.18.0.11", code: "VX0203", says: "there is no route", after: "ip route delete 198.18.0.11"},
	{name: "local route to another host", inject: "ip route add local 198.18.0.11 dev lo", code: "VX0203", says: "there is no route"},
	{name: "another host by the bridge", inject: "ip route add 198.18.0.0/28 dev br-vxlan-net", code: "VX0203", says: "leave by br-vxlan-net", after: "ip route delete 198.18.0.0/28 dev br-vxlan-net; ip route delete 198.18.0.11"},
	{name: "next hop that leads nowhere", inject: "ip nexthop add id 1 blackhole; ip route add 198.18.0.11 nhid 1", code: "VX0203", says: "there is no route", after: "ip nexthop delete id 1"},
	{name: "rule of routing for marked packets", inject: "nft 'table inet mk { chain c { type route hook output priority -150; udp dport 4789 meta mark set 66; }; }'; ip rule add fwmark 66 blackhole",
		code: "VX0506", says: "marks packets", after: "ip rule delete fwmark 66; nft delete table inet mk"},
	{name: "range of the underlay without a route", inject: "ip route delete 198.18.0.0/24 dev eth0", code: "VX0203", says: "go to the router 198.18.0.1",
		after: "ip route add 198.18.0.0/24 dev eth0 src 198.18.0.12; ip route delete 198.18.0.11"},
	{name: "subnet without a route", inject: "ip route delete 10.0.1.0/24 dev br-vxlan-net", code: "VX0606", says: "leave by eth0"},
	{name: "gateway's address as source", inject: "ip route replace 10.0.1.0/24 dev br-vxlan-net src 10.0.1.1",
		code: "VX0606", says: "come from the gateway's address"},
	{name: "addresses of the bridge removed", inject: "sysctl -qw net.ipv4.conf.br-vxlan-net.promote_secondaries=0; " +
		"ip address delete 10.0.1.254/24 dev br-vxlan-net", code: "VX0408", says: "lacks the gateway's address"},
	{name: "host's own address on the bridge removed",
		inject: "sysctl -qw net.ipv4.conf.br-vxlan-net.promote_secondaries=1; ip address delete 10.0.1.254/24 dev " +
			"br-vxlan-net", code: "VX0402", says: "in the wrong order"},
	{name: "address of the underlay for this host only", inject: narrow("198.18.0.12/24", "host"),
		code: "VX0201", says: "has the scope host", quick: true},
	{name: "address of the underlay for its link only", inject: narrow("198.18.0.12/24", "link"),
		code: "VX0201", says: "has the scope link"},
	{name: "addresses of the underlay for this host only",
		inject: narrow("198.18.0.12/24", "host") + "; ip address add 198.18.0.13/24 dev eth0 scope host",
		code:   "VX0201", says: "has the scope host",
		after: "ip address delete 198.18.0.13/24 dev eth0"},
	{name: "one address of the underlay for this host only",
		inject: narrow("198.18.0.12/32", "host") + "; ip route add 198.18.0.0/24 dev eth0 src 198.18.0.12",
		code:   "VX0201", says: "has the scope host"},
	{name: "addresses of the bridge for this host only", inject: "ip address flush dev br-vxlan-net; " +
		"for a in 254 1; do ip address add 10.0.1.$a/24 dev br-vxlan-net scope host; done",
		code: "VX0402", says: "order or scope"},
	{name: "addresses of the bridge for this host only, promoted",
		inject: "sysctl -qw net.ipv4.conf.br-vxlan-net.promote_secondaries=1; ip address flush dev br-vxlan-net; " +
			"for a in 254 1; do ip address add 10.0.1.$a/24 dev br-vxlan-net scope link; done",
		code: "VX0402", says: "order or scope"},
	{name: "container's address for itself only", inject: inside + "ip address flush dev eth0; " +
		inside + "ip address add 10.0.1.12/24 dev eth0 scope host; " + inside + "ip route add default via 10.0.1.1",
		code: "VX0409", says: "10.0.1.12"},
	{name: "address of the underlay not taken", inject: "ip route delete local 198.18.0.12 dev eth0 table local", code: "VX0201", says: "does not take packets", quick: true},
	{name: "gateway's address not taken", inject: "ip route delete local 10.0.1.1 dev br-vxlan-net table local", code: "VX0408", says: "does not take packets"},
	{name: "a user sends to another host's VXLAN port", inject: sendAsNobody("198.18.0.11/4789"), code: "VX0509",
		says: "was refused", quick: true},
	{name: "a user sends to this host's VXLAN port", inject: sendAsNobody("127.0.0.1/4789"), code: "VX0509",
		says: "was refused"},
	{name: "IPsec blocks what leaves by default", inject: "ip xfrm policy setdefault out block", code: "VX0203", says: "IPsec"},
	{name: "IPsec blocks what comes by default", inject: "ip xfrm policy setdefault in block", code: "VX0203", says: "IPsec"},
	{name: "IPsec blocks what is forwarded by default", inject: "ip xfrm policy setdefault fwd block", code: "VX0606", says: "IPsec"},
	{name: "one MAC for two hosts", inject: "ping -c 1 -W 1 198.18.0.11; ip link set eth0 address $(ip neigh show 198.18.0.11 dev eth0 | sed 's/.*lladdr \\([^ ]*\\).*/\\1/')", code: "VX0602", says: "one MAC on eth0"},
	{name: "underlay asks for no MACs", inject: "sysctl -qw net.ipv4.neigh.eth0.mcast_solicit=0 net.ipv4.neigh.eth0.ucast_solicit=0; ip neigh flush dev eth0", code: "VX0102", says: "eth0.mcast_solicit"},
	{name: "bridge asks for no MACs", inject: "sysctl -qw net.ipv4.neigh.br-vxlan-net.mcast_solicit=0", code: "VX0102", says: "br-vxlan-net.mcast_solicit"},
	{name: "answers for another host", inject: "ip neigh add proxy 198.18.0.11 dev eth0", code: "VX0307", says: "in place of 198.18.0.11"},
	{name: "answers for another host's container", inject: "ip neigh add proxy 10.0.1.11 dev br-vxlan-net", code: "VX0601", says: "in place of 10.0.1.11"},
	{name: "queue that drops all, on the underlay", inject: "tc qdisc add dev eth0 root blackhole", code: "VX0505", says: "qdisc blackhole of eth0"},
	{name: "queue that drops all, on the bridge", inject: "tc qdisc add dev br-vxlan-net root blackhole", code: "VX0505", says: "qdisc blackhole of br-vxlan-net"},
	{name: "queue that drops all, on a port", inject: "tc qdisc add dev " + ownPort + " root blackhole", code: "VX0505", says: "qdisc blackhole of veth"},

	{name: "program has the tunnel's port", inject: "ip link set vxlan-net down; (python3 -c 'import socket, time; s = socket.socket(2, 2); s.bind((\"\", 4789)); time.sleep(600)' >/dev/null 2>&1 </dev/null &); until ss -Hlun sport = 4789 | grep -q .; do sleep 0.05; done",
		code: "VX0206", says: "the program python3"},
	{name: "VXLAN device for all VNIs", inject: "ip link set vxlan-net down; ip link add cil type vxlan external dstport 4789; ip link set cil up", code: "VX0406", says: "device cil takes"},
	{name: "VXLAN device moved", inject: "ip netns add q; ip link set vxlan-net netns q", code: "VX0401", says: "another network namespace", after: "ip netns delete q", quick: true},
	{name: "source of the VXLAN device", inject: "ip link set vxlan-net type vxlan local 198.18.0.77", code: "VX0402", says: "vxlan-net has other attributes"},
	{name: "interface of the VXLAN device", inject: "ip link set vxlan-net type vxlan dev lo", code: "VX0402", says: "vxlan-net has other attributes"},
	{name: "TTL of the VXLAN device", inject: "ip link set vxlan-net type vxlan ttl 1", code: "VX0402", says: "the TTL 1"},
	{name: "DF of the VXLAN device", inject: "ip link set vxlan-net type vxlan df set", code: "VX0402", says: "df set"},
	{name: "VXLAN device without a carrier", inject: "ip link set vxlan-net protodown on", code: "VX0402", says: "protodown"},
	{name: "gateway behind a foreign port", inject: "ip netns add q; ip link add tap7 type veth peer name eth0 netns q; ip link set tap7 master br-vxlan-net up; ip -n q link set eth0 up; ip -n q address add 10.0.1.1/24 dev eth0",
		code: "VX0604", says: "answers for the gateway's address", after: "ip link delete tap7; ip netns delete q"},
	{name: "MTU of the underlay raised", inject: "ip link set eth0 mtu 9000", code: "VX0205", says: "eth0 has the MTU 9000"},
	{name: "rule that changes VXLAN packets", inject: "nft 'table ip n1 { chain c { type filter hook prerouting priority -400; udp dport 4789 @th,96,24 set 0x000077; }; }'", code: "VX0305", says: "translates"},
	{name: "rule that changes frames", inject: "nft 'table bridge n2 { chain c { type filter hook forward priority 0; ether daddr set 02:00:00:00:00:99; }; }'", code: "VX0506", says: "changes frames"},
	{name: "frames of a remote container dropped", inject: "nft 'table bridge n3 { chain c { type filter hook prerouting priority -300; ether saddr " + remoteMAC + " drop; }; }'", code: "VX0506", says: "may drop frames"},
	{name: "remote container dropped at the VXLAN device", inject: "nft 'table netdev n4 { chain c { type filter hook ingress device vxlan-net priority 0; ether saddr " + remoteMAC + " drop; }; }'", code: "VX0506", says: "may drop frames"},
	{name: "containers not tracked", inject: "nft 'table ip n5 { chain c { type filter hook prerouting priority -400; iifname \"br-vxlan-net\" notrack; }; }'", code: "VX0506", says: "from tracking"},
	{name: "questions of ARP dropped", inject: "nft 'table arp n6 { chain c { type filter hook input priority 0; arp operation request drop; }; }'; ip neigh flush dev br-vxlan-net; " + inside + "ip neigh flush all", code: "VX0506", says: "ARP"},
	{name: "lock that is not given back", inject: "(flock /run/vxlan/lock sleep 600 >/dev/null 2>&1 </dev/null &); sleep 0.2", code: "VX0109", says: "has had the lock"},
	{name: "VNI edited", inject: "sed -i 's/\"101\"/\"102\"/' /etc/containers/networks/net.json", code: "VX0110", says: "vni"},
	{name: "subnet edited", inject: "sed -i 's/10[.]0[.]1[.]/10.0.9./g' /etc/containers/networks/net.json", code: "VX0110", says: "subnets"},
	{name: "directory read-only", inject: "mount -o remount,ro /run", code: "VX0906", says: "/run/vxlan is read-only"},
	{name: "port locked", inject: "bridge link set dev " + ownPort + " locked on", code: "VX0402", says: "locked"},
	{name: "port without flooding", inject: "bridge link set dev " + ownPort + " flood off learning off", code: "VX0402", says: "flood false"},
	{name: "neighbour suppression", inject: "bridge link set dev vxlan-net neigh_suppress on", code: "VX0402", says: "neigh_suppress"},
	{name: "remote container is the bridge's", inject: "bridge fdb replace " + remoteMAC + " dev br-vxlan-net self permanent", code: "VX0403", says: remoteMAC + " is behind br-vxlan-net"},
	{name: "remote container behind a port", inject: "bridge fdb replace " + remoteMAC + " dev " + ownPort + " master static", code: "VX0403", says: remoteMAC + " is behind veth"},
	{name: "remote container behind another host", inject: "bridge fdb replace " + remoteMAC + " dev vxlan-net dst 198.18.0.77 self", code: "VX0403", says: "behind host 198.18.0.77"},
	{name: "remote container behind another port of its host", inject: "bridge fdb replace " + remoteMAC +
		" dev vxlan-net dst 198.18.0.11 port 9999 self permanent", code: "VX0403", says: "behind host 198.18.0.11"},
	{name: "host's neighbour", inject: "ip neigh replace 10.0.1.11 lladdr 02:00:00:00:00:99 dev br-vxlan-net nud permanent", code: "VX0404", says: "10.0.1.11"},

	{name: "container's neighbour on another host", inject: inside + "ip neigh replace 10.0.1.11 lladdr 02:00:00:00:00:99 dev eth0 nud permanent", code: "VX0409", says: "it sends to 10.0.1.11 by the MAC"},
	{name: "container's router that is not there", inject: inside + "ip route add 10.0.1.11 via 10.0.1.99 dev eth0", code: "VX0409", says: "it sends to 10.0.1.99 what is for 10.0.1.11"},
	{name: "container does not take its address", inject: inside + "ip route delete local 10.0.1.12 dev eth0 table local", code: "VX0409", says: "does not take packets"},
	{name: "container answers no ARP", inject: inside + "sysctl -qw net.ipv4.conf.eth0.arp_ignore=8", code: "VX0409", says: "arp_ignore"},
	{name: "container's rule of routing", inject: inside + "ip rule add to 10.0.1.0/24 blackhole", code: "VX0409", says: "a rule that refuses"},
	{name: "container drops what comes", inject: inside + "nft 'table ip f { chain c { type filter hook input priority 0; policy drop; }; }'", code: "VX0409", says: "filters of its own", quick: true},
	{name: "container drops what it sends", inject: inside + "nft 'table ip f { chain c { type filter hook output priority 0; ip daddr 10.0.1.0/24 drop; }; }'", code: "VX0409", says: "filters of its own"},
	{name: "container's IPsec", inject: inside + "ip xfrm policy add src 10.0.1.12 dst 10.0.1.11 dir out action block", code: "VX0409", says: "filters of its own"},
	{name: "container's tc leads away", inject: inside + "tc qdisc add dev eth0 clsact; " + inside + "tc filter add dev eth0 egress protocol all u32 match u32 0 0 action mirred egress redirect dev lo",
		code: "VX0409", says: "filters of its own", after: inside + "tc qdisc delete dev eth0 clsact"},
	{name: "container without its subnet's route", inject: inside + "ip route delete 10.0.1.0/24 dev eth0",
		code: "VX0409", says: "no route to the subnet 10.0.1.0/24"},
	{name: "container's lo down", inject: inside + "ip link set lo down", code: "VX0409", says: "lo is down"},
	{name: "queue without room, on the underlay", inject: "tc qdisc add dev eth0 root pfifo limit 0", code: "VX0505",
		says: "qdisc pfifo of eth0"},
	{name: "queue too small for a packet, on a port", inject: "tc qdisc add dev " + ownPort + " root bfifo limit 10",
		code: "VX0505", says: "qdisc bfifo of veth"},
	{name: "TTL of all packets", inject: "sysctl -qw net.ipv4.ip_default_ttl=1", code: "VX0102",
		says: "ip_default_ttl is 1"},
	{name: "queue without room of another kind", inject: "tc qdisc add dev eth0 root pfifo_head_drop limit 0",
		code: "VX0505",
		says: "qdisc pfifo_head_drop of eth0"},
	{name: "block of filters that devices share", inject: "tc qdisc add dev eth0 ingress_block 1 ingress; " +
		"tc filter add block 1 protocol all u32 match u32 0 0 action mirred egress redirect dev lo", code: "VX0505",
		says: "a block of tc filters of eth0"},
	{name: "filter of the queue", inject: "tc qdisc add dev eth0 root handle 1: htb; tc filter add dev eth0 parent 1: " +
		"protocol all u32 match u32 0 0 action mirred egress redirect dev lo",
		code: "VX0505", says: "a tc filter at the queue of eth0", after: "tc qdisc delete dev eth0 root"},
	{name: "rule of routing for the tunnel's port", inject: "ip rule add ipproto udp dport 4789 blackhole", code: "VX0203",
		says: "leads VXLAN packets to host 198.18.0.11 elsewhere", quick: true},
	{name: "rule of routing for a range of ports", inject: "ip route add default via 198.18.0.99 dev eth0 table 77; " +
		"ip rule add ipproto udp dport 4000-5000 lookup 77; ip rule add ipproto tcp dport 443 lookup 77",
		code: "VX0203", says: "leads VXLAN packets to host 198.18.0.11 elsewhere",
		after: "ip rule delete ipproto tcp dport 443; ip route flush table 77"},
	{name: "one of several routers is gone",
		inject: "ip route add 198.18.0.11 nexthop dev eth0 nexthop via 198.18.0.99 dev eth0", code: "VX0203",
		says: "some packets to host 198.18.0.11 go to the router 198.18.0.99", after: "ip route delete 198.18.0.11"},
	{name: "underlay lent to a virtual machine", inject: "ip link add mv0 link eth0 type macvlan mode passthru; " +
		"ip link set mv0 up; ip neigh flush dev eth0", code: "VX0201", says: "mv0 takes all packets that come to eth0"},
	{name: "container's address is this host's", inject: "ip route add local 10.0.1.12 dev lo", code: "VX0606",
		says: "leave by lo"},
	{name: "container behind a router", inject: "ip route add 10.0.1.12 via 10.0.1.99 dev br-vxlan-net", code: "VX0606",
		says: "sends what is for container net-b to a router"},
	{name: "port for which the bridge answers ARP", inject: "ip link set " + ownPort + " type bridge_slave proxy_arp on",
		code: "VX0402", says: "proxy_arp true"},
	{name: "container's route by another device", inject: inside + "ip route add 10.0.1.0/25 dev lo", code: "VX0409",
		says: "it sends what is for 10.0.1.0/25 by lo and not by eth0"},
	{name: "container's rule of another table", inject: inside + "ip route add default dev lo table 77; " + inside +
		"ip rule add to 10.0.1.0/24 lookup 77", code: "VX0409", says: "by lo and not by eth0",
		after: inside + "ip route flush table 77"},
	{name: "container translates what it sends", inject: inside + "nft 'table ip f { chain c { type nat hook output " +
		"priority -100; ip daddr 10.0.1.0/24 dnat to 192.0.2.7; }; }'", code: "VX0409", says: "translate what it sends"},
	{name: "frames pass the IP firewall", inject: "ip link set br-vxlan-net type bridge nf_call_iptables 1",
		code: "VX0402",
		says: "nf_call_iptables 1"},
	{name: "queue to a program that has ended", inject: "sysctl -qw net.bridge.bridge-nf-call-iptables=1; " +
		"iptables -A FORWARD -j NFQUEUE --queue-num 1", code: "VX0506", says: "may drop packets between its containers",
		after: "nft delete table ip filter; sysctl -qw net.bridge.bridge-nf-call-iptables=0"},
	{name: "namespace of a container unmounted", inject: "ip netns exec net-b sleep 987 >/dev/null 2>&1 </dev/null & " +
		"printf '#!/bin/sh\n[ $1 = inspect ] || exit 0; rm $0; pgrep -fx \"sleep 987\"\n' >/usr/local/bin/podman; " +
		"chmod +x /usr/local/bin/podman; sleep 0.3; umount /run/netns/net-b; rm /run/netns/net-b", code: "VX0111",
		says: "container net-b is not found at /run/netns/net-b", after: "pkill -fx 'sleep 987'"},
	{name: "neighbour that is never asked",
		inject: "ip neigh replace 198.18.0.11 lladdr 02:00:00:00:00:99 dev eth0 nud noarp",
		code:   "VX0207", says: "to host 198.18.0.11 by the MAC 02:00:00:00:00:99"},
	{name: "container's neighbour that is never asked", inject: inside + "ip neigh replace 10.0.1.11 lladdr " +
		"02:00:00:00:00:99 dev eth0 nud noarp", code: "VX0409", says: "it sends to 10.0.1.11 by the MAC"},
	{name: "translation to an address that is gone",
		inject: "iptables -t nat -I POSTROUTING -o eth0 -j SNAT --to-source " +
			"198.18.0.99", code: "VX0506", says: "come from 198.18.0.99, which this host does not have",
		after: "nft delete table ip nat"},
	{name: "containers tracked apart",
		inject: "nft 'table inet z { chain c { type filter hook prerouting priority -300; " +
			"iifname \"br-vxlan-net\" ct zone set 5; }; }'", code: "VX0506", says: "tracks them apart"},
	{name: "directories of plugins",
		inject: "printf '[network]\nnetavark_plugin_dirs = [\n  \"/opt/netavark\",\n]\n[engine]\n' " +
			">/etc/containers/containers.conf", code: "VX0104", says: "no plugin vxlan where containers.conf says"},
	{name: "directory of networks", inject: "mkdir -p /etc/containers/containers.conf.d; " +
		"printf '[network]\nnetwork_config_dir = \"/opt/networks\"\n[engine]\n' >/etc/containers/containers.conf.d/50-x.conf",
		code: "VX0106", says: "looks for networks in another directory"},
	{name: "container's TTL", inject: inside + "sysctl -qw net.ipv4.ip_default_ttl=1", code: "VX0409",
		says: "ip_default_ttl is 1"},
	{name: "container's queue drops all", inject: inside + "tc qdisc add dev eth0 root blackhole", code: "VX0409", says: "qdisc blackhole"},
}

// sendAsNobody sends a packet as an unprivileged process, which is told that it may not.
func sendAsNobody(to string) string {
	return "setpriv --reuid 65534 --clear-groups bash -c 'echo x >/dev/udp/" +
		to + "' 2>&1 | grep 'Operation not permitted'"
}

// narrow gives the underlay its address with another scope than global.
func narrow(address, scope string) string {
	return "ip address delete 198.18.0.12/24 dev eth0; ip address add " + address + " dev eth0 scope " + scope +
		"; ip route replace default via 198.18.0.1 dev eth0 onlink"
}

// startWithoutAgents starts a network whose tunnels no agent tests.
func startWithoutAgents(t *testing.T) *lan {
	l := newLAN(t, 2)
	l.startNetwork("net", false, map[string]string{"vni": "101"})
	l.awaitHealth(t)
	l.hosts[1].sh(talk)
	return l
}

// Faults of hosts without agents are named first, and what is printed mends them.
func TestFaultsWithoutAgents(t *testing.T) {
	t.Parallel()
	l := startWithoutAgents(t)
	for _, f := range hostFaults {
		if !f.quick && os.Getenv("FAULTS") != "all" {
			continue
		}
		if !t.Run(f.name, func(t *testing.T) { l.tryFault(t, f) }) {
			l = startWithoutAgents(t) // it may be broken still
		}
	}
}

func (l *lan) tryFault(t *testing.T, f hostFault) {
	t.Helper()
	b := l.hosts[1]
	for _, h := range l.hosts {
		parent := h.t
		h.t = t
		defer func() { h.t = parent }()
	}
	b.sh(talk)
	b.sh(f.inject)
	found := b.look(t, f.code, "host-b", f.says)
	if len(found.Evidence) == 0 || len(found.Mend) == 0 {
		t.Fatalf("no evidence or no mend: %s", found)
	}
	b.sh(strings.Join(found.Mend, "\n"))
	l.awaitHealth(t)
	if f.after != "" {
		b.sh(f.after)
		l.awaitHealth(t)
	}
}

// A tunnel through which nothing passes is found even if nobody has used it for long: the other host is
// there, and nobody else has the port.
func TestTunnelThatNobodyUses(t *testing.T) {
	t.Parallel()
	l := startWithoutAgents(t)
	l.between("udp dport 4789 drop")
	for _, h := range l.hosts {
		h.sh("bridge fdb show dev vxlan-net | grep -v permanent | while read mac rest; do bridge fdb delete $mac dev vxlan-net self || bridge fdb delete $mac dev vxlan-net master; done 2>/dev/null; " +
			"! bridge fdb show dev vxlan-net | grep dst | grep -v permanent; ip -all netns exec ip neigh flush all")
		h.look(t, "VX0301", h.name, "no VXLAN packet passes")
	}
	l.removeRules()
	l.awaitHealth(t)
}

// Nothing is found on healthy hosts with several kinds of networks, and on a listed host without a
// container of most of them.
func TestHealthyHostsWithoutContainers(t *testing.T) {
	needAll(t)
	l := newLAN(t, 3)
	both := *l
	both.hosts = l.hosts[:2]
	remotes := map[string]string{"remote_ips": l.remotes()}
	options := func(vni string, more ...string) map[string]string {
		all := maps.Clone(remotes)
		all["vni"] = vni
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	both.startNetwork("plain", false, options("101"))
	both.startNetwork("other", false, options("102", "vxlan_port", "4790"))
	l.awaitHealth(t)
	both.startNetwork("named", true, options("103"))
	l.startNetwork("found", true, options("104", "discovery", "gossip"))
	l.awaitHealth(t)
}
