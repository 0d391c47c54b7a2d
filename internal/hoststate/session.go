package hoststate

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// Session is the host's namespace and the lock of its store, held together for one change.
type Session struct {
	host     *Host
	ns       Namespace
	borrowed bool // the caller opened the namespace, and closes it
	records  records
	listed   bool // Networks has found out which networks there are
	complete bool // Networks has read all, endpoints too
	known    bool // Networks has returned all networks
	// firewallUnfinished: see FirewallUnfinished.
	firewallUnfinished bool
	// drift: see UseDrift.
	drift *FirewallDrift
	// fastPathUnfinished: see FastPathUnfinished.
	fastPathUnfinished bool
	// staleFlows are forgotten once the lock is released: the kernel looks through its table of all
	// flows for 4 to 8 ms.
	staleFlows []kernel.Publication
}

// Network is a network that has containers on this host.
type Network struct {
	network.Network
	VTEP        network.VTEP
	Endpoints   []*store.Record
	foreign     []network.Reservation
	unplaceable bool // on the host as it is now; all fields are as it was last placed
	incomplete  bool // an endpoint cannot be read
	peers       network.Peers
	hasPeers    bool                // peers are in the store
	before      *plan.PlacedNetwork // as it was before SetPeers; nil: the same
}

// Peers returns what the agent has found out, if the store has it.
func (n Network) Peers() (network.Peers, bool) { return n.peers, n.hasPeers }

// Unplaceable tells whether the host, as it is now, has no place for the network. All fields are as
// it was last placed.
func (n Network) Unplaceable() bool { return n.unplaceable }

// HostNetwork returns what plans are made from.
func (n Network) HostNetwork() plan.HostNetwork { return n.withEndpoints() }

func (n Network) placed() plan.PlacedNetwork {
	return plan.PlacedNetwork{Network: n.Network, VTEP: n.VTEP, Foreign: n.foreign}
}

func (n Network) withEndpoints() plan.HostNetwork {
	host := withEndpoints(n.placed(), n.Endpoints)
	host.Before = n.before
	return host
}

// Begin takes the lock.
func (h *Host) Begin() (*Session, error) {
	ns, err := h.Open("")
	if err != nil {
		return nil, err
	}
	s, err := h.BeginIn(ns)
	if err != nil {
		ns.Close()
		return nil, err
	}
	s.borrowed = false
	return s, nil
}

// BeginIn is Begin for a caller that has opened the host's namespace, and closes it.
func (h *Host) BeginIn(ns Namespace) (*Session, error) {
	st, err := store.OpenCached(h.StoreDir, h.Records, h.Interrupt)
	if err != nil {
		return nil, err
	}
	return &Session{host: h, ns: ns, borrowed: true, records: records{st, h, ns}}, nil
}

// Close releases the lock.
func (s *Session) Close() error {
	err := s.records.Close()
	if len(s.staleFlows) > 0 {
		err = errors.Join(err, s.apply(plan.Plan{StaleFlows: s.staleFlows}))
	}
	if !s.borrowed {
		s.ns.Close()
	}
	return err
}

// TrustDirs says whether containers of which no file has changed need not be looked at: see store.Store.
func (s *Session) TrustDirs(on bool) { s.records.TrustDirs(on) }

// Empty tells whether the store has no network at all, not even one that cannot be read.
func (s *Session) Empty() (bool, error) {
	ids, err := s.records.Networks()
	return len(ids) == 0, err
}

// Networks returns the host's networks. One that cannot be placed now, for instance because its
// underlay is down, is as it was last placed. One that cannot be read is left out. The error names
// both.
func (s *Session) Networks() ([]Network, error) { return s.NetworksSince(nil) }

// NetworksSince is Networks for a caller that has read them before: what cannot be read now is as it
// was then.
func (s *Session) NetworksSince(before []Network) ([]Network, error) {
	ids, err := s.records.Networks()
	s.listed, s.complete, s.known = err == nil, err == nil, err == nil
	if err != nil {
		return before, err
	}
	var all []Network
	var errs []error
	for _, id := range ids {
		n, err := s.records.loadNetwork(id)
		errs = append(errs, wrapNetworkError(id, err))
		s.complete = s.complete && n.ID != "" && !n.incomplete
		if n.ID == "" || n.incomplete {
			n = s.records.withUnread(id, n, before)
		}
		if n.ID != "" {
			all = append(all, n)
		}
		s.known = s.known && n.ID != ""
	}
	return all, errors.Join(errs...)
}

// AllKnown tells whether Networks has returned all networks of the store, be it as they were before.
func (s *Session) AllKnown() bool { return s.known }

// loadNetwork returns as much of a network as can be read. The error says what is missing.
func (r records) loadNetwork(id string) (Network, error) {
	config, err := r.Config(id)
	if err != nil {
		return Network{}, err
	}
	p, err := r.place(config)
	unplaceable := err != nil
	if unplaceable {
		var storedErr error
		if p, storedErr = r.loadStored(id); storedErr != nil {
			return Network{}, errors.Join(err, storedErr)
		}
	}
	endpoints, readErr := r.Records(id)
	n := Network{Network: p.Network, VTEP: p.VTEP, Endpoints: endpoints, foreign: p.Foreign, unplaceable: unplaceable,
		incomplete: readErr != nil}
	var peersErr error
	n.peers, n.hasPeers, peersErr = r.Peers(id)
	return n, errors.Join(err, readErr, peersErr)
}

// HasAddress tells whether an interface of this host has the address.
func (s *Session) HasAddress(addr netip.Addr) (bool, error) {
	own, err := s.ns.OwnAddrs([]netip.Addr{addr})
	return len(own) > 0, err
}

// OwnAddress returns the address by which this host talks to the hosts of its cluster, of which it
// knows some.
func (s *Session) OwnAddress(known []netip.Addr) (netip.Addr, error) {
	return network.OwnAddress(s.ns, known)
}

// SetPeers records what the agent has found out about a network, and completes n by it.
func (s *Session) SetPeers(n *Network, p network.Peers) error {
	if err := s.records.SetPeers(n.ID, p); err != nil {
		return wrapNetworkError(n.ID, err)
	}
	before := n.placed()
	again, err := s.records.loadNetwork(n.ID)
	if again.ID != "" {
		*n = again
		n.before = &before
	}
	return wrapNetworkError(n.ID, err)
}

// SetDNSPort records the port on which a network's names are answered. Port 53 is redirected to it.
func (s *Session) SetDNSPort(n Network, port uint16) error { return s.records.SetDNSPort(n.ID, port) }

// SetAllowedUsers records which users of this host, besides root, may send VXLAN and talk to agents.
func (s *Session) SetAllowedUsers(ids []uint32) error {
	before, err := s.records.AllowedUsers()
	if err != nil || slices.Equal(before, ids) {
		return err
	}
	return s.records.SetAllowedUsers(ids)
}

// NeighbourTables returns the kernel's tables of neighbours.
func (s *Session) NeighbourTables() ([]kernel.NeighbourTable, error) { return s.ns.NeighbourTables() }

// Age is how long ago a container was set up first.
func (s *Session) Age(r *store.Record) (time.Duration, error) {
	now, err := sinceBoot()
	return now - r.SetUp, err
}

// sinceBoot reads a clock that nobody can set. The time of day may be set back between two
// containers' starts. Then a container whose teardown was lost could take its published port back
// from the one that has it now.
func sinceBoot() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0, fmt.Errorf("read clock: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// apply applies a plan that is about the host alone.
func (s *Session) apply(p plan.Plan) error { return s.applyBy(reconcile.Apply, p) }

func (s *Session) applyBy(work func(reconcile.Namespaces, plan.Plan) (reconcile.Report, error), p plan.Plan) error {
	report, err := work(reconcile.Namespaces{Host: s.ns}, p)
	s.staleFlows = append(s.staleFlows, report.StaleFlows...)
	s.firewallUnfinished = s.firewallUnfinished || report.FirewallUnfinished
	if report.FlowsErr != nil {
		s.host.Warn(report.FlowsErr.Error())
	}
	return err
}
