package encryption

import "time"

// wallClock is the latest time of day at which a key was in use. WireGuard refuses a handshake whose time of day is
// not later than that of the last one with the same key: the whitepaper's protection from replays. So a host whose
// clock was set back cannot begin a session until its clock is where it was, or it has another key.
type wallClock struct{ highest time.Time }

// clockTolerance is by how much a clock may go back that a time service sets. Handshakes are two minutes
// apart.
const clockTolerance = 5 * time.Second

// note remembers a time of day that has been.
func (c *wallClock) note(at time.Time) {
	at = at.Round(0) // without the monotonic reading, which nobody can set
	if at.After(c.highest) {
		c.highest = at
	}
}

// behind is for how long it will be earlier than it has been, and 0 if nobody has set the clock back.
func (c *wallClock) behind(now time.Time) time.Duration {
	c.note(now)
	if behind := c.highest.Sub(now.Round(0)); behind >= clockTolerance {
		return behind
	}
	return 0
}
