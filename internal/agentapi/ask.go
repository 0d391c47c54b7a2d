package agentapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// askTimeout is longer than a plane takes to find out that a host does not answer.
	askTimeout = 30 * time.Second
	// maxAskedAtOnce bounds the answers that the agent holds at a time: each may have a megabyte.
	maxAskedAtOnce = 16
	// manyHosts is from how many hosts on each is asked for a brief report. All that 1,000 hosts know
	// of each other would take a gigabyte.
	manyHosts = 100
)

// HostAnswer is what a host answered, or why it did not.
type HostAnswer struct {
	Host     HostStatus
	Response Response
	Err      error
}

// Hosts returns the hosts that the agent at path knows: this one first, then the others.
func Hosts(path string) ([]HostStatus, error) {
	r, err := Call(path, Request{Verb: VerbHosts}, time.Now().Add(statusTimeout))
	return r.Hosts, err
}

// Events returns the events of the agent at path, and waits for some as long as the request says.
func Events(path string, q EventsRequest) (EventsReport, error) {
	r, err := Call(path, Request{Verb: VerbEvents, Events: &q}, time.Now().Add(q.Wait+statusTimeout))
	if err != nil || r.Events == nil {
		return EventsReport{}, err
	}
	return *r.Events, nil
}

// AskHost makes the agent at path ask another host, which may be called by its name, its address or
// its ID. Only some verbs may be asked, see AllowedFromHosts.
func AskHost(path, host string, q Request) (Response, error) {
	r, err := Call(path, Request{Verb: VerbAsk, Host: host, Asked: &q}, time.Now().Add(askTimeout))
	if err != nil {
		return Response{}, err
	}
	var answer Response
	if err := json.Unmarshal(r.Answer, &answer); err != nil {
		return Response{}, fmt.Errorf("read the answer of host %s: %w", r.Host, err)
	}
	return answer, answer.agentError()
}

// ErrCannotBeAsked is of a host that is reached by servers alone: those do not carry what one host asks another.
var ErrCannotBeAsked = errors.New("hosts do not ask each other by etcd; type the command there")

// AskAll makes the agent at path ask all hosts that it knows, this one included, and returns their
// answers in the order of Hosts. A host that is unreachable, or cannot be asked, has an error. They are asked
// at once, but for a bound.
func AskAll(path string, q Request) ([]HostAnswer, error) {
	return AskEach(path, func(HostStatus) Request { return q })
}

// StatusOfAll is AskAll for the hosts' status. In a large cluster the reports are brief.
func StatusOfAll(path string) ([]HostAnswer, error) {
	hosts, err := Hosts(path)
	if err != nil {
		return nil, err
	}
	q := Request{Verb: VerbStatus, Brief: len(hosts) > manyHosts}
	return askHosts(path, hosts, func(HostStatus) Request { return q }), nil
}

// AskEach is AskAll with a request of its own for each host.
func AskEach(path string, question func(HostStatus) Request) ([]HostAnswer, error) {
	hosts, err := Hosts(path)
	if err != nil {
		return nil, err
	}
	return askHosts(path, hosts, question), nil
}

func askHosts(path string, hosts []HostStatus, question func(HostStatus) Request) []HostAnswer {
	answers := make([]HostAnswer, len(hosts))
	tokens := make(chan struct{}, maxAskedAtOnce)
	var asking sync.WaitGroup
	for i, h := range hosts {
		answers[i].Host = h
		if !h.Reachable {
			answers[i].Err = fmt.Errorf("host %s is unreachable", h.Name)
			continue
		}
		if h.CannotBeAsked {
			answers[i].Err = fmt.Errorf("host %s: %w", h.Name, ErrCannotBeAsked)
			continue
		}
		q := question(h)
		tokens <- struct{}{}
		asking.Go(func() {
			defer func() { <-tokens }()
			answers[i].Response, answers[i].Err = AskHost(path, h.Key(), q)
		})
	}
	asking.Wait()
	return answers
}
