package gossip

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// deadSide is the side of a partition that hosts are on which do not exist: what is sent to them
// vanishes.
const deadSide = 9

// seedList returns seeds of which only the live host answers. Of the others, some refuse
// connections, as hosts whose agent does not run, and to the rest everything vanishes.
func seedList(n *memnet, live netip.AddrPort, count, refusing int) (seeds []netip.AddrPort) {
	for i := range count - 1 {
		seed := hostAddr(20_000 + i)
		if i >= refusing {
			n.partition(deadSide, seed)
		}
		seeds = append(seeds, seed)
	}
	return append(seeds, live)
}

// joinRuns is how many starts are simulated for each case. The few of the default are a test;
// `make sim` asks for more.
func joinRuns(t *testing.T, few int) int {
	t.Helper()
	if text := os.Getenv("SIM_JOINS"); text != "" {
		runs, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return runs
	}
	return few
}

// A host that is ready has found the only seed that lives, and has its record, however many others
// are dead and whatever the network loses.
func TestReadyHostIsNeverAlone(t *testing.T) {
	tests := []struct {
		seeds, refusing int
		loss            float64
		few             int
	}{
		{12, 0, 0, 100}, {12, 11, 0, 50}, {12, 5, 0.01, 100}, {12, 0, 0.1, 50}, {12, 0, 0.3, 100}, {2, 0, 0.3, 50},
		{1000, 0, 0, 3}, {1000, 500, 0.1, 3},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d seeds, %d refuse, %.0f %% loss", tt.seeds, tt.refusing, 100*tt.loss), func(t *testing.T) {
			runs, alone, done := joinRuns(t, tt.few), 0, 0
			var took []time.Duration
			for done < runs { // a network grows slower with the hosts that have been on it
				inVirtualTime(t, func(t *testing.T, n *memnet) {
					live := startHost(t, n, 1, func(c *Config) { c.Log = nil; c.Seeds = nil })
					live.announce("x")
					seeds := seedList(n, hostAddr(1), tt.seeds, tt.refusing)
					n.setLoss(tt.loss)
					for i := 2; i < 52 && done < runs; i++ {
						began := time.Now()
						h := startHost(t, n, i, func(c *Config) { c.Log = nil; c.Seeds = seeds })
						h.waitUntilSynced()
						took = append(took, time.Since(began))
						if _, found := h.Snapshot().Find(hostName(1)); !found {
							alone++
						}
						done++
						h.crash()
					}
				})
			}
			t.Logf("%d starts, ready after %v", runs, newPercentiles(took))
			if alone > 0 {
				t.Errorf("%d of %d starts were alone", alone, runs)
			}
		})
	}
}

// Also a host that only streams reach is found, as behind a firewall that drops packets.
func TestSeedIsFoundByStreamAlone(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		live := startHost(t, n, 1, func(c *Config) { c.Seeds = nil })
		live.announce("x")
		seeds := seedList(n, hostAddr(1), 12, 5)
		n.dropPackets(hostAddr(1), hostAddr(2))
		h := startHost(t, n, 2, func(c *Config) { c.Seeds = seeds })
		h.waitUntilSynced()
		if h.Stats().Members != 2 {
			t.Errorf("%d members", h.Stats().Members)
		}
	})
}

// A round is not over while states are exchanged with a seed, although that is a member already: what
// it has is not known yet.
func TestRoundWaitsForStatesOfMembers(t *testing.T) {
	p, err := New(Config{Host: NewLocalHost(wiretest.ID(1), hostName(1)), Bind: hostAddr(1), Seeds: []netip.AddrPort{hostAddr(2)}})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := p.newRound()
	p.peers.setMember(hostKey(2), memberlist.Node{})
	r.states[hostAddr(2)].underway = true
	if r.step(t.Context()) {
		t.Error("the round is over")
	}
	r.note(seedOutcome{hostAddr(2), true, joined})
	if !r.step(t.Context()) {
		t.Error("the round is not over")
	}
}

// A seed that answers packets and refuses connections is tried some times in a round, not all the
// time.
func TestSeedThatRefusesStreamsIsNotTriedInALoop(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		live := startHost(t, n, 1, func(c *Config) { c.Seeds = nil })
		live.announce("x")
		n.refuseStreams(hostAddr(1))
		h := startHost(t, n, 2)
		h.list(hostAddr(1))
		h.waitUntilSynced()
		if dials, _ := n.sentTo(hostAddr(1)); dials > 300 {
			t.Errorf("%d connections were tried", dials)
		}
	})
}

// A host that sends something is tried at once, also if an attempt to join it has just failed.
func TestHostThatSpeaksIsTriedAtOnce(t *testing.T) {
	p := newPeers(hostAddr(1))
	p.lost[hostKey(2)] = true
	now := time.Now()
	if due, _ := p.takeDue(now); len(due) != 1 {
		t.Fatalf("due are %v", due)
	}
	p.noteUnknownSender(hostKey(2))
	if due, _ := p.takeDue(now.Add(100 * time.Millisecond)); len(due) > 0 {
		t.Errorf("tried while an attempt is under way: %v", due)
	}
	if !p.attemptEnded(hostAddr(2)) {
		t.Error("the host is forgotten")
	}
	if due, _ := p.takeDue(now.Add(200 * time.Millisecond)); len(due) != 1 || !due[0].alive {
		t.Errorf("due are %v", due)
	}
	p.attemptEnded(hostAddr(2))
	p.noteUnknownSender(hostKey(2))
	if due, again := p.takeDue(now.Add(300 * time.Millisecond)); len(due) > 0 || again > minRejoinBackoff {
		t.Errorf("right after that due are %v, the next after %v", due, again)
	}
}

// A host with seeds that do not answer gives up after a second, and one without has nothing to wait
// for once it knows that.
func TestReadyWithoutAnyOtherHost(t *testing.T) {
	for _, tt := range []struct {
		seeds, refusing int
		want            time.Duration
	}{{1, 0, roundAlone}, {12, 12, roundAlone}, {1000, 0, roundAlone}, {0, 0, 0}} {
		inVirtualTime(t, func(t *testing.T, n *memnet) {
			seeds := seedList(n, hostAddr(2), tt.seeds+1, tt.refusing)[:tt.seeds]
			began := time.Now()
			h := startHost(t, n, 2, func(c *Config) { c.Seeds = nil })
			time.Sleep(100 * time.Millisecond)
			if h.Health().Synced {
				t.Error("ready before its seeds are known")
			}
			h.list(seeds...)
			h.waitUntilSynced()
			if alone := h.Health().Alone; alone != (tt.seeds > 0) {
				t.Errorf("%+v: alone: %v", tt, alone)
			}
			if took := time.Since(began) - 100*time.Millisecond; took < tt.want || took > tt.want+helloInterval {
				t.Errorf("%+v: ready after %v", tt, took)
			}
		})
	}
}

// Seeds that come while the plane runs, as with a further network, are asked at once.
func TestLaterSeedsAreAskedAtOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1, func(c *Config) { c.Seeds = nil }), startHost(t, n, 2, func(c *Config) { c.Seeds = nil })
		a.announce("a")
		b.announce("b")
		time.Sleep(time.Hour)
		b.announceTo("b", hostAddr(1))
		b.waitUntilSees(100*time.Millisecond, "host-1: a")
		a.waitUntilSees(100*time.Millisecond, "host-2: b")
	})
}

// What dead seeds cost for each minute: two connections and eight packets, or, where they are many,
// eight attempts a second for all together. A turn of the agent, which sets the same seeds again,
// adds nothing.
func TestDeadSeedsCostLittle(t *testing.T) {
	for _, count := range []int{2, 200} {
		inVirtualTime(t, func(t *testing.T, n *memnet) {
			a, b := startHost(t, n, 1), startHost(t, n, 2)
			seeds := seedList(n, hostAddr(1), count+1, count/2)
			b.list(seeds...)
			time.Sleep(5 * time.Minute)
			count := func() (dials, packets int) {
				for _, seed := range seeds[:count] {
					d, p := n.sentTo(seed)
					dials, packets = dials+d, packets+p
				}
				return dials, packets
			}
			const minutes = 10
			dials, packets := count()
			for range minutes * 600 {
				time.Sleep(100 * time.Millisecond)
				b.list(seeds...)
			}
			nowDials, nowPackets := count()
			dead := len(seeds) - 1
			perMinute := func(n int) float64 { return float64(n) / minutes / float64(dead) }
			t.Logf("a dead seed of %d costs %.1f connections and %.1f packets a minute", dead, perMinute(nowDials-dials), perMinute(nowPackets-packets))
			// One connection is tried with up to five handshakes.
			if perMinute(nowDials-dials) > 2.5*5 || perMinute(nowPackets-packets) > 10 {
				t.Errorf("of %d dead seeds each costs %.1f connections and %.1f packets a minute", dead, perMinute(nowDials-dials), perMinute(nowPackets-packets))
			}
			a.crash()
			b.crash()
		})
	}
}

// A seed that comes alive without knowing of this host is found soon, also among many dead ones.
func TestSeedThatComesAliveIsFound(t *testing.T) {
	for _, tt := range []struct {
		seeds  int
		within time.Duration
	}{{1, 25 * time.Second}, {100, 40 * time.Second}} {
		var took []time.Duration
		for range 10 {
			inVirtualTime(t, func(t *testing.T, n *memnet) {
				seeds := seedList(n, hostAddr(1), tt.seeds, 0)
				b := startHost(t, n, 2, func(c *Config) { c.Seeds = seeds })
				b.announce("b")
				time.Sleep(5 * time.Minute)
				a := startHost(t, n, 1, func(c *Config) { c.Seeds = nil })
				a.announce("a")
				took = append(took, b.waitUntilSees(tt.within, "host-1: a"))
			})
		}
		t.Logf("one of %d seeds is found after %v", tt.seeds, newPercentiles(took))
	}
}
