package ctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/agentapi"
)

// fakeEvents is an agent with some events, and others that may answer.
type fakeEvents struct {
	fakeHost
	mu       sync.Mutex
	reports  []agentapi.EventsReport // of this host, one after the other
	others   []agentapi.HostAnswer
	requests []agentapi.EventsRequest
	missing  string
}

func (h *fakeEvents) Events(r agentapi.EventsRequest) (agentapi.EventsReport, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, r)
	if len(h.reports) == 0 {
		return agentapi.EventsReport{}, h.err
	}
	next := h.reports[0]
	h.reports = h.reports[1:]
	if next.Agent == "" {
		return next, agentapi.ErrNotRunning
	}
	return next, nil
}

func (h *fakeEvents) AskEach(question func(agentapi.HostStatus) agentapi.Request) ([]agentapi.HostAnswer, error) {
	for _, a := range h.others {
		h.requests = append(h.requests, *question(a.Host).Events)
	}
	return h.others, h.err
}

func (h *fakeEvents) Wait(ctx context.Context, r agentapi.WaitRequest) (string, error) {
	if h.missing != "" {
		<-ctx.Done()
	}
	return h.missing, h.err
}

func (fakeHost) Events(agentapi.EventsRequest) (agentapi.EventsReport, error) {
	return agentapi.EventsReport{}, nil
}

func (fakeHost) AskEach(func(agentapi.HostStatus) agentapi.Request) ([]agentapi.HostAnswer, error) {
	return nil, nil
}

func (fakeHost) Wait(context.Context, agentapi.WaitRequest) (string, error) { return "", nil }

func event(sequence uint64, kind agentapi.EventKind, age time.Duration, text string) agentapi.Event {
	return agentapi.Event{Sequence: sequence, Kind: kind, Age: age, Text: text, Time: time.Date(2026, 11, 29, 10, 0, 0, 0, time.Local)}
}

// run runs a command, and returns what it prints on both outputs.
func runEvents(h *fakeEvents, args ...string) (out, notes string, err error) {
	var stdout, stderr bytes.Buffer
	c := Command(h, "1", &stdout)
	c.SetErr(&stderr)
	c.SetArgs(args)
	err = c.Execute()
	return stdout.String(), stderr.String(), err
}

func TestEvents(t *testing.T) {
	repaired := event(3, agentapi.EventRepaired, time.Minute, "firewall: rules were missing\x1b[31m")
	repaired.Code, repaired.Fields = "VX0501", map[string]string{agentapi.FieldBy: "nft (process 7)"}
	here := agentapi.EventsReport{Agent: "x", Host: "a (198.18.0.1)", Lost: 2, Events: []agentapi.Event{
		event(2, agentapi.EventHostJoined, time.Hour, "host b (198.18.0.2) joined"), repaired,
	}}
	there := agentapi.EventsReport{Agent: "y", Host: "b (198.18.0.2)", Events: []agentapi.Event{event(9, agentapi.EventHostBack, 10*time.Minute, "host a (198.18.0.1) is back")}}
	answer := func(r agentapi.EventsReport) agentapi.HostAnswer {
		return agentapi.HostAnswer{Host: agentapi.HostStatus{ID: r.Agent, Name: r.Host}, Response: agentapi.Response{Events: &r}}
	}
	const joined = "Nov 29 10:00:00 host-joined: host b (198.18.0.2) joined\n"
	const rules = "Nov 29 10:00:00 repaired: firewall: rules were missing�[31m [VX0501]\n"
	const lost = "# 2 events of host a (198.18.0.1) came too fast, and are only in its journal\n"
	for _, tt := range []struct{ args, want, notes, fail string }{
		{"events", joined + rules, lost, ""},
		{"events --kind repaired", rules, lost, ""},
		{"events --kind host-* --kind conflict-began", joined, lost, ""},
		{"events --since 30m", rules, lost, ""},
		{"events --kind lost", "", "", `--kind "lost": there is no such kind; there are agent-started`},
		{"events --format {{.Kind}}={{.Fields.by}} --kind repaired", "repaired=nft (process 7)\n", lost, ""},
		{"events --format json --kind host-joined", `{"schema":1,"host":"a (198.18.0.1)","sequence":2,"kind":"host-joined","text":"host b (198.18.0.2) joined","age":3600000000000,` +
			`"time":"` + here.Events[0].Time.Format(time.RFC3339) + "\"}\n", lost, ""},
		{"events --all", strings.Replace(joined, " host-", " a (198.18.0.1) host-", 1) + "Nov 29 10:00:00 b (198.18.0.2) host-back: host a (198.18.0.1) is back\n" +
			strings.Replace(rules, " repaired", " a (198.18.0.1) repaired", 1), lost + "# host c is unreachable\n# host d tells no events\n" +
			"# 1 host not asked: hosts do not ask each other by etcd; type the command there\n", ""},
		{"events x", "", "", "is one too many"},
	} {
		h := &fakeEvents{reports: []agentapi.EventsReport{here}, others: []agentapi.HostAnswer{
			answer(here), answer(there), {Err: errors.New("host c is unreachable")}, {Host: agentapi.HostStatus{Name: "d"}},
			{Err: fmt.Errorf("host e: %w", agentapi.ErrCannotBeAsked)},
		}}
		out, notes, err := runEvents(h, strings.Fields(tt.args)...)
		if out != tt.want || notes != tt.notes || (err == nil) != (tt.fail == "") || err != nil && !strings.Contains(err.Error(), tt.fail) {
			t.Errorf("%s:\ngot\n%s%s%v\nwant\n%s%s%s", tt.args, out, notes, err, tt.want, tt.notes, tt.fail)
		}
	}
	h := &fakeEvents{fakeHost: fakeHost{err: agentapi.ErrNotRunning}}
	if _, _, err := runEvents(h, "events"); err == nil || err.Error() != "events: vxland does not run" || ExitCode(err) != 1 {
		t.Errorf("without an agent: %v", err)
	}
}

// Who follows sees each event once, also over a restart of the agent, which counts anew.
func TestFollowEvents(t *testing.T) {
	for _, flag := range []string{"-f", "-w"} {
		t.Run(flag, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { followEvents(t, flag) }) })
	}
}

func followEvents(t *testing.T, flag string) {
	report := func(agent string, events ...agentapi.Event) agentapi.EventsReport {
		return agentapi.EventsReport{Agent: agent, Host: "a", Events: events}
	}
	one := func(sequence uint64, text string) agentapi.Event {
		return event(sequence, agentapi.EventRepaired, 0, text)
	}
	h := &fakeEvents{fakeHost: fakeHost{err: errors.New("the end")}, reports: []agentapi.EventsReport{
		report("x", one(1, "first"), one(2, "second")), report("x", one(3, "third")), report("x"), {}, {}, report("y", one(1, "anew")),
	}}
	out, notes, err := runEvents(h, "events", flag, "--format", "{{.Text}}")
	if out != "first\nsecond\nthird\nanew\n" || notes != "# the agent (vxland) does not run; waiting for it\n" || err == nil || err.Error() != "events: the end" {
		t.Errorf("got %q, %q, %v", out, notes, err)
	}
	var asked []string
	for _, r := range h.requests {
		asked = append(asked, fmt.Sprintf("%s%d %v", r.Agent, r.Since, r.Wait))
	}
	if got, want := strings.Join(asked, ", "), "0 0s, x2 30s, x3 30s, x3 30s, x3 30s, x3 30s, y1 30s"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}

func TestWait(t *testing.T) {
	for _, tt := range []struct {
		args, missing, fail string
		code                int
	}{
		{"wait ready", "", "", 0},
		{"wait host b --timeout 1ms", "", "", 0},
		{"wait host b --timeout 1ms", "host b is unreachable", "wait: 1ms are over, and host b is unreachable", 1},
		{"wait host b -q --timeout 1ms", "host b is unreachable", "exit status 1", 1},
		{"wait names web --timeout 1ms", "no network of this host has the name \"web\"", "has the name \"web\"", 1},
		{"wait network", "", "wait network: an argument is missing", 2},
		{"wait ready now", "", "is one too many", 2},
		{"wait ready --timeout 0s", "", "must be more than 0", 2},
		{"wait forever", "", `unknown command "forever"`, 2},
	} {
		_, _, err := runEvents(&fakeEvents{missing: tt.missing}, strings.Fields(tt.args)...)
		if ExitCode(err) != tt.code || err != nil && !strings.Contains(err.Error(), tt.fail) {
			t.Errorf("%s: got %v, %d", tt.args, err, ExitCode(err))
		}
	}
}
