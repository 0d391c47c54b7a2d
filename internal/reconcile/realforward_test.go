package reconcile_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// Between containers that are known nothing goes but their own packets, and to nobody but their
// host: no ARP and no ND leaves, and a third host hears nothing. The hosts themselves reach remote
// containers too, from their own addresses.
func TestRealStaticFDBReachesOnlyTheDestination(t *testing.T) {
	for name, prefix := range map[string]string{"over IPv4": "198.18.0.", "over IPv6": "fd00:198::"} {
		t.Run(name, func(t *testing.T) {
			hosts := newRealHosts(t, 3, prefix, false)
			a, b, c := hosts[0], hosts[1], hosts[2]
			onA := a.start(2)
			b.start(3)
			c.start(4)
			forwardAll(true, hosts)
			sender := listen(t, onA.Namespace, "eth0")
			leaving, third := listen(t, a.ns, realDevice), listen(t, c.ns, realDevice)
			for _, to := range []string{"10.0.0.3", "fd00:10::3", "10.0.0.201", "fd00:10::201"} { // container, host
				run(t, onA.Namespace, "ping -c 2 -i 0.05 -W 2 "+to)
				run(t, a.ns, "ping -c 2 -i 0.05 -W 2 "+to)
			}
			heard := leaving.until(sender)
			if with(heard, "who-has") || with(heard, "is-at") || with(heard, "nd13") {
				t.Errorf("left host A: %v", heard)
			}
			if got := strings.Count(strings.Join(heard, "\n"), "unicast"); got < 32 {
				t.Errorf("only %d packets of 32 went through the tunnel: %v", got, heard)
			}
			if heard := third.until(sender); len(heard) > 0 {
				t.Errorf("host C heard %v", heard)
			}
		})
	}
}

// A second run finds everything in place; what somebody removed or added comes back or goes,
// whatever it was.
func TestRealForwardingRepairs(t *testing.T) {
	hosts := newRealHosts(t, 2, "198.18.0.", false)
	a, b := hosts[0], hosts[1]
	onA := a.start(2)
	onB := b.start(3)
	forwardAll(true, hosts)
	want := a.forward(true, b)
	for name, alter := range map[string]string{
		"nothing":          "true",
		"device's entry":   fmt.Sprintf("bridge fdb del %s dev %s dst 198.18.0.11 self", onB.MAC, realDevice),
		"bridge's entry":   fmt.Sprintf("bridge fdb del %s dev %s master", onB.MAC, realDevice),
		"neighbours":       "ip neigh flush dev " + realBridge + " nud permanent; ip -6 neigh flush dev " + realBridge + " nud permanent",
		"another VTEP":     fmt.Sprintf("bridge fdb replace %s dev %s dst 198.18.0.99 self permanent", onB.MAC, realDevice),
		"another MAC":      "ip neigh replace 10.0.0.3 lladdr 02:00:00:00:00:99 nud permanent dev " + realBridge,
		"not permanent":    fmt.Sprintf("bridge fdb replace %s dev %s dst 198.18.0.99 self dynamic; ip neigh replace 10.0.0.3 lladdr 02:00:00:00:00:99 nud stale dev %s", onB.MAC, realDevice, realBridge),
		"strangers":        fmt.Sprintf("bridge fdb add 02:00:00:00:00:99 dev %s dst 198.18.0.11 self permanent; ip neigh add 10.0.0.99 lladdr 02:00:00:00:00:99 nud permanent dev %s", realDevice, realBridge),
		"port's flags":     "bridge link set dev " + realDevice + " learning on neigh_suppress off",
		"off the bridge":   "ip link set " + realDevice + " nomaster; ip link set " + realDevice + " master " + realBridge,
		"bridge went down": "ip link set " + realBridge + " down; ip link set " + realBridge + " up",
	} {
		t.Run(name, func(t *testing.T) {
			run(t, a.ns, alter)
			a.network()
			a.applied = 0
			a.forward(true, b)
			if changed := a.applied > 0; changed != (name != "nothing") {
				t.Errorf("%d changes", a.applied)
			}
			a.holds(want)
			a.applied = 0
			if a.forward(true, b); a.applied != 0 {
				t.Errorf("a second run made %d changes", a.applied)
			}
			run(t, onA.Namespace, "ping -c 1 -W 2 10.0.0.3")
		})
	}
}

// holds wants the kernel to have what the plan says.
func (h *realHost) holds(want plan.Forwarding) {
	h.Helper()
	have, err := h.ForwardingTables(realBridge, realDevice, nil)
	if err != nil {
		h.Fatal(err)
	}
	sameSet(h, have.FDB, want.Tables.FDB)
	sameSet(h, have.Static, want.Tables.Static)
	sameSet(h, have.Neighbours, want.Tables.Neighbours)
	l, err := h.Link(realDevice, kernel.FacetFDB)
	if err != nil {
		h.Fatal(err)
	}
	if flags, err := h.PortFlags(realDevice); err != nil || flags != want.Port {
		h.Errorf("port %+v, %v", flags, err)
	}
	floods := 0
	for _, e := range l.FDB {
		floods += boolInt(e.MAC.IsZero())
	}
	if floods != len(h.v.Remotes) {
		h.Errorf("flood entries: %v", l.FDB)
	}
}

// sameSet compares in any order.
func sameSet[E comparable](t testing.TB, have, want []E) {
	t.Helper()
	count := map[E]int{}
	for _, e := range have {
		count[e]++
	}
	for _, e := range want {
		count[e]--
	}
	for e, n := range count {
		if n != 0 {
			t.Errorf("%v: %+d", e, n)
		}
	}
}

// A container that moves from one remote host to another is reached there once its entry is
// replaced, though nothing is learned; when it comes here, at once.
func TestRealContainerMoves(t *testing.T) {
	hosts := newRealHosts(t, 3, "198.18.0.", false)
	a, b, c := hosts[0], hosts[1], hosts[2]
	onA := a.start(2)
	b.start(3)
	forwardAll(true, hosts)
	run(t, onA.Namespace, "ping -c 1 -W 2 10.0.0.3 && ping -c 1 -W 2 fd00:10::3")

	b.stop()
	moved := c.start(3)
	before := a.tables()
	forwardAll(true, hosts)
	if after := a.tables(); len(after.FDB) != len(before.FDB) || len(after.Neighbours) != len(before.Neighbours) {
		t.Errorf("before %v\nafter %v", before, after)
	}
	run(t, onA.Namespace, "ping -c 1 -W 2 10.0.0.3 && ping -c 1 -W 2 fd00:10::3")

	c.stop()
	here := a.start(3)
	if here.MAC != moved.MAC {
		t.Fatal("another MAC")
	}
	// Nobody told this host's bridge yet, but it heard from the container.
	run(t, here.Namespace, "ping -c 1 -W 2 10.0.0.1")
	run(t, onA.Namespace, "ping -c 1 -W 2 10.0.0.3 && ping -c 1 -W 2 fd00:10::3")
	if got := run(t, a.ns, "bridge fdb show br "+realBridge); !strings.Contains(got, here.MAC.String()+" dev veth") {
		t.Errorf("not at the container's port:\n%s", got)
	}
	forwardAll(true, hosts)
	run(t, onA.Namespace, "ping -c 1 -W 2 10.0.0.3 && ping -c 1 -W 2 fd00:10::3")
	run(t, a.ns, "ping -c 1 -W 2 10.0.0.3")
	if got := run(t, a.ns, "ip neigh show nud permanent; bridge fdb show dev "+realDevice); strings.Contains(got, here.MAC.String()) {
		t.Errorf("left of the remote one:\n%s", got)
	}
}

// A container that sends from a remote container's MAC, or from another host's, gets nothing of
// what is for it. A static entry that is not sticky goes over to the forger with the first frame,
// and does not come back.
func TestRealForgedMACDrawsNothing(t *testing.T) {
	hosts := newRealHosts(t, 2, "198.18.0.", false)
	a, b := hosts[0], hosts[1]
	evil, victim := a.start(2), a.start(4)
	onB := b.start(3)
	forwardAll(true, hosts)
	sender := listen(t, evil.Namespace, "eth0")
	for what, mac := range map[string]kernel.MAC{"container": onB.MAC, "bridge": network.BridgeMAC(100, b.v.Local)} {
		forger := evil
		forger.MAC = mac
		sender.send(arp(1, forger, "10.0.0.77", "10.0.0.78"))
		if got := run(t, a.ns, "bridge fdb show br "+realBridge); strings.Contains(got, mac.String()+" dev veth") {
			t.Errorf("the remote %s's MAC is at a port:\n%s", what, got)
		}
	}
	for _, to := range []string{"10.0.0.3", "fd00:10::3", "10.0.0.201"} {
		run(t, victim.Namespace, "ping -c 1 -W 2 "+to)
		run(t, a.ns, "ping -c 1 -W 2 "+to)
	}
}

func (h *realHost) tables() kernel.ForwardingTables {
	h.Helper()
	t, err := h.ForwardingTables(realBridge, realDevice, nil)
	if err != nil {
		h.Fatal(err)
	}
	return t
}

// What neighbour suppression lets out by the tunnel, and what not (net/bridge/br_arp_nd_proxy.c):
// the reason why it is on only where nobody has to learn.
func TestRealWhatSuppressionLetsOut(t *testing.T) {
	for _, staticFDB := range []bool{true, false} {
		hosts := newRealHosts(t, 2, "198.18.0.", !staticFDB)
		a, b := hosts[0], hosts[1]
		onA := a.start(2)
		b.start(3)
		forwardAll(staticFDB, hosts)
		sender, leaving := listen(t, onA.Namespace, "eth0"), listen(t, a.ns, realDevice)
		for _, tt := range []struct {
			what  string
			frame []byte
			out   bool
		}{
			{"request for a known address", arp(1, onA, "10.0.0.2", "10.0.0.3"), !staticFDB},
			{"request for an unknown address", arp(1, onA, "10.0.0.2", "10.0.0.77"), true},
			{"request for the gateway", arp(1, onA, "10.0.0.2", "10.0.0.1"), !staticFDB},
			{"gratuitous request", arp(1, onA, "10.0.0.2", "10.0.0.2"), !staticFDB},
			{"gratuitous reply", arp(2, onA, "10.0.0.2", "10.0.0.2"), !staticFDB},
			{"probe for a duplicate", arp(1, onA, "0.0.0.0", "10.0.0.78"), !staticFDB},
		} {
			sender.send(tt.frame)
			if heard := leaving.until(sender); (len(heard) > 0) != tt.out {
				t.Errorf("staticFDB %t, %s: left host A: %v", staticFDB, tt.what, heard)
			}
		}
		if staticFDB {
			_, _ = try(onA.Namespace, "ping -c 1 -W 0.1 fd00:10::77")
			if heard := leaving.until(sender); !with(heard, "nd135 fd00:10::77") {
				t.Errorf("solicitation for an unknown address: %v", heard)
			}
		}
		run(t, onA.Namespace, "ping -c 1 -W 2 10.0.0.1 && ping -c 1 -W 2 fd00:10::1")
	}
}

// So a question whether somebody has an address must have a sender: without one, as RFC 5227 and
// RFC 4862 want it, it does not leave the bridge.
func TestRealProbeHasTheHostsAddress(t *testing.T) {
	hosts := newRealHosts(t, 2, "198.18.0.", false)
	a, b := hosts[0], hosts[1]
	a.start(2)
	onB := b.start(3)
	forwardAll(true, hosts)
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("fd00:10::3")}
	from := kernel.ProbeSender{MAC: network.BridgeMAC(100, a.v.Local)}
	for _, own := range [][]netip.Addr{nil, a.n.HostAddrs()} {
		from.Addrs = own
		got, err := a.ProbeAddresses(realBridge, from, addrs)
		if err != nil || len(got) != len(own) || len(got) > 0 && got[0].MAC != onB.MAC {
			t.Errorf("by %v: %v, %v", own, got, err)
		}
	}
}

// A host without an agent learns where a container has moved to from its announcement, and is
// reached, though nobody says what it has.
func TestRealMixedWithAHostThatLearns(t *testing.T) {
	hosts := newRealHosts(t, 3, "198.18.0.", true)
	a, b, static := hosts[0], hosts[1], hosts[2]
	onStatic := static.start(4)
	b.start(3)
	onA := a.start(2)
	both := func() { a.forward(false, b); b.forward(false, a) }
	both()
	run(t, onStatic.Namespace, "ping -c 1 -W 2 10.0.0.2 && ping -c 1 -W 2 10.0.0.3")
	run(t, onA.Namespace, "ping -c 1 -W 2 10.0.0.4 && ping -c 1 -W 2 10.0.0.3")
	b.stop()
	a.start(3)
	both()
	run(t, onStatic.Namespace, "ping -c 1 -W 2 10.0.0.3 && ping -c 1 -W 2 10.0.0.2")
	a.stop()
	b.start(3)
	both()
	run(t, onStatic.Namespace, "ping -c 1 -W 2 10.0.0.3")
	run(t, onA.Namespace, "ping -c 1 -W 2 10.0.0.3")
}

// What containers have by themselves, as keepalived does: an address that goes from one host's to
// another's, and one with a MAC of its own. Nobody but the wire tells. Where hosts learn they are
// found at once; a network with static entries takes up to a minute for the first, and for the
// second until the MAC has aged (`learning` in README.md).
func TestRealLearningFollowsWhatNobodyTells(t *testing.T) {
	hosts := newRealHosts(t, 3, "198.18.0.", true)
	a, b, c := hosts[0], hosts[1], hosts[2]
	client, onA, onB, onC := a.start(2), a.start(5), b.start(3), c.start(4)
	forwardAll(false, hosts)
	for _, e := range []network.Endpoint{onA, onB} { // eth0 does not answer for what vrrp has
		run(t, e.Namespace, "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore")
	}
	move := func(addr string, mac kernel.MAC, from, to network.Endpoint, add, del string) {
		run(t, from.Namespace, add)
		run(t, client.Namespace, "ping -c 1 -W 2 "+addr)
		run(t, from.Namespace, del)
		run(t, to.Namespace, add)
		announcer := to
		announcer.MAC = mac
		listen(t, to.Namespace, "eth0").send(arp(1, announcer, addr, addr))
		run(t, client.Namespace, "ping -c 1 -W 2 "+addr)
	}
	move("10.0.0.50", onC.MAC, onB, onC, "ip address add 10.0.0.50/32 dev eth0", "ip address del 10.0.0.50/32 dev eth0")
	const vrrp = "ip link add vrrp link eth0 address 00:00:5e:00:01:0a type macvlan mode bridge && ip address add 10.0.0.60/32 dev vrrp && ip link set vrrp up"
	move("10.0.0.60", kernel.MAC{0, 0, 0x5e, 0, 1, 0x0a}, onA, onB, vrrp, "ip link del vrrp")
}

// A container that another host has just announced has no MAC yet. The kernel has the hosts to flood
// to as entries of that MAC.
func TestRealFloodEntriesStayForAContainerWithoutMAC(t *testing.T) {
	h := newRealHosts(t, 2, "198.18.0.", false)[0]
	for _, partial := range []bool{true, false} {
		f := plan.Forward(h.n, h.v, plan.Known{StaticFDB: true, Partial: partial, Only: &kernel.ForwardingKeys{MACs: []kernel.MAC{{}}}})
		h.applied = 0
		h.applyPlan(forwardingPlan(f))
		if left := run(t, h.ns, "bridge fdb show dev "+realDevice+" | grep ^00:00:00:00:00:00"); !strings.Contains(left, "dst 198.18.0.11") {
			t.Errorf("partial %v: %d changes, and left is %q", partial, h.applied, left)
		}
	}
}
