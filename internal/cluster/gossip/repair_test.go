package gossip

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func TestPartitionHeals(t *testing.T) {
	for _, lasts := range []time.Duration{8 * second, 20 * time.Minute} { // suspected; reaped
		t.Run(lasts.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, n *memnet) {
				var hosts []*host
				for i := 1; i <= 6; i++ {
					hosts = append(hosts, start(t, n, i))
					hosts[i-1].has(fmt.Sprint("c", i))
				}
				for i, h := range hosts {
					h.wait(5*second, others(i+1, 6, nil))
				}
				n.partition(1, addrOf(4), addrOf(5), addrOf(6))
				time.Sleep(lasts)
				changed := map[int]string{2: "new2", 5: "new5"}
				hosts[1].has("new2")
				hosts[4].has("new5")
				if lasts > time.Minute {
					hosts[0].wait(second, "host-2: new2, host-3: c3, (host-4: c4), (host-5: c5), (host-6: c6)")
					hosts[5].wait(second, "(host-1: c1), (host-2: c2), (host-3: c3), host-4: c4, host-5: new5")
				}
				time.Sleep(5 * second)
				n.partition(0, addrOf(4), addrOf(5), addrOf(6))
				begin := time.Now()
				for i, h := range hosts {
					h.wait(time.Minute, others(i+1, 6, changed))
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

// The seed went away for good before two hosts that know of each other were parted.
func TestPartitionHealsWithoutTheSeed(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b, c := start(t, n, 1), start(t, n, 2), start(t, n, 3)
		b.has("b")
		c.has("c")
		b.wait(3*second, "host-3: c")
		a.leave()
		n.partition(1, addrOf(3))
		time.Sleep(10 * time.Minute)
		b.wait(second, "(host-3: c)")
		n.partition(0, addrOf(3))
		b.wait(30*second, "host-3: c")
		b.crash()
		c.crash()
	})
}

func TestHostsStartedBeforeTheirSeedFindIt(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		b := start(t, n, 2)
		<-b.Ready()
		b.has("b")
		time.Sleep(10 * time.Minute)
		a := start(t, n, 1)
		a.has("a")
		a.wait(30*second, "host-2: b")
		b.wait(second, "host-1: a")
		a.crash()
		b.crash()
	})
}

func TestReadyWithinTwoSeconds(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a := start(t, n, 1)
		gone := netip.MustParseAddrPort("198.18.9.9:7947")
		b := start(t, n, 2, func(c *Config) { c.Seeds = append(c.Seeds, gone) })
		n.partition(1, gone) // its packets vanish, and connecting to it takes its time
		begin := time.Now()
		<-b.Ready()
		if took := time.Since(begin); took > 2*second {
			t.Errorf("ready after %v", took)
		}
		a.crash()
		b.crash()
	})
}

func TestForgetAfter(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		short := func(c *Config) { c.ForgetAfter = time.Hour }
		a, b, c := start(t, n, 1, short), start(t, n, 2, short), start(t, n, 3, short)
		a.has("a")
		b.has("b")
		c.has("c")
		a.wait(3*second, "host-2: b, host-3: c")
		b.wait(3*second, "host-1: a, host-3: c")
		c.crash()
		a.wait(20*second, "host-2: b, (host-3: c)")
		// A restarted agent learns of the lost host, and since when it is lost.
		time.Sleep(40 * time.Minute)
		b.crash()
		b = start(t, n, 2, short)
		b.has("b")
		b.wait(3*second, "host-1: a, (host-3: c)")
		took := a.wait(25*time.Minute, "host-2: b")
		if took < 19*time.Minute {
			t.Errorf("forgotten after %v", took)
		}
		b.wait(5*second, "host-1: a")
		for range 150 {
			time.Sleep(time.Minute)
			if a.sees() != "host-2: b" || b.sees() != "host-1: a" {
				t.Fatalf("a forgotten host came back: %s; %s", a.sees(), b.sees())
			}
		}
		if len(a.table.entries) != 1 || len(b.table.entries) != 1 {
			t.Errorf("%d and %d entries are left", len(a.table.entries), len(b.table.entries))
		}
		c = start(t, n, 3, short)
		c.has("c")
		a.wait(5*second, "host-2: b, host-3: c")
		for _, h := range []*host{a, b, c} {
			h.crash()
		}
	})
}

// A host that was away for longer than the others remember comes back with the
// agent that it had: the version that they forgot.
func TestForgottenHostReturnsUnchanged(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		short := func(c *Config) { c.ForgetAfter = time.Hour }
		a, b := start(t, n, 1, short), start(t, n, 2, short)
		a.has("a")
		b.has("b")
		a.wait(3*second, "host-2: b")
		b.wait(3*second, "host-1: a")
		n.partition(1, addrOf(2))
		time.Sleep(90 * time.Minute)
		if a.sees() != "" || b.sees() != "" {
			t.Errorf("after 90 minutes: %s; %s", a.sees(), b.sees())
		}
		n.partition(0, addrOf(2))
		a.wait(30*second, "host-2: b")
		b.wait(30*second, "host-1: a")
		a.crash()
		b.crash()
	})
}

func TestLossIsRepaired(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		n.setLoss(0.3)
		var hosts []*host
		for i := 1; i <= 5; i++ {
			hosts = append(hosts, start(t, n, i))
			hosts[i-1].has(fmt.Sprint("c", i))
		}
		for i, h := range hosts {
			h.waitShown(time.Minute, others(i+1, 5, nil))
		}
		for round := range 20 {
			hosts[1].has(fmt.Sprint("round", round))
			for i, h := range hosts {
				if i != 1 {
					// Each second repairs half of what is left: of 76,000 waits 350 took 6 s, 40 took 8 s, and 9 over 10 s.
					h.waitShown(40*second, others(i+1, 5, map[int]string{2: fmt.Sprint("round", round)}))
				}
			}
		}
		for _, h := range hosts {
			h.crash()
		}
	})
}

// Between two hosts no packet passes. What one has, the other learns from the
// third: half of the time by gossip at once, else when they compare.
func TestGossipGoesAround(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b, c := start(t, n, 1), start(t, n, 2), start(t, n, 3)
		c.has("c")
		a.has("a")
		b.wait(3*second, "host-1: a, host-3: c")
		n.deafen(addrOf(1), addrOf(2))
		const rounds = 200
		soon := 0
		for i := range rounds {
			time.Sleep(second)
			a.has(fmt.Sprint("a", i))
			if took := b.wait(10*second, fmt.Sprintf("host-1: a%d, host-3: c", i)); took < 250*time.Millisecond {
				soon++
			}
		}
		t.Logf("%d of %d were seen soon", soon, rounds)
		if soon < rounds*4/10 {
			t.Errorf("only %d of %d", soon, rounds)
		}
	})
}

// What was asked for and does not come is asked for again, also of others.
func TestAskedAgain(t *testing.T) {
	s, err := New(Config{Name: "a", Bind: addrOf(1), Keys: []Key{testKey}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, name := range []string{"owner", "other"} {
		s.members[name] = memberlist.Node{Name: name}
	}
	d := digest{name: "owner", version: version{incarnation: 1, sequence: 1}}
	if !s.mayAsk(d, now) || s.mayAsk(d, now.Add(askTimeout/2)) {
		t.Error("asked twice at once")
	}
	s.retryLocked(now.Add(askTimeout / 2))
	if len(s.outbox) != 0 {
		t.Error("asked again too early")
	}
	var whom []string
	for try := range maxTries + 2 {
		s.retryLocked(now.Add(time.Duration(try+1) * 2 * askTimeout))
	}
	for _, e := range s.outbox {
		whom = append(whom, e.to.Name)
	}
	if len(whom) != maxTries || whom[1] != "owner" || whom[3] != "owner" {
		t.Errorf("asked %v", whom)
	}
	if len(s.asked) != 0 {
		t.Error("it still waits")
	}
}
