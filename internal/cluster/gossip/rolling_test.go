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
	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/replica"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
	"vxlan-driver/internal/kernel"
)

// release is a version of the program, as the others see it.
type release struct {
	formats   wire.Range
	newRecord replica.NewRecord // nil: as this version's
	lastKind  wire.Kind         // that it knows; 0: all
	kind      wire.Kind         // of messages that it sends beside ours; 0: none
}

// laterRecord is a record as a later version may announce it.
func laterRecord(host wire.Key, name string, memberships []cluster.Membership) wire.Record {
	return wiretest.WithUnknown(wire.NewRecord(host, name, memberships))
}

// rollingCluster is a cluster that is upgraded host by host while containers come and go.
type rollingCluster struct {
	t     *testing.T
	net   *memnet
	rng   *rand.Rand
	count int // of hosts
	hosts []*rollingHost
	next  int // number of the next container

	mu      sync.Mutex
	settled map[string]string // containers that all hosts have seen, and their hosts
}

// rollingHost is a host of it. It is told what it has anew whenever its agent starts.
type rollingHost struct {
	*host
	i          int
	containers []cluster.Endpoint
	stopped    chan struct{}
}

func newRollingCluster(t *testing.T, n *memnet, count int, r release) *rollingCluster {
	c := &rollingCluster{t: t, net: n, count: count, rng: simRand(count), settled: make(map[string]string)}
	for i := 1; i <= count; i++ {
		h := &rollingHost{i: i}
		c.hosts = append(c.hosts, h)
		c.start(h, r)
	}
	return c
}

// start starts a host's agent as one of the release.
func (c *rollingCluster) start(h *rollingHost, r release) {
	h.host = startHost(c.t, c.net, h.i, func(conf *Config) {
		conf.formats, conf.newRecord, conf.lastKind = r.formats, r.newRecord, r.lastKind
		conf.Seeds = []netip.AddrPort{hostAddr(1), hostAddr(2)}
	})
	h.stopped = make(chan struct{})
	h.announceAll()
	go c.watch(h.Plane, h.stopped)
	if r.kind != 0 {
		go sendUnknownKind(h.Plane, r, h.stopped)
	}
}

func (h *rollingHost) announceAll() {
	m := wiretest.Membership(h.cfg.Bind.Addr())
	m.Endpoints = slices.Clone(h.containers)
	if err := h.Set(cluster.Local{Memberships: []cluster.Membership{m}}); err != nil {
		h.t.Error(err)
	}
}

// sendUnknownKind sends messages of a kind that others do not know, in all of its formats.
func sendUnknownKind(p *Plane, r release, stopped chan struct{}) {
	for {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-stopped:
			return
		}
		p.mu.Lock()
		for _, to := range (replicaNetwork{p}).Members() {
			m := wire.Message{Format: r.formats.Min, Kind: r.kind, From: p.cfg.key()}
			replicaNetwork{p}.Send(to, append(m.Encode(), 1, 2, 3))
		}
		p.mu.Unlock()
	}
}

// watch checks each snapshot of a host that once knew all others. No name that was seen goes
// missing, and forwarding to no host changes.
func (c *rollingCluster) watch(p *Plane, stopped chan struct{}) {
	for complete := false; ; {
		changed := p.Changed()
		names, usable := usableNames(p.Snapshot())
		complete = complete || usable == c.count-1
		if complete && usable < c.count-1 {
			c.t.Errorf("%v can use %d hosts of %d", p, usable, c.count-1)
		}
		if complete {
			c.checkNames(p, names)
		}
		select {
		case <-changed:
		case <-stopped:
			return
		}
	}
}

// usableNames returns the names of the hosts that frames are forwarded to, as "host name", and how
// many hosts those are.
func usableNames(s cluster.Snapshot) (names map[string]bool, hosts int) {
	names = make(map[string]bool)
	for _, o := range s.Hosts {
		if !o.Reachable() || len(o.Memberships) != 1 || !o.Memberships[0].StaticFDB || o.Memberships[0].VTEP != o.Addr {
			continue
		}
		hosts++
		for _, e := range o.Memberships[0].Endpoints {
			if !e.Claimed() {
				names[o.Name+" "+e.Names[0]] = true
			}
		}
	}
	return names, hosts
}

func (c *rollingCluster) checkNames(p *Plane, seen map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, on := range c.settled {
		if on != p.cfg.Host.Name() && !seen[on+" "+name] {
			c.t.Errorf("%v does not see %s of %s any more", p, name, on)
		}
	}
}

// startContainer starts a container on a random host, with the first address that the host knows to
// be free, and waits until all others see it.
func (c *rollingCluster) startContainer() {
	h := c.hosts[c.rng.IntN(len(c.hosts))]
	c.next++
	e := cluster.Endpoint{
		ContainerID: fmt.Sprintf("%064d", c.next), Names: []string{fmt.Sprint("c", c.next)},
		Addrs: []netip.Addr{c.freeAddr(h)}, MAC: kernel.MAC{2, byte(c.next)},
	}
	c.claim(h, e)
	h.containers = append(h.containers, e)
	if len(h.containers) > 4 {
		c.mu.Lock()
		delete(c.settled, h.containers[0].Names[0])
		c.mu.Unlock()
		h.containers = h.containers[1:]
	}
	h.announceAll()
	h.Release(wiretest.Network, e.ContainerID)
	for _, o := range c.hosts {
		if o != h {
			c.waitUntil(o, func(s cluster.Snapshot) bool { return hasContainer(s, hostName(h.i), e.Names[0]) })
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled[e.Names[0]] = hostName(h.i)
}

// claim claims a container's address. Hosts of a release that knows no claims delay it, at most once.
func (c *rollingCluster) claim(h *rollingHost, e cluster.Endpoint) {
	began := time.Now()
	taken, err := h.Claim(c.t.Context(), wiretest.Network, e.ContainerID, e.Addrs)
	if took := time.Since(began); err != nil || len(taken) > 0 || took > claimLimit {
		c.t.Errorf("%s claims %v: %v, %v after %v", hostName(h.i), e.Addrs, taken, err, took)
	}
}

func hasContainer(s cluster.Snapshot, host, name string) bool {
	o, ok := s.Find(host)
	return ok && len(o.Memberships) == 1 &&
		slices.ContainsFunc(o.Memberships[0].Endpoints, func(e cluster.Endpoint) bool { return slices.Contains(e.Names, name) })
}

// freeAddr returns an address that no container has, as far as a host knows, and checks that none
// has it.
func (c *rollingCluster) freeAddr(h *rollingHost) netip.Addr {
	used := make(map[netip.Addr]bool)
	for _, e := range h.containers {
		used[e.Addrs[0]] = true
	}
	for _, o := range h.Snapshot().Hosts {
		for _, e := range o.Memberships[0].Endpoints {
			used[e.Addrs[0]] = true
		}
	}
	free := netip.MustParseAddr("10.0.0.2")
	for used[free] {
		free = free.Next()
	}
	for _, o := range c.hosts {
		for _, e := range o.containers {
			if e.Addrs[0] == free {
				c.t.Errorf("%s takes %v, which %s has", hostName(h.i), free, hostName(o.i))
			}
		}
	}
	return free
}

func (c *rollingCluster) waitUntil(h *rollingHost, done func(cluster.Snapshot) bool) {
	c.t.Helper()
	timeout := time.After(10 * second)
	for {
		changed := h.Changed()
		if done(h.Snapshot()) {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			c.t.Fatalf("%s sees after 10 s %s\n%s", hostName(h.i), h.sees(), h.log.String())
		}
	}
}

// upgrade upgrades the hosts one by one. Containers start all the time.
func (c *rollingCluster) upgrade(r release) {
	for _, h := range c.hosts {
		c.replaceAgent(h, r)
	}
	time.Sleep(time.Minute) // news of a format that was lost comes with push-pull, each 30 s
}

// replaceAgent makes a host run another release.
func (c *rollingCluster) replaceAgent(h *rollingHost, r release) {
	c.startContainer()
	close(h.stopped)
	h.crash()
	time.Sleep(200 * time.Millisecond)
	c.start(h, r)
	c.waitUntil(h, func(s cluster.Snapshot) bool {
		return len(s.Hosts) == len(c.hosts)-1 && !slices.ContainsFunc(s.Hosts, func(o *cluster.Host) bool { return !o.Reachable() })
	})
	for range 5 {
		c.startContainer()
		time.Sleep(time.Duration(c.rng.Int64N(int64(time.Second))))
	}
}

// TestRollingUpgrade upgrades a cluster host by host, twice: to a version that announces and sends
// more than the old one knows, claims among it, and that accepts one more format; then to one that
// no longer accepts the first format. All the time no name is missing, no address is given twice, and
// forwarding does not flap.
func TestRollingUpgrade(t *testing.T) {
	oldest := release{formats: wire.Range{Min: 1, Max: 1}, lastKind: wire.KindAck}
	next := release{formats: wire.Range{Min: 1, Max: 2}, newRecord: laterRecord, kind: 99}
	latest := release{formats: wire.Range{Min: 2, Max: 3}, newRecord: laterRecord, kind: 100}
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		n.setLoss(simLoss)
		c := newRollingCluster(t, n, 5, oldest)
		for _, h := range c.hosts {
			c.waitUntil(h, func(s cluster.Snapshot) bool { return len(s.Hosts) == len(c.hosts)-1 })
		}
		for _, r := range []release{next, latest} {
			c.upgrade(r)
			for _, h := range c.hosts {
				if got := h.format(); got != r.formats.Max {
					t.Errorf("%s sends format %d after the upgrade to %v", hostName(h.i), got, r.formats)
				}
				if refused := h.refusalCounts()[refusal.ReasonMalformed]; refused > 0 {
					t.Errorf("%s refused %d messages\n%s", hostName(h.i), refused, h.log.String())
				}
			}
		}
		for _, h := range c.hosts {
			close(h.stopped)
			h.crash()
		}
	})
}

// Hosts of three releases are in one cluster, and go back to an earlier one as well as forward.
func TestReleasesMixed(t *testing.T) {
	releases := []release{
		{formats: wire.Range{Min: 1, Max: 1}, lastKind: wire.KindAck},
		{formats: wire.Range{Min: 1, Max: 2}, newRecord: laterRecord, kind: 99},
		{formats: wire.Range{Min: 1, Max: 3}, newRecord: laterRecord, kind: 100},
	}
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		n.setLoss(simLoss)
		c := newRollingCluster(t, n, 6, releases[1])
		for _, h := range c.hosts {
			c.waitUntil(h, func(s cluster.Snapshot) bool { return len(s.Hosts) == len(c.hosts)-1 })
		}
		for i := range 12 {
			c.replaceAgent(c.hosts[c.rng.IntN(len(c.hosts))], releases[i%len(releases)])
		}
		for _, h := range c.hosts {
			if refused := h.refusalCounts()[refusal.ReasonMalformed]; refused > 0 {
				t.Errorf("%s refused %d messages\n%s", hostName(h.i), refused, h.log.String())
			}
			close(h.stopped)
			h.crash()
		}
	})
}

// format returns the format of the messages that the host sends.
func (h *rollingHost) format() uint8 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return replicaNetwork{h.Plane}.Format()
}

// A host of an old version passes on the record of a new one as it is.
func TestOldHostRelaysUnknownFields(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		n.dropPackets(hostAddr(2), hostAddr(3))
		later := func(c *Config) { c.newRecord, c.formats = laterRecord, wire.Range{Min: 1, Max: 2} }
		relay, owner := startHost(t, n, 1), startHost(t, n, 2, later)
		owner.announce("new")
		relay.waitUntilSees(3*second, "host-2: new")
		owner.announce("new", "newer") // as a delta
		relay.waitUntilSees(3*second, "host-2: new newer")
		n.partition(1, hostAddr(2))
		reader := startHost(t, n, 3, later)
		reader.waitUntilKnows(10*second, "host-2: new newer")
		reader.mu.Lock()
		defer reader.mu.Unlock()
		record, ok := reader.replica.Record(hostKey(2), time.Now())
		if want := laterRecord(hostKey(2), hostName(2), record.Memberships); !ok || string(record.Raw) != string(want.Raw) {
			t.Errorf("got %x, want %x", record.Raw, want.Raw)
		}
	})
}
