package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"vxlan-driver/internal/addrclaim"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/network"
)

// turn brings the host in step with its store and the other hosts, as far as the scope says. It
// tells whether the store is empty.
func (a *Agent) turn(ctx context.Context, what scope) (empty bool, err error) {
	repair, err := a.repairScopeOf(what)
	if err != nil {
		return false, err
	}
	s, err := a.Host.Begin()
	if err != nil {
		return false, err
	}
	// Of news of other hosts there are many, and they are no reason to look at each container.
	s.TrustDirs(what == scopeForwarding && !a.checkDevices)
	a.dns.BeginTurn()
	followed := a.clusters.Snapshots() // the turn reads these or later ones
	networks, empty, peersChanged, err := a.turnLocked(ctx, s, what, repair)
	closeErr := s.Close()
	if a.findRepairs != nil {
		a.reportRepairs(a.findRepairs(), networks)
		a.findRepairs = nil
	}
	if closeErr != nil {
		return empty, errors.Join(err, closeErr)
	}
	a.networks = networks
	a.forwarder.Follow(networks, what)
	err = errors.Join(err, a.setEncryptionPeers())
	// Names come first: forwarding waits for the lock, and meanwhile networks may go.
	err = errors.Join(err, a.dns.UpdateZones(networks))
	a.dns.EndTurn(networks, err)
	if peersChanged || what >= scopeForwarding {
		err = errors.Join(err, a.forward(followed))
	}
	if what >= scopePublish {
		a.tunnels.UpdatePeers(networks, a.forwarder.RosterOf)
	}
	a.foreignFilters.Follow(networks, what)
	a.status.UpdateReport(networks)
	a.hosts.Update()
	return empty, err
}

// forward sets forwarding entries, and tells the other hosts once this one follows what they said.
func (a *Agent) forward(followed map[*clusterMember]cluster.Snapshot) error {
	err := a.forwarder.Forward(a.Host)
	a.forwardMore = nil
	if after, pending := a.forwarder.Pending(); pending {
		a.forwardMore = time.After(after)
	}
	a.followed = followed
	a.noteSettled()
	// If it failed, to wait would not help either.
	if !a.forwarder.IsBehind() && !a.peers.IsBehind() && !a.firewallUnfinished {
		for m, snapshot := range followed {
			if c, ok := m.Plane.(cluster.Confirmer); ok {
				c.Acknowledge(snapshot)
			}
		}
	}
	return err
}

// turnLocked is the part of a turn that holds the store's lock. It tells whether peers of networks
// have changed.
func (a *Agent) turnLocked(ctx context.Context, s *hoststate.Session, what scope,
	repair repairScope) (networks []hoststate.Network, empty, peersChanged bool, err error) {
	var orphansErr error
	leavesRepair := what >= scopePublish && a.leavesRepair(s)
	// News of other hosts are no reason to look for orphans, which takes a look at each container.
	if what >= scopePublish && !leavesRepair && (what != scopeForwarding || a.checkDevices) {
		orphansErr = s.DropOrphans()
	}
	empty, err = s.Empty()
	if err != nil {
		return a.networks, false, false, err
	}
	usersErr := a.recordUsers(s) // before the networks are read, whose firewall elements have them
	networks, err = s.NetworksSince(a.networks)
	if s.AllKnown() {
		a.confirmer.Retain(networks)
	}
	a.followEncryption(ctx, networks, s.AllKnown(), what >= scopeFull || a.checkDevices)
	if what == scopeDNS {
		return networks, empty, false, errors.Join(err, a.publish(a.clusters.GroupByCluster(networks)))
	}
	// The kernel comes before clusters start: a cluster opens a port that the firewall must keep
	// containers from.
	peersChanged, peersErr := a.peers.UpdatePeers(s, networks)
	errs := []error{orphansErr, usersErr, err, peersErr, a.encryptionErrors(networks)}
	switch {
	case a.rules.aside:
	case what >= scopeFull:
		errs = append(errs, a.reconcile(s, networks, repair, peersChanged))
	case peersChanged || a.checkDevices:
		errs = append(errs, a.reconcile(s, networks, repair, peersChanged))
	}
	if a.checkDevices {
		errs = append(errs, a.neighbours.Look(s))
	}
	a.checkDevices = false
	errs = append(errs, a.updateOwnAddress(s, what), a.startClusters(ctx, s, networks, s.AllKnown()),
		a.announcer.RequeueRecent(s, networks))
	// Announcements come before forwarding: once all MACs of a network are known to the kernel, no
	// announcement leaves the host.
	a.announcer.AnnouncePending(s, networks, err != nil)
	return networks, empty, peersChanged, errors.Join(errs...)
}

// recordUsers keeps for whoever sets the firewall which users the configuration allows to send what only
// root may. That is once in the agent's life: it has another configuration only after it started anew.
func (a *Agent) recordUsers(s *hoststate.Session) error {
	if a.usersRecorded {
		return nil
	}
	ids, err := a.Config.AllowedUserIDs()
	if err != nil {
		a.Log.Warn("some users are not allowed to send to the VXLAN port and to agents", "err", err)
	}
	err = s.SetAllowedUsers(ids)
	a.usersRecorded = err == nil
	return err
}

// verifyInterval is how long the firewall's elements are not looked at again. Containers that come
// and go cause full turns all the time, and need no look at all elements.
const verifyInterval = 2 * time.Second

// repairScope is how much of the host a turn looks at, and how the firewall differed before that.
type repairScope struct {
	hoststate.Scope
	drift *hoststate.FirewallDrift
}

// repairScopeOf returns how much of the host a turn looks at, if it looks at all. The firewall's
// elements are read before the turn takes the lock. There are thousands, and mostly nothing is wrong.
func (a *Agent) repairScopeOf(what scope) (repairScope, error) {
	if what < scopeFull {
		return repairScope{Scope: hoststate.ScopePeers}, nil
	}
	if wait := verifyInterval - time.Since(a.verified); !a.verified.IsZero() && wait > 0 {
		a.verifyAfter = wait
		return repairScope{Scope: hoststate.ScopeFull}, nil
	}
	a.verified, a.verifyAfter = time.Now(), 0
	drift, err := a.Host.FirewallDrift()
	if drift != nil {
		return repairScope{hoststate.ScopeVerify, drift}, err
	}
	return repairScope{Scope: hoststate.ScopeFull}, err
}

// updateOwnAddress finds the address by which this host talks to others also without a network, if
// it is to.
func (a *Agent) updateOwnAddress(s *hoststate.Session, what scope) error {
	own := a.clusters.Own()
	if !a.Config.KeepRunning || own.IsValid() && what < scopeFull {
		return nil
	}
	if a.Config.Bind.IsValid() || !a.Plane.PerAddress {
		a.clusters.SetOwn(a.Config.Bind)
		return nil
	}
	var known []netip.Addr
	for _, seed := range a.Config.Seeds {
		known = append(known, seed.Addr())
	}
	found, err := s.OwnAddress(known)
	if err != nil {
		return fmt.Errorf("find this host's address: %w", err)
	}
	// As long as it has the address, it is not changed for a better one: others know it by that.
	if has, err := s.HasAddress(own); own.IsValid() && (has || err != nil) {
		return err
	}
	if found != own {
		a.Log.Info("talking to other hosts also while this one has no network", "address", found)
	}
	a.clusters.SetOwn(found)
	return nil
}

// startClusters starts the clusters that are missing, stops those that nobody needs, and publishes
// what this host has in all. None is stopped unless all networks are known.
func (a *Agent) startClusters(ctx context.Context, s *hoststate.Session, networks []hoststate.Network,
	complete bool) error {
	groups := a.clusters.GroupByCluster(networks)
	var errs []error
	if complete {
		inUse := func(bind netip.Addr) bool {
			return bind == a.clusters.Own() || len(groups[bind]) > 0 || a.claims.IsJoining(bind)
		}
		stopped, err := a.clusters.StopAbandoned(inUse, s.HasAddress)
		for _, bind := range stopped {
			a.claims.Forget(bind)
		}
		errs = append(errs, err)
		a.clusters.RetainUnions(networks)
	}
	for bind := range groups {
		errs = append(errs, a.clusters.StartCluster(ctx, bind))
	}
	return errors.Join(append(errs, a.publish(groups))...)
}

// publish tells each running cluster what this host has in it.
func (a *Agent) publish(groups map[netip.Addr][]hoststate.Network) error {
	var errs []error
	// A cluster that no network needs any more goes on for a while, see StopAbandoned.
	for bind, m := range a.clusters.members {
		networks := groups[bind]
		// It also keeps what was listed: without a key, only those hosts are heard.
		if len(networks) > 0 {
			m.SetListed(a.clusters.listedHosts(bind, networks))
		}
		errs = append(errs, a.claims.Publish(bind, addrclaim.HostState{
			Cluster: m, Networks: a.withKeys(allToMembership(networks)), Probe: probeFunc(a.Host, networks),
		}))
	}
	return errors.Join(errs...)
}

// probeFunc returns what asks the wire who has addresses of the networks.
func probeFunc(host *hoststate.Host, networks []hoststate.Network) addrclaim.ProbeFunc {
	return func(networkID string, e network.Endpoint, addrs []netip.Addr) (map[netip.Addr]error, error) {
		for _, n := range networks {
			if n.ID == networkID {
				return host.ProbeAddresses(n, e, addrs)
			}
		}
		return nil, nil
	}
}
