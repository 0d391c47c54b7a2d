package agent

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// members returns the other hosts that have a part in the network. On a static network
// only those on its list are believed: others may be in the same cluster for another's sake.
// A VTEP inside the network is none, as Parse says of those that are listed: the tunnel's packets would
// go into the tunnel.
func members(l hoststate.Network, s cluster.Snapshot) []cluster.Member {
	return slices.DeleteFunc(s.Members(key(l)), func(m cluster.Member) bool {
		listed := l.Gossip || l.Tunnel.Group.IsValid() || slices.Contains(l.VTEP.Remotes, m.VTEP)
		_, inside := l.SubnetOf(m.VTEP)
		return !listed || inside || m.VTEP == l.VTEP.Local || m.VTEP.Is4() != l.VTEP.Local.Is4()
	})
}

// peersOf tells what the data path is to know of a network's hosts. What is for
// everybody goes to hosts with a container on the network. A listed host without an agent, as a
// switch is, does not say whether it has any, nor which MACs: it gets what is for
// everybody, and MACs are learned as long as there is one.
//
// Hosts that cannot be reached are still members: it may be their agent that is gone,
// and not their containers.
func peersOf(l hoststate.Network, s cluster.Snapshot) network.Peers {
	p := network.Peers{StaticFDB: !l.Tunnel.Group.IsValid()}
	said := make(map[netip.Addr]bool)
	for _, m := range members(l, s) {
		said[m.VTEP] = true
		p.Flood = append(p.Flood, m.VTEP)
		p.StaticFDB = p.StaticFDB && m.StaticFDB
	}
	if !l.Gossip {
		// A host whose agent can be reached would say so if it had a container.
		elsewhere := addressesOf(s, cluster.Host.Reachable)
		for _, r := range l.VTEP.Remotes {
			if !said[r] && !elsewhere[r] {
				p.Flood = append(p.Flood, r)
				p.StaticFDB = false
			}
		}
	}
	slices.SortFunc(p.Flood, netip.Addr.Compare)
	p.Flood = slices.Compact(p.Flood)
	return p
}

// settling is how long an agent that starts believes what the one before it knew, rather
// than what it does not know yet. A host that is found takes milliseconds; one that
// is hidden is passed on by others within seconds.
const settling = 10 * time.Second

// settled tells whether what the cluster says of the network can replace what is in the
// store. Members that nobody has mentioned yet must not lose what is sent to them.
func (r *running) settled(l hoststate.Network, now time.Time) bool {
	if r == nil {
		return false
	}
	late := now.Sub(r.since) >= settling
	select {
	case <-r.Ready():
	default:
		// Whoever cannot listen knows nobody; with a list that does not matter.
		return late && !l.Gossip
	}
	if late {
		return true
	}
	known := mentioned(r.Snapshot())
	return !slices.ContainsFunc(l.VTEP.Flood, func(a netip.Addr) bool { return !known[a] })
}

// addressesOf has the addresses of the hosts that count: where their agents talk, and their VTEPs.
func addressesOf(s cluster.Snapshot, counts func(cluster.Host) bool) map[netip.Addr]bool {
	all := make(map[netip.Addr]bool)
	for _, h := range s.Hosts {
		if !counts(h) {
			continue
		}
		all[h.Addr] = true
		for _, a := range h.Memberships {
			all[a.VTEP] = true
		}
	}
	return all
}

// mentioned has the addresses of all hosts, hidden ones too.
func mentioned(s cluster.Snapshot) map[netip.Addr]bool {
	return addressesOf(s, func(cluster.Host) bool { return true })
}

// young tells whether a cluster may not know all hosts yet.
func (a *Agent) young() bool {
	for _, r := range a.clusters {
		if time.Since(r.since) < settling {
			return true
		}
	}
	return false
}

// meet has the store say what is known of other hosts, and tells whether that is news to
// the kernel. l is as it is then.
func (a *Agent) meet(s *hoststate.Session, l *hoststate.Network) (changed bool, err error) {
	now := time.Now()
	r := a.clusters[a.bind(*l)]
	want := peersOf(*l, a.snapshots()(*l))
	want.AgentPort = a.Config.Port
	have, known := l.Peers()
	unheard := r.unheard(have.Flood)
	switch {
	case known && !r.settled(*l, now):
		want.StaticFDB = have.StaticFDB
		want.Flood = merge(want.Flood, have.Flood)
	case known && l.Gossip && now.Sub(r.since) < a.Config.ForgetAfter:
		want.Flood = merge(want.Flood, unheard)
	}
	if l.Gossip {
		want.HostAddrs = a.hostAddrs(*l)
	}
	if known && want.Equal(have) {
		return false, nil
	}
	return true, s.SetPeers(l, want)
}

// unheard returns those of the hosts that the agent before this one knew and that nobody
// has mentioned since. It may be their agents that are down too; so where there is no list they
// stay as long as any host that does not answer.
func (r *running) unheard(flood []netip.Addr) []netip.Addr {
	if r == nil {
		return flood
	}
	if r.heard == nil {
		r.heard = make(map[netip.Addr]bool)
	}
	said := mentioned(r.Snapshot())
	var all []netip.Addr
	for _, f := range flood {
		if said[f] {
			r.heard[f] = true
		}
		if !r.heard[f] {
			all = append(all, f)
		}
	}
	return all
}

// merge returns the addresses of both, sorted.
func merge(a, b []netip.Addr) []netip.Addr {
	all := append(slices.Clone(a), b...)
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// meetAll does so for all networks.
func (a *Agent) meetAll(s *hoststate.Session, locals []hoststate.Network) (changed bool, err error) {
	var errs []error
	for i := range locals {
		if !locals[i].NeedsAgent() {
			continue
		}
		news, err := a.meet(s, &locals[i])
		changed, errs = changed || news, append(errs, err)
	}
	return changed, errors.Join(errs...)
}

// remotes are the MACs that other hosts have, those first of hosts that can be reached: a
// container may have moved from one that cannot. Where MACs are learned, those of hosts that
// cannot be reached are left to that.
func remotes(l hoststate.Network, s cluster.Snapshot) []plan.Remote {
	var here, hidden []plan.Remote
	for _, m := range members(l, s) {
		all := []plan.Remote{{MAC: m.BridgeMAC, VTEP: m.VTEP, Addrs: m.HostAddrs}}
		for _, e := range m.Endpoints {
			all = append(all, plan.Remote{MAC: e.MAC, VTEP: m.VTEP, Addrs: e.Addrs})
		}
		switch {
		case m.Reachable:
			here = append(here, all...)
		case l.VTEP.StaticFDB:
			hidden = append(hidden, all...)
		}
	}
	return slices.Concat(here, hidden, listed(l))
}

// listed are the bridges of the hosts in the network's list, members or not. One that is about
// to become a member asks who has its first container's address, by its bridge, and the
// answer is to find it where nothing is learned.
func listed(l hoststate.Network) (all []plan.Remote) {
	if l.Gossip {
		return nil // those are seeds
	}
	for _, r := range l.VTEP.Remotes {
		all = append(all, plan.Remote{MAC: network.BridgeMAC(l.Tunnel.VNI, r), VTEP: r})
	}
	return all
}

// heardOf is what a network's forwarding is made from besides the host itself.
type heardOf struct {
	remotes         []plan.Remote
	complete, exact bool
}

// forward has frames go to the hosts that have their MACs. To compare with the kernel takes
// 50 ms beside 10,000 containers, so a network that the news are not about waits for the turn
// that looks at everything.
func (a *Agent) forward(s *hoststate.Session, locals []hoststate.Network, what scope) error {
	var errs []error
	done := make(map[string]heardOf)
	for _, l := range locals {
		if !l.NeedsAgent() {
			continue
		}
		h := heardOf{
			remotes:  remotes(l, a.snapshots()(l)),
			complete: a.clusters[a.bind(l)].settled(l, time.Now()),
			exact:    l.VTEP.StaticFDB,
		}
		if before, ok := a.forwarded[l.ID]; what >= all || !ok || !reflect.DeepEqual(before, h) {
			if err := s.Forward(l, h.remotes, h.complete); err != nil {
				errs = append(errs, err)
				continue // the next turn does not take it for done
			}
		}
		done[l.ID] = h
	}
	a.forwarded = done
	return errors.Join(errs...)
}
