package cluster

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vxlan-driver/internal/kernel"
)

// NetworkKey is by what hosts know a network in common. Podman's name and id of
// it may differ from host to host; what is on the wire may not.
type NetworkKey struct {
	VNI  uint32 // 1–16777215
	Port uint16 // UDP
}

// String prints the key as vni/port.
func (k NetworkKey) String() string { return fmt.Sprintf("%d/%d", k.VNI, k.Port) }

// Compare orders keys by VNI, then port.
func (k NetworkKey) Compare(o NetworkKey) int {
	return cmp.Or(cmp.Compare(k.VNI, o.VNI), cmp.Compare(k.Port, o.Port))
}

// Endpoint is a container's place in a network.
type Endpoint struct {
	ContainerID string
	Names       []string     // the container's name, then its aliases
	Addrs       []netip.Addr // may be none, in a network without addresses
	MAC         kernel.MAC   // zero: not known, so frames to it must flood
}

// Claimed tells whether the host is only about to give the addresses to the container.
// It says so by leaving out all else, so that nobody sends frames there, or answers names
// by them, before it is decided who has them.
func (e Endpoint) Claimed() bool {
	return len(e.Names) == 0 && e.MAC.IsZero() && len(e.Addrs) > 0
}

// Equal tells whether it is the same in all that others are told.
func (e Endpoint) Equal(o Endpoint) bool {
	return e.ContainerID == o.ContainerID && e.MAC == o.MAC && slices.Equal(e.Names, o.Names) && slices.Equal(e.Addrs, o.Addrs)
}

// Membership is one host's part in one network.
type Membership struct {
	Network NetworkKey
	VTEP    netip.Addr // source of the host's outer packets
	// StaticFDB tells that the host forwards by exact entries: it needs no flooding
	// to be found, and announces every address that others may ask it for.
	StaticFDB bool
	HostAddrs []netip.Addr // the host's own on the bridge; gateways, which all hosts share, are none
	BridgeMAC kernel.MAC   // zero: not known
	Endpoints []Endpoint
}

// Host is what another host last said of itself.
type Host struct {
	Name        string     // unique in the cluster
	Addr        netip.Addr // by which its agent talks
	Memberships []Membership
	// UnreachableSince is zero while the host answers. After that its entries
	// are kept but must not be used: they hold their addresses, and count again
	// at once when the host is back.
	UnreachableSince time.Time
}

// Reachable tells whether the host's entries may be used.
func (h Host) Reachable() bool { return h.UnreachableSince.IsZero() }

// Snapshot is what all other hosts said, sorted by name. It is shared and must
// not be changed.
type Snapshot struct{ Hosts []Host }

// Find returns the host with the name.
func (s Snapshot) Find(name string) (Host, bool) {
	i, ok := slices.BinarySearchFunc(s.Hosts, name, func(h Host, n string) int { return cmp.Compare(h.Name, n) })
	if !ok {
		return Host{}, false
	}
	return s.Hosts[i], true
}

// Member is a host's part in the network that Members was asked for.
type Member struct {
	Host      string
	Reachable bool
	Membership
}

// Members returns the hosts that have a part in a network: those that announce
// an Attachment, which a host does while it has a container on it. Unreachable
// ones are included, in order of their names.
func (s Snapshot) Members(key NetworkKey) []Member {
	var members []Member
	for _, h := range s.Hosts {
		for _, a := range h.Memberships {
			if a.Network == key {
				members = append(members, Member{Host: h.Name, Reachable: h.Reachable(), Membership: a})
			}
		}
	}
	return members
}
