package network

import (
	"net/netip"
	"reflect"
	"testing"

	"vxlan-driver/internal/kernel"
)

func dualStackNetwork(t *testing.T) Network {
	t.Helper()
	n, _, err := Parse(exampleNetwork(nil, map[string]any{"name": "blue", "subnets": []any{
		map[string]string{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"},
		map[string]string{"subnet": "fd00:10::/64", "gateway": "fd00:10::1"},
	}}), testHost, VTEP{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func attachRequest(id, options string) AttachRequest {
	return AttachRequest{ContainerID: id, ContainerName: "one", Namespace: "/run/netns/x", Options: []byte(options)}
}

func TestParseEndpoint(t *testing.T) {
	n := dualStackNetwork(t)
	data := `{"aliases": ["web"], "interface_name": "eth0", "static_ips": ["10.0.0.2", "fd00:10::2", "10.0.0.2"], "static_mac": null, "options": null}`
	got, err := ParseEndpoint(n, attachRequest("c1", data))
	if err != nil {
		t.Fatal(err)
	}
	want := Endpoint{
		ContainerID: "c1", ContainerName: "one", Aliases: []string{"web"}, Namespace: "/run/netns/x", Interface: "eth0",
		// The address that `podman network reload` repeats is there once.
		Addrs: parsePrefixes("10.0.0.2/24", "fd00:10::2/64"),
		MAC:   EndpointMAC(100, netip.MustParseAddr("10.0.0.2")),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// Where the agent picks addresses, those that Podman passes are the user's.
func TestRequestedAddresses(t *testing.T) {
	for _, tt := range []struct {
		gossip    bool
		static    string
		requested bool
	}{{true, `["10.0.0.2"]`, true}, {true, `null`, false}, {false, `["10.0.0.2"]`, false}} {
		n := dualStackNetwork(t)
		if tt.gossip {
			n.Discovery = DiscoveryGossip
		}
		a := attachRequest("c1", `{"interface_name":"eth0","static_ips":`+tt.static+`}`)
		if tt.gossip {
			a.Addrs = []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00:10::2")}
		}
		if e, err := ParseEndpoint(n, a); err != nil || e.Requested != tt.requested {
			t.Errorf("%+v: got %+v, %v", tt, e, err)
		}
	}
}

func TestParseEndpointWithStaticMAC(t *testing.T) {
	e, err := ParseEndpoint(dualStackNetwork(t), attachRequest("c1", `{"interface_name":"eth0","static_ips":["10.0.0.2"],"static_mac":"02:AB:00:00:00:01"}`))
	if err != nil || e.MAC != (kernel.MAC{2, 0xab, 0, 0, 0, 1}) {
		t.Errorf("got %v, %v", e.MAC, err)
	}
}

func TestParseEndpointRefuses(t *testing.T) {
	n := dualStackNetwork(t)
	tests := []struct{ name, id, data, want string }{
		{"address outside", "c1", `{"interface_name":"eth0","static_ips":["10.0.5.5"]}`, `--ip "10.0.5.5": is in no subnet of network blue`},
		{"gateway", "c1", `{"interface_name":"eth0","static_ips":["10.0.0.1"]}`, `--ip "10.0.0.1": is the gateway of network blue`},
		{"network address", "c1", `{"interface_name":"eth0","static_ips":["10.0.0.0"]}`, `--ip "10.0.0.0": is the network address of 10.0.0.0/24`},
		{"broadcast address", "c1", `{"interface_name":"eth0","static_ips":["10.0.0.255"]}`, `--ip "10.0.0.255": is the broadcast address of 10.0.0.0/24`},
		{"loopback's name", "c1", `{"interface_name":"lo","static_ips":["10.0.0.2"]}`, `interface name "lo": is the container's loopback interface; choose another`},
		{"name of all interfaces", "c1", `{"interface_name":"all","static_ips":["10.0.0.2"]}`, `interface name "all": must not be "all" or "default": kernel parameters of that name are those of all interfaces`},
		{"host interface called default", "c1", `{"interface_name":"eth0","static_ips":["10.0.0.2"],"options":{"host_interface_name":"default"}}`,
			`container network option host_interface_name "default": must not be "all" or "default": kernel parameters of that name are those of all interfaces`},
		{"not an address", "c1", `{"interface_name":"eth0","static_ips":["x"]}`, `--ip "x": must be an IP address`},
		{"no address", "c1", `{"interface_name":"eth0"}`, `static_ips: network blue has subnets, but no address was assigned`},
		{"multicast MAC", "c1", `{"interface_name":"eth0","static_ips":["10.0.0.2"],"static_mac":"01:00:00:00:00:01"}`, `--mac-address "01:00:00:00:00:01": is a multicast address; its first octet must be even`},
		{"MAC of 8 octets", "c1", `{"interface_name":"eth0","static_ips":["10.0.0.2"],"static_mac":"02:00:00:00:00:00:00:01"}`, `--mac-address "02:00:00:00:00:00:00:01": must be an Ethernet address such as 02:00:00:00:00:01`},
		{"interface name", "c1", `{"interface_name":"a-name-too-long!","static_ips":["10.0.0.2"]}`, `interface name "a-name-too-long!": must have at most 15 bytes`},
		{"no interface name", "c1", `{"static_ips":["10.0.0.2"]}`, `interface name: is required`},
		{"id that is a path", "../c", `{"interface_name":"eth0","static_ips":["10.0.0.2"]}`, `container id "../c": must have letters, digits, "_", "." and "-" only`},
		{"option", "c1", `{"interface_name":"eth0","static_ips":["10.0.0.2"],"options":{"x":"y"}}`, `container network option "x": is unknown; there is host_interface_name`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseEndpoint(n, attachRequest(tt.id, tt.data))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestMACsAreUnicastLocalAndDiffer(t *testing.T) {
	seen := map[kernel.MAC]string{}
	for _, vni := range []uint32{1, 100, 16777215} {
		for _, a := range []string{"10.0.0.2", "10.0.0.3", "10.1.0.2", "fd00::2", "fd00::3"} {
			addr := netip.MustParseAddr(a)
			for _, mac := range []kernel.MAC{EndpointMAC(vni, addr), BridgeMAC(vni, addr)} {
				if mac[0]&3 != 2 {
					t.Errorf("%s is not a local unicast address", mac)
				}
				if other, ok := seen[mac]; ok {
					t.Errorf("%s and %s both have %s", a, other, mac)
				}
				seen[mac] = a
			}
		}
	}
	if got, want := EndpointMAC(100, netip.MustParseAddr("10.0.0.2")), EndpointMAC(100, netip.MustParseAddr("10.0.0.2")); got != want {
		t.Errorf("the same address has %s and %s", got, want)
	}
}
