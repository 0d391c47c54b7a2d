package hostsetup

import (
	"errors"
	"slices"
	"sync"

	"vxlan-driver/internal/agentapi"
)

// KeyHost is what a change of keys needs of this host, by which it reaches the others.
type KeyHost interface {
	ReadFile(path string) ([]byte, error)
	WriteFile(path string, data []byte) error
	Remove(path string) error
	// Hosts returns all hosts that the agent knows, this one first.
	Hosts() ([]agentapi.HostStatus, error)
	// AskHost asks the agent of a host, which may be this one, by its ID.
	AskHost(id string, r agentapi.Request) (agentapi.Response, error)
	// ForgetHost takes a host that is gone for good out of its cluster. It returns the host's whole
	// name, and a warning.
	ForgetHost(name string) (host, warning string, err error)
}

// HostKeys is which keys a host has, or why that is not known.
type HostKeys struct {
	Host agentapi.HostStatus
	agentapi.KeysReport
	Err error
}

// AllKeys asks all hosts for their keys.
func AllKeys(h KeyHost) ([]HostKeys, error) {
	hosts, err := h.Hosts()
	if err != nil {
		return nil, err
	}
	request, err := agentapi.NewRequest(agentapi.VerbKeys, nil)
	if err != nil {
		return nil, err
	}
	return askKeys(h, withKey(hosts), request), nil
}

// withKey leaves out hosts that are known by etcd alone, and so are in no cluster that has a key.
func withKey(hosts []agentapi.HostStatus) []agentapi.HostStatus {
	return slices.DeleteFunc(slices.Clone(hosts), func(h agentapi.HostStatus) bool { return h.CannotBeAsked })
}

// maxAskedAtOnce bounds the questions that are under way.
const maxAskedAtOnce = 16

// askKeys sends a request to hosts, some at a time, and returns what keys they have then.
func askKeys(h KeyHost, hosts []agentapi.HostStatus, request agentapi.Request) []HostKeys {
	all := make([]HostKeys, len(hosts))
	room := make(chan struct{}, maxAskedAtOnce)
	var asking sync.WaitGroup
	for i, host := range hosts {
		all[i].Host = host
		if !host.Reachable {
			all[i].Err = errors.New("does not answer")
			continue
		}
		room <- struct{}{}
		asking.Go(func() {
			defer func() { <-room }()
			response, err := h.AskHost(host.ID, request)
			if err == nil {
				all[i].KeysReport, err = agentapi.ReadData[agentapi.KeysReport](response)
			}
			all[i].Err = err
		})
	}
	asking.Wait()
	return all
}
