package driver

import (
	"errors"
	"fmt"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// LocalNetwork is a network that has containers on this host.
type LocalNetwork struct {
	network.Network
	VTEP      network.VTEP
	Endpoints []*store.Record
	others    []network.Reservation
	adrift    bool // it cannot be placed on the host as it is now
	peers     network.Peers
	known     bool // peers are in the store
}

// Peers returns what the agent is known to have found out, if it has.
func (l LocalNetwork) Peers() (network.Peers, bool) { return l.peers, l.known }

func (l LocalNetwork) placed() placed {
	return placed{Network: l.Network, vtep: l.VTEP, others: l.others}
}

// Session is the host and the lock of its store, held together for one run of the
// agent's work.
type Session struct {
	b        build
	complete bool // Networks has read all
}

// Begin takes the lock.
func (d *Driver) Begin() (*Session, error) {
	if d.Rootless {
		return nil, errRootless
	}
	host, err := d.Open("")
	if err != nil {
		return nil, err
	}
	st, err := store.OpenCached(d.StoreDir, d.Records)
	if err != nil {
		host.Close()
		return nil, err
	}
	return &Session{b: build{d, st, host}}, nil
}

// Close gives the lock free.
func (s *Session) Close() error {
	s.b.host.Close()
	return s.b.st.Close()
}

// Empty tells whether the store has no network at all, be it one that cannot be read.
func (s *Session) Empty() (bool, error) {
	ids, err := s.b.st.Networks()
	return len(ids) == 0, err
}

// Networks returns what the host has. One whose underlay is down for a moment is as it
// was last placed; what cannot be read at all is left out. Both are in the error.
func (s *Session) Networks() ([]LocalNetwork, error) {
	ids, err := s.b.st.Networks()
	errs := []error{err}
	var all []LocalNetwork
	for _, id := range ids {
		l, err := s.local(id)
		errs = append(errs, of(id, err))
		if l.ID != "" {
			all = append(all, l)
		}
	}
	s.complete = len(all) == len(ids) && err == nil
	return all, errors.Join(errs...)
}

func (s *Session) local(id string) (LocalNetwork, error) {
	config, err := s.b.st.Config(id)
	if err != nil {
		return LocalNetwork{}, err
	}
	p, err := s.b.place(config)
	adrift := err != nil
	if adrift {
		err = fmt.Errorf("%s: %w", id, err)
		var storedErr error
		if p, storedErr = s.b.stored(id); storedErr != nil {
			return LocalNetwork{}, errors.Join(err, storedErr)
		}
	}
	records, readErr := s.b.st.Records(id)
	l := LocalNetwork{Network: p.Network, VTEP: p.vtep, Endpoints: records, others: p.others, adrift: adrift}
	var peersErr error
	l.peers, l.known, peersErr = s.b.st.Peers(id)
	return l, errors.Join(err, readErr, peersErr)
}

// SetPeers keeps what the agent has found out of a network, and completes l by it. Mend
// builds by it.
func (s *Session) SetPeers(l *LocalNetwork, p network.Peers) error {
	if err := s.b.st.SetPeers(l.ID, p); err != nil {
		return of(l.ID, err)
	}
	again, err := s.local(l.ID)
	if again.ID != "" {
		*l = again
	}
	return of(l.ID, err)
}

// Forward has frames go straight to the hosts that have their MACs. remotes are in order
// of trust. While not all hosts have been heard of, what is there stays.
func (s *Session) Forward(l LocalNetwork, remotes []plan.Remote, complete bool) error {
	if l.adrift {
		return nil // in the error of Networks
	}
	if err := s.b.forward(l.placed(), l.Endpoints, remotes, complete); err != nil {
		return of(l.ID, fmt.Errorf("network %s: forward to other hosts: %w", l.Name, err))
	}
	return nil
}

func (b build) forward(p placed, local []*store.Record, remotes []plan.Remote, complete bool) error {
	// Who wants MACs to be learned wants to see what an exact network keeps from the wire.
	exact := p.vtep.StaticFDB && !p.Learning.Value
	want := plan.Forward(p.Network, p.vtep, plan.Known{
		StaticFDB: exact, Partial: !complete, Remotes: remotes, Local: endpoints(local),
	})
	err := reconcile.Forwarding(b.host, want)
	if err != nil && !want.FastPath.IsEmpty() {
		return err // to what it leads past, it must not lead yet
	}
	return errors.Join(err, b.setFastPath(want.FastPath))
}

// setFastPath does without where the kernel has no such thing: packets pass the bridge then.
func (b build) setFastPath(want kernel.FastPath) error {
	if b.noFastPath {
		want.Ports = nil
	}
	err := b.host.SetFastPath(want)
	if !errors.Is(err, kernel.ErrNoFastPath) {
		return err
	}
	b.noFastPath = true
	b.Warn(fmt.Sprintf("all packets pass the bridges: %v", err))
	want.Ports = nil
	return b.host.SetFastPath(want)
}

// Announce has a container announce its addresses, if it is still there and has its interface as it was made.
func (s *Session) Announce(l LocalNetwork, r *store.Record) error {
	e := plan.Compute(l.Network, l.VTEP, []network.Endpoint{r.Endpoint}).Veths[0]
	if _, err := s.b.host.Link(e.Port.Name, 0); errors.Is(err, kernel.ErrNotFound) {
		return nil
	}
	container, err := s.b.Open(r.Namespace)
	if err != nil {
		return err
	}
	defer container.Close()
	have, err := container.Link(e.Container.Name, 0)
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return err
	}
	if have.Alias != e.Container.Alias || !e.Container.MAC.IsZero() && have.MAC != e.Container.MAC {
		return nil // what a container does with its own interface is its own
	}
	return reconcile.Announce(s.b.host, container, e)
}

// Record reads a container's record without the lock: it is replaced as a whole.
func (d *Driver) Record(networkID, containerID string) (store.Record, error) {
	return store.ReadRecord(d.StoreDir, networkID, containerID)
}

// Age is how long ago a container was set up first.
func (s *Session) Age(r *store.Record) (time.Duration, error) {
	now, err := sinceBoot()
	return now - r.SetUp, err
}

// Mend makes the host hold what the networks ask for. Where all is in place it changes
// nothing.
func (s *Session) Mend(locals []LocalNetwork) error { return s.mend(locals, s.b.mend) }

// Follow is Mend where nothing has changed but what is known of other hosts. It does not
// look at the containers' ports, which takes the longer the more there are.
func (s *Session) Follow(locals []LocalNetwork) error {
	return s.mend(locals, func(p placed, records []*store.Record) error {
		return s.b.devices(p, plan.Compute(p.Network, p.vtep, endpoints(records)), reconcile.Network)
	})
}

func (s *Session) mend(locals []LocalNetwork, one func(placed, []*store.Record) error) error {
	errs := []error{s.mendFirewall(locals)}
	for _, l := range locals {
		if l.adrift {
			continue // in the error of Networks
		}
		if err := one(l.placed(), l.Endpoints); err != nil {
			errs = append(errs, of(l.ID, fmt.Errorf("network %s: %w", l.Name, err)))
		}
	}
	return errors.Join(errs...)
}

// mendFirewall sets all anew if a rule or what stands for a network is not as it should
// be; else it adds what endpoints lack.
func (s *Session) mendFirewall(locals []LocalNetwork) error {
	if len(locals) == 0 {
		return nil
	}
	var claims []claim
	whole, err := s.b.host.FirewallIntact()
	if err != nil {
		return err
	}
	for _, l := range locals {
		elements := l.placed().elements()
		claims = append(claims, claimsFor(l.placed(), l.Endpoints)...)
		if !whole {
			continue
		}
		note, there, err := s.b.host.ElementComment(elements[0])
		if err != nil {
			return err
		}
		whole = there && note == elements[0].Comment
	}
	if whole {
		err := reconcile.AddElements(s.b.host, settle(ofEndpoints(claims)))
		if !errors.Is(err, kernel.ErrElementTaken) {
			return err
		}
	}
	if !s.complete {
		return errors.New("the firewall is not as it should be, and cannot be set anew while a network cannot be read")
	}
	return reconcile.ResetFirewall(s.b.host, settle(claims))
}

func ofEndpoints(claims []claim) []claim {
	var all []claim
	for _, c := range claims {
		if c.container != "" {
			all = append(all, c)
		}
	}
	return all
}

// mend puts a network's devices and ports right.
func (b build) mend(p placed, records []*store.Record) error {
	s := plan.Compute(p.Network, p.vtep, endpoints(records))
	if err := b.devices(p, s, reconcile.Network); err != nil {
		return err
	}
	var ports []kernel.Link
	for _, e := range s.Veths {
		ports = append(ports, e.Port)
	}
	return reconcile.Ports(b.host, p.Bridge.Name, ports)
}
