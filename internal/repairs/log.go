package repairs

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
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
}

// restoredEntries are forwarding entries that are as wanted again.
type restoredEntries struct {
	keys  map[entryKey]bool
	first time.Time // that one was reported as deleted; zero: none was
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
}

// During does some work, and returns what it had to repair.
func (l *Log) During(r Run, work func() error) ([]Repair, error) {
	l.mu.Lock()
	l.watching, l.seen = true, observed{}
	before := l.mtus
	l.mu.Unlock()
	err := work()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watching = false
	if r.MTUs != nil {
		l.mtus = r.MTUs
	}
	found := l.seen.find(setting{expected: r.Expected, elements: l.elements, sameMTU: func(link string) bool {
		return before[link] != 0 && before[link] == r.MTUs[link]
	}})
	l.keepElementsLocked(err == nil)
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
	return found, err
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

// keepElementsLocked keeps what the firewall has after a run: what it was set to, or what was read and
// needed no change.
func (l *Log) keepElementsLocked(succeeded bool) {
	wanted, isSet := l.seen.wantedElements()
	switch {
	case isSet:
		l.elements = wanted
	case succeeded && l.lastRead != nil:
		l.elements = *l.lastRead
	}
	for _, c := range l.seen.changes {
		if r, ok := c.(kernel.ReplaceElements); ok && l.elements != nil {
			l.elements = replaceElements(l.elements, r)
		}
	}
	l.lastRead = nil
}

// replaceElements returns the elements after a change.
func replaceElements(elements []kernel.Element, r kernel.ReplaceElements) []kernel.Element {
	gone := elementIDs(slices.Concat(r.Old, r.New))
	left := make([]kernel.Element, 0, len(elements)+len(r.New))
	for i := range elements {
		if !gone[elements[i].ID()] {
			left = append(left, elements[i])
		}
	}
	return append(left, r.New...)
}

// elementsAddedLocked returns the repair of elements that were added. Those of containers are added
// whether they are there or not. So it is only known that some were missing if somebody was seen to
// delete them.
func (l *Log) elementsAddedLocked(found []Repair) (r Repair, ok bool) {
	adds := slices.ContainsFunc(l.seen.changes,
		func(c kernel.Change) bool { _, adds := c.(kernel.AddElements); return adds })
	known := slices.ContainsFunc(found, func(r Repair) bool { return r.Kind == Firewall })
	deleted := slices.ContainsFunc(l.removals, func(r timedRemoval) bool { return r.What == kernel.RemovedElement })
	return Repair{Kind: Firewall, Object: "elements", Count: 1}, adds && deleted && !known
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

// restoredLocked returns the forwarding entries that are back, of each device in one repair.
func (l *Log) restoredLocked() (found []Repair) {
	for _, device := range slices.Sorted(maps.Keys(l.restored)) {
		entries := l.restored[device]
		var names []string
		what, neighbours := "forwarding", true
		for key := range entries.keys {
			names = append(names, key.String())
			neighbours = neighbours && key.addr.IsValid()
		}
		if neighbours {
			what = "neighbour"
		}
		slices.Sort(names)
		r := Repair{
			Kind: Forwarding, Object: countEntries(len(names), what), Link: device, Count: uint64(len(names)),
			Neighbours: neighbours, Detail: strings.Join(names[:min(len(names), maxNamed)], " "),
		}
		if r.Reported = !entries.first.IsZero(); r.Reported {
			r.GoneFor = boottime.Since(entries.first)
		}
		found = append(found, r)
	}
	clear(l.restored)
	return found
}

func countEntries(n int, what string) string {
	if n == 1 {
		return "a " + what + " entry"
	}
	return fmt.Sprintf("%d %s entries", n, what)
}

// forgetLocked forgets what nobody will ask for.
func (l *Log) forgetLocked() {
	now := boottime.Now()
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

// noteElements notes what the firewall has. In a run the first time counts, before anything is changed.
func (l *Log) noteElements(elements []kernel.Element) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastRead = &elements
	if l.watching && !l.seen.elementsRead {
		l.seen.elements, l.seen.elementsRead = elements, true
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

// noteEntries notes which suspect entries are as wanted again.
//
// Those of a device that was removed itself are part of it. An entry that had just been added was
// deleted by a plugin: as a container starts, that does not know yet what the agent has found out.
func (l *Log) noteEntries(c kernel.ForwardingChanges) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := boottime.Now()
	added := entryKeys(c.Add)
	if len(l.suspect) > 0 && !l.isNewLocked(c.Device, now) && !l.isNewLocked(c.Bridge, now) {
		for _, key := range append(entryKeys(c.Delete), added...) {
			if at, gone := l.deleted[key]; l.suspect[key] && (!gone || at.Sub(l.ownAdded[key]) >= entryAge) {
				l.restoreLocked(c.Device, key, at)
			}
		}
	}
	for _, key := range added {
		remember(l.ownAdded, key, now)
	}
}

// isNewLocked tells whether a device was made or removed a moment ago.
func (l *Log) isNewLocked(device string, now time.Time) bool {
	made, ok := l.ownMade[device]
	return ok && now.Sub(made) < entryAge || slices.ContainsFunc(l.removals, func(r timedRemoval) bool {
		return r.What == kernel.RemovedLink && r.Object == device && now.Sub(r.at) < removalBurst+entryAge
	})
}

func (l *Log) restoreLocked(device string, key entryKey, deleted time.Time) {
	entries := l.restored[device]
	if entries == nil {
		entries = &restoredEntries{keys: make(map[entryKey]bool)}
		l.restored[device] = entries
	}
	entries.keys[key] = true
	if !deleted.IsZero() && (entries.first.IsZero() || deleted.Before(entries.first)) {
		entries.first = deleted
	}
}
