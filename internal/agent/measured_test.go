package agent

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

// report asks the agent for its status.
func (r *rig) report(rates bool) agentapi.StatusReport {
	r.t.Helper()
	got := r.handleRequest(r.t.Context(), agentapi.Request{Verb: agentapi.VerbStatus, Rates: rates})
	if got.Error != "" || got.Status == nil {
		r.t.Fatalf("got %+v", got)
	}
	return *got.Status
}

// The status has how well another host is reached: by its agent, and through each tunnel.
func TestStatusHasContactAndPaths(t *testing.T) {
	withTunnel(t, func(t *testing.T, r *rig, f *fakeTunnel) {
		host := func() agentapi.HostStatus { return r.report(false).Clusters[0].Hosts[0] }
		sleep(9*time.Minute - time.Second)
		h := host()
		if !h.Reachable || h.ReachableFor != time.Hour || h.RoundTrip != 300*time.Microsecond || h.RoundTripAge != time.Second {
			t.Errorf("contact: %+v", h)
		}
		if len(h.Paths) != 1 {
			t.Fatalf("paths: %+v", h.Paths)
		}
		p := h.Paths[0]
		if n := p.Full.Sent; n < 8 || n > 10 || p.Full.Answered != n || p.Measured <= 0 || p.Measured > 2*time.Minute {
			t.Errorf("all passes: %+v", p)
		}
		p.Full, p.Measured = agentapi.FrameCount{}, 0
		if want := (agentapi.PathStatus{Network: "blue", VTEP: vtep(11), FullSize: 1450, MTU: 1450, RoundTrip: tunnelTime}); p != want {
			t.Errorf("got %+v, want %+v", p, want)
		}
		f.pass(1402)
		sleep(2 * time.Minute)
		p = host().Paths[0]
		if loss, known := p.Loss(); p.MTU != 1402 || !known || loss != 0 || p.Full.Answered == p.Full.Sent || p.Small.Sent == 0 {
			t.Errorf("large frames are lost: %+v, loss %v", p, loss)
		}
		for f.takeSent(); f.takeSent() == 0; {
			sleep(10 * time.Millisecond)
		}
		f.pass(1450) // while it is measured: the first frame is lost
		sleep(30 * time.Second)
		if p := host().Paths[0]; p.MTU != 1450 || p.Full.Answered == 0 || p.Full.Answered != p.Full.Sent || p.Small.Sent > 0 {
			t.Errorf("mended: %+v", p)
		}
		f.pass(0)
		sleep(90 * time.Second)
		if loss, _ := host().Paths[0].Loss(); loss != 1 {
			t.Errorf("lost for a minute or so: loss %v", loss)
		}
		f.hear(time.Now())
		sleep(20 * time.Minute)
		p = host().Paths[0]
		if loss, known := p.Loss(); p.MTU != 0 || !known || loss != 1 || p.Heard != 20*time.Minute {
			t.Errorf("all is lost: %+v, loss %v", p, loss)
		}
		r.cluster().show(unreachable(probedHost(11, "b")))
		sleep(5 * time.Second)
		if h := host(); h.Reachable || h.ReachableFor != 0 || h.UnreachableFor != 5*time.Second || len(h.Paths) > 0 {
			t.Errorf("unreachable: %+v", h)
		}
	})
}

// What a device counts, and what the firewall drops, is read when somebody asks, and not before.
func TestStatusHasTraffic(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		var counted kernel.LinkCounters
		drop := kernel.DropCounter{Reason: "isolation", Chain: "between_networks", Comment: "between isolated networks", Packets: 4, Bytes: 300}
		var err error
		reads := 0
		r.ReadCounters = func(links []string) (kernel.Counters, error) {
			reads++
			if !slices.Equal(links, []string{"vxlan-blue"}) {
				t.Errorf("counters of %q are read", links)
			}
			// While somebody waits for a rate, 100 packets come in a second.
			counted.ReceivedPackets += 50
			counted.ReceivedBytes += 5000
			return kernel.Counters{Links: map[string]kernel.LinkCounters{"vxlan-blue": counted}, Drops: []kernel.DropCounter{drop}}, err
		}
		counted.SendErrors, counted.SendDropped = 3, 2
		r.setup(1)
		r.startIdle()
		sleep(time.Hour)
		if reads > 0 {
			t.Errorf("read %d times for nobody", reads)
		}
		got := r.report(false)
		want := agentapi.TrafficStatus{ReceivedPackets: 50, ReceivedBytes: 5000, SendErrors: 3, SendDropped: 2}
		if have := got.Networks[0].Traffic; have == nil || *have != want {
			t.Errorf("got %+v", have)
		}
		if len(got.Drops) != 1 || got.Drops[0] != agentapi.DropStatus(drop) {
			t.Errorf("drops: %+v", got.Drops)
		}
		// The first two ask at a time when no reading is of use; the others use the one before.
		for i, step := range []struct{ after, over time.Duration }{
			{time.Hour, quickRateTime}, {time.Hour, quickRateTime}, {2 * time.Second, 2*time.Second + quickRateTime}, {30 * time.Second, 30 * time.Second}, {minRateTime / 2, 30*time.Second + minRateTime/2},
		} {
			sleep(step.after)
			rates := r.report(true).Networks[0].Traffic.Rates
			if rates == nil || rates.Over != step.over || rates.SentBytes != 0 || rates.ReceivedPackets == 0 ||
				math.Round(rates.ReceivedBytes/rates.ReceivedPackets) != 100 {
				t.Errorf("step %d: got %+v, want over %v", i, rates, step.over)
			}
		}
		counted = kernel.LinkCounters{} // the device was made anew
		sleep(2 * time.Second)
		if have := r.report(false).Networks[0].Traffic; have.Rates != nil || have.ReceivedPackets != 50 {
			t.Errorf("a new device: %+v", have)
		}
		err = errors.New("no descriptors")
		if got := r.report(true); got.Networks[0].Traffic != nil || !strings.Contains(strings.Join(got.Warnings, ""), "no descriptors") {
			t.Errorf("unreadable: %+v", got)
		}
		r.finish()
	})
}

// A plane that does not measure leaves it out.
func TestStatusWithoutContact(t *testing.T) {
	now := time.Now()
	m := &clusterMember{Plane: struct{ cluster.Plane }{newFakeCluster()}}
	got := hostStatus(m, unreachable(otherHost(11)), now.Add(time.Minute))
	want := agentapi.HostStatus{ID: cluster.HostID{}.String(), Name: "l (198.18.0.11)", HostName: "l", Addr: vtep(11), UnreachableFor: got.UnreachableFor}
	if !reflect.DeepEqual(got, want) || got.UnreachableFor < 59*time.Second {
		t.Errorf("got %+v", got)
	}
}

// The status has what the agent itself has done, and whether it has found anybody.
func TestStatusHasTheAgentsOwnCounts(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.KeyFile = new(fakeKeyFile)
		r.names.setTime = 20 * time.Millisecond // of each turn
		r.setup(1)
		r.startIdle()
		got := r.report(false)
		turns := 0
		for i, n := range got.Turns.Counts {
			if turns += int(n); n > 0 && got.Turns.Bounds[i] != 25*time.Millisecond {
				t.Errorf("%d turns took up to %v", n, got.Turns.Bounds[i])
			}
		}
		if turns == 0 || got.Turns.Sum != time.Duration(turns)*r.names.setTime || len(got.Turns.Counts) != len(got.Turns.Bounds)+1 {
			t.Errorf("%d turns: %+v", turns, got.Turns)
		}
		if got.Queries != (agentapi.QueryCounts{Answered: 1}) || !slices.Equal(got.KeyIDs, []string{"1a2b3c4d", "5e6f7a8b"}) {
			t.Errorf("queries %+v, keys %q", got.Queries, got.KeyIDs)
		}
		if c := got.Clusters[0]; !c.Alone || !c.Syncing {
			t.Errorf("nobody was found: %+v", c)
		}
		r.cluster().setMembers(2)
		r.cluster().setSynced()
		if c := r.report(false).Clusters[0]; c.Alone || c.Syncing {
			t.Errorf("somebody was found: %+v", c)
		}
		r.finish()
	})
}

func TestTurnDurationsAreCountedOnce(t *testing.T) {
	var d turnDurations
	for _, took := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, time.Hour} {
		d.Add(took)
	}
	got := d.Report()
	want := make([]uint64, len(got.Bounds)+1)
	want[0], want[1], want[len(got.Bounds)] = 2, 1, 1
	if !slices.Equal(got.Counts, want) || got.Sum != time.Hour+2*time.Millisecond+1 {
		t.Errorf("got %+v", got)
	}
}
