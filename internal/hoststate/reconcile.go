package hoststate

import (
	"errors"
	"fmt"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// Scope says how much Reconcile looks at.
type Scope int

// Scopes, each of which has those before it.
const (
	// ScopePeers is the firewall and the networks' devices, which is all that depends on what is
	// known of other hosts. No container's port is looked at.
	ScopePeers Scope = iota
	// ScopeFull adds the ports of all containers.
	ScopeFull
	// ScopeVerify adds a look at each element of the firewall. To read 10,000 takes 20 ms, so that is
	// for a firewall that FirewallDrift found to differ, and is rarely needed then: see UseDrift.
	ScopeVerify
	// ScopeReset sets the firewall anew whatever it holds. Only of networks that cannot be read
	// what it holds stays.
	ScopeReset
)

// Reconcile makes the host hold what the networks ask for. Entries that lead to other hosts are
// left to Forward. Where all is in place it changes nothing. Where something fails, the rest is put
// right all the same.
func (s *Session) Reconcile(networks []Network, scope Scope) error {
	if !s.listed {
		return nil // in the error of Networks; a firewall set anew would protect no network
	}
	errs := []error{s.reconcileFirewall(networks, scope)}
	for _, n := range networks {
		errs = append(errs, s.reconcileNetwork(n, scope))
	}
	return errors.Join(errs...)
}

// reconcileFirewall is the part of Reconcile that all networks share.
func (s *Session) reconcileFirewall(networks []Network, scope Scope) error {
	complete, unrecordedErr := s.complete, error(nil)
	if scope >= ScopeReset {
		unrecordedErr = s.records.findUnrecorded("", "")
		complete = complete && unrecordedErr == nil
	}
	firewall := s.host.firewallPlan(networks, scope, complete)
	if f := firewall.Firewall; f != nil && f.All != nil {
		f.All = s.records.withUnrecorded(f.All)
		if f.First != nil {
			f.First = s.records.withUnrecorded(f.First)
		}
	}
	firewall.FlowsLater = true
	work := reconcile.Apply
	if scope == ScopeVerify && firewall.Firewall != nil {
		work = s.drift.repairWork(firewall.Firewall, complete)
	}
	return errors.Join(unrecordedErr, s.applyBy(work, firewall))
}

// reconcileNetwork makes the host hold what one network asks for, once the firewall protects it.
func (s *Session) reconcileNetwork(n Network, scope Scope) error {
	if n.unplaceable {
		return nil // in the error of Networks
	}
	_, othersErr, err := s.applyNetwork(n.Network, nil, s.host.networkPlan(n.withEndpoints(), scope))
	if scope >= ScopeFull {
		err = errors.Join(err, s.resizeInterfaces(n))
	}
	if err := errors.Join(err, othersErr); err != nil {
		return wrapNetworkError(n.ID, fmt.Errorf("network %s: %w", n.Name, err))
	}
	return nil
}

// FirewallUnfinished tells whether Reconcile has set the first elements only of a firewall with very
// many. It is to be called again, in another session.
func (s *Session) FirewallUnfinished() bool { return s.firewallUnfinished }

// OtherVersion tells whether another version of this project made the firewall's tables.
func (s *Session) OtherVersion() (bool, error) { return s.ns.FirewallOfOtherVersion() }

// resizeInterfaces gives the containers' ends of veths the network's MTU, which follows that of the
// underlay. The records tell which have another one: to look into the containers' namespaces in
// each turn would take too long.
func (s *Session) resizeInterfaces(n Network) error {
	var errs []error
	for _, r := range n.Endpoints {
		if r.MTU != n.VTEP.MTU {
			errs = append(errs, s.resizeInterface(n, r))
		}
	}
	return errors.Join(errs...)
}

func (s *Session) resizeInterface(n Network, r *store.Record) error {
	container, err := s.host.Open(r.Namespace)
	if err != nil {
		if s.host.isGone(r.Namespace) {
			return nil
		}
		return err
	}
	defer container.Close()
	in := reconcile.Namespaces{Host: s.ns, Container: container}
	if _, err := reconcile.Apply(in, plan.ResizeInterface(n.placed(), r.Endpoint, r.MTU)); err != nil {
		return fmt.Errorf("container %s: %w", r.ContainerName, err)
	}
	if s.host.dryRun {
		return nil
	}
	return s.records.SetMTU(n.ID, *r, n.VTEP.MTU)
}

// manyMembers is from how many other hosts on a firewall is set anew in two steps.
const manyMembers = 250

// firewallPlan is what Reconcile wants of the firewall.
func (h *Host) firewallPlan(networks []Network, scope Scope, complete bool) plan.Plan {
	all, members := make([]plan.HostNetwork, 0, len(networks)), 0
	for _, n := range networks {
		all = append(all, n.withEndpoints())
		members += len(n.VTEP.Remotes)
	}
	switch {
	case scope >= ScopeReset:
		return plan.ResetFirewall(all, complete)
	case len(all) == 0:
		return plan.Plan{}
	}
	p := plan.RepairFirewall(all, complete)
	if h.FirewallInSteps && members > manyMembers {
		p.Firewall.First = plan.WithoutMembers(all, complete)
	}
	return p
}

// networkPlan is what Reconcile wants of a network.
func (h *Host) networkPlan(n plan.HostNetwork, scope Scope) plan.Plan {
	p := plan.RepairDevices(n)
	if scope >= ScopeFull {
		p = plan.RepairNetwork(n)
	}
	p.Network.Devices.SkipFlood = h.ForwardSetsFlood && n.NeedsAgent() && scope < ScopeReset
	return p
}

// Forward sets the entries that send frames straight to the hosts that have their MACs. A network
// without devices has none: its last container may have just been stopped. Whoever makes the devices
// again is followed by a full turn.
func (s *Session) Forward(n Network, k plan.Known) error {
	if n.unplaceable {
		return nil // in the error of Networks
	}
	if err := s.forward(n.withEndpoints(), k); err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return wrapNetworkError(n.ID, fmt.Errorf("network %s: forward to other hosts: %w", n.Name, err))
	}
	return nil
}

const (
	// EntriesAtOnce is how many entries of each kind are set before the time is looked at again:
	// half a millisecond's work, so a machine that is ten times slower holds the lock for 8 ms.
	EntriesAtOnce = 50
	// LockGap is for how long the lock is left to others then. It is not fair: whoever waits would
	// mostly find it taken again.
	LockGap = time.Millisecond
	// ForwardTime is for how long further entries are set under the lock. Containers that start wait
	// for it.
	ForwardTime = 3 * time.Millisecond
)

// ForwardUntil calls Forward with what next returns, while there is more, and until the deadline: the
// lock should be left to others then.
func (s *Session) ForwardUntil(deadline time.Time, n Network, next func() (k plan.Known, more bool)) error {
	s.fastPathUnfinished = false
	for time.Now().Before(deadline) {
		k, more := next()
		if !more {
			return nil
		}
		if err := s.Forward(n, k); err != nil {
			return err
		}
	}
	return nil
}

// FastPathUnfinished tells whether the last ForwardUntil has left a part of the fast path: to
// Host.AttachFastPath, and then to another ForwardUntil, which needs the network's ports.
func (s *Session) FastPathUnfinished() bool { return s.fastPathUnfinished }

// AttachFastPath does a part of what ForwardUntil has left. The kernel takes long for it, so it takes no lock.
func (h *Host) AttachFastPath(n Network) error {
	if h.AttachNext == nil {
		return nil
	}
	if err := h.AttachNext(n.Device.Name); err != nil {
		return wrapNetworkError(n.ID, fmt.Errorf("network %s: attach eBPF programs: %w", n.Name, err))
	}
	return nil
}

// forward warns once if the kernel has no fast path, and does not ask for one again.
func (s *Session) forward(n plan.HostNetwork, k plan.Known) error {
	p := plan.ForwardTo(n, k)
	s.host.limitFastPath(&p.Network.Forwarding.FastPath)
	report, err := reconcile.Apply(reconcile.Namespaces{Host: s.ns}, p)
	s.fastPathUnfinished = s.fastPathUnfinished || report.FastPathUnfinished
	if errors.Is(err, kernel.ErrPortsNeeded) {
		k.SkipPorts = false
		return s.forward(n, k)
	}
	if report.NoFastPath != nil {
		s.host.noFastPath = true
		s.host.Warn(fmt.Sprintf("all packets pass the bridges: %v", report.NoFastPath))
	}
	return err
}

// DriftedEntries names the forwarding entries of a network that are not as they should be. It lists
// them all, which takes long where there are many. So it takes no lock, and changes nothing. The
// network's devices may go meanwhile.
func (h *Host) DriftedEntries(n Network, k plan.Known) (kernel.ForwardingKeys, error) {
	if n.unplaceable {
		return kernel.ForwardingKeys{}, nil // in the error of Networks
	}
	ns, err := h.Open("")
	if err != nil {
		return kernel.ForwardingKeys{}, err
	}
	defer ns.Close()
	want, flood := h.WantedForwarding(n, k)
	keys, err := reconcile.DriftedEntries(ns, want, flood)
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return kernel.ForwardingKeys{}, wrapNetworkError(n.ID, fmt.Errorf("network %s: compare forwarding: %w", n.Name, err))
	}
	return keys, nil
}

// Announce announces a container's addresses, if it still exists and its interface is unaltered.
func (s *Session) Announce(n Network, r *store.Record) error {
	if _, err := s.ns.Link(n.Port(r.Endpoint), 0); errors.Is(err, kernel.ErrNotFound) {
		return nil
	}
	container, err := s.host.Open(r.Namespace)
	if err != nil {
		return err
	}
	defer container.Close()
	_, err = reconcile.Apply(reconcile.Namespaces{Host: s.ns, Container: container},
		plan.Announcement(n.placed(), r.Endpoint))
	return err
}
