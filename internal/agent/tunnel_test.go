package agent

import (
	"context"
	"log/slog"
	"maps"
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

// fakeTunnel passes frames up to a size.
type fakeTunnel struct {
	mu     sync.Mutex
	passes int
	heard  time.Time
	sent   []int // sizes
	series []int // sizes of the frames of series
	loses  int   // each frame of this number in a series; 0: none
	closed chan struct{}
}

func newFakeTunnel() *fakeTunnel { return &fakeTunnel{passes: 1450, closed: make(chan struct{})} }

// tunnelTime is how long a frame takes there and back.
const tunnelTime = time.Millisecond

// seriesTime is how long a series takes.
const seriesTime = 10 * tunnelTime

func (f *fakeTunnel) Probe(ctx context.Context, _ kernel.MAC, size int) (bool, error) {
	f.mu.Lock()
	f.sent = append(f.sent, size)
	passes := size <= f.passes
	f.mu.Unlock()
	if !passes {
		<-ctx.Done()
	}
	time.Sleep(tunnelTime)
	return passes, nil
}

// Series loses each frame of a number, if that is not 0.
func (f *fakeTunnel) Series(ctx context.Context, _ kernel.MAC, size, count int) (kernel.FrameSeries, error) {
	select {
	case <-time.After(seriesTime):
	case <-ctx.Done():
		return kernel.FrameSeries{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := kernel.FrameSeries{Sent: count}
	switch {
	case size > f.passes:
	case f.loses > 0:
		s.LostThere = count / f.loses
		s.Answered = count - s.LostThere
	default:
		s.Answered = count
	}
	f.series = append(f.series, size)
	return s, nil
}

func (f *fakeTunnel) LastHeard(kernel.MAC) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard
}

func (f *fakeTunnel) hear(at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = at
}

func (f *fakeTunnel) Closed() <-chan struct{} { return f.closed }
func (f *fakeTunnel) Close() error            { close(f.closed); return nil }

func (f *fakeTunnel) pass(size int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passes = size
}

// takeSent returns how many frames were sent since it was called last.
func (f *fakeTunnel) takeSent() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.sent)
	f.sent = nil
	return n
}

func TestTunnelsAreMeasured(t *testing.T) {
	for _, tt := range []struct {
		passes int
		before tunnelState
		want   tunnelState
	}{
		{1450, tunnelState{}, tunnelState{}},
		{1450, tunnelState{lost: true}, tunnelState{}},
		{1402, tunnelState{}, tunnelState{passing: 1402}},
		{1449, tunnelState{}, tunnelState{passing: 1449}},
		{smallProbe, tunnelState{}, tunnelState{passing: smallProbe}},
		{1402, tunnelState{passing: 1300}, tunnelState{passing: 1300}}, // not measured again
		{1300, tunnelState{passing: 1402}, tunnelState{passing: 1300}},
		{0, tunnelState{}, tunnelState{lost: true}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeTunnel()
			f.passes = tt.passes
			got, err := measureTunnel(t.Context(), tunnelPath{conn: f}, 1450, tt.before)
			if err != nil || got.tunnelState != tt.want {
				t.Errorf("%d pass, before %+v: got %+v, %v", tt.passes, tt.before, got, err)
			}
		})
	}
}

// A way that is mended while it is measured has no smaller MTU.
func TestTunnelMendedMeanwhileIsGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeTunnel()
		f.pass(0)
		time.AfterFunc(2*time.Second, func() { f.pass(1450) })
		got, err := measureTunnel(t.Context(), tunnelPath{conn: f}, 1450, tunnelState{})
		if err != nil || got != (tunnelMeasurement{full: frameCount{1, 1}, roundTrip: tunnelTime}) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// probedHost is an otherHost whose agent answers probes, and so says how it set up the network.
func probedHost(n byte, names ...string) cluster.Host {
	h := otherHost(n, names...)
	h.Memberships[0].View = cluster.NetworkView{Name: "blue", MTU: 1450}
	return h
}

// withTunnel runs a test with an agent that has a container, and another host in its network.
func withTunnel(t *testing.T, test func(t *testing.T, r *rig, f *fakeTunnel)) {
	withAgent(t, func(t *testing.T, r *rig) {
		f := newFakeTunnel()
		r.OpenTunnel = func(bridge, device string, _ kernel.MAC) (TunnelConn, error) {
			if bridge != "br-blue" || device != "vxlan-blue" {
				t.Errorf("opened %s, %s", bridge, device)
			}
			return f, nil
		}
		r.prepareCluster = func(c *fakeCluster) { c.shown = cluster.NewSnapshot(probedHost(11, "b")) }
		r.setup(1)
		r.start()
		sleep(time.Second)
		test(t, r, f)
		r.finish()
	})
}

func (r *rig) tunnelStatus() []agentapi.TunnelStatus {
	r.t.Helper()
	return r.handleRequest(r.t.Context(), agentapi.Request{Verb: agentapi.VerbStatus}).Status.Networks[0].Tunnels
}

// A host is probed when it appears, once a minute while all is well, and more often while it is
// not. What has changed is in the status and logged once.
func TestTunnelsAreProbed(t *testing.T) {
	withTunnel(t, func(t *testing.T, r *rig, f *fakeTunnel) {
		if n := f.takeSent(); n != 1 {
			t.Errorf("sent %d frames to a host that appeared", n)
		}
		sleep(10 * time.Minute)
		if n := f.takeSent(); n < 8 || n > 10 {
			t.Errorf("sent %d frames in ten minutes", n)
		}
		if got := r.tunnelStatus(); len(got) > 0 {
			t.Errorf("all is well, and the status has %+v", got)
		}
		f.pass(1402)
		sleep(2 * time.Minute)
		want := agentapi.TunnelStatus{Host: "l (198.18.0.11)", Port: 4789, Size: 1450, Passing: 1402}
		if got := r.tunnelStatus(); len(got) != 1 || got[0] != want {
			t.Errorf("got %+v", got)
		}
		f.pass(0)
		sleep(29 * time.Second)
		f.hear(time.Now())
		sleep(time.Second)
		if got := r.tunnelStatus(); len(got) != 1 || got[0].Passing != 0 || !got[0].Heard {
			t.Errorf("got %+v", got)
		}
		f.takeSent()
		sleep(time.Minute)
		if n := f.takeSent(); n < 20 || n > 40 {
			t.Errorf("sent %d frames in a minute to a host that is not reached", n)
		}
		f.pass(1450)
		sleep(15 * time.Second)
		if got := r.tunnelStatus(); len(got) > 0 {
			t.Errorf("after it was mended: %+v", got)
		}
	})
}

// A host that has just come may not have set up its end when the first frame comes. That is no loss. What is lost later
// is.
func TestFramesBeforeTheFirstAnswerAreNoLoss(t *testing.T) {
	withTunnel(t, func(t *testing.T, r *rig, f *fakeTunnel) {
		lossTo12 := func() (loss float64, known bool) {
			t.Helper()
			for _, h := range r.report(false).Clusters[0].Hosts {
				if len(h.Paths) > 0 && h.Paths[0].VTEP == vtep(12) {
					return h.Paths[0].Loss()
				}
			}
			return 0, false
		}
		f.takeSent()
		f.pass(0)
		r.cluster().show(probedHost(11, "b"), probedHost(12, "c"))
		for f.takeSent() == 0 {
			sleep(10 * time.Millisecond)
		}
		f.pass(1450)
		sleep(5 * time.Second)
		if loss, known := lossTo12(); !known || loss != 0 {
			t.Errorf("the first frame was lost: loss %v, %v", loss, known)
		}
		f.pass(0)
		sleep(2 * time.Minute)
		if loss, known := lossTo12(); !known || loss != 1 {
			t.Errorf("all are lost: loss %v, %v", loss, known)
		}
	})
}

// What is lost once, since a machine was busy, is no alarm.
func TestOneLostProbeIsNoAlarm(t *testing.T) {
	withTunnel(t, func(t *testing.T, r *rig, f *fakeTunnel) {
		sleep(time.Minute / 2)
		f.pass(0)
		for f.takeSent(); f.takeSent() == 0; {
			sleep(100 * time.Millisecond)
		}
		sleep(2 * time.Second)
		f.pass(1450)
		sleep(time.Minute)
		if got := r.tunnelStatus(); len(got) > 0 {
			t.Errorf("got %+v", got)
		}
		if strings.Contains(r.log.String(), "VXLAN packets") {
			t.Errorf("logged\n%s", r.log)
		}
	})
}

// A host of an early version does not answer, and one that is about to join has no devices yet.
func TestHostsThatCannotAnswerAreNotProbed(t *testing.T) {
	withTunnel(t, func(t *testing.T, r *rig, f *fakeTunnel) {
		f.takeSent()
		f.pass(0)
		r.cluster().show(otherHost(12, "c"))
		sleep(10 * time.Minute)
		if got := r.tunnelStatus(); len(got) > 0 || f.takeSent() > 0 {
			t.Errorf("got %+v", got)
		}
	})
}

// An agent that has ended is reachable for the others until gossip finds out, in a cluster of a
// thousand hosts after a quarter of a minute. Neither then nor later are its packets lost.
func TestHostThatGoesIsNoAlarm(t *testing.T) {
	for _, after := range []time.Duration{time.Second, 5 * time.Second, 14 * time.Second} {
		withTunnel(t, func(t *testing.T, r *rig, f *fakeTunnel) {
			f.pass(0)
			for f.takeSent(); f.takeSent() == 0; {
				sleep(10 * time.Millisecond)
			}
			sleep(after)
			r.cluster().show(withoutContainer(probedHost(11)))
			sleep(time.Minute)
			if strings.Contains(r.log.String(), "VXLAN packets") {
				t.Errorf("gone after %v, logged\n%s", after, r.log)
			}
		})
	}
}

// A host that starts is new to all others at once. It answers some hundred probes in a second.
func TestManyHostsDoNotProbeANewOneAtOnce(t *testing.T) {
	members := make([]*cluster.Member, 1000)
	for i := range members {
		m := probedHost(1).Memberships[0]
		m.VTEP = netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		members[i] = &cluster.Member{Reachable: true, Membership: m}
	}
	inSecond := make(map[time.Duration]int)
	for range 200 { // of the thousand
		n := &probedNetwork{peers: make(map[kernel.MAC]*probedPeer)}
		n.setPeers(100, members[1:])
		known := maps.Clone(n.peers)
		n.setPeers(100, members)
		for mac, peer := range n.peers {
			if known[mac] == nil {
				inSecond[time.Until(peer.due).Truncate(time.Second)]++
			}
		}
	}
	for second, probes := range inSecond {
		if probes > 200/5 {
			t.Errorf("%d of 200 hosts probe in second %v", probes, second)
		}
	}
}

// A thousand hosts are probed one after the other, also when all appear, or are lost, at once.
func TestProbesOfManyHostsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeTunnel()
		p := &tunnelProber{log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1)}
		n := &probedNetwork{mtu: 1450, conn: f, peers: make(map[kernel.MAC]*probedPeer)}
		for i := range 1000 {
			n.peers[kernel.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}] = &probedPeer{member: new(cluster.Member), due: time.Now()}
		}
		p.networks = map[string]*probedNetwork{"a": n}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { p.Run(ctx); close(done) }()
		const hour = int(time.Hour / time.Second)
		sleep(time.Hour)
		if sent := f.takeSent(); sent > 2*hour+10 || sent < hour {
			t.Errorf("sent %d frames in an hour", sent)
		}
		f.pass(0)
		sleep(10 * time.Minute)
		f.takeSent()
		sleep(time.Hour)
		if sent := f.takeSent(); sent > 2*6*hour+10 {
			t.Errorf("sent %d frames in an hour to hosts that are not reached", sent)
		}
		cancel()
		<-done
	})
}
