package etcd

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

var blue = cluster.NetworkKey{VNI: 42, Port: 4789}

// testHost is a host with a plane.
type testHost struct {
	*Plane
	t      *testing.T
	number int
	stop   func() // ends its agent

	mu         sync.Mutex
	containers map[string]cluster.Endpoint // on network blue
	joined     bool                        // also without a container
}

// startHost starts the plane of a host. What is changed in the configuration is up to the test.
func startHost(t *testing.T, number int, urls []string, change ...func(*Config)) *testHost {
	t.Helper()
	c := Config{
		HostID: cluster.HostID{15: byte(number)}, HostName: func() string { return fmt.Sprint("host-", number) },
		Instance: fmt.Sprint("machine-", number), Endpoints: urls, Lease: 3 * time.Second,
		Log: slog.New(slog.NewTextHandler(&testLog{t: t}, nil)),
	}
	for _, f := range change {
		f(&c)
	}
	h := &testHost{t: t, number: number, containers: make(map[string]cluster.Endpoint)}
	h.start(c)
	t.Cleanup(func() { h.stop() })
	return h
}

// start starts an agent, which knows nothing of the one before it.
func (h *testHost) start(c Config) {
	h.t.Helper()
	p, err := New(c)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Plane = p
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx); err != nil {
			h.t.Error(err)
		}
	}()
	h.stop = func() {
		cancel()
		<-done
	}
}

// restart ends the agent, and starts the next one.
func (h *testHost) restart() {
	h.stop()
	h.start(h.cfg)
	h.publish()
}

func (h *testHost) vtep() netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 0, byte(h.number)}) }

// join makes the host a member of network blue.
func (h *testHost) join() {
	h.mu.Lock()
	h.joined = true
	h.mu.Unlock()
	h.publish()
}

// add and remove are a container that has started, and one that is gone.
func (h *testHost) add(container string, addrs ...string) {
	e := cluster.Endpoint{ContainerID: container, Names: []string{"name-" + container}, MAC: kernel.MAC{2, 0, 0, 0, 0, 1}}
	for _, a := range addrs {
		e.Addrs = append(e.Addrs, netip.MustParseAddr(a))
	}
	h.mu.Lock()
	h.containers[container] = e
	h.mu.Unlock()
	h.publish()
}

func (h *testHost) remove(container string) {
	h.mu.Lock()
	delete(h.containers, container)
	h.mu.Unlock()
	h.publish()
}

// publish tells the plane what the host has.
func (h *testHost) publish() {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	var local cluster.Local
	m := cluster.Membership{Network: blue, VTEP: h.vtep(), StaticFDB: true,
		View: cluster.NetworkView{Name: "blue", MTU: 1450}}
	for _, e := range h.containers {
		m.Endpoints = append(m.Endpoints, e)
	}
	if h.joined || len(m.Endpoints) > 0 {
		local.Memberships = append(local.Memberships, m)
	}
	if err := h.Set(local); err != nil {
		h.t.Error(err)
	}
}

// sees tells which containers of another host this one sees, or "gone" or "unreachable".
func (h *testHost) sees(o *testHost) string {
	for _, other := range h.Snapshot().Hosts {
		if other.ID != o.cfg.HostID {
			continue
		}
		var text []string
		if !other.Reachable() {
			text = append(text, "unreachable")
		}
		for _, m := range other.Memberships {
			for _, e := range m.Endpoints {
				text = append(text, fmt.Sprint(e.ContainerID, e.Addrs))
			}
		}
		return strings.Join(text, " ")
	}
	return "gone"
}

func (h *testHost) awaitSees(o *testHost, want string) {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("%v sees %q of %v", h.number, want, o.number), func() bool { return h.sees(o) == want })
}

func (h *testHost) awaitSynced() {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("host %v is synced", h.number), func() bool { return h.Health().Synced })
}

// claim claims an address of network blue. It returns who has it.
func (h *testHost) claim(container, addr string) (cluster.Holder, error) {
	taken, err := h.Claim(context.Background(), blue, container, []netip.Addr{netip.MustParseAddr(addr)})
	return taken[netip.MustParseAddr(addr)], err
}

// dump returns all keys, without the part that all have.
func dump(t *testing.T, c *clientv3.Client) map[string]string {
	t.Helper()
	resp, err := c.Get(t.Context(), "/vxlan/v1/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, kv := range resp.Kvs {
		all[strings.TrimPrefix(string(kv.Key), "/vxlan/v1/")] = string(kv.Value)
	}
	return all
}

// testLog writes a plane's log to that of the test, as long as that runs.
type testLog struct{ t *testing.T }

func (l *testLog) Write(line []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(string(bytes.TrimRight(line, "\n")))
	}
	return len(line), nil
}
