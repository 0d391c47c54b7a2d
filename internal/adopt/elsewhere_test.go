package adopt

import (
	"fmt"
	"slices"
	"testing"
)

func TestCompare(t *testing.T) {
	network := func(host, name, vni string, options ...string) Definition {
		d := Definition{Name: name, Host: host, Options: map[string]string{"vni": vni, "discovery": "gossip"}}
		for i := 0; i < len(options); i += 2 {
			d.Options[options[i]] = options[i+1]
		}
		return d
	}
	here := []Definition{network("a", "blue", "1"), network("a", "red", "2", "local_ip", "192.0.2.1")}
	tests := []struct {
		name                    string
		others                  []Definition
		missing, contradictions []string
	}{
		{"none", nil, nil, nil},
		{"the same, but for what is a host's own", []Definition{network("b", "red", "2", "local_ip", "auto")}, nil, nil},
		{"the same under another name", []Definition{network("b", "azure", "1")}, nil, nil},
		{"the same VNI on another port", []Definition{network("b", "azure", "1", "vxlan_port", "8472")}, []string{"azure [b]"}, nil},
		{"more, on several hosts", []Definition{network("c", "green", "3"), network("b", "green", "3"), network("b", "brown", "4")}, []string{"brown [b]", "green [b c]"}, nil},
		{
			"another definition here", []Definition{network("b", "blue", "1", "mtu", "1400"), network("c", "blue", "5"), network("d", "blue", "1")}, nil,
			[]string{"network blue is set up differently: mtu: not given here, 1400 on b (and on 1 more); its " +
				"containers may not reach each other"},
		},
		{
			"another MTU here", []Definition{network("b", "blue", "1", "mtu", "1400")}, nil,
			[]string{"network blue is set up differently: mtu: not given here, 1400 on b; large packets between " +
				"these hosts may be lost"},
		},
		{
			"two of one name", []Definition{network("b", "green", "3"), network("c", "green", "4")},
			[]string{"green [b]", "green [c]"},
			[]string{"network green is set up differently: vni: 3 on b, 4 on c; its containers may not reach each " +
				"other"},
		},
		{
			"other hosts differ without harm", []Definition{network("b", "green", "3"), network("c", "green", "3",
				"isolate", "true")}, []string{"green [b c]"},
			[]string{"network green is set up differently: isolate: not given on b; true on c"},
		},
		{
			"other hosts differ", []Definition{network("b", "green", "3", "encryption", "wireguard"), network("c",
				"green", "3")}, []string{"green [b c]"},
			[]string{"network green is set up differently: encryption: wireguard on b; off on c; its containers may " +
				"not reach each other"},
		},
		{"other hosts have two names for it", []Definition{network("b", "green", "3"), network("c", "grass", "3")},
			[]string{"green [b c]"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var missing, contradictions []string
			m, c := Compare(here, tt.others)
			for _, m := range m {
				missing = append(missing, fmt.Sprint(m.Name, " ", m.Hosts))
			}
			for _, c := range c {
				contradictions = append(contradictions, c.String())
			}
			if !slices.Equal(missing, tt.missing) || !slices.Equal(contradictions, tt.contradictions) {
				t.Errorf("missing %q, contradictions %q", missing, contradictions)
			}
		})
	}
}
