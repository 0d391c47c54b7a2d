package membership

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
)

// Duplicate is an address that a container of this host and one of a reachable host have both. That
// happens after hosts could not hear each other for a while.
type Duplicate struct {
	Network   string
	Addr      netip.Addr
	Here      *network.Endpoint
	There     MemberEndpoint
	KeptThere bool // the other container keeps it
}

// Duplicates returns the addresses that two containers have, sorted.
func Duplicates(n Network, r *Roster) (found []Duplicate) {
	for _, e := range n.Endpoints {
		for _, a := range AddrsOf(e) {
			if c, ok := r.rivalOf(e, a); ok {
				found = append(found, Duplicate{Network: n.Name, Addr: a, Here: e, There: c, KeptThere: r.cedes(e, a)})
			}
		}
	}
	slices.SortFunc(found, func(x, y Duplicate) int { return strings.Compare(x.String(), y.String()) })
	return found
}

// String says, for a person, who has the address, which of them keeps it and what to do.
func (d Duplicate) String() string {
	keeps, restart := "here", "other one"
	if d.KeptThere {
		keeps, restart = "there", "one here"
	}
	return fmt.Sprintf("address %v of network %s is that of container %s here and of container %s on host %s; "+
		"the one %s keeps it: restart the %s with another address",
		d.Addr, d.Network, ContainerLabel(d.Here.Names(), d.Here.ContainerID),
		ContainerLabel(d.There.Names, d.There.ContainerID), d.There.Host, keeps, restart)
}

// rivalOf returns the container of another host that has an address of one of this host.
func (r *Roster) rivalOf(e *network.Endpoint, a netip.Addr) (MemberEndpoint, bool) {
	best := r.bestAt(a, e.ContainerID)
	if best == nil {
		return MemberEndpoint{}, false
	}
	all := r.endpointsAt(a)
	i := slices.IndexFunc(all, func(c MemberEndpoint) bool {
		return keyOf(c.Member) == best.Trust.Host && c.ContainerID == best.Trust.Place
	})
	return all[i], true
}

// NameConflict is a name that is a container's own both here and on a reachable host. Whoever looks
// it up gets the addresses of both. Aliases may be shared: they are given for that. So may the start
// of an id, which no two containers share.
type NameConflict struct {
	Network string
	There   MemberEndpoint
}

// NameConflicts returns the names that are two containers' own, sorted.
func NameConflicts(n Network, r *Roster) (found []NameConflict) {
	if !n.HasNames() {
		return nil
	}
	for _, c := range r.SharedNames() {
		found = append(found, NameConflict{n.Name, c})
	}
	slices.SortFunc(found, func(x, y NameConflict) int { return strings.Compare(x.String(), y.String()) })
	return found
}

// String says, for a person, who has the name and what to do.
func (c NameConflict) String() string {
	return fmt.Sprintf("name %s of network %s is that of a container here and of one on host %s, "+
		"so it resolves to both; rename one of them, or use a --network-alias that both share",
		c.There.Names[0], c.Network, c.There.Host)
}

// ownNames are the names by which this host's containers are known, in lower case.
func ownNames(n Network) map[string]bool {
	names := make(map[string]bool)
	for _, e := range n.Endpoints {
		if cluster.CheckName(e.ContainerName) == nil {
			names[strings.ToLower(e.ContainerName)] = true
		}
	}
	return names
}
