package network

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
)

func TestDeviceNames(t *testing.T) {
	long := strings.Repeat("n", 200)
	tests := []struct {
		about, network, bridge string
		wantBridge, wantDevice DeviceName
	}{
		{"short enough", "blue", "", DeviceName{"br-vxlan-blue", nil}, DeviceName{"vxlan-blue", nil}},
		{"15 bytes", "bluish", "", DeviceName{"br-vxlan-bluish", nil}, DeviceName{"vxlan-bluish", nil}},
		{"16 bytes", "blueish", "", DeviceName{"br-vx-eaf72b2d", []string{"br-vxlan-blueish"}}, DeviceName{"vxlan-blueish", nil}},
		{"both too long", "vxlan-network", "",
			DeviceName{"br-vx-eaf72b2d", []string{"br-vxlan-vxlan-network"}}, DeviceName{"vx-eaf72b2d", []string{"vxlan-vxlan-network"}}},
		{"the documented example", "vxlan-network", "br-vxlan-network",
			DeviceName{"br-vx-eaf72b2d", []string{"br-vxlan-network", "br-vxlan-vxlan-network"}}, DeviceName{"vx-eaf72b2d", []string{"vxlan-vxlan-network"}}},
		{"a name of the user's", "blue", "br0", DeviceName{"br0", []string{"br-vxlan-blue"}}, DeviceName{"vxlan-blue", nil}},
		{"what create wrote", "vxlan-network", "br-vx-eaf72b2d",
			DeviceName{"br-vx-eaf72b2d", []string{"br-vxlan-vxlan-network"}}, DeviceName{"vx-eaf72b2d", []string{"vxlan-vxlan-network"}}},
		{"too long for an alternative name", long, "", DeviceName{"br-vx-eaf72b2d", nil}, DeviceName{"vx-eaf72b2d", nil}},
	}
	for _, tt := range tests {
		t.Run(tt.about, func(t *testing.T) {
			id := newIdentity("7c7b", tt.network, tt.bridge)
			if !reflect.DeepEqual(id.Bridge, tt.wantBridge) {
				t.Errorf("bridge %q, want %q", id.Bridge, tt.wantBridge)
			}
			for i, d := range id.WireGuard {
				want := DeviceName{Name: fmt.Sprintf("wg%d-%s", i, tt.network)}
				if len(want.Name) > kernel.MaxNameLen {
					want = DeviceName{fmt.Sprintf("wg%d_eaf72b2d", i), []string{want.Name}}
				}
				if len(tt.network) > maxAltNameLen {
					want.Alts = nil
				}
				if !reflect.DeepEqual(d, want) {
					t.Errorf("WireGuard device %q, want %q", d, want)
				}
			}
			if !reflect.DeepEqual(id.Device, tt.wantDevice) {
				t.Errorf("device %q, want %q", id.Device, tt.wantDevice)
			}
		})
	}
}

func TestPortNameFitsAndDiffers(t *testing.T) {
	a := newIdentity("1", "a", "").PortName("c1")
	if len(a) != kernel.MaxNameLen {
		t.Errorf("%q has %d bytes", a, len(a))
	}
	for _, b := range []string{newIdentity("1", "a", "").PortName("c2"), newIdentity("2", "a", "").PortName("c1")} {
		if a == b {
			t.Errorf("two endpoints are both called %s", a)
		}
	}
}

func TestNearestName(t *testing.T) {
	names := []string{"vni", "local_ip", "remote_ips", "mtu", "physical_interface", "vxlan_port"}
	for typed, want := range map[string]string{
		"vin": "vni", "VNI": "vni", "MTU": "mtu", "Remote-IPs": "remote_ips", "remote-ips": "remote_ips", "remoteip": "remote_ips", "localip": "local_ip",
		"physical_iface": "physical_interface", "port": "", "isolate": "",
	} {
		if got := nearestName(typed, names); got != want {
			t.Errorf("nearest to %q is %q, want %q", typed, got, want)
		}
	}
}

// The test may link what the plugin may not.
func TestPodmanNameMatchesPodmansPattern(t *testing.T) {
	podman := regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)
	check := func(s string) {
		if got, want := isPodmanName(s), podman.MatchString(s); got != want {
			t.Errorf("isID(%q) = %v, but Podman's pattern says %v", s, got, want)
		}
	}
	check("")
	check("a\n")
	check("é")
	for c := range 256 {
		check(string([]byte{byte(c)}))
		check(string([]byte{'a', byte(c), '0'}))
	}
}

// A port's mark says whose it is, but of another network's nothing.
func TestContainerOfAlias(t *testing.T) {
	id := Identity{ID: "7c7b", Name: "blue"}
	long := Identity{ID: "7c7b", Name: strings.Repeat("n", 300)}
	for _, tt := range []struct {
		id          Identity
		alias, want string
	}{
		{id, id.EndpointAlias(Endpoint{ContainerID: "c1"}), "c1"},
		{long, long.EndpointAlias(Endpoint{ContainerID: "c1"}), "c1"}, // cut off
		{Identity{ID: "7c7c", Name: "blue"}, id.EndpointAlias(Endpoint{ContainerID: "c1"}), ""},
		{id, id.EndpointAlias(Endpoint{ContainerID: "c1"}) + "x", ""},
		{id, id.Alias(), ""},
		{id, "uplink of rack 7", ""},
		{id, "", ""},
	} {
		if got := tt.id.ContainerOf(tt.alias); got != tt.want {
			t.Errorf("%q: %q", tt.alias, got)
		}
	}
}
