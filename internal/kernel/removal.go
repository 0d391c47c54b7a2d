package kernel

import (
	"fmt"
	"net/netip"
)

// Removed says what was removed.
type Removed string

// What removals are reported of.
const (
	RemovedLink    Removed = "link"    // a bridge or a VXLAN device
	RemovedAddr    Removed = "address" // of any link
	RemovedRoute   Removed = "route"   // a static one
	RemovedRules   Removed = "rules"   // a table of this project's, or a chain, rule or set of one
	RemovedElement Removed = "element" // of a set of them
)

// Removal is a report that something was removed from a namespace, which this project may need.
type Removal struct {
	What Removed
	// Object is a link's name, or what rules were of. Of an address or a route it is empty.
	Object string
	Prefix netip.Prefix // of an address or a route
	Sender Sender
}

// Sender is the process that asked the kernel for a change, as far as it can be told.
type Sender struct {
	Port    uint32 // of its socket; 0: the kernel did it of its own accord, or does not tell
	PID     int    // 0: unknown
	Command string // the process's name, without its arguments, which may hold secrets
	Parent  string // the name of the process that started it
}

// String names the process.
func (s Sender) String() string {
	switch {
	case s.PID == 0:
		return "unknown"
	case s.Parent == "":
		return fmt.Sprintf("%s (process %d)", s.Command, s.PID)
	}
	return fmt.Sprintf("%s (process %d, started by %s)", s.Command, s.PID, s.Parent)
}
