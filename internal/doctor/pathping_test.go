package doctor

import (
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/agentapi"
)

// What pings find out is a finding of its own unless an agent has found out more.
func TestPathPings(t *testing.T) {
	router := PathPing{Size: 1500, Small: true, Passing: 1400, Router: addr("192.0.2.1"), RouterMTU: 1400}
	silent := PathPing{Size: 1500, Small: true, Passing: 1300}
	tunnel := []agentapi.NetworkStatus{{Name: "blue", Tunnels: []agentapi.TunnelStatus{{Host: "a (198.18.0.11)", Port: 4789, Size: 1450, Passing: 1350}}}}
	for _, tt := range []struct {
		name     string
		ping     PathPing
		networks []agentapi.NetworkStatus
		code     string
		seen     string // last
	}{
		{"nothing was sent", PathPing{}, nil, "", ""},
		{"all passes", PathPing{Size: 1500, Full: true}, nil, "", ""},
		{"it does not answer", PathPing{Size: 1500}, nil, "", ""},
		{"a router", router, nil, "VX0205", "192.0.2.1 on the way says that its next link has the MTU 1400"},
		{"nobody says so", silent, nil, "VX0205", "pings of 1300 bytes are answered, and larger ones are not"},
		{"a router, and an agent", router, tunnel, "VX0303", "192.0.2.1 on the way says that its next link has the MTU 1400"},
		{"an agent", silent, tunnel, "VX0303", "frames of 1350 bytes pass"},
	} {
		f := healthy()
		f.Networks[0].Paths[0].Ping = tt.ping
		f.Agent.Report.Networks = tt.networks
		f.Agent.Report.Clusters = []agentapi.ClusterStatus{{Hosts: []agentapi.HostStatus{{Name: "a (198.18.0.11)", HostName: "a", Addr: addr("198.18.0.11"), Reachable: true}}}}
		found := Diagnose(f).Findings
		if tt.code == "" && len(found) == 0 {
			continue
		}
		if len(found) != 1 || string(found[0].Code) != tt.code || !slices.Contains(found[0].Evidence, tt.seen) || len(found[0].Mend) == 0 {
			t.Errorf("%s: found %+v", tt.name, found)
		} else if tt.code == "VX0205" && !strings.Contains(found[0].Mend[0], "mtu=") {
			t.Errorf("%s: mend %q", tt.name, found[0].Mend)
		}
	}
}
