package driver

import (
	"errors"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// Namespace is an open network namespace.
type Namespace interface {
	reconcile.Namespace
	network.Host
	Close()
}

// Driver is the plugin's work. Its fields are what it touches.
type Driver struct {
	// Open opens the network namespace at a path, "" for the host's own.
	Open func(path string) (Namespace, error)
	// StoreDir is where endpoints are recorded.
	StoreDir string
	// NetworksDir is where Podman keeps its networks' configurations, which
	// tell what other networks hold.
	NetworksDir string
	// Rootless tells whether Podman runs without privileges.
	Rootless bool
}

var _ netavark.Plugin = (*Driver)(nil)

// errRootless says why, since Podman's own message would not.
var errRootless = errors.New("rootless Podman cannot use vxlan networks: its network namespace has no physical interface to send from; run podman as root")

// Setup connects a container to a network.
func (d *Driver) Setup(namespace string, r netavark.Request) (netavark.Status, error) {
	if d.Rootless {
		return netavark.Status{}, errRootless
	}
	host, err := d.Open("")
	if err != nil {
		return netavark.Status{}, err
	}
	defer host.Close()
	n, v, err := network.Parse(r.Network, host)
	if err != nil {
		return netavark.Status{}, fmt.Errorf("network: %w", err)
	}
	e, err := network.ParseEndpoint(n, r.ContainerID, r.ContainerName, namespace, r.Options)
	if err != nil {
		return netavark.Status{}, fmt.Errorf("container %s on network %s: %w", r.ContainerName, n.Name, err)
	}
	container, err := d.Open(namespace)
	if err != nil {
		return netavark.Status{}, err
	}
	defer container.Close()
	st, err := store.Open(d.StoreDir)
	if err != nil {
		return netavark.Status{}, err
	}
	defer st.Close()

	status, err := attach(st, host, container, n, v, e, r)
	if err != nil {
		return netavark.Status{}, errors.Join(err, undo(st, host, n.Identity, e.ContainerID))
	}
	return status, nil
}

// attach records the endpoint, then builds it.
func attach(st *store.Store, host, container Namespace, n network.Network, v network.VTEP, e network.Endpoint, r netavark.Request) (netavark.Status, error) {
	record := store.Record{Endpoint: e, PortMappings: r.PortMappings}
	if err := st.Put(n.ID, r.Network, record); err != nil {
		return netavark.Status{}, err
	}
	s := plan.Compute(n, v, []network.Endpoint{e})
	if err := reconcile.Network(host, s); err != nil {
		return netavark.Status{}, err
	}
	for _, wanted := range s.Endpoints {
		if err := reconcile.Endpoint(host, container, wanted); err != nil {
			return netavark.Status{}, err
		}
	}
	if e.MAC.IsZero() {
		l, err := container.Link(e.Interface, 0)
		if err != nil {
			return netavark.Status{}, err
		}
		e.MAC = l.MAC
	}
	return status(n, e), nil
}

// Teardown disconnects a container, and removes the network's devices with the
// last one. It does not ask whether the network's options are still valid.
func (d *Driver) Teardown(_ string, r netavark.Request) error {
	if d.Rootless {
		return errRootless
	}
	id, err := network.Identify(r.Network)
	if err != nil {
		return err
	}
	host, err := d.Open("")
	if err != nil {
		return err
	}
	defer host.Close()
	st, err := store.Open(d.StoreDir)
	if err != nil {
		return err
	}
	defer st.Close()
	return detach(st, host, id, r.ContainerID)
}

// detach removes all it can. The record goes last, and only when the kernel is
// clean.
func detach(st *store.Store, host Namespace, id network.Identity, containerID string) error {
	err := reconcile.RemoveEndpoint(host, id.PortName(containerID))
	if err := errors.Join(err, reconcile.RemoveNetworkIfUnused(host, id)); err != nil {
		return err
	}
	return st.Remove(id.ID, containerID)
}

func undo(st *store.Store, host Namespace, id network.Identity, containerID string) error {
	if err := detach(st, host, id, containerID); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return nil
}

// status is what Podman shows of the endpoint.
func status(n network.Network, e network.Endpoint) netavark.Status {
	iface := netavark.Interface{MAC: e.MAC.String(), Subnets: []netavark.Subnet{}}
	for _, p := range e.Addrs {
		s := netavark.Subnet{IPNet: p}
		if subnet, ok := n.SubnetOf(p.Addr()); ok && subnet.Gateway.IsValid() {
			s.Gateway = &subnet.Gateway
		}
		iface.Subnets = append(iface.Subnets, s)
	}
	return netavark.Status{
		DNSServerIPs: append([]netip.Addr(nil), n.DNSServers...),
		Interfaces:   map[string]netavark.Interface{e.Interface: iface},
	}
}
