package hoststate

import (
	"fmt"

	"vxlan-driver/internal/foreignfilter"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// Foreign is what is looked up of other programs' firewall rules.
type Foreign interface {
	// ForeignFilters returns the tables of other programs that have a chain which may drop packets.
	ForeignFilters() ([]kernel.FilterTable, error)
	// Index returns the index of a link.
	Index(name string) (int, error)
}

// BlockingChains returns the chains of other programs that drop what the networks need. It takes no
// lock.
func (h *Host) BlockingChains(networks []Network, agentPort uint16) ([]foreignfilter.BlockingChain, error) {
	ns, err := h.Open("")
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return findBlockingChains(ns, attachEndpoints(networks), agentPort)
}

// ForeignChains returns the chains of other programs that drop anything of what the networks need,
// and those that may drop what goes from host to host. Beside the filters that nft lists it looks at
// those of a caller. It takes no lock.
func (h *Host) ForeignChains(
	networks []Network, agentPort uint16, more []kernel.FilterTable,
) (blocking, suspect []foreignfilter.BlockingChain, err error) {
	ns, err := h.Open("")
	if err != nil {
		return nil, nil, err
	}
	defer ns.Close()
	filters, err := ns.ForeignFilters()
	if err != nil {
		return nil, nil, err
	}
	filters = append(filters, more...)
	look := hostLook{ns: ns}
	host := look.host(agentPort)
	for _, n := range attachEndpoints(networks) {
		passing := look.network(n)
		blocking = append(blocking, foreignfilter.AllBlockingChains(filters, host, passing)...)
		suspect = append(suspect, foreignfilter.SuspectChains(filters, host, passing)...)
	}
	return blocking, suspect, look.err
}

func attachEndpoints(networks []Network) []plan.HostNetwork {
	all := make([]plan.HostNetwork, 0, len(networks))
	for _, n := range networks {
		all = append(all, n.withEndpoints())
	}
	return all
}

// warnOfBlockingChains tells the user what other programs drop of a network whose devices were just
// made. A look that fails says nothing of the network, as while a program keeps changing its rules.
// The agent looks again.
func (s *Session) warnOfBlockingChains(n plan.HostNetwork) {
	found, _ := findBlockingChains(s.ns, []plan.HostNetwork{n}, n.VTEP.AgentPort)
	for _, o := range found {
		s.host.Warn(o.String())
	}
}

// findBlockingChains asks for the host's own facts only if another program filters at all.
func findBlockingChains(ns Namespace, networks []plan.HostNetwork,
	agentPort uint16) (all []foreignfilter.BlockingChain, err error) {
	if len(networks) == 0 {
		return nil, nil
	}
	filters, err := ns.ForeignFilters()
	if err != nil || len(filters) == 0 {
		return nil, err
	}
	look := hostLook{ns: ns}
	host := look.host(agentPort)
	for _, n := range networks {
		all = append(all, foreignfilter.BlockingChains(filters, host, look.network(n))...)
	}
	return all, look.err
}

// hostLook finds the facts of the host that decide which way packets take. It keeps the first error.
type hostLook struct {
	ns  Namespace
	err error
}

func (l *hostLook) keep(err error) {
	if l.err == nil && err != nil {
		l.err = fmt.Errorf("look at the firewall rules of other programs: %w", err)
	}
}

func (l *hostLook) host(agentPort uint16) foreignfilter.Host {
	return foreignfilter.Host{
		Outside4: l.outside(false), Outside6: l.outside(true), AgentPort: agentPort,
		Bridged4: l.isOn("net/bridge/bridge-nf-call-iptables"), Bridged6: l.isOn("net/bridge/bridge-nf-call-ip6tables"),
	}
}

func (l *hostLook) network(n plan.HostNetwork) foreignfilter.Network {
	p := foreignfilter.Network{
		PlacedNetwork: n.PlacedNetwork, Bridge: l.device(n.Bridge.Name), Underlay: l.device(n.VTEP.Interface),
		VXLAN: l.device(n.Device.Name),
	}
	if n.VTEP.WireGuard != "" {
		p.WireGuard = l.device(n.VTEP.WireGuard)
	}
	for i, e := range n.Endpoints {
		if i == 0 {
			p.Port = l.device(n.Port(e.Endpoint))
		}
		p.Publishes = p.Publishes || len(e.Ports) > 0
	}
	return p
}

// device returns a link by its name. One that is not there has the index 0, which no link has.
func (l *hostLook) device(name string) foreignfilter.Device {
	index, _ := l.ns.Index(name)
	return foreignfilter.Device{Name: name, Index: index}
}

func (l *hostLook) outside(ipv6 bool) foreignfilter.Device {
	iface, err := l.ns.DefaultRouteInterface(ipv6)
	l.keep(err)
	if iface.Name == "" {
		return foreignfilter.Device{}
	}
	return l.device(iface.Name)
}

// isOn reads a parameter that is missing where its module is.
func (l *hostLook) isOn(key string) bool {
	value, err := l.ns.Sysctl(key)
	return err == nil && value == "1"
}
