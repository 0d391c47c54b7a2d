package network

import (
	"cmp"
	"net/netip"

	"vxlan-driver/internal/kernel"
)

// Driver is the name by which users choose these networks, and that of the plugin's executable.
const Driver = "vxlan"

// Network is a VXLAN network as its user configured it. A Network that Parse returned without an
// error is valid.
type Network struct {
	Identity

	// Tunnel is the VXLAN device as the options describe it. Local, Dev and Learning are not set:
	// they depend on the host and on what the agents know.
	Tunnel   kernel.Tunnel
	Learning kernel.Opt[bool]
	// TXChecksum says whether the VXLAN device leaves checksums of what it sends to the card;
	// unset: as the kernel chooses.
	TXChecksum kernel.Opt[bool]

	Encryption     Encryption // of all that leaves for other hosts
	EncryptionPort uint16     // UDP, of the outer packets; 0: the agents choose

	LocalIP           netip.Addr   // invalid: auto
	PhysicalInterface string       // "": auto
	Remotes           []netip.Addr // sorted, unique; may have this host's own address
	Discovery         Discovery
	DiscoveryAlso     Discovery // a second way, while the network moves from one to the other; "": none

	HostListed      kernel.Opt[bool] // Remotes has an address of this host, which may not have it yet
	UnderlayTimeout uint16           // seconds that a start waits for the underlay

	MTU            int    // bytes; 0: the most that fits
	Metric         uint32 // of the default routes
	NoDefaultRoute bool
	Internal       bool // nothing leaves the overlay

	Isolate                      Isolation
	BridgeIsolation              Isolation // of Podman's bridges here that do not have the option
	Integration                  Integration
	OutboundAddr4, OutboundAddr6 netip.Addr // source of packets that leave the overlay; invalid: the host's choice
	VRF                          string     // device that the bridge is a port of

	FastPath kernel.Opt[bool] // unset: true

	MaxHosts     int  // hosts that the subnets are divided among; 0: as many as there are
	AddressCheck bool // probe the network for an address before a container gets it
	PortSecurity bool // containers send with their own addresses only

	AllowHostOverlap bool // subnets may have addresses that the host itself uses

	Subnets []Subnet // empty: a network without addresses
	// PodmanPicks tells that Podman picks the addresses which agents then claim: this host hands out its own
	// part of the subnets, as it did before the network moved to a control plane.
	PodmanPicks bool

	Routes     []kernel.Route
	DNS        bool         // containers find each other by name (dns_enabled)
	DNSServers []netip.Addr // network_dns_servers
	DNSPort    uint16       // where names are answered on this host; Parse does not set it
}

// Discovery is how a host finds the other hosts of a network.
type Discovery string

// The values of the option discovery.
const (
	DiscoveryStatic Discovery = "" // they are those of Remotes
	DiscoveryGossip Discovery = "gossip"
	DiscoveryEtcd   Discovery = "etcd"

	// alsoStatic stands for DiscoveryStatic where the zero value says that there is no second way.
	alsoStatic Discovery = "static"
)

// Name returns what users type.
func (d Discovery) Name() string { return cmp.Or(string(d), string(alsoStatic)) }

// FindsHosts tells whether hosts find each other by a control plane, and agents claim the addresses. Then
// Remotes are only the first to ask, unless the network ListsHosts too.
func (n Network) FindsHosts() bool { return n.Discovery != DiscoveryStatic || n.IsMoving() }

// ListsHosts tells whether the hosts of Remotes count, whatever a control plane tells of them. A network
// that moves between a list and a control plane has both.
func (n Network) ListsHosts() bool {
	return n.Discovery == DiscoveryStatic || n.DiscoveryAlso == alsoStatic
}

// Planes returns in which ways the network's hosts are found: one, and while it moves from one to
// another, two. The one that the network is to stay with comes first.
func (n Network) Planes() []Discovery {
	switch n.DiscoveryAlso {
	case "":
		return []Discovery{n.Discovery}
	case alsoStatic:
		return []Discovery{n.Discovery, DiscoveryStatic}
	}
	return []Discovery{n.Discovery, n.DiscoveryAlso}
}

// IsMoving tells whether the network moves from one way to find hosts to another.
func (n Network) IsMoving() bool { return n.DiscoveryAlso != "" }

// Subnet is a range of overlay addresses.
type Subnet struct {
	Prefix      netip.Prefix // masked
	Gateway     netip.Addr   // invalid: none
	Lease       Range        // what this host assigns; zero: all of Prefix
	HostAddress netip.Addr   // this host's own address; invalid: none
}

// Range is a range of addresses, both ends included.
type Range struct{ First, Last netip.Addr }

// IsZero tells whether the range is unset.
func (r Range) IsZero() bool { return !r.First.IsValid() && !r.Last.IsValid() }

// Typed formats the range as the user would, an end that is unset left out.
func (r Range) Typed() string { return formatAddr(r.First) + "-" + formatAddr(r.Last) }

// Contains tells whether addr is in the range. An end that is unset is open; a zero range has every
// address.
func (r Range) Contains(addr netip.Addr) bool {
	return (!r.First.IsValid() || !addr.Less(r.First)) && (!r.Last.IsValid() || !r.Last.Less(addr))
}

// HasIPv6 tells whether a subnet of the network is IPv6.
func (n Network) HasIPv6() bool {
	for _, s := range n.Subnets {
		if s.Prefix.Addr().Is6() {
			return true
		}
	}
	return false
}

// SubnetOf returns the subnet that has addr.
func (n Network) SubnetOf(addr netip.Addr) (Subnet, bool) {
	for _, s := range n.Subnets {
		if s.Prefix.Contains(addr) {
			return s, true
		}
	}
	return Subnet{}, false
}
