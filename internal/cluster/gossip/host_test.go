package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
	"vxlan-driver/internal/clusterkey"
	"vxlan-driver/internal/logtest"
)

// testKey is the key of the hosts in tests.
var testKey = clusterkey.Key{1, 2, 3}

// host is a Plane that runs.
type host struct {
	*Plane
	t      *testing.T
	log    *logtest.Buffer
	cancel context.CancelFunc
	done   chan error
}

func hostAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), DefaultPort)
}

func hostKey(i int) wire.Key { return wire.Key{ID: wiretest.ID(uint16(i)), Addr: hostAddr(i)} }

func hostName(i int) string { return fmt.Sprintf("host-%d", i) }

// startHost runs host i of a network; change adapts its configuration. All have host 1 as their
// seed.
func startHost(t *testing.T, n *memnet, i int, change ...func(*Config)) *host {
	t.Helper()
	h := &host{t: t, log: new(logtest.Buffer), done: make(chan error, 1)}
	c := Config{
		Host: NewLocalHost(wiretest.ID(uint16(i)), hostName(i)), Bind: hostAddr(i), Seeds: []netip.AddrPort{hostAddr(1)}, Keys: []clusterkey.Key{testKey}, Label: "test",
		Log: slog.New(slog.NewTextHandler(h.log, nil)),
	}
	for _, f := range change {
		f(&c)
	}
	c.transport = n.transport(c.Bind)
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	h.Plane = p
	ctx, cancel := context.WithCancel(t.Context())
	h.cancel = cancel
	go func() { h.done <- p.Run(ctx) }()
	return h
}

// crash stops a host without a leave.
func (h *host) crash() {
	h.t.Helper()
	h.cancel()
	if err := <-h.done; err != nil {
		h.t.Errorf("%s: %v", h.cfg.Host.Name(), err)
	}
}

// leave takes a host out of the cluster.
func (h *host) leave() {
	h.t.Helper()
	if err := h.Leave(h.t.Context()); err != nil {
		h.t.Errorf("%s: %v", h.cfg.Host.Name(), err)
	}
	h.crash()
}

// announce sets a host's containers, by their names, on wiretest.Network.
func (h *host) announce(names ...string) {
	h.t.Helper()
	if err := h.Set(cluster.Local{Memberships: []cluster.Membership{wiretest.Membership(h.cfg.Bind.Addr(), names...)}}); err != nil {
		h.t.Fatal(err)
	}
}

// list sets the hosts that a host's networks list. It has no container.
func (h *host) list(seeds ...netip.AddrPort) {
	h.t.Helper()
	if err := h.Set(cluster.Local{Listed: seeds}); err != nil {
		h.t.Fatal(err)
	}
}

// announceTo is announce of one container on a network that lists hosts.
func (h *host) announceTo(name string, seeds ...netip.AddrPort) {
	h.t.Helper()
	m := wiretest.Membership(h.cfg.Bind.Addr(), name)
	if err := h.Set(cluster.Local{Memberships: []cluster.Membership{m}, Listed: seeds}); err != nil {
		h.t.Fatal(err)
	}
}

// waitUntilSynced lets virtual time pass until a plane knows what the others have.
func (p *Plane) waitUntilSynced() {
	for {
		changed := p.Changed()
		if p.Health().Synced {
			return
		}
		<-changed
	}
}

// ownVersion returns the version of the host's own record.
func (h *host) ownVersion() wire.Version {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	m, err := wire.Decode(h.replica.DigestMessage(time.Now()), wire.Supported)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, d := range m.Digests {
		if d.Key == h.cfg.key() {
			return d.Version
		}
	}
	return wire.Version{}
}

// sees returns a host's snapshot as "host: name name" in order, unreachable hosts in brackets.
func (h *host) sees() string {
	var lines []string
	for _, o := range h.Snapshot().Hosts {
		var names []string
		for _, a := range o.Memberships {
			for _, e := range a.Endpoints {
				names = append(names, e.Names...)
			}
		}
		slices.Sort(names)
		line := o.Name + ": " + strings.Join(names, " ")
		if !o.Reachable() {
			line = "(" + line + ")"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ", ")
}

// waitUntilSees lets virtual time pass until the host sees want, and returns how long it took.
func (h *host) waitUntilSees(limit time.Duration, want string) time.Duration {
	h.t.Helper()
	begin := time.Now()
	timeout := time.After(limit)
	for {
		changed := h.Changed()
		if h.sees() == want {
			return time.Since(begin)
		}
		select {
		case <-changed:
		case <-timeout:
			h.t.Fatalf("%s sees after %v\n  %s\nwant\n  %s\nlog\n%s", h.cfg.Host.Name(), limit, h.sees(), want, h.log.String())
		}
	}
}

// inVirtualTime runs a test in a synctest bubble, with a network.
func inVirtualTime(t *testing.T, f func(t *testing.T, n *memnet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// Runs last, when the hosts have stopped with the test's context. It gives memberlist's
		// timers time to run out.
		t.Cleanup(func() { time.Sleep(time.Minute) })
		f(t, newMemnet())
	})
}

// expectOthers returns what host i should see of count hosts. Each has a container of its number,
// as c3, or what changed says.
func expectOthers(i, count int, changed map[int]string) string {
	var lines []string
	for o := 1; o <= count; o++ {
		if o == i {
			continue
		}
		what, ok := changed[o]
		if !ok {
			what = fmt.Sprint("c", o)
		}
		lines = append(lines, fmt.Sprintf("%s: %s", hostName(o), what))
	}
	return strings.Join(lines, ", ")
}

// waitUntilKnows is waitUntilSees for hosts that may be unreachable.
func (h *host) waitUntilKnows(limit time.Duration, want string) {
	h.t.Helper()
	timeout := time.After(limit)
	for {
		changed := h.Changed()
		if strings.NewReplacer("(", "", ")", "").Replace(h.sees()) == want {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			h.t.Fatalf("%s sees after %v\n  %s\nwant\n  %s", h.cfg.Host.Name(), limit, h.sees(), want)
		}
	}
}
