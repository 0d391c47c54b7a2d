package doctortest

import "vxlan-driver/lab/labtest"

// furtherFaults are tried as staticFaults are, for what other programs and people do to a host.
var furtherFaults = []fault{
	{name: "proxy ARP of the bridge", inject: "sysctl -qw net.ipv4.conf.br-vxlan-plain.proxy_arp_pvlan=1", code: "VX0102", says: "proxy_arp"},
	{name: "bridge answers no ARP", inject: "sysctl -qw net.ipv4.conf.br-vxlan-plain.arp_ignore=8", code: "VX0102", says: "arp_ignore"},
	{name: "no interface answers ARP", inject: "sysctl -qw net.ipv4.conf.all.arp_ignore=8", code: "VX0102", says: "arp_ignore"},
	{name: "underlay answers no ARP", inject: "sysctl -qw net.ipv4.conf.eth0.arp_ignore=8", code: "VX0102", says: "arp_ignore"},
	{name: "bridge without ARP", inject: "ip link set br-vxlan-plain arp off", code: "VX0402", says: "ARP"},
	{name: "underlay without ARP", inject: "ip link set eth0 arp off", code: "VX0402", says: "ARP"},
	{name: "port hairpin", inject: "bridge link set dev vxlan-plain hairpin on", code: "VX0402", says: "hairpin"},
	{name: "local container behind the tunnel", inject: "bridge fdb replace $(podman inspect -f '{{.NetworkSettings.Networks.plain.MacAddress}}' pb) dev vxlan-plain master static sticky", code: "VX0403", says: "pb behind vxlan-plain"},
	{name: "static entry of the VXLAN device", inject: "bridge fdb replace 02:00:00:00:00:07 dev vxlan-plain dst 198.18.0.77 self permanent", code: "VX0403", says: "198.18.0.77"},
	{name: "wrong neighbour of the bridge", inject: "ip neigh replace 10.1.0.130 lladdr 02:00:00:00:00:99 dev br-vxlan-plain nud permanent; ip neigh replace $(podman inspect -f '{{.NetworkSettings.Networks.plain.IPAddress}}' pb) lladdr 02:00:00:00:00:99 dev br-vxlan-plain nud permanent",
		code: "VX0404", says: "10.1.0."},
	{name: "container's wrong neighbour", inject: inside("pb", "ip neigh replace 10.1.0.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent"), code: "VX0409", says: "container pb", quick: true},
	{name: "container's blackhole", inject: inside("pb", "ip route add blackhole 10.1.0.0/25"), code: "VX0409", says: "container pb"},
	{name: "container's wrong way out", inject: inside("pb", "ip route replace default via 10.1.0.99"), code: "VX0409", says: "container pb"},
	{name: "container's MAC", inject: inside("pb", "ip link set eth0 address 02:00:00:00:00:77"), code: "VX0409", says: "container pb"},
	{name: "container without ARP", inject: inside("pb", "ip link set eth0 arp off"), code: "VX0409", says: "container pb"},
	{name: "container throttled", inject: inside("pb", "tc qdisc add dev eth0 root tbf rate 8kbit burst 2000 latency 1ms"), code: "VX0409", says: "tbf"},
	{name: "underlay throttled", inject: "tc qdisc add dev eth0 root tbf rate 8kbit burst 2000 latency 1ms", code: "VX0505", says: "tbf"},
	{name: "VXLAN device throttled", inject: "tc qdisc add dev vxlan-plain root tbf rate 8kbit burst 2000 latency 1ms", code: "VX0505", says: "tbf"},
	{name: "tc drops what leaves", inject: "tc qdisc replace dev eth0 clsact; tc filter add dev eth0 egress protocol ip u32 match ip dport 4789 0xffff action mirred egress redirect dev lo", code: "VX0505", says: "egress of eth0"},
	{name: "tc drops on the VXLAN device", inject: "tc qdisc replace dev vxlan-plain clsact; tc filter add dev vxlan-plain egress protocol all u32 match u32 0 0 action mirred egress redirect dev lo", code: "VX0505", says: "vxlan-plain"},
	{name: "XDP drops what comes", inject: xdpDrop("eth0"), code: "VX0505", says: "XDP program of eth0", quick: true},
	{name: "egress of a device drops VXLAN", inject: "nft -f - <<'END'\ntable netdev block8 { chain c { type filter hook egress device eth0 priority 0; udp dport 4789 drop; }; }\nEND", code: "VX0502", says: "VXLAN"},
	{name: "VXLAN device drops", inject: "nft -f - <<'END'\ntable netdev block7 { chain c { type filter hook ingress device vxlan-plain priority 0; drop; }; }\nEND", code: "VX0502", says: "frames"},
	{name: "a device drops by its policy", inject: "nft -f - <<'END'\ntable netdev block6 { chain c { type filter hook ingress device eth0 priority 0; policy drop; arp operation 1-2 accept; tcp dport 22 accept; }; }\nEND", code: "VX0502", says: "VXLAN"},
	{name: "ARP dropped on the host", inject: drop("arp", "input", "0", "policy drop"), code: "VX0502", says: "ARP"},
	{name: "ARP dropped on the bridge", inject: drop("bridge", "forward", "0", "ether type arp drop"), code: "VX0502", says: "ARP"},
	{name: "ARP to the gateway dropped", inject: drop("bridge", "input", "0", "ether type arp drop"), code: "VX0502", says: "ARP"},
	{name: "bridge drops all that comes", inject: drop("bridge", "prerouting", "0", "policy drop"), code: "VX0502", says: "frames"},
	{name: "bridge drops all that leaves", inject: drop("bridge", "postrouting", "0", "policy drop"), code: "VX0502", says: "frames"},
	{name: "bridge drops to the host", inject: drop("bridge", "input", "0", "policy drop"), code: "VX0502", says: "this host", quick: true},
	{name: "bridge drops from the host", inject: drop("bridge", "output", "0", "policy drop"), code: "VX0502", says: "this host"},
	{name: "set of bad hosts", inject: "nft -f - <<'END'\ntable inet block5 { set bad { type ipv4_addr; flags interval; elements = { 198.18.0.8/29 }; }; chain c { type filter hook prerouting priority -350; ip saddr @bad drop; }; }\nEND", code: "VX0502", says: "VXLAN"},
	{name: "map of verdicts", inject: "nft -f - <<'END'\ntable inet block4 { chain c { type filter hook input priority 0; udp dport vmap { 53 : accept, 4789 : drop }; }; }\nEND", code: "VX0502", says: "VXLAN"},
	{name: "invalid packets dropped", inject: drop("inet", "input", "0", "ct state untracked drop"), code: "VX0502", says: "VXLAN"},
	{name: "VXLAN redirected", inject: "nft -f - <<'END'\ntable ip blocknat2 { chain c { type nat hook prerouting priority -100; udp dport 4789 redirect to :9; }; }\nEND", code: "VX0305", says: "translates"},
	{name: "IPsec policy", inject: "ip xfrm policy add src 198.18.0.12 dst 198.18.0.11 dir out action block", code: "VX0203", says: "IPsec", quick: true},
	{name: "policy rule for the overlay", inject: "ip rule add to 10.1.0.0/24 blackhole", code: "VX0606", says: "pb"},
	{name: "policy rule for what comes from the bridge", inject: "ip rule add iif br-vxlan-plain prohibit", code: "VX0606", says: "pb"},
	{name: "policy rule for what containers send", inject: "ip rule add from 10.1.0.0/24 unreachable", code: "VX0606", says: "pb"},
	{name: "blackhole in the overlay", inject: "ip route add blackhole 10.1.0.0/25", code: "VX0606", says: "10.1.0.0/25"},
	{name: "route of a container elsewhere", inject: "ip link add dum type veth peer name dum2; ip link set dum up; ip link set dum2 up; ip route add 10.1.0.2/32 dev dum", code: "VX0606", says: "10.1.0.2", after: "ip link delete dum"},
	{name: "underlay in a bridge", inject: "ip link add br0 type bridge; ip link set br0 up; ip link set eth0 master br0", code: "VX0201", says: "br0", after: "ip link delete br0"},
	{name: "underlay renamed", inject: "ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up", code: "VX0201", says: "eth0"},
	{name: "prefix of the underlay's address", inject: "ip address delete 198.18.0.12/24 dev eth0; ip address add 198.18.0.12/32 dev eth0", code: "VX0203", says: "198.18.0.11", after: "ip address delete 198.18.0.12/32 dev eth0; ip address add 198.18.0.12/24 dev eth0"},
	{name: "broken record", inject: "for f in /run/vxlan/networks/*/endpoints/*; do echo '{' > $f; done", code: "VX0106", says: "is damaged"},
	{name: "broken record of the network", inject: "for f in /run/vxlan/networks/*/*; do test -f $f && echo '{' > $f; done; true", code: "VX0106", says: "is damaged"},
	{name: "all records removed", inject: "rm -rf /run/vxlan/*", code: "VX0106", says: "no record"},
	{name: "network's file removed", inject: "rm /etc/containers/networks/plain.json", code: "VX0106", says: "Podman does not know"},
	{name: "network's file damaged", inject: "echo '{' > /etc/containers/networks/plain.json", code: "VX0106", says: "Podman does not know"},
	{name: "plugin on a mount with noexec", inject: "mount -t tmpfs -o noexec tmpfs /mnt; cp /usr/local/libexec/netavark/vxlan /mnt; mount --bind /mnt /usr/local/libexec/netavark", code: "VX0104", says: "plugin", after: "umount /usr/local/libexec/netavark /mnt"},
	{name: "netavark removed", inject: "mv /usr/lib/podman/netavark /tmp/", code: "VX0104", says: "netavark",
		person: decision{"which package of the distribution has it differs", "mv /tmp/netavark /usr/lib/podman/"}},
	{name: "MTU of a container's port", inject: "ip link set $(ls /sys/class/net/br-vxlan-plain/brif | grep -v vxlan) mtu 1300", code: "VX0402", says: "1450"},
	{name: "bridge learns nothing", inject: "bridge link set dev vxlan-plain learning off", code: "VX0402", says: "learning false"},
	{name: "frames of one container dropped", inject: "nft add table bridge blockmac; nft 'add chain bridge blockmac c { type filter hook forward priority 0; }'; " +
		"nft add rule bridge blockmac c ether saddr $(podman inspect -f '{{.NetworkSettings.Networks.plain.MacAddress}}' pb) drop; podman exec pb ping -c 1 -W 1 10.1.0.2 || true", code: "VX0506", says: "frames"},
	{name: "namespace of a container unmounted", code: "VX0111", says: "container pb is not found at /run/netns/",
		inject: "n=$(podman inspect -f '{{.NetworkSettings.SandboxKey}}' pb); umount $n; rm $n"},
	{name: "directories of plugins", inject: "mkdir -p /etc/containers/containers.conf.d; printf '[network]\n" +
		"netavark_plugin_dirs = [\n  \"/opt/netavark\",\n]\n' >/etc/containers/containers.conf.d/50-plugins.conf",
		code: "VX0104", says: "no plugin vxlan where containers.conf says",
		after: "podman restart -t0 pb; rm /etc/containers/containers.conf.d/50-plugins.conf"},
	{name: "rule of routing for the tunnel's port", inject: "ip rule add ipproto udp dport 4789 blackhole", code: "VX0203",
		says: "leads VXLAN packets to host 198.18.0.11 elsewhere"},
	{name: "translation to an address that is gone", code: "VX0506", says: "come from 198.18.0.99",
		inject: "nft 'table ip nat9 { chain c { type nat hook postrouting priority 90; oifname eth0 snat to " +
			"198.18.0.99; }; }'"},
	{name: "router that is gone, bridge down", inject: "ip route add 198.18.0.11 via 198.18.0.99 dev eth0; ip link set br-vxlan-plain down", code: "VX0203", says: "the router 198.18.0.99", then: "VX0402",
		after: "ip route delete 198.18.0.11 || true"},
	{name: "other VNI of a network without an agent", inject: recreatePlain("--opt vni=109") + "; podman exec -d pb ping -i 0.2 10.1.0.77", look: "host-a", host: "host-a", code: "VX0306", says: "the VNI is 109 there and 101 here"}, // the last one: both hosts have that VNI then
}

// recreatePlain is a script that makes the network plain anew, and its container.
func recreatePlain(options string) string {
	const create = "podman network create --driver vxlan --opt local_ip=auto --opt remote_ips=198.18.0.11,198.18.0.12 --opt physical_interface=eth0 --subnet 10.1.0.0/24 --disable-dns "
	return "c=$(podman ps -a --format '{{.Names}}'); podman rm -f -t0 $c >/dev/null; podman network rm plain >/dev/null; " + create + options + " plain >/dev/null; podman run -d --name $c --network plain localhost/web"
}

// furtherAgentFaults are tried as agentFaults are.
var furtherAgentFaults = []fault{
	{name: "output of the other host drops VXLAN", inject: drop("inet", "output", "0", "udp dport 4789 drop"), look: "host-a", code: "VX0502", says: "VXLAN"},
	{name: "input drops the agents' TCP", inject: drop("inet", "input", "0", "tcp dport 7947 drop"), code: "VX0502", says: "messages of the agents"},
	{name: "MTU of the other host's underlay", inject: "ip link set eth0 mtu 1400", look: "host-a", code: "VX0205", says: "1400"},
	{name: "ARP of the other host dropped", inject: "ip neigh flush dev eth0; " + drop("arp", "input", "0", "policy drop"), code: "VX0502", says: "ARP"},
	{name: "other subnet", inject: recreate("--opt vni=100 --subnet 10.9.0.0/24"), code: "VX0605", says: "subnet"},
	{name: "other gateway", inject: recreate("--opt vni=100 --subnet 10.0.0.0/24 --gateway 10.0.0.99"), code: "VX0605", says: "gateway"},
	{name: "address of another container", inject: inside("cb", "ip address add 10.0.0.2/24 dev eth0"), code: "VX0601", says: "10.0.0.2"},
	{name: "key of this host alone", inject: "mkdir -p /etc/vxlan; head -c 32 /dev/urandom | base64 > /etc/vxlan/key; chmod 600 /etc/vxlan/key; echo 'key_file = \"/etc/vxlan/key\"' > /etc/vxlan/vxland.toml; vxlanctl reload", code: "VX0707", says: "key",
		person: decision{"which key the cluster has is for a person to say", "rm /etc/vxlan/vxland.toml; vxlanctl reload; rm /etc/vxlan/key"}},
	{name: "agent of the other host stopped", inject: labtest.FreezeAgent, look: "host-a", host: "host-a",
		code: "VX0706", says: "no contact",
		person: decision{"a host that answers nothing can only be looked at there", labtest.ThawAgent}},
	{name: "agent killed, its messages dropped", inject: "kill -9 $(pgrep ^vxland); " + drop("inet", "input", "0", "udp dport 7947 drop"), code: "VX0502", says: "messages", then: "VX0701"},
	{name: "agent not executable", inject: "chmod 644 /usr/local/bin/vxland; kill -9 $(pgrep ^vxland)", code: "VX0104", says: "cannot be executed"},
}

// xdpDrop is a script that lets a device drop all that comes, before any firewall sees it: a program
// of two instructions, r0 = XDP_DROP and exit.
func xdpDrop(device string) string {
	return `mount -t bpf bpf /sys/fs/bpf; python3 - <<'END'
import ctypes, os, struct
call = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
def bpf(command, *fields):
    attr = struct.pack(*fields).ljust(128, b"\0")
    fd = ctypes.CDLL(None, use_errno=True).syscall(call, command, attr, len(attr))
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return fd
code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xb7, 0, 0, 1, 0x95, 0, 0, 0))
licence, path = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(b"/sys/fs/bpf/drop")
fd = bpf(5, "<IIQQ", 6, 2, ctypes.addressof(code), ctypes.addressof(licence))  # BPF_PROG_LOAD
bpf(6, "<QI", ctypes.addressof(path), fd)  # BPF_OBJ_PIN
END
ip link set dev ` + device + ` xdpgeneric pinned /sys/fs/bpf/drop; umount /sys/fs/bpf`
}
