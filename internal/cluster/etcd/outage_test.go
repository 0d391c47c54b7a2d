package etcd

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd/etcdtest"
)

// While etcd is away what is known stays, and a claim fails in time with the reason. Afterwards all
// converges without a restart, what has changed meanwhile included.
func TestEtcdAway(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 3)
	c := servers.connect(t)
	a, b := startHost(t, 1, servers.urls()), startHost(t, 2, servers.urls())
	a.add("a1", "10.0.0.2")
	a.add("a2", "10.0.0.3")
	b.join()
	b.awaitSees(a, "a1[10.0.0.2] a2[10.0.0.3]")
	b.awaitSynced()
	servers.killAll()
	eventually(t, "etcd is known to be away", func() bool { return b.Health().Alone && a.Health().Alone })
	health := b.Health()
	if !health.Synced || health.StaleSince.IsZero() || !strings.HasPrefix(health.Problem, "etcd does not answer: ") ||
		!strings.Contains(health.Problem, "connection refused") {
		t.Errorf("got %+v", health)
	}
	began := time.Now()
	_, err := b.claim("b1", "10.0.0.4")
	if took := time.Since(began); err == nil || took > DefaultRequestTimeout+probeTimeout {
		t.Errorf("got %v after %v", err, took)
	} else if !strings.HasPrefix(err.Error(), "claim addresses in etcd: ") ||
		!strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
	if got := b.sees(a); got != "a1[10.0.0.2] a2[10.0.0.3]" {
		t.Errorf("while etcd is away: %q", got)
	}
	a.remove("a1")
	b.restart() // knows nothing, and must not give up what it has
	servers.startAll()
	servers.await(t, c)
	b.awaitSees(a, "a2[10.0.0.3]")
	a.awaitSynced()
	eventually(t, "etcd is known to answer", func() bool {
		h := b.Health()
		return h.Synced && !h.Alone && h.StaleSince.IsZero() && h.Problem == ""
	})
	if holder, err := b.claim("b1", "10.0.0.2"); err != nil || holder != (cluster.Holder{}) {
		t.Errorf("the address of a container that went meanwhile: %+v, %v", holder, err)
	}
	if holder, err := b.claim("b2", "10.0.0.3"); err != nil || holder.ContainerID != "a2" {
		t.Errorf("the address of a container that stayed: %+v, %v", holder, err)
	}
}

// However long etcd was away, a host goes on with it within seconds. gRPC by itself tries the less often the longer a
// server is away.
func TestEtcdIsBackAfterLong(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 1)
	servers.connect(t)
	h := startHost(t, 1, servers.urls())
	h.join()
	h.awaitSynced()
	servers.killAll()
	time.Sleep(40 * time.Second)
	servers.startAll()
	servers.connect(t)
	began := time.Now()
	eventually(t, "etcd is known to answer", func() bool { return !h.Health().Alone })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a host goes on after %v", took)
	}
}

// While a leader is elected a claim has all of its time.
func TestClaimTimeout(t *testing.T) {
	for name, test := range map[string]struct {
		contact contact
		want    time.Duration
	}{
		"nothing was asked yet":    {contact{}, 4 * time.Second},
		"etcd answers":             {contact{last: boottime.Now().Add(-time.Hour)}, 4 * time.Second},
		"the leader has just gone": {contact{last: boottime.Now().Add(-2 * time.Second), isLost: true}, 4 * time.Second},
		"away for long":            {contact{last: boottime.Now().Add(-5 * time.Second), isLost: true}, 2 * time.Second},
		"never there":              {contact{isLost: true}, 2 * time.Second},
	} {
		p := &Plane{cfg: Config{RequestTimeout: 4 * time.Second}, contact: test.contact}
		if got := p.claimTimeout(); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// A host that leaves while etcd is away does not keep its agent from ending. What it had is taken out by the
// next agent.
func TestLeaveWithoutEtcd(t *testing.T) {
	servers := startServers(t, 1)
	c := servers.connect(t)
	a, b := startHost(t, 1, servers.urls()), startHost(t, 2, servers.urls())
	a.add("a1", "10.0.0.2")
	b.join()
	b.awaitSees(a, "a1[10.0.0.2]")
	servers.killAll()
	a.remove("a1")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := a.Leave(ctx); err == nil || time.Since(began) > 2*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
	a.stop()
	servers.startAll()
	servers.await(t, c)
	a.start(a.cfg)
	a.publish()
	b.awaitSees(a, "")
	if holder, err := b.claim("b1", "10.0.0.2"); err != nil || holder != (cluster.Holder{}) {
		t.Errorf("got %+v, %v", holder, err)
	}
}

// An agent that starts while etcd is away says why it knows nothing. A container that has started the agent waits
// until that is known, and then for its claim to fail. Both together leave Podman half a second of five.
func TestStartWithoutEtcd(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"", "vxlan"} {
		began := time.Now()
		h := startHost(t, 1, []string{"http://" + etcdtest.FreeAddr(t)}, func(c *Config) {
			if c.User = user; user != "" {
				c.PasswordFile = password
			}
		})
		h.join()
		eventually(t, "etcd is known to be away", func() bool { return h.Health().Alone })
		_, err := h.claim("a1", "10.0.0.2")
		if took := time.Since(began); err == nil || took > 4500*time.Millisecond {
			t.Errorf("user %q: got %v after %v", user, err, took)
		} else if !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("user %q: got %v", user, err)
		}
		if health := h.Health(); health.Synced || !strings.Contains(health.Problem, "connection refused") {
			t.Errorf("user %q: got %+v", user, health)
		}
	}
}

// A compaction during a watch loses nothing: the host was cut off, and what has changed meanwhile is not to
// be had any more one by one.
func TestCompactionDuringAWatch(t *testing.T) {
	servers := startServers(t, 1)
	c := servers.connect(t)
	gate := startProxy(t, servers[0].ClientURL)
	a, b := startHost(t, 1, servers.urls()), startHost(t, 2, []string{"http://" + gate.listener.Addr().String()})
	b.join()
	a.add("a1", "10.0.0.2")
	a.add("a2", "10.0.0.3")
	b.awaitSees(a, "a1[10.0.0.2] a2[10.0.0.3]")
	gate.shut()
	a.remove("a1")
	a.add("a3", "10.0.0.4")
	for i := range 20 {
		a.add("a3", fmt.Sprint("10.0.1.", i+1))
	}
	watcher := startHost(t, 3, servers.urls())
	watcher.join()
	watcher.awaitSees(a, "a2[10.0.0.3] a3[10.0.1.20]")
	resp, err := c.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Compact(t.Context(), resp.Header.Revision); err != nil {
		t.Fatal(err)
	}
	a.add("a4", "10.0.0.5")
	watcher.awaitSees(a, "a2[10.0.0.3] a3[10.0.1.20] a4[10.0.0.5]")
	if got := b.sees(a); got != "a1[10.0.0.2] a2[10.0.0.3]" {
		t.Fatalf("cut off, the host sees %q", got)
	}
	gate.reopen()
	b.awaitSees(a, "a2[10.0.0.3] a3[10.0.1.20] a4[10.0.0.5]")
}

// A host that is cut off for longer than its lease has its addresses afterwards, and others see it again.
func TestCutOffForLongerThanItsLease(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 1)
	c := servers.connect(t)
	gate := startProxy(t, servers[0].ClientURL)
	a, b := startHost(t, 1, []string{"http://" + gate.listener.Addr().String()}), startHost(t, 2, servers.urls())
	a.add("a1", "10.0.0.2")
	b.join()
	b.awaitSees(a, "a1[10.0.0.2]")
	want := dump(t, c)["networks/42-4789/addresses/10.0.0.2"]
	gate.shut()
	b.awaitSees(a, "unreachable a1[10.0.0.2]")
	if holder, err := b.claim("b1", "10.0.0.2"); err != nil || holder.ContainerID != "a1" || !holder.Unreachable {
		t.Errorf("got %+v, %v", holder, err)
	}
	gate.reopen()
	b.awaitSees(a, "a1[10.0.0.2]")
	if got := dump(t, c)["networks/42-4789/addresses/10.0.0.2"]; got != want || got == "" {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An agent that is killed between a claim and the record of it leaves the address to the plugin, which may
// still record it. A claim that nobody takes up is given up.
func TestClaimOutlivesItsAgent(t *testing.T) {
	servers := startServers(t, 1)
	servers.connect(t)
	a, b := startHost(t, 1, servers.urls()), startHost(t, 2, servers.urls())
	a.join()
	b.join()
	b.awaitSynced()
	for _, container := range []string{"a1", "a2"} {
		if holder, err := a.claim(container, "10.0.0.1"+container[1:]); err != nil || holder != (cluster.Holder{}) {
			t.Fatal(holder, err)
		}
	}
	b.awaitSees(a, "a1[10.0.0.11] a2[10.0.0.12]")
	if e := b.Snapshot().Members(blue)[0].Endpoints[0]; !e.Claimed() || e.Pending() {
		t.Errorf("got %+v", e)
	}
	a.restart()
	a.awaitSynced()
	if holder, err := b.claim("b1", "10.0.0.11"); err != nil || holder.ContainerID != "a1" || !holder.Pending {
		t.Errorf("got %+v, %v", holder, err)
	}
	a.add("a1", "10.0.0.11")
	eventually(t, "the container is published", func() bool {
		return len(b.Snapshot().Members(blue)[0].Endpoints[0].Names) == 1
	})
	a.withLock(func() { a.networks[blue].inherited["a2"] = time.Now().Add(-inheritedFor) })
	a.publish()
	b.awaitSees(a, "a1[10.0.0.11]")
	if holder, err := b.claim("b1", "10.0.0.12"); err != nil || holder != (cluster.Holder{}) {
		t.Errorf("got %+v, %v", holder, err)
	}
}

// A claim that is repeated takes the place of the one before, and one that loses reserves nothing.
func TestClaimReplacesTheOneBefore(t *testing.T) {
	servers := startServers(t, 1)
	c := servers.connect(t)
	a, b := startHost(t, 1, servers.urls()), startHost(t, 2, servers.urls())
	a.join()
	b.join()
	claim := func(h *testHost, container string, addrs ...string) (taken int) {
		var all []netip.Addr
		for _, x := range addrs {
			all = append(all, netip.MustParseAddr(x))
		}
		got, err := h.Claim(t.Context(), blue, container, all)
		if err != nil {
			t.Fatal(err)
		}
		return len(got)
	}
	owners := func() string {
		resp := dump(t, c)
		var text []string
		for _, a := range []string{"10.0.0.2", "10.0.0.3", "10.0.0.4"} {
			_, owner, _ := strings.Cut(resp["networks/42-4789/addresses/"+a], `"container":"`)
			text = append(text, strings.TrimSuffix(owner, `"}`))
		}
		return strings.Join(text, " ")
	}
	if claim(a, "a1", "10.0.0.2", "10.0.0.3") != 0 || owners() != "a1 a1 " {
		t.Errorf("got %q", owners())
	}
	if claim(a, "a1", "10.0.0.3", "10.0.0.4") != 0 || owners() != " a1 a1" {
		t.Errorf("got %q", owners())
	}
	if claim(b, "b1", "10.0.0.2", "10.0.0.3") != 1 || owners() != " a1 a1" {
		t.Errorf("got %q", owners())
	}
	a.Release(blue, "a1")
	eventually(t, "all are free", func() bool { return owners() == "  " })
}
