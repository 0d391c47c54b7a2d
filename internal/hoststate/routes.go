package hoststate

import (
	"fmt"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// removeLastingRoutes removes the routes that a container has from a network and would keep without
// it. A failure is a warning: the container that leaves must not stay for it.
func (s *Session) removeLastingRoutes(id network.Identity, containerID string) {
	namespace, routes := s.records.lastingRoutes(id.ID, containerID)
	if len(routes) == 0 || namespace == "" {
		return
	}
	others, _ := s.records.networksExcept(id.ID)
	for _, other := range others {
		_, shared := s.records.lastingRoutes(other, containerID)
		routes = slices.DeleteFunc(routes, func(r kernel.Route) bool { return slices.Contains(shared, r) })
	}
	container, err := s.host.Open(namespace)
	if err != nil {
		return // its routes went with the namespace
	}
	defer container.Close()
	for _, r := range routes {
		if err := container.Apply(kernel.DelRoute{Route: r}); err != nil {
			s.host.Warn(fmt.Sprintf("network %s: container %.12s keeps a route: %v", id.Name, containerID, err))
		}
	}
}

// lastingRoutes returns the namespace of a container, and those of its routes from a network that
// its interface does not take with it. Of what cannot be read there are none.
func (r records) lastingRoutes(networkID, containerID string) (namespace string, routes []kernel.Route) {
	record, err := r.Record(networkID, containerID)
	if err != nil {
		return "", nil
	}
	config, err := r.Config(networkID)
	if err != nil {
		return "", nil
	}
	n, err := network.ParseStored(config)
	if err != nil {
		return "", nil
	}
	return record.Namespace, plan.LastingRoutes(n, record.Endpoint)
}
