package agent

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/store"
)

// ether joins hosts in memory: what one sets the others have after some time.
type ether struct {
	mu    sync.Mutex
	rnd   *rand.Rand
	most  time.Duration // how long that takes at most
	nodes []*node
	parts map[string]int // by host; only hosts of one part hear each other
}

// node is a host on it.
type node struct {
	fakeCluster
	claims
	ether *ether
	name  string
	run   *running
	order sync.Mutex // of what the loop does
	local hoststate.Network
	said  map[string]int // versions, as heard
	own   int
}

func newEther(seed uint64) *ether {
	return &ether{rnd: rand.New(rand.NewPCG(seed, 1)), most: 22 * time.Millisecond, parts: make(map[string]int)}
}

// join adds a host that has the network of local, found by gossip, with the subnets.
func (e *ether) join(subnets ...string) *node {
	n := &node{ether: e, name: string(rune('a' + len(e.nodes))), said: make(map[string]int)}
	n.ready, n.changed = make(chan struct{}), make(chan struct{})
	close(n.ready)
	n.run = &running{Cluster: n}
	n.local = local()
	n.local.Gossip, n.local.Endpoints = true, nil
	n.local.VTEP = network.VTEP{Local: vtep(byte(len(e.nodes) + 1))}
	n.local.Subnets = nil
	for _, s := range subnets {
		p := netip.MustParsePrefix(s)
		n.local.Subnets = append(n.local.Subnets, network.Subnet{Prefix: p, Gateway: p.Addr().Next()})
	}
	e.nodes = append(e.nodes, n)
	return n
}

func (e *ether) random(d time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Duration(e.rnd.Int64N(int64(d)))
}

// Set tells all others. One that comes after a later one is late.
func (n *node) Set(own []cluster.Membership) error {
	sorted, err := cluster.Canonical(own)
	if err != nil {
		return err
	}
	n.mu().Lock()
	n.own++
	version := n.own
	n.mu().Unlock()
	for _, o := range n.ether.nodes {
		if o != n && n.ether.parts[o.name] == n.ether.parts[n.name] {
			d := n.ether.random(n.ether.most)
			time.AfterFunc(d, func() { o.hear(n.name, version, sorted) })
		}
	}
	return nil
}

func (n *node) mu() *sync.Mutex { return &n.fakeCluster.mu }

func (n *node) hear(host string, version int, all []cluster.Membership) {
	n.mu().Lock()
	defer n.mu().Unlock()
	if n.said[host] >= version {
		return
	}
	n.said[host] = version
	hosts := slices.DeleteFunc(slices.Clone(n.shown.Hosts), func(h cluster.Host) bool { return h.Name == host })
	n.shown = cluster.Snapshot{Hosts: append(hosts, cluster.Host{Name: host, Memberships: all})}
	close(n.changed)
	n.changed = make(chan struct{})
}

// turn is what the loop does: it tells the others what the store has.
func (n *node) turn(t *testing.T, change func(*hoststate.Network)) {
	t.Helper()
	n.order.Lock()
	defer n.order.Unlock()
	n.local.Endpoints = slices.Clone(n.local.Endpoints)
	change(&n.local)
	own := n.claims.hostAddrs(n.local, n.Snapshot())
	n.local.Subnets = slices.Clone(n.local.Subnets)
	for i := range n.local.Subnets {
		n.local.Subnets[i].HostAddress = netip.Addr{}
	}
	(network.Peers{HostAddrs: own}).Place(&n.local.Network, new(network.VTEP))
	locals := []hoststate.Network{n.local}
	if err := n.announce(n.local.VTEP.Local, part{n.run, locals, attachments(locals, new(tellings))}); err != nil {
		t.Error(err)
	}
}

// silence is a wire on which nobody answers.
func silence(hoststate.Network, network.Endpoint, []netip.Addr) (map[netip.Addr]error, error) {
	return nil, nil
}

// arrive starts a container, and returns its addresses.
func (n *node) arrive(t *testing.T, id string, wanted ...string) ([]netip.Addr, error) {
	t.Helper()
	n.turn(t, func(l *hoststate.Network) {
		l.Endpoints = append(l.Endpoints, &store.Record{Endpoint: network.Endpoint{ContainerID: id, ContainerName: "name-" + id}})
	})
	r := agentapi.AssignRequest{Network: n.local.ID, Container: id}
	for _, w := range wanted {
		r.Wanted = append(r.Wanted, netip.MustParseAddr(w))
	}
	addrs, err := n.assign(t.Context(), r, silence)
	time.Sleep(n.ether.random(100 * time.Millisecond)) // until the plugin has the lock
	n.turn(t, func(l *hoststate.Network) {
		i := slices.IndexFunc(l.Endpoints, func(r *store.Record) bool { return r.ContainerID == id })
		if err != nil {
			l.Endpoints = slices.Delete(l.Endpoints, i, i+1)
			return
		}
		r := *l.Endpoints[i]
		for _, a := range addrs {
			r.Addrs = append(r.Addrs, netip.PrefixFrom(a, 24))
		}
		r.MAC = kernel.MAC{2, 1}
		l.Endpoints[i] = &r
	})
	return addrs, err
}

// have is who has which address in the end.
func (e *ether) have(t *testing.T) map[netip.Addr]string {
	t.Helper()
	all := make(map[netip.Addr]string)
	add := func(a netip.Addr, who string) {
		if other, taken := all[a]; taken {
			t.Errorf("%v is that of %s and %s", a, other, who)
		}
		all[a] = who
	}
	for _, n := range e.nodes {
		for _, a := range n.local.HostAddrs() {
			add(a, "host "+n.name)
		}
		for _, r := range n.local.Endpoints {
			for _, a := range addrs(r) {
				add(a, n.name+"/"+r.ContainerID)
			}
		}
	}
	return all
}

// However what they say crosses, hosts that pick at once never give out one address twice,
// and in a subnet with room each container gets one.
func TestHostsThatPickAtOnce(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			e := newEther(seed)
			subnet, each := "10.0.0.0/28", 8 // 13 usable, 4 of them the hosts' own
			if seed%2 == 0 {
				subnet = "10.0.0.0/26" // 61: room for 32 containers and 4 hosts
			}
			var hosts []*node
			for range 4 {
				hosts = append(hosts, e.join(subnet))
			}
			var running sync.WaitGroup
			for _, n := range hosts {
				n.turn(t, func(*hoststate.Network) {})
				// Where each would begin is chance; here all begin at the same place.
				n.next = map[string]netip.Addr{n.local.ID + " " + subnet: netip.MustParseAddr("10.0.0.2")}
				running.Go(func() {
					for i := range each {
						time.Sleep(e.random(30 * time.Millisecond))
						addrs, err := n.arrive(t, fmt.Sprintf("%s%d", n.name, i))
						if err != nil && (seed%2 == 0 || !strings.Contains(err.Error(), "no free address")) {
							t.Errorf("seed %d: %s: %v", seed, n.name, err)
						}
						if err == nil && len(addrs) != 1 {
							t.Errorf("got %v", addrs)
						}
					}
				})
			}
			running.Wait()
			time.Sleep(time.Second)
			for range 5 { // until the hosts' own addresses have settled
				for _, n := range hosts {
					n.turn(t, func(*hoststate.Network) {})
					time.Sleep(50 * time.Millisecond)
				}
			}
			have := e.have(t)
			if want := 36; seed%2 == 0 && len(have) != want {
				t.Errorf("seed %d: %d addresses are in use, want %d", seed, len(have), want)
			}
		})
	}
}

// Hosts that cannot hear each other begin at different places, so most of what they give
// out does not collide; what does is told when they hear each other again.
func TestHostsThatCannotHearEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEther(1)
		a, b := e.join("10.0.0.0/16"), e.join("10.0.0.0/16")
		e.parts["b"] = 1
		for _, n := range e.nodes {
			for i := range 20 {
				if _, err := n.arrive(t, fmt.Sprint(n.name, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		e.have(t)
		// The other side's, as a user may.
		taken := b.local.Endpoints[3].Addrs[0].Addr()
		if _, err := a.arrive(t, "same", taken.String()); err != nil {
			t.Fatal(err)
		}
		e.parts["b"] = 0
		b.turn(t, func(*hoststate.Network) {})
		time.Sleep(time.Second)
		want := fmt.Sprintf("address %v of network blue is that of container name-same here and of container name-b3 on host b; restart one of them", taken)
		if got := duplicates(a.local, a.Snapshot()); len(got) != 1 || got[0] != want {
			t.Errorf("got %q", got)
		}
	})
}

// A container gets an address of each subnet, but those that its user named.
func TestAssignPicksOneOfEachSubnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEther(1)
		n := e.join("10.0.0.0/24", "fd00:10::/64")
		began := time.Now()
		addrs, err := n.arrive(t, "c1")
		if err != nil || len(addrs) != 2 || !addrs[0].Is4() || !addrs[1].Is6() {
			t.Errorf("got %v, %v", addrs, err)
		}
		if took := time.Since(began); took > objection+100*time.Millisecond {
			t.Errorf("took %v", took)
		}
		addrs, err = n.arrive(t, "c2", "fd00:10::77")
		if err != nil || len(addrs) != 2 || !addrs[0].Is4() || addrs[1] != netip.MustParseAddr("fd00:10::77") {
			t.Errorf("got %v, %v", addrs, err)
		}
		// A freed address is not given out at once.
		n.turn(t, func(l *hoststate.Network) { l.Endpoints = l.Endpoints[1:] })
		again, err := n.arrive(t, "c3")
		if err != nil || slices.Contains(addrs, again[0]) {
			t.Errorf("got %v after %v, %v", again, addrs, err)
		}
		// Asked twice, as after a plugin was killed.
		twice, err := n.assign(t.Context(), agentapi.AssignRequest{Network: n.local.ID, Container: "c3"}, silence)
		if err != nil || !slices.Equal(twice, again) {
			t.Errorf("got %v, then %v, %v", again, twice, err)
		}
		if _, err := n.assign(t.Context(), agentapi.AssignRequest{Network: n.local.ID, Container: "c9"}, silence); err == nil || err.Error() != "container c9 is not recorded on network n1" {
			t.Errorf("got %v", err)
		}
		e.have(t)
	})
}

// What somebody has is refused with who it is: a container here or elsewhere, one whose
// host does not answer, a host.
func TestAssignRefusesWhatIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEther(1)
		a, b := e.join("10.0.0.0/24"), e.join("10.0.0.0/24")
		for _, n := range e.nodes {
			n.turn(t, func(*hoststate.Network) {})
		}
		if _, err := a.arrive(t, "here", "10.0.0.7"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.arrive(t, "there", "10.0.0.8"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		own := a.local.HostAddrs()[0]
		other := b.local.HostAddrs()[0]
		for wanted, want := range map[string]string{
			"10.0.0.7":     "address 10.0.0.7 of network blue is in use by container name-here; choose another --ip",
			"10.0.0.8":     "address 10.0.0.8 of network blue is in use by container name-there on host b; choose another --ip",
			other.String(): "is in use by host b itself; choose another --ip",
			own.String():   "is in use by this host itself; choose another --ip",
			"10.0.1.1":     "address 10.0.1.1 is in no subnet of network blue",
		} {
			if _, err := a.arrive(t, "c", wanted); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s: got %v", wanted, err)
			}
		}
		a.mu().Lock()
		a.shown.Hosts[0].UnreachableSince = time.Now()
		a.mu().Unlock()
		if _, err := a.arrive(t, "c", "10.0.0.8"); err == nil || !strings.Contains(err.Error(), "on host b, which does not answer;") {
			t.Errorf("got %v", err)
		}
		if len(a.held) > 0 {
			t.Errorf("refused, and held: %v", a.held)
		}
	})
}

// In a full subnet the error counts; what hosts that do not answer have stays theirs, and
// what one that has left had is free.
func TestAssignInAFullSubnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEther(1)
		a, b := e.join("10.0.0.0/29"), e.join("10.0.0.0/29") // 5 usable
		for i := range 3 {
			for _, n := range e.nodes {
				n.turn(t, func(*hoststate.Network) {})
				time.Sleep(100 * time.Millisecond)
			}
			if _, err := b.arrive(t, fmt.Sprint("b", i)); err != nil {
				t.Fatal(err)
			}
		}
		hide := func(when time.Time) {
			a.mu().Lock()
			defer a.mu().Unlock()
			a.shown.Hosts[0].UnreachableSince = when
		}
		want := "network blue: no free address in 10.0.0.0/29: all 5 in use by containers and hosts, those of hosts that do not answer included"
		for _, since := range []time.Time{{}, time.Now()} {
			hide(since)
			if _, err := a.arrive(t, "c"); err == nil || err.Error() != want {
				t.Errorf("got %v", err)
			}
		}
		a.mu().Lock()
		a.shown = cluster.Snapshot{}
		a.mu().Unlock()
		if _, err := a.arrive(t, "c"); err != nil {
			t.Error(err)
		}
	})
}

// A claim lasts until its container has the addresses, is gone, or was given up.
func TestClaimsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEther(1)
		n := e.join("10.0.0.0/24")
		ask := func(id string) {
			t.Helper()
			n.turn(t, func(l *hoststate.Network) {
				l.Endpoints = append(l.Endpoints, &store.Record{Endpoint: network.Endpoint{ContainerID: id}})
			})
			if _, err := n.assign(t.Context(), agentapi.AssignRequest{Network: n.local.ID, Container: id}, silence); err != nil {
				t.Fatal(err)
			}
			n.turn(t, func(*hoststate.Network) {})
			if len(n.held) != 1 {
				t.Fatalf("holds %v", n.held)
			}
		}
		ask("gone")
		n.turn(t, func(l *hoststate.Network) { l.Endpoints = nil })
		if len(n.held) != 0 {
			t.Errorf("of a container that is gone: %v", n.held)
		}
		ask("killed")
		time.Sleep(claimTimeout + time.Second)
		n.turn(t, func(*hoststate.Network) {})
		if len(n.held) != 0 {
			t.Errorf("of a plugin that was killed: %v", n.held)
		}
	})
}

// The first container of a host waits for others to be found, and for what they have, but
// not for ever; where the agent cannot talk at all it says so.
func TestMeetOthers(t *testing.T) {
	tests := []struct {
		name    string
		ready   time.Duration // 0: never
		heard   time.Duration // of the one other member; 0: never
		members int
		failure error
		took    time.Duration
		want    string
	}{
		{"alone", time.Millisecond, 0, 1, nil, time.Millisecond, ""},
		{"found", 5 * time.Millisecond, 9 * time.Millisecond, 2, nil, 9 * time.Millisecond, ""},
		{"found and silent", 5 * time.Millisecond, 0, 2, nil, 5*time.Millisecond + hearOthers, ""},
		{"dead seeds", 0, 0, 1, nil, findOthers, ""},
		{"port taken", 0, 0, 1, fmt.Errorf("address in use"), findOthers, "talk to other hosts: address in use"},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			c := &member{fakeCluster: fakeCluster{ready: make(chan struct{}), changed: make(chan struct{})}, members: tt.members}
			r := &running{Cluster: c}
			if tt.failure != nil {
				r.err.Store(&tt.failure)
			}
			if tt.ready > 0 {
				time.AfterFunc(tt.ready, func() { close(c.ready) })
			}
			if tt.heard > 0 {
				time.AfterFunc(tt.heard, func() { c.show(true, "x") })
			}
			began := time.Now()
			err := r.meetOthers(t.Context())
			if got := fmt.Sprint(err); err != nil && got != tt.want || err == nil && tt.want != "" {
				t.Errorf("%s: got %v", tt.name, err)
			}
			if took := time.Since(began); took != tt.took {
				t.Errorf("%s: took %v", tt.name, took)
			}
		})
	}
}

// Hosts that start together do not hear each other at first: the seed of one may just be starting. Each waits for it, and
// then long enough for others to hear what it claims by way of the seed.
func TestHostsThatStartTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &member{fakeCluster: fakeCluster{ready: make(chan struct{}), changed: make(chan struct{})}, members: 1}
		close(c.ready)
		r := &running{Cluster: c, since: time.Now()}
		r.seeded.Store(true)
		time.AfterFunc(300*time.Millisecond, func() { c.show(true, "x"); c.found(2) })
		began := time.Now()
		if err := r.meetOthers(t.Context()); err != nil || time.Since(began) < 300*time.Millisecond || time.Since(began) > 400*time.Millisecond {
			t.Errorf("waited %v, %v", time.Since(began), err)
		}
		if got := r.objection(); got != introduction {
			t.Errorf("a new host lets others object for %v", got)
		}
		time.Sleep(acquaintance)
		if got := r.objection(); got != objection {
			t.Errorf("a host that is known lets others object for %v", got)
		}
		now := time.Now()
		r.joined.Store(&now)
		if got := r.objection(); got != introduction {
			t.Errorf("others let a new host object for %v", got)
		}
		// One whose seeds stay dead is not held up by each start.
		c.found(1)
		began = time.Now()
		if err := r.meetOthers(t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("waited %v, %v", time.Since(began), err)
		}
	})
}

// member is a cluster that counts its members.
type member struct {
	fakeCluster
	members int
}

func (m *member) Stats() gossip.Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return gossip.Stats{Members: m.members}
}

func (m *member) found(members int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members = members
}

// Hosts keep their own addresses, and leave them to who has a better right.
func TestHostAddrs(t *testing.T) {
	have := netip.MustParseAddr("10.0.0.9")
	host := func(n byte, change func(*cluster.Membership)) cluster.Snapshot {
		h := other(n)
		change(&h.Memberships[0])
		return cluster.Snapshot{Hosts: []cluster.Host{h}}
	}
	its := func(a *cluster.Membership) { a.HostAddrs = []netip.Addr{have} }
	container := func(mac byte) func(*cluster.Membership) {
		return func(a *cluster.Membership) {
			a.Endpoints = []cluster.Endpoint{{ContainerID: "c", MAC: kernel.MAC{mac}, Addrs: []netip.Addr{have}}}
		}
	}
	away := host(1, its)
	away.Hosts[0].UnreachableSince = time.Unix(1, 0)
	tests := []struct {
		name   string
		others cluster.Snapshot
		keeps  bool
	}{
		{"nobody", cluster.Snapshot{}, true},
		{"a host with a higher VTEP", host(9, its), true},
		{"one with a lower", host(1, its), false},
		{"one that does not answer", away, true},
		{"a container", host(9, container(2)), false},
		{"a claim", host(1, container(0)), true},
	}
	for _, tt := range tests {
		l := local()
		l.Gossip, l.Endpoints, l.VTEP.Local, l.Subnets[0].HostAddress = true, nil, vtep(5), have
		var c claims
		got := c.hostAddrs(l, tt.others)
		if len(got) != 1 || (got[0] == have) != tt.keeps {
			t.Errorf("%s: got %v", tt.name, got)
		}
		l.Subnets[0].HostAddress = netip.Addr{}
		first := new(claims).hostAddrs(l, tt.others)
		if again := new(claims).hostAddrs(l, tt.others); !slices.Equal(first, again) || len(first) != 1 {
			t.Errorf("%s: chose %v, then %v", tt.name, first, again)
		}
	}
}

// After hosts could not hear each other, two containers may have one address.
func TestDuplicates(t *testing.T) {
	l := local() // has web at 10.0.0.2
	h := other(2)
	h.Memberships[0].Endpoints = []cluster.Endpoint{
		{ContainerID: "c1", Names: []string{"db"}, MAC: kernel.MAC{2, 1}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}},
		{ContainerID: "c2", Names: []string{"ok"}, MAC: kernel.MAC{2, 2}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.3")}},
	}
	got := duplicates(l, cluster.Snapshot{Hosts: []cluster.Host{h}})
	if want := "address 10.0.0.2 of network blue is that of container web here and of container db on host c; restart one of them"; len(got) != 1 || got[0] != want {
		t.Errorf("got %q", got)
	}
	h.UnreachableSince = time.Unix(1, 0)
	if got := duplicates(l, cluster.Snapshot{Hosts: []cluster.Host{h}}); len(got) > 0 {
		t.Errorf("of a host that does not answer: %q", got)
	}
}
