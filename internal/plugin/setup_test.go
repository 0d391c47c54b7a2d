package plugin

import (
	"encoding/json"
	"errors"
	"io/fs"
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
)

// The commands that the documented network comes down to, first container and second.
func TestSetupMakesTheseChanges(t *testing.T) {
	k, plugin := newFakeHost(t)
	for i, file := range []string{"first.golden", "second.golden"} {
		k.Log = nil
		ns, r := request(testNetwork, i+1)
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		compareGolden(t, file, strings.Join(k.Log, "\n")+"\n")
	}
	k.Log = nil
	for i := range 2 {
		ns, r := request(testNetwork, i+1)
		if err := plugin.Teardown(ns, r); err != nil {
			t.Fatal(err)
		}
	}
	compareGolden(t, "teardown.golden", strings.Join(k.Log, "\n")+"\n")
}

func TestSetupAnswersWhatPodmanShows(t *testing.T) {
	_, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
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

func TestSetupAgainChangesNothing(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	for range 2 {
		k.Log = nil
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.Log) > 0 {
		t.Errorf("the second setup made changes:\n%s", strings.Join(k.Log, "\n"))
	}
}

// A failure at whatever call leaves nothing: links, namespaces, files.
func TestSetupThatFailsAtAnyCallLeavesNothing(t *testing.T) {
	for i := 1; ; i++ {
		k, plugin := newFakeHost(t)
		before := k.HostNamespace().Links()
		k.FailAt = i
		ns, r := request(testNetwork, 1)
		_, err := plugin.Setup(ns, r)
		if k.Calls < i {
			if err != nil {
				t.Fatal(err)
			}
			if i < 20 {
				t.Fatalf("only %d calls were made to fail", i)
			}
			return
		}
		if !errors.Is(err, fakekernel.ErrInjected) {
			t.Errorf("call %d: setup returned %v", i, err)
		}
		if after := k.HostNamespace().Links(); !reflect.DeepEqual(before, after) {
			t.Errorf("call %d: left %+v", i, after)
		}
		if files := storedFiles(t, plugin); len(files) > 0 {
			t.Errorf("call %d: left %v", i, files)
		}
		inside, err := k.Open(ns)
		if err != nil {
			t.Fatal(err)
		}
		if left := inside.Links(); len(left) > 0 {
			t.Errorf("call %d: left %+v in the container", i, left)
		}
	}
}

// A failed setup of a second container does not harm the first.
func TestSetupThatFailsLeavesOthersAlone(t *testing.T) {
	for i := 1; ; i++ {
		k, plugin := newFakeHost(t)
		ns, r := request(testNetwork, 1)
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		before := k.HostNamespace().Links()
		k.FailAt = k.Calls + i
		ns, r = request(testNetwork, 2)
		if _, err := plugin.Setup(ns, r); err == nil {
			return
		}
		if after := k.HostNamespace().Links(); !reflect.DeepEqual(before, after) {
			t.Fatalf("call %d:\nbefore %+v\nafter  %+v", i, before, after)
		}
	}
}

// Killed at whatever call, in setup or teardown: what is run next, setup or teardown, ends in the
// state it should.
func TestKilledRunIsCompletedByTheNext(t *testing.T) {
	k, plugin := newFakeHost(t)
	empty := k.HostNamespace().Links()
	ns, r := request(testNetwork, 1)
	setup := func(plugin *Plugin) error { _, err := plugin.Setup(ns, r); return err }
	teardown := func(plugin *Plugin) error { return plugin.Teardown(ns, r) }
	if err := setup(plugin); err != nil {
		t.Fatal(err)
	}
	built := withoutKernelChoices(k.HostNamespace().Links())

	for _, killed := range []string{"setup", "teardown"} {
		for i := 1; ; i++ {
			for _, next := range []string{"setup", "teardown"} {
				k, plugin := newFakeHost(t)
				run := setup
				if killed == "teardown" {
					run = teardown
					if err := setup(plugin); err != nil {
						t.Fatal(err)
					}
				}
				k.DieAt = k.Calls + i
				if run(plugin) == nil {
					goto done
				}
				k.DieAt = 0
				if next == "setup" {
					if err := setup(plugin); err != nil {
						t.Errorf("%s killed at call %d, then setup: %v", killed, i, err)
					}
					if got := withoutKernelChoices(k.HostNamespace().Links()); !reflect.DeepEqual(got, built) {
						t.Errorf("%s killed at call %d, then setup:\ngot  %+v\nwant %+v", killed, i, got, built)
					}
					continue
				}
				if err := teardown(plugin); err != nil {
					t.Errorf("%s killed at call %d, then teardown: %v", killed, i, err)
				}
				if got := k.HostNamespace().Links(); !reflect.DeepEqual(got, empty) {
					t.Errorf("%s killed at call %d, then teardown: left %+v", killed, i, got)
				}
				if files := storedFiles(t, plugin); len(files) > 0 {
					t.Errorf("%s killed at call %d, then teardown: left %v", killed, i, files)
				}
			}
		}
	done:
	}
}

// withoutKernelChoices leaves out what the kernel chooses.
func withoutKernelChoices(links []kernel.Link) []kernel.Link {
	for i, l := range links {
		if l.Kind != kernel.KindBridge {
			links[i].MAC = kernel.MAC{}
		}
		// The kernel keeps a list for each family.
		slices.SortStableFunc(links[i].Addrs, func(a, b kernel.Addr) int {
			return a.Prefix.Addr().BitLen() - b.Prefix.Addr().BitLen()
		})
	}
	return links
}

// Whatever somebody did to the devices, the next setup mends it.
func TestSetupRepairs(t *testing.T) {
	extra := kernel.FDB{Dst: netip.MustParseAddr("198.18.0.99")}
	addr := kernel.Addr{Prefix: netip.MustParsePrefix("10.0.0.77/24")}
	const device, bridge = "vx-eaf72b2d", "br-vx-eaf72b2d"
	edit := func(name string, change func(*kernel.Link)) func(*fakekernel.Namespace) {
		return func(host *fakekernel.Namespace) { host.Edit(name, change) }
	}
	tests := map[string]func(*fakekernel.Namespace){
		"wrong VNI":         edit(device, func(l *kernel.Link) { l.Tunnel.VNI = 7 }),
		"wrong port":        edit(device, func(l *kernel.Link) { l.Tunnel.Port = 8472 }),
		"wrong local":       edit(device, func(l *kernel.Link) { l.Tunnel.Local = netip.MustParseAddr("198.18.0.99") }),
		"learning off":      edit(device, func(l *kernel.Link) { l.Tunnel.Learning = false }),
		"extra flood entry": edit(device, func(l *kernel.Link) { l.FDB = append(l.FDB, extra) }),
		"FDB flushed":       edit(device, func(l *kernel.Link) { l.FDB = nil }),
		"wrong MTU":         edit(device, func(l *kernel.Link) { l.MTU = 900 }),
		"wrong bridge MTU":  edit(bridge, func(l *kernel.Link) { l.MTU = 900 }),
		"device down":       edit(device, func(l *kernel.Link) { l.Up = false }),
		"bridge down":       edit(bridge, func(l *kernel.Link) { l.Up = false }),
		"device freed":      edit(device, func(l *kernel.Link) { l.Master = "" }),
		"gateway removed":   edit(bridge, func(l *kernel.Link) { l.Addrs = nil }),
		"address added":     edit(bridge, func(l *kernel.Link) { l.Addrs = append(l.Addrs, addr) }),
		"gateway's length": edit(bridge, func(l *kernel.Link) {
			l.Addrs[3].Prefix = netip.PrefixFrom(l.Addrs[3].Prefix.Addr(), 48)
		}),
		"gateway first":  edit(bridge, func(l *kernel.Link) { l.Addrs[0], l.Addrs[1] = l.Addrs[1], l.Addrs[0] }),
		"name taken off": edit(bridge, func(l *kernel.Link) { l.AltNames = nil }),
		"device gone":    func(host *fakekernel.Namespace) { host.Remove(device) },
		"device unmarked by hand": func(host *fakekernel.Namespace) {
			host.Remove(device)
			host.Add(kernel.Link{Name: device, Kind: kernel.KindVXLAN, MTU: 1500, Tunnel: kernel.Tunnel{VNI: 5, Port: 4789}})
		},
		"underlay interface replaced": func(host *fakekernel.Namespace) {
			links := host.Links()
			host.Remove("eth0")
			host.Add(links[0])
		},
	}
	for name, alter := range tests {
		t.Run(name, func(t *testing.T) {
			k, plugin := newFakeHost(t)
			ns, r := request(testNetwork, 1)
			if _, err := plugin.Setup(ns, r); err != nil {
				t.Fatal(err)
			}
			want := linksByName(k.HostNamespace().Links())
			alter(k.HostNamespace())
			if reflect.DeepEqual(linksByName(k.HostNamespace().Links()), want) {
				t.Fatal("nothing was altered")
			}
			if _, err := plugin.Setup(ns, r); err != nil {
				t.Fatal(err)
			}
			if got := linksByName(k.HostNamespace().Links()); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func linksByName(links []kernel.Link) map[string]kernel.Link {
	m := make(map[string]kernel.Link)
	for _, l := range withoutKernelChoices(links) {
		m[l.Name] = l
	}
	return m
}

// What something else made is refused, named, and not touched.
func TestSetupRefusesNamesHeldBySomethingElse(t *testing.T) {
	tests := []struct {
		name   string
		holder kernel.Link
		want   string
	}{
		{"a user's bridge in use", kernel.Link{Name: "br-vx-eaf72b2d", Kind: kernel.KindBridge, Up: true},
			`bridge "br-vx-eaf72b2d": the name is held by bridge device "br-vx-eaf72b2d" (alias ""), which this network did not make; remove or rename it`},
		{"another network's bridge", kernel.Link{Name: "br-vx-eaf72b2d", Kind: kernel.KindBridge, Alias: "vxlan-driver network x y"},
			`the name is held by bridge device "br-vx-eaf72b2d" (alias "vxlan-driver network x y")`},
		{"a veth called as the device", kernel.Link{Name: "vx-eaf72b2d", Kind: kernel.KindVeth},
			`vxlan "vx-eaf72b2d": the name is held by veth device`},
		{"a physical interface with the alternative name", kernel.Link{Name: "eth7", AltNames: []string{"vxlan-vxlan-network"}},
			"ip link property add dev vx-eaf72b2d altname vxlan-vxlan-network: file exists"},
		{"an unmarked VXLAN device in use", kernel.Link{Name: "vx-eaf72b2d", Kind: kernel.KindVXLAN, Up: true, Tunnel: kernel.Tunnel{VNI: 7, Port: 4789}},
			`the name is held by vxlan device "vx-eaf72b2d" (alias ""), which this network did not make`},
		{"another VXLAN device with the VNI", kernel.Link{Name: "vxlan7", Kind: kernel.KindVXLAN, Tunnel: kernel.Tunnel{VNI: 100, Port: 4789, Local: netip.MustParseAddr("198.18.0.10")}},
			"use another vni or vxlan_port: VNI 100 on port 4789 is held by device vxlan7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, plugin := newFakeHost(t)
			k.HostNamespace().Add(tt.holder)
			before := k.HostNamespace().Links()
			ns, r := request(testNetwork, 1)
			_, err := plugin.Setup(ns, r)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if after := k.HostNamespace().Links(); !reflect.DeepEqual(before, after) {
				t.Errorf("before %+v\nafter  %+v", before, after)
			}
		})
	}
}

func TestSetupNamesAnInterfaceThatIsThere(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	inside, err := k.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	inside.Add(kernel.Link{Name: "eth0", Kind: kernel.KindVeth})
	if _, err := plugin.Setup(ns, r); err == nil || !strings.Contains(err.Error(), `interface "eth0": the container has one of that name already, a veth device in network namespace /ns/1`) {
		t.Errorf("got %v", err)
	}
	if len(inside.Links()) != 1 {
		t.Error("the interface that was there is gone")
	}
}

// Two routes out: the container keeps what it added to its own interface.
func TestSetupAgainKeepsWhatTheContainerAdded(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	inside, err := k.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	virtual := kernel.Addr{Prefix: netip.MustParsePrefix("10.0.0.200/32")}
	inside.Edit("eth0", func(l *kernel.Link) { l.Addrs = append(l.Addrs, virtual) })
	want := inside.Links()
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	if got := inside.Links(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestSetupIntoAMissingNamespace(t *testing.T) {
	k, plugin := newFakeHost(t)
	before := k.HostNamespace().Links()
	_, r := request(testNetwork, 1)
	if _, err := plugin.Setup("/ns/none", r); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if !reflect.DeepEqual(before, k.HostNamespace().Links()) || len(storedFiles(t, plugin)) > 0 {
		t.Error("something was left")
	}
}

// An address outside this host's part is asked for before it is given; one within it if the network
// wants that.
func TestSetupRefusesAnAddressInUse(t *testing.T) {
	holder := func(addr string) kernel.ProbeAnswer {
		return kernel.ProbeAnswer{Addr: netip.MustParseAddr(addr), MAC: kernel.MAC{2, 0, 0, 0, 0, 7}}
	}
	checked := strings.ReplaceAll(testNetwork, `"vni"`, `"address_check": "true", "vni"`)
	tests := []struct {
		name, network, addr string
		held                string
		want                string
	}{
		{"outside the part, held", testNetwork, "10.0.0.70", "10.0.0.70", "address 10.0.0.70 of network vxlan-network is in use: 02:00:00:00:00:07 on host 198.18.0.11 answers for it; choose another --ip"},
		{"outside the part, free", testNetwork, "10.0.0.70", "10.0.0.71", ""},
		{"within the part", testNetwork, "10.0.0.5", "10.0.0.5", ""},
		{"within the part, checked", checked, "10.0.0.5", "10.0.0.5", "address 10.0.0.5 of network vxlan-network is in use"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, plugin := newFakeHost(t)
			k.HostNamespace().ProbeAnswers = map[kernel.ProbeAnswer]netip.Addr{holder(tt.held): netip.MustParseAddr("198.18.0.11")}
			ns, r := request(tt.network, 1)
			r.Options = json.RawMessage(`{"interface_name": "eth0", "static_ips": ["` + tt.addr + `"]}`)
			_, err := plugin.Setup(ns, r)
			switch {
			case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %s", err, tt.want)
			case err != nil && (len(k.HostNamespace().Links()) != 1 || len(storedFiles(t, plugin)) > 0):
				t.Errorf("left %v, %v", k.HostNamespace().Links(), storedFiles(t, plugin))
			}
		})
	}
}

// Containers ask the agent at their gateways, also where it is slow or cannot be started now: they
// keep these servers. Where it is not installed they ask the host's servers. The user is told.
func TestSetupHandsOutTheAgentsNameServer(t *testing.T) {
	_, plugin := newFakeHost(t)
	agent := new(fakeAgent)
	plugin.Agent = agent
	ns, r := request(testNetwork, 1)
	s, err := plugin.Setup(ns, r)
	if err != nil || len(s.DNSServerIPs) != 2 || s.DNSServerIPs[0].String() != "10.0.0.1" || s.DNSSearchDomains[0] != "dns.podman" || agent.syncs.Load() != 1 {
		t.Errorf("got %+v, %v after %d syncs", s, err, agent.syncs.Load())
	}
	if err := plugin.Teardown(ns, r); err != nil || agent.notified.Load() != 1 {
		t.Errorf("teardown: %v, the agent was told %d times", err, agent.notified.Load())
	}
	var warned string
	plugin.Warn = func(message string) { warned = message }
	for _, c := range []struct {
		err     error
		servers int
		warning string
	}{
		{notInstalledError{errors.New("it is not installed")}, 0, "network vxlan-network: no container names, only the host's name servers: it is not installed"},
		{errors.New("it ended at once"), 2, "network vxlan-network: no container names yet: it ended at once"},
		{agentError{errors.New("it is slow")}, 2, "network vxlan-network: no container names yet: it is slow"},
	} {
		agent.err = c.err
		s, err = plugin.Setup(ns, r)
		if err != nil || len(s.DNSServerIPs) != c.servers || len(s.DNSSearchDomains) != c.servers/2 || warned != c.warning {
			t.Errorf("%v: got %+v, %v, warned %q", c.err, s, err, warned)
		}
	}
	silent := strings.Replace(testNetwork, `"dns_enabled": true`, `"dns_enabled": false`, 1)
	agent.syncs.Store(0)
	ns, r = request(silent, 2)
	if _, err := plugin.Setup(ns, r); err != nil || agent.syncs.Load() != 0 {
		t.Errorf("got %v after %d syncs", err, agent.syncs.Load())
	}
}

// notInstalledError is the error of an agent that cannot be started.
type notInstalledError struct{ error }

func (notInstalledError) NotInstalled() {}

// What is no network, or one of another driver that is broken, keeps no container from starting.
func TestSetupIgnoresBrokenNetworkFiles(t *testing.T) {
	_, plugin := newFakeHost(t)
	dir := plugin.NetworksDir
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "old.json"), 0o755),
		os.Symlink("nowhere", filepath.Join(dir, "gone.json")),
		os.WriteFile(filepath.Join(dir, "half.json"), []byte("{"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := plugin.Setup(request(testNetwork, 1)); err != nil {
		t.Error(err)
	}
}

// answeringBridge has a bridge that answers for who is gone.
type answeringBridge struct{ hoststate.Namespace }

func (ns answeringBridge) ProbeAddresses(device string, from kernel.ProbeSender, addrs []netip.Addr) ([]kernel.ProbeAnswer, error) {
	if strings.HasPrefix(device, "vx") {
		return nil, nil
	}
	return ns.Namespace.ProbeAddresses(device, from, addrs)
}

// An address for which only this host's own bridge answers is free, unless it answers for a
// container of this host.
func TestSetupProbesTheOtherHostItself(t *testing.T) {
	for vtep, refused := range map[netip.Addr]bool{netip.MustParseAddr("198.18.0.11"): false, {}: true} {
		k, plugin := newFakeHost(t)
		open := plugin.Open
		plugin.Open = func(path string) (hoststate.Namespace, error) {
			ns, err := open(path)
			return answeringBridge{ns}, err
		}
		addr := netip.MustParseAddr("10.0.0.70") // of another's part
		k.HostNamespace().ProbeAnswers = map[kernel.ProbeAnswer]netip.Addr{{Addr: addr, MAC: kernel.MAC{2, 7}}: vtep}
		ns, r := request(testNetwork, 1)
		r.Options = json.RawMessage(`{"interface_name": "eth0", "static_ips": ["` + addr.String() + `"]}`)
		if _, err := plugin.Setup(ns, r); (err != nil) != refused {
			t.Errorf("held on %v: %v", vtep, err)
		}
	}
}
