package doctor

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
)

// FromReport returns what an agent's report says is wrong.
func FromReport(r agentapi.StatusReport) (findings []diagnosis.Finding) {
	add := func(f diagnosis.Finding) { findings = append(findings, f) }
	if problem := withoutEncryption(r); problem != "" {
		add(diagnosis.Finding{
			Code: diagnosis.AgentProblem, Level: diagnosis.Failure, Summary: problem,
			Evidence: []string{"the agent met this in its last turn, and tries again"}, Mend: []string{reload},
		})
	}
	for _, why := range r.Outdated {
		mend := reload
		if strings.HasSuffix(why, agentapi.NamesNoKey) { // not done by --fix
			mend += "   # on all hosts, to go on without a key; or else put key_file back"
		}
		add(diagnosis.Finding{
			Code: diagnosis.AgentOutdated, Level: diagnosis.Warning, Summary: why, Mend: []string{mend},
			Evidence: []string{"the agent says so, of itself and of its files"},
		})
	}
	for _, text := range r.Warnings {
		add(fromWarning(text))
	}
	for _, text := range r.Conflicts {
		add(fromConflict(text))
	}
	for _, text := range r.Differences {
		add(fromDifference(text))
	}
	for _, text := range r.BlockingChains {
		add(withAdvice(diagnosis.Finding{Code: diagnosis.ForeignDrop, Level: diagnosis.Failure}, text))
	}
	for _, n := range r.Networks {
		findings = append(findings, fromNetwork(r, n)...)
	}
	for _, c := range r.Clusters {
		findings = append(findings, fromCluster(c)...)
		for _, h := range c.Hosts {
			for _, p := range h.Paths {
				if f, lossy := fromPath(h.Name, p); lossy {
					add(f)
				}
			}
		}
	}
	diagnosis.Sort(findings)
	return findings
}

// fromNetwork is about a network's place on the underlay, and its tunnels.
func fromNetwork(r agentapi.StatusReport, n agentapi.NetworkStatus) (findings []diagnosis.Finding) {
	if n.Home != "" {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.UnderlayMoved, Level: diagnosis.Warning, Network: n.Name,
			Summary: fmt.Sprintf("network %s sends from %s by %s, until %s can be used again",
				n.Name, n.VTEP, n.Interface, n.Home),
		})
	}
	findings = append(findings, fromEncryption(n)...)
	for _, t := range n.Tunnels {
		isOfWireGuard := n.Encryption != nil && t.Passing == 0 // see fromEncryption
		if !isOfWireGuard && !isPartial(pathOf(r, n.Name, t.Host)) {
			findings = append(findings, fromTunnel(n.Name, t))
		}
	}
	return findings
}

// pathOf returns what is measured of a network's way to a host.
func pathOf(r agentapi.StatusReport, network, host string) (p agentapi.PathStatus) {
	for _, c := range r.Clusters {
		for _, h := range c.Hosts {
			isMeant := func(p agentapi.PathStatus) bool { return p.Network == network }
			if i := slices.IndexFunc(h.Paths, isMeant); h.Name == host && i >= 0 {
				return h.Paths[i]
			}
		}
	}
	return p
}

// fromWarning finds the code of what the agent warns of.
func fromWarning(text string) diagnosis.Finding {
	f := diagnosis.Finding{Code: diagnosis.AgentWarning, Level: diagnosis.Warning, Summary: text}
	switch {
	case strings.Contains(text, "has the ID of this host"):
		f = withAdvice(diagnosis.Finding{Code: diagnosis.HostCopied, Level: diagnosis.Failure}, text)
		f.Evidence, f.Mend = f.Mend, []string{copyMend}
	case strings.Contains(text, "both have the address"):
		f = withAdvice(diagnosis.Finding{Code: diagnosis.DuplicateVTEP, Level: diagnosis.Failure}, text)
	case strings.Contains(text, "neighbour table is full"):
		f.Code, f.Level = diagnosis.NeighboursFull, diagnosis.Failure
		if _, parameter, found := strings.Cut(text, "raise "); found {
			name, _, _ := strings.Cut(parameter, ",")
			f.Mend = []string{"sysctl -w " + name + "=8192"}
		}
	case strings.Contains(text, "files cannot be watched"):
		f.Code = diagnosis.FilesExhausted
		if strings.Contains(text, "max_user_instances") {
			f.Mend = []string{"sysctl -w fs.inotify.max_user_instances=1024"}
		}
	}
	return f
}

// fromDifference finds the code of what hosts have set up differently. Some differences keep packets
// from passing, and others may be meant.
func fromDifference(text string) diagnosis.Finding {
	f := withAdvice(diagnosis.Finding{Code: diagnosis.NetworksDiffer, Level: diagnosis.Warning}, text)
	network, rest, _ := strings.Cut(strings.TrimPrefix(text, "network "), " differs on host ")
	host, what, ok := strings.Cut(rest, ": ")
	if !ok {
		return f
	}
	f.Network, f.Evidence = network, []string{"host " + host + " says so"}
	switch {
	case strings.HasPrefix(what, "the VNI "), strings.HasPrefix(what, "the VXLAN port "):
		f.Code, f.Level = diagnosis.TunnelMismatch, diagnosis.Failure
	case strings.HasPrefix(what, "remote_ips "):
		f.Code = diagnosis.ListsDiffer
	case strings.HasPrefix(what, "the MTU is "), strings.HasPrefix(what, "the subnet "),
		strings.HasPrefix(what, "encryption is "),
		strings.HasPrefix(what, "the gateway "):
		f.Level = diagnosis.Failure
	}
	return f
}

// fromConflict tells addresses, of which one container has to go, from names, which may be meant.
func fromConflict(text string) diagnosis.Finding {
	if strings.HasPrefix(text, "name ") {
		return withAdvice(diagnosis.Finding{Code: diagnosis.DuplicateName, Level: diagnosis.Warning}, text)
	}
	f := withAdvice(diagnosis.Finding{Code: diagnosis.DuplicateAddress, Level: diagnosis.Failure}, text)
	m := duplicateText.FindStringSubmatch(text)
	if m == nil {
		return f
	}
	network, yields, keeper := m[1], m[2], m[5]
	if keeper == "here" {
		yields, f.Host = m[3], m[4]
	}
	f.Network, f.Evidence = network, []string{"the container " + keeper + " keeps the address"}
	f.Mend = []string{
		fmt.Sprintf("podman network disconnect %s %s", network, yields), // keeps it running, unlike a restart
		fmt.Sprintf("podman network connect %s %s   # with another address", network, yields),
	}
	return f
}

// duplicateText is how an agent says which containers have one address (membership.Duplicate).
var duplicateText = regexp.MustCompile(
	`^address \S+ of network (\S+) is that of container (\S+) here and of container (\S+) on host (\S+).*; the one (here|there) keeps it`)

// withAdvice sets what is wrong and what to do, which an agent puts into one text, with a semicolon
// between them.
func withAdvice(f diagnosis.Finding, text string) diagnosis.Finding {
	summary, advice, advises := strings.Cut(text, "; ")
	if f.Summary = summary; advises {
		f.Mend = []string{typable(advice)}
	}
	return f
}

// typable puts the command in an advice first, and makes the rest a comment.
func typable(advice string) string {
	for _, where := range []struct{ says, comment string }{
		{"type on both: ", "on both hosts"}, {"type here: ", ""}, {"type there: ", "on the other host"},
	} {
		condition, command, found := strings.Cut(advice, where.says)
		comment := strings.Trim(strings.TrimRight(condition, ", ")+", "+where.comment, ", ")
		if found && comment != "" {
			return command + "   # " + comment
		}
		if found {
			return command
		}
	}
	return advice
}

func fromTunnel(network string, t agentapi.TunnelStatus) diagnosis.Finding {
	f := diagnosis.Finding{Level: diagnosis.Failure, Network: network}
	switch {
	case t.Passing > 0:
		f.Code = diagnosis.TunnelMTU
		f.Summary = fmt.Sprintf("frames of %d bytes to host %s are lost", t.Size, t.Host)
		f.Evidence = []string{fmt.Sprintf("frames of %d bytes pass", t.Passing)}
		f.Mend = []string{fmt.Sprintf(
			"vxlanctl network set %s mtu=%d   # on all hosts, unless the underlay's MTU can be raised", network, t.Passing)}
	case t.Heard:
		f.Code = diagnosis.TunnelOneWay
		f.Summary = fmt.Sprintf("no VXLAN packet arrives at host %s", t.Host)
		f.Evidence = []string{"its packets arrive here"}
		f.Mend = []string{fmt.Sprintf("open UDP port %d on host %s and on the way", t.Port, t.Host)}
	default:
		f.Code = diagnosis.TunnelBlocked
		f.Summary = fmt.Sprintf("no VXLAN packet passes to or from host %s", t.Host)
		f.Evidence = []string{fmt.Sprintf("frames of %d bytes and small ones were sent to it, and none was answered", t.Size)}
		f.Mend = []string{fmt.Sprintf("open UDP port %d on both hosts and on the way", t.Port)}
	}
	return f
}

func fromCluster(c agentapi.ClusterStatus) (findings []diagnosis.Finding) {
	switch {
	case c.Problem != "":
		f := diagnosis.Finding{Code: diagnosis.ClusterStale, Level: diagnosis.Failure, Summary: c.Problem}
		if c.Stale > 0 {
			f.Evidence = []string{fmt.Sprintf("what other hosts have is as it was %v ago", c.Stale.Round(time.Second))}
		}
		if c.Revision > 0 {
			f.Evidence = append(f.Evidence, fmt.Sprintf("that is up to revision %d of %s, which had %d more when it "+
				"answered last", c.Revision, c.Name, c.RevisionsBehind))
		}
		f.Mend = []string{"vxlanctl config check   # and look at the servers of " + c.Name}
		findings = append(findings, f)
	case c.Stale > 0:
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.ClusterStale, Level: diagnosis.Failure,
			Summary:  fmt.Sprintf("no contact to any other host from %s for %v", c.Name, c.Stale.Round(time.Second)),
			Evidence: []string{"no agent answers by UDP or TCP, and what other hosts have is as it was"},
			Mend:     []string{"vxlanctl doctor   # on the other hosts: what is wrong here is above"},
		})
	case c.Syncing:
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.AgentSyncing, Level: diagnosis.Warning,
			Summary: fmt.Sprintf("the cluster of %s is still asking the other hosts what they have", c.Name),
		})
	}
	for _, h := range c.Hosts {
		if !h.Reachable {
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.PeerUnreachable, Level: diagnosis.Warning, Host: cmp.Or(h.HostName, h.Name),
				Summary:  fmt.Sprintf("host %s has not answered for %v", h.Name, h.UnreachableFor.Round(time.Second)),
				Evidence: []string{"vxlanctl host ls"},
				Mend:     []string{"vxlanctl doctor   # if it is gone for good, type here: vxlanctl host forget " + forgettable(h)},
			})
		}
	}
	for _, r := range c.Refused {
		if !r.Silent {
			findings = append(findings, fromRefusal(r))
		}
	}
	return findings
}

// forgettable is how a host is named to `vxlanctl host forget`.
func forgettable(h agentapi.HostStatus) string {
	if h.HostName != "" {
		return h.HostName
	}
	return h.Addr.String()
}

// refusalAdvice says what to do about what was refused, by reason.
var refusalAdvice = map[string]string{
	"wrong key":           "copy one key_file to all hosts",
	"wrong cluster label": "set cluster alike on all hosts, unless the host is of another cluster",
	"malformed message": "give all hosts one key_file, or none: with a key its messages look malformed to a " +
		"host without",
	"wrong protocol version":      "install one version of vxland on all hosts",
	"host is not listed":          "add it to remote_ips on this host, or give all hosts the same key_file",
	"host does not list this one": "add this host to remote_ips there, or give all hosts the same key_file",
	"host refuses this one":       "`vxlanctl status` there says why: another key_file, or another cluster",
}

func fromRefusal(r agentapi.RefusalStatus) diagnosis.Finding {
	f := diagnosis.Finding{Code: diagnosis.HostRefused, Level: diagnosis.Warning,
		Summary: fmt.Sprintf("refused, %s: %d", r.Reason, r.Count)}
	if r.Reason == "wrong key" {
		f.Code = diagnosis.KeyRefused
	}
	var hosts []string
	for _, h := range r.Hosts {
		hosts = append(hosts, h.Addr.String())
		f.Evidence = append(f.Evidence,
			fmt.Sprintf("%s: %d in %v, the last one %v ago", h.Addr, h.Count, roundAge(h.Since), roundAge(h.Last)))
	}
	if r.OfOtherHost {
		f.Summary = fmt.Sprintf("%s: %s", r.Reason, strings.Join(hosts, ", "))
	}
	if text := refusalAdvice[r.Reason]; text != "" {
		f.Mend = []string{text}
	}
	return f
}

// roundAge rounds to seconds, and up to one.
func roundAge(d time.Duration) time.Duration { return max(time.Second, d.Round(time.Second)) }
