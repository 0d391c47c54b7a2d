package gossip

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
)

// startThree runs three hosts, and returns once each knows the two others.
func startThree(t *testing.T, n *memnet) (a, b, c *host) {
	t.Helper()
	a, b, c = startHost(t, n, 1), startHost(t, n, 2), startHost(t, n, 3)
	for i, h := range []*host{a, b, c} {
		h.announce([]string{"c1", "c2", "c3"}[i])
	}
	for i, h := range []*host{a, b, c} {
		h.waitUntilSees(3*second, expectOthers(i+1, 3, nil))
	}
	return a, b, c
}

func hostNumber(i int) cluster.Host {
	return cluster.Host{ID: hostKey(i).ID, Name: hostName(i), Addr: hostAddr(i).Addr()}
}

// A host that is gone for good is forgotten by a command on one host, at once and on all. When it
// comes back after all, it is seen again as if nothing had been.
func TestForgottenHost(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b, c := startThree(t, n)
		for i, want := range map[int]string{3: "host host-3 (198.18.0.3) answers", 9: "host host-9 (198.18.0.9) is not known"} {
			if err := a.ForgetHost(hostNumber(i)); err == nil || err.Error() != want {
				t.Errorf("host %d: %v", i, err)
			}
		}
		c.crash()
		a.waitUntilSees(time.Minute, "host-2: c2, (host-3: c3)")
		b.waitUntilSees(time.Minute, "host-1: c1, (host-3: c3)")
		time.Sleep(3 * second) // nobody types faster
		if err := a.ForgetHost(hostNumber(3)); err != nil {
			t.Fatal(err)
		}
		a.waitUntilSees(0, "host-2: c2")
		if took := b.waitUntilSees(second, "host-1: c1"); took > 10*time.Millisecond {
			t.Errorf("the other host forgets it after %v", took)
		}
		if b.log.Count(`"host forgotten by command" event=host-forgotten host="host-3 (198.18.0.3)" on=host-1`) != 1 {
			t.Errorf("log of host-2\n%s", b.log.String())
		}
		if err := a.ForgetHost(hostNumber(3)); err == nil {
			t.Error("forgotten twice")
		}
		d := startHost(t, n, 4) // it hears of it from those that know
		d.announce("c4")
		d.waitUntilSees(3*second, "host-1: c1, host-2: c2")
		time.Sleep(2 * time.Minute)
		a.waitUntilSees(0, "host-2: c2, host-4: c4")

		c = startHost(t, n, 3)
		c.announce("again")
		a.waitUntilSees(3*second, "host-2: c2, host-3: again, host-4: c4")
		b.waitUntilSees(3*second, "host-1: c1, host-3: again, host-4: c4")
		c.expectStillness(t, a, b, d)
	})
}

// expectStillness checks that nobody publishes anything for a while.
func (h *host) expectStillness(t *testing.T, others ...*host) {
	t.Helper()
	hosts := append(others, h)
	time.Sleep(10 * second)
	var before []uint64
	for _, o := range hosts {
		before = append(before, o.Stats().Published)
	}
	time.Sleep(2 * time.Minute)
	for i, o := range hosts {
		if now := o.Stats().Published; now != before[i] {
			t.Errorf("%s published %d versions, and is at %d: the versions outbid each other", o.cfg.Host.Name(), before[i], now)
		}
	}
}

// The other hosts forget it even if no packet reaches them.
func TestForgottenHostDespiteLoss(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b, c := startThree(t, n)
		c.crash()
		a.waitUntilSees(time.Minute, "host-2: c2, (host-3: c3)")
		b.waitUntilSees(time.Minute, "host-1: c1, (host-3: c3)")
		n.setLoss(0.3)
		if err := a.ForgetHost(hostNumber(3)); err != nil {
			t.Fatal(err)
		}
		b.waitUntilKnows(time.Minute, "host-1: c1")
	})
}

// A host that was only cut off is forgotten on one side. When the sides meet again it is seen on
// all, and those that reached it all the time never lose it: not its names, not its addresses.
func TestHostForgottenDuringPartition(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b, c := startThree(t, n)
		n.partition(1, hostAddr(1))
		a.waitUntilSees(time.Minute, "(host-2: c2), (host-3: c3)")
		b.waitUntilSees(time.Minute, "(host-1: c1), host-3: c3")
		c.waitUntilSees(time.Minute, "(host-1: c1), host-2: c2")
		if err := a.ForgetHost(hostNumber(3)); err != nil {
			t.Fatal(err)
		}
		a.waitUntilSees(0, "(host-2: c2)")
		stop := make(chan struct{})
		go func() {
			for {
				changed := b.Changed()
				if sees := b.sees(); !strings.Contains(sees, "host-3: c3") {
					t.Errorf("host-2 loses host-3: %s", sees)
				}
				select {
				case <-changed:
				case <-stop:
					return
				}
			}
		}()
		n.partition(0, hostAddr(1))
		a.waitUntilSees(time.Minute, "host-2: c2, host-3: c3")
		b.waitUntilSees(time.Minute, "host-1: c1, host-3: c3")
		c.waitUntilSees(time.Minute, "host-1: c1, host-2: c2")
		c.expectStillness(t, a, b)
		close(stop)
	})
}

// silentHosts are those that do not answer.
func (h *host) silentHosts() (silent []string) {
	for _, r := range h.Health().Refused {
		for _, host := range r.Hosts {
			if r.Silent {
				silent = append(silent, host.Addr.String())
			}
		}
	}
	return silent
}

// A host whose address is in the others' configuration leaves for good. Nobody misses it: neither as
// long as it is remembered, nor later. When it comes again, it is found.
func TestSeedThatLeft(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		hosts := make([]*host, 4)
		for i := 1; i <= 3; i++ { // all have the first as their seed
			hosts[i] = startHost(t, n, i, func(c *Config) { c.ForgetAfter = time.Minute })
			hosts[i].announce("c")
		}
		a, b, c := hosts[1], hosts[2], hosts[3]
		b.waitUntilSees(3*second, "host-1: c, host-3: c")
		a.leave()
		for _, after := range []time.Duration{10 * second, 40 * second, 3 * time.Minute} {
			time.Sleep(after)
			for _, h := range []*host{b, c} {
				if silent := h.silentHosts(); len(silent) > 0 {
					t.Errorf("after %v %v misses %v", after, h, silent)
				}
			}
		}
		c.leave()
		b.waitUntilSees(3*second, "")
		time.Sleep(10 * second)
		if silent := b.silentHosts(); len(silent) > 0 || b.Health().Alone {
			t.Errorf("who all others have left misses %v", silent)
		}
		a = startHost(t, n, 1)
		a.announce("again")
		b.waitUntilSees(time.Minute, "host-1: again")
		a.crash()
		b.waitUntilSees(time.Minute, "(host-1: again)")
		time.Sleep(2 * dialEvery * maxRejoinBackoff)
		if silent := b.silentHosts(); len(silent) != 1 {
			t.Errorf("a host that has crashed: %v do not answer", silent)
		}
	})
}

// A host that a network lists, and whose agent has ended, is expected back.
func TestListedHostThatLeft(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		a.announce("c1")
		b.announceTo("c2", hostAddr(1))
		b.waitUntilSees(3*second, "host-1: c1")
		a.leave()
		time.Sleep(time.Minute)
		if silent := b.silentHosts(); len(silent) != 1 {
			t.Errorf("%v do not answer", silent)
		}
	})
}
