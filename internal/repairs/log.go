package repairs

import (
	"context"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/kernel"
)

const (
	// maxRemovals are kept, and removalAge is how old one may be that made a repair necessary. What
	// the kernel reports is repaired within a second, and the rest within a minute.
	maxRemovals = 256
	removalAge  = 90 * time.Second
	// removalBurst is how far apart the removals of one request may be.
	removalBurst = time.Second
	// entryAge is the same as removalAge for forwarding entries, which are looked at at once.
	entryAge = 2 * time.Second
	// maxEntries bounds the entries that are remembered. More are not named when they are deleted.
	maxEntries = 4096
	// maxNamed entries of a repair are named.
	maxNamed = 20
)

// ownCommands are this project's programs. What they remove, they remove on purpose.
var ownCommands = []string{"vxlan", "vxland", "vxlanctl"}

// Log looks on as the kernel is changed. Its methods may be called from any goroutine.
type Log struct {
	mu       sync.Mutex
	counts   map[Kind]uint64
	removals []timedRemoval // the oldest first
	ownRules time.Time      // when this agent last set the firewall anew
	deleted  map[entryKey]time.Time
	ownAdded map[entryKey]time.Time // entries that this agent added
	ownMade  map[string]time.Time   // links that it made
	mtus     map[string]int         // of links, as they were to be in the last run
	watching bool
	seen     observed
	elements []kernel.Element            // of the firewall after the last run, as far as is known
	lastRead *[]kernel.Element           // of the firewall, since then; nil: nobody read them
	suspect  Entries                     // that may be repaired in this run
	restored map[string]*restoredEntries // by device
	forgot   time.Time                   // when forgetLocked last looked at all
}

// timedRemoval is a removal with its time by package boottime.
type timedRemoval struct {
	kernel.Removal
	at time.Time
}

// NewLog returns a log that has seen nothing.
func NewLog() *Log {
	return &Log{
		counts: make(map[Kind]uint64), deleted: make(map[entryKey]time.Time), ownAdded: make(map[entryKey]time.Time),
		ownMade: make(map[string]time.Time), mtus: make(map[string]int), restored: make(map[string]*restoredEntries),
	}
}

// Counts returns how many repairs there were of each kind.
func (l *Log) Counts() map[Kind]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := maps.Clone(l.counts)
	for _, k := range Kinds {
		all[k] += 0
	}
	return all
}

// Follow notes removals until ctx is done.
func (l *Log) Follow(ctx context.Context, removals <-chan kernel.Removal) {
	for {
		select {
		case r := <-removals:
			l.NoteRemoval(r)
		case <-ctx.Done():
			return
		}
	}
}

// NoteRemoval notes what the kernel reported. What this project's own programs remove does not count.
// Elements of the firewall are removed at each stop of a container, mostly by a plugin that is gone
// by then; so they count only if it is known who did it.
func (l *Log) NoteRemoval(r kernel.Removal) {
	unknownElement := r.What == kernel.RemovedElement && r.Sender.PID == 0
	if unknownElement || r.Sender.PID == os.Getpid() || slices.Contains(ownCommands, r.Sender.Command) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := boottime.Now()
	if r.What == kernel.RemovedRules && now.Sub(l.ownRules) < removalBurst {
		return // this agent has replaced the tables
	}
	if len(l.removals) == maxRemovals {
		l.removals = slices.Delete(l.removals, 0, maxRemovals/2)
	}
	l.removals = append(l.removals, timedRemoval{r, now})
}

// NoteDeleted notes forwarding entries whose deletion the kernel has reported.
func (l *Log) NoteDeleted(k kernel.ForwardingKeys) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := boottime.Now()
	for key := range namedKeys(k) {
		remember(l.deleted, key, now)
	}
}

// remember notes an entry. Where there are too many, all others are forgotten.
func remember(entries map[entryKey]time.Time, key entryKey, at time.Time) {
	if len(entries) >= maxEntries {
		clear(entries)
	}
	entries[key] = at
}

// Run is one run of changes.
type Run struct {
	// Expected tells that changes are due to news of other hosts.
	Expected bool
	// MTUs are what links are to have.
	MTUs map[string]int
	// Elements are what the firewall has, read just before; nil: nobody has read them. They count unless
	// the run reads them itself.
	Elements []kernel.Element
}

// During does some work, and returns what finds out what it had to repair. Where the work changed
// thousands of elements that takes milliseconds, so whoever holds a lock is to call it later. It must be
// called before the next run.
func (l *Log) During(r Run, work func() error) (find func() []Repair, err error) {
	l.mu.Lock()
	l.watching = true
	l.seen = observed{elements: r.Elements, elementsRead: r.Elements != nil, readBefore: true}
	l.mu.Unlock()
	err = work()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watching = false
	return func() []Repair { return l.find(r, err == nil) }, err
}

// find finds out what the last run had to repair.
func (l *Log) find(r Run, succeeded bool) []Repair {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.mtus
	if r.MTUs != nil {
		l.mtus = r.MTUs
	}
	found := l.seen.find(setting{expected: r.Expected, hadElements: l.elements, sameMTU: func(link string) bool {
		return before[link] != 0 && before[link] == r.MTUs[link]
	}})
	l.keepElementsLocked(succeeded)
	if r, ok := l.elementsAddedLocked(found); ok {
		found = append(found, r)
	}
	for i := range found {
		l.explainLocked(&found[i])
	}
	// What was removed from the firewall is not told twice.
	if slices.ContainsFunc(found, func(r Repair) bool { return r.Kind == Firewall }) {
		l.removals = slices.DeleteFunc(l.removals,
			func(removed timedRemoval) bool { return (Repair{Kind: Firewall}).matches(removed.Removal) })
	}
	if r.Expected {
		// Addresses and routes may be new ones.
		found = slices.DeleteFunc(found, func(r Repair) bool { return (r.Kind == Address || r.Kind == Route) && !r.Reported })
	}
	l.countLocked(found)
	l.seen = observed{} // which may have thousands of elements
	return found
}

// Note counts a repair that others found.
func (l *Log) Note(r Repair) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.countLocked([]Repair{r})
}

// DuringForward does work that sets forwarding entries. It returns what was repaired of those that
// are suspect: no news of other hosts explains why they are not as wanted.
func (l *Log) DuringForward(suspect Entries, work func() error) ([]Repair, error) {
	l.mu.Lock()
	l.suspect = suspect
	l.mu.Unlock()
	err := work()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspect = nil
	found := l.restoredLocked()
	l.countLocked(found)
	return found, err
}

func (l *Log) countLocked(found []Repair) {
	for _, r := range found {
		l.counts[r.Kind] += r.Count
	}
	l.forgetLocked()
}

// explainLocked finds out who made a repair necessary, and when. Of one request the first report
// counts.
func (l *Log) explainLocked(r *Repair) {
	now := boottime.Now()
	for _, removed := range slices.Backward(l.removals) {
		switch {
		case !r.matches(removed.Removal):
			continue
		case now.Sub(removed.at) > removalAge:
			return
		case r.Reported && (removed.Sender.Port != r.By.Port || now.Sub(removed.at)-r.GoneFor > removalBurst):
			return
		}
		by := removed.Sender
		if r.Reported && by.PID == 0 {
			by = r.By // which was found by a later report
		}
		r.By, r.GoneFor, r.Reported = by, now.Sub(removed.at), true
	}
}

// forgetLocked forgets what nobody will ask for. While other hosts have news there is a lot, and a run each
// time.
func (l *Log) forgetLocked() {
	now := boottime.Now()
	if now.Sub(l.forgot) < entryAge/2 {
		return
	}
	l.forgot = now
	l.removals = slices.DeleteFunc(l.removals, func(r timedRemoval) bool { return now.Sub(r.at) > removalAge })
	for _, entries := range []map[entryKey]time.Time{l.deleted, l.ownAdded} {
		maps.DeleteFunc(entries, func(_ entryKey, at time.Time) bool { return now.Sub(at) > entryAge })
	}
	maps.DeleteFunc(l.ownMade, func(_ string, at time.Time) bool { return now.Sub(at) > entryAge })
}

func (l *Log) note(add func(*observed)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watching {
		add(&l.seen)
	}
}

func (l *Log) noteOwnRules() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ownRules = boottime.Now()
}

func (l *Log) noteChange(c kernel.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watching {
		l.seen.changes = append(l.seen.changes, c)
	}
	switch c := c.(type) {
	case kernel.CreateLink:
		l.ownMade[c.Link.Name] = boottime.Now()
	case kernel.AddFDB:
		key := entryKey{mac: c.FDB.MAC}
		if c.FDB.MAC.IsZero() { // of a host that came
			key = entryKey{flood: kernel.FDB{Dst: c.FDB.Dst}}
		}
		remember(l.ownAdded, key, boottime.Now())
	}
}
