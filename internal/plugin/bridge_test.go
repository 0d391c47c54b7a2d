package plugin

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The file is there as long as the network is, and says what the kernel is told.
func TestSysctlsAreKeptWhileTheNetworkIsThere(t *testing.T) {
	k, plugin := newFakeHost(t)
	file := filepath.Join(plugin.SysctlDir, "zz-vxlan-driver-br-vx-eaf72b2d.conf")
	want := `# vxlan-driver network 7c7b vxlan-network
-net/ipv4/ip_forward = 1
-net/ipv6/conf/all/forwarding = 1
-net/ipv6/conf/br-vx-eaf72b2d/accept_ra = 0
-net/ipv4/conf/br-vx-eaf72b2d/rp_filter = 2
-net/ipv4/conf/br-vx-eaf72b2d/forwarding = 1
-net/ipv6/conf/br-vx-eaf72b2d/accept_dad = 0
`
	for i := range 2 {
		ns, r := request(testNetwork, i+1)
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("got %s, %v\nwant %s", got, err, want)
		}
		if trusted := plugin.Zones.(*fakeZones).devices; !trusted["br-vx-eaf72b2d"] {
			t.Error("firewalld does not trust the bridge")
		}
	}
	for i := range 2 {
		ns, r := request(testNetwork, i+1)
		if err := plugin.Teardown(ns, r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file is left")
	}
	if trusted := plugin.Zones.(*fakeZones).devices; len(trusted) > 0 || len(k.HostNamespace().Links()) != 1 {
		t.Errorf("left: %v", trusted)
	}
}

// Two containers of one network cannot have the same interface on the host: found when the second
// took the first one's.
func TestInterfaceNameIsNotTakenFromLiveContainer(t *testing.T) {
	k, plugin := newFakeHost(t)
	secured := strings.ReplaceAll(testNetwork, `"vni"`, `"port_security": "true", "vni"`)
	var want []string
	for i := range 2 {
		ns, r := request(secured, i+1)
		r.Options = []byte(`{"interface_name": "eth0", "static_ips": ["10.0.0.9"], "options": {"host_interface_name": "web0"}}`)
		_, err := plugin.Setup(ns, r)
		if i == 0 && err != nil || i == 1 && err == nil {
			t.Errorf("setup %d: %v", i, err)
		}
		if i == 0 {
			want = k.HostNamespace().Firewall()
			continue
		}
		// Nor is what the firewall has of it, also when the second is torn down.
		if err := plugin.Teardown(ns, r); err != nil {
			t.Error(err)
		}
		if got := k.HostNamespace().Firewall(); !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if l, err := k.HostNamespace().Link("web0", 0); err != nil || l.Alias != "vxlan-driver container c1 network 7c7b vxlan-network" {
		t.Errorf("got %v, %v", l.Alias, err)
	}
	if files := storedFiles(t, plugin); len(files) != 4 {
		t.Errorf("stored: %v", files)
	}
}
