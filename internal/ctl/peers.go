package ctl

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

// States of another host.
const (
	peerReachable   = "reachable"
	peerUnreachable = "unreachable"
	peerNoAgent     = "no agent" // it is listed, and never answered
)

// peerRow is another host in the status.
type peerRow struct {
	name, addr, state string
	since, roundTrip  time.Duration
	paths             []agentapi.PathStatus
}

var peerColumns = []output.Column[peerRow]{
	{Heading: "HOST", Text: func(r peerRow) string { return r.name }, Shrinks: true},
	{Heading: "ADDRESS", Text: func(r peerRow) string { return r.addr }},
	{Heading: "STATE", Text: func(r peerRow) string { return r.state }},
	{Heading: "SINCE", Text: func(r peerRow) string { return ageText(r.since) }},
	{Heading: "RTT", Text: func(r peerRow) string { return roundTripText(r.roundTrip) }},
	{Heading: "LOSS", Text: func(r peerRow) string { return lossText(r.paths) }},
	{Heading: "PATH MTU", Text: func(r peerRow) string { return pathMTUText(r.paths) }},
}

// peerOf is another host's row.
func peerOf(h agentapi.HostStatus) peerRow {
	if !h.Reachable {
		return peerRow{name: cmp.Or(h.HostName, h.Name), addr: addrText(h.Addr), state: peerUnreachable,
			since: h.UnreachableFor}
	}
	return peerRow{
		name: cmp.Or(h.HostName, h.Name), addr: addrText(h.Addr), state: peerReachable,
		since: h.ReachableFor, roundTrip: h.RoundTrip, paths: h.Paths,
	}
}

// peersOf returns the other hosts of all clusters, those last that were never heard.
func peersOf(clusters []agentapi.ClusterStatus) (rows []peerRow) {
	for _, c := range clusters {
		for _, h := range c.Hosts {
			rows = append(rows, peerOf(h))
		}
	}
	for _, c := range clusters {
		for _, r := range c.Refused {
			for _, h := range r.Hosts {
				if r.Silent {
					rows = append(rows, silentPeer(h))
				}
			}
		}
	}
	return rows
}

// wantedPeers leaves out the hosts that the user filters out, and changes no cluster that it is given.
func wantedPeers(p *output.Printer, clusters []agentapi.ClusterStatus) []agentapi.ClusterStatus {
	wanted := slices.Clone(clusters)
	for i := range wanted {
		c := &wanted[i]
		c.Hosts = slices.DeleteFunc(slices.Clone(c.Hosts),
			func(h agentapi.HostStatus) bool { return !output.Wants(p, peerColumns, peerOf(h)) })
		c.Refused = slices.Clone(c.Refused)
		for k := range c.Refused {
			c.Refused[k].Hosts = slices.DeleteFunc(slices.Clone(c.Refused[k].Hosts), func(h agentapi.RefusedHost) bool {
				return c.Refused[k].Silent && !output.Wants(p, peerColumns, silentPeer(h))
			})
		}
	}
	return wanted
}

// silentPeer is the row of a host that was never heard.
func silentPeer(h agentapi.RefusedHost) peerRow {
	return peerRow{addr: h.Addr.String(), state: peerNoAgent}
}

// maxPeers are so many that a screen has room for the rest.
const maxPeers = 16

// peersText is the table of the other hosts. On a terminal those with a fault come first, and many
// that are well are only counted.
func peersText(p *output.Printer, rows []peerRow) string {
	if len(rows) == 0 {
		return ""
	}
	more := 0
	if p.Width > 0 && len(rows) > maxPeers {
		slices.SortStableFunc(rows, func(a, b peerRow) int { return cmp.Compare(a.rank(), b.rank()) })
		more = len(rows) - maxPeers
		rows = rows[:maxPeers]
	}
	text := "\n" + output.Listing[peerRow]{Columns: peerColumns, Rows: rows}.Table(p)
	if more > 0 {
		text += fmt.Sprintf("and %d more: `vxlanctl host ls`\n", more)
	}
	return text
}

// rank orders hosts by how much there is to say of them.
func (r peerRow) rank() int {
	switch {
	case r.state == peerUnreachable:
		return 0
	case slices.ContainsFunc(r.paths, func(p agentapi.PathStatus) bool {
		loss, _ := p.Loss()
		return loss > 0 || p.Measured > 0 && p.MTU < p.FullSize
	}):
		return 1
	case r.state == peerReachable:
		return 2
	}
	return 3
}

// worstLoss is what is lost of probes, on the network where it is most.
func worstLoss(paths []agentapi.PathStatus) (most float64, measured bool) {
	for _, p := range paths {
		if loss, known := p.Loss(); known {
			most, measured = max(most, loss), true
		}
	}
	return most, measured
}

func lossText(paths []agentapi.PathStatus) string {
	most, measured := worstLoss(paths)
	if !measured {
		return ""
	}
	return fmt.Sprintf("%.0f%%", 100*most)
}

// leastMTU is the largest frame that passes, on the network where it is smallest; -1: it is not known.
func leastMTU(paths []agentapi.PathStatus) int {
	least := -1
	for _, p := range paths {
		if p.Measured > 0 && (least < 0 || p.MTU < least) {
			least = p.MTU
		}
	}
	return least
}

func pathMTUText(paths []agentapi.PathStatus) string {
	switch least := leastMTU(paths); least {
	case -1:
		return ""
	case 0:
		return "none"
	default:
		return fmt.Sprint(least)
	}
}

// roundTripText is a round trip with two digits that count.
func roundTripText(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	}
	return d.Round(time.Millisecond).String()
}

// ageText is how long something lasts, for people.
func ageText(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Minute:
		return max(time.Second, d.Round(time.Second)).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// rateText is a rate in bytes a second, with a decimal prefix; "" if it is not known.
func rateText(t *agentapi.TrafficStatus, of func(*agentapi.TrafficRates) float64) string {
	if t == nil || t.Rates == nil {
		return ""
	}
	return byteRateText(of(t.Rates))
}

func byteRateText(rate float64) string {
	unit := "B/s"
	for _, larger := range []string{"kB/s", "MB/s", "GB/s"} {
		if rate < 999.5 {
			break
		}
		rate, unit = rate/1000, larger
	}
	if rate < 9.95 && unit != "B/s" {
		return fmt.Sprintf("%.1f %s", rate, unit)
	}
	return fmt.Sprintf("%.0f %s", rate, unit)
}
