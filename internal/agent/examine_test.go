package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

// Whoever looks for a fault hears at once how the tunnels are: the first failure counts, and so does
// the first success.
func TestProbeAllCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tunnel := newFakeTunnel()
		p := &tunnelProber{log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1), networks: map[string]*probedNetwork{"7": {
			name: "blue", port: 4789, mtu: 1450, conn: tunnel,
			peers: map[kernel.MAC]*probedPeer{{2}: {member: &cluster.Member{Host: "b"}, due: time.Now().Add(time.Hour)}, {3}: {member: &cluster.Member{Host: "c"}, due: time.Now().Add(time.Hour), busy: true}},
		}}}
		p.ProbeAll(t.Context())
		if s := p.Status("7"); len(s) != 0 || tunnel.takeSent() != 1 {
			t.Errorf("while all passes: %v", s)
		}
		tunnel.pass(0)
		began := time.Now()
		p.ProbeAll(t.Context())
		if s := p.Status("7"); len(s) != 1 || s[0].Host != "b" || s[0].Passing != 0 || time.Since(began) > 5*time.Second {
			t.Errorf("while nothing passes: %v after %v", s, time.Since(began))
		}
		tunnel.pass(1402)
		p.ProbeAll(t.Context())
		if s := p.Status("7"); len(s) != 1 || s[0].Passing != 1402 {
			t.Errorf("while small frames pass: %v", s)
		}
		tunnel.pass(1450)
		p.ProbeAll(t.Context())
		if s := p.Status("7"); len(s) != 0 {
			t.Errorf("while all passes again: %v", s)
		}
	})
}

// Two who look for a fault at once send no more frames than one does.
func TestSeriesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tunnel := newFakeTunnel()
		p := &tunnelProber{log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1), networks: map[string]*probedNetwork{"7": {
			name: "blue", port: 4789, mtu: 1450, conn: tunnel, peers: map[kernel.MAC]*probedPeer{{2}: {member: &cluster.Member{Host: "b"}}},
		}}}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { p.ProbeAll(t.Context()) })
		}
		both.Wait()
		if len(tunnel.series) != 1 {
			t.Errorf("at once: %d series", len(tunnel.series))
		}
		p.ProbeAll(t.Context())
		if len(tunnel.series) != 2 {
			t.Errorf("later: %d series", len(tunnel.series))
		}
	})
}

// Whoever waits for the series of somebody who is interrupted gets series of its own.
func TestSeriesSurviveWhoSendsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, tunnel := seriesRig(1)
		first, interrupt := context.WithTimeout(t.Context(), seriesTime/2)
		defer interrupt()
		var both sync.WaitGroup
		both.Go(func() { p.sendSeries(first) })
		synctest.Wait() // its series are under way
		for range 2 {
			both.Go(func() { p.sendSeries(t.Context()) })
		}
		both.Wait()
		for mac, peer := range n.peers {
			if peer.series.at.IsZero() {
				t.Errorf("%v got no series", mac)
			}
		}
		if len(tunnel.series) != 1 {
			t.Errorf("%d whole series were sent", len(tunnel.series))
		}
	})
}

// After all tunnels were probed at once, only what came a moment ago is heard.
func TestHeardWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &tunnelProber{}
		if w := p.heardWindowLocked(); w != heardInterval {
			t.Errorf("never examined: %v", w)
		}
		p.ProbeAll(t.Context())
		if w := p.heardWindowLocked(); w >= heardInterval {
			t.Errorf("just examined: %v", w)
		}
		time.Sleep(2 * time.Second)
		if w := p.heardWindowLocked(); w != heardInterval {
			t.Errorf("later: %v", w)
		}
	})
}

func TestNamedEntries(t *testing.T) {
	if e := namedEntries(kernel.ForwardingKeys{}); e != nil {
		t.Errorf("none are %+v", e)
	}
	a, b := netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("198.18.0.2")
	e := namedEntries(kernel.ForwardingKeys{MACs: []kernel.MAC{{2}}, Addrs: []netip.Addr{a}, Flood: []kernel.FDB{{Dst: b}}})
	if e == nil || e.MACs[0] != "02:00:00:00:00:00" || e.Addrs[0] != a || e.Flood[0] != b {
		t.Errorf("named %+v", e)
	}
}

// The agent passes on what its checks find, or why there are none.
func TestDiagnoseRequest(t *testing.T) {
	a := new(Agent)
	if r := a.handleDiagnose(t.Context()); !strings.Contains(r.Error, "makes no checks") {
		t.Errorf("without checks: %+v", r)
	}
	a.Diagnose = func(context.Context, func(context.Context) (agentapi.StatusReport, error)) (json.RawMessage, error) {
		return json.RawMessage(`{"level":"ok"}`), nil
	}
	if r := a.handleDiagnose(t.Context()); r.Error != "" || string(r.Diagnosis) != `{"level":"ok"}` {
		t.Errorf("got %+v", r)
	}
	a.Diagnose = func(context.Context, func(context.Context) (agentapi.StatusReport, error)) (json.RawMessage, error) {
		return nil, errors.New("boom")
	}
	if r := a.handleDiagnose(t.Context()); r.Error != "diagnose: boom" {
		t.Errorf("got %+v", r)
	}
}
