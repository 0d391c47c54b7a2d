package reconcile

import (
	"errors"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// Drift is what ReadDrift has found.
type Drift struct {
	// Have are the elements that the firewall had.
	Have []kernel.Element
	// Change replaces those that are not as wanted.
	Change kernel.ReplaceElements
}

// ReadDrift compares the firewall with all elements that are wanted. Somebody may have flushed a set, or
// loaded an old listing of the tables. Or a network is another one by now.
func ReadDrift(host Namespace, all plan.AllElements) (d Drift, err error) {
	wanted, unread := all()
	if errors.Is(unread, plan.ErrKernelUnread) {
		return d, unread
	}
	d.Have, err = host.FirewallElements()
	if err != nil {
		return d, err
	}
	d.Change = elementDifference(d.Have, wanted, unread == nil)
	return d, nil
}

// IsEmpty tells whether all is as wanted.
func (d Drift) IsEmpty() bool { return len(d.Change.Old)+len(d.Change.New) == 0 }

// SetsAnew tells whether so much differs that all is set anew.
func (d Drift) SetsAnew() bool {
	return costToDelete*len(d.Change.Old)+len(d.Change.New) > elementsAtOnce
}

// Verify is Apply, and looks at each element of the firewall besides: somebody may have deleted some.
func Verify(on Namespaces, p plan.Plan) (r Report, err error) {
	return verify(on, p, func(host Namespace) (Drift, error) { return ReadDrift(host, p.Firewall.All) })
}

// Repair is Verify for a caller that has read the drift by the same plan a moment ago, without the lock
// that keeps others from changing the firewall meanwhile. They change only what a plan wants. So as long
// as that is the same, the drift takes nothing from them. To add what is there by now changes nothing.
func (d Drift) Repair(on Namespaces, p plan.Plan) (r Report, err error) {
	return verify(on, p, func(Namespace) (Drift, error) { return d, nil })
}

func verify(on Namespaces, p plan.Plan, read func(host Namespace) (Drift, error)) (r Report, err error) {
	p.Firewall.Verified = true
	r, err = Apply(on, p)
	if err != nil || r.FirewallReset {
		return r, err
	}
	host := &flowsApart{Namespace: on.Host, isLater: p.FlowsLater}
	drift, err := read(host)
	if err != nil {
		return r, err
	}
	err = replaceDrifted(host, p.Firewall, drift, &r)
	r.FlowsErr, r.StaleFlows = errors.Join(r.FlowsErr, host.err), append(r.StaleFlows, host.stale...)
	return r, err
}

// elementsAtOnce is how many elements are changed in one transaction where others can wait: 5 ms of
// work, of which most is that the kernel tells the agent of each.
const elementsAtOnce = 1000

// costToDelete is what it takes to delete an element, in elements that are added: the kernel is first
// asked for it.
const costToDelete = 5

// replaceDrifted replaces the elements that are not as wanted. Where these are many, all is set anew.
func replaceDrifted(host Namespace, want *plan.Firewall, d Drift, r *Report) error {
	if !d.SetsAnew() {
		if err := replaceElements(host, d.Change); !errors.Is(err, kernel.ErrElementTaken) {
			return errors.Join(err, forgetFlows(host, kernel.DeleteFlows{Stale: plan.StaleFlows(d.Change.New)}))
		}
	}
	return beginFirewall(host, want, r)
}

// elementDifference returns what leads from the elements that the firewall has to those that are
// wanted. Where these are not all, what is not known to be wanted may stay.
func elementDifference(have, wanted []kernel.Element, isAll bool) (c kernel.ReplaceElements) {
	rest := make(map[kernel.ElementID]*kernel.Element, len(have))
	for i := range have {
		rest[have[i].ID()] = &have[i]
	}
	for i := range wanted {
		id := wanted[i].ID()
		old := rest[id]
		delete(rest, id)
		if old != nil && contents(old) == contents(&wanted[i]) {
			continue
		}
		if old != nil {
			c.Old = append(c.Old, *old)
		}
		c.New = append(c.New, wanted[i])
	}
	if isAll {
		for i := range have {
			if rest[have[i].ID()] != nil {
				c.Old = append(c.Old, have[i])
			}
		}
	}
	return c
}

// contents is what tells elements of one key apart. A network's fingerprint has only a comment.
func contents(e *kernel.Element) string { return e.Value.Chain() + e.Comment + string(e.Value.First()) }
