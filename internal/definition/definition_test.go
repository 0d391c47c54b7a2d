package definition

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/network"
)

// first is what Podman passes on where the network is defined.
const first = `{"name": "mynet", "id": "7c7b", "driver": "vxlan", "network_interface": "",
  "options": {"discovery": "etcd", "vni": "100", "mtu": "1400", "local_ip": "192.0.2.1", "physical_interface": "eth0"},
  "subnets": [{"subnet": "10.0.0.0/24"}, {"subnet": "fd00:10::/64", "gateway": "fd00:10::9"}],
  "routes": [{"destination": "172.16.0.0/16", "gateway": "10.0.0.9", "metric": 7}],
  "network_dns_servers": ["192.0.2.53"], "internal": true, "dns_enabled": false, "ipv6_enabled": false}`

func mustRead(t *testing.T, config string) adopt.Definition {
	t.Helper()
	d, err := Read([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// What is stored is read back, without what is a host's own. What may be left out is told from what counts.
func TestEncodeDecode(t *testing.T) {
	d := mustRead(t, first)
	text, err := Encode(d)
	if err != nil {
		t.Fatal(err)
	}
	got, ignored, err := Decode("mynet", []byte(text))
	if err != nil || len(ignored) > 0 || !reflect.DeepEqual(got, d) {
		t.Errorf("got %+v, %v, %v; want %+v", got, ignored, err, d)
	}
	const want = `{"options":{"discovery":"etcd","vni":"100"},"optional_options":{"mtu":"1400"},` +
		`"subnets":[{"prefix":"10.0.0.0/24"},{"prefix":"fd00:10::/64","gateway":"fd00:10::9"}],` +
		`"routes":[{"destination":"172.16.0.0/16","gateway":"10.0.0.9","metric":7}],"dns_servers":["192.0.2.53"],` +
		`"internal":true,"no_names":true}`
	if text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

// A later version may have written it. What this one may leave out it ignores, and the rest it refuses.
func TestDecodeOfOtherVersions(t *testing.T) {
	const base = `"options": {"discovery": "etcd", "vni": "100"`
	for value, want := range map[string]struct {
		ignored []string
		err     string
	}{
		`{` + base + `}}`: {},
		`{` + base + `}, "optional_options": {"mtu": "1400", "color": "blue"}, "optional_note": 7}`: {
			ignored: []string{"option color", "optional_note"}},
		`{` + base + `, "color": "blue"}, "shape": 1}`: {
			err: "does not know option color, shape of its definition in etcd, without which this host's containers " +
				"may not reach the others"},
		`{"options": {"discovery": "etcd"}}`:               {err: "has no vni"},
		`{"options": {"discovery": "gossip", "vni": "1"}}`: {err: "or not discovery=etcd"},
		`{` + base + `}, "subnets": [{"prefix": "x"}]}`:    {err: "ParsePrefix"},
		`{` + base + `}, "dns_servers": ["x\u001b"]}`:      {err: "ParseAddr"},
		`[]`: {err: "network mynet: read its definition:"},
		`{"options": {"vni": "` + strings.Repeat("1", 20<<10) + `"}}`: {err: "has over 16384 bytes"},
	} {
		_, ignored, err := Decode("mynet", []byte(value))
		if !slices.Equal(ignored, want.ignored) && err == nil {
			t.Errorf("%.80s: ignored %v", value, ignored)
		}
		if (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%.80s: got %v, want %s", value, err, want.err)
		}
	}
	if _, _, err := Decode("--x", []byte(`{`+base+`}}`)); err == nil {
		t.Error("a name that is a flag is none")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"options": {"discovery": "etcd", "vni": "100"}, "optional_x": 1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, _, err := Decode("mynet", raw)
		if err == nil && (d.Check() != nil || d.VNI() == 0) {
			t.Errorf("%q: %+v", raw, d)
		}
	})
}

// On a further host the name is enough. What else is given must be as defined, or the host's own.
func TestApply(t *testing.T) {
	defined := mustRead(t, first)
	const head = `{"name": "mynet", "id": "7c7c", "driver": "vxlan", "ipv6_enabled": false, "x": "kept", ` +
		`"dns_enabled": true, "options": {"discovery": "etcd"`
	for given, want := range map[string]string{ // a part of the result, or of the error
		`}}`:                               `"vni":"100"`,
		`, "mtu": " 1400"}}`:               `"mtu":" 1400"`,
		`, "physical_interface": "eth1"}}`: `"physical_interface":"eth1"`,
		`, "fast_path": "yes"}}`:           `"fast_path":"yes"`,
		`, "vxlan_port": "4789"}}`:         `"vxlan_port":"4789"`,
		`}, "internal": true, "subnets": [{"subnet": "fd00:10::/64", "gateway": "fd00:10::9"}, ` +
			`{"subnet": "10.0.0.7/24", "gateway": "10.0.0.1"}]}`: `"subnet":"10.0.0.7/24"`,
		`, "vni": "200", "mtu": "1300"}}`: "otherwise:\n  mtu: 1300 given, 1400 in etcd\n  vni: 200 given, " +
			"100 in etcd\nleave out",
		`, "fast_path": "false"}}`: "fast_path: false given, true in etcd",
		`, "vrf": "red"}}`:         "vrf: red given, not given in etcd",
		`}, "subnets": [{"subnet": "10.9.0.0/24"}]}`: "subnets: 10.9.0.0/24 given, 10.0.0.0/24, " +
			"fd00:10::/64 gateway fd00:10::9 in etcd",
		`}, "network_dns_servers": ["192.0.2.1"]}`: "dns: 192.0.2.1 given, 192.0.2.53 in etcd",
		`}, "ipam_options": {"driver": "none"}}`:   "ipam-driver none: true given, false in etcd",
		`}, "routes": [{"destination": "172.16.0.0/16", ` +
			`"gateway": "10.0.0.8", "metric": 7}]}`: "routes: 172.16.0.0/16,10.0.0.8,7 given, 172.16.0.0/16,10.0.0.9,7 in etcd",
	} {
		config, err := Apply([]byte(head+given), defined)
		if err != nil && !strings.Contains(err.Error(), want) || err == nil && !strings.Contains(string(config), want) {
			t.Errorf("%s: got %s, %v", given, config, err)
		}
		if err != nil {
			continue
		}
		if d := mustRead(t, string(config)); len(defined.Contradictions(d)) > 0 || d.Internal != true || !d.NoNames ||
			len(d.Routes) != 1 || len(d.Subnets) != 2 || !strings.Contains(string(config), `"x":"kept"`) {
			t.Errorf("%s: got %s", given, config)
		}
		if _, err := network.ParseStored(config); err != nil {
			t.Errorf("%s: the whole is not valid: %v", given, err)
		}
	}
}

// What is not given at all is not invented: a network without routes stays one.
func TestApplyLeavesTheRest(t *testing.T) {
	const plain = `{"name":"n","driver":"vxlan","dns_enabled":true,"options":{"discovery":"etcd"},"routes":null}`
	defined := adopt.Definition{Name: "n", Options: map[string]string{"discovery": "etcd", "vni": "5"}, NoAddress: true}
	config, err := Apply([]byte(plain), defined)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(config, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"name": "n", "driver": "vxlan", "dns_enabled": true, "routes": nil,
		"ipam_options": map[string]any{"driver": "none"},
		"options":      map[string]any{"discovery": "etcd", "vni": "5", "local_ip": "auto", "physical_interface": "auto"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// An option that a version does not know may split a network, so it must be understood.
func TestIsOptional(t *testing.T) {
	for option, splits := range map[string]bool{"vni": true, "vxlan_port": true, "discovery": true, "gbp": true,
		"udp_checksum": true, "of-a-later-version": true, "mtu": false, "fast_path": false} {
		if adopt.Splits(option) != splits {
			t.Errorf("%s: splits is %v", option, !splits)
		}
	}
}
