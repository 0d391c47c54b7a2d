package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"vxlan-driver/internal/kernel"
)

// reservationOf ignores whether the file could be parsed.
func reservationOf(data []byte) Reservation {
	t, _ := ReadReservation(data)
	return t
}

// Of networks of the bridge driver, the bridge and the isolation matter. Without the option, that
// is what netavark gives them. The interface of another driver's network is the host's way out.
func TestReadForeignReservation(t *testing.T) {
	const strict = `{"name":"x","id":"3","driver":"bridge","network_interface":"podman1","options":{"isolate":"strict","mtu":"1400"}}`
	const open = `{"name":"x","id":"3","driver":"bridge","network_interface":"podman1","options":{"isolate":"false"}}`
	const unset = `{"name":"podman","id":"2f","driver":"bridge","network_interface":"podman0","subnets":[{"subnet":"10.0.0.0/16"}]}`
	const listing = `{"name":"x","id":"3","driver":"vxlan","network_interface":"br-x","options":{"remote_ips":"198.18.0.12,198.18.0.11","vxlan_port":"8472"}}`
	listed := Reservation{Holder: `network "x"`, ID: "3", Port: 8472, Remotes: []netip.Addr{netip.MustParseAddr("198.18.0.11"), netip.MustParseAddr("198.18.0.12")}}
	bridge := func(isolation Isolation) Reservation {
		return Reservation{Holder: `network "x"`, ID: "3", Bridge: "podman1", Names: []string{"podman1"}, Isolate: isolation}
	}
	podman := func(isolation Isolation) Reservation {
		return Reservation{Holder: `network "podman"`, ID: "2f", Bridge: "podman0", Names: []string{"podman0"}, Isolate: isolation}
	}
	for _, test := range []struct {
		data            string
		before2, after2 Reservation // without and with netavark 2
	}{
		{strict, bridge(IsolateStrict), bridge(IsolateStrict)},
		{open, bridge(IsolateOff), bridge(IsolateOff)},
		{unset, podman(IsolateOff), podman(IsolateStrict)},
		{`{"name":"x","id":"3","driver":"macvlan","options":{"mode":"bridge"}}`, Reservation{}, Reservation{}},
		{`{"name":"x","id":"3","driver":"macvlan","network_interface":"eth0"}`, Reservation{}, Reservation{}},
		{`{"name":"x","id":"3","driver":"ipvlan","network_interface":"eth0"}`, Reservation{}, Reservation{}},
		{listing, listed, listed},
		{`{"name":"x","id":"own","driver":"vxlan","options":{"remote_ips":"198.18.0.11"}}`, Reservation{}, Reservation{}},
		{`{"name":"x","id":"3","driver":"vxlan","options":{"vni":"7","remote_ips":"no address"}}`, Reservation{}, Reservation{}},
		{`{`, Reservation{}, Reservation{}},
		{`[]`, Reservation{}, Reservation{}},
	} {
		for isolation, want := range map[Isolation]Reservation{IsolateOff: test.before2, IsolateStrict: test.after2} {
			got, ok := Network{Identity: Identity{ID: "own"}, BridgeIsolation: isolation}.ReadForeignReservation([]byte(test.data))
			if ok && !reflect.DeepEqual(got, want) || ok != (want.Holder != "") {
				t.Errorf("bridges %v, %s: %+v, %v", isolation, test.data, got, ok)
			}
		}
	}
}

func TestParseNewRefusesReserved(t *testing.T) {
	blue := reservationOf(exampleNetwork(nil, map[string]any{"id": "b1", "name": "blue"}))
	encryptedOn := func(port string) []byte {
		return exampleNetwork(map[string]string{"encryption": "wireguard", "encryption_port": port},
			map[string]any{"dns_enabled": true})
	}
	encrypted := reservationOf([]byte(`{"name":"red","id":"r1","driver":"vxlan","dns_enabled":true,"options":{"vni":"7","vxlan_port":"8472","encryption":"wireguard","encryption_port":"51820"}}`))
	podman := reservationOf([]byte(`{"name":"podman","id":"2f","driver":"bridge","network_interface":"podman0","subnets":[{"subnet":"10.0.0.0/16"}]}`))
	tests := []struct {
		name  string
		data  []byte
		host  fakeHost
		taken []Reservation
		want  string
	}{
		{"vni and subnet of another network", exampleNetwork(nil, nil), testHost, []Reservation{blue}, `2 problems
  option vni "100": is used with port 4789 by network "blue"; choose another vni or vxlan_port
  --subnet "10.0.0.0/24": overlaps 10.0.0.0/24 of network "blue"`},
		{"encryption_port of another network", encryptedOn("51820"), testHost, []Reservation{encrypted},
			`option encryption_port "51820": takes the UDP ports 51820 and 51821, and network "red" uses one of them; ` +
				`choose another, or leave the option out`},
		{"encryption_port beside that of another network", encryptedOn("51821"), testHost, []Reservation{encrypted},
			`option encryption_port "51821": takes the UDP ports 51820 and 51821, and network "red" uses one of them; ` +
				`choose another, or leave the option out`},
		{"encryption_port that is another network's vxlan_port", encryptedOn("8472"), testHost, []Reservation{encrypted},
			`option encryption_port "8472": takes the UDP ports 8472 and 8473, and network "red" uses one of them; ` +
				`choose another, or leave the option out`},
		{"vxlan_port that is another network's encryption_port", exampleNetwork(map[string]string{"vxlan_port": "51821"},
			nil), testHost, []Reservation{encrypted},
			`option vxlan_port "51821": is a port of WireGuard of network "red"; choose another`},
		{"WireGuard device of another network", exampleNetwork(nil, map[string]any{"network_interface": "wg1-red"}), testHost,
			[]Reservation{encrypted},
			`device name "wg1-red": is held by network "red"`},
		{"WireGuard device on the host", encryptedOn("51821"),
			fakeHost{ifaces: append([]kernel.Interface{{Name: "wg0-vxlan-network"}}, testHost.ifaces...), default4: "eth0"}, nil,
			`device name "wg0-vxlan-network": is held by an interface of this host; remove it, or choose another network name or --interface-name`},
		{"vni of a device", exampleNetwork(nil, nil), testHost, []Reservation{{Holder: "the device vxlan7", VNI: 100, Port: 4789}},
			`option vni "100": is used with port 4789 by the device vxlan7; choose another vni or vxlan_port`},
		{"the same vni twice is one problem", exampleNetwork(nil, nil), testHost,
			[]Reservation{{Holder: `network "x"`, VNI: 100, Port: 4789}, {Holder: "the device vxlan7", VNI: 100, Port: 4789}},
			`option vni "100": is used with port 4789 by network "x"; choose another vni or vxlan_port`},
		{"subnet and bridge of a bridge network", exampleNetwork(nil, map[string]any{"network_interface": "podman0"}), testHost, []Reservation{podman}, `2 problems
  device name "podman0": is held by network "podman"
  --subnet "10.0.0.0/24": overlaps 10.0.0.0/16 of network "podman"`},
		{"a device's name", exampleNetwork(nil, map[string]any{"network_interface": "eth1"}), testHost, nil,
			`device name "eth1": is held by an interface of this host; remove it, or choose another network name or --interface-name`},
		{"a device's alternative name", exampleNetwork(nil, nil), fakeHost{ifaces: testHost.ifaces, altNames: map[string]string{"vxlan-vxlan-network": "eth1"}}, nil,
			`device name "vxlan-vxlan-network": is held by an interface of this host; remove it, or choose another network name or --interface-name`},
		{"another port", exampleNetwork(map[string]string{"vxlan_port": "8472"}, nil), testHost, []Reservation{{Holder: "x", VNI: 100, Port: 4789}}, ""},
		{"itself", exampleNetwork(nil, nil), testHost, []Reservation{reservationOf(exampleNetwork(nil, nil))}, ""},
		{"a file that is no network", exampleNetwork(nil, nil), testHost, []Reservation{reservationOf([]byte("{"))}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, problems, err := ParseNew(tt.data, tt.host, tt.taken)
			if err != nil {
				t.Fatal(err)
			}
			if got := errorText(problems.Err()); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A subnet that the host itself uses would take the host's own traffic.
func TestParseNewRefusesWhatTheHostUses(t *testing.T) {
	host := testHost
	prefix := netip.MustParsePrefix
	host.used = []kernel.HostPrefix{
		{Prefix: prefix("192.168.1.0/24"), Interface: "eth0", Use: kernel.UseAddress},
		{Prefix: prefix("172.20.0.0/16"), Interface: "virbr0", Use: kernel.UseAddress},
		{Prefix: prefix("10.64.0.0/10"), Interface: "wg0", Use: kernel.UseRoute},
		{Prefix: prefix("172.31.1.1/32"), Interface: "eth0", Use: kernel.UseGateway},
		{Prefix: prefix("fd00:8::/64"), Interface: "wg0", Use: kernel.UseRoute},
	}
	taken := []Reservation{{Holder: "a name server of /etc/resolv.conf", Subnets: []netip.Prefix{prefix("10.10.0.2/32")}, HostUse: true}}
	const remedy = "; choose another subnet, or allow it with --opt allow_host_overlap=true"
	for subnet, want := range map[string]string{
		"172.20.5.0/24":    "overlaps 172.20.0.0/16, the network of interface virbr0" + remedy,
		"172.16.0.0/12":    "overlaps 172.20.0.0/16, the network of interface virbr0" + remedy,
		"10.100.0.0/24":    "overlaps 10.64.0.0/10, a route by interface wg0" + remedy,
		"172.31.1.0/24":    "overlaps 172.31.1.1/32, the gateway of a route by interface eth0" + remedy,
		"fd00:8::/80":      "overlaps fd00:8::/64, a route by interface wg0" + remedy,
		"10.10.0.0/24":     "overlaps 10.10.0.2/32, a name server of /etc/resolv.conf" + remedy,
		"169.254.169.0/25": "overlaps 169.254.169.0/24, the addresses of a cloud's resolver, clock and instance data" + remedy,
		"192.168.0.0/16":   "overlaps the underlay: eth0 has 192.168.1.10/24",
		"10.0.0.0/24":      "",
	} {
		for _, opts := range []map[string]string{nil, {"allow_host_overlap": "true"}} {
			if opts != nil && want != "overlaps the underlay: eth0 has 192.168.1.10/24" {
				want = ""
			}
			_, _, problems, err := ParseNew(exampleNetwork(opts, map[string]any{"subnets": []any{map[string]string{"subnet": subnet}}}), host, taken)
			full := ""
			if want != "" {
				full = fmt.Sprintf("--subnet %q: %s", subnet, want)
			}
			if got := errorText(problems.Err()); err != nil || got != full {
				t.Errorf("%v: got  %s, %v\nwant %s", opts, got, err, full)
			}
		}
	}
}

// Complete changes what it must and keeps what it does not know.
func TestComplete(t *testing.T) {
	data := []byte(`{"name":"blue","id":"b1","driver":"vxlan","future":{"a":[1]},"options":{"vni":"1"},
		"subnets":[{"subnet":"10.0.0.7/24","later":true},{"subnet":"fd00:10::/64","gateway":"fd00:10::9"}]}`)
	n := Network{Identity: newIdentity("b1", "blue", "")}
	n.Subnets = []Subnet{
		{
			Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1"),
			Lease: Range{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.62")},
		},
		{Prefix: netip.MustParsePrefix("fd00:10::/64"), Gateway: netip.MustParseAddr("fd00:10::9"), Lease: Range{First: netip.MustParseAddr("fd00:10::20")}},
	}
	out, err := n.Complete(data)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"blue","id":"b1","driver":"vxlan","future":{"a":[1]},"options":{"vni":"1"},"network_interface":"br-vxlan-blue","ipv6_enabled":true,
		"subnets":[{"subnet":"10.0.0.0/24","gateway":"10.0.0.1","lease_range":{"start_ip":"10.0.0.2","end_ip":"10.0.0.62"},"later":true},
		{"subnet":"fd00:10::/64","gateway":"fd00:10::9","lease_range":{"start_ip":"fd00:10::20","end_ip":""}}]}`
	if !sameJSON(t, out, []byte(want)) {
		t.Errorf("got  %s\nwant %s", out, want)
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	for data, v := range map[*[]byte]*any{&a: &x, &b: &y} {
		if err := json.Unmarshal(*data, v); err != nil {
			t.Fatalf("%s: %v", *data, err)
		}
	}
	return reflect.DeepEqual(x, y)
}
