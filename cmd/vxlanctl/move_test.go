package main

import (
	"maps"
	"strings"
	"testing"

	"vxlan-driver/internal/podmannet"
)

// A network that cannot move between a list of hosts and etcd is refused before anything is changed, in both
// directions.
func TestMoveChecksTheNetworkFirst(t *testing.T) {
	const shared = `{"name": "mynet", "id": "7c7b", "driver": "vxlan", "dns_enabled": true,
		"options": {"vni": "100", "local_ip": "198.18.0.10", "physical_interface": "eth0", "remote_ips": "198.18.0.11"}, `
	for name, tt := range map[string]struct{ rest, discovery, also, want string }{
		"no parts": {`"subnets": [{"subnet": "10.0.0.0/24"}]}`, "etcd", "static",
			"has no part of 10.0.0.0/24 of its own"},
		"addresses of agents": {`"ipam_options": {"driver": "vxlan"}, "subnets": [{"subnet": "10.0.0.0/24"}]}`,
			"static", "etcd", "Podman does not know them"},
	} {
		before, err := podmannet.Options([]byte(shared + tt.rest))
		if err != nil {
			t.Fatal(err)
		}
		after := maps.Clone(before)
		after["discovery"], after["discovery_also"] = tt.discovery, tt.also
		config, err := podmannet.WithOptions([]byte(shared+tt.rest), after)
		if err != nil {
			t.Fatal(err)
		}
		if err := (localHost{}).prepareMove(before, after, config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
