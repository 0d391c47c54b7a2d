package reconcile

import (
	"errors"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// Forwarding makes the kernel hold the entries, and if the plan is not partial no others, by which a network's other
// hosts are reached, and how the bridge treats the KindVXLAN device. Network must have
// made both. Where it cannot, it does what it can and returns all errors, of entries
// the first ones.
//
// All entries are read each time, also those that nobody but this function may have
// put there: 10,000 remote containers take about 50 ms.
func Forwarding(host Namespace, want plan.Forwarding) error {
	have, err := host.Link(want.Device.Name, kernel.FacetAddrs)
	if err != nil {
		return err
	}
	if err := checkOwner(want.Device, have); err != nil {
		return err
	}
	bridge, device := want.Device.Master, want.Device.Name
	tables, err := host.ForwardingTables(bridge, device)
	if err != nil {
		return err
	}
	change := diffTables(want.Tables, tables)
	change.Bridge, change.Device = bridge, device
	if want.Partial {
		change.Delete = kernel.ForwardingTables{}
	}
	var errs []error
	// First the entries, then what keeps the port from learning and flooding.
	if count(change.Add)+count(change.Delete) > 0 {
		errs = append(errs, host.ChangeForwardingTables(change))
	}
	flags, err := host.PortFlags(device)
	if err == nil && !want.Port.Same(flags) {
		err = host.SetPort(device, want.Port)
	}
	return errors.Join(append(errs, err)...)
}

// Arrive makes room for an endpoint that another host had, or that had another port: what the bridge was told of its MAC, and
// what leads past it, would keep it from being found where it is now, until the agent hears of it.
func Arrive(host Namespace, e plan.Veth) error {
	if e.Container.MAC.IsZero() {
		return nil
	}
	if _, err := host.Link(e.Port.Name, 0); !errors.Is(err, kernel.ErrNotFound) {
		return err // it is here already, and so no remote one's
	}
	return errors.Join(
		host.Apply(kernel.DelStatic{Name: e.Device, MAC: e.Container.MAC}),
		host.EvictFastPath(e.Device, e.Container.MAC))
}

func count(t kernel.ForwardingTables) int { return len(t.FDB) + len(t.Static) + len(t.Neighbours) }

// diffTables returns the changes that lead from have to want. An entry that is there
// with another value is replaced, and so needs no deletion.
func diffTables(want, have kernel.ForwardingTables) (c kernel.ForwardingChanges) {
	c.Add.FDB, c.Delete.FDB = diffEntries(want.FDB, have.FDB, func(e kernel.FDB) kernel.MAC { return e.MAC })
	c.Add.Static, c.Delete.Static = diffEntries(want.Static, have.Static, func(m kernel.MAC) kernel.MAC { return m })
	c.Add.Neighbours, c.Delete.Neighbours = diffEntries(want.Neighbours, have.Neighbours, func(n kernel.Neighbour) netip.Addr { return n.Addr })
	return c
}

// diffEntries returns what is to be added, in the order of want, and what is to be
// deleted, in the order of have. A dump may have an entry twice.
func diffEntries[K, E comparable](want, have []E, key func(E) K) (add, del []E) {
	rest := make(map[K]E, len(have))
	for _, e := range have {
		rest[key(e)] = e
	}
	for _, e := range want {
		k := key(e)
		if old, ok := rest[k]; !ok || old != e {
			add = append(add, e)
		}
		delete(rest, k)
	}
	for _, e := range have {
		if _, ok := rest[key(e)]; ok {
			del = append(del, e)
			delete(rest, key(e))
		}
	}
	return add, del
}
