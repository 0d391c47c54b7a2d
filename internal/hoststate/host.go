package hoststate

import (
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// Namespace is an open network namespace.
type Namespace interface {
	reconcile.Namespace
	network.InterfaceLookup
	Foreign
	Docker
	// NeighbourTables returns the kernel's tables of neighbours.
	NeighbourTables() ([]kernel.NeighbourTable, error)
	Close()
}

// Zones is firewalld, or nothing where it does not run.
type Zones interface {
	// Trust lets all pass that comes from a device or goes to it.
	Trust(device string) error
	// Untrust undoes Trust.
	Untrust(device string) error
}

// Host is this host. Its fields are what is touched of it.
type Host struct {
	// Open opens the network namespace at a path, "" for the host's own.
	Open func(path string) (Namespace, error)
	// NamespaceGone tells whether there is no network namespace at a path any more; nil: all are
	// there.
	NamespaceGone func(path string) bool
	// StoreDir is where endpoints are recorded.
	StoreDir string
	// Records caches records for a program that begins many sessions; nil: no cache.
	Records *store.Cache
	// Interrupt is closed when the program is to end. From then on nobody waits long for the
	// store's lock; nil: everybody waits.
	Interrupt <-chan struct{}
	// NetworksDir is where Podman keeps its networks' configurations. They show which names, VNIs
	// and subnets other networks use.
	NetworksDir string
	// ResolvConfs are files that may name the host's name servers (resolv.conf(5)).
	ResolvConfs []string
	// SysctlDir is where systemd reads the kernel parameters of devices that appear, "" where it
	// does not run.
	SysctlDir string
	// Zones trusts each network's bridge.
	Zones Zones
	// DNSPort is where Podman wants names to be answered (dns_bind_port); 0: nowhere in particular.
	DNSPort uint16
	// ForwardSetsFlood says that Forward is called after Reconcile, and sets the flood entries of
	// devices that exist. Reconcile would have to list all entries for them.
	ForwardSetsFlood bool
	// FirewallInSteps says that Reconcile is called again after it has set the first elements of a
	// firewall. See Session.FirewallUnfinished.
	FirewallInSteps bool
	// FastPathChecksSenders tells whether the fast path of a VXLAN device does what port security
	// asks for; nil: none does.
	FastPathChecksSenders func(device string) bool
	// AttachNext does a part of what is unfinished of the fast path of a VXLAN device; nil: nothing ever is.
	AttachNext func(device string) error
	// Warn shows the user a failure that does not keep a container from starting.
	Warn func(message string)

	noFastPath bool // the kernel is known to lack it
	dryRun     bool // nothing is written to the store; see Inspect
}

// isGone tells whether there is no network namespace at the path any more.
func (h *Host) isGone(namespace string) bool {
	return h.NamespaceGone != nil && h.NamespaceGone(namespace)
}

// Record reads a container's record. That takes no lock, since a record is replaced as a whole.
func (h *Host) Record(networkID, containerID string) (store.Record, error) {
	return store.ReadRecord(h.StoreDir, networkID, containerID)
}

// ProbeAddresses asks the network's other hosts whether they have addresses that a container is
// about to get. For each one in use it returns an error that says who has it. It takes no lock.
func (h *Host) ProbeAddresses(n Network, e network.Endpoint, addrs []netip.Addr) (map[netip.Addr]error, error) {
	ns, err := h.Open("")
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return reconcile.ProbeAddresses(ns, plan.Probe(n.placed(), e, addrs))
}
