package fastpath

import (
	"errors"
	"slices"

	"vxlan-driver/internal/kernel"
)

// Path is a way to pass packets on without the bridge.
type Path interface {
	// Set makes the fast path what is wanted, and removes one that leads nowhere. The bridge, the
	// VXLAN device and its forwarding tables must be right already. The error is
	// kernel.ErrNoFastPath if the kernel cannot do it.
	Set(want kernel.FastPath) error
	// Evict sends packets for a MAC, and from the port with it, through the bridge again.
	Evict(device string, mac kernel.MAC) error
	// EvictPort is Evict for a port that stays: the bridge forgets that the MAC is there.
	EvictPort(device string, port kernel.FastPathPort) error
	// Remove removes what would outlive a VXLAN device that is being deleted or was deleted.
	Remove(device string) error
}

// Redirector is the Path of nftables and tc.
type Redirector struct{ kernel Kernel }

// New returns the Path of a namespace.
func New(k Kernel) Redirector { return Redirector{k} }

// attempts is how often Set tries while devices are deleted at the same time. The next attempt sees
// that they are gone.
const attempts = 3

// Set implements Path. Who sends is for the bridge to check, so a network with port security gets
// nothing.
func (r Redirector) Set(want kernel.FastPath) (err error) {
	if want.IsEmpty() || want.PortSecurity {
		return r.RemoveAll(want.Device)
	}
	for range attempts {
		if err = r.set(want); !errors.Is(err, kernel.ErrNotFound) {
			break
		}
	}
	return err
}

func (r Redirector) set(want kernel.FastPath) (err error) {
	if want.SkipPorts {
		if done, err := r.setRemote(want); done || err != nil {
			return err
		}
		if len(want.Ports) == 0 {
			return kernel.ErrPortsNeeded
		}
	}
	if want.Ports, err = r.AttachedPorts(want); err != nil {
		return err
	}
	// First the bridge: it cannot learn from packets that no longer pass it.
	if err := r.SetStaticEntries(want); err != nil {
		return err
	}
	return errors.Join(r.setOutbound(want), r.setInbound(want))
}

// setRemote sets what is looked at of the MACs on other hosts, and nothing else. It does not, if
// there is no table to set them in.
func (r Redirector) setRemote(want kernel.FastPath) (done bool, err error) {
	have, err := r.kernel.Outbound(want.Device, Look{want.Only, true})
	if err != nil || !have.Intact {
		return false, err
	}
	c := ChangeTable{Device: want.Device}
	c.Add.Remote, c.Delete.Remote = difference(want.Remote, have.Remote)
	if want.Partial {
		c.Delete.Remote = nil
	}
	if c.Add.isEmpty() && c.Delete.isEmpty() {
		return true, nil
	}
	return true, r.kernel.Apply(c)
}

// Remote returns the MACs on other hosts that packets are sent to past the bridge.
func (r Redirector) Remote(device string) ([]kernel.MAC, error) {
	have, err := r.kernel.Outbound(device, Look{SkipPorts: true})
	return have.Remote, err
}

// manyPorts is from how many ports on all ports of the bridge are listed: that takes a seventh of the time
// that it takes to ask for each.
const manyPorts = 8

// AttachedPorts leaves out ports that are not on the bridge. A container's veth goes with the
// container, before its teardown, and another container may have got the name since.
func (r Redirector) AttachedPorts(want kernel.FastPath) (attached []kernel.FastPathPort, err error) {
	listed := make(map[string]kernel.Link)
	if len(want.Ports) >= manyPorts {
		links, err := r.kernel.PortLinks(want.Bridge)
		if err != nil {
			return nil, err
		}
		for _, l := range links {
			listed[l.Name] = l
		}
	}
	for _, p := range want.Ports {
		l, isListed := listed[p.Name]
		if !isListed { // it may have the name as an alternative one
			if l, err = r.kernel.Link(p.Name, 0); err != nil && !errors.Is(err, kernel.ErrNotFound) {
				return nil, err
			}
		}
		if l.Alias == p.Alias && l.Master == want.Bridge {
			p.Alias = "" // as observed
			attached = append(attached, p)
		}
	}
	return attached, nil
}

// SetStaticEntries tells the bridge which MACs are behind its ports.
func (r Redirector) SetStaticEntries(want kernel.FastPath) error {
	var macs []kernel.MAC
	for _, p := range want.Ports {
		macs = append(macs, p.MAC)
	}
	have, err := r.kernel.StaticPorts(want.Bridge, macs)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range want.Ports {
		if have[p.MAC] != p.Name {
			errs = append(errs, r.kernel.Apply(kernel.AddStatic{Name: p.Name, MAC: p.MAC}))
		}
	}
	return errors.Join(errs...)
}

// setOutbound sets the table for packets from containers.
func (r Redirector) setOutbound(want kernel.FastPath) error {
	have, err := r.kernel.Outbound(want.Device, Look{Only: want.Only})
	if err != nil {
		return err
	}
	if !have.Intact {
		return r.kernel.Apply(LoadTable{want.Device, Members{want.Remote, want.Ports}})
	}
	c := ChangeTable{Device: want.Device}
	c.Add.Remote, c.Delete.Remote = difference(want.Remote, have.Remote)
	c.Add.Ports, c.Delete.Ports = difference(want.Ports, have.Ports)
	if want.Partial {
		// Remote MACs stay, but what is here cannot be elsewhere.
		c.Delete.Remote = slices.DeleteFunc(c.Delete.Remote, func(m kernel.MAC) bool { return !hasMAC(want.Ports, m) })
	}
	if c.Add.isEmpty() && c.Delete.isEmpty() {
		return nil
	}
	return r.kernel.Apply(c)
}

func hasMAC(ports []kernel.FastPathPort, m kernel.MAC) bool {
	return slices.ContainsFunc(ports, func(p kernel.FastPathPort) bool { return p.MAC == m })
}

// setInbound sets the filters for packets for containers.
func (r Redirector) setInbound(want kernel.FastPath) error {
	have, err := r.kernel.Inbound(want.Device)
	if err != nil {
		return err
	}
	if !have.Intact {
		return r.kernel.Apply(LoadFilters{want.Device, want.Ports})
	}
	add, del := difference(want.Ports, have.Ports)
	errs := []error{r.removeInbound(want.Device, del)}
	for _, p := range add {
		errs = append(errs, r.kernel.Apply(AddFilters{want.Device, p}))
	}
	return errors.Join(errs...)
}

// removeInbound deletes the filters of ports, and makes the bridge forget their MACs.
func (r Redirector) removeInbound(device string, ports []kernel.FastPathPort) error {
	var errs []error
	for _, p := range ports {
		errs = append(errs, r.kernel.Apply(DeleteFilters{device, p.MAC}))
		if p.Name != "" {
			errs = append(errs, r.kernel.Apply(kernel.DelStatic{Name: p.Name, MAC: p.MAC}))
		}
	}
	return errors.Join(errs...)
}

// RemoveAll removes the fast path of a VXLAN device that stays.
func (r Redirector) RemoveAll(device string) error {
	err := r.Remove(device)
	have, haveErr := r.kernel.Inbound(device)
	return errors.Join(err, haveErr, r.removeInbound(device, have.Ports))
}

// Remove implements Path. The filters go with their device.
func (r Redirector) Remove(device string) error {
	have, err := r.kernel.Outbound(device, Look{Only: []kernel.MAC{}, SkipPorts: true})
	if err != nil || !have.Exists {
		return err
	}
	return r.kernel.Apply(DeleteTable{device})
}

// Evict implements Path.
func (r Redirector) Evict(device string, mac kernel.MAC) error {
	if mac.IsZero() {
		return nil
	}
	return errors.Join(
		r.kernel.Apply(EvictFromTable{device, mac}),
		r.kernel.Apply(DeleteFilters{device, mac}))
}

// EvictPort implements Path.
func (r Redirector) EvictPort(device string, port kernel.FastPathPort) error {
	if port.MAC.IsZero() {
		return nil
	}
	return errors.Join(
		r.Evict(device, port.MAC),
		r.kernel.Apply(kernel.DelStatic{Name: port.Name, MAC: port.MAC}))
}

// difference returns what to add, in the order of want, and what to delete, in the order of have. A
// dump may have an entry twice.
func difference[E comparable](want, have []E) (add, del []E) {
	extra := make(map[E]bool, len(have))
	for _, e := range have {
		extra[e] = true
	}
	for _, e := range want {
		if !extra[e] {
			add = append(add, e)
		}
		delete(extra, e)
	}
	for _, e := range have {
		if extra[e] {
			del = append(del, e)
			delete(extra, e)
		}
	}
	return add, del
}
