package doctortest

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// staticFaults are tried without an agent, which would repair some of them at once.
var staticFaults = []fault{
	{name: "VXLAN device down", inject: "ip link set vxlan-plain down", code: "VX0402", says: "vxlan-plain is down", quick: true},
	{name: "bridge down", inject: "ip link set br-vxlan-plain down", code: "VX0402", says: "br-vxlan-plain is down"},
	{name: "MTU of the VXLAN device", inject: "ip link set vxlan-plain mtu 1280", code: "VX0402", says: "1450"},
	{name: "MTU of the bridge", inject: "ip link set br-vxlan-plain mtu 1300", code: "VX0402", says: "1450"},
	{name: "VXLAN device taken off the bridge", inject: "ip link set vxlan-plain nomaster", code: "VX0402", says: "not a port"},
	{name: "VXLAN device deleted", inject: "ip link delete vxlan-plain", code: "VX0401", says: "vxlan-plain is missing", quick: true},
	{name: "bridge deleted", inject: "ip link delete br-vxlan-plain", code: "VX0401", says: "br-vxlan-plain is missing"},
	{name: "bridge renamed", inject: "ip link set br-vxlan-plain down; ip link set br-vxlan-plain name lost; ip link set lost up", code: "VX0401", says: "missing"},
	{name: "MAC of the bridge", inject: "ip link set br-vxlan-plain address 02:00:00:00:00:99", code: "VX0402", says: "MAC"},
	{name: "addresses flushed", inject: "ip address flush dev br-vxlan-plain", code: "VX0408", says: "10.1.0.1", quick: true},
	{name: "gateway deleted", inject: "ip address delete 10.1.0.1/24 dev br-vxlan-plain", code: "VX0408", says: "10.1.0.1"},
	{name: "foreign address on the bridge", inject: "ip address add 172.30.0.1/24 dev br-vxlan-plain", code: "VX0402", says: "172.30.0.1"},
	{name: "flood entry deleted", inject: "bridge fdb del 00:00:00:00:00:00 dev vxlan-plain dst 198.18.0.11", code: "VX0403", says: "198.18.0.11", quick: true},
	{name: "flood entry to a stranger", inject: "bridge fdb append 00:00:00:00:00:00 dev vxlan-plain dst 198.18.0.77", code: "VX0403", says: "198.18.0.77"},
	{name: "port of a container off the bridge", inject: "ip link set $(ls /sys/class/net/br-vxlan-plain/brif | grep -v vxlan) nomaster", code: "VX0402", says: "not a port"},
	{name: "port of a container down", inject: "ip link set $(ls /sys/class/net/br-vxlan-plain/brif | grep -v vxlan) down", code: "VX0402", says: "is down"},
	{name: "port of a container deleted", inject: "ip link delete $(ls /sys/class/net/br-vxlan-plain/brif | grep -v vxlan)", code: "VX0401", says: "container pb has no interface"},
	{name: "ruleset flushed", inject: "nft flush ruleset", code: "VX0501", says: "missing", quick: true},
	{name: "table deleted", inject: "nft delete table bridge vxlan-driver", code: "VX0501"},
	{name: "rule deleted", inject: "nft flush chain inet vxlan-driver nat_postrouting", code: "VX0501"},
	{name: "set flushed", inject: "nft flush set inet vxlan-driver members4", code: "VX0501", says: "elements"},
	{name: "forwarding off", inject: "sysctl -qw net.ipv4.ip_forward=0", code: "VX0102", says: "ip_forward", quick: true},
	{name: "forwarding of the underlay off", inject: "sysctl -qw net.ipv4.conf.eth0.forwarding=0", code: "VX0102", says: "eth0.forwarding"},
	{name: "rp_filter of the bridge", inject: "sysctl -qw net.ipv4.conf.br-vxlan-plain.rp_filter=1", code: "VX0102", says: "rp_filter"},
	{name: "forwarding of the bridge off", inject: "sysctl -qw net.ipv4.conf.br-vxlan-plain.forwarding=0", code: "VX0102", says: "forwarding"},
	{name: "underlay down", inject: "ip link set eth0 down", code: "VX0201", says: "eth0 is down", quick: true},
	{name: "address of the underlay lost", inject: "ip address delete 198.18.0.12/24 dev eth0", code: "VX0201", says: "198.18.0.12"},
	{name: "MTU of the underlay", inject: "ip link set eth0 mtu 1400", code: "VX0205", says: "1400"},
	{name: "blackhole route", inject: "ip route add blackhole 198.18.0.11", code: "VX0203", says: "198.18.0.11", quick: true},
	{name: "unreachable route", inject: "ip route add unreachable 198.18.0.0/28", code: "VX0203", says: "198.18.0.11"},
	{name: "policy rule", inject: "ip rule add to 198.18.0.11 prohibit", code: "VX0203", says: "198.18.0.11"},
	{name: "policy rule to an empty table", inject: "ip rule add from 198.18.0.12 blackhole pref 100", code: "VX0203", says: "198.18.0.11"},
	{name: "route by another interface", inject: "ip link add dum type veth peer name dum2; ip link set dum up; ip link set dum2 up; ip address add 192.0.2.1/24 dev dum; ip route add 198.18.0.11 dev dum",
		code: "VX0203", says: "leave by dum", after: "ip link delete dum; ip route delete 198.18.0.11 || true"},
	{name: "route with another source", inject: "ip address add 198.18.0.99/24 dev eth0; ip route add 198.18.0.11 dev eth0 src 198.18.0.99", code: "VX0204", says: "198.18.0.99",
		after: "ip route delete 198.18.0.11; ip address delete 198.18.0.99/24 dev eth0"},
	{name: "route with a small MTU", inject: "ip route add 198.18.0.11 dev eth0 mtu 1300", code: "VX0205", says: "1300", after: "ip route delete 198.18.0.11"},
	{name: "input drops VXLAN", inject: drop("inet", "input", "0", "udp dport 4789 drop"), code: "VX0502", says: "chain c of table inet block", quick: true},
	{name: "output drops VXLAN", inject: drop("ip", "output", "0", "udp dport 4789 drop"), code: "VX0502", says: "VXLAN"},
	{name: "prerouting drops VXLAN", inject: drop("inet", "prerouting", "-400", "udp dport 4789 drop"), code: "VX0502", says: "VXLAN"},
	{name: "postrouting drops VXLAN", inject: drop("inet", "postrouting", "0", "udp dport 4789 drop"), code: "VX0502", says: "VXLAN"},
	{name: "a device drops VXLAN", inject: `nft -f - <<'END'
table netdev block9 { chain c { type filter hook ingress device eth0 priority 0; udp dport 4789 drop; }; }
END`, code: "VX0502", says: "VXLAN"},
	{name: "input with the policy drop", inject: drop("inet", "input", "0", "policy drop; iif lo accept; ct state established,related accept; tcp dport 22 accept"), code: "VX0502", says: "VXLAN"},
	{name: "forward with the policy drop", inject: drop("ip", "forward", "0", "policy drop"), code: "VX0502", says: "outside"},
	{name: "bridge with the policy drop", inject: drop("bridge", "forward", "0", "policy drop"), code: "VX0502", says: "frames"},
	{name: "one host rejected", inject: drop("ip", "input", "-10", "ip saddr 198.18.0.11 drop"), code: "VX0502", says: "VXLAN"},
	{name: "tc drops at the underlay", inject: "tc qdisc replace dev eth0 clsact; tc filter add dev eth0 ingress protocol ip u32 match ip protocol 17 0xff action mirred egress redirect dev lo", code: "VX0505", says: "ingress of eth0"},
	{name: "foreign device with the VNI", inject: "ip link delete vxlan-plain; ip link add other type vxlan id 101 dstport 4789 local 198.18.0.12 dev eth0", code: "VX0406", says: "device other", quick: true},
	{name: "foreign device with the name", inject: "ip link delete vxlan-plain; ip link add vxlan-plain type veth peer name x; ip link set vxlan-plain up alias somebody", code: "VX0406", says: "vxlan-plain"},
	{name: "route for the subnet", inject: "ip link add dum type veth peer name dum2; ip link set dum up; ip link set dum2 up; ip address add 192.0.2.1/24 dev dum; ip route add 10.1.0.128/25 dev dum",
		code: "VX0606", says: "dum", after: "ip link delete dum"},
	{name: "container's address deleted", inject: inside("pb", "ip address flush dev eth0"), code: "VX0409", says: "container pb", quick: true},
	{name: "container's interface down", inject: inside("pb", "ip link set eth0 down"), code: "VX0409", says: "container pb"},
	{name: "container's default route deleted", inject: inside("pb", "ip route delete default"), code: "VX0409", says: "container pb"},
	{name: "container's MTU", inject: inside("pb", "ip link set eth0 mtu 600"), code: "VX0409", says: "container pb"},
	{name: "container with the gateway's address", inject: inside("pb", "ip address add 10.1.0.1/24 dev eth0"), code: "VX0604", says: "10.1.0.1"},
	{name: "another host with the underlay's address", on: "outside", look: "host-b", host: "host-b", inject: "ip address add 198.18.0.12/24 dev eth0", code: "VX0307", says: "198.18.0.12",
		person: decision{"the other host is none of ours, and which of the two keeps the address is for a person to say", "ip address delete 198.18.0.12/24 dev eth0"}},
	{name: "flooding off", inject: "bridge link set dev vxlan-plain flood off mcast_flood off", code: "VX0402", says: "flood"},
	{name: "port isolated", inject: "bridge link set dev vxlan-plain isolated on", code: "VX0402", says: "isolated"},
	{name: "port disabled", inject: "bridge link set dev vxlan-plain state 0", code: "VX0402", says: "state disabled"},
	{name: "spanning tree", inject: "ip link set br-vxlan-plain type bridge stp_state 1", code: "VX0402", says: "stp_state"},
	{name: "wrong neighbour on the underlay", inject: "ip neigh replace 198.18.0.11 lladdr 02:00:00:00:00:99 dev eth0 nud permanent", code: "VX0207", says: "198.18.0.11", quick: true},
	{name: "translation of the tunnel", inject: "nft -f - <<'END'\ntable ip blocknat { chain c { type nat hook postrouting priority 100; udp dport 4789 snat to 198.18.0.99; }; }\nEND", code: "VX0305", says: "translates"},
	{name: "rule in the driver's table", inject: "nft insert rule inet vxlan-driver forward drop", code: "VX0501"},
	{name: "container with a firewall", inject: inside("pb", "nft -f - <<'END'\ntable arp f { chain c { type filter hook input priority 0; policy drop; }; }\nEND"), code: "VX0409", says: "filters of its own"},
	{name: "record removed", inject: "rm /run/vxlan/networks/*/endpoints/*", code: "VX0106", says: "no record"},
	{name: "underlay down, ruleset flushed", inject: "ip link set eth0 down; nft flush ruleset", code: "VX0201", says: "eth0 is down", then: "VX0501"},
	{name: "ruleset flushed, bridge down", inject: "nft flush ruleset; ip link set br-vxlan-plain down", code: "VX0402", says: "br-vxlan-plain is down"},
	{name: "plugin not executable", inject: "chmod 644 /usr/local/libexec/netavark/vxlan", code: "VX0104", says: "plugin"},
	{name: "plugin missing", inject: "mv /usr/local/libexec/netavark/vxlan /tmp/vxlan", code: "VX0104", says: "plugin",
		person: decision{"how the driver was installed is not known on a host without its package", "mv /tmp/vxlan /usr/local/libexec/netavark/vxlan"}},
}

// drop is a script that adds a chain of another program, in a table that no fault had before.
func drop(family, hook, priority, rules string) string {
	blocks++
	return "nft -f - <<'END'\ntable " + family + " " + fmt.Sprint("block", blocks) + " { chain c { type filter hook " + hook + " priority " + priority + "; " + rules + "; }; }\nEND"
}

var blocks int // tables so far

// inside is a script that runs a command in a container's network namespace.
func inside(container, command string) string {
	return "nsenter --net=$(podman inspect -f '{{.NetworkSettings.SandboxKey}}' " + container + ") " + command
}

func startStatic(t *testing.T) *lab.Lab {
	l := labtest.Start(t, lab.Config{Hosts: 2, Outside: true, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, "ip route add default via 198.18.0.1 dev eth0")
	}
	labtest.CreateNetwork(t, l, "plain", "--opt vni=101 --subnet 10.1.0.0/24 --disable-dns")
	for i, h := range l.Hosts() {
		labtest.Sh(t, h, "podman run -d --name p"+string(rune('a'+i))+" --network plain localhost/web")
	}
	return l
}

func TestStaticFaults(t *testing.T) {
	shorten(t, &findingTime, 8*time.Second) // no agent has to notice anything
	shorten(t, &healthTime, 15*time.Second)
	l := startStatic(t)
	began := time.Now()
	awaitHealth(t, l.Hosts()...)
	t.Log("a healthy pair of hosts takes", time.Since(began))
	for _, f := range chosen(slices.Concat(staticFaults, furtherFaults)) {
		if !t.Run(f.name, func(t *testing.T) { tryFault(t, l, f) }) { // it may be broken still
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = startStatic(t)
		}
		for _, h := range l.Hosts() { // an interface that was down has lost it
			labtest.Sh(t, h, "ip route replace default via 198.18.0.1 dev eth0")
		}
	}
}

// chosen are the faults that are tried: a few, or with FAULTS=all, as `make faults` sets it, all. Any
// other value of FAULTS is a regular expression for their names.
func chosen[F namedFault](all []F) []F {
	pattern := os.Getenv("FAULTS")
	if pattern == "all" {
		return all
	}
	wanted := regexp.MustCompile(pattern)
	return slices.DeleteFunc(slices.Clone(all), func(f F) bool {
		name, quick := f.nameAndSpeed()
		return pattern == "" && !quick || !wanted.MatchString(name)
	})
}

// namedFault is any kind of fault.
type namedFault interface {
	nameAndSpeed() (name string, quick bool)
}

func (f fault) nameAndSpeed() (string, bool)         { return f.name, f.quick }
func (f underlayFault) nameAndSpeed() (string, bool) { return f.name, f.quick }
