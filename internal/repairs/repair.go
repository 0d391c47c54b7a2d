package repairs

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
)

// Kind is what was repaired. Kinds are labels of metrics, and are never renamed.
type Kind string

// The kinds of repairs.
const (
	Firewall   Kind = "firewall"   // tables, rules or elements
	Device     Kind = "device"     // a bridge or a VXLAN device, with all that it has
	Address    Kind = "address"    // of a device
	Route      Kind = "route"      //
	Port       Kind = "port"       // a port's place on its bridge, and how that treats it
	Parameter  Kind = "parameter"  // a sysctl
	Forwarding Kind = "forwarding" // entries of an FDB, or neighbours
)

// Kinds are all of them.
var Kinds = []Kind{Firewall, Device, Address, Route, Port, Parameter, Forwarding}

// codes are what `vxlanctl explain` says of each kind.
var codes = map[Kind]diagnosis.Code{
	Firewall: diagnosis.RulesMissing, Device: diagnosis.DeviceAltered, Address: diagnosis.GatewayMissing, Route: diagnosis.DeviceAltered,
	Port: diagnosis.DeviceAltered, Parameter: diagnosis.SysctlChanged, Forwarding: diagnosis.ForwardingAltered,
}

// Repair is something that was missing or altered, and is as it should be again.
type Repair struct {
	Kind   Kind
	Object string // what it was
	Count  uint64 // of forwarding entries; else 1
	// Missing tells of a device that it was not there at all.
	Missing bool
	// Neighbours tells of forwarding entries that all are neighbours.
	Neighbours bool
	Link       string // that it belongs to; "": the host
	Detail     string // the command that repaired it
	// By is who had removed it, as far as the kernel told, and GoneFor how long it was gone. Reported
	// tells whether the kernel told at all.
	By       kernel.Sender
	GoneFor  time.Duration
	Reported bool
}

// Code returns what explains the repair.
func (r Repair) Code() diagnosis.Code {
	if r.Missing {
		return diagnosis.DeviceMissing
	}
	if r.Neighbours {
		return diagnosis.NeighbourAltered
	}
	return codes[r.Kind]
}

// String says what happened.
func (r Repair) String() string {
	text := r.describe()
	if r.Reported {
		text += fmt.Sprintf(", gone for %v", r.GoneFor.Round(time.Millisecond))
	}
	if r.By.PID != 0 {
		return text + ", removed by " + r.By.String()
	}
	return text + ", by whom is unknown"
}

func (r Repair) describe() string {
	switch r.Kind {
	case Device:
		if r.Missing {
			return fmt.Sprintf("device %s was missing and is back", r.Object)
		}
		return fmt.Sprintf("device %s was altered and is set right", r.Object)
	case Port:
		return fmt.Sprintf("port %s was off its bridge or altered, and is set right", r.Object)
	case Address:
		return fmt.Sprintf("address %s of %s was missing and is back", r.Object, r.Link)
	case Route:
		return fmt.Sprintf("route to %s was missing and is back", r.Object)
	case Parameter:
		return fmt.Sprintf("kernel parameter %s was altered and is set right", r.Object)
	case Firewall:
		return fmt.Sprintf("firewall: %s were missing or altered and are back", r.Object)
	}
	if r.Count == 1 {
		return fmt.Sprintf("%s of %s was missing or wrong and is set right", r.Object, r.Link)
	}
	return fmt.Sprintf("%s of %s were missing or wrong and are set right", r.Object, r.Link)
}

// matches tells whether a removal is what made the repair necessary.
func (r Repair) matches(removed kernel.Removal) bool {
	switch removed.What {
	case kernel.RemovedLink:
		return r.Missing && removed.Object == r.Object
	case kernel.RemovedAddr:
		return r.Kind == Address && removed.Prefix.String() == r.Object
	case kernel.RemovedRoute:
		return r.Kind == Route && removed.Prefix.String() == r.Object
	case kernel.RemovedRules, kernel.RemovedElement:
		return r.Kind == Firewall
	}
	return false
}

// observed is what a run of changes was, and what was seen of the kernel before.
type observed struct {
	changes []kernel.Change
	// rulesLost tells that the firewall's tables lacked rules of this version.
	rulesLost bool
	// elements are what the firewall had before it was set anew, if they were read.
	elements     []kernel.Element
	elementsRead bool
}

// wantedElements returns those of a firewall that was set anew, and whether it was.
func (o observed) wantedElements() (elements []kernel.Element, isSet bool) {
	for _, c := range o.changes {
		if c, ok := c.(kernel.SetFirewall); ok {
			elements, isSet = c.Elements, true
		}
	}
	return elements, isSet
}

// setting is how the host is, besides the changes.
type setting struct {
	// expected tells that changes are due to news: other hosts, or another underlay. Then only what
	// cannot be due to them is a repair.
	expected bool
	sameMTU  func(link string) bool // whether the link's MTU was to be the same before
	// elements are what the firewall had after the last run, as far as is known.
	elements []kernel.Element
}

// find returns what of the changes were repairs.
func (o observed) find(s setting) (found []Repair) {
	made, deleted := make(map[string]bool), make(map[string]bool)
	reordered := make(map[string]bool)   // links whose addresses the agent removes itself
	altered := make(map[Repair][]string) // commands, by what they repair
	var order []Repair
	add := func(r Repair) {
		r.Count = 1
		found = append(found, r)
	}
	for _, c := range o.changes {
		name := linkOf(c)
		if made[name] {
			continue // part of what was made
		}
		switch c := c.(type) {
		case kernel.DeleteLink:
			deleted[c.Name] = true
		case kernel.CreateLink:
			made[name] = true
			if !deleted[name] {
				add(Repair{Kind: Device, Missing: true, Object: name, Link: name, Detail: c.String()})
			}
		case kernel.DelAddr:
			reordered[c.Name] = true
		case kernel.AddAddr:
			if reordered[name] {
				continue
			}
			add(Repair{Kind: Address, Object: c.Addr.Prefix.String(), Link: name, Detail: c.String()})
		case kernel.AddRoute:
			add(Repair{Kind: Route, Object: c.Route.Dst.String(), Link: name, Detail: c.String()})
		case kernel.SetSysctls:
			for _, p := range c.Sysctls {
				if !isOfAny(p.Key, made) && !s.expected {
					add(Repair{Kind: Parameter, Object: strings.ReplaceAll(p.Key, "/", "."), Detail: p.String()})
				}
			}
		case kernel.SetFirewall:
			if r, ok := o.firewallRepair(c, s); ok {
				add(r)
			}
		case kernel.AddElements:
			if r, ok := o.elementsRepair(c.Elements, c, s); ok {
				add(r)
			}
		case kernel.ReplaceElements:
			if r, ok := o.elementsRepair(c.New, c, s); ok {
				add(r)
			}
		default:
			if name == "" || s.expected || isMTU(c) && !s.sameMTU(name) {
				continue
			}
			r := Repair{Kind: kindOf(c), Object: name, Link: name}
			if altered[r] == nil {
				order = append(order, r)
			}
			altered[r] = append(altered[r], c.String())
		}
	}
	for _, r := range order {
		r.Detail = strings.Join(altered[r], "; ")
		add(r)
	}
	return found
}

// firewallRepair tells whether a firewall that is set anew lacked something that it had had. It is set
// anew, too, when a network is created that others must know: then what is missing is new.
func (o observed) firewallRepair(c kernel.SetFirewall, s setting) (r Repair, ok bool) {
	r = Repair{Kind: Firewall, Object: "rules", Detail: "nft load tables " + kernel.FirewallTable}
	switch {
	case o.rulesLost:
		return r, true
	case s.expected || !o.elementsRead:
		return r, false
	}
	missing := o.countMissing(c.Elements, s)
	r.Object = fmt.Sprintf("%d elements", missing)
	return r, missing > 0
}

// elementsRepair tells whether elements that are added were missing. Where nobody has read what the
// firewall had, they are new ones.
func (o observed) elementsRepair(added []kernel.Element, by fmt.Stringer, s setting) (r Repair, ok bool) {
	if s.expected || !o.elementsRead {
		return r, false
	}
	missing := o.countMissing(added, s)
	return Repair{Kind: Firewall, Object: fmt.Sprintf("%d elements", missing), Detail: shortened(by.String())}, missing > 0
}

// shortened is a command's first line: there may be a thousand.
func shortened(command string) string {
	first, _, more := strings.Cut(command, "\n")
	if more {
		first += "; …"
	}
	return first
}

// countMissing counts the elements that the firewall had had, and then did not have.
func (o observed) countMissing(elements []kernel.Element, s setting) (missing int) {
	had, have := elementIDs(s.elements), elementIDs(o.elements)
	for i := range elements {
		e := &elements[i]
		// Podman's other networks come and go.
		if id := e.ID(); e.Set != kernel.PodmanBridges && had[id] && !have[id] {
			missing++
		}
	}
	return missing
}

func elementIDs(elements []kernel.Element) map[kernel.ElementID]bool {
	ids := make(map[kernel.ElementID]bool, len(elements))
	for i := range elements {
		ids[elements[i].ID()] = true
	}
	return ids
}

// kindOf returns what a change of a link repairs.
func kindOf(c kernel.Change) Kind {
	switch c.(type) {
	case kernel.SetMaster, setPort:
		return Port
	}
	return Device
}

// setPort is a change of how a bridge treats its port.
type setPort struct {
	kernel.SetMaster // whose bridge is left out
	flags            kernel.PortFlags
}

// String prints a command that does the same.
func (c setPort) String() string {
	text := "bridge link set dev " + c.Name
	for _, f := range []struct {
		name string
		flag kernel.Opt[bool]
	}{{"learning", c.flags.Learning}, {"neigh_suppress", c.flags.Suppress}} {
		if f.flag.Set && f.flag.Value {
			text += " " + f.name + " on"
		} else if f.flag.Set {
			text += " " + f.name + " off"
		}
	}
	return text
}

func isMTU(c kernel.Change) bool {
	_, ok := c.(kernel.SetMTU)
	return ok
}

// linkOf returns the name of the link that a change is of, "" if it is of none that matters.
func linkOf(c kernel.Change) string {
	switch c := c.(type) {
	case kernel.CreateLink:
		return c.Link.Name
	case kernel.DeleteLink:
		return "" // which may be made anew
	case kernel.SetAlias:
		return c.Name
	case kernel.SetMTU:
		return c.Name
	case kernel.SetMAC:
		return c.Name
	case kernel.SetMaster:
		return c.Name
	case setPort:
		return c.Name
	case kernel.SetLearning:
		return c.Name
	case kernel.SetTXChecksum:
		return c.Name
	case kernel.SetNoLinkLocal:
		return c.Name
	case kernel.SetUp:
		return c.Name
	case kernel.AddAddr:
		return c.Name
	case kernel.AddRoute:
		return c.Name
	}
	return ""
}

// isOfAny tells whether a parameter is of one of the links.
func isOfAny(key string, links map[string]bool) bool {
	return slices.ContainsFunc(strings.Split(key, "/"), func(part string) bool { return links[part] })
}

// String names the entry as people know it.
func (k entryKey) String() string {
	switch {
	case k.addr.IsValid():
		return k.addr.String()
	case k.flood.Dst.IsValid():
		return "flood to " + k.flood.Dst.String()
	}
	return k.mac.String()
}

// entryKey names a forwarding entry, as the kernel reports its deletion: a MAC, an address, or a flood
// entry.
type entryKey struct {
	mac   kernel.MAC
	addr  netip.Addr
	flood kernel.FDB
}

// entryKeys returns the names of entries of tables.
func entryKeys(t kernel.ForwardingTables) (keys []entryKey) {
	for _, e := range t.FDB {
		keys = append(keys, entryKey{mac: e.MAC})
	}
	for _, m := range t.Static {
		keys = append(keys, entryKey{mac: m})
	}
	for _, n := range t.Neighbours {
		keys = append(keys, entryKey{addr: n.Addr})
	}
	for _, e := range t.Flood {
		keys = append(keys, entryKey{flood: kernel.FDB{Dst: e.Dst}})
	}
	return keys
}

// Entries are forwarding entries.
type Entries map[entryKey]bool

// Add adds the entries that are named, up to a bound. If all entries of a large network are gone,
// nobody wants to read 100,000 names, and they would take as much memory as the entries.
func (s *Entries) Add(k kernel.ForwardingKeys) {
	if *s == nil {
		*s = make(Entries)
	}
	for key := range namedKeys(k) {
		if len(*s) >= maxEntries {
			return
		}
		(*s)[key] = true
	}
}

// Drop takes out the entries that are named.
func (s Entries) Drop(k kernel.ForwardingKeys) { s.MoveTo(make(Entries), k) }

// MoveTo moves those of the entries that are named to another set.
func (s Entries) MoveTo(other Entries, k kernel.ForwardingKeys) {
	for key := range namedKeys(k) {
		if s[key] {
			other[key] = true
			delete(s, key)
		}
	}
}

func namedKeys(k kernel.ForwardingKeys) iter.Seq[entryKey] {
	return func(yield func(entryKey) bool) {
		for _, m := range k.MACs {
			if !yield(entryKey{mac: m}) {
				return
			}
		}
		for _, a := range k.Addrs {
			if !yield(entryKey{addr: a}) {
				return
			}
		}
		for _, e := range k.Flood {
			if !yield(entryKey{flood: kernel.FDB{Dst: e.Dst}}) {
				return
			}
		}
	}
}
