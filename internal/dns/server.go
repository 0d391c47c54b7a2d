package dns

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Server answers for the zones of this host.
type Server struct {
	log          *slog.Logger
	forwarder    *forwarder
	forwardLimit *limiter
	connLimit    *limiter
	socketErrors socketErrorLog
	queries      queryCounter

	mu     sync.Mutex
	zones  map[string]*servedZone // by network
	homes  map[string][]home      // by container id
	closed bool
}

// servedZone is a Zone with its listeners. Server.mu guards the fields that are not atomic.
type servedZone struct {
	network         string
	view            atomic.Pointer[view]
	addedView       atomic.Pointer[view] // of the records added since the last Set, or nil
	multihomed      atomic.Pointer[multihomed]
	addedMultihomed atomic.Pointer[multihomed] // those of the records added since the last Set, or nil
	desired         Zone                       // that the view was made from
	bindings        []binding
	addedRecords    []Record
	listeners       map[binding]*listener
}

// binding is what a listener's sockets are bound to. A device that was deleted and made anew has
// another index, so it is another binding.
type binding struct {
	device string
	index  uint32
	addr   netip.Addr
	port   uint16 // as desired; another one if it is taken
}

// New returns a server without zones.
func New(log *slog.Logger) *Server {
	return &Server{
		log:          log,
		forwarder:    newForwarder(log),
		forwardLimit: newLimiter(forwardLimits, forwardQueueLimits),
		connLimit:    newLimiter(connLimits, connQueueLimits),
		socketErrors: socketErrorLog{log: log},
		zones:        make(map[string]*servedZone),
	}
}

// Set makes the server serve these zones and no others, in the network namespace of the calling
// thread. Sockets that are right are kept. A query is answered from the old state or from the new
// one. Call Set again when a bridge was deleted and made anew, as sockets are bound to the old
// device. The zones must not be changed afterwards.
//
// Listeners that could not be opened are reported as ZoneErrors, with what to do; the next Set
// tries again. An invalid zone is reported and not served. All else is as desired.
func (s *Server) Set(zones []Zone) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("set zones: the server is closed")
	}
	desired, errs := parseZones(zones)
	s.closeStale(desired)
	resolvers := resolverAddrs(desired)
	for _, z := range desired {
		served := s.zones[z.Network]
		if served == nil {
			served = &servedZone{network: z.Network, listeners: make(map[binding]*listener)}
			s.zones[z.Network] = served
		}
		served.bindings = z.bindings
		served.updateView(z.Zone, resolvers)
		errs = append(errs, s.openMissing(served)...)
	}
	s.linkMultihomed(desired)
	return errors.Join(errs...)
}

// AddRecord makes the server answer for one more container of this host, until the next Set, which
// is to have the record too. Its cost grows only with the number of records added since the last
// Set. It returns false if the network is not served at all of its addresses, as when its bridge
// was made anew.
func (s *Server) AddRecord(network string, record Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[network]
	if z == nil || !z.isServed() {
		return false
	}
	z.addedRecords = append(slices.DeleteFunc(z.addedRecords, func(o Record) bool { return o.ID == record.ID }), record)
	z.addedView.Store(z.view.Load().withRecords(z.addedRecords))
	s.linkAdded(record, z)
	return true
}

// isServed tells whether the zone has a listener at each of its addresses, on the device that
// exists now.
func (z *servedZone) isServed() bool {
	return !slices.ContainsFunc(z.bindings, func(b binding) bool {
		index, err := deviceIndex(b.device)
		return err != nil || index != b.index || z.listeners[b] == nil
	})
}

// updateView makes a new view if the current one would answer otherwise. It costs what has changed:
// a view of thousands of containers takes milliseconds to make from nothing.
func (z *servedZone) updateView(desired Zone, resolvers map[netip.AddrPort]bool) {
	current := z.view.Load()
	gone, come := z.desired.changedRecords(desired)
	switch {
	case current == nil:
		z.view.Store(newView(desired, resolvers))
	case len(gone)+len(come) > 0:
		e := current.edit()
		for _, r := range gone {
			e.removeRecord(r)
		}
		for _, r := range come {
			e.addRecord(r)
		}
		z.view.Store(e.finish().forZone(desired, resolvers))
	case !z.desired.forwardsAlike(desired) ||
		!slices.Equal(current.upstreams, usableUpstreams(desired.Upstreams, resolvers)):
		z.view.Store(current.forZone(desired, resolvers))
	}
	z.desired = desired
	z.addedView.Store(nil)
	z.addedRecords = nil
}

// desiredZone is a valid zone, with what its listeners are bound to.
type desiredZone struct {
	Zone
	bindings []binding
}

// parseZones returns the valid zones, and what is wrong with the others.
func parseZones(zones []Zone) ([]desiredZone, []error) {
	var valid []desiredZone
	var errs []error
	seen := make(map[string]bool)
	for _, z := range zones {
		switch {
		case z.Network == "" || z.Device == "":
			errs = append(errs,
				ZoneError{z.Network, fmt.Errorf("serve names of network %q on device %q: both must be given", z.Network, z.Device)})
			continue
		case seen[z.Network]:
			errs = append(errs, ZoneError{z.Network, fmt.Errorf("serve names of network %q: it is given twice", z.Network)})
			continue
		}
		seen[z.Network] = true
		if z.Port == 0 {
			z.Port = Port
		}
		valid = append(valid, desiredZone{z, bindingsOf(z)})
	}
	return valid, errs
}

// bindingsOf returns where a zone should listen. The index of a device that does not exist is 0, to
// which nothing is bound.
func bindingsOf(z Zone) []binding {
	index, err := deviceIndex(z.Device)
	if err != nil {
		index = 0
	}
	var all []binding
	for _, addr := range z.Addrs {
		b := binding{z.Device, index, addr.Unmap().WithZone(""), z.Port}
		if !slices.Contains(all, b) {
			all = append(all, b)
		}
	}
	return all
}

// resolverAddrs returns where this host's resolvers are reached. They must not be their own
// upstreams.
func resolverAddrs(zones []desiredZone) map[netip.AddrPort]bool {
	addrs := make(map[netip.AddrPort]bool)
	for _, z := range zones {
		for _, b := range z.bindings {
			addrs[netip.AddrPortFrom(b.addr, b.port)] = true
			addrs[netip.AddrPortFrom(b.addr, Port)] = true // redirected to b.port
		}
	}
	return addrs
}

// closeStale closes what is not desired. That comes before anything is opened, as an address may
// have moved from one zone to another.
func (s *Server) closeStale(zones []desiredZone) {
	desired := make(map[string][]binding)
	for _, z := range zones {
		desired[z.Network] = z.bindings
	}
	for network, served := range s.zones {
		for b, l := range served.listeners {
			if !slices.Contains(desired[network], b) {
				l.close()
				delete(served.listeners, b)
			}
		}
		if _, ok := desired[network]; !ok {
			delete(s.zones, network)
		}
	}
}

// openMissing opens a zone's listeners that are missing.
func (s *Server) openMissing(z *servedZone) []error {
	var errs []error
	for _, b := range z.bindings {
		if z.listeners[b] != nil {
			continue
		}
		opened, err := openSockets(b)
		if err != nil {
			errs = append(errs,
				ZoneError{z.network,
					fmt.Errorf("serve names of network %q on %s port %d: %w%s", z.network, b.addr, b.port, err, hintFor(err))})
			continue
		}
		if opened.port != b.port {
			s.log.Info("port is taken, using another", "network", z.network, "addr", b.addr, "taken", b.port, "port",
				opened.port)
		}
		z.listeners[b] = s.startListener(z, opened)
	}
	return errs
}

// Listening returns the open listeners, in a stable order.
func (s *Server) Listening() []Listening {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Listening
	for _, z := range s.zones {
		for b, l := range z.listeners {
			all = append(all, Listening{z.network, b.device, b.addr, l.port})
		}
	}
	slices.SortFunc(all, func(a, b Listening) int {
		if c := strings.Compare(a.Network, b.Network); c != 0 {
			return c
		}
		return a.Addr.Compare(b.Addr)
	})
	return all
}

// Close stops answering and waits until all listeners have stopped. It may be repeated.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.closeStale(nil)
}
