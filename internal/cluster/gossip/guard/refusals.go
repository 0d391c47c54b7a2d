package guard

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

// Refusals counts what was refused, and logs it now and then.
type Refusals struct {
	log      *slog.Logger
	mu       sync.Mutex
	counts   map[Reason]uint64
	loggedAt map[Reason]time.Time
}

// NewRefusals returns counters that are zero.
func NewRefusals(log *slog.Logger) *Refusals {
	return &Refusals{log: log, counts: make(map[Reason]uint64), loggedAt: make(map[Reason]time.Time)}
}

// The least time between two log lines of one reason. It keeps anyone who can send
// a packet from filling the log. A host that is down is tried for as long as it is.
const (
	logInterval         = 10 * time.Second
	noAnswerLogInterval = 10 * time.Minute
)

// Add counts a refusal. The detail says what was refused, and is logged.
func (r *Refusals) Add(why Reason, detail string) {
	message, interval := "gossip refused", logInterval
	if why == ReasonNoAnswer {
		message, interval = "gossip cannot join a host; trying again", noAnswerLogInterval
	}
	r.mu.Lock()
	r.counts[why]++
	count := r.counts[why]
	last, logged := r.loggedAt[why]
	due := !logged || time.Since(last) >= interval
	if due {
		r.loggedAt[why] = time.Now()
	}
	r.mu.Unlock()
	if due {
		r.log.Warn(message, "reason", string(why), "what", detail, "count", count)
	}
}

// Counts returns how often something was refused, by reason. A reason that never
// occurred is left out.
func (r *Refusals) Counts() map[Reason]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}
