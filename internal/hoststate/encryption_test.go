package hoststate

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/network"
)

var encryptedConfig = strings.NewReplacer(`"vni"`, `"encryption": "wireguard", "vni"`, `"dns_enabled": false`,
	`"dns_enabled": true`).Replace(testConfig)

// entriesOf returns how the network's VXLAN device sends to other hosts, and whether it learns.
func entriesOf(k *fakekernel.Kernel) (entries []kernel.FDB, learns bool) {
	for _, l := range k.HostNamespace().Links() {
		if l.Kind == kernel.KindVXLAN {
			return l.FDB, l.Tunnel.Learning
		}
	}
	return nil, false
}

// newEncryptedHost returns a host with one container on an encrypted network, of which the agent knows
// one more host.
func newEncryptedHost(t *testing.T) (k *fakekernel.Kernel, h *Host, id network.Identity, e network.Endpoint) {
	t.Helper()
	k, h = newTestHost(t)
	id, e = connectContainerTo(t, h, encryptedConfig, 1)
	if entries, learns := entriesOf(k); len(entries) > 0 || learns {
		t.Errorf("before there is an agent: %v, learns: %v", entries, learns)
	}
	return k, h, id, e
}

func setPeers(t *testing.T, h *Host, p network.Peers) {
	t.Helper()
	s, err := h.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	networks, err := s.Networks()
	if err != nil || len(networks) != 1 {
		t.Fatal(networks, err)
	}
	if err := s.SetPeers(&networks[0], p); err != nil {
		t.Fatal(err)
	}
}

var encryptedPeers = network.Peers{Flood: []netip.Addr{netip.MustParseAddr("198.18.0.11")}, AgentPort: 7947,
	WireGuard: "wg0-blue"}

// Frames leave by the WireGuard device that the agent has recorded, for as long as it is there.
func TestEncryptedNetworkSendsByWireGuardOnly(t *testing.T) {
	k, h, id, e := newEncryptedHost(t)
	host := k.HostNamespace()
	other := encryptedPeers.Flood[0]
	want := []kernel.FDB{{Dst: other, Via: "wg0-blue"}}
	device := kernel.Link{Name: "wg0-blue", Kind: kernel.KindTun, Alias: id.Alias()}
	setPeers(t, h, encryptedPeers)
	for range 2 {
		if err := reload(t, h); err != nil {
			t.Error(err)
		}
		if entries, _ := entriesOf(k); len(entries) > 0 {
			t.Errorf("without the device: %v", entries)
		}
		host.Add(device)
		connectContainerTo(t, h, encryptedConfig, 2)
		if err := reload(t, h); err != nil {
			t.Error(err)
		}
		if entries, learns := entriesOf(k); !slices.Equal(entries, want) || learns {
			t.Errorf("with the device: %v, learns: %v", entries, learns)
		}
		host.Edit("vxlan-blue", func(l *kernel.Link) { l.FDB, l.Tunnel.Learning = []kernel.FDB{{Dst: other}}, true })
		if err := reload(t, h); err != nil {
			t.Error(err)
		}
		if entries, learns := entriesOf(k); !slices.Equal(entries, want) || learns {
			t.Errorf("after somebody altered it: %v, learns: %v", entries, learns)
		}
		if err := disconnectContainer(t, h, id, network.Endpoint{ContainerID: "c2"}); err != nil {
			t.Error(err)
		}
		if err := host.Apply(kernel.DeleteLink{Name: "wg0-blue"}); err != nil {
			t.Error(err)
		}
	}
	host.Add(device)
	if err := disconnectContainer(t, h, id, e); err != nil {
		t.Error(err)
	}
	if left := host.Links(); len(left) != 1 || host.Firewall() != nil || !reflect.DeepEqual(h.Zones, firewalldZones{}) {
		t.Errorf("left %+v, %v, %v", left, host.Firewall(), h.Zones)
	}
}

// A device of that name that somebody else made is nobody's to delete.
func TestForeignWireGuardDeviceStays(t *testing.T) {
	k, h, id, e := newEncryptedHost(t)
	k.HostNamespace().Add(kernel.Link{Name: "wg0-blue", Kind: kernel.KindWireGuard, Alias: "uplink"})
	if err := disconnectContainer(t, h, id, e); err != nil {
		t.Error(err)
	}
	if _, err := k.HostNamespace().Link("wg0-blue", 0); err != nil {
		t.Error(err)
	}
}

// Nothing is led to it either, and containers start.
func TestNoEntryByForeignWireGuardDevice(t *testing.T) {
	k, h, _, _ := newEncryptedHost(t)
	k.HostNamespace().Add(kernel.Link{Name: "wg0-blue", Kind: kernel.KindVeth})
	setPeers(t, h, encryptedPeers)
	if err := reload(t, h); err != nil {
		t.Error(err)
	}
	if got, _ := entriesOf(k); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}

// An agent that ends leaves the entries of an encrypted network, although it has a list of hosts: by
// that nobody knows a key.
func TestEncryptedNetworkDoesNotFallBack(t *testing.T) {
	k, h, id, _ := newEncryptedHost(t)
	k.HostNamespace().Add(kernel.Link{Name: "wg0-blue", Kind: kernel.KindTun, Alias: id.Alias()})
	setPeers(t, h, encryptedPeers)
	if err := reload(t, h); err != nil {
		t.Error(err)
	}
	want, _ := entriesOf(k)
	if err := h.FallBackToStatic(); err != nil {
		t.Error(err)
	}
	if got, learns := entriesOf(k); len(got) == 0 || !slices.Equal(got, want) || learns {
		t.Errorf("got %v, learns: %v; want %v", got, learns, want)
	}
}

// firewalld would drop the VXLAN packets that come by the devices.
func TestFirewalldTrustsWireGuardDevices(t *testing.T) {
	_, h, _, _ := newEncryptedHost(t)
	if want := (firewalldZones{"br-blue": true, "wg0-blue": true, "wg1-blue": true}); !reflect.DeepEqual(h.Zones, want) {
		t.Errorf("got %v", h.Zones)
	}
}
