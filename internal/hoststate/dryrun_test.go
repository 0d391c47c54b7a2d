package hoststate

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
)

// snapshotStore returns the files of the store with their content.
func snapshotStore(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A host that is as it should be needs no change. What is altered is named by the command that
// mends it, and stays altered.
func TestInspectFindsDrift(t *testing.T) {
	gateway := kernel.Addr{Prefix: netip.MustParsePrefix("10.0.0.1/24")}
	tests := []struct {
		name  string
		alter kernel.Change // nil: nothing
		path  string        // of the namespace
		want  string        // begin of the only change; "": none
	}{
		{"nothing", nil, "", ""},
		{"bridge lost", kernel.DeleteLink{Name: "br-blue"}, "", "ip link add br-blue"},
		{"MTU", kernel.SetMTU{Name: "br-blue", MTU: 1300}, "", "ip link set br-blue mtu 1450"},
		{"gateway", kernel.DelAddr{Name: "br-blue", Addr: gateway}, "", "ip address add 10.0.0.1/24 dev br-blue"},
		{"flood entry", kernel.DelFDB{Name: "vxlan-blue", FDB: kernel.FDB{Dst: netip.MustParseAddr("198.18.0.11")}}, "", "bridge fdb append 00:00:00:00:00:00 dev vxlan-blue dst 198.18.0.11"},
		{"rules", kernel.DeleteFirewall{}, "", "nft load tables"},
		{"container", kernel.DelAddr{Name: "eth0", Addr: kernel.Addr{Prefix: netip.MustParsePrefix("10.0.0.2/24")}}, "/ns/1", "ip address add 10.0.0.2/24 dev eth0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, h := newTestHost(t)
			connectContainer(t, h, 1)
			if tt.alter != nil {
				ns, err := h.Open(tt.path)
				if err != nil {
					t.Fatal(err)
				}
				if err := ns.Apply(tt.alter); err != nil {
					t.Fatal(err)
				}
			}
			before := snapshotStore(t, h.StoreDir)
			for range 2 { // the second run finds the same: the first one mended nothing
				found, err := h.Inspect()
				if err != nil || found.Err != nil || len(found.Networks) != 1 || len(found.MissingPorts) != 0 || len(found.Warnings) != 0 {
					t.Fatalf("%+v, %v", found, err)
				}
				switch {
				case tt.want == "" && len(found.Changes) != 0:
					t.Errorf("changes %v", found.Changes)
				case tt.want != "" && (len(found.Changes) == 0 || !strings.HasPrefix(found.Changes[0].Change.String(), tt.want)):
					t.Errorf("changes %v, want %s", found.Changes, tt.want)
				}
				for _, c := range found.Changes {
					if inside := tt.path != ""; inside != (c.Namespace != "") || inside != (c.Container != "") && c.Container != "" {
						t.Errorf("in namespace %q of %q: %v", c.Namespace, c.Container, c.Change)
					}
				}
			}
			if after := snapshotStore(t, h.StoreDir); !maps.Equal(before, after) {
				t.Errorf("the store was changed: %v", after)
			}
		})
	}
}

// Elements of endpoints, which a reload adds each time, are no drift while they are there.
func TestInspectKnowsElements(t *testing.T) {
	_, h := newTestHost(t)
	connectContainer(t, h, 1)
	ns, err := h.Open("")
	if err != nil {
		t.Fatal(err)
	}
	changes := new(changeRecorder)
	dry := &recordingNamespace{ns, changes, ""}
	there, err := ns.FirewallElements()
	if err != nil || len(there) == 0 {
		t.Fatalf("%v, %v", there, err)
	}
	port := kernel.Element{Set: kernel.Bridges, Key: kernel.Device("other")}
	for _, c := range []kernel.Change{kernel.AddElements{Elements: there[:1]}, kernel.ReplaceElements{Old: []kernel.Element{port}, New: there[:1]}} {
		if err := dry.Apply(c); err != nil || len(changes.made) != 0 {
			t.Errorf("%v: %v, %v", c, changes.made, err)
		}
	}
	if err := dry.Apply(kernel.AddElements{Elements: []kernel.Element{there[0], port}}); err != nil || len(changes.made) != 1 || strings.Contains(changes.made[0].Change.String(), "br-blue") {
		t.Errorf("%v, %v", changes.made, err)
	}
}

// A network whose MTU has to follow the underlay's is said to, again and again: nothing is stored.
func TestInspectStoresNoPlace(t *testing.T) {
	k, h := newTestHost(t)
	connectContainer(t, h, 1)
	if err := k.HostNamespace().Apply(kernel.SetMTU{Name: "eth0", MTU: 1400}); err != nil {
		t.Fatal(err)
	}
	before := snapshotStore(t, h.StoreDir)
	for range 2 {
		found, err := h.Inspect()
		if err != nil || len(found.Warnings) != 1 || !strings.Contains(found.Warnings[0], "has an MTU of 1350 now, no longer 1450") {
			t.Errorf("%v, %v", found.Warnings, err)
		}
	}
	if after := snapshotStore(t, h.StoreDir); !maps.Equal(before, after) {
		t.Errorf("the store was changed: %v", after)
	}
}

// A container without a port is named: only Podman can connect it again.
func TestInspectFindsMissingPort(t *testing.T) {
	_, h := newTestHost(t)
	id, e := connectContainer(t, h, 1)
	ns, err := h.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Apply(kernel.DeleteLink{Name: id.Port(e)}); err != nil {
		t.Fatal(err)
	}
	found, err := h.Inspect()
	if err != nil || len(found.MissingPorts) != 1 || found.MissingPorts[0].Network != "blue" || found.MissingPorts[0].Port != id.Port(e) {
		t.Errorf("%+v, %v", found.MissingPorts, err)
	}
}

// A network that has no place on the host is named with what is wrong.
func TestMisplaced(t *testing.T) {
	_, h := newTestHost(t)
	wrong := strings.ReplaceAll(testConfig, `"physical_interface": "eth0"`, `"physical_interface": "eth7"`)
	for name, config := range map[string]string{"blue": testConfig, "red": strings.NewReplacer(`"blue"`, `"red"`, "7c7b", "8d8c").Replace(wrong)} {
		if err := os.WriteFile(filepath.Join(h.NetworksDir, name+".json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := h.Misplaced(nil)
	if err != nil || len(found) != 1 || found["red"] == nil || !strings.Contains(found["red"].Error(), "eth7") {
		t.Errorf("%v, %v", found, err)
	}
}
