package doctor

import (
	"net/netip"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// deviceCases are about devices, bridges, forwarding tables and containers.
var deviceCases = []checkCase{
	{"no ARP", func(f *Facts) { f.Networks[0].Links = []LinkFlags{{Name: "eth0", NoARP: true, Broadcast: true}} },
		[]string{"VX0402 failure eth0 has ARP switched off, so it finds nobody and nobody finds it"},
		[]string{"ip link set eth0 arp on"}},
	{"a link that has no ARP", func(f *Facts) { f.Networks[0].Links = []LinkFlags{{Name: "wg0", NoARP: true}} }, nil, nil},
	{"container without ARP", func(f *Facts) {
		f.Networks[0].Insides = []Inside{{Container: "cb", Namespace: "/run/netns/cb", Interface: "eth0", NoARP: true}}
	}, []string{"VX0409 failure container cb: eth0 has ARP switched off"},
		[]string{"nsenter --net=/run/netns/cb ip link set eth0 arp on"}},
	{"container's loopback, and its subnet's route", func(f *Facts) {
		f.Networks[0].Insides = []Inside{{Container: "cb", Namespace: "/n", Interface: "eth0", LoopbackDown: true,
			Unreached: []netip.Prefix{prefix("10.0.0.2/24")}}}
	}, []string{"VX0409 failure container cb: it has no route to the subnet 10.0.0.0/24 by eth0",
		"VX0409 failure container cb: lo is down, so its programs do not reach each other"},
		[]string{"nsenter --net=/n ip route add 10.0.0.0/24 dev eth0 src 10.0.0.2"}},
	{"container's neighbours", func(f *Facts) {
		own := network.BridgeMAC(7, addr("198.18.0.12"))
		f.Networks[0].Insides = []Inside{{Container: "cb", Namespace: "/n", Interface: "eth0", Neighbours: []Neighbour{
			{Addr: addr("10.0.0.254"), MAC: own}, {Addr: addr("10.0.0.9"), MAC: kernel.MAC{2, 9}},
			{Addr: addr("10.0.0.2"), MAC: kernel.MAC{2, 9}}}}}
	}, []string{"VX0409 failure container cb: it sends to 10.0.0.2 by the MAC 02:09:00:00:00:00, and " +
		"02:01:00:00:00:00 has the address"},
		[]string{"nsenter --net=/n ip neigh delete 10.0.0.2 dev eth0"}},
	{"container's routes and queues", func(f *Facts) {
		f.Networks[0].Insides = []Inside{{
			Container: "cb", Namespace: "/n", Interface: "eth0",
			DeadEnds: []Route{{Type: "blackhole", Dst: prefix("10.0.0.0/25"), Delete: "delete route"}},
			Rules:    []Rule{{Text: "x", Delete: "delete rule"}}, SilentRouters: []SilentRouter{{addr("10.0.0.99"), "default"}},
			Hooks: []DeviceHook{{What: "qdisc tbf", Drops: true, Remove: "tc x"}, {What: "qdisc htb", Remove: "tc y"}}}}
	}, []string{"VX0409 failure container cb: a qdisc tbf drops its packets",
		"VX0409 failure container cb: it has a route of type blackhole to 10.0.0.0/25",
		"VX0409 failure container cb: it has a rule that refuses packets",
		"VX0409 failure container cb: it sends to 10.0.0.99 what leaves the network, and nobody has that address"},
		[]string{"nsenter --net=/n tc x"}},
	{"fixed entries", func(f *Facts) {
		f.Networks[0].FixedEntries = []FixedEntry{
			{Device: "br-blue", MAC: kernel.MAC{2, 7}, Addr: addr("10.0.0.2")},
			{Device: "br-blue", MAC: kernel.MAC{2, 1}, Addr: addr("10.0.0.2")},
			{Device: "vxlan-blue", MAC: kernel.MAC{2, 1}},
			{Device: "vxlan-blue", MAC: kernel.MAC{2, 5}, Self: true, Dst: addr("198.18.0.77")},
			{Device: "vxlan-blue", Self: true, Dst: addr("198.18.0.11")}, {Device: "vxlan-blue", MAC: kernel.MAC{2, 8}}}
	}, []string{"VX0403 failure somebody has fixed that 02:05:00:00:00:00 is behind host 198.18.0.77, in a network " +
		"that learns that",
		"VX0403 failure somebody has fixed that 02:08:00:00:00:00 is behind vxlan-blue",
		"VX0403 failure the bridge br-blue has the MAC of container cb behind vxlan-blue",
		"VX0404 failure this host sends to the container at 10.0.0.2 by the MAC 02:07:00:00:00:00, and " +
			"02:01:00:00:00:00 has the address"},
		[]string{"bridge fdb delete 02:05:00:00:00:00 dev vxlan-blue self"}},
	{"a fixed entry of the bridge, and those of the devices", func(f *Facts) {
		f.Networks[0].FixedEntries = []FixedEntry{
			{Device: "br-blue", MAC: kernel.MAC{2, 8}}, {Device: "br-blue", MAC: network.BridgeMAC(7, addr("198.18.0.12"))},
			{Device: "br-blue", MAC: kernel.MAC{2, 9}, IsOwn: true}, {Device: "vxlan-blue", MAC: kernel.MAC{2, 10}, IsOwn: true},
			{Device: "br-blue", MAC: kernel.MAC{0x33, 0x33}}, {Device: "eth7", MAC: kernel.MAC{2, 11}}}
	}, []string{"VX0403 failure somebody has fixed that 02:08:00:00:00:00 is behind br-blue"},
		[]string{"bridge fdb delete 02:08:00:00:00:00 dev br-blue self"}},
	{"fixed neighbour of another host's container", func(f *Facts) {
		f.Networks[0].FixedEntries = []FixedEntry{
			{Device: "br-blue", MAC: kernel.MAC{2, 7}, Addr: addr("10.0.0.130"), Holder: kernel.MAC{2, 8}},
			{Device: "br-blue", MAC: kernel.MAC{2, 7}, Addr: addr("10.0.0.131")}}
	}, []string{"VX0404 failure this host sends to the container at 10.0.0.130 by the MAC 02:07:00:00:00:00, and " +
		"02:08:00:00:00:00 has the address"},
		[]string{"ip neigh delete 10.0.0.130 dev br-blue"}},
	{"fixed entries of the agent's", func(f *Facts) {
		f.Networks[0].DNS = true
		f.Networks[0].FixedEntries = []FixedEntry{{Device: "vxlan-blue", MAC: kernel.MAC{2, 5}, Self: true,
			Dst: addr("198.18.0.77")}}
	}, nil, nil},
	{"device missing", func(f *Facts) {
		f.Sockets = f.Sockets[:1]
		f.Changes = []Change{change(kernel.CreateLink{Link: kernel.Link{Name: "vxlan-blue", Kind: kernel.KindVXLAN}}),
			change(kernel.SetUp{Name: "vxlan-blue"}),
			change(kernel.SetAlias{Name: "vxlan-blue"}), change(kernel.AddFDB{Name: "vxlan-blue"})}
	}, []string{"VX0401 failure the VXLAN device vxlan-blue is missing"}, []string{reload}},
	{"device down", func(f *Facts) { f.Changes = []Change{change(kernel.SetUp{Name: "br-blue"})} },
		[]string{"VX0402 failure br-blue is down"}, []string{reload}},
	{"device off the bridge",
		func(f *Facts) { f.Changes = []Change{change(kernel.SetMaster{Name: "vxlan-blue", Master: "br-blue"})} },
		[]string{"VX0402 failure vxlan-blue is not a port of br-blue"}, nil},
	{"alias", func(f *Facts) { f.Changes = []Change{change(kernel.SetAlias{Name: "br-blue", Alias: "x"})} },
		[]string{"VX0410 warning a device has lost its alias or alternative name"}, nil},
	{"addresses", func(f *Facts) {
		f.Changes = []Change{change(kernel.AddAddr{Name: "br-blue", Addr: kernel.Addr{Prefix: prefix("10.0.0.254/24")}}),
			change(kernel.AddAddr{Name: "br-blue", Addr: kernel.Addr{Prefix: prefix("10.0.0.1/24")}})}
	}, []string{"VX0408 failure br-blue lacks the gateway's address 10.0.0.1"}, nil},
	{"flood entry", func(f *Facts) {
		f.Changes = []Change{change(kernel.AddFDB{Name: "vxlan-blue", FDB: kernel.FDB{Dst: addr("198.18.0.11")}})}
	},
		[]string{"VX0403 failure vxlan-blue sends no frames to host 198.18.0.11"}, nil},
	{"port gone", func(f *Facts) { f.MissingPorts = []MissingPort{{"blue", "cb", "veth1"}} },
		[]string{"VX0401 failure container cb has no interface on the network"}, []string{"podman network reload cb"}},
	{"container", func(f *Facts) {
		f.Changes = []Change{inside(kernel.SetUp{Name: "eth0"}),
			inside(kernel.AddRoute{Name: "eth0",
				Route: kernel.Route{Type: kernel.RouteUnicast, Dst: prefix("0.0.0.0/0"), Gateway: addr("10.0.0.1")}})}
	}, []string{"VX0409 failure container cb: eth0 is down"},
		[]string{"nsenter --net=/run/netns/cb ip link set eth0 up",
			"nsenter --net=/run/netns/cb ip route append 0.0.0.0/0 via 10.0.0.1 dev eth0 metric 0"}},
	{"parameter of a container", func(f *Facts) {
		f.Changes = []Change{inside(kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: "net/ipv6/conf/eth0/accept_ra",
			Value: "0"}}})}
	},
		[]string{"VX0409 warning container cb: the kernel parameter net.ipv6.conf.eth0.accept_ra does not have the value 0"},
		[]string{"nsenter --net=/run/netns/cb sysctl -w net/ipv6/conf/eth0/accept_ra=0"}},
	{"managed device", func(f *Facts) {
		f.Managers = []Manager{{Program: "NetworkManager", Network: "blue", Devices: []string{"br-blue"},
			Evidence: []string{"nmcli shows it"}, Leave: []string{"nmcli x"}}}
	}, []string{"VX0412 warning NetworkManager manages br-blue, and may change what the driver has set"},
		[]string{"nmcli x"}},
	{"managed device that was changed", func(f *Facts) {
		f.Managers = []Manager{{Program: "NetworkManager", Network: "blue", Devices: []string{"br-blue"},
			Evidence: []string{"nmcli shows it"}, Leave: []string{"nmcli x"}}}
		f.Changes = []Change{change(kernel.SetMTU{Name: "br-blue", MTU: 1450}),
			change(kernel.AddAddr{Name: "br-blue", Addr: kernel.Addr{Prefix: prefix("10.0.0.1/24")}})}
	}, []string{"VX0412 failure NetworkManager manages br-blue and has changed what the driver had set"},
		[]string{"nmcli x", reload}},
	{"managed device, and another one that was changed", func(f *Facts) {
		f.Managers = []Manager{{Program: "NetworkManager", Network: "blue", Devices: []string{"br-blue"},
			Evidence: []string{"nmcli shows it"}, Leave: []string{"nmcli x"}}}
		f.Changes = []Change{change(kernel.SetMTU{Name: "vxlan-blue", MTU: 1450})}
	}, []string{"VX0402 failure vxlan-blue does not have the MTU 1450",
		"VX0412 warning NetworkManager manages br-blue, and may change what the driver has set"}, []string{reload}},
	{"program that may have changed the MAC", func(f *Facts) {
		f.Managers = []Manager{{Program: "systemd-udevd", Network: "blue", Devices: []string{"br-blue"},
			Only: []ChangeKind{ChangeMAC}, Leave: []string{"x"}}}
		f.Changes = []Change{change(kernel.SetMAC{Name: "br-blue"})}
	}, []string{"VX0412 failure systemd-udevd manages br-blue and has changed what the driver had set"},
		[]string{"x", reload}},
	{"program that cannot have set it down", func(f *Facts) {
		f.Managers = []Manager{{Program: "systemd-udevd", Network: "blue", Devices: []string{"br-blue"},
			Only: []ChangeKind{ChangeMAC}}}
		f.Changes = []Change{change(kernel.SetUp{Name: "br-blue"})}
	}, []string{"VX0402 failure br-blue is down"}, []string{reload}},
	{"foreign VNI", func(f *Facts) {
		f.Devices[0].Name, f.Devices[0].Alias, f.Devices[0].Up = "flannel.7", "", true
		f.Changes = []Change{change(kernel.CreateLink{Link: kernel.Link{Name: "vxlan-blue", Kind: kernel.KindVXLAN}})}
	}, []string{"VX0406 failure device flannel.7 has the VNI 7 on UDP port 4789, which the network needs"},
		[]string{"ip link delete flannel.7", reload}},
	{"foreign name", func(f *Facts) {
		f.Networks[0].Intruders = []kernel.Link{{Name: "br-blue", Kind: "dummy", Alias: "mine"}}
	},
		[]string{"VX0406 failure another program's device has the name br-blue, which the network needs"},
		[]string{"ip link delete br-blue", reload}},
	{"entries", func(f *Facts) {
		f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue",
			Drifted: &agentapi.DriftedEntries{MACs: []string{"02:00:00:00:00:01"}, Addrs: []netip.Addr{addr("10.0.0.9")}}}}
	}, []string{"VX0403 failure forwarding entries of containers on other hosts are missing or wrong",
		"VX0404 failure neighbour entries of containers on other hosts are missing or wrong"}, []string{reload}},
	{"what was repaired", func(f *Facts) {
		f.Agent.Report.Repaired = []agentapi.Event{{Code: "VX0501", Text: "rules are back"},
			{Code: "VX0403", Text: "an entry is set right", Age: 3 * time.Second}}
	}, []string{"VX0403 warning just repaired: an entry is set right", "VX0501 warning just repaired: rules are back"},
		[]string{"vxlanctl events   # if it comes again, look for the program that does it"}},
	{"carriers", func(f *Facts) {
		f.Networks[0].Links = []LinkFlags{{Name: "vxlan-blue", ProtoDown: true}, {Name: "lo", IsDown: true}}
	}, []string{"VX0402 failure vxlan-blue has its carrier switched off (protodown)",
		"VX0402 warning the interface lo is down, so programs of this host do not reach its own addresses"},
		[]string{"ip link set vxlan-blue protodown off"}},
	{"bridge's own MAC", func(f *Facts) {
		f.Networks[0].FixedEntries = []FixedEntry{{Device: "vxlan-blue", MAC: network.BridgeMAC(7, addr("198.18.0.12"))}}
	}, []string{"VX0403 failure the bridge br-blue has its own MAC behind vxlan-blue, so nobody reaches the gateway"},
		nil},
	{"flooding off", func(f *Facts) {
		f.Networks[0].Ports = []Port{{"vxlan-blue",
			map[string]any{"flags": []any{"UP"}, "state": "forwarding", "flood": false, "mcast_flood": false,
				"isolated": false}}}
	}, []string{"VX0402 failure the bridge's port vxlan-blue has flood false, mcast_flood false"},
		[]string{"bridge link set dev vxlan-blue flood on", "bridge link set dev vxlan-blue mcast_flood on"}},
	{"port without carrier", func(f *Facts) {
		f.Networks[0].Ports = []Port{{"veth1", map[string]any{"flags": []any{"UP", "NO-CARRIER"}, "state": "disabled"}}}
	}, nil, nil},
	{"spanning tree", func(f *Facts) {
		f.Networks[0].BridgeSettings = map[string]any{"stp_state": 1.,
			"vlan_filtering": 0.}
	},
		[]string{"VX0402 failure the bridge br-blue has stp_state 1"},
		[]string{"ip link set br-blue type bridge stp_state 0"}},
	{"spanning tree that stopped a port", func(f *Facts) {
		f.Networks[0].BridgeSettings = map[string]any{"stp_state": 1.}
		f.Networks[0].Ports = []Port{{"vxlan-blue", map[string]any{"flags": []any{"UP"}, "state": "listening"}}}
	}, []string{"VX0402 failure the bridge br-blue has stp_state 1"},
		[]string{"ip link set br-blue type bridge stp_state 0", "bridge link set dev vxlan-blue state 3"}},
	{"a container that leads its questions elsewhere", func(f *Facts) {
		f.Networks[0].Names[0].Err = "no answer"
		f.Networks[0].Insides = []Inside{{Container: "cb", Namespace: "/n", Interface: "eth0",
			Filters: []Rule{{Text: "table ip nat: udp dport 53 redirect", Translates: true, Delete: "nft delete table ip nat"}}}}
	}, []string{"VX0409 failure container cb: rules of its own lead its questions for names elsewhere"},
		[]string{"nsenter --net=/n nft delete table ip nat"}},
	{"device with other attributes", func(f *Facts) {
		f.Changes = []Change{change(kernel.DeleteLink{Name: "vxlan-blue"}),
			change(kernel.CreateLink{Link: kernel.Link{Name: "vxlan-blue", Kind: kernel.KindVXLAN}}),
			change(kernel.SetAlias{Name: "vxlan-blue"}), change(kernel.AddFDB{Name: "vxlan-blue"})}
	}, []string{"VX0402 failure vxlan-blue has other attributes than the network, or another name"}, []string{reload}},
	{"device in another namespace", func(f *Facts) {
		f.Sockets, f.Networks[0].Stray = f.Sockets[:1], "/run/netns/q"
		f.Changes = []Change{change(kernel.CreateLink{Link: kernel.Link{Name: "vxlan-blue", Kind: kernel.KindVXLAN}})}
	}, []string{"VX0401 failure the VXLAN device vxlan-blue was moved into another network namespace, and keeps its VNI"},
		[]string{"nsenter --net=/run/netns/q ip link delete vxlan-blue", reload}},
	{"device for all VNIs", func(f *Facts) {
		f.Collectors, f.Changes = []Collector{{"cilium_vxlan", 4789}, {"other", 4790}},
			[]Change{change(kernel.SetUp{Name: "vxlan-blue"})}
	}, []string{"VX0406 failure device cilium_vxlan takes packets of all VNIs on UDP port 4789, which the network needs"},
		[]string{"ip link delete cilium_vxlan   # or recreate the network with another --opt vxlan_port on all hosts",
			reload}},
	{"device for all VNIs that is in no way", func(f *Facts) { f.Collectors = []Collector{{"cilium_vxlan", 4789}} }, nil,
		nil},
	{"attributes of the VXLAN device", func(f *Facts) {
		f.Devices[0].Tunnel.TTL, f.Devices[0].Tunnel.DF = kernel.Some(kernel.TTL{Value: 1}), kernel.Some(kernel.DFSet)
	}, []string{"VX0402 warning vxlan-blue has df set, which the network does not ask for",
		"VX0402 warning vxlan-blue has the TTL 1, which the network does not ask for"},
		[]string{"ip link set vxlan-blue type vxlan df unset"}},
	{"attributes that the network asks for", func(f *Facts) {
		ttl, df := kernel.Some(kernel.TTL{Inherit: true}), kernel.Some(kernel.DFInherit)
		f.Devices[0].Tunnel.TTL, f.Devices[0].Tunnel.DF, f.Networks[0].Tunnel.TTL, f.Networks[0].Tunnel.DF = ttl, df, ttl, df
	}, nil, nil},
	{"inside of a container", func(f *Facts) {
		f.Networks[0].Insides = []Inside{{
			Container: "cb", Namespace: "/n", Interface: "eth0", Unowned: []netip.Addr{addr("10.0.0.2")},
			Parameters:    map[string]string{"net/ipv4/conf/eth0/arp_ignore": "8", "net/ipv4/conf/all/arp_ignore": "0"},
			SilentRouters: []SilentRouter{{addr("10.0.0.99"), "10.0.0.130"}},
			Filters:       []Rule{{Text: "not asked for", Delete: "x"}},
			Neighbours:    []Neighbour{{Addr: addr("10.0.0.130"), MAC: kernel.MAC{2, 9}, Answers: []kernel.MAC{{2, 8}}}}}}
	}, []string{"VX0409 failure container cb: it does not take packets to its address 10.0.0.2 for its own",
		"VX0409 failure container cb: it sends to 10.0.0.130 by the MAC 02:09:00:00:00:00, and 02:08:00:00:00:00 has " +
			"the address",
		"VX0409 failure container cb: it sends to 10.0.0.99 what is for 10.0.0.130, and nobody has that address",
		"VX0409 failure container cb: net.ipv4.conf.eth0.arp_ignore is 8: nobody gets an answer who asks for an " +
			"address of this host"},
		[]string{"nsenter --net=/n ip route add local 10.0.0.2 dev eth0 table local"}},
	{"filters of a container that is silent", func(f *Facts) {
		f.Networks[0].Silent = []SilentContainer{{"cb", addr("10.0.0.2")}}
		f.Networks[0].Insides = []Inside{{Container: "cb", Namespace: "/n", Interface: "eth0",
			Filters: []Rule{{Text: "table ip f: drop", Delete: "nft delete table ip f"}}}}
	}, []string{"VX0409 failure container cb: filters of its own drop its packets"},
		[]string{"nsenter --net=/n nft delete table ip f"}},
	{"silent container", func(f *Facts) { f.Networks[0].Silent = []SilentContainer{{"cb", addr("10.0.0.2")}} },
		[]string{"VX0411 failure container cb does not answer on the bridge br-blue"}, []string{"podman restart cb"}},
}
