package bpfpath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/internal/kernel"
)

// Namespace is what the programs' tables are filled from.
type Namespace interface {
	// Link returns the link of that name, or kernel.ErrNotFound.
	Link(name string, facets kernel.Facets) (kernel.Link, error)
	// Index returns a link's index, or kernel.ErrNotFound.
	Index(name string) (int, error)
	// Sysctl reads a kernel parameter.
	Sysctl(key string) (string, error)
	// ForwardingTables returns what a bridge and its VXLAN device know of other hosts; only nil: all.
	ForwardingTables(bridge, device string, only *kernel.ForwardingKeys) (kernel.ForwardingTables, error)
	// FilteredDevices returns the devices on which other programs filter what comes in or goes out, and
	// by which table of nftables.
	FilteredDevices() (map[string]string, error)
}

// unfitError says why packets of a network go without programs.
type unfitError struct{ reason string }

func (e unfitError) Error() string { return e.reason }

// Of outer IP, UDP and VXLAN headers and the inner Ethernet header, in bytes.
const (
	overhead4 = 20 + 8 + 8 + 14
	overhead6 = 40 + 8 + 8 + 14
)

// describe returns how a VXLAN device wraps packets.
func describe(ns Namespace, want kernel.FastPath) (n programsNetwork, err error) {
	if i := slices.IndexFunc(want.FDB, func(e kernel.FDB) bool { return e.Via != "" }); i >= 0 {
		return n, unfitError{fmt.Sprintf("packets leave by %s", want.FDB[i].Via)} // they may have to be encrypted there
	}
	device, err := ns.Link(want.Device, kernel.FacetOffload)
	if err != nil {
		return n, err
	}
	if device.TXChecksum.Set && !device.TXChecksum.Value {
		// The card computes those of what programs wrap. It does so wrongly, or nobody had switched it off.
		return n, unfitError{"checksums are not left to the card (tx_checksum_offload=off)"}
	}
	index, err := ns.Index(want.Device)
	if err != nil {
		return n, err
	}
	underlay, err := ns.Link(device.Tunnel.Dev, 0)
	if errors.Is(err, kernel.ErrNotFound) {
		return n, unfitError{fmt.Sprintf("%s has no underlay interface", want.Device)}
	}
	if err != nil {
		return n, err
	}
	if underlay.MAC.IsZero() {
		return n, unfitError{fmt.Sprintf("the underlay interface %s is not Ethernet", underlay.Name)}
	}
	if device.Tunnel.DF.Value != kernel.DFUnset {
		// Only the VXLAN device hears that a router drops what is too long, and tells the container.
		return n, unfitError{fmt.Sprintf("outer packets are not to be fragmented (df=%s)", device.Tunnel.DF.Value)}
	}
	underlayIndex, err := ns.Index(underlay.Name)
	if err != nil {
		return n, err
	}
	n = networkOf(device, underlay, want)
	n.Device, n.Underlay = uint32(index), uint32(underlayIndex)
	return n, errors.Join(setTTL(ns, &n, device.Tunnel), setSourcePorts(ns, &n, device.Tunnel))
}

// maxPacket is the longest that an IP header can tell of. An underlay interface may take longer ones.
const maxPacket = 0xffff

// networkOf returns what the devices' attributes tell.
func networkOf(device, underlay kernel.Link, want kernel.FastPath) programsNetwork {
	t := device.Tunnel
	n := programsNetwork{
		Local: toAddress(t.Local), Vni: networkOrder32(t.VNI << 8), Port: networkOrder16(t.Port),
		Tos: t.TOS.Value, Df: uint8(t.DF.Value),
	}
	if t.Local.Is6() {
		n.Flags = networkIPv6
	}
	n.Mtu = uint16(max(0, min(device.MTU, min(underlay.MTU, maxPacket)-n.overhead())))
	// Over IPv4 a packet may do without one (RFC 768). Over IPv6 all hosts must agree on that (RFC 6936).
	if want.Checksum || t.Local.Is6() && (!t.UDPChecksum.Set || t.UDPChecksum.Value) {
		n.Flags |= networkChecksum
	}
	if want.PortSecurity {
		n.Flags |= networkPortSecurity
	}
	return n
}

func (n programsNetwork) overhead() int {
	if n.Flags&networkIPv6 != 0 {
		return overhead6
	}
	return overhead4
}

// setTTL sets the outer TTL, as the kernel does where the device says nothing (ip4_dst_hoplimit,
// ip6_dst_hoplimit).
func setTTL(ns Namespace, n *programsNetwork, t kernel.Tunnel) error {
	ttl := t.TTL.Value
	if ttl.Value != 0 || ttl.Inherit {
		n.Ttl = ttl.Value
		return nil
	}
	key := "net/ipv4/ip_default_ttl"
	if t.Local.Is6() {
		key = "net/ipv6/conf/" + t.Dev + "/hop_limit"
	}
	text, err := ns.Sysctl(key)
	if err != nil {
		return err
	}
	value, err := strconv.ParseUint(strings.TrimSpace(text), 10, 8)
	n.Ttl = uint8(value)
	return err
}

// setSourcePorts sets the range of outer source ports, as the kernel does where the device says
// nothing (udp_flow_src_port).
func setSourcePorts(ns Namespace, n *programsNetwork, t kernel.Tunnel) error {
	first, last := t.SourcePorts.Value.First, t.SourcePorts.Value.Last
	if first >= last {
		text, err := ns.Sysctl("net/ipv4/ip_local_port_range")
		if err != nil {
			return err
		}
		if _, err := fmt.Sscan(text, &first, &last); err != nil {
			return fmt.Errorf("read ip_local_port_range: %w", err)
		}
	}
	n.FirstPort, n.PortCount = first, last-first
	return nil
}

func networkOrder16(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

func networkOrder32(v uint32) uint32 {
	return binary.NativeEndian.Uint32(binary.BigEndian.AppendUint32(nil, v))
}
