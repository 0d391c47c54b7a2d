package agent

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/membership"
)

// handleForgetHost takes a host that is gone for good out of its clusters, on all hosts.
func (a *Agent) handleForgetHost(ctx context.Context, name string) agentapi.Response {
	gone, err := findHostToForget(a.knownHosts(), name)
	if err != nil && a.isOwnName(name) {
		err = fmt.Errorf("%q is this host; remove its containers from the networks, and it leaves by itself", name)
	}
	if err != nil {
		return errorResponse(fmt.Errorf("forget host: %w", err))
	}
	response := agentapi.Response{Host: gone[0].Label()}
	defer a.rotateWithout(ctx, gone)
	for _, h := range gone {
		forgetter, ok := h.member.Plane.(cluster.Forgetter)
		if !ok {
			return errorResponse(fmt.Errorf("forget host: %s keeps nothing of hosts that are gone", h.member.kind.Name))
		}
		if err := forgetter.ForgetHost(h.Host); err != nil {
			return errorResponse(fmt.Errorf("forget host: %w", err))
		}
		if h.member.Health().Alone {
			response.Warning = "no other host answers either; if this host is cut off, the others do not hear of it before " +
				"it reaches them again"
		}
	}
	return response
}

// knownHost is another host, and the cluster that knows it.
type knownHost struct {
	cluster.Host
	member *clusterMember
}

// isOwnName tells whether a person may mean this host.
func (a *Agent) isOwnName(name string) bool {
	host, _ := os.Hostname()
	for bind := range a.clusters.ByAddress() {
		if isNameOf(cluster.Host{Name: membership.HostName(host), Addr: bind}, name) {
			return true
		}
	}
	return false
}

// isNameOf tells whether a person may mean a host: by its name, in which case does not matter, by an
// address in any spelling, or by both, as they are shown.
func isNameOf(h cluster.Host, name string) bool {
	if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return addr.Unmap() == h.Addr
	}
	return name != "" && (strings.EqualFold(name, h.Name) || strings.EqualFold(name, h.Label()))
}

// findHostToForget returns the host that a person means, at each of its addresses that does not
// answer. Of several hosts that are called so, it is the one that is gone. A host that answers at another
// of its addresses is there, so who gives up one of them has to say which.
func findHostToForget(known []knownHost, name string) (gone []knownHost, err error) {
	var called []knownHost
	for _, h := range known {
		if isNameOf(h.Host, name) {
			called = append(called, h)
		}
	}
	gone = unreachableOf(called)
	switch {
	case len(gone) > 0 && slices.ContainsFunc(gone, func(h knownHost) bool { return h.ID != gone[0].ID }):
		return nil, fmt.Errorf("several hosts that do not answer are called %q; give the address of one: %s", name,
			joinLabels(gone))
	case len(gone) > 0:
		answers := func(h knownHost) bool { return h.Reachable() && h.ID.Matches(gone[0].ID) }
		if at := slices.IndexFunc(called, answers); at >= 0 {
			return nil, fmt.Errorf("host %s answers at %v, and so is not gone; if it never uses an address again "+
				"that does not answer, give that: %s",
				gone[0].Name, called[at].Addr, joinLabels(gone))
		}
		return gone, nil
	case len(called) > 0:
		return nil, fmt.Errorf("host %s answers, and so is not gone; to retire it, remove its containers from the "+
			"networks, and it leaves by itself", called[0].Label())
	}
	return nil, fmt.Errorf("no host is called %q; hosts that do not answer: %s", name,
		cmp.Or(joinLabels(unreachableOf(known)), "none"))
}

func unreachableOf(hosts []knownHost) (gone []knownHost) {
	for _, h := range hosts {
		if !h.Reachable() {
			gone = append(gone, h)
		}
	}
	return gone
}

func joinLabels(hosts []knownHost) string {
	var labels []string
	for _, h := range hosts {
		labels = append(labels, h.Label())
	}
	slices.Sort(labels)
	return strings.Join(slices.Compact(labels), ", ")
}
