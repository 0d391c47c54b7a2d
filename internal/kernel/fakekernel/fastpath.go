package fakekernel

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fastpath"
)

// SetFastPath implements reconcile.Namespace.
func (ns *Namespace) SetFastPath(want kernel.FastPath) error { return ns.fastPath().Set(want) }

// FastPathRemote implements reconcile.Namespace.
func (ns *Namespace) FastPathRemote(want kernel.FastPath) ([]kernel.MAC, error) {
	return fastpath.New(FastPathKernel{ns}).Remote(want.Device)
}

// EvictFastPath implements reconcile.Namespace.
func (ns *Namespace) EvictFastPath(device string, mac kernel.MAC) error {
	return ns.fastPath().Evict(device, mac)
}

// EvictFastPathPort implements reconcile.Namespace.
func (ns *Namespace) EvictFastPathPort(device string, port kernel.FastPathPort) error {
	return ns.fastPath().EvictPort(device, port)
}

// RemoveFastPath implements reconcile.Namespace.
func (ns *Namespace) RemoveFastPath(device string) error { return ns.fastPath().Remove(device) }

func (ns *Namespace) fastPath() fastpath.Path { return fastpath.New(FastPathKernel{ns}) }

// FastPathKernel is what a Redirector asks of the namespace.
type FastPathKernel struct{ *Namespace }

// fastPathTable is the nftables table of a VXLAN device.
type fastPathTable struct {
	ofAnother bool // the device was made anew, or its rules altered
	fastpath.Members
}

// Outbound implements fastpath.Kernel.
func (k FastPathKernel) Outbound(device string, at fastpath.Look) (fastpath.OutboundTable, error) {
	have := k.FastPathOutbound(device)
	if at.Only != nil {
		have.Remote = slices.DeleteFunc(have.Remote, func(m kernel.MAC) bool { return !slices.Contains(at.Only, m) })
	} else {
		k.kernel.Dumps++
	}
	if at.SkipPorts {
		have.Ports = nil
	}
	return have, k.kernel.call()
}

// FastPathOutbound returns the nftables table of a VXLAN device without counting a call.
func (ns *Namespace) FastPathOutbound(device string) (have fastpath.OutboundTable) {
	t, ok := ns.fastPathTables[device]
	if !ok {
		return have
	}
	have.Exists, have.Intact = true, !t.ofAnother
	if have.Intact {
		have.Members = fastpath.Members{Remote: slices.Clone(t.Remote), Ports: slices.Clone(t.Ports)}
	}
	return have
}

// Inbound implements fastpath.Kernel.
func (k FastPathKernel) Inbound(device string) (fastpath.InboundFilters, error) {
	if err := k.kernel.call(); err != nil {
		return fastpath.InboundFilters{}, err
	}
	if k.find(device) == nil {
		return fastpath.InboundFilters{}, fmt.Errorf("read tc filters of %s: %w", device, kernel.ErrNotFound)
	}
	return k.FastPathInbound(device), nil
}

// FastPathInbound returns the tc filters of a VXLAN device without counting a call. A port that is
// gone has no name.
func (ns *Namespace) FastPathInbound(device string) (have fastpath.InboundFilters) {
	if l := ns.find(device); l != nil {
		have.Intact, have.Ports = l.filters != nil, slices.Clone(l.filters)
	}
	return have
}

// StaticPorts implements fastpath.Kernel.
func (k FastPathKernel) StaticPorts(bridge string, macs []kernel.MAC) (map[kernel.MAC]string, error) {
	have := k.BridgeStaticPorts(bridge)
	maps.DeleteFunc(have, func(m kernel.MAC, _ string) bool { return !slices.Contains(macs, m) })
	return have, k.kernel.call()
}

// BridgeStaticPorts returns the ports of a bridge's static entries by MAC, without counting a call.
func (ns *Namespace) BridgeStaticPorts(bridge string) map[kernel.MAC]string {
	ports := make(map[kernel.MAC]string)
	for _, l := range ns.links {
		for _, m := range l.static {
			if l.Master == bridge {
				ports[m] = l.Name
			}
		}
	}
	return ports
}

// Apply implements fastpath.Kernel. A change that leaves what it is about as it is is not logged.
func (k FastPathKernel) Apply(change fmt.Stringer) error {
	if c, ok := change.(kernel.Change); ok {
		return k.Namespace.Apply(c)
	}
	err := k.kernel.call()
	if err == nil && k.isWithoutEffect(change) {
		return nil
	}
	if err == nil {
		err = k.applyFastPath(change)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", change, err)
	}
	k.kernel.Log = append(k.kernel.Log, change.String())
	return nil
}

func (k FastPathKernel) isWithoutEffect(change fmt.Stringer) bool {
	switch c := change.(type) {
	case fastpath.EvictFromTable:
		t := k.fastPathTables[c.Device]
		return t == nil || !slices.Contains(t.Remote, c.MAC) && !hasMAC(t.Ports, c.MAC)
	case fastpath.DeleteFilters:
		l := k.find(c.Device)
		return l == nil || !hasMAC(l.filters, c.MAC)
	}
	return false
}

func hasMAC(ports []kernel.FastPathPort, m kernel.MAC) bool {
	return slices.ContainsFunc(ports, func(p kernel.FastPathPort) bool { return p.MAC == m })
}

func (k FastPathKernel) applyFastPath(change fmt.Stringer) error {
	switch c := change.(type) {
	case fastpath.LoadTable:
		if k.find(c.Device) == nil {
			return kernel.ErrNotFound
		}
		t := new(fastPathTable)
		if err := k.changeTable(t, fastpath.Members{}, c.Members); err != nil {
			return err
		}
		if k.fastPathTables == nil {
			k.fastPathTables = make(map[string]*fastPathTable)
		}
		k.fastPathTables[c.Device] = t
	case fastpath.ChangeTable:
		return k.changeTable(k.fastPathTables[c.Device], c.Delete, c.Add)
	case fastpath.EvictFromTable:
		t := k.fastPathTables[c.Device]
		t.Remote, t.Ports = without(t.Remote, c.MAC), withoutMAC(t.Ports, c.MAC)
	case fastpath.DeleteTable:
		delete(k.fastPathTables, c.Device)
	case fastpath.LoadFilters:
		return k.loadFilters(c)
	case fastpath.AddFilters:
		return k.edit(c.Device, func(l *link) error {
			if !hasMAC(l.filters, c.Port.MAC) && k.find(c.Port.Name) != nil {
				l.filters = append(l.filters, c.Port)
			}
			return nil
		})
	case fastpath.DeleteFilters:
		return k.edit(c.Device, func(l *link) error { l.filters = withoutMAC(l.filters, c.MAC); return nil })
	default:
		return fmt.Errorf("unknown change %T", c)
	}
	return nil
}

// changeTable knows that the kernel refuses to delete what is not there, a port that is not, and
// two chains of one name.
func (k FastPathKernel) changeTable(t *fastPathTable, del, add fastpath.Members) error {
	remote, ports := slices.Clone(t.Remote), slices.Clone(t.Ports)
	for _, m := range del.Remote {
		if !slices.Contains(remote, m) {
			return fmt.Errorf("%s: %w", m, kernel.ErrNotFound)
		}
		remote = without(remote, m)
	}
	for _, p := range del.Ports {
		i := slices.Index(ports, p)
		if i < 0 {
			return fmt.Errorf("%s: %w", p.Name, kernel.ErrNotFound)
		}
		ports = slices.Delete(ports, i, i+1)
	}
	for _, p := range add.Ports {
		if k.find(p.Name) == nil {
			return fmt.Errorf("%s: %w", p.Name, kernel.ErrNotFound)
		}
		if hasMAC(ports, p.MAC) {
			return unix.EEXIST
		}
		ports = append(ports, p)
	}
	t.Remote, t.Ports = append(remote, add.Remote...), ports
	return nil
}

func (k FastPathKernel) loadFilters(c fastpath.LoadFilters) error {
	if k.NoFastPath {
		return kernel.ErrNoFastPath
	}
	return k.edit(c.Device, func(l *link) error {
		l.filters = []kernel.FastPathPort{}
		for _, p := range c.Ports {
			if k.find(p.Name) != nil {
				l.filters = append(l.filters, p)
			}
		}
		return nil
	})
}

func withoutMAC(ports []kernel.FastPathPort, m kernel.MAC) []kernel.FastPathPort {
	return slices.DeleteFunc(ports, func(p kernel.FastPathPort) bool { return p.MAC == m })
}

// loseLink does to fast paths what the kernel does when a link goes. The table of a VXLAN device
// stays, and is of another device from then on. Filters that redirect to the link lead nowhere.
func (s *stack) loseLink(name string) {
	if t := s.fastPathTables[name]; t != nil {
		*t = fastPathTable{ofAnother: true}
	}
	for _, l := range s.links {
		for i, p := range l.filters {
			if p.Name == name {
				l.filters[i].Name = ""
			}
		}
	}
}
