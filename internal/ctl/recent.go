package ctl

import (
	"context"
	"io"
	"slices"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
)

// recentEvents keeps this host's latest events for a screen, also while no agent runs.
type recentEvents struct {
	reader eventReader
	limit  int
	events []HostEvent // the oldest first
}

func newRecentEvents(host EventSource, limit int) recentEvents {
	return recentEvents{limit: limit, reader: eventReader{
		source: host, opts: new(eventsOptions), seen: make(map[string]agentapi.EventsRequest), notes: io.Discard,
		noted: make(map[string]bool),
	}}
}

// newest asks for what is new, and returns all that there is, the newest first.
func (r *recentEvents) newest() ([]HostEvent, error) {
	found, err := r.reader.read(context.Background(), false)
	all := append(r.events, found...)
	r.events = slices.Clone(all[max(0, len(all)-r.limit):])
	newest := slices.Clone(r.events)
	slices.Reverse(newest)
	return newest, err
}

var eventColumns = []output.Column[HostEvent]{
	{Heading: "TIME", Text: func(e HostEvent) string { return e.Time.Local().Format(time.Stamp) }},
	{Heading: "KIND", Text: func(e HostEvent) string { return string(e.Kind) }},
	{Heading: "CODE", Text: func(e HostEvent) string { return e.Code }},
	{Heading: "WHAT HAPPENED", Text: func(e HostEvent) string { return e.Text }, Shrinks: true},
}

// statusOrUnknown is the status with rates. That it cannot be read is a finding.
func statusOrUnknown(host StatusSource, version string) statusView {
	v, err := readStatus(host, host.StatusWithRates, version)
	if err != nil {
		v = statusView{Findings: []diagnosis.Finding{{Code: diagnosis.AgentMissing, Level: diagnosis.Unknown,
			Summary: err.Error()}}}
		v.judge()
	}
	return v
}
