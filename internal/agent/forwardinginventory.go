package agent

import (
	"context"
	"hash/maphash"
	"iter"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/inventory"
	"vxlan-driver/internal/membership"
)

// handleForwarding compares the kernel's forwarding entries with what the cluster says. While hosts
// have news, the kernel is a moment behind. So what differs is looked at twice.
func (a *Agent) handleForwarding(ctx context.Context) agentapi.Response {
	if err := a.largeAnswers.Begin(ctx); err != nil {
		return errorResponse(err)
	}
	found, err := a.compareForwarding(ctx)
	if err != nil {
		return errorResponse(err)
	}
	differed := differingEntries(found)
	if !differed.isEmpty() {
		found = nil // it is large
		if found, err = a.compareForwarding(ctx); err != nil {
			return errorResponse(err)
		}
	}
	return agentapi.Response{Stream: agentapi.StreamFunc(func(w *agentapi.ResponseWriter) {
		agentapi.WriteList(w, "forwarding", entriesOf(found, differed))
	})}
}

// entriesOf returns all entries. Those that differ, and did not before, count as in order.
func entriesOf(found []inventory.Comparison, differed entrySet) iter.Seq[agentapi.ForwardingEntry] {
	return func(yield func(agentapi.ForwardingEntry) bool) {
		for _, c := range found {
			for e := range c.Entries() {
				if isDifferent(e) && !differed.has(e) {
					e.State = agentapi.EntryOK
				}
				if !yield(e) {
					return
				}
			}
		}
	}
}

func isDifferent(e agentapi.ForwardingEntry) bool { return e.State != agentapi.EntryOK }

func differingEntries(found []inventory.Comparison) entrySet {
	set := entrySet{seed: maphash.MakeSeed(), hashes: make(map[uint64]bool)}
	for _, c := range found {
		for e := range c.Differing() {
			set.hashes[set.hash(e)] = true
		}
	}
	return set
}

// entrySet is a set of entries. It has only their hashes, as all 50,000 may differ.
type entrySet struct {
	seed   maphash.Seed
	hashes map[uint64]bool
}

func (s entrySet) hash(e agentapi.ForwardingEntry) uint64 { return maphash.Comparable(s.seed, e) }
func (s entrySet) has(e agentapi.ForwardingEntry) bool    { return s.hashes[s.hash(e)] }
func (s entrySet) isEmpty() bool                          { return len(s.hashes) == 0 }

// compareForwarding has the loop say what is wanted, as of the end of a turn, and then reads the
// kernel, which takes long where there are many entries.
func (a *Agent) compareForwarding(ctx context.Context) (found []inventory.Comparison, err error) {
	if err := a.requests.SyncAndWait(ctx, membership.EndpointKey{}); ctx.Err() != nil {
		return nil, err
	}
	var wanted []inventory.Wanted
	if err := a.requests.RunInLoop(ctx, func() { wanted = a.wantedForwarding() }); err != nil {
		return nil, err
	}
	for _, w := range wanted {
		have, fastPath, err := a.Host.ReadForwarding(w.Forwarding)
		if err != nil {
			return nil, err
		}
		found = append(found, w.Compare(have, fastPath))
	}
	return found, nil
}

// wantedForwarding is what the kernel should hold of each network. The loop calls it.
func (a *Agent) wantedForwarding() (all []inventory.Wanted) {
	for _, n := range a.forwarder.networks {
		want, flood := a.Host.WantedForwarding(n.local, n.knownRemotes())
		owners := inventory.OwnersOf(n.roster.Members())
		all = append(all, inventory.Wanted{Network: n.local.Name, Forwarding: want, Flood: flood, Owners: owners})
	}
	slices.SortFunc(all, func(a, b inventory.Wanted) int { return strings.Compare(a.Network, b.Network) })
	return all
}
