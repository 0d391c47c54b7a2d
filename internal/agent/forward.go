package agent

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/repairs"
	"vxlan-driver/internal/store"
)

const (
	// listDivisor bounds the time that lists of all entries take: one part in so many. Beside 50,000
	// containers a list takes 0.3 s.
	listDivisor = 20
	// unreportedDivisor does so for those that only time causes, as nobody reports what somebody adds.
	unreportedDivisor = 200
	// portsGap is how long a port's fast path by programs waits for the one before, and for the start of
	// its container. Each takes some 15 ms, in which nobody else can change a link, and containers that
	// start do so. Packets go past the bridge all the same.
	portsGap = 100 * time.Millisecond
	// maxUnreportedInterval is how long what somebody added may stay, however slow the machine is.
	maxUnreportedInterval = 5 * time.Minute
)

// forwarder makes the kernel forward frames to the hosts that have their MACs.
//
// What other hosts say names the entries to look at. So does a list of all entries, which is made
// without the store's lock. Under the lock, each entry that was named is looked at in the kernel and
// made what the plan wants. So only what has changed costs time, and what is remembered never
// decides what is done.
type forwarder struct {
	clusters *clusterSet
	repairs  *repairs.Log
	report   func([]repairs.Repair, []hoststate.Network)
	networks map[string]*forwardedNetwork // by ID
}

// forwardedNetwork is a network whose hosts are followed.
type forwardedNetwork struct {
	roster *membership.Roster
	local  hoststate.Network // as the last turn found it
	known  knownState
	ceded  map[netip.Addr]bool // addresses of this host's containers that others keep
	macs   map[kernel.MAC]bool // of entries to look at
	addrs  map[netip.Addr]bool // of neighbours to look at
	flood  map[kernel.FDB]bool // flood entries that may be wanted, or no longer

	suspect repairs.Entries // of those to look at: no news explains why they are not as wanted
	trusted bool            // the last list found all entries as wanted then, or noted the others

	holders     []netip.Addr // overlay addresses that may be another host's now
	allHolders  bool         // all may be
	takers      []netip.Addr // VTEPs of hosts that take IP packets without a VXLAN header
	checkTakers bool         // these are others

	checkPorts bool      // something may have changed on this host
	portsDue   time.Time // when to go on with the fast path of the ports; zero: it is whole
	checkAll   bool      // any entry may not be as wanted
	failed     bool      // the next full turn tries again
	listed     time.Time
	listTime   time.Duration // that the last list of all entries took
}

// knownState is what all entries depend on, besides what hosts have.
type knownState struct {
	complete  bool // every host has been heard of, so entries that nobody has may go
	staticFDB bool
	wireGuard string // the device by which frames leave
}

// Follow notes which entries to look at, by what the other hosts say now. In a full turn these are
// all.
func (f *forwarder) Follow(networks []hoststate.Network, what scope) {
	followed := make(map[string]*forwardedNetwork)
	for _, local := range networks {
		if !local.NeedsAgent() {
			continue
		}
		n := f.networks[local.ID]
		if n == nil {
			n = &forwardedNetwork{
				roster: new(membership.Roster),
				macs:   make(map[kernel.MAC]bool), addrs: make(map[netip.Addr]bool), flood: make(map[kernel.FDB]bool),
				suspect: make(repairs.Entries),
			}
		}
		followed[local.ID] = n
		m := toMembership(local)
		d := f.clusters.DiscoveryOf(m)
		n.follow(local, m, d)
		n.checkAll = n.checkAll || what >= scopeFull
		n.checkPorts = n.checkPorts || what >= scopeFull
		n.failed = n.failed && what < scopeFull
	}
	f.networks = followed
}

func (n *forwardedNetwork) follow(local hoststate.Network, m membership.Network, d membership.Discovery) {
	before := n.local
	n.local = local
	keys, all := n.roster.Update(m, d.Snapshot)
	for _, host := range changedAddrs(before.VTEP.Flood, local.VTEP.Flood) {
		keys.Flood = append(keys.Flood, plan.FloodEntry(local.VTEP, host))
	}
	n.holders, n.allHolders = append(n.holders, keys.Addrs...), n.allHolders || all
	n.suspect.Drop(keys) // there is news of them
	n.look(keys)
	known := knownState{complete: d.Converged(m), staticFDB: local.VTEP.StaticFDB, wireGuard: local.VTEP.WireGuard}
	all = all || known != n.known
	if known.wireGuard != n.known.wireGuard {
		n.listed = time.Time{} // a first container waits for its entries, which none had without a device
	}
	n.checkAll, n.trusted = n.checkAll || all, n.trusted && !all
	if hasFirstContainer(before.Endpoints, local.Endpoints) {
		n.trusted = false // the devices are new, and may have been missing when entries were to be set
	}
	ceded := n.roster.Ceded()
	n.checkPorts = n.checkPorts || all || !slices.Equal(before.Endpoints, local.Endpoints) || !maps.Equal(ceded, n.ceded)
	n.known, n.ceded = known, ceded
}

// hasFirstContainer tells whether a network has got its first container, or that its addresses.
func hasFirstContainer(before, now []*store.Record) bool {
	return len(now) == 1 && (len(before) != 1 || !slices.Equal(before[0].Addrs, now[0].Addrs))
}

func (n *forwardedNetwork) look(keys kernel.ForwardingKeys) {
	for _, m := range keys.MACs {
		n.macs[m] = true
	}
	for _, a := range keys.Addrs {
		n.addrs[a] = true
	}
	for _, e := range keys.Flood {
		n.flood[e] = true
	}
}

// changedAddrs returns the addresses that are in one of the lists only.
func changedAddrs(a, b []netip.Addr) (changed []netip.Addr) {
	if slices.Equal(a, b) {
		return nil
	}
	count := make(map[netip.Addr]int)
	for _, list := range [][]netip.Addr{a, b} {
		for _, addr := range list {
			count[addr]++
		}
	}
	for addr, n := range count {
		if n == 1 {
			changed = append(changed, addr)
		}
	}
	return changed
}

// RosterOf returns the members of a network as Follow found them.
func (f *forwarder) RosterOf(n membership.Network) *membership.Roster {
	if followed := f.networks[n.ID]; followed != nil {
		return followed.roster
	}
	return membership.NewRoster(n, cluster.Snapshot{})
}

// Forward looks at the next of the entries that were noted, and makes them what they should be.
func (f *forwarder) Forward(host *hoststate.Host) error {
	var errs []error
	for _, n := range f.networks {
		if !n.portsDue.IsZero() && time.Until(n.portsDue) <= 0 {
			n.checkPorts, n.portsDue = true, time.Time{}
			errs = append(errs, n.fail(host.AttachFastPath(n.local)))
		}
		if n.isListDue() {
			errs = append(errs, n.fail(n.list(host)))
		}
	}
	if f.IsBehind() {
		errs = append(errs, f.forwardSome(host))
	}
	return errors.Join(errs...)
}

// Pending tells whether there are more entries to look at, and after what time.
func (f *forwarder) Pending() (after time.Duration, pending bool) {
	for _, n := range f.networks {
		switch {
		case n.isPending():
			return hoststate.LockGap, true
		case n.checkAll && !n.failed && (!pending || n.listDelay() < after):
			after, pending = n.listDelay(), true
		}
		if wait := time.Until(n.portsDue); !n.portsDue.IsZero() && (!pending || wait < after) {
			after, pending = wait, true
		}
	}
	return after, pending
}

// LookAt notes entries to look at, whatever network they are of. Mostly this agent deleted them
// itself, and nothing is amiss.
//
// A flood entry may have been any VXLAN device's, such as one of a network that has gone. The kernel
// cannot be asked for one, so all entries are listed.
func (f *forwarder) LookAt(keys kernel.ForwardingKeys) {
	flooded := keys.Flood
	keys.Flood = nil
	for _, n := range f.networks {
		isWanted := func(e kernel.FDB) bool { return slices.Contains(n.local.VTEP.Flood, e.Dst) }
		n.checkAll = n.checkAll || slices.ContainsFunc(flooded, isWanted)
		n.suspect.Add(n.unexpected(keys))
		n.look(keys)
		n.checkPorts = n.checkPorts || slices.ContainsFunc(n.local.Endpoints,
			func(r *store.Record) bool { return slices.Contains(keys.MACs, r.MAC) })
	}
}

// CheckUnreported has all entries listed, since nobody reports what somebody adds. Nor does anybody report
// that eBPF programs of others were attached to a port. Where the list takes long it is made less often.
func (f *forwarder) CheckUnreported() {
	for _, n := range f.networks {
		isDue := time.Since(n.listed) >= n.unreportedDelay()
		n.checkAll, n.checkPorts, n.allHolders = n.checkAll || isDue, n.checkPorts || isDue, n.allHolders || isDue
	}
}

// unreportedDelay is how long all entries are not listed again because of time alone.
func (n *forwardedNetwork) unreportedDelay() time.Duration {
	return min(unreportedDivisor*n.listTime, maxUnreportedInterval)
}

// IsBehind tells whether entries wait that somebody may rely on.
func (f *forwarder) IsBehind() bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(f.networks)), (*forwardedNetwork).isPending)
}

func (n *forwardedNetwork) isPending() bool {
	return len(n.macs)+len(n.addrs)+len(n.flood) > 0 || n.checkPorts || n.checkTakers
}

// listDelay is how long all entries are not listed again.
func (n *forwardedNetwork) listDelay() time.Duration {
	return time.Until(n.listed.Add((listDivisor - 1) * n.listTime))
}

func (n *forwardedNetwork) isListDue() bool { return n.checkAll && !n.failed && n.listDelay() <= 0 }

// fail leaves what failed to the next full turn, which lists all entries again.
func (n *forwardedNetwork) fail(err error) error {
	if err != nil {
		n.failed, n.checkAll = true, true
	}
	return err
}

// list notes the entries that are not as wanted.
func (n *forwardedNetwork) list(host *hoststate.Host) error {
	began := time.Now()
	endFrugal := beginFrugal()
	keys, err := host.DriftedEntries(n.local, n.knownRemotes())
	endFrugal()
	if err != nil {
		return err
	}
	if n.trusted {
		n.suspect.Add(n.unexpected(keys))
	}
	n.look(keys)
	n.trusted = true
	n.checkAll, n.listed, n.listTime = false, time.Now(), time.Since(began)
	return nil
}

// unexpected returns the entries that are not to be looked at anyway, for what hosts say now.
func (n *forwardedNetwork) unexpected(keys kernel.ForwardingKeys) (rest kernel.ForwardingKeys) {
	for _, m := range keys.MACs {
		if !n.macs[m] {
			rest.MACs = append(rest.MACs, m)
		}
	}
	for _, a := range keys.Addrs {
		if !n.addrs[a] {
			rest.Addrs = append(rest.Addrs, a)
		}
	}
	for _, e := range keys.Flood {
		if !n.flood[e] {
			rest.Flood = append(rest.Flood, e)
		}
	}
	return rest
}

func (n *forwardedNetwork) knownRemotes() plan.Known {
	return plan.Known{
		Partial: !n.known.complete, Remotes: n.roster.Remotes(), Ceded: n.ceded, WishFastPath: plan.WishFastPath,
		TakesIP: n.takers,
	}
}

// forwardSome sets as many of the entries to look at as there is time for. Those that were taken are
// not tried again before the next full turn. All networks share one session: while many containers
// start, whoever wants the lock waits for all of them each time.
func (f *forwarder) forwardSome(host *hoststate.Host) error {
	s, beginErr := host.Begin()
	deadline := time.Now().Add(hoststate.ForwardTime)
	var errs []error
	for _, n := range f.networks {
		switch {
		case !n.isPending():
		case beginErr != nil:
			n.takeNext() // an end of it, should the lock never be had
			errs = append(errs, n.fail(beginErr))
		default:
			errs = append(errs, n.fail(f.forwardUntil(deadline, s, n)))
		}
	}
	if beginErr == nil {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// forwardUntil does so for one network, until the deadline.
func (f *forwarder) forwardUntil(deadline time.Time, s *hoststate.Session, n *forwardedNetwork) error {
	taken := make(repairs.Entries)
	next := func() (plan.Known, bool) {
		known, more := n.takeNext()
		if more {
			before := len(taken)
			n.suspect.MoveTo(taken, *known.Only)
			if len(taken) == before { // else it is told whether something had to be repaired
				known.SetUnread = plan.SetUnread
			}
		}
		return known, more
	}
	found, err := f.repairs.DuringForward(taken, func() error { return s.ForwardUntil(deadline, n.local, next) })
	f.report(found, []hoststate.Network{n.local})
	if s.FastPathUnfinished() && n.portsDue.IsZero() {
		n.portsDue = time.Now().Add(portsGap)
	}
	return err
}

// takeNext takes the next of the entries to look at: MACs first, as addresses lead to them.
func (n *forwardedNetwork) takeNext() (next plan.Known, more bool) {
	if !n.isPending() {
		return plan.Known{}, false
	}
	const most = hoststate.EntriesAtOnce
	keys := kernel.ForwardingKeys{Flood: takeSome(&n.flood, most), MACs: takeSome(&n.macs, most)}
	if len(n.macs) == 0 {
		keys.Addrs = takeSome(&n.addrs, most)
	}
	next = n.knownRemotes()
	next.Only, next.SkipPorts = &keys, !n.checkPorts
	n.checkPorts, n.checkTakers = false, false
	return next, true
}

// takeSome takes at most so many keys from a set.
func takeSome[K comparable](set *map[K]bool, most int) []K {
	keys := make([]K, 0, min(len(*set), most))
	for k := range *set {
		if len(keys) == most {
			return keys
		}
		keys = append(keys, k)
		delete(*set, k)
	}
	*set = make(map[K]bool) // one that was large stays slow to walk through
	return keys
}
