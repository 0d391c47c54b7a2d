package agent

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/store"
)

// NameServer answers containers' names.
type NameServer interface {
	// Set replaces all zones.
	Set([]dns.Zone) error
	// AddRecord adds a record to a network's zone, if there is one.
	AddRecord(network string, e dns.Record) bool
	Listening() []dns.Listening
	// Queries returns how the queries so far were answered.
	Queries() dns.QueryCounts
}

// dnsFeed keeps the name server in step with the networks. A turn sets all zones. A container that
// starts does not wait for one: its record is added to those of the last turn.
type dnsFeed struct {
	server    NameServer
	host      *hoststate.Host
	upstreams *upstreamSource
	rosterOf  func(membership.Network) *membership.Roster
	log       *slog.Logger

	mu       sync.Mutex
	networks map[string]hoststate.Network // by ID, as the last turn found them, unless it failed
	zones    []dns.Zone                   // that the last turn set
	added    []addedRecord                // since the turn under way began, which may not have read them
}

// addedRecord is a container whose record was added to its network's zone without a turn.
type addedRecord struct {
	membership.EndpointKey
	record dns.Record
}

// AddRecord answers the names of a container without a turn, at the same cost however many
// containers there are. It returns false where that takes a turn.
func (f *dnsFeed) AddRecord(key membership.EndpointKey) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, ok := f.networks[key.NetworkID]
	if !ok || !n.HasNames() || hasContainer(n, key.ContainerID) {
		return false
	}
	stored, err := f.host.Record(key.NetworkID, key.ContainerID)
	if err != nil || (membership.Network{Network: n.Network}).AwaitsAddresses(&stored.Endpoint) {
		return false
	}
	record := membership.LocalRecord(&stored.Endpoint)
	if !f.server.AddRecord(n.Name, record) {
		return false
	}
	f.added = slices.DeleteFunc(f.added, func(e addedRecord) bool { return e.EndpointKey == key })
	f.added = append(f.added, addedRecord{key, record})
	return true
}

// Networks returns the networks with which nothing is wrong, as the last turn found them.
func (f *dnsFeed) Networks() []hoststate.Network {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.networks))
}

// Network returns a network as the last turn found it, unless something is wrong with it.
func (f *dnsFeed) Network(id string) (hoststate.Network, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, ok := f.networks[id]
	return n, ok
}

// BeginTurn comes before a turn reads the store: it will read what was added so far.
func (f *dnsFeed) BeginTurn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.added = nil
}

// EndTurn keeps what a turn found. What is wrong with one network does not concern the others.
func (f *dnsFeed) EndTurn(networks []hoststate.Network, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.networks = make(map[string]hoststate.Network, len(networks))
	for _, n := range networks {
		if hoststate.FilterByNetwork(n.ID, err) == nil {
			f.networks[n.ID] = n
		}
	}
}

// UpdateZones sets the zones of all networks. A network whose port is taken, by a container that
// publishes it or by another program, gets the next one.
func (f *dnsFeed) UpdateZones(networks []hoststate.Network) error {
	f.upstreams.UseCurrentServers(networks)
	err, moved := f.setZones(networks), false
	for f.movePorts(networks) {
		moved, err = true, f.setZones(networks)
	}
	if moved {
		err = errors.Join(err, f.redirectQueries(networks))
	}
	return errors.Join(err, f.checkPorts(networks))
}

// movePorts gives the networks whose port is taken the next one. It tells whether there are any.
func (f *dnsFeed) movePorts(networks []hoststate.Network) (moved bool) {
	isTaken := f.isTaken()
	for i, n := range networks {
		if !n.HasNames() || !isTaken(n) {
			continue
		}
		if next, ok := nextResolverPort(n.DNSPort); ok {
			f.log.Warn("the port for names is taken; answering on another", "network", n.Name, "taken", n.DNSPort, "port", next)
			networks[i].DNSPort, moved = next, true
		}
	}
	return moved
}

// checkPorts returns an error for each network that found no free port.
func (f *dnsFeed) checkPorts(networks []hoststate.Network) error {
	isTaken := f.isTaken()
	var errs []error
	for _, n := range networks {
		if n.HasNames() && isTaken(n) {
			errs = append(errs, hoststate.NetworkError{NetworkID: n.ID, Err: fmt.Errorf(
				"answer names of network %s: ports %d to %d are taken; `ss -lntup` shows by whom; "+
					"dns_bind_port in containers.conf chooses another",
				n.Name, network.FirstResolverPort, network.LastResolverPort)})
		}
	}
	return errors.Join(errs...)
}

// nextResolverPort returns the port to try after one that is taken.
func nextResolverPort(taken uint16) (uint16, bool) {
	switch {
	case taken < network.FirstResolverPort || taken > network.LastResolverPort:
		return network.FirstResolverPort, true // the administrator's choice is taken
	case taken < network.LastResolverPort:
		return taken + 1, true
	}
	return 0, false
}

// isTaken returns what tells whether the server had to listen on another port than a network's.
func (f *dnsFeed) isTaken() func(hoststate.Network) bool {
	listening := f.server.Listening()
	return func(n hoststate.Network) bool {
		return slices.ContainsFunc(listening, func(l dns.Listening) bool {
			return l.Network == n.Name && l.Port != n.DNSPort
		})
	}
}

// setZones sets the name server. Its errors say which networks' names are not answered.
func (f *dnsFeed) setZones(networks []hoststate.Network) error {
	zones := membership.Zones(allToMembership(networks), f.rosterOf, f.upstreams.HostServers())
	for i := range zones {
		zones[i].Elsewhere = f.upstreams.ServersElsewhere
	}
	f.mu.Lock()
	f.zones = f.withAddedLocked(zones, networks)
	err := f.server.Set(f.zones)
	f.mu.Unlock()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var errs []error
	for _, err := range joined.Unwrap() {
		if z, ok := errors.AsType[dns.ZoneError](err); ok {
			for _, n := range networks {
				if n.Name == z.Network {
					err = hoststate.NetworkError{NetworkID: n.ID, Err: err}
				}
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// withAddedLocked adds to the zones the records that the turn has not read.
func (f *dnsFeed) withAddedLocked(zones []dns.Zone, networks []hoststate.Network) []dns.Zone {
	for _, e := range f.added {
		for _, n := range networks {
			i := slices.IndexFunc(zones, func(z dns.Zone) bool { return z.Network == n.Name })
			if n.ID == e.NetworkID && i >= 0 && !hasContainer(n, e.ContainerID) {
				zones[i].Records = append(zones[i].Records, e.record)
			}
		}
	}
	return zones
}

// redirectQueries records the ports of the networks, and makes the firewall redirect port 53 to
// them.
func (f *dnsFeed) redirectQueries(networks []hoststate.Network) error {
	s, err := f.host.Begin()
	if err != nil {
		return err
	}
	// Read again, since the store may have changed.
	now, err := s.Networks()
	errs := []error{err}
	for i, n := range now {
		for _, served := range networks {
			if served.ID == n.ID && served.DNSPort != n.DNSPort {
				now[i].DNSPort = served.DNSPort
				errs = append(errs, s.SetDNSPort(n, served.DNSPort))
			}
		}
	}
	errs = append(errs, s.Reconcile(now, hoststate.ScopeFull))
	return errors.Join(append(errs, s.Close())...)
}

func hasContainer(n hoststate.Network, containerID string) bool {
	_, ok := slices.BinarySearchFunc(n.Endpoints, containerID, func(r *store.Record, id string) int {
		return cmp.Compare(r.ContainerID, id)
	})
	return ok
}
