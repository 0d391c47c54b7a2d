package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/foreignfilter"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
)

// healthy has the facts of host-b, on which nothing is wrong.
func healthy() Facts {
	n := network.Network{
		Identity: network.Identity{ID: "b1", Name: "blue", Bridge: network.DeviceName{Name: "br-blue"}, Device: network.DeviceName{Name: "vxlan-blue"}},
		Subnets:  []network.Subnet{{Prefix: prefix("10.0.0.0/24"), Gateway: addr("10.0.0.1"), HostAddress: addr("10.0.0.254")}},
	}
	n.Tunnel.VNI, n.Tunnel.Port = 7, 4789
	v := network.VTEP{Local: addr("198.18.0.12"), Interface: "eth0", MTU: 1450, Remotes: []netip.Addr{addr("198.18.0.11")}}
	endpoint := network.Endpoint{ContainerID: "c1", ContainerName: "cb", Namespace: "/run/netns/cb", Interface: "eth0", MAC: kernel.MAC{2, 1}, Addrs: []netip.Prefix{prefix("10.0.0.2/24")}}
	route := kernel.Path{Interface: "eth0", Source: v.Local}
	return Facts{
		Host: "host-b", RulesIntact: true,
		Networks: []Network{{
			HostNetwork: plan.HostNetwork{PlacedNetwork: plan.PlacedNetwork{Network: n, VTEP: v}, Endpoints: []plan.RecordedEndpoint{{Endpoint: endpoint}}},
			Underlay:    kernel.Interface{Name: "eth0", MTU: 1500, Up: true, Addrs: []netip.Prefix{prefix("198.18.0.12/24")}},
			Paths:       []Path{{To: addr("198.18.0.11"), Route: route, Free: route}},
			Names:       []NameAnswer{{Server: addr("10.0.0.1"), Container: "cb"}},
		}},
		Kernel:  Kernel{Release: "6.1", Parameters: map[string]string{"net/ipv4/conf/eth0/forwarding": "1"}},
		Agent:   Agent{Needed: 1, Binary: "/bin/vxland", Running: true, Report: new(agentapi.StatusReport), Port: 7947},
		Podman:  Podman{Version: "5.4.2", Netavark: "1.14.1", PluginDir: "/usr/libexec/netavark"},
		Devices: []kernel.Link{{Name: "vxlan-blue", Alias: n.Alias(), Up: true, Tunnel: kernel.Tunnel{VNI: 7, Port: 4789, Local: v.Local}}},
		Sockets: []Socket{{Addr: netip.MustParseAddrPort("0.0.0.0:7947"), Program: "vxland", PID: 9}, {Addr: netip.MustParseAddrPort("0.0.0.0:4789")}},
		Limits:  []Limit{{Name: "connections", Parameter: "net.netfilter.nf_conntrack_max", Used: 10, Max: 65536}},
		Zones:   map[string]string{"br-blue": "trusted"},
	}
}

func TestHealthyHostHasNoFindings(t *testing.T) {
	d := Diagnose(healthy())
	if len(d.Findings) > 0 || d.Level != diagnosis.OK || d.Checks < 20 || !slices.Equal(d.Networks, []string{"blue"}) {
		t.Errorf("found %+v", d)
	}
}

func change(c fmt.Stringer) Change { return Change{Network: "blue", Change: c} }

func TestChecks(t *testing.T) {
	inside := func(c fmt.Stringer) Change {
		return Change{Network: "blue", Container: "cb", Namespace: "/run/netns/cb", Change: c}
	}
	tests := []struct {
		name  string
		alter func(*Facts)
		want  []string // code, level, summary
		mend  []string // of the first
	}{
		{"gap", func(f *Facts) { f.Gaps = []Gap{{"routes", "ip: not found\nx"}} }, []string{"VX0105 unknown routes could not be found out: ip: not found"}, nil},
		{"no VXLAN", func(f *Facts) { f.Kernel.NoVXLAN = true }, []string{"VX0101 failure the kernel has no VXLAN devices"}, []string{"modprobe vxlan"}},
		{"kernel upgraded", func(f *Facts) { f.Kernel.NoVXLAN, f.Kernel.NoModules = true, true }, []string{"VX0101 failure the kernel has no VXLAN devices"}, []string{"reboot   # into the kernel that is installed"}},
		{"parameter", func(f *Facts) { f.Kernel.Parameters["net/ipv4/conf/eth0/forwarding"] = "0" },
			[]string{"VX0102 warning net.ipv4.conf.eth0.forwarding is 0: packets that arrive by it are not forwarded to containers"}, []string{"sysctl -w net/ipv4/conf/eth0/forwarding=1"}},
		{"old Podman", func(f *Facts) { f.Podman.Version = "4.3.1" }, []string{"VX0103 failure Podman has the version 4.3.1; 4.5 or newer is needed"}, nil},
		{"no plugin", func(f *Facts) { f.Podman.PluginDir = "" }, []string{"VX0104 failure netavark finds no plugin vxlan, so no container of a VXLAN network starts"}, nil},
		{"no netavark", func(f *Facts) { f.Podman.NoNetavark, f.Podman.Reinstall = "podman info", "dnf reinstall netavark" },
			[]string{"VX0104 failure Podman finds no netavark, so no container with a network starts"}, []string{"dnf reinstall netavark"}},
		{"plugin not executable", func(f *Facts) {
			f.Podman.PluginDir, f.Podman.Obstacle = "", Obstacle{"/usr/libexec/netavark/vxlan", "it has the mode -rw-r--r--", "chmod 755 it"}
		}, []string{"VX0104 failure netavark cannot execute the plugin /usr/libexec/netavark/vxlan"}, []string{"chmod 755 it"}},
		{"agent not executable", func(f *Facts) {
			f.Agent = Agent{Needed: 1, Obstacle: Obstacle{"/usr/libexec/vxlan/vxland", "it has the mode -rw-r--r--", "chmod 755 it"}}
		}, []string{"VX0104 failure the agent /usr/libexec/vxlan/vxland cannot be executed, and 1 container needs it"}, []string{"chmod 755 it", reload}},
		{"interface gone", func(f *Facts) { f.Networks[0].Underlay = kernel.Interface{} }, []string{"VX0201 failure the interface eth0 is gone"}, nil},
		{"interface renamed", func(f *Facts) { f.Networks[0].Underlay, f.Networks[0].Holder = kernel.Interface{}, "lan0" },
			[]string{"VX0201 failure the interface eth0 is gone, and lan0 has its address"},
			[]string{"ip link set lan0 down; ip link set lan0 name eth0   # or recreate the network with --opt physical_interface=auto", "ip link set eth0 up", reload}},
		{"interface down", func(f *Facts) { f.Networks[0].Underlay.Up = false }, []string{"VX0201 failure the interface eth0 is down"}, []string{"ip link set eth0 up"}},
		{"address lost", func(f *Facts) { f.Networks[0].Underlay.Addrs = nil }, []string{"VX0201 failure the interface eth0 has lost the address 198.18.0.12"}, []string{"ip address add 198.18.0.12/24 dev eth0"}},
		{"address of the whole host", func(f *Facts) {
			f.Networks[0].Underlay.Addrs = []netip.Prefix{prefix("192.0.2.1/31")}
			f.Prefixes = []kernel.HostPrefix{{Prefix: prefix("198.18.0.12/32"), Interface: "lo", Use: kernel.UseAddress}}
		}, nil, nil},
		{"blackhole", func(f *Facts) {
			f.Networks[0].Paths[0].Route = kernel.Path{}
			f.Routing.DeadEnds = []Route{{Type: "blackhole", Dst: prefix("198.18.0.0/16"), Delete: "long"}, {Type: "blackhole", Dst: prefix("198.18.0.11/32"), Delete: "delete it"}}
		}, []string{"VX0203 failure there is no route to host 198.18.0.11"}, []string{"delete it"}},
		{"rule", func(f *Facts) {
			f.Networks[0].Paths[0].Route = kernel.Path{}
			f.Routing.Rules = []Rule{{Text: "to all", Delete: "ip -4 rule delete priority 5"}}
		}, []string{"VX0203 failure there is no route to host 198.18.0.11"}, []string{"ip -4 rule delete priority 5"}},
		{"one rule of several", func(f *Facts) {
			f.Networks[0].Paths[0].Route = kernel.Path{}
			f.Routing.Rules = []Rule{{Text: "lookup 52", Delete: "first"}, {Text: "from another", From: prefix("192.0.2.0/24"), Delete: "second"}, {Text: "refuses", To: prefix("198.18.0.0/24"), Refuses: true, Delete: "third"}}
		}, []string{"VX0203 failure there is no route to host 198.18.0.11"}, []string{"third"}},
		{"IPsec", func(f *Facts) {
			f.Routing.Blocks = []Rule{{Text: "src …", From: prefix("198.18.0.12/32"), To: prefix("198.18.0.0/24"), Delete: "ip xfrm policy delete"}}
		}, []string{"VX0203 failure an IPsec policy blocks packets between this host and host 198.18.0.11"}, []string{"ip xfrm policy delete"}},
		{"way to a container", func(f *Facts) {
			f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), To: addr("10.0.0.2"), Interface: "wg0", Command: "ip route get 10.0.0.2"}}
			f.Routing.Rules = []Rule{{Text: "to 10.0.0.0/24", To: prefix("10.0.0.0/24"), Delete: "ip rule delete"}}
		}, []string{"VX0606 failure packets to container cb leave by wg0 and not by the bridge br-blue"}, []string{"ip rule delete"}},
		{"blackhole for a container", func(f *Facts) {
			f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), To: addr("10.0.0.2"), Err: "no"}}
			f.Routing.DeadEnds = []Route{{Type: "blackhole", Dst: prefix("10.0.0.0/25"), Delete: "delete it"}}
		}, []string{"VX0606 failure this host refuses packets to 10.0.0.0/25 of the subnet 10.0.0.0/24"}, []string{"delete it"}},
		{"wide blackhole", func(f *Facts) { f.Routing.DeadEnds = []Route{{Type: "blackhole", Dst: prefix("10.0.0.0/8")}} }, nil, nil},
		{"no way out", func(f *Facts) {
			f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), Err: "no"}}
			f.Routing.Rules = []Rule{{Text: "iif other", ArrivedBy: "other", Refuses: true, Delete: "wrong"}, {Text: "iif br-blue", ArrivedBy: "br-blue", Refuses: true, Delete: "ip rule delete"}}
		}, []string{"VX0606 failure what container cb sends to the outside has no way: a route or rule refuses it"}, []string{"ip rule delete"}},
		{"no ARP", func(f *Facts) { f.Networks[0].Links = []LinkFlags{{Name: "eth0", NoARP: true, Broadcast: true}} },
			[]string{"VX0402 failure eth0 has ARP switched off, so it finds nobody and nobody finds it"}, []string{"ip link set eth0 arp on"}},
		{"a link that has no ARP", func(f *Facts) { f.Networks[0].Links = []LinkFlags{{Name: "wg0", NoARP: true}} }, nil, nil},
		{"underlay in a bridge", func(f *Facts) { f.Networks[0].Links = []LinkFlags{{Name: "eth0", Master: "br0", MasterKind: "bridge"}} },
			[]string{"VX0201 failure the interface eth0 is a port of br0, so packets for this host's address do not reach it"}, nil},
		{"underlay in a VRF", func(f *Facts) { f.Networks[0].Links = []LinkFlags{{Name: "eth0", Master: "red", MasterKind: "vrf"}} }, nil, nil},
		{"container without ARP", func(f *Facts) {
			f.Networks[0].Insides = []Inside{{Container: "cb", Namespace: "/run/netns/cb", Interface: "eth0", NoARP: true}}
		}, []string{"VX0409 failure container cb: eth0 has ARP switched off"}, []string{"nsenter --net=/run/netns/cb ip link set eth0 arp on"}},
		{"address of another host's container", func(f *Facts) {
			f.Networks[0].VTEP.StaticFDB = true
			f.Networks[0].FixedEntries = []FixedEntry{{Device: "br-blue", Addr: addr("10.0.0.9"), MAC: kernel.MAC{2, 9}}}
			f.Networks[0].Insides = []Inside{{Container: "cb", Namespace: "/n", Interface: "eth0", Addrs: []netip.Prefix{prefix("10.0.0.2/24"), prefix("10.0.0.9/24"), prefix("10.0.0.77/24")}}}
		}, []string{"VX0601 failure container cb has the address 10.0.0.9, which is that of another container"}, []string{"nsenter --net=/n ip address delete 10.0.0.9/24 dev eth0"}},
		{"container's neighbours", func(f *Facts) {
			own := network.BridgeMAC(7, addr("198.18.0.12"))
			f.Networks[0].Insides = []Inside{{Container: "cb", Namespace: "/n", Interface: "eth0", Neighbours: []Neighbour{
				{Addr: addr("10.0.0.254"), MAC: own}, {Addr: addr("10.0.0.9"), MAC: kernel.MAC{2, 9}}, {Addr: addr("10.0.0.2"), MAC: kernel.MAC{2, 9}}}}}
		}, []string{"VX0409 failure container cb: it sends to 10.0.0.2 by the MAC 02:09:00:00:00:00, and 02:01:00:00:00:00 has the address"},
			[]string{"nsenter --net=/n ip neigh delete 10.0.0.2 dev eth0"}},
		{"container's routes and queues", func(f *Facts) {
			f.Networks[0].Insides = []Inside{{
				Container: "cb", Namespace: "/n", Interface: "eth0", DeadEnds: []Route{{Type: "blackhole", Dst: prefix("10.0.0.0/25"), Delete: "delete route"}},
				Rules: []Rule{{Text: "x", Delete: "delete rule"}}, SilentRouters: []SilentRouter{{addr("10.0.0.99"), "default"}},
				Hooks: []DeviceHook{{What: "qdisc tbf", Drops: true, Remove: "tc x"}, {What: "qdisc htb", Remove: "tc y"}}}}
		}, []string{"VX0409 failure container cb: a qdisc tbf drops its packets", "VX0409 failure container cb: it has a route of type blackhole to 10.0.0.0/25", "VX0409 failure container cb: it has a rule that refuses packets",
			"VX0409 failure container cb: it sends to 10.0.0.99 what leaves the network, and nobody has that address"},
			[]string{"nsenter --net=/n tc x"}},
		{"fixed entries", func(f *Facts) {
			f.Networks[0].FixedEntries = []FixedEntry{
				{Device: "br-blue", MAC: kernel.MAC{2, 7}, Addr: addr("10.0.0.2")}, {Device: "br-blue", MAC: kernel.MAC{2, 1}, Addr: addr("10.0.0.2")},
				{Device: "vxlan-blue", MAC: kernel.MAC{2, 1}}, {Device: "vxlan-blue", MAC: kernel.MAC{2, 5}, Self: true, Dst: addr("198.18.0.77")},
				{Device: "vxlan-blue", Self: true, Dst: addr("198.18.0.11")}, {Device: "vxlan-blue", MAC: kernel.MAC{2, 8}}}
		}, []string{"VX0403 failure somebody has fixed that 02:05:00:00:00:00 is behind host 198.18.0.77, in a network that learns that",
			"VX0403 failure somebody has fixed that 02:08:00:00:00:00 is behind vxlan-blue",
			"VX0403 failure the bridge br-blue has the MAC of container cb behind vxlan-blue",
			"VX0404 failure this host sends to the container at 10.0.0.2 by the MAC 02:07:00:00:00:00, and 02:01:00:00:00:00 has the address"},
			[]string{"bridge fdb delete 02:05:00:00:00:00 dev vxlan-blue dst 198.18.0.77 self"}},
		{"a fixed entry of the bridge, and those of the devices", func(f *Facts) {
			f.Networks[0].FixedEntries = []FixedEntry{
				{Device: "br-blue", MAC: kernel.MAC{2, 8}}, {Device: "br-blue", MAC: network.BridgeMAC(7, addr("198.18.0.12"))},
				{Device: "br-blue", MAC: kernel.MAC{2, 9}, IsOwn: true}, {Device: "vxlan-blue", MAC: kernel.MAC{2, 10}, IsOwn: true},
				{Device: "br-blue", MAC: kernel.MAC{0x33, 0x33}}, {Device: "eth7", MAC: kernel.MAC{2, 11}}}
		}, []string{"VX0403 failure somebody has fixed that 02:08:00:00:00:00 is behind br-blue"}, []string{"bridge fdb delete 02:08:00:00:00:00 dev br-blue self"}},
		{"fixed neighbour of another host's container", func(f *Facts) {
			f.Networks[0].FixedEntries = []FixedEntry{
				{Device: "br-blue", MAC: kernel.MAC{2, 7}, Addr: addr("10.0.0.130"), Holder: kernel.MAC{2, 8}}, {Device: "br-blue", MAC: kernel.MAC{2, 7}, Addr: addr("10.0.0.131")}}
		}, []string{"VX0404 failure this host sends to the container at 10.0.0.130 by the MAC 02:07:00:00:00:00, and 02:08:00:00:00:00 has the address"},
			[]string{"ip neigh delete 10.0.0.130 dev br-blue"}},
		{"fixed entries of the agent's", func(f *Facts) {
			f.Networks[0].DNS = true
			f.Networks[0].FixedEntries = []FixedEntry{{Device: "vxlan-blue", MAC: kernel.MAC{2, 5}, Self: true, Dst: addr("198.18.0.77")}}
		}, nil, nil},
		{"rule of a VPN", func(f *Facts) {
			f.Networks[0].Paths[0].Route.Interface = "wg0"
			f.Routing.Rules = []Rule{{Text: "lookup 51820", Delete: "ip -4 rule delete priority 5", Priority: 5}}
		}, []string{"VX0203 failure packets to host 198.18.0.11 leave by wg0 and not by eth0"}, []string{"ip rule add to 198.18.0.11 lookup main priority 4"}},
		{"other way", func(f *Facts) { f.Networks[0].Paths[0].Route.Interface = "wg0" }, []string{"VX0203 failure packets to host 198.18.0.11 leave by wg0 and not by eth0"},
			[]string{"ip route replace 198.18.0.11 dev eth0"}},
		{"other source", func(f *Facts) {
			f.Networks[0].Underlay.Addrs = append(f.Networks[0].Underlay.Addrs, prefix("198.18.0.99/24"))
			f.Networks[0].Paths[0].Free.Source = addr("198.18.0.99")
		}, []string{"VX0204 warning the route to host 198.18.0.11 has the source 198.18.0.99, and the network sends from 198.18.0.12"}, nil},
		{"small MTU", func(f *Facts) { f.Networks[0].Underlay.MTU = 1400 }, []string{"VX0205 failure eth0 has the MTU 1400, and the network's packets need 1500"}, []string{"ip link set eth0 mtu 1500", reload}},
		{"small MTU of a path", func(f *Facts) { f.Networks[0].Paths[0].MTU = 1300 }, []string{"VX0205 failure the path to host 198.18.0.11 has the MTU 1300, and the network's packets need 1500"}, nil},
		{"small MTU of a route", func(f *Facts) {
			f.Networks[0].Paths[0].MTU, f.Networks[0].Paths[0].Matched = 1300, "198.18.0.11 dev eth0 scope link mtu lock 1300"
		}, []string{"VX0205 failure the path to host 198.18.0.11 has the MTU 1300, and the network's packets need 1500"},
			[]string{"ip route replace 198.18.0.11 dev eth0 scope link"}},
		{"MTU that fell", func(f *Facts) {
			f.Moved = []string{"network blue has an MTU of 1350 now, no longer 1450, since eth0 has 1400"}
			f.Changes = []Change{change(kernel.SetMTU{Name: "br-blue", MTU: 1350})}
		}, []string{"VX0205 failure eth0 has the MTU 1400, and packets of the network's MTU 1450 need 1500"}, []string{"ip link set eth0 mtu 1500", reload}},
		{"port taken", func(f *Facts) { f.Sockets[1].Program, f.Sockets[1].PID = "socat", 77 }, []string{"VX0206 failure the program socat has UDP port 4789, which the network needs"}, nil},
		{"address twice on the underlay", func(f *Facts) {
			f.Networks[0].Elsewhere = []Claimant{{addr("198.18.0.12"), kernel.MAC{2, 9}, "eth0", ""}}
		},
			[]string{"VX0307 failure another host on eth0 has the address 198.18.0.12 too"}, nil},
		{"no place", func(f *Facts) { f.Misplaced = map[string]string{"red": "option local_ip: gone"} },
			[]string{"VX0201 warning a container of the network would not start here: option local_ip: gone"}, nil},
		{"device missing", func(f *Facts) {
			f.Sockets = f.Sockets[:1]
			f.Changes = []Change{change(kernel.CreateLink{Link: kernel.Link{Name: "vxlan-blue", Kind: kernel.KindVXLAN}}), change(kernel.SetUp{Name: "vxlan-blue"}),
				change(kernel.SetAlias{Name: "vxlan-blue"}), change(kernel.AddFDB{Name: "vxlan-blue"})}
		}, []string{"VX0401 failure the VXLAN device vxlan-blue is missing"}, []string{reload}},
		{"device down", func(f *Facts) { f.Changes = []Change{change(kernel.SetUp{Name: "br-blue"})} }, []string{"VX0402 failure br-blue is down"}, []string{reload}},
		{"device off the bridge", func(f *Facts) { f.Changes = []Change{change(kernel.SetMaster{Name: "vxlan-blue", Master: "br-blue"})} },
			[]string{"VX0402 failure vxlan-blue is not a port of br-blue"}, nil},
		{"alias", func(f *Facts) { f.Changes = []Change{change(kernel.SetAlias{Name: "br-blue", Alias: "x"})} }, []string{"VX0410 warning a device has lost its alias or alternative name"}, nil},
		{"addresses", func(f *Facts) {
			f.Changes = []Change{change(kernel.AddAddr{Name: "br-blue", Addr: kernel.Addr{Prefix: prefix("10.0.0.254/24")}}), change(kernel.AddAddr{Name: "br-blue", Addr: kernel.Addr{Prefix: prefix("10.0.0.1/24")}})}
		}, []string{"VX0408 failure br-blue lacks the gateway's address 10.0.0.1"}, nil},
		{"parameter of a network", func(f *Facts) {
			f.Changes = []Change{change(kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: "net/ipv4/ip_forward", Value: "1"}}})}
		},
			[]string{"VX0102 failure the kernel parameter net.ipv4.ip_forward does not have the value 1"}, nil},
		{"flood entry", func(f *Facts) {
			f.Changes = []Change{change(kernel.AddFDB{Name: "vxlan-blue", FDB: kernel.FDB{Dst: addr("198.18.0.11")}})}
		},
			[]string{"VX0403 failure vxlan-blue sends no frames to host 198.18.0.11"}, nil},
		{"rules", func(f *Facts) { f.Changes = []Change{{Change: kernel.SetFirewall{}}} },
			[]string{"VX0501 failure the tables inet vxlan-driver and bridge vxlan-driver are missing, or their rules were changed"}, []string{reload}},
		{"elements", func(f *Facts) {
			f.Changes = []Change{{Change: kernel.AddElements{Elements: []kernel.Element{{Set: kernel.Bridges, Key: kernel.Device("br-blue")}}}}}
		},
			[]string{"VX0501 failure elements of the table inet vxlan-driver or bridge vxlan-driver are missing or wrong"}, nil},
		{"another fingerprint", func(f *Facts) {
			f.Changes = []Change{{Change: kernel.DelElements{Elements: []kernel.Element{{Set: kernel.Bridges, Key: kernel.Device("br-blue"), Comment: "0123456789ab network blue"}}}}}
		}, nil, nil},
		{"element of a bridge that is gone", func(f *Facts) {
			f.Changes = []Change{{Change: kernel.DelElements{Elements: []kernel.Element{{Set: kernel.Bridges, Key: kernel.Device("br-red")}}}}}
		}, []string{"VX0501 failure elements of the table inet vxlan-driver or bridge vxlan-driver are missing or wrong"}, nil},
		{"port gone", func(f *Facts) { f.MissingPorts = []MissingPort{{"blue", "cb", "veth1"}} }, []string{"VX0401 failure container cb has no interface on the network"}, []string{"podman network reload cb"}},
		{"container", func(f *Facts) {
			f.Changes = []Change{inside(kernel.SetUp{Name: "eth0"}), inside(kernel.AddRoute{Name: "eth0", Route: kernel.Route{Type: kernel.RouteUnicast, Dst: prefix("0.0.0.0/0"), Gateway: addr("10.0.0.1")}})}
		}, []string{"VX0409 failure container cb: eth0 is down"},
			[]string{"nsenter --net=/run/netns/cb ip link set eth0 up", "nsenter --net=/run/netns/cb ip route append 0.0.0.0/0 via 10.0.0.1 dev eth0 metric 0"}},
		{"parameter of a container", func(f *Facts) {
			f.Changes = []Change{inside(kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: "net/ipv6/conf/eth0/accept_ra", Value: "0"}}})}
		},
			[]string{"VX0409 warning container cb: the kernel parameter net.ipv6.conf.eth0.accept_ra does not have the value 0"}, []string{"nsenter --net=/run/netns/cb sysctl -w net/ipv6/conf/eth0/accept_ra=0"}},
		{"file that switches forwarding off", func(f *Facts) {
			f.SysctlFiles = []SysctlSetting{{"net/ipv4/ip_forward", "1", "/etc/sysctl.d/10-a.conf"}, {"net/ipv4/conf/all/forwarding", "0", "/etc/sysctl.d/99-hard.conf"}}
		}, []string{"VX0107 warning /etc/sysctl.d/99-hard.conf sets net.ipv4.ip_forward to 0 at boot, and networks need 1"},
			[]string{`sed -i 's|^ *-\?net[./]ipv4[./]conf[./]all[./]forwarding *=.*|# &|' /etc/sysctl.d/99-hard.conf`}},
		{"file that has switched forwarding off", func(f *Facts) {
			f.SysctlFiles = []SysctlSetting{{"net/ipv4/ip_forward", "0", "/etc/sysctl.d/99-hard.conf"}}
			f.Changes = []Change{change(kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: "net/ipv4/ip_forward", Value: "1"}}})}
		}, []string{"VX0107 failure /etc/sysctl.d/99-hard.conf sets net.ipv4.ip_forward to 0 at boot, and networks need 1"},
			[]string{`sed -i 's|^ *-\?net[./]ipv4[./]ip_forward *=.*|# &|' /etc/sysctl.d/99-hard.conf`, "sysctl -w net/ipv4/ip_forward=1", reload}},
		{"file that is overruled, and one for IPv6 that no network has", func(f *Facts) {
			f.SysctlFiles = []SysctlSetting{{"net/ipv4/ip_forward", "0", "a"}, {"net/ipv4/ip_forward", "1", "b"}, {"net/ipv6/conf/all/disable_ipv6", "1", "b"}}
		}, nil, nil},
		{"denial", func(f *Facts) {
			f.Denials = []Denial{{By: "SELinux", Program: "vxland", Text: "avc", Mend: []string{"restorecon"}}}
		},
			[]string{"VX0108 warning SELinux has denied something to vxland"}, []string{"restorecon"}},
		{"old file for the firewall", func(f *Facts) {
			f.PortFiles = []PortFile{{Path: "/etc/x.xml", Port: "7949/tcp", Mend: []string{"firewall-cmd x"}}}
		},
			[]string{"VX0508 warning /etc/x.xml does not open port 7949/tcp, by which hosts join"}, []string{"firewall-cmd x"}},
		{"managed device", func(f *Facts) {
			f.Managers = []Manager{{Program: "NetworkManager", Network: "blue", Devices: []string{"br-blue"}, Evidence: []string{"nmcli shows it"}, Leave: []string{"nmcli x"}}}
		}, []string{"VX0412 warning NetworkManager manages br-blue, and may change what the driver has set"}, []string{"nmcli x"}},
		{"managed device that was changed", func(f *Facts) {
			f.Managers = []Manager{{Program: "NetworkManager", Network: "blue", Devices: []string{"br-blue"}, Evidence: []string{"nmcli shows it"}, Leave: []string{"nmcli x"}}}
			f.Changes = []Change{change(kernel.SetMTU{Name: "br-blue", MTU: 1450}), change(kernel.AddAddr{Name: "br-blue", Addr: kernel.Addr{Prefix: prefix("10.0.0.1/24")}})}
		}, []string{"VX0412 failure NetworkManager manages br-blue and has changed what the driver had set"}, []string{"nmcli x", reload}},
		{"managed device, and another one that was changed", func(f *Facts) {
			f.Managers = []Manager{{Program: "NetworkManager", Network: "blue", Devices: []string{"br-blue"}, Evidence: []string{"nmcli shows it"}, Leave: []string{"nmcli x"}}}
			f.Changes = []Change{change(kernel.SetMTU{Name: "vxlan-blue", MTU: 1450})}
		}, []string{"VX0402 failure vxlan-blue does not have the MTU 1450", "VX0412 warning NetworkManager manages br-blue, and may change what the driver has set"}, []string{reload}},
		{"program that may have changed the MAC", func(f *Facts) {
			f.Managers = []Manager{{Program: "systemd-udevd", Network: "blue", Devices: []string{"br-blue"}, Only: []ChangeKind{ChangeMAC}, Leave: []string{"x"}}}
			f.Changes = []Change{change(kernel.SetMAC{Name: "br-blue"})}
		}, []string{"VX0412 failure systemd-udevd manages br-blue and has changed what the driver had set"}, []string{"x", reload}},
		{"program that cannot have set it down", func(f *Facts) {
			f.Managers = []Manager{{Program: "systemd-udevd", Network: "blue", Devices: []string{"br-blue"}, Only: []ChangeKind{ChangeMAC}}}
			f.Changes = []Change{change(kernel.SetUp{Name: "br-blue"})}
		}, []string{"VX0402 failure br-blue is down"}, []string{reload}},
		{"foreign VNI", func(f *Facts) {
			f.Devices[0].Name, f.Devices[0].Alias, f.Devices[0].Up = "flannel.7", "", true
			f.Changes = []Change{change(kernel.CreateLink{Link: kernel.Link{Name: "vxlan-blue", Kind: kernel.KindVXLAN}})}
		}, []string{"VX0406 failure device flannel.7 has the VNI 7 on UDP port 4789, which the network needs"}, []string{"ip link delete flannel.7", reload}},
		{"foreign name", func(f *Facts) {
			f.Networks[0].Intruders = []kernel.Link{{Name: "br-blue", Kind: "dummy", Alias: "mine"}}
		},
			[]string{"VX0406 failure another program's device has the name br-blue, which the network needs"}, []string{"ip link delete br-blue", reload}},
		{"entries", func(f *Facts) {
			f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue", Drifted: &agentapi.DriftedEntries{MACs: []string{"02:00:00:00:00:01"}, Addrs: []netip.Addr{addr("10.0.0.9")}}}}
		}, []string{"VX0403 failure forwarding entries of containers on other hosts are missing or wrong", "VX0404 failure neighbour entries of containers on other hosts are missing or wrong"}, []string{reload}},
		{"underlay that is smaller than another host's", func(f *Facts) {
			f.Agent.Report.Differences = []string{
				"network blue differs on host b (198.18.0.12): the MTU is 1450 there and 1350 here; type on both: vxlanctl network set blue mtu=1350",
				"network blue differs on host b (198.18.0.12): the MTU of the physical interface is 1500 there and 1400 here; packets over 1400 bytes may be lost between them",
			}
		}, []string{
			"VX0205 failure eth0 has the MTU 1400, and the physical interface of host b (198.18.0.12) has 1500",
			"VX0605 failure network blue differs on host b (198.18.0.12): the MTU is 1450 there and 1350 here",
		}, []string{"ip link set eth0 mtu 1500", reload}},
		{"underlay of another MTU where networks have one", func(f *Facts) {
			f.Agent.Report.Differences = []string{"network blue differs on host b (198.18.0.12): the MTU of the physical interface is 9000 there and 1500 here; packets over 1500 bytes may be lost between them"}
		}, []string{"VX0605 warning network blue differs on host b (198.18.0.12): the MTU of the physical interface is 9000 there and 1500 here"},
			[]string{"packets over 1500 bytes may be lost between them"}},
		{"what was repaired", func(f *Facts) {
			f.Agent.Report.Repaired = []agentapi.Event{{Code: "VX0501", Text: "rules are back"}, {Code: "VX0403", Text: "an entry is set right", Age: 3 * time.Second}}
		}, []string{"VX0403 warning just repaired: an entry is set right", "VX0501 warning just repaired: rules are back"}, []string{"vxlanctl events   # if it comes again, look for the program that does it"}},
		{"chain in the driver's table", func(f *Facts) { f.AlienChains = []string{"inet vxlan-driver evil"} },
			[]string{"VX0501 failure chain inet vxlan-driver evil is not the driver's, and drops all packets by its policy"}, []string{reload}},
		{"address of the subnet on another interface", func(f *Facts) {
			f.Prefixes = []kernel.HostPrefix{{Prefix: prefix("10.0.0.0/24"), Interface: "eth0", Use: kernel.UseAddress}}
			f.Addrs = []InterfaceAddr{{"eth0", prefix("10.0.0.99/24")}}
		}, []string{"VX0606 failure the subnet 10.0.0.0/24 overlaps 10.0.0.0/24, the network of interface eth0"},
			[]string{"ip address delete 10.0.0.99/24 dev eth0   # or recreate the network with another --subnet on all hosts"}},
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
		}, []string{"VX0203 failure no rule of routing looks up the table main, so this host finds no way"}, []string{"ip -4 rule add priority 32766 lookup main"}},
		{"another host's address", func(f *Facts) {
			f.Networks[0].Paths[0].Route = kernel.Path{}
			f.Addrs = []InterfaceAddr{{"lo", prefix("198.18.0.11/32")}}
		}, []string{"VX0307 failure this host has the address 198.18.0.11, which is that of another host, on lo"}, []string{"ip address delete 198.18.0.11/32 dev lo", reload}},
		{"carriers", func(f *Facts) {
			f.Networks[0].Links = []LinkFlags{{Name: "vxlan-blue", ProtoDown: true}, {Name: "lo", IsDown: true}}
		}, []string{"VX0402 failure vxlan-blue has its carrier switched off (protodown)",
			"VX0402 warning the interface lo is down, so programs of this host do not reach its own addresses"}, []string{"ip link set vxlan-blue protodown off"}},
		{"bridge's own MAC", func(f *Facts) {
			f.Networks[0].FixedEntries = []FixedEntry{{Device: "vxlan-blue", MAC: network.BridgeMAC(7, addr("198.18.0.12"))}}
		}, []string{"VX0403 failure the bridge br-blue has its own MAC behind vxlan-blue, so nobody reaches the gateway"}, nil},
		{"router that is gone", func(f *Facts) {
			p := &f.Networks[0].Paths[0]
			p.Matched, p.DeadRouter = "198.18.0.11 via 198.18.0.99 dev eth0", addr("198.18.0.99")
		}, []string{"VX0203 failure packets to host 198.18.0.11 go to the router 198.18.0.99, which does not answer"}, []string{"ip route replace 198.18.0.11 dev eth0"}},
		{"IPsec without keys", func(f *Facts) {
			f.Networks[0].Paths[0].Ping.Size = 1500
			f.Routing.Blocks = []Rule{{From: prefix("198.18.0.12/32"), To: prefix("198.18.0.11/32"), LacksState: true, Delete: "ip xfrm x"}}
		}, []string{"VX0203 failure an IPsec policy wants packets between this host and host 198.18.0.11 encrypted, and there are no keys for it"},
			[]string{"ip xfrm x   # or start the program that agrees on keys"}},
		{"IPsec that has no keys yet", func(f *Facts) {
			f.Networks[0].Paths[0].Ping = PathPing{Size: 1500, Full: true}
			f.Routing.Blocks = []Rule{{From: prefix("198.18.0.12/32"), To: prefix("198.18.0.11/32"), LacksState: true}}
		}, nil, nil},
		{"directories", func(f *Facts) {
			f.Dirs = []Dir{{Path: "/run/vxlan", MountedAt: "/run", ReadOnly: true}, {Path: "/var/lib/vxlan", MountedAt: "/", Free: 4096}, {Path: "/x", Free: 1 << 30}}
		}, []string{"VX0906 failure /run/vxlan is read-only", "VX0906 failure the file system of /var/lib/vxlan is full"},
			[]string{"mount -o remount,rw /run || mount -o remount,bind,rw /run"}},
		{"chain of firewalld, which does not trust the bridge", func(f *Facts) {
			f.Zones["br-blue"] = ""
			f.Blocking = []foreignfilter.BlockingChain{
				{Network: "blue", Table: "inet firewalld", Chain: "filter_FORWARD", Dropped: []string{"a"}, Commands: []string{reload}},
				{Network: "blue", Table: "inet firewalld", Chain: "filter_INPUT", Dropped: []string{"b"}, Commands: []string{"firewall-cmd --add-port=4789/udp"}},
			}
		}, []string{"VX0502 failure chain filter_INPUT of table inet firewalld drops b",
			"VX0504 failure firewalld has the bridge br-blue in no zone and not in the zone trusted"}, []string{"firewall-cmd --add-port=4789/udp"}},
		{"chain", func(f *Facts) {
			f.Blocking = []foreignfilter.BlockingChain{{Network: "blue", Table: "inet f", Chain: "in", Dropped: []string{"a", "b"}, Commands: []string{"nft insert"}}}
		}, []string{"VX0502 failure chain in of table inet f drops a, b"}, []string{"nft insert"}},
		{"firewalld", func(f *Facts) {
			f.Blocking = []foreignfilter.BlockingChain{{
				Network: "blue", Table: "inet firewalld", Chain: "filter_INPUT", Dropped: []string{"a"},
				Commands: []string{"firewall-cmd --add-port=4789/udp", "vxlanctl reload"},
			}}
			f.Firewalld = Firewalld{Zones: []string{"work"}, Denying: []string{"remove the rule"}}
		}, []string{"VX0502 failure chain filter_INPUT of table inet firewalld drops a"},
			[]string{"remove the rule", "firewall-cmd --zone=work --add-port=4789/udp", "firewall-cmd --permanent --zone=work --add-port=4789/udp", "vxlanctl reload"}},
		{"panic", func(f *Facts) {
			f.Blocking = []foreignfilter.BlockingChain{{Network: "blue", Table: "inet firewalld_policy_drop", Chain: "raw_output", Dropped: []string{"a"}}, {Network: "blue", Table: "inet firewalld"}}
		}, []string{"VX0507 failure firewalld is in panic mode, and drops all packets of this host"}, []string{"firewall-cmd --panic-off"}},
		{"chain of iptables-legacy", func(f *Facts) {
			f.Blocking = []foreignfilter.BlockingChain{{Network: "blue", Table: "raw of iptables-legacy", Chain: "OUTPUT", Dropped: []string{"a"}, Commands: []string{"iptables-legacy -t raw"}}}
		}, []string{"VX0502 failure chain OUTPUT of table raw of iptables-legacy drops a"}, []string{"iptables-legacy -t raw"}},
		{"chain that may drop", func(f *Facts) {
			f.Suspect = []foreignfilter.BlockingChain{{Network: "blue", Table: "inet f", Chain: "in", Dropped: []string{"a"}}}
		}, nil, nil},
		{"chain that may drop, and a lost tunnel", func(f *Facts) {
			f.Suspect = []foreignfilter.BlockingChain{
				{Network: "blue", Table: "inet f", Chain: "in", Dropped: []string{"a"}, Commands: []string{"nft insert"}},
				{Network: "blue", Table: "inet f", Chain: "named", Dropped: []string{"a"}},
			}
			f.Rules = []Rule{{Text: "table inet f, chain named: x drop", Chain: "inet f named", Delete: "nft delete rule"}}
			f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue", Tunnels: []agentapi.TunnelStatus{{Host: "a", Port: 4789, Size: 1450}}}}
		}, []string{
			"VX0506 warning a rule of another program may drop packets of networks", "VX0506 warning chain in of table inet f may drop a",
			"VX0301 failure no VXLAN packet passes to or from host a",
		}, []string{"nft delete rule"}},
		{"chain for bridged packets", func(f *Facts) {
			f.Blocking = []foreignfilter.BlockingChain{{Network: "blue", Table: "inet f", Chain: "in", Dropped: []string{"packets (br_netfilter is on)"}, Commands: []string{"nft insert"}}}
		}, []string{"VX0503 failure chain in of table inet f drops packets (br_netfilter is on)"}, nil},
		{"filter that drops", func(f *Facts) {
			f.Hooks = []DeviceHook{{Device: "eth0", What: "tc filter at ingress", Drops: true, Remove: "tc x"}}
		},
			[]string{"VX0505 failure a tc filter at ingress of eth0, which is another program's, drops packets of networks"}, []string{"tc x"}},
		{"filter that may drop", func(f *Facts) { f.Hooks = []DeviceHook{{Device: "eth0", What: "XDP program"}} }, nil, nil},
		{"filter that may drop, and a lost tunnel", func(f *Facts) {
			f.Hooks = []DeviceHook{{Device: "eth0", What: "XDP program"}}
			f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue", Tunnels: []agentapi.TunnelStatus{{Host: "a", Port: 4789, Size: 1450}}}}
		}, []string{"VX0505 warning a XDP program of eth0, which is another program's, may drop packets of networks", "VX0301 failure no VXLAN packet passes to or from host a"}, nil},
		{"flooding off", func(f *Facts) {
			f.Networks[0].Ports = []Port{{"vxlan-blue", map[string]any{"flags": []any{"UP"}, "state": "forwarding", "flood": false, "mcast_flood": false, "isolated": false}}}
		}, []string{"VX0402 failure the bridge's port vxlan-blue has flood false, mcast_flood false"},
			[]string{"bridge link set dev vxlan-blue flood on", "bridge link set dev vxlan-blue mcast_flood on"}},
		{"port without carrier", func(f *Facts) {
			f.Networks[0].Ports = []Port{{"veth1", map[string]any{"flags": []any{"UP", "NO-CARRIER"}, "state": "disabled"}}}
		}, nil, nil},
		{"spanning tree", func(f *Facts) { f.Networks[0].BridgeSettings = map[string]any{"stp_state": 1., "vlan_filtering": 0.} },
			[]string{"VX0402 failure the bridge br-blue has stp_state 1"}, []string{"ip link set br-blue type bridge stp_state 0"}},
		{"spanning tree that stopped a port", func(f *Facts) {
			f.Networks[0].BridgeSettings = map[string]any{"stp_state": 1.}
			f.Networks[0].Ports = []Port{{"vxlan-blue", map[string]any{"flags": []any{"UP"}, "state": "listening"}}}
		}, []string{"VX0402 failure the bridge br-blue has stp_state 1"},
			[]string{"ip link set br-blue type bridge stp_state 0", "bridge link set dev vxlan-blue state 3"}},
		{"carrier", func(f *Facts) { f.Networks[0].NoCarrier = true }, []string{"VX0201 failure the interface eth0 has no carrier"}, nil},
		{"wrong neighbour", func(f *Facts) {
			f.Networks[0].Neighbours = []Neighbour{{Addr: addr("198.18.0.11"), MAC: kernel.MAC{2, 9}, Permanent: true, Answers: []kernel.MAC{{2, 8}}}}
		}, []string{"VX0207 failure the kernel sends to host 198.18.0.11 by the MAC 02:09:00:00:00:00, and 02:08:00:00:00:00 has the address"}, []string{"ip neigh delete 198.18.0.11 dev eth0"}},
		{"two hosts with one address", func(f *Facts) {
			f.Networks[0].Neighbours = []Neighbour{{Addr: addr("198.18.0.11"), Answers: []kernel.MAC{{2, 8}, {2, 9}}}}
		}, []string{"VX0307 failure several hosts on eth0 have the address 198.18.0.11"}, nil},
		{"underlay's MTU raised", func(f *Facts) {
			f.Moved = []string{"network blue has an MTU of 8950 now, no longer 1450, since eth0 has 9000"}
		}, []string{"VX0205 failure eth0 has the MTU 9000, no longer 1500, and the network's MTU follows it"},
			[]string{"ip link set eth0 mtu 1500   # or raise that of all hosts, and of what is between them", reload}},
		{"gateway behind a foreign port", func(f *Facts) {
			f.Networks[0].Elsewhere = []Claimant{{addr("10.0.0.1"), kernel.MAC{2, 9}, "br-blue", "tap7"}}
		}, []string{"VX0604 failure somebody on br-blue answers for the gateway's address 10.0.0.1"}, []string{"ip link set tap7 nomaster"}},
		{"lock", func(f *Facts) { f.LockHolder = Holder{[]int{77, 78}, "sleep", "/run/vxlan/lock"} },
			[]string{"VX0109 failure process 77 (sleep) has had the lock /run/vxlan/lock for long, and no container starts or stops meanwhile"}, []string{"kill 77 78"}},
		{"lock of another PID namespace", func(f *Facts) { f.LockHolder = Holder{Path: "/run/vxlan/lock"} },
			[]string{"VX0109 failure a process has had the lock /run/vxlan/lock for long, and no container starts or stops meanwhile"}, []string{"fuser -k /run/vxlan/lock"}},
		{"network's file edited", func(f *Facts) {
			f.Networks[0].ConfigFile, f.Networks[0].Kept, f.Networks[0].Edited = "/etc/n.json", "/run/n.json", []string{`vni: "9", and not "7"`}
		}, []string{`VX0110 failure Podman has the network otherwise than its containers run: vni: "9", and not "7"`}, []string{"cp /run/n.json /etc/n.json"}},
		{"rules about names, and names are answered", func(f *Facts) { f.Rules = []Rule{{Text: "udp dport 53 drop", OfNames: true, Delete: "x"}} }, nil, nil},
		{"rules about names", func(f *Facts) {
			f.Networks[0].Names[0].Err = "no answer"
			f.Rules = []Rule{{Text: "udp dport 53 drop", OfNames: true, Delete: "nft delete it"}, {Text: "udp dport 53 redirect to :5353", OfNames: true, Translates: true, Delete: "x"}}
		}, []string{"VX0803 failure a rule of another program drops questions for names, or their answers", "VX0803 failure a rule of another program leads questions for names elsewhere"},
			[]string{"nft delete it"}},
		{"agents with different ports", func(f *Facts) {
			f.Agent.Port, f.Contacts = 7948, []Contact{{To: addr("198.18.0.11"), TCP: TCPRefused, OtherPort: 7947}}
		}, []string{"VX0713 failure the agent of host 198.18.0.11 has the port 7947, and this host's has 7948, so they do not hear each other"},
			[]string{"sed -i '/^ *port *=/s/^/# /' /etc/vxlan/vxland.toml   # or set one port on all hosts", reload}},
		{"one MAC for two hosts", func(f *Facts) {
			f.Networks[0].Neighbours = []Neighbour{{Addr: addr("198.18.0.11"), OwnMAC: kernel.MAC{2, 9}, Answers: []kernel.MAC{{2, 9}}}}
		}, []string{"VX0602 failure this host and host 198.18.0.11 have one MAC on eth0"}, []string{"ip link set eth0 address 02:fe:c6:12:00:0c"}},
		{"address that the kernel does not take", func(f *Facts) {
			f.Networks[0].Unowned = []InterfaceAddr{{"eth0", prefix("198.18.0.12/24")}, {"br-blue", prefix("10.0.0.1/24")}, {"br-blue", prefix("fd00::1/64")}}
		}, []string{"VX0201 failure eth0 has the address 198.18.0.12, and the kernel does not take packets to it for this host's",
			"VX0408 failure br-blue has the address 10.0.0.1, and the kernel does not take packets to it for this host's",
			"VX0408 failure br-blue has the address fd00::1, and the kernel does not take packets to it for this host's"},
			[]string{"ip route add local 198.18.0.12 dev eth0 table local proto kernel scope host src 198.18.0.12"}},
		{"proxies", func(f *Facts) {
			f.Proxies = []InterfaceAddr{{"eth0", prefix("198.18.0.11/32")}, {"br-blue", prefix("10.0.0.130/32")}, {"br9", prefix("10.0.0.131/32")}}
		}, []string{"VX0307 failure this host answers on eth0 in place of 198.18.0.11, which is another's address",
			"VX0601 failure this host answers on br-blue in place of 10.0.0.130, which is another's address"}, []string{"ip neigh delete proxy 198.18.0.11 dev eth0"}},
		{"device with other attributes", func(f *Facts) {
			f.Changes = []Change{change(kernel.DeleteLink{Name: "vxlan-blue"}), change(kernel.CreateLink{Link: kernel.Link{Name: "vxlan-blue", Kind: kernel.KindVXLAN}}),
				change(kernel.SetAlias{Name: "vxlan-blue"}), change(kernel.AddFDB{Name: "vxlan-blue"})}
		}, []string{"VX0402 failure vxlan-blue has other attributes than the network, or another name"}, []string{reload}},
		{"device in another namespace", func(f *Facts) {
			f.Sockets, f.Networks[0].Stray = f.Sockets[:1], "/run/netns/q"
			f.Changes = []Change{change(kernel.CreateLink{Link: kernel.Link{Name: "vxlan-blue", Kind: kernel.KindVXLAN}})}
		}, []string{"VX0401 failure the VXLAN device vxlan-blue was moved into another network namespace, and keeps its VNI"},
			[]string{"nsenter --net=/run/netns/q ip link delete vxlan-blue", reload}},
		{"device for all VNIs", func(f *Facts) {
			f.Collectors, f.Changes = []Collector{{"cilium_vxlan", 4789}, {"other", 4790}}, []Change{change(kernel.SetUp{Name: "vxlan-blue"})}
		}, []string{"VX0406 failure device cilium_vxlan takes packets of all VNIs on UDP port 4789, which the network needs"},
			[]string{"ip link delete cilium_vxlan   # or recreate the network with another --opt vxlan_port on all hosts", reload}},
		{"device for all VNIs that is in no way", func(f *Facts) { f.Collectors = []Collector{{"cilium_vxlan", 4789}} }, nil, nil},
		{"port of the kernel", func(f *Facts) {
			f.Devices[0].Up, f.Changes = false, []Change{change(kernel.SetUp{Name: "vxlan-blue"})}
		},
			[]string{"VX0206 failure something in the kernel has UDP port 4789, which the network needs", "VX0402 failure vxlan-blue is down"}, nil},
		{"attributes of the VXLAN device", func(f *Facts) {
			f.Devices[0].Tunnel.TTL, f.Devices[0].Tunnel.DF = kernel.Some(kernel.TTL{Value: 1}), kernel.Some(kernel.DFSet)
		}, []string{"VX0402 warning vxlan-blue has df set, which the network does not ask for", "VX0402 warning vxlan-blue has the TTL 1, which the network does not ask for"},
			[]string{"ip link set vxlan-blue type vxlan df unset"}},
		{"attributes that the network asks for", func(f *Facts) {
			ttl, df := kernel.Some(kernel.TTL{Inherit: true}), kernel.Some(kernel.DFInherit)
			f.Devices[0].Tunnel.TTL, f.Devices[0].Tunnel.DF, f.Networks[0].Tunnel.TTL, f.Networks[0].Tunnel.DF = ttl, df, ttl, df
		}, nil, nil},
		{"local route to another host", func(f *Facts) {
			f.Networks[0].Paths[0].Route, f.Networks[0].Paths[0].Matched = kernel.Path{}, "local 198.18.0.11 dev lo scope host"
		}, []string{"VX0203 failure there is no route to host 198.18.0.11"}, []string{"ip route delete local 198.18.0.11 dev lo scope host table local"}},
		{"way to another host by the bridge", func(f *Facts) { f.Networks[0].Paths[0].Route.Interface = "br-blue" },
			[]string{"VX0203 failure packets to host 198.18.0.11 leave by br-blue and not by eth0"}, []string{"ip route replace 198.18.0.11 dev eth0"}},
		{"no route to the bridge", func(f *Facts) {
			f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), To: addr("10.0.0.2"), Interface: "eth0"}}
		}, []string{"VX0606 failure packets to container cb leave by eth0 and not by the bridge br-blue"}, []string{"ip route replace 10.0.0.0/24 dev br-blue src 10.0.0.1"}},
		{"IPsec for what is forwarded", func(f *Facts) {
			f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), Interface: "eth0"}}
			f.Routing.Blocks = []Rule{{Text: "default fwd: block", From: prefix("0.0.0.0/0"), To: prefix("0.0.0.0/0"), Forwards: true, Delete: "accept it"}}
		}, []string{"VX0606 failure an IPsec policy blocks what container cb sends to the outside"}, []string{"accept it"}},
		{"packets that are marked, and a rule of routing for marked ones", func(f *Facts) {
			f.Rules = []Rule{{Text: "udp dport 4789 meta mark set 0x42", Chain: "inet mk c", Marks: true, Delete: "nft delete rule"}}
			f.Routing.Rules = []Rule{{Text: "fwmark 0x42", OfMark: true, Refuses: true}}
			f.Networks[0].Tunnels = []Tunnel{{Host: addr("198.18.0.11"), Learned: "02"}}
		}, []string{"VX0506 warning a rule of another program marks packets of networks, and a rule of routing is for marked ones", "VX0301 warning no VXLAN packet passes to or from host 198.18.0.11"},
			[]string{"nft delete rule"}},
		{"packets that are marked, and nothing is lost", func(f *Facts) {
			f.Rules = []Rule{{Text: "udp dport 4789 meta mark set 0x42", Chain: "inet mk c", Marks: true, Delete: "nft delete rule"}}
			f.Routing.Rules = []Rule{{Text: "fwmark 0x42", OfMark: true, Refuses: true}}
		}, nil, nil},
		{"packets that are marked, and no rule for such", func(f *Facts) {
			f.Rules = []Rule{{Text: "udp dport 4789 meta mark set 0x42", Chain: "inet mk c", Marks: true, Delete: "nft delete rule"}}
			f.Networks[0].Tunnels = []Tunnel{{Host: addr("198.18.0.11"), Learned: "02"}}
		}, []string{"VX0301 warning no VXLAN packet passes to or from host 198.18.0.11"}, nil},
		{"asks for no MACs", func(f *Facts) { f.Kernel.Parameters["net/ipv4/neigh/eth0/mcast_solicit"] = "0" },
			[]string{"VX0102 warning net.ipv4.neigh.eth0.mcast_solicit is 0: it asks nobody for MACs, and so does not find others"}, []string{"sysctl -w net/ipv4/neigh/eth0/mcast_solicit=3"}},
		{"inside of a container", func(f *Facts) {
			f.Networks[0].Insides = []Inside{{
				Container: "cb", Namespace: "/n", Interface: "eth0", Unowned: []netip.Addr{addr("10.0.0.2")},
				Parameters:    map[string]string{"net/ipv4/conf/eth0/arp_ignore": "8", "net/ipv4/conf/all/arp_ignore": "0"},
				SilentRouters: []SilentRouter{{addr("10.0.0.99"), "10.0.0.130"}}, Filters: []Rule{{Text: "not asked for", Delete: "x"}},
				Neighbours: []Neighbour{{Addr: addr("10.0.0.130"), MAC: kernel.MAC{2, 9}, Answers: []kernel.MAC{{2, 8}}}}}}
		}, []string{"VX0409 failure container cb: it does not take packets to its address 10.0.0.2 for its own",
			"VX0409 failure container cb: it sends to 10.0.0.130 by the MAC 02:09:00:00:00:00, and 02:08:00:00:00:00 has the address",
			"VX0409 failure container cb: it sends to 10.0.0.99 what is for 10.0.0.130, and nobody has that address",
			"VX0409 failure container cb: net.ipv4.conf.eth0.arp_ignore is 8: nobody gets an answer who asks for an address of this host"},
			[]string{"nsenter --net=/n ip route add local 10.0.0.2 dev eth0 table local"}},
		{"filters of a container that is silent", func(f *Facts) {
			f.Networks[0].Silent = []SilentContainer{{"cb", addr("10.0.0.2")}}
			f.Networks[0].Insides = []Inside{{Container: "cb", Namespace: "/n", Interface: "eth0", Filters: []Rule{{Text: "table ip f: drop", Delete: "nft delete table ip f"}}}}
		}, []string{"VX0409 failure container cb: filters of its own drop its packets"}, []string{"nsenter --net=/n nft delete table ip f"}},
		{"silent container", func(f *Facts) { f.Networks[0].Silent = []SilentContainer{{"cb", addr("10.0.0.2")}} },
			[]string{"VX0411 failure container cb does not answer on the bridge br-blue"}, []string{"podman restart cb"}},
		{"record lost", func(f *Facts) {
			f.Unrecorded = []string{"container c1 has the interface veth1 and no record; restart it"}
		},
			[]string{"VX0106 failure container c1 has the interface veth1 and no record; restart it"}, []string{"podman restart c1"}},
		{"damaged record", func(f *Facts) {
			f.Damaged = []Damage{{Path: "/run/x.json", Container: "c1", NetworkID: "b1", Why: "EOF"}}
		},
			[]string{"VX0106 failure the record /run/x.json is damaged"}, []string{"rm -r /run/x.json", "podman restart c1"}},
		{"damaged record of a network", func(f *Facts) { f.Damaged = []Damage{{Path: "/run/b1", NetworkID: "b1", Why: "EOF"}} },
			[]string{"VX0106 failure the record /run/b1 is damaged"}, []string{"rm -r /run/b1", "podman ps -q --filter network=b1 | xargs podman restart"}},
		{"Podman's file lost", func(f *Facts) { f.Networks[0].ConfigFile, f.Networks[0].Kept = "/etc/blue.json", "/run/network.json" },
			[]string{"VX0106 failure Podman does not know the network any more, and its containers do not start again"}, []string{"cp /run/network.json /etc/blue.json"}},
		{"rule that translates", func(f *Facts) { f.Rules = []Rule{{Text: "snat", Delete: "nft delete", Translates: true}} },
			[]string{"VX0305 failure a rule of another program translates packets between hosts"}, []string{"nft delete"}},
		{"rule that may drop", func(f *Facts) { f.Rules = []Rule{{Text: "drop"}} }, nil, nil},
		{"zone", func(f *Facts) { f.Zones["br-blue"] = "" }, []string{"VX0504 failure firewalld has the bridge br-blue in no zone and not in the zone trusted"}, []string{reload}},
		{"overlap", func(f *Facts) {
			f.Prefixes = []kernel.HostPrefix{{Prefix: prefix("10.0.0.128/25"), Interface: "wg0", Use: kernel.UseRoute}}
		},
			[]string{"VX0606 failure the subnet 10.0.0.0/24 overlaps 10.0.0.128/25, a route by interface wg0"}, []string{"ip route delete 10.0.0.128/25 dev wg0"}},
		{"overlap of a wider range", func(f *Facts) {
			f.Prefixes = []kernel.HostPrefix{{Prefix: prefix("10.0.0.0/8"), Interface: "wg0", Use: kernel.UseRoute}}
		},
			[]string{"VX0606 warning the subnet 10.0.0.0/24 overlaps 10.0.0.0/8, a route by interface wg0"}, nil},
		{"address twice", func(f *Facts) {
			other := f.Networks[0].Endpoints[0]
			other.ContainerName, other.MAC = "cc", kernel.MAC{2, 2}
			f.Networks[0].Endpoints = append(f.Networks[0].Endpoints, other)
		}, []string{"VX0601 failure containers cb and cc both have the address 10.0.0.2"}, nil},
		{"gateway twice", func(f *Facts) {
			f.Networks[0].Elsewhere = []Claimant{{addr("10.0.0.1"), kernel.MAC{2, 1}, "br-blue", ""}}
		},
			[]string{"VX0604 failure somebody on br-blue answers for the gateway's address 10.0.0.1"}, []string{"nsenter --net=/run/netns/cb ip address delete 10.0.0.1/24 dev eth0"}},
		{"agent missing", func(f *Facts) { f.Agent.Running, f.Agent.Report = false, nil }, []string{"VX0701 failure the agent does not run, and 1 container needs it"}, []string{reload}},
		{"agent of a member missing", func(f *Facts) { f.Agent = Agent{Binary: "/bin/vxland", Kept: true} }, []string{"VX0701 failure the agent does not run, and its configuration says keep_running"}, []string{reload}},
		{"agent not needed", func(f *Facts) { f.Agent = Agent{Binary: "/bin/vxland"} }, nil, nil},
		{"agent not installed", func(f *Facts) { f.Agent = Agent{Needed: 1} }, []string{"VX0104 failure the agent vxland is not installed, and 1 container needs it"}, nil},
		{"agent stopped", func(f *Facts) { f.Agent.Stopped, f.Agent.Report = []int{12, 13}, nil }, []string{"VX0701 failure the agent, process 12, was stopped by a signal and does not answer"}, []string{"kill -CONT 12 13"}},
		{"agent does not answer", func(f *Facts) { f.Agent.Report, f.Agent.Err = nil, "timeout" }, []string{"VX0702 failure the agent runs and does not answer: timeout"}, []string{reload}},
		{"configuration", func(f *Facts) {
			f.Agent.Running, f.Agent.Report, f.Agent.BadConfig = false, nil, "vxland.toml:\nprot: is unknown"
		},
			[]string{"VX0710 failure the agent's configuration is refused: prot: is unknown"}, nil},
		{"agents' port", func(f *Facts) { f.Sockets[0].Program, f.Agent.Running, f.Agent.Report = "dockerd", false, nil },
			[]string{"VX0711 failure the program dockerd has the agents' port 7947"}, []string{"kill 9   # or set port in /etc/vxlan/vxland.toml, the same on all hosts", reload}},
		{"another VNI", func(f *Facts) {
			f.Networks[0].Definition = &adopt.Definition{Name: "blue", Options: map[string]string{"vni": "7", "local_ip": "auto", "physical_interface": "eth0", "remote_ips": "198.18.0.11"},
				Subnets: []adopt.Subnet{{Prefix: "10.0.0.0/24", Gateway: "10.0.0.1"}}}
			f.Agent.Report.Differences = []string{"network blue differs on host a (198.18.0.11): the VNI is 8 there and 7 here; recreate the network"}
		}, []string{"VX0306 failure network blue differs on host a (198.18.0.11): the VNI is 8 there and 7 here"}, []string{
			"podman network disconnect blue cb", "podman network rm blue",
			"podman network create --driver vxlan --opt vni=8 --opt local_ip=auto --opt remote_ips=198.18.0.11 --opt physical_interface=eth0 --subnet 10.0.0.0/24 --gateway 10.0.0.1 blue",
			"podman network connect --ip 10.0.0.2 blue cb"}},
		{"another subnet", func(f *Facts) {
			f.Networks[0].Definition = &adopt.Definition{Name: "blue", Options: map[string]string{"vni": "7", "remote_ips": "198.18.0.11"}, Subnets: []adopt.Subnet{{Prefix: "10.0.0.0/24"}}}
			f.Agent.Report.Differences = []string{"network blue differs on host a (198.18.0.11): the subnet is 10.7.0.0/24,fd00:7::/64 there and 10.0.0.0/24 here; recreate the network"}
		}, []string{"VX0605 failure network blue differs on host a (198.18.0.11): the subnet is 10.7.0.0/24,fd00:7::/64 there and 10.0.0.0/24 here"}, []string{
			"podman network disconnect blue cb", "podman network rm blue",
			"podman network create --driver vxlan --opt vni=7 --opt local_ip=auto --opt remote_ips=198.18.0.11 --opt physical_interface=auto --subnet 10.7.0.0/24 --subnet fd00:7::/64 blue",
			"podman network connect blue cb"}},
		{"another gateway, and a network that no command creates", func(f *Facts) {
			f.Agent.Report.Differences = []string{"network blue differs on host a (198.18.0.11): the gateway of 10.0.0.0/24 is 10.0.0.2 there and 10.0.0.1 here; recreate the network"}
		}, []string{"VX0605 failure network blue differs on host a (198.18.0.11): the gateway of 10.0.0.0/24 is 10.0.0.2 there and 10.0.0.1 here"}, []string{"recreate the network"}},
		{"names", func(f *Facts) { f.Networks[0].Names[0].Err = "timeout" }, []string{"VX0801 failure the name server 10.0.0.1 does not answer container cb"}, nil},
		{"upstream", func(f *Facts) {
			f.Networks[0].Names = []NameAnswer{{Server: addr("192.0.2.53"), Upstream: true, Err: "timeout"}}
		},
			[]string{"VX0802 warning the name server 192.0.2.53 does not answer this host"}, nil},
		{"connections", func(f *Facts) { f.Limits[0].Used = 64000 }, []string{"VX0902 failure the table of connections is full: 64000 of 65536 entries"}, []string{"sysctl -w net.netfilter.nf_conntrack_max=262144"}},
		{"neighbours", func(f *Facts) {
			f.Limits[0] = Limit{Name: "neighbours of ipv4", Parameter: "net.ipv4.neigh.default.gc_thresh3", Used: 8, Max: 8, Drops: 3}
		},
			[]string{"VX0901 failure the table of neighbours of ipv4 is full: 8 of 8 entries"}, []string{"sysctl -w net.ipv4.neigh.default.gc_thresh3=1024"}},
		{"refused lately", func(f *Facts) {
			f.Agent.Report.Clusters = []agentapi.ClusterStatus{{Refused: []agentapi.RefusalStatus{{Reason: "wrong key", Count: 3, Hosts: []agentapi.RefusedHost{
				{Addr: addr("198.18.0.11"), Count: 3, Since: time.Hour, Last: 20 * time.Second}}}}}}
		}, []string{"VX0707 failure this host and host 198.18.0.11 have different keys"}, nil},
		{"refused long ago", func(f *Facts) {
			f.Agent.Report.Clusters = []agentapi.ClusterStatus{{Refused: []agentapi.RefusalStatus{{Reason: "malformed message", Count: 1}, {Reason: "wrong key", Count: 3, Hosts: []agentapi.RefusedHost{
				{Addr: addr("198.18.0.11"), Count: 3, Since: time.Hour, Last: time.Hour}}}}}}
		}, nil, nil},
		{"several lines", func(f *Facts) { f.Agent.Report.Problem = "boom:\n  one\n  two" }, []string{"VX0702 failure boom"}, nil},
		{"cause before symptom", func(f *Facts) {
			f.Blocking = []foreignfilter.BlockingChain{{Network: "blue", Table: "inet f", Chain: "in", Dropped: []string{"VXLAN"}, Commands: []string{"nft insert"}}}
			f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue", Tunnels: []agentapi.TunnelStatus{{Host: "a", Port: 4789, Size: 1450}}}}
		}, []string{"VX0502 failure chain in of table inet f drops VXLAN", "VX0301 failure no VXLAN packet passes to or from host a"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
			tt.alter(&f)
			d := Diagnose(f)
			var got []string
			for _, found := range d.Findings {
				got = append(got, fmt.Sprintf("%s %s %s", found.Code, found.Level, found.Summary))
				if found.Host != "host-b" {
					t.Errorf("on host %q: %s", found.Host, found.Summary)
				}
				if found.Level != diagnosis.Unknown && (len(found.Evidence) == 0 || len(found.Mend) == 0) {
					t.Errorf("no evidence or no mend: %+v", found)
				}
				if _, known := diagnosis.Explain(string(found.Code)); !known {
					t.Errorf("%s is not explained", found.Code)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("found\n%s", strings.Join(got, "\n"))
			}
			if tt.mend != nil && len(d.Findings) > 0 && !slices.Equal(d.Findings[0].Mend, tt.mend) {
				t.Errorf("mend %q", d.Findings[0].Mend)
			}
		})
	}
}

// Where packets of a lost tunnel were seen tells on which host they are lost.
func TestTrafficOfLostTunnel(t *testing.T) {
	peer, own, stranger := addr("198.18.0.11"), addr("198.18.0.12"), addr("203.0.113.9")
	out := Stream{From: own, To: peer, Port: 4789, VNI: 7, Out: true, Count: 4}
	in := Stream{From: peer, To: own, Port: 4789, VNI: 7, Count: 2}
	other := Stream{From: stranger, To: own, Port: 4789, VNI: 8, Count: 2} // another network's
	translated := Stream{From: stranger, To: own, Port: 4789, VNI: 7, Count: 3}
	const unanswered = "frames of 1450 bytes and small ones were sent to it, and none was answered"
	for name, tt := range map[string]struct {
		traffic []Stream
		first   diagnosis.Code
		seen    []string
	}{
		"nobody listened":  {nil, diagnosis.TunnelBlocked, []string{unanswered}},
		"dropped here":     {[]Stream{in}, diagnosis.TunnelBlocked, []string{unanswered, "no packet to it left by eth0: they are dropped on host host-b", "2 of its packets came to eth0"}},
		"dropped there":    {[]Stream{out, other}, diagnosis.TunnelBlocked, []string{unanswered, "4 of this host's packets to it left by eth0", "none of its packets came to eth0: they are dropped there or on the way"}},
		"translated there": {[]Stream{out, translated}, diagnosis.TunnelNAT, []string{"3 of them came to eth0, and are dropped", "nothing passes to host-a (198.18.0.11)"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			f.Traffic, f.BothProbed = tt.traffic, true
			f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue", Tunnels: []agentapi.TunnelStatus{{Host: "host-a (198.18.0.11)", Port: 4789, Size: 1450}}}}
			first := Diagnose(f).Findings[0]
			if first.Code != tt.first || !slices.Equal(first.Evidence, tt.seen) {
				t.Errorf("%s, seen %q", first.Code, first.Evidence)
			}
		})
	}
}

// Causes on another host come first, and its symptoms do not come at all.
func TestCausesOfOtherHosts(t *testing.T) {
	f := healthy()
	f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue", Tunnels: []agentapi.TunnelStatus{{Host: "host-a", Port: 4789, Size: 1450}}}}
	d := Diagnose(f)
	if !slices.Equal(d.Suspects, []string{"host-a"}) {
		t.Errorf("suspects %v", d.Suspects)
	}
	other := Diagnosis{Hosts: []string{"host-a"}, Findings: []diagnosis.Finding{
		{Code: diagnosis.TunnelBlocked, Level: diagnosis.Failure, Host: "host-a", Summary: "lost"},
		{Code: diagnosis.ForeignDrop, Level: diagnosis.Failure, Host: "host-a", Summary: "drops"},
		{Code: diagnosis.FactUnknown, Level: diagnosis.Unknown, Host: "host-a", Summary: "unknown"},
		{Code: diagnosis.PodmanVersion, Level: diagnosis.Warning, Host: "host-a", Summary: "old"},
	}}
	other.Possible = []diagnosis.Finding{{Code: diagnosis.ForeignRule, Level: diagnosis.Warning, Host: "host-a", Summary: "may drop"}}
	both := d.WithCausesOf(other)
	if i := slices.IndexFunc(both.Findings, func(f diagnosis.Finding) bool { return f.Code == diagnosis.ForeignRule }); i != 1 {
		t.Errorf("what may drop is number %d of %+v", i, both.Findings)
	}
	both.Findings = slices.Delete(both.Findings, 1, 2)
	if len(both.Findings) != 2 || both.Findings[0].Host != "host-a" || both.Findings[1].Host != "host-b" || both.Level != diagnosis.Failure {
		t.Errorf("found %+v", both.Findings)
	}
	all := Join(d, other, Unreachable("host-c", "timeout"))
	if len(all.Findings) != 6 || len(all.Hosts) != 3 || all.Findings[0].Code != diagnosis.ForeignDrop || all.Findings[5].Level != diagnosis.Unknown {
		t.Errorf("found %+v", all)
	}
	if red := all.OfNetwork("red"); slices.ContainsFunc(red.Findings, func(f diagnosis.Finding) bool { return f.Network == "blue" }) {
		t.Errorf("found %+v", red)
	}
}

// The time that the question and the answer took does not count.
func TestClockSkew(t *testing.T) {
	asked := time.Unix(1_000_000, 0)
	answered := asked.Add(20 * time.Second)
	for at, want := range map[time.Time]string{
		asked: "", answered: "", asked.Add(-20 * time.Second): "", answered.Add(20 * time.Second): "",
		asked.Add(-time.Hour): "1h0m0s", answered.Add(time.Minute): "1m0s",
	} {
		d := Diagnosis{Hosts: []string{"host-c"}, Clock: at.UnixNano()}.WithClock(asked, answered)
		if found := len(d.Findings) == 1 && strings.HasSuffix(d.Findings[0].Summary, want) && d.Level == diagnosis.Warning; found != (want != "") {
			t.Errorf("at %v: %+v", at, d)
		}
	}
	if d := (Diagnosis{Hosts: []string{"old"}}).WithClock(asked, answered); len(d.Findings) > 0 {
		t.Errorf("a host that does not say: %+v", d)
	}
}
