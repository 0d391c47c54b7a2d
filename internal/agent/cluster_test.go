package agent

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/config"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

func parseConfig(t *testing.T, text string) config.Config {
	t.Helper()
	c, err := config.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Seeds are the hosts that the configuration names, those that the networks list and those that
// were found, but not the host itself.
func TestSeeds(t *testing.T) {
	static := hoststate.Network{VTEP: network.VTEP{Local: vtep(1), Remotes: []netip.Addr{vtep(2), vtep(3)}}}
	gossip := hoststate.Network{VTEP: network.VTEP{Local: vtep(1), Remotes: []netip.Addr{vtep(7), vtep(8)}}}
	gossip.Gossip, gossip.Network.Remotes = true, []netip.Addr{vtep(1), vtep(7), vtep(6)}
	gossip.VTEP.Own = []netip.Addr{vtep(1), vtep(6)} // a host is not asked by another of its addresses either
	s := newClusterSet(parseConfig(t, `seeds = ["198.18.0.9"]`), nil, slog.New(slog.DiscardHandler))
	var got []netip.Addr
	for _, seed := range s.seedsOf([]hoststate.Network{static, gossip}) {
		got = append(got, seed.Addr())
	}
	if want := []netip.Addr{vtep(9), vtep(2), vtep(3), vtep(7), vtep(8)}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestDiscoveryComesWithTheAgeOfTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := parseConfig(t, "")
		s := newClusterSet(c, nil, slog.New(slog.DiscardHandler))
		n := membership.Network{VTEP: network.VTEP{Local: vtep(1)}}
		check := func(when string, connected, graceOver, forgetOver bool) {
			t.Helper()
			d := s.DiscoveryOf(n)
			if d.Connected != connected || d.GraceOver != graceOver || d.ForgetOver != forgetOver {
				t.Errorf("%s: got %+v", when, d)
			}
		}
		check("without a cluster", false, false, false)
		plane := newFakeCluster()
		s.members[vtep(1)] = &clusterMember{Cluster: plane, since: time.Now()}
		check("just started", false, false, false)
		time.Sleep(time.Second)
		close(plane.ready)
		check("connected", true, false, false)
		time.Sleep(gracePeriod - time.Second)
		check("after the grace period", true, true, false)
		time.Sleep(c.ForgetAfter)
		check("after hosts are forgotten", true, true, true)
	})
}
