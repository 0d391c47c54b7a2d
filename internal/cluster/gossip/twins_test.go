package gossip

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// twins are two hosts with one address, in a cluster of four.
type twins struct {
	others       []*host
	first, later *host
}

func startTwins(t *testing.T, n *memnet) twins {
	t.Helper()
	w := twins{others: startCluster(t, n, 2)}
	w.first = startHost(t, n, 5, as(8, 8, 5))
	w.first.announce("x")
	w.others[0].waitUntilSees(5*second, "host-2: c2, host-8: x")
	w.later = startHost(t, n, 5, as(9, 9, 5))
	w.later.announce("y")
	return w
}

// published counts the versions of the records of both.
func (w twins) published() uint64 { return w.first.Stats().Published + w.later.Stats().Published }

// Two hosts that live at one address take out each other's record once. After that both are in the
// cluster, and each says which other host has its address.
func TestTwoHostsWithOneAddress(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		w := startTwins(t, n)
		before := n.trafficSoFar()
		warned := make(map[*host]bool)
		for range 60 {
			time.Sleep(second)
			for _, h := range []*host{w.first, w.later} {
				for _, text := range h.Health().Warnings {
					warned[h] = warned[h] || strings.HasPrefix(text, "hosts host-8 and host-9 both have the address 198.18.0.5")
				}
			}
		}
		if published := w.published(); published > 40 {
			t.Errorf("%d versions were published in a minute, and %+v sent", published, n.trafficSoFar().since(before))
		}
		if !warned[w.first] || !warned[w.later] {
			t.Errorf("warned: %v and %v", warned[w.first], warned[w.later])
		}
		if w.first.Health().Synced != true || w.later.Health().Synced != true {
			t.Error("one of them is not synced")
		}
	})
}

// Once one of the two has another address, all is right within seconds.
func TestTwinsThatPart(t *testing.T) {
	for _, moves := range []string{"first", "later"} {
		inVirtualTime(t, func(t *testing.T, n *memnet) {
			w := startTwins(t, n)
			time.Sleep(time.Minute)
			stays, moved := w.later, w.first
			id, label, want := 8, "x", []netip.Addr{hostAddr(6).Addr(), hostAddr(5).Addr()}
			if moves == "later" {
				stays, moved, id, label = w.first, w.later, 9, "y"
				slices.Reverse(want)
			}
			moved.crash()
			began := time.Now()
			anew := startHost(t, n, 6, as(id, id, 6))
			anew.announce(label)
			for _, o := range w.others {
				waitForSnapshot(t, o.Plane, func(s cluster.Snapshot) bool { return slices.Equal(reachableAt(s, "host-8", "host-9"), want) })
			}
			if took := time.Since(began); took > 5*second {
				t.Errorf("the %s one moves: it takes %v until all is right", moves, took)
			}
			time.Sleep(10 * second)
			for _, o := range w.others {
				if got := reachableAt(o.Snapshot(), "host-8", "host-9"); !slices.Equal(got, want) {
					t.Errorf("the %s one moves: later the two are at %v", moves, got)
				}
			}
			for _, h := range []*host{stays, anew} {
				if warnings := h.Health().Warnings; len(warnings) > 0 {
					t.Errorf("%s still warns %q", h.cfg.Host.Name(), warnings)
				}
			}
		})
	}
}

// reachableAt returns where hosts are, by name; an unreachable one nowhere.
func reachableAt(s cluster.Snapshot, names ...string) (at []netip.Addr) {
	for _, h := range s.Hosts {
		if slices.Contains(names, h.Name) && h.Reachable() && len(h.Memberships) == 1 && h.Memberships[0].VTEP == h.Addr {
			at = append(at, h.Addr)
		}
	}
	return at
}

// The record of one that is gone for good is taken out by the other one.
func TestTwinThatIsGone(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		w := startTwins(t, n)
		time.Sleep(time.Minute)
		w.later.crash()
		w.others[0].waitUntilKnows(2*time.Minute, "host-2: c2, host-8: x")
		time.Sleep(10 * second)
		if warnings := w.first.Health().Warnings; len(warnings) > 0 {
			t.Errorf("still warns %q", warnings)
		}
	})
}

// Each time that a record is taken out again, it is left alone for longer than before. It is left
// alone as long as others reach its owner.
func TestStrayPauseGrows(t *testing.T) {
	s := strays{pauses: make(map[wire.Key]strayPause)}
	now := time.Unix(1e9, 0)
	for _, want := range []time.Duration{5 * second, 10 * second, 20 * second, 40 * second, time.Minute, time.Minute} {
		if !s.leaveAlone(hostKey(2), false, now) || !s.leaveAlone(hostKey(2), false, now.Add(want-1)) {
			t.Errorf("it is not left alone for %v", want)
		}
		now = now.Add(want)
		if s.leaveAlone(hostKey(2), false, now) || !s.leaveAlone(hostKey(2), true, now) {
			t.Errorf("after %v it is left alone though its owner is gone, or not though it is a member", want)
		}
		s.growPause(hostKey(2), now) // taken out
	}
}
