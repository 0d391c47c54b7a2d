package network

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
)

// The documented example, with the bridge name of 16 bytes and null where netavark writes null.
const documentedExample = `{"name": "vxlan-network", "driver": "vxlan", "id": "7c7b", "network_interface": "br-vxlan-network",
  "options": {"vni": "100", "local_ip": "192.168.1.10", "remote_ips": "192.168.1.11,192.168.1.12",
              "physical_interface": "eth0", "vxlan_port": "4789"},
  "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1", "lease_range": null}], "routes": null, "ipam_options": null,
  "dns_enabled": true, "internal": false, "ipv6_enabled": false}`

func TestParseDocumentedExample(t *testing.T) {
	n, v, err := Parse([]byte(documentedExample), testHost, VTEP{})
	if err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr
	remotes := []netip.Addr{a("192.168.1.11"), a("192.168.1.12")}
	wantVTEP := VTEP{Local: a("192.168.1.10"), Interface: "eth0", Remotes: remotes, Flood: remotes, MTU: 1450, UnderlayMTU: 1500}
	if !reflect.DeepEqual(v, wantVTEP) {
		t.Errorf("VTEP %+v, want %+v", v, wantVTEP)
	}
	want := Network{
		Identity: Identity{
			ID: "7c7b", Name: "vxlan-network",
			Bridge: DeviceName{Name: "br-vx-eaf72b2d", Alts: []string{"br-vxlan-network", "br-vxlan-vxlan-network"}},
			Device: DeviceName{Name: "vx-eaf72b2d", Alts: []string{"vxlan-vxlan-network"}},
			WireGuard: [2]DeviceName{
				{Name: "wg0_eaf72b2d", Alts: []string{"wg0-vxlan-network"}}, {Name: "wg1_eaf72b2d",
					Alts: []string{"wg1-vxlan-network"}},
			},

			Interface: "br-vxlan-network",
		},
		Tunnel:            kernel.Tunnel{VNI: 100, Port: 4789},
		LocalIP:           a("192.168.1.10"),
		PhysicalInterface: "eth0",
		Remotes:           remotes,
		UnderlayTimeout:   5,
		Metric:            100,
		DNS:               true,
		Subnets:           []Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: a("10.0.0.1")}},
	}
	if !reflect.DeepEqual(n, want) {
		t.Errorf("got  %+v\nwant %+v", n, want)
	}
}

// Each row changes the documented example and names every problem there is.
func TestParseRefuses(t *testing.T) {
	type opts = map[string]string
	type keys = map[string]any
	subnets := func(s ...string) keys {
		var list []any
		for _, p := range s {
			list = append(list, map[string]string{"subnet": p})
		}
		return keys{"subnets": list}
	}
	tests := []struct {
		name string
		opts opts
		keys keys
		want string
	}{
		{"vni missing", opts{"-vni": ""}, nil, `option vni: is required: --opt vni=VALUE`},
		{"vni zero", opts{"vni": "0"}, nil, `option vni "0": must be a whole number from 1 to 16777215`},
		{"vni of 25 bits", opts{"vni": "16777216"}, nil, `option vni "16777216": must be a whole number from 1 to 16777215`},
		{"vni with a sign", opts{"vni": "+5"}, nil, `option vni "+5": must be a whole number from 1 to 16777215`},
		{"port 0", opts{"vxlan_port": "0"}, nil, `option vxlan_port "0": must be a whole number from 1 to 65535`},
		{"local_ip not an address", opts{"local_ip": "192.168.1"}, nil, `option local_ip "192.168.1": must be a unicast IPv4 or IPv6 address of this host, or "auto"`},
		{"local_ip multicast", opts{"local_ip": "239.0.0.1"}, nil, `option local_ip "239.0.0.1": must be a unicast IPv4 or IPv6 address of this host, or "auto"`},
		{"local_ip not here", opts{"local_ip": "192.168.1.77"}, nil, `option local_ip "192.168.1.77": is not an address of eth0, which has 192.168.1.10, 192.168.1.110, fd00:1::10; use one of those, or auto`},
		{"local_ip of scope host", opts{"local_ip": "192.168.1.9"}, nil,
			`option local_ip "192.168.1.9": is an address of eth0 that is not for other hosts: its scope is not global, ` +
				"or it is temporary; see `ip address show dev eth0`"},
		{"local_ip nowhere", opts{"local_ip": "192.168.1.77", "physical_interface": "auto"}, nil, `option local_ip "192.168.1.77": no interface of this host has this address; see ` + "`ip address`"},
		{"remote_ips missing", opts{"-remote_ips": ""}, nil, `option remote_ips: is required unless multicast_group is given: --opt remote_ips=ADDRESS,…`},
		{"remote_ips empty", opts{"remote_ips": " , "}, nil, `option remote_ips "192.168.1.10": has no host but this one; name at least one other`},
		{"remote_ips only this host", opts{"remote_ips": "192.168.1.10"}, nil, `option remote_ips "192.168.1.10": has no host but this one; name at least one other`},
		{"remote_ips with a name", opts{"remote_ips": "192.168.1.11,hostb"}, nil, `option remote_ips "192.168.1.11,hostb": entry 2, "hostb", is a name; names are not accepted, give the host's address`},
		{"remote_ips of many kinds", opts{"remote_ips": "192.168.1.0/24,,10.0.0.1:4789,127.0.0.1,10.0.0.300,239.0.0.1"}, nil, `option remote_ips "192.168.1.0/24,,10.0.0.1:4789,127.0.0.1,10.0.0.300,239.0.0.1": ` +
			`entry 1, "192.168.1.0/24", is a network; give a host's address without the prefix length; entry 3, "10.0.0.1:4789", has a port; give 10.0.0.1 alone, and the port as vxlan_port; ` +
			`entry 4, "127.0.0.1", is a loopback address, which each host has itself; entry 5, "10.0.0.300", is no IPv4 or IPv6 address; entry 6, "239.0.0.1", is a multicast address; give it as multicast_group`},
		{"remote_ips separated by spaces", opts{"remote_ips": "192.168.1.11 192.168.1.12"}, nil, `option remote_ips "192.168.1.11 192.168.1.12": entry 1, "192.168.1.11 192.168.1.12", has spaces; separate addresses by commas`},
		{"remote_ips of two families", opts{"remote_ips": "192.168.1.11,fd00:1::11"}, nil, `option remote_ips "192.168.1.11,fd00:1::11": must be of one address family, but 192.168.1.11 and fd00:1::11 are not`},
		{"remote_ips of the other family", opts{"remote_ips": "fd00:1::11"}, nil, `option local_ip "192.168.1.10": must be of the same address family as fd00:1::11`},
		{"remote_ips with multicast_group", opts{"multicast_group": "239.1.1.1"}, nil, `option remote_ips "192.168.1.11,192.168.1.12": does not go with multicast_group: traffic floods to the group or to a list`},
		{"discovery", opts{"discovery": "dns"}, nil, `option discovery "dns": must be "static", "gossip" or "etcd"`},
		{"discovery without a list", opts{"discovery": "static", "-remote_ips": ""}, nil, `option remote_ips: is required unless multicast_group is given: --opt remote_ips=ADDRESS,…`},
		{"discovery with a group", opts{"discovery": "gossip", "multicast_group": "239.1.1.1", "-remote_ips": ""}, nil, `option multicast_group "239.1.1.1": does not go with discovery=gossip, which tells to which hosts to flood`},
		{"discovery with max_hosts", opts{"discovery": "gossip", "max_hosts": "4"}, nil, `option max_hosts "4": does not go with discovery=gossip, where no host has a part of the subnet`},
		{"a second plane that is the first", opts{"discovery": "gossip", "discovery_also": "gossip"}, nil,
			`option discovery_also "gossip": must be another way than discovery=gossip, and one of the two must be etcd`},
		{"gossip beside a list", opts{"discovery_also": "gossip"}, nil,
			`option discovery_also "gossip": must be another way than discovery=static, and one of the two must be etcd`},
		{"a list beside gossip", opts{"discovery": "gossip", "discovery_also": "static"}, nil,
			`option discovery_also "static": must be another way than discovery=gossip, and one of the two must be etcd`},
		{"from a list that is not given", opts{"discovery": "etcd", "discovery_also": "static", "-remote_ips": ""},
			keys{"dns_enabled": true},
			`option remote_ips: is required unless multicast_group is given: --opt remote_ips=ADDRESS,…`},
		{"from a multicast group", opts{"discovery": "etcd", "discovery_also": "static",
			"multicast_group": "239.1.1.1", "-remote_ips": ""}, keys{"dns_enabled": true},
			`option multicast_group "239.1.1.1": does not go with discovery=etcd, which tells to which hosts to flood`},
		{"discovery's own address manager", nil, keys{"ipam_options": map[string]string{"driver": "vxlan"}}, `--ipam-driver "vxlan": must be "host-local" or "none"`},
		{"multicast_group unicast", opts{"multicast_group": "10.1.1.1", "-remote_ips": ""}, nil, `option multicast_group "10.1.1.1": must be a multicast address, such as 239.1.1.1 or ff05::100`},
		{"multicast_group of the other family", opts{"multicast_group": "ff05::100", "-remote_ips": ""}, nil, `option local_ip "192.168.1.10": must be of the same address family as ff05::100`},
		{"physical_interface missing", opts{"-physical_interface": ""}, nil, `option physical_interface: is required: --opt physical_interface=VALUE`},
		{"physical_interface unknown", opts{"physical_interface": "eth9"}, nil, `option physical_interface "eth9": this host has no such interface; see ` + "`ip link`"},
		{"physical_interface down", opts{"physical_interface": "down0", "local_ip": "auto"}, nil, `option physical_interface "down0": is down; bring it up with ` + "`ip link set down0 up`"},
		{"physical_interface too small", opts{"physical_interface": "small0", "local_ip": "auto"}, nil, `option physical_interface "small0": has an MTU of 600, which leaves 550 for the overlay; it needs 576`},
		{"mtu too large", opts{"mtu": "1451"}, nil, `option mtu "1451": must be from 576 to 1450, since eth0 has an MTU of 1500 and VXLAN adds 50 bytes`},
		{"mtu too large on IPv6", opts{"mtu": "1431", "local_ip": "fd00:1::10", "remote_ips": "fd00:1::11"}, nil, `option mtu "1431": must be from 576 to 1430, since eth0 has an MTU of 1500 and VXLAN adds 70 bytes`},
		{"mtu too small", opts{"mtu": "575"}, nil, `option mtu "575": must be a number of bytes from 576`},
		{"mtu too small for IPv6 subnets", opts{"mtu": "1279"}, subnets("fd00:10::/64"), `option mtu "1279": must be from 1280 to 1450, since eth0 has an MTU of 1500 and VXLAN adds 50 bytes`},
		{"vrf with isolate", opts{"vrf": "red", "isolate": "true"}, nil, `option vrf "red": does not go with --internal, isolate or outbound_addr: in a VRF the rules do not see the bridge`},
		{"metric negative", opts{"metric": "-1"}, nil, `option metric "-1": must be a whole number from 0 to 4294967295`},
		{"boolean", opts{"no_default_route": "ja"}, nil, `option no_default_route "ja": must be true or false`},
		{"learning", opts{"learning": "2"}, nil, `option learning "2": must be true or false`},
		{"ageing 0 is the kernel's default", opts{"ageing": "0"}, nil, `option ageing "0": must be a number of seconds from 1 to 4294967295`},
		{"fdb_limit", opts{"fdb_limit": "many"}, nil, `option fdb_limit "many": must be a number of entries from 1 to 4294967295, or "unlimited"`},
		{"fdb_limit 0 is the kernel's word for unlimited", opts{"fdb_limit": "0"}, nil, `option fdb_limit "0": must be a number of entries from 1 to 4294967295, or "unlimited"`},
		{"ttl 0 is the kernel's word for auto", opts{"ttl": "0"}, nil, `option ttl "0": must be a number from 1 to 255, "auto" or "inherit"`},
		{"ttl", opts{"ttl": "256"}, nil, `option ttl "256": must be a number from 1 to 255, "auto" or "inherit"`},
		{"tos", opts{"tos": "0x100"}, nil, `option tos "0x100": must be a number from 0 to 255 but not 1, decimal or 0x…, or "inherit"`},
		{"df", opts{"df": "true"}, nil, `option df "true": must be "unset", "set" or "inherit"`},
		{"source_port_range", opts{"source_port_range": "9-8"}, nil, `option source_port_range "9-8": must be two different ports from 1 to 65535, the lower first, such as 49152-65535`},
		{"source_port_range of one port", opts{"source_port_range": "9-9"}, nil, `option source_port_range "9-9": must be two different ports from 1 to 65535, the lower first, such as 49152-65535`},
		{"physical_interface empty", opts{"physical_interface": ""}, nil, `option physical_interface: must be an interface of this host, or "auto"`},
		{"local_ip that the others do not list", opts{"local_ip": "192.168.1.110", "remote_ips": "192.168.1.10,192.168.1.11"}, nil,
			`option local_ip "192.168.1.110": is not in remote_ips, but 192.168.1.10 is, which this host has too; use the one that the other hosts list`},
		{"unknown option", opts{"remote-ip": "x"}, nil, `option "remote-ip": is unknown; did you mean "remote_ips"?`},
		{"option in capitals", opts{"MTU": "1400"}, nil, `option "MTU": is unknown; did you mean "mtu"?`},
		{"option of Docker's overlay", opts{"encrypted": "true"}, nil,
			`option "encrypted": is unknown; did you mean "encryption=wireguard"? See /usr/local/share/doc/vxlan-driver/docs/user/security.md`},
		{"encryption", opts{"encryption": "true"}, nil, `option encryption "true": must be "off" or "wireguard"`},
		{"encryption by IPsec", opts{"encryption": "ipsec"}, nil,
			`option encryption "ipsec": is not supported, since many kernels lack what it needs; use wireguard. ` +
				`Where FIPS 140 rules, WireGuard is not approved either: leave the option out, and set up IPsec between the hosts themselves`},
		{"encryption to a group", opts{"encryption": "wireguard", "multicast_group": "239.1.1.1", "-remote_ips": ""}, nil,
			`option encryption "wireguard": does not go with multicast_group: each packet is encrypted for one host; use discovery=gossip or remote_ips`},
		{"encryption without agents", opts{"encryption": "wireguard"}, keys{"dns_enabled": false},
			`option encryption "wireguard": needs the agents, which exchange the keys; use discovery=gossip, or let containers have names (leave out --disable-dns)`},
		{"encryption that learns", opts{"encryption": "wireguard", "learning": "true"}, keys{"dns_enabled": true},
			`option learning "true": does not go with encryption: only the agents say which host has a container`},
		{"encryption_port", opts{"encryption": "wireguard", "encryption_port": "1"}, keys{"dns_enabled": true},
			`option encryption_port "1": must be a whole number from 2 to 65535`},
		{"encryption_port without encryption", opts{"encryption": "off", "encryption_port": "51820"}, nil,
			`option encryption_port "51820": needs encryption=wireguard`},
		{"encryption_port that VXLAN has", opts{"encryption": "wireguard", "encryption_port": "4789"},
			keys{"dns_enabled": true},
			`option encryption_port "4789": takes the UDP ports 4788 and 4789, and one is the vxlan_port; choose another`},
		{"encryption_port beside that of VXLAN", opts{"encryption": "wireguard", "encryption_port": "4788"},
			keys{"dns_enabled": true},
			`option encryption_port "4788": takes the UDP ports 4788 and 4789, and one is the vxlan_port; choose another`},
		{"a bridge called as a WireGuard device", opts{"encryption": "wireguard"},
			keys{"dns_enabled": true, "network_interface": "wg1-vxlan-network"},
			`--interface-name "wg1-vxlan-network": is what a WireGuard device of the network is called; choose another`},
		{"mtu too large for encryption", opts{"encryption": "wireguard", "mtu": "1391"}, keys{"dns_enabled": true},
			`option mtu "1391": must be from 576 to 1390, since eth0 has an MTU of 1500 and VXLAN and WireGuard add 110 bytes`},
		{"mtu too large for encryption on IPv6", opts{"encryption": "wireguard", "mtu": "1351", "local_ip": "fd00:1::10",
			"remote_ips": "fd00:1::11"}, keys{"dns_enabled": true},
			`option mtu "1351": must be from 576 to 1350, since eth0 has an MTU of 1500 and VXLAN and WireGuard add 150 bytes`},
		{"option of Docker's bridge", opts{"com.docker.network.driver.mtu": "1400"}, nil, `option "com.docker.network.driver.mtu": is unknown; did you mean "mtu"?`},
		{"option of an earlier version", opts{"shortcut": "false"}, nil, `option "shortcut": is unknown; it is called "fast_path" now`},
		{"no subnet", nil, keys{"subnets": nil}, `--subnet: is required, the same on every host of the network; for a network without addresses use --ipam-driver none`},
		{"bad subnet", nil, subnets("10.0.0.0"), `--subnet "10.0.0.0": must be an address range such as 10.0.0.0/24 or fd00:10::/64`},
		{"subnet over the underlay", nil, subnets("192.168.0.0/16"), `--subnet "192.168.0.0/16": overlaps the underlay: eth0 has 192.168.1.10/24`},
		{"subnet over a remote host", opts{"remote_ips": "192.168.1.11,203.0.113.9"}, subnets("203.0.113.0/24"), `--subnet "203.0.113.0/24": overlaps the underlay: it contains the remote host 203.0.113.9`},
		{"subnets that overlap", nil, subnets("10.0.0.0/16", "10.0.9.0/24"), `--subnet "10.0.9.0/24": overlaps 10.0.0.0/16 of the same network`},
		{"gateway outside", nil, keys{"subnets": []any{map[string]string{"subnet": "10.0.0.0/24", "gateway": "10.0.1.1"}}}, `--gateway "10.0.1.1": must be an address of 10.0.0.0/24`},
		{"gateway is the broadcast address", nil, keys{"subnets": []any{map[string]string{"subnet": "10.0.0.0/24", "gateway": "10.0.0.255"}}}, `--gateway "10.0.0.255": is the broadcast address of 10.0.0.0/24`},
		{"loopback subnet", nil, subnets("127.5.0.0/24"), `--subnet "127.5.0.0/24": has addresses of 127.0.0.0/8, which are loopback; choose one such as 10.0.0.0/24 or fd00:10::/64`},
		{"subnet with loopback", nil, subnets("::/64"), `--subnet "::/64": has addresses of ::/127, which are loopback; choose one such as 10.0.0.0/24 or fd00:10::/64`},
		{"link-local subnet", nil, subnets("fe80:5::/64"), `--subnet "fe80:5::/64": has addresses of fe80::/10, which are link-local: each interface has one of its own; choose one such as 10.0.0.0/24 or fd00:10::/64`},
		{"subnet with multicast", nil, subnets("224.0.0.0/3"), `--subnet "224.0.0.0/3": must be an address range such as 10.0.0.0/24 or fd00:10::/64`},
		{"subnet with link-local addresses", nil, subnets("fc00::/6"), `--subnet "fc00::/6": has addresses of fe80::/10, which are link-local: each interface has one of its own; choose one such as 10.0.0.0/24 or fd00:10::/64`},
		{"gateway is the network", nil, keys{"subnets": []any{map[string]string{"subnet": "10.0.0.0/24", "gateway": "10.0.0.0"}}}, `--gateway "10.0.0.0": is the network address of 10.0.0.0/24`},
		{"ip range backwards", nil, keys{"subnets": []any{map[string]any{"subnet": "10.0.0.0/24", "lease_range": map[string]string{"start_ip": "10.0.0.9", "end_ip": "10.0.0.2"}}}}, `--ip-range "10.0.0.9-10.0.0.2": ends before it starts`},
		{"ipam dhcp", nil, keys{"ipam_options": map[string]string{"driver": "dhcp"}, "subnets": nil}, `--ipam-driver "dhcp": is not supported: the plugin has no DHCP client; use --subnet, or --ipam-driver none and a DHCP client in the container`},
		{"ipam none with subnets", nil, keys{"ipam_options": map[string]string{"driver": "none"}}, `--ipam-driver "none": does not go with --subnet`},
		{"ipam unknown", nil, keys{"ipam_options": map[string]string{"driver": "x"}}, `--ipam-driver "x": must be "host-local" or "none"`},
		{"route without a gateway", nil, keys{"routes": []any{map[string]string{"destination": "10.1.0.0/16"}}}, `--route "10.1.0.0/16": needs a gateway of the destination's address family`},
		{"route type", nil, keys{"routes": []any{map[string]string{"destination": "10.1.0.0/16", "route_type": "nat"}}}, `--route "10.1.0.0/16  nat": must be unicast, blackhole, unreachable or prohibit`},
		{"route through nobody", nil, keys{"routes": []any{map[string]string{"destination": "10.1.0.0/16", "gateway": "0.0.0.0"}}}, `--route "10.1.0.0/16 0.0.0.0": needs a gateway that is the address of a host`},
		{"a bridge called as the device", nil, keys{"name": "vx", "network_interface": "vxlan-vx"}, `--interface-name "vxlan-vx": is what the network's VXLAN device is called; choose another`},
		{"name that is a path", nil, keys{"name": "../x"}, `network name "../x": must have letters, digits, "_", "." and "-" only`},
		{"bridge called all", nil, keys{"network_interface": "all"}, `--interface-name "all": must not be "all" or "default": kernel parameters of that name are those of all interfaces`},
		{"bridge called default", nil, keys{"network_interface": "default"}, `--interface-name "default": must not be "all" or "default": kernel parameters of that name are those of all interfaces`},
		{"bridge name", nil, keys{"network_interface": "a/b"}, `--interface-name "a/b": must not have "/", ":", "%" or a space`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Parse(exampleNetwork(tt.opts, tt.keys), testHost, VTEP{})
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// One command, all its problems: also those of the host beside those of the text.
func TestParseReportsAllProblemsAtOnce(t *testing.T) {
	data := exampleNetwork(map[string]string{"vni": "x", "mtu": "9000", "vin": "1", "local_ip": "192.168.1.99"},
		map[string]any{"subnets": []any{map[string]string{"subnet": "192.168.1.0/24"}}})
	_, _, err := Parse(data, testHost, VTEP{})
	want := `5 problems
  option vni "x": must be a whole number from 1 to 16777215
  option "vin": is unknown; did you mean "vni"?
  option local_ip "192.168.1.99": is not an address of eth0, which has 192.168.1.10, 192.168.1.110, fd00:1::10; use one of those, or auto
  option mtu "9000": must be from 576 to 1450, since eth0 has an MTU of 1500 and VXLAN adds 50 bytes
  --subnet "192.168.1.0/24": overlaps the underlay: eth0 has 192.168.1.10/24`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// netavark's own tests set up such a network. Whoever creates one is told.
func TestIPv6WithoutIPv6Subnet(t *testing.T) {
	data := exampleNetwork(nil, map[string]any{"ipv6_enabled": true})
	if _, _, err := Parse(data, testHost, VTEP{}); err != nil {
		t.Errorf("setup: %v", err)
	}
	_, _, problems, err := ParseNew(data, testHost, nil)
	want := `--ipv6: needs a --subnet with an IPv6 prefix, the same on every host, such as fd00:10::/64`
	if err != nil || errorText(problems.Err()) != want {
		t.Errorf("create: %v, %v", problems, err)
	}
}

// A network that lists its hosts is encrypted too. As it is created it has no gateways yet, and so no names.
func TestCreateEncryptedNetworkOfListedHosts(t *testing.T) {
	data := exampleNetwork(map[string]string{"encryption": "wireguard"},
		map[string]any{"dns_enabled": true, "subnets": []map[string]string{{"subnet": "10.9.0.0/24"}}})
	n, _, problems, err := ParseNew(data, testHost, nil)
	if err != nil || problems.Err() != nil || !n.Encrypts() || n.HasNames() {
		t.Errorf("create: %v, %v; encrypts: %v, has names: %v", problems, err, n.Encrypts(), n.HasNames())
	}
}

// A kernel without VXLAN, and an address that packets cannot leave from, are found at create.
func TestCreateRefusesWhatCannotStart(t *testing.T) {
	without := testHost
	without.noVXLAN = true
	for _, tt := range []struct {
		host fakeHost
		opts map[string]string
		want string
	}{
		{without, nil, "kernel: no such kind of device"},
		{testHost, map[string]string{"outbound_addr4": "192.0.2.1"}, "option outbound_addr4 \"192.0.2.1\": no interface of this host has this address; see `ip address`"},
		{testHost, map[string]string{"outbound_addr6": "2001:db8::1"}, "option outbound_addr6 \"2001:db8::1\": no interface of this host has this address; see `ip address`"},
		{testHost, map[string]string{"outbound_addr4": "198.18.0.10", "outbound_addr6": "fd00:1::10"}, ""},
	} {
		_, _, problems, err := ParseNew(exampleNetwork(tt.opts, nil), tt.host, nil)
		if got := errorText(problems.Err()); err != nil || got != tt.want {
			t.Errorf("got %s, %v, want %s", got, err, tt.want)
		}
	}
}

func TestParseUnknownOptionListsAllOptions(t *testing.T) {
	_, _, err := Parse(exampleNetwork(map[string]string{"zzzzzz": "1"}, nil), testHost, VTEP{})
	if err == nil || !strings.Contains(err.Error(), "the options are vni, local_ip, remote_ips,") {
		t.Errorf("got %v", err)
	}
}

func TestParsePlacesTheNetwork(t *testing.T) {
	type opts = map[string]string
	tests := []struct {
		name string
		opts opts
		want string // interface, address, MTU, remotes
	}{
		{"as typed", nil, "eth0 192.168.1.10 1450 [192.168.1.11 192.168.1.12]"},
		{"one list for all hosts", opts{"remote_ips": "192.168.1.10, 192.168.1.12,192.168.1.11 ,,192.168.1.12"}, "eth0 192.168.1.10 1450 [192.168.1.11 192.168.1.12]"},
		{"local_ip auto", opts{"local_ip": "auto"}, "eth0 192.168.1.10 1450 [192.168.1.11 192.168.1.12]"},
		{"local_ip auto on IPv6", opts{"local_ip": "auto", "remote_ips": "fd00:1::11"}, "eth0 fd00:1::10 1430 [fd00:1::11]"},
		{"physical_interface auto by address", opts{"local_ip": "198.18.0.10", "physical_interface": "auto"}, "eth1 198.18.0.10 8950 [192.168.1.11 192.168.1.12]"},
		{"all auto by default route", opts{"local_ip": "auto", "physical_interface": "auto"}, "eth0 192.168.1.10 1450 [192.168.1.11 192.168.1.12]"},
		{"all auto on IPv6", opts{"local_ip": "auto", "physical_interface": "auto", "remote_ips": "fd00:1::11"}, "eth0 fd00:1::10 1430 [fd00:1::11]"},
		{"auto prefers what the others list", opts{"local_ip": "auto", "remote_ips": "192.168.1.110,192.168.1.11"}, "eth0 192.168.1.110 1450 [192.168.1.11]"},
		{"no other address of this host is a remote", opts{"remote_ips": "192.168.1.10,192.168.1.110,192.168.1.11"}, "eth0 192.168.1.10 1450 [192.168.1.11]"},
		{"multicast", opts{"-remote_ips": "", "multicast_group": "239.1.1.1"}, "eth0 192.168.1.10 1450 []"},
		{"mtu", opts{"mtu": "1400"}, "eth0 192.168.1.10 1400 [192.168.1.11 192.168.1.12]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, v, err := Parse(exampleNetwork(tt.opts, nil), testHost, VTEP{})
			if err != nil {
				t.Fatal(err)
			}
			if got := v.String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestParseReturnsLookupErrors(t *testing.T) {
	h := testHost
	h.lookupErr = errors.New("netlink is gone")
	if _, _, err := Parse([]byte(documentedExample), h, VTEP{}); !errors.Is(err, h.lookupErr) {
		t.Errorf("got %v", err)
	}
}

// A network that became invalid, for instance since its interface was renamed or an option is no
// more, must still be taken down.
func TestParseIdentityIgnoresOptions(t *testing.T) {
	id, err := ParseIdentity(exampleNetwork(map[string]string{"vni": "x", "gone": "1"}, map[string]any{"name": "blue"}))
	if err != nil || id.Bridge.Name != "br-vxlan-blue" || id.Device.Name != "vxlan-blue" || id.ID != "7c7b" {
		t.Errorf("got %+v, %v", id, err)
	}
	if _, err := ParseIdentity([]byte(`{"name":"x","id":"../../etc"}`)); err == nil {
		t.Error("an id that is a path was accepted")
	}
}

// A gateway outside the network's subnets may be reached by another network of the container. Then
// the kernel chooses the interface.
func TestRouteThroughAnotherNetwork(t *testing.T) {
	routes := []any{
		map[string]string{"destination": "10.1.0.0/16", "gateway": "10.0.0.9"},
		map[string]string{"destination": "10.2.0.0/16", "gateway": "172.16.0.1"},
		map[string]string{"destination": "fd00:2::/64", "gateway": "fe80::1"},
	}
	n, err := ParseStored(exampleNetwork(nil, map[string]any{"routes": routes}))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, false} {
		if got := n.Routes[i].AnyDevice; got != want {
			t.Errorf("%v: by any device: %v", routes[i], got)
		}
	}
}
