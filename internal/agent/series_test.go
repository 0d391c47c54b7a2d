package agent

import (
	"log/slog"
	"slices"
	"testing"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

// seriesRig is a prober of one network with a number of hosts.
func seriesRig(hosts int) (*tunnelProber, *probedNetwork, *fakeTunnel) {
	f := newFakeTunnel()
	n := &probedNetwork{mtu: 1450, conn: f, peers: make(map[kernel.MAC]*probedPeer)}
	for i := range hosts {
		n.peers[kernel.MAC{2, 0, 0, 0, 0, byte(i)}] = &probedPeer{member: new(cluster.Member)}
	}
	p := &tunnelProber{log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1), networks: map[string]*probedNetwork{"a": n}}
	return p, n, f
}

// A sound path gets one series. One that loses frames gets another one, and one of small frames.
func TestSeriesOfPath(t *testing.T) {
	for _, tt := range []struct {
		name          string
		loses, passes int
		lost          bool
		sizes         []int
		full, small   kernel.FrameSeries
	}{
		{"sound", 0, 1450, false, []int{1450}, kernel.FrameSeries{Sent: 100, Answered: 100}, kernel.FrameSeries{}},
		{"some are lost", 4, 1450, false, []int{1450, 1450, smallProbe}, kernel.FrameSeries{Sent: 200, Answered: 150, LostThere: 50}, kernel.FrameSeries{Sent: 100, Answered: 75, LostThere: 25}},
		{"large ones are lost", 0, 1400, false, []int{1450, 1450, smallProbe}, kernel.FrameSeries{Sent: 200}, kernel.FrameSeries{Sent: 100, Answered: 100}},
		{"all are lost, as is known", 0, 0, true, []int{1450}, kernel.FrameSeries{Sent: 100}, kernel.FrameSeries{}},
	} {
		p, n, f := seriesRig(1)
		f.loses, f.passes = tt.loses, tt.passes
		peer := n.peers[kernel.MAC{2}]
		peer.state.lost = tt.lost
		p.sendSeries(t.Context())
		if s := peer.series; !slices.Equal(f.series, tt.sizes) || s.full != tt.full || s.small != tt.small {
			t.Errorf("%s: sent %v, got %+v", tt.name, f.series, s)
		}
		if r := peer.series.report(boottime.Now()); r == nil || r.Full.Lost() != tt.full.Lost() {
			t.Errorf("%s: reported %+v", tt.name, r)
		}
	}
	if r := (frameSeries{}).report(boottime.Now()); r != nil {
		t.Errorf("without a series: %+v", r)
	}
}

// Of many hosts those come first to which frames were lost, and the others as far as there is time.
func TestSeriesOfManyHosts(t *testing.T) {
	p, n, f := seriesRig(100)
	lossy := []kernel.MAC{{2, 0, 0, 0, 0, 70}, {2, 0, 0, 0, 0, 90}}
	n.peers[lossy[0]].state.passing = 1400
	n.peers[lossy[1]].counts.Add(boottime.Now(), tunnelMeasurement{full: frameCount{sent: 2, answered: 1}})
	p.sendSeries(t.Context())
	for _, mac := range lossy {
		if n.peers[mac].series.at.IsZero() {
			t.Errorf("%v got no series", mac)
		}
	}
	if len(f.series) != maxSeriesPeers {
		t.Errorf("%d series were sent", len(f.series))
	}
}
