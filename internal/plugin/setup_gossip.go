package plugin

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// connectGossip connects a container to a network whose hosts find each other. The agent picks its
// addresses, and needs the store's lock for that. So the lock is released in between, and a record
// without addresses says what is under way. If this program is killed, the next teardown or setup
// clears the record.
func (c hostSetup) connectGossip() (setupResult, error) {
	if !c.network.AgentPicks() {
		return c.connectWithoutAddresses()
	}
	addrs, err := c.connectShared()
	if err != nil {
		return setupResult{}, err
	}
	if addrs == nil {
		addrs, err = c.Agent.AssignAddresses(c.network.ID, c.endpoint.ContainerID, addrsOf(c.endpoint))
	}
	if err != nil {
		return setupResult{}, errors.Join(fmt.Errorf("address on network %s: %w", c.network.Name, err), c.abandon())
	}
	return c.connectWith(addrs)
}

// connectWithoutAddresses connects a container to a network without subnets. It still needs the
// agent, since only the agent knows where the other hosts are.
func (c hostSetup) connectWithoutAddresses() (setupResult, error) {
	r, err := c.connectStatic()
	if err != nil {
		return setupResult{}, err
	}
	if err := c.Agent.Sync(c.network.ID); err != nil {
		return setupResult{}, errors.Join(fmt.Errorf("hosts of network %s: %w", c.network.Name, err), c.abandon())
	}
	return r, nil
}

// connectShared records that the container is about to come, and builds what it shares with others.
// It returns the addresses of a container that was set up before and not torn down: it keeps them.
func (c hostSetup) connectShared() ([]netip.Addr, error) {
	s, err := c.BeginIn(c.host)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	n, err := s.Prepare(c.network, c.endpoint)
	if err != nil {
		return nil, err
	}
	e := c.endpoint
	if old, err := c.Record(n.ID, e.ContainerID); err == nil && isRepeated(old.Endpoint, e) {
		return addrsOf(old.Endpoint), nil
	}
	e.Addrs, e.MAC = nil, kernel.MAC{}
	if err := s.ConnectShared(n, e, c.request.Network); err != nil {
		return nil, errors.Join(err, undoSetup(s, n.Identity, e))
	}
	return nil, nil
}

// isRepeated tells whether an endpoint is set up again in its namespace, with the addresses that
// its user wants.
func isRepeated(old, e network.Endpoint) bool {
	return old.Namespace == e.Namespace && len(old.Addrs) > 0 &&
		!slices.ContainsFunc(e.Addrs, func(p netip.Prefix) bool { return !slices.Contains(old.Addrs, p) })
}

// connectWith connects the container with its addresses. The network is placed anew, since the
// agent may have found other hosts meanwhile.
func (c hostSetup) connectWith(addrs []netip.Addr) (setupResult, error) {
	s, err := c.BeginIn(c.host)
	if err != nil {
		return setupResult{}, err // without the lock nothing can be undone
	}
	defer s.Close()
	n, err := s.Place(c.request.Network)
	if err != nil {
		return setupResult{}, errors.Join(err, undoSetup(s, c.network.Identity, c.endpoint))
	}
	request := attachRequest(c.path, c.request)
	request.Addrs = addrs
	e, err := network.ParseEndpoint(n.Network, request)
	if err != nil {
		err = fmt.Errorf("container %s on network %s: %w", c.request.ContainerName, n.Name, err)
		return setupResult{}, errors.Join(err, undoSetup(s, c.network.Identity, c.endpoint))
	}
	if old, err := c.Record(n.ID, e.ContainerID); err == nil && isRepeated(old.Endpoint, e) {
		e.Requested = old.Requested // `podman network reload` names the addresses that the agent had picked
	}
	return c.connect(s, n, e)
}

func addrsOf(e network.Endpoint) []netip.Addr {
	var all []netip.Addr
	for _, p := range e.Addrs {
		all = append(all, p.Addr())
	}
	return all
}
