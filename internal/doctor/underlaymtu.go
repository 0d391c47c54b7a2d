package doctor

import (
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/diagnosis"
)

// underlayMTU is a finding that the underlay of another host has another MTU.
type underlayMTU struct {
	index       int // of the finding
	network     string
	host        string // as agents label it
	there, here int
}

// underlayMTUs are the findings about underlays with different MTUs because of which large packets are
// lost: networks follow the MTU of their host's underlay, and then differ too.
func underlayMTUs(findings []diagnosis.Finding) (all []underlayMTU) {
	for i, found := range findings {
		where, what, _ := strings.Cut(found.Summary, ": the MTU of the physical interface is ")
		_, host, isDifference := strings.Cut(where, " differs on host ")
		d := underlayMTU{index: i, network: found.Network, host: host}
		if n, _ := fmt.Sscanf(what, "%d there and %d here", &d.there, &d.here); n == 2 && isDifference &&
			d.losesPackets(findings) {
			all = append(all, d)
		}
	}
	return all
}

// losesPackets tells whether frames to the host are lost for their size, or its network has another MTU.
func (d underlayMTU) losesPackets(findings []diagnosis.Finding) bool {
	return slices.ContainsFunc(findings, func(f diagnosis.Finding) bool {
		isSize := f.Code == diagnosis.TunnelMTU ||
			f.Code == diagnosis.NetworksDiffer && strings.Contains(f.Summary, ": the MTU is ")
		return isSize && f.Network == d.network && strings.Contains(f.Summary, d.host)
	})
}

// withSmallUnderlay says that this host's underlay is the cause, where it has a smaller MTU than that of
// another host. Where the other one's is smaller, that host is asked.
func (f *Facts) withSmallUnderlay(findings []diagnosis.Finding) []diagnosis.Finding {
	for _, d := range underlayMTUs(findings) {
		for _, n := range f.Networks {
			if n.Name != d.network || d.here >= d.there {
				continue
			}
			found := &findings[d.index]
			found.Code, found.Level = diagnosis.UnderlayMTU, diagnosis.Failure
			found.Summary = fmt.Sprintf("%s has the MTU %d, and the physical interface of host %s has %d", n.VTEP.Interface,
				d.here, d.host, d.there)
			found.Evidence = append(found.Evidence, "ip link show dev "+n.VTEP.Interface)
			found.Mend = []string{fmt.Sprintf("ip link set %s mtu %d", n.VTEP.Interface, d.there), reload}
		}
	}
	return findings
}
