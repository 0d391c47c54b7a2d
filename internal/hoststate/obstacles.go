package hoststate

import (
	"fmt"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/passage"
	"vxlan-driver/internal/plan"
)

// Foreign is what is looked up of other programs' firewall rules.
type Foreign interface {
	// ForeignFilters returns the tables of other programs that have a chain which may drop packets.
	ForeignFilters() ([]kernel.FilterTable, error)
	// Index returns the index of a link.
	Index(name string) (int, error)
}

// Obstacles returns the chains of other programs that drop what the networks need. It takes no
// lock.
func (h *Host) Obstacles(networks []Network, agentPort uint16) ([]passage.Obstacle, error) {
	ns, err := h.Open("")
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	all := make([]plan.HostNetwork, 0, len(networks))
	for _, n := range networks {
		all = append(all, n.withEndpoints())
	}
	return findObstacles(ns, all, agentPort)
}

// warnOfObstacles tells the user what other programs drop of a network whose devices were just made.
// A look that fails says nothing of the network, as while a program keeps changing its rules. The
// agent looks again.
func (s *Session) warnOfObstacles(n plan.HostNetwork) {
	found, _ := findObstacles(s.ns, []plan.HostNetwork{n}, n.VTEP.AgentPort)
	for _, o := range found {
		s.host.Warn(o.String())
	}
}

// findObstacles asks for the host's own facts only if another program filters at all.
func findObstacles(ns Namespace, networks []plan.HostNetwork, agentPort uint16) (all []passage.Obstacle, err error) {
	if len(networks) == 0 {
		return nil, nil
	}
	filters, err := ns.ForeignFilters()
	if err != nil || len(filters) == 0 {
		return nil, err
	}
	look := passageLook{ns: ns}
	host := passage.Host{
		Outside4: look.outside(false), Outside6: look.outside(true), AgentPort: agentPort,
		Bridged4: look.isOn("net/bridge/bridge-nf-call-iptables"), Bridged6: look.isOn("net/bridge/bridge-nf-call-ip6tables"),
	}
	for _, n := range networks {
		all = append(all, passage.Find(filters, host, look.network(n))...)
	}
	return all, look.err
}

// passageLook looks up what passage wants to know. It keeps the first error.
type passageLook struct {
	ns  Namespace
	err error
}

func (l *passageLook) keep(err error) {
	if l.err == nil && err != nil {
		l.err = fmt.Errorf("look at the firewall rules of other programs: %w", err)
	}
}

func (l *passageLook) network(n plan.HostNetwork) passage.Network {
	p := passage.Network{PlacedNetwork: n.PlacedNetwork, Bridge: l.device(n.Bridge.Name), Underlay: l.device(n.VTEP.Interface)}
	for _, e := range n.Endpoints {
		p.Publishes = p.Publishes || len(e.Ports) > 0
	}
	return p
}

// device returns a link by its name. One that is not there has the index 0, which no link has.
func (l *passageLook) device(name string) passage.Device {
	index, _ := l.ns.Index(name)
	return passage.Device{Name: name, Index: index}
}

func (l *passageLook) outside(ipv6 bool) passage.Device {
	iface, err := l.ns.DefaultRouteInterface(ipv6)
	l.keep(err)
	if iface.Name == "" {
		return passage.Device{}
	}
	return l.device(iface.Name)
}

// isOn reads a parameter that is missing where its module is.
func (l *passageLook) isOn(key string) bool {
	value, err := l.ns.Sysctl(key)
	return err == nil && value == "1"
}
