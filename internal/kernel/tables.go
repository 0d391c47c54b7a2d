package kernel

import (
	"fmt"
	"iter"
	"net/netip"
)

// ForwardingTables are the three tables by which frames and packets find a network's other
// hosts without being flooded.
type ForwardingTables struct {
	// FDB has the VXLAN device's permanent entries of one MAC each: on which host it is.
	FDB []FDB
	// Static has the MACs that the bridge was told to be behind the VXLAN device,
	// which it then neither forgets nor floods. They are sticky: another static entry
	// follows a frame from another port, so one forged frame would give a container here
	// all that is for a remote one, for good, as what comes by the device is not learned.
	Static []MAC
	// Neighbours has the bridge's permanent neighbours, of IPv4 and IPv6.
	Neighbours []Neighbour
}

// NeighbourProtocol marks this project's neighbours (NDA_PROTOCOL, Linux 5.1; `ip neighbour`
// shows it): a number that nobody known uses.
const NeighbourProtocol = 118

// Neighbour says which MAC has an address.
type Neighbour struct {
	Addr netip.Addr
	MAC  MAC
}

// ForwardingChanges are changes of many entries of a network's tables. Those of Add replace what is there of their MAC or address, learned
// entries too; those of Delete may be gone already. An entry that fails does not
// keep the others from being changed.
type ForwardingChanges struct {
	Bridge, Device string // Device is a port of Bridge, which is needed for Neighbours only
	Add, Delete    ForwardingTables
}

// AddStatic has the bridge send frames for MAC to its port Name, whatever comes from where,
// and replaces what it knows of the MAC.
type AddStatic struct {
	Name string
	MAC  MAC
}

// DelStatic removes a bridge's entry, if it leads to the port Name.
type DelStatic struct {
	Name string
	MAC  MAC
}

// AddNeighbour tells the link Name for good which MAC has an address.
type AddNeighbour struct {
	Name      string
	Neighbour Neighbour
}

// DelNeighbour removes a neighbour of the link Name.
type DelNeighbour struct {
	Name      string
	Neighbour Neighbour
}

func (AddStatic) change()    {}
func (DelStatic) change()    {}
func (AddNeighbour) change() {}
func (DelNeighbour) change() {}

func (c AddStatic) String() string {
	return fmt.Sprintf("bridge fdb replace %s dev %s master static sticky", c.MAC, c.Name)
}

func (c DelStatic) String() string {
	return fmt.Sprintf("bridge fdb delete %s dev %s master", c.MAC, c.Name)
}

func (c AddNeighbour) String() string {
	return fmt.Sprintf("ip neigh replace %s lladdr %s dev %s nud permanent", c.Neighbour.Addr, c.Neighbour.MAC, c.Name)
}

func (c DelNeighbour) String() string {
	return fmt.Sprintf("ip neigh delete %s dev %s", c.Neighbour.Addr, c.Name)
}

// All returns the changes of single entries, in the order in which they are made:
// on the way up nobody is told of a MAC before it can be reached, and on the way
// down the other way round.
func (c ForwardingChanges) All() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		_ = each(c.Add.FDB, func(e FDB) bool { return yield(AddFDB{c.Device, e}) }) &&
			each(c.Add.Static, func(m MAC) bool { return yield(AddStatic{c.Device, m}) }) &&
			each(c.Add.Neighbours, func(n Neighbour) bool { return yield(AddNeighbour{c.Bridge, n}) }) &&
			each(c.Delete.Neighbours, func(n Neighbour) bool { return yield(DelNeighbour{c.Bridge, n}) }) &&
			each(c.Delete.Static, func(m MAC) bool { return yield(DelStatic{c.Device, m}) }) &&
			each(c.Delete.FDB, func(e FDB) bool { return yield(DelFDB{c.Device, e}) })
	}
}

// each calls f with all of list until it returns false.
func each[T any](list []T, f func(T) bool) bool {
	for _, x := range list {
		if !f(x) {
			return false
		}
	}
	return true
}
