package agent

import (
	"context"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd"
	"vxlan-driver/internal/cluster/etcd/etcdtest"
	"vxlan-driver/internal/cluster/etcd/record"
	"vxlan-driver/internal/kernel"
)

// The targets for an agent whose network's hosts talk to etcd.
const (
	mostUntilProgrammed = 5 * time.Second // from its start until the kernel has all entries
	patience            = 2 * time.Minute // after which a measurement has failed
)

// TestManyHostsInEtcd is a measurement that checks the target: a real etcd of three members has 1,000 hosts,
// and an agent that starts reads and programs them all.
func TestManyHostsInEtcd(t *testing.T) {
	if os.Getenv("MANY_HOSTS_ETCD") == "" {
		t.Skip("a measurement; set MANY_HOSTS_ETCD=1")
	}
	debug.SetGCPercent(50) // as cmd/vxland does
	urls := etcdtest.URLs(etcdtest.Start(t, 3))
	client, err := clientv3.New(clientv3.Config{Endpoints: urls, DialTimeout: patience, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	began := time.Now()
	fillEtcd(t, client)
	t.Logf("writing %d hosts with %d containers each: %v", manyHosts-1, containersEach, time.Since(began))
	b := newBigHostOn(t, strings.Replace(manyHostsNetwork, `"gossip"`, `"etcd"`, 1), 0, 0, containersEach)
	var plane *etcd.Plane
	b.clusters.kinds.servers = cluster.Kind{Name: "etcd", Carries: etcd.Carries, HasServers: true,
		New: func(netip.Addr) (p cluster.Plane, err error) {
			plane, err = etcd.New(etcd.Config{HostID: cluster.HostID{0xff}, HostName: func() string { return "measured" },
				Endpoints: urls, Log: b.Log})
			return plane, err
		}}
	b.runInEtcd(client)
	b.checkMemory()
}

// runInEtcd runs the agent's loop, and measures until it has programmed all entries, and later one more.
func (b *bigHost) runInEtcd(client *clientv3.Client) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	changed, deleted := b.watch(ctx)
	began, cpu := time.Now(), cpuTime()
	ended := make(chan error, 1)
	go func() { ended <- b.runLoop(ctx, loopEvents{kernel: changed, deleted: deleted}) }()
	took := b.awaitEntries(began, (manyHosts-1)*containersEach)
	b.t.Logf("an agent that starts has programmed all after %.2f s, with %.2f s of CPU", took.Seconds(),
		(cpuTime() - cpu).Seconds())
	if took > mostUntilProgrammed {
		b.t.Errorf("all is programmed after %v, the target is %v", took, mostUntilProgrammed)
	}
	b.measureStarts(client)
	cancel()
	<-ended
}

// inLoopRun runs something in the agent's loop.
func (b *bigHost) inLoopRun(run func()) {
	done := make(chan struct{})
	b.requests.inLoop <- func() { run(); close(done) }
	<-done
}

// awaitEntries waits until the kernel has an entry in each table for so many containers. It returns how long that
// took. That it is so is looked at afterwards.
func (b *bigHost) awaitEntries(began time.Time, want int) (took time.Duration) {
	b.t.Helper()
	for known := 0; ; time.Sleep(20 * time.Millisecond) {
		isBehind := true
		b.inLoopRun(func() {
			for _, m := range b.clusters.members {
				n := 0
				for _, member := range m.Snapshot().Members(manyHostsKey) {
					n += len(member.Endpoints)
				}
				if n == want && known < want {
					b.t.Logf("the plane knows %d containers after %.2f s", n, time.Since(began).Seconds())
				}
				known = n
			}
			isBehind = known < want || len(b.forwarder.networks) == 0 || b.forwarder.IsBehind()
		})
		if time.Since(began) > patience {
			b.t.Fatalf("after %v the plane knows %d containers, and the kernel has not all", patience, known)
		}
		if isBehind {
			continue
		}
		took = time.Since(began)
		if fdb, neighbours := b.countEntries(); fdb >= want && neighbours >= want {
			return took
		}
	}
}

// countEntries counts the VXLAN device's entries and the bridge's neighbours.
func (b *bigHost) countEntries() (fdb, neighbours int) {
	b.t.Helper()
	ns, err := openStack(b.ns)
	if err != nil {
		b.t.Fatal(err)
	}
	defer ns.Close()
	tables, err := ns.ForwardingTables("br-blue", "vxlan-blue", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return len(tables.FDB), len(tables.Neighbours)
}

// measureStarts measures from a container's record in etcd until the kernel has its entry.
func (b *bigHost) measureStarts(client *clientv3.Client) {
	b.t.Helper()
	ns, err := openStack(b.ns)
	if err != nil {
		b.t.Fatal(err)
	}
	defer ns.Close()
	keys := record.NewKeys(etcd.DefaultPrefix)
	var took []time.Duration
	for i := range 50 {
		n := (i * 17) % (manyHosts - 1)
		e := containerOn(n, containersEach+i)
		began := time.Now()
		if _, err := client.Put(b.t.Context(), keys.Endpoint(manyHostsKey, hostInEtcd(n, 0).ID, e.ContainerID),
			record.EncodeEndpoint(e)); err != nil {
			b.t.Fatal(err)
		}
		for only := (&kernel.ForwardingKeys{MACs: []kernel.MAC{e.MAC}}); ; time.Sleep(time.Millisecond) {
			tables, err := ns.ForwardingTables("br-blue", "vxlan-blue", only)
			if err != nil {
				b.t.Fatal(err)
			}
			if len(tables.FDB) > 0 {
				break
			}
			if time.Since(began) > patience {
				b.t.Fatal("an entry is missing")
			}
		}
		took = append(took, time.Since(began))
		time.Sleep(100 * time.Millisecond)
	}
	slices.Sort(took)
	b.t.Logf("one more container elsewhere, from its record's writing to its entry: p50 %.0f ms, p95 %.0f ms, max %.0f ms",
		ms(took[len(took)/2]), ms(took[len(took)*95/100]), ms(took[len(took)-1]))
}

// hostInEtcd is the n-th other host, with an ID that is not zero.
func hostInEtcd(n, containers int) cluster.Host {
	h := manyHost(n, containers)
	h.ID = cluster.HostID{1, byte(n >> 8), byte(n)}
	return h
}

// fillEtcd writes what 999 hosts have, as their planes do.
func fillEtcd(t *testing.T, client *clientv3.Client) {
	t.Helper()
	lease, err := client.Grant(t.Context(), 3600)
	if err != nil {
		t.Fatal(err)
	}
	keys := record.NewKeys(etcd.DefaultPrefix)
	for n := range manyHosts - 1 {
		h := hostInEtcd(n, containersEach)
		m := h.Memberships[0]
		ops := []clientv3.Op{
			clientv3.OpPut(keys.Presence(h.ID), record.Encode(record.Presence{Name: h.Name}), clientv3.WithLease(lease.ID)),
			clientv3.OpPut(keys.NetworkOf(h.ID, manyHostsKey), "{}"),
			clientv3.OpPut(keys.Membership(manyHostsKey, h.ID), record.EncodeMembership(h.Name, m)),
			clientv3.OpPut(keys.Address(manyHostsKey, m.HostAddrs[0]),
				record.Encode(record.Owner{Host: h.ID.String(), HostName: h.Name})),
		}
		for _, e := range m.Endpoints {
			owner := record.Owner{Host: h.ID.String(), HostName: h.Name, ContainerID: e.ContainerID}
			ops = append(ops, clientv3.OpPut(keys.Endpoint(manyHostsKey, h.ID, e.ContainerID), record.EncodeEndpoint(e)),
				clientv3.OpPut(keys.Address(manyHostsKey, e.Addrs[0]), record.Encode(owner)))
		}
		if _, err := client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
}
