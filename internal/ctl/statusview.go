package ctl

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/doctor"
)

// statusView is what `vxlanctl status` prints.
type statusView struct {
	Level   diagnosis.Level `json:"level"`
	Summary string          `json:"summary"` // a sentence
	Running bool            `json:"running"` // the agent does
	agentapi.StatusReport
	Findings []diagnosis.Finding `json:"findings"`
}

func newStatusView(r agentapi.StatusReport) statusView {
	v := statusView{Running: true, StatusReport: r, Findings: doctor.FromReport(r)}
	v.judge()
	return v
}

// judge sets what follows from the findings. JSON shows what there is none of as [].
func (v *statusView) judge() {
	v.Networks = append([]agentapi.NetworkStatus{}, v.Networks...)
	v.Clusters = append([]agentapi.ClusterStatus{}, v.Clusters...)
	v.Findings = append([]diagnosis.Finding{}, v.Findings...)
	v.Level = diagnosis.Worst(v.Findings)
	v.Summary = v.summarize(v.counts())
}

// summarize says what is wrong and what there is.
func (v *statusView) summarize(counts string) string {
	switch {
	case len(v.Findings) > 0 && counts != "":
		return countLevels(v.Findings) + "; " + counts
	case len(v.Findings) > 0:
		return countLevels(v.Findings)
	}
	return "all is well: " + counts
}

// counts says what there is.
func (v *statusView) counts() string {
	if !v.Running {
		return ""
	}
	if len(v.Networks) == 0 {
		return "no container of this host uses a VXLAN network"
	}
	local, remote := 0, 0
	for _, n := range v.Networks {
		local, remote = local+n.Local, remote+n.Remote
	}
	return fmt.Sprintf("%s, %s here, %d on other hosts",
		output.Count(len(v.Networks), "network"), output.Count(local, "container"), remote)
}

// statusHeadings are of all columns by which a status is filtered.
func statusHeadings() []string {
	return slices.Concat(output.Headings(statusNetworkColumns), output.Headings(peerColumns),
		output.Headings(findingColumns))
}

// filter leaves out what the user does not want to see.
func (v *statusView) filter(p *output.Printer) {
	if !p.IsFiltered() {
		return
	}
	counts, found := v.counts(), len(v.Findings)
	v.Networks = output.Wanted(p, v.networkTable().Columns, v.Networks)
	v.Clusters = wantedPeers(p, v.Clusters)
	v.Findings = output.Wanted(p, findingColumns, v.Findings)
	if found == 0 {
		return
	}
	v.Level = diagnosis.Worst(v.Findings)
	if v.Summary = v.summarize(counts); len(v.Findings) == 0 {
		v.Summary = strings.TrimSuffix("nothing that is wrong passes the filter; "+counts, "; ")
	}
}

// print prints the view in the form that the user chose.
func (v *statusView) print(p *output.Printer) error {
	if p.Quiet {
		_, err := output.Fprintln(p.Out, v.Level)
		return err
	}
	return p.Report(v, func(out io.Writer) error {
		_, err := io.WriteString(out, v.text(p))
		return err
	})
}

func (v *statusView) text(p *output.Printer) string {
	var b strings.Builder
	b.WriteString(string(p.Paint(levelColours[v.Level], strings.TrimSuffix(p.Wrap("", "", v.Summary), "\n"))) + "\n")
	if v.Running {
		b.WriteString(v.agentLines())
	}
	if len(v.Networks) > 0 {
		b.WriteString("\n" + v.networkTable().Table(p))
		b.WriteString(fastPathText(p, v.Networks))
		b.WriteString(moveText(p, v.Networks))
	}
	b.WriteString(peersText(p, peersOf(v.Clusters)))
	if len(v.Findings) > 0 {
		b.WriteByte('\n')
	}
	for _, f := range v.Findings {
		b.WriteString(findingText(p, f))
	}
	return b.String()
}

// fastPathText says why packets of networks go without eBPF programs.
func fastPathText(p *output.Printer, networks []agentapi.NetworkStatus) string {
	var b strings.Builder
	for _, n := range networks {
		if n.FastPath.Reason != "" && !n.FastPath.Chosen {
			b.WriteString(p.Wrap("", "  ", n.Name+": packets go without eBPF programs: "+n.FastPath.Reason))
		}
		if n.FastPath.LeftOut > 0 {
			b.WriteString(p.Wrap("", "  ", fmt.Sprintf("%s: packets of %s go without eBPF programs: %s", n.Name,
				output.Count(n.FastPath.LeftOut, "container"), n.FastPath.LeftOutReason)))
		}
	}
	return b.String()
}

// moveText says how far networks have moved from one control plane to another.
func moveText(p *output.Printer, networks []agentapi.NetworkStatus) string {
	var b strings.Builder
	for _, n := range networks {
		if n.Move == nil {
			continue
		}
		text := fmt.Sprintf("%s: moves from %s to %s", n.Name, n.Move.From, n.Move.To)
		switch {
		case len(n.Move.Here) > 0:
			text += "; this host is not there yet: " + strings.Join(n.Move.Here, "; ")
		case len(n.Move.Missing) > 0:
			text += "; missing is " + strings.Join(n.Move.Missing, ", ")
		default:
			text += fmt.Sprintf("; no host is missing, so `vxlanctl network move %s --finish` ends it", n.Name)
		}
		b.WriteString(p.Wrap("", "  ", text))
	}
	return b.String()
}

// networkTable has the columns that can be known.
func (v *statusView) networkTable() output.Listing[agentapi.NetworkStatus] {
	table := output.Listing[agentapi.NetworkStatus]{Columns: statusNetworkColumns, Rows: v.Networks}
	if !v.Running {
		table.Columns = slices.DeleteFunc(slices.Clone(table.Columns), needsAgent)
	}
	return table
}

func (v *statusView) agentLines() string {
	text := output.Printable("vxland " + v.Version)
	if v.Host.Name != "" {
		text += output.Printable(" on " + v.Host.Name)
	}
	text += "\n"
	if v.Keys != "" {
		text += output.Printable("key "+v.Keys) + "\n"
	}
	for _, c := range v.Clusters {
		if c.Revision > 0 {
			text += output.Printable(revisionText(c)) + "\n"
		}
	}
	return text
}

// revisionText says how new that is what a host knows by servers.
func revisionText(c agentapi.ClusterStatus) string {
	text := fmt.Sprintf("%s is known up to revision %d, %d behind", c.Name, c.Revision, c.RevisionsBehind)
	if c.Stale > 0 {
		text += fmt.Sprintf("; stale for %v", c.Stale.Round(time.Second))
	}
	return text
}

// needsAgent tells of a column whether only the agent knows what is in it.
func needsAgent(c output.Column[agentapi.NetworkStatus]) bool {
	return slices.Contains([]string{"ELSEWHERE", "HOSTS", "ENCRYPTION", "IN", "OUT"}, c.Heading)
}

var statusNetworkColumns = []output.Column[agentapi.NetworkStatus]{
	{Heading: "NETWORK", Text: func(n agentapi.NetworkStatus) string { return n.Name }, Shrinks: true},
	{Heading: "VNI", Text: func(n agentapi.NetworkStatus) string { return strconv.FormatUint(uint64(n.VNI), 10) }},
	{Heading: "HERE", Text: func(n agentapi.NetworkStatus) string { return strconv.Itoa(n.Local) }},
	{Heading: "ELSEWHERE", Text: func(n agentapi.NetworkStatus) string { return strconv.Itoa(n.Remote) }},
	{Heading: "HOSTS",
		Text: func(n agentapi.NetworkStatus) string { return fmt.Sprintf("[%d/%d]", n.Reachable, n.Members) }},
	{Heading: "MTU", Text: func(n agentapi.NetworkStatus) string { return strconv.Itoa(n.MTU) }},
	{Heading: "ENCRYPTION", Text: encryptionWord, Sparse: true},
	{Heading: "IN", Text: func(n agentapi.NetworkStatus) string {
		return rateText(n.Traffic, func(r *agentapi.TrafficRates) float64 { return r.ReceivedBytes })
	}},
	{Heading: "OUT", Text: func(n agentapi.NetworkStatus) string {
		return rateText(n.Traffic, func(r *agentapi.TrafficRates) float64 { return r.SentBytes })
	}},
	{Heading: "SENDS FROM",
		Text: func(n agentapi.NetworkStatus) string { return fmt.Sprintf("%s by %s", n.VTEP, n.Interface) }, Shrinks: true},
}

// printCheck prints the line of a monitoring plugin, and returns the level as an exit code.
func (v *statusView) printCheck(p *output.Printer, check string) error {
	level := v.checkLevel(check)
	if p.Quiet {
		return levelError(level)
	}
	err := p.Report(v, func(out io.Writer) error {
		line := strings.ToUpper(level.String()) + ": " + v.Summary
		if level != diagnosis.OK {
			for _, f := range v.Findings {
				line += "; " + string(f.Code) + " " + namedSummary(f)
			}
		}
		_, err := output.Fprintln(out, line)
		return err
	})
	if err != nil {
		return err
	}
	return levelError(level)
}

// checkLevel is how bad what is checked is.
func (v *statusView) checkLevel(check string) diagnosis.Level {
	syncing := slices.ContainsFunc(v.Clusters, func(c agentapi.ClusterStatus) bool { return c.Syncing })
	switch {
	case check == checkLive && v.Running:
		return diagnosis.OK
	case check == checkReady && syncing:
		return diagnosis.Failure
	}
	return v.Level
}
