package doctor

import (
	"net/netip"
	"time"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// clusterCases are about addresses, names, the agent and its cluster.
var clusterCases = []checkCase{
	{"way to a container", func(f *Facts) {
		f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), To: addr("10.0.0.2"), Interface: "wg0",
			Command: "ip route get 10.0.0.2"}}
		f.Routing.Rules = []Rule{{Text: "to 10.0.0.0/24", To: prefix("10.0.0.0/24"), Delete: "ip rule delete"}}
	}, []string{"VX0606 failure packets to container cb leave by wg0 and not by the bridge br-blue"},
		[]string{"ip rule delete"}},
	{"blackhole for a container", func(f *Facts) {
		f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), To: addr("10.0.0.2"), Err: "no"}}
		f.Routing.DeadEnds = []Route{{Type: "blackhole", Dst: prefix("10.0.0.0/25"), Delete: "delete it"}}
	}, []string{"VX0606 failure this host refuses packets to 10.0.0.0/25 of the subnet 10.0.0.0/24"},
		[]string{"delete it"}},
	{"wide blackhole", func(f *Facts) { f.Routing.DeadEnds = []Route{{Type: "blackhole", Dst: prefix("10.0.0.0/8")}} },
		nil, nil},
	{"no way out", func(f *Facts) {
		f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), Err: "no"}}
		f.Routing.Rules = []Rule{{Text: "iif other", ArrivedBy: "other", Refuses: true, Delete: "wrong"},
			{Text: "iif br-blue", ArrivedBy: "br-blue", Refuses: true, Delete: "ip rule delete"}}
	}, []string{"VX0606 failure what container cb sends to the outside has no way: a route or rule refuses it"},
		[]string{"ip rule delete"}},
	{"address of another host's container", func(f *Facts) {
		f.Networks[0].VTEP.StaticFDB = true
		f.Networks[0].FixedEntries = []FixedEntry{{Device: "br-blue", Addr: addr("10.0.0.9"), MAC: kernel.MAC{2, 9}}}
		f.Networks[0].Insides = []Inside{{Container: "cb", Namespace: "/n", Interface: "eth0",
			Addrs: []netip.Prefix{prefix("10.0.0.2/24"), prefix("10.0.0.9/24"), prefix("10.0.0.77/24")}}}
	}, []string{"VX0601 failure container cb has the address 10.0.0.9, which is that of another container"},
		[]string{"nsenter --net=/n ip address delete 10.0.0.9/24 dev eth0"}},
	{"underlay of another MTU where networks have one", func(f *Facts) {
		f.Agent.Report.Differences = []string{"network blue differs on host b (198.18.0.12): the MTU of the physical " +
			"interface is 9000 there and 1500 here; packets over 1500 bytes may be lost between them"}
	}, []string{"VX0605 warning network blue differs on host b (198.18.0.12): the MTU of the physical interface is " +
		"9000 there and 1500 here"},
		[]string{"packets over 1500 bytes may be lost between them"}},
	{"address of the subnet on another interface", func(f *Facts) {
		f.Prefixes = []kernel.HostPrefix{{Prefix: prefix("10.0.0.0/24"), Interface: "eth0", Use: kernel.UseAddress}}
		f.Addrs = []InterfaceAddr{{"eth0", prefix("10.0.0.99/24")}}
	}, []string{"VX0606 failure the subnet 10.0.0.0/24 overlaps 10.0.0.0/24, the network of interface eth0"},
		[]string{"ip address delete 10.0.0.99/24 dev eth0   # or recreate the network with another --subnet on all hosts"}},
	{"gateway behind a foreign port", func(f *Facts) {
		f.Networks[0].Elsewhere = []Claimant{{addr("10.0.0.1"), kernel.MAC{2, 9}, "br-blue", "tap7"}}
	}, []string{"VX0604 failure somebody on br-blue answers for the gateway's address 10.0.0.1"},
		[]string{"ip link set tap7 nomaster"}},
	{"one MAC for two hosts", func(f *Facts) {
		f.Networks[0].Neighbours = []Neighbour{{Addr: addr("198.18.0.11"), OwnMAC: kernel.MAC{2, 9},
			Answers: []kernel.MAC{{2, 9}}}}
	}, []string{"VX0602 failure this host and host 198.18.0.11 have one MAC on eth0"},
		[]string{"ip link set eth0 address 02:fe:c6:12:00:0c"}},
	{"no route to the bridge", func(f *Facts) {
		f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), To: addr("10.0.0.2"), Interface: "eth0"}}
	}, []string{"VX0606 failure packets to container cb leave by eth0 and not by the bridge br-blue"},
		[]string{"ip route replace 10.0.0.0/24 dev br-blue src 10.0.0.254"}},
	{"no route to the bridge of a host without an address", func(f *Facts) {
		takeOwnAddress(f)
		f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), To: addr("10.0.0.2"), Interface: "eth0"}}
	}, []string{"VX0606 failure packets to container cb leave by eth0 and not by the bridge br-blue"},
		[]string{"ip route replace 10.0.0.0/24 dev br-blue src 10.0.0.1"}},
	{"gateway's address as source", func(f *Facts) {
		f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), To: addr("10.0.0.2"), Interface: "br-blue",
			Source: addr("10.0.0.1")}}
	}, []string{"VX0606 warning this host's packets to the subnet 10.0.0.0/24 come from the gateway's address"},
		[]string{"ip route replace 10.0.0.0/24 dev br-blue src 10.0.0.254"}},
	{"no route to a bridge without addresses", func(f *Facts) {
		f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), To: addr("10.0.0.2"), Interface: "eth0"}}
		f.Changes = []Change{change(kernel.AddAddr{Name: "br-blue", Addr: kernel.Addr{Prefix: prefix("10.0.0.254/24")}}),
			change(kernel.AddAddr{Name: "br-blue", Addr: kernel.Addr{Prefix: prefix("10.0.0.1/24")}})}
	}, []string{"VX0408 failure br-blue lacks the gateway's address 10.0.0.1"}, []string{reload}},
	{"gateway's address as source, since the host's is gone", func(f *Facts) {
		f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), To: addr("10.0.0.2"), Interface: "br-blue",
			Source: addr("10.0.0.1")}}
		f.Changes = []Change{change(kernel.AddAddr{Name: "br-blue", Addr: kernel.Addr{Prefix: prefix("10.0.0.254/24")}})}
	}, []string{"VX0408 failure br-blue lacks the address 10.0.0.254"}, []string{reload}},
	{"gateway's address as source of a host without another", func(f *Facts) {
		takeOwnAddress(f)
		f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), To: addr("10.0.0.2"), Interface: "br-blue",
			Source: addr("10.0.0.1")}}
	}, nil, nil},
	{"IPsec for what is forwarded", func(f *Facts) {
		f.Networks[0].Ways = []Way{{Container: "cb", Of: addr("10.0.0.2"), Interface: "eth0"}}
		f.Routing.Blocks = []Rule{{Text: "default fwd: block", From: prefix("0.0.0.0/0"), To: prefix("0.0.0.0/0"),
			Forwards: true, Delete: "accept it"}}
	}, []string{"VX0606 failure an IPsec policy blocks what container cb sends to the outside"}, []string{"accept it"}},
	{"overlap", func(f *Facts) {
		f.Prefixes = []kernel.HostPrefix{{Prefix: prefix("10.0.0.128/25"), Interface: "wg0", Use: kernel.UseRoute}}
	},
		[]string{"VX0606 failure the subnet 10.0.0.0/24 overlaps 10.0.0.128/25, a route by interface wg0"},
		[]string{"ip route delete 10.0.0.128/25 dev wg0"}},
	{"overlap of a wider range", func(f *Facts) {
		f.Prefixes = []kernel.HostPrefix{{Prefix: prefix("10.0.0.0/8"), Interface: "wg0", Use: kernel.UseRoute}}
	},
		[]string{"VX0606 warning the subnet 10.0.0.0/24 overlaps 10.0.0.0/8, a route by interface wg0"}, nil},
	{"address of another container on lo", func(f *Facts) {
		f.Networks[0].VTEP.StaticFDB = true
		f.Networks[0].FixedEntries = []FixedEntry{{Device: "br-blue", Addr: addr("10.0.0.9"), MAC: kernel.MAC{2, 9}}}
		f.Networks[0].Insides = []Inside{{Container: "cb", Namespace: "/n", Interface: "eth0",
			OnLoopback: []netip.Prefix{prefix("10.0.0.9/32"), prefix("192.0.2.7/32")}}}
	}, []string{"VX0601 failure container cb has the address 10.0.0.9, which is that of another container"},
		[]string{"nsenter --net=/n ip address delete 10.0.0.9/32 dev lo"}},
	{"address twice", func(f *Facts) {
		other := f.Networks[0].Endpoints[0]
		other.ContainerName, other.MAC = "cc", kernel.MAC{2, 2}
		f.Networks[0].Endpoints = append(f.Networks[0].Endpoints, other)
	}, []string{"VX0601 failure containers cb and cc both have the address 10.0.0.2"}, nil},
	{"gateway twice", func(f *Facts) {
		f.Networks[0].Elsewhere = []Claimant{{addr("10.0.0.1"), kernel.MAC{2, 1}, "br-blue", ""}}
	},
		[]string{"VX0604 failure somebody on br-blue answers for the gateway's address 10.0.0.1"},
		[]string{"nsenter --net=/run/netns/cb ip address delete 10.0.0.1/24 dev eth0"}},
	{"another subnet", func(f *Facts) {
		f.Networks[0].Definition = &adopt.Definition{Name: "blue",
			Options: map[string]string{"vni": "7", "remote_ips": "198.18.0.11"},
			Subnets: []adopt.Subnet{{Prefix: "10.0.0.0/24"}}}
		f.Agent.Report.Differences = []string{"network blue differs on host a (198.18.0.11): the subnet is " +
			"10.7.0.0/24,fd00:7::/64 there and 10.0.0.0/24 here; recreate the network"}
	}, []string{"VX0605 failure network blue differs on host a (198.18.0.11): the subnet is 10.7.0.0/24,fd00:7::/64 " +
		"there and 10.0.0.0/24 here"}, []string{
		"podman network disconnect blue cb", "podman network rm blue",
		"podman network create --driver vxlan --opt vni=7 --opt local_ip=auto --opt remote_ips=198.18.0.11 --opt " +
			"physical_interface=auto --subnet 10.7.0.0/24 --subnet fd00:7::/64 blue",
		"podman network connect blue cb"}},
	{"another gateway, and a network that no command creates", func(f *Facts) {
		f.Agent.Report.Differences = []string{"network blue differs on host a (198.18.0.11): the gateway of " +
			"10.0.0.0/24 is 10.0.0.2 there and 10.0.0.1 here; recreate the network"}
	}, []string{"VX0605 failure network blue differs on host a (198.18.0.11): the gateway of 10.0.0.0/24 is " +
		"10.0.0.2 there and 10.0.0.1 here"}, []string{"recreate the network"}},
	{"agents with different ports", func(f *Facts) {
		f.Agent.Port, f.Contacts = 7948, []Contact{{To: addr("198.18.0.11"), TCP: TCPRefused, OtherPort: 7947}}
	}, []string{"VX0713 failure the agent of host 198.18.0.11 has the port 7947, and this host's has 7948, so they " +
		"do not hear each other"},
		[]string{"sed -i '/^ *port *=/s/^/# /' /etc/vxlan/vxland.toml   # or set one port on all hosts", reload}},
	{"agent missing", func(f *Facts) { f.Agent.Running, f.Agent.Report = false, nil },
		[]string{"VX0701 failure the agent does not run, and 1 container needs it"}, []string{reload}},
	{"agent of a member missing", func(f *Facts) { f.Agent = Agent{Binary: "/bin/vxland", Kept: true} },
		[]string{"VX0701 failure the agent does not run, and its configuration says keep_running"}, []string{reload}},
	{"agent not needed", func(f *Facts) { f.Agent = Agent{Binary: "/bin/vxland"} }, nil, nil},
	{"agent stopped", func(f *Facts) { f.Agent.Stopped, f.Agent.Report = []int{12, 13}, nil },
		[]string{"VX0701 failure the agent, process 12, was stopped by a signal and does not answer"},
		[]string{"kill -CONT 12 13"}},
	{"agent does not answer", func(f *Facts) { f.Agent.Report, f.Agent.Err = nil, "timeout" },
		[]string{"VX0702 failure the agent runs and does not answer: timeout"}, []string{reload}},
	{"configuration", func(f *Facts) {
		f.Agent.Running, f.Agent.Report, f.Agent.BadConfig = false, nil, "vxland.toml:\nprot: is unknown"
	},
		[]string{"VX0710 failure the agent's configuration is refused: prot: is unknown"}, nil},
	{"agents' port", func(f *Facts) { f.Sockets[0].Program, f.Agent.Running, f.Agent.Report = "dockerd", false, nil },
		[]string{"VX0711 failure the program dockerd has the agents' port 7947"},
		[]string{"kill 9   # or set port in /etc/vxlan/vxland.toml, the same on all hosts", reload}},
	{"refused lately", func(f *Facts) {
		f.Agent.Report.Clusters = []agentapi.ClusterStatus{{Refused: []agentapi.RefusalStatus{{Reason: "wrong key",
			Count: 3, Hosts: []agentapi.RefusedHost{
				{Addr: addr("198.18.0.11"), Count: 3, Since: time.Hour, Last: 20 * time.Second}}}}}}
	}, []string{"VX0707 failure this host and host 198.18.0.11 have different keys"}, nil},
	{"refused long ago", func(f *Facts) {
		f.Agent.Report.Clusters = []agentapi.ClusterStatus{{Refused: []agentapi.RefusalStatus{{Reason: "malformed message",
			Count: 1}, {Reason: "wrong key", Count: 3, Hosts: []agentapi.RefusedHost{
			{Addr: addr("198.18.0.11"), Count: 3, Since: time.Hour, Last: time.Hour}}}}}}
	}, nil, nil},
	{"several lines", func(f *Facts) { f.Agent.Report.Problem = "boom:\n  one\n  two" }, []string{"VX0702 failure boom"},
		nil},
	{"rules about names", func(f *Facts) {
		f.Networks[0].Names[0].Err = "no answer"
		f.Rules = []Rule{{Text: "udp dport 53 drop", Chain: "bridge f in", OfNames: true, Delete: "nft delete it"},
			{Text: "udp dport 53 tproxy to :5353", Chain: "mangle of iptables-legacy PREROUTING", OfNames: true,
				Translates: true, Delete: "x"}}
	}, []string{"VX0803 failure a rule of another program drops questions for names, or their answers: chain in of " +
		"table bridge f",
		"VX0803 failure a rule of another program leads questions for names elsewhere: chain PREROUTING of table " +
			"mangle of iptables-legacy"},
		[]string{"nft delete it"}},
	{"a rule that exempts questions for names from tracking", func(f *Facts) {
		f.Networks[0].Names[0].Err = "no answer"
		f.Rules = []Rule{{Text: "udp dport 53 notrack", Chain: "ip raw PREROUTING", OfNames: true, Untracks: true,
			Delete: "nft delete it"}}
	}, []string{"VX0803 failure a rule of another program exempts questions for names from tracking, so they do not " +
		"reach the agent: chain PREROUTING of table ip raw"}, []string{"nft delete it"}},
	{"a rule about names in a chain that drops them", func(f *Facts) {
		f.Networks[0].Names[0].Err = "no answer"
		f.Rules = []Rule{{Text: "udp dport 53 drop", Chain: "bridge f in", OfNames: true, Delete: "x"}}
		f.Blocking = []BlockingChain{{Network: "blue", Table: "bridge f", Chain: "in",
			Dropped: []string{"questions for container names"}, Commands: []string{"let them pass"}}}
	}, []string{"VX0803 failure chain in of table bridge f drops questions for container names"},
		[]string{"let them pass"}},
	{"a container that asks others", func(f *Facts) {
		f.Networks[0].DNS = true
		f.Networks[0].Misled = []MisledContainer{{"cb", "/run/cb/resolv.conf",
			[]netip.Addr{addr("192.0.2.53"), addr("192.0.2.54")}}, {"cc", "/run/cc/resolv.conf", nil}}
	}, []string{"VX0801 warning container cb asks 192.0.2.53 192.0.2.54 for names, and not 10.0.0.1",
		"VX0801 warning container cc asks nobody for names, and not 10.0.0.1"},
		[]string{"podman restart cb"}},
	{"another server answers", func(f *Facts) {
		f.Networks[0].Names[0].Err, f.Networks[0].Names[0].IsForeign = "the answer says that there is no such name", true
	}, []string{"VX0801 failure container cb asks 10.0.0.1 for names, and somebody else answers"}, []string{reload}},
	{"names", func(f *Facts) { f.Networks[0].Names[0].Err = "timeout" },
		[]string{"VX0801 failure the name server 10.0.0.1 does not answer container cb"}, nil},
	{"upstream", func(f *Facts) {
		f.Networks[0].Names = []NameAnswer{{Server: addr("192.0.2.53"), Upstream: true, Err: "timeout"}}
	},
		[]string{"VX0802 warning the name server 192.0.2.53 does not answer this host"}, nil},
}

// takeOwnAddress leaves this host the gateway's address alone.
func takeOwnAddress(f *Facts) {
	s := f.Networks[0].Subnets[0]
	s.HostAddress = netip.Addr{}
	f.Networks[0].Subnets = []network.Subnet{s}
}
