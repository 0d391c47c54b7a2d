package kernel

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// MaxNameLen is the longest name, in bytes, that a network device can have (IFNAMSIZ in linux/if.h
// less the terminating zero). Alternative names may have up to 127 bytes (ALTIFNAMSIZ).
const MaxNameLen = 15

// ErrNotFound says that there is no such link in the namespace.
var ErrNotFound = errors.New("no such device")

// ErrNotSupported says that the kernel lacks a kind of device.
var ErrNotSupported = errors.New("no such kind of device")

// ErrElementTaken says that a map has another value for an element's key.
var ErrElementTaken = errors.New("the key is in use with another value")

// Kind is a link's type, spelled as `ip link add type` spells it.
type Kind string

// The kinds that this project creates.
const (
	KindBridge    Kind = "bridge"
	KindVeth      Kind = "veth"
	KindVXLAN     Kind = "vxlan"
	KindWireGuard Kind = "wireguard"
	KindTun       Kind = "tun" // of wireguard-go, where the kernel has no WireGuard
)

// OurAlias begins the alias of each device of this driver.
const OurAlias = "vxlan-driver "

// IsOurWireGuard tells whether a link is a WireGuard device of this driver. Any other device might have its
// name, and what left by that would leave in plaintext.
func (l Link) IsOurWireGuard() bool {
	return (l.Kind == KindWireGuard || l.Kind == KindTun) && strings.HasPrefix(l.Alias, OurAlias)
}

// MAC is an Ethernet address; the zero MAC stands for "what the kernel chose".
type MAC [6]byte

// IsZero tells whether the address is left to the kernel. It is also the address of a flood entry
// in a VXLAN device's FDB.
func (m MAC) IsZero() bool { return m == MAC{} }

// String prints the address as 02:00:00:00:00:01.
func (m MAC) String() string {
	b := make([]byte, 0, 17)
	for i, octet := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = hex.AppendEncode(b, []byte{octet})
	}
	return string(b)
}

// MarshalText prints the address for JSON.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText printed.
func (m *MAC) UnmarshalText(text []byte) error {
	hw, err := net.ParseMAC(string(text))
	if err != nil {
		return err
	}
	if len(hw) != len(m) {
		return fmt.Errorf("address %s: not an Ethernet address", text)
	}
	*m = MAC(hw)
	return nil
}

// Opt is a value that may be left unset. An unset value is not sent to the kernel, which then uses
// its own default, and is not compared with what the kernel has.
type Opt[T comparable] struct {
	Value T
	Set   bool
}

// Some returns a set Opt.
func Some[T comparable](v T) Opt[T] { return Opt[T]{Value: v, Set: true} }

// Link is a network device with everything on it that this project manages.
type Link struct {
	Name     string // at most MaxNameLen bytes
	AltNames []string
	Alias    string // free text shown by `ip link`; tells whose device it is
	Kind     Kind   // as observed it may be a kind that is not ours, or "" (a physical device)
	MTU      int    // bytes of payload in a frame
	MAC      MAC
	Master   string // name of the bridge that the link is a port of
	Up       bool

	// NoLinkLocal keeps IPv6 from giving the device an address by itself (addr_gen_mode none): a
	// bridge's port must not speak IPv6 of its own.
	NoLinkLocal bool

	Sysctls []Sysctl // kernel parameters of this link

	Tunnel Tunnel // of a VXLAN device
	// TXChecksum says whether the checksums of what a VXLAN device sends are left to the card.
	TXChecksum Opt[bool]
	Peer       Peer // of a veth; used to create it, not observed

	Addrs  []Addr         // of global scope
	Narrow []netip.Prefix // IPv4 addresses of another scope; observed, never wanted
	Routes []Route        // whose output device is this link
	FDB    []FDB          // of a VXLAN device: permanent entries; learned ones are left out
}

// Sysctl is a kernel parameter: Key is its path below /proc/sys, such as
// net/ipv6/conf/eth0/accept_ra (Documentation/networking/ip-sysctl.rst).
type Sysctl struct{ Key, Value string }

// String prints the command that sets it.
func (s Sysctl) String() string { return "sysctl -w " + s.Key + "=" + s.Value }

// Peer is the other end of a veth, which is created in another namespace.
type Peer struct {
	Name      string
	Namespace string // path such as /run/netns/x
	MAC       MAC
	MTU       int
}

// Tunnel holds a VXLAN device's own attributes (IFLA_VXLAN_* in linux/if_link.h, RFC 7348). Most
// cannot be changed while the device exists.
type Tunnel struct {
	VNI   uint32     // 1–16777215
	Port  uint16     // UDP destination port
	Local netip.Addr // source of the outer packets
	Dev   string     // underlay device
	Group netip.Addr // multicast group that gets unknown traffic; invalid: none

	Learning bool
	Proxy    Opt[bool]
	RSC      Opt[bool]
	L2Miss   Opt[bool]
	L3Miss   Opt[bool]
	GBP      Opt[bool]

	Ageing      Opt[uint32] // seconds, at least 1: the kernel takes 0 for its default, 300
	FDBLimit    Opt[uint32] // entries; 0: no limit
	TTL         Opt[TTL]
	TOS         Opt[uint8] // TOSInherit copies the inner packet's
	DF          Opt[DF]
	UDPChecksum Opt[bool] // IPv4: udpcsum; IPv6: the negation of udp6zerocsumtx and udp6zerocsumrx
	SourcePorts Opt[PortRange]
}

// TTL is the outer packets' time to live: 0 leaves it to the kernel.
type TTL struct {
	Value   uint8
	Inherit bool // copy the inner packet's
}

// TOSInherit is the value by which the kernel means "copy the inner packet's".
const TOSInherit = 1

// DF says how the outer IPv4 packets' don't-fragment bit is set (enum ifla_vxlan_df).
type DF uint8

// The values of DF.
const (
	DFUnset DF = iota
	DFSet
	DFInherit
)

// String prints the value as `ip link` does.
func (d DF) String() string {
	switch d {
	case DFUnset:
		return "unset"
	case DFSet:
		return "set"
	case DFInherit:
		return "inherit"
	}
	return fmt.Sprintf("df(%d)", uint8(d))
}

// PortRange is a range of UDP ports, both ends included.
type PortRange struct{ First, Last uint16 }

// Addr is an address on a link.
type Addr struct {
	Prefix netip.Prefix // address and length, not masked
	// NoDAD makes an IPv6 address usable at once, without duplicate address detection (RFC 4862,
	// section 5.4). Not observed, not compared.
	NoDAD bool
	// Deprecated keeps the kernel from choosing an IPv6 address as a source (RFC 4862, section
	// 5.5.4). Not observed, not compared.
	Deprecated bool
}

// ProbeSender is who probes addresses on a link.
type ProbeSender struct {
	MAC   MAC
	Addrs []netip.Addr // its own there; may be none
}

// FrameSeries is what became of a number of frames that were sent through a tunnel one after the
// other. Those that were lost before the first answer, or after the last, are of neither direction.
type FrameSeries struct {
	Sent, Answered int
	LostThere      int // on the way to the other host
	LostBack       int // answers that did not come
}

// Lost is how many frames were not answered.
func (s FrameSeries) Lost() int { return s.Sent - s.Answered }

// Add returns the sum of two series.
func (s FrameSeries) Add(o FrameSeries) FrameSeries {
	return FrameSeries{s.Sent + o.Sent, s.Answered + o.Answered, s.LostThere + o.LostThere, s.LostBack + o.LostBack}
}

// ProbeAnswer says which MAC answered for an address on a link.
type ProbeAnswer struct {
	Addr netip.Addr
	MAC  MAC
}

// RouteType is a route's type, spelled as `ip route` spells it.
type RouteType string

// The route types that a network may ask for.
const (
	RouteUnicast     RouteType = "unicast"
	RouteBlackhole   RouteType = "blackhole"
	RouteUnreachable RouteType = "unreachable"
	RouteProhibit    RouteType = "prohibit"
)

// Route is a route in the main table.
type Route struct {
	Type    RouteType
	Dst     netip.Prefix // 0.0.0.0/0 or ::/0 is the default route
	Gateway netip.Addr   // invalid: none
	Metric  uint32
	// AnyDevice says that any interface may reach the gateway, not only the link.
	AnyDevice bool
}

// FDB is a permanent entry of a VXLAN device's forwarding database: frames for MAC go to the VTEP
// Dst. Entries with the zero MAC get broadcast, multicast and unknown unicast; a device may have
// many of those, and one of each other MAC.
type FDB struct {
	MAC MAC
	Dst netip.Addr

	// To the kernel an entry with any of these is another one than without. No plan has one with a
	// port or a VNI, but somebody may have added it.
	Port uint16 // UDP, other than the device's
	VNI  uint32 // other than the device's
	// Via is the device by which the VXLAN packets leave; "": by the route to Dst. A plan has one where
	// they are encrypted. One that is gone is "#" and its index.
	Via string
}

// Facets says what to read of a link besides its attributes. Each but FacetSysctls costs a request
// of its own.
type Facets uint8

// What can be read of a link.
const (
	FacetAddrs Facets = 1 << iota
	FacetRoutes
	FacetFDB     // of a VXLAN device's FDB
	FacetSysctls // those parameters that come with the attributes; they are in Sysctls
	FacetOffload // TXChecksum
)
