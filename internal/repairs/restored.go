package repairs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/kernel"
)

// restoredEntries are forwarding entries that are as wanted again.
type restoredEntries struct {
	keys  map[entryKey]bool
	first time.Time // that one was reported as deleted; zero: none was
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
