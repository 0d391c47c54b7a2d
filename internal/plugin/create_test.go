package plugin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
)

func TestCreateFillsIn(t *testing.T) {
	k, plugin := newFakeHost(t)
	in := strings.ReplaceAll(testNetwork, `, "gateway": "10.0.0.1"`, "")
	in = strings.ReplaceAll(in, `"network_interface": "br-vxlan-network",`, "")
	before := len(k.Log)
	out, err := plugin.Create([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Bridge  string           `json:"network_interface"`
		Subnets []map[string]any `json:"subnets"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	subnets, err := json.Marshal(got.Subnets)
	if err != nil {
		t.Fatal(err)
	}
	// Rank 0 of three hosts: the first of four parts.
	want := `[{"gateway":"10.0.0.1","lease_range":{"end_ip":"10.0.0.62","start_ip":"10.0.0.2"},"subnet":"10.0.0.0/24"},` +
		`{"gateway":"fd00:10::1","lease_range":{"end_ip":"fd00:10::3fff:ffff:ffff:fffe","start_ip":"fd00:10::2"},"subnet":"fd00:10::/64"}]`
	if got.Bridge != "br-vx-eaf72b2d" || string(subnets) != want {
		t.Errorf("got  %s %s\nwant %s", got.Bridge, subnets, want)
	}
	if len(k.Log) != before {
		t.Errorf("create changed the host: %v", k.Log)
	}
}

// The name that the user gave the bridge, too long to be one, must find it after create and setup.
func TestCreateKeepsTheUsersBridgeName(t *testing.T) {
	k, plugin := newFakeHost(t)
	out, err := plugin.Create([]byte(testNetwork))
	if err != nil {
		t.Fatal(err)
	}
	ns, r := request(string(out), 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	l, err := k.HostNamespace().Link("br-vxlan-network", 0)
	if err != nil || l.Kind != kernel.KindBridge {
		t.Errorf("got %+v, %v", l, err)
	}
}

// One command, all its problems, also those of filling in.
func TestCreateReportsAllProblemsAtOnce(t *testing.T) {
	_, plugin := newFakeHost(t)
	bad := strings.NewReplacer(`"100"`, `"0"`, "10.0.0.0/24", "10.0.0.0/29", `"10.0.0.9"`, `"10.0.0.6"`).Replace(testNetwork)
	_, err := plugin.Create([]byte(bad))
	if err == nil || !strings.Contains(err.Error(), "2 problems") || !strings.Contains(err.Error(), "smallest that works") {
		t.Errorf("got %v", err)
	}
}

// But for the last address, which is the host's own.
func TestCreateKeepsTheUsersRange(t *testing.T) {
	_, plugin := newFakeHost(t)
	in := strings.ReplaceAll(testNetwork, `"gateway": "10.0.0.1"`, `"gateway": "10.0.0.1", "lease_range": {"start_ip": "10.0.0.100"}`)
	out, err := plugin.Create([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), `"lease_range":{"end_ip":"10.0.0.253","start_ip":"10.0.0.100"}`) {
		t.Errorf("got %s", out)
	}
}

func TestCreateRefuses(t *testing.T) {
	k, plugin := newFakeHost(t)
	k.HostNamespace().Add(kernel.Link{Name: "vxlan7", Kind: kernel.KindVXLAN, Tunnel: kernel.Tunnel{VNI: 7, Port: 4789}})
	other := strings.NewReplacer("7c7b", "ffff", "vxlan-network", "other", "fd00:10", "fd00:11", "10.0.0", "10.3.0").Replace(testNetwork)
	for name, text := range map[string]string{"other.json": other, "broken.json": "{", "other.conf": "x"} {
		if err := os.WriteFile(filepath.Join(plugin.NetworksDir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ name, old, new, want string }{
		{"a VNI of another network", "", "", `option vni "100": is used with port 4789 by network "other"; choose another vni or vxlan_port`},
		{"a VNI of a device", `"100"`, `"7"`, `option vni "7": is used with port 4789 by the device vxlan7; choose another vni or vxlan_port`},
		{"not JSON", `{"name"`, `"name"`, "read network: invalid character ':' after top-level value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := plugin.Create([]byte(strings.Replace(testNetwork, tt.old, tt.new, 1)))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
	small := strings.NewReplacer(`"100"`, `"101"`, "10.0.0.0/24", "10.0.0.0/29", `"10.0.0.9"`, `"10.0.0.6"`).Replace(testNetwork)
	_, err := plugin.Create([]byte(small))
	want := `--subnet "10.0.0.0/29": is too small to give each of 3 hosts addresses of its own; the smallest that works is a /28, or give every host its own --ip-range`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Containers that nobody tore down, as when the plugin was removed first, hold the names and the
// VNI that the network had, and gets again with another id.
func TestCreateForgetsContainersThatAreGone(t *testing.T) {
	for what, loseStore := range map[string]bool{"with a record": false, "without a record": true} {
		t.Run(what, func(t *testing.T) {
			k, plugin := newFakeHost(t)
			plugin.Warn = func(string) {}
			if _, err := plugin.Setup(request(testNetwork, 1)); err != nil {
				t.Fatal(err)
			}
			plugin.NamespaceGone = func(string) bool { return false }
			again := strings.Replace(testNetwork, `"id": "`, `"id": "1`, 1)
			_, err := plugin.Create([]byte(again))
			if err == nil || !strings.Contains(err.Error(), `of this driver (alias "vxlan-driver network `) {
				t.Fatalf("while the container runs: %v", err)
			}
			plugin.NamespaceGone = func(string) bool { return true }
			for _, l := range k.HostNamespace().Links() {
				if l.Kind == kernel.KindVeth {
					k.HostNamespace().Remove(l.Name)
				}
			}
			if loseStore {
				if err := os.RemoveAll(plugin.StoreDir); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := plugin.Create([]byte(again)); err != nil {
				t.Error(err)
			}
		})
	}
}
