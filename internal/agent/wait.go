package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/dns"
)

// broadcast wakes up whoever waits for the end of a turn.
type broadcast struct {
	mu sync.Mutex
	c  chan struct{}
}

// Next returns a channel that is closed at the next Send.
func (b *broadcast) Next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c == nil {
		b.c = make(chan struct{})
	}
	return b.c
}

// Send wakes up all that wait.
func (b *broadcast) Send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c != nil {
		close(b.c)
		b.c = nil
	}
}

// handleWait answers as soon as something is there, or when the time is over.
func (a *Agent) handleWait(ctx context.Context, r *agentapi.WaitRequest) agentapi.Response {
	if r == nil {
		return agentapi.Response{Error: "wait: the request says not for what"}
	}
	waiting, cancel := context.WithTimeout(ctx, min(r.Timeout, agentapi.MaxWait))
	defer cancel()
	for {
		turnEnded := a.turnEnded.Next()
		missing, err := a.missing(*r)
		if err != nil || missing == "" {
			return errorResponse(err)
		}
		select {
		case <-turnEnded:
		case <-waiting.Done():
			return agentapi.Response{Missing: missing}
		}
	}
}

// missing says what is still missing of something that somebody waits for.
func (a *Agent) missing(r agentapi.WaitRequest) (string, error) {
	switch r.For {
	case agentapi.GoalReady:
		return a.missingForReady(), nil
	case agentapi.GoalHost:
		if _, err := a.findHostToAsk(r.Name); err != nil {
			return err.Error(), nil
		}
		return "", nil
	case agentapi.GoalNetwork:
		if !slices.ContainsFunc(a.status.Networks(), func(n agentapi.NetworkStatus) bool { return n.Name == r.Name }) {
			return fmt.Sprintf("no container on this host uses network %q", r.Name), nil
		}
		return a.missingForReady(), nil
	case agentapi.GoalNames:
		if !a.dns.Answers(r.Name) {
			return fmt.Sprintf("no network of this host has the name %q", r.Name), nil
		}
		return "", nil
	}
	return "", fmt.Errorf("wait: %q is nothing to wait for", r.For)
}

// missingForReady says why this host is not set up completely.
func (a *Agent) missingForReady() string {
	if problem := a.status.Unready(); problem != "" {
		return problem
	}
	for bind, m := range a.clusters.ByAddress() {
		if !m.Health().Synced {
			return fmt.Sprintf("cluster of %s: it is not known yet what the other hosts have", a.clusters.nameOf(bind))
		}
	}
	return ""
}

// Answers tells whether the last turn gave the name server a name. The domain is optional.
func (f *dnsFeed) Answers(name string) bool {
	name = strings.TrimSuffix(strings.TrimSuffix(name, "."), "."+dns.SearchDomain)
	isNamed := func(r dns.Record) bool {
		return slices.ContainsFunc(r.Names, func(n string) bool { return strings.EqualFold(n, name) })
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, z := range f.zones {
		if slices.ContainsFunc(z.Records, isNamed) {
			return true
		}
		for _, group := range z.Remote {
			if slices.ContainsFunc(group.Records, isNamed) {
				return true
			}
		}
	}
	return slices.ContainsFunc(f.added, func(e addedRecord) bool { return isNamed(e.record) })
}
