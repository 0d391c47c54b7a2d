package dns

import (
	"net/netip"
	"slices"
)

// SearchDomain is the domain that Podman puts into a container's resolv.conf. So web and
// web.dns.podman are the same name.
const SearchDomain = "dns.podman"

// Port is where containers send queries: resolv.conf(5) cannot name another port.
const Port = 53

// Zone is one network on this host: where its resolver listens, and its records.
type Zone struct {
	// Network is the zone's unique name, also in logs and errors.
	Network string
	// Device is the network's bridge. Sockets are bound to it, so that the resolver cannot be
	// reached from another network or the underlay. The host can reach it.
	Device string
	// Addrs are the addresses to listen on. The bridge need not have them yet.
	Addrs []netip.Addr
	// Port to listen on; 0 is 53.
	Port uint16
	// Subnets are the network's. Reverse lookups in them are never forwarded.
	Subnets []netip.Prefix
	// Records are all containers of the network, on all hosts.
	Records []Record
	// Upstreams are the name servers for names outside, in order of preference. Without any, nobody
	// knows whether such a name exists, and the answer is SERVFAIL.
	Upstreams []netip.AddrPort
	// Internal is set where other names do not exist, and Upstreams are not asked.
	Internal bool
	// Elsewhere returns the name servers of a container that is on a network besides the zones, if
	// any. It is asked for containers with an ID that are on internal networks only.
	Elsewhere func(id string) []netip.AddrPort
}

// Record is a container's names and addresses on a network.
type Record struct {
	// ID identifies a container of this host in all of its zones; "" on other hosts.
	ID string
	// Names are the container's name, its aliases and the first 12 digits of its id. Reverse
	// lookups list them in this order. Names that DNS cannot carry are left out.
	Names []string
	Addrs []netip.Addr
}

// answersAlike tells whether two zones give the same answers.
func (z Zone) answersAlike(other Zone) bool {
	return z.Internal == other.Internal && slices.Equal(z.Subnets, other.Subnets) && slices.Equal(z.Upstreams, other.Upstreams) &&
		slices.EqualFunc(z.Records, other.Records, func(a, b Record) bool {
			return slices.Equal(a.Names, b.Names) && slices.Equal(a.Addrs, b.Addrs)
		})
}

// Listening is an open pair of sockets, UDP and TCP. If Port is not 53, the caller must redirect
// packets from Device to port 53 of Addr to it.
type Listening struct {
	Network string
	Device  string
	Addr    netip.Addr
	Port    uint16
}

// ZoneError says why the names of a network are not answered.
type ZoneError struct {
	Network string
	Err     error
}

// Error returns the error of the zone.
func (e ZoneError) Error() string { return e.Err.Error() }

// Unwrap returns the error of the zone.
func (e ZoneError) Unwrap() error { return e.Err }
