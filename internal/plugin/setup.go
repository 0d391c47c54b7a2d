package plugin

import (
	"errors"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
)

// hostSetup is a container's setup under way. If a step fails, all that was built is removed again.
type hostSetup struct {
	*Plugin
	path            string // of the container's namespace
	request         netavark.Request
	host, container hoststate.Namespace
	network         plan.PlacedNetwork
	endpoint        network.Endpoint
}

// setupResult is a container that was connected.
type setupResult struct {
	network  plan.PlacedNetwork // as the agent knows it by now
	endpoint network.Endpoint   // with its addresses
	report   reconcile.Report
}

// Setup connects a container to a network.
func (p *Plugin) Setup(namespace string, r netavark.Request) (netavark.Status, error) {
	if p.Rootless {
		return netavark.Status{}, errRootless
	}
	host, err := p.Open("")
	if err != nil {
		return netavark.Status{}, err
	}
	defer host.Close()
	n, err := p.placeWhenReady(r.Network, host)
	if err != nil {
		return netavark.Status{}, err
	}
	e, err := network.ParseEndpoint(n.Network, attachRequest(namespace, r))
	if err != nil {
		return netavark.Status{}, fmt.Errorf("container %s on network %s: %w", r.ContainerName, n.Name, err)
	}
	if err := ipam.CheckHostAddrs(n.Network, n.VTEP, e.Addrs); err != nil {
		return netavark.Status{}, fmt.Errorf("container %s on network %s: %w", r.ContainerName, n.Name, err)
	}
	p.warnOfPlacement(n)
	container, err := p.Open(namespace)
	if err != nil {
		return netavark.Status{}, err
	}
	defer container.Close()
	setup := hostSetup{p, namespace, r, host, container, n, e}
	var result setupResult
	if n.FindsHosts() {
		result, err = setup.connectGossip()
	} else {
		result, err = setup.connectStatic()
	}
	if err != nil {
		return netavark.Status{}, err
	}
	return setup.publishNames(result)
}

// warnOfPlacement tells the user where the network has moved to. Ports on an internal network draw
// no warning: another network of the container may publish them, and a plugin sees one at a time.
func (p *Plugin) warnOfPlacement(n plan.PlacedNetwork) {
	for _, warning := range n.VTEP.Warnings {
		p.Warn(warning)
	}
}

func attachRequest(namespace string, r netavark.Request) network.AttachRequest {
	return network.AttachRequest{
		ContainerID: r.ContainerID, ContainerName: r.ContainerName,
		Namespace: namespace, Options: r.Options, Ports: r.PortMappings,
	}
}

// connectStatic connects a container whose addresses are known.
func (c hostSetup) connectStatic() (setupResult, error) {
	s, err := c.BeginIn(c.host)
	if err != nil {
		return setupResult{}, err
	}
	defer s.Close()
	n, err := s.Prepare(c.network, c.endpoint)
	if err != nil {
		return setupResult{}, err
	}
	if n.HasNames() {
		first, err := s.IsFirst(n, c.endpoint)
		if err != nil {
			return setupResult{}, err
		}
		if first {
			c.Agent.Joining(n.ID, n.Tunnel.VNI, n.Tunnel.Port, n.VTEP.Local)
		}
	}
	return c.connect(s, n, c.endpoint)
}

// connect connects the container, and undoes that if it fails.
func (c hostSetup) connect(s *hoststate.Session, n plan.PlacedNetwork, e network.Endpoint) (setupResult, error) {
	report, err := s.Connect(n, e, c.container, c.request.Network)
	if err != nil {
		return setupResult{}, errors.Join(err, undoSetup(s, n.Identity, e))
	}
	return setupResult{n, e, report}, nil
}

func undoSetup(s *hoststate.Session, id network.Identity, e network.Endpoint) error {
	if err := s.Disconnect(id, e); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return nil
}

// abandon undoes a container's setup after the lock was released in between.
func (c hostSetup) abandon() error {
	s, err := c.BeginIn(c.host)
	if err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	defer s.Close()
	return undoSetup(s, c.network.Identity, c.endpoint)
}

// searchDomain is the one that Podman's own bridge networks have.
const searchDomain = "dns.podman"

// publishNames makes the agent answer the container's names, and returns what Podman shows of the
// container. If the agent does not announce the container's addresses, publishNames does.
func (c hostSetup) publishNames(r setupResult) (netavark.Status, error) {
	status := statusOf(r)
	if !r.network.HasNames() {
		if r.network.AgentPicks() {
			c.Agent.StoreChanged() // it tells other hosts
		}
		return status, nil
	}
	announces, err := c.Agent.EndpointAdded(r.network.ID, r.endpoint.ContainerID)
	if err != nil {
		c.goOnWithoutAgent(err)
	}
	// The container keeps its name servers for as long as it lives. So it gets the agent's also
	// where that is slow, or has to be put right, and will answer later.
	if !isNotInstalled(err) {
		status.DNSServerIPs = r.network.Resolvers()
		status.DNSSearchDomains = []string{searchDomain}
	}
	if announces || r.report.Announced {
		return status, nil
	}
	announcement := plan.Announcement(r.network, r.endpoint)
	announcement.Announce.Unchanged = true
	if _, err := reconcile.Apply(reconcile.Namespaces{Host: c.host, Container: c.container}, announcement); err != nil {
		return netavark.Status{}, errors.Join(err, c.abandon())
	}
	return status, nil
}

// goOnWithoutAgent warns of an agent that did not answer. One that runs, though it be slow or
// report an error, sees to the networks itself. Otherwise networks follow their lists of hosts. A
// network without a list keeps what the agent knew last.
func (c hostSetup) goOnWithoutAgent(err error) {
	lost := "no container names yet"
	if isNotInstalled(err) {
		lost = "no container names, only the host's name servers"
	}
	c.Warn(fmt.Sprintf("network %s: %s: %v", c.network.Name, lost, err))
	if _, runs := errors.AsType[runningAgentError](err); runs || c.network.FindsHosts() {
		return
	}
	if err := c.FallBackToStatic(); err != nil {
		c.Warn(fmt.Sprintf("go on without an agent: %v", err))
	}
}

// runningAgentError is an error of an agent that runs.
type runningAgentError interface {
	error
	AgentRuns()
}

// isNotInstalled tells whether there is no agent that could be started.
func isNotInstalled(err error) bool {
	_, ok := errors.AsType[interface {
		error
		NotInstalled()
	}](err)
	return ok
}

// statusOf is what Podman shows of a container.
func statusOf(r setupResult) netavark.Status {
	iface := netavark.Interface{MAC: r.report.MAC.String(), Subnets: []netavark.Subnet{}}
	for _, p := range r.endpoint.Addrs {
		s := netavark.Subnet{IPNet: p}
		if subnet, ok := r.network.SubnetOf(p.Addr()); ok && subnet.Gateway.IsValid() {
			s.Gateway = &subnet.Gateway
		}
		iface.Subnets = append(iface.Subnets, s)
	}
	return netavark.Status{
		DNSServerIPs: append([]netip.Addr(nil), r.network.DNSServers...),
		Interfaces:   map[string]netavark.Interface{r.endpoint.Interface: iface},
	}
}
