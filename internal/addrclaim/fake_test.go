package addrclaim

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

func vtep(n byte) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 0, n}) }

// gossipNetwork is a network whose hosts find each other, with the subnets.
func gossipNetwork(local netip.Addr, subnets ...string) membership.Network {
	n := membership.Network{
		Network: network.Network{
			Identity: network.Identity{ID: "n1", Name: "blue", Bridge: network.DeviceName{Name: "br0"}},
			Tunnel:   kernel.Tunnel{VNI: 100, Port: 4789}, DNS: true, Discovery: network.DiscoveryGossip,
		},
		VTEP: network.VTEP{Local: local},
	}
	for _, s := range subnets {
		p := netip.MustParsePrefix(s)
		n.Subnets = append(n.Subnets, network.Subnet{Prefix: p, Gateway: p.Addr().Next()})
	}
	return n
}

// simulation joins hosts in memory: what one publishes the others have after some time.
type simulation struct {
	mu         sync.Mutex
	rnd        *rand.Rand
	maxDelay   time.Duration
	hosts      []*host
	partitions map[string]int // by host; only hosts of one partition hear each other
	claims     map[simClaim]bool
}

// simClaim is an address that a container of a host claims.
type simClaim struct {
	host, containerID string
	addr              netip.Addr
}

func newSimulation(seed uint64) *simulation {
	return &simulation{rnd: rand.New(rand.NewPCG(seed, 1)), maxDelay: 22 * time.Millisecond, partitions: make(map[string]int), claims: make(map[simClaim]bool)}
}

func (s *simulation) random(d time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.rnd.Int64N(int64(d)))
}

// join adds a host that has the network with the subnets.
func (s *simulation) join(subnets ...string) *host {
	h := &host{simulation: s, name: string(rune('a' + len(s.hosts))), heard: make(map[string]int)}
	h.network = gossipNetwork(vtep(byte(len(s.hosts)+1)), subnets...)
	s.hosts = append(s.hosts, h)
	return h
}

// owners returns who has which address in the end, and fails where two have the same.
func (s *simulation) owners(t *testing.T) map[netip.Addr]string {
	t.Helper()
	owners := make(map[netip.Addr]string)
	add := func(a netip.Addr, owner string) {
		if other, taken := owners[a]; taken {
			t.Errorf("%v is that of %s and %s", a, other, owner)
		}
		owners[a] = owner
	}
	for _, h := range s.hosts {
		for _, a := range h.network.HostAddrs() {
			add(a, "host "+h.name)
		}
		for _, e := range h.network.Endpoints {
			for _, a := range membership.AddrsOf(e) {
				add(a, h.name+"/"+e.ContainerID)
			}
		}
	}
	return owners
}

// host is a host of a simulation. It is its own cluster.
type host struct {
	Claims
	simulation *simulation
	name       string
	loop       sync.Mutex // of what the agent's loop does
	network    membership.Network

	mu       sync.Mutex
	heard    map[string]int // versions, by host
	version  int
	snapshot cluster.Snapshot

	published []cluster.Membership
	omitted   *cluster.OmittedError // what the cluster cannot announce; nil: all
}

func (*host) WaitForPeers(context.Context) error { return nil }

// Claim settles at once, as if one server knew what all hosts of a partition have.
func (h *host) Claim(ctx context.Context, _ cluster.NetworkKey, containerID string, addrs []netip.Addr) (map[netip.Addr]cluster.Holder, error) {
	s := h.simulation
	time.Sleep(s.random(s.maxDelay))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropClaims(h.name, containerID)
	taken := make(map[netip.Addr]cluster.Holder)
	for _, a := range addrs {
		for _, o := range s.hosts {
			if s.partitions[o.name] == s.partitions[h.name] {
				o.eachPublished(a, containerID, func(holder cluster.Holder) { taken[a] = holder })
			}
		}
		for c := range s.claims {
			if c.addr == a && s.partitions[c.host] == s.partitions[h.name] {
				taken[a] = cluster.Holder{Host: c.host, ContainerID: c.containerID}
			}
		}
	}
	if len(taken) > 0 {
		return taken, nil
	}
	for _, a := range addrs {
		s.claims[simClaim{h.name, containerID, a}] = true
	}
	return nil, nil
}

// eachPublished calls f if the host has published the address.
func (h *host) eachPublished(a netip.Addr, except string, f func(cluster.Holder)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.published {
		if slices.Contains(m.HostAddrs, a) {
			f(cluster.Holder{Host: h.name})
		}
		for _, e := range m.Endpoints {
			if slices.Contains(e.Addrs, a) && e.ContainerID != except {
				f(cluster.Holder{Host: h.name, ContainerID: e.ContainerID})
			}
		}
	}
}

// Release ends a claim.
func (h *host) Release(_ cluster.NetworkKey, containerID string) {
	h.simulation.mu.Lock()
	defer h.simulation.mu.Unlock()
	h.simulation.dropClaims(h.name, containerID)
}

func (s *simulation) dropClaims(host, containerID string) {
	for c := range s.claims {
		if c.host == host && c.containerID == containerID {
			delete(s.claims, c)
		}
	}
}

func (h *host) Snapshot() cluster.Snapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.snapshot
}

// setSnapshot makes the host hear something else.
func (h *host) setSnapshot(change func(*cluster.Snapshot)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.snapshot)
}

// SetMemberships publishes to all others. What arrives after something newer is dropped.
func (h *host) SetMemberships(memberships []cluster.Membership) error {
	sorted, err := cluster.Canonical(memberships)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.version++
	h.published = sorted
	version := h.version
	h.mu.Unlock()
	for _, other := range h.simulation.hosts {
		if other != h && h.simulation.partitions[other.name] == h.simulation.partitions[h.name] {
			d := h.simulation.random(h.simulation.maxDelay)
			time.AfterFunc(d, func() { other.hear(h.name, version, sorted) })
		}
	}
	if h.omitted != nil {
		return *h.omitted
	}
	return nil
}

func (h *host) hear(name string, version int, memberships []cluster.Membership) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.heard[name] >= version {
		return
	}
	h.heard[name] = version
	others := slices.DeleteFunc(slices.Clone(h.snapshot.Hosts), func(o *cluster.Host) bool { return o.Name == name })
	h.snapshot = cluster.Snapshot{Hosts: append(others, &cluster.Host{Name: name, Memberships: memberships})}
}

// turn is what the agent's loop does: it publishes what the store has, after a change of it.
func (h *host) turn(t *testing.T, change func(*membership.Network)) {
	t.Helper()
	h.loop.Lock()
	defer h.loop.Unlock()
	h.network.Endpoints = slices.Clone(h.network.Endpoints)
	change(&h.network)
	own := h.ChooseHostAddrs(h.network, h.Snapshot())
	h.network.Subnets = slices.Clone(h.network.Subnets)
	for i := range h.network.Subnets {
		h.network.Subnets[i].HostAddress = netip.Addr{}
	}
	(network.Peers{HostAddrs: own}).Place(&h.network.Network, new(network.VTEP))
	if err := h.Publish(h.network.VTEP.Local, HostState{Cluster: h, Networks: []membership.Network{h.network}, Probe: silentWire}); err != nil {
		t.Error(err)
	}
}

// unchanged is a turn that finds the store as it was.
func unchanged(*membership.Network) {}

// silentWire answers no probe.
func silentWire(string, network.Endpoint, []netip.Addr) (map[netip.Addr]error, error) {
	return nil, nil
}

// assign asks for a container's addresses, which is recorded already.
func (h *host) assign(t *testing.T, id string, wanted ...netip.Addr) ([]netip.Addr, error) {
	return h.Assign(t.Context(), Request{membership.EndpointKey{NetworkID: h.network.ID, ContainerID: id}, wanted})
}

// record puts a container without addresses into the store.
func (h *host) record(t *testing.T, id string) {
	t.Helper()
	h.turn(t, func(n *membership.Network) {
		n.Endpoints = append(n.Endpoints, &network.Endpoint{ContainerID: id, ContainerName: "name-" + id})
	})
}

// startContainer starts a container as the plugin does, and returns its addresses.
func (h *host) startContainer(t *testing.T, id string, wanted ...string) ([]netip.Addr, error) {
	t.Helper()
	h.record(t, id)
	var wantedAddrs []netip.Addr
	for _, w := range wanted {
		wantedAddrs = append(wantedAddrs, netip.MustParseAddr(w))
	}
	addrs, err := h.assign(t, id, wantedAddrs...)
	time.Sleep(h.simulation.random(100 * time.Millisecond)) // until the plugin has the lock
	h.turn(t, func(n *membership.Network) {
		i := slices.IndexFunc(n.Endpoints, func(e *network.Endpoint) bool { return e.ContainerID == id })
		if err != nil {
			n.Endpoints = slices.Delete(n.Endpoints, i, i+1)
			return
		}
		e := *n.Endpoints[i]
		for _, a := range addrs {
			e.Addrs = append(e.Addrs, netip.PrefixFrom(a, 24))
		}
		e.MAC = kernel.MAC{2, 1}
		n.Endpoints[i] = &e
	})
	return addrs, err
}
