package gossip

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
	"vxlan-driver/internal/kernel"
)

// The simulation runs many hosts in one process and in virtual time. Their network takes 0.25 to
// 0.5 ms one way and loses one packet in a hundred. It measures from Set on one host until the
// container is in the snapshot of another.
//
// `make sim` prints the table.

const (
	simContainers = 50
	simLoss       = 0.01
	// simStartsAtOnce is how many hosts are started a second.
	simStartsAtOnce = 100
)

// simHost is a host of the simulation, which starts and stops.
type simHost struct {
	*host
	i          int
	containers []cluster.Endpoint
	up         bool
}

// sim is a simulation. Only the test's goroutine uses its fields, except for those that mu guards.
type sim struct {
	t              *testing.T
	net            *memnet
	count          int // of hosts
	containersEach int
	rng            *rand.Rand
	hosts          []*simHost
	next           int

	mu         sync.Mutex
	target     string          // container that is waited for
	targetHost string          // host that it is on
	since      time.Time       // when it was set
	waiting    map[string]bool // hosts that have not seen it
	allSaw     chan struct{}   // closed when waiting is empty
	lives      map[string]int  // raised with each start and stop of a host
	samples    []time.Duration

	catchingUp map[string]time.Time // hosts that do not know all others yet, and when they started
	caughtUp   []time.Duration      // how long that took

	// recordsMu is taken while a plane's lock is held, and mu while a plane's lock may be taken.
	recordsMu sync.Mutex
	records   map[wire.Version]wire.Record // that hosts have stored
}

func newSim(t *testing.T, n *memnet, count int) *sim {
	s := &sim{
		t: t, net: n, count: count, rng: simRand(count), containersEach: numbersFromEnv(t, "SIM_CONTAINERS", simContainers)[0],
		lives: make(map[string]int), catchingUp: make(map[string]time.Time), records: make(map[wire.Version]wire.Record),
	}
	for i := 1; i <= count; i++ {
		h := &simHost{i: i}
		for range s.containersEach {
			h.containers = append(h.containers, s.newContainer(i))
		}
		s.hosts = append(s.hosts, h)
		s.start(h)
		if i%simStartsAtOnce == 0 {
			time.Sleep(time.Second)
		}
	}
	return s
}

// shareRecord makes all hosts keep one copy of a record. A thousand copies of 50,000 containers
// would be 20 GB.
func (s *sim) shareRecord(r wire.Record) wire.Record {
	s.recordsMu.Lock()
	defer s.recordsMu.Unlock()
	shared, ok := s.records[r.Version] // which has the content's checksum
	if !ok {
		s.records[r.Version] = r
		return r
	}
	r.Raw, r.Memberships = shared.Raw, shared.Memberships
	return r
}

// simRand draws the same for simulations of the same size.
func simRand(hosts int) *rand.Rand { return rand.New(rand.NewPCG(5, uint64(hosts))) }

// newContainer makes a container as Podman has it: an id of 64 digits, a name, and the id's
// beginning as an alias.
func (s *sim) newContainer(host int) cluster.Endpoint {
	s.next++
	id := fmt.Sprintf("%012x%052x", s.rng.Uint64()>>16, s.next)
	addr := netip.AddrFrom4([4]byte{10, byte(host), byte(s.next >> 8), byte(s.next)})
	return cluster.Endpoint{
		ContainerID: id, Names: []string{fmt.Sprintf("container-%d", s.next), id[:12]},
		Addrs: []netip.Addr{addr}, MAC: kernel.MAC{2, 1, 10, byte(host), byte(s.next >> 8), byte(s.next)},
	}
}

func (h *simHost) announceAll() {
	m := wiretest.Membership(h.cfg.Bind.Addr())
	m.Endpoints = slices.Clone(h.containers)
	if err := h.Set(cluster.Local{Memberships: []cluster.Membership{m}}); err != nil {
		h.t.Fatal(err)
	}
}

func (s *sim) start(h *simHost) {
	h.host = startHost(s.t, s.net, h.i, func(c *Config) {
		c.Log = nil
		c.Seeds = []netip.AddrPort{hostAddr(1), hostAddr(2)}
		c.shareRecord = s.shareRecord
	})
	h.up = true
	h.announceAll()
	s.mu.Lock()
	s.lives[h.cfg.Host.Name()]++
	life := s.lives[h.cfg.Host.Name()]
	s.catchingUp[h.cfg.Host.Name()] = time.Now()
	s.mu.Unlock()
	plane := h.Plane
	done := s.t.Context().Done()
	go func() {
		for {
			changed := plane.Changed()
			if !s.observe(plane, life) {
				return
			}
			select {
			case <-changed:
			case <-done:
				return
			}
		}
	}()
}

func (s *sim) stop(h *simHost) {
	h.crash()
	h.up = false
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lives[h.cfg.Host.Name()]++
	delete(s.catchingUp, h.cfg.Host.Name())
	h.Plane.mu.Lock()
	close(h.Plane.changed) // the watcher sees that this life is over
	h.Plane.changed = make(chan struct{})
	h.Plane.mu.Unlock()
	s.markSeenLocked(h.cfg.Host.Name(), false)
}

// observe notes whether a host sees the container that is waited for, and tells whether the host
// still runs.
func (s *sim) observe(h *Plane, life int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lives[h.cfg.Host.Name()] != life {
		return false
	}
	if began, behind := s.catchingUp[h.cfg.Host.Name()]; behind && len(h.Snapshot().Hosts) == s.count-1 {
		s.caughtUp = append(s.caughtUp, time.Since(began))
		delete(s.catchingUp, h.cfg.Host.Name())
	}
	if !s.waiting[h.cfg.Host.Name()] {
		return true
	}
	o, ok := h.Snapshot().Find(s.targetHost)
	if !ok || !o.Reachable() || len(o.Memberships) == 0 {
		return true
	}
	if slices.ContainsFunc(o.Memberships[0].Endpoints, func(e cluster.Endpoint) bool { return e.ContainerID == s.target }) {
		s.markSeenLocked(h.cfg.Host.Name(), true)
	}
	return true
}

// markSeenLocked takes a host off the list. One that was stopped before it saw the container is no
// sample: it will learn of it when it starts.
func (s *sim) markSeenLocked(name string, sample bool) {
	if !s.waiting[name] {
		return
	}
	delete(s.waiting, name)
	if sample {
		s.samples = append(s.samples, time.Since(s.since))
	}
	if len(s.waiting) == 0 {
		close(s.allSaw)
	}
}

// measureRound starts a container on a random host and waits until all see it.
func (s *sim) measureRound() {
	up := slices.DeleteFunc(slices.Clone(s.hosts), func(h *simHost) bool { return !h.up })
	h := up[s.rng.IntN(len(up))]
	c := s.newContainer(h.i)
	h.containers = append(h.containers[1:], c)
	s.mu.Lock()
	s.target, s.targetHost, s.since = c.ContainerID, h.cfg.Host.Name(), time.Now()
	s.waiting, s.allSaw = make(map[string]bool), make(chan struct{})
	for _, o := range up {
		if o != h {
			s.waiting[o.cfg.Host.Name()] = true
		}
	}
	allSaw := s.allSaw
	s.mu.Unlock()
	h.announceAll()
	select {
	case <-allSaw:
	case <-time.After(time.Minute):
		s.mu.Lock()
		defer s.mu.Unlock()
		for name := range s.waiting {
			s.t.Errorf("%s did not see a container of %s within a minute", name, h.cfg.Host.Name())
		}
		s.waiting = nil
	}
}

// churn measures rounds while a tenth of the hosts, at least one, is restarting. Half of them are
// down for three seconds, which nobody notices. The others are down for fifteen, after which they
// are unreachable to all.
func (s *sim) churn(rounds int) {
	count := max(1, len(s.hosts)/10)
	type downHost struct {
		until time.Time
		h     *simHost
	}
	var away []downHost
	for range rounds {
		for len(away) < count {
			h := s.hosts[s.rng.IntN(len(s.hosts))]
			if !h.up {
				continue
			}
			s.stop(h)
			lasts := 3 * time.Second
			if s.rng.IntN(2) == 0 {
				lasts = 15 * time.Second
			}
			away = append(away, downHost{time.Now().Add(lasts), h})
		}
		away = slices.DeleteFunc(away, func(d downHost) bool {
			due := !time.Now().Before(d.until)
			if due {
				s.start(d.h)
			}
			return due
		})
		s.measureRound()
		time.Sleep(time.Duration(s.rng.Int64N(int64(time.Second))))
	}
}
