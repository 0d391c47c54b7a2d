package ctl

import (
	"maps"
	"strings"
	"testing"
)

// fakeOptions are those of network blue.
var fakeOptions = map[string]string{"vni": "7", "mtu": "1450", "remote_ips": "198.18.0.1, 198.18.0.2"}

func (h fakeHost) ChangeNetwork(name string, change func(map[string]string) (map[string]string, error)) (ChangedNetwork, error) {
	after, err := change(maps.Clone(fakeOptions))
	if err == nil {
		err = CheckChangeable(fakeOptions, after)
	}
	return ChangedNetwork{Name: name, Before: fakeOptions, After: after}, err
}

func (h fakeHost) RemoveNetwork(string) error { return h.err }

func TestChangeNetwork(t *testing.T) {
	tests := []struct {
		args string
		code int
		want string
	}{
		{"set blue mtu=1402", 0, "network blue: mtu is 1402 now, no longer 1450\n# on the network's other hosts type the same: vxlanctl network set blue mtu=1402\n"},
		{"set blue mtu= isolate=true", 0, "network blue: isolate is true now, no longer the default\nnetwork blue: mtu is the default now, no longer 1450\n# on the network's other hosts type the same: vxlanctl network set blue mtu= isolate=true\n"},
		{"set blue mtu=1450", 0, "network blue has these options already\n"},
		{"peer add blue 198.18.0.3", 0, "network blue: remote_ips is 198.18.0.1,198.18.0.2,198.18.0.3 now, no longer 198.18.0.1, 198.18.0.2\n# on the network's other hosts type the same: vxlanctl network peer add blue 198.18.0.3\n"},
		{"peer remove blue 198.18.0.2", 0, "network blue: remote_ips is 198.18.0.1 now, no longer 198.18.0.1, 198.18.0.2\n# on the network's other hosts type the same: vxlanctl network peer remove blue 198.18.0.2\n"},
		{"peer add blue 198.18.0.2", 0, "network blue has these options already\n"},
		{"peer remove blue 198.18.0.9", 0, "network blue has these options already\n"},
		{"rm blue red", 0, "network blue is removed from this host\nnetwork red is removed from this host\n"},
		{"set blue vni=8", 1, "option vni cannot be changed while containers run"},
		{"set blue encryption=wireguard", 1, "option encryption: the encryption of a network cannot change in place"},
		{"set blue encryption_port=51820", 1, "option encryption_port: the encryption of a network cannot change in place"},
		{"set blue mtu=1402 port_security=true", 1, "option port_security cannot be changed"},
		{"set blue", 2, "type the name of a network and options"},
		{"set blue mtu", 2, "type OPTION=VALUE"},
		{"set blue mtu=1 mtu=2", 2, "mtu is given twice"},
		{"peer add blue", 2, "addresses of hosts"},
		{"peer add blue host-b", 2, "must be the address of a host"},
		{"rm", 2, "an argument is missing"},
		{"peer", 0, "Usage:"},
		{"list", 2, "unknown command"},
	}
	for _, tt := range tests {
		out, err := run(fakeHost{}, append([]string{"network"}, strings.Fields(tt.args)...)...)
		if err != nil {
			out += err.Error()
		}
		if ExitCode(err) != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%s: ends with %d, printed\n%s", tt.args, ExitCode(err), out)
		}
	}
}

func TestWithChangeable(t *testing.T) {
	got := WithChangeable(map[string]string{"vni": "7", "mtu": "1450", "isolate": "true"}, map[string]string{"vni": "8", "mtu": "1402"})
	if want := map[string]string{"vni": "7", "mtu": "1402"}; !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
