package kernel

import (
	"fmt"
	"iter"
	"net/netip"
)

// ForwardingTables are the three tables by which frames and packets find a network's other hosts
// without being flooded.
type ForwardingTables struct {
	// FDB has the VXLAN device's permanent entries of one MAC each: on which host it is.
	FDB []FDB
	// Static has the MACs of the bridge's static entries for the VXLAN device. The bridge neither
	// forgets nor floods them. They are sticky. An entry that is not sticky moves to the port that
	// a frame from its MAC arrives on. So a container here could divert a remote container's frames
	// with one forged frame. Since nothing is learned from the device, that would last.
	Static []MAC
	// Neighbours has the bridge's permanent neighbours, of IPv4 and IPv6.
	Neighbours []Neighbour
	// Flood has the VXLAN device's entries of the zero MAC: the hosts that get a copy of each frame
	// for everybody. The kernel lists them only with all others.
	Flood []FDB
}

// ForwardingKeys name entries of forwarding tables, whether they are there or not: those of both
// FDBs by MAC, neighbours by address, and flood entries by all that they are.
type ForwardingKeys struct {
	MACs  []MAC
	Addrs []netip.Addr
	Flood []FDB
}

// Count returns how many there are.
func (k ForwardingKeys) Count() int { return len(k.MACs) + len(k.Addrs) + len(k.Flood) }

// TakeSome takes at most so many of each kind: MACs last, as addresses lead to them.
func (k *ForwardingKeys) TakeSome(most int) (some ForwardingKeys) {
	some.Flood, k.Flood = k.Flood[:min(most, len(k.Flood))], k.Flood[min(most, len(k.Flood)):]
	some.Addrs, k.Addrs = k.Addrs[:min(most, len(k.Addrs))], k.Addrs[min(most, len(k.Addrs)):]
	if len(k.Addrs) == 0 {
		some.MACs, k.MACs = k.MACs[:min(most, len(k.MACs))], k.MACs[min(most, len(k.MACs)):]
	}
	return some
}

// NeighbourProtocol marks this project's neighbours (NDA_PROTOCOL, Linux 5.1; `ip neighbour` shows
// it). No other program is known to use the number.
const NeighbourProtocol = 118

// Neighbour says which MAC has an address.
type Neighbour struct {
	Addr netip.Addr
	MAC  MAC
}

// ForwardingChanges are changes of many entries of a network's tables. Those of Add replace entries
// of the same MAC or address, learned ones too. Those of Delete may be gone already. An entry that
// fails does not keep the others from being changed.
type ForwardingChanges struct {
	Bridge, Device string // Device is a port of Bridge, which is needed for Neighbours only
	Add, Delete    ForwardingTables
}

// AddStatic adds a static, sticky entry to a bridge's FDB: frames for MAC go to the port Name,
// whatever port frames from it come by. It replaces another entry of the MAC.
type AddStatic struct {
	Name string
	MAC  MAC
}

// DelStatic removes a bridge's entry for MAC if it is for the port Name.
type DelStatic struct {
	Name string
	MAC  MAC
}

// AddNeighbour adds a permanent neighbour to the link Name.
type AddNeighbour struct {
	Name      string
	Neighbour Neighbour
}

// DelNeighbour removes a neighbour of the link Name.
type DelNeighbour struct {
	Name      string
	Neighbour Neighbour
}

func (AddStatic) isChange()    {}
func (DelStatic) isChange()    {}
func (AddNeighbour) isChange() {}
func (DelNeighbour) isChange() {}

// String prints the command `bridge fdb replace … master static sticky`.
func (c AddStatic) String() string {
	return fmt.Sprintf("bridge fdb replace %s dev %s master static sticky", c.MAC, c.Name)
}

// String prints the command `bridge fdb delete … master`.
func (c DelStatic) String() string {
	return fmt.Sprintf("bridge fdb delete %s dev %s master", c.MAC, c.Name)
}

// String prints the command `ip neigh replace`.
func (c AddNeighbour) String() string {
	return fmt.Sprintf("ip neigh replace %s lladdr %s dev %s nud permanent", c.Neighbour.Addr, c.Neighbour.MAC, c.Name)
}

// String prints the command `ip neigh delete`.
func (c DelNeighbour) String() string {
	return fmt.Sprintf("ip neigh delete %s dev %s", c.Neighbour.Addr, c.Name)
}

// All returns the changes of single entries, in the order in which they are made. A neighbour is
// added after the entries by which its MAC is reached, and deleted before them.
func (c ForwardingChanges) All() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		_ = forEach(c.Add.Flood, func(e FDB) bool { return yield(AddFDB{c.Device, e}) }) &&
			forEach(c.Add.FDB, func(e FDB) bool { return yield(AddFDB{c.Device, e}) }) &&
			forEach(c.Add.Static, func(m MAC) bool { return yield(AddStatic{c.Device, m}) }) &&
			forEach(c.Add.Neighbours, func(n Neighbour) bool { return yield(AddNeighbour{c.Bridge, n}) }) &&
			forEach(c.Delete.Neighbours, func(n Neighbour) bool { return yield(DelNeighbour{c.Bridge, n}) }) &&
			forEach(c.Delete.Static, func(m MAC) bool { return yield(DelStatic{c.Device, m}) }) &&
			forEach(c.Delete.FDB, func(e FDB) bool { return yield(DelFDB{c.Device, e}) }) &&
			forEach(c.Delete.Flood, func(e FDB) bool { return yield(DelFDB{c.Device, e}) })
	}
}

// forEach calls f with all of list until it returns false.
func forEach[T any](list []T, f func(T) bool) bool {
	for _, x := range list {
		if !f(x) {
			return false
		}
	}
	return true
}
