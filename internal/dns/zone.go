package dns

import (
	"net/netip"
	"slices"
)

// SearchDomain is the domain that Podman puts into a container's resolv.conf:
// web and web.dns.podman are the same name.
const SearchDomain = "dns.podman"

// Port is where containers ask: resolv.conf(5) cannot say another.
const Port = 53

// Zone is one network on this host: where its resolver listens and what it knows.
type Zone struct {
	// Network tells zones apart and names this one in logs and errors.
	Network string
	// Device is the network's bridge. Sockets are bound to it, so that nobody
	// reaches this resolver from another network or the underlay; the host can.
	Device string
	// Addrs are the addresses to listen on. They need not be on the bridge yet.
	Addrs []netip.Addr
	// Port to listen on; 0 is 53.
	Port uint16
	// Subnets are the network's. Reverse lookups in them are answered here and
	// never forwarded.
	Subnets []netip.Prefix
	// Records are all containers of the network, on whichever host.
	Records []Record
	// Upstreams get the questions that are not about this network, the first that
	// answers. Without any, as on an internal network, other names do not exist.
	Upstreams []netip.AddrPort
}

// Record is a container in a network.
type Record struct {
	// ID of a container of this host, by which it is known in other zones; "" elsewhere.
	ID string
	// Names are the container's name, its aliases and the first 12 digits of its
	// id; reverse lookups list them in this order. Names that DNS cannot carry are
	// left out.
	Names []string
	Addrs []netip.Addr
}

// sameRecords says whether two zones answer alike.
func (z Zone) sameRecords(other Zone) bool {
	return slices.Equal(z.Subnets, other.Subnets) && slices.Equal(z.Upstreams, other.Upstreams) &&
		slices.EqualFunc(z.Records, other.Records, func(a, b Record) bool {
			return slices.Equal(a.Names, b.Names) && slices.Equal(a.Addrs, b.Addrs)
		})
}

// Listening is an open pair of sockets, UDP and TCP. Where Port is not 53 the
// caller redirects port 53 of Addr, for packets from Device, to it.
type Listening struct {
	Network string
	Device  string
	Addr    netip.Addr
	Port    uint16
}
