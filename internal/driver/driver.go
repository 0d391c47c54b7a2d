package driver

import (
	"errors"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// Namespace is an open network namespace.
type Namespace interface {
	reconcile.Namespace
	network.InterfaceLookup
	// ProbeAddresses asks on a device who has the addresses.
	ProbeAddresses(device string, from kernel.ProbeSender, addrs []netip.Addr) ([]kernel.ProbeAnswer, error)
	// VTEP returns the host that a KindVXLAN device sends frames for a MAC to, or an
	// invalid address if it knows none.
	VTEP(device string, mac kernel.MAC) (netip.Addr, error)
	Close()
}

// Driver is the plugin's work. Its fields are what it touches.
type Driver struct {
	// Open opens the network namespace at a path, "" for the host's own.
	Open func(path string) (Namespace, error)
	// StoreDir is where endpoints are recorded.
	StoreDir string
	// Records is kept by a program that begins many sessions; nil: none.
	Records *store.Cache
	// NetworksDir is where Podman keeps its networks' configurations, which
	// tell what other networks hold.
	NetworksDir string
	// SysctlDir is where systemd reads the kernel parameters of devices that
	// appear, "" where it does not run.
	SysctlDir string
	// Zones tells firewalld whom to trust.
	Zones Zones
	// Rootless tells whether Podman runs without privileges.
	Rootless bool
	// Agent answers names.
	Agent Agent
	// DNSPort is where it is to do so, 0 for 53.
	DNSPort uint16
	// Warn tells the user of what does not work and is not needed.
	Warn func(message string)

	noFastPath bool // the kernel is known to lack it
}

// Agent is the host's agent.
type Agent interface {
	// Sync has it act on the store as it is now, and starts it if need be. The error says
	// what is wrong with the network.
	Sync(networkID string) error
	// EndpointAdded is Sync for one more container of a network, which costs the same however many there
	// are. It tells whether the agent has the container announce its addresses.
	EndpointAdded(networkID, containerID string) (announces bool, err error)
	// AssignAddresses has it pick addresses for a container that is in the store, one of each
	// subnet but those of the wanted ones, which nobody else has.
	AssignAddresses(networkID, containerID string, wanted []netip.Addr) ([]netip.Addr, error)
	// StoreChanged tells it, if it runs, that the store has changed.
	StoreChanged()
}

// Zones is firewalld, or nothing where it does not run.
type Zones interface {
	// Trust lets all pass that comes from a device or goes to it.
	Trust(device string) error
	// Untrust undoes Trust.
	Untrust(device string) error
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
	p, err := d.place(r.Network, host)
	if err != nil {
		return netavark.Status{}, err
	}
	e, err := network.ParseEndpoint(p.Network, attachment(namespace, r))
	if err != nil {
		return netavark.Status{}, fmt.Errorf("container %s on network %s: %w", r.ContainerName, p.Name, err)
	}
	container, err := d.Open(namespace)
	if err != nil {
		return netavark.Status{}, err
	}
	defer container.Close()
	var a attached
	if p.Gossip {
		a, err = arrival{d, namespace, r, host, container, p, e}.connect()
	} else {
		a, err = d.connect(p, e, host, container, r.Network)
	}
	if err != nil {
		return netavark.Status{}, err
	}
	if !p.HasNames() {
		if p.AgentPicks() {
			d.Agent.StoreChanged() // it tells other hosts
		}
		return a.status, nil
	}
	status, told := d.withNames(p, r.ContainerID, host, a.status)
	if !told && !a.announced {
		if err := reconcile.Announce(host, container, a.plan); err != nil {
			return netavark.Status{}, errors.Join(err, d.abandon(p, e, host))
		}
	}
	return status, nil
}

// connect builds the endpoint, and takes it back when that fails, under the store's lock.
func (d *Driver) connect(p placed, e network.Endpoint, host, container Namespace, config []byte) (attached, error) {
	st, err := store.Open(d.StoreDir)
	if err != nil {
		return attached{}, err
	}
	defer st.Close()
	b := build{d, st, host}
	if p, err = b.ready(p, e); err != nil {
		return attached{}, err
	}
	a, err := b.attach(p, e, container, config)
	if err != nil {
		return attached{}, errors.Join(err, b.undo(p.Identity, e))
	}
	return a, nil
}

// abandon takes back an endpoint that was built, or begun, and is not to be.
func (d *Driver) abandon(p placed, e network.Endpoint, host Namespace) error {
	st, err := store.Open(d.StoreDir)
	if err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	defer st.Close()
	return build{d, st, host}.undo(p.Identity, e)
}

// ready completes what is known of the network. It comes before anything is recorded, or
// undone: the port may be another container's.
func (b build) ready(p placed, e network.Endpoint) (placed, error) {
	port := plan.Names(p.Identity, []network.Endpoint{e}).Veths[0].Port
	if err := reconcile.CheckName(b.host, port); err != nil {
		return placed{}, err
	}
	p, err := b.known(p)
	if err != nil {
		return placed{}, err
	}
	p.DNSPort, err = b.dnsPort(p.Network)
	return p, err
}

func attachment(namespace string, r netavark.Request) network.AttachRequest {
	return network.AttachRequest{
		ContainerID: r.ContainerID, ContainerName: r.ContainerName,
		Namespace: namespace, Options: r.Options, Ports: r.PortMappings,
	}
}

// Teardown disconnects a container, and removes the network's devices with the
// last one. It does not ask whether the network's options are still valid.
func (d *Driver) Teardown(_ string, r netavark.Request) error {
	if d.Rootless {
		return errRootless
	}
	id, err := network.ParseIdentity(r.Network)
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
	e := network.Endpoint{ContainerID: r.ContainerID, HostInterface: network.HostInterface(r.Options)}
	st, err := store.Open(d.StoreDir)
	if err != nil {
		// The container's own veth is nobody else's business, lock or no lock.
		// The network's devices may be: the next teardown removes them.
		return errors.Join(err, reconcile.RemovePort(host, plan.Names(id, []network.Endpoint{e}).Veths[0].Port))
	}
	defer d.Agent.StoreChanged() // without the lock
	defer st.Close()
	return build{d, st, host}.detach(id, e)
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
