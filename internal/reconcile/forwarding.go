package reconcile

import (
	"errors"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// ensureForwarding makes the kernel hold the entries that lead to a network's other hosts, and the
// fast path. Where it cannot, it does what it can and returns all errors, of entries the first
// ones.
func ensureForwarding(host Namespace, want plan.Forwarding, r *Report) error {
	err := ensureTables(host, want)
	if err != nil && !want.FastPath.IsEmpty() {
		return err // the fast path relies on the entries
	}
	fastPathErr := host.SetFastPath(want.FastPath)
	if errors.Is(fastPathErr, kernel.ErrNoFastPath) {
		r.NoFastPath = fastPathErr
		want.FastPath.Disable()
		fastPathErr = host.SetFastPath(want.FastPath)
	}
	if errors.Is(fastPathErr, kernel.ErrFastPathUnfinished) {
		r.FastPathUnfinished, fastPathErr = true, nil
	}
	return errors.Join(err, fastPathErr)
}

// ensureTables makes the kernel hold the entries by which other hosts are reached, and sets how the
// bridge treats the VXLAN device. Unless the plan is partial, it removes all other entries.
//
// Without keys in the plan it reads all entries: for 10,000 remote containers that takes about 50 ms.
func ensureTables(host Namespace, want plan.Forwarding) error {
	have, err := host.Link(want.Device.Name, kernel.FacetAddrs)
	if err != nil {
		return err
	}
	if err := checkOwner(want.Device, have); err != nil {
		return err
	}
	bridge, device := want.Device.Master, want.Device.Name
	tables, err := host.ForwardingTables(bridge, device, want.Only)
	if err != nil {
		return err
	}
	change := diffTables(want.Tables, tables)
	change.Bridge, change.Device = bridge, device
	if want.Partial {
		change.Delete = kernel.ForwardingTables{}
	}
	if want.Only != nil {
		// The kernel cannot be asked for one of these. To add one that is there changes nothing.
		change.Add.Flood, change.Delete.Flood = want.Tables.Flood, missingEntries(want.Only.Flood, want.Tables.Flood)
	}
	var errs []error
	// First the entries, then what keeps the port from learning and flooding.
	if countEntries(change.Add)+countEntries(change.Delete) > 0 {
		errs = append(errs, host.ChangeForwardingTables(change))
	}
	flags, err := host.PortFlags(device)
	if err == nil && !want.Port.Same(flags) {
		err = host.SetPort(device, want.Port)
	}
	return errors.Join(append(errs, err)...)
}

// DriftedEntries lists all entries, and names those that are not as wanted. flood are the flood
// entries that are. It changes nothing: what is found may be out of date by the time that it is
// looked at again.
func DriftedEntries(host Namespace, want plan.Forwarding, flood []kernel.FDB) (kernel.ForwardingKeys, error) {
	have, err := host.ForwardingTables(want.Device.Master, want.Device.Name, nil)
	if err != nil {
		return kernel.ForwardingKeys{}, err
	}
	d := diffTables(want.Tables, have)
	keys := appendKeys(kernel.ForwardingKeys{}, d.Add)
	if !want.Partial {
		keys = appendKeys(keys, d.Delete)
	}
	if !want.FastPath.IsEmpty() {
		remote, err := host.FastPathRemote(want.FastPath)
		if err != nil {
			return kernel.ForwardingKeys{}, err
		}
		add, del := diffEntries(want.FastPath.Remote, remote, func(m kernel.MAC) kernel.MAC { return m })
		if keys.MACs = append(keys.MACs, add...); !want.Partial {
			keys.MACs = append(keys.MACs, del...)
		}
	}
	keys = plan.SortKeys(keys.MACs, keys.Addrs)
	keys.Flood = append(missingEntries(flood, have.Flood), missingEntries(have.Flood, flood)...)
	return keys, nil
}

// missingEntries returns the entries that are in one list and not in another.
func missingEntries(list, other []kernel.FDB) (missing []kernel.FDB) {
	missing, _ = diffEntries(list, other, func(e kernel.FDB) kernel.FDB { return e })
	return missing
}

// appendKeys adds the names of the entries of tables.
func appendKeys(keys kernel.ForwardingKeys, t kernel.ForwardingTables) kernel.ForwardingKeys {
	for _, e := range t.FDB {
		keys.MACs = append(keys.MACs, e.MAC)
	}
	keys.MACs = append(keys.MACs, t.Static...)
	for _, n := range t.Neighbours {
		keys.Addrs = append(keys.Addrs, n.Addr)
	}
	return keys
}

func countEntries(t kernel.ForwardingTables) int {
	return len(t.FDB) + len(t.Static) + len(t.Neighbours) + len(t.Flood)
}

// diffTables returns the changes that lead from have to want. An entry that is there with another
// value is replaced, and so needs no deletion.
func diffTables(want, have kernel.ForwardingTables) (c kernel.ForwardingChanges) {
	c.Add.FDB, c.Delete.FDB = diffEntries(want.FDB, have.FDB, func(e kernel.FDB) kernel.MAC { return e.MAC })
	c.Add.Static, c.Delete.Static = diffEntries(want.Static, have.Static, func(m kernel.MAC) kernel.MAC { return m })
	c.Add.Neighbours, c.Delete.Neighbours = diffEntries(want.Neighbours, have.Neighbours,
		func(n kernel.Neighbour) netip.Addr { return n.Addr })
	return c
}

// diffEntries returns what is to be added, in the order of want, and what is to be deleted, in the
// order of have. A dump may have an entry twice.
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
