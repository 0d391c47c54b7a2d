package cluster

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"vxlan-driver/internal/kernel"
)

// NetworkKey identifies a network to all hosts. Podman's name and id of a network may differ from
// host to host; what its packets carry may not.
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

// Endpoint is a container on a network.
type Endpoint struct {
	ContainerID string
	Names       []string     // the container's name, then its aliases
	Addrs       []netip.Addr // may be none, in a network without addresses
	MAC         kernel.MAC   // zero: unknown, so frames to it must be flooded
	// Requested tells that the user chose an address of the container. So it keeps that, if another
	// container got it while their hosts could not reach each other.
	Requested bool
	// Granted tells of a claim that it is settled: nobody objected.
	Granted bool
}

// Claimed tells whether the addresses are only claimed, and not yet the container's. A claim has
// neither names nor a MAC. So nobody sends frames there or resolves names to the addresses before
// it is decided which host owns them.
func (e Endpoint) Claimed() bool {
	return len(e.Names) == 0 && e.MAC.IsZero() && len(e.Addrs) > 0
}

// Pending tells whether the addresses are claimed, and it is not settled who gets them.
func (e Endpoint) Pending() bool { return e.Claimed() && !e.Granted }

// Membership is one host's part in one network.
type Membership struct {
	Network NetworkKey
	VTEP    netip.Addr // source of the host's outer packets
	// StaticFDB tells that the host does not learn and has static FDB entries. It is found without
	// flooding, and announces every address that it answers for.
	StaticFDB bool
	HostAddrs []netip.Addr // the host's own on the bridge, without gateways, which all hosts share
	BridgeMAC kernel.MAC   // zero: unknown
	View      NetworkView
	// Keys are those by which the host takes packets of an encrypted network, by generation. None:
	// the network is not encrypted there, or the host cannot take packets yet.
	Keys []TunnelKey
	// KeysVersion is greater for what the host says later of its keys, by whatever plane. Planes tell one after the
	// other, and a rotation must not seem to go back. 0: the host does not say.
	KeysVersion uint64
	Endpoints   []Endpoint
}

// Host is what another host last announced by one of its addresses. A host that talks by several
// may be there several times.
type Host struct {
	ID          HostID
	Name        string     // for people; two hosts may have one name
	Addr        netip.Addr // where its agent listens, or listened
	Memberships []Membership
	// UnreachableSince is zero while the host is reachable, else a time of package boottime. From
	// then on its entries are kept but must not be used: they only reserve their addresses. When
	// the host is back they may be used again at once.
	UnreachableSince time.Time
}

// Reachable tells whether the host's entries may be used.
func (h Host) Reachable() bool { return h.UnreachableSince.IsZero() }

// Label is how a person knows the host: by its name and address.
func (h Host) Label() string {
	switch {
	case h.Name == "":
		return h.Addr.String()
	case !h.Addr.IsValid():
		return h.Name
	}
	return fmt.Sprintf("%s (%v)", h.Name, h.Addr)
}

// Compare orders hosts by name, then address.
func (h Host) Compare(o Host) int {
	return cmp.Or(cmp.Compare(h.Name, o.Name), h.Addr.Compare(o.Addr), bytes.Compare(h.ID[:], o.ID[:]))
}
