package plugin

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/golden"
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
		golden.Compare(t, file, strings.Join(k.Log, "\n")+"\n")
	}
	k.Log = nil
	for i := range 2 {
		ns, r := request(testNetwork, i+1)
		if err := plugin.Teardown(ns, r); err != nil {
			t.Fatal(err)
		}
	}
	golden.Compare(t, "teardown.golden", strings.Join(k.Log, "\n")+"\n")
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
