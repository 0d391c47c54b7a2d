package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/netstack"
	"vxlan-driver/internal/kernel/watch"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plugin"
	"vxlan-driver/internal/store"
)

// manyHosts is a cluster of hosts with one network, of which this host is one.
const (
	manyHosts        = 1000
	containersEach   = 50
	manyHostsNetwork = `{"name": "blue", "driver": "vxlan", "id": "7c7b", "network_interface": "br-blue",
  "options": {"vni": "100", "local_ip": "198.18.0.10", "discovery": "gossip", "physical_interface": "eth0"},
  "subnets": [{"subnet": "10.0.0.0/8", "gateway": "10.0.0.1"}],
  "dns_enabled": true, "internal": false, "ipv6_enabled": false}`
)

// heldByGossip is what a plane holds of each container besides what its snapshot has, in bytes: its
// part of the record as it is passed on, and who has its address. The other hosts are made up, but
// memory is measured with it.
const heldByGossip = 211

// manyHostsKey is the network's.
var manyHostsKey = cluster.NetworkKey{VNI: 100, Port: 4789}

// containerOn is the i-th container of the n-th other host.
func containerOn(n, i int) cluster.Endpoint {
	id := fmt.Sprintf("%04x%04x%056x", n, i, n*7919+i)
	return cluster.Endpoint{
		ContainerID: id, Names: []string{fmt.Sprintf("c%d-%d", n, i), fmt.Sprintf("service-%d", i), id[:12]},
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(1 + n>>8), byte(n), byte(i + 1)})},
		MAC:   kernel.MAC{2, 0x64, byte(n >> 8), byte(n), byte(i >> 8), byte(i)},
	}
}

// listedNetwork is the network with a list of its hosts.
func listedNetwork(hosts int) string {
	var list []string
	for n := range hosts {
		list = append(list, hostAddr(n).String())
	}
	return strings.Replace(manyHostsNetwork, `"discovery": "gossip"`, `"remote_ips": "`+strings.Join(list, ",")+`"`, 1)
}

func hostAddr(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 19, byte(n >> 8), byte(n)}) }

// manyHost is the n-th other host, with so many containers.
func manyHost(n, containers int) cluster.Host {
	addr := hostAddr(n)
	m := cluster.Membership{
		Network: manyHostsKey, VTEP: addr, StaticFDB: true, BridgeMAC: network.BridgeMAC(100, addr),
		HostAddrs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(1 + n>>8), byte(n), 254})},
		View: cluster.NetworkView{Name: "blue", MTU: 1450, UnderlayMTU: 1500,
			Subnets: []cluster.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Gateway: netip.MustParseAddr("10.0.0.1")}}},
	}
	for i := range containers {
		m.Endpoints = append(m.Endpoints, containerOn(n, i))
	}
	return cluster.Host{ID: cluster.HostID{byte(n >> 8), byte(n)}, Name: fmt.Sprintf("host-%04d", n), Addr: addr, Memberships: []cluster.Membership{m}}
}

// bigHost is an agent on a real kernel, with a cluster that is made up.
type bigHost struct {
	*Agent
	t      testing.TB
	ns     string
	plane  *fakeCluster
	config string
	counts []int // of each other host's containers
	held   []byte

	longestHold time.Duration // of the store's lock, in computing time
	openHost    func(path string) (hoststate.Namespace, error)
}

// inNamespaceNames is a name server in a namespace.
type inNamespaceNames struct {
	*dns.Server
	ns string
}

func (n inNamespaceNames) Set(zones []dns.Zone) (err error) {
	return netns.DoIn(n.ns, func() error { return n.Server.Set(zones) })
}

func newBigHost(t testing.TB, hosts, each, own int) *bigHost {
	t.Helper()
	return newBigHostOn(t, manyHostsNetwork, hosts, each, own)
}

// newBigHostOn makes a host with containers of its own on a network with other hosts.
func newBigHostOn(t testing.TB, network string, hosts, each, own int) *bigHost {
	t.Helper()
	b := &bigHost{t: t, ns: netnstest.New(t), plane: newFakeCluster(), config: network, openHost: openStack}
	sh := netnstest.Shell(t, b.ns)
	sh("ip link set lo up; ip link add eth0 type veth peer name peer; ip link set peer up; ip address add 198.18.0.10/15 dev eth0; ip link set eth0 up")
	c, err := config.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	names := dns.New(log)
	t.Cleanup(names.Close)
	b.plane.synced = true
	b.Agent = &Agent{
		Host: &hoststate.Host{
			Open:     b.open,
			StoreDir: t.TempDir(), NetworksDir: t.TempDir(), SysctlDir: t.TempDir(), Records: new(store.Cache),
			Zones: noFirewalld{}, Warn: func(message string) { t.Log(message) },
		},
		Config: c, Names: inNamespaceNames{names, b.ns}, Process: new(fakeProcess),
		Plane:      cluster.Kind{Name: "made up", PerAddress: true, Carries: gossip.Carries, New: func(netip.Addr) (cluster.Plane, error) { return b.plane, nil }},
		ResolvConf: filepath.Join(t.TempDir(), "resolv.conf"), Version: "test", Log: log, StayWhenIdle: true,
	}
	b.prepareParts()
	for n := range hosts {
		b.counts = append(b.counts, each)
		b.plane.shown = b.plane.shown.With(manyHost(n, each))
	}
	b.plane.members = hosts + 1
	b.held = bytes.Repeat([]byte{1}, hosts*each*heldByGossip)
	p := &plugin.Plugin{Host: b.Host, Agent: grantingAgent{}}
	for i := range own {
		b.setup(p, i)
	}
	return b
}

func openStack(path string) (hoststate.Namespace, error) { return netstack.OpenWithFastPath(path) }

// open opens a namespace. Of the host's, it measures what is computed until it is closed, which is
// while the store's lock is held.
func (b *bigHost) open(path string) (hoststate.Namespace, error) {
	if path != "" {
		return netstack.OpenWithFastPath(path)
	}
	ns, err := b.openHost(b.ns)
	return &holdingNamespace{Namespace: ns, host: b, began: threadTime()}, err
}

// holdingNamespace is the host's namespace while the store's lock is held. Where the lock was not
// held while a long list was read, nothing of it counts.
type holdingNamespace struct {
	hoststate.Namespace
	host     *bigHost
	began    time.Duration
	unlocked bool
}

func (n *holdingNamespace) ForwardingTables(bridge, device string, only *kernel.ForwardingKeys) (kernel.ForwardingTables, error) {
	n.unlocked = n.unlocked || only == nil && !n.host.holdsLock()
	return n.Namespace.ForwardingTables(bridge, device, only)
}

func (n *holdingNamespace) FirewallElements() ([]kernel.Element, error) {
	n.unlocked = n.unlocked || !n.host.holdsLock()
	return n.Namespace.FirewallElements()
}

// Apply ends the holding with the first change that is made without the lock.
func (n *holdingNamespace) Apply(c kernel.Change) error {
	if _, isLate := c.(kernel.DeleteFlows); isLate && !n.host.holdsLock() {
		n.endHolding()
	}
	return n.Namespace.Apply(c)
}

func (n *holdingNamespace) Close() {
	n.endHolding()
	n.Namespace.Close()
}

// holdsLock tells whether the caller holds the store's lock. Who measures waits has it now and then, for
// microseconds.
func (b *bigHost) holdsLock() bool {
	for range 20 {
		if !isLocked(b.t, b.Host.StoreDir) {
			return false
		}
		time.Sleep(100 * time.Microsecond)
	}
	return true
}

func (n *holdingNamespace) endHolding() {
	if !n.unlocked {
		n.host.longestHold = max(n.host.longestHold, threadTime()-n.began)
	}
	n.unlocked = true
}

// threadTime is the computing time of this thread so far. Other programs do not count. What
// getrusage(2) says is only brought up to date each 4 ms.
func threadTime() time.Duration { return clockTime(unix.CLOCK_THREAD_CPUTIME_ID) }

// cpuTime is that of this process so far.
func cpuTime() time.Duration { return clockTime(unix.CLOCK_PROCESS_CPUTIME_ID) }

func clockTime(clock int32) time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(clock, &t)
	return time.Duration(t.Nano())
}

// grantingAgent gives each container the addresses that it wants.
type grantingAgent struct{ pluginSide }

func (grantingAgent) AssignAddresses(_, _ string, wanted []netip.Addr) ([]netip.Addr, error) {
	return wanted, nil
}

func (b *bigHost) setup(p *plugin.Plugin, i int) {
	b.t.Helper()
	_, err := p.Setup(netnstest.New(b.t), netavark.Request{
		ContainerID: fmt.Sprintf("%064x", 0xf00+i), ContainerName: fmt.Sprint("own-", i), Network: json.RawMessage(b.config),
		Options: json.RawMessage(fmt.Sprintf(`{"interface_name": "eth0", "static_ips": ["10.200.0.%d"]}`, i+2)),
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// startRemote starts one more container on a random other host.
func (b *bigHost) startRemote() {
	n := rand.N(len(b.counts))
	b.counts[n]++
	b.hear(n, func(all []cluster.Endpoint) []cluster.Endpoint { return append(all, containerOn(n, b.counts[n]-1)) })
}

// stopRemote stops a container of a random other host.
func (b *bigHost) stopRemote() {
	n := rand.N(len(b.counts))
	b.counts[n]--
	b.hear(n, func(all []cluster.Endpoint) []cluster.Endpoint { return all[:b.counts[n]] })
}

// hear changes what the n-th other host has. As with gossip, the rest is the same as before.
func (b *bigHost) hear(n int, change func([]cluster.Endpoint) []cluster.Endpoint) {
	b.plane.mu.Lock()
	defer b.plane.mu.Unlock()
	h, known := b.plane.shown.Find(manyHost(n, 0).Name)
	if !known {
		b.t.Fatalf("host %d is not known", n)
	}
	h.Memberships = slices.Clone(h.Memberships)
	h.Memberships[0].Endpoints = change(slices.Clone(h.Memberships[0].Endpoints))
	b.plane.shown = b.plane.shown.With(h)
	close(b.plane.changed)
	b.plane.changed = make(chan struct{})
}

// takeOwnAddress starts a container on another host with the address that this host has itself.
func (b *bigHost) takeOwnAddress() {
	own := b.forwarder.networks["7c7b"].local.HostAddrs()
	n := rand.N(len(b.counts))
	b.counts[n]++
	b.hear(n, func(all []cluster.Endpoint) []cluster.Endpoint {
		e := containerOn(n, b.counts[n]-1)
		e.Addrs = own
		return append(all, e)
	})
}

// removeHost makes the last host leave.
func (b *bigHost) removeHost() {
	n := len(b.counts) - 1
	b.plane.mu.Lock()
	defer b.plane.mu.Unlock()
	b.plane.shown = b.plane.shown.Without(manyHost(n, b.counts[n]))
	b.counts = b.counts[:n]
}

// addHost makes one more host a member.
func (b *bigHost) addHost() {
	b.counts = append(b.counts, 1)
	b.plane.mu.Lock()
	defer b.plane.mu.Unlock()
	b.plane.shown = b.plane.shown.With(manyHost(len(b.counts)-1, 1))
}

// drain sets all entries that are known to lack.
func (b *bigHost) drain() {
	for b.forwarder.IsBehind() {
		time.Sleep(hoststate.LockGap)
		if err := b.forward(b.followed); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bigHost) mustTurn(what scope) {
	b.t.Helper()
	if _, err := b.turn(b.t.Context(), what); err != nil {
		b.t.Fatal(err)
	}
}

// watch reports what is deleted from the kernel.
func (b *bigHost) watch(ctx context.Context) (changed <-chan struct{}, deleted <-chan kernel.ForwardingKeys) {
	b.t.Helper()
	err := netns.DoIn(b.ns, func() (err error) {
		changed, deleted, err = watch.Changes(ctx)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return changed, deleted
}

// drifted names the entries of the kernel that are not as they should be.
func (b *bigHost) drifted() (keys kernel.ForwardingKeys) {
	b.t.Helper()
	for _, n := range b.forwarder.networks {
		found, err := b.Host.DriftedEntries(n.local, n.knownRemotes())
		if err != nil {
			b.t.Fatal(err)
		}
		keys.MACs, keys.Addrs, keys.Flood = append(keys.MACs, found.MACs...), append(keys.Addrs, found.Addrs...), append(keys.Flood, found.Flood...)
	}
	return keys
}

// listSoon lets the next full turn list all entries, however long the last list took.
func (b *bigHost) listSoon() {
	for _, n := range b.forwarder.networks {
		n.listed = time.Time{}
	}
}
