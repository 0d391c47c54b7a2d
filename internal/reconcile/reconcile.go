package reconcile

import (
	"errors"
	"fmt"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// Namespace is a network namespace. rtnl.Conn is the real one.
type Namespace interface {
	// Link returns the link of that name or alternative name, or an error that
	// is kernel.ErrNotFound.
	Link(name string, facets kernel.Facets) (kernel.Link, error)
	// Ports returns the names of a bridge's ports.
	Ports(bridge string) ([]string, error)
	// Tunnels returns the namespace's VXLAN devices.
	Tunnels() ([]kernel.Link, error)
	// Apply makes one change.
	Apply(kernel.Change) error
}

// Network makes the host hold the network's bridge and VXLAN device. Where it
// cannot, it does what it can and returns all errors.
func Network(host Namespace, s plan.State) error {
	if err := bridge(host, s.Bridge); err != nil {
		return err
	}
	return device(host, s.Device)
}

func bridge(host Namespace, want kernel.Link) error {
	have, err := host.Link(want.Name, kernel.Addrs)
	switch {
	case errors.Is(err, kernel.ErrNotFound):
		return create(host, want, ours)
	case err != nil:
		return err
	}
	if err := CheckOwner(want, have); err != nil {
		return err
	}
	return apply(host, diff(want, have, ours))
}

// device recreates a VXLAN device whose fixed attributes differ: few of them can
// be changed in place (vxlan_changelink in drivers/net/vxlan/vxlan_core.c), and
// frames lost meanwhile are sent again.
func device(host Namespace, want kernel.Link) error {
	have, err := host.Link(want.Name, kernel.Entries)
	switch {
	case errors.Is(err, kernel.ErrNotFound):
		return createTunnel(host, want)
	case err != nil:
		return err
	}
	if err := CheckOwner(want, have); err != nil {
		return err
	}
	if want.Tunnel.Same(have.Tunnel) {
		return apply(host, diff(want, have, ours))
	}
	if err := host.Apply(kernel.DeleteLink{Name: have.Name}); err != nil {
		return err
	}
	return createTunnel(host, want)
}

// createTunnel names the device that is in the way when there is one.
func createTunnel(host Namespace, want kernel.Link) error {
	err := create(host, want, ours)
	if err == nil {
		return nil
	}
	tunnels, listErr := host.Tunnels()
	if listErr != nil {
		return errors.Join(err, listErr)
	}
	for _, t := range tunnels {
		if why := want.Tunnel.Conflict(t.Tunnel); why != "" && t.Name != want.Name {
			return fmt.Errorf("%w\n%s device %s", err, why, t.Name)
		}
	}
	return err
}

// Endpoint makes the host and the container hold the container's veth. The
// network's bridge must be there.
//
// The two ends are one object, so when the container's end is missing the host's
// end that may be left is of an earlier namespace and goes.
func Endpoint(host, container Namespace, e plan.Endpoint) error {
	inside, err := container.Link(e.Container.Name, kernel.Addrs|kernel.Routes)
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return err
	}
	outside, outsideErr := host.Link(e.Port.Name, 0)
	if outsideErr != nil && !errors.Is(outsideErr, kernel.ErrNotFound) {
		return outsideErr
	}
	if err == nil && outsideErr == nil && inside.Alias == e.Container.Alias {
		return errors.Join(
			apply(host, diff(e.Port, outside, ours)),
			apply(container, diff(e.Container, inside, shared)))
	}
	if outsideErr == nil {
		if err := host.Apply(kernel.DeleteLink{Name: outside.Name}); err != nil {
			return err
		}
	}
	if err := create(host, e.Port, ours); err != nil {
		return err
	}
	return apply(container, diff(e.Container, created(e.Container), shared))
}

// RemoveEndpoint removes the veth whose host's end is port, if it is there.
func RemoveEndpoint(host Namespace, port string) error {
	return host.Apply(kernel.DeleteLink{Name: port})
}

// RemoveNetworkIfUnused removes a network's devices when no port but the VXLAN
// device is left on its bridge.
func RemoveNetworkIfUnused(host Namespace, id network.Identity) error {
	ports, err := host.Ports(id.Bridge.Name)
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return err
	}
	for _, p := range ports {
		if p != id.Device.Name {
			return nil
		}
	}
	// The VXLAN device first: while it is there, it takes packets.
	return errors.Join(
		removeOwned(host, kernel.Link{Name: id.Device.Name, Kind: kernel.VXLAN, Alias: id.Alias()}),
		removeOwned(host, kernel.Link{Name: id.Bridge.Name, Kind: kernel.Bridge, Alias: id.Alias()}))
}

// removeOwned leaves a link alone that something else made.
func removeOwned(host Namespace, want kernel.Link) error {
	have, err := host.Link(want.Name, kernel.Addrs)
	if errors.Is(err, kernel.ErrNotFound) || err == nil && CheckOwner(want, have) != nil {
		return nil
	}
	if err != nil {
		return err
	}
	return host.Apply(kernel.DeleteLink{Name: have.Name})
}

// CheckOwner tells who holds the name of a link that this project wants to have,
// or nil if have is that link. A link that was created but not yet marked when
// its maker was interrupted counts as ours: a VXLAN device by its name, a bridge
// when it is down and empty, since a user may have given its name.
func CheckOwner(want, have kernel.Link) error {
	if have.Kind == want.Kind && have.Name == want.Name {
		if have.Alias == want.Alias {
			return nil
		}
		unused := !have.Up && len(have.Addrs) == 0
		if have.Alias == "" && (have.Kind == kernel.VXLAN || unused) {
			return nil
		}
	}
	kind := string(have.Kind)
	if kind == "" {
		kind = "physical"
	}
	return fmt.Errorf("%s %q: the name is held by %s device %q (alias %q), which this network did not make; remove or rename it, or choose another name",
		want.Kind, want.Name, kind, have.Name, have.Alias)
}

// create makes a link and marks it before anything else: a link that is up but
// not marked would later be taken for somebody else's.
func create(ns Namespace, want kernel.Link, owner ownership) error {
	if err := ns.Apply(kernel.CreateLink{Link: want}); err != nil {
		return err
	}
	have := created(want)
	if err := ns.Apply(kernel.SetAlias{Name: want.Name, Alias: want.Alias}); err != nil {
		return errors.Join(err, ns.Apply(kernel.DeleteLink{Name: want.Name}))
	}
	have.Alias = want.Alias
	return apply(ns, diff(want, have, owner))
}

// apply goes on after an error, so that what can work does.
func apply(ns Namespace, changes []kernel.Change) error {
	var errs []error
	for _, c := range changes {
		if err := ns.Apply(c); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
