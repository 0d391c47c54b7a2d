package ctl

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

// tracedHop is what a rule of a host did.
type tracedHop struct {
	host string
	agentapi.TraceEvent
}

// traceColumns are what hops are filtered by.
var traceColumns = []output.Column[tracedHop]{
	{Heading: "HOST", Text: func(h tracedHop) string { return h.host }},
	{Heading: "CHAIN", Text: func(h tracedHop) string { return h.Chain }},
	{Heading: "RULE", Text: func(h tracedHop) string { return cmp.Or(h.Comment, h.Rule) }},
	{Heading: "VERDICT", Text: func(h tracedHop) string { return h.Verdict }},
}

// filter leaves out what the user does not want to see. The outcome stays that of all.
func (t *Trace) filter(p *output.Printer) {
	t.Here = wantedHops(p, t.Path.Host, t.Here)
	t.There = wantedHops(p, t.Path.ToHost, t.There)
}

func wantedHops(p *output.Printer, host string, events []agentapi.TraceEvent) []agentapi.TraceEvent {
	return slices.DeleteFunc(slices.Clone(events),
		func(e agentapi.TraceEvent) bool { return !output.Wants(p, traceColumns, tracedHop{host, e}) })
}

func printTrace(p *output.Printer, out io.Writer, t Trace) error {
	if p.Quiet {
		_, err := output.Fprintln(out, t.Outcome)
		return err
	}
	target := fmt.Sprintf("%s (%s) on host %s", t.Path.To, t.Path.Dst, t.Path.ToHost)
	if t.Path.ToHost == "" {
		target = fmt.Sprintf("%s, which no member host is known to have", t.Path.Dst)
	}
	path := fmt.Sprintf("%s (%s) on host %s → %s, network %s", t.Path.From, t.Path.Src, t.Path.Host, target,
		t.Path.Network)
	text := p.Wrap("", "  ", path)
	hops, count := hopsText(p, "host "+t.Path.Host, t.Here, 0)
	text += hops
	if !t.Path.SameHost {
		hops, _ = hopsText(p, "host "+t.Path.ToHost, t.There, count)
		text += hops
	}
	_, err := io.WriteString(out, text+p.Wrap("", "  ", t.Outcome))
	return err
}

// hopsText is what happened on a host, each thing once: all packets take the same way. Hops are
// numbered from the given count on.
func hopsText(p *output.Printer, host string, events []agentapi.TraceEvent, hop int) (text string, count int) {
	if len(events) == 0 {
		return "", hop
	}
	text = p.Wrap("", "  ", host)
	printed := make(map[string]bool)
	for _, e := range events {
		line := describeRule(e) + ": " + e.Verdict
		// Rules that only count or go on say nothing, unless they have a comment.
		if e.Head != "" || e.Verdict == "continue" && e.Comment == "" || printed[line] {
			continue
		}
		printed[line] = true
		hop++
		text += p.Wrap(fmt.Sprintf("  %2d  ", hop), "      ", line)
	}
	return text, hop
}
