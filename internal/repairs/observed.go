package repairs

import (
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/kernel"
)

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
