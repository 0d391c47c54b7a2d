package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
)

// checkOwnAddresses says whose packets the kernel takes wrongly: those for addresses of this host that
// it does not take, and those for addresses of others for which it answers.
func checkOwnAddresses(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, u := range n.Unowned {
			findings = append(findings, unowned(n, u))
		}
		for _, p := range f.Proxies {
			if p.Interface != n.Bridge.Name && p.Interface != n.VTEP.Interface {
				continue
			}
			found := diagnosis.Finding{
				Code: diagnosis.DuplicateAddress, Level: diagnosis.Failure, Network: n.Name,
				Summary: fmt.Sprintf("this host answers on %s in place of %s, which is another's address", p.Interface,
					p.Addr.Addr()),
				Evidence: []string{"ip neigh show proxy prints it"},
				Mend:     []string{fmt.Sprintf("ip neigh delete proxy %s dev %s", p.Addr.Addr(), p.Interface)},
			}
			if p.Interface == n.VTEP.Interface {
				found.Code = diagnosis.DuplicateVTEP
			}
			findings = append(findings, found)
		}
	}
	return findings
}

// unowned is about an address that an interface has, and that the table local lacks.
func unowned(n Network, u InterfaceAddr) diagnosis.Finding {
	addr := u.Addr.Addr()
	found := diagnosis.Finding{
		Code: diagnosis.GatewayMissing, Level: diagnosis.Failure, Network: n.Name,
		Summary: fmt.Sprintf("%s has the address %s, and the kernel does not take packets to it for this host's",
			u.Interface, addr),
		Evidence: []string{"ip route show table local lacks it"},
		Mend: []string{fmt.Sprintf("ip route add local %s dev %s table local proto kernel scope host src %s", addr,
			u.Interface, addr)},
	}
	if addr.Is6() {
		const command = "ip -6 route add local %s dev %s table local proto kernel metric 0"
		found.Mend = []string{fmt.Sprintf(command, addr, u.Interface)}
	}
	if addr == n.VTEP.Local {
		found.Code = diagnosis.UnderlayLost
	}
	return found
}

// ipCommand is how ip is typed for an address of a route or a rule.
func ipCommand(addr netip.Addr) string {
	if addr.Is6() {
		return "ip -6"
	}
	return "ip"
}

// lacksTunnelDevice tells whether a network's VXLAN device is missing or down.
func (f *Facts) lacksTunnelDevice(n Network) bool {
	return slices.ContainsFunc(f.Changes, func(c Change) bool {
		switch change := c.Change.(type) {
		case kernel.CreateLink:
			return change.Link.Name == n.Device.Name
		case kernel.SetUp:
			return change.Name == n.Device.Name
		}
		return false
	})
}
