package gossip

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
)

// The same over the machine's own sockets, where the rest of the tests have a
// network in memory.
func TestOverLoopback(t *testing.T) {
	for _, keys := range [][]Key{{testKey}, nil} {
		a, b := listen(t, "a", keys), listen(t, "b", keys)
		b.SetSeeds([]netip.AddrPort{a.cfg.Bind})
		if len(keys) == 0 {
			a.SetSeeds([]netip.AddrPort{b.cfg.Bind})
		}
		stopA, stopB := run(t, a), run(t, b)
		if err := a.Set([]cluster.Membership{attachment(addrOf(1).Addr(), "web")}); err != nil {
			t.Fatal(err)
		}
		var names []string
		for i := range 100 { // too many for a packet
			names = append(names, nameOf(i))
		}
		if err := b.Set([]cluster.Membership{attachment(addrOf(2).Addr(), names...)}); err != nil {
			t.Fatal(err)
		}
		until(t, b, func(s cluster.Snapshot) bool { return endpoints(s, "a") == 1 })
		until(t, a, func(s cluster.Snapshot) bool { return endpoints(s, "b") == 100 })
		begin := time.Now()
		if err := a.Set([]cluster.Membership{attachment(addrOf(1).Addr(), "web", "new")}); err != nil {
			t.Fatal(err)
		}
		until(t, b, func(s cluster.Snapshot) bool { return endpoints(s, "a") == 2 })
		t.Logf("a new container is seen after %v", time.Since(begin))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := b.Leave(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		until(t, a, func(s cluster.Snapshot) bool { return len(s.Hosts) == 0 })
		begin = time.Now()
		stopB()
		stopA()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it took %v to stop", took)
		}
	}
}

// listen makes a source on a port that is free.
func listen(t *testing.T, name string, keys []Key) *Source {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bind := netip.MustParseAddrPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{
		Name: name, Bind: bind, Keys: keys, Label: "loopback", Log: slog.New(slog.DiscardHandler),
		Allowed: []netip.Addr{addrOf(1).Addr(), addrOf(2).Addr()}, // the VTEPs
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs a source and returns what stops it.
func run(t *testing.T, s *Source) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// until waits for a snapshot.
func until(t *testing.T, s *Source, ok func(cluster.Snapshot) bool) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		changed := s.Changed()
		if ok(s.Snapshot()) {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%s sees %+v, %+v", s.cfg.Name, s.Snapshot(), s.Stats())
		}
	}
}

func endpoints(s cluster.Snapshot, host string) (n int) {
	h, _ := s.Find(host)
	for _, a := range h.Memberships {
		n += len(a.Endpoints)
	}
	return n
}
