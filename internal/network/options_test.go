package network

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
)

// allOptions sets every option to something other than its default.
var allOptions = map[string]string{
	"vni": "7", "local_ip": "fd00:1::10", "remote_ips": "fd00:1::11,fd00:1::12", "physical_interface": "eth0",
	"vxlan_port": "8472", "mtu": "1400", "metric": "0", "no_default_route": "true", "isolate": "strict", "firewall_integration": "docker", "outbound_addr4": "192.0.2.1", "outbound_addr6": "2001:db8::1", "vrf": "red",
	"max_hosts": "8", "address_check": "true", "port_security": "true", "fast_path": "false",
	"learning": "false", "proxy": "true", "l2miss": "true", "l3miss": "false", "rsc": "true", "gbp": "true",
	"ageing": "30", "fdb_limit": "unlimited", "ttl": "inherit", "tos": "0xb8", "df": "set", "udp_checksum": "false", "tx_checksum_offload": "off",
	"source_port_range": "49152-50000", "discovery": "gossip", "discovery_also": "etcd", "allow_host_overlap": "true",
	"host_listed": "true", "underlay_timeout": "0",
	"encryption": "wireguard", "encryption_port": "51820",
}

func TestSetOptionsParsesEachOption(t *testing.T) {
	var n Network
	var problems Problems
	setOptions(&n, allOptions, &problems)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	no, yes := kernel.Some(false), kernel.Some(true)
	wantTunnel := kernel.Tunnel{
		VNI: 7, Port: 8472, Proxy: yes, L2Miss: yes, L3Miss: no, RSC: yes, GBP: yes,
		Ageing: kernel.Some(uint32(30)), FDBLimit: kernel.Some(uint32(0)),
		TTL: kernel.Some(kernel.TTL{Inherit: true}), TOS: kernel.Some(uint8(0xb8)), DF: kernel.Some(kernel.DFSet),
		UDPChecksum: no, SourcePorts: kernel.Some(kernel.PortRange{First: 49152, Last: 50000}),
	}
	if n.Tunnel != wantTunnel {
		t.Errorf("got  %+v\nwant %+v", n.Tunnel, wantTunnel)
	}
	if n.Learning != no || n.TXChecksum != no || n.MTU != 1400 || n.Metric != 0 || !n.NoDefaultRoute || !n.FindsHosts() ||
		n.PhysicalInterface != "eth0" ||
		n.Encryption != EncryptionWireGuard || n.EncryptionPort != 51820 {
		t.Errorf("got %+v", n)
	}
	if got := n.Options(); !reflect.DeepEqual(got, allOptions) {
		t.Errorf("printed %v\nwant    %v", got, allOptions)
	}
}

// What Podman's options take and what systemd's take.
func TestBooleansInManyWords(t *testing.T) {
	for value, want := range map[string]string{"yes": "true", "On": "true", "TRUE": "true", "1": "true", "no": "false", "OFF": "false", "f": "false"} {
		for _, name := range []string{"port_security", "isolate", "gbp"} {
			var n Network
			var problems Problems
			setOptions(&n, map[string]string{"vni": "1", "local_ip": "auto", "physical_interface": "auto", name: value}, &problems)
			if got := n.Options()[name]; got != want || problems.Err() != nil {
				t.Errorf("%s=%s: got %s, %v", name, value, got, problems)
			}
		}
	}
}

func TestEachOptionIsTested(t *testing.T) {
	for _, o := range options {
		if _, ok := allOptions[o.name]; !ok && o.name != "multicast_group" {
			t.Errorf("option %s is not in allOptions", o.name)
		}
	}
}

// The reference (docs/user/options.md), which is generated from these, is what people read.
func TestEachOptionIsDocumented(t *testing.T) {
	docs := OptionDocs()
	for i, o := range options {
		if i >= len(docs) || docs[i].Name != o.name {
			t.Fatalf("optionDocs differs from options at %s", o.name)
		}
		d := docs[i]
		if d.Value == "" || d.Default == "" || d.Summary == "" || !slices.Contains(OptionGroups(), d.Group) {
			t.Errorf("option %s: incomplete documentation %+v", o.name, d)
		}
	}
	if len(docs) != len(options) {
		t.Errorf("%d options and %d documented", len(options), len(docs))
	}
}

// FuzzOptions: whatever is typed, reading does not panic, and what is accepted prints in a form
// that reads as the same and prints the same.
func FuzzOptions(f *testing.F) {
	for name, value := range allOptions {
		f.Add(name, value)
	}
	for _, seed := range [][2]string{
		{"multicast_group", "ff05::100"},
		{"remote_ips", " 10.0.0.1 ,, 10.0.0.1,10.0.0.2"},
		{"remote_ips", "::ffff:10.0.0.1"},
		{"local_ip", "fe80::1%eth0"},
		{"local_ip", "auto"},
		{"tos", "0x1"},
		{"tos", "inherit"},
		{"ttl", "auto"},
		{"tx_checksum_offload", "auto"},
		{"tx_checksum_offload", "yes"},
		{"source_port_range", "1 65535"},
		{"gbp", "T"},
		{"vni", "١"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		typed := map[string]string{"vni": "1", "local_ip": "auto", "physical_interface": "auto", "remote_ips": "10.0.0.1"}
		typed[name] = value
		var n, again Network
		var problems Problems
		setOptions(&n, typed, &problems)
		if problems.Err() != nil {
			if !strings.Contains(problems.Error(), name) && !strings.Contains(problems.Error(), strconv.Quote(name)) {
				t.Errorf("the error does not name the option: %v", problems)
			}
			return
		}
		printed := n.Options()
		setOptions(&again, printed, &problems)
		if err := problems.Err(); err != nil {
			t.Fatalf("%q was accepted, but prints as %v, which is not: %v", value, printed, err)
		}
		if !reflect.DeepEqual(n, again) || !maps.Equal(printed, again.Options()) {
			t.Errorf("%q reads as %+v, prints as %v, and that reads as %+v", value, n, printed, again)
		}
	})
}

// FuzzParse: no configuration makes the parser panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(documentedExample))
	f.Add(exampleNetwork(allOptions, nil))
	f.Add([]byte(`{"subnets":[{"subnet":"::/0","gateway":"::"}],"routes":[{"destination":"0.0.0.0/0","metric":0}],"options":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, v, err := Parse(data, testHost, VTEP{})
		if err != nil {
			return
		}
		if n.Tunnel.VNI == 0 || n.Name == "" || !v.Local.IsValid() || v.MTU < minMTU4 {
			t.Errorf("accepted %s as %+v on %v", data, n, v)
		}
		if _, err := n.Complete(data); err != nil {
			t.Errorf("cannot complete what was parsed: %v", err)
		}
	})
}
