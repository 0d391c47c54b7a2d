package bpfpath

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netstack"
)

const (
	tablePins = "ports remotes sources takers tunnels valid_jiffies wireguard wireguard_ends"
	allPins   = "addresses counts former hops hops_jiffies locals narrow_until networks/vx:0/device " +
		"networks/vx:0/port-02000a000001 networks/vx:0/underlay " + tablePins
)

// containerB is where the container of host 2 listens.
const containerB = "10.0.0.2:5000"

// takes tells whether the programs of both hosts take a datagram and its answer. A ping before lets the
// neighbours find each other.
func takes(a, b *realHost) bool {
	a.Helper()
	a.in("ping -c 1 -W 5 10.0.0.2")
	before := b.counted()
	exchange(a, b, containerB, 9)
	after := b.counted()
	return after.ReceivedPackets == before.ReceivedPackets+1 && after.SentPackets == before.SentPackets+1
}

// The plugin takes a container's MAC from the tables before its port goes. Packets for it go by the
// bridge, and so do those from it.
func TestEvict(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	if !takes(a, b) {
		t.Error("not by the programs")
	}
	if err := b.stack.EvictFastPath("vx.0", b.mac()); err != nil {
		t.Fatal(err)
	}
	if takes(a, b) {
		t.Error("the programs still take packets")
	}
	b.hasPins("addresses counts former hops hops_jiffies locals narrow_until networks/vx:0/device networks/vx:0/underlay " +
		tablePins)
	if err := b.stack.EvictFastPath("vx.0", b.mac()); err != nil {
		t.Errorf("again: %v", err)
	}
	b.set(b.want(a))
	if !takes(a, b) {
		t.Error("not by the programs again")
	}
}

// A MAC that another host had is taken out, too.
func TestEvictRemote(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	if err := a.stack.EvictFastPath("vx.0", b.mac()); err != nil {
		t.Fatal(err)
	}
	before := a.counted().SentPackets
	exchange(a, b, containerB, 9)
	if a.counted().SentPackets != before {
		t.Error("the program still sends to the other host")
	}
}

// With the last network all goes, by whoever removes it.
func TestNothingIsLeft(t *testing.T) {
	for name, remove := range map[string]func(*realHost) error{
		"by the agent":   func(h *realHost) error { return h.stack.RemoveFastPath("vx.0") },
		"not configured": func(h *realHost) error { return h.programs.RemovePinned() },
		"by the plugin":  func(h *realHost) error { return h.stack.Stack.RemoveFastPath("vx.0") },
		"the plugin falls back": func(h *realHost) error {
			ns, err := netstack.Open(h.path)
			if err != nil {
				return err
			}
			defer ns.Close()
			ns.Pins = h.programs.Dir
			return ns.SetFastPath(kernel.FastPath{Device: "vx.0", Bridge: "br0", Only: []kernel.MAC{}})
		},
		"nothing wanted":     func(h *realHost) error { return h.net.Set(kernel.FastPath{Device: "vx.0", Bridge: "br0"}) },
		"no container":       func(h *realHost) error { w := h.want(h); w.Ports = nil; return h.net.Set(w) },
		"the device is gone": func(h *realHost) error { h.sh("ip link del vx.0"); return h.stack.Stack.RemoveFastPath("vx.0") },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, underlay{})
			a.set(a.want(b))
			a.hasPins(allPins)
			if err := remove(a); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Dir(a.programs.Dir)); !os.IsNotExist(err) {
				a.hasPins("")
				t.Errorf("the directory is left: %v", err)
			}
			if links := a.sh("ip -d link show eth0"); strings.Contains(links, "tcx") {
				t.Error(links)
			}
		})
	}
}

// What a killed agent leaves goes on, and the next one takes it over.
func TestAgentKilled(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	before := a.counted()
	b.programs.objects.Close()
	exchange(a, b, containerB, 1, 2, 3)
	if after := a.counted(); after.ReceivedPackets != before.ReceivedPackets+3 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	b.newAgent()
	b.set(b.want(a))
	if c := b.counted(); c.ReceivedPackets != 3 {
		t.Errorf("the counters of before are lost: %+v", c)
	}
	if !takes(a, b) {
		t.Error("not by the programs of the new agent")
	}
}

// Another version's tables go. Its own are made anew if they do not fit.
func TestOtherLayout(t *testing.T) {
	a, b := newPair(t, underlay{})
	if err := os.MkdirAll(a.programs.Dir+"/0/networks/vx:0", 0o700); err != nil {
		t.Fatal(err)
	}
	connectPair(a, b)
	if entries, err := os.ReadDir(a.programs.Dir); len(entries) != 1 || err != nil {
		t.Errorf("left: %v, %v", entries, err)
	}
	if !takes(a, b) {
		t.Error("not by the programs")
	}
}

// Somebody deletes and recreates the VXLAN device. Nothing of the old one is left in the tables.
func TestRecreatedDevice(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	b.sh(`ip link del vx.0; ip link add vx.0 mtu 1450 type vxlan id 100 dstport 4789 local 198.18.0.2 dev eth0 nolearning; ip link set vx.0 master br0 up
		bridge fdb replace ` + a.mac().String() + ` dev vx.0 dst 198.18.0.1; bridge fdb replace ` + a.mac().String() + ` dev vx.0 master static`)
	b.set(b.want(a))
	if !takes(a, b) {
		t.Error("not by the programs")
	}
	o := b.programs.objects
	remotes, err := dump[programsStation, programsRemote](o.Remotes)
	if err != nil || len(remotes) != 1 {
		t.Errorf("%v, %v", remotes, err)
	}
	tunnels, err := dump[programsTunnel, programsTunnelEnd](o.Tunnels)
	if err != nil || len(tunnels) != 1 {
		t.Errorf("%v, %v", tunnels, err)
	}
	locals, err := dump[programsStation, uint32](o.Locals)
	if err != nil || len(locals) != 1 {
		t.Errorf("%v, %v", locals, err)
	}
}

// News of other hosts change few entries, without a look at the ports.
func TestOnlySomeRemotes(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	other, third := kernel.MAC{2, 1}, kernel.MAC{2, 3}
	change := func(only, remote []kernel.MAC) {
		t.Helper()
		w := kernel.FastPath{Device: "vx.0", Bridge: "br0", Only: only, Remote: remote, SkipPorts: true, RemoteCount: 2}
		for range remote {
			w.FDB = append(w.FDB, kernel.FDB{Dst: netip.MustParseAddr("198.18.0.9")})
		}
		if err := a.net.Set(w); err != nil {
			t.Fatal(err)
		}
	}
	wants := func(want ...kernel.MAC) {
		t.Helper()
		if got, err := a.net.Remote(kernel.FastPath{Device: "vx.0"}); err != nil || !slices.Equal(sorted(got), sorted(want)) {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	change([]kernel.MAC{other, third}, []kernel.MAC{other, third})
	wants(b.mac(), other, third)
	change([]kernel.MAC{other}, nil)
	wants(b.mac(), third)
	a.set(a.want(b))
	wants(b.mac())
	if n := len(a.programs.peers.index); n != 1 {
		t.Errorf("%d peers have counters", n)
	}
}

// A host leaves, and the agent hears of it with the MACs that it had. Its counters and its next hop are given back
// when the agent next lists all entries; what was counted stays in the network's sum.
func TestHostLeaves(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	exchange(a, b, containerB, 56)
	w := a.want(b)
	w.Only, w.SkipPorts, w.Remote, w.FDB, w.RemoteCount = w.Remote, true, nil, nil, 1
	a.set(w)
	w.Only = nil
	if macs, err := a.net.Remote(w); err != nil || len(macs) > 1 {
		t.Errorf("%v, %v", macs, err)
	}
	if byHost, err := a.programs.HostCounters("vx.0"); err != nil || len(byHost) > 0 {
		t.Errorf("by host: %v, %v", byHost, err)
	}
	links := map[string]kernel.LinkCounters{"vx.0": {}}
	if err := a.programs.AddCounters(links); err != nil || links["vx.0"].SentPackets != 1 {
		t.Errorf("%+v, %v", links, err)
	}
}

// An entry that leads to another host than is wanted is found, as is one too many and one that lacks.
func TestWrongRemote(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	index, err := a.net.ns.Index("vx.0")
	if err != nil {
		t.Fatal(err)
	}
	key := programsStation{Device: uint32(index), Mac: b.mac()}
	tooMany := programsStation{Device: uint32(index), Mac: kernel.MAC{2, 7}}
	elsewhere := programsRemote{Vtep: toAddress(netip.MustParseAddr("198.18.0.9"))}
	for name, test := range map[string]struct {
		change func(remotes *ebpf.Map) error
		want   []kernel.MAC
	}{
		"right":    {func(*ebpf.Map) error { return nil }, []kernel.MAC{b.mac()}},
		"wrong":    {func(m *ebpf.Map) error { return m.Put(key, elsewhere) }, nil},
		"lacks":    {func(m *ebpf.Map) error { return m.Delete(key) }, nil},
		"too many": {func(m *ebpf.Map) error { return m.Put(tooMany, elsewhere) }, []kernel.MAC{b.mac(), {2, 7}}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := test.change(a.programs.objects.Remotes); err != nil {
				t.Fatal(err)
			}
			if got, err := a.net.Remote(a.want(b)); err != nil || !slices.Equal(sorted(got), sorted(test.want)) {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
			w := a.want(b)
			w.Only, w.SkipPorts = []kernel.MAC{b.mac(), {2, 7}}, true
			a.set(w)
			if !takes(a, b) {
				t.Error("it was not mended")
			}
		})
	}
}

// After a fall back the programs know all containers of other hosts at once, though the wish names none.
func TestRemotesAfterFallBack(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	a.sh("tc qdisc add dev c0 clsact")
	if err := a.net.Set(a.want(b)); err != nil {
		t.Fatal(err)
	}
	a.hasPins("")
	a.sh("tc qdisc del dev c0 clsact")
	w := a.want(b)
	w.Remote, w.FDB, w.Only = nil, nil, []kernel.MAC{}
	a.set(w)
	if !takes(a, b) {
		t.Error("the programs do not know the other host's container")
	}
}

func sorted(macs []kernel.MAC) []kernel.MAC {
	return slices.SortedFunc(slices.Values(macs), func(a, b kernel.MAC) int { return slices.Compare(a[:], b[:]) })
}

// What programs cannot do is left to the other ways, and the state says why.
func TestFallBack(t *testing.T) {
	tests := map[string]struct {
		change, undo string
		want         string
	}{
		"IPsec": {"ip xfrm policy add src 198.18.0.1 dst 198.18.0.2 dir out tmpl proto esp mode transport", "ip xfrm policy flush", "an IPsec policy is about packets of 198.18.0.1"},
		"filter": {
			"nft 'add table netdev mine; add chain netdev mine in { type filter hook ingress device vx.0 priority 0; }'",
			"nft delete table netdev mine", "the table netdev mine of another program filters packets of vx.0",
		},
		"IPsec only":   {"ip xfrm policy setdefault out block", "ip xfrm policy setdefault out accept", "an IPsec policy is about packets of 198.18.0.1"},
		"rule":         {"ip rule add ipproto udp dport 4789 lookup 99", "ip rule del ipproto udp dport 4789 lookup 99", "a routing rule is about protocols or ports"},
		"IPv6 rule":    {"ip -6 rule add dport 4789 lookup 99", "ip -6 rule del dport 4789 lookup 99", "a routing rule is about protocols or ports"},
		"IPsec inward": {"ip xfrm policy add src 198.18.0.2 dst 198.18.0.0/16 dir in tmpl proto esp mode transport level use", "ip xfrm policy flush", "an IPsec policy is about packets of 198.18.0.1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, underlay{})
			a.set(a.want(b))
			a.sh(test.change)
			if err := a.net.Set(a.want(b)); err != nil {
				t.Fatal(err)
			}
			if s := a.programs.State("vx.0"); s.Attached || s.Reason != test.want {
				t.Errorf("got %+v", s)
			}
			a.hasPins("")
			a.sh(test.undo)
			a.set(a.want(b))
			a.hasPins(allPins)
		})
	}
	t.Run("checksums", func(t *testing.T) {
		a, b := newPair(t, underlay{})
		a.set(a.want(b))
		if err := a.stack.Apply(kernel.SetTXChecksum{Name: "vx.0"}); err != nil {
			t.Fatal(err)
		}
		if err := a.net.Set(a.want(b)); err != nil {
			t.Fatal(err)
		}
		const want = "checksums are not left to the card (tx_checksum_offload=off)"
		if s := a.programs.State("vx.0"); s.Attached || s.Reason != want {
			t.Errorf("got %+v", s)
		}
		a.hasPins("")
	})
	t.Run("IPsec of others", func(t *testing.T) {
		a, b := newPair(t, underlay{})
		a.sh(`ip xfrm policy add src 10.9.0.0/16 dst 10.8.0.0/16 dir out tmpl src 198.18.0.1 dst 198.18.0.2 proto esp mode tunnel
			ip xfrm policy add src 198.18.0.0/16 dst 0.0.0.0/0 dir out action allow`)
		a.set(a.want(b))
	})
}

// What others have set for a container's port is not passed by: a limit of its rate, tc filters, a chain of
// nftables.
func TestPortsOfOthers(t *testing.T) {
	for name, test := range map[string]struct{ set, undo, why string }{
		"rate": {
			"tc qdisc add dev c0 root tbf rate 1mbit burst 32kbit latency 400ms", "tc qdisc del dev c0 root",
			"c0 has a queueing discipline (tbf)",
		},
		"tc": {"tc qdisc add dev c0 clsact", "tc qdisc del dev c0 clsact", "c0 has a queueing discipline (clsact)"},
		"nftables": {
			"nft 'add table netdev mine; add chain netdev mine in { type filter hook ingress device c0 priority -10; }'",
			"nft delete table netdev mine", "the table netdev mine of another program filters packets of c0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, underlay{})
			connectPair(a, b)
			b.sh(test.set)
			if err := b.net.Set(b.want(a)); err != nil {
				t.Fatal(err)
			}
			if s := b.programs.State("vx.0"); s != (State{LeftOut: 1, LeftOutReason: test.why}) {
				t.Errorf("the state is %+v", s)
			}
			b.hasPins("")
			exchange(a, b, containerB, 9)
			b.sh(test.undo)
			b.set(b.want(a))
			if !takes(a, b) {
				t.Error("not by the programs again")
			}
		})
	}
}

// Containers of a network with port security have nothing but the programs, which check who sends.
func TestPortSecurityOfNetwork(t *testing.T) {
	a, b := newPair(t, underlay{})
	for _, h := range []*realHost{a, b} {
		w := h.want(a)
		if h == a {
			w = h.want(b)
		}
		w.PortSecurity = true
		w.Sources = []kernel.FastPathSource{{Port: "c0", Addr: netip.MustParseAddr("10.0.0.1")}, {Port: "c0", Addr: netip.MustParseAddr("10.0.0.2")}}
		h.set(w)
	}
	if !takes(a, b) {
		t.Error("not by the programs")
	}
	if got, err := a.net.Remote(a.want(b)); len(got) != 1 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	a.in("ip address add 10.0.0.77/24 dev eth0")
	before := a.counted().SentPackets
	a.in("ip route replace 10.0.0.0/24 dev eth0 src 10.0.0.77")
	exchange(a, b, containerB, 9)
	if a.counted().SentPackets != before {
		t.Error("the program sent from an address that is not the container's")
	}
}

// What the programs took is added to what the VXLAN device has counted. It stays when a host leaves the
// network, when another agent comes, and when the programs go.
func TestCountersOfDevice(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	exchange(a, b, containerB, 56, 56, 56)
	wants := func(when string) {
		t.Helper()
		links := map[string]kernel.LinkCounters{"vx.0": {SentPackets: 100, ReceiveErrors: 7}, "other": {SentBytes: 1}}
		if err := a.programs.AddCounters(links); err != nil {
			t.Fatal(err)
		}
		want := kernel.LinkCounters{SentPackets: 103, SentBytes: 3 * 98, ReceivedPackets: 3, ReceivedBytes: 3 * 98, ReceiveErrors: 7}
		if links["vx.0"] != want || links["other"] != (kernel.LinkCounters{SentBytes: 1}) {
			t.Errorf("%s: %+v", when, links)
		}
	}
	wants("with the host")
	byHost, err := a.programs.HostCounters("vx.0")
	if c := byHost[b.vtep]; err != nil || len(byHost) != 1 || c.SentPackets != 3 || c.ReceivedPackets != 3 ||
		c.SentBytes != 3*98 {
		t.Errorf("by host: %+v, %v", byHost, err)
	}
	w := a.want(b)
	w.Remote, w.FDB = []kernel.MAC{{2, 7}}, []kernel.FDB{{Dst: netip.MustParseAddr("198.18.0.9")}}
	a.set(w)
	wants("without the host")
	a.newAgent()
	links := map[string]kernel.LinkCounters{"vx.0": {SentPackets: 100}}
	if err := a.programs.AddCounters(links); err != nil || len(links) > 0 {
		t.Errorf("before the new agent has looked: %+v, %v", links, err)
	}
	a.set(w)
	wants("with a new agent")
	a.sh("tc qdisc add dev c0 clsact")
	if err := a.net.Set(w); err != nil {
		t.Fatal(err)
	}
	a.hasPins("")
	wants("without programs")
	a.sh("tc qdisc del dev c0 clsact")
	a.set(w)
	wants("with programs again")
}

// newAgent puts a new agent into the place of one that is killed.
func (h *realHost) newAgent() {
	h.Helper()
	h.programs.objects.Close()
	h.programs = &Programs{Dir: h.programs.Dir}
	h.open()
}

// Two networks of one underlay interface share its program, which goes with the last of them.
func TestTwoNetworks(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	a.sh(`ip link add br1 type bridge; ip link set br1 up; ip link add vx1 mtu 1450 type vxlan id 101 dstport 4789 local 198.18.0.1 dev eth0 nolearning
		ip link set vx1 master br1 up; ip link add c1 type veth peer name c1-end; ip link set c1 master br1 up; ip link set c1-end up
		for i in $(seq 500); do [ $(bridge link | grep -c 'master br1 state forwarding') -lt 2 ] || exit 0; sleep 0.01; done; exit 1`)
	second := kernel.FastPath{
		Device: "vx1", Bridge: "br1", Remote: []kernel.MAC{b.mac()}, FDB: []kernel.FDB{{Dst: b.vtep}}, RemoteCount: 1,
		Ports: []kernel.FastPathPort{{Name: "c1", MAC: kernel.MAC{2, 7}}},
	}
	if err := a.net.Set(second); err != nil {
		t.Fatal(err)
	}
	ids := a.underlayLinks()
	if len(ids) != 1 {
		t.Errorf("%d programs on the underlay interface", len(ids))
	}
	if !takes(a, b) {
		t.Error("not by the programs")
	}
	if err := a.stack.RemoveFastPath("vx.0"); err != nil {
		t.Fatal(err)
	}
	if again := a.underlayLinks(); len(again) != 1 || again[0] != ids[0] {
		t.Errorf("before %v, now %v", ids, again)
	}
	if err := a.stack.RemoveFastPath("vx1"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(a.programs.Dir); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
}

// underlayLinks are the numbers of the links that are pinned for the underlay.
func (h *realHost) underlayLinks() (ids []uint32) {
	h.Helper()
	for _, network := range []string{"vx:0", "vx1"} {
		l, _, err := openPinned(h.programs.layoutDir() + "/networks/" + network + "/underlay")
		if err != nil {
			h.Fatal(err)
		}
		if l == nil {
			continue
		}
		info, err := l.Info()
		l.Close()
		if err != nil {
			h.Fatal(err)
		}
		if id := uint32(info.ID); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
