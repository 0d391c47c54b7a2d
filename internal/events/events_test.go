package events

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/agentapi"
)

func add(l *Log, texts ...string) {
	for _, text := range texts {
		l.Add(agentapi.Event{Kind: agentapi.EventRepaired, Text: text})
	}
}

// texts are the events of a report with their sequences.
func texts(r agentapi.EventsReport) (s string) {
	for _, e := range r.Events {
		s += fmt.Sprintf("%d:%s ", e.Sequence, e.Text)
	}
	return s
}

func TestEventsSince(t *testing.T) {
	l := NewLog()
	now := func(agent string, since uint64) agentapi.EventsReport {
		return l.Wait(t.Context(), agentapi.EventsRequest{Agent: agent, Since: since})
	}
	if r := now("", 0); texts(r) != "" || r.Events == nil || r.Agent == "" {
		t.Errorf("an empty log: %+v", r)
	}
	add(l, "a", "b", "c")
	agent := now("", 0).Agent
	for _, tt := range []struct {
		agent string
		since uint64
		want  string
	}{
		{"", 0, "1:a 2:b 3:c "},
		{agent, 0, "1:a 2:b 3:c "},
		{agent, 1, "2:b 3:c "},
		{agent, 3, ""},
		{"another run", 2, "1:a 2:b 3:c "}, // which counted anew
		{agent, 99, "1:a 2:b 3:c "},
	} {
		if r := now(tt.agent, tt.since); texts(r) != tt.want || r.Lost != 0 {
			t.Errorf("since %d of %q: got %q, %d lost", tt.since, tt.agent, texts(r), r.Lost)
		}
	}
	if NewLog().agent == agent {
		t.Error("two logs cannot be told apart")
	}
}

// The oldest events go, and whoever had not seen them hears of it.
func TestLogIsBounded(t *testing.T) {
	l := NewLog()
	for i := range capacity + 50 {
		add(l, fmt.Sprint(i+1))
	}
	r := l.Wait(t.Context(), agentapi.EventsRequest{Agent: l.agent, Since: 20})
	if len(r.Events) != capacity || r.Lost != 30 || r.Events[0].Sequence != 51 || r.Events[0].Text != "51" || r.Events[capacity-1].Text != fmt.Sprint(capacity+50) {
		t.Errorf("%d events, %d lost, the first is %+v", len(r.Events), r.Lost, r.Events[0])
	}
	if r := l.Wait(t.Context(), agentapi.EventsRequest{Agent: l.agent, Since: capacity + 48}); texts(r) != fmt.Sprintf("%d:%[1]d %d:%[2]d ", capacity+49, capacity+50) || r.Lost != 0 {
		t.Errorf("got %q, %d lost", texts(r), r.Lost)
	}
	if r := l.Wait(t.Context(), agentapi.EventsRequest{}); r.Lost != 0 {
		t.Errorf("somebody who asks for the first time misses %d", r.Lost)
	}
}

// Who waits hears of an event at once, and otherwise nothing after the time.
func TestWaitForEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLog()
		add(l, "a")
		wait := func(ctx context.Context, d time.Duration) (string, time.Duration) {
			began := time.Now()
			r := l.Wait(ctx, agentapi.EventsRequest{Agent: l.agent, Since: 1, Wait: d})
			return texts(r), time.Since(began)
		}
		if got, took := wait(t.Context(), 5*time.Second); got != "" || took != 5*time.Second {
			t.Errorf("got %q after %v", got, took)
		}
		if got, took := wait(t.Context(), time.Hour); got != "" || took != agentapi.MaxEventWait {
			t.Errorf("got %q after %v", got, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, took := wait(ctx, 5*time.Second); got != "" || took != time.Second {
			t.Errorf("got %q after %v", got, took)
		}
		time.AfterFunc(2*time.Second, func() { add(l, "b") })
		if got, took := wait(t.Context(), 5*time.Second); got != "2:b " || took != 2*time.Second {
			t.Errorf("got %q after %v", got, took)
		}
		time.Sleep(time.Minute)
		if r := l.Wait(t.Context(), agentapi.EventsRequest{}); r.Events[1].Age != time.Minute {
			t.Errorf("the age is %v", r.Events[1].Age)
		}
	})
}
