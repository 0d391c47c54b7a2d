package events

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/boottime"
)

// capacity is how many events are kept: days of a healthy host, and some 300 kB.
const capacity = 1000

// Log has the last events. Its methods may be called from any goroutine.
type Log struct {
	agent string // tells this log from that of another run of the agent

	mu    sync.Mutex
	ring  []entry
	last  uint64        // the sequence of the last event
	added chan struct{} // closed at the next event
}

// entry is an event, with its time by package boottime.
type entry struct {
	agentapi.Event
	at time.Time
}

// NewLog returns a log without events.
func NewLog() *Log { return &Log{agent: rand.Text(), added: make(chan struct{})} }

// Add adds an event, whose sequence and times are set here.
func (l *Log) Add(e agentapi.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.Sequence, e.Time = l.last, time.Now()
	added := entry{e, boottime.Now()}
	if len(l.ring) < capacity {
		l.ring = append(l.ring, added)
	} else {
		l.ring[(l.last-1)%capacity] = added
	}
	close(l.added)
	l.added = make(chan struct{})
}

// Wait returns the events that are asked for, and waits for some as long as the request says.
func (l *Log) Wait(ctx context.Context, r agentapi.EventsRequest) agentapi.EventsReport {
	ctx, cancel := context.WithTimeout(ctx, min(r.Wait, agentapi.MaxEventWait))
	defer cancel()
	for {
		report, added := l.since(r)
		if len(report.Events) > 0 || r.Wait <= 0 {
			return report
		}
		select {
		case <-added:
		case <-ctx.Done():
			return report
		}
	}
}

// since returns the events that are there, and what is closed when there are more.
func (l *Log) since(r agentapi.EventsRequest) (report agentapi.EventsReport, added <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	since := r.Since
	if r.Agent != l.agent || since > l.last {
		since = 0
	}
	report = agentapi.EventsReport{Agent: l.agent, Events: []agentapi.Event{}}
	oldest := l.last - uint64(len(l.ring)) // is the last that is gone
	if since < oldest {
		if r.Agent == l.agent {
			report.Lost = oldest - since
		}
		since = oldest
	}
	now := boottime.Now()
	for i := since; i < l.last; i++ {
		e := l.ring[i%capacity]
		e.Age = now.Sub(e.at)
		report.Events = append(report.Events, e.Event)
	}
	return report, l.added
}

// Recent returns the events of a kind that are not older than age.
func (l *Log) Recent(kind agentapi.EventKind, age time.Duration) []agentapi.Event {
	report, _ := l.since(agentapi.EventsRequest{})
	return slices.DeleteFunc(report.Events, func(e agentapi.Event) bool { return e.Kind != kind || e.Age > age })
}
