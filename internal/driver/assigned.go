package driver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/store"
)

// arrival is the start of a container on a network that the hosts find each other for. The
// agent picks its addresses, and needs the store's lock for that. So the lock is given
// free in between, and a record without addresses tells what is under way. Whoever is
// killed leaves it to the next teardown.
type arrival struct {
	*Driver
	namespace       string
	request         netavark.Request
	host, container Namespace
	placed          placed
	asked           network.Endpoint // with the addresses that the user asked for
}

// connect builds the endpoint, and takes it back when that fails.
func (a arrival) connect() (attached, error) {
	if !a.placed.AgentPicks() {
		return a.connectBare()
	}
	addrs, err := a.begin()
	if err != nil {
		return attached{}, err
	}
	if addrs == nil {
		addrs, err = a.Agent.AssignAddresses(a.placed.ID, a.asked.ContainerID, addrsOf(a.asked))
	}
	if err != nil {
		return attached{}, errors.Join(fmt.Errorf("address on network %s: %w", a.placed.Name, err), a.abandon(a.placed, a.asked, a.host))
	}
	return a.finish(addrs)
}

// connectBare is connect on a network without addresses, which needs the agent all the
// same: nobody else tells where the other hosts are.
func (a arrival) connectBare() (attached, error) {
	up, err := a.Driver.connect(a.placed, a.asked, a.host, a.container, a.request.Network)
	if err != nil {
		return attached{}, err
	}
	if err := a.Agent.Sync(a.placed.ID); err != nil {
		return attached{}, errors.Join(fmt.Errorf("hosts of network %s: %w", a.placed.Name, err), a.abandon(a.placed, a.asked, a.host))
	}
	return up, nil
}

// begin records that the container is about to come, and builds what it shares with
// others. One that was set up before, and not torn down, keeps its addresses.
func (a arrival) begin() ([]netip.Addr, error) {
	st, err := store.Open(a.StoreDir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	b := build{a.Driver, st, a.host}
	e := a.asked
	p, err := b.ready(a.placed, e)
	if err != nil {
		return nil, err
	}
	if old, err := st.Record(p.ID, e.ContainerID); err == nil && isAgain(old.Endpoint, e) {
		return addrsOf(old.Endpoint), nil
	}
	e.Addrs, e.MAC = nil, kernel.MAC{}
	if _, err := b.prepare(p, e, a.request.Network); err != nil {
		return nil, errors.Join(err, b.undo(p.Identity, e))
	}
	return nil, nil
}

// isAgain tells whether an endpoint is set up as it was, as far as its user cares.
func isAgain(old, e network.Endpoint) bool {
	return old.Namespace == e.Namespace && len(old.Addrs) > 0 &&
		!slices.ContainsFunc(e.Addrs, func(p netip.Prefix) bool { return !slices.Contains(old.Addrs, p) })
}

// finish builds the endpoint with its addresses.
func (a arrival) finish(addrs []netip.Addr) (attached, error) {
	st, err := store.Open(a.StoreDir)
	if err != nil {
		return attached{}, err // without the lock nothing can be undone
	}
	defer st.Close()
	b := build{a.Driver, st, a.host}
	up, err := a.complete(b, addrs)
	if err != nil {
		return attached{}, errors.Join(err, b.undo(a.placed.Identity, a.asked))
	}
	return up, nil
}

// complete is finish without the undoing. The network is placed anew, since the agent may
// have found other hosts meanwhile.
func (a arrival) complete(b build, addrs []netip.Addr) (attached, error) {
	p, err := b.place(a.request.Network)
	if err != nil {
		return attached{}, err
	}
	at := attachment(a.namespace, a.request)
	at.Addrs = addrs
	e, err := network.ParseEndpoint(p.Network, at)
	if err != nil {
		return attached{}, fmt.Errorf("container %s on network %s: %w", a.request.ContainerName, p.Name, err)
	}
	return b.attach(p, e, a.container, a.request.Network)
}

func addrsOf(e network.Endpoint) []netip.Addr {
	var all []netip.Addr
	for _, p := range e.Addrs {
		all = append(all, p.Addr())
	}
	return all
}
