package agentapi

import "time"

// Tables of forwarding entries.
const (
	TableFDB       = "fdb"       // of the VXLAN device: on which host a MAC is
	TableFlood     = "flood"     // of the VXLAN device: which hosts get what is for everybody
	TableBridge    = "bridge"    // static entries of the bridge for the VXLAN device
	TableNeighbour = "neighbour" // of the bridge: which MAC has an address
	TableFastPath  = "fast path" // MACs whose packets pass the bridge by
)

// States of a forwarding entry.
const (
	EntryOK      = "ok"
	EntryMissing = "missing" // the cluster says so, and the kernel does not have it
	EntryExtra   = "extra"   // the kernel has it, and the cluster does not say so
)

// ForwardingEntry is an entry by which a network's frames find another host.
type ForwardingEntry struct {
	Network string `json:"network"`
	Table   string `json:"table"`
	Key     string `json:"key"`             // a MAC, an address, or all
	Target  string `json:"target"`          // a host's address, a MAC or a device
	Owner   string `json:"owner,omitempty"` // whose the key is
	State   string `json:"state"`
}

// ReadForwarding asks the agent that listens on the socket at path to compare the kernel with what
// the cluster says.
func ReadForwarding(path string) ([]ForwardingEntry, error) {
	r, err := Call(path, Request{Verb: VerbForwarding}, time.Now().Add(largeAnswerTimeout))
	if isUnknownVerb(err) || err == nil && r.Forwarding == nil {
		err = ErrTooOld
	}
	return r.Forwarding, err
}
