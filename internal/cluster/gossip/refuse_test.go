package gossip

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster"
)

// Two hosts run as they should, and a third is to be kept out.
func TestRefused(t *testing.T) {
	otherKey := Key{9}
	noKey := func(c *Config) { c.Keys, c.Seeds = nil, []netip.AddrPort{addrOf(1), addrOf(2)} }
	tests := []struct {
		name     string
		good     func(*Config) // of the two
		bad      func(*Config) // of the third
		count    func(Stats) uint64
		logged   string
		badCount func(Stats) uint64 // what the third notices itself; nil: nothing
	}{
		{
			name: "wrong key", good: func(*Config) {}, bad: func(c *Config) { c.Keys = []Key{otherKey} },
			count: func(s Stats) uint64 { return s.WrongKey }, logged: `reason="wrong key"`,
			badCount: func(s Stats) uint64 { return s.WrongKey },
		},
		{
			name: "no key where there should be one", good: func(*Config) {}, bad: func(c *Config) { c.Keys = nil },
			count: func(s Stats) uint64 { return s.WrongKey }, logged: `reason="wrong key"`,
		},
		{
			name: "a key where there is none", good: func(c *Config) { noKey(c); c.Allowed = []netip.Addr{addrOf(3).Addr()} },
			bad:   func(*Config) {},
			count: func(s Stats) uint64 { return s.WrongKey + s.Malformed }, logged: `gossip refused`,
		},
		{
			name: "wrong label", good: func(*Config) {}, bad: func(c *Config) { c.Label = "production" },
			count: func(s Stats) uint64 { return s.WrongLabel }, logged: `reason="wrong cluster label"`,
			badCount: func(s Stats) uint64 { return s.NoAnswer },
		},
		{
			name: "no label", good: func(*Config) {}, bad: func(c *Config) { c.Label = "" },
			count: func(s Stats) uint64 { return s.WrongLabel }, logged: `reason="wrong cluster label"`,
			badCount: func(s Stats) uint64 { return s.NoAnswer },
		},
		{
			name: "wrong version", good: func(*Config) {}, bad: func(c *Config) { c.version = 2 },
			count: func(s Stats) uint64 { return s.WrongVersion }, logged: `reason="wrong protocol version"`,
			badCount: func(s Stats) uint64 { return s.WrongVersion },
		},
		{
			name: "unlisted", good: noKey, bad: noKey,
			count: func(s Stats) uint64 { return s.Unlisted }, logged: `reason="host is not listed"`,
			badCount: func(s Stats) uint64 { return s.NoAnswer },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *memnet) {
				a, b := start(t, n, 1, tt.good), start(t, n, 2, tt.good)
				a.has("a")
				b.has("b")
				a.wait(3*second, "host-2: b")
				b.wait(3*second, "host-1: a")
				bad := start(t, n, 3, tt.bad)
				bad.has("evil")
				time.Sleep(time.Minute)
				if a.sees() != "host-2: b" || b.sees() != "host-1: a" || bad.sees() != "" {
					t.Errorf("a sees %s, b %s, the third %s", a.sees(), b.sees(), bad.sees())
				}
				count, lines := tt.count(a.Stats()), a.log.count(tt.logged)
				if count == 0 || lines == 0 || lines > 7 {
					t.Errorf("counted %d, logged %d lines in a minute\n%s", count, lines, a.log.buf.String())
				}
				if tt.badCount != nil && tt.badCount(bad.Stats()) == 0 {
					t.Errorf("the third noticed nothing: %+v\n%s", bad.Stats(), bad.log.buf.String())
				}
				if s := a.Stats(); s.Members != 2 {
					t.Errorf("%d members", s.Members)
				}
				a.has("a", "z")
				b.wait(second, "host-1: a z")
			})
		})
	}
}

func TestWithoutAKeyItSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a := start(t, n, 1, func(c *Config) { c.Keys = nil })
		time.Sleep(time.Second)
		if a.log.count("neither encrypted nor authenticated") != 1 {
			t.Errorf("logged\n%s", a.log.buf.String())
		}
	})
}

// Listing a host later lets it in.
func TestSetSeedsLists(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		noKey := func(c *Config) { c.Keys = nil }
		a, b := start(t, n, 1, noKey), start(t, n, 2, noKey)
		b.has("b")
		time.Sleep(time.Minute)
		if a.sees() != "" {
			t.Fatalf("sees %s", a.sees())
		}
		a.SetSeeds([]netip.AddrPort{addrOf(2)})
		a.wait(2*second, "host-2: b")
	})
}

// A listed host that claims a VTEP which is not listed is not believed.
func TestUnlistedVTEP(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		noKey := func(c *Config) { c.Keys, c.Seeds = nil, []netip.AddrPort{addrOf(1), addrOf(2)} }
		a, b := start(t, n, 1, noKey), start(t, n, 2, noKey)
		if err := b.Set([]cluster.Membership{attachment(addrOf(9).Addr(), "b")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * second)
		if got := a.Refused(); got["host is not listed"] == 0 || len(got) != 1 {
			t.Errorf("refused %v", got)
		}
		if s := a.Stats(); a.sees() != "" || s.Unlisted == 0 || s.Members != 2 {
			t.Errorf("sees %s, %+v", a.sees(), s)
		}
	})
}

// Without a key, a message that is right in all but the address it comes from.
func TestUnlistedSenderSpeaksForAListedHost(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		noKey := func(c *Config) { c.Keys, c.Seeds = nil, []netip.AddrPort{addrOf(1), addrOf(2)} }
		a, b := start(t, n, 1, noKey), start(t, n, 2, noKey)
		b.has("b")
		a.wait(3*second, "host-2: b")
		r := record{name: nameOf(2), attachments: []cluster.Membership{attachment(addrOf(2).Addr(), "evil")}}
		r.version = version{incarnation: 9, sequence: 1, sum: contentSum(false, r.attachments)}
		forged := b.encode(message{kind: kindRecords, records: []held{{record: r}}})
		packet, err := memberlist.AddLabelHeaderToPacket(append([]byte{8}, forged...), "test") // 8: a user's message
		if err != nil {
			t.Fatal(err)
		}
		evil := n.transport(addrOf(3))
		if _, err := evil.WriteTo(packet, addrOf(1).String()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(second)
		if s := a.Stats(); a.sees() != "host-2: b" || s.Unlisted != 1 {
			t.Errorf("sees %s, %+v", a.sees(), s)
		}
		conn, err := evil.DialTimeout(addrOf(1).String(), second)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(second))
		if _, err := conn.Write(packet); err == nil {
			t.Error("the stream was read")
		}
		// From where it is believed, the packet does what it says: the test is sound.
		if _, err := b.cfg.transport.WriteTo(packet, addrOf(1).String()); err != nil {
			t.Fatal(err)
		}
		a.wait(second, "host-2: evil")
		a.wait(5*second, "host-2: b") // and its owner goes above it
	})
}

func TestKeyRotation(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		next := Key{7}
		keys := func(k ...Key) func(*Config) { return func(c *Config) { c.Keys = k } }
		a, b := start(t, n, 1, keys(testKey, next)), start(t, n, 2, keys(next, testKey))
		a.has("a")
		b.has("b")
		a.wait(3*second, "host-2: b")
		b.wait(3*second, "host-1: a")
		c := start(t, n, 3, keys(next))
		c.has("c")
		b.wait(3*second, "host-1: a, host-3: c")
	})
}

func TestTwoHostsOfOneName(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b := start(t, n, 1), start(t, n, 2)
		b.has("b")
		a.wait(3*second, "host-2: b")
		start(t, n, 3, func(c *Config) { c.Name = nameOf(2) })
		time.Sleep(10 * second)
		if a.Stats().Conflicts == 0 || a.log.count("another host has this name") == 0 {
			t.Errorf("%+v\n%s", a.Stats(), a.log.buf.String())
		}
		if a.sees() != "host-2: b" {
			t.Errorf("sees %s", a.sees())
		}
	})
}

// Whatever bytes come, in packets and streams, from a listed host or with no key
// at all, nothing breaks.
func TestGarbage(t *testing.T) {
	for _, keys := range [][]Key{{testKey}, nil} {
		bubble(t, func(t *testing.T, n *memnet) {
			conf := func(c *Config) { c.Keys, c.Seeds = keys, []netip.AddrPort{addrOf(1), addrOf(2), addrOf(3)} }
			a, b := start(t, n, 1, conf), start(t, n, 2, conf)
			b.has("b")
			a.wait(3*second, "host-2: b")
			evil := n.transport(addrOf(3))
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
					conn, err := evil.DialTimeout(addrOf(1).String(), second)
					if err != nil {
						t.Fatal(err)
					}
					_ = conn.SetDeadline(time.Now().Add(second))
					_, _ = conn.Write(data)
					_ = conn.Close()
				}
				_, _ = evil.WriteTo(data, addrOf(1).String())
				time.Sleep(time.Millisecond)
			}
			time.Sleep(10 * second)
			b.has("b", "c")
			a.wait(3*second, "host-2: b c")
			if s := a.Stats(); s.Malformed+s.WrongKey+s.WrongLabel < 1000 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// From a host that is not known yet nothing is taken, but it is told what it asks
// for: it may have joined a moment ago.
func TestStrangers(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b := start(t, n, 1), start(t, n, 2)
		a.has("a")
		b.has("b")
		a.wait(3*second, "host-2: b")
		r := record{name: nameOf(3), attachments: []cluster.Membership{attachment(addrOf(3).Addr(), "c")}}
		r.version = version{incarnation: 1, sequence: 1, sum: contentSum(false, r.attachments)}
		says := func(name string, i int, m message) []byte {
			m.from, m.addr = name, addrOf(i)
			return m.encode()
		}
		sent := func() int { a.mu.Lock(); defer a.mu.Unlock(); return len(a.outbox) }
		a.cancel() // nothing empties the outbox any more
		<-a.done
		before := sent()
		for _, name := range []string{nameOf(3), nameOf(2)} { // the second one is a member, elsewhere
			a.receive(says(name, 3, message{kind: kindRecords, records: []held{{record: r}}}))
			a.receive(says(name, 3, message{kind: kindDigests, full: true, digests: []digest{{name: r.name, version: r.version}}}))
			a.receive(says(name, 3, message{kind: kindSummary, hash: 1}))
		}
		if sent() != before || strings.Contains(a.sees(), "host-3") {
			t.Errorf("%d messages, sees %s", sent()-before, a.sees())
		}
		a.receive(says(nameOf(3), 3, message{kind: kindWant, names: []string{nameOf(1), nameOf(2)}}))
		if sent() != before+1 || addrOfNode(a.outbox[before].to) != addrOf(3) {
			t.Errorf("%d messages", sent()-before)
		}
		if s := a.Stats(); s.UnknownSenders != 7 {
			t.Errorf("%+v", s)
		}
		a.done <- nil
	})
}

// Messages of ours that a member sends and that are not valid.
func TestInvalidMessages(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b := start(t, n, 1), start(t, n, 2)
		b.has("b")
		a.wait(3*second, "host-2: b")
		valid := b.encode(message{kind: kindSummary, hash: 1})
		newer := append([]byte(nil), valid...)
		newer[0] = protocolVersion + 1
		wrongDelta := b.encode(message{kind: kindDelta, delta: delta{base: b.own.version, version: version{incarnation: 1, sequence: 9}}})
		for _, m := range [][]byte{newer, valid[:5], append(valid, 0), {}, wrongDelta} {
			a.receive(m)
		}
		if s := a.Stats(); s.WrongVersion != 1 || s.Malformed != 4 {
			t.Errorf("%+v", s)
		}
		time.Sleep(5 * second)
		if a.sees() != "host-2: b" {
			t.Errorf("sees %s", a.sees())
		}
	})
}

func TestStreamsAreLimited(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a := start(t, n, 1)
		<-a.Ready()
		evil := n.transport(addrOf(3))
		var conns []net.Conn
		for range maxStreamsHost + 5 {
			conn, err := evil.DialTimeout(addrOf(1).String(), second)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		synctest.Wait()
		if s := a.Stats(); s.Overload != 5 {
			t.Errorf("refused %d streams", s.Overload)
		}
		// Each ends by itself, and then there is room again.
		time.Sleep(2 * streamTimeout)
		for _, conn := range conns {
			_ = conn.Close()
		}
		b := start(t, n, 2)
		b.has("b")
		a.wait(3*second, "host-2: b")
	})
}

func TestStreamEndsAtItsLimit(t *testing.T) {
	ours, theirs := net.Pipe()
	released := 0
	s := &stream{Conn: ours, left: 10, done: func() { released++ }}
	go func() { _, _ = theirs.Write(make([]byte, 20)) }()
	buf := make([]byte, 20)
	if n, err := s.Read(buf); n != 10 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	if _, err := s.Read(buf); err == nil {
		t.Error("read on")
	}
	_ = s.Close()
	_ = s.Close()
	_ = theirs.Close()
	if released != 1 {
		t.Errorf("released %d times", released)
	}
}
