package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

type hostPrefix = kernel.HostPrefix

// checkOverlaps says which ranges of the host itself are also those of a network.
func checkOverlaps(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		if n.VRF != "" {
			continue // a world of its own
		}
		for _, s := range n.Subnets {
			i := slices.IndexFunc(f.Prefixes, func(p hostPrefix) bool {
				return p.Interface != n.Bridge.Name && p.Prefix.Bits() > 0 && p.Prefix.Overlaps(s.Prefix)
			})
			if i < 0 {
				continue
			}
			p := f.Prefixes[i]
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.SubnetOverlap, Level: overlapLevel(s, p), Network: n.Name,
				Summary:  fmt.Sprintf("the subnet %s overlaps %s, %s %s", s.Prefix, p.Prefix, p.Use, p.Interface),
				Evidence: append([]string{"ip route show to root " + p.Prefix.String()}, f.ownerEvidence(p.Interface)...),
				Mend:     f.overlapMend(p),
			})
		}
	}
	return findings
}

// overlapLevel is a failure if packets for the subnet take the other way: of two routes the longer
// prefix counts.
func overlapLevel(s network.Subnet, p hostPrefix) diagnosis.Level {
	if p.Prefix.Bits() >= s.Prefix.Bits() {
		return diagnosis.Failure
	}
	return diagnosis.Warning
}

func (f *Facts) overlapMend(p hostPrefix) []string {
	if p.Use == kernel.UseRoute {
		return []string{fmt.Sprintf("ip route delete %s dev %s", p.Prefix, p.Interface)}
	}
	for _, a := range f.Addrs {
		if a.Interface == p.Interface && a.Addr.Masked() == p.Prefix && f.ownerEvidence(a.Interface) == nil {
			return []string{fmt.Sprintf(
				"ip address delete %s dev %s   # or recreate the network with another --subnet on all hosts", a.Addr, a.Interface)}
		}
	}
	return []string{fmt.Sprintf("recreate the network with another --subnet on all hosts, or take %s off %s", p.Prefix,
		p.Interface)}
}

// checkSameAddress says which containers of this host have one address or one MAC.
func checkSameAddress(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		addrs, macs := make(map[netip.Addr]string), make(map[kernel.MAC]string)
		for _, e := range n.Endpoints {
			add := func(code diagnosis.Code, what, other string) {
				findings = append(findings, diagnosis.Finding{
					Code: code, Level: diagnosis.Failure, Network: n.Name,
					Summary:  fmt.Sprintf("containers %s and %s both have %s", other, e.ContainerName, what),
					Evidence: []string{fmt.Sprintf("podman inspect %s %s", other, e.ContainerName)},
					Mend:     []string{fmt.Sprintf("podman rm -f %s   # and run it again with another address", e.ContainerName)},
				})
			}
			if other, taken := macs[e.MAC]; taken && !e.MAC.IsZero() {
				add(diagnosis.DuplicateMAC, "the MAC "+e.MAC.String(), other)
			}
			macs[e.MAC] = e.ContainerName
			for _, a := range e.Addrs {
				if other, taken := addrs[a.Addr()]; taken {
					add(diagnosis.DuplicateAddress, "the address "+a.Addr().String(), other)
				}
				addrs[a.Addr()] = e.ContainerName
			}
		}
	}
	return findings
}

// checkGateways says who answers for an address that only this host's bridge, or another container,
// should have.
func checkGateways(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, c := range n.Elsewhere {
			if c.Addr == n.VTEP.Local {
				continue
			}
			code, what := diagnosis.DuplicateAddress, "the address "+c.Addr.String()
			if slices.ContainsFunc(n.Subnets, func(s network.Subnet) bool { return s.Gateway == c.Addr }) {
				code, what = diagnosis.DuplicateGateway, "the gateway's address "+c.Addr.String()
			}
			found := diagnosis.Finding{
				Code: code, Level: diagnosis.Failure, Network: n.Name,
				Summary:  fmt.Sprintf("somebody on %s answers for %s", c.Link, what),
				Evidence: []string{fmt.Sprintf("%s answers for it", c.MAC)},
				Mend:     []string{fmt.Sprintf("take the address off the device with the MAC %s", c.MAC)},
			}
			if c.Port != "" && c.Port != n.Device.Name && n.ownerOf(c.Port) == "" {
				found.Evidence = append(found.Evidence, fmt.Sprintf("it is behind the port %s, which is not the network's", c.Port))
				found.Mend = []string{"ip link set " + c.Port + " nomaster"}
			}
			for _, e := range n.Endpoints {
				if e.MAC == c.MAC {
					found.Evidence = append(found.Evidence, "that is container "+e.ContainerName)
					command := fmt.Sprintf("ip address delete %s dev %s", addrOn(n, c.Addr), e.Interface)
					found.Mend = []string{"nsenter --net=" + e.Namespace + " " + command}
				}
			}
			findings = append(findings, found)
		}
	}
	return findings
}

// addrOn is an address with the length of its subnet.
func addrOn(n Network, addr netip.Addr) netip.Prefix {
	if s, ok := n.SubnetOf(addr); ok {
		return netip.PrefixFrom(addr, s.Prefix.Bits())
	}
	return netip.PrefixFrom(addr, addr.BitLen())
}
