package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/refusal"
)

// noAnswerAge is longer than the pause between two attempts to join a host. A host that was tried
// longer ago is not listed any more, or has been found.
const noAnswerAge = time.Minute

// refusalStatus returns what was refused as the status shows it. Hosts of the cluster that do not
// answer are left out: it shows them as unreachable.
func refusalStatus(refused []refusal.Refusal, s cluster.Snapshot, now time.Time) []agentapi.RefusalStatus {
	known := make(map[netip.Addr]bool)
	for _, h := range s.Hosts {
		known[h.Addr] = true
	}
	var all []agentapi.RefusalStatus
	for _, r := range refused {
		status := agentapi.RefusalStatus{
			Reason: string(r.Reason), Count: r.Count,
			Silent: r.Reason == refusal.ReasonNoAnswer, OfOtherHost: r.Reason.IsOfOtherHost(),
		}
		for _, h := range r.Hosts {
			if status.OfOtherHost && now.Sub(h.Last) > noAnswerAge || status.Silent && known[h.Addr] {
				continue
			}
			status.Hosts = append(status.Hosts, agentapi.RefusedHost{
				Addr: h.Addr, Count: h.Count, Since: now.Sub(h.First), Last: now.Sub(h.Last),
			})
		}
		if len(status.Hosts) > 0 || !status.OfOtherHost {
			all = append(all, status)
		}
	}
	return all
}

// refusalWarnings are what to say at the start of a container whose host has found no other, by the
// reason that is most likely to be why. A host that closes a connection without a word is left to
// the status: perhaps its agent has just ended.
var refusalWarnings = []struct {
	reason  refusal.Reason
	warning string
}{
	{refusal.ReasonUnlistedThere, "no other host was found; this host is not in remote_ips of %s: add it there, or give all hosts the same key_file"},
	{refusal.ReasonWrongKey, "no other host was found; the key here is not that of %s: copy one key_file to all hosts"},
	{refusal.ReasonWrongLabel, "no other host was found; the cluster here is not that of %s: set cluster in /etc/vxlan/vxland.toml alike on all hosts"},
}

// warnOfRefusals returns a warning for a host that was refused lately, or refused others, or "".
func warnOfRefusals(refused []refusal.Refusal, now time.Time) string {
	for _, w := range refusalWarnings {
		for _, r := range refused {
			hosts := slices.DeleteFunc(slices.Clone(r.Hosts), func(h refusal.Host) bool { return now.Sub(h.Last) > noAnswerAge })
			if r.Reason == w.reason && len(hosts) > 0 {
				return fmt.Sprintf(w.warning, joinHosts(hosts))
			}
		}
	}
	return ""
}

// joinHosts names some of the hosts.
func joinHosts(hosts []refusal.Host) string {
	const most = 3
	var names []string
	for _, h := range hosts[:min(len(hosts), most)] {
		names = append(names, h.Addr.String())
	}
	if len(hosts) > most {
		names = append(names, fmt.Sprintf("%d others", len(hosts)-most))
	}
	return strings.Join(names, ", ")
}

// warnIfRefused warns of a host that has found no other since keys, clusters or lists differ. Only
// a network's first container on the host is warned of it: the status shows it at any time.
func (a *Agent) warnIfRefused(networkID string) string {
	n, known := a.dns.Network(networkID)
	m := a.clusters.Lookup(a.clusters.bindAddr(n.VTEP.Local))
	if !known || m == nil || len(n.Endpoints) > 1 || m.Members() > 1 {
		return ""
	}
	return warnOfRefusals(m.Refused(), boottime.Now())
}
