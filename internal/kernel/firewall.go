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
	FamilyInet   Family = "inet"   // packets, as the host routes or receives them
	FamilyBridge Family = "bridge" // frames, as bridges forward them
	FamilyNetdev Family = "netdev" // packets, as a device receives them
	FamilyIP     Family = "ip"     // as FamilyInet, of IPv4 alone; only other programs have such tables
	FamilyIP6    Family = "ip6"    // the same of IPv6
	FamilyARP    Family = "arp"    // ARP packets that the host receives or sends; of other programs alone
)

// Set is a set or map of a firewall table. The rules are constant; what a network or an endpoint
// needs is an Element of one of these.
type Set struct {
	Family Family
	Name   string
}

// The sets. Package nft has the rules that use them.
var (
	Bridges        = Set{FamilyInet, "bridges"}         // bridge of each network; the comment tells what elements the network has
	SameBridge     = Set{FamilyInet, "same_bridge"}     // bridge . the same bridge
	PodmanBridges  = Set{FamilyInet, "podman_bridges"}  // all bridges of Podman networks, netavark's own too
	Isolated       = Set{FamilyInet, "isolated"}        // those with isolate=true or strict
	IsolatedStrict = Set{FamilyInet, "isolated_strict"} // those with isolate=strict
	Internal       = Set{FamilyInet, "internal"}        // bridges of internal networks
	Underlays      = Set{FamilyInet, "underlays"}       // device that a network's VXLAN packets leave by
	VXLANPorts     = Set{FamilyInet, "vxlan_ports"}     // UDP port of each network's tunnel
	VNIs           = Set{FamilyInet, "vnis"}            // UDP port . VNI of each network with a list of members
	OwnVNIs        = Set{FamilyInet, "own_vnis"}        // UDP port . VNI of each network
	Encrypted      = Set{FamilyInet, "encrypted"}       // UDP port . VNI of each encrypted network
	WireGuard      = Set{FamilyInet, "wireguard"}       // device . UDP port . VNI: what may leave and come by it
	WireGuardLinks = Set{FamilyInet, "wireguard_links"} // the devices alone
	WireGuardPorts = Set{FamilyInet, "wireguard_ports"} // UDP port of the devices of all hosts
	Members4       = Set{FamilyInet, "members4"}        // remote host . tunnel end . UDP port . VNI
	Members6       = Set{FamilyInet, "members6"}        //
	VTEPs4         = Set{FamilyInet, "vteps4"}          // address . UDP port of each host, this one too
	VTEPs6         = Set{FamilyInet, "vteps6"}          //
	Agents4        = Set{FamilyInet, "agents4"}         // address . port of each host's agent
	Agents6        = Set{FamilyInet, "agents6"}         //
	RootPorts      = Set{FamilyInet, "root_ports"}      // ports of VXLAN and of agents, to which only root may send
	AllowedUsers   = Set{FamilyInet, "allowed_users"}   // users of this host whose processes may send to both
	Subnets4       = Set{FamilyInet, "subnets4"}        // subnet . subnet, each pair of one network
	Subnets6       = Set{FamilyInet, "subnets6"}        //
	Masquerade4    = Set{FamilyInet, "masquerade4"}     // subnets that leave by the host's address
	Masquerade6    = Set{FamilyInet, "masquerade6"}     //
	Outbound4      = Set{FamilyInet, "outbound4"}       // subnet : source address outside
	Outbound6      = Set{FamilyInet, "outbound6"}       //
	Ports4         = Set{FamilyInet, "ports4"}          // protocol . port : container's address . port
	Ports6         = Set{FamilyInet, "ports6"}          //
	PortsAt4       = Set{FamilyInet, "ports_at4"}       // host's address . protocol . port : container's address . port
	PortsAt6       = Set{FamilyInet, "ports_at6"}       //
	FromPort       = Set{FamilyBridge, "from_port"}     // bridge port : chain for what comes from it
	ToPort         = Set{FamilyBridge, "to_port"}       // bridge port : chain for what goes to it
	Gateways4      = Set{FamilyBridge, "gateways4"}     // VXLAN device . gateway
	Gateways6      = Set{FamilyBridge, "gateways6"}     //
	GatewaysND     = Set{FamilyBridge, "gateways_nd"}   // the same as targets of neighbour discovery
	SourceND       = Set{FamilyBridge, "source_nd"}     // bridge port . address that it may advertise
	SourceMAC      = Set{FamilyBridge, "source_mac"}    // bridge port . address that it may send from
	SourceIP4      = Set{FamilyBridge, "source_ip4"}    //
	SourceIP6      = Set{FamilyBridge, "source_ip6"}    //
)

// The chains of the bridge table that FromPort and ToPort lead to.
const (
	ChainFromTunnel   = "from_tunnel"
	ChainToTunnel     = "to_tunnel"
	ChainPortSecurity = "port_security"
)

// MaxCommentLen is the length of the longest comment of an element, as nft has it
// (NFTNL_UDATA_COMMENT_MAXLEN less the terminating zero).
const MaxCommentLen = 127

// Element is an element of a set, or with a Value of a map.
type Element struct {
	Set     Set
	Key     Datum
	Value   Datum
	Comment string // the kernel does not compare it
}

// ElementID is what no two elements of the firewall share.
type ElementID struct {
	set         Set
	first, last string
}

// ID returns what tells the element from those with another key or of another set.
func (e *Element) ID() ElementID { return ElementID{e.Set, e.Key.first, e.Key.last} }

// String prints the element as nft takes it.
func (e Element) String() string {
	s := e.Key.String()
	if e.Comment != "" {
		s += fmt.Sprintf(" comment %q", e.Comment)
	}
	if !e.Value.IsZero() {
		s += " : " + e.Value.String()
	}
	return s
}

// SetFirewall makes the firewall's tables hold the project's rules and exactly these elements, in
// one transaction.
type SetFirewall struct{ Elements []Element }

// DeleteFirewall deletes the tables.
type DeleteFirewall struct{}

// AddElements adds elements, all or none. One whose key is in a map with another value is
// ErrElementTaken.
type AddElements struct{ Elements []Element }

// DelElements deletes those of the elements that are there with that value.
type DelElements struct{ Elements []Element }

// ReplaceElements deletes those of Old that are there with that value, and adds New, in one
// transaction.
type ReplaceElements struct{ Old, New []Element }

func (SetFirewall) isChange()     {}
func (DeleteFirewall) isChange()  {}
func (AddElements) isChange()     {}
func (DelElements) isChange()     {}
func (ReplaceElements) isChange() {}

// String prints the commands that do the same, such as `nft add element`.
func (c SetFirewall) String() string {
	return strings.Join(append([]string{"nft load tables " + FirewallTable}, elementLines("add", c.Elements)...), "\n")
}

// String prints the commands that do the same, such as `nft delete table`.
func (c DeleteFirewall) String() string { return "nft delete tables " + FirewallTable }

// String prints the commands that do the same, such as `nft add element`.
func (c AddElements) String() string { return strings.Join(elementLines("add", c.Elements), "\n") }

// String prints the commands that do the same, such as `nft delete element`.
func (c DelElements) String() string { return strings.Join(elementLines("delete", c.Elements), "\n") }

// String prints the commands that do the same, first those of DelElements.
func (c ReplaceElements) String() string {
	return strings.Join(append(elementLines("delete", c.Old), elementLines("add", c.New)...), "\n")
}

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
