package kernel

import (
	"errors"
	"net/netip"
)

// ErrNoFastPath says that this kernel lacks what a FastPath needs.
var ErrNoFastPath = errors.New("the kernel lacks nftables' netdev family with fwd, or tc's clsact, u32 and mirred")

// FastPath says which IP packets between a network's containers here and those of other hosts pass
// from port to VXLAN device, and back, by their Ethernet address. They pass neither the bridge nor
// the hooks for bridged packets. All other packets pass the bridge.
type FastPath struct {
	Device string         // the VXLAN device
	Bridge string         // whose ports Device and Ports are
	Remote []MAC          // that are on other hosts
	FDB    []FDB          // of the MACs of Remote, in its order
	Ports  []FastPathPort // of containers on this host
	// PortSecurity tells that a container may send from its own MAC and Sources only. The fast path
	// must check it, since the bridge does not see the packets.
	PortSecurity bool
	Sources      []FastPathSource
	// Checksum tells that packets to other hosts need a UDP checksum.
	Checksum bool
	// Encrypted is for a network whose packets leave by WireGuard only; nil: it is not encrypted.
	Encrypted *EncryptedPath
	// Partial tells that Remote may lack MACs of hosts that are not known yet. So those that the
	// kernel has stay.
	Partial bool
	// Only are the MACs that are looked at; nil: all. Remote has none but those then.
	Only []MAC
	// RemoteCount is how many MACs there are on other hosts in all.
	RemoteCount int
	// SkipPorts tells that the ports have not changed, and are not looked at. They need not be given.
	SkipPorts bool
}

// EncryptedPath says which IP packets of an encrypted network pass between a container's port and a WireGuard device
// without a VXLAN header.
type EncryptedPath struct {
	// Send is the WireGuard device by which packets leave; "": there is none yet.
	Send string
	// Receive are the names of the WireGuard devices by which packets may come. Some may not be there.
	Receive []string
	// Takers are the VTEPs of the hosts that take packets without a VXLAN header by Send.
	Takers []netip.Addr
	// Local are the addresses of all containers on this host. With SkipPorts they are not looked at.
	Local []ContainerAddress
	// Remote are the addresses of containers on other hosts.
	Remote []ContainerAddress
	// Only are the addresses of Remote that are looked at; nil: all. Remote has none but those then.
	Only []netip.Addr
}

// ContainerAddress is an IP address of a container.
type ContainerAddress struct {
	Addr netip.Addr
	MAC  MAC
	VTEP netip.Addr // of its host; on this host it is the zero Addr
}

// ErrPortsNeeded says that there is no fast path yet, and that its ports were not given.
var ErrPortsNeeded = errors.New("the fast path must be made anew, with all ports")

// ErrFastPathUnfinished says that some packets still go the way that they went. A further call goes on, after
// what is left, and would hold up others for too long, was done apart.
var ErrFastPathUnfinished = errors.New("the fast path is not set up whole yet")

// Disable makes all packets pass the bridge.
func (p *FastPath) Disable() { p.Ports, p.SkipPorts = nil, false }

// IsFastPathPriority tells whether a tc filter with that priority is the fast path's own. Filters without
// a priority of their own get 49152 and less.
func IsFastPathPriority(priority uint16) bool {
	return priority == FastPathPriority4 || priority == FastPathPriority6
}

// Priorities of the fast path's tc filters.
const (
	FastPathPriority4 = 60004
	FastPathPriority6 = 60006
)

// FastPathPort is a bridge's port, and the container's MAC behind it.
type FastPathPort struct {
	Name string
	MAC  MAC
	// Alias is that of the port. A link of the name with another one is another container's. As
	// observed it is empty.
	Alias string
}

// FastPathSource is an address that the container behind a port may send from.
type FastPathSource struct {
	Port string
	Addr netip.Addr
}

// IsEmpty tells whether the fast path has no packets to pass on, now or later.
func (p FastPath) IsEmpty() bool {
	return len(p.Ports) == 0 && !p.SkipPorts || max(len(p.Remote), p.RemoteCount) == 0 && !p.Partial
}
