package paritytest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// createdNetwork is what counts of a network that was created.
type createdNetwork struct {
	Driver      string            `json:"driver"`
	Interface   string            `json:"network_interface"`
	Options     map[string]string `json:"options"`
	Labels      map[string]string `json:"labels"`
	Subnets     []object          `json:"subnets"`
	Routes      []createdRoute    `json:"routes"`
	DNSServers  []string          `json:"network_dns_servers"`
	IPAMOptions map[string]string `json:"ipam_options"`
	DNS         bool              `json:"dns_enabled"`
	Internal    bool              `json:"internal"`
	IPv6        bool              `json:"ipv6_enabled"`
	Future      any               `json:"future"` // a member that nobody knows
}

// createdRoute leaves out what newer versions add.
type createdRoute struct {
	Destination string `json:"destination"`
	Gateway     string `json:"gateway"`
	Metric      uint32 `json:"metric,omitempty"`
}

func (s *scene) decodeCreated(text string) createdNetwork {
	s.Helper()
	var n createdNetwork
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		s.Fatalf("%v: %s", err, text)
	}
	return n
}

// wantCreated is the answer of create for the network of this file's tests, as all that pass it on
// should leave it. The host is one of two, so it assigns from half of each subnet, and its own
// address is that half's last.
func wantCreated() createdNetwork {
	return createdNetwork{
		Driver: "vxlan", Interface: "br-vxlan-whole", DNS: true, IPv6: true,
		Options: map[string]string{
			"vni": "77", "local_ip": "auto", "physical_interface": "eth0", "remote_ips": hostA4 + ",198.18.0.99", "metric": "7",
			"host_listed": "true", // by create
		},
		Labels: map[string]string{"vxlan.metric": "7", "color": "red"},
		Subnets: []object{
			{"subnet": "10.9.0.0/24", "gateway": "10.9.0.1", "lease_range": object{"start_ip": "10.9.0.2", "end_ip": "10.9.0.126"}},
			{"subnet": "fd00:9::/64", "gateway": "fd00:9::1", "lease_range": object{"start_ip": "fd00:9::2", "end_ip": "fd00:9::7fff:ffff:ffff:fffe"}},
		},
		Routes:      []createdRoute{{"10.50.0.0/16", "10.9.0.9", 9}, {"10.51.0.0/16", "192.0.2.1", 0}},
		DNSServers:  []string{"192.0.2.53"},
		IPAMOptions: map[string]string{"driver": "host-local"},
	}
}

// All that the plugin's create answers survives Podman, and netavark 2, which both pass it through
// types of their own and check it again.
func TestCreateAnswerSurvives(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	want := wantCreated()
	flags := "--label vxlan.metric=7 --label color=red --dns 192.0.2.53 --route 10.50.0.0/16,10.9.0.9,9 --route 10.51.0.0/16,192.0.2.1 " +
		"--subnet 10.9.0.0/24 --subnet fd00:9::/64"
	for _, option := range []string{"vni", "local_ip", "physical_interface", "remote_ips"} {
		flags += " --opt " + option + "=" + want.Options[option]
	}
	s.mustRun(s.a, "podman network create --driver vxlan "+flags+" whole")
	got := s.decodeCreated(s.mustRun(s.a, "cat /etc/containers/networks/whole.json"))
	if got.IPAMOptions == nil {
		got.IPAMOptions = want.IPAMOptions // Podman 5 leaves it out for a plugin
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Podman has\n%+v\nwant\n%+v", got, want)
	}
	if strings.Contains(s.mustRun(s.a, "/usr/lib/podman/netavark --version"), "netavark 1.") {
		return // it has no create: Podman calls the plugin itself
	}
	network := object{
		"name": "whole", "id": strings.Repeat("d", 64), "driver": "vxlan", "dns_enabled": true, "internal": false, "ipv6_enabled": false,
		"labels": want.Labels, "network_dns_servers": want.DNSServers, "routes": want.Routes, "future": "dropped",
		"options": object{"vni": "77", "local_ip": "auto", "physical_interface": "eth0", "remote_ips": hostA4 + ",198.18.0.99"},
		"subnets": []object{{"subnet": "10.9.0.0/24"}, {"subnet": "fd00:9::/64"}},
	}
	file := s.writeJSON(object{
		"network": network, "used": object{"interfaces": []string{}, "names": object{}, "subnets": []string{}},
		"options": object{"subnet_pools": []object{}, "default_interface_name": "podman", "check_used_subnets": true},
	})
	s.mustRun(s.a, "podman network rm whole")
	got = s.decodeCreated(s.mustRun(s.a, "/usr/lib/podman/netavark --config /tmp/run --plugin-directory /usr/local/libexec/netavark create < "+file))
	if got.Future != nil {
		t.Error("netavark keeps what it does not know: the driver need not be careful any more")
	}
	got.IPAMOptions = want.IPAMOptions
	if !reflect.DeepEqual(got, want) {
		t.Errorf("netavark's create answers\n%+v\nwant\n%+v", got, want)
	}
}
