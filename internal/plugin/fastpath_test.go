package plugin

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// redNetwork is another one than testNetwork.
var redNetwork = strings.NewReplacer("vxlan-network", "red", "7c7b", "8d8d", `"100"`, `"200"`).Replace(testNetwork)

// fastPathPorts returns the ports whose packets pass the fast paths of all VXLAN devices, in which
// direction.
func fastPathPorts(host *fakekernel.Namespace) (all []string) {
	for _, l := range host.Links() {
		for _, p := range host.FastPathOutbound(l.Name).Ports {
			all = append(all, "from "+p.Name)
		}
		for _, p := range host.FastPathInbound(l.Name).Ports {
			all = append(all, "to "+p.Name)
		}
	}
	return all
}

// What leads past the bridge to a container, or from it, goes with it, however it goes.
func TestFastPathGoesWithTheContainer(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	other, second := request(testNetwork, 2)
	_, err1 := plugin.Setup(ns, r)
	_, err2 := plugin.Setup(other, second)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	learnPeers(t, plugin)
	if got := fastPathPorts(k.HostNamespace()); len(got) != 4 {
		t.Fatalf("two containers have %v", got)
	}
	if err := plugin.Teardown(ns, r); err != nil {
		t.Fatal(err)
	}
	if got := fastPathPorts(k.HostNamespace()); len(got) != 2 {
		t.Errorf("after a teardown there is %v", got)
	}
	// It comes with the MAC of a container that the other host had.
	r.Options = []byte(`{"interface_name": "eth0", "static_ips": ["10.0.0.9"], "static_mac": "02:00:00:00:00:09"}`)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	device, err := network.ParseIdentity([]byte(testNetwork))
	if err != nil {
		t.Fatal(err)
	}
	if table := k.HostNamespace().FastPathOutbound(device.Device.Name); !table.Exists || len(table.Remote) != 0 {
		t.Errorf("on other hosts: %+v", table)
	}
	if err := errors.Join(plugin.Teardown(ns, r), plugin.Teardown(other, second)); err != nil {
		t.Fatal(err)
	}
	if table := k.HostNamespace().FastPathOutbound(device.Device.Name); table.Exists {
		t.Errorf("after the last teardown: %+v", table)
	}
}

// A port's name that a user chose may have been another container's, which was lost with its
// namespace.
func TestInterfaceNameReclaimedFromDeadContainer(t *testing.T) {
	k, plugin := newFakeHost(t)
	named := []byte(`{"interface_name": "eth0", "static_ips": ["10.0.0.2"], "options": {"host_interface_name": "web0"}}`)
	ns, r := request(testNetwork, 1)
	r.Options = named
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	learnPeers(t, plugin)
	if got := fastPathPorts(k.HostNamespace()); fmt.Sprint(got) != "[from web0 to web0]" {
		t.Fatalf("got %v", got)
	}
	k.RemoveNamespace(ns)
	ns, r = request(redNetwork, 2)
	r.Options = named
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	if got := fastPathPorts(k.HostNamespace()); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}

// Where the kernel cannot do it, all passes the bridge, and nobody is told twice.
func TestKernelWithoutFastPath(t *testing.T) {
	k, plugin := newFakeHost(t)
	k.HostNamespace().NoFastPath = true
	var warnings []string
	plugin.Warn = func(message string) { warnings = append(warnings, message) }
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	learnPeers(t, plugin)
	learnPeers(t, plugin)
	if got := fastPathPorts(k.HostNamespace()); len(got) > 0 || len(warnings) != 1 {
		t.Errorf("got %v, warnings %q", got, warnings)
	}
	if err := plugin.Teardown(ns, r); err != nil {
		t.Error(err)
	}
}

// Where forwarding fails nothing leads past it yet, but what is not wanted any more goes.
func TestFastPathWhereForwardingFails(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	learnPeers(t, plugin)
	s, locals := beginSession(t, plugin)
	defer s.Close()
	err := s.SetPeers(&locals[0], network.Peers{Flood: []netip.Addr{netip.MustParseAddr("198.18.0.11")}, AgentPort: 7947})
	if err != nil {
		t.Fatal(err)
	}
	k.FailAt = k.Calls + 2 // the tables
	if err := s.Forward(locals[0], plan.Known{WishFastPath: plan.WishFastPath}); err == nil {
		t.Error("no error")
	}
	if got := fastPathPorts(k.HostNamespace()); len(got) > 0 {
		t.Errorf("a network that learns has %v", got)
	}
}
