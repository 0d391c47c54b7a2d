package ctl

import (
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/definition"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// testInventory is that of host-a on two networks with host-b, and host-c, which does not answer.
func testInventory() agentapi.Inventory {
	const a, b, c = "host-a (198.18.0.1)", "host-b (198.18.0.2)", "host-c (198.18.0.3)"
	blue := agentapi.NetworkInventory{
		ID: "7c7b", Name: "blue", VNI: 7, Port: 4789, Discovery: "static", VTEP: addr("198.18.0.1"), Interface: "eth0", MTU: 1450, UnderlayMTU: 1500,
		Bridge: "br-vxlan-blue", Device: "vxlan-blue", Options: map[string]string{"vni": "7", "mtu": "1450", "remote_ips": "198.18.0.1,198.18.0.2"},
		Subnets: []agentapi.SubnetInventory{{
			Prefix: netip.MustParsePrefix("10.0.0.0/28"), Gateway: addr("10.0.0.1"), First: addr("10.0.0.2"), Last: addr("10.0.0.2"), HostAddress: addr("10.0.0.3"),
			Unusable: map[netip.Addr]string{addr("10.0.0.0"): "it is the network address of 10.0.0.0/28", addr("10.0.0.1"): "it is the gateway's", addr("10.0.0.15"): "it is the broadcast address of 10.0.0.0/28"},
			Slices: []agentapi.SliceInventory{
				{Host: addr("198.18.0.1"), First: addr("10.0.0.2"), Last: addr("10.0.0.2"), HostAddress: addr("10.0.0.3")},
				{Host: addr("198.18.0.2"), First: addr("10.0.0.4"), Last: addr("10.0.0.6"), HostAddress: addr("10.0.0.7")},
				{Host: addr("198.18.0.3"), First: addr("10.0.0.8"), Last: addr("10.0.0.10"), HostAddress: addr("10.0.0.11")},
				{First: addr("10.0.0.12"), Last: addr("10.0.0.13"), HostAddress: addr("10.0.0.14")},
			},
		}},
		Hosts: []agentapi.MemberInventory{
			{Name: a, Self: true, VTEP: addr("198.18.0.1"), Reachable: true, MTU: 1450, HostAddrs: []netip.Addr{addr("10.0.0.3")}, Containers: 1},
			{Name: b, VTEP: addr("198.18.0.2"), Reachable: true, MTU: 1400, HostAddrs: []netip.Addr{addr("10.0.0.7")}, Containers: 2},
			{Name: c, VTEP: addr("198.18.0.3"), MTU: 1450, HostAddrs: []netip.Addr{addr("10.0.0.11")}, Containers: 1},
		},
		Endpoints: []agentapi.EndpointInventory{
			{Container: "db", ID: "d0", Names: []string{"db"}, Addrs: []netip.Addr{addr("10.0.0.4")}, MAC: "06:00:00:00:00:04", Host: b, State: agentapi.EndpointUp},
			{Container: "lost", ID: "f0", Names: []string{"lost"}, Addrs: []netip.Addr{addr("10.0.0.8")}, MAC: "06:00:00:00:00:08", Host: c, State: agentapi.EndpointUnreachable},
			{Container: "soon", ID: "a0", Addrs: []netip.Addr{addr("10.0.0.5")}, Host: b, State: agentapi.EndpointClaiming},
			{Container: "web", ID: "e0", Names: []string{"web", "www"}, Addrs: []netip.Addr{addr("10.0.0.2")}, MAC: "06:00:00:00:00:02", Host: a, State: agentapi.EndpointUp},
		},
		Names: []agentapi.NameInventory{
			{Name: "db", Addrs: []netip.Addr{addr("10.0.0.4")}}, {Name: "web", Addrs: []netip.Addr{addr("10.0.0.2")}},
			{Name: "www", Addrs: []netip.Addr{addr("10.0.0.2"), addr("10.0.0.4")}},
		},
		Conflicts: []agentapi.ConflictInventory{{
			Kind: "address", Value: "10.0.0.2", Here: "web", There: "db", Host: b, Keeps: "here", Text: "address 10.0.0.2 is twice; restart the other one",
		}},
		Differences: []string{"network blue differs on host " + b + ": the MTU is 1400 there and 1450 here"},
	}
	red := agentapi.NetworkInventory{
		ID: "8d8d", Name: "red", VNI: 8, Port: 4789, Discovery: "gossip", VTEP: addr("198.18.0.1"), Interface: "eth0", MTU: 1450,
		Subnets: []agentapi.SubnetInventory{{
			Prefix: netip.MustParsePrefix("fd00::/64"), Gateway: addr("fd00::1"), First: addr("fd00::"), Last: addr("fd00::ffff:ffff:ffff:ffff"),
			Unusable: map[netip.Addr]string{addr("fd00::"): "it is that of all routers of fd00::/64", addr("fd00::1"): "it is the gateway's"},
		}},
		Hosts:     []agentapi.MemberInventory{{Name: a, Self: true, VTEP: addr("198.18.0.1"), Reachable: true, MTU: 1450, Containers: 1}},
		Endpoints: []agentapi.EndpointInventory{{Container: "web", ID: "e0", Names: []string{"web"}, Addrs: []netip.Addr{addr("fd00::2")}, Host: a, State: agentapi.EndpointUp}},
		Names:     []agentapi.NameInventory{{Name: "web", Addrs: []netip.Addr{addr("fd00::2")}}},
	}
	return agentapi.Inventory{
		Networks: []agentapi.NetworkInventory{blue, red},
		Elsewhere: []agentapi.NetworkElsewhere{
			{Name: "green", VNI: 9, Port: 4789, MTU: 1450, Subnets: []string{"10.2.0.0/24"}, Hosts: []string{b}, Containers: 1, Endpoints: []agentapi.EndpointInventory{
				{Container: "far", ID: "b0", Names: []string{"far"}, Addrs: []netip.Addr{addr("10.2.0.2")}, MAC: "06:00:00:00:02:02", Host: b, State: agentapi.EndpointUp},
			}},
			{Name: "idle", VNI: 10, Port: 4789, MTU: 1450, Hosts: []string{b, c}, Containers: 3},
		},
	}
}

func (h fakeHost) Inventory() (agentapi.Inventory, bool, error) {
	switch {
	case h.err == agentapi.ErrNotRunning:
		all := testInventory()
		all.Networks[0].Names, all.Networks[1].Names, all.Elsewhere = nil, nil, nil
		return all, true, nil
	case h.err != nil:
		return agentapi.Inventory{}, false, h.err
	}
	return testInventory(), false, nil
}

// Definitions is without an etcd.
func (h fakeHost) Definitions() ([]definition.Listed, error) { return nil, nil }

func (h fakeHost) RetireNetwork(string) (definition.Retirement, error) {
	return definition.Retirement{}, nil
}

func (h fakeHost) DefinedNetworks() ([]DefinedNetwork, error) {
	return []DefinedNetwork{
		{Name: "blue", ID: "7c7b", VNI: 7, Port: 4789}, {Name: "idle", ID: "9e9e", VNI: 10, Port: 4789, Subnets: []string{"10.3.0.0/24"}, Options: map[string]string{"vni": "10"}},
		{Name: "red", ID: "8d8d", VNI: 8, Port: 4789},
	}, nil
}

// defined is a network as hosts tell each other.
func defined(host, name, vni, subnet string) adopt.Definition {
	return adopt.Definition{
		Name: name, Host: host, Options: map[string]string{"vni": vni, "discovery": "gossip"}, Subnets: []adopt.Subnet{{Prefix: subnet}},
	}
}

// Networks are those that the hosts' Podmans have: host-b has one without containers, and one that
// is set up differently here.
func (h fakeHost) Networks() (known KnownNetworks, err error) {
	known.Hosts = 2
	known.Here = []adopt.Definition{defined("host-a", "blue", "7", "10.0.0.0/28"), defined("host-a", "idle", "10",
		"10.3.0.0/24"), defined("host-a", "red", "8", "fd00::/64")}
	known.Others = []adopt.Definition{
		defined("host-b", "green", "9", "10.2.0.0/24"), defined("host-b", "quiet", "11", "10.4.0.0/24"), defined("host-c", "quiet", "11", "10.4.0.0/24"),
		defined("host-b", "idle", "10", "10.3.1.0/24"), defined("host-c", "idle", "10", "10.3.2.0/24"), defined("host-c", "called-otherwise", "7", "10.0.0.0/28"),
	}
	for i, d := range known.Others {
		known.Others[i].Label = map[string]string{"host-b": "host-b (198.18.0.2)",
			"host-c": "host-c (198.18.0.3)"}[d.Host]
	}
	return known, h.err
}

func TestInventoryCommands(t *testing.T) {
	tests := []struct {
		args string
		code int
		want string
	}{
		{"endpoints", 0, `CONTAINER  NETWORK  ADDRESS   MAC                HOST                 STATE
db         blue     10.0.0.4  06:00:00:00:00:04  host-b (198.18.0.2)  up
lost       blue     10.0.0.8  06:00:00:00:00:08  host-c (198.18.0.3)  unreachable
soon       blue     10.0.0.5  -                  host-b (198.18.0.2)  claiming
web        blue     10.0.0.2  06:00:00:00:00:02  host-a (198.18.0.1)  up
web        red      fd00::2   -                  host-a (198.18.0.1)  up
far        green    10.2.0.2  06:00:00:00:02:02  host-b (198.18.0.2)  up
`},
		{"endpoints red -q", 0, "web\n"},
		{"endpoints -q --filter state=claiming", 0, "soon\n"},
		{"names", 0, `NAME  NETWORK  ADDRESS   CONTAINER  HOST
db    blue     10.0.0.4  db         host-b (198.18.0.2)
web   blue     10.0.0.2  web        host-a (198.18.0.1)
web   red      fd00::2   web        host-a (198.18.0.1)
www   blue     10.0.0.2  web        host-a (198.18.0.1)
www   blue     10.0.0.4  db         host-b (198.18.0.2)
`},
		{"names DB.dns.podman --noheading", 0, "db    blue     10.0.0.4  db         host-b (198.18.0.2)\n"},
		{"conflicts", 0, `VALUE     KIND     NETWORK  HERE  THERE  HOST                 KEEPS
10.0.0.2  address  blue     web   db     host-b (198.18.0.2)  here
# address 10.0.0.2 is twice; restart the other one
`},
		{"network ls", 0, `NETWORK  VNI  STATE     HERE  ELSEWHERE  HOSTS  MTU   SUBNETS
blue     7    up        1     3          2      1450  10.0.0.0/28
idle     10   idle      0     3          2      1450  10.3.0.0/24
red      8    up        1     0          0      1450  fd00::/64
green    9    not here  0     1          1      1450  10.2.0.0/24
quiet    11   not here  0     0          2      -     10.4.0.0/24
# network green is on host-b, and not here; to create it here: vxlanctl network adopt green
# network quiet is on host-b, host-c, and not here; to create it here: vxlanctl network adopt quiet
# network idle is set up differently: subnets: 10.3.0.0/24 here, 10.3.1.0/24 on host-b (and on 1 more); its containers may not reach each other
`},
		{"network inspect blue", 0, `network blue (7c7b): VNI 7, UDP port 4789
sends from 198.18.0.1 by eth0, MTU 1450
bridge br-vxlan-blue, VXLAN device vxlan-blue
options mtu=1450 remote_ips=198.18.0.1,198.18.0.2 vni=7

SUBNET       GATEWAY   HANDED OUT HERE    THIS HOST
10.0.0.0/28  10.0.0.1  10.0.0.2-10.0.0.2  10.0.0.3

HOST                 STATE        CONTAINERS  MTU   VTEP        OWN ADDRESSES
host-a (198.18.0.1)  this host    1           1450  198.18.0.1  10.0.0.3
host-b (198.18.0.2)  reachable    2           1400  198.18.0.2  10.0.0.7
host-c (198.18.0.3)  unreachable  1           1450  198.18.0.3  10.0.0.11

CONTAINER  ADDRESS   MAC                HOST                 STATE
db         10.0.0.4  06:00:00:00:00:04  host-b (198.18.0.2)  up
lost       10.0.0.8  06:00:00:00:00:08  host-c (198.18.0.3)  unreachable
soon       10.0.0.5  -                  host-b (198.18.0.2)  claiming
web        10.0.0.2  06:00:00:00:00:02  host-a (198.18.0.1)  up
# network blue differs on host host-b (198.18.0.2): the MTU is 1400 there and 1450 here
# address 10.0.0.2 is twice; restart the other one
`},
		{"address show blue", 0, `SUBNET       HOST                 RANGE                OWN        USED  RESERVED  FREE
10.0.0.0/28  host-a (198.18.0.1)  10.0.0.2-10.0.0.2    10.0.0.3   1     0         0
10.0.0.0/28  host-b (198.18.0.2)  10.0.0.4-10.0.0.6    10.0.0.7   2     0         1
10.0.0.0/28  host-c (198.18.0.3)  10.0.0.8-10.0.0.10   10.0.0.11  1     1         2
10.0.0.0/28  later host           10.0.0.12-10.0.0.13  10.0.0.14  0     0         2
`},
		{"address show red --noheading", 0, "fd00::/64  all hosts  fd00::-fd00::ffff:ffff:ffff:ffff  -    1     0         18446744073709551613\n"},
		{"address check 10.0.0.4", 1, "10.0.0.4 of network blue: container db on host host-b (198.18.0.2) has it; it is in use\n"},
		{"address check 10.0.0.5", 1, "10.0.0.5 of network blue: container soon on host host-b (198.18.0.2) has it; it is about to be in use\n"},
		{"address check 10.0.0.8", 1, "10.0.0.8 of network blue: container lost on host host-c (198.18.0.3) has it; it is reserved, since host host-c (198.18.0.3) does not answer\n# what to do: vxlanctl host forget host-c   # only if it is gone for good\n"},
		{"address check 10.0.0.7", 1, "10.0.0.7 of network blue: host host-b (198.18.0.2) itself has it; it is in use\n"},
		{"address check 10.0.0.1", 1, "10.0.0.1 of network blue: no container can have it: it is the gateway's\n"},
		{"address check 10.0.0.15", 1, "10.0.0.15 of network blue: no container can have it: it is the broadcast address of 10.0.0.0/28\n"},
		{"address check 10.9.0.1", 1, "10.9.0.1 on no network here: no container can have it: it is in no subnet of a network with containers on this host\n"},
		{"address check 10.0.0.6", 0, "10.0.0.6 of network blue: free; this host gives it to a container only by --ip, as it is not of its range\n# host 198.18.0.2 hands it out too, and may give it to one of its containers\n"},
		{"address check fd00::7", 0, "fd00::7 of network red: free; this host hands it out\n"},
		{"address check 10.0.0", 2, ""},
		{"address check", 2, ""},
		{"network inspect", 2, ""},
		{"names nobody", 1, ""},
		{"endpoints nowhere", 1, ""},
		{"network inspect idle", 0, `network idle (9e9e): VNI 10, UDP port 4789
no container on this host, and so no devices
options vni=10

SUBNET       GATEWAY  HANDED OUT HERE  THIS HOST
10.3.0.0/24  -        -                -
`},
		{"network inspect nowhere", 1, ""},
		{"__complete network inspect ", 0, "blue\nidle\nred\n:4\n"},
		{"__complete names w", 0, "db\nweb\nwww\n:4\n"},
		{"__complete address check ", 0, "10.0.0.2\n10.0.0.4\n10.0.0.5\n10.0.0.8\nfd00::2\n:4\n"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			args := strings.Fields(tt.args)
			if strings.HasSuffix(tt.args, " ") {
				args = append(args, "")
			}
			var out strings.Builder
			c := Command(fakeHost{}, "1", &out)
			c.SetErr(&strings.Builder{})
			c.SetArgs(args)
			if err := c.Execute(); ExitCode(err) != tt.code || out.String() != tt.want {
				t.Errorf("ends with %d, %v, printed\n%s", ExitCode(err), err, out.String())
			}
		})
	}
}

// Of a host that does not answer, only the networks of its containers are known.
func TestNetworksOfHostsThatDoNotAnswer(t *testing.T) {
	rows, notes := rowsElsewhere(nil, testInventory().Elsewhere[:1])
	if len(rows) != 1 || rows[0].Name != "green" || rows[0].Elsewhere != 1 || len(notes) != 1 || !strings.Contains(notes[0], "vxlanctl network adopt green") {
		t.Errorf("got %+v, %q", rows, notes)
	}
}

// Without an agent the lists are of this host, and say so.
func TestInventoryWithoutAgent(t *testing.T) {
	host := fakeHost{err: agentapi.ErrNotRunning}
	for _, args := range []string{"endpoints", "names", "conflicts", "network ls", "network inspect blue", "address show blue", "address check 10.0.0.6"} {
		if out, err := run(host, strings.Fields(args)...); ExitCode(err) != 0 || !strings.Contains(out, "# "+aloneNote+"\n") {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
	if _, err := run(host, "names", "web"); ExitCode(err) != 1 || !strings.Contains(err.Error(), "nobody answers names") {
		t.Errorf("got %v", err)
	}
}

// deafHost does not hear what networks other hosts have.
type deafHost struct{ fakeHost }

func (deafHost) Networks() (KnownNetworks, error) {
	return KnownNetworks{Hosts: 2, Unknown: []string{`networks of host host-b: network "x y"`,
		"host host-c is unreachable"}}, nil
}

// The list is printed although what one host says of its networks cannot be used, and another says
// nothing.
func TestNetworksWithoutDefinitions(t *testing.T) {
	want, err := run(fakeHost{}, "network", "ls", "-q")
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(deafHost{}, "network", "ls")
	if err != nil || !strings.Contains(out,
		"# not all networks of other hosts are known: networks of host host-b: network \"x y\"; host "+
			"host-c is unreachable") {
		t.Errorf("%v\n%s", err, out)
	}
	first, _, _ := strings.Cut(want, "\n")
	if !strings.Contains(out, "\n"+first+" ") || strings.Contains(out, "set up differently") {
		t.Errorf("printed\n%s", out)
	}
}

// A terminal of 80 columns shows each list without a line that is too long.
func TestListsFitTheTerminal(t *testing.T) {
	all := testInventory()
	endpoints, err := endpointRows(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	networks, notes, err := networkRows(fakeHost{})
	if err != nil {
		t.Fatal(err)
	}
	hosts, _, err := hostRows(healthyHost)
	if err != nil {
		t.Fatal(err)
	}
	entries, _, err := fakeHost{}.Forwarding()
	if err != nil {
		t.Fatal(err)
	}
	conflicts := []conflictRow{{"blue", all.Networks[0].Conflicts[0]}}
	for name, print := range map[string]func(*output.Printer) error{
		"endpoints": output.Listing[endpointRow]{Columns: endpointColumns, Rows: endpoints}.Print,
		"names":     output.Listing[nameRow]{Columns: nameColumns, Rows: nameRows(all)}.Print,
		"conflicts": output.Listing[conflictRow]{Columns: conflictColumns, Rows: conflicts, Notes: []string{conflicts[0].Text}}.Print,
		"networks":  output.Listing[networkRow]{Columns: networkColumns, Rows: networks, Notes: notes}.Print,
		"hosts":     output.Listing[hostRow]{Columns: hostColumns, Rows: hosts, Notes: notesOf(true)}.Print,
		"fdb":       output.Listing[agentapi.ForwardingEntry]{Columns: forwardingColumns, Rows: entries}.Print,
		"ranges":    output.Listing[rangeRow]{Columns: rangeColumns, Rows: slices.Concat(rangesOf(all.Networks[0]), rangesOf(all.Networks[1]))}.Print,
		"inspect": func(p *output.Printer) error {
			_, err := io.WriteString(p.Out, inspectText(p, all.Networks[0], notesOf(true)))
			return err
		},
		"address": func(p *output.Printer) error {
			_, err := io.WriteString(p.Out, addressCheckOf(all, addr("10.0.0.8")).text(p))
			return err
		},
	} {
		var out strings.Builder
		if err := print(&output.Printer{Out: &out, Width: 80}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
				t.Errorf("%s: a line has %d columns: %s", name, n, line)
			}
		}
	}
}

// emptyHost is a member of a cluster that has no network yet.
type emptyHost struct{ fakeHost }

func (emptyHost) Inventory() (agentapi.Inventory, bool, error) {
	return agentapi.Inventory{}, false, nil
}
func (emptyHost) DefinedNetworks() ([]DefinedNetwork, error) { return nil, nil }
func (emptyHost) Networks() (KnownNetworks, error)           { return KnownNetworks{Hosts: 1}, nil }

func (emptyHost) StatusOfAll() ([]agentapi.HostAnswer, error) {
	return []agentapi.HostAnswer{meshHost(1, agentapi.StatusReport{}), meshHost(2, agentapi.StatusReport{})}, nil
}

// A list that is empty since there is nothing yet says so, and what is next.
func TestEmptyLists(t *testing.T) {
	for args, want := range map[string]string{
		"network ls": "# no host that answers has a VXLAN network; create one: `podman network create --driver vxlan`\n",
		"mesh":       "# no tunnel was tested yet: hosts test those of networks that have containers on both\n",
	} {
		if out, err := run(emptyHost{}, strings.Fields(args)...); err != nil || !strings.HasSuffix(out, "\n"+want) {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
	_, err := run(emptyHost{}, "network", "adopt", "foo")
	if err == nil || !strings.HasSuffix(err.Error(), "they have: none") {
		t.Errorf("adopt: %v", err)
	}
}
