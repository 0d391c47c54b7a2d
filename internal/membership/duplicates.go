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
