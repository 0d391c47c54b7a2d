package gossip

import (
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
	"vxlan-driver/internal/clusterkey"
)

// refusalCounts returns how often a plane refused something, by reason. A reason that never occurred
// is left out.
func (p *Plane) refusalCounts() map[refusal.Reason]uint64 {
	counts := make(map[refusal.Reason]uint64)
	for _, r := range p.refusals.Refusals() {
		counts[refusal.Reason(r.Reason)] = r.Count
	}
	return counts
}

// Of two hosts in a cluster, none accepts a third that must be refused.
func TestThirdHostIsRefused(t *testing.T) {
	otherKey := clusterkey.Key{9}
	noKey := func(c *Config) { c.Keys, c.Seeds = nil, []netip.AddrPort{hostAddr(1), hostAddr(2)} }
	tests := []struct {
		name    string
		good    func(*Config) // of the two
		bad     func(*Config) // of the third
		counted []refusal.Reason
		logged  string
		noticed refusal.Reason // what the third counts itself; "": nothing
	}{
		{
			name: "wrong key", good: func(*Config) {}, bad: func(c *Config) { c.Keys = []clusterkey.Key{otherKey} },
			counted: []refusal.Reason{refusal.ReasonWrongKey}, logged: `reason="wrong key"`,
			noticed: refusal.ReasonWrongKey,
		},
		{
			name: "no key where there should be one", good: func(*Config) {}, bad: func(c *Config) { c.Keys = nil },
			counted: []refusal.Reason{refusal.ReasonWrongKey}, logged: `reason="wrong key"`,
		},
		{
			name: "a key where there is none", good: func(c *Config) { noKey(c); c.Allowed = []netip.Addr{hostAddr(3).Addr()} },
			bad:     func(*Config) {},
			counted: []refusal.Reason{refusal.ReasonWrongKey, refusal.ReasonMalformed}, logged: `gossip refused`,
		},
		{
			name: "wrong label", good: func(*Config) {}, bad: func(c *Config) { c.Label = "production" },
			counted: []refusal.Reason{refusal.ReasonWrongLabel}, logged: `reason="wrong cluster label"`,
			noticed: refusal.ReasonRefusedThere,
		},
		{
			name: "no label", good: func(*Config) {}, bad: func(c *Config) { c.Label = "" },
			counted: []refusal.Reason{refusal.ReasonWrongLabel}, logged: `reason="wrong cluster label"`,
			noticed: refusal.ReasonRefusedThere,
		},
		{
			name: "wrong version", good: func(*Config) {}, bad: func(c *Config) { c.formats = wire.Range{Min: 2, Max: 2} },
			counted: []refusal.Reason{refusal.ReasonWrongVersion}, logged: `reason="wrong protocol version"`,
			noticed: refusal.ReasonWrongVersion,
		},
		{
			name: "unlisted", good: noKey, bad: noKey,
			counted: []refusal.Reason{refusal.ReasonUnlisted}, logged: `reason="host is not listed"`,
			noticed: refusal.ReasonUnlistedThere,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, n *memnet) {
				a, b := startHost(t, n, 1, tt.good), startHost(t, n, 2, tt.good)
				a.announce("a")
				b.announce("b")
				a.waitUntilSees(3*second, "host-2: b")
				b.waitUntilSees(3*second, "host-1: a")
				bad := startHost(t, n, 3, tt.bad)
				bad.announce("evil")
				time.Sleep(time.Minute)
				if a.sees() != "host-2: b" || b.sees() != "host-1: a" || bad.sees() != "" {
					t.Errorf("a sees %s, b %s, the third %s", a.sees(), b.sees(), bad.sees())
				}
				count, lines := uint64(0), a.log.Count(tt.logged)
				for _, why := range tt.counted {
					count += a.refusalCounts()[why]
				}
				// Every ten seconds a line, for each reason: what is encrypted may look like anything.
				if most := 7 * len(a.refusals.Refusals()); count == 0 || lines == 0 || lines > most {
					t.Errorf("counted %d, logged %d lines in a minute\n%s", count, lines, a.log.String())
				}
				if tt.noticed != "" && bad.refusalCounts()[tt.noticed] == 0 {
					t.Errorf("the third noticed nothing: %+v\n%s", bad.refusals.Refusals(), bad.log.String())
				}
				if s := a.Stats(); s.Members != 2 {
					t.Errorf("%d members", s.Members)
				}
				a.announce("a", "z")
				b.waitUntilSees(second, "host-1: a z")
			})
		})
	}
}

func TestMissingKeyIsLogged(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a := startHost(t, n, 1, func(c *Config) { c.Keys = nil })
		time.Sleep(time.Second)
		if a.log.Count("neither encrypted nor authenticated") != 1 {
			t.Errorf("logged\n%s", a.log.String())
		}
	})
}

func TestHostListedLaterIsAccepted(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		noKey := func(c *Config) { c.Keys = nil }
		a, b := startHost(t, n, 1, noKey), startHost(t, n, 2, noKey)
		b.announce("b")
		time.Sleep(time.Minute)
		if a.sees() != "" {
			t.Fatalf("sees %s", a.sees())
		}
		if err := a.Set(cluster.Local{Listed: []netip.AddrPort{hostAddr(2)}}); err != nil {
			t.Fatal(err)
		}
		a.waitUntilSees(2*second, "host-2: b")
	})
}

// A listed host's record is refused if it has a VTEP that is not listed.
func TestUnlistedVTEPIsRefused(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		noKey := func(c *Config) { c.Keys, c.Seeds = nil, []netip.AddrPort{hostAddr(1), hostAddr(2)} }
		a, b := startHost(t, n, 1, noKey), startHost(t, n, 2, noKey)
		if err := b.Set(cluster.Local{Memberships: []cluster.Membership{wiretest.Membership(hostAddr(9).Addr(), "b")}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * second)
		if got := a.refusalCounts(); got["host is not listed"] == 0 || len(got) != 1 {
			t.Errorf("refused %v", got)
		}
		if s := a.Stats(); a.sees() != "" || a.refusalCounts()[refusal.ReasonUnlisted] == 0 || s.Members != 2 {
			t.Errorf("sees %s, %+v", a.sees(), s)
		}
	})
}

// Without a key, a message is refused that is right in all but its source address.
func TestUnlistedSenderCannotSpeakForListedHost(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		noKey := func(c *Config) { c.Keys, c.Seeds = nil, []netip.AddrPort{hostAddr(1), hostAddr(2)} }
		a, b := startHost(t, n, 1, noKey), startHost(t, n, 2, noKey)
		b.announce("b")
		a.waitUntilSees(3*second, "host-2: b")
		r := wire.NewRecord(hostKey(2), hostName(2), []cluster.Membership{wiretest.Membership(hostAddr(2).Addr(), "evil")})
		r.Version = wire.Version{Incarnation: 9, Sequence: 1, Checksum: r.Checksum()}
		forged := wire.Message{Kind: wire.KindRecords, From: hostKey(2), Records: []wire.AgedRecord{{Record: r}}}.Encode()
		packet, err := memberlist.AddLabelHeaderToPacket(append([]byte{8}, forged...), "test") // 8: a user's message
		if err != nil {
			t.Fatal(err)
		}
		evil := n.transport(hostAddr(3))
		if _, err := evil.WriteTo(packet, hostAddr(1).String()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(second)
		if refused := a.refusalCounts(); a.sees() != "host-2: b" || refused[refusal.ReasonUnlisted] != 1 {
			t.Errorf("sees %s, %+v", a.sees(), refused)
		}
		conn, err := evil.DialTimeout(hostAddr(1).String(), second)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(second))
		// A stream is answered by a notice, and what is sent on it is thrown away.
		if _, err := conn.Write(packet); err != nil {
			t.Error(err)
		}
		const notice = "vxland does not list 198.18.0.3\n"
		answer := make([]byte, len(notice))
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != notice {
			t.Errorf("answered %q, %v", answer, err)
		}
		_ = conn.Close()
		if a.sees() != "host-2: b" {
			t.Errorf("sees %s", a.sees())
		}
		// The same packet from the host's own address is accepted: the test is sound.
		if _, err := b.cfg.transport.WriteTo(packet, hostAddr(1).String()); err != nil {
			t.Fatal(err)
		}
		a.waitUntilSees(second, "host-2: evil")
		a.waitUntilSees(5*second, "host-2: b") // the owner goes above it
	})
}

func TestKeyRotation(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		next := clusterkey.Key{7}
		keys := func(k ...clusterkey.Key) func(*Config) { return func(c *Config) { c.Keys = k } }
		a, b := startHost(t, n, 1, keys(testKey, next)), startHost(t, n, 2, keys(next, testKey))
		a.announce("a")
		b.announce("b")
		a.waitUntilSees(3*second, "host-2: b")
		b.waitUntilSees(3*second, "host-1: a")
		c := startHost(t, n, 3, keys(next))
		c.announce("c")
		b.waitUntilSees(3*second, "host-1: a, host-3: c")
	})
}

// Two hosts of one name are two hosts. Only people have to tell them apart, by their addresses.
func TestTwoHostsOfOneName(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		sameName := func(c *Config) { c.Host.SetName("twin") }
		a, b, c := startHost(t, n, 1), startHost(t, n, 2, sameName), startHost(t, n, 3, sameName)
		b.announce("b")
		c.announce("c")
		a.waitUntilSees(3*second, "twin: b, twin: c")
		b.waitUntilSees(3*second, "twin: c")
		if hosts := a.Snapshot().Hosts; hosts[0].Label() != "twin (198.18.0.2)" || hosts[1].Label() != "twin (198.18.0.3)" {
			t.Errorf("a person sees %s and %s", hosts[0].Label(), hosts[1].Label())
		}
		if refused := a.refusals.Refusals(); len(refused) > 0 {
			t.Errorf("refused %+v", refused)
		}
	})
}

// Random bytes, in packets and streams, from a listed host or without a key, break nothing.
func TestGarbageBreaksNothing(t *testing.T) {
	for _, keys := range [][]clusterkey.Key{{testKey}, nil} {
		inVirtualTime(t, func(t *testing.T, n *memnet) {
			conf := func(c *Config) { c.Keys, c.Seeds = keys, []netip.AddrPort{hostAddr(1), hostAddr(2), hostAddr(3)} }
			a, b := startHost(t, n, 1, conf), startHost(t, n, 2, conf)
			b.announce("b")
			a.waitUntilSees(3*second, "host-2: b")
			evil := n.transport(hostAddr(3))
			rng := rand.New(rand.NewPCG(3, 4))
			for i := range 3000 {
				data := make([]byte, 1+rng.IntN(200))
				for j := range data {
					data[j] = byte(rng.Uint32())
				}
				data[0] = byte(i % 16) // memberlist's message types
				if i%2 == 0 {
					data, _ = memberlist.AddLabelHeaderToPacket(data, "test")
				}
				if i%100 == 0 {
					conn, err := evil.DialTimeout(hostAddr(1).String(), second)
					if err != nil {
						t.Fatal(err)
					}
					_ = conn.SetDeadline(time.Now().Add(second))
					_, _ = conn.Write(data)
					_ = conn.Close()
				}
				_, _ = evil.WriteTo(data, hostAddr(1).String())
				time.Sleep(time.Millisecond)
			}
			time.Sleep(10 * second)
			b.announce("b", "c")
			a.waitUntilSees(3*second, "host-2: b c")
			if n := a.refusalCounts(); n[refusal.ReasonMalformed]+n[refusal.ReasonWrongKey]+n[refusal.ReasonWrongLabel] < 1000 {
				t.Errorf("%+v", n)
			}
		})
	}
}

// Nothing is accepted from a host that is not a member yet. Its requests are answered, as it may
// have joined a moment ago.
func TestUnknownSenderMayOnlyRequest(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		a.announce("a")
		b.announce("b")
		a.waitUntilSees(3*second, "host-2: b")
		r := wire.NewRecord(hostKey(3), hostName(3), []cluster.Membership{wiretest.Membership(hostAddr(3).Addr(), "c")})
		r.Version = wire.Version{Incarnation: 1, Sequence: 1, Checksum: r.Checksum()}
		messageFrom := func(host wire.Key, m wire.Message) []byte {
			m.From = host
			return m.Encode()
		}
		a.cancel() // nothing empties the outbox any more
		<-a.done
		before := len(a.outbox.queued)
		elsewhere := wire.Key{ID: wiretest.ID(2), Addr: hostAddr(3)} // its ID is that of a member
		for _, host := range []wire.Key{hostKey(3), elsewhere} {
			delegate{a.Plane}.receive(messageFrom(host, wire.Message{Kind: wire.KindRecords, Records: []wire.AgedRecord{{Record: r}}}))
			delegate{a.Plane}.receive(messageFrom(host, wire.Message{Kind: wire.KindDigests, Complete: true, Digests: []wire.Digest{{Key: r.Key, Version: r.Version}}}))
			delegate{a.Plane}.receive(messageFrom(host, wire.Message{Kind: wire.KindSummary, Hash: 1}))
		}
		if len(a.outbox.queued) != before || strings.Contains(a.sees(), "host-3") {
			t.Errorf("%d messages, sees %s", len(a.outbox.queued)-before, a.sees())
		}
		delegate{a.Plane}.receive(messageFrom(hostKey(3), wire.Message{Kind: wire.KindRequest, Hosts: []wire.Key{hostKey(1), hostKey(2)}}))
		if len(a.outbox.queued) != before+1 || nodeAddr(a.outbox.queued[before].to) != hostAddr(3) {
			t.Errorf("%d messages", len(a.outbox.queued)-before)
		}
		if s := a.Stats(); s.UnknownSenders != 7 {
			t.Errorf("%+v", s)
		}
		a.done <- nil
	})
}

func TestInvalidMessagesOfAMemberAreRefused(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		b.announce("b")
		a.waitUntilSees(3*second, "host-2: b")
		valid := wire.Message{Kind: wire.KindSummary, From: hostKey(2), Hash: 1}.Encode()
		newer := append([]byte(nil), valid...)
		newer[0] = wire.Supported.Max + 1
		base := b.ownVersion()
		wrongDelta := wire.Message{
			Kind: wire.KindDelta, From: hostKey(2),
			Delta: wire.Delta{Base: base, Version: wire.Version{Incarnation: 1, Sequence: 9}},
		}.Encode()
		for _, m := range [][]byte{newer, valid[:5], append(valid, 0), {}, wrongDelta} {
			delegate{a.Plane}.receive(m)
		}
		if n := a.refusalCounts(); n[refusal.ReasonWrongVersion] != 1 || n[refusal.ReasonMalformed] != 4 {
			t.Errorf("%+v", n)
		}
		time.Sleep(5 * second)
		if a.sees() != "host-2: b" {
			t.Errorf("sees %s", a.sees())
		}
	})
}
