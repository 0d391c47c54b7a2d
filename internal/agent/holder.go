package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
)

// holder is who has an address of a network.
type holder struct {
	host      string     // "": this one
	vtep      netip.Addr // the host's
	container string     // "": the host itself has it
	claimed   bool       // it is only about to get it
	hidden    bool       // the host does not answer; what it has stays its own
}

// String says who it is, for a person.
func (h holder) String() string {
	text := "host " + h.host + " itself"
	switch {
	case h.host == "" && h.container == "":
		text = "this host itself"
	case h.host == "":
		text = "container " + h.container
	case h.container != "":
		text = "container " + h.container + " on host " + h.host
	}
	if h.hidden {
		text += ", which does not answer"
	}
	return text
}

// beats tells whether the holder's right is better than a claim of the host with the VTEP.
// Of two claims that met it is the lower VTEP's; a claim is not made where another is known.
func (h holder) beats(vtep netip.Addr) bool { return !h.claimed || h.vtep.Less(vtep) }

// holders has, of each address, who has the best right to it.
type holders map[netip.Addr]holder

func (all holders) add(a netip.Addr, h holder) {
	if have, ok := all[a]; ok && (!have.claimed || h.claimed && have.vtep.Less(h.vtep)) {
		return
	}
	all[a] = h
}

// holdersLocked returns who has addresses of a network: containers, but one of this host,
// those that are about to come, and the other hosts.
func (c *claims) holdersLocked(l hoststate.Network, s cluster.Snapshot, but string) holders {
	all := make(holders)
	for _, m := range members(l, s) {
		h := holder{host: m.Host, vtep: m.VTEP, hidden: !m.Reachable}
		for _, a := range m.HostAddrs {
			all.add(a, h)
		}
		for _, e := range m.Endpoints {
			h.container, h.claimed = called(e.Names, e.ContainerID), e.Claimed()
			for _, a := range e.Addrs {
				all.add(a, h)
			}
		}
	}
	for _, r := range l.Endpoints {
		for _, p := range r.Addrs {
			if r.ContainerID != but {
				all.add(p.Addr(), holder{vtep: l.VTEP.Local, container: called(r.Names(), r.ContainerID)})
			}
		}
	}
	for who, cl := range c.held {
		for _, a := range cl.addrs {
			if who.network == l.ID && who.container != but {
				all.add(a, holder{vtep: l.VTEP.Local, container: called(nil, who.container), claimed: true})
			}
		}
	}
	return all
}

// called is how a person knows a container.
func called(names []string, id string) string {
	if len(names) > 0 && names[0] != "" {
		return names[0]
	}
	return id[:min(12, len(id))]
}

// duplicates tells of addresses that a container of this host and one of another have,
// as after hosts could not hear each other for a while.
func duplicates(l hoststate.Network, s cluster.Snapshot) []string {
	there := make(holders)
	for _, m := range members(l, s) {
		for _, e := range m.Endpoints {
			for _, a := range e.Addrs {
				if m.Reachable && !e.Claimed() {
					there.add(a, holder{host: m.Host, vtep: m.VTEP, container: called(e.Names, e.ContainerID)})
				}
			}
		}
	}
	var all []string
	for _, r := range l.Endpoints {
		for _, p := range r.Addrs {
			if h, ok := there[p.Addr()]; ok {
				all = append(all, fmt.Sprintf("address %v of network %s is that of container %s here and of %v; restart one of them",
					p.Addr(), l.Name, called(r.Names(), r.ContainerID), h))
			}
		}
	}
	slices.SortFunc(all, strings.Compare)
	return all
}

// conflicts returns the duplicates of all networks, and logs each once as long as it lasts.
func (a *Agent) conflicts(locals []hoststate.Network) []string {
	var all []string
	for _, l := range locals {
		if l.NeedsAgent() {
			all = append(all, duplicates(l, a.snapshots()(l))...)
		}
	}
	for _, text := range all {
		if !slices.Contains(a.duplicated, text) {
			a.Log.Error("two containers have one address", "what", text)
		}
	}
	a.duplicated = all
	return all
}
