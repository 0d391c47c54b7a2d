package kernel

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoFastPath says that this kernel cannot pass packets on as a Shortcut has them.
var ErrNoFastPath = errors.New("the kernel lacks what it takes (nftables' netdev family with fwd, tc's clsact, u32 and mirred)")

// FastPath has IP packets between a network's containers here and those of other hosts pass
// from port to KindVXLAN device, and back, by their Ethernet address: not through the bridge, nor
// the hooks for bridged packets. What it does not know goes by the bridge as ever.
//
// What containers send is picked by an nftables table of the network's own, in family netdev, since it
// may be for any of many MACs. What comes for them is picked by tc on the KindVXLAN device: nftables' fwd does not
// keep the checksum that a network card gives with a packet (nf_do_netdev_egress pushes the Ethernet header
// without it), and the kernel would report a fault of the card.
type FastPath struct {
	Device string         // the KindVXLAN device
	Remote []MAC          // that are on other hosts
	Ports  []FastPathPort // of containers on this host
}

// FastPathPort is a bridge's port, and the container's MAC behind it. One that is there only in
// part has no name.
type FastPathPort struct {
	Name string
	MAC  MAC
}

// FastPathRemote is the table's set of MACs on other hosts.
var FastPathRemote = Set{FamilyNetdev, "remote"}

// FastPathTable is the name of the table of the network of that KindVXLAN device.
func FastPathTable(device string) string { return FirewallTable + "-" + device }

// SetFastPath makes the table anew, in one transaction.
type SetFastPath struct{ FastPath FastPath }

// ChangeFastPath changes what the table has, in one transaction. What is to be deleted must be there.
type ChangeFastPath struct {
	Device      string
	Add, Delete FastPath
}

// EvictFastPath has packets for a MAC, and from a port with it, go by the bridge.
type EvictFastPath struct {
	Device string
	MAC    MAC
}

// DelFastPath deletes the table.
type DelFastPath struct{ Device string }

// SetRedirects makes what leads from the KindVXLAN device to containers anew.
type SetRedirects struct {
	Device string
	Ports  []FastPathPort
}

// AddRedirect has packets for a port's MAC go to the port.
type AddRedirect struct {
	Device string
	Port   FastPathPort
}

// DelRedirect has packets for a MAC go by the bridge.
type DelRedirect struct {
	Device string
	MAC    MAC
}

// AddSticky has a bridge know for good that MAC is behind its port Name, whatever comes from where: of what goes by a
// shortcut it would not learn.
type AddSticky struct {
	Name string
	MAC  MAC
}

func (SetFastPath) change()    {}
func (ChangeFastPath) change() {}
func (EvictFastPath) change()  {}
func (DelFastPath) change()    {}
func (SetRedirects) change()   {}
func (AddRedirect) change()    {}
func (DelRedirect) change()    {}
func (AddSticky) change()      {}

func (c SetFastPath) String() string {
	s := c.FastPath
	return fmt.Sprintf("nft load table netdev %s { remote %s; ports %s }", FastPathTable(s.Device), s.remotes(), s.ports())
}

func (c ChangeFastPath) String() string {
	var parts []string
	add := func(verb string, s FastPath) {
		if len(s.Remote) > 0 {
			parts = append(parts, fmt.Sprintf("nft %s element netdev %s remote { %s }", verb, FastPathTable(c.Device), s.remotes()))
		}
		for _, p := range s.Ports {
			parts = append(parts, fmt.Sprintf("nft %s chain netdev %s %s # %s", verb, FastPathTable(c.Device), p.Chain(), p.Name))
		}
	}
	add("delete", c.Delete)
	add("add", c.Add)
	return strings.Join(parts, "; ")
}

func (c EvictFastPath) String() string {
	return fmt.Sprintf("nft delete element netdev %s remote { %s }; nft delete chain netdev %[1]s %s",
		FastPathTable(c.Device), c.MAC, FastPathPort{MAC: c.MAC}.Chain())
}

func (c DelFastPath) String() string { return "nft delete table netdev " + FastPathTable(c.Device) }

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

func (c AddSticky) String() string {
	return fmt.Sprintf("bridge fdb replace %s dev %s master static sticky", c.MAC, c.Name)
}

// Chain is the name of the table's chain for what comes from the port. A port's name may have what
// nft cannot read, and another network's port may get it.
func (p FastPathPort) Chain() string { return fmt.Sprintf("port-%x", p.MAC[:]) }

// listed is how many of a long list are printed.
const listed = 10

func (s FastPath) remotes() string {
	var all []string
	for _, m := range s.Remote[:min(len(s.Remote), listed)] {
		all = append(all, m.String())
	}
	return shorten(all, len(s.Remote))
}

func (s FastPath) ports() string {
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
