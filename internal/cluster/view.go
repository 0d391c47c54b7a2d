package cluster

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
)

// Limits on what a host says of how a network is set up.
const (
	MaxSubnets = 16
	// MaxListed is how many listed hosts a view names. They fit a packet with the rest. Of a longer
	// list it has only the hash.
	MaxListed = 64
	maxMTU    = 1 << 20 // bytes; Linux has 65,536 on the loopback interface
)

// NetworkView is how a host was told to set up a network. Hosts compare their views, for people to
// read. Nothing else depends on them, and a host of an early version sends none.
type NetworkView struct {
	Name        string // of the network in that host's Podman; "": unknown
	Subnets     []Subnet
	MTU         uint32       // of the overlay, bytes; 0: unknown
	UnderlayMTU uint32       // of the underlay interface, bytes; 0: unknown
	List        ListHash     // of all hosts on the static list; zero: there is none
	Listed      []netip.Addr // those hosts, sorted, with the sender; empty if they are more than MaxListed
}

// Subnet is a range of overlay addresses.
type Subnet struct {
	Prefix  netip.Prefix // masked
	Gateway netip.Addr   // invalid: none
}

// ListHash is a hash of a list of hosts.
type ListHash [8]byte

// SetList sets the static list. Its addresses must be sorted.
func (v *NetworkView) SetList(hosts []netip.Addr) {
	sum := sha256.New()
	for _, a := range hosts {
		raw := a.As16()
		_, _ = sum.Write(raw[:]) // never fails (hash.Hash)
	}
	v.List = ListHash(sum.Sum(nil))
	if v.Listed = nil; len(hosts) <= MaxListed {
		v.Listed = hosts
	}
}

func (v NetworkView) check() error {
	if v.Name != "" {
		if err := CheckName(v.Name); err != nil {
			return fmt.Errorf("name %q: %w", v.Name, err)
		}
	}
	if v.MTU > maxMTU || v.UnderlayMTU > maxMTU {
		return fmt.Errorf("MTU %d: at most %d is allowed", max(v.MTU, v.UnderlayMTU), maxMTU)
	}
	if len(v.Subnets) > MaxSubnets {
		return fmt.Errorf("%d subnets, at most %d are allowed", len(v.Subnets), MaxSubnets)
	}
	for _, s := range v.Subnets {
		if !s.Prefix.IsValid() || s.Prefix != s.Prefix.Masked() {
			return fmt.Errorf("subnet %v: must be a prefix without host bits", s.Prefix)
		}
		if s.Gateway.IsValid() && !s.Prefix.Contains(s.Gateway) {
			return fmt.Errorf("gateway %v: must be in %v", s.Gateway, s.Prefix)
		}
	}
	if len(v.Listed) > MaxListed {
		return fmt.Errorf("%d listed hosts, at most %d are allowed", len(v.Listed), MaxListed)
	}
	for i, a := range v.Listed {
		if err := checkAddr(a); err != nil {
			return fmt.Errorf("listed host: %w", err)
		}
		if i > 0 && v.Listed[i-1].Compare(a) >= 0 {
			return fmt.Errorf("listed host %v: is repeated or out of order", a)
		}
	}
	return nil
}
