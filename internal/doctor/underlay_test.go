package doctor

import (
	"net/netip"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/kernel"
)

// underlayCases are about the underlay, and the tunnels that cross it.
var underlayCases = []checkCase{
	{"interface gone", func(f *Facts) { f.Networks[0].Underlay = kernel.Interface{} },
		[]string{"VX0201 failure the interface eth0 is gone"}, nil},
	{"interface renamed", func(f *Facts) { f.Networks[0].Underlay, f.Networks[0].Holder = kernel.Interface{}, "lan0" },
		[]string{"VX0201 failure the interface eth0 is gone, and lan0 has its address"},
		[]string{"ip link set lan0 down; ip link set lan0 name eth0   # or recreate the network with --opt " +
			"physical_interface=auto", "ip link set eth0 up", reload}},
	{"interface down", func(f *Facts) { f.Networks[0].Underlay.Up = false },
		[]string{"VX0201 failure the interface eth0 is down"}, []string{"ip link set eth0 up"}},
	{"address lost", func(f *Facts) { f.Networks[0].Underlay.Addrs = nil },
		[]string{"VX0201 failure the interface eth0 has lost the address 198.18.0.12"},
		[]string{"ip address add 198.18.0.12/24 dev eth0"}},
	{"address of another scope", func(f *Facts) {
		f.Networks[0].Underlay.Addrs = nil
		f.Networks[0].Narrow = ScopedAddrs{"host", []netip.Prefix{prefix("198.18.0.12/24"), prefix("198.18.0.13/24")}}
	}, []string{"VX0201 failure the address 198.18.0.12 of eth0 has the scope host, with which no network can use it"},
		[]string{"ip address add 198.18.0.12/32 dev eth0", "ip address delete 198.18.0.13/24 dev eth0",
			"ip address delete 198.18.0.12/24 dev eth0", "ip address add 198.18.0.12/24 dev eth0",
			"ip address add 198.18.0.13/24 dev eth0", "ip address delete 198.18.0.12/32 dev eth0"}},
	{"address of the whole host", func(f *Facts) {
		f.Networks[0].Underlay.Addrs = []netip.Prefix{prefix("192.0.2.1/31")}
		f.Prefixes = []kernel.HostPrefix{{Prefix: prefix("198.18.0.12/32"), Interface: "lo", Use: kernel.UseAddress}}
	}, nil, nil},
	{"blackhole", func(f *Facts) {
		f.Networks[0].Paths[0].Route = kernel.Path{}
		f.Routing.DeadEnds = []Route{{Type: "blackhole", Dst: prefix("198.18.0.0/16"), Delete: "long"},
			{Type: "blackhole", Dst: prefix("198.18.0.11/32"), Delete: "delete it"}}
	}, []string{"VX0203 failure there is no route to host 198.18.0.11"}, []string{"delete it"}},
	{"rule", func(f *Facts) {
		f.Networks[0].Paths[0].Route = kernel.Path{}
		f.Routing.Rules = []Rule{{Text: "to all", Delete: "ip -4 rule delete priority 5"}}
	}, []string{"VX0203 failure there is no route to host 198.18.0.11"}, []string{"ip -4 rule delete priority 5"}},
	{"one rule of several", func(f *Facts) {
		f.Networks[0].Paths[0].Route = kernel.Path{}
		f.Routing.Rules = []Rule{{Text: "lookup 52", Delete: "first"},
			{Text: "from another", From: prefix("192.0.2.0/24"), Delete: "second"},
			{Text: "refuses", To: prefix("198.18.0.0/24"), Refuses: true, Delete: "third"}}
	}, []string{"VX0203 failure there is no route to host 198.18.0.11"}, []string{"third"}},
	{"IPsec", func(f *Facts) {
		f.Routing.Blocks = []Rule{{Text: "src …", From: prefix("198.18.0.12/32"), To: prefix("198.18.0.0/24"),
			Delete: "ip xfrm policy delete"}}
	}, []string{"VX0203 failure an IPsec policy blocks packets between this host and host 198.18.0.11"},
		[]string{"ip xfrm policy delete"}},
	{"underlay in a bridge",
		func(f *Facts) { f.Networks[0].Links = []LinkFlags{{Name: "eth0", Master: "br0", MasterKind: "bridge"}} },
		[]string{"VX0201 failure the interface eth0 is a port of br0, so packets for this host's address do not reach it"},
		nil},
	{"underlay in a VRF", func(f *Facts) {
		f.Networks[0].Links = []LinkFlags{{Name: "eth0", Master: "red",
			MasterKind: "vrf"}}
	}, nil, nil},
	{"rule of a VPN", func(f *Facts) {
		f.Networks[0].Paths[0].Route.Interface = "wg0"
		f.Routing.Rules = []Rule{{Text: "lookup 51820", Delete: "ip -4 rule delete priority 5", Priority: 5}}
	}, []string{"VX0203 failure packets to host 198.18.0.11 leave by wg0 and not by eth0"},
		[]string{"ip rule add to 198.18.0.11 lookup main priority 4"}},
	{"other way", func(f *Facts) { f.Networks[0].Paths[0].Route.Interface = "wg0" },
		[]string{"VX0203 failure packets to host 198.18.0.11 leave by wg0 and not by eth0"},
		[]string{"ip route replace 198.18.0.11 dev eth0"}},
	{"other source", func(f *Facts) {
		f.Networks[0].Underlay.Addrs = append(f.Networks[0].Underlay.Addrs, prefix("198.18.0.99/24"))
		f.Networks[0].Paths[0].Free.Source = addr("198.18.0.99")
	}, []string{"VX0204 warning the route to host 198.18.0.11 has the source 198.18.0.99, and the network sends " +
		"from 198.18.0.12"}, nil},
	{"small MTU", func(f *Facts) { f.Networks[0].Underlay.MTU = 1400 },
		[]string{"VX0205 failure eth0 has the MTU 1400, and the network's packets need 1500"},
		[]string{"ip link set eth0 mtu 1500", reload}},
	{"small MTU of a path", func(f *Facts) { f.Networks[0].Paths[0].MTU = 1300 },
		[]string{"VX0205 failure the path to host 198.18.0.11 has the MTU 1300, and the network's packets need 1500"}, nil},
	{"small MTU of a route", func(f *Facts) {
		f.Networks[0].Paths[0].MTU, f.Networks[0].Paths[0].Matched = 1300, "198.18.0.11 dev eth0 scope link mtu lock 1300"
	}, []string{"VX0205 failure the path to host 198.18.0.11 has the MTU 1300, and the network's packets need 1500"},
		[]string{"ip route replace 198.18.0.11 dev eth0 scope link"}},
	{"MTU that fell", func(f *Facts) {
		f.Moved = []string{"network blue has an MTU of 1350 now, no longer 1450, since eth0 has 1400"}
		f.Changes = []Change{change(kernel.SetMTU{Name: "br-blue", MTU: 1350})}
	}, []string{"VX0205 failure eth0 has the MTU 1400, and packets of the network's MTU 1450 need 1500"},
		[]string{"ip link set eth0 mtu 1500", reload}},
	{"port taken", func(f *Facts) { f.Sockets[1].Program, f.Sockets[1].PID = "socat", 77 },
		[]string{"VX0206 failure the program socat has UDP port 4789, which the network needs"}, nil},
	{"no place", func(f *Facts) { f.Misplaced = map[string]string{"red": "option local_ip: gone"} },
		[]string{"VX0201 warning a container of the network would not start here: option local_ip: gone"}, nil},
	{"underlay that is smaller than another host's", func(f *Facts) {
		f.Agent.Report.Differences = []string{
			"network blue differs on host b (198.18.0.12): the MTU is 1450 there and 1350 here; type on both: vxlanctl " +
				"network set blue mtu=1350",
			"network blue differs on host b (198.18.0.12): the MTU of the physical interface is 1500 there and 1400 here; " +
				"packets over 1400 bytes may be lost between them",
		}
	}, []string{
		"VX0205 failure eth0 has the MTU 1400, and the physical interface of host b (198.18.0.12) has 1500",
		"VX0605 failure network blue differs on host b (198.18.0.12): the MTU is 1450 there and 1350 here",
	}, []string{"ip link set eth0 mtu 1500", reload}},
	{"IPv6 that is switched off on the underlay", func(f *Facts) {
		f.Networks[0].VTEP.Local, f.Networks[0].VTEP.MTU = addr("fd00::12"), 1430
		f.Networks[0].Paths = nil
		f.Kernel.Parameters["net/ipv6/conf/eth0/disable_ipv6"] = "1"
	}, []string{"VX0201 failure the interface eth0 has lost the address fd00::12, since IPv6 is switched off on it",
		"VX0102 warning net.ipv6.conf.eth0.disable_ipv6 is 1: it has no IPv6"},
		[]string{"sysctl -w net/ipv6/conf/eth0/disable_ipv6=0", "ip address add fd00::12/64 dev eth0"}},
	{"rule of the kernel's", func(f *Facts) {
		f.Routing.Lacking = []Rule{{Text: "main", Delete: "ip -4 rule add priority 32766 lookup main"}}
		f.Networks[0].Paths[0].Route = kernel.Path{}
	}, []string{"VX0203 failure no rule of routing looks up the table main, so this host finds no way"},
		[]string{"ip -4 rule add priority 32766 lookup main"}},
	{"router that is gone", func(f *Facts) {
		p := &f.Networks[0].Paths[0]
		p.Matched, p.DeadRouter = "198.18.0.11 via 198.18.0.99 dev eth0", addr("198.18.0.99")
	}, []string{"VX0203 failure packets to host 198.18.0.11 go to the router 198.18.0.99, which does not answer"},
		[]string{"ip route replace 198.18.0.11 dev eth0"}},
	{"IPsec without keys", func(f *Facts) {
		f.Networks[0].Paths[0].Ping.Size = 1500
		f.Routing.Blocks = []Rule{{From: prefix("198.18.0.12/32"), To: prefix("198.18.0.11/32"), LacksState: true,
			Delete: "ip xfrm x"}}
	}, []string{"VX0203 failure an IPsec policy wants packets between this host and host 198.18.0.11 encrypted, and " +
		"there are no keys for it"},
		[]string{"ip xfrm x   # or start the program that agrees on keys"}},
	{"IPsec that has no keys yet", func(f *Facts) {
		f.Networks[0].Paths[0].Ping = PathPing{Size: 1500, Full: true}
		f.Routing.Blocks = []Rule{{From: prefix("198.18.0.12/32"), To: prefix("198.18.0.11/32"), LacksState: true}}
	}, nil, nil},
	{"carrier", func(f *Facts) { f.Networks[0].NoCarrier = true },
		[]string{"VX0201 failure the interface eth0 has no carrier"}, nil},
	{"wrong neighbour", func(f *Facts) {
		f.Networks[0].Neighbours = []Neighbour{{Addr: addr("198.18.0.11"), MAC: kernel.MAC{2, 9}, Permanent: true,
			Answers: []kernel.MAC{{2, 8}}}}
	}, []string{"VX0207 failure the kernel sends to host 198.18.0.11 by the MAC 02:09:00:00:00:00, and " +
		"02:08:00:00:00:00 has the address"}, []string{"ip neigh delete 198.18.0.11 dev eth0"}},
	{"underlay's MTU raised", func(f *Facts) {
		f.Moved = []string{"network blue has an MTU of 8950 now, no longer 1450, since eth0 has 9000"}
	}, []string{"VX0205 failure eth0 has the MTU 9000, no longer 1500, and the network's MTU follows it"},
		[]string{"ip link set eth0 mtu 1500   # or raise that of all hosts, and of what is between them", reload}},
	{"address that the kernel does not take", func(f *Facts) {
		f.Networks[0].Unowned = []InterfaceAddr{{"eth0", prefix("198.18.0.12/24")}, {"br-blue", prefix("10.0.0.1/24")},
			{"br-blue", prefix("fd00::1/64")}}
	}, []string{"VX0201 failure eth0 has the address 198.18.0.12, and the kernel does not take packets to it for " +
		"this host's",
		"VX0408 failure br-blue has the address 10.0.0.1, and the kernel does not take packets to it for this host's",
		"VX0408 failure br-blue has the address fd00::1, and the kernel does not take packets to it for this host's"},
		[]string{"ip route add local 198.18.0.12 dev eth0 table local proto kernel scope host src 198.18.0.12"}},
	{"port of the kernel", func(f *Facts) {
		f.Devices[0].Up, f.Changes = false, []Change{change(kernel.SetUp{Name: "vxlan-blue"})}
	},
		[]string{"VX0206 failure something in the kernel has UDP port 4789, which the network needs",
			"VX0402 failure vxlan-blue is down"}, nil},
	{"local route to another host", func(f *Facts) {
		f.Networks[0].Paths[0].Route, f.Networks[0].Paths[0].Matched = kernel.Path{}, "local 198.18.0.11 dev lo scope host"
	}, []string{"VX0203 failure there is no route to host 198.18.0.11"},
		[]string{"ip route delete local 198.18.0.11 dev lo scope host table local"}},
	{"way to another host by the bridge", func(f *Facts) { f.Networks[0].Paths[0].Route.Interface = "br-blue" },
		[]string{"VX0203 failure packets to host 198.18.0.11 leave by br-blue and not by eth0"},
		[]string{"ip route replace 198.18.0.11 dev eth0"}},
	{"address twice on the underlay", func(f *Facts) {
		f.Networks[0].Elsewhere = []Claimant{{addr("198.18.0.12"), kernel.MAC{2, 9}, "eth0", ""}}
	},
		[]string{"VX0307 failure another host on eth0 has the address 198.18.0.12 too"}, nil},
	{"another host's address", func(f *Facts) {
		f.Networks[0].Paths[0].Route = kernel.Path{}
		f.Addrs = []InterfaceAddr{{"lo", prefix("198.18.0.11/32")}}
	}, []string{"VX0307 failure this host has the address 198.18.0.11, which is that of another host, on lo"},
		[]string{"ip address delete 198.18.0.11/32 dev lo", reload}},
	{"two hosts with one address", func(f *Facts) {
		f.Networks[0].Neighbours = []Neighbour{{Addr: addr("198.18.0.11"), Answers: []kernel.MAC{{2, 8}, {2, 9}}}}
	}, []string{"VX0307 failure several hosts on eth0 have the address 198.18.0.11"}, nil},
	{"proxies", func(f *Facts) {
		f.Proxies = []InterfaceAddr{{"eth0", prefix("198.18.0.11/32")}, {"br-blue", prefix("10.0.0.130/32")},
			{"br9", prefix("10.0.0.131/32")}}
	}, []string{"VX0307 failure this host answers on eth0 in place of 198.18.0.11, which is another's address",
		"VX0601 failure this host answers on br-blue in place of 10.0.0.130, which is another's address"},
		[]string{"ip neigh delete proxy 198.18.0.11 dev eth0"}},
	{"packets that are marked, and no rule for such", func(f *Facts) {
		f.Rules = []Rule{{Text: "udp dport 4789 meta mark set 0x42", Chain: "inet mk c", Marks: true,
			Delete: "nft delete rule"}}
		f.Networks[0].Tunnels = []Tunnel{{Host: addr("198.18.0.11"), Learned: "02"}}
	}, []string{"VX0301 warning no VXLAN packet passes to or from host 198.18.0.11"}, nil},
	{"rule that translates", func(f *Facts) { f.Rules = []Rule{{Text: "snat", Delete: "nft delete", Translates: true}} },
		[]string{"VX0305 failure a rule of another program translates packets between hosts"}, []string{"nft delete"}},
	{"rule that may drop", func(f *Facts) { f.Rules = []Rule{{Text: "drop"}} }, nil, nil},
	{"another VNI", func(f *Facts) {
		f.Networks[0].Definition = &adopt.Definition{Name: "blue",
			Options: map[string]string{"vni": "7", "local_ip": "auto", "physical_interface": "eth0",
				"remote_ips": "198.18.0.11"},
			Subnets: []adopt.Subnet{{Prefix: "10.0.0.0/24", Gateway: "10.0.0.1"}}}
		f.Agent.Report.Differences = []string{"network blue differs on host a (198.18.0.11): the VNI is 8 there and 7 " +
			"here; recreate the network"}
	}, []string{"VX0306 failure network blue differs on host a (198.18.0.11): the VNI is 8 there and 7 here"}, []string{
		"podman network disconnect blue cb", "podman network rm blue",
		"podman network create --driver vxlan --opt vni=8 --opt local_ip=auto --opt remote_ips=198.18.0.11 --opt " +
			"physical_interface=eth0 --subnet 10.0.0.0/24 --gateway 10.0.0.1 blue",
		"podman network connect --ip 10.0.0.2 blue cb"}},
}
