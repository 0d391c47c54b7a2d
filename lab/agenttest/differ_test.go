package agenttest

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// Hosts that set up a network of one name differently say so: in the status of both, and when a
// container starts. So do hosts on which two containers have one name. Hosts that agree say
// nothing.
func TestHostsReportDifferences(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	hosts := l.Hosts()
	run := func(h *lab.Host, name, network string) string {
		return labtest.Sh(t, h, "podman run -d --name "+name+" --network "+network+" localhost/web 2>&1 >/dev/null")
	}
	labtest.CreateNetwork(t, l, "same", "--opt vni=100 --subnet 10.0.0.0/24")
	for _, tt := range []struct{ network, flags, other, want, code string }{
		{"mtu", "--opt vni=101 --subnet 10.1.0.0/24", "--opt vni=101 --opt mtu=1400 --subnet 10.1.0.0/24", "the MTU is 1400 there and 1450 here", "VX0605"},
		{"vni", "--opt vni=102 --subnet 10.2.0.0/24", "--opt vni=103 --subnet 10.2.0.0/24", "the VNI is 103 there and 102 here", "VX0306"},
	} {
		labtest.CreateOn(t, hosts[:1], tt.network, tt.flags+" --opt remote_ips="+labtest.VTEPs(l))
		labtest.CreateOn(t, hosts[1:], tt.network, tt.other+" --opt remote_ips="+labtest.VTEPs(l))
		for i, h := range hosts {
			run(h, tt.network+h.Name(), tt.network)
			if warned := run(h, "same-"+tt.network+h.Name(), "same"); warned != "" {
				t.Errorf("network same, host %d: %s", i, warned)
			}
		}
		for _, h := range hosts {
			labtest.Within(t, 10*time.Second, h, "vxlanctl status | grep '^# "+tt.code+" failure: network "+tt.network+" differs on host'")
		}
		labtest.Sh(t, hosts[0], "vxlanctl status | grep '"+tt.want+"'")
		if warned := run(hosts[0], "again-"+tt.network, tt.network); !strings.Contains(warned, tt.want) {
			t.Errorf("network %s: a start says %q", tt.network, warned)
		}
	}
	for _, h := range hosts {
		run(h, "twin", "same")
	}
	for _, h := range hosts {
		labtest.Within(t, 10*time.Second, h, "vxlanctl status | grep 'VX0603 warning: name twin of network same'")
	}
	if out := labtest.Sh(t, hosts[0], "vxlanctl status"); strings.Contains(out, "network same differs") || strings.Count(out, "VX0603 warning") != 1 {
		t.Errorf("status says\n%s", out)
	}
}
