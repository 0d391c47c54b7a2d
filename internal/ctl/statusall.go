package ctl

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/doctor"
)

// ClusterStatusSource says how all hosts are.
type ClusterStatusSource interface {
	StatusSource
	// StatusOfAll makes this host's agent ask all hosts, itself first.
	StatusOfAll() ([]agentapi.HostAnswer, error)
}

// hostStatusRow is a host, as its own agent sees it.
type hostStatusRow struct {
	Host       string          `json:"host"` // as people know it, with its address
	Level      diagnosis.Level `json:"level"`
	Version    string          `json:"version,omitempty"`
	Networks   int             `json:"networks"`
	Containers int             `json:"containers"`
	Reachable  int             `json:"reachable"` // other hosts
	Peers      int             `json:"peers"`     // other hosts that it knows
	// Error says why nothing is known of the host.
	Error    string              `json:"error,omitempty"`
	Findings []diagnosis.Finding `json:"findings"`

	notAsked bool // since its control plane does not carry questions, which is no fault
}

// allStatusView is what `vxlanctl status --all` prints.
type allStatusView struct {
	Level   diagnosis.Level `json:"level"`
	Summary string          `json:"summary"`
	Hosts   []hostStatusRow `json:"hosts"`
}

func runStatusOfAll(p *output.Printer, host ClusterStatusSource, check string) error {
	answers, err := host.StatusOfAll()
	if err != nil {
		return fmt.Errorf("status of all hosts: %w", err)
	}
	v := newAllStatusView(answers)
	v.filter(p)
	if p.Quiet {
		_, err = output.Fprintln(p.Out, v.Level)
	} else {
		err = p.Report(v, func(out io.Writer) error {
			_, err := io.WriteString(out, v.text(p))
			return err
		})
	}
	if err == nil && check != "" {
		return levelError(v.Level)
	}
	return err
}

func newAllStatusView(answers []agentapi.HostAnswer) allStatusView {
	v := allStatusView{Hosts: []hostStatusRow{}}
	for _, a := range answers {
		v.Hosts = append(v.Hosts, rowOfAnswer(a))
	}
	v.judge()
	return v
}

// judge sets what follows from the hosts.
func (v *allStatusView) judge() {
	var all []diagnosis.Finding
	asked := 0
	for _, row := range v.Hosts {
		all = append(all, row.Findings...)
		if !row.notAsked {
			asked++
		}
	}
	v.Level = diagnosis.Worst(all)
	v.Summary = "all is well on " + output.Count(asked, "host")
	if len(all) > 0 {
		v.Summary = fmt.Sprintf("%s on %s", countLevels(all), output.Count(asked, "host"))
	}
	if note := notAskedNote(len(v.Hosts) - asked); note != "" {
		v.Summary += "; " + note
	}
}

// notAskedNote says of how many hosts nothing is known, since no control plane carries questions there.
func notAskedNote(hosts int) string {
	if hosts == 0 {
		return ""
	}
	return fmt.Sprintf("%s not asked: %v", output.Count(hosts, "host"), agentapi.ErrCannotBeAsked)
}

// filter leaves out the hosts that the user does not want to see.
func (v *allStatusView) filter(p *output.Printer) {
	if p.IsFiltered() {
		v.Hosts = output.Wanted(p, hostStatusColumns, v.Hosts)
		if v.judge(); len(v.Hosts) == 0 {
			v.Summary = "no host passes the filter"
		}
	}
}

func rowOfAnswer(a agentapi.HostAnswer) hostStatusRow {
	row := hostStatusRow{Host: a.Host.Name, Findings: []diagnosis.Finding{}}
	if errors.Is(a.Err, agentapi.ErrCannotBeAsked) {
		row.Error, row.Level, row.notAsked = agentapi.ErrCannotBeAsked.Error(), diagnosis.Unknown, true
		return row
	}
	if a.Err != nil || a.Response.Status == nil {
		row.Error = "it does not tell its status"
		if a.Err != nil {
			row.Error = a.Err.Error()
		}
		row.Findings = append(row.Findings, diagnosis.Finding{
			Code: diagnosis.PeerUnreachable, Level: diagnosis.Warning, Host: a.Host.Name, Summary: row.Error,
			Mend: []string{"vxlanctl status"},
		})
		row.Level = diagnosis.Unknown
		return row
	}
	report := *a.Response.Status
	row.Version, row.Networks = report.Version, len(report.Networks)
	row.Findings = append(row.Findings, doctor.FromReport(report)...)
	row.Level = diagnosis.Worst(row.Findings)
	for _, n := range report.Networks {
		row.Containers += n.Local
	}
	for _, c := range report.Clusters {
		row.Peers, row.Reachable = row.Peers+c.HealthyHosts, row.Reachable+c.HealthyHosts
		for _, h := range c.Hosts {
			row.Peers++
			if h.Reachable {
				row.Reachable++
			}
		}
	}
	return row
}

func (v allStatusView) text(p *output.Printer) string {
	var b strings.Builder
	b.WriteString(string(p.Paint(levelColours[v.Level], strings.TrimSuffix(p.Wrap("", "", v.Summary), "\n"))) + "\n\n")
	b.WriteString(output.Listing[hostStatusRow]{Columns: hostStatusColumns, Rows: v.Hosts}.Table(p))
	for _, row := range v.Hosts {
		if len(row.Findings) > 0 {
			b.WriteString("\n" + p.Wrap("# ", "#   ", "host "+row.Host+":"))
		}
		for _, f := range row.Findings {
			b.WriteString(findingText(p, f))
		}
	}
	return b.String()
}

var hostStatusColumns = []output.Column[hostStatusRow]{
	{Heading: "HOST", Text: func(r hostStatusRow) string { return r.Host }, Shrinks: true},
	{Heading: "STATUS", Text: func(r hostStatusRow) string { return r.Level.String() }},
	{Heading: "NETWORKS", Text: func(r hostStatusRow) string { return r.count(r.Networks) }},
	{Heading: "CONTAINERS", Text: func(r hostStatusRow) string { return r.count(r.Containers) }},
	{Heading: "HOSTS", Text: func(r hostStatusRow) string {
		if r.Error != "" {
			return ""
		}
		return fmt.Sprintf("[%d/%d]", r.Reachable, r.Peers)
	}},
	{Heading: "VERSION", Text: func(r hostStatusRow) string { return r.Version }, Wide: true},
}

// count is a number that the host told.
func (r hostStatusRow) count(n int) string {
	if r.Error != "" {
		return ""
	}
	return fmt.Sprint(n)
}
