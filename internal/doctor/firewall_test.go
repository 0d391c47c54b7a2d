package doctor

import (
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/foreignfilter"
	"vxlan-driver/internal/kernel"
)

// firewallCases are about firewalls and other programs' filters.
var firewallCases = []checkCase{
	{"rules", func(f *Facts) { f.Changes = []Change{{Change: kernel.SetFirewall{}}} },
		[]string{"VX0501 failure the tables inet vxlan-driver and bridge vxlan-driver are missing, or their rules were " +
			"changed"}, []string{reload}},
	{"elements", func(f *Facts) {
		f.Changes = []Change{{Change: kernel.AddElements{Elements: []kernel.Element{{Set: kernel.Bridges,
			Key: kernel.Device("br-blue")}}}}}
	},
		[]string{"VX0501 failure elements of the table inet vxlan-driver or bridge vxlan-driver are missing or wrong"}, nil},
	{"another fingerprint", func(f *Facts) {
		f.Changes = []Change{{Change: kernel.DelElements{Elements: []kernel.Element{{Set: kernel.Bridges,
			Key: kernel.Device("br-blue"), Comment: "0123456789ab network blue"}}}}}
	}, nil, nil},
	{"element of a bridge that is gone", func(f *Facts) {
		f.Changes = []Change{{Change: kernel.DelElements{Elements: []kernel.Element{{Set: kernel.Bridges,
			Key: kernel.Device("br-red")}}}}}
	}, []string{"VX0501 failure elements of the table inet vxlan-driver or bridge vxlan-driver are missing or wrong"},
		nil},
	{"old file for the firewall", func(f *Facts) {
		f.PortFiles = []PortFile{{Path: "/etc/x.xml", Port: "7949/tcp", Mend: []string{"firewall-cmd x"}}}
	},
		[]string{"VX0508 warning /etc/x.xml does not open port 7949/tcp, by which hosts join"}, []string{"firewall-cmd x"}},
	{"users who were refused", func(f *Facts) {
		f.Refused = []kernel.DropCounter{{Reason: "user_to_vtep", Comment: "to a VTEP", Packets: 3}}
	}, []string{"VX0509 warning a process that is not root's has sent to the VXLAN port or to an agent, and was refused"},
		[]string{"vxlanctl reload   # sets the counts to zero, once the process ended or allow_users names its user"}},
	{"chain in the driver's table", func(f *Facts) { f.AlienChains = []string{"inet vxlan-driver evil"} },
		[]string{"VX0501 failure chain inet vxlan-driver evil is not the driver's, and drops all packets by its policy"},
		[]string{reload}},
	{"chain of firewalld, which does not trust the bridge", func(f *Facts) {
		f.Zones["br-blue"] = ""
		f.Blocking = []foreignfilter.BlockingChain{
			{Network: "blue", Table: "inet firewalld", Chain: "filter_FORWARD", Dropped: []string{"a"},
				Commands: []string{reload}},
			{Network: "blue", Table: "inet firewalld", Chain: "filter_INPUT", Dropped: []string{"b"},
				Commands: []string{"firewall-cmd --add-port=4789/udp"}},
		}
	}, []string{"VX0502 failure chain filter_INPUT of table inet firewalld drops b",
		"VX0504 failure firewalld has the bridge br-blue in no zone and not in the zone trusted"},
		[]string{"firewall-cmd --add-port=4789/udp"}},
	{"chain", func(f *Facts) {
		f.Blocking = []foreignfilter.BlockingChain{{Network: "blue", Table: "inet f", Chain: "in",
			Dropped: []string{"a", "b"}, Commands: []string{"nft insert"}}}
	}, []string{"VX0502 failure chain in of table inet f drops a, b"}, []string{"nft insert"}},
	{"firewalld", func(f *Facts) {
		f.Blocking = []foreignfilter.BlockingChain{{
			Network: "blue", Table: "inet firewalld", Chain: "filter_INPUT", Dropped: []string{"a"},
			Commands: []string{"firewall-cmd --add-port=4789/udp", "vxlanctl reload"},
		}}
		f.Firewalld = Firewalld{Zones: []string{"work"}, Denying: []string{"remove the rule"}}
	}, []string{"VX0502 failure chain filter_INPUT of table inet firewalld drops a"},
		[]string{"remove the rule", "firewall-cmd --zone=work --add-port=4789/udp",
			"firewall-cmd --permanent --zone=work --add-port=4789/udp", "vxlanctl reload"}},
	{"panic", func(f *Facts) {
		f.Blocking = []foreignfilter.BlockingChain{{Network: "blue", Table: "inet firewalld_policy_drop",
			Chain: "raw_output", Dropped: []string{"a"}}, {Network: "blue", Table: "inet firewalld"}}
	}, []string{"VX0507 failure firewalld is in panic mode, and drops all packets of this host"},
		[]string{"firewall-cmd --panic-off"}},
	{"chain of iptables-legacy", func(f *Facts) {
		f.Blocking = []foreignfilter.BlockingChain{{Network: "blue", Table: "raw of iptables-legacy", Chain: "OUTPUT",
			Dropped: []string{"a"}, Commands: []string{"iptables-legacy -t raw"}}}
	}, []string{"VX0502 failure chain OUTPUT of table raw of iptables-legacy drops a"},
		[]string{"iptables-legacy -t raw"}},
	{"chain that may drop", func(f *Facts) {
		f.Suspect = []foreignfilter.BlockingChain{{Network: "blue", Table: "inet f", Chain: "in", Dropped: []string{"a"}}}
	}, nil, nil},
	{"chain that may drop, and a lost tunnel", func(f *Facts) {
		f.Suspect = []foreignfilter.BlockingChain{
			{Network: "blue", Table: "inet f", Chain: "in", Dropped: []string{"a"}, Commands: []string{"nft insert"}},
			{Network: "blue", Table: "inet f", Chain: "named", Dropped: []string{"a"}},
		}
		f.Rules = []Rule{{Text: "table inet f, chain named: x drop", Chain: "inet f named", Delete: "nft delete rule"}}
		f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue",
			Tunnels: []agentapi.TunnelStatus{{Host: "a", Port: 4789, Size: 1450}}}}
	}, []string{
		"VX0506 warning a rule of another program may drop packets of networks",
		"VX0506 warning chain in of table inet f may drop a",
		"VX0301 failure no VXLAN packet passes to or from host a",
	}, []string{"nft delete rule"}},
	{"chain for bridged packets", func(f *Facts) {
		f.Blocking = []foreignfilter.BlockingChain{{Network: "blue", Table: "inet f", Chain: "in",
			Dropped: []string{"packets (br_netfilter is on)"}, Commands: []string{"nft insert"}}}
	}, []string{"VX0503 failure chain in of table inet f drops packets (br_netfilter is on)"}, nil},
	{"filter that drops", func(f *Facts) {
		f.Hooks = []DeviceHook{{Device: "eth0", What: "tc filter at ingress", Drops: true, Remove: "tc x"}}
	},
		[]string{"VX0505 failure a tc filter at ingress of eth0, which is another program's, drops packets of networks"},
		[]string{"tc x"}},
	{"filter that may drop", func(f *Facts) { f.Hooks = []DeviceHook{{Device: "eth0", What: "XDP program"}} }, nil, nil},
	{"filter that may drop, and a lost tunnel", func(f *Facts) {
		f.Hooks = []DeviceHook{{Device: "eth0", What: "XDP program"}}
		f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue",
			Tunnels: []agentapi.TunnelStatus{{Host: "a", Port: 4789, Size: 1450}}}}
	}, []string{"VX0505 warning a XDP program of eth0, which is another program's, may drop packets of networks",
		"VX0301 failure no VXLAN packet passes to or from host a"}, nil},
	{"packets that are marked, and a rule of routing for marked ones", func(f *Facts) {
		f.Rules = []Rule{{Text: "udp dport 4789 meta mark set 0x42", Chain: "inet mk c", Marks: true,
			Delete: "nft delete rule"}}
		f.Routing.Rules = []Rule{{Text: "fwmark 0x42", OfMark: true, Refuses: true}}
		f.Networks[0].Tunnels = []Tunnel{{Host: addr("198.18.0.11"), Learned: "02"}}
	}, []string{"VX0506 warning a rule of another program marks packets of networks, and a rule of routing is for " +
		"marked ones", "VX0301 warning no VXLAN packet passes to or from host 198.18.0.11"},
		[]string{"nft delete rule"}},
	{"packets that are marked, and nothing is lost", func(f *Facts) {
		f.Rules = []Rule{{Text: "udp dport 4789 meta mark set 0x42", Chain: "inet mk c", Marks: true,
			Delete: "nft delete rule"}}
		f.Routing.Rules = []Rule{{Text: "fwmark 0x42", OfMark: true, Refuses: true}}
	}, nil, nil},
	{"zone", func(f *Facts) { f.Zones["br-blue"] = "" },
		[]string{"VX0504 failure firewalld has the bridge br-blue in no zone and not in the zone trusted"}, []string{reload}},
	{"cause before symptom", func(f *Facts) {
		f.Blocking = []foreignfilter.BlockingChain{{Network: "blue", Table: "inet f", Chain: "in",
			Dropped: []string{"VXLAN"}, Commands: []string{"nft insert"}}}
		f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue",
			Tunnels: []agentapi.TunnelStatus{{Host: "a", Port: 4789, Size: 1450}}}}
	}, []string{"VX0502 failure chain in of table inet f drops VXLAN",
		"VX0301 failure no VXLAN packet passes to or from host a"}, nil},
}
