package membership

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/cluster"
)

// Duplicates describes, for a person, each address that a container of this host and one of a
// reachable host have both. That happens after hosts could not hear each other for a while.
func Duplicates(n Network, s cluster.Snapshot) []string {
	remote := remoteContainers(n, s)
	var found []string
	for _, e := range n.Endpoints {
		for _, a := range AddrsOf(e) {
			if c, ok := remote[a]; ok {
				found = append(found, fmt.Sprintf("address %v of network %s is that of container %s here and of container %s on host %s; restart one of them",
					a, n.Name, ContainerLabel(e.Names(), e.ContainerID), c.label, c.host))
			}
		}
	}
	slices.SortFunc(found, strings.Compare)
	return found
}

type remoteContainer struct{ label, host string }

// remoteContainers has the containers of reachable hosts by address. Claims do not count.
func remoteContainers(n Network, s cluster.Snapshot) map[netip.Addr]remoteContainer {
	containers := make(map[netip.Addr]remoteContainer)
	for _, m := range n.Members(s) {
		for _, e := range m.Endpoints {
			for _, a := range e.Addrs {
				if _, ok := containers[a]; !ok && m.Reachable && !e.Claimed() {
					containers[a] = remoteContainer{ContainerLabel(e.Names, e.ContainerID), m.Host}
				}
			}
		}
	}
	return containers
}

// NameConflicts describes, for a person, each name that is a container's own both here and on a
// reachable host. Whoever looks it up gets the addresses of both. Aliases may be shared: they are
// given for that. So may the start of an id, which no two containers share.
func NameConflicts(n Network, s cluster.Snapshot) []string {
	if !n.HasNames() {
		return nil
	}
	local := make(map[string]bool)
	for _, e := range n.Endpoints {
		if cluster.CheckName(e.ContainerName) == nil {
			local[strings.ToLower(e.ContainerName)] = true
		}
	}
	var found []string
	for _, m := range n.Members(s) {
		for _, e := range m.Endpoints {
			if m.Reachable && len(e.Names) > 0 && local[strings.ToLower(e.Names[0])] {
				found = append(found, fmt.Sprintf("name %s of network %s is that of a container here and of one on host %s, so it resolves to both; rename one of them, or use a --network-alias that both share",
					e.Names[0], n.Name, m.Host))
			}
		}
	}
	slices.Sort(found)
	return found
}
