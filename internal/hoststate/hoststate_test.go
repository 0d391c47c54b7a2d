package hoststate

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/network"
)

// Setups and teardowns as a whole are tested in package plugin.

const testConfig = `{"name": "blue", "driver": "vxlan", "id": "7c7b", "network_interface": "br-blue",
  "options": {"vni": "100", "local_ip": "198.18.0.10", "remote_ips": "198.18.0.11", "physical_interface": "eth0"},
  "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}], "dns_enabled": false, "internal": false, "ipv6_enabled": false}`

// firewalldZones are the devices that firewalld trusts.
type firewalldZones map[string]bool

func (z firewalldZones) Trust(device string) error   { z[device] = true; return nil }
func (z firewalldZones) Untrust(device string) error { delete(z, device); return nil }

// newTestHost returns a fake host with the underlay interface eth0 and the containers' namespaces
// /ns/1 and /ns/2.
func newTestHost(t *testing.T) (*fakekernel.Kernel, *Host) {
	t.Helper()
	k := fakekernel.New("/ns/1", "/ns/2")
	k.HostNamespace().Add(kernel.Link{Name: "eth0", MTU: 1500, Up: true, Addrs: []kernel.Addr{{Prefix: netip.MustParsePrefix("198.18.0.10/24")}}})
	return k, &Host{
		Open: func(path string) (Namespace, error) {
			ns, err := k.Open(path)
			if err != nil {
				return nil, err
			}
			return ns, nil
		},
		StoreDir: t.TempDir(), NetworksDir: t.TempDir(), SysctlDir: t.TempDir(),
		Zones: firewalldZones{}, Warn: func(message string) { t.Error(message) },
	}
}

// connectContainer connects container number i.
func connectContainer(t *testing.T, h *Host, i int) (network.Identity, network.Endpoint) {
	t.Helper()
	return connectContainerTo(t, h, testConfig, i)
}

func connectContainerTo(t *testing.T, h *Host, config string, i int) (network.Identity, network.Endpoint) {
	t.Helper()
	s, err := h.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := s.Place([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	e, err := network.ParseEndpoint(p.Network, network.AttachRequest{ContainerID: fmt.Sprintf("c%d", i), Namespace: fmt.Sprintf("/ns/%d", i),
		Options: fmt.Appendf(nil, `{"interface_name": "eth0", "static_ips": ["10.0.0.%d"]}`, i+1)})
	if err != nil {
		t.Fatal(err)
	}
	container, err := h.Open(e.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = s.Prepare(p, e); err != nil {
		t.Fatal(err)
	}
	report, err := s.Connect(p, e, container, []byte(config))
	if err != nil || report.Announced == p.HasNames() || !report.DevicesReady || report.MAC != e.MAC {
		t.Fatalf("%+v, %v", report, err)
	}
	return p.Identity, e
}

func disconnectContainer(t *testing.T, h *Host, id network.Identity, e network.Endpoint) error {
	t.Helper()
	s, err := h.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Disconnect(id, e)
}

// A record that somebody broke keeps neither another container from going, nor the network alive
// when its own goes.
func TestDisconnectBesideBrokenRecord(t *testing.T) {
	k, h := newTestHost(t)
	id, first := connectContainer(t, h, 1)
	_, second := connectContainer(t, h, 2)
	broken := filepath.Join(h.StoreDir, "networks/7c7b/endpoints/c2.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := disconnectContainer(t, h, id, first); err != nil {
		t.Error(err)
	}
	if got := len(k.HostNamespace().Links()); got != 4 { // eth0, both devices, the second one's port
		t.Errorf("%d links are left", got)
	}
	if err := disconnectContainer(t, h, id, second); err != nil {
		t.Error(err)
	}
	if got := k.HostNamespace().Links(); len(got) != 1 {
		t.Errorf("left %+v", got)
	}
}

// firewalld trusts no bridge that something else made, whatever its name.
func TestForeignBridgeIsNotTrusted(t *testing.T) {
	k, h := newTestHost(t)
	connectContainer(t, h, 1)
	zones := h.Zones.(firewalldZones)
	if !zones["br-blue"] {
		t.Fatal("the network's bridge is not trusted")
	}
	delete(zones, "br-blue")
	k.HostNamespace().Remove("br-blue")
	k.HostNamespace().Add(kernel.Link{Name: "br-blue", Kind: kernel.KindBridge, Up: true})
	s, err := h.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	networks, err := s.Networks()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reconcile(networks, ScopeFull); err == nil || !strings.Contains(err.Error(), "which this network did not make") {
		t.Errorf("got %v", err)
	}
	if zones["br-blue"] {
		t.Error("it is trusted")
	}
}

// Whoever waits for one network hears of its errors, and of those that are about none.
func TestFilterByNetwork(t *testing.T) {
	all := errors.Join(
		wrapNetworkError("n1", errors.New("first")),
		errors.Join(wrapNetworkError("n2", errors.New("second")), errors.New("the lock")),
		fmt.Errorf("outer: %w", wrapNetworkError("n1", errors.New("wrapped"))))
	for id, want := range map[string]string{
		"n1": "first\nthe lock\nouter: wrapped",
		"n2": "second\nthe lock",
		"n3": "the lock",
	} {
		if got := FilterByNetwork(id, all); got == nil || got.Error() != want {
			t.Errorf("of %s: %v", id, got)
		}
	}
	if err := errors.Join(FilterByNetwork("n1", nil), FilterByNetwork("n3", wrapNetworkError("n1", errors.New("first")))); err != nil {
		t.Error(err)
	}
}
