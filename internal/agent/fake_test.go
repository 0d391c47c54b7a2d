package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/driver"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/netavark"
)

// fakeNames is a name server that notes what it was set to, and when.
type fakeNames struct {
	mu    sync.Mutex
	err   error
	at    []time.Duration // since the start
	zones []dns.Zone
	began time.Time
	slow  time.Duration // how long it takes
	gone  bool          // the bridges that it served are
}

func (n *fakeNames) Set(zones []dns.Zone) error {
	time.Sleep(n.slow)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at, n.zones = append(n.at, time.Since(n.began)), zones
	return n.err
}

func (n *fakeNames) AddRecord(network string, e dns.Record) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.zones {
		if n.zones[i].Network == network && !n.gone {
			n.zones[i].Records = append(slices.Clip(n.zones[i].Records), e)
			return true
		}
	}
	return false
}

func (n *fakeNames) Listening() []dns.Listening { return nil }

// turns returns when the name server was set since turns was called last.
func (n *fakeNames) turns() []time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.at
	n.at = nil
	return at
}

func (n *fakeNames) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err = err
}

// names are all names that are answered, in order.
func (n *fakeNames) names() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for _, z := range n.zones {
		for _, e := range z.Records {
			all = append(all, e.Names[0])
		}
	}
	return strings.Join(all, " ")
}

// fakeCluster is a control plane whose other hosts are what the test says.
type fakeCluster struct {
	mu      sync.Mutex
	bind    netip.Addr
	fails   int // how often Run still fails
	runs    int
	left    bool
	leaving time.Duration // how long Leave takes
	seeds   []netip.AddrPort
	own     []cluster.Membership
	shown   cluster.Snapshot
	ready   chan struct{}
	members int
	changed chan struct{}
}

func (c *fakeCluster) Run(ctx context.Context) error {
	c.mu.Lock()
	c.runs++
	fails := c.fails > 0
	c.fails--
	c.mu.Unlock()
	if fails {
		return errors.New("address not available")
	}
	<-ctx.Done()
	return nil
}

func (c *fakeCluster) Ready() <-chan struct{} { return c.ready }

func (c *fakeCluster) Set(own []cluster.Membership) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = own
	return nil
}

func (c *fakeCluster) Snapshot() cluster.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown
}

func (c *fakeCluster) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *fakeCluster) Leave(ctx context.Context) error {
	c.mu.Lock()
	c.left = true
	took := c.leaving
	c.mu.Unlock()
	select {
	case <-time.After(took):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *fakeCluster) Stats() gossip.Stats { return gossip.Stats{Members: c.members} }

func (c *fakeCluster) Refused() map[string]uint64 { return map[string]uint64{"wrong key": 3} }

func (c *fakeCluster) SetSeeds(seeds []netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seeds = seeds
}

// seen is what was done with a cluster.
type seen struct {
	runs  int
	left  bool
	seeds []netip.AddrPort
	own   []cluster.Membership
}

func (c *fakeCluster) seen() seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	return seen{c.runs, c.left, c.seeds, c.own}
}

// show makes another host have a container, reachable or not.
func (c *fakeCluster) show(reachable bool, names ...string) {
	h := cluster.Host{Name: "other", Addr: vtep(11), Memberships: []cluster.Membership{{
		Network: cluster.NetworkKey{VNI: 100, Port: 4789}, VTEP: vtep(11), StaticFDB: true,
	}}}
	if !reachable {
		h.UnreachableSince = time.Now()
	}
	for _, name := range names {
		h.Memberships[0].Endpoints = append(h.Memberships[0].Endpoints, cluster.Endpoint{Names: []string{name}})
	}
	c.say(cluster.Snapshot{Hosts: []cluster.Host{h}})
}

// goes makes it leave.
func (c *fakeCluster) goes() { c.say(cluster.Snapshot{}) }

func (c *fakeCluster) say(s cluster.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = s
	close(c.changed)
	c.changed = make(chan struct{})
}

// plugin is the plugin's side: an agent that need not be called.
type plugin struct{}

func (plugin) Sync(string) error                          { return nil }
func (plugin) EndpointAdded(string, string) (bool, error) { return true, nil }
func (plugin) StoreChanged()                              {}
func (plugin) AssignAddresses(_, _ string, _ []netip.Addr) ([]netip.Addr, error) {
	return nil, errors.New("not on this network")
}

type zonesOff struct{}

func (zonesOff) Trust(string) error   { return nil }
func (zonesOff) Untrust(string) error { return nil }

// rig is an agent whose loop runs on a fake host.
type rig struct {
	*Agent
	t        testing.TB
	kernel   *fakekernel.Kernel
	names    *fakeNames
	clusters map[netip.Addr]*fakeCluster
	log      *bytes.Buffer // to be read when nothing runs
	prepare  func(*fakeCluster)
	order    sync.Mutex    // of the loop and the plugin, which the store's lock keeps apart; the race detector does not see that
	store    chan struct{} // says that the store has changed
	drift    chan struct{} // says that the kernel has
	ended    chan error
	stop     context.CancelFunc
}

// ordered is a namespace that nobody opens before another has done with it.
type ordered struct {
	*fakekernel.Namespace
	order *sync.Mutex
}

func (o ordered) Close() {
	o.order.Lock()
	defer o.order.Unlock()
}

// bubble runs a test with an agent in virtual time.
func bubble(t *testing.T, test func(*testing.T, *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newRig(t)) })
}

func newRig(t testing.TB) *rig {
	r := &rig{
		t: t, kernel: fakekernel.New("/ns/1", "/ns/2", "/ns/3"), names: &fakeNames{began: time.Now()},
		clusters: make(map[netip.Addr]*fakeCluster), log: new(bytes.Buffer),
		store: make(chan struct{}, 1), drift: make(chan struct{}, 1), ended: make(chan error, 1),
	}
	r.kernel.HostNamespace().Add(kernel.Link{Name: "eth0", MTU: 1500, Up: true, Addrs: []kernel.Addr{{Prefix: netip.MustParsePrefix("198.18.0.10/24")}}})
	d := &driver.Driver{
		Open: func(path string) (driver.Namespace, error) {
			r.order.Lock()
			defer r.order.Unlock()
			ns, err := r.kernel.Open(path)
			if err != nil {
				return nil, err
			}
			return ordered{ns, &r.order}, nil
		},
		StoreDir: t.TempDir(), NetworksDir: t.TempDir(), SysctlDir: t.TempDir(),
		Zones: zonesOff{}, Agent: plugin{}, Warn: func(message string) { t.Error(message) },
	}
	c, err := config.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	r.Agent = &Agent{
		Driver: d, Config: c, Names: r.names, NewCluster: r.newCluster,
		Resolvers: func() []netip.AddrPort { return nil },
		Version:   "test", Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	return r
}

func (r *rig) newCluster(bind netip.Addr) (Cluster, error) {
	c := &fakeCluster{bind: bind, changed: make(chan struct{})}
	if r.prepare != nil {
		r.prepare(c)
	}
	r.order.Lock()
	defer r.order.Unlock()
	r.clusters[bind] = c
	return c, nil
}

// cluster is the one of the host's address.
func (r *rig) cluster() *fakeCluster {
	r.order.Lock()
	defer r.order.Unlock()
	return r.clusters[netip.MustParseAddr("198.18.0.10")]
}

// start runs the loop. What Run does besides waits for the kernel, which is not in the bubble.
func (r *rig) start() {
	r.requests, r.wake = make(chan asked), make(chan struct{}, 1)
	r.Agent.changed = make(chan struct{}, 1)
	r.Agent.clusters = make(map[netip.Addr]*running)
	ctx, cancel := context.WithCancel(r.t.Context())
	r.stop = cancel
	r.names.began = time.Now()
	go func() {
		err := r.loop(ctx, r.store, r.drift, make(chan error))
		cancel()
		r.running.Wait()
		r.ended <- err
	}()
	synctest.Wait()
}

// finish ends the loop, unless it has ended.
func (r *rig) finish() {
	r.stop()
	if err := <-r.ended; err != nil {
		r.t.Error(err)
	}
}

const testNetwork = `{"name": "blue", "driver": "vxlan", "id": "7c7b", "network_interface": "br-blue",
  "options": {"vni": "100", "local_ip": "198.18.0.10", "remote_ips": "198.18.0.11,198.18.0.12", "physical_interface": "eth0"},
  "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}],
  "dns_enabled": true, "internal": false, "ipv6_enabled": false}`

func request(i int) (namespace string, q netavark.Request) {
	return fmt.Sprintf("/ns/%d", i), netavark.Request{
		ContainerID: strings.Repeat(fmt.Sprint(i), 64), ContainerName: fmt.Sprintf("c%d", i),
		Network: json.RawMessage(testNetwork),
		Options: json.RawMessage(fmt.Sprintf(`{"interface_name": "eth0", "static_ips": ["10.0.0.%d"]}`, i+1)),
	}
}

// setup starts container i as the plugin does. The loop hears of it only by r.store.
func (r *rig) setup(i int) {
	r.t.Helper()
	if _, err := r.Driver.Setup(request(i)); err != nil {
		r.t.Fatal(err)
	}
	r.order.Lock()
	defer r.order.Unlock()
}

func (r *rig) teardown(i int) {
	r.t.Helper()
	if err := r.Driver.Teardown(request(i)); err != nil {
		r.t.Fatal(err)
	}
	r.order.Lock()
	defer r.order.Unlock()
}

// changed tells the loop that the store is another.
func (r *rig) changed() {
	select {
	case r.store <- struct{}{}:
	default:
	}
}
