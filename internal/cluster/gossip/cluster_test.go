package gossip

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

// testKey is a key that is no secret.
var testKey = Key{1, 2, 3}

var testNet = cluster.NetworkKey{VNI: 100, Port: 4789}

// logs collects what a host logs.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), part)
}

// host is a Source that runs.
type host struct {
	*Source
	t      *testing.T
	log    *logs
	cancel context.CancelFunc
	done   chan error
}

func addrOf(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), DefaultPort)
}

func nameOf(i int) string { return fmt.Sprintf("host-%d", i) }

// start runs host i of a network; change adapts its configuration. All have host
// 1 as their seed.
func start(t *testing.T, n *memnet, i int, change ...func(*Config)) *host {
	t.Helper()
	h := &host{t: t, log: new(logs), done: make(chan error, 1)}
	c := Config{
		Name: nameOf(i), Bind: addrOf(i), Seeds: []netip.AddrPort{addrOf(1)}, Keys: []Key{testKey}, Label: "test",
		Log: slog.New(slog.NewTextHandler(h.log, nil)),
	}
	for _, f := range change {
		f(&c)
	}
	c.transport = n.transport(c.Bind)
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	h.Source = s
	ctx, cancel := context.WithCancel(t.Context())
	h.cancel = cancel
	go func() { h.done <- s.Run(ctx) }()
	return h
}

// crash ends a host without a word.
func (h *host) crash() {
	h.t.Helper()
	h.cancel()
	if err := <-h.done; err != nil {
		h.t.Errorf("%s: %v", h.cfg.Name, err)
	}
}

// leave takes a host out of the cluster.
func (h *host) leave() {
	h.t.Helper()
	if err := h.Leave(h.t.Context()); err != nil {
		h.t.Errorf("%s: %v", h.cfg.Name, err)
	}
	h.crash()
}

// has sets what a host has: containers by their names, in testNet.
func (h *host) has(names ...string) {
	h.t.Helper()
	if err := h.Set([]cluster.Membership{attachment(h.cfg.Bind.Addr(), names...)}); err != nil {
		h.t.Fatal(err)
	}
}

func attachment(vtep netip.Addr, names ...string) cluster.Membership {
	a := cluster.Membership{
		Network: testNet, VTEP: vtep, StaticFDB: true, BridgeMAC: kernel.MAC{6, 1},
		HostAddrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, vtep.As4()[3], 255})},
	}
	for i, name := range names {
		a.Endpoints = append(a.Endpoints, cluster.Endpoint{
			ContainerID: strings.Repeat("0", 64-len(name)) + name, Names: []string{name},
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, vtep.As4()[3], byte(i + 2)})},
			MAC:   kernel.MAC{2, 0, 10, 0, vtep.As4()[3], byte(i + 2)},
		})
	}
	return a
}

// sees returns what a host knows as "host: name name" in order, hidden ones in brackets.
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

// wait lets virtual time pass until the host sees want, and returns how long it took.
func (h *host) wait(limit time.Duration, want string) time.Duration {
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
			h.t.Fatalf("%s sees after %v\n  %s\nwant\n  %s\nlog\n%s", h.cfg.Name, limit, h.sees(), want, h.log.buf.String())
		}
	}
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T, n *memnet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// Runs last, when the hosts have stopped with the test's context: time
		// for memberlist's timers to run out.
		t.Cleanup(func() { time.Sleep(time.Minute) })
		f(t, newMemnet())
	})
}
