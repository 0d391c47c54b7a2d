package reconcile

import (
	"slices"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/plan"
)

var (
	localMAC  = kernel.MAC{2, 4: 9, 5: 1}
	localPort = kernel.FastPathPort{Name: "veth1", MAC: localMAC, Alias: "c1"}
)

// setFastPath connects a container here and one on another host.
func setFastPath(t *testing.T, host *fakekernel.Namespace) {
	t.Helper()
	want := kernel.FastPath{Device: "vx0", Bridge: "br0", Remote: []kernel.MAC{mac1}, Ports: []kernel.FastPathPort{localPort}}
	if err := host.SetFastPath(want); err != nil {
		t.Fatal(err)
	}
}

// fastPathPorts returns the ports whose packets pass the fast path in either direction.
func fastPathPorts(host *fakekernel.Namespace) []kernel.FastPathPort {
	return append(host.FastPathOutbound("vx0").Ports, host.FastPathInbound("vx0").Ports...)
}

// What leads to a device that is gone drops packets. So a container that comes is evicted first:
// its MAC may have been that of a container here before, or on another host.
func TestArrivingEndpointIsEvictedFromFastPath(t *testing.T) {
	k, _ := newHostWithNetwork(t)
	host := k.HostNamespace()
	host.Add(kernel.Link{Name: "veth1", Kind: kernel.KindVeth, Master: "br0", Alias: "c1"})
	evictForContainer := func(port string, mac kernel.MAC) {
		t.Helper()
		if err := evictRemote(host, port, plan.FastPathMember{Device: "vx0", MAC: mac}); err != nil {
			t.Fatal(err)
		}
	}
	setFastPath(t, host)
	host.Remove("veth1")
	evictForContainer("veth1", localMAC)
	if ports := fastPathPorts(host); len(ports) > 0 {
		t.Errorf("packets of the old port pass by %v", ports)
	}
	evictForContainer("veth3", mac1)
	if remote := host.FastPathOutbound("vx0").Remote; slices.Contains(remote, mac1) {
		t.Error("a MAC that is here now is taken for another host's")
	}
}

// A fast path to a VXLAN device goes when the device is made anew.
func TestFastPathGoesWithItsDevice(t *testing.T) {
	k, devices := newHostWithNetwork(t)
	host := k.HostNamespace()
	host.Add(kernel.Link{Name: "veth1", Kind: kernel.KindVeth, Master: "br0", Alias: "c1"})
	setFastPath(t, host)
	devices.VXLAN.Tunnel.VNI++
	if _, err := ensureDevices(host, devices); err != nil {
		t.Fatal(err)
	}
	if table := host.FastPathOutbound("vx0"); table.Exists {
		t.Errorf("of the old device there is %+v", table)
	}
}

// A container in another namespace than before has another veth, also where the first is still
// there.
func TestReplacedPortIsEvictedFromFastPath(t *testing.T) {
	k := fakekernel.New("/ns/1", "/ns/2")
	host := k.HostNamespace()
	host.Add(kernel.Link{Name: "eth0", Up: true})
	_, s := newHostWithNetwork(t)
	if _, err := ensureDevices(host, s); err != nil {
		t.Fatal(err)
	}
	for _, ns := range []string{"/ns/1", "/ns/2"} {
		container, err := k.Open(ns)
		if err != nil {
			t.Fatal(err)
		}
		e := plan.Veth{Device: "vx0", Namespace: ns,
			Port:      kernel.Link{Name: "veth1", Kind: kernel.KindVeth, Alias: "c1", Master: "br0", Up: true, Peer: kernel.Peer{Name: "eth0", Namespace: ns, MAC: localMAC}},
			Container: kernel.Link{Name: "eth0", Kind: kernel.KindVeth, Alias: "net", MAC: localMAC, Up: true}}
		if _, err := ensureVeth(Namespaces{host, container}, e); err != nil {
			t.Fatal(err)
		}
		if ports := fastPathPorts(host); len(ports) > 0 {
			t.Errorf("after the setup in %s packets pass by %v", ns, ports)
		}
		setFastPath(t, host)
	}
}
