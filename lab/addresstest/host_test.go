package addresstest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// A host's processes reach the containers of every host, and containers reach every host by its own
// address.
func testHostsAndContainersReachEachOther(t *testing.T, p labtest.Plane) {
	l := p.Start(t, lab.Config{Hosts: 3})
	p.CreateOn(t, l.Hosts(), "net", "--opt vni=9 "+dual)
	for _, h := range l.Hosts() {
		runContainer(t, h, "c", "--network net")
	}
	want4 := []string{"10.1.0.63", "10.1.0.127", "10.1.0.191"}
	for _, h := range l.Hosts() { // an agent that picks them does so after the first container's start
		labtest.Within(t, 5*time.Second, h, "test $(ip -br address show dev br-vxlan-net | grep -o -e ' 10[.]1[.]' -e ' "+
			"fd00:1:' | wc -l) = 4")
	}
	for i, h := range l.Hosts() {
		own4, own6 := hostOwnAddrs(t, h)
		if p.Name == labtest.Static.Name && own4.String() != want4[i] {
			t.Errorf("%s has %s, want the last of its part, %s", h.Name(), own4, want4[i])
		}
		for _, other := range l.Hosts() {
			for _, to := range []struct {
				addr string
				own  netip.Addr
			}{{containerAddr4(t, other, "c"), own4}, {containerAddr6(t, other, "c"), own6}} {
				labtest.Sh(t, h, "ping -c1 -W2 "+to.addr)
				if got := labtest.Sh(t, h, "ip route get "+to.addr); !strings.Contains(got, " src "+to.own.String()+" ") {
					t.Errorf("%s sends to %s from another address than its own %s: %s", h.Name(), to.addr, to.own, got)
				}
			}
			pingAll(t, other, "c", own4.String(), own6.String())
		}
	}
}
