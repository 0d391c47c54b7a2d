package repairs

import (
	"iter"
	"net/netip"

	"vxlan-driver/internal/kernel"
)

// entryKey names a forwarding entry, as the kernel reports its deletion: a MAC, an address, or a flood
// entry.
type entryKey struct {
	mac   kernel.MAC
	addr  netip.Addr
	flood kernel.FDB
}

// String names the entry as people know it.
func (k entryKey) String() string {
	switch {
	case k.addr.IsValid():
		return k.addr.String()
	case k.flood.Dst.IsValid():
		return "flood to " + k.flood.Dst.String()
	}
	return k.mac.String()
}

// entryKeys returns the names of entries of tables.
func entryKeys(t kernel.ForwardingTables) (keys []entryKey) {
	for _, e := range t.FDB {
		keys = append(keys, entryKey{mac: e.MAC})
	}
	for _, m := range t.Static {
		keys = append(keys, entryKey{mac: m})
	}
	for _, n := range t.Neighbours {
		keys = append(keys, entryKey{addr: n.Addr})
	}
	for _, e := range t.Flood {
		keys = append(keys, entryKey{flood: kernel.FDB{Dst: e.Dst}})
	}
	return keys
}

// Entries are forwarding entries.
type Entries map[entryKey]bool

// Add adds the entries that are named, up to a bound. If all entries of a large network are gone,
// nobody wants to read 100,000 names, and they would take as much memory as the entries.
func (s *Entries) Add(k kernel.ForwardingKeys) {
	if *s == nil {
		*s = make(Entries)
	}
	for key := range namedKeys(k) {
		if len(*s) >= maxEntries {
			return
		}
		(*s)[key] = true
	}
}

// Drop takes out the entries that are named.
func (s Entries) Drop(k kernel.ForwardingKeys) { s.MoveTo(make(Entries), k) }

// MoveTo moves those of the entries that are named to another set.
func (s Entries) MoveTo(other Entries, k kernel.ForwardingKeys) {
	for key := range namedKeys(k) {
		if s[key] {
			other[key] = true
			delete(s, key)
		}
	}
}

func namedKeys(k kernel.ForwardingKeys) iter.Seq[entryKey] {
	return func(yield func(entryKey) bool) {
		for _, m := range k.MACs {
			if !yield(entryKey{mac: m}) {
				return
			}
		}
		for _, a := range k.Addrs {
			if !yield(entryKey{addr: a}) {
				return
			}
		}
		for _, e := range k.Flood {
			if !yield(entryKey{flood: kernel.FDB{Dst: e.Dst}}) {
				return
			}
		}
	}
}
