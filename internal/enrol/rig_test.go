package enrol

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/logtest"
)

const clusterKey = "QmFzZTY0S2V5VGhhdElzU2VjcmV0MTIzNDU2Nzg5MDE="

// rig is a host with tokens that serves on the loopback interface.
type rig struct {
	t      *testing.T
	dir    string
	clock  *fakeClock
	store  *Store
	issuer *fakeIssuer
	addr   netip.AddrPort
	log    *logtest.Buffer
	stop   func()
}

// fakeClock is a clock that only tests move.
type fakeClock struct {
	mu  sync.Mutex
	now Moment
}

func (c *fakeClock) Now() Moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// pass lets time pass.
func (c *fakeClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Up += d
	c.now.Wall = c.now.Wall.Add(d)
}

// setWall is somebody who sets the clock.
func (c *fakeClock) setWall(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Wall = c.now.Wall.Add(d)
}

func (c *fakeClock) reboot(boot string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Boot, c.now.Up = boot, time.Minute
}

type fakeIssuer struct {
	mu    sync.Mutex
	paths int
	specs []PathSpec
	slow  bool // the ways are tried until the time is over
}

func (*fakeIssuer) Offer(netip.Addr, netip.Addr) Offer {
	return Offer{Host: "host-a", Cluster: "vxlan", AgentPort: 7947, TunnelPorts: []uint16{4789}, MTU: 1500, KeyID: "12345678"}
}

func (f *fakeIssuer) OpenPath(_ context.Context, spec PathSpec) (Path, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paths++
	f.specs = append(f.specs, spec)
	return &fakePath{closed: func() { f.mu.Lock(); f.paths--; f.mu.Unlock() }, report: goodReport, slow: f.slow}, nil
}

func (*fakeIssuer) Grant() (Grant, error) {
	return Grant{
		Keys: clusterKey + "\n", Cluster: "vxlan", AgentPort: 7947, Seeds: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7947")},
		Networks: []adopt.Definition{{Name: "mynet", Options: map[string]string{"vni": "100"}}},
	}, nil
}

var goodReport = PathReport{UDP: true, Tunnel: true, Heard: true, Largest: 1500}

type fakePath struct {
	closed func()
	report PathReport
	slow   bool
}

func (*fakePath) Ready() PathReady { return PathReady{MAC: "02:00:00:00:00:01"} }
func (p *fakePath) Probe(ctx context.Context, _ PathReady) PathReport {
	if p.slow {
		<-ctx.Done()
	}
	return p.report
}

func (p *fakePath) Close() {
	if p.closed != nil {
		p.closed()
	}
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		t: t, dir: t.TempDir(), issuer: new(fakeIssuer), log: new(logtest.Buffer),
		clock: &fakeClock{now: Moment{Boot: "first", Up: time.Hour, Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}},
	}
	// Other programs' connections come from ports of 127.0.0.1. One of these could be this port
	// while no agent listens.
	r.start("127.76.0.1:0")
	t.Cleanup(func() { r.stop() })
	return r
}

// start starts the host's agent, which reads the tokens that are there.
func (r *rig) start(at string) {
	r.t.Helper()
	var err error
	if r.store, err = OpenStore(r.dir, r.clock); err != nil {
		r.t.Fatal(err)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr = l.Addr().(*net.TCPAddr).AddrPort()
	ctx, cancel := context.WithCancel(r.t.Context())
	server := &Server{Store: r.store, Issuer: r.issuer, Log: slog.New(slog.NewTextHandler(r.log, nil))}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	})
}

// restart is an agent that ends at any time, and the next one.
func (r *rig) restart() {
	r.stop()
	r.start(r.addr.String())
}

func (r *rig) token() Token {
	r.t.Helper()
	token, err := r.store.Create([]netip.Addr{r.addr.Addr()}, r.addr.Port(), DefaultTTL)
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

// joiner is another host. What it does fails the test if it fails.
type joiner struct {
	Joiner
	*rig
}

func (r *rig) joiner(name string) joiner {
	return joiner{Joiner{ID: NewSecret(), Host: name}, r}
}

func (j joiner) enter(token Token) *Session {
	j.t.Helper()
	s, err := j.Enter(j.t.Context(), token)
	if err != nil {
		j.t.Fatalf("%s: %v", j.Host, err)
	}
	return s
}

// join joins up to a step, and is interrupted before the next one.
func (j joiner) join(token Token, steps int) (err error) {
	s, err := j.Enter(j.t.Context(), token)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, step := range []func() error{
		func() error {
			_, err := s.Probe(j.t.Context(), s.PathSpecs(1500)[0], &fakePath{report: goodReport}, 1500)
			return err
		},
		func() error { _, err := s.Take(); return err },
		s.Confirm,
	}[:steps] {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

const allSteps = 3
