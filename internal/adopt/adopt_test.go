package adopt

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/network"
)

// stored is a network as Podman stores it.
const stored = `{"name": "mynet", "id": "7c7b", "driver": "vxlan", "network_interface": "br-vxlan-mynet",
  "options": {"vni": "100", "local_ip": "192.0.2.1", "remote_ips": "192.0.2.1,192.0.2.2", "physical_interface": "eth0",
    "host_listed": "true", "mtu": "1400", "outbound_addr4": "192.0.2.77"},
  "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1", "lease_range": {"start_ip": "10.0.0.2", "end_ip": "10.0.0.126"}},
    {"subnet": "fd00:10::/64", "gateway": "fd00:10::1"}],
  "routes": [{"destination": "172.16.0.0/16", "gateway": "10.0.0.9", "metric": 7}, {"destination": "172.17.0.0/16", "route_type": "blackhole"}],
  "dns_enabled": true, "network_dns_servers": ["192.0.2.53"], "internal": true, "ipv6_enabled": true}`

func read(t *testing.T, config string) Definition {
	t.Helper()
	d, ok := Read([]byte(config))
	if !ok {
		t.Fatalf("no network: %s", config)
	}
	d.Host, d.VTEP = "host-a", netip.MustParseAddr("192.0.2.1")
	// As it arrives at another host.
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var arrived Definition
	if err := json.Unmarshal(data, &arrived); err != nil || !reflect.DeepEqual(arrived, d) {
		t.Fatalf("sent %+v, got %+v, %v", d, arrived, err)
	}
	return arrived
}

func TestCommand(t *testing.T) {
	own := Own{Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("10.9.9.9")}}
	tests := []struct {
		name, config string
		own          Own
		want         string // the command, or a part of the error
		notes        int
	}{
		{
			"all that a network can have", stored, own,
			"podman network create --driver vxlan --opt vni=100 --opt local_ip=auto --opt remote_ips=192.0.2.1,192.0.2.2 --opt physical_interface=auto --opt mtu=1400 " +
				"--subnet 10.0.0.0/24 --gateway 10.0.0.1 --subnet fd00:10::/64 --gateway fd00:10::1 " +
				"--route 172.16.0.0/16,10.0.0.9,7 --route 172.17.0.0/16,blackhole --dns 192.0.2.53 --internal mynet", 1,
		},
		{"a list without this host", stored, Own{}, "this host is not on it", 0},
		{
			"the other host left itself out", `{"name": "n", "driver": "vxlan", "network_interface": "br-vxlan-n", "options": {"vni": "1", "remote_ips": "192.0.2.2"}, "dns_enabled": true}`, own,
			"podman network create --driver vxlan --opt vni=1 --opt local_ip=auto --opt remote_ips=192.0.2.1,192.0.2.2 --opt physical_interface=auto n", 0,
		},
		{
			"gossip", `{"name": "n", "driver": "vxlan", "network_interface": "br-vxlan-n", "options": {"vni": "1", "discovery": "gossip", "local_ip": "auto"}, "ipam_options": {"driver": "vxlan"}, "dns_enabled": true}`, Own{},
			"podman network create --driver vxlan --opt discovery=gossip --opt vni=1 --opt local_ip=auto --opt remote_ips=192.0.2.1 --opt physical_interface=auto n", 0,
		},
		{
			"etcd", `{"name": "n", "driver": "vxlan", "network_interface": "br-vxlan-n", "options": {"vni": "1", ` +
				`"discovery": "etcd", "local_ip": "192.0.2.1", "remote_ips": "192.0.2.7"}, "dns_enabled": true}`, Own{},
			"podman network create --driver vxlan --opt discovery=etcd --opt vni=1 --opt local_ip=auto --opt " +
				"physical_interface=auto n", 0,
		},
		{
			"layer 2 only, a bridge of its own, values of this host", `{"name": "n", "driver": "vxlan", "network_interface": "lan0", "options": {"vni": "1", "discovery": "gossip"}, "ipam_options": {"driver": "none"}}`,
			Own{Options: map[string]string{"local_ip": "192.0.2.9"}},
			"podman network create --driver vxlan --opt discovery=gossip --opt vni=1 --opt local_ip=192.0.2.9 --opt remote_ips=192.0.2.1 --opt physical_interface=auto --ipam-driver none --interface-name lan0 n", 0,
		},
		{
			"multicast without a range", `{"name": "n", "driver": "vxlan", "options": {"vni": "1", "multicast_group": "239.1.1.1"}, "subnets": [{"subnet": "10.0.0.0/24"}]}`, own,
			"give this host's with --ip-range", 0,
		},
		{
			"multicast", `{"name": "n", "driver": "vxlan", "network_interface": "br-vxlan-n", "options": {"vni": "1", "multicast_group": "239.1.1.1"}, "subnets": [{"subnet": "10.0.0.0/24"}]}`,
			Own{IPRanges: []string{"10.0.0.64/26"}},
			"podman network create --driver vxlan --opt vni=1 --opt local_ip=auto --opt physical_interface=auto --opt multicast_group=239.1.1.1 --subnet 10.0.0.0/24 --ip-range 10.0.0.64/26 --disable-dns n", 0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args, notes, err := read(t, tt.config).Command(tt.own)
			got := Quote("podman", args)
			if err != nil {
				got = err.Error()
			}
			if !strings.HasSuffix(got, tt.want) && (err == nil || !strings.Contains(got, tt.want)) || len(notes) != tt.notes {
				t.Errorf("got %s\nwant %s\nnotes %q", got, tt.want, notes)
			}
		})
	}
}

// A network that was made by the command is the same network.
func TestAdoptedNetworkDoesNotDiffer(t *testing.T) {
	d, mine := read(t, stored), read(t, strings.NewReplacer(
		`"192.0.2.1",`, `"auto",`, "eth0", "auto", `, "outbound_addr4": "192.0.2.77"`, "").Replace(stored))
	if diffs := Differences(mine, d); len(diffs) > 0 {
		t.Errorf("differs: %v", diffs)
	}
	if exists, notes, err := Conflict([]Definition{mine}, d); !exists || len(notes) > 0 || err != nil {
		t.Errorf("exists: %v, %q, %v", exists, notes, err)
	}
}

func TestContradictionsShowBoth(t *testing.T) {
	d := read(t, stored)
	for _, tt := range []struct{ name, from, to, want string }{
		{"another gateway", `"gateway": "10.0.0.1"`, `"gateway": "10.0.0.254"`,
			"10.0.0.0/24 gateway 10.0.0.254, fd00:10::/64 gateway fd00:10::1 here, 10.0.0.0/24 gateway 10.0.0.1"},
		{"another division", `"mtu"`, `"max_hosts": "8", "mtu"`, "max_hosts: 8 here, not given on host-a"},
		{"an option of a later version", `"mtu"`, `"teleport": "2", "mtu"`, "teleport: 2 here, not given on host-a"},
		{"another VNI", `"vni": "100"`, `"vni": "101"`, "vni: 101 here, 100 on host-a"},
		{"another subnet", "10.0.0.0/24", "10.0.1.0/24", "10.0.1.0/24 gateway 10.0.0.1, fd00:10::/64 gateway fd00:10::1 here, 10.0.0.0/24"},
		{"another list", "192.0.2.1,192.0.2.2", "192.0.2.1,192.0.2.3", "remote_ips: 192.0.2.1,192.0.2.3 here, 192.0.2.1,192.0.2.2 on host-a"},
		{"another discovery", `"vni"`, `"discovery": "gossip", "vni"`, "discovery: gossip here, static on host-a"},
		{"encryption here alone", `"mtu"`, `"encryption": "wireguard", "mtu"`, "encryption: wireguard here, off on host-a"},
		{"another name", `"mynet"`, `"other"`, "network other has VNI 100 on port 4789 too; subnets: 10.0.0.0/24"},
	} {
		_, notes, err := Conflict([]Definition{read(t, strings.Replace(stored, tt.from, tt.to, 1))}, d)
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(notes) > 0 {
			t.Errorf("%s: %v, want %s; notes %q", tt.name, err, tt.want, notes)
		}
	}
}

// What each host does for itself may differ: it is noted, and the network is there.
func TestDifferencesWithoutHarm(t *testing.T) {
	d := read(t, stored)
	for _, tt := range []struct{ name, from, to, want string }{
		{"another MTU", `"mtu": "1400"`, `"mtu": "1300"`, "mtu: 1300 here, 1400 on host-a"},
		{"an option more", `"mtu"`, `"port_security": "on", "mtu"`, "port_security: true here, not given on host-a"},
		{"a default", `"mtu"`, `"port_security": "no", "fast_path": "1", "gbp": "off", "udp_checksum": "T", "mtu"`, ""},
		{"no checksum in IPv4", `"mtu"`, `"udp_checksum": "false", "mtu"`,
			"udp_checksum: false here, not given on host-a"},
		{"another resolver", `192.0.2.53`, `192.0.2.54`, "dns: 192.0.2.54 here, 192.0.2.53 on host-a"},
		{"another route", `172.16.0.0/16`, `172.18.0.0/16`, "routes: 172.17.0.0/16,blackhole, " +
			"172.18.0.0/16,10.0.0.9,7 here"},
		{"not internal", `"internal": true`, `"internal": false`, "internal: false here, true on host-a"},
	} {
		exists, notes, err := Conflict([]Definition{read(t, strings.Replace(stored, tt.from, tt.to, 1))}, d)
		got := strings.Join(notes, "; ")
		if !exists || err != nil || (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %v, %q, %v; want %s", tt.name, exists, notes, err, tt.want)
		}
	}
	six, mine := d, read(t, strings.Replace(stored, `"mtu"`, `"udp_checksum": "false", "mtu"`, 1))
	six.VTEP, mine.VTEP = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::1")
	if _, _, err := Conflict([]Definition{mine}, six); err == nil || !strings.Contains(err.Error(), "udp_checksum") {
		t.Errorf("no checksum in IPv6: %v", err)
	}
}

// With gossip a host may have the network under another name.
func TestAnotherName(t *testing.T) {
	here, d := on("a", "azure"), on("b", "blue")
	exists, notes, err := Conflict([]Definition{here}, d)
	if !exists || err != nil || !slices.Equal(notes, []string{"network blue has the name azure on this host"}) {
		t.Errorf("%v, %q, %v", exists, notes, err)
	}
	_, _, err = Conflict([]Definition{withSubnet(here, "10.7.0.0/24")}, d)
	const want = "network blue: this host's network azure has VNI 1 on port 4789 too; " +
		"subnets: 10.7.0.0/24 here, 10.0.0.0/24 gateway 10.0.0.1 on b"
	if err == nil || err.Error() != want {
		t.Errorf("another subnet: %v", err)
	}
}

// Multicast needs no list, so each host's own address is no difference.
func TestMulticastOnTwoHosts(t *testing.T) {
	const config = `{"name": "n", "driver": "vxlan", "options": {"vni": "1", "multicast_group": "239.1.1.1"}}`
	a, b := read(t, config), read(t, config)
	b.VTEP = netip.MustParseAddr("192.0.2.2")
	if diffs := Differences(a, b); len(diffs) > 0 {
		t.Errorf("differ: %v", diffs)
	}
}

// By etcd hosts have no list of each other, so what each has as a hint is no difference.
func TestEtcdOnTwoHosts(t *testing.T) {
	const config = `{"name": "n", "driver": "vxlan", "options": {"vni": "1", "discovery": "etcd", "remote_ips": ` +
		`"192.0.2.7"}}`
	a, b := read(t, config), read(t, strings.Replace(config, "192.0.2.7", "192.0.2.8", 1))
	b.VTEP = netip.MustParseAddr("192.0.2.2")
	if diffs := Differences(a, b); len(diffs) > 0 {
		t.Errorf("differ: %v", diffs)
	}
	if n := a.Shared(); n.Options["remote_ips"] != "" || n.Options["vni"] != "1" || n.Host != "" || n.VTEP.IsValid() {
		t.Errorf("shared: %+v", n)
	}
}

// An option that is not here is taken for one of a later version.
func TestEachOptionHasAKind(t *testing.T) {
	for _, o := range network.OptionDocs() {
		_, known := optionKinds[o.Name]
		_, isHosts := hostOptions[o.Name]
		if !known && !isHosts && !slices.Contains(comparedOtherwise, o.Name) {
			t.Errorf("option %s has no kind", o.Name)
		}
	}
}

// What must be the same on all hosts is no host's own.
func TestOwnOptions(t *testing.T) {
	for option, ok := range map[string]bool{
		"vni": false, "vxlan_port": false, "discovery": false, "encryption": false, "gbp": false, "max_hosts": false,
		"mtu": true, "local_ip": true, "physical_interface": true, "remote_ips": true, "encryption_port": true,
		"vrf": true,
	} {
		err := Own{Options: map[string]string{option: "1"}}.Check()
		if (err == nil) != ok || !ok && !strings.Contains(err.Error(),
			"option "+option+" must be the same on all hosts") {
			t.Errorf("%s: %v", option, err)
		}
	}
	args, _, err := read(t, stored).Command(Own{Options: map[string]string{"mtu": "", "remote_ips": "192.0.2.3"}})
	if got := strings.Join(args, " "); err != nil || strings.Contains(got, "mtu") || !strings.Contains(got,
		"remote_ips=192.0.2.3 ") {
		t.Errorf("got %s, %v", got, err)
	}
}

// A host tells the others its port. So it may differ, and leaving encryption out is to turn it off.
func TestEncryptionThatIsTheSame(t *testing.T) {
	d := read(t, stored)
	for _, options := range []string{`"encryption": "off", "mtu"`, `"encryption_port": "51900", "mtu"`} {
		if diffs := Differences(read(t, strings.Replace(stored, `"mtu"`, options, 1)), d); len(diffs) > 0 {
			t.Errorf("%s: %v", options, diffs)
		}
	}
}

// While a network moves, hosts differ in how they find each other. They are on one network as long as they
// share a way.
func TestHostsOfAMovingNetwork(t *testing.T) {
	on := func(options string) Definition {
		return read(t, strings.Replace(stored, `"vni"`, options+`, "vni"`, 1))
	}
	before, both := on(`"discovery": "gossip"`), on(`"discovery": "etcd", "discovery_also": "gossip"`)
	back, after := on(`"discovery": "gossip", "discovery_also": "etcd"`), on(`"discovery": "etcd"`)
	for _, tt := range []struct {
		one, other Definition
		splits     bool
	}{
		{before, both, false}, {both, before, false}, {both, back, false}, {both, after, false}, {after, back, false},
		{before, after, true}, {after, before, true},
	} {
		diffs := Differences(tt.one, tt.other)
		if len(diffs) == 0 || splits(diffs) != tt.splits {
			t.Errorf("%v and %v: %v", tt.one.Options, tt.other.Options, diffs)
		}
	}
}

// Each host of a network that moves from a list keeps its part of the subnet. What the list was divided among is no
// difference then, neither between two hosts nor to the definition in etcd.
func TestPartsOfAMovingNetwork(t *testing.T) {
	on := func(options string) Definition {
		return read(t, strings.Replace(stored, `"vni"`, options+`"vni"`, 1))
	}
	before, both := on(`"max_hosts": "8", `), on(`"max_hosts": "8", "discovery": "etcd", "discovery_also": "static", `)
	after := on(`"max_hosts": "8", "discovery": "etcd", `)
	defined := on(`"discovery": "etcd", `)
	for _, pair := range [][2]Definition{{before, both}, {both, before}, {both, after}, {both, defined},
		{after, defined}, {defined, after}} {
		if diffs := Differences(pair[0], pair[1]); splits(diffs) {
			t.Errorf("%v and %v: %v", pair[0].Options, pair[1].Options, diffs)
		}
	}
	if diffs := Differences(before, defined); !splits(diffs) {
		t.Errorf("hosts that share no way to find each other: %v", diffs)
	}
}

func TestOtherDriversAreLeftOut(t *testing.T) {
	for _, config := range []string{`{"name": "podman", "driver": "bridge"}`, `{"driver": "vxlan"}`, "", "[]"} {
		if d, ok := Read([]byte(config)); ok {
			t.Errorf("%q is %+v", config, d)
		}
	}
}

func TestQuote(t *testing.T) {
	if got := Quote("podman", []string{"a b", "it's", "x=1"}); got != `podman 'a b' 'it'\''s' x=1` {
		t.Error(got)
	}
}

// What another host says is typed into podman here.
func TestDefinitionsAreChecked(t *testing.T) {
	if err := read(t, stored).Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Definition){
		"a flag as a name":     func(d *Definition) { d.Name = "--force" },
		"no name":              func(d *Definition) { d.Name = "" },
		"a flag as a bridge":   func(d *Definition) { d.Bridge = "-x" },
		"a terminal's escape":  func(d *Definition) { d.Options = map[string]string{"vni": "\x1b[2J"} },
		"another escape":       func(d *Definition) { d.Options = map[string]string{"vni": "\u009b2J"} },
		"an escape as a host":  func(d *Definition) { d.Host = "a\x1b[2J" },
		"a flag as an option":  func(d *Definition) { d.Options = map[string]string{"-o": "1"} },
		"no subnet":            func(d *Definition) { d.Subnets[0].Prefix = "--dns" },
		"no gateway":           func(d *Definition) { d.Subnets[0].Gateway = "x" },
		"no route":             func(d *Definition) { d.Routes[0].Destination = "x" },
		"no type of route":     func(d *Definition) { d.Routes[0].Type = "x y" },
		"a name as a resolver": func(d *Definition) { d.DNSServers = []string{"dns.example"} },
	} {
		d := read(t, stored)
		spoil(&d)
		if d.Check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
