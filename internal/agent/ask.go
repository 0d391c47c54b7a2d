package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/membership"
)

// identity returns this host as others see it.
func (a *Agent) identity() agentapi.HostIdentity {
	name, _ := os.Hostname()
	id := agentapi.HostIdentity{Name: membership.HostName(name), ID: a.HostID.String()}
	for _, addr := range slices.SortedFunc(maps.Keys(a.clusters.ByAddress()), netip.Addr.Compare) {
		if addr.IsValid() {
			id.Addrs = append(id.Addrs, addr)
		}
	}
	return id
}

// knownHosts returns the other hosts, each as often as clusters know it and by each of its addresses.
func (a *Agent) knownHosts() (known []knownHost) {
	for _, m := range a.clusters.All() {
		for _, h := range m.Snapshot().Hosts {
			known = append(known, knownHost{*h, m})
		}
	}
	return known
}

// handleHosts lists this host, and then the others once each, by an address that answers if one does.
func (a *Agent) handleHosts() agentapi.Response {
	own := a.ownStatus()
	agents, perID := a.otherAgents()
	own.SharesID = perID[a.HostID] > 0
	hosts := make([]agentapi.HostStatus, 0, 1+len(agents))
	hosts = append(hosts, own)
	answering := a.hostsToAsk()
	for _, h := range agents {
		status := hostStatus(h.member, h.Host, boottime.Now())
		status.CannotBeAsked = !answering[h.ID]
		status.SharesID = perID[h.ID] > 1 || h.ID == a.HostID
		hosts = append(hosts, status)
	}
	return agentapi.Response{Hosts: hosts}
}

// hostsToAsk are those to which a control plane carries questions, if they are reachable by it.
func (a *Agent) hostsToAsk() map[cluster.HostID]bool {
	ids := make(map[cluster.HostID]bool)
	for _, h := range a.knownHosts() {
		if _, ok := h.member.Plane.(cluster.Asker); ok {
			ids[h.ID] = true
		}
	}
	return ids
}

// otherAgents returns the agents of other hosts, and how many there are of each ID: of a host that
// was copied from another, both.
func (a *Agent) otherAgents() (agents []knownHost, perID map[cluster.HostID]int) {
	known, ownAddrs := a.knownHosts(), a.identity().Addrs
	slices.SortStableFunc(known, func(x, y knownHost) int { return x.Compare(y.Host) })
	indexes := make(map[cluster.HostID][]int)
	perID = make(map[cluster.HostID]int)
	for _, h := range known {
		// This host itself may still be known by an address that it had.
		if h.ID == a.HostID && (!h.Reachable() || slices.Contains(ownAddrs, h.Addr)) {
			continue
		}
		same := slices.IndexFunc(indexes[h.ID], func(i int) bool { return isSameAgent(agents[i].Host, h.Host) })
		switch {
		case same < 0:
			indexes[h.ID] = append(indexes[h.ID], len(agents))
			agents = append(agents, h)
			perID[h.ID]++
		case h.Reachable() && !agents[indexes[h.ID][same]].Reachable():
			agents[indexes[h.ID][same]] = h
		}
	}
	return agents, perID
}

// isSameAgent tells whether two hosts of one ID are one host by two of its addresses. A host has each
// network at one address only.
func isSameAgent(a, b cluster.Host) bool {
	if a.Addr == b.Addr || !a.Reachable() || !b.Reachable() {
		return true
	}
	return a.Name == b.Name && !slices.ContainsFunc(a.Memberships, func(m cluster.Membership) bool {
		return slices.ContainsFunc(b.Memberships, func(o cluster.Membership) bool { return o.Network == m.Network })
	})
}

// ownStatus is this host, for people.
func (a *Agent) ownStatus() agentapi.HostStatus {
	self := a.identity()
	own := agentapi.HostStatus{ID: self.ID, Self: true, Name: self.Name, HostName: self.Name, Reachable: true}
	if len(self.Addrs) > 0 {
		own.Addr = self.Addrs[0]
		own.Name = cluster.Host{Name: self.Name, Addr: own.Addr}.Label()
	}
	return own
}

// handleAsk asks the agent of a host, which may be this one.
func (a *Agent) handleAsk(ctx context.Context, r agentapi.Request) agentapi.Response {
	if r.Asked == nil || !r.Asked.Verb.AllowedFromHosts() {
		return agentapi.Response{Error: "ask host: the request asks for nothing that other hosts answer"}
	}
	question, err := json.Marshal(r.Asked)
	if err != nil {
		return errorResponse(fmt.Errorf("ask host: %w", err))
	}
	hosts, err := a.findHostToAsk(r.Host)
	if err != nil {
		return errorResponse(fmt.Errorf("ask host: %w", err))
	}
	var answer []byte
	if hosts[0].member == nil {
		answer, err = a.answerHost(ctx, question)
	} else {
		answer, err = askByAny(ctx, hosts, question)
	}
	if err == nil && !json.Valid(answer) {
		err = fmt.Errorf("host %s: its answer cannot be read", hosts[0].Label())
	}
	if err != nil {
		return errorResponse(err)
	}
	return agentapi.Response{Stream: agentapi.StreamFunc(func(w *agentapi.ResponseWriter) { // no copy of a megabyte
		w.Fields(agentapi.Response{Host: hosts[0].Label()})
		w.JSON("answer", answer)
	})}
}

// findHostToAsk returns the host that a person means. This host, which may be meant, too, is in no
// cluster of others.
func (a *Agent) findHostToAsk(name string) ([]knownHost, error) {
	self, known := a.identity(), a.knownHosts()
	own := cluster.Host{ID: a.HostID, Name: self.Name}
	if len(self.Addrs) == 0 {
		known = append(known, knownHost{Host: own})
	}
	for _, own.Addr = range self.Addrs {
		known = append(known, knownHost{Host: own})
	}
	return findHostToAsk(known, name)
}

// askByAny asks a host by its addresses in turn, until it has answered by one. A host of a network that moves is
// known by two control planes, of which one may carry no questions.
func askByAny(ctx context.Context, addresses []knownHost, question []byte) (answer []byte, err error) {
	err = fmt.Errorf("ask host %s: %w", addresses[0].Label(), agentapi.ErrCannotBeAsked)
	for _, h := range addresses {
		asker, ok := h.member.Plane.(cluster.Asker)
		if !ok {
			continue
		}
		if answer, err = asker.Ask(ctx, h.Host, question); err == nil {
			return answer, nil
		}
	}
	return nil, err
}

// findHostToAsk returns the host that a person means, by each of its addresses that answers.
func findHostToAsk(known []knownHost, name string) (answering []knownHost, err error) {
	var called []knownHost
	for _, h := range known {
		if !isNameOf(h.Host, name) && h.ID.String() != name {
			continue
		}
		called = append(called, h)
		if h.Reachable() {
			answering = append(answering, h)
		}
	}
	switch {
	case len(called) == 0:
		return nil, fmt.Errorf("no host is called %q; `vxlanctl host ls` lists them", name)
	case len(answering) == 0:
		return nil, fmt.Errorf("host %s is unreachable", called[0].Label())
	case slices.ContainsFunc(answering, func(h knownHost) bool { return h.ID != answering[0].ID }):
		return nil, fmt.Errorf("several hosts are called %q; give the address of one: %s", name, joinLabels(answering))
	}
	return answering, nil
}

// answerHost answers a question of another host's agent.
func (a *Agent) answerHost(ctx context.Context, question []byte) ([]byte, error) {
	var r agentapi.Request
	if err := json.Unmarshal(question, &r); err != nil {
		return nil, errors.New("the question cannot be read")
	}
	if !r.Verb.AllowedFromHosts() {
		return nil, fmt.Errorf("the question %.40q is not for other hosts, or this vxland is too old for it", r.Verb)
	}
	if r.Events != nil {
		r.Events.Wait = 0 // whoever waits keeps others from being answered
	}
	return marshalAnswer(a.handleRequest(ctx, r))
}

// maxAnswer is how many bytes an answer to another host has at most. Each plane can carry as many.
const maxAnswer = 1_000_000

// marshalAnswer makes a report brief that would be too large, and says so.
func marshalAnswer(r agentapi.Response) ([]byte, error) {
	if r.Stream != nil {
		return nil, errors.New("the answer is too large for other hosts; type the command on that host")
	}
	answer, err := json.Marshal(r)
	if err != nil || len(answer) <= maxAnswer {
		return answer, err
	}
	if r.Status == nil {
		return nil, fmt.Errorf("the answer has %d bytes, at most %d are allowed; type the command on that host",
			len(answer), maxAnswer)
	}
	brief := r.Status.Brief()
	brief.Warnings = append(slices.Clip(brief.Warnings), tooLargeReport)
	r.Status = &brief
	for most := maxFaultyHosts; most > 0; most /= 2 {
		for i := range brief.Clusters {
			hosts := &brief.Clusters[i].Hosts
			*hosts = (*hosts)[:min(most, len(*hosts))]
		}
		if answer, err = json.Marshal(r); err != nil || len(answer) <= maxAnswer {
			break
		}
	}
	return answer, err
}

// maxFaultyHosts is how many hosts of a cluster are left of a report that was too large: so many of
// them have a fault that one more says nothing new. If it is too large still, fewer are left.
const maxFaultyHosts = 1000

const tooLargeReport = "this report was too large to be told to another host, and does not list all hosts; type " +
	"vxlanctl status on this host"
