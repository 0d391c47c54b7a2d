package kernel

import (
	"fmt"
	"strings"
)

// A Change is one modification of a namespace, mostly done by one request to the kernel. Making a
// change that is already made is not an error, except for CreateLink. String prints it as the ip,
// bridge, nft or tc command that does the same.
type Change interface {
	fmt.Stringer
	isChange() // closes the set: the types below
}

// CreateLink creates Link with the attributes that must be there from the start: name, kind, MTU,
// MAC, tunnel, peer. Everything else follows as changes of its own.
type CreateLink struct{ Link Link }

// DeleteLink deletes a link, and with a veth its peer.
type DeleteLink struct{ Name string }

// DeleteLinks deletes several links as DeleteLink does, together where the kernel can.
type DeleteLinks struct{ Names []string }

// SetAlias sets a link's alias, which tells whose link it is.
type SetAlias struct{ Name, Alias string }

// AddAltName gives a link an alternative name.
type AddAltName struct{ Name, AltName string }

// SetMTU sets a link's MTU in bytes.
type SetMTU struct {
	Name string
	MTU  int
}

// SetMAC sets a link's Ethernet address.
type SetMAC struct {
	Name string
	MAC  MAC
}

// SetMaster makes a link a port of the bridge Master; "" frees it.
type SetMaster struct{ Name, Master string }

// SetLearning switches whether a VXLAN device learns from received packets which host a MAC is on.
// What it has learned stays until it ages.
type SetLearning struct {
	Name string
	On   bool
}

// SetTXChecksum switches whether the checksums of what a link sends are left to the card.
type SetTXChecksum struct {
	Name string
	On   bool
}

// SetNoLinkLocal keeps IPv6 from giving the link a link-local address.
type SetNoLinkLocal struct{ Name string }

// SetSysctls sets kernel parameters. One that fails does not keep the others from being set.
type SetSysctls struct{ Sysctls []Sysctl }

// SetUp brings a link up.
type SetUp struct{ Name string }

// AddAddr adds an address to a link. Once it has, the kernel takes packets for the address, unless
// it is an IPv6 address with duplicate address detection.
type AddAddr struct {
	Name string
	Addr Addr
}

// DelAddr removes an address from a link.
type DelAddr struct {
	Name string
	Addr Addr
}

// AddRoute adds a route. One of the same destination and metric that exists already, of another
// network perhaps, stays and takes precedence.
type AddRoute struct {
	Name  string
	Route Route
}

// DelRoute removes a route. It does nothing if the route is not there, or another program made it.
type DelRoute struct{ Route Route }

// AddFDB adds an entry to a VXLAN device's FDB. It replaces the MAC's entry, even a learned one. An
// entry of the zero MAC is appended, since the kernel refuses to replace those.
type AddFDB struct {
	Name string
	FDB  FDB
}

// DelFDB removes an entry from a VXLAN device's FDB.
type DelFDB struct {
	Name string
	FDB  FDB
}

func (CreateLink) isChange()     {}
func (DeleteLink) isChange()     {}
func (DeleteLinks) isChange()    {}
func (SetAlias) isChange()       {}
func (AddAltName) isChange()     {}
func (SetMTU) isChange()         {}
func (SetMAC) isChange()         {}
func (SetMaster) isChange()      {}
func (SetLearning) isChange()    {}
func (SetTXChecksum) isChange()  {}
func (SetNoLinkLocal) isChange() {}
func (SetSysctls) isChange()     {}
func (SetUp) isChange()          {}
func (AddAddr) isChange()        {}
func (DelAddr) isChange()        {}
func (AddRoute) isChange()       {}
func (DelRoute) isChange()       {}
func (AddFDB) isChange()         {}
func (DelFDB) isChange()         {}

// String prints the command `ip link add`.
func (c CreateLink) String() string {
	l := c.Link
	var b strings.Builder
	fmt.Fprintf(&b, "ip link add %s", l.Name)
	if l.MTU != 0 {
		fmt.Fprintf(&b, " mtu %d", l.MTU)
	}
	if !l.MAC.IsZero() {
		fmt.Fprintf(&b, " address %s", l.MAC)
	}
	fmt.Fprintf(&b, " type %s", l.Kind)
	switch l.Kind {
	case KindVXLAN:
		fmt.Fprintf(&b, " %s", l.Tunnel)
	case KindVeth:
		fmt.Fprintf(&b, " peer name %s netns %s", l.Peer.Name, l.Peer.Namespace)
		if l.Peer.MTU != 0 {
			fmt.Fprintf(&b, " mtu %d", l.Peer.MTU)
		}
		if !l.Peer.MAC.IsZero() {
			fmt.Fprintf(&b, " address %s", l.Peer.MAC)
		}
	}
	return b.String()
}

// String prints the command `ip link delete`.
func (c DeleteLink) String() string { return "ip link delete " + c.Name }

// String prints the commands that do the same, such as `ip link delete`.
func (c DeleteLinks) String() string {
	var all []string
	for _, name := range c.Names {
		all = append(all, DeleteLink{name}.String())
	}
	return strings.Join(all, "; ")
}

// String prints the command `ip link set … alias`.
func (c SetAlias) String() string {
	return fmt.Sprintf("ip link set %s alias %q", c.Name, c.Alias)
}

// String prints the command `ip link property add`.
func (c AddAltName) String() string {
	return fmt.Sprintf("ip link property add dev %s altname %s", c.Name, c.AltName)
}

// String prints the command `ip link set … mtu`.
func (c SetMTU) String() string { return fmt.Sprintf("ip link set %s mtu %d", c.Name, c.MTU) }

// String prints the command `ip link set … address`.
func (c SetMAC) String() string { return fmt.Sprintf("ip link set %s address %s", c.Name, c.MAC) }

// String prints the command `ip link set … master`.
func (c SetMaster) String() string {
	if c.Master == "" {
		return fmt.Sprintf("ip link set %s nomaster", c.Name)
	}
	return fmt.Sprintf("ip link set %s master %s", c.Name, c.Master)
}

// String prints the command `ip link set … type vxlan learning`.
func (c SetLearning) String() string {
	how := "learning"
	if !c.On {
		how = "nolearning"
	}
	return "ip link set " + c.Name + " type vxlan " + how
}

// String prints the command `ethtool -K`.
func (c SetTXChecksum) String() string {
	how := "on"
	if !c.On {
		how = "off"
	}
	return "ethtool -K " + c.Name + " tx-checksum-ip-generic " + how
}

// String prints the command `ip link set … addrgenmode none`.
func (c SetNoLinkLocal) String() string {
	return fmt.Sprintf("ip link set %s addrgenmode none", c.Name)
}

// String prints the commands that do the same, such as `sysctl -w`.
func (c SetSysctls) String() string {
	var lines []string
	for _, s := range c.Sysctls {
		lines = append(lines, s.String())
	}
	return strings.Join(lines, "\n")
}

// String prints the command `ip link set … up`.
func (c SetUp) String() string { return fmt.Sprintf("ip link set %s up", c.Name) }

// String prints the command `ip address add`.
func (c AddAddr) String() string {
	s := fmt.Sprintf("ip address add %s dev %s", c.Addr.Prefix, c.Name)
	if c.Addr.NoDAD {
		s += " nodad"
	}
	if c.Addr.Deprecated {
		s += " preferred_lft 0"
	}
	return s
}

// String prints the command `ip address delete`.
func (c DelAddr) String() string {
	return fmt.Sprintf("ip address delete %s dev %s", c.Addr.Prefix, c.Name)
}

// String prints the command `ip route append`.
func (c AddRoute) String() string {
	r := c.Route
	s := "ip route append "
	if r.Type != RouteUnicast {
		return s + fmt.Sprintf("%s %s metric %d", r.Type, r.Dst, r.Metric)
	}
	s += r.Dst.String()
	if r.Gateway.IsValid() {
		s += fmt.Sprintf(" via %s", r.Gateway)
	}
	if !r.AnyDevice {
		s += " dev " + c.Name
	}
	return s + fmt.Sprintf(" metric %d", r.Metric)
}

// String prints the command `ip route delete`.
func (c DelRoute) String() string {
	r := c.Route
	if r.Type != RouteUnicast {
		return fmt.Sprintf("ip route delete %s %s metric %d", r.Type, r.Dst, r.Metric)
	}
	return fmt.Sprintf("ip route delete %s via %s metric %d", r.Dst, r.Gateway, r.Metric)
}

// String prints the command `bridge fdb … self permanent`.
func (c AddFDB) String() string {
	verb := "replace"
	if c.FDB.MAC.IsZero() {
		verb = "append"
	}
	return fmt.Sprintf("bridge fdb %s %s dev %s %s self permanent", verb, c.FDB.MAC, c.Name, c.FDB.destination())
}

// String prints the command `bridge fdb delete … self`.
func (c DelFDB) String() string {
	return fmt.Sprintf("bridge fdb delete %s dev %s %s self", c.FDB.MAC, c.Name, c.FDB.destination())
}

// destination prints where frames go.
func (e FDB) destination() string {
	s := "dst " + e.Dst.String()
	if e.Port != 0 {
		s += fmt.Sprintf(" port %d", e.Port)
	}
	if e.VNI != 0 {
		s += fmt.Sprintf(" vni %d", e.VNI)
	}
	if e.Via != "" {
		s += " via " + e.Via
	}
	return s
}
