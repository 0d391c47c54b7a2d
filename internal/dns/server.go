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

// Server answers for the zones of this host. It is ready for use after New.
type Server struct {
	log       *slog.Logger
	forwarder *forwarder
	forwards  *limiter
	conns     *limiter

	mu     sync.Mutex
	zones  map[string]*zone // by network
	closed bool
}

// zone is a Zone that is served.
type zone struct {
	network   string
	view      atomic.Pointer[view]
	newer     atomic.Pointer[view] // of what was added since, or nil
	members   atomic.Pointer[members]
	source    Zone // what the view is made from
	places    []place
	added     []Record
	listeners map[place]*listener
}

// place is where a listener is. One with a device of another index is elsewhere.
type place struct {
	device string
	index  uint32
	addr   netip.Addr
	port   uint16 // as wanted
}

// New returns a server without zones.
func New(log *slog.Logger) *Server {
	return &Server{
		log:       log,
		forwarder: newForwarder(log),
		forwards:  newLimiter(forwardLimits),
		conns:     newLimiter(connLimits),
		zones:     make(map[string]*zone),
	}
}

// Set makes the server serve these zones and no others, in the network namespace
// of the calling thread. Sockets that are right are kept; a question is answered
// from the old state or the new one. Call it again when a bridge was deleted and
// made anew, since sockets are bound to the device that was there. What is given
// is kept, and must not be changed afterwards.
//
// Listeners that could not be opened are reported, with what to do; all else is
// as wanted, and the next Set tries again. A zone that makes no sense is reported
// and not served.
func (s *Server) Set(zones []Zone) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("set zones: the server is closed")
	}
	wanted, errs := parseZones(zones)
	s.closeStale(wanted)
	own := ownResolvers(wanted)
	for _, z := range wanted {
		live := s.zones[z.Network]
		if live == nil {
			live = &zone{network: z.Network, listeners: make(map[place]*listener)}
			s.zones[z.Network] = live
		}
		live.places = z.places
		live.update(z.Zone, own)
		errs = append(errs, s.open(live, z.places)...)
	}
	s.connect(wanted)
	return errors.Join(errs...)
}

// AddRecord makes the server answer for one more container of this host, at a cost that grows with those that were added since
// the last Set only. It lasts until the next Set, which has it too. It returns false where the network is not served at
// all its addresses, as when its bridge is another by now.
//
// The container is answered for the names of its other networks only from the next Set on.
func (s *Server) AddRecord(network string, e Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[network]
	if z == nil || !z.served() {
		return false
	}
	z.added = append(slices.DeleteFunc(z.added, func(o Record) bool { return o.ID == e.ID }), e)
	z.newer.Store(z.view.Load().with(z.added))
	return true
}

// served tells whether the zone has a listener wherever it is to be asked, on the device that is there now.
func (z *zone) served() bool {
	return !slices.ContainsFunc(z.places, func(p place) bool {
		index, err := deviceIndex(p.device)
		return err != nil || index != p.index || z.listeners[p] == nil
	})
}

// ZoneError says why the names of a network are not answered.
type ZoneError struct {
	Network string
	Err     error
}

func (e ZoneError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e ZoneError) Unwrap() error { return e.Err }

// update makes a new view if the old one is not of these records. A network of
// thousands of containers takes milliseconds, and mostly only one of many changes.
func (z *zone) update(source Zone, own map[netip.AddrPort]bool) {
	old := z.view.Load()
	if old == nil || !z.source.sameRecords(source) || !slices.Equal(old.upstreams, usable(source.Upstreams, own)) {
		z.view.Store(newView(source, own))
		z.source = source
	}
	z.newer.Store(nil)
	z.added = nil
}

// wantedZone is a zone that can be served, and where.
type wantedZone struct {
	Zone
	places []place
}

func parseZones(zones []Zone) ([]wantedZone, []error) {
	var good []wantedZone
	var errs []error
	seen := make(map[string]bool)
	for _, z := range zones {
		switch {
		case z.Network == "" || z.Device == "":
			errs = append(errs, ZoneError{z.Network, fmt.Errorf("serve names of network %q on device %q: both must be given", z.Network, z.Device)})
			continue
		case seen[z.Network]:
			errs = append(errs, ZoneError{z.Network, fmt.Errorf("serve names of network %q: it is given twice", z.Network)})
			continue
		}
		seen[z.Network] = true
		if z.Port == 0 {
			z.Port = Port
		}
		good = append(good, wantedZone{z, places(z)})
	}
	return good, errs
}

// places returns where a zone is to listen. Where the device is not there its
// index is 0, which nothing is bound to.
func places(z Zone) []place {
	index, err := deviceIndex(z.Device)
	if err != nil {
		index = 0
	}
	var all []place
	for _, addr := range z.Addrs {
		p := place{z.Device, index, addr.Unmap().WithZone(""), z.Port}
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// ownResolvers returns what upstreams must not be.
func ownResolvers(zones []wantedZone) map[netip.AddrPort]bool {
	own := make(map[netip.AddrPort]bool)
	for _, z := range zones {
		for _, p := range z.places {
			own[netip.AddrPortFrom(p.addr, p.port)] = true
			own[netip.AddrPortFrom(p.addr, Port)] = true // from where it is redirected
		}
	}
	return own
}

// closeStale closes what is not wanted, of all zones before any opens: an address
// may have gone from one to another.
func (s *Server) closeStale(zones []wantedZone) {
	wanted := make(map[string][]place)
	for _, z := range zones {
		wanted[z.Network] = z.places
	}
	for network, live := range s.zones {
		for p, l := range live.listeners {
			if !slices.Contains(wanted[network], p) {
				l.close()
				delete(live.listeners, p)
			}
		}
		if _, ok := wanted[network]; !ok {
			delete(s.zones, network)
		}
	}
}

// open opens a zone's listeners that are missing.
func (s *Server) open(live *zone, places []place) []error {
	var errs []error
	for _, p := range places {
		if live.listeners[p] != nil {
			continue
		}
		sockets, err := listen(p)
		if err != nil {
			errs = append(errs, ZoneError{live.network, fmt.Errorf("serve names of network %q on %s port %d: %w%s", live.network, p.addr, p.port, err, hint(err))})
			continue
		}
		if sockets.port != p.port {
			s.log.Info("port is taken, using another", "network", live.network, "addr", p.addr, "taken", p.port, "port", sockets.port)
		}
		live.listeners[p] = s.serve(live, sockets)
	}
	return errs
}

// Listening returns the open listeners, in a stable order.
func (s *Server) Listening() []Listening {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Listening
	for _, z := range s.zones {
		for p, l := range z.listeners {
			all = append(all, Listening{z.network, p.device, p.addr, l.port})
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

// Close stops answering and waits for what is under way. It may be called again.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.closeStale(nil)
}
