package gossip

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster"
)

const second = time.Second

func TestJoinShowsAllToAll(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b := start(t, n, 1), start(t, n, 2)
		a.has("web")
		b.has("cache", "db")
		a.wait(3*second, "host-2: cache db")
		b.wait(3*second, "host-1: web")
		c := start(t, n, 3)
		c.has("late")
		if took := c.wait(3*second, "host-1: web, host-2: cache db"); took > 100*time.Millisecond {
			t.Errorf("a host that joins sees the others after %v", took)
		}
		a.wait(3*second, "host-2: cache db, host-3: late")
		b.wait(3*second, "host-1: web, host-3: late")
		for _, h := range []*host{a, b, c} {
			h.crash()
		}
	})
}

func TestChangeIsSeenInMilliseconds(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b := start(t, n, 1), start(t, n, 2)
		a.has("web")
		b.wait(3*second, "host-1: web")
		b.has()
		a.wait(3*second, "host-2: ")
		for _, step := range [][]string{{"a", "web"}, {"a"}, {"a", "b", "c"}, {}, {"web"}} {
			time.Sleep(second)
			a.has(step...)
			if took := b.wait(second, "host-1: "+strings.Join(step, " ")); took > 5*time.Millisecond {
				t.Errorf("%v is seen after %v", step, took)
			}
		}
		if s := b.Stats(); s.Deltas == 0 {
			t.Error("no delta was taken")
		}
		a.crash()
		b.crash()
	})
}

func TestSetTwiceIsOneVersion(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a := start(t, n, 1)
		for range 3 {
			a.has("web")
			time.Sleep(second)
		}
		if s := a.Stats(); s.Published != 1 {
			t.Errorf("published %d versions", s.Published)
		}
		a.crash()
	})
}

func TestBurstOfStartsArrivesWhole(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b := start(t, n, 1), start(t, n, 2)
		a.has()
		b.wait(3*second, "host-1: ")
		var names []string
		for i := range 100 {
			names = append(names, fmt.Sprintf("c%02d", i))
			a.has(names...)
			time.Sleep(7 * time.Millisecond)
		}
		b.wait(second, "host-1: "+strings.Join(names, " "))
		a.crash()
		b.crash()
	})
}

func TestLeaveIsForgottenAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b, c := start(t, n, 1), start(t, n, 2), start(t, n, 3)
		for _, h := range []*host{a, b, c} {
			h.has("c" + h.cfg.Name[5:])
		}
		c.wait(3*second, "host-1: c1, host-2: c2")
		a.wait(3*second, "host-2: c2, host-3: c3")
		begin := time.Now()
		c.leave()
		a.wait(second, "host-2: c2")
		b.wait(second, "host-1: c1")
		if took := time.Since(begin); took > 2*second {
			t.Errorf("it took %v", took)
		}
		// It can come back, under its name, with an agent that knows of nothing.
		time.Sleep(time.Minute)
		c = start(t, n, 3)
		c.has("again")
		a.wait(3*second, "host-2: c2, host-3: again")
		b.wait(3*second, "host-1: c1, host-3: again")
		for _, h := range []*host{a, b, c} {
			h.crash()
		}
	})
}

func TestLeaveReachesThoseWhoMissedIt(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b, c := start(t, n, 1), start(t, n, 2), start(t, n, 3)
		a.has("a")
		b.has("b")
		c.has("c")
		a.wait(3*second, "host-2: b, host-3: c")
		b.wait(3*second, "host-1: a, host-3: c")
		n.partition(1, addrOf(1))
		a.wait(time.Minute, "(host-2: b), (host-3: c)")
		c.leave()
		b.wait(time.Minute, "(host-1: a)")
		n.partition(0, addrOf(1))
		a.wait(time.Minute, "host-2: b")
		a.crash()
		b.crash()
	})
}

func TestCrashHidesAndRestartShowsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b, c := start(t, n, 1), start(t, n, 2), start(t, n, 3)
		a.has("a")
		b.has("b")
		c.has("c")
		a.wait(3*second, "host-2: b, host-3: c")
		b.wait(3*second, "host-1: a, host-3: c")
		c.crash()
		took := a.wait(20*second, "host-2: b, (host-3: c)")
		if took < 3*second || took > 12*second {
			t.Errorf("hidden after %v", took)
		}
		t.Logf("hidden after %v", took)
		b.wait(5*second, "host-1: a, (host-3: c)")
		time.Sleep(5 * time.Minute)
		c = start(t, n, 3)
		took = a.wait(3*second, "host-2: b, host-3: c") // before it says what it has
		t.Logf("shown after %v", took)
		c.has("c", "d")
		if took := a.wait(3*second, "host-2: b, host-3: c d"); took > 50*time.Millisecond {
			t.Errorf("the restarted host's change is seen after %v", took)
		}
		b.wait(second, "host-1: a, host-3: c d")
		for _, h := range []*host{a, b, c} {
			h.crash()
		}
	})
}

// A restart within the time that a failure takes to be noticed shows nothing of it.
func TestQuickRestartIsNotSeen(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b := start(t, n, 1), start(t, n, 2)
		a.has("a")
		for i := range 5 {
			b.has(fmt.Sprint("b", i))
			time.Sleep(100 * time.Millisecond)
		}
		a.wait(3*second, "host-2: b4")
		b.crash()
		time.Sleep(second)
		changed := a.Changed()
		b = start(t, n, 2)
		b.has("b4")
		time.Sleep(10 * second)
		select {
		case <-changed:
			t.Errorf("host-1 was told of a change; it sees %s", a.sees())
		default:
		}
		if s := b.Stats(); s.Published > 1 {
			t.Errorf("the restarted host published %d versions of what the others had", s.Published)
		}
		b.has("b5")
		a.wait(second, "host-2: b5")
		a.crash()
		b.crash()
	})
}

// The restarted agent counts from 1 again and must go above what its predecessor left.
func TestRestartSupersedesItsOldSelf(t *testing.T) {
	for _, known := range []string{"seed has it", "another has it"} {
		t.Run(known, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *memnet) {
				a, b, c := start(t, n, 1), start(t, n, 2), start(t, n, 3)
				a.has("a")
				b.has("b")
				for i := range 9 {
					c.has(fmt.Sprint("old", i))
					time.Sleep(100 * time.Millisecond)
				}
				a.wait(3*second, "host-2: b, host-3: old8")
				b.wait(3*second, "host-1: a, host-3: old8")
				c.crash()
				if known == "another has it" {
					a.crash()
					a = start(t, n, 1)
					a.has("a")
				}
				c = start(t, n, 3)
				c.has("new")
				a.wait(3*second, "host-2: b, host-3: new")
				b.wait(3*second, "host-1: a, host-3: new")
				time.Sleep(time.Minute)
				if a.sees() != "host-2: b, host-3: new" || b.sees() != "host-1: a, host-3: new" {
					t.Errorf("after a minute: %s; %s", a.sees(), b.sees())
				}
				for _, h := range []*host{a, b, c} {
					h.crash()
				}
			})
		})
	}
}

// A record that fits no packet goes by streams.
func TestLargeRecord(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b := start(t, n, 1), start(t, n, 2)
		var names []string
		for i := range 1000 {
			names = append(names, fmt.Sprintf("container-%04d", i))
		}
		big := attachment(addrOf(1).Addr())
		for _, name := range names {
			big.Endpoints = append(big.Endpoints, cluster.Endpoint{ContainerID: name, Names: []string{name}})
		}
		if err := a.Set([]cluster.Membership{big}); err != nil {
			t.Fatal(err)
		}
		b.wait(3*second, "host-1: "+strings.Join(names, " "))
		time.Sleep(second)
		big.Endpoints = big.Endpoints[:999]
		if err := a.Set([]cluster.Membership{big}); err != nil {
			t.Fatal(err)
		}
		if took := b.wait(3*second, "host-1: "+strings.Join(names[:999], " ")); took > 5*time.Millisecond {
			t.Errorf("one container less is seen after %v", took)
		}
		a.crash()
		b.crash()
	})
}

// Change notifications coalesce: a slow reader meets the newest state once.
func TestChangedCoalesces(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b := start(t, n, 1), start(t, n, 2)
		a.has("x")
		b.wait(3*second, "host-1: x")
		changed := b.Changed()
		for i := range 5 {
			a.has(fmt.Sprint("x", i))
			time.Sleep(100 * time.Millisecond)
		}
		<-changed
		if b.sees() != "host-1: x4" {
			t.Errorf("sees %s", b.sees())
		}
		changed = b.Changed()
		time.Sleep(time.Minute)
		select {
		case <-changed:
			t.Error("told of a change where there is none")
		default:
		}
		a.crash()
		b.crash()
	})
}

func TestIPv6(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		ip := func(i int) netip.AddrPort { return netip.MustParseAddrPort(fmt.Sprintf("[fd00::%d]:7947", i)) }
		v6 := func(i int) func(*Config) {
			return func(c *Config) {
				c.Bind, c.Seeds, c.Keys = ip(i), []netip.AddrPort{ip(1), ip(2)}, nil
			}
		}
		a, b := start(t, n, 1, v6(1)), start(t, n, 2, v6(2))
		if err := b.Set([]cluster.Membership{{Network: testNet, VTEP: ip(2).Addr(), Endpoints: []cluster.Endpoint{{ContainerID: "c", Names: []string{"c"}}}}}); err != nil {
			t.Fatal(err)
		}
		a.wait(3*second, "host-2: c")
		n.partition(1, ip(2))
		a.wait(20*second, "(host-2: c)")
		time.Sleep(5 * time.Minute)
		n.partition(0, ip(2))
		a.wait(30*second, "host-2: c")
	})
}

// A host that comes back with another address, as with DHCP.
func TestHostMoves(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a, b := start(t, n, 1), start(t, n, 2)
		b.has("b")
		a.wait(3*second, "host-2: b")
		b.crash()
		b = start(t, n, 2, func(c *Config) { c.Bind = addrOf(77) })
		b.has("b", "c")
		took := a.wait(time.Minute, "host-2: b c")
		t.Logf("seen after %v", took)
	})
}

func TestRunRefusesASecondRun(t *testing.T) {
	bubble(t, func(t *testing.T, n *memnet) {
		a := start(t, n, 1)
		<-a.Ready()
		if err := a.Run(t.Context()); err == nil {
			t.Error("it ran twice")
		}
		a.crash()
		synctest.Wait()
	})
}

// others returns what host i sees of count hosts; each has c and its number, or
// what changed says.
func others(i, count int, changed map[int]string) string {
	var lines []string
	for o := 1; o <= count; o++ {
		if o == i {
			continue
		}
		what, ok := changed[o]
		if !ok {
			what = fmt.Sprint("c", o)
		}
		lines = append(lines, fmt.Sprintf("%s: %s", nameOf(o), what))
	}
	return strings.Join(lines, ", ")
}

// waitShown is wait, but takes hidden entries as shown.
func (h *host) waitShown(limit time.Duration, want string) {
	h.t.Helper()
	timeout := time.After(limit)
	for {
		changed := h.Changed()
		if strings.NewReplacer("(", "", ")", "").Replace(h.sees()) == want {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			h.t.Fatalf("%s sees after %v\n  %s\nwant\n  %s", h.cfg.Name, limit, h.sees(), want)
		}
	}
}
