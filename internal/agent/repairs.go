package agent

import (
	"fmt"
	"maps"
	"net/netip"
	"sync"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
)

// repairKind says what was put right.
type repairKind string

// Kinds of repairs.
const (
	repairFirewall   repairKind = "firewall"   // tables, rules or elements
	repairDevice     repairKind = "device"     // a bridge or VXLAN device, with all that it has
	repairAddress    repairKind = "address"    // addresses of a device
	repairRoute      repairKind = "route"      // routes of a device
	repairPort       repairKind = "port"       // a port's place on its bridge, and how that treats it
	repairParameter  repairKind = "parameter"  // sysctls
	repairForwarding repairKind = "forwarding" // an FDB entry or a neighbour
)

// repairKinds are all of them.
var repairKinds = []repairKind{
	repairFirewall, repairDevice, repairAddress, repairRoute, repairPort, repairParameter, repairForwarding,
}

// repairCounter counts what the agent puts right in the kernel: what another program altered. Where
// it changes something, since a container came or another host has news, that is no repair.
//
// It sees all changes of the host's namespace, and tells their cause by what is under way.
type repairCounter struct {
	mu      sync.Mutex
	counts  map[repairKind]uint64
	pending map[repair]bool // of the work under way; nil: what is changed meanwhile is no repair
	suspect *suspectEntries // only the change of these entries is one; nil: all but that of entries
}

// repair is one thing that was put right. A device that was deleted takes several changes.
type repair struct {
	kind   repairKind
	object string
}

// Watch counts changes of the host's namespace from now on.
func (c *repairCounter) Watch(host *hoststate.Host) {
	c.counts = make(map[repairKind]uint64)
	open := host.Open
	host.Open = func(path string) (hoststate.Namespace, error) {
		ns, err := open(path)
		if err != nil || path != "" {
			return ns, err
		}
		return countingNamespace{ns, c}, nil
	}
}

// Count calls fn, which changes only what is not as it should be.
func (c *repairCounter) Count(fn func() error) error { return c.count(nil, fn) }

// CountEntries calls fn, of whose changes those are repairs that put right suspect entries.
func (c *repairCounter) CountEntries(suspect suspectEntries, fn func() error) error {
	return c.count(&suspect, fn)
}

func (c *repairCounter) count(suspect *suspectEntries, fn func() error) error {
	c.mu.Lock()
	c.pending, c.suspect = make(map[repair]bool), suspect
	c.mu.Unlock()
	err := fn()
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := range c.pending {
		if isOfDevice := r.kind != repairDevice && c.pending[repair{repairDevice, r.object}]; !isOfDevice {
			c.counts[r.kind]++
		}
	}
	c.pending, c.suspect = nil, nil
	return err
}

// Counts returns the number of repairs of each kind.
func (c *repairCounter) Counts() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := make(map[string]uint64, len(repairKinds))
	for _, kind := range repairKinds {
		counts[string(kind)] = c.counts[kind]
	}
	return counts
}

// note counts a repair, if one is under way.
func (c *repairCounter) note(kind repairKind, object string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending != nil && c.suspect == nil && kind != "" {
		c.pending[repair{kind, object}] = true
	}
}

// noteForwarding counts the entries that are suspect.
func (c *repairCounter) noteForwarding(ch kernel.ForwardingChanges) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil || c.suspect == nil {
		return
	}
	for _, t := range []kernel.ForwardingTables{ch.Add, ch.Delete} {
		for _, object := range c.suspect.among(t) {
			c.pending[repair{repairForwarding, object}] = true
		}
	}
}

// countingNamespace is the host's namespace whose changes are counted.
type countingNamespace struct {
	hoststate.Namespace
	repairs *repairCounter
}

// Apply implements reconcile.Namespace.
func (ns countingNamespace) Apply(ch kernel.Change) error {
	err := ns.Namespace.Apply(ch)
	if err == nil {
		ns.repairs.note(repairOf(ch))
	}
	return err
}

// SetPort implements reconcile.Namespace.
func (ns countingNamespace) SetPort(name string, f kernel.PortFlags) error {
	err := ns.Namespace.SetPort(name, f)
	if err == nil {
		ns.repairs.note(repairPort, name)
	}
	return err
}

// ChangeForwardingTables implements reconcile.Namespace.
func (ns countingNamespace) ChangeForwardingTables(ch kernel.ForwardingChanges) error {
	err := ns.Namespace.ChangeForwardingTables(ch)
	if err == nil {
		ns.repairs.noteForwarding(ch)
	}
	return err
}

// repairOf returns what a change puts right, and of what; "" for one that is no repair.
func repairOf(ch kernel.Change) (repairKind, string) {
	switch ch := ch.(type) {
	case kernel.SetFirewall, kernel.AddElements, kernel.DelElements, kernel.ReplaceElements:
		return repairFirewall, ""
	case kernel.CreateLink:
		return repairDevice, ch.Link.Name
	case kernel.SetAlias:
		return repairDevice, ch.Name
	case kernel.SetMAC:
		return repairDevice, ch.Name
	case kernel.SetUp:
		return repairDevice, ch.Name
	case kernel.SetLearning:
		return repairDevice, ch.Name
	case kernel.SetNoLinkLocal:
		return repairDevice, ch.Name
	case kernel.SetTXChecksum:
		return repairDevice, ch.Name
	case kernel.AddAddr:
		return repairAddress, ch.Name
	case kernel.DelAddr:
		return repairAddress, ch.Name
	case kernel.AddRoute:
		return repairRoute, ch.Name
	case kernel.SetMaster:
		return repairPort, ch.Name
	case kernel.SetSysctls:
		return repairParameter, ""
	}
	return "", ""
}

// suspectEntries are forwarding entries that the kernel does not have as it should, or has lost, and
// that no news of other hosts explains.
type suspectEntries struct {
	macs  map[kernel.MAC]bool
	addrs map[netip.Addr]bool
	flood map[kernel.FDB]bool
}

func newSuspectEntries() suspectEntries {
	return suspectEntries{make(map[kernel.MAC]bool), make(map[netip.Addr]bool), make(map[kernel.FDB]bool)}
}

// add adds entries, except those that are to be looked at for another reason.
func (s suspectEntries) add(keys kernel.ForwardingKeys, n *forwardedNetwork) {
	for _, m := range keys.MACs {
		if !n.macs[m] {
			s.macs[m] = true
		}
	}
	for _, a := range keys.Addrs {
		if !n.addrs[a] {
			s.addrs[a] = true
		}
	}
	for _, e := range keys.Flood {
		if !n.flood[e] {
			s.flood[e] = true
		}
	}
}

// take returns those of the entries that are suspect, and takes them out.
func (s suspectEntries) take(keys kernel.ForwardingKeys) suspectEntries {
	taken := newSuspectEntries()
	for _, m := range keys.MACs {
		taken.macs[m] = s.macs[m]
		delete(s.macs, m)
	}
	for _, a := range keys.Addrs {
		taken.addrs[a] = s.addrs[a]
		delete(s.addrs, a)
	}
	for _, e := range keys.Flood {
		taken.flood[e] = s.flood[e]
		delete(s.flood, e)
	}
	return taken
}

// merge adds the entries of another set.
func (s suspectEntries) merge(other suspectEntries) {
	maps.Copy(s.macs, other.macs)
	maps.Copy(s.addrs, other.addrs)
	maps.Copy(s.flood, other.flood)
}

// among returns those entries of tables that are suspect, each by a name. A MAC may be in two tables.
func (s suspectEntries) among(t kernel.ForwardingTables) (names []string) {
	for _, e := range t.FDB {
		if s.macs[e.MAC] {
			names = append(names, e.MAC.String())
		}
	}
	for _, m := range t.Static {
		if s.macs[m] {
			names = append(names, m.String())
		}
	}
	for _, n := range t.Neighbours {
		if s.addrs[n.Addr] {
			names = append(names, n.Addr.String())
		}
	}
	for _, e := range t.Flood {
		if s.flood[e] {
			names = append(names, fmt.Sprint(e))
		}
	}
	return names
}
