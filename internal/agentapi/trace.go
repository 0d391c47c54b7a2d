package agentapi

import (
	"net/netip"
	"time"
)

// MaxTrace is how long a host traces for another one at most.
const MaxTrace = 10 * time.Second

// TraceRequest asks what firewall rules do with packets from one address of a network to another.
type TraceRequest struct {
	Network string        `json:"network"` // by name: hosts may have it by another id
	VNI     uint32        `json:"vni"`
	Port    uint16        `json:"port"` // UDP, of the tunnel
	Src     netip.Addr    `json:"src"`
	Dst     netip.Addr    `json:"dst"`
	For     time.Duration `json:"for"`
}

// TraceEvent is what a chain of a firewall did with one packet.
type TraceEvent struct {
	Packet  string `json:"packet"` // all events of one packet have the same
	Chain   string `json:"chain"`  // family, table and name
	Head    string `json:"head,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Comment string `json:"comment,omitempty"`
	Verdict string `json:"verdict,omitempty"`
}
