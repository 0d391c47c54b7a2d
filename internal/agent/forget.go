package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
)

// handleForgetHost takes a host that is gone for good out of its cluster, on all hosts.
func (a *Agent) handleForgetHost(name string) agentapi.Response {
	var known []knownHost
	for _, m := range a.clusters.All() {
		for _, h := range m.Snapshot().Hosts {
			known = append(known, knownHost{h, m})
		}
	}
	h, err := findHostToForget(known, name)
	if err != nil {
		return errorResponse(fmt.Errorf("forget host: %w", err))
	}
	forgetter, ok := h.member.Plane.(cluster.Forgetter)
	if !ok {
		return errorResponse(fmt.Errorf("forget host: %s keeps nothing of hosts that are gone", a.Plane.Name))
	}
	if err := forgetter.ForgetHost(h.Host); err != nil {
		return errorResponse(fmt.Errorf("forget host: %w", err))
	}
	response := agentapi.Response{Host: h.Name}
	if h.member.Health().Alone {
		response.Warning = "no other host answers either; if this host is cut off, the others do not hear of it before it reaches them again"
	}
	return response
}

// knownHost is another host, and the cluster that knows it.
type knownHost struct {
	cluster.Host
	member *clusterMember
}

// isCalled tells whether a person may mean the host: by its whole name, the part of it that is the
// host name, or its address.
func (h knownHost) isCalled(name string) bool {
	hostName, _, _ := strings.Cut(h.Name, ".")
	return name == h.Name || name == hostName || name == h.Addr.String()
}

// findHostToForget returns the host that a person means. Of several that are called so, it is the
// one that does not answer.
func findHostToForget(known []knownHost, name string) (knownHost, error) {
	var called, gone []knownHost
	for _, h := range known {
		if h.isCalled(name) {
			called = append(called, h)
		}
	}
	// A whole name is meant before a part of another.
	if exact := slices.IndexFunc(called, func(h knownHost) bool { return h.Name == name }); exact >= 0 {
		called = called[exact : exact+1]
	}
	for _, h := range called {
		if !h.Reachable() {
			gone = append(gone, h)
		}
	}
	switch {
	case len(gone) == 1:
		return gone[0], nil
	case len(gone) > 1:
		return knownHost{}, fmt.Errorf("several hosts that do not answer are called %q; type one of %s", name, joinNames(gone))
	case len(called) > 0:
		return knownHost{}, fmt.Errorf("host %s answers, and so is not gone; to retire it, remove its containers from the networks, and it leaves by itself", called[0].Name)
	}
	for _, h := range known {
		if !h.Reachable() {
			gone = append(gone, h)
		}
	}
	return knownHost{}, fmt.Errorf("no host is called %q; hosts that do not answer: %s", name, cmp.Or(joinNames(gone), "none"))
}

func joinNames(hosts []knownHost) string {
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
