package fakekernel

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/kernel"
)

// ErrInjected is the error of a call that FailAt or DieAt names.
var ErrInjected = errors.New("injected fault")

// Kernel holds namespaces by path; "" is the host's.
type Kernel struct {
	// FailAt makes the call of that number fail once, counting from 1 over all calls that reach the
	// kernel; 0 fails none.
	FailAt int
	// FlowsErr is the error of connection tracking, whenever it is asked to forget flows.
	FlowsErr error
	// DieAt makes the call of that number and all after it fail, as if the process had been killed
	// there; 0 never.
	DieAt int
	// Calls counts them.
	Calls int
	// Dumps counts those that list a table whose size grows with the number of other hosts.
	Dumps int
	// Looks counts the forwarding entries that were asked for one by one.
	Looks int
	// Log has the changes made, as commands.
	Log []string

	spaces map[string]*Namespace
	links  int // ever made, for MAC addresses
}

// New returns a kernel with a host namespace and empty ones at the paths.
func New(paths ...string) *Kernel {
	k := &Kernel{spaces: make(map[string]*Namespace)}
	for _, p := range append(paths, "") {
		k.spaces[p] = newNamespace(k)
	}
	return k
}

// Open returns the namespace at path.
func (k *Kernel) Open(path string) (*Namespace, error) {
	if err := k.call(); err != nil {
		return nil, err
	}
	ns, ok := k.spaces[path]
	if !ok {
		return nil, fmt.Errorf("open namespace %s: %w", path, fs.ErrNotExist)
	}
	return ns, nil
}

// HostNamespace returns the host's namespace without counting a call.
func (k *Kernel) HostNamespace() *Namespace { return k.spaces[""] }

// RemoveNamespace removes a namespace with all in it, as the kernel does when the last process has
// left.
func (k *Kernel) RemoveNamespace(path string) {
	ns := k.spaces[path]
	for len(ns.links) > 0 {
		ns.remove(ns.links[0].Name)
	}
	delete(k.spaces, path)
}

func (k *Kernel) call() error {
	k.Calls++
	if k.Calls == k.FailAt || k.DieAt > 0 && k.Calls >= k.DieAt {
		return ErrInjected
	}
	return nil
}

// Namespace is a network namespace.
type Namespace struct {
	*stack
	linkView
	forwarding
	firewall

	// NoFastPath makes the kernel lack what a fast path takes.
	NoFastPath bool
	// Advertised are interfaces with routes from router advertisements.
	Advertised []string
	// NoVXLAN makes the kernel lack VXLAN devices.
	NoVXLAN bool
	// Filters are tables of other programs.
	Filters []kernel.FilterTable
	// FiltersErr is the error of looking at them.
	FiltersErr error
	// DockerAccepts are the bridges that Docker's rules let pass.
	DockerAccepts []string
	// Neighbours are the tables of neighbours.
	Neighbours []kernel.NeighbourTable
	// ProbeAnswers says who answers for addresses on whatever device, and from which host.
	ProbeAnswers map[kernel.ProbeAnswer]netip.Addr
}

func newNamespace(k *Kernel) *Namespace {
	s := &stack{kernel: k}
	return &Namespace{stack: s, linkView: linkView{s}, forwarding: forwarding{s}, firewall: firewall{owner: k}}
}

// stack is what a namespace holds besides its firewall.
type stack struct {
	kernel         *Kernel
	links          []*link
	sysctls        map[string]string         // of the namespace as a whole
	fastPathTables map[string]*fastPathTable // by VXLAN device
}

// linkView shows links, and what somebody else does to them.
type linkView struct{ *stack }

// forwarding has the forwarding tables.
type forwarding struct{ *stack }

// ProbeAddresses answers from ProbeAnswers.
func (ns *Namespace) ProbeAddresses(_ string, _ kernel.ProbeSender, addrs []netip.Addr) ([]kernel.ProbeAnswer, error) {
	var all []kernel.ProbeAnswer
	for h := range ns.ProbeAnswers {
		if slices.Contains(addrs, h.Addr) {
			all = append(all, h)
		}
	}
	return all, ns.kernel.call()
}

// NeighbourTables implements hoststate.Namespace.
func (ns *Namespace) NeighbourTables() ([]kernel.NeighbourTable, error) {
	return ns.Neighbours, ns.kernel.call()
}

// VTEP answers from ProbeAnswers.
func (ns *Namespace) VTEP(_ string, mac kernel.MAC) (netip.Addr, error) {
	for h, vtep := range ns.ProbeAnswers {
		if h.MAC == mac {
			return vtep, nil
		}
	}
	return netip.Addr{}, ns.kernel.call()
}

type link struct {
	kernel.Link
	sysctls   map[string]string
	peer      *link
	peerSpace *stack

	port       kernel.PortFlags   // of a bridge's port
	static     []kernel.MAC       // of a bridge's port
	neighbours []kernel.Neighbour // permanent

	filters []kernel.FastPathPort // of a VXLAN device's ingress; nil: none can be added
}

// params are those of its parameters that were set, in the order of their keys.
func (l *link) params() (all []kernel.Sysctl) {
	for _, key := range slices.Sorted(maps.Keys(l.sysctls)) {
		all = append(all, kernel.Sysctl{Key: key, Value: l.sysctls[key]})
	}
	return all
}

// Close does nothing: namespaces stay.
func (ns *Namespace) Close() {}

// Links returns what is in the namespace, in order of creation.
func (ns linkView) Links() []kernel.Link {
	var all []kernel.Link
	for _, l := range ns.links {
		all = append(all, clone(l.Link))
	}
	return all
}

// Add puts a link there that the project did not make, such as an underlay interface, or what an
// earlier run left.
func (ns linkView) Add(l kernel.Link) { ns.links = append(ns.links, &link{Link: clone(l)}) }

// Edit changes a link behind the project's back.
func (ns linkView) Edit(name string, change func(*kernel.Link)) { change(&ns.find(name).Link) }

// Remove removes a link behind the project's back.
func (ns linkView) Remove(name string) { ns.remove(name) }

func (s *stack) find(name string) *link {
	for _, l := range s.links {
		if l.Name == name || slices.Contains(l.AltNames, name) {
			return l
		}
	}
	return nil
}

// Link implements reconcile.Namespace.
func (ns linkView) Link(name string, f kernel.Facets) (kernel.Link, error) {
	if err := ns.kernel.call(); err != nil {
		return kernel.Link{}, err
	}
	l := ns.find(name)
	if l == nil {
		return kernel.Link{}, fmt.Errorf("read link %s: %w", name, kernel.ErrNotFound)
	}
	c := clone(l.Link)
	if f&kernel.FacetAddrs == 0 {
		c.Addrs = nil
	}
	if f&kernel.FacetRoutes == 0 {
		c.Routes = nil
	}
	if f&kernel.FacetFDB == 0 {
		c.FDB = nil
	}
	if f&kernel.FacetOffload == 0 {
		c.TXChecksum = kernel.Opt[bool]{}
	}
	if f&kernel.FacetSysctls != 0 {
		c.Sysctls = l.params()
	}
	return c, nil
}

// Ports implements reconcile.Namespace.
func (ns linkView) Ports(bridge string) ([]string, error) {
	if err := ns.kernel.call(); err != nil {
		return nil, err
	}
	if ns.find(bridge) == nil {
		return nil, fmt.Errorf("read ports of %s: %w", bridge, kernel.ErrNotFound)
	}
	var names []string
	for _, l := range ns.links {
		if l.Master == bridge {
			names = append(names, l.Name)
		}
	}
	return names, nil
}

// PortLinks implements reconcile.Namespace.
func (ns linkView) PortLinks(bridge string) ([]kernel.Link, error) {
	names, err := ns.Ports(bridge)
	var links []kernel.Link
	for _, name := range names {
		l := ns.find(name)
		c := clone(l.Link)
		c.Sysctls = l.params()
		links = append(links, c)
	}
	return links, err
}

// UnattachedLinks implements reconcile.Namespace.
func (ns linkView) UnattachedLinks() ([]kernel.Link, error) {
	var loose []kernel.Link
	for _, l := range ns.links {
		if l.Master == "" {
			loose = append(loose, clone(l.Link))
		}
	}
	return loose, ns.kernel.call()
}

// Tunnels implements reconcile.Namespace.
func (ns linkView) Tunnels() ([]kernel.Link, error) {
	if err := ns.kernel.call(); err != nil {
		return nil, err
	}
	var all []kernel.Link
	for _, l := range ns.links {
		if l.Kind == kernel.KindVXLAN {
			all = append(all, clone(l.Link))
		}
	}
	return all, nil
}

// Sysctl implements reconcile.Namespace. A device's parameter is there while the device is, and -1
// until it is set; another is always there, and 0.
func (ns linkView) Sysctl(key string) (string, error) {
	if err := ns.kernel.call(); err != nil {
		return "", err
	}
	if isGlobalSysctl(key) {
		return cmp.Or(ns.sysctls[key], "0"), nil
	}
	l := ns.find(sysctlDevice(key))
	if l == nil {
		return "", fmt.Errorf("read sysctl %s: %w", key, fs.ErrNotExist)
	}
	if value, ok := l.sysctls[key]; ok {
		return value, nil
	}
	return "-1", nil
}

func isGlobalSysctl(key string) bool {
	return sysctlDevice(key) == "all" || len(strings.Split(key, "/")) < 5
}

// sysctlDevice is the fourth part of a key such as net/ipv4/conf/eth0/rp_filter.
func sysctlDevice(key string) string {
	if parts := strings.Split(key, "/"); len(parts) == 5 {
		return parts[3]
	}
	return ""
}

// Apply implements reconcile.Namespace.
func (ns *Namespace) Apply(c kernel.Change) error {
	var err error
	if _, isFlows := c.(kernel.DeleteFlows); !isFlows { // its failure is a warning: see FlowsErr
		err = ns.kernel.call()
	}
	if err == nil {
		err = ns.applyChange(c)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	ns.kernel.Log = append(ns.kernel.Log, c.String())
	return nil
}

func (ns *Namespace) applyChange(c kernel.Change) error {
	switch c.(type) {
	case kernel.SetFirewall, kernel.DeleteFirewall, kernel.AddElements, kernel.DelElements, kernel.ReplaceElements:
		return ns.firewall.apply(c)
	}
	return ns.stack.apply(c)
}

func clone(l kernel.Link) kernel.Link {
	l.AltNames = slices.Clone(l.AltNames)
	l.Addrs = slices.Clone(l.Addrs)
	l.Routes = slices.Clone(l.Routes)
	l.FDB = slices.Clone(l.FDB)
	return l
}

// collides tells whether the kernel would refuse a second device with t's VNI and port, in whatever
// namespace the first one is.
func (k *Kernel) collides(t kernel.Tunnel) bool {
	for _, ns := range k.spaces {
		for _, l := range ns.links {
			if l.Kind == kernel.KindVXLAN && l.Tunnel.VNI == t.VNI && l.Tunnel.Port == t.Port {
				return true
			}
		}
	}
	return false
}
