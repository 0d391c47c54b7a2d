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

// Limits on what one host announces. They are far above what a host has. They keep a broken host
// from filling the memory of all others.
const (
	MaxMemberships = 256  // networks on a host
	MaxEndpoints   = 4096 // containers on a host, on all its networks; Podman hosts have hundreds at most
	MaxNames       = 64   // of a container; Podman adds two to the user's
	MaxAddrs       = 16   // of a container or a host on a network
	MaxName        = 253  // bytes in a DNS name (RFC 1035, 2.3.4)
	maxLabel       = 63   // bytes between two of its dots
	maxID          = 128  // bytes; Podman's have 64
	maxVNI         = 1<<24 - 1
)

// Canonical returns the memberships in the order in which they are sent and compared, or says what
// is wrong with them. Names and addresses keep their order, as the first one has a meaning. The
// argument is not changed; the result shares memory with it.
func Canonical(memberships []Membership) ([]Membership, error) {
	sorted := slices.Clone(memberships)
	slices.SortFunc(sorted, func(a, b Membership) int { return a.Network.Compare(b.Network) })
	for i := range sorted {
		m := &sorted[i]
		m.Endpoints = slices.Clone(m.Endpoints)
		slices.SortFunc(m.Endpoints, func(x, y Endpoint) int { return cmp.Compare(x.ContainerID, y.ContainerID) })
	}
	return sorted, Check(sorted)
}

// Check returns an error if memberships are not valid, or not in the order of Canonical.
func Check(memberships []Membership) error {
	return CheckNew(memberships, isAlwaysNew)
}

func isAlwaysNew(int) bool { return true }

// CheckNew is Check for memberships of which some endpoints were checked before, each for itself. isNew
// tells of which that is not so, by their index among all endpoints.
func CheckNew(memberships []Membership, isNew func(index int) bool) error {
	if len(memberships) > MaxMemberships {
		return fmt.Errorf("%d networks on a host, at most %d are allowed", len(memberships), MaxMemberships)
	}
	endpoints := 0
	for i, m := range memberships {
		if i > 0 && memberships[i-1].Network.Compare(m.Network) >= 0 {
			return fmt.Errorf("network %v: is repeated or out of order", m.Network)
		}
		if err := m.check(func(i int) bool { return isNew(endpoints + i) }); err != nil {
			return fmt.Errorf("network %v: %w", m.Network, err)
		}
		endpoints += len(m.Endpoints)
	}
	if endpoints > MaxEndpoints {
		return fmt.Errorf("%d endpoints on a host, at most %d are allowed", endpoints, MaxEndpoints)
	}
	return nil
}

func (m *Membership) check(isNew func(index int) bool) error {
	if m.Network.VNI < 1 || m.Network.VNI > maxVNI || m.Network.Port == 0 {
		return fmt.Errorf("must have a VNI from 1 to %d and a port", maxVNI)
	}
	if err := checkAddr(m.VTEP); err != nil {
		return fmt.Errorf("VTEP: %w", err)
	}
	if err := checkAddrs(m.HostAddrs); err != nil {
		return fmt.Errorf("host address: %w", err)
	}
	if err := checkMAC(m.BridgeMAC); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	if err := m.View.check(); err != nil {
		return fmt.Errorf("view: %w", err)
	}
	if err := checkTunnelKeys(m.Keys); err != nil {
		return fmt.Errorf("encryption: %w", err)
	}
	for i := range m.Endpoints {
		e := &m.Endpoints[i]
		if i > 0 && m.Endpoints[i-1].ContainerID >= e.ContainerID {
			return fmt.Errorf("container %q: is repeated or out of order", e.ContainerID)
		}
		if !isNew(i) {
			continue
		}
		if err := e.Check(); err != nil {
			return fmt.Errorf("container %q: %w", e.ContainerID, err)
		}
	}
	return nil
}

// Check says what is wrong with an endpoint. An agent calls it before Set, to leave out one invalid
// container rather than the whole host.
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

// CheckName says why a name of a container or host cannot be looked up in the DNS. It must have
// letters, digits, "_" and "-" in labels of 1 to 63 bytes (RFC 1035, 2.3.4).
func CheckName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("has over %d bytes", MaxName)
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) < 1 || len(label) > maxLabel {
			return fmt.Errorf("must have 1 to %d bytes between dots", maxLabel)
		}
	}
	if i := strings.IndexFunc(name, isInvalidInName); i >= 0 {
		return fmt.Errorf(`must have letters, digits, "_", "-" and "." only`)
	}
	return nil
}

func isInvalidInName(r rune) bool {
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

// checkAddr accepts only addresses that another host can send to. An IPv4 address must not be
// mapped to IPv6, so that equal addresses compare as equal.
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
