package hoststate

import (
	"errors"
	"slices"

	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/store"
)

// records reads the store as what plans are made from.
type records struct {
	*store.Store
	host *Host
	ns   Namespace
}

// place places a network on the host as it is now.
func (r records) place(config []byte) (plan.PlacedNetwork, error) {
	p, err := r.host.Place(config, r.ns)
	if err != nil {
		return plan.PlacedNetwork{}, err
	}
	return r.withPeers(p)
}

// loadStored is a network as it was last placed on this host. Its protection must not
// depend on whether it could be placed now: its underlay may be down for a moment.
func (r records) loadStored(networkID string) (plan.PlacedNetwork, error) {
	config, err := r.Config(networkID)
	if err != nil {
		return plan.PlacedNetwork{}, err
	}
	v, err := r.VTEP(networkID)
	if err != nil {
		return plan.PlacedNetwork{}, err
	}
	n, err := network.ParseStored(config)
	if err != nil {
		return plan.PlacedNetwork{}, err
	}
	if n.Gossip {
		v.Remotes = nil
	}
	v.Flood = v.Remotes
	p, err := r.host.withPlacement(n, v)
	if err != nil {
		return plan.PlacedNetwork{}, err
	}
	return r.withPeers(p)
}

// withPeers adds what the agent has found out.
func (r records) withPeers(p plan.PlacedNetwork) (plan.PlacedNetwork, error) {
	var err error
	if p.DNSPort, err = r.DNSPort(p.ID); err != nil {
		return plan.PlacedNetwork{}, err
	}
	peers, ok, err := r.Peers(p.ID)
	if ok {
		peers.Place(&p.Network, &p.VTEP)
	}
	return p, err
}

// loadEndpoints adds a network's endpoints.
func (r records) loadEndpoints(p plan.PlacedNetwork) (plan.HostNetwork, error) {
	all, err := r.Records(p.ID)
	return withEndpoints(p, all), err
}

func withEndpoints(p plan.PlacedNetwork, all []*store.Record) plan.HostNetwork {
	n := plan.HostNetwork{PlacedNetwork: p, Endpoints: make([]plan.RecordedEndpoint, 0, len(all))}
	for _, r := range all {
		n.Endpoints = append(n.Endpoints, plan.RecordedEndpoint{Endpoint: r.Endpoint, SetUp: int64(r.SetUp)})
	}
	return n
}

// networksExcept lists all networks but one.
func (r records) networksExcept(networkID string) ([]string, error) {
	ids, err := r.Networks()
	return slices.DeleteFunc(ids, func(id string) bool { return id == networkID }), err
}

// loadExcept loads all networks but one, as they were last placed. What cannot be read
// is left out, and in the error.
func (r records) loadExcept(networkID string) ([]plan.HostNetwork, error) {
	ids, err := r.networksExcept(networkID)
	errs := []error{err}
	var all []plan.HostNetwork
	for _, id := range ids {
		p, err := r.loadStored(id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		n, err := r.loadEndpoints(p)
		all, errs = append(all, n), append(errs, err)
	}
	return all, errors.Join(errs...)
}
