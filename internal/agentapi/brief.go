package agentapi

import (
	"fmt"
	"slices"
)

// maxBriefTexts is how many texts of a kind a brief report has. Among 1,000 hosts each of which
// differs there are a thousand.
const maxBriefTexts = 100

// Brief returns the report without what grows with the cluster though nothing is wrong. Left out are
// hosts to which all frames pass, which are only counted. Of many texts of a kind the first stay.
func (r StatusReport) Brief() StatusReport {
	r.Clusters = slices.Clone(r.Clusters)
	for i := range r.Clusters {
		c := &r.Clusters[i]
		all := len(c.Hosts)
		c.Hosts = slices.DeleteFunc(slices.Clone(c.Hosts), HostStatus.isHealthy)
		c.HealthyHosts += all - len(c.Hosts)
	}
	r.Networks = slices.Clone(r.Networks)
	for i := range r.Networks {
		r.Networks[i].Encryption = r.Networks[i].Encryption.brief()
	}
	r.AddressConflicts = min(r.AddressConflicts, maxBriefTexts)
	for _, texts := range []*[]string{&r.Conflicts, &r.Differences, &r.BlockingChains, &r.Warnings} {
		if more := len(*texts) - maxBriefTexts; more > 0 {
			*texts = append(slices.Clip((*texts)[:maxBriefTexts]),
				fmt.Sprintf("and %d more, which vxlanctl status on that host lists", more))
		}
	}
	return r
}

// isHealthy tells whether all frames pass to the host, on each network that was tested.
func (h HostStatus) isHealthy() bool {
	return h.Reachable && !slices.ContainsFunc(h.Paths, func(p PathStatus) bool {
		loss, _ := p.Loss()
		return p.Measured == 0 || p.MTU < p.FullSize || loss > 0
	})
}

// brief leaves out the peers to which packets pass.
func (s *EncryptionStatus) brief() *EncryptionStatus {
	if s == nil {
		return nil
	}
	short := *s
	short.Devices = slices.Clone(s.Devices)
	for i := range short.Devices {
		d := &short.Devices[i]
		all := len(d.Peers)
		d.Peers = slices.DeleteFunc(slices.Clone(d.Peers), func(p WireGuardPeer) bool { return p.HasSession() })
		d.HealthyPeers += all - len(d.Peers)
	}
	return &short
}
