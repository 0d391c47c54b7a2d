package gossip

import (
	"log/slog"
	"sync"
	"time"
)

// Stats counts what happened since the Source was made.
type Stats struct {
	// Refused, with a log line at most every refusalInterval for each.
	WrongKey     uint64 // not encrypted with a key of ours, or not at all
	WrongLabel   uint64 // of another cluster
	WrongVersion uint64 // another version of our protocol
	Unlisted     uint64 // without keys: from or about a host that is not listed
	Malformed    uint64 // not what it says, or over a limit
	Overload     uint64 // too many streams at once
	Conflicts    uint64 // another host has the name of one that is there

	NoAnswer       uint64 // attempts to join a seed or a lost host that failed
	UnknownSenders uint64 // messages of hosts that are not members (yet)
	Deltas         uint64 // taken
	Records        uint64 // taken whole
	Requested      uint64 // records asked for
	Published      uint64 // versions of this host's own record
	Sent           uint64 // packets and streams of our own
	SentBytes      uint64 // in them

	Members int // reachable hosts, this one included
	Hosts   int // other hosts whose entries are known, unreachable ones included
}

// reason is why something was refused; it is what the log says.
type reason string

const (
	wrongKey     reason = "wrong key"
	wrongLabel   reason = "wrong cluster label"
	wrongVersion reason = "wrong protocol version"
	unlisted     reason = "host is not listed"
	malformed    reason = "malformed message"
	overload     reason = "too many streams"
	conflict     reason = "another host has this name"
	noAnswer     reason = "host does not answer, or refuses" // for a reason that only its log has
)

// refusalInterval keeps anyone who can send a packet from filling the log.
// A host that is down is tried again for as long as it is.
const (
	refusalInterval  = 10 * time.Second
	noAnswerInterval = 10 * time.Minute
)

func (r reason) interval() time.Duration {
	if r == noAnswer {
		return noAnswerInterval
	}
	return refusalInterval
}

// counters holds the Stats and says now and then what was refused.
type counters struct {
	log    *slog.Logger
	mu     sync.Mutex
	stats  Stats
	logged map[reason]time.Time
}

func newCounters(log *slog.Logger) *counters {
	return &counters{log: log, logged: make(map[reason]time.Time)}
}

// count changes the counters.
func (c *counters) count(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

func (c *counters) get() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// refuse counts a refusal. detail says what was refused, and is logged.
func (c *counters) refuse(why reason, detail string) {
	c.mu.Lock()
	counter := c.stats.of(why)
	*counter++
	total := *counter
	last, before := c.logged[why]
	quiet := before && time.Since(last) < why.interval()
	if !quiet {
		c.logged[why] = time.Now()
	}
	c.mu.Unlock()
	if !quiet {
		message := "gossip refused"
		if why == noAnswer {
			message = "gossip cannot join a host; trying again"
		}
		c.log.Warn(message, "reason", string(why), "what", detail, "count", total)
	}
}

func (s *Stats) of(why reason) *uint64 {
	switch why {
	case wrongKey:
		return &s.WrongKey
	case wrongLabel:
		return &s.WrongLabel
	case wrongVersion:
		return &s.WrongVersion
	case unlisted:
		return &s.Unlisted
	case overload:
		return &s.Overload
	case conflict:
		return &s.Conflicts
	case noAnswer:
		return &s.NoAnswer
	}
	return &s.Malformed
}

// Refused returns what was refused, and how often, by reason; what never was is left out.
func (s *Source) Refused() map[string]uint64 {
	stats := s.Stats()
	all := make(map[string]uint64)
	for _, why := range []reason{wrongKey, wrongLabel, wrongVersion, unlisted, malformed, overload, conflict, noAnswer} {
		if n := *stats.of(why); n > 0 {
			all[string(why)] = n
		}
	}
	return all
}
