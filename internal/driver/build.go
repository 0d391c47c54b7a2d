package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"reflect"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// build is a change of what the host has, under the store's lock.
type build struct {
	*Driver
	st   *store.Store
	host Namespace
}

// prepare records the endpoint and sees to all that it shares with others. The firewall
// comes first: no packet is to pass by a device whose rules are not there yet.
func (b build) prepare(p placed, e network.Endpoint, config []byte) (plan.State, error) {
	if err := b.record(p, e, config); err != nil {
		return plan.State{}, err
	}
	if err := b.firewall(p, e); err != nil {
		return plan.State{}, err
	}
	s := plan.Compute(p.Network, p.vtep, []network.Endpoint{e})
	// Where an agent sees to whom is flooded, it has just done so or will, and the entries are
	// as many as the network has containers.
	ensure := reconcile.Network
	if p.vtep.AgentPort != 0 {
		ensure = reconcile.NetworkButEntries
	}
	return s, b.devices(p, s, ensure)
}

// attached is an endpoint that was built.
type attached struct {
	status    netavark.Status
	plan      plan.Veth
	announced bool // its addresses
}

// attach records the endpoint, then builds it. Where there are names, an agent may have it announce its addresses.
func (b build) attach(p placed, e network.Endpoint, container Namespace, config []byte) (attached, error) {
	s, err := b.prepare(p, e, config)
	if err != nil {
		return attached{}, err
	}
	if err := b.checkAddrs(p, e); err != nil {
		return attached{}, err
	}
	wanted := s.Veths[0]
	if err := b.arrive(p, e, wanted); err != nil {
		return attached{}, err
	}
	announced, err := reconcile.Endpoint(b.host, container, wanted)
	if err == nil && !announced && !p.HasNames() {
		announced, err = true, reconcile.Announce(b.host, container, wanted)
	}
	if err != nil {
		return attached{}, err
	}
	if err := b.reattach(p); err != nil {
		return attached{}, err
	}
	if e.MAC.IsZero() {
		l, err := container.Link(e.Interface, 0)
		if err != nil {
			return attached{}, err
		}
		e.MAC = l.MAC
	}
	return attached{status(p.Network, e), wanted, announced}, nil
}

// record keeps the time of an endpoint's first setup, which decides who has a
// port that two claim.
func (b build) record(p placed, e network.Endpoint, config []byte) error {
	now, err := sinceBoot()
	if err != nil {
		return err
	}
	r := store.Record{Endpoint: e, SetUp: now, PortSecurity: p.PortSecurity}
	old, err := b.st.Record(p.ID, e.ContainerID)
	if err == nil && old.Namespace == e.Namespace {
		r.SetUp = old.SetUp
	}
	// What an interrupted setup left of other addresses or ports.
	if err == nil && !reflect.DeepEqual(old.Endpoint, e) {
		port := plan.Names(p.Identity, []network.Endpoint{old.Endpoint}).Veths[0].Port
		err := errors.Join(
			b.unpublish(p.Identity, old), b.unguard(p.Identity, old),
			b.host.EvictFastPathPort(p.Device.Name, kernel.FastPathPort{Name: port.Name, MAC: old.MAC}))
		if err != nil {
			return err
		}
	}
	return b.st.PutEndpoint(p.ID, config, p.vtep, r)
}

// sinceBoot is the time by a clock that cannot be set. By the time of day, a container
// whose teardown was lost could take its port back from the one that has it now, after the clock
// was set back between their starts.
func sinceBoot() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0, fmt.Errorf("read clock: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// devices builds the bridge and the KindVXLAN device, and sees to it that nothing else
// on the host undoes their settings.
func (b build) devices(p placed, s plan.State, ensure func(reconcile.Namespace, plan.State) error) error {
	// Without what only some containers need.
	if err := b.keepSysctls(plan.Compute(p.Network, p.vtep, nil).Bridge); err != nil {
		return err
	}
	if err := ensure(b.host, s); err != nil {
		return err
	}
	return b.Zones.Trust(p.Bridge.Name)
}

func (b build) firewall(p placed, e network.Endpoint) error {
	others, err := b.st.HasEndpointsExcept(p.ID, e.ContainerID)
	if err != nil {
		return err
	}
	return reconcile.Firewall(b.host, reconcile.Elements{
		Mark:     plan.NetworkFingerprint(p.Network, p.vtep, p.others),
		Network:  p.elements,
		First:    !others,
		Endpoint: plan.EndpointFirewall(p.Network, e),
		All: func() ([]kernel.Element, error) {
			claims, err := b.claims(p)
			// What another network lacks is not this one's problem; `vxlanctl reload` reports it.
			others, _ := b.claimsBut(p.ID)
			return settle(append(claims, others...)), err
		},
	})
}

// reattach puts back on the bridge the ports of other containers that are on none,
// as when somebody deleted the bridge. Only those are looked at, and known by their mark. An agent does so by itself.
func (b build) reattach(p placed) error {
	if p.vtep.AgentPort != 0 {
		return nil
	}
	loose, err := b.host.UnattachedLinks()
	errs := []error{err}
	for _, l := range loose {
		if id := p.ContainerOf(l.Alias); id != "" {
			errs = append(errs, b.reattachPort(p, id))
		}
	}
	return errors.Join(errs...)
}

// reattachPort leaves alone what is left of a container that is not in the store.
func (b build) reattachPort(p placed, containerID string) error {
	r, err := b.st.Record(p.ID, containerID)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	port := plan.Compute(p.Network, p.vtep, []network.Endpoint{r.Endpoint}).Veths[0].Port
	return reconcile.Port(b.host, port)
}

// detach removes all it can. The record goes last, and only when the kernel is
// clean. e needs no more than what names the endpoint; the rest is in the record.
func (b build) detach(id network.Identity, e network.Endpoint) error {
	var err error
	r, recordErr := b.st.Record(id.ID, e.ContainerID)
	if recordErr != nil {
		// It may have been secured; but a name of the user's choice may be another container's.
		r = store.Record{Endpoint: e, PortSecurity: e.HostInterface == ""}
		// One that is there and cannot be read now has ports that must go. It stays for the next teardown.
		if unreadable(recordErr) {
			err = recordErr
		}
	}
	own := plan.Names(id, []network.Endpoint{r.Endpoint}).Veths[0]
	// What leads to a link goes before it, and what guards it goes after it. So nftables, where a program that
	// has deleted something waits for RCU when it closes its socket, waits meanwhile.
	err = errors.Join(err, b.host.EvictFastPath(id.Device.Name, r.MAC), b.unpublish(id, r))
	used, usedErr := reconcile.Remove(b.host, own.Port, plan.Names(id, nil), b.otherPorts(id, e.ContainerID))
	err = errors.Join(err, usedErr, b.unguard(id, r))
	switch {
	case usedErr != nil:
	case used:
		err = errors.Join(err, b.stopLocalnet(id, r.Endpoint))
	default:
		err = errors.Join(err, b.forget(id))
	}
	if err != nil {
		return err
	}
	return b.st.RemoveEndpoint(id.ID, e.ContainerID)
}

// otherPorts iterates over the names of the other containers' ports.
func (b build) otherPorts(id network.Identity, containerID string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for other, err := range b.st.EndpointsExcept(id.ID, containerID) {
			e := network.Endpoint{ContainerID: other}
			var named bool
			if err == nil {
				named, err = b.st.HasCustomPortName(id.ID, other)
			}
			if named {
				var r store.Record
				r, err = b.st.Record(id.ID, other)
				e.HostInterface = r.HostInterface
			}
			if !yield(id.Port(e), err) {
				return
			}
		}
	}
}

// unpublish takes an endpoint's ports out of the firewall. One that the container publishes on
// another network too goes on there. Whatever the network's options, only what is there is removed.
func (b build) unpublish(id network.Identity, r store.Record) error {
	if len(r.Ports) == 0 {
		return nil
	}
	err := reconcile.RemoveElements(b.host, plan.Published(network.Network{Identity: id}, r.Endpoint))
	return errors.Join(err, b.publishElsewhere(id, r.ContainerID))
}

// unguard takes out what guarded its port.
func (b build) unguard(id network.Identity, r store.Record) error {
	n := network.Network{Identity: id, PortSecurity: r.PortSecurity}
	return reconcile.RemoveElements(b.host, plan.Guards(n, r.Endpoint))
}

// stopLocalnet ends what only published ports need when e was the last to publish any.
func (b build) stopLocalnet(id network.Identity, e network.Endpoint) error {
	if len(e.Ports) == 0 {
		return nil
	}
	publishing, err := b.st.PublishingEndpoints(id.ID)
	if err != nil || slices.ContainsFunc(publishing, func(id string) bool { return id != e.ContainerID }) {
		return err
	}
	return reconcile.Sysctl(b.host, plan.RouteLocalnet(id, false))
}

func (b build) publishElsewhere(id network.Identity, containerID string) error {
	networks, err := b.st.Networks()
	errs := []error{err}
	for _, other := range networks {
		if other == id.ID {
			continue
		}
		r, err := b.st.Record(other, containerID)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		if len(r.Ports) == 0 {
			continue
		}
		claims, err := b.claimsOf(other)
		errs = append(errs, err)
		for _, c := range claims {
			if c.container != containerID {
				continue
			}
			// One by one: of two networks each may have some of the ports already.
			err := reconcile.AddElements(b.host, []kernel.Element{*c.Element})
			if !errors.Is(err, kernel.ErrElementTaken) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// forget removes what a network has on the host besides its devices, which are gone.
func (b build) forget(id network.Identity) error {
	err := errors.Join(b.dropSysctls(id), b.Zones.Untrust(id.Bridge.Name), b.host.RemoveFastPath(id.Device.Name))
	networks, listErr := b.st.Networks()
	networks = slices.DeleteFunc(networks, func(other string) bool { return other == id.ID })
	switch {
	case listErr != nil:
		return errors.Join(err, listErr)
	case len(networks) == 0:
		return errors.Join(err, reconcile.RemoveFirewall(b.host))
	}
	return errors.Join(err, b.forgetElements(id))
}

// forgetElements leaves what another network needs too, such as a host that is a member of both.
func (b build) forgetElements(id network.Identity) error {
	claims, err := b.claimsBut(id.ID)
	if unreadable(err) {
		return err // the others' needs are not known
	}
	shared := settle(claims)
	p, err := b.stored(id.ID)
	if err != nil {
		// Without its configuration nobody knows what it had; so all is set anew without it.
		return reconcile.ResetFirewall(b.host, shared)
	}
	return reconcile.RemoveElements(b.host, without(p.elements(), shared))
}

func (b build) undo(id network.Identity, e network.Endpoint) error {
	if err := b.detach(id, e); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return nil
}
