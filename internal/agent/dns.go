package agent

import (
	"cmp"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/store"
)

// fallbackDNSPort is where names are answered if port 53 is taken. Nothing known uses it: IANA
// has no service there for UDP or TCP that Linux hosts run.
const fallbackDNSPort = 1053

// NameServer answers containers' names.
type NameServer interface {
	// Set replaces all zones.
	Set([]dns.Zone) error
	// AddRecord adds a record to a network's zone, if there is one.
	AddRecord(network string, e dns.Record) bool
	Listening() []dns.Listening
}

// dnsFeed keeps the name server in step with the networks. A turn sets all zones. A container
// that starts does not wait for one: its record is added to those of the last turn.
type dnsFeed struct {
	server     NameServer
	host       *hoststate.Host
	upstreams  func() []netip.AddrPort
	snapshotOf func(membership.Network) cluster.Snapshot
	log        *slog.Logger

	mu       sync.Mutex
	networks map[string]hoststate.Network // by ID, as the last turn found them, unless it failed
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

// BeginTurn comes before a turn reads the store: it will read what was added so far.
func (f *dnsFeed) BeginTurn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.added = nil
}

// EndTurn keeps what a turn found.
func (f *dnsFeed) EndTurn(networks []hoststate.Network, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.networks = nil
	if err != nil {
		return
	}
	f.networks = make(map[string]hoststate.Network, len(networks))
	for _, n := range networks {
		f.networks[n.ID] = n
	}
}

// UpdateZones sets the zones of all networks. Where another program has port 53, such as a name
// server on all of the host's addresses, the server has fallen back to a port of its own for
// each address. The network then moves to a port that stays, to which 53 can be redirected.
func (f *dnsFeed) UpdateZones(networks []hoststate.Network) error {
	err := f.setZones(networks)
	moved := false
	for i, n := range networks {
		if n.HasNames() && n.DNSPort == 0 && f.lostPort53(n) {
			f.log.Warn("port 53 is taken; answering names on another", "network", n.Name, "port", fallbackDNSPort)
			networks[i].DNSPort, moved = fallbackDNSPort, true
		}
	}
	if !moved {
		return err
	}
	return errors.Join(f.redirectPort53(networks), f.setZones(networks))
}

// setZones sets the name server. Its errors say which networks' names are not answered.
func (f *dnsFeed) setZones(networks []hoststate.Network) error {
	zones := membership.Zones(allToMembership(networks), f.snapshotOf, f.upstreams())
	f.mu.Lock()
	err := f.server.Set(f.withAddedLocked(zones, networks))
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

// lostPort53 tells whether the server listens on another port than 53 for the network.
func (f *dnsFeed) lostPort53(n hoststate.Network) bool {
	return slices.ContainsFunc(f.server.Listening(), func(l dns.Listening) bool {
		return l.Network == n.Name && l.Port != dns.Port
	})
}

// redirectPort53 records the fallback port of the networks that have it, and makes the firewall
// redirect port 53 to it.
func (f *dnsFeed) redirectPort53(networks []hoststate.Network) error {
	s, err := f.host.Begin()
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range networks {
		if n.DNSPort == fallbackDNSPort {
			errs = append(errs, s.SetDNSPort(n, fallbackDNSPort))
		}
	}
	// Read again, since the store may have changed.
	now, err := s.Networks()
	errs = append(errs, err, s.Reconcile(now, hoststate.ScopeFull))
	return errors.Join(append(errs, s.Close())...)
}

func hasContainer(n hoststate.Network, containerID string) bool {
	_, ok := slices.BinarySearchFunc(n.Endpoints, containerID, func(r *store.Record, id string) int { return cmp.Compare(r.ContainerID, id) })
	return ok
}
