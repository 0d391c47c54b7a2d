package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
)

// turn makes things be as they should, and tells whether the store is empty.
func (a *Agent) turn(ctx context.Context, what scope) (empty bool, err error) {
	s, err := a.Driver.Begin()
	if err != nil {
		return false, err
	}
	a.arrivals.begin()
	locals, empty, err := a.underLock(ctx, s, what)
	if closeErr := s.Close(); closeErr != nil {
		return empty, errors.Join(err, closeErr)
	}
	err = errors.Join(err, a.answerNames(locals))
	a.tellings.trim()
	a.arrivals.keep(locals, err)
	a.remember(locals)
	return empty, err
}

func (a *Agent) underLock(ctx context.Context, s *hoststate.Session, what scope) (locals []hoststate.Network, empty bool, err error) {
	empty, err = s.Empty()
	if err != nil {
		return nil, false, err
	}
	locals, err = s.Networks()
	if what == named {
		return locals, empty, errors.Join(err, a.tellAll(a.parts(locals)))
	}
	// Before a cluster starts, since that opens a port to which containers must not come.
	changed, meetErr := a.meetAll(s, locals)
	errs := []error{err, meetErr}
	switch {
	case what >= all:
		errs = append(errs, s.Reconcile(locals, hoststate.ScopeFull))
	case changed:
		errs = append(errs, s.Reconcile(locals, hoststate.ScopePeers))
	}
	errs = append(errs, a.publish(ctx, locals), a.recall(s, locals))
	// Before a network is made exact, from where on no announcement leaves the host.
	a.announce(s, locals, err != nil)
	if changed || what >= heard {
		errs = append(errs, a.forward(s, locals, what))
	}
	return locals, empty, errors.Join(errs...)
}

// publish tells each cluster what this host has, and starts those that are missing.
func (a *Agent) publish(ctx context.Context, locals []hoststate.Network) error {
	wanted := a.parts(locals)
	var errs []error
	for bind := range wanted {
		if a.clusters[bind] == nil {
			errs = append(errs, a.start(ctx, bind))
		}
	}
	return errors.Join(append(errs, a.tellAll(wanted))...)
}

// parts are this host's networks by the address of their cluster.
func (a *Agent) parts(locals []hoststate.Network) map[netip.Addr][]hoststate.Network {
	all := make(map[netip.Addr][]hoststate.Network)
	for _, l := range locals {
		if l.NeedsAgent() {
			bind := a.bind(l)
			all[bind] = append(all[bind], l)
		}
	}
	return all
}

// tellAll is publish for the clusters that are running.
func (a *Agent) tellAll(wanted map[netip.Addr][]hoststate.Network) error {
	var errs []error
	// One that nothing is wanted of any more goes on: a restart of the last container
	// would make the others forget this host and find it again.
	for bind, r := range a.clusters {
		// Those that it knew stay: without a key only they are heard.
		if len(wanted[bind]) > 0 {
			seeds := a.seeds(wanted[bind])
			r.SetSeeds(seeds)
			r.seeded.Store(slices.ContainsFunc(seeds, func(s netip.AddrPort) bool { return s.Addr() != bind }))
		}
		errs = append(errs, a.claims.announce(bind, part{r, wanted[bind], attachments(wanted[bind], &a.tellings)}))
	}
	return errors.Join(errs...)
}

// bind is the address by which the hosts of a network talk.
func (a *Agent) bind(l hoststate.Network) netip.Addr {
	if a.Config.Bind.IsValid() {
		return a.Config.Bind
	}
	return l.VTEP.Local
}

// seeds are the hosts that the networks and the configuration list.
func (a *Agent) seeds(locals []hoststate.Network) []netip.AddrPort {
	seen := make(map[netip.AddrPort]bool)
	var all []netip.AddrPort
	add := func(ap netip.AddrPort) {
		if !seen[ap] {
			seen[ap] = true
			all = append(all, ap)
		}
	}
	for _, seed := range a.Config.Seeds {
		add(seed)
	}
	for _, l := range locals {
		// Where hosts find each other the first are only where to ask.
		for _, r := range append(slices.Clone(l.Network.Remotes), l.VTEP.Remotes...) {
			if r != l.VTEP.Local {
				add(netip.AddrPortFrom(r, a.Config.Port))
			}
		}
	}
	return all
}

func (a *Agent) upstreams() []netip.AddrPort {
	if len(a.Config.Upstreams) > 0 {
		return a.Config.Upstreams
	}
	return a.Resolvers()
}

// snapshots returns what the others have in each network of this host: clusters do
// not share networks, since a network has one local address.
func (a *Agent) snapshots() others {
	return func(l hoststate.Network) cluster.Snapshot {
		if r := a.clusters[a.bind(l)]; r != nil {
			return r.Snapshot()
		}
		return cluster.Snapshot{}
	}
}

// others gives what the other hosts of a network have.
type others func(hoststate.Network) cluster.Snapshot

// remember keeps what a person may ask for.
func (a *Agent) remember(locals []hoststate.Network) {
	report := agentapi.StatusReport{Version: a.Version, Conflicts: a.conflicts(locals)}
	for _, l := range locals {
		n := agentapi.NetworkStatus{Name: l.Name, VNI: l.Tunnel.VNI, Local: len(l.Endpoints)}
		for _, m := range members(l, a.snapshots()(l)) {
			n.Members++
			n.Remote += len(m.Endpoints)
		}
		report.Networks = append(report.Networks, n)
	}
	for bind, r := range a.clusters {
		c := agentapi.ClusterStatus{Name: bind.String(), Refused: r.Refused()}
		for _, h := range r.Snapshot().Hosts {
			c.Hosts = append(c.Hosts, agentapi.HostStatus{Name: h.Name, Reachable: h.Reachable()})
		}
		report.Clusters = append(report.Clusters, c)
	}
	slices.SortFunc(report.Clusters, func(a, b agentapi.ClusterStatus) int { return strings.Compare(a.Name, b.Name) })
	a.mu.Lock()
	defer a.mu.Unlock()
	a.report = report
}
