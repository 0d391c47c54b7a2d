package bpfpath

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"vxlan-driver/internal/kernel"
)

// encryptedPins are what a host has pinned for an encrypted network: nothing for the underlay interface.
const encryptedPins = "addresses counts former hops hops_jiffies locals narrow_until networks/vx:0/device " +
	"networks/vx:0/port-02000a000001 networks/vx:0/wireguard-wg0:x networks/vx:0/wireguard-wg1:x " + tablePins

// goesStraight tells whether the programs of both hosts pass on a ping and its answer. Those that wrap do not.
func goesStraight(a, b *realHost) bool {
	a.Helper()
	before := b.ownCounters()
	a.in("ping -c 1 -W 5 10.0.0.2")
	after := b.ownCounters()
	return after.ReceivedPackets == before.ReceivedPackets+1 && after.SentPackets == before.SentPackets+1
}

// No other device gets what is to be encrypted: not one that has the index of a WireGuard device which has gone,
// nor one that has its name.
func TestStraightByNoOtherDevice(t *testing.T) {
	for name, take := range map[string]func(a, b *realHost, index int){
		"its index": func(a, _ *realHost, index int) {
			a.sh(fmt.Sprintf("ip link add other index %d type veth peer name end", index))
			a.sh("ip link set other up; ip link set end up")
		},
		"its name": func(a, b *realHost, _ int) {
			a.sh("ip link add wg0.x type veth peer name end; ip link set wg0.x up; ip link set end up")
			a.setEncrypted(a.wantEncrypted(b))
			w := a.wantEncrypted(b)
			w.SkipPorts = true
			a.setEncrypted(w)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newEncryptedPair(t, underlay{})
			connectEncrypted(a, b)
			if !goesStraight(a, b) {
				t.Fatal("not by the programs")
			}
			index, err := a.stack.Index("wg0.x")
			if err != nil {
				t.Fatal(err)
			}
			a.tunnels["wg0.x"].Close()
			a.sh("for i in $(seq 500); do [ -d /sys/class/net/wg0.x ] || exit 0; sleep 0.01; done; exit 1")
			take(a, b, index)
			wires := []int{packetSocket(t, a.path, "end"), packetSocket(t, b.path, "eth0")}
			if _, err := a.dial("udp", containerB).Write([]byte("a secret")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
			for _, wire := range wires {
				if sees(t, wire, []byte("a secret")) {
					t.Error("it left by another device, in plaintext")
				}
			}
		})
	}
}

// Whatever becomes of programs, agents and keys, packets that flow are neither lost nor doubled.
func TestEncryptedStreamThroughChanges(t *testing.T) {
	setThere := func(h, other *realHost, change func(*kernel.FastPath)) {
		w := h.wantEncrypted(other)
		change(&w)
		if err := h.net.Set(w); err != nil {
			h.Error(err)
		}
		h.ageAddresses()
	}
	for name, change := range map[string]func(h, other *realHost){
		"nothing":       func(h, other *realHost) { time.Sleep(20 * time.Millisecond) },
		"another agent": func(h, other *realHost) { h.newAgent() },
		"a filter on the port": func(h, other *realHost) {
			h.sh("nft 'add table netdev mine; add chain netdev mine in { type filter hook ingress device c0 priority 10; }'")
			setThere(h, other, func(*kernel.FastPath) {})
			h.sh("nft delete table netdev mine")
		},
		"a filter on the device": func(h, other *realHost) {
			h.sh("nft 'add table netdev mine; add chain netdev mine in { type filter hook ingress device vx.0 priority 10; }'")
			setThere(h, other, func(*kernel.FastPath) {})
			h.sh("nft delete table netdev mine")
		},
		"the next key": func(h, other *realHost) {
			for _, name := range []string{tunnelNames[1], tunnelNames[0], tunnelNames[1]} {
				setThere(h, other, func(w *kernel.FastPath) { w.Encrypted.Send, w.SkipPorts = name, true })
				time.Sleep(5 * time.Millisecond)
			}
		},
		"the other host takes none": func(h, other *realHost) {
			setThere(h, other, func(w *kernel.FastPath) { w.Encrypted.Takers = nil })
		},
		"the plugin evicts": func(h, other *realHost) {
			if err := h.stack.EvictFastPath("vx.0", h.mac()); err != nil {
				h.Error(err)
			}
		},
		"the plugin evicts a remote": func(h, other *realHost) {
			if err := h.stack.EvictFastPath("vx.0", other.mac()); err != nil {
				h.Error(err)
			}
		},
		"the time is over": func(h, other *realHost) {
			put(t, h.programs.objects.ValidJiffies, uint32(0), uint64(1))
			time.Sleep(5 * time.Millisecond)
			h.programs.leaseEnd = 0
		},
		"not to be used": func(h, other *realHost) {
			setThere(h, other, func(w *kernel.FastPath) { w.Disable() })
		},
		"new containers": func(h, other *realHost) {
			setThere(h, other, func(w *kernel.FastPath) {
				extra := kernel.ContainerAddress{Addr: netip.MustParseAddr("10.0.0.9"), MAC: kernel.MAC{2, 9}, VTEP: other.vtep}
				w.Encrypted.Remote = append(w.Encrypted.Remote, extra)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newEncryptedPair(t, underlay{})
			connectEncrypted(a, b)
			if !goesStraight(a, b) {
				t.Fatal("not by the programs")
			}
			s := startStream(a, b)
			for range 4 {
				for h, other := range map[*realHost]*realHost{a: b, b: a} {
					change(h, other)
					h.setEncrypted(h.wantEncrypted(other))
				}
				time.Sleep(20 * time.Millisecond)
			}
			s.end()
			if !goesStraight(a, b) {
				t.Error("not by the programs again")
			}
		})
	}
}

// With the last container all goes, by whoever removes it.
func TestNothingEncryptedIsLeft(t *testing.T) {
	for name, remove := range map[string]func(*realHost) error{
		"by the agent":  func(h *realHost) error { return h.stack.RemoveFastPath("vx.0") },
		"by the plugin": func(h *realHost) error { return h.stack.Stack.RemoveFastPath("vx.0") },
		"no container": func(h *realHost) error {
			w := h.wantEncrypted(h)
			w.Ports, w.Encrypted.Local = nil, nil
			return h.net.Set(w)
		},
		"no WireGuard device": func(h *realHost) error {
			w := h.wantEncrypted(h)
			w.Encrypted.Receive = nil
			return h.net.Set(w)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newEncryptedPair(t, underlay{})
			connectEncrypted(a, b)
			a.hasPins(encryptedPins)
			if err := remove(a); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Dir(a.programs.Dir)); !os.IsNotExist(err) {
				a.hasPins("")
				t.Errorf("the directory is left: %v", err)
			}
			if names := a.programs.TakesIP("vx.0"); len(names) > 0 {
				t.Errorf("the programs take packets of %v", names)
			}
		})
	}
}

// Tables of an encrypted network are empty when another network is left.
func TestEncryptedTablesAreCleared(t *testing.T) {
	a, b := newEncryptedPair(t, underlay{})
	connectEncrypted(a, b)
	a.sh(`ip link add br1 type bridge; ip link set br1 up
		ip link add vx1 mtu 1450 type vxlan id 101 dstport 4790 local 198.18.0.1 dev eth0 nolearning
		ip link set vx1 master br1 up; ip link add c1 type veth peer name c1-end
		ip link set c1 master br1 up; ip link set c1-end up
		for i in $(seq 500); do
			[ $(bridge link | grep -c 'master br1 state forwarding') -lt 2 ] || exit 0
			sleep 0.01
		done
		exit 1`)
	second := kernel.FastPath{
		Device: "vx1", Bridge: "br1", Remote: []kernel.MAC{b.mac()}, FDB: []kernel.FDB{{Dst: b.vtep}}, RemoteCount: 1,
		Ports: []kernel.FastPathPort{{Name: "c1", MAC: kernel.MAC{2, 7}}},
	}
	if err := a.net.Set(second); err != nil {
		t.Fatal(err)
	}
	if !goesStraight(a, b) {
		t.Error("not by the programs, beside a network that is not encrypted")
	}
	if err := a.net.Set(kernel.FastPath{Device: "vx.0", Bridge: "br0"}); err != nil {
		t.Fatal(err)
	}
	o := a.programs.objects
	wantEmpty[programsPlace, programsOwner](t, o.Addresses)
	wantEmpty[programsPlace, uint32](t, o.Takers)
	var device, send uint32
	if entries := o.Wireguard.Iterate(); entries.Next(&device, &send) || entries.Err() != nil {
		t.Errorf("packets of device %d leave by %d, %v", device, send, entries.Err())
	}
	wantEmpty[uint32, programsWireguardEnd](t, o.WireguardEnds)
}

func wantEmpty[K comparable, V any](t *testing.T, table *ebpf.Map) {
	t.Helper()
	if all, err := dump[K, V](table); len(all) != 0 || err != nil {
		t.Errorf("%v has %v, %v", table, all, err)
	}
}

// Programs go on when their agent is killed. The next one tells that the host takes packets before it has set up
// anything: other hosts would else do without for a while.
func TestEncryptedAgentKilled(t *testing.T) {
	a, b := newEncryptedPair(t, underlay{})
	connectEncrypted(a, b)
	since := b.owners(t)
	b.programs.objects.Close()
	before := a.counted()
	a.in("ping -c 3 -i 0.1 -W 5 10.0.0.2")
	if after := a.counted(); after.ReceivedPackets != before.ReceivedPackets+3 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	b.newAgent()
	if names := b.programs.TakesIP("vx.0"); !slices.Equal(names, tunnelNames) {
		t.Errorf("the new agent says that programs take packets of %v", names)
	}
	b.set(b.wantEncrypted(a))
	if now := b.owners(t); !maps.Equal(since, now) {
		t.Errorf("before %v, now %v", since, now)
	}
	if !goesStraight(a, b) {
		t.Error("not by the programs of the new agent")
	}
}

// owners returns what a host's table has of addresses.
func (h *realHost) owners(t *testing.T) map[string]string {
	t.Helper()
	all, err := dump[programsPlace, programsOwner](h.programs.objects.Addresses)
	if err != nil {
		t.Fatal(err)
	}
	owners := make(map[string]string)
	for k, o := range all {
		text := fmt.Sprint(kernel.MAC(o.Mac))
		if !o.isHere() {
			text += " at " + fromAddress(o.Vtep).String()
		}
		if o.Since != 0 {
			text += ", new"
		}
		owners[fromAddress(k.Address).String()] = text
	}
	return owners
}

// News of other hosts change few entries. One that changes is used again after a while only.
func TestNewsOfAddresses(t *testing.T) {
	a, b := newEncryptedPair(t, underlay{})
	connectEncrypted(a, b)
	const own1, own2 = "02:00:0a:00:00:01", "02:00:0a:00:00:02 at 198.18.0.2"
	want := map[string]string{"10.0.0.1": own1, "fd00::1": own1, "10.0.0.2": own2, "fd00::2": own2}
	wants := func(when string) {
		t.Helper()
		if got := a.owners(t); !maps.Equal(got, want) {
			t.Errorf("%s: got  %v\nwant %v", when, got, want)
		}
	}
	wants("at first")
	change := func(when string, change func(*kernel.FastPath)) {
		t.Helper()
		w := a.wantEncrypted(b)
		change(&w)
		if err := a.net.Set(w); err != nil {
			t.Fatal(err)
		}
		wants(when)
	}
	at := func(addr string, vtep netip.Addr) kernel.ContainerAddress {
		return kernel.ContainerAddress{Addr: netip.MustParseAddr(addr), MAC: b.mac(), VTEP: vtep}
	}
	some := func(remote ...kernel.ContainerAddress) func(*kernel.FastPath) {
		return func(w *kernel.FastPath) {
			w.Only, w.SkipPorts, w.Remote, w.FDB, w.Ports, w.Encrypted.Local = []kernel.MAC{}, true, nil, nil, nil, nil
			w.Encrypted.Only = []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.9")}
			w.Encrypted.Remote = remote
		}
	}
	elsewhere := netip.MustParseAddr("198.18.0.9")
	want["10.0.0.9"] = "02:00:0a:00:00:02 at 198.18.0.9, new"
	change("another address", some(at("10.0.0.2", b.vtep), at("10.0.0.9", elsewhere)))
	delete(want, "10.0.0.9")
	want["10.0.0.2"] = "02:00:0a:00:00:02 at 198.18.0.9, new"
	change("one moves, one goes", some(at("10.0.0.2", elsewhere)))
	a.ageAddresses()
	want["10.0.0.2"] = "02:00:0a:00:00:02 at 198.18.0.9"
	change("nothing new", some(at("10.0.0.2", elsewhere)))
	change("some hosts are not known yet", func(w *kernel.FastPath) { w.Partial, w.Encrypted.Remote = true, nil })
	want["10.0.0.2"] = own1 + ", new"
	change("it comes here", func(w *kernel.FastPath) {
		w.Partial, w.Encrypted.Remote = true, nil
		come := kernel.ContainerAddress{Addr: netip.MustParseAddr("10.0.0.2"), MAC: a.mac()}
		w.Encrypted.Local = append(w.Encrypted.Local, come)
	})
	delete(want, "10.0.0.2")
	change("it ends here", func(w *kernel.FastPath) {
		w.Only, w.Encrypted.Only, w.Encrypted.Remote = []kernel.MAC{}, []netip.Addr{}, nil
	})
	want["10.0.0.2"] = own2 + ", new"
	change("all as at first", func(*kernel.FastPath) {})
}

// While no agent was there, a container has moved. The tables that the next agent takes over have that at once, though
// its wish names no container.
func TestAddressesOfEarlierAgent(t *testing.T) {
	a, b := newEncryptedPair(t, underlay{})
	connectEncrypted(a, b)
	a.sh(fmt.Sprintf(`bridge fdb replace %s dev vx.0 dst 198.18.0.9 via wg0.x
		bridge fdb replace %[1]s dev vx.0 master static`, b.mac()))
	a.newAgent()
	w := a.wantEncrypted(b)
	w.Remote, w.FDB, w.Only = nil, nil, []kernel.MAC{}
	w.Encrypted.Remote, w.Encrypted.Only = nil, []netip.Addr{}
	a.set(w)
	want := map[string]string{
		"10.0.0.1": "02:00:0a:00:00:01", "fd00::1": "02:00:0a:00:00:01",
		"10.0.0.2": "02:00:0a:00:00:02 at 198.18.0.9, new", "fd00::2": "02:00:0a:00:00:02 at 198.18.0.9, new",
	}
	if got := a.owners(t); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A WireGuard device is made anew, and so is the VXLAN device. Packets go on by the new ones.
func TestRecreatedWireguard(t *testing.T) {
	a, b := newEncryptedPair(t, underlay{})
	connectEncrypted(a, b)
	if !goesStraight(a, b) { // and containers know each other
		t.Error("not by the programs at first")
	}
	for _, h := range []*realHost{a, b} {
		h.tunnels["wg0.x"].Close()
	}
	for _, h := range []*realHost{a, b} {
		h.sh("for i in $(seq 500); do [ -d /sys/class/net/wg0.x ] || exit 0; sleep 0.01; done; exit 1")
		h.sh("ip -6 rule del oif wg0.x lookup 100 || true")
	}
	wire := packetSocket(t, b.path, "eth0")
	if _, err := a.dial("udp", containerB).Write([]byte("a secret")); err != nil {
		t.Log(err)
	}
	time.Sleep(20 * time.Millisecond)
	if sees(t, wire, []byte("a secret")) {
		t.Error("without a WireGuard device it left in plaintext")
	}
	if err := a.net.Set(a.wantEncrypted(b)); err != nil {
		t.Fatal(err)
	}
	if names := a.programs.TakesIP("vx.0"); !slices.Equal(names, tunnelNames[1:]) {
		t.Errorf("the programs take packets of %v", names)
	}
	joinTunnels(t, a.openTunnel("wg0.x", underlay{}), b.openTunnel("wg0.x", underlay{}))
	a.sendVXLANBy(b, tunnelNames[0])
	b.sendVXLANBy(a, tunnelNames[0])
	connectEncrypted(a, b)
	if !goesStraight(a, b) {
		t.Error("not by the programs")
	}
	ends, err := dump[uint32, programsWireguardEnd](a.programs.objects.WireguardEnds)
	if len(ends) != 2 || err != nil {
		t.Errorf("%v, %v", ends, err)
	}
	for _, h := range []*realHost{a, b} {
		other := map[*realHost]*realHost{a: b, b: a}[h]
		h.sh(fmt.Sprintf(`ip link del vx.0
			ip link add vx.0 mtu %d type vxlan id 100 dstport 4789 local %s dev eth0 nolearning
			ip link set vx.0 master br0 up; bridge fdb append %s dev vx.0 dst %s
			bridge fdb append 00:00:00:00:00:00 dev vx.0 dst %[4]s
			bridge fdb replace %[3]s dev vx.0 master static`,
			encryptedMTU(underlay{}), h.vtep, other.mac(), other.vtep))
		h.sendVXLANBy(other, tunnelNames[0])
	}
	connectEncrypted(a, b)
	if !goesStraight(a, b) {
		t.Error("not by the programs, with a new VXLAN device")
	}
	if got := a.owners(t); len(got) != 4 {
		t.Errorf("got %v", got)
	}
}

// Somebody may be starting a container. So programs are attached one at a time, and first those that receive.
func TestEncryptedOneAtATime(t *testing.T) {
	a, b := newEncryptedPair(t, underlay{})
	connectEncrypted(b, a)
	a.programs = &Programs{Dir: bpfMount(t), AttachLater: true}
	a.open()
	w := a.wantEncrypted(b)
	if err := a.net.Set(w); !errors.Is(err, kernel.ErrFastPathUnfinished) {
		t.Errorf("at once: %v", err)
	}
	if names := a.programs.TakesIP("vx.0"); len(names) > 0 {
		t.Errorf("nothing is attached, but packets of %v are taken", names)
	}
	a.attachNext() // loads them
	var steps []string
	for range 10 {
		err := a.net.Set(w)
		if err != nil && !errors.Is(err, kernel.ErrFastPathUnfinished) {
			t.Fatal(err)
		}
		a.attachNext()
		steps = append(steps, strings.Join(a.attachedTo(), " "))
		if err == nil {
			break
		}
	}
	if len(steps) != 5 || steps[1] != "wireguard-wg0:x wireguard-wg1:x" ||
		steps[3] != "device port-02000a000001 wireguard-wg0:x wireguard-wg1:x" {
		t.Errorf("the steps are %q", steps)
	}
	if names := a.programs.TakesIP("vx.0"); !slices.Equal(names, tunnelNames) {
		t.Errorf("packets of %v are taken", names)
	}
}

// attachedTo are the names of what is pinned for the network, sorted.
func (h *realHost) attachedTo() (names []string) {
	h.Helper()
	entries, err := os.ReadDir(filepath.Join(h.programs.layoutDir(), "networks", "vx:0"))
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A wish that does not say that the network is encrypted is not followed where packets leave by a device of their own:
// programs would send in plaintext.
func TestEncryptionNotTold(t *testing.T) {
	a, b := newEncryptedPair(t, underlay{})
	connectEncrypted(a, b)
	w := a.want(b)
	w.FDB[0].Via = "wg0.x"
	if err := a.net.Set(w); err != nil {
		t.Fatal(err)
	}
	if s := a.programs.State("vx.0"); s != (State{Reason: "packets leave by wg0.x"}) {
		t.Errorf("%+v", s)
	}
	a.hasPins("")
}

// Port security needs no addresses of its own: a container sends with its MAC and addresses only.
func TestEncryptedPortSecurity(t *testing.T) {
	a, b := newEncryptedPair(t, underlay{})
	for h, other := range map[*realHost]*realHost{a: b, b: a} {
		w := h.wantEncrypted(other)
		w.PortSecurity = true
		h.setEncrypted(w)
	}
	if s := a.programs.State("vx.0"); s != (State{Attached: true, PortSecurity: true}) {
		t.Errorf("%+v", s)
	}
	if !goesStraight(a, b) {
		t.Error("not by the programs")
	}
	a.in("ip address add 10.0.0.77/24 dev eth0")
	before := a.counted().SentPackets
	a.in("ping -c 1 -W 5 -I 10.0.0.77 10.0.0.2 || true")
	if a.counted().SentPackets != before {
		t.Error("the program sent from an address that is not the container's")
	}
}
