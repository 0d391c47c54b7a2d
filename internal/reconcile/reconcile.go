package reconcile

import (
	"errors"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// Namespace is a network namespace. netstack.Stack is the real one.
type Namespace interface {
	// Link returns the link of that name or alternative name, or an error that is
	// kernel.ErrNotFound.
	Link(name string, facets kernel.Facets) (kernel.Link, error)
	// Ports returns the names of a bridge's ports.
	Ports(bridge string) ([]string, error)
	// PortLinks returns a bridge's ports, with no facet but Params.
	PortLinks(bridge string) ([]kernel.Link, error)
	// UnattachedLinks returns the links that are no bridge's ports, without facets.
	UnattachedLinks() ([]kernel.Link, error)
	// Tunnels returns the namespace's VXLAN devices.
	Tunnels() ([]kernel.Link, error)
	// Sysctl reads a kernel parameter; the error of one that is not there is fs.ErrNotExist.
	Sysctl(key string) (string, error)
	// AdvertisedInterfaces returns the interfaces with routes from router advertisements.
	AdvertisedInterfaces() ([]string, error)
	// FirewallIntact tells whether the firewall has this program's rules.
	FirewallIntact() (bool, error)
	// FirewallOfOtherVersion tells whether another version of this program made the firewall.
	FirewallOfOtherVersion() (bool, error)
	// FirewallElements returns the elements that the firewall has, as far as this program's rules
	// have such sets.
	FirewallElements() ([]kernel.Element, error)
	// ElementComment returns the comment of the element with e's key, and whether there is one.
	ElementComment(e kernel.Element) (comment string, ok bool, err error)
	// ForwardingTables returns the entries of a network's forwarding tables: those that neither
	// were learned nor are the kernel's own. With keys it returns only the entries that they name.
	ForwardingTables(bridge, device string, only *kernel.ForwardingKeys) (kernel.ForwardingTables, error)
	// ChangeForwardingTables makes changes of their entries.
	ChangeForwardingTables(kernel.ForwardingChanges) error
	// PortFlags returns how a bridge treats its port.
	PortFlags(name string) (kernel.PortFlags, error)
	// SetPort changes that.
	SetPort(name string, f kernel.PortFlags) error
	// SetFastPath makes a network's fast path what is wanted, and removes one that leads nowhere.
	// The forwarding entries must be there first. The error is kernel.ErrNoFastPath if the kernel
	// cannot do it.
	SetFastPath(want kernel.FastPath) error
	// FastPathRemote returns the MACs on other hosts that packets are sent to past the bridge. Of those
	// that are wanted it leaves out one whose packets go elsewhere.
	FastPathRemote(want kernel.FastPath) ([]kernel.MAC, error)
	// EvictFastPath sends packets for a MAC, and from the port with it, through the bridge again.
	EvictFastPath(device string, mac kernel.MAC) error
	// EvictFastPathPort is EvictFastPath for a port that stays: the bridge forgets that the MAC is
	// there.
	EvictFastPathPort(device string, port kernel.FastPathPort) error
	// RemoveFastPath removes what would outlive a VXLAN device that is being deleted or was
	// deleted.
	RemoveFastPath(device string) error
	// ProbeAddresses asks on a device who has the addresses.
	ProbeAddresses(device string, from kernel.ProbeSender, addrs []netip.Addr) ([]kernel.ProbeAnswer, error)
	// VTEP returns the host that a VXLAN device sends frames for a MAC to, or an invalid address if
	// it knows none.
	VTEP(device string, mac kernel.MAC) (netip.Addr, error)
	// Apply makes one change.
	Apply(kernel.Change) error
}

// Namespaces are those that a plan is about.
type Namespaces struct {
	Host      Namespace
	Container Namespace // of the container that the plan connects, announces or resizes; else nil
}

// Report is what Apply found or did besides what was wanted.
type Report struct {
	// Announced says that the container has announced its addresses, now or by an earlier run.
	Announced bool
	// MAC is that of the interface of the container that was connected.
	MAC kernel.MAC
	// DevicesReady says that the network's devices are as wanted.
	DevicesReady bool
	// DevicesMade says that the network's bridge was made.
	DevicesMade bool
	// DevicesGone says that the network's devices went with its last container.
	DevicesGone bool
	// FlowsErr says why flows keep their old translation. No container waits for them, or stays.
	FlowsErr error
	// FirewallReset tells that a firewall that lacked something was set anew.
	FirewallReset bool
	// FirewallUnfinished tells that the firewall lacks elements that a further run adds.
	FirewallUnfinished bool
	// StaleFlows are ports whose flows are still to be forgotten, of a plan that leaves that for later.
	StaleFlows []kernel.Publication
	// FastPathUnfinished tells that a further run sets up the rest of the fast path.
	FastPathUnfinished bool
	// NoFastPath says why the kernel has no fast path. Packets pass the bridge then.
	NoFastPath error
}

// Apply makes the kernel hold what a plan wants. Each part does all that it can, and returns all
// its errors. The devices need the firewall, and the container needs the devices. So Apply stops
// after the first of these that fails.
func Apply(on Namespaces, p plan.Plan) (r Report, err error) {
	host := &flowsApart{Namespace: on.Host, isLater: p.FlowsLater}
	on.Host = host
	defer func() { r.FlowsErr, r.StaleFlows = host.err, host.stale }()
	if p.Disconnect != nil {
		r.DevicesGone, err = disconnectContainer(on.Host, p.Disconnect)
	}
	if p.RemoveFastPath != "" {
		err = errors.Join(err, on.Host.RemoveFastPath(p.RemoveFastPath))
	}
	if p.Firewall != nil {
		if firewallErr := ensureFirewall(on.Host, p.Firewall, &r); firewallErr != nil {
			return r, errors.Join(err, firewallErr)
		}
	}
	err = errors.Join(err, forgetFlows(on.Host, kernel.DeleteFlows{Stale: p.StaleFlows}))
	if p.Network != nil {
		networkErr := ensureNetwork(on.Host, p.Network, &r)
		if err = errors.Join(err, networkErr); networkErr != nil {
			return r, err
		}
	}
	if p.Connect != nil {
		err = errors.Join(err, connectContainer(on, p.Connect, &r))
	}
	if p.Announce != nil {
		err = errors.Join(err, announceUnaltered(on, p.Announce))
	}
	if p.Resize != nil {
		err = errors.Join(err, resizeInterface(on.Container, p.Resize))
	}
	return r, err
}

// ensureNetwork repairs the forwarding even if a device cannot be repaired.
func ensureNetwork(host Namespace, want *plan.NetworkState, r *Report) error {
	var errs []error
	if want.Devices != nil {
		made, err := ensureDevices(host, want.Devices)
		r.DevicesReady, r.DevicesMade = err == nil, made
		errs = append(errs, err)
	}
	if len(want.Ports) > 0 && r.DevicesReady {
		errs = append(errs, ensurePorts(host, want.Devices.Bridge.Name, want.Ports))
	}
	if want.Forwarding != nil {
		errs = append(errs, ensureForwarding(host, *want.Forwarding, r))
	}
	return errors.Join(errs...)
}
