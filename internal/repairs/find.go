package repairs

import (
	"strings"

	"vxlan-driver/internal/kernel"
)

// setting is how the host is, besides the changes.
type setting struct {
	// expected tells that changes are due to news: other hosts, or another underlay. Then only what
	// cannot be due to them is a repair.
	expected bool
	sameMTU  func(link string) bool // whether the link's MTU was to be the same before
	// hadElements are what the firewall had after the last run, as far as is known.
	hadElements []kernel.Element
}

// find returns what of the changes were repairs.
func (o observed) find(s setting) []Repair {
	f := finder{
		observed: o, setting: s, made: make(map[string]bool), deleted: make(map[string]bool),
		readdressed: make(map[string]bool), altered: make(map[Repair][]string),
	}
	for _, c := range o.changes {
		if name := linkOf(c); !f.made[name] { // else it is part of what was made
			f.look(c, name)
		}
	}
	f.addAltered()
	return f.found
}

// finder looks at changes one after the other, as they were made.
type finder struct {
	observed
	setting
	found         []Repair
	made, deleted map[string]bool     // links
	readdressed   map[string]bool     // links whose addresses the agent removes itself
	altered       map[Repair][]string // commands, by what they set right
	order         []Repair            // of altered
}

// look looks at a change of a link, or of the host if the name is empty.
func (f *finder) look(c kernel.Change, name string) {
	switch c := c.(type) {
	case kernel.DeleteLink:
		f.deleted[c.Name] = true
	case kernel.CreateLink:
		f.made[name] = true
		if !f.deleted[name] {
			f.add(Repair{Kind: Device, Missing: true, Object: name, Link: name, Detail: c.String()})
		}
	case kernel.DelAddr:
		f.readdressed[c.Name] = true
	case kernel.AddAddr:
		if !f.readdressed[name] {
			f.add(Repair{Kind: Address, Object: c.Addr.Prefix.String(), Link: name, Detail: c.String()})
		}
	case kernel.AddRoute:
		f.add(Repair{Kind: Route, Object: c.Route.Dst.String(), Link: name, Detail: c.String()})
	case kernel.SetSysctls:
		f.lookAtSysctls(c.Sysctls)
	case kernel.SetFirewall:
		f.lookAtFirewall(c)
	case kernel.AddElements:
		f.lookAtElements(c.Elements, c)
	case kernel.ReplaceElements:
		f.lookAtElements(c.New, c)
	default:
		f.lookAtLink(c, name)
	}
}

func (f *finder) add(r Repair) {
	r.Count = 1
	f.found = append(f.found, r)
}

func (f *finder) lookAtSysctls(sysctls []kernel.Sysctl) {
	for _, p := range sysctls {
		if !isOfAny(p.Key, f.made) && !f.expected {
			f.add(Repair{Kind: Parameter, Object: strings.ReplaceAll(p.Key, "/", "."), Detail: p.String()})
		}
	}
}

// lookAtLink looks at a change of an attribute. All those of one link are one repair.
func (f *finder) lookAtLink(c kernel.Change, name string) {
	if name == "" || f.expected || isMTU(c) && !f.sameMTU(name) {
		return
	}
	r := Repair{Kind: kindOf(c), Object: name, Link: name}
	if f.altered[r] == nil {
		f.order = append(f.order, r)
	}
	f.altered[r] = append(f.altered[r], c.String())
}

func (f *finder) addAltered() {
	for _, r := range f.order {
		r.Detail = strings.Join(f.altered[r], "; ")
		f.add(r)
	}
}
