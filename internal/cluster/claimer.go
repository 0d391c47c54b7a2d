package cluster

import (
	"context"
	"net/netip"
)

// Claimer is a plane that settles who may use an address. So two hosts never hand out the same, as
// long as they can reach each other.
//
// With a plane that is none the agent picks no addresses. Networks that list their hosts need none:
// there each host hands out addresses of a slice of the subnet that is its own.
type Claimer interface {
	// Claim reserves addresses of a network for a container of this host, which has been Set to be
	// on the network and is not published yet. It returns once that is settled, or, if some hosts
	// do not answer, after a bounded time.
	//
	// If others have some of the addresses, or had claimed them first, it says who, and reserves
	// none. A further claim of the same container replaces the one before.
	Claim(ctx context.Context, network NetworkKey, containerID string,
		addrs []netip.Addr) (taken map[netip.Addr]Holder, err error)
	// Release ends a claim: the container is published with its addresses, or does not need them.
	Release(network NetworkKey, containerID string)
}

// Holder is who has an address.
type Holder struct {
	Host        string     // "": this one
	Addr        netip.Addr // where the host's agent listens; none for this one
	Container   string     // the name of its container; "": it has none, or the host itself has the address
	ContainerID string     // "": the host itself has the address
	// Pending tells that the address is only claimed. So it may be free again in a moment.
	Pending     bool
	Unreachable bool // the host does not answer; what it has stays its own
}
