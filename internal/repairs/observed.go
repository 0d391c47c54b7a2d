package repairs

import (
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
	readBefore   bool // before the run: what it reads itself counts more
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
