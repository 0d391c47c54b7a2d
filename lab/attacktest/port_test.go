package attacktest

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// With port_security a container can send only with its own addresses, on its host and to others.
func TestPortSecurity(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Host("host-a"), l.Host("host-b")
	createNetwork(t, l.Hosts(), "one", "--opt vni=101 --opt port_security=true --subnet 10.1.0.0/24 --subnet fd00:1::/64")
	evil, friend := runContainer(t, a, "evil", "one"), runContainer(t, b, "friend", "one")
	from := openPort(t, evil.ns)
	for _, victim := range []container{runContainer(t, a, "near", "one"), runContainer(t, b, "far", "one")} {
		stop := keepPinging(t, evil, victim.addr4)
		for _, f := range forgeries(evil, victim, friend) {
			t.Run(f.name+" to "+victim.name, func(t *testing.T) {
				attack := func() { checkErr(t, from.Send(f.frame)) }
				succeeded := receives(t, openPort(t, victim.ns), func(b []byte) bool { return string(b) == string(f.frame) })
				if f.claims.IsValid() {
					flushNeighbour(t, victim, f.claims)
					believed := isPoisoned(t, victim, f.claims, evil.mac)
					succeeded = func(within time.Duration) bool { return believed(within, attack) }
				}
				r := rule{a, "bridge", f.chain, f.rule}
				checkDefence(t, r, attack, succeeded)
			})
		}
		stop()
	}
}

// forgery is a frame that evil sends with another's address.
type forgery struct {
	name        string
	chain, rule string
	claims      netip.Addr // that the victim takes for evil's; invalid: the frame only has to arrive
	frame       []byte
}

func forgeries(evil, victim, friend container) []forgery {
	const secured = "port_security"
	other, ours := netip.AddrPortFrom(friend.addr4, 1000), netip.AddrPortFrom(victim.addr4, 1000)
	other6, ours6 := netip.AddrPortFrom(friend.addr6, 1000), netip.AddrPortFrom(victim.addr6, 1000)
	stranger := packet.MAC{2, 0, 0, 0, 0, 0x66}
	lie := packet.ARP(packet.ARPReply, evil.mac, friend.addr4, victim.mac, victim.addr4)
	all := []forgery{
		{"ARP for a neighbour", secured, "anything else", friend.addr4, packet.Ethernet(victim.mac, evil.mac, packet.TypeARP, lie)},
		{"ARP for a neighbour with a tag", secured, "anything else", friend.addr4, packet.Tagged(packet.Ethernet(victim.mac, evil.mac, packet.TypeARP, lie), 1)},
		{"ARP question from a neighbour's address", secured, "anything else", netip.Addr{},
			packet.Ethernet(victim.mac, evil.mac, packet.TypeARP, packet.ARP(packet.ARPRequest, evil.mac, friend.addr4, packet.MAC{}, victim.addr4))},
		{"advertisement for a neighbour", "nd_advertisement", "advertises another's address", friend.addr6,
			packet.Ethernet(victim.mac, evil.mac, packet.TypeIPv6, packet.Advertisement(evil.addr6, victim.addr6, friend.addr6, evil.mac))},
		{"IPv4 from a neighbour's address", secured, "anything else", netip.Addr{},
			packet.Ethernet(victim.mac, evil.mac, packet.TypeIPv4, packet.UDP(other, ours, []byte("forged")))},
		{"IPv6 from a neighbour's address", secured, "anything else", netip.Addr{},
			packet.Ethernet(victim.mac, evil.mac, packet.TypeIPv6, packet.UDP(other6, ours6, []byte("forged")))},
		{"another MAC", secured, "not from the container's MAC", netip.Addr{},
			packet.Ethernet(victim.mac, stranger, packet.TypeIPv4, packet.UDP(netip.AddrPortFrom(evil.addr4, 1000), ours, []byte("forged")))},
	}
	// Across the tunnel, the rules for the gateway stop it too.
	if victim.host == evil.host {
		all = append(all, forgery{"ARP for a neighbour with two tags", secured, "anything else", friend.addr4, packet.Tagged(packet.Ethernet(victim.mac, evil.mac, packet.TypeARP, lie), 2)})
	}
	return all
}

// A container that sends each frame from a new MAC fills the other hosts' FDBs only up to
// fdb_limit.
func TestMACFlood(t *testing.T) {
	const limit, flood = 50, 2000
	l := startLab(t, 2)
	a, b := l.Host("host-a"), l.Host("host-b")
	createNetwork(t, l.Hosts(), "open", "--opt vni=101 --subnet 10.1.0.0/24")
	createNetwork(t, l.Hosts(), "limited", fmt.Sprintf("--opt vni=102 --opt fdb_limit=%d --subnet 10.2.0.0/24", limit))
	for _, tt := range []struct {
		network string
		most    int
		least   int
	}{{"open", 2 * flood, flood}, {"limited", limit, limit}} {
		t.Run(tt.network, func(t *testing.T) {
			victim, late := runContainer(t, a, tt.network+"-victim", tt.network), runContainer(t, a, tt.network+"-late", tt.network)
			evil, friend := runContainer(t, b, tt.network+"-evil", tt.network), runContainer(t, b, tt.network+"-friend", tt.network)
			stop := keepPinging(t, victim, friend.addr4)
			from := openPort(t, evil.ns)
			for i := range flood {
				mac := packet.MAC{2, 0xbb, 0, 0, byte(i >> 8), byte(i)}
				checkErr(t, from.Send(packet.Ethernet(packet.Broadcast, mac, packet.TypeARP, packet.ARP(packet.ARPRequest, mac, evil.addr4, packet.MAC{}, victim.addr4))))
				if i%100 == 99 {
					time.Sleep(time.Millisecond) // a queue that overflows would spare the FDBs
				}
			}
			got := fdbEntries(t, a, tt.network, tt.least)
			if got > tt.most || got < tt.least {
				t.Errorf("%d entries after a flood of %d MACs, want %d to %d", got, flood, tt.least, tt.most)
			}
			// Containers from before and after the flood are reached, by an entry or by flooding.
			labtest.Sh(t, b, fmt.Sprintf("podman exec %s ping -c1 -W2 %s", friend.name, late.addr4))
			labtest.Sh(t, a, fmt.Sprintf("podman exec %s ping -c1 -W2 %s", late.name, friend.addr4))
			stop()
		})
	}
}

// fdbEntries returns how many entries a VXLAN device has, once there are at least so many.
func fdbEntries(t *testing.T, h *lab.Host, network string, least int) (n int) {
	t.Helper()
	deadline := time.Now().Add(arrivalTimeout)
	for n < least && time.Now().Before(deadline) {
		out := labtest.Sh(t, h, "bridge fdb show dev vxlan-"+network+" | grep -c 'dst 198.18' || true")
		if _, err := fmt.Sscan(out, &n); err != nil {
			t.Fatal(err)
		}
	}
	return n
}
