package gossip

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// lastCounter is the largest incarnation and sequence.
const lastCounter = 1<<63 - 1

// inject makes a host take a message as if another one had sent it.
func (h *host) inject(from wire.Key, m wire.Message) {
	m.From = from
	delegate{h.Plane}.receive(m.Encode())
}

// forged returns a record of host 3 that somebody made up.
func forged(left bool, incarnation, sequence uint64) wire.AgedRecord {
	r := wire.NewRecord(hostKey(3), hostName(3), []cluster.Membership{wiretest.Membership(hostAddr(3).Addr(), "forged")})
	if left {
		r = wire.NewLeftRecord(hostKey(3))
	}
	r.Version = wire.Version{Incarnation: incarnation, Sequence: sequence, Checksum: r.Checksum()}
	return wire.AgedRecord{Record: r}
}

// Whatever version of a host's record somebody makes up, and wherever it gets in, the host is not
// muted: all see its next container soon, and then for good.
func TestMadeUpVersionMutesNobody(t *testing.T) {
	versions := map[string][2]uint64{
		"last version": {lastCounter, lastCounter}, "last incarnation": {lastCounter, 1}, "last sequence": {1, lastCounter},
		"just within the limit": {1 << 32, lastCounter}, "just above it": {1<<32 + 99, 1},
	}
	ways := map[string]func(hosts []*host, r wire.AgedRecord){
		"as a record": func(hosts []*host, r wire.AgedRecord) {
			hosts[0].inject(hostKey(2), wire.Message{Kind: wire.KindRecords, Records: []wire.AgedRecord{r}})
		},
		"as a record from the owner": func(hosts []*host, r wire.AgedRecord) {
			hosts[0].inject(hostKey(3), wire.Message{Kind: wire.KindRecords, Records: []wire.AgedRecord{r}})
		},
		"as a digest": func(hosts []*host, r wire.AgedRecord) {
			for _, h := range hosts {
				h.inject(hostKey(2), wire.Message{Kind: wire.KindDigests, Digests: []wire.Digest{{Key: r.Key, Version: r.Version}}})
			}
		},
		"as a delta": func(hosts []*host, r wire.AgedRecord) {
			hosts[0].inject(hostKey(3), wire.Message{Kind: wire.KindDelta, Delta: wire.Delta{Base: r.Version, Version: r.Version}})
		},
		"as a request for an acknowledgement": func(hosts []*host, r wire.AgedRecord) {
			hosts[0].inject(hostKey(3), wire.Message{Kind: wire.KindAckRequest, Version: r.Version})
		},
	}
	for version, v := range versions {
		for way, inject := range ways {
			for _, left := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s left %v", version, way, left), func(t *testing.T) {
					inVirtualTime(t, func(t *testing.T, n *memnet) {
						hosts := startCluster(t, n, 4)
						inject(hosts, forged(left, v[0], v[1]))
						time.Sleep(2 * second)
						hosts[2].announce("c3", "next")
						hosts[3].crash()
						hosts[3] = startHost(t, n, 4) // it learns all anew
						hosts[3].announce("c4")
						changed := map[int]string{3: "c3 next"}
						for i, h := range hosts {
							if i != 2 {
								h.waitUntilSees(8*second, expectOthers(i+1, 4, changed))
							}
						}
						time.Sleep(time.Minute)
						for i, h := range hosts {
							if want := expectOthers(i+1, 4, changed); i != 2 && h.sees() != want {
								t.Errorf("a minute later host-%d sees %s", i+1, h.sees())
							}
						}
					})
				})
			}
		}
	}
}

// A host that was away while somebody made up a version of its record speaks for itself when it is
// back, also with those who know nothing else of it.
func TestMadeUpVersionOfAHostThatIsAway(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		hosts := startCluster(t, n, 3)
		hosts[2].crash()
		hosts[0].waitUntilSees(20*second, "host-2: c2, (host-3: c3)")
		hosts[0].crash()
		hosts[0] = startHost(t, n, 1, func(c *Config) { c.Seeds = append(c.Seeds, hostAddr(2)) })
		hosts[0].mu.Lock()
		made := wire.Message{Kind: wire.KindRecords, From: hostKey(3), Records: []wire.AgedRecord{forged(false, lastCounter, lastCounter)}}
		hosts[0].replica.Handle(made, time.Now())
		hosts[0].updateSnapshotLocked()
		hosts[0].mu.Unlock()
		hosts[0].waitUntilKnows(20*second, "host-2: c2, host-3: forged")
		hosts[2] = startHost(t, n, 3)
		hosts[2].announce("back")
		hosts[0].waitUntilSees(5*second, "host-2: c2, host-3: back")
		hosts[1].waitUntilSees(5*second, "host-1: c1, host-3: back")
	})
}

// libraryMessage is a message of memberlist's: that a node is suspected or dead, in an incarnation.
func libraryMessage(kind byte, incarnation uint32, node, from wire.Key) []byte {
	str := func(s string) []byte { return append([]byte{0xda, 0, byte(len(s))}, s...) }
	var m []byte
	m = append(m, kind, 0x83)
	m = append(append(m, str("Incarnation")...), 0xce, byte(incarnation>>24), byte(incarnation>>16), byte(incarnation>>8), byte(incarnation))
	m = append(append(m, str("Node")...), str(node.String())...)
	return append(append(m, str("From")...), str(from.String())...)
}

// memberlist has incarnations of its own, of 32 bits, that only the host itself raises. After the
// last one it cannot deny that it is dead. It answers all the same, and so nobody loses it, however
// often somebody says so and whatever the network loses.
func TestMadeUpIncarnationOfTheLibrary(t *testing.T) {
	const suspected, dead = 3, 5 // the kinds of memberlist's messages
	for _, tt := range []struct {
		kind        byte
		incarnation uint32
		hosts       int
		loss        float64
	}{
		{suspected, 1<<32 - 1, 5, 0}, {suspected, 1<<32 - 2, 5, 0}, {suspected, 1 << 31, 5, 0},
		{dead, 1<<32 - 1, 5, 0}, {dead, 1<<32 - 2, 5, 0}, {dead, 1 << 31, 5, 0}, {dead, 1<<32 - 1, 5, 0.1}, {dead, 1<<32 - 1, 25, 0},
	} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, n *memnet) {
				hosts := startUnencrypted(t, n, tt.hosts)
				n.setLoss(tt.loss)
				packet, err := memberlist.AddLabelHeaderToPacket(libraryMessage(tt.kind, tt.incarnation, hostKey(3), hostKey(2)), "test")
				if err != nil {
					t.Fatal(err)
				}
				hidden := 0
				for s := range 200 {
					if s%50 == 0 {
						if _, err := hosts[1].cfg.transport.WriteTo(packet, hostAddr(1).String()); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(second)
					for i, h := range hosts {
						if o, known := h.Snapshot().Find(hostName(3)); i != 2 && (!known || !o.Reachable()) {
							hidden++
						}
					}
				}
				if hidden > 0 {
					t.Errorf("hidden for %d s, on %d hosts together", hidden, tt.hosts-1)
				}
			})
		})
	}
}

// startUnencrypted starts hosts that list each other and have no key.
func startUnencrypted(t *testing.T, n *memnet, count int) (hosts []*host) {
	t.Helper()
	var all []netip.AddrPort
	for i := 1; i <= count; i++ {
		all = append(all, hostAddr(i))
	}
	for i := 1; i <= count; i++ {
		hosts = append(hosts, startHost(t, n, i, func(c *Config) { c.Keys, c.Seeds = nil, all }))
		hosts[i-1].announce(fmt.Sprint("c", i))
	}
	time.Sleep(20 * second)
	return hosts
}

// A host that is gone is hidden half a second after it was given up.
func TestHostThatIsGoneIsHidden(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		hosts := startUnencrypted(t, n, 4)
		hosts[2].crash()
		packet, err := memberlist.AddLabelHeaderToPacket(libraryMessage(5, 1<<31, hostKey(3), hostKey(2)), "test")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hosts[1].cfg.transport.WriteTo(packet, hostAddr(1).String()); err != nil {
			t.Fatal(err)
		}
		const want = doubtHellos * helloInterval
		if took := hosts[0].waitUntilSees(20*second, "host-2: c2, (host-3: c3), host-4: c4"); took < want || took > want+helloInterval {
			t.Errorf("it is hidden after %v", took)
		}
	})
}

// Where many are given up at once, none is asked: a part of the network is gone.
func TestManyHostsThatAreGoneAreHiddenAtOnce(t *testing.T) {
	p, err := New(Config{Host: NewLocalHost(wiretest.ID(1), hostName(1)), Bind: hostAddr(1)})
	if err != nil {
		t.Fatal(err)
	}
	const gone = maxDoubted + 8
	for i := 2; i < 2+gone; i++ {
		n := memberlist.Node{Name: hostKey(i).String(), Addr: hostAddr(i).Addr().AsSlice(), Port: DefaultPort}
		delegate{p}.NotifyJoin(&n)
	}
	for i := 2; i < 2+gone; i++ {
		delegate{p}.NotifyLeave(&memberlist.Node{Name: hostKey(i).String()})
	}
	if doubted, members := len(p.peers.doubted), len(p.peers.members); doubted != maxDoubted || members != maxDoubted {
		t.Errorf("%d are doubted, and %d are members", doubted, members)
	}
}
