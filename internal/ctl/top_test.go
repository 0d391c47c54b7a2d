package ctl

import (
	"errors"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/top"
)

// texts are the cells of a pane, row by row.
func texts(p top.Pane) string {
	var lines []string
	for _, r := range p.Rows {
		var cells []string
		for _, c := range r.Cells {
			cells = append(cells, c.Text)
		}
		lines = append(lines, strings.Join(cells, "|"))
	}
	return strings.Join(lines, "\n")
}

func TestTopShowsWhatTheAgentSays(t *testing.T) {
	host := newPageHost()
	host.report.Networks = append(host.report.Networks[:0:0], host.report.Networks...)
	host.report.Networks[0].Traffic = &agentapi.TrafficStatus{
		ReceiveDropped: 2, SendDropped: 3,
		Rates: &agentapi.TrafficRates{ReceivedBytes: 1234, SentBytes: 12, ReceivedPackets: 9.6, SentPackets: 0.2},
	}
	host.events = append(host.events, event(2, agentapi.EventRepaired, time.Minute, "rules were missing"))
	s := newTopScreen(host, "1")
	screen := s.read()
	if screen.Title != "host-a" || screen.Colour != output.Green || !strings.HasPrefix(screen.Summary, "all is well") || len(screen.Notices) != 0 {
		t.Errorf("got %+v", screen)
	}
	for i, want := range []string{
		"blue|1|3|[2/2]|1.2 kB/s|12 B/s|10|0|5",
		"host-b|198.18.0.2|reachable|1h30m|0.3ms|0%|1450\nhost-c|198.18.0.3|reachable||||\n|198.18.0.4|no agent||||",
		"Nov 29 10:00:00|repaired||rules were missing\nNov 29 10:00:00|host-joined||host host-b joined",
	} {
		if got := texts(screen.Panes[i]); got != want {
			t.Errorf("pane %d is\n%s", i, got)
		}
	}
	if c := screen.Panes[0].Rows[0].Cells[4]; !c.Known || c.Number != 1234 {
		t.Errorf("a rate is sorted by %+v", c)
	}

	host.change(func() { host.report, _ = fakeHost{}.Status() })
	if screen = s.read(); screen.Colour != output.Red || len(screen.Notices) != 14 || screen.Notices[0].Text != "VX0301 failure: network blue: no VXLAN packet passes to or from host d" {
		t.Errorf("got %+v", screen)
	}
	if r := screen.Panes[1].Rows[0]; r.Cells[0].Text != "host-c" || r.Colour != output.Red {
		t.Errorf("the first host is %+v", r)
	}
}

// What cannot be read is said, and the events that were read stay.
func TestTopWithoutAgent(t *testing.T) {
	host := newPageHost()
	s := newTopScreen(host, "1")
	s.read()
	for _, tt := range []struct {
		err           error
		summary, text string
	}{
		{agentapi.ErrNotRunning, "vxland does not run, and no container needs it", ""},
		{errors.New("ask vxland: timeout"), "1 open question", "VX0701 unknown: ask vxland: timeout"},
	} {
		host.change(func() { host.err = tt.err })
		screen := s.read()
		if !strings.HasPrefix(screen.Summary, tt.summary) || tt.text != "" && screen.Notices[0].Text != tt.text {
			t.Errorf("%v: got %+v", tt.err, screen)
		}
		if got := texts(screen.Panes[2]); !strings.Contains(got, "host host-b joined") {
			t.Errorf("%v: the events are\n%s", tt.err, got)
		}
	}
}

func TestTopNeedsATerminal(t *testing.T) {
	for args, want := range map[string]string{
		"top":                 "top: it needs a terminal that can move the cursor; use `vxlanctl status -w`",
		"top --interval 10ms": "--interval 10ms is less than 500ms",
	} {
		out, err := run(fakeHost{}, strings.Fields(args)...)
		if err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
}
