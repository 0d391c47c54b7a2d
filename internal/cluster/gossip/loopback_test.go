package gossip

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
	"vxlan-driver/internal/clusterkey"
)

// The other tests have a network in memory; here two planes use real sockets.
func TestPlanesOverLoopback(t *testing.T) {
	for _, keys := range [][]clusterkey.Key{{testKey}, nil} {
		a, b := newLoopbackPlane(t, "a", keys), newLoopbackPlane(t, "b", keys)
		ofA, ofB := cluster.Local{}, cluster.Local{Listed: []netip.AddrPort{a.cfg.Bind}}
		if len(keys) == 0 {
			ofA.Listed = []netip.AddrPort{b.cfg.Bind}
		}
		stopA, stopB := runPlane(t, a), runPlane(t, b)
		announceIn(t, a, ofA, wiretest.Membership(hostAddr(1).Addr(), "web"))
		var names []string
		for i := range 100 { // too many for one packet
			names = append(names, hostName(i))
		}
		announceIn(t, b, ofB, wiretest.Membership(hostAddr(2).Addr(), names...))
		waitForSnapshot(t, b, func(s cluster.Snapshot) bool { return countEndpointsOf(s, "a") == 1 })
		waitForSnapshot(t, a, func(s cluster.Snapshot) bool { return countEndpointsOf(s, "b") == 100 })
		begin := time.Now()
		announceIn(t, a, ofA, wiretest.Membership(hostAddr(1).Addr(), "web", "new"))
		waitForSnapshot(t, b, func(s cluster.Snapshot) bool { return countEndpointsOf(s, "a") == 2 })
		t.Logf("a new container is seen after %v", time.Since(begin))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := b.Leave(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		waitForSnapshot(t, a, func(s cluster.Snapshot) bool { return len(s.Hosts) == 0 })
		begin = time.Now()
		stopB()
		stopA()
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("it took %v to stop", took)
		}
	}
}

// newLoopbackPlane makes a plane on a free port.
func newLoopbackPlane(t testing.TB, name string, keys []clusterkey.Key) *Plane {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bind := netip.MustParseAddrPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{
		Host: NewLocalHost(wiretest.ID(uint16(bind.Port())), name), Bind: bind, Keys: keys, Label: "loopback", Log: slog.New(slog.DiscardHandler),
		Allowed: []netip.Addr{hostAddr(1).Addr(), hostAddr(2).Addr()}, // the VTEPs
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// runPlane runs a plane and returns what stops it.
func runPlane(t testing.TB, p *Plane) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// waitForSnapshot waits for a snapshot of which ok is true.
func waitForSnapshot(t *testing.T, p *Plane, ok func(cluster.Snapshot) bool) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		changed := p.Changed()
		if ok(p.Snapshot()) {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%s sees %+v, %+v", p.cfg.Host.Name(), p.Snapshot(), p.Stats())
		}
	}
}

func countEndpointsOf(s cluster.Snapshot, host string) (n int) {
	h, _ := s.Find(host)
	for _, m := range h.Memberships {
		n += len(m.Endpoints)
	}
	return n
}

// announceIn announces a membership besides what the host lists.
func announceIn(t *testing.T, p *Plane, local cluster.Local, m cluster.Membership) {
	t.Helper()
	local.Memberships = []cluster.Membership{m}
	if err := p.Set(local); err != nil {
		t.Fatal(err)
	}
}
