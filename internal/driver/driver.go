package driver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

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
	if err := reattach(st, host, n, v); err != nil {
		return netavark.Status{}, err
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

// reattach puts back on the bridge the ports of other containers that are not on
// it, as when somebody deleted the bridge. Only those are looked at, so the cost
// of a start does not grow with the number of containers.
func reattach(st *store.Store, host Namespace, n network.Network, v network.VTEP) error {
	ids, err := st.Endpoints(n.ID)
	if err != nil {
		return err
	}
	ports, err := host.Ports(n.Bridge.Name)
	if err != nil {
		return err
	}
	on := make(map[string]bool)
	for _, p := range ports {
		on[p] = true
	}
	var errs []error
	for _, id := range ids {
		if on[n.PortName(id)] {
			continue
		}
		r, err := st.Record(n.ID, id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, e := range plan.Compute(n, v, []network.Endpoint{r.Endpoint}).Endpoints {
			errs = append(errs, reconcile.Port(host, e.Port))
		}
	}
	return errors.Join(errs...)
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
	if err := network.CheckContainerID(r.ContainerID); err != nil {
		return err
	}
	host, err := d.Open("")
	if err != nil {
		return err
	}
	defer host.Close()
	st, err := store.Open(d.StoreDir)
	if err != nil {
		// The container's own veth is nobody else's business, lock or no lock.
		// The network's devices may be: the next teardown removes them.
		own := plan.Names(id, []string{r.ContainerID}).Endpoints[0]
		return errors.Join(err, reconcile.RemovePort(host, own.Port))
	}
	defer st.Close()
	return detach(st, host, id, r.ContainerID)
}

// detach removes all it can. The record goes last, and only when the kernel is
// clean.
func detach(st *store.Store, host Namespace, id network.Identity, containerID string) error {
	ids, err := st.Endpoints(id.ID)
	others := slices.DeleteFunc(ids, func(id string) bool { return id == containerID })
	own := plan.Names(id, []string{containerID}).Endpoints[0]
	err = errors.Join(err, reconcile.RemovePort(host, own.Port))
	err = errors.Join(err, reconcile.RemoveNetworkIfUnused(host, plan.Names(id, others)))
	if err != nil {
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
