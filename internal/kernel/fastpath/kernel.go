package fastpath

import (
	"errors"
	"fmt"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nft"
	"vxlan-driver/internal/kernel/rtnl"
)

// Kernel is what a Redirector asks of a namespace. Namespace is the real one.
type Kernel interface {
	// Link returns the link of that name, or kernel.ErrNotFound.
	Link(name string, facets kernel.Facets) (kernel.Link, error)
	// PortLinks returns a bridge's ports, or kernel.ErrNotFound.
	PortLinks(bridge string) ([]kernel.Link, error)
	// StaticPorts returns the ports that a bridge has static entries of the MACs for.
	StaticPorts(bridge string, macs []kernel.MAC) (map[kernel.MAC]string, error)
	// Outbound returns the nftables table of a VXLAN device, as far as it is looked at.
	Outbound(device string, at Look) (OutboundTable, error)
	// Inbound returns the tc filters of a VXLAN device.
	Inbound(device string) (InboundFilters, error)
	// Apply makes a change: one of this package's, kernel.AddStatic or kernel.DelStatic.
	Apply(change fmt.Stringer) error
}

// Look says what is looked at. The zero value is everything.
type Look struct {
	Only      []kernel.MAC // of the MACs on other hosts; nil: all
	SkipPorts bool         // whether the rules are intact is not looked at either
}

// OutboundTable is the nftables table of a VXLAN device as observed.
type OutboundTable struct {
	Exists bool
	Intact bool // it has the rules of this program, for this very device; otherwise it has no members
	Members
}

// InboundFilters are the tc filters of a VXLAN device as observed.
type InboundFilters struct {
	Intact bool // what filters hang on is there
	Ports  []kernel.FastPathPort
}

// Namespace is the Kernel of a network namespace.
type Namespace struct {
	Links *rtnl.Conn
	// Firewall connects to nftables, each time to the same.
	Firewall func() (*nft.Conn, error)
}

// Link implements Kernel.
func (ns Namespace) Link(name string, f kernel.Facets) (kernel.Link, error) {
	return ns.Links.Link(name, f)
}

// PortLinks implements Kernel.
func (ns Namespace) PortLinks(bridge string) ([]kernel.Link, error) {
	return ns.Links.PortLinks(bridge)
}

// StaticPorts implements Kernel.
func (ns Namespace) StaticPorts(bridge string, macs []kernel.MAC) (map[kernel.MAC]string, error) {
	return ns.Links.StaticPorts(bridge, macs)
}

// Apply implements Kernel. Its error begins with the change as a command.
func (ns Namespace) Apply(change fmt.Stringer) error {
	var err error
	switch c := change.(type) {
	case kernel.AddStatic:
		return ns.Links.Apply(c)
	case kernel.DelStatic:
		return ns.Links.Apply(c)
	case LoadFilters:
		err = ns.loadFilters(c)
	case AddFilters:
		err = ns.addFilters(c)
	case DeleteFilters:
		err = ns.deleteFilters(c)
	default:
		err = ns.changeTable(change)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", change, err)
	}
	return nil
}

func (ns Namespace) changeTable(change fmt.Stringer) error {
	conn, err := ns.Firewall()
	if err != nil {
		return err
	}
	switch c := change.(type) {
	case LoadTable:
		return ns.loadTable(conn, c)
	case ChangeTable:
		return changeTable(conn, c)
	case EvictFromTable:
		return evictFromTable(conn, c)
	case DeleteTable:
		return deleteTable(conn, c)
	}
	return errors.New("not a change of a fast path")
}
