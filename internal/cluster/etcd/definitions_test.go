package etcd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/definition"
)

// definer is a host that creates networks.
type definer struct {
	definition.Definer
	t *testing.T
}

// startDefiner connects a host, which picks VNIs from 500 to 504 if it may.
func startDefiner(t *testing.T, number int, urls []string, change ...func(*Config)) *definer {
	t.Helper()
	c := Config{HostID: cluster.HostID{15: byte(number)}, HostName: func() string { return fmt.Sprint("host-", number) },
		Endpoints: urls}
	for _, f := range change {
		f(&c)
	}
	d, err := OpenDefinitions(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return &definer{definition.Definer{Definitions: d, VNIs: cluster.VNIRange{First: 500, Last: 504},
		UsedVNIs: func(uint16) ([]uint32, error) { return nil, nil }}, t}
}

// create does what the plugin does: it lets the agent claim what it has found good.
func (d *definer) create(name, options, more string) (string, error) {
	config := fmt.Appendf(nil, `{"name": %q, "id": "7c", "driver": "vxlan", "dns_enabled": true, "options": `+
		`{"discovery": "etcd"%s}%s}`,
		name, options, more)
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	defer cancel()
	var proposed []byte
	for {
		got, _, err := d.Complete(ctx, config, proposed)
		if err != nil || bytes.Equal(got, proposed) {
			return string(got), err
		}
		proposed = got
	}
}

// keysBelow returns the keys below /vxlan/v1/ with a prefix, sorted.
func keysBelow(t *testing.T, client *clientv3.Client, prefix string) (keys []string) {
	t.Helper()
	for key := range dump(t, client) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func subnet(prefix string) string { return fmt.Sprintf(`, "subnets": [{"subnet": %q}]`, prefix) }

// together runs something on hosts at the same time.
func together(hosts []*definer, do func(int, *definer)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			<-start
			do(i, h)
		})
	}
	close(start)
	wg.Wait()
}

func startDefiners(t *testing.T, count int, urls []string) (hosts []*definer) {
	for i := range count {
		hosts = append(hosts, startDefiner(t, i+1, urls))
	}
	return hosts
}

// Twenty hosts create one network at the same time, each otherwise. One wins. Those that gave nothing
// else get the same, and each other one is told of both values.
func TestFirstCreatesOfOneName(t *testing.T) {
	servers := startServers(t, 1)
	client := servers.connect(t)
	hosts := startDefiners(t, 20, servers.urls())
	configs, errs := make([]string, 20), make([]error, 20)
	mtus := make([]string, 20)
	together(hosts, func(i int, h *definer) {
		options := ""
		if i%2 == 0 {
			mtus[i] = fmt.Sprint(1300 + i)
			options = `, "mtu": "` + mtus[i] + `"`
		}
		configs[i], errs[i] = h.create("mynet", options, subnet("10.0.0.0/24"))
	})
	r, err := client.Get(t.Context(), "/vxlan/v1/definitions/mynet")
	if err != nil || len(r.Kvs) != 1 {
		t.Fatalf("got %v, %v", r, err)
	}
	defined, _, err := definition.Decode("mynet", r.Kvs[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	won := defined.Options["mtu"]
	for i := range hosts {
		if mtus[i] == "" || mtus[i] == won {
			if d, err := definition.Read([]byte(configs[i])); errs[i] != nil || err != nil ||
				len(defined.Contradictions(d)) > 0 ||
				d.VNI() != 500 || d.Options["mtu"] != won {
				t.Errorf("host %d: %s, %v, %v", i, configs[i], errs[i], err)
			}
			continue
		}
		want := fmt.Sprintf("mtu: %s given, %s in etcd", mtus[i], cmp.Or(won, "not given"))
		if errs[i] == nil || !strings.Contains(errs[i].Error(), want) {
			t.Errorf("host %d: got %v, want %s", i, errs[i], want)
		}
	}
	all, err := hosts[0].List(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("got %v, %v", all, err)
	}
	wantHosts := 0
	for _, err := range errs {
		if err == nil {
			wantHosts++
		}
	}
	if len(all[0].Hosts) != wantHosts || wantHosts < 1 {
		t.Errorf("etcd knows %d hosts, and %d got the network", len(all[0].Hosts), wantHosts)
	}
}

// Twelve hosts each create a network of its own at the same time, and there are five VNIs. Five get one
// each, the others are told.
func TestVNIsOfASmallRange(t *testing.T) {
	servers := startServers(t, 1)
	client := servers.connect(t)
	// Hosts have a network that is not defined.
	if _, err := client.Put(t.Context(), "/vxlan/v1/networks/502-4789/hosts/x", "{}"); err != nil {
		t.Fatal(err)
	}
	hosts := startDefiners(t, 12, servers.urls())
	hosts[0].UsedVNIs = func(uint16) ([]uint32, error) { return []uint32{500, 501, 503, 504}, nil }
	if _, err := hosts[0].create("none", "", subnet("10.0.0.0/24")); err == nil ||
		!strings.Contains(err.Error(), "network none: pick a vni: all VNIs from 500 to 504 are in use with port 4789") {
		t.Errorf("got %v", err)
	}
	hosts[0].UsedVNIs = hosts[1].UsedVNIs
	vnis, errs := make([]uint32, len(hosts)), make([]error, len(hosts))
	together(hosts, func(i int, h *definer) {
		config, err := h.create(fmt.Sprint("net", i), "", subnet("10.0.0.0/24"))
		if errs[i] = err; err == nil {
			d, _ := definition.Read([]byte(config))
			vnis[i] = d.VNI()
		}
	})
	got := make(map[uint32]bool)
	for i, err := range errs {
		switch {
		case err != nil && !strings.Contains(err.Error(), "are in use"):
			t.Errorf("host %d: %v", i, err)
		case err == nil && (got[vnis[i]] || vnis[i] < 500 || vnis[i] > 504 || vnis[i] == 502):
			t.Errorf("host %d got %d", i, vnis[i])
		case err == nil:
			got[vnis[i]] = true
		}
	}
	if len(got) != 4 {
		t.Errorf("got %v", got)
	}
	// The same VNI on another port is another network's. One that is given may have been in use before.
	for i, tt := range []struct{ options, want string }{
		{`, "vni": "500"`, "--opt vni=500: network net"},
		{`, "vni": "500", "vxlan_port": "4790"`, ""},
		{`, "vni": "502"`, ""},
		{`, "vni": "x"`, "option vni"},
	} {
		_, err := hosts[0].create(fmt.Sprint("given", i), tt.options, subnet("10.0.0.0/24"))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", tt.options, err)
		}
	}
}

// A name is retired once nobody uses it. Then it can be defined anew, and its VNI is free.
func TestRetire(t *testing.T) {
	servers := startServers(t, 1)
	client := servers.connect(t)
	a, b := startDefiner(t, 1, servers.urls()), startDefiner(t, 2, servers.urls())
	if _, err := a.create("mynet", "", ""); err == nil || !strings.Contains(err.Error(),
		"network mynet: it is not defined in etcd, so its first host defines it: give --subnet too; networks in etcd: none") {
		t.Errorf("without a subnet: %v", err)
	}
	for _, h := range []*definer{a, b} {
		if _, err := h.create("mynet", `, "vni": "42"`, subnet("10.0.0.0/24")); err != nil {
			t.Fatal(err)
		}
	}
	h := startHost(t, 3, servers.urls())
	h.add("c1", "10.0.0.2")
	eventually(t, "the container is published", func() bool {
		return len(keysBelow(t, client, "networks/42-4789/hosts/")) == 2
	})
	uses, err := a.Retire(t.Context(), "mynet", true)
	if got := fmt.Sprint(uses); err != nil || got != "[{host-1 true 0} {host-2 false 0} {host-3 false 1}]" {
		t.Errorf("got %s, %v", got, err)
	}
	h.remove("c1")
	if uses, err = b.Retire(t.Context(), "mynet", false); err != nil || len(uses) == 0 {
		t.Errorf("while host-1 has it: %v, %v", uses, err)
	}
	if uses, err = a.Retire(t.Context(), "mynet", false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nobody uses it", func() bool {
		return len(keysBelow(t, client, "networks/42-4789/hosts/")) == 0
	})
	if len(uses) > 0 { // host-3 was still about to leave
		if uses, err = a.Retire(t.Context(), "mynet", false); err != nil || len(uses) > 0 {
			t.Errorf("got %v, %v", uses, err)
		}
	}
	for _, prefix := range []string{"definitions/", "vnis/"} {
		if left := keysBelow(t, client, prefix); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	if _, err := a.Retire(t.Context(), "mynet", false); !errors.Is(err, cluster.ErrNotDefined) {
		t.Errorf("again: %v", err)
	}
	if _, err := b.create("other", `, "vni": "42"`, subnet("10.9.0.0/24")); err != nil {
		t.Errorf("the VNI: %v", err)
	}
}

// While a host retires a name, another one creates the network: it has it, or defines it anew.
func TestRetireWhileOthersCreate(t *testing.T) {
	servers := startServers(t, 1)
	client := servers.connect(t)
	a, b := startDefiner(t, 1, servers.urls()), startDefiner(t, 2, servers.urls())
	for i := range 20 {
		if _, err := a.create("mynet", "", subnet("10.0.0.0/24")); err != nil {
			t.Fatal(err)
		}
		together([]*definer{a, b}, func(i int, h *definer) {
			if i == 0 {
				if _, err := h.Retire(t.Context(), "mynet", false); err != nil {
					t.Error(err)
				}
				return
			}
			if _, err := h.create("mynet", "", subnet("10.0.0.0/24")); err != nil {
				t.Error(err)
			}
		})
		all, err := b.List(t.Context())
		if err != nil || len(all) != 1 || len(all[0].Hosts) != 1 || !all[0].Hosts[0].Self {
			t.Fatalf("round %d: %+v, %v", i, all, err)
		}
		if vnis := keysBelow(t, client, "vnis/"); len(vnis) != 1 {
			t.Fatalf("round %d: %v", i, vnis)
		}
		if uses, err := b.Retire(t.Context(), "mynet", false); err != nil || len(uses) > 0 {
			t.Fatalf("round %d: %v, %v", i, uses, err)
		}
	}
}

// While etcd is away the reason comes in time.
func TestDefineWithoutEtcd(t *testing.T) {
	servers := startServers(t, 1)
	servers.connect(t)
	h := startDefiner(t, 1, servers.urls())
	servers.killAll()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	_, _, err := h.Complete(ctx, []byte(`{"name": "n", "driver": "vxlan", "options": {"discovery": "etcd"}}`), nil)
	if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "connection refused") ||
		took > 5*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}

// A host that is gone for good has no network.
func TestForgetTakesOffNetworks(t *testing.T) {
	servers := startServers(t, 1)
	client := servers.connect(t)
	a := startDefiner(t, 9, servers.urls())
	if _, err := a.create("mynet", "", subnet("10.0.0.0/24")); err != nil {
		t.Fatal(err)
	}
	h := startHost(t, 1, servers.urls())
	h.join()
	eventually(t, "the host is there", func() bool { return h.Health().Synced })
	if err := h.ForgetHost(cluster.Host{ID: cluster.HostID{15: 9}}); err != nil {
		t.Fatal(err)
	}
	if left := keysBelow(t, client, "definitions/"); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// A host that was forgotten and is back counts again for the networks that it has, and that are defined.
func TestForgottenHostIsBack(t *testing.T) {
	servers := startServers(t, 1)
	client := servers.connect(t)
	if _, err := startDefiner(t, 2, servers.urls()).create("mynet", "", subnet("10.0.0.0/24")); err != nil {
		t.Fatal(err)
	}
	const note = "definitions/mynet/hosts/"
	count := func() int { return len(keysBelow(t, client, note)) }
	var log bytes.Buffer
	b := startHost(t, 2, servers.urls(), func(c *Config) {
		c.Networks = func() []string { return []string{"elsewhere", "mynet"} }
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	b.add("c", "10.0.0.5")
	a := startHost(t, 1, servers.urls())
	a.join()
	a.awaitSees(b, "c[10.0.0.5]")
	b.stop()
	a.awaitSees(b, "unreachable c[10.0.0.5]")
	if err := a.ForgetHost(cluster.Host{ID: b.cfg.HostID}); err != nil {
		t.Fatal(err)
	}
	if count() != 0 {
		t.Fatal("the host still counts")
	}
	b.restart()
	a.awaitSees(b, "c[10.0.0.5]")
	eventually(t, "the host counts again", func() bool { return count() == 1 })
	if uses, err := startDefiner(t, 3, servers.urls()).Retire(t.Context(), "mynet", false); err != nil ||
		len(uses) == 0 || uses[0].Host != "host-2" {
		t.Errorf("retired: %v, %v", uses, err)
	}
	if left := keysBelow(t, client, "definitions/elsewhere"); len(left) != 0 {
		t.Errorf("noted %v", left)
	}
	b.stop()
	if text := log.String(); strings.Count(text, "knows again") != 1 || strings.Contains(text, "level=WARN") {
		t.Errorf("logged:\n%s", text)
	}
}

// A network that is removed in the moment in which it is noted is not noted.
func TestRemovedNetworkIsNotNoted(t *testing.T) {
	servers := startServers(t, 1)
	client := servers.connect(t)
	if _, err := startDefiner(t, 9, servers.urls()).create("mynet", "", subnet("10.0.0.0/24")); err != nil {
		t.Fatal(err)
	}
	var reads atomic.Int32
	h := startHost(t, 1, servers.urls(), func(c *Config) {
		c.Networks = func() []string {
			if reads.Add(1) == 1 {
				return []string{"mynet"}
			}
			return nil
		}
	})
	h.join()
	eventually(t, "the networks are read again", func() bool { return reads.Load() == 2 })
	eventually(t, "only the first host counts", func() bool {
		return len(keysBelow(t, client, "definitions/mynet/hosts/")) == 1
	})
	h.withLock(func() {
		if h.contact.isLost || len(h.refusals) > 0 {
			t.Errorf("%+v, %v", h.contact, h.refusals)
		}
	})
}
