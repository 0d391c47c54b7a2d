package kernel

import (
	"fmt"
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

// ElementID is what no two elements of the firewall share.
type ElementID struct {
	set         Set
	first, last string
}

// ID tells it from elements with another key or of another set.
func (e *Element) ID() ElementID { return ElementID{e.Set, e.Key.first, e.Key.last} }

// String prints the element as nft takes it.
func (e Element) String() string {
	s := e.Key.String()
	if e.Note != "" {
		s += fmt.Sprintf(" comment %q", e.Note)
	}
	if !e.Value.IsZero() {
		s += " : " + e.Value.String()
	}
	return s
}

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
