package inventory

import (
	"cmp"
	"slices"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/plan"
)

// Wanted is what the kernel should hold of a network.
type Wanted struct {
	Network string
	plan.Forwarding
	Flood  []kernel.FDB
	Owners map[kernel.MAC]string // of other hosts
}

// OwnersOf returns whose the MACs of other hosts are.
func OwnersOf(r *membership.Roster) map[kernel.MAC]string {
	owners := make(map[kernel.MAC]string)
	for _, m := range r.Members() {
		owners[m.BridgeMAC] = m.Host
		for _, e := range m.Endpoints {
			owners[e.MAC] = membership.ContainerLabel(e.Names, e.ContainerID) + " on " + m.Host
		}
	}
	delete(owners, kernel.MAC{}) // unknown
	return owners
}

// Compare puts what the kernel holds beside what it should. What it has in addition is no fault while
// the cluster is not fully known.
func (w Wanted) Compare(have kernel.ForwardingTables, fastPath []kernel.MAC) []agentapi.ForwardingEntry {
	c := comparison{Wanted: w, found: []agentapi.ForwardingEntry{}}
	c.addFDB(agentapi.TableFlood, w.Flood, have.Flood)
	c.addFDB(agentapi.TableFDB, w.Tables.FDB, have.FDB)
	c.addMACs(agentapi.TableBridge, w.Device.Name, w.Tables.Static, have.Static)
	c.addNeighbours(have.Neighbours)
	if !w.FastPath.IsEmpty() {
		c.addMACs(agentapi.TableFastPath, w.Device.Name, w.FastPath.Remote, fastPath)
	}
	return c.found
}

type comparison struct {
	Wanted
	found []agentapi.ForwardingEntry
}

func (c *comparison) addFDB(table string, want, have []kernel.FDB) {
	describe := func(e kernel.FDB) agentapi.ForwardingEntry {
		entry := agentapi.ForwardingEntry{Key: e.MAC.String(), Target: e.Dst.String(), Owner: c.Owners[e.MAC]}
		if e.MAC.IsZero() {
			entry.Key = "all"
		}
		return entry
	}
	addAll(c, table, want, have, describe)
}

func (c *comparison) addMACs(table, device string, want, have []kernel.MAC) {
	addAll(c, table, want, have, func(m kernel.MAC) agentapi.ForwardingEntry {
		return agentapi.ForwardingEntry{Key: m.String(), Target: device, Owner: c.Owners[m]}
	})
}

func (c *comparison) addNeighbours(have []kernel.Neighbour) {
	addAll(c, agentapi.TableNeighbour, c.Tables.Neighbours, have, func(n kernel.Neighbour) agentapi.ForwardingEntry {
		return agentapi.ForwardingEntry{Key: n.Addr.String(), Target: n.MAC.String(), Owner: c.Owners[n.MAC]}
	})
}

// addAll adds the entries of a table that are wanted or there.
func addAll[E comparable](c *comparison, table string, want, have []E, describe func(E) agentapi.ForwardingEntry) {
	states := make(map[E]string, len(want))
	for _, e := range want {
		states[e] = agentapi.EntryMissing
	}
	for _, e := range have {
		switch _, wanted := states[e]; {
		case wanted || c.Partial:
			states[e] = agentapi.EntryOK
		default:
			states[e] = agentapi.EntryExtra
		}
	}
	entries := make([]agentapi.ForwardingEntry, 0, len(states))
	for e, state := range states {
		entry := describe(e)
		entry.Network, entry.Table, entry.State = c.Network, table, state
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, func(a, b agentapi.ForwardingEntry) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Target, b.Target))
	})
	c.found = append(c.found, entries...)
}
