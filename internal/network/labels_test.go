package network

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

// A network as Podman's Docker-compatible API passes it on: no options, names off.
func apiNetwork(t *testing.T, options, labels map[string]string, keys map[string]any) []byte {
	t.Helper()
	config := map[string]any{
		"name": "mynet", "driver": "vxlan", "id": "7c7b", "options": options, "labels": labels,
		"subnets":     []map[string]string{{"subnet": "10.0.0.0/24"}},
		"dns_enabled": false, "internal": false, "ipv6_enabled": false, "unknown": "kept",
	}
	maps.Copy(config, keys)
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var labelsOfExample = map[string]string{
	"vxlan.vni": "100", "vxlan.local_ip": "auto", "vxlan.remote_ips": "192.168.1.10,192.168.1.11",
	"vxlan.physical_interface": "auto", "com.docker.compose.network": "overlay",
}

func TestOptionsByLabel(t *testing.T) {
	type m = map[string]string
	with := func(more m) m {
		all := maps.Clone(labelsOfExample)
		maps.Copy(all, more)
		return all
	}
	for _, test := range []struct {
		name            string
		options, labels m
		keys            map[string]any
		mtu             int
		dns             bool
		problems        string
	}{
		{"all by label", nil, labelsOfExample, nil, 0, true, ""},
		{"mtu, which the API passes", m{"mtu": "1400"}, labelsOfExample, nil, 1400, true, ""},
		{"the same by both", m{"mtu": "1400"}, with(m{"vxlan.mtu": "1400"}), nil, 1400, true, ""},
		{"names turned off", nil, with(m{"vxlan.dns": "false"}), nil, 0, false, ""},
		{"names turned on", nil, with(m{"vxlan.dns": "True"}), nil, 0, true, ""},
		{"names turned off against the command line's default", nil, with(m{"vxlan.dns": "no"}), map[string]any{"dns_enabled": true}, 0, false, ""},
		{"Docker's IPAM driver", nil, labelsOfExample, map[string]any{"ipam_options": m{"driver": "default"}}, 0, true, ""},
		{"contradiction", m{"mtu": "1400"}, with(m{"vxlan.mtu": "1300"}), nil, 0, true,
			`label vxlan.mtu "1300": contradicts --opt mtu=1400; give one of them`},
		{"mistyped", nil, with(m{"vxlan.remote_ip": "192.168.1.12"}), nil, 0, true,
			`label "vxlan.remote_ip": is unknown; did you mean "vxlan.remote_ips"?`},
		{"no boolean", nil, with(m{"vxlan.dns": "maybe"}), nil, 0, false, `label vxlan.dns "maybe": must be true or false`},
		{"another driver's", nil, with(m{"vxlan.encrypted": "true"}), nil, 0, true,
			`label "vxlan.encrypted": is unknown; ` + foreignOptions["encrypted"]},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := TakeOverLabels(apiNetwork(t, test.options, test.labels, test.keys))
			if err != nil {
				t.Fatal(err)
			}
			problems := ""
			if err := got.Problems.Err(); err != nil {
				problems = err.Error()
			}
			if problems != test.problems {
				t.Errorf("problems %q, want %q", problems, test.problems)
			}
			if problems != "" {
				return
			}
			n, _, err := Parse(got.Config, testHost, VTEP{})
			if err != nil {
				t.Fatal(err)
			}
			if n.Tunnel.VNI != 100 || n.MTU != test.mtu || n.DNS != test.dns || len(n.Remotes) != 2 {
				t.Errorf("got %+v", n)
			}
			if !strings.Contains(string(got.Config), `"unknown":"kept"`) {
				t.Errorf("a key was lost: %s", got.Config)
			}
		})
	}
}

// Labels of others change nothing, and a network without ours has the names that Podman says.
func TestOtherLabelsAreLeftAlone(t *testing.T) {
	in := apiNetwork(t, map[string]string{"vni": "100"}, map[string]string{"vxlan": "x", "com.vxlan.vni": "5"}, nil)
	got, err := TakeOverLabels(in)
	if err != nil || string(got.Config) != string(in) || got.Problems != nil || got.Warnings != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Options that Podman dropped would else be told as missing, to somebody who gave them.
func TestCreateWithoutOptionsSuggestsLabels(t *testing.T) {
	_, _, problems, err := ParseNew(apiNetwork(t, nil, nil, nil), testHost, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "options: none arrived; Podman's Docker-compatible API drops them: give labels instead, such as vxlan.vni=100"
	if !strings.Contains(problems.Error(), want) {
		t.Errorf("got %v, want %q", problems, want)
	}
}
