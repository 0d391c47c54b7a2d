package kernel

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoShortcut says that this kernel cannot pass packets on as a Shortcut has them.
var ErrNoShortcut = errors.New("the kernel lacks what it takes (nftables' netdev family with fwd, tc's clsact, u32 and mirred)")

// Shortcut has IP packets between a network's containers here and those of other hosts pass
// from port to VXLAN device, and back, by their Ethernet address: not through the bridge, nor
// the hooks for bridged packets. What it does not know goes by the bridge as ever.
//
// What containers send is picked by an nftables table of the network's own, in family netdev, since it
// may be for any of many MACs. What comes for them is picked by tc on the VXLAN device: nftables' fwd does not
// keep the checksum that a network card gives with a packet (nf_do_netdev_egress pushes the Ethernet header
// without it), and the kernel would report a fault of the card.
type Shortcut struct {
	Device string         // the VXLAN device
	Remote []MAC          // that are on other hosts
	Ports  []ShortcutPort // of containers on this host
}

// ShortcutPort is a bridge's port, and the container's MAC behind it. One that is there only in
// part has no name.
type ShortcutPort struct {
	Name string
	MAC  MAC
}

// ShortcutRemote is the table's set of MACs on other hosts.
var ShortcutRemote = Set{Netdev, "remote"}

// ShortcutTable is the name of the table of the network of that VXLAN device.
func ShortcutTable(device string) string { return FirewallTable + "-" + device }

// SetShortcut makes the table anew, in one transaction.
type SetShortcut struct{ Shortcut Shortcut }

// ChangeShortcut changes what the table has, in one transaction. What is to be deleted must be there.
type ChangeShortcut struct {
	Device      string
	Add, Delete Shortcut
}

// LeaveShortcut has packets for a MAC, and from a port with it, go by the bridge.
type LeaveShortcut struct {
	Device string
	MAC    MAC
}

// DelShortcut deletes the table.
type DelShortcut struct{ Device string }

// SetRedirects makes what leads from the VXLAN device to containers anew.
type SetRedirects struct {
	Device string
	Ports  []ShortcutPort
}

// AddRedirect has packets for a port's MAC go to the port.
type AddRedirect struct {
	Device string
	Port   ShortcutPort
}

// DelRedirect has packets for a MAC go by the bridge.
type DelRedirect struct {
	Device string
	MAC    MAC
}

// AddLocal has a bridge know for good that MAC is behind its port Name, whatever comes from where: of what goes by a
// shortcut it would not learn.
type AddLocal struct {
	Name string
	MAC  MAC
}

func (SetShortcut) change()    {}
func (ChangeShortcut) change() {}
func (LeaveShortcut) change()  {}
func (DelShortcut) change()    {}
func (SetRedirects) change()   {}
func (AddRedirect) change()    {}
func (DelRedirect) change()    {}
func (AddLocal) change()       {}

func (c SetShortcut) String() string {
	s := c.Shortcut
	return fmt.Sprintf("nft load table netdev %s { remote %s; ports %s }", ShortcutTable(s.Device), s.remotes(), s.ports())
}

func (c ChangeShortcut) String() string {
	var parts []string
	add := func(verb string, s Shortcut) {
		if len(s.Remote) > 0 {
			parts = append(parts, fmt.Sprintf("nft %s element netdev %s remote { %s }", verb, ShortcutTable(c.Device), s.remotes()))
		}
		for _, p := range s.Ports {
			parts = append(parts, fmt.Sprintf("nft %s chain netdev %s %s # %s", verb, ShortcutTable(c.Device), p.Chain(), p.Name))
		}
	}
	add("delete", c.Delete)
	add("add", c.Add)
	return strings.Join(parts, "; ")
}

func (c LeaveShortcut) String() string {
	return fmt.Sprintf("nft delete element netdev %s remote { %s }; nft delete chain netdev %[1]s %s",
		ShortcutTable(c.Device), c.MAC, ShortcutPort{MAC: c.MAC}.Chain())
}

func (c DelShortcut) String() string { return "nft delete table netdev " + ShortcutTable(c.Device) }

func (c SetRedirects) String() string {
	parts := []string{"tc qdisc add dev " + c.Device + " clsact"}
	for _, p := range c.Ports {
		parts = append(parts, AddRedirect{c.Device, p}.String())
	}
	return strings.Join(parts, "; ")
}

func (c AddRedirect) String() string {
	return fmt.Sprintf("tc filter add dev %s ingress protocol ip u32 match ether dst %s action mirred egress redirect dev %s # and TCP and UDP of ipv6",
		c.Device, c.Port.MAC, c.Port.Name)
}

func (c DelRedirect) String() string {
	return fmt.Sprintf("tc filter delete dev %s ingress protocol ip u32 # match ether dst %s, and TCP and UDP of ipv6", c.Device, c.MAC)
}

func (c AddLocal) String() string {
	return fmt.Sprintf("bridge fdb replace %s dev %s master static sticky", c.MAC, c.Name)
}

// Chain is the name of the table's chain for what comes from the port. A port's name may have what
// nft cannot read, and another network's port may get it.
func (p ShortcutPort) Chain() string { return fmt.Sprintf("port-%x", p.MAC[:]) }

// listed is how many of a long list are printed.
const listed = 10

func (s Shortcut) remotes() string {
	var all []string
	for _, m := range s.Remote[:min(len(s.Remote), listed)] {
		all = append(all, m.String())
	}
	return shorten(all, len(s.Remote))
}

func (s Shortcut) ports() string {
	var all []string
	for _, p := range s.Ports[:min(len(s.Ports), listed)] {
		all = append(all, p.Name)
	}
	return shorten(all, len(s.Ports))
}

func shorten(all []string, n int) string {
	if n > len(all) {
		all = append(all, fmt.Sprintf("… (%d)", n))
	}
	return strings.Join(all, ", ")
}
