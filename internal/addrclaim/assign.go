package addrclaim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// maxAttempts bounds how often a claim may lose. Each time at least one other host gets what it
// wanted.
const maxAttempts = 8

// Request asks for the addresses of a container whose record is in the store.
type Request struct {
	membership.EndpointKey
	Wanted []netip.Addr // the user's; a subnet with one of them gets no other
}

// Assign returns the container's addresses, one of each subnet and the wanted ones, once no other
// host objects to them. A container that has addresses, or was granted some, keeps them: its plugin
// may have been killed, and asks again. Requests for one container are handled one after the other.
func (c *Claims) Assign(ctx context.Context, r Request) ([]netip.Addr, error) {
	end, err := c.beginAssign(ctx, r.EndpointKey)
	if err != nil {
		return nil, err
	}
	defer end()
	e, err := c.lookupEndpoint(r.EndpointKey)
	if err != nil {
		return nil, err
	}
	if addrs := membership.AddrsOf(e.Endpoint); len(addrs) > 0 {
		return addrs, nil
	}
	if addrs := c.grantedAddrs(r); len(addrs) > 0 {
		return addrs, nil
	}
	for _, cl := range e.clusters {
		if err := cl.WaitForPeers(ctx); err != nil {
			return nil, err
		}
	}
	addrs, err := c.negotiate(ctx, r)
	if err != nil {
		c.releaseClaim(r.EndpointKey)
		return nil, err
	}
	c.noteGranted(r.EndpointKey)
	return addrs, nil
}

// recordedEndpoint is an endpoint that is in the store, with what is needed to claim its addresses.
type recordedEndpoint struct {
	*network.Endpoint
	network  membership.Network
	probe    ProbeFunc
	clusters []boundCluster
}

// boundCluster is a cluster, and the address that it talks by.
type boundCluster struct {
	Cluster
	bind netip.Addr
}

// binds are the clusters' addresses.
func (e recordedEndpoint) binds() (all []netip.Addr) {
	for _, cl := range e.clusters {
		all = append(all, cl.bind)
	}
	return all
}

// members are the network's members by all clusters. One may be there twice.
func (e recordedEndpoint) members() []*cluster.Member {
	if len(e.clusters) == 1 {
		return e.network.Members(e.clusters[0].Snapshot())
	}
	var all []*cluster.Member
	for _, cl := range e.clusters {
		all = append(all, e.network.Members(cl.Snapshot())...)
	}
	return all
}

// lookupEndpoint finds an endpoint whose addresses the agent assigns.
func (c *Claims) lookupEndpoint(key membership.EndpointKey) (recordedEndpoint, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.lookupEndpointLocked(key)
	if err == nil && !e.network.AgentPicks() {
		return recordedEndpoint{}, fmt.Errorf("addresses of network %s are not picked by the agent", e.network.Name)
	}
	return e, err
}

// lookupEndpointLocked finds an endpoint in all of its clusters. Servers come first, which have the last word.
func (c *Claims) lookupEndpointLocked(key membership.EndpointKey) (found recordedEndpoint, err error) {
	for _, bind := range slices.SortedFunc(maps.Keys(c.states), netip.Addr.Compare) {
		state := c.states[bind]
		n, e, ok := state.findEndpoint(key)
		if !ok {
			continue
		}
		found.Endpoint, found.network, found.probe = e, n, state.Probe
		found.clusters = append(found.clusters, boundCluster{state.Cluster, bind})
	}
	if len(found.clusters) == 0 {
		return recordedEndpoint{}, NotRecordedError{key}
	}
	// An address that one plane alone knows to be taken could be given out by the other.
	if n := found.network; len(found.clusters) < len(n.Planes()) {
		return recordedEndpoint{}, fmt.Errorf("network %s is found by %s and %s, and the agent has no connection by one of "+
			"them; `vxlanctl status` says why", n.Name, n.Discovery, n.DiscoveryAlso)
	}
	return found, nil
}

// NotRecordedError is of a container that is on no network of a cluster that runs.
type NotRecordedError struct{ membership.EndpointKey }

// Error says which container and network.
func (e NotRecordedError) Error() string {
	return fmt.Sprintf("container %s is not recorded on network %s", e.ContainerID, e.NetworkID)
}

// selection says which addresses an attempt to claim may use.
type selection struct {
	keep    []netip.Addr // the user's, and those that nobody objected to
	avoid   []netip.Addr // lost to others in earlier attempts
	attempt int
}

// replaceContested makes the next attempt keep the claimed addresses except the contested ones.
func (s *selection) replaceContested(claimed []netip.Addr, contested map[netip.Addr]error) {
	s.keep = nil
	for _, a := range claimed {
		if contested[a] == nil {
			s.keep = append(s.keep, a)
		} else {
			s.avoid = append(s.avoid, a)
		}
	}
}

// negotiate claims addresses until no host has them, and none without an agent answers a probe for
// them.
func (c *Claims) negotiate(ctx context.Context, r Request) ([]netip.Addr, error) {
	pick := selection{keep: r.Wanted}
	for pick.attempt = range maxAttempts {
		addrs, err := c.pickAddresses(r.EndpointKey, pick)
		if err != nil {
			return nil, err
		}
		contested, err := c.claimAddresses(ctx, r.EndpointKey, addrs)
		if err != nil || len(contested) == 0 {
			return addrs, err
		}
		for _, w := range r.Wanted {
			if contested[w] != nil {
				return nil, contested[w]
			}
		}
		pick.replaceContested(addrs, contested)
	}
	return nil, fmt.Errorf("other hosts took the address first in each of %d attempts; try again", maxAttempts)
}

// pickAddresses picks an address of each subnet that has none among the kept ones. An address that
// is in use is not picked. On the first attempt the kept ones are the user's, and are checked too.
func (c *Claims) pickAddresses(key membership.EndpointKey, pick selection) ([]netip.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.lookupEndpointLocked(key)
	if err != nil {
		return nil, err
	}
	n := e.network
	owners := c.ownersLocked(n, e.members(), key.ContainerID)
	owners.addOwn(addressOwner{vtep: n.VTEP.Local}, append(n.HostAddrs(), c.hostAddrs[n.ID]...)...)
	if pick.attempt == 0 {
		if err := checkAvailable(n, pick.keep, owners); err != nil {
			return nil, err
		}
	}
	addrs, err := c.pickLocked(n, pick, owners)
	if err != nil {
		return nil, errNoAddress(n, owners, err)
	}
	if c.active == nil {
		c.active = make(map[membership.EndpointKey]addressClaim)
	}
	c.active[key] = addressClaim{addrs: addrs, network: n.Key(), binds: e.binds(), since: boottime.Now()}
	return addrs, nil
}

// checkAvailable returns an error if a container cannot have the addresses that its user wants.
func checkAvailable(n membership.Network, wanted []netip.Addr, owners *addressOwners) error {
	for _, a := range wanted {
		if _, ok := n.SubnetOf(a); !ok {
			return fmt.Errorf("address %v is in no subnet of network %s", a, n.Name)
		}
		if owner, ok := owners.Of(a); ok {
			return errInUse(n, a, owner)
		}
	}
	return nil
}

func errInUse(n membership.Network, a netip.Addr, owner addressOwner) error {
	text := fmt.Sprintf("address %v of network %s is in use by %v; choose another --ip", a, n.Name, owner)
	if n.PodmanPicks {
		text += ", or without one start it again, and Podman picks the next address"
	}
	if owner.unreachable {
		text += fmt.Sprintf("; if host %s is gone for good: `vxlanctl host forget %s`", owner.host, owner.addr)
	}
	return errors.New(text)
}

// errNoAddress adds to an error that a network has no free address whose addresses can be freed.
func errNoAddress(n membership.Network, owners *addressOwners, err error) error {
	var hosts []string
	for _, ref := range owners.byAddr {
		if o := owners.describe(ref); o.unreachable && !slices.Contains(hosts, o.host) {
			hosts = append(hosts, o.host)
		}
	}
	if len(hosts) == 0 {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	slices.Sort(hosts)
	return fmt.Errorf("network %s: %w; `vxlanctl host forget HOST` frees those of a host that is gone for good: %s",
		n.Name, err, strings.Join(hosts, ", "))
}

// pickLocked returns the kept addresses and one of each other subnet, in the subnets' order.
func (c *Claims) pickLocked(n membership.Network, pick selection, owners *addressOwners) ([]netip.Addr, error) {
	taken := func(a netip.Addr) bool {
		_, owned := owners.byAddr[a]
		return owned || slices.Contains(pick.avoid, a)
	}
	var picked []netip.Addr
	for _, s := range n.Subnets {
		ofSubnet := slices.DeleteFunc(slices.Clone(pick.keep), func(a netip.Addr) bool { return !s.Prefix.Contains(a) })
		if len(ofSubnet) == 0 {
			a, err := ipam.PickAddress(s, c.startLocked(n, s, pick.attempt), taken)
			if err != nil {
				return nil, err
			}
			c.nextStart[startKey(n, s)] = a.Next()
			ofSubnet = append(ofSubnet, a)
		}
		picked = append(picked, ofSubnet...)
	}
	return picked, nil
}

// startLocked returns where the search for a free address starts: behind the last one or, after a
// lost claim, elsewhere. Otherwise two hosts would collide again at the next address.
func (c *Claims) startLocked(n membership.Network, s network.Subnet, attempt int) netip.Addr {
	if c.nextStart == nil {
		c.nextStart = make(map[string]netip.Addr)
	}
	start, ok := c.nextStart[startKey(n, s)]
	switch {
	case attempt > 0:
		return ipam.StartAddress(s, fmt.Sprint(n.VTEP.Local, start, attempt))
	case !ok:
		return ipam.StartAddress(s, n.VTEP.Local.String())
	}
	return start
}

func startKey(n membership.Network, s network.Subnet) string { return n.ID + " " + s.Prefix.String() }

// claimAddresses claims addresses, and returns those that somebody else has. Meanwhile it probes the
// overlay for hosts without an agent.
func (c *Claims) claimAddresses(ctx context.Context, key membership.EndpointKey,
	addrs []netip.Addr) (map[netip.Addr]error, error) {
	e, err := c.lookupEndpoint(key)
	if err != nil {
		return nil, err
	}
	type probeResult struct {
		answered map[netip.Addr]error
		err      error
	}
	probed := make(chan probeResult, 1)
	go func() {
		answered, err := e.probe(key.NetworkID, *e.Endpoint, addrs)
		probed <- probeResult{answered, err}
	}()
	taken, err := e.claim(ctx, addrs)
	probe := <-probed
	switch {
	case ctx.Err() != nil:
		return nil, ErrShuttingDown
	case err != nil || probe.err != nil:
		return nil, errors.Join(err, probe.err)
	case !c.isActive(key):
		return nil, fmt.Errorf("the address claim of container %s expired; start it again", key.ContainerID)
	}
	contested := make(map[netip.Addr]error)
	for a, reason := range probe.answered {
		contested[a] = reason
	}
	for a, h := range taken {
		contested[a] = errInUse(e.network, a, ownerOf(h))
	}
	return contested, nil
}

// claim claims addresses in one cluster after the other, and ends where somebody else has one.
func (e recordedEndpoint) claim(ctx context.Context, addrs []netip.Addr) (map[netip.Addr]cluster.Holder, error) {
	for _, cl := range e.clusters {
		taken, err := cl.Claim(ctx, e.network.Key(), e.ContainerID, addrs)
		if err != nil || len(taken) > 0 {
			return taken, err
		}
	}
	return nil, nil
}

func (c *Claims) isActive(key membership.EndpointKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	claim, ok := c.active[key]
	return ok && !claim.hasExpired()
}

// releaseClaim gives a claim up.
func (c *Claims) releaseClaim(key membership.EndpointKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, bind := range c.active[key].binds {
		c.endClaimLocked(key, bind)
	}
}
