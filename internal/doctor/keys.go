package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
)

// reasonWrongKey is why agents with different keys refuse each other's messages. Some of these also
// count as malformed, or as another cluster's.
const reasonWrongKey = "wrong key"

// keyMend says how hosts get the same key.
const keyMend = "copy the key file (key_file in /etc/vxlan/vxland.toml) from %s to %s; there: " + reload

// checkKeys says which host's key is another than the cluster's: this one's, if no host understands
// it, or else that of the hosts which are refused while others are not.
func (f *Facts) checkKeys() (findings []diagnosis.Finding) {
	if f.Agent.Report == nil {
		return nil
	}
	for _, c := range f.Agent.Report.Clusters {
		for _, r := range refusedLately(c.Refused) {
			if r.Reason == reasonWrongKey {
				findings = append(findings, f.fromWrongKey(c, r)...)
			}
		}
	}
	return findings
}

func (f *Facts) fromWrongKey(c agentapi.ClusterStatus, r agentapi.RefusalStatus) (findings []diagnosis.Finding) {
	isRefused := func(h agentapi.HostStatus) bool {
		return slices.ContainsFunc(r.Hosts, func(o agentapi.RefusedHost) bool { return o.Addr == h.Addr })
	}
	var members, refused []string
	for _, h := range c.Hosts {
		if h.Reachable && !isRefused(h) {
			members = append(members, cmp.Or(h.HostName, h.Addr.String()))
		}
	}
	found := diagnosis.Finding{Code: diagnosis.KeyRefused, Level: diagnosis.Failure}
	for _, h := range r.Hosts {
		refused = append(refused, f.hostAt(h.Addr).label)
		found.Evidence = append(found.Evidence, fmt.Sprintf("messages of %s were refused %s in %v, the last one %v ago",
			h.Addr, times(h.Count), roundAge(h.Since), roundAge(h.Last)))
	}
	if f.Agent.Report.Keys == "" {
		found.Evidence = append(found.Evidence, "this host has no key")
	}
	found.Evidence = atMost(found.Evidence, maxEvidence)
	list := strings.Join(atMost(refused, maxEvidence), ", ")
	switch {
	case len(members) == 0 && len(refused) > 1:
		found.Summary = fmt.Sprintf("this host's key is not the cluster's: it and the hosts %s refuse each other", list)
		found.Mend = []string{fmt.Sprintf(keyMend, "one of them", "this host")}
	case len(members) == 0:
		found.Summary = fmt.Sprintf("this host and host %s have different keys", list)
		found.Mend = []string{fmt.Sprintf(keyMend, "one of them", "the other")}
	default:
		for _, h := range r.Hosts {
			one, host := found, f.hostAt(h.Addr)
			one.Host = host.name
			one.Summary = fmt.Sprintf("the key of host %s is not the cluster's: this host and %s have another",
				host.label, countOthers(len(members)))
			if one.Mend = []string{fmt.Sprintf(keyMend, f.Host, "that host")}; f.Agent.Report.Keys == "" {
				one.Mend = []string{
					"take key_file out of /etc/vxlan/vxland.toml there, or give all hosts that key; then: " + reload,
				}
			}
			findings = append(findings, one)
		}
		return findings
	}
	return []diagnosis.Finding{found}
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func countOthers(n int) string {
	if n == 1 {
		return "one other"
	}
	return fmt.Sprintf("%d others", n)
}

// withoutKeyRefusals leaves out what checkKeys says.
func withoutKeyRefusals(all []agentapi.RefusalStatus) (rest []agentapi.RefusalStatus) {
	hasOtherKey := make(map[netip.Addr]bool)
	for _, r := range all {
		for _, h := range r.Hosts {
			hasOtherKey[h.Addr] = hasOtherKey[h.Addr] || r.Reason == reasonWrongKey
		}
	}
	refused := func(h agentapi.RefusedHost) bool { return hasOtherKey[h.Addr] }
	for _, r := range all {
		r.Hosts = slices.Clone(r.Hosts)
		r.Hosts = slices.DeleteFunc(r.Hosts, refused)
		if r.Reason != reasonWrongKey && len(r.Hosts) > 0 {
			rest = append(rest, r)
		}
	}
	return rest
}

// copies says which other hosts have one ID. Of this host's own ID the agent warns.
func (f *Facts) copies() (findings []diagnosis.Finding) {
	for _, c := range f.Agent.Report.Clusters {
		byID := make(map[string][]string)
		for _, h := range c.Hosts {
			if h.Reachable && h.ID != "" && h.ID != f.Agent.Report.Host.ID {
				byID[h.ID] = append(byID[h.ID], h.Name)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(byID)) {
			if len(byID[id]) < 2 {
				continue
			}
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.HostCopied, Level: diagnosis.Failure,
				Summary: fmt.Sprintf("the hosts %s have one ID, as if one was copied from the other",
					strings.Join(byID[id], ", ")),
				Evidence: []string{"both have the ID " + id}, Mend: []string{copyMend},
			})
		}
	}
	return findings
}

// copyMend makes the agent of a copy begin with another ID.
const copyMend = "rm -f /var/lib/vxlan/host-id; pkill -x vxland; sleep 1; vxlanctl reload   # on one of them"
