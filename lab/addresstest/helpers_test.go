package addresstest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

const dual = "--subnet 10.1.0.0/24 --subnet fd00:1::/64"

func startLab(t *testing.T, hosts int) *lab.Lab {
	t.Helper()
	return labtest.Start(t, lab.Config{Hosts: hosts, Outside: true})
}

// runContainer starts a container.
func runContainer(t *testing.T, h *lab.Host, name, flags string) {
	t.Helper()
	labtest.Sh(t, h, "podman run -d --name "+name+" "+flags+" localhost/web")
}

// pingAll fails unless the container reaches all addresses.
func pingAll(t *testing.T, h *lab.Host, container string, to ...string) {
	t.Helper()
	for _, a := range to {
		labtest.Sh(t, h, fmt.Sprintf("podman exec %s ping -c1 -W2 %s", container, a))
	}
}

func containerAddr4(t *testing.T, h *lab.Host, container string) string {
	t.Helper()
	return labtest.Field(t, h, container, "net", "IPAddress")
}

func containerAddr6(t *testing.T, h *lab.Host, container string) string {
	t.Helper()
	return labtest.Field(t, h, container, "net", "GlobalIPv6Address")
}

// leaseRange returns a host's slice of the IPv4 subnet, as podman network inspect shows it.
func leaseRange(t *testing.T, h *lab.Host) string {
	t.Helper()
	return labtest.Sh(t, h, "podman network inspect -f '{{range .Subnets}}{{with .LeaseRange}}{{.StartIP}}-{{.EndIP}} {{end}}{{end}}' net")
}

// hostOwnAddrs returns the host's own addresses: those of the bridge that are not the gateway's.
func hostOwnAddrs(t *testing.T, h *lab.Host) (v4, v6 netip.Addr) {
	t.Helper()
	for field := range strings.FieldsSeq(labtest.Sh(t, h, "ip -o addr show dev br-vxlan-net | awk '{print $4}'")) {
		p := netip.MustParsePrefix(field)
		switch a := p.Addr(); {
		case a == netip.MustParseAddr("10.1.0.1"), a == netip.MustParseAddr("fd00:1::1"), a.IsLinkLocalUnicast():
		case a.Is4():
			v4 = a
		default:
			v6 = a
		}
	}
	return v4, v6
}
