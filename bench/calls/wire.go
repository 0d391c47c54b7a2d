package calls

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Order is one line of JSON on the server's standard input. One of its fields is set.
type Order struct {
	Open  *Open  `json:",omitempty"`
	Fill  *Fill  `json:",omitempty"`
	Cycle *Cycle `json:",omitempty"`
	Exec  *Exec  `json:",omitempty"`
	Peak  *Peak  `json:",omitempty"`
}

// Open names the network of all later calls.
type Open struct {
	Network json.RawMessage // as Podman stores it
	Subnet  netip.Prefix    // from which containers get addresses, /16 or larger
}

// Fill sets up other containers until there are so many. Each publishes one port.
type Fill struct{ Others int }

// Cycle sets up one more container and tears it down.
type Cycle struct{ Ports int }

// Exec runs a program.
type Exec struct {
	Argv  []string
	Stdin string
}

// Peak sets up the container by calling the plugin itself, which must then print something, and
// tears it down.
type Peak struct{ Plugin string }

// Answer is one line of JSON on the server's standard output, to one order.
type Answer struct {
	Setup    Cost // of a Cycle
	Teardown Cost // of a Cycle
	Exec     Cost
	Peak     int64  // bytes of memory
	Error    string `json:",omitempty"`
}

// Cost is what a process took, with those that it started and waited for.
type Cost struct {
	Wall time.Duration
	CPU  time.Duration // user and system
}
