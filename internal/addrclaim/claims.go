package addrclaim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// Cluster is the part of a running cluster that claims need.
type Cluster interface {
	// SetMemberships publishes what this host has.
	SetMemberships([]cluster.Membership) error
	// Snapshot returns what the other hosts have.
	Snapshot() cluster.Snapshot
	// WaitForPeers returns once it is known what the other hosts have, or after a bounded time.
	WaitForPeers(context.Context) error
	cluster.Claimer
}

// ProbeFunc probes the overlay for addresses that an endpoint is about to get. It returns an error
// for each address that is in use.
type ProbeFunc func(networkID string, e network.Endpoint, addrs []netip.Addr) (map[netip.Addr]error, error)

// HostState is what this host has in a cluster.
type HostState struct {
	Cluster  Cluster
	Networks []membership.Network
	Probe    ProbeFunc

	memberships []cluster.Membership // of Networks, without claims
}

// Claims are the addresses that containers of this host are about to get. Requests for addresses do
// not wait for the agent's loop, so Claims also keeps what the last turn published. The zero value
// is ready for use, by many goroutines.
type Claims struct {
	mu     sync.Mutex
	states map[netip.Addr]HostState // by the address that the cluster's hosts talk by
	active map[membership.EndpointKey]addressClaim
	// assigning has the requests that are under way: a channel each that is closed in the end.
	assigning map[membership.EndpointKey]chan struct{}
	// nextStart is where the search for a free address goes on, by network and subnet. So the
	// address that was freed last is handed out last.
	nextStart map[string]netip.Addr
	hostAddrs map[string][]netip.Addr // this host's own, by network, from the moment that they are chosen
	// undisputed are the members, by network, that have no better right to those addresses.
	undisputed map[string][]*cluster.Member
	lists      map[string]*membership.MemberList // by network
	// joining are networks whose first container is being built. Turns do not know of them yet.
	joining map[netip.Addr][]joiningNetwork // by the cluster's address
	omitted map[netip.Addr][]string         // what cannot be announced, by the cluster's address
}

// joiningNetwork is a network that this host joins.
type joiningNetwork struct {
	cluster.Membership
	since time.Time
}

// joinTimeout is longer than a container is built. After that its start has failed.
const joinTimeout = 10 * time.Second

// addressClaim is an address claim that waits for other hosts, or for its plugin to record it.
type addressClaim struct {
	addrs   []netip.Addr
	granted bool // nobody has objected
	network cluster.NetworkKey
	binds   []netip.Addr // of the clusters: two while the network moves from one to the other
	since   time.Time    // by package boottime: others may forget a host that is suspended
}

func (a addressClaim) hasExpired() bool { return boottime.Since(a.since) > claimTimeout }

// claimTimeout is longer than a plugin can wait for the store's lock once it has the answer. After
// that the plugin has recorded the addresses, or never will.
const claimTimeout = 90 * time.Second

// ErrShuttingDown is returned to callers that wait while the agent shuts down.
var ErrShuttingDown = errors.New("the agent is shutting down")

// Publish tells the cluster that talks by the address bind what this host has. Then it ends the
// claims whose container has its addresses by now, or is gone.
func (c *Claims) Publish(bind netip.Addr, state HostState) error {
	state.memberships = membership.Publish(state.Networks)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.states == nil {
		c.states = make(map[netip.Addr]HostState)
	}
	c.states[bind] = state
	err := c.publishLocked(bind)
	for key, claim := range c.active {
		if !slices.Contains(claim.binds, bind) {
			continue
		}
		n, e, ok := state.findEndpoint(key)
		if !ok || !n.AwaitsAddresses(e) || claim.hasExpired() {
			c.endClaimLocked(key, bind)
		}
	}
	return err
}

// endClaimLocked ends a claim in one of its clusters.
func (c *Claims) endClaimLocked(key membership.EndpointKey, bind netip.Addr) {
	if state, ok := c.states[bind]; ok {
		state.Cluster.Release(c.active[key].network, key.ContainerID)
	}
	c.dropClaimLocked(key, bind)
}

// dropClaimLocked forgets that something is claimed in a cluster.
func (c *Claims) dropClaimLocked(key membership.EndpointKey, bind netip.Addr) {
	claim := c.active[key]
	claim.binds = slices.DeleteFunc(slices.Clone(claim.binds), func(b netip.Addr) bool { return b == bind })
	if c.active[key] = claim; len(claim.binds) == 0 {
		delete(c.active, key)
	}
}

// Forget drops a cluster that was stopped, with what was claimed in it.
func (c *Claims) Forget(bind netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.states, bind)
	delete(c.joining, bind)
	delete(c.omitted, bind)
	for key := range c.active {
		c.dropClaimLocked(key, bind)
	}
}

// PublishJoining tells the cluster that talks by the address bind, if it has been started, that
// this host joins a network. A turn that finds the network in the store publishes it with all that
// it has; until then none withdraws it.
func (c *Claims) PublishJoining(bind netip.Addr, m cluster.Membership) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, started := c.states[bind]; !started {
		return nil
	}
	if c.joining == nil {
		c.joining = make(map[netip.Addr][]joiningNetwork)
	}
	c.joining[bind] = append(c.joining[bind], joiningNetwork{m, boottime.Now()})
	return c.publishLocked(bind)
}

// IsJoining tells whether this host joins a network of the cluster that talks by the address bind.
func (c *Claims) IsJoining(bind netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.joining[bind],
		func(j joiningNetwork) bool { return boottime.Since(j.since) <= joinTimeout })
}

// withJoiningLocked adds the networks that this host joins, and forgets those that it has joined.
func (c *Claims) withJoiningLocked(bind netip.Addr, memberships []cluster.Membership) []cluster.Membership {
	if len(c.joining[bind]) == 0 {
		return memberships
	}
	c.joining[bind] = slices.DeleteFunc(c.joining[bind], func(j joiningNetwork) bool {
		joined := slices.ContainsFunc(memberships, func(m cluster.Membership) bool { return m.Network == j.Network })
		if joined || boottime.Since(j.since) > joinTimeout {
			return true
		}
		memberships = append(memberships, j.Membership)
		return false
	})
	return memberships
}

func (c *Claims) publishLocked(bind netip.Addr) error {
	state := c.states[bind]
	memberships := c.withJoiningLocked(bind, slices.Clone(state.memberships))
	err := state.Cluster.SetMemberships(memberships)
	omitted, partly := errors.AsType[cluster.OmittedError](err)
	if c.omitted == nil {
		c.omitted = make(map[netip.Addr][]string)
	}
	c.omitted[bind] = omitted.Reasons
	if err != nil && !partly {
		return fmt.Errorf("cluster of %v: %w", bind, err)
	}
	return nil
}

// OfNetwork returns the addresses that containers of a network are about to get, by container.
func (c *Claims) OfNetwork(networkID string) map[string][]netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	claimed := make(map[string][]netip.Addr)
	for key, claim := range c.active {
		if key.NetworkID == networkID {
			claimed[key.ContainerID] = claim.addrs
		}
	}
	return claimed
}

// Omitted says what this host has and cannot announce.
func (c *Claims) Omitted() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, bind := range slices.SortedFunc(maps.Keys(c.omitted), netip.Addr.Compare) {
		all = append(all, c.omitted[bind]...)
	}
	return all
}

func (s HostState) findEndpoint(key membership.EndpointKey) (membership.Network, *network.Endpoint, bool) {
	for _, n := range s.Networks {
		if n.ID != key.NetworkID {
			continue
		}
		if e, ok := n.Endpoint(key.ContainerID); ok {
			return n, e, true
		}
	}
	return membership.Network{}, nil, false
}
