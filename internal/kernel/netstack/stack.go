package netstack

import (
	"cmp"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/addrprobe"
	"vxlan-driver/internal/kernel/conntrack"
	"vxlan-driver/internal/kernel/ethtool"
	"vxlan-driver/internal/kernel/fastpath"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/nft"
	"vxlan-driver/internal/kernel/rtnl"
)

// Stack is an open network namespace.
type Stack struct {
	*rtnl.Conn
	path     string
	firewall *nft.Conn // opened when first used: of a container's namespace, never
	// Pins is where eBPF programs are pinned; "": where fastpath.NamespacePins says.
	Pins string
	// setFastPath sets up a fast path; nil: Stack only removes what there is.
	setFastPath func(fastpath.Redirector, kernel.FastPath) error
}

// Open opens the namespace at path, or for "" the one that the caller is in.
func Open(path string) (*Stack, error) {
	c, err := rtnl.Open(path)
	if err != nil {
		return nil, err
	}
	return &Stack{Conn: c, path: path}, nil
}

// OpenWithFastPath is Open for who sets up fast paths. The plugin only removes them, and is smaller
// without this code.
func OpenWithFastPath(path string) (*Stack, error) {
	ns, err := Open(path)
	if err != nil {
		return nil, err
	}
	ns.setFastPath = fastpath.Redirector.Set
	return ns, nil
}

// Close closes the namespace's connections.
func (ns *Stack) Close() {
	ns.Conn.Close()
	if ns.firewall != nil {
		ns.firewall.Close()
	}
}

// Apply makes a change.
func (ns *Stack) Apply(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.SetSysctls:
		return ns.setSysctls(c)
	case kernel.SetFirewall, kernel.DeleteFirewall, kernel.AddElements, kernel.DelElements, kernel.ReplaceElements:
		conn, err := ns.firewallConn()
		if err != nil {
			return err
		}
		return conn.Apply(c)
	case kernel.SetTXChecksum:
		return ns.setTXChecksum(c)
	case kernel.DeleteFlows:
		return ns.deleteFlows(c)
	}
	return ns.Conn.Apply(c)
}

// Link returns the link with the name or alternative name, or an error that is kernel.ErrNotFound.
func (ns *Stack) Link(name string, f kernel.Facets) (kernel.Link, error) {
	l, err := ns.Conn.Link(name, f)
	if err != nil || f&kernel.FacetOffload == 0 {
		return l, err
	}
	l.TXChecksum, err = ns.txChecksum(l.Name)
	return l, err
}

// FirewallIntact tells whether the firewall has this program's rules.
func (ns *Stack) FirewallIntact() (bool, error) {
	conn, err := ns.firewallConn()
	if err != nil {
		return false, err
	}
	return conn.RulesIntact()
}

// FirewallOfOtherVersion tells whether the firewall has the rules of another version of this
// program.
func (ns *Stack) FirewallOfOtherVersion() (bool, error) {
	conn, err := ns.firewallConn()
	if err != nil {
		return false, err
	}
	return conn.OtherVersion()
}

// FirewallElements returns the elements that the firewall has.
func (ns *Stack) FirewallElements() ([]kernel.Element, error) {
	conn, err := ns.firewallConn()
	if err != nil {
		return nil, err
	}
	return conn.Elements()
}

// ForeignFilters returns the tables of other programs that have a chain which may drop packets.
func (ns *Stack) ForeignFilters() ([]kernel.FilterTable, error) {
	conn, err := ns.firewallConn()
	if err != nil {
		return nil, err
	}
	return conn.ForeignFilters()
}

// FilteredDevices returns the devices on which other programs filter what comes in or goes out, and by
// which table.
func (ns *Stack) FilteredDevices() (map[string]string, error) {
	conn, err := ns.firewallConn()
	if err != nil {
		return nil, err
	}
	return conn.FilteredDevices()
}

// AcceptedInDocker returns the bridges that AcceptInDocker has let pass, and whether all rules of
// each are there.
func (ns *Stack) AcceptedInDocker() (map[string]bool, error) {
	conn, err := ns.firewallConn()
	if err != nil {
		return nil, err
	}
	return conn.AcceptedInDocker()
}

// AcceptInDocker lets a bridge's packets pass Docker's rules.
func (ns *Stack) AcceptInDocker(bridge string) error {
	conn, err := ns.firewallConn()
	if err != nil {
		return err
	}
	return conn.AcceptInDocker(bridge)
}

// ForgetInDocker undoes AcceptInDocker.
func (ns *Stack) ForgetInDocker(bridge string) error {
	conn, err := ns.firewallConn()
	if err != nil {
		return err
	}
	return conn.ForgetInDocker(bridge)
}

// ElementComment returns the comment of the element with e's key.
func (ns *Stack) ElementComment(e kernel.Element) (comment string, ok bool, err error) {
	conn, err := ns.firewallConn()
	if err != nil {
		return "", false, err
	}
	return conn.ElementComment(e)
}

// SetFastPath makes a network's fast path what is wanted, and removes one that leads nowhere. The
// error is kernel.ErrNoFastPath where the kernel cannot do it. A Stack that Open has opened removes
// the fast path, and what an agent that was killed has left of it: packets pass the bridge.
func (ns *Stack) SetFastPath(want kernel.FastPath) error {
	if ns.setFastPath == nil {
		return cmp.Or(fastpath.RemovePinned(ns.pins(), want.Device), ns.FastPath().RemoveAll(want.Device))
	}
	return ns.setFastPath(ns.FastPath(), want)
}

// FastPathRemote returns the MACs on other hosts that packets are sent to past the bridge.
func (ns *Stack) FastPathRemote(want kernel.FastPath) ([]kernel.MAC, error) {
	return ns.FastPath().Remote(want.Device)
}

// EvictFastPath sends packets for a MAC, and from the port with it, through the bridge again.
func (ns *Stack) EvictFastPath(device string, mac kernel.MAC) error {
	return cmp.Or(fastpath.EvictPinned(ns.pins(), device, mac, ns.Index), ns.FastPath().Evict(device, mac))
}

// EvictFastPathPort is EvictFastPath for a port that stays: the bridge forgets that the MAC is
// there.
func (ns *Stack) EvictFastPathPort(device string, port kernel.FastPathPort) error {
	return cmp.Or(fastpath.EvictPinned(ns.pins(), device, port.MAC, ns.Index), ns.FastPath().EvictPort(device, port))
}

// RemoveFastPath removes what would outlive a VXLAN device that is about to go or has gone.
func (ns *Stack) RemoveFastPath(device string) error {
	return cmp.Or(fastpath.RemovePinned(ns.pins(), device), ns.FastPath().Remove(device))
}

// pins is where eBPF programs of the namespace are pinned.
func (ns *Stack) pins() string {
	if ns.Pins == "" {
		ns.Pins = fastpath.NamespacePins(ns.path)
	}
	return ns.Pins
}

// FastPath returns the fast path of nftables and tc.
func (ns *Stack) FastPath() fastpath.Redirector {
	return fastpath.New(fastpath.Namespace{Links: ns.Conn, Firewall: ns.firewallConn})
}

// ProbeAddresses asks on a device who has the addresses.
func (ns *Stack) ProbeAddresses(device string, from kernel.ProbeSender,
	addrs []netip.Addr) (holders []kernel.ProbeAnswer, err error) {
	index, err := ns.Index(device)
	if err != nil {
		return nil, err
	}
	err = ns.inNamespace(func() error {
		holders, err = addrprobe.Probe(index, from, addrs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask on %s who has %v: %w", device, addrs, err)
	}
	return holders, nil
}

func (ns *Stack) firewallConn() (*nft.Conn, error) {
	if ns.firewall == nil {
		conn, err := nft.Open(ns.path)
		if err != nil {
			return nil, err
		}
		ns.firewall = conn
	}
	return ns.firewall, nil
}

func (ns *Stack) txChecksum(name string) (kernel.Opt[bool], error) {
	conn, err := ethtool.Open(ns.path)
	if err != nil {
		return kernel.Opt[bool]{}, err
	}
	defer conn.Close()
	on, err := conn.TXChecksum(name)
	return kernel.Some(on), err
}

func (ns *Stack) setTXChecksum(c kernel.SetTXChecksum) error {
	conn, err := ethtool.Open(ns.path)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.SetTXChecksum(c)
}

func (ns *Stack) deleteFlows(want kernel.DeleteFlows) error {
	conn, err := conntrack.Open(ns.path, ns.OwnAddrs)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.DeleteFlows(want)
}

// inNamespace runs fn in the namespace: /proc/sys/net shows the one of the thread that opens a file
// there.
func (ns *Stack) inNamespace(fn func() error) error { return netns.DoIn(ns.path, fn) }
