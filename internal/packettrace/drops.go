package packettrace

import "time"

// Drop is a packet that a rule or a policy dropped.
type Drop struct {
	Packet Packet
	Event  Event
}

// Drops finds the packets among events that were dropped.
type Drops struct {
	seen map[string]seenPacket // by ID
	now  func() time.Time
}

type seenPacket struct {
	Packet
	at time.Time
}

const (
	// maxSeen packets are remembered.
	maxSeen = 4096
	// maxPassage is longer than a packet takes through all chains.
	maxPassage = time.Second
)

// NewDrops returns one that has seen no event.
func NewDrops() *Drops { return &Drops{seen: make(map[string]seenPacket), now: time.Now} }

// Add takes an event. It returns a drop if the event is one.
func (d *Drops) Add(e Event) (Drop, bool) {
	if e.Packet != nil {
		d.remember(e.ID, *e.Packet)
		return Drop{}, false
	}
	if e.Verdict != "drop" {
		return Drop{}, false
	}
	p := d.seen[e.ID]
	delete(d.seen, e.ID)
	return Drop{p.Packet, e}, true
}

func (d *Drops) remember(id string, p Packet) {
	now := d.now()
	if len(d.seen) >= maxSeen {
		for old, s := range d.seen {
			if now.Sub(s.at) > maxPassage {
				delete(d.seen, old)
			}
		}
	}
	if len(d.seen) < maxSeen {
		d.seen[id] = seenPacket{p, now}
	}
}
