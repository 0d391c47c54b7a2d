package hoststate

import (
	"slices"
	"sync"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
)

// FirewallDrift is how the firewall's elements differed from those that the records asked for.
type FirewallDrift struct {
	found    reconcile.Drift
	from     *plan.Firewall // what was wanted then; nil: it is not known what differs
	complete bool           // all records could be read
	elements []kernel.Element
}

// FirewallDrift returns how the firewall's elements differ from what they should be; nil: they do not.
// It holds the lock only to read the records. So others may change both meanwhile: see UseDrift.
func (h *Host) FirewallDrift() (*FirewallDrift, error) {
	s, err := h.Begin()
	if err != nil {
		return nil, err
	}
	networks, _ := s.Networks() // whoever repairs is told what cannot be read
	listed, complete := s.listed, s.complete
	if err := s.Close(); err != nil || !listed || len(networks) == 0 {
		return nil, err
	}
	ns, err := h.Open("")
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	d := &FirewallDrift{from: h.firewallPlan(networks, ScopeVerify, complete).Firewall, complete: complete}
	if err := d.read(ns, records{s.records.Store, h, ns}); err != nil {
		return new(FirewallDrift), nil // who looks again is told why the kernel cannot be read
	}
	if d.found.IsEmpty() {
		return nil, nil
	}
	d.elements = slices.Concat(d.found.Have, d.from.Endpoints)
	return d, nil
}

// read compares the firewall with what is wanted. That is computed once, here, where nobody waits for
// the lock.
func (d *FirewallDrift) read(ns Namespace, r records) (err error) {
	want := d.from
	want.All = sync.OnceValues(want.All)
	if d.found, err = reconcile.ReadDrift(ns, want.All); err != nil || d.found.IsEmpty() {
		return err
	}
	want.All = sync.OnceValues(r.withUnrecorded(want.All))
	if _, unread := want.All(); unread != nil {
		if d.found, err = reconcile.ReadDrift(ns, want.All); err != nil {
			return err
		}
	}
	if want.First != nil {
		want.First = sync.OnceValues(r.withUnrecorded(want.First))
		if d.found.SetsAnew() {
			_, _ = want.First()
		}
	}
	return nil
}

// UseDrift lets Reconcile with ScopeVerify replace what FirewallDrift has found a moment ago. If the
// records ask for something else by then, it looks at all elements again.
func (s *Session) UseDrift(d *FirewallDrift) { s.drift = d }

// Elements returns what the firewall had, as far as is known, and all that the endpoints ask for: these
// are added whether they are there or not.
func (d *FirewallDrift) Elements() []kernel.Element {
	if d == nil {
		return nil
	}
	return d.elements
}

// repairWork returns what makes the firewall hold what is wanted, element by element.
func (d *FirewallDrift) repairWork(want *plan.Firewall,
	complete bool) func(reconcile.Namespaces, plan.Plan) (reconcile.Report, error) {
	if d == nil || d.from == nil || d.complete != complete || !d.from.SameElements(want) {
		return reconcile.Verify
	}
	want.All, want.First = d.from.All, d.from.First
	return d.found.Repair
}
