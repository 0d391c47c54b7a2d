package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
)

// healthy has the facts of host-b, on which nothing is wrong.
func healthy() Facts {
	n := network.Network{
		Identity: network.Identity{ID: "b1", Name: "blue", Bridge: network.DeviceName{Name: "br-blue"}, Device: network.DeviceName{Name: "vxlan-blue"}},
		Subnets:  []network.Subnet{{Prefix: prefix("10.0.0.0/24"), Gateway: addr("10.0.0.1"), HostAddress: addr("10.0.0.254")}},
	}
	n.Tunnel.VNI, n.Tunnel.Port = 7, 4789
	v := network.VTEP{Local: addr("198.18.0.12"), Interface: "eth0", MTU: 1450, Remotes: []netip.Addr{addr("198.18.0.11")}}
	endpoint := network.Endpoint{ContainerID: "c1", ContainerName: "cb", Namespace: "/run/netns/cb", Interface: "eth0", MAC: kernel.MAC{2, 1}, Addrs: []netip.Prefix{prefix("10.0.0.2/24")}}
	route := kernel.Path{Interface: "eth0", Source: v.Local}
	return Facts{
		Host: "host-b", RulesIntact: true,
		Networks: []Network{{
			HostNetwork: plan.HostNetwork{PlacedNetwork: plan.PlacedNetwork{Network: n, VTEP: v}, Endpoints: []plan.RecordedEndpoint{{Endpoint: endpoint}}},
			Underlay:    kernel.Interface{Name: "eth0", MTU: 1500, Up: true, Addrs: []netip.Prefix{prefix("198.18.0.12/24")}},
			Paths:       []Path{{To: addr("198.18.0.11"), Route: route, Free: route}},
			Names:       []NameAnswer{{Server: addr("10.0.0.1"), Container: "cb"}},
		}},
		Kernel:  Kernel{Release: "6.1", Parameters: map[string]string{"net/ipv4/conf/eth0/forwarding": "1"}},
		Agent:   Agent{Needed: 1, Binary: "/bin/vxland", Running: true, Report: new(agentapi.StatusReport), Port: 7947},
		Podman:  Podman{Version: "5.4.2", Netavark: "1.14.1", PluginDir: "/usr/libexec/netavark"},
		Devices: []kernel.Link{{Name: "vxlan-blue", Alias: n.Alias(), Up: true, Tunnel: kernel.Tunnel{VNI: 7, Port: 4789, Local: v.Local}}},
		Sockets: []Socket{{Addr: netip.MustParseAddrPort("0.0.0.0:7947"), Program: "vxland", PID: 9}, {Addr: netip.MustParseAddrPort("0.0.0.0:4789")}},
		Limits:  []Limit{{Name: "connections", Parameter: "net.netfilter.nf_conntrack_max", Used: 10, Max: 65536}},
		Zones:   map[string]string{"br-blue": "trusted"},
	}
}

func TestHealthyHostHasNoFindings(t *testing.T) {
	d := Diagnose(healthy())
	if len(d.Findings) > 0 || d.Level != diagnosis.OK || d.Checks < 20 || !slices.Equal(d.Networks, []string{"blue"}) {
		t.Errorf("found %+v", d)
	}
}

func change(c fmt.Stringer) Change { return Change{Network: "blue", Change: c} }

func inside(c fmt.Stringer) Change {
	return Change{Network: "blue", Container: "cb", Namespace: "/run/netns/cb", Change: c}
}

// checkCase is a fault, and what is found of it.
type checkCase struct {
	name  string
	alter func(*Facts)
	want  []string // code, level, summary
	mend  []string // of the first
}

func TestChecks(t *testing.T) {
	tests := slices.Concat(hostCases, underlayCases, deviceCases, firewallCases, clusterCases, encryptionCases)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
			tt.alter(&f)
			d := Diagnose(f)
			var got []string
			for _, found := range d.Findings {
				got = append(got, fmt.Sprintf("%s %s %s", found.Code, found.Level, found.Summary))
				if found.Host != "host-b" {
					t.Errorf("on host %q: %s", found.Host, found.Summary)
				}
				if found.Level != diagnosis.Unknown && (len(found.Evidence) == 0 || len(found.Mend) == 0) {
					t.Errorf("no evidence or no mend: %+v", found)
				}
				if _, known := diagnosis.Explain(string(found.Code)); !known {
					t.Errorf("%s is not explained", found.Code)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("found\n%s", strings.Join(got, "\n"))
			}
			if tt.mend != nil && len(d.Findings) > 0 && !slices.Equal(d.Findings[0].Mend, tt.mend) {
				t.Errorf("mend %q", d.Findings[0].Mend)
			}
		})
	}
}
