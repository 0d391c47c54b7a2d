package gossip

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

const second = time.Second

func TestJoiningHostSeesAllAndIsSeen(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		a.announce("web")
		b.announce("cache", "db")
		a.waitUntilSees(3*second, "host-2: cache db")
		b.waitUntilSees(3*second, "host-1: web")
		c := startHost(t, n, 3)
		c.announce("late")
		if took := c.waitUntilSees(3*second, "host-1: web, host-2: cache db"); took > 100*time.Millisecond {
			t.Errorf("a host that joins sees the others after %v", took)
		}
		a.waitUntilSees(3*second, "host-2: cache db, host-3: late")
		b.waitUntilSees(3*second, "host-1: web, host-3: late")
		for _, h := range []*host{a, b, c} {
			h.crash()
		}
	})
}

func TestChangeArrivesInMilliseconds(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		a.announce("web")
		b.waitUntilSees(3*second, "host-1: web")
		b.announce()
		a.waitUntilSees(3*second, "host-2: ")
		for _, step := range [][]string{{"a", "web"}, {"a"}, {"a", "b", "c"}, {}, {"web"}} {
			time.Sleep(second)
			a.announce(step...)
			if took := b.waitUntilSees(second, "host-1: "+strings.Join(step, " ")); took > 5*time.Millisecond {
				t.Errorf("%v is seen after %v", step, took)
			}
		}
		if s := b.Stats(); s.Deltas == 0 {
			t.Error("no delta was applied")
		}
		a.crash()
		b.crash()
	})
}

func TestRepeatedSetPublishesOneVersion(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a := startHost(t, n, 1)
		for range 3 {
			a.announce("web")
			time.Sleep(second)
		}
		if s := a.Stats(); s.Published != 1 {
			t.Errorf("published %d versions", s.Published)
		}
		a.crash()
	})
}

func TestBurstOfStartsArrivesCompletely(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		a.announce()
		b.waitUntilSees(3*second, "host-1: ")
		var names []string
		for i := range 100 {
			names = append(names, fmt.Sprintf("c%02d", i))
			a.announce(names...)
			time.Sleep(7 * time.Millisecond)
		}
		b.waitUntilSees(second, "host-1: "+strings.Join(names, " "))
		a.crash()
		b.crash()
	})
}

func TestHostThatLeavesIsForgottenAtOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b, c := startHost(t, n, 1), startHost(t, n, 2), startHost(t, n, 3)
		for _, h := range []*host{a, b, c} {
			h.announce("c" + h.cfg.Host.Name()[5:])
		}
		c.waitUntilSees(3*second, "host-1: c1, host-2: c2")
		a.waitUntilSees(3*second, "host-2: c2, host-3: c3")
		begin := time.Now()
		c.leave()
		a.waitUntilSees(second, "host-2: c2")
		b.waitUntilSees(second, "host-1: c1")
		if took := time.Since(begin); took > 2*second {
			t.Errorf("it took %v", took)
		}
		// It can come back under its name, with an agent that knows nothing.
		time.Sleep(time.Minute)
		c = startHost(t, n, 3)
		c.announce("again")
		a.waitUntilSees(3*second, "host-2: c2, host-3: again")
		b.waitUntilSees(3*second, "host-1: c1, host-3: again")
		for _, h := range []*host{a, b, c} {
			h.crash()
		}
	})
}

func TestLeaveReachesHostThatMissedIt(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b, c := startHost(t, n, 1), startHost(t, n, 2), startHost(t, n, 3)
		a.announce("a")
		b.announce("b")
		c.announce("c")
		a.waitUntilSees(3*second, "host-2: b, host-3: c")
		b.waitUntilSees(3*second, "host-1: a, host-3: c")
		n.partition(1, hostAddr(1))
		a.waitUntilSees(time.Minute, "(host-2: b), (host-3: c)")
		c.leave()
		b.waitUntilSees(time.Minute, "(host-1: a)")
		n.partition(0, hostAddr(1))
		a.waitUntilSees(time.Minute, "host-2: b")
		a.crash()
		b.crash()
	})
}

func TestCrashHidesHostAndRestartShowsItAtOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b, c := startHost(t, n, 1), startHost(t, n, 2), startHost(t, n, 3)
		a.announce("a")
		b.announce("b")
		c.announce("c")
		a.waitUntilSees(3*second, "host-2: b, host-3: c")
		b.waitUntilSees(3*second, "host-1: a, host-3: c")
		c.crash()
		took := a.waitUntilSees(20*second, "host-2: b, (host-3: c)")
		if took < 3*second || took > 12*second {
			t.Errorf("hidden after %v", took)
		}
		t.Logf("hidden after %v", took)
		b.waitUntilSees(5*second, "host-1: a, (host-3: c)")
		time.Sleep(5 * time.Minute)
		c = startHost(t, n, 3)
		took = a.waitUntilSees(3*second, "host-2: b, host-3: c") // before its first Set
		t.Logf("shown after %v", took)
		c.announce("c", "d")
		if took := a.waitUntilSees(3*second, "host-2: b, host-3: c d"); took > 50*time.Millisecond {
			t.Errorf("the restarted host's change is seen after %v", took)
		}
		b.waitUntilSees(second, "host-1: a, host-3: c d")
		for _, h := range []*host{a, b, c} {
			h.crash()
		}
	})
}

// A restart that is over before the failure is detected changes no snapshot.
func TestQuickRestartIsNotNoticed(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		a.announce("a")
		for i := range 5 {
			b.announce(fmt.Sprint("b", i))
			time.Sleep(100 * time.Millisecond)
		}
		a.waitUntilSees(3*second, "host-2: b4")
		b.crash()
		time.Sleep(second)
		changed := a.Changed()
		b = startHost(t, n, 2)
		b.announce("b4")
		time.Sleep(10 * second)
		select {
		case <-changed:
			t.Errorf("host-1's snapshot changed; it sees %s", a.sees())
		default:
		}
		if s := b.Stats(); s.Published > 1 {
			t.Errorf("the restarted host published %d versions of what the others had", s.Published)
		}
		b.announce("b5")
		a.waitUntilSees(second, "host-2: b5")
		a.crash()
		b.crash()
	})
}

// A restarted agent counts from 1 again and must go above what its predecessor left.
func TestRestartedAgentSupersedesItsPredecessor(t *testing.T) {
	for _, holder := range []string{"seed has it", "another has it"} {
		t.Run(holder, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, n *memnet) {
				a, b, c := startHost(t, n, 1), startHost(t, n, 2), startHost(t, n, 3)
				a.announce("a")
				b.announce("b")
				for i := range 9 {
					c.announce(fmt.Sprint("old", i))
					time.Sleep(100 * time.Millisecond)
				}
				a.waitUntilSees(3*second, "host-2: b, host-3: old8")
				b.waitUntilSees(3*second, "host-1: a, host-3: old8")
				c.crash()
				if holder == "another has it" {
					a.crash()
					a = startHost(t, n, 1)
					a.announce("a")
				}
				c = startHost(t, n, 3)
				c.announce("new")
				a.waitUntilSees(3*second, "host-2: b, host-3: new")
				b.waitUntilSees(3*second, "host-1: a, host-3: new")
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

// A record that does not fit a packet goes by a stream.
func TestLargeRecordArrives(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		var names []string
		for i := range 1000 {
			names = append(names, fmt.Sprintf("container-%04d", i))
		}
		big := wiretest.Membership(hostAddr(1).Addr())
		for _, name := range names {
			big.Endpoints = append(big.Endpoints, cluster.Endpoint{ContainerID: name, Names: []string{name}})
		}
		if err := a.Set(cluster.Local{Memberships: []cluster.Membership{big}}); err != nil {
			t.Fatal(err)
		}
		b.waitUntilSees(3*second, "host-1: "+strings.Join(names, " "))
		time.Sleep(second)
		big.Endpoints = big.Endpoints[:999]
		if err := a.Set(cluster.Local{Memberships: []cluster.Membership{big}}); err != nil {
			t.Fatal(err)
		}
		if took := b.waitUntilSees(3*second, "host-1: "+strings.Join(names[:999], " ")); took > 5*time.Millisecond {
			t.Errorf("one container less is seen after %v", took)
		}
		a.crash()
		b.crash()
	})
}

// A slow reader gets one notification for several changes, and the newest snapshot.
func TestChangesAreCoalesced(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		a.announce("x")
		b.waitUntilSees(3*second, "host-1: x")
		changed := b.Changed()
		for i := range 5 {
			a.announce(fmt.Sprint("x", i))
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
			t.Error("notified without a change")
		default:
		}
		a.crash()
		b.crash()
	})
}

func TestHostsOnIPv6Underlay(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		ip := func(i int) netip.AddrPort { return netip.MustParseAddrPort(fmt.Sprintf("[fd00::%d]:7947", i)) }
		v6 := func(i int) func(*Config) {
			return func(c *Config) {
				c.Bind, c.Seeds, c.Keys = ip(i), []netip.AddrPort{ip(1), ip(2)}, nil
			}
		}
		a, b := startHost(t, n, 1, v6(1)), startHost(t, n, 2, v6(2))
		if err := b.Set(cluster.Local{Memberships: []cluster.Membership{{Network: wiretest.Network, VTEP: ip(2).Addr(), Endpoints: []cluster.Endpoint{{ContainerID: "c", Names: []string{"c"}}}}}}); err != nil {
			t.Fatal(err)
		}
		a.waitUntilSees(3*second, "host-2: c")
		n.partition(1, ip(2))
		a.waitUntilSees(20*second, "(host-2: c)")
		time.Sleep(5 * time.Minute)
		n.partition(0, ip(2))
		a.waitUntilSees(30*second, "host-2: c")
	})
}

// A plane that is told to leave before its Run listens ends all the same.
func TestLeaveAsThePlaneStarts(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		p, err := New(Config{Host: NewLocalHost(wiretest.ID(2), hostName(2)), Bind: hostAddr(2), Seeds: []netip.AddrPort{hostAddr(1)}})
		if err != nil {
			t.Fatal(err)
		}
		p.cfg.transport = leavingTransport{n.transport(hostAddr(2)), p}
		if err := p.Set(cluster.Local{Memberships: []cluster.Membership{wiretest.Membership(hostAddr(2).Addr(), "c2")}}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- p.Run(t.Context()) }()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Error("it goes on")
		}
	})
}

// leavingTransport makes a plane leave while the library starts.
type leavingTransport struct {
	*memTransport
	plane *Plane
}

func (l leavingTransport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if err := l.plane.Leave(context.Background()); err != nil {
		return nil, 0, err
	}
	return l.memTransport.FinalAdvertiseAddr(ip, port)
}

func TestSecondRunIsRefused(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a := startHost(t, n, 1)
		a.waitUntilSynced()
		if err := a.Run(t.Context()); err == nil {
			t.Error("it ran twice")
		}
		a.crash()
		synctest.Wait()
	})
}
