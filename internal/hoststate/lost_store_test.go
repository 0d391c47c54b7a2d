package hoststate

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
)

// reload is what `vxlanctl reload` does.
func reload(t *testing.T, h *Host) error {
	t.Helper()
	s, err := h.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	networks, err := s.Networks()
	if err != nil {
		t.Error(err)
	}
	err = s.Reconcile(networks, ScopeReset)
	if err := s.RemoveUnused(); err != nil {
		t.Error(err)
	}
	return err
}

// Without the store, containers that run keep their rules and devices, whatever comes; and the last
// one takes all along.
func TestLostStoreLeavesRunningContainers(t *testing.T) {
	k, h, _ := newHostWithOrphans(t)
	host := k.HostNamespace()
	empty := host.Links()
	connectContainer(t, h, 1)
	id, second := connectContainer(t, h, 2)
	want, links := host.Firewall(), host.Links()
	if err := os.RemoveAll(filepath.Join(h.StoreDir, "networks")); err != nil {
		t.Fatal(err)
	}
	if err := reload(t, h); err == nil || !strings.Contains(err.Error(), "has the interface") {
		t.Errorf("reload says %v", err)
	}
	if got := host.Firewall(); !reflect.DeepEqual(got, want) || !reflect.DeepEqual(host.Links(), links) {
		t.Errorf("reload left %v, %v; want %v, %v", got, host.Links(), want, links)
	}
	host.AlterRules()
	if err := disconnectContainer(t, h, id, second); err != nil {
		t.Error(err)
	}
	connectContainer(t, h, 2)
	if got := host.Firewall(); !reflect.DeepEqual(got, want) {
		t.Errorf("after disconnect and connect: %v; want %v", got, want)
	}
	_, first := connectContainer(t, h, 1)
	for _, e := range []string{first.ContainerID, second.ContainerID} {
		second.ContainerID = e
		if err := disconnectContainer(t, h, id, second); err != nil {
			t.Error(err)
		}
	}
	if got := host.Links(); !reflect.DeepEqual(got, empty) || host.Firewall() != nil {
		t.Errorf("left %+v, %v", got, host.Firewall())
	}
}

// Devices that are marked as this project's, and that nobody uses, go by reload; what is somebody
// else's stays.
func TestReloadRemovesUnusedDevices(t *testing.T) {
	k, h := newTestHost(t)
	host := k.HostNamespace()
	host.Add(kernel.Link{Name: "br-mine", Kind: kernel.KindBridge, Alias: "of the administrator"})
	host.Add(kernel.Link{Name: "wg0", Kind: kernel.KindWireGuard, Alias: "of the administrator"})
	want := host.Links()
	host.Add(kernel.Link{Name: "br-old", Kind: kernel.KindBridge, Alias: "vxlan-driver network 99 old"})
	host.Add(kernel.Link{Name: "vx-old", Kind: kernel.KindVXLAN, Master: "br-old", Alias: "vxlan-driver network 99 old"})
	host.Add(kernel.Link{Name: "wg0-old", Kind: kernel.KindWireGuard, Alias: "vxlan-driver network 99 old"})
	host.Add(kernel.Link{Name: "wg1-old", Kind: kernel.KindTun, Alias: "vxlan-driver network 99 old"})
	if err := reload(t, h); err != nil {
		t.Error(err)
	}
	if got := host.Links(); !reflect.DeepEqual(got, want) {
		t.Errorf("left %+v", got)
	}
}

// A bridge and a VXLAN device that somebody renamed are made anew under their names; nothing of the
// old ones is left.
func TestRenamedDevicesArePutRight(t *testing.T) {
	for _, name := range []string{"vxlan-blue", "br-blue"} {
		k, h := newTestHost(t)
		host := k.HostNamespace()
		connectContainer(t, h, 1)
		want := len(host.Links())
		host.Edit(name, func(l *kernel.Link) { l.Name = "foo" })
		for _, l := range host.Links() {
			if l.Master == name {
				host.Edit(l.Name, func(l *kernel.Link) { l.Master = "foo" })
			}
		}
		if err := reload(t, h); err != nil {
			t.Error(err)
		}
		got := host.Links()
		if len(got) != want {
			t.Errorf("%s: left %+v", name, got)
		}
		for _, l := range got {
			if l.Name == "foo" || l.Kind == kernel.KindVXLAN && l.Master != "br-blue" || l.Kind == kernel.KindVeth && l.Master != "br-blue" {
				t.Errorf("%s: got %+v", name, l)
			}
		}
	}
}

// A damaged file of what can be found out anew is no trouble for anybody.
func TestDamagedDerivedFiles(t *testing.T) {
	for _, file := range []string{"peers.json", "vtep.json", "dns-port"} {
		for _, text := range []string{"", "{", "[7"} {
			k, h := newTestHost(t)
			connectContainer(t, h, 1)
			want := k.HostNamespace().Firewall()
			if err := os.WriteFile(filepath.Join(h.StoreDir, "networks/7c7b", file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := reload(t, h); err != nil {
				t.Errorf("%s with %q: %v", file, text, err)
			}
			k.HostNamespace().FlushRuleset()
			id, second := connectContainer(t, h, 2)
			if err := disconnectContainer(t, h, id, second); err != nil {
				t.Errorf("%s with %q: %v", file, text, err)
			}
			if got := k.HostNamespace().Firewall(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s with %q: got %v, want %v", file, text, got, want)
			}
		}
	}
}
