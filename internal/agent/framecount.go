package agent

import "time"

const (
	// countedTime is how long a probe counts. In it falls at least one of each host, up to about a
	// thousand hosts.
	countedTime = 10 * time.Minute
	countSlots  = 10
	slotTime    = countedTime / countSlots
)

// frameCount counts frames, and how many of them were answered.
type frameCount struct{ sent, answered uint16 }

func (c *frameCount) add(o frameCount) {
	c.sent += o.sent
	c.answered += o.answered
}

// frameCounts counts the frames to a host in the last countedTime, without a list of them: a host
// has thousands of such counts. The zero value has counted none. Times are by package boottime.
type frameCounts struct {
	began  time.Time // of slot 0
	newest int64     // the slot that is counted into; older ones are behind it in the ring
	slots  [countSlots]countSlot
}

// countSlot is what was counted in a slotTime.
type countSlot struct{ full, small frameCount }

// Add counts what was measured now.
func (c *frameCounts) Add(now time.Time, m tunnelMeasurement) {
	if c.began.IsZero() {
		c.began = now
	}
	c.advance(now)
	slot := &c.slots[c.newest%countSlots]
	slot.full.add(m.full)
	slot.small.add(m.small)
}

// Sum returns what was counted.
func (c *frameCounts) Sum(now time.Time) (sum countSlot) {
	c.advance(now)
	for _, slot := range c.slots {
		sum.full.add(slot.full)
		sum.small.add(slot.small)
	}
	return sum
}

// advance empties the slots that have become too old.
func (c *frameCounts) advance(now time.Time) {
	current := int64(now.Sub(c.began) / slotTime)
	for c.newest = max(c.newest, current-countSlots); c.newest < current; {
		c.newest++
		c.slots[c.newest%countSlots] = countSlot{}
	}
}
