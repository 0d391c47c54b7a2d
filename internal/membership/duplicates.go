package membership

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
)

// Duplicates describes, for a person, each address that a container of this host and one of a
// reachable host have both, and which of them keeps it. That happens after hosts could not hear
// each other for a while.
func Duplicates(n Network, r *Roster) []string {
	var found []string
	for _, e := range n.Endpoints {
		for _, a := range AddrsOf(e) {
			c, ok := r.rivalOf(e, a)
			if !ok {
				continue
			}
			keeps, restart := "here", "other one"
			if r.cedes(e, a) {
				keeps, restart = "there", "one here"
			}
			found = append(found, fmt.Sprintf(
				"address %v of network %s is that of container %s here and of container %s on host %s; the one %s keeps it: restart the %s with another address",
				a, n.Name, ContainerLabel(e.Names(), e.ContainerID), ContainerLabel(c.Names, c.ContainerID), c.Host, keeps, restart))
		}
	}
	slices.SortFunc(found, strings.Compare)
	return found
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

// NameConflicts describes, for a person, each name that is a container's own both here and on a
// reachable host. Whoever looks it up gets the addresses of both. Aliases may be shared: they are
// given for that. So may the start of an id, which no two containers share.
func NameConflicts(n Network, r *Roster) []string {
	if !n.HasNames() {
		return nil
	}
	var found []string
	for _, c := range r.SharedNames() {
		found = append(found, fmt.Sprintf(
			"name %s of network %s is that of a container here and of one on host %s, so it resolves to both; rename one of them, or use a --network-alias that both share",
			c.Names[0], n.Name, c.Host))
	}
	slices.Sort(found)
	return found
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
