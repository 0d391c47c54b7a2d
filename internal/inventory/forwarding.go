package inventory

import (
	"bytes"
	"cmp"
	"iter"
	"slices"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// Wanted is what the kernel should hold of a network.
type Wanted struct {
	Network string
	plan.Forwarding
	Flood  []kernel.FDB
	Owners Owners
}

// Comparison is what the kernel holds of a network beside what it should. Of 50,000 containers it
// has five entries each, so these are described one at a time.
type Comparison struct {
	want     Wanted
	have     kernel.ForwardingTables
	fastPath []kernel.MAC
}

// Compare puts what the kernel holds beside what it should, and sorts it.
func (w Wanted) Compare(have kernel.ForwardingTables, fastPath []kernel.MAC) Comparison {
	have.Flood, have.FDB = sorted(have.Flood, compareFDB), sorted(have.FDB, compareFDB)
	have.Static, fastPath = sorted(have.Static, compareMACs), sorted(fastPath, compareMACs)
	have.Neighbours = sorted(have.Neighbours, compareNeighbours)
	w.Flood = sorted(slices.Clone(w.Flood), compareFDB)
	return Comparison{want: w, have: have, fastPath: fastPath}
}

// sorted sorts a list in place. A list of the kernel may have an entry twice.
func sorted[E comparable](list []E, compare func(a, b E) int) []E {
	slices.SortFunc(list, compare)
	return slices.Compact(list)
}

func compareMACs(a, b kernel.MAC) int { return bytes.Compare(a[:], b[:]) }

func compareFDB(a, b kernel.FDB) int {
	return cmp.Or(compareMACs(a.MAC, b.MAC), a.Dst.Compare(b.Dst), cmp.Compare(a.Port, b.Port),
		cmp.Compare(a.VNI, b.VNI), cmp.Compare(a.Via, b.Via))
}

func compareNeighbours(a, b kernel.Neighbour) int {
	return cmp.Or(a.Addr.Compare(b.Addr), compareMACs(a.MAC, b.MAC))
}

// Entries returns the entries of all tables that are wanted or there.
func (c Comparison) Entries() iter.Seq[agentapi.ForwardingEntry] { return c.entries(false) }

// Differing returns those that are not in order.
func (c Comparison) Differing() iter.Seq[agentapi.ForwardingEntry] { return c.entries(true) }

func (c Comparison) entries(differing bool) iter.Seq[agentapi.ForwardingEntry] {
	w := c.want
	ofFDB, ofMAC, ofNeighbour := c.describeFDB, c.describeMAC, c.describeNeighbour
	return func(yield func(agentapi.ForwardingEntry) bool) {
		out := output{network: w.Network, partial: w.Partial, differing: differing, yield: yield}
		_ = addTable(out, agentapi.TableFlood, table[kernel.FDB]{w.Flood, c.have.Flood, compareFDB, ofFDB}) &&
			addTable(out, agentapi.TableFDB, table[kernel.FDB]{w.Tables.FDB, c.have.FDB, compareFDB, ofFDB}) &&
			addTable(out, agentapi.TableBridge, table[kernel.MAC]{w.Tables.Static, c.have.Static, compareMACs, ofMAC}) &&
			addTable(out, agentapi.TableNeighbour,
				table[kernel.Neighbour]{w.Tables.Neighbours, c.have.Neighbours, compareNeighbours, ofNeighbour}) &&
			!w.FastPath.IsEmpty() &&
			addTable(out, agentapi.TableFastPath, table[kernel.MAC]{w.FastPath.Remote, c.fastPath, compareMACs, ofMAC})
	}
}

func (c Comparison) describeFDB(e kernel.FDB) agentapi.ForwardingEntry {
	entry := agentapi.ForwardingEntry{Key: e.MAC.String(), Target: e.Dst.String(), Owner: c.want.Owners.Of(e.MAC)}
	if e.MAC.IsZero() {
		entry.Key = "all"
	}
	return entry
}

func (c Comparison) describeMAC(m kernel.MAC) agentapi.ForwardingEntry {
	return agentapi.ForwardingEntry{Key: m.String(), Target: c.want.Device.Name, Owner: c.want.Owners.Of(m)}
}

func (c Comparison) describeNeighbour(n kernel.Neighbour) agentapi.ForwardingEntry {
	return agentapi.ForwardingEntry{Key: n.Addr.String(), Target: n.MAC.String(), Owner: c.want.Owners.Of(n.MAC)}
}

// table is a table as it should be and as it is, both sorted.
type table[E comparable] struct {
	want, have []E
	compare    func(a, b E) int
	describe   func(E) agentapi.ForwardingEntry
}

// output is where a network's entries go.
type output struct {
	network   string
	partial   bool // the cluster is not fully known: what the kernel has in addition is no fault
	differing bool // only those that are not in order
	yield     func(agentapi.ForwardingEntry) bool
}

// addTable outputs the entries of a table, and tells whether more are wanted.
func addTable[E comparable](out output, name string, t table[E]) bool {
	extra := agentapi.EntryExtra
	if out.partial {
		extra = agentapi.EntryOK
	}
	for len(t.want)+len(t.have) > 0 {
		e, inWant, inHave := t.takeNext()
		state := agentapi.EntryOK
		switch {
		case !inHave:
			state = agentapi.EntryMissing
		case !inWant:
			state = extra
		}
		if out.differing && state == agentapi.EntryOK {
			continue
		}
		entry := t.describe(e)
		entry.Network, entry.Table, entry.State = out.network, name, state
		if !out.yield(entry) {
			return false
		}
	}
	return true
}

// takeNext takes the first entry, and tells which of the lists had it.
func (t *table[E]) takeNext() (e E, inWant, inHave bool) {
	order := 0
	switch {
	case len(t.have) == 0:
		order = -1
	case len(t.want) == 0:
		order = 1
	default:
		order = t.compare(t.want[0], t.have[0])
	}
	if order <= 0 {
		e, t.want = t.want[0], t.want[1:]
	}
	if order >= 0 {
		e, t.have = t.have[0], t.have[1:]
	}
	return e, order <= 0, order >= 0
}
