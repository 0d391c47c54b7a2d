package hoststate

import (
	"errors"
	"io/fs"
	"iter"
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

// namedPorts returns the endpoints whose interface has a name of the user's choice. One that cannot be
// read is left out: it is not the trouble of the container that starts.
func (r records) namedPorts() ([]plan.NamedPort, error) {
	networks, err := r.Networks()
	if err != nil {
		return nil, err
	}
	var all []plan.NamedPort
	for _, networkID := range networks {
		config, err := r.Config(networkID)
		if err != nil {
			continue
		}
		id, err := network.ParseIdentity(config)
		if err != nil {
			continue
		}
		containers, _ := r.Tagged(networkID, store.TagNamed)
		for _, containerID := range containers {
			if record, err := r.Record(networkID, containerID); err == nil {
				all = append(all, plan.NamedPort{Network: id, Endpoint: record.Endpoint})
			}
		}
	}
	return all, nil
}

// otherPorts iterates over the names of the ports of the network's other containers.
func (r records) otherPorts(id network.Identity, containerID string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for other, err := range r.EndpointsExcept(id.ID, containerID) {
			e := network.Endpoint{ContainerID: other}
			if err == nil {
				e.HostInterface, err = r.hostInterface(id.ID, other)
			}
			if !yield(id.Port(e), err) {
				return
			}
		}
	}
}

// hostInterface returns the name that a container's user chose for its port, if any. A record that is broken has none.
func (r records) hostInterface(networkID, containerID string) (string, error) {
	record, err := r.Record(networkID, containerID)
	if err != nil && !isUnreadable(err) {
		err = nil
	}
	return record.HostInterface, err
}

// elsewhere returns the endpoints of a container on other networks, as far as they publish ports.
func (r records) elsewhere(networkID, containerID string) ([]plan.Elsewhere, error) {
	ids, err := r.networksExcept(networkID)
	errs := []error{err}
	var all []plan.Elsewhere
	for _, id := range ids {
		record, err := r.Record(id, containerID)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(record.Ports) == 0 {
			continue
		}
		var config []byte
		if err == nil {
			config, err = r.Config(id)
		}
		n, parseErr := network.ParseStored(config)
		if err = errors.Join(err, parseErr); err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, plan.Elsewhere{Network: n, Endpoint: record.Endpoint})
	}
	return all, errors.Join(errs...)
}

// othersPublish tells whether another container of the network publishes ports.
func (r records) othersPublish(networkID, containerID string) (bool, error) {
	publishing, err := r.Tagged(networkID, store.TagPublishes)
	return slices.ContainsFunc(publishing, func(id string) bool { return id != containerID }), err
}

// isUnreadable tells whether err has a file that is there and cannot be read, as where
// descriptors have run out. What is missing or broken stays so, and needs nothing.
func isUnreadable(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(joined.Unwrap(), isUnreadable)
	}
	_, isFile := errors.AsType[*fs.PathError](err)
	return isFile && !errors.Is(err, fs.ErrNotExist)
}
