package etcd

import (
	"maps"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
)

// A copy of a host has its ID. It says so, and neither takes the first one's records for its own nor gets an
// address. Once the first one is gone, it works.
func TestCopyOfAHost(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 1)
	c := servers.connect(t)
	a, b := startHost(t, 1, servers.urls()), startHost(t, 2, servers.urls())
	a.add("a1", "10.0.0.2")
	b.join()
	b.awaitSees(a, "a1[10.0.0.2]")
	want := dump(t, c)
	twin := startHost(t, 1, servers.urls(), func(c *Config) {
		c.Instance, c.HostName = "another machine", func() string { return "twin" }
	})
	twin.add("t1", "10.0.0.3")
	const text = "host host-1 has the ID of this host, as if one was copied from the other; this host announces nothing " +
		"meanwhile; if it lasts, remove /var/lib/vxlan/host-id on one of them and restart its agent"
	eventually(t, "the copy is told", func() bool { return twin.Health().Problem == text })
	if holder, err := twin.claim("t2", "10.0.0.4"); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("the copy claims an address: %+v, %v", holder, err)
	}
	if holder, err := a.claim("a2", "10.0.0.4"); err != nil || holder != (cluster.Holder{}) {
		t.Errorf("the first one claims an address: %+v, %v", holder, err)
	}
	a.Release(blue, "a2")
	eventually(t, "all keys are as before", func() bool { return maps.Equal(dump(t, c), want) })
	a.restart() // which makes no copy of it
	a.awaitSynced()
	if got := a.Health().Problem; got != "" {
		t.Errorf("the agent that restarted: %s", got)
	}
	a.stop()
	b.awaitSees(a, "t1[10.0.0.3]")
	eventually(t, "the copy works", func() bool { h := twin.Health(); return h.Synced && h.Problem == "" })
	if err := twin.Leave(t.Context()); err != nil {
		t.Error(err)
	}
}

// A copy that leaves takes nothing out.
func TestCopyOfAHostLeaves(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 1)
	c := servers.connect(t)
	a := startHost(t, 1, servers.urls(), func(c *Config) { c.Lease = time.Minute })
	a.add("a1", "10.0.0.2")
	a.awaitSynced()
	eventually(t, "all keys are there", func() bool { return len(dump(t, c)) == 5 })
	want := dump(t, c)
	twin := startHost(t, 1, servers.urls(), func(c *Config) { c.Instance = "another machine" })
	twin.add("t1", "10.0.0.3")
	eventually(t, "the copy is told", func() bool { return twin.Health().Problem != "" })
	if err := twin.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	if got := dump(t, c); !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
