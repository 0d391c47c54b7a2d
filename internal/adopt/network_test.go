package adopt

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// on is a network as one of hosts a to z has it, with options in pairs.
func on(host, name string, options ...string) Definition {
	d := Definition{
		Name: name, Host: host, VTEP: netip.AddrFrom4([4]byte{192, 0, 2, host[0] - 'a' + 1}),
		Options: map[string]string{"vni": "1", "discovery": "gossip"},
		Subnets: []Subnet{{"10.0.0.0/24", "10.0.0.1"}},
	}
	for i := 0; i < len(options); i += 2 {
		d.Options[options[i]] = options[i+1]
	}
	return d
}

func withSubnet(d Definition, prefix string) Definition {
	d.Subnets = []Subnet{{prefix, ""}}
	return d
}

func TestGroup(t *testing.T) {
	tests := []struct {
		name string
		all  []Definition
		want []string // a line for each network: name, VNI, hosts, options in which hosts may differ
		// split is a part of the first one's error; notes are those that it has.
		split string
		notes []string
	}{
		{name: "none"},
		{
			name: "alike, in any order", all: []Definition{on("b", "blue", "mtu", "1400"), on("a", "blue", "mtu",
				"1400")},
			want: []string{"blue 1 [a b] mtu=1400 remote_ips=192.0.2.1,192.0.2.2"},
		},
		{
			name: "most hosts win", all: []Definition{on("a", "blue", "mtu", "1300"), on("b", "blue", "mtu",
				"1400"), on("c", "blue", "mtu", "1400")},
			want: []string{"blue 1 [a b c] mtu=1400 remote_ips=192.0.2.2,192.0.2.1,192.0.2.3"},
			notes: []string{"hosts of network blue differ in mtu: 1400 on b, c; 1300 on a; 1400 is taken here; large " +
				"packets between these hosts may be lost"},
		},
		{
			name: "as many have the one as the other", all: []Definition{on("b", "blue", "mtu", "1400"), on("a",
				"blue")},
			want: []string{"blue 1 [a b] mtu= remote_ips=192.0.2.1,192.0.2.2"},
			notes: []string{"hosts of network blue differ in mtu: not given on a; 1400 on b; it is left out here; " +
				"large packets between these hosts may be lost"},
		},
		{
			name: "another subnet", all: []Definition{on("a", "blue"), withSubnet(on("b", "blue", "mtu", "1400"),
				"10.1.0.0/24"), on("c", "blue")},
			want: []string{"blue 1 [a b c] mtu= remote_ips=192.0.2.1,192.0.2.2,192.0.2.3"},
			split: "  subnets: 10.0.0.0/24 gateway 10.0.0.1 on a, c; 10.1.0.0/24 on b\nmake it alike on all hosts " +
				"first",
			notes: []string{"hosts of network blue differ in mtu: not given on a, c; 1400 on b; it is left out here; " +
				"large packets between these hosts may be lost"},
		},
		{
			name: "encryption", all: []Definition{on("a", "blue"), on("b", "blue", "encryption", "wireguard")},
			want:  []string{"blue 1 [a b] mtu= remote_ips=192.0.2.1,192.0.2.2"},
			split: "encryption: off on a; wireguard on b",
		},
		{
			name: "a list on one of them", all: []Definition{on("a", "blue"), on("b", "blue", "discovery", "static",
				"remote_ips", "192.0.2.1")},
			want:  []string{"blue 1 [a b] mtu= remote_ips=192.0.2.1,192.0.2.2"},
			split: "discovery: gossip on a; static on b",
		},
		{
			name: "one name, two networks", all: []Definition{on("a", "blue"), on("b", "blue", "vni", "2"), on("c",
				"blue", "vxlan_port", "8472")},
			want: []string{"blue 1 [a] mtu= remote_ips=192.0.2.1", "blue 1 [c] mtu= remote_ips=192.0.2.3",
				"blue 2 [b] mtu= remote_ips=192.0.2.2"},
		},
		{
			name: "one network, two names", all: []Definition{on("a", "azure"), on("b", "blue"), on("c", "blue")},
			want: []string{"blue 1 [a b c] mtu= remote_ips=192.0.2.2,192.0.2.1,192.0.2.3"},
		},
		{
			name: "lists of one VNI", want: []string{"azure 1 [b] mtu= remote_ips=192.0.2.9",
				"blue 1 [a] mtu= remote_ips=192.0.2.8"},
			all: []Definition{on("a", "blue", "discovery", "static", "remote_ips", "192.0.2.8"), on("b", "azure",
				"discovery", "static", "remote_ips", "192.0.2.9")},
		},
		{
			name: "three are enough", all: []Definition{on("a", "blue"), on("b", "blue"), on("c", "blue"), on("d",
				"blue", "remote_ips", "192.0.2.1")},
			want: []string{"blue 1 [a b c d] mtu= remote_ips=192.0.2.1,192.0.2.2,192.0.2.3"},
		},
		{
			name: "what is listed comes last", all: []Definition{on("a", "blue", "remote_ips",
				"192.0.2.99,2001:db8::1")},
			want: []string{"blue 1 [a] mtu= remote_ips=192.0.2.1,192.0.2.99"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got, notes []string
			networks := Group(tt.all)
			for _, n := range networks {
				got = append(got, fmt.Sprintf("%s %d %v mtu=%s remote_ips=%s", n.Name, n.VNI(), n.Hosts,
					n.Options["mtu"], n.Options["remote_ips"]))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			var split string
			if len(networks) > 0 {
				notes = networks[0].Notes(Own{})
				split = fmt.Sprint(networks[0].Split())
			}
			if tt.split != "" && !strings.Contains(split, tt.split) || tt.split == "" && split != "<nil>" &&
				split != "" || !slices.Equal(notes, tt.notes) {
				t.Errorf("split %s\nnotes %q", split, notes)
			}
		})
	}
}

// The definitions of hosts that were compared stay as they were.
func TestGroupChangesNoDefinition(t *testing.T) {
	all := []Definition{on("b", "blue"), on("a", "blue")}
	Group(all)
	if all[0].Options["remote_ips"] != "" || all[0].Host != "b" {
		t.Errorf("got %+v", all)
	}
}

// What the user gives for this host needs no note.
func TestNotesOfOwnOptions(t *testing.T) {
	n := Group([]Definition{on("a", "blue", "mtu", "1300"), on("b", "blue", "isolate", "true")})[0]
	if notes := n.Notes(Own{Options: map[string]string{"mtu": "1350"}}); len(notes) != 1 ||
		!strings.Contains(notes[0], "isolate") {
		t.Errorf("got %q", notes)
	}
}

func TestFind(t *testing.T) {
	networks := Group([]Definition{
		on("a", "blue"), withSubnet(on("b", "blue", "vni", "2"), "10.1.0.0/24"), on("c", "red", "vni", "3"), on("d",
			"red", "vni", "3", "vxlan_port", "8472"),
		on("a", "green", "vni", "5"), on("b", "grass", "vni", "5"),
	})
	for _, tt := range []struct {
		name string
		vni  uint32
		want string // hosts, or parts of the error
	}{
		{"blue", 1, "blue [a]"},
		{"blue", 2, "blue [b]"},
		{"blue", 0, "VNI 1, port 4789, subnets 10.0.0.0/24 gateway 10.0.0.1 on a\n  VNI 2, port 4789, subnets " +
			"10.1.0.0/24 on b\npick one: vxlanctl network adopt --vni VNI blue"},
		{"blue", 3, "no host has it with VNI 3:\n  VNI 1, port 4789"},
		{"red", 3, "VNI 3, port 8472, subnets 10.0.0.0/24 gateway 10.0.0.1 on d\ncreate the one that you want with " +
			"`podman network create`"},
		{"green", 0, "green [a b]"},
		{"grass", 5, "grass [a b]"},
		{"none", 0, "network none: no other host that answers has it"},
	} {
		n, err := Find(networks, tt.name, tt.vni)
		got := fmt.Sprint(n.Name, " ", n.Hosts)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tt.want) || errors.Is(err, ErrNone) != (tt.name == "none") {
			t.Errorf("%s %d: got %s\nwant %s", tt.name, tt.vni, got, tt.want)
		}
	}
}
