package network

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// divided is a subnet of which this host hands out a part.
var divided = map[string]any{"dns_enabled": true, "ipam_options": map[string]string{"driver": "host-local"},
	"subnets": []any{map[string]any{
		"subnet": "10.0.0.0/24", "gateway": "10.0.0.1",
		"lease_range": map[string]string{"start_ip": "10.0.0.2", "end_ip": "10.0.0.62"},
	}}}

// Between a list of hosts and etcd both count, and this host still hands out its part of the subnet. It does so
// once the network is with etcd, too.
func TestNetworkBetweenAListAndEtcd(t *testing.T) {
	for _, tt := range []struct {
		options             map[string]string
		finds, lists, picks bool
	}{
		{map[string]string{}, false, true, false},
		{map[string]string{"discovery": "etcd", "discovery_also": "static"}, true, true, true},
		{map[string]string{"discovery": "static", "discovery_also": "etcd"}, true, true, true},
		{map[string]string{"discovery": "etcd"}, true, false, true},
	} {
		tt.options["max_hosts"] = "4"
		n, v, err := Parse(exampleNetwork(tt.options, divided), testHost, VTEP{})
		if err != nil {
			t.Errorf("%v: %v", tt.options, err)
			continue
		}
		if n.FindsHosts() != tt.finds || n.AgentPicks() != tt.finds || n.ListsHosts() != tt.lists ||
			n.PodmanPicks != tt.picks {
			t.Errorf("%v: finds hosts %v, lists hosts %v, Podman picks %v", tt.options,
				n.FindsHosts(), n.ListsHosts(), n.PodmanPicks)
		}
		if (len(v.Remotes) > 0) != tt.lists || tt.finds && !slices.Equal(v.Listed, v.Remotes) ||
			!tt.finds && v.Listed != nil {
			t.Errorf("%v: the list is %v, the other hosts %v", tt.options, v.Listed, v.Remotes)
		}
		e, err := ParseEndpoint(n, AttachRequest{ContainerID: strings.Repeat("a", 64),
			Options: []byte(`{"interface_name": "eth0", "static_ips": ["10.0.0.7"]}`)})
		if err != nil || e.Requested || len(e.Addrs) != 1 {
			t.Errorf("%v: an address that Podman has picked: %+v, %v", tt.options, e, err)
		}
		if err := CheckMove(exampleNetwork(tt.options, divided)); err != nil {
			t.Errorf("%v: %v", tt.options, err)
		}
	}
}

// A host that gets the network while it moves has a part of the subnet too, so Podman goes on picking there.
func TestCreateBetweenAListAndEtcd(t *testing.T) {
	data := exampleNetwork(map[string]string{"discovery": "etcd", "discovery_also": "static"},
		map[string]any{"dns_enabled": true})
	n, _, err := Parse(data, testHost, VTEP{})
	if err != nil {
		t.Fatal(err)
	}
	n.Subnets[0].Lease = Range{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.62")}
	completed, err := n.Complete(data)
	if err != nil {
		t.Fatal(err)
	}
	if n, err = ParseStored(completed); err != nil || !n.PodmanPicks || CheckMove(completed) != nil {
		t.Errorf("got %+v, %v from %s", n, err, completed)
	}
}

// A network cannot move where addresses could be given out twice, or hosts could not hear of containers.
func TestCheckMove(t *testing.T) {
	both := map[string]string{"discovery": "etcd", "discovery_also": "static"}
	back := map[string]string{"discovery": "static", "discovery_also": "etcd"}
	for _, tt := range []struct {
		name    string
		options map[string]string
		keys    map[string]any
		want    string
	}{
		{"no parts", both, map[string]any{"dns_enabled": true},
			"--ip-range: this host has no part of 10.0.0.0/24 of its own"},
		{"no names", both, map[string]any{"dns_enabled": false, "subnets": divided["subnets"]},
			"--disable-dns: a network without container names cannot move"},
		{"addresses of agents", back,
			map[string]any{"dns_enabled": true, "ipam_options": map[string]string{"driver": "vxlan"}},
			`option discovery "static": does not go with addresses that agents have picked`},
		{"no list", map[string]string{"discovery": "static", "discovery_also": "etcd", "-remote_ips": ""}, divided,
			"option remote_ips: is required"},
		{"not between a list and a plane", map[string]string{"discovery": "etcd", "discovery_also": "gossip"}, nil, ""},
	} {
		err := CheckMove(exampleNetwork(tt.options, tt.keys))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}
