package kernel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNoShortcut says that this kernel cannot pass packets on as a Shortcut has them.
var ErrNoShortcut = errors.New("the kernel lacks the netdev family of nftables, or its fwd statement")

// Shortcut has IP packets between a network's containers here and those of other hosts pass
// from port to VXLAN device, and back, by their Ethernet address: not through the bridge, nor
// the hooks for bridged packets. What it does not know goes by the bridge as ever.
//
// It is an nftables table of its own, in family netdev.
type Shortcut struct {
	Device string         // the VXLAN device
	Remote []MAC          // that are on other hosts
	Ports  []ShortcutPort // of containers on this host
}

// ShortcutPort is a bridge's port, and the container's MAC behind it.
type ShortcutPort struct {
	Name string
	MAC  MAC
}

// The netdev table's sets.
var (
	ShortcutRemote = Set{Netdev, "remote"}
	ShortcutLocal  = Set{Netdev, "local"}
)

// ShortcutTable is the name of the table of the network of that VXLAN device.
func ShortcutTable(device string) string { return FirewallTable + "-" + device }

// SetShortcut makes the table anew, in one transaction. A port that is not there is left out.
type SetShortcut struct{ Shortcut Shortcut }

// ChangeShortcut changes what a table has, in one transaction. What is to be deleted must be there.
type ChangeShortcut struct {
	Device      string
	Add, Delete Shortcut
}

// LeaveShortcut has packets for a MAC go by the bridge, whichever side it was on.
type LeaveShortcut struct {
	Device string
	MAC    MAC
}

// DelShortcut deletes the table.
type DelShortcut struct{ Device string }

// AddLocal has a bridge know for good that MAC is behind its port Name, until a frame from it
// comes by another: of what goes by a shortcut it would not learn.
type AddLocal struct {
	Name string
	MAC  MAC
}

func (SetShortcut) change()    {}
func (ChangeShortcut) change() {}
func (LeaveShortcut) change()  {}
func (DelShortcut) change()    {}
func (AddLocal) change()       {}

func (c SetShortcut) String() string {
	s := c.Shortcut
	return fmt.Sprintf("nft load table netdev %s { remote %s; ports %s }", ShortcutTable(s.Device), s.remotes(), s.ports())
}

func (c ChangeShortcut) String() string {
	var lines []string
	add := func(verb string, s Shortcut) {
		if len(s.Remote) > 0 {
			lines = append(lines, fmt.Sprintf("nft %s element netdev %s remote { %s }", verb, ShortcutTable(c.Device), s.remotes()))
		}
		if len(s.Ports) > 0 {
			lines = append(lines, fmt.Sprintf("nft %s ports of netdev %s { %s }", verb, ShortcutTable(c.Device), s.ports()))
		}
	}
	add("delete", c.Delete)
	add("add", c.Add)
	return strings.Join(lines, "\n")
}

func (c LeaveShortcut) String() string {
	return fmt.Sprintf("nft delete element netdev %s { %s }", ShortcutTable(c.Device), c.MAC)
}

func (c DelShortcut) String() string { return "nft delete table netdev " + ShortcutTable(c.Device) }

func (c AddLocal) String() string {
	return fmt.Sprintf("bridge fdb replace %s dev %s master static", c.MAC, c.Name)
}

func (s Shortcut) remotes() string {
	var all []string
	for _, m := range s.Remote {
		all = append(all, m.String())
	}
	return strings.Join(all, ", ")
}

func (s Shortcut) ports() string {
	var all []string
	for _, p := range s.Ports {
		all = append(all, p.MAC.String()+" : "+p.Name)
	}
	return strings.Join(all, ", ")
}

// Clone returns a copy.
func (s Shortcut) Clone() Shortcut {
	s.Remote, s.Ports = slices.Clone(s.Remote), slices.Clone(s.Ports)
	return s
}
