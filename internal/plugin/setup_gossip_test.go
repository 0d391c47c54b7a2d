package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/store"
)

// gossipNetwork is the documented example with hosts that find each other.
var gossipNetwork = strings.NewReplacer(`"remote_ips": "198.18.0.11,198.18.0.12"`, `"discovery": "gossip"`,
	`"dns_enabled": true`, `"dns_enabled": true, "ipam_options": {"driver": "vxlan"}`).Replace(testNetwork)

// newGossipHost is newFakeHost with an agent that assigns the addresses that the user wants, or
// else the first ones.
func newGossipHost(t *testing.T) (*fakekernel.Kernel, *Plugin, *fakeAgent) {
	t.Helper()
	k, plugin := newFakeHost(t)
	agent := new(fakeAgent)
	agent.assign = func(_, _ string, wanted []netip.Addr) ([]netip.Addr, error) {
		var all []netip.Addr
		for _, first := range []string{"10.0.0.2", "fd00:10::2"} {
			a := netip.MustParseAddr(first)
			if i := slices.IndexFunc(wanted, func(w netip.Addr) bool { return w.Is4() == a.Is4() }); i >= 0 {
				all = append(all, wanted[i])
				continue
			}
			all = append(all, a)
		}
		return all, nil
	}
	plugin.Agent = agent
	return k, plugin, agent
}

// gossipRequest connects container number i without static addresses.
func gossipRequest(i int, options string) (string, netavark.Request) {
	ns, r := request(gossipNetwork, i)
	r.Options = json.RawMessage(`{"interface_name": "eth0"` + options + `}`)
	return ns, r
}

// Without names, the agent is notified all the same: it tells other hosts of the container.
func TestAgentIsNotifiedOfSetupWithoutNames(t *testing.T) {
	_, plugin, agent := newGossipHost(t)
	ns, r := gossipRequest(1, "")
	r.Network = json.RawMessage(strings.ReplaceAll(string(r.Network), `"dns_enabled": true`, `"dns_enabled": false`))
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	if agent.notified.Load() != 1 {
		t.Errorf("notified %d times", agent.notified.Load())
	}
}

// While the agent is asked, it can take the store's lock and finds the container there without
// addresses; afterwards it is as on any network.
func TestAgentAssignsAddresses(t *testing.T) {
	_, plugin, agent := newGossipHost(t)
	pick := agent.assign
	asked := 0
	agent.assign = func(networkID, containerID string, wanted []netip.Addr) ([]netip.Addr, error) {
		asked++
		s, err := plugin.Begin()
		if err != nil {
			t.Fatal(err)
		}
		locals, err := s.Networks()
		if err == nil {
			err = s.Reconcile(locals, hoststate.ScopeFull)
		}
		if err != nil || len(locals) != 1 || len(locals[0].Endpoints) != 1 {
			t.Fatalf("the agent finds %+v, %v", locals, err)
		}
		if e := locals[0].Endpoints[0]; networkID != "7c7b" || containerID != "c1" || e.ContainerID != "c1" || len(e.Addrs) > 0 || !e.MAC.IsZero() {
			t.Errorf("asked for %s on %s, finds %+v", containerID, networkID, e)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := plugin.Reload(); err != nil {
			t.Error(err)
		}
		return pick(networkID, containerID, wanted)
	}
	ns, r := gossipRequest(1, "")
	for range 2 { // the second changes nothing
		status, err := plugin.Setup(ns, r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(status.Interfaces)
		if err != nil {
			t.Fatal(err)
		}
		want := `{"eth0":{"mac_address":"02:36:0a:00:00:02","subnets":[{"ipnet":"10.0.0.2/24","gateway":"10.0.0.1"},{"ipnet":"fd00:10::2/64","gateway":"fd00:10::1"}]}}`
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	st, err := store.Open(plugin.StoreDir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if e, err := st.Record("7c7b", "c1"); err != nil || len(e.Addrs) != 2 || e.MAC.String() != "02:36:0a:00:00:02" {
		t.Errorf("recorded %+v, %v", e, err)
	}
}

// What the user asks for is passed on, and the rest comes from the agent; a MAC stays.
func TestAgentIsAskedForTheUsersAddresses(t *testing.T) {
	_, plugin, _ := newGossipHost(t)
	ns, r := gossipRequest(1, `, "static_ips": ["10.0.0.77", "10.0.0.77"], "static_mac": "02:00:00:00:00:09"`)
	status, err := plugin.Setup(ns, r)
	if err != nil {
		t.Fatal(err)
	}
	got := status.Interfaces["eth0"]
	if got.MAC != "02:00:00:00:00:09" || len(got.Subnets) != 2 || got.Subnets[0].IPNet.String() != "10.0.0.77/24" || got.Subnets[1].IPNet.String() != "fd00:10::2/64" {
		t.Errorf("got %+v", got)
	}
}

// A failure of the agent, or at whatever call, leaves nothing.
func TestGossipSetupThatFailsLeavesNothing(t *testing.T) {
	check := func(t *testing.T, k *fakekernel.Kernel, plugin *Plugin, before []kernel.Link) {
		t.Helper()
		if after := k.HostNamespace().Links(); !reflect.DeepEqual(before, after) {
			t.Errorf("left %+v", after)
		}
		if files := storedFiles(t, plugin); len(files) > 0 {
			t.Errorf("left %v", files)
		}
		if elements := k.HostNamespace().Firewall(); len(elements) > 0 {
			t.Errorf("left %v", elements)
		}
	}
	t.Run("without an agent", func(t *testing.T) {
		k, plugin, agent := newGossipHost(t)
		before := k.HostNamespace().Links()
		agent.err = errors.New("start vxland: it ended at once; see /log")
		ns, r := gossipRequest(1, "")
		if _, err := plugin.Setup(ns, r); err == nil || err.Error() != "address on network vxlan-network: start vxland: it ended at once; see /log" {
			t.Errorf("got %v", err)
		}
		check(t, k, plugin, before)
	})
	for i := 1; ; i++ {
		k, plugin, _ := newGossipHost(t)
		before := k.HostNamespace().Links()
		k.FailAt = i
		ns, r := gossipRequest(1, "")
		_, err := plugin.Setup(ns, r)
		if k.Calls < i {
			if err != nil || i < 30 {
				t.Fatalf("%d calls were made to fail; %v", i, err)
			}
			return
		}
		if !errors.Is(err, fakekernel.ErrInjected) {
			t.Errorf("call %d: setup returned %v", i, err)
		}
		check(t, k, plugin, before)
	}
}

// Killed at whatever call, or while the agent is asked, teardown clears and setup completes.
func TestKilledGossipSetupIsCompletedByTheNextRun(t *testing.T) {
	ns, r := gossipRequest(1, "")
	k, plugin, _ := newGossipHost(t)
	empty := k.HostNamespace().Links()
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	built := withoutKernelChoices(k.HostNamespace().Links())
	calls := k.Calls
	for i := 0; i <= calls; i++ {
		for _, next := range []string{"setup", "teardown"} {
			k, plugin, agent := newGossipHost(t)
			pick := agent.assign
			if k.DieAt = i; i == 0 {
				agent.assign = func(_, _ string, _ []netip.Addr) ([]netip.Addr, error) {
					k.DieAt = 1 // all that follows
					return nil, errors.New("killed")
				}
			}
			if _, err := plugin.Setup(ns, r); err == nil {
				t.Fatalf("call %d: not killed", i)
			}
			k.DieAt, agent.assign = 0, pick
			if next == "setup" {
				if _, err := plugin.Setup(ns, r); err != nil {
					t.Errorf("killed at call %d, then setup: %v", i, err)
				}
				if got := withoutKernelChoices(k.HostNamespace().Links()); !reflect.DeepEqual(got, built) {
					t.Errorf("killed at call %d, then setup:\ngot  %+v\nwant %+v", i, got, built)
				}
			}
			if err := plugin.Teardown(ns, r); err != nil {
				t.Errorf("killed at call %d, then teardown: %v", i, err)
			}
			if got := k.HostNamespace().Links(); !reflect.DeepEqual(got, empty) {
				t.Errorf("killed at call %d, then teardown: left %+v", i, got)
			}
			if files := storedFiles(t, plugin); len(files) > 0 {
				t.Errorf("killed at call %d, then teardown: left %v", i, files)
			}
		}
	}
}

// Other hosts are asked for addresses before a container gets them, unless it is there and would
// answer itself.
func TestProbeFindsAddressInUse(t *testing.T) {
	k, plugin, _ := newGossipHost(t)
	ns, r := gossipRequest(1, "")
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	s, err := plugin.Begin()
	if err != nil {
		t.Fatal(err)
	}
	locals, err := s.Networks()
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	held, free := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8")
	k.HostNamespace().ProbeAnswers = map[kernel.ProbeAnswer]netip.Addr{{Addr: held, MAC: kernel.MAC{2, 7}}: netip.MustParseAddr("198.18.0.12")}
	got, err := plugin.ProbeAddresses(locals[0], network.Endpoint{ContainerID: "c2"}, []netip.Addr{held, free})
	if err != nil || len(got) != 1 || got[held].Error() != "address 10.0.0.7 of network vxlan-network is in use: 02:07:00:00:00:00 on host 198.18.0.12 answers for it; choose another --ip, or stop what has it" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := plugin.ProbeAddresses(locals[0], locals[0].Endpoints[0].Endpoint, []netip.Addr{held}); err != nil || len(got) > 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

// A setup that fails does not harm another container, nor does one that is under way keep another's
// teardown from working.
func TestGossipSetupBesideOthers(t *testing.T) {
	k, plugin, agent := newGossipHost(t)
	ns1, r1 := gossipRequest(1, "")
	if _, err := plugin.Setup(ns1, r1); err != nil {
		t.Fatal(err)
	}
	before := k.HostNamespace().Links()
	pick := agent.assign
	agent.assign = func(_, _ string, _ []netip.Addr) ([]netip.Addr, error) { return nil, errors.New("no free address") }
	ns2, r2 := gossipRequest(2, "")
	if _, err := plugin.Setup(ns2, r2); err == nil || !strings.Contains(err.Error(), "no free address") {
		t.Errorf("got %v", err)
	}
	if after := k.HostNamespace().Links(); !reflect.DeepEqual(before, after) {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
	agent.assign = func(n, c string, wanted []netip.Addr) ([]netip.Addr, error) {
		if err := plugin.Teardown(ns1, r1); err != nil {
			t.Error(err)
		}
		return pick(n, c, wanted)
	}
	if _, err := plugin.Setup(ns2, r2); err != nil {
		t.Fatal(err)
	}
	if len(k.HostNamespace().Links()) != 4 || len(storedFiles(t, plugin)) != 3 {
		t.Errorf("have %+v %v", k.HostNamespace().Links(), storedFiles(t, plugin))
	}
}

// A network without subnets needs no addresses, but needs the agent all the same.
func TestGossipSetupWithoutSubnets(t *testing.T) {
	k, plugin, agent := newGossipHost(t)
	before := k.HostNamespace().Links()
	ns, r := gossipRequest(1, "")
	var n map[string]any
	if err := json.Unmarshal([]byte(gossipNetwork), &n); err != nil {
		t.Fatal(err)
	}
	n["subnets"], n["ipam_options"], n["routes"], n["ipv6_enabled"] = nil, map[string]string{"driver": "none"}, nil, false
	config, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	r.Network = config
	agent.err = errors.New("it is not installed")
	if _, err := plugin.Setup(ns, r); err == nil || !strings.Contains(err.Error(), "hosts of network vxlan-network: it is not installed") {
		t.Errorf("got %v", err)
	}
	if after := k.HostNamespace().Links(); !reflect.DeepEqual(before, after) || len(storedFiles(t, plugin)) > 0 {
		t.Errorf("left %+v %v", after, storedFiles(t, plugin))
	}
	agent.err = nil
	if _, err := plugin.Setup(ns, r); err != nil || agent.syncs.Load() != 2 {
		t.Errorf("%d syncs, %v", agent.syncs.Load(), err)
	}
}

// An agent that picks an address and then does not answer names is no reason to forget where the
// other hosts are: there is no list of them.
func TestGossipSetupWithoutNamesKeepsPeers(t *testing.T) {
	_, plugin, agent := newGossipHost(t)
	want := network.Peers{Flood: []netip.Addr{netip.MustParseAddr("198.18.0.11")}, HostAddrs: []netip.Addr{netip.MustParseAddr("10.0.0.99")}}
	pick := agent.assign
	agent.assign = func(n, c string, wanted []netip.Addr) ([]netip.Addr, error) {
		st, err := store.Open(plugin.StoreDir)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		agent.err = errors.New("timeout") // from now on
		if err := st.SetPeers("7c7b", want); err != nil {
			t.Error(err)
		}
		return pick(n, c, wanted)
	}
	var warned string
	plugin.Warn = func(message string) { warned += message }
	ns, r := gossipRequest(1, "")
	if _, err := plugin.Setup(ns, r); err != nil || !strings.Contains(warned, "no container names") {
		t.Errorf("got %v, warned %q", err, warned)
	}
	st, err := store.Open(plugin.StoreDir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if got, ok, err := st.Peers("7c7b"); !ok || err != nil || !got.Equal(want) {
		t.Errorf("keeps %+v, %v, %v", got, ok, err)
	}
}

// One command, the same on every host, with a seed or without.
func TestCreateGossipNetwork(t *testing.T) {
	_, plugin := newFakeHost(t)
	for _, seeds := range []string{"", `, "remote_ips": "198.18.0.11"`} {
		out, err := plugin.Create([]byte(`{"name": "net", "driver": "vxlan", "id": "7c7c", "dns_enabled": true, "options": {"vni": "100",
			"local_ip": "auto", "physical_interface": "eth0", "discovery": "gossip"` + seeds + `}, "subnets": [{"subnet": "10.0.0.0/24"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"ipam_options":{"driver":"vxlan"}`, `"gateway":"10.0.0.1"`} {
			if !strings.Contains(string(out), want) || strings.Contains(string(out), "lease_range") {
				t.Errorf("%s is not in %s", want, out)
			}
		}
		r := netavark.Request{ContainerID: "c1", Network: out, Options: json.RawMessage(`{"interface_name": "eth0"}`)}
		plugin.Agent = &fakeAgent{assign: func(_, _ string, _ []netip.Addr) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("10.0.0.2")}, nil
		}}
		if _, err := plugin.Setup("/ns/1", r); err != nil {
			t.Error(err)
		}
		if err := plugin.Teardown("/ns/1", r); err != nil {
			t.Error(err)
		}
	}
}

// A network whose hosts talk by etcd is created only where the agent has one.
func TestCreateEtcdNetwork(t *testing.T) {
	_, plugin := newFakeHost(t)
	text := `{"name": "net", "driver": "vxlan", "id": "7c7c", "dns_enabled": true, "options": {"vni": "100",
		"local_ip": "auto", "physical_interface": "eth0", "discovery": "etcd"}, "subnets": [{"subnet": "10.0.0.0/24"}]}`
	file := filepath.Join(t.TempDir(), "vxland.toml")
	plugin.ConfigFiles = []string{filepath.Join(t.TempDir(), "absent"), file}
	for config, isThere := range map[string]bool{
		"": false, "#[etcd]\n": false, "port = 1\n[etcd]\nendpoints = []\n": true, "[etcd]": true,
	} {
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := plugin.Create([]byte(text))
		if isThere && (err != nil || !strings.Contains(string(out), `"ipam_options":{"driver":"vxlan"}`)) {
			t.Errorf("%q: %s, %v", config, out, err)
		}
		if want := "needs a section [etcd] with endpoints in /etc/vxlan/vxland.toml on this host"; !isThere &&
			(err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v", config, err)
		}
	}
}

// The agent makes the network whole. What it proposes is checked on this host before it is claimed.
func TestCreateDefinedNetwork(t *testing.T) {
	_, plugin := newFakeHost(t)
	file := filepath.Join(t.TempDir(), "vxland.toml")
	if err := os.WriteFile(file, []byte("[etcd]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plugin.ConfigFiles = []string{file}
	const given = `{"name": "net", "driver": "vxlan", "id": "7c7c", "dns_enabled": true, "options": {"discovery": "etcd"}}`
	whole := func(vni int, subnet string) []byte {
		return fmt.Appendf(nil, `{"name": "net", "driver": "vxlan", "id": "7c7c", "dns_enabled": true, "options": {
			"vni": "%d", "local_ip": "auto", "physical_interface": "eth0", "discovery": "etcd"},
			"subnets": [{"subnet": "%s"}]}`, vni, subnet)
	}
	var asked []string
	agent := plugin.Agent.(*fakeAgent)
	agent.define = func(config, proposed []byte) ([]byte, error) {
		asked = append(asked, string(proposed))
		if string(config) != given {
			t.Errorf("given %s", config)
		}
		if len(asked) < 3 {
			return whole(499+len(asked), "10.0.0.0/24"), nil // another host took 500 meanwhile
		}
		return proposed, nil
	}
	out, err := plugin.Create([]byte(given))
	if err != nil || !strings.Contains(string(out), `"vni":"501"`) && !strings.Contains(string(out), `"vni": "501"`) ||
		!strings.Contains(string(out), `"subnet":"10.0.0.0/24"`) {
		t.Errorf("got %s, %v", out, err)
	}
	want := []string{"", string(whole(500, "10.0.0.0/24")), string(whole(501, "10.0.0.0/24"))}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
	// What this host cannot have is not claimed.
	asked = nil
	agent.define = func(_, proposed []byte) ([]byte, error) {
		asked = append(asked, string(proposed))
		return whole(500, "198.18.0.0/16"), nil
	}
	if _, err := plugin.Create([]byte(given)); err == nil || !strings.Contains(err.Error(), "overlaps the underlay") ||
		len(asked) != 1 {
		t.Errorf("got %v, asked %q", err, asked)
	}
	agent.define = nil
	agent.err = errors.New("vxland: network net: look it up in etcd: connection refused")
	if _, err := plugin.Create([]byte(given)); !errors.Is(err, agent.err) {
		t.Errorf("got %v", err)
	}
}
