package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// FirewallTable is the name of this project's tables. nftables has one a family.
const FirewallTable = "vxlan-driver"

// Family is the family of a firewall table, spelled as nft spells it.
type Family string

// The families that have tables.
const (
	Inet     Family = "inet"   // packets, as the host routes or receives them
	Bridging Family = "bridge" // frames, as bridges forward them
	Netdev   Family = "netdev" // packets, as a device receives them
)

// Set is a set or map of a firewall table. The rules are constant; what a network
// or an endpoint needs is an Element of one of these.
type Set struct {
	Family Family
	Name   string
}

// The sets. Package nft has the rules that use them.
var (
	Bridges   = Set{Inet, "bridges"}         // bridge of each network; the note tells what elements the network has
	Within    = Set{Inet, "within"}          // bridge . the same bridge
	Networks  = Set{Inet, "networks"}        // all bridges of Podman networks, netavark's own too
	Isolated  = Set{Inet, "isolated"}        // those with isolate=true or strict
	Strict    = Set{Inet, "strict"}          // those with isolate=strict
	Internal  = Set{Inet, "internal"}        // bridges of internal networks
	Underlays = Set{Inet, "underlays"}       // device that a network's VXLAN packets leave by
	Tunnels   = Set{Inet, "vxlan_ports"}     // UDP port of each network's tunnel
	VNIs      = Set{Inet, "vnis"}            // UDP port . VNI of each network with a list of members
	OwnVNIs   = Set{Inet, "own_vnis"}        // UDP port . VNI of each network
	Members4  = Set{Inet, "members4"}        // remote host . tunnel end . UDP port . VNI
	Members6  = Set{Inet, "members6"}        //
	VTEPs4    = Set{Inet, "vteps4"}          // address . UDP port of each host, this one too
	VTEPs6    = Set{Inet, "vteps6"}          //
	Agents4   = Set{Inet, "agents4"}         // address . port of each host's agent
	Agents6   = Set{Inet, "agents6"}         //
	Subnets4  = Set{Inet, "subnets4"}        // subnet . subnet, each pair of one network
	Subnets6  = Set{Inet, "subnets6"}        //
	WayOut4   = Set{Inet, "masquerade4"}     // subnets that leave by the host's address
	WayOut6   = Set{Inet, "masquerade6"}     //
	Outbound4 = Set{Inet, "outbound4"}       // subnet : source address outside
	Outbound6 = Set{Inet, "outbound6"}       //
	Ports4    = Set{Inet, "ports4"}          // protocol . port : container's address . port
	Ports6    = Set{Inet, "ports6"}          //
	PortsAt4  = Set{Inet, "ports_at4"}       // host's address . protocol . port : container's address . port
	PortsAt6  = Set{Inet, "ports_at6"}       //
	FromPort  = Set{Bridging, "from_port"}   // bridge port : chain for what comes from it
	ToPort    = Set{Bridging, "to_port"}     // bridge port : chain for what goes to it
	Gateways4 = Set{Bridging, "gateways4"}   // VXLAN device . gateway
	Gateways6 = Set{Bridging, "gateways6"}   //
	GatewayND = Set{Bridging, "gateways_nd"} // the same by the target of neighbour discovery
	SourceND  = Set{Bridging, "source_nd"}   // bridge port . address that it may advertise
	SourceMAC = Set{Bridging, "source_mac"}  // bridge port . address that it may send from
	SourceIP4 = Set{Bridging, "source_ip4"}  //
	SourceIP6 = Set{Bridging, "source_ip6"}  //
)

// The chains of the bridge table that FromPort and ToPort lead to.
const (
	ChainFromTunnel = "from_tunnel"
	ChainToTunnel   = "to_tunnel"
	ChainSecured    = "from_secured_port"
)

// Element is an element of a set, or with a Value of a map.
type Element struct {
	Set   Set
	Key   Datum
	Value Datum
	Note  string // comment; not part of what makes elements equal to the kernel
}

// String prints the element as nft takes it.
func (e Element) String() string {
	s := e.Key.text
	if e.Note != "" {
		s += fmt.Sprintf(" comment %q", e.Note)
	}
	if !e.Value.IsZero() {
		s += " : " + e.Value.text
	}
	return s
}

// Datum is a key or value as nftables holds it.
type Datum struct {
	text        string
	first, last string // bytes; they differ for a range
	chain       string // of a verdict
}

// IsZero tells whether it is unset.
func (d Datum) IsZero() bool { return d == Datum{} }

// String prints the value as nft takes it.
func (d Datum) String() string { return d.text }

// First returns the bytes of the value, or of a range's first one.
func (d Datum) First() []byte { return []byte(d.first) }

// Last returns the bytes of a range's last value, and First of any other.
func (d Datum) Last() []byte { return []byte(d.last) }

// Chain returns the chain that a verdict jumps to, "" if it is no verdict.
func (d Datum) Chain() string { return d.chain }

func single(text string, b []byte) Datum {
	return Datum{text: text, first: string(b), last: string(b)}
}

// Device is a network device's name.
func Device(name string) Datum {
	b := make([]byte, MaxNameLen+1)
	copy(b, name)
	return single(`"`+name+`"`, b)
}

// IP is an address.
func IP(a netip.Addr) Datum { return single(a.String(), a.AsSlice()) }

// Subnet is a range of addresses.
func Subnet(p netip.Prefix) Datum {
	first := p.Masked().Addr().AsSlice()
	last := append([]byte(nil), first...)
	for i := range last {
		if bits := p.Bits() - 8*i; bits < 8 {
			last[i] |= 0xff >> max(bits, 0)
		}
	}
	return Datum{text: p.Masked().String(), first: string(first), last: string(last)}
}

// NDTarget is an address where it stands in neighbour discovery (RFC 4861,
// section 4.3), which nft shows as a number.
func NDTarget(a netip.Addr) Datum { return single(fmt.Sprintf("0x%x", a.AsSlice()), a.AsSlice()) }

// Port is a TCP, UDP or SCTP port.
func Port(p uint16) Datum {
	return single(fmt.Sprint(p), binary.BigEndian.AppendUint16(nil, p))
}

// Protocol is a transport protocol's number (RFC 5237).
func Protocol(name string, number uint8) Datum { return single(name, []byte{number}) }

// Ethernet is a MAC address.
func Ethernet(m MAC) Datum { return single(m.String(), m[:]) }

// VNI is a VXLAN network identifier, three bytes in the header (RFC 7348, section 5).
func VNI(v uint32) Datum {
	return single(fmt.Sprintf("0x%x", v), binary.BigEndian.AppendUint32(nil, v)[1:])
}

// Jump is the verdict to go on in a chain.
func Jump(chain string) Datum { return Datum{text: "jump " + chain, chain: chain} }

// Concat is a key or value of several parts, each of which fills a multiple of
// four bytes.
func Concat(parts ...Datum) Datum {
	var d Datum
	var texts []string
	for _, p := range parts {
		texts = append(texts, p.text)
		d.first += padded(p.first)
		d.last += padded(p.last)
	}
	d.text = strings.Join(texts, " . ")
	return d
}

func padded(b string) string { return b + strings.Repeat("\x00", (4-len(b)%4)%4) }

// SetFirewall makes the firewall's tables hold the project's rules and exactly
// these elements, in one transaction.
type SetFirewall struct{ Elements []Element }

// DeleteFirewall deletes the tables.
type DeleteFirewall struct{}

// AddElements adds elements, all or none. One whose key is in a map with another
// value is ErrElementTaken.
type AddElements struct{ Elements []Element }

// DelElements deletes those of the elements that are there with that value.
type DelElements struct{ Elements []Element }

func (SetFirewall) change()    {}
func (DeleteFirewall) change() {}
func (AddElements) change()    {}
func (DelElements) change()    {}

func (c SetFirewall) String() string {
	return strings.Join(append([]string{"nft load tables " + FirewallTable}, elementLines("add", c.Elements)...), "\n")
}

func (c DeleteFirewall) String() string { return "nft delete tables " + FirewallTable }

func (c AddElements) String() string { return strings.Join(elementLines("add", c.Elements), "\n") }

func (c DelElements) String() string { return strings.Join(elementLines("delete", c.Elements), "\n") }

// elementLines has one command for each run of elements of one set.
func elementLines(verb string, elements []Element) []string {
	var lines []string
	for i := 0; i < len(elements); {
		set := elements[i].Set
		var run []string
		for ; i < len(elements) && elements[i].Set == set; i++ {
			run = append(run, elements[i].String())
		}
		lines = append(lines, fmt.Sprintf("nft %s element %s %s %s { %s }",
			verb, set.Family, FirewallTable, set.Name, strings.Join(run, ", ")))
	}
	return lines
}
