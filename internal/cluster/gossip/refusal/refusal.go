// Package refusal counts what is refused of what other hosts send, by reason, and logs it.
package refusal

import (
	"log/slog"
	"maps"
	"sync"
	"time"
)

// Reason is why something was refused, as the log and the status say it.
type Reason string

// The reasons for a refusal.
const (
	ReasonWrongKey     Reason = "wrong key"                        // not encrypted with a key of ours, or not at all
	ReasonWrongLabel   Reason = "wrong cluster label"              // of another cluster
	ReasonWrongVersion Reason = "wrong protocol version"           // another version of our protocol
	ReasonUnlisted     Reason = "host is not listed"               // without keys: from or about a host that is not listed
	ReasonMalformed    Reason = "malformed message"                // invalid, or over a limit
	ReasonOverload     Reason = "too many streams"                 // at once
	ReasonNameConflict Reason = "another host has this name"       // and is a member
	ReasonNoAnswer     Reason = "host does not answer, or refuses" // when joining it; a refusal's reason is only in its own log
)

// Counter counts what was refused, and logs it now and then.
type Counter struct {
	log      *slog.Logger
	mu       sync.Mutex
	counts   map[Reason]uint64
	loggedAt map[Reason]time.Time
}

// NewCounter returns counters that are zero.
func NewCounter(log *slog.Logger) *Counter {
	return &Counter{log: log, counts: make(map[Reason]uint64), loggedAt: make(map[Reason]time.Time)}
}

// The least time between two log lines of one reason. It keeps anyone who can send a packet from
// filling the log. A host that is down is tried for as long as it is.
const (
	logInterval         = 10 * time.Second
	noAnswerLogInterval = 10 * time.Minute
)

// Add counts a refusal. The detail says what was refused, and is logged.
func (c *Counter) Add(why Reason, detail string) {
	message, interval := "gossip refused", logInterval
	if why == ReasonNoAnswer {
		message, interval = "gossip cannot join a host; trying again", noAnswerLogInterval
	}
	c.mu.Lock()
	c.counts[why]++
	count := c.counts[why]
	last, logged := c.loggedAt[why]
	due := !logged || time.Since(last) >= interval
	if due {
		c.loggedAt[why] = time.Now()
	}
	c.mu.Unlock()
	if due {
		c.log.Warn(message, "reason", string(why), "what", detail, "count", count)
	}
}

// Counts returns how often something was refused, by reason. A reason that never occurred is left
// out.
func (c *Counter) Counts() map[Reason]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}
