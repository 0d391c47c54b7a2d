package cluster

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Limits on one host, for what it says is kept by all others. They are far above
// what a host has, and keep one that is broken from filling the others' memory.
const (
	MaxMemberships = 256  // networks on a host
	MaxEndpoints   = 4096 // containers on a host, over all its networks; Podman's practice is in the hundreds
	MaxNames       = 64   // of a container; Podman adds two to those that the user gives
	MaxAddrs       = 16   // of a container or a host in a network
	MaxName        = 253  // bytes in a DNS name (RFC 1035, 2.3.4)
	maxLabel       = 63   // bytes between two of its dots
	maxID          = 128  // bytes; Podman's have 64
	maxVNI         = 1<<24 - 1
)

// Canonical returns the attachments in the one order in which they are sent and
// compared, or says what is wrong with them. Names and addresses keep their
// order, in which the first one has a meaning. What is passed in is not changed,
// and shared with what is returned.
func Canonical(attachments []Membership) ([]Membership, error) {
	sorted := slices.Clone(attachments)
	slices.SortFunc(sorted, func(a, b Membership) int { return a.Network.Compare(b.Network) })
	for i := range sorted {
		a := &sorted[i]
		a.Endpoints = slices.Clone(a.Endpoints)
		slices.SortFunc(a.Endpoints, func(x, y Endpoint) int { return cmp.Compare(x.ContainerID, y.ContainerID) })
	}
	return sorted, Check(sorted)
}

// Check tells whether attachments are what Canonical returns.
func Check(attachments []Membership) error {
	if len(attachments) > MaxMemberships {
		return fmt.Errorf("%d networks on a host, at most %d are allowed", len(attachments), MaxMemberships)
	}
	endpoints := 0
	for i, a := range attachments {
		if i > 0 && attachments[i-1].Network.Compare(a.Network) >= 0 {
			return fmt.Errorf("network %v: is repeated or out of order", a.Network)
		}
		if err := a.check(); err != nil {
			return fmt.Errorf("network %v: %w", a.Network, err)
		}
		endpoints += len(a.Endpoints)
	}
	if endpoints > MaxEndpoints {
		return fmt.Errorf("%d endpoints on a host, at most %d are allowed", endpoints, MaxEndpoints)
	}
	return nil
}

func (a Membership) check() error {
	if a.Network.VNI < 1 || a.Network.VNI > maxVNI || a.Network.Port == 0 {
		return fmt.Errorf("must have a VNI from 1 to %d and a port", maxVNI)
	}
	if err := checkAddr(a.VTEP); err != nil {
		return fmt.Errorf("VTEP: %w", err)
	}
	if err := checkAddrs(a.HostAddrs); err != nil {
		return fmt.Errorf("host address: %w", err)
	}
	if err := checkMAC(a.BridgeMAC); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	for i, e := range a.Endpoints {
		if i > 0 && a.Endpoints[i-1].ContainerID >= e.ContainerID {
			return fmt.Errorf("container %q: is repeated or out of order", e.ContainerID)
		}
		if err := e.Check(); err != nil {
			return fmt.Errorf("container %q: %w", e.ContainerID, err)
		}
	}
	return nil
}

// Check tells what is wrong with an endpoint. An agent asks before Set, so that
// one odd container is left out rather than the whole host.
func (e Endpoint) Check() error {
	if len(e.ContainerID) > maxID {
		return fmt.Errorf("the id has over %d bytes", maxID)
	}
	if err := network.CheckContainerID(e.ContainerID); err != nil {
		return err
	}
	if len(e.Names) > MaxNames {
		return fmt.Errorf("%d names, at most %d are allowed", len(e.Names), MaxNames)
	}
	for i, name := range e.Names {
		if err := CheckName(name); err != nil {
			return fmt.Errorf("name %q: %w", name, err)
		}
		if slices.Contains(e.Names[:i], name) {
			return fmt.Errorf("name %q: is repeated", name)
		}
	}
	if err := checkAddrs(e.Addrs); err != nil {
		return err
	}
	return checkMAC(e.MAC)
}

// CheckName tells whether a container's name, alias or a host's name can be
// asked for in the DNS: letters, digits, "_" and "-" in labels of 1 to 63 bytes.
func CheckName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("has over %d bytes", MaxName)
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) < 1 || len(label) > maxLabel {
			return fmt.Errorf("must have 1 to %d bytes between dots", maxLabel)
		}
	}
	if i := strings.IndexFunc(name, notInName); i >= 0 {
		return fmt.Errorf(`must have letters, digits, "_", "-" and "." only`)
	}
	return nil
}

func notInName(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-' || r == '.')
}

func checkAddrs(addrs []netip.Addr) error {
	if len(addrs) > MaxAddrs {
		return fmt.Errorf("%d addresses, at most %d are allowed", len(addrs), MaxAddrs)
	}
	for i, addr := range addrs {
		if err := checkAddr(addr); err != nil {
			return err
		}
		if slices.Contains(addrs[:i], addr) {
			return fmt.Errorf("address %v: is repeated", addr)
		}
	}
	return nil
}

// checkAddr takes only what a frame can be sent to from another host. An IPv4
// address must be written as one, so that equal addresses compare as equal.
func checkAddr(addr netip.Addr) error {
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() ||
		addr.Is4In6() || addr.Zone() != "" || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return fmt.Errorf("address %v: must be a unicast address of this or another host", addr)
	}
	return nil
}

func checkMAC(mac kernel.MAC) error {
	if mac[0]&1 == 1 {
		return fmt.Errorf("MAC %v: is a multicast address", mac)
	}
	return nil
}
