package plugin

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
)

func TestTeardownIsCompleteAndRepeatable(t *testing.T) {
	k, plugin := newFakeHost(t)
	empty := k.HostNamespace().Links()
	for i := range 2 {
		ns, r := request(testNetwork, i+1)
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
	}
	ns1, r1 := request(testNetwork, 1)
	ns2, r2 := request(testNetwork, 2)
	// The first container's namespace is gone already.
	k.RemoveNamespace(ns1)
	for range 2 {
		if err := plugin.Teardown(ns1, r1); err != nil {
			t.Fatal(err)
		}
		if len(k.HostNamespace().Links()) != 4 || len(storedFiles(t, plugin)) != 3 {
			t.Fatalf("the other container lost something: %+v %v", k.HostNamespace().Links(), storedFiles(t, plugin))
		}
	}
	// The network has become invalid meanwhile.
	r2.Network = []byte(strings.Replace(testNetwork, `"vni": "100"`, `"vni": "x", "gone": "1"`, 1))
	for range 2 {
		if err := plugin.Teardown(ns2, r2); err != nil {
			t.Fatal(err)
		}
		if got := k.HostNamespace().Links(); !reflect.DeepEqual(got, empty) {
			t.Errorf("left %+v", got)
		}
		if files := storedFiles(t, plugin); len(files) > 0 {
			t.Errorf("left %v", files)
		}
	}
}

// A teardown that fails somewhere removes the rest, says so, and the next one finishes.
func TestTeardownThatFailsAtAnyCallIsFinishedByTheNext(t *testing.T) {
	for i := 1; ; i++ {
		k, plugin := newFakeHost(t)
		empty := k.HostNamespace().Links()
		ns, r := request(testNetwork, 1)
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		k.FailAt = k.Calls + i
		err := plugin.Teardown(ns, r)
		if err == nil {
			return
		}
		if !errors.Is(err, fakekernel.ErrInjected) {
			t.Errorf("call %d: %v", i, err)
		}
		if len(storedFiles(t, plugin)) == 0 {
			t.Errorf("call %d: the record is gone, but the kernel may not be clean", i)
		}
		if err := plugin.Teardown(ns, r); err != nil {
			t.Errorf("call %d, again: %v", i, err)
		}
		if got := k.HostNamespace().Links(); !reflect.DeepEqual(got, empty) {
			t.Errorf("call %d: left %+v", i, got)
		}
	}
}

// Devices of those names that this project did not make stay.
func TestTeardownLeavesOthersDevices(t *testing.T) {
	k, plugin := newFakeHost(t)
	k.HostNamespace().Add(kernel.Link{Name: "br-vx-eaf72b2d", Kind: kernel.KindBridge, Up: true})
	// Of the right kind and name, not marked, and in use.
	k.HostNamespace().Add(kernel.Link{Name: "vx-eaf72b2d", Kind: kernel.KindVXLAN, Up: true, Tunnel: kernel.Tunnel{VNI: 7, Port: 4789}})
	before := k.HostNamespace().Links()
	ns, r := request(testNetwork, 1)
	if err := plugin.Teardown(ns, r); err != nil {
		t.Fatal(err)
	}
	if after := k.HostNamespace().Links(); !reflect.DeepEqual(before, after) {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
}

// Without the store the container's own veth goes all the same, and the error is reported.
func TestTeardownWithoutTheStore(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	plugin.StoreDir = "/proc/none"
	if err := plugin.Teardown(ns, r); err == nil {
		t.Error("no error")
	}
	if got := len(k.HostNamespace().Links()); got != 3 {
		t.Errorf("%d links are left, want eth0, bridge and VXLAN device", got)
	}
}

func TestTeardownRefusesAnIDThatIsAPath(t *testing.T) {
	_, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	r.ContainerID = "../../etc"
	if err := plugin.Teardown(ns, r); err == nil || !strings.Contains(err.Error(), "container id") {
		t.Errorf("got %v", err)
	}
}

// A port that the user added to the bridge keeps the network up.
func TestTeardownKeepsABridgeWithAnotherPort(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	k.HostNamespace().Add(kernel.Link{Name: "tap0", Master: "br-vx-eaf72b2d"})
	if err := plugin.Teardown(ns, r); err != nil {
		t.Fatal(err)
	}
	if len(k.HostNamespace().Links()) != 4 {
		t.Errorf("left %+v", k.HostNamespace().Links())
	}
}

// The other's port has a name of its user's choice, and somebody took it off the bridge.
func TestTeardownKeepsABridgeWhoseOtherPortIsOffIt(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 2)
	r.Options = []byte(`{"interface_name": "eth0", "static_ips": ["10.0.0.3"], "options": {"host_interface_name": "web0"}}`)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	ns, r = request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	k.HostNamespace().Edit("web0", func(l *kernel.Link) { l.Master = "" })
	if err := plugin.Teardown(ns, r); err != nil {
		t.Fatal(err)
	}
	if got := k.HostNamespace().Links(); len(got) != 4 { // eth0, bridge, VXLAN device, web0
		t.Errorf("left %+v", got)
	}
}

func TestRootlessIsRefused(t *testing.T) {
	_, plugin := newFakeHost(t)
	plugin.Rootless = true
	ns, r := request(testNetwork, 1)
	_, createErr := plugin.Create([]byte(testNetwork))
	_, setupErr := plugin.Setup(ns, r)
	for _, err := range []error{createErr, setupErr, plugin.Teardown(ns, r)} {
		if err == nil || !strings.Contains(err.Error(), "has no physical interface") {
			t.Errorf("got %v", err)
		}
	}
}
