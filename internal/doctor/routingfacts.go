package doctor

import "net/netip"

// Routing has the rules and routes that lead packets elsewhere.
type Routing struct {
	DeadEnds []Route // blackhole, unreachable, prohibit
	Blocks   []Rule  // IPsec policies that block
	Rules    []Rule  // beside the kernel's own
	Lacking  []Rule  // the kernel's own that are gone; Delete adds them again
}

// Route is a route that leads nowhere.
type Route struct {
	Type   string
	Dst    netip.Prefix
	Table  string
	Delete string // the command that deletes it
}

// Rule is a rule of policy routing, or of another program's firewall.
type Rule struct {
	Text, Delete string
	Forwards     bool         // an IPsec policy is for packets that this host forwards
	Priority     int          // of policy routing
	Chain        string       // family, table and chain of a firewall's
	From, To     netip.Prefix // that a rule of routing matches; zero: any
	Refuses      bool         // a rule of routing ends with blackhole, unreachable or prohibit
	ArrivedBy    string       // the interface that it matches; "": any
	OfMark       bool         // a rule of routing is for packets with a mark
	OfPort       bool         // a rule of routing is for packets of UDP or TCP alone, or of ports
	FirstPort    uint16       // to which such packets go; 0: any
	LastPort     uint16
	Marks        bool       // a rule of a firewall marks packets
	Changes      bool       // it changes frames on bridges
	Untracks     bool       // it exempts packets of a bridge from tracking
	OfNames      bool       // it is about questions for names
	GoneSource   netip.Addr // that it gives packets, and that this host does not have; zero: none
	Translates   bool
	LacksState   bool // an IPsec policy asks for a state (a security association) that is not there
}
