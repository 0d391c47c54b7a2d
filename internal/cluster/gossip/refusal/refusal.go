// Package refusal counts what is refused between hosts, by reason and by host, and logs it.
package refusal

import (
	"cmp"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
)

// Reason is why something was refused, as the log and the status say it.
type Reason string

// The reasons for a refusal of this host's.
const (
	ReasonWrongKey     Reason = "wrong key"              // not encrypted with a key of ours, or not at all
	ReasonWrongLabel   Reason = "wrong cluster label"    // of another cluster
	ReasonWrongVersion Reason = "wrong protocol version" // another version of our protocol
	ReasonUnlisted     Reason = "host is not listed"     // without keys: from or about a host that is not listed
	ReasonMalformed    Reason = "malformed message"      // invalid, or over a limit
	ReasonOverload     Reason = "too many streams"       // at once
)

// What another host does with this one that tries to join it.
const (
	// ReasonUnlistedThere: so the host says.
	ReasonUnlistedThere Reason = "host does not list this one"
	// ReasonRefusedThere: it accepts the connection, and closes it. Its own log has the reason.
	ReasonRefusedThere Reason = "host refuses this one"
	// ReasonNoAnswer is mostly of a host that has no container yet. Nothing is refused then.
	ReasonNoAnswer Reason = "host does not answer"
)

// isOfOtherHost tells whether it is another host that refuses this one, or does not answer it.
func (r Reason) isOfOtherHost() bool {
	return r == ReasonUnlistedThere || r == ReasonRefusedThere || r == ReasonNoAnswer
}

// Counter counts what was refused, and logs it now and then.
type Counter struct {
	log      *slog.Logger
	mu       sync.Mutex
	refusals map[Reason]*refused
	loggedAt map[Reason]time.Time
}

// NewCounter returns counters that are zero.
func NewCounter(log *slog.Logger) *Counter {
	return &Counter{log: log, refusals: make(map[Reason]*refused), loggedAt: make(map[Reason]time.Time)}
}

const (
	// logInterval is the least time between two log lines of one reason. It keeps anyone who can
	// send a packet from filling the log.
	logInterval = 10 * time.Second
	// noAnswerLogInterval is that for a host that is down, which is tried for as long as it is.
	noAnswerLogInterval = 10 * time.Minute
	// maxHosts is how many hosts are remembered for one reason. A host that has been quiet for
	// quietHost makes room for another, so that forged addresses do not hide real ones for ever.
	maxHosts  = 32
	quietHost = time.Minute
)

// Add counts a refusal. The detail says what was refused, and is logged.
func (c *Counter) Add(why Reason, detail string) { c.AddFrom(why, netip.Addr{}, detail) }

// AddFrom is Add for a host whose address is known.
func (c *Counter) AddFrom(why Reason, host netip.Addr, detail string) {
	message, interval := "gossip refused", logInterval
	switch why {
	case ReasonNoAnswer:
		message, interval = "gossip cannot join a host; trying again", noAnswerLogInterval
	case ReasonUnlistedThere, ReasonRefusedThere:
		message = "another host refuses this one"
	}
	c.mu.Lock()
	r := c.refusals[why]
	if r == nil {
		r = new(refused)
		c.refusals[why] = r
	}
	now := boottime.Now()
	r.add(host, now)
	count := r.count
	last, logged := c.loggedAt[why]
	due := !logged || now.Sub(last) >= interval
	if due {
		c.loggedAt[why] = now
	}
	c.mu.Unlock()
	if due {
		c.log.Warn(message, "reason", string(why), "what", detail, "count", count)
	}
}

// refused is what was refused for one reason.
type refused struct {
	count uint64
	hosts []cluster.RefusedHost // sorted; at most maxHosts
}

// add counts a refusal of a host, if there is room to remember it.
func (r *refused) add(addr netip.Addr, now time.Time) {
	r.count++
	if !addr.IsValid() {
		return
	}
	i, known := slices.BinarySearchFunc(r.hosts, addr,
		func(h cluster.RefusedHost, a netip.Addr) int { return h.Addr.Compare(a) })
	if !known {
		if len(r.hosts) >= maxHosts {
			r.hosts = slices.DeleteFunc(r.hosts, func(h cluster.RefusedHost) bool { return now.Sub(h.Last) > quietHost })
			i, _ = slices.BinarySearchFunc(r.hosts, addr,
				func(h cluster.RefusedHost, a netip.Addr) int { return h.Addr.Compare(a) })
		}
		if len(r.hosts) >= maxHosts {
			return
		}
		r.hosts = slices.Insert(r.hosts, i, cluster.RefusedHost{Addr: addr, First: now})
	}
	r.hosts[i].Count++
	r.hosts[i].Last = now
}

// Forget forgets what was refused of a host, or what it refused: it is a member by now, or has left.
func (c *Counter) Forget(addr netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for why, r := range c.refusals {
		r.hosts = slices.DeleteFunc(r.hosts, func(h cluster.RefusedHost) bool {
			if h.Addr == addr {
				r.count -= h.Count
			}
			return h.Addr == addr
		})
		if r.count == 0 {
			delete(c.refusals, why)
		}
	}
}

// Refusals returns all that was refused, sorted by reason.
func (c *Counter) Refusals() []cluster.Refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []cluster.Refusal
	for why, r := range c.refusals {
		all = append(all, cluster.Refusal{
			Reason: string(why), Count: r.count, Hosts: slices.Clone(r.hosts),
			ByOther: why.isOfOtherHost(), Silent: why == ReasonNoAnswer,
		})
	}
	slices.SortFunc(all, func(a, b cluster.Refusal) int { return cmp.Compare(a.Reason, b.Reason) })
	return all
}

// SenderIn returns the address in a text that has "from=ADDRESS:PORT", as memberlist's log lines
// do, or none.
func SenderIn(text string) netip.Addr {
	_, rest, found := strings.Cut(text, "from=")
	if !found {
		return netip.Addr{}
	}
	from, _, _ := strings.Cut(rest, " ")
	ap, err := netip.ParseAddrPort(from)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
