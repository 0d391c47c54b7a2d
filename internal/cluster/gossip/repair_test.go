package gossip

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestPartitionHeals(t *testing.T) {
	for _, lasts := range []time.Duration{8 * second, 20 * time.Minute} { // suspected; reaped
		t.Run(lasts.String(), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, n *memnet) {
				var hosts []*host
				for i := 1; i <= 6; i++ {
					hosts = append(hosts, startHost(t, n, i))
					hosts[i-1].announce(fmt.Sprint("c", i))
				}
				for i, h := range hosts {
					h.waitUntilSees(5*second, expectOthers(i+1, 6, nil))
				}
				n.partition(1, hostAddr(4), hostAddr(5), hostAddr(6))
				time.Sleep(lasts)
				changed := map[int]string{2: "new2", 5: "new5"}
				hosts[1].announce("new2")
				hosts[4].announce("new5")
				if lasts > time.Minute {
					hosts[0].waitUntilSees(second, "host-2: new2, host-3: c3, (host-4: c4), (host-5: c5), (host-6: c6)")
					hosts[5].waitUntilSees(second, "(host-1: c1), (host-2: c2), (host-3: c3), host-4: c4, host-5: new5")
				}
				time.Sleep(5 * second)
				n.partition(0, hostAddr(4), hostAddr(5), hostAddr(6))
				begin := time.Now()
				for i, h := range hosts {
					h.waitUntilSees(time.Minute, expectOthers(i+1, 6, changed))
				}
				t.Logf("whole %v after the partition healed", time.Since(begin))
				if took := time.Since(begin); took > 30*second {
					t.Errorf("it took %v", took)
				}
				for _, h := range hosts {
					h.crash()
				}
			})
		})
	}
}

// The seed left before two hosts that know each other were partitioned.
func TestPartitionHealsWithoutTheSeed(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b, c := startHost(t, n, 1), startHost(t, n, 2), startHost(t, n, 3)
		b.announce("b")
		c.announce("c")
		b.waitUntilSees(3*second, "host-3: c")
		a.leave()
		n.partition(1, hostAddr(3))
		time.Sleep(10 * time.Minute)
		b.waitUntilSees(second, "(host-3: c)")
		n.partition(0, hostAddr(3))
		b.waitUntilSees(30*second, "host-3: c")
		b.crash()
		c.crash()
	})
}

func TestHostsStartedBeforeTheirSeedFindIt(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		b := startHost(t, n, 2)
		b.waitUntilSynced()
		b.announce("b")
		time.Sleep(10 * time.Minute)
		a := startHost(t, n, 1)
		a.announce("a")
		a.waitUntilSees(30*second, "host-2: b")
		b.waitUntilSees(second, "host-1: a")
		a.crash()
		b.crash()
	})
}

func TestReadyWithinTwoSeconds(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a := startHost(t, n, 1)
		gone := netip.MustParseAddrPort("198.18.9.9:7947")
		b := startHost(t, n, 2, func(c *Config) { c.Seeds = append(c.Seeds, gone) })
		n.partition(1, gone) // its packets vanish, and connecting to it takes its time
		begin := time.Now()
		b.waitUntilSynced()
		if took := time.Since(begin); took > 2*second {
			t.Errorf("ready after %v", took)
		}
		a.crash()
		b.crash()
	})
}

func TestForgetAfter(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		short := func(c *Config) { c.ForgetAfter = time.Hour }
		a, b, c := startHost(t, n, 1, short), startHost(t, n, 2, short), startHost(t, n, 3, short)
		a.announce("a")
		b.announce("b")
		c.announce("c")
		a.waitUntilSees(3*second, "host-2: b, host-3: c")
		b.waitUntilSees(3*second, "host-1: a, host-3: c")
		c.crash()
		a.waitUntilSees(20*second, "host-2: b, (host-3: c)")
		// A restarted agent learns of the lost host, and how long it has been lost.
		time.Sleep(40 * time.Minute)
		b.crash()
		b = startHost(t, n, 2, short)
		b.announce("b")
		b.waitUntilSees(3*second, "host-1: a, (host-3: c)")
		took := a.waitUntilSees(25*time.Minute, "host-2: b")
		if took < 19*time.Minute {
			t.Errorf("forgotten after %v", took)
		}
		b.waitUntilSees(5*second, "host-1: a")
		for range 150 {
			time.Sleep(time.Minute)
			if a.sees() != "host-2: b" || b.sees() != "host-1: a" {
				t.Fatalf("a forgotten host came back: %s; %s", a.sees(), b.sees())
			}
		}
		if a.Stats().Entries != 1 || b.Stats().Entries != 1 {
			t.Errorf("%d and %d entries are left", a.Stats().Entries, b.Stats().Entries)
		}
		c = startHost(t, n, 3, short)
		c.announce("c")
		a.waitUntilSees(5*second, "host-2: b, host-3: c")
		for _, h := range []*host{a, b, c} {
			h.crash()
		}
	})
}

// A host that was cut off until the others forgot it comes back without a restart of its agent, so
// with the version that they forgot.
func TestForgottenHostReturnsUnchanged(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		short := func(c *Config) { c.ForgetAfter = time.Hour }
		a, b := startHost(t, n, 1, short), startHost(t, n, 2, short)
		a.announce("a")
		b.announce("b")
		a.waitUntilSees(3*second, "host-2: b")
		b.waitUntilSees(3*second, "host-1: a")
		n.partition(1, hostAddr(2))
		time.Sleep(90 * time.Minute)
		if a.sees() != "" || b.sees() != "" {
			t.Errorf("after 90 minutes: %s; %s", a.sees(), b.sees())
		}
		n.partition(0, hostAddr(2))
		a.waitUntilSees(30*second, "host-2: b")
		b.waitUntilSees(30*second, "host-1: a")
		a.crash()
		b.crash()
	})
}

func TestLossIsRepaired(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		n.setLoss(0.3)
		var hosts []*host
		for i := 1; i <= 5; i++ {
			hosts = append(hosts, startHost(t, n, i))
			hosts[i-1].announce(fmt.Sprint("c", i))
		}
		for i, h := range hosts {
			h.waitUntilKnows(time.Minute, expectOthers(i+1, 5, nil))
		}
		for round := range 20 {
			hosts[1].announce(fmt.Sprint("round", round))
			for i, h := range hosts {
				if i != 1 {
					// Each second repairs half of what is left: of 76,000 waits 350 took 6 s, 40
					// took 8 s, and 9 over 10 s.
					h.waitUntilKnows(40*second, expectOthers(i+1, 5, map[int]string{2: fmt.Sprint("round", round)}))
				}
			}
		}
		for _, h := range hosts {
			h.crash()
		}
	})
}

// Between two hosts no packet passes. One learns the other's record from the third: half of the
// time by gossip at once, else by the comparison of hashes.
func TestGossipPassesALostRecordOn(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b, c := startHost(t, n, 1), startHost(t, n, 2), startHost(t, n, 3)
		c.announce("c")
		a.announce("a")
		b.waitUntilSees(3*second, "host-1: a, host-3: c")
		n.dropPackets(hostAddr(1), hostAddr(2))
		const rounds = 200
		byGossip := 0
		for i := range rounds {
			time.Sleep(second)
			a.announce(fmt.Sprint("a", i))
			if took := b.waitUntilSees(10*second, fmt.Sprintf("host-1: a%d, host-3: c", i)); took < 250*time.Millisecond {
				byGossip++
			}
		}
		t.Logf("%d of %d were seen at once", byGossip, rounds)
		if byGossip < rounds*4/10 {
			t.Errorf("only %d of %d", byGossip, rounds)
		}
	})
}
