package kernel

// LinkCounters is what a link has counted since it was made.
type LinkCounters struct {
	ReceivedBytes, ReceivedPackets uint64
	SentBytes, SentPackets         uint64
	ReceiveDropped, SendDropped    uint64
	ReceiveErrors, SendErrors      uint64
}

// DropCounter is what a rule of the firewall has dropped since the firewall was set.
type DropCounter struct {
	Reason         string // for metrics: a word that stays, whatever the comment
	Chain, Comment string
	Packets, Bytes uint64
}

// Counters is what a network namespace has counted.
type Counters struct {
	Links map[string]LinkCounters // by name; one that is not there has none
	Drops []DropCounter           // of all rules that drop, in the firewall's order
}
